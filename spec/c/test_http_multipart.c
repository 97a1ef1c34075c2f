/* Tests of runtime/http/http_multipart.c: each body is parsed whole and at every split point, and
 * must give the same events. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "guard_page.h"
#include "hmem.h"
#include "hmultipart.h"

typedef struct log_s {
    char text[8192];
    size_t len;
    int code;
} log_t;

static hhttp_slice_t slice(const char *text) { return (hhttp_slice_t){text, strlen(text)}; }

static void add(log_t *log, const char *text, size_t len) {
    assert_true(log->len + len < sizeof log->text);
    memcpy(log->text + log->len, text, len);
    log->len += len;
    log->text[log->len] = '\0';
}

static void add_slice(log_t *log, const char *before, hhttp_slice_t text) {
    add(log, before, strlen(before));
    if (text.data != NULL) add(log, text.data, text.len);
}

/* "<name|filename:payload>" for each part, '.' at the end. Returns 0 or the error. */
static int feed(hmultipart_t *form, log_t *log, const char *data, size_t len) {
    while (len > 0) {
        size_t used;
        hhttp_slice_t piece;
        int event = hmultipart_next(form, data, len, &used, &piece);
        if (event < 0) return event;
        switch (event) {
        case HMULTIPART_PART:
            add_slice(log, "<", hmultipart_name(form));
            if (hmultipart_filename(form).data != NULL) {
                add_slice(log, "|", hmultipart_filename(form));
            }
            add(log, ":", 1);
            break;
        case HMULTIPART_DATA:
            assert_true(piece.len > 0);
            add(log, piece.data, piece.len);
            break;
        case HMULTIPART_PART_END: add(log, ">", 1); break;
        case HMULTIPART_END:
            if (log->len == 0 || log->text[log->len - 1] != '.') add(log, ".", 1);
            break;
        default: assert_int_equal(used, len);
        }
        data += used;
        len -= used;
    }
    return 0;
}

static int parse(const char *body, size_t len, size_t cut, size_t cut_too,
                 const hmultipart_limits_t *limits, log_t *log) {
    hmultipart_t *form = hmultipart_new(slice("AaB-x"), limits);
    assert_non_null(form);
    log->len = 0;
    log->text[0] = '\0';
    int code = feed(form, log, body, cut);
    if (code == 0) code = feed(form, log, body + cut, cut_too - cut);
    if (code == 0) code = feed(form, log, body + cut_too, len - cut_too);
    if (code == 0 && !hmultipart_has_ended(form)) add(log, "...", 3);
    size_t used;
    hhttp_slice_t piece;
    if (code != 0) assert_int_equal(hmultipart_next(form, "x", 1, &used, &piece), code);
    hmultipart_free(form);
    return code;
}

/* Parses at every pair of split points; gives what came out. */
static int parse_everywhere(const char *body, const hmultipart_limits_t *limits, log_t *log) {
    size_t len = strlen(body);
    log_t other;
    int code = parse(body, len, 0, 0, limits, log);
    for (size_t cut = 0; cut <= len; cut++) {
        for (size_t next = cut; next <= len; next += 1 + (next - cut) / 3) {
            assert_int_equal(parse(body, len, cut, next, limits, &other), code);
            if (code == 0) assert_string_equal(other.text, log->text);
        }
    }
    return code;
}

static void assert_parses(const char *body, const char *expected) {
    log_t log;
    assert_int_equal(parse_everywhere(body, NULL, &log), 0);
    assert_string_equal(log.text, expected);
}

static void assert_fails(const char *body, int code) {
    log_t log;
    int result = parse_everywhere(body, NULL, &log);
    if (result != code) fail_msg("%d for: %s", result, body);
}

#define D    "Content-Disposition: form-data; name="
#define PART(name, body) "--AaB-x\r\n" D name "\r\n\r\n" body "\r\n"
#define END  "--AaB-x--\r\n"

static void test_parts_are_found(void **state) {
    (void)state;
    assert_parses(PART("a", "1") PART("\"b c\"", "two\r\nlines") END, "<a:1><b c:two\r\nlines>.");
    assert_parses("preamble\r\n--Aa\r\n" PART("a", "1") END "epilogue\r\n--AaB-x\r\n", "<a:1>.");
    assert_parses("--AaB-x\r\n" D "f; filename=\"x.txt\"\r\nContent-Type: text/plain\r\n\r\n"
                  "data\r\n--AaB-x--", "<f|x.txt:data>.");
    assert_parses(END, ".");
    assert_parses("--AaB-x \t\r\n" D "a\r\n\r\n1\r\n--AaB-x-- ignored", "<a:1>.");
}

static void test_parts_may_be_empty(void **state) {
    (void)state;
    assert_parses(PART("a", "") END, "<a:>.");
    /* No body at all: the blank line's CRLF is the delimiter's (RFC 2046 section 5.1.1). */
    assert_parses("--AaB-x\r\n" D "a\r\n\r\n" PART("b", "2") END, "<a:><b:2>.");
}

static void test_what_looks_like_a_delimiter_is_payload(void **state) {
    (void)state;
    assert_parses(PART("a", "\r\n") PART("b", "\r\r\n-\r\n--\r\n--AaB-\r\n--AaB-y\r") END,
                  "<a:\r\n><b:\r\r\n-\r\n--\r\n--AaB-\r\n--AaB-y\r>.");
    assert_parses(PART("a", "--AaB-z") PART("b", "--") PART("c", "-") END,
                  "<a:--AaB-z><b:--><c:->.");
    assert_parses(PART("a", " --AaB-x-in the middle\r\n --AaB-x") END,
                  "<a: --AaB-x-in the middle\r\n --AaB-x>.");
}

static void test_names_are_unquoted(void **state) {
    (void)state;
    assert_parses(PART("\"a\\\"b\"", "1") END, "<a\"b:1>.");
    assert_parses(PART("a; filename=\"C:\\dir\\f.txt\"", "1") END, "<a|C:\\dir\\f.txt:1>.");
    assert_parses(PART("a;filename=\"x\\\\y\"; other=z", "1") END, "<a|x\\y:1>.");
    assert_parses(PART("a; filename=\"\"", "") END, "<a|:>.");
    assert_parses(PART("\"semi;colon\"", "1") END, "<semi;colon:1>.");
    assert_parses(PART("a; name=b", "1") END, "<a:1>.");
}

static void test_forms_cut_short_have_not_ended(void **state) {
    (void)state;
    assert_parses("", "...");
    assert_parses("--AaB-x\r\n" D "a\r\n\r\nhalf", "<a:half...");
    assert_parses(PART("a", "1") "--AaB-x-", "<a:1>...");
    assert_parses("no boundary anywhere", "...");
}

static void test_malformed_forms_are_refused(void **state) {
    (void)state;
    static const char *const bodies[] = {
        "--AaB-xy\r\n", "--AaB-x\n", "--AaB-x-x", "--AaB-x\rX",
        "--AaB-x\r\nno colon\r\n\r\n", "--AaB-x\r\n: value\r\n\r\n", "--AaB-x\r\nName : x\r\n\r\n",
        "--AaB-x\r\n" D "a\r\n folded\r\n\r\n", "--AaB-x\r\n" D "a\n\n",
        "--AaB-x\r\n\r\nno name", "--AaB-x\r\nContent-Type: text/plain\r\n\r\nx",
        "--AaB-x\r\nContent-Disposition: attachment; name=a\r\n\r\nx",
        "--AaB-x\r\nContent-Disposition: form-data\r\n\r\nx",
        "--AaB-x\r\nContent-Disposition: form-data; filename=x\r\n\r\nx",
        "--AaB-x\r\n" D "\"open\r\n\r\nx", "--AaB-x\r\n" D "a\x01\r\n\r\nx",
        "--AaB-x\r\nContent-Disposition: form-data; name\r\n\r\nx",
        "--AaB-x\r\nContent-Disposition: form-data name=a\r\n\r\nx",
    };
    for (size_t i = 0; i < sizeof bodies / sizeof *bodies; i++) assert_fails(bodies[i], HV_EPROTO);
}

static void test_limits_are_kept(void **state) {
    (void)state;
    log_t log;
    hmultipart_limits_t limits = {.part_count_max = 2};
    assert_int_equal(parse_everywhere(PART("a", "1") PART("b", "2") END, &limits, &log), 0);
    assert_int_equal(parse_everywhere(PART("a", "1") PART("b", "2") PART("c", "3") END, &limits,
                                      &log), HV_ELIMIT);
    limits = (hmultipart_limits_t){.part_header_bytes_max = sizeof(D "a\r\n\r\n") - 1};
    assert_int_equal(parse_everywhere(PART("a", "1") END, &limits, &log), 0);
    assert_int_equal(parse_everywhere(PART("ab", "1") END, &limits, &log), HV_ELIMIT);
    limits = (hmultipart_limits_t){.field_bytes_max = 3};
    assert_int_equal(parse_everywhere(PART("a", "123") PART("b; filename=c", "12345") END, &limits,
                                      &log), 0);
    assert_int_equal(parse_everywhere(PART("a", "1234") END, &limits, &log), HV_ELIMIT);
    limits = (hmultipart_limits_t){.form_bytes_max = 5};
    assert_int_equal(parse_everywhere(PART("a", "123") PART("b", "45") END, &limits, &log), 0);
    assert_int_equal(parse_everywhere(PART("a", "123") PART("b", "456") END, &limits, &log),
                     HV_ELIMIT);
    limits = (hmultipart_limits_t){.file_bytes_max = 5};
    assert_int_equal(parse_everywhere(PART("a; filename=b", "12345") PART("c", "123456") END,
                                      &limits, &log), 0);
    assert_int_equal(parse_everywhere(PART("a; filename=b", "123456") END, &limits, &log),
                     HV_ELIMIT);
    /* Blanks behind a boundary are no way to send for ever. */
    char blanks[200];
    snprintf(blanks, sizeof blanks, "--AaB-x%150s\r\n", "");
    assert_int_equal(parse_everywhere(blanks, NULL, &log), HV_ELIMIT);
}

static void test_headers_of_a_part_are_there(void **state) {
    (void)state;
    static const char body[] = "--AaB-x\r\nX-One:  1 \r\n" D "a\r\ncontent-type:text/css\r\n\r\n";
    hmultipart_t *form = hmultipart_new(slice("AaB-x"), NULL);
    size_t used;
    hhttp_slice_t piece;
    assert_int_equal(hmultipart_next(form, body, sizeof body - 1, &used, &piece), HMULTIPART_PART);
    assert_int_equal(used, sizeof body - 1);
    hhttp_slice_t type = hmultipart_header(form, "Content-Type", 12);
    assert_int_equal(type.len, 8);
    assert_memory_equal(type.data, "text/css", 8);
    assert_null(hmultipart_header(form, "X-Two", 5).data);
    size_t cursor = 0;
    hhttp_header_t header;
    assert_true(hmultipart_next_header(form, &cursor, &header));
    assert_memory_equal(header.name.data, "X-One", 5);
    assert_int_equal(header.value.len, 1);
    assert_true(hmultipart_next_header(form, &cursor, &header));
    assert_true(hmultipart_next_header(form, &cursor, &header));
    assert_false(hmultipart_next_header(form, &cursor, &header));
    hmultipart_free(form);
}

/* Names are told without their backslashes; the header is what was sent. Between two parts there
 * are none. */
static void test_names_leave_their_header_alone(void **state) {
    (void)state;
    static const char body[] =
        "--AaB-x\r\n" D "\"a\\\"b\"; filename=\"\\\\c\"\r\n\r\n1\r\n--AaB-x\r\n";
    static const char sent[] = "form-data; name=\"a\\\"b\"; filename=\"\\\\c\"";
    hmultipart_t *form = hmultipart_new(slice("AaB-x"), NULL);
    size_t at = 0, used;
    hhttp_slice_t piece;
    assert_int_equal(hmultipart_next(form, body, sizeof body - 1, &used, &piece), HMULTIPART_PART);
    hhttp_slice_t header = hmultipart_header(form, "Content-Disposition", 19);
    assert_int_equal(header.len, sizeof sent - 1);
    assert_memory_equal(header.data, sent, header.len);
    assert_int_equal(hmultipart_name(form).len, 3);
    assert_memory_equal(hmultipart_name(form).data, "a\"b", 4);
    assert_memory_equal(hmultipart_filename(form).data, "\\c", 3);
    for (at = used; at < sizeof body - 1; at += used) {
        hmultipart_next(form, body + at, sizeof body - 1 - at, &used, &piece);
    }
    assert_null(hmultipart_name(form).data);
    assert_null(hmultipart_filename(form).data);
    assert_null(hmultipart_header(form, "Content-Disposition", 19).data);
    hmultipart_free(form);
}

static void test_boundary_of_a_content_type(void **state) {
    (void)state;
    hhttp_slice_t boundary;
    static const char *const good[] = {
        "multipart/form-data; boundary=AaB-x",
        "Multipart/Form-Data;charset=utf-8;BOUNDARY=\"AaB-x\"",
        "multipart/form-data ; boundary = AaB-x ; x=y",
    };
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(hmultipart_boundary(slice(good[i]), &boundary), 0);
        assert_int_equal(boundary.len, 5);
        assert_memory_equal(boundary.data, "AaB-x", 5);
    }
    assert_int_equal(hmultipart_boundary(slice("multipart/mixed; boundary=x"), &boundary),
                     HV_ENOTFOUND);
    assert_int_equal(hmultipart_boundary((hhttp_slice_t){NULL, 0}, &boundary), HV_ENOTFOUND);
    static const char *const bad[] = {
        "multipart/form-data",
        "multipart/form-data; boundary=",
        "multipart/form-data; boundary",
        "multipart/form-data; boundary=\"a b \"",
        "multipart/form-data; boundary=\"a\\b\"",
        ("multipart/form-data; "
         "boundary=aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
         "aaaaaaaaaaaaa"),
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_int_equal(hmultipart_boundary(slice(bad[i]), &boundary), HV_EPROTO);
    }
    assert_null(hmultipart_new(slice(""), NULL));
}

static void test_file_names_are_made_safe(void **state) {
    (void)state;
    static const char *const names[][2] = {
        {"a.txt", "a.txt"}, {"/etc/passwd", "passwd"}, {"..\\..\\boot.ini", "boot.ini"},
        {"..", "file"}, {".", "file"}, {"", "file"}, {"dir/", "file"}, {".htaccess", "htaccess"},
        {"  a b . .", "a b"}, {"a\r\nb\x7f.c", "a__b_.c"}, {"x<>:\"|?*y", "x_______y"},
        {"na\xc3\xafve.txt", "na\xc3\xafve.txt"}, {"bad\xff\xc3.txt", "bad__.txt"},
        {"\xed\xa0\x80", "___"}, {"\xe2\x82\xac", "\xe2\x82\xac"},
    };
    char out[HMULTIPART_SAFE_NAME_MAX];
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        size_t len = hmultipart_safe_name(slice(names[i][0]), out);
        assert_string_equal(out, names[i][1]);
        assert_int_equal(len, strlen(out));
    }
    char nul[] = "a\0b";
    assert_int_equal(hmultipart_safe_name((hhttp_slice_t){nul, 3}, out), 3);
    assert_string_equal(out, "a_b");
    /* Long names are cut, not in the middle of a character. */
    char name[600];
    for (int i = 0; i < 200; i++) memcpy(name + i * 3, "\xe2\x82\xac", 3);
    assert_int_equal(hmultipart_safe_name((hhttp_slice_t){name, 600}, out), 198);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parts_are_found),
        cmocka_unit_test(test_parts_may_be_empty),
        cmocka_unit_test(test_what_looks_like_a_delimiter_is_payload),
        cmocka_unit_test(test_names_are_unquoted),
        cmocka_unit_test(test_forms_cut_short_have_not_ended),
        cmocka_unit_test(test_malformed_forms_are_refused),
        cmocka_unit_test(test_limits_are_kept),
        cmocka_unit_test(test_headers_of_a_part_are_there),
        cmocka_unit_test(test_names_leave_their_header_alone),
        cmocka_unit_test(test_boundary_of_a_content_type),
        cmocka_unit_test(test_file_names_are_made_safe),
    };
    size_t blocks_before = hv__mem_live_blocks();
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    return failed != 0 || hv__mem_live_blocks() != blocks_before;
}
