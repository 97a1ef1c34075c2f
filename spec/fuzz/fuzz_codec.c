/* fuzz_codec.c - decompressing what a peer sends. The first byte chooses the format, the second how
 * it is cut. No input may bring out more than the limit, and where a stream is whole, cutting it
 * elsewhere gives the same bytes. */
#include "hcodec.h"

#define LIMIT 65536

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int64_t run(hcodec_t *codec, const uint8_t *data, size_t size, size_t step, char *out) {
    size_t used = 0;
    for (size_t at = 0; at < size; at += step) {
        size_t piece = size - at < step ? size - at : step;
        hcodec_input(codec, data + at, piece, at + piece == size ? HCODEC_FINISH : HCODEC_MORE);
        int64_t got;
        while ((got = hcodec_output(codec, out + used, LIMIT + 16 - used)) > 0) used += (size_t)got;
        if (got < 0) return got;
        if (used > LIMIT) __builtin_trap();
    }
    return (int64_t)used;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static char whole[LIMIT + 32], cut[LIMIT + 32];
    if (size < 3) return 0;
    hcodec_options_t options = {.output_bytes_max = LIMIT};
    hcodec_t *codec = hcodec_decompressor_new((hcodec_format_e)(data[0] % 4), &options);
    if (codec == NULL) return 0;
    int64_t len = run(codec, data + 2, size - 2, size, whole);
    hcodec_reset(codec);
    int64_t cut_len = run(codec, data + 2, size - 2, 1 + (size_t)data[1], cut);
    if (len >= 0 && cut_len != len) __builtin_trap();
    if (len > 0 && memcmp(whole, cut, (size_t)len) != 0) __builtin_trap();
    hcodec_free(codec);
    return 0;
}
