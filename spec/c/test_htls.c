/* test_htls.c - TLS between two ends of one loop: who is trusted, what is agreed on, what is moved,
 * and how it ends. Each test runs until its two ends are closed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "certs.h"
#include "hmem.h"
#include "hloop.h"
#include "hssl.h"


/* What one run is set to and what it has seen. */
typedef struct run_s {
    hloop_t *loop;
    hio_t *listener;
    hssl_ctx_opt_t server_opt;
    hssl_ctx_opt_t client_opt;
    hssl_ctx_t client_ctx; /* used instead of client_opt */
    const char *host;
    const char *client_says; /* written by the client before it is connected */
    size_t echo_bytes;       /* the client sends so many and waits for their echo */
    int server_closes_first;
    int server_detaches;
    int refuses_raw; /* closes each connection before its handshake */
    int timeout_ms;

    size_t sent, got;
    int is_wrong;
    int accepted, connected, accepted_raw, closed_raw;
    int open_ends;
    int client_error, server_error;
    int is_resumed, is_truncated;
    char client_words[128], server_words[128];
    char version[16], alpn[32], subject[128];
} run_t;

static run_t *run_of(hio_t *io) { return hloop_userdata(hevent_loop(io)); }

static void end_closed(run_t *run) {
    if (--run->open_ends == 0) hloop_stop(run->loop);
}

static void copy_words(char *to, const char *from) {
    snprintf(to, 128, "%s", from != NULL ? from : "");
}

static void on_server_close(hio_t *io) {
    run_t *run = run_of(io);
    run->server_error = hio_error(io);
    copy_words(run->server_words, hio_ssl_error(io));
    hio_close(run->listener);
    end_closed(run);
}

static void on_server_read(hio_t *io, void *buf, int len) {
    run_t *run = run_of(io);
    hio_write(io, buf, (size_t)len);
    if (run->server_closes_first) hio_close(io);
}

static void on_posted(hevent_t *ev) {
    hio_t *io = hevent_userdata(ev);
    hio_attach(ev->loop, io);
    hio_read(io);
}

static void on_raw_close(hio_t *io) {
    run_t *run = run_of(io);
    run->closed_raw++;
    hio_close(run->listener);
}

static void on_accept_raw(hio_t *io) {
    run_t *run = run_of(io);
    assert_int_equal(run->accepted, run->accepted_raw);
    run->accepted_raw++;
    if (!run->refuses_raw) return;
    hio_setcb_close(io, on_raw_close);
    hio_close(io);
}

static void on_accept(hio_t *io) {
    run_t *run = run_of(io);
    run->accepted++;
    hio_ssl_peer_subject(io, run->subject, sizeof run->subject);
    hio_setcb_close(io, on_server_close);
    hio_setcb_read(io, on_server_read);
    if (run->server_detaches) {
        hevent_t ev = {.cb = on_posted, .userdata = io};
        hio_detach(io);
        hloop_post_event(run->loop, &ev);
        return;
    }
    hio_read(io);
}

/* The byte at a place of the stream: no two neighbouring records look alike. */
static unsigned char byte_at(size_t at) { return (unsigned char)(at * 31 + at / 251); }

static void send_more(hio_t *io) {
    run_t *run = run_of(io);
    unsigned char block[20000];
    while (run->sent < run->echo_bytes && !hio_write_is_high(io)) {
        size_t len = run->echo_bytes - run->sent;
        if (len > sizeof block) len = sizeof block;
        for (size_t i = 0; i < len; i++) block[i] = byte_at(run->sent + i);
        assert_int_equal(hio_write(io, block, len), (int)len);
        run->sent += len;
    }
}

static void on_client_read(hio_t *io, void *buf, int len) {
    run_t *run = run_of(io);
    const unsigned char *bytes = buf;
    if (run->echo_bytes > 0) {
        for (int i = 0; i < len; i++) {
            if (bytes[i] != byte_at(run->got + (size_t)i)) run->is_wrong = 1;
        }
    } else if (memcmp(buf, run->client_says + run->got, (size_t)len) != 0) {
        run->is_wrong = 1;
    }
    run->got += (size_t)len;
    size_t expected = run->echo_bytes > 0 ? run->echo_bytes : strlen(run->client_says);
    if (run->got >= expected && !run->server_closes_first) hio_close(io);
}

static void on_client_close(hio_t *io) {
    run_t *run = run_of(io);
    run->client_error = hio_error(io);
    run->is_truncated = hio_ssl_is_truncated(io);
    copy_words(run->client_words, hio_ssl_error(io));
    /* The server's end may never have come to life. */
    if (run->accepted == 0) run->open_ends--;
    end_closed(run);
}

static void on_connect(hio_t *io) {
    run_t *run = run_of(io);
    run->connected++;
    run->is_resumed = hio_ssl_is_resumed(io);
    snprintf(run->version, sizeof run->version, "%s", hio_ssl_version(io));
    hio_ssl_alpn(io, run->alpn, sizeof run->alpn);
    hio_setcb_read(io, on_client_read);
    hio_setcb_drain(io, send_more);
    hio_read(io);
    send_more(io);
}

static int port_of(hio_t *listener) {
    return ntohs(((struct sockaddr_in *)(void *)hio_localaddr(listener))->sin_port);
}

static void run_once(run_t *run) {
    run->loop = hloop_new(0);
    assert_non_null(run->loop);
    hloop_set_userdata(run->loop, run);
    run->listener = hloop_create_tcp_server(run->loop, "127.0.0.1", 0, on_accept);
    assert_non_null(run->listener);
    assert_int_equal(hio_new_ssl_ctx(run->listener, &run->server_opt), 0);
    hio_setcb_accept_raw(run->listener, on_accept_raw);
    hio_t *client = hloop_create_tcp_client(run->loop, "127.0.0.1", port_of(run->listener),
                                            on_connect, on_client_close);
    assert_non_null(client);
    if (run->client_ctx != NULL) {
        assert_int_equal(hio_set_ssl_ctx(client, run->client_ctx), 0);
    } else {
        assert_int_equal(hio_new_ssl_ctx(client, &run->client_opt), 0);
    }
    if (run->host != NULL) hio_set_hostname(client, run->host);
    if (run->client_says == NULL) run->client_says = "hello";
    if (run->echo_bytes == 0) {
        assert_int_equal(hio_write(client, run->client_says, strlen(run->client_says)),
                         (int)strlen(run->client_says));
    }
    run->open_ends = 2;
    hloop_run(run->loop);
    hloop_free(&run->loop);
}

static run_t usual(void) {
    run_t run = {.host = "localhost"};
    run.server_opt.crt_file = certs.server;
    run.server_opt.key_file = certs.server_key;
    run.client_opt.endpoint = HSSL_CLIENT;
    run.client_opt.ca_file = certs.ca;
    return run;
}

static void assert_echoed(const run_t *run) {
    assert_int_equal(run->accepted, 1);
    assert_int_equal(run->connected, 1);
    assert_int_equal(run->client_error, 0);
    assert_int_equal(run->server_error, 0);
    assert_false(run->is_wrong);
    assert_int_equal(run->got, run->echo_bytes ? run->echo_bytes : strlen(run->client_says));
}

static void assert_refused(const run_t *run, const char *words) {
    assert_int_equal(run->connected, 0);
    assert_int_equal(run->client_error, -HV_ETLS);
    if (words != NULL) assert_non_null(strstr(run->client_words, words));
}

/* ---- What is moved ---- */

static void test_tls_when_trusted_echoes(void **state) {
    (void)state;
    run_t run = usual();
    run_once(&run);
    assert_echoed(&run);
    assert_string_equal(run.version, "TLSv1.3");
    assert_false(run.is_truncated);
}

static void test_tls_bytes_written_before_connect_come_first(void **state) {
    (void)state;
    run_t run = usual();
    run.client_says = "written before there was a connection";
    run_once(&run);
    assert_echoed(&run);
}

static void test_tls_long_stream_arrives_whole(void **state) {
    (void)state;
    run_t run = usual();
    run.echo_bytes = 5 * 1000 * 1000 + 7;
    run_once(&run);
    assert_echoed(&run);
}

static void test_tls_io_moved_between_loops_keeps_its_bytes(void **state) {
    (void)state;
    run_t run = usual();
    run.server_detaches = 1;
    run_once(&run);
    assert_echoed(&run);
}

static void test_tls_server_close_says_farewell(void **state) {
    (void)state;
    run_t run = usual();
    run.server_closes_first = 1;
    run_once(&run);
    assert_echoed(&run);
    assert_false(run.is_truncated);
}

/* ---- Before the handshake ---- */

static void test_tls_accept_raw_comes_once_before_accept(void **state) {
    (void)state;
    run_t run = usual();
    run_once(&run);
    assert_echoed(&run);
    assert_int_equal(run.accepted_raw, 1);
}

static void test_tls_closed_in_accept_raw_is_never_accepted(void **state) {
    (void)state;
    run_t run = usual();
    run.refuses_raw = 1;
    run_once(&run);
    assert_int_equal(run.accepted_raw, 1);
    assert_int_equal(run.closed_raw, 1);
    assert_int_equal(run.accepted, 0);
    assert_int_equal(run.connected, 0);
}

/* ---- Who is trusted ---- */

static void test_tls_other_name_is_refused(void **state) {
    (void)state;
    run_t run = usual();
    run.host = "elsewhere.example";
    run_once(&run);
    assert_refused(&run, "hostname mismatch");
}

static void test_tls_address_in_certificate_is_accepted(void **state) {
    (void)state;
    run_t run = usual();
    run.host = "127.0.0.1";
    run_once(&run);
    assert_echoed(&run);
}

static void test_tls_without_a_name_the_address_is_verified(void **state) {
    (void)state;
    run_t run = usual();
    run.host = NULL;
    run_once(&run);
    assert_echoed(&run);
    run_t other = usual();
    other.host = NULL;
    other.server_opt.crt_file = certs.other;
    other.server_opt.key_file = certs.other_key;
    run_once(&other);
    assert_refused(&other, "IP address mismatch");
}

static void test_tls_unknown_signer_is_refused(void **state) {
    (void)state;
    run_t run = usual();
    run.server_opt.crt_file = certs.stranger;
    run.server_opt.key_file = certs.stranger_key;
    run_once(&run);
    assert_refused(&run, "self-signed");
}

static void test_tls_unknown_signer_passes_where_nobody_verifies(void **state) {
    (void)state;
    run_t run = usual();
    run.server_opt.crt_file = certs.stranger;
    run.server_opt.key_file = certs.stranger_key;
    run.client_opt.verify_peer = HSSL_VERIFY_NONE;
    run_once(&run);
    assert_echoed(&run);
}

static void test_tls_client_certificate_required_and_missing_fails(void **state) {
    (void)state;
    run_t run = usual();
    run.server_opt.verify_peer = HSSL_VERIFY_PEER;
    run.server_opt.ca_file = certs.ca;
    run.client_opt.min_version = "1.3";
    run_once(&run);
    assert_int_equal(run.accepted, 0);
    assert_int_equal(run.got, 0);
    assert_int_equal(run.client_error, -HV_ETLS);
}

static void test_tls_client_certificate_is_shown(void **state) {
    (void)state;
    run_t run = usual();
    run.server_opt.verify_peer = HSSL_VERIFY_PEER;
    run.server_opt.ca_file = certs.ca;
    run.client_opt.crt_file = certs.client;
    run.client_opt.key_file = certs.client_key;
    run_once(&run);
    assert_echoed(&run);
    assert_string_equal(run.subject, "CN=client");
}

/* ---- What is agreed on ---- */

static void test_tls_alpn_takes_the_servers_first_choice(void **state) {
    (void)state;
    run_t run = usual();
    run.server_opt.alpn = "h2,http/1.1";
    run.client_opt.alpn = "http/1.1,h2";
    run_once(&run);
    assert_echoed(&run);
    assert_string_equal(run.alpn, "h2");
}

static void test_tls_alpn_without_a_common_protocol_fails(void **state) {
    (void)state;
    run_t run = usual();
    run.server_opt.alpn = "h2";
    run.client_opt.alpn = "mqtt";
    run_once(&run);
    assert_refused(&run, "no application protocol");
}

static void test_tls_second_connection_takes_up_the_session(void **state) {
    (void)state;
    run_t first = usual();
    hssl_ctx_t client = hssl_ctx_new(&first.client_opt);
    hssl_ctx_t server = hssl_ctx_new(&first.server_opt);
    assert_non_null(client);
    assert_non_null(server);
    int resumed[2];
    for (int i = 0; i < 2; i++) {
        run_t run = usual();
        run.client_ctx = client;
        run.loop = hloop_new(0);
        hloop_set_userdata(run.loop, &run);
        run.listener = hloop_create_tcp_server(run.loop, "127.0.0.1", 0, on_accept);
        assert_int_equal(hio_set_ssl_ctx(run.listener, server), 0);
        hio_t *io = hloop_create_tcp_client(run.loop, "127.0.0.1", port_of(run.listener),
                                            on_connect, on_client_close);
        assert_int_equal(hio_set_ssl_ctx(io, client), 0);
        hio_set_hostname(io, "localhost");
        run.client_says = "hello";
        hio_write(io, "hello", 5);
        run.open_ends = 2;
        hloop_run(run.loop);
        hloop_free(&run.loop);
        assert_echoed(&run);
        resumed[i] = run.is_resumed;
    }
    assert_false(resumed[0]);
    assert_true(resumed[1]);
    hssl_ctx_free(client);
    hssl_ctx_free(server);
}

static void test_tls_name_chooses_the_certificate(void **state) {
    (void)state;
    run_t run = usual();
    hssl_ctx_t main_ctx = hssl_ctx_new(&run.server_opt);
    hssl_ctx_opt_t other_opt = {.crt_file = certs.other, .key_file = certs.other_key};
    hssl_ctx_t other = hssl_ctx_new(&other_opt);
    assert_int_equal(hssl_ctx_add_name(main_ctx, "*.example", other), 0);
    hssl_ctx_free(other);

    run.loop = hloop_new(0);
    hloop_set_userdata(run.loop, &run);
    run.listener = hloop_create_tcp_server(run.loop, "127.0.0.1", 0, on_accept);
    assert_int_equal(hio_set_ssl_ctx(run.listener, main_ctx), 0);
    hio_t *io = hloop_create_tcp_client(run.loop, "127.0.0.1", port_of(run.listener), on_connect,
                                        on_client_close);
    assert_int_equal(hio_new_ssl_ctx(io, &run.client_opt), 0);
    hio_set_hostname(io, "other.example");
    run.client_says = "hello";
    hio_write(io, "hello", 5);
    run.open_ends = 2;
    hloop_run(run.loop);
    hloop_free(&run.loop);
    hssl_ctx_free(main_ctx);
    assert_echoed(&run);
}

/* ---- Misuse and files ---- */

static void test_tls_missing_file_is_named(void **state) {
    (void)state;
    hssl_ctx_opt_t opt = {.crt_file = "/nowhere/cert.pem"};
    assert_null(hssl_ctx_new(&opt));
    assert_non_null(strstr(hssl_last_error(), "/nowhere/cert.pem"));
}

static void test_tls_key_of_another_certificate_is_refused(void **state) {
    (void)state;
    hssl_ctx_opt_t opt = {.crt_file = certs.server, .key_file = certs.other_key};
    assert_null(hssl_ctx_new(&opt));
    assert_non_null(strstr(hssl_last_error(), "private key"));
}

static void test_tls_old_version_is_no_option(void **state) {
    (void)state;
    hssl_ctx_opt_t opt = {.crt_file = certs.server, .key_file = certs.server_key,
                          .min_version = "1.0"};
    assert_null(hssl_ctx_new(&opt));
}

static void test_tls_reload_keeps_the_old_where_the_new_is_bad(void **state) {
    (void)state;
    hssl_ctx_opt_t opt = {.crt_file = certs.stranger, .key_file = certs.stranger_key};
    hssl_ctx_t ctx = hssl_ctx_new(&opt);
    assert_non_null(ctx);
    assert_int_equal(hssl_ctx_reload(ctx), 0);
    char moved[128];
    snprintf(moved, sizeof moved, "%s.away", certs.stranger);
    assert_int_equal(rename(certs.stranger, moved), 0);
    assert_int_equal(hssl_ctx_reload(ctx), HV_ETLS);
    assert_int_equal(rename(moved, certs.stranger), 0);
    assert_int_equal(hssl_ctx_reload(ctx), 0);
    hssl_ctx_free(ctx);
}

/* ---- Peers that speak no TLS ---- */

static void on_plain_connect(hio_t *io) {
    run_of(io)->connected++;
    hio_setcb_read(io, NULL);
    hio_read(io);
    hio_write(io, "GET / HTTP/1.1\r\nHost: a\r\n\r\n", 27);
}

static void on_plain_close(hio_t *io) { hloop_stop(hevent_loop(io)); }

static void test_tls_plain_text_is_refused_and_closed(void **state) {
    (void)state;
    run_t run = usual();
    run.loop = hloop_new(0);
    hloop_set_userdata(run.loop, &run);
    run.listener = hloop_create_tcp_server(run.loop, "127.0.0.1", 0, on_accept);
    assert_int_equal(hio_new_ssl_ctx(run.listener, &run.server_opt), 0);
    assert_non_null(hloop_create_tcp_client(run.loop, "127.0.0.1", port_of(run.listener),
                                            on_plain_connect, on_plain_close));
    hloop_run(run.loop);
    hloop_free(&run.loop);
    assert_int_equal(run.connected, 1);
    assert_int_equal(run.accepted, 0);
}

static void on_silent_connect(hio_t *io) {
    run_of(io)->connected++;
    hio_read(io);
}

static void test_tls_silent_peer_is_closed_after_the_handshake_timeout(void **state) {
    (void)state;
    run_t run = usual();
    run.loop = hloop_new(0);
    hloop_set_userdata(run.loop, &run);
    run.listener = hloop_create_tcp_server(run.loop, "127.0.0.1", 0, on_accept);
    assert_int_equal(hio_new_ssl_ctx(run.listener, &run.server_opt), 0);
    hio_set_handshake_timeout(run.listener, 20);
    assert_non_null(hloop_create_tcp_client(run.loop, "127.0.0.1", port_of(run.listener),
                                            on_silent_connect, on_plain_close));
    hloop_run(run.loop);
    hloop_free(&run.loop);
    assert_int_equal(run.connected, 1);
    assert_int_equal(run.accepted, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tls_when_trusted_echoes),
        cmocka_unit_test(test_tls_accept_raw_comes_once_before_accept),
        cmocka_unit_test(test_tls_closed_in_accept_raw_is_never_accepted),
        cmocka_unit_test(test_tls_bytes_written_before_connect_come_first),
        cmocka_unit_test(test_tls_long_stream_arrives_whole),
        cmocka_unit_test(test_tls_io_moved_between_loops_keeps_its_bytes),
        cmocka_unit_test(test_tls_server_close_says_farewell),
        cmocka_unit_test(test_tls_other_name_is_refused),
        cmocka_unit_test(test_tls_address_in_certificate_is_accepted),
        cmocka_unit_test(test_tls_without_a_name_the_address_is_verified),
        cmocka_unit_test(test_tls_unknown_signer_is_refused),
        cmocka_unit_test(test_tls_unknown_signer_passes_where_nobody_verifies),
        cmocka_unit_test(test_tls_client_certificate_required_and_missing_fails),
        cmocka_unit_test(test_tls_client_certificate_is_shown),
        cmocka_unit_test(test_tls_alpn_takes_the_servers_first_choice),
        cmocka_unit_test(test_tls_alpn_without_a_common_protocol_fails),
        cmocka_unit_test(test_tls_second_connection_takes_up_the_session),
        cmocka_unit_test(test_tls_name_chooses_the_certificate),
        cmocka_unit_test(test_tls_missing_file_is_named),
        cmocka_unit_test(test_tls_key_of_another_certificate_is_refused),
        cmocka_unit_test(test_tls_old_version_is_no_option),
        cmocka_unit_test(test_tls_reload_keeps_the_old_where_the_new_is_bad),
        cmocka_unit_test(test_tls_plain_text_is_refused_and_closed),
        cmocka_unit_test(test_tls_silent_peer_is_closed_after_the_handshake_timeout),
    };
    return cmocka_run_group_tests(tests, certs_make, certs_remove);
}
