/* hfs_int.h - the inside of the room of files: a request, and what a loop keeps.
 *
 * Here belongs what may block on a disk, and the threads for it. Not: sockets and pipes, which the
 * net room reads without threads, and anything that knows what is in a file. */
#ifndef HV_FS_INT_H_
#define HV_FS_INT_H_

#include "hfs.h"
#include "hloop_int.h"
#include "hmem.h"
#include "hpool.h"

typedef struct hfs_s hfs_t;

/* Filled by the loop's thread, then used by one thread of the pool, then by the loop's again: the
 * pool's lock stands between, so nothing here needs one. */
struct hfs_req_s {
    hevent_t ev; /* cb is on_done */
    hpool_work_t work;
    hfs_t *fs;
    int (*operate)(hfs_req_t *req); /* in a thread; returns 0 or a negative code */
    int (*run)(void *arg);          /* of hfs_run */
    void *arg;
    int error;
    int fd;
    int flags;
    int mode;
    int64_t offset;
    size_t size; /* bytes to read or write, or the most */
    int64_t result;
    char *path;  /* both lie behind the struct, unless path_is_owned */
    char *path2;
    int path_is_owned;
    char *data;
    hfs_entry_t *entries;
    hfs_stat_t stat;
};

/* What a loop keeps for its files. */
struct hfs_s {
    hv__guest_t guest;
    hpool_t *pool;
};

/* ---- hfs_ops.c: the operations of descriptors and names, run in a thread ---- */

int hfs_do_read_file(hfs_req_t *req);
int hfs_do_write_file(hfs_req_t *req);
int hfs_do_open(hfs_req_t *req);
int hfs_do_close(hfs_req_t *req);
int hfs_do_read(hfs_req_t *req);
int hfs_do_write(hfs_req_t *req);
int hfs_do_fsync(hfs_req_t *req);
int hfs_do_truncate(hfs_req_t *req);
int hfs_do_fstat(hfs_req_t *req);
int hfs_do_stat(hfs_req_t *req);
int hfs_do_rename(hfs_req_t *req);
int hfs_do_temp_file(hfs_req_t *req);
int hfs_do_temp_dir(hfs_req_t *req);

struct stat;
/* What a stat says, in our words. */
void hfs_take_facts(const struct stat *facts, hfs_stat_t *out);
/* The type in the mode of a stat. */
hfs_type_e hfs_type_of_mode(mode_t mode);

/* ---- hfs_tree.c: the operations of directories, run in a thread ---- */

int hfs_do_scan(hfs_req_t *req);
int hfs_do_mkdir(hfs_req_t *req);
int hfs_do_remove(hfs_req_t *req);
int hfs_do_scan_fd(hfs_req_t *req);

/* ---- hfs_below.c ---- */

int hfs_do_open_below(hfs_req_t *req);
int hfs_do_open_any(hfs_req_t *req);
int hfs_do_prefetch(hfs_req_t *req);

#endif
