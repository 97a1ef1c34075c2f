/* http_gateway_head.c - what of a head goes on to the other side, and what is added to it.
 *
 * Left out: what belongs to one connection only (RFC 9110 section 7.6.1): Connection and whatever
 * it names, and the fields that old senders forget to name there; what our own client or server
 * writes anew (lengths, Expect, Date); and X-Forwarded-* of a client that is not trusted. */
#include "h1_chars.h"
#include "h1_fields.h"
#include "http_gateway_int.h"

#define WORD(text) text, sizeof(text) - 1

#define CONNECTION_LINES_MAX 8

typedef struct word_s {
    const char *text; /* in lower case */
    size_t len;
} word_t;

static const word_t connection_words[] = {
    {WORD("connection")}, {WORD("keep-alive")}, {WORD("proxy-connection")}, {WORD("te")},
    {WORD("transfer-encoding")}, {WORD("upgrade")}, {WORD("content-length")},
};

static const word_t request_words[] = {
    {WORD("expect")}, {WORD("proxy-authorization")}, {WORD("http2-settings")},
};

static const word_t forwarded_words[] = {
    {WORD("x-forwarded-for")}, {WORD("x-forwarded-proto")}, {WORD("x-forwarded-host")},
    {WORD("forwarded")}, {WORD("x-real-ip")},
};

static int is_among(hhttp_slice_t name, const word_t *words, size_t count) {
    for (size_t i = 0; i < count; i++) {
        if (h1_equals_folded(name.data, name.len, words[i].text, words[i].len)) return 1;
    }
    return 0;
}

static int name_is(hhttp_slice_t name, const char *word) {
    return h1_equals_folded(name.data, name.len, word, strlen(word));
}

/* What the Connection lines of one head name. */
typedef struct named_s {
    hhttp_slice_t lists[CONNECTION_LINES_MAX];
    size_t count;
} named_t;

/* Takes a header into account. Returns 0, or HV_EPROTO for more Connection lines than any need. */
static int note_connection(named_t *named, const hhttp_header_t *header) {
    if (!name_is(header->name, "connection")) return 0;
    if (named->count == CONNECTION_LINES_MAX) return HV_EPROTO;
    named->lists[named->count++] = header->value;
    return 0;
}

static int is_named(const named_t *named, hhttp_slice_t name) {
    for (size_t i = 0; i < named->count; i++) {
        hhttp_slice_t list = named->lists[i], element;
        while (h1_next_element(&list, &element)) {
            if (element.len == name.len && h1_names_equal(element.data, name.data, name.len)) {
                return 1;
            }
        }
    }
    return 0;
}

static int add(http_passed_head_t *head, hhttp_slice_t name, hhttp_slice_t value) {
    if (head->count == HTTP_PASS_HEADERS_MAX) return HV_ELIMIT;
    head->headers[head->count++] = (hhttp_header_t){name, value};
    return 0;
}

static int add_text(http_passed_head_t *head, const char *name, const char *value, size_t len) {
    return add(head, (hhttp_slice_t){name, strlen(name)}, (hhttp_slice_t){value, len});
}

int hv__gateway_is_local(hhttp_slice_t name) {
    return is_among(name, connection_words, ARRAY_SIZE(connection_words)) ||
           name_is(name, "expect");
}

/* Puts headers in the place of all of the same name. */
static int change(http_passed_head_t *head, const hhttp_header_t *changes, size_t count) {
    int code = 0;
    for (size_t i = 0; i < count && code == 0; i++) {
        hhttp_slice_t name = changes[i].name;
        size_t kept = 0;
        int is_added = name_is(name, "set-cookie") || name_is(name, "vary");
        for (size_t at = 0; at < head->count; at++) {
            hhttp_slice_t other = head->headers[at].name;
            int is_same = other.len == name.len && h1_names_equal(other.data, name.data, name.len);
            if (is_same && !(is_added && changes[i].value.data != NULL)) continue;
            head->headers[kept++] = head->headers[at];
        }
        head->count = kept;
        if (changes[i].value.data != NULL) code = add(head, name, changes[i].value);
    }
    return code;
}

/* ---- Requests ---- */

/* The client's address as text; without a port, as X-Forwarded-For has it. */
static size_t client_text(const http_pass_t *pass, char *out, size_t room) {
    hio_t *io = hhttp_request_io(pass->req);
    const struct sockaddr *addr = io != NULL ? hio_peeraddr(io) : NULL;
    const void *bytes = NULL;
    if (addr != NULL && addr->sa_family == AF_INET) {
        bytes = &((const struct sockaddr_in *)(const void *)addr)->sin_addr;
    } else if (addr != NULL && addr->sa_family == AF_INET6) {
        bytes = &((const struct sockaddr_in6 *)(const void *)addr)->sin6_addr;
    }
    if (bytes == NULL || inet_ntop(addr->sa_family, bytes, out, (socklen_t)room) == NULL) {
        return (size_t)snprintf(out, room, "unknown");
    }
    return strlen(out);
}

/* Adds to a list of addresses. Where there is no room its beginning goes: what stands at the end
 * was written by those who are trusted. */
static size_t append_address(char *list, size_t room, size_t len, const char *text,
                             size_t text_len) {
    size_t comma = len > 0 ? 2 : 0;
    if (text_len > room) {
        text += text_len - room;
        text_len = room;
    }
    if (len + comma + text_len > room) {
        size_t wanted = room > comma + text_len ? room - comma - text_len : 0;
        memmove(list, list + (len - wanted), wanted);
        len = wanted;
        if (len == 0) comma = 0;
    }
    memcpy(list + len, ", ", comma);
    memcpy(list + len + comma, text, text_len);
    return len + comma + text_len;
}

/* All lines of X-Forwarded-For as one list, and our client's address. Returns its bytes. */
static size_t forwarded_for(const http_pass_t *pass, int with_lines, char *list, size_t room) {
    char client[64];
    size_t client_len = client_text(pass, client, sizeof client);
    size_t cursor = 0, len = 0, in_all = 0;
    hhttp_header_t header;
    while (with_lines && hhttp_request_next_header(pass->req, &cursor, &header)) {
        if (header.value.len == 0 || !name_is(header.name, "x-forwarded-for")) continue;
        len = append_address(list, room, len, header.value.data, header.value.len);
        in_all += header.value.len + 2;
    }
    len = append_address(list, room, len, client, client_len);
    if (in_all + client_len <= room) return len;
    const char *cut = memchr(list, ',', len); /* no half address */
    size_t drop = cut != NULL ? (size_t)(cut + 1 - list) : 0;
    while (drop < len && list[drop] == ' ') drop++;
    memmove(list, list + drop, len - drop);
    return len - drop;
}

/* The last line of that name: the one of the proxy next to us. */
static hhttp_slice_t last_header(const hhttp_request_t *req, const char *name) {
    hhttp_slice_t last = {NULL, 0};
    hhttp_header_t header;
    size_t cursor = 0;
    while (hhttp_request_next_header(req, &cursor, &header)) {
        if (name_is(header.name, name)) last = header.value;
    }
    return last;
}

/* X-Forwarded-For, -Proto and -Host. What a trusted client has sent is kept, and our client's
 * address is added to the list. */
static int add_forwarded(const http_pass_t *pass, http_passed_head_t *head) {
    const hhttp_gateway_options_t *options = &pass->gateway->options;
    hhttp_request_t *req = pass->req;
    size_t len = forwarded_for(pass, options->trusts_forwarded, head->for_text,
                               sizeof head->for_text);
    int code = add_text(head, "X-Forwarded-For", head->for_text, len);
    hhttp_slice_t proto = {NULL, 0}, host = {NULL, 0};
    if (options->trusts_forwarded) {
        proto = last_header(req, "x-forwarded-proto");
        host = last_header(req, "x-forwarded-host");
    }
    if (proto.len == 0) {
        hio_t *io = hhttp_request_io(req);
        int is_tls = io != NULL && hio_type(io) == HIO_TYPE_SSL;
        proto = is_tls ? (hhttp_slice_t){"https", 5} : (hhttp_slice_t){"http", 4};
    }
    if (code == 0) code = add(head, (hhttp_slice_t){WORD("X-Forwarded-Proto")}, proto);
    if (host.len == 0) host = hhttp_request_host(req);
    if (code == 0 && host.len > 0) {
        code = add(head, (hhttp_slice_t){WORD("X-Forwarded-Host")}, host);
    }
    return code;
}

/* Via: the protocol that the message came by, and our name (RFC 9110 section 7.6.3). */
static int add_via(const http_pass_t *pass, http_passed_head_t *head) {
    int version = hhttp_request_version(pass->req);
    int len = snprintf(head->via_text, sizeof head->via_text, "%d.%d %s", version / 10,
                       version % 10, pass->gateway->via);
    if (len >= (int)sizeof head->via_text) len = (int)sizeof head->via_text - 1;
    return add_text(head, "Via", head->via_text, (size_t)len);
}

static int goes_on(const http_pass_t *pass, hhttp_slice_t name, const named_t *named) {
    const hhttp_gateway_options_t *options = &pass->gateway->options;
    if (is_among(name, connection_words, ARRAY_SIZE(connection_words))) return 0;
    if (is_among(name, request_words, ARRAY_SIZE(request_words))) return 0;
    if (name_is(name, "host")) return 0; /* written anew, see add_host */
    if (is_among(name, forwarded_words, ARRAY_SIZE(forwarded_words))) {
        int is_rewritten = name.len > 1 && (name.data[1] == '-') && !name_is(name, "x-real-ip");
        if (pass->is_forward) return 1;
        return options->trusts_forwarded && !options->hides_forwarded && !is_rewritten;
    }
    return !is_named(named, name);
}

/* The Host of the request where it is to be kept: of an absolute target that one's, whatever the
 * header says (RFC 9112 section 3.2.2). Else the client writes the upstream's. */
static int add_host(const http_pass_t *pass, http_passed_head_t *head) {
    hhttp_slice_t host = hhttp_request_host(pass->req);
    if (pass->is_forward || !pass->gateway->options.keeps_host || host.len == 0) return 0;
    return add(head, (hhttp_slice_t){WORD("Host")}, host);
}

/* Whether an upgrade may be asked of an upstream. Another version of HTTP, or TLS, would make a
 * tunnel for requests that nobody sees. */
static int upgrade_goes_on(hhttp_slice_t list) {
    hhttp_slice_t name;
    int count = 0;
    for (; h1_next_element(&list, &name); count++) {
        if (name.len >= 2 && h1_equals_folded(name.data, 2, "h2", 2)) return 0;
        if (name.len >= 4 && h1_equals_folded(name.data, 4, "http", 4)) return 0;
        if (name.len >= 3 && h1_equals_folded(name.data, 3, "tls", 3)) return 0;
    }
    return count > 0;
}

/* ---- Paths ---- */

/* The byte at the start of `text`, decoded; *used is how many bytes it takes. */
static char byte_at(const char *text, size_t len, size_t *used) {
    char out[3];
    *used = 1;
    if (text[0] != '%' || len < 3 || hhttp_percent_decode(text, 3, 0, out) != 1) return text[0];
    *used = 3;
    return out[0];
}

/* How many bytes of a path are the prefix, which the router has compared with the decoded path; 0
 * where it does not begin with that. A '/' that is encoded divides nothing. */
static size_t prefix_len(hhttp_slice_t path, const char *prefix, size_t len) {
    size_t at = 0;
    for (size_t i = 0; i < len; i++) {
        size_t used;
        if (at == path.len) return 0;
        char byte = byte_at(path.data + at, path.len - at, &used);
        if (byte != prefix[i] || (byte == '/' && used > 1)) return 0;
        at += used;
    }
    return at == path.len || path.data[at] == '/' ? at : 0;
}

/* Whether ".." leads above the start of a path as some server may read it: with '\' and encoded
 * slashes dividing it or not, with parameters behind a ';' or not. */
static int climbs(hhttp_slice_t path, int divides_all) {
    long depth = 0;
    for (size_t at = 0; at < path.len;) {
        size_t dots = 0, others = 0, used = 0;
        int has_parameters = 0;
        for (; at < path.len; at += used) {
            char byte = byte_at(path.data + at, path.len - at, &used);
            int divides = byte == '/' || (byte == '\\' && divides_all);
            if (divides && (used == 1 || divides_all)) break;
            has_parameters |= byte == ';';
            if (has_parameters) continue;
            if (byte == '.') {
                dots++;
            } else {
                others++;
            }
        }
        int is_up = others == 0 && dots == 2;
        int is_name = others > 0 || dots > 2;
        depth += is_up ? -1 : is_name;
        if (depth < 0) return 1;
        at += used; /* what divides */
    }
    return 0;
}

/* The path that goes on: what is behind the prefix that is stripped. Returns 0, or HV_EPROTO where
 * it would lead out of what the prefix stands for. */
static int rest_of_path(const http_pass_t *pass, hhttp_slice_t *path) {
    const hhttp_gateway_t *gateway = pass->gateway;
    *path = hhttp_request_path(pass->req);
    size_t strip = gateway->strip_prefix != NULL ? strlen(gateway->strip_prefix) : 0;
    while (strip > 0 && gateway->strip_prefix[strip - 1] == '/')
        strip--;
    size_t len = strip > 0 ? prefix_len(*path, gateway->strip_prefix, strip) : 0;
    hhttp_slice_t rest = {path->data + len, path->len - len};
    if (climbs(rest, 0) || climbs(rest, 1)) return HV_EPROTO;
    if (!gateway->options.keeps_prefix) *path = rest;
    return 0;
}

/* The prefix of the upstream, the path and the query. Path and query need not lie side by side: an
 * absolute-form may have a query and no path. */
static int make_target(const http_pass_t *pass, hhttp_call_options_t *options,
                       http_passed_head_t *head) {
    hhttp_slice_t prefix = pass->upstream->url.target;
    hhttp_slice_t path;
    int code = rest_of_path(pass, &path);
    if (code != 0) return code;
    hhttp_slice_t query = hhttp_request_query(pass->req);
    int needs_slash = path.len == 0 || path.data[0] != '/';
    int is_one_piece = query.data == NULL || query.data == path.data + path.len + 1;
    if (prefix.len == 0 && !needs_slash && is_one_piece) {
        size_t query_len = query.data != NULL ? query.len + 1 : 0;
        options->url.target = (hhttp_slice_t){path.data, path.len + query_len};
        return 0;
    }
    size_t room = prefix.len + path.len + query.len + 3;
    head->target = hv__malloc(room);
    if (head->target == NULL) return HV_ENOMEM;
    int len = snprintf(head->target, room, "%.*s%s%.*s%s%.*s", (int)prefix.len,
                       prefix.len > 0 ? prefix.data : "", needs_slash ? "/" : "", (int)path.len,
                       path.data, query.data != NULL ? "?" : "", (int)query.len,
                       query.data != NULL ? query.data : "");
    options->url.target = (hhttp_slice_t){head->target, (size_t)len};
    return 0;
}

/* A forward proxy's target is the absolute one of the request. */
static int make_absolute(const http_pass_t *pass, hhttp_call_options_t *options,
                         http_passed_head_t *head) {
    hhttp_slice_t target = hhttp_request_target(pass->req);
    head->target = hv__malloc(target.len + 1);
    if (head->target == NULL) return HV_ENOMEM;
    memcpy(head->target, target.data, target.len);
    head->target[target.len] = '\0';
    return hhttp_url_parse(head->target, &options->url) == 0 ? 0 : HV_EPROTO;
}

/* Trailers are passed on, so the client may ask for them: by HTTP/1.1 it says of which connection
 * (RFC 9110 section 10.1.4). */
static int wants_trailers(const hhttp_request_t *req, const named_t *named) {
    hhttp_header_t header;
    size_t cursor = 0;
    if (hhttp_request_version(req) < 20 && !is_named(named, (hhttp_slice_t){"te", 2})) return 0;
    while (hhttp_request_next_header(req, &cursor, &header)) {
        hhttp_slice_t list = header.value, element;
        if (!name_is(header.name, "te")) continue;
        while (h1_next_element(&list, &element)) {
            if (name_is(element, "trailers")) return 1;
        }
    }
    return 0;
}

/* Reads the Connection lines of a request. Returns as note_connection. */
static int note_request(named_t *named, const hhttp_request_t *req) {
    hhttp_header_t header;
    size_t cursor = 0;
    int code = 0;
    while (code == 0 && hhttp_request_next_header(req, &cursor, &header))
        code = note_connection(named, &header);
    return code;
}

int hv__gateway_request_head(const http_pass_t *pass, hhttp_call_options_t *options,
                             http_passed_head_t *head) {
    hhttp_request_t *req = pass->req;
    hhttp_header_t header;
    named_t named = {.count = 0};
    size_t cursor = 0;
    int code = pass->is_forward ? make_absolute(pass, options, head)
                                : make_target(pass, options, head);
    if (code == 0) code = note_request(&named, req);
    if (code == 0) code = add_host(pass, head);
    while (code == 0 && hhttp_request_next_header(req, &cursor, &header)) {
        if (goes_on(pass, header.name, &named)) code = add(head, header.name, header.value);
    }
    if (code == 0 && !pass->is_forward && !pass->gateway->options.hides_forwarded) {
        code = add_forwarded(pass, head);
    }
    if (code == 0) code = add_via(pass, head);
    if (code == 0 && pass->changes != NULL) {
        code = change(head, pass->changes, pass->request_changes);
    }
    hhttp_slice_t upgrade = hhttp_request_header(req, "upgrade", 7);
    int is_upgrade = req->parser.head.is_upgrade && upgrade_goes_on(upgrade);
    if (is_upgrade && upgrade.len < sizeof head->upgrade) {
        memcpy(head->upgrade, upgrade.data, upgrade.len);
        head->upgrade[upgrade.len] = '\0';
        options->upgrade = head->upgrade;
    }
    options->wants_trailers = wants_trailers(req, &named);
    options->headers = head->headers;
    options->header_count = head->count;
    return code;
}

int hv__gateway_request_trailers(const http_pass_t *pass, http_passed_head_t *trailers) {
    hhttp_header_t trailer;
    named_t named = {.count = 0};
    size_t cursor = 0;
    if (hhttp_request_next_trailer(pass->req, &cursor, &trailer) != 1) return 0;
    int code = note_request(&named, pass->req);
    cursor = 0;
    while (code == 0 && hhttp_request_next_trailer(pass->req, &cursor, &trailer) == 1) {
        if (goes_on(pass, trailer.name, &named)) code = add(trailers, trailer.name, trailer.value);
    }
    return code;
}

/* ---- Answers ---- */

/* A Location below the upstream's own URL, as the client has to ask for it: the stripped prefix and
 * the path. Anything else stays as it is. */
static hhttp_slice_t moved_location(const http_pass_t *pass, hhttp_slice_t value,
                                    http_passed_head_t *head) {
    const http_upstream_t *upstream = pass->upstream;
    if (upstream == NULL) return value;
    const char *prefix = pass->gateway->strip_prefix;
    if (prefix == NULL || pass->gateway->options.keeps_prefix) prefix = "";
    size_t base = strlen(upstream->url_text);
    while (base > 0 && upstream->url_text[base - 1] == '/')
        base--;
    if (value.len < base || memcmp(value.data, upstream->url_text, base) != 0) return value;
    hhttp_slice_t rest = {value.data + base, value.len - base};
    if (rest.len > 0 && strchr("/?#", rest.data[0]) == NULL) return value;
    size_t strip = strlen(prefix);
    while (strip > 0 && prefix[strip - 1] == '/')
        strip--;
    const char *between = rest.len == 0 || rest.data[0] != '/' ? "/" : "";
    /* "//host/" would lead to another host, and browsers take '\' for '/'. */
    if (strip == 0 && rest.len > 1 && (rest.data[1] == '/' || rest.data[1] == '\\')) between = "/.";
    int len = snprintf(head->location, sizeof head->location, "%.*s%s%.*s", (int)strip, prefix,
                       between, (int)rest.len, rest.data);
    if (len >= (int)sizeof head->location) return value;
    return (hhttp_slice_t){head->location, (size_t)len};
}

/* Reads the Connection lines of an answer. Returns as note_connection. */
static int note_answer(named_t *named, const hhttp_call_t *call) {
    hhttp_header_t header;
    size_t cursor = 0;
    int code = 0;
    while (code == 0 && hhttp_call_next_header(call, &cursor, &header))
        code = note_connection(named, &header);
    return code;
}

/* Whether a field of an answer is the upstream connection's, or written anew. */
static int stays_behind(hhttp_slice_t name, const named_t *named) {
    return is_among(name, connection_words, ARRAY_SIZE(connection_words)) ||
           is_named(named, name) || name_is(name, "date");
}

int hv__gateway_response_trailers(const hhttp_call_t *call, http_passed_head_t *trailers) {
    hhttp_header_t trailer;
    named_t named = {.count = 0};
    size_t cursor = 0;
    if (hhttp_call_next_trailer(call, &cursor, &trailer) != 1) return 0;
    int code = note_answer(&named, call);
    cursor = 0;
    while (code == 0 && hhttp_call_next_trailer(call, &cursor, &trailer) == 1) {
        if (!stays_behind(trailer.name, &named)) code = add(trailers, trailer.name, trailer.value);
    }
    return code;
}

int hv__gateway_response_head(const http_pass_t *pass, const hhttp_call_t *call,
                              http_passed_head_t *head) {
    int is_upgrade = hhttp_call_status(call) == 101;
    hhttp_header_t header;
    named_t named = {.count = 0};
    size_t cursor = 0;
    int code = note_answer(&named, call);
    while (code == 0 && hhttp_call_next_header(call, &cursor, &header)) {
        int is_asked = is_upgrade && name_is(header.name, "upgrade");
        if (stays_behind(header.name, &named) && !is_asked) continue;
        if (name_is(header.name, "location")) {
            header.value = moved_location(pass, header.value, head);
        }
        code = add(head, header.name, header.value);
    }
    if (code == 0 && !is_upgrade && pass->changes != NULL) {
        code = change(head, pass->changes + pass->request_changes, pass->response_changes);
    }
    return code;
}
