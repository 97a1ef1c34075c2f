/* http_link.c - one connection of a client: how it comes about, and what is read from it.
 *
 * Arriving bytes are parsed where they lie, in the loop's read buffer; what cannot be used yet
 * (half a head, or anything while the call is paused) is kept. A request that may be answered by a
 * change of protocol is read up to the end of the head and not further, so that the bytes behind it
 * stay with the io for whoever takes it.
 *
 * Invariants: a link that rests is read, so that its end, and bytes nobody has asked for, are seen:
 * both take it out of the pool. A response that is complete gives the connection back only where
 * the request is, too, and nothing lies behind it. A link's memory lives until the io's close
 * callback, but for one whose io was taken; process() tells that apart by TAKEN. */
#include "http_client_int.h"

#define TAKEN             (-1)
#define READ_MAX          (2u << 20) /* what an io keeps by default */
#define WRITE_MAX         (UINT32_MAX / 2)

/* ---- Ends ---- */

void hv__http_link_free(http_link_t *link) {
    if (link->h2 != NULL) hv__h2_client.free(link);
    link->group->count--;
    link->group->client->counts.connections--;
    hbuf_deinit(&link->kept);
    hv__free(link->through);
    hv__free(link);
}

static void part(http_link_t *link) {
    if (link->state == LINK_IDLE) hv__http_idle_remove(link);
    if (link->state == LINK_SHARED) hv__http_shared_remove(link);
    hv__http_opened(link, 1);
    if (link->call != NULL) link->call->link = NULL;
    link->call = NULL;
    link->state = LINK_CLOSED;
}

void hv__http_link_drop(http_link_t *link) {
    part(link);
    if (link->h2 != NULL) {
        hv__h2_client.farewell(link);
        hio_close(link->io);
    } else {
        hio_abort(link->io);
    }
}

void hv__http_link_rest(http_link_t *link) {
    http_group_t *group = link->group;
    const hhttp_client_options_t *options = &group->client->options;
    if (link->state != LINK_SHARED || group->client->is_closing ||
        group->idle_count >= options->idle_per_host_max) {
        hv__http_link_drop(link);
        return;
    }
    hv__http_shared_remove(link);
    hv__http_idle_add(link);
}

/* Connecting has failed; words may be NULL. */
static void fail(http_link_t *link, int code, const char *words) {
    hhttp_call_t *call = link->call;
    if (call != NULL) {
        hv__http_call_end(call, code, words); /* drops the link */
    } else {
        hv__http_link_drop(link);
    }
}

const char *hv__http_words_of_end(const hhttp_call_t *call) {
    return call->state <= CALL_CONNECTING ? "the peer has closed the connection"
           : call->flags & CALL_HEARD
               ? "the server has closed the connection before the response was complete"
               : "the server has closed the connection without a response";
}

/* Why a call ends with its connection. The words live as long as the io. */
static int error_of(const hio_t *io, const hhttp_call_t *call, const char **words) {
    int error = -hio_error(io);
    *words = hio_ssl_error(io);
    if (error != 0) return error;
    *words = hv__http_words_of_end(call);
    return HV_EOF;
}

/* A body without a length ends with its connection, if that ends in order. */
static int is_whole(const hio_t *io, const hhttp_call_t *call) {
    return call->state == CALL_BODY && call->reply.body == H1_REPLY_UNTIL_CLOSE &&
           hio_error(io) == 0 && !hio_ssl_is_truncated(io);
}

/* The connection has ended, and with it the body. */
static void finish_until_close(hhttp_call_t *call) {
    http_decoder_t *decoder = call->decoder;
    while (decoder != NULL && call->state == CALL_BODY) {
        if (hv__http_decoder_is_busy(decoder)) {
            hv__http_decoder_step(call);
        } else if (!hv__http_decoder_is_finished(decoder)) {
            hv__http_decoder_finish(decoder);
        } else {
            break;
        }
    }
    if (call->state != CALL_BODY) return;
    call->state = CALL_DONE;
    hv__http_call_report(call);
}

static void on_close(hio_t *io) {
    http_link_t *link = hevent_userdata(io);
    http_group_t *group = link->group;
    hhttp_client_t *client = group->client;
    hhttp_call_t *call = link->call;
    int had_served = link->served > 0;
    group->holds++; /* what on_done does may end the last call of it */
    part(link);
    if (link->h2 != NULL) hv__h2_client.closed(link);
    hv__http_link_free(link);
    if (call != NULL) {
        const char *words;
        int error = error_of(io, call, &words);
        if (call->flags & CALL_FOLLOWS && call->state == CALL_BODY) {
            hv__http_follow_go(call);
        } else if (is_whole(io, call)) {
            finish_until_close(call);
        } else if (had_served && error != HV_ELIMIT && hv__http_call_is_repeatable(call)) {
            hv__http_call_repeat(call, REPEAT_FRESH);
        } else {
            hv__http_call_end(call, error, words);
        }
    }
    group->holds--;
    hv__http_serve_waiting(group);
    hv__http_group_leave(group);
    hv__http_client_leave(client);
}

/* ---- Connecting ---- */

/* What a link may turn out to speak beside HTTP/1.1. */
static int may_be_h2(const http_group_t *group) {
    const http_place_t *place = &group->place;
    if (place->http2 == HHTTP_CALL_HTTP2_PRIOR) return 1;
    return place->http2 == HHTTP_CALL_HTTP2_OFFERED && place->is_https && !group->wants_h1;
}

/* By ALPN, unless the program's context has a list of its own. Returns 0 or an error. */
static int offer_versions(http_link_t *link, hssl_ctx_t tls) {
    const http_group_t *group = link->group;
    if (group->place.http2 == HHTTP_CALL_HTTP2_PRIOR) return hio_set_alpn(link->io, "h2");
    if (!may_be_h2(group)) return hio_set_alpn(link->io, "http/1.1");
    return hssl_ctx_alpn(tls) == NULL ? hio_set_alpn(link->io, "h2,http/1.1") : 0;
}

/* Starts TLS, or has it start once connected. Returns 0 or an error. */
static int secure(http_link_t *link) {
    const http_place_t *place = &link->group->place;
    int code = 0;
    hssl_ctx_t tls = hv__http_tls_of(link->group->client, place, &code);
    if (tls != NULL) code = hio_set_ssl_ctx(link->io, tls);
    if (code == 0) code = offer_versions(link, tls);
    const char *name = place->server_name != NULL ? place->server_name : place->host;
    return code == 0 ? hio_set_hostname(link->io, name) : code;
}

static int uses_tunnel(const http_place_t *place) {
    if (place->proxy == HHTTP_PROXY_SOCKS5) return 1;
    return place->proxy != HHTTP_PROXY_NONE && (place->is_https || place->tunnels);
}

static void on_connect(hio_t *io);

/* The tunnel is there: what is inside of it begins. Over TLS to the proxy that is another io. */
static void begin_inside(http_link_t *link) {
    const http_place_t *place = &link->group->place;
    if (!place->is_https) {
        on_connect(link->io);
        return;
    }
    if (place->proxy == HHTTP_PROXY_HTTPS) {
        hio_t *inner = hv__http_through_nest(link->io);
        if (inner == NULL) {
            fail(link, hloop_last_error(link->group->client->loop), NULL);
            return;
        }
        link->io = inner;
        hevent_set_userdata(inner, link);
        hio_setcb_close(inner, on_close);
        hio_setcb_connect(inner, on_connect);
    }
    int code = secure(link);
    if (code != 0) fail(link, code, NULL);
}

static void on_through(http_through_t *through, int code, const char *words) {
    http_link_t *link = hevent_userdata(through->io);
    if (code != 0) {
        fail(link, code, words);
        return;
    }
    link->state = LINK_SECURING;
    begin_inside(link);
}

static void on_proxy_read(hio_t *io, void *buf, int len) {
    http_link_t *link = hevent_userdata(io);
    if (link->state == LINK_PROXY) hv__http_through_read(link->through, buf, (size_t)len);
}

static void begin_proxy(http_link_t *link) {
    const http_place_t *place = &link->group->place;
    link->through = hv__calloc(1, sizeof *link->through);
    if (link->through == NULL) {
        fail(link, HV_ENOMEM, NULL);
        return;
    }
    *link->through = (http_through_t){
        .io = link->io,
        .host = place->host,
        .user = place->proxy_user,
        .password = place->proxy_password,
        .limits = &link->group->client->limits,
        .port = place->port,
        .kind = place->proxy,
        .tell = on_through,
    };
    link->state = LINK_PROXY;
    hio_setcb_read(link->io, on_proxy_read);
    hv__http_through_begin(link->through);
}

/* The connection is there, proxy and TLS included: sends the request. */
static void send_first_request(http_link_t *link);

static void on_connect(hio_t *io) {
    http_link_t *link = hevent_userdata(io);
    if (link->call == NULL) return;
    if (link->state == LINK_CONNECTING && uses_tunnel(&link->group->place)) {
        begin_proxy(link);
    } else {
        send_first_request(link);
    }
}

int hv__http_link_open(http_group_t *group, hhttp_call_t *call) {
    const http_place_t *place = &group->place;
    hloop_t *loop = group->client->loop;
    http_link_t *link = hv__calloc(1, sizeof *link);
    if (link == NULL) return HV_ENOMEM;
    const char *host = place->proxy != HHTTP_PROXY_NONE ? place->proxy_host : place->host;
    int port = place->proxy != HHTTP_PROXY_NONE ? place->proxy_port : place->port;
    if (place->unix_path != NULL) host = place->unix_path;
    link->group = group;
    link->io = hio_tcp_client(loop, host, port, on_connect, NULL);
    int code = link->io == NULL ? hloop_last_error(loop) : 0;
    if (code == 0 && place->proxy == HHTTP_PROXY_HTTPS) {
        code = hv__http_proxy_secure(link->io, host, place->proxy_tls);
    } else if (code == 0 && place->is_https && !uses_tunnel(place)) {
        code = secure(link);
    }
    if (code != 0) {
        if (link->io != NULL) hio_abort(link->io);
        hv__free(link);
        return code;
    }
    hevent_set_userdata(link->io, link);
    hio_setcb_close(link->io, on_close);
    hio_set_connect_timeout(link->io, 0); /* the call's timer covers all of it */
    group->count++;
    link->is_opening = may_be_h2(group) && !group->is_h1;
    group->opening_count += link->is_opening;
    group->client->counts.connections++;
    group->client->counts.opened++;
    link->call = call;
    call->link = link;
    call->state = CALL_CONNECTING;
    call->connect_start_ms = hv__http_ms(group->client);
    hv__http_call_arm(call);
    return 0;
}

static void on_read(hio_t *io, void *buf, int len);

static void on_drain(hio_t *io) {
    http_link_t *link = hevent_userdata(io);
    hhttp_call_t *call = link->call;
    if (call == NULL || call->link != link) return;
    if (!(call->flags & CALL_STREAMED)) {
        hv__http_call_send_body(call);
    } else if (call->flags & CALL_DRAIN_OWED) {
        call->flags &= ~(uint32_t)CALL_DRAIN_OWED;
        if (call->options.on_drain != NULL) {
            HV_DISPATCH(link->group->client->loop, call->options.on_drain(call));
        }
    }
}

/* The version that a connected link speaks: 11, 20, or an error. */
static int version_of(const http_link_t *link) {
    const http_place_t *place = &link->group->place;
    char name[8];
    if (!may_be_h2(link->group)) return 11;
    if (!place->is_https) return 20;
    hio_ssl_alpn(link->io, name, sizeof name);
    if (strcmp(name, "h2") == 0) return 20;
    return place->http2 == HHTTP_CALL_HTTP2_PRIOR ? HV_EPROTO : 11;
}

/* The link serves its call and all that wait. */
static void begin_sharing(http_link_t *link) {
    hhttp_call_t *call = link->call;
    http_group_t *group = link->group;
    int code = hv__h2_client.begin(link);
    if (code != 0) {
        fail(link, code, NULL);
        return;
    }
    link->call = NULL;
    call->link = NULL;
    hv__http_shared_add(link);
    hv__http_link_use(link, call);
    hv__http_serve_waiting(group);
}

static void send_first_request(http_link_t *link) {
    hhttp_call_t *call = link->call;
    http_group_t *group = link->group;
    /* How much waits to be sent is kept in bounds by on_drain, not by refusing. */
    hio_set_max_write_bufsize(link->io, WRITE_MAX);
    int version = version_of(link);
    if (version < 0) {
        fail(link, version, "the server does not offer HTTP/2");
        return;
    }
    if (version == 20) {
        begin_sharing(link);
        return;
    }
    int others_wait = link->is_opening;
    group->is_h1 = 1;
    hv__http_opened(link, 0);
    hio_setcb_read(link->io, on_read);
    hio_setcb_drain(link->io, on_drain);
    hv__http_link_use(link, call);
    if (others_wait) hv__http_serve_waiting(group);
}

/* The next head, and no byte behind it. */
static void read_head_only(http_link_t *link) {
    const h1_limits_t *limits = &link->group->client->limits;
    hio_set_max_read_bufsize(link->io,
                             limits->request_line_bytes_max + limits->header_bytes_max + 8);
    hio_read_until(link->io, "\r\n\r\n", 4);
}

void hv__http_link_use(http_link_t *link, hhttp_call_t *call) {
    hhttp_client_t *client = link->group->client;
    call->link = link;
    call->state = CALL_HEAD;
    call->connect_start_ms = 0;
    if (call->flags & CALL_EXPECTS) {
        call->flags |= CALL_HOLDS_BODY;
        call->hold_until_ms = hv__http_ms(client) + 1000;
    }
    hv__http_call_name_version(call, link->h2 != NULL ? 20 : 11);
    if (link->h2 != NULL) {
        hv__h2_client.use(link, call);
        return;
    }
    link->state = LINK_BUSY;
    link->call = call;
    int code = hio_write(link->io, call->head, call->head_len);
    if (code < 0) {
        hv__http_call_end(call, code, NULL);
        return;
    }
    call->flags |= CALL_SENT;
    if (call->flags & CALL_WANTS_UPGRADE) {
        read_head_only(link);
    } else {
        hio_read(link->io);
    }
    hv__http_call_arm(call);
    hv__http_call_send_body(call);
}

/* ---- Reading ---- */

/* The response has ended; `has_more` bytes lie behind it. */
static void finish(http_link_t *link, int has_more) {
    hhttp_call_t *call = link->call;
    http_group_t *group = link->group;
    const hhttp_client_options_t *options = &group->client->options;
    int is_kept = call->reply.keep_alive && call->flags & CALL_BODY_SENT && !call->options.closes &&
                  !has_more && !group->client->is_closing &&
                  group->idle_count < options->idle_per_host_max;
    link->call = NULL;
    call->link = NULL;
    link->served++;
    if (is_kept) {
        hv__http_idle_add(link);
        hv__http_serve_waiting(group);
    } else {
        link->state = LINK_CLOSED;
        /* A request that is answered before it was sent is not sent any further. */
        if (call->flags & CALL_BODY_SENT) {
            hio_close(link->io);
        } else {
            hio_abort(link->io);
        }
    }
    hv__http_answer_over(call);
}

/* A 1xx. Returns as take_head. */
static long take_interim(http_link_t *link, hhttp_call_t *call, long block_len) {
    if (call->reply.status == 101) {
        if (!(call->flags & CALL_WANTS_UPGRADE) || !call->reply.is_upgrade) {
            hv__http_call_end(call, HV_EPROTO, "the server changed the protocol unasked");
            return 0;
        }
        call->state = CALL_UPGRADED;
        hloop_t *loop = link->group->client->loop;
        if (call->options.on_head != NULL) HV_DISPATCH(loop, call->options.on_head(call));
        return TAKEN;
    }
    if (!hv__http_answer_interim(call)) return 0;
    if (call->flags & CALL_WANTS_UPGRADE) read_head_only(link);
    return block_len;
}

static long take_final(http_link_t *link, hhttp_call_t *call, long block_len) {
    if (call->flags & CALL_WANTS_UPGRADE) {
        hio_set_max_read_bufsize(link->io, READ_MAX);
        hio_read(link->io);
    }
    return hv__http_answer_final(call) ? block_len : 0;
}

/* Reads a head at the start of `data`. Returns the bytes used, 0 where nothing can be done, or
 * TAKEN. */
static long take_head(http_link_t *link, const char *data, size_t len) {
    hhttp_call_t *call = link->call;
    const h1_limits_t *limits = &link->group->client->limits;
    long block_len = h1_find_head_end(data, len, &link->scanned, limits);
    if (block_len == 0) return 0;
    link->scanned = 0;
    if (block_len < 0) {
        hv__http_call_end(call, h1_reply_error((int)-block_len), "the response head is refused");
        return 0;
    }
    char *block = hv__realloc(call->block, (size_t)block_len);
    if (block == NULL) {
        hv__http_call_end(call, HV_ENOMEM, NULL);
        return 0;
    }
    memcpy(block, data, (size_t)block_len);
    call->block = block;
    int to_head = (call->flags & CALL_TO_HEAD) != 0;
    int error = h1_parse_reply(&call->reply, block, (size_t)block_len, to_head, limits);
    if (error != 0) {
        call->reply.status = 0;
        hv__http_call_end(call, error, "the response head is refused");
        return 0;
    }
    return call->reply.status < 200 ? take_interim(link, call, block_len)
                                    : take_final(link, call, block_len);
}

static size_t take_body(http_link_t *link, const char *data, size_t len) {
    hhttp_call_t *call = link->call;
    if (call->decoder != NULL) {
        size_t room = hv__http_decoder_room(call->decoder);
        if (len > room) len = room;
    }
    hhttp_slice_t piece = {data, len};
    size_t used = len;
    if (call->reply.body == H1_REPLY_COUNTED) {
        int status = h1_parse_body(&call->reply.parser, data, len, &used, &piece);
        hhttp_slice_t trailer = h1_body_trailer(&call->reply.parser, data);
        if (HV_UNLIKELY(status == 0 && trailer.len > 0)) {
            const h1_limits_t *limits = &link->group->client->limits;
            int code = hv__http_trailers_add(&call->trailers, trailer, limits);
            if (code != 0) {
                hv__http_call_end(call, code, code == HV_ENOMEM
                                                  ? NULL
                                                  : "the response has too many trailers");
                return used;
            }
        }
        if (status != 0) {
            hv__http_call_end(call, h1_reply_error(status), "the response body is malformed");
            return used;
        }
    }
    if (piece.len > 0) hv__http_answer_piece(call, piece.data, piece.len);
    return used;
}

/* Does with `data` what can be done. Returns the bytes used, or TAKEN: the link is not to be
 * touched again. */
static long process(http_link_t *link, const char *data, size_t len) {
    hhttp_call_t *call = link->call;
    size_t used = 0;
    while (link->state == LINK_BUSY && link->call == call && !(call->flags & CALL_PAUSED)) {
        http_decoder_t *decoder = call->decoder;
        if (decoder != NULL && hv__http_decoder_is_busy(decoder)) {
            hv__http_decoder_step(call);
            continue;
        }
        int is_body = call->state == CALL_BODY;
        if (is_body && call->reply.body != H1_REPLY_UNTIL_CLOSE &&
            !h1_body_pending(&call->reply.parser)) {
            if (decoder != NULL && !hv__http_decoder_is_finished(decoder)) {
                hv__http_decoder_finish(decoder);
                continue;
            }
            finish(link, used < len);
            return (long)len;
        }
        if (used == len || (call->state != CALL_HEAD && !is_body)) break;
        if (is_body) {
            used += take_body(link, data + used, len - used);
            continue;
        }
        long taken = take_head(link, data + used, len - used);
        if (taken == TAKEN) return TAKEN;
        if (taken == 0) break;
        used += (size_t)taken;
    }
    return (long)used;
}

static void process_kept(http_link_t *link) {
    hhttp_call_t *call = link->call;
    long used = process(link, hbuf_data(&link->kept), hbuf_len(&link->kept));
    if (used == TAKEN) return;
    if (link->state == LINK_BUSY && link->call == call) {
        hbuf_consume(&link->kept, (size_t)used);
    } else {
        hbuf_deinit(&link->kept);
    }
}

static int keep(http_link_t *link, const char *data, size_t len) {
    int code = hbuf_append(&link->kept, data, len, READ_MAX * 2);
    if (code != 0) fail(link, code, NULL);
    return code;
}

static void on_read(hio_t *io, void *buf, int len) {
    http_link_t *link = hevent_userdata(io);
    hhttp_call_t *call = link->call;
    if (link->state == LINK_IDLE) hv__http_link_drop(link); /* nobody has asked for these */
    if (link->state != LINK_BUSY) return;
    call->flags |= CALL_HEARD;
    if (hbuf_len(&link->kept) > 0) {
        if (keep(link, buf, (size_t)len) == 0) process_kept(link);
        return;
    }
    long used = process(link, buf, (size_t)len);
    if (used == TAKEN || link->state != LINK_BUSY || link->call != call) return;
    if (call->flags & CALL_PAUSED) hio_read_stop(io);
    if (used < len) keep(link, (const char *)buf + used, (size_t)(len - used));
}

void hv__http_link_go_on(http_link_t *link) {
    /* First, because the response may be whole by what is kept, and a link that rests is read. */
    hio_read(link->io);
    process_kept(link);
}
