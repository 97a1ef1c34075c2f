/* mqtt_life.c - connecting, coming back, staying alive, and what leaves. See mqtt_int.h for the
 * states. One timer serves them all, since no two need one at the same time. */
#include "mqtt_int.h"

#define RETRY_NEVER (-1)
#define STABLE_MS   5000 /* a connection that has lasted so long was a good one */

static uint64_t now_ms(const hmqtt_t *client) { return hloop_now_hrtime(client->loop) / 1000; }

int mqtt__tell(hmqtt_t *client, const hmqtt_event_t *event) {
    uint32_t stream = client->stream;
    if (client->is_freed && !event->is_done) return 0;
    HV_DISPATCH(client->loop, client->on_event(client, event, client->userdata));
    return !client->is_freed && client->stream == stream;
}

/* ---- Time ---- */

static void on_timer(htimer_t *timer);

void mqtt__stop_timer(hmqtt_t *client) {
    if (client->timer != NULL) htimer_del(client->timer);
    client->timer = NULL;
}

/* Returns 0 or HV_ENOMEM. */
static int set_timer(hmqtt_t *client, uint64_t delay_ms) {
    mqtt__stop_timer(client);
    uint32_t ms = delay_ms < INFINITE - 1 ? (uint32_t)delay_ms : INFINITE - 1;
    client->timer = htimer_add(client->loop, on_timer, ms, 1);
    if (client->timer == NULL) return HV_ENOMEM;
    hevent_set_userdata(client->timer, client);
    if (client->is_loose) hevent_unref(client->timer);
    return 0;
}

/* A quiet connection is asked whether it is still there (5 3.1.2.10); one that does not answer is
 * not. While reading rests its answer could not be seen, so nothing is held against it. */
static void keep_alive(hmqtt_t *client) {
    uint64_t now = now_ms(client);
    if (client->ping_ms != 0) {
        int is_blind = client->is_paused || client->is_choked;
        if (!is_blind && now - client->ping_ms >= client->options.ping_timeout_ms) {
            mqtt__fail(client, ETIMEDOUT, HMQTT_KEEPALIVE_TIMEOUT);
            return;
        }
    } else if (now - client->sent_ms >= client->keepalive_ms) {
        client->ping_ms = now;
        if (mqtt__send(client, &(mqtt_packet_t){.type = HMQTT_PINGREQ}) != 0) return;
        mqtt__flush(client);
    }
    uint64_t due = client->ping_ms != 0 ? client->ping_ms + client->options.ping_timeout_ms
                                        : client->sent_ms + client->keepalive_ms;
    if (client->phase != MQTT_OPEN) return;
    if (set_timer(client, due > now ? due - now : 10) != 0) mqtt__fail(client, ENOMEM, 0);
}

static void on_timer(htimer_t *timer) {
    hmqtt_t *client = hevent_userdata(timer);
    client->timer = NULL; /* it was for one call */
    switch (client->phase) {
    case MQTT_WAITING: mqtt__connect(client); break;
    case MQTT_CONNECTING:
    case MQTT_GREETING: mqtt__fail(client, ETIMEDOUT, 0); break;
    case MQTT_OPEN: keep_alive(client); break;
    default: break;
    }
}

/* ---- Connecting ---- */

static void on_failed(hv__defer_t *work);

void mqtt__connect(hmqtt_t *client) {
    mqtt__stop_timer(client);
    hv__defer_cancel(client->loop, &client->flush);
    client->phase = MQTT_CONNECTING;
    client->stream++;
    client->error = 0;
    client->reason = 0;
    hbuf_deinit(&client->reason_block);
    int code = mqtt__wire_open(client);
    if (code == 0 && client->options.connect_timeout_ms > 0) {
        code = set_timer(client, client->options.connect_timeout_ms);
    }
    if (code == 0) return;
    /* Nothing is told inside the call that has started us. */
    client->error = code < 0 ? -code : code;
    mqtt__wire_drop(client);
    hv__defer(client->loop, &client->flush, on_failed);
}

static void on_failed(hv__defer_t *work) {
    hmqtt_t *client = HV_CONTAINER_OF(work, hmqtt_t, flush);
    int is_due = client->phase == MQTT_CONNECTING || client->phase == MQTT_CLOSING;
    if (is_due && !mqtt__wire_is_there(client)) mqtt__on_closed(client, client->error);
}

/* A session that this run has begun is never thrown away by the run itself. In 3.1.1 the same flag
 * also ends a session with its connection, so there it stays as it is. */
int mqtt__starts_clean(const hmqtt_t *client) {
    return client->options.clean_start &&
           (!client->was_open || client->options.version < HMQTT_V5);
}

static mqtt_packet_t connect_packet(const hmqtt_t *client) {
    const hmqtt_options_t *options = &client->options;
    int is_clean = mqtt__starts_clean(client);
    const char *id = hmqtt_client_id(client);
    mqtt_packet_t packet = {
        .type = HMQTT_CONNECT,
        .version = (uint8_t)options->version,
        .connect_flags = is_clean ? MQTT_CLEAN_START : 0,
        .keepalive_s = (uint16_t)options->keepalive_s,
        .client_id = {id, (uint32_t)strlen(id)},
        .properties = {hbuf_data(&client->connect_block),
                       (uint32_t)hbuf_len(&client->connect_block)},
    };
    if (options->will.topic.len > 0) {
        packet.connect_flags |= (uint8_t)(MQTT_HAS_WILL | options->will.qos << 3 |
                                          (options->will.retain ? MQTT_WILL_RETAIN : 0));
        packet.topic = options->will.topic;
        packet.payload = options->will.payload;
        packet.will_properties = (hmqtt_block_t){hbuf_data(&client->will_block),
                                                 (uint32_t)hbuf_len(&client->will_block)};
    }
    if (options->username != NULL) {
        packet.connect_flags |= MQTT_HAS_USERNAME;
        packet.username = (hmqtt_bytes_t){options->username, (uint32_t)strlen(options->username)};
    }
    if (options->password.data != NULL) {
        packet.connect_flags |= MQTT_HAS_PASSWORD;
        packet.password = options->password;
    }
    return packet;
}

void mqtt__on_open(hmqtt_t *client) {
    if (client->phase != MQTT_CONNECTING) return;
    client->phase = MQTT_GREETING;
    client->keepalive_ms = client->options.keepalive_s * 1000;
    client->server = (mqtt_server_t){.packet_max = MQTT_REST_MAX + MQTT_HEADER_MAX,
                                     .receive_max = UINT16_MAX,
                                     .qos_max = 2,
                                     .retains = 1,
                                     .takes_wildcards = 1,
                                     .takes_ids = 1,
                                     .takes_shared = 1};
    mqtt_packet_t packet = connect_packet(client);
    if (mqtt__send(client, &packet) != 0) return;
    mqtt__flush(client);
    mqtt__tell(client, &(hmqtt_event_t){.type = HMQTT_CONNECT});
}

void mqtt__opened(hmqtt_t *client) {
    client->phase = MQTT_OPEN;
    client->was_open = 1;
    client->ping_ms = 0;
    client->opened_ms = now_ms(client);
    mqtt__stop_timer(client);
    if (client->keepalive_ms > 0 && set_timer(client, client->keepalive_ms) != 0) {
        mqtt__fail(client, ENOMEM, 0);
    }
}

/* ---- Ending ---- */

void mqtt__close(hmqtt_t *client, uint8_t reason, hmqtt_block_t properties) {
    int may_tell = client->phase == MQTT_OPEN ||
                   (client->phase == MQTT_GREETING && reason >= 0x80 && client->was_open);
    if (may_tell) {
        mqtt_packet_t packet = {.type = HMQTT_DISCONNECT, .reason = reason,
                                .properties = properties};
        mqtt__send(client, &packet);
    }
    mqtt__flush(client);
    if (client->phase >= MQTT_CLOSING) return; /* writing has failed meanwhile */
    int is_abrupt = client->phase == MQTT_CONNECTING;
    mqtt__stop_timer(client);
    client->phase = MQTT_CLOSING;
    if (!mqtt__wire_is_there(client)) {
        hv__defer(client->loop, &client->flush, on_failed); /* the attempt had failed already */
    } else {
        mqtt__wire_close(client, is_abrupt);
    }
}

void mqtt__fail(hmqtt_t *client, int error, uint8_t reason) {
    HV_ASSERT(error > 0);
    if (client->phase == MQTT_STOPPED || client->phase >= MQTT_CLOSING) return;
    client->error = error;
    int tells = reason != 0 && client->phase == MQTT_OPEN && client->options.version >= HMQTT_V5;
    if (tells) {
        mqtt__close(client, reason, (hmqtt_block_t){NULL, 0});
        return;
    }
    /* A broker that is told nothing sends the will, as it should. */
    int is_dead = error == ETIMEDOUT || client->phase == MQTT_CONNECTING;
    mqtt__stop_timer(client);
    client->phase = MQTT_CLOSING;
    mqtt__wire_close(client, is_dead);
}

/* Whether trying again makes sense: not where the broker would say the same again, and not where
 * another client uses the same id, since the two would throw each other out for ever. */
static int is_worth_a_retry(const hmqtt_t *client) {
    switch (client->reason) {
    case HMQTT_MALFORMED_PACKET:
    case HMQTT_PROTOCOL_ERROR:
    case HMQTT_BAD_VERSION:
    case HMQTT_BAD_CLIENT_ID:
    case HMQTT_BAD_LOGIN:
    case HMQTT_NOT_AUTHORIZED:
    case HMQTT_BANNED:
    case HMQTT_BAD_AUTH_METHOD:
    case HMQTT_TAKEN_OVER:
    case HMQTT_USE_ANOTHER_SERVER:
    case HMQTT_SERVER_MOVED: return 0;
    default: return 1;
    }
}

/* Delays begin anew after a good connection only: two clients of one id, each of which throws the
 * other out, then do so ever more rarely. */
static int64_t plan_retry(hmqtt_t *client) {
    if (client->restarts) return 0;
    if (client->opened_ms != 0 && now_ms(client) - client->opened_ms >= STABLE_MS) {
        reconn_setting_reset(&client->reconnect);
    }
    if (!client->is_started || !client->options.reconnects || hv__loop_is_ending(client->loop) ||
        !is_worth_a_retry(client) || !reconn_setting_can_retry(&client->reconnect)) {
        return RETRY_NEVER;
    }
    uint32_t delay_ms = reconn_setting_calc_delay(&client->reconnect);
    client->opened_ms = 0;
    return set_timer(client, delay_ms) == 0 ? (int64_t)delay_ms : RETRY_NEVER;
}

/* The stream has closed. */
void mqtt__on_closed(hmqtt_t *client, int error) {
    mqtt__stop_timer(client);
    hv__defer_cancel(client->loop, &client->flush);
    if (client->error == 0) client->error = error;
    int is_wanted = client->phase == MQTT_CLOSING && !client->is_started;
    if (client->error == 0 && !is_wanted && client->reason == 0) client->error = -HV_EOF;
    mqtt__session_unplug(client);
    int64_t retry_ms = plan_retry(client);
    int restarts = client->restarts;
    client->restarts = 0;
    client->phase = retry_ms > 0 || client->timer != NULL ? MQTT_WAITING : MQTT_STOPPED;
    if (retry_ms == RETRY_NEVER) client->is_started = 0;
    client->stream++;
    int goes_on = mqtt__tell(
        client, &(hmqtt_event_t){.type = HMQTT_DISCONNECT,
                                 .reason = client->reason,
                                 .error = client->error,
                                 .retry_ms = retry_ms,
                                 .properties = {hbuf_data(&client->reason_block),
                                                (uint32_t)hbuf_len(&client->reason_block)}});
    if (goes_on && restarts && client->is_started && client->phase == MQTT_STOPPED) {
        mqtt__connect(client);
    }
}

/* ---- What leaves ---- */

size_t mqtt__waiting(const hmqtt_t *client) {
    return hbuf_len(&client->out) + mqtt__wire_waiting(client);
}

int hmqtt_is_high(hmqtt_t *client) {
    if (mqtt__wire_waiting(client) <= client->options.write_high) return 0;
    client->was_high = 1;
    return 1;
}

int mqtt__send(hmqtt_t *client, const mqtt_packet_t *packet) {
    int code = mqtt_packet_write(&client->out, MQTT_OUT_MAX, client->server.packet_max,
                                 client->options.version, packet);
    if (code != 0) {
        mqtt__fail(client, -code, 0);
        return code;
    }
    mqtt__flush_later(client);
    return 0;
}

static void on_flush(hv__defer_t *work) {
    hmqtt_t *client = HV_CONTAINER_OF(work, hmqtt_t, flush);
    if (client->wants_resume) {
        client->wants_resume = 0;
        mqtt__feed_kept(client);
        if (client->is_freed) return;
    }
    mqtt__flush(client);
}

void mqtt__flush_later(hmqtt_t *client) {
    hv__defer(client->loop, &client->flush, on_flush);
}

void mqtt__flush(hmqtt_t *client) {
    int code = mqtt_store_flush(&client->store);
    size_t len = hbuf_len(&client->out);
    if (code != 0) {
        /* What rests on a record that is not kept must not be said. */
        hbuf_consume(&client->out, len);
        mqtt__fail(client, -code, 0);
        return;
    }
    if (len == 0 || !mqtt__wire_is_there(client)) return;
    code = mqtt__wire_write(client, hbuf_data(&client->out), len);
    hbuf_consume_keep(&client->out, len);
    if (client->out.cap > 4 * MQTT_FLUSH_BYTES) hbuf_trim(&client->out);
    client->sent_ms = now_ms(client);
    if (code != 0) mqtt__fail(client, -code, 0);
    if (mqtt__wire_waiting(client) > client->options.write_high) client->was_high = 1;
    /* A broker that asks and does not take the answers is not listened to. */
    if (client->was_high && !client->is_choked &&
        mqtt__wire_waiting(client) > 2 * (size_t)client->options.write_high) {
        client->is_choked = 1;
        mqtt__wire_read(client);
    }
}

void mqtt__on_drain(hmqtt_t *client) {
    if (client->is_choked) {
        client->is_choked = 0;
        mqtt__wire_read(client);
        client->wants_resume = 1;
        mqtt__flush_later(client);
    }
    mqtt__pump(client);
    if (!client->was_high || hmqtt_is_high(client)) return;
    client->was_high = 0;
    mqtt__tell(client, &(hmqtt_event_t){.type = HMQTT_DRAIN});
}
