/* http_send.c - a file as an answer: conditions, ranges, head, and the pieces of the body.
 *
 * What is small and in memory is read here and leaves with its head in one system call. Everything
 * else goes piece by piece as the peer takes it: by sendfile where the piece is in memory, after a
 * thread has brought it there where it is not; over TLS a thread reads it. What is to be compressed
 * a thread reads and compresses, piece by piece, and the next one begins when the peer has taken
 * it: the loop's thread only hands the result on.
 * RFC 9110 section 14 (ranges), 15.3.7 (206), 15.5.17 (416). */
#include "http_file.h"

#include "hcrypto.h"
#include "hloop_int.h"
#include "http_mime.h"

#define JOBS_PER_CHUNK   8
#define SMALL_BYTES      (64 * 1024)
#define PIECE_BYTES      (256 * 1024) /* by sendfile */
#define READ_BYTES       (128 * 1024) /* by a thread */
#define BYTES_PER_TURN   (2 * 1024 * 1024) /* then others have theirs */
#define COMPRESS_MIN     512

/* ---- The life of a job ---- */

void hv__http_jobs_init(hhttp_server_t *server) {
    hslab_init(&server->jobs, sizeof(http_job_t), JOBS_PER_CHUNK);
}

http_job_t *hv__http_job_new(hhttp_request_t *req, hhttp_done_cb on_done) {
    http_job_t *job = hslab_alloc(&req->server->jobs);
    if (job == NULL) return NULL;
    memset(job, 0, offsetof(http_job_t, ranges));
    job->range_count = job->range_index = 0;
    job->offset = job->left = 0;
    job->is_inline = job->is_gone = job->is_multipart = job->varies = 0;
    job->is_awaiting_drain = job->wants_slash = job->is_fallback = 0;
    job->req = req;
    job->on_done = on_done;
    job->fd = -1;
    job->status = 200;
    job->path = job->short_path;
    req->job = job;
    hhttp_request_retain(req);
    return job;
}

int hv__http_job_set_path(http_job_t *job, const char *path, size_t len) {
    if (len + PATH_SPARE >= sizeof job->short_path) {
        job->path = hv__malloc(len + PATH_SPARE + 1);
        if (job->path == NULL) {
            job->path = job->short_path;
            return HV_ENOMEM;
        }
    }
    memcpy(job->path, path, len);
    job->path[len] = '\0';
    job->path_len = len;
    return 0;
}

static void close_file(http_job_t *job) {
    if (job->fd >= 0) close(job->fd);
    job->fd = -1;
}

void hv__http_job_finish(http_job_t *job, int error) {
    hhttp_request_t *req = job->req;
    hloop_t *loop = req->server->loop;
    HV_ASSERT(job->pending == NULL);
    if (job->is_inline) {
        job->result = error;
        job->is_inline = 0;
        return; /* the call that began it takes it from here */
    }
    hv__defer_cancel(loop, &job->work);
    close_file(job);
    hcodec_free(job->codec);
    hv__free(job->memory);
    hbuf_deinit(&job->squeezed);
    req->flags &= ~(uint32_t)REQ_HANDED_OVER;
    if (job->path != job->short_path) hv__free(job->path);
    hv__free(job->headers);
    if (job->files != NULL) hhttp_files_free(job->files);
    if (req->job == job) req->job = NULL;
    hhttp_done_cb on_done = job->on_done;
    hslab_free(&req->server->jobs, job);
    if (on_done != NULL) HV_DISPATCH(loop, on_done(req, error));
    hhttp_request_release(req);
}

void hv__http_job_gone(http_job_t *job) {
    job->is_gone = 1;
    job->req->job = NULL;
    if (job->pending != NULL) {
        hfs_cancel(job->pending); /* its callback finishes the job */
    } else {
        hv__http_job_finish(job, HV_ECLOSED);
    }
}

int hv__http_job_is_over(http_job_t *job) {
    if (!job->is_gone && !hhttp_request_is_over(job->req)) return 0;
    hv__http_job_finish(job, HV_ECLOSED);
    return 1;
}

/* An error in the middle: the peer sees the connection end. */
static void fail(http_job_t *job, int code) {
    hhttp_request_t *req = job->req;
    if (req->flags & REQ_BEGUN) {
        hhttp_request_abort(req);
    } else if (!hhttp_request_is_over(req)) {
        hhttp_request_refuse(req, code == HV_ENOMEM ? 503 : 500);
    }
    hv__http_job_finish(job, code);
}

void hv__http_job_status(http_job_t *job, int status) {
    char text[64];
    hhttp_header_t headers[] = {{{"Content-Type", 12}, {"text/plain", 10}},
                                {{"Allow", 5}, {"GET, HEAD, OPTIONS", 18}}};
    int len = snprintf(text, sizeof text, "%d %s\n", status, hhttp_status_text(status));
    int code = hhttp_respond_with(job->req, status, headers, status == 405 ? 2 : 1, text,
                                  (size_t)len);
    hv__http_job_finish(job, code);
}

/* ---- Heads ---- */

typedef struct head_s {
    hhttp_header_t headers[HTTP_JOB_HEADERS];
    size_t count;
    char modified[HTTP_DATE_BYTES + 1];
    char content_range[80];
    char type[160];
} head_t;

static void add(head_t *head, const char *name, const char *value, size_t value_len) {
    HV_ASSERT(head->count < HTTP_JOB_HEADERS);
    head->headers[head->count++] =
        (hhttp_header_t){{name, strlen(name)}, {value, value_len}};
}

static void add_text(head_t *head, const char *name, const char *value) {
    if (value != NULL) add(head, name, value, strlen(value));
}

/* What every answer about the file says, also 304. */
static void begin_head(head_t *head, const http_job_t *job) {
    head->count = 0;
    hv__http_date_write(job->stat.mtime_us / 1000000, head->modified);
    add(head, "Last-Modified", head->modified, HTTP_DATE_BYTES);
    add_text(head, "ETag", job->etag);
    if (job->varies) add(head, "Vary", "Accept-Encoding", 15);
    if (job->files != NULL) add_text(head, "Cache-Control", job->files->cache_control);
    for (size_t i = 0; i < job->header_count; i++) head->headers[head->count++] = job->headers[i];
}

static int is_given(const http_job_t *job, const char *name) {
    size_t len = strlen(name);
    for (size_t i = 0; i < job->header_count; i++) {
        hhttp_slice_t other = job->headers[i].name;
        if (other.len == len && strncasecmp(other.data, name, len) == 0) return 1;
    }
    return 0;
}

/* What an answer with content says as well. */
static void add_content(head_t *head, const http_job_t *job) {
    if (!job->is_multipart && !is_given(job, "content-type")) {
        const char *charset = "";
        if (strncmp(job->content_type, "text/", 5) == 0 &&
            strchr(job->content_type, ';') == NULL) {
            charset = "; charset=utf-8";
        }
        snprintf(head->type, sizeof head->type, "%s%s", job->content_type, charset);
        add_text(head, "Content-Type", head->type);
    }
    if (job->is_multipart) {
        snprintf(head->type, sizeof head->type, "multipart/byteranges; boundary=%s",
                 job->boundary);
        add_text(head, "Content-Type", head->type);
    }
    add_text(head, "Content-Encoding", job->encoding);
    if (job->codec == NULL) add(head, "Accept-Ranges", "bytes", 5);
}

static void make_etag(http_job_t *job) {
    snprintf(job->etag, sizeof job->etag, "\"%llx-%llx%s%s\"",
             (unsigned long long)job->stat.mtime_us, (unsigned long long)job->stat.size,
             job->encoding != NULL ? "-" : "", job->encoding != NULL ? job->encoding : "");
}

/* ---- Pieces ---- */

static void pump(http_job_t *job);

static void go_on(hv__defer_t *work) {
    http_job_t *job = HV_CONTAINER_OF(work, http_job_t, work);
    if (!hv__http_job_is_over(job)) pump(job);
}

/* What stands before a part of several; returns its length. */
static int part_head(const http_job_t *job, int index, char *out, size_t size) {
    const http_range_t *range = &job->ranges[index];
    return snprintf(out, size,
                    "%s--%s\r\nContent-Type: %s\r\nContent-Range: bytes %llu-%llu/%llu\r\n\r\n",
                    index > 0 ? "\r\n" : "", job->boundary, job->content_type,
                    (unsigned long long)range->offset,
                    (unsigned long long)(range->offset + range->len - 1),
                    (unsigned long long)job->stat.size);
}

static int last_line(const http_job_t *job, char *out, size_t size) {
    return snprintf(out, size, "\r\n--%s--\r\n", job->boundary);
}

static int write_bytes(http_job_t *job, const void *data, size_t len) {
    hhttp_request_t *req = job->req;
    req->flags &= ~(uint32_t)REQ_HANDED_OVER;
    int code = hhttp_response_write(req, data, len);
    if (job->memory != NULL) req->flags |= REQ_HANDED_OVER;
    return code == HV_EAGAIN ? 0 : code;
}

/* Begins the next range. Returns whether there is one. */
static int next_range(http_job_t *job) {
    char text[256];
    if (job->range_index == job->range_count) return 0;
    int index = job->range_index++;
    job->offset = job->ranges[index].offset;
    job->left = job->ranges[index].len;
    if (job->is_multipart) {
        int len = part_head(job, index, text, sizeof text);
        write_bytes(job, text, (size_t)len);
    }
    return 1;
}

static void end(http_job_t *job) {
    char text[64];
    if (job->is_multipart) {
        int len = last_line(job, text, sizeof text);
        write_bytes(job, text, (size_t)len);
    }
    job->req->flags &= ~(uint32_t)REQ_HANDED_OVER;
    int code = hhttp_response_end(job->req);
    hv__http_job_finish(job, code);
}

static void on_read(hfs_req_t *fs_req) {
    http_job_t *job = hevent_userdata(fs_req);
    job->pending = NULL;
    int code = hfs_error(fs_req);
    if (hv__http_job_is_over(job)) return;
    size_t len = (size_t)hfs_result(fs_req);
    if (code == 0 && len == 0) code = -EIO; /* it has become shorter */
    if (code == 0) code = write_bytes(job, hfs_data(fs_req), len);
    if (code != 0) {
        fail(job, code);
        return;
    }
    job->offset += len;
    job->left -= len;
    pump(job);
}

/* In a thread: reads the next piece and compresses it. */
static int squeeze_piece(void *arg) {
    http_job_t *job = arg;
    HV_DASSERT(!hv__loop_is_mine(job->req->server->loop));
    size_t len = job->left < READ_BYTES ? (size_t)job->left : READ_BYTES;
    char *own = NULL;
    const char *data = job->memory != NULL ? job->memory + job->offset : NULL;
    if (data == NULL) {
        data = own = hv__malloc(len);
        if (own == NULL) return HV_ENOMEM;
        ssize_t got = pread(job->fd, own, len, (off_t)job->offset);
        if (got <= 0) { /* it cannot be read, or has become shorter */
            hv__free(own);
            return -EIO;
        }
        len = (size_t)got;
    }
    hcodec_flush_e flush = job->left == len ? HCODEC_FINISH : HCODEC_MORE;
    int code = hv__http_squeeze(job->codec, data, len, flush, &job->squeezed);
    hv__free(own);
    job->squeezed_from = len;
    return code;
}

static void on_squeezed(hfs_req_t *fs_req) {
    http_job_t *job = hevent_userdata(fs_req);
    job->pending = NULL;
    int code = hfs_error(fs_req);
    if (hv__http_job_is_over(job)) return;
    size_t len = hbuf_len(&job->squeezed);
    if (code == 0 && len > 0) code = write_bytes(job, hbuf_data(&job->squeezed), len);
    hbuf_consume(&job->squeezed, len);
    if (code != 0) {
        fail(job, code);
        return;
    }
    job->offset += job->squeezed_from;
    job->left -= job->squeezed_from;
    pump(job);
}

static size_t piece_len(const http_job_t *job) {
    return job->left < PIECE_BYTES ? (size_t)job->left : PIECE_BYTES;
}

/* Queues the next bytes of the file. The last piece takes the descriptor along: it may be sent long
 * after the job is gone. */
static int send_piece(http_job_t *job, size_t len) {
    int is_last = len == job->left && job->range_index == job->range_count;
    int code = hv__http_write_file(job->req, job->fd, job->offset, len,
                                   is_last ? HIO_FILE_CLOSE : 0);
    if (code != 0) return code;
    if (is_last) job->fd = -1;
    job->offset += len;
    job->left -= len;
    return 0;
}

static void on_prefetched(hfs_req_t *fs_req) {
    http_job_t *job = hevent_userdata(fs_req);
    job->pending = NULL;
    int code = hfs_error(fs_req);
    if (hv__http_job_is_over(job)) return;
    if (code == 0) code = send_piece(job, piece_len(job));
    if (code != 0) {
        fail(job, code);
        return;
    }
    pump(job);
}

/* Has a thread do what would wait for a disk. */
static void start(http_job_t *job, hfs_req_t *fs_req) {
    job->pending = fs_req;
    if (fs_req == NULL) {
        fail(job, hloop_last_error(job->req->server->loop));
    } else {
        hevent_set_userdata(fs_req, job);
    }
}

/* Sends from job->offset on until it has to wait. */
static void pump(http_job_t *job) {
    hhttp_request_t *req = job->req;
    hloop_t *loop = req->server->loop;
    int is_plain = hio_type(req->conn->io) != HIO_TYPE_SSL && req->via == NULL;
    for (uint64_t sent = 0;;) {
        if (job->left == 0 && !next_range(job)) {
            end(job);
            return;
        }
        if (hv__http_must_wait(req)) {
            job->is_awaiting_drain = 1;
            return;
        }
        if (job->codec != NULL) {
            start(job, hfs_run(loop, squeeze_piece, job, on_squeezed));
            return;
        }
        if (!is_plain) {
            size_t len = job->left < READ_BYTES ? (size_t)job->left : READ_BYTES;
            start(job, hfs_read(loop, job->fd, len, (int64_t)job->offset, on_read));
            return;
        }
        if (sent >= BYTES_PER_TURN) {
            hv__defer(loop, &job->work, go_on);
            return;
        }
        size_t len = piece_len(job);
        if (!hfs_is_cached(job->fd, job->offset, len)) {
            start(job, hfs_prefetch(loop, job->fd, job->offset, len, on_prefetched));
            return;
        }
        int code = send_piece(job, len);
        if (code != 0) {
            fail(job, code);
            return;
        }
        sent += len;
    }
}

void hv__http_job_drained(http_job_t *job) {
    if (!job->is_awaiting_drain) return;
    job->is_awaiting_drain = 0;
    if (!hv__http_job_is_over(job)) pump(job);
}

int hv__http_job_squeeze(hhttp_request_t *req, hcodec_t *codec, const void *body, size_t len) {
    http_job_t *job = hv__http_job_new(req, NULL);
    char *memory = job != NULL ? hv__strndup(body, len) : NULL;
    if (memory == NULL) {
        hcodec_free(codec);
        if (job != NULL) hv__http_job_finish(job, HV_ENOMEM);
        hhttp_request_abort(req);
        return HV_ENOMEM;
    }
    job->codec = codec;
    job->memory = memory;
    job->ranges[0] = (http_range_t){0, len};
    job->range_count = 1;
    req->flags |= REQ_HANDED_OVER;
    /* Later, so that what goes wrong does not happen inside the call that has given the body. */
    hv__defer(req->server->loop, &job->work, go_on);
    return 0;
}

int hhttp_response_when_done(hhttp_request_t *req, hhttp_done_cb on_done) {
    if (!(req->flags & REQ_HANDED_OVER)) return 0;
    req->job->on_done = on_done;
    return 1;
}

/* ---- Answers ---- */

static void respond(http_job_t *job, int status, const head_t *head, const void *body,
                    size_t len) {
    int code = hhttp_respond_with(job->req, status, head->headers, head->count, body, len);
    hv__http_job_finish(job, code);
}

/* The length of a body of several parts. */
static uint64_t multipart_length(const http_job_t *job) {
    char text[256];
    uint64_t length = (uint64_t)last_line(job, text, sizeof text);
    for (int i = 0; i < job->range_count; i++) {
        length += (uint64_t)part_head(job, i, text, sizeof text) + job->ranges[i].len;
    }
    return length;
}

static void make_boundary(http_job_t *job) {
    unsigned char random[8] = {0};
    hcrypto_random(random, sizeof random);
    hcrypto_hex(random, sizeof random, job->boundary);
    job->boundary[16] = '\0';
}

/* Sends a range that is small and in memory. Returns whether it was. */
static int send_small(http_job_t *job, int status, const head_t *head) {
    hhttp_server_t *server = job->req->server;
    const http_range_t *range = &job->ranges[0];
    if (range->len > SMALL_BYTES || job->codec != NULL) return 0;
    if (server->file_buffer == NULL) server->file_buffer = hv__malloc(SMALL_BYTES);
    if (server->file_buffer == NULL) return 0;
    int64_t got = hfs_try_read(job->fd, server->file_buffer, (size_t)range->len, range->offset);
    if (got != (int64_t)range->len) return 0;
    respond(job, status, head, server->file_buffer, (size_t)got);
    return 1;
}

/* Sends job->ranges under a head. */
static void send_content(http_job_t *job, int status) {
    head_t head;
    uint64_t length = job->ranges[0].len;
    begin_head(&head, job);
    if (job->range_count > 1) {
        job->is_multipart = 1;
        make_boundary(job);
        length = multipart_length(job);
    } else if (status == 206) {
        snprintf(head.content_range, sizeof head.content_range, "bytes %llu-%llu/%llu",
                 (unsigned long long)job->ranges[0].offset,
                 (unsigned long long)(job->ranges[0].offset + length - 1),
                 (unsigned long long)job->stat.size);
        add_text(&head, "Content-Range", head.content_range);
    }
    add_content(&head, job);
    int is_head = job->req->parser.head.method == HHTTP_HEAD;
    if (!is_head && !job->is_multipart && send_small(job, status, &head)) return;
    int code = hhttp_response_begin(job->req, status, head.headers, head.count,
                                    job->codec != NULL ? -1 : (int64_t)length);
    if (code != 0) {
        hv__http_job_finish(job, code);
        return;
    }
    if (is_head || length == 0) {
        code = hhttp_response_end(job->req);
        hv__http_job_finish(job, code);
        return;
    }
    pump(job);
}

static void send_unsatisfiable(http_job_t *job) {
    head_t head;
    char text[] = "416 Range Not Satisfiable\n";
    begin_head(&head, job);
    snprintf(head.content_range, sizeof head.content_range, "bytes */%llu",
             (unsigned long long)job->stat.size);
    add_text(&head, "Content-Range", head.content_range);
    add_text(&head, "Content-Type", "text/plain");
    respond(job, 416, &head, text, sizeof text - 1);
}

/* Whether to compress, and how: by the rules of the request, or else of the directory. Only whole
 * bodies of HTTP/1.1, whose length need not be known. */
static void choose_codec(http_job_t *job, const http_asks_t *asks) {
    hhttp_compress_t rules = {.bytes_min = COMPRESS_MIN, .gzip_level = 5, .brotli_level = 4};
    const hhttp_files_t *files = job->files;
    hhttp_request_t *req = job->req;
    int is_wanted = files != NULL && !files->options.no_compression;
    if (req->coding != NULL && req->coding->compresses) {
        rules = req->coding->rules;
        is_wanted = 1;
    }
    hv__http_coding_drop(req); /* what follows is done by the rules above */
    hhttp_slice_t type = {job->content_type, strlen(job->content_type)};
    if (!is_wanted || job->encoding != NULL || is_given(job, "content-encoding")) return;
    if (!hv__http_coding_covers(&rules, type)) return;
    job->varies = 1;
    if (job->stat.size < rules.bytes_min || asks->range.data != NULL) return;
    if (req->parser.head.version < 11) return;
    hcodec_format_e format;
    job->codec = hv__http_coding_compressor(&rules, req, &format);
    if (job->codec != NULL) job->encoding = hcodec_name(format);
}

void hv__http_job_send(http_job_t *job) {
    http_asks_t asks;
    hhttp_method_e method = job->req->parser.head.method;
    hv__http_asks_read(job->req, &asks);
    if (job->content_type == NULL) job->content_type = "application/octet-stream";
    choose_codec(job, &asks);
    make_etag(job);
    http_validators_t there = {{job->etag, strlen(job->etag)}, job->stat.mtime_us / 1000000};
    job->ranges[0] = (http_range_t){0, job->stat.size};
    job->range_count = 1;
    int status = job->status;
    if (status == 200) {
        int is_get = method == HHTTP_GET || method == HHTTP_HEAD;
        int refused = hv__http_precondition(&asks, &there, is_get);
        if (refused == 304) {
            head_t head;
            begin_head(&head, job);
            respond(job, 304, &head, NULL, 0);
            return;
        }
        if (refused != 0) {
            hv__http_job_status(job, refused);
            return;
        }
        int count = method == HHTTP_GET && job->codec == NULL
                        ? hv__http_ranges(&asks, &there, job->stat.size, job->ranges)
                        : 0;
        if (count == 416) {
            send_unsatisfiable(job);
            return;
        }
        if (count > 0) {
            job->range_count = count;
            status = 206;
        } else {
            job->ranges[0] = (http_range_t){0, job->stat.size};
        }
    }
    send_content(job, status);
}
