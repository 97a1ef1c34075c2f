/* http_router.c - routers for Lua: which handler a path has, and which router a host has.
 *
 * Handlers lie in the environment table of their router, so the collector sees cycles through it;
 * while a server is open its router is held, with those of its hosts: each table by a reference. A
 * router that is a host's has no hosts of its own. */
#include "http.h"

#include "hbase.h"

const hvl_class_t hvl_http_router_class = {"hv.http_router"};

/* ---- Routers ---- */

/* router(deliver) */
static int router_new(lua_State *L) {
    hvl_t *rt = hvl_self(L);
    luaL_checktype(L, 1, LUA_TFUNCTION);
    http_router_t *router = hvl_object_new(L, rt, &hvl_http_router_class, sizeof *router);
    lua_newtable(L);
    lua_pushvalue(L, 1);
    lua_rawseti(L, -2, HANDLER_DELIVER);
    lua_setfenv(L, -2);
    router->entries = hv_zalloc(sizeof *router->entries);
    router->routes = hhttp_router_new();
    if (router->entries == NULL || router->routes == NULL) {
        return luaL_error(L, "not enough memory");
    }
    router->entry_count = 1;
    router->handlers_ref = LUA_NOREF;
    return 1;
}

static int router_gc(lua_State *L) {
    http_router_t *router = lua_touserdata(L, 1);
    hhttp_router_free(router->routes);
    hv_free(router->entries);
    for (uint32_t i = 0; i < router->host_count; i++) hv_free(router->hosts[i].name);
    hv_free(router->hosts);
    router->hosts = NULL;
    router->host_count = 0;
    router->routes = NULL;
    router->entries = NULL;
    return 0;
}

static http_router_t *check_router(lua_State *L) { return hvl_check(L, 1, &hvl_http_router_class); }

/* router:add(method name or "ANY", pattern) -> number; or nil, message, code */
static int router_add(lua_State *L) {
    http_router_t *router = check_router(L);
    size_t name_len, pattern_len;
    const char *name = luaL_checklstring(L, 2, &name_len);
    const char *pattern = luaL_checklstring(L, 3, &pattern_len);
    hhttp_method_e method = strcmp(name, "ANY") == 0 ? HHTTP_ANY : hhttp_method_of(name, name_len);
    size_t used = router->entry_count * sizeof *router->entries;
    http_entry_t *grown = hv_realloc(router->entries, used + sizeof *grown, used);
    if (grown == NULL) return hvl_push_error(L, "route", HV_ENOMEM);
    router->entries = grown;
    int code = method == HHTTP_OTHER ? HV_EINVAL
                                     : hhttp_router_add(router->routes, method, pattern,
                                                        pattern_len, router->entry_count);
    if (code != 0) return hvl_push_error(L, "route", code);
    lua_pushinteger(L, (lua_Integer)router->entry_count++);
    return 1;
}

/* router:set(number, fn or files, arg_count, is_chain); number 0 is the fallback, -1 the error
 * handler, -3 the page of errors, -4 the observer */
static int router_set(lua_State *L) {
    http_router_t *router = check_router(L);
    int number = (int)luaL_checkinteger(L, 2);
    int arg_count = (int)luaL_checkinteger(L, 4);
    int is_chain = lua_toboolean(L, 5);
    http_files_t *files = lua_isuserdata(L, 3) ? hvl_http_check_files(L, 3) : NULL;
    int is_special =
        number == HANDLER_ERROR || number == HANDLER_PAGE || number == HANDLER_OBSERVER;
    if ((number < 0 && !is_special) || number >= (int)router->entry_count) {
        return luaL_argerror(L, 2, "no such route");
    }
    lua_getfenv(L, 1);
    lua_pushvalue(L, 3);
    lua_rawseti(L, -2, number);
    int is_set = lua_isfunction(L, 3);
    if (number == HANDLER_ERROR) router->has_error_handler = is_set;
    if (number == HANDLER_PAGE) router->has_page = is_set;
    if (number == HANDLER_OBSERVER) router->has_observer = is_set;
    if (is_special) return 0;
    if (number == HANDLER_FALLBACK) router->has_fallback = is_set;
    router->entries[number].files = files; /* which the environment table keeps */
    router->entries[number].is_chain = (uint8_t)is_chain;
    router->entries[number].arg_count = (uint8_t)(is_chain || arg_count > 2 ? 2 : arg_count);
    return 0;
}

/* ---- Hosts ---- */

void hvl_http_router_hold(lua_State *L, int index) {
    http_router_t *router = hvl_check(L, index, &hvl_http_router_class);
    if (router->holders++ > 0) return;
    lua_getfenv(L, index);
    router->handlers_ref = hvl_ref(L);
    for (uint32_t i = 0; i < router->host_count; i++) {
        lua_rawgeti(L, LUA_REGISTRYINDEX, router->handlers_ref);
        lua_rawgeti(L, -1, HANDLER_HOSTS - (int)i);
        hvl_http_router_hold(L, lua_gettop(L));
        lua_pop(L, 2);
    }
}

void hvl_http_router_release(http_router_t *router) {
    if (--router->holders > 0) return;
    for (uint32_t i = 0; i < router->host_count; i++) {
        hvl_http_router_release(router->hosts[i].router);
    }
    hvl_unref(router->object.rt, &router->handlers_ref);
}

/* router:host(name, router) -> true; or nil, message, code. The name is in lower case, perhaps
 * "*.domain"; neither has the other one, or hosts, as a host. */
static int router_host(lua_State *L) {
    http_router_t *router = check_router(L);
    size_t len;
    const char *name = luaL_checklstring(L, 2, &len);
    http_router_t *other = hvl_check(L, 3, &hvl_http_router_class);
    size_t used = router->host_count * sizeof *router->hosts;
    http_host_t *grown = hv_realloc(router->hosts, used + sizeof *grown, used);
    if (grown != NULL) router->hosts = grown;
    char *copy = grown != NULL ? hv_malloc(len + 1) : NULL;
    if (copy == NULL) return hvl_push_error(L, "host", HV_ENOMEM);
    memcpy(copy, name, len + 1);
    lua_getfenv(L, 1);
    lua_pushvalue(L, 3);
    lua_rawseti(L, -2, HANDLER_HOSTS - (int)router->host_count);
    router->hosts[router->host_count++] = (http_host_t){copy, len, other};
    if (router->holders > 0) hvl_http_router_hold(L, 3);
    lua_pushboolean(L, 1);
    return 1;
}

/* The host of a request without port and final dot. */
static hhttp_slice_t bare_host(const hhttp_request_t *req) {
    hhttp_slice_t host = hhttp_request_host(req);
    if (host.len > 0 && host.data[0] == '[') {
        const char *end = memchr(host.data, ']', host.len);
        if (end != NULL) host.len = (size_t)(end - host.data) + 1;
        return host;
    }
    const char *colon = host.len > 0 ? memchr(host.data, ':', host.len) : NULL;
    if (colon != NULL) host.len = (size_t)(colon - host.data);
    if (host.len > 1 && host.data[host.len - 1] == '.') host.len--;
    return host;
}

static int host_matches(const http_host_t *entry, hhttp_slice_t host) {
    if (entry->name[0] != '*') {
        return host.len == entry->len && strncasecmp(host.data, entry->name, host.len) == 0;
    }
    size_t suffix = entry->len - 1; /* with its dot */
    return host.len > suffix &&
           strncasecmp(host.data + host.len - suffix, entry->name + 1, suffix) == 0;
}

const http_router_t *hvl_http_router_of_host(const http_router_t *router,
                                             const hhttp_request_t *req) {
    const http_router_t *found = router;
    size_t best = 0;
    hhttp_slice_t host = bare_host(req);
    for (uint32_t i = 0; i < router->host_count; i++) {
        const http_host_t *entry = &router->hosts[i];
        if (!host_matches(entry, host)) continue;
        if (entry->name[0] != '*') return entry->router;
        if (entry->len > best) {
            best = entry->len;
            found = entry->router;
        }
    }
    return found;
}

void hvl_http_open_routers(lua_State *L, hvl_t *rt) {
    static const luaL_Reg functions[] = {{"router", router_new}, {NULL, NULL}};
    static const luaL_Reg methods[] = {
        {"add", router_add}, {"set", router_set}, {"host", router_host}, {NULL, NULL}};
    static const luaL_Reg metamethods[] = {{"__gc", router_gc}, {NULL, NULL}};
    hvl_setfuncs(L, rt, functions);
    hvl_class_new(L, rt, &hvl_http_router_class, methods, metamethods);
    lua_pop(L, 1);
}
