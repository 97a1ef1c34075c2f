/* http_server.c - an HTTP server with the usual kinds of answers, on the C API.
 *
 *     cc http_server.c -o http_server -lhv && ./http_server 8080
 *     curl -v http://127.0.0.1:8080/ping
 */
#include "hv/hhttp.h"
#include "hv/hloop.h"

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

static const struct {
    hhttp_method_e method;
    const char *path;
    answer_fn answer;
} routes[] = {
    {HHTTP_GET, "/ping", answer_ping},
    {HHTTP_GET, "/data", answer_data},
    {HHTTP_GET, "/paths", answer_paths},
    {HHTTP_POST, "/echo", answer_echo},
    {HHTTP_DELETE, "/group/:group_name/user/:user_id", answer_user},
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
    int port = argc > 1 ? atoi(argv[1]) : 8080;
    hloop_t *loop = hloop_new(0);
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
    return 0;
}
