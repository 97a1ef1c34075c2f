/* mqtt_wire.c - the stream below a client: TCP, a unix socket, or TLS. */
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

int mqtt__wire_open(hmqtt_t *client) {
    const hmqtt_options_t *options = &client->options;
    HV_ASSERT(client->io == NULL);
    hio_t *io = hio_tcp_client(client->loop, options->host, options->port, on_connect, NULL);
    if (io == NULL) return hloop_last_error(client->loop);
    int code = options->transport == HMQTT_TLS ? enable_tls(client, io) : 0;
    if (code != 0) {
        hio_abort(io);
        return code;
    }
    client->io = io;
    client->is_stopped_reading = 0;
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

int mqtt__wire_write(hmqtt_t *client, const void *data, size_t len) {
    HV_ASSERT(client->io != NULL);
    int taken = hio_write(client->io, data, len);
    return taken < 0 ? taken : 0;
}

void mqtt__wire_close(hmqtt_t *client, int is_abrupt) {
    if (client->io == NULL) return;
    if (is_abrupt) {
        hio_abort(client->io);
    } else {
        hio_close(client->io);
    }
}

void mqtt__wire_drop(hmqtt_t *client) {
    hio_t *io = client->io;
    if (io == NULL) return;
    client->io = NULL;
    hio_set_context(io, NULL);
    hio_close(io);
}

void mqtt__wire_read(hmqtt_t *client) {
    if (client->io == NULL || client->phase < MQTT_GREETING || client->phase > MQTT_OPEN) return;
    int rests = client->is_paused || client->is_choked;
    if (rests == client->is_stopped_reading) return;
    client->is_stopped_reading = (uint8_t)rests;
    if (rests) {
        hio_read_stop(client->io);
    } else {
        hio_read(client->io);
    }
}

size_t mqtt__wire_waiting(const hmqtt_t *client) {
    return client->io != NULL ? hio_write_bufsize(client->io) : 0;
}
