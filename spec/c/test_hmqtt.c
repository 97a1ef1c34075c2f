/* Tests of the MQTT client's C API: what its events promise, whatever is called inside them. What
 * it says on the wire, and to real brokers, is tested in spec/hv/mqtt*_spec.lua. */
#include "loop_test.h"

#include "fake_mqtt.h"
#include "mqtt_client.h"
#include "mqtt_int.h"

static hloop_t *loop;
static fake_mqtt_t broker;
static size_t blocks_before;

typedef struct log_s {
    int events[HMQTT_DRAIN + 1];
    int done;
    int failed; /* of those done */
    int error;  /* of the last DISCONNECT */
    uint8_t reason;
    int64_t retry_ms;
    void *tokens[64];
    char payloads[256];
    /* What the callback does at an event of `act_at`. */
    int act_at;
    void (*act)(hmqtt_t *client);
} log_t;

static void on_event(hmqtt_t *client, const hmqtt_event_t *event, void *userdata) {
    log_t *log = userdata;
    assert_int_equal(hv__loop_in_api(loop), 0);
    log->events[event->type]++;
    if (event->is_done) {
        if (event->token != NULL) log->tokens[log->done % 64] = event->token;
        log->done++;
        log->failed += event->error != 0 || event->reason >= 0x80;
    }
    if (event->message != NULL) {
        strncat(log->payloads, event->message->payload.data, event->message->payload.len);
    }
    if (event->type == HMQTT_DISCONNECT) {
        log->error = event->error;
        log->reason = event->reason;
        log->retry_ms = event->retry_ms;
    }
    if (log->act_at == (int)event->type && log->act != NULL) {
        void (*act)(hmqtt_t *) = log->act;
        log->act = NULL;
        act(client);
    }
}

static hmqtt_t *new_client(log_t *log, void (*set)(hmqtt_options_t *options)) {
    hmqtt_options_t options;
    hmqtt_options_init(&options);
    options.port = broker.port;
    options.version = broker.version;
    options.reconnect = (reconn_setting_t){.min_delay = 1, .max_delay = 1,
                                           .max_retry_cnt = INFINITE};
    if (set != NULL) set(&options);
    hmqtt_t *client = hmqtt_new(loop, &options, on_event, log);
    assert_non_null(client);
    assert_int_equal(hmqtt_start(client), 0);
    return client;
}

static void begin(int version) {
    blocks_before = hv__mem_live_blocks();
    loop = hloop_new(0);
    assert_non_null(loop);
    fake_mqtt_open(&broker, loop, version);
}

static void finish(void) {
    hloop_free(&loop);
    fake_mqtt_free(&broker);
    assert_int_equal(hv__mem_live_blocks(), blocks_before);
}

static int publish(hmqtt_t *client, const char *payload, uint8_t qos, void *token) {
    hmqtt_publish_t publish = {.topic = HMQTT_TEXT("a/b"),
                               .payload = {payload, (uint32_t)strlen(payload)},
                               .qos = qos,
                               .token = token};
    return hmqtt_publish(client, &publish);
}

/* ---- What is published ---- */

static void test_each_publish_ends_once(void **state) {
    (void)state;
    for (int version = 3; version <= 5; version++) {
        begin(version);
        broker.echoes = 1;
        log_t log = {0};
        hmqtt_t *client = new_client(&log, NULL);
        int tokens[2];
        assert_int_equal(publish(client, "0", 0, NULL), 0);
        assert_int_equal(publish(client, "1", 1, &tokens[0]), 1);
        assert_int_equal(publish(client, "2", 2, &tokens[1]), 2);
        assert_int_equal(hmqtt_queued(client), 3);
        assert_int_equal(log.events[HMQTT_CONNECT], 0);
        RUN_UNTIL(loop, log.done == 2 && log.events[HMQTT_PUBLISH] == 3);
        assert_int_equal(log.failed, 0);
        assert_ptr_equal(log.tokens[0], &tokens[0]);
        assert_ptr_equal(log.tokens[1], &tokens[1]);
        assert_string_equal(log.payloads, "012");
        assert_int_equal(log.events[HMQTT_CONNACK], 1);
        assert_int_equal(log.events[HMQTT_PUBREC], 1);
        assert_int_equal(hmqtt_inflight(client) + hmqtt_queued(client), 0);
        assert_int_equal(hmqtt_queued_bytes(client), 0);
        assert_int_equal(client->store.ids_used, 0);
        assert_int_equal(hmqtt_disconnect(client, 0, NULL, 0), 0);
        RUN_UNTIL(loop, log.events[HMQTT_DISCONNECT] == 1);
        assert_int_equal(log.error, 0);
        assert_int_equal(log.retry_ms, -1);
        hmqtt_free(client);
        finish();
    }
}

#ifndef HV_HOSTILE /* where a byte a call is written */
static void publish_hundred(hmqtt_t *client) {
    for (int i = 0; i < 100; i++) assert_true(publish(client, "x", (uint8_t)(i % 2), NULL) >= 0);
}

static void test_what_one_callback_publishes_leaves_at_once(void **state) {
    (void)state;
    begin(5);
    log_t log = {.act_at = HMQTT_CONNACK, .act = publish_hundred};
    hmqtt_t *client = new_client(&log, NULL);
    RUN_UNTIL(loop, broker.packets[HMQTT_PUBLISH] == 100);
    assert_int_equal(broker.reads, 2); /* CONNECT, and the rest */
    RUN_UNTIL(loop, log.done == 50);
    hmqtt_free(client);
    finish();
}
#endif

static void test_what_is_wrong_is_refused_at_once(void **state) {
    (void)state;
    begin(5);
    log_t log = {0};
    hmqtt_t *client = new_client(&log, NULL);
    hmqtt_publish_t wrong = {.topic = HMQTT_TEXT("a/+")};
    assert_int_equal(hmqtt_publish(client, &wrong), HV_EINVAL);
    wrong = (hmqtt_publish_t){.topic = HMQTT_TEXT("a"), .qos = 3};
    assert_int_equal(hmqtt_publish(client, &wrong), HV_EINVAL);
    hmqtt_property_t property = {.id = HMQTT_WILL_DELAY};
    wrong = (hmqtt_publish_t){
        .topic = HMQTT_TEXT("a"), .properties = &property, .property_count = 1};
    assert_int_equal(hmqtt_publish(client, &wrong), HV_EINVAL);
    property.id = HMQTT_TOPIC_ALIAS, property.number = 1;
    assert_int_equal(hmqtt_publish(client, &wrong), HV_EINVAL);
    hmqtt_filter_t filter = {.filter = HMQTT_TEXT("a#")};
    hmqtt_subscribe_t call = {.filters = &filter, .filter_count = 1};
    assert_int_equal(hmqtt_subscribe(client, &call), HV_EINVAL);
    filter = (hmqtt_filter_t){.filter = HMQTT_TEXT("$share/g/a"), .no_local = 1};
    assert_int_equal(hmqtt_subscribe(client, &call), HV_EINVAL); /* 5 3.8.3.1 */
    call.filter_count = 0;
    assert_int_equal(hmqtt_subscribe(client, &call), HV_EINVAL);
    assert_int_equal(hmqtt_disconnect(client, 0x85, NULL, 0), HV_EINVAL);
    assert_int_equal(hmqtt_auth(client, 0x18, HMQTT_TEXT("x")), HV_ENOTCONN);
    assert_int_equal(hmqtt_queued(client), 0);
    hmqtt_free(client);
    RUN_PASSES(loop, 2);
    finish();
}

static void test_options_that_do_not_fit_are_refused(void **state) {
    (void)state;
    begin(5);
    hmqtt_options_t good, options;
    hmqtt_options_init(&good);
#define REFUSED(change)                                                       \
    do {                                                                      \
        options = good;                                                       \
        change;                                                               \
        assert_null(hmqtt_new(loop, &options, on_event, NULL));               \
        assert_int_equal(hloop_last_error(loop), HV_EINVAL);                  \
    } while (0)
    REFUSED(options.version = 6);
    REFUSED(options.host = NULL);
    REFUSED(options.client_id = "\xff");
    REFUSED(options.keepalive_s = 65536);
    REFUSED(options.receive_max = 0);
    REFUSED(options.store = "/tmp/x");
    REFUSED(options.will.topic = HMQTT_TEXT("a/#"));
    REFUSED((options.will.topic = HMQTT_TEXT("a"), options.will.qos = 3));
    REFUSED((options.version = 4, options.clean_start = 0));
    REFUSED((options.version = 4, options.password = HMQTT_TEXT("x")));
    hmqtt_property_t property = {.id = HMQTT_TOPIC_ALIAS, .number = 1};
    REFUSED((options.properties = &property, options.property_count = 1));
    options = good;
    options.client_id = "x";
    options.store = "/no/such/folder/store";
    assert_null(hmqtt_new(loop, &options, on_event, NULL));
    assert_int_equal(hloop_last_error(loop), -ENOENT);
    finish();
}

/* ---- Lost connections ---- */

static void test_what_has_no_answer_survives_lost_connections(void **state) {
    (void)state;
    for (int has_session = 0; has_session < 2; has_session++) {
        begin(5);
        broker.session_present = (uint8_t)has_session;
        log_t log = {0};
        hmqtt_t *client = new_client(&log, NULL);
        RUN_UNTIL(loop, hmqtt_is_connected(client));
        hmqtt_filter_t filter = {.filter = HMQTT_TEXT("a/#"), .qos = 1};
        hmqtt_subscribe_t call = {.filters = &filter, .filter_count = 1};
        assert_true(hmqtt_subscribe(client, &call) > 0);
        RUN_UNTIL(loop, log.done == 1);
        broker.is_silent = 1;
        int token;
        assert_true(publish(client, "x", 1, &token) > 0);
        assert_true(publish(client, "y", 2, &token) > 0);
        filter.filter = HMQTT_TEXT("b");
        assert_true(hmqtt_unsubscribe(client, &call) > 0);
        for (int cut = 1; cut <= 3; cut++) {
            RUN_UNTIL(loop, broker.packets[HMQTT_PUBLISH] == 2 * cut);
            fake_mqtt_cut(&broker);
            if (cut == 3) broker.is_silent = 0;
            RUN_UNTIL(loop, log.events[HMQTT_DISCONNECT] == cut);
        }
        RUN_UNTIL(loop, log.done == (has_session ? 4 : 5));
        assert_int_equal(log.failed, 0);
        assert_int_equal(broker.packets[HMQTT_SUBSCRIBE], has_session ? 1 : 4);
        hmqtt_free(client);
        finish();
    }
}

static void keep_nine(hmqtt_options_t *options) { options->subscriptions_max = 9; }

/* They are in force until the connection ends. */
static void test_subscriptions_beyond_the_limit_are_not_kept(void **state) {
    (void)state;
    begin(5);
    log_t log = {0};
    hmqtt_t *client = new_client(&log, keep_nine);
    RUN_UNTIL(loop, hmqtt_is_connected(client));
    char name[] = "a";
    hmqtt_filter_t filter = {.filter = {name, 1}};
    hmqtt_subscribe_t call = {.filters = &filter, .filter_count = 1};
    for (int i = 1; i <= 12; i++, name[0]++) {
        assert_true(hmqtt_subscribe(client, &call) > 0);
        RUN_UNTIL(loop, log.done == i);
    }
    assert_int_equal(log.failed, 0);
    assert_int_equal(client->subscription_count, 9);
    hmqtt_free(client);
    finish();
}

static void wait_long(hmqtt_options_t *options) {
    options->reconnect.min_delay = options->reconnect.max_delay = 1000000;
}

static void test_a_client_that_is_unreferenced_waits_without_holding_the_loop(void **state) {
    (void)state;
    begin(5);
    uint32_t active = loop->active_count;
    log_t log = {0};
    hmqtt_t *client = new_client(&log, wait_long);
    hmqtt_unref(client);
    RUN_UNTIL(loop, hmqtt_is_connected(client));
    fake_mqtt_cut(&broker);
    RUN_UNTIL(loop, log.events[HMQTT_DISCONNECT] == 1);
    assert_int_equal(log.retry_ms, 1000000);
    RUN_PASSES(loop, 2);
    assert_int_equal(loop->active_count, active);
    hmqtt_ref(client);
    assert_int_equal(loop->active_count, active + 1);
    hmqtt_free(client);
    finish();
}

static void refuse_retries(hmqtt_options_t *options) { options->reconnects = 0; }

static void test_refusals_are_told_and_not_tried_again(void **state) {
    (void)state;
    begin(5);
    broker.refusal = HMQTT_NOT_AUTHORIZED;
    log_t log = {0};
    hmqtt_t *client = new_client(&log, NULL);
    RUN_UNTIL(loop, log.events[HMQTT_DISCONNECT] == 1);
    assert_int_equal(log.events[HMQTT_CONNACK], 1);
    assert_int_equal(log.reason, HMQTT_NOT_AUTHORIZED);
    assert_int_equal(log.error, EACCES);
    assert_int_equal(log.retry_ms, -1);
    /* It may be started again. */
    broker.refusal = 0;
    assert_int_equal(hmqtt_start(client), 0);
    RUN_UNTIL(loop, hmqtt_is_connected(client));
    hmqtt_free(client);
    finish();
}

static void test_an_attempt_that_fails_is_told_later(void **state) {
    (void)state;
    begin(5);
    hio_close(broker.listener);
    RUN_PASSES(loop, 2);
    log_t log = {0};
    hmqtt_t *client = new_client(&log, refuse_retries);
    assert_int_equal(log.events[HMQTT_DISCONNECT], 0);
    RUN_UNTIL(loop, log.events[HMQTT_DISCONNECT] == 1);
    assert_int_equal(log.error, ECONNREFUSED);
    assert_int_equal(log.events[HMQTT_CONNECT], 0);
    /* Disconnected before anything was known: told once, without an error of ours. */
    assert_int_equal(hmqtt_start(client), 0);
    assert_int_equal(hmqtt_disconnect(client, 0, NULL, 0), 0);
    RUN_UNTIL(loop, log.events[HMQTT_DISCONNECT] == 2);
    RUN_PASSES(loop, 4);
    assert_int_equal(log.events[HMQTT_DISCONNECT], 2);
    hmqtt_free(client);
    finish();
}

/* ---- Inside events ---- */

static void free_it(hmqtt_t *client) { hmqtt_free(client); }
static void disconnect_it(hmqtt_t *client) { hmqtt_disconnect(client, 0, NULL, 0); }
static void reconnect_it(hmqtt_t *client) { hmqtt_reconnect(client); }
static void stop_and_start(hmqtt_t *client) {
    hmqtt_disconnect(client, 0, NULL, 0);
    assert_int_equal(hmqtt_start(client), 0);
}

static const int told[] = {HMQTT_CONNECT, HMQTT_CONNACK, HMQTT_PUBLISH, HMQTT_PUBACK,
                           HMQTT_PUBREC,  HMQTT_PUBCOMP, HMQTT_SUBACK};

static void use_it(hmqtt_t *client, int *token) {
    hmqtt_filter_t filter = {.filter = HMQTT_TEXT("a/b"), .qos = 2};
    hmqtt_subscribe_t call = {.filters = &filter, .filter_count = 1, .token = token};
    assert_true(hmqtt_subscribe(client, &call) > 0);
    assert_true(publish(client, "1", 1, token) > 0);
    assert_true(publish(client, "2", 2, token) > 0);
}

static void test_it_may_be_freed_in_every_event(void **state) {
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(told); i++) {
        begin(5);
        broker.echoes = 1;
        log_t log = {.act_at = told[i], .act = free_it};
        int token;
        use_it(new_client(&log, NULL), &token);
        RUN_UNTIL(loop, log.done == 3);
        RUN_PASSES(loop, 2);
        assert_int_equal(log.done, 3); /* each ended, once */
        assert_int_equal(log.events[HMQTT_DISCONNECT], 0);
        finish();
    }
}

static void test_it_may_be_disconnected_in_every_event(void **state) {
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(told); i++) {
        begin(5);
        broker.echoes = 1;
        broker.session_present = 1;
        log_t log = {.act_at = told[i], .act = disconnect_it};
        int token;
        hmqtt_t *client = new_client(&log, NULL);
        use_it(client, &token);
        RUN_UNTIL(loop, log.events[HMQTT_DISCONNECT] == 1);
        assert_int_equal(log.retry_ms, -1);
        assert_int_equal(hmqtt_start(client), 0); /* what is not done goes on */
        RUN_UNTIL(loop, log.done == 3);
        assert_int_equal(log.failed, 0);
        hmqtt_free(client);
        finish();
    }
}

static void test_it_may_begin_anew_in_every_event(void **state) {
    (void)state;
    void (*const acts[])(hmqtt_t *) = {reconnect_it, stop_and_start};
    for (size_t i = 0; i < 2 * ARRAY_SIZE(told); i++) {
        begin(5);
        broker.session_present = 1;
        broker.echoes = 1;
        log_t log = {.act_at = told[i / 2], .act = acts[i % 2]};
        int token;
        hmqtt_t *client = new_client(&log, NULL);
        use_it(client, &token);
        RUN_UNTIL(loop, log.done == 3 && log.events[HMQTT_DISCONNECT] == 1);
        RUN_UNTIL(loop, hmqtt_is_connected(client));
        assert_int_equal(broker.connects, 2);
        assert_int_equal(log.failed, 0);
        hmqtt_free(client);
        finish();
    }
}

static void test_a_loop_frees_its_clients(void **state) {
    (void)state;
    begin(5);
    log_t log = {0};
    hmqtt_t *client = new_client(&log, NULL);
    int token;
    RUN_UNTIL(loop, hmqtt_is_connected(client));
    broker.is_silent = 1;
    use_it(client, &token);
    new_client(&log, NULL);
    hmqtt_free(new_client(&log, NULL));
    finish();
    assert_int_equal(log.done, 3);
    assert_int_equal(log.failed, 3);
}

/* ---- Messages that come ---- */

static hmqtt_held_t held;
static void on_message_held(hmqtt_t *client, const hmqtt_event_t *event, void *userdata) {
    on_event(client, event, userdata);
    if (event->message != NULL) held = hmqtt_hold_ack(client, event->message);
}

static void test_acknowledgements_may_be_held(void **state) {
    (void)state;
    begin(5);
    log_t log = {0};
    hmqtt_options_t options;
    hmqtt_options_init(&options);
    options.port = broker.port;
    hmqtt_t *client = hmqtt_new(loop, &options, on_message_held, &log);
    hmqtt_start(client);
    RUN_UNTIL(loop, hmqtt_is_connected(client));
    for (uint8_t qos = 1; qos <= 2; qos++) {
        int type = qos == 1 ? HMQTT_PUBACK : HMQTT_PUBREC;
        fake_mqtt_send(&broker, &(mqtt_packet_t){.type = HMQTT_PUBLISH, .qos = qos, .id = qos,
                                                 .topic = HMQTT_TEXT("a")});
        RUN_UNTIL(loop, log.events[HMQTT_PUBLISH] == qos);
        RUN_PASSES(loop, 10);
        assert_int_equal(broker.packets[type], 0);
        hmqtt_ack(client, held);
        RUN_UNTIL(loop, broker.packets[type] == 1);
    }
    hmqtt_free(client);
    hmqtt_ack(client, held); /* until it is gone: nothing */
    finish();
}

static void test_a_pause_keeps_messages_back(void **state) {
    (void)state;
    begin(4);
    log_t log = {.act_at = HMQTT_PUBLISH, .act = hmqtt_pause};
    hmqtt_t *client = new_client(&log, NULL);
    RUN_UNTIL(loop, hmqtt_is_connected(client));
    for (int i = 0; i < 3; i++) {
        fake_mqtt_send(&broker, &(mqtt_packet_t){.type = HMQTT_PUBLISH, .topic = HMQTT_TEXT("a"),
                                                 .payload = HMQTT_TEXT("x")});
    }
    RUN_UNTIL(loop, log.events[HMQTT_PUBLISH] == 1);
    RUN_PASSES(loop, 10);
    assert_int_equal(log.events[HMQTT_PUBLISH], 1);
    hmqtt_resume(client);
    assert_int_equal(log.events[HMQTT_PUBLISH], 1);
    RUN_UNTIL(loop, log.events[HMQTT_PUBLISH] == 3);
    hmqtt_free(client);
    finish();
}

#ifndef HV_HOSTILE
static void keep_little(hmqtt_options_t *options) { options->write_high = 1024; }

/* A broker that sends and does not read costs us the answers of what its own sockets hold. */
static void test_a_broker_that_takes_no_answers_is_not_listened_to(void **state) {
    (void)state;
    enum { MESSAGES = 30000 };
    begin(4);
    log_t log = {0};
    hmqtt_t *client = new_client(&log, keep_little);
    RUN_UNTIL(loop, hmqtt_is_connected(client));
    int little = 4096;
    setsockopt(hio_fd(hmqtt_io(client)), SOL_SOCKET, SO_SNDBUF, &little, sizeof little);
    setsockopt(hio_fd(broker.conn), SOL_SOCKET, SO_RCVBUF, &little, sizeof little);
    hio_read_stop(broker.conn);
    for (int i = 0; i < MESSAGES; i++) {
        fake_mqtt_send(&broker, &(mqtt_packet_t){.type = HMQTT_PUBLISH, .qos = 1,
                                                 .id = (uint16_t)(i + 1),
                                                 .topic = HMQTT_TEXT("a")});
    }
    RUN_UNTIL(loop, hmqtt_is_high(client));
    int before;
    do {
        before = log.events[HMQTT_PUBLISH];
        RUN_PASSES(loop, 200);
    } while (log.events[HMQTT_PUBLISH] != before);
    assert_true(before < MESSAGES);
    hio_read(broker.conn);
    RUN_UNTIL(loop, broker.packets[HMQTT_PUBACK] == MESSAGES);
    assert_int_equal(log.events[HMQTT_PUBLISH], MESSAGES);
    hmqtt_free(client);
    finish();
}
#endif

/* ---- The API of the tutorials ---- */

static int last_type;
static int connack_error;
static void on_mqtt(mqtt_client_t *cli, int type) {
    last_type = type;
    if (type == MQTT_TYPE_CONNACK) connack_error = cli->error;
    if (type == MQTT_TYPE_DISCONNECT) mqtt_client_stop(cli);
}

static void test_the_tutorials_client_knows_codes_of_3_1_1(void **state) {
    (void)state;
    for (int code = 0; code <= 5; code++) {
        begin(4);
        broker.refusal = (uint8_t)code;
        mqtt_client_t *cli = mqtt_client_new(loop);
        mqtt_client_set_callback(cli, on_mqtt);
        mqtt_client_set_auth(cli, "user", "password");
        last_type = 0;
        assert_int_equal(mqtt_client_publish(cli, &(mqtt_message_t){.topic = "a"}), HV_ENOTCONN);
        assert_int_equal(mqtt_client_connect(cli, "127.0.0.1", broker.port, 0), 0);
        RUN_UNTIL(loop, last_type == (code == 0 ? MQTT_TYPE_CONNACK : MQTT_TYPE_DISCONNECT));
        assert_int_equal(connack_error, code);
        assert_int_equal(mqtt_client_is_connected(cli), code == 0);
        mqtt_client_free(cli);
        finish();
    }
}

static void *seen_userdata;
static int type_counts[MQTT_TYPE_DISCONNECT + 1];

static void count_types(mqtt_client_t *cli, int type) {
    seen_userdata = mqtt_client_get_userdata(cli);
    last_type = type;
    type_counts[type]++;
}

static void test_the_tutorials_client_comes_back_and_forgets_topics(void **state) {
    (void)state;
    begin(4);
    memset(type_counts, 0, sizeof type_counts);
    mqtt_client_t *cli = mqtt_client_new(loop);
    mqtt_client_set_callback(cli, count_types);
    mqtt_client_set_userdata(cli, &broker);
    mqtt_client_set_connect_timeout(cli, 5000);
    mqtt_client_set_host(cli, "127.0.0.1", broker.port, 0);
    assert_int_equal(mqtt_client_unsubscribe(cli, "a"), HV_ENOTCONN);
    assert_int_equal(mqtt_client_reconnect(cli), 0); /* connects, where it never was */
    RUN_UNTIL(loop, type_counts[MQTT_TYPE_CONNACK] == 1);
    assert_ptr_equal(seen_userdata, &broker);
    assert_true(mqtt_client_subscribe(cli, "a", 1) > 0);
    int mid = mqtt_client_unsubscribe(cli, "a");
    assert_true(mid > 0);
    RUN_UNTIL(loop, type_counts[MQTT_TYPE_UNSUBACK] == 1);
    assert_int_equal(cli->mid, mid);
    assert_int_equal(mqtt_client_disconnect(cli), 0);
    RUN_UNTIL(loop, type_counts[MQTT_TYPE_DISCONNECT] == 1);
    assert_int_equal(mqtt_client_get_last_error(cli), 0);
    assert_int_equal(mqtt_client_reconnect(cli), 0);
    RUN_UNTIL(loop, type_counts[MQTT_TYPE_CONNACK] == 2);
    assert_int_equal(broker.connects, 2);
    mqtt_client_free(cli);
    finish();
}

static void test_the_tutorials_client_verifies_tls(void **state) {
    (void)state;
    begin(4);
    memset(type_counts, 0, sizeof type_counts);
    mqtt_client_t *cli = mqtt_client_new(loop);
    mqtt_client_set_callback(cli, count_types);
    hssl_ctx_opt_t bad = {.ca_file = "/no/such/file"};
    assert_int_equal(mqtt_client_new_ssl_ctx(cli, &bad), HV_ETLS);
    assert_int_equal(mqtt_client_new_ssl_ctx(cli, &(hssl_ctx_opt_t){.verify_peer = 1}), 0);
    hssl_ctx_t shared = hssl_ctx_new(&(hssl_ctx_opt_t){.endpoint = HSSL_CLIENT});
    assert_int_equal(mqtt_client_set_ssl_ctx(cli, shared), 0);
    hssl_ctx_free(shared); /* the client has a hold of its own */
    /* The broker speaks no TLS: it waits for more, and nothing of MQTT ever reaches it. */
    mqtt_client_set_connect_timeout(cli, 100);
    assert_int_equal(mqtt_client_connect(cli, "127.0.0.1", broker.port, 1), 0);
    RUN_UNTIL(loop, type_counts[MQTT_TYPE_DISCONNECT] == 1);
    assert_int_not_equal(mqtt_client_get_last_error(cli), 0);
    assert_int_equal(broker.packets[HMQTT_CONNECT], 0);
    mqtt_client_free(cli);
    finish();
}

static void test_userdata_is_kept(void **state) {
    (void)state;
    begin(5);
    log_t log = {0};
    hmqtt_t *client = new_client(&log, NULL);
    assert_ptr_equal(hmqtt_userdata(client), &log);
    log_t other = {0};
    hmqtt_set_userdata(client, &other);
    RUN_UNTIL(loop, other.events[HMQTT_CONNACK] == 1);
    assert_int_equal(log.events[HMQTT_CONNACK], 0);
    assert_ptr_equal(hmqtt_userdata(client), &other);
    hmqtt_free(client);
    finish();
}

static void test_fixed_headers_are_packed(void **state) {
    (void)state;
    unsigned char bytes[5];
    mqtt_head_t head = {.type = 3, .dup = 1, .qos = 2, .retain = 1, .length = 300}, back;
    assert_int_equal(mqtt_head_pack(&head, bytes), 3);
    assert_int_equal(mqtt_head_unpack(&back, bytes, 3), 3);
    assert_int_equal(back.type, 3);
    assert_int_equal(back.qos, 2);
    assert_int_equal(back.length, 300);
    assert_int_equal(mqtt_head_unpack(&back, bytes, 2), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_publish_ends_once),
#ifndef HV_HOSTILE
        cmocka_unit_test(test_what_one_callback_publishes_leaves_at_once),
#endif
        cmocka_unit_test(test_what_is_wrong_is_refused_at_once),
        cmocka_unit_test(test_options_that_do_not_fit_are_refused),
        cmocka_unit_test(test_what_has_no_answer_survives_lost_connections),
        cmocka_unit_test(test_subscriptions_beyond_the_limit_are_not_kept),
        cmocka_unit_test(test_a_client_that_is_unreferenced_waits_without_holding_the_loop),
        cmocka_unit_test(test_refusals_are_told_and_not_tried_again),
        cmocka_unit_test(test_an_attempt_that_fails_is_told_later),
        cmocka_unit_test(test_it_may_be_freed_in_every_event),
        cmocka_unit_test(test_it_may_be_disconnected_in_every_event),
        cmocka_unit_test(test_it_may_begin_anew_in_every_event),
        cmocka_unit_test(test_a_loop_frees_its_clients),
        cmocka_unit_test(test_acknowledgements_may_be_held),
        cmocka_unit_test(test_a_pause_keeps_messages_back),
#ifndef HV_HOSTILE
        cmocka_unit_test(test_a_broker_that_takes_no_answers_is_not_listened_to),
#endif
        cmocka_unit_test(test_the_tutorials_client_knows_codes_of_3_1_1),
        cmocka_unit_test(test_the_tutorials_client_comes_back_and_forgets_topics),
        cmocka_unit_test(test_the_tutorials_client_verifies_tls),
        cmocka_unit_test(test_userdata_is_kept),
        cmocka_unit_test(test_fixed_headers_are_packed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
