/* http_trailers.c - trailers for Lua: those that a request has ended with, and those that an answer
 * is to end with.
 *
 * The latter lie in the table of the answer's headers, under a key of their own; a bit of the
 * exchange says so, and most answers cost no more than a look at it. */
#include "http.h"

static const char key[] = "_trailers"; /* lua/hv/http_response.lua sets it */

/* request_trailers(req) -> { name, value, ... }; or nil, message, code: EBUSY before the end of the
 * body */
static int request_trailers(lua_State *L) {
    http_exchange_t *exchange = hvl_http_check_request(L, 1);
    if (exchange == NULL) return hvl_push_error(L, "req:trailers", HV_ECLOSED);
    lua_newtable(L);
    size_t cursor = 0;
    hhttp_header_t trailer;
    int code;
    for (int i = 1; (code = hhttp_request_next_trailer(exchange->req, &cursor, &trailer)) == 1;
         i += 2) {
        hvl_http_add_field(L, i, &trailer);
    }
    return code == HV_EAGAIN ? hvl_push_error(L, "req:trailers", HV_EBUSY) : 1;
}

/* note_trailers(res): its table of headers has some */
static int note_trailers(lua_State *L) {
    http_exchange_t *exchange = hvl_http_check_response(L, 1);
    if (exchange != NULL) exchange->has_trailers = 1;
    return 0;
}

/* may_trail(name) -> whether such a field may stand behind a body */
static int may_trail(lua_State *L) {
    size_t len;
    const char *name = luaL_checklstring(L, 1, &len);
    lua_pushboolean(L, hhttp_may_trail(name, len));
    return 1;
}

int hvl_http_read_trailers(lua_State *L, int index, hhttp_header_t *trailers) {
    int count = 0, len = (int)lua_objlen(L, index);
    if (len / 2 > HTTP_HEADERS_MAX) return HV_ELIMIT;
    for (int i = 1; i < len; i += 2) {
        hhttp_header_t *trailer = &trailers[count++];
        lua_rawgeti(L, index, i);
        lua_rawgeti(L, index, i + 1);
        if (lua_type(L, -2) != LUA_TSTRING || lua_type(L, -1) != LUA_TSTRING) return HV_EINVAL;
        trailer->name.data = lua_tolstring(L, -2, &trailer->name.len);
        trailer->value.data = lua_tolstring(L, -1, &trailer->value.len);
        lua_pop(L, 2);
    }
    return count;
}

/* The trailers set so far, borrowed from what it leaves on the stack. Returns how many, or a
 * code. */
static int collect(lua_State *L, const http_exchange_t *exchange, hhttp_header_t *trailers) {
    if (exchange->headers_ref == LUA_NOREF) return 0; /* it has failed meanwhile */
    lua_rawgeti(L, LUA_REGISTRYINDEX, exchange->headers_ref);
    lua_pushlstring(L, key, sizeof key - 1);
    lua_rawget(L, -2);
    return lua_istable(L, -1) ? hvl_http_read_trailers(L, lua_gettop(L), trailers) : 0;
}

int hvl_http_end(lua_State *L, http_exchange_t *exchange) {
    if (!exchange->has_trailers) return hhttp_response_end(exchange->req);
    hhttp_header_t trailers[HTTP_HEADERS_MAX];
    int top = lua_gettop(L);
    int code = collect(L, exchange, trailers);
    if (code >= 0) code = hhttp_response_end_with(exchange->req, trailers, (size_t)code);
    lua_settop(L, top);
    return code;
}

int hvl_http_respond_in_pieces(lua_State *L, http_exchange_t *exchange,
                               const hhttp_header_t *headers, size_t count, const void *body,
                               size_t len) {
    int code = hhttp_response_begin(exchange->req, exchange->status, headers, count, -1);
    if (code == 0 && len > 0) code = hhttp_response_write(exchange->req, body, len);
    if (code != 0 && code != HV_EAGAIN) return code;
    return hvl_http_end(L, exchange);
}

void hvl_http_open_trailers(lua_State *L, hvl_t *rt) {
    static const luaL_Reg functions[] = {{"request_trailers", request_trailers},
                                         {"note_trailers", note_trailers},
                                         {"may_trail", may_trail},
                                         {NULL, NULL}};
    hvl_setfuncs(L, rt, functions);
}
