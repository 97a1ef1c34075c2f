/* http_leaf.c - the leaves (bind.h) of requests and responses: what handlers ask and say most, so
 * that a handler stays one trace. lua/hv/http_request.lua and http_response.lua call them. */
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

void hvl_http_open_leaves(lua_State *L) {
    lua_pushinteger(L, FACT_QUERY_STRING);
    lua_setfield(L, -2, "last_text_fact");
    hvl_set_leaf(L, "leaf_text", &hvl_http_pool(L)->text);
    hvl_set_leaf(L, "leaf_fact", (const void *)leaf_fact);
    hvl_set_leaf(L, "leaf_header", (const void *)leaf_header);
    hvl_set_leaf(L, "leaf_send", (const void *)leaf_send);
}
