/* fuzz_router.c - the input is lines: those that begin with '+' add a route ("+G/a/:b"), others are
 * paths to match ("G/a/c"); the first byte after that names the method. Every match is compared
 * with a matcher that knows no tree: it tries all patterns one by one and ranks them. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hhttp.h"
#include "hmem.h"

#define ROUTES_MAX   24
#define SEGMENTS_MAX 64

#define CHECK(claim) ((claim) ? (void)0 : fail(#claim, __LINE__))

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

typedef struct line_s {
    const char *text;
    size_t len;
} line_t;

typedef struct pattern_s {
    line_t text;
    hhttp_method_e method;
} pattern_t;

static pattern_t patterns[ROUTES_MAX];
static uint32_t pattern_count;

static void fail(const char *claim, int line) {
    fprintf(stderr, "fuzz_router.c:%d: %s\n", line, claim);
    abort();
}

static hhttp_method_e method_of_letter(char letter) {
    static const char letters[] = "GHPUADOCT";
    const char *found = letter != '\0' ? strchr(letters, letter) : NULL;
    if (found != NULL) return (hhttp_method_e)(found - letters);
    return letter == '*' ? HHTTP_ANY : HHTTP_OTHER;
}

/* Cuts the next segment off; the text begins with its '/'. */
static line_t cut_segment(line_t *text) {
    line_t segment = {text->text + 1, 0};
    while (segment.len < text->len - 1 && segment.text[segment.len] != '/')
        segment.len++;
    text->text += segment.len + 1;
    text->len -= segment.len + 1;
    return segment;
}

/* How well one segment fits: 3 literal, 2 name, 0 not at all. */
static int fit_segment(line_t wanted, line_t given) {
    if (wanted.len > 0 && wanted.text[0] == ':') return given.len > 0 ? 2 : 0;
    char *decoded = malloc(given.len + 1);
    if (decoded == NULL) abort();
    size_t len = hhttp_percent_decode(given.text, given.len, 0, decoded);
    int is_equal = len == wanted.len && memcmp(decoded, wanted.text, len) == 0;
    free(decoded);
    return is_equal ? 3 : 0;
}

/* Writes the rank of a pattern for a path, one byte a segment, so that memcmp orders by the first
 * segment that differs. Returns 0 where it does not fit. */
static int rank_pattern(line_t pattern, line_t path, unsigned char *rank) {
    memset(rank, 0, SEGMENTS_MAX + 1);
    for (size_t i = 0; pattern.len > 0; i++) {
        if (path.len == 0) return 0;
        line_t wanted = cut_segment(&pattern);
        if (wanted.len > 0 && wanted.text[0] == '*') {
            rank[i] = 1;
            return 1;
        }
        int fit = fit_segment(wanted, cut_segment(&path));
        if (fit == 0) return 0;
        rank[i] = (unsigned char)fit;
    }
    return path.len == 0;
}

/* How well a route's method serves a request's: 3 its own, 2 GET for HEAD, 1 any, 0 not at all. */
static int rank_method(hhttp_method_e route, hhttp_method_e request) {
    if (route == request) return 3;
    if (route == HHTTP_GET && request == HHTTP_HEAD) return 2;
    return route == HHTTP_ANY ? 1 : 0;
}

static uint32_t allow_bits(hhttp_method_e route) {
    if (route == HHTTP_ANY) return (1u << (HHTTP_ANY + 1)) - 1;
    return 1u << route | (route == HHTTP_GET ? 1u << HHTTP_HEAD : 0);
}

static void check_params(line_t pattern, line_t path, const hhttp_route_match_t *match) {
    int count = 0;
    while (pattern.len > 0) {
        line_t rest = path;
        line_t wanted = cut_segment(&pattern);
        line_t given = cut_segment(&path);
        if (wanted.len == 0 || (wanted.text[0] != ':' && wanted.text[0] != '*')) continue;
        CHECK(count < match->param_count);
        hhttp_slice_t name = match->params[count].name;
        hhttp_slice_t value = match->params[count].value;
        CHECK(name.len == wanted.len - 1 && memcmp(name.data, wanted.text + 1, name.len) == 0);
        CHECK(value.data == given.text);
        CHECK(value.len == (wanted.text[0] == '*' ? rest.len - 1 : given.len));
        count++;
    }
    CHECK(count == match->param_count);
}

static void check_match(const hhttp_router_t *router, hhttp_method_e method, line_t path) {
    hhttp_route_match_t match;
    int status = hhttp_router_match(router, method, path.text, path.len, &match);
    unsigned char best[SEGMENTS_MAX + 2] = {0};
    const pattern_t *winner = NULL;
    uint32_t mask = 0;
    for (uint32_t i = 0; i < pattern_count && path.len > 0 && path.text[0] == '/'; i++) {
        unsigned char rank[SEGMENTS_MAX + 2] = {0};
        if (!rank_pattern(patterns[i].text, path, rank)) continue;
        mask |= allow_bits(patterns[i].method);
        int method_rank = rank_method(patterns[i].method, method);
        rank[SEGMENTS_MAX + 1] = (unsigned char)method_rank;
        if (method_rank == 0 || memcmp(rank, best, sizeof rank) <= 0) continue;
        memcpy(best, rank, sizeof rank);
        winner = &patterns[i];
    }
    CHECK(match.allow_mask == mask);
    CHECK((status == 0) == (winner != NULL));
    if (winner == NULL) {
        CHECK(status == HV_ENOTFOUND && match.param_count == 0);
        return;
    }
    CHECK(match.route == (uint32_t)(winner - patterns));
    check_params(winner->text, path, &match);
}

static void add_route(hhttp_router_t *router, hhttp_method_e method, line_t pattern) {
    if (pattern_count == ROUTES_MAX) return;
    int status = hhttp_router_add(router, method, pattern.text, pattern.len, pattern_count);
    CHECK(status == 0 || status == HV_EINVAL || status == HV_EBUSY || status == HV_ELIMIT);
    if (status == 0) patterns[pattern_count++] = (pattern_t){pattern, method};
}

static void run_line(hhttp_router_t *router, line_t line) {
    int is_route = line.len > 0 && line.text[0] == '+';
    size_t method_at = is_route ? 1 : 0;
    if (line.len <= method_at) return;
    hhttp_method_e method = method_of_letter(line.text[method_at]);
    line_t rest = {line.text + method_at + 1, line.len - method_at - 1};
    if (is_route) {
        add_route(router, method, rest);
    } else {
        check_match(router, method, rest);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len) {
    hhttp_router_t *router = hhttp_router_new();
    if (router == NULL) abort();
    pattern_count = 0;
    const char *at = (const char *)data;
    const char *end = at + len;
    while (at < end) {
        const char *line_end = memchr(at, '\n', (size_t)(end - at));
        if (line_end == NULL) line_end = end;
        run_line(router, (line_t){at, (size_t)(line_end - at)});
        at = line_end < end ? line_end + 1 : end;
    }
    hhttp_router_free(router);
    CHECK(hv__mem_live_blocks() == 0);
    return 0;
}
