/* embed.c - a program that owns its loop and lets a script decide: it gives the script functions of
 * its own, calls the script's, and goes on whatever the script does wrong.
 *
 *     embed              runs the script below
 *     embed SCRIPT.lua   runs yours, which may define on_tick(count)
 */
#include "hv/hloop.h"
#include "hv/hvlua.h"

#define MEMORY_MAX (16 << 20)
#define TICKS      5

static const char default_script[] =
    "local hv = require 'hv'\n"
    "app.say('loaded by ' .. app.name)\n"
    "function on_tick(count)\n"
    "  if count == 2 then error('the script fails at tick 2') end\n"
    "  if count == 3 then local t = {} while true do t[#t + 1] = ('x'):rep(1000) .. #t end end\n"
    "  return ('tick %d, answered from Lua'):format(count)\n"
    "end\n"
    "function slow_sum(a, b) hv.sleep(20) return a + b + app.ask() end\n";

typedef struct app_s {
    hvlua_t *lua;
    int ticks;
    hvlua_waiter_t asker; /* the task that waits in app.ask() */
} app_t;

/* app.say(text): Lua calls C. Arguments are checked as lauxlib.h does it; this one takes what
 * comes. */
static int app_say(lua_State *L) {
    const char *text = NULL;
    app_t *app = hvlua_function_userdata(L);
    /* The runtime can be used in here, too. */
    hvlua_set(app->lua, "app.last_tick", "i", app->ticks);
    if (hvlua_get(app->lua, "app.name", "s", &text) == 0) printf("%s: ", text);
    printf("a script says something at tick %d\n", app->ticks);
    return 0;
}

/* app.ask(): Lua waits for something that C does in its own time. */
static int app_ask(lua_State *L) {
    app_t *app = hvlua_function_userdata(L);
    return hvlua_wait(L, &app->asker, 5000);
}

static void on_answer(htimer_t *timer) {
    app_t *app = hevent_userdata(timer);
    hvlua_wake(&app->asker, "d", 0.5);
}

static void on_sum(hvlua_t *lua, const hvlua_outcome_t *outcome, void *userdata) {
    double sum;
    (void)userdata;
    if (hvlua_results(lua, outcome, "d", &sum) == 0) {
        printf("slow_sum: %g\n", sum);
    } else {
        printf("slow_sum failed: %s\n", outcome->message);
    }
}

static void on_tick(htimer_t *timer) {
    app_t *app = hevent_userdata(timer);
    const char *answer;
    app->ticks++;
    int code = hvlua_call(app->lua, "on_tick", "i>s", app->ticks, &answer);
    if (code == 0) {
        printf("%s\n", answer != NULL ? answer : "(nothing)");
    } else {
        /* hvlua_traceback(app->lua) would tell more. */
        printf("tick %d: %s: %s\n", app->ticks, herr_name(code), hvlua_error(app->lua));
    }
    if (app->ticks == TICKS) htimer_del(timer);
}

/* Errors of tasks, timers and servers that the script has started. */
static void on_error(hvlua_t *lua, const char *message, const char *traceback, void *userdata) {
    (void)lua;
    (void)message;
    (void)userdata;
    printf("the script failed in the background: %s\n", traceback);
}

int main(int argc, char **argv) {
    if (argc > 2 || (argc == 2 && argv[1][0] == '-')) {
        fprintf(stderr, "Usage: embed [SCRIPT.lua]\n");
        return 2;
    }
    hloop_t *loop = hloop_new(HLOOP_FLAG_QUIT_WHEN_NO_ACTIVE_EVENTS);
    app_t app = {.lua = hvlua_new(loop, MEMORY_MAX)};
    if (app.lua == NULL) {
        perror("hvlua_new");
        return 1;
    }
    hvlua_on_error(app.lua, on_error, NULL);
    hvlua_set(app.lua, "app.name", "s", "embed");
    hvlua_register(app.lua, "app.say", app_say, &app);
    hvlua_register_waiting(app.lua, "app.ask", app_ask, &app);

    int code = argc == 2 ? hvlua_do_file(app.lua, argv[1])
                         : hvlua_do_string(app.lua, default_script, sizeof default_script - 1,
                                           "=script");
    if (code != 0) printf("cannot load the script: %s\n", hvlua_traceback(app.lua));

    htimer_t *timer = htimer_add(loop, on_tick, 10, INFINITE);
    hevent_set_userdata(timer, &app);
    hevent_set_userdata(htimer_add(loop, on_answer, 100, 1), &app);
    code = hvlua_start(app.lua, on_sum, NULL, "slow_sum", "dd", 1.0, 2.0);
    if (code != 0) printf("slow_sum does not start: %s\n", hvlua_error(app.lua));

    hloop_run(loop);
    hvlua_free(&app.lua);
    hloop_free(&loop);
    return 0;
}
