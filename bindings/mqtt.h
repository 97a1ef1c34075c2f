/* mqtt.h - shared by mqtt.c (clients: their lives, events and messages), mqtt_calls.c (what they
 * ask of a broker), mqtt_options.c and mqtt_properties.c (MQTT's properties as Lua tables). */
#ifndef HVL_MQTT_H_
#define HVL_MQTT_H_

#include "bind.h"
#include "hmqtt.h"

/* ---- Clients ---- */

typedef struct hvl_mqtt_queued_s {
    struct hvl_mqtt_queued_s *next;
    hmqtt_held_t held;
    hmqtt_message_t message; /* its texts are `bytes` */
    hmqtt_block_t properties;
    char bytes[];
} hvl_mqtt_queued_t;

typedef struct hvl_mqtt_s hvl_mqtt_t;

typedef struct hvl_mqtt_pending_s {
    struct hvl_mqtt_pending_s *next; /* among those that wait for the stream to drain */
    hvl_waiter_t waiter;
    hvl_mqtt_t *client;
    const char *what;
} hvl_mqtt_pending_t;

struct hvl_mqtt_s {
    hvl_object_t object;
    hmqtt_t *mqtt; /* NULL once it has ended */
    int deliver_ref; /* fn(message) */
    int told_ref;    /* fn("connect" | "close" | "auth", ...) */
    hvl_mqtt_queued_t *first;
    hvl_mqtt_queued_t *last;
    uint32_t queued;
    uint32_t kept_max; /* the client ends above */
    size_t queued_bytes;
    size_t kept_bytes_max;
    hmqtt_held_t held; /* of the message that is handled */
    uint8_t is_busy;   /* a task handles a message */
    uint8_t is_running; /* ... and has not waited yet */
    uint8_t is_over_limit;
    uint8_t is_closed_here;
    uint32_t awaited; /* hvl_mqtt_pending_t that there are */
    hvl_mqtt_pending_t *drains;
    hvl_mqtt_pending_t *spare; /* free */
    hvl_waiter_t opener;
    hvl_waiter_t closer;
    uint8_t refused; /* CONNACK's reason */
};

/* The client at stack index 1 where it has not ended; otherwise NULL, with the failure pushed and
 * its values in *count.
 *   what  the operation, for messages */
hvl_mqtt_t *hvl_mqtt_check_living(lua_State *L, const char *what, int *count);

/* Somebody who is going to wait; `what` is a constant string. NULL without memory. */
hvl_mqtt_pending_t *hvl_mqtt_pending_new(hvl_mqtt_t *self, const char *what);
void hvl_mqtt_pending_free(hvl_mqtt_pending_t *pending);
/* Has reading rest or go on, after the queue or the number of those who wait has changed. */
void hvl_mqtt_balance(hvl_mqtt_t *self);

/* A string argument, or misuse: "<what> must be a string". */
hmqtt_bytes_t hvl_mqtt_check_text(lua_State *L, int index, const char *what);

/* Methods: see lua/hv/mqtt.lua. */
int hvl_mqtt_publish(lua_State *L);
int hvl_mqtt_call(lua_State *L);
int hvl_mqtt_auth(lua_State *L);

/* Fills options from the table at stack index 1; the strings are the table's. */
void hvl_mqtt_read_options(lua_State *L, hmqtt_options_t *options);

/* ---- Properties ---- */

#define HVL_MQTT_PROPERTIES_MAX 256 /* of one call, user properties included */

/* Properties that a table asks for. The strings are the table's. */
typedef struct hvl_mqtt_list_s {
    hmqtt_property_t items[HVL_MQTT_PROPERTIES_MAX];
    size_t count;
} hvl_mqtt_list_t;

/* Fills a list from the table at a stack index, or leaves it empty for nil. Raises misuse for what
 * is no property or has the wrong type.
 *   where  the function's name, for messages */
void hvl_mqtt_read_properties(lua_State *L, int index, const char *where, hvl_mqtt_list_t *list);

/* Pushes properties that came as a table, or nil where there are none. */
void hvl_mqtt_push_properties(lua_State *L, hmqtt_block_t block);

#endif
