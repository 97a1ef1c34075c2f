/* fs_watch.c - hv.fs.watch: a function that is told what happens to a path. */
#include "fs.h"

static const hvl_class_t watch_class = {"hv.fs.watch"};

typedef struct watch_s {
    hvl_object_t object;
    hfs_watch_t *watch; /* NULL once it is closed */
    uint8_t is_gone;
} watch_t;

static const char *event_kind(int what) {
    static const struct {
        int what;
        const char *name;
    } kinds[] = {
        {HFS_WATCH_OVERFLOW, "overflow"}, {HFS_WATCH_GONE, "gone"},
        {HFS_WATCH_CREATED, "created"},   {HFS_WATCH_DELETED, "deleted"},
        {HFS_WATCH_CHANGED, "changed"},   {HFS_WATCH_WRITTEN, "written"},
        {HFS_WATCH_ATTRIB, "attrib"},
    };
    size_t i = 0;
    while (i + 1 < ARRAY_SIZE(kinds) && !(what & kinds[i].what)) i++;
    return kinds[i].name;
}

static void push_event(lua_State *L, const hfs_watch_event_t *event) {
    lua_createtable(L, 0, 5);
    lua_pushstring(L, event_kind(event->what));
    lua_setfield(L, -2, "kind");
    lua_pushstring(L, event->name);
    lua_setfield(L, -2, "name");
    lua_pushboolean(L, event->is_directory);
    lua_setfield(L, -2, "is_directory");
    if (event->what & HFS_WATCH_MOVED) {
        lua_pushnumber(L, event->cookie);
        lua_setfield(L, -2, "rename");
    }
}

static void on_change(hfs_watch_t *watch, const hfs_watch_event_t *event) {
    watch_t *self = hevent_userdata(watch);
    hvl_task_t *task = hvl_task_begin(self->object.rt);
    if (task == NULL) return;
    hvl_push(task->co, self);
    lua_getfenv(task->co, 1);
    lua_rawgeti(task->co, 2, 1);
    lua_replace(task->co, 1);
    lua_settop(task->co, 1);
    push_event(task->co, event);
    if (event->what & HFS_WATCH_GONE) {
        hfs_watch_del(watch);
        self->watch = NULL;
        self->is_gone = 1;
        hvl_unanchor(self);
    }
    hvl_task_run(task, 1);
}

int hvl_fs_watch(lua_State *L) {
    hvl_t *rt = hvl_self(L);
    const char *path = hvl_fs_check_path(L, 1, "watch");
    if (!lua_isfunction(L, 2)) {
        return hvl_misuse(L, "hv.fs.watch: function expected, got %s", luaL_typename(L, 2));
    }
    lua_pushfstring(L, "watch %s", path);
    if (rt->loop == NULL) return hvl_push_error(L, lua_tostring(L, -1), HV_ECLOSED);
    watch_t *self = hvl_object_new(L, rt, &watch_class, sizeof *self);
    lua_createtable(L, 1, 0);
    lua_pushvalue(L, 2);
    lua_rawseti(L, -2, 1);
    lua_setfenv(L, -2);
    self->watch = hfs_watch_add(rt->loop, path, on_change);
    if (self->watch == NULL) {
        return hvl_push_error(L, lua_tostring(L, 3), hloop_last_error(rt->loop));
    }
    hevent_set_userdata(self->watch, self);
    hvl_anchor(L, -1);
    return 1;
}

static watch_t *check_watch(lua_State *L) { return hvl_check(L, 1, &watch_class); }

static int watch_close(lua_State *L) {
    watch_t *self = check_watch(L);
    if (self->watch != NULL && self->object.rt->loop != NULL) {
        hfs_watch_del(self->watch);
        self->watch = NULL;
        hvl_unanchor(self);
    }
    lua_pushboolean(L, 1);
    return 1;
}

static int watch_ref(lua_State *L) {
    watch_t *self = check_watch(L);
    if (self->watch != NULL && self->object.rt->loop != NULL) hevent_ref(self->watch);
    lua_settop(L, 1);
    return 1;
}

static int watch_unref(lua_State *L) {
    watch_t *self = check_watch(L);
    if (self->watch != NULL && self->object.rt->loop != NULL) hevent_unref(self->watch);
    lua_settop(L, 1);
    return 1;
}

static int watch_tostring(lua_State *L) {
    watch_t *self = check_watch(L);
    if (self->watch != NULL && self->object.rt->loop != NULL) {
        lua_pushfstring(L, "hv.fs.watch{%s}", hfs_watch_path(self->watch));
    } else {
        lua_pushfstring(L, "hv.fs.watch{%s}", self->is_gone ? "gone" : "closed");
    }
    return 1;
}

void hvl_fs_watch_open(lua_State *L, hvl_t *rt) {
    static const luaL_Reg methods[] = {
        {"close", watch_close}, {"ref", watch_ref}, {"unref", watch_unref}, {NULL, NULL}};
    static const luaL_Reg metamethods[] = {{"__tostring", watch_tostring}, {NULL, NULL}};
    hvl_class_new(L, rt, &watch_class, methods, metamethods);
    lua_pop(L, 1);
}
