/* state.c - what a new Lua state gets, whoever makes it: the standard libraries, the runtime with a
 * loop of its own, the modules that the program carries in itself, and lua-cjson. The program's
 * main state and the states of workers are made here alike. */
#include "bind.h"
#include "embedded.h"

int luaopen_cjson(lua_State *L);

static const struct hv_embedded_module *find_embedded(const char *name) {
    size_t low = 0, high = hv_embedded_module_count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        int order = strcmp(name, hv_embedded_modules[middle].name);
        if (order == 0) return &hv_embedded_modules[middle];
        if (order < 0) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    return NULL;
}

/* A searcher for package.loaders: the modules that the program carries in itself. */
static int search_embedded(lua_State *L) {
    const char *name = luaL_checkstring(L, 1);
    const struct hv_embedded_module *module = find_embedded(name);
    if (module == NULL) {
        lua_pushfstring(L, "\n\tno embedded module '%s'", name);
        return 1;
    }
    lua_pushfstring(L, "=[%s]", name);
    if (luaL_loadbuffer(L, module->data, module->len, lua_tostring(L, -1)) != 0) {
        return lua_error(L);
    }
    return 1;
}

void hvl_add_embedded(lua_State *L, int position) {
    lua_getglobal(L, "package");
    lua_getfield(L, -1, "loaders");
    for (int i = (int)lua_objlen(L, -1); i >= position; i--) {
        lua_rawgeti(L, -1, i);
        lua_rawseti(L, -2, i + 1);
    }
    lua_pushcfunction(L, search_embedded);
    lua_rawseti(L, -2, position);
    lua_pop(L, 1);
    lua_getfield(L, -1, "preload");
    lua_getfield(L, -1, "cjson");
    if (lua_isnil(L, -1)) {
        lua_pushcfunction(L, luaopen_cjson);
        lua_setfield(L, -3, "cjson");
    }
    lua_pop(L, 3);
}

/* text(name) -> the source of a module that the program carries in itself, or nil */
static int embedded_text(lua_State *L) {
    const struct hv_embedded_module *module = find_embedded(luaL_checkstring(L, 1));
    if (module == NULL) return 0;
    lua_pushlstring(L, module->data, module->len);
    return 1;
}

/* names() -> the list of their names, in order */
static int embedded_names(lua_State *L) {
    lua_createtable(L, (int)hv_embedded_module_count, 0);
    for (size_t i = 0; i < hv_embedded_module_count; i++) {
        lua_pushstring(L, hv_embedded_modules[i].name);
        lua_rawseti(L, -2, (int)i + 1);
    }
    return 1;
}

int hvl_open_embedded(lua_State *L) {
    static const luaL_Reg functions[] = {
        {"text", embedded_text}, {"names", embedded_names}, {NULL, NULL}};
    lua_newtable(L);
    hvl_setfuncs(L, hvl_self(L), functions);
    return 1;
}

hvl_t *hvl_open_state(lua_State *L, hvl_memory_t *memory) {
    luaL_openlibs(L);
    hvl_t *rt = hvl_open(L, 0);
    rt->memory = memory;
    hvl_add_embedded(L, 2); /* behind package.preload, before the files */
    return rt;
}
