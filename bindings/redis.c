/* redis.c - the module `_hv.redis`: links (redis_link.c), and pipes, which are commands that are
 * written together. */
#include "redis.h"

const hvl_class_t hvl_pipe_class = {"hv.redis_pipe"};

/* ---- Pipes: commands that are written together ---- */

static int new_pipe(lua_State *L) {
    hvl_object_new(L, hvl_self(L), &hvl_pipe_class, sizeof(hvl_pipe_t));
    return 1;
}

static int pipe_gc(lua_State *L) {
    hvl_pipe_t *pipe = hvl_check(L, 1, &hvl_pipe_class);
    hvl_bytes_deinit(&pipe->out);
    return 0;
}

/* add(name, ...) */
static int pipe_add(lua_State *L) {
    hvl_pipe_t *pipe = hvl_check(L, 1, &hvl_pipe_class);
    pipe->out.end = pipe->out.start + pipe->whole;
    int code = hvl_redis_write(L, 2, &pipe->out);
    if (code != 0) return luaL_error(L, "not enough memory");
    pipe->whole = pipe->out.end - pipe->out.start;
    pipe->count++;
    return 0;
}

static int pipe_count(lua_State *L) {
    const hvl_pipe_t *pipe = hvl_check(L, 1, &hvl_pipe_class);
    lua_pushinteger(L, (lua_Integer)pipe->count);
    return 1;
}

static int pipe_clear(lua_State *L) {
    hvl_pipe_t *pipe = hvl_check(L, 1, &hvl_pipe_class);
    pipe->out.start = pipe->out.end = pipe->whole = 0;
    pipe->count = 0;
    return 0;
}

/* slot(key) -> 0..16383 */
static int slot_of(lua_State *L) {
    size_t len;
    if (!lua_isstring(L, 1)) {
        return hvl_misuse(L, "hv.redis.slot: key must be a string, got %s", luaL_typename(L, 1));
    }
    const char *key = lua_tolstring(L, 1, &len);
    lua_pushinteger(L, hresp_slot(key, len));
    return 1;
}

int hvl_open_redis(lua_State *L) {
    static const luaL_Reg functions[] = {
        {"link", hvl_redis_link_new},
        {"pipe", new_pipe},
        {"slot", slot_of},
        {"set_integer_text", hvl_redis_set_integer_text},
        {NULL, NULL}};
    static const luaL_Reg methods[] = {
        {"add", pipe_add}, {"count", pipe_count}, {"clear", pipe_clear}, {NULL, NULL}};
    static const luaL_Reg metamethods[] = {{"__gc", pipe_gc}, {NULL, NULL}};
    hvl_t *rt = hvl_self(L);
    lua_newtable(L);
    hvl_setfuncs(L, rt, functions);
    hvl_redis_link_open(L, rt);
    hvl_class_new(L, rt, &hvl_pipe_class, methods, metamethods);
    lua_setfield(L, -2, "pipe_methods");
    lua_pushlightuserdata(L, NULL);
    lua_setfield(L, -2, "null");
    return 1;
}
