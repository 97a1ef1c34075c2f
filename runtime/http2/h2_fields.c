/* h2_fields.c - heads of HTTP/2 for clients: a request's text becomes fields, the fields of a
 * response become text.
 *
 * Everything above reads heads as lines of HTTP/1, so those of a response are written down as such.
 * The request was written as HTTP/1.1 would have it before anybody knew the version; its line and
 * Host become pseudo-headers (RFC 9113 section 8.3.1), and fields of a connection are left out
 * (8.2.2).
 *
 * nghttp2 has checked before: names in lower case, no field of a connection, values without CR, LF,
 * NUL and surrounding blanks, one :status before all others and none among trailers, and later the
 * length of the body against content-length. */
#include "h1_chars.h"
#include "h1_fields.h"
#include "h2_client.h"

#define FIELDS_ON_STACK 40

/* ---- Requests ---- */

static nghttp2_nv field(const char *name, size_t name_len, hhttp_slice_t value) {
    return (nghttp2_nv){(uint8_t *)(uintptr_t)name, (uint8_t *)(uintptr_t)value.data, name_len,
                        value.len, NGHTTP2_NV_FLAG_NONE};
}

static int is_of_connection(hhttp_slice_t name) {
    static const char *const names[] = {"host",    "connection",       "keep-alive",
                                        "upgrade", "proxy-connection", "transfer-encoding"};
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        if (h1_equals_folded(name.data, name.len, names[i], strlen(names[i]))) return 1;
    }
    return 0;
}

/* nghttp2 copies the fields and folds their names. Returns how many there are. */
static size_t list_fields(const h2_call_t *self, hhttp_slice_t lines, nghttp2_nv *fields) {
    const hhttp_call_t *call = self->call;
    const char *space = memchr(call->head, ' ', call->head_len);
    const char *last = memrchr(call->head, ' ', (size_t)(lines.data - call->head));
    HV_ASSERT(space != NULL && last > space);
    int is_https = self->h2->link->group->place.is_https;
    size_t count = 0;
    fields[count++] =
        field(":method", 7, (hhttp_slice_t){call->head, (size_t)(space - call->head)});
    fields[count++] =
        field(":scheme", 7, (hhttp_slice_t){is_https ? "https" : "http", is_https ? 5 : 4});
    fields[count++] = field(":authority", 10, h1_find_header(lines, "host", 4));
    fields[count++] = field(":path", 5, (hhttp_slice_t){space + 1, (size_t)(last - space - 1)});
    size_t cursor = 0;
    hhttp_header_t header;
    while (h1_next_header(lines, &cursor, &header)) {
        if (!is_of_connection(header.name)) {
            fields[count++] = field(header.name.data, header.name.len, header.value);
        }
    }
    return count;
}

int32_t hv__h2_send_head(h2_call_t *self, const nghttp2_data_provider *body) {
    const hhttp_call_t *call = self->call;
    const char *line_end = memchr(call->head, '\r', call->head_len);
    HV_ASSERT(line_end != NULL);
    /* Between the request line and the blank one. */
    hhttp_slice_t lines = {line_end + 2, call->head_len - (size_t)(line_end - call->head) - 4};
    size_t fields_max = 4;
    for (size_t i = 0; i < lines.len; i++) fields_max += lines.data[i] == '\n';
    nghttp2_nv on_stack[FIELDS_ON_STACK];
    nghttp2_nv *fields = on_stack;
    if (fields_max > FIELDS_ON_STACK) fields = hv__malloc(fields_max * sizeof *fields);
    if (fields == NULL) return NGHTTP2_ERR_NOMEM;
    size_t count = list_fields(self, lines, fields);
    int32_t id = nghttp2_submit_request(self->h2->session, NULL, fields, count, body, self);
    if (fields != on_stack) hv__free(fields);
    return id;
}

/* ---- Responses ---- */

int hv__h2_client_on_begin_headers(nghttp2_session *session, const nghttp2_frame *frame,
                                   void *userdata) {
    h2_link_t *h2 = userdata;
    h2_heading_t *heading = &h2->heading;
    heading->call = NULL;
    if (frame->hd.type != NGHTTP2_HEADERS) return 0;
    h2_call_t *self = hv__h2_call_of(session, frame->hd.stream_id);
    /* nghttp2 knows by then whether a final head has come: what follows are trailers. */
    int is_head = frame->headers.cat == NGHTTP2_HCAT_RESPONSE ||
                  (frame->headers.cat == NGHTTP2_HCAT_HEADERS && self != NULL &&
                   (self->last_head != NULL ? self->last_head->status < 200
                                            : self->call->state == CALL_HEAD));
    if (self == NULL) return 0;
    heading->call = self;
    heading->is_trailer = !is_head;
    heading->status = 0;
    heading->length = -1;
    heading->count = 0;
    hbuf_consume_keep(&heading->fields, hbuf_len(&heading->fields));
    return 0;
}

static int refuse_head(h2_link_t *h2, int error) {
    h2_call_t *self = h2->heading.call;
    h2->heading.call = NULL; /* the rest is only decoded, for HPACK */
    const char *text = h2->heading.is_trailer ? "the response's trailers are refused"
                                              : "the response head is refused";
    hv__h2_call_refuse(self, error, error == HV_ENOMEM ? NULL : text);
    return 0;
}

static int take_length(h2_heading_t *heading, const char *value, size_t len) {
    uint64_t length;
    if (heading->length >= 0) return HV_EPROTO;
    if (h1_read_content_length((hhttp_slice_t){value, len}, &length) != 0) return HV_EPROTO;
    heading->length = (int64_t)length;
    return 0;
}

int hv__h2_client_on_header(nghttp2_session *session, const nghttp2_frame *frame,
                            const uint8_t *name, size_t name_len, const uint8_t *value,
                            size_t value_len, uint8_t flags, void *userdata) {
    (void)session, (void)frame, (void)flags;
    h2_link_t *h2 = userdata;
    h2_heading_t *heading = &h2->heading;
    if (heading->call == NULL) return 0;
    const h1_limits_t *limits = &h2->link->group->client->limits;
    const char *text = (const char *)value;
    if (name[0] == ':') {
        /* nghttp2 takes no other one, and three digits only. */
        heading->status = (text[0] - '0') * 100 + (text[1] - '0') * 10 + (text[2] - '0');
        return heading->status >= 100 ? 0 : refuse_head(h2, HV_EPROTO);
    }
    int code = ++heading->count > limits->header_count_max ? HV_ELIMIT : 0;
    int is_length = name_len == 14 && memcmp(name, "content-length", 14) == 0;
    if (code == 0 && is_length && !heading->is_trailer) {
        code = take_length(heading, text, value_len);
    }
    if (code == 0) {
        code = hv__h2_add_line(&heading->fields, (const char *)name, name_len, text, value_len,
                        limits->header_bytes_max);
    }
    return code == 0 ? 0 : refuse_head(h2, code);
}

int hv__h2_client_on_invalid_header(nghttp2_session *session, const nghttp2_frame *frame,
                                    const uint8_t *name, size_t name_len, const uint8_t *value,
                                    size_t value_len, uint8_t flags, void *userdata) {
    (void)session, (void)frame, (void)name, (void)name_len, (void)value, (void)value_len,
        (void)flags;
    h2_link_t *h2 = userdata;
    return h2->heading.call != NULL ? refuse_head(h2, HV_EPROTO) : 0;
}

static void end_trailers(h2_link_t *h2, h2_call_t *self) {
    const hbuf_t *fields = &h2->heading.fields;
    hhttp_slice_t lines = {hbuf_data(fields), hbuf_len(fields)};
    const h1_limits_t *limits = &h2->link->group->client->limits;
    int code = hv__http_trailers_add(&self->call->trailers, lines, limits);
    if (code != 0) refuse_head(h2, code);
    h2->heading.call = NULL;
}

void hv__h2_client_end_headers(h2_link_t *h2) {
    h2_heading_t *heading = &h2->heading;
    h2_call_t *self = heading->call;
    if (self == NULL) return;
    if (heading->is_trailer) {
        end_trailers(h2, self);
        return;
    }
    size_t len = hbuf_len(&heading->fields);
    if (self->head_count++ > h2->link->group->client->options.interim_max) {
        refuse_head(h2, HV_ELIMIT);
        return;
    }
    h2_head_t *head = hv__malloc(sizeof *head + len);
    if (head == NULL) {
        refuse_head(h2, HV_ENOMEM);
        return;
    }
    heading->call = NULL;
    head->next = NULL;
    head->status = heading->status;
    head->length = heading->length;
    head->len = (uint32_t)len;
    if (len > 0) memcpy(head->text, hbuf_data(&heading->fields), len);
    if (self->last_head != NULL) {
        self->last_head->next = head;
    } else {
        self->first_head = head;
    }
    self->last_head = head;
    hv__h2_call_due(self);
}
