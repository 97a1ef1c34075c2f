/* Each allocation of a query, and of a connection by name, is failed in turn. Whatever fails: what
 * was begun ends exactly once, what was refused never, and no block is left. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "fake_dns.h"
#include "hmem.h"
#include "hnet_int.h"

#define ALLOCATIONS_MAX 400 /* more would mean that it never ends */
#define PASSES_MAX      400

static hloop_t *loop;
static fake_dns_t *dns;
static int started;
static int ended;
static int succeeded;
static int port;

static void on_result(hdns_query_t *query, const hdns_result_t *result) {
    (void)query;
    ended++;
    succeeded += result->status == 0;
    if (result->status != 0) assert_int_equal(result->count, 0);
}

static void on_connect(hio_t *io) {
    succeeded++;
    hio_close(io);
}

static void on_close(hio_t *io) {
    (void)io;
    ended++;
}

static void on_accept(hio_t *io) { hio_close(io); }

static void ask(const char *name, hdns_type_e type) {
    started += hdns_resolve(loop, name, type, NULL, on_result, NULL) != NULL;
}

static void watch_io(hio_t *io) {
    if (io == NULL) return;
    started++;
    hio_setcb_close(io, on_close);
    hio_setcb_connect(io, on_connect);
}

/* ---- What is done with failing memory ---- */

static void ask_for_addresses(void) { ask("both.test", HDNS_ADDRESS); }
static void ask_for_text(void) { ask("text.test", HDNS_TXT); }
static void ask_for_mail(void) { ask("mail.test", HDNS_MX); }
static void ask_for_pointer(void) { ask("192.0.2.7", HDNS_PTR); }
static void ask_by_tcp(void) { ask("long.test", HDNS_A); }
static void ask_for_literal(void) { ask("127.0.0.1", HDNS_A); }

static void connect_stream(void) {
    watch_io(hio_tcp_client(loop, "both.test", port, on_connect, on_close));
}

static void connect_bound(void) {
    hio_t *io = hio_tcp_client(loop, "both.test", port, on_connect, on_close);
    watch_io(io);
    if (io != NULL && hio_is_opened(io)) hio_set_bind(io, "127.0.0.1", 0);
}

static void connect_datagram(void) { watch_io(hloop_create_udp_client(loop, "both.test", port)); }

/* ---- The frame ---- */

static void prepare(void) {
    started = ended = succeeded = 0;
    loop = hloop_new(0);
    assert_non_null(loop);
    dns = fake_dns_open(loop);
    fake_dns_use(dns, loop, 1000);
    fake_dns_record(dns, "both.test", HDNS_A, HDNS_A, 60, "127.0.0.2");
    fake_dns_record(dns, "both.test", HDNS_AAAA, HDNS_AAAA, 60, "::1");
    fake_dns_record(dns, "text.test", HDNS_TXT, HDNS_TXT, 60, "some text");
    fake_dns_record(dns, "mail.test", HDNS_MX, HDNS_MX, 60, "1 a.test");
    fake_dns_record(dns, "7.2.0.192.in-addr.arpa", HDNS_PTR, HDNS_PTR, 60, "seven.test");
    fake_dns_record(dns, "long.test", HDNS_A, HDNS_A, 60, "127.0.0.2");
    fake_dns_rule(dns, "long.test", HDNS_A, FAKE_DNS_TRUNCATED, 0);
    hio_t *listener = hloop_create_tcp_server(loop, "127.0.0.2", 0, on_accept);
    port = ntohs(((struct sockaddr_in *)(void *)hio_localaddr(listener))->sin_port);
}

static void fail_each_allocation(void (*act)(void)) {
    size_t blocks_before = hv__mem_live_blocks();
    int has_failed = 1, count = 0;
    for (uint64_t nth = 1; has_failed; nth++) {
        assert_true(nth < ALLOCATIONS_MAX);
        prepare();
        hv__mem_fail_nth(nth);
        act();
        assert_int_equal(ended, 0);
        for (int i = 0; i < PASSES_MAX && ended < started; i++) hloop_process_events(loop, 100);
        has_failed = hv__mem_has_failed();
        hv__mem_fail_nth(0);
        assert_int_equal(ended, started);
        hloop_free(&loop);
        fake_dns_free(dns);
        assert_int_equal(ended, started);
        assert_int_equal(hv__mem_live_blocks(), blocks_before);
        count += has_failed;
    }
    /* In the last run nothing failed; there were others. */
    assert_int_equal(started, 1);
    assert_int_equal(succeeded, 1);
    assert_true(count > 0);
}

static void test_queries_end_once_whatever_allocation_fails(void **state) {
    (void)state;
    fail_each_allocation(ask_for_addresses);
    fail_each_allocation(ask_for_text);
    fail_each_allocation(ask_for_mail);
    fail_each_allocation(ask_for_pointer);
    fail_each_allocation(ask_by_tcp);
    fail_each_allocation(ask_for_literal);
}

static void test_connections_end_once_whatever_allocation_fails(void **state) {
    (void)state;
    fail_each_allocation(connect_stream);
    fail_each_allocation(connect_bound);
    fail_each_allocation(connect_datagram);
}

static void test_settings_stay_or_change_whatever_allocation_fails(void **state) {
    (void)state;
    size_t blocks_before = hv__mem_live_blocks();
    int has_failed = 1;
    for (uint64_t nth = 1; has_failed; nth++) {
        assert_true(nth < ALLOCATIONS_MAX);
        hloop_t *own = hloop_new(0);
        hv__mem_fail_nth(nth);
        int code = hdns_configure(own, &(hdns_config_t){.servers = "127.0.0.1:53"});
        has_failed = hv__mem_has_failed();
        hv__mem_fail_nth(0);
        assert_int_equal(code, has_failed ? HV_ENOMEM : 0);
        hloop_free(&own);
        assert_int_equal(hv__mem_live_blocks(), blocks_before);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_queries_end_once_whatever_allocation_fails),
        cmocka_unit_test(test_connections_end_once_whatever_allocation_fails),
        cmocka_unit_test(test_settings_stay_or_change_whatever_allocation_fails),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
