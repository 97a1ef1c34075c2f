/* mqtt_alias.c - numbers in place of topics (5 3.3.2.3.4), both ways; each is good for one
 * connection.
 *
 * Ours are places of a table by the hash of the topic, and who comes first keeps its place, so that
 * no mixture of topics makes us allocate for each message. */
#include "mqtt_int.h"

static void free_aliases(mqtt_alias_t **aliases, size_t count) {
    for (size_t i = 0; *aliases != NULL && i < count; i++) hv__free((*aliases)[i].topic);
    hv__free(*aliases);
    *aliases = NULL;
}

static int set_alias(mqtt_alias_t *alias, hmqtt_bytes_t topic) {
    char *copy = hv__strndup(topic.data, topic.len);
    if (copy == NULL) return HV_ENOMEM;
    hv__free(alias->topic);
    *alias = (mqtt_alias_t){copy, topic.len};
    return 0;
}

static uint32_t hash_of(hmqtt_bytes_t text) {
    uint32_t hash = 2166136261u;
    for (uint32_t i = 0; i < text.len; i++) hash = (hash ^ (uint8_t)text.data[i]) * 16777619u;
    return hash;
}

uint16_t mqtt__alias_for(hmqtt_t *client, mqtt_packet_t *packet, int *is_new) {
    uint16_t count = client->server.topic_alias_max;
    if (count > client->options.topic_alias_max) count = client->options.topic_alias_max;
    if (count == 0 || packet->topic.len < 4) return 0;
    if (client->aliases_out == NULL) {
        client->aliases_out = hv__calloc(client->options.topic_alias_max, sizeof(mqtt_alias_t));
        if (client->aliases_out == NULL) return 0;
    }
    uint32_t place = hash_of(packet->topic) % count;
    mqtt_alias_t *alias = &client->aliases_out[place];
    if (alias->topic == NULL) {
        *is_new = set_alias(alias, packet->topic) == 0;
        return *is_new ? (uint16_t)(place + 1) : 0;
    }
    if (alias->len != packet->topic.len || memcmp(alias->topic, packet->topic.data, alias->len)) {
        return 0;
    }
    packet->topic.len = 0;
    return (uint16_t)(place + 1);
}

uint8_t mqtt__resolve_topic(hmqtt_t *client, mqtt_packet_t *packet) {
    hmqtt_property_t property;
    if (!hmqtt_property_find(packet->properties, HMQTT_TOPIC_ALIAS, &property)) return 0;
    uint32_t count = client->options.topic_alias_max;
    if (property.number > count) return HMQTT_BAD_TOPIC_ALIAS;
    if (client->aliases_in == NULL) {
        client->aliases_in = hv__calloc(count, sizeof(mqtt_alias_t));
        if (client->aliases_in == NULL) return HMQTT_UNSPECIFIED;
    }
    mqtt_alias_t *alias = &client->aliases_in[property.number - 1];
    if (packet->topic.len > 0) {
        return set_alias(alias, packet->topic) == 0 ? 0 : HMQTT_UNSPECIFIED;
    }
    if (alias->topic == NULL) return HMQTT_PROTOCOL_ERROR;
    packet->topic = (hmqtt_bytes_t){alias->topic, alias->len};
    return 0;
}

void mqtt__forget_alias(hmqtt_t *client, uint16_t alias) {
    hv__free(client->aliases_out[alias - 1].topic);
    client->aliases_out[alias - 1] = (mqtt_alias_t){NULL, 0};
}

void mqtt__free_aliases(hmqtt_t *client) {
    free_aliases(&client->aliases_in, client->options.topic_alias_max);
    free_aliases(&client->aliases_out, client->options.topic_alias_max);
}
