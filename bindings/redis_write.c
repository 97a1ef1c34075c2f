/* redis_write.c - commands out of Lua values.
 *
 * Two passes: the first counts the arguments and refuses what cannot be sent, so that the second,
 * which writes, stops in the middle for want of memory only. No code of the user's runs in
 * either. */
#include "redis.h"

#define ARGS_MAX    (1 << 20)
#define NUMBER_TEXT 32
#define CDATA       10 /* LuaJIT's lua_type of a cdata object */

/* ---- Bytes ---- */

int hvl_bytes_reserve(hvl_bytes_t *bytes, size_t extra) {
    if (bytes->cap - bytes->end >= extra) return 0;
    size_t used = bytes->end - bytes->start;
    size_t cap = bytes->cap > 0 ? bytes->cap : 256;
    while (cap - used < extra) {
        if (cap > SIZE_MAX / 4) return HV_ENOMEM;
        cap *= 2;
    }
    char *base = hv_malloc(cap);
    if (base == NULL) return HV_ENOMEM;
    if (used > 0) memcpy(base, bytes->base + bytes->start, used);
    hv_free(bytes->base);
    *bytes = (hvl_bytes_t){base, 0, used, cap};
    return 0;
}

int hvl_bytes_append(hvl_bytes_t *bytes, const void *data, size_t len) {
    int code = hvl_bytes_reserve(bytes, len);
    if (code != 0) return code;
    if (len > 0) memcpy(bytes->base + bytes->end, data, len);
    bytes->end += len;
    return 0;
}

void hvl_bytes_deinit(hvl_bytes_t *bytes) {
    hv_free(bytes->base);
    *bytes = (hvl_bytes_t){NULL, 0, 0, 0};
}

/* ---- Arguments ---- */

/* Writes a number as text: whole ones without a fraction, others so that they read back exactly. */
static size_t number_text(lua_Number number, char text[NUMBER_TEXT]) {
    if (number >= -9007199254740992.0 && number <= 9007199254740992.0 &&
        number == (lua_Number)(int64_t)number) {
        return (size_t)snprintf(text, NUMBER_TEXT, "%lld", (long long)number);
    }
    return (size_t)snprintf(text, NUMBER_TEXT, "%.17g", number);
}

/* Where the registry has the Lua function that hvl_redis_set_integer_text was given. */
static char integer_text_key;

int hvl_redis_set_integer_text(lua_State *L) {
    luaL_checktype(L, 1, LUA_TFUNCTION);
    lua_pushlightuserdata(L, &integer_text_key);
    lua_pushvalue(L, 1);
    lua_rawset(L, LUA_REGISTRYINDEX);
    return 0;
}

/* Pushes the digits of the 64-bit integer on top, or nil where it is another cdata. */
static void push_integer_text(lua_State *L) {
    lua_pushlightuserdata(L, &integer_text_key);
    lua_rawget(L, LUA_REGISTRYINDEX);
    lua_pushvalue(L, -2);
    lua_call(L, 1, 1);
}

/* Whether the value on top may be an argument, alone. */
static int is_sendable(lua_State *L) {
    int type = lua_type(L, -1);
    if (type != CDATA) return type == LUA_TSTRING || type == LUA_TNUMBER;
    push_integer_text(L);
    int is_integer = lua_isstring(L, -1);
    lua_pop(L, 1);
    return is_integer;
}

/* The arguments of a command: `name` stands first. */
static void refuse(lua_State *L, const char *name, int position) {
    int is_null = lua_type(L, -1) == LUA_TLIGHTUSERDATA;
    hvl_misuse(L, "hv.redis: %s: argument %d must be a string, a number or a table of them, got %s",
               name, position, is_null ? "null" : luaL_typename(L, -1));
}

/* Counts the arguments that the table on top gives. */
static size_t count_table(lua_State *L, const char *name, int position) {
    size_t items = lua_objlen(L, -1);
    if (items > ARGS_MAX) hvl_misuse(L, "hv.redis: more than %d arguments", ARGS_MAX);
    if (items > 0) {
        for (int i = 1; i <= (int)items; i++) {
            lua_rawgeti(L, -1, i);
            if (!is_sendable(L)) refuse(L, name, position);
            lua_pop(L, 1);
        }
        return items;
    }
    lua_pushnil(L);
    while (lua_next(L, -2)) {
        if (!is_sendable(L)) refuse(L, name, position);
        lua_pop(L, 1);
        if (!is_sendable(L)) refuse(L, name, position);
        items += 2;
    }
    return items;
}

static size_t count_args(lua_State *L, int first, int last) {
    size_t count = 0;
    const char *name = lua_type(L, first) == LUA_TSTRING ? lua_tostring(L, first) : "?";
    for (int i = first; i <= last; i++) {
        int type = lua_type(L, i);
        if (type == LUA_TSTRING || type == LUA_TNUMBER) {
            count++;
            continue;
        }
        lua_pushvalue(L, i);
        if (type == LUA_TTABLE) {
            count += count_table(L, name, i - first);
        } else {
            if (!is_sendable(L)) refuse(L, name, i - first);
            count++;
        }
        lua_pop(L, 1);
    }
    if (count > ARGS_MAX) hvl_misuse(L, "hv.redis: more than %d arguments", ARGS_MAX);
    return count;
}

static int write_bytes(hvl_bytes_t *out, const char *data, size_t len) {
    int code = hvl_bytes_reserve(out, len + HRESP_HEAD_BYTES + 2);
    if (code != 0) return code;
    char *at = out->base + out->end;
    at += hresp_write_argument(at, len);
    memcpy(at, data, len);
    at += len;
    *at++ = '\r';
    *at++ = '\n';
    out->end = (size_t)(at - out->base);
    return 0;
}

/* Writes the value on top. */
static int write_value(lua_State *L, hvl_bytes_t *out) {
    char text[NUMBER_TEXT];
    size_t len;
    int type = lua_type(L, -1);
    if (type == LUA_TNUMBER) {
        len = number_text(lua_tonumber(L, -1), text);
        return write_bytes(out, text, len);
    }
    if (type == LUA_TSTRING) {
        const char *data = lua_tolstring(L, -1, &len);
        return write_bytes(out, data, len);
    }
    push_integer_text(L);
    const char *data = lua_tolstring(L, -1, &len);
    int code = write_bytes(out, data, len);
    lua_pop(L, 1);
    return code;
}

static int write_table(lua_State *L, hvl_bytes_t *out) {
    int items = (int)lua_objlen(L, -1);
    int code = 0;
    for (int i = 1; i <= items && code == 0; i++) {
        lua_rawgeti(L, -1, i);
        code = write_value(L, out);
        lua_pop(L, 1);
    }
    if (items > 0) return code;
    lua_pushnil(L);
    while (lua_next(L, -2)) {
        lua_pushvalue(L, -2);
        if (code == 0) code = write_value(L, out);
        lua_pop(L, 1);
        if (code == 0) code = write_value(L, out);
        lua_pop(L, 1);
    }
    return code;
}

int hvl_redis_write(lua_State *L, int first, hvl_bytes_t *out) {
    int last = lua_gettop(L);
    luaL_checkstack(L, 8, "too many arguments");
    size_t count = count_args(L, first, last);
    size_t before = out->end - out->start;
    int code = hvl_bytes_reserve(out, HRESP_HEAD_BYTES);
    if (code != 0) return code;
    out->end += hresp_write_command(out->base + out->end, count);
    for (int i = first; i <= last && code == 0; i++) {
        if (lua_type(L, i) == LUA_TSTRING) {
            size_t len;
            const char *data = lua_tolstring(L, i, &len);
            code = write_bytes(out, data, len);
            continue;
        }
        lua_pushvalue(L, i);
        code = lua_istable(L, -1) ? write_table(L, out) : write_value(L, out);
        lua_pop(L, 1);
    }
    if (code != 0) out->end = out->start + before;
    return code;
}
