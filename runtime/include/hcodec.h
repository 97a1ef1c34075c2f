/* hcodec.h - compression as a stream: gzip, deflate, raw deflate and brotli, both ways. Pure:
 * memory in, memory out; one codec for one thread at a time.
 *
 *     hcodec_t *codec = hcodec_compressor_new(HCODEC_GZIP, NULL);
 *     hcodec_input(codec, text, len, HCODEC_FINISH);
 *     while ((got = hcodec_output(codec, out, sizeof out)) > 0) send(out, got);
 *     hcodec_free(codec);
 *
 * What comes in is given piece by piece; each piece is used up by calls of hcodec_output until it
 * returns 0. A decompressor checks all it reads, and stops at a limit of the caller's, so that a
 * few bytes cannot become gigabytes. */
#ifndef HV_CODEC_H_
#define HV_CODEC_H_

#include "hdef.h"
#include "herr.h"

HV_BEGIN_DECLS

typedef enum {
    HCODEC_GZIP, /* RFC 1952; "gzip" and "x-gzip" of HTTP. Several members in a row are one */
    HCODEC_DEFLATE,     /* RFC 1950 (zlib); "deflate" of HTTP. Reading takes raw deflate as well,
                           which many servers send by that name */
    HCODEC_RAW_DEFLATE, /* RFC 1951; permessage-deflate */
    HCODEC_BROTLI,      /* RFC 7932; "br" */
} hcodec_format_e;

typedef enum {
    HCODEC_MORE,   /* more input follows; output may be held back */
    HCODEC_FLUSH,  /* everything given so far comes out (deflate: up to an empty stored block) */
    HCODEC_FINISH, /* this was the last input */
} hcodec_flush_e;

/* A field left 0 takes the default named beside it. */
typedef struct hcodec_options_s {
    int level;       /* 1 fast .. 9 small, 11 for brotli; 6, brotli 5 */
    int window_bits; /* of compressors and of raw deflate: 9..15, brotli 10..24; 15, brotli 18 */
    uint64_t output_bytes_max; /* of a decompressor, in all since new or reset; no limit */
} hcodec_options_t;

typedef struct hcodec_s hcodec_t;

/* Makes one of either kind.
 *   options  copied; NULL for the defaults
 * Returns NULL where there is no memory or an option is out of range. Free with hcodec_free. */
HV_EXPORT hcodec_t *hcodec_compressor_new(hcodec_format_e format, const hcodec_options_t *options);
HV_EXPORT hcodec_t *hcodec_decompressor_new(hcodec_format_e format,
                                            const hcodec_options_t *options);
HV_EXPORT void hcodec_free(hcodec_t *codec);

/* Begins a new stream with the same options. Returns 0 or HV_ENOMEM (then only hcodec_free). */
HV_EXPORT int hcodec_reset(hcodec_t *codec);

/* Gives the next piece. The piece before it must be used up (hcodec_output has returned 0).
 *   data  borrowed until it is used up
 *   flush for a decompressor only HCODEC_FINISH matters: a stream that has not ended by then is cut
 *         short, HV_EPROTO */
HV_EXPORT void hcodec_input(hcodec_t *codec, const void *data, size_t len, hcodec_flush_e flush);

/* Takes output.
 *   out, cap  room, at least 16 bytes
 * Returns the bytes written; 0 once the piece is used up and what the flush asks for is out, or the
 * stream has ended; HV_EPROTO for malformed data, HV_ELIMIT beyond output_bytes_max, HV_ENOMEM.
 * After an error only hcodec_reset and hcodec_free are of use. */
HV_EXPORT int64_t hcodec_output(hcodec_t *codec, void *out, size_t cap);

/* Whether a decompressor has read the end of its stream, or a compressor has finished. */
HV_EXPORT int hcodec_has_ended(const hcodec_t *codec);
/* Bytes of the last input that stand behind the end of the stream. */
HV_EXPORT size_t hcodec_unused(const hcodec_t *codec);

/* All in one call.
 *   out  gives the result and its length; free it with hv_free
 *   max  the most bytes it may have; 0 for no limit
 * Returns 0, HV_EPROTO, HV_ELIMIT, HV_ENOMEM. */
HV_EXPORT int hcodec_compress(hcodec_format_e format, int level, const void *data, size_t len,
                              char **out, size_t *out_len);
HV_EXPORT int hcodec_decompress(hcodec_format_e format, const void *data, size_t len, size_t max,
                                char **out, size_t *out_len);

/* The name of a format as a content coding (RFC 9110 section 8.4.1): "gzip", "deflate", "br"; ""
 * for raw deflate, which is none. */
HV_EXPORT const char *hcodec_name(hcodec_format_e format);
/* The format of a content coding, in any case; HV_ENOTFOUND. */
HV_EXPORT int hcodec_by_name(const char *name, size_t len);

HV_END_DECLS

#endif
