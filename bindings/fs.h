/* fs.h - what the files of `_hv.fs` share: operations that wait (fs_op.c), open files (fs_file.c),
 * watches (fs_watch.c), and the module with what works on paths (fs.c). */
#ifndef HVL_FS_H_
#define HVL_FS_H_

#include "bind.h"
#include "hfs.h"

/* An open file: hv.file. */
typedef struct hvl_file_s {
    hvl_object_t object;
    int fd; /* -1 before it is open and after it is closed */
    int op_count;
    uint8_t is_closed;
    uint8_t is_moving; /* an operation at its own position is under way */
} hvl_file_t;

typedef struct hvl_fs_op_s hvl_fs_op_t;

/* Pushes what an operation that has succeeded returns. Returns how many values that are. */
typedef int hvl_fs_push_fn(lua_State *L, hvl_fs_op_t *self);

struct hvl_fs_op_s {
    hvl_object_t object;
    hvl_waiter_t waiter;
    hfs_req_t *req;
    hvl_file_t *file; /* that it works on, or is to open; anchored by the environment table */
    hvl_fs_push_fn *push;
    uint8_t moves;
    uint8_t opens;
    char what[]; /* "read /etc/passwd" */
};

/* ---- Operations (fs_op.c) ---- */

/* Makes the operation on the stack. Its file, where it has one, lies on top of the stack. */
hvl_fs_op_t *hvl_fs_op_new(lua_State *L, const char *verb, const char *noun, hvl_file_t *file,
                           hvl_fs_push_fn *push);
/* The callback of every request. */
void hvl_fs_on_done(hfs_req_t *req);
/* Waits for a request that was started, with hvl_fs_on_done, for the operation on top of the
 * stack; NULL: it could not be. The last statement of a C function. */
int hvl_fs_wait(lua_State *L, hvl_fs_op_t *self, hfs_req_t *req);

/* The path at a stack index, or misuse of hv.fs.<name>. */
const char *hvl_fs_check_path(lua_State *L, int index, const char *name);

/* Results that several operations have. */
hvl_fs_push_fn hvl_fs_push_true, hvl_fs_push_data, hvl_fs_push_stat;
/* "file", "directory" ... */
const char *hvl_fs_type_name(hfs_type_e type);

void hvl_fs_op_open(lua_State *L, hvl_t *rt);

/* ---- Open files (fs_file.c) ---- */

/* A file that is not open yet, on the stack. */
hvl_file_t *hvl_file_new(lua_State *L);
/* Closes its descriptor, with no operation under way. */
void hvl_file_close_now(hvl_file_t *file);
/* Registers the class, and adds its methods to the module's table on top of the stack. */
void hvl_file_open(lua_State *L, hvl_t *rt);

/* ---- Watches (fs_watch.c) ---- */

/* watch(path, fn) -> watch */
int hvl_fs_watch(lua_State *L);
void hvl_fs_watch_open(lua_State *L, hvl_t *rt);

#endif
