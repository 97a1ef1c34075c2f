/* Tests of runtime/net/htls_layer.c, htls_facts.c and htls_context.c: TLS that begins in the middle
 * of a connection (STARTTLS), what a certificate tells, contexts made of PEM text. */
#include "loop_test.h"

#include <stdio.h>

#include "certs.h"
#include "hssl.h"

static hloop_t *loop;
static size_t blocks_before;
static hssl_ctx_t server_ctx, client_ctx;
static hio_t *server_io;
static int server_opens, server_closes, server_error, client_opens;
static char heard[64]; /* by the server's read callback */
static int reads_all_the_time;

static char *read_text(const char *path) {
    static char texts[4][4096];
    static int next;
    char *text = texts[next++ % 4];
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    size_t len = fread(text, 1, 4095, file);
    text[len] = '\0';
    fclose(file);
    return text;
}

static int set_up(void **state) {
    (void)state;
    blocks_before = hv__mem_live_blocks();
    certs_make(state);
    /* The text itself in place of every path. */
    hssl_ctx_opt_t server = {.crt_file = read_text(certs.server),
                             .key_file = read_text(certs.server_key)};
    hssl_ctx_opt_t client = {.ca_file = read_text(certs.ca), .endpoint = HSSL_CLIENT};
    server_ctx = hssl_ctx_new(&server);
    client_ctx = hssl_ctx_new(&client);
    loop = hloop_new(0);
    server_opens = server_closes = server_error = client_opens = reads_all_the_time = 0;
    server_io = NULL;
    heard[0] = '\0';
    return server_ctx == NULL || client_ctx == NULL || loop == NULL;
}

static int tear_down(void **state) {
    (void)state;
    hloop_free(&loop);
    hssl_ctx_free(server_ctx);
    hssl_ctx_free(client_ctx);
    certs_remove(state);
    return hv__mem_live_blocks() != blocks_before;
}

/* ---- The server: a line in clear begins TLS ---- */

static void on_server_open(hio_t *io) {
    (void)io;
    server_opens++;
}

static void on_server_read(hio_t *io, void *buf, int len) {
    strncat(heard, buf, (size_t)len);
    if (strncmp(buf, "START\n", 6) != 0) return;
    hio_setcb_accept(io, NULL);
    hio_setcb_connect(io, on_server_open);
    assert_int_equal(hio_set_ssl_ctx(io, server_ctx), 0);
    if (!reads_all_the_time) hio_read_once(io);
}

static void on_server_close(hio_t *io) {
    server_error = hio_error(io);
    server_closes++;
}

static void on_accept(hio_t *io) {
    static unpack_setting_t lines = {
        .mode = UNPACK_BY_DELIMITER, .delimiter = "\n", .delimiter_bytes = 1};
    server_io = io;
    hio_setcb_read(io, on_server_read);
    hio_setcb_close(io, on_server_close);
    if (reads_all_the_time) {
        hio_set_unpack(io, &lines);
        hio_read(io);
    } else {
        hio_read_until_delim(io, '\n');
    }
}

/* A socket that is connected, with `first` on its way. */
static int connect_saying(const char *first) {
    hio_t *listener = hloop_create_tcp_server(loop, "127.0.0.1", 0, on_accept);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(fd, hio_localaddr(listener), sizeof(struct sockaddr_in)), 0);
    assert_int_equal(send(fd, first, strlen(first), 0), (long)strlen(first));
    return fd;
}

static void on_client_open(hio_t *io) {
    client_opens++;
    hio_write(io, "under tls\n", 10);
}

static void start_client(int fd) {
    hio_t *client = hio_get(loop, fd);
    hio_setcb_connect(client, on_client_open);
    assert_int_equal(hio_set_ssl_ctx(client, client_ctx), 0);
    assert_int_equal(hio_set_hostname(client, "localhost"), 0);
}

static void test_starttls_goes_on_under_tls(void **state) {
    (void)state;
    for (reads_all_the_time = 0; reads_all_the_time < 2; reads_all_the_time++) {
        heard[0] = '\0';
        server_opens = 0;
        int fd = connect_saying("START\n");
        RUN_UNTIL(loop, strcmp(heard, "START\n") == 0);
        start_client(fd);
        RUN_UNTIL(loop, strcmp(heard, "START\nunder tls\n") == 0);
        assert_int_equal(server_opens, 1);
        assert_string_equal(hio_ssl_version(server_io), "TLSv1.3");
        assert_int_equal(hio_set_ssl_ctx(server_io, server_ctx), HV_EBUSY);
    }
}

static void test_starttls_with_the_handshake_right_behind_takes_it(void **state) {
    (void)state;
    for (reads_all_the_time = 0; reads_all_the_time < 2; reads_all_the_time++) {
        heard[0] = '\0';
        server_opens = client_opens = 0;
        /* The client does not wait for an answer: all of it may come in one segment. */
        int fd = connect_saying("START\n");
        start_client(fd);
        RUN_UNTIL(loop, strcmp(heard, "START\nunder tls\n") == 0);
        assert_int_equal(server_opens, 1);
        assert_int_equal(client_opens, 1);
    }
}

static void test_starttls_gives_nothing_of_the_clear_to_the_reader(void **state) {
    (void)state;
    for (reads_all_the_time = 0; reads_all_the_time < 2; reads_all_the_time++) {
        heard[0] = '\0';
        server_closes = 0;
        int fd = connect_saying("START\ninjected\n");
        RUN_UNTIL(loop, server_closes == 1);
        assert_string_equal(heard, "START\n");
        assert_int_equal(server_error, -HV_ETLS);
        assert_int_equal(server_opens, 0);
        close(fd);
    }
}

static void test_starttls_that_is_never_answered_times_out(void **state) {
    (void)state;
    int fd = connect_saying("START\n");
    RUN_UNTIL(loop, strcmp(heard, "START\n") == 0);
    hio_set_handshake_timeout(server_io, 5);
    RUN_UNTIL(loop, server_closes == 1);
    assert_int_equal(server_error, ETIMEDOUT);
    close(fd);
}

/* ---- An io that moves in its read callback ---- */

static int is_truncated;

static void on_moved(hevent_t *ev) {
    hio_t *io = hevent_userdata(ev);
    hio_attach(ev->loop, io);
    hio_read(io);
}

static void move_when_read(hio_t *io, void *buf, int len) {
    hevent_t ev = {.cb = on_moved, .userdata = io};
    strncat(heard, buf, (size_t)len);
    hio_detach(io);
    assert_int_equal(hloop_post_event(loop, &ev), 0);
}

static void on_moved_close(hio_t *io) {
    is_truncated = hio_ssl_is_truncated(io);
    on_server_close(io);
}

static void on_tls_accept(hio_t *io) {
    hio_setcb_read(io, move_when_read);
    hio_setcb_close(io, on_moved_close);
    hio_read(io);
}

static void say_and_end(hio_t *io) {
    hio_write(io, "x", 1);
    hio_shutdown(io);
    hio_read(io);
}

/* The farewell may come with the last bytes, whose reader gives the io to another loop. */
static void test_farewell_behind_bytes_moves_with_the_io(void **state) {
    (void)state;
    hio_t *listener = hloop_create_tcp_server(loop, "127.0.0.1", 0, on_tls_accept);
    assert_int_equal(hio_set_ssl_ctx(listener, server_ctx), 0);
    hio_t *client = hloop_create_tcp_client(loop, "127.0.0.1", port_of(listener), say_and_end,
                                            NULL);
    assert_int_equal(hio_set_ssl_ctx(client, client_ctx), 0);
    assert_int_equal(hio_set_hostname(client, "localhost"), 0);
    RUN_UNTIL(loop, server_closes == 1);
    assert_string_equal(heard, "x");
    assert_int_equal(server_error, 0);
    assert_false(is_truncated);
}

/* The first of its contexts does not trust the test's root. */
static void test_client_gets_another_context_before_it_connects(void **state) {
    (void)state;
    hio_t *listener = hloop_create_tcp_server(loop, "127.0.0.1", 0, on_accept);
    reads_all_the_time = 1;
    assert_int_equal(hio_set_ssl_ctx(listener, server_ctx), 0);
    assert_int_equal(hio_set_ssl_ctx(listener, server_ctx), HV_EBUSY);
    hssl_ctx_t first = hssl_ctx_new(NULL);
    hio_t *client =
        hloop_create_tcp_client(loop, "127.0.0.1", port_of(listener), on_client_open, NULL);
    assert_int_equal(hio_set_ssl_ctx(client, first), 0);
    hssl_ctx_free(first);
    assert_int_equal(hio_set_hostname(client, "localhost"), 0);
    assert_int_equal(hio_set_ssl_ctx(client, client_ctx), 0);
    RUN_UNTIL(loop, strcmp(heard, "under tls\n") == 0);
    assert_int_equal(client_opens, 1);
    assert_string_equal(hio_ssl_server_name(client), "localhost");
    assert_int_equal(hio_set_ssl_ctx(client, client_ctx), HV_EBUSY);
}

static void test_certificate_is_described(void **state) {
    (void)state;
    int fd = connect_saying("START\n");
    start_client(fd);
    hio_t *client = hio_get(loop, fd);
    assert_null(hio_ssl_peer_certificate(client)); /* not yet */
    RUN_UNTIL(loop, client_opens == 1);
    hssl_certificate_t *certificate = hio_ssl_peer_certificate(client);
    assert_non_null(certificate);
    assert_string_equal(certificate->subject, "CN=localhost");
    char subject[64];
    assert_int_equal(hio_ssl_peer_subject(client, subject, SIZE_MAX), 12); /* whoever says so */
    assert_string_equal(subject, "CN=localhost");
    assert_int_equal(hio_ssl_peer_subject(client, subject, 4), 3);
    assert_string_equal(subject, "CN=");
    assert_string_equal(certificate->issuer, "CN=root");
    assert_string_equal(certificate->names, "localhost\n127.0.0.1\n");
    assert_string_equal(certificate->pem, read_text(certs.server));
    assert_int_equal(strlen(certificate->fingerprint), 64);
    assert_true(strlen(certificate->serial) >= 2);
    assert_int_equal(certificate->not_after - certificate->not_before, 3660);
    hssl_certificate_free(certificate);
    hssl_certificate_free(NULL);
    assert_string_equal(hio_ssl_server_name(client), "localhost");
    RUN_UNTIL(loop, server_opens == 1);
    assert_string_equal(hio_ssl_server_name(server_io), "localhost");
    assert_null(hio_ssl_peer_certificate(server_io)); /* the client has shown none */
}

static void test_context_of_bad_text_names_no_secret(void **state) {
    (void)state;
    hssl_ctx_opt_t opt = {.crt_file = read_text(certs.server),
                          .key_file = "-----BEGIN PRIVATE KEY-----\nsecret\n"};
    assert_null(hssl_ctx_new(&opt));
    assert_null(strstr(hssl_last_error(), "secret"));
    assert_non_null(strstr(hssl_last_error(), "private key (PEM text): "));
    opt.key_file = read_text(certs.other_key);
    assert_null(hssl_ctx_new(&opt));
    assert_non_null(strstr(hssl_last_error(), "key values mismatch"));
    opt.key_file = read_text(certs.server_key);
    opt.ca_file = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    assert_null(hssl_ctx_new(&opt));
    assert_non_null(strstr(hssl_last_error(), "trusted roots (PEM text): "));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_starttls_goes_on_under_tls, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_starttls_with_the_handshake_right_behind_takes_it,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_starttls_gives_nothing_of_the_clear_to_the_reader,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_starttls_that_is_never_answered_times_out, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_farewell_behind_bytes_moves_with_the_io, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_client_gets_another_context_before_it_connects, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_certificate_is_described, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_context_of_bad_text_names_no_secret, set_up,
                                        tear_down),
    };
    return cmocka_run_group_tests_name("htls_layer", tests, NULL, NULL);
}
