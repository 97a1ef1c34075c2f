/* tcp_proxy_server.c - passes every connection on to another server, with TLS on either side.
 *
 *     cc tcp_proxy_server.c -o tcp_proxy_server -lhv
 *     ./tcp_proxy_server 1234 127.0.0.1:8080
 *
 * hio_setup_tcp_upstream does it all: it connects, copies both ways only as fast as the slower side
 * takes it, passes the end of each direction on, and closes both sides together. */
#include <getopt.h>

#include "hv/hssl.h"
#include "tool.h"

static const char usage[] =
    "Usage: tcp_proxy_server [options] [host:]port [host:]port\n"
    "\n"
    "Listens on the first and passes each connection on to the second; a path beginning with '/'\n"
    "instead of a port is a unix socket.\n"
    "\n"
    "  -s           speak TLS with the server behind, and verify it\n"
    "  --cert FILE  speak TLS with clients, with this certificate,\n"
    "  --key FILE   and this key\n"
    "  -w SECONDS   give up a connection on which nothing moves for so long\n"
    "  -v           print a line for every connection\n"
    "  -h, --help   this text\n";

static const char *backend_host;
static int backend_port, uses_ssl, is_verbose, timeout_s;

static void on_close(hio_t *io) {
    const char *words = hio_error(io) != 0 ? herr_text(hio_error(io)) : "done";
    printf("%u: closed, %llu bytes in: %s\n", hio_id(io),
           (unsigned long long)hio_forwarded_bytes(io), words);
}

static void on_upstream_close(hio_t *io) {
    if (hio_error(io) == 0) return;
    const char *words = hio_ssl_error(io);
    fprintf(stderr, "%s:%d: %s\n", backend_host, backend_port,
            words != NULL ? words : herr_text(hio_error(io)));
}

static void on_accept(hio_t *io) {
    hio_t *upstream = hio_setup_tcp_upstream(io, backend_host, backend_port, uses_ssl);
    if (upstream == NULL) {
        fprintf(stderr, "%s:%d: %s\n", backend_host, backend_port,
                herr_text(hloop_last_error(hevent_loop(io))));
        hio_close(io);
        return;
    }
    hio_setcb_close(upstream, on_upstream_close);
    if (timeout_s > 0) hio_set_keepalive_timeout(io, timeout_s * 1000);
    if (!is_verbose) return;
    char text[SOCKADDR_STRLEN];
    printf("%u: from %s\n", hio_id(io), SOCKADDR_STR(hio_peeraddr(io), text));
    hio_setcb_close(io, on_close);
}

static int parse_address(char *text, const char **host) {
    *host = text;
    return text[0] == '/' ? 0 : parse_target(text, "127.0.0.1", host);
}

int main(int argc, char **argv) {
    static const struct option names[] = {{"cert", required_argument, NULL, 'c'},
                                          {"key", required_argument, NULL, 'k'},
                                          {"help", no_argument, NULL, 'h'},
                                          {NULL, 0, NULL, 0}};
    hssl_ctx_opt_t opt = {.endpoint = HSSL_SERVER};
    for (int option; (option = getopt_long(argc, argv, "svw:h", names, NULL)) != -1;) {
        switch (option) {
        case 's': uses_ssl = 1; break;
        case 'v': is_verbose = 1; break;
        case 'w': timeout_s = parse_number(optarg, "seconds", 1, 86400); break;
        case 'c': opt.crt_file = optarg; break;
        case 'k': opt.key_file = optarg; break;
        case 'h': fputs(usage, stdout); return 0;
        default: fputs(usage, stderr); return 2;
        }
    }
    if (argc - optind != 2) {
        fputs(usage, stderr);
        return 2;
    }
    setvbuf(stdout, NULL, _IOLBF, 0);
    const char *host;
    int port = parse_address(argv[optind], &host);
    backend_port = parse_address(argv[optind + 1], &backend_host);

    hloop_t *loop = new_tool_loop();
    hio_t *listener = hloop_create_tcp_server(loop, host, port, on_accept);
    if (listener == NULL) die(1, "%s:%d: %s", host, port, herr_text(hloop_last_error(loop)));
    if (opt.crt_file != NULL && hio_new_ssl_ctx(listener, &opt) != 0) {
        die(1, "%s", hssl_last_error());
    }
    print_listening(stdout, listener);
    hloop_run(loop);
    hloop_free(&loop);
    return 0;
}
