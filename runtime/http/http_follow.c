/* http_follow.c - redirects: a call that follows them keeps what its request is made of, and is
 * written anew for each place it is sent to.
 *
 * The body of a redirect is read and dropped where it is short, so that its connection is kept.
 * What belongs to an origin (scheme, host and port) stays with it: once a call has left it,
 * Authorization and Cookie are not sent any more, also not when the way leads back. */
#include "h1_chars.h"
#include "hloop_int.h"
#include "http_client_int.h"

#define URL_BYTES_MAX 8192

typedef struct http_follow_s {
    hhttp_call_options_t options; /* pointers go into `text`, `headers` and `url` */
    hhttp_proxy_t proxy;
    hhttp_header_t *headers;
    char *url;
    uint32_t count;
    char *end; /* of what is used of `text` */
    char text[];
} http_follow_t;

/* ---- Keeping ---- */

static size_t bytes_of(const char *text) {
    return text != NULL ? strlen(text) + 1 : 0;
}

static size_t text_bytes(const hhttp_call_options_t *options) {
    size_t bytes =
        bytes_of(options->method) + bytes_of(options->unix_path) + bytes_of(options->server_name);
    if (options->proxy != NULL) {
        bytes += bytes_of(options->proxy->host) + bytes_of(options->proxy->user) +
                 bytes_of(options->proxy->password);
    }
    for (size_t i = 0; i < options->header_count; i++) {
        bytes += options->headers[i].name.len + options->headers[i].value.len;
    }
    return bytes;
}

static const char *keep_text(http_follow_t *follow, const char *text) {
    if (text == NULL) return NULL;
    char *at = follow->end;
    size_t bytes = strlen(text) + 1;
    memcpy(at, text, bytes);
    follow->end += bytes;
    return at;
}

static hhttp_slice_t keep_slice(http_follow_t *follow, hhttp_slice_t slice) {
    char *at = follow->end;
    if (slice.len > 0) memcpy(at, slice.data, slice.len);
    follow->end += slice.len;
    return (hhttp_slice_t){at, slice.len};
}

static void keep_options(http_follow_t *follow, const hhttp_call_options_t *options) {
    hhttp_call_options_t *kept = &follow->options;
    *kept = *options;
    follow->end = follow->text;
    kept->method = keep_text(follow, options->method);
    kept->unix_path = keep_text(follow, options->unix_path);
    kept->server_name = keep_text(follow, options->server_name);
    if (options->proxy != NULL) {
        follow->proxy = *options->proxy;
        follow->proxy.host = keep_text(follow, options->proxy->host);
        follow->proxy.user = keep_text(follow, options->proxy->user);
        follow->proxy.password = keep_text(follow, options->proxy->password);
        kept->proxy = &follow->proxy;
    }
    for (size_t i = 0; i < options->header_count; i++) {
        follow->headers[i].name = keep_slice(follow, options->headers[i].name);
        follow->headers[i].value = keep_slice(follow, options->headers[i].value);
    }
    kept->headers = follow->headers;
    kept->upgrade = NULL;
    if (kept->tls != NULL) hssl_ctx_retain(kept->tls);
    if (kept->proxy_tls != NULL) hssl_ctx_retain(kept->proxy_tls);
}

void hv__http_follow_free(http_follow_t *follow) {
    if (follow == NULL) return;
    hssl_ctx_free(follow->options.tls);
    hssl_ctx_free(follow->options.proxy_tls);
    hv__free(follow->headers);
    hv__free(follow->url);
    hv__free(follow);
}

int hv__http_follow_new(hhttp_call_t *call, const hhttp_call_options_t *options) {
    http_follow_t *follow = hv__malloc(sizeof *follow + text_bytes(options));
    if (follow == NULL) return HV_ENOMEM;
    memset(follow, 0, sizeof *follow);
    size_t headers = options->header_count > 0 ? options->header_count : 1;
    follow->headers = hv__calloc(headers, sizeof *follow->headers);
    follow->url = hv__malloc(URL_BYTES_MAX);
    if (follow->headers == NULL || follow->url == NULL) {
        hv__http_follow_free(follow);
        return HV_ENOMEM;
    }
    keep_options(follow, options);
    call->follow = follow;
    /* An empty reference gives the URL itself. */
    int code =
        hv__http_url_resolve(&options->url, (hhttp_slice_t){"", 0}, follow->url, URL_BYTES_MAX);
    return code != 0 ? code : hhttp_url_parse(follow->url, &follow->options.url);
}

/* ---- Following ---- */

static int is_redirect(int status) {
    return status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
}

static int is_same_origin(const hhttp_url_t *one, const hhttp_url_t *other) {
    return one->is_https == other->is_https && one->port == other->port &&
           one->host.len == other->host.len &&
           h1_names_equal(one->host.data, other->host.data, one->host.len);
}

static int is_credential(hhttp_slice_t name) {
    return h1_equals_folded(name.data, name.len, "authorization", 13) ||
           h1_equals_folded(name.data, name.len, "proxy-authorization", 19) ||
           h1_equals_folded(name.data, name.len, "cookie", 6);
}

static int is_of_body(hhttp_slice_t name) {
    return name.len > 8 && h1_equals_folded(name.data, 8, "content-", 8);
}

static int is_host(hhttp_slice_t name) {
    return h1_equals_folded(name.data, name.len, "host", 4);
}

static void drop_headers(http_follow_t *follow, int (*is_dropped)(hhttp_slice_t name)) {
    size_t kept = 0;
    for (size_t i = 0; i < follow->options.header_count; i++) {
        if (!is_dropped(follow->headers[i].name)) follow->headers[kept++] = follow->headers[i];
    }
    follow->options.header_count = kept;
}

/* Whether the method becomes GET. */
static int becomes_get(int status, const char *method) {
    if (method == NULL) return 0;
    hhttp_method_e known = hhttp_method_of(method, strlen(method));
    if (status == 303) return known != HHTTP_HEAD && known != HHTTP_GET;
    return (status == 301 || status == 302) && known == HHTTP_POST;
}

int hv__http_follow_check(hhttp_call_t *call) {
    http_follow_t *follow = call->follow;
    hhttp_call_options_t *options = &follow->options;
    int status = call->reply.status;
    hhttp_slice_t location = hhttp_call_header(call, "location", 8);
    if (!is_redirect(status) || location.data == NULL) return 0;
    int is_get_now = becomes_get(status, options->method);
    if (options->is_streamed && !is_get_now) return 0;
    if (follow->count >= options->redirects_max) {
        hv__http_call_end(call, HV_ELIMIT, "too many redirects");
        return HV_ELIMIT;
    }
    char *url = hv__malloc(URL_BYTES_MAX);
    hhttp_url_t parts;
    int code =
        url != NULL ? hv__http_url_resolve(&options->url, location, url, URL_BYTES_MAX) : HV_ENOMEM;
    if (code == 0) code = hhttp_url_parse(url, &parts);
    if (code != 0) {
        hv__free(url);
        hv__http_call_end(call, code == HV_EINVAL ? HV_EPROTO : code,
                          "the redirect leads to no http or https URL");
        return code;
    }
    if (!is_same_origin(&options->url, &parts)) {
        drop_headers(follow, is_credential);
        drop_headers(follow, is_host);
    }
    if (is_get_now) {
        options->method = NULL;
        options->body = NULL;
        options->body_len = 0;
        options->is_streamed = 0;
        drop_headers(follow, is_of_body);
    }
    hv__free(follow->url);
    follow->url = url;
    options->url = parts;
    follow->count++;
    return 1;
}

void hv__http_follow_go(hhttp_call_t *call) {
    http_follow_t *follow = call->follow;
    HV_ASSERT(call->link == NULL);
    uint32_t paused = call->flags & CALL_PAUSED;
    follow->options.userdata = call->options.userdata;
    call->state = CALL_WAITING;
    hv__http_call_forget_reply(call);
    call->interim_count = 0;
    call->received = call->sent = 0;
    call->group = NULL;
    int code = hv__http_call_prepare(call, &follow->options);
    call->flags |= paused;
    http_group_t *group = call->group;
    if (code == 0) code = hv__http_assign(call);
    if (code == 0) {
        hv__http_call_arm(call);
        return;
    }
    hv__http_call_end(call, code, NULL);
    if (group != NULL) hv__http_group_leave(group);
}

const char *hhttp_call_url(const hhttp_call_t *call) {
    return call->follow != NULL ? call->follow->url : NULL;
}

uint32_t hhttp_call_redirects(const hhttp_call_t *call) {
    return call->follow != NULL ? call->follow->count : 0;
}
