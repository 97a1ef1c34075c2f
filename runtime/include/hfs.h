/* hfs.h - files without blocking the loop: what may wait for a disk runs in a few threads, and its
 * end is reported by the loop. And watching files and directories for changes.
 *
 * Every function that takes `on_done` starts one operation and returns its request, or NULL with
 * hloop_last_error set: HV_EINVAL, HV_ENOMEM, HV_ELIMIT (too much waits already), HV_ECLOSED. A
 * request ends with exactly one call of on_done, never inside the call that started it, and is gone
 * when on_done has returned; until then it keeps the loop running (hevent_unref). Requests are
 * independent of each other and may end in any order: start the next one in on_done where order
 * matters. Paths and data are copied. hloop_free waits for what is running.
 *
 * A request begins with an hevent_t: hevent_loop, hevent_userdata and hevent_set_userdata take it.
 * on_done may be NULL but for what makes a descriptor. */
#ifndef HV_FS_H_
#define HV_FS_H_

#include "hevent.h"

HV_BEGIN_DECLS

typedef struct hfs_req_s hfs_req_t;
typedef void (*hfs_cb)(hfs_req_t *req);

typedef enum {
    HFS_TYPE_UNKNOWN,
    HFS_TYPE_FILE,
    HFS_TYPE_DIRECTORY,
    HFS_TYPE_LINK,
    HFS_TYPE_FIFO,
    HFS_TYPE_SOCKET,
    HFS_TYPE_CHARACTER_DEVICE,
    HFS_TYPE_BLOCK_DEVICE,
} hfs_type_e;

typedef struct hfs_stat_s {
    hfs_type_e type;
    uint32_t mode; /* permission bits, 0..07777 */
    uint64_t size; /* bytes */
    int64_t mtime_us; /* microseconds since the epoch: last change of the content */
    int64_t atime_us; /* last read */
    int64_t ctime_us; /* last change of owner, mode, links or content */
    uint64_t device;
    uint64_t inode;
    uint64_t link_count;
    uint32_t uid;
    uint32_t gid;
} hfs_stat_t;

typedef struct hfs_entry_s {
    const char *name; /* without the directory */
    hfs_type_e type;
} hfs_entry_t;

/* Flags; each function says which it takes. */
#define HFS_APPEND    0x01 /* behind what the file holds */
#define HFS_EXCLUSIVE 0x02 /* -EEXIST where it exists */
#define HFS_ATOMIC    0x04 /* readers see the old content or the new; a link is replaced */
#define HFS_SYNC      0x08 /* done only when it is on the disk */
#define HFS_RECURSIVE 0x10
#define HFS_NO_FOLLOW 0x20 /* the link itself, not what it points to */

/* Bytes, and entries of one directory. */
#define HFS_READ_MAX    (1u << 30) /* of one read; the limit of hfs_read_file where 0 is given */
#define HFS_ENTRIES_MAX 1000000
#define HFS_DEPTH_MAX   256 /* directories within each other that hfs_remove goes down */

/* ---- What a request has come to; to be asked in on_done ---- */

/* 0, or a negative code: -ENOENT, HV_ELIMIT, HV_ECANCELED ... */
HV_EXPORT int hfs_error(const hfs_req_t *req);
/* Bytes read or written, entries found, or a descriptor that is now the caller's; 0 on failure. */
HV_EXPORT int64_t hfs_result(const hfs_req_t *req);
/* The bytes read, hfs_result of them, and a NUL that is not counted; borrowed until on_done has
 * returned. NULL where nothing is read by this request. */
HV_EXPORT const char *hfs_data(const hfs_req_t *req);
/* Borrowed until on_done has returned; NULL on failure. */
HV_EXPORT const hfs_stat_t *hfs_stat_result(const hfs_req_t *req);
/* In byte order of their names; borrowed until on_done has returned. */
HV_EXPORT const hfs_entry_t *hfs_entries(const hfs_req_t *req);
/* The path the request was given, or has made; NULL where it has none. */
HV_EXPORT const char *hfs_path(const hfs_req_t *req);

/* Gives up a request that has not begun: on_done is then called with HV_ECANCELED, later.
 * Returns 0; HV_EBUSY where it runs or has run, and comes to its usual end. */
HV_EXPORT int hfs_cancel(hfs_req_t *req);

/* ---- Whole files ---- */

/* Reads a file from its start to its end. A fifo or device is read until it ends.
 *   bytes_max  more is HV_ELIMIT; 0 for HFS_READ_MAX, which is also the most */
HV_EXPORT hfs_req_t *hfs_read_file(hloop_t *loop, const char *path, size_t bytes_max,
                                   hfs_cb on_done);
/* Makes or overwrites a file (mode 0666 less the umask; an existing one keeps its mode).
 *   flags  HFS_APPEND, HFS_EXCLUSIVE, HFS_ATOMIC (not with the other two), HFS_SYNC, or 0 */
HV_EXPORT hfs_req_t *hfs_write_file(hloop_t *loop, const char *path, const void *buf, size_t len,
                                    int flags, hfs_cb on_done);

/* ---- Descriptors; all are close-on-exec ---- */

/* Opens as open(2) does.
 *   flags  O_RDONLY, O_CREAT ... of fcntl.h; O_CLOEXEC and O_NONBLOCK are added, so a fifo without
 *          a reader is -ENXIO
 *   mode   of a file that is made
 * hfs_result is the descriptor. */
HV_EXPORT hfs_req_t *hfs_open(hloop_t *loop, const char *path, int flags, int mode,
                              hfs_cb on_done);
HV_EXPORT hfs_req_t *hfs_close(hloop_t *loop, int fd, hfs_cb on_done);
/* Reads at most `len` bytes: fewer only at the end of a file, and what there is of anything else.
 *   offset  bytes from the start, or -1 for the descriptor's own position */
HV_EXPORT hfs_req_t *hfs_read(hloop_t *loop, int fd, size_t len, int64_t offset, hfs_cb on_done);
/* Writes all of it, or fails. */
HV_EXPORT hfs_req_t *hfs_write(hloop_t *loop, int fd, const void *buf, size_t len, int64_t offset,
                               hfs_cb on_done);
HV_EXPORT hfs_req_t *hfs_fsync(hloop_t *loop, int fd, hfs_cb on_done);
HV_EXPORT hfs_req_t *hfs_truncate(hloop_t *loop, int fd, int64_t size, hfs_cb on_done);
HV_EXPORT hfs_req_t *hfs_fstat(hloop_t *loop, int fd, hfs_cb on_done);

/* ---- Any other work ---- */

/* Has a thread of the pool do what would keep the loop too long.
 *   run  called in a thread, once; returns 0 or a negative code, which is hfs_error then
 *   arg  handed to it; it, and what it leads to, is the thread's until on_done is called */
HV_EXPORT hfs_req_t *hfs_run(hloop_t *loop, int (*run)(void *arg), void *arg, hfs_cb on_done);

/* ---- Serving files: what lies below a directory, and what is in memory ---- */

/* Opens a directory to look below it; blocks for a moment. Returns a descriptor or a code. */
HV_EXPORT int hfs_open_directory(const char *path);
/* Opens for reading what `path` names below a directory: neither "..", nor an absolute path or
 * link, nor a link that leads out can leave it (-EXDEV, -ELOOP). hfs_result is the descriptor,
 * hfs_stat_result what it is; it may be a directory, or a fifo, that is not waited for.
 *   dir_fd  an open directory; borrowed until on_done
 *   flags   HFS_NO_FOLLOW: no link at all is followed (-ELOOP); or 0. Kernels without openat2
 *           follow none in any case */
HV_EXPORT hfs_req_t *hfs_open_below(hloop_t *loop, int dir_fd, const char *path, int flags,
                                    hfs_cb on_done);
/* The same at once, where the kernel knows the path without asking a disk.
 * Returns the descriptor and fills *facts; HV_EAGAIN: use hfs_open_below; -ENOENT, -EACCES ... */
HV_EXPORT int hfs_try_open_below(int dir_fd, const char *path, int flags, hfs_stat_t *facts);
/* Opens any path for reading, with hfs_stat_result as hfs_open_below. */
HV_EXPORT hfs_req_t *hfs_open_to_send(hloop_t *loop, const char *path, hfs_cb on_done);
/* Reads what is in memory. Returns bytes; HV_EAGAIN where a disk would have to be waited for. */
HV_EXPORT int64_t hfs_try_read(int fd, void *buf, size_t len, uint64_t offset);
/* Whether a range seems to be in memory, judged by a byte in every 64 KiB. */
HV_EXPORT int hfs_is_cached(int fd, uint64_t offset, uint64_t len);
/* Brings a range into memory, where the kernel may drop it again. */
HV_EXPORT hfs_req_t *hfs_prefetch(hloop_t *loop, int fd, uint64_t offset, size_t len,
                                  hfs_cb on_done);
/* As hfs_scan, of an open directory. */
HV_EXPORT hfs_req_t *hfs_scan_fd(hloop_t *loop, int dir_fd, hfs_cb on_done);

/* ---- Directories and names ---- */

/*   flags  HFS_NO_FOLLOW or 0 */
HV_EXPORT hfs_req_t *hfs_stat(hloop_t *loop, const char *path, int flags, hfs_cb on_done);
/* The entries of a directory but for "." and "..", HFS_ENTRIES_MAX at most. */
HV_EXPORT hfs_req_t *hfs_scan(hloop_t *loop, const char *path, hfs_cb on_done);
/*   mode   less the umask
 *   flags  HFS_RECURSIVE: makes what is missing on the way, and an existing directory is no
 *          error */
HV_EXPORT hfs_req_t *hfs_mkdir(hloop_t *loop, const char *path, int mode, int flags,
                               hfs_cb on_done);
/* Removes a file, a link or an empty directory.
 *   flags  HFS_RECURSIVE: a directory with all that is in it; links are not followed. A path that
 *          ends in "." or ".." and the root are HV_EINVAL then */
HV_EXPORT hfs_req_t *hfs_remove(hloop_t *loop, const char *path, int flags, hfs_cb on_done);
/* Puts a file or directory in the place of `to`, within one file system. */
HV_EXPORT hfs_req_t *hfs_rename(hloop_t *loop, const char *from, const char *to, hfs_cb on_done);
/* Makes a new file (0600) whose name begins with `prefix` and opens it for reading and writing.
 *   prefix  with a directory, or a name within $TMPDIR or /tmp; NULL for "hv-"
 * hfs_result is the descriptor, hfs_path the name. Removing it is the caller's. */
HV_EXPORT hfs_req_t *hfs_temp_file(hloop_t *loop, const char *prefix, hfs_cb on_done);
/* The same with a directory (0700); hfs_result is 0. */
HV_EXPORT hfs_req_t *hfs_temp_dir(hloop_t *loop, const char *prefix, hfs_cb on_done);

/* ---- Watching ---- */

typedef enum {
    HFS_WATCH_CREATED  = 0x01, /* an entry is new in the directory, or was moved there */
    HFS_WATCH_DELETED  = 0x02, /* an entry has gone from the directory, or was moved away */
    HFS_WATCH_MOVED    = 0x04, /* beside one of the two above: by a rename */
    HFS_WATCH_CHANGED  = 0x08, /* content was written */
    HFS_WATCH_WRITTEN  = 0x10, /* somebody who had it open for writing has closed it */
    HFS_WATCH_ATTRIB   = 0x20, /* owner, mode, times or links */
    HFS_WATCH_GONE     = 0x40, /* what is watched was removed, moved or unmounted: the last event */
    HFS_WATCH_OVERFLOW = 0x80, /* events were lost: look for yourself */
} hfs_watch_what_e;

typedef struct hfs_watch_event_s {
    int what;         /* HFS_WATCH_* bits */
    const char *name; /* of the entry in a watched directory, else ""; borrowed */
    bool is_directory;
    uint32_t cookie; /* the same number in the two events of a rename; else 0 */
} hfs_watch_event_t;

typedef struct hfs_watch_s hfs_watch_t;
typedef void (*hfs_watch_cb)(hfs_watch_t *watch, const hfs_watch_event_t *event);

/* Watches a file, or a directory and its entries (not what is in directories below), until
 * hfs_watch_del or hloop_free; it keeps the loop running (hevent_unref). Takes any accessor of
 * hevent.h.
 * Returns the watch, or NULL with hloop_last_error set: -ENOENT, -ENOSPC (the user's limit of
 * watches), HV_ENOMEM ... */
HV_EXPORT hfs_watch_t *hfs_watch_add(hloop_t *loop, const char *path, hfs_watch_cb on_change);
/* Ends it: on_change is not called any more, and the watch is gone. Also inside on_change. */
HV_EXPORT void hfs_watch_del(hfs_watch_t *watch);
HV_EXPORT const char *hfs_watch_path(const hfs_watch_t *watch);

HV_END_DECLS

#endif
