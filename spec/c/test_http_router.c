/* test_http_router.c - which route a path finds, what it carries, and what hostile paths cost. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "hhttp.h"
#include "hmem.h"

static hhttp_router_t *router;
static hhttp_route_match_t match;

static int open_router(void **state) {
    (void)state;
    router = hhttp_router_new();
    return router == NULL;
}

static int close_router(void **state) {
    (void)state;
    hhttp_router_free(router);
    return hv__mem_live_blocks() != 0;
}

static int add(hhttp_method_e method, const char *pattern, uint32_t route) {
    return hhttp_router_add(router, method, pattern, strlen(pattern), route);
}

/* The route a path finds, or the (negative) error. */
static int find(hhttp_method_e method, const char *path) {
    memset(&match, 0xA5, sizeof match);
    int status = hhttp_router_match(router, method, path, strlen(path), &match);
    return status == 0 ? (int)match.route : status;
}

static void assert_param(int index, const char *name, const char *value) {
    assert_true(index < match.param_count);
    assert_int_equal(match.params[index].name.len, strlen(name));
    assert_memory_equal(match.params[index].name.data, name, strlen(name));
    assert_int_equal(match.params[index].value.len, strlen(value));
    assert_memory_equal(match.params[index].value.data, value, strlen(value));
}

/* ---- Shapes ---- */

static void test_literal_routes_are_told_apart(void **state) {
    (void)state;
    assert_int_equal(add(HHTTP_GET, "/", 1), 0);
    assert_int_equal(add(HHTTP_GET, "/a", 2), 0);
    assert_int_equal(add(HHTTP_GET, "/a/b", 3), 0);
    assert_int_equal(add(HHTTP_GET, "/ab", 4), 0);
    assert_int_equal(find(HHTTP_GET, "/"), 1);
    assert_int_equal(find(HHTTP_GET, "/a"), 2);
    assert_int_equal(find(HHTTP_GET, "/a/b"), 3);
    assert_int_equal(find(HHTTP_GET, "/ab"), 4);
    assert_int_equal(match.param_count, 0);
    assert_int_equal(find(HHTTP_GET, "/A"), HV_ENOTFOUND);
    assert_int_equal(find(HHTTP_GET, "/b"), HV_ENOTFOUND);
    assert_int_equal(find(HHTTP_GET, "/a/b/c"), HV_ENOTFOUND);
    assert_int_equal(match.allow_mask, 0);
}

static void test_slashes_at_the_end_and_doubled_are_significant(void **state) {
    (void)state;
    assert_int_equal(add(HHTTP_GET, "/a", 1), 0);
    assert_int_equal(add(HHTTP_GET, "/a/", 2), 0);
    assert_int_equal(add(HHTTP_GET, "/a/b", 3), 0);
    assert_int_equal(add(HHTTP_GET, "/a//b", 4), 0);
    assert_int_equal(find(HHTTP_GET, "/a"), 1);
    assert_int_equal(find(HHTTP_GET, "/a/"), 2);
    assert_int_equal(find(HHTTP_GET, "/a/b"), 3);
    assert_int_equal(find(HHTTP_GET, "/a//b"), 4);
    assert_int_equal(find(HHTTP_GET, "//a"), HV_ENOTFOUND);
    assert_int_equal(find(HHTTP_GET, "/a///b"), HV_ENOTFOUND);
}

static void test_params_give_raw_slices_of_the_path(void **state) {
    (void)state;
    assert_int_equal(add(HHTTP_GET, "/u/:id/posts/:post_2", 7), 0);
    assert_int_equal(find(HHTTP_GET, "/u/a%20b/posts/%2F"), 7);
    assert_int_equal(match.param_count, 2);
    assert_param(0, "id", "a%20b");
    assert_param(1, "post_2", "%2F");
    assert_int_equal(find(HHTTP_GET, "/u//posts/x"), HV_ENOTFOUND); /* a name is never empty */
    assert_int_equal(find(HHTTP_GET, "/u/x/posts/"), HV_ENOTFOUND);
}

static void test_rest_takes_slashes_and_may_be_empty(void **state) {
    (void)state;
    assert_int_equal(add(HHTTP_GET, "/f/*path", 1), 0);
    assert_int_equal(find(HHTTP_GET, "/f/"), 1);
    assert_param(0, "path", "");
    assert_int_equal(find(HHTTP_GET, "/f/a/b//c/"), 1);
    assert_param(0, "path", "a/b//c/");
    assert_int_equal(find(HHTTP_GET, "/f"), HV_ENOTFOUND);
}

static void test_literal_beats_name_beats_rest(void **state) {
    (void)state;
    assert_int_equal(add(HHTTP_GET, "/*r", 3), 0);
    assert_int_equal(add(HHTTP_GET, "/:n", 2), 0);
    assert_int_equal(add(HHTTP_GET, "/a", 1), 0);
    assert_int_equal(find(HHTTP_GET, "/a"), 1);
    assert_int_equal(find(HHTTP_GET, "/b"), 2);
    assert_int_equal(find(HHTTP_GET, "/"), 3);
    assert_int_equal(find(HHTTP_GET, "/a/b"), 3);
    assert_param(0, "r", "a/b");
}

static void test_match_steps_back_where_the_better_one_leads_nowhere(void **state) {
    (void)state;
    assert_int_equal(add(HHTTP_GET, "/a/b/c", 1), 0);
    assert_int_equal(add(HHTTP_GET, "/a/:x/d", 2), 0);
    assert_int_equal(add(HHTTP_GET, "/:y/b/e", 3), 0);
    assert_int_equal(add(HHTTP_GET, "/a/*z", 4), 0);
    assert_int_equal(find(HHTTP_GET, "/a/b/c"), 1);
    assert_int_equal(find(HHTTP_GET, "/a/b/d"), 2);
    assert_param(0, "x", "b");
    assert_int_equal(find(HHTTP_GET, "/q/b/e"), 3);
    assert_param(0, "y", "q");
    assert_int_equal(find(HHTTP_GET, "/a/b/e"), 4); /* the first segment decides first */
    assert_int_equal(match.param_count, 1);
    assert_param(0, "z", "b/e");
}

static void test_literals_are_compared_decoded(void **state) {
    (void)state;
    assert_int_equal(add(HHTTP_GET, "/a b", 1), 0);
    assert_int_equal(add(HHTTP_GET, "/caf\xc3\xa9/:x", 2), 0);
    assert_int_equal(add(HHTTP_GET, "/c%20d", 3), 0);
    assert_int_equal(find(HHTTP_GET, "/a%20b"), 1);
    assert_int_equal(find(HHTTP_GET, "/%61 b"), 1);
    assert_int_equal(find(HHTTP_GET, "/caf%C3%a9/z"), 2);
    assert_int_equal(find(HHTTP_GET, "/c%20d"), HV_ENOTFOUND); /* decodes to "c d" */
    assert_int_equal(find(HHTTP_GET, "/c%2520d"), 3);
    assert_int_equal(find(HHTTP_GET, "/a+b"), HV_ENOTFOUND); /* '+' is no blank in a path */
    assert_int_equal(find(HHTTP_GET, "/a%2"), HV_ENOTFOUND);
}

static void test_an_encoded_slash_does_not_end_a_segment(void **state) {
    (void)state;
    assert_int_equal(add(HHTTP_GET, "/a/b", 1), 0);
    assert_int_equal(add(HHTTP_GET, "/:x", 2), 0);
    assert_int_equal(find(HHTTP_GET, "/a%2Fb"), 2);
    assert_param(0, "x", "a%2Fb");
}

static void test_a_colon_inside_a_segment_is_a_literal(void **state) {
    (void)state;
    assert_int_equal(add(HHTTP_GET, "/a:b/c*d", 1), 0);
    assert_int_equal(find(HHTTP_GET, "/a:b/c*d"), 1);
    assert_int_equal(find(HHTTP_GET, "/axb/c*d"), HV_ENOTFOUND);
}

static void test_what_is_no_path_finds_nothing(void **state) {
    (void)state;
    assert_int_equal(add(HHTTP_ANY, "/*all", 1), 0);
    assert_int_equal(find(HHTTP_OPTIONS, "*"), HV_ENOTFOUND);
    assert_int_equal(find(HHTTP_CONNECT, "a:80"), HV_ENOTFOUND);
    assert_int_equal(find(HHTTP_GET, ""), HV_ENOTFOUND);
    assert_int_equal(match.allow_mask, 0);
    assert_int_equal(match.param_count, 0);
}

/* ---- Methods ---- */

static void test_methods_of_one_path_are_told_apart(void **state) {
    (void)state;
    assert_int_equal(add(HHTTP_GET, "/a", 1), 0);
    assert_int_equal(add(HHTTP_POST, "/a", 2), 0);
    assert_int_equal(add(HHTTP_OTHER, "/a", 3), 0);
    assert_int_equal(find(HHTTP_GET, "/a"), 1);
    assert_int_equal(find(HHTTP_POST, "/a"), 2);
    assert_int_equal(find(HHTTP_OTHER, "/a"), 3);
    assert_int_equal(find(HHTTP_PUT, "/a"), HV_ENOTFOUND);
    assert_int_equal(match.allow_mask,
                     1u << HHTTP_GET | 1u << HHTTP_HEAD | 1u << HHTTP_POST | 1u << HHTTP_OTHER);
}

static void test_head_finds_get_unless_it_has_its_own(void **state) {
    (void)state;
    assert_int_equal(add(HHTTP_GET, "/a", 1), 0);
    assert_int_equal(add(HHTTP_GET, "/b", 2), 0);
    assert_int_equal(add(HHTTP_HEAD, "/b", 3), 0);
    assert_int_equal(find(HHTTP_HEAD, "/a"), 1);
    assert_int_equal(find(HHTTP_HEAD, "/b"), 3);
}

static void test_any_takes_what_no_other_route_of_the_path_takes(void **state) {
    (void)state;
    assert_int_equal(add(HHTTP_ANY, "/a", 1), 0);
    assert_int_equal(add(HHTTP_POST, "/a", 2), 0);
    assert_int_equal(find(HHTTP_GET, "/a"), 1);
    assert_int_equal(find(HHTTP_OTHER, "/a"), 1);
    assert_int_equal(find(HHTTP_POST, "/a"), 2);
    assert_true(match.allow_mask & 1u << HHTTP_DELETE);
}

static void test_a_method_the_better_path_lacks_is_found_on_the_next(void **state) {
    (void)state;
    assert_int_equal(add(HHTTP_GET, "/u/me", 1), 0);
    assert_int_equal(add(HHTTP_DELETE, "/u/:id", 2), 0);
    assert_int_equal(find(HHTTP_DELETE, "/u/me"), 2);
    assert_param(0, "id", "me");
    assert_int_equal(find(HHTTP_PUT, "/u/me"), HV_ENOTFOUND);
    assert_int_equal(match.allow_mask, 1u << HHTTP_GET | 1u << HHTTP_HEAD | 1u << HHTTP_DELETE);
}

static void test_allow_mask_is_complete_after_a_match_too(void **state) {
    (void)state;
    assert_int_equal(add(HHTTP_PUT, "/a", 1), 0);
    assert_int_equal(add(HHTTP_POST, "/:x", 2), 0);
    assert_int_equal(add(HHTTP_PATCH, "/*y", 3), 0);
    assert_int_equal(find(HHTTP_PUT, "/a"), 1);
    assert_int_equal(match.param_count, 0);
    assert_int_equal(match.allow_mask, 1u << HHTTP_PUT | 1u << HHTTP_POST | 1u << HHTTP_PATCH);
}

static void test_names_belong_to_the_route_not_to_the_place(void **state) {
    (void)state;
    assert_int_equal(add(HHTTP_GET, "/:a", 1), 0);
    assert_int_equal(add(HHTTP_POST, "/:b", 2), 0);
    assert_int_equal(add(HHTTP_GET, "/:c/x", 3), 0);
    assert_int_equal(find(HHTTP_GET, "/1"), 1);
    assert_param(0, "a", "1");
    assert_int_equal(find(HHTTP_POST, "/1"), 2);
    assert_param(0, "b", "1");
    assert_int_equal(find(HHTTP_GET, "/1/x"), 3);
    assert_param(0, "c", "1");
}

/* ---- Adding ---- */

static void test_add_of_a_bad_pattern_is_refused(void **state) {
    (void)state;
    static const char *const patterns[] = {
        "",       "a",      "*",     ":a",      "/:",     "/*",        "/*a/b",
        "/:a/:a", "/:a/*a", "/:a-b", "/:a.txt", "/x/: b", "/:\xc3\xa9"};
    for (size_t i = 0; i < ARRAY_SIZE(patterns); i++) {
        assert_int_equal(add(HHTTP_GET, patterns[i], 1), HV_EINVAL);
    }
    assert_int_equal(add((hhttp_method_e)(HHTTP_ANY + 1), "/", 1), HV_EINVAL);
    assert_int_equal(add((hhttp_method_e)-1, "/", 1), HV_EINVAL);
}

static void test_add_of_the_same_shape_and_method_is_refused(void **state) {
    (void)state;
    assert_int_equal(add(HHTTP_GET, "/a/:b", 1), 0);
    assert_int_equal(add(HHTTP_GET, "/a/:c", 2), HV_EBUSY);
    assert_int_equal(add(HHTTP_GET, "/a/*d", 3), 0);
    assert_int_equal(add(HHTTP_GET, "/a/*e", 4), HV_EBUSY);
    assert_int_equal(find(HHTTP_GET, "/a/x"), 1);
}

static void test_add_beyond_a_limit_is_refused(void **state) {
    (void)state;
    char pattern[400] = "";
    for (int i = 0; i < HHTTP_ROUTE_PARAMS_MAX; i++) {
        size_t at = strlen(pattern);
        snprintf(pattern + at, sizeof pattern - at, "/:p%d", i);
    }
    assert_int_equal(add(HHTTP_GET, pattern, 1), 0);
    strcat(pattern, "/:q");
    assert_int_equal(add(HHTTP_GET, pattern, 2), HV_ELIMIT);
    memset(pattern, '/', 65);
    assert_int_equal(hhttp_router_add(router, HHTTP_GET, pattern, 64, 3), 0);
    assert_int_equal(hhttp_router_add(router, HHTTP_GET, pattern, 65, 4), HV_ELIMIT);
    memset(pattern + 1, 'a', 256);
    assert_int_equal(hhttp_router_add(router, HHTTP_GET, pattern, 256, 5), 0);
    assert_int_equal(hhttp_router_add(router, HHTTP_GET, pattern, 257, 6), HV_ELIMIT);
}

static void test_a_literal_of_the_greatest_length_is_found_encoded(void **state) {
    (void)state;
    char pattern[256] = "/";
    char path[1 + 3 * 256];
    memset(pattern + 1, 'a', 255);
    assert_int_equal(hhttp_router_add(router, HHTTP_GET, pattern, 256, 1), 0);
    path[0] = '/';
    for (int i = 0; i < 256; i++)
        memcpy(path + 1 + 3 * i, "%61", 3);
    assert_int_equal(hhttp_router_match(router, HHTTP_GET, path, 1 + 3 * 255, &match), 0);
    assert_int_equal(hhttp_router_match(router, HHTTP_GET, path, 1 + 3 * 256, &match),
                     HV_ENOTFOUND);
}

static void test_many_literals_of_one_node_are_all_found(void **state) {
    (void)state;
    char pattern[32];
    for (uint32_t i = 0; i < 1000; i++) {
        snprintf(pattern, sizeof pattern, "/%x", i * 7919 % 1000);
        assert_int_equal(add(HHTTP_GET, pattern, i), 0);
    }
    for (uint32_t i = 0; i < 1000; i++) {
        snprintf(pattern, sizeof pattern, "/%x", i * 7919 % 1000);
        assert_int_equal(find(HHTTP_GET, pattern), i);
    }
    assert_int_equal(find(HHTTP_GET, "/3e8"), HV_ENOTFOUND);
}

/* All 2^12 patterns of "/a" and "/:p" twelve deep: a path of twelve "a" fits every one of them, the
 * most that a walk can have to step back over. */
static void test_a_path_that_fits_every_route_finds_the_best(void **state) {
    (void)state;
    enum { DEPTH = 12 };
    char pattern[DEPTH * 5 + 1];
    for (unsigned bits = 0; bits < 1u << DEPTH; bits++) {
        size_t at = 0;
        for (int i = 0; i < DEPTH; i++) {
            int is_literal = (bits >> i & 1u) != 0;
            at +=
                (size_t)snprintf(pattern + at, sizeof pattern - at, is_literal ? "/a" : "/:p%d", i);
        }
        assert_int_equal(hhttp_router_add(router, HHTTP_GET, pattern, at, bits), 0);
    }
    assert_int_equal(find(HHTTP_GET, "/a/a/a/a/a/a/a/a/a/a/a/a"), (1 << DEPTH) - 1);
    assert_int_equal(find(HHTTP_GET, "/a/a/a/a/a/a/a/a/a/a/a/b"), (1 << (DEPTH - 1)) - 1);
    assert_int_equal(find(HHTTP_GET, "/a/a/a/a/a/a/a/a/a/a/a/a/a"), HV_ENOTFOUND);
}

static void test_a_path_of_very_many_segments_ends_where_the_tree_does(void **state) {
    (void)state;
    size_t len = 1u << 20;
    char *path = malloc(len);
    assert_non_null(path);
    memset(path, '/', len);
    assert_int_equal(add(HHTTP_GET, "/:a/b", 1), 0);
    assert_int_equal(hhttp_router_match(router, HHTTP_GET, path, len, &match), HV_ENOTFOUND);
    assert_int_equal(add(HHTTP_GET, "/*rest", 2), 0);
    assert_int_equal(hhttp_router_match(router, HHTTP_GET, path, len, &match), 0);
    assert_int_equal(match.params[0].value.len, len - 1);
    free(path);
}

#ifdef HV_FAULT_INJECTION
static void test_add_without_memory_fails_and_leaves_the_router_whole(void **state) {
    (void)state;
    assert_int_equal(add(HHTTP_GET, "/a", 1), 0);
    int status = HV_ENOMEM;
    for (uint64_t nth = 1; status == HV_ENOMEM; nth++) {
        assert_true(nth < 50);
        hv__mem_fail_nth(nth);
        status = add(HHTTP_GET, "/a/:b/c/*d", 2);
        assert_int_equal(status == HV_ENOMEM, hv__mem_has_failed());
        hv__mem_fail_nth(0);
        assert_int_equal(find(HHTTP_GET, "/a"), 1);
        assert_int_equal(find(HHTTP_GET, "/a/x/c/y"), status == 0 ? 2 : HV_ENOTFOUND);
    }
    assert_int_equal(status, 0);
}
#endif

#define ROUTER_TEST(function) cmocka_unit_test_setup_teardown(function, open_router, close_router)

int main(void) {
    const struct CMUnitTest tests[] = {
        ROUTER_TEST(test_literal_routes_are_told_apart),
        ROUTER_TEST(test_slashes_at_the_end_and_doubled_are_significant),
        ROUTER_TEST(test_params_give_raw_slices_of_the_path),
        ROUTER_TEST(test_rest_takes_slashes_and_may_be_empty),
        ROUTER_TEST(test_literal_beats_name_beats_rest),
        ROUTER_TEST(test_match_steps_back_where_the_better_one_leads_nowhere),
        ROUTER_TEST(test_literals_are_compared_decoded),
        ROUTER_TEST(test_an_encoded_slash_does_not_end_a_segment),
        ROUTER_TEST(test_a_colon_inside_a_segment_is_a_literal),
        ROUTER_TEST(test_what_is_no_path_finds_nothing),
        ROUTER_TEST(test_methods_of_one_path_are_told_apart),
        ROUTER_TEST(test_head_finds_get_unless_it_has_its_own),
        ROUTER_TEST(test_any_takes_what_no_other_route_of_the_path_takes),
        ROUTER_TEST(test_a_method_the_better_path_lacks_is_found_on_the_next),
        ROUTER_TEST(test_allow_mask_is_complete_after_a_match_too),
        ROUTER_TEST(test_names_belong_to_the_route_not_to_the_place),
        ROUTER_TEST(test_add_of_a_bad_pattern_is_refused),
        ROUTER_TEST(test_add_of_the_same_shape_and_method_is_refused),
        ROUTER_TEST(test_add_beyond_a_limit_is_refused),
        ROUTER_TEST(test_a_literal_of_the_greatest_length_is_found_encoded),
        ROUTER_TEST(test_many_literals_of_one_node_are_all_found),
        ROUTER_TEST(test_a_path_that_fits_every_route_finds_the_best),
        ROUTER_TEST(test_a_path_of_very_many_segments_ends_where_the_tree_does),
#ifdef HV_FAULT_INJECTION
        ROUTER_TEST(test_add_without_memory_fails_and_leaves_the_router_whole),
#endif
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
