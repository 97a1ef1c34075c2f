/* ws_socket.c - a WebSocket as Lua sees it.
 *
 * Event style: each message begins a task with on_message; where that task waits, the socket is
 * paused until it has ended. Task style: the socket is paused but for the time a task waits in
 * receive(), so a message goes straight from the read buffer to who waits, and what comes meanwhile
 * is kept by the runtime, within its limit.
 *
 * An object is anchored while its socket lives or a task runs a function for it. */
#include "ws.h"

const hvl_class_t hvl_ws_class = {"hv.ws"};

enum { KEPT_DATA = 1, KEPT_REQUEST, KEPT_REASON };

/* ---- Objects ---- */

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

static void close_socket(ws_socket_t *socket, int code, const char *reason) {
    if (socket->ws == NULL || socket->is_closed_here) return;
    socket->is_closed_here = 1;
    hws_close(socket->ws, code, reason);
    wake_with(&socket->reader, "receive", HV_ECLOSED);
    wake_with(&socket->writer, "send", HV_ECLOSED);
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

/* After on_message or on_open: the next message may come. */
static void on_event_finished(hvl_task_t *task, int status) {
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
    if (task == NULL) task = begin_for(socket, WS_FN_OPEN, on_event_finished);
    if (task != NULL) {
        int nargs = 1 + push_request(task->co, socket);
        hvl_task_run(task, nargs);
    } else if (socket->is_eventful) {
        hws_resume(ws);
    }
}

static void push_message(lua_State *L, const ws_socket_t *socket, hws_kind_e kind, const void *data,
                         size_t len) {
    lua_pushlstring(L, data, len);
    lua_rawgeti(L, LUA_REGISTRYINDEX, socket->endpoint->words->refs[kind]);
}

static void on_message(hws_t *ws, hws_kind_e kind, const void *data, size_t len) {
    ws_socket_t *socket = hws_userdata(ws);
    if (socket->is_eventful) {
        hvl_task_t *task = hvl_task_begin_ref(socket->object.rt, socket->endpoint->message_ref);
        if (task == NULL) return;
        hvl_push(task->co, socket);
        task->on_finish = on_event_finished;
        task->userdata[0] = socket;
        socket->busy++;
        push_message(task->co, socket, kind, data, len);
        if (hvl_task_run_next(task, 3, socket) == HVL_WAITING) hws_pause(ws);
        return;
    }
    hvl_task_t *task = hvl_wake(&socket->reader);
    if (task != NULL) {
        push_message(task->co, socket, kind, data, len);
        hvl_resume_now(task, 2);
    }
    if (!hvl_is_waited(&socket->reader)) hws_pause(ws);
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

/* Pushes nil, why the socket at `index` has ended, and a code: ECLOSED in good order. */
static int push_end(lua_State *L, int index) {
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
        int count = push_end(reader->co, lua_gettop(reader->co));
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
    .on_message = on_message,
    .on_pong = on_pong,
    .on_drain = on_drain,
    .on_close = on_close,
};

/* ---- Methods ---- */

static ws_socket_t *check_socket(lua_State *L) { return hvl_check(L, 1, &hvl_ws_class); }

const ws_words_t *hvl_ws_new_words(lua_State *L) {
    static const char *const texts[] = {NULL, "text", "binary"};
    ws_words_t *words = lua_newuserdata(L, sizeof *words);
    hvl_ref(L); /* as long as the state */
    for (int kind = HWS_TEXT; kind <= HWS_BINARY; kind++) {
        lua_pushstring(L, texts[kind]);
        words->texts[kind] = lua_tostring(L, -1);
        words->refs[kind] = hvl_ref(L);
    }
    return words;
}

hws_kind_e hvl_ws_check_kind(lua_State *L, int index, const char *where) {
    if (lua_isnoneornil(L, index)) return HWS_TEXT;
    const char *word = lua_type(L, index) == LUA_TSTRING ? lua_tostring(L, index) : "";
    if (strcmp(word, "text") == 0) return HWS_TEXT;
    if (strcmp(word, "binary") == 0) return HWS_BINARY;
    hvl_misuse(L, "%s: kind must be \"text\" or \"binary\", got %s", where,
               lua_type(L, index) == LUA_TSTRING ? word : luaL_typename(L, index));
    return HWS_TEXT;
}

/* The kind of a message to be sent. */
static hws_kind_e check_kind(lua_State *L, const ws_socket_t *socket) {
    const ws_words_t *words = socket->endpoint->words;
    const char *word = lua_type(L, 3) == LUA_TSTRING ? lua_tostring(L, 3) : NULL;
    if (word == words->texts[HWS_BINARY]) return HWS_BINARY;
    return word == words->texts[HWS_TEXT] ? HWS_TEXT : hvl_ws_check_kind(L, 3, "ws:send");
}

static const char *check_data(lua_State *L, const char *where, size_t *len) {
    const char *data = lua_tolstring(L, 2, len); /* a number too */
    if (data == NULL) hvl_misuse(L, "%s: string expected, got %s", where, luaL_typename(L, 2));
    return data;
}

static void on_write_canceled(hvl_task_t *task, void *data) {
    (void)task;
    ((ws_socket_t *)data)->writer.task = NULL;
}

static int push_send_error(lua_State *L, int code, const char *what) {
    int count = hvl_push_error(L, what, code);
    if (code == HV_EINVAL) {
        lua_pushfstring(L, "%s: text must be UTF-8; other bytes go as \"binary\"", what);
        lua_replace(L, -3);
    }
    return count;
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

/* send(data[, kind]): true at once, or after the queue has fallen below the mark. */
static int socket_send(lua_State *L) {
    if (hvl_is_dual(L)) return hvl_dual(L);
    ws_socket_t *socket = check_socket(L);
    size_t len;
    const char *data = check_data(L, "ws:send", &len);
    hws_kind_e kind = check_kind(L, socket);
    if (socket->ws == NULL || socket->is_closed_here) {
        return hvl_push_error(L, "send", HV_ECLOSED);
    }
    const hvl_task_t *current = socket->object.rt->current;
    if (current != NULL && current->is_canceled) return hvl_refuse(L, NULL);
    if (hvl_is_waited(&socket->writer)) return hvl_push_error(L, "send", HV_EBUSY);
    int code = hws_send(socket->ws, kind, data, len);
    if (code == HV_EAGAIN) return wait_for_room(L, socket);
    if (code != 0) return push_send_error(L, code, "send");
    lua_pushboolean(L, 1);
    return 1;
}

static void on_read_canceled(hvl_task_t *task, void *data) {
    (void)task;
    ws_socket_t *socket = data;
    socket->reader.task = NULL;
    if (socket->ws != NULL) hws_pause(socket->ws);
}

/* receive([timeout]) -> data, kind; or nil, reason, code */
static int socket_receive(lua_State *L) {
    if (hvl_is_dual(L)) return hvl_dual(L);
    ws_socket_t *socket = check_socket(L);
    int64_t timeout_ms = -1;
    if (!lua_isnoneornil(L, 2)) {
        timeout_ms = hvl_check_integer(L, 2, "ws:receive: timeout", 1, INT32_MAX);
    }
    if (socket->is_eventful) return hvl_misuse(L, "ws:receive: on_message reads this socket");
    if (!hvl_may_wait(L)) return hvl_refuse(L, NULL);
    if (socket->ws == NULL || socket->is_closed_here) return push_end(L, 1);
    if (hvl_is_waited(&socket->reader)) return hvl_push_error(L, "receive", HV_EBUSY);
    hws_resume(socket->ws);
    socket->reader = hvl_wait_begin(L, "receive", timeout_ms, on_read_canceled, socket);
    return hvl_wait(L);
}

/* ping([data]) */
static int socket_ping(lua_State *L) {
    ws_socket_t *socket = check_socket(L);
    size_t len = 0;
    const char *data = lua_isnoneornil(L, 2) ? "" : check_data(L, "ws:ping", &len);
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
    const char *reason = lua_isnoneornil(L, 3) ? NULL : lua_tostring(L, 3);
    if (reason == NULL && !lua_isnoneornil(L, 3)) {
        return hvl_misuse(L, "ws:close: reason must be a string, got %s", luaL_typename(L, 3));
    }
    if (socket->ws != NULL && socket->object.rt->loop != NULL) close_socket(socket, code, reason);
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
        {"send", socket_send},           {"receive", socket_receive},
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
