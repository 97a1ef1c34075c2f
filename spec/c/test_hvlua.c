/* Tests of bindings/hvlua*.c: a runtime in a program that owns the loop, calls Lua, is called by
 * it, and survives whatever scripts do. */
#include <lauxlib.h>
#include <lua.h>
#include <poll.h>

#include "hvlua.h"
#include "loop_test.h"

static hloop_t *loop;
static hvlua_t *lua;
static size_t blocks_before;

/* What callbacks have seen. */
static struct {
    int count;
    int code;
    char message[200];
    char traceback[2000];
    double number;
} seen;

static void keep(const char *message, const char *traceback) {
    snprintf(seen.message, sizeof seen.message, "%s", message != NULL ? message : "");
    snprintf(seen.traceback, sizeof seen.traceback, "%s", traceback != NULL ? traceback : "");
}

static void on_done(hvlua_t *of, const hvlua_outcome_t *outcome, void *userdata) {
    assert_ptr_equal(userdata, &seen);
    seen.count++;
    seen.code = outcome->code;
    keep(outcome->message, outcome->traceback);
    if (outcome->code == 0 && outcome->count > 0) {
        assert_int_equal(hvlua_results(of, outcome, "d", &seen.number), 0);
    }
}

static void on_error(hvlua_t *of, const char *message, const char *traceback, void *userdata) {
    (void)of;
    assert_ptr_equal(userdata, &seen);
    seen.count++;
    keep(message, traceback);
}

static int set_up_with(size_t memory_max) {
    memset(&seen, 0, sizeof seen);
    blocks_before = hv__mem_live_blocks();
    loop = hloop_new(HLOOP_FLAG_QUIT_WHEN_NO_ACTIVE_EVENTS);
    lua = hvlua_new(loop, memory_max);
    return loop == NULL || lua == NULL;
}

static int set_up(void **state) {
    (void)state;
    return set_up_with(0);
}

static int set_up_limited(void **state) {
    (void)state;
    return set_up_with(16 << 20);
}

static int tear_down(void **state) {
    (void)state;
    hvlua_free(&lua);
    hloop_free(&loop);
    return lua != NULL || hv__mem_live_blocks() != blocks_before;
}

static int do_text(const char *code) { return hvlua_do_string(lua, code, strlen(code), "=text"); }

static int run_text(const char *code) {
    return hvlua_run_string(lua, code, strlen(code), "=text", on_done, &seen);
}

/* ---- Values ---- */

static void test_call_arguments_and_results_of_each_letter(void **state) {
    (void)state;
    assert_int_equal(do_text("function same(...) return ... end"), 0);
    double d = 0;
    int i = 0, b = 7, no = 7;
    int64_t l = 0;
    const char *s = NULL, *nothing = "x", *bytes = NULL;
    size_t len = 0;
    void *p = NULL;
    assert_int_equal(hvlua_call(lua, "same", "dilbbsSpsn>dilbbsSpsn", 1.5, -3, INT64_C(1) << 40, 1,
                                0, "text", "a\0b", (size_t)3, &seen, NULL, &d, &i, &l, &b, &no, &s,
                                &bytes, &len, &p, &nothing),
                     0);
    assert_true(d == 1.5);
    assert_int_equal(i, -3);
    assert_true(l == INT64_C(1) << 40);
    assert_int_equal(b, 1);
    assert_int_equal(no, 0);
    assert_string_equal(s, "text");
    assert_int_equal(len, 3);
    assert_memory_equal(bytes, "a\0b", 3);
    assert_ptr_equal(p, &seen);
    assert_null(nothing);
}

static void test_state_and_userdata_are_the_runtimes(void **state) {
    (void)state;
    assert_null(hvlua_userdata(lua));
    hvlua_set_userdata(lua, &seen);
    assert_ptr_equal(hvlua_userdata(lua), &seen);
    lua_State *L = hvlua_state(lua);
    lua_pushinteger(L, 7);
    lua_setglobal(L, "from_c");
    double number = 0;
    assert_int_equal(hvlua_get(lua, "from_c", "d", &number), 0);
    assert_true(number == 7);
}

static void test_call_result_of_other_type_is_an_error(void **state) {
    (void)state;
    assert_int_equal(do_text("function half() return 0.5 end"), 0);
    int i = 77;
    assert_int_equal(hvlua_call(lua, "half", ">i", &i), HV_EPROTO);
    assert_int_equal(i, 77);
    assert_string_equal(hvlua_error(lua), "result 1 is a number, not what 'i' says");
    assert_int_equal(hvlua_call(lua, "half", ">q", &i), HV_EINVAL);
    assert_int_equal(hvlua_call(lua, "half", ">d>d", &i), HV_EINVAL);
    assert_int_equal(hvlua_call(lua, "no.such", ""), HV_ENOTFOUND);
    assert_string_equal(hvlua_error(lua), "there is no function \"no.such\"");
}

static void test_set_and_get_by_path(void **state) {
    (void)state;
    int port = 0;
    const char *name;
    assert_int_equal(hvlua_set(lua, "app.net.port", "i", 8080), 0);
    assert_int_equal(hvlua_get(lua, "app.net.port", "i", &port), 0);
    assert_int_equal(port, 8080);
    assert_int_equal(do_text("app.net.name = 'x' .. app.net.port"), 0);
    assert_int_equal(hvlua_get(lua, "app.net.name", "s", &name), 0);
    hvlua_collect(lua);
    assert_string_equal(name, "x8080");
    assert_int_equal(hvlua_get(lua, "app.nothing.at.all", "s", &name), HV_ENOTFOUND);
    assert_int_equal(hvlua_set(lua, "app.net.port.deeper", "i", 1), HV_EINVAL);
    assert_int_equal(hvlua_set(lua, "app.", "i", 1), HV_EINVAL);
}

/* ---- Errors ---- */

static void test_do_string_error_tells_message_and_traceback(void **state) {
    (void)state;
    assert_int_equal(do_text("local function inner() error('oops') end\n inner()"), HV_EFAILED);
    assert_string_equal(hvlua_error(lua), "text:1: oops");
    assert_non_null(strstr(hvlua_traceback(lua), "text:1: oops\nstack traceback:"));
    assert_non_null(strstr(hvlua_traceback(lua), "text:2: in main chunk"));
    assert_int_equal(do_text("x ="), HV_EFAILED);
    assert_non_null(strstr(hvlua_error(lua), "text:1: unexpected symbol"));
    assert_int_equal(do_text("error({ code = 7 })"), HV_EFAILED);
    assert_string_equal(hvlua_error(lua), "error value: { code = 7 }");
    assert_int_equal(do_text("error(setmetatable({}, {__tostring = function() return 'T' end}))"),
                     HV_EFAILED);
    assert_string_equal(hvlua_error(lua), "T");
    assert_int_equal(hvlua_do_file(lua, "/no/such/file.lua"), HV_ENOTFOUND);
    assert_int_equal(do_text("local function f() return f() + 1 end f()"), HV_EFAILED);
    assert_non_null(strstr(hvlua_error(lua), "stack overflow"));
    assert_int_equal(do_text("x = 1"), 0);
}

static void test_wait_in_a_call_is_an_error_that_says_so(void **state) {
    (void)state;
    assert_int_equal(do_text("require('hv').sleep(1)"), HV_EFAILED);
    assert_non_null(strstr(hvlua_error(lua), "only a task may wait"));
}

static void test_error_of_task_goes_to_on_error_once(void **state) {
    (void)state;
    hvlua_on_error(lua, on_error, &seen);
    assert_int_equal(do_text("local hv = require 'hv'\n"
                             "hv.go(function() hv.sleep(1) error('late') end)"),
                     0);
    assert_int_equal(hloop_run(loop), 0);
    assert_int_equal(seen.count, 1);
    assert_string_equal(seen.message, "text:2: late");
    assert_non_null(strstr(seen.traceback, "task started at text:2"));
    /* Of the script's own handler the host hears only if that fails. */
    assert_int_equal(do_text("hv = require 'hv' hv.on_error(function(m) told = m end)\n"
                             "hv.go(error, 'one')"),
                     0);
    assert_int_equal(hloop_run(loop), 0);
    assert_int_equal(seen.count, 1);
    assert_int_equal(do_text("assert(told == 'one') hv.on_error(function() error('worse') end)\n"
                             "hv.go(error, 'two')"),
                     0);
    assert_int_equal(hloop_run(loop), 0);
    assert_true(seen.count >= 2);
}

/* ---- Tasks ---- */

static void test_run_string_waits_and_tells_results(void **state) {
    (void)state;
    assert_int_equal(run_text("require('hv').sleep(2) return 42"), 0);
    assert_int_equal(seen.count, 0);
    assert_int_equal(hloop_run(loop), 0);
    assert_int_equal(seen.count, 1);
    assert_int_equal(seen.code, 0);
    assert_true(seen.number == 42);
}

static void test_run_string_error_goes_to_on_done_alone(void **state) {
    (void)state;
    hvlua_on_error(lua, on_error, NULL); /* would fail its check */
    assert_int_equal(run_text("require('hv').sleep(1)\nlocal x = error('late')"), 0);
    assert_int_equal(hloop_run(loop), 0);
    assert_int_equal(seen.count, 1);
    assert_int_equal(seen.code, HV_EFAILED);
    assert_non_null(strstr(seen.message, "text:2: late"));
    assert_non_null(strstr(seen.traceback, "\n\ttext:2: in "));
    assert_int_equal(run_text("x = ="), HV_EFAILED);
    assert_int_equal(hloop_run(loop), 0);
    assert_int_equal(seen.count, 1);
}

static void test_start_function_with_arguments(void **state) {
    (void)state;
    assert_int_equal(do_text("function later(a, b) require('hv').sleep(1) return a + b end"), 0);
    assert_int_equal(hvlua_start(lua, on_done, &seen, "later", "id", 2, 0.5), 0);
    assert_int_equal(hvlua_start(lua, on_done, &seen, "never", ""), HV_ENOTFOUND);
    assert_int_equal(hvlua_start(lua, NULL, NULL, "later", "ii", 1, 2), 0);
    assert_int_equal(hloop_run(loop), 0);
    assert_int_equal(seen.count, 1);
    assert_true(seen.number == 2.5);
}

static void test_free_tells_those_that_have_not_ended(void **state) {
    (void)state;
    assert_int_equal(run_text("require('hv').sleep(3600000)"), 0);
    RUN_PASSES(loop, 3);
    assert_int_equal(seen.count, 0);
    hvlua_free(&lua);
    assert_int_equal(seen.count, 1);
    assert_int_equal(seen.code, HV_ECANCELED);
    assert_int_equal(hloop_run(loop), 0); /* nothing of it is left */
}

static void test_free_closes_servers_and_connections(void **state) {
    (void)state;
    assert_int_equal(
        run_text(
            "local hv = require 'hv'\n"
            "local server = assert(hv.tcp.listen({ host = '127.0.0.1', port = 0 },\n"
            "  function(conn) conn:read() end))\n"
            "local conn = assert(hv.tcp.connect { host = '127.0.0.1', port = server:port() })\n"
            "hv.every(1, function() end)\n"
            "hv.udp.bind { host = '127.0.0.1', port = 0, on_message = print }\n"
            "hv.worker.spawn(function(ch) ch:recv() end)\n"
            "ready = true conn:read()"),
        0);
    int is_ready = 0;
    RUN_UNTIL(loop, hvlua_get(lua, "ready", "b", &is_ready) == 0);
    hvlua_free(&lua);
    assert_int_equal(seen.count, 1);
    assert_int_equal(hloop_run(loop), 0);
}

static void test_stop_ends_its_loop_alone(void **state) {
    (void)state;
    assert_int_equal(run_text("local hv = require 'hv' hv.every(1, function() end) hv.stop(3)"), 0);
    assert_int_equal(hloop_run(loop), 0);
    assert_int_equal(hvlua_is_stopped(lua), 1);
    assert_int_equal(hvlua_exit_status(lua), 3);
    assert_int_equal(run_text("return 1"), HV_ECLOSED);
    hvlua_t *other = hvlua_new(NULL, 0);
    assert_non_null(other);
    assert_int_equal(hvlua_run_string(other, "require('hv').sleep(1) return 5", 31, "=other",
                                      on_done, &seen),
                     0);
    assert_int_equal(hloop_run(hvlua_loop(other)), 0);
    assert_true(seen.number == 5);
    hvlua_free(&other);
}

/* ---- Functions of C ---- */

static int add(lua_State *L) {
    int *calls = hvlua_function_userdata(L);
    ++*calls;
    assert_ptr_equal(hvlua_self(L), lua);
    lua_pushnumber(L, luaL_checknumber(L, 1) + luaL_checknumber(L, 2));
    return 1;
}

static void test_register_function_with_userdata(void **state) {
    (void)state;
    int calls = 0;
    double sum = 0;
    assert_int_equal(hvlua_register(lua, "math.plus", add, &calls), 0);
    assert_int_equal(do_text("function total(n) local s = 0\n"
                             "for i = 1, n do s = math.plus(s, i) end return s end"),
                     0);
    assert_int_equal(hvlua_call(lua, "total", "i>d", 1000, &sum), 0);
    assert_true(sum == 500500);
    assert_int_equal(calls, 1000);
    assert_int_equal(do_text("math.plus('x', 1)"), HV_EFAILED);
    assert_non_null(strstr(hvlua_error(lua), "bad argument #1"));
    assert_int_equal(do_text("assert(not pcall(math.plus)) assert(math.plus(1, 1) == 2)"), 0);
    assert_int_equal(hvlua_register(lua, "print.x", add, NULL), HV_EINVAL);
}

/* Calls back into Lua, in the middle of a task. */
static int call_back(lua_State *L) {
    double result = 0;
    int code = hvlua_call(hvlua_self(L), "inner", "d>d", luaL_checknumber(L, 1), &result);
    lua_pushnumber(L, code);
    lua_pushnumber(L, result);
    return 2;
}

static void test_function_calls_lua_again_inside_a_task(void **state) {
    (void)state;
    assert_int_equal(hvlua_register(lua, "call_back", call_back, NULL), 0);
    assert_int_equal(
        run_text("local hv = require 'hv'\n"
                 "function inner(x) if x == 0 then error('zero') end return x * 2 end\n"
                 "hv.sleep(1)\n"
                 "local code, result = call_back(21) assert(code == 0 and result == 42)\n"
                 "for i = 1, 200 do assert(call_back(0) ~= 0) end\n"
                 "assert(not pcall(error, 'x'))\n"
                 "function inner() hv.sleep(1) end\n"
                 "assert(call_back(1) ~= 0)\n"
                 "function inner(x) return select(2, call_back2(x)) end call_back2 = function(x)\n"
                 "  local co = coroutine.wrap(function() hv.sleep(1) end) return 0, x + 1 end\n"
                 "code, result = call_back(1) assert(result == 2, result)\n"
                 "hv.sleep(1) return result"),
        0);
    assert_int_equal(hloop_run(loop), 0);
    assert_string_equal(seen.message, "");
    assert_true(seen.number == 2);
    assert_non_null(strstr(hvlua_error(lua), "cannot wait inside a function that C has called"));
}

static hvlua_waiter_t waiter;

static int ask(lua_State *L) { return hvlua_wait(L, &waiter, luaL_optinteger(L, 1, -1)); }

static void answer(htimer_t *timer) {
    (void)timer;
    assert_int_equal(hvlua_wake(&waiter, "sd", "answer", 7.0), 0);
    assert_int_equal(hvlua_wake(&waiter, ""), HV_ECANCELED);
}

static void test_waiting_function_of_the_hosts(void **state) {
    (void)state;
    assert_int_equal(hvlua_register_waiting(lua, "ask", ask, NULL), 0);
    htimer_add(loop, answer, 2, 1);
    assert_int_equal(run_text("local text, number = ask() assert(text == 'answer')\n"
                              "local ok, message, code = ask(1)\n"
                              "assert(ok == nil and code == 'ETIMEDOUT', message)\n"
                              "return number"),
                     0);
    assert_int_equal(hloop_run(loop), 0);
    assert_string_equal(seen.message, "");
    assert_true(seen.number == 7);
    assert_int_equal(hvlua_wake(&waiter, ""), HV_ECANCELED);
    /* Where nobody may wait. */
    assert_int_equal(do_text("ask()"), HV_EFAILED);
    /* And with a callback. */
    htimer_add(loop, answer, 2, 1);
    assert_int_equal(do_text("ask(1000, function(text) told = text end)"), 0);
    assert_int_equal(hloop_run(loop), 0);
    const char *told = "";
    assert_int_equal(hvlua_get(lua, "told", "s", &told), 0);
    assert_string_equal(told, "answer");
    /* Cancelled while it waits. */
    assert_int_equal(do_text("local hv = require 'hv' local t = hv.go(ask)\n"
                             "hv.next(function() t:cancel() end)"),
                     0);
    assert_int_equal(hloop_run(loop), 0);
    assert_int_equal(hvlua_wake(&waiter, ""), HV_ECANCELED);
}

static int open_module(lua_State *L) {
    lua_newtable(L);
    lua_pushinteger(L, 11);
    lua_setfield(L, -2, "eleven");
    return 1;
}

static void test_preload_modules(void **state) {
    (void)state;
    const char *code = "local hv = require 'hv' hv.sleep(1) return { name = ... }";
    assert_int_equal(hvlua_preload(lua, "app.mod", code, strlen(code)), 0);
    assert_int_equal(hvlua_preload(lua, "app.bad", "x =", 3), HV_EFAILED);
    assert_int_equal(hvlua_preload_function(lua, "native", open_module), 0);
    assert_int_equal(hvlua_add_path(lua, "/no/such/?.lua"), 0);
    assert_int_equal(run_text("assert(require 'app.mod'.name == 'app.mod')\n"
                              "assert(package.path:find('/no/such/?.lua', 1, true) == 1)\n"
                              "assert(require 'cjson'.encode({}))\n"
                              "return require 'native'.eleven"),
                     0);
    assert_int_equal(hloop_run(loop), 0);
    assert_string_equal(seen.message, "");
    assert_true(seen.number == 11);
}

/* ---- Memory ---- */

static void test_memory_limit_is_an_error_and_no_end(void **state) {
    (void)state;
    for (int round = 0; round < 3; round++) {
        assert_int_equal(do_text("local t = {} for i = 1, 1e9 do t[i] = ('x'):rep(100) .. i end"),
                         HV_ENOMEM);
        assert_non_null(strstr(hvlua_error(lua), "not enough memory"));
        assert_int_equal(do_text("big = ('x'):rep(64 * 1024 * 1024)"), HV_ENOMEM);
        assert_int_equal(do_text("local s = 'x' for i = 1, 40 do s = s .. s end"), HV_ENOMEM);
        assert_int_equal(do_text("local t = {} for i = 1, 1e7 do t[i] = i end"), HV_ENOMEM);
        assert_int_equal(do_text("assert(pcall(function() local t = {} \n"
                                 "for i = 1, 1e9 do t[i] = {} end end) == false) caught = true"),
                         0);
    }
    assert_true(hvlua_collect(lua) < 8 << 20);
}

/* Compiled code runs no hooks, and each turn takes twice as much as the last. */
static void test_memory_limit_holds_in_compiled_code(void **state) {
    (void)state;
    assert_int_equal(do_text("require('jit.opt').start('hotloop=2')\n"
                             "function double(n) local s = 'x'\n"
                             "  for i = 1, n do s = s .. s end return #s end\n"
                             "for i = 1, 10 do double(10) end"),
                     0);
    for (int round = 0; round < 3; round++) {
        assert_int_equal(do_text("return double(40)"), HV_ENOMEM);
        assert_non_null(strstr(hvlua_error(lua), "not enough memory"));
        assert_true(hvlua_memory(lua) < 128 << 20);
        assert_int_equal(do_text("assert(double(20) == 2 ^ 20)"), 0);
    }
}

static void test_memory_limit_garbage_does_not_count(void **state) {
    (void)state;
    assert_int_equal(do_text("for i = 1, 40000 do local s = ('x'):rep(8192) .. i end"), 0);
    assert_int_equal(do_text("keep = {} for i = 1, 90 do keep[i] = ('y'):rep(100000) .. i end"), 0);
    assert_int_equal(do_text("for i = 1, 20000 do local t = { ('x'):rep(8192) .. i, {} } end"), 0);
    assert_in_range(hvlua_memory(lua), 8 << 20, 16 << 20);
}

static void test_memory_limit_in_tasks_and_loops(void **state) {
    (void)state;
    hvlua_on_error(lua, on_error, &seen);
    assert_int_equal(
        run_text("local hv = require 'hv'\n"
                 "for i = 1, 20 do hv.go(function() local t = {} while true do\n"
                 "  t[#t + 1] = ('z'):rep(1000) .. #t if #t % 100 == 0 then hv.sleep(0) end\n"
                 "end end) end\n"
                 "hv.sleep(20)\n"
                 "local ticks = 0\n"
                 "for i = 1, 10 do hv.sleep(1) ticks = ticks + 1 end return ticks"),
        0);
    assert_int_equal(hloop_run(loop), 0);
    assert_true(seen.number == 10);
    assert_true(seen.count >= 20);
    assert_non_null(strstr(seen.message, "not enough memory"));
}

static void test_memory_limit_holds_after_misuse_of_a_function(void **state) {
    (void)state;
    assert_int_equal(do_text("pcall(require('hv').sleep, 'x')\n"
                             "local t = {} for i = 1, 1e9 do t[i] = ('x'):rep(100) .. i end"),
                     HV_ENOMEM);
    assert_true(hvlua_memory(lua) < 20 << 20);
}

static void test_new_refuses_too_small_a_limit(void **state) {
    (void)state;
    errno = 0;
    assert_null(hvlua_new(NULL, 1000));
    assert_int_equal(errno, EINVAL);
}

/* ---- Several, and foreign loops ---- */

static const char several[] = "local hv = require 'hv' count = 0\n"
                              "for i = 1, 5 do hv.sleep(me + 1) count = count + 1 end\n"
                              "if me == 1 then error('one fails') end return me";

static void test_several_runtimes_on_one_loop_know_nothing_of_each_other(void **state) {
    (void)state;
    hvlua_t *others[3];
    for (int i = 0; i < 3; i++) {
        others[i] = hvlua_new(loop, 0);
        assert_non_null(others[i]);
        assert_int_equal(hvlua_set(others[i], "me", "i", i), 0);
        assert_int_equal(
            hvlua_run_string(others[i], several, sizeof several - 1, "=x", on_done, &seen), 0);
    }
    assert_int_equal(hloop_run(loop), 0);
    assert_int_equal(seen.count, 3);
    for (int i = 0; i < 3; i++) {
        int count = 0;
        assert_int_equal(hvlua_get(others[i], "count", "i", &count), 0);
        assert_int_equal(count, 5);
    }
    assert_int_equal(hvlua_get(lua, "me", "i", &(int){0}), HV_ENOTFOUND);
    hvlua_free(&others[1]);
    assert_int_equal(hvlua_run_string(others[2], "return 9", 8, "=x", on_done, &seen), 0);
    assert_int_equal(hloop_run(loop), 0);
    assert_true(seen.number == 9);
    hvlua_free(&others[0]);
    hvlua_free(&others[2]);
}

static void test_foreign_loop_polls(void **state) {
    (void)state;
    assert_int_equal(
        run_text("local hv = require 'hv'\n"
                 "local server = assert(hv.tcp.listen({ host = '127.0.0.1', port = 0 },\n"
                 "  function(conn) conn:write(assert(conn:read(2))) end))\n"
                 "local c = assert(hv.tcp.connect { host = '127.0.0.1',\n"
                 "  port = server:port() })\n"
                 "hv.sleep(3) c:write('12') local n = tonumber(c:read(2))\n"
                 "server:close() return n"),
        0);
    struct pollfd fd = {.fd = hloop_backend_fd(loop), .events = POLLIN};
    for (int turn = 0; turn < 1000 && seen.count == 0; turn++) {
        assert_true(poll(&fd, 1, hloop_next_timeout(loop)) >= 0);
        assert_true(hloop_process_events(loop, 0) >= 0);
    }
    assert_string_equal(seen.message, "");
    assert_true(seen.number == 12);
}

#define TEST(name)    cmocka_unit_test_setup_teardown(name, set_up, tear_down)
#define LIMITED(name) cmocka_unit_test_setup_teardown(name, set_up_limited, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_call_arguments_and_results_of_each_letter),
        TEST(test_state_and_userdata_are_the_runtimes),
        TEST(test_call_result_of_other_type_is_an_error),
        TEST(test_set_and_get_by_path),
        TEST(test_do_string_error_tells_message_and_traceback),
        TEST(test_wait_in_a_call_is_an_error_that_says_so),
        TEST(test_error_of_task_goes_to_on_error_once),
        TEST(test_run_string_waits_and_tells_results),
        TEST(test_run_string_error_goes_to_on_done_alone),
        TEST(test_start_function_with_arguments),
        TEST(test_free_tells_those_that_have_not_ended),
        TEST(test_free_closes_servers_and_connections),
        TEST(test_stop_ends_its_loop_alone),
        TEST(test_register_function_with_userdata),
        TEST(test_function_calls_lua_again_inside_a_task),
        TEST(test_waiting_function_of_the_hosts),
        TEST(test_preload_modules),
        LIMITED(test_memory_limit_is_an_error_and_no_end),
        LIMITED(test_memory_limit_holds_in_compiled_code),
        LIMITED(test_memory_limit_garbage_does_not_count),
        LIMITED(test_memory_limit_in_tasks_and_loops),
        LIMITED(test_memory_limit_holds_after_misuse_of_a_function),
        TEST(test_new_refuses_too_small_a_limit),
        TEST(test_several_runtimes_on_one_loop_know_nothing_of_each_other),
        TEST(test_foreign_loop_polls),
        LIMITED(test_function_calls_lua_again_inside_a_task),
        LIMITED(test_free_closes_servers_and_connections),
        LIMITED(test_waiting_function_of_the_hosts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
