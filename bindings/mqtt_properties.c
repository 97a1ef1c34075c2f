/* mqtt_properties.c - properties of MQTT 5 by name, as Lua writes them: durations in milliseconds,
 * flags as booleans, user properties as a table of names and a list of pairs in order. */
#include "mqtt.h"

#include <math.h>

enum { AS_IS, AS_FLAG, AS_MS, AS_USER };

static const struct {
    const char *name;
    uint8_t id;
    uint8_t form;
} names[] = {
    {"payload_format", HMQTT_PAYLOAD_FORMAT, AS_IS},
    {"message_expiry", HMQTT_MESSAGE_EXPIRY, AS_MS},
    {"content_type", HMQTT_CONTENT_TYPE, AS_IS},
    {"response_topic", HMQTT_RESPONSE_TOPIC, AS_IS},
    {"correlation_data", HMQTT_CORRELATION_DATA, AS_IS},
    {"subscription_id", HMQTT_SUBSCRIPTION_ID, AS_IS},
    {"session_expiry", HMQTT_SESSION_EXPIRY, AS_MS},
    {"assigned_client_id", HMQTT_ASSIGNED_CLIENT_ID, AS_IS},
    {"server_keepalive", HMQTT_SERVER_KEEPALIVE, AS_MS},
    {"auth_method", HMQTT_AUTH_METHOD, AS_IS},
    {"auth_data", HMQTT_AUTH_DATA, AS_IS},
    {"request_problem", HMQTT_REQUEST_PROBLEM, AS_FLAG},
    {"will_delay", HMQTT_WILL_DELAY, AS_MS},
    {"request_response", HMQTT_REQUEST_RESPONSE, AS_FLAG},
    {"response_info", HMQTT_RESPONSE_INFO, AS_IS},
    {"server_reference", HMQTT_SERVER_REFERENCE, AS_IS},
    {"reason_string", HMQTT_REASON_STRING, AS_IS},
    {"receive_maximum", HMQTT_RECEIVE_MAX, AS_IS},
    {"topic_alias_maximum", HMQTT_TOPIC_ALIAS_MAX, AS_IS},
    {"topic_alias", HMQTT_TOPIC_ALIAS, AS_IS},
    {"maximum_qos", HMQTT_MAX_QOS, AS_IS},
    {"retain_available", HMQTT_RETAIN_AVAILABLE, AS_FLAG},
    {"user", HMQTT_USER_PROPERTY, AS_USER},
    {"maximum_packet_size", HMQTT_MAX_PACKET, AS_IS},
    {"wildcards_available", HMQTT_WILDCARDS_AVAILABLE, AS_FLAG},
    {"subscription_ids_available", HMQTT_IDS_AVAILABLE, AS_FLAG},
    {"shared_available", HMQTT_SHARED_AVAILABLE, AS_FLAG},
};

/* ---- From Lua ---- */

static hmqtt_property_t *add(lua_State *L, const char *where, hvl_mqtt_list_t *list, uint8_t id) {
    if (list->count == HVL_MQTT_PROPERTIES_MAX) {
        hvl_misuse(L, "%s: more than %d properties", where, HVL_MQTT_PROPERTIES_MAX);
    }
    hmqtt_property_t *property = &list->items[list->count++];
    *property = (hmqtt_property_t){.id = id};
    return property;
}

/* The string at a stack index, which stays in the table that it is of. */
static hmqtt_bytes_t text_at(lua_State *L, int index, const char *where, const char *name) {
    if (lua_type(L, index) != LUA_TSTRING) {
        hvl_misuse(L, "%s: property %s must be a string, got %s", where, name,
                   luaL_typename(L, index));
    }
    size_t len;
    const char *text = lua_tolstring(L, index, &len);
    if (len > UINT16_MAX) hvl_misuse(L, "%s: property %s is longer than 65535 bytes", where, name);
    return (hmqtt_bytes_t){text, (uint32_t)len};
}

/* {name = value} and {{name, value}, ...}, which lies on top of the stack. */
static void read_user(lua_State *L, const char *where, hvl_mqtt_list_t *list) {
    if (!lua_istable(L, -1)) {
        hvl_misuse(L, "%s: property user must be a table, got %s", where, luaL_typename(L, -1));
    }
    int pairs = (int)lua_objlen(L, -1);
    for (int i = 1; i <= pairs; i++) {
        lua_rawgeti(L, -1, i);
        if (!lua_istable(L, -1)) hvl_misuse(L, "%s: user[%d] must be {name, value}", where, i);
        hmqtt_property_t *property = add(L, where, list, HMQTT_USER_PROPERTY);
        lua_rawgeti(L, -1, 1);
        property->name = text_at(L, -1, where, "user");
        lua_rawgeti(L, -2, 2);
        property->value = text_at(L, -1, where, "user");
        lua_pop(L, 3);
    }
    for (lua_pushnil(L); lua_next(L, -2) != 0; lua_pop(L, 1)) {
        if (lua_type(L, -2) == LUA_TNUMBER || pairs > 0) continue; /* told as a pair */
        hmqtt_property_t *property = add(L, where, list, HMQTT_USER_PROPERTY);
        property->name = text_at(L, -2, where, "user");
        property->value = text_at(L, -1, where, "user");
    }
}

static uint32_t number_at(lua_State *L, const char *where, const char *name, int form) {
    if (form == AS_FLAG) return (uint32_t)lua_toboolean(L, -1);
    lua_Number number = lua_type(L, -1) == LUA_TNUMBER ? lua_tonumber(L, -1) : -1;
    if (form == AS_MS && number >= 0) {
        number = ceil(number / 1000);
        if (number >= UINT32_MAX) return UINT32_MAX; /* for ever */
    }
    if (!(number >= 0 && number <= UINT32_MAX)) {
        hvl_misuse(L, "%s: property %s must be a number from 0", where, name);
    }
    return (uint32_t)number;
}

static void read_property(lua_State *L, const char *where, hvl_mqtt_list_t *list, size_t which) {
    const char *name = names[which].name;
    if (names[which].form == AS_USER) {
        read_user(L, where, list);
        return;
    }
    hmqtt_property_t *property = add(L, where, list, names[which].id);
    if (hmqtt_property_kind(names[which].id) >= HMQTT_KIND_TEXT) {
        property->value = text_at(L, -1, where, name);
    } else {
        property->number = number_at(L, where, name, names[which].form);
    }
}

void hvl_mqtt_read_properties(lua_State *L, int index, const char *where, hvl_mqtt_list_t *list) {
    list->count = 0;
    if (lua_isnoneornil(L, index)) return;
    if (!lua_istable(L, index)) {
        hvl_misuse(L, "%s: properties must be a table, got %s", where, luaL_typename(L, index));
    }
    if (index < 0) index = lua_gettop(L) + index + 1;
    for (lua_pushnil(L); lua_next(L, index) != 0; lua_pop(L, 1)) {
        const char *key = lua_type(L, -2) == LUA_TSTRING ? lua_tostring(L, -2) : "?";
        size_t which = 0;
        while (which < ARRAY_SIZE(names) && strcmp(names[which].name, key) != 0) which++;
        if (which == ARRAY_SIZE(names)) {
            hvl_misuse(L, "%s: there is no property \"%s\"", where, key);
        }
        read_property(L, where, list, which);
    }
}

/* ---- To Lua ---- */

/* Adds to the table of user properties, which is on top. */
static void push_user(lua_State *L, const hmqtt_property_t *property) {
    lua_getfield(L, -1, "user");
    if (lua_isnil(L, -1)) {
        lua_pop(L, 1);
        lua_newtable(L);
        lua_pushvalue(L, -1);
        lua_setfield(L, -3, "user");
    }
    lua_createtable(L, 2, 0);
    lua_pushlstring(L, property->name.data, property->name.len);
    lua_rawseti(L, -2, 1);
    lua_pushlstring(L, property->value.data, property->value.len);
    lua_rawseti(L, -2, 2);
    lua_rawseti(L, -2, (int)lua_objlen(L, -2) + 1);
    lua_pushlstring(L, property->name.data, property->name.len);
    lua_pushlstring(L, property->value.data, property->value.len);
    lua_rawset(L, -3);
    lua_pop(L, 1);
}

/* A message may have several: one for each subscription that asked for it. */
static void push_subscription_id(lua_State *L, uint32_t id) {
    lua_getfield(L, -1, "subscription_ids");
    if (lua_isnil(L, -1)) {
        lua_pop(L, 1);
        lua_createtable(L, 1, 0);
        lua_pushvalue(L, -1);
        lua_setfield(L, -3, "subscription_ids");
    }
    lua_pushinteger(L, (lua_Integer)id);
    lua_rawseti(L, -2, (int)lua_objlen(L, -2) + 1);
    lua_pop(L, 1);
}

static void push_value(lua_State *L, const hmqtt_property_t *property, int form) {
    if (hmqtt_property_kind(property->id) >= HMQTT_KIND_TEXT) {
        lua_pushlstring(L, property->value.data, property->value.len);
    } else if (form == AS_FLAG) {
        lua_pushboolean(L, (int)property->number);
    } else if (form == AS_MS) {
        lua_pushnumber(L, property->number == UINT32_MAX ? HUGE_VAL
                                                         : (lua_Number)property->number * 1000);
    } else {
        lua_pushnumber(L, property->number);
    }
}

void hvl_mqtt_push_properties(lua_State *L, hmqtt_block_t block) {
    hmqtt_property_t property;
    uint32_t at = 0;
    if (block.len == 0) {
        lua_pushnil(L);
        return;
    }
    lua_newtable(L);
    while (hmqtt_property_next(block, &at, &property)) {
        size_t which = 0;
        while (which < ARRAY_SIZE(names) && names[which].id != property.id) which++;
        if (which == ARRAY_SIZE(names)) continue;
        if (names[which].form == AS_USER) {
            push_user(L, &property);
        } else if (property.id == HMQTT_SUBSCRIPTION_ID) {
            push_subscription_id(L, property.number);
        } else {
            push_value(L, &property, names[which].form);
            lua_setfield(L, -2, names[which].name);
        }
    }
}
