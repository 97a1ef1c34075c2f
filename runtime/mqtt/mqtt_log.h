/* mqtt_log.h - a file of records that is only appended to: what a session has taken and done with.
 *
 *     file    "HVMQ" 1 0 0 0, then records
 *     record  crc-32 of all that follows it, length of body, kind, flags, id, body
 *                4                              4              1     1     2      little-endian
 *
 * Records are collected in memory and written by mqtt_log_flush, before anything is sent that rests
 * on them. When a file is read, the first record that is not whole or does not match its checksum
 * is the torn end of an earlier run: it and what follows is cut off. */
#ifndef HV_MQTT_LOG_H_
#define HV_MQTT_LOG_H_

#include "hbuf.h"
#include "hmqtt.h"

typedef struct mqtt_log_s mqtt_log_t;

enum {
    /* flags: QoS << 1 | retain; body: lengths of topic and properties, then bytes */
    MQTT_LOG_PUBLISH = 1,
    MQTT_LOG_RELEASED,    /* the broker has it */
    MQTT_LOG_DONE,
    MQTT_LOG_RECEIVED,    /* a message of QoS 2 has come */
    MQTT_LOG_FORGOTTEN,   /* ... and was released */
    MQTT_LOG_ALL_FORGOTTEN,
};

typedef struct mqtt_record_s {
    uint8_t kind;
    uint8_t flags;
    uint16_t id;
    hmqtt_bytes_t topic;
    hmqtt_bytes_t block;
    hmqtt_bytes_t payload;
} mqtt_record_t;

/* Called for each record of the file, in order. Returns 0 or a code that ends the reading. */
typedef int (*mqtt_log_cb)(void *userdata, const mqtt_record_t *record);

/* Opens or makes a file, locked against a second user, and tells what is in it.
 *   is_synced  flush brings it to the disk
 * Returns 0; -EBUSY where another process has it; HV_EPROTO where it is no such file; a code of the
 * kernel; HV_ENOMEM. */
int mqtt_log_open(const char *path, int is_synced, mqtt_log_cb on_record, void *userdata,
                  mqtt_log_t **log);
/* Flushes and closes. */
void mqtt_log_close(mqtt_log_t *log);

/* Takes a record. Returns 0, HV_ENOMEM or HV_ELIMIT. */
int mqtt_log_add(mqtt_log_t *log, const mqtt_record_t *record);
/* Writes what was taken. Returns 0 or the code of the kernel; what was not written is kept. */
int mqtt_log_flush(mqtt_log_t *log);

/* Bytes of the file, what is not written yet included. */
uint64_t mqtt_log_bytes(const mqtt_log_t *log);
/* Bytes that were cut off when it was opened. */
uint64_t mqtt_log_dropped(const mqtt_log_t *log);
/* Replaces the file by a new one that holds what `fill` adds, at once for whoever opens it.
 * Returns 0 or a code; then the old one goes on. */
int mqtt_log_rewrite(mqtt_log_t *log, int (*fill)(mqtt_log_t *log, void *userdata), void *userdata);

#endif
