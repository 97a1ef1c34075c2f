/* ws_message.c - the messages of a WebSocket, to and from Lua.
 *
 * A message is short and comes often, so the price of an entry into Lua is what counts. Where one
 * read has brought several, the task of the first takes the others too, by leaves (bind.h), which
 * lua/hv/ws.lua calls. */
#include "ws.h"

ws_shared_t *hvl_ws_new_shared(lua_State *L) {
    static const char *const kinds[] = {NULL, "text", "binary"};
    ws_shared_t *shared = lua_newuserdata(L, sizeof *shared);
    hvl_ref(L); /* as long as the state */
    memset(shared, 0, sizeof *shared);
    shared->driver_ref = LUA_NOREF;
    for (int kind = HWS_TEXT; kind <= HWS_BINARY; kind++) {
        lua_pushstring(L, kinds[kind]);
        shared->kind_refs[kind] = hvl_ref(L);
    }
    return shared;
}

/* ---- From the peer ---- */

static void push_message(lua_State *L, const ws_socket_t *socket, hws_kind_e kind, const void *data,
                         size_t len) {
    lua_pushlstring(L, data, len);
    lua_rawgeti(L, LUA_REGISTRYINDEX, socket->endpoint->shared->kind_refs[kind]);
}

/* Begins a task with on_message, or with Lua's driver of it where more may have come in this
 * read. */
static void run_on_message(ws_socket_t *socket, hws_kind_e kind, const void *data, size_t len) {
    const ws_endpoint_t *endpoint = socket->endpoint;
    int is_driven = hws_has_next(socket->ws);
    int function_ref = is_driven ? endpoint->shared->driver_ref : endpoint->message_ref;
    hvl_task_t *task = hvl_task_begin_ref(socket->object.rt, function_ref);
    if (task == NULL) return;
    if (is_driven) lua_rawgeti(task->co, LUA_REGISTRYINDEX, endpoint->message_ref);
    task->is_driven = (uint8_t)is_driven;
    hvl_push(task->co, socket);
    task->on_finish = hvl_ws_on_event_finished;
    task->userdata[0] = socket;
    socket->busy++;
    push_message(task->co, socket, kind, data, len);
    int status = hvl_task_run(task, 3 + is_driven);
    if (status == HVL_WAITING) hws_pause(socket->ws);
}

void hvl_ws_on_message(hws_t *ws, hws_kind_e kind, const void *data, size_t len) {
    ws_socket_t *socket = hws_userdata(ws);
    if (socket->is_eventful) {
        run_on_message(socket, kind, data, len);
        return;
    }
    hvl_task_t *task = hvl_wake(&socket->reader);
    if (task != NULL) {
        push_message(task->co, socket, kind, data, len);
        hvl_resume_now(task, 2);
    }
    if (!hvl_is_waited(&socket->reader)) hws_pause(ws);
}

/* The message that follows in the read, into shared->message. Returns its kind; 0: there is
 * none. */
static int take_next(ws_socket_t *socket) {
    ws_shared_t *shared = socket->endpoint->shared;
    hws_kind_e kind;
    const void *data;
    size_t len;
    if (!hws_next(socket->ws, &kind, &data, &len)) return 0;
    shared->message.data = data;
    shared->message.len = (int32_t)len;
    return (int)kind;
}

/* For the driver. A task that is held by somebody, has something to do at its end or was cancelled
 * ends here: the next message gets one of its own. */
static int leaf_next(ws_socket_t *socket) {
    if (socket->ws == NULL || !hvl_task_is_plain(socket->object.rt->current)) return 0;
    return take_next(socket);
}

/* For receive(): what it would return without having waited. */
static int leaf_receive(ws_socket_t *socket) {
    if (socket->ws == NULL || socket->is_eventful) return 0;
    const hvl_task_t *task = socket->object.rt->current;
    if (task == NULL || task->is_canceled || hvl_is_waited(&socket->reader)) return 0;
    return take_next(socket);
}

static void on_read_canceled(hvl_task_t *task, void *data) {
    (void)task;
    ws_socket_t *socket = data;
    socket->reader.task = NULL;
    if (socket->ws != NULL) hws_pause(socket->ws);
}

int hvl_ws_receive(lua_State *L) {
    if (hvl_is_dual(L)) return hvl_dual(L);
    ws_socket_t *socket = hvl_check(L, 1, &hvl_ws_class);
    int64_t timeout_ms = -1;
    if (!lua_isnoneornil(L, 2)) {
        timeout_ms = hvl_check_integer(L, 2, "ws:receive: timeout", 1, INT32_MAX);
    }
    if (socket->is_eventful) return hvl_misuse(L, "ws:receive: on_message reads this socket");
    if (!hvl_may_wait(L)) return hvl_refuse(L, NULL);
    if (socket->ws == NULL || socket->is_closed_here) return hvl_ws_push_end(L, 1);
    if (hvl_is_waited(&socket->reader)) return hvl_push_error(L, "receive", HV_EBUSY);
    hws_resume(socket->ws);
    socket->reader = hvl_wait_begin(L, "receive", timeout_ms, on_read_canceled, socket);
    return hvl_wait(L);
}

/* ---- To the peer ---- */

hws_kind_e hvl_ws_check_kind(lua_State *L, int index, const char *where) {
    if (lua_isnoneornil(L, index)) return HWS_TEXT;
    const char *word = lua_type(L, index) == LUA_TSTRING ? lua_tostring(L, index) : "";
    if (strcmp(word, "text") == 0) return HWS_TEXT;
    if (strcmp(word, "binary") == 0) return HWS_BINARY;
    hvl_misuse(L, "%s: kind must be \"text\" or \"binary\", got %s", where,
               lua_type(L, index) == LUA_TSTRING ? word : luaL_typename(L, index));
    return HWS_TEXT;
}

const char *hvl_ws_check_data(lua_State *L, const char *where, size_t *len) {
    const char *data = lua_tolstring(L, 2, len); /* a number too */
    if (data == NULL) hvl_misuse(L, "%s: string expected, got %s", where, luaL_typename(L, 2));
    return data;
}

static int is_canceled(const ws_socket_t *socket) {
    const hvl_task_t *current = socket->object.rt->current;
    return current != NULL && current->is_canceled;
}

enum { NOT_SENT, SENT, SENT_AND_HIGH };

/* send() without its errors and without its wait. Returns one of the above. */
static int leaf_send(ws_socket_t *socket, int kind, const char *data, int len) {
    if (socket->ws == NULL || is_canceled(socket)) return NOT_SENT;
    if (hvl_is_waited(&socket->writer)) return NOT_SENT;
    int code = hws_send(socket->ws, (hws_kind_e)kind, data, (size_t)len);
    if (code == HV_EAGAIN) return SENT_AND_HIGH;
    return code == 0 ? SENT : NOT_SENT;
}

static void on_write_canceled(hvl_task_t *task, void *data) {
    (void)task;
    ((ws_socket_t *)data)->writer.task = NULL;
}

/* Waits until the queue is below its mark, where one may. */
static int wait_for_room(lua_State *L, ws_socket_t *socket) {
    hio_t *io = hws_io(socket->ws);
    if (io != NULL) hio_flush(io);
    if (hws_is_open(socket->ws) && io != NULL && hio_write_is_high(io) && hvl_may_wait(L)) {
        socket->writer = hvl_wait_begin(L, "send", -1, on_write_canceled, socket);
        return hvl_wait(L);
    }
    lua_pushboolean(L, 1);
    return 1;
}

/* room(ws): true, after the queue has fallen below the mark; for what leaf_send has sent. */
static int socket_room(lua_State *L) {
    return wait_for_room(L, hvl_check(L, 1, &hvl_ws_class));
}

static int push_send_error(lua_State *L, int code) {
    int count = hvl_push_error(L, "send", code);
    if (code == HV_EINVAL) {
        lua_pushliteral(L, "send: text must be UTF-8; other bytes go as \"binary\"");
        lua_replace(L, -3);
    }
    return count;
}

int hvl_ws_send(lua_State *L) {
    if (hvl_is_dual(L)) return hvl_dual(L);
    ws_socket_t *socket = hvl_check(L, 1, &hvl_ws_class);
    size_t len;
    const char *data = hvl_ws_check_data(L, "ws:send", &len);
    hws_kind_e kind = hvl_ws_check_kind(L, 3, "ws:send");
    if (socket->ws == NULL || socket->is_closed_here) {
        return hvl_push_error(L, "send", HV_ECLOSED);
    }
    if (is_canceled(socket)) return hvl_refuse(L, NULL);
    if (hvl_is_waited(&socket->writer)) return hvl_push_error(L, "send", HV_EBUSY);
    int code = hws_send(socket->ws, kind, data, len);
    if (code == HV_EAGAIN) return wait_for_room(L, socket);
    if (code != 0) return push_send_error(L, code);
    lua_pushboolean(L, 1);
    return 1;
}

/* ---- For lua/hv/ws.lua ---- */

/* set_driver(fn): fn(on_message, ws, data, kind) calls on_message, and again while there is a
 * next. */
static int set_driver(lua_State *L) {
    ws_shared_t *shared = lua_touserdata(L, lua_upvalueindex(2));
    luaL_checktype(L, 1, LUA_TFUNCTION);
    lua_settop(L, 1);
    hvl_unref(hvl_self(L), &shared->driver_ref);
    shared->driver_ref = hvl_ref(L);
    return 0;
}

void hvl_ws_open_messages(lua_State *L, hvl_t *rt, ws_shared_t *shared) {
    static const luaL_Reg functions[] = {{"room", socket_room}, {NULL, NULL}};
    hvl_setfuncs(L, rt, functions);
    lua_pushlightuserdata(L, rt);
    lua_pushlightuserdata(L, shared);
    lua_pushcclosure(L, set_driver, 2);
    lua_setfield(L, -2, "set_driver");
    hvl_set_leaf(L, "message", &shared->message);
    hvl_set_leaf(L, "leaf_next", (const void *)leaf_next);
    hvl_set_leaf(L, "leaf_receive", (const void *)leaf_receive);
    hvl_set_leaf(L, "leaf_send", (const void *)leaf_send);
}
