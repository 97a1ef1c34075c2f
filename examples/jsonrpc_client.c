/* jsonrpc_client.c - asks a jsonrpc_server one question, prints the answer, and ends.
 *
 *     cc jsonrpc_client.c -o jsonrpc_client -lhv && ./jsonrpc_client 127.0.0.1 1234 add 1 2
 */
#include <getopt.h>

#include "jsonrpc.h"

static const char usage[] = "Usage: jsonrpc_client [-d] host port method param1 param2\n"
                            "\n"
                            "  -d           packets are lines that end with CR LF, without a head\n"
                            "  -h, --help   this text\n"
                            "\n"
                            "Methods are add, sub, mul and div; parameters are numbers.\n";

static int is_delimited, status = 1;
static char request[512];

static void on_recv(hio_t *io, void *buf, int readbytes) {
    json_t body = jsonrpc_body(buf, readbytes, is_delimited);
    printf("< %.*s\n", body.len, body.data);
    status = 0;
    hio_close(io);
}

static void on_close(hio_t *io) {
    printf("on_close fd=%d error=%d\n", hio_fd(io), hio_error(io));
    if (hio_error(io) != 0) fprintf(stderr, "%s\n", herr_text(hio_error(io)));
    hloop_stop(hevent_loop(io));
}

static void on_connect(hio_t *io) {
    printf("on_connect fd=%d\n", hio_fd(io));
    hio_setcb_read(io, on_recv);
    hio_set_unpack(io, is_delimited ? &line_setting : &head_setting);
    hio_read(io);
    printf("> %s\n", request);
    jsonrpc_send(io, request, (int)strlen(request), is_delimited);
}

/* The request needs no escapes: the method is a word, the parameters are numbers. */
static void make_request(const char *method, const char *first, const char *second) {
    double number;
    if (!json_number((json_t){first, (int)strlen(first)}, &number) ||
        !json_number((json_t){second, (int)strlen(second)}, &number)) {
        die(2, "parameters must be numbers, got \"%s\" and \"%s\"", first, second);
    }
    size_t len = strspn(method, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.");
    if (len == 0 || len > 64 || method[len] != '\0') die(2, "no such method: \"%s\"", method);
    snprintf(request, sizeof request, "{\"id\":1,\"method\":\"%s\",\"params\":[%s,%s]}", method,
             first, second);
}

int main(int argc, char **argv) {
    static const struct option names[] = {{"help", no_argument, NULL, 'h'}, {NULL, 0, NULL, 0}};
    /* "+": a negative parameter is no option. */
    for (int option; (option = getopt_long(argc, argv, "+dh", names, NULL)) != -1;) {
        switch (option) {
        case 'd': is_delimited = 1; break;
        case 'h': fputs(usage, stdout); return 0;
        default: fputs(usage, stderr); return 2;
        }
    }
    if (argc - optind != 5) {
        fputs(usage, stderr);
        return 2;
    }
    setvbuf(stdout, NULL, _IOLBF, 0);
    char **words = argv + optind;
    int port = parse_number(words[1], "port", 1, 65535);
    make_request(words[2], words[3], words[4]);
    hloop_t *loop = new_tool_loop();
    hio_t *io = hloop_create_tcp_client(loop, words[0], port, on_connect, on_close);
    if (io == NULL) die(1, "%s:%d: %s", words[0], port, herr_text(hloop_last_error(loop)));
    hloop_run(loop);
    hloop_free(&loop);
    return status;
}
