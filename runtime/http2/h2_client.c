/* h2_client.c - a connection of HTTP/2 that many calls share: bytes in and out, limits, the end.
 * RFC 9113.
 *
 * What is to be sent is written once a pass of the loop, when everything that was asked for
 * meanwhile is with nghttp2. How many calls a link takes is known when the server's first SETTINGS
 * have come; until then the group opens no further link.
 *
 * A connection may die without a word, and the calls on it would wait for their own timeouts. Where
 * the client wants it, a link that has calls and from which nothing comes is asked by a PING.
 *
 * Against servers that misbehave: nghttp2 limits answers to PING and SETTINGS that are owed,
 * settings of a frame, CONTINUATION frames and what comes beyond a window; h2_fields.c heads; the
 * call its interim ones; a frame that is none of a call's use costs no memory. */
#include "h2_client.h"

#define CONNECTION_WINDOW     (16 * 1024 * 1024) /* given back as it comes */
#define CALLS_BEFORE_SETTINGS 100

static void run_work(hv__defer_t *work);

void hv__h2_link_later(h2_link_t *h2) {
    if (h2->is_running) {
        h2->runs_again = 1;
    } else {
        hv__defer(h2->link->group->client->loop, &h2->work, run_work);
    }
}

void hv__h2_call_due(h2_call_t *self) {
    h2_link_t *h2 = self->h2;
    if (h2 == NULL || self->flags & H2_IS_DUE) return;
    self->flags |= H2_IS_DUE;
    hlist_push(&h2->due, &self->due);
    hv__h2_link_later(h2);
}

void hv__h2_link_retire(h2_link_t *h2) {
    h2->is_retired = 1;
    if (h2->link->state == LINK_SHARED) hv__http_shared_remove(h2->link);
    hv__h2_link_later(h2);
}

/* How many calls the server takes at once, or is likely to. */
static uint32_t most_calls(const h2_link_t *h2) {
    uint32_t known = h2->link->group->streams_max;
    if (!h2->has_settings) return known > 0 ? known : CALLS_BEFORE_SETTINGS;
    return nghttp2_session_get_remote_settings(h2->session,
                                               NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS);
}

/* ---- Callbacks of nghttp2's ---- */

static int on_frame_recv(nghttp2_session *session, const nghttp2_frame *frame, void *userdata) {
    h2_link_t *h2 = userdata;
    h2_call_t *self = NULL;
    switch (frame->hd.type) {
    case NGHTTP2_HEADERS: hv__h2_client_end_headers(h2); /* fall through */
    case NGHTTP2_DATA: self = hv__h2_call_of(session, frame->hd.stream_id); break;
    case NGHTTP2_RST_STREAM:
        self = hv__h2_call_of(session, frame->hd.stream_id);
        if (self != NULL) self->flags |= H2_WAS_RESET;
        return 0;
    case NGHTTP2_SETTINGS:
        if (frame->hd.flags & NGHTTP2_FLAG_ACK) return 0;
        h2->has_settings = 1;
        h2->link->group->streams_max = most_calls(h2);
        h2->was_left = 1; /* there may be more room */
        hv__http_opened(h2->link, 0);
        return 0;
    case NGHTTP2_GOAWAY:
        h2->reason = frame->goaway.error_code;
        h2->has_goaway = 1;
        hv__h2_link_retire(h2);
        return 0;
    default: return 0;
    }
    if (self == NULL) return 0;
    if (frame->hd.type == NGHTTP2_HEADERS) self->call->active_ms = hv__http_ms(self->call->client);
    if (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) {
        self->flags |= H2_ENDED;
        hv__h2_call_due(self);
    }
    return 0;
}

static int on_data_chunk(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *data,
                         size_t len, void *userdata) {
    (void)flags;
    h2_link_t *h2 = userdata;
    h2_call_t *self = hv__h2_call_of(session, id);
    if (len == 0) return 0;
    if (self == NULL) return nghttp2_session_consume(session, id, len);
    int result = nghttp2_session_consume_connection(session, len);
    if (result != 0) return result;
    self->call->active_ms = hv__http_ms(self->call->client);
    h2->chunk_call = self;
    h2->chunk = (hhttp_slice_t){(const char *)data, len};
    return NGHTTP2_ERR_PAUSE;
}

static int on_stream_close(nghttp2_session *session, int32_t id, uint32_t reason, void *userdata) {
    (void)userdata;
    h2_call_t *self = hv__h2_call_of(session, id);
    if (self == NULL) return 0;
    self->flags |= H2_CLOSED;
    self->reason = reason;
    hv__h2_call_due(self);
    return 0;
}

static int on_frame_send(nghttp2_session *session, const nghttp2_frame *frame, void *userdata) {
    (void)userdata;
    if (frame->hd.type != NGHTTP2_HEADERS) return 0;
    h2_call_t *self = hv__h2_call_of(session, frame->hd.stream_id);
    if (self == NULL) return 0;
    self->flags |= H2_WAS_SENT;
    self->call->flags |= CALL_SENT;
    return 0;
}

/* A request that cannot go out: the server has said GOAWAY, or the head is too large for a
 * frame. */
static int on_frame_not_send(nghttp2_session *session, const nghttp2_frame *frame, int lib_error,
                             void *userdata) {
    (void)session;
    h2_link_t *h2 = userdata;
    if (frame->hd.type != NGHTTP2_HEADERS) return 0;
    h2_call_t *self = h2->calls;
    while (self != NULL && self->id != frame->hd.stream_id) self = self->next;
    if (self == NULL) return 0;
    self->flags |= H2_CLOSED;
    self->reason = NGHTTP2_REFUSED_STREAM;
    if (lib_error == NGHTTP2_ERR_START_STREAM_NOT_ALLOWED) {
        hv__h2_call_due(self);
    } else {
        self->call->repeats = UINT32_MAX; /* it would be the same again */
        hv__h2_call_refuse(self, lib_error == NGHTTP2_ERR_FRAME_SIZE_ERROR ? HV_ELIMIT
                                                                           : hv__h2_code(lib_error),
                           "the request head cannot be sent");
    }
    return 0;
}

static int on_error(nghttp2_session *session, int lib_error, const char *words, size_t len,
                    void *userdata) {
    (void)session, (void)lib_error, (void)len;
    h2_link_t *h2 = userdata;
    snprintf(h2->words, sizeof h2->words, "%s", words);
    return 0;
}

/* ---- Making one ---- */

static int make_callbacks(nghttp2_session_callbacks **out) {
    nghttp2_session_callbacks *callbacks;
    int result = nghttp2_session_callbacks_new(&callbacks);
    if (result != 0) return result;
    nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks,
                                                            hv__h2_client_on_begin_headers);
    nghttp2_session_callbacks_set_on_header_callback(callbacks, hv__h2_client_on_header);
    nghttp2_session_callbacks_set_on_invalid_header_callback(callbacks,
                                                             hv__h2_client_on_invalid_header);
    nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame_recv);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data_chunk);
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_stream_close);
    nghttp2_session_callbacks_set_on_frame_send_callback(callbacks, on_frame_send);
    nghttp2_session_callbacks_set_on_frame_not_send_callback(callbacks, on_frame_not_send);
    nghttp2_session_callbacks_set_error_callback2(callbacks, on_error);
    *out = callbacks;
    return 0;
}

static int make_session(h2_link_t *h2) {
    nghttp2_session_callbacks *callbacks;
    nghttp2_option *option;
    int result = make_callbacks(&callbacks);
    if (result != 0) return result;
    result = nghttp2_option_new(&option);
    if (result == 0) {
        nghttp2_option_set_no_auto_window_update(option, 1);
        result = nghttp2_session_client_new3(&h2->session, callbacks, h2, option, hv__h2_mem());
        nghttp2_option_del(option);
    }
    nghttp2_session_callbacks_del(callbacks);
    return result;
}

static int introduce(h2_link_t *h2) {
    const hhttp_client_options_t *options = &h2->link->group->client->options;
    nghttp2_settings_entry entries[] = {
        {NGHTTP2_SETTINGS_ENABLE_PUSH, 0},
        {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, options->stream_window_bytes},
        {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, options->header_bytes_max},
    };
    int result = nghttp2_submit_settings(h2->session, NGHTTP2_FLAG_NONE, entries,
                                         ARRAY_SIZE(entries));
    if (result != 0) return result;
    return nghttp2_session_set_local_window_size(h2->session, NGHTTP2_FLAG_NONE, 0,
                                                 CONNECTION_WINDOW);
}

static void on_read(hio_t *io, void *buf, int len);
static void on_drain(hio_t *io);

static int begin(http_link_t *link) {
    h2_link_t *h2 = hv__calloc(1, sizeof *h2);
    if (h2 == NULL) return HV_ENOMEM;
    h2->link = link;
    h2->calls_max = UINT32_MAX;
    h2->read_ms = hv__http_ms(link->group->client);
    int result = make_session(h2);
    if (result == 0) result = introduce(h2);
    if (result != 0) {
        nghttp2_session_del(h2->session);
        hv__free(h2);
        return hv__h2_code(result);
    }
    link->h2 = h2;
    hio_setcb_read(link->io, on_read);
    hio_setcb_drain(link->io, on_drain);
    hio_read(link->io);
    hv__h2_link_later(h2);
    return 0;
}

static void free_link(http_link_t *link) {
    h2_link_t *h2 = link->h2;
    HV_ASSERT(h2->calls == NULL);
    hv__defer_cancel(link->group->client->loop, &h2->work);
    if (h2->ping_timer != NULL) htimer_del(h2->ping_timer);
    nghttp2_session_del(h2->session);
    hbuf_deinit(&h2->heading.fields);
    link->h2 = NULL;
    hv__free(h2);
}

static int has_room(const http_link_t *link) {
    const h2_link_t *h2 = link->h2;
    if (h2->is_retired || h2->is_over || !hio_is_opened(link->io)) return 0;
    uint32_t most = most_calls(h2);
    uint32_t ours = link->group->client->options.streams_per_connection_max;
    if (ours < most) most = ours;
    if (h2->calls_max < most) most = h2->calls_max;
    return h2->call_count < most;
}

/* ---- The end ---- */

static void lose_all(h2_link_t *h2, int error, const char *words) {
    h2->is_over = 1;
    while (h2->calls != NULL) hv__h2_call_lose(h2->calls, error, words);
}

static int error_of_goaway(const h2_link_t *h2, const char **words) {
    if (h2->reason == NGHTTP2_NO_ERROR) return HV_EOF;
    *words = "the server has ended the connection for an error";
    return hv__h2_code_of_reason(h2->reason);
}

/* The session cannot go on, or need not. In a dispatch. */
static void end(h2_link_t *h2) {
    http_link_t *link = h2->link;
    if (h2->is_over) return;
    hv__h2_link_retire(h2);
    int error = h2->error;
    const char *words = NULL;
    if (error == 0 && h2->has_goaway) {
        error = error_of_goaway(h2, &words);
    } else if (error == 0 || error == HV_EPROTO) {
        /* nghttp2 ends a session by itself where the server breaks the protocol. */
        error = HV_EPROTO;
        if (h2->words[0] != '\0') words = h2->words;
    } else if (error == HV_ETIMEDOUT) {
        words = h2->words;
    }
    lose_all(h2, error, words);
    hv__http_link_drop(link);
    if (error == HV_ETIMEDOUT) hio_abort(link->io); /* nobody would take what is queued */
}

static void farewell(http_link_t *link) {
    h2_link_t *h2 = link->h2;
    h2->is_over = h2->is_retired = 1;
    if (!hio_is_opened(link->io)) return;
    nghttp2_session_terminate_session(h2->session, NGHTTP2_NO_ERROR);
    hv__h2_flush(h2->session, link->io);
}

static void closed(http_link_t *link) {
    h2_link_t *h2 = link->h2;
    int error = -hio_error(link->io);
    const char *words = hio_ssl_error(link->io);
    h2->is_running = 1; /* nothing is sent any more */
    if (error == 0) error = error_of_goaway(h2, &words);
    lose_all(h2, error, words);
}

/* ---- Whether it is alive ---- */

static void run(h2_link_t *h2, const char *data, size_t len);

/* Returns when to look again, in milliseconds from now; 0: it is gone. */
static uint32_t look_for_life(h2_link_t *h2) {
    const hhttp_client_options_t *options = &h2->link->group->client->options;
    uint64_t now_ms = hv__http_ms(h2->link->group->client);
    if (h2->ping_ms != 0 && h2->read_ms < h2->ping_ms) {
        uint64_t waited_ms = now_ms - h2->ping_ms;
        if (waited_ms < options->pong_timeout_ms) {
            return (uint32_t)(options->pong_timeout_ms - waited_ms);
        }
        /* The loop may have been held up, and the answer lie unread: one more pass shows. */
        if (h2->is_late) return 0;
        h2->is_late = 1;
        return 1;
    }
    h2->ping_ms = 0;
    h2->is_late = 0;
    uint64_t silent_ms = now_ms - h2->read_ms;
    if (silent_ms < options->ping_interval_ms) {
        return (uint32_t)(options->ping_interval_ms - silent_ms);
    }
    /* Behind much that the server has not taken yet it would say nothing; whether that moves is the
     * affair of the calls' own times. */
    if (hio_write_is_high(h2->link->io)) return options->ping_interval_ms;
    int result = nghttp2_submit_ping(h2->session, NGHTTP2_FLAG_NONE, NULL);
    if (result == 0) {
        h2->ping_ms = now_ms;
        hv__h2_link_later(h2);
    }
    return options->pong_timeout_ms;
}

static void on_ping_timer(htimer_t *timer) {
    h2_link_t *h2 = hevent_userdata(timer);
    if (h2->is_over || h2->call_count == 0) {
        h2->ping_timer = NULL; /* the loop frees it */
        h2->ping_ms = 0;
        return;
    }
    uint32_t wait_ms = look_for_life(h2);
    if (wait_ms > 0) {
        htimer_reset(timer, wait_ms);
        return;
    }
    h2->ping_timer = NULL;
    h2->error = HV_ETIMEDOUT;
    snprintf(h2->words, sizeof h2->words, "the connection is dead: no answer to a PING");
    run(h2, NULL, 0);
}

void hv__h2_link_watch(h2_link_t *h2) {
    http_link_t *link = h2->link;
    const hhttp_client_options_t *options = &link->group->client->options;
    if (options->ping_interval_ms == INFINITE || h2->ping_timer != NULL) return;
    h2->ping_timer = htimer_add(link->group->client->loop, on_ping_timer,
                                options->ping_interval_ms, 1);
    if (h2->ping_timer == NULL) return;
    hevent_set_userdata(h2->ping_timer, h2);
    hevent_unref(h2->ping_timer);
}

/* ---- Running ---- */

static void look(h2_call_t *self) {
    hhttp_call_t *call = self->call;
    if (self->flags & H2_DRAINED) {
        self->flags &= ~(uint32_t)H2_DRAINED;
        call->flags &= ~(uint32_t)CALL_DRAIN_OWED;
        hhttp_call_retain(call);
        if (call->options.on_drain != NULL) {
            HV_DISPATCH(call->client->loop, call->options.on_drain(call));
        }
        int is_here = call->stream == self;
        hhttp_call_release(call);
        if (!is_here) return;
    }
    hv__h2_call_tell(self, NULL, 0);
}

static void look_at_due(h2_link_t *h2) {
    for (hlink_t *link; (link = hlist_shift(&h2->due)) != NULL;) {
        h2_call_t *self = HV_CONTAINER_OF(link, h2_call_t, due);
        self->flags &= ~(uint32_t)H2_IS_DUE;
        look(self);
    }
}

/* Sends, lets those in that wait, and ends what is to end. */
static void settle(h2_link_t *h2) {
    http_link_t *link = h2->link;
    http_group_t *group = link->group;
    look_at_due(h2);
    if (h2->is_over) return;
    if (h2->was_left) {
        h2->was_left = 0;
        hv__http_serve_waiting(group);
        if (h2->is_over) return;
    }
    int may_rest = link->state != LINK_IDLE || h2->is_retired;
    if (h2->error == 0 && h2->call_count == 0 && may_rest) {
        hv__http_link_rest(link);
        if (!h2->is_over) hv__http_serve_waiting(group); /* there may be room for another link */
        if (h2->is_over) return;
    }
    h2->runs_again = 0;
    int code = hv__h2_flush(h2->session, link->io);
    if (code != 0 && h2->error == 0) h2->error = code;
    /* Sending may have ended a stream, or made room. */
    look_at_due(h2);
    int is_finished =
        !nghttp2_session_want_read(h2->session) && !nghttp2_session_want_write(h2->session);
    if (h2->error != 0 || is_finished) end(h2);
}

/* With the group held, since what is told may end all that is in it. */
static void run(h2_link_t *h2, const char *data, size_t len) {
    http_group_t *group = h2->link->group;
    size_t at = 0;
    group->holds++;
    h2->is_running = 1;
    int has_paused = 0;
    while (!h2->is_over && (at < len || has_paused)) {
        h2->chunk_call = NULL;
        h2->chunk.len = 0;
        ssize_t used = nghttp2_session_mem_recv(h2->session, (const uint8_t *)data + at, len - at);
        if (used < 0) {
            if (h2->error == 0) h2->error = hv__h2_code((int)used);
            break;
        }
        at += (size_t)used;
        has_paused = h2->chunk.len > 0;
        look_at_due(h2);
        if (h2->chunk_call != NULL) hv__h2_call_tell(h2->chunk_call, h2->chunk.data, h2->chunk.len);
    }
    settle(h2);
    h2->is_running = 0;
    if (!h2->is_over && h2->runs_again) hv__h2_link_later(h2);
    group->holds--;
    hv__http_group_leave(group);
}

static void on_read(hio_t *io, void *buf, int len) {
    http_link_t *link = hevent_userdata(io);
    h2_link_t *h2 = link->h2;
    h2->read_ms = hv__http_ms(link->group->client);
    run(h2, buf, (size_t)len);
}

static void on_drain(hio_t *io) {
    http_link_t *link = hevent_userdata(io);
    if (!link->h2->is_over) run(link->h2, NULL, 0);
}

static void run_work(hv__defer_t *work) {
    h2_link_t *h2 = HV_CONTAINER_OF(work, h2_link_t, work);
    if (!h2->is_over) run(h2, NULL, 0);
}

const http_mux_t hv__h2_client = {
    .begin = begin,
    .has_room = has_room,
    .use = hv__h2_call_use,
    .leave = hv__h2_call_leave,
    .go_on = hv__h2_call_go_on,
    .send_body = hv__h2_call_send_body,
    .write = hv__h2_call_write,
    .finish = hv__h2_call_finish,
    .farewell = farewell,
    .closed = closed,
    .free = free_link,
};
