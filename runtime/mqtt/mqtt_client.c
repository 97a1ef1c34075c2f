/* mqtt_client.c - the API of the tutorials over hmqtt.h. What programs know from there is kept: no
 * subscription is made again by itself, since they make theirs at each CONNACK. */
#include "mqtt_client.h"

#include "mqtt_int.h"

static hmqtt_bytes_t bytes_of(const char *text, size_t len) {
    if (len == 0 && text != NULL) len = strlen(text);
    return (hmqtt_bytes_t){text, (uint32_t)len};
}

static void copy_into(char *member, size_t bytes, const char *text) {
    snprintf(member, bytes, "%s", text != NULL ? text : "");
}

/* ---- Making and freeing ---- */

mqtt_client_t *mqtt_client_new(hloop_t *loop) {
    mqtt_client_t *cli = hv__calloc(1, sizeof *cli);
    if (cli == NULL) return NULL;
    cli->owns_loop = loop == NULL;
    cli->loop = loop != NULL ? loop : hloop_new(0);
    if (cli->loop == NULL) {
        hv__free(cli);
        return NULL;
    }
    cli->port = DEFAULT_MQTT_PORT;
    cli->connect_timeout = HIO_DEFAULT_CONNECT_TIMEOUT;
    cli->protocol_version = MQTT_PROTOCOL_V311;
    cli->clean_session = 1;
    cli->keepalive = DEFAULT_MQTT_KEEPALIVE;
    return cli;
}

void mqtt_client_run(mqtt_client_t *cli) { hloop_run(cli->loop); }
void mqtt_client_stop(mqtt_client_t *cli) { hloop_stop(cli->loop); }

void mqtt_client_free(mqtt_client_t *cli) {
    if (cli == NULL) return;
    hmqtt_free(cli->impl);
    hssl_ctx_free(cli->ssl_ctx);
    hv__free(cli->reconn_setting);
    hv__free(cli->will);
    hloop_t *loop = cli->owns_loop ? cli->loop : NULL;
    hv__free(cli);
    hloop_free(&loop);
}

/* ---- Settings ---- */

void mqtt_client_set_id(mqtt_client_t *cli, const char *id) {
    copy_into(cli->client_id, sizeof cli->client_id, id);
}

void mqtt_client_set_will(mqtt_client_t *cli, mqtt_message_t *will) {
    if (cli->will == NULL) cli->will = hv__malloc(sizeof *will);
    if (cli->will != NULL) *cli->will = *will;
}

void mqtt_client_set_auth(mqtt_client_t *cli, const char *username, const char *password) {
    copy_into(cli->username, sizeof cli->username, username);
    copy_into(cli->password, sizeof cli->password, password);
}

void mqtt_client_set_callback(mqtt_client_t *cli, mqtt_client_cb cb) { cli->cb = cb; }
void mqtt_client_set_userdata(mqtt_client_t *cli, void *userdata) { cli->userdata = userdata; }
void *mqtt_client_get_userdata(mqtt_client_t *cli) { return cli->userdata; }
int mqtt_client_get_last_error(mqtt_client_t *cli) { return cli->error; }

int mqtt_client_set_ssl_ctx(mqtt_client_t *cli, hssl_ctx_t ssl_ctx) {
    if (ssl_ctx != NULL) hssl_ctx_retain(ssl_ctx);
    hssl_ctx_free(cli->ssl_ctx);
    cli->ssl_ctx = ssl_ctx;
    return 0;
}

int mqtt_client_new_ssl_ctx(mqtt_client_t *cli, const hssl_ctx_opt_t *opt) {
    hssl_ctx_opt_t client_opt = *opt;
    client_opt.endpoint = HSSL_CLIENT;
    hssl_ctx_t ctx = hssl_ctx_new(&client_opt);
    if (ctx == NULL) return HV_ETLS;
    hssl_ctx_free(cli->ssl_ctx);
    cli->ssl_ctx = ctx;
    return 0;
}

int mqtt_client_set_reconnect(mqtt_client_t *cli, reconn_setting_t *reconn) {
    if (reconn == NULL) {
        hv__free(cli->reconn_setting);
        cli->reconn_setting = NULL;
        return 0;
    }
    if (cli->reconn_setting == NULL) cli->reconn_setting = hv__malloc(sizeof *reconn);
    if (cli->reconn_setting == NULL) return HV_ENOMEM;
    *cli->reconn_setting = *reconn;
    return 0;
}

void mqtt_client_set_connect_timeout(mqtt_client_t *cli, int timeout_ms) {
    cli->connect_timeout = timeout_ms;
}

void mqtt_client_set_host(mqtt_client_t *cli, const char *host, int port, int ssl) {
    copy_into(cli->host, sizeof cli->host, host);
    cli->port = port;
    cli->ssl = ssl != 0;
}

/* ---- Events ---- */

static int connack_of(uint8_t reason) {
    switch (reason) {
    case HMQTT_SUCCESS: return MQTT_CONNACK_ACCEPTED;
    case HMQTT_BAD_VERSION: return MQTT_CONNACK_REFUSED_PROTOCOL_VERSION;
    case HMQTT_BAD_CLIENT_ID: return MQTT_CONNACK_REFUSED_IDENTIFIER_REJECTED;
    case HMQTT_UNAVAILABLE: return MQTT_CONNACK_REFUSED_SERVER_UNAVAILABLE;
    case HMQTT_BAD_LOGIN: return MQTT_CONNACK_REFUSED_BAD_USERNAME_PASSWORD;
    case HMQTT_NOT_AUTHORIZED: return MQTT_CONNACK_REFUSED_NOT_AUTHORIZED;
    default: return reason;
    }
}

static void on_event(hmqtt_t *impl, const hmqtt_event_t *event, void *userdata) {
    mqtt_client_t *cli = userdata;
    if (cli->impl != impl || event->type == HMQTT_AUTH || event->type == HMQTT_DRAIN) return;
    cli->connected = hmqtt_is_connected(impl) != 0;
    cli->mid = event->packet_id;
    cli->error = event->type == HMQTT_CONNACK ? connack_of(event->reason) : event->error;
    cli->io = hmqtt_io(impl);
    cli->head = (mqtt_head_t){.type = event->type & 0xfu};
    if (event->message != NULL) {
        cli->head.dup = event->message->dup & 1u;
        cli->head.qos = event->message->qos & 3u;
        cli->head.retain = event->message->retain & 1u;
        cli->message = (mqtt_message_t){event->message->topic.len,   event->message->topic.data,
                                        event->message->payload.len, event->message->payload.data,
                                        event->message->qos,         event->message->retain};
    }
    if (cli->reconn_setting != NULL) {
        cli->reconn_setting->cur_delay = impl->reconnect.cur_delay;
        cli->reconn_setting->cur_retry_cnt = impl->reconnect.cur_retry_cnt;
    }
    if (cli->cb != NULL) HV_DISPATCH(cli->loop, cli->cb(cli, (int)event->type));
}

/* ---- Running ---- */

int mqtt_client_connect(mqtt_client_t *cli, const char *host, int port, int ssl) {
    mqtt_client_set_host(cli, host, port, ssl);
    hmqtt_options_t options;
    hmqtt_options_init(&options);
    options.host = cli->host;
    options.port = port;
    options.transport = ssl ? HMQTT_TLS : HMQTT_TCP;
    options.ssl_ctx = cli->ssl_ctx;
    options.version = cli->protocol_version;
    options.client_id = cli->client_id;
    options.clean_start = cli->clean_session;
    options.keepalive_s = cli->keepalive;
    options.resubscribes = 0;
    options.connect_timeout_ms = (uint32_t)cli->connect_timeout;
    options.reconnects = cli->reconn_setting != NULL;
    if (cli->reconn_setting != NULL) options.reconnect = *cli->reconn_setting;
    if (cli->username[0] != '\0') options.username = cli->username;
    if (cli->password[0] != '\0') options.password = bytes_of(cli->password, 0);
    if (cli->will != NULL) {
        options.will.topic = bytes_of(cli->will->topic, cli->will->topic_len);
        options.will.payload = bytes_of(cli->will->payload, cli->will->payload_len);
        options.will.qos = cli->will->qos;
        options.will.retain = cli->will->retain;
    }
    hmqtt_t *impl = hmqtt_new(cli->loop, &options, on_event, cli);
    if (impl == NULL) {
        cli->error = -hloop_last_error(cli->loop);
        return hloop_last_error(cli->loop);
    }
    hmqtt_free(cli->impl);
    cli->impl = impl;
    return hmqtt_start(impl);
}

int mqtt_client_reconnect(mqtt_client_t *cli) {
    if (cli->impl != NULL) return hmqtt_reconnect(cli->impl);
    return mqtt_client_connect(cli, cli->host, cli->port, cli->ssl);
}

bool mqtt_client_is_connected(mqtt_client_t *cli) {
    return cli->impl != NULL && hmqtt_is_connected(cli->impl);
}

int mqtt_client_disconnect(mqtt_client_t *cli) {
    return cli->impl != NULL ? hmqtt_disconnect(cli->impl, 0, NULL, 0) : HV_ENOTCONN;
}

int mqtt_client_publish(mqtt_client_t *cli, mqtt_message_t *msg) {
    if (cli->impl == NULL) return HV_ENOTCONN;
    hmqtt_publish_t publish = {.topic = bytes_of(msg->topic, msg->topic_len),
                               .payload = bytes_of(msg->payload, msg->payload_len),
                               .qos = msg->qos,
                               .retain = msg->retain};
    return hmqtt_publish(cli->impl, &publish);
}

int mqtt_client_subscribe(mqtt_client_t *cli, const char *topic, int qos) {
    if (cli->impl == NULL) return HV_ENOTCONN;
    hmqtt_filter_t filter = {.filter = bytes_of(topic, 0), .qos = (uint8_t)qos};
    return hmqtt_subscribe(cli->impl, &(hmqtt_subscribe_t){.filters = &filter, .filter_count = 1});
}

int mqtt_client_unsubscribe(mqtt_client_t *cli, const char *topic) {
    if (cli->impl == NULL) return HV_ENOTCONN;
    hmqtt_filter_t filter = {.filter = bytes_of(topic, 0)};
    hmqtt_subscribe_t call = {.filters = &filter, .filter_count = 1};
    return hmqtt_unsubscribe(cli->impl, &call);
}

/* ---- Fixed headers ---- */

int mqtt_head_pack(mqtt_head_t *head, unsigned char buf[]) {
    buf[0] = (unsigned char)(head->type << 4 | head->dup << 3 | head->qos << 1 | head->retain);
    return 1 + (int)mqtt_varint_put(buf + 1, head->length & MQTT_REST_MAX);
}

int mqtt_head_unpack(mqtt_head_t *head, const unsigned char *buf, int len) {
    uint32_t length = 0;
    if (len < 2) return 0;
    int bytes = mqtt_varint_get(buf + 1, (size_t)len - 1, &length);
    if (bytes <= 0) return 0;
    head->type = buf[0] >> 4 & 0xfu;
    head->dup = buf[0] >> 3 & 1u;
    head->qos = buf[0] >> 1 & 3u;
    head->retain = buf[0] & 1u;
    head->length = length;
    return 1 + bytes;
}
