/* Tests of runtime/shm/: what a dictionary holds, forgets and survives. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include "hclock.h"
#include "hdict_int.h"

#define BYTES 65536u

/* A fork costs a hundred times as much in a build for races, of which these have none. */
#if defined(__SANITIZE_THREAD__)
#define KILLS  10
#define STRIDE 4999
#else
#define KILLS  100
#define STRIDE 97
#endif

static hdict_t *dict;

static int set_up(void **state) {
    (void)state;
    void *memory = mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) return 1;
    dict = hdict_format(memory, BYTES);
    return dict == NULL;
}

static int tear_down(void **state) {
    (void)state;
    hclock_use_real();
    int is_good = hdict__lock(dict) == 0 && hdict__check(dict);
    hdict__unlock(dict);
    munmap(dict, BYTES);
    return !is_good;
}

static int set_bytes(const char *key, const void *data, size_t len, uint64_t ttl_ms, int *evicted) {
    hdict_value_t value = {.type = HDICT_BYTES, .data = data, .len = len};
    return hdict_set(dict, key, strlen(key), &value, ttl_ms, HDICT_SET_ALWAYS, evicted);
}

static int set_text(const char *key, const char *text) {
    return set_bytes(key, text, strlen(text), 0, NULL);
}

/* The text of a key in a static buffer, or NULL. */
static const char *text_of(const char *key) {
    static char buffer[BYTES + 1];
    hdict_value_t value;
    int code = hdict_get(dict, key, strlen(key), &value, buffer, BYTES);
    if (code != 0) assert_int_equal(code, HV_ENOTFOUND);
    if (code != 0) return NULL;
    assert_int_equal(value.type, HDICT_BYTES);
    buffer[value.len] = '\0';
    return buffer;
}

static hdict_stats_t stats(void) {
    hdict_stats_t all;
    assert_int_equal(hdict_stats(dict, &all), 0);
    return all;
}

static void check(void) {
    assert_int_equal(hdict__lock(dict), 0);
    assert_true(hdict__check(dict));
    hdict__unlock(dict);
}

/* ---- One process ---- */

static void test_hdict_set_gives_each_type_back(void **state) {
    (void)state;
    hdict_value_t value;
    char buffer[16];
    assert_int_equal(set_text("text", "words"), 0);
    assert_string_equal(text_of("text"), "words");
    assert_int_equal(set_text("text", ""), 0);
    assert_string_equal(text_of("text"), "");
    const hdict_value_t number = {.type = HDICT_NUMBER, .number = -2.5};
    assert_int_equal(hdict_set(dict, "n", 1, &number, 0, 0, NULL), 0);
    assert_int_equal(hdict_get(dict, "n", 1, &value, NULL, 0), 0);
    assert_int_equal(value.type, HDICT_NUMBER);
    assert_true(value.number == -2.5);
    const hdict_value_t truth = {.type = HDICT_BOOLEAN, .number = 1};
    assert_int_equal(hdict_set(dict, "b", 1, &truth, 0, 0, NULL), 0);
    assert_int_equal(hdict_get(dict, "b", 1, &value, NULL, 0), 0);
    assert_int_equal(value.type, HDICT_BOOLEAN);
    assert_true(value.number == 1);
    const hdict_value_t encoded = {.type = HDICT_ENCODED, .data = "\0\1", .len = 2};
    assert_int_equal(hdict_set(dict, "b", 1, &encoded, 0, 0, NULL), 0);
    assert_int_equal(hdict_get(dict, "b", 1, &value, buffer, 2), 0);
    assert_int_equal(value.type, HDICT_ENCODED);
    assert_memory_equal(value.data, "\0\1", 2);
    assert_int_equal(stats().count, 3);
}

static void test_hdict_get_with_small_buffer_tells_the_size(void **state) {
    (void)state;
    char buffer[4];
    hdict_value_t value;
    assert_int_equal(set_text("k", "12345"), 0);
    assert_int_equal(hdict_get(dict, "k", 1, &value, buffer, sizeof buffer), HV_ELIMIT);
    assert_int_equal(value.len, 5);
}

static void test_hdict_refuses_what_it_cannot_hold(void **state) {
    (void)state;
    static char large[BYTES];
    hdict_value_t value = {.type = HDICT_BYTES, .data = large, .len = BYTES};
    assert_int_equal(hdict_set(dict, "k", 1, &value, 0, 0, NULL), HV_ELIMIT);
    value.len = SIZE_MAX;
    assert_int_equal(hdict_set(dict, "k", 1, &value, 0, 0, NULL), HV_ELIMIT);
    value.len = 1;
    assert_int_equal(hdict_set(dict, "", 0, &value, 0, 0, NULL), HV_EINVAL);
    assert_int_equal(hdict_set(dict, large, BYTES, &value, 0, 0, NULL), HV_EINVAL);
    assert_int_equal(hdict_set(dict, "k", 1, &value, 0, 9, NULL), HV_EINVAL);
    value.type = (hdict_type_e)9;
    assert_int_equal(hdict_set(dict, "k", 1, &value, 0, 0, NULL), HV_EINVAL);
    assert_int_equal(stats().count, 0);
    assert_null(hdict_format(large + 1, sizeof large - 1));
    assert_null(hdict_format(dict, HDICT_BYTES_MIN - 1));
    assert_null(hdict_attach(dict, BYTES - 1));
    assert_null(hdict_attach(NULL, BYTES));
    assert_null(hdict_format(NULL, BYTES));
    assert_ptr_equal(hdict_attach(dict, BYTES), dict);
}

static void test_hdict_half_of_it_fits_at_last(void **state) {
    (void)state;
    static char large[BYTES];
    char key[16];
    for (int i = 0; i < 200; i++) {
        snprintf(key, sizeof key, "%d", i);
        assert_int_equal(set_bytes(key, large, 150, 0, NULL), 0);
    }
    size_t half = (dict->heap_end - dict->heap_first) / 2 * HDICT_UNIT;
    size_t most = half - sizeof(hdict__entry_t) - 1;
    int evicted;
    assert_int_equal(set_bytes("L", large, most, 0, &evicted), 0);
    assert_true(evicted);
    assert_int_equal(set_bytes("L", large, most + 1, 0, &evicted), HV_ELIMIT);
    assert_int_equal(strlen(text_of("199")), 0);

    /* What is too large leaves what was there, and what has half of all in its way replaces it. */
    assert_int_equal(set_text("k", "old"), 0);
    assert_int_equal(set_bytes("k", large, most + 1, 0, &evicted), HV_ELIMIT);
    assert_string_equal(text_of("k"), "old");
    assert_int_equal(set_bytes("k", large, most, 0, &evicted), 0);
    assert_true(evicted);
    assert_null(text_of("L"));
}

static void test_hdict_modes_look_first(void **state) {
    (void)state;
    hdict_value_t value = {.type = HDICT_NUMBER, .number = 1};
    assert_int_equal(hdict_set(dict, "k", 1, &value, 0, HDICT_SET_REPLACE, NULL), HV_ENOTFOUND);
    assert_int_equal(hdict_set(dict, "k", 1, &value, 0, HDICT_SET_ADD, NULL), 0);
    value.number = 2;
    assert_int_equal(hdict_set(dict, "k", 1, &value, 0, HDICT_SET_ADD, NULL), -EEXIST);
    assert_int_equal(hdict_get(dict, "k", 1, &value, NULL, 0), 0);
    assert_true(value.number == 1);
    value.number = 3;
    assert_int_equal(hdict_set(dict, "k", 1, &value, 0, HDICT_SET_REPLACE, NULL), 0);
    assert_int_equal(hdict_delete(dict, "k", 1), 0);
    assert_int_equal(hdict_delete(dict, "k", 1), HV_ENOTFOUND);
}

static void test_hdict_incr_adds_to_numbers_only(void **state) {
    (void)state;
    double sum = 0;
    const double ten = 10;
    assert_int_equal(hdict_incr(dict, "n", 1, 1, NULL, &sum, NULL), HV_ENOTFOUND);
    assert_int_equal(hdict_incr(dict, "n", 1, 1, &ten, &sum, NULL), 0);
    assert_true(sum == 11);
    assert_int_equal(hdict_incr(dict, "n", 1, -0.5, &ten, &sum, NULL), 0);
    assert_true(sum == 10.5);
    assert_int_equal(set_text("t", "1"), 0);
    assert_int_equal(hdict_incr(dict, "t", 1, 1, &ten, &sum, NULL), HV_EINVAL);
}

static void test_hdict_entry_expires_at_its_time(void **state) {
    (void)state;
    uint64_t left;
    hclock_set_fake(5000000);
    assert_int_equal(set_bytes("k", "v", 1, 100, NULL), 0);
    assert_int_equal(set_bytes("for ever", "v", 1, 0, NULL), 0);
    assert_int_equal(set_bytes("longer than time", "v", 1, UINT64_MAX, NULL), 0);
    hclock_advance(99000);
    assert_string_equal(text_of("k"), "v");
    assert_int_equal(hdict_ttl(dict, "k", 1, &left), 0);
    assert_int_equal(left, 1);
    hclock_advance(1000);
    assert_int_equal(hdict_ttl(dict, "k", 1, &left), HV_ENOTFOUND);
    assert_null(text_of("k"));
    assert_int_equal(stats().count, 2);
    assert_int_equal(hdict_ttl(dict, "for ever", 8, &left), 0);
    assert_int_equal(left, 0);
    assert_string_equal(text_of("longer than time"), "v");
    assert_int_equal(hdict_expire(dict, "for ever", 8, 10), 0);
    hclock_advance(10000);
    assert_null(text_of("for ever"));
    assert_int_equal(hdict_expire(dict, "for ever", 8, 10), HV_ENOTFOUND);
    assert_int_equal(set_bytes("k", "v", 1, 100, NULL), 0);
    assert_int_equal(set_text("k", "w"), 0); /* without a time: lives for ever */
    hclock_advance(1000000);
    assert_string_equal(text_of("k"), "w");
}

static void test_hdict_full_evicts_what_was_used_longest_ago(void **state) {
    (void)state;
    static char data[4000];
    char key[16];
    int evicted = 0, count = 0;
    while (!evicted) {
        snprintf(key, sizeof key, "%d", count++);
        if (count == 5) assert_non_null(text_of("0")); /* so that 1 goes first */
        assert_int_equal(set_bytes(key, data, sizeof data, 0, &evicted), 0);
    }
    assert_int_equal(stats().evictions, 1);
    assert_null(text_of("1"));
    assert_non_null(text_of("0"));
    assert_int_equal(set_bytes("more", data, sizeof data, 0, &evicted), 0);
    assert_true(evicted);
    assert_null(text_of("2"));
    assert_non_null(text_of("3"));
    assert_int_equal(set_bytes("more", data, sizeof data, 0, &evicted), 0);
    assert_false(evicted);
}

static void test_hdict_expired_entry_is_no_eviction(void **state) {
    (void)state;
    static char data[10000];
    char key[16];
    int evicted;
    hclock_set_fake(5000000);
    for (int i = 0; i < 5; i++) {
        snprintf(key, sizeof key, "%d", i);
        assert_int_equal(set_bytes(key, data, sizeof data, 10, &evicted), 0);
        assert_false(evicted);
    }
    hclock_advance(10000);
    for (int i = 5; i < 10; i++) {
        snprintf(key, sizeof key, "%d", i);
        assert_int_equal(set_bytes(key, data, sizeof data, 0, &evicted), 0);
        assert_false(evicted);
    }
    assert_int_equal(stats().evictions, 0);
}

static void test_hdict_keys_come_once_through_a_small_window(void **state) {
    (void)state;
    char key[16];
    uint8_t seen[100] = {0}, window[64];
    for (int i = 0; i < 100; i++) {
        snprintf(key, sizeof key, "key %d", i);
        assert_int_equal(set_text(key, "v"), 0);
    }
    uint64_t cursor = 0;
    do {
        size_t used;
        assert_int_equal(hdict_keys(dict, &cursor, window, sizeof window, &used), 0);
        for (size_t at = 0; at < used;) {
            uint16_t len;
            memcpy(&len, window + at, sizeof len);
            memcpy(key, window + at + 2, len);
            key[len] = '\0';
            seen[atoi(key + 4)]++;
            at += 2u + len;
        }
    } while (cursor != 0);
    for (int i = 0; i < 100; i++) assert_int_equal(seen[i], 1);
    size_t used;
    int code = 0;
    while (code == 0) code = hdict_keys(dict, &cursor, window, 3, &used);
    assert_int_equal(code, HV_ELIMIT);
    assert_int_equal(hdict_flush(dict), 0);
    cursor = 0;
    assert_int_equal(hdict_keys(dict, &cursor, window, 0, &used), 0);
    assert_int_equal(used, 0);
    assert_int_equal(stats().count, 0);
}

/* ---- Against a model ---- */

#define MODEL_KEYS 120

static uint32_t dice;

static uint32_t roll(uint32_t sides) {
    dice = dice * 1664525u + 1013904223u;
    return (dice >> 8) % sides;
}

static struct {
    int is_there;
    uint32_t len;
    uint8_t fill;
    uint64_t used;    /* a step's number */
    uint64_t expires; /* of the fake clock, ms; 0: never */
} model[MODEL_KEYS];

static uint64_t model_now;

static int is_alive(int i) {
    return model[i].is_there && (model[i].expires == 0 || model[i].expires > model_now);
}

/* What the model loses when the dictionary has evicted `count`. */
static void model_evict(uint64_t count) {
    while (count-- > 0) {
        int oldest = -1;
        for (int i = 0; i < MODEL_KEYS; i++) {
            if (is_alive(i) && (oldest < 0 || model[i].used < model[oldest].used)) oldest = i;
        }
        assert_true(oldest >= 0);
        model[oldest].is_there = 0;
    }
}

static void compare(int i, uint64_t step) {
    static uint8_t buffer[BYTES];
    char key[16];
    int len = snprintf(key, sizeof key, "k%d", i);
    hdict_value_t value;
    int code = hdict_get(dict, key, (size_t)len, &value, buffer, sizeof buffer);
    assert_int_equal(code, is_alive(i) ? 0 : HV_ENOTFOUND);
    if (code != 0) return;
    assert_int_equal(value.len, model[i].len);
    for (size_t k = 0; k < value.len; k++) assert_int_equal(buffer[k], model[i].fill);
    model[i].used = step;
}

static void model_set(int i, uint64_t step) {
    static uint8_t data[BYTES];
    char key[16];
    uint32_t sizes[] = {8, 200, 3000, 20000};
    uint32_t len = roll(sizes[roll(4)]), ttl = roll(3) ? 0 : 1 + roll(200);
    uint64_t before = stats().evictions;
    int evicted;
    snprintf(key, sizeof key, "k%d", i);
    memset(data, (int)(step & 0xff), len);
    /* What is replaced by something larger makes room itself, before others do. */
    model[i].is_there = 0;
    assert_int_equal(set_bytes(key, data, len, ttl, &evicted), 0);
    uint64_t count = stats().evictions - before;
    assert_int_equal(evicted, count > 0);
    model_evict(count);
    model[i].is_there = 1;
    model[i].len = len;
    model[i].fill = (uint8_t)step;
    model[i].used = step;
    model[i].expires = ttl == 0 ? 0 : model_now + ttl;
}

static void test_hdict_random_steps_agree_with_a_model(void **state) {
    (void)state;
    dice = 12345;
    model_now = 5000;
    memset(model, 0, sizeof model);
    hclock_set_fake(model_now * 1000);
    for (uint64_t step = 1; step <= 30000; step++) {
        int i = (int)roll(MODEL_KEYS);
        char key[16];
        int len = snprintf(key, sizeof key, "k%d", i);
        switch (roll(8)) {
        case 0:
        case 1:
        case 2: model_set(i, step); break;
        case 3:
            assert_int_equal(hdict_delete(dict, key, (size_t)len), is_alive(i) ? 0 : HV_ENOTFOUND);
            model[i].is_there = 0;
            break;
        case 4:
            model_now += roll(4);
            hclock_set_fake(model_now * 1000);
            break;
        default: compare(i, step); break;
        }
        if (step % 64 == 0) check();
    }
    assert_true(stats().evictions > 100);
    assert_int_equal(stats().resets, 0);
    for (int i = 0; i < MODEL_KEYS; i++) compare(i, 40000);
}

/* Makes the chain of a key's bucket endless. */
static void tie_chain_of(const char *key) {
    assert_int_equal(set_text(key, "v"), 0);
    uint32_t hash = hdict__hash(dict, key, strlen(key));
    hdict__entry_t *entry = hdict__find(dict, key, strlen(key), hash);
    assert_non_null(entry);
    entry->next = hdict__place(dict, entry);
}

static void test_hdict_chain_without_an_end_begins_anew(void **state) {
    (void)state;
    static char keys[BYTES];
    uint64_t cursor = 0;
    size_t used;
    tie_chain_of("k");
    hdict_keys(dict, &cursor, keys, sizeof keys, &used);
    assert_int_equal(stats().resets, 1);

    tie_chain_of("k");
    uint32_t bucket = hdict__hash(dict, "k", 1) & (dict->bucket_count - 1);
    char other[16];
    for (int i = 0; snprintf(other, sizeof other, "%d", i) > 0; i++) {
        if ((hdict__hash(dict, other, strlen(other)) & (dict->bucket_count - 1)) == bucket) break;
    }
    assert_null(text_of(other));
    assert_int_equal(stats().resets, 2);
    assert_int_equal(set_text("k", "v"), 0);
    assert_string_equal(text_of("k"), "v");
}

static void test_hdict_map_of_bins_is_checked(void **state) {
    (void)state;
    dict->bin_map[0] ^= 1;
    assert_false(hdict__check(dict));
    dict->bin_map[0] ^= 1;
    assert_true(hdict__check(dict));
}

static void test_hdict_scribbled_over_begins_anew_and_goes_on(void **state) {
    (void)state;
    dice = 777;
    size_t first = offsetof(hdict_t, newest);
    for (int round = 0; round < 400; round++) {
        static char data[3000];
        char key[16];
        for (int i = 0; i < 40; i++) {
            snprintf(key, sizeof key, "%d", (int)roll(60));
            assert_int_equal(set_bytes(key, data, roll(sizeof data), 0, NULL), 0);
        }
        uint8_t *at = (uint8_t *)dict;
        uint32_t count = 1 + roll(64), range = round % 2 ? BYTES : BYTES / 8;
        for (uint32_t i = 0; i < count; i++) {
            at[first + roll(range - (uint32_t)first)] = (uint8_t)roll(256);
        }
        /* Codes and values may be anything now; neither crash nor stand still is the claim. */
        for (int i = 0; i < 40; i++) {
            static char out[BYTES];
            hdict_value_t value;
            double sum;
            snprintf(key, sizeof key, "%d", (int)roll(60));
            size_t len = strlen(key);
            hdict_get(dict, key, len, &value, out, sizeof out);
            set_bytes(key, data, roll(sizeof data), 0, NULL);
            hdict_incr(dict, key, len, 1, NULL, &sum, NULL);
            hdict_delete(dict, key, len);
            uint64_t cursor = 0;
            size_t used;
            hdict_keys(dict, &cursor, out, sizeof out, &used);
        }
        assert_int_equal(hdict_flush(dict), 0);
        assert_int_equal(set_text("k", "v"), 0);
        assert_string_equal(text_of("k"), "v");
        check();
    }
    assert_true(stats().resets > 10);
    dict->bytes++;
    assert_int_equal(hdict_flush(dict), HV_EPROTO);
    dict->bytes--;
}

/* ---- Threads and processes ---- */

#define WORKERS 4
#define ROUNDS  5000

static void work(int worker) {
    char key[16], text[32], buffer[64];
    const double zero = 0;
    for (int i = 0; i < ROUNDS; i++) {
        double sum;
        hdict_value_t value;
        if (hdict_incr(dict, "sum", 3, 1, &zero, &sum, NULL) != 0) abort();
        snprintf(key, sizeof key, "%d", i % 50);
        int len = snprintf(text, sizeof text, "%s is from %d", key, worker);
        if (set_bytes(key, text, (size_t)len, 0, NULL) != 0) abort();
        if (hdict_get(dict, key, strlen(key), &value, buffer, sizeof buffer) != 0) abort();
        if (strncmp(value.data, key, strlen(key)) != 0) abort(); /* whoever wrote it: whole */
    }
}

static void *work_in_thread(void *worker) {
    work((int)(intptr_t)worker);
    return NULL;
}

static void assert_sum(double wanted) {
    hdict_value_t value;
    assert_int_equal(hdict_get(dict, "sum", 3, &value, NULL, 0), 0);
    assert_true(value.number == wanted);
}

static void test_hdict_threads_lose_no_step(void **state) {
    (void)state;
    pthread_t threads[WORKERS];
    for (intptr_t i = 0; i < WORKERS; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, work_in_thread, (void *)i), 0);
    }
    for (int i = 0; i < WORKERS; i++) pthread_join(threads[i], NULL);
    assert_sum(WORKERS * ROUNDS);
}

static void test_hdict_processes_lose_no_step(void **state) {
    (void)state;
    pid_t children[WORKERS];
    for (int i = 0; i < WORKERS; i++) {
        children[i] = fork();
        assert_true(children[i] >= 0);
        if (children[i] == 0) {
            work(i);
            _exit(0);
        }
    }
    for (int i = 0; i < WORKERS; i++) {
        int status;
        assert_int_equal(waitpid(children[i], &status, 0), children[i]);
        assert_int_equal(status, 0);
    }
    assert_sum(WORKERS * ROUNDS);
}

/* Runs a child that is killed where it likes, or ends by itself. */
static void run_child(void (*body)(void)) {
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        body();
        _exit(0);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
}

static void die_with_the_lock(void) {
    hdict__lock(dict);
    raise(SIGKILL);
}

static void die_in_mid_write(void) {
    hdict__lock(dict);
    dict->is_dirty = 1;
    dict->count += 5;
    raise(SIGKILL);
}

static void die_in_mid_value(void) {
    hdict__lock(dict);
    dict->is_dirty = 1;
    hdict__entry_t *entry = hdict__at(dict, dict->newest);
    entry->type = 0;
    raise(SIGKILL);
}

static void test_hdict_lock_of_the_dead_is_taken_over(void **state) {
    (void)state;
    assert_int_equal(set_text("k", "v"), 0);
    run_child(die_with_the_lock);
    assert_string_equal(text_of("k"), "v");
    assert_int_equal(set_text("half written", "v"), 0);
    run_child(die_in_mid_value);
    assert_null(text_of("half written"));
    assert_string_equal(text_of("k"), "v");
    assert_int_equal(stats().resets, 0);
    run_child(die_in_mid_write);
    assert_null(text_of("k"));
    assert_int_equal(stats().resets, 1);
    assert_int_equal(set_text("k", "v"), 0);
    assert_string_equal(text_of("k"), "v");
}

/* Sets of all kinds, each value all of one byte, and told in its first. */
static void churn(uint32_t seed) {
    static uint8_t data[4000];
    char key[16];
    dice = seed;
    for (;;) {
        snprintf(key, sizeof key, "%d", (int)roll(60));
        memset(data, (int)roll(256), sizeof data);
        set_bytes(key, data, 1 + roll(sizeof data - 1), 0, NULL);
        if (roll(4) == 0) hdict_delete(dict, key, strlen(key));
        double sum;
        const double zero = 0;
        hdict_incr(dict, "steps", 5, 1, &zero, &sum, NULL);
    }
}

static void assert_values_are_whole(void) {
    static uint8_t buffer[BYTES];
    for (int i = 0; i < 60; i++) {
        char key[16];
        hdict_value_t value;
        snprintf(key, sizeof key, "%d", i);
        if (hdict_get(dict, key, strlen(key), &value, buffer, sizeof buffer) != 0) continue;
        for (size_t k = 1; k < value.len; k++) assert_int_equal(buffer[k], buffer[0]);
    }
}

static void test_hdict_kill_at_any_time_is_survived(void **state) {
    (void)state;
    for (uint32_t round = 0; round < KILLS; round++) {
        hdict_value_t value;
        hdict_delete(dict, "steps", 5);
        pid_t child = fork();
        assert_true(child >= 0);
        if (child == 0) churn(round);
        double steps = 0;
        while (steps < (double)(round % 7 * 10 + 1)) {
            if (hdict_get(dict, "steps", 5, &value, NULL, 0) == 0) steps = value.number;
        }
        kill(child, SIGKILL);
        assert_int_equal(waitpid(child, NULL, 0), child);
        check();
        assert_values_are_whole();
        assert_int_equal(set_text("k", "v"), 0);
    }
}

static void replace_under_trace(void) {
    static uint8_t data[3000];
    if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) != 0) _exit(77);
    raise(SIGSTOP);
    memset(data, 'n', sizeof data);
    set_bytes("1", data, 300, 0, NULL);          /* evicts, splits, links */
    set_bytes("38", data, sizeof data, 0, NULL); /* in its place, which takes a while */
    hdict_delete(dict, "37", 2);                 /* joins */
    _exit(0);
}

/* Finds the dictionary broken, and begins it anew when it lets go of it. */
static void reset_under_trace(void) {
    if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) != 0) _exit(77);
    raise(SIGSTOP);
    hdict__lock(dict);
    dict->is_broken = 1;
    hdict__unlock(dict);
    _exit(0);
}

/* Lets a child go on for some instructions and kills it there. Returns whether it still ran; -1
 * where there is no tracing. */
static int kill_after(long instructions, void (*die)(void)) {
    int status;
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) die();
    assert_int_equal(waitpid(child, &status, 0), child);
    if (WIFEXITED(status)) return -1;
    for (long i = 0; i < instructions && WIFSTOPPED(status); i++) {
        if (ptrace(PTRACE_SINGLESTEP, child, NULL, NULL) != 0) break;
        assert_int_equal(waitpid(child, &status, 0), child);
    }
    if (!WIFSTOPPED(status)) return 0;
    kill(child, SIGKILL);
    waitpid(child, &status, 0);
    return 1;
}

/* The same at chosen instructions of three steps that change everything there is to change. */
static void test_hdict_kill_at_each_instruction_is_survived(void **state) {
    (void)state;
    static uint8_t data[9000];
    char key[16];
    long stride = STRIDE;
    for (long instructions = 1; instructions < 60000; instructions += stride) {
        assert_int_equal(hdict_flush(dict), 0);
        for (int i = 1; i < 40; i++) {
            snprintf(key, sizeof key, "%d", i);
            memset(data, 'o', sizeof data);
            set_bytes(key, data, i == 38 ? 3000 : i % 4 ? 100 : sizeof data, 0, NULL);
        }
        uint64_t resets = stats().resets;
        int was_running = kill_after(instructions, replace_under_trace);
        if (was_running < 0) skip();
        check();
        assert_values_are_whole();
        assert_true(stats().resets - resets <= 1);
        assert_int_equal(set_text("k", "v"), 0);
        assert_string_equal(text_of("k"), "v");
        if (!was_running) return;
        /* Only a build with sanitizers takes that long; there a sample is enough. */
        if (instructions > 6000 && stride < 997) stride = 997;
    }
}

static void test_hdict_kill_while_it_begins_anew_is_survived(void **state) {
    (void)state;
    int was_running = 1;
    long stride = STRIDE;
    for (long instructions = 1; instructions < 20000 && was_running; instructions += stride) {
        if (instructions > 2000 && stride < 1999) stride = 1999; /* only with sanitizers */
        assert_int_equal(hdict_flush(dict), 0);
        for (char key[] = "a"; *key <= 'z'; ++*key) assert_int_equal(set_text(key, "old"), 0);
        was_running = kill_after(instructions, reset_under_trace);
        if (was_running < 0) skip();
        check();
        assert_int_equal(set_text("k", "v"), 0);
        assert_string_equal(text_of("k"), "v");
    }
}

/* ---- Where it lies ---- */

static void test_hdict_name_is_the_same_for_all_who_were_forked(void **state) {
    (void)state;
    hdict_t *before, *found;
    assert_int_equal(hdict_pool(), 0);
    assert_int_equal(hdict_open("nobody's", 0, &found), HV_ENOTFOUND);
    assert_int_equal(hdict_open("", BYTES, &found), HV_EINVAL);
    assert_int_equal(hdict_open("k", 100, &found), HV_EINVAL);
    assert_int_equal(hdict_open("k", HDICT_BYTES_MAX, &found), HV_ELIMIT);
    assert_int_equal(hdict_open("before", BYTES, &before), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        hdict_value_t value = {.type = HDICT_NUMBER, .number = 42};
        int code = hdict_set(before, "k", 1, &value, 0, 0, NULL);
        if (code == 0) code = hdict_open("after", BYTES, &found);
        if (code == 0) code = hdict_set(found, "k", 1, &value, 0, 0, NULL);
        _exit(code != 0);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    hdict_value_t value;
    assert_int_equal(hdict_get(before, "k", 1, &value, NULL, 0), 0);
    assert_true(value.number == 42);
    assert_int_equal(hdict_open("after", 0, &found), 0);
    assert_int_equal(hdict_get(found, "k", 1, &value, NULL, 0), 0);
    assert_true(value.number == 42);
    assert_int_equal(hdict_open("before", 2 * BYTES, &found), 0); /* as it was made */
    assert_ptr_equal(found, before);
}

static void test_hdict_object_of_shm_is_shared_by_name(void **state) {
    (void)state;
    char name[64];
    hdict_t *first, *second;
    snprintf(name, sizeof name, "/hv_test_hdict_%d", (int)getpid());
    hdict_unlink_shm(name);
    assert_int_equal(hdict_open_shm("no slash", BYTES, &first), HV_EINVAL);
    assert_int_equal(hdict_open_shm(name, 0, &first), HV_ENOTFOUND);
    assert_int_equal(hdict_open_shm(name, BYTES, &first), 0);
    assert_int_equal(hdict_open_shm(name, 0, &second), 0);
    assert_ptr_not_equal(first, second);
    double sum;
    const double zero = 0;
    assert_int_equal(hdict_incr(first, "n", 1, 1, &zero, &sum, NULL), 0);
    assert_int_equal(hdict_incr(second, "n", 1, 1, NULL, &sum, NULL), 0);
    assert_true(sum == 2);
    hdict_close_shm(first);
    hdict_close_shm(second);
    hdict_close_shm(NULL);
    assert_int_equal(hdict_unlink_shm(name), 0);
    assert_int_equal(hdict_unlink_shm(name), -ENOENT);
}

int main(void) {
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
        TEST(test_hdict_set_gives_each_type_back),
        TEST(test_hdict_get_with_small_buffer_tells_the_size),
        TEST(test_hdict_refuses_what_it_cannot_hold),
        TEST(test_hdict_half_of_it_fits_at_last),
        TEST(test_hdict_modes_look_first),
        TEST(test_hdict_incr_adds_to_numbers_only),
        TEST(test_hdict_entry_expires_at_its_time),
        TEST(test_hdict_full_evicts_what_was_used_longest_ago),
        TEST(test_hdict_expired_entry_is_no_eviction),
        TEST(test_hdict_keys_come_once_through_a_small_window),
        TEST(test_hdict_random_steps_agree_with_a_model),
        TEST(test_hdict_chain_without_an_end_begins_anew),
        TEST(test_hdict_map_of_bins_is_checked),
        TEST(test_hdict_scribbled_over_begins_anew_and_goes_on),
        TEST(test_hdict_threads_lose_no_step),
        TEST(test_hdict_processes_lose_no_step),
        TEST(test_hdict_lock_of_the_dead_is_taken_over),
        TEST(test_hdict_kill_at_any_time_is_survived),
        TEST(test_hdict_kill_at_each_instruction_is_survived),
        TEST(test_hdict_kill_while_it_begins_anew_is_survived),
        TEST(test_hdict_name_is_the_same_for_all_who_were_forked),
        TEST(test_hdict_object_of_shm_is_shared_by_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
