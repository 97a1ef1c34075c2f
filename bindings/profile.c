/* profile.c - where a program spends its time, by LuaJIT's sampling profiler; and compiled code
 * that can be left. Only one thread's state can use that profiler, the first that asks.
 *
 * LuaJIT compiles a test of a flag into each line of its traces while the profiler is on ("l").
 * SIGPROF sets the flag, and the trace goes back to the interpreter, which calls us. A prompt needs
 * just this to interrupt `while true do end`: it switches the profiler on with an interval that
 * never passes, and sends the signal itself (hvl_leave_trace).
 *
 * The signal goes through our own handler first. It keeps samples away from LuaJIT that belong to
 * other threads, and counts those that find no Lua running: they are the loop's. */
#include "interrupt.h"

#include <luajit.h>
#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>

#include "hbase.h"

#define STACKS_MAX 16384 /* different ones; further stacks are counted as one */
#define SLOTS      (2 * STACKS_MAX)
#define FRAMES_MAX (-64) /* negative: outermost first */
#define NEVER      "li1000000000"

/* What the virtual machine was doing: the order of `states` below. */
enum { STATE_COUNT = 5 };
static const char states[] = "NICGJ";

typedef struct stack_s {
    char *text;
    uint32_t hash;
    uint32_t counts[STATE_COUNT];
} frames_t;

static struct {
    hvl_t *rt; /* whose profiler it is; NULL: nobody's */
    pthread_t thread;
    struct sigaction luajit; /* what LuaJIT does at SIGPROF */
    int checkers;            /* who wants traces that can be left */
    int is_profiling;
    volatile sig_atomic_t loop_samples;
    volatile sig_atomic_t thread_samples;
    frames_t *stacks; /* SLOTS of them */
    uint32_t stack_count;
    uint32_t other_samples; /* of stacks beyond STACKS_MAX, or without memory for them */
    int interval_ms;
    struct timespec begin;
    int64_t begin_cpu_us;
} profiler;

/* ---- Counting ---- */

static frames_t *find_stack(const char *text, size_t len) {
    uint32_t hash = 2166136261u;
    for (size_t i = 0; i < len; i++)
        hash = (hash ^ (unsigned char)text[i]) * 16777619u;
    for (uint32_t slot = hash % SLOTS;; slot = (slot + 1) % SLOTS) {
        frames_t *stack = &profiler.stacks[slot];
        if (stack->text == NULL) {
            if (profiler.stack_count == STACKS_MAX) return NULL;
            stack->text = hv_strndup(text, len);
            if (stack->text == NULL) return NULL;
            stack->hash = hash;
            profiler.stack_count++;
            return stack;
        }
        if (stack->hash == hash && strncmp(stack->text, text, len) == 0 &&
            stack->text[len] == '\0') {
            return stack;
        }
    }
}

/* Called by the interpreter at the first instruction after a sample. No Lua may run here. */
static void on_sample(void *data, lua_State *L, int samples, int vmstate) {
    (void)data;
    if (!profiler.is_profiling) return;
    size_t len;
    const char *text = luaJIT_profile_dumpstack(L, "pf\tl\n", FRAMES_MAX, &len);
    frames_t *stack = find_stack(text, len);
    const char *state = strchr(states, vmstate);
    if (stack == NULL || state == NULL || *state == '\0') {
        profiler.other_samples += (uint32_t)samples;
    } else {
        stack->counts[state - states] += (uint32_t)samples;
    }
}

static void on_sigprof(int signo) {
    if (!pthread_equal(pthread_self(), profiler.thread)) {
        profiler.thread_samples++;
    } else if (profiler.rt == NULL || profiler.rt->current == NULL) {
        profiler.loop_samples++;
    } else {
        profiler.luajit.sa_handler(signo);
    }
}

/* ---- On and off ---- */

/* What is compiled is thrown away, because the tests come into traces when they are made. */
static void start_engine(hvl_t *rt, const char *mode) {
    profiler.rt = rt;
    profiler.thread = pthread_self();
    luaJIT_profile_start(rt->L, mode, on_sample, NULL);
    sigaction(SIGPROF, NULL, &profiler.luajit);
    struct sigaction ours = profiler.luajit;
    ours.sa_handler = on_sigprof;
    ours.sa_flags |= SA_RESTART;
    sigaction(SIGPROF, &ours, NULL);
}

static void stop_engine(void) {
    luaJIT_profile_stop(profiler.rt->L);
}

/* Whether our handler is in place: a script may have used jit.profile meanwhile. */
static int is_engine_ours(void) {
    struct sigaction now;
    return profiler.rt != NULL && sigaction(SIGPROF, NULL, &now) == 0 &&
           now.sa_handler == on_sigprof;
}

void hvl_check_traces(hvl_t *rt) {
    if (profiler.rt != NULL && profiler.rt != rt) return;
    profiler.rt = rt;
    profiler.checkers++;
    hvl_check_traces_again(rt);
}

void hvl_check_traces_again(hvl_t *rt) {
    struct sigaction now;
    if (profiler.rt != rt || is_engine_ours()) return;
    /* A profile of the script's that runs is left alone: its traces can be left too, by line or
     * call. */
    if (sigaction(SIGPROF, NULL, &now) == 0 && now.sa_handler != SIG_DFL) return;
    start_engine(rt, NEVER);
}

/* Gives the profiler back, where nobody wants it any more. */
static void let_go(void) {
    if (profiler.checkers > 0 || profiler.is_profiling) return;
    if (is_engine_ours()) stop_engine();
    profiler.rt = NULL;
}

void hvl_uncheck_traces(hvl_t *rt) {
    if (profiler.rt != rt || profiler.checkers == 0) return;
    profiler.checkers--;
    let_go();
}

void hvl_leave_trace(void) {
    struct sigaction now;
    if (sigaction(SIGPROF, NULL, &now) != 0) return;
    if (now.sa_handler != SIG_DFL && now.sa_handler != SIG_IGN) raise(SIGPROF);
}

/* ---- _hv.profile ---- */

static int64_t cpu_us(void) {
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return ((int64_t)usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1000000 +
           usage.ru_utime.tv_usec + usage.ru_stime.tv_usec;
}

/* start(interval_ms) -> true, or nil, message, code */
static int start(lua_State *L) {
    hvl_t *rt = hvl_self(L);
    int interval_ms = (int)hvl_check_integer(L, 1, "interval", 1, 10000);
    if (profiler.is_profiling || (profiler.rt != NULL && profiler.rt != rt)) {
        return hvl_push_error(L, "profile", HV_EBUSY);
    }
    profiler.stacks = hv_calloc(SLOTS, sizeof *profiler.stacks);
    if (profiler.stacks == NULL) return hvl_push_error(L, "profile", HV_ENOMEM);
    profiler.loop_samples = profiler.thread_samples = 0;
    profiler.stack_count = profiler.other_samples = 0;
    profiler.interval_ms = interval_ms;
    profiler.begin_cpu_us = cpu_us();
    clock_gettime(CLOCK_MONOTONIC, &profiler.begin);
    profiler.is_profiling = 1;
    char mode[24];
    snprintf(mode, sizeof mode, "li%d", interval_ms);
    if (profiler.rt != NULL) stop_engine();
    start_engine(rt, mode);
    lua_pushboolean(L, 1);
    return 1;
}

static void set_number(lua_State *L, const char *name, lua_Number value) {
    lua_pushnumber(L, value);
    lua_setfield(L, -2, name);
}

static void push_stack(lua_State *L, const frames_t *stack) {
    lua_createtable(L, 0, STATE_COUNT + 1);
    lua_pushstring(L, stack->text);
    lua_setfield(L, -2, "text");
    for (int i = 0; i < STATE_COUNT; i++) {
        char name[2] = {states[i], '\0'};
        set_number(L, name, stack->counts[i]);
    }
}

/* stop() -> what was counted: { stacks = { { text=, N=, I=, C=, G=, J= } ... }, loop=, threads=,
 * other=, interval=, wall_ms=, cpu_ms= }, or nil where nothing was on. A stack's text has a line a
 * frame, "name\tfile:line", the outermost first. */
static int stop(lua_State *L) {
    if (!profiler.is_profiling || profiler.rt != hvl_self(L)) return 0;
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    int64_t used_us = cpu_us() - profiler.begin_cpu_us;
    hvl_t *rt = profiler.rt;
    profiler.is_profiling = 0;
    if (is_engine_ours()) stop_engine();
    if (profiler.checkers > 0) hvl_check_traces_again(rt);
    let_go();
    lua_createtable(L, 0, 8);
    set_number(L, "wall_ms",
               (lua_Number)(now.tv_sec - profiler.begin.tv_sec) * 1000 +
                   (lua_Number)(now.tv_nsec - profiler.begin.tv_nsec) / 1e6);
    set_number(L, "cpu_ms", (lua_Number)used_us / 1000);
    set_number(L, "interval", profiler.interval_ms);
    set_number(L, "loop", profiler.loop_samples);
    set_number(L, "threads", profiler.thread_samples);
    set_number(L, "other", profiler.other_samples);
    lua_newtable(L);
    int count = 0;
    for (uint32_t i = 0; i < SLOTS; i++) {
        if (profiler.stacks[i].text == NULL) continue;
        push_stack(L, &profiler.stacks[i]);
        lua_rawseti(L, -2, ++count);
        hv_free(profiler.stacks[i].text);
    }
    hv_free(profiler.stacks);
    profiler.stacks = NULL;
    lua_setfield(L, -2, "stacks");
    return 1;
}

/* at_end(fn): is called before the state is taken down, when the loop has ended. */
static int at_end(lua_State *L) {
    hvl_t *rt = hvl_self(L);
    luaL_checktype(L, 1, LUA_TFUNCTION);
    lua_settop(L, 1);
    hvl_unref(rt, &rt->at_end_ref);
    rt->at_end_ref = hvl_ref(L);
    return 0;
}

int hvl_open_profile(lua_State *L) {
    static const luaL_Reg functions[] = {
        {"start", start}, {"stop", stop}, {"at_end", at_end}, {NULL, NULL}};
    lua_newtable(L);
    hvl_setfuncs(L, hvl_self(L), functions);
    return 1;
}
