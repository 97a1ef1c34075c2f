/* hv_https.c - HTTP hello over TLS with the C API: hv_https PORT CERT KEY. Sessions are never taken
 * up, as in the nginx it is measured against. */
#include <stdio.h>
#include <stdlib.h>

#include "hhttp.h"
#include "hssl.h"

static void on_request(hhttp_request_t *req, void *userdata) {
    (void)userdata;
    hhttp_respond(req, 200, "text/plain", "Hello, World!", 13);
}

int main(int argc, char **argv) {
    if (argc < 4) {
        fprintf(stderr, "usage: hv_https PORT CERT KEY\n");
        return 2;
    }
    hloop_t *loop = hloop_new(0);
    hhttp_server_t *server = hhttp_server_new(loop, NULL);
    hhttp_server_on_request(server, on_request, NULL);
    hio_t *listener = hhttp_server_listen(server, "127.0.0.1", atoi(argv[1]), 0);
    hssl_ctx_opt_t opt = {.crt_file = argv[2], .key_file = argv[3], .no_tickets = 1,
                          .alpn = "h2,http/1.1"};
    if (listener == NULL || hio_new_ssl_ctx(listener, &opt) != 0) {
        fprintf(stderr, "hv_https: cannot serve on %s: %s\n", argv[1], hssl_last_error());
        return 1;
    }
    int result = hloop_run(loop);
    hloop_free(&loop);
    return result == 0 ? 0 : 1;
}
