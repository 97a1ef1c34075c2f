/* mqtt_subscriptions.c - what is subscribed to, so that it is asked for again where the broker has
 * no session of ours any more. */
#include "mqtt_int.h"

static mqtt_subscription_t *find_subscription(const hmqtt_t *client, hmqtt_bytes_t filter) {
    for (uint32_t i = 0; i < client->subscription_count; i++) {
        mqtt_subscription_t *each = &client->subscriptions[i];
        if (each->len == filter.len && memcmp(each->filter, filter.data, filter.len) == 0) {
            return each;
        }
    }
    return NULL;
}

void mqtt__keep_subscription(hmqtt_t *client, hmqtt_bytes_t filter, uint8_t options, uint32_t id) {
    mqtt_subscription_t *found = find_subscription(client, filter);
    if (found == NULL && client->subscription_count == client->subscription_cap) {
        uint32_t cap = client->subscription_cap > 0 ? client->subscription_cap * 2 : 8;
        if (cap > client->options.subscriptions_max) cap = client->options.subscriptions_max;
        if (cap <= client->subscription_count) return;
        mqtt_subscription_t *more = hv__realloc(client->subscriptions, cap * sizeof *more);
        if (more == NULL) return;
        client->subscriptions = more;
        client->subscription_cap = cap;
    }
    if (found == NULL) {
        char *copy = hv__strndup(filter.data, filter.len);
        if (copy == NULL) return;
        found = &client->subscriptions[client->subscription_count++];
        found->filter = copy;
        found->len = (uint16_t)filter.len;
    }
    found->options = options;
    found->id = id;
}

void mqtt__drop_subscription(hmqtt_t *client, hmqtt_bytes_t filter) {
    mqtt_subscription_t *found = find_subscription(client, filter);
    if (found == NULL) return;
    hv__free(found->filter);
    *found = client->subscriptions[--client->subscription_count];
}

/* Asks for one subscription again. What it needs is put together in a small buffer of its own. */
static int ask_again(hmqtt_t *client, const mqtt_subscription_t *subscription) {
    hbuf_t list = {0}, block = {0};
    uint8_t len[2] = {(uint8_t)(subscription->len >> 8), (uint8_t)subscription->len};
    int code = hbuf_append(&list, len, 2, UINT32_MAX);
    if (code == 0) code = hbuf_append(&list, subscription->filter, subscription->len, UINT32_MAX);
    if (code == 0) code = hbuf_append(&list, &subscription->options, 1, UINT32_MAX);
    if (code == 0 && subscription->id != 0 && client->server.takes_ids) {
        hmqtt_property_t id = {.id = HMQTT_SUBSCRIPTION_ID, .number = subscription->id};
        code = mqtt_property_write(&block, UINT32_MAX, &id);
    }
    mqtt_packet_t packet = {.type = HMQTT_SUBSCRIBE,
                            .list = {hbuf_data(&list), (uint32_t)hbuf_len(&list)},
                            .properties = {hbuf_data(&block), (uint32_t)hbuf_len(&block)}};
    mqtt_entry_t *entry = code == 0 ? mqtt_store_add(&client->store, &packet, &code) : NULL;
    if (entry != NULL) entry->is_again = 1;
    hbuf_deinit(&list);
    hbuf_deinit(&block);
    return code;
}

/* Takes back what was asked again over a connection that did not answer any more. */
static void take_back_asked(hmqtt_t *client) {
    mqtt_entry_t *entry = client->store.control.first;
    for (mqtt_entry_t *next; entry != NULL; entry = next) {
        next = entry->next;
        if (entry->is_again) mqtt_store_remove(&client->store, entry);
    }
}

int mqtt__subscribe_again(hmqtt_t *client) {
    int code = 0;
    take_back_asked(client);
    if (!client->options.resubscribes) return 0;
    for (uint32_t i = 0; i < client->subscription_count && code == 0; i++) {
        code = ask_again(client, &client->subscriptions[i]);
    }
    return code;
}

void mqtt__free_subscriptions(hmqtt_t *client) {
    for (uint32_t i = 0; i < client->subscription_count; i++) {
        hv__free(client->subscriptions[i].filter);
    }
    hv__free(client->subscriptions);
}
