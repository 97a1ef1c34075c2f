/* conn_facts.c - what can be asked of a connection, and set on it. */
#include "conn.h"

/* The peer's address, also after the close. */
static const struct sockaddr *peer_of(const hvl_conn_t *conn) {
    return conn->io != NULL ? hio_peeraddr(conn->io) : &conn->peer.sa;
}

static int conn_peer(lua_State *L) {
    hvl_conn_t *conn = hvl_conn_check(L);
    hvl_push_address(L, peer_of(conn));
    return 1;
}

static int conn_local_address(lua_State *L) {
    return hvl_io_push_local(L, hvl_conn_check(L)->io, "local_address");
}

static int conn_fd(lua_State *L) { return hvl_io_push_fd(L, hvl_conn_check(L)->io); }

/* set_unpack(t or nil): the Lua side has checked t. */
static int conn_set_unpack(lua_State *L) {
    hvl_conn_t *conn = hvl_conn_check(L);
    if (lua_isnoneornil(L, 2)) {
        if (conn->io != NULL) hio_unset_unpack(conn->io);
        hvl_unref(conn->object.rt, &conn->unpack_ref);
        return 0;
    }
    unpack_setting_t setting;
    if (hvl_unpack_setting(L, 2, &setting) != 0) {
        return hvl_misuse(L, "conn:set_unpack: the setting is not valid");
    }
    if (conn->io == NULL || conn->is_closed_here) {
        return hvl_push_error(L, "set_unpack", HV_ECLOSED);
    }
    struct boxed_setting {
        hvl_object_t object;
        unpack_setting_t setting;
    } *box = hvl_object_new(L, conn->object.rt, &hvl_unpack_class, sizeof *box);
    box->setting = setting;
    hio_set_unpack(conn->io, &box->setting);
    hvl_unref(conn->object.rt, &conn->unpack_ref);
    conn->unpack_ref = hvl_ref(L);
    lua_pushboolean(L, 1);
    return 1;
}

/* set_timeout(read, write, idle): each a number of milliseconds, 0 for none, or nil to keep. */
static int conn_set_timeout(lua_State *L) {
    hvl_conn_t *conn = hvl_conn_check(L);
    if (conn->io == NULL) return hvl_push_error(L, "set_timeout", HV_ECLOSED);
    if (!lua_isnoneornil(L, 2)) {
        conn->read_timeout_ms = (uint32_t)lua_tointeger(L, 2);
        if (conn->read_timer != NULL) htimer_del(conn->read_timer);
        conn->read_timer = NULL;
        if (conn->read_timeout_ms > 0 && hvl_is_waited(&conn->reader)) hvl_conn_watch_reader(conn);
    }
    if (!lua_isnoneornil(L, 3)) hio_set_write_timeout(conn->io, (int)lua_tointeger(L, 3));
    if (!lua_isnoneornil(L, 4)) hio_set_keepalive_timeout(conn->io, (int)lua_tointeger(L, 4));
    lua_pushboolean(L, 1);
    return 1;
}

static void on_heartbeat_finished(hvl_task_t *task, int status) {
    hvl_conn_t *conn = task->userdata[0];
    if (status != HVL_FINISHED) hvl_conn_close(conn);
    hvl_handle_leave(&conn->handle);
}

static void on_heartbeat(hio_t *io) {
    hvl_conn_t *conn = hevent_userdata(io);
    hvl_task_t *task = hvl_handle_begin(&conn->handle, conn->heartbeat_ref, on_heartbeat_finished);
    if (task != NULL) hvl_task_run(task, 1);
}

/* heartbeat(ms, fn); 0 ends it. Not a waiting call: its function is no callback form. */
static int conn_heartbeat(lua_State *L) {
    hvl_conn_t *conn = hvl_conn_check(L);
    int ms = (int)hvl_check_integer(L, 2, "conn:heartbeat: ms", 0, INT32_MAX);
    if (ms > 0 && !lua_isfunction(L, 3)) {
        return hvl_misuse(L, "conn:heartbeat: function expected, got %s", luaL_typename(L, 3));
    }
    if (conn->io == NULL || conn->is_closed_here) return hvl_push_error(L, "heartbeat", HV_ECLOSED);
    hvl_unref(conn->object.rt, &conn->heartbeat_ref);
    if (ms > 0) {
        lua_settop(L, 3);
        conn->heartbeat_ref = hvl_ref(L);
    }
    hio_set_heartbeat(conn->io, ms, on_heartbeat);
    lua_pushboolean(L, 1);
    return 1;
}

static int conn_ref(lua_State *L) { return hvl_io_set_reference(L, hvl_conn_check(L)->io, 1); }
static int conn_unref(lua_State *L) { return hvl_io_set_reference(L, hvl_conn_check(L)->io, 0); }

/* field(conn, key): what is no method. */
int hvl_conn_field(lua_State *L) {
    hvl_conn_t *conn = hvl_conn_check(L);
    const char *key = lua_type(L, 2) == LUA_TSTRING ? lua_tostring(L, 2) : "";
    if (strcmp(key, "id") == 0 && conn->io != NULL) {
        lua_pushnumber(L, (lua_Number)hio_id(conn->io));
    } else if (strcmp(key, "_is_client") == 0) {
        lua_pushboolean(L, conn->is_client);
    } else if (strcmp(key, "data") == 0 && conn->has_data) {
        lua_getfenv(L, 1);
        lua_rawgeti(L, -1, 1);
    } else {
        lua_pushnil(L);
    }
    return 1;
}

static int conn_newindex(lua_State *L) {
    hvl_conn_t *conn = hvl_conn_check(L);
    const char *key = lua_type(L, 2) == LUA_TSTRING ? lua_tostring(L, 2) : "?";
    if (strcmp(key, "data") != 0) {
        return hvl_misuse(L, "hv.tcp: a connection has no field \"%s\" to set; use conn.data", key);
    }
    lua_settop(L, 3);
    if (conn->has_data) {
        lua_getfenv(L, 1);
    } else {
        lua_createtable(L, 1, 0);
        lua_pushvalue(L, -1);
        lua_setfenv(L, 1);
        conn->has_data = 1;
    }
    lua_insert(L, 3);
    lua_rawseti(L, 3, 1);
    return 0;
}

static const char *state_name(const hvl_conn_t *conn) {
    if (conn->is_closed_here) return "closing";
    return conn->is_connecting ? "connecting" : "open";
}

static int conn_tostring(lua_State *L) {
    hvl_conn_t *conn = hvl_conn_check(L);
    char local[128], peer[128];
    if (conn->io == NULL) {
        lua_pushfstring(L, "%s{closed -> %s}", conn->object.class_->name,
                        hvl_address_text(peer_of(conn), peer, sizeof peer));
        return 1;
    }
    lua_pushfstring(L, "%s{%s %s -> %s}", conn->object.class_->name, state_name(conn),
                    hvl_address_text(hio_localaddr(conn->io), local, sizeof local),
                    hvl_address_text(peer_of(conn), peer, sizeof peer));
    return 1;
}

const luaL_Reg hvl_conn_facts_methods[] = {{"peer", conn_peer},
                                           {"local_address", conn_local_address},
                                           {"fd", conn_fd},
                                           {"set_unpack", conn_set_unpack},
                                           {"set_timeout", conn_set_timeout},
                                           {"heartbeat", conn_heartbeat},
                                           {"ref", conn_ref},
                                           {"unref", conn_unref},
                                           {NULL, NULL}};

const luaL_Reg hvl_conn_metamethods[] = {
    {"__newindex", conn_newindex}, {"__tostring", conn_tostring}, {NULL, NULL}};
