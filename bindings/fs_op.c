/* fs_op.c - an operation on a file or a path that somebody waits for.
 *
 * It is an object that Lua never sees: it is anchored from the start to the callback and holds who
 * waits. Where nobody waits any more when it ends, its result is dropped; a descriptor is closed,
 * since the hv.file that would own it was made before the operation began. */
#include "fs.h"

static const hvl_class_t op_class = {"hv.fs.op"};

/* ---- Results ---- */

int hvl_fs_push_true(lua_State *L, hvl_fs_op_t *self) {
    (void)self;
    lua_pushboolean(L, 1);
    return 1;
}

int hvl_fs_push_data(lua_State *L, hvl_fs_op_t *self) {
    lua_pushlstring(L, hfs_data(self->req), (size_t)hfs_result(self->req));
    return 1;
}

const char *hvl_fs_type_name(hfs_type_e type) {
    static const char *const names[] = {
        [HFS_TYPE_UNKNOWN] = "unknown",          [HFS_TYPE_FILE] = "file",
        [HFS_TYPE_DIRECTORY] = "directory",      [HFS_TYPE_LINK] = "link",
        [HFS_TYPE_FIFO] = "fifo",                [HFS_TYPE_SOCKET] = "socket",
        [HFS_TYPE_CHARACTER_DEVICE] = "character", [HFS_TYPE_BLOCK_DEVICE] = "block",
    };
    return names[type];
}

static void set_number(lua_State *L, const char *key, lua_Number value) {
    lua_pushnumber(L, value);
    lua_setfield(L, -2, key);
}

int hvl_fs_push_stat(lua_State *L, hvl_fs_op_t *self) {
    const hfs_stat_t *facts = hfs_stat_result(self->req);
    lua_createtable(L, 0, 11);
    lua_pushstring(L, hvl_fs_type_name(facts->type));
    lua_setfield(L, -2, "type");
    set_number(L, "size", (lua_Number)facts->size);
    set_number(L, "mode", facts->mode);
    set_number(L, "mtime", (lua_Number)facts->mtime_us / 1e6);
    set_number(L, "atime", (lua_Number)facts->atime_us / 1e6);
    set_number(L, "ctime", (lua_Number)facts->ctime_us / 1e6);
    set_number(L, "uid", facts->uid);
    set_number(L, "gid", facts->gid);
    set_number(L, "links", (lua_Number)facts->link_count);
    set_number(L, "inode", (lua_Number)facts->inode);
    set_number(L, "device", (lua_Number)facts->device);
    return 1;
}

/* ---- Running ---- */

static void begin_on_file(hvl_file_t *file, hvl_fs_op_t *self) {
    file->op_count++;
    if (self->moves) file->is_moving = 1;
}

static void end_on_file(hvl_fs_op_t *self) {
    hvl_file_t *file = self->file;
    if (file == NULL || self->opens) return;
    if (self->moves) file->is_moving = 0;
    if (--file->op_count == 0 && file->is_closed) hvl_file_close_now(file);
}

void hvl_fs_on_done(hfs_req_t *req) {
    hvl_fs_op_t *self = hevent_userdata(req);
    hvl_t *rt = self->object.rt;
    self->req = req;
    end_on_file(self);
    hvl_task_t *task = rt->loop != NULL ? hvl_wake(&self->waiter) : NULL;
    if (self->opens && hfs_error(req) == 0) {
        self->file->fd = (int)hfs_result(req);
        if (task == NULL) hvl_file_close_now(self->file);
    }
    int count = 0;
    if (task != NULL) {
        count = hfs_error(req) != 0 ? hvl_push_error(task->co, self->what, hfs_error(req))
                                    : self->push(task->co, self);
    }
    self->req = NULL;
    hvl_unanchor(self);
    if (task != NULL) hvl_resume_now(task, count);
}

static void on_canceled(hvl_task_t *task, void *data) {
    (void)task;
    hvl_fs_op_t *self = data;
    self->waiter.task = NULL;
    if (self->req != NULL) hfs_cancel(self->req);
}

hvl_fs_op_t *hvl_fs_op_new(lua_State *L, const char *verb, const char *noun, hvl_file_t *file,
                           hvl_fs_push_fn *push) {
    size_t bytes = strlen(verb) + strlen(noun) + 2;
    hvl_fs_op_t *self = hvl_object_new(L, hvl_self(L), &op_class, sizeof *self + bytes);
    snprintf(self->what, bytes, "%s %s", verb, noun);
    self->push = push;
    self->file = file;
    if (file != NULL) {
        lua_createtable(L, 1, 0);
        lua_pushvalue(L, -3);
        lua_rawseti(L, -2, 1);
        lua_setfenv(L, -2);
    }
    return self;
}

int hvl_fs_wait(lua_State *L, hvl_fs_op_t *self, hfs_req_t *req) {
    if (req == NULL) return hvl_push_error(L, self->what, hloop_last_error(self->object.rt->loop));
    self->req = req;
    hevent_set_userdata(req, self);
    hvl_anchor(L, -1);
    if (self->file != NULL && !self->opens) begin_on_file(self->file, self);
    self->waiter = hvl_wait_begin(L, self->what, -1, on_canceled, self);
    return hvl_wait(L);
}

const char *hvl_fs_check_path(lua_State *L, int index, const char *name) {
    size_t len;
    if (lua_type(L, index) != LUA_TSTRING) {
        hvl_misuse(L, "hv.fs.%s: path must be a string, got %s", name, luaL_typename(L, index));
    }
    const char *path = lua_tolstring(L, index, &len);
    if (strlen(path) != len) hvl_misuse(L, "hv.fs.%s: path must not hold a NUL", name);
    return path;
}

void hvl_fs_op_open(lua_State *L, hvl_t *rt) {
    hvl_class_new(L, rt, &op_class, NULL, NULL);
    lua_pop(L, 1);
}
