/* Tests of runtime/proc/hloop_group.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "hloop_group.h"
#include "hmem.h"
#include "hsocket.h"
#include "hthread.h"

#include <stdatomic.h>

enum { SIZE = 4 };

static int no_block_is_left(void **state) {
    (void)state;
    return hv__mem_live_blocks() == 0 ? 0 : -1;
}

static atomic_int starts;
static atomic_long tids[SIZE];

static void on_start(hloop_t *loop, int index, void *userdata) {
    hloop_group_t **group = userdata;
    atomic_fetch_add(&starts, 1);
    if (hloop_group_loop(*group, index) == loop && hloop_group_index(*group) == index) {
        atomic_store(&tids[index], hv_gettid());
    }
}

static void test_group_runs_each_loop_in_its_own_thread(void **state) {
    (void)state;
    atomic_store(&starts, 0);
    hloop_group_t *group = hloop_group_new(SIZE);
    assert_non_null(group);
    assert_int_equal(hloop_group_size(group), SIZE);
    assert_int_equal(hloop_group_start(group, on_start, &group), 0);
    assert_int_equal(atomic_load(&starts), SIZE);
    for (int i = 0; i < SIZE; i++) {
        assert_int_not_equal(atomic_load(&tids[i]), 0);
        assert_int_not_equal(atomic_load(&tids[i]), hv_gettid());
        for (int other = 0; other < i; other++) {
            assert_int_not_equal(atomic_load(&tids[i]), atomic_load(&tids[other]));
        }
        assert_int_equal(hloop_tid(hloop_group_loop(group, i)), atomic_load(&tids[i]));
    }
    assert_int_equal(hloop_group_index(group), -1);
    assert_int_equal(hloop_group_start(group, NULL, NULL), HV_EBUSY);
    hloop_group_stop(group);
    assert_int_equal(hloop_group_join(group), 0);
    hloop_group_free(&group);
    assert_null(group);
}

static void test_group_may_start_again_after_join(void **state) {
    (void)state;
    hloop_group_t *group = hloop_group_new(2);
    for (int i = 0; i < 50; i++) {
        assert_int_equal(hloop_group_start(group, NULL, NULL), 0);
        hloop_group_stop(group);
        assert_int_equal(hloop_group_join(group), 0);
    }
    assert_int_equal(hloop_group_join(group), 0); /* nothing to wait for */
    hloop_group_free(&group);
}

static void test_group_sizes_out_of_range_are_refused(void **state) {
    (void)state;
    assert_null(hloop_group_new(-1));
    assert_int_equal(errno, EINVAL);
    assert_null(hloop_group_new(HLOOP_GROUP_SIZE_MAX + 1));
    hloop_group_t *group = hloop_group_new(0);
    assert_true(hloop_group_size(group) >= 1);
    hloop_group_free(&group);
    hloop_group_free(&group);
}

static void stop_from_inside(hevent_t *ev) {
    hloop_group_t *group = ev->userdata;
    if (hloop_group_join(group) == HV_EBUSY) hloop_group_stop(group);
}

static void test_group_may_be_stopped_by_one_of_its_threads(void **state) {
    (void)state;
    hloop_group_t *group = hloop_group_new(SIZE);
    assert_int_equal(hloop_group_start(group, NULL, NULL), 0);
    hevent_t ev = {.loop = hloop_group_loop(group, 1), .cb = stop_from_inside, .userdata = group};
    assert_int_equal(hloop_post_event(ev.loop, &ev), 0);
    assert_int_equal(hloop_group_join(group), 0);
    hloop_group_free(&group);
}

static int index_of(const hloop_group_t *group, const hloop_t *loop) {
    for (int i = 0; i < hloop_group_size(group); i++) {
        if (hloop_group_loop(group, i) == loop) return i;
    }
    return -1;
}

static void test_pick_round_robin_takes_turns(void **state) {
    (void)state;
    hloop_group_t *group = hloop_group_new(SIZE);
    for (int i = 0; i < 3 * SIZE; i++) {
        hloop_t *loop = hloop_group_next(group, HLOOP_PICK_ROUND_ROBIN, NULL);
        assert_int_equal(index_of(group, loop), i % SIZE);
    }
    hloop_group_free(&group);
}

static void test_pick_random_reaches_every_loop_about_as_often(void **state) {
    (void)state;
    hloop_group_t *group = hloop_group_new(SIZE);
    int counts[SIZE] = {0}, repeats = 0, before = -1;
    for (int i = 0; i < 4000; i++) {
        int index = index_of(group, hloop_group_next(group, HLOOP_PICK_RANDOM, NULL));
        counts[index]++;
        repeats += index == before;
        before = index;
    }
    for (int i = 0; i < SIZE; i++) assert_in_range(counts[i], 700, 1300);
    assert_in_range(repeats, 500, 1500); /* and not by turns */
    hloop_group_free(&group);
}

static void test_pick_ip_hash_looks_at_the_address_alone(void **state) {
    (void)state;
    hloop_group_t *group = hloop_group_new(SIZE);
    int counts[SIZE] = {0};
    for (int i = 0; i < 1000; i++) {
        char host[32];
        snprintf(host, sizeof(host), "10.0.%d.%d", i / 250, i % 250);
        sockaddr_u first, second;
        assert_int_equal(sockaddr_set_ipport(&first, host, 1000 + i), 0);
        assert_int_equal(sockaddr_set_ipport(&second, host, 60000 - i), 0);
        hloop_t *loop = hloop_group_next(group, HLOOP_PICK_IP_HASH, &first.sa);
        assert_ptr_equal(hloop_group_next(group, HLOOP_PICK_IP_HASH, &second.sa), loop);
        counts[index_of(group, loop)]++;
    }
    for (int i = 0; i < SIZE; i++) assert_in_range(counts[i], 150, 350);
    memset(counts, 0, sizeof(counts));
    for (int i = 0; i < 1000; i++) {
        char host[64];
        snprintf(host, sizeof(host), "2001:db8::%x:%x", i / 100, i);
        sockaddr_u peer;
        assert_int_equal(sockaddr_set_ipport(&peer, host, 80), 0);
        counts[index_of(group, hloop_group_next(group, HLOOP_PICK_IP_HASH, &peer.sa))]++;
    }
    for (int i = 0; i < SIZE; i++) assert_in_range(counts[i], 150, 350);
    assert_non_null(hloop_group_next(group, HLOOP_PICK_IP_HASH, NULL));
    hloop_group_free(&group);
}

/* ---- Handing over ---- */

static hloop_group_t *workers;
static hloop_pick_e how;
static atomic_int opened[SIZE];
static atomic_int closed;

static void on_close(hio_t *io) {
    hloop_group_release(workers, hevent_loop(io));
    atomic_fetch_add(&closed, 1);
}

static void on_recv(hio_t *io, void *buf, int readbytes) {
    hio_write(io, buf, (size_t)readbytes);
}

static void on_open(hio_t *io) {
    int index = hloop_group_index(workers);
    if (index >= 0 && hevent_loop(io) == hloop_group_loop(workers, index)) {
        atomic_fetch_add(&opened[index], 1);
    }
    hio_setcb_close(io, on_close);
    hio_setcb_read(io, on_recv);
    hio_read(io);
}

static void on_accept(hio_t *io) {
    if (hloop_group_hand_over(workers, how, io, on_open) != 0) hio_close(io);
}

/* One connection after the other, each answered by its worker. */
static void echo(int fd) {
    char byte = 'e';
    assert_int_equal(send(fd, &byte, 1, 0), 1);
    byte = 0;
    assert_int_equal(recv(fd, &byte, 1, 0), 1);
    assert_int_equal(byte, 'e');
}

static HTHREAD_ROUTINE(run_acceptor) {
    hloop_run(userdata);
    return 0;
}

static void test_hand_over_serves_in_the_other_thread(void **state) {
    (void)state;
    enum { CONNECTIONS = 3 * SIZE };
    atomic_store(&closed, 0);
    for (int i = 0; i < SIZE; i++) atomic_store(&opened[i], 0);
    how = HLOOP_PICK_LEAST_CONNECTIONS;
    workers = hloop_group_new(SIZE);
    assert_int_equal(hloop_group_start(workers, NULL, NULL), 0);
    int listenfd = Listen(0, "127.0.0.1");
    sockaddr_u addr;
    socklen_t len = sizeof(addr);
    assert_int_equal(getsockname(listenfd, &addr.sa, &len), 0);
    hloop_t *loop = hloop_new(0);
    assert_non_null(haccept(loop, listenfd, on_accept));
    hthread_t acceptor = hthread_create(run_acceptor, loop);

    int fds[CONNECTIONS];
    for (int i = 0; i < CONNECTIONS; i++) {
        fds[i] = Connect("127.0.0.1", sockaddr_port(&addr), 0);
        assert_true(fds[i] >= 0);
        so_rcvtimeo(fds[i], 20000);
        echo(fds[i]);
    }
    for (int i = 0; i < SIZE; i++) {
        assert_int_equal(atomic_load(&opened[i]), CONNECTIONS / SIZE);
        assert_int_equal(hloop_group_load(workers, i), CONNECTIONS / SIZE);
    }
    for (int i = 0; i < CONNECTIONS; i++) echo(fds[i]);
    for (int i = 0; i < CONNECTIONS; i++) close(fds[i]);
    while (atomic_load(&closed) < CONNECTIONS) sched_yield(); /* the test's timeout is the limit */
    for (int i = 0; i < SIZE; i++) assert_int_equal(hloop_group_load(workers, i), 0);

    hloop_stop(loop);
    hthread_join(acceptor);
    hloop_free(&loop);
    hloop_group_free(&workers);
}

static void test_pick_least_connections_avoids_the_loaded(void **state) {
    (void)state;
    workers = hloop_group_new(3);
    hloop_t *loop = hloop_new(0);
    /* Not started: what is handed over stays on its way, and counts. */
    int ends[3][2];
    for (int i = 0; i < 3; i++) assert_int_equal(Socketpair(AF_UNIX, SOCK_STREAM, 0, ends[i]), 0);
    hio_t *first = hio_get(loop, ends[0][0]);
    assert_int_equal(hloop_group_hand_over(workers, HLOOP_PICK_IP_HASH, first, NULL), 0);
    int loaded = -1;
    for (int i = 0; i < 3; i++) {
        if (hloop_group_load(workers, i) == 1) loaded = i;
    }
    assert_in_range(loaded, 0, 2);
    for (int i = 0; i < 20; i++) {
        hloop_t *picked = hloop_group_next(workers, HLOOP_PICK_LEAST_CONNECTIONS, NULL);
        assert_int_not_equal(index_of(workers, picked), loaded);
    }
    for (int i = 1; i < 3; i++) {
        hio_t *io = hio_get(loop, ends[i][0]);
        assert_int_equal(
            hloop_group_hand_over(workers, HLOOP_PICK_LEAST_CONNECTIONS, io, NULL), 0);
    }
    for (int i = 0; i < 3; i++) assert_int_equal(hloop_group_load(workers, i), 1);

    /* The group closes what never arrived. */
    hloop_group_free(&workers);
    for (int i = 0; i < 3; i++) {
        char byte;
        assert_int_equal(recv(ends[i][1], &byte, 1, 0), 0);
        close(ends[i][1]);
    }
    hloop_free(&loop);
}

int main(void) {
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_group_runs_each_loop_in_its_own_thread, no_block_is_left),
        cmocka_unit_test_teardown(test_group_may_start_again_after_join, no_block_is_left),
        cmocka_unit_test_teardown(test_group_sizes_out_of_range_are_refused, no_block_is_left),
        cmocka_unit_test_teardown(test_group_may_be_stopped_by_one_of_its_threads,
                                  no_block_is_left),
        cmocka_unit_test_teardown(test_pick_round_robin_takes_turns, no_block_is_left),
        cmocka_unit_test_teardown(test_pick_random_reaches_every_loop_about_as_often,
                                  no_block_is_left),
        cmocka_unit_test_teardown(test_pick_ip_hash_looks_at_the_address_alone, no_block_is_left),
        cmocka_unit_test_teardown(test_hand_over_serves_in_the_other_thread, no_block_is_left),
        cmocka_unit_test_teardown(test_pick_least_connections_avoids_the_loaded, no_block_is_left),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
