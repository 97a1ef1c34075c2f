/* mqtt_protocol.h - the names that programs of libhv's tutorials know for MQTT's packets. What they
 * mean is in hmqtt.h; new programs use that. */
#ifndef HV_MQTT_PROTOCOL_H_
#define HV_MQTT_PROTOCOL_H_

#include "hdef.h"

HV_BEGIN_DECLS

#define DEFAULT_MQTT_PORT 1883

#define MQTT_PROTOCOL_V31  3
#define MQTT_PROTOCOL_V311 4
#define MQTT_PROTOCOL_V5   5

#define MQTT_PROTOCOL_NAME     "MQTT"
#define MQTT_PROTOCOL_NAME_v31 "MQIsdp"

typedef enum {
    MQTT_TYPE_CONNECT     = 1, /* as an event: the stream to the broker is open */
    MQTT_TYPE_CONNACK     = 2,
    MQTT_TYPE_PUBLISH     = 3,
    MQTT_TYPE_PUBACK      = 4,
    MQTT_TYPE_PUBREC      = 5,
    MQTT_TYPE_PUBREL      = 6,
    MQTT_TYPE_PUBCOMP     = 7,
    MQTT_TYPE_SUBSCRIBE   = 8,
    MQTT_TYPE_SUBACK      = 9,
    MQTT_TYPE_UNSUBSCRIBE = 10,
    MQTT_TYPE_UNSUBACK    = 11,
    MQTT_TYPE_PINGREQ     = 12,
    MQTT_TYPE_PINGRESP    = 13,
    MQTT_TYPE_DISCONNECT  = 14, /* as an event: the stream has ended */
} mqtt_type_e;

/* What a broker of 3.1.1 answers to CONNECT. */
typedef enum {
    MQTT_CONNACK_ACCEPTED                      = 0,
    MQTT_CONNACK_REFUSED_PROTOCOL_VERSION      = 1,
    MQTT_CONNACK_REFUSED_IDENTIFIER_REJECTED   = 2,
    MQTT_CONNACK_REFUSED_SERVER_UNAVAILABLE    = 3,
    MQTT_CONNACK_REFUSED_BAD_USERNAME_PASSWORD = 4,
    MQTT_CONNACK_REFUSED_NOT_AUTHORIZED        = 5,
} mqtt_connack_e;

/* The fixed header of a packet. */
typedef struct mqtt_head_s {
    unsigned char type : 4;
    unsigned char dup : 1;
    unsigned char qos : 2;
    unsigned char retain : 1;
    unsigned int length; /* of what follows */
} mqtt_head_t;

typedef struct mqtt_message_s {
    unsigned int topic_len; /* 0: up to the NUL */
    const char *topic;
    unsigned int payload_len; /* 0: up to the NUL */
    const char *payload;
    unsigned char qos;
    unsigned char retain;
} mqtt_message_t;

/* Writes a fixed header, at most 5 bytes. Returns its bytes. */
HV_EXPORT int mqtt_head_pack(mqtt_head_t *head, unsigned char buf[]);
/* Reads one. Returns its bytes; 0 where it is not whole, or none. */
HV_EXPORT int mqtt_head_unpack(mqtt_head_t *head, const unsigned char *buf, int len);

HV_END_DECLS

#endif
