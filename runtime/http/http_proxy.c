/* http_proxy.c - how a connection gets through a proxy.
 *
 * CONNECT (RFC 9110 section 9.3.6): a request head out, a response head in, of which any 2xx means
 * that the tunnel begins behind it. SOCKS 5 (RFC 1928, RFC 1929): greeting, perhaps user and
 * password, then the command with the name, which the proxy resolves. Each answer is read exactly,
 * so that the first bytes of the server behind it stay with the io.
 *
 * A proxy that is spoken to by TLS gets all of that inside of it. TLS with the server behind it is
 * then inside of the other: an io has one layer only, so the inner one is an end of a pair of
 * sockets, whose other end is joined with the outer io.
 *
 *   HTTP:   CONNECT -> done
 *   SOCKS:  METHOD -> [PASSWORD ->] REPLY -> REPLY_REST -> done */
#include "hcrypto.h"
#include "hmem.h"
#include "hassert.h"
#include "hssl.h"
#include "http_through.h"

enum { STEP_CONNECT, STEP_METHOD, STEP_PASSWORD, STEP_REPLY, STEP_REPLY_REST };

#define SOCKS_VERSION       5
#define SOCKS_WORD_MAX      255
#define INTERIMS_MAX        16
#define SOCKS_NO_AUTH       0
#define SOCKS_WITH_PASSWORD 2

char *hv__http_basic(const char *user, const char *password) {
    size_t user_len = strlen(user);
    size_t password_len = password != NULL ? strlen(password) : 0;
    size_t plain_len = user_len + 1 + password_len;
    char *plain = hv__malloc(plain_len);
    char *text = hv__malloc(sizeof "Basic " + HCRYPTO_BASE64_LEN(plain_len));
    if (plain != NULL && text != NULL) {
        memcpy(plain, user, user_len);
        plain[user_len] = ':';
        if (password_len > 0) memcpy(plain + user_len + 1, password, password_len);
        memcpy(text, "Basic ", 6);
        text[6 + hcrypto_base64(plain, plain_len, 0, text + 6)] = '\0';
    } else {
        hv__free(text);
        text = NULL;
    }
    hv__free(plain);
    return text;
}

/* ---- HTTP ---- */

static void begin_connect(http_through_t *through) {
    char authority[300];
    int is_ipv6 = strchr(through->host, ':') != NULL;
    int len = snprintf(authority, sizeof authority, is_ipv6 ? "[%s]:%d" : "%s:%d", through->host,
                       through->port);
    h1_request_t request = {
        .method = {"CONNECT", 7},
        .target = {authority, (size_t)len},
        .host = {authority, (size_t)len},
        .content_length = -1,
    };
    char *basic = NULL;
    if (through->user != NULL) {
        basic = hv__http_basic(through->user, through->password);
        if (basic == NULL) {
            through->tell(through, HV_ENOMEM, NULL);
            return;
        }
    }
    request.proxy_authorization = basic;
    char *head = hv__malloc(h1_request_bytes_max(&request));
    int code = head == NULL ? HV_ENOMEM : 0;
    if (head != NULL) code = hio_write(through->io, head, h1_write_request(&request, head));
    hv__free(head);
    hv__free(basic);
    if (code < 0) {
        through->tell(through, code, NULL);
        return;
    }
    through->step = STEP_CONNECT;
    hio_read_until(through->io, "\r\n\r\n", 4);
}

/* What a refusal means to whoever wanted to connect. */
static int code_of_status(int status) {
    switch (status) {
    case 403:
    case 407: return -EACCES;
    case 502:
    case 503: return HV_ECONNREFUSED;
    case 504: return HV_ETIMEDOUT;
    default: return HV_EPROTO;
    }
}

static void read_connect_answer(http_through_t *through, const char *data, size_t len) {
    const h1_limits_t *limits = through->limits;
    h1_reply_t reply;
    size_t scanned = 0;
    long block_len = h1_find_head_end(data, len, &scanned, limits);
    int code = block_len > 0 ? h1_parse_reply(&reply, data, (size_t)block_len, 1, limits) : 0;
    if (block_len <= 0) code = block_len == 0 ? HV_EPROTO : h1_reply_error((int)-block_len);
    if (code != 0) {
        through->tell(through, code, "the proxy's answer to CONNECT is malformed");
        return;
    }
    if (reply.status < 200) { /* an interim one */
        if (reply.status == 101 || through->interims++ > INTERIMS_MAX) {
            through->tell(through, HV_EPROTO, "the proxy's answer to CONNECT is malformed");
        } else {
            hio_read_until(through->io, "\r\n\r\n", 4);
        }
        return;
    }
    if (reply.status < 300) {
        through->tell(through, 0, NULL);
        return;
    }
    char words[120];
    int reason_len = reply.reason.len < 80 ? (int)reply.reason.len : 80;
    snprintf(words, sizeof words, "the proxy answered %d %.*s", reply.status, reason_len,
             reply.reason.data);
    through->tell(through, code_of_status(reply.status), words);
}

/* ---- SOCKS 5 ---- */

static void send_socks(http_through_t *through, const void *data, size_t len, int step,
                       unsigned answer) {
    int code = hio_write(through->io, data, len);
    if (code < 0) {
        through->tell(through, code, NULL);
        return;
    }
    through->step = (uint8_t)step;
    hio_read_until_length(through->io, answer);
}

static void begin_socks(http_through_t *through) {
    static const unsigned char open[] = {SOCKS_VERSION, 1, SOCKS_NO_AUTH};
    static const unsigned char closed[] = {SOCKS_VERSION, 2, SOCKS_NO_AUTH, SOCKS_WITH_PASSWORD};
    if (through->user != NULL) {
        send_socks(through, closed, sizeof closed, STEP_METHOD, 2);
    } else {
        send_socks(through, open, sizeof open, STEP_METHOD, 2);
    }
}

static void send_password(http_through_t *through) {
    const char *password = through->password != NULL ? through->password : "";
    size_t user_len = strlen(through->user), password_len = strlen(password);
    unsigned char message[3 + 255 + 255];
    HV_ASSERT(user_len <= 255 && password_len <= 255); /* hhttp_call_start has checked it */
    size_t len = 0;
    message[len++] = 1;
    message[len++] = (unsigned char)user_len;
    memcpy(message + len, through->user, user_len);
    len += user_len;
    message[len++] = (unsigned char)password_len;
    memcpy(message + len, password, password_len);
    send_socks(through, message, len + password_len, STEP_PASSWORD, 2);
}

/* An address literal is sent as one, anything else as a name. */
static void send_command(http_through_t *through) {
    unsigned char message[4 + 1 + 255 + 2] = {SOCKS_VERSION, 1, 0};
    size_t host_len = strlen(through->host);
    size_t len = 4;
    if (inet_pton(AF_INET, through->host, message + 4) == 1) {
        message[3] = 1;
        len += 4;
    } else if (inet_pton(AF_INET6, through->host, message + 4) == 1) {
        message[3] = 4;
        len += 16;
    } else if (host_len <= 255) {
        message[3] = 3;
        message[len++] = (unsigned char)host_len;
        memcpy(message + len, through->host, host_len);
        len += host_len;
    } else {
        through->tell(through, HV_EINVAL, "the host name is too long for SOCKS");
        return;
    }
    message[len++] = (unsigned char)(through->port >> 8);
    message[len++] = (unsigned char)(through->port & 0xff);
    send_socks(through, message, len, STEP_REPLY, 5);
}

static void read_method(http_through_t *through, const unsigned char *data) {
    int has_user = through->user != NULL;
    if (data[0] != SOCKS_VERSION) {
        through->tell(through, HV_EPROTO, "the proxy does not speak SOCKS 5");
    } else if (data[1] == SOCKS_NO_AUTH) {
        send_command(through);
    } else if (data[1] == SOCKS_WITH_PASSWORD && has_user) {
        send_password(through);
    } else {
        through->tell(through, -EACCES, "the proxy wants another way to sign in");
    }
}

/* RFC 1928 section 6. */
static void fail_reply(http_through_t *through, unsigned reply) {
    static const struct {
        int code;
        const char *words;
    } replies[] = {
        {HV_EPROTO, "the proxy failed"},
        {-EACCES, "the proxy does not allow it"},
        {-ENETUNREACH, "the proxy cannot reach the network"},
        {-EHOSTUNREACH, "the proxy cannot reach the host"},
        {HV_ECONNREFUSED, "the host refused the proxy"},
        {HV_ETIMEDOUT, "the proxy timed out"},
        {HV_EPROTO, "the proxy does not know CONNECT"},
        {HV_EPROTO, "the proxy does not know such addresses"},
    };
    if (reply > ARRAY_SIZE(replies)) reply = 1;
    through->tell(through, replies[reply - 1].code, replies[reply - 1].words);
}

/* Version, reply, a zero, the kind of address, and its first byte. */
static void read_reply(http_through_t *through, const unsigned char *data) {
    if (data[0] != SOCKS_VERSION) {
        through->tell(through, HV_EPROTO, "the proxy does not speak SOCKS 5");
        return;
    }
    if (data[1] != 0) {
        fail_reply(through, data[1]);
        return;
    }
    unsigned rest; /* of the address, and two bytes of a port */
    switch (data[3]) {
    case 1: rest = 3 + 2; break;
    case 3: rest = data[4] + 2u; break;
    case 4: rest = 15 + 2; break;
    default: through->tell(through, HV_EPROTO, "the proxy's reply is malformed"); return;
    }
    through->step = STEP_REPLY_REST;
    hio_read_until_length(through->io, rest);
}

/* ---- All of them ---- */

void hv__http_through_read(http_through_t *through, const void *buf, size_t len) {
    const unsigned char *data = buf;
    switch (through->step) {
    case STEP_CONNECT: read_connect_answer(through, buf, len); break;
    case STEP_METHOD: read_method(through, data); break;
    case STEP_PASSWORD:
        if (data[1] == 0) {
            send_command(through);
        } else {
            through->tell(through, -EACCES, "the proxy refused user and password");
        }
        break;
    case STEP_REPLY: read_reply(through, data); break;
    case STEP_REPLY_REST: through->tell(through, 0, NULL); break;
    default: HV_UNREACHABLE();
    }
}

void hv__http_through_begin(http_through_t *through) {
    through->interims = 0;
    if (through->kind == HHTTP_PROXY_SOCKS5) {
        begin_socks(through);
    } else {
        begin_connect(through);
    }
}

hio_t *hv__http_through_nest(hio_t *outer) {
    hio_t *ends[2];
    hloop_t *loop = hevent_loop(outer);
    int code = hio_create_pipe(loop, ends);
    if (code != 0) return NULL;
    code = hio_forward(outer, ends[0]);
    if (code != 0) {
        hio_close(ends[0]);
        hio_close(ends[1]);
        return NULL;
    }
    hio_setcb_close(outer, NULL);
    hevent_set_userdata(outer, NULL);
    hio_set_context(outer, NULL);
    return ends[1];
}

static int is_too_long(const char *word) { return word != NULL && strlen(word) > SOCKS_WORD_MAX; }

int hv__http_proxy_check(const hhttp_proxy_t *proxy) {
    if (proxy->kind < HHTTP_PROXY_NONE || proxy->kind > HHTTP_PROXY_HTTPS) return HV_EINVAL;
    if (proxy->kind == HHTTP_PROXY_NONE) return 0;
    if (proxy->host == NULL || *proxy->host == '\0') return HV_EINVAL;
    if (proxy->port < 1 || proxy->port > 65535) return HV_EINVAL;
    /* The user of Basic credentials ends at the first colon (RFC 7617 section 2). */
    int is_basic = proxy->kind != HHTTP_PROXY_SOCKS5;
    if (is_basic && proxy->user != NULL && strchr(proxy->user, ':') != NULL) return HV_EINVAL;
    return is_too_long(proxy->user) || is_too_long(proxy->password) ? HV_EINVAL : 0;
}

int hv__http_proxy_secure(hio_t *io, const char *host, hssl_ctx_t tls) {
    int code = tls != NULL ? hio_set_ssl_ctx(io, tls) : hio_enable_ssl(io);
    if (code == 0) code = hio_set_alpn(io, "http/1.1");
    return code == 0 ? hio_set_hostname(io, host) : code;
}
