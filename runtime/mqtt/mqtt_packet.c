/* mqtt_packet.c - reads packets. A cursor walks over the bytes of one whole packet; each step takes
 * what it needs or marks the packet as wrong, so that nothing is read beyond its end and each
 * truncation of a packet is refused. Sections are of MQTT 5; 3.1.1 differs where `version` asks. */
#include "mqtt_packet.h"

#include "hassert.h"

typedef struct cursor_s {
    const uint8_t *at;
    const uint8_t *end;
    int is_wrong;
} cursor_t;

static size_t left_of(const cursor_t *cursor) { return (size_t)(cursor->end - cursor->at); }

static uint8_t take_byte(cursor_t *cursor) {
    if (cursor->at == cursor->end) {
        cursor->is_wrong = 1;
        return 0;
    }
    return *cursor->at++;
}

static uint16_t take_two(cursor_t *cursor) {
    uint16_t high = take_byte(cursor);
    return (uint16_t)(high << 8 | take_byte(cursor));
}

static hmqtt_bytes_t take(cursor_t *cursor, size_t len) {
    if (left_of(cursor) < len) {
        cursor->is_wrong = 1;
        len = 0;
    }
    hmqtt_bytes_t bytes = {(const char *)cursor->at, (uint32_t)len};
    cursor->at += len;
    return bytes;
}

static hmqtt_bytes_t take_binary(cursor_t *cursor) { return take(cursor, take_two(cursor)); }

static hmqtt_bytes_t take_text(cursor_t *cursor) {
    hmqtt_bytes_t text = take_binary(cursor);
    if (!mqtt_text_is_valid(text)) cursor->is_wrong = 1;
    return text;
}

static hmqtt_bytes_t take_rest(cursor_t *cursor) { return take(cursor, left_of(cursor)); }

/* Packet ids are never 0 (2.2.1). */
static uint16_t take_id(cursor_t *cursor) {
    uint16_t id = take_two(cursor);
    if (id == 0) cursor->is_wrong = 1;
    return id;
}

static hmqtt_block_t take_properties(cursor_t *cursor, int version, int owner) {
    hmqtt_block_t none = {NULL, 0};
    if (version < HMQTT_V5) return none;
    uint32_t len;
    int bytes = mqtt_varint_get(cursor->at, left_of(cursor), &len);
    if (bytes <= 0) {
        cursor->is_wrong = 1;
        return none;
    }
    cursor->at += bytes;
    hmqtt_block_t block = take(cursor, len);
    if (!mqtt_block_is_valid(block, owner)) cursor->is_wrong = 1;
    return block;
}

/* ---- Connecting ---- */

static void read_protocol(cursor_t *cursor, mqtt_packet_t *packet) {
    hmqtt_bytes_t name = take_text(cursor);
    packet->version = take_byte(cursor);
    const char *wanted = packet->version == HMQTT_V31 ? "MQIsdp" : "MQTT";
    int is_known = packet->version >= HMQTT_V31 && packet->version <= HMQTT_V5;
    if (!is_known || name.len != strlen(wanted) || memcmp(name.data, wanted, name.len) != 0) {
        cursor->is_wrong = 1;
    }
}

static int connect_flags_are_valid(int version, uint8_t flags) {
    if (flags & 1) return 0;
    if (!(flags & MQTT_HAS_WILL) && (flags & (MQTT_WILL_QOS | MQTT_WILL_RETAIN))) return 0;
    if ((flags & MQTT_WILL_QOS) == MQTT_WILL_QOS) return 0;
    /* A password alone is new in 5 (3.1.2.9). */
    return version >= HMQTT_V5 || !(flags & MQTT_HAS_PASSWORD) || (flags & MQTT_HAS_USERNAME);
}

static void read_connect(cursor_t *cursor, mqtt_packet_t *packet) {
    read_protocol(cursor, packet);
    packet->connect_flags = take_byte(cursor);
    if (!connect_flags_are_valid(packet->version, packet->connect_flags)) cursor->is_wrong = 1;
    packet->keepalive_s = take_two(cursor);
    packet->properties = take_properties(cursor, packet->version, HMQTT_CONNECT);
    packet->client_id = take_text(cursor);
    if (packet->connect_flags & MQTT_HAS_WILL) {
        packet->will_properties = take_properties(cursor, packet->version, MQTT_OWNER_WILL);
        packet->topic = take_text(cursor);
        packet->payload = take_binary(cursor);
        packet->qos = packet->connect_flags >> 3 & 3;
        packet->retain = (packet->connect_flags & MQTT_WILL_RETAIN) != 0;
        if (!hmqtt_topic_is_valid(packet->topic)) cursor->is_wrong = 1;
    }
    if (packet->connect_flags & MQTT_HAS_USERNAME) packet->username = take_text(cursor);
    if (packet->connect_flags & MQTT_HAS_PASSWORD) packet->password = take_binary(cursor);
}

static void read_connack(cursor_t *cursor, int version, mqtt_packet_t *packet) {
    uint8_t flags = take_byte(cursor);
    packet->session_present = flags & 1;
    packet->reason = take_byte(cursor);
    /* Who is refused has no session (3.2.2.1.1). */
    if (flags > 1 || (flags == 1 && packet->reason != 0)) cursor->is_wrong = 1;
    packet->properties = take_properties(cursor, version, HMQTT_CONNACK);
}

/* ---- Messages ---- */

static void read_publish(cursor_t *cursor, int version, uint8_t flags, mqtt_packet_t *packet) {
    packet->dup = flags >> 3 & 1;
    packet->qos = flags >> 1 & 3;
    packet->retain = flags & 1;
    if (packet->qos == 3 || (packet->dup && packet->qos == 0)) cursor->is_wrong = 1;
    packet->topic = take_text(cursor);
    if (packet->qos > 0) packet->id = take_id(cursor);
    packet->properties = take_properties(cursor, version, HMQTT_PUBLISH);
    packet->payload = take_rest(cursor);
    hmqtt_property_t alias;
    int may_be_empty =
        version >= HMQTT_V5 && hmqtt_property_find(packet->properties, HMQTT_TOPIC_ALIAS, &alias);
    if (packet->topic.len == 0 ? !may_be_empty : !hmqtt_topic_is_valid(packet->topic)) {
        cursor->is_wrong = 1;
    }
}

/* In 5, reason and properties may be left out where they say nothing (3.4.2.1). */
static void read_reason(cursor_t *cursor, int version, mqtt_packet_t *packet) {
    if (version < HMQTT_V5 || left_of(cursor) == 0) return;
    packet->reason = take_byte(cursor);
    if (left_of(cursor) > 0) {
        packet->properties = take_properties(cursor, version, packet->type);
    }
}

/* ---- Subscribing ---- */

static int options_are_valid(int version, hmqtt_bytes_t filter, uint8_t options) {
    if ((options & 3) == 3) return 0;
    if (version < HMQTT_V5) return options <= 2;
    if (options & 0xC0 || (options & 0x30) == 0x30) return 0;
    /* Shared, it could come back by another member: no such thing (3.8.3.1). */
    int is_shared = filter.len > 7 && memcmp(filter.data, "$share/", 7) == 0;
    return !(is_shared && (options & 4));
}

static void read_filters(cursor_t *cursor, int version, mqtt_packet_t *packet) {
    packet->id = take_id(cursor);
    packet->properties = take_properties(cursor, version, packet->type);
    cursor_t begin = *cursor;
    while (left_of(cursor) > 0 && !cursor->is_wrong) {
        hmqtt_bytes_t filter = take_text(cursor);
        if (!hmqtt_filter_is_valid(filter)) cursor->is_wrong = 1;
        if (packet->type == HMQTT_SUBSCRIBE) {
            uint8_t options = take_byte(cursor);
            if (!options_are_valid(version, filter, options)) cursor->is_wrong = 1;
        }
        packet->count++;
    }
    packet->list = (hmqtt_bytes_t){(const char *)begin.at, (uint32_t)(cursor->at - begin.at)};
    if (packet->count == 0) cursor->is_wrong = 1;
}

static void read_reasons(cursor_t *cursor, int version, mqtt_packet_t *packet) {
    packet->id = take_id(cursor);
    packet->properties = take_properties(cursor, version, packet->type);
    if (packet->type == HMQTT_UNSUBACK && version < HMQTT_V5) return;
    packet->list = take_rest(cursor);
    packet->count = packet->list.len;
    if (packet->count == 0) cursor->is_wrong = 1;
    for (uint32_t i = 0; i < packet->count; i++) {
        if (!mqtt_reason_is_valid(version, packet->type, (uint8_t)packet->list.data[i])) {
            cursor->is_wrong = 1;
        }
    }
}

int mqtt_packet_filter(hmqtt_bytes_t list, uint32_t *at, hmqtt_bytes_t *filter, uint8_t *options) {
    if (*at >= list.len) return 0;
    cursor_t cursor = {(const uint8_t *)list.data + *at, (const uint8_t *)list.data + list.len, 0};
    *filter = take_binary(&cursor);
    if (options != NULL) *options = take_byte(&cursor);
    *at = (uint32_t)(cursor.at - (const uint8_t *)list.data);
    return !cursor.is_wrong;
}

/* ---- All of them ---- */

static void read_body(cursor_t *cursor, int version, uint8_t flags, mqtt_packet_t *packet) {
    switch (packet->type) {
    case HMQTT_CONNECT: read_connect(cursor, packet); break;
    case HMQTT_CONNACK: read_connack(cursor, version, packet); break;
    case HMQTT_PUBLISH: read_publish(cursor, version, flags, packet); break;
    case HMQTT_PUBACK:
    case HMQTT_PUBREC:
    case HMQTT_PUBREL:
    case HMQTT_PUBCOMP:
        packet->id = take_id(cursor);
        read_reason(cursor, version, packet);
        break;
    case HMQTT_SUBSCRIBE:
    case HMQTT_UNSUBSCRIBE: read_filters(cursor, version, packet); break;
    case HMQTT_SUBACK:
    case HMQTT_UNSUBACK: read_reasons(cursor, version, packet); break;
    case HMQTT_PINGREQ:
    case HMQTT_PINGRESP: break;
    case HMQTT_DISCONNECT: read_reason(cursor, version, packet); break;
    case HMQTT_AUTH:
        if (version < HMQTT_V5) cursor->is_wrong = 1;
        read_reason(cursor, version, packet);
        break;
    default: cursor->is_wrong = 1;
    }
}

static int has_one_reason(int type) {
    return type == HMQTT_CONNACK || (type >= HMQTT_PUBACK && type <= HMQTT_PUBCOMP) ||
           type == HMQTT_DISCONNECT || type == HMQTT_AUTH;
}

/* The flags of a type are fixed (2.1.3), but for PUBLISH. */
static int flags_are_valid(int type, uint8_t flags) {
    int is_two = type == HMQTT_PUBREL || type == HMQTT_SUBSCRIBE || type == HMQTT_UNSUBSCRIBE;
    return type == HMQTT_PUBLISH || flags == (is_two ? 2 : 0);
}

long mqtt_packet_bytes(const void *data, size_t len) {
    const uint8_t *bytes = data;
    if (len < 1) return 0;
    if (!flags_are_valid(bytes[0] >> 4, bytes[0] & 15) || bytes[0] < 0x10) return HV_EPROTO;
    uint32_t rest;
    int used = mqtt_varint_get(bytes + 1, len - 1, &rest);
    if (used < 0) return HV_EPROTO;
    return used == 0 ? 0 : 1 + used + (long)rest;
}

int mqtt_packet_read(int version, const void *data, size_t len, mqtt_packet_t *packet) {
    const uint8_t *bytes = data;
    uint32_t rest;
    HV_ASSERT(mqtt_packet_bytes(data, len) == (long)len);
    int used = mqtt_varint_get(bytes + 1, len - 1, &rest);
    cursor_t cursor = {bytes + 1 + used, bytes + len, 0};
    *packet = (mqtt_packet_t){.type = bytes[0] >> 4, .version = (uint8_t)version};
    read_body(&cursor, version, bytes[0] & 15, packet);
    if (cursor.is_wrong || cursor.at != cursor.end) return HV_EPROTO;
    if (has_one_reason(packet->type) &&
        !mqtt_reason_is_valid(version, packet->type, packet->reason)) {
        return HV_EPROTO;
    }
    return 0;
}
