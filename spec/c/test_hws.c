/* test_hws.c - hws.h as a program uses it: servers out of an HTTP server, clients over a socket,
 * ends of every kind, pausing, topics, and a server that shuts down. */
#include "loop_test.h"

#include <stdio.h>
#include <stdlib.h>

#include "hws.h"

typedef struct side_s {
    hws_t *ws;
    hws_hub_t *hub;
    hws_endpoint_t *endpoint;
    char got[65536]; /* messages, one behind the other */
    size_t got_len;
    int messages, opens, closes, drains, pongs;
    int close_code, error, status;
    char reason[128], problem[128];
    int pauses_after;      /* pauses with this message; 0: never */
    int closes_in_message; /* a close code */
} side_t;

static hloop_t *loop;
static size_t blocks_before;
static hhttp_server_t *server;
static int port;
static side_t ours, theirs; /* the server's side, the client's side */

static side_t *side_of(hws_t *ws) {
    return hws_endpoint_userdata(hws_endpoint(ws));
}

static void on_open(hws_t *ws) {
    side_t *side = side_of(ws);
    assert_true(hws_is_open(ws));
    side->ws = ws;
    side->opens++;
}

static void on_message(hws_t *ws, hws_kind_e kind, const void *data, size_t len) {
    side_t *side = side_of(ws);
    (void)kind;
    side->messages++;
    if (side->got_len + len <= sizeof side->got) {
        memcpy(side->got + side->got_len, data, len);
        side->got_len += len;
    }
    if (side->pauses_after == side->messages) hws_pause(ws);
    if (side->closes_in_message) hws_close(ws, side->closes_in_message, "because");
}

static void on_pong(hws_t *ws, const void *data, size_t len) {
    (void)data;
    (void)len;
    side_of(ws)->pongs++;
}

static void on_drain(hws_t *ws) {
    side_of(ws)->drains++;
}

static void on_close(hws_t *ws) {
    side_t *side = side_of(ws);
    side->closes++;
    side->close_code = hws_close_code(ws);
    side->error = hws_error(ws);
    side->status = hws_status(ws);
    snprintf(side->reason, sizeof side->reason, "%s", hws_close_reason(ws));
    snprintf(side->problem, sizeof side->problem, "%s", hws_problem(ws) ? hws_problem(ws) : "");
    assert_int_equal(hws_send(ws, HWS_TEXT, "x", 1), HV_ECLOSED);
    assert_int_equal(hws_close(ws, 1000, NULL), 0);
    hws_pause(ws);
    hws_resume(ws);
    side->ws = NULL;
}

static const hws_handlers_t handlers = {.on_open = on_open,
                                        .on_message = on_message,
                                        .on_pong = on_pong,
                                        .on_drain = on_drain,
                                        .on_close = on_close};

static void on_request(hhttp_request_t *req, void *userdata) {
    (void)userdata;
    if (hhttp_request_path(req).len > 1) {
        hhttp_respond(req, 403, "text/plain", "no\n", 3);
        return;
    }
    hws_accept(ours.endpoint, req, NULL);
}

static void make_side(side_t *side, const hws_options_t *options) {
    memset(side, 0, sizeof *side);
    side->hub = hws_hub_new(loop);
    side->endpoint = hws_endpoint_new(side->hub, options, &handlers);
    assert_non_null(side->endpoint);
    hws_endpoint_set_userdata(side->endpoint, side);
}

static void begin(const hws_options_t *server_options, const hws_options_t *client_options) {
    blocks_before = hv__mem_live_blocks();
    loop = hloop_new(0);
    make_side(&ours, server_options);
    make_side(&theirs, client_options);
    server = hhttp_server_new(loop, NULL);
    hhttp_server_on_request(server, on_request, NULL);
    port = port_of(hhttp_server_listen(server, "127.0.0.1", 0, 0));
}

static hws_t *dial(const char *path) {
    char url[64];
    snprintf(url, sizeof url, "ws://127.0.0.1:%d%s", port, path);
    hws_connect_t options = {.url = url};
    return hws_connect(theirs.endpoint, &options, NULL);
}

static void open_pair(void) {
    hws_t *ws = dial("/");
    assert_non_null(ws);
    assert_false(hws_is_open(ws));
    assert_int_equal(hws_send(ws, HWS_TEXT, "x", 1), HV_ENOTCONN);
    RUN_UNTIL(loop, ours.ws != NULL && theirs.ws != NULL);
}

static void end(void) {
    hws_hub_free(ours.hub);
    hws_hub_free(theirs.hub);
    hhttp_server_close(server, 0, NULL, NULL);
    RUN_PASSES(loop, 20);
    free_loop(loop, blocks_before);
}

/* ---- Both ways ---- */

static void test_messages_go_both_ways(void **state) {
    (void)state;
    begin(NULL, NULL);
    open_pair();
    assert_int_equal(hws_send(theirs.ws, HWS_TEXT, "hello ", 6), 0);
    assert_int_equal(hws_send(theirs.ws, HWS_BINARY, "\xff", 1), 0);
    assert_int_equal(hws_send(ours.ws, HWS_TEXT, NULL, 0), 0);
    RUN_UNTIL(loop, ours.messages == 2 && theirs.messages == 1);
    assert_memory_equal(ours.got, "hello \xff", 7);
    assert_int_equal(hws_send(ours.ws, HWS_TEXT, "\xff", 1), HV_EINVAL);
    assert_int_equal(hws_ping(ours.ws, "p", 1), 0);
    assert_int_equal(hws_ping(ours.ws, ours.got, 126), HV_EINVAL);
    RUN_UNTIL(loop, ours.pongs == 1);
    assert_int_equal(hws_pong(theirs.ws, "unasked", 7), 0); /* RFC 6455, section 5.5.3 */
    assert_int_equal(hws_pong(theirs.ws, ours.got, 126), HV_EINVAL);
    RUN_UNTIL(loop, ours.pongs == 2);
    assert_int_equal(hws_hub_count(ours.hub), 1);
    assert_ptr_equal(hws_hub_next(ours.hub, NULL), ours.ws);
    assert_null(hws_hub_next(ours.hub, ours.ws));
    end();
    assert_int_equal(ours.closes, 1);
    assert_int_equal(theirs.closes, 1);
    assert_int_equal(ours.close_code, 1006);
}

static void test_close_is_answered_with_its_code(void **state) {
    (void)state;
    for (int from_client = 0; from_client < 2; from_client++) {
        begin(NULL, NULL);
        open_pair();
        hws_t *closer = from_client ? theirs.ws : ours.ws;
        assert_int_equal(hws_close(closer, 999, NULL), HV_EINVAL);
        assert_int_equal(hws_close(closer, 1006, NULL), HV_EINVAL);
        assert_int_equal(hws_close(closer, 1000, "\xff"), HV_EINVAL);
        assert_int_equal(hws_close(closer, 3000, "why"), 0);
        assert_int_equal(hws_close(closer, 4000, "again"), 0);
        assert_int_equal(hws_send(closer, HWS_TEXT, "x", 1), HV_ECLOSED);
        RUN_UNTIL(loop, ours.closes && theirs.closes);
        assert_int_equal(ours.close_code, 3000);
        assert_int_equal(theirs.close_code, 3000);
        assert_int_equal(ours.error, 0);
        assert_int_equal(theirs.error, 0);
        assert_string_equal(from_client ? ours.reason : theirs.reason, "why");
        end();
    }
}

static void test_close_without_a_code(void **state) {
    (void)state;
    begin(NULL, NULL);
    open_pair();
    hws_close(theirs.ws, 0, NULL);
    RUN_UNTIL(loop, ours.closes && theirs.closes);
    assert_int_equal(ours.close_code, 1005);
    assert_int_equal(theirs.close_code, 1005);
    end();
}

static void test_close_inside_on_message_is_sent_behind_what_was_sent(void **state) {
    (void)state;
    begin(NULL, NULL);
    open_pair();
    ours.closes_in_message = 4001;
    hws_send(theirs.ws, HWS_TEXT, "1", 1);
    hws_send(theirs.ws, HWS_TEXT, "2", 1);
    RUN_UNTIL(loop, ours.closes && theirs.closes);
    assert_int_equal(ours.messages, 1); /* the second is dropped */
    assert_int_equal(theirs.close_code, 4001);
    assert_string_equal(theirs.reason, "because");
    end();
}

static void test_abort_is_seen_as_abnormal(void **state) {
    (void)state;
    begin(NULL, NULL);
    open_pair();
    hws_abort(theirs.ws);
    RUN_UNTIL(loop, ours.closes && theirs.closes);
    assert_int_equal(ours.close_code, 1006);
    assert_true(ours.error == HV_EOF || ours.error == HV_ECONNRESET);
    assert_int_equal(theirs.error, HV_ECANCELED);
    end();
}

/* ---- Connecting ---- */

static void test_refused_by_the_server_tells_the_status(void **state) {
    (void)state;
    begin(NULL, NULL);
    assert_non_null(dial("/forbidden"));
    RUN_UNTIL(loop, theirs.closes);
    assert_int_equal(theirs.opens, 0);
    assert_int_equal(theirs.error, HV_EPROTO);
    assert_int_equal(theirs.status, 403);
    assert_string_equal(theirs.problem, "the server answered 403 Forbidden");
    end();
}

static void test_nobody_listens(void **state) {
    (void)state;
    begin(NULL, NULL);
    hws_connect_t options = {.url = "ws://127.0.0.1:1/"};
    assert_non_null(hws_connect(theirs.endpoint, &options, NULL));
    RUN_UNTIL(loop, theirs.closes);
    assert_int_equal(theirs.error, HV_ECONNREFUSED);
    assert_int_equal(theirs.close_code, 1006);
    end();
}

static void test_close_while_connecting_gives_up(void **state) {
    (void)state;
    begin(NULL, NULL);
    hws_t *ws = dial("/");
    assert_int_equal(hws_close(ws, 1000, NULL), 0);
    RUN_UNTIL(loop, theirs.closes);
    assert_int_equal(theirs.opens, 0);
    assert_int_equal(theirs.error, HV_ECANCELED);
    end();
}

static void on_accept_silently(hio_t *io) {
    hio_read(io);
}

static void test_a_server_that_never_answers_times_out(void **state) {
    (void)state;
    begin(NULL, NULL);
    hio_t *silent = hloop_create_tcp_server(loop, "127.0.0.1", 0, on_accept_silently);
    char url[64];
    snprintf(url, sizeof url, "ws://127.0.0.1:%d/", port_of(silent));
    hws_connect_t options = {.url = url, .timeout_ms = 10};
    assert_non_null(hws_connect(theirs.endpoint, &options, NULL));
    RUN_UNTIL(loop, theirs.closes);
    assert_int_equal(theirs.error, HV_ETIMEDOUT);
    hio_close(silent);
    end();
}

static void test_bad_options_of_a_client_fail_at_once(void **state) {
    (void)state;
    static const hhttp_header_t bad[] = {{{"Sec-WebSocket-Key", 17}, {"x", 1}},
                                         {{"Upgrade", 7}, {"x", 1}},
                                         {{"X", 1}, {"a\nb", 3}},
                                         {{"Content-Length", 14}, {"0", 1}},
                                         {{"a b", 3}, {"x", 1}}};
    begin(NULL, NULL);
    hws_connect_t options = {.url = "http://127.0.0.1/"};
    assert_null(hws_connect(theirs.endpoint, &options, NULL));
    assert_int_equal(hloop_last_error(loop), HV_EINVAL);
    options.url = "ws://127.0.0.1:1/";
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        options.headers = &bad[i];
        options.header_count = 1;
        assert_null(hws_connect(theirs.endpoint, &options, NULL));
        assert_int_equal(hloop_last_error(loop), HV_EINVAL);
    }
    assert_int_equal(hws_hub_count(theirs.hub), 0);
    end();
}

static void test_bad_options_of_an_endpoint(void **state) {
    (void)state;
    begin(NULL, NULL);
    hws_options_t bad[3] = {
        {.deflate.level = 10}, {.deflate.server_window_bits = 7}, {.protocols = "a b"}};
    for (size_t i = 0; i < 3; i++) {
        assert_null(hws_endpoint_new(ours.hub, &bad[i], &handlers));
        assert_int_equal(hloop_last_error(loop), HV_EINVAL);
    }
    end();
}

static void test_subprotocol_and_compression_are_agreed_on(void **state) {
    (void)state;
    hws_options_t at_server = {.protocols = "superchat, chat", .deflate = {.is_on = 1}};
    hws_options_t at_client = {.protocols = "chat, mqtt", .deflate = {.is_on = 1}};
    begin(&at_server, &at_client);
    open_pair();
    assert_int_equal(hws_protocol(ours.ws).len, 4);
    assert_memory_equal(hws_protocol(ours.ws).data, "chat", 4);
    assert_memory_equal(hws_protocol(theirs.ws).data, "chat", 4);
    assert_true(hws_is_deflated(ours.ws) && hws_is_deflated(theirs.ws));
    char text[4000];
    memset(text, 'a', sizeof text);
    assert_int_equal(hws_send(theirs.ws, HWS_TEXT, text, sizeof text), 0);
    assert_int_equal(hws_send(ours.ws, HWS_TEXT, text, sizeof text), 0);
    assert_true(hws_write_bufsize(ours.ws) < 200);
    RUN_UNTIL(loop, ours.messages && theirs.messages);
    assert_int_equal(ours.got_len, sizeof text);
    assert_memory_equal(theirs.got, text, sizeof text);
    end();
}

/* ---- Pausing ---- */

static void test_paused_socket_keeps_messages_and_answers_pings(void **state) {
    (void)state;
    begin(NULL, NULL);
    open_pair();
    ours.pauses_after = 1;
    for (int i = 0; i < 3; i++)
        hws_send(theirs.ws, HWS_TEXT, &"abc"[i], 1);
    hws_ping(theirs.ws, "still there?", 12);
    RUN_UNTIL(loop, theirs.pongs == 1);
    assert_int_equal(ours.messages, 1);
    ours.pauses_after = 2;
    hws_resume(ours.ws);
    assert_int_equal(ours.messages, 1); /* not inside the call */
    RUN_UNTIL(loop, ours.messages == 2);
    RUN_PASSES(loop, 3);
    assert_int_equal(ours.messages, 2);
    hws_resume(ours.ws);
    RUN_UNTIL(loop, ours.messages == 3);
    assert_memory_equal(ours.got, "abc", 3);
    end();
}

static void test_pause_behind_a_resume_holds(void **state) {
    (void)state;
    begin(NULL, NULL);
    open_pair();
    hws_pause(ours.ws);
    hws_send(theirs.ws, HWS_TEXT, "a", 1);
    RUN_UNTIL(loop, hws_write_bufsize(theirs.ws) == 0);
    RUN_PASSES(loop, 3);
    hws_resume(ours.ws);
    hws_pause(ours.ws);
    RUN_PASSES(loop, 3);
    assert_int_equal(ours.messages, 0);
    hws_resume(ours.ws);
    RUN_UNTIL(loop, ours.messages == 1);
    end();
}

static void test_messages_before_a_close_come_before_on_close(void **state) {
    (void)state;
    begin(NULL, NULL);
    open_pair();
    hws_pause(ours.ws);
    hws_t *paused = ours.ws;
    hws_send(theirs.ws, HWS_TEXT, "a", 1);
    hws_send(theirs.ws, HWS_TEXT, "b", 1);
    hws_close(theirs.ws, 4002, "gone");
    RUN_UNTIL(loop, theirs.closes);
    RUN_PASSES(loop, 3);
    assert_int_equal(ours.closes, 0);
    assert_false(hws_is_open(paused));
    hws_resume(paused);
    RUN_UNTIL(loop, ours.closes);
    assert_int_equal(ours.messages, 2);
    assert_int_equal(ours.close_code, 4002);
    assert_string_equal(ours.reason, "gone");
    end();
}

static void test_close_drops_what_a_paused_socket_has_kept(void **state) {
    (void)state;
    begin(NULL, NULL);
    open_pair();
    hws_pause(ours.ws);
    hws_t *paused = ours.ws;
    hws_send(theirs.ws, HWS_TEXT, "a", 1);
    hws_close(theirs.ws, 4002, NULL);
    RUN_UNTIL(loop, theirs.closes);
    RUN_PASSES(loop, 3);
    hws_close(paused, 1000, NULL);
    RUN_UNTIL(loop, ours.closes);
    assert_int_equal(ours.messages, 0);
    end();
}

static void test_full_inbox_slows_the_peer_and_loses_nothing(void **state) {
    (void)state;
    hws_options_t options = {.inbox_bytes_max = 10000};
    begin(&options, NULL);
    open_pair();
    hws_pause(ours.ws);
    char piece[1000];
    int sent = 0, taken_all = 0;
    for (; sent < 30000; sent++) {
        memset(piece, 'a' + sent % 26, sizeof piece);
        int code = hws_send(theirs.ws, HWS_BINARY, piece, sizeof piece);
        if (code == HV_EAGAIN) {
            RUN_PASSES(loop, 50);
            if (hws_write_bufsize(theirs.ws) > 500000) break; /* the kernel's queues are full */
        }
    }
    assert_true(sent < 30000);
    sent++;
    hws_close(theirs.ws, 1000, NULL);
    assert_int_equal(ours.messages, 0);
    hws_resume(ours.ws);
    RUN_UNTIL(loop, ours.closes && theirs.closes);
    taken_all = ours.messages == sent;
    assert_true(taken_all);
    assert_int_equal(ours.close_code, 1000);
    end();
}

static void test_loop_that_ends_with_a_paused_socket_frees_it(void **state) {
    (void)state;
    begin(NULL, NULL);
    open_pair();
    hws_pause(ours.ws);
    hws_send(theirs.ws, HWS_TEXT, "a", 1);
    hws_close(theirs.ws, 1000, NULL);
    RUN_UNTIL(loop, theirs.closes);
    RUN_PASSES(loop, 3);
    hhttp_server_close(server, 0, NULL, NULL);
    RUN_PASSES(loop, 5);
    hloop_free(&loop);
    assert_int_equal(ours.closes, 1);
    hws_hub_free(ours.hub);
    hws_hub_free(theirs.hub);
    assert_int_equal(hv__mem_live_blocks(), blocks_before);
}

/* ---- Queues ---- */

static void test_send_above_the_mark_says_so_and_drain_follows(void **state) {
    (void)state;
    hws_options_t options = {.write_high = 100000, .write_max = 8 << 20};
    static char piece[200000];
    begin(&options, NULL);
    open_pair();
    hws_pause(theirs.ws);
    int code = 0;
    for (int i = 0; i < 50 && code == 0; i++)
        code = hws_send(ours.ws, HWS_BINARY, piece, sizeof piece);
    assert_int_equal(code, HV_EAGAIN);
    hws_resume(theirs.ws);
    RUN_UNTIL(loop, ours.drains > 0);
    end();
}

static void test_send_beyond_the_maximum_takes_nothing(void **state) {
    (void)state;
    hws_options_t options = {.write_max = 1000};
    static char piece[2000];
    begin(&options, NULL);
    open_pair();
    assert_int_equal(hws_send(ours.ws, HWS_BINARY, piece, 2000), HV_ELIMIT);
    assert_int_equal(hws_send(ours.ws, HWS_BINARY, piece, 500), 0);
    RUN_UNTIL(loop, theirs.messages == 1);
    assert_int_equal(theirs.got_len, 500);
    end();
}

/* ---- Topics ---- */

static void test_topics_of_a_socket(void **state) {
    (void)state;
    begin(NULL, NULL);
    open_pair();
    assert_int_equal(hws_publish(ours.hub, "t", 1, HWS_TEXT, "x", 1, NULL), 0);
    assert_int_equal(hws_subscribe(ours.ws, "", 0), HV_EINVAL);
    for (int i = 0; i < 300; i++) {
        char topic[16];
        size_t len = (size_t)snprintf(topic, sizeof topic, "topic %d", i);
        assert_int_equal(hws_subscribe(ours.ws, topic, len), 0);
        assert_int_equal(hws_subscribe(ours.ws, topic, len), 0);
        assert_int_equal(hws_subscribers(ours.hub, topic, len), 1);
    }
    assert_int_equal(hws_publish(ours.hub, "topic 7", 7, HWS_TEXT, "seven", 5, NULL), 1);
    assert_int_equal(hws_publish(ours.hub, "topic 7", 7, HWS_TEXT, "none", 4, ours.ws), 0);
    assert_int_equal(hws_publish(ours.hub, "topic 7", 7, HWS_TEXT, "\xff", 1, NULL), HV_EINVAL);
    RUN_UNTIL(loop, theirs.messages == 1);
    assert_memory_equal(theirs.got, "seven", 5);
    assert_int_equal(hws_unsubscribe(ours.ws, "topic 7", 7), 0);
    assert_int_equal(hws_unsubscribe(ours.ws, "topic 7", 7), HV_ENOTFOUND);
    assert_int_equal(hws_subscribers(ours.hub, "topic 7", 7), 0);
    hws_close(ours.ws, 1000, NULL);
    assert_int_equal(hws_publish(ours.hub, "topic 8", 7, HWS_TEXT, "late", 4, NULL), 0);
    RUN_UNTIL(loop, ours.closes);
    assert_int_equal(hws_subscribers(ours.hub, "topic 8", 7), 0);
    end();
}

static void test_clients_take_publications_of_their_own_hub(void **state) {
    (void)state;
    begin(NULL, NULL);
    open_pair();
    hws_subscribe(theirs.ws, "t", 1);
    assert_int_equal(hws_publish(theirs.hub, "t", 1, HWS_TEXT, "masked", 6, NULL), 1);
    RUN_UNTIL(loop, ours.messages == 1);
    assert_memory_equal(ours.got, "masked", 6);
    end();
}

/* ---- Shutting down ---- */

static int server_is_closed;
static void on_server_closed(hhttp_server_t *closed, void *userdata) {
    (void)closed;
    (void)userdata;
    server_is_closed = 1;
}

static void test_http_server_that_closes_says_going_away(void **state) {
    (void)state;
    for (int drains = 0; drains < 2; drains++) {
        begin(NULL, NULL);
        open_pair();
        server_is_closed = 0;
        if (drains) {
            hhttp_server_drain(server, 5000, on_server_closed, NULL);
        } else {
            hhttp_server_close(server, 5000, on_server_closed, NULL);
        }
        RUN_UNTIL(loop, server_is_closed && theirs.closes);
        assert_int_equal(theirs.close_code, 1001);
        assert_string_equal(theirs.reason, "going away");
        hws_hub_free(ours.hub);
        hws_hub_free(theirs.hub);
        RUN_PASSES(loop, 3);
        free_loop(loop, blocks_before);
    }
}

static void test_hub_that_closes_refuses_new_ones(void **state) {
    (void)state;
    begin(NULL, NULL);
    open_pair();
    hws_hub_close(ours.hub, HWS_GOING_AWAY, "bye");
    RUN_UNTIL(loop, ours.closes && theirs.closes);
    assert_int_equal(theirs.close_code, 1001);
    dial("/");
    RUN_UNTIL(loop, theirs.closes == 2);
    assert_int_equal(theirs.status, 503);
    end();
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_messages_go_both_ways),
        cmocka_unit_test(test_close_is_answered_with_its_code),
        cmocka_unit_test(test_close_without_a_code),
        cmocka_unit_test(test_close_inside_on_message_is_sent_behind_what_was_sent),
        cmocka_unit_test(test_abort_is_seen_as_abnormal),
        cmocka_unit_test(test_refused_by_the_server_tells_the_status),
        cmocka_unit_test(test_nobody_listens),
        cmocka_unit_test(test_close_while_connecting_gives_up),
        cmocka_unit_test(test_a_server_that_never_answers_times_out),
        cmocka_unit_test(test_bad_options_of_a_client_fail_at_once),
        cmocka_unit_test(test_bad_options_of_an_endpoint),
        cmocka_unit_test(test_subprotocol_and_compression_are_agreed_on),
        cmocka_unit_test(test_paused_socket_keeps_messages_and_answers_pings),
        cmocka_unit_test(test_pause_behind_a_resume_holds),
        cmocka_unit_test(test_messages_before_a_close_come_before_on_close),
        cmocka_unit_test(test_close_drops_what_a_paused_socket_has_kept),
        cmocka_unit_test(test_full_inbox_slows_the_peer_and_loses_nothing),
        cmocka_unit_test(test_loop_that_ends_with_a_paused_socket_frees_it),
        cmocka_unit_test(test_send_above_the_mark_says_so_and_drain_follows),
        cmocka_unit_test(test_send_beyond_the_maximum_takes_nothing),
        cmocka_unit_test(test_topics_of_a_socket),
        cmocka_unit_test(test_clients_take_publications_of_their_own_hub),
        cmocka_unit_test(test_http_server_that_closes_says_going_away),
        cmocka_unit_test(test_hub_that_closes_refuses_new_ones),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
