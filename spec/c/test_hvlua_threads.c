/* Tests of bindings/hvlua*.c: a runtime belongs to its thread; several threads have several. */
#include <pthread.h>

#include "hvlua.h"
#include "loop_test.h"

#define THREADS 4
#define ROUNDS  5

static const char script[] =
    "local hv = require 'hv'\n"
    "local server = assert(hv.tcp.listen({ host = '127.0.0.1', port = 0 }, function(conn)\n"
    "  for line in conn:lines() do conn:write(line:upper() .. '\\n') end end))\n"
    "local total = 0\n"
    "for i = 1, 20 do\n"
    "  local conn = assert(hv.tcp.connect { host = '127.0.0.1', port = server:port() })\n"
    "  conn:write('a' .. i .. '\\n') total = total + tonumber(conn:read_line():sub(2)) "
    "conn:close()\n"
    "end\n"
    "server:close() hv.log.debug('done') return total";

static void on_done(hvlua_t *lua, const hvlua_outcome_t *outcome, void *userdata) {
    hvlua_results(lua, outcome, "d", userdata);
}

static void *run_runtime(void *arg) {
    double total = 0, *sum = arg;
    for (int round = 0; round < ROUNDS; round++) {
        hvlua_t *lua = hvlua_new(NULL, 32 << 20);
        if (lua == NULL) return NULL;
        if (hvlua_run_string(lua, script, sizeof script - 1, "=script", on_done, &total) == 0) {
            hloop_run(hvlua_loop(lua));
        }
        *sum += total;
        hvlua_free(&lua);
    }
    return NULL;
}

static void test_runtimes_in_threads(void **state) {
    (void)state;
    pthread_t threads[THREADS];
    double sums[THREADS] = {0};
    for (int i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, run_runtime, &sums[i]), 0);
    }
    for (int i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
        assert_true(sums[i] == 210.0 * ROUNDS);
    }
}

static void *stop_from_thread(void *arg) {
    hvlua_stop(arg);
    return NULL;
}

static void test_stop_from_another_thread(void **state) {
    (void)state;
    hvlua_t *lua = hvlua_new(NULL, 0);
    const char *code = "require('hv').sleep(3600000)";
    assert_int_equal(hvlua_run_string(lua, code, strlen(code), NULL, NULL, NULL), 0);
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, stop_from_thread, lua), 0);
    assert_int_equal(hloop_run(hvlua_loop(lua)), 0);
    pthread_join(thread, NULL);
    hvlua_free(&lua);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_runtimes_in_threads),
        cmocka_unit_test(test_stop_from_another_thread),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
