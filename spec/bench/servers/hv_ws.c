/* hv_ws.c PORT - WebSocket echo on the C API. */
#include "hws.h"

static void on_message(hws_t *ws, hws_kind_e kind, const void *data, size_t len) {
    hws_send(ws, kind, data, len);
}

static void on_request(hhttp_request_t *req, void *userdata) { hws_accept(userdata, req, NULL); }

int main(int argc, char **argv) {
    if (argc < 2) return 2;
    hloop_t *loop = hloop_new(0);
    hws_hub_t *hub = hws_hub_new(loop);
    hws_handlers_t handlers = {.on_message = on_message};
    hhttp_server_t *server = hhttp_server_new(loop, NULL);
    hhttp_server_on_request(server, on_request, hws_endpoint_new(hub, NULL, &handlers));
    if (hhttp_server_listen(server, "127.0.0.1", atoi(argv[1]), 0) == NULL) return 1;
    hloop_run(loop);
    return 0;
}
