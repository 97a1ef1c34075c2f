/* mqtt_wire.c - the stream below a client: TCP, a unix socket, TLS, or a WebSocket, whose messages
 * are pieces of the stream: a packet may be in several, and several in one (5 6). */
#include "mqtt_int.h"

static void on_connect(hio_t *io) {
    hmqtt_t *client = hio_context(io);
    if (client == NULL) return;
    hio_read(io);
    mqtt__on_open(client);
}

static void on_read(hio_t *io, void *data, int len) {
    hmqtt_t *client = hio_context(io);
    if (client != NULL) mqtt__feed(client, data, (size_t)len);
}

static void on_drain(hio_t *io) {
    hmqtt_t *client = hio_context(io);
    if (client != NULL) mqtt__on_drain(client);
}

static void on_close(hio_t *io) {
    hmqtt_t *client = hio_context(io);
    if (client == NULL) return;
    HV_ASSERT(client->io == io);
    client->io = NULL;
    mqtt__on_closed(client, hio_error(io));
}

static int enable_tls(const hmqtt_t *client, hio_t *io) {
    const hmqtt_options_t *options = &client->options;
    int code = options->ssl_ctx != NULL ? hio_set_ssl_ctx(io, options->ssl_ctx)
                                        : hio_enable_ssl(io);
    const char *name = options->ssl_name != NULL ? options->ssl_name : options->host;
    return code == 0 && name[0] != '/' ? hio_set_hostname(io, name) : code;
}

static int open_io(hmqtt_t *client) {
    const hmqtt_options_t *options = &client->options;
    hio_t *io = hio_tcp_client(client->loop, options->host, options->port, on_connect, NULL);
    if (io == NULL) return hloop_last_error(client->loop);
    int code = options->transport == HMQTT_TLS ? enable_tls(client, io) : 0;
    if (code != 0) {
        hio_abort(io);
        return code;
    }
    client->io = io;
    hio_set_context(io, client);
    hio_setcb_read(io, on_read);
    hio_setcb_drain(io, on_drain);
    hio_setcb_close(io, on_close);
    hio_set_connect_timeout(io, (int)options->connect_timeout_ms);
    hio_set_close_timeout(io, MQTT_CLOSE_MS);
    hio_set_write_high(io, options->write_high);
    hio_set_max_write_bufsize(io, MQTT_OUT_MAX);
    return 0;
}

/* ---- WebSockets ---- */

static void on_ws_open(hws_t *ws) {
    hmqtt_t *client = hws_userdata(ws);
    if (client == NULL) return;
    mqtt__wire_set_ref(client);
    mqtt__on_open(client);
}

static void on_ws_message(hws_t *ws, hws_kind_e kind, const void *data, size_t len) {
    hmqtt_t *client = hws_userdata(ws);
    if (client == NULL) return;
    if (kind == HWS_BINARY) {
        mqtt__feed(client, data, len);
    } else {
        mqtt__fail(client, EPROTO, HMQTT_PROTOCOL_ERROR); /* 5 6: text is none of it */
    }
}

static void on_ws_drain(hws_t *ws) {
    hmqtt_t *client = hws_userdata(ws);
    if (client != NULL) mqtt__on_drain(client);
}

static void on_ws_close(hws_t *ws) {
    hmqtt_t *client = hws_userdata(ws);
    if (client == NULL) return;
    HV_ASSERT(client->ws == ws);
    client->ws = NULL;
    mqtt__on_closed(client, -hws_error(ws));
}

static int is_ws(const hmqtt_t *client) { return client->options.transport >= HMQTT_WS; }

int mqtt__wire_init(hmqtt_t *client) {
    if (!is_ws(client)) return 0;
    static const hws_handlers_t handlers = {.on_open = on_ws_open,
                                            .on_message = on_ws_message,
                                            .on_drain = on_ws_drain,
                                            .on_close = on_ws_close};
    /* Silence is for MQTT to judge. */
    hws_options_t options = {.message_bytes_max = (uint64_t)client->options.packet_max * 2 +
                                                  MQTT_SLACK_BYTES,
                             .ping_interval_ms = INFINITE,
                             .close_timeout_ms = MQTT_CLOSE_MS,
                             .write_high = client->options.write_high,
                             .write_max = MQTT_OUT_MAX,
                             .protocols = "mqtt"};
    client->hub = hws_hub_new(client->loop);
    if (client->hub == NULL) return hloop_last_error(client->loop);
    client->endpoint = hws_endpoint_new(client->hub, &options, &handlers);
    return client->endpoint != NULL ? 0 : hloop_last_error(client->loop);
}

void mqtt__wire_deinit(hmqtt_t *client) {
    hws_hub_free(client->hub);
    client->hub = NULL;
}

static int open_ws(hmqtt_t *client) {
    const hmqtt_options_t *options = &client->options;
    char url[2048];
    int is_v6 = strchr(options->host, ':') != NULL;
    int len = snprintf(url, sizeof url, "%s://%s%s%s:%d%s%s",
                       options->transport == HMQTT_WSS ? "wss" : "ws", is_v6 ? "[" : "",
                       options->host, is_v6 ? "]" : "", options->port,
                       options->path[0] == '/' ? "" : "/", options->path);
    if (len >= (int)sizeof url) return HV_ELIMIT;
    hws_connect_t connect = {.url = url,
                             .timeout_ms = options->connect_timeout_ms,
                             .ssl = options->ssl_ctx,
                             .server_name = options->ssl_name};
    client->ws = hws_connect(client->endpoint, &connect, client);
    return client->ws != NULL ? 0 : hloop_last_error(client->loop);
}

/* ---- Either ---- */

void mqtt__wire_set_ref(hmqtt_t *client) {
    hio_t *io = hmqtt_io(client);
    if (io != NULL && client->is_loose) hevent_unref(io);
    if (io != NULL && !client->is_loose) hevent_ref(io);
}

int mqtt__wire_open(hmqtt_t *client) {
    HV_ASSERT(!mqtt__wire_is_there(client));
    client->is_stopped_reading = 0;
    int code = is_ws(client) ? open_ws(client) : open_io(client);
    if (code == 0 && client->is_loose) mqtt__wire_set_ref(client);
    return code;
}

int mqtt__wire_write(hmqtt_t *client, const void *data, size_t len) {
    HV_ASSERT(mqtt__wire_is_there(client));
    int code = client->ws != NULL ? hws_send(client->ws, HWS_BINARY, data, len)
                                  : hio_write(client->io, data, len);
    return code < 0 && code != HV_EAGAIN ? code : 0; /* EAGAIN: taken, and on_drain follows */
}

void mqtt__wire_close(hmqtt_t *client, int is_abrupt) {
    if (client->ws != NULL && is_abrupt) {
        hws_abort(client->ws);
    } else if (client->ws != NULL) {
        hws_close(client->ws, HWS_NORMAL, NULL);
    } else if (client->io != NULL && is_abrupt) {
        hio_abort(client->io);
    } else if (client->io != NULL) {
        hio_close(client->io);
    }
}

void mqtt__wire_drop(hmqtt_t *client) {
    hio_t *io = client->io;
    hws_t *ws = client->ws;
    client->io = NULL;
    client->ws = NULL;
    if (io != NULL) {
        hio_set_context(io, NULL);
        hio_close(io);
    }
    if (ws != NULL) {
        hws_set_userdata(ws, NULL);
        hws_abort(ws);
    }
}

void mqtt__wire_read(hmqtt_t *client) {
    if (!mqtt__wire_is_there(client)) return;
    if (client->phase != MQTT_GREETING && client->phase != MQTT_OPEN) return;
    int rests = client->is_paused || client->is_choked;
    if (rests == client->is_stopped_reading) return;
    client->is_stopped_reading = (uint8_t)rests;
    if (client->ws != NULL && rests) {
        hws_pause(client->ws);
    } else if (client->ws != NULL) {
        hws_resume(client->ws);
    } else if (rests) {
        hio_read_stop(client->io);
    } else {
        hio_read(client->io);
    }
}

size_t mqtt__wire_waiting(const hmqtt_t *client) {
    if (client->ws != NULL) return hws_write_bufsize(client->ws);
    return client->io != NULL ? hio_write_bufsize(client->io) : 0;
}
