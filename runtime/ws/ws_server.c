/* ws_server.c - a request of an HTTP server becomes a socket. RFC 6455 section 4.2. */
#include "ws_int.h"

#define ANSWER_HEADERS_MAX 4

static hhttp_header_t header_of(const char *name, const char *value, size_t value_len) {
    return (hhttp_header_t){{name, strlen(name)}, {value, value_len}};
}

static void refuse(hhttp_request_t *req, int status) {
    char text[64];
    int len = snprintf(text, sizeof text, "%d %s\n", status, hhttp_status_text(status));
    hhttp_header_t headers[3] = {
        header_of("Content-Type", "text/plain", 10),
        header_of("Upgrade", "websocket", 9),
        header_of("Sec-WebSocket-Version", "13", 2),
    };
    hhttp_respond_with(req, status, headers, status == 426 ? 3 : 1, text, (size_t)len);
}

static ws_terms_t terms_of(const hws_endpoint_t *endpoint) {
    const hws_deflate_t *deflate = &endpoint->options.deflate;
    ws_terms_t terms = {
        .deflate = {(uint8_t)(deflate->is_on != 0), !deflate->server_takeover,
                    !deflate->client_takeover, (uint8_t)deflate->server_window_bits,
                    (uint8_t)deflate->client_window_bits},
    };
    if (endpoint->protocols != NULL) terms.protocols = hstr_from(endpoint->protocols);
    if (endpoint->origins != NULL) terms.origins = hstr_from(endpoint->origins);
    return terms;
}

static int check(const hws_endpoint_t *endpoint, hhttp_request_t *req, ws_hello_t *hello,
                 ws_agreement_t *agreement) {
    hhttp_header_t header;
    size_t cursor = 0;
    if (hhttp_request_method(req) != HHTTP_GET || hhttp_request_version(req) < 11) return 400;
    while (hhttp_request_next_header(req, &cursor, &header)) {
        ws_hello_add(hello, (hstr_t){header.name.data, header.name.len},
                     (hstr_t){header.value.data, header.value.len});
    }
    ws_terms_t terms = terms_of(endpoint);
    return ws_check_request(hello, &terms, agreement);
}

/* Sends the 101. Returns as hhttp_request_upgrade. */
static int answer(hhttp_request_t *req, const ws_hello_t *hello, const ws_agreement_t *agreement,
                  hio_t **io) {
    char accept[WS_ACCEPT_BYTES], deflate[WS_DEFLATE_TEXT_MAX];
    int code = ws_accept_value(hello->key, accept);
    if (code != 0) return code;
    hhttp_header_t headers[ANSWER_HEADERS_MAX];
    size_t count = 0;
    headers[count++] = header_of("Upgrade", "websocket", 9);
    headers[count++] = header_of("Sec-WebSocket-Accept", accept, sizeof accept);
    if (agreement->protocol.len > 0) {
        headers[count++] = header_of("Sec-WebSocket-Protocol", agreement->protocol.data,
                                     agreement->protocol.len);
    }
    if (agreement->deflate.is_on) {
        size_t len = ws_write_deflate_answer(&agreement->deflate,
                                             agreement->deflate.client_bits < 15, deflate);
        headers[count++] = header_of("Sec-WebSocket-Extensions", deflate, len);
    }
    return hhttp_request_upgrade(req, 101, headers, count, io);
}

/* The HTTP server ends: so do its sockets. */
static void on_shutdown(hio_t *io) { hws_close(hio_context(io), HWS_GOING_AWAY, "going away"); }

hws_t *hws_accept(hws_endpoint_t *endpoint, hhttp_request_t *req, void *userdata) {
    ws_hello_t hello = {0};
    ws_agreement_t agreement = {0};
    hio_t *io = NULL;
    int status = endpoint->hub->is_closing ? 503 : check(endpoint, req, &hello, &agreement);
    if (status != 101) {
        refuse(req, status);
        return NULL;
    }
    hws_t *ws = hv__ws_new(endpoint, userdata);
    int code = ws != NULL ? answer(req, &hello, &agreement, &io) : HV_ENOMEM;
    if (code != 0) {
        if (ws != NULL) hv__ws_free(ws);
        refuse(req, code == HV_ENOMEM ? 503 : 400);
        return NULL;
    }
    hv__ws_open(ws, io, &agreement);
    hhttp_upgraded_on_shutdown(io, on_shutdown);
    return ws;
}
