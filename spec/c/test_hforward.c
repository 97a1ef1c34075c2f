/* test_hforward.c - forwarding: a client, a proxy and a server in one loop. The client sends a
 * stream through the proxy, the server answers when it has seen its end; every byte is compared. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "certs.h"
#include "hloop.h"
#include "hmem.h"
#include "hsocket.h"
#include "hssl.h"

enum { TCP, TLS, UNIX };

/* Hostile builds read byte by byte. */
#ifdef HV_HOSTILE
#define SHORT_BYTES  3000
#define STREAM_BYTES (16 << 10)
#else
#define SHORT_BYTES  100000
#define STREAM_BYTES (6 << 20)
#endif


/* One end of the conversation: what it sends, and what it has got. */
typedef struct end_s {
    size_t to_send, sent, got;
    unsigned key;
    int is_wrong, eofs, closes, error;
} end_t;

typedef struct run_s {
    hloop_t *loop;
    int front, back; /* kinds */
    int sets_up_tls; /* the proxy connects by hio_setup_ssl_upstream, */
    hssl_ctx_t upstream_ctx; /* with this context or its own */
    hio_t *front_listener, *back_listener;
    hio_t *client_io, *proxy_io, *upstream_io, *server_io;
    hssl_ctx_t client_ctx;
    char front_path[64], back_path[64];
    end_t client, server;
    int server_is_slow;  /* does not read by itself */
    int server_aborts;   /* resets at the first bytes */
    uint64_t passed_on, passed_back;
    int proxy_closes, upstream_closes, upstream_error;
} run_t;

static run_t *run_of(hio_t *io) { return hloop_userdata(hevent_loop(io)); }

static unsigned char byte_at(unsigned key, size_t at) {
    return (unsigned char)(at * 31 + at / 251 + key);
}

static void send_more(hio_t *io, end_t *end) {
    unsigned char block[20000];
    while (end->sent < end->to_send && !hio_write_is_high(io)) {
        size_t len = end->to_send - end->sent;
        if (len > sizeof block) len = sizeof block;
        for (size_t i = 0; i < len; i++) block[i] = byte_at(end->key, end->sent + i);
        assert_int_equal(hio_write(io, block, len), (int)len);
        end->sent += len;
    }
    if (end->sent < end->to_send) return;
    if (end->eofs > 0) {
        hio_close(io);
    } else {
        hio_shutdown(io);
    }
}

/* What an end gets is what the other one sends. */
static void check(end_t *end, unsigned key, const void *buf, int len) {
    const unsigned char *bytes = buf;
    for (int i = 0; i < len; i++) {
        if (bytes[i] != byte_at(key, end->got + (size_t)i)) end->is_wrong = 1;
    }
    end->got += (size_t)len;
}

/* ---- The server: reads to the end, then answers ---- */

static void on_server_read(hio_t *io, void *buf, int len) {
    run_t *run = run_of(io);
    check(&run->server, run->client.key, buf, len);
    if (run->server_aborts) {
        hio_write(io, "x", 1); /* a reset, since something is queued */
        hio_abort(io);
    }
}

static void on_server_drain(hio_t *io) { send_more(io, &run_of(io)->server); }

static void on_server_eof(hio_t *io) {
    run_of(io)->server.eofs++;
    send_more(io, &run_of(io)->server);
}

static void on_server_close(hio_t *io) {
    run_t *run = run_of(io);
    run->server.closes++;
    run->server.error = hio_error(io);
    run->server_io = NULL;
}

static void on_server_accept(hio_t *io) {
    run_t *run = run_of(io);
    run->server_io = io;
    hio_setcb_read(io, on_server_read);
    hio_setcb_eof(io, on_server_eof);
    hio_setcb_drain(io, on_server_drain);
    hio_setcb_close(io, on_server_close);
    if (!run->server_is_slow) hio_read(io);
}

/* ---- The proxy ---- */

static void on_proxy_close(hio_t *io) {
    run_t *run = run_of(io);
    run->proxy_closes++;
    run->passed_on = hio_forwarded_bytes(io);
    run->proxy_io = NULL;
}

static void on_upstream_close(hio_t *io) {
    run_t *run = run_of(io);
    run->upstream_closes++;
    run->upstream_error = hio_error(io);
    run->passed_back = hio_forwarded_bytes(io);
    run->upstream_io = NULL;
}

static int port_of(hio_t *io) { return sockaddr_port((sockaddr_u *)(void *)hio_localaddr(io)); }

static hio_t *connect_to(run_t *run, int kind, hio_t *listener, const char *path,
                         hconnect_cb on_connect) {
    const char *host = kind == UNIX ? path : "127.0.0.1";
    int port = kind == UNIX ? 0 : port_of(listener);
    hio_t *io = hloop_create_tcp_client(run->loop, host, port, on_connect);
    assert_non_null(io);
    if (kind == TLS) {
        assert_int_equal(hio_set_ssl_ctx(io, run->client_ctx), 0);
        assert_int_equal(hio_set_hostname(io, "localhost"), 0);
    }
    return io;
}

static void on_proxy_accept(hio_t *io) {
    run_t *run = run_of(io);
    run->proxy_io = io;
    if (run->sets_up_tls) {
        run->upstream_io = hio_setup_ssl_upstream(io, "127.0.0.1", port_of(run->back_listener));
        assert_int_equal(hio_set_hostname(run->upstream_io, "localhost"), 0);
        if (run->upstream_ctx != NULL) {
            assert_int_equal(hio_set_ssl_ctx(run->upstream_io, run->upstream_ctx), 0);
        }
    } else {
        run->upstream_io = connect_to(run, run->back, run->back_listener, run->back_path, NULL);
        assert_int_equal(hio_forward(io, run->upstream_io), 0);
    }
    hio_setcb_close(io, on_proxy_close);
    hio_setcb_close(run->upstream_io, on_upstream_close);
    assert_ptr_equal(hio_get_upstream(io), run->upstream_io);
    assert_ptr_equal(hio_get_upstream(run->upstream_io), io);
}

/* ---- The client ---- */

static void on_client_read(hio_t *io, void *buf, int len) {
    run_t *run = run_of(io);
    check(&run->client, run->server.key, buf, len);
}

static void on_client_drain(hio_t *io) { send_more(io, &run_of(io)->client); }

static void on_client_eof(hio_t *io) {
    run_of(io)->client.eofs++;
    hio_close(io);
}

static void on_client_close(hio_t *io) {
    run_t *run = run_of(io);
    run->client.closes++;
    run->client.error = hio_error(io);
    run->client_io = NULL;
}

static void on_client_connect(hio_t *io) {
    hio_setcb_drain(io, on_client_drain);
    hio_setcb_read(io, on_client_read);
    hio_setcb_eof(io, on_client_eof);
    hio_read(io);
    send_more(io, &run_of(io)->client);
}

/* ---- A run ---- */

static hio_t *listen_as(run_t *run, int kind, char path[64], haccept_cb on_accept) {
    snprintf(path, 64, "%s/%p.sock", certs.dir, (void *)path);
    hio_t *io = hloop_create_tcp_server(run->loop, kind == UNIX ? path : "127.0.0.1", 0, on_accept);
    assert_non_null(io);
    hssl_ctx_opt_t opt = {.crt_file = certs.server, .key_file = certs.server_key};
    if (kind == TLS) assert_int_equal(hio_new_ssl_ctx(io, &opt), 0);
    return io;
}

static void begin(run_t *run) {
    run->loop = hloop_new(0);
    hloop_set_userdata(run->loop, run);
    hssl_ctx_opt_t opt = {.ca_file = certs.ca, .endpoint = HSSL_CLIENT};
    run->client_ctx = hssl_ctx_new(&opt);
    assert_non_null(run->client_ctx);
    run->client.key = 1;
    run->server.key = 77;
    run->back_listener = listen_as(run, run->back, run->back_path, on_server_accept);
    run->front_listener = listen_as(run, run->front, run->front_path, on_proxy_accept);
    run->client_io = connect_to(run, run->front, run->front_listener, run->front_path,
                                on_client_connect);
    hio_setcb_close(run->client_io, on_client_close);
}

static int is_over(const run_t *run) {
    return run->client.closes > 0 && run->proxy_io == NULL && run->upstream_io == NULL &&
           run->server_io == NULL;
}

static void run_until_over(run_t *run) {
    while (!is_over(run)) hloop_process_events(run->loop, -1);
}

/* Runs until the kernel has nothing for anybody. */
static void run_until_quiet(run_t *run) {
    for (int quiet = 0; quiet < 20;) {
        quiet = hloop_process_events(run->loop, 0) > 0 ? 0 : quiet + 1;
    }
}

static void end(run_t *run) {
    hssl_ctx_free(run->client_ctx);
    hloop_free(&run->loop);
    assert_int_equal(run->proxy_closes, 1);
    assert_int_equal(run->upstream_closes, 1);
    if (run->front == UNIX) unlink(run->front_path);
    if (run->back == UNIX) unlink(run->back_path);
}

static void check_exchange(const run_t *run) {
    assert_int_equal(run->server.got, run->client.to_send);
    assert_int_equal(run->client.got, run->server.to_send);
    assert_false(run->server.is_wrong);
    assert_false(run->client.is_wrong);
    assert_int_equal(run->server.eofs, 1);
    assert_int_equal(run->client.eofs, 1);
    assert_int_equal(run->client.error, 0);
    assert_int_equal(run->server.error, 0);
    assert_int_equal(run->passed_on, run->client.to_send);
    assert_int_equal(run->passed_back, run->server.to_send);
}

static void exchange(int front, int back, size_t there, size_t here) {
    run_t run = {.front = front, .back = back};
    run.client.to_send = there;
    run.server.to_send = here;
    begin(&run);
    run_until_over(&run);
    check_exchange(&run);
    end(&run);
}

static void test_upstream_of_tls_is_set_up_in_one_call(void **state) {
    (void)state;
    setenv("SSL_CERT_FILE", certs.ca, 1); /* it trusts whom the system trusts */
    run_t run = {.front = TCP, .back = TLS, .sets_up_tls = 1};
    run.client.to_send = 100;
    run.server.to_send = 2000;
    begin(&run);
    run_until_over(&run);
    check_exchange(&run);
    end(&run);
    unsetenv("SSL_CERT_FILE");

    /* A context of its own is less trustful, and that counts. */
    hssl_ctx_opt_t opt = {.ca_file = certs.other, .endpoint = HSSL_CLIENT};
    run_t other = {.front = TCP, .back = TLS, .sets_up_tls = 1, .upstream_ctx = hssl_ctx_new(&opt)};
    assert_non_null(other.upstream_ctx);
    other.client.to_send = 100;
    begin(&other);
    while (other.upstream_closes == 0 || other.client.closes == 0) {
        hloop_process_events(other.loop, -1);
    }
    assert_int_equal(other.upstream_error, -HV_ETLS);
    assert_int_equal(other.server.got, 0);
    end(&other);
    hssl_ctx_free(other.upstream_ctx);
}

/* The answer is sent after the question's end: without half-close it would never come. */
static void test_forward_between_all_kinds_keeps_bytes_and_ends(void **state) {
    (void)state;
    for (int front = TCP; front <= UNIX; front++) {
        for (int back = TCP; back <= UNIX; back++) {
            exchange(front, back, SHORT_BYTES, SHORT_BYTES - 999);
        }
    }
}

static void test_forward_of_much_both_ways_keeps_every_byte(void **state) {
    (void)state;
    exchange(TCP, TCP, STREAM_BYTES, STREAM_BYTES);
    exchange(TLS, TLS, STREAM_BYTES, STREAM_BYTES);
}

static void test_forward_of_empty_streams_ends_both(void **state) {
    (void)state;
    exchange(TCP, TCP, 0, 0);
    exchange(UNIX, TLS, 0, 10);
    exchange(TLS, TCP, 10, 0);
}

#ifndef HV_HOSTILE /* the buffers of the kernel are megabytes: too many bytes one by one */
static void test_forward_to_slow_reader_holds_the_writer_back(void **state) {
    (void)state;
    for (int back = TCP; back <= UNIX; back++) {
        run_t run = {.back = back, .server_is_slow = 1};
        run.client.to_send = 24 << 20;
        run.server.to_send = 3;
        begin(&run);
        while (run.upstream_io == NULL) hloop_process_events(run.loop, -1);
        hio_set_write_high(run.upstream_io, 256 << 10);
        run_until_quiet(&run);
        assert_non_null(run.server_io);
        /* One read may pass the mark, no more. */
        size_t queued = hio_write_bufsize(run.upstream_io);
        assert_true(queued > 256 << 10);
        assert_true(queued < (256 << 10) + (80 << 10));
        assert_true(run.client.sent < run.client.to_send);
        assert_int_equal(run.server.got, 0);
        hio_read(run.server_io);
        run_until_over(&run);
        check_exchange(&run);
        end(&run);
    }
}

/* A mark that is lowered below what is queued must not lose the report of the drain. */
static void test_forward_with_mark_lowered_meanwhile_goes_on(void **state) {
    (void)state;
    run_t run = {.server_is_slow = 1};
    run.client.to_send = 12 << 20;
    begin(&run);
    run_until_quiet(&run);
    hio_set_write_high(run.upstream_io, 1000);
    hio_read(run.server_io);
    run_until_over(&run);
    check_exchange(&run);
    end(&run);
}

#endif

static void test_forward_to_nobody_closes_the_client(void **state) {
    (void)state;
    run_t run = {.client = {.to_send = 1000}};
    begin(&run);
    int fd = Listen(0, "127.0.0.1"); /* a port of which nobody takes connections any more */
    assert_true(fd >= 0);
    hio_close(run.back_listener);
    sockaddr_u addr;
    socklen_t len = sizeof addr;
    assert_int_equal(getsockname(fd, &addr.sa, &len), 0);
    run.back_listener = hio_get(run.loop, fd);
    assert_int_equal(port_of(run.back_listener), sockaddr_port(&addr));
    assert_int_equal(shutdown(fd, SHUT_RD), 0); /* listens no more, keeps the port */
    run_until_over(&run);
    assert_int_equal(run.client.closes, 1);
    assert_int_equal(run.client.got, 0);
    assert_int_equal(run.passed_on, 0);
    end(&run);
}

static void test_forward_with_one_side_reset_closes_the_other(void **state) {
    (void)state;
    run_t run = {.server_aborts = 1};
    run.client.to_send = STREAM_BYTES;
    begin(&run);
    run_until_over(&run);
    assert_int_equal(run.server.closes, 1);
    assert_int_equal(run.client.closes, 1);
    end(&run);
}

static void test_forward_with_one_side_closed_by_hand_closes_the_other(void **state) {
    (void)state;
    run_t run = {.server_is_slow = 1};
    run.client.to_send = 1000;
    begin(&run);
    run_until_quiet(&run);
    hio_read(run.server_io);
    hio_close(run.proxy_io);
    run_until_over(&run);
    assert_int_equal(run.server.got, 1000);
    end(&run);
}

static void test_forward_with_one_side_detached_closes_the_other(void **state) {
    (void)state;
    run_t run = {.server_is_slow = 1};
    run.client.to_send = 1000;
    begin(&run);
    run_until_quiet(&run);
    hio_t *io = run.proxy_io;
    hio_detach(io);
    hio_read(run.server_io);
    while (run.upstream_io != NULL || run.server_io != NULL) hloop_process_events(run.loop, -1);
    assert_int_equal(run.server.got, 1000);
    hio_attach(run.loop, io);
    assert_null(hio_get_upstream(io));
    hio_close(io);
    run_until_over(&run);
    end(&run);
}

static void test_forward_of_what_does_not_fit_is_refused(void **state) {
    (void)state;
    hloop_t *loop = hloop_new(0), *other_loop = hloop_new(0);
    hio_t *ends[2], *more[2], *foreign[2];
    assert_int_equal(hio_create_pipe(loop, ends), 0);
    assert_int_equal(hio_create_pipe(loop, more), 0);
    assert_int_equal(hio_create_pipe(other_loop, foreign), 0);
    hio_t *listener = hloop_create_tcp_server(loop, "127.0.0.1", 0, NULL);
    hio_t *datagrams = hloop_create_udp_server(loop, "127.0.0.1", 0);
    assert_int_equal(hio_forward(ends[0], ends[0]), HV_EINVAL);
    assert_int_equal(hio_forward(ends[0], foreign[0]), HV_EINVAL);
    assert_int_equal(hio_forward(ends[0], listener), HV_EINVAL);
    assert_int_equal(hio_forward(datagrams, ends[0]), HV_EINVAL);
    assert_int_equal(hio_forward(ends[0], more[0]), 0);
    assert_int_equal(hio_forward(ends[0], more[0]), 0);
    assert_int_equal(hio_forward(ends[1], more[0]), HV_EBUSY);
    hio_close(more[1]);
    assert_int_equal(hio_forward(ends[1], more[1]), HV_ECLOSED);
    hloop_free(&loop);
    hloop_free(&other_loop);
}

/* ---- Linking without a policy ---- */

static int got_by_hand;

static void on_hand_read(hio_t *io, void *buf, int len) {
    (void)io;
    assert_memory_equal(buf, &"hello"[got_by_hand], (size_t)len);
    got_by_hand += len;
}

static void test_upstream_linked_by_hand_uses_the_callbacks(void **state) {
    (void)state;
    hloop_t *loop = hloop_new(0);
    hio_t *left[2], *right[2];
    assert_int_equal(hio_create_pipe(loop, left), 0);
    assert_int_equal(hio_create_pipe(loop, right), 0);
    assert_int_equal(hio_setup_upstream(left[1], right[0]), 0);
    hio_setcb_read(left[1], hio_write_upstream);
    hio_setcb_close(left[1], hio_close_upstream);
    hio_setcb_read(right[1], on_hand_read);
    hio_read_upstream(left[1]);
    hio_read(right[1]);
    got_by_hand = 0;
    assert_int_equal(hio_write(left[0], "hello", 5), 5);
    while (got_by_hand < 5) hloop_process_events(loop, -1);
    assert_int_equal(hio_forwarded_bytes(left[1]), 5);
    hio_close(left[0]);
    while (hloop_nios(loop) > 0) hloop_process_events(loop, -1); /* one after the other, all four */
    hloop_free(&loop);
}

static void test_upstream_of_a_closed_io_is_forgotten(void **state) {
    (void)state;
    hloop_t *loop = hloop_new(0);
    hio_t *left[2], *right[2];
    assert_int_equal(hio_create_pipe(loop, left), 0);
    assert_int_equal(hio_create_pipe(loop, right), 0);
    assert_int_equal(hio_setup_upstream(left[1], right[0]), 0);
    assert_ptr_equal(hio_get_upstream(right[0]), left[1]);
    hio_close(left[1]);
    while (hloop_nios(loop) > 3) hloop_process_events(loop, -1);
    assert_null(hio_get_upstream(right[0]));
    assert_true(hio_is_alive(right[0]));
    hio_write_upstream(right[0], (char[]){"x"}, 1);
    hio_close_upstream(right[0]);
    hio_read_upstream(right[0]);
    hloop_free(&loop);
}

/* ---- Datagrams ---- */

typedef struct datagrams_s {
    hloop_t *loop;
    hio_t *front, *server;
    hio_t *clients[3];
    int answers[3];
    sockaddr_u last_peer;
} datagrams_t;

static datagrams_t udp;

static void on_datagram_server_read(hio_t *io, void *buf, int len) {
    memcpy(&udp.last_peer, hio_peeraddr(io), sizeof(struct sockaddr_in));
    hio_write(io, buf, (size_t)len);
}

static void on_datagram_client_read(hio_t *io, void *buf, int len) {
    for (int i = 0; i < 3; i++) {
        if (udp.clients[i] != io) continue;
        char expected[16];
        snprintf(expected, sizeof expected, "client %d", i);
        assert_int_equal(len, (int)strlen(expected));
        assert_memory_equal(buf, expected, (size_t)len);
        udp.answers[i]++;
    }
}

static void datagrams_begin(void) {
    memset(&udp, 0, sizeof udp);
    udp.loop = hloop_new(0);
    udp.server = hloop_create_udp_server(udp.loop, "127.0.0.1", 0);
    hio_setcb_read(udp.server, on_datagram_server_read);
    hio_read(udp.server);
    udp.front = hloop_create_udp_server(udp.loop, "127.0.0.1", 0);
    assert_ptr_equal(hio_setup_udp_upstream(udp.front, "127.0.0.1", port_of(udp.server)),
                     udp.front);
    for (int i = 0; i < 3; i++) {
        udp.clients[i] = hloop_create_udp_client(udp.loop, "127.0.0.1", port_of(udp.front));
        hio_setcb_read(udp.clients[i], on_datagram_client_read);
        hio_read(udp.clients[i]);
    }
}

static uint16_t ask(int client) {
    char text[16];
    int len = snprintf(text, sizeof text, "client %d", client);
    int before = udp.answers[client];
    assert_int_equal(hio_write(udp.clients[client], text, (size_t)len), len);
    while (udp.answers[client] == before) hloop_process_events(udp.loop, -1);
    return sockaddr_port(&udp.last_peer);
}

static void test_relay_gives_every_client_its_own_upstream(void **state) {
    (void)state;
    datagrams_begin();
    uint16_t first = ask(0), second = ask(1);
    assert_int_not_equal(first, second);
    assert_int_equal(ask(0), first);
    assert_int_equal(ask(1), second);
    assert_int_equal(hio_udp_upstream_count(udp.front), 2);
    assert_int_equal(hio_forwarded_bytes(udp.front), 32);
    hloop_free(&udp.loop);
}

static void test_relay_at_its_limit_forgets_who_was_silent_longest(void **state) {
    (void)state;
    datagrams_begin();
    assert_int_equal(hio_set_udp_upstream_limits(udp.front, 0, 2), 0);
    uint16_t first = ask(0), second = ask(1);
    assert_int_equal(ask(0), first);
    ask(2);
    assert_int_equal(hio_udp_upstream_count(udp.front), 2);
    assert_int_equal(ask(0), first);
    assert_int_not_equal(ask(1), second);
    assert_int_equal(hio_udp_upstream_count(udp.front), 2);
    hloop_free(&udp.loop);
}

static void test_relay_forgets_a_silent_client(void **state) {
    (void)state;
    datagrams_begin();
    assert_int_equal(hio_set_udp_upstream_limits(udp.front, 1, 0), 0);
    hio_write(udp.clients[0], "client 0", 8);
    while (hio_udp_upstream_count(udp.front) == 0) hloop_process_events(udp.loop, -1);
    while (hio_udp_upstream_count(udp.front) > 0) hloop_process_events(udp.loop, -1);
    hloop_free(&udp.loop);
}

static void test_relay_closed_takes_its_clients_along(void **state) {
    (void)state;
    datagrams_begin();
    ask(0);
    ask(1);
    hio_close(udp.front);
    while (hloop_nios(udp.loop) > 4) hloop_process_events(udp.loop, -1);
    hloop_free(&udp.loop);
}

static void test_relay_on_what_is_no_bound_socket_is_refused(void **state) {
    (void)state;
    datagrams_begin();
    assert_null(hio_setup_udp_upstream(udp.front, "127.0.0.1", 1));
    assert_int_equal(hloop_last_error(udp.loop), HV_EBUSY);
    assert_null(hio_setup_udp_upstream(udp.clients[0], "127.0.0.1", 1));
    assert_int_equal(hloop_last_error(udp.loop), HV_EINVAL);
    assert_null(hio_setup_udp_upstream(udp.server, "127.0.0.1", 65536));
    assert_int_equal(hloop_last_error(udp.loop), HV_EINVAL);
    assert_int_equal(hio_set_udp_upstream_limits(udp.server, 1, 1), HV_EINVAL);
    hloop_free(&udp.loop);
}

/* ---- Ios by kind ---- */

static int accepted_count;

static void on_count_accept(hio_t *io) {
    (void)io;
    accepted_count++;
}

static void on_plain_connect(hio_t *io) { hio_write(io, "in the clear", 12); }

static int plain_closes;

static void on_plain_close(hio_t *io) {
    (void)io;
    plain_closes++;
}

static void test_ssl_server_without_certificate_lets_nobody_in(void **state) {
    (void)state;
    hloop_t *loop = hloop_new(0);
    hio_t *listener = hloop_create_ssl_server(loop, "127.0.0.1", 0, on_count_accept);
    assert_non_null(listener);
    hio_t *io = hloop_create_tcp_client(loop, "127.0.0.1", port_of(listener), on_plain_connect,
                                        on_plain_close);
    hio_read(io);
    accepted_count = plain_closes = 0;
    while (plain_closes == 0) hloop_process_events(loop, -1);
    assert_int_equal(accepted_count, 0);
    hloop_free(&loop);
}

static void test_sockets_created_by_kind_and_side(void **state) {
    (void)state;
    hloop_t *loop = hloop_new(0);
    hio_t *listener = hio_create_socket(loop, "127.0.0.1", 0, HIO_TYPE_TCP, HIO_SERVER_SIDE);
    assert_non_null(listener);
    hio_setcb_accept(listener, on_count_accept);
    hio_t *io = hio_create_socket(loop, "127.0.0.1", port_of(listener), HIO_TYPE_TCP,
                                  HIO_CLIENT_SIDE);
    assert_int_equal(hio_connect(io), 0);
    accepted_count = 0;
    while (!hio_is_connected(io)) hloop_process_events(loop, -1);
    for (int i = 0; i < 20; i++) hloop_process_events(loop, 0);
    assert_int_equal(accepted_count, 0);
    assert_int_equal(hio_accept(listener), 0);
    while (accepted_count == 0) hloop_process_events(loop, -1);
    assert_int_equal(hio_accept(io), HV_EINVAL);
    assert_int_equal(hio_connect(listener), HV_EINVAL);
    assert_true(hio_exists(loop, hio_fd(io)));
    assert_false(hio_exists(loop, 1000000));

    hio_t *tls = hio_create_socket(loop, "127.0.0.1", port_of(listener), HIO_TYPE_SSL,
                                   HIO_CLIENT_SIDE);
    assert_int_equal(hio_type(tls), HIO_TYPE_SSL);
    assert_string_equal(hio_get_hostname(tls), "127.0.0.1");
    hio_t *datagrams = hio_create_socket(loop, "127.0.0.1", 0, HIO_TYPE_UDP, HIO_SERVER_SIDE);
    assert_int_equal(hio_type(datagrams), HIO_TYPE_UDP);
    assert_null(hio_create_socket(loop, "127.0.0.1", 0, HIO_TYPE_PIPE, HIO_SERVER_SIDE));
    assert_int_equal(hloop_last_error(loop), HV_EINVAL);
    assert_null(hio_create_socket(loop, "127.0.0.1", 0, HIO_TYPE_FILE, HIO_CLIENT_SIDE));
    hloop_free(&loop);
}

static int check_memory(void **state) {
    static size_t kept_by_tls; /* the shared context of clients stays */
    (void)state;
    size_t live = hv__mem_live_blocks();
    if (kept_by_tls == 0 && live > 0) kept_by_tls = live;
    return live == 0 || live == kept_by_tls ? 0 : -1;
}

#define TEST(function) cmocka_unit_test_teardown(function, check_memory)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_forward_between_all_kinds_keeps_bytes_and_ends),
        TEST(test_upstream_of_tls_is_set_up_in_one_call),
        TEST(test_forward_of_much_both_ways_keeps_every_byte),
        TEST(test_forward_of_empty_streams_ends_both),
#ifndef HV_HOSTILE
        TEST(test_forward_to_slow_reader_holds_the_writer_back),
        TEST(test_forward_with_mark_lowered_meanwhile_goes_on),
#endif
        TEST(test_forward_to_nobody_closes_the_client),
        TEST(test_forward_with_one_side_reset_closes_the_other),
        TEST(test_forward_with_one_side_closed_by_hand_closes_the_other),
        TEST(test_forward_with_one_side_detached_closes_the_other),
        TEST(test_forward_of_what_does_not_fit_is_refused),
        TEST(test_upstream_linked_by_hand_uses_the_callbacks),
        TEST(test_upstream_of_a_closed_io_is_forgotten),
        TEST(test_relay_gives_every_client_its_own_upstream),
        TEST(test_relay_at_its_limit_forgets_who_was_silent_longest),
        TEST(test_relay_forgets_a_silent_client),
        TEST(test_relay_closed_takes_its_clients_along),
        TEST(test_relay_on_what_is_no_bound_socket_is_refused),
        TEST(test_ssl_server_without_certificate_lets_nobody_in),
        TEST(test_sockets_created_by_kind_and_side),
    };
    return cmocka_run_group_tests_name("hforward", tests, certs_make, certs_remove);
}
