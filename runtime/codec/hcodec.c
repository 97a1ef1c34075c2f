/* hcodec.c - the codec as callers see it: options, limits, the end; the work is done by the
 * libraries behind hcodec_zlib.c and hcodec_brotli.c. */
#include "hcodec_int.h"

#include "hassert.h"
#include "hmem.h"
#include "hstr.h"

#include <string.h>

#define OUTPUT_BYTES_MIN 16

static int is_within(int value, int low, int high) { return value >= low && value <= high; }

/* Fills the defaults in. Returns 0 or HV_EINVAL. */
static int fill_options(hcodec_t *codec, const hcodec_options_t *options) {
    hcodec_options_t *filled = &codec->options;
    int is_brotli = codec->format == HCODEC_BROTLI;
    if (options != NULL) *filled = *options;
    if (filled->level == 0) filled->level = is_brotli ? 5 : 6;
    if (filled->window_bits == 0) filled->window_bits = is_brotli ? 18 : 15;
    if (filled->output_bytes_max == 0) filled->output_bytes_max = UINT64_MAX;
    if (!is_within(filled->level, 1, is_brotli ? 11 : 9)) return HV_EINVAL;
    if (is_brotli) return is_within(filled->window_bits, 10, 24) ? 0 : HV_EINVAL;
    return is_within(filled->window_bits, 9, 15) ? 0 : HV_EINVAL;
}

static hcodec_t *codec_new(hcodec_format_e format, const hcodec_options_t *options,
                           int is_decompressor) {
    hcodec_t *codec = hv__calloc(1, sizeof *codec);
    if (codec == NULL) return NULL;
    codec->format = format;
    codec->is_decompressor = (uint8_t)is_decompressor;
    codec->is_settled = 1;
    if (format == HCODEC_BROTLI) {
        codec->kind = is_decompressor ? &hv__codec_unbrotli : &hv__codec_brotli;
    } else {
        codec->kind = is_decompressor ? &hv__codec_inflate : &hv__codec_deflate;
    }
    if (fill_options(codec, options) != 0 || codec->kind->open(codec) != 0) {
        hv__free(codec);
        return NULL;
    }
    return codec;
}

hcodec_t *hcodec_compressor_new(hcodec_format_e format, const hcodec_options_t *options) {
    return codec_new(format, options, 0);
}

hcodec_t *hcodec_decompressor_new(hcodec_format_e format, const hcodec_options_t *options) {
    return codec_new(format, options, 1);
}

void hcodec_free(hcodec_t *codec) {
    if (codec == NULL) return;
    codec->kind->close(codec);
    hv__free(codec);
}

int hcodec_reset(hcodec_t *codec) {
    codec->in = NULL;
    codec->in_len = 0;
    codec->output_bytes = 0;
    codec->is_settled = 1;
    codec->has_ended = codec->has_failed = codec->has_trailer = 0;
    int code = codec->kind->reset(codec);
    if (code != 0) codec->has_failed = 1;
    return code;
}

void hcodec_input(hcodec_t *codec, const void *data, size_t len, hcodec_flush_e flush) {
    HV_ASSERT(codec->is_settled || codec->has_failed);
    codec->in = data;
    codec->in_len = len;
    codec->flush = flush;
    codec->is_settled = 0;
}

/* Room for at most one byte beyond the limit, by which it is seen to be passed. */
static size_t limit_room(const hcodec_t *codec, size_t cap) {
    uint64_t left = codec->options.output_bytes_max - codec->output_bytes;
    return codec->is_decompressor && left < cap ? (size_t)left + 1 : cap;
}

static int64_t fail(hcodec_t *codec, int64_t code) {
    codec->has_failed = 1;
    return code;
}

int64_t hcodec_output(hcodec_t *codec, void *out, size_t cap) {
    HV_ASSERT(cap >= OUTPUT_BYTES_MIN);
    if (codec->has_failed) return HV_EPROTO;
    int64_t written = 0;
    while (written == 0 && !codec->is_settled) {
        written = codec->kind->step(codec, out, limit_room(codec, cap));
        if (written < 0) return fail(codec, written);
    }
    codec->output_bytes += (uint64_t)written;
    if (codec->is_decompressor) {
        if (codec->output_bytes > codec->options.output_bytes_max) return fail(codec, HV_ELIMIT);
        int is_short = codec->is_settled && !codec->has_ended && codec->flush == HCODEC_FINISH;
        if (is_short && written == 0) return fail(codec, HV_EPROTO);
    }
    return written;
}

int hcodec_has_ended(const hcodec_t *codec) { return codec->has_ended; }

size_t hcodec_unused(const hcodec_t *codec) { return codec->has_ended ? codec->in_len : 0; }

/* ---- All at once ---- */

#define BLOCK_BYTES 4096

static int run_all(hcodec_t *codec, const void *data, size_t len, char **out, size_t *out_len) {
    char *result = NULL;
    size_t cap = 0, used = 0;
    hcodec_input(codec, data, len, HCODEC_FINISH);
    for (;;) {
        if (cap - used < OUTPUT_BYTES_MIN) {
            size_t grown_cap = cap > 0 ? cap * 2 : BLOCK_BYTES;
            char *grown = hv__realloc(result, grown_cap);
            if (grown == NULL) {
                hv__free(result);
                return HV_ENOMEM;
            }
            result = grown;
            cap = grown_cap;
        }
        int64_t got = hcodec_output(codec, result + used, cap - used);
        if (got < 0) {
            hv__free(result);
            return (int)got;
        }
        if (got == 0) break;
        used += (size_t)got;
    }
    *out = result;
    *out_len = used;
    return 0;
}

int hcodec_compress(hcodec_format_e format, int level, const void *data, size_t len, char **out,
                    size_t *out_len) {
    hcodec_options_t options = {.level = level};
    hcodec_t *codec = hcodec_compressor_new(format, &options);
    if (codec == NULL) return HV_ENOMEM;
    int code = run_all(codec, data, len, out, out_len);
    hcodec_free(codec);
    return code;
}

int hcodec_decompress(hcodec_format_e format, const void *data, size_t len, size_t max, char **out,
                      size_t *out_len) {
    hcodec_options_t options = {.output_bytes_max = max};
    hcodec_t *codec = hcodec_decompressor_new(format, &options);
    if (codec == NULL) return HV_ENOMEM;
    int code = run_all(codec, data, len, out, out_len);
    hcodec_free(codec);
    return code;
}

/* ---- Names ---- */

const char *hcodec_name(hcodec_format_e format) {
    static const char *const names[] = {"gzip", "deflate", "", "br"};
    return names[format];
}

int hcodec_by_name(const char *name, size_t len) {
    hstr_t text = {name, len};
    if (hstr_equals_nocase(text, HSTR_LITERAL("gzip")) ||
        hstr_equals_nocase(text, HSTR_LITERAL("x-gzip"))) {
        return HCODEC_GZIP;
    }
    if (hstr_equals_nocase(text, HSTR_LITERAL("deflate"))) return HCODEC_DEFLATE;
    return hstr_equals_nocase(text, HSTR_LITERAL("br")) ? HCODEC_BROTLI : HV_ENOTFOUND;
}
