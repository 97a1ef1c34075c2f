/* test_h1_write.c - response heads, chunk heads, dates, and what may be sent at all. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "h1_write.h"

#define SLICE(literal)                                                                             \
    { literal, sizeof(literal) - 1 }

static char out[1024];

static void assert_head(const h1_response_t *response, const char *expected) {
    size_t max = h1_head_bytes_max(response);
    assert_true(max < sizeof out);
    memset(out, '#', sizeof out);
    size_t written = h1_write_head(response, out);
    assert_true(written <= max);
    assert_int_equal(written, strlen(expected));
    assert_memory_equal(out, expected, written);
    for (size_t i = written; i < sizeof out; i++)
        assert_int_equal(out[i], '#');
}

static void test_head_of_a_plain_answer_has_every_line(void **state) {
    (void)state;
    h1_date_t date = {0};
    h1_date_update(&date, 784111777);
    const hhttp_header_t headers[] = {{SLICE("X-A"), SLICE("1")}, {SLICE("X-B"), {NULL, 0}}};
    const h1_response_t response = {
        .status = 200,
        .headers = headers,
        .header_count = 2,
        .content_type = SLICE("text/plain"),
        .server_name = SLICE("hv"),
        .date = &date,
        .framing = H1_FRAME_LENGTH,
        .content_length = 12,
        .send_connection_close = 1,
    };
    assert_head(&response, "HTTP/1.1 200 OK\r\nServer: hv\r\n"
                           "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\nContent-Type: text/plain\r\n"
                           "Content-Length: 12\r\nConnection: close\r\nX-A: 1\r\nX-B: \r\n\r\n");
}

static void test_head_with_nothing_asked_for_is_the_status_line(void **state) {
    (void)state;
    const h1_response_t response = {.status = 204, .framing = H1_FRAME_NONE};
    assert_head(&response, "HTTP/1.1 204 No Content\r\n\r\n");
}

static void test_head_by_framing(void **state) {
    (void)state;
    h1_response_t response = {.status = 200, .framing = H1_FRAME_CHUNKED, .send_keep_alive = 1};
    assert_head(&response, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n"
                           "Connection: keep-alive\r\n\r\n");
    response.framing = H1_FRAME_CLOSE;
    response.send_connection_close = 1; /* wins over keep-alive */
    assert_head(&response, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n");
}

static void test_head_of_lengths_and_statuses_at_their_ends(void **state) {
    (void)state;
    h1_response_t response = {.status = 599, .framing = H1_FRAME_LENGTH};
    assert_head(&response, "HTTP/1.1 599 Unknown\r\nContent-Length: 0\r\n\r\n");
    response.status = 431;
    response.content_length = UINT64_MAX;
    assert_head(&response, "HTTP/1.1 431 Request Header Fields Too Large\r\n"
                           "Content-Length: 18446744073709551615\r\n\r\n");
}

static void test_head_bytes_max_holds_for_the_longest_head(void **state) {
    (void)state;
    h1_date_t date = {0};
    h1_date_update(&date, 0);
    for (int status = 100; status < 600; status++) {
        const h1_response_t response = {
            .status = status,
            .date = &date,
            .content_type = SLICE("a/b"),
            .server_name = SLICE("c"),
            .framing = status % 2 ? H1_FRAME_LENGTH : H1_FRAME_CHUNKED,
            .content_length = UINT64_MAX,
            .send_keep_alive = 1,
        };
        assert_true(h1_write_head(&response, out) <= h1_head_bytes_max(&response));
    }
}

static void test_chunk_head_is_the_size_in_hexadecimal(void **state) {
    (void)state;
    assert_int_equal(h1_write_chunk_head(0, out), 3);
    assert_memory_equal(out, "0\r\n", 3);
    assert_int_equal(h1_write_chunk_head(0x1f, out), 4);
    assert_memory_equal(out, "1f\r\n", 4);
    assert_int_equal(h1_write_chunk_head(SIZE_MAX, out), 18);
    assert_memory_equal(out, "ffffffffffffffff\r\n", 18);
}

static void assert_date(time_t now, const char *expected) {
    h1_date_t date = {0};
    h1_date_update(&date, now);
    assert_string_equal(date.text, expected);
}

static void test_date_of_known_moments(void **state) {
    (void)state;
    assert_date(0, "Thu, 01 Jan 1970 00:00:00 GMT");
    assert_date(784111777, "Sun, 06 Nov 1994 08:49:37 GMT"); /* RFC 9110 section 5.6.7 */
    assert_date(951782399, "Mon, 28 Feb 2000 23:59:59 GMT");
    assert_date(951782400, "Tue, 29 Feb 2000 00:00:00 GMT");
    assert_date(253402300799, "Fri, 31 Dec 9999 23:59:59 GMT");
}

static void test_date_beyond_four_digits_of_years_is_the_epoch(void **state) {
    (void)state;
    assert_date(253402300800, "Thu, 01 Jan 1970 00:00:00 GMT");
    assert_date((time_t)INT64_MAX, "Thu, 01 Jan 1970 00:00:00 GMT");
}

static void test_date_is_made_anew_only_when_the_second_changes(void **state) {
    (void)state;
    h1_date_t date = {0};
    h1_date_update(&date, 784111777);
    date.text[0] = 'x';
    h1_date_update(&date, 784111777);
    assert_int_equal(date.text[0], 'x');
    h1_date_update(&date, 784111778);
    assert_string_equal(date.text, "Sun, 06 Nov 1994 08:49:38 GMT");
}

static int check(const char *name, const char *value, size_t value_len) {
    const hhttp_header_t headers[] = {
        {SLICE("X"), SLICE("y")},
        {{name, strlen(name)}, {value, value_len}},
    };
    return h1_check_headers(headers, 2);
}

static void test_check_headers_takes_tokens_and_text(void **state) {
    (void)state;
    assert_int_equal(h1_check_headers(NULL, 0), 0);
    assert_int_equal(check("Content-Type", "text/html; charset=utf-8", 24), 0);
    assert_int_equal(check("X-Empty", NULL, 0), 0);
    assert_int_equal(check("X", "a\tb \xc3\xa9", 6), 0);
    assert_int_equal(check("Dates", "x", 1), 0);
}

static void test_check_headers_refuses_what_would_split_a_response(void **state) {
    (void)state;
    assert_int_equal(check("X", "a\r\nSet-Cookie: b", 16), HV_EINVAL);
    assert_int_equal(check("X", "a\nb", 3), HV_EINVAL);
    assert_int_equal(check("X", "a\rb", 3), HV_EINVAL);
    assert_int_equal(check("X", "a\0b", 3), HV_EINVAL);
    assert_int_equal(check("X", "a\x7f", 2), HV_EINVAL);
    assert_int_equal(check("X: y\r\nZ", "a", 1), HV_EINVAL);
    assert_int_equal(check("", "a", 1), HV_EINVAL);
    assert_int_equal(check("X Y", "a", 1), HV_EINVAL);
    assert_int_equal(check("X:", "a", 1), HV_EINVAL);
    assert_int_equal(check("\xc3\xa9", "a", 1), HV_EINVAL);
}

static void test_check_headers_refuses_the_servers_own_in_any_case(void **state) {
    (void)state;
    assert_int_equal(check("Content-Length", "1", 1), HV_EINVAL);
    assert_int_equal(check("transfer-ENCODING", "chunked", 7), HV_EINVAL);
    assert_int_equal(check("CONNECTION", "close", 5), HV_EINVAL);
    assert_int_equal(check("date", "now", 3), HV_EINVAL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_head_of_a_plain_answer_has_every_line),
        cmocka_unit_test(test_head_with_nothing_asked_for_is_the_status_line),
        cmocka_unit_test(test_head_by_framing),
        cmocka_unit_test(test_head_of_lengths_and_statuses_at_their_ends),
        cmocka_unit_test(test_head_bytes_max_holds_for_the_longest_head),
        cmocka_unit_test(test_chunk_head_is_the_size_in_hexadecimal),
        cmocka_unit_test(test_date_of_known_moments),
        cmocka_unit_test(test_date_beyond_four_digits_of_years_is_the_epoch),
        cmocka_unit_test(test_date_is_made_anew_only_when_the_second_changes),
        cmocka_unit_test(test_check_headers_takes_tokens_and_text),
        cmocka_unit_test(test_check_headers_refuses_what_would_split_a_response),
        cmocka_unit_test(test_check_headers_refuses_the_servers_own_in_any_case),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
