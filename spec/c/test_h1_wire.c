/* test_h1_wire.c - replays spec/wire/http1 (its README tells the format): every case whole, cut at
 * every point, and byte by byte, with the bytes laid against a page that cannot be read. */
#include <dirent.h>
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "guard_page.h"
#include "h1_parse.h"

#ifndef HV_SPEC_DIR
#define HV_SPEC_DIR "spec"
#endif

#define INPUT_MAX 8192
#define CASES_MAX 1000
#define LINES_MAX 24

typedef struct wire_case_s {
    char name[160];
    char input[INPUT_MAX];
    size_t len;
    h1_limits_t limits;
    char verdict[8];
    char claims[LINES_MAX][256]; /* "path: /a" */
    size_t claim_count;
} wire_case_t;

/* What came of a replay. */
typedef struct outcome_s {
    int status; /* 200, 0 for "more", or the refusal */
    h1_head_t head;
    char block[INPUT_MAX]; /* the head's bytes, which its slices point into */
    char body[INPUT_MAX];
    size_t body_len;
    size_t used;
} outcome_t;

static wire_case_t *cases[CASES_MAX];
static size_t case_count;
static guard_page_t guard;

/* ---- Replaying ---- */

/* Feeds [from, to) of the input to a body; returns the bytes used. */
static size_t feed_body(const wire_case_t *wire, h1_parser_t *parser, size_t from, size_t to,
                        outcome_t *outcome) {
    size_t at = from;
    while (at < to && h1_body_pending(parser)) {
        const char *data = guard_page_place(&guard, wire->input + at, to - at);
        size_t consumed;
        hhttp_slice_t piece;
        int status = h1_parse_body(parser, data, to - at, &consumed, &piece);
        if (status != 0) {
            outcome->status = status;
            return at - from;
        }
        assert_true(consumed > 0 && consumed <= to - at);
        assert_true(piece.len <= consumed);
        if (piece.len > 0) memcpy(outcome->body + outcome->body_len, piece.data, piece.len);
        outcome->body_len += piece.len;
        at += consumed;
    }
    return at - from;
}

/* Replays with the input arriving in the pieces that end at ends[0], ends[1] ... */
static void replay(const wire_case_t *wire, const size_t *ends, size_t end_count,
                   outcome_t *outcome) {
    h1_parser_t parser;
    size_t scanned = 0;
    size_t skipped = 0;
    int has_head = 0;
    memset(outcome, 0, sizeof *outcome);
    for (size_t i = 0; i < end_count && outcome->status == 0; i++) {
        if (!has_head) {
            const char *data = guard_page_place(&guard, wire->input, ends[i]);
            if (scanned == 0) skipped = h1_skip_empty_lines(data, ends[i]);
            const char *start = data + skipped;
            size_t len = ends[i] - skipped;
            /* A CR alone may be the start of an empty line still to be skipped. */
            if (len == 1 && *start == '\r') continue;
            long block_len = h1_find_head_end(start, len, &scanned, &wire->limits);
            if (block_len < 0) outcome->status = (int)-block_len;
            if (block_len <= 0) continue;
            memcpy(outcome->block, start, (size_t)block_len);
            start = guard_page_place(&guard, outcome->block, (size_t)block_len);
            int status = h1_parse_head(&parser, start, (size_t)block_len, &wire->limits);
            outcome->status = status;
            if (status != 0) continue;
            h1_head_rebase(&parser.head, start, outcome->block);
            outcome->head = parser.head;
            outcome->used = skipped + (size_t)block_len;
            has_head = 1;
        }
        outcome->used += feed_body(wire, &parser, outcome->used, ends[i], outcome);
    }
    if (has_head && outcome->status == 0 && !h1_body_pending(&parser)) outcome->status = 200;
}

/* ---- Judging ---- */

static size_t count_headers(const outcome_t *outcome) {
    size_t count = 0;
    size_t cursor = 0;
    hhttp_header_t header;
    while (h1_next_header(outcome->head.headers, &cursor, &header)) {
        assert_true(header.name.len > 0);
        hhttp_slice_t first =
            h1_find_header(outcome->head.headers, header.name.data, header.name.len);
        assert_non_null(first.data);
        assert_true(first.data <= header.value.data);
        count++;
    }
    return count;
}

static const char *flag(int is_set) {
    return is_set ? "yes" : "no";
}

static void put(char *out, size_t room, hhttp_slice_t slice) {
    if (slice.data == NULL) slice = (hhttp_slice_t){"-", 1};
    snprintf(out, room, "%.*s", (int)slice.len, slice.data);
}

/* What the outcome says about the thing that a claim names. */
static void describe(const wire_case_t *wire, const outcome_t *outcome, const char *key, char *out,
                     size_t room) {
    const h1_head_t *head = &outcome->head;
    const struct {
        const char *key;
        hhttp_slice_t slice;
    } slices[] = {
        {"method", head->method_name}, {"target", head->target},
        {"path", head->path},          {"query", head->query},
        {"host", head->host},          {"body", {outcome->body, outcome->body_len}},
    };
    for (size_t i = 0; i < ARRAY_SIZE(slices); i++) {
        if (strcmp(key, slices[i].key) == 0) {
            put(out, room, slices[i].slice);
            return;
        }
    }
    const struct {
        const char *key;
        int is_set;
    } flags[] = {
        {"keep-alive", head->keep_alive},
        {"continue", head->expects_continue},
        {"upgrade", head->is_upgrade},
        {"chunked", head->is_chunked},
    };
    for (size_t i = 0; i < ARRAY_SIZE(flags); i++) {
        if (strcmp(key, flags[i].key) == 0) snprintf(out, room, "%s", flag(flags[i].is_set));
    }
    if (strcmp(key, "version") == 0) snprintf(out, room, "%u", head->version);
    if (strcmp(key, "length") == 0) snprintf(out, room, "%" PRIu64, head->content_length);
    if (strcmp(key, "headers") == 0) snprintf(out, room, "%zu", count_headers(outcome));
    if (strcmp(key, "left") == 0) snprintf(out, room, "%zu", wire->len - outcome->used);
}

static void judge(const wire_case_t *wire, const outcome_t *outcome) {
    char verdict[16] = "more";
    if (outcome->status != 0) snprintf(verdict, sizeof verdict, "%d", outcome->status);
    assert_string_equal(verdict, wire->verdict);
    for (size_t i = 0; i < wire->claim_count; i++) {
        char key[32];
        char is[512] = "(no such claim)";
        const char *colon = strchr(wire->claims[i], ':');
        assert_non_null(colon);
        snprintf(key, sizeof key, "%.*s", (int)(colon - wire->claims[i]), wire->claims[i]);
        describe(wire, outcome, key, is, sizeof is);
        const char *should = colon[1] == ' ' ? colon + 2 : colon + 1;
        if (strcmp(is, should) != 0) print_error("%s\n", key);
        assert_string_equal(is, should);
    }
}

/* The same bytes must come out however they came in. */
static void assert_same(const outcome_t *whole, const outcome_t *cut) {
    assert_int_equal(whole->status, cut->status);
    if (whole->status != 200) return;
    assert_int_equal(whole->used, cut->used);
    assert_int_equal(whole->body_len, cut->body_len);
    assert_memory_equal(whole->body, cut->body, whole->body_len);
    assert_memory_equal(whole->block, cut->block, whole->head.headers.len);
}

static void test_wire_case(void **state) {
    const wire_case_t *wire = *state;
    static outcome_t whole;
    static outcome_t cut;
    static size_t ends[INPUT_MAX];
    ends[0] = wire->len;
    replay(wire, ends, 1, &whole);
    judge(wire, &whole);
    for (size_t split = 1; split < wire->len; split++) {
        ends[0] = split;
        ends[1] = wire->len;
        replay(wire, ends, 2, &cut);
        assert_same(&whole, &cut);
    }
    for (size_t i = 0; i < wire->len; i++)
        ends[i] = i + 1;
    replay(wire, ends, wire->len, &cut);
    assert_same(&whole, &cut);
}

/* ---- Reading the files ---- */

static void fail_at(const char *path, int line_number, const char *what) {
    fprintf(stderr, "%s:%d: %s\n", path, line_number, what);
    exit(2);
}

static int unescape_one(const char **at) {
    const char *text = *at;
    if (*text != '\\') {
        *at = text + 1;
        return (unsigned char)*text;
    }
    static const char letters[] = "rnt0\\";
    static const char bytes[] = "\r\n\t\0\\";
    const char *letter = text[1] != '\0' ? strchr(letters, text[1]) : NULL;
    if (letter != NULL) {
        *at = text + 2;
        return (unsigned char)bytes[letter - letters];
    }
    unsigned byte;
    if (sscanf(text, "\\x%2x", &byte) != 1) return -1;
    *at = text + 4;
    return (int)byte;
}

/* Appends one input line; returns 0 where it makes no sense. */
static int add_input(wire_case_t *wire, const char *text) {
    while (*text != '\0') {
        unsigned times = 1;
        int used = 0;
        char repeated[64];
        const char *once = text;
        int is_repeated = sscanf(text, "\\*%u{%63[^}]}%n", &times, repeated, &used) == 2;
        if (is_repeated) once = repeated;
        for (unsigned i = 0; i < times; i++) {
            const char *at = once;
            do {
                int byte = unescape_one(&at);
                if (byte < 0 || wire->len == INPUT_MAX) return 0;
                wire->input[wire->len++] = (char)byte;
            } while (is_repeated && *at != '\0');
            if (!is_repeated) text = at;
        }
        if (is_repeated) text += used;
    }
    return 1;
}

/* A text that does not fit is a mistake in the corpus, not something to cut. */
static void copy_text(char *out, size_t room, const char *text) {
    size_t len = strlen(text);
    if (len >= room) {
        fprintf(stderr, "too long: %s\n", text);
        exit(2);
    }
    memcpy(out, text, len + 1);
}

static wire_case_t *new_case(const char *name) {
    wire_case_t *wire = calloc(1, sizeof *wire);
    if (wire == NULL || case_count == CASES_MAX) exit(2);
    copy_text(wire->name, sizeof wire->name, name);
    wire->limits = (h1_limits_t){8192, 65536, 100};
    cases[case_count++] = wire;
    return wire;
}

static void read_line(wire_case_t **wire, const char *line, const char *path, int line_number) {
    if (line[0] == '\0' || line[0] == '#') return;
    if (strncmp(line, "=== ", 4) == 0) {
        *wire = new_case(line + 4);
        return;
    }
    if (*wire == NULL) fail_at(path, line_number, "a line before the first case");
    h1_limits_t *limits = &(*wire)->limits;
    if (line[0] == '>') {
        const char *text = line[1] == ' ' ? line + 2 : line + 1;
        if (!add_input(*wire, text)) fail_at(path, line_number, "bad input");
    } else if (strncmp(line, "= ", 2) == 0) {
        copy_text((*wire)->verdict, sizeof(*wire)->verdict, line + 2);
    } else if (strncmp(line, "limits ", 7) == 0) {
        if (sscanf(line, "limits %u %u %u", &limits->request_line_bytes_max,
                   &limits->header_bytes_max, &limits->header_count_max) != 3) {
            fail_at(path, line_number, "bad limits");
        }
    } else if (strncmp(line, "rfc ", 4) != 0) {
        if ((*wire)->claim_count == LINES_MAX) fail_at(path, line_number, "too many claims");
        char *claim = (*wire)->claims[(*wire)->claim_count++];
        copy_text(claim, sizeof(*wire)->claims[0], line);
    }
}

static void read_file(const char *path) {
    FILE *file = fopen(path, "r");
    if (file == NULL) fail_at(path, 0, "cannot be opened");
    char line[1024];
    wire_case_t *wire = NULL;
    for (int number = 1; fgets(line, sizeof line, file) != NULL; number++) {
        line[strcspn(line, "\n")] = '\0';
        read_line(&wire, line, path, number);
    }
    fclose(file);
}

static int is_text(const struct dirent *entry) {
    size_t len = strlen(entry->d_name);
    return len > 4 && strcmp(entry->d_name + len - 4, ".txt") == 0;
}

static void read_files(const char *folder) {
    struct dirent **entries;
    int count = scandir(folder, &entries, is_text, alphasort);
    if (count <= 0) fail_at(folder, 0, "has no cases");
    for (int i = 0; i < count; i++) {
        char path[1024];
        snprintf(path, sizeof path, "%s/%s", folder, entries[i]->d_name);
        read_file(path);
        free(entries[i]);
    }
    free(entries);
}

int main(void) {
    static struct CMUnitTest tests[CASES_MAX];
    read_files(HV_SPEC_DIR "/wire/http1");
    guard_page_open(&guard, INPUT_MAX);
    for (size_t i = 0; i < case_count; i++) {
        tests[i] = (struct CMUnitTest){cases[i]->name, test_wire_case, NULL, NULL, cases[i]};
    }
    int failed = _cmocka_run_group_tests("http1 wire", tests, case_count, NULL, NULL);
    guard_page_close(&guard);
    for (size_t i = 0; i < case_count; i++)
        free(cases[i]);
    return failed;
}
