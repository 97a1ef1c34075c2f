/* hmqtt.h - an MQTT client, versions 3.1.1 and 5.0, that keeps its promises over lost connections.
 *
 *     hmqtt_options_t options;
 *     hmqtt_options_init(&options);
 *     options.host = "127.0.0.1";
 *     hmqtt_t *client = hmqtt_new(loop, &options, on_event, NULL);
 *     hmqtt_start(client);                 // then on_event(client, {HMQTT_CONNACK}) ...
 *     hmqtt_publish(client, &(hmqtt_publish_t){.topic = HMQTT_TEXT("a/b"), .qos = 1});
 *
 * What is published or subscribed is taken at once, connected or not: it leaves as soon as it may,
 * again after a lost connection, and ends with exactly one event that has `is_done` set. A client
 * lives from hmqtt_new to hmqtt_free and belongs to the thread of its loop. No event is ever told
 * inside a call of this header.
 *
 * Sections in comments are of the OASIS standards: "5 3.1.2" is MQTT 5.0, section 3.1.2. */
#ifndef HV_MQTT_H_
#define HV_MQTT_H_

#include "hclient.h"

HV_BEGIN_DECLS

typedef struct hmqtt_s hmqtt_t;

/* Bytes of somebody else's, NUL-terminated only where that is said. */
typedef struct hmqtt_bytes_s {
    const char *data;
    uint32_t len;
} hmqtt_bytes_t;

/* Of a string literal, or of an array that is full but for its NUL. */
#define HMQTT_TEXT(literal) ((hmqtt_bytes_t){(literal), (uint32_t)sizeof(literal) - 1})

enum { HMQTT_V31 = 3, HMQTT_V311 = 4, HMQTT_V5 = 5 };

#define HMQTT_DEFAULT_PORT 1883
#define HMQTT_TLS_PORT     8883

/* The types of packets (5 2.1.2), and of events. */
typedef enum {
    HMQTT_CONNECT = 1, /* event: the stream to the broker is open, CONNECT has been written */
    HMQTT_CONNACK,     /* event: the broker has answered; `reason` 0: the client is connected */
    HMQTT_PUBLISH,     /* event: a message has come */
    HMQTT_PUBACK,
    HMQTT_PUBREC,      /* event: the broker has the message of QoS 2; done only where it refused */
    HMQTT_PUBREL,
    HMQTT_PUBCOMP,
    HMQTT_SUBSCRIBE,
    HMQTT_SUBACK,
    HMQTT_UNSUBSCRIBE,
    HMQTT_UNSUBACK,
    HMQTT_PINGREQ,
    HMQTT_PINGRESP,
    HMQTT_DISCONNECT,  /* event: the connection, or an attempt to make one, has ended */
    HMQTT_AUTH,        /* event: the broker asks; answer with hmqtt_auth */
    HMQTT_DRAIN,       /* event: after hmqtt_is_high was true, it is false again */
} hmqtt_type_e;

/* ---- Reason codes (5 2.4) ----
 * 0x80 and above are failures. Those of 3.1.1's CONNACK are turned into these. */

enum {
    HMQTT_SUCCESS                = 0x00,
    HMQTT_DISCONNECT_WITH_WILL   = 0x04,
    HMQTT_NO_SUBSCRIBERS         = 0x10,
    HMQTT_NO_SUBSCRIPTION        = 0x11,
    HMQTT_CONTINUE_AUTH          = 0x18,
    HMQTT_REAUTHENTICATE         = 0x19,
    HMQTT_UNSPECIFIED            = 0x80,
    HMQTT_MALFORMED_PACKET       = 0x81,
    HMQTT_PROTOCOL_ERROR         = 0x82,
    HMQTT_NOT_SPECIFIC           = 0x83,
    HMQTT_BAD_VERSION            = 0x84,
    HMQTT_BAD_CLIENT_ID          = 0x85,
    HMQTT_BAD_LOGIN              = 0x86,
    HMQTT_NOT_AUTHORIZED         = 0x87,
    HMQTT_UNAVAILABLE            = 0x88,
    HMQTT_BUSY                   = 0x89,
    HMQTT_BANNED                 = 0x8A,
    HMQTT_SHUTTING_DOWN          = 0x8B,
    HMQTT_BAD_AUTH_METHOD        = 0x8C,
    HMQTT_KEEPALIVE_TIMEOUT      = 0x8D,
    HMQTT_TAKEN_OVER             = 0x8E,
    HMQTT_BAD_FILTER             = 0x8F,
    HMQTT_BAD_TOPIC              = 0x90,
    HMQTT_ID_IN_USE              = 0x91,
    HMQTT_ID_NOT_FOUND           = 0x92,
    HMQTT_RECEIVE_MAX_EXCEEDED   = 0x93,
    HMQTT_BAD_TOPIC_ALIAS        = 0x94,
    HMQTT_PACKET_TOO_LARGE       = 0x95,
    HMQTT_RATE_TOO_HIGH          = 0x96,
    HMQTT_QUOTA_EXCEEDED         = 0x97,
    HMQTT_ADMINISTRATIVE         = 0x98,
    HMQTT_BAD_PAYLOAD_FORMAT     = 0x99,
    HMQTT_NO_RETAIN              = 0x9A,
    HMQTT_NO_QOS                 = 0x9B,
    HMQTT_USE_ANOTHER_SERVER     = 0x9C,
    HMQTT_SERVER_MOVED           = 0x9D,
    HMQTT_NO_SHARED              = 0x9E,
    HMQTT_CONNECT_RATE           = 0x9F,
    HMQTT_MAX_CONNECT_TIME       = 0xA0,
    HMQTT_NO_SUBSCRIPTION_ID     = 0xA1,
    HMQTT_NO_WILDCARDS           = 0xA2,
};

/* "not authorized" ...; "reason 0x.." for a number that has no meaning. A static string. */
HV_EXPORT const char *hmqtt_reason_text(uint8_t reason);
/* The HV_E code that comes nearest to a reason: 0 below 0x80. */
HV_EXPORT int hmqtt_reason_code(uint8_t reason);

/* ---- Properties (5 2.2.2) ---- */

enum {
    HMQTT_PAYLOAD_FORMAT      = 0x01, /* 1: the payload is UTF-8 */
    HMQTT_MESSAGE_EXPIRY      = 0x02, /* seconds */
    HMQTT_CONTENT_TYPE        = 0x03,
    HMQTT_RESPONSE_TOPIC      = 0x08,
    HMQTT_CORRELATION_DATA    = 0x09,
    HMQTT_SUBSCRIPTION_ID     = 0x0B,
    HMQTT_SESSION_EXPIRY      = 0x11, /* seconds; 0xFFFFFFFF: for ever */
    HMQTT_ASSIGNED_CLIENT_ID  = 0x12,
    HMQTT_SERVER_KEEPALIVE    = 0x13, /* seconds */
    HMQTT_AUTH_METHOD         = 0x15,
    HMQTT_AUTH_DATA           = 0x16,
    HMQTT_REQUEST_PROBLEM     = 0x17,
    HMQTT_WILL_DELAY          = 0x18, /* seconds */
    HMQTT_REQUEST_RESPONSE    = 0x19,
    HMQTT_RESPONSE_INFO       = 0x1A,
    HMQTT_SERVER_REFERENCE    = 0x1C,
    HMQTT_REASON_STRING       = 0x1F,
    HMQTT_RECEIVE_MAX         = 0x21,
    HMQTT_TOPIC_ALIAS_MAX     = 0x22,
    HMQTT_TOPIC_ALIAS         = 0x23,
    HMQTT_MAX_QOS             = 0x24,
    HMQTT_RETAIN_AVAILABLE    = 0x25,
    HMQTT_USER_PROPERTY       = 0x26, /* may come again and again, in order */
    HMQTT_MAX_PACKET          = 0x27, /* bytes */
    HMQTT_WILDCARDS_AVAILABLE = 0x28,
    HMQTT_IDS_AVAILABLE       = 0x29,
    HMQTT_SHARED_AVAILABLE    = 0x2A,
};

/* How a property's value is written: numbers into `number`, the others into `value`. */
typedef enum {
    HMQTT_KIND_NONE, /* there is no such property */
    HMQTT_KIND_BYTE,
    HMQTT_KIND_TWO_BYTES,
    HMQTT_KIND_FOUR_BYTES,
    HMQTT_KIND_VARINT,
    HMQTT_KIND_TEXT,
    HMQTT_KIND_BINARY,
    HMQTT_KIND_PAIR,
} hmqtt_kind_e;

typedef struct hmqtt_property_s {
    uint8_t id; /* HMQTT_PAYLOAD_FORMAT ... */
    uint32_t number;
    hmqtt_bytes_t name;  /* of a user property */
    hmqtt_bytes_t value; /* UTF-8, but for correlation and authentication data */
} hmqtt_property_t;

/* Properties as they stand in a packet that has come: valid, borrowed until the event returns. */
typedef hmqtt_bytes_t hmqtt_block_t;

HV_EXPORT hmqtt_kind_e hmqtt_property_kind(uint8_t id);
/* The next property of a block; `*at` is 0 before the first. Returns whether there was one. */
HV_EXPORT int hmqtt_property_next(hmqtt_block_t block, uint32_t *at, hmqtt_property_t *property);
/* The first property with that id. Returns whether there is one. */
HV_EXPORT int hmqtt_property_find(hmqtt_block_t block, uint8_t id, hmqtt_property_t *property);

/* ---- Options ---- */

typedef enum {
    HMQTT_TCP, /* or a unix socket, where the host begins with '/' */
    HMQTT_TLS,
    HMQTT_WS,  /* WebSocket, subprotocol "mqtt" (5 6) */
    HMQTT_WSS, /* the same under TLS */
} hmqtt_transport_e;

/* When the file store is brought to the disk, beyond being written. */
typedef enum {
    HMQTT_SYNC_NEVER,  /* survives the end of the process, not of the machine */
    HMQTT_SYNC_ALWAYS, /* before anything that depends on it is sent: once a turn of the loop */
} hmqtt_sync_e;

typedef struct hmqtt_will_s {
    hmqtt_bytes_t topic; /* empty: there is no will */
    hmqtt_bytes_t payload;
    uint8_t qos;
    uint8_t retain;
    const hmqtt_property_t *properties; /* HMQTT_WILL_DELAY, HMQTT_CONTENT_TYPE ... */
    size_t property_count;
} hmqtt_will_t;

/* Filled by hmqtt_options_init; everything pointed to is copied by hmqtt_new. */
typedef struct hmqtt_options_s {
    const char *host; /* name, literal, or path of a unix socket */
    int port;
    hmqtt_transport_e transport;
    const char *path;       /* of WebSockets; default "/mqtt" */
    hssl_ctx_t ssl_ctx;     /* retained; NULL: a client that verifies, by the system's roots */
    const char *ssl_name;   /* to verify where it is not the host */

    int version;            /* HMQTT_V31, HMQTT_V311, HMQTT_V5 (default) */
    const char *client_id;  /* NULL or "": the broker (5) or the library (3.1.1) gives one */
    uint8_t clean_start;    /* default 1: what the broker kept of an earlier run is dropped.
                             * Connections that this client makes again never drop their session,
                             * but in 3.1.1 a clean session ends with its connection. */
    uint32_t keepalive_s;   /* default 60; 0: none. The broker's own wish replaces it. */
    uint32_t session_expiry_s; /* 5: how long the broker keeps the session of a lost connection;
                             * default 3600. 3.1.1 knows no such time. */
    uint8_t keeps_session;  /* 5: hmqtt_disconnect leaves the session to its expiry; otherwise it
                             * ends at once, but for a client without clean_start */
    const char *username;   /* NULL: none */
    hmqtt_bytes_t password; /* data NULL: none */
    hmqtt_will_t will;
    const hmqtt_property_t *properties; /* of CONNECT: HMQTT_USER_PROPERTY, HMQTT_AUTH_METHOD ...;
                             * those that are options here are added from there */
    size_t property_count;

    uint32_t connect_timeout_ms; /* default 10000: from the attempt to CONNACK */
    uint32_t ping_timeout_ms;    /* default 10000: without an answer the connection is dead */
    uint8_t reconnects;          /* default 1 */
    reconn_setting_t reconnect;  /* default: 1 to 60 seconds, doubled, for ever; it begins anew
                                  * after a connection that has lasted 5 seconds */

    /* Limits. What passes one is HV_ELIMIT, or ends the connection with the reason for it. */
    uint32_t packet_max;       /* bytes of a packet that comes; default 2 MiB */
    uint16_t receive_max;      /* messages of QoS 2 under way to us; default 1000 */
    uint16_t inflight_max;     /* messages of QoS 1 and 2 under way. 0 (default): 1000, and in
                                * 3.1.1, where a broker cannot say how many it takes, 20: mosquitto
                                * ends connections that send more. In 5 never more than it says. */
    uint32_t queue_max;        /* messages that wait while there is no connection, or for the
                                * limit above; default 1000 */
    uint32_t queue_bytes_max;  /* of them and of those under way; default 64 MiB */
    uint32_t write_high;       /* bytes; hmqtt_is_high above it; default 1 MiB */
    uint16_t topic_alias_max;  /* aliases either side may use; default 16 */
    uint32_t subscriptions_max; /* filters that are kept; default 10000 */
    uint8_t resubscribes;       /* default 1: after a session is lost, what was granted is asked
                                 * for again */

    const char *store;       /* path of a file that keeps messages of QoS 1 and 2 and the ids of
                              * those received over a restart; needs client_id. NULL: memory */
    hmqtt_sync_e store_sync; /* default HMQTT_SYNC_NEVER */
} hmqtt_options_t;

HV_EXPORT void hmqtt_options_init(hmqtt_options_t *options);

/* ---- Events ---- */

typedef struct hmqtt_message_s {
    hmqtt_bytes_t topic; /* whole, also where the broker used an alias */
    hmqtt_bytes_t payload;
    uint8_t qos;
    uint8_t retain;
    uint8_t dup;
    uint16_t packet_id; /* 0 for QoS 0 */
} hmqtt_message_t;

/* Everything in it is borrowed until the callback returns. */
typedef struct hmqtt_event_s {
    hmqtt_type_e type;
    uint8_t reason;      /* of the packet; for DISCONNECT 0 where the broker sent none */
    uint8_t is_done;     /* an answer of the broker's: what `token` stands for ends */
    uint8_t session_present; /* CONNACK */
    uint16_t packet_id;
    int error;           /* 0, or a positive code: why a connection ended, or why something ended
                          * without the broker's word (ECANCELED at hmqtt_free) */
    int64_t retry_ms;    /* DISCONNECT: when it is tried again; -1: it is not */
    void *token;         /* as given to hmqtt_publish ...; NULL after a restart */
    hmqtt_block_t properties;
    hmqtt_bytes_t reasons; /* SUBACK, UNSUBACK: a byte for each filter; granted QoS, or a failure */
    const hmqtt_message_t *message; /* PUBLISH */
} hmqtt_event_t;

/* May call anything of this header, hmqtt_free included. Of a message: it is acknowledged when this
 * returns, but for hmqtt_hold_ack. */
typedef void (*hmqtt_cb)(hmqtt_t *client, const hmqtt_event_t *event, void *userdata);

/* An acknowledgement that is owed. */
typedef struct hmqtt_held_s {
    uint32_t connection;
    uint16_t packet_id;
    uint8_t qos; /* 0: none is owed */
} hmqtt_held_t;

/* Only while a message is told: it is not acknowledged until hmqtt_ack says so, and the broker
 * sends only so many more. Acknowledge in the order of the messages (5 4.6). */
HV_EXPORT hmqtt_held_t hmqtt_hold_ack(hmqtt_t *client, const hmqtt_message_t *message);
/* Acknowledges it. Where the connection is another one by now, a message of QoS 1 comes again; one
 * of QoS 2 does not, and the broker is told over the new one. */
HV_EXPORT void hmqtt_ack(hmqtt_t *client, hmqtt_held_t held);

/* ---- The client ---- */

/* Makes a client, not started yet; reads the file store where there is one.
 * Returns it, to be freed by hmqtt_free, or with its loop; or NULL with hloop_last_error set:
 * HV_EINVAL for options that do not fit, the code of a store that cannot be read, HV_ENOMEM. */
HV_EXPORT hmqtt_t *hmqtt_new(hloop_t *loop, const hmqtt_options_t *options, hmqtt_cb on_event,
                             void *userdata);
/* Closes the connection without a word to the broker, which then sends the will. What is not done
 * ends with ECANCELED, in events inside the next pass, if anybody waits for it; no other event is
 * told. A store keeps what it has. NULL is allowed; also inside the callback. */
HV_EXPORT void hmqtt_free(hmqtt_t *client);

/* Begins to connect; HMQTT_CONNACK or HMQTT_DISCONNECT tells the end of it. Nothing where it has
 * been started. Returns 0 or a code. */
HV_EXPORT int hmqtt_start(hmqtt_t *client);
/* Ends the connection behind what has been written, by a DISCONNECT packet, and ends reconnecting;
 * HMQTT_DISCONNECT follows where there was an attempt or a connection. What is not done stays, for
 * a client that is started again.
 *   reason  HMQTT_SUCCESS, HMQTT_DISCONNECT_WITH_WILL ... ; only 5 tells it
 * Returns 0; HV_EINVAL for properties that do not belong there; HV_ENOMEM. */
HV_EXPORT int hmqtt_disconnect(hmqtt_t *client, uint8_t reason, const hmqtt_property_t *properties,
                               size_t property_count);
/* Drops the connection of the moment and makes a new one at once. Returns 0 or a code. */
HV_EXPORT int hmqtt_reconnect(hmqtt_t *client);

typedef struct hmqtt_publish_s {
    hmqtt_bytes_t topic;
    hmqtt_bytes_t payload;
    uint8_t qos;
    uint8_t retain;
    void *token; /* QoS 1 and 2: comes back with the event that ends it */
    const hmqtt_property_t *properties; /* 5; left out in 3.1.1 */
    size_t property_count;
} hmqtt_publish_t;

/* Publishes; everything is copied. What several calls of one callback publish leaves in one system
 * call.
 * Returns the packet id, 0 for QoS 0; HV_EINVAL for a topic with wildcards, text that is no UTF-8,
 * properties that do not belong there; HV_ELIMIT where a queue is full or the broker takes no such
 * packet; -ENOTSUP where it takes no such QoS, or does not retain; HV_ECLOSED, HV_ENOMEM. */
HV_EXPORT int hmqtt_publish(hmqtt_t *client, const hmqtt_publish_t *publish);

/* Subscription options (5 3.8.3.1); in 3.1.1 only the QoS counts. */
typedef struct hmqtt_filter_s {
    hmqtt_bytes_t filter; /* "a/+/c", "a/#", "$share/group/a" */
    uint8_t qos;
    uint8_t no_local;            /* not what this client publishes */
    uint8_t retain_as_published; /* keep the retain flag */
    uint8_t retain_handling;     /* retained ones: 0 always, 1 for a new subscription, 2 never */
} hmqtt_filter_t;

typedef struct hmqtt_subscribe_s {
    const hmqtt_filter_t *filters;
    size_t filter_count;
    uint32_t id; /* 5: subscription identifier, comes with each message; 0: none */
    void *token;
    const hmqtt_property_t *properties; /* HMQTT_USER_PROPERTY */
    size_t property_count;
} hmqtt_subscribe_t;

/* Subscribes, now and whenever the broker has lost the session; HMQTT_SUBACK ends it.
 * Returns the packet id, or a code as above. */
HV_EXPORT int hmqtt_subscribe(hmqtt_t *client, const hmqtt_subscribe_t *subscribe);
/* Ends subscriptions; only `filter` of each filter counts. HMQTT_UNSUBACK ends it. */
HV_EXPORT int hmqtt_unsubscribe(hmqtt_t *client, const hmqtt_subscribe_t *unsubscribe);

/* Answers HMQTT_AUTH, or with HMQTT_REAUTHENTICATE begins anew (5 4.12). The method of the
 * connection is added. Returns 0; HV_ENOTCONN, HV_EINVAL, HV_ENOMEM. */
HV_EXPORT int hmqtt_auth(hmqtt_t *client, uint8_t reason, hmqtt_bytes_t data);

/* Stops and goes on with reading: no message is told meanwhile, and the broker is slowed. */
HV_EXPORT void hmqtt_pause(hmqtt_t *client);
HV_EXPORT void hmqtt_resume(hmqtt_t *client);

/* A client that is unreferenced does not keep a loop with HLOOP_FLAG_QUIT_WHEN_NO_ACTIVE_EVENTS
 * running. Clients begin referenced. */
HV_EXPORT void hmqtt_ref(hmqtt_t *client);
HV_EXPORT void hmqtt_unref(hmqtt_t *client);

/* ---- Facts ---- */

HV_EXPORT int hmqtt_is_connected(const hmqtt_t *client);
/* Whether more is written than the broker takes: a fair publisher waits for HMQTT_DRAIN. */
HV_EXPORT int hmqtt_is_high(hmqtt_t *client);
/* Messages of QoS 1 and 2 that are under way; that wait to be sent, QoS 0 included; their bytes. */
HV_EXPORT uint32_t hmqtt_inflight(const hmqtt_t *client);
HV_EXPORT uint32_t hmqtt_queued(const hmqtt_t *client);
HV_EXPORT size_t hmqtt_queued_bytes(const hmqtt_t *client);
/* The id in force, the broker's own where it gave one. */
HV_EXPORT const char *hmqtt_client_id(const hmqtt_t *client);
HV_EXPORT int hmqtt_version(const hmqtt_t *client);
/* What the broker said in CONNACK; empty before. Lives until the next one. */
HV_EXPORT hmqtt_block_t hmqtt_server_properties(const hmqtt_t *client);
/* Bytes of a torn end that the store dropped when it was read. */
HV_EXPORT uint64_t hmqtt_store_dropped(const hmqtt_t *client);
/* The io of the moment, for addresses and TLS facts; NULL while there is none. Do not read, write
 * or close it. */
HV_EXPORT hio_t *hmqtt_io(const hmqtt_t *client);
HV_EXPORT void hmqtt_set_userdata(hmqtt_t *client, void *userdata);
HV_EXPORT void *hmqtt_userdata(const hmqtt_t *client);

/* ---- Topics (5 4.7): no client needed ---- */

/* Whether a name may be published to: not empty, UTF-8, without '+', '#' and NUL. */
HV_EXPORT int hmqtt_topic_is_valid(hmqtt_bytes_t topic);
/* Whether a filter is well formed, shared ones included. */
HV_EXPORT int hmqtt_filter_is_valid(hmqtt_bytes_t filter);
/* Whether a topic is one that a filter asks for; of a shared one its filter counts. */
HV_EXPORT int hmqtt_filter_matches(hmqtt_bytes_t filter, hmqtt_bytes_t topic);

HV_END_DECLS

#endif
