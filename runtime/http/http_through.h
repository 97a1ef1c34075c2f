/* http_through.h - how a connection gets through a proxy: what HTTP clients and WebSocket clients
 * share. Private to http_proxy.c and those two.
 *
 * The owner has connected `io` to the proxy, over TLS where that is asked for. It begins, hands
 * every read callback of the io to hv__http_through_read, and is told once. From then on the io
 * leads to the host; TLS with that one, where the io has TLS with the proxy already, needs another
 * io, which hv__http_through_nest gives. */
#ifndef HV_HTTP_THROUGH_H_
#define HV_HTTP_THROUGH_H_

#include "h1_reply.h"
#include "hhttp_client.h"

typedef struct http_through_s http_through_t;

struct http_through_s {
    hio_t *io;
    const char *host; /* behind the proxy; as the other strings borrowed until the end */
    const char *user; /* or NULL */
    const char *password;
    const h1_limits_t *limits; /* of the answer to CONNECT */
    int port;
    hhttp_proxy_e kind;
    /* Through, or not: code 0, or why not and words or NULL. May end the io, and free this. */
    void (*tell)(http_through_t *through, int code, const char *words);
    uint8_t step;
    uint8_t interims;
};

/* Begins to talk with the proxy. May tell at once, where it cannot. */
void hv__http_through_begin(http_through_t *through);
/* Takes what the io has read, which is cut as this has asked for. */
void hv__http_through_read(http_through_t *through, const void *data, size_t len);
/* Makes an io whose bytes go through `outer`, which it takes: it ends with it, and the owner hears
 * of it no more. Returns NULL with hloop_last_error set; `outer` is then still the owner's. */
hio_t *hv__http_through_nest(hio_t *outer);

/* Whether a proxy can be used at all: its kind, host and port, and words that SOCKS can send.
 * Returns 0 or HV_EINVAL. */
int hv__http_proxy_check(const hhttp_proxy_t *proxy);
/* Has the io of a proxy speak TLS with it, before it connects. Returns 0 or a code. */
int hv__http_proxy_secure(hio_t *io, const char *host, hssl_ctx_t tls);
/* "Basic ..." of user and password; hv__free it. NULL: no memory. */
char *hv__http_basic(const char *user, const char *password);

#endif
