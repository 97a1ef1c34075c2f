/* hcodec_zlib.c - gzip, zlib and raw deflate by zlib. The only includer of zlib.
 *
 * A flush is complete when zlib comes back with room left; it is not asked again then, because it
 * would add one more empty block (zlib's manual, deflate). A "deflate" body whose first byte has
 * other low bits than 8 is raw: no zlib header begins so, and a raw stream would begin so only with
 * garbage in the padding of a stored block. */
#include "hcodec_int.h"

#include "hmem.h"

#include <limits.h>
#include <zlib.h>

static voidpf take_memory(voidpf opaque, uInt count, uInt size) {
    (void)opaque;
    return hv__malloc((size_t)count * size);
}

static void give_memory(voidpf opaque, voidpf block) {
    (void)opaque;
    hv__free(block);
}

static z_stream *stream_new(hcodec_t *codec) {
    z_stream *stream = hv__calloc(1, sizeof *stream);
    if (stream == NULL) return NULL;
    stream->zalloc = take_memory;
    stream->zfree = give_memory;
    codec->state = stream;
    return stream;
}

/* What zlib calls window bits: the format is coded in them. */
static int bits_of(const hcodec_t *codec) {
    int bits = codec->options.window_bits;
    if (codec->format == HCODEC_RAW_DEFLATE) return -bits;
    return codec->format == HCODEC_GZIP ? bits + 16 : bits;
}

/* Hands zlib as much as its counters hold. Returns the bytes of input given. */
static uInt give(hcodec_t *codec, char *out, size_t cap) {
    z_stream *stream = codec->state;
    uInt given = codec->in_len > UINT_MAX ? UINT_MAX : (uInt)codec->in_len;
    stream->next_in = (Bytef *)(uintptr_t)codec->in;
    stream->avail_in = given;
    stream->next_out = (Bytef *)out;
    stream->avail_out = cap > UINT_MAX ? UINT_MAX : (uInt)cap;
    return given;
}

/* Notes what was used. Returns the bytes written. */
static int64_t note(hcodec_t *codec, const char *out, uInt given) {
    const z_stream *stream = codec->state;
    size_t used = given - stream->avail_in;
    codec->in += used;
    codec->in_len -= used;
    return (const char *)stream->next_out - out;
}

/* ---- Compressing ---- */

static int deflate_open(hcodec_t *codec) {
    z_stream *stream = stream_new(codec);
    if (stream == NULL) return HV_ENOMEM;
    if (deflateInit2(stream, codec->options.level, Z_DEFLATED, bits_of(codec), 8,
                     Z_DEFAULT_STRATEGY) == Z_OK) {
        return 0;
    }
    hv__free(stream);
    return HV_ENOMEM;
}

static int deflate_reset(hcodec_t *codec) {
    return deflateReset(codec->state) == Z_OK ? 0 : HV_ENOMEM;
}

static void deflate_close(hcodec_t *codec) {
    deflateEnd(codec->state);
    hv__free(codec->state);
}

static int64_t deflate_step(hcodec_t *codec, char *out, size_t cap) {
    static const int flushes[] = {Z_NO_FLUSH, Z_SYNC_FLUSH, Z_FINISH};
    if (codec->has_ended) {
        codec->is_settled = 1;
        return 0;
    }
    z_stream *stream = codec->state;
    uInt given = give(codec, out, cap);
    int is_last = given == codec->in_len;
    int result = deflate(stream, is_last ? flushes[codec->flush] : Z_NO_FLUSH);
    int64_t written = note(codec, out, given);
    if (result == Z_STREAM_END) {
        codec->has_ended = codec->is_settled = 1;
    } else if (result != Z_OK && result != Z_BUF_ERROR) {
        return HV_EPROTO;
    } else if (is_last && stream->avail_out > 0 && codec->flush != HCODEC_FINISH) {
        codec->is_settled = 1;
    }
    return written;
}

const hcodec_kind_t hv__codec_deflate = {deflate_open, deflate_reset, deflate_close, deflate_step};

/* ---- Decompressing ---- */

static int inflate_open(hcodec_t *codec) {
    z_stream *stream = stream_new(codec);
    if (stream == NULL) return HV_ENOMEM;
    if (inflateInit2(stream, bits_of(codec)) == Z_OK) return 0;
    hv__free(stream);
    return HV_ENOMEM;
}

static int inflate_reset(hcodec_t *codec) {
    return inflateReset2(codec->state, bits_of(codec)) == Z_OK ? 0 : HV_ENOMEM;
}

static void inflate_close(hcodec_t *codec) {
    inflateEnd(codec->state);
    hv__free(codec->state);
}

/* Decides by the first byte, and at the end of a gzip member whether another one follows. */
static int prepare(hcodec_t *codec) {
    z_stream *stream = codec->state;
    if (codec->in_len == 0) return 0;
    if (codec->format == HCODEC_DEFLATE && stream->total_in == 0 && (codec->in[0] & 0x0f) != 8) {
        return inflateReset2(stream, -codec->options.window_bits);
    }
    if (!codec->has_ended || codec->format != HCODEC_GZIP || codec->has_trailer) return 0;
    if (codec->in[0] != 0x1f) {
        codec->has_trailer = 1;
        return 0;
    }
    codec->has_ended = 0;
    return inflateReset(stream);
}

static int64_t inflate_step(hcodec_t *codec, char *out, size_t cap) {
    z_stream *stream = codec->state;
    if (prepare(codec) != Z_OK) return HV_ENOMEM;
    if (codec->has_ended) {
        codec->is_settled = 1;
        return 0;
    }
    uInt given = give(codec, out, cap);
    int is_last = given == codec->in_len;
    int result = inflate(stream, Z_NO_FLUSH);
    int64_t written = note(codec, out, given);
    if (result == Z_STREAM_END) {
        codec->has_ended = 1; /* another member may follow: the next step tells */
    } else if (result == Z_MEM_ERROR) {
        return HV_ENOMEM;
    } else if (result != Z_OK && result != Z_BUF_ERROR) {
        return HV_EPROTO;
    } else if (is_last && codec->in_len == 0 && stream->avail_out > 0) {
        codec->is_settled = 1;
    }
    return written;
}

const hcodec_kind_t hv__codec_inflate = {inflate_open, inflate_reset, inflate_close, inflate_step};
