/* http_proxy.c - how a connection gets through a proxy.
 *
 * CONNECT (RFC 9110 section 9.3.6): a request head out, a response head in, of which any 2xx means
 * that the tunnel begins behind it. SOCKS 5 (RFC 1928, RFC 1929): greeting, perhaps user and
 * password, then the command with the name, which the proxy resolves. Each answer is read exactly,
 * so that the first bytes of the server behind it stay with the io.
 *
 *   HTTP:   CONNECT -> done
 *   SOCKS:  METHOD -> [PASSWORD ->] REPLY -> REPLY_REST -> done */
#include "hcrypto.h"
#include "http_client_int.h"

enum { STEP_CONNECT, STEP_METHOD, STEP_PASSWORD, STEP_REPLY, STEP_REPLY_REST };

#define SOCKS_VERSION       5
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

static void begin_connect(http_link_t *link) {
    const http_place_t *place = &link->group->place;
    char authority[300];
    int is_ipv6 = strchr(place->host, ':') != NULL;
    int len = snprintf(authority, sizeof authority, is_ipv6 ? "[%s]:%d" : "%s:%d", place->host,
                       place->port);
    h1_request_t request = {
        .method = {"CONNECT", 7},
        .target = {authority, (size_t)len},
        .host = {authority, (size_t)len},
        .content_length = -1,
    };
    char *basic = NULL;
    if (place->proxy_user != NULL) {
        basic = hv__http_basic(place->proxy_user, place->proxy_password);
        if (basic == NULL) {
            hv__http_link_fail(link, HV_ENOMEM, NULL);
            return;
        }
    }
    request.proxy_authorization = basic;
    char *head = hv__malloc(h1_request_bytes_max(&request));
    int code = head == NULL ? HV_ENOMEM : 0;
    if (head != NULL) code = hio_write(link->io, head, h1_write_request(&request, head));
    hv__free(head);
    hv__free(basic);
    if (code < 0) {
        hv__http_link_fail(link, code, NULL);
        return;
    }
    link->proxy_step = STEP_CONNECT;
    hio_read_until(link->io, "\r\n\r\n", 4);
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

static void read_connect_answer(http_link_t *link, const char *data, size_t len) {
    h1_limits_t *limits = &link->group->client->limits;
    h1_reply_t reply;
    size_t scanned = 0;
    long block_len = h1_find_head_end(data, len, &scanned, limits);
    int code = block_len > 0 ? h1_parse_reply(&reply, data, (size_t)block_len, 1, limits) : 0;
    if (block_len <= 0) code = block_len == 0 ? HV_EPROTO : h1_reply_error((int)-block_len);
    if (code != 0) {
        hv__http_link_fail(link, code, "the proxy's answer to CONNECT is malformed");
        return;
    }
    if (reply.status < 200) { /* an interim one */
        if (reply.status == 101 || link->served++ > 16) {
            hv__http_link_fail(link, HV_EPROTO, "the proxy's answer to CONNECT is malformed");
        } else {
            hio_read_until(link->io, "\r\n\r\n", 4);
        }
        return;
    }
    link->served = 0;
    if (reply.status < 300) {
        hv__http_proxy_done(link);
        return;
    }
    char words[120];
    int reason_len = reply.reason.len < 80 ? (int)reply.reason.len : 80;
    snprintf(words, sizeof words, "the proxy answered %d %.*s", reply.status, reason_len,
             reply.reason.data);
    hv__http_link_fail(link, code_of_status(reply.status), words);
}

/* ---- SOCKS 5 ---- */

static void send_socks(http_link_t *link, const void *data, size_t len, int step, unsigned answer) {
    int code = hio_write(link->io, data, len);
    if (code < 0) {
        hv__http_link_fail(link, code, NULL);
        return;
    }
    link->proxy_step = (uint8_t)step;
    hio_read_until_length(link->io, answer);
}

static void begin_socks(http_link_t *link) {
    static const unsigned char open[] = {SOCKS_VERSION, 1, SOCKS_NO_AUTH};
    static const unsigned char closed[] = {SOCKS_VERSION, 2, SOCKS_NO_AUTH, SOCKS_WITH_PASSWORD};
    int has_user = link->group->place.proxy_user != NULL;
    send_socks(link, has_user ? closed : open, has_user ? sizeof closed : sizeof open, STEP_METHOD,
               2);
}

static void send_password(http_link_t *link) {
    const http_place_t *place = &link->group->place;
    const char *password = place->proxy_password != NULL ? place->proxy_password : "";
    size_t user_len = strlen(place->proxy_user), password_len = strlen(password);
    unsigned char message[3 + 255 + 255];
    HV_ASSERT(user_len <= 255 && password_len <= 255); /* hhttp_call_start has checked it */
    size_t len = 0;
    message[len++] = 1;
    message[len++] = (unsigned char)user_len;
    memcpy(message + len, place->proxy_user, user_len);
    len += user_len;
    message[len++] = (unsigned char)password_len;
    memcpy(message + len, password, password_len);
    send_socks(link, message, len + password_len, STEP_PASSWORD, 2);
}

/* An address literal is sent as one, anything else as a name. */
static void send_command(http_link_t *link) {
    const http_place_t *place = &link->group->place;
    unsigned char message[4 + 1 + 255 + 2] = {SOCKS_VERSION, 1, 0};
    size_t host_len = strlen(place->host);
    size_t len = 4;
    if (inet_pton(AF_INET, place->host, message + 4) == 1) {
        message[3] = 1;
        len += 4;
    } else if (inet_pton(AF_INET6, place->host, message + 4) == 1) {
        message[3] = 4;
        len += 16;
    } else if (host_len <= 255) {
        message[3] = 3;
        message[len++] = (unsigned char)host_len;
        memcpy(message + len, place->host, host_len);
        len += host_len;
    } else {
        hv__http_link_fail(link, HV_EINVAL, "the host name is too long for SOCKS");
        return;
    }
    message[len++] = (unsigned char)(place->port >> 8);
    message[len++] = (unsigned char)(place->port & 0xff);
    send_socks(link, message, len, STEP_REPLY, 5);
}

static void read_method(http_link_t *link, const unsigned char *data) {
    int has_user = link->group->place.proxy_user != NULL;
    if (data[0] != SOCKS_VERSION) {
        hv__http_link_fail(link, HV_EPROTO, "the proxy does not speak SOCKS 5");
    } else if (data[1] == SOCKS_NO_AUTH) {
        send_command(link);
    } else if (data[1] == SOCKS_WITH_PASSWORD && has_user) {
        send_password(link);
    } else {
        hv__http_link_fail(link, -EACCES, "the proxy wants another way to sign in");
    }
}

/* RFC 1928 section 6. */
static void fail_reply(http_link_t *link, unsigned reply) {
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
    hv__http_link_fail(link, replies[reply - 1].code, replies[reply - 1].words);
}

/* Version, reply, a zero, the kind of address, and its first byte. */
static void read_reply(http_link_t *link, const unsigned char *data) {
    if (data[0] != SOCKS_VERSION) {
        hv__http_link_fail(link, HV_EPROTO, "the proxy does not speak SOCKS 5");
        return;
    }
    if (data[1] != 0) {
        fail_reply(link, data[1]);
        return;
    }
    unsigned rest; /* of the address, and two bytes of a port */
    switch (data[3]) {
    case 1: rest = 3 + 2; break;
    case 3: rest = data[4] + 2u; break;
    case 4: rest = 15 + 2; break;
    default: hv__http_link_fail(link, HV_EPROTO, "the proxy's reply is malformed"); return;
    }
    link->proxy_step = STEP_REPLY_REST;
    hio_read_until_length(link->io, rest);
}

/* ---- Both ---- */

static void on_proxy_read(hio_t *io, void *buf, int len) {
    http_link_t *link = hevent_userdata(io);
    if (link->state != LINK_PROXY) return;
    const unsigned char *data = buf;
    switch (link->proxy_step) {
    case STEP_CONNECT: read_connect_answer(link, buf, (size_t)len); break;
    case STEP_METHOD: read_method(link, data); break;
    case STEP_PASSWORD:
        if (data[1] == 0) {
            send_command(link);
        } else {
            hv__http_link_fail(link, -EACCES, "the proxy refused user and password");
        }
        break;
    case STEP_REPLY: read_reply(link, data); break;
    case STEP_REPLY_REST: hv__http_proxy_done(link); break;
    default: HV_UNREACHABLE();
    }
}

void hv__http_proxy_begin(http_link_t *link) {
    link->state = LINK_PROXY;
    hio_setcb_read(link->io, on_proxy_read);
    if (link->group->place.proxy == HHTTP_PROXY_HTTP) {
        begin_connect(link);
    } else {
        begin_socks(link);
    }
}
