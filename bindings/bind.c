/* bind.c - the runtime of a state, classes, references and errors.
 *
 * The check of an object's class compares one pointer inside the userdata; no metatable is looked
 * up. Every object begins with hvl_object_t, and a userdata too small for it is refused first. */
#include "bind.h"

#include "watch.h"

#include <stdarg.h>

/* What the program hvlua has and libhvlua has not. */
#pragma weak hvl_open_line_editor
#pragma weak hvl_close_editor

static const luaL_Reg modules[] = {
#define ROW(name) {"_hv." #name, hvl_open_##name},
    HVL_EACH_MODULE(ROW)
    ROW(line_editor)
#undef ROW
};

/* ---- The runtime ---- */

static void preload_modules(lua_State *L, hvl_t *rt) {
    lua_getglobal(L, "package");
    lua_getfield(L, -1, "preload");
    for (size_t i = 0; i < ARRAY_SIZE(modules); i++) {
        if (modules[i].func == NULL) continue;
        lua_pushlightuserdata(L, rt);
        lua_pushcclosure(L, modules[i].func, 1);
        lua_setfield(L, -2, modules[i].name);
    }
    lua_pop(L, 2);
}

hvl_t *hvl_open(lua_State *L, int is_guest) {
    hvl_t *rt = lua_newuserdata(L, sizeof *rt);
    memset(rt, 0, sizeof *rt);
    luaL_ref(L, LUA_REGISTRYINDEX);
    rt->L = L;
    rt->is_guest = is_guest;
    rt->drain_ref = rt->at_end_ref = rt->refusal_ref = LUA_NOREF;
    rt->slow_ms = HVL_SLOW_MS;
    hvl_watch_open(rt);
    rt->on_error_ref = rt->dual_body_ref = LUA_NOREF;
    preload_modules(L, rt);
    rt->loop = hloop_new(HLOOP_FLAG_QUIT_WHEN_NO_ACTIVE_EVENTS);
    if (rt->loop == NULL) luaL_error(L, "cannot make an event loop: %s", herr_text(errno));
    hloop_set_userdata(rt->loop, rt);
    int code = hvl_task_prepare(rt);
    if (code != 0) {
        hloop_free(&rt->loop);
        luaL_error(L, "cannot make a state: %s", herr_text(code));
    }
    return rt;
}

int hvl_is_refused(const hvl_t *rt) {
    return rt->refusal_ref != LUA_NOREF && hloop_nactives(rt->loop) == 0;
}

void hvl_forget_refusal(hvl_t *rt) {
    if (rt->refusal_ref != LUA_NOREF && !hvl_is_refused(rt)) hvl_unref(rt, &rt->refusal_ref);
}

int hvl_tell_refusal(hvl_t *rt) {
    if (rt->refusal_ref == LUA_NOREF) return 0;
    lua_rawgeti(rt->L, LUA_REGISTRYINDEX, rt->refusal_ref);
    hvl_complain("nothing to do: %s", lua_tostring(rt->L, -1));
    lua_pop(rt->L, 1);
    return 1;
}

void hvl_end(hvl_t *rt) {
    lua_State *L = rt->L;
    if (rt->at_end_ref == LUA_NOREF) return;
    lua_rawgeti(L, LUA_REGISTRYINDEX, rt->at_end_ref);
    hvl_unref(rt, &rt->at_end_ref);
    if (lua_pcall(L, 0, 0, 0) == 0) return;
    hvl_complain("%s", lua_tostring(L, -1));
    lua_pop(L, 1);
}

void hvl_close(hvl_t *rt) {
    hvl_close_workers(rt);
    if (hvl_close_editor != NULL) hvl_close_editor(rt);
    hvl_close_aims(rt);
    hloop_t *loop = rt->loop;
    rt->loop = NULL; /* from here on no task begins */
    hloop_free(&loop);
}

void hvl_setfuncs(lua_State *L, hvl_t *rt, const luaL_Reg *functions) {
    for (; functions->name != NULL; functions++) {
        lua_pushlightuserdata(L, rt);
        lua_pushcclosure(L, functions->func, 1);
        lua_setfield(L, -2, functions->name);
    }
}

/* ---- Classes and objects ---- */

/* Whoever closes a guest's state does not close the runtime first. The finalizer of an object that
 * is still anchored is the first sign of it: then everything goes down as it does elsewhere. */
static int collect_guest_object(lua_State *L) {
    const hvl_object_t *object = lua_touserdata(L, 1);
    const lua_CFunction *collect = lua_touserdata(L, lua_upvalueindex(2));
    if (object->anchor != LUA_NOREF && object->rt->loop != NULL) hvl_close(object->rt);
    return (*collect)(L);
}

static void wrap_finalizer(lua_State *L, hvl_t *rt, const luaL_Reg *metamethods) {
    for (; metamethods->name != NULL; metamethods++) {
        if (strcmp(metamethods->name, "__gc") != 0) continue;
        lua_pushlightuserdata(L, rt);
        lua_CFunction *collect = lua_newuserdata(L, sizeof *collect);
        *collect = metamethods->func;
        lua_pushcclosure(L, collect_guest_object, 2);
        lua_setfield(L, -2, "__gc");
    }
}

static void *class_key(const hvl_class_t *class_) { return (void *)(uintptr_t)class_; }

void hvl_class_new(lua_State *L, hvl_t *rt, const hvl_class_t *class_, const luaL_Reg *methods,
                   const luaL_Reg *metamethods) {
    lua_newtable(L);
    lua_pushstring(L, class_->name);
    lua_setfield(L, -2, "__name");
    if (metamethods != NULL) {
        hvl_setfuncs(L, rt, metamethods);
        if (rt->is_guest) wrap_finalizer(L, rt, metamethods);
    }
    lua_newtable(L);
    if (methods != NULL) hvl_setfuncs(L, rt, methods);
    lua_pushvalue(L, -1);
    lua_setfield(L, -3, "__index");
    lua_pushvalue(L, -1);
    lua_setfield(L, -3, "__names"); /* also where Lua puts a function in place of __index */
    lua_insert(L, -2);
    lua_pushlightuserdata(L, class_key(class_));
    lua_insert(L, -2);
    lua_rawset(L, LUA_REGISTRYINDEX);
}

void hvl_class_push(lua_State *L, const hvl_class_t *class_) {
    lua_pushlightuserdata(L, class_key(class_));
    lua_rawget(L, LUA_REGISTRYINDEX);
}

void *hvl_object_new(lua_State *L, hvl_t *rt, const hvl_class_t *class_, size_t bytes) {
    hvl_object_t *object = lua_newuserdata(L, bytes);
    memset(object, 0, bytes);
    object->class_ = class_;
    object->rt = rt;
    object->anchor = LUA_NOREF;
    hvl_class_push(L, class_);
    lua_setmetatable(L, -2);
    return object;
}

void *hvl_test(lua_State *L, int index, const hvl_class_t *class_) {
    if (lua_type(L, index) != LUA_TUSERDATA) return NULL;
    if (lua_objlen(L, index) < sizeof(hvl_object_t)) return NULL;
    hvl_object_t *object = lua_touserdata(L, index);
    return object->class_ == class_ ? object : NULL;
}

void *hvl_check(lua_State *L, int index, const hvl_class_t *class_) {
    void *object = hvl_test(L, index, class_);
    if (object == NULL) {
        hvl_misuse(L, "%s expected, got %s (call methods with ':')", class_->name,
                   luaL_typename(L, index));
    }
    return object;
}

void hvl_anchor(lua_State *L, int index) {
    hvl_object_t *object = lua_touserdata(L, index);
    if (object->anchor != LUA_NOREF) return;
    lua_pushvalue(L, index);
    object->anchor = luaL_ref(L, LUA_REGISTRYINDEX);
}

void hvl_unanchor(void *object) {
    hvl_object_t *self = object;
    hvl_unref(self->rt, &self->anchor);
}

void hvl_push(lua_State *L, const void *object) {
    lua_rawgeti(L, LUA_REGISTRYINDEX, ((const hvl_object_t *)object)->anchor);
}

/* ---- References ---- */

int hvl_ref(lua_State *L) { return luaL_ref(L, LUA_REGISTRYINDEX); }

int hvl_ref_field(lua_State *L, int index, const char *name) {
    lua_getfield(L, index, name);
    if (lua_isnil(L, -1)) {
        lua_pop(L, 1);
        return LUA_NOREF;
    }
    return hvl_ref(L);
}

void hvl_unref(hvl_t *rt, int *ref) {
    luaL_unref(rt->L, LUA_REGISTRYINDEX, *ref);
    *ref = LUA_NOREF;
}

/* ---- Errors ---- */

int hvl_push_error(lua_State *L, const char *what, int code) {
    lua_pushnil(L);
    lua_pushfstring(L, "%s: %s", what, herr_text(code));
    lua_pushstring(L, herr_name(code));
    return 3;
}

int hvl_is_ours(const lua_Debug *at) {
    if (*at->what == 'C') return 1;
    if (strncmp(at->source, "=[hv", 4) == 0) return 1;
    if (*at->source != '@') return 0;
    return strstr(at->source, "/5.1/hv/") != NULL || strstr(at->source, "lua/hv/") != NULL;
}

/* Pushes "file.lua:3: " of the nearest frame of the user's, or "". */
static void push_position(lua_State *L) {
    lua_Debug at;
    for (int level = 0; lua_getstack(L, level, &at); level++) {
        lua_getinfo(L, "Sl", &at);
        if (hvl_is_ours(&at)) continue;
        if (at.currentline > 0) {
            lua_pushfstring(L, "%s:%d: ", at.short_src, at.currentline);
            return;
        }
        break;
    }
    lua_pushliteral(L, "");
}

int hvl_misuse(lua_State *L, const char *format, ...) {
    va_list args;
    va_start(args, format);
    push_position(L);
    lua_pushvfstring(L, format, args);
    va_end(args);
    lua_concat(L, 2);
    return lua_error(L);
}

int64_t hvl_check_integer(lua_State *L, int index, const char *what, int64_t min, int64_t max) {
    lua_Number value = lua_tonumber(L, index);
    int is_good = lua_type(L, index) == LUA_TNUMBER && value >= (lua_Number)min &&
                  value <= (lua_Number)max && value == (lua_Number)(int64_t)value;
    if (!is_good) {
        char range[64];
        snprintf(range, sizeof range, "%lld..%lld", (long long)min, (long long)max);
        const char *got = lua_type(L, index) == LUA_TNUMBER ? lua_tostring(L, index)
                                                            : luaL_typename(L, index);
        hvl_misuse(L, "%s must be %s, got %s", what, range, got);
    }
    return (int64_t)value;
}

/* ---- Leaves ---- */

void hvl_set_leaf(lua_State *L, const char *name, const void *address) {
    lua_pushlightuserdata(L, (void *)(uintptr_t)address);
    lua_setfield(L, -2, name);
}

/* ---- Addresses ---- */

/* The IP literal and port of an address. Returns whether it has them. */
static int split_address(const struct sockaddr *addr, char ip[INET6_ADDRSTRLEN], int *port) {
    if (addr->sa_family == AF_INET) {
        struct sockaddr_in in;
        memcpy(&in, addr, sizeof in);
        *port = ntohs(in.sin_port);
        return inet_ntop(AF_INET, &in.sin_addr, ip, INET6_ADDRSTRLEN) != NULL;
    }
    if (addr->sa_family == AF_INET6) {
        struct sockaddr_in6 in6;
        memcpy(&in6, addr, sizeof in6);
        *port = ntohs(in6.sin6_port);
        return inet_ntop(AF_INET6, &in6.sin6_addr, ip, INET6_ADDRSTRLEN) != NULL;
    }
    return 0;
}

static const char *unix_path(const struct sockaddr *addr) {
    const char *path = (const char *)addr + offsetof(struct sockaddr_un, sun_path);
    return addr->sa_family == AF_UNIX ? path : "";
}

void hvl_push_address(lua_State *L, const struct sockaddr *addr) {
    char ip[INET6_ADDRSTRLEN];
    int port;
    lua_createtable(L, 0, 2);
    if (split_address(addr, ip, &port)) {
        lua_pushstring(L, ip);
        lua_setfield(L, -2, "ip");
        lua_pushinteger(L, port);
        lua_setfield(L, -2, "port");
    } else {
        lua_pushstring(L, unix_path(addr));
        lua_setfield(L, -2, "path");
    }
}

const char *hvl_address_text(const struct sockaddr *addr, char *text, size_t bytes) {
    char ip[INET6_ADDRSTRLEN];
    int port;
    if (split_address(addr, ip, &port)) {
        snprintf(text, bytes, addr->sa_family == AF_INET6 ? "[%s]:%d" : "%s:%d", ip, port);
    } else {
        const char *path = unix_path(addr);
        snprintf(text, bytes, "%s", *path ? path : "?");
    }
    return text;
}
