/* hssl.h - TLS for streams: a context holds certificates and rules and may serve many connections
 * and several threads; an io is told to speak TLS before it is connected or accepts.
 *
 *     hio_t *listenio = hloop_create_tcp_server(loop, "0.0.0.0", 8443, on_accept);
 *     hssl_ctx_opt_t opt = {.crt_file = "cert.pem", .key_file = "key.pem"};
 *     hio_new_ssl_ctx(listenio, &opt);
 *
 *     hio_t *io = hloop_create_tcp_client(loop, "example.org", 443, on_connect);
 *     hio_enable_ssl(io);                       // verifies the chain and the host name
 *     hio_set_hostname(io, "example.org");
 *
 * on_accept and on_connect are called when the handshake is over; one that fails or takes too long
 * calls only the close callback, with hio_error -HV_ETLS or ETIMEDOUT and hio_ssl_error for
 * words. */
#ifndef HV_SSL_H_
#define HV_SSL_H_

#include "hio.h"

HV_BEGIN_DECLS

typedef struct hssl_ctx_s *hssl_ctx_t;

enum { HSSL_SERVER = 0, HSSL_CLIENT = 1 };

/* For verify_peer. */
enum {
    HSSL_VERIFY_DEFAULT = 0,  /* clients verify, servers ask for no certificate */
    HSSL_VERIFY_NONE    = -1, /* nobody is verified: for tests only */
    HSSL_VERIFY_PEER    = 1,  /* a server requires and verifies a client certificate */
    HSSL_VERIFY_REQUEST = 2,  /* a server asks for one and verifies it where it is given */
};

/* A zeroed one has good defaults; strings are copied. The files are PEM; instead of a path each may
 * be the text itself, known by its "-----BEGIN ". */
typedef struct hssl_ctx_opt_s {
    const char *crt_file;    /* the certificate, then its chain */
    const char *key_file;    /* not under a password; NULL: in crt_file */
    const char *ca_file;     /* trusted roots; both NULL: the system's */
    const char *ca_path;     /* a folder of them */
    short verify_peer;       /* HSSL_VERIFY_* */
    short endpoint;          /* HSSL_SERVER or HSSL_CLIENT */
    const char *alpn;        /* protocols in order of preference: "h2,http/1.1"; NULL: none */
    const char *min_version; /* "1.2" (default) or "1.3" */
    const char *ciphers;     /* OpenSSL list for TLS 1.2; NULL: forward secrecy and AEAD only */
    int no_tickets;          /* servers: no session tickets, every handshake is a full one */
} hssl_ctx_opt_t;

/* Makes a context. Returns NULL where a file cannot be read or does not fit; hssl_last_error says
 * why. The caller owns one reference. */
HV_EXPORT hssl_ctx_t hssl_ctx_new(const hssl_ctx_opt_t *opt);
HV_EXPORT void hssl_ctx_retain(hssl_ctx_t ctx);
/* Gives a reference up; connections keep their own. NULL is allowed. */
HV_EXPORT void hssl_ctx_free(hssl_ctx_t ctx);

/* The list of hssl_ctx_opt_t.alpn; NULL where there is none. Borrowed from the context. */
HV_EXPORT const char *hssl_ctx_alpn(hssl_ctx_t ctx);

/* Reads certificate, key and roots again for the handshakes that follow; connections that exist go
 * on as they are. Any thread. Returns 0, or HV_ETLS with the old ones still in force. */
HV_EXPORT int hssl_ctx_reload(hssl_ctx_t ctx);

/* Servers: connections whose client asks for `name` ("www.example.org" or "*.example.org") get
 * `other`, which is retained. Before serving begins. Returns 0 or HV_ENOMEM. */
HV_EXPORT int hssl_ctx_add_name(hssl_ctx_t ctx, const char *name, hssl_ctx_t other);

/* Words for the last failure of hssl_ctx_new or hssl_ctx_reload in this thread. */
HV_EXPORT const char *hssl_last_error(void);
/* "OpenSSL 3.0.x ..." */
HV_EXPORT const char *hssl_backend(void);

/* ---- Making one: as their TCP kin in hio.h, see there ---- */

/* A listener that lets nobody in before hio_new_ssl_ctx or hio_set_ssl_ctx has set a
 * certificate. */
HV_EXPORT hio_t *hloop_create_ssl_server(hloop_t *loop, const char *host, int port,
                                         haccept_cb on_accept);
/* A client that verifies `host`. May be called with a close callback as a fifth argument. A
 * context of your own is set by hio_set_ssl_ctx, before it connects. */
HV_EXPORT hio_t *hio_ssl_client(hloop_t *loop, const char *host, int port, hconnect_cb on_connect,
                                hclose_cb on_close);
#define HV_SSL_CLIENT_4(loop, host, port, on_connect) \
    hio_ssl_client(loop, host, port, on_connect, NULL)
#define HV_SSL_CLIENT_5(loop, host, port, on_connect, on_close) \
    hio_ssl_client(loop, host, port, on_connect, on_close)
#define hloop_create_ssl_client(...) \
    HV_TCP_CLIENT_PICK(__VA_ARGS__, HV_SSL_CLIENT_5, HV_SSL_CLIENT_4, 0)(__VA_ARGS__)

/* ---- On an io: before it connects, or on a listener for what it accepts ---- */

/* TLS with the defaults of its side: a client that verifies, by a context shared in the process.
 * For listeners use hio_new_ssl_ctx, since they need a certificate. Returns 0 or a code. */
HV_EXPORT int hio_enable_ssl(hio_t *io);
/* TLS by a context, which is retained; on a connected stream the handshake starts now (STARTTLS). A
 * client that has TLS already and is not connected yet gets this context instead of the one it was
 * made with, and keeps its name: so clients of hio_ssl_client and hio_setup_ssl_upstream.
 * Returns 0; HV_EINVAL for what is no stream, HV_EBUSY where TLS has begun or is set for a
 * listener, HV_ECLOSED, HV_ENOMEM. */
HV_EXPORT int hio_set_ssl_ctx(hio_t *io, hssl_ctx_t ctx);
/* hssl_ctx_new and hio_set_ssl_ctx. Returns 0 or HV_ETLS. */
HV_EXPORT int hio_new_ssl_ctx(hio_t *io, const hssl_ctx_opt_t *opt);
/* The name a client asks for and verifies; by default the host it was told to connect to. */
HV_EXPORT int hio_set_hostname(hio_t *io, const char *hostname);
HV_EXPORT const char *hio_get_hostname(const hio_t *io);
/* The protocols that a client offers by ALPN on this io, in place of its context's: "h2,http/1.1",
 * copied; "" offers none. After hio_set_ssl_ctx and before the handshake begins. Returns 0;
 * HV_EINVAL without TLS, and for what is no such list; HV_ENOMEM. */
HV_EXPORT int hio_set_alpn(hio_t *io, const char *protocols);
/* Milliseconds a server gives a handshake; default 10000. A client's connect timeout covers
 * both. */
HV_EXPORT void hio_set_handshake_timeout(hio_t *io, int timeout_ms);

/* ---- Facts, after the handshake ---- */

HV_EXPORT int hio_is_ssl(const hio_t *io);
HV_EXPORT const char *hio_ssl_version(const hio_t *io); /* "TLSv1.3"; NULL before */
HV_EXPORT const char *hio_ssl_cipher(const hio_t *io);
/* The protocol agreed on by ALPN, NUL-terminated in `out`; "" where there is none. */
HV_EXPORT size_t hio_ssl_alpn(const hio_t *io, char *out, size_t out_size);
/* The name that the client has asked for, on either side; NULL where it has not. */
HV_EXPORT const char *hio_ssl_server_name(const hio_t *io);
/* Whether an earlier session was taken up. */
HV_EXPORT int hio_ssl_is_resumed(const hio_t *io);
/* The subject of the peer's certificate, one line, in `out`; 0 where there is none. */
HV_EXPORT size_t hio_ssl_peer_subject(const hio_t *io, char *out, size_t out_size);

typedef struct hssl_certificate_s {
    char *subject;        /* RFC 2253: "CN=www.example.org,O=..." */
    char *issuer;
    char *names;          /* DNS names and addresses, a line each; "" where there are none */
    char *pem;
    int64_t not_before;   /* seconds since 1970, UTC */
    int64_t not_after;
    char serial[80];      /* hexadecimal, upper case */
    char fingerprint[72]; /* SHA-256 of the DER form, hexadecimal, lower case */
} hssl_certificate_t;

/* The peer's certificate, whether it was verified or not. Returns it, to be freed by
 * hssl_certificate_free; NULL where there is none or no memory. */
HV_EXPORT hssl_certificate_t *hio_ssl_peer_certificate(const hio_t *io);
HV_EXPORT void hssl_certificate_free(hssl_certificate_t *certificate);

/* Words for a failed handshake or record, also in the close callback; NULL where nothing failed.
 * A static string. */
HV_EXPORT const char *hio_ssl_error(const hio_t *io);
/* Whether the stream ended without the peer's farewell: it may be cut short. */
HV_EXPORT int hio_ssl_is_truncated(const hio_t *io);

HV_END_DECLS

#endif
