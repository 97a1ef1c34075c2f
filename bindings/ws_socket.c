/* ws_socket.c - a WebSocket as Lua sees it: how it opens, whose turn it is, how it ends. Its
 * messages are in ws_message.c.
 *
 * Event style: a message begins a task with on_message, which takes those behind it in the same
 * read too; where that task waits, the socket is paused until it has ended. Task style: the socket
 * is paused but for the time a task waits in receive(), so a message goes straight from the read
 * buffer to who waits, and what comes meanwhile is kept by the runtime, within its limit.
 *
 * An object is anchored while its socket lives or a task runs a function for it. */
#include "ws.h"

const hvl_class_t hvl_ws_class = {"hv.ws"};

enum { KEPT_DATA = 1, KEPT_REQUEST, KEPT_REASON };

/* ---- Objects ---- */

static ws_socket_t *check_socket(lua_State *L) { return hvl_check(L, 1, &hvl_ws_class); }

static void hold_endpoint(lua_State *L, ws_endpoint_t *endpoint, int index) {
    if (endpoint->open++ > 0) return;
    lua_getfenv(L, index);
    lua_rawgeti(L, -1, WS_FN_MESSAGE);
    endpoint->message_ref = hvl_ref(L);
    endpoint->env_ref = hvl_ref(L);
}

static void release_endpoint(ws_endpoint_t *endpoint) {
    if (--endpoint->open > 0) return;
    hvl_unref(endpoint->object.rt, &endpoint->message_ref);
    hvl_unref(endpoint->object.rt, &endpoint->env_ref);
}

ws_socket_t *hvl_ws_new(lua_State *L, ws_endpoint_t *endpoint, int endpoint_index, hws_t *ws) {
    ws_socket_t *socket = hvl_object_new(L, endpoint->object.rt, &hvl_ws_class, sizeof *socket);
    socket->ws = ws;
    socket->endpoint = endpoint;
    socket->is_eventful = endpoint->has[WS_FN_MESSAGE];
    hold_endpoint(L, endpoint, endpoint_index);
    hvl_anchor(L, lua_gettop(L));
    hws_set_userdata(ws, socket);
    return socket;
}

/* Pushes the socket's own table, made where there is none. */
static void push_own(lua_State *L, int index) {
    ws_socket_t *socket = lua_touserdata(L, index);
    if (socket->has_data) {
        lua_getfenv(L, index);
        return;
    }
    lua_createtable(L, 1, 0);
    lua_pushvalue(L, -1);
    lua_setfenv(L, index);
    socket->has_data = 1;
}

void hvl_ws_keep(lua_State *L, ws_socket_t *socket, int key) {
    hvl_push(L, socket);
    push_own(L, lua_gettop(L));
    lua_pushvalue(L, -3);
    lua_rawseti(L, -2, key);
    lua_pop(L, 3);
}

static void leave_anchor(ws_socket_t *socket) {
    if (socket->ws == NULL && socket->busy == 0) hvl_unanchor(socket);
}

/* ---- Running a function for a socket ---- */

/* Begins a task with a function of the endpoint's, the socket behind it. NULL: there is none. */
static hvl_task_t *begin_for(ws_socket_t *socket, int which, hvl_finish_cb on_finish) {
    const ws_endpoint_t *endpoint = socket->endpoint;
    if (!endpoint->has[which]) return NULL;
    hvl_task_t *task = hvl_task_begin(socket->object.rt);
    if (task == NULL) return NULL;
    lua_rawgeti(task->co, LUA_REGISTRYINDEX, endpoint->env_ref);
    lua_rawgeti(task->co, -1, which);
    lua_replace(task->co, -2);
    hvl_push(task->co, socket);
    task->on_finish = on_finish;
    task->userdata[0] = socket;
    socket->busy++;
    return task;
}

static void wake_with(hvl_waiter_t *waiter, const char *what, int code) {
    hvl_task_t *task = hvl_wake(waiter);
    if (task != NULL) hvl_resume_later(task, hvl_push_error(task->co, what, code));
}

/* Returns 0, or HV_EINVAL for a reason that is no UTF-8: nothing was done. */
static int close_socket(ws_socket_t *socket, int code, const char *reason) {
    if (socket->ws == NULL || socket->is_closed_here) return 0;
    int result = hws_close(socket->ws, code, reason);
    if (result != 0) return result;
    socket->is_closed_here = 1;
    wake_with(&socket->reader, "receive", HV_ECLOSED);
    wake_with(&socket->writer, "send", HV_ECLOSED);
    return 0;
}

/* How a function has ended decides how the socket closes, where it does. */
static void close_after(ws_socket_t *socket, int status) {
    if (status == HVL_FAILED) {
        close_socket(socket, HWS_INTERNAL, "internal error");
    } else if (status == HVL_CANCELED) {
        close_socket(socket, HWS_GOING_AWAY, NULL);
    } else {
        close_socket(socket, HWS_NORMAL, NULL);
    }
}

static void on_task_finished(hvl_task_t *task, int status) {
    ws_socket_t *socket = task->userdata[0];
    socket->busy--;
    close_after(socket, status);
    leave_anchor(socket);
}

static void on_side_finished(hvl_task_t *task, int status) {
    ws_socket_t *socket = task->userdata[0];
    socket->busy--;
    if (status != HVL_FINISHED) close_after(socket, status);
    leave_anchor(socket);
}

void hvl_ws_on_event_finished(hvl_task_t *task, int status) {
    ws_socket_t *socket = task->userdata[0];
    socket->busy--;
    if (status != HVL_FINISHED) {
        close_after(socket, status);
    } else if (socket->ws != NULL && socket->is_eventful) {
        hws_resume(socket->ws);
    }
    leave_anchor(socket);
}

/* ---- What the runtime tells ---- */

/* Pushes a value of the own table of the socket at a stack index, or nil. */
static void push_kept(lua_State *L, int index, int key) {
    const ws_socket_t *socket = lua_touserdata(L, index);
    if (!socket->has_data) {
        lua_pushnil(L);
        return;
    }
    lua_getfenv(L, index);
    lua_rawgeti(L, -1, key);
    lua_replace(L, -2);
}

/* The request goes along with the first function, and is let go. */
static int push_request(lua_State *L, ws_socket_t *socket) {
    if (!socket->has_data) return 0;
    push_kept(L, lua_gettop(L), KEPT_REQUEST);
    lua_pushnil(L);
    hvl_ws_keep(L, socket, KEPT_REQUEST);
    return 1;
}

static void on_open(hws_t *ws) {
    ws_socket_t *socket = hws_userdata(ws);
    hvl_task_t *connecting = hvl_wake(&socket->reader);
    socket->is_opened = 1;
    hws_pause(ws); /* until on_open has ended, or somebody asks */
    if (connecting != NULL) {
        hvl_push(connecting->co, socket);
        hvl_resume_later(connecting, 1);
    }
    hvl_task_t *task = begin_for(socket, WS_FN_TASK, on_task_finished);
    if (task == NULL) task = begin_for(socket, WS_FN_OPEN, hvl_ws_on_event_finished);
    if (task != NULL) {
        int nargs = 1 + push_request(task->co, socket);
        hvl_task_run(task, nargs);
    } else if (socket->is_eventful) {
        hws_resume(ws);
    }
}

static void on_pong(hws_t *ws, const void *data, size_t len) {
    ws_socket_t *socket = hws_userdata(ws);
    hvl_task_t *task = begin_for(socket, WS_FN_PONG, on_side_finished);
    if (task == NULL) return;
    lua_pushlstring(task->co, data, len);
    hvl_task_run(task, 2);
}

static void on_drain(hws_t *ws) {
    ws_socket_t *socket = hws_userdata(ws);
    hvl_task_t *writer = hvl_wake(&socket->writer);
    socket->busy++;
    if (writer != NULL) {
        lua_pushboolean(writer->co, 1);
        hvl_resume_now(writer, 1);
    }
    hvl_task_t *task = socket->is_closed_here ? NULL
                                              : begin_for(socket, WS_FN_DRAIN, on_side_finished);
    if (task != NULL) hvl_task_run(task, 1);
    socket->busy--;
    leave_anchor(socket);
}

int hvl_ws_push_end(lua_State *L, int index) {
    const ws_socket_t *socket = lua_touserdata(L, index);
    int error = socket->error != 0 ? socket->error : HV_ECLOSED;
    push_kept(L, index, KEPT_REASON);
    const char *reason = lua_tostring(L, -1);
    if (reason == NULL) reason = herr_text(error);
    lua_pushnil(L);
    lua_pushstring(L, reason);
    lua_pushstring(L, herr_name(error));
    lua_remove(L, -4);
    return 3;
}

/* Connecting has failed: to whom it may concern. */
static void fail_connecting(const ws_socket_t *socket, hvl_task_t *task, const hws_t *ws) {
    const char *problem = hws_problem(ws);
    int count = hvl_push_error(task->co, "connect", socket->error);
    if (problem != NULL) {
        lua_pushfstring(task->co, "connect: %s", problem);
        lua_replace(task->co, -3);
    }
    hvl_resume_later(task, count);
}

static void run_on_close(ws_socket_t *socket) {
    hvl_task_t *task = begin_for(socket, WS_FN_CLOSE, on_side_finished);
    if (task == NULL) return;
    lua_State *co = task->co;
    int index = lua_gettop(co);
    lua_pushinteger(co, socket->close_code);
    push_kept(co, index, KEPT_REASON);
    if (lua_isnil(co, -1)) {
        lua_pop(co, 1);
        lua_pushstring(co, socket->error != 0 ? herr_text(socket->error) : "");
    }
    hvl_task_run(task, 3);
}

static void on_close(hws_t *ws) {
    ws_socket_t *socket = hws_userdata(ws);
    if (socket == NULL) return; /* hws_connect has failed at once */
    lua_State *L = socket->object.rt->L;
    socket->close_code = (uint16_t)hws_close_code(ws);
    socket->error = hws_error(ws);
    socket->ws = NULL;
    if (socket->object.rt->loop == NULL) return; /* the state is being taken down */
    socket->busy++;
    if (*hws_close_reason(ws) != '\0') {
        lua_pushstring(L, hws_close_reason(ws));
        hvl_ws_keep(L, socket, KEPT_REASON);
    }
    hvl_task_t *reader = hvl_wake(&socket->reader);
    if (reader != NULL && !socket->is_opened) {
        fail_connecting(socket, reader, ws);
    } else if (reader != NULL) {
        hvl_push(reader->co, socket);
        int count = hvl_ws_push_end(reader->co, lua_gettop(reader->co));
        lua_remove(reader->co, -count - 1);
        hvl_resume_later(reader, count);
    }
    wake_with(&socket->writer, "send", HV_ECLOSED);
    if (socket->is_opened) run_on_close(socket);
    socket->busy--;
    release_endpoint(socket->endpoint);
    leave_anchor(socket);
}

const hws_handlers_t hvl_ws_handlers = {
    .on_open = on_open,
    .on_message = hvl_ws_on_message,
    .on_pong = on_pong,
    .on_drain = on_drain,
    .on_close = on_close,
};

/* ---- Methods ---- */

/* ping([data]) */
static int socket_ping(lua_State *L) {
    ws_socket_t *socket = check_socket(L);
    size_t len = 0;
    const char *data = lua_isnoneornil(L, 2) ? "" : hvl_ws_check_data(L, "ws:ping", &len);
    if (len > 125) return hvl_misuse(L, "ws:ping: data must be at most 125 bytes");
    int code = socket->ws != NULL ? hws_ping(socket->ws, data, len) : HV_ECLOSED;
    if (code != 0 && code != HV_EAGAIN) return hvl_push_error(L, "ping", code);
    lua_pushboolean(L, 1);
    return 1;
}

/* close([code[, reason]]) */
static int socket_close(lua_State *L) {
    ws_socket_t *socket = check_socket(L);
    int code = HWS_NORMAL;
    if (!lua_isnoneornil(L, 2)) {
        code = (int)hvl_check_integer(L, 2, "ws:close: code", 1000, 4999);
        int is_own = code >= 3000 || code <= 1003 || (code >= 1007 && code <= 1014);
        if (!is_own) return hvl_misuse(L, "ws:close: code %d cannot be sent", code);
    }
    size_t len = 0;
    const char *reason = lua_isnoneornil(L, 3) ? NULL : lua_tolstring(L, 3, &len);
    if (reason == NULL && !lua_isnoneornil(L, 3)) {
        return hvl_misuse(L, "ws:close: reason must be a string, got %s", luaL_typename(L, 3));
    }
    if (reason != NULL && strlen(reason) != len) {
        return hvl_misuse(L, "ws:close: reason must not have a NUL");
    }
    int is_alive = socket->ws != NULL && socket->object.rt->loop != NULL;
    if (is_alive && close_socket(socket, code, reason) != 0) {
        return hvl_misuse(L, "ws:close: reason must be UTF-8");
    }
    lua_pushboolean(L, 1);
    return 1;
}

static const char *check_topic(lua_State *L, const char *where, size_t *len) {
    const char *topic = lua_type(L, 2) == LUA_TSTRING ? lua_tolstring(L, 2, len) : NULL;
    if (topic == NULL || *len == 0 || *len > 1024) {
        hvl_misuse(L, "%s: topic must be a string of 1..1024 bytes, got %s", where,
                   topic != NULL ? "one that is not" : luaL_typename(L, 2));
    }
    return topic;
}

static int socket_subscribe(lua_State *L) {
    ws_socket_t *socket = check_socket(L);
    size_t len;
    const char *topic = check_topic(L, "ws:subscribe", &len);
    int code = socket->ws != NULL ? hws_subscribe(socket->ws, topic, len) : HV_ECLOSED;
    if (code != 0) return hvl_push_error(L, "subscribe", code);
    lua_pushboolean(L, 1);
    return 1;
}

static int socket_unsubscribe(lua_State *L) {
    ws_socket_t *socket = check_socket(L);
    size_t len;
    const char *topic = check_topic(L, "ws:unsubscribe", &len);
    int code = socket->ws != NULL ? hws_unsubscribe(socket->ws, topic, len) : HV_ECLOSED;
    if (code != 0) return hvl_push_error(L, "unsubscribe", code);
    lua_pushboolean(L, 1);
    return 1;
}

static int socket_peer(lua_State *L) {
    ws_socket_t *socket = check_socket(L);
    hio_t *io = socket->ws != NULL ? hws_io(socket->ws) : NULL;
    if (io == NULL) return hvl_push_error(L, "peer", HV_ECLOSED);
    hvl_push_address(L, hio_peeraddr(io));
    return 1;
}

static int set_reference(lua_State *L, int is_referenced) {
    ws_socket_t *socket = check_socket(L);
    hio_t *io = socket->ws != NULL ? hws_io(socket->ws) : NULL;
    if (io != NULL && is_referenced) hevent_ref(io);
    if (io != NULL && !is_referenced) hevent_unref(io);
    lua_settop(L, 1);
    return 1;
}

static int socket_ref(lua_State *L) { return set_reference(L, 1); }
static int socket_unref(lua_State *L) { return set_reference(L, 0); }

/* ---- Facts ---- */

static void push_protocol(lua_State *L, const ws_socket_t *socket) {
    hhttp_slice_t protocol = {"", 0};
    if (socket->ws != NULL) protocol = hws_protocol(socket->ws);
    if (protocol.len == 0) {
        lua_pushnil(L);
    } else {
        lua_pushlstring(L, protocol.data, protocol.len);
    }
}

/* field(ws, key): what is no method. */
static int socket_field(lua_State *L) {
    ws_socket_t *socket = check_socket(L);
    const char *key = lua_type(L, 2) == LUA_TSTRING ? lua_tostring(L, 2) : "";
    if (strcmp(key, "data") == 0 && socket->has_data) {
        lua_getfenv(L, 1);
        lua_rawgeti(L, -1, KEPT_DATA);
    } else if (strcmp(key, "close_code") == 0 && socket->ws == NULL) {
        lua_pushinteger(L, socket->close_code);
    } else if (strcmp(key, "close_reason") == 0 && socket->ws == NULL && socket->has_data) {
        lua_getfenv(L, 1);
        lua_rawgeti(L, -1, KEPT_REASON);
    } else if (strcmp(key, "protocol") == 0) {
        push_protocol(L, socket);
    } else if (strcmp(key, "is_open") == 0) {
        lua_pushboolean(L, socket->ws != NULL && hws_is_open(socket->ws));
    } else if (strcmp(key, "is_deflated") == 0) {
        lua_pushboolean(L, socket->ws != NULL && hws_is_deflated(socket->ws));
    } else if (strcmp(key, "buffered") == 0) {
        lua_pushnumber(L, socket->ws != NULL ? (lua_Number)hws_write_bufsize(socket->ws) : 0);
    } else if (strcmp(key, "id") == 0 && socket->ws != NULL && hws_io(socket->ws) != NULL) {
        lua_pushnumber(L, (lua_Number)hio_id(hws_io(socket->ws)));
    } else {
        lua_pushnil(L);
    }
    return 1;
}

static int socket_newindex(lua_State *L) {
    check_socket(L);
    const char *key = lua_type(L, 2) == LUA_TSTRING ? lua_tostring(L, 2) : "?";
    if (strcmp(key, "data") != 0) {
        return hvl_misuse(L, "hv.ws: a socket has no field \"%s\" to set; use ws.data", key);
    }
    lua_settop(L, 3);
    push_own(L, 1);
    lua_insert(L, 3);
    lua_rawseti(L, 3, KEPT_DATA);
    return 0;
}

static int socket_tostring(lua_State *L) {
    ws_socket_t *socket = check_socket(L);
    hio_t *io = socket->ws != NULL ? hws_io(socket->ws) : NULL;
    char peer[128];
    if (io == NULL) {
        lua_pushfstring(L, "hv.ws{closed %d}", (int)socket->close_code);
        return 1;
    }
    lua_pushfstring(L, "hv.ws{%s %s}",
                    hws_is_open(socket->ws) ? "open"
                    : socket->is_opened     ? "closing"
                                            : "connecting",
                    hvl_address_text(hio_peeraddr(io), peer, sizeof peer));
    return 1;
}

void hvl_ws_open_objects(lua_State *L, hvl_t *rt) {
    static const luaL_Reg methods[] = {
        {"send", hvl_ws_send},           {"receive", hvl_ws_receive},
        {"ping", socket_ping},           {"close", socket_close},
        {"subscribe", socket_subscribe}, {"unsubscribe", socket_unsubscribe},
        {"peer", socket_peer},           {"ref", socket_ref},
        {"unref", socket_unref},         {NULL, NULL}};
    static const luaL_Reg metamethods[] = {
        {"__newindex", socket_newindex}, {"__tostring", socket_tostring}, {NULL, NULL}};
    static const luaL_Reg functions[] = {{"field", socket_field}, {NULL, NULL}};
    hvl_setfuncs(L, rt, functions);
    hvl_class_new(L, rt, &hvl_ws_class, methods, metamethods);
    lua_setfield(L, -2, "methods");
    hvl_class_push(L, &hvl_ws_class);
    lua_setfield(L, -2, "meta");
}
