/* test_h1_parse.c - what the corpus of spec/wire/http1 cannot say: how far a scan remembers, what
 * the slices point at, and what the tables of bytes hold. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "h1_chars.h"
#include "h1_parse.h"

static const h1_limits_t limits = {
    .request_line_bytes_max = 8192, .header_bytes_max = 65536, .header_count_max = 100};

static void assert_slice(hhttp_slice_t slice, const char *text) {
    assert_non_null(slice.data);
    assert_int_equal(slice.len, strlen(text));
    assert_memory_equal(slice.data, text, slice.len);
}

/* ---- Bytes ---- */

static void test_char_classes_hold_exactly_what_the_rfcs_list(void **state) {
    (void)state;
    static const char token_marks[] = "!#$%&'*+-.^_`|~"; /* RFC 9110 section 5.6.2 */
    static const char name_marks[] = "-._~!$&'()*+,;=";  /* RFC 3986 sections 2.2, 2.3 */
    for (int byte = 0; byte < 256; byte++) {
        int is_digit = byte >= '0' && byte <= '9';
        int is_letter = (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z');
        int is_hex = is_digit || (byte >= 'a' && byte <= 'f') || (byte >= 'A' && byte <= 'F');
        int is_visible = byte > 0x20 && byte < 0x7f;
        int in_token = byte != 0 && strchr(token_marks, byte) != NULL;
        int in_name = byte != 0 && strchr(name_marks, byte) != NULL;
        char c = (char)byte;
        assert_int_equal(h1_char_is(c, H1_CHAR_TOKEN), is_digit || is_letter || in_token);
        assert_int_equal(h1_char_is(c, H1_CHAR_REGNAME), is_digit || is_letter || in_name);
        assert_int_equal(h1_char_is(c, H1_CHAR_TARGET), is_visible && c != '#' && c != '?');
        assert_int_equal(h1_char_is(c, H1_CHAR_HEX), is_hex);
        assert_int_equal(h1_char_is(c, H1_CHAR_DIGIT), is_digit);
        assert_int_equal(h1_char_is(c, H1_CHAR_VALUE), c == '\t' || (byte >= 0x20 && byte != 0x7f));
        assert_int_equal(h1_hex_value(c) >= 0, is_hex);
    }
}

static void test_hex_value_of_each_digit_is_its_value(void **state) {
    (void)state;
    static const char lower[] = "0123456789abcdef";
    static const char upper[] = "0123456789ABCDEF";
    for (int i = 0; i < 16; i++) {
        assert_int_equal(h1_hex_value(lower[i]), i);
        assert_int_equal(h1_hex_value(upper[i]), i);
    }
}

static void test_names_equal_ignores_the_case_of_letters_alone(void **state) {
    (void)state;
    assert_true(h1_names_equal("Content-Type", "cONTENT-tYPE", 12));
    assert_false(h1_names_equal("a-b", "a\rb", 3)); /* 0x2d and 0x0d differ in the case bit alone */
    assert_false(h1_names_equal("a@b", "a`b", 3));
    assert_false(h1_equals_folded("a\rb", 3, "a-b", 3));
    assert_true(h1_equals_folded("A-B", 3, "a-b", 3));
}

/* ---- Finding the end ---- */

static void test_find_head_end_of_every_prefix_asks_for_more(void **state) {
    (void)state;
    static const char text[] = "GET / HTTP/1.1\r\nHost: a\tb\r\nX-Long: 0123456789\r\n\r\nGET";
    size_t block_len = sizeof text - 1 - 3;
    for (size_t len = 0; len < block_len; len++) {
        size_t scanned = 0;
        assert_int_equal(h1_find_head_end(text, len, &scanned, &limits), 0);
        assert_true(scanned <= len);
        assert_int_equal(h1_find_head_end(text, sizeof text - 1, &scanned, &limits), block_len);
    }
}

static void test_find_head_end_called_again_does_not_look_at_old_bytes(void **state) {
    (void)state;
    char text[] = "GET / HTTP/1.1\r\nHost: example.com\r\n\r\n";
    size_t scanned = 0;
    assert_int_equal(h1_find_head_end(text, 30, &scanned, &limits), 0);
    assert_true(scanned >= 29);
    text[5] = '\0'; /* would be refused if it were looked at again */
    assert_int_equal(h1_find_head_end(text, sizeof text - 1, &scanned, &limits), sizeof text - 1);
}

static void test_find_head_end_refuses_each_control_character_at_each_place(void **state) {
    (void)state;
    static const char text[] = "GET /abcdefgh HTTP/1.1\r\nHost: a\r\n\r\n";
    char copy[sizeof text];
    for (int byte = 0; byte < 256; byte++) {
        int is_control = (byte < 0x20 && byte != '\t' && byte != '\r') || byte == 0x7f;
        for (size_t at = 0; at < 22; at++) {
            memcpy(copy, text, sizeof text);
            copy[at] = (char)byte;
            size_t scanned = 0;
            long expected = is_control || byte == '\r' ? -400 : (long)sizeof text - 1;
            assert_int_equal(h1_find_head_end(copy, sizeof text - 1, &scanned, &limits), expected);
        }
    }
}

static void test_skip_empty_lines_counts_whole_pairs_only(void **state) {
    (void)state;
    assert_int_equal(h1_skip_empty_lines("", 0), 0);
    assert_int_equal(h1_skip_empty_lines("\r", 1), 0);
    assert_int_equal(h1_skip_empty_lines("\r\n\r", 3), 2);
    assert_int_equal(h1_skip_empty_lines("\r\n\r\nGET", 7), 4);
    assert_int_equal(h1_skip_empty_lines("\n\n", 2), 0);
}

/* ---- Heads ---- */

static int parse(h1_parser_t *parser, const char *text) {
    return h1_parse_head(parser, text, strlen(text), &limits);
}

static void test_next_header_gives_names_and_trimmed_values_in_order(void **state) {
    (void)state;
    h1_parser_t parser;
    assert_int_equal(parse(&parser, "GET / HTTP/1.1\r\nHost: a\r\nX:\r\ny: \t b c \t\r\n\r\n"), 0);
    size_t cursor = 0;
    hhttp_header_t header;
    assert_int_equal(h1_next_header(parser.head.headers, &cursor, &header), 1);
    assert_slice(header.name, "Host");
    assert_slice(header.value, "a");
    assert_int_equal(h1_next_header(parser.head.headers, &cursor, &header), 1);
    assert_slice(header.name, "X");
    assert_slice(header.value, "");
    assert_int_equal(h1_next_header(parser.head.headers, &cursor, &header), 1);
    assert_slice(header.name, "y");
    assert_slice(header.value, "b c");
    assert_int_equal(h1_next_header(parser.head.headers, &cursor, &header), 0);
    assert_int_equal(h1_next_header(parser.head.headers, &cursor, &header), 0);
}

static void test_find_header_gives_the_first_of_that_name(void **state) {
    (void)state;
    h1_parser_t parser;
    assert_int_equal(
        parse(&parser, "GET / HTTP/1.1\r\nHost: a\r\nAB: 1\r\nA: 2\r\na: 3\r\nB:\r\n\r\n"), 0);
    assert_slice(h1_find_header(parser.head.headers, "a", 1), "2");
    assert_slice(h1_find_header(parser.head.headers, "HOST", 4), "a");
    assert_slice(h1_find_header(parser.head.headers, "b", 1), "");
    assert_null(h1_find_header(parser.head.headers, "c", 1).data);
    assert_null(h1_find_header(parser.head.headers, "ost", 3).data);
    assert_null(h1_find_header(parser.head.headers, "a-name-longer-than-any-line", 27).data);
}

static void test_head_without_headers_has_an_empty_list(void **state) {
    (void)state;
    h1_parser_t parser;
    assert_int_equal(parse(&parser, "GET / HTTP/1.0\r\n\r\n"), 0);
    size_t cursor = 0;
    hhttp_header_t header;
    assert_int_equal(parser.head.headers.len, 0);
    assert_int_equal(h1_next_header(parser.head.headers, &cursor, &header), 0);
    assert_null(h1_find_header(parser.head.headers, "a", 1).data);
}

static void test_rebase_when_the_block_moved_every_slice_follows(void **state) {
    (void)state;
    char old_block[] = "GET http://h/p?q HTTP/1.1\r\nHost: x\r\n\r\n";
    char new_block[sizeof old_block];
    h1_parser_t parser;
    assert_int_equal(parse(&parser, old_block), 0);
    memcpy(new_block, old_block, sizeof old_block);
    memset(old_block, '!', sizeof old_block);
    h1_head_rebase(&parser.head, old_block, new_block);
    assert_slice(parser.head.method_name, "GET");
    assert_slice(parser.head.target, "http://h/p?q");
    assert_slice(parser.head.path, "/p");
    assert_slice(parser.head.query, "q");
    assert_slice(parser.head.host, "h");
    assert_slice(parser.head.headers, "Host: x\r\n");
}

static void test_rebase_leaves_absent_slices_absent(void **state) {
    (void)state;
    static const char old_block[] = "GET / HTTP/1.0\r\n\r\n";
    h1_parser_t parser;
    assert_int_equal(parse(&parser, old_block), 0);
    h1_head_rebase(&parser.head, old_block, old_block + 1);
    assert_null(parser.head.query.data);
    assert_null(parser.head.host.data);
}

static void test_parser_used_again_forgets_the_request_before(void **state) {
    (void)state;
    h1_parser_t parser;
    assert_int_equal(parse(&parser, "POST /?q HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n"
                                    "Expect: 100-continue\r\nConnection: close\r\n\r\n"),
                     0);
    assert_true(h1_body_pending(&parser));
    assert_int_equal(parse(&parser, "GET / HTTP/1.0\r\n\r\n"), 0);
    assert_false(h1_body_pending(&parser));
    assert_false(parser.head.expects_continue);
    assert_false(parser.head.has_content_length);
    assert_int_equal(parser.head.content_length, 0);
    assert_null(parser.head.query.data);
    assert_null(parser.head.host.data);
}

/* ---- Bodies ---- */

static void test_body_with_no_bytes_there_gives_nothing(void **state) {
    (void)state;
    h1_parser_t parser;
    size_t consumed = 9;
    hhttp_slice_t piece = {"x", 1};
    assert_int_equal(parse(&parser, "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\n"), 0);
    assert_int_equal(h1_parse_body(&parser, "", 0, &consumed, &piece), 0);
    assert_int_equal(consumed, 0);
    assert_int_equal(piece.len, 0);
    assert_true(h1_body_pending(&parser));
}

static void test_body_pieces_are_slices_of_the_input(void **state) {
    (void)state;
    static const char body[] = "3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n";
    h1_parser_t parser;
    size_t consumed;
    hhttp_slice_t piece;
    assert_int_equal(
        parse(&parser, "PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"), 0);
    assert_int_equal(h1_parse_body(&parser, body, sizeof body - 1, &consumed, &piece), 0);
    assert_int_equal(consumed, 6);
    assert_ptr_equal(piece.data, body + 3);
    assert_int_equal(piece.len, 3);
    size_t at = consumed;
    assert_int_equal(h1_parse_body(&parser, body + at, sizeof body - 1 - at, &consumed, &piece), 0);
    assert_ptr_equal(piece.data, body + 11);
    at += consumed;
    assert_int_equal(h1_parse_body(&parser, body + at, sizeof body - 1 - at, &consumed, &piece), 0);
    assert_int_equal(piece.len, 0);
    assert_int_equal(at + consumed, sizeof body - 1);
    assert_false(h1_body_pending(&parser));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_char_classes_hold_exactly_what_the_rfcs_list),
        cmocka_unit_test(test_hex_value_of_each_digit_is_its_value),
        cmocka_unit_test(test_names_equal_ignores_the_case_of_letters_alone),
        cmocka_unit_test(test_find_head_end_of_every_prefix_asks_for_more),
        cmocka_unit_test(test_find_head_end_called_again_does_not_look_at_old_bytes),
        cmocka_unit_test(test_find_head_end_refuses_each_control_character_at_each_place),
        cmocka_unit_test(test_skip_empty_lines_counts_whole_pairs_only),
        cmocka_unit_test(test_next_header_gives_names_and_trimmed_values_in_order),
        cmocka_unit_test(test_find_header_gives_the_first_of_that_name),
        cmocka_unit_test(test_head_without_headers_has_an_empty_list),
        cmocka_unit_test(test_rebase_when_the_block_moved_every_slice_follows),
        cmocka_unit_test(test_rebase_leaves_absent_slices_absent),
        cmocka_unit_test(test_parser_used_again_forgets_the_request_before),
        cmocka_unit_test(test_body_with_no_bytes_there_gives_nothing),
        cmocka_unit_test(test_body_pieces_are_slices_of_the_input),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
