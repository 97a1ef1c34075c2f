/* ws_inflate.c - permessage-deflate of what arrives (RFC 7692 section 7.2.2).
 *
 * A message is inflated piece by piece as it comes, and stopped at the first byte beyond the limit
 * or that is no UTF-8, so a bomb costs no more memory than a message may. A socket whose peer keeps
 * no context borrows a codec of the hub's between a message's first byte and its last. */
#include "ws_int.h"

#define STEP_BYTES 16384

static hcodec_t *take_inflater(hws_hub_t *hub) {
    if (hub->inflater_count > 0) return hub->inflaters[--hub->inflater_count];
    /* The largest window reads what any other has written. */
    return hcodec_decompressor_new(HCODEC_RAW_DEFLATE, NULL);
}

static void give_inflater(hws_hub_t *hub, hcodec_t *codec) {
    if (hub->inflater_count < WS_SPARE_CODECS && hcodec_reset(codec) == 0) {
        hub->inflaters[hub->inflater_count++] = codec;
    } else {
        hcodec_free(codec);
    }
}

void hv__ws_free_codecs(hws_t *ws) {
    ws_work_t *work = ws->work;
    if (work == NULL) return;
    if (work->inflater != NULL) give_inflater(ws->endpoint->hub, work->inflater);
    hcodec_free(work->deflater);
    work->inflater = work->deflater = NULL;
}

/* Takes what the input gives. Returns 0 or a close code, negative. */
static int drain(hws_t *ws, int is_text) {
    ws_work_t *work = ws->work;
    uint64_t max = ws->endpoint->options.message_bytes_max;
    for (;;) {
        size_t have = hbuf_len(&work->message);
        /* One byte more than is allowed tells that there is too much. */
        size_t most = (size_t)(max - have) + 1;
        size_t room = most < STEP_BYTES ? most : STEP_BYTES;
        if (room < 16) room = 16;
        if (hbuf_reserve(&work->message, room, INT32_MAX) != 0) return -WS_CODE_INTERNAL;
        char *at = hbuf_tail(&work->message);
        int64_t got = hcodec_output(work->inflater, at, room);
        if (got == HV_ENOMEM) return -WS_CODE_INTERNAL;
        if (got < 0) return -WS_CODE_BAD_DATA;
        if (got == 0) return 0;
        if ((uint64_t)have + (uint64_t)got > max) return -WS_CODE_TOO_BIG;
        if (is_text && ws_utf8_feed(&work->utf8, at, (size_t)got) != 0) return -WS_CODE_BAD_DATA;
        hbuf_commit(&work->message, (size_t)got);
    }
}

static int feed(hws_t *ws, const char *data, size_t len, int is_text) {
    ws_work_t *work = ws->work;
    while (len > 0) {
        if (hcodec_has_ended(work->inflater)) {
            /* A final block is followed by a new stream (section 7.2.3.4). */
            if (hcodec_reset(work->inflater) != 0) return -WS_CODE_INTERNAL;
        }
        hcodec_input(work->inflater, data, len, HCODEC_MORE);
        int code = drain(ws, is_text);
        if (code != 0) return code;
        size_t unused = hcodec_has_ended(work->inflater) ? hcodec_unused(work->inflater) : 0;
        HV_ASSERT(unused < len);
        data += len - unused;
        len = unused;
    }
    return 0;
}

/* Puts back the four bytes that every flush ends in. Behind them a block must begin: an empty one
 * then gives nothing and does no harm, where a message that was cut inside a block would take it
 * for data. */
static int feed_tail(hws_t *ws, int is_text) {
    ws_work_t *work = ws->work;
    int code = feed(ws, "\x00\x00\xff\xff", 4, is_text);
    size_t len = hbuf_len(&work->message);
    if (code == 0) code = feed(ws, "\x00\x00\x00\xff\xff", 5, is_text);
    return code == 0 && hbuf_len(&work->message) != len ? -WS_CODE_BAD_DATA : code;
}

int hv__ws_inflate(hws_t *ws, const ws_piece_t *piece) {
    ws_work_t *work = hv__ws_work(ws);
    if (work == NULL) return -WS_CODE_INTERNAL;
    int is_text = piece->opcode == WS_TEXT;
    if (piece->is_first) work->utf8 = (ws_utf8_t){0};
    if (work->inflater == NULL) work->inflater = take_inflater(ws->endpoint->hub);
    if (work->inflater == NULL) return -WS_CODE_INTERNAL;
    int code = feed(ws, piece->data, piece->len, is_text);
    if (code != 0 || !piece->is_last) return code;
    if (!hcodec_has_ended(work->inflater)) code = feed_tail(ws, is_text);
    if (code != 0) return code;
    if (is_text && !ws_utf8_is_whole(&work->utf8)) return -WS_CODE_BAD_DATA;
    if (!(ws->flags & WSF_IN_CONTEXT)) {
        give_inflater(ws->endpoint->hub, work->inflater);
        work->inflater = NULL;
    }
    return 0;
}
