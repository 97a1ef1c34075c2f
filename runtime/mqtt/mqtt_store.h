/* mqtt_store.h - what a session keeps over its connections: messages on their way out in order of
 * publishing, subscribe calls that wait for an answer, and the ids of messages of QoS 2 that came.
 *
 * An entry is in one of three lists. `flight` and `waiting` are one queue in two parts: what has
 * been sent at least once, then what has not. Every entry but of QoS 0 has a packet id of its own
 * from when it is taken to when it is answered, so no two ever share one; finding an entry by id,
 * adding and removing are O(1). With a file (mqtt_log.h) the messages of QoS 1 and 2 and the ids
 * are written to it as well. */
#ifndef HV_MQTT_STORE_H_
#define HV_MQTT_STORE_H_

#include "mqtt_log.h"
#include "mqtt_packet.h"

typedef enum {
    MQTT_WAITS,    /* not sent yet */
    MQTT_SENT,     /* waits for PUBACK, PUBREC, SUBACK, UNSUBACK */
    MQTT_RELEASED, /* QoS 2: the broker has it; waits for PUBCOMP */
} mqtt_state_e;

typedef struct mqtt_entry_s {
    struct mqtt_entry_s *next;
    struct mqtt_entry_s *before;
    void *token;
    uint16_t id;
    uint8_t type; /* HMQTT_PUBLISH, HMQTT_SUBSCRIBE, HMQTT_UNSUBSCRIBE */
    uint8_t state;
    uint8_t qos;
    uint8_t retain;
    uint8_t is_out;  /* sent over the connection of the moment */
    uint8_t was_out; /* sent over one before */
    uint8_t is_again; /* SUBSCRIBE that the library itself repeats */
    uint32_t topic_len; /* of SUBSCRIBE: of its list of filters */
    uint32_t block_len;
    uint32_t payload_len;
    char bytes[]; /* topic, properties, payload */
} mqtt_entry_t;

typedef struct mqtt_entries_s {
    mqtt_entry_t *first;
    mqtt_entry_t *last;
    uint32_t count;
} mqtt_entries_t;

#define MQTT_PAGES 256

typedef struct mqtt_store_s {
    mqtt_entries_t flight;
    mqtt_entries_t waiting;
    mqtt_entries_t control; /* SUBSCRIBE and UNSUBSCRIBE without an answer */
    size_t bytes;           /* of all entries */
    mqtt_entry_t **pages[MQTT_PAGES]; /* entries by id, a page for each high byte in use */
    uint32_t ids_used;
    uint16_t last_id;
    uint8_t *received; /* a bit for each id, then a bit for each that is kept as well; NULL before
                        * the first message of QoS 2 */
    uint32_t received_count;
    mqtt_log_t *log; /* or NULL */
    uint64_t rewrite_from; /* bytes of the file; after a rewrite that failed */
} mqtt_store_t;

void mqtt_store_init(mqtt_store_t *store);
/* Frees all entries, and closes the file. */
void mqtt_store_deinit(mqtt_store_t *store);

/* Opens the file and takes up what it keeps: all of it waits, as released or to be sent again.
 * Returns 0 or a code. */
int mqtt_store_open(mqtt_store_t *store, const char *path, int is_synced);

/* Adds a copy to the end of `waiting` (or of `control`), with an id where it is not QoS 0.
 *   packet  type, qos, retain, topic (or list), properties, payload
 * Returns it, or NULL with *code HV_ELIMIT (no id is free) or HV_ENOMEM. */
mqtt_entry_t *mqtt_store_add(mqtt_store_t *store, const mqtt_packet_t *packet, int *code);
/* The entry with that id, or NULL. */
mqtt_entry_t *mqtt_store_find(const mqtt_store_t *store, uint16_t id);
/* Moves the first that waits to the end of `flight`. */
void mqtt_store_launch(mqtt_store_t *store, mqtt_entry_t *entry);
/* The broker has a message of QoS 2. */
int mqtt_store_release(mqtt_store_t *store, mqtt_entry_t *entry);
/* Removes and frees an entry. */
void mqtt_store_remove(mqtt_store_t *store, mqtt_entry_t *entry);

/* The entry as a packet, without dup. */
mqtt_packet_t mqtt_entry_packet(const mqtt_entry_t *entry);

/* Ids of messages of QoS 2 that came and were not released yet. */
int mqtt_store_has_received(const mqtt_store_t *store, uint16_t id);
/* Returns 0 or HV_ENOMEM. */
int mqtt_store_receive(mqtt_store_t *store, uint16_t id);
/* Writes it to the file: when the message has been handled, since a program that ends before is to
 * get it again. Returns 0 or a code. */
int mqtt_store_keep_received(mqtt_store_t *store, uint16_t id);
/* Whether that was done. */
int mqtt_store_has_kept(const mqtt_store_t *store, uint16_t id);
void mqtt_store_forget(mqtt_store_t *store, uint16_t id);
void mqtt_store_forget_all(mqtt_store_t *store);

/* Writes what is to be in the file there, a shorter file where the old one is mostly past.
 * Returns 0 or a code; then it is tried again by the next call. */
int mqtt_store_flush(mqtt_store_t *store);

#endif
