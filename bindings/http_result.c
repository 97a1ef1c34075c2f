/* http_result.c - what a handler returns, or throws, becomes the answer.
 *
 * Strings, numbers and plain tables are answered at once. Whatever may wait, may call functions of
 * the user's or is wrong goes to a Lua function (HANDLER_DELIVER in lua/hv/http_response.lua) that
 * runs as a task of its own with the same exchange: it knows every kind of result. */
#include "http.h"

#include "watch.h"

/* ---- Failures ---- */

/* Answers with the status alone, in words for people. Returns as hhttp_respond_with. */
static int respond_status(lua_State *L, http_exchange_t *exchange) {
    char text[96];
    int len = snprintf(text, sizeof text, "%d %s\n", exchange->status,
                       hhttp_status_text(exchange->status));
    return hvl_http_respond(L, exchange, "text/plain", text, (size_t)len);
}

void hvl_http_fail(lua_State *L, http_exchange_t *exchange) {
    if (hhttp_request_is_over(exchange->req)) return;
    if (hhttp_response_when_done(exchange->req, NULL)) return; /* it was given whole before */
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

static void report(http_exchange_t *exchange, const char *problem, const char *detail) {
    hhttp_slice_t method = hhttp_request_method_name(exchange->req);
    hhttp_slice_t path = hhttp_request_path(exchange->req);
    char text[512];
    snprintf(text, sizeof text, "hv.http: %.*s %.*s: %s%s", (int)method.len, method.data,
             path.len < 200 ? (int)path.len : 200, path.data, problem, detail);
    hvl_report(exchange->server->object.rt, text, NULL, NULL);
}

/* Has app:error_page's function answer, once. Returns whether it does. */
static int show_page(lua_State *L, http_exchange_t *exchange) {
    if (!exchange->router->has_page || exchange->has_page) return 0;
    if (exchange->status < 400) return 0;
    exchange->has_page = 1;
    lua_pushinteger(L, exchange->status);
    return hvl_http_continue_with(L, exchange, HANDLER_PAGE, 1);
}

/* ---- Plain tables: { json=|text=|html=|body=, status= } ---- */

typedef struct plain_result_s {
    int status;       /* 0: the exchange's own */
    int body;         /* its place on the stack; 0: there is none */
    const char *type; /* NULL: a value to be encoded as JSON */
} plain_result_t;

static const struct {
    const char *key;
    const char *type;
} body_keys[] = {
    {"json", NULL},
    {"text", "text/plain; charset=utf-8"},
    {"html", "text/html; charset=utf-8"},
    {"body", "text/plain"},
};

/* Takes a pair of the table, its key and value on top of L. Returns whether it is plain. */
static int take_pair(lua_State *L, plain_result_t *result) {
    if (lua_type(L, -2) != LUA_TSTRING) return 0;
    const char *key = lua_tostring(L, -2);
    if (strcmp(key, "status") == 0) {
        result->status = hvl_http_status_at(L, -1);
        return result->status != 0 && result->status == lua_tonumber(L, -1);
    }
    for (size_t i = 0; i < ARRAY_SIZE(body_keys); i++) {
        if (strcmp(key, body_keys[i].key) != 0) continue;
        if (result->body != 0) return 0;
        if (body_keys[i].type != NULL && lua_type(L, -1) != LUA_TSTRING) return 0;
        result->type = body_keys[i].type;
        lua_pushvalue(L, -1);
        lua_insert(L, -3);
        result->body = lua_gettop(L) - 2;
        return 1;
    }
    return 0;
}

/* Reads the table at `index`; its body is then on the stack. Returns whether it is plain: a
 * metatable may have more to say. */
static int read_plain(lua_State *L, int index, plain_result_t *result) {
    memset(result, 0, sizeof *result);
    if (lua_getmetatable(L, index)) return 0;
    lua_pushnil(L);
    while (lua_next(L, index)) {
        if (!take_pair(L, result)) return 0;
        lua_pop(L, 1);
    }
    return result->body != 0;
}

/* Replaces the value on top of L by its JSON, where hv.json.encode is still a function of C:
 * another one might do anything. Returns whether it is there. */
static int encode(lua_State *L, const http_exchange_t *exchange) {
    hvl_t *rt = exchange->server->object.rt;
    if (rt->memory != NULL) return 0; /* a limit that holds in tasks only */
    lua_rawgeti(L, LUA_REGISTRYINDEX, exchange->server->pool->json_ref);
    if (!lua_istable(L, -1)) return 0;
    lua_getfield(L, -1, "encode");
    if (!lua_iscfunction(L, -1)) return 0;
    lua_replace(L, -2);
    lua_insert(L, -2);
    uint64_t begin = hvl_watch_ticks();
    int status = lua_pcall(L, 1, 1, 0);
    if (rt->slow_ms != 0 && hvl_watch_is_suspicious(rt, begin)) {
        int64_t ms = hvl_watch_ms(rt, begin);
        const char *where = "in encoding what a handler returned as JSON";
        if (ms >= (int64_t)rt->slow_ms) hvl_warn_slow_in(rt, where, ms);
    }
    return status == 0 && lua_type(L, -1) == LUA_TSTRING;
}

/* Answers by the table at `index`. Returns whether it is answered, or the peer gone: else nothing
 * was done, and Lua may try, which knows what is wrong. */
static int answer_plainly(lua_State *L, http_exchange_t *exchange, int index) {
    plain_result_t result;
    if (!read_plain(L, index, &result)) return 0;
    lua_settop(L, result.body);
    if (result.type == NULL && !encode(L, exchange)) return 0;
    size_t len;
    const char *text = lua_tolstring(L, -1, &len);
    int status = exchange->status;
    if (result.status != 0) exchange->status = result.status;
    const char *type = result.type != NULL ? result.type : "application/json";
    int code = hvl_http_respond(L, exchange, type, text, len);
    if (code == 0 || code == HV_ECLOSED) return 1;
    exchange->status = status;
    return 0;
}

/* ---- Results ---- */

/* An answer was to be sent. Where it could not the peer hears of a failure, and the program why. */
static void conclude(lua_State *L, http_exchange_t *exchange, int code) {
    if (code == 0 || code == HV_ECLOSED) return;
    if (code == HV_EINVAL) {
        report(exchange, "the answer has a header that cannot be sent", "");
    } else {
        report(exchange, "the answer cannot be sent: ", herr_text(code));
    }
    hvl_http_fail(L, exchange);
}

/* Makes the value at `index` the answer. Returns whether the exchange goes on in another task. */
static int deliver(lua_State *L, http_exchange_t *exchange, int index) {
    size_t len;
    const char *text;
    switch (lua_type(L, index)) {
    case LUA_TSTRING:
        text = lua_tolstring(L, index, &len);
        conclude(L, exchange, hvl_http_respond(L, exchange, "text/plain", text, len));
        return 0;
    case LUA_TNUMBER: {
        int status = hvl_http_status_at(L, index);
        if (status == 0) {
            report(exchange, "the handler returned a number that is no status of 200..599", "");
            hvl_http_fail(L, exchange);
            return 0;
        }
        exchange->status = status;
        if (show_page(L, exchange)) return 1;
        conclude(L, exchange, respond_status(L, exchange));
        return 0;
    }
    case LUA_TTABLE: {
        int is_answered = answer_plainly(L, exchange, index);
        lua_settop(L, index);
        return is_answered ? 0 : hvl_http_continue_with(L, exchange, HANDLER_DELIVER, 1);
    }
    default:
        report(exchange, "the handler returned neither a string, a status nor a table", "");
        hvl_http_fail(L, exchange);
        return 0;
    }
}

/* `co` has ended in an error, whose message lies on top: nothing may be pushed there. */
int hvl_http_failed(lua_State *co, http_exchange_t *exchange) {
    const http_router_t *router = exchange->router;
    lua_State *L = exchange->server->object.rt->L;
    int may_answer = !hhttp_response_has_begun(exchange->req) &&
                     !hhttp_request_is_over(exchange->req);
    if (may_answer && router->has_error_handler && !exchange->has_failed) {
        exchange->has_failed = 1;
        exchange->status = 500;
        const char *message = lua_tostring(co, -1);
        lua_pushstring(L, message != NULL ? message : "error");
        return hvl_http_continue_with(L, exchange, HANDLER_ERROR, 1);
    }
    if (may_answer) {
        exchange->status = 500;
        if (show_page(L, exchange)) return 1;
    }
    hvl_http_fail(L, exchange);
    return 0;
}

int hvl_http_returned(lua_State *L, http_exchange_t *exchange) {
    if (hhttp_response_has_begun(exchange->req)) return 0;
    if (hhttp_request_is_over(exchange->req)) return 0;
    int is_failure = lua_isnil(L, 1) && lua_type(L, 2) == LUA_TSTRING; /* nil, message[, code] */
    if (lua_gettop(L) == 0 || (lua_isnil(L, 1) && !is_failure)) {
        lua_settop(L, 0);
        if (exchange->is_anchored) hvl_http_push_anchor(L, exchange, 3);
    }
    if (lua_gettop(L) == 0 || lua_isnil(L, 1)) {
        if (is_failure) {
            report(exchange, "the handler failed: ", lua_tostring(L, 2));
        } else {
            report(exchange, "the handler returned nothing and did not answer", "");
        }
        hvl_http_fail(L, exchange);
        return 0;
    }
    return deliver(L, exchange, 1);
}
