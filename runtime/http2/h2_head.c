/* h2_head.c - the head of a request: from header fields to the text that HTTP/1 would have sent.
 *
 * Everything above reads requests of HTTP/1, so a head is written down as one and parsed as one.
 * What is refused there is refused here, by the same code and under the same limits; and a client
 * that says the same thing again is recognized as it is there.
 *
 *   :method, :path       the request line; of CONNECT :authority takes the place of :path
 *   :authority           Host, which must not say anything else (RFC 9113 section 8.3.1)
 *   cookie               joined again to one line (section 8.2.3)
 *   :protocol            a GET that asks for an upgrade, with the key that WebSocket has to have in
 *                        HTTP/1 (RFC 8441 section 5)
 *
 * nghttp2 has checked before: pseudo-headers (which, how often, before all others, none among
 * trailers), names in lower case, no field of a connection, values without CR, LF, NUL and
 * surrounding blanks, and later the length of the body against content-length. */
#include "h1_chars.h"
#include "h2_int.h"
#include "http_trailers.h"

/* ---- Collecting ---- */

void hv__h2_heading_reset(h2_heading_t *heading) {
    hbuf_deinit(&heading->words);
    hbuf_deinit(&heading->fields);
    hbuf_deinit(&heading->cookie);
    memset(heading, 0, sizeof *heading);
}

/* Trailers begin. Where the request is answered already nobody asks for them. */
static void begin_trailers(h2_heading_t *heading, h2_stream_t *stream) {
    if (stream == NULL || stream->conn.req == NULL) return;
    heading->stream = stream;
    heading->is_trailer = 1;
    heading->count = 0;
    heading->status = 0;
    hbuf_consume_keep(&heading->fields, hbuf_len(&heading->fields));
}

int hv__h2_on_begin_headers(nghttp2_session *session, const nghttp2_frame *frame, void *userdata) {
    h2_conn_t *h2 = userdata;
    h2_heading_t *heading = &h2->heading;
    heading->stream = NULL;
    if (frame->headers.cat != NGHTTP2_HCAT_REQUEST) {
        begin_trailers(heading,
                       nghttp2_session_get_stream_user_data(session, frame->hd.stream_id));
        return 0;
    }
    hbuf_consume_keep(&heading->words, hbuf_len(&heading->words));
    hbuf_consume_keep(&heading->fields, hbuf_len(&heading->fields));
    hbuf_consume(&heading->cookie, hbuf_len(&heading->cookie));
    heading->method = heading->path = heading->authority = heading->protocol = (h2_word_t){0, 0};
    heading->count = 0;
    heading->has_host = heading->is_trailer = heading->status = 0;
    h2_stream_t *stream = hv__h2_stream_new(h2, frame->hd.stream_id);
    if (stream == NULL) return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE; /* resets it */
    heading->stream = stream;
    return nghttp2_session_set_stream_user_data(session, frame->hd.stream_id, stream);
}

static void refuse(h2_heading_t *heading, int status) {
    if (heading->status == 0) heading->status = status;
}

static int word_is(const h2_heading_t *heading, h2_word_t word, const char *text, size_t len) {
    return word.len == len && memcmp(hbuf_data(&heading->words) + word.at, text, len) == 0;
}

static void take_word(h2_heading_t *heading, const h1_limits_t *limits, h2_word_t *word,
                      const char *value, size_t len) {
    size_t at = hbuf_len(&heading->words);
    /* An :authority is no part of the request line, but it needs a limit as well. */
    size_t max = (size_t)limits->request_line_bytes_max * 2;
    if (len == 0) return;
    int code = hbuf_append(&heading->words, value, len, max);
    if (code != 0) {
        refuse(heading, code == HV_ENOMEM ? 503 : word == &heading->path ? 414 : 431);
        return;
    }
    *word = (h2_word_t){(uint32_t)at, (uint32_t)len};
}

static void take_pseudo(h2_heading_t *heading, const h1_limits_t *limits, const char *name,
                        size_t name_len, const char *value, size_t len) {
    switch (name_len) {
    case 5: take_word(heading, limits, &heading->path, value, len); return;
    case 7:
        if (name[1] == 'm') take_word(heading, limits, &heading->method, value, len);
        return; /* or :scheme, which is known */
    case 9: take_word(heading, limits, &heading->protocol, value, len); return;
    case 10: take_word(heading, limits, &heading->authority, value, len); return;
    default: return;
    }
}

static int take_cookie(h2_heading_t *heading, const char *value, size_t len, size_t max) {
    int code = 0;
    if (hbuf_len(&heading->cookie) > 0) code = hbuf_append(&heading->cookie, "; ", 2, max);
    if (code == 0 && len > 0) code = hbuf_append(&heading->cookie, value, len, max);
    return code;
}

static void take_field(h2_heading_t *heading, const h1_limits_t *limits, const char *name,
                       size_t name_len, const char *value, size_t len) {
    size_t max = limits->header_bytes_max;
    int code;
    if (++heading->count > limits->header_count_max) {
        code = HV_ELIMIT;
    } else if (heading->is_trailer) {
        code = hv__h2_add_line(&heading->fields, name, name_len, value, len, max);
    } else if (name_len == 6 && memcmp(name, "cookie", 6) == 0) {
        heading->count -= hbuf_len(&heading->cookie) > 0; /* all of them are one line */
        code = take_cookie(heading, value, len, max);
    } else if (name_len == 4 && memcmp(name, "host", 4) == 0 && heading->authority.len > 0) {
        /* The line for :authority is written in any case. */
        if (!word_is(heading, heading->authority, value, len)) refuse(heading, 400);
        code = 0;
    } else {
        code = hv__h2_add_line(&heading->fields, name, name_len, value, len, max);
    }
    if (code != 0) refuse(heading, code == HV_ENOMEM ? 503 : 431);
}

int hv__h2_on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name,
                     size_t name_len, const uint8_t *value, size_t value_len, uint8_t flags,
                     void *userdata) {
    (void)session, (void)frame, (void)flags;
    h2_conn_t *h2 = userdata;
    h2_heading_t *heading = &h2->heading;
    /* Of what is refused the rest is not kept; it must still be decoded, for HPACK. */
    if (heading->stream == NULL || heading->status != 0) return 0;
    const h1_limits_t *limits = &hv__h2_server_of(h2)->limits;
    const char *text = (const char *)value;
    if (name_len > 0 && name[0] == ':') {
        take_pseudo(heading, limits, (const char *)name, name_len, text, value_len);
    } else {
        take_field(heading, limits, (const char *)name, name_len, text, value_len);
    }
    return 0;
}

int hv__h2_on_invalid_header(nghttp2_session *session, const nghttp2_frame *frame,
                             const uint8_t *name, size_t name_len, const uint8_t *value,
                             size_t value_len, uint8_t flags, void *userdata) {
    (void)session, (void)frame, (void)name, (void)name_len, (void)value, (void)value_len;
    (void)flags;
    h2_conn_t *h2 = userdata;
    if (h2->heading.stream != NULL) refuse(&h2->heading, 400);
    return 0;
}

void hv__h2_end_trailers(h2_conn_t *h2) {
    h2_heading_t *heading = &h2->heading;
    h2_stream_t *stream = heading->stream;
    if (stream == NULL || !heading->is_trailer) return;
    heading->stream = NULL;
    hhttp_request_t *req = stream->conn.req;
    if (req == NULL) return;
    hhttp_slice_t lines = {hbuf_data(&heading->fields), hbuf_len(&heading->fields)};
    int code = 0;
    if (heading->status == 0) {
        code = hv__http_trailers_add(&req->trailers, lines, &hv__h2_server_of(h2)->limits);
    }
    stream->trailer_status = code != 0 ? 503 : heading->status;
}

/* ---- The request ---- */

static char *put(char *at, const char *data, size_t len) {
    memcpy(at, data, len);
    return at + len;
}

static char *put_word(char *at, const h2_heading_t *heading, h2_word_t word) {
    return word.len > 0 ? put(at, hbuf_data(&heading->words) + word.at, word.len) : at;
}

static const char upgrade_lines[] = "sec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
                                    "connection: upgrade\r\nupgrade: ";

/* Writes the head down. Returns 0 or HV_ENOMEM. */
static int write_down(const h2_heading_t *heading, hbuf_t *out) {
    size_t cookie_len = hbuf_len(&heading->cookie);
    size_t fields_len = hbuf_len(&heading->fields);
    size_t max = hbuf_len(&heading->words) * 2 + fields_len + cookie_len + 64 +
                 sizeof upgrade_lines;
    int is_extended = heading->protocol.len > 0;
    int is_connect = !is_extended && word_is(heading, heading->method, "CONNECT", 7);
    hbuf_consume_keep(out, hbuf_len(out));
    if (hbuf_reserve(out, max, UINT32_MAX / 2) != 0) return HV_ENOMEM;
    char *start = hbuf_tail(out);
    char *at = is_extended ? put(start, "GET", 3) : put_word(start, heading, heading->method);
    *at++ = ' ';
    at = put_word(at, heading, is_connect ? heading->authority : heading->path);
    at = put(at, " HTTP/1.1\r\n", 11);
    if (heading->authority.len > 0) {
        at = put(at, "host: ", 6);
        at = put_word(at, heading, heading->authority);
        at = put(at, "\r\n", 2);
    }
    if (fields_len > 0) at = put(at, hbuf_data(&heading->fields), fields_len);
    if (cookie_len > 0) {
        at = put(at, "cookie: ", 8);
        at = put(at, hbuf_data(&heading->cookie), cookie_len);
        at = put(at, "\r\n", 2);
    }
    if (is_extended) {
        at = put(at, upgrade_lines, sizeof upgrade_lines - 1);
        at = put_word(at, heading, heading->protocol);
        at = put(at, "\r\n", 2);
    }
    at = put(at, "\r\n", 2);
    HV_ASSERT((size_t)(at - start) <= max);
    hbuf_commit(out, (size_t)(at - start));
    return 0;
}

/* What a head of HTTP/1 does not know: whether a body is to come. */
static void settle_body(hhttp_request_t *req, int is_over) {
    h1_head_t *head = &req->parser.head;
    head->version = 20;
    head->keep_alive = 1;
    if (head->is_upgrade || head->method == HHTTP_CONNECT) is_over = 1; /* DATA is no body */
    head->is_chunked = !is_over && !head->has_content_length;
    h1_body_set_pending(&req->parser, !is_over);
    head->expects_continue =
        !is_over && h1_find_header(head->headers, "expect", 6).data != NULL;
}

int hv__h2_make_request(h2_stream_t *stream) {
    h2_conn_t *h2 = stream->h2;
    hhttp_server_t *server = hv__h2_server_of(h2);
    h2_server_t *v2 = server->v2;
    if (h2->heading.status != 0) return h2->heading.status;
    if (write_down(&h2->heading, &v2->head) != 0) return 503;
    hhttp_request_t *req = server->on_request != NULL ? hv__http_request_new(&stream->conn) : NULL;
    if (req == NULL) return 503;
    req->via = &hv__http2_transport;
    req->block = hbuf_data(&v2->head);
    req->block_len = hbuf_len(&v2->head);
    size_t repeated = hv__http_repeated_head(server, req->block, req->block_len);
    HV_DASSERT(repeated == 0 || repeated == req->block_len);
    int status = hv__http_parse_head(req, repeated > 0);
    if (status != 0) {
        hhttp_request_release(hv__http_request_cut(&stream->conn));
        return status;
    }
    settle_body(req, (stream->flags & STREAM_ENDED) != 0);
    return 0;
}
