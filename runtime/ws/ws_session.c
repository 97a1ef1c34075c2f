/* ws_session.c - what a socket does with the bytes of its peer, and how it ends.
 *
 * Arriving bytes are parsed and unmasked where they lie, in the loop's read buffer. A message whose
 * frame lies there whole is given to the program from there; only one in several frames or reads is
 * put together in work->message. Many frames of one read are handled in one go, and what is
 * answered to them leaves in one write.
 *
 * While a socket is paused its messages go to work->inbox, so that pings are answered and a close
 * is noticed all the same; when the inbox is full the bytes stay as they came (work->rest) and
 * reading rests, which slows the peer down.
 *
 * RFC 6455 section 5.5 (control frames), 7 (closing). */
#include "ws_int.h"

/* ---- The work of a socket ---- */

ws_work_t *hv__ws_work(hws_t *ws) {
    if (ws->work == NULL) {
        ws->work = hv__calloc(1, sizeof *ws->work);
        if (ws->work == NULL) hv__ws_cut(ws, HV_ENOMEM);
    }
    return ws->work;
}

static void free_work(hws_t *ws) {
    ws_work_t *work = ws->work;
    if (work == NULL) return;
    hv__ws_free_codecs(ws);
    hbuf_deinit(&work->message);
    hbuf_deinit(&work->inbox);
    hbuf_deinit(&work->rest);
    hv__free(work->reason);
    hv__free(work);
    ws->work = NULL;
}

/* Frees the work where nothing is in it. */
static void trim_work(hws_t *ws) {
    ws_work_t *work = ws->work;
    if (work == NULL || work->inflater != NULL || work->deflater != NULL) return;
    if (hbuf_len(&work->inbox) > 0 || hbuf_len(&work->rest) > 0 || work->reason != NULL) return;
    if (ws_parser_in_message(&ws->parser) || work->control_len > 0) return;
    free_work(ws);
}

/* ---- Ends ---- */

static void set_state(hws_t *ws, int state) {
    HV_DASSERT(state > ws->state || ws->state == WS_CONNECTING);
    ws->state = (uint8_t)state;
    if (ws->io != NULL) ws->stamp_ms = hv__loop_stamp_ms(ws->endpoint->hub->loop);
}

void hv__ws_cut(hws_t *ws, int error) {
    if (ws->error == 0) ws->error = error;
    if (ws->io == NULL) return;
    if (ws->state < WS_ENDING) set_state(ws, WS_ENDING);
    hio_abort(ws->io);
}

/* Nothing is sent any more: waits for the peer to end its side, and drops what it still sends. */
static void end(hws_t *ws) {
    if (ws->state < WS_ENDING) set_state(ws, WS_ENDING);
    if (hio_shutdown(ws->io) != 0) {
        hio_close(ws->io);
        return;
    }
    hio_read(ws->io);
}

/* A fault of the peer's: sends a close frame with this code, and ends. */
static void fail_session(hws_t *ws, int code) {
    if (ws->state >= WS_ENDING || ws->io == NULL) return;
    if (ws->error == 0) ws->error = code == WS_CODE_TOO_BIG ? HV_ELIMIT : HV_EPROTO;
    if (code == WS_CODE_INTERNAL) ws->error = HV_ENOMEM;
    if (!(ws->flags & WSF_SENT_CLOSE)) {
        ws->flags |= WSF_FAILED;
        ws->close_code = (uint16_t)code;
        hv__ws_send_close(ws, code, NULL, 0);
    }
    end(ws);
}

/* Reports the end and frees the socket. */
void hv__ws_finish(hws_t *ws) {
    hws_hub_t *hub = ws->endpoint->hub;
    hv__defer_cancel(hub->loop, &ws->defer);
    hv__ws_leave_topics(ws);
    if (ws->close_code == 0) ws->close_code = WS_CODE_ABNORMAL;
    hws_cb on_close = ws->endpoint->handlers.on_close;
    if (on_close != NULL) HV_DISPATCH(hub->loop, on_close(ws));
    hv__defer_cancel(hub->loop, &ws->defer); /* on_close may have called anything */
    free_work(ws);
    hv__ws_dial_free(ws);
    hv__ws_free(ws);
}

/* Whether messages that came before the end are still to be delivered. */
static int owes_messages(const hws_t *ws) {
    if (ws->flags & WSF_LOCAL_CLOSE || ws->work == NULL) return 0;
    return hbuf_len(&ws->work->inbox) > 0;
}

/* The io is closed, or there was none: on_close, once what is in the inbox is delivered. By the
 * dispatcher only. */
static void end_session(hws_t *ws, int error) {
    int is_told = ws->flags & (WSF_GOT_CLOSE | WSF_FAILED) || ws->error != 0;
    if (!is_told) ws->error = error != 0 ? error : HV_EOF;
    ws->io = NULL;
    ws->state = WS_DEAD;
    ws->flags &= (uint16_t)~WSF_OPEN_OWED;
    hv__ws_leave_topics(ws);
    if (ws->work != NULL) hbuf_deinit(&ws->work->rest);
    /* Those that are paused with messages in their inbox wait for hws_resume. */
    if (owes_messages(ws) && !hv__loop_is_ending(ws->endpoint->hub->loop)) return;
    hv__ws_finish(ws);
}

void hv__ws_on_close(hio_t *io) { end_session(hio_context(io), -hio_error(io)); }

/* ---- Messages ---- */

static int is_deaf(const hws_t *ws) {
    return ws->flags & WSF_LOCAL_CLOSE || ws->state == WS_CLOSING;
}

/* Keeps a message for later. */
static void keep_message(hws_t *ws, uint8_t kind, const char *data, size_t len) {
    ws_inbox_head_t head = {(uint32_t)len, kind};
    ws_work_t *work = hv__ws_work(ws);
    if (work == NULL) return;
    int code = hbuf_append(&work->inbox, &head, sizeof head, INT32_MAX);
    if (code == 0) code = hbuf_append(&work->inbox, data, len, INT32_MAX);
    if (code != 0) hv__ws_cut(ws, code);
}

static void call_on_message(hws_t *ws, uint32_t kind, const char *data, size_t len) {
    const hws_endpoint_t *endpoint = ws->endpoint;
    void (*on_message)(hws_t *, hws_kind_e, const void *, size_t) = endpoint->handlers.on_message;
    if (HV_UNLIKELY(on_message == NULL)) return;
    HV_DISPATCH(endpoint->hub->loop, on_message(ws, (hws_kind_e)kind, data, len));
}

static void deliver(hws_t *ws, uint8_t kind, const char *data, size_t len) {
    if (HV_UNLIKELY(ws->flags & WSF_PAUSED)) {
        keep_message(ws, kind, data, len);
    } else {
        call_on_message(ws, kind, data, len);
    }
}

/* The next piece of a message that does not lie here whole. Returns 0 or a close code, negative. */
static int collect(hws_t *ws, const ws_piece_t *piece) {
    ws_work_t *work = hv__ws_work(ws);
    if (work == NULL) return 0;
    if (piece->is_compressed) return hv__ws_inflate(ws, piece);
    /* Room for what is known to come, as far as it would not help to attack. */
    size_t more = piece->left < 65536 ? (size_t)piece->left : 65536;
    int code = hbuf_reserve(&work->message, piece->len + more, INT32_MAX);
    if (code == 0) code = hbuf_append(&work->message, piece->data, piece->len, INT32_MAX);
    return code != 0 ? -WS_CODE_INTERNAL : 0;
}

static int take_data(hws_t *ws, const ws_piece_t *piece) {
    if (HV_LIKELY(piece->is_first && piece->is_last && !piece->is_compressed)) {
        if (!is_deaf(ws)) deliver(ws, piece->opcode, piece->data, piece->len);
        return 0;
    }
    int code = collect(ws, piece);
    if (code != 0 || !piece->is_last || ws->work == NULL) return code;
    /* Taken out: what the program does may begin anything. */
    hbuf_t message = ws->work->message;
    ws->work->message = (hbuf_t){0};
    char none = 0;
    const char *data = message.base != NULL ? hbuf_data(&message) : &none;
    if (!is_deaf(ws)) deliver(ws, piece->opcode, data, hbuf_len(&message));
    hbuf_deinit(&message);
    return 0;
}

/* ---- Control frames ---- */

/* The peer closes (section 5.5.1): its close frame is answered, unless it is itself the answer. The
 * server then ends the connection first (section 7.1.1). */
static void take_close(hws_t *ws, int code, const char *reason, size_t len) {
    ws->flags |= WSF_GOT_CLOSE;
    ws->close_code = (uint16_t)code;
    if (len > 0 && hv__ws_work(ws) != NULL) ws->work->reason = hv__strndup(reason, len);
    if (ws->state >= WS_ENDING) return;
    hv__ws_send_close(ws, code, reason, len);
    set_state(ws, WS_ENDING);
    if (ws_is_client(ws)) {
        hio_read(ws->io); /* the end is the server's to make; the tick waits for so long */
    } else {
        hio_close(ws->io);
    }
}

static int take_control(hws_t *ws, uint8_t opcode, const char *data, size_t len) {
    const hws_endpoint_t *endpoint = ws->endpoint;
    hws_data_cb callback;
    if (opcode == WS_CLOSE) {
        const char *reason;
        size_t reason_len;
        int code = ws_parse_close(data, len, &reason, &reason_len);
        if (code < 0) return code;
        take_close(ws, code, reason, reason_len);
        return 0;
    }
    if (opcode == WS_PING) {
        callback = endpoint->handlers.on_ping;
        /* A peer that pings and does not read would fill the queue; it may miss some pongs
         * (section 5.5.3). */
        if (ws->state == WS_OPEN && !hio_write_is_high(ws->io)) {
            hv__ws_write_frame(ws, WS_HEAD_FIN | WS_PONG, data, len);
        }
    } else {
        callback = endpoint->handlers.on_pong;
    }
    if (callback != NULL && ws->state == WS_OPEN) {
        HV_DISPATCH(endpoint->hub->loop, callback(ws, data, len));
    }
    return 0;
}

/* Control frames lie here whole but for the few that a read has cut. */
static int take_control_piece(hws_t *ws, const ws_piece_t *piece) {
    if (HV_LIKELY(piece->is_first && piece->is_last)) {
        return take_control(ws, piece->opcode, piece->data, piece->len);
    }
    ws_work_t *work = hv__ws_work(ws);
    if (work == NULL) return 0;
    if (piece->is_first) work->control_len = 0;
    memcpy(work->control + work->control_len, piece->data, piece->len);
    work->control_len = (uint8_t)(work->control_len + piece->len);
    if (!piece->is_last) return 0;
    char control[WS_CONTROL_BYTES_MAX];
    size_t len = work->control_len;
    memcpy(control, work->control, len);
    work->control_len = 0;
    return take_control(ws, piece->opcode, control, len);
}

/* ---- Bytes ---- */

static int is_listening(const hws_t *ws) {
    return (ws->state == WS_OPEN || ws->state == WS_CLOSING) && !(ws->flags & WSF_STUFFED);
}

/* Whether the inbox is full; reading then rests. */
static void check_inbox(hws_t *ws) {
    if (!(ws->flags & WSF_PAUSED) || ws->work == NULL || ws->state != WS_OPEN) return;
    if (hbuf_len(&ws->work->inbox) < ws->endpoint->options.inbox_bytes_max) return;
    ws->flags |= WSF_STUFFED;
    hio_read_stop(ws->io);
}

/* Does with the bytes what can be done. Returns how many were used: all, unless it is stuffed. */
static size_t process(hws_t *ws, char *data, size_t len) {
    const ws_rules_t *rules = ws_rules_of(ws);
    hws_hub_t *hub = ws->endpoint->hub;
    ws_reading_t *before = hub->reading;
    ws_reading_t reading = {.ws = ws, .data = data, .len = len};
    hub->reading = &reading;
    while (reading.at < len && is_listening(ws)) {
        size_t used;
        ws_piece_t piece;
        int code = ws_parse(&ws->parser, rules, data + reading.at, len - reading.at, &used, &piece);
        reading.at += used;
        if (code > 0) {
            code = piece.opcode & 0x8 ? take_control_piece(ws, &piece) : take_data(ws, &piece);
        }
        if (code == 0) code = reading.code;
        if (HV_UNLIKELY(code < 0)) fail_session(ws, -code);
        if (HV_UNLIKELY(ws->flags & WSF_PAUSED)) check_inbox(ws);
    }
    hub->reading = before;
    return ws->flags & WSF_STUFFED && ws->state == WS_OPEN ? reading.at : len;
}

/* The reading of a socket whose on_message may go on with it, or NULL. */
static ws_reading_t *reading_of(const hws_t *ws) {
    ws_reading_t *reading = ws->endpoint->hub->reading;
    if (reading == NULL || reading->ws != ws || reading->code != 0) return NULL;
    if (ws->flags & WSF_PAUSED || is_deaf(ws) || !is_listening(ws)) return NULL;
    return reading->at < reading->len ? reading : NULL;
}

static void on_read(hio_t *io, void *buf, int readbytes) {
    hws_t *ws = hio_context(io);
    size_t len = (size_t)readbytes;
    ws_work_t *work = ws->work;
    if (HV_UNLIKELY(work != NULL && hbuf_len(&work->rest) > 0)) {
        /* It was read before reading could rest. */
        if (hbuf_append(&work->rest, buf, len, INT32_MAX) != 0) hv__ws_cut(ws, HV_ENOMEM);
        return;
    }
    size_t used = process(ws, buf, len);
    if (HV_UNLIKELY(used < len) && hv__ws_work(ws) != NULL) {
        if (hbuf_append(&ws->work->rest, (char *)buf + used, len - used, INT32_MAX) != 0) {
            hv__ws_cut(ws, HV_ENOMEM);
        }
    }
    if (HV_UNLIKELY(ws->work != NULL)) trim_work(ws);
}

static void on_eof(hio_t *io) {
    hws_t *ws = hio_context(io);
    if (!(ws->flags & (WSF_GOT_CLOSE | WSF_FAILED)) && ws->error == 0) ws->error = HV_EOF;
    hio_close(io);
}

void hv__ws_on_drain(hio_t *io) {
    hws_t *ws = hio_context(io);
    const hws_endpoint_t *endpoint = ws->endpoint;
    if (ws->state != WS_OPEN || endpoint->handlers.on_drain == NULL) return;
    HV_DISPATCH(endpoint->hub->loop, endpoint->handlers.on_drain(ws));
}

/* ---- What the API has put off ---- */

/* The messages kept, one after the other, for as long as nobody pauses or closes. */
static void deliver_inbox(hws_t *ws) {
    hbuf_t inbox = ws->work->inbox;
    ws->work->inbox = (hbuf_t){0};
    while (hbuf_len(&inbox) > 0 && !(ws->flags & (WSF_PAUSED | WSF_LOCAL_CLOSE))) {
        ws_inbox_head_t head;
        memcpy(&head, hbuf_data(&inbox), sizeof head);
        const char *data = hbuf_data(&inbox) + sizeof head;
        hbuf_consume_keep(&inbox, sizeof head + head.len);
        call_on_message(ws, head.kind, data, head.len);
    }
    if (hbuf_len(&inbox) > 0 && !(ws->flags & WSF_LOCAL_CLOSE) && hv__ws_work(ws) != NULL) {
        HV_DASSERT(hbuf_len(&ws->work->inbox) == 0);
        ws->work->inbox = inbox;
    } else {
        hbuf_deinit(&inbox);
    }
}

static void process_rest(hws_t *ws) {
    ws->flags &= (uint16_t)~WSF_STUFFED;
    hbuf_t rest = ws->work->rest;
    ws->work->rest = (hbuf_t){0};
    size_t len = hbuf_len(&rest);
    size_t used = len > 0 ? process(ws, hbuf_data(&rest), len) : 0;
    if (used < len && hv__ws_work(ws) != NULL) {
        hbuf_consume(&rest, used);
        ws->work->rest = rest;
    } else {
        hbuf_deinit(&rest);
    }
    if (!(ws->flags & WSF_STUFFED) && ws->io != NULL) hio_read(ws->io);
}

static void open_now(hws_t *ws) {
    hws_cb on_open = ws->endpoint->handlers.on_open;
    ws->flags &= (uint16_t)~WSF_OPEN_OWED;
    if (on_open != NULL && ws->state == WS_OPEN) {
        HV_DISPATCH(ws->endpoint->hub->loop, on_open(ws));
    }
    if (ws->io != NULL) hio_read(ws->io);
}

static void go_on(hv__defer_t *work) {
    hws_t *ws = HV_CONTAINER_OF(work, hws_t, defer);
    if (ws->flags & WSF_OPEN_OWED) {
        open_now(ws);
        return;
    }
    if (ws->flags & WSF_RESUME_OWED) {
        ws->flags &= (uint16_t)~(WSF_RESUME_OWED | WSF_PAUSED);
        if (ws->work != NULL && hbuf_len(&ws->work->inbox) > 0) deliver_inbox(ws);
    }
    if (ws->state == WS_DEAD) {
        if (!owes_messages(ws)) hv__ws_finish(ws);
        return;
    }
    if (ws->flags & WSF_STUFFED && !(ws->flags & WSF_PAUSED) && ws->work != NULL) process_rest(ws);
    if (ws->work != NULL) trim_work(ws);
}

/* ---- API ---- */

int hws_has_next(const hws_t *ws) { return reading_of(ws) != NULL; }

int hws_next(hws_t *ws, hws_kind_e *kind, const void **data, size_t *len) {
    ws_reading_t *reading = reading_of(ws);
    if (reading == NULL) return 0;
    size_t used;
    ws_piece_t piece;
    int code = ws_parse_whole(&ws->parser, ws_rules_of(ws), reading->data + reading->at,
                              reading->len - reading->at, &used, &piece);
    reading->at += used;
    if (HV_UNLIKELY(code <= 0)) {
        reading->code = code; /* on_message returns first */
        return 0;
    }
    *kind = (hws_kind_e)piece.opcode;
    *data = piece.data;
    *len = piece.len;
    return 1;
}

void hws_pause(hws_t *ws) {
    ws->flags |= WSF_PAUSED;
    ws->flags &= (uint16_t)~WSF_RESUME_OWED;
}

static void resume_later(hws_t *ws) {
    ws->flags |= WSF_RESUME_OWED;
    hv__defer(ws->endpoint->hub->loop, &ws->defer, go_on);
}

void hws_resume(hws_t *ws) {
    if (!(ws->flags & WSF_PAUSED)) return;
    int is_held = ws->work != NULL && hbuf_len(&ws->work->inbox) > 0;
    if (is_held || ws->flags & WSF_STUFFED || ws->state == WS_DEAD) {
        resume_later(ws);
    } else {
        ws->flags &= (uint16_t)~WSF_PAUSED;
    }
}

int hws_close(hws_t *ws, int code, const char *reason) {
    size_t len = reason != NULL ? strlen(reason) : 0;
    ws_utf8_t utf8 = {0};
    if (code == 0) code = WS_CODE_NONE;
    if (code != WS_CODE_NONE && !ws_close_code_is_valid(code)) return HV_EINVAL;
    if (ws_utf8_feed(&utf8, reason, len) != 0 || !ws_utf8_is_whole(&utf8)) return HV_EINVAL;
    switch (ws->state) {
    case WS_CONNECTING: hws_abort(ws); break;
    case WS_OPEN:
        ws->flags |= WSF_LOCAL_CLOSE;
        hv__ws_send_close(ws, code, reason, len);
        if (ws->state == WS_OPEN) set_state(ws, WS_CLOSING);
        /* Its answer may be among the bytes that were left. */
        if (ws->flags & (WSF_PAUSED | WSF_STUFFED)) resume_later(ws);
        break;
    case WS_DEAD:
        ws->flags |= WSF_LOCAL_CLOSE;
        resume_later(ws);
        break;
    default: break;
    }
    return 0;
}

void hws_abort(hws_t *ws) {
    ws->flags |= WSF_LOCAL_CLOSE;
    hv__ws_cut(ws, HV_ECANCELED);
    if (ws->state == WS_DEAD) resume_later(ws);
}

/* ---- Opening ---- */

/* Finds the subprotocol in the endpoint's own list, where it lives as long as the endpoint. */
static void note_protocol(hws_t *ws, hstr_t protocol) {
    const char *list = ws->endpoint->protocols;
    const char *at = list;
    if (list == NULL || protocol.len > UINT8_MAX) return;
    while ((at = memmem(at, strlen(at), protocol.data, protocol.len)) != NULL) {
        char before = at > list ? at[-1] : ',', after = at[protocol.len];
        if (strchr(", \t", before) != NULL && strchr(", \t", after) != NULL) break;
        at++;
    }
    if (at == NULL) return;
    ws->protocol_at = (uint16_t)(at - list);
    ws->protocol_len = (uint8_t)protocol.len;
}

void hv__ws_open(hws_t *ws, hio_t *io, const ws_agreement_t *agreement) {
    const hws_options_t *options = &ws->endpoint->options;
    const ws_deflate_params_t *deflate = &agreement->deflate;
    int is_client = ws_is_client(ws);
    ws->io = io;
    ws->state = WS_OPEN;
    if (agreement->protocol.len > 0) note_protocol(ws, agreement->protocol);
    if (deflate->is_on) {
        int out_forgets = is_client ? deflate->client_no_context : deflate->server_no_context;
        int in_forgets = is_client ? deflate->server_no_context : deflate->client_no_context;
        ws->flags |= WSF_DEFLATE;
        if (!out_forgets) ws->flags |= WSF_OUT_CONTEXT;
        if (!in_forgets) ws->flags |= WSF_IN_CONTEXT;
        ws->out_bits = is_client ? deflate->client_bits : deflate->server_bits;
        ws->parser.allows_rsv1 = 1;
    }
    hio_set_context(io, ws);
    hio_setcb_read(io, on_read);
    hio_setcb_eof(io, on_eof);
    hio_setcb_close(io, hv__ws_on_close);
    hio_set_write_high(io, options->write_high);
    hio_set_max_write_bufsize(io, options->write_max);
    ws->flags |= WSF_OPEN_OWED;
    hv__defer(ws->endpoint->hub->loop, &ws->defer, go_on);
}

/* ---- Facts ---- */

void hws_set_userdata(hws_t *ws, void *userdata) { ws->userdata = userdata; }
void *hws_userdata(const hws_t *ws) { return ws->userdata; }
hws_hub_t *hws_hub(const hws_t *ws) { return ws->endpoint->hub; }
hws_endpoint_t *hws_endpoint(const hws_t *ws) { return ws->endpoint; }
int hws_is_open(const hws_t *ws) { return ws->state == WS_OPEN; }
int hws_is_deflated(const hws_t *ws) { return (ws->flags & WSF_DEFLATE) != 0; }
hio_t *hws_io(const hws_t *ws) { return ws->io; }
int hws_close_code(const hws_t *ws) { return ws->close_code; }
int hws_error(const hws_t *ws) { return ws->error; }

hhttp_slice_t hws_protocol(const hws_t *ws) {
    if (ws->protocol_len == 0) return (hhttp_slice_t){"", 0};
    return (hhttp_slice_t){ws->endpoint->protocols + ws->protocol_at, ws->protocol_len};
}

const char *hws_close_reason(const hws_t *ws) {
    return ws->work != NULL && ws->work->reason != NULL ? ws->work->reason : "";
}
