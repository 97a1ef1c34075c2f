/* redis_reply.c - tokens of hresp.h into Lua values, one by one.
 *
 * Tables that are not complete lie on the stack of a thread of their own, outermost first; of a map
 * whose last token was a key, the key lies above it. So a reply that arrives in a thousand pieces
 * is built as it comes, and none of it is kept as bytes.
 *
 *     string, verbatim   string             null          hv.redis.null, a light userdata
 *     integer            number, or a 64-bit integer (cdata) beyond 2^53
 *     double             number             boolean       boolean
 *     big number         string of digits   array, set    list
 *     map                table              attribute     read over
 *     error              a table with hv.redis.error as its metatable */
#include "redis.h"

#define ITEMS_PREPARED 1024 /* a count alone makes no more room than this */
#define EXACT_MAX      ((int64_t)1 << 53)

void hvl_reply_init(lua_State *L, hvl_reply_t *reply) {
    reply->stack = lua_newthread(L);
    reply->stack_ref = hvl_ref(L);
    luaL_checkstack(reply->stack, 2 * HRESP_DEPTH_MAX + LUA_MINSTACK, "replies");
    reply->error_meta_ref = reply->integer_ref = LUA_NOREF;
}

void hvl_reply_deinit(hvl_t *rt, hvl_reply_t *reply) {
    hvl_unref(rt, &reply->stack_ref);
    hvl_unref(rt, &reply->error_meta_ref);
    hvl_unref(rt, &reply->integer_ref);
}

void hvl_reply_reset(hvl_reply_t *reply) {
    lua_settop(reply->stack, 0);
    reply->level_count = 0;
}

int hvl_reply_is_error(const hvl_reply_t *reply) {
    lua_State *S = reply->stack;
    if (!lua_istable(S, -1) || !lua_getmetatable(S, -1)) return 0;
    lua_rawgeti(S, LUA_REGISTRYINDEX, reply->error_meta_ref);
    int is_same = lua_rawequal(S, -1, -2);
    lua_pop(S, 2);
    return is_same;
}

/* ---- Values ---- */

static void push_integer(const hvl_reply_t *reply, int64_t value) {
    lua_State *S = reply->stack;
    if (value >= -EXACT_MAX && value <= EXACT_MAX) {
        lua_pushnumber(S, (lua_Number)value);
        return;
    }
    lua_rawgeti(S, LUA_REGISTRYINDEX, reply->integer_ref);
    lua_pushnumber(S, (lua_Number)(value >> 32));
    lua_pushnumber(S, (lua_Number)(uint32_t)value);
    lua_call(S, 2, 1);
}

/* {message = "WRONGTYPE Operation against ...", kind = "WRONGTYPE", code = "EREDIS"} */
static void push_error_value(const hvl_reply_t *reply, const char *text, size_t len) {
    lua_State *S = reply->stack;
    const char *blank = memchr(text, ' ', len);
    lua_createtable(S, 0, 3);
    lua_pushlstring(S, text, len);
    lua_setfield(S, -2, "message");
    lua_pushlstring(S, text, blank != NULL ? (size_t)(blank - text) : len);
    lua_setfield(S, -2, "kind");
    lua_pushliteral(S, "EREDIS");
    lua_setfield(S, -2, "code");
    lua_rawgeti(S, LUA_REGISTRYINDEX, reply->error_meta_ref);
    lua_setmetatable(S, -2);
}

static void push_scalar(const hvl_reply_t *reply, const hresp_token_t *token) {
    lua_State *S = reply->stack;
    switch (token->type) {
    case HRESP_INTEGER: push_integer(reply, token->integer); break;
    case HRESP_DOUBLE: lua_pushnumber(S, token->number); break;
    case HRESP_BOOLEAN: lua_pushboolean(S, (int)token->integer); break;
    case HRESP_NULL: lua_pushlightuserdata(S, NULL); break;
    case HRESP_ERROR: push_error_value(reply, token->data, token->len); break;
    default: lua_pushlstring(S, token->data, token->len); break;
    }
}

/* ---- Aggregates ---- */

static int is_map(unsigned type) { return type == HRESP_MAP || type == HRESP_ATTRIBUTE; }

/* Puts the value on top into the aggregate below it; outside of any it stays there. */
static void place(hvl_reply_t *reply) {
    if (reply->level_count == 0) return;
    lua_State *S = reply->stack;
    struct hvl_reply_level_s *level = &reply->levels[reply->level_count - 1];
    if (!is_map(level->type)) {
        lua_rawseti(S, -2, level->next++);
    } else if (level->has_key) {
        level->has_key = 0;
        lua_rawset(S, -3);
    } else {
        level->has_key = 1;
        lua_Number number = lua_tonumber(S, -1);
        if (number != number) { /* no table takes it as a key */
            lua_pop(S, 1);
            lua_pushliteral(S, "nan");
        }
    }
}

static void open_level(hvl_reply_t *reply, const hresp_token_t *token) {
    int64_t count = token->count < 0 ? 0 : token->count;
    int room = (int)(count < ITEMS_PREPARED ? count : ITEMS_PREPARED);
    if (is_map(token->type)) {
        lua_createtable(reply->stack, 0, room / 2);
    } else {
        lua_createtable(reply->stack, room, 0);
    }
    struct hvl_reply_level_s *level = &reply->levels[reply->level_count++];
    level->type = (uint8_t)token->type;
    level->has_key = 0;
    level->next = 1;
}

/* Makes one string of the list of pieces on top. */
static void join_pieces(lua_State *S, int count) {
    luaL_Buffer all;
    int pieces = lua_gettop(S);
    luaL_buffinit(S, &all);
    for (int i = 1; i <= count; i++) {
        lua_rawgeti(S, pieces, i);
        luaL_addvalue(&all);
    }
    luaL_pushresult(&all);
    lua_remove(S, pieces);
}

static void close_level(hvl_reply_t *reply) {
    const struct hvl_reply_level_s *level = &reply->levels[--reply->level_count];
    if (level->type == HRESP_ATTRIBUTE) {
        lua_pop(reply->stack, 1);
        return;
    }
    if (level->type == HRESP_CHUNKED) join_pieces(reply->stack, level->next - 1);
    place(reply);
}

void hvl_reply_add(hvl_reply_t *reply, const hresp_token_t *token) {
    switch (token->type) {
    case HRESP_ARRAY: case HRESP_SET: case HRESP_MAP: case HRESP_ATTRIBUTE: case HRESP_PUSH:
    case HRESP_CHUNKED:
        open_level(reply, token);
        break;
    case HRESP_END: break;
    default:
        push_scalar(reply, token);
        place(reply);
        break;
    }
    for (uint32_t i = 0; i < token->closes; i++) close_level(reply);
}
