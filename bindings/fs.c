/* fs.c - files for Lua: operations that wait, open files, and watches.
 *
 * An operation is an object that Lua never sees: it is anchored from the start to the callback and
 * holds who waits. Where nobody waits any more when it ends, its result is dropped; a descriptor is
 * closed, since the hv.file that would own it was made before the operation began.
 *
 * A descriptor must not be closed while a thread works on it, or the work would go to whatever gets
 * its number next: close() therefore waits for the last operation of the file, and the object is
 * anchored until then. */
#include "hfs.h"

#include "bind.h"

typedef struct file_s {
    hvl_object_t object;
    int fd; /* -1 before it is open and after it is closed */
    int op_count;
    uint8_t is_closed;
    uint8_t is_moving; /* an operation at its own position is under way */
} file_t;

typedef struct op_s {
    hvl_object_t object;
    hvl_waiter_t waiter;
    hfs_req_t *req;
    file_t *file; /* that it works on, or is to open; anchored by the environment table */
    int (*push)(lua_State *L, struct op_s *self);
    uint8_t moves;
    uint8_t opens;
    char what[]; /* "read /etc/passwd" */
} op_t;

static const hvl_class_t op_class = {"hv.fs.op"};
static const hvl_class_t file_class = {"hv.file"};
static const hvl_class_t watch_class = {"hv.fs.watch"};

/* ---- Results ---- */

static int push_true(lua_State *L, op_t *self) {
    (void)self;
    lua_pushboolean(L, 1);
    return 1;
}

static int push_data(lua_State *L, op_t *self) {
    lua_pushlstring(L, hfs_data(self->req), (size_t)hfs_result(self->req));
    return 1;
}

/* Bytes of a file that is read piece by piece: none means its end. */
static int push_piece(lua_State *L, op_t *self) {
    if (hfs_result(self->req) == 0) return hvl_push_error(L, self->what, HV_EOF);
    return push_data(L, self);
}

static const char *type_name(hfs_type_e type) {
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

static int push_stat(lua_State *L, op_t *self) {
    const hfs_stat_t *facts = hfs_stat_result(self->req);
    lua_createtable(L, 0, 11);
    lua_pushstring(L, type_name(facts->type));
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

/* Two lists: names and their types. */
static int push_entries(lua_State *L, op_t *self) {
    const hfs_entry_t *entries = hfs_entries(self->req);
    int count = (int)hfs_result(self->req);
    lua_createtable(L, count, 0);
    lua_createtable(L, count, 0);
    for (int i = 0; i < count; i++) {
        lua_pushstring(L, entries[i].name);
        lua_rawseti(L, -3, i + 1);
        lua_pushstring(L, type_name(entries[i].type));
        lua_rawseti(L, -2, i + 1);
    }
    return 2;
}

static int push_path(lua_State *L, op_t *self) {
    lua_pushstring(L, hfs_path(self->req));
    return 1;
}

/* The file that was made beforehand, with its path. */
static int push_file(lua_State *L, op_t *self) {
    hvl_push(L, self);
    lua_getfenv(L, -1);
    lua_rawgeti(L, -1, 1);
    lua_createtable(L, 1, 0);
    lua_pushstring(L, hfs_path(self->req));
    lua_rawseti(L, -2, 1);
    lua_setfenv(L, -2);
    return 1;
}

/* ---- Operations ---- */

static void close_now(file_t *file) {
    hvl_t *rt = file->object.rt;
    int fd = file->fd;
    file->fd = -1;
    if (fd < 0) return;
    if (rt->loop == NULL || hfs_close(rt->loop, fd, NULL) == NULL) close(fd);
}

static void begin_on_file(file_t *file, op_t *self) {
    file->op_count++;
    if (self->moves) file->is_moving = 1;
}

static void end_on_file(op_t *self) {
    file_t *file = self->file;
    if (file == NULL || self->opens) return;
    if (self->moves) file->is_moving = 0;
    if (--file->op_count == 0 && file->is_closed) close_now(file);
}

static void on_done(hfs_req_t *req) {
    op_t *self = hevent_userdata(req);
    hvl_t *rt = self->object.rt;
    self->req = req;
    end_on_file(self);
    hvl_task_t *task = rt->loop != NULL ? hvl_wake(&self->waiter) : NULL;
    if (self->opens && hfs_error(req) == 0) {
        self->file->fd = (int)hfs_result(req);
        if (task == NULL) close_now(self->file);
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
    op_t *self = data;
    self->waiter.task = NULL;
    if (self->req != NULL) hfs_cancel(self->req);
}

/* Makes the operation on the stack. Its file, where it has one, lies on top of the stack. */
static op_t *op_new(lua_State *L, const char *verb, const char *noun, file_t *file,
                    int (*push)(lua_State *L, op_t *self)) {
    size_t bytes = strlen(verb) + strlen(noun) + 2;
    op_t *self = hvl_object_new(L, hvl_self(L), &op_class, sizeof *self + bytes);
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

/* Waits for a request that was started for the operation on top of the stack. */
static int wait_for(lua_State *L, op_t *self, hfs_req_t *req) {
    if (req == NULL) return hvl_push_error(L, self->what, hloop_last_error(self->object.rt->loop));
    self->req = req;
    hevent_set_userdata(req, self);
    hvl_anchor(L, -1);
    if (self->file != NULL && !self->opens) begin_on_file(self->file, self);
    self->waiter = hvl_wait_begin(L, self->what, -1, on_canceled, self);
    return hvl_wait(L);
}

static const char *check_path(lua_State *L, int index, const char *name) {
    size_t len;
    if (lua_type(L, index) != LUA_TSTRING) {
        hvl_misuse(L, "hv.fs.%s: path must be a string, got %s", name, luaL_typename(L, index));
    }
    const char *path = lua_tolstring(L, index, &len);
    if (strlen(path) != len) hvl_misuse(L, "hv.fs.%s: path must not hold a NUL", name);
    return path;
}

/* read(path, max) */
static int read_whole(lua_State *L) {
    const char *path = check_path(L, 1, "read");
    size_t max = (size_t)lua_tonumber(L, 2);
    if (!hvl_may_wait(L)) return hvl_refuse(L, NULL);
    op_t *self = op_new(L, "read", path, NULL, push_data);
    return wait_for(L, self, hfs_read_file(hvl_self(L)->loop, path, max, on_done));
}

/* write(path, data, append, exclusive, atomic, sync) */
static int write_whole(lua_State *L) {
    size_t len;
    const char *path = check_path(L, 1, "write");
    const char *data = lua_tolstring(L, 2, &len); /* the Lua side has checked it */
    int flags = (lua_toboolean(L, 3) ? HFS_APPEND : 0) | (lua_toboolean(L, 4) ? HFS_EXCLUSIVE : 0) |
                (lua_toboolean(L, 5) ? HFS_ATOMIC : 0) | (lua_toboolean(L, 6) ? HFS_SYNC : 0);
    if (!hvl_may_wait(L)) return hvl_refuse(L, NULL);
    op_t *self = op_new(L, flags & HFS_APPEND ? "append" : "write", path, NULL, push_true);
    return wait_for(L, self, hfs_write_file(hvl_self(L)->loop, path, data, len, flags, on_done));
}

/* stat(path, is_link) */
static int stat_path(lua_State *L) {
    const char *path = check_path(L, 1, "stat");
    int flags = lua_toboolean(L, 2) ? HFS_NO_FOLLOW : 0;
    if (!hvl_may_wait(L)) return hvl_refuse(L, NULL);
    op_t *self = op_new(L, "stat", path, NULL, push_stat);
    return wait_for(L, self, hfs_stat(hvl_self(L)->loop, path, flags, on_done));
}

static int scan(lua_State *L) {
    const char *path = check_path(L, 1, "scan");
    if (!hvl_may_wait(L)) return hvl_refuse(L, NULL);
    op_t *self = op_new(L, "scan", path, NULL, push_entries);
    return wait_for(L, self, hfs_scan(hvl_self(L)->loop, path, on_done));
}

/* mkdir(path, mode, is_recursive) */
static int make_directory(lua_State *L) {
    const char *path = check_path(L, 1, "mkdir");
    int mode = (int)lua_tointeger(L, 2);
    int flags = lua_toboolean(L, 3) ? HFS_RECURSIVE : 0;
    if (!hvl_may_wait(L)) return hvl_refuse(L, NULL);
    op_t *self = op_new(L, "mkdir", path, NULL, push_true);
    return wait_for(L, self, hfs_mkdir(hvl_self(L)->loop, path, mode, flags, on_done));
}

/* remove(path, is_recursive) */
static int remove_path(lua_State *L) {
    const char *path = check_path(L, 1, "remove");
    int flags = lua_toboolean(L, 2) ? HFS_RECURSIVE : 0;
    if (!hvl_may_wait(L)) return hvl_refuse(L, NULL);
    op_t *self = op_new(L, "remove", path, NULL, push_true);
    return wait_for(L, self, hfs_remove(hvl_self(L)->loop, path, flags, on_done));
}

/* rename(from, to) */
static int rename_path(lua_State *L) {
    const char *from = check_path(L, 1, "rename");
    const char *to = check_path(L, 2, "rename");
    if (!hvl_may_wait(L)) return hvl_refuse(L, NULL);
    op_t *self = op_new(L, "rename", from, NULL, push_true);
    return wait_for(L, self, hfs_rename(hvl_self(L)->loop, from, to, on_done));
}

/* ---- Opening ---- */

static file_t *file_new(lua_State *L) {
    file_t *file = hvl_object_new(L, hvl_self(L), &file_class, sizeof *file);
    file->fd = -1;
    return file;
}

/* open(path, flags, mode) */
static int open_file(lua_State *L) {
    const char *path = check_path(L, 1, "open");
    int flags = (int)lua_tointeger(L, 2);
    int mode = (int)lua_tointeger(L, 3);
    if (!hvl_may_wait(L)) return hvl_refuse(L, NULL);
    file_t *file = file_new(L);
    op_t *self = op_new(L, "open", path, file, push_file);
    self->opens = 1;
    return wait_for(L, self, hfs_open(hvl_self(L)->loop, path, flags, mode, on_done));
}

/* tmpfile(prefix or nil) */
static int temp_file(lua_State *L) {
    const char *prefix = lua_isnoneornil(L, 1) ? NULL : check_path(L, 1, "tmpfile");
    if (!hvl_may_wait(L)) return hvl_refuse(L, NULL);
    file_t *file = file_new(L);
    op_t *self = op_new(L, "tmpfile", prefix != NULL ? prefix : "", file, push_file);
    self->opens = 1;
    return wait_for(L, self, hfs_temp_file(hvl_self(L)->loop, prefix, on_done));
}

/* tmpdir(prefix or nil) */
static int temp_dir(lua_State *L) {
    const char *prefix = lua_isnoneornil(L, 1) ? NULL : check_path(L, 1, "tmpdir");
    if (!hvl_may_wait(L)) return hvl_refuse(L, NULL);
    op_t *self = op_new(L, "tmpdir", prefix != NULL ? prefix : "", NULL, push_path);
    return wait_for(L, self, hfs_temp_dir(hvl_self(L)->loop, prefix, on_done));
}

/* ---- Files ---- */

static file_t *check_file(lua_State *L) { return hvl_check(L, 1, &file_class); }

/* The path of the file at stack index 1; leaves it on the stack. */
static const char *path_of(lua_State *L) {
    lua_getfenv(L, 1);
    lua_rawgeti(L, -1, 1);
    lua_remove(L, -2);
    return lua_isstring(L, -1) ? lua_tostring(L, -1) : "";
}

/* An offset argument: -1 for the file's own position. */
static int64_t check_offset(lua_State *L, int index, const char *what) {
    if (lua_isnoneornil(L, index)) return -1;
    return hvl_check_integer(L, index, what, 0, INT64_C(1) << 53);
}

/* Whether the running function may work on the file now; if not, pushes what it returns. */
static int cannot_work(lua_State *L, const char *what, const file_t *file, int moves) {
    if (file->fd < 0 || file->is_closed) return hvl_push_error(L, what, HV_ECLOSED);
    if (!hvl_may_wait(L)) return hvl_refuse(L, NULL);
    return moves && file->is_moving ? hvl_push_error(L, what, HV_EBUSY) : 0;
}

static op_t *op_on_file(lua_State *L, const char *verb, file_t *file, int moves,
                        int (*push)(lua_State *L, op_t *self)) {
    const char *path = path_of(L);
    lua_pushvalue(L, 1);
    op_t *self = op_new(L, verb, path, file, push);
    self->moves = (uint8_t)moves;
    return self;
}

/* read([n[, offset]]) */
static int file_read(lua_State *L) {
    if (hvl_is_dual(L)) return hvl_dual(L);
    file_t *file = check_file(L);
    int64_t len = 65536;
    if (!lua_isnoneornil(L, 2)) len = hvl_check_integer(L, 2, "file:read: n", 1, HFS_READ_MAX);
    int64_t offset = check_offset(L, 3, "file:read: offset");
    int refused = cannot_work(L, "read", file, offset < 0);
    if (refused != 0) return refused;
    op_t *self = op_on_file(L, "read", file, offset < 0, push_piece);
    return wait_for(L, self, hfs_read(hvl_self(L)->loop, file->fd, (size_t)len, offset, on_done));
}

/* write(data[, offset]) */
static int file_write(lua_State *L) {
    if (hvl_is_dual(L)) return hvl_dual(L);
    file_t *file = check_file(L);
    size_t len;
    if (!lua_isstring(L, 2)) {
        return hvl_misuse(L, "file:write: string expected, got %s", luaL_typename(L, 2));
    }
    const char *data = lua_tolstring(L, 2, &len);
    int64_t offset = check_offset(L, 3, "file:write: offset");
    int refused = cannot_work(L, "write", file, offset < 0);
    if (refused != 0) return refused;
    op_t *self = op_on_file(L, "write", file, offset < 0, push_true);
    return wait_for(L, self, hfs_write(hvl_self(L)->loop, file->fd, data, len, offset, on_done));
}

static int file_sync(lua_State *L) {
    if (hvl_is_dual(L)) return hvl_dual(L);
    file_t *file = check_file(L);
    int refused = cannot_work(L, "sync", file, 0);
    if (refused != 0) return refused;
    op_t *self = op_on_file(L, "sync", file, 0, push_true);
    return wait_for(L, self, hfs_fsync(hvl_self(L)->loop, file->fd, on_done));
}

/* truncate(size) */
static int file_truncate(lua_State *L) {
    if (hvl_is_dual(L)) return hvl_dual(L);
    file_t *file = check_file(L);
    int64_t size = hvl_check_integer(L, 2, "file:truncate: size", 0, INT64_C(1) << 53);
    int refused = cannot_work(L, "truncate", file, 0);
    if (refused != 0) return refused;
    op_t *self = op_on_file(L, "truncate", file, 0, push_true);
    return wait_for(L, self, hfs_truncate(hvl_self(L)->loop, file->fd, size, on_done));
}

static int file_stat(lua_State *L) {
    if (hvl_is_dual(L)) return hvl_dual(L);
    file_t *file = check_file(L);
    int refused = cannot_work(L, "stat", file, 0);
    if (refused != 0) return refused;
    op_t *self = op_on_file(L, "stat", file, 0, push_stat);
    return wait_for(L, self, hfs_fstat(hvl_self(L)->loop, file->fd, on_done));
}

static int file_close(lua_State *L) {
    file_t *file = check_file(L);
    file->is_closed = 1;
    if (file->op_count == 0) close_now(file);
    lua_pushboolean(L, 1);
    return 1;
}

/* Operations anchor the file, so none is under way. */
static int file_gc(lua_State *L) {
    file_t *file = hvl_test(L, 1, &file_class);
    if (file != NULL && file->fd >= 0) {
        close(file->fd);
        file->fd = -1;
    }
    return 0;
}

static int file_tostring(lua_State *L) {
    file_t *file = check_file(L);
    const char *path = path_of(L);
    lua_pushfstring(L, "hv.file{%s %s}", file->fd < 0 || file->is_closed ? "closed" : "open", path);
    return 1;
}

/* field(file, key): what is no method. */
static int file_field(lua_State *L) {
    check_file(L);
    if (lua_type(L, 2) == LUA_TSTRING && strcmp(lua_tostring(L, 2), "path") == 0) {
        path_of(L);
    } else {
        lua_pushnil(L);
    }
    return 1;
}

/* ---- Watching ---- */

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
    if (event->what & HFS_WATCH_MOVED) set_number(L, "rename", event->cookie);
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

/* watch(path, fn) */
static int watch_path(lua_State *L) {
    hvl_t *rt = hvl_self(L);
    const char *path = check_path(L, 1, "watch");
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
    if (self->watch == NULL) return hvl_push_error(L, lua_tostring(L, 3), hloop_last_error(rt->loop));
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
        {"read", read_whole},      {"write", write_whole},  {"stat", stat_path},
        {"scan", scan},            {"mkdir", make_directory}, {"remove", remove_path},
        {"rename", rename_path},   {"open", open_file},     {"tmpfile", temp_file},
        {"tmpdir", temp_dir},      {"watch", watch_path},   {"file_field", file_field},
        {NULL, NULL}};
    static const luaL_Reg file_methods[] = {
        {"read", file_read},         {"write", file_write}, {"sync", file_sync},
        {"truncate", file_truncate}, {"stat", file_stat},   {"close", file_close},
        {NULL, NULL}};
    static const luaL_Reg file_meta[] = {
        {"__gc", file_gc}, {"__tostring", file_tostring}, {NULL, NULL}};
    static const luaL_Reg watch_methods[] = {
        {"close", watch_close}, {"ref", watch_ref}, {"unref", watch_unref}, {NULL, NULL}};
    static const luaL_Reg watch_meta[] = {{"__tostring", watch_tostring}, {NULL, NULL}};
    hvl_t *rt = hvl_self(L);
    hvl_class_new(L, rt, &op_class, NULL, NULL);
    lua_pop(L, 1);
    lua_newtable(L);
    hvl_setfuncs(L, rt, functions);
    set_open_flags(L);
    hvl_class_new(L, rt, &file_class, file_methods, file_meta);
    lua_setfield(L, -2, "file_methods");
    hvl_class_push(L, &file_class);
    lua_setfield(L, -2, "file_meta");
    hvl_class_new(L, rt, &watch_class, watch_methods, watch_meta);
    lua_pop(L, 1);
    return 1;
}
