/* mqtt_topic.c - names and filters of topics (5 4.7): levels between slashes, '+' for any one
 * level, '#' at the end for any number of them. */
#include "mqtt_packet.h"

#define TOPIC_BYTES_MAX UINT16_MAX

int hmqtt_topic_is_valid(hmqtt_bytes_t topic) {
    if (topic.len == 0 || topic.len > TOPIC_BYTES_MAX || !mqtt_text_is_valid(topic)) return 0;
    return memchr(topic.data, '+', topic.len) == NULL && memchr(topic.data, '#', topic.len) == NULL;
}

/* What a shared subscription asks for: "$share/group/filter" (5 4.8.2). Where it is none, the
 * filter itself. Returns 0 where it is one that is not well formed. */
static int filter_within(hmqtt_bytes_t filter, hmqtt_bytes_t *within) {
    static const char prefix[] = "$share/";
    size_t prefix_len = sizeof prefix - 1;
    *within = filter;
    if (filter.len < prefix_len || memcmp(filter.data, prefix, prefix_len) != 0) return 1;
    const char *group = filter.data + prefix_len, *end = filter.data + filter.len;
    const char *slash = memchr(group, '/', (size_t)(end - group));
    if (slash == NULL || slash == group) return 0;
    size_t group_len = (size_t)(slash - group);
    if (memchr(group, '+', group_len) != NULL || memchr(group, '#', group_len) != NULL) return 0;
    *within = (hmqtt_bytes_t){slash + 1, (uint32_t)(end - slash - 1)};
    return within->len > 0;
}

int hmqtt_filter_is_valid(hmqtt_bytes_t filter) {
    if (filter.len == 0 || filter.len > TOPIC_BYTES_MAX || !mqtt_text_is_valid(filter)) return 0;
    hmqtt_bytes_t within;
    if (!filter_within(filter, &within)) return 0;
    const char *at = within.data, *end = at + within.len;
    for (const char *each = at; each < end; each++) {
        if (*each != '+' && *each != '#') continue;
        int begins = each == at || each[-1] == '/';
        int ends = each + 1 == end || (*each == '+' && each[1] == '/');
        if (!begins || !ends) return 0;
    }
    return 1;
}

/* The length of the level at `at`. */
static size_t level_len(const char *at, const char *end) {
    const char *slash = memchr(at, '/', (size_t)(end - at));
    return (size_t)((slash != NULL ? slash : end) - at);
}

int hmqtt_filter_matches(hmqtt_bytes_t filter, hmqtt_bytes_t topic) {
    hmqtt_bytes_t within;
    if (filter.len == 0 || topic.len == 0 || !filter_within(filter, &within)) return 0;
    const char *f = within.data, *f_end = f + within.len;
    const char *t = topic.data, *t_end = t + topic.len;
    /* Wildcards do not reach what begins with '$' (5 4.7.2). */
    if (*t == '$' && (*f == '+' || *f == '#')) return 0;
    for (;;) {
        size_t f_len = level_len(f, f_end), t_len = level_len(t, t_end);
        if (f_len == 1 && *f == '#') return 1;
        int is_any = f_len == 1 && *f == '+';
        if (!is_any && (f_len != t_len || memcmp(f, t, f_len) != 0)) return 0;
        f += f_len, t += t_len;
        /* "a/#" also asks for "a" itself. */
        if (t == t_end) return f == f_end || (f_end - f == 2 && f[1] == '#');
        if (f == f_end) return 0;
        f++, t++;
    }
}
