/* Tests of runtime/http/http_body.c: bodies read piece by piece. What is collected as a whole is in
 * test_http_server.c. */
#include "http_test.h"

#define CHUNKED "POST /p HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"

static char got[1 << 20];
static size_t got_len;
static int ends, last_error;
static int reads_on; /* on_piece asks for the next one */

static int begin_body(void **state) {
    got_len = 0;
    ends = last_error = 0;
    reads_on = 1;
    return setup(state);
}

static void on_piece(hhttp_request_t *req, hhttp_slice_t piece, int error);

static void take_piece(hhttp_request_t *req, hhttp_slice_t piece) {
    if (piece.len == 0) {
        ends++;
        if (got_len == 8) assert_int_equal(hhttp_request_body_length(req), -1); /* chunked */
        hhttp_respond(req, 200, NULL, "done", 4);
        return;
    }
    assert_true(got_len + piece.len < sizeof got);
    memcpy(got + got_len, piece.data, piece.len);
    got_len += piece.len;
    got[got_len] = '\0';
}

/* Reads until it has to wait. */
static void read_on(hhttp_request_t *req) {
    hhttp_slice_t piece;
    int result;
    while ((result = hhttp_request_read_body(req, &piece, on_piece)) == 1) {
        take_piece(req, piece);
        if (ends > 0 || !reads_on) return;
    }
    if (result < 0) last_error = result;
    if (result == 0) assert_int_equal(hhttp_request_read_body(req, &piece, on_piece), HV_EBUSY);
}

static void on_piece(hhttp_request_t *req, hhttp_slice_t piece, int error) {
    fix->body_calls++;
    if (error != 0) {
        last_error = error;
        return;
    }
    take_piece(req, piece);
    if (ends == 0 && reads_on) read_on(req);
}

static void read_at_once(hhttp_request_t *req, void *userdata) {
    (void)userdata;
    fix->calls++;
    fix->kept = req;
    read_on(req);
}

static void read_later(hhttp_request_t *req, void *userdata) {
    (void)userdata;
    fix->calls++;
    fix->kept = req;
}

static void test_pieces_come_as_they_arrive(void **state) {
    (void)state;
    begin_with(NULL, read_at_once);
    int fd = client();
    say(fd, "POST /p HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nabc");
    await_calls(1);
    assert_int_equal(hhttp_request_body_length(fix->kept), 9);
    AWAIT(got_len >= 3);
    assert_string_equal(got, "abc");
    say(fd, "def");
    AWAIT(got_len >= 6);
    assert_string_equal(got, "abcdef");
    say(fd, "ghi" GET);
    await_count(fd, "done", 2);
    assert_string_equal(got, "abcdefghi");
    assert_int_equal(ends, 2); /* that of the request behind it, too */
    close(fd);
    await_connections(0);
}

static void test_chunked_body_at_every_split(void **state) {
    (void)state;
    begin_with(NULL, read_at_once);
    static const char text[] = CHUNKED "3\r\nabc\r\n5;x=y\r\ndefgh\r\n0\r\nT: 1\r\n\r\n";
    int fd = client();
    for (size_t cut = 1; cut < sizeof text - 1; cut++) {
        got_len = 0;
        ends = 0;
        say_bytes(fd, text, cut);
        pass(2);
        say_bytes(fd, text + cut, sizeof text - 1 - cut);
        await_count(fd, "done", (int)cut);
        assert_string_equal(got, "abcdefgh");
    }
    close(fd);
    await_connections(0);
}

/* Fills the peer's and the kernel's buffers. Returns the bytes that went. */
static size_t fill(int fd, const char *block, size_t len) {
    size_t sent = 0;
    for (int idle = 0; idle < 20;) {
        ssize_t n = send(fd, block, len, MSG_NOSIGNAL | MSG_DONTWAIT);
        idle = n > 0 ? 0 : idle + 1;
        if (n > 0) sent += (size_t)n;
        pass(1);
    }
    return sent;
}

static void test_nothing_is_read_while_nobody_asks(void **state) {
    (void)state;
    NEEDS_WHOLE_READS();
    hhttp_server_options_t options = {.body_bytes_max = UINT64_MAX};
    begin_with(&options, read_later);
    int fd = client();
    static char block[65536];
    memset(block, 'b', sizeof block);
    say(fd, "POST /p HTTP/1.1\r\nHost: x\r\nContent-Length: 100000000000\r\n\r\n");
    await_calls(1);
    fill(fd, block, sizeof block);
    reads_on = 0;
    for (int i = 0; i < 50; i++) {
        got_len = 0;
        read_on(fix->kept);
        AWAIT(got_len != 0);
        assert_true(got_len > 0 && got_len <= 65536);
        const http_kept_t *kept = fix->server->first[HTTP_LIST_BUSY]->kept;
        assert_true(kept == NULL || hbuf_len(&kept->buf) <= 65536);
        fill(fd, block, sizeof block);
    }
    assert_int_equal(last_error, 0);
    hhttp_request_abort(fix->kept);
    close(fd);
    await_connections(0);
}

static void test_pieces_kept_back_are_read_later(void **state) {
    (void)state;
    begin_with(NULL, read_later);
    int fd = client();
    say(fd, CHUNKED "3\r\nabc\r\n3\r\ndef\r\n");
    await_calls(1);
    pass(5);
    reads_on = 0;
    read_on(fix->kept);
    AWAIT(got_len >= 1);
    reads_on = 1;
    read_on(fix->kept);
    say(fd, "3\r\nghi\r\n0\r\n\r\n");
    await(fd, "done");
    assert_string_equal(got, "abcdefghi");
    close(fd);
    await_connections(0);
}

static void on_rest(hhttp_request_t *req, int error) {
    assert_int_equal(error, 0);
    hhttp_slice_t body = hhttp_request_body(req);
    hhttp_respond(req, 200, NULL, body.data, body.len);
}

static void test_rest_may_be_collected(void **state) {
    (void)state;
    begin_with(NULL, read_later);
    int fd = client();
    say(fd, CHUNKED "3\r\nabc\r\n3\r\ndef\r\n");
    await_calls(1);
    reads_on = 0;
    read_on(fix->kept);
    AWAIT(got_len >= 1);
    assert_int_equal(hhttp_request_collect_body(fix->kept, on_rest), 0);
    say(fd, "3\r\nghi\r\n0\r\n\r\n");
    await(fd, "ghi");
    /* One-byte reads cut the first chunk. */
    HAS(got_len == 3 ? "\r\n\r\ndefghi" : "defghi");
    close(fd);
    await_connections(0);
}

static void test_end_of_a_request_without_body_is_there(void **state) {
    (void)state;
    begin_with(NULL, read_at_once);
    int fd = client();
    say(fd, GET);
    await(fd, "done");
    assert_int_equal(ends, 1);
    assert_int_equal(fix->body_calls, 0);
    close(fd);
    await_connections(0);
}

static void test_body_cut_short_is_no_end(void **state) {
    (void)state;
    begin_with(NULL, read_at_once);
    int fd = client();
    say(fd, "POST /p HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nabc");
    await_calls(1);
    shutdown(fd, SHUT_WR);
    await_connections(0);
    assert_int_equal(last_error, HV_EOF);
    assert_int_equal(ends, 0);
    close(fd);
}

static void test_body_cut_short_before_anybody_asks(void **state) {
    (void)state;
    begin_with(NULL, read_later);
    int fd = client();
    say(fd, "POST /p HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nabc");
    await_calls(1);
    hhttp_request_retain(fix->kept);
    /* Somebody has to read for the end to be seen. */
    read_on(fix->kept);
    AWAIT(got_len >= 3);
    shutdown(fd, SHUT_WR);
    AWAIT(last_error != 0);
    assert_int_equal(last_error, HV_EOF);
    hhttp_slice_t piece;
    assert_int_equal(hhttp_request_read_body(fix->kept, &piece, on_piece), HV_ECLOSED);
    hhttp_request_release(fix->kept);
    close(fd);
    await_connections(0);
}

static void test_limit_of_all_pieces_is_kept(void **state) {
    (void)state;
    hhttp_server_options_t options = {.body_bytes_max = 5};
    begin_with(&options, read_at_once);
    int fd = client();
    say(fd, CHUNKED "3\r\nabc\r\n");
    await_calls(1);
    say(fd, "3\r\ndef\r\n");
    await(fd, "HTTP/1.1 413 ");
    assert_int_equal(last_error, HV_ELIMIT);
    close(fd);
    await_connections(0);
    last_error = 0;
    fd = client();
    say(fd, "POST /p HTTP/1.1\r\nHost: x\r\nContent-Length: 6\r\n\r\n");
    await(fd, "HTTP/1.1 413 ");
    assert_int_equal(last_error, HV_ELIMIT);
    close(fd);
    await_connections(0);
}

static void raise_limit(hhttp_request_t *req, void *userdata) {
    hhttp_request_set_body_max(req, 100);
    read_at_once(req, userdata);
}

static void test_limit_may_be_set_for_one_request(void **state) {
    (void)state;
    hhttp_server_options_t options = {.body_bytes_max = 5};
    begin_with(&options, raise_limit);
    int fd = client();
    say(fd, "POST /p HTTP/1.1\r\nHost: x\r\nContent-Length: 6\r\n\r\nabcdef");
    await(fd, "done");
    assert_string_equal(got, "abcdef");
    close(fd);
    await_connections(0);
}

static void test_trickle_below_the_rate_is_refused(void **state) {
    (void)state;
    hhttp_server_options_t options = {.body_rate_min = 100};
    begin_with(&options, read_at_once);
    int fd = client();
    say(fd, "POST /p HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n");
    await_calls(1);
    for (int i = 0; i < 4; i++) {
        pass_ms(1000);
        say(fd, "x");
        AWAIT(got_len > (size_t)i);
        assert_int_equal(last_error, 0);
    }
    pass_ms(2000);
    say(fd, "x");
    await(fd, "HTTP/1.1 408 ");
    assert_int_equal(last_error, HV_ETIMEDOUT);
    close(fd);
    await_connections(0);
}

static void test_continue_is_said_once_when_pieces_are_asked_for(void **state) {
    (void)state;
    begin_with(NULL, read_at_once);
    int fd = client();
    say(fd, "POST /p HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n");
    await(fd, "HTTP/1.1 100 Continue\r\n\r\n");
    say(fd, "ab");
    AWAIT(got_len >= 2);
    say(fd, "cd");
    await(fd, "done");
    assert_int_equal(reply_count("100 Continue"), 1);
    close(fd);
    await_connections(0);
}

static void answer_early(hhttp_request_t *req, void *userdata) {
    read_at_once(req, userdata);
    hhttp_respond(req, 200, NULL, "early", 5);
}

static void test_answer_cancels_the_reader(void **state) {
    (void)state;
    begin_with(NULL, answer_early);
    int fd = client();
    say(fd, "POST /p HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nab");
    await(fd, "early");
    assert_int_equal(last_error, HV_ECANCELED);
    say(fd, "cd" GET);
    await_count(fd, "HTTP/1.1 200", 2);
    close(fd);
    await_connections(0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin_body, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_pieces_come_as_they_arrive),
        TEST(test_chunked_body_at_every_split),
        TEST(test_nothing_is_read_while_nobody_asks),
        TEST(test_pieces_kept_back_are_read_later),
        TEST(test_rest_may_be_collected),
        TEST(test_end_of_a_request_without_body_is_there),
        TEST(test_body_cut_short_is_no_end),
        TEST(test_body_cut_short_before_anybody_asks),
        TEST(test_limit_of_all_pieces_is_kept),
        TEST(test_limit_may_be_set_for_one_request),
        TEST(test_trickle_below_the_rate_is_refused),
        TEST(test_continue_is_said_once_when_pieces_are_asked_for),
        TEST(test_answer_cancels_the_reader),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
