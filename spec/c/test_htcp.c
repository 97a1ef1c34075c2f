/* Tests of runtime/net/htcp.c: listening, accepting, connecting, and how they fail. */
#include <sys/resource.h>

#include "loop_test.h"

static hloop_t *loop;
static size_t blocks_before;
static int accepts, connects, closes, last_error;
static hio_t *last_accepted;

static int set_up(void **state) {
    (void)state;
    blocks_before = hv__mem_live_blocks();
    loop = hloop_new(0);
    accepts = connects = closes = last_error = 0;
    last_accepted = NULL;
    return loop == NULL;
}

static int tear_down(void **state) {
    (void)state;
    hloop_free(&loop);
    return hv__mem_live_blocks() != blocks_before;
}

static void on_accept(hio_t *io) {
    accepts++;
    last_accepted = io;
    assert_true(hio_is_connected(io));
}

static void on_connect(hio_t *io) {
    connects++;
    assert_true(hio_is_connected(io));
}

static void on_close(hio_t *io) {
    closes++;
    last_error = hio_error(io);
    assert_true(hio_is_closed(io));
}

static void test_tcp_connects_with_addresses_userdata_and_no_delay(void **state) {
    (void)state;
    hio_t *server = hloop_create_tcp_server(loop, "127.0.0.1", 0, on_accept);
    assert_non_null(server);
    hevent_set_userdata(server, &accepts);
    hio_t *client = hloop_create_tcp_client(loop, "127.0.0.1", port_of(server), on_connect);
    assert_non_null(client);
    assert_int_equal(connects, 0);
    RUN_UNTIL(loop, connects == 1 && accepts == 1);
    assert_ptr_equal(hevent_userdata(last_accepted), &accepts);
    assert_int_equal(hio_type(client), HIO_TYPE_TCP);
    assert_int_equal(ntohs(((struct sockaddr_in *)hio_peeraddr(client))->sin_port),
                     port_of(server));
    assert_int_equal(ntohs(((struct sockaddr_in *)hio_peeraddr(last_accepted))->sin_port),
                     port_of(client));
    for (int i = 0; i < 2; i++) {
        int value = 0;
        socklen_t len = sizeof value;
        getsockopt(hio_fd(i ? client : last_accepted), IPPROTO_TCP, TCP_NODELAY, &value, &len);
        assert_int_equal(value, 1);
    }
}

static void test_tcp_accept_burst(void **state) {
    (void)state;
    enum { BURST = 300 };
    hio_t *server = hloop_create_tcp_listener(loop, "127.0.0.1", 0, on_accept, BURST + 50, 0);
    assert_non_null(server);
    for (int i = 0; i < BURST; i++) {
        hio_t *client = hloop_create_tcp_client(loop, "127.0.0.1", port_of(server), on_connect,
                                                on_close);
        assert_non_null(client);
    }
    RUN_UNTIL(loop, accepts == BURST && connects == BURST);
    assert_int_equal(hloop_nios(loop), 2 * BURST + 1);
    assert_int_equal(closes, 0);
}

static void write_and_close(hio_t *io) {
    accepts++;
    hio_write(io, "hi", 2);
    hio_close(io);
}

static void test_tcp_ten_thousand_opened_and_dropped(void **state) {
    (void)state;
    enum { TOTAL = 10000, AT_ONCE = 100 };
    hio_t *server = hloop_create_tcp_server(loop, "127.0.0.1", 0, write_and_close);
    int port = port_of(server);
    for (int begun = 0; begun < TOTAL; begun += AT_ONCE) {
        for (int i = 0; i < AT_ONCE; i++) {
            hio_t *client = hloop_create_tcp_client(loop, "127.0.0.1", port, NULL, on_close);
            assert_non_null(client);
            hio_read(client);
        }
        RUN_UNTIL(loop, closes == begun + AT_ONCE);
    }
    assert_int_equal(accepts, TOTAL);
    assert_int_equal(hloop_nios(loop), 1);
    assert_int_equal(hloop_ntimers(loop), 0);
}

static int unused_port(void) {
    hsock_addr_t addr;
    socklen_t len = (socklen_t)hsock_address(&addr, "127.0.0.1", 0);
    int fd = hsock_listen(&addr, len, 1, 0);
    assert_true(fd >= 0);
    hsock_local_address(fd, &addr);
    close(fd);
    return ntohs(addr.in.sin_port);
}

static void test_tcp_refused_connect_tells_in_close_only(void **state) {
    (void)state;
    hio_t *client = hloop_create_tcp_client(loop, "127.0.0.1", unused_port(), on_connect, on_close);
    assert_non_null(client);
    assert_int_equal(closes, 0);
    RUN_UNTIL(loop, closes == 1);
    assert_int_equal(connects, 0);
    assert_int_equal(last_error, ECONNREFUSED);
}

static void test_tcp_connect_that_hangs_times_out(void **state) {
    (void)state;
    hclock_set_fake(1000000);
    hloop_t *fake = hloop_new_with_backend(0, "fake"); /* nothing is ever ready */
    hio_t *server = hloop_create_tcp_server(fake, "127.0.0.1", 0, on_accept);
    hio_t *client = hloop_create_tcp_client(fake, "127.0.0.1", port_of(server), on_connect,
                                            on_close);
    hio_set_connect_timeout(client, 3000);
    while (closes == 0) assert_true(hloop_process_events(fake, (int)INFINITE) >= 0);
    assert_int_equal(last_error, ETIMEDOUT);
    assert_int_equal(connects, 0);
    assert_int_equal(hclock_mono_us(), 1000000 + 3000000);
    hloop_free(&fake);
    hclock_use_real();
}

static void test_tcp_connect_closed_at_once_never_connects(void **state) {
    (void)state;
    hio_t *server = hloop_create_tcp_server(loop, "127.0.0.1", 0, on_accept);
    hio_t *client = hloop_create_tcp_client(loop, "127.0.0.1", port_of(server), on_connect,
                                            on_close);
    hio_close(client);
    RUN_UNTIL(loop, closes == 1);
    assert_int_equal(connects, 0);
    assert_int_equal(last_error, 0);
}

static char heard[64];
static size_t heard_len;

static void on_read(hio_t *io, void *buf, int len) {
    (void)io;
    assert_true(heard_len + (size_t)len < sizeof heard);
    memcpy(heard + heard_len, buf, (size_t)len);
    heard_len += (size_t)len;
}

static void accept_and_read(hio_t *io) {
    on_accept(io);
    hio_setcb_read(io, on_read);
    hio_read(io);
}

static void write_more(hio_t *io) {
    on_connect(io);
    hio_write(io, "world", 5);
}

static void test_tcp_writes_before_the_connection_come_first(void **state) {
    (void)state;
    heard_len = 0;
    hio_t *server = hloop_create_tcp_server(loop, "127.0.0.1", 0, accept_and_read);
    hio_t *client = hloop_create_tcp_client(loop, "127.0.0.1", port_of(server), write_more);
    assert_int_equal(hio_write(client, "hello ", 6), 6);
    RUN_UNTIL(loop, heard_len == 11);
    assert_memory_equal(heard, "hello world", 11);
}

static void test_tcp_ipv6(void **state) {
    (void)state;
    hio_t *server = hloop_create_tcp_server(loop, "::1", 0, on_accept);
    if (server == NULL) {
        assert_int_equal(hloop_last_error(loop), -EADDRNOTAVAIL); /* a machine without IPv6 */
        return;
    }
    hio_t *client = hloop_create_tcp_client(loop, "[::1]", port_of(server), on_connect);
    RUN_UNTIL(loop, connects == 1 && accepts == 1);
    assert_int_equal(hio_peeraddr(client)->sa_family, AF_INET6);
}

static void test_tcp_unix_socket_by_path(void **state) {
    (void)state;
    char path[64];
    snprintf(path, sizeof path, "/tmp/hv_test_%d.sock", (int)getpid());
    for (int i = 1; i <= 2; i++) { /* the second time a stale file is in the way */
        hio_t *server = hloop_create_tcp_server(loop, path, 0, on_accept);
        assert_non_null(server);
        hio_t *client = hloop_create_tcp_client(loop, path, 0, on_connect, on_close);
        assert_non_null(client);
        assert_string_equal(((struct sockaddr_un *)hio_peeraddr(client))->sun_path, path);
        RUN_UNTIL(loop, connects == i && accepts == i);
        assert_int_equal(hio_type(client), HIO_TYPE_PIPE);
        assert_null(hloop_create_tcp_server(loop, path, 0, on_accept));
        assert_int_equal(hloop_last_error(loop), HV_EADDRINUSE);
        hio_close(server);
        hio_close(client);
        hio_close(last_accepted);
        RUN_UNTIL(loop, hloop_nios(loop) == 0);
        accepts = i; /* the probe of the refused server may have been accepted */
    }
    closes = 0;
    hio_t *client = hloop_create_tcp_client(loop, path, 0, on_connect, on_close);
    assert_non_null(client);
    RUN_UNTIL(loop, closes == 1);
    assert_int_equal(last_error, ECONNREFUSED);
    unlink(path);
}

static void test_tcp_address_in_use_is_told(void **state) {
    (void)state;
    hio_t *server = hloop_create_tcp_server(loop, "127.0.0.1", 0, on_accept);
    assert_null(hloop_create_tcp_server(loop, "127.0.0.1", port_of(server), on_accept));
    assert_int_equal(hloop_last_error(loop), HV_EADDRINUSE);
    hio_t *one = hloop_create_tcp_listener(loop, "127.0.0.1", 0, on_accept, 0,
                                           HIO_LISTEN_REUSE_PORT);
    assert_non_null(hloop_create_tcp_listener(loop, "127.0.0.1", port_of(one), on_accept, 0,
                                              HIO_LISTEN_REUSE_PORT));
}

/* Without descriptors the listener rests; connections that wait are taken when there are some. */
static void test_tcp_out_of_descriptors_is_survived_without_spinning(void **state) {
    (void)state;
    hclock_set_fake(1000000);
    hloop_t *fake = hloop_new_with_backend(0, "fake");
    hio_t *server = hloop_create_tcp_server(fake, "127.0.0.1", 0, on_accept);
    hsock_addr_t addr;
    socklen_t len = (socklen_t)hsock_address(&addr, "127.0.0.1", port_of(server));
    int client = hsock_open(AF_INET, SOCK_STREAM);
    assert_int_equal(hsock_connect(client, &addr.sa, len), -EINPROGRESS);
    int fd = hio_fd(server);
    struct rlimit before;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    struct rlimit none = {.rlim_cur = (rlim_t)client + 1, .rlim_max = before.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    hpoll_fake_push(fake->poll, fd, HPOLL_READ);
    RUN_PASSES(fake, 1);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    assert_int_equal(accepts, 0);
    assert_int_equal(hloop_last_error(fake), -EMFILE);
    assert_int_equal(hpoll_fake_interest(fake->poll, fd), 0); /* it does not spin */
    while (hpoll_fake_interest(fake->poll, fd) == 0) {
        assert_true(hloop_process_events(fake, (int)INFINITE) >= 0);
    }
    assert_true(hclock_mono_us() <= 2000000);
    hpoll_fake_push(fake->poll, fd, HPOLL_READ);
    RUN_PASSES(fake, 1);
    assert_int_equal(accepts, 1);
    hloop_free(&fake);
    close(client);
    hclock_use_real();
}

static void test_tcp_foreign_listener_and_connecting_descriptor(void **state) {
    (void)state;
    hsock_addr_t addr;
    socklen_t len = (socklen_t)hsock_address(&addr, "127.0.0.1", 0);
    int listen_fd = hsock_listen(&addr, len, 10, 0);
    hio_t *server = haccept(loop, listen_fd, on_accept);
    assert_non_null(server);
    assert_ptr_equal(haccept(loop, listen_fd, on_accept), server); /* again changes nothing */
    int fd = hsock_open(AF_INET, SOCK_STREAM);
    hio_t *client = hio_get(loop, fd);
    hsock_local_address(listen_fd, &addr);
    hio_set_peeraddr(client, &addr.sa, len);
    assert_ptr_equal(hconnect(loop, fd, on_connect), client);
    RUN_UNTIL(loop, connects == 1 && accepts == 1);
    assert_null(haccept(loop, fd, on_accept));
    assert_int_equal(hloop_last_error(loop), HV_EINVAL);
}

/* haccept asks for an exclusive wake-up on a listener that was registered without one. */
static void test_tcp_haccept_on_own_listener_keeps_it_open(void **state) {
    (void)state;
    hio_t *server = hloop_create_tcp_server(loop, "127.0.0.1", 0, NULL);
    hio_setcb_close(server, on_close);
    assert_ptr_equal(haccept(loop, hio_fd(server), on_accept), server);
    hio_t *client = hloop_create_tcp_client(loop, "127.0.0.1", port_of(server), on_connect);
    assert_non_null(client);
    RUN_UNTIL(loop, accepts == 1 && connects == 1);
    assert_int_equal(closes, 0);
}

static void test_tcp_listener_without_callback_drops_connections(void **state) {
    (void)state;
    hsock_addr_t addr;
    socklen_t len = (socklen_t)hsock_address(&addr, "127.0.0.1", 0);
    int listen_fd = hsock_listen(&addr, len, 10, 0);
    hio_t *server = hio_get(loop, listen_fd);
    hio_read(server);
    hio_t *client = hloop_create_tcp_client(loop, "127.0.0.1", port_of(server), on_connect,
                                            on_close);
    hio_read(client);
    RUN_UNTIL(loop, closes == 1);
    assert_int_equal(connects, 1);
}

static hloop_t *worker;

static void hand_over(hio_t *io) {
    on_accept(io);
    hio_detach(io);
    hio_attach(worker, io);
    hio_setcb_read(io, on_read);
    hio_read(io);
}

static void test_tcp_accepted_is_handed_to_another_loop(void **state) {
    (void)state;
    worker = hloop_new(0);
    heard_len = 0;
    hio_t *server = hloop_create_tcp_server(loop, "127.0.0.1", 0, hand_over);
    hio_t *client = hloop_create_tcp_client(loop, "127.0.0.1", port_of(server), write_more);
    assert_non_null(client);
    RUN_UNTIL(loop, accepts == 1 && connects == 1);
    RUN_BOTH_UNTIL(loop, worker, heard_len == 5);
    assert_int_equal(hloop_nios(worker), 1);
    hloop_free(&worker);
}

/* Given away before connect(2) was called. */
static void test_tcp_connecting_is_handed_to_another_loop(void **state) {
    (void)state;
    worker = hloop_new(0);
    hio_t *server = hloop_create_tcp_server(loop, "127.0.0.1", 0, on_accept);
    hio_t *client = hloop_create_tcp_client(loop, "127.0.0.1", port_of(server), on_connect,
                                            on_close);
    hio_detach(client);
    assert_int_equal(hio_write(client, "x", 1), HV_ECLOSED);
    hio_attach(worker, client);
    RUN_BOTH_UNTIL(loop, worker, connects == 1 && accepts == 1);
    hio_detach(client);
    hio_close(client); /* detached: freed without a word */
    assert_int_equal(closes, 0);
    hloop_free(&worker);
}

static void test_tcp_bad_addresses_are_refused(void **state) {
    (void)state;
    assert_null(hloop_create_tcp_server(loop, "127.0.0.1", 65536, on_accept));
    assert_int_equal(hloop_last_error(loop), HV_EINVAL);
    assert_null(hloop_create_tcp_server(loop, "999.1.1.1", 80, on_accept));
    assert_int_equal(hloop_last_error(loop), HV_ENOTFOUND);
}

/* A client whose own end got the port that it wants to connect to would talk with itself. */
static void test_tcp_connection_to_oneself_is_refused(void **state) {
    (void)state;
    static const char *const hosts[] = {"127.0.0.1", "::1"};
    for (int i = 0; i < 2; i++) {
        hio_t *server = hloop_create_tcp_server(loop, hosts[i], 0, on_accept);
        assert_non_null(server);
        int port = port_of(server); /* free again in a moment */
        hio_setcb_close(server, on_close);
        hio_close(server);
        RUN_UNTIL(loop, closes == 1);
        hio_t *client = hio_tcp_client(loop, hosts[i], port, on_connect, on_close);
        assert_int_equal(hio_set_bind(client, hosts[i], port), 0);
        RUN_UNTIL(loop, closes == 2);
        assert_int_equal(last_error, ECONNREFUSED);
        assert_int_equal(connects, 0);
        /* The port is free for whoever really listens there. */
        server = hloop_create_tcp_server(loop, hosts[i], port, on_accept);
        assert_non_null(server);
        closes = 0;
    }
}

#define TCP_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        TCP_TEST(test_tcp_connects_with_addresses_userdata_and_no_delay),
        TCP_TEST(test_tcp_accept_burst),
        TCP_TEST(test_tcp_ten_thousand_opened_and_dropped),
        TCP_TEST(test_tcp_refused_connect_tells_in_close_only),
        TCP_TEST(test_tcp_connect_that_hangs_times_out),
        TCP_TEST(test_tcp_connect_closed_at_once_never_connects),
        TCP_TEST(test_tcp_writes_before_the_connection_come_first),
        TCP_TEST(test_tcp_ipv6),
        TCP_TEST(test_tcp_unix_socket_by_path),
        TCP_TEST(test_tcp_address_in_use_is_told),
        TCP_TEST(test_tcp_out_of_descriptors_is_survived_without_spinning),
        TCP_TEST(test_tcp_foreign_listener_and_connecting_descriptor),
        TCP_TEST(test_tcp_haccept_on_own_listener_keeps_it_open),
        TCP_TEST(test_tcp_listener_without_callback_drops_connections),
        TCP_TEST(test_tcp_accepted_is_handed_to_another_loop),
        TCP_TEST(test_tcp_connecting_is_handed_to_another_loop),
        TCP_TEST(test_tcp_bad_addresses_are_refused),
        TCP_TEST(test_tcp_connection_to_oneself_is_refused),
    };
    return cmocka_run_group_tests_name("htcp", tests, NULL, NULL);
}
