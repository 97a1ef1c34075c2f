/* ws_handshake.c - what both sides check. Strict where a proxy or a script could otherwise be led
 * to take something for a WebSocket that is none: keys, accept values and names are compared in
 * full. */
#include "ws_handshake.h"

#include "hcrypto.h"

static const char accept_guid[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"; /* section 1.3 */

/* ---- Words ---- */

static int is_token_char(unsigned char c) {
    if (hstr_is_digit(c) || (unsigned char)(hstr_lower(c) - 'a') < 26) return 1;
    return c != '\0' && strchr("!#$%&'*+-.^_`|~", c) != NULL;
}

static int is_token(hstr_t text) {
    for (size_t i = 0; i < text.len; i++) {
        if (!is_token_char((unsigned char)text.data[i])) return 0;
    }
    return text.len > 0;
}

/* Cuts the next item that is not empty off a comma-separated list. */
static int next_item(hstr_t *list, hstr_t *item) {
    while (hstr_next(list, ',', item)) {
        *item = hstr_trim(*item);
        if (item->len > 0) return 1;
    }
    return 0;
}

/* Whether a comma-separated list has this token, in any case. */
static int list_has(hstr_t list, const char *token) {
    hstr_t item;
    while (next_item(&list, &item)) {
        if (hstr_equals_nocase(item, hstr_from(token))) return 1;
    }
    return 0;
}

/* The same with the case counting, as names of subprotocols and origins have it. */
static int list_has_exactly(hstr_t list, hstr_t wanted) {
    hstr_t item;
    while (next_item(&list, &item)) {
        if (hstr_equals(item, wanted)) return 1;
    }
    return 0;
}

int ws_protocols_are_valid(hstr_t list) {
    hstr_t item, rest = list;
    int count = 0;
    while (next_item(&rest, &item)) {
        if (!is_token(item) || list_has_exactly(rest, item)) return 0;
        count++;
    }
    return count > 0;
}

/* ---- Headers ---- */

static void add_line(ws_hello_t *hello, hstr_t *lines, uint8_t *count, hstr_t value) {
    if (*count == WS_LINES_MAX) {
        hello->has_too_many = 1;
    } else {
        lines[(*count)++] = value;
    }
}

static void add_single(hstr_t *place, uint8_t *count, hstr_t value) {
    *place = value;
    if (*count < 2) (*count)++;
}

void ws_hello_add(ws_hello_t *hello, hstr_t name, hstr_t value) {
    if (hstr_equals_nocase(name, HSTR_LITERAL("upgrade"))) {
        hello->has_upgrade |= (uint8_t)list_has(value, "websocket");
    } else if (hstr_equals_nocase(name, HSTR_LITERAL("connection"))) {
        hello->has_connection |= (uint8_t)list_has(value, "upgrade");
    } else if (hstr_equals_nocase(name, HSTR_LITERAL("origin"))) {
        add_single(&hello->origin, &hello->origin_count, value);
    } else if (name.len > 14 && hstr_equals_nocase((hstr_t){name.data, 14},
                                                   HSTR_LITERAL("sec-websocket-"))) {
        hstr_t which = {name.data + 14, name.len - 14};
        if (hstr_equals_nocase(which, HSTR_LITERAL("key"))) {
            add_single(&hello->key, &hello->key_count, value);
        } else if (hstr_equals_nocase(which, HSTR_LITERAL("version"))) {
            add_single(&hello->version, &hello->version_count, value);
        } else if (hstr_equals_nocase(which, HSTR_LITERAL("accept"))) {
            add_single(&hello->accept, &hello->accept_count, value);
        } else if (hstr_equals_nocase(which, HSTR_LITERAL("protocol"))) {
            add_line(hello, hello->protocols, &hello->protocol_count, value);
        } else if (hstr_equals_nocase(which, HSTR_LITERAL("extensions"))) {
            add_line(hello, hello->extensions, &hello->extension_count, value);
        }
    }
}

/* ---- Extensions (section 9.1): token *( ";" token [ "=" token or quoted token ] ), in a list ----
 * */

typedef struct extension_s {
    hstr_t name;
    hstr_t params; /* from the first ";" */
} extension_t;

/* The end of a run up to one of two bytes; quoted strings are passed over. */
static size_t run_len(hstr_t text, char stop, char other_stop) {
    int is_quoted = 0;
    size_t i = 0;
    for (; i < text.len; i++) {
        char c = text.data[i];
        if (c == '"') is_quoted = !is_quoted;
        if (is_quoted && c == '\\' && i + 1 < text.len) {
            i++;
        } else if (!is_quoted && (c == stop || c == other_stop)) {
            break;
        }
    }
    return i;
}

/* Cuts the next extension off. Returns 1, 0 at the end, -1 where it is none. */
static int next_extension(hstr_t *rest, extension_t *extension) {
    hstr_t item = {NULL, 0};
    while (rest->len > 0 && item.len == 0) {
        size_t len = run_len(*rest, ',', ',');
        item = hstr_trim((hstr_t){rest->data, len});
        if (len < rest->len) len++;
        *rest = (hstr_t){rest->data + len, rest->len - len};
    }
    if (item.len == 0) return 0;
    size_t len = run_len(item, ';', ';');
    extension->name = hstr_trim((hstr_t){item.data, len});
    extension->params = (hstr_t){item.data + len, item.len - len};
    return is_token(extension->name) ? 1 : -1;
}

/* Takes the quotes off a value that has them; what is inside must be a token. */
static int unquote(hstr_t *value) {
    if (value->len >= 2 && value->data[0] == '"' && value->data[value->len - 1] == '"') {
        *value = (hstr_t){value->data + 1, value->len - 2};
    }
    return is_token(*value);
}

/* Cuts the next parameter off. value.data is NULL where it has none. Returns as next_extension. */
static int next_param(hstr_t *params, hstr_t *name, hstr_t *value) {
    if (params->len == 0) return 0;
    hstr_t rest = {params->data + 1, params->len - 1}; /* behind the ";" */
    size_t len = run_len(rest, ';', ';');
    hstr_t whole = {rest.data, len};
    *params = (hstr_t){rest.data + len, rest.len - len};
    size_t name_len = run_len(whole, '=', '=');
    *name = hstr_trim((hstr_t){whole.data, name_len});
    *value = (hstr_t){NULL, 0};
    if (!is_token(*name)) return -1;
    if (name_len == whole.len) return 1;
    *value = hstr_trim((hstr_t){whole.data + name_len + 1, whole.len - name_len - 1});
    return unquote(value) ? 1 : -1;
}

/* The parameters of a permessage-deflate as read. */
typedef struct deflate_text_s {
    int is_bad; /* an unknown, doubled or ill-formed one */
    int has_server_no_context;
    int has_client_no_context;
    int server_bits; /* 0: not there */
    int client_bits; /* 0: not there; -1: there, without a value */
} deflate_text_t;

/* 8..15 without leading zeros; 0 where it is none (RFC 7692 section 7.1.2). */
static int read_bits(hstr_t value) {
    uint64_t bits = 0;
    if (value.len == 0 || value.data[0] == '0') return 0;
    if (hstr_parse_u64(value, 15, &bits) != 0 || bits < 8) return 0;
    return (int)bits;
}

static void set_flag(deflate_text_t *text, int *flag, hstr_t value) {
    if (*flag || value.data != NULL) text->is_bad = 1;
    *flag = 1;
}

/* Returns -1 where the text is no list of parameters at all. */
static int read_deflate(hstr_t params, deflate_text_t *text) {
    hstr_t name, value;
    int got;
    *text = (deflate_text_t){0};
    while ((got = next_param(&params, &name, &value)) > 0) {
        if (hstr_equals_nocase(name, HSTR_LITERAL("server_no_context_takeover"))) {
            set_flag(text, &text->has_server_no_context, value);
        } else if (hstr_equals_nocase(name, HSTR_LITERAL("client_no_context_takeover"))) {
            set_flag(text, &text->has_client_no_context, value);
        } else if (hstr_equals_nocase(name, HSTR_LITERAL("server_max_window_bits"))) {
            int bits = read_bits(value);
            if (text->server_bits != 0 || bits == 0) text->is_bad = 1;
            text->server_bits = bits;
        } else if (hstr_equals_nocase(name, HSTR_LITERAL("client_max_window_bits"))) {
            int bits = value.data == NULL ? -1 : read_bits(value);
            if (text->client_bits != 0 || bits == 0) text->is_bad = 1;
            text->client_bits = bits;
        } else {
            text->is_bad = 1;
        }
    }
    return got;
}

static uint8_t smaller(int a, int b) { return (uint8_t)(a < b ? a : b); }

/* A server's answer to one offer (RFC 7692 section 7.1). */
static void accept_offer(const deflate_text_t *offer, const ws_deflate_params_t *terms,
                         ws_deflate_params_t *agreed) {
    agreed->is_on = 1;
    agreed->server_no_context = terms->server_no_context || offer->has_server_no_context;
    agreed->client_no_context = terms->client_no_context || offer->has_client_no_context;
    agreed->server_bits = smaller(terms->server_bits, offer->server_bits ? offer->server_bits : 15);
    /* A client that does not offer to limit its window cannot be told to. */
    agreed->client_bits = 15;
    if (offer->client_bits != 0) {
        int most = offer->client_bits > 0 ? offer->client_bits : 15;
        agreed->client_bits = smaller(terms->client_bits, most);
    }
}

/* Takes the first offer that will do. Returns -1 where a line is no list of extensions. */
static int choose_deflate(const ws_hello_t *hello, const ws_deflate_params_t *terms,
                          ws_deflate_params_t *agreed) {
    for (int i = 0; i < hello->extension_count; i++) {
        hstr_t rest = hello->extensions[i];
        extension_t extension;
        int got;
        while ((got = next_extension(&rest, &extension)) > 0) {
            deflate_text_t offer;
            if (read_deflate(extension.params, &offer) < 0) return -1;
            int is_deflate = hstr_equals_nocase(extension.name, HSTR_LITERAL("permessage-deflate"));
            if (!is_deflate || offer.is_bad || agreed->is_on || !terms->is_on) continue;
            if (offer.client_bits == 0 && terms->client_bits < 15) continue;
            accept_offer(&offer, terms, agreed);
        }
        if (got < 0) return -1;
    }
    return 0;
}

size_t ws_write_deflate_answer(const ws_deflate_params_t *agreed, int client_bits_were_offered,
                               char out[WS_DEFLATE_TEXT_MAX]) {
    char server_bits[32] = "", client_bits[32] = "";
    if (agreed->server_bits < 15) {
        snprintf(server_bits, sizeof server_bits, "; server_max_window_bits=%u",
                 (unsigned)agreed->server_bits);
    }
    if (client_bits_were_offered && agreed->client_bits < 15) {
        snprintf(client_bits, sizeof client_bits, "; client_max_window_bits=%u",
                 (unsigned)agreed->client_bits);
    }
    int len = snprintf(out, WS_DEFLATE_TEXT_MAX, "permessage-deflate%s%s%s%s",
                       agreed->server_no_context ? "; server_no_context_takeover" : "",
                       agreed->client_no_context ? "; client_no_context_takeover" : "", server_bits,
                       client_bits);
    return (size_t)len;
}

size_t ws_write_deflate_offer(const ws_deflate_params_t *offer, char out[WS_DEFLATE_TEXT_MAX]) {
    size_t len = ws_write_deflate_answer(offer, offer->client_bits < 15, out);
    if (offer->client_bits < 15) return len;
    /* Without a value: the server may choose. */
    len += (size_t)snprintf(out + len, WS_DEFLATE_TEXT_MAX - len, "; client_max_window_bits");
    return len;
}

/* ---- Servers ---- */

int ws_accept_value(hstr_t key, char out[WS_ACCEPT_BYTES]) {
    char text[WS_KEY_BYTES + sizeof accept_guid];
    unsigned char digest[HCRYPTO_DIGEST_MAX];
    if (key.len != WS_KEY_BYTES) return HV_EINVAL;
    memcpy(text, key.data, WS_KEY_BYTES);
    memcpy(text + WS_KEY_BYTES, accept_guid, sizeof accept_guid - 1);
    int len = hcrypto_digest(HCRYPTO_SHA1, text, sizeof text - 1, digest);
    if (len < 0) return len;
    hcrypto_base64(digest, (size_t)len, 0, out);
    return 0;
}

/* Section 4.1: 16 bytes in base64. */
static int key_is_valid(hstr_t key) {
    char bytes[HCRYPTO_BASE64_BYTES_MAX(WS_KEY_BYTES)];
    return key.len == WS_KEY_BYTES && hcrypto_unbase64(key.data, key.len, bytes) == 16;
}

/* The first of our protocols that the client has offered (section 4.2.2). Returns -1 where an offer
 * is no list of tokens. */
static int choose_protocol(const ws_hello_t *hello, hstr_t ours, hstr_t *chosen) {
    hstr_t item;
    for (int i = 0; i < hello->protocol_count; i++) {
        if (!ws_protocols_are_valid(hello->protocols[i])) return -1;
    }
    while (next_item(&ours, &item)) {
        for (int i = 0; i < hello->protocol_count; i++) {
            if (!list_has_exactly(hello->protocols[i], item)) continue;
            *chosen = item;
            return 0;
        }
    }
    return 0;
}

int ws_check_request(const ws_hello_t *hello, const ws_terms_t *terms, ws_agreement_t *agreement) {
    *agreement = (ws_agreement_t){0};
    if (!hello->has_upgrade) return 426;
    if (!hello->has_connection || hello->has_too_many) return 400;
    if (hello->version_count != 1) return 400;
    if (!hstr_equals(hello->version, HSTR_LITERAL("13"))) return 426;
    if (hello->key_count != 1 || !key_is_valid(hello->key)) return 400;
    if (terms->origins.data != NULL) {
        if (hello->origin_count != 1) return 403;
        if (!list_has_exactly(terms->origins, hello->origin)) return 403;
    }
    if (choose_protocol(hello, terms->protocols, &agreement->protocol) != 0) return 400;
    if (choose_deflate(hello, &terms->deflate, &agreement->deflate) != 0) return 400;
    return 101;
}

/* ---- Clients ---- */

size_t ws_find_head_end(const char *data, size_t len, size_t *scanned) {
    size_t from = *scanned > 3 ? *scanned - 3 : 0;
    const char *end = len > from ? memmem(data + from, len - from, "\r\n\r\n", 4) : NULL;
    *scanned = len;
    return end != NULL ? (size_t)(end - data) + 4 : 0;
}

/* "HTTP/1.1 101 anything". Returns the status or HV_EPROTO. */
static int read_status_line(hstr_t line) {
    if (line.len < 12 || !hstr_starts_with(line, HSTR_LITERAL("HTTP/1."))) return HV_EPROTO;
    if (!hstr_is_digit((unsigned char)line.data[7]) || line.data[8] != ' ') return HV_EPROTO;
    if (line.len > 12 && line.data[12] != ' ') return HV_EPROTO;
    uint64_t status;
    if (hstr_parse_u64((hstr_t){line.data + 9, 3}, 599, &status) != 0 || status < 100) {
        return HV_EPROTO;
    }
    return (int)status;
}

static int value_is_clean(hstr_t value) {
    for (size_t i = 0; i < value.len; i++) {
        unsigned char c = (unsigned char)value.data[i];
        if ((c < 0x20 && c != '\t') || c == 0x7f) return 0;
    }
    return 1;
}

int ws_parse_answer(const char *head, size_t len, ws_hello_t *hello) {
    int status = 0;
    size_t at = 0;
    for (int number = 0; at < len; number++) {
        const char *end = memmem(head + at, len - at, "\r\n", 2);
        if (end == NULL) return HV_EPROTO;
        hstr_t line = {head + at, (size_t)(end - head) - at};
        at += line.len + 2;
        if (line.len == 0) return number > 0 && at == len ? status : HV_EPROTO;
        if (!value_is_clean(line)) return HV_EPROTO;
        if (number == 0) {
            status = read_status_line(line);
            if (status < 0) return status;
            continue;
        }
        const char *colon = memchr(line.data, ':', line.len);
        if (colon == NULL) return HV_EPROTO;
        hstr_t name = {line.data, (size_t)(colon - line.data)};
        hstr_t value = {colon + 1, line.len - name.len - 1};
        if (!is_token(name)) return HV_EPROTO;
        ws_hello_add(hello, name, hstr_trim(value));
    }
    return HV_EPROTO;
}

/* The one extension that a server may have chosen (RFC 7692 section 7.1.2 and kin). */
static const char *check_extension(const extension_t *extension, const ws_deflate_params_t *offer,
                                   ws_deflate_params_t *agreed) {
    deflate_text_t answer;
    int is_deflate = hstr_equals_nocase(extension->name, HSTR_LITERAL("permessage-deflate"));
    if (!is_deflate || !offer->is_on) return "the server uses an extension nobody asked for";
    if (agreed->is_on) return "the server uses an extension twice";
    if (read_deflate(extension->params, &answer) < 0 || answer.is_bad) {
        return "bad parameters of permessage-deflate";
    }
    if (answer.client_bits < 0) return "client_max_window_bits has no value";
    if (offer->server_no_context && !answer.has_server_no_context) {
        return "server_no_context_takeover was not accepted";
    }
    if (offer->server_bits < 15 &&
        (answer.server_bits == 0 || answer.server_bits > offer->server_bits)) {
        return "server_max_window_bits was not accepted";
    }
    agreed->is_on = 1;
    agreed->server_no_context = (uint8_t)answer.has_server_no_context;
    agreed->client_no_context = offer->client_no_context || answer.has_client_no_context;
    agreed->server_bits = (uint8_t)(answer.server_bits ? answer.server_bits : 15);
    agreed->client_bits = smaller(offer->client_bits, answer.client_bits ? answer.client_bits : 15);
    return NULL;
}

static const char *check_extensions(const ws_hello_t *hello, const ws_deflate_params_t *offer,
                                    ws_deflate_params_t *agreed) {
    for (int i = 0; i < hello->extension_count; i++) {
        hstr_t rest = hello->extensions[i];
        extension_t extension;
        int got;
        while ((got = next_extension(&rest, &extension)) > 0) {
            const char *problem = check_extension(&extension, offer, agreed);
            if (problem != NULL) return problem;
        }
        if (got < 0) return "bad Sec-WebSocket-Extensions";
    }
    return NULL;
}

const char *ws_check_answer(const ws_hello_t *hello, const ws_request_t *request,
                            ws_agreement_t *agreement) {
    char expected[WS_ACCEPT_BYTES];
    *agreement = (ws_agreement_t){0};
    if (!hello->has_upgrade) return "no Upgrade: websocket";
    if (!hello->has_connection) return "no Connection: Upgrade";
    if (hello->has_too_many) return "too many header lines";
    if (ws_accept_value(request->key, expected) != 0) return "no accept value could be made";
    if (hello->accept_count != 1 ||
        !hstr_equals(hello->accept, (hstr_t){expected, WS_ACCEPT_BYTES})) {
        return "a wrong Sec-WebSocket-Accept";
    }
    if (hello->protocol_count > 1) return "more than one subprotocol";
    if (hello->protocol_count == 1) {
        hstr_t protocol = hello->protocols[0];
        if (request->protocols.data == NULL || !list_has_exactly(request->protocols, protocol)) {
            return "a subprotocol nobody asked for";
        }
        agreement->protocol = protocol;
    }
    return check_extensions(hello, &request->deflate, &agreement->deflate);
}

/* ---- URLs ---- */

static int read_port(hstr_t text, int *port) {
    uint64_t value;
    if (hstr_parse_u64(text, 65535, &value) != 0 || value == 0) return HV_EINVAL;
    *port = (int)value;
    return 0;
}

int ws_parse_url(hstr_t url, ws_url_t *parts) {
    *parts = (ws_url_t){.port = 80};
    for (size_t i = 0; i < url.len; i++) {
        unsigned char c = (unsigned char)url.data[i];
        if (c <= 0x20 || c >= 0x7f || c == '#') return HV_EINVAL;
    }
    size_t scheme_len = 5;
    if (url.len > 6 && hstr_equals_nocase((hstr_t){url.data, 6}, HSTR_LITERAL("wss://"))) {
        parts->is_secure = 1;
        parts->port = 443;
        scheme_len = 6;
    } else if (url.len <= 5 || !hstr_equals_nocase((hstr_t){url.data, 5}, HSTR_LITERAL("ws://"))) {
        return HV_EINVAL;
    }
    hstr_t rest = {url.data + scheme_len, url.len - scheme_len};
    size_t len = 0;
    while (len < rest.len && rest.data[len] != '/' && rest.data[len] != '?') len++;
    parts->authority = (hstr_t){rest.data, len};
    parts->target = (hstr_t){rest.data + len, rest.len - len};
    parts->needs_slash = parts->target.len == 0 || parts->target.data[0] == '?';
    if (len == 0 || memchr(rest.data, '@', len) != NULL) return HV_EINVAL;
    const char *host_end = rest.data + len;
    if (rest.data[0] == '[') {
        const char *bracket = memchr(rest.data, ']', len);
        if (bracket == NULL || bracket == rest.data + 1) return HV_EINVAL;
        parts->host = (hstr_t){rest.data + 1, (size_t)(bracket - rest.data) - 1};
        if (bracket + 1 == host_end) return 0;
        if (bracket[1] != ':') return HV_EINVAL;
        return read_port((hstr_t){bracket + 2, (size_t)(host_end - bracket) - 2}, &parts->port);
    }
    const char *colon = memchr(rest.data, ':', len);
    parts->host = (hstr_t){rest.data, colon != NULL ? (size_t)(colon - rest.data) : len};
    if (parts->host.len == 0) return HV_EINVAL;
    if (colon == NULL) return 0;
    return read_port((hstr_t){colon + 1, (size_t)(host_end - colon) - 1}, &parts->port);
}
