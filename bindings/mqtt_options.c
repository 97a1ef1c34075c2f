/* mqtt_options.c - the options of a client of hv.mqtt, which lua/hv/mqtt_options.lua has
 * checked. */
#include "mqtt.h"
#include "tls.h"

static uint32_t number_field(lua_State *L, const char *name) {
    lua_getfield(L, 1, name);
    lua_Number value = lua_tonumber(L, -1);
    lua_pop(L, 1);
    if (value <= 0) return 0;
    return value < UINT32_MAX ? (uint32_t)value : UINT32_MAX;
}

static uint8_t flag_field(lua_State *L, const char *name) {
    lua_getfield(L, 1, name);
    int value = lua_toboolean(L, -1);
    lua_pop(L, 1);
    return (uint8_t)value;
}

/* The string is the table's. */
static hmqtt_bytes_t bytes_field(lua_State *L, const char *name) {
    size_t len = 0;
    lua_getfield(L, 1, name);
    const char *text = lua_tolstring(L, -1, &len);
    lua_pop(L, 1);
    return (hmqtt_bytes_t){text, (uint32_t)len};
}

static const char *text_field(lua_State *L, const char *name) {
    return bytes_field(L, name).data;
}

static void read_limits(lua_State *L, hmqtt_options_t *options) {
    options->connect_timeout_ms = number_field(L, "timeout");
    options->ping_timeout_ms = number_field(L, "ping_timeout");
    options->packet_max = number_field(L, "max_packet");
    options->receive_max = (uint16_t)number_field(L, "receive_maximum");
    options->inflight_max = (uint16_t)number_field(L, "max_inflight");
    options->queue_max = number_field(L, "queue");
    options->queue_bytes_max = number_field(L, "queue_bytes");
    options->write_high = number_field(L, "write_high");
    options->topic_alias_max = (uint16_t)number_field(L, "topic_aliases");
    options->subscriptions_max = number_field(L, "max_subscriptions");
}

void hvl_mqtt_read_options(lua_State *L, hmqtt_options_t *options) {
    hmqtt_options_init(options);
    options->host = text_field(L, "host");
    options->port = (int)number_field(L, "port");
    options->ssl_ctx = hvl_tls_context_field(L, 1, "tls");
    int is_secure = options->ssl_ctx != NULL;
    if (flag_field(L, "is_ws")) {
        options->transport = is_secure ? HMQTT_WSS : HMQTT_WS;
    } else {
        options->transport = is_secure ? HMQTT_TLS : HMQTT_TCP;
    }
    if (text_field(L, "ws_path") != NULL) options->path = text_field(L, "ws_path");
    options->ssl_name = text_field(L, "tls_name");
    options->version = (int)number_field(L, "version");
    options->client_id = text_field(L, "client_id");
    options->clean_start = flag_field(L, "clean_start");
    options->keepalive_s = number_field(L, "keepalive_s");
    options->session_expiry_s = number_field(L, "session_expiry_s");
    options->keeps_session = flag_field(L, "keeps_session");
    options->username = text_field(L, "username");
    options->password = bytes_field(L, "password");
    options->will.topic = bytes_field(L, "will_topic");
    options->will.payload = bytes_field(L, "will_payload");
    options->will.qos = (uint8_t)number_field(L, "will_qos");
    options->will.retain = flag_field(L, "will_retain");
    options->reconnects = flag_field(L, "reconnects");
    options->reconnect.min_delay = number_field(L, "min_delay");
    options->reconnect.max_delay = number_field(L, "max_delay");
    options->reconnect.max_retry_cnt = number_field(L, "max_retries");
    options->reconnect.delay_policy = number_field(L, "delay_policy");
    options->store = text_field(L, "store");
    options->store_sync = flag_field(L, "store_sync") ? HMQTT_SYNC_ALWAYS : HMQTT_SYNC_NEVER;
    read_limits(L, options);
}
