/* http_coding.h - an answer that is tagged or compressed on its way out. Private to http_coding.c,
 * the answers (http_response.c) and the files (http_send.c).
 *
 * hhttp_response_compress hangs a coding on the request. The first call that answers takes it and
 * decides; where the answer goes out in pieces and is compressed, it hangs there until the end. */
#ifndef HV_HTTP_CODING_H_
#define HV_HTTP_CODING_H_

#include "hcodec.h"
#include "http_int.h"

struct http_coding_s {
    hhttp_compress_t rules;
    uint8_t compresses;
    uint8_t tags; /* gives answers an ETag */
    hcodec_t *codec;      /* NULL until an answer in pieces has begun */
    uint64_t length_left; /* of what the program has promised; UINT64_MAX: nothing */
};

/* The same as hhttp_respond_with and its kin, for a request that has a coding. */
int hv__http_coded_respond(hhttp_request_t *req, const h1_response_t *response, const void *body,
                           size_t len);
int hv__http_coded_begin(hhttp_request_t *req, const h1_response_t *response, int64_t length);
int hv__http_coded_write(hhttp_request_t *req, const void *data, size_t len);
/* Writes what the compressor still holds; the caller ends the answer. */
int hv__http_coded_finish(hhttp_request_t *req);
/* Takes a coding off, and frees it. Nothing happens where there is none. */
void hv__http_coding_drop(hhttp_request_t *req);

/* Whether a type is among those that are compressed. */
int hv__http_coding_covers(const hhttp_compress_t *rules, hhttp_slice_t type);
/* The weight that a client gives a coding, 0..1000, by all of its lines of Accept-Encoding. */
int hv__http_coding_accepted(const hhttp_request_t *req, const char *coding);
/* Makes a compressor by what a client accepts. NULL: it accepts none, or there is no memory. */
hcodec_t *hv__http_coding_compressor(const hhttp_compress_t *rules, const hhttp_request_t *req,
                                     hcodec_format_e *format);
/* Puts bytes through a compressor. Any thread. Returns 0, or a code. */
int hv__http_squeeze(hcodec_t *codec, const void *data, size_t len, hcodec_flush_e flush,
                     hbuf_t *out);

/* http_send.c: sends a copy of `body` through a compressor, which it takes, piece by piece in
 * threads. The head is written. Returns 0 or a code; the compressor is taken in any case. */
int hv__http_job_squeeze(hhttp_request_t *req, hcodec_t *codec, const void *body, size_t len);

#endif
