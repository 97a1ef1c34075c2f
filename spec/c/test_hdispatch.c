/* Tests of runtime/loop/hdispatch.c: work that is put off, and taking back what is pending. */
#include "loop_test.h"

static hloop_t *loop;
static size_t blocks_before;
static char trace[64];

typedef struct piece_s {
    hv__defer_t work; /* first */
    char name;
} piece_t;

static piece_t a = {.name = 'a'}, b = {.name = 'b'}, c = {.name = 'c'};

static int set_up(void **state) {
    (void)state;
    blocks_before = hv__mem_live_blocks();
    loop = hloop_new(0);
    memset(trace, 0, sizeof trace);
    return loop == NULL;
}

static int tear_down(void **state) {
    (void)state;
    hloop_free(&loop);
    return hv__mem_live_blocks() != blocks_before;
}

static void note(hv__defer_t *work) {
    trace[strlen(trace)] = ((piece_t *)work)->name;
    assert_null(work->run);
}

static void note_again(hv__defer_t *work) {
    note(work);
    hv__defer(loop, work, note_again);
}

static void test_defer_runs_once_in_order_in_the_next_pass(void **state) {
    (void)state;
    hv__defer(loop, &a.work, note);
    hv__defer(loop, &b.work, note);
    hv__defer(loop, &a.work, note);
    assert_int_equal(hloop_next_timeout(loop), 0);
    assert_string_equal(trace, "");
    RUN_PASSES(loop, 2);
    assert_string_equal(trace, "ab");
}

static void test_defer_again_inside_waits_for_the_next_pass(void **state) {
    (void)state;
    hv__defer(loop, &a.work, note_again);
    RUN_PASSES(loop, 1);
    assert_string_equal(trace, "a");
    RUN_PASSES(loop, 2);
    assert_string_equal(trace, "aaa");
    hv__defer_cancel(loop, &a.work);
    RUN_PASSES(loop, 1);
    assert_string_equal(trace, "aaa");
}

static void cancel_c(hv__defer_t *work) {
    note(work);
    hv__defer_cancel(loop, &c.work);
    hv__defer_cancel(loop, &c.work);
    hv__defer(loop, work, note);
}

/* The piece that marked the end of the round is gone: the round must end all the same. */
static void test_defer_cancel_of_the_last_inside_ends_the_round(void **state) {
    (void)state;
    hv__defer(loop, &a.work, cancel_c);
    hv__defer(loop, &b.work, note_again);
    hv__defer(loop, &c.work, note);
    RUN_PASSES(loop, 1);
    assert_string_equal(trace, "ab");
    hv__defer_cancel(loop, &b.work);
    RUN_PASSES(loop, 1);
    assert_string_equal(trace, "aba");
}

static void test_defer_cancel_in_any_place(void **state) {
    (void)state;
    piece_t *all[] = {&a, &b, &c};
    for (int gone = 0; gone < 3; gone++) {
        memset(trace, 0, sizeof trace);
        for (int i = 0; i < 3; i++) hv__defer(loop, &all[i]->work, note);
        hv__defer_cancel(loop, &all[gone]->work);
        hv__defer(loop, &all[gone]->work, note); /* now the last */
        RUN_PASSES(loop, 1);
        assert_int_equal(strlen(trace), 3);
        assert_int_equal(trace[2], all[gone]->name);
    }
}

static hio_t *taken[2];

static void detach_other(hio_t *io, void *buf, int len) {
    (void)buf;
    trace[strlen(trace)] = (char)('0' + len);
    hio_t *other = hevent_userdata(io);
    if (other != NULL) hio_detach(other);
    hio_set_context(io, io);
}

/* Both are due in one pass; whichever is called first gives the other away. */
static void test_pending_io_that_is_detached_is_not_called(void **state) {
    (void)state;
    hio_t *one[2], *two[2];
    assert_int_equal(hio_create_pipe(loop, one), 0);
    assert_int_equal(hio_create_pipe(loop, two), 0);
    hio_setcb_read(one[1], detach_other);
    hio_setcb_read(two[1], detach_other);
    hevent_set_userdata(one[1], two[1]);
    hevent_set_userdata(two[1], one[1]);
    hio_read(one[1]);
    hio_read(two[1]);
    hio_write(one[0], "x", 1);
    hio_write(two[0], "x", 1);
    RUN_UNTIL(loop, trace[0] != '\0');
    assert_string_equal(trace, "1");
    taken[0] = hio_context(one[1]) != NULL ? two[1] : one[1];
    hio_t *giver = hio_context(one[1]) != NULL ? one[1] : two[1];
    hevent_set_userdata(taken[0], NULL);
    hevent_set_userdata(giver, NULL);
    hloop_t *second = hloop_new(0);
    hio_attach(second, taken[0]);
    RUN_UNTIL(second, strlen(trace) == 2); /* nothing was lost on the way */
    hloop_free(&second);
}

#define DISPATCH_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        DISPATCH_TEST(test_defer_runs_once_in_order_in_the_next_pass),
        DISPATCH_TEST(test_defer_again_inside_waits_for_the_next_pass),
        DISPATCH_TEST(test_defer_cancel_of_the_last_inside_ends_the_round),
        DISPATCH_TEST(test_defer_cancel_in_any_place),
        DISPATCH_TEST(test_pending_io_that_is_detached_is_not_called),
    };
    return cmocka_run_group_tests_name("hdispatch", tests, NULL, NULL);
}
