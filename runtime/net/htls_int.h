/* htls_int.h - what the files of TLS share: contexts (htls_context.c), the layer between an io and
 * its stream (htls_layer.c), and what can be asked of a connection (htls_facts.c). They are the
 * only ones that include OpenSSL. */
#ifndef HV_TLS_INT_H_
#define HV_TLS_INT_H_

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include "hlayer.h"
#include "hnet_int.h"
#include "hssl.h"

typedef struct hv__tls_name_s {
    struct hv__tls_name_s *next;
    hssl_ctx_t ctx;
    char name[];
} hv__tls_name_t;

/* Names of protocols in wire format. */
typedef struct hv__alpn_s {
    unsigned len;
    unsigned char names[256];
} hv__alpn_t;

struct hssl_ctx_s {
    _Atomic int references;
    pthread_mutex_t lock; /* guards ssl_ctx and session */
    SSL_CTX *ssl_ctx;
    hssl_ctx_opt_t opt; /* its strings are ours */
    hv__tls_name_t *names;
    SSL_SESSION *session; /* clients: the last one given, to be taken up */
    char *session_host;
    hv__alpn_t alpn;
};

/* The layer's state on an io; on a listener only the context. */
typedef struct htls_s {
    hssl_ctx_t ctx;
    SSL *ssl; /* NULL on a listener, and until the handshake begins */
    hio_t *io;
    char *hostname;
    hv__alpn_t *alpn; /* in place of the context's; NULL: none */
    const char *in; /* what the wire has brought, not read by OpenSSL yet */
    size_t in_len;
    hbuf_t kept;  /* the same, from before: the io has moved to this loop, or was read in clear */
    hbuf_t early; /* written before the handshake was over */
    const char *error; /* a static string */
    uint8_t is_client;
    uint8_t is_open;
    uint8_t has_said_farewell;
    uint8_t has_heard_farewell;
    uint8_t is_truncated;
} htls_t;

static inline htls_t *hv__tls_of(const hio_t *io) {
    return io->ext != NULL ? io->ext->layer_state : NULL;
}

/* The context's rules of the moment; the caller owns a reference. */
SSL_CTX *hv__tls_current(hssl_ctx_t ctx);
/* Reads "h2,http/1.1". Returns 0 or HV_EINVAL. */
int hv__tls_encode_alpn(hv__alpn_t *alpn, const char *list);
/* htls_layer.c: a session that a client may take up again. OpenSSL's callback. */
int hv__tls_keep_session(SSL *ssl, SSL_SESSION *session);

#endif
