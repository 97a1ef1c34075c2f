/* Tests of runtime/net/hio_read.c: what the read callback gets, by every way to ask for it. The
 * bytes come through a pair of sockets whose other end is a plain descriptor. */
#include "loop_test.h"

static hloop_t *loop;
static size_t blocks_before;
static hio_t *io;
static int peer; /* the other end */
static char got[65536 * 4];
static size_t got_len;
static int reads, ends, closes, last_error;

static void on_read(hio_t *from, void *buf, int len) {
    assert_ptr_equal(from, io);
    assert_true(got_len + (size_t)len + 1 < sizeof got);
    assert_int_equal(((char *)buf)[len], '\0'); /* a NUL follows */
    memcpy(got + got_len, buf, (size_t)len);
    got_len += (size_t)len;
    got[got_len++] = '|';
    got[got_len] = '\0';
    reads++;
}

static void on_close(hio_t *closed) {
    last_error = hio_error(closed);
    closes++;
    io = NULL;
}

static void on_eof(hio_t *ended) {
    assert_ptr_equal(ended, io);
    ends++;
}

static int set_up(void **state) {
    (void)state;
    blocks_before = hv__mem_live_blocks();
    loop = hloop_new(0);
    int fds[2];
    if (loop == NULL || hsock_pair(fds) != 0) return 1;
    peer = fds[0];
    io = hio_get(loop, fds[1]);
    hio_setcb_read(io, on_read);
    hio_setcb_close(io, on_close);
    reads = ends = closes = last_error = 0;
    got_len = 0;
    got[0] = '\0';
    return io == NULL;
}

static int tear_down(void **state) {
    (void)state;
    hloop_free(&loop);
    if (peer >= 0) close(peer);
    return hv__mem_live_blocks() != blocks_before;
}

static void put(const char *text) {
    assert_int_equal(send(peer, text, strlen(text), 0), (ssize_t)strlen(text));
}

static void put_bytes(const void *data, size_t len) {
    assert_int_equal(send(peer, data, len, 0), (ssize_t)len);
}

static void end_peer(void) {
    close(peer);
    peer = -1;
}

/* How the stream is cut is not promised: only its bytes are compared. */
static void assert_stream(const char *expected) {
    char joined[sizeof got];
    size_t len = 0;
    for (size_t i = 0; i < got_len; i++) {
        if (got[i] != '|') joined[len++] = got[i];
    }
    joined[len] = '\0';
    assert_string_equal(joined, expected);
}

static void test_read_stream_gives_all_bytes(void **state) {
    (void)state;
    hio_read(io);
    put("hello ");
    put("world");
    assert_int_equal(reads, 0); /* never inside a call */
    RUN_UNTIL(loop, got_len > 0 && got_len - (size_t)reads == 11);
    assert_stream("hello world");
}

static void test_read_once_gives_one_and_stops(void **state) {
    (void)state;
    hio_read_once(io);
    put("a");
    RUN_UNTIL(loop, reads == 1);
    put("b");
    RUN_PASSES(loop, 3);
    assert_int_equal(reads, 1);
    hio_read_once(io);
    RUN_UNTIL(loop, reads == 2);
    assert_string_equal(got, "a|b|");
}

static void test_read_until_length_waits_for_it_all(void **state) {
    (void)state;
    hio_read_until_length(io, 5);
    put("he");
    RUN_PASSES(loop, 4);
    assert_int_equal(reads, 0);
    put("llo, w");
    RUN_UNTIL(loop, reads == 1);
    assert_string_equal(got, "hello|");
    hio_readbytes(io, 3);
    RUN_UNTIL(loop, reads == 2);
    assert_string_equal(got, "hello|, w|");
    assert_int_equal(hio_read_until_length(io, 0), HV_EINVAL);
}

static void test_read_until_delimiter_over_split_reads(void **state) {
    (void)state;
    hio_read_until(io, "\r\n\r\n", 4);
    const char *text = "a\r\nb\r\r\n\r\nrest\n";
    for (size_t i = 0; text[i] != '\0'; i++) {
        put_bytes(text + i, 1);
        RUN_PASSES(loop, 1);
    }
    RUN_UNTIL(loop, reads == 1);
    assert_string_equal(got, "a\r\nb\r\r\n\r\n|");
    hio_readline(io);
    RUN_UNTIL(loop, reads == 2);
    assert_string_equal(got, "a\r\nb\r\r\n\r\n|rest\n|");
    assert_int_equal(hio_read_until(io, "123456789", 9), HV_EINVAL);
    assert_int_equal(hio_read_until(io, "", 0), HV_EINVAL);
}

static void read_next_line(hio_t *from, void *buf, int len) {
    on_read(from, buf, len);
    hio_readline(from);
}

static void test_read_lines_of_one_packet_come_one_by_one(void **state) {
    (void)state;
    hio_setcb_read(io, read_next_line);
    hio_readline(io);
    put("one\ntwo\nthree\nfo");
    RUN_UNTIL(loop, reads == 3);
    put("ur\n");
    RUN_UNTIL(loop, reads == 4);
    assert_string_equal(got, "one\n|two\n|three\n|four\n|");
}

static void test_read_switch_of_modes_loses_nothing(void **state) {
    (void)state;
    hio_readline(io);
    put("line\n12345stream");
    RUN_UNTIL(loop, reads == 1);
    hio_readbytes(io, 5);
    RUN_UNTIL(loop, reads == 2);
    hio_read(io);
    RUN_UNTIL(loop, got_len - (size_t)reads == 16);
    assert_int_equal(strncmp(got, "line\n|12345|", 12), 0);
    assert_stream("line\n12345stream");
}

static void test_read_line_beyond_the_limit_closes(void **state) {
    (void)state;
    hio_set_max_read_bufsize(io, 16);
    hio_readline(io);
    put("0123456789abcdef0");
    RUN_UNTIL(loop, closes == 1);
    assert_int_equal(last_error, -HV_ELIMIT);
    assert_int_equal(reads, 0);
}

static void test_read_length_beyond_the_limit_closes(void **state) {
    (void)state;
    hio_set_max_read_bufsize(io, 16);
    hio_readbytes(io, 17);
    put("x");
    RUN_UNTIL(loop, closes == 1);
    assert_int_equal(last_error, -HV_ELIMIT);
}

/* ---- Packets ---- */

static unpack_setting_t fixed = {.mode = UNPACK_BY_FIXED_LENGTH, .fixed_length = 4};
static unpack_setting_t lines = {
    .mode = UNPACK_BY_DELIMITER, .delimiter = "\r\n", .delimiter_bytes = 2};
static unpack_setting_t sized = {.mode = UNPACK_BY_LENGTH_FIELD,
                                 .body_offset = 1,
                                 .length_field_bytes = 1,
                                 .length_adjustment = -'0', /* so that it is a digit */
                                 .length_field_coding = ENCODE_BY_BIG_ENDIAN};

static void feed_split(const char *data, size_t len, const char *expected) {
    for (size_t split = 0; split <= len; split++) {
        reads = 0;
        got_len = 0;
        if (split > 0) put_bytes(data, split);
        RUN_PASSES(loop, 1);
        if (split < len) put_bytes(data + split, len - split);
        RUN_UNTIL(loop, got_len >= strlen(expected));
        assert_string_equal(got, expected);
    }
}

static void test_read_unpack_of_each_mode_at_every_split(void **state) {
    (void)state;
    hio_set_unpack(io, &fixed);
    hio_read(io);
    feed_split("abcdefgh", 8, "abcd|efgh|");
    hio_set_unpack(io, &lines);
    feed_split("a\r\n\r\nbc\r\n", 9, "a\r\n|\r\n|bc\r\n|");
    hio_set_unpack(io, &sized);
    feed_split("3abc0" "2xy", 8, "3abc|0|2xy|");
    hio_unset_unpack(io);
    feed_split("z", 1, "z|");
}

static void test_read_packet_beyond_the_limit_closes(void **state) {
    (void)state;
    unpack_setting_t small = lines;
    small.package_max_length = 8;
    hio_set_unpack(io, &small);
    hio_read(io);
    put("1234\r\n123456789");
    RUN_UNTIL(loop, closes == 1);
    assert_string_equal(got, "1234\r\n|");
    assert_int_equal(last_error, -HV_ELIMIT);
}

static void test_read_invalid_setting_closes(void **state) {
    (void)state;
    unpack_setting_t wrong = {.mode = UNPACK_BY_FIXED_LENGTH};
    hio_set_unpack(io, &wrong);
    assert_int_equal(closes, 0);
    assert_int_equal(hio_read(io), HV_ECLOSED);
    RUN_UNTIL(loop, closes == 1);
    assert_int_equal(last_error, EINVAL);
}

static void stop_after_each(hio_t *from, void *buf, int len) {
    on_read(from, buf, len);
    hio_read_stop(from);
}

static void test_read_pause_between_packets_keeps_the_rest(void **state) {
    (void)state;
    hio_set_unpack(io, &fixed);
    hio_setcb_read(io, stop_after_each);
    hio_read(io);
    put("aaaabbbbcccc");
    for (int i = 1; i <= 3; i++) {
        RUN_UNTIL(loop, reads == i);
        RUN_PASSES(loop, 3);
        assert_int_equal(reads, i);
        assert_int_equal(hio_read(io), 0);
        assert_int_equal(reads, i);
    }
    assert_string_equal(got, "aaaa|bbbb|cccc|");
}

static void close_after_first(hio_t *from, void *buf, int len) {
    on_read(from, buf, len);
    hio_close(from);
}

static void test_read_close_between_packets_ends_it(void **state) {
    (void)state;
    hio_set_unpack(io, &fixed);
    hio_setcb_read(io, close_after_first);
    hio_read(io);
    put("aaaabbbb");
    RUN_UNTIL(loop, closes == 1);
    assert_string_equal(got, "aaaa|");
    assert_int_equal(last_error, 0);
}

/* ---- The end ---- */

static void test_read_end_closes_after_the_last_bytes(void **state) {
    (void)state;
    hio_read(io);
    put("bye");
    end_peer();
    RUN_UNTIL(loop, closes == 1);
    assert_stream("bye");
    assert_int_equal(last_error, 0);
}

static void test_read_end_with_on_eof_leaves_writing_open(void **state) {
    (void)state;
    hio_setcb_eof(io, on_eof);
    hio_read(io);
    put("ask");
    shutdown(peer, SHUT_WR);
    RUN_UNTIL(loop, ends == 1);
    assert_stream("ask");
    RUN_PASSES(loop, 3);
    assert_int_equal(ends, 1);
    assert_int_equal(hio_read(io), 0);
    RUN_PASSES(loop, 3);
    assert_int_equal(ends, 1);
    assert_int_equal(hio_read_until_length(io, 4), 0);
    RUN_UNTIL(loop, ends == 2); /* a single read after the end is answered each time */
    assert_int_equal(hio_write(io, "answer", 6), 6);
    hio_close(io);
    RUN_UNTIL(loop, closes == 1);
    char answer[16];
    assert_int_equal(recv(peer, answer, sizeof answer, 0), 6);
}

/* Bytes were kept back when reading went on in the pass that also saw the end. */
static void test_read_end_does_not_overtake_kept_bytes(void **state) {
    (void)state;
    hio_readline(io);
    put("one\ntwo\n");
    RUN_UNTIL(loop, reads == 1);
    end_peer();
    hio_readline(io);
    RUN_UNTIL(loop, closes == 1 || reads == 2);
    assert_string_equal(got, "one\n|two\n|");
    if (closes == 0) hio_read(io);
    RUN_UNTIL(loop, closes == 1);
}

static void start_line(htimer_t *timer) {
    (void)timer;
    hio_readline(io);
}

static void test_read_begun_in_the_pass_of_the_end_gets_kept_bytes(void **state) {
    (void)state;
    hio_readline(io);
    put("one\ntwo\n");
    RUN_UNTIL(loop, reads == 1);
    end_peer();
    htimer_add(loop, start_line, 0, 1); /* called before the descriptor of the same pass */
    RUN_UNTIL(loop, closes == 1 || reads == 2);
    assert_string_equal(got, "one\n|two\n|");
}

static void test_read_stopped_sees_neither_bytes_nor_end(void **state) {
    (void)state;
    hio_read(io);
    hio_read_stop(io);
    put("x");
    end_peer();
    RUN_PASSES(loop, 5);
    assert_int_equal(reads + closes, 0);
    hio_read(io);
    RUN_UNTIL(loop, closes == 1);
    assert_stream("x");
}

static void test_read_stop_and_start_cost_no_backend_call(void **state) {
    (void)state;
    hclock_set_fake(1000000);
    hloop_t *fake = hloop_new_with_backend(0, "fake");
    int fds[2];
    assert_int_equal(hsock_pair(fds), 0);
    hio_t *one = hio_get(fake, fds[1]);
    hio_read(one);
    uint64_t calls = hpoll_fake_set_calls(fake->poll);
    assert_int_equal(hpoll_fake_interest(fake->poll, fds[1]), HPOLL_READ);
    for (int i = 0; i < 100; i++) {
        hio_read_stop(one);
        RUN_PASSES(fake, 1);
        hio_read(one);
        RUN_PASSES(fake, 1);
    }
    assert_int_equal(hpoll_fake_set_calls(fake->poll), calls);
    hloop_free(&fake);
    close(fds[0]);
    hclock_use_real();
}

static void test_read_into_own_buffer(void **state) {
    (void)state;
    char own[8];
    hio_set_readbuf(io, own, sizeof own);
    hio_read(io);
    put("0123456789");
    RUN_UNTIL(loop, got_len - (size_t)reads == 10);
    assert_true(reads >= 2); /* seven at a time, and the NUL */
    assert_stream("0123456789");
}

static void test_read_regular_file_to_its_end(void **state) {
    (void)state;
    FILE *file = tmpfile();
    assert_non_null(file);
    assert_int_equal(fputs("content", file), 1);
    rewind(file);
    hio_t *socket_io = io;
    io = hread(loop, dup(fileno(file)), NULL, 0, on_read);
    assert_non_null(io);
    hio_setcb_close(io, on_close);
    RUN_UNTIL(loop, closes == 1);
    assert_stream("content");
    io = socket_io;
    fclose(file);
}

static void detach_self(hio_t *from, void *buf, int len) {
    on_read(from, buf, len);
    hio_setcb_read(from, on_read);
    hio_detach(from);
}

static void test_read_detached_in_callback_takes_the_rest_along(void **state) {
    (void)state;
    hio_set_unpack(io, &fixed);
    hio_setcb_read(io, detach_self);
    hio_read(io);
    put("aaaabbbbcc");
    RUN_UNTIL(loop, reads == 1);
    RUN_PASSES(loop, 2);
    assert_int_equal(hloop_nios(loop), 0);
    hloop_t *second = hloop_new(0);
    hio_attach(second, io);
    RUN_UNTIL(second, reads == 2);
    put("cc");
    RUN_UNTIL(second, reads == 3);
    assert_string_equal(got, "aaaa|bbbb|cccc|");
    hloop_free(&second);
    assert_int_equal(closes, 1);
}

#define READ_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        READ_TEST(test_read_stream_gives_all_bytes),
        READ_TEST(test_read_once_gives_one_and_stops),
        READ_TEST(test_read_until_length_waits_for_it_all),
        READ_TEST(test_read_until_delimiter_over_split_reads),
        READ_TEST(test_read_lines_of_one_packet_come_one_by_one),
        READ_TEST(test_read_switch_of_modes_loses_nothing),
        READ_TEST(test_read_line_beyond_the_limit_closes),
        READ_TEST(test_read_length_beyond_the_limit_closes),
        READ_TEST(test_read_unpack_of_each_mode_at_every_split),
        READ_TEST(test_read_packet_beyond_the_limit_closes),
        READ_TEST(test_read_invalid_setting_closes),
        READ_TEST(test_read_pause_between_packets_keeps_the_rest),
        READ_TEST(test_read_close_between_packets_ends_it),
        READ_TEST(test_read_end_closes_after_the_last_bytes),
        READ_TEST(test_read_end_with_on_eof_leaves_writing_open),
        READ_TEST(test_read_end_does_not_overtake_kept_bytes),
        READ_TEST(test_read_begun_in_the_pass_of_the_end_gets_kept_bytes),
        READ_TEST(test_read_stopped_sees_neither_bytes_nor_end),
        READ_TEST(test_read_stop_and_start_cost_no_backend_call),
        READ_TEST(test_read_into_own_buffer),
        READ_TEST(test_read_regular_file_to_its_end),
        READ_TEST(test_read_detached_in_callback_takes_the_rest_along),
    };
    return cmocka_run_group_tests_name("hio_read", tests, NULL, NULL);
}
