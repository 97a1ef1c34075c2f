/* Tests of mqtt_topic.c; the examples of MQTT 5, section 4.7, are among them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "hmqtt.h"

static hmqtt_bytes_t bytes_of(const char *text) {
    return (hmqtt_bytes_t){text, (uint32_t)strlen(text)};
}

static void test_topics_have_no_wildcards(void **state) {
    (void)state;
    static const char *const good[] = {"a", "/", "a/b", "/finance", "a//b", "Accounts payable",
                                       "$SYS/x", "\xc3\xa4"};
    static const char *const bad[] = {"", "+", "a/#", "a/+/b", "\xff", "\xed\xa0\x80"};
    for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
        assert_true(hmqtt_topic_is_valid(bytes_of(good[i])));
    }
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        assert_false(hmqtt_topic_is_valid(bytes_of(bad[i])));
    }
    assert_false(hmqtt_topic_is_valid((hmqtt_bytes_t){"a\0b", 3}));
    char *longest = calloc(1, 65537);
    memset(longest, 'a', 65536);
    assert_true(hmqtt_topic_is_valid((hmqtt_bytes_t){longest, 65535}));
    assert_false(hmqtt_topic_is_valid((hmqtt_bytes_t){longest, 65536}));
    free(longest);
}

static void test_filters_have_wildcards_as_whole_levels(void **state) {
    (void)state;
    static const char *const good[] = {"a", "#", "+", "a/#", "a/+", "+/a", "+/+/#", "/+", "a//+",
                                       "$share/g/a", "$share/g/#", "$share/g//", "$SYS/#"};
    static const char *const bad[] = {"", "a#", "#/a", "a/#/b", "a+", "+a", "a/+b", "##",
                                      "$share/", "$share/g", "$share//a", "$share/g/", "$share/+/a",
                                      "$share/#/a", "$share/g/a#"};
    for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
        if (!hmqtt_filter_is_valid(bytes_of(good[i]))) fail_msg("%s", good[i]);
    }
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        if (hmqtt_filter_is_valid(bytes_of(bad[i]))) fail_msg("%s", bad[i]);
    }
}

static void test_filters_match_topics(void **state) {
    (void)state;
    static const struct {
        const char *filter, *topic;
        int matches;
    } cases[] = {
        {"sport/tennis/player1/#", "sport/tennis/player1", 1},
        {"sport/tennis/player1/#", "sport/tennis/player1/ranking", 1},
        {"sport/tennis/player1/#", "sport/tennis/player1/score/wimbledon", 1},
        {"sport/tennis/player1/#", "sport/tennis/player12", 0},
        {"sport/#", "sport", 1},
        {"#", "a/b", 1},
        {"#", "/", 1},
        {"sport/tennis/+", "sport/tennis/player1", 1},
        {"sport/tennis/+", "sport/tennis/player1/ranking", 0},
        {"sport/+", "sport", 0},
        {"sport/+", "sport/", 1},
        {"+/+", "/finance", 1},
        {"/+", "/finance", 1},
        {"+", "/finance", 0},
        {"+", "a", 1},
        {"+/b/#", "a/b", 1},
        {"+/b/#", "a/c", 0},
        {"a/b", "a/b", 1},
        {"a/b", "a/b/", 0},
        {"a/b/", "a/b", 0},
        {"a/b", "A/b", 0},
        {"a//b", "a//b", 1},
        {"a/+/b", "a//b", 1},
        {"#", "$SYS/x", 0},
        {"+/x", "$SYS/x", 0},
        {"$SYS/#", "$SYS/x", 1},
        {"$SYS/+", "$SYS/x", 1},
        {"$share/g/a/+", "a/b", 1},
        {"$share/g/#", "a/b", 1},
        {"$share/g/#", "$SYS/x", 0},
        {"$share/g/a", "b", 0},
        {"ab", "a", 0},
        {"a", "ab", 0},
        {"a/#", "ab", 0},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        int is = hmqtt_filter_matches(bytes_of(cases[i].filter), bytes_of(cases[i].topic));
        if (is != cases[i].matches) fail_msg("%s %s", cases[i].filter, cases[i].topic);
    }
    assert_false(hmqtt_filter_matches(bytes_of(""), bytes_of("a")));
    assert_false(hmqtt_filter_matches(bytes_of("a"), bytes_of("")));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_topics_have_no_wildcards),
        cmocka_unit_test(test_filters_have_wildcards_as_whole_levels),
        cmocka_unit_test(test_filters_match_topics),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
