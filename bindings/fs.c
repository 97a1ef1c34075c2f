/* fs.c - `_hv.fs`: what works on paths, and opening files. */
#include "fs.h"

/* ---- Results ---- */

/* Two lists: names and their types. */
static int push_entries(lua_State *L, hvl_fs_op_t *self) {
    const hfs_entry_t *entries = hfs_entries(self->req);
    int count = (int)hfs_result(self->req);
    lua_createtable(L, count, 0);
    lua_createtable(L, count, 0);
    for (int i = 0; i < count; i++) {
        lua_pushstring(L, entries[i].name);
        lua_rawseti(L, -3, i + 1);
        lua_pushstring(L, hvl_fs_type_name(entries[i].type));
        lua_rawseti(L, -2, i + 1);
    }
    return 2;
}

static int push_path(lua_State *L, hvl_fs_op_t *self) {
    lua_pushstring(L, hfs_path(self->req));
    return 1;
}

/* The file that was made beforehand, with its path. */
static int push_file(lua_State *L, hvl_fs_op_t *self) {
    hvl_push(L, self);
    lua_getfenv(L, -1);
    lua_rawgeti(L, -1, 1);
    lua_createtable(L, 1, 0);
    lua_pushstring(L, hfs_path(self->req));
    lua_rawseti(L, -2, 1);
    lua_setfenv(L, -2);
    return 1;
}

/* ---- Paths ---- */

/* read(path, max) */
static int read_whole(lua_State *L) {
    const char *path = hvl_fs_check_path(L, 1, "read");
    size_t max = (size_t)lua_tonumber(L, 2);
    if (!hvl_may_wait(L)) return hvl_refuse(L, NULL);
    hvl_fs_op_t *self = hvl_fs_op_new(L, "read", path, NULL, hvl_fs_push_data);
    return hvl_fs_wait(L, self, hfs_read_file(hvl_self(L)->loop, path, max, hvl_fs_on_done));
}

/* write(path, data, append, exclusive, atomic, sync) */
static int write_whole(lua_State *L) {
    size_t len;
    const char *path = hvl_fs_check_path(L, 1, "write");
    const char *data = lua_tolstring(L, 2, &len); /* the Lua side has checked it */
    int flags = (lua_toboolean(L, 3) ? HFS_APPEND : 0) | (lua_toboolean(L, 4) ? HFS_EXCLUSIVE : 0) |
                (lua_toboolean(L, 5) ? HFS_ATOMIC : 0) | (lua_toboolean(L, 6) ? HFS_SYNC : 0);
    if (!hvl_may_wait(L)) return hvl_refuse(L, NULL);
    const char *verb = flags & HFS_APPEND ? "append" : "write";
    hvl_fs_op_t *self = hvl_fs_op_new(L, verb, path, NULL, hvl_fs_push_true);
    hloop_t *loop = self->object.rt->loop;
    return hvl_fs_wait(L, self, hfs_write_file(loop, path, data, len, flags, hvl_fs_on_done));
}

/* stat(path, is_link) */
static int stat_path(lua_State *L) {
    const char *path = hvl_fs_check_path(L, 1, "stat");
    int flags = lua_toboolean(L, 2) ? HFS_NO_FOLLOW : 0;
    if (!hvl_may_wait(L)) return hvl_refuse(L, NULL);
    hvl_fs_op_t *self = hvl_fs_op_new(L, "stat", path, NULL, hvl_fs_push_stat);
    return hvl_fs_wait(L, self, hfs_stat(hvl_self(L)->loop, path, flags, hvl_fs_on_done));
}

static int scan(lua_State *L) {
    const char *path = hvl_fs_check_path(L, 1, "scan");
    if (!hvl_may_wait(L)) return hvl_refuse(L, NULL);
    hvl_fs_op_t *self = hvl_fs_op_new(L, "scan", path, NULL, push_entries);
    return hvl_fs_wait(L, self, hfs_scan(hvl_self(L)->loop, path, hvl_fs_on_done));
}

/* mkdir(path, mode, is_recursive) */
static int make_directory(lua_State *L) {
    const char *path = hvl_fs_check_path(L, 1, "mkdir");
    int mode = (int)lua_tointeger(L, 2);
    int flags = lua_toboolean(L, 3) ? HFS_RECURSIVE : 0;
    if (!hvl_may_wait(L)) return hvl_refuse(L, NULL);
    hvl_fs_op_t *self = hvl_fs_op_new(L, "mkdir", path, NULL, hvl_fs_push_true);
    return hvl_fs_wait(L, self, hfs_mkdir(hvl_self(L)->loop, path, mode, flags, hvl_fs_on_done));
}

/* remove(path, is_recursive) */
static int remove_path(lua_State *L) {
    const char *path = hvl_fs_check_path(L, 1, "remove");
    int flags = lua_toboolean(L, 2) ? HFS_RECURSIVE : 0;
    if (!hvl_may_wait(L)) return hvl_refuse(L, NULL);
    hvl_fs_op_t *self = hvl_fs_op_new(L, "remove", path, NULL, hvl_fs_push_true);
    return hvl_fs_wait(L, self, hfs_remove(hvl_self(L)->loop, path, flags, hvl_fs_on_done));
}

/* rename(from, to) */
static int rename_path(lua_State *L) {
    const char *from = hvl_fs_check_path(L, 1, "rename");
    const char *to = hvl_fs_check_path(L, 2, "rename");
    if (!hvl_may_wait(L)) return hvl_refuse(L, NULL);
    hvl_fs_op_t *self = hvl_fs_op_new(L, "rename", from, NULL, hvl_fs_push_true);
    return hvl_fs_wait(L, self, hfs_rename(hvl_self(L)->loop, from, to, hvl_fs_on_done));
}

/* ---- Opening ---- */

/* open(path, flags, mode) */
static int open_file(lua_State *L) {
    const char *path = hvl_fs_check_path(L, 1, "open");
    int flags = (int)lua_tointeger(L, 2);
    int mode = (int)lua_tointeger(L, 3);
    if (!hvl_may_wait(L)) return hvl_refuse(L, NULL);
    hvl_file_t *file = hvl_file_new(L);
    hvl_fs_op_t *self = hvl_fs_op_new(L, "open", path, file, push_file);
    self->opens = 1;
    return hvl_fs_wait(L, self, hfs_open(hvl_self(L)->loop, path, flags, mode, hvl_fs_on_done));
}

/* tmpfile(prefix or nil) */
static int temp_file(lua_State *L) {
    const char *prefix = lua_isnoneornil(L, 1) ? NULL : hvl_fs_check_path(L, 1, "tmpfile");
    if (!hvl_may_wait(L)) return hvl_refuse(L, NULL);
    hvl_file_t *file = hvl_file_new(L);
    hvl_fs_op_t *self = hvl_fs_op_new(L, "tmpfile", prefix != NULL ? prefix : "", file, push_file);
    self->opens = 1;
    return hvl_fs_wait(L, self, hfs_temp_file(hvl_self(L)->loop, prefix, hvl_fs_on_done));
}

/* tmpdir(prefix or nil) */
static int temp_dir(lua_State *L) {
    const char *prefix = lua_isnoneornil(L, 1) ? NULL : hvl_fs_check_path(L, 1, "tmpdir");
    if (!hvl_may_wait(L)) return hvl_refuse(L, NULL);
    hvl_fs_op_t *self = hvl_fs_op_new(L, "tmpdir", prefix != NULL ? prefix : "", NULL, push_path);
    return hvl_fs_wait(L, self, hfs_temp_dir(hvl_self(L)->loop, prefix, hvl_fs_on_done));
}

/* ---- The module ---- */

static void set_open_flags(lua_State *L) {
    static const struct {
        const char *mode;
        int flags;
    } modes[] = {
        {"r", O_RDONLY},
        {"r+", O_RDWR},
        {"w", O_WRONLY | O_CREAT | O_TRUNC},
        {"w+", O_RDWR | O_CREAT | O_TRUNC},
        {"a", O_WRONLY | O_CREAT | O_APPEND},
        {"a+", O_RDWR | O_CREAT | O_APPEND},
        {"x", O_WRONLY | O_CREAT | O_EXCL},
        {"x+", O_RDWR | O_CREAT | O_EXCL},
    };
    lua_createtable(L, 0, ARRAY_SIZE(modes));
    for (size_t i = 0; i < ARRAY_SIZE(modes); i++) {
        lua_pushinteger(L, modes[i].flags);
        lua_setfield(L, -2, modes[i].mode);
    }
    lua_setfield(L, -2, "modes");
}

int hvl_open_fs(lua_State *L) {
    static const luaL_Reg functions[] = {
        {"read", read_whole},    {"write", write_whole},    {"stat", stat_path},
        {"scan", scan},          {"mkdir", make_directory}, {"remove", remove_path},
        {"rename", rename_path}, {"open", open_file},       {"tmpfile", temp_file},
        {"tmpdir", temp_dir},    {"watch", hvl_fs_watch},   {NULL, NULL}};
    hvl_t *rt = hvl_self(L);
    lua_newtable(L);
    hvl_setfuncs(L, rt, functions);
    set_open_flags(L);
    hvl_fs_op_open(L, rt);
    hvl_file_open(L, rt);
    hvl_fs_watch_open(L, rt);
    return 1;
}
