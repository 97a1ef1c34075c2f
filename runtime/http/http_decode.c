/* http_decode.c - response bodies that are coded (RFC 9110 section 8.4): gzip, deflate, br.
 *
 * Coded bytes are copied here, a little at a time, and unpacked a piece at a time, so that a call
 * that is paused in the middle of what a few bytes have become goes on there later: nothing is
 * unpacked that nobody takes. Beyond body_bytes_max the call ends, whatever is still packed. */
#include "hcodec.h"
#include "http_client_int.h"

#define CODED_BYTES   4096
#define DECODED_BYTES (64 * 1024)

struct http_decoder_s {
    hcodec_t *codec;
    int has_input; /* what was given is not used up */
    int was_fed;
    int is_finished; /* the body has ended, and the codec knows */
    char coded[CODED_BYTES];
    char decoded[DECODED_BYTES];
};

int hv__http_decoder_begin(hhttp_call_t *call) {
    hhttp_slice_t coding = hhttp_call_header(call, "content-encoding", 16);
    /* A part of a coded body cannot be decoded by itself. */
    if (coding.data == NULL || coding.len == 0 || call->reply.status == 206) return 0;
    int format = hcodec_by_name(coding.data, coding.len);
    if (format < 0) return 0;
    hcodec_options_t options = {.output_bytes_max = call->options.body_bytes_max};
    http_decoder_t *decoder = hv__malloc(sizeof *decoder);
    if (decoder == NULL) return HV_ENOMEM;
    decoder->has_input = decoder->was_fed = decoder->is_finished = 0;
    decoder->codec = hcodec_decompressor_new((hcodec_format_e)format, &options);
    call->decoder = decoder;
    return decoder->codec != NULL ? 0 : HV_ENOMEM;
}

void hv__http_decoder_free(http_decoder_t *decoder) {
    if (decoder == NULL) return;
    hcodec_free(decoder->codec);
    hv__free(decoder);
}

size_t hv__http_decoder_room(const http_decoder_t *decoder) {
    return decoder->has_input ? 0 : sizeof decoder->coded;
}

void hv__http_decoder_give(http_decoder_t *decoder, const char *data, size_t len) {
    HV_ASSERT(!decoder->has_input && len <= sizeof decoder->coded);
    memcpy(decoder->coded, data, len);
    hcodec_input(decoder->codec, decoder->coded, len, HCODEC_MORE);
    decoder->has_input = decoder->was_fed = 1;
}

void hv__http_decoder_finish(http_decoder_t *decoder) {
    decoder->is_finished = 1;
    /* A response may have a coding and no body at all. */
    if (!decoder->was_fed || hcodec_has_ended(decoder->codec)) return;
    hcodec_input(decoder->codec, decoder->coded, 0, HCODEC_FINISH);
    decoder->has_input = 1;
}

int hv__http_decoder_is_busy(const http_decoder_t *decoder) {
    return decoder->has_input;
}
int hv__http_decoder_is_finished(const http_decoder_t *decoder) {
    return decoder->is_finished;
}

void hv__http_decoder_step(hhttp_call_t *call) {
    http_decoder_t *decoder = call->decoder;
    int64_t len = hcodec_output(decoder->codec, decoder->decoded, sizeof decoder->decoded);
    if (len <= 0) decoder->has_input = 0;
    if (len < 0) {
        hv__http_call_end(call, (int)len,
                          len == HV_ELIMIT   ? "the decoded body is longer than allowed"
                          : len == HV_EPROTO ? "the coded body is malformed or cut short"
                                             : NULL);
    } else if (len > 0 && call->options.on_data != NULL) {
        hloop_t *loop = call->client->loop;
        HV_DISPATCH(loop, call->options.on_data(call, decoder->decoded, (size_t)len));
    }
}
