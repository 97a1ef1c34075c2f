/* mqtt_calls.c - what a client of hv.mqtt asks of its broker: publish, subscribe, authenticate.
 * Whoever waits for an answer waits by a hvl_mqtt_pending_t, see mqtt.c. */
#include "mqtt.h"

/* ---- Publishing ---- */

typedef struct publish_args_s {
    hmqtt_publish_t publish;
    int64_t timeout_ms;
    int has_properties;
} publish_args_t;

hmqtt_bytes_t hvl_mqtt_check_text(lua_State *L, int index, const char *what) {
    if (lua_type(L, index) != LUA_TSTRING && lua_type(L, index) != LUA_TNUMBER) {
        hvl_misuse(L, "%s must be a string, got %s", what, luaL_typename(L, index));
    }
    size_t len;
    const char *text = lua_tolstring(L, index, &len);
    return (hmqtt_bytes_t){text, (uint32_t)len};
}

/* One option of publish; its value is on top. */
static void read_publish_option(lua_State *L, const char *key, publish_args_t *args) {
    if (strcmp(key, "qos") == 0) {
        args->publish.qos = (uint8_t)hvl_check_integer(L, -1, "client:publish: qos", 0, 2);
    } else if (strcmp(key, "retain") == 0) {
        if (!lua_isboolean(L, -1)) {
            hvl_misuse(L, "client:publish: retain must be a boolean, got %s",
                       luaL_typename(L, -1));
        }
        args->publish.retain = (uint8_t)lua_toboolean(L, -1);
    } else if (strcmp(key, "timeout") == 0) {
        int is_none = lua_isboolean(L, -1) && !lua_toboolean(L, -1);
        int64_t ms = is_none ? 0
                             : hvl_check_integer(L, -1, "client:publish: timeout", 0, INT32_MAX);
        args->timeout_ms = ms > 0 ? ms : -1;
    } else if (strcmp(key, "properties") == 0) {
        args->has_properties = 1;
    } else {
        hvl_misuse(L, "client:publish: unknown option \"%s\" (qos, retain, properties, timeout)",
                   key);
    }
}

static void read_publish(lua_State *L, publish_args_t *args) {
    *args = (publish_args_t){.timeout_ms = 60000};
    args->publish.topic = hvl_mqtt_check_text(L, 2, "client:publish: topic");
    args->publish.payload = hvl_mqtt_check_text(L, 3, "client:publish: payload");
    if (lua_isnoneornil(L, 4)) return;
    if (!lua_istable(L, 4)) {
        hvl_misuse(L, "client:publish: options must be a table, got %s", luaL_typename(L, 4));
    }
    for (lua_pushnil(L); lua_next(L, 4) != 0; lua_pop(L, 1)) {
        if (lua_type(L, -2) != LUA_TSTRING) {
            hvl_misuse(L, "client:publish: names of options are strings, got %s",
                       luaL_typename(L, -2));
        }
        read_publish_option(L, lua_tostring(L, -2), args);
    }
}

static int publish_error(lua_State *L, const hmqtt_publish_t *publish, int code) {
    if (code == HV_EINVAL && publish->topic.len > UINT16_MAX) {
        return hvl_misuse(L, "client:publish: a topic has 65535 bytes at most, this has %d",
                          (int)publish->topic.len);
    }
    if (code == HV_EINVAL && !hmqtt_topic_is_valid(publish->topic)) {
        return hvl_misuse(L,
                          "client:publish: \"%s\" is no topic name: no +, # or NUL, UTF-8, not "
                          "empty (MQTT 5, 4.7.1)",
                          publish->topic.data);
    }
    if (code == HV_EINVAL) {
        return hvl_misuse(L, "client:publish: a property does not belong there");
    }
    lua_pushfstring(L, "publish %s", publish->topic.data);
    return hvl_push_error(L, lua_tostring(L, -1), code);
}

/* What is written is more than the broker takes: waits until it is less. */
static int wait_for_drain(lua_State *L, hvl_mqtt_t *self, int64_t timeout_ms) {
    if (!hvl_may_wait(L)) return hvl_refuse(L, NULL);
    hvl_mqtt_pending_t *pending = hvl_mqtt_pending_new(self, "publish");
    if (pending == NULL) return hvl_push_error(L, "publish", HV_ENOMEM);
    pending->next = self->drains;
    self->drains = pending;
    pending->waiter = hvl_wait_begin(L, "publish", timeout_ms, NULL, NULL);
    return hvl_wait(L);
}

/* publish(topic, payload, options) */
int hvl_mqtt_publish(lua_State *L) {
    if (hvl_is_dual(L)) return hvl_dual(L);
    int count = 0;
    hvl_mqtt_t *self = hvl_mqtt_check_living(L, "publish", &count);
    if (self == NULL) return count;
    publish_args_t args;
    hvl_mqtt_list_t properties;
    read_publish(L, &args);
    hmqtt_publish_t *publish = &args.publish;
    if (args.has_properties) {
        lua_getfield(L, 4, "properties");
        hvl_mqtt_read_properties(L, -1, "client:publish", &properties);
        lua_pop(L, 1);
        publish->properties = properties.items;
        publish->property_count = properties.count;
    }
    if (publish->qos == 0) {
        int code = hmqtt_publish(self->mqtt, publish);
        if (code < 0) return publish_error(L, publish, code);
        if (hmqtt_is_high(self->mqtt)) return wait_for_drain(L, self, args.timeout_ms);
        lua_pushboolean(L, 1);
        return 1;
    }
    if (!hvl_may_wait(L)) return hvl_refuse(L, NULL);
    hvl_mqtt_pending_t *pending = hvl_mqtt_pending_new(self, "publish");
    if (pending == NULL) return hvl_push_error(L, "publish", HV_ENOMEM);
    publish->token = pending;
    int code = hmqtt_publish(self->mqtt, publish);
    if (code < 0) {
        hvl_mqtt_pending_free(pending);
        return publish_error(L, publish, code);
    }
    if (self->awaited++ == 0) hvl_mqtt_balance(self);
    pending->waiter = hvl_wait_begin(L, "publish", args.timeout_ms, NULL, NULL);
    return hvl_wait(L);
}

/* ---- Subscribing ---- */

#define FILTERS_MAX 1024

/* call(filters, options, id, properties, timeout, is_unsubscribe): `filters` is a list of strings;
 * returns true and the reasons, a byte each. */
int hvl_mqtt_call(lua_State *L) {
    int count = 0;
    lua_settop(L, 7);
    int ends = lua_toboolean(L, 7);
    const char *what = ends ? "unsubscribe" : "subscribe";
    hvl_mqtt_t *self = hvl_mqtt_check_living(L, what, &count);
    if (self == NULL) return count;
    luaL_checktype(L, 2, LUA_TTABLE);
    size_t filters = lua_objlen(L, 2);
    if (filters == 0 || filters > FILTERS_MAX) {
        return hvl_misuse(L, "client:%s: 1..%d filters expected", what, FILTERS_MAX);
    }
    hmqtt_filter_t *list = lua_newuserdata(L, filters * sizeof *list);
    uint32_t bits = (uint32_t)luaL_checkinteger(L, 3);
    for (size_t i = 0; i < filters; i++) {
        lua_rawgeti(L, 2, (int)i + 1);
        hmqtt_bytes_t filter = hvl_mqtt_check_text(L, -1, "filter");
        if (!hmqtt_filter_is_valid(filter)) {
            const char *text = filter.len <= UINT16_MAX ? filter.data : "of more than 65535 bytes";
            return hvl_misuse(L, "client:%s: \"%s\" is no topic filter (MQTT 5, 4.7.1)", what,
                              text);
        }
        list[i] = (hmqtt_filter_t){filter, bits & 3, bits >> 2 & 1, bits >> 3 & 1, bits >> 4 & 3};
        lua_pop(L, 1);
    }
    hvl_mqtt_list_t properties;
    hvl_mqtt_read_properties(L, 5, ends ? "client:unsubscribe" : "client:subscribe", &properties);
    if (!hvl_may_wait(L)) return hvl_refuse(L, NULL);
    uint32_t id = (uint32_t)luaL_checkinteger(L, 4);
    int64_t timeout_ms = (int64_t)luaL_checknumber(L, 6);
    hvl_mqtt_pending_t *pending = hvl_mqtt_pending_new(self, what);
    if (pending == NULL) return hvl_push_error(L, what, HV_ENOMEM);
    hmqtt_subscribe_t call = {.filters = list,
                              .filter_count = filters,
                              .id = id,
                              .token = pending,
                              .properties = properties.items,
                              .property_count = properties.count};
    int code = ends ? hmqtt_unsubscribe(self->mqtt, &call) : hmqtt_subscribe(self->mqtt, &call);
    if (code < 0) {
        hvl_mqtt_pending_free(pending);
        return hvl_push_error(L, what, code);
    }
    if (self->awaited++ == 0) hvl_mqtt_balance(self);
    pending->waiter = hvl_wait_begin(L, what, timeout_ms, NULL, NULL);
    return hvl_wait(L);
}

/* auth(reason, data) */
int hvl_mqtt_auth(lua_State *L) {
    int count = 0;
    hvl_mqtt_t *self = hvl_mqtt_check_living(L, "auth", &count);
    if (self == NULL) return count;
    uint8_t reason = (uint8_t)luaL_checkinteger(L, 2);
    hmqtt_bytes_t data = {NULL, 0};
    if (!lua_isnoneornil(L, 3)) data = hvl_mqtt_check_text(L, 3, "client:reauthenticate: data");
    int code = hmqtt_auth(self->mqtt, reason, data);
    if (code != 0) return hvl_push_error(L, "auth", code);
    lua_pushboolean(L, 1);
    return 1;
}
