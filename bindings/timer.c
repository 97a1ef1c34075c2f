/* timer.c - hv.after, hv.every and hv.cron.
 *
 * The function and its arguments lie in the environment table of the userdata: {fn, args...}. While
 * it is armed the object is anchored; a fired or stopped one is the collector's, and reset() arms
 * it again. A cron timer is a bundle of calendar timers, one for each combination of its fields,
 * because the loop's take one value a field; two of them that meet in a minute are one run.
 *
 * A beat that comes while the previous run still waits is skipped. */
#include "bind.h"

enum { AFTER, EVERY, CRON };

typedef struct hvl_timer_s {
    hvl_object_t object;
    int kind;
    int running_count; /* runs that have not ended; above 1 only by reset() of an `after` */
    int arg_count;
    uint32_t period_ms;
    int64_t last_minute; /* CRON */
    int count;           /* of timers */
    htimer_t *timers[];  /* all NULL while it is not armed */
} hvl_timer_t;

static const hvl_class_t timer_class = {"hv.timer"};
static const char *const kind_names[] = {"after", "every", "cron"};

static int is_armed(const hvl_timer_t *self) {
    for (int i = 0; i < self->count; i++) {
        if (self->timers[i] != NULL) return 1;
    }
    return 0;
}

static void on_run_finished(hvl_task_t *task, int status) {
    (void)status;
    hvl_timer_t *self = task->userdata[0];
    if (--self->running_count == 0 && !is_armed(self)) hvl_unanchor(self);
}

static void run_timer(hvl_timer_t *self) {
    hvl_task_t *task = hvl_task_begin(self->object.rt);
    if (task == NULL) return;
    lua_State *co = task->co;
    lua_checkstack(co, self->arg_count + LUA_MINSTACK);
    hvl_push(co, self);
    lua_getfenv(co, -1);
    lua_replace(co, 1);
    for (int i = 1; i <= self->arg_count + 1; i++) lua_rawgeti(co, 1, i);
    lua_remove(co, 1);
    self->running_count++;
    task->on_finish = on_run_finished;
    task->userdata[0] = self;
    hvl_task_run(task, self->arg_count);
}

static void on_timer(htimer_t *timer) {
    hvl_timer_t *self = hevent_userdata(timer);
    if (self->kind == AFTER) self->timers[0] = NULL; /* one-shot: the loop frees it */
    if (self->kind == CRON) {
        int64_t minute = (int64_t)hloop_now(hevent_loop(timer)) / 60;
        if (minute == self->last_minute) return;
        self->last_minute = minute;
    }
    if (self->kind == AFTER || self->running_count == 0) run_timer(self);
}

/* Makes the object from a function at stack index 2 and its arguments behind it. */
static hvl_timer_t *timer_new(lua_State *L, int kind, int count) {
    int arg_count = lua_gettop(L) - 2;
    hvl_timer_t *self = hvl_object_new(L, hvl_self(L), &timer_class,
                                       sizeof *self + (size_t)count * sizeof(htimer_t *));
    self->kind = kind;
    self->count = count;
    self->arg_count = arg_count;
    lua_createtable(L, arg_count + 1, 0);
    for (int i = 0; i <= arg_count; i++) {
        lua_pushvalue(L, 2 + i);
        lua_rawseti(L, -2, i + 1);
    }
    lua_setfenv(L, -2);
    return self;
}

static int arm(hvl_timer_t *self) {
    hloop_t *loop = self->object.rt->loop;
    uint32_t repeat = self->kind == EVERY ? INFINITE : 1;
    self->timers[0] = htimer_add(loop, on_timer, self->period_ms, repeat);
    if (self->timers[0] == NULL) return hloop_last_error(loop);
    hevent_set_userdata(self->timers[0], self);
    return 0;
}

static uint32_t check_ms(lua_State *L, int index, const char *what, int64_t min) {
    lua_Number ms = lua_tonumber(L, index);
    if (lua_type(L, index) == LUA_TNUMBER && ms >= (lua_Number)min && ms < 4294967294.0) {
        uint32_t whole = (uint32_t)ms;
        return (lua_Number)whole < ms ? whole + 1 : whole; /* never too early */
    }
    return (uint32_t)hvl_check_integer(L, index, what, min, INFINITE - 1);
}

static int start(lua_State *L, int kind) {
    uint32_t period_ms = kind == EVERY ? check_ms(L, 1, "hv.every: ms", 1)
                                       : check_ms(L, 1, "hv.after: ms", 0);
    if (!lua_isfunction(L, 2)) {
        return hvl_misuse(L, "hv.%s: function expected, got %s", kind_names[kind],
                          luaL_typename(L, 2));
    }
    hvl_check_arg_count(L, kind == EVERY ? "hv.every" : "hv.after", lua_gettop(L) - 2);
    if (hvl_self(L)->loop == NULL) return hvl_push_error(L, "timer", HV_ECLOSED);
    hvl_timer_t *self = timer_new(L, kind, 1);
    self->period_ms = period_ms;
    int code = arm(self);
    if (code != 0) return hvl_push_error(L, "timer", code);
    hvl_anchor(L, -1);
    return 1;
}

static int after(lua_State *L) { return start(L, AFTER); }
static int every(lua_State *L) { return start(L, EVERY); }

static void disarm(hvl_timer_t *self) {
    for (int i = 0; i < self->count; i++) {
        if (self->timers[i] != NULL) htimer_del(self->timers[i]);
        self->timers[i] = NULL;
    }
}

/* cron(moments, fn): moments is a list of {minute, hour, day, week, month}, -1 for every. The Lua
 * side has parsed and checked them. */
static int cron(lua_State *L) {
    hvl_t *rt = hvl_self(L);
    int count = (int)lua_objlen(L, 1);
    if (rt->loop == NULL) return hvl_push_error(L, "cron", HV_ECLOSED);
    hvl_timer_t *self = timer_new(L, CRON, count);
    for (int i = 0; i < count; i++) {
        int8_t field[5];
        lua_rawgeti(L, 1, i + 1);
        for (int k = 0; k < 5; k++) {
            lua_rawgeti(L, -1, k + 1);
            field[k] = (int8_t)lua_tointeger(L, -1);
            lua_pop(L, 1);
        }
        lua_pop(L, 1);
        self->timers[i] = htimer_add_period(rt->loop, on_timer, field[0], field[1], field[2],
                                            field[3], field[4], INFINITE);
        if (self->timers[i] == NULL) {
            int code = hloop_last_error(rt->loop);
            disarm(self);
            return hvl_push_error(L, "cron", code);
        }
        hevent_set_userdata(self->timers[i], self);
    }
    hvl_anchor(L, -1);
    return 1;
}

static int timer_stop(lua_State *L) {
    hvl_timer_t *self = hvl_check(L, 1, &timer_class);
    if (self->object.rt->loop == NULL) return 0;
    disarm(self);
    if (self->running_count == 0) hvl_unanchor(self);
    return 0;
}

static int timer_reset(lua_State *L) {
    hvl_timer_t *self = hvl_check(L, 1, &timer_class);
    if (self->kind == CRON) return hvl_misuse(L, "timer:reset: a cron timer has no period");
    uint32_t period_ms = self->period_ms;
    if (!lua_isnoneornil(L, 2)) {
        period_ms = check_ms(L, 2, "timer:reset: ms", self->kind == EVERY ? 1 : 0);
    }
    if (self->object.rt->loop == NULL) return hvl_push_error(L, "timer:reset", HV_ECLOSED);
    self->period_ms = period_ms;
    if (self->timers[0] != NULL && period_ms > 0) {
        htimer_reset(self->timers[0], period_ms);
    } else {
        disarm(self);
        int code = arm(self);
        if (code != 0) return hvl_push_error(L, "timer:reset", code);
        hvl_anchor(L, 1);
    }
    lua_settop(L, 1);
    return 1;
}

static int set_reference(lua_State *L, int is_referenced) {
    hvl_timer_t *self = hvl_check(L, 1, &timer_class);
    for (int i = 0; i < self->count && self->object.rt->loop != NULL; i++) {
        if (self->timers[i] == NULL) continue;
        if (is_referenced) {
            hevent_ref(self->timers[i]);
        } else {
            hevent_unref(self->timers[i]);
        }
    }
    lua_settop(L, 1);
    return 1;
}

static int timer_ref(lua_State *L) { return set_reference(L, 1); }
static int timer_unref(lua_State *L) { return set_reference(L, 0); }

static int timer_tostring(lua_State *L) {
    hvl_timer_t *self = hvl_check(L, 1, &timer_class);
    const char *state = self->object.rt->loop != NULL && is_armed(self) ? "active" : "stopped";
    if (self->kind == CRON) {
        lua_pushfstring(L, "hv.timer{cron %s}", state);
    } else {
        lua_pushfstring(L, "hv.timer{%s %d ms %s}", kind_names[self->kind],
                        (int)self->period_ms, state);
    }
    return 1;
}

int hvl_open_timer(lua_State *L) {
    static const luaL_Reg functions[] = {
        {"after", after}, {"every", every}, {"cron", cron}, {NULL, NULL}};
    static const luaL_Reg methods[] = {{"stop", timer_stop},
                                       {"reset", timer_reset},
                                       {"ref", timer_ref},
                                       {"unref", timer_unref},
                                       {NULL, NULL}};
    static const luaL_Reg metamethods[] = {{"__tostring", timer_tostring}, {NULL, NULL}};
    hvl_t *rt = hvl_self(L);
    lua_newtable(L);
    hvl_setfuncs(L, rt, functions);
    hvl_class_new(L, rt, &timer_class, methods, metamethods);
    lua_pop(L, 1);
    return 1;
}
