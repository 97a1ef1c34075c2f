/* http_start.c - the start of a call: what the program asks for is checked, written as a request
 * head, and given its place in the pool. */
#include "http_client_int.h"

#include "h1_chars.h"
#include "hloop_int.h"

#define CONNECT_TIMEOUT_MS 10000
#define EXPECT_BYTES       (1024 * 1024)
#define HOST_BYTES_MAX     255

/* What is put together for one start, on the stack. */
typedef struct draft_s {
    const hhttp_call_options_t *options;
    http_place_t place;
    h1_request_t request;
    char host[HOST_BYTES_MAX + 1];
    char authority[HOST_BYTES_MAX + 16];
    char *target; /* where it is put together; hv__free it */
    char *basic;  /* likewise */
} draft_t;

/* Where it leads. Returns 0 or HV_EINVAL. */
static int draft_place(draft_t *draft) {
    const hhttp_call_options_t *options = draft->options;
    const hhttp_url_t *url = &options->url;
    http_place_t *place = &draft->place;
    if (url->host.len == 0 || url->host.len > HOST_BYTES_MAX) return HV_EINVAL;
    if (url->port < 1 || url->port > 65535) return HV_EINVAL;
    if (memchr(url->host.data, '\0', url->host.len) != NULL) return HV_EINVAL;
    memcpy(draft->host, url->host.data, url->host.len);
    draft->host[url->host.len] = '\0';
    place->host = draft->host;
    place->port = url->port;
    place->is_https = url->is_https;
    if (options->unix_path != NULL) {
        if (options->unix_path[0] != '/' || options->proxy != NULL) return HV_EINVAL;
        place->unix_path = options->unix_path;
    }
    if (place->is_https) {
        place->tls = options->tls;
        place->server_name = options->server_name;
    }
    if (options->http2 < 0 || options->http2 > HHTTP_CALL_HTTP2_PRIOR) return HV_EINVAL;
    /* An upgrade is a matter of HTTP/1.1; and in the clear nothing is offered. */
    int is_prior = options->http2 == HHTTP_CALL_HTTP2_PRIOR && options->upgrade == NULL;
    place->http2 = options->http2;
    if (options->upgrade != NULL || (!place->is_https && !is_prior)) {
        place->http2 = HHTTP_CALL_HTTP2_OFF;
    }
    const hhttp_proxy_t *proxy = options->proxy;
    if (proxy == NULL || proxy->kind == HHTTP_PROXY_NONE) return 0;
    if (hv__http_proxy_check(proxy) != 0) return HV_EINVAL;
    place->proxy = proxy->kind;
    place->proxy_host = proxy->host;
    place->proxy_port = proxy->port;
    if (proxy->kind == HHTTP_PROXY_HTTPS) place->proxy_tls = options->proxy_tls;
    if (proxy->user != NULL && *proxy->user != '\0') {
        place->proxy_user = proxy->user;
        place->proxy_password = proxy->password;
    }
    place->tunnels = options->upgrade != NULL || is_prior;
    return 0;
}

static int is_by_http(const http_place_t *place) {
    return place->proxy == HHTTP_PROXY_HTTP || place->proxy == HHTTP_PROXY_HTTPS;
}

/* The target as it stands in the request line. Returns 0 or an error. */
static int draft_target(draft_t *draft) {
    const hhttp_url_t *url = &draft->options->url;
    const http_place_t *place = &draft->place;
    int is_absolute = is_by_http(place) && !place->is_https && !place->tunnels;
    hhttp_slice_t target = url->target.len > 0 ? url->target : (hhttp_slice_t){"/", 1};
    const char *slash = target.data[0] == '?' ? "/" : ""; /* of "http://host?query" */
    draft->request.target = target;
    if (!is_absolute && *slash == '\0') return 0;
    size_t room = target.len + sizeof draft->authority + sizeof "http:///";
    draft->target = hv__malloc(room);
    if (draft->target == NULL) return HV_ENOMEM;
    int prefix_len = is_absolute
                         ? snprintf(draft->target, room, "http://%s%s", draft->authority, slash)
                         : snprintf(draft->target, room, "%s", slash);
    memcpy(draft->target + prefix_len, target.data, target.len);
    draft->request.target = (hhttp_slice_t){draft->target, (size_t)prefix_len + target.len};
    return 0;
}

static int draft_authorization(draft_t *draft) {
    const http_place_t *place = &draft->place;
    int is_plain = is_by_http(place) && !place->is_https && !place->tunnels;
    if (!is_plain || place->proxy_user == NULL) return 0;
    draft->basic = hv__http_basic(place->proxy_user, place->proxy_password);
    draft->request.proxy_authorization = draft->basic;
    return draft->basic != NULL ? 0 : HV_ENOMEM;
}

/* A method that usually has a body says so where it has none (RFC 9110 section 8.6). */
static int means_content(hhttp_slice_t method) {
    switch (hhttp_method_of(method.data, method.len)) {
    case HHTTP_POST:
    case HHTTP_PUT:
    case HHTTP_PATCH: return 1;
    default: return 0;
    }
}

static void draft_body(draft_t *draft) {
    const hhttp_call_options_t *options = draft->options;
    h1_request_t *request = &draft->request;
    int64_t len = options->body_len;
    int has_body = options->is_streamed || options->body != NULL;
    request->content_length = -1;
    if (!has_body) {
        if (means_content(request->method)) request->content_length = 0;
        return;
    }
    request->is_chunked = options->is_streamed && len < 0;
    if (!request->is_chunked) request->content_length = len;
    int64_t from = options->expect_bytes == 0 ? EXPECT_BYTES : options->expect_bytes;
    request->expects_continue = from >= 0 && len != 0 && (len < 0 || len >= from);
}

/* Whether codings are asked for: not where the program has a word of its own on it, nor for a part,
 * which could not be decoded. */
static int accepts_codings(const hhttp_call_options_t *options) {
    if (!options->decodes) return 0;
    for (size_t i = 0; i < options->header_count; i++) {
        hhttp_slice_t name = options->headers[i].name;
        if (h1_equals_folded(name.data, name.len, "accept-encoding", 15)) return 0;
        if (h1_equals_folded(name.data, name.len, "range", 5)) return 0;
    }
    return 1;
}

static int draft_request(draft_t *draft) {
    const hhttp_call_options_t *options = draft->options;
    const hhttp_url_t *url = &options->url;
    h1_request_t *request = &draft->request;
    const char *method = options->method != NULL ? options->method : "GET";
    request->method = (hhttp_slice_t){method, strlen(method)};
    request->headers = options->headers;
    request->header_count = options->header_count;
    request->upgrade = options->upgrade;
    request->closes = options->closes != 0;
    request->wants_trailers = options->wants_trailers != 0;
    request->accepts_codings = (uint8_t)accepts_codings(options);
    int is_ipv6 = memchr(url->host.data, ':', url->host.len) != NULL;
    int is_usual = url->port == (url->is_https ? 443 : 80);
    char port[8] = "";
    if (!is_usual) snprintf(port, sizeof port, ":%d", url->port);
    int len = snprintf(draft->authority, sizeof draft->authority, is_ipv6 ? "[%s]%s" : "%s%s",
                       draft->host, port);
    int code = draft_target(draft);
    if (code != 0) return code;
    int has_host;
    code = h1_check_request(request, &has_host);
    if (code != 0) return code;
    hhttp_slice_t authority = {draft->authority, (size_t)len};
    for (int i = 0; i < len; i++) {
        if ((unsigned char)authority.data[i] <= ' ' || authority.data[i] == 127) return HV_EINVAL;
    }
    if (!has_host) request->host = authority;
    draft_body(draft);
    return draft_authorization(draft);
}

static uint32_t flags_of(const draft_t *draft) {
    const h1_request_t *request = &draft->request;
    uint32_t flags = 0;
    if (draft->options->is_streamed) flags |= CALL_STREAMED;
    if (request->is_chunked) flags |= CALL_CHUNKED;
    if (request->expects_continue) flags |= CALL_EXPECTS;
    if (request->upgrade != NULL) flags |= CALL_WANTS_UPGRADE;
    switch (hhttp_method_of(request->method.data, request->method.len)) {
    case HHTTP_HEAD: flags |= CALL_TO_HEAD | CALL_IDEMPOTENT; break;
    case HHTTP_GET:
    case HHTTP_PUT:
    case HHTTP_DELETE:
    case HHTTP_OPTIONS:
    case HHTTP_TRACE: flags |= CALL_IDEMPOTENT; break;
    default: break;
    }
    return flags;
}

/* Gives a call the request of a draft. Returns 0 or HV_ENOMEM. */
static int take_draft(hhttp_call_t *call, const draft_t *draft) {
    const h1_request_t *request = &draft->request;
    char *head = hv__realloc(call->head, h1_request_bytes_max(request));
    if (head == NULL) return HV_ENOMEM;
    call->head = head;
    call->head_len = h1_write_request(request, head);
    call->options = *draft->options;
    call->options.headers = NULL;
    call->options.method = call->options.upgrade = NULL;
    call->options.unix_path = call->options.server_name = NULL;
    call->options.proxy = NULL;
    call->options.proxy_tls = NULL;
    memset(&call->options.url, 0, sizeof call->options.url);
    if (call->options.connect_timeout_ms == 0) {
        call->options.connect_timeout_ms = CONNECT_TIMEOUT_MS;
    }
    if (request->is_chunked) {
        call->options.body_len = -1;
    } else if (request->content_length <= 0) {
        call->options.body_len = 0;
    }
    call->body_left = call->options.body_len;
    call->flags = flags_of(draft);
    if (!draft->options->is_streamed && call->body_left == 0) call->flags |= CALL_BODY_SENT;
    return 0;
}

static int check_options(const hhttp_client_t *client, const hhttp_call_options_t *options) {
    if (client->is_closing) return HV_ECLOSED;
    if (options->on_done == NULL) return HV_EINVAL;
    if (options->body != NULL && (options->is_streamed || options->body_len < 0)) return HV_EINVAL;
    return 0;
}

int hv__http_call_prepare(hhttp_call_t *call, const hhttp_call_options_t *options) {
    hhttp_client_t *client = call->client;
    draft_t draft = {.options = options};
    int code = check_options(client, options);
    if (code == 0) code = draft_place(&draft);
    if (code == 0) code = draft_request(&draft);
    if (code == 0) code = take_draft(call, &draft);
    if (code == 0) {
        call->group = hv__http_group_of(client, &draft.place);
        if (call->group == NULL) code = HV_ENOMEM;
    }
    hv__free(draft.target);
    hv__free(draft.basic);
    return code;
}

/* Returns 0, or an error: the call is then in no list. */
static int begin(hhttp_call_t *call, const hhttp_call_options_t *options) {
    hhttp_client_t *client = call->client;
    int code = hv__http_call_prepare(call, options);
    if (code == 0 && options->redirects_max > 0) code = hv__http_follow_new(call, options);
    if (code != 0) {
        if (call->group != NULL) hv__http_group_leave(call->group);
        hhttp_call_release(call);
        return code;
    }
    call->start_ms = hv__http_ms(client);
    call->timer_due_ms = UINT64_MAX;
    call->next = client->calls;
    if (call->next != NULL) call->next->prev = call;
    client->calls = call;
    code = hv__http_assign(call);
    if (code != 0) hv__http_call_forget(call);
    return code;
}

hhttp_call_t *hhttp_call_start(hhttp_client_t *client, const hhttp_call_options_t *options) {
    hhttp_call_t *call = hv__calloc(1, sizeof *call);
    int code = HV_ENOMEM;
    if (call != NULL) {
        call->refs = 1;
        call->client = client;
        code = begin(call, options);
    }
    if (code != 0) {
        client->loop->last_error = code;
        return NULL;
    }
    hv__http_call_arm(call);
    return call;
}
