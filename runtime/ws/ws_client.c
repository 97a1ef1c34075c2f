/* ws_client.c - a connection is made, asks for WebSocket, and becomes a socket. RFC 6455 section
 * 4.1.
 *
 * What is needed until then lies in a dial, which goes when the socket is open. */
#include "ws_int.h"

#include "h1_write.h"
#include "http_through.h"
#include "hcrypto.h"

#define ANSWER_BYTES_MAX  (64 * 1024)
#define REQUEST_BYTES_MAX (1 << 20)
#define DEFAULT_TIMEOUT_MS 10000

typedef struct ws_dial_s {
    hbuf_t request;
    hbuf_t answer;  /* the head as far as it has come */
    size_t scanned; /* of it */
    htimer_t *timer;
    http_through_t *through; /* a proxy, with copies of its strings behind it; or NULL */
    hssl_ctx_t ssl;          /* for behind the proxy, or NULL */
    char *server_name;       /* likewise; behind `through` */
    int is_secure;
    int status;
    char key[WS_KEY_BYTES];
    char problem[128];
} ws_dial_t;

void hv__ws_dial_free(hws_t *ws) {
    ws_dial_t *dial = ws->dial;
    if (dial == NULL) return;
    htimer_del(dial->timer);
    hbuf_deinit(&dial->request);
    hbuf_deinit(&dial->answer);
    hssl_ctx_free(dial->ssl);
    hv__free(dial->through);
    hv__free(dial);
    ws->dial = NULL;
}

/* ---- The request ---- */

static ws_deflate_params_t offer_of(const hws_endpoint_t *endpoint) {
    const hws_deflate_t *deflate = &endpoint->options.deflate;
    return (ws_deflate_params_t){
        (uint8_t)(deflate->is_on != 0), !deflate->server_takeover, !deflate->client_takeover,
        (uint8_t)deflate->server_window_bits, (uint8_t)deflate->client_window_bits,
    };
}

static int make_key(char key[WS_KEY_BYTES]) {
    unsigned char nonce[16];
    int code = hcrypto_random(nonce, sizeof nonce);
    if (code == 0) hcrypto_base64(nonce, sizeof nonce, 0, key);
    return code;
}

static void add(hbuf_t *out, int *code, const char *text, size_t len) {
    if (*code == 0 && len > 0) *code = hbuf_append(out, text, len, REQUEST_BYTES_MAX);
}

static void add_line(hbuf_t *out, int *code, const char *name, const char *value, size_t len) {
    add(out, code, name, strlen(name));
    add(out, code, ": ", 2);
    add(out, code, value, len);
    add(out, code, "\r\n", 2);
}

/* Headers of the handshake are ours. */
static int check_headers(const hws_connect_t *options) {
    for (size_t i = 0; i < options->header_count; i++) {
        hstr_t name = {options->headers[i].name.data, options->headers[i].name.len};
        hstr_t start = {name.data, name.len < 14 ? name.len : 14};
        if (hstr_equals_nocase(start, HSTR_LITERAL("sec-websocket-")) ||
            hstr_equals_nocase(name, HSTR_LITERAL("upgrade"))) {
            return HV_EINVAL;
        }
    }
    return h1_check_headers(options->headers, options->header_count);
}

static int has_header(const hws_connect_t *options, hstr_t wanted) {
    for (size_t i = 0; i < options->header_count; i++) {
        hhttp_slice_t name = options->headers[i].name;
        if (hstr_equals_nocase((hstr_t){name.data, name.len}, wanted)) return 1;
    }
    return 0;
}

static int make_request(ws_dial_t *dial, const hws_endpoint_t *endpoint,
                        const hws_connect_t *options, const ws_url_t *url) {
    hbuf_t *out = &dial->request;
    int code = make_key(dial->key);
    add(out, &code, "GET ", 4);
    if (url->needs_slash) add(out, &code, "/", 1);
    add(out, &code, url->target.data, url->target.len);
    add(out, &code, " HTTP/1.1\r\n", 11);
    if (!has_header(options, HSTR_LITERAL("host"))) {
        add_line(out, &code, "Host", url->authority.data, url->authority.len);
    }
    add_line(out, &code, "Upgrade", "websocket", 9);
    add_line(out, &code, "Connection", "Upgrade", 7);
    add_line(out, &code, "Sec-WebSocket-Key", dial->key, WS_KEY_BYTES);
    add_line(out, &code, "Sec-WebSocket-Version", "13", 2);
    if (endpoint->protocols != NULL) {
        add_line(out, &code, "Sec-WebSocket-Protocol", endpoint->protocols,
                 strlen(endpoint->protocols));
    }
    ws_deflate_params_t offer = offer_of(endpoint);
    if (offer.is_on) {
        char text[WS_DEFLATE_TEXT_MAX];
        size_t len = ws_write_deflate_offer(&offer, text);
        add_line(out, &code, "Sec-WebSocket-Extensions", text, len);
    }
    for (size_t i = 0; i < options->header_count; i++) {
        const hhttp_header_t *header = &options->headers[i];
        add(out, &code, header->name.data, header->name.len);
        add(out, &code, ": ", 2);
        add(out, &code, header->value.data, header->value.len);
        add(out, &code, "\r\n", 2);
    }
    add(out, &code, "\r\n", 2);
    return code;
}

/* ---- The answer ---- */

static void give_up(hws_t *ws, int error, const char *problem) {
    ws_dial_t *dial = ws->dial;
    if (problem != NULL) snprintf(dial->problem, sizeof dial->problem, "%s", problem);
    hv__ws_cut(ws, error);
}

/* The whole head has come. Returns whether the socket opens. */
static int take_answer(hws_t *ws, const char *head, size_t len, ws_agreement_t *agreement) {
    ws_dial_t *dial = ws->dial;
    const hws_endpoint_t *endpoint = ws->endpoint;
    ws_hello_t hello = {0};
    int status = ws_parse_answer(head, len, &hello);
    if (status < 0) {
        give_up(ws, HV_EPROTO, "the server does not speak HTTP");
        return 0;
    }
    if (status != 101) {
        char text[96];
        snprintf(text, sizeof text, "the server answered %d %.40s", status,
                 hhttp_status_text(status));
        dial->status = status;
        give_up(ws, HV_EPROTO, text);
        return 0;
    }
    ws_request_t request = {.key = {dial->key, WS_KEY_BYTES}, .deflate = offer_of(endpoint)};
    if (endpoint->protocols != NULL) request.protocols = hstr_from(endpoint->protocols);
    const char *problem = ws_check_answer(&hello, &request, agreement);
    if (problem != NULL) give_up(ws, HV_EPROTO, problem);
    return problem == NULL;
}

static void on_head(hio_t *io, void *buf, int readbytes) {
    hws_t *ws = hio_context(io);
    ws_dial_t *dial = ws->dial;
    ws_agreement_t agreement;
    if (ws->state != WS_CONNECTING) return;
    int code = hbuf_append(&dial->answer, buf, (size_t)readbytes, ANSWER_BYTES_MAX);
    if (code != 0) {
        give_up(ws, code, code == HV_ELIMIT ? "the answer's head is too long" : NULL);
        return;
    }
    const char *head = hbuf_data(&dial->answer);
    size_t len = ws_find_head_end(head, hbuf_len(&dial->answer), &dial->scanned);
    if (len == 0 || !take_answer(ws, head, len, &agreement)) return;
    hio_read_stop(io);
    hv__io_unread(io, head + len, hbuf_len(&dial->answer) - len, 0);
    hv__ws_open(ws, io, &agreement);
    hv__ws_dial_free(ws);
}

static void send_request(hio_t *io) {
    hws_t *ws = hio_context(io);
    ws_dial_t *dial = ws->dial;
    if (ws->state != WS_CONNECTING) return;
    hio_setcb_read(io, on_head);
    hio_write(io, hbuf_data(&dial->request), hbuf_len(&dial->request));
    hbuf_deinit(&dial->request);
    hio_read(io);
}

static void on_dial_close(hio_t *io) {
    hws_t *ws = hio_context(io);
    const char *words = hio_ssl_error(io);
    if (words != NULL && ws->dial->problem[0] == '\0') {
        snprintf(ws->dial->problem, sizeof ws->dial->problem, "%s", words);
    }
    hv__ws_on_close(io);
}

static void on_timeout(htimer_t *timer) {
    hws_t *ws = hevent_userdata(timer);
    ws->dial->timer = NULL;
    give_up(ws, HV_ETIMEDOUT, NULL);
}

/* ---- Through a proxy ---- */

static int set_tls(hio_t *io, hssl_ctx_t ssl, const char *name) {
    int code = ssl != NULL ? hio_set_ssl_ctx(io, ssl) : hio_enable_ssl(io);
    return code != 0 ? code : hio_set_hostname(io, name);
}

/* The tunnel is there: TLS with the server where it is wss, and the request. */
static void on_through(http_through_t *through, int code, const char *words) {
    hio_t *io = through->io;
    hws_t *ws = hio_context(io);
    ws_dial_t *dial = ws->dial;
    if (code != 0) {
        give_up(ws, code, words);
        return;
    }
    if (!dial->is_secure) {
        send_request(io);
        return;
    }
    if (through->kind == HHTTP_PROXY_HTTPS) {
        io = hv__http_through_nest(io);
        if (io == NULL) {
            give_up(ws, hloop_last_error(ws->endpoint->hub->loop), NULL);
            return;
        }
        ws->io = io;
        hio_set_context(io, ws);
        hio_setcb_close(io, on_dial_close);
    }
    hio_setcb_connect(io, send_request);
    code = set_tls(io, dial->ssl, dial->server_name);
    if (code != 0) give_up(ws, code, NULL);
}

static void on_proxy_read(hio_t *io, void *buf, int readbytes) {
    hws_t *ws = hio_context(io);
    if (ws->state == WS_CONNECTING) {
        hv__http_through_read(ws->dial->through, buf, (size_t)readbytes);
    }
}

static void on_proxy_connect(hio_t *io) {
    hws_t *ws = hio_context(io);
    if (ws->state != WS_CONNECTING) return;
    hio_setcb_read(io, on_proxy_read);
    ws->dial->through->io = io;
    hv__http_through_begin(ws->dial->through);
}

static size_t bytes_of(const char *text) { return text != NULL ? strlen(text) + 1 : 0; }

static const char *keep(char **at, const char *text) {
    if (text == NULL) return NULL;
    char *copy = memcpy(*at, text, strlen(text) + 1);
    *at += strlen(text) + 1;
    return copy;
}

/* Keeps what is needed once the proxy is reached. Returns 0 or a code. */
static int keep_proxy(ws_dial_t *dial, const hws_connect_t *options, const ws_url_t *url,
                      const char *host) {
    static const h1_limits_t limits = {ANSWER_BYTES_MAX, ANSWER_BYTES_MAX, 256};
    const hhttp_proxy_t *proxy = options->proxy;
    int code = hv__http_proxy_check(proxy);
    if (code != 0) return code;
    const char *name = options->server_name != NULL ? options->server_name : host;
    int has_user = proxy->user != NULL && *proxy->user != '\0';
    http_through_t *through =
        hv__malloc(sizeof *through + bytes_of(host) + bytes_of(name) + bytes_of(proxy->user) +
                   bytes_of(proxy->password));
    if (through == NULL) return HV_ENOMEM;
    char *at = (char *)(through + 1);
    *through = (http_through_t){
        .host = keep(&at, host),
        .user = has_user ? keep(&at, proxy->user) : NULL,
        .password = keep(&at, proxy->password),
        .limits = &limits,
        .port = url->port,
        .kind = proxy->kind,
        .tell = on_through,
    };
    dial->server_name = at;
    keep(&at, name);
    dial->through = through;
    dial->is_secure = url->is_secure;
    dial->ssl = options->ssl;
    if (dial->ssl != NULL) hssl_ctx_retain(dial->ssl);
    return 0;
}

/* ---- API ---- */

/* The io that is to become the socket's, or that of its proxy. Returns NULL with *code set. */
static hio_t *make_io(hws_t *ws, const hws_connect_t *options, const ws_url_t *url, int *code) {
    hloop_t *loop = ws->endpoint->hub->loop;
    const hhttp_proxy_t *proxy = options->proxy;
    char host[256];
    *code = url->host.len < sizeof host ? 0 : HV_EINVAL;
    if (*code != 0) return NULL;
    memcpy(host, url->host.data, url->host.len);
    host[url->host.len] = '\0';
    if (proxy != NULL && proxy->kind == HHTTP_PROXY_NONE) proxy = NULL;
    if (proxy != NULL) *code = keep_proxy(ws->dial, options, url, host);
    if (*code != 0) return NULL;
    hio_t *io = proxy != NULL
                    ? hio_tcp_client(loop, proxy->host, proxy->port, on_proxy_connect, NULL)
                    : hio_tcp_client(loop, host, url->port, send_request, NULL);
    if (io == NULL) {
        *code = hloop_last_error(loop);
    } else if (proxy != NULL && proxy->kind == HHTTP_PROXY_HTTPS) {
        *code = hv__http_proxy_secure(io, proxy->host, options->proxy_ssl);
    } else if (proxy == NULL && url->is_secure) {
        const char *name = options->server_name != NULL ? options->server_name : host;
        *code = set_tls(io, options->ssl, name);
    }
    if (*code == 0) return io;
    if (io != NULL) hio_abort(io);
    return NULL;
}

/* Begins to connect. Returns 0 or a negative code: then there is no io. */
static int dial(hws_t *ws, const hws_connect_t *options, const ws_url_t *url) {
    hloop_t *loop = ws->endpoint->hub->loop;
    int code;
    hio_t *io = make_io(ws, options, url, &code);
    if (io == NULL) return code;
    uint32_t timeout_ms = options->timeout_ms != 0 ? options->timeout_ms : DEFAULT_TIMEOUT_MS;
    ws->io = io;
    hio_set_context(io, ws);
    hio_setcb_close(io, on_dial_close);
    hio_set_connect_timeout(io, timeout_ms < INT32_MAX ? (int)timeout_ms : 0);
    if (timeout_ms == INFINITE) return 0;
    ws->dial->timer = htimer_add(loop, on_timeout, timeout_ms, 1);
    if (ws->dial->timer != NULL) {
        hevent_set_userdata(ws->dial->timer, ws);
        hevent_unref(ws->dial->timer);
    }
    return 0;
}

static int begin(hws_t *ws, const hws_connect_t *options) {
    ws_url_t url;
    int code = options->url != NULL ? ws_parse_url(hstr_from(options->url), &url) : HV_EINVAL;
    if (code == 0) code = check_headers(options);
    if (code != 0) return code;
    ws->flags |= WSF_CLIENT;
    ws->dial = hv__calloc(1, sizeof *ws->dial);
    if (ws->dial == NULL) return HV_ENOMEM;
    code = make_request(ws->dial, ws->endpoint, options, &url);
    return code != 0 ? code : dial(ws, options, &url);
}

hws_t *hws_connect(hws_endpoint_t *endpoint, const hws_connect_t *options, void *userdata) {
    hws_hub_t *hub = endpoint->hub;
    hws_t *ws = hub->is_closing ? NULL : hv__ws_new(endpoint, userdata);
    int code = ws != NULL ? begin(ws, options) : hub->is_closing ? HV_ECLOSED : HV_ENOMEM;
    if (code == 0) return ws;
    if (ws != NULL) {
        hv__ws_dial_free(ws);
        hv__ws_free(ws);
    }
    hub->loop->last_error = code;
    return NULL;
}

const char *hws_problem(const hws_t *ws) {
    return ws->dial != NULL && ws->dial->problem[0] != '\0' ? ws->dial->problem : NULL;
}

int hws_status(const hws_t *ws) { return ws->dial != NULL ? ws->dial->status : 0; }
