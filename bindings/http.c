/* http.c - HTTP servers: routes are matched, and handlers begin and end here. What they return
 * becomes the answer in http_result.c. Objects for requests and responses are in http_message.c,
 * routers in http_router.c, servers in http_server.c.
 *
 * The path of a request whose handler takes no arguments and returns a string allocates nothing
 * but that string: pooled task, pooled exchange, the answer written from the task's stack. A
 * handler's number of parameters, known since it was registered, decides which objects are made. */
#include "http.h"

#include "handle.h"
#include "hssl.h"
#include "htime.h"

#define EXCHANGES_PER_CHUNK 32

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

static http_exchange_t *exchange_begin(http_server_t *server, const http_router_t *router,
                                       hhttp_request_t *req) {
    http_pool_t *pool = server->pool;
    if (pool->free == NULL) add_exchanges(server->object.rt, pool);
    http_exchange_t *exchange = pool->free;
    pool->free = exchange->next;
    hhttp_request_retain(req);
    hhttp_request_set_userdata(req, exchange);
    exchange->req = req;
    exchange->server = server;
    exchange->router = router;
    exchange->miss = 0;
    exchange->number = ++server->last_number;
    exchange->status = 200;
    exchange->content_length = -1;
    exchange->is_anchored = exchange->has_failed = exchange->has_page = exchange->is_ending = 0;
    exchange->has_trailers = 0;
    exchange->began_us = 0;
    if (router->has_observer) note_beginning(exchange);
    exchange->prev = NULL;
    exchange->next = server->active;
    if (server->active != NULL) server->active->prev = exchange;
    server->active = exchange;
    return exchange;
}

void hvl_http_exchange_free(http_exchange_t *exchange) {
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
    hvl_http_let_go_if_done(server);
}

/* Anchors lie in a table, so that middleware finds the objects of the running task. */
static void set_anchor(lua_State *L, const http_exchange_t *exchange, int which) {
    lua_rawgeti(L, LUA_REGISTRYINDEX, exchange->server->pool->anchors_ref);
    lua_insert(L, -2);
    lua_rawseti(L, -2, (int)exchange->index * 3 + which);
    lua_pop(L, 1);
}

void hvl_http_push_anchor(lua_State *L, const http_exchange_t *exchange, int which) {
    lua_rawgeti(L, LUA_REGISTRYINDEX, exchange->server->pool->anchors_ref);
    lua_rawgeti(L, -1, (int)exchange->index * 3 + which);
    lua_remove(L, -2);
}

/* Ends an answer in pieces that the handler has not ended. Where its trailers cannot be sent the
 * peer is to see that it is not whole. */
static void end_answer(lua_State *L, http_exchange_t *exchange) {
    int code = hvl_http_end(L, exchange);
    if (code != 0 && code != HV_ECLOSED) hhttp_request_abort(exchange->req);
}

/* The handler and what answers for it are done. */
static void exchange_end(lua_State *L, http_exchange_t *exchange) {
    hvl_t *rt = exchange->server->object.rt;
    if (!hhttp_request_is_over(exchange->req)) {
        if (hhttp_response_has_begun(exchange->req)) {
            end_answer(L, exchange);
        } else {
            hhttp_request_abort(exchange->req); /* not even a failure could be told */
        }
    }
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
    hvl_http_exchange_free(exchange);
}

/* ---- The end of a handler ---- */

static void on_handler_finished(hvl_task_t *task, int status);

int hvl_http_continue_with(lua_State *L, http_exchange_t *exchange, int handler, int nargs) {
    hvl_task_t *task = hvl_task_begin(exchange->server->object.rt);
    if (task == NULL) return 0;
    lua_State *co = task->co;
    lua_rawgeti(co, LUA_REGISTRYINDEX, exchange->router->handlers_ref);
    lua_rawgeti(co, -1, handler);
    lua_remove(co, -2);
    lua_xmove(L, co, nargs);
    if (exchange->is_anchored) {
        hvl_http_push_anchor(co, exchange, 1);
        hvl_http_push_anchor(co, exchange, 2);
    } else {
        hvl_http_push_request(co, exchange);
        hvl_http_push_response(co, exchange);
    }
    task->on_finish = on_handler_finished;
    task->userdata[0] = exchange;
    hvl_task_run(task, nargs + 2);
    return 1;
}

static void on_sent(hhttp_request_t *req, int error);

/* Has app:on_response's function told of the end, once and when all is out, in a task of its own.
 * Returns whether there is one; the exchange ends with that task. */
static int tell_observer(lua_State *L, http_exchange_t *exchange) {
    if (exchange->began_us == 0 || exchange->is_ending) return 0;
    if (hhttp_response_when_done(exchange->req, on_sent)) return 1;
    exchange->is_ending = 1;
    if (hhttp_response_has_begun(exchange->req)) end_answer(L, exchange);
    exchange->duration_ms = (double)(gethrtime_us() - exchange->began_us) / 1000;
    return hvl_http_continue_with(L, exchange, HANDLER_OBSERVER, 0);
}

static void on_sent(hhttp_request_t *req, int error) {
    (void)error;
    http_exchange_t *exchange = hhttp_request_userdata(req);
    if (exchange == NULL) return;
    hvl_t *rt = exchange->server->object.rt;
    if (rt->loop == NULL) return; /* the server frees what is left */
    if (!tell_observer(rt->L, exchange)) exchange_end(rt->L, exchange);
}

static void on_handler_finished(hvl_task_t *task, int status) {
    http_exchange_t *exchange = task->userdata[0];
    lua_State *co = task->co;
    int goes_on = 0;
    if (exchange->is_ending) {
        /* It has no answer to give any more; what it threw has been reported. */
    } else if (status == HVL_FINISHED) {
        goes_on = hvl_http_returned(co, exchange);
    } else if (status == HVL_FAILED) {
        goes_on = hvl_http_failed(co, exchange);
    } else {
        hvl_http_fail(exchange->server->object.rt->L, exchange);
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

/* Begins the task of a handler of the router's.
 *   miss  0, or the status of what files have not given */
static void run_handler(http_server_t *server, const http_router_t *router, int handler,
                        hhttp_request_t *req, int miss) {
    hvl_task_t *task = hvl_task_begin(server->object.rt);
    if (task == NULL) {
        hhttp_request_abort(req);
        return;
    }
    http_exchange_t *exchange = exchange_begin(server, router, req);
    const http_entry_t *entry = &router->entries[handler];
    exchange->miss = miss;
    lua_rawgeti(task->co, LUA_REGISTRYINDEX, router->handlers_ref);
    lua_rawgeti(task->co, -1, handler);
    lua_replace(task->co, -2);
    push_arguments(task->co, exchange, entry);
    task->on_finish = on_handler_finished;
    task->userdata[0] = exchange;
    hvl_task_run(task, entry->arg_count);
}

/* Which of its routers a server answers a request by. */
static const http_router_t *router_for(const http_server_t *server, const hhttp_request_t *req) {
    const http_router_t *router = server->router;
    return router->host_count == 0 ? router : hvl_http_router_of_host(router, req);
}

/* Files have given nothing: the fallback answers, or we do. */
static void answer_miss(http_server_t *server, const http_router_t *router, hhttp_request_t *req,
                        int code) {
    char text[64];
    int status = code == -EACCES ? 403 : 404;
    if (router->has_fallback) {
        run_handler(server, router, HANDLER_FALLBACK, req, status);
        return;
    }
    int len = snprintf(text, sizeof text, "%d %s\n", status, hhttp_status_text(status));
    hhttp_respond(req, status, "text/plain", text, (size_t)len);
}

static int is_miss(int code) { return code == HV_ENOTFOUND || code == -EACCES; }

/* The files were asked by a thread. While the request is not over its server is open. */
static void on_files_done(hhttp_request_t *req, int error) {
    http_server_t *server = hhttp_request_userdata(req);
    hhttp_request_set_userdata(req, NULL);
    if (!is_miss(error) || hhttp_request_is_over(req) || hhttp_response_has_begun(req)) return;
    answer_miss(server, router_for(server, req), req, error);
}

static void serve_files(http_server_t *server, const http_router_t *router, http_files_t *files,
                        hhttp_request_t *req, const hhttp_route_match_t *match) {
    hhttp_request_set_userdata(req, server);
    int code = hvl_http_serve(files, req, match, on_files_done);
    if (is_miss(code)) {
        answer_miss(server, router, req, code);
    } else if (code < 0) {
        hhttp_request_abort(req);
    }
}

void hvl_http_on_request(hhttp_request_t *req, void *userdata) {
    http_server_t *server = userdata;
    const http_router_t *router = router_for(server, req);
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
    http_files_t *files = router->entries[handler].files;
    if (files != NULL) {
        serve_files(server, router, files, req, &match);
    } else {
        run_handler(server, router, handler, req, 0);
    }
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
    hvl_http_push_anchor(L, exchange, 1);
    hvl_http_push_anchor(L, exchange, 2);
    return 2;
}

/* hold(result): the answer, unless the middleware outside returns another one. */
static int hold_result(lua_State *L) {
    http_exchange_t *exchange = current_exchange(L);
    if (exchange == NULL) return 0;
    lua_settop(L, 1);
    int status = hvl_http_status_at(L, 1);
    if (lua_type(L, 1) == LUA_TTABLE) {
        lua_getfield(L, 1, "status");
        status = hvl_http_status_at(L, -1);
        lua_pop(L, 1);
    }
    if (status != 0) exchange->status = status;
    set_anchor(L, exchange, 3);
    return 0;
}

/* allowed(res) -> "GET, HEAD, OPTIONS" and whether OPTIONS asks, where the path has routes for
 * other methods; else nil and the status: 404, or 403 where files may not be read. */
static int push_allowed(lua_State *L) {
    http_exchange_t *exchange = hvl_http_check_response(L, 1);
    if (exchange == NULL) return 0;
    if (exchange->miss != 0) {
        lua_pushnil(L);
        lua_pushinteger(L, exchange->miss);
        return 2;
    }
    hhttp_route_match_t match;
    hhttp_slice_t path = hhttp_request_path(exchange->req);
    int is_options = hhttp_request_method(exchange->req) == HHTTP_OPTIONS;
    hhttp_router_match(exchange->router->routes, hhttp_request_method(exchange->req),
                       path.data, path.len, &match);
    if (match.allow_mask == 0 && !(is_options && path.len == 1 && path.data[0] == '*')) {
        lua_pushnil(L);
        lua_pushinteger(L, 404);
        return 2;
    }
    char allow[128];
    lua_pushlstring(L, allow, allow_text(match.allow_mask, allow, sizeof allow));
    lua_pushboolean(L, is_options);
    return 2;
}

/* set_json(module): whose `encode` makes the JSON of a handler's result */
static int set_json(lua_State *L) {
    http_pool_t *pool = hvl_http_pool(L);
    luaL_checktype(L, 1, LUA_TTABLE);
    lua_settop(L, 1);
    hvl_unref(hvl_self(L), &pool->json_ref);
    pool->json_ref = hvl_ref(L);
    return 0;
}

/* ---- The module ---- */

http_pool_t *hvl_http_pool(lua_State *L) {
    lua_pushlightuserdata(L, (void *)(uintptr_t)&pool_key);
    lua_rawget(L, LUA_REGISTRYINDEX);
    http_pool_t *pool = lua_touserdata(L, -1);
    lua_pop(L, 1);
    return pool;
}

static void make_pool(lua_State *L) {
    lua_pushlightuserdata(L, (void *)(uintptr_t)&pool_key);
    http_pool_t *pool = lua_newuserdata(L, sizeof *pool);
    memset(pool, 0, sizeof *pool);
    lua_newtable(L);
    pool->anchors_ref = luaL_ref(L, LUA_REGISTRYINDEX);
    pool->json_ref = LUA_NOREF;
    lua_rawset(L, LUA_REGISTRYINDEX);
}

int hvl_open_http(lua_State *L) {
    static const luaL_Reg functions[] = {{"current", push_current},
                                         {"hold", hold_result},
                                         {"allowed", push_allowed},
                                         {"set_json", set_json},
                                         {NULL, NULL}};
    hvl_t *rt = hvl_self(L);
    make_pool(L);
    lua_newtable(L);
    hvl_setfuncs(L, rt, functions);
    hvl_http_open_routers(L, rt);
    hvl_http_open_servers(L, rt);
    hvl_http_open_messages(L, rt);
    hvl_http_open_leaves(L);
    hvl_http_open_body(L, rt);
    hvl_http_open_trailers(L, rt);
    hvl_http_open_files(L, rt);
    return 1;
}
