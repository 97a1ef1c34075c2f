/* shared.c - dictionaries in shared memory for Lua (hdict.h). Tables cross as bytes that
 * lua/hv/wire.lua has encoded; it decodes them again. */
#include "bind.h"

#include <math.h>

#include "hdict.h"

#define VALUE_BYTES_FIRST 4096
#define KEYS_BYTES        262144 /* several of the longest keys */

typedef struct shared_s {
    hvl_object_t object;
    hdict_t *dict; /* NULL once an object of shm_open was closed */
    int is_shm;
} shared_t;

static const hvl_class_t shared_class = {"hv.shared.dict"};

static shared_t *check_shared(lua_State *L) {
    shared_t *self = hvl_check(L, 1, &shared_class);
    if (self->dict == NULL) hvl_misuse(L, "hv.shared.dict: it was closed");
    return self;
}

static const char *check_key(lua_State *L, const char *method, size_t *len) {
    if (lua_type(L, 2) != LUA_TSTRING) {
        hvl_misuse(L, "dict:%s: key must be a string, got %s", method, luaL_typename(L, 2));
    }
    const char *key = lua_tolstring(L, 2, len);
    if (*len == 0 || *len > HDICT_KEY_BYTES_MAX) {
        hvl_misuse(L, "dict:%s: key must have 1..%d bytes, got %d", method,
                   (int)HDICT_KEY_BYTES_MAX, (int)*len);
    }
    return key;
}

static int push_failure(lua_State *L, const char *method, int code) {
    lua_pushfstring(L, "dict:%s", method);
    hvl_push_error(L, lua_tostring(L, -1), code);
    lua_remove(L, -4);
    return 3;
}

/* open(name, bytes) -> dict */
static int shared_open(lua_State *L) {
    const char *name = luaL_checkstring(L, 1);
    size_t bytes = (size_t)luaL_checknumber(L, 2);
    shared_t *self = hvl_object_new(L, hvl_self(L), &shared_class, sizeof *self);
    self->is_shm = *name == '/';
    int code = self->is_shm ? hdict_open_shm(name, bytes, &self->dict)
                            : hdict_open(name, bytes, &self->dict);
    if (code == 0) return 1;
    lua_pushfstring(L, "hv.shared.dict %s", name);
    return hvl_push_error(L, lua_tostring(L, -1), code);
}

/* unlink(name) */
static int shared_unlink(lua_State *L) {
    int code = hdict_unlink_shm(luaL_checkstring(L, 1));
    if (code != 0) return hvl_push_error(L, "hv.shared.unlink", code);
    lua_pushboolean(L, 1);
    return 1;
}

/* get(key) -> value, is_encoded; nothing where there is none */
static int shared_get(lua_State *L) {
    shared_t *self = check_shared(L);
    size_t key_len, bytes = VALUE_BYTES_FIRST;
    const char *key = check_key(L, "get", &key_len);
    char first[VALUE_BYTES_FIRST];
    char *buffer = first;
    hdict_value_t value;
    int code;
    while ((code = hdict_get(self->dict, key, key_len, &value, buffer, bytes)) == HV_ELIMIT) {
        bytes = value.len;
        buffer = lua_newuserdata(L, bytes);
    }
    if (code == HV_ENOTFOUND) return 0;
    if (code != 0) return push_failure(L, "get", code);
    switch (value.type) {
    case HDICT_NUMBER: lua_pushnumber(L, value.number); return 1;
    case HDICT_BOOLEAN: lua_pushboolean(L, value.number != 0); return 1;
    case HDICT_BYTES: lua_pushlstring(L, value.data, value.len); return 1;
    case HDICT_ENCODED: break;
    }
    lua_pushlstring(L, value.data, value.len);
    lua_pushboolean(L, 1);
    return 2;
}

/* set(key, value, ttl, mode, is_encoded) -> true, evicted */
static int shared_set(lua_State *L) {
    static const char *const methods[] = {"set", "add", "replace"};
    shared_t *self = check_shared(L);
    int mode = (int)luaL_checkinteger(L, 5);
    size_t key_len;
    const char *key = check_key(L, methods[mode], &key_len);
    uint64_t ttl_ms = (uint64_t)luaL_optnumber(L, 4, 0);
    hdict_value_t value = {.type = HDICT_NUMBER};
    switch (lua_type(L, 3)) {
    case LUA_TNUMBER: value.number = lua_tonumber(L, 3); break;
    case LUA_TBOOLEAN:
        value.type = HDICT_BOOLEAN;
        value.number = lua_toboolean(L, 3);
        break;
    default:
        value.type = lua_toboolean(L, 6) ? HDICT_ENCODED : HDICT_BYTES;
        value.data = luaL_checklstring(L, 3, &value.len);
    }
    int is_evicted;
    int code = hdict_set(self->dict, key, key_len, &value, ttl_ms, mode, &is_evicted);
    if (code != 0) return push_failure(L, methods[mode], code);
    lua_pushboolean(L, 1);
    lua_pushboolean(L, is_evicted);
    return 2;
}

/* incr(key[, by[, init]]) -> sum, evicted; init is 0, and false where there must be one already */
static int shared_incr(lua_State *L) {
    shared_t *self = check_shared(L);
    size_t key_len;
    const char *key = check_key(L, "incr", &key_len);
    double by = 1, init = 0, sum;
    int is_strict = lua_isboolean(L, 4) && !lua_toboolean(L, 4);
    for (int i = 3; i <= 4; i++) {
        if (lua_isnoneornil(L, i) || (i == 4 && is_strict)) continue;
        if (lua_type(L, i) != LUA_TNUMBER) {
            return hvl_misuse(L, "dict:incr: %s, got %s",
                              i == 3 ? "by must be a number" : "init must be a number or false",
                              luaL_typename(L, i));
        }
        *(i == 3 ? &by : &init) = lua_tonumber(L, i);
    }
    const double *start = is_strict ? NULL : &init;
    int is_evicted;
    int code = hdict_incr(self->dict, key, key_len, by, start, &sum, &is_evicted);
    if (code != 0) return push_failure(L, "incr", code);
    lua_pushnumber(L, sum);
    lua_pushboolean(L, is_evicted);
    return 2;
}

/* delete(key) -> whether it was there */
static int shared_delete(lua_State *L) {
    shared_t *self = check_shared(L);
    size_t key_len;
    const char *key = check_key(L, "delete", &key_len);
    int code = hdict_delete(self->dict, key, key_len);
    if (code != 0 && code != HV_ENOTFOUND) return push_failure(L, "delete", code);
    lua_pushboolean(L, code == 0);
    return 1;
}

/* ttl(key) -> milliseconds, or false for ever; nothing where there is none */
static int shared_ttl(lua_State *L) {
    shared_t *self = check_shared(L);
    size_t key_len;
    const char *key = check_key(L, "ttl", &key_len);
    uint64_t ttl_ms;
    int code = hdict_ttl(self->dict, key, key_len, &ttl_ms);
    if (code != 0) return push_failure(L, "ttl", code);
    lua_pushnumber(L, (lua_Number)ttl_ms);
    return 1;
}

/* expire(key, ttl) */
static int shared_expire(lua_State *L) {
    shared_t *self = check_shared(L);
    size_t key_len;
    const char *key = check_key(L, "expire", &key_len);
    int code = hdict_expire(self->dict, key, key_len, (uint64_t)luaL_optnumber(L, 3, 0));
    if (code != 0) return push_failure(L, "expire", code);
    lua_pushboolean(L, 1);
    return 1;
}

static int shared_flush(lua_State *L) {
    shared_t *self = check_shared(L);
    int code = hdict_flush(self->dict);
    if (code != 0) return push_failure(L, "flush", code);
    lua_pushboolean(L, 1);
    return 1;
}

/* keys(max) -> list */
static int shared_keys(lua_State *L) {
    shared_t *self = check_shared(L);
    lua_Number max = luaL_optnumber(L, 2, HUGE_VAL);
    size_t bytes = KEYS_BYTES, used;
    uint8_t *buffer = lua_newuserdata(L, bytes);
    uint64_t cursor = 0;
    int count = 0;
    lua_newtable(L);
    for (;;) {
        int code = hdict_keys(self->dict, &cursor, buffer, bytes, &used);
        if (code == HV_ELIMIT) { /* many long keys in one bucket */
            bytes *= 2;
            buffer = lua_newuserdata(L, bytes);
            lua_insert(L, -2);
            continue;
        }
        if (code != 0) return push_failure(L, "keys", code);
        for (size_t at = 0; at < used && count < max;) {
            uint16_t len;
            memcpy(&len, buffer + at, sizeof len);
            lua_pushlstring(L, (const char *)buffer + at + sizeof len, len);
            lua_rawseti(L, -2, ++count);
            at += sizeof len + len;
        }
        if (cursor == 0 || count >= max) return 1;
    }
}

static int shared_stats(lua_State *L) {
    shared_t *self = check_shared(L);
    hdict_stats_t stats;
    int code = hdict_stats(self->dict, &stats);
    if (code != 0) return push_failure(L, "stats", code);
    const struct {
        const char *name;
        uint64_t number;
    } fields[] = {{"size", stats.bytes},          {"free", stats.bytes_free},
                  {"count", stats.count},         {"evictions", stats.evictions},
                  {"resets", stats.resets}};
    lua_createtable(L, 0, (int)ARRAY_SIZE(fields));
    for (size_t i = 0; i < ARRAY_SIZE(fields); i++) {
        lua_pushnumber(L, (lua_Number)fields[i].number);
        lua_setfield(L, -2, fields[i].name);
    }
    return 1;
}

static int shared_gc(lua_State *L) {
    shared_t *self = lua_touserdata(L, 1);
    if (self->is_shm) hdict_close_shm(self->dict);
    self->dict = NULL;
    return 0;
}

static int shared_close(lua_State *L) {
    shared_t *self = hvl_check(L, 1, &shared_class);
    if (self->is_shm) shared_gc(L);
    return 0;
}

static int shared_tostring(lua_State *L) {
    shared_t *self = hvl_check(L, 1, &shared_class);
    hdict_stats_t stats = {0};
    if (self->dict == NULL || hdict_stats(self->dict, &stats) != 0) {
        lua_pushliteral(L, "hv.shared.dict{closed}");
    } else {
        lua_pushfstring(L, "hv.shared.dict{%f entries}", (lua_Number)stats.count);
    }
    return 1;
}

int hvl_open_shared(lua_State *L) {
    static const luaL_Reg functions[] = {
        {"open", shared_open}, {"unlink", shared_unlink}, {NULL, NULL}};
    static const luaL_Reg methods[] = {
        {"get", shared_get},       {"set", shared_set},     {"incr", shared_incr},
        {"delete", shared_delete}, {"ttl", shared_ttl},     {"expire", shared_expire},
        {"flush", shared_flush},   {"keys", shared_keys},   {"stats", shared_stats},
        {"close", shared_close},   {NULL, NULL}};
    static const luaL_Reg metamethods[] = {
        {"__gc", shared_gc}, {"__tostring", shared_tostring}, {NULL, NULL}};
    hvl_t *rt = hvl_self(L);
    lua_newtable(L);
    hvl_setfuncs(L, rt, functions);
    hvl_class_new(L, rt, &shared_class, methods, metamethods);
    lua_setfield(L, -2, "methods");
    lua_pushnumber(L, HDICT_BYTES_MIN);
    lua_setfield(L, -2, "SIZE_MIN");
    lua_pushnumber(L, (lua_Number)HDICT_BYTES_MAX);
    lua_setfield(L, -2, "SIZE_MAX");
    return 1;
}
