/* hvlua_values.c - values between C and Lua by a signature of letters (include/hvlua.h), without
 * anything that may raise on the reading side. */
#include "hvlua_int.h"

#include <stdarg.h>

int hvl_signature_is_good(const char *signature, int may_return) {
    int has_arrow = 0;
    for (; *signature != '\0'; signature++) {
        if (*signature == '>' && may_return && !has_arrow) {
            has_arrow = 1;
        } else if (strchr("dilbsSpn", *signature) == NULL) {
            return 0;
        }
    }
    return 1;
}

static void push_value(lua_State *L, char letter, va_list *args) {
    switch (letter) {
    case 'd': lua_pushnumber(L, va_arg(*args, double)); break;
    case 'i': lua_pushinteger(L, va_arg(*args, int)); break;
    case 'l': lua_pushnumber(L, (lua_Number)va_arg(*args, int64_t)); break;
    case 'b': lua_pushboolean(L, va_arg(*args, int)); break;
    case 's': lua_pushstring(L, va_arg(*args, const char *)); break;
    case 'S': {
        const char *data = va_arg(*args, const char *);
        lua_pushlstring(L, data, va_arg(*args, size_t));
        break;
    }
    case 'p': lua_pushlightuserdata(L, va_arg(*args, void *)); break;
    default: lua_pushnil(L);
    }
}

int hvl_push_values(lua_State *L, const char **signature, va_list *args) {
    int count = (int)strcspn(*signature, ">");
    luaL_checkstack(L, count + LUA_MINSTACK, "too many arguments");
    for (int i = 0; i < count; i++) push_value(L, (*signature)[i], args);
    *signature += count;
    if (**signature == '>') ++*signature;
    return count;
}

/* A whole number within -max..max. */
static int is_whole(lua_State *L, int index, lua_Number max) {
    lua_Number value = lua_tonumber(L, index);
    if (lua_type(L, index) != LUA_TNUMBER || !(value >= -max - 1 && value <= max)) return 0;
    return value == (lua_Number)(int64_t)value;
}

static int read_string(lua_State *L, int index, char letter, va_list *args) {
    const char **data = va_arg(*args, const char **);
    size_t *len = letter == 'S' ? va_arg(*args, size_t *) : NULL;
    int is_nil = lua_isnoneornil(L, index);
    if (!is_nil && lua_type(L, index) != LUA_TSTRING) return 0;
    size_t length = 0;
    *data = is_nil ? NULL : lua_tolstring(L, index, &length);
    if (len != NULL) *len = length;
    return 1;
}

/* Returns whether the value is of the letter's type. */
static int read_value(lua_State *L, int index, char letter, va_list *args) {
    switch (letter) {
    case 'd':
        if (lua_type(L, index) != LUA_TNUMBER) return 0;
        *va_arg(*args, double *) = lua_tonumber(L, index);
        return 1;
    case 'i':
        if (!is_whole(L, index, INT32_MAX)) return 0;
        *va_arg(*args, int *) = (int)lua_tonumber(L, index);
        return 1;
    case 'l':
        if (!is_whole(L, index, 9007199254740992.0)) return 0;
        *va_arg(*args, int64_t *) = (int64_t)lua_tonumber(L, index);
        return 1;
    case 'b': *va_arg(*args, int *) = lua_toboolean(L, index); return 1;
    case 's':
    case 'S': return read_string(L, index, letter, args);
    case 'p':
        if (!lua_islightuserdata(L, index)) return 0;
        *va_arg(*args, void **) = lua_touserdata(L, index);
        return 1;
    default: return 1;
    }
}

int hvl_read_values(hvlua_t *lua, lua_State *L, int index, const char *signature, va_list *args) {
    for (int i = 0; signature[i] != '\0'; i++) {
        if (read_value(L, index + i, signature[i], args)) continue;
        return hvl_embed_fail(lua, HV_EPROTO, "result %d is a %s, not what '%c' says", i + 1,
                              luaL_typename(L, index + i), signature[i]);
    }
    return 0;
}

int hvl_push_path(lua_State *L, const char *path) {
    const char *dot;
    lua_pushvalue(L, LUA_GLOBALSINDEX);
    do {
        dot = strchr(path, '.');
        size_t len = dot != NULL ? (size_t)(dot - path) : strlen(path);
        lua_pushlstring(L, path, len);
        lua_rawget(L, -2);
        lua_remove(L, -2);
        path += len + 1;
        if (dot != NULL && !lua_istable(L, -1)) {
            lua_pop(L, 1);
            lua_pushnil(L);
            return 0;
        }
    } while (dot != NULL);
    return 1;
}
