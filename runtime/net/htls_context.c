/* htls_context.c - TLS contexts: certificates, keys, trusted roots and rules, read from files or
 * from PEM text, and read again while connections go on.
 *
 * A context holds the OpenSSL context that its options describe. Reloading builds a new one beside
 * it and changes the pointer; connections that exist keep theirs. */
#include "htls_int.h"

#define DEFAULT_CIPHERS                                                                      \
    "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384:" \
    "ECDHE-RSA-AES256-GCM-SHA384:ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305"

/* ---- Errors ---- */

static _Thread_local char last_error[512];

/* Words for the first thing that went wrong: what came after it are its consequences. */
static const char *first_reason(void) {
    unsigned long code = ERR_peek_error();
    if (code == 0) return NULL;
    if (ERR_SYSTEM_ERROR(code)) return herr_text((int)ERR_GET_REASON(code));
    return ERR_reason_error_string(code);
}

/* Sets the words: "<what> <detail>: <reason>". Without a reason, OpenSSL's. Returns HV_ETLS. */
static int set_error(const char *what, const char *detail, const char *reason) {
    if (reason == NULL) reason = first_reason();
    snprintf(last_error, sizeof last_error, "%s%s%s%s%s", what, detail ? " " : "",
             detail ? detail : "", reason ? ": " : "", reason ? reason : "");
    ERR_clear_error();
    return HV_ETLS;
}

const char *hssl_last_error(void) { return last_error; }
const char *hssl_backend(void) { return OpenSSL_version(OPENSSL_VERSION); }

/* ---- PEM: a path, or the text itself ---- */

static int is_pem_text(const char *source) { return strstr(source, "-----BEGIN ") != NULL; }

static const char *name_of(const char *source) {
    return is_pem_text(source) ? "(PEM text)" : source;
}

/* Returns NULL with the reason in OpenSSL's queue. */
static BIO *open_pem(const char *source) {
    ERR_clear_error();
    if (is_pem_text(source)) return BIO_new_mem_buf(source, (int)strlen(source));
    return BIO_new_file(source, "r");
}

/* Keys under a password are refused: OpenSSL's own callback would ask at the terminal. */
static int no_password(char *buf, int size, int is_writing, void *userdata) {
    (void)buf;
    (void)size;
    (void)is_writing;
    *(int *)userdata = 1;
    return -1;
}

/* What OpenSSL says of a file that holds something else. */
static int has_no_key(void) {
    return ERR_GET_REASON(ERR_peek_last_error()) == ERR_R_UNSUPPORTED;
}

/* The end of a list of certificates is "no start line", which is no error after the first. */
static int is_end_of_pem(void) {
    unsigned long code = ERR_peek_last_error();
    return ERR_GET_LIB(code) == ERR_LIB_PEM && ERR_GET_REASON(code) == PEM_R_NO_START_LINE;
}

static const char *reason_without_certificate(void) {
    return is_end_of_pem() ? "there is no certificate in it" : NULL;
}

/* The certificate, then its chain. Returns 1, or 0 with *reason set or OpenSSL's queue filled. */
static int use_chain(SSL_CTX *ssl_ctx, BIO *pem, const char **reason) {
    X509 *cert = PEM_read_bio_X509_AUX(pem, NULL, NULL, NULL);
    if (cert == NULL) {
        *reason = reason_without_certificate();
        return 0;
    }
    int is_used = SSL_CTX_use_certificate(ssl_ctx, cert) == 1;
    X509_free(cert);
    while (is_used && (cert = PEM_read_bio_X509(pem, NULL, NULL, NULL)) != NULL) {
        is_used = SSL_CTX_add0_chain_cert(ssl_ctx, cert) == 1;
        if (!is_used) X509_free(cert);
    }
    if (!is_used || !is_end_of_pem()) return 0;
    ERR_clear_error();
    return 1;
}

static int load_chain(SSL_CTX *ssl_ctx, const char *source) {
    const char *reason = NULL;
    BIO *pem = open_pem(source);
    int is_loaded = pem != NULL && use_chain(ssl_ctx, pem, &reason);
    BIO_free(pem);
    return is_loaded ? 0 : set_error("certificate", name_of(source), reason);
}

static int load_key(SSL_CTX *ssl_ctx, const char *source) {
    const char *reason = NULL;
    int is_encrypted = 0;
    BIO *pem = open_pem(source);
    EVP_PKEY *key = pem != NULL ? PEM_read_bio_PrivateKey(pem, NULL, no_password, &is_encrypted)
                                : NULL;
    if (is_encrypted) {
        reason = "it is encrypted; keys under a password are not taken";
    } else if (pem != NULL && key == NULL && (is_end_of_pem() || has_no_key())) {
        reason = "there is no private key in it";
    }
    /* With the certificate there already, this also compares the two. */
    int is_used = key != NULL && SSL_CTX_use_PrivateKey(ssl_ctx, key) == 1;
    EVP_PKEY_free(key);
    BIO_free(pem);
    if (is_used && SSL_CTX_check_private_key(ssl_ctx) == 1) return 0;
    return set_error("private key", name_of(source), reason);
}

static int set_certificate(SSL_CTX *ssl_ctx, const hssl_ctx_opt_t *opt) {
    if (opt->crt_file == NULL) return 0;
    int code = load_chain(ssl_ctx, opt->crt_file);
    return code != 0 ? code : load_key(ssl_ctx, opt->key_file ? opt->key_file : opt->crt_file);
}

/* Trusts the certificates; a server also names them to its clients. */
static int load_roots(SSL_CTX *ssl_ctx, const char *source, int is_client) {
    const char *reason = NULL;
    BIO *pem = open_pem(source);
    X509 *cert = NULL;
    int count = 0, is_taken = pem != NULL;
    while (is_taken && (cert = PEM_read_bio_X509_AUX(pem, NULL, NULL, NULL)) != NULL) {
        is_taken = X509_STORE_add_cert(SSL_CTX_get_cert_store(ssl_ctx), cert) == 1;
        if (is_taken && !is_client) is_taken = SSL_CTX_add_client_CA(ssl_ctx, cert) == 1;
        X509_free(cert);
        count++;
    }
    if (is_taken && count == 0) reason = reason_without_certificate();
    is_taken = is_taken && count > 0 && is_end_of_pem();
    BIO_free(pem);
    if (!is_taken) return set_error("trusted roots", name_of(source), reason);
    ERR_clear_error();
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
    int code = opt->ca_file != NULL ? load_roots(ssl_ctx, opt->ca_file, is_client) : 0;
    if (code != 0) return code;
    if (opt->ca_path != NULL && SSL_CTX_load_verify_dir(ssl_ctx, opt->ca_path) != 1) {
        return set_error("trusted roots", opt->ca_path, NULL);
    }
    if (opt->ca_file != NULL || opt->ca_path != NULL || mode == SSL_VERIFY_NONE) return 0;
    if (SSL_CTX_set_default_verify_paths(ssl_ctx) == 1) return 0;
    return set_error("the system's trusted roots", NULL, NULL);
}

static int set_protocol(SSL_CTX *ssl_ctx, const hssl_ctx_opt_t *opt) {
    int version = TLS1_2_VERSION;
    if (opt->min_version != NULL && strcmp(opt->min_version, "1.3") == 0) {
        version = TLS1_3_VERSION;
    } else if (opt->min_version != NULL && strcmp(opt->min_version, "1.2") != 0) {
        return set_error("minimum version must be 1.2 or 1.3, got", opt->min_version, NULL);
    }
    SSL_CTX_set_min_proto_version(ssl_ctx, version);
    const char *ciphers = opt->ciphers != NULL ? opt->ciphers : DEFAULT_CIPHERS;
    if (SSL_CTX_set_cipher_list(ssl_ctx, ciphers) != 1) return set_error("ciphers", ciphers, NULL);
    return 0;
}

/* ---- What the handshake asks a server ---- */

/* Lengths and names, RFC 7301 section 3.1. */
int hv__tls_encode_alpn(hv__alpn_t *alpn, const char *list) {
    alpn->len = 0;
    while (list != NULL && *list != '\0') {
        size_t len = strcspn(list, ",");
        if (len == 0 || len > 255 || alpn->len + len + 1 > sizeof alpn->names) return HV_EINVAL;
        alpn->names[alpn->len++] = (unsigned char)len;
        memcpy(alpn->names + alpn->len, list, len);
        alpn->len += (unsigned)len;
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
    int result = SSL_select_next_proto(&chosen, out_len, ctx->alpn.names, ctx->alpn.len, offered,
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

SSL_CTX *hv__tls_current(hssl_ctx_t ctx) {
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
    for (hv__tls_name_t *rule = ctx->names; name != NULL && rule != NULL; rule = rule->next) {
        if (!name_matches(rule->name, name)) continue;
        SSL_CTX *chosen = hv__tls_current(rule->ctx);
        SSL_set_SSL_CTX(ssl, chosen);
        SSL_CTX_free(chosen);
        return SSL_TLSEXT_ERR_OK;
    }
    return SSL_TLSEXT_ERR_OK;
}

/* ---- Contexts ---- */

/* Builds the OpenSSL context that the options describe. Returns 0 or HV_ETLS. */
static int build(hssl_ctx_t ctx, SSL_CTX **out) {
    const hssl_ctx_opt_t *opt = &ctx->opt;
    int is_client = opt->endpoint == HSSL_CLIENT;
    SSL_CTX *ssl_ctx = SSL_CTX_new(is_client ? TLS_client_method() : TLS_server_method());
    if (ssl_ctx == NULL) return set_error("TLS context", NULL, NULL);
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
        SSL_CTX_sess_set_new_cb(ssl_ctx, hv__tls_keep_session);
        if (ctx->alpn.len > 0) SSL_CTX_set_alpn_protos(ssl_ctx, ctx->alpn.names, ctx->alpn.len);
    } else {
        /* Tickets carry the session; a server-side cache would only hold memory. */
        SSL_CTX_set_session_cache_mode(ssl_ctx, SSL_SESS_CACHE_OFF);
        if (opt->no_tickets) {
            SSL_CTX_set_options(ssl_ctx, SSL_OP_NO_TICKET);
            SSL_CTX_set_num_tickets(ssl_ctx, 0);
        }
        if (ctx->alpn.len > 0) SSL_CTX_set_alpn_select_cb(ssl_ctx, choose_alpn, ctx);
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
        set_error("out of memory", NULL, NULL);
        return NULL;
    }
    ctx->references = 1;
    pthread_mutex_init(&ctx->lock, NULL);
    ctx->opt = opt != NULL ? *opt : defaults;
    int code = copy_options(&ctx->opt);
    if (code != 0) set_error("out of memory", NULL, NULL);
    if (code == 0 && (code = hv__tls_encode_alpn(&ctx->alpn, ctx->opt.alpn)) != 0) {
        set_error("ALPN list", ctx->opt.alpn, NULL);
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
        hv__tls_name_t *rule = ctx->names;
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

const char *hssl_ctx_alpn(hssl_ctx_t ctx) { return ctx->opt.alpn; }

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
    hv__tls_name_t *rule = hv__malloc(sizeof *rule + len + 1);
    if (rule == NULL) return HV_ENOMEM;
    memcpy(rule->name, name, len + 1);
    hssl_ctx_retain(other);
    rule->ctx = other;
    rule->next = ctx->names;
    ctx->names = rule;
    return 0;
}

