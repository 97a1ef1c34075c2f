/* loop.c - the loop as Lua sees it: its clock, its run and stop, idle work, signals, and where the
 * errors of tasks go.
 *
 * An idle watcher and a signal watcher are the same kind of object: a handle of the loop whose
 * function lies in the environment table of the userdata, so that the collector sees cycles through
 * it. A watcher whose last run still waits is not run again until that has ended; signals that
 * come meanwhile are one run afterwards. */
#include "bind.h"

#include <signal.h>

#include "hversion.h"

typedef struct watcher_s {
    hvl_object_t object;
    hidle_t *idle;
    hsignal_t *signal;
    const char *signal_name;
    int is_running;
    int is_owed; /* a signal came while it was running */
} watcher_t;

static const hvl_class_t watcher_class = {"hv.watcher"};

static const struct {
    const char *name;
    int number;
} signal_names[] = {
    {"hup", SIGHUP},   {"int", SIGINT},   {"quit", SIGQUIT}, {"usr1", SIGUSR1},
    {"usr2", SIGUSR2}, {"term", SIGTERM}, {"chld", SIGCHLD}, {"cont", SIGCONT},
    {"alrm", SIGALRM}, {"winch", SIGWINCH}, {"tstp", SIGTSTP}, {"pipe", SIGPIPE},
};

/* ---- Watchers ---- */

static void run_watcher(watcher_t *watcher);

static void on_watcher_finished(hvl_task_t *task, int status) {
    (void)status;
    watcher_t *watcher = task->userdata[0];
    watcher->is_running = 0;
    if (watcher->idle == NULL && watcher->signal == NULL) {
        hvl_unanchor(watcher);
    } else if (watcher->is_owed) {
        watcher->is_owed = 0;
        run_watcher(watcher);
    }
}

static void run_watcher(watcher_t *watcher) {
    if (watcher->is_running) {
        watcher->is_owed = watcher->signal != NULL;
        return;
    }
    hvl_task_t *task = hvl_task_begin(watcher->object.rt);
    if (task == NULL) return;
    hvl_push(task->co, watcher);
    lua_getfenv(task->co, -1);
    lua_rawgeti(task->co, -1, 1);
    lua_replace(task->co, 1);
    lua_settop(task->co, 1);
    int nargs = 0;
    if (watcher->signal_name != NULL) {
        lua_pushstring(task->co, watcher->signal_name);
        nargs = 1;
    }
    watcher->is_running = 1;
    task->on_finish = on_watcher_finished;
    task->userdata[0] = watcher;
    hvl_task_run(task, nargs);
}

static void on_idle(hidle_t *idle) { run_watcher(hevent_userdata(idle)); }
static void on_signal(hsignal_t *sig) { run_watcher(hevent_userdata(sig)); }

/* A watcher whose function is the value at stack index `fn`. Leaves it on the stack. */
static watcher_t *watcher_new(lua_State *L, int fn) {
    watcher_t *watcher = hvl_object_new(L, hvl_self(L), &watcher_class, sizeof *watcher);
    lua_createtable(L, 1, 0);
    lua_pushvalue(L, fn);
    lua_rawseti(L, -2, 1);
    lua_setfenv(L, -2);
    return watcher;
}

static int idle(lua_State *L) {
    hvl_t *rt = hvl_self(L);
    if (!lua_isfunction(L, 1)) {
        return hvl_misuse(L, "hv.idle: function expected, got %s", luaL_typename(L, 1));
    }
    watcher_t *watcher = watcher_new(L, 1);
    watcher->idle = hidle_add(rt->loop, on_idle, INFINITE);
    if (watcher->idle == NULL) return hvl_push_error(L, "hv.idle", hloop_last_error(rt->loop));
    hevent_set_userdata(watcher->idle, watcher);
    hvl_anchor(L, -1);
    return 1;
}

static int signal_index(lua_State *L, const char *name) {
    char lower[16];
    size_t len = 0;
    if (strncmp(name, "SIG", 3) == 0) name += 3;
    for (; name[len] != '\0' && len < sizeof lower - 1; len++) {
        lower[len] = (char)tolower((unsigned char)name[len]);
    }
    lower[len] = '\0';
    for (size_t i = 0; i < ARRAY_SIZE(signal_names); i++) {
        if (strcmp(signal_names[i].name, lower) == 0) return (int)i;
    }
    return hvl_misuse(L,
                      "hv.on_signal: no signal is called \"%s\" (\"term\", \"int\", \"hup\" ...)",
                      name);
}

static int on_signal_name(lua_State *L) {
    hvl_t *rt = hvl_self(L);
    if (lua_type(L, 1) != LUA_TSTRING) {
        return hvl_misuse(L, "hv.on_signal: name of a signal expected, got %s",
                          luaL_typename(L, 1));
    }
    int index = signal_index(L, lua_tostring(L, 1));
    if (!lua_isfunction(L, 2)) {
        return hvl_misuse(L, "hv.on_signal: function expected, got %s", luaL_typename(L, 2));
    }
    watcher_t *watcher = watcher_new(L, 2);
    watcher->signal_name = signal_names[index].name;
    watcher->signal = hsignal_add(rt->loop, on_signal, signal_names[index].number);
    if (watcher->signal == NULL) {
        return hvl_push_error(L, "hv.on_signal", hloop_last_error(rt->loop));
    }
    hevent_set_userdata(watcher->signal, watcher);
    hevent_unref(watcher->signal); /* a program does not stay for signals alone */
    hvl_anchor(L, -1);
    return 1;
}

static int watcher_stop(lua_State *L) {
    watcher_t *watcher = hvl_check(L, 1, &watcher_class);
    if (watcher->object.rt->loop == NULL) return 0;
    hidle_del(watcher->idle);
    hsignal_del(watcher->signal);
    watcher->idle = NULL;
    watcher->signal = NULL;
    if (!watcher->is_running) hvl_unanchor(watcher);
    return 0;
}

static void *watcher_handle(const watcher_t *watcher) {
    return watcher->idle != NULL ? (void *)watcher->idle : (void *)watcher->signal;
}

static int watcher_ref(lua_State *L) {
    watcher_t *watcher = hvl_check(L, 1, &watcher_class);
    void *handle = watcher_handle(watcher);
    if (handle != NULL && watcher->object.rt->loop != NULL) hevent_ref(handle);
    lua_settop(L, 1);
    return 1;
}

static int watcher_unref(lua_State *L) {
    watcher_t *watcher = hvl_check(L, 1, &watcher_class);
    void *handle = watcher_handle(watcher);
    if (handle != NULL && watcher->object.rt->loop != NULL) hevent_unref(handle);
    lua_settop(L, 1);
    return 1;
}

static int watcher_tostring(lua_State *L) {
    watcher_t *watcher = hvl_check(L, 1, &watcher_class);
    lua_pushfstring(L, "hv.watcher{%s %s}", watcher->signal_name ? watcher->signal_name : "idle",
                    watcher_handle(watcher) != NULL ? "active" : "stopped");
    return 1;
}

/* ---- The loop ---- */

static int now(lua_State *L) {
    hvl_t *rt = hvl_self(L);
    if (rt->loop == NULL) return 0;
    lua_pushnumber(L, (lua_Number)hloop_now_hrtime(rt->loop) / 1000);
    return 1;
}

static int hrtime(lua_State *L) {
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    lua_pushnumber(L, (lua_Number)at.tv_sec * 1e9 + (lua_Number)at.tv_nsec);
    return 1;
}

static int stop(lua_State *L) {
    hvl_t *rt = hvl_self(L);
    if (!lua_isnoneornil(L, 1)) {
        rt->exit_status = (int)hvl_check_integer(L, 1, "hv.stop: status", 0, 255);
    }
    rt->is_stopped = 1;
    if (rt->loop != NULL) hloop_stop(rt->loop);
    return 0;
}

/* run(): the loop, where it does not run yet. */
static int run(lua_State *L) {
    hvl_t *rt = hvl_self(L);
    if (rt->loop != NULL && rt->current == NULL && !rt->is_stopped) hloop_run(rt->loop);
    lua_pushinteger(L, rt->exit_status);
    return 1;
}

static int on_error(lua_State *L) {
    hvl_t *rt = hvl_self(L);
    if (!lua_isfunction(L, 1) && !lua_isnil(L, 1)) {
        return hvl_misuse(L, "hv.on_error: function or nil expected, got %s", luaL_typename(L, 1));
    }
    lua_settop(L, 1);
    hvl_unref(rt, &rt->on_error_ref);
    if (lua_isfunction(L, 1)) rt->on_error_ref = hvl_ref(L);
    return 0;
}

/* refused(message): the message is for people; nil where something listens now. */
static int refused(lua_State *L) {
    hvl_t *rt = hvl_self(L);
    if (!lua_isnil(L, 1)) luaL_checkstring(L, 1);
    lua_settop(L, 1);
    hvl_unref(rt, &rt->refusal_ref);
    if (!lua_isnil(L, 1)) rt->refusal_ref = hvl_ref(L);
    return 0;
}

/* error_text(number) -> text, name */
static int error_text(lua_State *L) {
    lua_pushstring(L, herr_text((int)luaL_checkinteger(L, 1)));
    lua_pushstring(L, herr_name((int)luaL_checkinteger(L, 1)));
    return 2;
}

static int is_terminal(lua_State *L) {
    lua_pushboolean(L, isatty((int)luaL_checkinteger(L, 1)));
    return 1;
}

static int misuse(lua_State *L) { return hvl_misuse(L, "%s", luaL_checkstring(L, 1)); }

/* Handles that keep the loop running, and all of them: for specs that look for leaks. */
static int counts(lua_State *L) {
    hvl_t *rt = hvl_self(L);
    lua_pushinteger(L, (lua_Integer)hloop_nactives(rt->loop));
    lua_pushinteger(L, (lua_Integer)hloop_nios(rt->loop));
    lua_pushinteger(L, (lua_Integer)hloop_ntimers(rt->loop));
    return 3;
}

int hvl_open_loop(lua_State *L) {
    static const luaL_Reg functions[] = {
        {"now", now},       {"hrtime", hrtime},     {"stop", stop},
        {"run", run},       {"on_error", on_error}, {"on_signal", on_signal_name},
        {"idle", idle},     {"misuse", misuse},     {"error_text", error_text},
        {"counts", counts}, {"refused", refused},   {"is_terminal", is_terminal},
        {NULL, NULL}};
    static const luaL_Reg methods[] = {
        {"stop", watcher_stop}, {"ref", watcher_ref}, {"unref", watcher_unref}, {NULL, NULL}};
    static const luaL_Reg metamethods[] = {{"__tostring", watcher_tostring}, {NULL, NULL}};
    hvl_t *rt = hvl_self(L);
    lua_newtable(L);
    hvl_setfuncs(L, rt, functions);
    hvl_class_new(L, rt, &watcher_class, methods, metamethods);
    lua_pop(L, 1);
    lua_pushstring(L, hv_version());
    lua_setfield(L, -2, "version");
    return 1;
}
