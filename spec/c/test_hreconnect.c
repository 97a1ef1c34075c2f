/* test_hreconnect.c - the delays between attempts, and the client that keeps to them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "certs.h"
#include "hclient.h"
#include "hclock.h"
#include "hloop.h"
#include "hmem.h"
#include "hsocket.h"


/* ---- Delays ---- */

static void expect_delays(reconn_setting_t *setting, const uint32_t *delays, size_t count) {
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(reconn_setting_calc_delay(setting), delays[i]);
        assert_int_equal(setting->cur_delay, delays[i]);
        assert_int_equal(setting->cur_retry_cnt, i + 1);
    }
}

#define EXPECT_DELAYS(setting, ...)                                                     \
    expect_delays(setting, (const uint32_t[]){__VA_ARGS__},                             \
                  sizeof((const uint32_t[]){__VA_ARGS__}) / sizeof(uint32_t))

static void test_delay_by_default_doubles_up_to_a_minute(void **state) {
    (void)state;
    reconn_setting_t setting;
    reconn_setting_init(&setting);
    EXPECT_DELAYS(&setting, 1000, 2000, 4000, 8000, 16000, 32000, 60000, 60000);
    assert_true(reconn_setting_can_retry(&setting));
}

static void test_delay_after_reset_begins_anew(void **state) {
    (void)state;
    reconn_setting_t setting;
    reconn_setting_init(&setting);
    EXPECT_DELAYS(&setting, 1000, 2000);
    reconn_setting_reset(&setting);
    EXPECT_DELAYS(&setting, 1000, 2000);
}

static void test_delay_fixed_stays(void **state) {
    (void)state;
    reconn_setting_t setting = {.min_delay = 50, .max_delay = 500};
    EXPECT_DELAYS(&setting, 50, 50, 50);
}

static void test_delay_linear_grows_by_the_least(void **state) {
    (void)state;
    reconn_setting_t setting = {.min_delay = 200, .max_delay = 700, .delay_policy = 1};
    EXPECT_DELAYS(&setting, 200, 400, 600, 700, 700);
}

static void test_delay_with_larger_factor_is_multiplied_by_it(void **state) {
    (void)state;
    reconn_setting_t setting = {.min_delay = 10, .max_delay = 1000, .delay_policy = 5};
    EXPECT_DELAYS(&setting, 10, 50, 250, 1000);
}

static void test_delay_at_the_end_of_the_range_does_not_overflow(void **state) {
    (void)state;
    reconn_setting_t setting = {.min_delay = 3000000000u, .max_delay = UINT32_MAX};
    setting.delay_policy = RECONN_DELAY_LINEAR;
    EXPECT_DELAYS(&setting, 3000000000u, UINT32_MAX, UINT32_MAX);
    reconn_setting_reset(&setting);
    setting.delay_policy = UINT32_MAX;
    EXPECT_DELAYS(&setting, 3000000000u, UINT32_MAX, UINT32_MAX);
}

static void test_delay_with_bounds_reversed_is_the_least(void **state) {
    (void)state;
    reconn_setting_t setting = {.min_delay = 300, .max_delay = 100, .delay_policy = 2};
    EXPECT_DELAYS(&setting, 300, 300);
}

static void test_retries_are_counted(void **state) {
    (void)state;
    reconn_setting_t setting = {.min_delay = 1, .max_delay = 1, .max_retry_cnt = 2};
    assert_true(reconn_setting_can_retry(&setting));
    reconn_setting_calc_delay(&setting);
    assert_true(reconn_setting_can_retry(&setting));
    reconn_setting_calc_delay(&setting);
    assert_false(reconn_setting_can_retry(&setting));
    reconn_setting_reset(&setting);
    assert_true(reconn_setting_can_retry(&setting));
    setting.max_retry_cnt = 0;
    assert_false(reconn_setting_can_retry(&setting));
}

/* ---- The client ---- */

typedef struct run_s {
    hloop_t *loop;
    hio_t *listener;
    hclient_t *client;
    int port;
    int accepts, connects, closes;
    int stop_at_close;    /* the loop stops at the nth close callback */
    int restart_at_close; /* started again in the nth */
    int free_at_close;
    int free_at_connect;
    int last_error;
    int64_t delays[8];
    size_t got;
} run_t;

static void on_peer_read(hio_t *io, void *buf, int len) {
    run_t *run = hloop_userdata(hevent_loop(io));
    (void)buf;
    run->got += (size_t)len;
    if (run->got % 5 == 0) hio_close(io); /* a server that does not hold its connections */
}

static void on_accept(hio_t *io) {
    run_t *run = hloop_userdata(hevent_loop(io));
    run->accepts++;
    hio_setcb_read(io, on_peer_read);
    hio_read(io);
}

static void on_connect(hclient_t *client) {
    run_t *run = hclient_userdata(client);
    run->connects++;
    assert_true(hclient_is_connected(client));
    assert_int_equal(hclient_error(client), 0);
    assert_int_equal(hclient_write(client, "hello", 5), 5);
    hio_read(hclient_io(client));
    if (run->free_at_connect) {
        hclient_free(client);
        run->client = NULL;
    }
}

static void on_close(hclient_t *client) {
    run_t *run = hclient_userdata(client);
    if (run->closes < 8) run->delays[run->closes] = hclient_retry_delay(client);
    run->closes++;
    run->last_error = hclient_error(client);
    assert_false(hclient_is_connected(client));
    assert_int_equal(hclient_write(client, "x", 1), HV_ENOTCONN);
    if (run->closes == run->stop_at_close) hloop_stop(run->loop);
    if (run->closes == run->restart_at_close) assert_int_equal(hclient_start(client), 0);
    if (run->closes == run->free_at_close) {
        hclient_free(client);
        run->client = NULL;
        hloop_stop(run->loop);
    }
}

static void begin(run_t *run) {
    run->loop = hloop_new(0);
    hloop_set_userdata(run->loop, run);
    run->listener = hloop_create_tcp_server(run->loop, "127.0.0.1", 0, on_accept);
    run->port = sockaddr_port((sockaddr_u *)(void *)hio_localaddr(run->listener));
    run->client = hclient_new(run->loop, "127.0.0.1", run->port);
    hclient_set_userdata(run->client, run);
    hclient_setcb_connect(run->client, on_connect);
    hclient_setcb_close(run->client, on_close);
    assert_null(hclient_io(run->client));
}

static void end(run_t *run) {
    hclient_free(run->client);
    hloop_free(&run->loop);
}

/* Nobody listens on the port any more. */
static void silence(run_t *run) {
    hio_close(run->listener);
    hloop_process_events(run->loop, 0);
}

static const reconn_setting_t quick = {
    .min_delay = 1, .max_delay = 4, .max_retry_cnt = INFINITE, .delay_policy = 2};

static void test_client_without_setting_connects_once(void **state) {
    (void)state;
    run_t run = {.stop_at_close = 1};
    begin(&run);
    assert_int_equal(hclient_start(run.client), 0);
    assert_int_equal(run.connects, 0);
    hloop_run(run.loop);
    assert_int_equal(run.connects, 1);
    assert_int_equal(run.got, 5);
    assert_int_equal(run.last_error, 0);
    assert_int_equal(run.delays[0], -1);
    assert_null(hclient_io(run.client));
    end(&run);
}

static void test_client_gives_an_attempt_up_after_its_timeout(void **state) {
    (void)state;
    hclock_set_fake(1000000);
    run_t run = {.loop = hloop_new_with_backend(0, "fake")}; /* nothing is ever ready */
    hloop_set_userdata(run.loop, &run);
    run.listener = hloop_create_tcp_server(run.loop, "127.0.0.1", 0, on_accept);
    run.port = sockaddr_port((sockaddr_u *)(void *)hio_localaddr(run.listener));
    run.client = hclient_new(run.loop, "127.0.0.1", run.port);
    hclient_set_userdata(run.client, &run);
    hclient_setcb_close(run.client, on_close);
    hclient_set_connect_timeout(run.client, 700);
    assert_int_equal(hclient_start(run.client), 0);
    while (run.closes == 0) assert_true(hloop_process_events(run.loop, (int)INFINITE) >= 0);
    assert_int_equal(run.last_error, ETIMEDOUT);
    assert_int_equal(hclock_mono_us(), 1000000 + 700000);
    end(&run);
    hclock_use_real();
}

static void test_client_reconnects_after_each_connection(void **state) {
    (void)state;
    run_t run = {.stop_at_close = 3};
    begin(&run);
    hclient_set_reconnect(run.client, &quick);
    hclient_start(run.client);
    hloop_run(run.loop);
    assert_int_equal(run.connects, 3);
    assert_int_equal(run.accepts, 3);
    assert_int_equal(run.got, 15);
    /* Each connection that was made begins the count anew. */
    assert_int_equal(run.delays[0], 1);
    assert_int_equal(run.delays[1], 1);
    assert_int_equal(run.delays[2], 1);
    end(&run);
}

static void test_client_refused_waits_longer_each_time(void **state) {
    (void)state;
    run_t run = {.stop_at_close = 4};
    begin(&run);
    silence(&run);
    hclient_set_reconnect(run.client, &quick);
    hclient_start(run.client);
    hloop_run(run.loop);
    assert_int_equal(run.connects, 0);
    assert_int_equal(run.last_error, ECONNREFUSED);
    assert_int_equal(hclient_attempts(run.client), 4);
    assert_int_equal(run.delays[0], 1);
    assert_int_equal(run.delays[1], 2);
    assert_int_equal(run.delays[2], 4);
    assert_int_equal(run.delays[3], 4);
    end(&run);
}

static void test_client_gives_up_after_the_last_retry(void **state) {
    (void)state;
    run_t run = {.stop_at_close = 3};
    begin(&run);
    silence(&run);
    reconn_setting_t setting = quick;
    setting.max_retry_cnt = 2;
    hclient_set_reconnect(run.client, &setting);
    hclient_start(run.client);
    hloop_run(run.loop);
    assert_int_equal(hclient_attempts(run.client), 3);
    assert_int_equal(run.delays[1], 2);
    assert_int_equal(run.delays[2], -1);
    assert_int_equal(hloop_ntimers(run.loop), 0);
    end(&run);
}

static void test_client_with_bad_address_reports_it_later(void **state) {
    (void)state;
    run_t run = {.stop_at_close = 2};
    begin(&run);
    hclient_free(run.client);
    run.client = hclient_new(run.loop, "127.0.0.1", 70000);
    hclient_set_userdata(run.client, &run);
    hclient_setcb_close(run.client, on_close);
    hclient_set_reconnect(run.client, &quick);
    assert_int_equal(hclient_start(run.client), 0);
    assert_int_equal(run.closes, 0);
    hloop_run(run.loop);
    assert_int_equal(run.last_error, EINVAL);
    assert_int_equal(hclient_attempts(run.client), 2);
    end(&run);
}

static void test_client_stopped_while_waiting_stays_stopped(void **state) {
    (void)state;
    run_t run = {.stop_at_close = 1};
    begin(&run);
    silence(&run);
    hclient_set_reconnect(run.client, &quick);
    hclient_start(run.client);
    hloop_run(run.loop);
    assert_int_equal(hloop_ntimers(run.loop), 1);
    hclient_stop(run.client);
    assert_int_equal(hloop_ntimers(run.loop), 0);
    assert_int_equal(hclient_retry_delay(run.client), -1);
    end(&run);
}

static void test_client_stopped_and_started_at_once_connects_anew(void **state) {
    (void)state;
    run_t run = {.stop_at_close = 2};
    begin(&run);
    hclient_start(run.client);
    hclient_stop(run.client);
    hclient_start(run.client);
    hloop_run(run.loop);
    assert_int_equal(hclient_attempts(run.client), 2);
    assert_int_equal(run.connects, 1);
    assert_int_equal(run.delays[0], 0);
    assert_int_equal(run.delays[1], -1);
    end(&run);
}

static void test_client_started_in_its_close_callback_connects_anew(void **state) {
    (void)state;
    run_t run = {.stop_at_close = 2, .restart_at_close = 1};
    begin(&run);
    hclient_start(run.client);
    hloop_run(run.loop);
    assert_int_equal(run.connects, 2);
    end(&run);
}

static void test_client_freed_in_its_callbacks_calls_no_more(void **state) {
    (void)state;
    run_t run = {.free_at_close = 1};
    begin(&run);
    hclient_set_reconnect(run.client, &quick);
    hclient_start(run.client);
    hloop_run(run.loop);
    assert_int_equal(run.closes, 1);
    end(&run);

    run_t other = {.free_at_connect = 1};
    begin(&other);
    hclient_set_reconnect(other.client, &quick);
    hclient_start(other.client);
    while (other.got < 5) hloop_process_events(other.loop, -1);
    assert_int_equal(other.closes, 0);
    end(&other);
}

static void test_client_freed_before_anything_happens(void **state) {
    (void)state;
    run_t run = {0};
    begin(&run);
    hclient_start(run.client);
    end(&run);
    assert_int_equal(run.connects, 0);
    assert_int_equal(run.closes, 0);
}

static void test_client_whose_loop_ends_first_does_not_try_again(void **state) {
    (void)state;
    run_t run = {0};
    begin(&run);
    hclient_set_reconnect(run.client, &quick);
    hclient_start(run.client);
    while (run.connects == 0) hloop_process_events(run.loop, -1);
    hloop_t *loop = run.loop;
    hloop_free(&loop);
    assert_int_equal(run.closes, 1);
    assert_int_equal(run.delays[0], -1);
    hclient_free(run.client);
}

static void run_tls(run_t *run, const char *ca, const char *name) {
    begin(run);
    hssl_ctx_opt_t server = {.crt_file = certs.server, .key_file = certs.server_key};
    assert_int_equal(hio_new_ssl_ctx(run->listener, &server), 0);
    hssl_ctx_opt_t opt = {.ca_file = ca, .endpoint = HSSL_CLIENT};
    hssl_ctx_t ctx = hssl_ctx_new(&opt);
    assert_non_null(ctx);
    assert_int_equal(hclient_set_ssl(run->client, ctx, name), 0);
    hssl_ctx_free(ctx);
    hclient_set_reconnect(run->client, &quick);
    hclient_start(run->client);
    hloop_run(run->loop);
}

static void test_client_over_tls_reconnects(void **state) {
    (void)state;
    run_t run = {.stop_at_close = 2};
    run_tls(&run, certs.ca, "localhost");
    assert_int_equal(run.connects, 2);
    assert_int_equal(run.got, 10);
    end(&run);
}

static void test_client_over_tls_verifies_each_time(void **state) {
    (void)state;
    run_t run = {.stop_at_close = 2};
    run_tls(&run, certs.ca, "other.example");
    assert_int_equal(run.connects, 0);
    assert_int_equal(run.last_error, -HV_ETLS);
    assert_int_equal(run.delays[1], 2);
    end(&run);
}

static int check_memory(void **state) {
    (void)state;
    return hv__mem_live_blocks() == 0 ? 0 : -1;
}

#define TEST(function) cmocka_unit_test_teardown(function, check_memory)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_delay_by_default_doubles_up_to_a_minute),
        TEST(test_delay_after_reset_begins_anew),
        TEST(test_delay_fixed_stays),
        TEST(test_delay_linear_grows_by_the_least),
        TEST(test_delay_with_larger_factor_is_multiplied_by_it),
        TEST(test_delay_at_the_end_of_the_range_does_not_overflow),
        TEST(test_delay_with_bounds_reversed_is_the_least),
        TEST(test_retries_are_counted),
        TEST(test_client_without_setting_connects_once),
        TEST(test_client_gives_an_attempt_up_after_its_timeout),
        TEST(test_client_reconnects_after_each_connection),
        TEST(test_client_refused_waits_longer_each_time),
        TEST(test_client_gives_up_after_the_last_retry),
        TEST(test_client_with_bad_address_reports_it_later),
        TEST(test_client_stopped_while_waiting_stays_stopped),
        TEST(test_client_stopped_and_started_at_once_connects_anew),
        TEST(test_client_started_in_its_close_callback_connects_anew),
        TEST(test_client_freed_in_its_callbacks_calls_no_more),
        TEST(test_client_freed_before_anything_happens),
        TEST(test_client_whose_loop_ends_first_does_not_try_again),
        TEST(test_client_over_tls_reconnects),
        TEST(test_client_over_tls_verifies_each_time),
    };
    return cmocka_run_group_tests_name("hreconnect", tests, certs_make, certs_remove);
}
