/* mqtt_packet_write.c - writes packets: first the length of the rest, which stands before it, then
 * one reserve, then the bytes. */
#include "mqtt_packet.h"

#include "hassert.h"

static uint8_t *put_byte(uint8_t *at, uint8_t value) {
    *at = value;
    return at + 1;
}

static uint8_t *put_two(uint8_t *at, uint16_t value) {
    at[0] = (uint8_t)(value >> 8);
    at[1] = (uint8_t)value;
    return at + 2;
}

static uint8_t *put_raw(uint8_t *at, hmqtt_bytes_t bytes) {
    if (bytes.len > 0) memcpy(at, bytes.data, bytes.len);
    return at + bytes.len;
}

static uint8_t *put_bytes(uint8_t *at, hmqtt_bytes_t bytes) {
    HV_DASSERT(bytes.len <= UINT16_MAX);
    return put_raw(put_two(at, (uint16_t)bytes.len), bytes);
}

static uint8_t *put_block(uint8_t *at, int version, hmqtt_block_t block) {
    if (version < HMQTT_V5) return at;
    at += mqtt_varint_put(at, block.len);
    return put_raw(at, block);
}

static size_t block_bytes(int version, hmqtt_block_t block) {
    return version < HMQTT_V5 ? 0 : mqtt_varint_bytes(block.len) + (size_t)block.len;
}

/* ---- CONNECT ---- */

static hmqtt_bytes_t protocol_name(int version) {
    return version == HMQTT_V31 ? HMQTT_TEXT("MQIsdp") : HMQTT_TEXT("MQTT");
}

static size_t connect_bytes(const mqtt_packet_t *packet) {
    int version = packet->version;
    size_t sum = 2 + protocol_name(version).len + 4 + block_bytes(version, packet->properties) +
                 2 + packet->client_id.len;
    if (packet->connect_flags & MQTT_HAS_WILL) {
        sum += block_bytes(version, packet->will_properties) + 2 + packet->topic.len + 2 +
               packet->payload.len;
    }
    if (packet->connect_flags & MQTT_HAS_USERNAME) sum += 2 + (size_t)packet->username.len;
    if (packet->connect_flags & MQTT_HAS_PASSWORD) sum += 2 + (size_t)packet->password.len;
    return sum;
}

static uint8_t *put_connect(uint8_t *at, const mqtt_packet_t *packet) {
    at = put_bytes(at, protocol_name(packet->version));
    at = put_byte(at, packet->version);
    at = put_byte(at, packet->connect_flags);
    at = put_two(at, packet->keepalive_s);
    at = put_block(at, packet->version, packet->properties);
    at = put_bytes(at, packet->client_id);
    if (packet->connect_flags & MQTT_HAS_WILL) {
        at = put_block(at, packet->version, packet->will_properties);
        at = put_bytes(at, packet->topic);
        at = put_bytes(at, packet->payload);
    }
    if (packet->connect_flags & MQTT_HAS_USERNAME) at = put_bytes(at, packet->username);
    if (packet->connect_flags & MQTT_HAS_PASSWORD) at = put_bytes(at, packet->password);
    return at;
}

/* ---- Reasons that may be left out ---- */

static size_t reason_bytes(int version, const mqtt_packet_t *packet) {
    if (version < HMQTT_V5) return 0;
    if (packet->properties.len > 0) return 1 + block_bytes(version, packet->properties);
    return packet->reason != 0;
}

static uint8_t *put_reason(uint8_t *at, int version, const mqtt_packet_t *packet) {
    size_t bytes = reason_bytes(version, packet);
    if (bytes > 0) at = put_byte(at, packet->reason);
    return bytes > 1 ? put_block(at, version, packet->properties) : at;
}

/* ---- All of them ---- */

static size_t body_bytes(int version, const mqtt_packet_t *packet) {
    switch (packet->type) {
    case HMQTT_CONNECT: return connect_bytes(packet);
    case HMQTT_CONNACK: return 2 + block_bytes(version, packet->properties);
    case HMQTT_PUBACK:
    case HMQTT_PUBREC:
    case HMQTT_PUBREL:
    case HMQTT_PUBCOMP: return 2 + reason_bytes(version, packet);
    case HMQTT_SUBSCRIBE:
    case HMQTT_SUBACK:
    case HMQTT_UNSUBSCRIBE:
    case HMQTT_UNSUBACK: return 2 + block_bytes(version, packet->properties) + packet->list.len;
    case HMQTT_DISCONNECT:
    case HMQTT_AUTH: return reason_bytes(version, packet);
    default: return 0;
    }
}

static uint8_t *put_body(uint8_t *at, int version, const mqtt_packet_t *packet) {
    switch (packet->type) {
    case HMQTT_CONNECT: return put_connect(at, packet);
    case HMQTT_CONNACK:
        at = put_byte(at, packet->session_present);
        at = put_byte(at, packet->reason);
        return put_block(at, version, packet->properties);
    case HMQTT_PUBACK:
    case HMQTT_PUBREC:
    case HMQTT_PUBREL:
    case HMQTT_PUBCOMP: return put_reason(put_two(at, packet->id), version, packet);
    case HMQTT_SUBSCRIBE:
    case HMQTT_SUBACK:
    case HMQTT_UNSUBSCRIBE:
    case HMQTT_UNSUBACK:
        at = put_block(put_two(at, packet->id), version, packet->properties);
        return put_raw(at, packet->list);
    case HMQTT_DISCONNECT:
    case HMQTT_AUTH: return put_reason(at, version, packet);
    default: return at;
    }
}

/* Makes room for a packet whose rest has `rest` bytes. Returns 0 or a code. */
static int make_room(hbuf_t *out, size_t out_max, uint32_t packet_max, size_t rest) {
    if (rest > MQTT_REST_MAX) return HV_ELIMIT;
    size_t total = 1 + mqtt_varint_bytes((uint32_t)rest) + rest;
    return total > packet_max ? HV_ELIMIT : hbuf_reserve(out, total, out_max);
}

int mqtt_packet_write(hbuf_t *out, size_t out_max, uint32_t packet_max, int version,
                      const mqtt_packet_t *packet) {
    if (packet->type == HMQTT_PUBLISH) {
        return mqtt_packet_write_publish(out, out_max, packet_max, version, packet, 0);
    }
    size_t rest = body_bytes(version, packet);
    int code = make_room(out, out_max, packet_max, rest);
    if (code != 0) return code;
    int is_two = packet->type == HMQTT_PUBREL || packet->type == HMQTT_SUBSCRIBE ||
                 packet->type == HMQTT_UNSUBSCRIBE;
    uint8_t *begin = (uint8_t *)hbuf_tail(out);
    uint8_t *at = put_byte(begin, (uint8_t)(packet->type << 4 | (is_two ? 2 : 0)));
    at += mqtt_varint_put(at, (uint32_t)rest);
    uint8_t *end = put_body(at, version, packet);
    HV_ASSERT((size_t)(end - at) == rest);
    hbuf_commit(out, (size_t)(end - begin));
    return 0;
}

int mqtt_packet_write_publish(hbuf_t *out, size_t out_max, uint32_t packet_max, int version,
                              const mqtt_packet_t *publish, uint16_t alias) {
    size_t block_len = version < HMQTT_V5 ? 0 : publish->properties.len + (alias != 0 ? 3u : 0u);
    size_t block = version < HMQTT_V5 ? 0 : mqtt_varint_bytes((uint32_t)block_len) + block_len;
    size_t rest = 2 + (size_t)publish->topic.len + (publish->qos > 0 ? 2u : 0u) + block +
                  publish->payload.len;
    int code = make_room(out, out_max, packet_max, rest);
    if (code != 0) return code;
    uint8_t *begin = (uint8_t *)hbuf_tail(out);
    uint8_t *at = put_byte(begin, (uint8_t)(HMQTT_PUBLISH << 4 | publish->dup << 3 |
                                            publish->qos << 1 | publish->retain));
    at += mqtt_varint_put(at, (uint32_t)rest);
    at = put_bytes(at, publish->topic);
    if (publish->qos > 0) at = put_two(at, publish->id);
    if (version >= HMQTT_V5) {
        at += mqtt_varint_put(at, (uint32_t)block_len);
        if (alias != 0) at = put_two(put_byte(at, HMQTT_TOPIC_ALIAS), alias);
        at = put_raw(at, publish->properties);
    }
    at = put_raw(at, publish->payload);
    hbuf_commit(out, (size_t)(at - begin));
    return 0;
}
