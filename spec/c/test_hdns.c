/* Queries against a name server of our own on 127.0.0.1. No test asserts how long something took;
 * a test that would hang fails after PASSES_MAX passes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "fake_dns.h"
#include "hdns_int.h"
#include "hmem.h"

#define ENTRIES_MAX 64
#define PASSES_MAX  5000

typedef struct seen_s {
    int calls;
    int status;
    int was_in_api; /* the callback came before hdns_resolve had returned */
    size_t count;
    char text[ENTRIES_MAX][600];
    hdns_entry_t entries[ENTRIES_MAX];
    hdns_query_t *cancels; /* what the callback cancels */
    hloop_t *asks_again;   /* where the callback begins another query */
    hloop_t *configures;   /* where the callback changes the settings */
} seen_t;

static hloop_t *loop;
static fake_dns_t *dns;
static int inside_call;
static size_t blocks_before;

static void on_result(hdns_query_t *query, const hdns_result_t *result) {
    seen_t *seen = hevent_userdata(query);
    seen->calls++;
    seen->status = result->status;
    seen->was_in_api |= inside_call;
    seen->count = result->count;
    for (size_t i = 0; i < result->count && i < ENTRIES_MAX; i++) {
        seen->entries[i] = result->entries[i];
        snprintf(seen->text[i], sizeof seen->text[i], "%s", result->entries[i].text);
    }
    if (seen->cancels != NULL) hdns_cancel(seen->cancels);
    if (seen->configures != NULL) assert_int_equal(hdns_configure(seen->configures, NULL), 0);
    for (size_t i = 0; i < result->count && i < ENTRIES_MAX; i++) {
        assert_string_equal(seen->text[i], result->entries[i].text); /* still borrowed */
    }
    if (seen->asks_again != NULL) {
        hloop_t *again = seen->asks_again;
        seen->asks_again = NULL;
        hdns_resolve(again, "again.test", HDNS_A, NULL, on_result, seen);
    }
}

static hdns_query_t *ask_with(seen_t *seen, const char *name, hdns_type_e type,
                              const hdns_options_t *options) {
    inside_call = 1;
    hdns_query_t *query = hdns_resolve(loop, name, type, options, on_result, seen);
    inside_call = 0;
    return query;
}

static hdns_query_t *ask(seen_t *seen, const char *name, hdns_type_e type) {
    memset(seen, 0, sizeof *seen);
    hdns_query_t *query = ask_with(seen, name, type, NULL);
    assert_non_null(query);
    assert_int_equal(seen->calls, 0);
    return query;
}

static void pass(void) { assert_true(hloop_process_events(loop, 100) >= 0); }

static void run_until(const int *counter, int value) {
    for (int i = 0; i < PASSES_MAX && *counter < value; i++) pass();
    assert_int_equal(*counter, value);
}

static void resolve(seen_t *seen, const char *name, hdns_type_e type) {
    ask(seen, name, type);
    run_until(&seen->calls, 1);
    assert_false(seen->was_in_api);
    pass();
    assert_int_equal(seen->calls, 1);
}

static int set_up(void **state) {
    (void)state;
    blocks_before = hv__mem_live_blocks();
    loop = hloop_new(0);
    assert_non_null(loop);
    dns = fake_dns_open(loop);
    fake_dns_use(dns, loop, 100);
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    hloop_free(&loop);
    fake_dns_free(dns);
    assert_int_equal(hv__mem_live_blocks(), blocks_before);
    return 0;
}

/* ---- Answers ---- */

static void test_address_asked_for_a_gives_every_address(void **state) {
    (void)state;
    fake_dns_record(dns, "two.test", HDNS_A, HDNS_A, 60, "127.0.0.2");
    fake_dns_record(dns, "two.test", HDNS_A, HDNS_A, 30, "127.0.0.3");
    seen_t seen;
    resolve(&seen, "two.test", HDNS_A);
    assert_int_equal(seen.status, 0);
    assert_int_equal(seen.count, 2);
    int sum = atoi(seen.text[0] + 8) + atoi(seen.text[1] + 8);
    assert_int_equal(sum, 5);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(seen.entries[i].type, HDNS_A);
        assert_int_equal(seen.entries[i].addr.sa.sa_family, AF_INET);
        char text[INET_ADDRSTRLEN];
        inet_ntop(AF_INET, &seen.entries[i].addr.in.sin_addr, text, sizeof text);
        assert_string_equal(text, seen.text[i]);
        assert_int_equal(seen.entries[i].addr.in.sin_port, 0);
    }
}

static void test_address_asked_for_aaaa_gives_ipv6(void **state) {
    (void)state;
    fake_dns_record(dns, "six.test", HDNS_AAAA, HDNS_AAAA, 60, "::1");
    seen_t seen;
    resolve(&seen, "six.test", HDNS_AAAA);
    assert_int_equal(seen.status, 0);
    assert_int_equal(seen.count, 1);
    assert_string_equal(seen.text[0], "::1");
    assert_int_equal(seen.entries[0].addr.sa.sa_family, AF_INET6);
    assert_int_equal(seen.entries[0].ttl, 60);
}

static void test_address_of_both_families_comes_in_one_answer(void **state) {
    (void)state;
    fake_dns_record(dns, "both.test", HDNS_A, HDNS_A, 60, "127.0.0.2");
    fake_dns_record(dns, "both.test", HDNS_AAAA, HDNS_AAAA, 60, "::1");
    seen_t seen;
    resolve(&seen, "both.test", HDNS_ADDRESS);
    assert_int_equal(seen.status, 0);
    assert_int_equal(seen.count, 2);
    assert_int_not_equal(seen.entries[0].type, seen.entries[1].type);
}

static void test_alias_chain_gives_the_address_at_its_end(void **state) {
    (void)state;
    fake_dns_record(dns, "www.test", HDNS_A, HDNS_CNAME, 7, "web.test");
    fake_dns_record(dns, "www.test", HDNS_A, HDNS_A, 60, "127.0.0.9");
    seen_t seen;
    resolve(&seen, "www.test", HDNS_A);
    assert_int_equal(seen.status, 0);
    assert_int_equal(seen.count, 1);
    assert_string_equal(seen.text[0], "127.0.0.9");
}

static void test_mx_gives_names_by_priority(void **state) {
    (void)state;
    fake_dns_record(dns, "mail.test", HDNS_MX, HDNS_MX, 60, "20 second.mail.test");
    fake_dns_record(dns, "mail.test", HDNS_MX, HDNS_MX, 60, "10 first.mail.test");
    seen_t seen;
    resolve(&seen, "mail.test", HDNS_MX);
    assert_int_equal(seen.status, 0);
    assert_int_equal(seen.count, 2);
    assert_string_equal(seen.text[0], "first.mail.test");
    assert_int_equal(seen.entries[0].priority, 10);
    assert_string_equal(seen.text[1], "second.mail.test");
}

static void test_srv_gives_priority_weight_port_and_target(void **state) {
    (void)state;
    fake_dns_record(dns, "_x._tcp.test", HDNS_SRV, HDNS_SRV, 60, "2 30 8080 b.test");
    fake_dns_record(dns, "_x._tcp.test", HDNS_SRV, HDNS_SRV, 60, "1 40 9090 a.test");
    seen_t seen;
    resolve(&seen, "_x._tcp.test", HDNS_SRV);
    assert_int_equal(seen.status, 0);
    assert_int_equal(seen.count, 2);
    assert_string_equal(seen.text[0], "a.test");
    assert_int_equal(seen.entries[0].priority, 1);
    assert_int_equal(seen.entries[0].weight, 40);
    assert_int_equal(seen.entries[0].port, 9090);
}

static void test_txt_longer_than_one_string_comes_whole(void **state) {
    (void)state;
    char long_text[301];
    memset(long_text, 'x', 300);
    long_text[300] = '\0';
    fake_dns_record(dns, "txt.test", HDNS_TXT, HDNS_TXT, 60, long_text);
    fake_dns_record(dns, "txt.test", HDNS_TXT, HDNS_TXT, 60, "");
    seen_t seen;
    resolve(&seen, "txt.test", HDNS_TXT);
    assert_int_equal(seen.status, 0);
    assert_int_equal(seen.count, 2);
    assert_string_equal(seen.text[0], long_text);
    assert_int_equal(seen.entries[0].text_len, 300);
    assert_int_equal(seen.entries[1].text_len, 0);
}

static void test_cname_and_ns_give_names(void **state) {
    (void)state;
    fake_dns_record(dns, "www.test", HDNS_CNAME, HDNS_CNAME, 60, "web.test");
    fake_dns_record(dns, "zone.test", HDNS_NS, HDNS_NS, 60, "ns1.test");
    seen_t seen;
    resolve(&seen, "www.test", HDNS_CNAME);
    assert_int_equal(seen.status, 0);
    assert_string_equal(seen.text[0], "web.test");
    resolve(&seen, "zone.test", HDNS_NS);
    assert_int_equal(seen.status, 0);
    assert_string_equal(seen.text[0], "ns1.test");
}

static void test_ptr_takes_a_literal_or_the_reverse_name(void **state) {
    (void)state;
    fake_dns_record(dns, "7.2.0.192.in-addr.arpa", HDNS_PTR, HDNS_PTR, 60, "seven.test");
    seen_t seen;
    resolve(&seen, "192.0.2.7", HDNS_PTR);
    assert_int_equal(seen.status, 0);
    assert_int_equal(seen.count, 1);
    assert_string_equal(seen.text[0], "seven.test");
    resolve(&seen, "7.2.0.192.in-addr.arpa", HDNS_PTR);
    assert_int_equal(seen.status, 0);
    assert_string_equal(seen.text[0], "seven.test");
}

static void test_answer_of_many_addresses_comes_whole(void **state) {
    (void)state;
    for (int i = 1; i <= 25; i++) {
        char address[20];
        snprintf(address, sizeof address, "127.0.1.%d", i);
        fake_dns_record(dns, "many.test", HDNS_A, HDNS_A, 60, address);
    }
    seen_t seen;
    resolve(&seen, "many.test", HDNS_A);
    assert_int_equal(seen.status, 0);
    assert_int_equal(seen.count, 25);
}

static void test_truncated_answer_is_asked_for_again_by_tcp(void **state) {
    (void)state;
    fake_dns_use(dns, loop, 5000);
    for (int i = 1; i <= 30; i++) {
        char address[20];
        snprintf(address, sizeof address, "127.0.2.%d", i);
        fake_dns_record(dns, "big.test", HDNS_A, HDNS_A, 60, address);
    }
    fake_dns_rule(dns, "big.test", HDNS_A, FAKE_DNS_TRUNCATED, 0);
    seen_t seen;
    resolve(&seen, "big.test", HDNS_A);
    assert_int_equal(seen.status, 0);
    assert_int_equal(seen.count, 30);
    assert_int_equal(fake_dns_tcp_questions(dns), 1);
}

/* ---- Failures ---- */

static void test_name_nobody_has_is_not_found(void **state) {
    (void)state;
    seen_t seen;
    resolve(&seen, "none.test", HDNS_A);
    assert_int_equal(seen.status, HV_ENOTFOUND);
    assert_int_equal(seen.count, 0);
    resolve(&seen, "none.test", HDNS_TXT);
    assert_int_equal(seen.status, HV_ENOTFOUND);
    resolve(&seen, "none.test", HDNS_ADDRESS);
    assert_int_equal(seen.status, HV_ENOTFOUND);
}

static void test_name_without_such_a_record_is_not_found(void **state) {
    (void)state;
    fake_dns_record(dns, "four.test", HDNS_A, HDNS_A, 60, "127.0.0.4");
    seen_t seen;
    resolve(&seen, "four.test", HDNS_AAAA);
    assert_int_equal(seen.status, HV_ENOTFOUND);
    resolve(&seen, "four.test", HDNS_MX);
    assert_int_equal(seen.status, HV_ENOTFOUND);
}

static void test_server_that_fails_is_a_remote_error(void **state) {
    (void)state;
    fake_dns_rule(dns, "fail.test", HDNS_A, FAKE_DNS_SERVFAIL, 0);
    fake_dns_rule(dns, "fail.test", HDNS_SRV, FAKE_DNS_SERVFAIL, 0);
    seen_t seen;
    resolve(&seen, "fail.test", HDNS_A);
    assert_int_equal(seen.status, -EREMOTEIO);
    resolve(&seen, "fail.test", HDNS_SRV);
    assert_int_equal(seen.status, -EREMOTEIO);
}

static void test_server_that_is_silent_times_out(void **state) {
    (void)state;
    fake_dns_rule(dns, "mute.test", HDNS_A, FAKE_DNS_SILENT, 0);
    fake_dns_rule(dns, "mute.test", HDNS_TXT, FAKE_DNS_SILENT, 0);
    seen_t seen;
    resolve(&seen, "mute.test", HDNS_A);
    assert_int_equal(seen.status, HV_ETIMEDOUT);
    resolve(&seen, "mute.test", HDNS_TXT);
    assert_int_equal(seen.status, HV_ETIMEDOUT);
}

static void test_query_timeout_shorter_than_the_attempts_ends_the_query(void **state) {
    (void)state;
    fake_dns_use(dns, loop, 60000);
    fake_dns_rule(dns, "mute.test", HDNS_A, FAKE_DNS_SILENT, 0);
    seen_t seen = {0};
    hdns_options_t options = {.timeout_ms = 20};
    assert_non_null(ask_with(&seen, "mute.test", HDNS_A, &options));
    run_until(&seen.calls, 1);
    assert_int_equal(seen.status, HV_ETIMEDOUT);
    /* What c-ares still had of it is ended too. */
    hv__dns_t *inside = ((hnet_t *)loop->net)->dns;
    assert_int_equal(inside->count, 0);
    pass();
    assert_int_equal(hloop_ntimers(loop), 0);
}

static void test_no_server_at_the_port_is_a_remote_error(void **state) {
    (void)state;
    /* A port that was just free: bound here, so that nobody else takes it, and not read from. */
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    struct sockaddr_in addr = {.sin_family = AF_INET};
    addr.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t len = sizeof addr;
    assert_int_equal(bind(fd, (struct sockaddr *)&addr, len), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&addr, &len), 0);
    close(fd);
    char servers[32];
    snprintf(servers, sizeof servers, "127.0.0.1:%d", ntohs(addr.sin_port));
    hdns_config_t config = {
        .servers = servers, .search = "", .attempt_timeout_ms = 50, .rounds = 1};
    assert_int_equal(hdns_configure(loop, &config), 0);
    seen_t seen;
    resolve(&seen, "any.test", HDNS_A);
    assert_int_equal(seen.status, -EREMOTEIO);
}

static void test_garbage_is_not_taken_for_an_answer(void **state) {
    (void)state;
    fake_dns_record(dns, "odd.test", HDNS_A, HDNS_A, 60, "127.0.0.4");
    fake_dns_rule(dns, "odd.test", HDNS_A, FAKE_DNS_GARBAGE, 0);
    fake_dns_record(dns, "odd.test", HDNS_TXT, HDNS_TXT, 60, "text");
    fake_dns_rule(dns, "odd.test", HDNS_TXT, FAKE_DNS_GARBAGE, 0);
    seen_t seen;
    resolve(&seen, "odd.test", HDNS_A);
    assert_int_not_equal(seen.status, 0);
    assert_int_equal(seen.count, 0);
    resolve(&seen, "odd.test", HDNS_TXT);
    assert_int_not_equal(seen.status, 0);
}

static void test_answer_that_is_cut_off_is_a_protocol_error(void **state) {
    (void)state;
    fake_dns_record(dns, "cut.test", HDNS_TXT, HDNS_TXT, 60, "text");
    fake_dns_rule(dns, "cut.test", HDNS_TXT, FAKE_DNS_CUT, 0);
    seen_t seen;
    resolve(&seen, "cut.test", HDNS_TXT);
    assert_int_equal(seen.status, HV_EPROTO);
}

static void test_answer_with_a_wrong_id_is_passed_over(void **state) {
    (void)state;
    fake_dns_record(dns, "spoof.test", HDNS_A, HDNS_A, 60, "127.0.0.4");
    fake_dns_rule(dns, "spoof.test", HDNS_A, FAKE_DNS_WRONG_ID, 0);
    seen_t seen;
    resolve(&seen, "spoof.test", HDNS_A);
    assert_int_equal(seen.status, 0);
    assert_int_equal(seen.count, 1);
    assert_string_equal(seen.text[0], "127.0.0.4");
}

static void test_names_that_cannot_be_are_refused_at_once(void **state) {
    (void)state;
    seen_t seen = {0};
    char long_name[HDNS_NAME_MAX + 2];
    memset(long_name, 'a', sizeof long_name - 1);
    long_name[sizeof long_name - 1] = '\0';
    const char *names[] = {NULL, "", long_name};
    for (size_t i = 0; i < 3; i++) {
        assert_null(ask_with(&seen, names[i], HDNS_A, NULL));
        assert_int_equal(hloop_last_error(loop), HV_EINVAL);
    }
    assert_null(ask_with(&seen, "a.test", (hdns_type_e)99, NULL));
    assert_int_equal(hloop_last_error(loop), HV_EINVAL);
    pass();
    assert_int_equal(seen.calls, 0);
    /* What only c-ares can tell is told later: a label of more than 63 bytes. */
    long_name[100] = '\0';
    seen_t late;
    resolve(&late, long_name, HDNS_TXT);
    assert_int_equal(late.status, HV_EINVAL);
}

/* ---- Without a question ---- */

static void test_literal_is_answered_without_a_question(void **state) {
    (void)state;
    seen_t seen;
    resolve(&seen, "127.0.0.1", HDNS_ADDRESS);
    assert_int_equal(seen.status, 0);
    assert_string_equal(seen.text[0], "127.0.0.1");
    resolve(&seen, "[::1]", HDNS_AAAA);
    assert_int_equal(seen.status, 0);
    assert_string_equal(seen.text[0], "::1");
    resolve(&seen, "::1", HDNS_A);
    assert_int_equal(seen.status, HV_ENOTFOUND);
    assert_int_equal(fake_dns_questions(dns), 0);
}

static void test_localhost_is_loopback_without_a_question(void **state) {
    (void)state;
    seen_t seen;
    resolve(&seen, "localhost", HDNS_A);
    assert_int_equal(seen.status, 0);
    assert_string_equal(seen.text[0], "127.0.0.1");
    assert_int_equal(fake_dns_questions(dns), 0);
}

/* The first name of the hosts file whose address is an IPv4 one and that is not localhost. */
static int find_in_hosts(char name[64], char address[64]) {
    FILE *file = fopen("/etc/hosts", "r");
    char line[256];
    int is_found = 0;
    while (file != NULL && !is_found && fgets(line, sizeof line, file) != NULL) {
        struct in_addr ignored;
        is_found = sscanf(line, "%63s %63s", address, name) == 2 &&
                   inet_pton(AF_INET, address, &ignored) == 1 && strncmp(name, "localhost", 9) != 0;
    }
    if (file != NULL) fclose(file);
    return is_found;
}

static void test_name_of_the_hosts_file_is_answered_without_a_question(void **state) {
    (void)state;
    char name[64], address[64];
    if (!find_in_hosts(name, address)) skip();
    seen_t seen;
    resolve(&seen, name, HDNS_A);
    assert_int_equal(seen.status, 0);
    assert_string_equal(seen.text[0], address);
    assert_int_equal(fake_dns_questions(dns), 0);
}

static void test_answer_is_kept_as_long_as_its_ttl(void **state) {
    (void)state;
    fake_dns_record(dns, "kept.test", HDNS_A, HDNS_A, 60, "127.0.0.4");
    fake_dns_record(dns, "fresh.test", HDNS_A, HDNS_A, 0, "127.0.0.5");
    seen_t seen;
    resolve(&seen, "kept.test", HDNS_A);
    resolve(&seen, "KEPT.test", HDNS_A);
    assert_int_equal(seen.status, 0);
    assert_string_equal(seen.text[0], "127.0.0.4");
    assert_int_equal(fake_dns_questions(dns), 1);
    resolve(&seen, "fresh.test", HDNS_A);
    resolve(&seen, "fresh.test", HDNS_A);
    assert_int_equal(fake_dns_questions(dns), 3);
    /* Another type is another answer. */
    resolve(&seen, "kept.test", HDNS_TXT);
    assert_int_equal(seen.status, HV_ENOTFOUND);
    assert_int_equal(fake_dns_questions(dns), 4);
}

static void test_cache_switched_off_asks_each_time(void **state) {
    (void)state;
    fake_dns_record(dns, "kept.test", HDNS_A, HDNS_A, 60, "127.0.0.4");
    hdns_options_t options = {.flags = HDNS_NO_CACHE};
    for (int i = 1; i <= 2; i++) {
        seen_t seen = {0};
        assert_non_null(ask_with(&seen, "kept.test", HDNS_A, &options));
        run_until(&seen.calls, 1);
        assert_int_equal(fake_dns_questions(dns), i);
    }
    char servers[32];
    snprintf(servers, sizeof servers, "127.0.0.1:%d", fake_dns_port(dns));
    hdns_config_t config = {.servers = servers, .search = "", .cache_entries = -1};
    assert_int_equal(hdns_configure(loop, &config), 0);
    for (int i = 3; i <= 4; i++) {
        seen_t seen;
        resolve(&seen, "kept.test", HDNS_A);
        assert_int_equal(fake_dns_questions(dns), i);
    }
}

static void test_cache_is_bounded_and_drops_what_is_longest_unused(void **state) {
    (void)state;
    hdns_cache_t cache = {.cap = 2};
    hdns_answer_t *answer = hdns_answer_new();
    struct sockaddr_in addr = {.sin_family = AF_INET};
    assert_int_equal(hdns_answer_add_address(answer, 10, (struct sockaddr *)&addr), 0);
    hdns_cache_keep(&cache, "a", HDNS_A, answer, 0);
    hdns_cache_keep(&cache, "b", HDNS_A, answer, 0);
    assert_ptr_equal(hdns_cache_find(&cache, "a", HDNS_A, 1), answer);
    hdns_cache_keep(&cache, "c", HDNS_A, answer, 2);
    assert_non_null(hdns_cache_find(&cache, "a", HDNS_A, 3));
    assert_null(hdns_cache_find(&cache, "b", HDNS_A, 3));
    assert_non_null(hdns_cache_find(&cache, "c", HDNS_A, 3));
    assert_null(hdns_cache_find(&cache, "a", HDNS_A, 10000000));
    assert_int_equal(answer->refs, 2);
    hdns_cache_deinit(&cache);
    assert_int_equal(answer->refs, 1);
    hdns_answer_unref(answer);
}

/* ---- Settings ---- */

static void test_search_list_is_tried_for_addresses(void **state) {
    (void)state;
    fake_dns_record(dns, "host.inner.test", HDNS_A, HDNS_A, 60, "127.0.0.6");
    char servers[32];
    snprintf(servers, sizeof servers, "127.0.0.1:%d", fake_dns_port(dns));
    hdns_config_t config = {.servers = servers, .search = "outer.test inner.test"};
    assert_int_equal(hdns_configure(loop, &config), 0);
    seen_t seen;
    resolve(&seen, "host", HDNS_A);
    assert_int_equal(seen.status, 0);
    assert_string_equal(seen.text[0], "127.0.0.6");
    resolve(&seen, "host.", HDNS_A);
    assert_int_equal(seen.status, HV_ENOTFOUND);
}

static void test_settings_that_cannot_be_are_refused(void **state) {
    (void)state;
    hdns_config_t bad_servers = {.servers = "not an address"};
    assert_int_equal(hdns_configure(loop, &bad_servers), HV_EINVAL);
    hdns_config_t bad_cache = {.cache_entries = HDNS_CACHE_ENTRIES_MAX + 1};
    assert_int_equal(hdns_configure(loop, &bad_cache), HV_EINVAL);
    hdns_config_t bad_rounds = {.rounds = 1000};
    assert_int_equal(hdns_configure(loop, &bad_rounds), HV_EINVAL);
    /* The old ones are still there. */
    fake_dns_record(dns, "a.test", HDNS_A, HDNS_A, 60, "127.0.0.2");
    seen_t seen;
    ask(&seen, "a.test", HDNS_A);
    assert_int_equal(hdns_configure(loop, NULL), HV_EBUSY);
    run_until(&seen.calls, 1);
    assert_int_equal(seen.status, 0);
    assert_int_equal(hdns_configure(loop, NULL), 0);
}

static void test_settings_may_change_in_the_callback_of_the_last_query(void **state) {
    (void)state;
    fake_dns_record(dns, "a.test", HDNS_A, HDNS_A, 60, "127.0.0.2");
    seen_t seen;
    ask(&seen, "a.test", HDNS_A);
    seen.configures = loop;
    run_until(&seen.calls, 1);
    assert_int_equal(seen.status, 0);
}

/* ---- Cancel ---- */

static void test_cancel_before_the_question_left_reports_canceled(void **state) {
    (void)state;
    fake_dns_record(dns, "a.test", HDNS_A, HDNS_A, 60, "127.0.0.2");
    seen_t seen;
    hdns_query_t *query = ask(&seen, "a.test", HDNS_A);
    hdns_cancel(query);
    hdns_cancel(query);
    assert_int_equal(seen.calls, 0);
    resolve(&(seen_t){0}, "127.0.0.1", HDNS_A);
    assert_int_equal(seen.calls, 1);
    assert_int_equal(seen.status, HV_ECANCELED);
    pass();
    assert_int_equal(hdns_queries(loop), 0);
}

static void test_cancel_while_the_server_waits_reports_canceled(void **state) {
    (void)state;
    fake_dns_rule(dns, "mute.test", HDNS_A, FAKE_DNS_SILENT, 0);
    seen_t seen;
    hdns_query_t *query = ask(&seen, "mute.test", HDNS_A);
    for (int i = 0; i < PASSES_MAX && fake_dns_questions(dns) == 0; i++) pass();
    assert_int_equal(fake_dns_questions(dns), 1);
    hdns_cancel(query);
    run_until(&seen.calls, 1);
    assert_int_equal(seen.status, HV_ECANCELED);
}

static void test_cancel_of_a_result_not_yet_reported_reports_canceled(void **state) {
    (void)state;
    seen_t literal, failed;
    hdns_cancel(ask(&literal, "127.0.0.1", HDNS_A));
    hdns_cancel(ask(&failed, "::1", HDNS_A));
    run_until(&literal.calls, 1);
    run_until(&failed.calls, 1);
    assert_int_equal(literal.status, HV_ECANCELED);
    assert_int_equal(literal.count, 0);
    assert_int_equal(failed.status, HV_ECANCELED);
}

static void test_cancel_of_one_query_leaves_the_others(void **state) {
    (void)state;
    fake_dns_rule(dns, "mute.test", HDNS_A, FAKE_DNS_SILENT, 0);
    fake_dns_record(dns, "slow.test", HDNS_A, HDNS_A, 60, "127.0.0.2");
    fake_dns_rule(dns, "slow.test", HDNS_A, FAKE_DNS_ANSWER, 20);
    seen_t mute, slow;
    hdns_query_t *query = ask(&mute, "mute.test", HDNS_A);
    ask(&slow, "slow.test", HDNS_A);
    hdns_cancel(query);
    run_until(&mute.calls, 1);
    assert_int_equal(mute.status, HV_ECANCELED);
    run_until(&slow.calls, 1);
    assert_int_equal(slow.status, 0);
    assert_int_equal(hdns_queries(loop), 0);
}

static void test_cancel_inside_callbacks_is_harmless(void **state) {
    (void)state;
    fake_dns_rule(dns, "mute.test", HDNS_A, FAKE_DNS_SILENT, 0);
    seen_t first, second;
    hdns_query_t *other = ask(&second, "mute.test", HDNS_A);
    ask(&first, "127.0.0.1", HDNS_A);
    first.cancels = other;
    run_until(&second.calls, 1);
    assert_int_equal(first.status, 0);
    assert_int_equal(second.status, HV_ECANCELED);
    /* Its own query. */
    hdns_query_t *own = ask(&first, "127.0.0.1", HDNS_A);
    first.cancels = own;
    run_until(&first.calls, 1);
    pass();
    assert_int_equal(first.calls, 1);
    assert_int_equal(first.status, 0);
}

static void test_query_begun_in_a_callback_waits_for_its_own(void **state) {
    (void)state;
    fake_dns_record(dns, "again.test", HDNS_A, HDNS_A, 60, "127.0.0.8");
    seen_t seen;
    ask(&seen, "127.0.0.1", HDNS_A);
    seen.asks_again = loop;
    run_until(&seen.calls, 2);
    assert_int_equal(seen.status, 0);
    assert_string_equal(seen.text[0], "127.0.0.8");
}

static void test_loop_freed_with_queries_in_every_phase_reports_each_once(void **state) {
    (void)state;
    fake_dns_rule(dns, "mute.test", HDNS_A, FAKE_DNS_SILENT, 0);
    fake_dns_rule(dns, "mute.test", HDNS_MX, FAKE_DNS_SILENT, 0);
    seen_t asked, new, known, canceled;
    ask(&asked, "mute.test", HDNS_A);
    for (int i = 0; i < PASSES_MAX && fake_dns_questions(dns) == 0; i++) pass();
    ask(&new, "mute.test", HDNS_MX);
    ask(&known, "127.0.0.1", HDNS_A);
    hdns_cancel(ask(&canceled, "mute.test", HDNS_A));
    asked.asks_again = loop; /* refused: the loop is being freed */
    assert_int_equal(hdns_queries(loop), 4);
    hloop_free(&loop);
    seen_t *all[] = {&asked, &new, &known, &canceled};
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(all[i]->calls, 1);
        assert_int_equal(all[i]->status, HV_ECANCELED);
    }
}

static void test_running_query_keeps_the_loop_running(void **state) {
    (void)state;
    hloop_t *quitting = hloop_new(HLOOP_FLAG_QUIT_WHEN_NO_ACTIVE_EVENTS);
    seen_t seen = {0}, unreferenced = {0};
    assert_non_null(hdns_resolve(quitting, "127.0.0.1", HDNS_A, NULL, on_result, &seen));
    assert_int_equal(hloop_nactives(quitting), 1);
    hdns_query_t *query = hdns_resolve(quitting, "::1", HDNS_A, NULL, on_result, &unreferenced);
    hevent_unref(query);
    assert_int_equal(hloop_nactives(quitting), 1);
    assert_int_equal(hloop_run(quitting), 0);
    assert_int_equal(seen.calls, 1);
    assert_int_equal(hloop_nactives(quitting), 0);
    hloop_free(&quitting);
}

/* ---- Messages ---- */

static const unsigned char mx_message[] =
    "\x12\x34\x81\x80\0\1\0\2\0\0\0\0"
    "\1a\4test\0\0\x0F\0\1"
    "\xC0\x0C\0\x0F\0\1\0\0\0\x3C\0\7\0\x0A\2m1\xC0\x0E"
    "\xC0\x0C\0\x0F\0\1\0\0\0\x1E\0\x0B\0\5\3m.2\2\\\7\xC0\x0E";

static void test_message_names_are_expanded_and_escaped(void **state) {
    (void)state;
    hdns_answer_t *answer = hdns_answer_new();
    unsigned char message[sizeof mx_message - 1];
    memcpy(message, mx_message, sizeof message);
    assert_int_equal(hdns_answer_read(answer, HDNS_MX, message, sizeof message), 0);
    assert_int_equal(answer->count, 2);
    assert_string_equal(answer->entries[0].text, "m\\.2.\\\\\\007.test");
    assert_int_equal(answer->entries[0].priority, 5);
    assert_string_equal(answer->entries[1].text, "m1.test");
    assert_int_equal(answer->ttl, 30);
    hdns_answer_unref(answer);
}

static void test_message_cut_anywhere_is_a_protocol_error(void **state) {
    (void)state;
    for (size_t len = 0; len < sizeof mx_message - 1; len++) {
        hdns_answer_t *answer = hdns_answer_new();
        unsigned char *cut = malloc(len + 1); /* a block of its own, for the sanitizer to guard */
        memcpy(cut, mx_message, len);
        unsigned char *exact = realloc(cut, len > 0 ? len : 1);
        assert_int_equal(hdns_answer_read(answer, HDNS_MX, exact, len), HV_EPROTO);
        free(exact);
        hdns_answer_unref(answer);
    }
}

static void test_message_pointers_that_do_not_go_back_are_refused(void **state) {
    (void)state;
    static const char *const names[] = {"\xC0\x0C", "\xC0\x0D", "\xC0\xFF", "\x80", "\x40"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        unsigned char message[12 + 2 + 4] = {0, 1, 0x81, 0x80, 0, 1, 0, 0, 0, 0, 0, 0};
        memcpy(message + 12, names[i], strlen(names[i]));
        hdns_answer_t *answer = hdns_answer_new();
        assert_int_equal(hdns_answer_read(answer, HDNS_A, message, sizeof message), HV_EPROTO);
        hdns_answer_unref(answer);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_address_asked_for_a_gives_every_address),
        TEST(test_address_asked_for_aaaa_gives_ipv6),
        TEST(test_address_of_both_families_comes_in_one_answer),
        TEST(test_alias_chain_gives_the_address_at_its_end),
        TEST(test_mx_gives_names_by_priority),
        TEST(test_srv_gives_priority_weight_port_and_target),
        TEST(test_txt_longer_than_one_string_comes_whole),
        TEST(test_cname_and_ns_give_names),
        TEST(test_ptr_takes_a_literal_or_the_reverse_name),
        TEST(test_answer_of_many_addresses_comes_whole),
        TEST(test_truncated_answer_is_asked_for_again_by_tcp),
        TEST(test_name_nobody_has_is_not_found),
        TEST(test_name_without_such_a_record_is_not_found),
        TEST(test_server_that_fails_is_a_remote_error),
        TEST(test_server_that_is_silent_times_out),
        TEST(test_query_timeout_shorter_than_the_attempts_ends_the_query),
        TEST(test_no_server_at_the_port_is_a_remote_error),
        TEST(test_garbage_is_not_taken_for_an_answer),
        TEST(test_answer_that_is_cut_off_is_a_protocol_error),
        TEST(test_answer_with_a_wrong_id_is_passed_over),
        TEST(test_names_that_cannot_be_are_refused_at_once),
        TEST(test_literal_is_answered_without_a_question),
        TEST(test_localhost_is_loopback_without_a_question),
        TEST(test_name_of_the_hosts_file_is_answered_without_a_question),
        TEST(test_answer_is_kept_as_long_as_its_ttl),
        TEST(test_cache_switched_off_asks_each_time),
        TEST(test_cache_is_bounded_and_drops_what_is_longest_unused),
        TEST(test_search_list_is_tried_for_addresses),
        TEST(test_settings_that_cannot_be_are_refused),
        TEST(test_settings_may_change_in_the_callback_of_the_last_query),
        TEST(test_cancel_before_the_question_left_reports_canceled),
        TEST(test_cancel_while_the_server_waits_reports_canceled),
        TEST(test_cancel_of_a_result_not_yet_reported_reports_canceled),
        TEST(test_cancel_of_one_query_leaves_the_others),
        TEST(test_cancel_inside_callbacks_is_harmless),
        TEST(test_query_begun_in_a_callback_waits_for_its_own),
        TEST(test_loop_freed_with_queries_in_every_phase_reports_each_once),
        TEST(test_running_query_keeps_the_loop_running),
        TEST(test_message_names_are_expanded_and_escaped),
        TEST(test_message_cut_anywhere_is_a_protocol_error),
        TEST(test_message_pointers_that_do_not_go_back_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
