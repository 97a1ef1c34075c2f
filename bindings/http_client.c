/* http_client.c - pools of HTTP connections as Lua sees them (hv.http_pool), and the start of calls
 * on them. What a program meets is built on both by lua/hv/http_client.lua. */
#include "http_client.h"

#include "fields.h"
#include "http.h"
#include "tls.h"

#define HEADERS_MAX 256 /* of one request */

typedef struct pool_s {
    hvl_object_t object;
    hhttp_client_t *client; /* NULL once closed */
} pool_t;

static const hvl_class_t pool_class = {"hv.http_pool"};

/* ---- Starting ---- */

/* The header lines of the flat list in field "headers". Returns their number. */
static size_t read_headers(lua_State *L, hhttp_header_t *headers) {
    lua_getfield(L, 2, "headers");
    size_t count = 0;
    int list = lua_gettop(L);
    if (!lua_istable(L, list)) return 0;
    for (int i = 1; count < HEADERS_MAX; i += 2) {
        lua_rawgeti(L, list, i);
        lua_rawgeti(L, list, i + 1);
        size_t name_len, value_len;
        const char *name = lua_tolstring(L, -2, &name_len);
        const char *value = lua_tolstring(L, -1, &value_len);
        lua_pop(L, 2); /* the list keeps them */
        if (name == NULL || value == NULL) break;
        headers[count].name = (hhttp_slice_t){name, name_len};
        headers[count++].value = (hhttp_slice_t){value, value_len};
    }
    return count;
}

int hvl_http_read_proxy(lua_State *L, int index, hhttp_proxy_t *proxy) {
    lua_getfield(L, index, "proxy");
    int at = lua_gettop(L);
    if (!lua_istable(L, at)) return 0;
    proxy->kind = (hhttp_proxy_e)hvl_field_number(L, at, "kind");
    proxy->host = hvl_field_text(L, at, "host");
    proxy->port = (int)hvl_field_number(L, at, "port");
    proxy->user = hvl_field_text(L, at, "user");
    proxy->password = hvl_field_text(L, at, "password");
    return 1;
}

static void read_body(lua_State *L, hhttp_call_options_t *options, int *body_ref) {
    lua_getfield(L, 2, "body");
    size_t len;
    options->is_streamed = hvl_field_flag(L, 2, "streamed");
    if (lua_type(L, -1) == LUA_TSTRING) {
        options->body = lua_tolstring(L, -1, &len);
        options->body_len = (int64_t)len;
        lua_pushvalue(L, -1);
        *body_ref = hvl_ref(L);
    } else if (options->is_streamed) {
        options->body_len = (int64_t)hvl_field_number(L, 2, "length");
    }
    options->expect_bytes = (int64_t)hvl_field_number(L, 2, "expect");
}

static void read_times(lua_State *L, hhttp_call_options_t *options) {
    options->connect_timeout_ms = hvl_field_count(L, 2, "connect_timeout");
    options->head_timeout_ms = hvl_field_count(L, 2, "head_timeout");
    options->total_timeout_ms = hvl_field_count(L, 2, "total_timeout");
    options->idle_timeout_ms = hvl_field_count(L, 2, "idle_timeout");
}

/* start(pool, spec) -> call; or nil, words, code. The Lua side has checked the fields of spec:
 * method is_https host port target unix_path headers body|streamed,length expect tls server_name
 * proxy upgrade closes fresh wants_trailers http2 max_body *_timeout collect decode. */
static int start_call(lua_State *L) {
    pool_t *pool = hvl_check(L, 1, &pool_class);
    luaL_checktype(L, 2, LUA_TTABLE);
    hvl_t *rt = pool->object.rt;
    if (pool->client == NULL || rt->loop == NULL) return hvl_push_error(L, "request", HV_ECLOSED);
    luaL_checkstack(L, 64, "too many values");
    http_call_t *self = hvl_http_call_new(L, rt);
    int at = lua_gettop(L);
    hhttp_header_t headers[HEADERS_MAX];
    hhttp_proxy_t proxy = {HHTTP_PROXY_NONE, NULL, 0, NULL, NULL};
    hhttp_call_options_t options = {
        .method = hvl_field_text(L, 2, "method"),
        .unix_path = hvl_field_text(L, 2, "unix_path"),
        .server_name = hvl_field_text(L, 2, "server_name"),
        .upgrade = hvl_field_text(L, 2, "upgrade"),
        .tls = hvl_tls_context_field(L, 2, "tls"),
        .proxy_tls = hvl_tls_context_field(L, 2, "proxy_tls"),
        .headers = headers,
        .closes = hvl_field_flag(L, 2, "closes"),
        .wants_trailers = hvl_field_flag(L, 2, "wants_trailers"),
        .is_fresh = hvl_field_flag(L, 2, "fresh"),
        .http2 = (int)hvl_field_number(L, 2, "http2"),
    };
    hvl_http_call_listen(self, &options);
    options.url.is_https = hvl_field_flag(L, 2, "is_https");
    options.url.port = (int)hvl_field_number(L, 2, "port");
    const char *host = hvl_field_text(L, 2, "host");
    const char *target = hvl_field_text(L, 2, "target");
    options.url.host = (hhttp_slice_t){host, host != NULL ? strlen(host) : 0};
    options.url.target = (hhttp_slice_t){target, target != NULL ? strlen(target) : 0};
    options.header_count = read_headers(L, headers);
    if (hvl_http_read_proxy(L, 2, &proxy)) options.proxy = &proxy;
    read_times(L, &options);
    options.body_bytes_max = hvl_field_bytes(L, 2, "max_body");
    self->collects = (uint8_t)hvl_field_flag(L, 2, "collect");
    options.decodes = hvl_field_flag(L, 2, "decode");
    read_body(L, &options, &self->body_ref);
    self->call = hhttp_call_start(pool->client, &options);
    if (self->call == NULL) {
        int code = hloop_last_error(rt->loop);
        hvl_unref(rt, &self->body_ref);
        self->is_done = 1;
        lua_pushnil(L);
        lua_pushstring(L, herr_text(code));
        lua_pushstring(L, herr_name(code));
        return 3;
    }
    hhttp_call_retain(self->call);
    lua_settop(L, at);
    return 1;
}

/* is_public_suffix(domain) */
static int is_public_suffix(lua_State *L) {
    lua_pushboolean(L, hhttp_is_public_suffix(luaL_checkstring(L, 1)));
    return 1;
}

/* ---- Pools ---- */

/* pool(options) -> pool; or nil, message, code. What is 0 takes its default. */
static int pool_new(lua_State *L) {
    hvl_t *rt = hvl_self(L);
    luaL_checktype(L, 1, LUA_TTABLE);
    if (rt->loop == NULL) return hvl_push_error(L, "hv.http.client", HV_ECLOSED);
    hhttp_client_options_t options = {
        .status_line_bytes_max = hvl_field_count(L, 1, "max_status_line"),
        .interim_max = hvl_field_count(L, 1, "max_interim"),
        .header_bytes_max = hvl_field_count(L, 1, "max_header"),
        .header_count_max = hvl_field_count(L, 1, "max_headers"),
        .connections_per_host_max = hvl_field_count(L, 1, "max_connections"),
        .idle_per_host_max = hvl_field_count(L, 1, "max_idle_per_host"),
        .idle_max = hvl_field_count(L, 1, "max_idle"),
        .waiting_max = hvl_field_count(L, 1, "max_waiting"),
        .idle_timeout_ms = hvl_field_count(L, 1, "keep_alive"),
        .streams_per_connection_max = hvl_field_count(L, 1, "max_streams"),
        .stream_window_bytes = hvl_field_count(L, 1, "stream_window"),
        .ping_interval_ms = hvl_field_count(L, 1, "ping_interval"),
        .pong_timeout_ms = hvl_field_count(L, 1, "pong_timeout"),
    };
    pool_t *pool = hvl_object_new(L, rt, &pool_class, sizeof *pool);
    pool->client = hhttp_client_new(rt->loop, &options);
    if (pool->client == NULL) {
        return hvl_push_error(L, "hv.http.client", hloop_last_error(rt->loop));
    }
    return 1;
}

static int pool_close(lua_State *L) {
    pool_t *pool = hvl_check(L, 1, &pool_class);
    if (pool->object.rt->loop != NULL) hhttp_client_close(pool->client);
    pool->client = NULL;
    return 0;
}

/* A loop that has ended has closed its clients. */
static int pool_gc(lua_State *L) {
    pool_t *pool = lua_touserdata(L, 1);
    if (pool->object.rt->loop != NULL) hhttp_client_close(pool->client);
    pool->client = NULL;
    return 0;
}

static int pool_counts(lua_State *L) {
    pool_t *pool = hvl_check(L, 1, &pool_class);
    hhttp_client_counts_t counts = {0};
    if (pool->client != NULL && pool->object.rt->loop != NULL) {
        hhttp_client_counts(pool->client, &counts);
    }
    const struct {
        const char *name;
        uint64_t value;
    } fields[] = {{"connections", counts.connections}, {"idle", counts.idle},
                  {"waiting", counts.waiting},         {"opened", counts.opened},
                  {"reused", counts.reused},           {"repeated", counts.repeated}};
    lua_createtable(L, 0, ARRAY_SIZE(fields));
    for (size_t i = 0; i < ARRAY_SIZE(fields); i++) {
        lua_pushnumber(L, (lua_Number)fields[i].value);
        lua_setfield(L, -2, fields[i].name);
    }
    return 1;
}

int hvl_open_http_client(lua_State *L) {
    static const luaL_Reg functions[] = {{"pool", pool_new},
                                         {"start", start_call},
                                         {"is_public_suffix", is_public_suffix},
                                         {NULL, NULL}};
    static const luaL_Reg pool_methods[] = {
        {"close", pool_close}, {"counts", pool_counts}, {NULL, NULL}};
    static const luaL_Reg pool_metamethods[] = {{"__gc", pool_gc}, {NULL, NULL}};
    hvl_t *rt = hvl_self(L);
    hvl_class_new(L, rt, &pool_class, pool_methods, pool_metamethods);
    lua_pop(L, 1);
    hvl_http_call_open(L, rt);
    lua_newtable(L);
    hvl_setfuncs(L, rt, functions);
    return 1;
}
