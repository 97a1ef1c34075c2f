/* http_static.c - which file answers a request: below a directory that is served, or one that the
 * program names.
 *
 * A path from a peer is decoded once and then only ever opened relative to the directory
 * (hfs_open_below), which no "..", link or rename can leave; checking names here is for what is to
 * stay hidden, and for names that would mean something else to another program. What can be opened
 * without waiting for a disk is, at once; else a thread opens it and the job goes on in its
 * step. */
#include "http_file.h"

#include "hloop_int.h"
#include "http_mime.h"

/* ---- Directories that are served ---- */

static int copy_options(hhttp_files_t *files, const hhttp_files_options_t *options) {
    if (options != NULL) files->options = *options;
    const char *index = files->options.index != NULL ? files->options.index : "index.html";
    files->index = hv__strndup(index, strlen(index));
    if (files->index == NULL) return HV_ENOMEM;
    if (strlen(index) >= PATH_SPARE - 4 || strchr(index, '/') != NULL) return HV_EINVAL;
    const char *control = files->options.cache_control;
    if (control != NULL) {
        hhttp_header_t header = {{"Cache-Control", 13}, {control, strlen(control)}};
        if (h1_check_headers(&header, 1) != 0) return HV_EINVAL;
        files->cache_control = hv__strndup(control, strlen(control));
        if (files->cache_control == NULL) return HV_ENOMEM;
    }
    const char *fallback = files->options.fallback;
    if (fallback != NULL) {
        while (*fallback == '/') fallback++;
        if (*fallback == '\0') return HV_EINVAL;
        files->fallback = hv__strndup(fallback, strlen(fallback));
        if (files->fallback == NULL) return HV_ENOMEM;
    }
    files->options.index = files->options.cache_control = files->options.fallback = NULL;
    return 0;
}

hhttp_files_t *hhttp_files_new(hloop_t *loop, const char *dir,
                               const hhttp_files_options_t *options) {
    hhttp_files_t *files = hv__calloc(1, sizeof *files);
    if (files == NULL) {
        loop->last_error = HV_ENOMEM;
        return NULL;
    }
    files->loop = loop;
    files->refs = 1;
    files->dir_fd = -1;
    int code = copy_options(files, options);
    if (code == 0) {
        files->dir_fd = hfs_open_directory(dir);
        if (files->dir_fd < 0) code = files->dir_fd;
    }
    if (code != 0) {
        loop->last_error = code;
        hhttp_files_free(files);
        return NULL;
    }
    return files;
}

void hhttp_files_free(hhttp_files_t *files) {
    HV_ASSERT(files->refs > 0);
    if (--files->refs > 0) return;
    if (files->dir_fd >= 0) close(files->dir_fd);
    hv__free(files->index);
    hv__free(files->cache_control);
    hv__free(files->fallback);
    hv__free(files);
}

/* ---- Opening ---- */

static void on_opened(hfs_req_t *fs_req) {
    http_job_t *job = hevent_userdata(fs_req);
    int code = hfs_error(fs_req);
    int fd = code == 0 ? (int)hfs_result(fs_req) : code;
    job->pending = NULL;
    if (code == 0) job->found = *hfs_stat_result(fs_req);
    if (job->is_gone || hhttp_request_is_over(job->req)) {
        if (fd >= 0) close(fd);
        hv__http_job_finish(job, HV_ECLOSED);
        return;
    }
    job->step(job, fd);
}

static void await_open(http_job_t *job, hfs_req_t *fs_req) {
    job->pending = fs_req;
    if (fs_req == NULL) {
        job->step(job, hloop_last_error(job->req->server->loop));
    } else {
        hevent_set_userdata(fs_req, job);
    }
}

/* Opens job->path below the directory, and goes on with `step`. */
static void open_below(http_job_t *job, void (*step)(http_job_t *job, int fd)) {
    const hhttp_files_t *files = job->files;
    int flags = files->options.follows_no_links ? HFS_NO_FOLLOW : 0;
    const char *path = job->path[0] != '\0' ? job->path : ".";
    job->step = step;
    int fd = hfs_try_open_below(files->dir_fd, path, flags, &job->found);
    if (fd != HV_EAGAIN) {
        step(job, fd);
        return;
    }
    await_open(job, hfs_open_below(files->loop, files->dir_fd, path, flags, on_opened));
}

static void send_file(http_job_t *job);

static void on_fallback(http_job_t *job, int fd);

/* Whether what is missing is a page: its name has no ending. */
static int is_page(const http_job_t *job) {
    const char *slash = strrchr(job->path, '/');
    return strchr(slash != NULL ? slash + 1 : job->path, '.') == NULL;
}

/* Has the fallback sent in the place of a page. Returns whether there is one. */
static int fall_back(http_job_t *job) {
    const char *fallback = job->files->fallback;
    if (fallback == NULL || job->is_fallback || !is_page(job)) return 0;
    job->is_fallback = 1;
    if (job->path != job->short_path) hv__free(job->path);
    job->path = job->short_path;
    if (hv__http_job_set_path(job, fallback, strlen(fallback)) != 0) return 0;
    open_below(job, on_fallback);
    return 1;
}

/* Nothing is there for this peer: 404 or 403, unless the program wants to say so itself. */
static void miss(http_job_t *job, int status) {
    if (status == 404 && fall_back(job)) return;
    if (job->files->options.leaves_misses) {
        hv__http_job_finish(job, status == 403 ? -EACCES : HV_ENOTFOUND);
    } else {
        hv__http_job_status(job, status);
    }
}

static void refuse_open(http_job_t *job, int code) {
    switch (code) {
    case -EACCES:
    case -EPERM: miss(job, 403); return;
    case -ENOENT:
    case -ENOTDIR:
    case -EXDEV:
    case -ELOOP:
    case -ENXIO:
    case -ENODEV:
    case -EINVAL:
    case -ENAMETOOLONG: miss(job, 404); return;
    case HV_ECANCELED:
    case HV_ECLOSED: hv__http_job_finish(job, code); return;
    default: hv__http_job_status(job, 503); /* too many open files, too much waits, no memory */
    }
}

/* ---- The file that is there, or its compressed neighbour ---- */

static const struct {
    const char *ending;
    const char *coding;
} neighbours[] = {{".br", "br"}, {".gz", "gzip"}};

static void try_neighbours(http_job_t *job, int next);

static void on_neighbour(http_job_t *job, int fd) {
    int which = job->range_index; /* not in use before the file is sent */
    if (fd >= 0 && job->found.type == HFS_TYPE_FILE) {
        close(job->fd);
        job->fd = fd;
        job->stat = job->found;
        job->encoding = neighbours[which].coding;
    } else {
        if (fd >= 0) close(fd);
        try_neighbours(job, which + 1);
        return;
    }
    job->range_index = 0;
    hv__http_job_send(job);
}

static void try_neighbours(http_job_t *job, int next) {
    job->path[job->path_len] = '\0';
    for (; next < 2; next++) {
        if (hv__http_coding_accepted(job->req, neighbours[next].coding) == 0) continue;
        job->range_index = next;
        memcpy(job->path + job->path_len, neighbours[next].ending, 4);
        open_below(job, on_neighbour);
        return;
    }
    job->range_index = 0;
    hv__http_job_send(job);
}

/* job->fd is a file. */
static void send_file(http_job_t *job) {
    job->content_type = hhttp_mime_type(job->path, job->path_len);
    int is_text = job->content_type != NULL && hv__http_is_compressible(job->content_type);
    if (is_text && !job->files->options.no_precompressed) {
        job->varies = 1;
        try_neighbours(job, 0);
    } else {
        hv__http_job_send(job);
    }
}

static void on_fallback(http_job_t *job, int fd) {
    if (fd >= 0 && job->found.type == HFS_TYPE_FILE) {
        job->fd = fd;
        job->stat = job->found;
        send_file(job);
        return;
    }
    if (fd >= 0) close(fd);
    miss(job, 404);
}

/* ---- Directories ---- */

static void on_index(http_job_t *job, int fd) {
    if (fd >= 0 && job->found.type == HFS_TYPE_FILE) {
        close(job->fd);
        job->fd = fd;
        job->stat = job->found;
        job->path_len = strlen(job->path);
        send_file(job);
        return;
    }
    if (fd >= 0) close(fd);
    job->path[job->path_len] = '\0';
    if (job->files->options.lists) {
        hv__http_job_list(job);
    } else {
        miss(job, 404);
    }
}

/* Sends a browser to the same path with a '/', so that what the page links to is below it. */
static void redirect(http_job_t *job) {
    hhttp_slice_t path = hhttp_request_path(job->req), query = hhttp_request_query(job->req);
    /* "//host/" would lead to another host. */
    while (path.len > 1 && path.data[1] == '/') path.data++, path.len--;
    size_t bytes = path.len + query.len + 3;
    char *location = hv__malloc(bytes);
    if (location == NULL) {
        hv__http_job_status(job, 503);
        return;
    }
    int len = snprintf(location, bytes, "%.*s/%s%.*s", (int)path.len, path.data,
                       query.data != NULL ? "?" : "", (int)query.len,
                       query.data != NULL ? query.data : "");
    hhttp_header_t header = {{"Location", 8}, {location, (size_t)len}};
    int code = hhttp_respond_with(job->req, 301, &header, 1, NULL, 0);
    hv__free(location);
    hv__http_job_finish(job, code);
}

static void on_found(http_job_t *job, int fd) {
    if (fd < 0) {
        refuse_open(job, fd);
        return;
    }
    job->fd = fd;
    job->stat = job->found;
    if (job->stat.type == HFS_TYPE_FILE && !job->wants_slash) {
        send_file(job);
    } else if (job->stat.type == HFS_TYPE_DIRECTORY) {
        if (!job->wants_slash) {
            redirect(job);
        } else if (job->files->index[0] != '\0') {
            snprintf(job->path + job->path_len, PATH_SPARE, "%s", job->files->index);
            open_below(job, on_index);
        } else {
            on_index(job, -ENOENT);
        }
    } else {
        miss(job, 404);
    }
}

/* ---- Paths of peers ---- */

/* Checks one segment of a decoded path. ".well-known" (RFC 8615) is there to be seen. */
static int is_bad_segment(const hhttp_files_t *files, const char *segment, size_t len) {
    if (len == 0 || segment[0] != '.') return 0;
    if (len == 1 || (len == 2 && segment[1] == '.')) return 1;
    if (files->options.shows_hidden) return 0;
    return !(len == 11 && memcmp(segment, ".well-known", 11) == 0);
}

/* Decodes the path into job->path. Returns 0, or the status to answer with. */
static int take_path(http_job_t *job, hhttp_slice_t path) {
    while (path.len > 0 && path.data[0] == '/') path.data++, path.len--;
    for (size_t i = 0; i + 2 < path.len; i++) {
        /* A '/' that is encoded is part of a name, and no file's name has one. */
        if (path.data[i] == '%' && path.data[i + 1] == '2' && (path.data[i + 2] | 0x20) == 'f') {
            return 404;
        }
    }
    if (hv__http_job_set_path(job, path.data != NULL ? path.data : "", path.len) != 0) return 503;
    job->path_len = hhttp_percent_decode(job->path, path.len, 0, job->path);
    job->path[job->path_len] = '\0';
    if (strlen(job->path) != job->path_len) return 404;
    hhttp_slice_t whole = hhttp_request_path(job->req);
    job->wants_slash = job->path_len > 0 ? job->path[job->path_len - 1] == '/'
                                         : whole.data[whole.len - 1] == '/';
    const char *at = job->path;
    while (at != NULL) {
        const char *slash = strchr(at, '/');
        size_t len = slash != NULL ? (size_t)(slash - at) : strlen(at);
        if (is_bad_segment(job->files, at, len)) return 404;
        at = slash != NULL ? slash + 1 : NULL;
    }
    return 0;
}

/* Begins the job inside a call of the program's; what comes of it in time is the call's result. */
static int run_inline(http_job_t *job, void (*begin)(http_job_t *job)) {
    job->is_inline = 1;
    begin(job);
    if (job->is_inline) {
        job->is_inline = 0;
        return 0;
    }
    int result = job->result;
    job->on_done = NULL;
    hv__http_job_finish(job, result);
    return result == 0 ? 1 : result;
}

static void begin_serve(http_job_t *job) { open_below(job, on_found); }

static int check_begin(const hhttp_request_t *req) {
    if (req->flags & REQ_BEGUN || req->job != NULL) return HV_EBUSY;
    return hhttp_request_is_over(req) ? HV_ECLOSED : 0;
}

/* Copies headers and type into one block. Returns 0 or a code. */
static int copy_headers(http_job_t *job, const hhttp_file_options_t *options) {
    size_t count = options->header_count, bytes = count * sizeof(hhttp_header_t);
    if (count + 8 > HTTP_JOB_HEADERS) return HV_ELIMIT;
    for (size_t i = 0; i < count; i++) {
        bytes += options->headers[i].name.len + options->headers[i].value.len;
    }
    size_t type_len = options->content_type != NULL ? strlen(options->content_type) + 1 : 0;
    if (type_len > 128) return HV_EINVAL;
    if (bytes + type_len == 0) return 0;
    job->headers = hv__malloc(bytes + type_len);
    if (job->headers == NULL) return HV_ENOMEM;
    char *at = (char *)(job->headers + count);
    for (size_t i = 0; i < count; i++) {
        const hhttp_slice_t *from[2] = {&options->headers[i].name, &options->headers[i].value};
        hhttp_slice_t *to[2] = {&job->headers[i].name, &job->headers[i].value};
        for (int part = 0; part < 2; part++) {
            if (from[part]->len > 0) memcpy(at, from[part]->data, from[part]->len);
            *to[part] = (hhttp_slice_t){at, from[part]->len};
            at += from[part]->len;
        }
    }
    job->header_count = count;
    if (type_len > 0) job->content_type = memcpy(at, options->content_type, type_len);
    return 0;
}

int hhttp_files_serve(hhttp_files_t *files, hhttp_request_t *req, hhttp_slice_t path,
                      hhttp_done_cb on_done) {
    return hhttp_files_serve_with(files, req, path, NULL, 0, on_done);
}

int hhttp_files_serve_with(hhttp_files_t *files, hhttp_request_t *req, hhttp_slice_t path,
                           const hhttp_header_t *headers, size_t count, hhttp_done_cb on_done) {
    hhttp_file_options_t options = {.headers = headers, .header_count = count};
    int code = check_begin(req);
    if (code == 0) code = h1_check_headers(headers, count);
    if (code != 0) return code;
    http_job_t *job = hv__http_job_new(req, on_done);
    if (job == NULL) return HV_ENOMEM;
    code = copy_headers(job, &options);
    if (code != 0) {
        job->on_done = NULL;
        hv__http_job_finish(job, code);
        return code;
    }
    job->files = files;
    files->refs++;
    hhttp_method_e method = hhttp_request_method(req);
    int status = method == HHTTP_GET || method == HHTTP_HEAD ? take_path(job, path) : 405;
    if (status == 0) return run_inline(job, begin_serve);
    job->on_done = NULL;
    job->is_fallback = 1; /* a path that is refused is no page */
    if (status == 404 && files->options.leaves_misses) {
        miss(job, status);
        return HV_ENOTFOUND;
    }
    hv__http_job_status(job, status);
    return 1;
}

/* ---- One file ---- */

static void on_file(http_job_t *job, int fd) {
    if (fd < 0) {
        hv__http_job_finish(job, fd);
        return;
    }
    job->fd = fd;
    job->stat = job->found;
    if (job->stat.type == HFS_TYPE_FILE) {
        hv__http_job_send(job);
    } else {
        hv__http_job_finish(job, job->stat.type == HFS_TYPE_DIRECTORY ? -EISDIR : HV_EINVAL);
    }
}

int hhttp_respond_file(hhttp_request_t *req, const char *path, const hhttp_file_options_t *options,
                       hhttp_done_cb on_done) {
    static const hhttp_file_options_t standard;
    if (options == NULL) options = &standard;
    int code = check_begin(req);
    if (code == 0 && options->status != 0 && (options->status < 200 || options->status > 599)) {
        code = HV_EINVAL;
    }
    if (code == 0) code = h1_check_headers(options->headers, options->header_count);
    if (code != 0) return code;
    http_job_t *job = hv__http_job_new(req, on_done);
    if (job == NULL) return HV_ENOMEM;
    if (options->status != 0) job->status = options->status;
    code = copy_headers(job, options);
    if (code == 0) code = hv__http_job_set_path(job, path, strlen(path));
    if (code == 0 && job->content_type == NULL) {
        job->content_type = hhttp_mime_type(path, strlen(path));
    }
    if (code == 0) {
        job->step = on_file;
        job->pending = hfs_open_to_send(req->server->loop, job->path, on_opened);
        if (job->pending == NULL) code = hloop_last_error(req->server->loop);
    }
    if (code != 0) {
        job->on_done = NULL;
        hv__http_job_finish(job, code);
        return code;
    }
    hevent_set_userdata(job->pending, job);
    return 0;
}
