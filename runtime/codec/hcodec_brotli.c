/* hcodec_brotli.c - RFC 7932 by Google's library. The only includer of brotli.
 *
 * The encoder (1.0.9 as Debian builds it) ends the process where its allocator gives NULL. Ours
 * never does: it jumps back to where the encoder was called, and all blocks of that encoder, which
 * are kept in a list, are freed. The decoder reports the lack of memory itself. */
#include "hcodec_int.h"

#include "hassert.h"
#include "hmem.h"

#include <brotli/decode.h>
#include <brotli/encode.h>
#include <setjmp.h>
#include <stddef.h>

/* ---- Compressing ---- */

/* Before each block of an encoder. */
typedef struct block_s {
    struct block_s *next;
    struct block_s *prev;
    max_align_t bytes[];
} block_t;

typedef struct encoder_s {
    BrotliEncoderState *state; /* NULL once memory has failed */
    block_t *blocks;
    jmp_buf out_of_memory; /* set while the library runs */
} encoder_t;

static void *take_tracked(void *opaque, size_t size) {
    encoder_t *encoder = opaque;
    block_t *block = hv__malloc(sizeof *block + size);
    if (block == NULL) longjmp(encoder->out_of_memory, 1);
    block->prev = NULL;
    block->next = encoder->blocks;
    if (block->next != NULL) block->next->prev = block;
    encoder->blocks = block;
    return block->bytes;
}

static void give_tracked(void *opaque, void *memory) {
    encoder_t *encoder = opaque;
    if (memory == NULL) return;
    block_t *block = (block_t *)(void *)((char *)memory - offsetof(block_t, bytes));
    if (block->prev != NULL) {
        block->prev->next = block->next;
    } else {
        encoder->blocks = block->next;
    }
    if (block->next != NULL) block->next->prev = block->prev;
    hv__free(block);
}

/* The library's state is not called any more. */
static int drop_all(encoder_t *encoder) {
    while (encoder->blocks != NULL) give_tracked(encoder, encoder->blocks->bytes);
    encoder->state = NULL;
    return HV_ENOMEM;
}

static int encoder_begin(hcodec_t *codec) {
    encoder_t *encoder = codec->state;
    if (setjmp(encoder->out_of_memory) != 0) return drop_all(encoder);
    encoder->state = BrotliEncoderCreateInstance(take_tracked, give_tracked, encoder);
    if (encoder->state == NULL) return drop_all(encoder);
    BrotliEncoderSetParameter(encoder->state, BROTLI_PARAM_QUALITY,
                              (uint32_t)codec->options.level);
    BrotliEncoderSetParameter(encoder->state, BROTLI_PARAM_LGWIN,
                              (uint32_t)codec->options.window_bits);
    return 0;
}

static int encoder_open(hcodec_t *codec) {
    codec->state = hv__calloc(1, sizeof(encoder_t));
    if (codec->state == NULL) return HV_ENOMEM;
    int code = encoder_begin(codec);
    if (code != 0) hv__free(codec->state);
    return code;
}

static void encoder_close(hcodec_t *codec) {
    encoder_t *encoder = codec->state;
    drop_all(encoder);
    hv__free(encoder);
}

static int encoder_reset(hcodec_t *codec) {
    drop_all(codec->state);
    return encoder_begin(codec);
}

static int64_t encoder_step(hcodec_t *codec, char *out, size_t cap) {
    static const BrotliEncoderOperation operations[] = {
        BROTLI_OPERATION_PROCESS, BROTLI_OPERATION_FLUSH, BROTLI_OPERATION_FINISH};
    encoder_t *encoder = codec->state;
    HV_ASSERT(encoder->state != NULL);
    if (setjmp(encoder->out_of_memory) != 0) return drop_all(encoder);
    size_t room = cap;
    uint8_t *at = (uint8_t *)out;
    if (!BrotliEncoderCompressStream(encoder->state, operations[codec->flush], &codec->in_len,
                                     &codec->in, &room, &at, NULL)) {
        return HV_ENOMEM;
    }
    if (codec->in_len == 0 && !BrotliEncoderHasMoreOutput(encoder->state)) {
        codec->has_ended = BrotliEncoderIsFinished(encoder->state) ? 1 : 0;
        codec->is_settled = 1;
    }
    return (int64_t)(cap - room);
}

const hcodec_kind_t hv__codec_brotli = {encoder_open, encoder_reset, encoder_close, encoder_step};

/* ---- Decompressing ---- */

static void *take_memory(void *opaque, size_t size) {
    (void)opaque;
    return hv__malloc(size);
}

static void give_memory(void *opaque, void *block) {
    (void)opaque;
    hv__free(block);
}

static int decoder_open(hcodec_t *codec) {
    codec->state = BrotliDecoderCreateInstance(take_memory, give_memory, NULL);
    return codec->state != NULL ? 0 : HV_ENOMEM;
}

static void decoder_close(hcodec_t *codec) {
    if (codec->state != NULL) BrotliDecoderDestroyInstance(codec->state);
}

static int decoder_reset(hcodec_t *codec) {
    decoder_close(codec);
    return decoder_open(codec);
}

static int is_memory_error(BrotliDecoderErrorCode code) {
    return code <= BROTLI_DECODER_ERROR_ALLOC_CONTEXT_MODES &&
           code >= BROTLI_DECODER_ERROR_ALLOC_BLOCK_TYPE_TREES;
}

static int64_t decoder_step(hcodec_t *codec, char *out, size_t cap) {
    if (codec->has_ended) {
        codec->is_settled = 1;
        return 0;
    }
    size_t room = cap;
    uint8_t *at = (uint8_t *)out;
    switch (BrotliDecoderDecompressStream(codec->state, &codec->in_len, &codec->in, &room, &at,
                                          NULL)) {
    case BROTLI_DECODER_RESULT_SUCCESS: codec->has_ended = codec->is_settled = 1; break;
    case BROTLI_DECODER_RESULT_NEEDS_MORE_INPUT: codec->is_settled = 1; break;
    case BROTLI_DECODER_RESULT_NEEDS_MORE_OUTPUT: break;
    default:
        return is_memory_error(BrotliDecoderGetErrorCode(codec->state)) ? HV_ENOMEM : HV_EPROTO;
    }
    return (int64_t)(cap - room);
}

const hcodec_kind_t hv__codec_unbrotli = {decoder_open, decoder_reset, decoder_close, decoder_step};
