/* mqtt_session.c - what packets mean: the broker's answer to CONNECT, messages both ways and their
 * acknowledgements. A handler returns whether the connection goes on. */
#include "mqtt_int.h"

/* ---- Messages that leave ---- */

int mqtt__send_publish(hmqtt_t *client, mqtt_packet_t *packet) {
    int is_new = 0;
    int has_aliases = client->server.topic_alias_max > 0;
    uint16_t alias = has_aliases ? mqtt__alias_for(client, packet, &is_new) : 0;
    int code = mqtt_packet_write_publish(&client->out, MQTT_OUT_MAX, client->server.packet_max,
                                         client->options.version, packet, alias);
    if (code != 0) {
        if (is_new) mqtt__forget_alias(client, alias); /* the broker has not heard of it */
        return code;
    }
    if (hbuf_len(&client->out) >= MQTT_FLUSH_BYTES) {
        mqtt__flush(client);
    } else {
        mqtt__flush_later(client);
    }
    return 0;
}

/* Sends an entry over the connection of the moment. Returns whether it did. */
static int send_entry(hmqtt_t *client, mqtt_entry_t *entry) {
    mqtt_packet_t packet = mqtt_entry_packet(entry);
    int code;
    if (entry->state == MQTT_RELEASED) {
        packet = (mqtt_packet_t){.type = HMQTT_PUBREL, .id = entry->id};
    }
    if (packet.type == HMQTT_PUBLISH) {
        packet.dup = entry->was_out && entry->qos > 0;
        code = mqtt__send_publish(client, &packet);
        if (code != 0) mqtt__fail(client, -code, 0);
    } else {
        code = mqtt__send(client, &packet);
    }
    if (code != 0) return 0;
    entry->is_out = entry->was_out = 1;
    return 1;
}

/* Ends what an entry stands for, tells it, and removes it. Returns as mqtt__tell. */
static int finish_entry(hmqtt_t *client, mqtt_entry_t *entry, hmqtt_event_t *event) {
    event->packet_id = entry->id;
    event->token = entry->token;
    event->is_done = 1;
    if (client->cursor == entry) client->cursor = entry->next;
    if (entry->type == HMQTT_PUBLISH && entry->is_out) client->outstanding--;
    if (entry->type == HMQTT_PUBLISH && entry->qos == 0) client->waiting_zero--;
    mqtt_store_remove(&client->store, entry);
    return mqtt__tell(client, event);
}

/* A message that this broker never takes would be tried for ever: it ends. Returns whether the
 * connection goes on. */
static int refuse_too_large(hmqtt_t *client, mqtt_entry_t *entry) {
    hmqtt_event_t event = {.type = entry->qos == 2 ? HMQTT_PUBREC : HMQTT_PUBACK,
                           .reason = HMQTT_PACKET_TOO_LARGE,
                           .error = -HV_ELIMIT};
    return finish_entry(client, entry, &event);
}

static int is_too_large(const hmqtt_t *client, const mqtt_entry_t *entry) {
    size_t rest = (size_t)entry->topic_len + entry->block_len + entry->payload_len + 16;
    return rest > client->server.packet_max;
}

static uint32_t outstanding_max(const hmqtt_t *client) {
    uint32_t ours = client->options.inflight_max, theirs = client->server.receive_max;
    return ours < theirs ? ours : theirs;
}

void mqtt__pump(hmqtt_t *client) {
    while (client->phase == MQTT_OPEN && !hmqtt_is_high(client)) {
        mqtt_entry_t *entry = client->cursor;
        int is_again = entry != NULL;
        if (!is_again) entry = client->store.waiting.first;
        if (entry == NULL) return;
        if (entry->qos > 0 && client->outstanding >= outstanding_max(client)) return;
        if (is_again) {
            client->cursor = entry->next;
        } else if (entry->qos > 0) {
            mqtt_store_launch(&client->store, entry);
        }
        if (!send_entry(client, entry)) return;
        if (entry->qos > 0) {
            client->outstanding++;
        } else {
            client->waiting_zero--;
            mqtt_store_remove(&client->store, entry);
        }
    }
}

/* ---- CONNACK ---- */

static uint8_t reason_of_v3(uint8_t code) {
    static const uint8_t reasons[] = {HMQTT_SUCCESS,     HMQTT_BAD_VERSION, HMQTT_BAD_CLIENT_ID,
                                      HMQTT_UNAVAILABLE, HMQTT_BAD_LOGIN,   HMQTT_NOT_AUTHORIZED};
    return code < ARRAY_SIZE(reasons) ? reasons[code] : HMQTT_UNSPECIFIED;
}

/* Returns 0 or a code. */
static int take_server_properties(hmqtt_t *client, hmqtt_block_t block) {
    mqtt_server_t *server = &client->server;
    hmqtt_property_t each;
    for (uint32_t at = 0; hmqtt_property_next(block, &at, &each);) {
        switch (each.id) {
        case HMQTT_RECEIVE_MAX: server->receive_max = (uint16_t)each.number; break;
        case HMQTT_MAX_PACKET: server->packet_max = each.number; break;
        case HMQTT_TOPIC_ALIAS_MAX: server->topic_alias_max = (uint16_t)each.number; break;
        case HMQTT_MAX_QOS: server->qos_max = (uint8_t)each.number; break;
        case HMQTT_RETAIN_AVAILABLE: server->retains = (uint8_t)each.number; break;
        case HMQTT_WILDCARDS_AVAILABLE: server->takes_wildcards = (uint8_t)each.number; break;
        case HMQTT_IDS_AVAILABLE: server->takes_ids = (uint8_t)each.number; break;
        case HMQTT_SHARED_AVAILABLE: server->takes_shared = (uint8_t)each.number; break;
        case HMQTT_SERVER_KEEPALIVE: client->keepalive_ms = each.number * 1000; break;
        case HMQTT_ASSIGNED_CLIENT_ID:
            hv__free(client->assigned_id);
            client->assigned_id = hv__strndup(each.value.data, each.value.len);
            if (client->assigned_id == NULL) return HV_ENOMEM;
            break;
        default: break;
        }
    }
    hbuf_deinit(&client->server_block);
    return hbuf_append(&client->server_block, block.data, block.len, UINT32_MAX);
}

/* Without a session the broker knows nothing of what was under way: messages begin anew, but for
 * those that it had taken over already. Returns whether the connection goes on. */
static int begin_session(hmqtt_t *client) {
    mqtt_store_forget_all(&client->store);
    mqtt_entry_t *entry = client->store.flight.first;
    for (mqtt_entry_t *next; entry != NULL; entry = next) {
        next = entry->next;
        entry->was_out = 0;
        if (entry->state != MQTT_RELEASED) continue;
        if (!finish_entry(client, entry, &(hmqtt_event_t){.type = HMQTT_PUBCOMP})) return 0;
    }
    int code = mqtt__subscribe_again(client);
    if (code != 0) mqtt__fail(client, -code, 0);
    return code == 0;
}

/* Calls without an answer are asked again in their order, then those of begin_session. */
static void send_control(hmqtt_t *client) {
    for (mqtt_entry_t *entry = client->store.control.first; entry != NULL; entry = entry->next) {
        if (!entry->is_out && !send_entry(client, entry)) return;
    }
}

static int is_message_too_large(hmqtt_t *client) {
    for (mqtt_entry_t *entry = client->store.flight.first, *next; entry != NULL; entry = next) {
        next = entry->next;
        if (entry->state == MQTT_SENT && is_too_large(client, entry) &&
            !refuse_too_large(client, entry)) {
            return 1;
        }
    }
    for (mqtt_entry_t *entry = client->store.waiting.first, *next; entry != NULL; entry = next) {
        next = entry->next;
        if (is_too_large(client, entry) && !refuse_too_large(client, entry)) return 1;
    }
    return 0;
}

static int on_connack(hmqtt_t *client, const mqtt_packet_t *packet) {
    if (client->phase != MQTT_GREETING) {
        mqtt__fail(client, EPROTO, HMQTT_PROTOCOL_ERROR);
        return 0;
    }
    uint8_t reason =
        client->options.version < HMQTT_V5 ? reason_of_v3(packet->reason) : packet->reason;
    int code = take_server_properties(client, packet->properties);
    int is_wrong = packet->session_present && mqtt__starts_clean(client);
    if (code != 0 || is_wrong) {
        mqtt__fail(client, is_wrong ? EPROTO : -code, 0);
        return 0;
    }
    if (reason >= 0x80) {
        client->reason = reason;
        hbuf_append(&client->reason_block, packet->properties.data, packet->properties.len,
                    UINT32_MAX);
        mqtt__fail(client, -hmqtt_reason_code(reason), 0);
        mqtt__tell(client, &(hmqtt_event_t){.type = HMQTT_CONNACK,
                                            .reason = reason,
                                            .properties = packet->properties});
        return 0;
    }
    mqtt__opened(client);
    if (client->phase != MQTT_OPEN) return 0;
    client->cursor = client->store.flight.first; /* what is published meanwhile comes behind it */
    if (!packet->session_present && !begin_session(client)) return 0;
    if (is_message_too_large(client) || client->phase != MQTT_OPEN) return 0;
    send_control(client);
    mqtt__pump(client);
    return mqtt__tell(client, &(hmqtt_event_t){.type = HMQTT_CONNACK,
                                               .session_present = packet->session_present,
                                               .properties = packet->properties});
}

/* ---- Messages that come ---- */

static int deliver(hmqtt_t *client, const mqtt_packet_t *packet) {
    hmqtt_message_t message = {.topic = packet->topic,
                               .payload = packet->payload,
                               .qos = packet->qos,
                               .retain = packet->retain,
                               .dup = packet->dup,
                               .packet_id = packet->id};
    client->is_ack_held = 0;
    return mqtt__tell(client, &(hmqtt_event_t){.type = HMQTT_PUBLISH,
                                               .packet_id = packet->id,
                                               .properties = packet->properties,
                                               .message = &message});
}

static int answer(hmqtt_t *client, uint8_t type, uint16_t id, uint8_t reason) {
    return mqtt__send(client, &(mqtt_packet_t){.type = type, .id = id, .reason = reason}) == 0;
}

/* The broker may forget a message of QoS 2 now. Without memory for that we say nothing, and it
 * comes again. Returns whether the connection goes on. */
static int confirm(hmqtt_t *client, uint16_t id) {
    int code = mqtt_store_keep_received(&client->store, id);
    if (code == 0) return client->phase != MQTT_OPEN || answer(client, HMQTT_PUBREC, id, 0);
    mqtt__fail(client, -code, HMQTT_UNSPECIFIED);
    return 0;
}

/* A message of QoS 2 is told once: its id is known from then on, over connections and, with a file,
 * over restarts, until the broker releases it. */
static int on_publish_twice(hmqtt_t *client, const mqtt_packet_t *packet) {
    if (!mqtt_store_has_received(&client->store, packet->id)) {
        if (client->store.received_count >= client->options.receive_max) {
            mqtt__fail(client, -HV_ELIMIT, HMQTT_RECEIVE_MAX_EXCEEDED);
            return 0;
        }
        int code = mqtt_store_receive(&client->store, packet->id);
        if (code != 0) {
            mqtt__fail(client, -code, HMQTT_UNSPECIFIED);
            return 0;
        }
        int goes_on = deliver(client, packet) && client->phase == MQTT_OPEN;
        if (client->is_ack_held) return goes_on;
        if (!goes_on) mqtt_store_keep_received(&client->store, packet->id);
        return goes_on && confirm(client, packet->id);
    }
    /* One that is still being handled is answered when that has ended. */
    return !mqtt_store_has_kept(&client->store, packet->id) ||
           answer(client, HMQTT_PUBREC, packet->id, 0);
}

static int on_publish(hmqtt_t *client, mqtt_packet_t *packet) {
    uint8_t reason = mqtt__resolve_topic(client, packet);
    if (reason != 0) {
        mqtt__fail(client, EPROTO, reason);
        return 0;
    }
    if (packet->qos == 2) return on_publish_twice(client, packet);
    if (!deliver(client, packet) || client->phase != MQTT_OPEN) return 0;
    int is_owed = packet->qos > 0 && !client->is_ack_held;
    return !is_owed || answer(client, HMQTT_PUBACK, packet->id, 0);
}

hmqtt_held_t hmqtt_hold_ack(hmqtt_t *client, const hmqtt_message_t *message) {
    client->is_ack_held = 1;
    return (hmqtt_held_t){client->stream, message->packet_id, message->qos};
}

void hmqtt_ack(hmqtt_t *client, hmqtt_held_t held) {
    int is_same = client->phase == MQTT_OPEN && client->stream == held.connection;
    if (client->is_freed || held.qos == 0) return;
    if (held.qos == 1 && is_same) answer(client, HMQTT_PUBACK, held.packet_id, 0);
    /* Over another connection of the same session the broker has sent it again by now. */
    if (held.qos == 2 && mqtt_store_has_received(&client->store, held.packet_id)) {
        confirm(client, held.packet_id);
    }
    mqtt__flush_later(client);
}

static int on_pubrel(hmqtt_t *client, const mqtt_packet_t *packet) {
    int is_known = mqtt_store_has_received(&client->store, packet->id);
    mqtt_store_forget(&client->store, packet->id);
    return answer(client, HMQTT_PUBCOMP, packet->id,
                  is_known || client->options.version < HMQTT_V5 ? 0 : HMQTT_ID_NOT_FOUND);
}

/* ---- Acknowledgements ---- */

/* The entry that an answer is for, sent over this connection; NULL for an answer to nothing, which
 * a broker may give after it was restarted. */
static mqtt_entry_t *find_sent(const hmqtt_t *client, uint16_t id, uint8_t type, int qos) {
    mqtt_entry_t *entry = mqtt_store_find(&client->store, id);
    int fits = entry != NULL && entry->is_out && entry->type == type && entry->qos == qos;
    return fits ? entry : NULL;
}

static hmqtt_event_t event_of(const mqtt_packet_t *packet) {
    return (hmqtt_event_t){.type = (hmqtt_type_e)packet->type,
                           .reason = packet->reason,
                           .packet_id = packet->id,
                           .reasons = packet->list,
                           .properties = packet->properties};
}

static int on_pubrec(hmqtt_t *client, const mqtt_packet_t *packet) {
    mqtt_entry_t *entry = find_sent(client, packet->id, HMQTT_PUBLISH, 2);
    hmqtt_event_t event = event_of(packet);
    if (packet->reason >= 0x80) return entry == NULL || finish_entry(client, entry, &event);
    if (entry != NULL && entry->state == MQTT_SENT) {
        int code = mqtt_store_release(&client->store, entry);
        if (code != 0) {
            mqtt__fail(client, -code, HMQTT_UNSPECIFIED);
            return 0;
        }
        event.token = entry->token;
        if (!answer(client, HMQTT_PUBREL, packet->id, 0)) return 0;
        return mqtt__tell(client, &event);
    }
    return answer(client, HMQTT_PUBREL, packet->id,
                  entry != NULL || client->options.version < HMQTT_V5 ? 0 : HMQTT_ID_NOT_FOUND);
}

static int on_done(hmqtt_t *client, const mqtt_packet_t *packet, int qos) {
    mqtt_entry_t *entry = find_sent(client, packet->id, HMQTT_PUBLISH, qos);
    if (entry == NULL || (qos == 2 && entry->state != MQTT_RELEASED)) return 1;
    hmqtt_event_t event = event_of(packet);
    /* "Not found" answers a second PUBREL: the broker has finished it before (5 3.7.2.1). */
    if (packet->reason == HMQTT_ID_NOT_FOUND) event.reason = 0;
    return finish_entry(client, entry, &event);
}

static int on_suback(hmqtt_t *client, const mqtt_packet_t *packet) {
    uint8_t type = packet->type == HMQTT_SUBACK ? HMQTT_SUBSCRIBE : HMQTT_UNSUBSCRIBE;
    mqtt_entry_t *entry = find_sent(client, packet->id, type, 0);
    if (entry == NULL) return 1;
    mqtt_packet_t asked = mqtt_entry_packet(entry);
    hmqtt_property_t id = {.number = 0};
    hmqtt_property_find(asked.properties, HMQTT_SUBSCRIPTION_ID, &id);
    uint32_t at = 0, i = 0;
    hmqtt_bytes_t filter;
    uint8_t options = 0;
    uint8_t *options_at = type == HMQTT_SUBSCRIBE ? &options : NULL;
    for (; mqtt_packet_filter(asked.list, &at, &filter, options_at); i++) {
        int is_granted = i < packet->list.len && (uint8_t)packet->list.data[i] < 0x80;
        if (type == HMQTT_SUBSCRIBE && is_granted) {
            mqtt__keep_subscription(client, filter, options, id.number);
        } else {
            mqtt__drop_subscription(client, filter);
        }
    }
    /* A reason for each filter, or the answer is to something else (5 3.9.3). */
    int is_short = i != packet->list.len &&
                   (type == HMQTT_SUBSCRIBE || client->options.version >= HMQTT_V5);
    if (is_short) {
        mqtt__fail(client, EPROTO, HMQTT_PROTOCOL_ERROR);
        return 0;
    }
    hmqtt_event_t event = event_of(packet);
    return finish_entry(client, entry, &event);
}

/* ---- The rest ---- */

static int on_disconnect(hmqtt_t *client, const mqtt_packet_t *packet) {
    if (client->options.version < HMQTT_V5) {
        mqtt__fail(client, EPROTO, 0); /* 3.1.1 3.14: only clients send it */
        return 0;
    }
    int code = hmqtt_reason_code(packet->reason);
    client->reason = packet->reason;
    hbuf_append(&client->reason_block, packet->properties.data, packet->properties.len, UINT32_MAX);
    mqtt__fail(client, code != 0 ? -code : -HV_EOF, 0);
    return 0;
}

static int on_auth(hmqtt_t *client, const mqtt_packet_t *packet) {
    hmqtt_property_t method;
    hmqtt_bytes_t wanted = client->auth_method;
    int fits = wanted.len > 0 &&
               hmqtt_property_find(packet->properties, HMQTT_AUTH_METHOD, &method) &&
               method.value.len == wanted.len &&
               memcmp(method.value.data, wanted.data, wanted.len) == 0;
    if (!fits) {
        mqtt__fail(client, EPROTO, HMQTT_PROTOCOL_ERROR);
        return 0;
    }
    hmqtt_event_t event = event_of(packet);
    return mqtt__tell(client, &event);
}

static int handle(hmqtt_t *client, mqtt_packet_t *packet) {
    int is_early = client->phase == MQTT_GREETING && packet->type != HMQTT_CONNACK &&
                   packet->type != HMQTT_AUTH && packet->type != HMQTT_DISCONNECT;
    if (!is_early) {
        switch (packet->type) {
        case HMQTT_CONNACK: return on_connack(client, packet);
        case HMQTT_PUBLISH: return on_publish(client, packet);
        case HMQTT_PUBACK: return on_done(client, packet, 1);
        case HMQTT_PUBREC: return on_pubrec(client, packet);
        case HMQTT_PUBREL: return on_pubrel(client, packet);
        case HMQTT_PUBCOMP: return on_done(client, packet, 2);
        case HMQTT_SUBACK:
        case HMQTT_UNSUBACK: return on_suback(client, packet);
        case HMQTT_PINGRESP: client->ping_ms = 0; return 1;
        case HMQTT_DISCONNECT: return on_disconnect(client, packet);
        case HMQTT_AUTH: return on_auth(client, packet);
        default: break; /* what only clients send */
        }
    }
    mqtt__fail(client, EPROTO, HMQTT_PROTOCOL_ERROR);
    return 0;
}

/* ---- Reading ---- */

static int may_read(const hmqtt_t *client) {
    return (client->phase == MQTT_GREETING || client->phase == MQTT_OPEN) && !client->is_paused &&
           !client->is_choked && !client->is_freed;
}

/* Handles whole packets. Returns the bytes of them. */
static size_t handle_all(hmqtt_t *client, const char *data, size_t len) {
    size_t used = 0;
    while (may_read(client)) {
        long bytes = mqtt_packet_bytes(data + used, len - used);
        if (bytes < 0 || bytes > (long)client->options.packet_max) {
            mqtt__fail(client, bytes < 0 ? EPROTO : -HV_ELIMIT,
                       bytes < 0 ? HMQTT_MALFORMED_PACKET : HMQTT_PACKET_TOO_LARGE);
            break;
        }
        if (bytes == 0 || (size_t)bytes > len - used) break;
        mqtt_packet_t packet;
        int code = mqtt_packet_read(client->options.version, data + used, (size_t)bytes, &packet);
        used += (size_t)bytes;
        if (code != 0) {
            mqtt__fail(client, EPROTO, HMQTT_MALFORMED_PACKET);
            break;
        }
        if (!handle(client, &packet)) break;
    }
    return used;
}

/* After packets were handled: acknowledgements have made room for others. */
static void after_feed(hmqtt_t *client) {
    if (client->is_freed) {
        mqtt_store_flush(&client->store);
        return;
    }
    mqtt__pump(client);
    mqtt__flush(client);
}

void mqtt__feed(hmqtt_t *client, const char *data, size_t len) {
    /* What a broker still sends to a client that has gone is not even kept. */
    if (client->phase != MQTT_GREETING && client->phase != MQTT_OPEN) return;
    size_t used = hbuf_len(&client->in) == 0 ? handle_all(client, data, len) : 0;
    if (used < len) {
        int code = hbuf_append(&client->in, data + used, len - used, UINT32_MAX);
        if (code != 0) mqtt__fail(client, -code, 0);
    }
    if (used == 0) {
        mqtt__feed_kept(client);
    } else {
        after_feed(client);
    }
}

void mqtt__feed_kept(hmqtt_t *client) {
    size_t len = hbuf_len(&client->in);
    size_t used = len > 0 ? handle_all(client, hbuf_data(&client->in), len) : 0;
    hbuf_consume(&client->in, used);
    after_feed(client);
}

/* ---- Ends ---- */

void mqtt__session_unplug(hmqtt_t *client) {
    hbuf_deinit(&client->in);
    hbuf_deinit(&client->out);
    mqtt__free_aliases(client);
    client->cursor = NULL;
    client->outstanding = 0;
    client->is_choked = 0;
    client->was_high = 0;
    mqtt_entry_t *entry = client->store.flight.first;
    for (; entry != NULL; entry = entry->next) entry->is_out = 0;
    for (entry = client->store.control.first; entry != NULL; entry = entry->next) {
        entry->is_out = 0;
    }
}

void mqtt__session_deinit(hmqtt_t *client) {
    mqtt__session_unplug(client);
    mqtt__free_subscriptions(client);
    hv__free(client->assigned_id);
    hbuf_deinit(&client->server_block);
    hbuf_deinit(&client->reason_block);
    mqtt_store_deinit(&client->store);
}
