/* http_coding.c - compressing answers: whether, by which coding, and what their heads say then; and
 * the ETag of those in one piece.
 *
 * It stands before the answering calls and uses them itself, with the coding taken off meanwhile,
 * so whatever protocol the answer travels by, and whoever gives it, is compressed alike. A body in
 * one piece keeps its Content-Length; long ones are compressed in threads, as files are. Each piece
 * of others is flushed: what the program has written the client can read.
 *
 * RFC 9110 section 8.4.1 (codings), 8.8.3 (an ETag of other bytes is weak), 12.5.3, 12.5.5 (Vary);
 * RFC 9111 section 5.2.2.6 (no-transform). */
#include "http_coding.h"

#include "h1_chars.h"
#include "h1_fields.h"
#include "hcrypto.h"
#include "hstr.h"
#include "http_conditions.h"
#include "http_mime.h"

#define BYTES_MIN       1024
#define GZIP_LEVEL      5
#define BROTLI_LEVEL    4
#define PIECE_BYTES     (16 * 1024)
#define AT_ONCE_MAX     (64 * 1024) /* compressed in the loop's thread; more is left to others */
#define HEADERS_ADDED   3
#define TAG_BYTES       32 /* without its quotes */
#define OUTPUT_MAX      ((size_t)1 << 31)

/* Finds or makes the coding of a request. Returns 0 or a code. */
static int coding_of(hhttp_request_t *req) {
    if (req->flags & REQ_BEGUN || req->job != NULL) return HV_EBUSY;
    if (hhttp_request_is_over(req)) return HV_ECLOSED;
    if (req->coding == NULL) req->coding = hv__calloc(1, sizeof *req->coding);
    return req->coding != NULL ? 0 : HV_ENOMEM;
}

int hhttp_response_tag(hhttp_request_t *req) {
    int code = coding_of(req);
    if (code == 0) req->coding->tags = 1;
    return code;
}

int hhttp_response_compress(hhttp_request_t *req, const hhttp_compress_t *options) {
    int code = coding_of(req);
    if (code != 0) return code;
    http_coding_t *coding = req->coding;
    coding->compresses = 1;
    coding->rules = options != NULL ? *options : (hhttp_compress_t){0};
    hhttp_compress_t *rules = &coding->rules;
    if (rules->bytes_min == 0) rules->bytes_min = BYTES_MIN;
    if (rules->gzip_level == 0) rules->gzip_level = GZIP_LEVEL;
    if (rules->brotli_level == 0) rules->brotli_level = BROTLI_LEVEL;
    return 0;
}

static void free_coding(http_coding_t *coding) {
    if (coding == NULL) return;
    hcodec_free(coding->codec);
    hv__free(coding);
}

void hv__http_coding_drop(hhttp_request_t *req) {
    free_coding(req->coding);
    req->coding = NULL;
}

static http_coding_t *take(hhttp_request_t *req) {
    http_coding_t *coding = req->coding;
    req->coding = NULL;
    return coding;
}

/* ---- What is compressed ---- */

/* Whether a type is one of the list, or of a kind that is. */
static int is_listed(hstr_t list, hstr_t type) {
    hstr_t name;
    while (hstr_next(&list, ' ', &name)) {
        if (hstr_equals_nocase(name, type)) return 1;
        int is_kind = name.len > 0 && name.data[name.len - 1] == '/' && type.len > name.len;
        if (is_kind && hstr_equals_nocase(name, (hstr_t){type.data, name.len})) return 1;
    }
    return 0;
}

int hv__http_coding_covers(const hhttp_compress_t *rules, hhttp_slice_t type) {
    char name[128];
    size_t len = 0;
    if (type.data == NULL) return 0;
    while (len < type.len && type.data[len] != ';' && type.data[len] != ' ') len++;
    if (len >= sizeof name) return 0;
    if (rules->types != NULL) return is_listed(hstr_from(rules->types), (hstr_t){type.data, len});
    for (size_t i = 0; i < len; i++) name[i] = (char)hstr_lower((unsigned char)type.data[i]);
    name[len] = '\0';
    return hv__http_is_compressible(name);
}

int hv__http_coding_accepted(const hhttp_request_t *req, const char *coding) {
    size_t cursor = 0;
    hhttp_header_t header;
    int others = 0;
    while (hhttp_request_next_header(req, &cursor, &header)) {
        if (!h1_equals_folded(header.name.data, header.name.len, "accept-encoding", 15)) continue;
        int weight = hv__http_coding_named(header.value, coding, &others);
        if (weight >= 0) return weight;
    }
    return others;
}

hcodec_t *hv__http_coding_compressor(const hhttp_compress_t *rules, const hhttp_request_t *req,
                                     hcodec_format_e *format) {
    int brotli = rules->brotli_level > 0 ? hv__http_coding_accepted(req, "br") : 0;
    int gzip = rules->gzip_level > 0 ? hv__http_coding_accepted(req, "gzip") : 0;
    if (brotli == 0 && gzip == 0) return NULL;
    *format = brotli >= gzip ? HCODEC_BROTLI : HCODEC_GZIP;
    hcodec_options_t options = {
        .level = *format == HCODEC_BROTLI ? rules->brotli_level : rules->gzip_level,
    };
    return hcodec_compressor_new(*format, &options);
}

int hv__http_squeeze(hcodec_t *codec, const void *data, size_t len, hcodec_flush_e flush,
                     hbuf_t *out) {
    char piece[PIECE_BYTES];
    int64_t got;
    int code = 0;
    hcodec_input(codec, data, len, flush);
    while (code == 0 && (got = hcodec_output(codec, piece, sizeof piece)) != 0)
        code = got < 0 ? (int)got : hbuf_append(out, piece, (size_t)got, OUTPUT_MAX);
    return code;
}

/* ---- Heads ---- */

/* The head of an answer as it goes out. */
typedef struct plan_s {
    hhttp_header_t *headers; /* and behind them the weak ETag; hv__free it */
    size_t count;
    hcodec_t *codec; /* NULL: the answer goes out as it is */
} plan_t;

/* What an answer's headers say. */
typedef struct facts_s {
    hhttp_slice_t type;
    const hhttp_header_t *etag;
    hhttp_slice_t modified;
    int is_fixed; /* it must stay as it is */
    int varies;   /* says so already */
} facts_t;

static int name_is(hhttp_slice_t name, const char *lower) {
    return h1_equals_folded(name.data, name.len, lower, strlen(lower));
}

static int list_has(hhttp_slice_t list, const char *lower) {
    hhttp_slice_t element;
    while (h1_next_element(&list, &element)) {
        if (name_is(element, lower) || name_is(element, "*")) return 1;
    }
    return 0;
}

static void read_facts(const h1_response_t *response, facts_t *facts) {
    *facts = (facts_t){.type = response->content_type};
    for (size_t i = 0; i < response->header_count; i++) {
        const hhttp_header_t *header = &response->headers[i];
        if (name_is(header->name, "content-type")) facts->type = header->value;
        if (name_is(header->name, "etag")) facts->etag = header;
        if (name_is(header->name, "last-modified")) facts->modified = header->value;
        if (name_is(header->name, "vary")) {
            facts->varies |= list_has(header->value, "accept-encoding");
        }
        if (name_is(header->name, "content-encoding") || name_is(header->name, "content-range")) {
            facts->is_fixed = 1;
        }
        if (name_is(header->name, "cache-control")) {
            facts->is_fixed |= list_has(header->value, "no-transform");
        }
    }
}

static int has_content(int status) {
    return status >= 200 && status != 204 && status != 205 && status != 206 && status != 304;
}

static void add(plan_t *plan, const char *name, const char *value, size_t value_len) {
    plan->headers[plan->count++] = (hhttp_header_t){{name, strlen(name)}, {value, value_len}};
}

/* Copies the headers, of a compressed answer those that are still true. */
static void copy_headers(plan_t *plan, const h1_response_t *response, const facts_t *facts,
                         char *etag_room) {
    if (response->content_type.data != NULL) {
        add(plan, "Content-Type", response->content_type.data, response->content_type.len);
    }
    for (size_t i = 0; i < response->header_count; i++) {
        hhttp_header_t header = response->headers[i];
        if (plan->codec != NULL && name_is(header.name, "accept-ranges")) continue;
        int is_strong = header.value.len > 0 && header.value.data[0] == '"';
        if (plan->codec != NULL && &response->headers[i] == facts->etag && is_strong) {
            memcpy(etag_room, "W/", 2);
            memcpy(etag_room + 2, header.value.data, header.value.len);
            header.value = (hhttp_slice_t){etag_room, header.value.len + 2};
        }
        plan->headers[plan->count++] = header;
    }
}

/* Decides, and makes the head. Content-Encoding is its last line. Returns 0 or HV_ENOMEM. */
static int make_plan(plan_t *plan, const hhttp_request_t *req, const http_coding_t *coding,
                     const h1_response_t *response, int64_t length, int is_whole) {
    facts_t facts;
    hcodec_format_e format = HCODEC_GZIP;
    *plan = (plan_t){0};
    read_facts(response, &facts);
    int is_candidate = coding->compresses && has_content(response->status) && !facts.is_fixed &&
                       (length < 0 || (uint64_t)length >= coding->rules.bytes_min) &&
                       hv__http_coding_covers(&coding->rules, facts.type);
    /* What has no length needs chunks, which HTTP/1.0 has not. */
    if (is_candidate && (is_whole || req->parser.head.version >= 11)) {
        plan->codec = hv__http_coding_compressor(&coding->rules, req, &format);
    }
    size_t etag_bytes = facts.etag != NULL ? facts.etag->value.len + 2 : 0;
    size_t count = response->header_count + HEADERS_ADDED;
    plan->headers = hv__malloc(count * sizeof *plan->headers + etag_bytes);
    if (plan->headers == NULL) {
        hcodec_free(plan->codec);
        return HV_ENOMEM;
    }
    copy_headers(plan, response, &facts, (char *)(plan->headers + count));
    if (is_candidate && !facts.varies) add(plan, "Vary", "Accept-Encoding", 15);
    if (plan->codec != NULL) {
        const char *name = hcodec_name(format);
        add(plan, "Content-Encoding", name, strlen(name));
    }
    return 0;
}

/* ---- In one piece ---- */

static int respond_short(hhttp_request_t *req, int status, const plan_t *plan, const void *body,
                         size_t len) {
    hbuf_t out = {0};
    int code = hv__http_squeeze(plan->codec, body, len, HCODEC_FINISH, &out);
    if (code == 0 && hbuf_len(&out) < len) {
        code = hhttp_respond_with(req, status, plan->headers, plan->count, hbuf_data(&out),
                                  hbuf_len(&out));
    } else if (code == 0) {
        code = hhttp_respond_with(req, status, plan->headers, plan->count - 1, body, len);
    }
    hbuf_deinit(&out);
    return code;
}

/* Takes plan->codec. */
static int respond_long(hhttp_request_t *req, int status, plan_t *plan, const void *body,
                        size_t len) {
    hcodec_t *codec = plan->codec;
    plan->codec = NULL;
    int code = hhttp_response_begin(req, status, plan->headers, plan->count, -1);
    if (code != 0) {
        hcodec_free(codec);
        return code;
    }
    if (!(req->flags & REQ_NO_BODY)) return hv__http_job_squeeze(req, codec, body, len);
    hcodec_free(codec);
    return hhttp_response_end(req);
}

static int respond_compressed(hhttp_request_t *req, const http_coding_t *coding,
                              const h1_response_t *response, const void *body, size_t len) {
    plan_t plan;
    int status = response->status;
    int code = make_plan(&plan, req, coding, response, (int64_t)len, 1);
    if (code == 0) {
        int is_head = req->parser.head.method == HHTTP_HEAD;
        int is_long = len > AT_ONCE_MAX && req->parser.head.version >= 11 && req->job == NULL;
        if (plan.codec == NULL) {
            code = hhttp_respond_with(req, status, plan.headers, plan.count, body, len);
        } else if (is_long || is_head) {
            code = respond_long(req, status, &plan, body, len);
        } else {
            code = respond_short(req, status, &plan, body, len);
        }
        hcodec_free(plan.codec);
        hv__free(plan.headers);
    }
    return code;
}

/* ---- Tags ---- */

/* Writes the ETag of a body: a part of its digest. Returns its length, or 0. */
static size_t tag_of(const void *body, size_t len, char out[TAG_BYTES + 3]) {
    unsigned char digest[32];
    if (hcrypto_digest(HCRYPTO_SHA256, body, len, digest) < 0) return 0;
    out[0] = '"';
    hcrypto_hex(digest, TAG_BYTES / 2, out + 1);
    out[TAG_BYTES + 1] = '"';
    return TAG_BYTES + 2;
}

/* Answers by the conditions of the request where they say so. Returns whether they do, with the
 * answer's *code. */
static int answer_condition(hhttp_request_t *req, const h1_response_t *response, int *code) {
    facts_t facts;
    http_asks_t asks;
    read_facts(response, &facts);
    hv__http_asks_read(req, &asks);
    http_validators_t there = {.modified = -1};
    if (facts.etag != NULL) there.etag = facts.etag->value;
    if (facts.modified.data != NULL) there.modified = hv__http_date_parse(facts.modified);
    int status = hv__http_precondition(&asks, &there, 1);
    if (status == 0) return 0;
    *code = hhttp_respond_with(req, status, response->headers, response->header_count, NULL, 0);
    return 1;
}

/* Gives the answer a tag where it has none, and heeds conditions. What is not answered by them goes
 * on to be compressed. */
static int respond_tagged(hhttp_request_t *req, const http_coding_t *coding,
                          const h1_response_t *response, const void *body, size_t len) {
    h1_response_t tagged = *response;
    char text[TAG_BYTES + 3];
    facts_t facts;
    read_facts(response, &facts);
    hhttp_header_t *headers =
        hv__malloc((response->header_count + HEADERS_ADDED) * sizeof *headers);
    if (headers == NULL) return HV_ENOMEM;
    plan_t plan = {.headers = headers};
    for (size_t i = 0; i < response->header_count; i++) {
        headers[plan.count++] = response->headers[i];
    }
    if (facts.etag == NULL) {
        size_t text_len = tag_of(body, len, text);
        if (text_len > 0) add(&plan, "ETag", text, text_len);
    }
    if (coding->compresses && !facts.varies && hv__http_coding_covers(&coding->rules, facts.type)) {
        add(&plan, "Vary", "Accept-Encoding", 15);
    }
    tagged.headers = headers;
    tagged.header_count = plan.count;
    int code;
    if (!answer_condition(req, &tagged, &code)) {
        code = respond_compressed(req, coding, &tagged, body, len);
    }
    hv__free(headers);
    return code;
}

int hv__http_coded_respond(hhttp_request_t *req, const h1_response_t *response, const void *body,
                           size_t len) {
    http_coding_t *coding = take(req);
    hhttp_method_e method = req->parser.head.method;
    int is_tagged = coding->tags && response->status == 200 &&
                    (method == HHTTP_GET || method == HHTTP_HEAD);
    int code = is_tagged ? respond_tagged(req, coding, response, body, len)
                         : respond_compressed(req, coding, response, body, len);
    free_coding(coding);
    return code;
}

/* ---- In pieces ---- */

int hv__http_coded_begin(hhttp_request_t *req, const h1_response_t *response, int64_t length) {
    http_coding_t *coding = take(req);
    plan_t plan;
    int code = make_plan(&plan, req, coding, response, length, 0);
    if (code == 0) {
        code = hhttp_response_begin(req, response->status, plan.headers, plan.count,
                                    plan.codec != NULL ? -1 : length);
        hv__free(plan.headers);
        coding->codec = plan.codec;
        coding->length_left = length >= 0 ? (uint64_t)length : UINT64_MAX;
    }
    if (code == 0 && coding->codec != NULL) {
        req->coding = coding;
    } else {
        free_coding(coding);
    }
    return code;
}

/* What has been compressed must go out, or the client can make nothing of the rest. */
static int put(hhttp_request_t *req, hbuf_t *out) {
    http_coding_t *coding = take(req);
    int code = hhttp_response_write(req, hbuf_data(out), hbuf_len(out));
    req->coding = coding;
    if (code != 0 && code != HV_EAGAIN) hhttp_request_abort(req);
    hbuf_deinit(out);
    return code;
}

/* Whether the queue would refuse a piece of this length. */
static int would_pass_limit(const hhttp_request_t *req, size_t len) {
    if (req->via != NULL) return 0;
    size_t waiting = hio_write_bufsize(req->conn->io);
    return waiting > 0 && waiting + len + PIECE_BYTES > HIO_DEFAULT_WRITE_MAX;
}

int hv__http_coded_write(hhttp_request_t *req, const void *data, size_t len) {
    http_coding_t *coding = req->coding;
    hbuf_t out = {0};
    if (hhttp_request_is_over(req)) return HV_ECLOSED;
    if (len == 0) return 0;
    if (len > coding->length_left || len > INT32_MAX) return HV_ELIMIT;
    if (!(req->flags & REQ_NO_BODY)) {
        if (would_pass_limit(req, len)) return HV_ELIMIT;
        int code = hv__http_squeeze(coding->codec, data, len, HCODEC_FLUSH, &out);
        if (code != 0) {
            hbuf_deinit(&out);
            hhttp_request_abort(req);
            return code;
        }
    }
    if (coding->length_left != UINT64_MAX) coding->length_left -= len;
    return hbuf_len(&out) > 0 ? put(req, &out) : 0;
}

int hv__http_coded_finish(hhttp_request_t *req) {
    const http_coding_t *coding = req->coding;
    int has_body = !(req->flags & REQ_NO_BODY);
    int is_short = coding->length_left != UINT64_MAX && coding->length_left > 0;
    hbuf_t out = {0};
    int code = is_short && has_body ? HV_EPROTO : 0;
    if (code == 0 && has_body) {
        code = hv__http_squeeze(coding->codec, NULL, 0, HCODEC_FINISH, &out);
    }
    if (code != 0) hhttp_request_abort(req);
    if (code == 0 && hbuf_len(&out) > 0) code = put(req, &out);
    hbuf_deinit(&out);
    hv__http_coding_drop(req);
    return code == HV_EAGAIN ? 0 : code;
}
