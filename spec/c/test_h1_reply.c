/* Tests of runtime/http/h1_reply.c and h1_fields.c: each message is read whole and cut at every
 * point, and the outcome must be the same. RFC 9112 sections 4, 5, 6. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "guard_page.h"
#include "h1_reply.h"

static const h1_limits_t limits = {
    .request_line_bytes_max = 64, .header_bytes_max = 256, .header_count_max = 8};

typedef struct outcome_s {
    int error;       /* 0: not refused */
    int is_complete; /* the body has ended, or ends with the connection */
    int status;
    int keep_alive;
    int body;
    size_t payload_len;
    char payload[512];
} outcome_t;

/* Reads the message in two pieces, the second from `cut` on, as a connection would. */
static outcome_t read_cut(const char *message, size_t len, size_t cut, int to_head) {
    outcome_t outcome = {0};
    h1_reply_t reply = {0};
    size_t scanned = 0, at = 0;
    int has_head = 0;
    for (size_t end = cut; outcome.error == 0; end = len) {
        char *piece = malloc(end + 1); /* a copy that ends where the bytes do */
        memcpy(piece, message, end);
        if (!has_head) {
            long block = end > 0 ? h1_find_head_end(piece, end, &scanned, &limits) : 0;
            if (block < 0) outcome.error = h1_reply_error((int)-block);
            if (block > 0) {
                outcome.error = h1_parse_reply(&reply, piece, (size_t)block, to_head, &limits);
                has_head = outcome.error == 0;
                at = (size_t)block;
                outcome.status = reply.status;
                outcome.keep_alive = reply.keep_alive;
                outcome.body = reply.body;
            }
        }
        while (has_head && at < end && outcome.error == 0 &&
               (reply.body == H1_REPLY_UNTIL_CLOSE || h1_body_pending(&reply.parser))) {
            hhttp_slice_t part = {piece + at, end - at};
            size_t used = end - at;
            if (reply.body == H1_REPLY_COUNTED) {
                int status = h1_parse_body(&reply.parser, piece + at, end - at, &used, &part);
                if (status != 0) outcome.error = h1_reply_error(status);
            }
            if (part.len > 0) memcpy(outcome.payload + outcome.payload_len, part.data, part.len);
            outcome.payload_len += part.len;
            at += used;
        }
        free(piece);
        if (end == len) break;
    }
    outcome.is_complete = has_head && outcome.error == 0 &&
                          (reply.body == H1_REPLY_UNTIL_CLOSE || !h1_body_pending(&reply.parser));
    return outcome;
}

typedef struct vector_s {
    const char *message;
    int error;
    int status;
    int keep_alive;
    int body;
    const char *payload; /* NULL: the message is not complete */
} vector_t;

#define LINE  "HTTP/1.1 200 OK\r\n"
#define NONE  H1_REPLY_NO_BODY
#define SIZED H1_REPLY_COUNTED
#define CLOSE H1_REPLY_UNTIL_CLOSE

static const vector_t vectors[] = {
    {LINE "Content-Length: 3\r\n\r\nabc", 0, 200, 1, SIZED, "abc"},
    {LINE "content-length:3  \r\n\r\nabc", 0, 200, 1, SIZED, "abc"},
    {LINE "Content-Length: 0\r\n\r\n", 0, 200, 1, SIZED, ""},
    {LINE "Content-Length: 4\r\n\r\nabc", 0, 200, 1, SIZED, NULL},
    {LINE "\r\nrest", 0, 200, 0, CLOSE, "rest"},
    {"HTTP/1.1 200 \r\n\r\n", 0, 200, 0, CLOSE, ""},
    {"HTTP/1.1 200\r\n\r\n", 0, 200, 0, CLOSE, ""},
    {"HTTP/1.9 200 OK\r\nContent-Length: 0\r\n\r\n", 0, 200, 1, SIZED, ""},
    {"HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n", 0, 200, 0, SIZED, ""},
    {"HTTP/1.0 200 OK\r\nConnection: Keep-Alive\r\nContent-Length: 0\r\n\r\n", 0, 200, 1, SIZED,
     ""},
    {LINE "Connection: x, close\r\nContent-Length: 0\r\n\r\n", 0, 200, 0, SIZED, ""},
    {"HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n", 0, 204, 1, NONE, ""},
    {"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", 0, 304, 1, NONE, ""},
    {"HTTP/1.1 100 Continue\r\n\r\n", 0, 100, 1, NONE, ""},
    {"HTTP/1.1 999 x\r\n\r\n", 0, 999, 0, CLOSE, ""},
    {LINE "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n", 0, 200, 1, SIZED, "abc"},
    {LINE "Transfer-Encoding: Chunked\r\n\r\n1;x=\"y\"\r\na\r\n2\r\nbc\r\n00\r\nT: u\r\n\r\n", 0,
     200, 1, SIZED, "abc"},
    {LINE "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n", 0, 200, 1, SIZED, NULL},
    /* Ambiguous or malformed: smuggling begins where two readers may differ. */
    {LINE "Content-Length: 3\r\nContent-Length: 4\r\n\r\nabc", HV_EPROTO, 0, 0, 0, NULL},
    {LINE "Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc", HV_EPROTO, 0, 0, 0, NULL},
    {LINE "Content-Length: 3, 3\r\n\r\nabc", HV_EPROTO, 0, 0, 0, NULL},
    {LINE "Content-Length: +3\r\n\r\nabc", HV_EPROTO, 0, 0, 0, NULL},
    {LINE "Content-Length: -1\r\n\r\n", HV_EPROTO, 0, 0, 0, NULL},
    {LINE "Content-Length: 0x3\r\n\r\nabc", HV_EPROTO, 0, 0, 0, NULL},
    {LINE "Content-Length: \r\n\r\n", HV_EPROTO, 0, 0, 0, NULL},
    {LINE "Content-Length: 9223372036854775808\r\n\r\n", HV_EPROTO, 0, 0, 0, NULL},
    {LINE "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", HV_EPROTO, 0, 0, 0,
     NULL},
    {LINE "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", HV_EPROTO, 0,
     0, 0, NULL},
    {LINE "Transfer-Encoding: chunked, gzip\r\n\r\n", HV_EPROTO, 0, 0, 0, NULL},
    {LINE "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", HV_EPROTO, 0, 0, 0, NULL},
    {LINE "Transfer-Encoding: chunkedx\r\n\r\n", HV_EPROTO, 0, 0, 0, NULL},
    {LINE "Transfer-Encoding: \r\n\r\n", HV_EPROTO, 0, 0, 0, NULL},
    {"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", HV_EPROTO, 0, 0, 0, NULL},
    {LINE "A : b\r\n\r\n", HV_EPROTO, 0, 0, 0, NULL},
    {LINE " A: b\r\n\r\n", HV_EPROTO, 0, 0, 0, NULL},
    {LINE "A: b\r\n c\r\n\r\n", HV_EPROTO, 0, 0, 0, NULL},
    {LINE "A: b\r\n\tc\r\n\r\n", HV_EPROTO, 0, 0, 0, NULL},
    {LINE ": b\r\n\r\n", HV_EPROTO, 0, 0, 0, NULL},
    {LINE "A\r\n\r\n", HV_EPROTO, 0, 0, 0, NULL},
    {LINE "A(: b\r\n\r\n", HV_EPROTO, 0, 0, 0, NULL},
    {LINE "A: b\x01\r\n\r\n", HV_EPROTO, 0, 0, 0, NULL},
    {"HTTP/1.1 200 OK\nA: b\n\n", HV_EPROTO, 0, 0, 0, NULL},
    {"HTTP/1.1 200 OK\r\nA: b\n\r\n", HV_EPROTO, 0, 0, 0, NULL},
    {"HTTP/1.1 200 OK\r\nA: b\rC: d\r\n\r\n", HV_EPROTO, 0, 0, 0, NULL},
    {"\r\nHTTP/1.1 200 OK\r\n\r\n", HV_EPROTO, 0, 0, 0, NULL},
    {"HTTP/2.0 200 OK\r\n\r\n", HV_EPROTO, 0, 0, 0, NULL},
    {"HTTP/1.x 200 OK\r\n\r\n", HV_EPROTO, 0, 0, 0, NULL},
    {"http/1.1 200 OK\r\n\r\n", HV_EPROTO, 0, 0, 0, NULL},
    {"HTTP/1.1  200 OK\r\n\r\n", HV_EPROTO, 0, 0, 0, NULL},
    {"HTTP/1.1 20 OK\r\n\r\n", HV_EPROTO, 0, 0, 0, NULL},
    {"HTTP/1.1 2000 OK\r\n\r\n", HV_EPROTO, 0, 0, 0, NULL},
    {"HTTP/1.1 099 OK\r\n\r\n", HV_EPROTO, 0, 0, 0, NULL},
    {"HTTP/1.1 2x0 OK\r\n\r\n", HV_EPROTO, 0, 0, 0, NULL},
    {"ICY 200 OK\r\n\r\n", HV_EPROTO, 0, 0, 0, NULL},
    {LINE "Transfer-Encoding: chunked\r\n\r\n3\nabc\r\n0\r\n\r\n", HV_EPROTO, 200, 1, SIZED, NULL},
    {LINE "Transfer-Encoding: chunked\r\n\r\n3 \r\nabc\r\n0\r\n\r\n", HV_EPROTO, 200, 1, SIZED,
     NULL},
    {LINE "Transfer-Encoding: chunked\r\n\r\n0x3\r\nabc\r\n", HV_EPROTO, 200, 1, SIZED, NULL},
    {LINE "Transfer-Encoding: chunked\r\n\r\n3\r\nabcd\r\n", HV_EPROTO, 200, 1, SIZED, NULL},
    {LINE "Transfer-Encoding: chunked\r\n\r\n\r\n", HV_EPROTO, 200, 1, SIZED, NULL},
    {LINE "Transfer-Encoding: chunked\r\n\r\n10000000000000000\r\n", HV_EPROTO, 200, 1, SIZED,
     NULL},
    /* Too much. */
    {"HTTP/1.1 200 0123456789012345678901234567890123456789012345678901234567890123456789\r\n\r\n",
     HV_ELIMIT, 0, 0, 0, NULL},
    {LINE "a:b\r\na:b\r\na:b\r\na:b\r\na:b\r\na:b\r\na:b\r\na:b\r\na:b\r\n\r\n", HV_ELIMIT, 0, 0, 0,
     NULL},
};

static void expect(const vector_t *vector, const outcome_t *outcome, size_t cut) {
    int is_right =
        outcome->error == vector->error && outcome->is_complete == (vector->payload != NULL);
    if (is_right && vector->error == 0) {
        is_right = outcome->status == vector->status && outcome->body == vector->body &&
                   outcome->keep_alive == vector->keep_alive;
    }
    if (is_right && vector->payload != NULL) {
        is_right = outcome->payload_len == strlen(vector->payload) &&
                   memcmp(outcome->payload, vector->payload, outcome->payload_len) == 0;
    }
    if (!is_right) {
        print_error("cut at %zu: %s\n-> error %d, status %d, body %d, keep %d, complete %d\n", cut,
                    vector->message, outcome->error, outcome->status, outcome->body,
                    outcome->keep_alive, outcome->is_complete);
        fail();
    }
}

static void test_reply_is_the_same_wherever_it_is_cut(void **state) {
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(vectors); i++) {
        size_t len = strlen(vectors[i].message);
        for (size_t cut = 0; cut <= len; cut++) {
            outcome_t outcome = read_cut(vectors[i].message, len, cut, 0);
            expect(&vectors[i], &outcome, cut);
        }
    }
}

static void test_reply_to_head_has_no_body(void **state) {
    (void)state;
    const char *message = LINE "Content-Length: 3\r\n\r\n";
    outcome_t outcome = read_cut(message, strlen(message), 5, 1);
    assert_int_equal(outcome.body, H1_REPLY_NO_BODY);
    assert_int_equal(outcome.is_complete, 1);
    assert_int_equal(outcome.keep_alive, 1);
}

static void test_reply_head_is_read_to_its_end_only(void **state) {
    (void)state;
    const char *message = LINE "Content-Length: 3\r\n\r\n";
    size_t len = strlen(message);
    guard_page_t page;
    guard_page_open(&page, 4096);
    const char *block = guard_page_place(&page, message, len);
    h1_reply_t reply;
    assert_int_equal(h1_parse_reply(&reply, block, len, 0, &limits), 0);
    assert_int_equal(reply.length, 3);
    assert_int_equal(reply.reason.len, 2);
    guard_page_close(&page);
}

static void test_request_is_written_in_order(void **state) {
    (void)state;
    hhttp_header_t header = {{"A", 1}, {"b", 1}};
    h1_request_t request = {.method = {"POST", 4},
                            .target = {"/x?y", 4},
                            .host = {"h:1", 3},
                            .headers = &header,
                            .header_count = 1,
                            .content_length = 12,
                            .expects_continue = 1,
                            .closes = 1};
    char out[512];
    assert_true(h1_request_bytes_max(&request) < sizeof out);
    size_t len = h1_write_request(&request, out);
    const char *expected = "POST /x?y HTTP/1.1\r\nHost: h:1\r\nA: b\r\nContent-Length: 12\r\n"
                           "Expect: 100-continue\r\nConnection: close\r\n\r\n";
    assert_int_equal(len, strlen(expected));
    assert_memory_equal(out, expected, len);
    int has_host;
    assert_int_equal(h1_check_request(&request, &has_host), 0);
    assert_int_equal(has_host, 0);
    header = (hhttp_header_t){{"hOST", 4}, {"x", 1}};
    assert_int_equal(h1_check_request(&request, &has_host), 0);
    assert_int_equal(has_host, 1);
    request.target = (hhttp_slice_t){"/a#b", 4};
    assert_int_equal(h1_check_request(&request, &has_host), HV_EINVAL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reply_is_the_same_wherever_it_is_cut),
        cmocka_unit_test(test_reply_to_head_has_no_body),
        cmocka_unit_test(test_reply_head_is_read_to_its_end_only),
        cmocka_unit_test(test_request_is_written_in_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
