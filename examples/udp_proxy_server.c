/* udp_proxy_server.c - passes datagrams on to another server, and its answers back: every client
 * has a socket of its own towards the server, so that answers find their way.
 *
 *     cc udp_proxy_server.c -o udp_proxy_server -lhv
 *     ./udp_proxy_server 5353 192.0.2.1:53
 */
#include <getopt.h>

#include "tool.h"

static const char usage[] =
    "Usage: udp_proxy_server [options] [host:]port [host:]port\n"
    "\n"
    "Takes datagrams on the first and passes them on to the second.\n"
    "\n"
    "  -w SECONDS   forget a client that is silent for so long; default 60\n"
    "  -n CLIENTS   know at most so many; default 1024\n"
    "  -h, --help   this text\n";

int main(int argc, char **argv) {
    static const struct option names[] = {{"help", no_argument, NULL, 'h'}, {NULL, 0, NULL, 0}};
    int idle_s = 60, clients_max = 1024;
    for (int option; (option = getopt_long(argc, argv, "w:n:h", names, NULL)) != -1;) {
        switch (option) {
        case 'w': idle_s = parse_number(optarg, "seconds", 1, 86400); break;
        case 'n': clients_max = parse_number(optarg, "clients", 1, 1000000); break;
        case 'h': fputs(usage, stdout); return 0;
        default: fputs(usage, stderr); return 2;
        }
    }
    if (argc - optind != 2) {
        fputs(usage, stderr);
        return 2;
    }
    const char *host, *backend_host;
    int port = parse_target(argv[optind], "127.0.0.1", &host);
    int backend_port = parse_target(argv[optind + 1], "127.0.0.1", &backend_host);
    /* A name is looked up once, before the loop runs. */
    sockaddr_u addr;
    char ip[SOCKADDR_STRLEN];
    int code = sockaddr_set_ipport(&addr, backend_host, backend_port);
    if (code != 0) die(1, "%s: %s", backend_host, herr_text(code));
    sockaddr_ip(&addr, ip, sizeof ip);

    hloop_t *loop = new_tool_loop();
    hio_t *io = hloop_create_udp_server(loop, host, port);
    if (io == NULL) die(1, "%s:%d: %s", host, port, herr_text(hloop_last_error(loop)));
    if (hio_setup_udp_upstream(io, ip, backend_port) == NULL) {
        die(1, "%s:%d: %s", ip, backend_port, herr_text(hloop_last_error(loop)));
    }
    hio_set_udp_upstream_limits(io, idle_s * 1000, (uint32_t)clients_max);
    print_listening(stdout, io);
    hloop_run(loop);
    hloop_free(&loop);
    return 0;
}
