/* mqtt_packet.h - MQTT's packets: bytes to facts and back, both versions, without a loop, a
 * clock or memory of its own. The same struct is read and written, so what is read from one's
 * own output is what was written.
 *
 *     fixed header   type << 4 | flags, then the length of the rest: 1 to 4 bytes of 7 bits
 *     rest           variable header, properties (5), payload: as each type has it
 *
 * Files: mqtt_packet.c reads, mqtt_packet_write.c writes, mqtt_packet_props.c knows properties and
 * which reason belongs to which packet. Everything that a standard forbids is HV_EPROTO. */
#ifndef HV_MQTT_PACKET_H_
#define HV_MQTT_PACKET_H_

#include "hbuf.h"
#include "hmqtt.h"

#define MQTT_HEADER_MAX 5           /* bytes of the fixed header */
#define MQTT_REST_MAX   268435455u  /* bytes after it (5 1.5.5) */

/* Flags of CONNECT. */
enum {
    MQTT_CLEAN_START  = 0x02,
    MQTT_HAS_WILL     = 0x04,
    MQTT_WILL_QOS     = 0x18,
    MQTT_WILL_RETAIN  = 0x20,
    MQTT_HAS_PASSWORD = 0x40,
    MQTT_HAS_USERNAME = 0x80,
};

/* Owner of the properties that stand within CONNECT for the will. */
#define MQTT_OWNER_WILL 0

typedef struct mqtt_packet_s {
    uint8_t type;    /* hmqtt_type_e */
    uint8_t version; /* CONNECT: as it says */
    uint8_t reason;
    uint8_t session_present;
    uint8_t connect_flags;
    uint8_t dup;
    uint8_t qos;
    uint8_t retain;
    uint16_t id;
    uint16_t keepalive_s;
    hmqtt_block_t properties; /* 5: their block, without its length */
    hmqtt_block_t will_properties;
    hmqtt_bytes_t topic;      /* PUBLISH; CONNECT: of the will */
    hmqtt_bytes_t payload;    /* PUBLISH; CONNECT: of the will */
    hmqtt_bytes_t client_id;
    hmqtt_bytes_t username;
    hmqtt_bytes_t password;
    hmqtt_bytes_t list;       /* SUBSCRIBE, UNSUBSCRIBE: filters as on the wire; SUBACK, UNSUBACK: a
                               * byte each */
    uint32_t count;           /* entries of the list */
} mqtt_packet_t;

/* How long the packet at the start of `data` is, as soon as its header tells.
 * Returns bytes, 0 where more are needed to know, or HV_EPROTO. It may be more than `len`. */
long mqtt_packet_bytes(const void *data, size_t len);

/* Reads one whole packet of mqtt_packet_bytes bytes. What is pointed to lies in `data`.
 *   version  of the connection; for CONNECT it is the packet's own
 * Returns 0 or HV_EPROTO. */
int mqtt_packet_read(int version, const void *data, size_t len, mqtt_packet_t *packet);

/* The next filter of SUBSCRIBE's or UNSUBSCRIBE's list, which has been read by the above.
 *   options  of SUBSCRIBE; NULL for UNSUBSCRIBE
 * Returns whether there was one. */
int mqtt_packet_filter(hmqtt_bytes_t list, uint32_t *at, hmqtt_bytes_t *filter, uint8_t *options);

/* Appends a packet. What it holds must be valid but for its size.
 * Returns 0; HV_ELIMIT where it is longer than `packet_max` bytes, or `out` would hold more than
 * `out_max`; HV_ENOMEM. Then nothing is appended. */
int mqtt_packet_write(hbuf_t *out, size_t out_max, uint32_t packet_max, int version,
                      const mqtt_packet_t *packet);

/* Appends a PUBLISH: as above, without a struct.
 *   alias  0, or a topic alias; then the topic may be empty */
int mqtt_packet_write_publish(hbuf_t *out, size_t out_max, uint32_t packet_max, int version,
                              const mqtt_packet_t *publish, uint16_t alias);

/* ---- Properties ---- */

/* Whether a block is well formed and holds only what belongs to `owner` (a type, or
 * MQTT_OWNER_WILL), nothing twice that must come once, and no value out of range. */
int mqtt_block_is_valid(hmqtt_block_t block, int owner);
/* Appends one property. Returns as hbuf_append; HV_EINVAL where it has no such id, or is too long
 * or out of range for its kind. */
int mqtt_property_write(hbuf_t *out, size_t out_max, const hmqtt_property_t *property);

/* Whether a reason may stand in a packet of that type. */
int mqtt_reason_is_valid(int version, int type, uint8_t reason);

/* UTF-8 without NUL and surrogates (5 1.5.4). */
int mqtt_text_is_valid(hmqtt_bytes_t text);

/* Writes a number of 7 bits a byte at `out`. Returns its bytes, 1 to 4. */
size_t mqtt_varint_put(uint8_t *out, uint32_t value);
size_t mqtt_varint_bytes(uint32_t value);
/* Reads one, of the shortest form. Returns its bytes;
 * 0 where more are needed, -1 where it is none. */
int mqtt_varint_get(const uint8_t *data, size_t len, uint32_t *value);

#endif
