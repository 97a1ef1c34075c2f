/* mqtt_int.h - the inside of the MQTT room: the client, and what its files call of each other.
 *
 *     STOPPED --hmqtt_start--> CONNECTING --stream open, CONNECT--> GREETING --CONNACK 0--> OPEN
 *        ^                        ^   |                               |                      |
 *        |                        |   +----------- failure -----------+----------------------+
 *        |                        |                                   v
 *        +------ no retry --- [ended] <---- stream closed ---------- CLOSING
 *                                 +-- retry --> WAITING --timer--> CONNECTING
 *
 * Files: hmqtt.c the API and options; mqtt_life.c the states above, time, and what leaves;
 * mqtt_session.c what packets mean; mqtt_subscriptions.c what is asked for again; mqtt_alias.c
 * numbers for topics; mqtt_wire.c the stream below; mqtt_store.c and mqtt_log.c what is kept;
 * mqtt_packet*.c and mqtt_topic.c bytes and text; mqtt_client.c the API of the tutorials.
 *
 * Events are told by mqtt__tell only, which is called only where the dispatcher has called us: in
 * callbacks of the stream and of timers, and in deferred work. After it the client may be freed or
 * have another connection: `client->stream` is then another number, and whoever works on a
 * connection ends. The memory lives until deferred work of its own gives it back. */
#ifndef HV_MQTT_INT_H_
#define HV_MQTT_INT_H_

#include "hassert.h"
#include "hdispatch.h"
#include "hloop.h"
#include "hmem.h"
#include "hws.h"
#include "mqtt_store.h"

#define MQTT_FLUSH_BYTES (64 * 1024) /* collected packets leave at once from here on */
#define MQTT_SLACK_BYTES (16u << 20) /* above write_high, before QoS 0 is refused */
#define MQTT_OUT_MAX     (1u << 30)
#define MQTT_CLOSE_MS    5000

typedef enum {
    MQTT_STOPPED,
    MQTT_CONNECTING,
    MQTT_GREETING,
    MQTT_OPEN,
    MQTT_CLOSING,
    MQTT_WAITING,
} mqtt_phase_e;

/* What the broker has said it takes (5 3.2.2.3). */
typedef struct mqtt_server_s {
    uint32_t packet_max;
    uint16_t receive_max;
    uint16_t topic_alias_max;
    uint8_t qos_max;
    uint8_t retains;
    uint8_t takes_wildcards;
    uint8_t takes_ids;
    uint8_t takes_shared;
} mqtt_server_t;

typedef struct mqtt_subscription_s {
    char *filter;
    uint16_t len;
    uint8_t options; /* as on the wire */
    uint32_t id;
} mqtt_subscription_t;

/* A topic that an alias stands for. */
typedef struct mqtt_alias_s {
    char *topic;
    uint32_t len;
} mqtt_alias_t;

typedef struct mqtt_guest_s mqtt_guest_t;

struct hmqtt_s {
    hloop_t *loop;
    hmqtt_cb on_event;
    void *userdata;
    hmqtt_options_t options; /* its pointers are into `texts`, or are not used any more */
    hbuf_t texts;            /* all strings of the options */
    hbuf_t connect_block;    /* properties of CONNECT and of the will, as on the wire */
    hbuf_t will_block;
    hmqtt_bytes_t auth_method; /* in connect_block; empty: none */
    char *assigned_id;         /* or NULL */

    mqtt_phase_e phase;
    uint32_t stream;   /* counts connections: which one this is */
    hio_t *io;         /* one of both at most: the stream, */
    hws_t *ws;         /* or the WebSocket, */
    hws_hub_t *hub;    /* of this hub, */
    hws_endpoint_t *endpoint; /* by these rules */
    hbuf_t in;         /* what came and is no whole packet yet, or waits because of hmqtt_pause */
    hbuf_t out;        /* packets to be written by `flush` */
    hv__defer_t flush; /* writes, and goes on reading after hmqtt_resume */
    htimer_t *timer;   /* of the phase: connect timeout, keepalive, retry, close */
    reconn_setting_t reconnect;
    uint32_t keepalive_ms;
    uint64_t opened_ms; /* when CONNACK has said yes; 0: not since the last retry was planned */
    uint64_t sent_ms;  /* when something was last written */
    uint64_t ping_ms;  /* when PINGREQ was written that has no answer; 0: none has */
    int error;         /* positive: why the connection ends, where we have said so */
    uint8_t reason;    /* DISCONNECT's, or of a CONNACK that refuses */
    hbuf_t reason_block; /* its properties */
    uint8_t is_started;
    uint8_t restarts;    /* hmqtt_start while the old stream still closes */
    uint8_t was_open;    /* there has been a session in this run */
    uint8_t is_paused;   /* hmqtt_pause */
    uint8_t is_choked;   /* what we answer is not taken: reading rests */
    uint8_t is_stopped_reading;
    uint8_t wants_resume;
    uint8_t was_high;
    uint8_t is_loose;    /* hmqtt_unref */
    uint8_t is_freed;
    uint8_t is_ack_held; /* of the message that is being told */

    mqtt_server_t server;
    hbuf_t server_block;
    mqtt_store_t store;
    mqtt_entry_t *cursor; /* the next of `flight` to be sent again; NULL: none */
    uint32_t waiting_zero; /* messages of QoS 0 among those that wait */
    uint32_t outstanding; /* messages sent over this connection and not answered */
    mqtt_alias_t *aliases_in;  /* by alias; NULL before the first */
    mqtt_alias_t *aliases_out; /* by hash of the topic */
    mqtt_subscription_t *subscriptions;
    uint32_t subscription_count;
    uint32_t subscription_cap;

    mqtt_guest_t *guest; /* of the loop */
    hv__defer_t farewell;
    hlink_t link; /* in a list of the guest's */
};

/* ---- mqtt_wire.c: the stream ---- */

/* Makes what the transport needs. Returns 0 or a code. */
int mqtt__wire_init(hmqtt_t *client);
/* Gives it back; the stream has been dropped. */
void mqtt__wire_deinit(hmqtt_t *client);
/* Has the stream of the moment keep the loop running, or not, as is_loose says. */
void mqtt__wire_set_ref(hmqtt_t *client);
/* Begins to connect. Returns 0 or a code. */
int mqtt__wire_open(hmqtt_t *client);
/* Whether there is a stream, in whatever state. */
static inline int mqtt__wire_is_there(const hmqtt_t *client) {
    return client->io != NULL || client->ws != NULL;
}
/* Returns 0 or a code. */
int mqtt__wire_write(hmqtt_t *client, const void *data, size_t len);
/* Closes behind what is written, or at once; mqtt__on_closed follows. */
void mqtt__wire_close(hmqtt_t *client, int is_abrupt);
/* Lets go of a stream, which closes by itself: nothing of it is told any more. */
void mqtt__wire_drop(hmqtt_t *client);
/* Stops reading, or goes on, as is_paused and is_choked want it. */
void mqtt__wire_read(hmqtt_t *client);
/* Bytes that the stream has not taken yet. */
size_t mqtt__wire_waiting(const hmqtt_t *client);

/* ---- mqtt_life.c ---- */

/* Tells an event. Only from the dispatcher's side. Returns whether the client goes on with the
 * connection that it had. */
int mqtt__tell(hmqtt_t *client, const hmqtt_event_t *event);

void mqtt__connect(hmqtt_t *client);
void mqtt__on_open(hmqtt_t *client);
void mqtt__on_closed(hmqtt_t *client, int error);
void mqtt__on_drain(hmqtt_t *client);
/* Whether CONNECT asks for a session without a past. */
int mqtt__starts_clean(const hmqtt_t *client);
/* CONNACK has said yes. */
void mqtt__opened(hmqtt_t *client);
/* Ends the connection because of something wrong: DISCONNECT with a reason where there is one to
 * tell, then the stream. */
void mqtt__fail(hmqtt_t *client, int error, uint8_t reason);
/* Ends the connection as the user wants it. */
void mqtt__close(hmqtt_t *client, uint8_t reason, hmqtt_block_t properties);

/* Appends a packet to what leaves. Returns 0; or a code, after which the connection ends. */
int mqtt__send(hmqtt_t *client, const mqtt_packet_t *packet);
/* Has what was collected written at the end of the callback that we are in. */
void mqtt__flush_later(hmqtt_t *client);
void mqtt__flush(hmqtt_t *client);
/* Bytes that wait: collected here, and in the stream. */
size_t mqtt__waiting(const hmqtt_t *client);
void mqtt__stop_timer(hmqtt_t *client);

/* ---- mqtt_alias.c ---- */

/* The alias that a topic has, or gets where its place is free. Where the broker knows it already
 * the topic is left out of the packet. Returns 0 where it has none. */
uint16_t mqtt__alias_for(hmqtt_t *client, mqtt_packet_t *packet, int *is_new);
/* Takes back one that is new and was not sent. */
void mqtt__forget_alias(hmqtt_t *client, uint16_t alias);
/* Finds the topic of a message that came. Returns 0, or the reason to end the connection. */
uint8_t mqtt__resolve_topic(hmqtt_t *client, mqtt_packet_t *packet);
void mqtt__free_aliases(hmqtt_t *client);

/* ---- mqtt_subscriptions.c ---- */

/* The broker has granted a subscription. Without memory, or beyond the limit, it is in force but
 * not made again. */
void mqtt__keep_subscription(hmqtt_t *client, hmqtt_bytes_t filter, uint8_t options, uint32_t id);
void mqtt__drop_subscription(hmqtt_t *client, hmqtt_bytes_t filter);
/* The broker knows of no session: asks for all of them, where that is wanted. Returns 0 or a
 * code. */
int mqtt__subscribe_again(hmqtt_t *client);
void mqtt__free_subscriptions(hmqtt_t *client);

/* ---- mqtt_session.c ---- */

/* Reads what has come: handles whole packets, keeps the rest. */
void mqtt__feed(hmqtt_t *client, const char *data, size_t len);
/* Goes on with what is kept. */
void mqtt__feed_kept(hmqtt_t *client);
/* Sends what waits, as far as the broker's limits and the stream go. */
void mqtt__pump(hmqtt_t *client);
/* Writes one message at once. Returns 0 or a code. */
int mqtt__send_publish(hmqtt_t *client, mqtt_packet_t *packet);
/* Forgets what belongs to a connection. */
void mqtt__session_unplug(hmqtt_t *client);
/* Frees everything of the session but its store. */
void mqtt__session_deinit(hmqtt_t *client);

#endif
