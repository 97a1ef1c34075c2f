/* Tests of runtime/fs/hpool: work runs beside the loop and ends in it, once; what is cancelled is
 * told so; the pool is empty when it is freed. Threads are held and let go by a lock, never by
 * time. Run under ThreadSanitizer, too. */
#include "loop_test.h"

#include <poll.h>

#include "hpool.h"

#define WORKS 500

typedef struct work_s {
    hpool_work_t work;
    int order;
    int run_count;
    int done_count;
    int status;
    pthread_t thread;
} work_t;

typedef struct gate_s {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    int is_open;
    int waiting_count;
} gate_t;

static gate_t gate = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, 0, 0};
static int done_total;

static void run(hpool_work_t *work) {
    work_t *self = (work_t *)work;
    self->run_count++;
    self->thread = pthread_self();
}

static void run_at_gate(hpool_work_t *work) {
    run(work);
    pthread_mutex_lock(&gate.lock);
    gate.waiting_count++;
    pthread_cond_broadcast(&gate.changed);
    while (!gate.is_open) pthread_cond_wait(&gate.changed, &gate.lock);
    gate.waiting_count--;
    pthread_mutex_unlock(&gate.lock);
}

static void set_gate(int is_open) {
    pthread_mutex_lock(&gate.lock);
    gate.is_open = is_open;
    pthread_cond_broadcast(&gate.changed);
    pthread_mutex_unlock(&gate.lock);
}

static void await_at_gate(int count) {
    pthread_mutex_lock(&gate.lock);
    while (gate.waiting_count < count) pthread_cond_wait(&gate.changed, &gate.lock);
    pthread_mutex_unlock(&gate.lock);
}

static void done(hpool_work_t *work, int status) {
    work_t *self = (work_t *)work;
    self->done_count++;
    self->status = status;
    self->order = ++done_total;
}

static hpool_t *pool_of(hloop_t *loop, int threads, uint32_t queue_max) {
    int code = 1;
    done_total = 0;
    set_gate(0);
    hpool_t *pool = hpool_new(loop, threads, queue_max, &code);
    assert_non_null(pool);
    assert_int_equal(code, 0);
    return pool;
}

static void test_work_submitted_is_run_in_a_thread_and_done_in_the_loop(void **state) {
    (void)state;
    size_t blocks = hv__mem_live_blocks();
    hloop_t *loop = hloop_new(0);
    hpool_t *pool = pool_of(loop, 4, WORKS);
    static work_t works[WORKS];
    memset(works, 0, sizeof works);
    for (int i = 0; i < WORKS; i++) {
        assert_int_equal(hpool_submit(pool, &works[i].work, run, done), 0);
    }
    assert_int_equal(done_total, 0);
    RUN_UNTIL(loop, done_total == WORKS);
    for (int i = 0; i < WORKS; i++) {
        assert_int_equal(works[i].run_count, 1);
        assert_int_equal(works[i].done_count, 1);
        assert_int_equal(works[i].status, 0);
        assert_false(pthread_equal(works[i].thread, pthread_self()));
    }
    assert_true(hpool_thread_count(pool) >= 1 && hpool_thread_count(pool) <= 4);
    hpool_free(pool);
    free_loop(loop, blocks);
}

static void test_threads_are_started_only_while_work_waits(void **state) {
    (void)state;
    hloop_t *loop = hloop_new(0);
    hpool_t *pool = pool_of(loop, 3, WORKS);
    work_t works[5] = {0};
    assert_int_equal(hpool_thread_count(pool), 0);
    for (int i = 0; i < 5; i++) {
        assert_int_equal(hpool_submit(pool, &works[i].work, run_at_gate, done), 0);
    }
    await_at_gate(3);
    assert_int_equal(hpool_thread_count(pool), 3);
    set_gate(1);
    RUN_UNTIL(loop, done_total == 5);
    hpool_free(pool);
    hloop_free(&loop);
}

static void test_one_thread_keeps_the_order(void **state) {
    (void)state;
    hloop_t *loop = hloop_new(0);
    hpool_t *pool = pool_of(loop, 1, WORKS);
    work_t works[20] = {0};
    for (int i = 0; i < 20; i++) hpool_submit(pool, &works[i].work, run, done);
    RUN_UNTIL(loop, done_total == 20);
    for (int i = 0; i < 20; i++) assert_int_equal(works[i].order, i + 1);
    hpool_free(pool);
    hloop_free(&loop);
}

static void test_submit_when_the_queue_is_full_is_refused(void **state) {
    (void)state;
    hloop_t *loop = hloop_new(0);
    hpool_t *pool = pool_of(loop, 1, 2);
    work_t works[4] = {0};
    assert_int_equal(hpool_submit(pool, &works[0].work, run_at_gate, done), 0);
    await_at_gate(1);
    assert_int_equal(hpool_submit(pool, &works[1].work, run, done), 0);
    assert_int_equal(hpool_submit(pool, &works[2].work, run, done), 0);
    assert_int_equal(hpool_submit(pool, &works[3].work, run, done), HV_ELIMIT);
    set_gate(1);
    RUN_UNTIL(loop, done_total == 3);
    assert_int_equal(works[3].done_count, 0);
    assert_int_equal(hpool_submit(pool, &works[3].work, run, done), 0);
    RUN_UNTIL(loop, done_total == 4);
    hpool_free(pool);
    hloop_free(&loop);
}

static void test_cancel_of_queued_work_is_told_later_and_never_runs(void **state) {
    (void)state;
    hloop_t *loop = hloop_new(0);
    hpool_t *pool = pool_of(loop, 1, WORKS);
    work_t works[3] = {0};
    hpool_submit(pool, &works[0].work, run_at_gate, done);
    await_at_gate(1);
    hpool_submit(pool, &works[1].work, run, done);
    hpool_submit(pool, &works[2].work, run, done);
    assert_int_equal(hpool_cancel(pool, &works[0].work), HV_EBUSY);
    assert_int_equal(hpool_cancel(pool, &works[1].work), 0);
    assert_int_equal(hpool_cancel(pool, &works[1].work), HV_EBUSY);
    assert_int_equal(works[1].done_count, 0);
    RUN_UNTIL(loop, done_total == 1);
    assert_int_equal(works[1].status, HV_ECANCELED);
    assert_int_equal(works[1].run_count, 0);
    set_gate(1);
    RUN_UNTIL(loop, done_total == 3);
    assert_int_equal(works[0].status, 0);
    assert_int_equal(works[1].done_count, 1);
    assert_int_equal(works[2].status, 0);
    hpool_free(pool);
    hloop_free(&loop);
}

static hpool_t *shared_pool;
static work_t second;

static void done_submits(hpool_work_t *work, int status) {
    done(work, status);
    assert_int_equal(hpool_submit(shared_pool, &second.work, run, done),
                     status == HV_ECANCELED ? HV_ECLOSED : 0);
}

static void test_work_submitted_in_done_is_run(void **state) {
    (void)state;
    hloop_t *loop = hloop_new(0);
    shared_pool = pool_of(loop, 1, WORKS);
    memset(&second, 0, sizeof second);
    work_t first = {0};
    hpool_submit(shared_pool, &first.work, run, done_submits);
    RUN_UNTIL(loop, done_total == 2);
    assert_int_equal(second.run_count, 1);
    hpool_free(shared_pool);
    hloop_free(&loop);
}

/* Opens the gate once the queue of the pool being freed has been cancelled. */
static void *open_gate_when_closing(void *arg) {
    await_at_gate(1);
    int code = hpool_wait_ready(shared_pool, *(int *)arg, false);
    assert_int_equal(code, HV_ECANCELED);
    set_gate(1);
    return NULL;
}

static void test_free_cancels_the_queue_and_waits_for_what_runs(void **state) {
    (void)state;
    size_t blocks = hv__mem_live_blocks();
    hloop_t *loop = hloop_new(0);
    shared_pool = pool_of(loop, 1, WORKS);
    memset(&second, 0, sizeof second);
    work_t running = {0}, queued = {0};
    int silent[2];
    assert_int_equal(pipe(silent), 0);
    hpool_submit(shared_pool, &running.work, run_at_gate, done);
    await_at_gate(1);
    hpool_submit(shared_pool, &queued.work, run, done_submits);
    pthread_t opener;
    assert_int_equal(pthread_create(&opener, NULL, open_gate_when_closing, &silent[0]), 0);
    hpool_free(shared_pool);
    pthread_join(opener, NULL);
    assert_int_equal(running.status, 0);
    assert_int_equal(running.done_count, 1);
    assert_int_equal(queued.status, HV_ECANCELED);
    assert_int_equal(queued.run_count, 0);
    assert_int_equal(second.done_count, 0);
    close(silent[0]);
    close(silent[1]);
    free_loop(loop, blocks);
}

static void test_wait_ready_when_readable_returns_at_once(void **state) {
    (void)state;
    hloop_t *loop = hloop_new(0);
    hpool_t *pool = pool_of(loop, 1, WORKS);
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    assert_int_equal(hpool_wait_ready(pool, ends[1], true), 0);
    assert_int_equal(write(ends[1], "x", 1), 1);
    assert_int_equal(hpool_wait_ready(pool, ends[0], false), 0);
    close(ends[0]);
    close(ends[1]);
    hpool_free(pool);
    hloop_free(&loop);
}

static void test_pool_without_memory_is_not_made(void **state) {
    (void)state;
#ifndef HV_FAULT_INJECTION
    skip();
#endif
    hloop_t *loop = hloop_new(0);
    int code = 0;
    hv__mem_fail_nth(1);
    assert_null(hpool_new(loop, 2, 10, &code));
    assert_int_equal(code, HV_ENOMEM);
    hv__mem_fail_nth(0);
    hloop_free(&loop);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_work_submitted_is_run_in_a_thread_and_done_in_the_loop),
        cmocka_unit_test(test_threads_are_started_only_while_work_waits),
        cmocka_unit_test(test_one_thread_keeps_the_order),
        cmocka_unit_test(test_submit_when_the_queue_is_full_is_refused),
        cmocka_unit_test(test_cancel_of_queued_work_is_told_later_and_never_runs),
        cmocka_unit_test(test_work_submitted_in_done_is_run),
        cmocka_unit_test(test_free_cancels_the_queue_and_waits_for_what_runs),
        cmocka_unit_test(test_wait_ready_when_readable_returns_at_once),
        cmocka_unit_test(test_pool_without_memory_is_not_made),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
