/* http_test.h - what the tests of HTTP servers share: a server on a real loop, the clock turned by
 * hand, and a client that is a plain descriptor; whatever waits for an answer runs passes of the
 * loop until it is there. */
#ifndef SPEC_HTTP_TEST_H_
#define SPEC_HTTP_TEST_H_

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "hclock.h"
#include "hhttp.h"
#include "hmem.h"
#include "http_int.h"

#ifdef HV_HOSTILE
#define PASSES_MAX 3000000 /* every read gives one byte */
#else
#define PASSES_MAX 5000
#endif
#define REPLY_MAX  (1 << 20)

typedef struct fixture_s {
    hloop_t *loop;
    hhttp_server_t *server;
    int port;
    size_t blocks_before;
    hhttp_request_t *kept; /* by handlers that answer later */
    hhttp_request_t *kept_too;
    int calls;
    int body_calls;
    int body_error;
    int abort_calls;
    int drain_calls;
    int close_calls;
    int result;
    hhttp_slice_t seen[8];
    char reply[REPLY_MAX];
    size_t reply_len;
    int reply_eof; /* 1: closed in order, -errno: reset */
} fixture_t;

static fixture_t *fix;

static inline void on_server_close(hhttp_server_t *server, void *userdata) {
    (void)server;
    ((fixture_t *)userdata)->close_calls++;
}

static inline void answer_hello(hhttp_request_t *req, void *userdata) {
    ((fixture_t *)userdata)->calls++;
    assert_int_equal(hhttp_respond(req, 200, "text/plain", "hello\n", 6), 0);
}

static inline void keep_it(hhttp_request_t *req, void *userdata) {
    fixture_t *f = userdata;
    f->calls++;
    f->kept_too = f->kept;
    f->kept = req;
}

static inline void count_abort(hhttp_request_t *req, void *userdata) {
    fixture_t *f = userdata;
    f->abort_calls++;
    assert_true(hhttp_request_is_over(req));
    assert_null(hhttp_request_io(req));
    f->result = hhttp_respond(req, 200, NULL, "x", 1);
}

static inline void keep_it_watched(hhttp_request_t *req, void *userdata) {
    keep_it(req, userdata);
    hhttp_request_on_abort(req, count_abort, userdata);
}

static inline void echo_collected(hhttp_request_t *req, int error) {
    fix->body_calls++;
    fix->body_error = error;
    if (error != 0) return;
    hhttp_slice_t body = hhttp_request_body(req);
    assert_int_equal(hhttp_respond(req, 200, "text/plain", body.data, body.len), 0);
}

static inline void echo_body(hhttp_request_t *req, void *userdata) {
    fixture_t *f = userdata;
    f->calls++;
    f->kept = req;
    f->result = hhttp_request_collect_body(req, echo_collected);
    if (f->result == 1) echo_collected(req, 0);
    if (f->result == 0) {
        assert_int_equal(hhttp_request_collect_body(req, echo_collected), HV_EBUSY);
    }
}

static inline void begin_with(const hhttp_server_options_t *options, hhttp_request_cb on_request) {
    fix->loop = hloop_new(0);
    assert_non_null(fix->loop);
    fix->server = hhttp_server_new(fix->loop, options);
    assert_non_null(fix->server);
    hhttp_server_on_request(fix->server, on_request, fix);
    hio_t *listener = hhttp_server_listen(fix->server, "127.0.0.1", 0, 0);
    assert_non_null(listener);
    struct sockaddr_in *addr = (struct sockaddr_in *)(void *)hio_localaddr(listener);
    fix->port = ntohs(addr->sin_port);
}

static inline int setup(void **state) {
    fix = calloc(1, sizeof *fix);
    *state = fix;
    hclock_set_fake(1000000000000000ull);
    fix->blocks_before = hv__mem_live_blocks();
    return 0;
}

static inline int teardown(void **state) {
    (void)state;
    if (fix->server != NULL) {
        hhttp_server_close(fix->server, 0, on_server_close, fix);
        for (int i = 0; i < 10 && fix->close_calls == 0; i++) {
            hclock_advance(1000);
            hloop_process_events(fix->loop, 0);
        }
        assert_int_equal(fix->close_calls, 1);
    }
    hloop_free(&fix->loop);
    assert_int_equal(hv__mem_live_blocks(), fix->blocks_before);
    hclock_use_real();
    free(fix);
    return 0;
}

/* ---- The client ---- */

static inline void pass(int count) {
#ifdef HV_HOSTILE
    count *= 200;
#endif
    for (int i = 0; i < count; i++) hloop_process_events(fix->loop, 0);
}

static inline void pass_ms(uint64_t ms) {
    hclock_advance(ms * 1000);
    pass(3);
}

/* Runs passes until the condition holds; fails the test where it never does. */
#define AWAIT(condition)                                                      \
    do {                                                                      \
        for (int pass_ = 0; pass_ < PASSES_MAX && !(condition); pass_++) {    \
            hloop_process_events(fix->loop, pass_ < 10 ? 0 : 1);              \
        }                                                                     \
        assert_true(condition);                                               \
    } while (0)

/* Until that many requests have reached the handler. */
static inline void await_calls(int count) {
    AWAIT(fix->calls >= count);
    assert_int_equal(fix->calls, count);
}

/* The kernel has the connection; the loop has not run since. */
static inline int connect_only(void) {
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in addr = {.sin_family = AF_INET, .sin_port = htons((uint16_t)fix->port)};
    addr.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    assert_int_equal(connect(fd, (struct sockaddr *)&addr, sizeof addr), 0);
    fcntl(fd, F_SETFL, O_NONBLOCK);
    int on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    fix->reply_len = 0;
    fix->reply_eof = 0;
    fix->reply[0] = '\0';
    return fd;
}

static inline int client(void) {
    int fd = connect_only();
    size_t before = hhttp_server_connections(fix->server);
    for (int i = 0; i < 100 && hhttp_server_connections(fix->server) == before; i++) pass(1);
    return fd;
}

/* Sends all, letting the server read meanwhile. */
static inline void say_bytes(int fd, const char *data, size_t len) {
    for (int i = 0; len > 0 && i < PASSES_MAX; i++) {
        ssize_t sent = send(fd, data, len, MSG_NOSIGNAL);
        if (sent < 0) {
            hloop_process_events(fix->loop, 1);
            continue;
        }
        data += sent;
        len -= (size_t)sent;
    }
    assert_int_equal(len, 0);
}

static inline void say(int fd, const char *text) { say_bytes(fd, text, strlen(text)); }

static inline void receive(int fd) {
    while (fix->reply_eof == 0 && fix->reply_len < REPLY_MAX - 1) {
        ssize_t got = recv(fd, fix->reply + fix->reply_len, REPLY_MAX - 1 - fix->reply_len, 0);
        if (got < 0 && errno == EAGAIN) return;
        if (got <= 0) {
            fix->reply_eof = got == 0 ? 1 : -errno;
            return;
        }
        fix->reply_len += (size_t)got;
        fix->reply[fix->reply_len] = '\0';
    }
}

/* How often `needle` is in the reply behind *from, which moves to where a next search goes on: with
 * a byte a pass, a search of the whole reply in each takes longer than all else. */
static inline int count_from(const char *needle, size_t *from) {
    int count = 0;
    size_t len = strlen(needle);
    for (const char *at; (at = strstr(fix->reply + *from, needle)) != NULL; count++)
        *from = (size_t)(at - fix->reply) + 1;
    if (fix->reply_len >= *from + len) *from = fix->reply_len - len + 1;
    return count;
}

static inline int reply_count(const char *needle) {
    size_t from = 0;
    return count_from(needle, &from);
}

/* Runs until the reply holds `needle` `count` times. */
static inline void await_count(int fd, const char *needle, int count) {
    int seen = 0;
    size_t from = 0;
    for (int i = 0; i < PASSES_MAX; i++) {
        hloop_process_events(fix->loop, i < 10 ? 0 : 1);
        receive(fd);
        seen += count_from(needle, &from);
        if (seen >= count) {
#ifdef HV_HOSTILE
            pass(50); /* what follows comes byte by byte */
            receive(fd);
#endif
            return;
        }
        if (fix->reply_eof != 0) break;
    }
    fail_msg("no \"%s\" %d times in: %.2000s (eof %d)", needle, count, fix->reply, fix->reply_eof);
}

static inline void await(int fd, const char *needle) { await_count(fd, needle, 1); }

static inline void await_eof(int fd) {
    for (int i = 0; i < PASSES_MAX && fix->reply_eof == 0; i++) {
        hloop_process_events(fix->loop, i < 10 ? 0 : 1);
        receive(fd);
    }
#ifdef HV_HOSTILE
    /* With one byte a read the server may close before it has seen all that was sent. */
    assert_int_not_equal(fix->reply_eof, 0);
#else
    assert_int_equal(fix->reply_eof, 1);
#endif
}

/* Until the server has as many connections; the peer's end may have to be seen first. */
static inline void await_connections(size_t count) {
    AWAIT(hhttp_server_connections(fix->server) == count);
}

static inline void forget_reply(void) {
    fix->reply_len = 0;
    fix->reply[0] = '\0';
}

/* A hostile build moves one byte a call: what takes too long then, or comes out differently. */
#ifdef HV_HOSTILE
#define NEEDS_WHOLE_READS() skip()
#else
#define NEEDS_WHOLE_READS() ((void)0)
#endif

#define HAS(needle)     assert_non_null(strstr(fix->reply, needle))
#define HAS_NOT(needle) assert_null(strstr(fix->reply, needle))

#define GET "GET / HTTP/1.1\r\nHost: x\r\n\r\n"

#endif
