/* jsonrpc_server.c - answers {"id":1,"method":"add","params":[1,2]} with {"id":1,"result":3}.
 *
 *     cc jsonrpc_server.c -o jsonrpc_server -lhv && ./jsonrpc_server 1234
 *     ./jsonrpc_client 127.0.0.1 1234 add 1 2
 *
 * hio_set_unpack cuts the stream: on_recv gets one whole request at a time, however it came. */
#include <getopt.h>
#include <math.h>

#include "jsonrpc.h"

static const char usage[] = "Usage: jsonrpc_server [-d] port\n"
                            "\n"
                            "  -d           packets are lines that end with CR LF, without a head\n"
                            "  -h, --help   this text\n";

static int is_delimited;

/* ---- Methods: 0, or no result ---- */

static int do_add(double a, double b, double *result) { return (*result = a + b, 0); }
static int do_sub(double a, double b, double *result) { return (*result = a - b, 0); }
static int do_mul(double a, double b, double *result) { return (*result = a * b, 0); }

static int do_div(double a, double b, double *result) {
    if (b == 0) return -1;
    *result = a / b;
    return 0;
}

static const struct {
    const char *name;
    int (*run)(double a, double b, double *result);
} methods[] = {{"add", do_add}, {"sub", do_sub}, {"mul", do_mul}, {"div", do_div}};

/* ---- Requests ---- */

/* The params as two numbers. Returns 1, or 0 where they are not. */
static int get_params(json_t request, double *a, double *b) {
    json_t rest = json_inside(json_member(request, "params"), '[', ']');
    if (rest.data == NULL) return 0;
    return json_number(json_next(&rest), a) && json_number(json_next(&rest), b) && rest.len == 0;
}

/* Writes {"id":...,"error":{...}}, or the result. Returns its length. */
static int answer(char *out, size_t size, json_t id, int code, double result) {
    int len = snprintf(out, size, "{");
    /* An id may be any value; one too long to be sensible is left out. */
    if (id.data != NULL && id.len <= 256) {
        len += snprintf(out + len, size - (size_t)len, "\"id\":%.*s,", id.len, id.data);
    }
    char *at = out + len;
    size_t room = size - (size_t)len;
    if (code == 0) return len + snprintf(at, room, "\"result\":%.15g}", result);
    return len + snprintf(at, room, "\"error\":{\"code\":%d,\"message\":\"%s\"}}", code,
                          code == 404 ? "Not Found" : "Bad Request");
}

/* Returns the error's code, or 0 with the result. */
static int call(json_t request, double *result) {
    json_t method = json_member(request, "method");
    if (method.data == NULL || method.len < 2 || method.data[0] != '"') return 400;
    for (size_t i = 0; i < sizeof methods / sizeof methods[0]; i++) {
        size_t len = strlen(methods[i].name);
        if ((size_t)method.len != len + 2) continue;
        if (memcmp(method.data + 1, methods[i].name, len) != 0) continue;
        double a, b;
        if (!get_params(request, &a, &b) || methods[i].run(a, b, result) != 0) return 400;
        return isfinite(*result) ? 0 : 400; /* JSON has no infinity */
    }
    return 404;
}

static void on_recv(hio_t *io, void *buf, int readbytes) {
    json_t request = jsonrpc_body(buf, readbytes, is_delimited);
    printf("> %.*s\n", request.len, request.data);
    double result = 0;
    int code = call(request, &result);
    char text[512];
    int len = answer(text, sizeof text, json_member(request, "id"), code, result);
    printf("< %.*s\n", len, text);
    jsonrpc_send(io, text, len, is_delimited);
}

static void on_close(hio_t *io) {
    printf("on_close fd=%d error=%d\n", hio_fd(io), hio_error(io));
}

static void on_accept(hio_t *io) {
    printf("on_accept connfd=%d\n", hio_fd(io));
    hio_setcb_close(io, on_close);
    hio_setcb_read(io, on_recv);
    hio_set_unpack(io, is_delimited ? &line_setting : &head_setting);
    hio_read(io);
}

int main(int argc, char **argv) {
    static const struct option names[] = {{"help", no_argument, NULL, 'h'}, {NULL, 0, NULL, 0}};
    for (int option; (option = getopt_long(argc, argv, "dh", names, NULL)) != -1;) {
        switch (option) {
        case 'd': is_delimited = 1; break;
        case 'h': fputs(usage, stdout); return 0;
        default: fputs(usage, stderr); return 2;
        }
    }
    if (argc - optind != 1) {
        fputs(usage, stderr);
        return 2;
    }
    setvbuf(stdout, NULL, _IOLBF, 0);
    int port = parse_number(argv[optind], "port", 0, 65535);
    hloop_t *loop = new_tool_loop();
    hio_t *listener = hloop_create_tcp_server(loop, "0.0.0.0", port, on_accept);
    if (listener == NULL) die(1, "listen: %s", herr_text(hloop_last_error(loop)));
    printf("listenfd=%d\n", hio_fd(listener));
    print_listening(stdout, listener);
    hloop_run(loop);
    hloop_free(&loop);
    return 0;
}
