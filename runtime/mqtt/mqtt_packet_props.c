/* mqtt_packet_props.c - properties of MQTT 5 (2.2.2): which there are, what they hold, where they
 * may stand; and the same for reason codes (2.4). */
#include "mqtt_packet.h"

#include "hassert.h"

/* A set of packet types; bit 0 is the will's. */
#define IN(type)   (1u << HMQTT_##type)
#define IN_WILL    (1u << MQTT_OWNER_WILL)
#define IN_MESSAGE (IN(PUBLISH) | IN_WILL)
#define IN_ACKS    (IN(PUBACK) | IN(PUBREC) | IN(PUBREL) | IN(PUBCOMP) | IN(SUBACK) | IN(UNSUBACK))

typedef struct property_kind_s {
    uint8_t kind;
    uint8_t is_flag;     /* 0 or 1 only */
    uint8_t is_not_zero;
    uint16_t owners;
} property_kind_t;

static const property_kind_t kinds[] = {
    [HMQTT_PAYLOAD_FORMAT] = {HMQTT_KIND_BYTE, 1, 0, IN_MESSAGE},
    [HMQTT_MESSAGE_EXPIRY] = {HMQTT_KIND_FOUR_BYTES, 0, 0, IN_MESSAGE},
    [HMQTT_CONTENT_TYPE] = {HMQTT_KIND_TEXT, 0, 0, IN_MESSAGE},
    [HMQTT_RESPONSE_TOPIC] = {HMQTT_KIND_TEXT, 0, 0, IN_MESSAGE},
    [HMQTT_CORRELATION_DATA] = {HMQTT_KIND_BINARY, 0, 0, IN_MESSAGE},
    [HMQTT_SUBSCRIPTION_ID] = {HMQTT_KIND_VARINT, 0, 1, IN(PUBLISH) | IN(SUBSCRIBE)},
    [HMQTT_SESSION_EXPIRY] = {HMQTT_KIND_FOUR_BYTES, 0, 0,
                              IN(CONNECT) | IN(CONNACK) | IN(DISCONNECT)},
    [HMQTT_ASSIGNED_CLIENT_ID] = {HMQTT_KIND_TEXT, 0, 0, IN(CONNACK)},
    [HMQTT_SERVER_KEEPALIVE] = {HMQTT_KIND_TWO_BYTES, 0, 0, IN(CONNACK)},
    [HMQTT_AUTH_METHOD] = {HMQTT_KIND_TEXT, 0, 0, IN(CONNECT) | IN(CONNACK) | IN(AUTH)},
    [HMQTT_AUTH_DATA] = {HMQTT_KIND_BINARY, 0, 0, IN(CONNECT) | IN(CONNACK) | IN(AUTH)},
    [HMQTT_REQUEST_PROBLEM] = {HMQTT_KIND_BYTE, 1, 0, IN(CONNECT)},
    [HMQTT_WILL_DELAY] = {HMQTT_KIND_FOUR_BYTES, 0, 0, IN_WILL},
    [HMQTT_REQUEST_RESPONSE] = {HMQTT_KIND_BYTE, 1, 0, IN(CONNECT)},
    [HMQTT_RESPONSE_INFO] = {HMQTT_KIND_TEXT, 0, 0, IN(CONNACK)},
    [HMQTT_SERVER_REFERENCE] = {HMQTT_KIND_TEXT, 0, 0, IN(CONNACK) | IN(DISCONNECT)},
    [HMQTT_REASON_STRING] = {HMQTT_KIND_TEXT, 0, 0,
                             IN(CONNACK) | IN_ACKS | IN(DISCONNECT) | IN(AUTH)},
    [HMQTT_RECEIVE_MAX] = {HMQTT_KIND_TWO_BYTES, 0, 1, IN(CONNECT) | IN(CONNACK)},
    [HMQTT_TOPIC_ALIAS_MAX] = {HMQTT_KIND_TWO_BYTES, 0, 0, IN(CONNECT) | IN(CONNACK)},
    [HMQTT_TOPIC_ALIAS] = {HMQTT_KIND_TWO_BYTES, 0, 1, IN(PUBLISH)},
    [HMQTT_MAX_QOS] = {HMQTT_KIND_BYTE, 1, 0, IN(CONNACK)},
    [HMQTT_RETAIN_AVAILABLE] = {HMQTT_KIND_BYTE, 1, 0, IN(CONNACK)},
    [HMQTT_USER_PROPERTY] = {HMQTT_KIND_PAIR, 0, 0,
                             IN(CONNECT) | IN(CONNACK) | IN_MESSAGE | IN_ACKS | IN(SUBSCRIBE) |
                                 IN(UNSUBSCRIBE) | IN(DISCONNECT) | IN(AUTH)},
    [HMQTT_MAX_PACKET] = {HMQTT_KIND_FOUR_BYTES, 0, 1, IN(CONNECT) | IN(CONNACK)},
    [HMQTT_WILDCARDS_AVAILABLE] = {HMQTT_KIND_BYTE, 1, 0, IN(CONNACK)},
    [HMQTT_IDS_AVAILABLE] = {HMQTT_KIND_BYTE, 1, 0, IN(CONNACK)},
    [HMQTT_SHARED_AVAILABLE] = {HMQTT_KIND_BYTE, 1, 0, IN(CONNACK)},
};

static const property_kind_t *kind_of(uint8_t id) {
    static const property_kind_t none = {HMQTT_KIND_NONE, 0, 0, 0};
    return id < ARRAY_SIZE(kinds) ? &kinds[id] : &none;
}

hmqtt_kind_e hmqtt_property_kind(uint8_t id) { return (hmqtt_kind_e)kind_of(id)->kind; }

/* ---- Numbers and text ---- */

size_t mqtt_varint_bytes(uint32_t value) {
    return value < 128 ? 1 : value < 16384 ? 2 : value < 2097152 ? 3 : 4;
}

size_t mqtt_varint_put(uint8_t *out, uint32_t value) {
    HV_DASSERT(value <= MQTT_REST_MAX);
    size_t len = 0;
    for (; value >= 128; value >>= 7) out[len++] = (uint8_t)(value | 0x80);
    out[len++] = (uint8_t)value;
    return len;
}

int mqtt_varint_get(const uint8_t *data, size_t len, uint32_t *value) {
    uint32_t sum = 0;
    for (int i = 0; i < 4; i++) {
        if ((size_t)i >= len) return 0;
        sum |= (uint32_t)(data[i] & 0x7f) << (7 * i);
        if (data[i] & 0x80) continue;
        if (i > 0 && data[i] == 0) return -1; /* not the shortest form */
        *value = sum;
        return i + 1;
    }
    return -1;
}

/* The length of the UTF-8 sequence at `at`, 0 where it is none. */
static size_t sequence_len(const uint8_t *at, size_t len) {
    uint8_t first = at[0];
    if (first < 0x80) return first != 0;
    size_t need = first >= 0xF0 ? 4 : first >= 0xE0 ? 3 : 2;
    if (first < 0xC2 || first > 0xF4 || len < need) return 0;
    for (size_t i = 1; i < need; i++) {
        if ((at[i] & 0xC0) != 0x80) return 0;
    }
    uint8_t second = at[1];
    /* Over-long forms, surrogates, and what is beyond U+10FFFF. */
    if ((first == 0xE0 && second < 0xA0) || (first == 0xED && second > 0x9F)) return 0;
    if ((first == 0xF0 && second < 0x90) || (first == 0xF4 && second > 0x8F)) return 0;
    return need;
}

int mqtt_text_is_valid(hmqtt_bytes_t text) {
    const uint8_t *data = (const uint8_t *)text.data;
    for (size_t at = 0; at < text.len;) {
        if (data[at] - 1u < 0x7f) { /* most of what there is */
            at++;
            continue;
        }
        size_t step = sequence_len(data + at, text.len - at);
        if (step == 0) return 0;
        at += step;
    }
    return 1;
}

/* ---- Reading ---- */

static uint32_t big_endian(const uint8_t *at, size_t bytes) {
    uint32_t value = 0;
    for (size_t i = 0; i < bytes; i++) value = value << 8 | at[i];
    return value;
}

/* A length of two bytes and what follows. Returns the bytes of both, 0 where they are not there. */
static size_t get_bytes(const uint8_t *at, size_t left, hmqtt_bytes_t *out) {
    if (left < 2) return 0;
    size_t len = big_endian(at, 2);
    if (left - 2 < len) return 0;
    *out = (hmqtt_bytes_t){(const char *)at + 2, (uint32_t)len};
    return len + 2;
}

/* The value behind an id. Returns its bytes, 0 where it is not whole. */
static size_t get_value(const uint8_t *at, size_t left, int kind, hmqtt_property_t *property) {
    size_t bytes = 0;
    switch (kind) {
    case HMQTT_KIND_BYTE: bytes = 1; break;
    case HMQTT_KIND_TWO_BYTES: bytes = 2; break;
    case HMQTT_KIND_FOUR_BYTES: bytes = 4; break;
    case HMQTT_KIND_VARINT: {
        int len = mqtt_varint_get(at, left, &property->number);
        return len > 0 ? (size_t)len : 0;
    }
    case HMQTT_KIND_PAIR:
        bytes = get_bytes(at, left, &property->name);
        if (bytes == 0) return 0;
        at += bytes, left -= bytes;
        /* fall through */
    case HMQTT_KIND_TEXT:
    case HMQTT_KIND_BINARY: {
        size_t more = get_bytes(at, left, &property->value);
        return more > 0 ? bytes + more : 0;
    }
    default: return 0;
    }
    if (left < bytes) return 0;
    property->number = big_endian(at, bytes);
    return bytes;
}

int hmqtt_property_next(hmqtt_block_t block, uint32_t *at, hmqtt_property_t *property) {
    if (*at >= block.len) return 0;
    const uint8_t *data = (const uint8_t *)block.data + *at;
    *property = (hmqtt_property_t){.id = data[0]};
    size_t bytes = get_value(data + 1, block.len - *at - 1, kind_of(data[0])->kind, property);
    if (bytes == 0) return 0;
    *at += (uint32_t)bytes + 1;
    return 1;
}

int hmqtt_property_find(hmqtt_block_t block, uint8_t id, hmqtt_property_t *property) {
    hmqtt_property_t each;
    for (uint32_t at = 0; hmqtt_property_next(block, &at, &each);) {
        if (each.id != id) continue;
        *property = each;
        return 1;
    }
    return 0;
}

/* ---- Judging ---- */

static int value_is_valid(const property_kind_t *kind, const hmqtt_property_t *property) {
    if (kind->is_flag && property->number > 1) return 0;
    if (kind->is_not_zero && property->number == 0) return 0;
    if (kind->kind == HMQTT_KIND_PAIR && !mqtt_text_is_valid(property->name)) return 0;
    if (kind->kind != HMQTT_KIND_TEXT && kind->kind != HMQTT_KIND_PAIR) return 1;
    if (!mqtt_text_is_valid(property->value)) return 0;
    return property->id != HMQTT_RESPONSE_TOPIC || hmqtt_topic_is_valid(property->value);
}

int mqtt_block_is_valid(hmqtt_block_t block, int owner) {
    uint64_t seen = 0;
    uint32_t at = 0;
    hmqtt_property_t property;
    while (hmqtt_property_next(block, &at, &property)) {
        const property_kind_t *kind = kind_of(property.id);
        if (!(kind->owners >> owner & 1) || !value_is_valid(kind, &property)) return 0;
        /* Only these may come again (5 3.3.2.3.8, and user properties everywhere). */
        int repeats = property.id == HMQTT_USER_PROPERTY ||
                      (property.id == HMQTT_SUBSCRIPTION_ID && owner == HMQTT_PUBLISH);
        if (!repeats && (seen >> property.id & 1)) return 0;
        seen |= UINT64_C(1) << property.id;
    }
    if (at != block.len) return 0;
    /* Data without a method means nothing (5 3.1.2.11.10). */
    return !(seen >> HMQTT_AUTH_DATA & 1) || (seen >> HMQTT_AUTH_METHOD & 1);
}

/* ---- Writing ---- */

static uint8_t *put_bytes(uint8_t *at, hmqtt_bytes_t bytes) {
    *at++ = (uint8_t)(bytes.len >> 8);
    *at++ = (uint8_t)bytes.len;
    if (bytes.len > 0) memcpy(at, bytes.data, bytes.len);
    return at + bytes.len;
}

int mqtt_property_write(hbuf_t *out, size_t out_max, const hmqtt_property_t *property) {
    const property_kind_t *kind = kind_of(property->id);
    if (kind->kind == HMQTT_KIND_NONE || !value_is_valid(kind, property)) return HV_EINVAL;
    if (property->name.len > UINT16_MAX || property->value.len > UINT16_MAX) return HV_EINVAL;
    if (kind->kind == HMQTT_KIND_VARINT && property->number > MQTT_REST_MAX) return HV_EINVAL;
    if (kind->kind == HMQTT_KIND_BYTE && property->number > UINT8_MAX) return HV_EINVAL;
    if (kind->kind == HMQTT_KIND_TWO_BYTES && property->number > UINT16_MAX) return HV_EINVAL;
    int code = hbuf_reserve(out, 9 + (size_t)property->name.len + property->value.len, out_max);
    if (code != 0) return code;
    uint8_t *begin = (uint8_t *)hbuf_tail(out), *at = begin;
    uint32_t number = property->number;
    *at++ = property->id;
    switch (kind->kind) {
    case HMQTT_KIND_FOUR_BYTES:
        *at++ = (uint8_t)(number >> 24);
        *at++ = (uint8_t)(number >> 16);
        /* fall through */
    case HMQTT_KIND_TWO_BYTES:
        *at++ = (uint8_t)(number >> 8);
        /* fall through */
    case HMQTT_KIND_BYTE: *at++ = (uint8_t)number; break;
    case HMQTT_KIND_VARINT: at += mqtt_varint_put(at, number); break;
    case HMQTT_KIND_PAIR:
        at = put_bytes(at, property->name);
        /* fall through */
    default: at = put_bytes(at, property->value); break;
    }
    hbuf_commit(out, (size_t)(at - begin));
    return 0;
}

/* ---- Reasons ---- */

/* What each reason is called, and the types that it may stand in (5 2.4). */
static const struct {
    uint8_t reason;
    uint16_t owners;
    const char *text;
} reasons[] = {
    {HMQTT_SUCCESS, 0xffff & ~IN(SUBACK), "success"},
    {HMQTT_DISCONNECT_WITH_WILL, IN(DISCONNECT), "disconnect with will message"},
    {HMQTT_NO_SUBSCRIBERS, IN(PUBACK) | IN(PUBREC), "no matching subscribers"},
    {HMQTT_NO_SUBSCRIPTION, IN(UNSUBACK), "no subscription existed"},
    {HMQTT_CONTINUE_AUTH, IN(AUTH), "continue authentication"},
    {HMQTT_REAUTHENTICATE, IN(AUTH), "re-authenticate"},
    {HMQTT_UNSPECIFIED,
     IN(CONNACK) | IN(PUBACK) | IN(PUBREC) | IN(SUBACK) | IN(UNSUBACK) | IN(DISCONNECT),
     "unspecified error"},
    {HMQTT_MALFORMED_PACKET, IN(CONNACK) | IN(DISCONNECT), "malformed packet"},
    {HMQTT_PROTOCOL_ERROR, IN(CONNACK) | IN(DISCONNECT), "protocol error"},
    {HMQTT_NOT_SPECIFIC,
     IN(CONNACK) | IN(PUBACK) | IN(PUBREC) | IN(SUBACK) | IN(UNSUBACK) | IN(DISCONNECT),
     "implementation specific error"},
    {HMQTT_BAD_VERSION, IN(CONNACK), "unsupported protocol version"},
    {HMQTT_BAD_CLIENT_ID, IN(CONNACK), "client identifier not valid"},
    {HMQTT_BAD_LOGIN, IN(CONNACK), "bad user name or password"},
    {HMQTT_NOT_AUTHORIZED,
     IN(CONNACK) | IN(PUBACK) | IN(PUBREC) | IN(SUBACK) | IN(UNSUBACK) | IN(DISCONNECT),
     "not authorized"},
    {HMQTT_UNAVAILABLE, IN(CONNACK), "server unavailable"},
    {HMQTT_BUSY, IN(CONNACK) | IN(DISCONNECT), "server busy"},
    {HMQTT_BANNED, IN(CONNACK), "banned"},
    {HMQTT_SHUTTING_DOWN, IN(DISCONNECT), "server shutting down"},
    {HMQTT_BAD_AUTH_METHOD, IN(CONNACK) | IN(DISCONNECT), "bad authentication method"},
    {HMQTT_KEEPALIVE_TIMEOUT, IN(DISCONNECT), "keep alive timeout"},
    {HMQTT_TAKEN_OVER, IN(DISCONNECT), "session taken over"},
    {HMQTT_BAD_FILTER, IN(SUBACK) | IN(UNSUBACK) | IN(DISCONNECT), "topic filter invalid"},
    {HMQTT_BAD_TOPIC, IN(CONNACK) | IN(PUBACK) | IN(PUBREC) | IN(DISCONNECT), "topic name invalid"},
    {HMQTT_ID_IN_USE, IN(PUBACK) | IN(PUBREC) | IN(SUBACK) | IN(UNSUBACK),
     "packet identifier in use"},
    {HMQTT_ID_NOT_FOUND, IN(PUBREL) | IN(PUBCOMP), "packet identifier not found"},
    {HMQTT_RECEIVE_MAX_EXCEEDED, IN(DISCONNECT), "receive maximum exceeded"},
    {HMQTT_BAD_TOPIC_ALIAS, IN(DISCONNECT), "topic alias invalid"},
    {HMQTT_PACKET_TOO_LARGE, IN(CONNACK) | IN(DISCONNECT), "packet too large"},
    {HMQTT_RATE_TOO_HIGH, IN(DISCONNECT), "message rate too high"},
    {HMQTT_QUOTA_EXCEEDED, IN(CONNACK) | IN(PUBACK) | IN(PUBREC) | IN(SUBACK) | IN(DISCONNECT),
     "quota exceeded"},
    {HMQTT_ADMINISTRATIVE, IN(DISCONNECT), "administrative action"},
    {HMQTT_BAD_PAYLOAD_FORMAT, IN(CONNACK) | IN(PUBACK) | IN(PUBREC) | IN(DISCONNECT),
     "payload format invalid"},
    {HMQTT_NO_RETAIN, IN(CONNACK) | IN(DISCONNECT), "retain not supported"},
    {HMQTT_NO_QOS, IN(CONNACK) | IN(DISCONNECT), "QoS not supported"},
    {HMQTT_USE_ANOTHER_SERVER, IN(CONNACK) | IN(DISCONNECT), "use another server"},
    {HMQTT_SERVER_MOVED, IN(CONNACK) | IN(DISCONNECT), "server moved"},
    {HMQTT_NO_SHARED, IN(SUBACK) | IN(DISCONNECT), "shared subscriptions not supported"},
    {HMQTT_CONNECT_RATE, IN(CONNACK) | IN(DISCONNECT), "connection rate exceeded"},
    {HMQTT_MAX_CONNECT_TIME, IN(DISCONNECT), "maximum connect time"},
    {HMQTT_NO_SUBSCRIPTION_ID, IN(SUBACK) | IN(DISCONNECT),
     "subscription identifiers not supported"},
    {HMQTT_NO_WILDCARDS, IN(SUBACK) | IN(DISCONNECT), "wildcard subscriptions not supported"},
};

const char *hmqtt_reason_text(uint8_t reason) {
    for (size_t i = 0; i < ARRAY_SIZE(reasons); i++) {
        if (reasons[i].reason == reason) return reasons[i].text;
    }
    return reason < 0x80 ? "granted" : "unknown reason";
}

int hmqtt_reason_code(uint8_t reason) {
    switch (reason) {
    case HMQTT_BAD_LOGIN:
    case HMQTT_NOT_AUTHORIZED:
    case HMQTT_BANNED:
    case HMQTT_BAD_AUTH_METHOD: return -EACCES;
    case HMQTT_UNAVAILABLE:
    case HMQTT_BUSY: return HV_EBUSY;
    case HMQTT_PACKET_TOO_LARGE:
    case HMQTT_QUOTA_EXCEEDED:
    case HMQTT_RATE_TOO_HIGH:
    case HMQTT_CONNECT_RATE:
    case HMQTT_RECEIVE_MAX_EXCEEDED: return HV_ELIMIT;
    case HMQTT_KEEPALIVE_TIMEOUT: return HV_ETIMEDOUT;
    case HMQTT_BAD_FILTER:
    case HMQTT_BAD_TOPIC:
    case HMQTT_BAD_CLIENT_ID: return HV_EINVAL;
    case HMQTT_TAKEN_OVER:
    case HMQTT_SHUTTING_DOWN:
    case HMQTT_USE_ANOTHER_SERVER:
    case HMQTT_SERVER_MOVED:
    case HMQTT_ADMINISTRATIVE:
    case HMQTT_MAX_CONNECT_TIME: return -ECONNABORTED;
    default: return reason < 0x80 ? 0 : HV_EPROTO;
    }
}

int mqtt_reason_is_valid(int version, int type, uint8_t reason) {
    if (version < HMQTT_V5) {
        if (type == HMQTT_CONNACK) return reason <= 5;
        if (type == HMQTT_SUBACK) return reason <= 2 || reason == 0x80;
        return reason == 0;
    }
    if (type == HMQTT_SUBACK && reason <= 2) return 1;
    for (size_t i = 0; i < ARRAY_SIZE(reasons); i++) {
        if (reasons[i].reason == reason) return reasons[i].owners >> type & 1;
    }
    return 0;
}
