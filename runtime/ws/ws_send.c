/* ws_send.c - frames on their way out.
 *
 * A frame is built where it leaves from: where the net room has room for it (hv__io_place), head
 * and payload are written, and masked, right there; else the head is put in front by a write of its
 * own, which the net room gathers with the payload's. */
#include "ws_int.h"

#include "hcrypto.h"

#define PIECE_BYTES 4096 /* of a long payload that is masked */

/* ---- Masks ---- */

/* Takes a new mask, from the system's random bytes (RFC 6455 section 5.3, 10.3), of which a pool is
 * fetched at once. Returns 0 or a negative code. */
static int next_mask(hws_hub_t *hub, uint8_t mask[4]) {
    if (hub->mask_left < 4) {
        int code = hcrypto_random(hub->mask_pool, sizeof hub->mask_pool);
        if (code != 0) return code;
        hub->mask_left = sizeof hub->mask_pool;
    }
    hub->mask_left -= 4;
    memcpy(mask, hub->mask_pool + hub->mask_left, 4);
    return 0;
}

/* ---- Frames ---- */

/* Whether a frame of that many bytes may be queued. */
static int check_room(const hws_t *ws, size_t len) {
    if (len > INT32_MAX - WS_HEAD_BYTES_MAX) return HV_ELIMIT;
    if (hio_write_bufsize(ws->io) + len + WS_HEAD_BYTES_MAX > ws->io->write_max) return HV_ELIMIT;
    return 0;
}

/* Half a frame cannot stay: what follows would be read as its rest. */
static int write_or_cut(hws_t *ws, const void *data, size_t len) {
    int written = hio_write(ws->io, data, len);
    if (written >= 0) return 0;
    hv__ws_cut(ws, written);
    return written == HV_ENOMEM ? HV_ENOMEM : HV_ECLOSED;
}

/* The payload masked on its way, piece by piece. */
static int write_masked(hws_t *ws, const char *data, size_t len, const uint8_t mask[4]) {
    char piece[PIECE_BYTES]; /* a multiple of 4: the mask begins anew with each piece */
    int code = 0;
    for (size_t at = 0; at < len && code == 0; at += sizeof piece) {
        size_t part = len - at < sizeof piece ? len - at : sizeof piece;
        ws_mask(piece, data + at, part, mask);
        code = write_or_cut(ws, piece, part);
    }
    return code;
}

int hv__ws_write_frame(hws_t *ws, uint8_t first, const void *data, size_t len) {
    uint8_t head[WS_HEAD_BYTES_MAX], mask[4];
    int is_masked = ws_is_client(ws);
    int code = is_masked ? next_mask(ws->endpoint->hub, mask) : 0;
    if (code != 0) return code;
    size_t head_len = ws_head_len(len, is_masked);
    char *place = hv__io_place(ws->io, head_len + len);
    if (HV_LIKELY(place != NULL)) {
        ws_write_head((uint8_t *)place, first, len, is_masked ? mask : NULL);
        if (is_masked) {
            ws_mask(place + head_len, data, len, mask);
        } else if (len > 0) {
            memcpy(place + head_len, data, len);
        }
        return 0;
    }
    code = check_room(ws, len);
    if (code != 0) return code;
    ws_write_head(head, first, len, is_masked ? mask : NULL);
    code = write_or_cut(ws, head, head_len);
    if (code != 0 || len == 0) return code;
    return is_masked ? write_masked(ws, data, len, mask) : write_or_cut(ws, data, len);
}

void hv__ws_send_close(hws_t *ws, int code, const char *reason, size_t reason_len) {
    char payload[WS_CONTROL_BYTES_MAX];
    if (ws->flags & WSF_SENT_CLOSE || ws->io == NULL) return;
    ws->flags |= WSF_SENT_CLOSE;
    size_t len = ws_write_close(payload, code, reason, reason_len);
    /* A queue that is full is a peer that does not read: it will not hear this either. */
    hv__ws_write_frame(ws, WS_HEAD_FIN | WS_CLOSE, payload, len);
}

/* ---- Compression ---- */

int hv__ws_wants_deflate(const hws_t *ws, size_t len) {
    return ws->flags & WSF_DEFLATE && ws->out_bits > 8 &&
           len >= ws->endpoint->options.deflate.bytes_min;
}

/* Compresses into hub->scratch, without the four bytes that every flush ends in (RFC 7692 section
 * 7.2.1). Returns the bytes; 0 where it fails. */
static size_t deflate_into_scratch(hws_hub_t *hub, hcodec_t *codec, const void *data, size_t len) {
    hbuf_t *out = &hub->scratch;
    hbuf_consume_keep(out, hbuf_len(out));
    hcodec_input(codec, data, len, HCODEC_FLUSH);
    for (;;) {
        size_t room = len / 4 < 512 ? 512 : len / 4;
        if (hbuf_reserve(out, room, INT32_MAX) != 0) return 0;
        int64_t got = hcodec_output(codec, hbuf_tail(out), hbuf_room(out));
        if (got < 0) return 0;
        if (got == 0) break;
        hbuf_commit(out, (size_t)got);
    }
    size_t bytes = hbuf_len(out);
    HV_ASSERT(bytes >= 4);
    return bytes - 4;
}

/* A long result is not kept. */
static void trim_scratch(hws_hub_t *hub) {
    if (hbuf_len(&hub->scratch) > 64 * 1024) hbuf_deinit(&hub->scratch);
}

size_t hv__ws_deflate_once(hws_hub_t *hub, const hws_deflate_t *options, int bits, const void *data,
                           size_t len) {
    hcodec_t **codec = &hub->deflaters[bits];
    int is_other = hub->deflater_levels[bits] != options->level;
    if (*codec != NULL && (is_other || hcodec_reset(*codec) != 0)) {
        hcodec_free(*codec);
        *codec = NULL;
    }
    if (*codec == NULL) {
        hcodec_options_t settings = {.level = options->level, .window_bits = bits};
        *codec = hcodec_compressor_new(HCODEC_RAW_DEFLATE, &settings);
        hub->deflater_levels[bits] = options->level;
    }
    if (*codec == NULL) return 0;
    size_t bytes = deflate_into_scratch(hub, *codec, data, len);
    return bytes < len ? bytes : 0;
}

/* By the socket's own codec. What has gone through it must be sent, however long it is. */
static int send_in_context(hws_t *ws, uint8_t opcode, const void *data, size_t len) {
    ws_work_t *work = hv__ws_work(ws);
    if (work == NULL) return HV_ENOMEM;
    if (work->deflater == NULL) {
        const hws_deflate_t *options = &ws->endpoint->options.deflate;
        hcodec_options_t settings = {.level = options->level, .window_bits = ws->out_bits};
        work->deflater = hcodec_compressor_new(HCODEC_RAW_DEFLATE, &settings);
        /* Without memory for it the message goes as it is. */
        if (work->deflater == NULL) return hv__ws_write_frame(ws, WS_HEAD_FIN | opcode, data, len);
    }
    hws_hub_t *hub = ws->endpoint->hub;
    int code = check_room(ws, len + len / 1024 + 64);
    if (code != 0) return code;
    size_t bytes = deflate_into_scratch(hub, work->deflater, data, len);
    if (bytes == 0) {
        hv__ws_cut(ws, HV_ENOMEM); /* the two windows are different now */
        return HV_ENOMEM;
    }
    code = hv__ws_write_frame(ws, WS_HEAD_FIN | WS_HEAD_RSV1 | opcode, hbuf_data(&hub->scratch),
                              bytes);
    trim_scratch(hub);
    return code;
}

static int send_deflated(hws_t *ws, uint8_t opcode, const void *data, size_t len) {
    hws_hub_t *hub = ws->endpoint->hub;
    if (ws->flags & WSF_OUT_CONTEXT) return send_in_context(ws, opcode, data, len);
    const hws_deflate_t *options = &ws->endpoint->options.deflate;
    size_t bytes = hv__ws_deflate_once(hub, options, ws->out_bits, data, len);
    if (bytes == 0) return hv__ws_write_frame(ws, WS_HEAD_FIN | opcode, data, len);
    int code = hv__ws_write_frame(ws, WS_HEAD_FIN | WS_HEAD_RSV1 | opcode, hbuf_data(&hub->scratch),
                                  bytes);
    trim_scratch(hub);
    return code;
}

/* ---- API ---- */

static int check_open(const hws_t *ws) {
    if (HV_LIKELY(ws->state == WS_OPEN)) return 0;
    return ws->state == WS_CONNECTING ? HV_ENOTCONN : HV_ECLOSED;
}

/* What was taken may have raised the queue above its mark. */
static int after_send(hws_t *ws) {
    if (HV_LIKELY(!hio_write_is_high(ws->io))) return 0;
    hio_setcb_drain(ws->io, hv__ws_on_drain);
    return HV_EAGAIN;
}

int hws_send(hws_t *ws, hws_kind_e kind, const void *data, size_t len) {
    int code = check_open(ws);
    if (code != 0) return code;
    if (kind == HWS_TEXT) {
        ws_utf8_t utf8 = {0};
        if (ws_utf8_feed(&utf8, data, len) != 0 || !ws_utf8_is_whole(&utf8)) return HV_EINVAL;
    }
    if (HV_UNLIKELY(hv__ws_wants_deflate(ws, len))) {
        code = send_deflated(ws, (uint8_t)kind, data, len);
    } else {
        code = hv__ws_write_frame(ws, (uint8_t)(WS_HEAD_FIN | kind), data, len);
    }
    return HV_UNLIKELY(code != 0) ? code : after_send(ws);
}

static int send_control(hws_t *ws, uint8_t opcode, const void *data, size_t len) {
    int code = check_open(ws);
    if (code == 0 && len > WS_CONTROL_BYTES_MAX) code = HV_EINVAL;
    if (code == 0) code = hv__ws_write_frame(ws, WS_HEAD_FIN | opcode, data, len);
    return code != 0 ? code : after_send(ws);
}

int hws_ping(hws_t *ws, const void *data, size_t len) {
    return send_control(ws, WS_PING, data, len);
}

int hws_pong(hws_t *ws, const void *data, size_t len) {
    return send_control(ws, WS_PONG, data, len);
}

size_t hws_write_bufsize(const hws_t *ws) { return ws->io != NULL ? hio_write_bufsize(ws->io) : 0; }
