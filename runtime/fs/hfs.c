/* hfs.c - requests: made in the loop's thread, run in the pool of the loop, reported by it.
 *
 * The pool is made by the first request and freed with the loop, as a guest of it. A request is one
 * block with its paths behind it; what an operation reads or finds is allocated in its thread. */
#include "hfs_int.h"

/* ---- What a loop keeps ---- */

static void close_fs(hv__guest_t *guest) {
    hfs_t *fs = (hfs_t *)guest;
    hpool_free(fs->pool);
    fs->pool = NULL;
}

static void free_fs(hv__guest_t *guest) { hv__free(guest); }

static const hv__guest_kind_t guest_kind = {close_fs, free_fs};

static hfs_t *fs_of(hloop_t *loop) {
    if (hv__loop_is_ending(loop)) {
        loop->last_error = HV_ECLOSED;
        return NULL;
    }
    hv__guest_t *guest = hv__guest_find(loop, &guest_kind);
    if (guest != NULL) return (hfs_t *)guest;
    hfs_t *fs = hv__malloc(sizeof *fs);
    if (fs == NULL) {
        loop->last_error = HV_ENOMEM;
        return NULL;
    }
    int code = 0;
    fs->pool = hpool_new(loop, HPOOL_THREADS_MAX, HPOOL_QUEUE_MAX, &code);
    if (fs->pool == NULL) {
        loop->last_error = code;
        hv__free(fs);
        return NULL;
    }
    hv__guest_add(loop, &fs->guest, &guest_kind);
    return fs;
}

/* ---- The life of a request ---- */

static void free_request(hfs_req_t *req) {
    if (req->path_is_owned) hv__free(req->path);
    hv__free(req->data);
    hv__free(req->entries);
    hv__free(req);
}

/* Makes a request that has not begun. Returns NULL with hloop_last_error set. */
static hfs_req_t *make(hloop_t *loop, int (*operate)(hfs_req_t *req), const char *path,
                       const char *path2, hfs_cb on_done) {
    hfs_t *fs = fs_of(loop);
    if (fs == NULL) return NULL;
    size_t bytes = path != NULL ? strlen(path) + 1 : 0;
    size_t bytes2 = path2 != NULL ? strlen(path2) + 1 : 0;
    hfs_req_t *req = hv__malloc(sizeof *req + bytes + bytes2);
    if (req == NULL) {
        loop->last_error = HV_ENOMEM;
        return NULL;
    }
    memset(req, 0, sizeof *req);
    hv__event_init(loop, &req->ev, HEVENT_TYPE_CUSTOM, (hevent_cb)on_done);
    req->fs = fs;
    req->operate = operate;
    req->fd = -1;
    if (path != NULL) req->path = memcpy((char *)(req + 1), path, bytes);
    if (path2 != NULL) req->path2 = memcpy((char *)(req + 1) + bytes, path2, bytes2);
    return req;
}

static void run(hpool_work_t *work) {
    hfs_req_t *req = HV_CONTAINER_OF(work, hfs_req_t, work);
    req->error = req->operate(req);
    HV_ASSERT(req->error <= 0);
}

static void done(hpool_work_t *work, int status) {
    hfs_req_t *req = HV_CONTAINER_OF(work, hfs_req_t, work);
    if (status != 0) req->error = status;
    if (req->error != 0) req->result = 0;
    /* Before the call, so that a loop that ends with the last request ends. */
    hv__event_deactivate(&req->ev);
    if (req->ev.cb != NULL) HV_DISPATCH(req->ev.loop, req->ev.cb(&req->ev));
    free_request(req);
}

/* Starts a request, or frees it. NULL is passed through. */
static hfs_req_t *start(hfs_req_t *req) {
    if (req == NULL) return NULL;
    int code = hpool_submit(req->fs->pool, &req->work, run, done);
    if (code != 0) {
        req->ev.loop->last_error = code;
        free_request(req);
        return NULL;
    }
    hv__event_activate(&req->ev);
    return req;
}

static hfs_req_t *refuse(hloop_t *loop, int code) {
    loop->last_error = code;
    return NULL;
}

/* Copies what is to be written. Frees the request where that fails. */
static hfs_req_t *with_data(hfs_req_t *req, const void *buf, size_t len) {
    if (req == NULL) return NULL;
    req->size = len;
    req->data = hv__strndup(buf != NULL ? buf : "", len);
    if (req->data != NULL) return req;
    req->ev.loop->last_error = HV_ENOMEM;
    free_request(req);
    return NULL;
}

/* ---- Results ---- */

int hfs_error(const hfs_req_t *req) { return req->error; }
int64_t hfs_result(const hfs_req_t *req) { return req->result; }
const char *hfs_path(const hfs_req_t *req) { return req->path; }
const hfs_entry_t *hfs_entries(const hfs_req_t *req) { return req->error ? NULL : req->entries; }

const char *hfs_data(const hfs_req_t *req) {
    int is_reading = req->operate == hfs_do_read_file || req->operate == hfs_do_read;
    return is_reading && req->error == 0 ? req->data : NULL;
}

const hfs_stat_t *hfs_stat_result(const hfs_req_t *req) {
    int is_asking = req->operate == hfs_do_stat || req->operate == hfs_do_fstat ||
                    req->operate == hfs_do_open_below || req->operate == hfs_do_open_any;
    return is_asking && req->error == 0 ? &req->stat : NULL;
}

int hfs_cancel(hfs_req_t *req) {
    if (req->fs->pool == NULL) return HV_EBUSY; /* about to be told */
    return hpool_cancel(req->fs->pool, &req->work);
}

/* ---- Whole files ---- */

hfs_req_t *hfs_read_file(hloop_t *loop, const char *path, size_t bytes_max, hfs_cb on_done) {
    hfs_req_t *req = make(loop, hfs_do_read_file, path, NULL, on_done);
    if (req == NULL) return NULL;
    req->size = bytes_max == 0 || bytes_max > HFS_READ_MAX ? HFS_READ_MAX : bytes_max;
    return start(req);
}

hfs_req_t *hfs_write_file(hloop_t *loop, const char *path, const void *buf, size_t len, int flags,
                          hfs_cb on_done) {
    if (flags & HFS_ATOMIC && flags & (HFS_APPEND | HFS_EXCLUSIVE)) return refuse(loop, HV_EINVAL);
    hfs_req_t *req = make(loop, hfs_do_write_file, path, NULL, on_done);
    if (req != NULL) req->flags = flags;
    return start(with_data(req, buf, len));
}

/* ---- Descriptors ---- */

static hfs_req_t *make_for_fd(hloop_t *loop, int (*operate)(hfs_req_t *req), int fd,
                              hfs_cb on_done) {
    if (fd < 0) return refuse(loop, -EBADF);
    hfs_req_t *req = make(loop, operate, NULL, NULL, on_done);
    if (req != NULL) req->fd = fd;
    return req;
}

hfs_req_t *hfs_open(hloop_t *loop, const char *path, int flags, int mode, hfs_cb on_done) {
    HV_ASSERT(on_done != NULL);
    hfs_req_t *req = make(loop, hfs_do_open, path, NULL, on_done);
    if (req == NULL) return NULL;
    req->flags = flags;
    req->mode = mode;
    return start(req);
}

hfs_req_t *hfs_close(hloop_t *loop, int fd, hfs_cb on_done) {
    return start(make_for_fd(loop, hfs_do_close, fd, on_done));
}

hfs_req_t *hfs_read(hloop_t *loop, int fd, size_t len, int64_t offset, hfs_cb on_done) {
    if (len > HFS_READ_MAX || offset < -1) return refuse(loop, HV_EINVAL);
    hfs_req_t *req = make_for_fd(loop, hfs_do_read, fd, on_done);
    if (req == NULL) return NULL;
    req->size = len;
    req->offset = offset;
    return start(req);
}

hfs_req_t *hfs_write(hloop_t *loop, int fd, const void *buf, size_t len, int64_t offset,
                     hfs_cb on_done) {
    if (offset < -1) return refuse(loop, HV_EINVAL);
    hfs_req_t *req = make_for_fd(loop, hfs_do_write, fd, on_done);
    if (req != NULL) req->offset = offset;
    return start(with_data(req, buf, len));
}

hfs_req_t *hfs_fsync(hloop_t *loop, int fd, hfs_cb on_done) {
    return start(make_for_fd(loop, hfs_do_fsync, fd, on_done));
}

hfs_req_t *hfs_truncate(hloop_t *loop, int fd, int64_t size, hfs_cb on_done) {
    if (size < 0) return refuse(loop, HV_EINVAL);
    hfs_req_t *req = make_for_fd(loop, hfs_do_truncate, fd, on_done);
    if (req != NULL) req->offset = size;
    return start(req);
}

hfs_req_t *hfs_fstat(hloop_t *loop, int fd, hfs_cb on_done) {
    return start(make_for_fd(loop, hfs_do_fstat, fd, on_done));
}

hfs_req_t *hfs_open_below(hloop_t *loop, int dir_fd, const char *path, int flags, hfs_cb on_done) {
    HV_ASSERT(on_done != NULL);
    hfs_req_t *req = make(loop, hfs_do_open_below, path, NULL, on_done);
    if (req == NULL) return NULL;
    req->fd = dir_fd;
    req->flags = flags;
    return start(req);
}

hfs_req_t *hfs_open_to_send(hloop_t *loop, const char *path, hfs_cb on_done) {
    HV_ASSERT(on_done != NULL);
    return start(make(loop, hfs_do_open_any, path, NULL, on_done));
}

hfs_req_t *hfs_prefetch(hloop_t *loop, int fd, uint64_t offset, size_t len, hfs_cb on_done) {
    if (offset > INT64_MAX) return refuse(loop, HV_EINVAL);
    hfs_req_t *req = make_for_fd(loop, hfs_do_prefetch, fd, on_done);
    if (req == NULL) return NULL;
    req->size = len;
    req->offset = (int64_t)offset;
    return start(req);
}

hfs_req_t *hfs_scan_fd(hloop_t *loop, int dir_fd, hfs_cb on_done) {
    return start(make_for_fd(loop, hfs_do_scan_fd, dir_fd, on_done));
}

/* ---- Any other work ---- */

static int do_run(hfs_req_t *req) { return req->run(req->arg); }

hfs_req_t *hfs_run(hloop_t *loop, int (*run_it)(void *arg), void *arg, hfs_cb on_done) {
    hfs_req_t *req = make(loop, do_run, NULL, NULL, on_done);
    if (req == NULL) return NULL;
    req->run = run_it;
    req->arg = arg;
    return start(req);
}

/* ---- Directories and names ---- */

static hfs_req_t *start_with_flags(hfs_req_t *req, int flags) {
    if (req != NULL) req->flags = flags;
    return start(req);
}

hfs_req_t *hfs_stat(hloop_t *loop, const char *path, int flags, hfs_cb on_done) {
    return start_with_flags(make(loop, hfs_do_stat, path, NULL, on_done), flags);
}

hfs_req_t *hfs_scan(hloop_t *loop, const char *path, hfs_cb on_done) {
    return start(make(loop, hfs_do_scan, path, NULL, on_done));
}

hfs_req_t *hfs_mkdir(hloop_t *loop, const char *path, int mode, int flags, hfs_cb on_done) {
    hfs_req_t *req = make(loop, hfs_do_mkdir, path, NULL, on_done);
    if (req != NULL) req->mode = mode;
    return start_with_flags(req, flags);
}

hfs_req_t *hfs_remove(hloop_t *loop, const char *path, int flags, hfs_cb on_done) {
    return start_with_flags(make(loop, hfs_do_remove, path, NULL, on_done), flags);
}

hfs_req_t *hfs_rename(hloop_t *loop, const char *from, const char *to, hfs_cb on_done) {
    return start(make(loop, hfs_do_rename, from, to, on_done));
}

/* Begins a request for prefix and six characters that the operation fills in. */
static hfs_req_t *start_temporary(hloop_t *loop, int (*operate)(hfs_req_t *req),
                                  const char *prefix, hfs_cb on_done) {
    HV_ASSERT(on_done != NULL);
    if (prefix == NULL) prefix = "hv-";
    const char *dir = "";
    if (strchr(prefix, '/') == NULL) {
        dir = getenv("TMPDIR");
        if (dir == NULL || *dir == '\0') dir = "/tmp";
    }
    hfs_req_t *req = make(loop, operate, NULL, NULL, on_done);
    if (req == NULL) return NULL;
    size_t bytes = strlen(dir) + strlen(prefix) + sizeof "/XXXXXX";
    req->path = hv__malloc(bytes);
    if (req->path == NULL) {
        free_request(req);
        return refuse(loop, HV_ENOMEM);
    }
    req->path_is_owned = 1;
    snprintf(req->path, bytes, "%s%s%sXXXXXX", dir, *dir != '\0' ? "/" : "", prefix);
    return start(req);
}

hfs_req_t *hfs_temp_file(hloop_t *loop, const char *prefix, hfs_cb on_done) {
    return start_temporary(loop, hfs_do_temp_file, prefix, on_done);
}

hfs_req_t *hfs_temp_dir(hloop_t *loop, const char *prefix, hfs_cb on_done) {
    return start_temporary(loop, hfs_do_temp_dir, prefix, on_done);
}
