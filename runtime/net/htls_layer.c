/* htls_layer.c - the TLS layer between an io's user and its stream.
 *
 * OpenSSL never touches a descriptor. Its BIO reads from the bytes that the read side has just
 * received (tls->in) and writes into the raw write side, where they join the cork: however many
 * records a callback produces, they leave in one system call. What the user writes in one callback
 * is collected first (tls_room->plain) and becomes as few records as it fits in.
 *
 * States: handshaking -> open -> ended. During the handshake writes are kept in tls->early. The
 * user's on_accept or on_connect is called when it is over.
 *
 * A stream that was read in clear before (STARTTLS) may have brought more than was read. Those
 * bytes are the wire's, never the user's: what somebody has put behind the last line in clear is
 * not to be taken for something that came under TLS. */
#include "htls_int.h"

#define RECORD_BYTES (16 * 1024)
#define PLAIN_BYTES  (64 * 1024)

/* What all TLS connections of a loop share: plaintext on its way in and out. */
typedef struct tls_room_s {
    char plain[PLAIN_BYTES + BUFFERS_APART_BYTES]; /* what is over is not written to */
    char clear[PLAIN_BYTES + 1];
} tls_room_t;

static tls_room_t *room_of(hio_t *io) {
    hnet_t *net = io_net(io);
    if (net->tls_room == NULL) {
        tls_room_t *room = hv__malloc(sizeof *room);
        net->tls_room = room;
    }
    return net->tls_room;
}

/* ---- The BIO between OpenSSL and the io ---- */

static int bio_write(BIO *bio, const char *data, size_t len, size_t *written) {
    htls_t *tls = BIO_get_data(bio);
    BIO_clear_retry_flags(bio);
    if (hv__io_write_raw(tls->io, data, len) != 0) return 0;
    *written = len;
    return 1;
}

static int bio_read(BIO *bio, char *out, size_t size, size_t *read_bytes) {
    htls_t *tls = BIO_get_data(bio);
    BIO_clear_retry_flags(bio);
    if (hbuf_len(&tls->kept) > 0) {
        size_t kept = hbuf_len(&tls->kept) < size ? hbuf_len(&tls->kept) : size;
        memcpy(out, hbuf_data(&tls->kept), kept);
        hbuf_consume(&tls->kept, kept);
        *read_bytes = kept;
        return 1;
    }
    if (tls->in_len == 0) {
        BIO_set_retry_read(bio);
        return 0;
    }
    size_t len = size < tls->in_len ? size : tls->in_len;
    memcpy(out, tls->in, len);
    tls->in += len;
    tls->in_len -= len;
    *read_bytes = len;
    return 1;
}

static long bio_ctrl(BIO *bio, int command, long number, void *pointer) {
    (void)bio;
    (void)number;
    (void)pointer;
    return command == BIO_CTRL_FLUSH || command == BIO_CTRL_DUP;
}

static BIO_METHOD *bio_method;
static pthread_once_t bio_once = PTHREAD_ONCE_INIT;

static void make_bio_method(void) {
    bio_method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "hio");
    if (bio_method == NULL) return;
    BIO_meth_set_write_ex(bio_method, bio_write);
    BIO_meth_set_read_ex(bio_method, bio_read);
    BIO_meth_set_ctrl(bio_method, bio_ctrl);
}

/* ---- Sessions of clients ---- */

int hv__tls_keep_session(SSL *ssl, SSL_SESSION *session) {
    htls_t *tls = SSL_get_app_data(ssl);
    if (tls == NULL || tls->hostname == NULL) return 0;
    hssl_ctx_t ctx = tls->ctx;
    char *host = hv__strndup(tls->hostname, strlen(tls->hostname));
    if (host == NULL) return 0;
    pthread_mutex_lock(&ctx->lock);
    SSL_SESSION_free(ctx->session);
    hv__free(ctx->session_host);
    ctx->session = session; /* OpenSSL's reference becomes ours */
    ctx->session_host = host;
    pthread_mutex_unlock(&ctx->lock);
    return 1;
}

static void offer_session(htls_t *tls) {
    hssl_ctx_t ctx = tls->ctx;
    pthread_mutex_lock(&ctx->lock);
    if (ctx->session != NULL && tls->hostname != NULL &&
        strcmp(ctx->session_host, tls->hostname) == 0) {
        SSL_set_session(tls->ssl, ctx->session);
    }
    pthread_mutex_unlock(&ctx->lock);
}

/* ---- Handshake ---- */

static void fail(hio_t *io, const char *words) {
    htls_t *tls = hv__tls_of(io);
    long verified = tls->ssl != NULL ? SSL_get_verify_result(tls->ssl) : X509_V_OK;
    unsigned long code = ERR_peek_last_error();
    if (words == NULL && verified != X509_V_OK) words = X509_verify_cert_error_string(verified);
    if (words == NULL && code != 0) words = ERR_reason_error_string(code);
    tls->error = words != NULL ? words : "TLS failure";
    ERR_clear_error();
    /* The alert that OpenSSL has written tells the peer why. */
    hv__io_flush_raw(io);
    hv__io_fail(io, HV_ETLS);
}

static int is_address_literal(const char *name) {
    unsigned char parsed[16];
    return inet_pton(AF_INET, name, parsed) == 1 || inet_pton(AF_INET6, name, parsed) == 1;
}

static int set_peer_name(htls_t *tls) {
    if (!tls->is_client || tls->hostname == NULL) return 1;
    X509_VERIFY_PARAM *param = SSL_get0_param(tls->ssl);
    if (is_address_literal(tls->hostname)) {
        return X509_VERIFY_PARAM_set1_ip_asc(param, tls->hostname) == 1;
    }
    X509_VERIFY_PARAM_set_hostflags(param, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    return X509_VERIFY_PARAM_set1_host(param, tls->hostname, 0) == 1 &&
           SSL_set_tlsext_host_name(tls->ssl, tls->hostname) == 1;
}

/* A client that was given an address and no name verifies the address. */
static void name_by_address(htls_t *tls) {
    char text[INET6_ADDRSTRLEN];
    const struct sockaddr *peer = hio_peeraddr(tls->io);
    const void *address = NULL;
    if (peer->sa_family == AF_INET) {
        address = &((const struct sockaddr_in *)(const void *)peer)->sin_addr;
    } else if (peer->sa_family == AF_INET6) {
        address = &((const struct sockaddr_in6 *)(const void *)peer)->sin6_addr;
    }
    if (address == NULL || inet_ntop(peer->sa_family, address, text, sizeof text) == NULL) return;
    tls->hostname = hv__strndup(text, strlen(text));
}

/* A client that verifies must know whom: without a name the chain alone would prove nothing. */
static int lacks_name(const htls_t *tls) {
    return tls->is_client && tls->hostname == NULL &&
           SSL_get_verify_mode(tls->ssl) != SSL_VERIFY_NONE;
}

static void handshake(hio_t *io);

static void tls_begin(hio_t *io) {
    htls_t *tls = hv__tls_of(io);
    tls->kept = io->kept; /* behind the last line in clear */
    io->kept = (hbuf_t){0};
    io->scanned = 0;
    pthread_once(&bio_once, make_bio_method);
    SSL_CTX *ssl_ctx = hv__tls_current(tls->ctx);
    tls->ssl = SSL_new(ssl_ctx);
    SSL_CTX_free(ssl_ctx);
    BIO *bio = tls->ssl != NULL && bio_method != NULL ? BIO_new(bio_method) : NULL;
    if (bio == NULL || room_of(io) == NULL) {
        BIO_free(bio);
        hv__io_fail(io, HV_ENOMEM);
        return;
    }
    BIO_set_data(bio, tls);
    BIO_set_init(bio, 1);
    SSL_set_bio(tls->ssl, bio, bio);
    SSL_set_app_data(tls->ssl, tls);
    if (lacks_name(tls)) name_by_address(tls);
    if (lacks_name(tls)) {
        fail(io, "no host name to verify: use hio_set_hostname");
        return;
    }
    if (!set_peer_name(tls)) {
        fail(io, "bad host name");
        return;
    }
    if (tls->is_client) {
        /* Without memory for it nothing is offered, which is the peer's to judge. */
        if (tls->alpn != NULL) SSL_set_alpn_protos(tls->ssl, tls->alpn->names, tls->alpn->len);
        SSL_set_connect_state(tls->ssl);
        offer_session(tls);
    } else {
        SSL_set_accept_state(tls->ssl);
    }
    handshake(io);
}

static void read_records(hio_t *io);

static void handshake(hio_t *io) {
    htls_t *tls = hv__tls_of(io);
    ERR_clear_error();
    int result = SSL_do_handshake(tls->ssl);
    if (result != 1) {
        int why = SSL_get_error(tls->ssl, result);
        if (io->state != HIO_DEAD && why != SSL_ERROR_WANT_READ) fail(io, NULL);
        return;
    }
    tls->is_open = 1;
    hnet_t *net = io_net(io);
    hv__io_layer_open(io);
    if (net->current != io || io->state != HIO_OPEN) return;
    if (tls->in_len > 0 || hbuf_len(&tls->kept) > 0) read_records(io);
}

/* ---- Reading ---- */

static void read_records(hio_t *io) {
    htls_t *tls = hv__tls_of(io);
    hnet_t *net = io_net(io);
    tls_room_t *room = net->tls_room;
    while (net->current == io && io->state == HIO_OPEN) {
        size_t filled = 0, len = 0;
        int result = 1;
        ERR_clear_error();
        while (filled + RECORD_BYTES <= PLAIN_BYTES) {
            result = SSL_read_ex(tls->ssl, room->clear + filled, PLAIN_BYTES - filled, &len);
            if (result != 1) break;
            filled += len;
        }
        int why = result == 1 ? SSL_ERROR_NONE : SSL_get_error(tls->ssl, result);
        if (filled > 0) {
            hv__io_received(io, room->clear, filled);
            if (net->current != io || io->state != HIO_OPEN) return;
        }
        if (why == SSL_ERROR_NONE) continue;
        if (why == SSL_ERROR_ZERO_RETURN) {
            tls->has_heard_farewell = 1;
            hv__io_ended(io);
        } else if (why != SSL_ERROR_WANT_READ) {
            fail(io, NULL);
        }
        return;
    }
}

static void tls_received(hio_t *io, char *data, size_t len) {
    htls_t *tls = hv__tls_of(io);
    hnet_t *net = io_net(io);
    tls->in = data;
    tls->in_len = len;
    if (tls->is_open) {
        read_records(io);
    } else {
        handshake(io);
    }
    if (net->current == io) tls->in_len = 0;
}

static void tls_ended(hio_t *io) {
    htls_t *tls = hv__tls_of(io);
    if (!tls->is_open) {
        fail(io, "the peer closed during the handshake");
        return;
    }
    if (!tls->has_heard_farewell) tls->is_truncated = 1;
    hv__io_ended(io);
}

/* ---- Writing ---- */

static int write_records(hio_t *io, const char *data, size_t len) {
    htls_t *tls = hv__tls_of(io);
    while (len > 0) {
        size_t written = 0;
        ERR_clear_error();
        if (SSL_write_ex(tls->ssl, data, len, &written) != 1) {
            if (io->state != HIO_DEAD) fail(io, NULL);
            return HV_ETLS;
        }
        data += written;
        len -= written;
    }
    return 0;
}

static void tls_flush(hio_t *io) {
    htls_t *tls = hv__tls_of(io);
    if (!tls->is_open) return;
    hnet_t *net = io_net(io);
    tls_room_t *room = net->tls_room;
    if (net->current != io || net->plain_len == 0) return;
    size_t len = net->plain_len;
    net->plain_len = 0;
    write_records(io, room->plain, len);
}

static int tls_write(hio_t *io, const void *data, size_t len) {
    htls_t *tls = hv__tls_of(io);
    hnet_t *net = io_net(io);
    if (!tls->is_open) {
        return hbuf_append(&tls->early, data, len, io->write_max);
    }
    tls_room_t *room = net->tls_room;
    if (net->current == io && net->plain_len + len <= PLAIN_BYTES) {
        memcpy(room->plain + net->plain_len, data, len);
        net->plain_len += len;
        return 0;
    }
    if (net->current == io) tls_flush(io);
    return io->state == HIO_DEAD ? HV_ETLS : write_records(io, data, len);
}

void hv__tls_flush_early(hio_t *io) {
    htls_t *tls = hv__tls_of(io);
    if (hbuf_len(&tls->early) == 0) return;
    hbuf_t early = tls->early;
    tls->early = (hbuf_t){0};
    write_records(io, hbuf_data(&early), hbuf_len(&early));
    hbuf_deinit(&early);
}

static size_t tls_pending(const hio_t *io) {
    const htls_t *tls = hv__tls_of(io);
    const hnet_t *net = io_loop(io) != NULL ? io_net(io) : NULL;
    size_t pending = hbuf_len(&tls->early);
    return net != NULL && net->current == io ? pending + net->plain_len : pending;
}

static void tls_farewell(hio_t *io) {
    htls_t *tls = hv__tls_of(io);
    if (!tls->is_open || tls->has_said_farewell || tls->error != NULL) return;
    tls->has_said_farewell = 1;
    tls_flush(io);
    ERR_clear_error();
    if (io->state != HIO_DEAD) SSL_shutdown(tls->ssl);
    ERR_clear_error();
}

static void tls_keep(hio_t *io) {
    htls_t *tls = hv__tls_of(io);
    /* A farewell or a failure behind the bytes that were delivered: OpenSSL tells it again. */
    if (tls->is_open) io->flags |= HIO_FLAG_LAYER_KEPT;
    if (tls->in_len == 0) return;
    if (hbuf_append(&tls->kept, tls->in, tls->in_len, KEPT_BYTES_MAX) != 0) {
        tls->is_truncated = 1;
        return;
    }
    tls->in_len = 0;
    io->flags |= HIO_FLAG_LAYER_KEPT;
}

static void tls_free(hio_t *io) {
    htls_t *tls = hv__tls_of(io);
    SSL_free(tls->ssl);
    hssl_ctx_free(tls->ctx);
    hbuf_deinit(&tls->early);
    hbuf_deinit(&tls->kept);
    hv__free(tls->hostname);
    hv__free(tls->alpn);
    hv__free(tls);
    io->ext->layer = NULL;
    io->ext->layer_state = NULL;
}

static const hlayer_t tls_layer = {
    .begin = tls_begin,
    .write = tls_write,
    .flush = tls_flush,
    .received = tls_received,
    .ended = tls_ended,
    .farewell = tls_farewell,
    .keep = tls_keep,
    .pending = tls_pending,
    .free = tls_free,
};

/* ---- On an io ---- */

static htls_t *attach(hio_t *io, hssl_ctx_t ctx) {
    hio_ext_t *ext = hv__io_ext(io);
    htls_t *tls = ext != NULL ? hv__calloc(1, sizeof *tls) : NULL;
    if (tls == NULL) return NULL;
    hssl_ctx_retain(ctx);
    tls->ctx = ctx;
    tls->io = io;
    tls->is_client = ctx->opt.endpoint == HSSL_CLIENT;
    /* What was written while connecting belongs behind the handshake. */
    if (io->state == HIO_CONNECTING) {
        tls->early = io->queue;
        io->queue = (hbuf_t){0};
    }
    ext->layer = &tls_layer;
    ext->layer_state = tls;
    io->flags |= HIO_FLAG_LAYERED;
    return tls;
}

int hv__tls_accept(hio_t *listener, hio_t *io) {
    htls_t *rules = hv__tls_of(listener);
    return attach(io, rules->ctx) != NULL ? 0 : HV_ENOMEM;
}

void hv__tls_set_default_host(hio_t *io, const char *host) {
    htls_t *tls = hv__tls_of(io);
    if (tls != NULL && tls->hostname == NULL) hio_set_hostname(io, host);
}

/* What a client was told before, its name and ALPN, stays. */
static int replace_ctx(hio_t *io, hssl_ctx_t ctx) {
    htls_t *tls = hv__tls_of(io);
    if (io->state != HIO_CONNECTING) return HV_EBUSY;
    HV_ASSERT(tls->ssl == NULL);
    hssl_ctx_retain(ctx);
    hssl_ctx_free(tls->ctx);
    tls->ctx = ctx;
    tls->is_client = ctx->opt.endpoint == HSSL_CLIENT;
    return 0;
}

int hio_set_ssl_ctx(hio_t *io, hssl_ctx_t ctx) {
    if (io_loop(io) == NULL || io->state >= HIO_CLOSING) return HV_ECLOSED;
    if (io->kind != HSOCK_KIND_STREAM && io->kind != HSOCK_KIND_UNIX) return HV_EINVAL;
    if (io->flags & HIO_FLAG_LAYERED) return replace_ctx(io, ctx);
    if (attach(io, ctx) == NULL) return HV_ENOMEM;
    if (io->state != HIO_OPEN) return 0;
    if (io->ext->connect_timeout_ms == 0) {
        io->ext->connect_timeout_ms = HIO_DEFAULT_CONNECT_TIMEOUT;
    }
    hv__io_begin_layer_later(io);
    return 0;
}

int hio_new_ssl_ctx(hio_t *io, const hssl_ctx_opt_t *opt) {
    hssl_ctx_t ctx = hssl_ctx_new(opt);
    if (ctx == NULL) return HV_ETLS;
    int code = hio_set_ssl_ctx(io, ctx);
    hssl_ctx_free(ctx);
    return code;
}

static hssl_ctx_t default_client;
static pthread_once_t default_once = PTHREAD_ONCE_INIT;

static void make_default_client(void) { default_client = hssl_ctx_new(NULL); }

int hio_enable_ssl(hio_t *io) {
    if (io->state == HIO_LISTENING) return HV_EINVAL;
    pthread_once(&default_once, make_default_client);
    return default_client != NULL ? hio_set_ssl_ctx(io, default_client) : HV_ETLS;
}

int hio_set_hostname(hio_t *io, const char *hostname) {
    htls_t *tls = hv__tls_of(io);
    if (tls == NULL || tls->ssl != NULL) return HV_EINVAL;
    char *copy = hv__strndup(hostname, strlen(hostname));
    if (copy == NULL) return HV_ENOMEM;
    hv__free(tls->hostname);
    tls->hostname = copy;
    return 0;
}

int hio_set_alpn(hio_t *io, const char *protocols) {
    htls_t *tls = hv__tls_of(io);
    if (tls == NULL || tls->ssl != NULL) return HV_EINVAL;
    hv__alpn_t *alpn = hv__malloc(sizeof *alpn);
    if (alpn == NULL) return HV_ENOMEM;
    int code = hv__tls_encode_alpn(alpn, protocols);
    if (code != 0) {
        hv__free(alpn);
        return code;
    }
    hv__free(tls->alpn);
    tls->alpn = alpn;
    return 0;
}

const char *hio_get_hostname(const hio_t *io) {
    const htls_t *tls = hv__tls_of(io);
    return tls != NULL ? tls->hostname : NULL;
}

