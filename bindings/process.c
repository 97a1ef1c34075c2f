/* process.c - other programs for Lua. The ends of their pipes are connections as hv.tcp's are.
 *
 * The object is anchored while the program runs. Its end is kept in it, so that wait() may be
 * called before and after, and by several tasks. */
#include "hspawn.h"

#include <signal.h>

#include "conn.h"

#define WAITERS_MAX 16
#define WORDS_MAX   65536

typedef struct process_s {
    hvl_object_t object;
    hspawn_t *child; /* NULL once it has ended */
    pid_t pid;
    int exit_status;
    int term_signal;
    int error;
    uint8_t kills_group;
    hvl_conn_t *pipes[3]; /* or NULL; the environment table has them, too */
    hvl_waiter_t waiters[WAITERS_MAX];
} process_t;

static const hvl_class_t process_class = {"hv.process"};

static const struct {
    const char *name;
    int number;
} signals[] = {
    {"hup", SIGHUP},   {"int", SIGINT},   {"quit", SIGQUIT}, {"ill", SIGILL},   {"trap", SIGTRAP},
    {"abrt", SIGABRT}, {"bus", SIGBUS},   {"fpe", SIGFPE},   {"kill", SIGKILL}, {"usr1", SIGUSR1},
    {"segv", SIGSEGV}, {"usr2", SIGUSR2}, {"pipe", SIGPIPE}, {"alrm", SIGALRM}, {"term", SIGTERM},
    {"chld", SIGCHLD}, {"cont", SIGCONT}, {"stop", SIGSTOP}, {"tstp", SIGTSTP}, {"ttin", SIGTTIN},
    {"ttou", SIGTTOU}, {"urg", SIGURG},   {"xcpu", SIGXCPU}, {"xfsz", SIGXFSZ}, {"winch", SIGWINCH},
    {"io", SIGIO},     {"pwr", SIGPWR},   {"sys", SIGSYS},   {"vtalrm", SIGVTALRM},
    {"prof", SIGPROF},
};

static void push_signal_name(lua_State *L, int number) {
    for (size_t i = 0; i < ARRAY_SIZE(signals); i++) {
        if (signals[i].number != number) continue;
        lua_pushstring(L, signals[i].name);
        return;
    }
    lua_pushfstring(L, "%d", number);
}

/* ---- The end ---- */

static int push_outcome(lua_State *L, const process_t *self) {
    if (self->error != 0) return hvl_push_error(L, "wait", self->error);
    if (self->term_signal == 0) {
        lua_pushinteger(L, self->exit_status);
        return 1;
    }
    lua_pushnil(L);
    push_signal_name(L, self->term_signal);
    lua_pushfstring(L, "process %d: ended by signal %s", (int)self->pid, lua_tostring(L, -1));
    lua_replace(L, -2);
    lua_pushliteral(L, "ESIGNAL");
    return 3;
}

/* What a program that has ended has left in its pipes is for those who read it; where nobody does,
 * it keeps no loop running. */
static void loosen_pipes(const process_t *self) {
    for (int i = 0; i < 3; i++) {
        hvl_conn_t *conn = self->pipes[i];
        if (conn == NULL || conn->io == NULL) continue;
        int is_used = hvl_is_waited(&conn->reader) || hvl_is_waited(&conn->writer);
        if (is_used || conn->pipe != NULL) continue;
        conn->is_loose = 1;
        hevent_unref(conn->io);
    }
}

static void on_exit_told(hspawn_t *child) {
    process_t *self = hevent_userdata(child);
    self->exit_status = hspawn_exit_status(child);
    self->term_signal = hspawn_term_signal(child);
    self->error = hspawn_error(child);
    self->child = NULL;
    if (self->object.rt->loop == NULL) return; /* the state is being taken down */
    loosen_pipes(self);
    for (int i = 0; i < WAITERS_MAX; i++) {
        hvl_task_t *task = hvl_wake(&self->waiters[i]);
        if (task != NULL) hvl_resume_later(task, push_outcome(task->co, self));
    }
    hvl_unanchor(self);
}

static process_t *check_process(lua_State *L) { return hvl_check(L, 1, &process_class); }

/* wait([timeout]) */
static int process_wait(lua_State *L) {
    if (hvl_is_dual(L)) return hvl_dual(L);
    process_t *self = check_process(L);
    int64_t timeout_ms = -1;
    if (!lua_isnoneornil(L, 2)) {
        timeout_ms = hvl_check_integer(L, 2, "process:wait: timeout", 0, UINT32_MAX - 1);
    }
    if (self->child == NULL) return push_outcome(L, self);
    if (!hvl_may_wait(L)) return hvl_refuse(L, NULL);
    int i = 0;
    while (i < WAITERS_MAX && hvl_is_waited(&self->waiters[i])) i++;
    if (i == WAITERS_MAX) return hvl_push_error(L, "wait", HV_EBUSY);
    self->waiters[i] = hvl_wait_begin(L, "wait", timeout_ms, NULL, NULL);
    return hvl_wait(L);
}

/* ---- Signals ---- */

static int check_signal(lua_State *L, int index) {
    if (lua_isnoneornil(L, index)) return SIGTERM;
    if (lua_type(L, index) == LUA_TNUMBER) {
        return (int)hvl_check_integer(L, index, "process:kill: signal", 0, NSIG - 1);
    }
    if (lua_type(L, index) != LUA_TSTRING) {
        hvl_misuse(L, "process:kill: name of a signal expected, got %s", luaL_typename(L, index));
    }
    const char *name = lua_tostring(L, index);
    const char *word = strncasecmp(name, "sig", 3) == 0 ? name + 3 : name;
    for (size_t i = 0; i < ARRAY_SIZE(signals); i++) {
        if (strcasecmp(word, signals[i].name) == 0) return signals[i].number;
    }
    return hvl_misuse(L, "process:kill: no signal is called \"%s\" (\"term\", \"kill\" ...)", name);
}

/* kill([signal]) */
static int process_kill(lua_State *L) {
    process_t *self = check_process(L);
    int signo = check_signal(L, 2);
    int code = -ESRCH;
    if (self->child != NULL && self->object.rt->loop != NULL) {
        code = self->kills_group ? hspawn_kill_group(self->child, signo)
                                 : hspawn_kill(self->child, signo);
    }
    if (code < 0) return hvl_push_error(L, "kill", code);
    lua_pushboolean(L, 1);
    return 1;
}

/* ---- Starting ---- */

/* A list of strings at a stack index as a NULL-ended array, which stays on the stack; the strings
 * are the list's. NULL where there is no list. */
static const char *const *check_words(lua_State *L, int index, const char *what) {
    if (lua_isnoneornil(L, index)) return NULL;
    int count = (int)lua_objlen(L, index);
    if (count > WORDS_MAX) hvl_misuse(L, "hv.process.spawn: too many %s", what);
    const char **words = lua_newuserdata(L, ((size_t)count + 1) * sizeof *words);
    for (int i = 0; i < count; i++) {
        size_t len = 0;
        lua_rawgeti(L, index, i + 1);
        const char *word = lua_type(L, -1) == LUA_TSTRING ? lua_tolstring(L, -1, &len) : NULL;
        lua_pop(L, 1); /* it lives in the list */
        if (word == NULL || strlen(word) != len) {
            hvl_misuse(L, "hv.process.spawn: %s must be strings without NUL", what);
        }
        words[i] = word;
    }
    words[count] = NULL;
    return words;
}

/* Puts the connection of a pipe into the object's environment table, which is on top. */
static void keep_pipe(lua_State *L, process_t *self, int number, const char *name) {
    hio_t *io = hspawn_stdio(self->child, number);
    if (io == NULL) return;
    hvl_conn_t *conn = hvl_conn_new(L, self->object.rt, io, NULL, NULL);
    hvl_conn_begin(conn);
    hio_setcb_eof(io, NULL); /* it goes one way only, so its end is the end */
    self->pipes[number] = conn;
    lua_setfield(L, -2, name);
}

/* spawn(argv, env, cwd, stdin, stdout, stderr, flags): strings and numbers are checked. */
static int spawn(lua_State *L) {
    hvl_t *rt = hvl_self(L);
    lua_settop(L, 7);
    hspawn_options_t options = {
        .argv = check_words(L, 1, "arguments"),
        .cwd = lua_isnil(L, 3) ? NULL : luaL_checkstring(L, 3),
        .stdio = {(int)luaL_checkinteger(L, 4), (int)luaL_checkinteger(L, 5),
                  (int)luaL_checkinteger(L, 6)},
        .flags = (int)luaL_checkinteger(L, 7),
    };
    options.env = check_words(L, 2, "variables");
    if (options.argv == NULL || options.argv[0] == NULL) {
        return hvl_misuse(L, "hv.process.spawn: the program is missing");
    }
    lua_pushfstring(L, "spawn %s", options.argv[0]);
    const char *what = lua_tostring(L, -1);
    if (rt->loop == NULL) return hvl_push_error(L, what, HV_ECLOSED);
    process_t *self = hvl_object_new(L, rt, &process_class, sizeof *self);
    lua_createtable(L, 0, 3);
    self->child = hspawn_start(rt->loop, &options, on_exit_told);
    if (self->child == NULL) return hvl_push_error(L, what, hloop_last_error(rt->loop));
    self->pid = hspawn_pid(self->child);
    self->kills_group = (options.flags & (HSPAWN_NEW_GROUP | HSPAWN_NEW_SESSION)) != 0;
    hevent_set_userdata(self->child, self);
    keep_pipe(L, self, 0, "stdin");
    keep_pipe(L, self, 1, "stdout");
    keep_pipe(L, self, 2, "stderr");
    lua_setfenv(L, -2);
    hvl_anchor(L, -1);
    return 1;
}

/* environ(): a list of "NAME=value". */
static int environment(lua_State *L) {
    lua_newtable(L);
    for (int i = 0; environ != NULL && environ[i] != NULL; i++) {
        lua_pushstring(L, environ[i]);
        lua_rawseti(L, -2, i + 1);
    }
    return 1;
}

/* field(process, key): what is no method. */
static int process_field(lua_State *L) {
    process_t *self = check_process(L);
    const char *key = lua_type(L, 2) == LUA_TSTRING ? lua_tostring(L, 2) : "";
    if (strcmp(key, "pid") == 0) {
        lua_pushinteger(L, self->pid);
    } else if (strcmp(key, "signal") == 0 && self->child == NULL && self->term_signal != 0) {
        push_signal_name(L, self->term_signal);
    } else if (strcmp(key, "status") == 0 && self->child == NULL && self->exit_status >= 0) {
        lua_pushinteger(L, self->exit_status);
    } else if (strncmp(key, "std", 3) == 0) {
        lua_getfenv(L, 1);
        lua_getfield(L, -1, key);
    } else {
        lua_pushnil(L);
    }
    return 1;
}

static int set_reference(lua_State *L, int is_referenced) {
    process_t *self = check_process(L);
    if (self->child != NULL && is_referenced) hevent_ref(self->child);
    if (self->child != NULL && !is_referenced) hevent_unref(self->child);
    lua_settop(L, 1);
    return 1;
}

static int process_ref(lua_State *L) { return set_reference(L, 1); }
static int process_unref(lua_State *L) { return set_reference(L, 0); }

static int process_tostring(lua_State *L) {
    process_t *self = check_process(L);
    if (self->child != NULL) {
        lua_pushfstring(L, "hv.process{%d running}", (int)self->pid);
    } else if (self->term_signal != 0) {
        push_signal_name(L, self->term_signal);
        lua_pushfstring(L, "hv.process{%d ended by signal %s}", (int)self->pid,
                        lua_tostring(L, -1));
    } else {
        lua_pushfstring(L, "hv.process{%d ended with status %d}", (int)self->pid,
                        self->exit_status);
    }
    return 1;
}

int hvl_open_process(lua_State *L) {
    static const luaL_Reg functions[] = {{"spawn", spawn},
                                         {"environ", environment},
                                         {"field", process_field},
                                         {NULL, NULL}};
    static const luaL_Reg methods[] = {{"wait", process_wait},
                                       {"kill", process_kill},
                                       {"ref", process_ref},
                                       {"unref", process_unref},
                                       {NULL, NULL}};
    static const luaL_Reg metamethods[] = {{"__tostring", process_tostring}, {NULL, NULL}};
    static const struct {
        const char *name;
        int value;
    } constants[] = {
        {"INHERIT", HSPAWN_INHERIT},     {"NULL", HSPAWN_NULL},
        {"PIPE", HSPAWN_PIPE},           {"TO_STDOUT", HSPAWN_TO_STDOUT},
        {"NEW_GROUP", HSPAWN_NEW_GROUP}, {"NEW_SESSION", HSPAWN_NEW_SESSION},
        {"KILL", HSPAWN_KILL},
    };
    hvl_t *rt = hvl_self(L);
    lua_newtable(L);
    hvl_setfuncs(L, rt, functions);
    for (size_t i = 0; i < ARRAY_SIZE(constants); i++) {
        lua_pushinteger(L, constants[i].value);
        lua_setfield(L, -2, constants[i].name);
    }
    hvl_class_new(L, rt, &process_class, methods, metamethods);
    lua_setfield(L, -2, "methods");
    hvl_class_push(L, &process_class);
    lua_setfield(L, -2, "meta");
    return 1;
}
