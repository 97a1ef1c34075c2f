/* fields.h - reading the tables of options that lua/hv has checked: fields of the table at an
 * index. Nothing here raises but for memory. */
#ifndef HVL_FIELDS_H_
#define HVL_FIELDS_H_

#include "bind.h"

/* A number; 0 where there is none. */
static inline lua_Number hvl_field_number(lua_State *L, int index, const char *name) {
    lua_getfield(L, index, name);
    lua_Number value = lua_tonumber(L, -1);
    lua_pop(L, 1);
    return value;
}

/* A limit of bytes, counts or milliseconds where 0, or none, means no limit: INFINITE then. */
static inline uint32_t hvl_field_limit(lua_State *L, int index, const char *name) {
    lua_Number value = hvl_field_number(L, index, name);
    return value > 0 && value < (lua_Number)INFINITE ? (uint32_t)value : INFINITE;
}

/* A count, bytes or milliseconds; 0 where there is none. */
static inline uint32_t hvl_field_count(lua_State *L, int index, const char *name) {
    lua_Number value = hvl_field_number(L, index, name);
    if (!(value > 0)) return 0;
    return value < UINT32_MAX ? (uint32_t)value : UINT32_MAX;
}

/* Bytes of something that may be large; 0 where there is none, or more than a number counts. */
static inline uint64_t hvl_field_bytes(lua_State *L, int index, const char *name) {
    lua_Number value = hvl_field_number(L, index, name);
    return value > 0 && value < 9e15 ? (uint64_t)value : 0;
}

static inline int hvl_field_flag(lua_State *L, int index, const char *name) {
    lua_getfield(L, index, name);
    int is_set = lua_toboolean(L, -1);
    lua_pop(L, 1);
    return is_set;
}

/* A string, or NULL; borrowed from the table, which must not change meanwhile. */
static inline const char *hvl_field_text(lua_State *L, int index, const char *name) {
    lua_getfield(L, index, name);
    const char *text = lua_tostring(L, -1);
    lua_pop(L, 1);
    return text;
}

/* The same with its length, for what may hold any bytes. */
static inline const char *hvl_field_string(lua_State *L, int index, const char *name, size_t *len) {
    *len = 0;
    lua_getfield(L, index, name);
    const char *text = lua_tolstring(L, -1, len);
    lua_pop(L, 1);
    return text;
}

static inline int hvl_field_is(lua_State *L, int index, const char *name, const char *value) {
    const char *text = hvl_field_text(L, index, name);
    return text != NULL && strcmp(text, value) == 0;
}

#endif
