/* Tests of runtime/net/hio_file.c: ranges of files in the write queue. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "loop_test.h"

#ifdef HV_HOSTILE
#define FILE_BYTES 5000
#else
#define FILE_BYTES (6 << 20)
#endif

static hloop_t *loop;
static size_t blocks_before;
static hio_t *io;
static int peer, file_fd;
static int closed, io_error, drains;
static char *content, *got;
static size_t got_len;

static void on_close(hio_t *closing) {
    closed++;
    io_error = hio_error(closing);
}

static void on_drain(hio_t *draining) {
    (void)draining;
    drains++;
}

static int setup(void **state) {
    (void)state;
    blocks_before = hv__mem_live_blocks();
    loop = hloop_new(0);
    int ends[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
    io = hio_get(loop, ends[0]);
    hio_setcb_close(io, on_close);
    hio_setcb_drain(io, on_drain);
    peer = ends[1];
    fcntl(peer, F_SETFL, O_NONBLOCK);
    char name[] = "/tmp/hv-test-XXXXXX";
    file_fd = mkstemp(name);
    unlink(name);
    content = malloc(FILE_BYTES);
    got = malloc(FILE_BYTES * 2);
    for (size_t i = 0; i < FILE_BYTES; i++) content[i] = (char)(i * 7 + i / 251);
    assert_int_equal(write(file_fd, content, FILE_BYTES), FILE_BYTES);
    closed = io_error = drains = 0;
    got_len = 0;
    return 0;
}

static int teardown(void **state) {
    (void)state;
    if (loop != NULL) free_loop(loop, blocks_before);
    assert_int_equal(hv__mem_live_blocks(), blocks_before);
    if (file_fd >= 0) close(file_fd);
    close(peer);
    free(content);
    free(got);
    return 0;
}

static void receive(void) {
    ssize_t n;
    while ((n = recv(peer, got + got_len, FILE_BYTES * 2 - got_len, 0)) > 0) got_len += (size_t)n;
}

static void await_bytes(size_t len) {
    for (int i = 0; i < PASSES_MAX && got_len < len; i++) {
        hloop_process_events(loop, 0);
        receive();
    }
    assert_int_equal(got_len, len);
}

static void test_ranges_keep_their_place_among_bytes(void **state) {
    (void)state;
    hio_write(io, "head", 4);
    assert_int_equal(hio_write_file(io, file_fd, 0, 1000, 0), 0);
    hio_write(io, "mid", 3);
    assert_int_equal(hio_write_file(io, file_fd, 10, 5, 0), 0);
    assert_int_equal(hio_write_file(io, file_fd, 2000, 3000, 0), 0);
    assert_int_equal(hio_write_file(io, file_fd, 2000, 0, 0), 0);
    hio_write(io, "tail", 4);
    await_bytes(4 + 1000 + 3 + 5 + 3000 + 4);
    assert_memory_equal(got, "head", 4);
    assert_memory_equal(got + 4, content, 1000);
    assert_memory_equal(got + 1004, "mid", 3);
    assert_memory_equal(got + 1007, content + 10, 5);
    assert_memory_equal(got + 1012, content + 2000, 3000);
    assert_memory_equal(got + 4012, "tail", 4);
    assert_true(hio_write_is_complete(io));
}

static void test_slow_peer_gets_all_and_drain_is_told(void **state) {
    (void)state;
    hio_set_write_high(io, 2000);
    hio_write(io, "head", 4);
    assert_int_equal(hio_write_file(io, file_fd, 0, FILE_BYTES, 0), 0);
    hio_write(io, "tail", 4);
    assert_true(hio_write_is_high(io));
    /* A file takes no memory: the maximum of the queue is not for it. */
    hio_set_max_write_bufsize(io, 100);
    assert_int_equal(hio_write(io, "x", 1), 1);
    RUN_PASSES(loop, 5);
    assert_true(hio_write_bufsize(io) > 0);
    assert_int_equal(drains, 0);
    await_bytes(4 + FILE_BYTES + 5);
    assert_memory_equal(got + 4, content, FILE_BYTES);
    assert_memory_equal(got + 4 + FILE_BYTES, "tailx", 5);
    RUN_PASSES(loop, 2);
    assert_int_equal(drains, 1);
}

static void test_close_sends_what_is_queued_first(void **state) {
    (void)state;
    assert_int_equal(hio_write_file(io, file_fd, 0, FILE_BYTES, HIO_FILE_CLOSE), 0);
    file_fd = -1;
    hio_close(io);
    await_bytes(FILE_BYTES);
    assert_memory_equal(got, content, FILE_BYTES);
    RUN_UNTIL(loop, closed == 1);
    assert_int_equal(io_error, 0);
}

static void test_shutdown_waits_for_the_file(void **state) {
    (void)state;
    assert_int_equal(hio_write_file(io, file_fd, 0, FILE_BYTES, 0), 0);
    assert_int_equal(hio_shutdown(io), 0);
    assert_int_equal(hio_write_file(io, file_fd, 0, 1, 0), HV_EPIPE);
    await_bytes(FILE_BYTES);
    char byte;
    RUN_PASSES(loop, 3);
    assert_int_equal(recv(peer, &byte, 1, 0), 0);
}

static void test_shorter_file_fails_the_io(void **state) {
    (void)state;
    hio_write(io, "head", 4);
    assert_int_equal(hio_write_file(io, file_fd, FILE_BYTES - 10, 20, 0), 0);
    RUN_UNTIL(loop, closed == 1);
    assert_int_equal(io_error, EIO);
    receive();
    assert_true(got_len <= 14);
}

static void test_owned_file_is_closed_with_the_io(void **state) {
    (void)state;
    int copy = dup(file_fd);
    assert_int_equal(hio_write_file(io, copy, 0, FILE_BYTES, HIO_FILE_CLOSE), 0);
    assert_int_equal(fcntl(copy, F_GETFD) & ~FD_CLOEXEC, 0);
    hio_abort(io);
    assert_int_equal(fcntl(copy, F_GETFD), -1);
    RUN_UNTIL(loop, closed == 1);
    assert_int_equal(fcntl(file_fd, F_GETFD) & ~FD_CLOEXEC, 0); /* the borrowed one stays */
    int other[2];
    assert_int_equal(pipe(other), 0);
    hio_t *pipe_io = hio_get(loop, other[1]);
    assert_int_equal(hio_write_file(pipe_io, file_fd, 0, 1, 0), HV_EINVAL);
    close(other[0]);
}

static void test_peer_that_goes_ends_it(void **state) {
    (void)state;
    assert_int_equal(hio_write_file(io, file_fd, 0, FILE_BYTES, 0), 0);
    assert_int_equal(hio_write_file(io, file_fd, 0, FILE_BYTES, 0), 0);
    close(peer);
    peer = -1;
    RUN_UNTIL(loop, closed == 1);
    assert_int_not_equal(io_error, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

static int code_of_file;

static void answer_with_file(hio_t *to, void *buf, int len) {
    (void)buf;
    (void)len;
    assert_int_equal(hio_write(to, "head", 4), 4); /* it goes with the file's first bytes */
    code_of_file = hio_write_file(to, file_fd, 0, 1000, 0);
}

static void test_file_behind_bytes_that_cannot_be_sent_fails_the_io(void **state) {
    (void)state;
    hio_setcb_read(io, answer_with_file);
    hio_read(io);
    assert_int_equal(send(peer, "?", 1, 0), 1);
    shutdown(peer, SHUT_RD);
    RUN_UNTIL(loop, closed == 1);
    assert_int_equal(code_of_file, HV_EPIPE);
    assert_int_equal(io_error, EPIPE);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_ranges_keep_their_place_among_bytes),
        TEST(test_slow_peer_gets_all_and_drain_is_told),
        TEST(test_close_sends_what_is_queued_first),
        TEST(test_shutdown_waits_for_the_file),
        TEST(test_shorter_file_fails_the_io),
        TEST(test_owned_file_is_closed_with_the_io),
        TEST(test_peer_that_goes_ends_it),
        TEST(test_file_behind_bytes_that_cannot_be_sent_fails_the_io),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
