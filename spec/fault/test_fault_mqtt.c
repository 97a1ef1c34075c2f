/* Each allocation of an MQTT client's life is failed in turn: connecting, subscribing, publishing
 * with each QoS, receiving, coming back, with and without a file. Whatever fails: each call that
 * was taken ends exactly once, none that was refused does, and no block is left. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "fake_mqtt.h"
#include "hmem.h"
#include "hmqtt.h"

#define ALLOCATIONS_MAX 2000
#define PASSES_MAX      2000

static hloop_t *loop;
static fake_mqtt_t broker;
static int taken, ended, connects, has_given_up;
static char store[64];

static void call_it(hmqtt_t *client) {
    static const hmqtt_property_t properties[] = {
        {.id = HMQTT_USER_PROPERTY, .name = {"a", 1}, .value = {"b", 1}}};
    hmqtt_filter_t filter = {.filter = HMQTT_TEXT("a/#"), .qos = 2};
    hmqtt_subscribe_t call = {.filters = &filter, .filter_count = 1, .id = 1, .token = &taken,
                              .properties = properties, .property_count = 1};
    taken += hmqtt_subscribe(client, &call) > 0;
    for (uint8_t qos = 0; qos <= 2; qos++) {
        hmqtt_publish_t publish = {.topic = HMQTT_TEXT("a/some/topic"),
                                   .payload = HMQTT_TEXT("payload"),
                                   .qos = qos,
                                   .token = &taken,
                                   .properties = properties,
                                   .property_count = 1};
        taken += hmqtt_publish(client, &publish) > 0;
    }
}

static void on_event(hmqtt_t *client, const hmqtt_event_t *event, void *userdata) {
    (void)userdata;
    ended += event->is_done && event->token != NULL;
    has_given_up |= event->type == HMQTT_DISCONNECT && event->retry_ms < 0;
    if (event->type == HMQTT_CONNACK && event->reason == 0 && connects++ == 0) {
        call_it(client);
        fake_mqtt_cut(&broker);
    }
}

/* One life. Returns whether there was a client. */
static int live(int has_store) {
    static const hmqtt_property_t properties[] = {
        {.id = HMQTT_USER_PROPERTY, .name = {"a", 1}, .value = {"b", 1}}};
    hmqtt_options_t options;
    hmqtt_options_init(&options);
    options.port = broker.port;
    options.client_id = "fault";
    options.username = "user";
    options.reconnect = (reconn_setting_t){.min_delay = 1, .max_delay = 1,
                                           .max_retry_cnt = INFINITE};
    options.will.topic = HMQTT_TEXT("will");
    options.properties = properties;
    options.property_count = 1;
    options.store = has_store ? store : NULL;
    hmqtt_t *client = hmqtt_new(loop, &options, on_event, NULL);
    if (client == NULL) return 0;
    hmqtt_start(client);
    call_it(client);
    int passes = 0;
    while (!has_given_up && (ended < taken || connects < 2)) {
        assert_true(passes++ < PASSES_MAX);
        hloop_process_events(loop, 20);
    }
    hmqtt_free(client);
    return 1;
}

static void fail_each_allocation(int has_store) {
    size_t blocks_before = hv__mem_live_blocks();
    int has_failed = 1, count = 0, lives = 0;
    for (uint64_t nth = 1; has_failed; nth++) {
        assert_true(nth < ALLOCATIONS_MAX);
        taken = ended = connects = has_given_up = 0;
        unlink(store);
        loop = hloop_new(0);
        assert_non_null(loop);
        fake_mqtt_open(&broker, loop, 5);
        broker.echoes = 1;
        broker.session_present = 1;
        hv__mem_fail_nth(nth);
        int is_alive = live(has_store);
        has_failed = hv__mem_has_failed();
        hv__mem_fail_nth(0);
        hloop_free(&loop);
        fake_mqtt_free(&broker);
        assert_int_equal(ended, taken);
        assert_int_equal(hv__mem_live_blocks(), blocks_before);
        count += has_failed;
        lives += is_alive;
    }
    assert_int_equal(taken, 6); /* nothing failed in the last one */
    assert_true(connects >= 2);
    assert_true(count > 30);
    assert_true(lives > 10);
    unlink(store);
}

static void test_calls_end_once_whatever_allocation_fails(void **state) {
    (void)state;
    fail_each_allocation(0);
}

static void test_calls_with_a_file_end_once_whatever_allocation_fails(void **state) {
    (void)state;
    snprintf(store, sizeof store, "/tmp/hv_fault_mqtt_%ld", (long)getpid());
    fail_each_allocation(1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_calls_end_once_whatever_allocation_fails),
        cmocka_unit_test(test_calls_with_a_file_end_once_whatever_allocation_fails),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
