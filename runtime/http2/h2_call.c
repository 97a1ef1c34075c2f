/* h2_call.c - a call over HTTP/2: its stream, from the request to the end of the response.
 *
 * What comes for a stream (heads, pieces of the body, its end) is told to the call in that order,
 * as far as it takes it: while it is paused the rest is kept, and the server's window for the
 * stream, of which only what was told is given back, says how much that can be. The window of the
 * connection is given back at once, so that a call that is paused does not stop the others.
 *
 * A request is sent again where the server cannot have acted on it: it has not gone out, or the
 * stream was refused, or lies beyond the last one of a GOAWAY (RFC 9113 section 8.7); or, as in
 * HTTP/1.1, its connection, which had served before, has ended without a word and the method is
 * idempotent. */
#include "h2_client.h"

#define OUT_HIGH    (256 * 1024) /* of a streamed request: the program waits above it */
#define OUT_LOW     (OUT_HIGH / 2)
#define REPEATS_MAX 5 /* of one call */

/* ---- Beginning and parting ---- */

static void free_call(h2_call_t *self) {
    h2_head_t *next;
    for (h2_head_t *head = self->first_head; head != NULL; head = next) {
        next = head->next;
        hv__free(head);
    }
    hbuf_deinit(&self->in);
    hbuf_deinit(&self->out);
    hv__free(self->last_chunk);
    http_group_t *group = self->group;
    hv__free(self);
    if (group == NULL) return;
    group->holds--;
    hv__http_group_leave(group);
}

static void list(h2_link_t *h2, h2_call_t *self) {
    self->next = h2->calls;
    if (self->next != NULL) self->next->prev = self;
    h2->calls = self;
    h2->call_count++;
}

static void unlist(h2_link_t *h2, h2_call_t *self) {
    if (self->prev != NULL) {
        self->prev->next = self->next;
    } else {
        h2->calls = self->next;
    }
    if (self->next != NULL) self->next->prev = self->prev;
    h2->call_count--;
    if (self->flags & H2_IS_DUE) hlist_remove(&h2->due, &self->due);
    self->flags &= ~(uint32_t)H2_IS_DUE;
    if (h2->heading.call == self) h2->heading.call = NULL;
    if (h2->chunk_call == self) h2->chunk_call = NULL;
    h2->was_left = 1;
    hv__h2_link_later(h2);
}

static ssize_t read_body(nghttp2_session *session, int32_t id, uint8_t *out, size_t room,
                         uint32_t *flags, nghttp2_data_source *source, void *userdata);

void hv__h2_call_use(http_link_t *link, hhttp_call_t *call) {
    h2_link_t *h2 = link->h2;
    h2_call_t *self = hv__calloc(1, sizeof *self);
    call->link = NULL;
    if (self == NULL) {
        hv__h2_link_later(h2);
        hv__http_call_end(call, HV_ENOMEM, NULL);
        return;
    }
    self->h2 = h2;
    self->call = call;
    nghttp2_data_provider body = {.read_callback = read_body};
    int32_t id = hv__h2_send_head(self, call->flags & CALL_BODY_SENT ? NULL : &body);
    if (id < 0) {
        hv__free(self);
        hv__h2_link_later(h2);
        if (id == NGHTTP2_ERR_STREAM_ID_NOT_AVAILABLE) { /* all 2^30 are used */
            hv__h2_link_retire(h2);
            hv__http_call_repeat(call, REPEAT_FRESH);
        } else {
            hv__http_call_end(call, hv__h2_code(id), NULL);
        }
        return;
    }
    self->id = id;
    list(h2, self);
    if (h2->call_count == 1) hv__h2_link_watch(h2);
    call->stream = self;
    call->link = link;
    call->active_ms = hv__http_ms(call->client);
    if (call->options.closes) hv__h2_link_retire(h2);
    hv__http_call_arm(call);
    hv__h2_link_later(h2);
    if (call->state == CALL_HEAD) hv__http_call_send_body(call);
}

/* Whether a call has run out of time without a byte from the whole connection: it may be dead, and
 * nothing says so. */
static int is_suspect(const h2_link_t *h2, const hhttp_call_t *call) {
    return call->state == CALL_DONE && call->error == HV_ETIMEDOUT && h2->read_ms < call->start_ms;
}

void hv__h2_call_leave(hhttp_call_t *call) {
    h2_call_t *self = call->stream;
    h2_link_t *h2 = self->h2;
    call->stream = NULL;
    call->link = NULL;
    self->call = NULL;
    if (h2 != NULL) {
        unlist(h2, self);
        if (!(self->flags & H2_CLOSED)) {
            nghttp2_session_set_stream_user_data(h2->session, self->id, NULL);
            uint32_t reason = self->error == HV_EPROTO ? NGHTTP2_PROTOCOL_ERROR : NGHTTP2_CANCEL;
            int result =
                nghttp2_submit_rst_stream(h2->session, NGHTTP2_FLAG_NONE, self->id, reason);
            if (result != 0 && h2->error == 0) h2->error = hv__h2_code(result);
        }
        if (is_suspect(h2, call)) hv__h2_link_retire(h2);
        self->h2 = NULL;
    }
    if (!(self->flags & H2_IS_TOLD)) free_call(self);
}

/* ---- The body of the request ---- */

static size_t take_from_memory(hhttp_call_t *call, uint8_t *out, size_t room) {
    const char *body = call->options.body;
    size_t len = call->body_left < (int64_t)room ? (size_t)call->body_left : room;
    if (len > 0) memcpy(out, body + (call->options.body_len - call->body_left), len);
    call->flags |= CALL_BODY_BEGUN;
    call->body_left -= (int64_t)len;
    call->sent += len;
    if (call->body_left == 0) call->flags |= CALL_BODY_SENT;
    return len;
}

static size_t take_from_queue(h2_call_t *self, uint8_t *out, size_t room) {
    size_t len = hbuf_len(&self->out);
    if (len > room) len = room;
    if (len > 0) {
        memcpy(out, hbuf_data(&self->out), len);
        hbuf_consume(&self->out, len);
    }
    if (self->call->flags & CALL_DRAIN_OWED && hbuf_len(&self->out) <= OUT_LOW) {
        self->flags |= H2_DRAINED;
        hv__h2_call_due(self);
    }
    return len;
}

/* They end the stream in place of the last DATA frame. Returns 0 or an error of nghttp2's. */
static int send_trailers(const h2_call_t *self, uint32_t *flags) {
    *flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
    hhttp_slice_t lines = {
        self->last_chunk + HTTP_LAST_CHUNK_HEAD,
        self->last_chunk_len - HTTP_LAST_CHUNK_HEAD - HTTP_LAST_CHUNK_TAIL,
    };
    return hv__h2_submit_trailers(self->h2->session, self->id, lines);
}

/* nghttp2 asks for the next bytes: a nghttp2_data_source_read_callback. */
static ssize_t read_body(nghttp2_session *session, int32_t id, uint8_t *out, size_t room,
                         uint32_t *flags, nghttp2_data_source *source, void *userdata) {
    (void)source, (void)userdata;
    h2_call_t *self = hv__h2_call_of(session, id);
    if (self == NULL) return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE; /* it is about to be reset */
    hhttp_call_t *call = self->call;
    int is_held = (call->flags & CALL_HOLDS_BODY) != 0;
    size_t len = 0;
    int ends = 0;
    if (!is_held && call->flags & CALL_STREAMED) {
        len = take_from_queue(self, out, room);
        ends = self->flags & H2_OUT_ENDED && hbuf_len(&self->out) == 0;
    } else if (!is_held) {
        len = take_from_memory(call, out, room);
        ends = call->body_left == 0;
    }
    if (ends) {
        *flags |= NGHTTP2_DATA_FLAG_EOF;
        if (self->last_chunk != NULL && send_trailers(self, flags) != 0) {
            hv__h2_call_refuse(self, HV_ENOMEM, NULL);
            return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
        }
    } else if (len == 0) {
        self->flags |= H2_DEFERRED;
        return NGHTTP2_ERR_DEFERRED;
    }
    call->active_ms = hv__http_ms(call->client);
    return (ssize_t)len;
}

void hv__h2_call_send_body(hhttp_call_t *call) {
    h2_call_t *self = call->stream;
    h2_link_t *h2 = self->h2;
    if (h2 == NULL || !(self->flags & H2_DEFERRED)) return;
    self->flags &= ~(uint32_t)H2_DEFERRED;
    int result = nghttp2_session_resume_data(h2->session, self->id);
    /* What can be wrong beside memory is that the stream is closed, which is due. */
    if (result == NGHTTP2_ERR_NOMEM) hv__h2_call_refuse(self, HV_ENOMEM, NULL);
    hv__h2_link_later(h2);
}

int hv__h2_call_write(hhttp_call_t *call, const void *data, size_t len) {
    h2_call_t *self = call->stream;
    int code = hbuf_append(&self->out, data, len, UINT32_MAX / 2);
    if (code != 0) return code;
    hv__h2_call_send_body(call);
    return hbuf_len(&self->out) > OUT_HIGH ? HV_EAGAIN : 0;
}

int hv__h2_call_finish(hhttp_call_t *call, const hhttp_header_t *trailers, size_t count) {
    h2_call_t *self = call->stream;
    if (count > 0) {
        self->last_chunk = hv__http_last_chunk(trailers, count, &self->last_chunk_len);
        if (self->last_chunk == NULL) return HV_ENOMEM;
    }
    self->flags |= H2_OUT_ENDED;
    hv__h2_call_send_body(call);
    return 0;
}

/* ---- The end ---- */

static int may_repeat(const h2_call_t *self, const hhttp_call_t *call) {
    if (call->repeats >= REPEATS_MAX || self->error == HV_ENOMEM) return 0;
    if (call->state != CALL_HEAD || call->flags & CALL_HEARD || call->client->is_closing) return 0;
    if (call->flags & CALL_STREAMED && call->flags & CALL_READY) return 0;
    if (self->flags & H2_WAS_LOST && self->flags & H2_WAS_SENT) {
        return self->flags & H2_HAS_SERVED && hv__http_call_is_repeatable(call);
    }
    return !(self->flags & H2_WAS_SENT) || self->reason == NGHTTP2_REFUSED_STREAM ||
           self->reason == NGHTTP2_HTTP_1_1_REQUIRED;
}

/* The code of a call whose stream the server has ended early; `words` where they say more. */
static int error_of(const h2_call_t *self, char *words, size_t size) {
    if (self->error != 0) {
        snprintf(words, size, "%s", self->words);
        return self->error;
    }
    if (!(self->flags & H2_WAS_RESET)) {
        int is_refused = self->reason == NGHTTP2_REFUSED_STREAM;
        snprintf(words, size, "%s",
                 is_refused ? "the server takes no more requests" : "the response is malformed");
        return is_refused ? HV_ECONNREFUSED : HV_EPROTO;
    }
    snprintf(words, size, "the server has reset the request: %s",
             nghttp2_http2_strerror(self->reason));
    int is_plain = self->reason == NGHTTP2_CANCEL || self->reason == NGHTTP2_NO_ERROR;
    return is_plain ? HV_ECONNRESET : hv__h2_code_of_reason(self->reason);
}

static void fail(h2_call_t *self) {
    hhttp_call_t *call = self->call;
    int repeats = may_repeat(self, call);
    char words[160] = "";
    int error = error_of(self, words, sizeof words);
    if (self->h2 != NULL && self->reason == NGHTTP2_REFUSED_STREAM) {
        /* It has as many as it wants, whatever it has said: one more when one of them has ended. */
        self->h2->calls_max = self->h2->call_count > 2 ? self->h2->call_count - 1 : 1;
    }
    if (repeats && self->reason == NGHTTP2_HTTP_1_1_REQUIRED) {
        call->group->wants_h1 = 1;
        if (self->h2 != NULL) hv__h2_link_retire(self->h2);
    }
    hv__h2_call_leave(call);
    if (repeats) {
        hv__http_call_repeat(call, 0);
    } else {
        hv__http_call_end(call, error, words[0] != '\0' ? words : NULL);
    }
}

static void finish(h2_call_t *self) {
    hhttp_call_t *call = self->call;
    if (self->h2 != NULL) {
        self->h2->link->served++;
        if (self->h2->calls_max < UINT32_MAX) self->h2->calls_max++;
    }
    hv__h2_call_leave(call);
    hv__http_answer_over(call);
}

void hv__h2_call_refuse(h2_call_t *self, int error, const char *words) {
    if (self->error == 0) {
        self->error = error;
        if (words != NULL) snprintf(self->words, sizeof self->words, "%s", words);
    }
    hv__h2_call_due(self);
}

void hv__h2_call_lose(h2_call_t *self, int error, const char *words) {
    h2_link_t *h2 = self->h2;
    if (h2->link->served > 0) self->flags |= H2_HAS_SERVED;
    if (!(self->flags & H2_CLOSED)) {
        nghttp2_session_set_stream_user_data(h2->session, self->id, NULL);
        self->flags |= H2_CLOSED | H2_WAS_LOST;
        if (words == NULL && error == HV_EOF) words = hv__http_words_of_end(self->call);
        hv__h2_call_refuse(self, error, words);
    }
    unlist(h2, self);
    self->group = h2->link->group;
    self->group->holds++;
    self->h2 = NULL;
    self->call->link = NULL;
    hv__h2_call_tell(self, NULL, 0);
}

/* ---- Telling ---- */

static void tell_head(h2_call_t *self) {
    hhttp_call_t *call = self->call;
    h2_head_t *head = self->first_head;
    self->first_head = head->next;
    if (head->next == NULL) self->last_head = NULL;
    hv__free(call->block);
    call->block = (char *)head;
    int has_no_body = call->flags & CALL_TO_HEAD || head->status == 204 || head->status == 304;
    int is_over = self->flags & H2_ENDED && hbuf_len(&self->in) == 0;
    const char *reason = hhttp_status_text(head->status);
    call->flags |= CALL_HEARD;
    call->reply = (h1_reply_t){
        .status = head->status,
        .version = 20,
        .reason = {reason, strlen(reason)},
        .headers = {head->text, head->len},
        .length = head->length < 0 && (has_no_body || is_over) ? 0 : head->length,
        .body = has_no_body ? H1_REPLY_NO_BODY : H1_REPLY_COUNTED,
    };
    if (head->status < 200) {
        hv__http_answer_interim(call);
    } else {
        hv__http_answer_final(call);
    }
}

/* Tells a piece, as much of it as is taken. Returns that. */
static size_t tell_piece(h2_call_t *self, const char *data, size_t len) {
    hhttp_call_t *call = self->call;
    if (call->decoder != NULL) {
        size_t room = hv__http_decoder_room(call->decoder);
        if (len > room) len = room;
    }
    if (self->h2 != NULL && !(self->flags & (H2_CLOSED | H2_ENDED))) {
        int result = nghttp2_session_consume_stream(self->h2->session, self->id, len);
        if (result != 0 && self->h2->error == 0) self->h2->error = hv__h2_code(result);
        hv__h2_link_later(self->h2);
    }
    hv__http_answer_piece(call, data, len);
    return len;
}

/* One thing that can be told. Returns 0 where there is none; adds what is used of `data`. */
static int tell_next(h2_call_t *self, const char *data, size_t len, size_t *used) {
    hhttp_call_t *call = self->call;
    http_decoder_t *decoder = call->decoder;
    if (decoder != NULL && hv__http_decoder_is_busy(decoder)) {
        hv__http_decoder_step(call);
    } else if (self->first_head != NULL) {
        tell_head(self);
    } else if (hbuf_len(&self->in) > 0) {
        size_t taken = tell_piece(self, hbuf_data(&self->in), hbuf_len(&self->in));
        hbuf_consume(&self->in, taken);
    } else if (*used < len) {
        *used += tell_piece(self, data + *used, len - *used);
    } else if (self->flags & H2_ENDED && self->error == 0) {
        if (decoder != NULL && !hv__http_decoder_is_finished(decoder)) {
            hv__http_decoder_finish(decoder);
        } else {
            finish(self);
        }
    } else if (self->flags & H2_CLOSED || self->error != 0) {
        fail(self);
    } else {
        return 0;
    }
    return 1;
}

void hv__h2_call_tell(h2_call_t *self, const char *data, size_t len) {
    size_t used = 0;
    self->flags |= H2_IS_TOLD;
    while (self->call != NULL && !(self->call->flags & CALL_PAUSED)) {
        if (!tell_next(self, data, len, &used)) break;
    }
    self->flags &= ~(uint32_t)H2_IS_TOLD;
    if (self->call == NULL) {
        free_call(self);
        return;
    }
    if (used == len) return;
    int code = hbuf_append(&self->in, data + used, len - used, UINT32_MAX / 2);
    if (code != 0) hv__h2_call_refuse(self, code, NULL);
}

void hv__h2_call_go_on(hhttp_call_t *call) {
    hv__h2_call_tell(call->stream, NULL, 0);
}
