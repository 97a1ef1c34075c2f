/* http_leaf.c - what handlers ask and say most, for compiled Lua to call through the FFI
 * (lua/hv/http_request.lua, http_response.lua): a handler then stays one trace. Leaves never enter
 * Lua and never wait; they do a thing whole, or nothing and leave it to the function that they
 * stand in for, which knows the errors. Lua has checked that the message is one of that class. */
#include "http.h"

enum { LEAF_NIL = -1, LEAF_LEFT = 0, LEAF_DONE = 1 };

static int give_text(http_pool_t *pool, hhttp_slice_t text) {
    if (text.data == NULL) return LEAF_NIL;
    pool->text.data = text.data;
    pool->text.len = (int32_t)text.len;
    return LEAF_DONE;
}

/* req.path and its like. */
static int leaf_fact(const http_message_t *message, int fact) {
    const http_exchange_t *exchange = hvl_http_exchange_of(message);
    hhttp_slice_t text;
    if (exchange == NULL || message->is_overlaid) return LEAF_LEFT;
    if (!hvl_http_text_fact(exchange->req, fact, &text)) return LEAF_LEFT;
    return give_text(exchange->server->pool, text);
}

/* req:header(name) */
static int leaf_header(const http_message_t *message, const char *name, int len) {
    const http_exchange_t *exchange = hvl_http_exchange_of(message);
    if (exchange == NULL) return LEAF_LEFT;
    return give_text(exchange->server->pool,
                     hhttp_request_header(exchange->req, name, (size_t)len));
}

/* res:send(body, type), where no headers are set */
static int leaf_send(const http_message_t *message, const char *body, int len, const char *type) {
    http_exchange_t *exchange = hvl_http_exchange_of(message);
    if (exchange == NULL || exchange->headers_ref != LUA_NOREF) return LEAF_LEFT;
    int code = hhttp_respond(exchange->req, exchange->status, type, body, (size_t)len);
    return code == 0 ? LEAF_DONE : LEAF_LEFT;
}

static void set_address(lua_State *L, const char *name, const void *address) {
    lua_pushlightuserdata(L, (void *)(uintptr_t)address);
    lua_setfield(L, -2, name);
}

void hvl_http_open_leaves(lua_State *L) {
    lua_pushinteger(L, FACT_QUERY_STRING);
    lua_setfield(L, -2, "last_text_fact");
    set_address(L, "leaf_text", &hvl_http_pool(L)->text);
    set_address(L, "leaf_fact", (const void *)leaf_fact);
    set_address(L, "leaf_header", (const void *)leaf_header);
    set_address(L, "leaf_send", (const void *)leaf_send);
}
