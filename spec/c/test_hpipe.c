/* Tests of runtime/net/hpipe.c, and of real pipes as ios. */
#include "loop_test.h"

static hloop_t *loop;
static size_t blocks_before;
static char heard[64];
static size_t heard_len;
static int closes, last_error;

static int set_up(void **state) {
    (void)state;
    blocks_before = hv__mem_live_blocks();
    loop = hloop_new(0);
    heard_len = 0;
    closes = last_error = 0;
    return loop == NULL;
}

static int tear_down(void **state) {
    (void)state;
    hloop_free(&loop);
    return hv__mem_live_blocks() != blocks_before;
}

static void on_read(hio_t *io, void *buf, int len) {
    (void)io;
    assert_true(heard_len + (size_t)len < sizeof heard);
    memcpy(heard + heard_len, buf, (size_t)len);
    heard_len += (size_t)len;
}

static void on_close(hio_t *io) {
    closes++;
    last_error = hio_error(io);
}

static void test_pipe_carries_both_ways(void **state) {
    (void)state;
    hio_t *ends[2];
    assert_int_equal(hio_create_pipe(loop, ends), 0);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(hio_type(ends[i]), HIO_TYPE_PIPE);
        hio_setcb_read(ends[i], on_read);
        hio_read(ends[i]);
    }
    hio_write(ends[0], "ping", 4);
    RUN_UNTIL(loop, heard_len == 4);
    hio_write(ends[1], "pong", 4);
    RUN_UNTIL(loop, heard_len == 8);
    assert_memory_equal(heard, "pingpong", 8);
}

static void test_pipe_close_of_one_end_closes_the_other(void **state) {
    (void)state;
    hio_t *ends[2];
    assert_int_equal(hio_create_pipe(loop, ends), 0);
    hio_setcb_close(ends[0], on_close);
    hio_setcb_close(ends[1], on_close);
    hio_setcb_read(ends[1], on_read);
    hio_read(ends[1]);
    hio_write(ends[0], "last", 4);
    hio_close(ends[0]);
    RUN_UNTIL(loop, closes == 2);
    assert_memory_equal(heard, "last", 4);
}

static void test_pipe_of_the_kernel_reads_writes_and_ends(void **state) {
    (void)state;
    int fds[2];
    assert_int_equal(pipe(fds), 0);
    hio_t *from = hread(loop, fds[0], NULL, 0, on_read);
    hio_t *to = hwrite(loop, fds[1], "through", 7, NULL);
    assert_int_equal(hio_type(from), HIO_TYPE_PIPE);
    hio_setcb_close(from, on_close);
    hio_close(to);
    RUN_UNTIL(loop, closes == 1);
    assert_int_equal(heard_len, 7);
    assert_int_equal(last_error, 0);
}

static void test_pipe_without_reader_fails_in_close(void **state) {
    (void)state;
    int fds[2];
    assert_int_equal(pipe(fds), 0);
    close(fds[0]);
    hio_t *to = hwrite(loop, fds[1], "x", 1, NULL);
    hio_setcb_close(to, on_close);
    RUN_UNTIL(loop, closes == 1);
    assert_int_equal(last_error, EPIPE);
}

#define PIPE_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        PIPE_TEST(test_pipe_carries_both_ways),
        PIPE_TEST(test_pipe_close_of_one_end_closes_the_other),
        PIPE_TEST(test_pipe_of_the_kernel_reads_writes_and_ends),
        PIPE_TEST(test_pipe_without_reader_fails_in_close),
    };
    return cmocka_run_group_tests_name("hpipe", tests, NULL, NULL);
}
