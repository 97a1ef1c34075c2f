/* htls_openssl.c - the TLS layer over OpenSSL; the only file that includes it.
 *
 * OpenSSL never touches a descriptor. Its BIO reads from the bytes that the read side has just
 * received (tls->in) and writes into the raw write side, where they join the cork: however many
 * records a callback produces, they leave in one system call. What the user writes in one callback
 * is collected first (tls_room->plain) and becomes as few records as it fits in.
 *
 * States: handshaking -> open -> ended. During the handshake writes are kept in tls->early. The
 * user's on_accept or on_connect is called when it is over. */
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include "hlayer.h"
#include "hnet_int.h"
#include "hssl.h"

#define RECORD_BYTES         (16 * 1024)
#define PLAIN_BYTES          (64 * 1024)
#define HANDSHAKE_TIMEOUT_MS 10000
#define DEFAULT_CIPHERS                                                                      \
    "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384:" \
    "ECDHE-RSA-AES256-GCM-SHA384:ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305"

/* ---- Contexts ---- */

typedef struct name_rule_s {
    struct name_rule_s *next;
    hssl_ctx_t ctx;
    char name[];
} name_rule_t;

struct hssl_ctx_s {
    _Atomic int references;
    pthread_mutex_t lock; /* guards ssl_ctx and session */
    SSL_CTX *ssl_ctx;
    hssl_ctx_opt_t opt; /* its strings are ours */
    name_rule_t *names;
    SSL_SESSION *session; /* clients: the last one given, to be taken up */
    char *session_host;
    unsigned char alpn[256]; /* in wire format */
    unsigned alpn_len;
};

static _Thread_local char last_error[256];

static int set_error(const char *what, const char *detail) {
    unsigned long code = ERR_peek_last_error();
    const char *reason = code != 0 ? ERR_reason_error_string(code) : NULL;
    snprintf(last_error, sizeof last_error, "%s%s%s%s%s", what, detail ? " " : "",
             detail ? detail : "", reason ? ": " : "", reason ? reason : "");
    ERR_clear_error();
    return HV_ETLS;
}

const char *hssl_last_error(void) { return last_error; }
const char *hssl_backend(void) { return OpenSSL_version(OPENSSL_VERSION); }

/* "h2,http/1.1" as lengths and names (RFC 7301 section 3.1). Returns 0 or HV_EINVAL. */
static int encode_alpn(hssl_ctx_t ctx, const char *list) {
    ctx->alpn_len = 0;
    while (list != NULL && *list != '\0') {
        size_t len = strcspn(list, ",");
        if (len == 0 || len > 255 || ctx->alpn_len + len + 1 > sizeof ctx->alpn) return HV_EINVAL;
        ctx->alpn[ctx->alpn_len++] = (unsigned char)len;
        memcpy(ctx->alpn + ctx->alpn_len, list, len);
        ctx->alpn_len += (unsigned)len;
        list += len;
        if (*list == ',') list++;
    }
    return 0;
}

static int choose_alpn(SSL *ssl, const unsigned char **out, unsigned char *out_len,
                       const unsigned char *offered, unsigned offered_len, void *userdata) {
    (void)ssl;
    hssl_ctx_t ctx = userdata;
    unsigned char *chosen = NULL;
    int result = SSL_select_next_proto(&chosen, out_len, ctx->alpn, ctx->alpn_len, offered,
                                       offered_len);
    *out = chosen;
    /* RFC 7301 section 3.2: no common protocol is a fatal alert. */
    return result == OPENSSL_NPN_NEGOTIATED ? SSL_TLSEXT_ERR_OK : SSL_TLSEXT_ERR_ALERT_FATAL;
}

static int name_matches(const char *rule, const char *name) {
    if (strncmp(rule, "*.", 2) != 0) return strcasecmp(rule, name) == 0;
    const char *dot = strchr(name, '.');
    return dot != NULL && dot > name && strcasecmp(rule + 1, dot) == 0;
}

static SSL_CTX *current_ssl_ctx(hssl_ctx_t ctx) {
    pthread_mutex_lock(&ctx->lock);
    SSL_CTX *ssl_ctx = ctx->ssl_ctx;
    SSL_CTX_up_ref(ssl_ctx);
    pthread_mutex_unlock(&ctx->lock);
    return ssl_ctx;
}

static int choose_name(SSL *ssl, int *alert, void *userdata) {
    (void)alert;
    hssl_ctx_t ctx = userdata;
    const char *name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
    for (name_rule_t *rule = ctx->names; name != NULL && rule != NULL; rule = rule->next) {
        if (!name_matches(rule->name, name)) continue;
        SSL_CTX *chosen = current_ssl_ctx(rule->ctx);
        SSL_set_SSL_CTX(ssl, chosen);
        SSL_CTX_free(chosen);
        return SSL_TLSEXT_ERR_OK;
    }
    return SSL_TLSEXT_ERR_OK;
}

static int keep_session(SSL *ssl, SSL_SESSION *session);

static int set_certificate(SSL_CTX *ssl_ctx, const hssl_ctx_opt_t *opt) {
    if (opt->crt_file == NULL) return 0;
    if (SSL_CTX_use_certificate_chain_file(ssl_ctx, opt->crt_file) != 1) {
        return set_error("certificate", opt->crt_file);
    }
    const char *key_file = opt->key_file != NULL ? opt->key_file : opt->crt_file;
    if (SSL_CTX_use_PrivateKey_file(ssl_ctx, key_file, SSL_FILETYPE_PEM) != 1) {
        return set_error("private key", key_file);
    }
    if (SSL_CTX_check_private_key(ssl_ctx) != 1) return set_error("private key", key_file);
    return 0;
}

static int set_trust(SSL_CTX *ssl_ctx, const hssl_ctx_opt_t *opt) {
    int is_client = opt->endpoint == HSSL_CLIENT;
    int mode = SSL_VERIFY_NONE;
    if (opt->verify_peer == HSSL_VERIFY_PEER || opt->verify_peer == HSSL_VERIFY_REQUEST ||
        (is_client && opt->verify_peer == HSSL_VERIFY_DEFAULT)) {
        mode = SSL_VERIFY_PEER;
    }
    if (!is_client && opt->verify_peer == HSSL_VERIFY_PEER) {
        mode |= SSL_VERIFY_FAIL_IF_NO_PEER_CERT;
    }
    SSL_CTX_set_verify(ssl_ctx, mode, NULL);
    if (opt->ca_file != NULL || opt->ca_path != NULL) {
        if (SSL_CTX_load_verify_locations(ssl_ctx, opt->ca_file, opt->ca_path) != 1) {
            return set_error("trusted roots", opt->ca_file ? opt->ca_file : opt->ca_path);
        }
        if (!is_client && opt->ca_file != NULL) {
            SSL_CTX_set_client_CA_list(ssl_ctx, SSL_load_client_CA_file(opt->ca_file));
        }
    } else if (mode != SSL_VERIFY_NONE && SSL_CTX_set_default_verify_paths(ssl_ctx) != 1) {
        return set_error("the system's trusted roots", NULL);
    }
    return 0;
}

static int set_protocol(SSL_CTX *ssl_ctx, const hssl_ctx_opt_t *opt) {
    int version = TLS1_2_VERSION;
    if (opt->min_version != NULL && strcmp(opt->min_version, "1.3") == 0) {
        version = TLS1_3_VERSION;
    } else if (opt->min_version != NULL && strcmp(opt->min_version, "1.2") != 0) {
        return set_error("minimum version must be 1.2 or 1.3, got", opt->min_version);
    }
    SSL_CTX_set_min_proto_version(ssl_ctx, version);
    const char *ciphers = opt->ciphers != NULL ? opt->ciphers : DEFAULT_CIPHERS;
    if (SSL_CTX_set_cipher_list(ssl_ctx, ciphers) != 1) return set_error("ciphers", ciphers);
    return 0;
}

/* Builds the OpenSSL context that the options describe. Returns 0 or HV_ETLS. */
static int build(hssl_ctx_t ctx, SSL_CTX **out) {
    const hssl_ctx_opt_t *opt = &ctx->opt;
    int is_client = opt->endpoint == HSSL_CLIENT;
    SSL_CTX *ssl_ctx = SSL_CTX_new(is_client ? TLS_client_method() : TLS_server_method());
    if (ssl_ctx == NULL) return set_error("TLS context", NULL);
    SSL_CTX_set_options(ssl_ctx, SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION |
                                     SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_SINGLE_ECDH_USE);
    SSL_CTX_set_mode(ssl_ctx, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
                                  SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL_CTX_set_session_id_context(ssl_ctx, (const unsigned char *)"hv", 2);
    int code = set_protocol(ssl_ctx, opt);
    if (code == 0) code = set_certificate(ssl_ctx, opt);
    if (code == 0) code = set_trust(ssl_ctx, opt);
    if (code != 0) {
        SSL_CTX_free(ssl_ctx);
        return code;
    }
    if (is_client) {
        SSL_CTX_set_session_cache_mode(ssl_ctx,
                                       SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL_STORE);
        SSL_CTX_sess_set_new_cb(ssl_ctx, keep_session);
        if (ctx->alpn_len > 0) SSL_CTX_set_alpn_protos(ssl_ctx, ctx->alpn, ctx->alpn_len);
    } else {
        /* Tickets carry the session; a server-side cache would only hold memory. */
        SSL_CTX_set_session_cache_mode(ssl_ctx, SSL_SESS_CACHE_OFF);
        if (opt->no_tickets) {
            SSL_CTX_set_options(ssl_ctx, SSL_OP_NO_TICKET);
            SSL_CTX_set_num_tickets(ssl_ctx, 0);
        }
        if (ctx->alpn_len > 0) SSL_CTX_set_alpn_select_cb(ssl_ctx, choose_alpn, ctx);
        SSL_CTX_set_tlsext_servername_callback(ssl_ctx, choose_name);
        SSL_CTX_set_tlsext_servername_arg(ssl_ctx, ctx);
    }
    *out = ssl_ctx;
    return 0;
}

/* Copies a string option; a failure leaves NULL and says so. */
static int copy_option(const char **option) {
    if (*option == NULL) return 0;
    *option = hv__strndup(*option, strlen(*option));
    return *option != NULL ? 0 : HV_ENOMEM;
}

static int copy_options(hssl_ctx_opt_t *opt) {
    const char **strings[] = {&opt->crt_file, &opt->key_file,    &opt->ca_file, &opt->ca_path,
                              &opt->alpn,     &opt->min_version, &opt->ciphers};
    int code = 0;
    for (size_t i = 0; i < ARRAY_SIZE(strings); i++) {
        if (copy_option(strings[i]) != 0) code = HV_ENOMEM;
    }
    return code;
}

static void free_options(hssl_ctx_opt_t *opt) {
    const char *strings[] = {opt->crt_file, opt->key_file,    opt->ca_file, opt->ca_path,
                             opt->alpn,     opt->min_version, opt->ciphers};
    for (size_t i = 0; i < ARRAY_SIZE(strings); i++) hv__free((void *)(uintptr_t)strings[i]);
}

hssl_ctx_t hssl_ctx_new(const hssl_ctx_opt_t *opt) {
    static const hssl_ctx_opt_t defaults = {.endpoint = HSSL_CLIENT};
    hssl_ctx_t ctx = hv__calloc(1, sizeof *ctx);
    if (ctx == NULL) {
        set_error("out of memory", NULL);
        return NULL;
    }
    ctx->references = 1;
    pthread_mutex_init(&ctx->lock, NULL);
    ctx->opt = opt != NULL ? *opt : defaults;
    int code = copy_options(&ctx->opt);
    if (code != 0) set_error("out of memory", NULL);
    if (code == 0 && (code = encode_alpn(ctx, ctx->opt.alpn)) != 0) {
        set_error("ALPN list", ctx->opt.alpn);
    }
    if (code == 0) code = build(ctx, &ctx->ssl_ctx);
    if (code != 0) {
        hssl_ctx_free(ctx);
        return NULL;
    }
    return ctx;
}

void hssl_ctx_retain(hssl_ctx_t ctx) { ctx->references++; }

void hssl_ctx_free(hssl_ctx_t ctx) {
    if (ctx == NULL || --ctx->references > 0) return;
    while (ctx->names != NULL) {
        name_rule_t *rule = ctx->names;
        ctx->names = rule->next;
        hssl_ctx_free(rule->ctx);
        hv__free(rule);
    }
    SSL_SESSION_free(ctx->session);
    hv__free(ctx->session_host);
    SSL_CTX_free(ctx->ssl_ctx);
    free_options(&ctx->opt);
    pthread_mutex_destroy(&ctx->lock);
    hv__free(ctx);
}

int hssl_ctx_reload(hssl_ctx_t ctx) {
    SSL_CTX *fresh;
    int code = build(ctx, &fresh);
    if (code != 0) return code;
    pthread_mutex_lock(&ctx->lock);
    SSL_CTX *old = ctx->ssl_ctx;
    ctx->ssl_ctx = fresh;
    pthread_mutex_unlock(&ctx->lock);
    SSL_CTX_free(old);
    return 0;
}

int hssl_ctx_add_name(hssl_ctx_t ctx, const char *name, hssl_ctx_t other) {
    size_t len = strlen(name);
    name_rule_t *rule = hv__malloc(sizeof *rule + len + 1);
    if (rule == NULL) return HV_ENOMEM;
    memcpy(rule->name, name, len + 1);
    hssl_ctx_retain(other);
    rule->ctx = other;
    rule->next = ctx->names;
    ctx->names = rule;
    return 0;
}

/* ---- The layer's state on an io ---- */

typedef struct htls_s {
    hssl_ctx_t ctx;
    SSL *ssl; /* NULL on a listener, and until the handshake begins */
    hio_t *io;
    char *hostname;
    const char *in; /* what the wire has brought, not read by OpenSSL yet */
    size_t in_len;
    hbuf_t kept;  /* the same, kept while the io moves to another loop */
    hbuf_t early; /* written before the handshake was over */
    const char *error;
    uint8_t is_client;
    uint8_t is_open;
    uint8_t has_said_farewell;
    uint8_t has_heard_farewell;
    uint8_t is_truncated;
} htls_t;

/* What all TLS connections of a loop share: plaintext on its way in and out. */
typedef struct tls_room_s {
    char plain[PLAIN_BYTES];
    char clear[PLAIN_BYTES + 1];
} tls_room_t;

static htls_t *tls_of(const hio_t *io) { return io->ext != NULL ? io->ext->layer_state : NULL; }

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

static int keep_session(SSL *ssl, SSL_SESSION *session) {
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
    htls_t *tls = tls_of(io);
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
    htls_t *tls = tls_of(io);
    pthread_once(&bio_once, make_bio_method);
    SSL_CTX *ssl_ctx = current_ssl_ctx(tls->ctx);
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
        SSL_set_connect_state(tls->ssl);
        offer_session(tls);
    } else {
        SSL_set_accept_state(tls->ssl);
    }
    handshake(io);
}

static void read_records(hio_t *io);

static void handshake(hio_t *io) {
    htls_t *tls = tls_of(io);
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
    htls_t *tls = tls_of(io);
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
    htls_t *tls = tls_of(io);
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
    htls_t *tls = tls_of(io);
    if (!tls->is_open) {
        fail(io, "the peer closed during the handshake");
        return;
    }
    if (!tls->has_heard_farewell) tls->is_truncated = 1;
    hv__io_ended(io);
}

/* ---- Writing ---- */

static int write_records(hio_t *io, const char *data, size_t len) {
    htls_t *tls = tls_of(io);
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
    htls_t *tls = tls_of(io);
    if (!tls->is_open) return;
    hnet_t *net = io_net(io);
    tls_room_t *room = net->tls_room;
    if (net->current != io || net->plain_len == 0) return;
    size_t len = net->plain_len;
    net->plain_len = 0;
    write_records(io, room->plain, len);
}

static int tls_write(hio_t *io, const void *data, size_t len) {
    htls_t *tls = tls_of(io);
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
    htls_t *tls = tls_of(io);
    if (hbuf_len(&tls->early) == 0) return;
    hbuf_t early = tls->early;
    tls->early = (hbuf_t){0};
    write_records(io, hbuf_data(&early), hbuf_len(&early));
    hbuf_deinit(&early);
}

static size_t tls_pending(const hio_t *io) {
    const htls_t *tls = tls_of(io);
    const hnet_t *net = io_net(io);
    size_t pending = hbuf_len(&tls->early);
    return net->current == io ? pending + net->plain_len : pending;
}

static void tls_farewell(hio_t *io) {
    htls_t *tls = tls_of(io);
    if (!tls->is_open || tls->has_said_farewell || tls->error != NULL) return;
    tls->has_said_farewell = 1;
    tls_flush(io);
    ERR_clear_error();
    if (io->state != HIO_DEAD) SSL_shutdown(tls->ssl);
    ERR_clear_error();
}

static void tls_keep(hio_t *io) {
    htls_t *tls = tls_of(io);
    if (tls->in_len == 0) return;
    if (hbuf_append(&tls->kept, tls->in, tls->in_len, KEPT_BYTES_MAX) != 0) {
        tls->is_truncated = 1;
        return;
    }
    tls->in_len = 0;
    io->flags |= HIO_FLAG_LAYER_KEPT;
}

static void tls_free(hio_t *io) {
    htls_t *tls = tls_of(io);
    SSL_free(tls->ssl);
    hssl_ctx_free(tls->ctx);
    hbuf_deinit(&tls->early);
    hbuf_deinit(&tls->kept);
    hv__free(tls->hostname);
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
    htls_t *rules = tls_of(listener);
    return attach(io, rules->ctx) != NULL ? 0 : HV_ENOMEM;
}

void hv__tls_set_default_host(hio_t *io, const char *host) {
    htls_t *tls = tls_of(io);
    if (tls != NULL && tls->hostname == NULL) hio_set_hostname(io, host);
}

int hio_set_ssl_ctx(hio_t *io, hssl_ctx_t ctx) {
    if (io->state >= HIO_CLOSING) return HV_ECLOSED;
    if (io->kind != HSOCK_KIND_STREAM && io->kind != HSOCK_KIND_UNIX) return HV_EINVAL;
    if (io->flags & HIO_FLAG_LAYERED) return HV_EBUSY;
    if (attach(io, ctx) == NULL) return HV_ENOMEM;
    if (io->state == HIO_OPEN) hv__io_begin_layer_later(io);
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
    htls_t *tls = tls_of(io);
    if (tls == NULL || tls->ssl != NULL) return HV_EINVAL;
    char *copy = hv__strndup(hostname, strlen(hostname));
    if (copy == NULL) return HV_ENOMEM;
    hv__free(tls->hostname);
    tls->hostname = copy;
    return 0;
}

const char *hio_get_hostname(const hio_t *io) {
    const htls_t *tls = tls_of(io);
    return tls != NULL ? tls->hostname : NULL;
}

int hio_is_ssl(const hio_t *io) { return (io->flags & HIO_FLAG_LAYERED) != 0; }

const char *hio_ssl_version(const hio_t *io) {
    const htls_t *tls = tls_of(io);
    return tls != NULL && tls->is_open ? SSL_get_version(tls->ssl) : NULL;
}

const char *hio_ssl_cipher(const hio_t *io) {
    const htls_t *tls = tls_of(io);
    return tls != NULL && tls->is_open ? SSL_get_cipher_name(tls->ssl) : NULL;
}

size_t hio_ssl_alpn(const hio_t *io, char *out, size_t out_size) {
    const htls_t *tls = tls_of(io);
    const unsigned char *name = NULL;
    unsigned len = 0;
    if (tls != NULL && tls->is_open) SSL_get0_alpn_selected(tls->ssl, &name, &len);
    if (out_size == 0) return 0;
    if (len >= out_size) len = (unsigned)out_size - 1;
    if (len > 0) memcpy(out, name, len);
    out[len] = '\0';
    return len;
}

int hio_ssl_is_resumed(const hio_t *io) {
    const htls_t *tls = tls_of(io);
    return tls != NULL && tls->is_open && SSL_session_reused(tls->ssl);
}

size_t hio_ssl_peer_subject(const hio_t *io, char *out, size_t out_size) {
    const htls_t *tls = tls_of(io);
    if (out_size == 0) return 0;
    out[0] = '\0';
    X509 *certificate = tls != NULL && tls->ssl != NULL ? SSL_get1_peer_certificate(tls->ssl) : NULL;
    if (certificate == NULL) return 0;
    BIO *text = BIO_new(BIO_s_mem());
    size_t len = 0;
    if (text != NULL) {
        X509_NAME_print_ex(text, X509_get_subject_name(certificate), 0, XN_FLAG_RFC2253);
        int got = BIO_read(text, out, (int)out_size - 1);
        len = got > 0 ? (size_t)got : 0;
        out[len] = '\0';
        BIO_free(text);
    }
    X509_free(certificate);
    return len;
}

const char *hio_ssl_error(const hio_t *io) {
    const htls_t *tls = tls_of(io);
    return tls != NULL ? tls->error : NULL;
}

int hio_ssl_is_truncated(const hio_t *io) {
    const htls_t *tls = tls_of(io);
    return tls != NULL && tls->is_truncated;
}

void hio_set_handshake_timeout(hio_t *io, int timeout_ms) { hio_set_connect_timeout(io, timeout_ms); }
