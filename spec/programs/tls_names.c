/* TLS in the short forms: a server and two clients in one loop. SSL_CERT_FILE names the trusted
 * certificate. */
#include "hv/hloop.h"
#include "hv/hsocket.h"
#include "hv/hssl.h"

static hloop_t *loop;
static int port, left = 2;

static void on_closed(hio_t *io) {
    printf("closed error=%d\n", hio_error(io));
    if (--left == 0) hloop_stop(loop);
}

static void on_text(hio_t *io, void *text, int len) {
    (void)len;
    printf("%s\n", (char *)text);
    hio_close_async(io);
}

static void on_connect(hio_t *io) {
    char alpn[16];
    hio_ssl_alpn(io, alpn, sizeof alpn);
    printf("connected ssl=%d alpn=%s callbacks=%d\n", hio_is_ssl(io), alpn,
           hio_getcb_connect(io) == on_connect && hio_getcb_close(io) == on_closed);
    hio_setcb_read(io, on_text);
    hio_readstring(io);
}

static void on_accept(hio_t *io) {
    hio_read_start(io);
    hio_write(io, "hello", 6); /* with its NUL */
}

int main(void) {
    loop = hloop_new(0);
    hssl_ctx_opt_t opt = {.crt_file = "cert.pem", .key_file = "key.pem", .alpn = "h2,http/1.1"};
    hssl_ctx_t ctx = hssl_ctx_new(&opt);
    hio_t *server = hloop_create_ssl_server(loop, "127.0.0.1", 0, on_accept);
    if (ctx == NULL || server == NULL || hio_getcb_accept(server) != on_accept) return 1;
    hio_set_ssl_ctx(server, ctx);
    printf("server alpn=%s\n", hssl_ctx_alpn(ctx));
    hssl_ctx_free(ctx); /* the listener has a reference of its own */
    port = sockaddr_port((const sockaddr_u *)hio_localaddr(server));

    hio_t *first = hloop_create_ssl_client(loop, "localhost", port, on_connect, on_closed);
    hio_set_alpn(first, "http/1.1");
    hio_t *second = hloop_create_tcp_client(loop, "localhost", port, on_connect);
    hio_setcb_close(second, on_closed);
    hio_enable_ssl(second); /* after it was created: nothing has been sent yet */

    hloop_run(loop);
    hloop_free(&loop);
    return 0;
}
