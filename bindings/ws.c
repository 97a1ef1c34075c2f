/* ws.c - `_hv.ws`: hubs and endpoints, servers' sockets out of HTTP requests, clients that connect.
 * What a socket does is in ws_socket.c; options are checked by lua/hv/ws_options.lua. */
#include "ws.h"

#include "fields.h"
#include "http.h"
#include "http_client.h"
#include "tls.h"

#define CONNECT_HEADERS_MAX 128

static const hvl_class_t hub_class = {"hv.ws.hub"};
static const hvl_class_t endpoint_class = {"hv.ws.endpoint"};

typedef struct ws_hub_s {
    hvl_object_t object;
    hws_hub_t *hub;
} ws_hub_t;

static ws_hub_t *check_hub(lua_State *L, int index) { return hvl_check(L, index, &hub_class); }

/* ---- Hubs ---- */

/* hub() */
static int hub_new(lua_State *L) {
    hvl_t *rt = hvl_self(L);
    ws_hub_t *self = hvl_object_new(L, rt, &hub_class, sizeof *self);
    if (rt->loop == NULL) return hvl_push_error(L, "hub", HV_ECLOSED);
    self->hub = hws_hub_new(rt->loop);
    if (self->hub == NULL) return luaL_error(L, "not enough memory");
    return 1;
}

static int hub_gc(lua_State *L) {
    ws_hub_t *self = lua_touserdata(L, 1);
    hws_hub_free(self->hub);
    self->hub = NULL;
    return 0;
}

/* hub:publish(topic, data[, kind]) -> count; or nil, message, code */
static int hub_publish(lua_State *L) {
    ws_hub_t *self = check_hub(L, 1);
    size_t topic_len = 0, len = 0;
    const char *topic = lua_type(L, 2) == LUA_TSTRING ? lua_tolstring(L, 2, &topic_len) : NULL;
    if (topic == NULL || topic_len == 0 || topic_len > 1024) {
        return hvl_misuse(L, "app:publish: topic must be a string of 1..1024 bytes");
    }
    const char *data = lua_isstring(L, 3) ? lua_tolstring(L, 3, &len) : NULL;
    if (data == NULL) {
        return hvl_misuse(L, "app:publish: string expected, got %s", luaL_typename(L, 3));
    }
    hws_kind_e kind = hvl_ws_check_kind(L, 4, "app:publish");
    ws_socket_t *except = lua_isnoneornil(L, 5) ? NULL : hvl_check(L, 5, &hvl_ws_class);
    int count = hws_publish(self->hub, topic, topic_len, kind, data, len,
                            except != NULL ? except->ws : NULL);
    if (count == HV_EINVAL) {
        hvl_push_error(L, "publish", count);
        lua_pushliteral(L, "publish: text must be UTF-8; other bytes go as \"binary\"");
        lua_replace(L, -3);
        return 3;
    }
    if (count < 0) return hvl_push_error(L, "publish", count);
    lua_pushinteger(L, count);
    return 1;
}

/* hub:subscribers(topic) */
static int hub_subscribers(lua_State *L) {
    ws_hub_t *self = check_hub(L, 1);
    size_t len;
    const char *topic = luaL_checklstring(L, 2, &len);
    lua_pushnumber(L, (lua_Number)hws_subscribers(self->hub, topic, len));
    return 1;
}

static int hub_count(lua_State *L) {
    ws_hub_t *self = check_hub(L, 1);
    lua_pushnumber(L, (lua_Number)hws_hub_count(self->hub));
    return 1;
}

/* drain(): every socket says good-bye; for hv.shutdown */
static int hub_drain(lua_State *L) {
    ws_hub_t *self = check_hub(L, 1);
    if (hvl_self(L)->loop != NULL) hws_hub_close(self->hub, HWS_GOING_AWAY, "going away");
    return 0;
}

/* ---- Endpoints ---- */

/* `deflate` is a table where it is wanted. */
static void read_deflate(lua_State *L, int index, hws_deflate_t *deflate) {
    lua_getfield(L, index, "deflate");
    int at = lua_gettop(L);
    if (lua_istable(L, at)) {
        deflate->is_on = 1;
        deflate->server_takeover = hvl_field_flag(L, at, "server_context");
        deflate->client_takeover = hvl_field_flag(L, at, "client_context");
        deflate->server_window_bits = (int)hvl_field_number(L, at, "server_window_bits");
        deflate->client_window_bits = (int)hvl_field_number(L, at, "client_window_bits");
        deflate->level = (int)hvl_field_number(L, at, "level");
        deflate->bytes_min = (uint32_t)hvl_field_number(L, at, "min_bytes");
        if (deflate->bytes_min == 0) deflate->bytes_min = 1;
    }
    lua_pop(L, 1);
}

static hws_options_t read_options(lua_State *L, int index) {
    hws_options_t options = {
        .message_bytes_max = hvl_field_limit(L, index, "max_message"),
        .frame_bytes_max = UINT64_MAX,
        .fragments_max = hvl_field_limit(L, index, "max_fragments"),
        .ping_interval_ms = hvl_field_limit(L, index, "ping_interval"),
        .pong_timeout_ms = hvl_field_limit(L, index, "pong_timeout"),
        .close_timeout_ms = hvl_field_limit(L, index, "close_timeout"),
        .write_high = hvl_field_limit(L, index, "write_high"),
        .write_max = hvl_field_limit(L, index, "write_max"),
        .inbox_bytes_max = hvl_field_limit(L, index, "read_ahead"),
        .protocols = hvl_field_text(L, index, "protocols"),
        .origins = hvl_field_text(L, index, "origins"),
    };
    read_deflate(L, index, &options.deflate);
    return options;
}

/* Fills the environment table on top with the functions of the options. */
static void keep_functions(lua_State *L, int index, ws_endpoint_t *self) {
    static const char *const names[WS_FN_COUNT] = {
        [WS_FN_TASK] = "on_task",   [WS_FN_OPEN] = "on_open",   [WS_FN_MESSAGE] = "on_message",
        [WS_FN_CLOSE] = "on_close", [WS_FN_DRAIN] = "on_drain", [WS_FN_PONG] = "on_pong"};
    for (int i = WS_FN_TASK; i < WS_FN_COUNT; i++) {
        lua_getfield(L, index, names[i]);
        self->has[i] = lua_isfunction(L, -1);
        lua_rawseti(L, -2, i);
    }
}

/* endpoint(hub, options): all checked */
static int endpoint_new(lua_State *L) {
    hvl_t *rt = hvl_self(L);
    ws_hub_t *hub = check_hub(L, 1);
    luaL_checktype(L, 2, LUA_TTABLE);
    if (rt->loop == NULL) return hvl_push_error(L, "endpoint", HV_ECLOSED);
    ws_endpoint_t *self = hvl_object_new(L, rt, &endpoint_class, sizeof *self);
    self->env_ref = self->message_ref = LUA_NOREF;
    self->shared = lua_touserdata(L, lua_upvalueindex(2));
    lua_createtable(L, WS_HUB, 0);
    keep_functions(L, 2, self);
    lua_pushvalue(L, -2);
    lua_rawseti(L, -2, WS_SELF);
    lua_pushvalue(L, 1);
    lua_rawseti(L, -2, WS_HUB);
    lua_setfenv(L, -2);
    hws_options_t options = read_options(L, 2);
    self->endpoint = hws_endpoint_new(hub->hub, &options, &hvl_ws_handlers);
    if (self->endpoint == NULL) {
        return hvl_push_error(L, "endpoint", hloop_last_error(rt->loop));
    }
    return 1;
}

/* accept(endpoint, req[, request]) -> ws; nothing where the request was refused.
 *   request  a value for the first function that is called */
static int accept_request(lua_State *L) {
    ws_endpoint_t *self = hvl_check(L, 1, &endpoint_class);
    http_exchange_t *exchange = hvl_http_check_request(L, 2);
    if (exchange == NULL) return 0;
    lua_settop(L, 3);
    hws_t *ws = hws_accept(self->endpoint, exchange->req, NULL);
    if (ws == NULL) return 0;
    ws_socket_t *socket = hvl_ws_new(L, self, 1, ws);
    if (!lua_isnoneornil(L, 3)) {
        lua_pushvalue(L, 3);
        hvl_ws_keep(L, socket, 2);
    }
    return 1;
}

/* ---- Clients ---- */

/* Reads {name, value, name, value ...} at an index. Returns the number of headers, or -1. */
static int read_headers(lua_State *L, int index, hhttp_header_t headers[CONNECT_HEADERS_MAX]) {
    int count = (int)lua_objlen(L, index) / 2;
    if (count > CONNECT_HEADERS_MAX) return -1;
    for (int i = 0; i < count; i++) {
        lua_rawgeti(L, index, 2 * i + 1);
        lua_rawgeti(L, index, 2 * i + 2);
        headers[i].name.data = lua_tolstring(L, -2, &headers[i].name.len);
        headers[i].value.data = lua_tolstring(L, -1, &headers[i].value.len);
        lua_pop(L, 2); /* the table keeps them */
        if (headers[i].name.data == NULL || headers[i].value.data == NULL) return -1;
    }
    return count;
}

static void on_connect_canceled(hvl_task_t *task, void *data) {
    (void)task;
    ws_socket_t *socket = data;
    socket->reader.task = NULL;
    if (socket->ws != NULL) hws_abort(socket->ws);
}

/* connect(endpoint, url, headers, timeout, context, server_name, options) -> ws; waits. The options
 * have `proxy` and `proxy_context`. */
static int connect_to(lua_State *L) {
    if (hvl_is_dual(L)) return hvl_dual(L);
    ws_endpoint_t *self = hvl_check(L, 1, &endpoint_class);
    hhttp_header_t headers[CONNECT_HEADERS_MAX];
    luaL_checktype(L, 3, LUA_TTABLE);
    int count = read_headers(L, 3, headers);
    hws_connect_t options = {
        .url = luaL_checkstring(L, 2),
        .headers = headers,
        .header_count = count > 0 ? (size_t)count : 0,
        .timeout_ms = (uint32_t)luaL_checknumber(L, 4),
        .ssl = hvl_tls_context(L, 5),
        .server_name = lua_tostring(L, 6),
    };
    luaL_checktype(L, 7, LUA_TTABLE);
    hhttp_proxy_t proxy = {.kind = HHTTP_PROXY_NONE};
    if (hvl_http_read_proxy(L, 7, &proxy)) options.proxy = &proxy;
    options.proxy_ssl = hvl_tls_context_field(L, 7, "proxy_context");
    if (options.timeout_ms == 0) options.timeout_ms = INFINITE;
    if (!hvl_may_wait(L)) return hvl_refuse(L, NULL);
    hws_t *ws = count >= 0 ? hws_connect(self->endpoint, &options, NULL) : NULL;
    if (ws == NULL) {
        int code = count >= 0 ? hloop_last_error(self->object.rt->loop) : HV_EINVAL;
        return hvl_push_error(L, "connect", code);
    }
    ws_socket_t *socket = hvl_ws_new(L, self, 1, ws);
    socket->reader = hvl_wait_begin(L, "connect", -1, on_connect_canceled, socket);
    return hvl_wait(L);
}

/* ---- The module ---- */

int hvl_open_ws(lua_State *L) {
    static const luaL_Reg functions[] = {{"hub", hub_new},
                                         {"accept", accept_request},
                                         {"connect", connect_to},
                                         {NULL, NULL}};
    static const luaL_Reg hub_methods[] = {{"publish", hub_publish},
                                           {"subscribers", hub_subscribers},
                                           {"count", hub_count},
                                           {"drain", hub_drain},
                                           {NULL, NULL}};
    static const luaL_Reg hub_metamethods[] = {{"__gc", hub_gc}, {NULL, NULL}};
    hvl_t *rt = hvl_self(L);
    hvl_class_new(L, rt, &hub_class, hub_methods, hub_metamethods);
    lua_pop(L, 1);
    hvl_class_new(L, rt, &endpoint_class, NULL, NULL);
    lua_pop(L, 1);
    lua_newtable(L);
    hvl_setfuncs(L, rt, functions);
    ws_shared_t *shared = hvl_ws_new_shared(L);
    lua_pushlightuserdata(L, rt);
    lua_pushlightuserdata(L, shared);
    lua_pushcclosure(L, endpoint_new, 2);
    lua_setfield(L, -2, "endpoint");
    hvl_ws_open_messages(L, rt, shared);
    hvl_ws_open_objects(L, rt);
    return 1;
}
