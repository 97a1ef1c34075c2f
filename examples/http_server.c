/* http_server.c - an HTTP server with the usual kinds of answers, on the C API.
 *
 *     cc http_server.c -o http_server -lhv && ./http_server 8080 public
 *     curl -v http://127.0.0.1:8080/ping
 *     curl -v 'http://127.0.0.1:8080/query?name=Ann+Lee&x=%41'
 *     curl -v http://127.0.0.1:8080/upload -F file=@big.iso
 *     curl -v http://127.0.0.1:8080/numbers/1000000
 *     curl -v http://127.0.0.1:8080/files/
 *
 * Neither an upload nor the numbers need more memory for more bytes: the first is read piece by
 * piece, the others are made when the peer has room for them. */
#include "hv/hhttp.h"
#include "hv/hhttp_files.h"
#include "hv/hloop.h"
#include "hv/hmultipart.h"

#define NUMBERS_MAX 10000000

static hhttp_files_t *public_files; /* NULL: no directory has been given */

typedef void (*answer_fn)(hhttp_request_t *req, const hhttp_route_match_t *match);

static void answer_ping(hhttp_request_t *req, const hhttp_route_match_t *match) {
    (void)match;
    hhttp_respond(req, 200, "text/plain", "pong", 4);
}

static void answer_data(hhttp_request_t *req, const hhttp_route_match_t *match) {
    (void)match;
    hhttp_respond(req, 200, "application/octet-stream", "0123456789", 10);
}

static void answer_paths(hhttp_request_t *req, const hhttp_route_match_t *match);

/* The body may still be on its way: then on_body is called when it is complete. */
static void on_body(hhttp_request_t *req, int error) {
    if (error != 0) return; /* the server has refused it, or the peer is gone */
    hhttp_slice_t body = hhttp_request_body(req);
    hhttp_slice_t type = hhttp_request_header(req, "Content-Type", 12);
    hhttp_header_t header = {{"Content-Type", 12}, type};
    hhttp_respond_with(req, 200, &header, type.data != NULL, body.data, body.len);
}

static void answer_echo(hhttp_request_t *req, const hhttp_route_match_t *match) {
    (void)match;
    if (hhttp_request_collect_body(req, on_body) == 1) on_body(req, 0);
}

/* Values of the path; a real program would escape them for JSON. */
static void answer_user(hhttp_request_t *req, const hhttp_route_match_t *match) {
    char text[512];
    int len = 0;
    for (int i = 0; i < match->param_count; i++) {
        hhttp_slice_t name = match->params[i].name, value = match->params[i].value;
        if (value.len > 100) value.len = 100;
        len += snprintf(text + len, sizeof text - (size_t)len, "%.*s=%.*s\n", (int)name.len,
                        name.data, (int)value.len, value.data);
    }
    hhttp_respond(req, 200, "text/plain", text, (size_t)len);
}

/* Pairs of the query, decoded: "/query?name=Ann+Lee&x=%41". */
static void answer_query(hhttp_request_t *req, const hhttp_route_match_t *match) {
    (void)match;
    char text[512];
    size_t len = 0, cursor = 0;
    hhttp_query_pair_t pair;
    while (hhttp_query_next(hhttp_request_query(req), &cursor, &pair)) {
        long name = hhttp_query_decode(pair.name, text + len, sizeof text - len - 2);
        if (name < 0) break;
        len += (size_t)name;
        text[len++] = ':';
        long value = hhttp_query_decode(pair.value, text + len, sizeof text - len - 1);
        if (value < 0) break;
        len += (size_t)value;
        text[len++] = '\n';
        if (len + 2 >= sizeof text) break;
    }
    hhttp_respond(req, 200, "text/plain", text, len);
}

/* ---- Files ---- */

static void answer_file(hhttp_request_t *req, const hhttp_route_match_t *match) {
    if (public_files == NULL) {
        hhttp_respond(req, 404, "text/plain", "no directory is served\n", 23);
    } else {
        hhttp_files_serve(public_files, req, match->params[0].value, NULL);
    }
}

/* ---- An upload, piece by piece ---- */

typedef struct upload_s {
    hmultipart_t *form;
    unsigned long long file_bytes;
    int file_count;
} upload_t;

/* Takes a piece of the body apart. Returns 0, or a code where it is no form. */
static int parse_piece(upload_t *upload, hhttp_slice_t piece) {
    while (piece.len > 0) {
        size_t used;
        hhttp_slice_t data;
        int event = hmultipart_next(upload->form, piece.data, piece.len, &used, &data);
        if (event < 0) return event;
        int is_file = hmultipart_filename(upload->form).data != NULL;
        if (event == HMULTIPART_PART && is_file) upload->file_count++;
        if (event == HMULTIPART_DATA && is_file) upload->file_bytes += data.len;
        piece.data += used;
        piece.len -= used;
    }
    return 0;
}

static void end_upload(hhttp_request_t *req, upload_t *upload, int is_form) {
    char text[64];
    int len = snprintf(text, sizeof text, "files=%d\nbytes=%llu\n", upload->file_count,
                       upload->file_bytes);
    if (is_form && hmultipart_has_ended(upload->form)) {
        hhttp_respond(req, 200, "text/plain", text, (size_t)len);
    } else {
        hhttp_respond(req, 400, "text/plain", "bad form\n", 9);
    }
    hmultipart_free(upload->form);
    free(upload);
}

/* What has arrived is there at once; for more on_piece is called again. An error tells that there
 * is nobody left to answer: the server has refused the request, or the peer is gone. */
static void on_piece(hhttp_request_t *req, hhttp_slice_t piece, int error) {
    upload_t *upload = hhttp_request_userdata(req);
    while (error == 0) {
        if (piece.len == 0 || parse_piece(upload, piece) != 0) {
            end_upload(req, upload, piece.len == 0);
            return;
        }
        int result = hhttp_request_read_body(req, &piece, on_piece);
        if (result == 0) return;
        error = result < 0 ? result : 0;
    }
    hmultipart_free(upload->form);
    free(upload);
}

static void answer_upload(hhttp_request_t *req, const hhttp_route_match_t *match) {
    (void)match;
    hhttp_slice_t boundary, piece;
    if (hmultipart_boundary(hhttp_request_header(req, "Content-Type", 12), &boundary) != 0) {
        hhttp_respond(req, 415, "text/plain", "multipart/form-data, please\n", 28);
        return;
    }
    upload_t *upload = calloc(1, sizeof *upload);
    if (upload != NULL) upload->form = hmultipart_new(boundary, NULL);
    if (upload == NULL || upload->form == NULL) {
        free(upload);
        hhttp_request_refuse(req, 503);
        return;
    }
    hhttp_request_set_userdata(req, upload);
    hhttp_request_set_body_max(req, UINT64_MAX);
    int result = hhttp_request_read_body(req, &piece, on_piece);
    if (result != 0) on_piece(req, piece, result < 0 ? result : 0);
}

/* ---- A long answer, as fast as the peer takes it ---- */

typedef struct numbers_s {
    int next;
    int count;
} numbers_t;

static void on_abort(hhttp_request_t *req, void *userdata) {
    (void)req;
    free(userdata);
}

/* Writes until the queue is above its high-water mark; called again when it has drained. Where a
 * write fails the peer is gone, and on_abort comes. */
static void write_numbers(hhttp_request_t *req, void *userdata) {
    numbers_t *numbers = userdata;
    while (numbers->next <= numbers->count) {
        char line[16];
        int len = snprintf(line, sizeof line, "%d\n", numbers->next++);
        if (hhttp_response_write(req, line, (size_t)len) != 0) return;
    }
    if (hhttp_response_end(req) == 0) free(numbers);
}

static void answer_numbers(hhttp_request_t *req, const hhttp_route_match_t *match) {
    static const hhttp_header_t type = {{"Content-Type", 12}, {"text/plain", 10}};
    char count[16];
    hhttp_slice_t value = match->params[0].value;
    snprintf(count, sizeof count, "%.*s", (int)(value.len < 15 ? value.len : 15), value.data);
    numbers_t *numbers = calloc(1, sizeof *numbers);
    if (numbers == NULL) {
        hhttp_request_refuse(req, 503);
        return;
    }
    numbers->next = 1;
    numbers->count = atoi(count);
    if (numbers->count > NUMBERS_MAX) numbers->count = NUMBERS_MAX;
    hhttp_request_on_abort(req, on_abort, numbers);
    hhttp_response_on_drain(req, write_numbers, numbers);
    if (hhttp_response_begin(req, 200, &type, 1, -1) == 0) write_numbers(req, numbers);
}

/* ---- Routes ---- */

static const struct {
    hhttp_method_e method;
    const char *path;
    answer_fn answer;
} routes[] = {
    {HHTTP_GET, "/ping", answer_ping},
    {HHTTP_GET, "/data", answer_data},
    {HHTTP_GET, "/paths", answer_paths},
    {HHTTP_GET, "/query", answer_query},
    {HHTTP_POST, "/echo", answer_echo},
    {HHTTP_DELETE, "/group/:group_name/user/:user_id", answer_user},
    {HHTTP_POST, "/upload", answer_upload},
    {HHTTP_GET, "/numbers/:count", answer_numbers},
    {HHTTP_GET, "/files/*path", answer_file},
};

#define ROUTE_COUNT (sizeof routes / sizeof routes[0])

static void answer_paths(hhttp_request_t *req, const hhttp_route_match_t *match) {
    (void)match;
    char text[512];
    int len = 0;
    for (size_t i = 0; i < ROUTE_COUNT; i++) {
        len += snprintf(text + len, sizeof text - (size_t)len, "%s\"%s\"", i == 0 ? "[" : ",",
                        routes[i].path);
    }
    len += snprintf(text + len, sizeof text - (size_t)len, "]");
    hhttp_respond(req, 200, "application/json", text, (size_t)len);
}

static void on_request(hhttp_request_t *req, void *userdata) {
    hhttp_router_t *router = userdata;
    hhttp_route_match_t match;
    hhttp_slice_t path = hhttp_request_path(req);
    if (hhttp_router_match(router, hhttp_request_method(req), path.data, path.len, &match) == 0) {
        routes[match.route].answer(req, &match);
    } else if (match.allow_mask != 0) {
        hhttp_respond(req, 405, "text/plain", "method not allowed\n", 19);
    } else {
        hhttp_respond(req, 404, "text/plain", "not found\n", 10);
    }
}

int main(int argc, char **argv) {
    int port = 8080;
    char rest;
    if (argc > 3 || (argc > 1 && sscanf(argv[1], "%d%c", &port, &rest) != 1)) {
        fprintf(stderr, "Usage: %s [port [folder]]\n", argv[0]);
        return 2;
    }
    hloop_t *loop = hloop_new(0);
    if (argc > 2) {
        public_files = hhttp_files_new(loop, argv[2], NULL);
        if (public_files == NULL) {
            fprintf(stderr, "%s: %s\n", argv[2], herr_text(hloop_last_error(loop)));
            return 1;
        }
    }
    hhttp_router_t *router = hhttp_router_new();
    for (size_t i = 0; i < ROUTE_COUNT; i++) {
        hhttp_router_add(router, routes[i].method, routes[i].path, strlen(routes[i].path),
                         (uint32_t)i);
    }
    hhttp_server_t *server = hhttp_server_new(loop, NULL);
    hhttp_server_on_request(server, on_request, router);
    if (hhttp_server_listen(server, "0.0.0.0", port, 0) == NULL) {
        fprintf(stderr, "listen: %s\n", herr_text(hloop_last_error(loop)));
        return 1;
    }
    printf("listening, try: curl -v http://127.0.0.1:%d/ping\n", port);
    fflush(stdout);
    hloop_run(loop);
    hhttp_server_close(server, 0, NULL, NULL);
    hloop_free(&loop);
    hhttp_router_free(router);
    if (public_files != NULL) hhttp_files_free(public_files);
    return 0;
}
