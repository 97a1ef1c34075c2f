/* fake_mqtt.h - an MQTT broker for tests, on the test's own loop and on a free port of 127.0.0.1.
 * It answers everything as a broker does, and sends what is published back to whoever has
 * published. */
#ifndef FAKE_MQTT_H_
#define FAKE_MQTT_H_

#include "hloop.h"
#include "mqtt_packet.h"

typedef struct fake_mqtt_s {
    hloop_t *loop;
    hio_t *listener;
    hio_t *conn; /* the last one; NULL while there is none */
    int port;
    int version;
    /* How it behaves; may be changed at any time. */
    uint8_t refusal;         /* CONNACK's reason */
    uint8_t session_present; /* from the second connection on */
    uint8_t echoes;
    uint8_t is_silent;       /* answers nothing but CONNECT */
    /* What has come. */
    int connects;
    int reads; /* pieces of the stream */
    int packets[16];
    hbuf_t in;
} fake_mqtt_t;

void fake_mqtt_open(fake_mqtt_t *broker, hloop_t *loop, int version);
/* After the loop is gone. */
void fake_mqtt_free(fake_mqtt_t *broker);
/* Sends a packet over the last connection. */
void fake_mqtt_send(fake_mqtt_t *broker, const mqtt_packet_t *packet);
/* Cuts the last connection off. */
void fake_mqtt_cut(fake_mqtt_t *broker);

#endif
