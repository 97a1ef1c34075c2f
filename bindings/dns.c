/* dns.c - questions to the name system. Each is an object that Lua never sees: it is anchored from
 * the question until the callback, and holds who waits. */
#include "hdns.h"

#include "bind.h"

typedef struct query_s {
    hvl_object_t object;
    hdns_query_t *query; /* NULL once it has been reported */
    hvl_waiter_t waiter;
} query_t;

static const hvl_class_t query_class = {"hv.dns.query"};

/* ---- Results ---- */

static void set_integer(lua_State *L, const char *key, lua_Integer value) {
    lua_pushinteger(L, value);
    lua_setfield(L, -2, key);
}

/* A string, or a table where there is more to a record than that. */
static void push_entry(lua_State *L, const hdns_entry_t *entry) {
    if (entry->type != HDNS_MX && entry->type != HDNS_SRV) {
        lua_pushlstring(L, entry->text, entry->text_len);
        return;
    }
    lua_createtable(L, 0, 5);
    lua_pushlstring(L, entry->text, entry->text_len);
    lua_setfield(L, -2, "name");
    set_integer(L, "priority", entry->priority);
    set_integer(L, "ttl", (lua_Integer)entry->ttl);
    if (entry->type == HDNS_SRV) {
        set_integer(L, "weight", entry->weight);
        set_integer(L, "port", entry->port);
    }
}

static int push_result(lua_State *L, const hdns_result_t *result) {
    if (result->status != 0) {
        lua_pushfstring(L, "resolve %s", result->name);
        return hvl_push_error(L, lua_tostring(L, -1), result->status);
    }
    uint32_t ttl = UINT32_MAX;
    lua_createtable(L, (int)result->count, 1);
    for (size_t i = 0; i < result->count; i++) {
        push_entry(L, &result->entries[i]);
        lua_rawseti(L, -2, (int)i + 1);
        if (result->entries[i].ttl < ttl) ttl = result->entries[i].ttl;
    }
    set_integer(L, "ttl", (lua_Integer)ttl);
    return 1;
}

static void on_result(hdns_query_t *query, const hdns_result_t *result) {
    query_t *self = hevent_userdata(query);
    int is_open = self->object.rt->loop != NULL;
    self->query = NULL;
    hvl_task_t *task = is_open ? hvl_wake(&self->waiter) : NULL;
    hvl_unanchor(self);
    if (task == NULL) return;
    hvl_resume_now(task, push_result(task->co, result));
}

/* ---- Functions ---- */

static void on_canceled(hvl_task_t *task, void *data) {
    (void)task;
    query_t *self = data;
    self->waiter.task = NULL;
    hdns_cancel(self->query);
}

/* resolve(name, type, flags, timeout): all checked but the name's sense. */
static int dns_resolve(lua_State *L) {
    if (hvl_is_dual(L)) return hvl_dual(L);
    hvl_t *rt = hvl_self(L);
    const char *name = luaL_checkstring(L, 1);
    int type = (int)luaL_checkinteger(L, 2);
    hdns_options_t options = {.flags = (uint32_t)luaL_checkinteger(L, 3),
                              .timeout_ms = (uint32_t)luaL_checkinteger(L, 4)};
    if (!hvl_may_wait(L)) return hvl_refuse(L, NULL);
    if (rt->loop == NULL) return hvl_push_error(L, "resolve", HV_ECLOSED);
    query_t *self = hvl_object_new(L, rt, &query_class, sizeof *self);
    hvl_anchor(L, -1);
    self->query = hdns_resolve(rt->loop, name, (hdns_type_e)type, &options, on_result, self);
    if (self->query == NULL) {
        hvl_unanchor(self);
        lua_pushfstring(L, "resolve %s", name);
        return hvl_push_error(L, lua_tostring(L, -1), hloop_last_error(rt->loop));
    }
    self->waiter = hvl_wait_begin(L, "resolve", -1, on_canceled, self);
    return hvl_wait(L);
}

/* configure(servers or nil, search or nil, attempt_timeout, rounds, cache) */
static int dns_configure(lua_State *L) {
    hvl_t *rt = hvl_self(L);
    hdns_config_t config = {
        .servers = luaL_optstring(L, 1, NULL),
        .search = luaL_optstring(L, 2, NULL),
        .attempt_timeout_ms = (uint32_t)luaL_checkinteger(L, 3),
        .rounds = (uint32_t)luaL_checkinteger(L, 4),
        .cache_entries = (int)luaL_checkinteger(L, 5),
    };
    if (rt->loop == NULL) return hvl_push_error(L, "configure", HV_ECLOSED);
    int code = hdns_configure(rt->loop, &config);
    if (code != 0) return hvl_push_error(L, "configure", code);
    lua_pushboolean(L, 1);
    return 1;
}

/* address_bytes("127.0.0.1") -> its 4 or 16 bytes; nil where it is no address */
static int address_bytes(lua_State *L) {
    const char *text = luaL_checkstring(L, 1);
    unsigned char bytes[16];
    if (inet_pton(AF_INET, text, bytes) == 1) {
        lua_pushlstring(L, (const char *)bytes, 4);
    } else if (inet_pton(AF_INET6, text, bytes) == 1) {
        lua_pushlstring(L, (const char *)bytes, 16);
    } else {
        lua_pushnil(L);
    }
    return 1;
}

int hvl_open_dns(lua_State *L) {
    static const luaL_Reg functions[] = {
        {"resolve", dns_resolve}, {"configure", dns_configure}, {"address_bytes", address_bytes},
        {NULL, NULL}};
    hvl_t *rt = hvl_self(L);
    lua_newtable(L);
    hvl_setfuncs(L, rt, functions);
    hvl_class_new(L, rt, &query_class, NULL, NULL);
    lua_pop(L, 1);
    return 1;
}
