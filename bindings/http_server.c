/* http_server.c - the server object of Lua: its options, its listener, its end. */
#include "fields.h"
#include "http.h"

#include "handle.h"
#include "tls.h"

static const hvl_class_t server_class = {"hv.http_server"};

/* A server that is closed is needed until its last handler has returned. */
void hvl_http_let_go_if_done(http_server_t *server) {
    if (server->http != NULL || server->active != NULL || server->object.rt->loop == NULL) return;
    hvl_http_router_release(server->router);
    hvl_unanchor(server);
}

static void on_server_closed(hhttp_server_t *http, void *userdata) {
    (void)http;
    http_server_t *server = userdata;
    server->http = NULL;
    server->listener = NULL;
    hvl_http_let_go_if_done(server);
}

static hhttp_server_options_t read_options(lua_State *L, int index) {
    hhttp_server_options_t options = {
        .request_line_bytes_max = hvl_field_limit(L, index, "max_request_line"),
        .header_bytes_max = hvl_field_limit(L, index, "max_header"),
        .header_count_max = hvl_field_limit(L, index, "max_headers"),
        .header_timeout_ms = hvl_field_limit(L, index, "request_timeout"),
        .body_timeout_ms = hvl_field_limit(L, index, "body_timeout"),
        .body_rate_min = hvl_field_limit(L, index, "min_body_rate"),
        .idle_timeout_ms = hvl_field_limit(L, index, "idle_timeout"),
        .write_timeout_ms = hvl_field_limit(L, index, "write_timeout"),
        .requests_per_connection_max = hvl_field_limit(L, index, "max_requests"),
        .connections_max = hvl_field_limit(L, index, "max_connections"),
        .handshakes_max = hvl_field_limit(L, index, "max_handshakes"),
        .handshake_timeout_ms = hvl_field_limit(L, index, "handshake_timeout"),
        .streams_max = hvl_field_limit(L, index, "max_streams"),
        .glitches_max = hvl_field_limit(L, index, "max_glitches"),
    };
    options.http2 = (uint32_t)hvl_field_number(L, index, "http2");
    if (options.body_rate_min == INFINITE) options.body_rate_min = 0;
    uint64_t body = hvl_field_bytes(L, index, "max_body");
    options.body_bytes_max = body > 0 ? body : UINT64_MAX;
    options.server_name = hvl_field_text(L, index, "server_name");
    return options;
}

/* Makes the listener, as open_listener of tcp.c does. Returns 0 or a code. */
static int open_listener(http_server_t *server, const char *host, int port, int flags,
                         hssl_ctx_t ctx) {
    if (flags != 0 || !hvl_is_worker()) {
        server->listener = hhttp_server_listen(server->http, host, port, flags);
    } else {
        int fd = hvl_shared_socket(host, port, 0, 0);
        if (fd < 0) return fd;
        server->listener = hhttp_server_listen_fd(server->http, fd);
        if (server->listener == NULL) close(fd);
    }
    if (server->listener == NULL) return hloop_last_error(server->object.rt->loop);
    int code = ctx != NULL ? hio_set_ssl_ctx(server->listener, ctx) : 0;
    if (code != 0) server->listener = NULL; /* the server closes it */
    return code;
}

/* listen(router, options, host, port, reuse_port, tls context or nil): all checked. */
static int listen_on(lua_State *L) {
    hvl_t *rt = hvl_self(L);
    http_router_t *router = hvl_check(L, 1, &hvl_http_router_class);
    luaL_checktype(L, 2, LUA_TTABLE);
    const char *host = luaL_checkstring(L, 3);
    int port = (int)luaL_checkinteger(L, 4);
    int flags = lua_toboolean(L, 5) ? HIO_LISTEN_REUSE_PORT : 0;
    hssl_ctx_t ctx = hvl_tls_context(L, 6);
    if (rt->loop == NULL) return hvl_push_error(L, "listen", HV_ECLOSED);
    hhttp_server_options_t options = read_options(L, 2);
    http_server_t *server = hvl_object_new(L, rt, &server_class, sizeof *server);
    server->router = router;
    hvl_http_router_hold(L, 1);
    lua_createtable(L, 1, 0); /* keeps the router as long as the server object */
    lua_pushvalue(L, 1);
    lua_rawseti(L, -2, 1);
    lua_setfenv(L, -2);
    server->pool = hvl_http_pool(L);
    lua_pushfstring(L, *host == '/' ? "listen %s" : "listen %s:%d", *host ? host : "*", port);
    server->http = hhttp_server_new(rt->loop, &options);
    int code = server->http == NULL ? hloop_last_error(rt->loop) : 0;
    if (server->http != NULL) {
        hhttp_server_on_request(server->http, hvl_http_on_request, server);
        code = open_listener(server, host, port, flags, ctx);
    }
    if (server->listener == NULL) {
        if (server->http != NULL) hhttp_server_close(server->http, 0, NULL, NULL);
        server->http = NULL;
        hvl_http_router_release(router);
        return hvl_push_error(L, lua_tostring(L, -1), code);
    }
    lua_pop(L, 1);
    hvl_anchor(L, -1);
    return 1;
}

static http_server_t *check_server(lua_State *L) { return hvl_check(L, 1, &server_class); }

static int server_port(lua_State *L) { return hvl_io_push_port(L, check_server(L)->listener); }

static int server_address(lua_State *L) {
    return hvl_io_push_local(L, check_server(L)->listener, "address");
}

static int server_ref(lua_State *L) {
    return hvl_io_set_reference(L, check_server(L)->listener, 1);
}

static int server_unref(lua_State *L) {
    return hvl_io_set_reference(L, check_server(L)->listener, 0);
}

static int server_count(lua_State *L) {
    http_server_t *server = check_server(L);
    lua_pushinteger(L, server->http ? (lua_Integer)hhttp_server_connections(server->http) : 0);
    return 1;
}

static int server_requests(lua_State *L) {
    http_server_t *server = check_server(L);
    lua_pushnumber(L, server->http ? (lua_Number)hhttp_server_requests(server->http) : 0);
    return 1;
}

typedef void (*end_fn)(hhttp_server_t *http, uint32_t grace_ms,
                       void (*on_close)(hhttp_server_t *http, void *userdata), void *userdata);

static int end_server(lua_State *L, end_fn end) {
    http_server_t *server = check_server(L);
    int64_t grace_ms = 10000;
    if (!lua_isnoneornil(L, 2)) {
        grace_ms = hvl_check_integer(L, 2, "server:close: grace", 0, UINT32_MAX - 1);
    }
    if (server->http != NULL && server->object.rt->loop != NULL) {
        server->listener = NULL;
        end(server->http, (uint32_t)grace_ms, on_server_closed, server);
    }
    lua_pushboolean(L, 1);
    return 1;
}

/* close([grace_ms]) */
static int server_close(lua_State *L) { return end_server(L, hhttp_server_close); }

/* drain([grace_ms]): loses no request that is on its way */
static int server_drain(lua_State *L) { return end_server(L, hhttp_server_drain); }

/* An open server is anchored, so this runs when the state is taken down, after the loop. */
static int server_gc(lua_State *L) {
    http_server_t *server = lua_touserdata(L, 1);
    while (server->active != NULL) hvl_http_exchange_free(server->active);
    if (server->http != NULL) hhttp_server_close(server->http, 0, NULL, NULL);
    server->http = NULL;
    return 0;
}

static int server_tostring(lua_State *L) {
    http_server_t *server = check_server(L);
    char address[128];
    if (server->listener == NULL) {
        lua_pushliteral(L, "hv.http_server{closed}");
    } else {
        lua_pushfstring(L, "hv.http_server{listening %s, %d connections}",
                        hvl_address_text(hio_localaddr(server->listener), address, sizeof address),
                        (int)hhttp_server_connections(server->http));
    }
    return 1;
}

void hvl_http_open_servers(lua_State *L, hvl_t *rt) {
    static const luaL_Reg functions[] = {{"listen", listen_on}, {NULL, NULL}};
    static const luaL_Reg methods[] = {
        {"port", server_port},         {"address", server_address}, {"count", server_count},
        {"requests", server_requests}, {"close", server_close},     {"drain", server_drain},
        {"ref", server_ref},           {"unref", server_unref},     {NULL, NULL}};
    static const luaL_Reg metamethods[] = {
        {"__gc", server_gc}, {"__tostring", server_tostring}, {NULL, NULL}};
    hvl_setfuncs(L, rt, functions);
    hvl_class_new(L, rt, &server_class, methods, metamethods);
    lua_setfield(L, -2, "server_methods");
}
