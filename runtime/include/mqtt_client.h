/* mqtt_client.h - MQTT as programs of libhv's tutorials use it: one struct, one callback that is
 * told the type of what happened. It is a thin layer over hmqtt.h, which offers more.
 *
 *     mqtt_client_t *cli = mqtt_client_new(NULL);
 *     mqtt_client_set_callback(cli, on_mqtt);
 *     mqtt_client_connect(cli, "127.0.0.1", DEFAULT_MQTT_PORT, 0);
 *     mqtt_client_run(cli);
 *     mqtt_client_free(cli);
 *
 * A client belongs to the thread of its loop, and calls its callback only from the loop. */
#ifndef HV_MQTT_CLIENT_H_
#define HV_MQTT_CLIENT_H_

#include "hloop.h"
#include "hmqtt.h"
#include "mqtt_protocol.h"

HV_BEGIN_DECLS

#define DEFAULT_MQTT_KEEPALIVE 60 /* seconds */

typedef struct mqtt_client_s mqtt_client_t;

/* `type` is a mqtt_type_e: CONNECT, CONNACK, PUBLISH, PUBACK, PUBREC, PUBCOMP, SUBACK, UNSUBACK or
 * DISCONNECT. Members of `cli` tell the rest. */
typedef void (*mqtt_client_cb)(mqtt_client_t *cli, int type);

struct mqtt_client_s {
    /* Set before mqtt_client_connect, by hand or by the functions below. */
    char host[256];
    int port;
    int connect_timeout; /* milliseconds */
    reconn_setting_t *reconn_setting; /* NULL: no reconnecting; its counters are kept up to date */
    unsigned char protocol_version;   /* MQTT_PROTOCOL_V311 by default */
    unsigned char clean_session : 1;  /* 1 by default */
    unsigned char ssl : 1;
    unsigned char connected : 1; /* to be read only: CONNACK has said yes */
    unsigned short keepalive;    /* seconds */
    char client_id[64];          /* empty: one is made up */
    mqtt_message_t *will;
    char username[64];
    char password[64];

    /* For the callback. */
    mqtt_head_t head;       /* type; of PUBLISH dup, qos and retain, too */
    int error;              /* CONNACK: a mqtt_connack_e; DISCONNECT: 0, or a code of hio_error */
    int mid;                /* of an answer of the broker's: what a call has returned */
    mqtt_message_t message; /* PUBLISH: borrowed until the callback returns */

    mqtt_client_cb cb;
    void *userdata;
    hloop_t *loop;

    /* The library's own. */
    hio_t *io; /* for its addresses; NULL while there is no connection */
    hmqtt_t *impl;
    hssl_ctx_t ssl_ctx;
    unsigned char owns_loop;
};

/* Makes a client; with NULL it has a loop of its own. Returns NULL without memory. */
HV_EXPORT mqtt_client_t *mqtt_client_new(hloop_t *loop);
/* Runs the loop until mqtt_client_stop. */
HV_EXPORT void mqtt_client_run(mqtt_client_t *cli);
/* Ends the loop's run. */
HV_EXPORT void mqtt_client_stop(mqtt_client_t *cli);
/* Frees the client, and its loop where it is its own. Not in a callback then. */
HV_EXPORT void mqtt_client_free(mqtt_client_t *cli);

/* Texts are copied, and cut to what the members hold. */
HV_EXPORT void mqtt_client_set_id(mqtt_client_t *cli, const char *id);
/* The message is copied, its texts are borrowed until mqtt_client_connect. */
HV_EXPORT void mqtt_client_set_will(mqtt_client_t *cli, mqtt_message_t *will);
HV_EXPORT void mqtt_client_set_auth(mqtt_client_t *cli, const char *username, const char *password);
HV_EXPORT void mqtt_client_set_callback(mqtt_client_t *cli, mqtt_client_cb cb);
HV_EXPORT void mqtt_client_set_userdata(mqtt_client_t *cli, void *userdata);
HV_EXPORT void *mqtt_client_get_userdata(mqtt_client_t *cli);
HV_EXPORT int mqtt_client_get_last_error(mqtt_client_t *cli);

/* TLS by a context, which is retained, or by one of these options; otherwise the broker is verified
 * by the system's roots. Return 0, or HV_ETLS. */
HV_EXPORT int mqtt_client_set_ssl_ctx(mqtt_client_t *cli, hssl_ctx_t ssl_ctx);
HV_EXPORT int mqtt_client_new_ssl_ctx(mqtt_client_t *cli, const hssl_ctx_opt_t *opt);

/* The setting is copied; NULL: no reconnecting. Returns 0 or HV_ENOMEM. */
HV_EXPORT int mqtt_client_set_reconnect(mqtt_client_t *cli, reconn_setting_t *reconn);
/* Connects again now. Returns 0 or a code. */
HV_EXPORT int mqtt_client_reconnect(mqtt_client_t *cli);
HV_EXPORT void mqtt_client_set_connect_timeout(mqtt_client_t *cli, int timeout_ms);
HV_EXPORT void mqtt_client_set_host(mqtt_client_t *cli, const char *host, int port, int ssl);
/* Begins to connect; MQTT_TYPE_CONNACK or MQTT_TYPE_DISCONNECT tells the end. Returns 0 or a
 * code. */
HV_EXPORT int mqtt_client_connect(mqtt_client_t *cli, const char *host, int port, int ssl);
HV_EXPORT bool mqtt_client_is_connected(mqtt_client_t *cli);
/* Ends the connection behind what was published. Returns 0 or a code. */
HV_EXPORT int mqtt_client_disconnect(mqtt_client_t *cli);

/* As hmqtt_publish ...: return the id that the answer has in `mid`, or a code. */
HV_EXPORT int mqtt_client_publish(mqtt_client_t *cli, mqtt_message_t *msg);
HV_EXPORT int mqtt_client_subscribe(mqtt_client_t *cli, const char *topic, int qos);
HV_EXPORT int mqtt_client_unsubscribe(mqtt_client_t *cli, const char *topic);

HV_END_DECLS

#endif
