/* http_call.c - a call: its request, its deadlines, its end, and what the program may do with it.
 *
 * The request's head is written once, when the call starts, and kept: a call whose kept connection
 * turns out to be closed is sent again over a new one. That is done only where it is safe (RFC 9112
 * section 9.3.1, RFC 9110 section 9.2.2): the method is idempotent, not a byte has been answered,
 * and the body is in memory or has not been asked for yet.
 *
 * One timer serves all deadlines of a call. It is set to the nearest when the call starts and is
 * not touched while bytes move: when it fires it looks at how long the connection has been silent.
 */
#include "h1_write.h"
#include "http_client_int.h"

#define BODY_SLICE_BYTES (256 * 1024)

/* ---- Deadlines ---- */

static void nearer(uint64_t *nearest, uint64_t since_ms, uint32_t timeout_ms) {
    if (timeout_ms == 0 || timeout_ms == INFINITE) return;
    if (since_ms + timeout_ms < *nearest) *nearest = since_ms + timeout_ms;
}

/* When the connection was last alive; it counts only while the program wants something of it. */
static uint64_t last_active_ms(const hhttp_call_t *call, uint64_t now_ms) {
    int counts = call->link != NULL && !(call->flags & CALL_PAUSED) &&
                 (call->state == CALL_HEAD || call->state == CALL_BODY);
    if (!counts) return now_ms;
    return call->stream != NULL ? call->active_ms : now_ms - hio_idle_ms(call->link->io);
}

static uint64_t next_deadline(const hhttp_call_t *call, uint64_t now_ms) {
    const hhttp_call_options_t *options = &call->options;
    uint64_t nearest = UINT64_MAX;
    if (call->state >= CALL_UPGRADED) return nearest;
    nearer(&nearest, call->start_ms, options->total_timeout_ms);
    if (call->state < CALL_BODY) nearer(&nearest, call->start_ms, options->head_timeout_ms);
    /* A call that waits for another one's connection gives it the time of its own; how long it
     * waits for a turn is limited by the head timeout. */
    int waits_for_turn = call->state == CALL_WAITING && call->group != NULL &&
                         (call->group->opening_count == 0 || call->group->shared != NULL);
    if (call->connect_start_ms != 0 && !waits_for_turn) {
        nearer(&nearest, call->connect_start_ms, options->connect_timeout_ms);
    }
    if (call->flags & CALL_HOLDS_BODY && call->hold_until_ms < nearest) {
        nearest = call->hold_until_ms;
    }
    nearer(&nearest, last_active_ms(call, now_ms), options->idle_timeout_ms);
    return nearest;
}

static void on_timer(htimer_t *timer) {
    hhttp_call_t *call = hevent_userdata(timer);
    uint64_t now_ms = hv__http_ms(call->client);
    call->timer = NULL;
    call->timer_due_ms = UINT64_MAX;
    if (call->flags & CALL_HOLDS_BODY && call->hold_until_ms <= now_ms) {
        /* The server does not know the expectation, or is slow: RFC 9110 section 10.1.1. */
        call->flags &= ~(uint32_t)CALL_HOLDS_BODY;
        hv__http_call_send_body(call);
    }
    if (next_deadline(call, now_ms) <= now_ms) {
        hv__http_call_end(call, HV_ETIMEDOUT, NULL);
    } else {
        hv__http_call_arm(call);
    }
}

void hv__http_call_arm(hhttp_call_t *call) {
    uint64_t now_ms = hv__http_ms(call->client);
    uint64_t due_ms = next_deadline(call, now_ms);
    if (due_ms == UINT64_MAX || (call->timer != NULL && call->timer_due_ms <= due_ms)) return;
    uint32_t wait_ms = due_ms > now_ms ? (uint32_t)(due_ms - now_ms) : 1;
    call->timer_due_ms = due_ms;
    if (call->timer != NULL) {
        htimer_reset(call->timer, wait_ms);
        return;
    }
    call->timer = htimer_add(call->client->loop, on_timer, wait_ms, 1);
    if (call->timer == NULL) {
        hv__http_call_end(call, HV_ENOMEM, NULL);
        return;
    }
    hevent_set_userdata(call->timer, call);
}

/* ---- Work that waits for the loop ---- */

static void run_work(hv__defer_t *work) {
    hhttp_call_t *call = HV_CONTAINER_OF(work, hhttp_call_t, work);
    if (call->state == CALL_DONE) {
        hv__http_call_report(call);
        return;
    }
    hhttp_call_retain(call);
    if (call->flags & CALL_READY_OWED && call->link != NULL) {
        call->flags = (call->flags & ~(uint32_t)CALL_READY_OWED) | CALL_READY;
        if (call->options.on_ready != NULL) {
            HV_DISPATCH(call->client->loop, call->options.on_ready(call));
        }
    }
    int has_more = call->link != NULL || call->stream != NULL;
    if (call->flags & CALL_RESUMED && has_more && call->state != CALL_DONE) {
        call->flags &= ~(uint32_t)CALL_RESUMED;
        if (call->flags & CALL_PAUSED) {
            /* Again, meanwhile. */
        } else if (call->stream != NULL) {
            hv__h2_client.go_on(call);
        } else {
            hv__http_link_go_on(call->link);
        }
    }
    hhttp_call_release(call);
}

/* Puts off what cannot be done inside an API call. */
static void advance_later(hhttp_call_t *call) {
    hv__defer(call->client->loop, &call->work, run_work);
}

/* ---- Ends ---- */

void hv__http_call_unwait(hhttp_call_t *call) {
    int is_found = hlist_remove(&call->group->waiting, &call->wait_link);
    HV_ASSERT(is_found);
    call->group->waiting_count--;
    call->client->counts.waiting--;
    call->connect_start_ms = 0;
}

void hv__http_call_part(hhttp_call_t *call) {
    if (call->stream != NULL) {
        hv__h2_client.leave(call);
    } else if (call->link != NULL) {
        hv__http_link_drop(call->link);
    }
}

void hv__http_call_end(hhttp_call_t *call, int error, const char *words) {
    if (call->state == CALL_DONE) return;
    int was_waiting = call->state == CALL_WAITING && call->group != NULL;
    call->state = CALL_DONE;
    call->error = error;
    if (words != NULL) snprintf(call->detail, sizeof call->detail, "%s", words);
    if (was_waiting && hlist_remove(&call->group->waiting, &call->wait_link)) {
        call->group->waiting_count--;
        call->client->counts.waiting--;
        hv__http_group_leave(call->group);
    }
    int is_useful = error == HV_ECANCELED && call->link != NULL && call->stream == NULL;
    if (!is_useful || !hv__http_hand_over(call->link)) hv__http_call_part(call);
    call->group = NULL;
    advance_later(call);
}

static void unlist(hhttp_call_t *call) {
    hhttp_client_t *client = call->client;
    if (call->prev != NULL) {
        call->prev->next = call->next;
    } else {
        client->calls = call->next;
    }
    if (call->next != NULL) call->next->prev = call->prev;
    if (call->timer != NULL) htimer_del(call->timer);
    call->timer = NULL;
    hv__defer_cancel(client->loop, &call->work);
}

void hv__http_call_report(hhttp_call_t *call) {
    hhttp_client_t *client = call->client;
    HV_ASSERT(call->state == CALL_DONE && call->link == NULL && call->stream == NULL);
    unlist(call);
    call->client = NULL;
    HV_DISPATCH(client->loop, call->options.on_done(call, call->error));
    hhttp_call_release(call);
    hv__http_client_leave(client);
}

void hv__http_call_forget(hhttp_call_t *call) {
    HV_ASSERT(call->link == NULL);
    http_group_t *group = call->group;
    unlist(call);
    hhttp_call_release(call);
    hv__http_group_leave(group);
}

int hv__http_call_is_repeatable(const hhttp_call_t *call) {
    if (call->state != CALL_HEAD || !(call->flags & CALL_IDEMPOTENT)) return 0;
    if (call->flags & CALL_HEARD || call->client->is_closing) return 0;
    return !(call->flags & CALL_STREAMED && call->flags & CALL_READY);
}

static void forget_expectation(hhttp_call_t *call) {
    static const char line[] = "\r\nExpect: 100-continue\r\n";
    char *at = memmem(call->head, call->head_len, line, sizeof line - 1);
    HV_ASSERT(at != NULL); /* a value cannot hold a line end, so this is the line of ours */
    size_t cut = sizeof line - 3;
    char *rest = at + cut;
    memmove(at, rest, call->head_len - (size_t)(rest - call->head));
    call->head_len -= cut;
    call->flags &= ~(uint32_t)CALL_EXPECTS;
}

void hv__http_call_name_version(hhttp_call_t *call, int version) {
    static const char first[] = "HTTP/1.1", second[] = "HTTP/2";
    int is_second = (call->flags & CALL_NAMES_HTTP2) != 0;
    if (is_second == (version == 20)) return;
    char *line_end = memchr(call->head, '\r', call->head_len);
    HV_ASSERT(line_end != NULL);
    char *from = line_end - (is_second ? sizeof second : sizeof first) + 1;
    const char *name = is_second ? first : second;
    char *to = from + strlen(name);
    memmove(to, line_end, call->head_len - (size_t)(line_end - call->head));
    memcpy(from, name, strlen(name));
    /* The head had room for the longer one when it was written. */
    call->head_len = (size_t)((ptrdiff_t)call->head_len + (to - line_end));
    call->flags ^= CALL_NAMES_HTTP2;
}

void hv__http_call_forget_reply(hhttp_call_t *call) {
    call->reply.status = 0;
    hv__http_trailers_free(call->trailers);
    call->trailers = NULL;
}

void hv__http_call_repeat(hhttp_call_t *call, int how) {
    hhttp_client_t *client = call->client;
    if (how & REPEAT_WITHOUT_EXPECT) forget_expectation(call);
    call->flags &= ~(uint32_t)(CALL_HEARD | CALL_HOLDS_BODY | CALL_BODY_BEGUN | CALL_READY_OWED);
    if (call->options.body_len != 0) call->flags &= ~(uint32_t)CALL_BODY_SENT;
    call->state = CALL_WAITING;
    if (how & REPEAT_FRESH) call->options.is_fresh = 1;
    call->repeats++;
    call->body_left = call->options.body_len;
    call->sent = 0;
    hv__http_call_forget_reply(call);
    client->counts.repeated++;
    int code = hv__http_assign(call);
    if (code != 0) hv__http_call_end(call, code, NULL);
}

void hhttp_call_cancel(hhttp_call_t *call) {
    if (call->client != NULL) hv__http_call_end(call, HV_ECANCELED, NULL);
}

void hhttp_call_retain(hhttp_call_t *call) {
    call->refs++;
}

void hhttp_call_release(hhttp_call_t *call) {
    HV_ASSERT(call->refs > 0);
    if (--call->refs > 0) return;
    hv__free(call->head);
    hv__free(call->block);
    hv__http_trailers_free(call->trailers);
    hv__http_follow_free(call->follow);
    hv__http_decoder_free(call->decoder);
    hv__free(call);
}

/* ---- The body of the request ---- */

static void send_from_memory(hhttp_call_t *call) {
    hio_t *io = call->link->io;
    const char *body = call->options.body;
    int64_t len = call->options.body_len;
    while (call->body_left > 0 && !hio_write_is_high(io)) {
        size_t slice =
            call->body_left < BODY_SLICE_BYTES ? (size_t)call->body_left : BODY_SLICE_BYTES;
        call->flags |= CALL_BODY_BEGUN;
        int code = hio_write(io, body + (len - call->body_left), slice);
        /* The close callback tells why; what the server has answered meanwhile is read first. */
        if (code < 0) return;
        call->body_left -= (int64_t)slice;
        call->sent += slice;
    }
    if (call->body_left == 0) call->flags |= CALL_BODY_SENT;
}

void hv__http_call_send_body(hhttp_call_t *call) {
    if (call->flags & (CALL_HOLDS_BODY | CALL_BODY_SENT)) return;
    if (call->stream != NULL && (!(call->flags & CALL_STREAMED) || call->flags & CALL_READY)) {
        hv__h2_client.send_body(call);
    } else if (!(call->flags & CALL_STREAMED)) {
        send_from_memory(call);
    } else if (!(call->flags & CALL_READY)) {
        call->flags |= CALL_READY_OWED;
        advance_later(call);
    }
}

/* Returns 0 where the program may write now. */
static int check_writing(const hhttp_call_t *call) {
    if (call->state >= CALL_UPGRADED || call->flags & CALL_BODY_SENT) return HV_ECLOSED;
    if (!(call->flags & CALL_STREAMED)) return HV_EINVAL;
    return call->flags & CALL_READY && call->link != NULL ? 0 : HV_ENOTCONN;
}

/* Returns 0; HV_EAGAIN where the queue is above its high-water mark; or an error. */
static int write_piece(hhttp_call_t *call, const void *data, size_t len) {
    hio_t *io = call->link->io;
    int code = 0, is_begun = 0;
    if (call->flags & CALL_CHUNKED) {
        char line[18];
        code = hio_write(io, line, h1_write_chunk_head(len, line));
        is_begun = code >= 0;
    }
    if (code >= 0) code = hio_write(io, data, len);
    if (code >= 0 && call->flags & CALL_CHUNKED) code = hio_write(io, "\r\n", 2);
    if (code >= 0) return hio_write_is_high(io) ? HV_EAGAIN : 0;
    /* Behind half a chunk the server would take anything for the rest of it. */
    if (is_begun) hv__http_call_end(call, code, NULL);
    return code;
}

int hhttp_call_write(hhttp_call_t *call, const void *data, size_t len) {
    int code = check_writing(call);
    if (code != 0 || len == 0) return code; /* a chunk of 0 bytes would be the end */
    if (len > INT32_MAX) return HV_ELIMIT;
    if (call->body_left >= 0 && len > (uint64_t)call->body_left) return HV_ELIMIT;
    call->flags |= CALL_BODY_BEGUN;
    code =
        call->stream != NULL ? hv__h2_client.write(call, data, len) : write_piece(call, data, len);
    if (code < 0 && code != HV_EAGAIN) return code;
    if (call->body_left >= 0) call->body_left -= (int64_t)len;
    call->sent += len;
    if (code == HV_EAGAIN) call->flags |= CALL_DRAIN_OWED;
    return code;
}

/* Ends a body of HTTP/1.1 in chunks. */
static int write_last_chunk(hhttp_call_t *call, const hhttp_header_t *trailers, size_t count) {
    if (count == 0) return hio_write(call->link->io, "0\r\n\r\n", 5);
    size_t len;
    char *text = hv__http_last_chunk(trailers, count, &len);
    if (text == NULL) return HV_ENOMEM;
    int code = hio_write(call->link->io, text, len);
    hv__free(text);
    return code;
}

int hhttp_call_finish(hhttp_call_t *call) { return hhttp_call_finish_with(call, NULL, 0); }

int hhttp_call_finish_with(hhttp_call_t *call, const hhttp_header_t *trailers, size_t count) {
    int code = check_writing(call);
    if (code == 0 && count > 0) code = hv__http_trailers_check(trailers, count);
    if (code != 0) return code;
    if (call->body_left > 0) {
        hv__http_call_end(call, HV_EPROTO, "the body is shorter than was said");
        return HV_EPROTO;
    }
    if (call->stream != NULL) {
        code = hv__h2_client.finish(call, trailers, count);
    } else if (call->flags & CALL_CHUNKED) {
        code = write_last_chunk(call, trailers, count);
    }
    if (code < 0) return code;
    call->flags |= CALL_BODY_SENT;
    return 0;
}

/* ---- The response ---- */

int hhttp_call_status(const hhttp_call_t *call) {
    return call->reply.status;
}

hhttp_slice_t hhttp_call_reason(const hhttp_call_t *call) {
    return call->reply.status != 0 ? call->reply.reason : (hhttp_slice_t){NULL, 0};
}

int hhttp_call_version(const hhttp_call_t *call) {
    return call->reply.version;
}

hhttp_slice_t hhttp_call_header(const hhttp_call_t *call, const char *name, size_t name_len) {
    if (call->reply.status == 0) return (hhttp_slice_t){NULL, 0};
    return h1_find_header(call->reply.headers, name, name_len);
}

int hhttp_call_next_header(const hhttp_call_t *call, size_t *cursor, hhttp_header_t *header) {
    return call->reply.status != 0 && h1_next_header(call->reply.headers, cursor, header);
}

/* Before the end they are not whole; after a failure they are nothing to go by. */
static int has_trailers(const hhttp_call_t *call) {
    return call->state == CALL_DONE && call->error == 0;
}

hhttp_slice_t hhttp_call_trailer(const hhttp_call_t *call, const char *name, size_t name_len) {
    if (!has_trailers(call)) return (hhttp_slice_t){NULL, 0};
    return hv__http_trailers_find(call->trailers, name, name_len);
}

int hhttp_call_next_trailer(const hhttp_call_t *call, size_t *cursor, hhttp_header_t *trailer) {
    if (!has_trailers(call)) return HV_EAGAIN;
    return hv__http_trailers_next(call->trailers, cursor, trailer);
}

int64_t hhttp_call_length(const hhttp_call_t *call) {
    if (call->reply.status == 0) return -1;
    return call->reply.body == H1_REPLY_NO_BODY ? 0 : call->reply.length;
}

void hhttp_call_pause(hhttp_call_t *call) {
    if (call->state >= CALL_UPGRADED) return;
    call->flags |= CALL_PAUSED;
    if (call->link != NULL && call->link->state == LINK_BUSY) hio_read_stop(call->link->io);
}

void hhttp_call_resume(hhttp_call_t *call) {
    if (!(call->flags & CALL_PAUSED) || call->state >= CALL_UPGRADED) return;
    call->flags = (call->flags & ~(uint32_t)CALL_PAUSED) | CALL_RESUMED;
    advance_later(call);
}

hio_t *hhttp_call_take_io(hhttp_call_t *call) {
    http_link_t *link = call->link;
    if (call->state != CALL_UPGRADED || link == NULL || !hio_is_opened(link->io)) return NULL;
    hio_t *io = link->io;
    http_group_t *group = link->group;
    hio_setcb_read(io, NULL);
    hio_setcb_drain(io, NULL);
    hio_setcb_connect(io, NULL);
    hio_setcb_close(io, NULL);
    hevent_set_userdata(io, NULL);
    hio_read_stop(io);
    hio_set_max_read_bufsize(io, 2u << 20);
    hio_set_max_write_bufsize(io, HIO_DEFAULT_WRITE_MAX);
    call->link = NULL;
    link->call = NULL;
    hv__http_link_free(link);
    hv__http_call_end(call, 0, NULL);
    hv__http_serve_waiting(group);
    hv__http_group_leave(group);
    return io;
}

/* ---- Facts ---- */

const char *hhttp_call_error_text(const hhttp_call_t *call) {
    return call->detail[0] != '\0' ? call->detail : herr_text(call->error);
}

hhttp_slice_t hhttp_call_request_head(const hhttp_call_t *call) {
    return (hhttp_slice_t){call->head, call->head_len};
}

hio_t *hhttp_call_io(const hhttp_call_t *call) {
    return call->link != NULL ? call->link->io : NULL;
}

int hhttp_call_is_reused(const hhttp_call_t *call) {
    return (call->flags & CALL_REUSED) != 0;
}
uint64_t hhttp_call_sent(const hhttp_call_t *call) {
    return call->sent;
}
int hhttp_call_was_sent(const hhttp_call_t *call) {
    return (call->flags & CALL_SENT) != 0;
}
void *hhttp_call_userdata(const hhttp_call_t *call) {
    return call->options.userdata;
}
void hhttp_call_set_userdata(hhttp_call_t *call, void *userdata) {
    call->options.userdata = userdata;
}
