/* http_client_test.h - what the tests of HTTP clients share: a client and a server on one loop. The
 * server is a script: the n-th request that comes gets the n-th answer. Of a call that is performed
 * `seen` holds what its callbacks were told. */
#ifndef SPEC_HTTP_CLIENT_TEST_H_
#define SPEC_HTTP_CLIENT_TEST_H_

#include "hhttp_client.h"
#include "loop_test.h"

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

static inline void on_served_close(hio_t *io) {
    server_closed++;
    free(hio_context(io));
}

static inline void on_served_read(hio_t *io, void *buf, int len) {
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

static inline void on_accept(hio_t *io) {
    accepted++;
    served_t *served = calloc(1, sizeof *served);
    served->io = io;
    hio_set_context(io, served);
    last_served = io;
    hio_setcb_read(io, on_served_read);
    hio_setcb_close(io, on_served_close);
    hio_read(io);
}

static inline void answer(const char *bytes, int closes) {
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

static inline void on_head(hhttp_call_t *call) {
    seen_t *to = hhttp_call_userdata(call);
    assert_int_equal(to->done, 0);
    to->heads++;
    to->status = hhttp_call_status(call);
    if (to->pauses) hhttp_call_pause(call);
}

static inline void on_data(hhttp_call_t *call, const void *data, size_t len) {
    seen_t *to = hhttp_call_userdata(call);
    assert_int_equal(to->heads, 1);
    assert_int_equal(to->done, 0);
    assert_true(to->body_len + len < sizeof to->body);
    to->datas++;
    memcpy(to->body + to->body_len, data, len);
    to->body_len += len;
    to->body[to->body_len] = '\0';
}

static inline void on_done(hhttp_call_t *call, int error) {
    seen_t *to = hhttp_call_userdata(call);
    assert_int_equal(to->done++, 0);
    to->error = error;
    snprintf(to->words, sizeof to->words, "%s", hhttp_call_error_text(call));
}

static inline void on_interim(hhttp_call_t *call) {
    ((seen_t *)hhttp_call_userdata(call))->interims++;
}

static inline int setup(void **state) {
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

static inline int teardown(void **state) {
    (void)state;
    hhttp_client_close(client);
    free_loop(loop, blocks_before);
    free(seen);
    return 0;
}

static inline hhttp_call_options_t options_of(const char *path) {
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

/* Starts a call of which nothing has been seen yet. */
static inline hhttp_call_t *begin(const hhttp_call_options_t *options) {
    memset(seen, 0, sizeof *seen);
    hhttp_call_t *call = hhttp_call_start(client, options);
    assert_non_null(call);
    assert_int_equal(seen->heads + seen->done, 0); /* nothing comes inside the call */
    return call;
}

/* Starts a call and runs until its end. */
static inline void perform(const hhttp_call_options_t *options) {
    begin(options);
    RUN_UNTIL(loop, seen->done);
}

static inline void get(const char *path) {
    hhttp_call_options_t options = options_of(path);
    perform(&options);
}

/* The call has ended well with this response. */
static inline void expect_ok(int status, const char *body) {
    assert_int_equal(seen->error, 0);
    assert_int_equal(seen->status, status);
    assert_string_equal(seen->body, body);
}

static inline hhttp_client_counts_t counts(void) {
    hhttp_client_counts_t now;
    hhttp_client_counts(client, &now);
    return now;
}

/* An on_ready that sends "one END" in two pieces. */
static inline void write_pieces(hhttp_call_t *call) {
    ((seen_t *)hhttp_call_userdata(call))->readies++;
    assert_int_equal(hhttp_call_write(call, "one ", 4), 0);
    assert_int_equal(hhttp_call_write(call, "", 0), 0);
    assert_int_equal(hhttp_call_write(call, "END", 3), 0);
    assert_int_equal(hhttp_call_finish(call), 0);
    assert_int_equal(hhttp_call_write(call, "x", 1), HV_ECLOSED);
}

/* An on_head that takes the connection. */
static inline void take_now(hhttp_call_t *call) {
    seen->heads++;
    seen->status = hhttp_call_status(call);
    seen->taken = hhttp_call_take_io(call);
    assert_null(hhttp_call_take_io(call));
    assert_int_equal(seen->done, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

#endif
