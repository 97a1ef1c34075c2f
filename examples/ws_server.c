/* ws_server.c - WebSocket on the C API: an echo, a clock, and a chat by a topic.
 *
 *     cc ws_server.c -o ws_server -lhv && ./ws_server 8888
 *
 * /      every second the time; what the client sends is printed
 * /echo  sends back what it gets
 * /chat  everybody gets what anybody says
 */
#include "hv/htime.h"
#include "hv/hws.h"

static hws_endpoint_t *clock_service, *echo_service, *chat_service;

/* ---- The clock ---- */

static void on_second(htimer_t *timer) {
    char text[DATETIME_FMT_BUFLEN] = {0};
    datetime_t now = datetime_now();
    datetime_fmt(&now, text);
    hws_send(hevent_userdata(timer), HWS_TEXT, text, strlen(text));
}

static void on_clock_open(hws_t *ws) {
    printf("open\n");
    htimer_t *timer = htimer_add(hevent_loop(hws_io(ws)), on_second, 1000, INFINITE);
    hevent_set_userdata(timer, ws);
    hws_set_userdata(ws, timer);
}

static void on_clock_message(hws_t *ws, hws_kind_e kind, const void *data, size_t len) {
    (void)ws;
    (void)kind;
    printf("message: %.*s\n", (int)len, (const char *)data);
}

static void on_clock_close(hws_t *ws) {
    if (hws_userdata(ws) != NULL) htimer_del(hws_userdata(ws));
    printf("closed: %d %s\n", hws_close_code(ws), hws_close_reason(ws));
}

/* ---- The others ---- */

static void on_echo_message(hws_t *ws, hws_kind_e kind, const void *data, size_t len) {
    hws_send(ws, kind, data, len);
}

static void on_chat_open(hws_t *ws) { hws_subscribe(ws, "chat", 4); }

static void on_chat_message(hws_t *ws, hws_kind_e kind, const void *data, size_t len) {
    hws_publish(hws_hub(ws), "chat", 4, kind, data, len, NULL);
}

/* ---- Requests ---- */

static int path_is(hhttp_slice_t path, const char *wanted) {
    return path.len == strlen(wanted) && memcmp(path.data, wanted, path.len) == 0;
}

static void on_request(hhttp_request_t *req, void *userdata) {
    (void)userdata;
    hhttp_slice_t path = hhttp_request_path(req);
    if (path_is(path, "/")) {
        hws_accept(clock_service, req, NULL);
    } else if (path_is(path, "/echo")) {
        hws_accept(echo_service, req, NULL);
    } else if (path_is(path, "/chat")) {
        hws_accept(chat_service, req, NULL);
    } else {
        hhttp_respond(req, 404, "text/plain", "not found\n", 10);
    }
}

int main(int argc, char **argv) {
    setvbuf(stdout, NULL, _IOLBF, 0);
    int port;
    char rest;
    if (argc != 2 || sscanf(argv[1], "%d%c", &port, &rest) != 1) {
        fprintf(stderr, "Usage: %s port\n", argv[0]);
        return 2;
    }
    hloop_t *loop = hloop_new(0);
    hws_hub_t *hub = hws_hub_new(loop);
    hws_options_t echo_options = {.deflate = {.is_on = 1}};
    hws_options_t chat_options = {.message_bytes_max = 4096};
    hws_handlers_t clock_handlers = {
        .on_open = on_clock_open, .on_message = on_clock_message, .on_close = on_clock_close};
    hws_handlers_t echo_handlers = {.on_message = on_echo_message};
    hws_handlers_t chat_handlers = {.on_open = on_chat_open, .on_message = on_chat_message};
    clock_service = hws_endpoint_new(hub, NULL, &clock_handlers);
    echo_service = hws_endpoint_new(hub, &echo_options, &echo_handlers);
    chat_service = hws_endpoint_new(hub, &chat_options, &chat_handlers);

    hhttp_server_t *server = hhttp_server_new(loop, NULL);
    hhttp_server_on_request(server, on_request, NULL);
    if (hhttp_server_listen(server, "0.0.0.0", port, 0) == NULL) {
        fprintf(stderr, "listen: %s\n", herr_text(hloop_last_error(loop)));
        return 1;
    }
    printf("listening on %d\n", port);
    hloop_run(loop);
    hws_hub_free(hub);
    hloop_free(&loop);
    return 0;
}
