/* https_server.c - HTTP/1.1 and HTTP/2 over TLS on the C API; SIGHUP reads the certificate anew
 * without dropping a connection.
 *
 *     cc https_server.c -o https_server -lhv && ./https_server 8443 cert.pem key.pem
 *     curl --cacert cert.pem https://localhost:8443/
 */
#include "hv/hhttp.h"
#include "hv/hloop.h"
#include "hv/hssl.h"

#include <signal.h>

static void on_request(hhttp_request_t *req, void *userdata) {
    (void)userdata;
    hio_t *io = hhttp_request_io(req);
    char text[256];
    int len = snprintf(text, sizeof text, "hello over %s, %s%s%s\n", hio_ssl_version(io),
                       hio_ssl_cipher(io), hhttp_request_version(req) == 20 ? ", HTTP/2" : "",
                       hio_ssl_is_resumed(io) ? ", resumed" : "");
    hhttp_respond(req, 200, "text/plain", text, (size_t)len);
}

static void on_hangup(hsignal_t *sig) {
    hssl_ctx_t ctx = hevent_userdata(sig);
    if (hssl_ctx_reload(ctx) == 0) {
        printf("certificate reloaded\n");
    } else {
        printf("certificate not reloaded: %s\n", hssl_last_error());
    }
}

static void on_terminate(hsignal_t *sig) { hloop_stop(hevent_loop(sig)); }

int main(int argc, char **argv) {
    setvbuf(stdout, NULL, _IOLBF, 0);
    int port;
    char rest;
    if (argc != 4 || sscanf(argv[1], "%d%c", &port, &rest) != 1) {
        fprintf(stderr, "Usage: %s port certificate.pem key.pem\n", argv[0]);
        return 2;
    }
    hssl_ctx_opt_t opt = {.crt_file = argv[2], .key_file = argv[3], .alpn = "h2,http/1.1"};
    hssl_ctx_t ctx = hssl_ctx_new(&opt);
    if (ctx == NULL) {
        fprintf(stderr, "%s\n", hssl_last_error());
        return 1;
    }
    hloop_t *loop = hloop_new(0);
    hhttp_server_t *server = hhttp_server_new(loop, NULL);
    hhttp_server_on_request(server, on_request, NULL);
    hio_t *listener = hhttp_server_listen(server, "127.0.0.1", port, 0);
    if (listener == NULL) {
        fprintf(stderr, "listen: %s\n", herr_text(hloop_last_error(loop)));
        return 1;
    }
    hio_set_ssl_ctx(listener, ctx);
    hevent_set_userdata(hsignal_add(loop, on_hangup, SIGHUP), ctx);
    hsignal_add(loop, on_terminate, SIGTERM);
    hsignal_add(loop, on_terminate, SIGINT);
    port = ntohs(((struct sockaddr_in *)(void *)hio_localaddr(listener))->sin_port);
    printf("listening on 127.0.0.1:%d\n", port);
    hloop_run(loop);
    hhttp_server_close(server, 0, NULL, NULL);
    hloop_free(&loop);
    hssl_ctx_free(ctx);
    return 0;
}
