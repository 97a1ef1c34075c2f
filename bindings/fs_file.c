/* fs_file.c - hv.file: an open file.
 *
 * A descriptor must not be closed while a thread works on it, or the work would go to whatever gets
 * its number next: close() therefore waits for the last operation of the file, and the object is
 * anchored until then. */
#include "fs.h"

static const hvl_class_t file_class = {"hv.file"};

hvl_file_t *hvl_file_new(lua_State *L) {
    hvl_file_t *file = hvl_object_new(L, hvl_self(L), &file_class, sizeof *file);
    file->fd = -1;
    return file;
}

void hvl_file_close_now(hvl_file_t *file) {
    hvl_t *rt = file->object.rt;
    int fd = file->fd;
    file->fd = -1;
    if (fd < 0) return;
    if (rt->loop == NULL || hfs_close(rt->loop, fd, NULL) == NULL) close(fd);
}

static hvl_file_t *check_file(lua_State *L) { return hvl_check(L, 1, &file_class); }

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
static int cannot_work(lua_State *L, const char *what, const hvl_file_t *file, int moves) {
    if (file->fd < 0 || file->is_closed) return hvl_push_error(L, what, HV_ECLOSED);
    if (!hvl_may_wait(L)) return hvl_refuse(L, NULL);
    return moves && file->is_moving ? hvl_push_error(L, what, HV_EBUSY) : 0;
}

static hvl_fs_op_t *op_on_file(lua_State *L, const char *verb, hvl_file_t *file, int moves,
                               hvl_fs_push_fn *push) {
    const char *path = path_of(L);
    lua_pushvalue(L, 1);
    hvl_fs_op_t *self = hvl_fs_op_new(L, verb, path, file, push);
    self->moves = (uint8_t)moves;
    return self;
}

/* ---- Methods ---- */

/* Bytes of a file that is read piece by piece: none means its end. */
static int push_piece(lua_State *L, hvl_fs_op_t *self) {
    if (hfs_result(self->req) == 0) return hvl_push_error(L, self->what, HV_EOF);
    return hvl_fs_push_data(L, self);
}

/* read([n[, offset]]) */
static int file_read(lua_State *L) {
    if (hvl_is_dual(L)) return hvl_dual(L);
    hvl_file_t *file = check_file(L);
    int64_t len = 65536;
    if (!lua_isnoneornil(L, 2)) len = hvl_check_integer(L, 2, "file:read: n", 1, HFS_READ_MAX);
    int64_t offset = check_offset(L, 3, "file:read: offset");
    int refused = cannot_work(L, "read", file, offset < 0);
    if (refused != 0) return refused;
    hvl_fs_op_t *self = op_on_file(L, "read", file, offset < 0, push_piece);
    hloop_t *loop = self->object.rt->loop;
    return hvl_fs_wait(L, self, hfs_read(loop, file->fd, (size_t)len, offset, hvl_fs_on_done));
}

/* write(data[, offset]) */
static int file_write(lua_State *L) {
    if (hvl_is_dual(L)) return hvl_dual(L);
    hvl_file_t *file = check_file(L);
    size_t len;
    if (!lua_isstring(L, 2)) {
        return hvl_misuse(L, "file:write: string expected, got %s", luaL_typename(L, 2));
    }
    const char *data = lua_tolstring(L, 2, &len);
    int64_t offset = check_offset(L, 3, "file:write: offset");
    int refused = cannot_work(L, "write", file, offset < 0);
    if (refused != 0) return refused;
    hvl_fs_op_t *self = op_on_file(L, "write", file, offset < 0, hvl_fs_push_true);
    hloop_t *loop = self->object.rt->loop;
    return hvl_fs_wait(L, self, hfs_write(loop, file->fd, data, len, offset, hvl_fs_on_done));
}

static int file_sync(lua_State *L) {
    if (hvl_is_dual(L)) return hvl_dual(L);
    hvl_file_t *file = check_file(L);
    int refused = cannot_work(L, "sync", file, 0);
    if (refused != 0) return refused;
    hvl_fs_op_t *self = op_on_file(L, "sync", file, 0, hvl_fs_push_true);
    return hvl_fs_wait(L, self, hfs_fsync(hvl_self(L)->loop, file->fd, hvl_fs_on_done));
}

/* truncate(size) */
static int file_truncate(lua_State *L) {
    if (hvl_is_dual(L)) return hvl_dual(L);
    hvl_file_t *file = check_file(L);
    int64_t size = hvl_check_integer(L, 2, "file:truncate: size", 0, INT64_C(1) << 53);
    int refused = cannot_work(L, "truncate", file, 0);
    if (refused != 0) return refused;
    hvl_fs_op_t *self = op_on_file(L, "truncate", file, 0, hvl_fs_push_true);
    return hvl_fs_wait(L, self, hfs_truncate(hvl_self(L)->loop, file->fd, size, hvl_fs_on_done));
}

static int file_stat(lua_State *L) {
    if (hvl_is_dual(L)) return hvl_dual(L);
    hvl_file_t *file = check_file(L);
    int refused = cannot_work(L, "stat", file, 0);
    if (refused != 0) return refused;
    hvl_fs_op_t *self = op_on_file(L, "stat", file, 0, hvl_fs_push_stat);
    return hvl_fs_wait(L, self, hfs_fstat(hvl_self(L)->loop, file->fd, hvl_fs_on_done));
}

static int file_close(lua_State *L) {
    hvl_file_t *file = check_file(L);
    file->is_closed = 1;
    if (file->op_count == 0) hvl_file_close_now(file);
    lua_pushboolean(L, 1);
    return 1;
}

/* Operations anchor the file, so none is under way. */
static int file_gc(lua_State *L) {
    hvl_file_t *file = hvl_test(L, 1, &file_class);
    if (file != NULL && file->fd >= 0) {
        close(file->fd);
        file->fd = -1;
    }
    return 0;
}

static int file_tostring(lua_State *L) {
    hvl_file_t *file = check_file(L);
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

void hvl_file_open(lua_State *L, hvl_t *rt) {
    static const luaL_Reg methods[] = {
        {"read", file_read},         {"write", file_write}, {"sync", file_sync},
        {"truncate", file_truncate}, {"stat", file_stat},   {"close", file_close},
        {NULL, NULL}};
    static const luaL_Reg metamethods[] = {
        {"__gc", file_gc}, {"__tostring", file_tostring}, {NULL, NULL}};
    static const luaL_Reg functions[] = {{"file_field", file_field}, {NULL, NULL}};
    hvl_setfuncs(L, rt, functions);
    hvl_class_new(L, rt, &file_class, methods, metamethods);
    lua_setfield(L, -2, "file_methods");
    hvl_class_push(L, &file_class);
    lua_setfield(L, -2, "file_meta");
}
