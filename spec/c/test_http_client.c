/* Tests of runtime/http/http_client.c, http_link.c, http_call.c, http_start.c and http_proxy.c:
 * real sockets on one loop. The server is a script: the n-th request that comes gets the n-th
 * answer. */
#include "loop_test.h"

#include "hbase.h"
#include "hcodec.h"
#include "http_url.h"

#define SCRIPT_MAX 16
#define TEXT_MAX   (1 << 21)

typedef struct answer_s {
    const char *bytes;
    int closes; /* behind them */
    int len;    /* 0: strlen */
} answer_t;

typedef struct served_s {
    hio_t *io;
    char text[8192];
    size_t len;
    size_t seen; /* bytes of requests that were answered */
} served_t;

static hloop_t *loop;
static hhttp_client_t *client;
static hio_t *listener;
static hio_t *last_served;
static size_t blocks_before;
static answer_t script[SCRIPT_MAX];
static int script_len, script_at, accepted, server_closed;
static char requests[65536]; /* everything that has come, in order */
static size_t requests_len;
static int wants_body; /* a request ends with "END" instead of its head */

/* ---- The server ---- */

static void on_served_close(hio_t *io) {
    server_closed++;
    free(hio_context(io));
}

static void on_served_read(hio_t *io, void *buf, int len) {
    served_t *served = hio_context(io);
    assert_true(requests_len + (size_t)len < sizeof requests);
    memcpy(requests + requests_len, buf, (size_t)len);
    requests_len += (size_t)len;
    requests[requests_len] = '\0';
    assert_true(served->len + (size_t)len < sizeof served->text);
    memcpy(served->text + served->len, buf, (size_t)len);
    served->len += (size_t)len;
    const char *mark = wants_body ? "END" : "\r\n\r\n";
    size_t mark_len = strlen(mark);
    char *at;
    while (script_at < script_len && hio_is_opened(io) &&
           (at = memmem(served->text + served->seen, served->len - served->seen, mark, mark_len)) !=
               NULL) {
        served->seen = (size_t)(at - served->text) + mark_len;
        answer_t *answer = &script[script_at++];
        size_t bytes = answer->len > 0 ? (size_t)answer->len : strlen(answer->bytes);
        if (bytes > 0) hio_write(io, answer->bytes, bytes);
        if (answer->closes) hio_close(io);
    }
}

static void on_accept(hio_t *io) {
    accepted++;
    served_t *served = calloc(1, sizeof *served);
    served->io = io;
    hio_set_context(io, served);
    last_served = io;
    hio_setcb_read(io, on_served_read);
    hio_setcb_close(io, on_served_close);
    hio_read(io);
}

static void answer(const char *bytes, int closes) {
    assert_true(script_len < SCRIPT_MAX);
    script[script_len++] = (answer_t){bytes, closes, 0};
}

/* ---- The client's side ---- */

typedef struct seen_s {
    int heads, done, error, status, readies, drains, interims, datas;
    char body[TEXT_MAX];
    size_t body_len;
    char words[200];
    hio_t *taken;
    int pauses;
} seen_t;

static seen_t *seen;

static void on_head(hhttp_call_t *call) {
    seen_t *to = hhttp_call_userdata(call);
    assert_int_equal(to->done, 0);
    to->heads++;
    to->status = hhttp_call_status(call);
    if (to->pauses) hhttp_call_pause(call);
}

static void on_data(hhttp_call_t *call, const void *data, size_t len) {
    seen_t *to = hhttp_call_userdata(call);
    assert_int_equal(to->heads, 1);
    assert_int_equal(to->done, 0);
    assert_true(to->body_len + len < sizeof to->body);
    to->datas++;
    memcpy(to->body + to->body_len, data, len);
    to->body_len += len;
    to->body[to->body_len] = '\0';
}

static void on_done(hhttp_call_t *call, int error) {
    seen_t *to = hhttp_call_userdata(call);
    assert_int_equal(to->done++, 0);
    to->error = error;
    snprintf(to->words, sizeof to->words, "%s", hhttp_call_error_text(call));
}

static void on_interim(hhttp_call_t *call) {
    ((seen_t *)hhttp_call_userdata(call))->interims++;
}

static int setup(void **state) {
    (void)state;
    blocks_before = hv__mem_live_blocks();
    loop = hloop_new(0);
    assert_non_null(loop);
    listener = hloop_create_tcp_server(loop, "127.0.0.1", 0, on_accept);
    assert_non_null(listener);
    client = hhttp_client_new(loop, NULL);
    assert_non_null(client);
    seen = calloc(2, sizeof *seen);
    script_len = script_at = accepted = server_closed = 0;
    requests_len = 0;
    requests[0] = '\0';
    wants_body = 0;
    return 0;
}

static int teardown(void **state) {
    (void)state;
    hhttp_client_close(client);
    free_loop(loop, blocks_before);
    free(seen);
    return 0;
}

static hhttp_call_options_t options_of(const char *path) {
    static char url[256];
    snprintf(url, sizeof url, "http://127.0.0.1:%d%s", port_of(listener), path);
    hhttp_call_options_t options = {.on_head = on_head,
                                    .on_data = on_data,
                                    .on_done = on_done,
                                    .on_interim = on_interim,
                                    .userdata = seen};
    assert_int_equal(hhttp_url_parse(url, &options.url), 0);
    return options;
}

/* Starts a call and runs until its end; what was seen of it is in `seen`. */
static void perform(hhttp_call_options_t *options) {
    memset(seen, 0, sizeof *seen);
    hhttp_call_t *call = hhttp_call_start(client, options);
    assert_non_null(call);
    assert_int_equal(seen->heads + seen->done, 0); /* nothing comes inside the call */
    RUN_UNTIL(loop, seen->done);
}

static void get(const char *path) {
    hhttp_call_options_t options = options_of(path);
    perform(&options);
}

static void expect_ok(int status, const char *body) {
    assert_int_equal(seen->error, 0);
    assert_int_equal(seen->status, status);
    assert_string_equal(seen->body, body);
}

static hhttp_client_counts_t counts(void) {
    hhttp_client_counts_t now;
    hhttp_client_counts(client, &now);
    return now;
}

/* ---- Responses ---- */

static void test_get_sends_request_and_keeps_connection(void **state) {
    (void)state;
    answer("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nfirst", 0);
    answer("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nsec\r\n3;a=b\r\nond\r\n0\r\n"
           "T: x\r\n\r\n",
           0);
    answer("HTTP/1.1 204 No Content\r\n\r\n", 0);
    get("/a?b=c");
    expect_ok(200, "first");
    char expected[128];
    snprintf(expected, sizeof expected, "GET /a?b=c HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n\r\n",
             port_of(listener));
    assert_string_equal(requests, expected);
    assert_int_equal(counts().idle, 1);
    get("/second");
    expect_ok(200, "second");
    get("/third");
    expect_ok(204, "");
    assert_int_equal(accepted, 1);
    assert_int_equal(counts().opened, 1);
    assert_int_equal(counts().reused, 2);
}

static void test_body_without_length_ends_with_connection(void **state) {
    (void)state;
    answer("HTTP/1.1 200\r\n\r\nall of it", 1);
    get("/");
    expect_ok(200, "all of it");
    assert_int_equal(counts().connections, 0);
}

static void test_head_has_no_body_but_length(void **state) {
    (void)state;
    answer("HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n", 0);
    answer("HTTP/1.1 304 Not Modified\r\nContent-Length: 500\r\n\r\n", 0);
    hhttp_call_options_t options = options_of("/");
    options.method = "HEAD";
    perform(&options);
    expect_ok(200, "");
    get("/");
    expect_ok(304, "");
    assert_int_equal(accepted, 1);
}

static void test_interim_responses_come_before_the_final_one(void **state) {
    (void)state;
    answer("HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n"
           "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
           0);
    get("/");
    expect_ok(200, "ok");
    assert_int_equal(seen->interims, 2);
    char many[2048] = "";
    for (int i = 0; i < 20; i++)
        strcat(many, "HTTP/1.1 102 Wait\r\n\r\n");
    answer(many, 0);
    get("/");
    assert_int_equal(seen->error, HV_ELIMIT);
}

static void test_http10_closes_unless_kept_alive(void **state) {
    (void)state;
    answer("HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\na", 0);
    answer("HTTP/1.0 200 OK\r\nContent-Length: 1\r\nConnection: keep-alive\r\n\r\nb", 0);
    answer("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nConnection: close\r\n\r\nc", 0);
    get("/");
    expect_ok(200, "a");
    assert_int_equal(counts().idle, 0);
    get("/");
    expect_ok(200, "b");
    assert_int_equal(counts().idle, 1);
    get("/");
    expect_ok(200, "c");
    assert_int_equal(counts().idle, 0);
    assert_int_equal(accepted, 2);
}

static void test_bytes_behind_response_close_connection(void **state) {
    (void)state;
    answer("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\naHTTP/1.1 200 OK\r\n", 0);
    get("/");
    expect_ok(200, "a");
    RUN_UNTIL(loop, counts().connections == 0);
    RUN_UNTIL(loop, server_closed == 1);
}

static void test_refused_responses_are_errors(void **state) {
    (void)state;
    static const struct {
        const char *bytes;
        int error;
    } cases[] = {
        {"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab", HV_EPROTO},
        {"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
         HV_EPROTO},
        {"HTTP/1.1 200 OK\nContent-Length: 0\n\n", HV_EPROTO},
        {"HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n", HV_EPROTO},
        {"HTTP/1.1 200 OK\r\nA : b\r\n\r\n", HV_EPROTO},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n", HV_EPROTO},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n", HV_EPROTO},
        {"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nab", HV_EOF},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab", HV_EOF},
        {"HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n", HV_EPROTO},
        {"HTTP/1.1 200", HV_EOF},
        {"", HV_EOF},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        script_len = script_at = 0;
        answer(cases[i].bytes, 1);
        get("/");
        assert_int_equal(seen->error, cases[i].error);
        assert_true(strlen(seen->words) > 0);
    }
}

static void test_limits_of_a_response(void **state) {
    (void)state;
    static char big[70000];
    memset(big, 'x', sizeof big - 1);
    memcpy(big, "HTTP/1.1 200 ", 13);
    answer(big, 0);
    get("/");
    assert_int_equal(seen->error, HV_ELIMIT);
    memcpy(big, "HTTP/1.1 200 OK\r\nA: ", 20);
    answer(big, 0);
    get("/");
    assert_int_equal(seen->error, HV_ELIMIT);
    static char many[8000] = "HTTP/1.1 200 OK\r\n";
    for (int i = 0; i < 201; i++)
        strcat(many, "a: b\r\n");
    strcat(many, "\r\n");
    answer(many, 0);
    get("/");
    assert_int_equal(seen->error, HV_ELIMIT);
    static const char *const bodies[] = {"HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\nhello world",
                                         ("HTTP/1.1 200 OK\r\nTransfer-Encoding: "
                                          "chunked\r\n\r\n6\r\nhello \r\n5\r\nworld\r\n0\r\n\r\n"),
                                         "HTTP/1.1 200 OK\r\n\r\nhello world"};
    for (size_t i = 0; i < ARRAY_SIZE(bodies); i++) {
        answer(bodies[i], 1);
        hhttp_call_options_t options = options_of("/");
        options.body_bytes_max = 10;
        perform(&options);
        assert_int_equal(seen->error, HV_ELIMIT);
        answer(bodies[i], 1);
        options.body_bytes_max = 11;
        perform(&options);
        expect_ok(200, "hello world");
    }
}

/* ---- The pool ---- */

static void test_kept_connection_that_ends_is_tried_again(void **state) {
    (void)state;
    answer("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\na", 0);
    answer("", 1); /* the server closes just as the request comes */
    answer("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nb", 0);
    get("/");
    get("/again");
    expect_ok(200, "b");
    assert_int_equal(accepted, 2);
    assert_int_equal(counts().repeated, 1);
    /* A POST may have been carried out: it is not. */
    answer("", 1);
    hhttp_call_options_t options = options_of("/");
    options.method = "POST";
    options.body = "x";
    options.body_len = 1;
    perform(&options);
    assert_int_equal(seen->error, HV_EOF);
    assert_int_equal(counts().repeated, 1);
    /* A new connection that ends is no race. */
    answer("", 1);
    get("/");
    assert_int_equal(seen->error, HV_EOF);
    assert_int_equal(counts().repeated, 1);
}

static void test_idle_connection_that_server_closes_leaves_pool(void **state) {
    (void)state;
    answer("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\na", 1); /* keep-alive, then it closes */
    get("/");
    expect_ok(200, "a");
    RUN_UNTIL(loop, counts().connections == 0);
    answer("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nb", 0);
    get("/");
    expect_ok(200, "b");
    assert_int_equal(counts().repeated, 0);
}

static void test_calls_wait_for_a_connection(void **state) {
    (void)state;
    hhttp_client_close(client);
    client = hhttp_client_new(
        loop, &(hhttp_client_options_t){.connections_per_host_max = 1, .waiting_max = 1});
    answer("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\na", 0);
    answer("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nb", 0);
    hhttp_call_options_t options = options_of("/");
    assert_non_null(hhttp_call_start(client, &options));
    options.userdata = seen + 1;
    assert_non_null(hhttp_call_start(client, &options));
    assert_int_equal(counts().waiting, 1);
    assert_null(hhttp_call_start(client, &options));
    assert_int_equal(hloop_last_error(loop), HV_ELIMIT);
    RUN_UNTIL(loop, seen[0].done && seen[1].done);
    assert_string_equal(seen[0].body, "a");
    assert_string_equal(seen[1].body, "b");
    assert_int_equal(accepted, 1);
}

static void test_waiting_call_is_served_when_connection_fails(void **state) {
    (void)state;
    hhttp_client_close(client);
    client = hhttp_client_new(loop, &(hhttp_client_options_t){.connections_per_host_max = 1});
    answer("bad\r\n\r\n", 0);
    answer("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nb", 0);
    hhttp_call_options_t options = options_of("/");
    assert_non_null(hhttp_call_start(client, &options));
    options.userdata = seen + 1;
    hhttp_call_t *second = hhttp_call_start(client, &options);
    assert_non_null(second);
    RUN_UNTIL(loop, seen[0].done && seen[1].done);
    assert_int_equal(seen[0].error, HV_EPROTO);
    assert_string_equal(seen[1].body, "b");
}

static void test_idle_connections_can_be_closed(void **state) {
    (void)state;
    answer("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\na", 0);
    get("/");
    assert_int_equal(counts().idle, 1);
    hhttp_client_close_idle(client);
    assert_int_equal(counts().idle, 0);
    RUN_PASSES(loop, 3);
    assert_int_equal(counts().connections, 0);
    answer("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nb", 0);
    get("/"); /* on a new one */
    assert_int_equal(counts().idle, 1);
}

static void test_idle_connections_have_limits_and_end(void **state) {
    (void)state;
    hclock_set_fake(1000000000000000ull);
    hhttp_client_close(client);
    client = hhttp_client_new(loop, &(hhttp_client_options_t){.idle_timeout_ms = 5000});
    answer("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\na", 0);
    get("/");
    assert_int_equal(counts().idle, 1);
    RUN_PASSES(loop, 3);
    hclock_advance(4000 * 1000);
    RUN_PASSES(loop, 3);
    assert_int_equal(counts().idle, 1);
    hclock_advance(2000 * 1000);
    RUN_PASSES(loop, 5);
    assert_int_equal(counts().connections, 0);
    hclock_use_real();
}

static void test_pool_is_keyed_by_tls_name_and_proxy(void **state) {
    (void)state;
    answer("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\na", 0);
    answer("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nb", 0);
    get("/");
    /* Through the server as a proxy: another connection though it is the same host. */
    hhttp_proxy_t proxy = {HHTTP_PROXY_HTTP, "127.0.0.1", port_of(listener), "me", "secret"};
    hhttp_call_options_t options = options_of("/x");
    options.proxy = &proxy;
    requests_len = 0;
    perform(&options);
    expect_ok(200, "b");
    assert_int_equal(accepted, 2);
    assert_non_null(strstr(requests, "GET http://127.0.0.1:"));
    assert_non_null(strstr(requests, "/x HTTP/1.1\r\n"));
    assert_non_null(strstr(requests, "Proxy-Authorization: Basic bWU6c2VjcmV0\r\n"));
}

/* ---- Bodies of requests ---- */

static void test_body_in_memory_is_sent_with_its_length(void **state) {
    (void)state;
    wants_body = 1;
    answer("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", 0);
    hhttp_call_options_t options = options_of("/");
    hhttp_header_t header = {{"X-A", 3}, {"b", 1}};
    options.headers = &header;
    options.header_count = 1;
    options.method = "PUT";
    options.body = "the END";
    options.body_len = 7;
    perform(&options);
    expect_ok(200, "");
    assert_non_null(strstr(requests, "X-A: b\r\n"));
    assert_non_null(strstr(requests, "Content-Length: 7\r\n\r\nthe END"));
}

static void write_pieces(hhttp_call_t *call) {
    ((seen_t *)hhttp_call_userdata(call))->readies++;
    assert_int_equal(hhttp_call_write(call, "one ", 4), 0);
    assert_int_equal(hhttp_call_write(call, "", 0), 0);
    assert_int_equal(hhttp_call_write(call, "END", 3), 0);
    assert_int_equal(hhttp_call_finish(call), 0);
    assert_int_equal(hhttp_call_write(call, "x", 1), HV_ECLOSED);
}

static void test_streamed_body_is_chunked_or_counted(void **state) {
    (void)state;
    wants_body = 1;
    answer("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", 0);
    answer("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", 0);
    hhttp_call_options_t options = options_of("/");
    options.method = "POST";
    options.is_streamed = 1;
    options.body_len = -1;
    options.expect_bytes = -1;
    options.on_ready = write_pieces;
    perform(&options);
    expect_ok(200, "");
    assert_non_null(
        strstr(requests, "Transfer-Encoding: chunked\r\n\r\n4\r\none \r\n3\r\nEND\r\n"));
    requests_len = 0;
    options.body_len = 7;
    perform(&options);
    expect_ok(200, "");
    assert_non_null(strstr(requests, "Content-Length: 7\r\n\r\none END"));
}

static void write_too_little(hhttp_call_t *call) {
    assert_int_equal(hhttp_call_write(call, "toolong", 7), HV_ELIMIT);
    assert_int_equal(hhttp_call_write(call, "four", 4), 0);
    assert_int_equal(hhttp_call_finish(call), HV_EPROTO);
}

static void test_streamed_body_of_wrong_length_fails(void **state) {
    (void)state;
    hhttp_call_options_t options = options_of("/");
    options.method = "POST";
    options.is_streamed = 1;
    options.body_len = 5;
    options.on_ready = write_too_little;
    perform(&options);
    assert_int_equal(seen->error, HV_EPROTO);
}

static void test_expectation_holds_body_back(void **state) {
    (void)state;
    /* The head ends with a blank line: 100, then the body ends with one: the answer. */
    answer("HTTP/1.1 100 Continue\r\n\r\n", 0);
    answer("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", 0);
    hhttp_call_options_t options = options_of("/");
    options.method = "POST";
    options.body = "body\r\n\r\n";
    options.body_len = 8;
    options.expect_bytes = 1;
    perform(&options);
    expect_ok(200, "ok");
    assert_non_null(strstr(requests, "Expect: 100-continue\r\n"));
    /* Refused: once more without. */
    requests_len = 0;
    answer("HTTP/1.1 417 Expectation Failed\r\nContent-Length: 0\r\n\r\n", 0);
    answer("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nyes", 0);
    perform(&options);
    expect_ok(200, "yes");
    assert_non_null(strstr(requests, "Expect: 100-continue\r\n"));
    assert_null(strstr(strstr(requests, "\r\n\r\n"), "Expect: 100-continue\r\n"));
    /* A final answer instead: the body is not sent, and the connection not used again. */
    requests_len = 0;
    RUN_PASSES(loop, 3);
    answer("HTTP/1.1 401 No\r\nContent-Length: 0\r\n\r\n", 0);
    perform(&options);
    expect_ok(401, "");
    assert_null(strstr(requests, "body\r\n"));
    assert_int_equal(counts().idle, 0);
}

static void test_expectation_is_given_up_after_a_second(void **state) {
    (void)state;
    hclock_set_fake(1000000000000000ull);
    wants_body = 1;
    answer("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", 0);
    hhttp_call_options_t options = options_of("/");
    options.method = "POST";
    options.body = "END";
    options.body_len = 3;
    options.expect_bytes = 1;
    RUN_PASSES(loop, 1);
    assert_non_null(hhttp_call_start(client, &options));
    for (int i = 0; i < 1000 && requests_len == 0; i++)
        RUN_PASSES(loop, 1);
    assert_null(strstr(requests, "END"));
    hclock_advance(1001 * 1000);
    for (int i = 0; i < 1000 && !seen->done; i++)
        RUN_PASSES(loop, 1);
    hclock_use_real();
    expect_ok(200, "ok");
}

/* ---- Back-pressure, cancelling, times ---- */

static void test_paused_call_gets_its_body_when_resumed(void **state) {
    (void)state;
    answer("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", 0);
    hhttp_call_options_t options = options_of("/");
    memset(seen, 0, sizeof *seen);
    seen->pauses = 1;
    hhttp_call_t *call = hhttp_call_start(client, &options);
    RUN_UNTIL(loop, seen->heads);
    RUN_PASSES(loop, 10);
    assert_int_equal(seen->datas + seen->done, 0);
    hhttp_call_resume(call);
    assert_int_equal(seen->datas + seen->done, 0);
    RUN_UNTIL(loop, seen->done);
    expect_ok(200, "hello");
    assert_int_equal(counts().idle, 1);
}

/* A response that was whole when the call was resumed: its connection rests, and is read. */
static void test_bytes_behind_a_paused_response_take_its_connection_out_of_the_pool(void **state) {
    (void)state;
    answer("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", 0);
    hhttp_call_options_t options = options_of("/");
    memset(seen, 0, sizeof *seen);
    seen->pauses = 1;
    hhttp_call_t *call = hhttp_call_start(client, &options);
    RUN_UNTIL(loop, seen->heads);
    hhttp_call_resume(call);
    RUN_UNTIL(loop, seen->done);
    expect_ok(200, "hello");
    assert_int_equal(counts().idle, 1);
    const char *evil = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil";
    hio_write(last_served, evil, strlen(evil));
    RUN_UNTIL(loop, counts().connections == 0);
    answer("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ntrue", 0);
    get("/");
    expect_ok(200, "true");
}

static void test_end_of_a_connection_that_was_paused_is_seen_while_it_rests(void **state) {
    (void)state;
    answer("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", 0);
    hhttp_call_options_t options = options_of("/");
    memset(seen, 0, sizeof *seen);
    seen->pauses = 1;
    hhttp_call_t *call = hhttp_call_start(client, &options);
    RUN_UNTIL(loop, seen->heads);
    hhttp_call_resume(call);
    RUN_UNTIL(loop, seen->done);
    hio_close(last_served);
    RUN_UNTIL(loop, counts().connections == 0);
}

static void cancel_at_head(hhttp_call_t *call) {
    seen->heads++;
    hhttp_call_cancel(call);
    hhttp_call_cancel(call);
    assert_int_equal(seen->done, 0);
}

static void test_cancel_ends_a_call_in_every_state(void **state) {
    (void)state;
    answer("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", 0);
    hhttp_call_options_t options = options_of("/");
    options.on_head = cancel_at_head;
    perform(&options);
    assert_int_equal(seen->error, HV_ECANCELED);
    assert_int_equal(seen->datas, 0);
    memset(seen, 0, sizeof *seen);
    hhttp_call_t *call = hhttp_call_start(client, &options); /* connecting */
    hhttp_call_cancel(call);
    RUN_UNTIL(loop, seen->done);
    assert_int_equal(seen->error, HV_ECANCELED);
    assert_int_equal(seen->heads, 0);
    RUN_UNTIL(loop, counts().connections == 0);
}

static void expect_timeout(hhttp_call_options_t *options) {
    memset(seen, 0, sizeof *seen);
    hclock_set_fake(1000000000000000ull);
    RUN_PASSES(loop, 1); /* the loop sees that it is another time */
    assert_non_null(hhttp_call_start(client, options));
    requests_len = 0;
    requests[0] = '\0';
    for (int i = 0; i < 10000 && strstr(requests, "\r\n\r\n") == NULL; i++)
        RUN_PASSES(loop, 1);
    hclock_advance(999 * 1000);
    RUN_PASSES(loop, 5);
    assert_int_equal(seen->done, 0);
    hclock_advance(2 * 1000);
    RUN_PASSES(loop, 5);
    hclock_use_real();
    assert_int_equal(seen->done, 1);
    assert_int_equal(seen->error, HV_ETIMEDOUT);
}

static void test_silent_server_ends_in_each_timeout(void **state) {
    (void)state;
    hhttp_call_options_t options = options_of("/");
    options.total_timeout_ms = 1000;
    expect_timeout(&options);
    options = options_of("/");
    options.head_timeout_ms = 1000;
    expect_timeout(&options);
    options = options_of("/");
    options.idle_timeout_ms = 1000;
    expect_timeout(&options);
}

static void test_connecting_that_fails_says_why(void **state) {
    (void)state;
    hhttp_call_options_t options = options_of("/");
    hio_t *other = hloop_create_tcp_server(loop, "127.0.0.1", 0, on_accept);
    options.url.port = port_of(other);
    hio_close(other);
    RUN_PASSES(loop, 3);
    perform(&options);
    assert_int_equal(seen->error, HV_ECONNREFUSED);
}

static void close_client(hhttp_call_t *call, int error) {
    on_done(call, error);
    hhttp_client_close(client);
    client = NULL;
}

static void test_client_closed_in_the_last_callback_of_a_connection(void **state) {
    (void)state;
    hhttp_client_close(client);
    client = hhttp_client_new(loop, &(hhttp_client_options_t){.connections_per_host_max = 1});
    static const char *const ends[] = {"HTTP/1.1 200 OK\r\n\r\nall", ""};
    for (size_t i = 0; i < ARRAY_SIZE(ends); i++) {
        script_len = script_at = 0;
        answer(ends[i], 1);
        memset(seen, 0, 2 * sizeof *seen);
        hhttp_call_options_t options = options_of("/");
        options.on_done = close_client;
        assert_non_null(hhttp_call_start(client, &options));
        options.on_done = on_done;
        options.userdata = seen + 1;
        assert_non_null(hhttp_call_start(client, &options));
        RUN_UNTIL(loop, seen[0].done && seen[1].done);
        assert_int_equal(seen[1].error, HV_ECANCELED);
        client = hhttp_client_new(loop, &(hhttp_client_options_t){.connections_per_host_max = 1});
    }
}

static void test_call_paused_before_its_response_waits(void **state) {
    (void)state;
    static char big[6 << 20];
    memset(big, 'x', sizeof big);
    memcpy(big, "HTTP/1.1 200 OK\r\nContent-Length: 6291000\r\n\r\n", 45);
    script[script_len++] = (answer_t){big, 0, 100000};
    hhttp_call_options_t options = options_of("/");
    options.on_data = NULL;
    memset(seen, 0, sizeof *seen);
    hhttp_call_t *call = hhttp_call_start(client, &options);
    hhttp_call_pause(call);
    RUN_UNTIL(loop, requests_len > 0);
    RUN_PASSES(loop, 50);
    assert_int_equal(seen->heads + seen->done, 0);
    hhttp_call_resume(call);
    RUN_UNTIL(loop, seen->heads);
    hhttp_call_cancel(call);
    RUN_UNTIL(loop, seen->done);
}

static void test_closing_client_cancels_its_calls(void **state) {
    (void)state;
    hhttp_call_options_t options = options_of("/");
    memset(seen, 0, sizeof *seen);
    assert_non_null(hhttp_call_start(client, &options));
    RUN_UNTIL(loop, requests_len > 0);
    hhttp_client_close(client);
    client = NULL;
    assert_int_equal(seen->done, 0);
    RUN_UNTIL(loop, seen->done);
    assert_int_equal(seen->error, HV_ECANCELED);
}

static void test_loop_that_ends_reports_its_calls(void **state) {
    (void)state;
    hhttp_call_options_t options = options_of("/");
    memset(seen, 0, sizeof *seen);
    hhttp_call_t *call = hhttp_call_start(client, &options);
    hhttp_call_retain(call);
    RUN_UNTIL(loop, requests_len > 0);
    client = NULL;
    hloop_free(&loop);
    assert_int_equal(seen->done, 1);
    assert_int_equal(seen->error, HV_ECANCELED);
    hhttp_call_cancel(call);
    hhttp_call_resume(call);
    hhttp_call_release(call);
    assert_int_equal(hv__mem_live_blocks(), blocks_before);
}

/* ---- Upgrades ---- */

static char upgraded_text[64];

static void on_upgraded_read(hio_t *io, void *buf, int len) {
    (void)io;
    strncat(upgraded_text, buf, (size_t)len);
}

static void take_now(hhttp_call_t *call) {
    seen->heads++;
    seen->status = hhttp_call_status(call);
    seen->taken = hhttp_call_take_io(call);
    assert_null(hhttp_call_take_io(call));
    assert_int_equal(seen->done, 0);
}

static void test_upgrade_gives_the_connection_and_what_lies_behind(void **state) {
    (void)state;
    for (int later = 0; later < 2; later++) {
        answer("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
               "Connection: Upgrade\r\n\r\nfirst frame",
               0);
        hhttp_call_options_t options = options_of("/chat");
        options.upgrade = "websocket";
        upgraded_text[0] = '\0';
        memset(seen, 0, sizeof *seen);
        if (!later) options.on_head = take_now;
        hhttp_call_t *call = hhttp_call_start(client, &options);
        RUN_UNTIL(loop, seen->heads);
        assert_int_equal(seen->status, 101);
        if (later) {
            RUN_PASSES(loop, 5);
            assert_int_equal(seen->done, 0);
            seen->taken = hhttp_call_take_io(call);
        }
        assert_non_null(seen->taken);
        RUN_UNTIL(loop, seen->done);
        assert_int_equal(seen->error, 0);
        assert_non_null(strstr(requests, "Upgrade: websocket\r\nConnection: Upgrade\r\n"));
        hio_setcb_read(seen->taken, on_upgraded_read);
        hio_read(seen->taken);
        RUN_UNTIL(loop, strcmp(upgraded_text, "first frame") == 0);
        assert_int_equal(counts().connections, 0);
        hio_close(seen->taken);
        RUN_PASSES(loop, 3);
    }
}

static void test_refused_upgrade_is_a_response(void **state) {
    (void)state;
    answer("HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno", 0);
    answer("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", 0);
    hhttp_call_options_t options = options_of("/chat");
    options.upgrade = "websocket";
    perform(&options);
    expect_ok(403, "no");
    get("/");
    expect_ok(200, "ok");
    assert_int_equal(accepted, 1);
}

/* ---- Proxies ---- */

static void test_tunnel_through_connect(void **state) {
    (void)state;
    answer("HTTP/1.1 200 Connection established\r\n\r\n", 0);
    answer("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n", 0);
    hhttp_proxy_t proxy = {HHTTP_PROXY_HTTP, "127.0.0.1", port_of(listener), "a", NULL};
    hhttp_call_options_t options = options_of("/");
    hhttp_url_parse("http://example.org/ws", &options.url);
    options.proxy = &proxy;
    options.upgrade = "x";
    options.on_head = take_now;
    perform(&options);
    assert_int_equal(seen->error, 0);
    assert_non_null(seen->taken);
    assert_non_null(strstr(requests,
                           "CONNECT example.org:80 HTTP/1.1\r\n"
                           "Host: example.org:80\r\nProxy-Authorization: Basic YTo=\r\n"));
    assert_non_null(strstr(requests, "GET /ws HTTP/1.1\r\nHost: example.org\r\n"));
    hio_close(seen->taken);
    answer("HTTP/1.1 407 Sign In\r\nContent-Length: 0\r\n\r\n", 0);
    options.on_head = on_head;
    perform(&options);
    assert_int_equal(seen->error, -EACCES);
    assert_string_equal(seen->words, "the proxy answered 407 Sign In");
}

static void on_socks_read(hio_t *io, void *buf, int len) {
    /* Greeting, password, command, then HTTP: told apart by what has come before. */
    served_t *served = hio_context(io);
    memcpy(served->text + served->len, buf, (size_t)len);
    served->len += (size_t)len;
    if (served->seen == 0 && served->len >= 4) {
        assert_memory_equal(served->text, "\5\2\0\2", 4);
        hio_write(io, "\5\2", 2);
        served->seen = 4;
    } else if (served->seen == 4 && served->len >= 4 + 9) {
        assert_memory_equal(served->text + 4, "\1\2me\4word", 9);
        hio_write(io, "\1\0", 2);
        served->seen = 13;
    } else if (served->seen == 13 && served->len >= 13 + 18) {
        assert_memory_equal(served->text + 13, "\5\1\0\3\013example.org\0\120", 18);
        hio_write(io, "\5\0\0\1\177\0\0\1\0\120", 10);
        served->seen = 31;
    } else if (served->seen == 31 &&
               memmem(served->text + 31, served->len - 31, "\r\n\r\n", 4) != NULL) {
        hio_write(io, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nsocks", 43);
    }
}

static void on_socks_accept(hio_t *io) {
    on_accept(io);
    hio_setcb_read(io, on_socks_read);
}

static void test_socks_with_password_and_remote_name(void **state) {
    (void)state;
    hio_t *socks = hloop_create_tcp_server(loop, "127.0.0.1", 0, on_socks_accept);
    hhttp_proxy_t proxy = {HHTTP_PROXY_SOCKS5, "127.0.0.1", port_of(socks), "me", "word"};
    hhttp_call_options_t options = options_of("/");
    hhttp_url_parse("http://example.org/", &options.url);
    options.proxy = &proxy;
    perform(&options);
    expect_ok(200, "socks");
    assert_int_equal(counts().idle, 1);
}

/* ---- Coded bodies ---- */

static char coded_answer[70000];

/* An answer whose body is `text_len` bytes of text, packed and cut by `cut` bytes. */
static void answer_coded(const char *name, hcodec_format_e format, size_t text_len, size_t cut,
                         int until_close) {
    char *text = malloc(text_len), *packed;
    for (size_t i = 0; i < text_len; i++)
        text[i] = (char)('a' + i % 7);
    size_t packed_len;
    assert_int_equal(hcodec_compress(format, 6, text, text_len, &packed, &packed_len), 0);
    assert_true(packed_len < 65536);
    packed_len -= cut;
    int len = snprintf(coded_answer, 200, "HTTP/1.1 200 OK\r\nContent-Encoding: %s\r\n", name);
    if (!until_close) {
        len += snprintf(coded_answer + len, 100, "Content-Length: %zu\r\n", packed_len);
    }
    len += snprintf(coded_answer + len, 100, "\r\n");
    memcpy(coded_answer + len, packed, packed_len);
    script[script_len++] = (answer_t){coded_answer, until_close, len + (int)packed_len};
    hv_free(packed);
    free(text);
}

static int pauses_seen;

static void pause_each(hhttp_call_t *call, const void *data, size_t len) {
    on_data(call, data, len);
    pauses_seen++;
    hhttp_call_pause(call);
}

static void test_coded_bodies_are_decoded(void **state) {
    (void)state;
    static const struct {
        const char *name;
        hcodec_format_e format;
    } formats[] = {{"gzip", HCODEC_GZIP}, {"deflate", HCODEC_DEFLATE}, {"br", HCODEC_BROTLI}};
    for (size_t i = 0; i < 2 * ARRAY_SIZE(formats); i++) {
        int until_close = i >= ARRAY_SIZE(formats);
        const char *name = formats[i % ARRAY_SIZE(formats)].name;
        hcodec_format_e format = formats[i % ARRAY_SIZE(formats)].format;
        hhttp_call_options_t options = options_of("/");
        options.decodes = 1;
        script_len = script_at = 0;
        requests_len = 0;
        answer_coded(name, format, 1000000, 0, until_close);
        perform(&options);
        assert_int_equal(seen->error, 0);
        assert_int_equal(seen->body_len, 1000000);
        assert_memory_equal(seen->body + 999993, &"abcdefg"[999993 % 7], 7 - 999993 % 7);
        assert_non_null(strstr(requests, "Accept-Encoding: gzip, deflate, br\r\n"));
        /* Cut short, too long, and as it is. */
        answer_coded(name, format, 1000, 5, until_close);
        perform(&options);
        assert_int_equal(seen->error, HV_EPROTO);
        answer_coded(name, format, 1000000, 0, until_close);
        options.body_bytes_max = 999999;
        perform(&options);
        assert_int_equal(seen->error, HV_ELIMIT);
        assert_true(seen->body_len < 1000000);
        answer_coded(name, format, 1000, 0, until_close);
        options.decodes = 0;
        perform(&options);
        assert_int_equal(seen->error, 0);
        assert_true(seen->body_len < 200);
    }
}

static void test_decoding_rests_while_paused(void **state) {
    (void)state;
    hhttp_call_options_t options = options_of("/");
    options.decodes = 1;
    options.on_data = pause_each;
    answer_coded("gzip", HCODEC_GZIP, 1500000, 0, 0);
    memset(seen, 0, sizeof *seen);
    pauses_seen = 0;
    hhttp_call_t *call = hhttp_call_start(client, &options);
    RUN_UNTIL(loop, pauses_seen == 1);
    RUN_PASSES(loop, 10);
    assert_int_equal(pauses_seen, 1);
    for (int count = 1; !seen->done; count++) {
        hhttp_call_resume(call);
        RUN_UNTIL(loop, pauses_seen == count + 1 || seen->done);
        RUN_PASSES(loop, 3);
        assert_true(pauses_seen <= count + 1);
    }
    assert_int_equal(seen->error, 0);
    assert_int_equal(seen->body_len, 1500000);
    assert_true(pauses_seen > 10);
    assert_int_equal(counts().idle, 1);
}

/* ---- Whatever a server sends ---- */

static uint32_t seed = 1;

static uint32_t next_random(uint32_t below) {
    seed = seed * 1664525u + 1013904223u;
    return (seed >> 8) % below;
}

static void pause_sometimes(hhttp_call_t *call, const void *data, size_t len) {
    (void)data;
    (void)len;
    if (next_random(3) == 0) {
        hhttp_call_pause(call);
        hhttp_call_resume(call);
    }
    if (next_random(40) == 0) hhttp_call_cancel(call);
}

static void take_sometimes(hhttp_call_t *call) {
    hio_t *io = next_random(2) ? hhttp_call_take_io(call) : NULL;
    if (io != NULL) hio_close(io);
    if (io == NULL && hhttp_call_status(call) == 101) hhttp_call_cancel(call);
}

static void test_every_call_ends_once_whatever_is_sent(void **state) {
    (void)state;
    static const char *const bases[] = {
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3;x\r\nabc\r\n2\r\nde\r\n0\r\nA: "
         "b\r\n\r\n"),
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n\r\nuntil the end",
        "HTTP/1.1 302 x\r\nLocation: /y\r\nContent-Length: 2\r\n\r\nno",
        "HTTP/1.1 101 x\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\nbehind",
        "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 9\r\n\r\nno gzip!!",
        "HTTP/1.0 204 x\r\nConnection: keep-alive\r\n\r\n",
    };
    static char texts[SCRIPT_MAX][512];
    for (int round = 0; round < 1500; round++) {
        script_len = script_at = 0;
        requests_len = 0;
        for (int i = 0; i < 4; i++) {
            const char *base = bases[next_random(ARRAY_SIZE(bases))];
            size_t len = strlen(base);
            memcpy(texts[i], base, len);
            for (uint32_t n = next_random(4); n > 0; n--) {
                texts[i][next_random((uint32_t)len)] = "\r\n :09azZ\0\xff"[next_random(11)];
            }
            if (next_random(4) == 0) len = 1 + next_random((uint32_t)len);
            script[script_len++] = (answer_t){texts[i], 1, (int)len};
        }
        hhttp_call_options_t options = options_of("/");
        options.on_head = take_sometimes;
        options.on_data = pause_sometimes;
        options.redirects_max = next_random(3);
        options.decodes = (int)next_random(2);
        options.upgrade = next_random(2) ? "x" : NULL;
        options.body_bytes_max = next_random(2) ? 4 : 0;
        seen->done = seen->error = 0;
        assert_non_null(hhttp_call_start(client, &options));
        RUN_UNTIL(loop, seen->done);
    }
    RUN_UNTIL(loop, counts().connections == 0);
}

/* ---- Redirects ---- */

static char url_text[8192];

static const char *resolve(const char *base, const char *reference) {
    hhttp_url_t url;
    assert_int_equal(hhttp_url_parse(base, &url), 0);
    hhttp_slice_t slice = {reference, strlen(reference)};
    int code = hv__http_url_resolve(&url, slice, url_text, sizeof url_text);
    return code == 0 ? url_text : herr_name(code);
}

static void test_references_are_resolved(void **state) {
    (void)state;
    /* RFC 3986 section 5.4, as far as it is about http. */
    static const char *const cases[][2] = {
        {"g", "http://a/b/c/g"},
        {"./g", "http://a/b/c/g"},
        {"g/", "http://a/b/c/g/"},
        {"/g", "http://a/g"},
        {"//g", "http://g"},
        {"?y", "http://a/b/c/d;p?y"},
        {"g?y", "http://a/b/c/g?y"},
        {"#s", "http://a/b/c/d;p?q"},
        {"g#s", "http://a/b/c/g"},
        {"g?y#s", "http://a/b/c/g?y"},
        {";x", "http://a/b/c/;x"},
        {"g;x", "http://a/b/c/g;x"},
        {"", "http://a/b/c/d;p?q"},
        {".", "http://a/b/c/"},
        {"./", "http://a/b/c/"},
        {"..", "http://a/b/"},
        {"../", "http://a/b/"},
        {"../g", "http://a/b/g"},
        {"../..", "http://a/"},
        {"../../", "http://a/"},
        {"../../g", "http://a/g"},
        {"../../../g", "http://a/g"},
        {"../../../../g", "http://a/g"},
        {"/./g", "http://a/g"},
        {"/../g", "http://a/g"},
        {"g.", "http://a/b/c/g."},
        {".g", "http://a/b/c/.g"},
        {"g..", "http://a/b/c/g.."},
        {"..g", "http://a/b/c/..g"},
        {"./../g", "http://a/b/g"},
        {"./g/.", "http://a/b/c/g/"},
        {"g/./h", "http://a/b/c/g/h"},
        {"g/../h", "http://a/b/c/h"},
        {"g;x=1/./y", "http://a/b/c/g;x=1/y"},
        {"g?y/./x", "http://a/b/c/g?y/./x"},
        {"https://h/x", "https://h/x"},
        {"g h\xc3\xa4", "http://a/b/c/g%20h%C3%A4"},
        {"mailto:a@b", "EINVAL"},
        {"ftp://h/", "EINVAL"},
        {"http://u@h/", "EINVAL"},
        {"//", "EINVAL"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        assert_string_equal(resolve("http://a/b/c/d;p?q", cases[i][0]), cases[i][1]);
    }
    assert_string_equal(resolve("http://a:81", "x"), "http://a:81/x");
    assert_string_equal(resolve("https://[::1]:81/?q", "?x"), "https://[::1]:81/?x");
    assert_string_equal(resolve("http://a?q", "x"), "http://a/x");
}

static char seen_url[256];
static uint32_t seen_redirects;

static void note_url(hhttp_call_t *call, int error) {
    snprintf(seen_url, sizeof seen_url, "%s", hhttp_call_url(call));
    seen_redirects = hhttp_call_redirects(call);
    on_done(call, error);
}

static void test_redirects_are_followed(void **state) {
    (void)state;
    static const struct {
        int status;
        const char *method;
        const char *then;
        int has_body;
    } cases[] = {{301, "GET", "GET", 0},   {301, "POST", "GET", 0}, {302, "POST", "GET", 0},
                 {302, "PUT", "PUT", 1},   {303, "PUT", "GET", 0},  {303, "HEAD", "HEAD", 0},
                 {307, "POST", "POST", 1}, {308, "POST", "POST", 1}};
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        char redirect[128], expected[64];
        snprintf(redirect, sizeof redirect,
                 "HTTP/1.1 %d Moved\r\nLocation: ../b?c#d\r\nContent-Length: 0\r\n\r\n",
                 cases[i].status);
        script_len = script_at = 0;
        requests_len = 0;
        answer(redirect, 0);
        answer("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", 0);
        int has_body = strcmp(cases[i].method, "GET") != 0 && strcmp(cases[i].method, "HEAD") != 0;
        hhttp_header_t headers[] = {{{"Authorization", 13}, {"x", 1}},
                                    {{"Content-Type", 12}, {"text/x", 6}}};
        hhttp_call_options_t options = options_of("/x/y");
        options.method = cases[i].method;
        options.headers = headers;
        options.header_count = 2;
        options.body = has_body ? "body" : NULL;
        options.body_len = has_body ? 4 : 0;
        options.redirects_max = 5;
        options.on_done = note_url;
        perform(&options);
        expect_ok(200, "");
        const char *second = strstr(requests, "/b?c HTTP/1.1\r\n");
        assert_non_null(second);
        snprintf(expected, sizeof expected, "%s /b?c HTTP/1.1\r\n", cases[i].then);
        assert_memory_equal(second - strlen(cases[i].then) - 1, expected, strlen(expected));
        assert_non_null(strstr(second, "Authorization: x\r\n"));
        assert_int_equal(strstr(second, "Content-Type: text/x\r\n") != NULL,
                         cases[i].has_body || !has_body);
        assert_int_equal(strstr(second, "\r\n\r\nbody") != NULL, cases[i].has_body);
        assert_int_equal(seen_redirects, 1);
        assert_non_null(strstr(seen_url, "/b?c"));
    }
    assert_int_equal(accepted, 1); /* one connection served all of it */
}

static void test_redirect_to_another_origin_gets_no_credentials(void **state) {
    (void)state;
    hio_t *other = hloop_create_tcp_server(loop, "127.0.0.1", 0, on_accept);
    char there[128], back[128];
    snprintf(there, sizeof there, "HTTP/1.1 302 x\r\nLocation: http://127.0.0.1:%d/t\r\n\r\nbye",
             port_of(other));
    snprintf(back, sizeof back,
             "HTTP/1.1 302 x\r\nLocation: http://127.0.0.1:%d/end\r\nContent-Length: 0\r\n\r\n",
             port_of(listener));
    answer(there, 1); /* with a body until the end of the connection */
    answer(back, 0);
    answer("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nend", 0);
    hhttp_header_t headers[] = {{{"authorization", 13}, {"secret", 6}},
                                {{"Cookie", 6}, {"secret", 6}},
                                {{"Proxy-Authorization", 19}, {"secret", 6}},
                                {{"Host", 4}, {"first.example", 13}},
                                {{"X-Own", 5}, {"x", 1}}};
    hhttp_call_options_t options = options_of("/");
    options.headers = headers;
    options.header_count = ARRAY_SIZE(headers);
    options.redirects_max = 5;
    perform(&options);
    expect_ok(200, "end");
    char *second = strstr(requests, "GET /t ");
    assert_non_null(second);
    assert_non_null(strstr(requests, "secret"));
    assert_null(strstr(second, "secret"));
    assert_null(strstr(second, "first.example"));
    assert_non_null(strstr(strstr(second, "GET /end "), "X-Own: x\r\n"));
}

static void test_redirects_have_limits(void **state) {
    (void)state;
    static const char again[] = "HTTP/1.1 302 x\r\nLocation: /\r\nContent-Length: 0\r\n\r\n";
    for (int i = 0; i < 3; i++)
        answer(again, 0);
    hhttp_call_options_t options = options_of("/");
    options.redirects_max = 2;
    perform(&options);
    assert_int_equal(seen->error, HV_ELIMIT);
    assert_string_equal(seen->words, "too many redirects");
    answer("HTTP/1.1 302 x\r\nLocation: mailto:x\r\nContent-Length: 0\r\n\r\n", 0);
    perform(&options);
    assert_int_equal(seen->error, HV_EPROTO);
    answer(again, 0);
    options.redirects_max = 0;
    perform(&options);
    expect_ok(302, "");
    /* Without a Location, or for a body that is gone, it is the response. */
    answer("HTTP/1.1 302 x\r\nContent-Length: 2\r\n\r\nno", 0);
    options.redirects_max = 2;
    perform(&options);
    expect_ok(302, "no");
    wants_body = 1;
    answer("HTTP/1.1 307 x\r\nLocation: /\r\nContent-Length: 2\r\n\r\nno", 0);
    options.method = "POST";
    options.is_streamed = 1;
    options.body_len = 7;
    options.on_ready = write_pieces;
    perform(&options);
    expect_ok(307, "no");
    /* A long body is given up with its connection. */
    static char big[200000];
    memset(big, 'x', sizeof big);
    int len =
        snprintf(big, 100, "HTTP/1.1 302 x\r\nLocation: /\r\nContent-Length: 1000000\r\n\r\n");
    big[len] = 'x';
    wants_body = 0;
    script[script_len++] = (answer_t){big, 0, sizeof big};
    answer("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", 0);
    options = options_of("/");
    options.redirects_max = 2;
    options.is_fresh = 1;
    perform(&options);
    expect_ok(200, "ok");
}

/* ---- What is refused before it is sent ---- */

static void test_requests_that_cannot_be_sent_are_refused(void **state) {
    (void)state;
    static const hhttp_header_t bad[] = {
        {{"Content-Length", 14}, {"1", 1}},
        {{"transfer-encoding", 17}, {"x", 1}},
        {{"Connection", 10}, {"x", 1}},
        {{"Expect", 6}, {"x", 1}},
        {{"A B", 3}, {"x", 1}},
        {{"A", 1}, {"x\r\nB: c", 7}},
        {{"A", 1}, {"x\0y", 3}},
        {{"", 0}, {"x", 1}},
    };
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        hhttp_call_options_t options = options_of("/");
        options.headers = &bad[i];
        options.header_count = 1;
        assert_null(hhttp_call_start(client, &options));
        assert_int_equal(hloop_last_error(loop), HV_EINVAL);
    }
    static const char *const methods[] = {"", "G T", "CONNECT", "GET\r\n"};
    for (size_t i = 0; i < ARRAY_SIZE(methods); i++) {
        hhttp_call_options_t options = options_of("/");
        options.method = methods[i];
        assert_null(hhttp_call_start(client, &options));
    }
    hhttp_call_options_t options = options_of("/");
    options.url.target = (hhttp_slice_t){"/a b", 4};
    assert_null(hhttp_call_start(client, &options));
    options = options_of("/");
    options.on_done = NULL;
    assert_null(hhttp_call_start(client, &options));
    RUN_PASSES(loop, 3);
    assert_int_equal(accepted, 0);
}

static void test_url_is_taken_apart(void **state) {
    (void)state;
    hhttp_url_t url;
    assert_int_equal(hhttp_url_parse("HTTPS://[::1]:8443/a?b#c", &url), 0);
    assert_int_equal(url.is_https, 1);
    assert_int_equal(url.port, 8443);
    assert_memory_equal(url.host.data, "::1", url.host.len);
    assert_int_equal(url.host.len, 3);
    assert_int_equal(url.target.len, 4);
    assert_int_equal(hhttp_url_parse("http://h", &url), 0);
    assert_int_equal(url.port, 80);
    assert_int_equal(url.target.len, 1);
    assert_int_equal(hhttp_url_parse("http://h?q", &url), 0);
    assert_int_equal(url.target.data[0], '?');
    static const char *const bad[] = {"",
                                      "h",
                                      "ftp://h/",
                                      "http://",
                                      "http:///a",
                                      "http://u@h/",
                                      "http://h:0/",
                                      "http://h:65536/",
                                      "http://h:x/",
                                      "http://[::1/",
                                      "http://h/a b",
                                      "http://h/\n"};
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        assert_int_equal(hhttp_url_parse(bad[i], &url), HV_EINVAL);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_get_sends_request_and_keeps_connection),
        TEST(test_body_without_length_ends_with_connection),
        TEST(test_head_has_no_body_but_length),
        TEST(test_interim_responses_come_before_the_final_one),
        TEST(test_http10_closes_unless_kept_alive),
        TEST(test_bytes_behind_response_close_connection),
        TEST(test_refused_responses_are_errors),
        TEST(test_limits_of_a_response),
        TEST(test_kept_connection_that_ends_is_tried_again),
        TEST(test_idle_connection_that_server_closes_leaves_pool),
        TEST(test_calls_wait_for_a_connection),
        TEST(test_waiting_call_is_served_when_connection_fails),
        TEST(test_idle_connections_have_limits_and_end),
        TEST(test_idle_connections_can_be_closed),
        TEST(test_pool_is_keyed_by_tls_name_and_proxy),
        TEST(test_body_in_memory_is_sent_with_its_length),
        TEST(test_streamed_body_is_chunked_or_counted),
        TEST(test_streamed_body_of_wrong_length_fails),
        TEST(test_expectation_holds_body_back),
        TEST(test_expectation_is_given_up_after_a_second),
        TEST(test_paused_call_gets_its_body_when_resumed),
        TEST(test_bytes_behind_a_paused_response_take_its_connection_out_of_the_pool),
        TEST(test_end_of_a_connection_that_was_paused_is_seen_while_it_rests),
        TEST(test_cancel_ends_a_call_in_every_state),
        TEST(test_silent_server_ends_in_each_timeout),
        TEST(test_connecting_that_fails_says_why),
        TEST(test_client_closed_in_the_last_callback_of_a_connection),
        TEST(test_call_paused_before_its_response_waits),
        TEST(test_closing_client_cancels_its_calls),
        TEST(test_loop_that_ends_reports_its_calls),
        TEST(test_upgrade_gives_the_connection_and_what_lies_behind),
        TEST(test_refused_upgrade_is_a_response),
        TEST(test_tunnel_through_connect),
        TEST(test_socks_with_password_and_remote_name),
        TEST(test_every_call_ends_once_whatever_is_sent),
        TEST(test_coded_bodies_are_decoded),
        TEST(test_decoding_rests_while_paused),
        TEST(test_references_are_resolved),
        TEST(test_redirects_are_followed),
        TEST(test_redirect_to_another_origin_gets_no_credentials),
        TEST(test_redirects_have_limits),
        TEST(test_requests_that_cannot_be_sent_are_refused),
        TEST(test_url_is_taken_apart),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
