/* http.c - HTTP servers: routes are matched and handlers begun here, and what a handler returns
 * becomes the answer. Objects for requests and responses are in http_message.c.
 *
 * The path of a request whose handler takes no arguments and returns a string allocates nothing
 * but that string: pooled task, pooled exchange, the answer written from the task's stack. A
 * handler's number of parameters, known since it was registered, decides which objects are made.
 *
 * Handlers lie in the environment table of their router, so the collector sees cycles through it;
 * an open server holds that table by a reference. Tables as results, and whatever else may wait,
 * go to a Lua function (HANDLER_DELIVER) that runs as a task of its own with the same exchange. */
#include "http.h"

#include "hbase.h"
#include "handle.h"
#include "htime.h"
#include "tls.h"

#define EXCHANGES_PER_CHUNK 32

static const hvl_class_t router_class = {"hv.http_router"};
static const hvl_class_t server_class = {"hv.http_server"};
static const char pool_key; /* its address finds the pool in the registry */

/* ---- Exchanges ---- */

static void add_exchanges(hvl_t *rt, http_pool_t *pool) {
    http_exchange_t *chunk = lua_newuserdata(rt->L, EXCHANGES_PER_CHUNK * sizeof *chunk);
    luaL_ref(rt->L, LUA_REGISTRYINDEX);
    memset(chunk, 0, EXCHANGES_PER_CHUNK * sizeof *chunk);
    for (int i = 0; i < EXCHANGES_PER_CHUNK; i++) {
        chunk[i].index = pool->count++;
        chunk[i].headers_ref = chunk[i].piece_ref = LUA_NOREF;
        chunk[i].next = pool->free;
        pool->free = &chunk[i];
    }
}

/* What is gone when the exchange ends, and app:on_response's function may ask for. */
static void note_beginning(http_exchange_t *exchange) {
    hio_t *io = hhttp_request_io(exchange->req);
    exchange->began_us = gethrtime_us();
    exchange->is_tls = io != NULL && hio_is_ssl(io);
    exchange->peer.sa.sa_family = AF_UNSPEC;
    const struct sockaddr *peer = io != NULL ? hio_peeraddr(io) : NULL;
    if (peer == NULL) return;
    if (peer->sa_family == AF_INET) memcpy(&exchange->peer, peer, sizeof(struct sockaddr_in));
    if (peer->sa_family == AF_INET6) memcpy(&exchange->peer, peer, sizeof(struct sockaddr_in6));
}

static http_exchange_t *exchange_begin(http_server_t *server, hhttp_request_t *req) {
    http_pool_t *pool = server->pool;
    if (pool->free == NULL) add_exchanges(server->object.rt, pool);
    http_exchange_t *exchange = pool->free;
    pool->free = exchange->next;
    hhttp_request_retain(req);
    hhttp_request_set_userdata(req, exchange);
    exchange->req = req;
    exchange->server = server;
    exchange->number = ++server->last_number;
    exchange->status = 200;
    exchange->content_length = -1;
    exchange->is_anchored = exchange->has_failed = exchange->has_page = exchange->is_ending = 0;
    exchange->began_us = 0;
    if (server->router->has_observer) note_beginning(exchange);
    exchange->prev = NULL;
    exchange->next = server->active;
    if (server->active != NULL) server->active->prev = exchange;
    server->active = exchange;
    return exchange;
}

/* A server that is closed is needed until its last handler has returned. */
static void let_go_if_done(http_server_t *server) {
    if (server->http != NULL || server->active != NULL || server->object.rt->loop == NULL) return;
    hvl_unref(server->object.rt, &server->handlers_ref);
    hvl_unanchor(server);
}

/* Lets the request go. What Lua still holds of the exchange is over from now on. */
static void exchange_free(http_exchange_t *exchange) {
    http_server_t *server = exchange->server;
    hhttp_request_t *req = exchange->req;
    if (exchange->prev != NULL) {
        exchange->prev->next = exchange->next;
    } else {
        server->active = exchange->next;
    }
    if (exchange->next != NULL) exchange->next->prev = exchange->prev;
    exchange->generation++;
    exchange->req = NULL;
    exchange->next = server->pool->free;
    server->pool->free = exchange;
    hhttp_request_set_userdata(req, NULL);
    hhttp_request_release(req);
    let_go_if_done(server);
}

/* Anchors lie in a table, so that middleware finds the objects of the running task. */
static void set_anchor(lua_State *L, const http_exchange_t *exchange, int which) {
    lua_rawgeti(L, LUA_REGISTRYINDEX, exchange->server->pool->anchors_ref);
    lua_insert(L, -2);
    lua_rawseti(L, -2, (int)exchange->index * 3 + which);
    lua_pop(L, 1);
}

static void push_anchor(lua_State *L, const http_exchange_t *exchange, int which) {
    lua_rawgeti(L, LUA_REGISTRYINDEX, exchange->server->pool->anchors_ref);
    lua_rawgeti(L, -1, (int)exchange->index * 3 + which);
    lua_remove(L, -2);
}

/* The handler and what answers for it are done. */
static void exchange_end(lua_State *L, http_exchange_t *exchange) {
    hvl_t *rt = exchange->server->object.rt;
    if (hhttp_response_has_begun(exchange->req)) hhttp_response_end(exchange->req);
    hvl_http_wake_waiters(exchange, HV_ECLOSED);
    if (exchange->headers_ref != LUA_NOREF) hvl_unref(rt, &exchange->headers_ref);
    if (exchange->piece_ref != LUA_NOREF) hvl_unref(rt, &exchange->piece_ref);
    exchange->awaits_piece = 0;
    if (exchange->is_anchored) {
        for (int which = 1; which <= 3; which++) {
            lua_pushnil(L);
            set_anchor(L, exchange, which);
        }
    }
    exchange_free(exchange);
}

/* ---- What a handler has returned ---- */

static void on_handler_finished(hvl_task_t *task, int status);

/* Answers with the status alone, in words for people. */
static void respond_status(lua_State *L, http_exchange_t *exchange) {
    char text[96];
    int len = snprintf(text, sizeof text, "%d %s\n", exchange->status,
                       hhttp_status_text(exchange->status));
    hvl_http_respond(L, exchange, "text/plain", text, (size_t)len);
}

static void fail(lua_State *L, http_exchange_t *exchange) {
    if (hhttp_request_is_over(exchange->req)) return;
    if (hhttp_response_has_begun(exchange->req)) {
        hhttp_request_abort(exchange->req); /* the peer is to see that the answer is not whole */
        return;
    }
    if (exchange->headers_ref != LUA_NOREF) {
        hvl_unref(exchange->server->object.rt, &exchange->headers_ref);
    }
    exchange->status = 500;
    respond_status(L, exchange);
}

static void report(http_exchange_t *exchange, const char *problem) {
    hhttp_slice_t method = hhttp_request_method_name(exchange->req);
    hhttp_slice_t path = hhttp_request_path(exchange->req);
    char text[512];
    snprintf(text, sizeof text, "hv.http: %.*s %.*s: %s", (int)method.len, method.data,
             path.len < 300 ? (int)path.len : 300, path.data, problem);
    hvl_report(exchange->server->object.rt, text, NULL, NULL);
}

/* Begins a task for the same exchange: a handler of the router's, its arguments behind `nargs`
 * values that lie on top of L. Returns 0 where there is none. */
static int continue_with(lua_State *L, http_exchange_t *exchange, int handler, int nargs) {
    http_server_t *server = exchange->server;
    hvl_task_t *task = hvl_task_begin(server->object.rt);
    if (task == NULL) return 0;
    lua_State *co = task->co;
    lua_rawgeti(co, LUA_REGISTRYINDEX, server->handlers_ref);
    lua_rawgeti(co, -1, handler);
    lua_remove(co, -2);
    lua_xmove(L, co, nargs);
    if (exchange->is_anchored) {
        push_anchor(co, exchange, 1);
        push_anchor(co, exchange, 2);
    } else {
        hvl_http_push_request(co, exchange);
        hvl_http_push_response(co, exchange);
    }
    task->on_finish = on_handler_finished;
    task->userdata[0] = exchange;
    hvl_task_run(task, nargs + 2);
    return 1;
}

/* Has app:error_page's function answer, once. Returns whether it does. */
static int show_page(lua_State *L, http_exchange_t *exchange) {
    if (!exchange->server->router->has_page || exchange->has_page) return 0;
    if (exchange->status < 400) return 0;
    exchange->has_page = 1;
    lua_pushinteger(L, exchange->status);
    return continue_with(L, exchange, HANDLER_PAGE, 1);
}

/* Makes the value at `index` the answer. Returns whether the exchange goes on in another task. */
static int deliver(lua_State *L, http_exchange_t *exchange, int index) {
    size_t len;
    const char *text;
    int code = 0;
    switch (lua_type(L, index)) {
    case LUA_TSTRING:
        text = lua_tolstring(L, index, &len);
        code = hvl_http_respond(L, exchange, "text/plain", text, len);
        break;
    case LUA_TNUMBER: {
        lua_Number status = lua_tonumber(L, index);
        if (!(status >= 200 && status <= 599)) {
            report(exchange, "the handler returned a number that is no status of 200..599");
            fail(L, exchange);
            return 0;
        }
        exchange->status = (int)status;
        if (show_page(L, exchange)) return 1;
        respond_status(L, exchange);
        return 0;
    }
    case LUA_TTABLE:
        lua_pushvalue(L, index);
        return continue_with(L, exchange, HANDLER_DELIVER, 1);
    default:
        report(exchange, "the handler returned neither a string, a status nor a table");
        fail(L, exchange);
        return 0;
    }
    if (code == HV_EINVAL) {
        report(exchange, "the answer has a header that cannot be sent");
        fail(L, exchange);
    }
    return 0;
}

/* `co` has ended in an error, whose message lies on top: nothing may be pushed there. */
static int handler_failed(lua_State *co, http_exchange_t *exchange) {
    const http_router_t *router = exchange->server->router;
    lua_State *L = exchange->server->object.rt->L;
    int may_answer = !hhttp_response_has_begun(exchange->req) &&
                     !hhttp_request_is_over(exchange->req);
    if (may_answer && router->has_error_handler && !exchange->has_failed) {
        exchange->has_failed = 1;
        exchange->status = 500;
        const char *message = lua_tostring(co, -1);
        lua_pushstring(L, message != NULL ? message : "error");
        return continue_with(L, exchange, HANDLER_ERROR, 1);
    }
    if (may_answer) {
        exchange->status = 500;
        if (show_page(L, exchange)) return 1;
    }
    fail(L, exchange);
    return 0;
}

static int handler_returned(lua_State *L, http_exchange_t *exchange) {
    if (hhttp_response_has_begun(exchange->req)) return 0;
    if (hhttp_request_is_over(exchange->req)) return 0;
    if (lua_gettop(L) == 0 || lua_isnil(L, 1)) {
        lua_settop(L, 0);
        if (exchange->is_anchored) push_anchor(L, exchange, 3);
    }
    if (lua_gettop(L) == 0 || lua_isnil(L, 1)) {
        report(exchange, "the handler returned nothing and did not answer");
        fail(L, exchange);
        return 0;
    }
    return deliver(L, exchange, 1);
}

/* Has app:on_response's function told of the end, once, in a task of its own. Returns whether there
 * is one; the exchange ends with that task. */
static int tell_observer(lua_State *L, http_exchange_t *exchange) {
    if (exchange->began_us == 0 || exchange->is_ending) return 0;
    exchange->is_ending = 1;
    if (hhttp_response_has_begun(exchange->req)) hhttp_response_end(exchange->req);
    exchange->duration_ms = (double)(gethrtime_us() - exchange->began_us) / 1000;
    return continue_with(L, exchange, HANDLER_OBSERVER, 0);
}

static void on_handler_finished(hvl_task_t *task, int status) {
    http_exchange_t *exchange = task->userdata[0];
    lua_State *co = task->co;
    int goes_on = 0;
    if (exchange->is_ending) {
        /* It has no answer to give any more; what it threw has been reported. */
    } else if (status == HVL_FINISHED) {
        goes_on = handler_returned(co, exchange);
    } else if (status == HVL_FAILED) {
        goes_on = handler_failed(co, exchange);
    } else {
        fail(exchange->server->object.rt->L, exchange);
    }
    if (goes_on) return;
    lua_State *L = exchange->server->object.rt->L;
    if (!tell_observer(L, exchange)) exchange_end(L, exchange);
}

/* ---- Requests ---- */

/* The names of a mask for the Allow header; OPTIONS is always there. */
static size_t allow_text(uint32_t mask, char *out, size_t size) {
    size_t len = 0;
    mask |= 1u << HHTTP_OPTIONS;
    for (unsigned method = 0; method < HHTTP_OTHER; method++) {
        if (!(mask & 1u << method)) continue;
        int written = snprintf(out + len, size - len, "%s%s", len > 0 ? ", " : "",
                               hhttp_method_name((hhttp_method_e)method));
        len += (size_t)written;
    }
    return len;
}

/* Answers what no route takes: 404, 405 with Allow, or what OPTIONS asks. */
static void answer_unmatched(hhttp_request_t *req, uint32_t allow_mask) {
    char allow[128], text[64];
    hhttp_slice_t path = hhttp_request_path(req);
    int is_options = hhttp_request_method(req) == HHTTP_OPTIONS;
    int is_known = allow_mask != 0 || (is_options && path.len == 1 && path.data[0] == '*');
    int status = !is_known ? 404 : is_options ? 204 : 405;
    hhttp_header_t headers[2] = {
        {{"Content-Type", 12}, {"text/plain", 10}},
        {{"Allow", 5}, {allow, 0}},
    };
    headers[1].value.len = allow_text(allow_mask, allow, sizeof allow);
    int len = snprintf(text, sizeof text, "%d %s\n", status, hhttp_status_text(status));
    if (status == 204) {
        hhttp_respond_with(req, status, headers + 1, 1, NULL, 0);
    } else {
        hhttp_respond_with(req, status, headers, status == 405 ? 2 : 1, text, (size_t)len);
    }
}

static void push_arguments(lua_State *L, http_exchange_t *exchange, const http_entry_t *entry) {
    if (entry->arg_count >= 1) hvl_http_push_request(L, exchange);
    if (entry->arg_count >= 2) hvl_http_push_response(L, exchange);
    if (!entry->is_chain) return;
    exchange->is_anchored = 1;
    lua_pushvalue(L, -2);
    set_anchor(L, exchange, 1);
    lua_pushvalue(L, -1);
    set_anchor(L, exchange, 2);
}

static void on_request(hhttp_request_t *req, void *userdata) {
    http_server_t *server = userdata;
    const http_router_t *router = server->router;
    hhttp_route_match_t match;
    hhttp_slice_t path = hhttp_request_path(req);
    int handler = HANDLER_FALLBACK;
    if (hhttp_router_match(router->routes, hhttp_request_method(req), path.data, path.len,
                           &match) == 0) {
        handler = (int)match.route;
    } else if (!router->has_fallback) {
        answer_unmatched(req, match.allow_mask);
        return;
    }
    const http_entry_t *entry = &router->entries[handler];
    if (entry->files != NULL) {
        if (hvl_http_serve(entry->files, req, &match) < 0) hhttp_request_abort(req);
        return;
    }
    hvl_task_t *task = hvl_task_begin(server->object.rt);
    if (task == NULL) {
        hhttp_request_abort(req);
        return;
    }
    http_exchange_t *exchange = exchange_begin(server, req);
    lua_rawgeti(task->co, LUA_REGISTRYINDEX, server->handlers_ref);
    lua_rawgeti(task->co, -1, handler);
    lua_replace(task->co, -2);
    push_arguments(task->co, exchange, entry);
    task->on_finish = on_handler_finished;
    task->userdata[0] = exchange;
    hvl_task_run(task, entry->arg_count);
}

/* ---- What middleware asks ---- */

static http_exchange_t *current_exchange(lua_State *L) {
    hvl_task_t *task = hvl_self(L)->current;
    if (task == NULL || task->on_finish != on_handler_finished) return NULL;
    http_exchange_t *exchange = task->userdata[0];
    return exchange->is_anchored ? exchange : NULL;
}

/* current() -> req, res of the running handler. */
static int push_current(lua_State *L) {
    http_exchange_t *exchange = current_exchange(L);
    if (exchange == NULL) return hvl_misuse(L, "next: only in the task of the request itself");
    push_anchor(L, exchange, 1);
    push_anchor(L, exchange, 2);
    return 2;
}

/* hold(result): the answer, unless the middleware outside returns another one. */
static int hold_result(lua_State *L) {
    http_exchange_t *exchange = current_exchange(L);
    if (exchange == NULL) return 0;
    lua_settop(L, 1);
    if (lua_type(L, 1) == LUA_TNUMBER) {
        exchange->status = (int)lua_tonumber(L, 1);
    } else if (lua_type(L, 1) == LUA_TTABLE) {
        lua_getfield(L, 1, "status");
        if (lua_type(L, -1) == LUA_TNUMBER) exchange->status = (int)lua_tonumber(L, -1);
        lua_pop(L, 1);
    }
    set_anchor(L, exchange, 3);
    return 0;
}

/* allowed(res) -> "GET, HEAD, OPTIONS" where the path has routes for other methods, else nil. */
static int push_allowed(lua_State *L) {
    http_exchange_t *exchange = hvl_http_check_response(L, 1);
    if (exchange == NULL) return 0;
    hhttp_route_match_t match;
    hhttp_slice_t path = hhttp_request_path(exchange->req);
    int is_options = hhttp_request_method(exchange->req) == HHTTP_OPTIONS;
    hhttp_router_match(exchange->server->router->routes, hhttp_request_method(exchange->req),
                       path.data, path.len, &match);
    if (match.allow_mask == 0 && !(is_options && path.len == 1 && path.data[0] == '*')) return 0;
    char allow[128];
    lua_pushlstring(L, allow, allow_text(match.allow_mask, allow, sizeof allow));
    lua_pushboolean(L, is_options);
    return 2;
}

/* ---- Routers ---- */

/* router(deliver) */
static int router_new(lua_State *L) {
    hvl_t *rt = hvl_self(L);
    luaL_checktype(L, 1, LUA_TFUNCTION);
    http_router_t *router = hvl_object_new(L, rt, &router_class, sizeof *router);
    lua_newtable(L);
    lua_pushvalue(L, 1);
    lua_rawseti(L, -2, HANDLER_DELIVER);
    lua_setfenv(L, -2);
    router->entries = hv_zalloc(sizeof *router->entries);
    router->routes = hhttp_router_new();
    if (router->entries == NULL || router->routes == NULL) {
        return luaL_error(L, "not enough memory");
    }
    router->entry_count = 1;
    return 1;
}

static int router_gc(lua_State *L) {
    http_router_t *router = lua_touserdata(L, 1);
    hhttp_router_free(router->routes);
    hv_free(router->entries);
    router->routes = NULL;
    router->entries = NULL;
    return 0;
}

static http_router_t *check_router(lua_State *L) { return hvl_check(L, 1, &router_class); }

/* router:add(method name or "ANY", pattern) -> number; or nil, message, code */
static int router_add(lua_State *L) {
    http_router_t *router = check_router(L);
    size_t name_len, pattern_len;
    const char *name = luaL_checklstring(L, 2, &name_len);
    const char *pattern = luaL_checklstring(L, 3, &pattern_len);
    hhttp_method_e method = strcmp(name, "ANY") == 0 ? HHTTP_ANY : hhttp_method_of(name, name_len);
    size_t used = router->entry_count * sizeof *router->entries;
    http_entry_t *grown = hv_realloc(router->entries, used + sizeof *grown, used);
    if (grown == NULL) return hvl_push_error(L, "route", HV_ENOMEM);
    router->entries = grown;
    int code = method == HHTTP_OTHER ? HV_EINVAL
                                     : hhttp_router_add(router->routes, method, pattern,
                                                        pattern_len, router->entry_count);
    if (code != 0) return hvl_push_error(L, "route", code);
    lua_pushinteger(L, (lua_Integer)router->entry_count++);
    return 1;
}

/* router:set(number, fn or files, arg_count, is_chain); number 0 is the fallback, -1 the error handler,
 * -3 the page of errors, -4 the observer */
static int router_set(lua_State *L) {
    http_router_t *router = check_router(L);
    int number = (int)luaL_checkinteger(L, 2);
    int arg_count = (int)luaL_checkinteger(L, 4);
    int is_chain = lua_toboolean(L, 5);
    http_files_t *files = lua_isuserdata(L, 3) ? hvl_http_check_files(L, 3) : NULL;
    int is_special =
        number == HANDLER_ERROR || number == HANDLER_PAGE || number == HANDLER_OBSERVER;
    if ((number < 0 && !is_special) || number >= (int)router->entry_count) {
        return luaL_argerror(L, 2, "no such route");
    }
    lua_getfenv(L, 1);
    lua_pushvalue(L, 3);
    lua_rawseti(L, -2, number);
    int is_set = lua_isfunction(L, 3);
    if (number == HANDLER_ERROR) router->has_error_handler = is_set;
    if (number == HANDLER_PAGE) router->has_page = is_set;
    if (number == HANDLER_OBSERVER) router->has_observer = is_set;
    if (is_special) return 0;
    if (number == HANDLER_FALLBACK) router->has_fallback = is_set;
    router->entries[number].files = files; /* which the environment table keeps */
    router->entries[number].is_chain = (uint8_t)is_chain;
    router->entries[number].arg_count = (uint8_t)(is_chain || arg_count > 2 ? 2 : arg_count);
    return 0;
}

/* ---- Servers ---- */

static void on_server_closed(hhttp_server_t *http, void *userdata) {
    (void)http;
    http_server_t *server = userdata;
    server->http = NULL;
    server->listener = NULL;
    let_go_if_done(server);
}

static uint32_t option(lua_State *L, int index, const char *name) {
    lua_getfield(L, index, name);
    lua_Number value = lua_tonumber(L, -1);
    lua_pop(L, 1);
    if (value <= 0) return INFINITE;
    return value < (lua_Number)INFINITE ? (uint32_t)value : INFINITE;
}

static hhttp_server_options_t read_options(lua_State *L, int index) {
    hhttp_server_options_t options = {
        .request_line_bytes_max = option(L, index, "max_request_line"),
        .header_bytes_max = option(L, index, "max_header"),
        .header_count_max = option(L, index, "max_headers"),
        .header_timeout_ms = option(L, index, "request_timeout"),
        .body_timeout_ms = option(L, index, "body_timeout"),
        .body_rate_min = option(L, index, "min_body_rate"),
        .idle_timeout_ms = option(L, index, "idle_timeout"),
        .write_timeout_ms = option(L, index, "write_timeout"),
        .requests_per_connection_max = option(L, index, "max_requests"),
        .connections_max = option(L, index, "max_connections"),
    };
    if (options.body_rate_min == INFINITE) options.body_rate_min = 0;
    lua_getfield(L, index, "max_body");
    lua_Number body = lua_tonumber(L, -1);
    options.body_bytes_max = body > 0 && body < 9e15 ? (uint64_t)body : UINT64_MAX;
    lua_getfield(L, index, "server_name");
    options.server_name = lua_tostring(L, -1);
    lua_pop(L, 2);
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
    http_router_t *router = check_router(L);
    luaL_checktype(L, 2, LUA_TTABLE);
    const char *host = luaL_checkstring(L, 3);
    int port = (int)luaL_checkinteger(L, 4);
    int flags = lua_toboolean(L, 5) ? HIO_LISTEN_REUSE_PORT : 0;
    hssl_ctx_t ctx = hvl_tls_context(L, 6);
    if (rt->loop == NULL) return hvl_push_error(L, "listen", HV_ECLOSED);
    hhttp_server_options_t options = read_options(L, 2);
    http_server_t *server = hvl_object_new(L, rt, &server_class, sizeof *server);
    lua_getfenv(L, 1);
    server->handlers_ref = hvl_ref(L);
    server->router = router;
    lua_createtable(L, 1, 0); /* keeps the router as long as the server object */
    lua_pushvalue(L, 1);
    lua_rawseti(L, -2, 1);
    lua_setfenv(L, -2);
    lua_pushlightuserdata(L, (void *)(uintptr_t)&pool_key);
    lua_rawget(L, LUA_REGISTRYINDEX);
    server->pool = lua_touserdata(L, -1);
    lua_pop(L, 1);
    lua_pushfstring(L, *host == '/' ? "listen %s" : "listen %s:%d", *host ? host : "*", port);
    server->http = hhttp_server_new(rt->loop, &options);
    int code = server->http == NULL ? hloop_last_error(rt->loop) : 0;
    if (server->http != NULL) {
        hhttp_server_on_request(server->http, on_request, server);
        code = open_listener(server, host, port, flags, ctx);
    }
    if (server->listener == NULL) {
        if (server->http != NULL) hhttp_server_close(server->http, 0, NULL, NULL);
        server->http = NULL;
        hvl_unref(rt, &server->handlers_ref);
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
    while (server->active != NULL) exchange_free(server->active);
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

/* ---- The module ---- */

static void make_pool(lua_State *L) {
    lua_pushlightuserdata(L, (void *)(uintptr_t)&pool_key);
    http_pool_t *pool = lua_newuserdata(L, sizeof *pool);
    memset(pool, 0, sizeof *pool);
    lua_newtable(L);
    pool->anchors_ref = luaL_ref(L, LUA_REGISTRYINDEX);
    lua_rawset(L, LUA_REGISTRYINDEX);
}

int hvl_open_http(lua_State *L) {
    static const luaL_Reg functions[] = {
        {"router", router_new},  {"listen", listen_on},     {"current", push_current},
        {"hold", hold_result},   {"allowed", push_allowed}, {NULL, NULL}};
    static const luaL_Reg router_methods[] = {
        {"add", router_add}, {"set", router_set}, {NULL, NULL}};
    static const luaL_Reg router_metamethods[] = {{"__gc", router_gc}, {NULL, NULL}};
    static const luaL_Reg server_methods[] = {
        {"port", server_port},         {"address", server_address}, {"count", server_count},
        {"requests", server_requests}, {"close", server_close},     {"drain", server_drain},
        {NULL, NULL}};
    static const luaL_Reg server_metamethods[] = {
        {"__gc", server_gc}, {"__tostring", server_tostring}, {NULL, NULL}};
    hvl_t *rt = hvl_self(L);
    make_pool(L);
    hvl_class_new(L, rt, &router_class, router_methods, router_metamethods);
    lua_pop(L, 1);
    lua_newtable(L);
    hvl_setfuncs(L, rt, functions);
    hvl_class_new(L, rt, &server_class, server_methods, server_metamethods);
    lua_setfield(L, -2, "server_methods");
    hvl_http_open_messages(L, rt);
    hvl_http_open_body(L, rt);
    hvl_http_open_files(L, rt);
    return 1;
}
