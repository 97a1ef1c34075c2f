/* Tests of runtime/proc/hworker.c, with a worker that has no process and a master that is this
 * test. What needs real processes is in test_hmaster.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "hlog.h"
#include "hmem.h"
#include "hproc_int.h"
#include "hsocket.h"
#include "hthread.h"

#include <stdatomic.h>

static int listen_fd, master_fd, port;
static hworker_t *worker;
static size_t blocks_before;

static int set_up(void **state) {
    (void)state;
    blocks_before = hv__mem_live_blocks(); /* the logger's */
    int ends[2];
    listen_fd = Listen(0, "127.0.0.1");
    if (listen_fd < 0 || Socketpair(AF_UNIX, SOCK_STREAM, 0, ends) != 0) return -1;
    sockaddr_u addr;
    socklen_t len = sizeof(addr);
    if (getsockname(listen_fd, &addr.sa, &len) != 0) return -1;
    port = sockaddr_port(&addr);
    nonblocking(listen_fd);
    master_fd = ends[0];
    so_rcvtimeo(master_fd, 20000);
    hworker_facts_t facts = {.index = 3,
                             .generation = 7,
                             .control_fd = ends[1],
                             .ask_fd = -1,
                             .listen_fds = &listen_fd,
                             .listener_count = 1,
                             .drain_timeout_ms = 20};
    worker = hv__worker_new(&facts);
    return worker != NULL ? 0 : -1;
}

/* The worker closes its copies when it drains; both are gone with the process otherwise. */
static int tear_down(void **state) {
    (void)state;
    if (worker != NULL) hv__worker_free(worker);
    if (master_fd >= 0) close(master_fd);
    return hv__mem_live_blocks() == blocks_before ? 0 : -1;
}

static void expect_said(const char *bytes) {
    for (; *bytes != '\0'; bytes++) {
        char byte = 0;
        assert_int_equal(recv(master_fd, &byte, 1, 0), 1);
        assert_int_equal(byte, *bytes);
    }
    char byte;
    assert_int_equal(recv(master_fd, &byte, 1, MSG_DONTWAIT), -1);
}

static int drains;
static hloop_t *drained_loop;

static void on_drain(hworker_t *drained, hloop_t *loop, void *userdata) {
    assert_ptr_equal(drained, worker);
    assert_ptr_equal(userdata, &drains);
    assert_true(hworker_is_draining(drained));
    drains++;
    drained_loop = loop;
}

static void on_drain_stop(hworker_t *drained, hloop_t *loop, void *userdata) {
    on_drain(drained, loop, userdata);
    hloop_stop(loop);
}

static void test_worker_knows_who_it_is(void **state) {
    (void)state;
    assert_ptr_equal(hworker_self(), worker);
    assert_int_equal(hworker_index(worker), 3);
    assert_int_equal(hworker_generation(worker), 7);
    assert_false(hworker_is_draining(worker));
}

static void test_worker_tells_once_that_it_is_attached_and_ready(void **state) {
    (void)state;
    hloop_t *loop = hloop_new(0);
    assert_int_equal(hworker_attach(worker, loop, on_drain, &drains), 0);
    hworker_ready(worker);
    hworker_ready(worker);
    expect_said("AR");
    hworker_detach(worker, loop);
    hworker_detach(worker, loop);
    hloop_free(&loop);
}

static void test_worker_drains_when_it_is_told(void **state) {
    (void)state;
    drains = 0;
    hloop_t *loop = hloop_new(0);
    assert_int_equal(hworker_attach(worker, loop, on_drain_stop, &drains), 0);
    assert_int_equal(send(master_fd, "DD", 2, 0), 2);
    assert_int_equal(hloop_run(loop), 0);
    assert_int_equal(drains, 1);
    assert_ptr_equal(drained_loop, loop);
    assert_null(hworker_accept(worker, loop, 0, NULL)); /* no more */
    hworker_detach(worker, loop);
    hloop_free(&loop);
}

static void test_worker_drains_when_its_master_is_gone(void **state) {
    (void)state;
    drains = 0;
    hloop_t *loop = hloop_new(0);
    assert_int_equal(hworker_attach(worker, loop, on_drain_stop, &drains), 0);
    close(master_fd);
    master_fd = -1;
    assert_int_equal(hloop_run(loop), 0);
    assert_int_equal(drains, 1);
    hworker_detach(worker, loop);
    hloop_free(&loop);
}

static void test_worker_that_does_not_finish_is_stopped(void **state) {
    (void)state;
    drains = 0;
    hloop_t *loop = hloop_new(0);
    assert_int_equal(hworker_attach(worker, loop, on_drain, &drains), 0);
    assert_int_equal(send(master_fd, "D", 1, 0), 1);
    assert_int_equal(hloop_run(loop), 0); /* ends by drain_timeout_ms */
    assert_int_equal(drains, 1);
    hworker_detach(worker, loop);
    hloop_free(&loop);
}

static void test_worker_without_a_function_stops_its_loop(void **state) {
    (void)state;
    hloop_t *loop = hloop_new(0);
    assert_int_equal(hworker_attach(worker, loop, NULL, NULL), 0);
    assert_int_equal(hv__worker_drain(worker), 1);
    assert_int_equal(hloop_run(loop), 0);
    hworker_detach(worker, loop);
    assert_int_equal(hv__worker_drain(worker), 0);
    hloop_free(&loop);
}

static void test_worker_attached_while_draining_is_told_at_once(void **state) {
    (void)state;
    drains = 0;
    assert_int_equal(hv__worker_drain(worker), 0);
    hloop_t *loop = hloop_new(0);
    assert_int_equal(hworker_attach(worker, loop, on_drain_stop, &drains), 0);
    assert_int_equal(drains, 0); /* not inside the call */
    assert_int_equal(hloop_run(loop), 0);
    assert_int_equal(drains, 1);
    hworker_detach(worker, loop);
    hloop_free(&loop);
}

static void test_worker_listens_on_after_its_reading_loop_is_detached(void **state) {
    (void)state;
    drains = 0;
    hloop_t *first = hloop_new(0), *second = hloop_new(0);
    assert_int_equal(hworker_attach(worker, first, on_drain_stop, &drains), 0);
    assert_int_equal(hworker_attach(worker, second, on_drain_stop, &drains), 0);
    hworker_detach(worker, first);
    hloop_free(&first);
    assert_int_equal(send(master_fd, "D", 1, 0), 1);
    assert_int_equal(hloop_run(second), 0);
    assert_int_equal(drains, 1);
    assert_ptr_equal(drained_loop, second);
    hworker_detach(worker, second);
    hloop_free(&second);
}

static atomic_int drained_threads;

static void on_drain_in_thread(hworker_t *drained, hloop_t *loop, void *userdata) {
    (void)drained;
    (void)userdata;
    if (hloop_tid(loop) == hv_gettid()) atomic_fetch_add(&drained_threads, 1);
    hloop_stop(loop);
}

static HTHREAD_ROUTINE(run_attached) {
    atomic_int *ready = userdata;
    hloop_t *loop = hloop_new(0);
    if (hworker_attach(worker, loop, on_drain_in_thread, NULL) != 0) abort();
    atomic_fetch_add(ready, 1);
    hloop_run(loop);
    hworker_detach(worker, loop);
    hloop_free(&loop);
    return 0;
}

static void test_worker_drains_the_loops_of_all_its_threads(void **state) {
    (void)state;
    enum { THREADS = 4 };
    atomic_int ready = 0;
    atomic_store(&drained_threads, 0);
    hthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++) threads[i] = hthread_create(run_attached, &ready);
    while (atomic_load(&ready) < THREADS) sched_yield();
    assert_int_equal(send(master_fd, "D", 1, 0), 1);
    for (int i = 0; i < THREADS; i++) hthread_join(threads[i]);
    assert_int_equal(atomic_load(&drained_threads), THREADS);
}

/* ---- Accepting ---- */

static int accepted, client_fds[8];
static hio_t *listener;

static void on_accept(hio_t *io) {
    accepted++;
    assert_ptr_equal(hevent_userdata(io), &accepted);
    assert_int_equal(((struct sockaddr_in *)(void *)hio_peeraddr(io))->sin_family, AF_INET);
    hio_close(io);
}

/* Connections that came while this callback runs: the loop knows nothing of them yet. */
static void connect_and_stop(htimer_t *timer) {
    for (size_t i = 0; i < ARRAY_SIZE(client_fds); i++) {
        client_fds[i] = Connect("127.0.0.1", port, 0);
        assert_true(client_fds[i] >= 0);
    }
    assert_int_equal(accepted, 0);
    hworker_stop_accepting(listener);
    assert_int_equal(accepted, ARRAY_SIZE(client_fds));
    hworker_stop_accepting(listener); /* closing already */
    hv__worker_drain(worker);
    hloop_stop(hevent_loop(timer));
}

static void test_stop_accepting_takes_in_who_waits(void **state) {
    (void)state;
    accepted = 0;
    hloop_t *loop = hloop_new(0);
    listener = hworker_accept(worker, loop, 0, on_accept);
    assert_non_null(listener);
    assert_int_not_equal(hio_fd(listener), listen_fd); /* a descriptor of its own */
    hevent_set_userdata(listener, &accepted);
    htimer_add(loop, connect_and_stop, 0, 1);
    assert_int_equal(hloop_run(loop), 0);
    hloop_free(&loop);
    for (size_t i = 0; i < ARRAY_SIZE(client_fds); i++) {
        char byte;
        assert_int_equal(recv(client_fds[i], &byte, 1, 0), 0);
        close(client_fds[i]);
    }
    assert_int_equal(Connect("127.0.0.1", port, 0), HV_ECONNREFUSED);
}

static void test_accept_of_an_unknown_listener_fails(void **state) {
    (void)state;
    hloop_t *loop = hloop_new(0);
    assert_null(hworker_accept(worker, loop, 1, on_accept));
    assert_int_equal(hloop_last_error(loop), -EBADF);
    assert_null(hworker_accept(worker, loop, -1, on_accept));
    hloop_free(&loop);
}

#define WORKER_TEST(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void) {
    hlog_set_handler(stderr_logger);
    hlog_set_level(LOG_LEVEL_SILENT);
    static const struct CMUnitTest tests[] = {
        WORKER_TEST(test_worker_knows_who_it_is),
        WORKER_TEST(test_worker_tells_once_that_it_is_attached_and_ready),
        WORKER_TEST(test_worker_drains_when_it_is_told),
        WORKER_TEST(test_worker_drains_when_its_master_is_gone),
        WORKER_TEST(test_worker_that_does_not_finish_is_stopped),
        WORKER_TEST(test_worker_without_a_function_stops_its_loop),
        WORKER_TEST(test_worker_attached_while_draining_is_told_at_once),
        WORKER_TEST(test_worker_listens_on_after_its_reading_loop_is_detached),
        WORKER_TEST(test_worker_drains_the_loops_of_all_its_threads),
        WORKER_TEST(test_stop_accepting_takes_in_who_waits),
        WORKER_TEST(test_accept_of_an_unknown_listener_fails),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
