/* hmqtt.c - the public calls of a client, and its options. Nothing here tells an event; what a call
 * finds wrong it returns, and what it starts is told later. See mqtt_int.h. */
#include "hcrypto.h"
#include "hloop_int.h"
#include "mqtt_int.h"

#define INFLIGHT_V3 20
#define INFLIGHT_V5 1000

void hmqtt_options_init(hmqtt_options_t *options) {
    *options = (hmqtt_options_t){
        .host = "127.0.0.1",
        .port = HMQTT_DEFAULT_PORT,
        .path = "/mqtt",
        .version = HMQTT_V5,
        .clean_start = 1,
        .keepalive_s = 60,
        .session_expiry_s = 3600,
        .connect_timeout_ms = 10000,
        .ping_timeout_ms = 10000,
        .reconnects = 1,
        .packet_max = 2 << 20,
        .receive_max = 1000,
        .queue_max = 1000,
        .queue_bytes_max = 64 << 20,
        .write_high = HIO_DEFAULT_WRITE_HIGH,
        .topic_alias_max = 16,
        .subscriptions_max = 10000,
        .resubscribes = 1,
    };
    reconn_setting_init(&options->reconnect);
}

/* ---- Freeing: a loop knows its clients, and those that are freed and not gone yet ---- */

struct mqtt_guest_s {
    hv__guest_t guest;
    hlist_t alive;
    hlist_t dying;
};

/* Tells those who wait for a list that it ends, and empties it. */
static void end_entries(hmqtt_t *client, mqtt_entries_t *list, uint8_t done_type) {
    for (mqtt_entry_t *entry = list->first; entry != NULL; entry = entry->next) {
        if (entry->token == NULL) continue;
        hmqtt_event_t event = {.type = (hmqtt_type_e)done_type,
                               .packet_id = entry->id,
                               .error = ECANCELED,
                               .is_done = 1,
                               .token = entry->token};
        mqtt__tell(client, &event);
    }
}

static void destroy(hmqtt_t *client) {
    HV_ASSERT(!mqtt__wire_is_there(client));
    HV_ASSERT(client->timer == NULL);
    mqtt__wire_deinit(client);
    end_entries(client, &client->store.flight, HMQTT_PUBACK);
    end_entries(client, &client->store.waiting, HMQTT_PUBACK);
    end_entries(client, &client->store.control, HMQTT_SUBACK);
    mqtt__session_deinit(client);
    hssl_ctx_free(client->options.ssl_ctx);
    hbuf_deinit(&client->texts);
    hbuf_deinit(&client->connect_block);
    hbuf_deinit(&client->will_block);
    hv__free(client);
}

static void on_farewell(hv__defer_t *work) {
    hmqtt_t *client = HV_CONTAINER_OF(work, hmqtt_t, farewell);
    hlist_remove(&client->guest->dying, &client->link);
    destroy(client);
}

static void guest_close(hv__guest_t *guest) {
    mqtt_guest_t *self = HV_CONTAINER_OF(guest, mqtt_guest_t, guest);
    while (self->alive.first != NULL) {
        hmqtt_free(HV_CONTAINER_OF(self->alive.first, hmqtt_t, link));
    }
    for (hlink_t *link; (link = hlist_shift(&self->dying)) != NULL;) {
        hmqtt_t *client = HV_CONTAINER_OF(link, hmqtt_t, link);
        hv__defer_cancel(client->loop, &client->farewell);
        destroy(client);
    }
}

static void guest_free(hv__guest_t *guest) {
    hv__free(HV_CONTAINER_OF(guest, mqtt_guest_t, guest));
}

static mqtt_guest_t *guest_of(hloop_t *loop) {
    static const hv__guest_kind_t kind = {guest_close, guest_free};
    hv__guest_t *found = hv__guest_find(loop, &kind);
    if (found != NULL) return HV_CONTAINER_OF(found, mqtt_guest_t, guest);
    mqtt_guest_t *guest = hv__calloc(1, sizeof *guest);
    if (guest != NULL) hv__guest_add(loop, &guest->guest, &kind);
    return guest;
}

void hmqtt_free(hmqtt_t *client) {
    if (client == NULL || client->is_freed) return;
    client->is_freed = 1;
    client->is_started = 0;
    client->phase = MQTT_STOPPED;
    client->stream++;
    mqtt__stop_timer(client);
    mqtt__wire_drop(client);
    hv__defer_cancel(client->loop, &client->flush);
    hlist_remove(&client->guest->alive, &client->link);
    hlist_push(&client->guest->dying, &client->link);
    hv__defer(client->loop, &client->farewell, on_farewell);
}

/* ---- Options ---- */

static int text_fits(const char *text) {
    size_t len = text != NULL ? strlen(text) : 0;
    if (len > UINT16_MAX) return 0;
    return text == NULL || mqtt_text_is_valid((hmqtt_bytes_t){text, (uint32_t)len});
}

static int will_fits(const hmqtt_will_t *will) {
    if (will->topic.len == 0) return 1;
    return hmqtt_topic_is_valid(will->topic) && will->qos <= 2 && will->payload.len <= UINT16_MAX;
}

static int options_fit(const hmqtt_options_t *options) {
    int version = options->version;
    if (options->host == NULL || version < HMQTT_V31 || version > HMQTT_V5) return 0;
    if (options->keepalive_s > UINT16_MAX || options->password.len > UINT16_MAX) return 0;
    if (!text_fits(options->client_id) || !text_fits(options->username)) return 0;
    if (options->receive_max == 0 || options->packet_max < 16) return 0;
    int has_id = options->client_id != NULL && options->client_id[0] != '\0';
    if (options->store != NULL && !has_id) return 0;
    /* The broker gives an id for a session without a past only (3.1.1 3.1.3.1). */
    if (version < HMQTT_V5 && !has_id && !options->clean_start) return 0;
    if (version < HMQTT_V5 && options->password.data != NULL && options->username == NULL) return 0;
    return will_fits(&options->will);
}

/* Points a member of the client's options into `texts`, behind a copy with a NUL. */
static void copy_text(hmqtt_t *client, const char **text) {
    if (*text == NULL) return;
    char *at = hbuf_tail(&client->texts);
    size_t len = strlen(*text) + 1;
    memcpy(at, *text, len);
    hbuf_commit(&client->texts, len);
    *text = at;
}

static void copy_bytes(hmqtt_t *client, hmqtt_bytes_t *bytes) {
    if (bytes->data == NULL) return;
    char *at = hbuf_tail(&client->texts);
    if (bytes->len > 0) memcpy(at, bytes->data, bytes->len);
    at[bytes->len] = '\0';
    hbuf_commit(&client->texts, bytes->len + 1);
    bytes->data = at;
}

static size_t text_bytes(const char *text) { return text != NULL ? strlen(text) + 1 : 0; }

/* Copies what the options point to. Returns 0 or HV_ENOMEM. */
static int copy_texts(hmqtt_t *client) {
    hmqtt_options_t *options = &client->options;
    size_t bytes = text_bytes(options->host) + text_bytes(options->ssl_name) +
                   text_bytes(options->path) + text_bytes(options->client_id) +
                   text_bytes(options->username) +
                   text_bytes(options->store) + options->password.len +
                   options->will.topic.len + options->will.payload.len + 3;
    int code = hbuf_reserve(&client->texts, bytes, UINT32_MAX);
    if (code != 0) return code;
    copy_text(client, &options->host);
    copy_text(client, &options->ssl_name);
    copy_text(client, &options->path);
    copy_text(client, &options->client_id);
    copy_text(client, &options->username);
    copy_text(client, &options->store);
    copy_bytes(client, &options->password);
    copy_bytes(client, &options->will.topic);
    copy_bytes(client, &options->will.payload);
    return 0;
}

/* Appends properties, which must then be a valid block of their owner. */
static int write_block(hbuf_t *block, const hmqtt_property_t *properties, size_t count, int owner) {
    int code = 0;
    for (size_t i = 0; i < count && code == 0; i++) {
        code = mqtt_property_write(block, MQTT_REST_MAX, &properties[i]);
    }
    if (code != 0) return code;
    hmqtt_block_t view = {hbuf_data(block), (uint32_t)hbuf_len(block)};
    return mqtt_block_is_valid(view, owner) ? 0 : HV_EINVAL;
}

/* The properties of CONNECT: the user's, then those that are options. */
static int write_connect_block(hmqtt_t *client, const hmqtt_options_t *options) {
    const hmqtt_property_t ours[] = {
        {.id = HMQTT_SESSION_EXPIRY, .number = options->session_expiry_s},
        {.id = HMQTT_RECEIVE_MAX, .number = options->receive_max},
        {.id = HMQTT_MAX_PACKET, .number = options->packet_max},
        {.id = HMQTT_TOPIC_ALIAS_MAX, .number = options->topic_alias_max},
    };
    hbuf_t *block = &client->connect_block;
    int code = write_block(block, options->properties, options->property_count, HMQTT_CONNECT);
    if (code == 0) code = write_block(block, ours, ARRAY_SIZE(ours), HMQTT_CONNECT);
    hmqtt_property_t method;
    hmqtt_block_t view = {hbuf_data(block), (uint32_t)hbuf_len(block)};
    if (code == 0 && hmqtt_property_find(view, HMQTT_AUTH_METHOD, &method)) {
        client->auth_method = method.value;
    }
    return code;
}

/* An id of our own, for brokers that do not give one (3.1.1 3.1.3.1): a session that is found
 * again needs one in any case. */
static int make_up_id(hmqtt_t *client) {
    const char *given = client->options.client_id;
    uint8_t random[8];
    char text[3 + 2 * sizeof random + 1] = "hv-";
    if (client->options.version >= HMQTT_V5 || (given != NULL && *given != '\0')) return 0;
    int code = hcrypto_random(random, sizeof random);
    if (code != 0) return code;
    for (size_t i = 0; i < sizeof random; i++) sprintf(text + 3 + 2 * i, "%02x", random[i]);
    client->assigned_id = hv__strndup(text, strlen(text));
    return client->assigned_id != NULL ? 0 : HV_ENOMEM;
}

static int set_up(hmqtt_t *client, const hmqtt_options_t *options) {
    int code = copy_texts(client);
    if (code == 0) code = make_up_id(client);
    if (code == 0 && options->version >= HMQTT_V5) {
        code = write_connect_block(client, options);
        if (code == 0) {
            code = write_block(&client->will_block, options->will.properties,
                               options->will.property_count, MQTT_OWNER_WILL);
        }
    }
    if (code == 0) code = mqtt__wire_init(client);
    if (code == 0 && options->store != NULL) {
        code = mqtt_store_open(&client->store, options->store,
                               options->store_sync == HMQTT_SYNC_ALWAYS);
    }
    client->options.properties = NULL;
    client->options.will.properties = NULL;
    return code;
}

hmqtt_t *hmqtt_new(hloop_t *loop, const hmqtt_options_t *options, hmqtt_cb on_event,
                   void *userdata) {
    HV_ASSERT(on_event != NULL);
    if (!options_fit(options)) {
        loop->last_error = HV_EINVAL;
        return NULL;
    }
    hmqtt_t *client = hv__calloc(1, sizeof *client);
    if (client != NULL) client->guest = guest_of(loop);
    if (client == NULL || client->guest == NULL) {
        hv__free(client);
        loop->last_error = HV_ENOMEM;
        return NULL;
    }
    client->loop = loop;
    client->on_event = on_event;
    client->userdata = userdata;
    client->options = *options;
    client->reconnect = options->reconnect;
    if (options->inflight_max == 0) {
        client->options.inflight_max = options->version < HMQTT_V5 ? INFLIGHT_V3 : INFLIGHT_V5;
    }
    if (options->ssl_ctx != NULL) hssl_ctx_retain(options->ssl_ctx);
    mqtt_store_init(&client->store);
    int code = set_up(client, options);
    if (code != 0) {
        destroy(client);
        loop->last_error = code;
        return NULL;
    }
    hlist_push(&client->guest->alive, &client->link);
    return client;
}

/* ---- Running ---- */

int hmqtt_start(hmqtt_t *client) {
    if (client->is_freed) return HV_ECLOSED;
    if (client->is_started) return 0;
    client->is_started = 1;
    reconn_setting_reset(&client->reconnect);
    if (client->phase == MQTT_CLOSING) {
        client->restarts = 1;
    } else {
        mqtt__connect(client);
    }
    return 0;
}

int hmqtt_disconnect(hmqtt_t *client, uint8_t reason, const hmqtt_property_t *properties,
                     size_t property_count) {
    if (client->is_freed) return HV_ECLOSED;
    const hmqtt_options_t *options = &client->options;
    hbuf_t block = {0};
    int code = write_block(&block, properties, property_count, HMQTT_DISCONNECT);
    if (code == 0 && !mqtt_reason_is_valid(HMQTT_V5, HMQTT_DISCONNECT, reason)) code = HV_EINVAL;
    hmqtt_block_t view = {hbuf_data(&block), (uint32_t)hbuf_len(&block)};
    hmqtt_property_t expiry = {.id = HMQTT_SESSION_EXPIRY};
    int ends_session = options->clean_start && !options->keeps_session &&
                       options->session_expiry_s > 0 && options->version >= HMQTT_V5;
    if (code == 0 && ends_session && !hmqtt_property_find(view, HMQTT_SESSION_EXPIRY, &expiry)) {
        code = mqtt_property_write(&block, MQTT_REST_MAX, &expiry);
        view = (hmqtt_block_t){hbuf_data(&block), (uint32_t)hbuf_len(&block)};
    }
    if (code == 0) {
        client->is_started = 0;
        client->restarts = 0;
        if (client->phase == MQTT_WAITING) {
            mqtt__stop_timer(client);
            client->phase = MQTT_STOPPED;
        } else if (client->phase != MQTT_STOPPED && client->phase != MQTT_CLOSING) {
            if (options->version < HMQTT_V5) reason = 0, view.len = 0;
            mqtt__close(client, reason, view);
        }
    }
    hbuf_deinit(&block);
    return code;
}

int hmqtt_reconnect(hmqtt_t *client) {
    if (client->is_freed) return HV_ECLOSED;
    if (client->phase == MQTT_WAITING || client->phase == MQTT_STOPPED) {
        client->is_started = 1;
        mqtt__connect(client);
        return 0;
    }
    client->is_started = 1;
    client->restarts = 1;
    if (client->phase != MQTT_CLOSING) mqtt__fail(client, ECANCELED, 0);
    return 0;
}

/* ---- Publishing ---- */

/* Whether the broker, as far as it is known, takes such a message. */
static int judge(const hmqtt_t *client, const hmqtt_publish_t *publish) {
    if (client->is_freed) return HV_ECLOSED;
    if (publish->qos > 2 || !hmqtt_topic_is_valid(publish->topic)) return HV_EINVAL;
    if (client->phase != MQTT_OPEN) return 0;
    if (publish->qos > client->server.qos_max) return -ENOTSUP;
    return publish->retain && !client->server.retains ? -ENOTSUP : 0;
}

/* Puts a message at the end of the queue. Returns its packet id, or a code. */
static int enqueue(hmqtt_t *client, const mqtt_packet_t *packet, void *token) {
    size_t bytes = (size_t)packet->topic.len + packet->properties.len + packet->payload.len;
    if (client->store.bytes + bytes > client->options.queue_bytes_max) return HV_ELIMIT;
    if (bytes + 16 > client->server.packet_max && client->phase == MQTT_OPEN) return HV_ELIMIT;
    int is_next = client->phase == MQTT_OPEN && client->cursor == NULL &&
                  client->store.waiting.count == 0;
    if (!is_next && client->store.waiting.count >= client->options.queue_max) return HV_ELIMIT;
    int code;
    mqtt_entry_t *entry = mqtt_store_add(&client->store, packet, &code);
    if (entry == NULL) return code;
    entry->token = token;
    if (entry->qos == 0) client->waiting_zero++;
    if (client->store.log != NULL) mqtt__flush_later(client);
    int id = entry->id;
    if (is_next) mqtt__pump(client);
    return id;
}

static int publish_packet(hmqtt_t *client, mqtt_packet_t *packet, void *token) {
    int is_direct = packet->qos == 0 && client->phase == MQTT_OPEN && client->waiting_zero == 0;
    if (!is_direct) return enqueue(client, packet, token);
    if (mqtt__waiting(client) > (size_t)client->options.write_high + MQTT_SLACK_BYTES) {
        return HV_ELIMIT;
    }
    return mqtt__send_publish(client, packet);
}

int hmqtt_publish(hmqtt_t *client, const hmqtt_publish_t *publish) {
    int code = judge(client, publish);
    if (code != 0) return code;
    mqtt_packet_t packet = {.type = HMQTT_PUBLISH,
                            .qos = publish->qos,
                            .retain = publish->retain != 0,
                            .topic = publish->topic,
                            .payload = publish->payload};
    if (publish->property_count == 0 || client->options.version < HMQTT_V5) {
        return publish_packet(client, &packet, publish->token);
    }
    hbuf_t block = {0};
    code = write_block(&block, publish->properties, publish->property_count, HMQTT_PUBLISH);
    packet.properties = (hmqtt_block_t){hbuf_data(&block), (uint32_t)hbuf_len(&block)};
    hmqtt_property_t ours;
    /* Aliases are the library's affair, and identifiers the broker's. */
    if (code == 0 && (hmqtt_property_find(packet.properties, HMQTT_TOPIC_ALIAS, &ours) ||
                      hmqtt_property_find(packet.properties, HMQTT_SUBSCRIPTION_ID, &ours))) {
        code = HV_EINVAL;
    }
    if (code == 0) code = publish_packet(client, &packet, publish->token);
    hbuf_deinit(&block);
    return code;
}

/* ---- Subscribing ---- */

static int filter_fits(const hmqtt_t *client, const hmqtt_filter_t *each) {
    if (!hmqtt_filter_is_valid(each->filter) || each->qos > 2 || each->retain_handling > 2) {
        return HV_EINVAL;
    }
    hmqtt_bytes_t filter = each->filter;
    int is_shared = filter.len > 7 && memcmp(filter.data, "$share/", 7) == 0;
    if (is_shared && each->no_local) return HV_EINVAL;
    if (client->phase != MQTT_OPEN) return 0;
    int has_wildcards = memchr(filter.data, '+', filter.len) != NULL ||
                        memchr(filter.data, '#', filter.len) != NULL;
    if (is_shared && !client->server.takes_shared) return -ENOTSUP;
    return has_wildcards && !client->server.takes_wildcards ? -ENOTSUP : 0;
}

/* Appends the filters as they stand on the wire. */
static int write_filters(const hmqtt_t *client, hbuf_t *list, const hmqtt_subscribe_t *subscribe,
                         int has_options) {
    int is_5 = client->options.version >= HMQTT_V5;
    int code = subscribe->filter_count > 0 ? 0 : HV_EINVAL;
    for (size_t i = 0; i < subscribe->filter_count && code == 0; i++) {
        const hmqtt_filter_t *each = &subscribe->filters[i];
        code = filter_fits(client, each);
        uint8_t len[2] = {(uint8_t)(each->filter.len >> 8), (uint8_t)each->filter.len};
        uint8_t options = each->qos;
        if (is_5) {
            options |= (uint8_t)((each->no_local != 0) << 2 |
                                 (each->retain_as_published != 0) << 3 |
                                 each->retain_handling << 4);
        }
        if (code == 0) code = hbuf_append(list, len, 2, MQTT_REST_MAX);
        if (code == 0) code = hbuf_append(list, each->filter.data, each->filter.len, MQTT_REST_MAX);
        if (code == 0 && has_options) code = hbuf_append(list, &options, 1, MQTT_REST_MAX);
    }
    return code;
}

static int write_subscribe_block(const hmqtt_t *client, hbuf_t *block,
                                 const hmqtt_subscribe_t *subscribe, int type) {
    if (client->options.version < HMQTT_V5) return 0;
    int code = write_block(block, subscribe->properties, subscribe->property_count, type);
    if (code != 0 || subscribe->id == 0 || type != HMQTT_SUBSCRIBE) return code;
    if (client->phase == MQTT_OPEN && !client->server.takes_ids) return -ENOTSUP;
    hmqtt_property_t id = {.id = HMQTT_SUBSCRIPTION_ID, .number = subscribe->id};
    return write_block(block, &id, 1, HMQTT_SUBSCRIBE);
}

static int call_broker(hmqtt_t *client, const hmqtt_subscribe_t *call, uint8_t type) {
    if (client->is_freed) return HV_ECLOSED;
    if (client->store.control.count >= client->options.subscriptions_max) return HV_ELIMIT;
    hbuf_t list = {0}, block = {0};
    int code = write_filters(client, &list, call, type == HMQTT_SUBSCRIBE);
    if (code == 0) code = write_subscribe_block(client, &block, call, type);
    mqtt_packet_t packet = {.type = type,
                            .list = {hbuf_data(&list), (uint32_t)hbuf_len(&list)},
                            .properties = {hbuf_data(&block), (uint32_t)hbuf_len(&block)}};
    size_t bytes = hbuf_len(&list) + hbuf_len(&block) + 16;
    if (code == 0 && client->phase == MQTT_OPEN && bytes > client->server.packet_max) {
        code = HV_ELIMIT;
    }
    mqtt_entry_t *entry = code == 0 ? mqtt_store_add(&client->store, &packet, &code) : NULL;
    if (entry != NULL) {
        entry->token = call->token;
        code = entry->id;
        if (client->phase == MQTT_OPEN) {
            packet.id = entry->id;
            entry->is_out = mqtt__send(client, &packet) == 0;
        }
    }
    hbuf_deinit(&list);
    hbuf_deinit(&block);
    return code;
}

int hmqtt_subscribe(hmqtt_t *client, const hmqtt_subscribe_t *subscribe) {
    return call_broker(client, subscribe, HMQTT_SUBSCRIBE);
}

int hmqtt_unsubscribe(hmqtt_t *client, const hmqtt_subscribe_t *unsubscribe) {
    return call_broker(client, unsubscribe, HMQTT_UNSUBSCRIBE);
}

int hmqtt_auth(hmqtt_t *client, uint8_t reason, hmqtt_bytes_t data) {
    int is_open = client->phase == MQTT_OPEN || client->phase == MQTT_GREETING;
    if (!is_open) return HV_ENOTCONN;
    if (client->auth_method.len == 0) return HV_EINVAL;
    if (!mqtt_reason_is_valid(HMQTT_V5, HMQTT_AUTH, reason)) return HV_EINVAL;
    const hmqtt_property_t properties[] = {
        {.id = HMQTT_AUTH_METHOD, .value = client->auth_method},
        {.id = HMQTT_AUTH_DATA, .value = data},
    };
    hbuf_t block = {0};
    int code = write_block(&block, properties, data.data != NULL ? 2 : 1, HMQTT_AUTH);
    if (code == 0) {
        code = mqtt__send(client, &(mqtt_packet_t){.type = HMQTT_AUTH,
                                                   .reason = reason,
                                                   .properties = {hbuf_data(&block),
                                                                  (uint32_t)hbuf_len(&block)}});
    }
    hbuf_deinit(&block);
    return code;
}

void hmqtt_pause(hmqtt_t *client) {
    client->is_paused = 1;
    mqtt__wire_read(client);
}

void hmqtt_resume(hmqtt_t *client) {
    if (!client->is_paused || client->is_freed) return;
    client->is_paused = 0;
    if (client->ping_ms != 0) client->ping_ms = hloop_now_hrtime(client->loop) / 1000;
    client->wants_resume = 1;
    mqtt__wire_read(client);
    mqtt__flush_later(client);
}

void hmqtt_ref(hmqtt_t *client) {
    client->is_loose = 0;
    if (client->timer != NULL) hevent_ref(client->timer);
    mqtt__wire_set_ref(client);
}

void hmqtt_unref(hmqtt_t *client) {
    client->is_loose = 1;
    if (client->timer != NULL) hevent_unref(client->timer);
    mqtt__wire_set_ref(client);
}

/* ---- Facts ---- */

int hmqtt_is_connected(const hmqtt_t *client) { return client->phase == MQTT_OPEN; }
uint32_t hmqtt_inflight(const hmqtt_t *client) { return client->store.flight.count; }
uint32_t hmqtt_queued(const hmqtt_t *client) { return client->store.waiting.count; }
size_t hmqtt_queued_bytes(const hmqtt_t *client) { return client->store.bytes; }
int hmqtt_version(const hmqtt_t *client) { return client->options.version; }
hio_t *hmqtt_io(const hmqtt_t *client) {
    return client->ws != NULL ? hws_io(client->ws) : client->io;
}
void hmqtt_set_userdata(hmqtt_t *client, void *userdata) { client->userdata = userdata; }
void *hmqtt_userdata(const hmqtt_t *client) { return client->userdata; }

const char *hmqtt_client_id(const hmqtt_t *client) {
    if (client->assigned_id != NULL) return client->assigned_id;
    return client->options.client_id != NULL ? client->options.client_id : "";
}

hmqtt_block_t hmqtt_server_properties(const hmqtt_t *client) {
    return (hmqtt_block_t){hbuf_data(&client->server_block),
                           (uint32_t)hbuf_len(&client->server_block)};
}

uint64_t hmqtt_store_dropped(const hmqtt_t *client) {
    return client->store.log != NULL ? mqtt_log_dropped(client->store.log) : 0;
}
