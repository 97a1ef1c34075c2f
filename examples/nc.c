/* nc.c - connects standard input and output with the network: TCP, UDP, unix sockets and TLS, as a
 * client or for one client.
 *
 *     cc nc.c -o nc -lhv
 *     ./nc -l 1234                     # here
 *     ./nc 127.0.0.1 1234 < file       # there
 *
 * Neither side is read faster than the other one takes it: where a queue is high its source is
 * stopped until it has drained. The end of standard input ends our side of the stream only, and
 * what the peer still says is printed. */
#include <getopt.h>
#include <unistd.h>

#include "hv/hssl.h"
#include "tool.h"

static const char usage[] =
    "Usage: nc [options] host port\n"
    "       nc [options] -l [host] port\n"
    "       nc [options] -U [-l] path\n"
    "\n"
    "  -l           listen, and serve one client\n"
    "  -u           UDP\n"
    "  -U           a unix socket\n"
    "  -S, --tls    TLS\n"
    "      --cert FILE, --key FILE   with -l: certificate and key, PEM\n"
    "      --ca FILE                 trust these roots instead of the system's\n"
    "      --name NAME               the name to verify, where it is not the host\n"
    "      --insecure                do not verify the server\n"
    "  -w SECONDS   give up connecting, and end after so long without a byte\n"
    "  -v           say on standard error what happens\n"
    "  -h, --help   this text\n";

static struct {
    int listens, is_udp, is_unix, is_tls, is_verbose, is_insecure, timeout_s;
    const char *cert, *key, *ca, *name;
    const char *host;
    int port;
} options;

/* The three streams; NULL once closed. */
static hio_t *listener, *input, *output, *peer;
static hssl_ctx_t ssl_ctx;
static int input_has_ended, peer_has_ended, status;

static void say(const char *format, ...) {
    if (!options.is_verbose) return;
    va_list arguments;
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
}

/* ---- Ending ---- */

static void on_output_close(hio_t *io) {
    output = NULL;
    hloop_stop(hevent_loop(io));
}

/* Prints what is queued, then ends. */
static void finish(void) {
    if (input != NULL) hio_close(input);
    if (listener != NULL) hio_close(listener);
    if (output != NULL) hio_close(output);
}

static void on_peer_close(hio_t *io) {
    int error = hio_error(io);
    const char *words = hio_ssl_error(io);
    peer = NULL;
    if (error == ETIMEDOUT && options.is_udp) error = 0; /* there is no other end of UDP */
    if (error != 0) {
        fprintf(stderr, "nc: %s\n", words != NULL ? words : herr_text(error));
        status = 1;
    } else {
        say("closed");
    }
    finish();
}

/* ---- From the peer to standard output ---- */

static void on_output_drain(hio_t *io) {
    (void)io;
    if (peer != NULL) hio_read(peer);
}

static void on_peer_eof(hio_t *io) {
    say("the peer has ended its side");
    peer_has_ended = 1;
    /* Somebody at a keyboard has nothing to wait for any more; a file is sent to its end. */
    if (input_has_ended || isatty(STDIN_FILENO)) hio_close(io);
}

static void start_input(void);

static void on_peer_read(hio_t *io, void *buf, int len) {
    if (output == NULL) return;
    hio_write(output, buf, (size_t)len);
    if (hio_write_is_high(output)) hio_read_stop(io);
    if (options.is_udp && options.listens) start_input(); /* now there is somebody to answer */
}

/* ---- From standard input to the peer ---- */

static void on_peer_drain(hio_t *io) {
    (void)io;
    if (input != NULL && !input_has_ended) hio_read(input);
}

static void on_input_eof(hio_t *io) {
    (void)io;
    input_has_ended = 1;
    if (peer == NULL || options.is_udp) return;
    if (peer_has_ended) {
        hio_close(peer);
    } else {
        hio_shutdown(peer);
    }
}

static void on_input_read(hio_t *io, void *buf, int len) {
    if (peer == NULL) return;
    hio_write(peer, buf, (size_t)len);
    if (hio_write_is_high(peer)) hio_read_stop(io);
}

static void on_input_close(hio_t *io) {
    (void)io;
    input = NULL;
}

static void start_input(void) {
    if (input != NULL || input_has_ended) return;
    input = hio_get(hevent_loop(peer), STDIN_FILENO);
    if (input == NULL) return; /* closed, as by a daemon */
    hio_setcb_read(input, on_input_read);
    hio_setcb_eof(input, on_input_eof);
    hio_setcb_close(input, on_input_close);
    hio_read(input);
}

/* ---- The network ---- */

static void start_peer(hio_t *io) {
    peer = io;
    hio_setcb_read(io, on_peer_read);
    hio_setcb_close(io, on_peer_close);
    hio_setcb_drain(io, on_peer_drain);
    hio_setcb_eof(io, on_peer_eof);
    if (options.timeout_s > 0) hio_set_keepalive_timeout(io, options.timeout_s * 1000);
    hio_read(io);
    if (!(options.is_udp && options.listens)) start_input();
}

static void on_connect(hio_t *io) {
    char text[SOCKADDR_STRLEN];
    say("connected to %s", SOCKADDR_STR(hio_peeraddr(io), text));
    if (hio_is_ssl(io)) say("%s, %s", hio_ssl_version(io), hio_ssl_cipher(io));
    start_peer(io);
}

static void on_listener_close(hio_t *io) {
    (void)io;
    listener = NULL;
}

static void on_accept(hio_t *io) {
    if (peer != NULL) {
        hio_close(io);
        return;
    }
    char text[SOCKADDR_STRLEN];
    say("connection from %s", SOCKADDR_STR(hio_peeraddr(io), text));
    hio_close(listener);
    start_peer(io);
}

static hio_t *open_udp(hloop_t *loop) {
    /* Looked up before the loop runs, so waiting for it hurts nobody. */
    sockaddr_u addr;
    char ip[SOCKADDR_STRLEN];
    int code = sockaddr_set_ipport(&addr, options.host, options.port);
    if (code != 0) die(1, "nc: %s: %s", options.host, herr_text(code));
    sockaddr_ip(&addr, ip, sizeof ip);
    hio_t *io = options.listens ? hloop_create_udp_server(loop, ip, options.port)
                                : hloop_create_udp_client(loop, ip, options.port);
    if (io != NULL) start_peer(io);
    return io;
}

static hio_t *open_listener(hloop_t *loop) {
    listener = hloop_create_tcp_server(loop, options.host, options.port, on_accept);
    if (listener == NULL) return NULL;
    hio_setcb_close(listener, on_listener_close);
    if (ssl_ctx != NULL) hio_set_ssl_ctx(listener, ssl_ctx);
    return listener;
}

static hio_t *open_client(hloop_t *loop) {
    hio_t *io = hloop_create_tcp_client(loop, options.host, options.port, on_connect,
                                        on_peer_close);
    if (io == NULL) return NULL;
    if (options.timeout_s > 0) hio_set_connect_timeout(io, options.timeout_s * 1000);
    if (ssl_ctx != NULL) {
        hio_set_ssl_ctx(io, ssl_ctx);
        hio_set_hostname(io, options.name != NULL ? options.name : options.host);
    }
    return io;
}

static void make_ssl_ctx(void) {
    hssl_ctx_opt_t opt = {
        .crt_file = options.cert,
        .key_file = options.key,
        .ca_file = options.ca,
        .endpoint = options.listens ? HSSL_SERVER : HSSL_CLIENT,
        .verify_peer = options.is_insecure ? HSSL_VERIFY_NONE : HSSL_VERIFY_DEFAULT,
    };
    if (options.listens && options.cert == NULL) die(2, "nc: --tls with -l needs --cert");
    ssl_ctx = hssl_ctx_new(&opt);
    if (ssl_ctx == NULL) die(1, "nc: %s", hssl_last_error());
}

/* ---- The command line ---- */

enum { OPTION_CERT = 256, OPTION_KEY, OPTION_CA, OPTION_NAME, OPTION_INSECURE };

static void parse_option(int option) {
    switch (option) {
    case 'l': options.listens = 1; break;
    case 'u': options.is_udp = 1; break;
    case 'U': options.is_unix = 1; break;
    case 'S': options.is_tls = 1; break;
    case 'v': options.is_verbose = 1; break;
    case 'w': options.timeout_s = parse_number(optarg, "seconds", 1, 86400); break;
    case OPTION_CERT: options.cert = optarg; break;
    case OPTION_KEY: options.key = optarg; break;
    case OPTION_CA: options.ca = optarg; break;
    case OPTION_NAME: options.name = optarg; break;
    case OPTION_INSECURE: options.is_insecure = 1; break;
    case 'h': fputs(usage, stdout); exit(0);
    default: fputs(usage, stderr); exit(2);
    }
}

static void parse_options(int argc, char **argv) {
    static const struct option names[] = {
        {"tls", no_argument, NULL, 'S'},          {"cert", required_argument, NULL, OPTION_CERT},
        {"key", required_argument, NULL, OPTION_KEY}, {"ca", required_argument, NULL, OPTION_CA},
        {"name", required_argument, NULL, OPTION_NAME},
        {"insecure", no_argument, NULL, OPTION_INSECURE}, {"help", no_argument, NULL, 'h'},
        {NULL, 0, NULL, 0},
    };
    for (int option; (option = getopt_long(argc, argv, "luUSw:vh", names, NULL)) != -1;) {
        parse_option(option);
    }
    int count = argc - optind;
    char **words = argv + optind;
    if (options.is_unix && (options.is_udp || count != 1)) parse_option('?');
    if (options.is_udp && options.is_tls) die(2, "nc: there is no TLS over UDP here");
    if (options.is_unix) {
        if (words[0][0] != '/') die(2, "nc: the path must begin with '/', got \"%s\"", words[0]);
        options.host = words[0];
        return;
    }
    if (count != 2 && !(count == 1 && options.listens)) parse_option('?');
    options.host = count == 2 ? words[0] : "0.0.0.0";
    options.port = parse_number(words[count - 1], "port", options.listens ? 0 : 1, 65535);
}

int main(int argc, char **argv) {
    parse_options(argc, argv);
    if (options.is_tls) make_ssl_ctx();
    hloop_t *loop = new_tool_loop();
    output = hio_get(loop, STDOUT_FILENO);
    if (output == NULL) die(1, "nc: standard output: %s", herr_text(hloop_last_error(loop)));
    hio_setcb_drain(output, on_output_drain);
    hio_setcb_close(output, on_output_close);

    hio_t *io = options.is_udp    ? open_udp(loop)
                : options.listens ? open_listener(loop)
                                  : open_client(loop);
    if (io == NULL) die(1, "nc: %s: %s", options.host, herr_text(hloop_last_error(loop)));
    if (options.listens && options.is_verbose) print_listening(stderr, io);
    hloop_run(loop);
    hloop_free(&loop);
    hssl_ctx_free(ssl_ctx);
    return status;
}
