/* Tests of runtime/http/http_link.c: what is read from a connection, pauses, changes of protocol,
 * and whatever a server may send. */
#include "http_client_test.h"

#include "hbase.h"

/* ---- Responses ---- */

static void test_get_sends_request_and_keeps_connection(void **state) {
    (void)state;
    answer("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nfirst", 0);
    answer("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nsec\r\n3;a=b\r\nond\r\n0\r\n"
           "T: x\r\n\r\n",
           0);
    answer("HTTP/1.1 204 No Content\r\n\r\n", 0);
    get("/a?b=c");
    expect_ok(200, "first");
    char expected[128];
    snprintf(expected, sizeof expected, "GET /a?b=c HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n\r\n",
             port_of(listener));
    assert_string_equal(requests, expected);
    assert_int_equal(counts().idle, 1);
    get("/second");
    expect_ok(200, "second");
    get("/third");
    expect_ok(204, "");
    assert_int_equal(accepted, 1);
    assert_int_equal(counts().opened, 1);
    assert_int_equal(counts().reused, 2);
}

static void test_body_without_length_ends_with_connection(void **state) {
    (void)state;
    answer("HTTP/1.1 200\r\n\r\nall of it", 1);
    get("/");
    expect_ok(200, "all of it");
    assert_int_equal(counts().connections, 0);
}

static void test_head_has_no_body_but_length(void **state) {
    (void)state;
    answer("HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n", 0);
    answer("HTTP/1.1 304 Not Modified\r\nContent-Length: 500\r\n\r\n", 0);
    hhttp_call_options_t options = options_of("/");
    options.method = "HEAD";
    perform(&options);
    expect_ok(200, "");
    get("/");
    expect_ok(304, "");
    assert_int_equal(accepted, 1);
}

static void test_interim_responses_come_before_the_final_one(void **state) {
    (void)state;
    answer("HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n"
           "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
           0);
    get("/");
    expect_ok(200, "ok");
    assert_int_equal(seen->interims, 2);
    char many[2048] = "";
    for (int i = 0; i < 20; i++) strcat(many, "HTTP/1.1 102 Wait\r\n\r\n");
    answer(many, 0);
    get("/");
    assert_int_equal(seen->error, HV_ELIMIT);
}

static void test_http10_closes_unless_kept_alive(void **state) {
    (void)state;
    answer("HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\na", 0);
    answer("HTTP/1.0 200 OK\r\nContent-Length: 1\r\nConnection: keep-alive\r\n\r\nb", 0);
    answer("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nConnection: close\r\n\r\nc", 0);
    get("/");
    expect_ok(200, "a");
    assert_int_equal(counts().idle, 0);
    get("/");
    expect_ok(200, "b");
    assert_int_equal(counts().idle, 1);
    get("/");
    expect_ok(200, "c");
    assert_int_equal(counts().idle, 0);
    assert_int_equal(accepted, 2);
}

static void test_bytes_behind_response_close_connection(void **state) {
    (void)state;
    answer("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\naHTTP/1.1 200 OK\r\n", 0);
    get("/");
    expect_ok(200, "a");
    RUN_UNTIL(loop, counts().connections == 0);
    RUN_UNTIL(loop, server_closed == 1);
}

static void test_refused_responses_are_errors(void **state) {
    (void)state;
    static const struct {
        const char *bytes;
        int error;
    } cases[] = {
        {"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab", HV_EPROTO},
        {"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
         HV_EPROTO},
        {"HTTP/1.1 200 OK\nContent-Length: 0\n\n", HV_EPROTO},
        {"HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n", HV_EPROTO},
        {"HTTP/1.1 200 OK\r\nA : b\r\n\r\n", HV_EPROTO},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n", HV_EPROTO},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n", HV_EPROTO},
        {"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nab", HV_EOF},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab", HV_EOF},
        {"HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n", HV_EPROTO},
        {"HTTP/1.1 200", HV_EOF},
        {"", HV_EOF},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        script_len = script_at = 0;
        answer(cases[i].bytes, 1);
        get("/");
        assert_int_equal(seen->error, cases[i].error);
        assert_true(strlen(seen->words) > 0);
    }
}

static void test_limits_of_a_response(void **state) {
    (void)state;
    static char big[70000];
    memset(big, 'x', sizeof big - 1);
    memcpy(big, "HTTP/1.1 200 ", 13);
    answer(big, 0);
    get("/");
    assert_int_equal(seen->error, HV_ELIMIT);
    memcpy(big, "HTTP/1.1 200 OK\r\nA: ", 20);
    answer(big, 0);
    get("/");
    assert_int_equal(seen->error, HV_ELIMIT);
    static char many[8000] = "HTTP/1.1 200 OK\r\n";
    for (int i = 0; i < 201; i++) strcat(many, "a: b\r\n");
    strcat(many, "\r\n");
    answer(many, 0);
    get("/");
    assert_int_equal(seen->error, HV_ELIMIT);
    static const char *const bodies[] = {"HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\nhello world",
                                         ("HTTP/1.1 200 OK\r\nTransfer-Encoding: "
                                          "chunked\r\n\r\n6\r\nhello \r\n5\r\nworld\r\n0\r\n\r\n"),
                                         "HTTP/1.1 200 OK\r\n\r\nhello world"};
    for (size_t i = 0; i < ARRAY_SIZE(bodies); i++) {
        answer(bodies[i], 1);
        hhttp_call_options_t options = options_of("/");
        options.body_bytes_max = 10;
        perform(&options);
        assert_int_equal(seen->error, HV_ELIMIT);
        answer(bodies[i], 1);
        options.body_bytes_max = 11;
        perform(&options);
        expect_ok(200, "hello world");
    }
}

/* ---- Back-pressure ---- */

/* A call whose response is whole but rests behind its head. */
static hhttp_call_t *begin_paused(void) {
    answer("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", 0);
    hhttp_call_options_t options = options_of("/");
    hhttp_call_t *call = begin(&options);
    seen->pauses = 1;
    RUN_UNTIL(loop, seen->heads);
    return call;
}

static void test_paused_call_gets_its_body_when_resumed(void **state) {
    (void)state;
    hhttp_call_t *call = begin_paused();
    RUN_PASSES(loop, 10);
    assert_int_equal(seen->datas + seen->done, 0);
    hhttp_call_resume(call);
    assert_int_equal(seen->datas + seen->done, 0);
    RUN_UNTIL(loop, seen->done);
    expect_ok(200, "hello");
    assert_int_equal(counts().idle, 1);
}

/* A response that was whole when the call was resumed: its connection rests, and is read. */
static void test_bytes_behind_a_paused_response_take_its_connection_out_of_the_pool(void **state) {
    (void)state;
    hhttp_call_t *call = begin_paused();
    hhttp_call_resume(call);
    RUN_UNTIL(loop, seen->done);
    expect_ok(200, "hello");
    assert_int_equal(counts().idle, 1);
    const char *evil = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil";
    hio_write(last_served, evil, strlen(evil));
    RUN_UNTIL(loop, counts().connections == 0);
    answer("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ntrue", 0);
    get("/");
    expect_ok(200, "true");
}

static void test_end_of_a_connection_that_was_paused_is_seen_while_it_rests(void **state) {
    (void)state;
    hhttp_call_t *call = begin_paused();
    hhttp_call_resume(call);
    RUN_UNTIL(loop, seen->done);
    hio_close(last_served);
    RUN_UNTIL(loop, counts().connections == 0);
}

static void test_call_paused_before_its_response_waits(void **state) {
    (void)state;
    static char big[6 << 20];
    memset(big, 'x', sizeof big);
    memcpy(big, "HTTP/1.1 200 OK\r\nContent-Length: 6291000\r\n\r\n", 45);
    script[script_len++] = (answer_t){big, 0, 100000};
    hhttp_call_options_t options = options_of("/");
    options.on_data = NULL;
    hhttp_call_t *call = begin(&options);
    hhttp_call_pause(call);
    RUN_UNTIL(loop, requests_len > 0);
    RUN_PASSES(loop, 50);
    assert_int_equal(seen->heads + seen->done, 0);
    hhttp_call_resume(call);
    RUN_UNTIL(loop, seen->heads);
    hhttp_call_cancel(call);
    RUN_UNTIL(loop, seen->done);
}

/* ---- Upgrades ---- */

static char upgraded_text[64];

static void on_upgraded_read(hio_t *io, void *buf, int len) {
    (void)io;
    strncat(upgraded_text, buf, (size_t)len);
}

static void test_upgrade_gives_the_connection_and_what_lies_behind(void **state) {
    (void)state;
    for (int later = 0; later < 2; later++) {
        answer("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
               "Connection: Upgrade\r\n\r\nfirst frame",
               0);
        hhttp_call_options_t options = options_of("/chat");
        options.upgrade = "websocket";
        upgraded_text[0] = '\0';
        memset(seen, 0, sizeof *seen);
        if (!later) options.on_head = take_now;
        hhttp_call_t *call = hhttp_call_start(client, &options);
        RUN_UNTIL(loop, seen->heads);
        assert_int_equal(seen->status, 101);
        if (later) {
            RUN_PASSES(loop, 5);
            assert_int_equal(seen->done, 0);
            seen->taken = hhttp_call_take_io(call);
        }
        assert_non_null(seen->taken);
        RUN_UNTIL(loop, seen->done);
        assert_int_equal(seen->error, 0);
        assert_non_null(strstr(requests, "Upgrade: websocket\r\nConnection: Upgrade\r\n"));
        hio_setcb_read(seen->taken, on_upgraded_read);
        hio_read(seen->taken);
        RUN_UNTIL(loop, strcmp(upgraded_text, "first frame") == 0);
        assert_int_equal(counts().connections, 0);
        hio_close(seen->taken);
        RUN_PASSES(loop, 3);
    }
}

static void test_refused_upgrade_is_a_response(void **state) {
    (void)state;
    answer("HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno", 0);
    answer("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", 0);
    hhttp_call_options_t options = options_of("/chat");
    options.upgrade = "websocket";
    perform(&options);
    expect_ok(403, "no");
    get("/");
    expect_ok(200, "ok");
    assert_int_equal(accepted, 1);
}

/* ---- Whatever a server sends ---- */

static uint32_t seed = 1;

static uint32_t next_random(uint32_t below) {
    seed = seed * 1664525u + 1013904223u;
    return (seed >> 8) % below;
}

static void pause_sometimes(hhttp_call_t *call, const void *data, size_t len) {
    (void)data;
    (void)len;
    if (next_random(3) == 0) {
        hhttp_call_pause(call);
        hhttp_call_resume(call);
    }
    if (next_random(40) == 0) hhttp_call_cancel(call);
}

static void take_sometimes(hhttp_call_t *call) {
    hio_t *io = next_random(2) ? hhttp_call_take_io(call) : NULL;
    if (io != NULL) hio_close(io);
    if (io == NULL && hhttp_call_status(call) == 101) hhttp_call_cancel(call);
}

static void test_every_call_ends_once_whatever_is_sent(void **state) {
    (void)state;
    static const char *const bases[] = {
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3;x\r\nabc\r\n2\r\nde\r\n0\r\nA: "
         "b\r\n\r\n"),
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n\r\nuntil the end",
        "HTTP/1.1 302 x\r\nLocation: /y\r\nContent-Length: 2\r\n\r\nno",
        "HTTP/1.1 101 x\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\nbehind",
        "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 9\r\n\r\nno gzip!!",
        "HTTP/1.0 204 x\r\nConnection: keep-alive\r\n\r\n",
    };
    static char texts[SCRIPT_MAX][512];
    for (int round = 0; round < 1500; round++) {
        script_len = script_at = 0;
        requests_len = 0;
        for (int i = 0; i < 4; i++) {
            const char *base = bases[next_random(ARRAY_SIZE(bases))];
            size_t len = strlen(base);
            memcpy(texts[i], base, len);
            for (uint32_t n = next_random(4); n > 0; n--) {
                texts[i][next_random((uint32_t)len)] = "\r\n :09azZ\0\xff"[next_random(11)];
            }
            if (next_random(4) == 0) len = 1 + next_random((uint32_t)len);
            script[script_len++] = (answer_t){texts[i], 1, (int)len};
        }
        hhttp_call_options_t options = options_of("/");
        options.on_head = take_sometimes;
        options.on_data = pause_sometimes;
        options.redirects_max = next_random(3);
        options.decodes = (int)next_random(2);
        options.upgrade = next_random(2) ? "x" : NULL;
        options.body_bytes_max = next_random(2) ? 4 : 0;
        seen->done = seen->error = 0;
        assert_non_null(hhttp_call_start(client, &options));
        RUN_UNTIL(loop, seen->done);
    }
    RUN_UNTIL(loop, counts().connections == 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_get_sends_request_and_keeps_connection),
        TEST(test_body_without_length_ends_with_connection),
        TEST(test_head_has_no_body_but_length),
        TEST(test_interim_responses_come_before_the_final_one),
        TEST(test_http10_closes_unless_kept_alive),
        TEST(test_bytes_behind_response_close_connection),
        TEST(test_refused_responses_are_errors),
        TEST(test_limits_of_a_response),
        TEST(test_paused_call_gets_its_body_when_resumed),
        TEST(test_bytes_behind_a_paused_response_take_its_connection_out_of_the_pool),
        TEST(test_end_of_a_connection_that_was_paused_is_seen_while_it_rests),
        TEST(test_call_paused_before_its_response_waits),
        TEST(test_upgrade_gives_the_connection_and_what_lies_behind),
        TEST(test_refused_upgrade_is_a_response),
        TEST(test_every_call_ends_once_whatever_is_sent),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
