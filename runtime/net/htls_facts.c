/* htls_facts.c - what can be asked of a TLS connection after its handshake. */
#include "htls_int.h"

#include <limits.h>

int hio_is_ssl(const hio_t *io) { return (io->flags & HIO_FLAG_LAYERED) != 0; }

const char *hio_ssl_version(const hio_t *io) {
    const htls_t *tls = hv__tls_of(io);
    return tls != NULL && tls->is_open ? SSL_get_version(tls->ssl) : NULL;
}

const char *hio_ssl_cipher(const hio_t *io) {
    const htls_t *tls = hv__tls_of(io);
    return tls != NULL && tls->is_open ? SSL_get_cipher_name(tls->ssl) : NULL;
}

size_t hio_ssl_alpn(const hio_t *io, char *out, size_t out_size) {
    const htls_t *tls = hv__tls_of(io);
    const unsigned char *name = NULL;
    unsigned len = 0;
    if (tls != NULL && tls->is_open) SSL_get0_alpn_selected(tls->ssl, &name, &len);
    if (out_size == 0) return 0;
    if (len >= out_size) len = (unsigned)out_size - 1;
    if (len > 0) memcpy(out, name, len);
    out[len] = '\0';
    return len;
}

const char *hio_ssl_server_name(const hio_t *io) {
    const htls_t *tls = hv__tls_of(io);
    if (tls == NULL || tls->ssl == NULL) return NULL;
    return SSL_get_servername(tls->ssl, TLSEXT_NAMETYPE_host_name);
}

int hio_ssl_is_resumed(const hio_t *io) {
    const htls_t *tls = hv__tls_of(io);
    return tls != NULL && tls->is_open && SSL_session_reused(tls->ssl);
}

/* ---- The peer's certificate ---- */

static X509 *peer_of(const hio_t *io) {
    const htls_t *tls = hv__tls_of(io);
    return tls != NULL && tls->ssl != NULL ? SSL_get1_peer_certificate(tls->ssl) : NULL;
}

size_t hio_ssl_peer_subject(const hio_t *io, char *out, size_t out_size) {
    if (out_size == 0) return 0;
    out[0] = '\0';
    X509 *certificate = peer_of(io);
    if (certificate == NULL) return 0;
    BIO *text = BIO_new(BIO_s_mem());
    size_t len = 0;
    if (text != NULL) {
        X509_NAME_print_ex(text, X509_get_subject_name(certificate), 0, XN_FLAG_RFC2253);
        size_t room = out_size - 1;
        int got = BIO_read(text, out, room < INT_MAX ? (int)room : INT_MAX);
        len = got > 0 ? (size_t)got : 0;
        out[len] = '\0';
        BIO_free(text);
    }
    X509_free(certificate);
    return len;
}

/* A copy of what was written to a memory BIO, which is emptied. */
static char *take_text(BIO *text) {
    char *data = NULL;
    long len = BIO_get_mem_data(text, &data);
    char *copy = hv__strndup(len > 0 ? data : "", len > 0 ? (size_t)len : 0);
    BIO_reset(text);
    return copy;
}

static char *name_text(BIO *text, const X509_NAME *name) {
    X509_NAME_print_ex(text, name, 0, XN_FLAG_RFC2253);
    return take_text(text);
}

/* A name with characters that no name has could pass for two. */
static int is_printable(const unsigned char *data, int len) {
    for (int i = 0; i < len; i++) {
        if (data[i] <= ' ' || data[i] >= 127) return 0;
    }
    return len > 0;
}

static void write_name(BIO *text, const GENERAL_NAME *name) {
    char address[INET6_ADDRSTRLEN];
    int type = 0;
    const ASN1_STRING *value = GENERAL_NAME_get0_value(name, &type);
    const unsigned char *data = NULL;
    int len = 0;
    if (type == GEN_DNS || type == GEN_IPADD) {
        data = ASN1_STRING_get0_data(value);
        len = ASN1_STRING_length(value);
    }
    if (type == GEN_DNS && is_printable(data, len)) {
        BIO_printf(text, "%.*s\n", len, (const char *)data);
    } else if (type == GEN_IPADD && (len == 4 || len == 16)) {
        inet_ntop(len == 4 ? AF_INET : AF_INET6, data, address, sizeof address);
        BIO_printf(text, "%s\n", address);
    }
}

static char *alternative_names(BIO *text, const X509 *certificate) {
    GENERAL_NAMES *names = X509_get_ext_d2i(certificate, NID_subject_alt_name, NULL, NULL);
    for (int i = 0; i < sk_GENERAL_NAME_num(names); i++) {
        write_name(text, sk_GENERAL_NAME_value(names, i));
    }
    GENERAL_NAMES_free(names);
    return take_text(text);
}

static int64_t seconds_of(const ASN1_TIME *time) {
    int days = 0, seconds = 0;
    ASN1_TIME *epoch = ASN1_TIME_set(NULL, 0);
    if (epoch == NULL || ASN1_TIME_diff(&days, &seconds, epoch, time) != 1) days = seconds = 0;
    ASN1_TIME_free(epoch);
    return (int64_t)days * 86400 + seconds;
}

static void write_hex(char *out, size_t size, const unsigned char *data, size_t len,
                      const char *digits) {
    if (len > (size - 1) / 2) len = (size - 1) / 2;
    for (size_t i = 0; i < len; i++) {
        out[2 * i] = digits[data[i] >> 4];
        out[2 * i + 1] = digits[data[i] & 15];
    }
    out[2 * len] = '\0';
}

static void describe(hssl_certificate_t *out, X509 *certificate, BIO *text) {
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned len = 0;
    const ASN1_INTEGER *serial = X509_get0_serialNumber(certificate);
    out->subject = name_text(text, X509_get_subject_name(certificate));
    out->issuer = name_text(text, X509_get_issuer_name(certificate));
    out->names = alternative_names(text, certificate);
    PEM_write_bio_X509(text, certificate);
    out->pem = take_text(text);
    out->not_before = seconds_of(X509_get0_notBefore(certificate));
    out->not_after = seconds_of(X509_get0_notAfter(certificate));
    write_hex(out->serial, sizeof out->serial, ASN1_STRING_get0_data(serial),
              (size_t)ASN1_STRING_length(serial), "0123456789ABCDEF");
    if (X509_digest(certificate, EVP_sha256(), digest, &len) != 1) len = 0;
    write_hex(out->fingerprint, sizeof out->fingerprint, digest, len, "0123456789abcdef");
}

hssl_certificate_t *hio_ssl_peer_certificate(const hio_t *io) {
    X509 *certificate = peer_of(io);
    if (certificate == NULL) return NULL;
    BIO *text = BIO_new(BIO_s_mem());
    hssl_certificate_t *out = text != NULL ? hv__calloc(1, sizeof *out) : NULL;
    if (out != NULL) describe(out, certificate, text);
    BIO_free(text);
    X509_free(certificate);
    ERR_clear_error();
    if (out == NULL || (out->subject && out->issuer && out->names && out->pem)) return out;
    hssl_certificate_free(out);
    return NULL;
}

void hssl_certificate_free(hssl_certificate_t *certificate) {
    if (certificate == NULL) return;
    hv__free(certificate->subject);
    hv__free(certificate->issuer);
    hv__free(certificate->names);
    hv__free(certificate->pem);
    hv__free(certificate);
}

/* ---- What went wrong ---- */

const char *hio_ssl_error(const hio_t *io) {
    const htls_t *tls = hv__tls_of(io);
    return tls != NULL ? tls->error : NULL;
}

int hio_ssl_is_truncated(const hio_t *io) {
    const htls_t *tls = hv__tls_of(io);
    return tls != NULL && tls->is_truncated;
}

void hio_set_handshake_timeout(hio_t *io, int timeout_ms) {
    hio_set_connect_timeout(io, timeout_ms);
}
