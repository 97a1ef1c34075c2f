/* test_nlog.c - lines reach who is connected, from any thread. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "hlog.h"
#include "hthread.h"
#include "nlog.h"

static char got[4096];
static size_t got_len;
static const char *awaited;

static void on_text(hio_t *io, void *buf, int len) {
    memcpy(got + got_len, buf, (size_t)len);
    got_len += (size_t)len;
    got[got_len] = '\0';
    if (strstr(got, awaited) != NULL) hloop_stop(hevent_loop(io));
}

static HTHREAD_RETTYPE log_from_elsewhere(void *userdata) {
    LOGI("from another thread");
    (void)userdata;
    return 0;
}

/* The first line proves that the reader is connected; then the other thread logs. */
static void log_until_heard(htimer_t *timer) {
    LOGI("are you there");
    if (strstr(got, "are you there") == NULL) return;
    htimer_del(timer);
    hthread_t thread = hthread_create(log_from_elsewhere, NULL);
    hthread_join(thread);
}

static void on_connect(hio_t *io) {
    hio_setcb_read(io, on_text);
    hio_read(io);
    htimer_add(hevent_loop(io), log_until_heard, 1, INFINITE);
}

static void test_nlog_lines_of_every_thread_reach_the_reader(void **state) {
    (void)state;
    hloop_t *loop = hloop_new(0);
    hio_t *listener = nlog_listen(loop, 0);
    assert_non_null(listener);
    hlog_set_handler(network_logger);
    awaited = "from another thread";
    int port = ntohs(((struct sockaddr_in *)(void *)hio_localaddr(listener))->sin_port);
    assert_non_null(hloop_create_tcp_client(loop, "127.0.0.1", port, on_connect));
    hloop_run(loop);
    assert_non_null(strstr(got, "from another thread"));
    hloop_free(&loop);
    /* Without a listener the line goes nowhere, and nobody minds. */
    LOGI("nobody hears this");
    hlog_destroy();
}

static void test_nlog_listener_alone_keeps_no_loop_running(void **state) {
    (void)state;
    hloop_t *loop = hloop_new(HLOOP_FLAG_QUIT_WHEN_NO_ACTIVE_EVENTS);
    assert_non_null(nlog_listen(loop, 0));
    assert_int_equal(hloop_run(loop), 0);
    hloop_free(&loop);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nlog_lines_of_every_thread_reach_the_reader),
        cmocka_unit_test(test_nlog_listener_alone_keeps_no_loop_running),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
