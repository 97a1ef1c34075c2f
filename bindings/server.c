/* server.c - `_hv.server`: which worker this is, the configuration, being ready, being asked to
 * finish; and the sockets that workers share.
 *
 * Under a master a script opens no listener of its own: listen() gets the descriptor from the
 * master, which keeps it while workers come and go (hworker_listen). */
#include "server.h"

#include "hmaster.h"

hvl_server_facts_t hvl_server_facts = {.port = -1, .grace_ms = 10000};

int hvl_shared_socket(const char *host, int port, int backlog, int flags) {
    hworker_t *worker = hworker_self();
    if (worker == NULL) return HV_ENOTFOUND;
    int fd = hworker_listen(worker, host, port, backlog, flags);
    /* A name that is no address has a code of its own here; the caller's way finds the same. */
    return fd;
}

int hvl_is_worker(void) { return hworker_self() != NULL; }

void hvl_drain(hvl_t *rt) {
    hvl_task_t *task = hvl_task_begin_ref(rt, rt->drain_ref);
    if (task != NULL) {
        hvl_task_run(task, 0);
        return;
    }
    rt->is_stopped = 1;
    if (rt->loop != NULL) hloop_stop(rt->loop);
}

/* ---- The configuration ---- */

/* Whether the text is what tostring() would make of a whole number: then nothing is lost. */
static int is_whole_number(const char *text) {
    size_t digits = strspn(text + (*text == '-'), "0123456789");
    const char *first = text + (*text == '-');
    if (digits == 0 || digits > 14 || first[digits] != '\0') return 0;
    return *first != '0' || (digits == 1 && first == text);
}

static void push_value(lua_State *L, const char *value) {
    if (is_whole_number(value)) {
        lua_pushnumber(L, strtod(value, NULL));
    } else if (strcmp(value, "true") == 0 || strcmp(value, "false") == 0) {
        lua_pushboolean(L, *value == 't');
    } else {
        lua_pushstring(L, value);
    }
}

/* Pushes { key = value, section = { key = value } }. */
static void push_config(lua_State *L, const hini_t *config) {
    const char *section, *key, *value;
    size_t cursor = 0;
    lua_newtable(L);
    while (config != NULL && hini_next(config, &cursor, &section, &key, &value)) {
        lua_pushvalue(L, -1);
        if (*section != '\0') {
            lua_getfield(L, -1, section);
            if (!lua_istable(L, -1)) {
                lua_pop(L, 1);
                lua_newtable(L);
                lua_pushvalue(L, -1);
                lua_setfield(L, -3, section);
            }
            lua_remove(L, -2);
        }
        push_value(L, value);
        lua_setfield(L, -2, key);
        lua_pop(L, 1);
    }
}

/* Pushes { { section, key, value, line } ... } in the file's order. */
static void push_entries(lua_State *L, const hini_t *config) {
    const char *section, *key, *value;
    size_t cursor = 0;
    lua_newtable(L);
    for (int i = 1; config != NULL && hini_next(config, &cursor, &section, &key, &value); i++) {
        lua_createtable(L, 4, 0);
        lua_pushstring(L, section);
        lua_rawseti(L, -2, 1);
        lua_pushstring(L, key);
        lua_rawseti(L, -2, 2);
        lua_pushstring(L, value);
        lua_rawseti(L, -2, 3);
        lua_pushinteger(L, hini_line(config, section, key));
        lua_rawseti(L, -2, 4);
        lua_rawseti(L, -2, i);
    }
}

/* ---- Functions ---- */

/* config_entries([path]) -> entries, name: of the configuration of -c, or of a file; or nil,
 * message, code */
static int config_entries(lua_State *L) {
    const hvl_server_facts_t *known = &hvl_server_facts;
    const char *path = luaL_optstring(L, 1, NULL);
    char error[HINI_ERROR_BYTES];
    if (path == NULL) {
        push_entries(L, known->config);
        lua_pushstring(L, known->confile != NULL ? known->confile : "(no configuration)");
        return 2;
    }
    hini_t *config = hini_load(path, error, sizeof error);
    if (config == NULL) {
        lua_pushnil(L);
        lua_pushstring(L, error);
        lua_pushstring(L, herr_name(HV_EINVAL));
        return 3;
    }
    push_entries(L, config);
    hini_free(config);
    lua_pushvalue(L, 1);
    return 2;
}

/* facts() -> what hvl_server_facts has, as a new table */
static int facts(lua_State *L) {
    const hvl_server_facts_t *known = &hvl_server_facts;
    const hworker_t *worker = hworker_self();
    lua_createtable(L, 0, 8);
    lua_pushboolean(L, known->is_server);
    lua_setfield(L, -2, "is_server");
    lua_pushboolean(L, known->is_watching);
    lua_setfield(L, -2, "is_watching");
    lua_pushboolean(L, worker != NULL);
    lua_setfield(L, -2, "is_worker");
    lua_pushinteger(L, worker != NULL ? hworker_index(worker) : 0);
    lua_setfield(L, -2, "worker_id");
    lua_pushinteger(L, known->worker_count > 0 ? known->worker_count : 1);
    lua_setfield(L, -2, "worker_count");
    lua_pushnumber(L, known->grace_ms);
    lua_setfield(L, -2, "grace");
    lua_pushstring(L, known->confile);
    lua_setfield(L, -2, "confile");
    if (known->port >= 0) {
        lua_pushinteger(L, known->port);
        lua_setfield(L, -2, "port");
    }
    push_config(L, known->config);
    lua_setfield(L, -2, "config");
    return 1;
}

/* is_taken(index): whether an argument of the command line was a server option's */
static int is_taken(lua_State *L) {
    int index = (int)luaL_checkinteger(L, 1);
    lua_pushboolean(L, hvl_server_facts.taken != NULL && hvl_server_facts.taken[index] != 0);
    return 1;
}

static int usage(lua_State *L) {
    lua_pushstring(L, hvl_serve_usage());
    return 1;
}

/* complain(text): on stderr, and in the log where there is one */
static int complain(lua_State *L) {
    hvl_complain("%s", luaL_checkstring(L, 1));
    return 0;
}

static int ready(lua_State *L) {
    (void)L;
    if (hworker_self() != NULL) hworker_ready(hworker_self());
    return 0;
}

static int reload(lua_State *L) {
    (void)L;
    if (hworker_self() != NULL) hworker_reload(hworker_self());
    return 0;
}

/* on_drain(fn): called once when the master asks the worker to finish */
static int on_drain(lua_State *L) {
    hvl_t *rt = hvl_self(L);
    luaL_checktype(L, 1, LUA_TFUNCTION);
    lua_settop(L, 1);
    hvl_unref(rt, &rt->drain_ref);
    rt->drain_ref = hvl_ref(L);
    return 0;
}

int hvl_open_server(lua_State *L) {
    static const luaL_Reg functions[] = {
        {"facts", facts},   {"is_taken", is_taken}, {"usage", usage}, {"ready", ready},
        {"reload", reload}, {"on_drain", on_drain}, {"complain", complain},
        {"config_entries", config_entries},
        {NULL, NULL}};
    hvl_t *rt = hvl_self(L);
    lua_newtable(L);
    hvl_setfuncs(L, rt, functions);
    return 1;
}
