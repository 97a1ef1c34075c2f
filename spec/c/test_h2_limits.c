/* What one peer of HTTP/2 may cost: memory for answers that it does not take, and requests that it
 * has the server reset while programs work on them (CVE-2025-8671). RFC 9113 section 10.5. */
#include "h2_fixture.h"

#define PIECE_BYTES 60000 /* less than what makes a program wait for its own stream */
#define ASKED       100
#define FULL_BYTES  (4 * 1024 * 1024) /* of all streams of a connection together */

static hhttp_request_t *answered[ASKED];
static int at_once, told;

/* ---- What is queued ---- */

static void note_room(hhttp_request_t *req, void *userdata) {
    (void)req, (void)userdata;
    told++;
}

static void answer_a_piece(hhttp_request_t *req, void *userdata) {
    static char piece[PIECE_BYTES];
    (void)userdata;
    hhttp_response_on_drain(req, note_room, NULL);
    assert_int_equal(hhttp_response_begin(req, 200, NULL, 0, -1), 0);
    int code = hhttp_response_write(req, piece, sizeof piece);
    assert_true(code == 0 || code == HV_EAGAIN);
    at_once += code == 0;
    answered[fix->calls++] = req;
}

/* Lets what is queued for a stream go. */
static void take(int fd, int index) {
    put_number_frame(&text, F_WINDOW_UPDATE, (uint32_t)index * 2 + 1, PIECE_BYTES);
    send_text(fd);
    pass(3);
    receive(fd);
    forget_reply();
}

static void test_what_all_streams_queue_makes_every_program_wait(void **state) {
    (void)state;
    at_once = told = 0;
    begin_with(NULL, answer_a_piece);
    int fd = greeting_client();
    put_setting(&text, 4, 0); /* no window at all */
    put_number_frame(&text, F_WINDOW_UPDATE, 0, 1u << 30);
    for (uint32_t i = 0; i < ASKED; i++) {
        put_request(&text, END_STREAM, i * 2 + 1, "GET", "/", NULL);
    }
    send_text(fd);
    await_calls(ASKED);
    assert_int_equal(at_once, FULL_BYTES / PIECE_BYTES);
    /* Room for one stream is none while the whole is full. */
    int index = ASKED - 1;
    for (size_t left = ASKED * PIECE_BYTES; left > FULL_BYTES / 2; left -= PIECE_BYTES) {
        assert_int_equal(told, 0);
        take(fd, index--);
    }
    /* Those that had to wait and whose queue is empty: all but the ones that could go on. */
    pass(5);
    assert_int_equal(told, ASKED - at_once);
    for (int i = 0; i < ASKED; i++) hhttp_request_abort(answered[i]);
    pass(5);
    close(fd);
}

/* ---- Resets that the peer provokes ---- */

static void note_abort(hhttp_request_t *req, void *userdata) {
    (void)req;
    ((fixture_t *)userdata)->abort_calls++;
}

static void on_body(hhttp_request_t *req, int error) { (void)req, (void)error; }

/* A program that goes on with its work until it hears of an end. */
static void begin_work(hhttp_request_t *req, void *userdata) {
    fix->calls++;
    hhttp_request_on_abort(req, note_abort, userdata);
    hhttp_request_collect_body(req, on_body);
}

static void provoke_by_a_window(uint32_t stream) {
    put_request(&text, END_STREAM, stream, "GET", "/", NULL);
    put_number_frame(&text, F_WINDOW_UPDATE, stream, 0x7fffffff);
}

static void provoke_by_a_body_that_is_too_long(uint32_t stream) {
    const char *length[] = {"content-length", "1", NULL};
    put_request(&text, 0, stream, "POST", "/", length);
    put_frame(&text, F_DATA, END_STREAM, stream, "two", 3);
}

static void provoke_by_a_body_that_is_too_short(uint32_t stream) {
    const char *length[] = {"content-length", "9", NULL};
    put_request(&text, 0, stream, "POST", "/", length);
    put_frame(&text, F_DATA, END_STREAM, stream, "two", 3);
}

static void provoke_by_a_second_head(uint32_t stream) {
    put_request(&text, 0, stream, "POST", "/", NULL);
    put_request(&text, END_STREAM, stream, "POST", "/", NULL); /* no pseudo-headers in trailers */
}

static void provoke_by_trailers_that_do_not_end(uint32_t stream) {
    static h2_text_t block;
    put_request(&text, 0, stream, "POST", "/", NULL);
    block.len = 0;
    put_field(&block, "x", "y");
    put_frame(&text, F_HEADERS, END_HEADERS, stream, block.data, block.len);
}

/* Returns how many requests the program got before the connection was ended. */
static int provoke(int fd, void (*one)(uint32_t stream), int most) {
    for (int i = 0; i < most; i++) {
        one((uint32_t)i * 2 + 1);
        if (send(fd, text.data, text.len, MSG_NOSIGNAL) != (ssize_t)text.len) break;
        text.len = 0;
        if (i % 20 == 0) pass(3);
        receive(fd);
        if (fix->reply_eof != 0) break;
    }
    return fix->calls;
}

static void test_requests_that_the_peer_has_us_reset_end_the_connection(void **state) {
    (void)state;
    NEEDS_WHOLE_READS();
    void (*const ways[])(uint32_t) = {
        provoke_by_a_window,
        provoke_by_a_body_that_is_too_long,
        provoke_by_a_body_that_is_too_short,
        provoke_by_a_second_head,
        provoke_by_trailers_that_do_not_end,
    };
    /* A reset costs four: a hundred of them are too many. What is reset goes out once a pass. */
    hhttp_server_options_t options = {.glitches_max = 400};
    begin_with(&options, begin_work);
    for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) {
        fix->calls = fix->abort_calls = 0;
        int fd = greeting_client();
        int count = provoke(fd, ways[i], 3000);
        if (count < 60 || count > 200) fail_msg("way %zu: %d requests", i, count);
        const unsigned char *payload;
        size_t len;
        await_frame(fd, F_GOAWAY, 0, 0, &payload, &len);
        assert_int_equal(read_u32(payload + 4), 11 /* ENHANCE_YOUR_CALM */);
        await_connections(0);
        assert_int_equal(fix->abort_calls, fix->calls);
        close(fd);
    }
}

/* Frames for a side that the peer has ended are an error of the whole connection: no flood of them
 * can reach the programs. RFC 9113 section 5.1. */
static void test_frames_on_a_half_closed_stream_end_the_connection(void **state) {
    (void)state;
    begin_with(NULL, begin_work);
    for (int is_data = 0; is_data <= 1; is_data++) {
        fix->calls = fix->abort_calls = 0;
        int fd = greeting_client();
        put_request(&text, END_STREAM, 1, "GET", "/", NULL);
        if (is_data) {
            put_frame(&text, F_DATA, 0, 1, "late", 4);
        } else {
            put_request(&text, END_STREAM, 1, "GET", "/", NULL);
        }
        send_text(fd);
        const unsigned char *payload;
        size_t len;
        await_frame(fd, F_GOAWAY, 0, 0, &payload, &len);
        assert_int_equal(read_u32(payload + 4), 5 /* STREAM_CLOSED */);
        await_connections(0);
        assert_int_equal(fix->calls, 1);
        assert_int_equal(fix->abort_calls, 1);
        close(fd);
    }
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_what_all_streams_queue_makes_every_program_wait),
        TEST(test_requests_that_the_peer_has_us_reset_end_the_connection),
        TEST(test_frames_on_a_half_closed_stream_end_the_connection),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
