#include "fake_mqtt.h"

static void answer(fake_mqtt_t *broker, uint8_t type, uint16_t id) {
    fake_mqtt_send(broker, &(mqtt_packet_t){.type = type, .id = id});
}

/* SUBACK and UNSUBACK: a reason for each filter. */
static void answer_filters(fake_mqtt_t *broker, const mqtt_packet_t *packet) {
    char reasons[64];
    uint32_t at = 0, count = 0;
    hmqtt_bytes_t filter;
    uint8_t options = 0;
    int subscribes = packet->type == HMQTT_SUBSCRIBE;
    while (count < sizeof reasons &&
           mqtt_packet_filter(packet->list, &at, &filter, subscribes ? &options : NULL)) {
        reasons[count++] = (char)(options & 3);
    }
    int has_reasons = subscribes || broker->version >= HMQTT_V5;
    fake_mqtt_send(broker, &(mqtt_packet_t){.type = subscribes ? HMQTT_SUBACK : HMQTT_UNSUBACK,
                                            .id = packet->id,
                                            .list = {reasons, has_reasons ? count : 0}});
}

static void handle(fake_mqtt_t *broker, const mqtt_packet_t *packet) {
    broker->packets[packet->type]++;
    if (packet->type == HMQTT_CONNECT) {
        int had_one = broker->packets[HMQTT_CONNECT] > 1 &&
                      !(packet->connect_flags & MQTT_CLEAN_START);
        fake_mqtt_send(broker,
                       &(mqtt_packet_t){.type = HMQTT_CONNACK,
                                        .reason = broker->refusal,
                                        .session_present = had_one && broker->session_present});
        return;
    }
    if (broker->is_silent) return;
    switch (packet->type) {
    case HMQTT_PUBLISH:
        if (packet->qos > 0) {
            answer(broker, packet->qos == 2 ? HMQTT_PUBREC : HMQTT_PUBACK, packet->id);
        }
        if (broker->echoes) {
            mqtt_packet_t back = *packet;
            back.properties = (hmqtt_block_t){NULL, 0};
            back.dup = 0;
            fake_mqtt_send(broker, &back);
        }
        break;
    case HMQTT_PUBREC: answer(broker, HMQTT_PUBREL, packet->id); break;
    case HMQTT_PUBREL: answer(broker, HMQTT_PUBCOMP, packet->id); break;
    case HMQTT_SUBSCRIBE:
    case HMQTT_UNSUBSCRIBE: answer_filters(broker, packet); break;
    case HMQTT_PINGREQ: answer(broker, HMQTT_PINGRESP, 0); break;
    case HMQTT_DISCONNECT: hio_close(broker->conn); break;
    default: break;
    }
}

static void on_read(hio_t *io, void *data, int len) {
    fake_mqtt_t *broker = hevent_userdata(io);
    if (io != broker->conn) return;
    broker->reads++;
    if (hbuf_append(&broker->in, data, (size_t)len, 1 << 24) != 0) {
        hio_close(io);
        return;
    }
    for (;;) {
        size_t left = hbuf_len(&broker->in);
        long bytes = left > 0 ? mqtt_packet_bytes(hbuf_data(&broker->in), left) : 0;
        if (bytes <= 0 || (size_t)bytes > left) break;
        mqtt_packet_t packet;
        int code =
            mqtt_packet_read(broker->version, hbuf_data(&broker->in), (size_t)bytes, &packet);
        if (code == 0) handle(broker, &packet);
        hbuf_consume(&broker->in, (size_t)bytes);
    }
}

static void on_close(hio_t *io) {
    fake_mqtt_t *broker = hevent_userdata(io);
    if (io == broker->conn) broker->conn = NULL;
}

static void on_accept(hio_t *io) {
    fake_mqtt_t *broker = hevent_userdata(io);
    broker->conn = io;
    broker->connects++;
    hbuf_deinit(&broker->in);
    hio_setcb_read(io, on_read);
    hio_setcb_close(io, on_close);
    hio_read(io);
}

void fake_mqtt_open(fake_mqtt_t *broker, hloop_t *loop, int version) {
    *broker = (fake_mqtt_t){.loop = loop, .version = version};
    broker->listener = hloop_create_tcp_server(loop, "127.0.0.1", 0, on_accept);
    hevent_set_userdata(broker->listener, broker);
    broker->port =
        ntohs(((struct sockaddr_in *)(void *)hio_localaddr(broker->listener))->sin_port);
}

void fake_mqtt_free(fake_mqtt_t *broker) { hbuf_deinit(&broker->in); }

void fake_mqtt_send(fake_mqtt_t *broker, const mqtt_packet_t *packet) {
    hbuf_t out = {0};
    if (broker->conn == NULL) return;
    int code = mqtt_packet_write(&out, 1 << 24, 1 << 24, broker->version, packet);
    if (code == 0) code = hio_write(broker->conn, hbuf_data(&out), hbuf_len(&out)) < 0;
    hbuf_deinit(&out);
    if (code != 0) hio_close(broker->conn);
}

void fake_mqtt_cut(fake_mqtt_t *broker) {
    if (broker->conn != NULL) hio_abort(broker->conn);
}
