/* Calls over HTTP/2 that outlive their connection. What servers may say is in
 * spec/hv/http2_client_*spec.lua. */
#include "hhttp_client.h"
#include "http_test.h"

static int dones, done_error, is_broken;

static void on_done(hhttp_call_t *call, int error) {
    (void)call;
    dones++;
    done_error = error;
}

/* The first request for /hang loses its connection. */
static void answer_or_break(hhttp_request_t *req, void *userdata) {
    (void)userdata;
    if (hhttp_request_path(req).len > 1 && !is_broken) {
        is_broken = 1;
        hio_abort(hhttp_request_io(req));
        return;
    }
    hhttp_respond(req, 200, "text/plain", "hi", 2);
}

static void await_done(void) {
    AWAIT(dones != 0);
    assert_int_equal(dones, 1);
    dones = 0;
}

/* Its connection was the last of its group, which goes as well unless the call holds it: what
 * follows when it is resumed, here that it is sent again, needs the group. */
static void test_a_call_that_was_paused_when_its_connection_went_is_sent_again(void **state) {
    (void)state;
    begin_with(NULL, answer_or_break);
    is_broken = dones = 0;
    char url[64];
    snprintf(url, sizeof url, "http://127.0.0.1:%d/", fix->port);
    hhttp_client_t *client = hhttp_client_new(fix->loop, NULL);
    hhttp_call_options_t options = {.on_done = on_done, .http2 = HHTTP_CALL_HTTP2_PRIOR};
    assert_int_equal(hhttp_url_parse(url, &options.url), 0);
    assert_non_null(hhttp_call_start(client, &options));
    await_done();
    options.url.target = (hhttp_slice_t){"/hang", 5};
    hhttp_call_t *call = hhttp_call_start(client, &options);
    hhttp_call_pause(call);
    AWAIT(is_broken);
    await_connections(0);
    for (int i = 0; i < 20; i++) hloop_process_events(fix->loop, 1); /* the client sees it too */
    assert_int_equal(dones, 0);
    hhttp_call_resume(call);
    await_done();
    assert_int_equal(done_error, 0);
    hhttp_client_close(client);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_a_call_that_was_paused_when_its_connection_went_is_sent_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
