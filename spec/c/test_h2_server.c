/* The server of HTTP/2: time limits by a clock that is turned by hand, flow control, floods, and
 * the end of a server. What answers look like is in spec/hv/http2_spec.lua. RFC 9113. */
#include "h2_fixture.h"

static int has_frame(int kind, long stream) {
    const unsigned char *payload;
    size_t len;
    return find_frame(fix->reply, fix->reply_len, kind, stream, 0, &payload, &len) >= 0;
}

/* The code that GOAWAY or RST_STREAM gives. */
static uint32_t code_of(int fd, int kind, long stream) {
    const unsigned char *payload;
    size_t len;
    await_frame(fd, kind, stream, 0, &payload, &len);
    return read_u32(payload + (kind == F_GOAWAY ? 4 : 0));
}

static int open_client(void) {
    int fd = greeting_client();
    send_text(fd);
    await_frame(fd, F_SETTINGS, 0, 1, NULL, NULL);
    return fd;
}

/* ---- Requests ---- */

static void check_request(hhttp_request_t *req, void *userdata) {
    (void)userdata;
    hhttp_slice_t host = hhttp_request_host(req);
    assert_int_equal(hhttp_request_version(req), 20);
    assert_int_equal(hhttp_request_method(req), HHTTP_GET);
    assert_memory_equal(hhttp_request_path(req).data, "/a%20b", 6);
    assert_memory_equal(hhttp_request_query(req).data, "q=1", 3);
    assert_memory_equal(host.data, "x", host.len);
    hhttp_slice_t cookie = hhttp_request_header(req, "Cookie", 6);
    assert_int_equal(cookie.len, 8);
    assert_memory_equal(cookie.data, "a=1; b=2", 8);
    assert_non_null(hhttp_request_io(req));
    assert_int_equal(hhttp_request_body_length(req), 0);
    hhttp_header_t headers[] = {{{"X-Up", 4}, {"1", 1}}, {{"Keep-Alive", 10}, {"x", 1}}};
    assert_int_equal(hhttp_respond_with(req, 200, headers, 2, "body", 4), 0);
    assert_int_equal(hhttp_respond(req, 200, NULL, "x", 1), HV_EBUSY);
    fix->calls++;
}

static void test_a_request_says_what_its_fields_say(void **state) {
    (void)state;
    begin_with(NULL, check_request);
    int fd = open_client();
    const char *more[] = {"cookie", "a=1", "x-y", "z", "cookie", "b=2", NULL};
    for (uint32_t id = 1; id <= 5; id += 2) {
        put_request(&text, END_STREAM, id, "GET", "/a%20b?q=1", more);
    }
    send_text(fd);
    const unsigned char *payload;
    size_t len;
    int flags = await_frame(fd, F_DATA, 5, 0, &payload, &len);
    assert_int_equal(flags, END_STREAM);
    assert_int_equal(len, 4);
    assert_int_equal(fix->calls, 3);
    assert_int_equal(hhttp_server_requests(fix->server), 3);
    close(fd);
}

static void test_answers_of_one_read_leave_in_one_write(void **state) {
    (void)state;
    NEEDS_WHOLE_READS();
    begin_with(NULL, answer_hello);
    int fd = open_client();
    forget_reply();
    for (uint32_t id = 1; id <= 19; id += 2) put_request(&text, END_STREAM, id, "GET", "/", NULL);
    send_text(fd);
    for (int i = 0; i < 100 && fix->calls < 10; i++) hloop_process_events(fix->loop, 1);
    char one_read[4096];
    ssize_t got = recv(fd, one_read, sizeof one_read, 0);
    assert_true(got > 0);
    const unsigned char *payload;
    size_t len;
    assert_int_equal(find_frame(one_read, (size_t)got, F_DATA, 19, 0, &payload, &len), END_STREAM);
    close(fd);
}

/* ---- Bodies ---- */

static void test_a_body_is_let_in_as_the_program_reads(void **state) {
    (void)state;
    static char piece[16000];
    NEEDS_WHOLE_READS();
    begin_with(NULL, keep_it);
    int fd = open_client();
    put_request(&text, 0, 1, "POST", "/", NULL);
    put_frame(&text, F_DATA, 0, 1, piece, sizeof piece);
    put_frame(&text, F_DATA, 0, 1, piece, sizeof piece);
    send_text(fd);
    await_calls(1);
    pass(20);
    receive(fd);
    assert_false(has_frame(F_WINDOW_UPDATE, 1));
    assert_int_equal(hhttp_request_body_length(fix->kept), -1);
    hhttp_slice_t got;
    size_t total = 0;
    while (total < 2 * sizeof piece) {
        assert_int_equal(hhttp_request_read_body(fix->kept, &got, NULL), 1);
        total += got.len;
    }
    await_frame(fd, F_WINDOW_UPDATE, 1, 0, NULL, NULL);
    put_frame(&text, F_DATA, END_STREAM, 1, "end", 3);
    send_text(fd);
    pass(20);
    assert_int_equal(hhttp_request_collect_body(fix->kept, echo_collected), 1);
    assert_int_equal(hhttp_request_body(fix->kept).len, 3);
    assert_int_equal(hhttp_respond(fix->kept, 200, NULL, "ok", 2), 0);
    assert_int_equal(await_frame(fd, F_DATA, 1, 0, NULL, NULL), END_STREAM);
    close(fd);
}

static void test_a_body_beyond_its_limit_is_refused(void **state) {
    (void)state;
    hhttp_server_options_t options = {.body_bytes_max = 10};
    begin_with(&options, echo_body);
    int fd = open_client();
    put_request(&text, 0, 1, "POST", "/", NULL);
    put_frame(&text, F_DATA, END_STREAM, 1, "more than ten", 13);
    const char *length[] = {"content-length", "11", NULL};
    put_request(&text, 0, 3, "POST", "/", length);
    send_text(fd);
    const unsigned char *payload;
    size_t len;
    await_frame(fd, F_DATA, 1, 0, &payload, &len);
    assert_memory_equal(payload, "413 ", 4);
    await_frame(fd, F_DATA, 3, 0, &payload, &len);
    assert_memory_equal(payload, "413 ", 4);
    assert_int_equal(fix->body_error, HV_ELIMIT);
    close(fd);
}

static void test_a_body_of_another_length_than_announced_is_an_error(void **state) {
    (void)state;
    begin_with(NULL, echo_body);
    int fd = open_client();
    const char *length[] = {"content-length", "5", NULL};
    put_request(&text, 0, 1, "POST", "/", length);
    put_frame(&text, F_DATA, END_STREAM, 1, "four", 4);
    send_text(fd);
    assert_int_equal(code_of(fd, F_RST_STREAM, 1), 1 /* PROTOCOL_ERROR */);
    pass(5);
    assert_int_equal(fix->body_calls, 1);
    assert_int_not_equal(fix->body_error, 0);
    close(fd);
}

static void test_leave_to_send_is_given_when_the_body_is_asked_for(void **state) {
    (void)state;
    begin_with(NULL, echo_body);
    int fd = open_client();
    const char *more[] = {"expect", "100-continue", "content-length", "2", NULL};
    put_request(&text, 0, 1, "POST", "/", more);
    send_text(fd);
    assert_int_equal(await_frame(fd, F_HEADERS, 1, 0, NULL, NULL), END_HEADERS);
    put_frame(&text, F_DATA, END_STREAM, 1, "ok", 2);
    send_text(fd);
    await_frame(fd, F_HEADERS, 1, 1, NULL, NULL);
    assert_int_equal(await_frame(fd, F_DATA, 1, 0, NULL, NULL), END_STREAM);
    close(fd);
}

/* ---- Flow control of answers ---- */

static char large[300000];

static void note_drain(hhttp_request_t *req, void *userdata) {
    ((fixture_t *)userdata)->drain_calls++;
    assert_int_equal(hhttp_response_write(req, "tail", 4), 0);
    assert_int_equal(hhttp_response_end(req), 0);
}

static void answer_large(hhttp_request_t *req, void *userdata) {
    fix->calls++;
    hhttp_request_on_abort(req, count_abort, userdata);
    hhttp_response_on_drain(req, note_drain, userdata);
    assert_int_equal(hhttp_response_begin(req, 200, NULL, 0, (int64_t)sizeof large + 4), 0);
    int code = hhttp_response_write(req, large, sizeof large);
    assert_true(code == 0 || code == HV_EAGAIN);
    if (code == 0) note_drain(req, userdata);
}

/* Opens a window until END_STREAM has come. Returns the bytes of DATA. */
static size_t take_all(int fd) {
    size_t total = 0;
    for (int nth = 0;; nth++) {
        const unsigned char *payload;
        size_t len;
        int flags = await_frame(fd, F_DATA, 1, nth, &payload, &len);
        total += len;
        if (flags & END_STREAM) return total;
        if (len == 0) continue;
        put_number_frame(&text, F_WINDOW_UPDATE, 0, (uint32_t)len);
        put_number_frame(&text, F_WINDOW_UPDATE, 1, (uint32_t)len);
        send_text(fd);
    }
}

static void test_a_program_waits_for_the_window_of_its_peer(void **state) {
    (void)state;
    begin_with(NULL, answer_large);
    int fd = open_client();
    put_request(&text, END_STREAM, 1, "GET", "/", NULL);
    send_text(fd);
    await_frame(fd, F_HEADERS, 1, 0, NULL, NULL);
    pass(20);
    assert_int_equal(fix->drain_calls, 0); /* the window of a stream is 64 KiB */
    assert_int_equal(take_all(fd), sizeof large + 4);
    assert_int_equal(fix->drain_calls, 1);
    close(fd);
}

static void test_a_peer_that_opens_no_window_is_given_up(void **state) {
    (void)state;
    hhttp_server_options_t options = {.write_timeout_ms = 4000, .idle_timeout_ms = 600000};
    begin_with(&options, answer_large);
    int fd = open_client();
    put_request(&text, END_STREAM, 1, "GET", "/", NULL);
    send_text(fd);
    await_frame(fd, F_DATA, 1, 0, NULL, NULL);
    pass(20);
    for (int i = 0; i < 6; i++) {
        /* The connection itself is alive. */
        put_frame(&text, F_PING, 0, 0, "12345678", 8);
        send_text(fd);
        pass_ms(1000);
    }
    await_frame(fd, F_RST_STREAM, 1, 0, NULL, NULL);
    assert_int_equal(fix->abort_calls, 1);
    put_request(&text, END_STREAM, 3, "GET", "/", NULL);
    send_text(fd);
    await_frame(fd, F_HEADERS, 3, 0, NULL, NULL);
    close(fd);
}

/* ---- Ends ---- */

static void test_a_reset_of_the_peer_is_told(void **state) {
    (void)state;
    begin_with(NULL, keep_it_watched);
    int fd = open_client();
    put_request(&text, END_STREAM, 1, "GET", "/", NULL);
    send_text(fd);
    await_calls(1);
    hhttp_request_t *req = fix->kept;
    hhttp_request_retain(req);
    put_number_frame(&text, F_RST_STREAM, 1, 8 /* CANCEL */);
    send_text(fd);
    AWAIT(fix->abort_calls > 0);
    assert_int_equal(fix->abort_calls, 1);
    assert_true(hhttp_request_is_over(req));
    assert_int_equal(hhttp_respond(req, 200, NULL, "x", 1), HV_ECLOSED);
    assert_memory_equal(hhttp_request_path(req).data, "/", 1);
    hhttp_request_release(req);
    close(fd);
}

static void test_a_program_may_give_up_before_and_in_the_middle(void **state) {
    (void)state;
    begin_with(NULL, keep_it);
    int fd = open_client();
    put_request(&text, END_STREAM, 1, "GET", "/", NULL);
    put_request(&text, END_STREAM, 3, "GET", "/", NULL);
    send_text(fd);
    await_calls(2);
    hhttp_request_abort(fix->kept_too);
    assert_int_equal(hhttp_response_begin(fix->kept, 200, NULL, 0, 10), 0);
    assert_int_equal(hhttp_response_write(fix->kept, "five!", 5), 0);
    assert_int_equal(hhttp_response_end(fix->kept), HV_EPROTO);
    assert_int_equal(code_of(fd, F_RST_STREAM, 1), 2 /* INTERNAL_ERROR */);
    assert_int_equal(code_of(fd, F_RST_STREAM, 3), 2);
    assert_int_equal(hhttp_server_connections(fix->server), 1);
    close(fd);
}

static void test_a_connection_that_ends_ends_its_streams(void **state) {
    (void)state;
    begin_with(NULL, keep_it_watched);
    int fd = open_client();
    for (uint32_t id = 1; id <= 9; id += 2) put_request(&text, END_STREAM, id, "GET", "/", NULL);
    send_text(fd);
    await_calls(5);
    close(fd);
    await_connections(0);
    assert_int_equal(fix->abort_calls, 5);
}

static void test_a_server_that_drains_says_so_and_answers_what_it_has(void **state) {
    (void)state;
    begin_with(NULL, keep_it);
    int fd = open_client();
    put_request(&text, END_STREAM, 1, "GET", "/", NULL);
    send_text(fd);
    await_calls(1);
    hhttp_server_drain(fix->server, 60000, on_server_close, fix);
    const unsigned char *payload;
    size_t len;
    await_frame(fd, F_GOAWAY, 0, 0, &payload, &len);
    assert_int_equal(read_u32(payload), 0x7fffffff);
    /* What was on its way is still taken. */
    put_request(&text, END_STREAM, 3, "GET", "/", NULL);
    send_text(fd);
    await_calls(2);
    pass_ms(1100);
    await_frame(fd, F_GOAWAY, 0, 1, &payload, &len);
    assert_int_equal(read_u32(payload), 3);
    put_request(&text, END_STREAM, 5, "GET", "/", NULL);
    send_text(fd);
    pass(20);
    assert_int_equal(fix->calls, 2);
    hhttp_respond(fix->kept, 200, NULL, "b", 1);
    hhttp_respond(fix->kept_too, 200, NULL, "a", 1);
    await_frame(fd, F_DATA, 1, 0, NULL, NULL);
    await_frame(fd, F_DATA, 3, 0, NULL, NULL);
    AWAIT(fix->close_calls > 0);
    assert_int_equal(fix->close_calls, 1);
    fix->server = NULL;
    close(fd);
}

static void test_a_connection_takes_so_many_requests(void **state) {
    (void)state;
    hhttp_server_options_t options = {.requests_per_connection_max = 2};
    begin_with(&options, answer_hello);
    int fd = open_client();
    put_request(&text, END_STREAM, 1, "GET", "/", NULL);
    put_request(&text, END_STREAM, 3, "GET", "/", NULL);
    send_text(fd);
    await_frame(fd, F_DATA, 3, 0, NULL, NULL);
    assert_int_equal(code_of(fd, F_GOAWAY, 0), 0);
    await_eof(fd);
    close(fd);
}

/* ---- Times ---- */

static void test_an_idle_connection_is_told_and_closed(void **state) {
    (void)state;
    hhttp_server_options_t options = {.idle_timeout_ms = 5000};
    begin_with(&options, answer_hello);
    int fd = open_client();
    put_request(&text, END_STREAM, 1, "GET", "/", NULL);
    send_text(fd);
    await_frame(fd, F_DATA, 1, 0, NULL, NULL);
    pass_ms(4000);
    assert_int_equal(hhttp_server_connections(fix->server), 1);
    for (int i = 0; i < 4; i++) pass_ms(1000);
    assert_int_equal(code_of(fd, F_GOAWAY, 0), 0);
    await_eof(fd);
    close(fd);
}

static void test_a_connection_that_asks_nothing_is_closed(void **state) {
    (void)state;
    hhttp_server_options_t options = {.header_timeout_ms = 2000};
    begin_with(&options, answer_hello);
    int fd = open_client();
    pass_ms(2100);
    await_eof(fd);
    assert_true(has_frame(F_GOAWAY, 0));
    close(fd);
}

static void answer_large_at_once(hhttp_request_t *req, void *userdata) {
    (void)userdata;
    assert_int_equal(hhttp_respond(req, 200, NULL, large, sizeof large), 0);
}

/* Bytes of a body that nobody reads are no sign that the answer is being read. */
static void test_a_trickle_of_a_body_does_not_keep_an_answer_waiting(void **state) {
    (void)state;
    hhttp_server_options_t options = {.write_timeout_ms = 4000, .idle_timeout_ms = 600000};
    begin_with(&options, answer_large_at_once);
    int fd = open_client();
    put_request(&text, 0, 1, "POST", "/", NULL);
    send_text(fd);
    await_frame(fd, F_DATA, 1, 0, NULL, NULL);
    pass(20);
    for (int i = 0; i < 6; i++) {
        put_frame(&text, F_DATA, 0, 1, "x", 1);
        send_text(fd);
        pass_ms(1000);
    }
    await_frame(fd, F_RST_STREAM, 1, 0, NULL, NULL);
    close(fd);
}

static void test_a_head_that_does_not_end_ends_the_connection(void **state) {
    (void)state;
    hhttp_server_options_t options = {.header_timeout_ms = 2000};
    begin_with(&options, keep_it);
    int fd = open_client();
    put_request(&text, END_STREAM, 1, "GET", "/", NULL);
    send_text(fd);
    await_calls(1);
    put_request(&text, END_STREAM, 3, "GET", "/", NULL);
    text.data[4] &= (char)~END_HEADERS;
    send_text(fd);
    pass(20);
    for (int i = 0; i < 3; i++) pass_ms(800);
    await_eof(fd);
    assert_true(has_frame(F_GOAWAY, 0));
    close(fd);
}

static void test_a_body_that_does_not_come_is_refused(void **state) {
    (void)state;
    hhttp_server_options_t options = {.body_timeout_ms = 3000};
    begin_with(&options, echo_body);
    int fd = open_client();
    put_request(&text, 0, 1, "POST", "/", NULL);
    put_frame(&text, F_DATA, 0, 1, "some", 4);
    send_text(fd);
    await_calls(1);
    pass(20);
    pass_ms(3100);
    const unsigned char *payload;
    size_t len;
    await_frame(fd, F_DATA, 1, 0, &payload, &len);
    assert_memory_equal(payload, "408 ", 4);
    assert_int_equal(fix->body_error, HV_ETIMEDOUT);
    /* Only the stream has ended. */
    put_request(&text, END_STREAM, 3, "POST", "/", NULL);
    send_text(fd);
    await_frame(fd, F_HEADERS, 3, 0, NULL, NULL);
    close(fd);
}

/* ---- Floods ---- */

static void count_only(hhttp_request_t *req, void *userdata) {
    (void)req, (void)userdata;
    fix->calls++;
}

/* Sends `one` again and again until the server ends the connection, and tells after how many. */
static int flood(int fd, void (*one)(int i), int most) {
    for (int i = 0; i < most; i++) {
        one(i);
        if (send(fd, text.data, text.len, MSG_NOSIGNAL) != (ssize_t)text.len) break;
        text.len = 0;
        if (i % 50 != 0) continue;
        pass(2);
        receive(fd);
        if (fix->reply_eof != 0 || has_frame(F_GOAWAY, 0)) return i;
    }
    return most;
}

static void one_ping(int i) {
    (void)i;
    put_frame(&text, F_PING, 0, 0, "12345678", 8);
}

static void one_settings(int i) {
    (void)i;
    put_frame(&text, F_SETTINGS, 0, 0, NULL, 0);
}

static void one_reset(int i) {
    put_request(&text, END_STREAM, (uint32_t)i * 2 + 1, "GET", "/", NULL);
    put_number_frame(&text, F_RST_STREAM, (uint32_t)i * 2 + 1, 8);
}

static void one_empty(int i) {
    if (i == 0) put_request(&text, 0, 1, "POST", "/", NULL);
    put_frame(&text, F_DATA, 0, 1, NULL, 0);
}

static void one_unknown(int i) {
    (void)i;
    put_frame(&text, 0x77, 0, 0, NULL, 0);
}

static void one_priority(int i) {
    put_frame(&text, F_PRIORITY, 0, (uint32_t)i * 2 + 3, "\0\0\0\1\20", 5);
}

static void one_update(int i) {
    if (i == 0) put_request(&text, END_STREAM, 1, "GET", "/", NULL);
    put_number_frame(&text, F_WINDOW_UPDATE, 1, 1);
}

/* A crumb of a body with every reset: it pays for none. */
static void one_reset_with_a_crumb(int i) {
    if (i == 0) put_request(&text, 0, 1, "POST", "/", NULL);
    put_frame(&text, F_DATA, 0, 1, "x", 1);
    put_request(&text, END_STREAM, (uint32_t)i * 2 + 3, "GET", "/", NULL);
    put_number_frame(&text, F_RST_STREAM, (uint32_t)i * 2 + 3, 8);
}

/* For a stream that the server knows no more. */
static void one_too_late(int i) {
    if (i == 0) {
        put_request(&text, END_STREAM, 1, "GET", "/", NULL);
        put_number_frame(&text, F_RST_STREAM, 1, 8);
    }
    put_frame(&text, F_DATA, 0, 1, "x", 1);
}

static void test_frames_that_bring_nothing_end_the_connection(void **state) {
    (void)state;
    NEEDS_WHOLE_READS();
    void (*const floods[])(int) = {
        one_ping,     one_settings, one_reset,  one_reset_with_a_crumb, one_too_late,
        one_empty,    one_unknown,  one_priority, one_update};
    hhttp_server_options_t options = {.glitches_max = 400};
    begin_with(&options, count_only);
    for (size_t i = 0; i < sizeof floods / sizeof *floods; i++) {
        int fd = open_client();
        int count = flood(fd, floods[i], 2000);
        assert_true(count > 80 && count < 600);
        assert_int_equal(code_of(fd, F_GOAWAY, 0), 11 /* ENHANCE_YOUR_CALM */);
        await_eof(fd);
        close(fd);
        await_connections(0);
    }
}

static void test_useful_work_pays_for_small_frames(void **state) {
    (void)state;
    hhttp_server_options_t options = {.glitches_max = 50};
    begin_with(&options, answer_hello);
    int fd = open_client();
    for (uint32_t i = 0; i < 300; i++) {
        put_request(&text, END_STREAM, i * 2 + 1, "GET", "/", NULL);
        put_frame(&text, F_PING, 0, 0, "12345678", 8);
        put_number_frame(&text, F_WINDOW_UPDATE, 0, 6);
        send_text(fd);
    }
    await_frame(fd, F_DATA, 599, 0, NULL, NULL);
    assert_false(has_frame(F_GOAWAY, 0));
    close(fd);
}

static void test_streams_beyond_their_number_are_refused(void **state) {
    (void)state;
    hhttp_server_options_t options = {.streams_max = 3};
    begin_with(&options, keep_it);
    int fd = client();
    put_preface(&text);
    for (uint32_t id = 1; id <= 7; id += 2) put_request(&text, END_STREAM, id, "GET", "/", NULL);
    send_text(fd);
    /* Who cannot know the number yet may try again, who knows it is at fault. */
    assert_int_equal(code_of(fd, F_RST_STREAM, 7), 7 /* REFUSED_STREAM */);
    put_frame(&text, F_SETTINGS, ACK, 0, NULL, 0);
    put_request(&text, END_STREAM, 9, "GET", "/", NULL);
    send_text(fd);
    assert_int_equal(code_of(fd, F_GOAWAY, 0), 1 /* PROTOCOL_ERROR */);
    assert_int_equal(fix->calls, 3);
    close(fd);
}

static void one_continuation(int i) {
    if (i == 0) {
        put_request(&text, END_STREAM, 1, "GET", "/", NULL);
        text.data[4] &= (char)~END_HEADERS;
    }
    put_frame(&text, F_CONTINUATION, 0, 1, NULL, 0);
}

static void test_a_head_of_endless_pieces_ends_the_connection(void **state) {
    (void)state;
    begin_with(NULL, answer_hello);
    int fd = open_client();
    flood(fd, one_continuation, 200);
    await_connections(0);
    assert_int_equal(fix->calls, 0);
    close(fd);
}

static void test_a_peer_that_does_not_read_is_not_read(void **state) {
    (void)state;
    NEEDS_WHOLE_READS();
    hhttp_server_options_t options = {.write_timeout_ms = 3000};
    begin_with(&options, answer_large);
    int fd = open_client();
    put_setting(&text, 4, 1 << 24); /* windows that never close */
    put_number_frame(&text, F_WINDOW_UPDATE, 0, 1u << 30);
    for (uint32_t id = 1; id <= 199; id += 2) put_request(&text, END_STREAM, id, "GET", "/", NULL);
    send_text(fd);
    pass(200);
    assert_true(fix->calls < 100);
    for (int i = 0; i < 8; i++) pass_ms(1000);
    await_connections(0);
    assert_int_equal(fix->abort_calls + fix->drain_calls, fix->calls);
    close(fd);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_a_request_says_what_its_fields_say),
        TEST(test_answers_of_one_read_leave_in_one_write),
        TEST(test_a_body_is_let_in_as_the_program_reads),
        TEST(test_a_body_beyond_its_limit_is_refused),
        TEST(test_a_body_of_another_length_than_announced_is_an_error),
        TEST(test_leave_to_send_is_given_when_the_body_is_asked_for),
        TEST(test_a_program_waits_for_the_window_of_its_peer),
        TEST(test_a_peer_that_opens_no_window_is_given_up),
        TEST(test_a_trickle_of_a_body_does_not_keep_an_answer_waiting),
        TEST(test_a_reset_of_the_peer_is_told),
        TEST(test_a_program_may_give_up_before_and_in_the_middle),
        TEST(test_a_connection_that_ends_ends_its_streams),
        TEST(test_a_server_that_drains_says_so_and_answers_what_it_has),
        TEST(test_a_connection_takes_so_many_requests),
        TEST(test_an_idle_connection_is_told_and_closed),
        TEST(test_a_connection_that_asks_nothing_is_closed),
        TEST(test_a_head_that_does_not_end_ends_the_connection),
        TEST(test_a_body_that_does_not_come_is_refused),
        TEST(test_frames_that_bring_nothing_end_the_connection),
        TEST(test_useful_work_pays_for_small_frames),
        TEST(test_streams_beyond_their_number_are_refused),
        TEST(test_a_head_of_endless_pieces_ends_the_connection),
        TEST(test_a_peer_that_does_not_read_is_not_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
