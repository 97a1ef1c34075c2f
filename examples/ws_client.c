/* ws_client.c - connects to a WebSocket server, says hello, prints what comes, and connects again
 * whenever it is cut off: after 1, 2, 4, 8, 10, 10 ... seconds.
 *
 *     cc ws_client.c -o ws_client -lhv && ./ws_client ws://127.0.0.1:8888/
 */
#include "hv/hclient.h"
#include "hv/hws.h"

static hws_endpoint_t *endpoint;
static const char *url;
static reconn_setting_t reconnect = {
    .min_delay = 1000, .max_delay = 10000, .delay_policy = RECONN_DELAY_EXPONENTIAL};

static void open_now(void) {
    hws_connect_t options = {.url = url};
    if (hws_connect(endpoint, &options, NULL) != NULL) return;
    fprintf(stderr, "connect %s: not a WebSocket URL\n", url);
    exit(1);
}

static void on_timer(htimer_t *timer) {
    (void)timer;
    open_now();
}

static void on_open(hws_t *ws) {
    reconnect.cur_delay = reconnect.cur_retry_cnt = 0;
    printf("open\n");
    hws_send(ws, HWS_TEXT, "hello", 5);
}

static void on_message(hws_t *ws, hws_kind_e kind, const void *data, size_t len) {
    (void)ws;
    if (kind == HWS_TEXT) {
        printf("message: %.*s\n", (int)len, (const char *)data);
    } else {
        printf("message of %zu bytes\n", len);
    }
}

static void on_close(hws_t *ws) {
    const char *why = hws_problem(ws);
    if (why == NULL && hws_error(ws) != 0) why = herr_text(hws_error(ws));
    printf("closed: %d %s\n", hws_close_code(ws), why != NULL ? why : hws_close_reason(ws));
    uint32_t delay_ms = reconn_setting_calc_delay(&reconnect);
    htimer_add(hws_endpoint_userdata(endpoint), on_timer, delay_ms, 1);
}

int main(int argc, char **argv) {
    setvbuf(stdout, NULL, _IOLBF, 0);
    if (argc != 2 || argv[1][0] == '-') {
        fprintf(stderr, "Usage: %s url\n", argv[0]);
        return 2;
    }
    url = argv[1];
    hloop_t *loop = hloop_new(0);
    hws_hub_t *hub = hws_hub_new(loop);
    hws_handlers_t handlers = {.on_open = on_open, .on_message = on_message, .on_close = on_close};
    endpoint = hws_endpoint_new(hub, NULL, &handlers);
    hws_endpoint_set_userdata(endpoint, loop);
    open_now();
    hloop_run(loop);
    hws_hub_free(hub);
    hloop_free(&loop);
    return 0;
}
