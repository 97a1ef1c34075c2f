/* Connecting by name: a name server and peers of our own on loopback addresses. A peer that does
 * not answer is a listener whose queue is full, so that the kernel drops what comes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "fake_dns.h"
#include "hclock.h"
#include "hmem.h"
#include "hnet_int.h"

#define PASSES_MAX 2000
#define HOLE_FILL  8 /* connections that fill a queue of 0 and more */

typedef struct seen_s {
    int connects;
    int closes;
    int error;
    char peer[INET6_ADDRSTRLEN];
    char local[INET6_ADDRSTRLEN];
    int bytes;
    char data[64];
    int closes_at_once;
} seen_t;

/* What callbacks see is static: they come as late as tear_down. */
static hloop_t *loop;
static fake_dns_t *dns;
static size_t blocks_before;
static int accepted;
static int hole_fds[HOLE_FILL + 1];

static void write_address(char text[INET6_ADDRSTRLEN], struct sockaddr *addr) {
    if (addr->sa_family == AF_INET) {
        inet_ntop(AF_INET, &((struct sockaddr_in *)(void *)addr)->sin_addr, text, INET6_ADDRSTRLEN);
    } else {
        inet_ntop(AF_INET6, &((struct sockaddr_in6 *)(void *)addr)->sin6_addr, text,
                  INET6_ADDRSTRLEN);
    }
}

static int port_of(hio_t *io) {
    struct sockaddr *addr = hio_localaddr(io);
    return ntohs(addr->sa_family == AF_INET ? ((struct sockaddr_in *)(void *)addr)->sin_port
                                            : ((struct sockaddr_in6 *)(void *)addr)->sin6_port);
}

static void on_connect(hio_t *io) {
    seen_t *seen = hevent_userdata(io);
    seen->connects++;
    write_address(seen->peer, hio_peeraddr(io));
    write_address(seen->local, hio_localaddr(io));
    assert_true(hio_fd(io) >= 0);
    if (seen->closes_at_once) hio_close(io);
}

static void on_close(hio_t *io) {
    seen_t *seen = hevent_userdata(io);
    seen->closes++;
    seen->error = hio_error(io);
}

static void on_read(hio_t *io, void *buf, int bytes) {
    seen_t *seen = hevent_userdata(io);
    memcpy(seen->data + seen->bytes, buf, (size_t)bytes);
    seen->bytes += bytes;
}

static void echo(hio_t *io, void *buf, int bytes) { hio_write(io, buf, (size_t)bytes); }

static void on_accept(hio_t *io) {
    accepted++;
    hio_setcb_read(io, echo);
    hio_read(io);
}

static void pass(void) { assert_true(hloop_process_events(loop, 100) >= 0); }

static void run_until(const int *counter, int value) {
    for (int i = 0; i < PASSES_MAX && *counter < value; i++) pass();
    assert_int_equal(*counter, value);
}

static hio_t *connect_to(seen_t *seen, const char *name, int port) {
    memset(seen, 0, sizeof *seen);
    hio_t *io = hio_tcp_client(loop, name, port, on_connect, on_close);
    assert_non_null(io);
    hevent_set_userdata(io, seen);
    assert_int_equal(hio_fd(io), -1);
    assert_true(hio_is_opened(io));
    assert_false(hio_is_connected(io));
    assert_int_equal(hio_type(io), HIO_TYPE_TCP);
    assert_int_equal(seen->connects + seen->closes, 0);
    return io;
}

static hio_t *serve(const char *host, int port) {
    hio_t *listener = hloop_create_tcp_server(loop, host, port, on_accept);
    assert_non_null(listener);
    return listener;
}

/* Makes 127.0.0.66:port one that never answers: returns the port. */
static int open_hole(int port) {
    struct sockaddr_in addr = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    inet_pton(AF_INET, "127.0.0.66", &addr.sin_addr);
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    int yes = 1;
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    assert_int_equal(bind(listener, (struct sockaddr *)&addr, sizeof addr), 0);
    assert_int_equal(listen(listener, 0), 0);
    socklen_t len = sizeof addr;
    assert_int_equal(getsockname(listener, (struct sockaddr *)&addr, &len), 0);
    hole_fds[0] = listener;
    for (int i = 1; i <= HOLE_FILL; i++) {
        hole_fds[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
        connect(hole_fds[i], (struct sockaddr *)&addr, sizeof addr);
    }
    return ntohs(addr.sin_port);
}

static void close_hole(void) {
    for (int i = 0; i <= HOLE_FILL; i++) close(hole_fds[i]);
}

static int set_up(void **state) {
    (void)state;
    blocks_before = hv__mem_live_blocks();
    accepted = 0;
    loop = hloop_new(0);
    assert_non_null(loop);
    dns = fake_dns_open(loop);
    fake_dns_use(dns, loop, 200);
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    hloop_free(&loop);
    fake_dns_free(dns);
    assert_int_equal(hv__mem_live_blocks(), blocks_before);
    return 0;
}

static void add_a(const char *name, const char *address) {
    fake_dns_record(dns, name, HDNS_A, HDNS_A, 60, address);
}

static void add_aaaa(const char *name, const char *address) {
    fake_dns_record(dns, name, HDNS_AAAA, HDNS_AAAA, 60, address);
}

/* ---- Streams ---- */

static void test_name_with_one_address_connects_and_echoes(void **state) {
    (void)state;
    int port = port_of(serve("127.0.0.2", 0));
    add_a("one.test", "127.0.0.2");
    static seen_t seen;
    hio_t *io = connect_to(&seen, "one.test", port);
    hio_setcb_read(io, on_read);
    assert_int_equal(hio_read(io), 0);
    assert_int_equal(hio_write(io, "early", 5), 5); /* leaves when it is connected */
    run_until(&seen.bytes, 5);
    assert_memory_equal(seen.data, "early", 5);
    assert_int_equal(seen.connects, 1);
    assert_string_equal(seen.peer, "127.0.0.2");
    hio_close(io);
    run_until(&seen.closes, 1);
    assert_int_equal(seen.error, 0);
}

static void test_name_of_both_families_prefers_ipv6(void **state) {
    (void)state;
    hio_t *six = hloop_create_tcp_listener(loop, "::1", 0, on_accept, 0, HIO_LISTEN_IPV6_ONLY);
    if (six == NULL) skip();
    int port = port_of(six);
    serve("127.0.0.2", port);
    add_a("both.test", "127.0.0.2");
    add_aaaa("both.test", "::1");
    static seen_t seen;
    connect_to(&seen, "both.test", port);
    run_until(&seen.connects, 1);
    assert_string_equal(seen.peer, "::1");
    assert_int_equal(accepted, 1);
}

static void test_ipv6_that_is_answered_just_after_ipv4_is_still_preferred(void **state) {
    (void)state;
    hio_t *six = hloop_create_tcp_listener(loop, "::1", 0, on_accept, 0, HIO_LISTEN_IPV6_ONLY);
    if (six == NULL) skip();
    int port = port_of(six);
    serve("127.0.0.2", port);
    add_a("both.test", "127.0.0.2");
    add_aaaa("both.test", "::1");
    fake_dns_rule(dns, "both.test", HDNS_AAAA, FAKE_DNS_ANSWER, -1);
    hclock_set_fake(hclock_mono_us()); /* the resolution delay does not end */
    static seen_t seen;
    connect_to(&seen, "both.test", port);
    for (int i = 0; i < PASSES_MAX && seen.connects == 0; i++) pass();
    hclock_use_real();
    assert_int_equal(seen.connects, 1);
    assert_string_equal(seen.peer, "::1");
    assert_int_equal(accepted, 1);
}

static void test_ipv6_that_is_refused_gives_way_to_ipv4(void **state) {
    (void)state;
    int port = port_of(serve("127.0.0.2", 0));
    add_a("both.test", "127.0.0.2");
    add_aaaa("both.test", "::1");
    static seen_t seen;
    connect_to(&seen, "both.test", port);
    run_until(&seen.connects, 1);
    assert_string_equal(seen.peer, "127.0.0.2");
    assert_int_equal(seen.closes, 0);
}

static void test_aaaa_that_is_never_answered_does_not_hold_ipv4_up(void **state) {
    (void)state;
    fake_dns_use(dns, loop, 60000);
    int port = port_of(serve("127.0.0.2", 0));
    add_a("both.test", "127.0.0.2");
    fake_dns_rule(dns, "both.test", HDNS_AAAA, FAKE_DNS_SILENT, 0);
    static seen_t seen;
    connect_to(&seen, "both.test", port);
    run_until(&seen.connects, 1);
    assert_string_equal(seen.peer, "127.0.0.2");
    assert_int_equal(hdns_queries(loop), 0);
}

static void test_a_that_is_answered_late_is_tried_when_ipv6_failed(void **state) {
    (void)state;
    int port = port_of(serve("127.0.0.2", 0));
    add_a("both.test", "127.0.0.2");
    fake_dns_rule(dns, "both.test", HDNS_A, FAKE_DNS_ANSWER, 30);
    add_aaaa("both.test", "::1");
    static seen_t seen;
    connect_to(&seen, "both.test", port);
    run_until(&seen.connects, 1);
    assert_string_equal(seen.peer, "127.0.0.2");
}

static void test_address_that_does_not_answer_gives_way_to_the_next(void **state) {
    (void)state;
    int port = open_hole(0);
    add_a("hole.test", "127.0.0.66");
    static seen_t alone;
    hio_t *io = connect_to(&alone, "hole.test", port);
    hio_set_connect_timeout(io, 100);
    run_until(&alone.closes, 1);
    assert_int_equal(alone.error, ETIMEDOUT);
    assert_int_equal(alone.connects, 0);

    hio_t *six = hloop_create_tcp_listener(loop, "::1", port, on_accept, 0, HIO_LISTEN_IPV6_ONLY);
    if (six != NULL) {
        /* The hole first, as only IPv4 is known; IPv6 comes while it is being tried. */
        add_a("late.test", "127.0.0.66");
        add_aaaa("late.test", "::1");
        fake_dns_rule(dns, "late.test", HDNS_AAAA, FAKE_DNS_ANSWER, 150);
        static seen_t seen;
        connect_to(&seen, "late.test", port);
        run_until(&seen.connects, 1);
        assert_string_equal(seen.peer, "::1");
        hnet_t *net = loop->net;
        assert_null(net->connects); /* the loser is gone with the connector */
    }
    close_hole();
}

static void test_all_addresses_refused_closes_with_refused(void **state) {
    (void)state;
    hio_t *listener = serve("127.0.0.2", 0);
    int port = port_of(listener);
    hio_close(listener);
    pass();
    add_a("shut.test", "127.0.0.2");
    add_a("shut.test", "127.0.0.3");
    add_aaaa("shut.test", "::1");
    static seen_t seen;
    connect_to(&seen, "shut.test", port);
    run_until(&seen.closes, 1);
    assert_int_equal(seen.error, ECONNREFUSED);
    assert_int_equal(seen.connects, 0);
}

static void test_name_nobody_has_closes_with_not_found(void **state) {
    (void)state;
    static seen_t seen;
    connect_to(&seen, "none.test", 80);
    run_until(&seen.closes, 1);
    assert_int_equal(seen.error, -HV_ENOTFOUND);
}

static void test_name_server_that_fails_tells_more_than_not_found(void **state) {
    (void)state;
    fake_dns_rule(dns, "half.test", HDNS_A, FAKE_DNS_SERVFAIL, 0);
    static seen_t seen;
    connect_to(&seen, "half.test", 80);
    run_until(&seen.closes, 1);
    assert_int_equal(seen.error, EREMOTEIO);
}

static void test_connect_timeout_covers_the_name_too(void **state) {
    (void)state;
    fake_dns_use(dns, loop, 60000);
    fake_dns_rule(dns, "mute.test", HDNS_A, FAKE_DNS_SILENT, 0);
    fake_dns_rule(dns, "mute.test", HDNS_AAAA, FAKE_DNS_SILENT, 0);
    static seen_t seen;
    hio_t *io = connect_to(&seen, "mute.test", 80);
    hio_set_connect_timeout(io, 20);
    run_until(&seen.closes, 1);
    assert_int_equal(seen.error, ETIMEDOUT);
    assert_int_equal(hdns_queries(loop), 0);
}

static void test_close_while_resolving_reports_once_without_error(void **state) {
    (void)state;
    fake_dns_rule(dns, "mute.test", HDNS_A, FAKE_DNS_SILENT, 0);
    fake_dns_rule(dns, "mute.test", HDNS_AAAA, FAKE_DNS_SILENT, 0);
    static seen_t before, after;
    hio_close(connect_to(&before, "mute.test", 80)); /* before the question has left */
    assert_int_equal(before.closes, 0);
    run_until(&before.closes, 1);
    assert_int_equal(before.error, 0);
    hio_t *io = connect_to(&after, "mute.test", 80);
    for (int i = 0; i < PASSES_MAX && fake_dns_questions(dns) < 2; i++) pass();
    hio_close(io);
    hio_close(io);
    assert_int_equal(after.closes, 0);
    run_until(&after.closes, 1);
    assert_int_equal(after.connects, 0);
    assert_int_equal(hdns_queries(loop), 0);
}

static void test_close_while_attempts_run_closes_their_sockets(void **state) {
    (void)state;
    int port = open_hole(0);
    add_a("hole.test", "127.0.0.66");
    static seen_t seen;
    hio_t *io = connect_to(&seen, "hole.test", port);
    for (int i = 0; i < PASSES_MAX && !hv__connect_has_begun(io); i++) pass();
    hio_close(io);
    run_until(&seen.closes, 1);
    assert_int_equal(seen.error, 0);
    close_hole();
}

static void test_close_in_the_connect_callback_closes_once(void **state) {
    (void)state;
    int port = port_of(serve("127.0.0.2", 0));
    add_a("one.test", "127.0.0.2");
    static seen_t seen;
    connect_to(&seen, "one.test", port);
    seen.closes_at_once = 1;
    run_until(&seen.closes, 1);
    assert_int_equal(seen.connects, 1);
    assert_int_equal(seen.error, 0);
}

static void test_loop_freed_in_every_phase_closes_each_once(void **state) {
    (void)state;
    int port = open_hole(0);
    fake_dns_rule(dns, "mute.test", HDNS_A, FAKE_DNS_SILENT, 0);
    fake_dns_rule(dns, "mute.test", HDNS_AAAA, FAKE_DNS_SILENT, 0);
    add_a("hole.test", "127.0.0.66");
    static seen_t waiting, trying, fresh;
    connect_to(&waiting, "mute.test", 80);
    hio_t *io = connect_to(&trying, "hole.test", port);
    for (int i = 0; i < PASSES_MAX && !hv__connect_has_begun(io); i++) pass();
    connect_to(&fresh, "hole.test", port);
    hloop_free(&loop);
    assert_int_equal(waiting.closes, 1);
    assert_int_equal(trying.closes, 1);
    assert_int_equal(fresh.closes, 1);
    close_hole();
}

static void test_bound_client_comes_from_its_address(void **state) {
    (void)state;
    int port = port_of(serve("127.0.0.2", 0));
    add_a("both.test", "127.0.0.2");
    add_aaaa("both.test", "::1"); /* left out: the bound address is of the other family */
    static seen_t seen;
    hio_t *io = connect_to(&seen, "both.test", port);
    assert_int_equal(hio_set_bind(io, "nobody.test", 0), HV_ENOTFOUND);
    assert_int_equal(hio_set_bind(io, "/path", 0), HV_EINVAL);
    assert_int_equal(hio_set_bind(io, "127.0.0.77", 0), 0);
    run_until(&seen.connects, 1);
    assert_string_equal(seen.local, "127.0.0.77");
    assert_int_equal(hio_set_bind(io, "127.0.0.77", 0), HV_EBUSY);

    static seen_t literal = {0};
    hio_t *direct = hio_tcp_client(loop, "127.0.0.2", port, on_connect, on_close);
    hevent_set_userdata(direct, &literal);
    assert_int_equal(hio_set_bind(direct, "127.0.0.78", 0), 0);
    run_until(&literal.connects, 1);
    assert_string_equal(literal.local, "127.0.0.78");

    static seen_t foreign = {0};
    hio_t *wrong = hio_tcp_client(loop, "127.0.0.2", port, on_connect, on_close);
    hevent_set_userdata(wrong, &foreign);
    assert_int_equal(hio_set_bind(wrong, "192.0.2.1", 0), 0); /* not ours: RFC 5737 */
    run_until(&foreign.closes, 1);
    assert_int_equal(foreign.error, EADDRNOTAVAIL);
}

static void test_client_that_meets_itself_is_refused(void **state) {
    (void)state;
    hio_t *server = serve("127.0.0.1", 0);
    int port = port_of(server);
    hio_close(server);
    for (int i = 0; i < 3; i++) pass();
    add_a("self.test", "127.0.0.1");
    static seen_t seen = {0};
    hio_t *io = connect_to(&seen, "self.test", port);
    assert_int_equal(hio_set_bind(io, "127.0.0.1", port), 0);
    run_until(&seen.closes, 1);
    assert_int_equal(seen.connects, 0);
    assert_int_equal(seen.error, ECONNREFUSED);
}

static void test_ports_out_of_range_are_refused_at_once(void **state) {
    (void)state;
    assert_null(hio_tcp_client(loop, "a.test", 0, on_connect, on_close));
    assert_int_equal(hloop_last_error(loop), HV_EINVAL);
    assert_null(hio_tcp_client(loop, "a.test", 65536, on_connect, on_close));
    assert_int_equal(hloop_last_error(loop), HV_EINVAL);
    assert_null(hloop_create_udp_client(loop, "a.test", -1));
    assert_int_equal(hloop_last_error(loop), HV_EINVAL);
}

static void test_connecting_client_keeps_the_loop_running(void **state) {
    (void)state;
    hloop_t *quitting = hloop_new(HLOOP_FLAG_QUIT_WHEN_NO_ACTIVE_EVENTS);
    fake_dns_t *own = fake_dns_open(quitting);
    fake_dns_use(own, quitting, 200);
    static seen_t seen = {0};
    hio_t *io = hio_tcp_client(quitting, "none.test", 80, on_connect, on_close);
    hevent_set_userdata(io, &seen);
    assert_int_equal(hloop_nios(quitting), 3);
    assert_int_equal(hloop_run(quitting), 0);
    assert_int_equal(seen.closes, 1);
    assert_int_equal(hloop_nios(quitting), 2);
    hloop_free(&quitting);
    fake_dns_free(own);
}

/* ---- From another thread ---- */

static void *write_from_afar(void *arg) {
    hio_t *io = arg;
    assert_int_equal(hio_write(io, "far", 3), 3);
    return NULL;
}

static void test_write_posted_while_resolving_arrives(void **state) {
    (void)state;
    int port = port_of(serve("127.0.0.2", 0));
    add_a("one.test", "127.0.0.2");
    static seen_t seen;
    hio_t *io = connect_to(&seen, "one.test", port);
    hio_setcb_read(io, on_read);
    hio_read(io);
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, write_from_afar, io), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
    run_until(&seen.bytes, 3);
    assert_memory_equal(seen.data, "far", 3);
}

/* ---- Datagrams ---- */

static void test_datagram_client_by_name_connects_then_sends(void **state) {
    (void)state;
    hio_t *server = hloop_create_udp_server(loop, "127.0.0.2", 0);
    hio_setcb_read(server, echo);
    hio_read(server);
    add_a("udp.test", "127.0.0.2");
    static seen_t seen = {0};
    hio_t *io = hloop_create_udp_client(loop, "udp.test", port_of(server));
    assert_non_null(io);
    hevent_set_userdata(io, &seen);
    hio_setcb_connect(io, on_connect);
    hio_setcb_read(io, on_read);
    hio_read(io);
    assert_int_equal(hio_write(io, "soon", 4), HV_EAGAIN);
    run_until(&seen.connects, 1);
    assert_int_equal(hio_write(io, "now", 3), 3);
    run_until(&seen.bytes, 3);
    assert_memory_equal(seen.data, "now", 3);
}

static void test_datagram_client_of_an_unknown_name_closes(void **state) {
    (void)state;
    static seen_t seen = {0};
    hio_t *io = hloop_create_udp_client(loop, "none.test", 53);
    assert_non_null(io);
    hevent_set_userdata(io, &seen);
    hio_setcb_close(io, on_close);
    run_until(&seen.closes, 1);
    assert_int_equal(seen.error, -HV_ENOTFOUND);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_name_with_one_address_connects_and_echoes),
        TEST(test_name_of_both_families_prefers_ipv6),
        TEST(test_ipv6_that_is_answered_just_after_ipv4_is_still_preferred),
        TEST(test_ipv6_that_is_refused_gives_way_to_ipv4),
        TEST(test_aaaa_that_is_never_answered_does_not_hold_ipv4_up),
        TEST(test_a_that_is_answered_late_is_tried_when_ipv6_failed),
        TEST(test_address_that_does_not_answer_gives_way_to_the_next),
        TEST(test_all_addresses_refused_closes_with_refused),
        TEST(test_name_nobody_has_closes_with_not_found),
        TEST(test_name_server_that_fails_tells_more_than_not_found),
        TEST(test_connect_timeout_covers_the_name_too),
        TEST(test_close_while_resolving_reports_once_without_error),
        TEST(test_close_while_attempts_run_closes_their_sockets),
        TEST(test_close_in_the_connect_callback_closes_once),
        TEST(test_loop_freed_in_every_phase_closes_each_once),
        TEST(test_bound_client_comes_from_its_address),
        TEST(test_client_that_meets_itself_is_refused),
        TEST(test_ports_out_of_range_are_refused_at_once),
        TEST(test_connecting_client_keeps_the_loop_running),
        TEST(test_write_posted_while_resolving_arrives),
        TEST(test_datagram_client_by_name_connects_then_sends),
        TEST(test_datagram_client_of_an_unknown_name_closes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
