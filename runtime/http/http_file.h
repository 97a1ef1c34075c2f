/* http_file.h - a request that is answered from a file: from opening to the last byte. Private to
 * http_static.c (what to open), http_listing.c (a directory as a page), http_send.c (how it is
 * sent) and the session, which tells of drained queues and of peers that have gone.
 *
 *   serve -> open -> [open the index | a compressed neighbour | list] -> head -> pieces -> done
 *
 * What is compressed is read and compressed in a thread, a piece at a time; so are long bodies that
 * the program has given (hv__http_job_squeeze).
 *
 * A job is one such request. It retains the request, and lives until nothing of it is under way in
 * a thread; it is what hhttp_request_s.job points to. */
#ifndef HV_HTTP_FILE_H_
#define HV_HTTP_FILE_H_

#include "hfs.h"
#include "hhttp_files.h"
#include "http_coding.h"
#include "http_conditions.h"

#define HTTP_JOB_PATH_BYTES 192 /* longer ones are allocated */
#define HTTP_JOB_HEADERS    32

struct hhttp_files_s {
    hloop_t *loop;
    uint32_t refs;
    int dir_fd;
    hhttp_files_options_t options;
    char *index;
    char *cache_control;
    char *fallback; /* or NULL */
};

typedef struct http_job_s http_job_t;

struct http_job_s {
    hhttp_request_t *req;
    hhttp_files_t *files; /* NULL for hhttp_respond_file */
    hhttp_done_cb on_done;
    hfs_req_t *pending; /* what a thread does for it */
    hv__defer_t work;
    /* Goes on with an open descriptor and job->stat, or with a negative code. */
    void (*step)(http_job_t *job, int fd);
    char *path; /* what is opened; room for PATH_SPARE more bytes and a NUL */
    size_t path_len;
    int fd; /* what is sent, or listed; -1 */
    int result; /* of an inline run */
    hfs_stat_t stat; /* of fd */
    hfs_stat_t found; /* of what was opened last */
    int status;
    const char *content_type;
    const char *encoding;  /* Content-Encoding, or NULL */
    hhttp_header_t *headers; /* the program's; owned */
    size_t header_count;
    hcodec_t *codec;
    char *memory;    /* what is sent instead of a file; owned */
    hbuf_t squeezed; /* by a thread, from squeezed_from bytes */
    size_t squeezed_from;
    http_range_t ranges[HTTP_RANGES_MAX];
    int range_count;
    int range_index;
    uint64_t offset; /* what is to be sent next, of the range that is being sent */
    uint64_t left;
    uint8_t is_inline;  /* on_done is not to be called: the call that began it returns the result */
    uint8_t is_gone;    /* the peer is */
    uint8_t is_multipart;
    uint8_t varies;     /* by Accept-Encoding */
    uint8_t is_awaiting_drain;
    uint8_t wants_slash; /* the request's path ended in '/' */
    uint8_t is_fallback; /* the fallback was tried, or is not to be */
    char boundary[20];
    char etag[64];
    char short_path[HTTP_JOB_PATH_BYTES];
};

#define PATH_SPARE 64 /* for an index or an ending behind a path */

/* ---- http_send.c ---- */

/* Answers with job->fd, whose facts are job->stat, which is a file. */
void hv__http_job_send(http_job_t *job);
/* The answer of the job is complete, or will not be: tells it, and frees the job. */
void hv__http_job_finish(http_job_t *job, int error);
/* Whether the peer has gone meanwhile; the job is finished then. */
int hv__http_job_is_over(http_job_t *job);
/* Answers with a status and its words. */
void hv__http_job_status(http_job_t *job, int status);
/* Makes a job; NULL where there is no memory. */
http_job_t *hv__http_job_new(hhttp_request_t *req, hhttp_done_cb on_done);
/* Copies a path into the job. Returns 0 or HV_ENOMEM. */
int hv__http_job_set_path(http_job_t *job, const char *path, size_t len);

/* ---- http_listing.c ---- */

/* Answers with a page of what is in the directory job->fd. */
void hv__http_job_list(http_job_t *job);

#endif
