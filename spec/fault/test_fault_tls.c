/* Every allocation of ours in TLS conversations fails in turn: contexts, a listener, STARTTLS, a
 * forward between TLS and clear, certificates. Nothing crashes, nothing leaks, and every io that
 * was given out is closed exactly once. */
#include "fault_test.h"
#include "loop_test.h"

#include "certs.h"
#include "hssl.h"

static int given, closed;
static size_t heard;
static hssl_ctx_t server_ctx, client_ctx;
static int back_port;

static void on_close(hio_t *io) {
    hssl_certificate_free(hio_ssl_peer_certificate(io));
    closed++;
}

static hio_t *take(hio_t *io) {
    if (io == NULL) return NULL;
    given++;
    hio_setcb_close(io, on_close);
    return io;
}

/* ---- Behind: takes a line in clear, goes on under TLS, echoes ---- */

static void on_back_read(hio_t *io, void *buf, int len) { hio_write(io, buf, (size_t)len); }

static void on_back_open(hio_t *io) {
    hio_setcb_read(io, on_back_read);
    hio_read(io);
}

static void on_back_line(hio_t *io, void *buf, int len) {
    (void)buf;
    (void)len;
    hio_setcb_accept(io, NULL);
    hio_setcb_connect(io, on_back_open);
    if (hio_set_ssl_ctx(io, server_ctx) != 0) hio_close(io);
}

static void on_back_accept(hio_t *io) {
    take(io);
    hio_setcb_read(io, on_back_line);
    hio_read_until_delim(io, '\n');
}

/* ---- In front: TLS, forwarded to what is behind by a connection in clear ---- */

static void on_front_accept(hio_t *io) {
    take(io);
    hio_t *upstream = take(hio_tcp_client(hevent_loop(io), "127.0.0.1", back_port, NULL, NULL));
    if (upstream == NULL || hio_forward(io, upstream) != 0) {
        hio_close(io);
        if (upstream != NULL) hio_close(upstream);
    }
}

/* ---- The client: TLS through the front, and once more inside, to what is behind ---- */

static void on_client_read(hio_t *io, void *buf, int len) {
    (void)buf;
    heard += (size_t)len;
    hssl_certificate_free(hio_ssl_peer_certificate(io));
    hio_close(io);
}

static void on_client_open(hio_t *io) {
    hio_setcb_read(io, on_client_read);
    hio_write(io, "hello", 5);
    hio_read(io);
}

static void on_clear_open(hio_t *io) {
    hio_write(io, "start\n", 6);
    hio_setcb_connect(io, on_client_open);
    if (hio_set_ssl_ctx(io, client_ctx) != 0 || hio_set_hostname(io, "localhost") != 0) {
        hio_close(io);
    }
}

static int listen_on(hloop_t *loop, haccept_cb on_accept, hssl_ctx_t ctx) {
    hio_t *io = take(hloop_create_tcp_server(loop, "127.0.0.1", 0, on_accept));
    if (io == NULL || (ctx != NULL && hio_set_ssl_ctx(io, ctx) != 0)) return 0;
    return port_of(io);
}

static void converse(hloop_t *loop) {
    back_port = listen_on(loop, on_back_accept, NULL);
    int front_port = listen_on(loop, on_front_accept, server_ctx);
    if (back_port == 0 || front_port == 0) return;
    take(hio_tcp_client(loop, "127.0.0.1", back_port, on_clear_open, on_close));
    hio_t *client = take(hio_tcp_client(loop, "127.0.0.1", front_port, NULL, on_close));
    if (client == NULL) return;
    if (hio_set_ssl_ctx(client, client_ctx) != 0) return;
    hio_write(client, "start\nearly", 11);
    RUN_PASSES(loop, 100);
}

static void live(void) {
    given = closed = 0;
    heard = 0;
    hssl_ctx_opt_t server = {.crt_file = certs.server, .key_file = certs.server_key,
                             .alpn = "a,b"};
    hssl_ctx_opt_t client = {.ca_file = certs.ca, .endpoint = HSSL_CLIENT};
    server_ctx = hssl_ctx_new(&server);
    client_ctx = server_ctx != NULL ? hssl_ctx_new(&client) : NULL;
    hloop_t *loop = client_ctx != NULL ? hloop_new(0) : NULL;
    if (loop != NULL) {
        hssl_ctx_add_name(server_ctx, "other", client_ctx);
        converse(loop);
        hloop_free(&loop);
    }
    if (server_ctx != NULL) hssl_ctx_reload(server_ctx);
    hssl_ctx_free(client_ctx);
    hssl_ctx_free(server_ctx);
}

static void judge(int has_failed) {
    (void)has_failed;
    assert_int_equal(closed, given);
}

static void test_fault_in_a_conversation_under_tls(void **state) {
    (void)state;
    live(); /* what is made once a process */
    assert_true(fail_each_allocation(live, judge) > 19);
    assert_true(heard >= 5); /* without a failure it was a conversation */
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fault_in_a_conversation_under_tls),
    };
    return cmocka_run_group_tests_name("fault_tls", tests, certs_make, certs_remove);
}
