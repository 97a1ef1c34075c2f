/* mqtt_options.c - the options of a client of hv.mqtt, which lua/hv/mqtt_options.lua has
 * checked. */
#include "mqtt.h"

#include "fields.h"
#include "tls.h"

/* The string is the table's. */
static hmqtt_bytes_t bytes_field(lua_State *L, const char *name) {
    size_t len;
    const char *text = hvl_field_string(L, 1, name, &len);
    return (hmqtt_bytes_t){text, (uint32_t)len};
}

static void read_limits(lua_State *L, hmqtt_options_t *options) {
    options->connect_timeout_ms = hvl_field_count(L, 1, "timeout");
    options->ping_timeout_ms = hvl_field_count(L, 1, "ping_timeout");
    options->packet_max = hvl_field_count(L, 1, "max_packet");
    options->receive_max = (uint16_t)hvl_field_count(L, 1, "receive_maximum");
    options->inflight_max = (uint16_t)hvl_field_count(L, 1, "max_inflight");
    options->queue_max = hvl_field_count(L, 1, "queue");
    options->queue_bytes_max = hvl_field_count(L, 1, "queue_bytes");
    options->write_high = hvl_field_count(L, 1, "write_high");
    options->topic_alias_max = (uint16_t)hvl_field_count(L, 1, "topic_aliases");
    options->subscriptions_max = hvl_field_count(L, 1, "max_subscriptions");
}

void hvl_mqtt_read_options(lua_State *L, hmqtt_options_t *options) {
    hmqtt_options_init(options);
    options->host = hvl_field_text(L, 1, "host");
    options->port = (int)hvl_field_count(L, 1, "port");
    options->ssl_ctx = hvl_tls_context_field(L, 1, "tls");
    int is_secure = options->ssl_ctx != NULL;
    if (hvl_field_flag(L, 1, "is_ws")) {
        options->transport = is_secure ? HMQTT_WSS : HMQTT_WS;
    } else {
        options->transport = is_secure ? HMQTT_TLS : HMQTT_TCP;
    }
    if (hvl_field_text(L, 1, "ws_path") != NULL) options->path = hvl_field_text(L, 1, "ws_path");
    options->ssl_name = hvl_field_text(L, 1, "tls_name");
    options->version = (int)hvl_field_count(L, 1, "version");
    options->client_id = hvl_field_text(L, 1, "client_id");
    options->clean_start = (uint8_t)hvl_field_flag(L, 1, "clean_start");
    options->keepalive_s = hvl_field_count(L, 1, "keepalive_s");
    options->session_expiry_s = hvl_field_count(L, 1, "session_expiry_s");
    options->keeps_session = (uint8_t)hvl_field_flag(L, 1, "keeps_session");
    options->username = hvl_field_text(L, 1, "username");
    options->password = bytes_field(L, "password");
    options->will.topic = bytes_field(L, "will_topic");
    options->will.payload = bytes_field(L, "will_payload");
    options->will.qos = (uint8_t)hvl_field_count(L, 1, "will_qos");
    options->will.retain = (uint8_t)hvl_field_flag(L, 1, "will_retain");
    options->reconnects = (uint8_t)hvl_field_flag(L, 1, "reconnects");
    options->reconnect.min_delay = hvl_field_count(L, 1, "min_delay");
    options->reconnect.max_delay = hvl_field_count(L, 1, "max_delay");
    options->reconnect.max_retry_cnt = hvl_field_count(L, 1, "max_retries");
    options->reconnect.delay_policy = hvl_field_count(L, 1, "delay_policy");
    options->store = hvl_field_text(L, 1, "store");
    options->store_sync = hvl_field_flag(L, 1, "store_sync") ? HMQTT_SYNC_ALWAYS : HMQTT_SYNC_NEVER;
    read_limits(L, options);
}
