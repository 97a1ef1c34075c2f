/* Tests of runtime/redis: every stream is parsed whole, byte by byte and at every split point, and
 * must give the same tokens and the same end. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "hresp.h"

static const char *const names[] = {
    [HRESP_STRING] = "str",     [HRESP_VERBATIM] = "verb", [HRESP_ERROR] = "err",
    [HRESP_INTEGER] = "int",    [HRESP_DOUBLE] = "dbl",    [HRESP_BIG] = "big",
    [HRESP_BOOLEAN] = "bool",   [HRESP_NULL] = "null",     [HRESP_ARRAY] = "arr",
    [HRESP_SET] = "set",        [HRESP_MAP] = "map",       [HRESP_ATTRIBUTE] = "attr",
    [HRESP_PUSH] = "push",      [HRESP_CHUNK] = "chunk",   [HRESP_CHUNKED] = "chunked",
    [HRESP_END] = "end"};

static char *show(char *out, const hresp_token_t *token, int is_done) {
    out += sprintf(out, "%s", names[token->type]);
    switch (token->type) {
    case HRESP_INTEGER: case HRESP_BOOLEAN:
        out += sprintf(out, " %lld", (long long)token->integer);
        break;
    case HRESP_DOUBLE: out += sprintf(out, " %.17g", token->number); break;
    case HRESP_ARRAY: case HRESP_SET: case HRESP_MAP: case HRESP_ATTRIBUTE: case HRESP_PUSH:
        out += sprintf(out, " %lld", (long long)token->count);
        break;
    case HRESP_NULL: case HRESP_END: case HRESP_CHUNKED: break;
    default: out += sprintf(out, " %.*s", (int)token->len, token->data); break;
    }
    if (token->type == HRESP_VERBATIM) out += sprintf(out, "/%s", token->format);
    for (uint32_t i = 0; i < token->closes; i++) *out++ = ')';
    *out++ = is_done ? '.' : ' ';
    *out = '\0';
    return out;
}

/* Parses bytes that arrive up to `marks[i]`, one mark after the other, and writes down what comes
 * out. The data is copied so that reading beyond it is caught. */
static void parse(const hresp_limits_t *limits, const char *data, const size_t *marks,
                  size_t mark_count, char *log) {
    hresp_t parser;
    hresp_init(&parser, limits);
    size_t begin = 0;
    long used = 0;
    *log = '\0';
    for (size_t i = 0; i < mark_count && used >= 0; i++) {
        do {
            size_t len = marks[i] - begin;
            char *exact = malloc(len > 0 ? len : 1);
            assert_non_null(exact);
            memcpy(exact, data + begin, len);
            hresp_token_t token;
            used = hresp_next(&parser, exact, len, &token);
            assert_true(used <= (long)len);
            if (used > 0) log = show(log, &token, hresp_is_done(&parser));
            free(exact);
            if (used > 0) begin += (size_t)used;
        } while (used > 0);
    }
    if (used < 0) {
        strcpy(log, herr_name((int)used));
    } else if (begin < marks[mark_count - 1]) {
        strcpy(log, "more");
    }
}

static void expect_within(const hresp_limits_t *limits, const char *data, size_t len,
                          const char *expected) {
    char log[8192];
    size_t marks[1024];
    assert_true(len <= 1024);
    marks[0] = len;
    parse(limits, data, marks, 1, log);
    assert_string_equal(log, expected);
    for (size_t i = 0; i < len; i++) marks[i] = i + 1;
    parse(limits, data, marks, len, log);
    assert_string_equal(log, expected);
    for (size_t split = 0; split <= len; split++) {
        marks[0] = split;
        marks[1] = len;
        parse(limits, data, marks, 2, log);
        assert_string_equal(log, expected);
    }
}

#define EXPECT(literal, expected) expect_within(NULL, literal, sizeof(literal) - 1, expected)
#define EXPECT_WITHIN(limits, literal, expected) \
    expect_within(limits, literal, sizeof(literal) - 1, expected)

static void test_scalars_of_resp2(void **state) {
    (void)state;
    EXPECT("+OK\r\n", "str OK.");
    EXPECT("+\r\n", "str .");
    EXPECT("-ERR no such thing\r\n", "err ERR no such thing.");
    EXPECT(":0\r\n:-1\r\n:+7\r\n", "int 0.int -1.int 7.");
    EXPECT(":9223372036854775807\r\n:-9223372036854775808\r\n",
           "int 9223372036854775807.int -9223372036854775808.");
    EXPECT("$5\r\nhello\r\n", "str hello.");
    EXPECT("$0\r\n\r\n", "str .");
    EXPECT("$4\r\na\r\nb\r\n", "str a\r\nb.");
    EXPECT("$-1\r\n*-1\r\n", "null.null.");
}

static void test_scalars_of_resp3(void **state) {
    (void)state;
    EXPECT("_\r\n", "null.");
    EXPECT("#t\r\n#f\r\n", "bool 1.bool 0.");
    EXPECT(",1.5\r\n,10\r\n,-2.5e3\r\n", "dbl 1.5.dbl 10.dbl -2500.");
    EXPECT(",inf\r\n,-inf\r\n", "dbl inf.dbl -inf.");
    EXPECT("(-3492890328409238509324850943850943825024385\r\n",
           "big -3492890328409238509324850943850943825024385.");
    EXPECT("=9\r\ntxt:hello\r\n", "verb hello/txt.");
    EXPECT("!8\r\nERR a\r\nb\r\n", "err ERR a\r\nb.");
}

static void test_aggregates(void **state) {
    (void)state;
    EXPECT("*0\r\n", "arr 0).");
    EXPECT("*2\r\n:1\r\n$1\r\na\r\n", "arr 2 int 1 str a).");
    EXPECT("*2\r\n*1\r\n:1\r\n*0\r\n", "arr 2 arr 1 int 1) arr 0)).");
    EXPECT("%1\r\n+k\r\n%1\r\n+a\r\n:1\r\n", "map 2 str k map 2 str a int 1)).");
    EXPECT("~2\r\n+a\r\n_\r\n+next\r\n", "set 2 str a null).str next.");
    EXPECT(">2\r\n+message\r\n+x\r\n", "push 2 str message str x).");
    EXPECT("*2\r\n*-1\r\n$-1\r\n", "arr 2 null null).");
}

static void test_attributes_are_no_items(void **state) {
    (void)state;
    EXPECT("|1\r\n+ttl\r\n:9\r\n+value\r\n", "attr 2 str ttl int 9) str value.");
    EXPECT("*1\r\n|1\r\n+a\r\n*1\r\n:1\r\n+v\r\n", "arr 1 attr 2 str a arr 1 int 1)) str v).");
    EXPECT("*1\r\n|0\r\n+v\r\n", "arr 1 attr 0) str v).");
    EXPECT("*?\r\n|1\r\n+a\r\n:1\r\n.\r\n", "arr -1 attr 2 str a int 1) EPROTO");
}

static void test_streamed(void **state) {
    (void)state;
    EXPECT("$?\r\n;4\r\nHell\r\n;1\r\no\r\n;0\r\n", "chunked chunk Hell chunk o end).");
    EXPECT("*1\r\n$?\r\n;0\r\n", "arr 1 chunked end)).");
    EXPECT("*?\r\n:1\r\n*?\r\n.\r\n.\r\n", "arr -1 int 1 arr -1 end) end).");
    EXPECT("%?\r\n+a\r\n:1\r\n.\r\n", "map -1 str a int 1 end).");
    EXPECT("~?\r\n.\r\n", "set -1 end).");
    EXPECT("%?\r\n+a\r\n.\r\n", "map -1 str a EPROTO");
    EXPECT("$?\r\n+x\r\n", "chunked EPROTO");
    EXPECT(";1\r\nx\r\n", "EPROTO");
    EXPECT(".\r\n", "EPROTO");
    EXPECT("*1\r\n.\r\n", "arr 1 EPROTO");
}

static void test_what_is_no_reply_fails(void **state) {
    (void)state;
    EXPECT("HTTP/1.1 200 OK\r\n", "EPROTO");
    EXPECT("+a\rb\r\n", "EPROTO");
    EXPECT(":\r\n", "EPROTO");
    EXPECT(":1a\r\n", "EPROTO");
    EXPECT(":9223372036854775808\r\n", "EPROTO");
    EXPECT(":99999999999999999999\r\n", "EPROTO");
    EXPECT("$-2\r\n", "EPROTO");
    EXPECT("$+\r\n", "EPROTO");
    EXPECT("$1\r\nabc\r\n", "EPROTO");
    EXPECT("*-2\r\n", "EPROTO");
    EXPECT("%-1\r\n", "EPROTO");
    EXPECT("#x\r\n", "EPROTO");
    EXPECT(",\r\n", "EPROTO");
    EXPECT(",0x10\r\n", "EPROTO");
    EXPECT(", 1\r\n", "EPROTO");
    EXPECT("(12a\r\n", "EPROTO");
    EXPECT("(\r\n", "EPROTO");
    EXPECT("_x\r\n", "EPROTO");
    EXPECT("=3\r\nabc\r\n", "EPROTO");
    EXPECT("=4\r\nabcd\r\n", "EPROTO");
    EXPECT(">0\r\n", "EPROTO");
    EXPECT("*1\r\n>1\r\n+a\r\n", "arr 1 EPROTO");
    EXPECT(">?\r\n", "EPROTO");
    EXPECT("!-1\r\n", "EPROTO");
}

static void test_incomplete_waits(void **state) {
    (void)state;
    EXPECT("+OK", "more");
    EXPECT("+OK\r", "more");
    EXPECT("$5\r\nhello", "more");
    EXPECT("*2\r\n:1\r\n:", "arr 2 int 1 more");
}

static void test_limits(void **state) {
    (void)state;
    hresp_limits_t limits = {.bulk_bytes = 8, .line_bytes = 8, .items = 4, .depth = 2,
                             .reply_bytes = 40};
    EXPECT_WITHIN(&limits, "$8\r\n12345678\r\n", "str 12345678.");
    EXPECT_WITHIN(&limits, "$9\r\n", "ELIMIT");
    EXPECT_WITHIN(&limits, "+1234567\r\n", "str 1234567.");
    EXPECT_WITHIN(&limits, "+12345678\r\n", "ELIMIT");
    EXPECT_WITHIN(&limits, "*5\r\n", "ELIMIT");
    EXPECT_WITHIN(&limits, "%3\r\n", "ELIMIT");
    EXPECT_WITHIN(&limits, "%2\r\n+a\r\n+b\r\n+c\r\n+d\r\n", "map 4 str a str b str c str d).");
    EXPECT_WITHIN(&limits, "*1\r\n*1\r\n*1\r\n", "arr 1 arr 1 ELIMIT");
    EXPECT_WITHIN(&limits, "*?\r\n:1\r\n:2\r\n:3\r\n:4\r\n:5\r\n:6\r\n:7\r\n:8\r\n:9\r\n:0\r\n",
                  "arr -1 int 1 int 2 int 3 int 4 int 5 int 6 int 7 int 8 int 9 ELIMIT");
    EXPECT_WITHIN(&limits, "*4\r\n$8\r\n12345678\r\n$8\r\n12345678\r\n$8\r\n12345678\r\n",
                  "arr 4 str 12345678 str 12345678 ELIMIT");
    /* Before the bytes come that would have to be kept. */
    EXPECT_WITHIN(&limits, "*4\r\n$8\r\n12345678\r\n$8\r\n12345678\r\n$8\r\n",
                  "arr 4 str 12345678 str 12345678 ELIMIT");
}

static void test_a_long_line_without_an_end_is_refused(void **state) {
    (void)state;
    hresp_t parser;
    hresp_token_t token;
    static char line[65538];
    memset(line, 'a', sizeof line);
    line[0] = '+';
    hresp_init(&parser, NULL);
    assert_int_equal(hresp_next(&parser, line, 65536, &token), 0);
    assert_int_equal(hresp_next(&parser, line, sizeof line, &token), HV_ELIMIT);
    assert_int_equal(hresp_next(&parser, "+a\r\n", 4, &token), HV_ELIMIT);
}

static void test_wanted_tells_how_much_a_string_needs(void **state) {
    (void)state;
    hresp_t parser;
    hresp_token_t token;
    hresp_init(&parser, NULL);
    assert_int_equal(hresp_next(&parser, "$1000\r\nab", 9, &token), 0);
    assert_int_equal(hresp_wanted(&parser), 7 + 1000 + 2);
    assert_int_equal(hresp_next(&parser, "$10", 3, &token), 0);
    assert_int_equal(hresp_wanted(&parser), 0);
}

static void test_heads_of_commands(void **state) {
    (void)state;
    static const size_t numbers[] = {0, 9, 10, 123456789, SIZE_MAX};
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        char out[HRESP_HEAD_BYTES + 1], expected[64];
        out[hresp_write_command(out, numbers[i])] = '\0';
        sprintf(expected, "*%zu\r\n", numbers[i]);
        assert_string_equal(out, expected);
        out[hresp_write_argument(out, numbers[i])] = '\0';
        expected[0] = '$';
        assert_string_equal(out, expected);
    }
}

static void test_slots(void **state) {
    (void)state;
    /* The specification gives CRC16 of "123456789" as 31C3 hex. */
    assert_int_equal(hresp_slot("123456789", 9), 0x31c3 % 16384);
    assert_int_equal(hresp_slot("foo", 3), 12182);
    assert_int_equal(hresp_slot("", 0), 0);
    assert_int_equal(hresp_slot("{user1000}.following", 20), hresp_slot("user1000", 8));
    assert_int_equal(hresp_slot("foo{}{bar}", 10), 8363);
    assert_int_equal(hresp_slot("foo{{bar}}zap", 13), hresp_slot("{bar", 4));
    assert_int_equal(hresp_slot("foo{bar}{zap}", 13), hresp_slot("bar", 3));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_scalars_of_resp2),
        cmocka_unit_test(test_scalars_of_resp3),
        cmocka_unit_test(test_aggregates),
        cmocka_unit_test(test_attributes_are_no_items),
        cmocka_unit_test(test_streamed),
        cmocka_unit_test(test_what_is_no_reply_fails),
        cmocka_unit_test(test_incomplete_waits),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_a_long_line_without_an_end_is_refused),
        cmocka_unit_test(test_wanted_tells_how_much_a_string_needs),
        cmocka_unit_test(test_heads_of_commands),
        cmocka_unit_test(test_slots),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
