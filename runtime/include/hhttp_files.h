/* hhttp_files.h - HTTP answers from files: a directory that is served, or one file that the program
 * chooses.
 *
 *     hhttp_files_t *files = hhttp_files_new(loop, "public", NULL);
 *     static void on_request(hhttp_request_t *req, void *userdata) {
 *         if (hhttp_files_serve(userdata, req, hhttp_request_path(req), NULL) < 0) ...
 *     }
 *
 * Nothing here waits for a disk in the loop's thread: what is not in memory is opened and read by
 * threads. Small files leave in one system call with their head, long ones by sendfile; over TLS
 * they are read and written. A slow peer holds no more than a piece of its file. */
#ifndef HV_HTTP_FILES_H_
#define HV_HTTP_FILES_H_

#include "hhttp.h"

HV_BEGIN_DECLS

typedef struct hhttp_files_s hhttp_files_t;

/* Called once when the answer is complete (error 0), or has failed. A peer that went away is
 * HV_ECLOSED. */
typedef void (*hhttp_done_cb)(hhttp_request_t *req, int error);

/* A field left 0 or NULL takes the default named beside it. */
typedef struct hhttp_files_options_s {
    const char *index;         /* "index.html"; the file that stands for a directory; "" for none */
    const char *cache_control; /* the Cache-Control header; none is sent */
    const char *fallback;      /* a file below the directory that is sent, with 200, for paths that
                                  are missing and whose last name has no '.'; none */
    int lists;                 /* directories without index are listed */
    int shows_hidden;          /* names that begin with '.' are served and listed */
    int follows_no_links;      /* else links are followed that stay below the directory */
    int no_precompressed; /* else name.br and name.gz are sent for `name` where that is accepted */
    int no_compression;        /* else text is compressed where that is accepted */
    int leaves_misses;         /* what is not there (HV_ENOTFOUND) or may not be read (-EACCES) is
                                  reported with nothing answered, in place of 404 and 403 */
} hhttp_files_options_t;

/* Opens a directory to serve.
 *   dir      blocks for a moment: call it when the program starts
 *   options  copied
 * Returns NULL with hloop_last_error set: -ENOENT, -ENOTDIR, -EACCES, HV_ENOMEM. Free it with
 * hhttp_files_free; requests that are being served keep what they need. */
HV_EXPORT hhttp_files_t *hhttp_files_new(hloop_t *loop, const char *dir,
                                         const hhttp_files_options_t *options);
HV_EXPORT void hhttp_files_free(hhttp_files_t *files);

/* Answers a request from below the directory: 200, 206 with one range or several, 304, 412, 416 by
 * the request's conditions (RFC 9110 sections 13, 14); 301 to a directory without its '/'; 404 for
 * what is not there, is hidden, is no file, or would lead out; 403 where permission is missing; 405
 * for other methods than GET and HEAD.
 *   path     below the directory, percent-encoded, with or without '/' before it
 *   on_done  called once later where 0 is returned; may be NULL
 * Returns 1 where the answer is complete already; 0; HV_ECLOSED, HV_EBUSY where an answer has
 * begun; HV_ENOTFOUND, -EACCES with leaves_misses. */
HV_EXPORT int hhttp_files_serve(hhttp_files_t *files, hhttp_request_t *req, hhttp_slice_t path,
                                hhttp_done_cb on_done);
/* The same with headers of the program's beside those of a file; they are borrowed until the call
 * returns. Also HV_EINVAL for a bad one, HV_ELIMIT. */
HV_EXPORT int hhttp_files_serve_with(hhttp_files_t *files, hhttp_request_t *req, hhttp_slice_t path,
                                     const hhttp_header_t *headers, size_t count,
                                     hhttp_done_cb on_done);

/* How one file is sent; a field left 0 or NULL takes the default named beside it. */
typedef struct hhttp_file_options_s {
    int status; /* 200; with another one ranges and conditions are not looked at */
    const char *content_type;      /* by the ending of the name; application/octet-stream */
    /* As of hhttp_respond_with; none; borrowed until the call returns. */
    const hhttp_header_t *headers;
    size_t header_count;
} hhttp_file_options_t;

/* Answers with a file that the program chooses: conditions, ranges as above. A path that comes from
 * a peer belongs into hhttp_files_serve.
 *   on_done  with -ENOENT, -EACCES, -EISDIR ... nothing has been answered yet: the program does
 * Returns 0; HV_ECLOSED, HV_EBUSY, HV_EINVAL for a bad header, HV_ENOMEM. */
HV_EXPORT int hhttp_respond_file(hhttp_request_t *req, const char *path,
                                 const hhttp_file_options_t *options, hhttp_done_cb on_done);

/* The media type of a file name by its ending: the system's (/etc/mime.types), or a table of common
 * ones; NULL where nobody knows. A static string, without charset. */
HV_EXPORT const char *hhttp_mime_type(const char *name, size_t len);

HV_END_DECLS

#endif
