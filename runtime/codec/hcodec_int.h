/* hcodec_int.h - what hcodec.c asks of a library: one table each for zlib and brotli. */
#ifndef HV_CODEC_INT_H_
#define HV_CODEC_INT_H_

#include "hcodec.h"

typedef struct hcodec_kind_s {
    /* Makes codec->state. Returns 0 or HV_ENOMEM. */
    int (*open)(hcodec_t *codec);
    int (*reset)(hcodec_t *codec);
    void (*close)(hcodec_t *codec);
    /* Uses codec->in and writes up to `cap` bytes. Sets is_settled where this piece gives no more,
     * has_ended at the end of the stream. Returns the bytes written or a negative code. */
    int64_t (*step)(hcodec_t *codec, char *out, size_t cap);
} hcodec_kind_t;

struct hcodec_s {
    const hcodec_kind_t *kind;
    void *state; /* the library's */
    hcodec_format_e format;
    hcodec_options_t options; /* filled in */
    const uint8_t *in;
    size_t in_len;
    hcodec_flush_e flush;
    uint64_t output_bytes;
    uint8_t is_decompressor;
    uint8_t is_settled; /* nothing more comes of this piece */
    uint8_t has_ended;
    uint8_t has_failed;
    uint8_t has_trailer; /* of gzip: something else than a member stands behind the last one */
};

extern const hcodec_kind_t hv__codec_deflate;
extern const hcodec_kind_t hv__codec_inflate;
extern const hcodec_kind_t hv__codec_brotli;
extern const hcodec_kind_t hv__codec_unbrotli;

#endif
