/* Tests of runtime/poll: the rules of the table, for each backend; and the loop's way out of stale
 * events. */
#include <poll.h>
#include <sys/wait.h>

#include "loop_test.h"

static hpoll_t *poller;
static hpoll_event_t events[8];
static int fds[2];

static int set_up(void **state) {
    (void)state;
    return hpoll_epoll.open(&poller) != 0 || hsock_pair(fds) != 0;
}

static int tear_down(void **state) {
    (void)state;
    hpoll_epoll.close(poller);
    close(fds[0]);
    close(fds[1]);
    return 0;
}

static int wait_now(void) { return hpoll_epoll.wait(poller, events, 8, 0); }

static void test_poll_backends_are_found_by_name(void **state) {
    (void)state;
    assert_ptr_equal(hpoll_find(NULL), hpoll_find("epoll"));
    assert_ptr_equal(hpoll_find("fake"), &hpoll_fake);
    assert_null(hpoll_find("nonsense"));
}

static void test_poll_epoll_is_level_triggered_and_brings_the_tag(void **state) {
    (void)state;
    assert_int_equal(hpoll_epoll.set(poller, fds[0], 77, 0, HPOLL_READ), 0);
    assert_int_equal(wait_now(), 0);
    assert_int_equal(send(fds[1], "x", 1, 0), 1);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(wait_now(), 1);
        assert_int_equal(events[0].fd, fds[0]);
        assert_int_equal(events[0].tag, 77);
        assert_int_equal(events[0].events, HPOLL_READ);
    }
    assert_int_equal(hpoll_epoll.set(poller, fds[0], 77, HPOLL_READ, HPOLL_WRITE), 0);
    assert_int_equal(wait_now(), 1);
    assert_int_equal(events[0].events, HPOLL_WRITE);
    assert_int_equal(hpoll_epoll.set(poller, fds[0], 77, HPOLL_WRITE, 0), 0);
    assert_int_equal(wait_now(), 0);
}

static void test_poll_epoll_tells_hang_up(void **state) {
    (void)state;
    assert_int_equal(hpoll_epoll.set(poller, fds[0], 1, 0, HPOLL_READ), 0);
    shutdown(fds[1], SHUT_RDWR);
    assert_int_equal(wait_now(), 1);
    assert_int_equal(events[0].events & HPOLL_HANGUP, HPOLL_HANGUP);
}

static void test_poll_epoll_exclusive_can_come_and_go(void **state) {
    (void)state;
    hsock_addr_t addr;
    socklen_t len = (socklen_t)hsock_address(&addr, "127.0.0.1", 0);
    int fd = hsock_listen(&addr, len, 1, 0);
    unsigned both = HPOLL_READ | HPOLL_EXCLUSIVE;
    assert_int_equal(hpoll_epoll.set(poller, fd, 1, 0, HPOLL_READ), 0);
    assert_int_equal(hpoll_epoll.set(poller, fd, 1, HPOLL_READ, both), 0);
    assert_int_equal(hpoll_epoll.set(poller, fd, 1, both, HPOLL_READ), 0);
    assert_int_equal(hpoll_epoll.set(poller, fd, 1, HPOLL_READ, 0), 0);
    assert_int_equal(hpoll_epoll.set(poller, fd, 1, 0, both), 0);
    close(fd);
}

static void test_poll_epoll_refuses_a_regular_file(void **state) {
    (void)state;
    FILE *file = tmpfile();
    assert_non_null(file);
    assert_int_equal(hpoll_epoll.set(poller, fileno(file), 1, 0, HPOLL_READ), -EPERM);
    fclose(file);
}

static void test_poll_epoll_reset_forgets_all_but_keeps_its_descriptor(void **state) {
    (void)state;
    assert_int_equal(hpoll_epoll.set(poller, fds[0], 1, 0, HPOLL_WRITE), 0);
    int fd = hpoll_epoll.backend_fd(poller);
    assert_int_equal(wait_now(), 1);
    assert_int_equal(hpoll_epoll.reset(poller), 0);
    assert_int_equal(wait_now(), 0);
    assert_int_equal(hpoll_epoll.backend_fd(poller), fd);
    assert_int_equal(hpoll_epoll.set(poller, fds[0], 2, 0, HPOLL_WRITE), 0);
    struct pollfd readable = {.fd = fd, .events = POLLIN};
    assert_int_equal(poll(&readable, 1, 0), 1);
}

static void test_poll_fake_gives_batches_and_moves_the_clock(void **state) {
    (void)state;
    hclock_set_fake(1000);
    hpoll_t *fake;
    assert_int_equal(hpoll_fake.open(&fake), 0);
    assert_int_equal(hpoll_fake.set(fake, 30, 5, 0, HPOLL_READ), 0);
    assert_int_equal(hpoll_fake_interest(fake, 30), HPOLL_READ);
    assert_int_equal(hpoll_fake_interest(fake, 31), 0);
    assert_int_equal(hpoll_fake_interest(fake, 3000), 0);
    for (int i = 0; i < 20; i++) assert_int_equal(hpoll_fake_push(fake, 30, HPOLL_READ), 0);
    assert_int_equal(hpoll_fake.wait(fake, events, 8, 500), 8);
    assert_int_equal(events[7].tag, 5);
    assert_int_equal(hpoll_fake.wait(fake, events, 8, 500), 8);
    assert_int_equal(hpoll_fake.wait(fake, events, 8, 500), 4);
    assert_int_equal(hclock_mono_us(), 1000);
    assert_int_equal(hpoll_fake.wait(fake, events, 8, 500), 0);
    assert_int_equal(hclock_mono_us(), 1500);
    assert_int_equal(hpoll_fake.wait(fake, events, 8, -1), HV_ECANCELED);
    assert_int_equal(hpoll_fake_set_calls(fake), 1);
    assert_int_equal(hpoll_fake.reset(fake), 0);
    assert_int_equal(hpoll_fake_interest(fake, 30), 0);
    assert_int_equal(hpoll_fake.backend_fd(fake), -1);
    hpoll_fake.close(fake);
    hclock_use_real();
}

static int reads, closes;

static void on_read(hio_t *io, void *buf, int len) {
    (void)io;
    (void)buf;
    reads += len;
}

static void on_close(hio_t *io) {
    (void)io;
    closes++;
}

/* A child that inherited a descriptor keeps it in our epoll set after we have closed it: its events
 * come under a tag that is nobody's, until the loop starts over. */
static void test_poll_stale_events_of_an_inherited_descriptor_end(void **state) {
    (void)state;
    size_t blocks_before = hv__mem_live_blocks();
    hloop_t *loop = hloop_new(0);
    int inherited[2], other[2], hold[2];
    assert_int_equal(hsock_pair(inherited), 0);
    assert_int_equal(hsock_pair(other), 0);
    assert_int_equal(pipe(hold), 0);
    hio_t *io = hio_get(loop, inherited[0]);
    hio_setcb_close(io, on_close);
    hio_read(io);
    hio_t *second = hread(loop, other[0], NULL, 0, on_read);
    assert_non_null(second);
    pid_t child = fork();
    if (child == 0) { /* holds on until our end of the pipe is closed */
        char byte;
        close(hold[1]);
        ssize_t got = read(hold[0], &byte, 1);
        _exit(got == 0 ? 0 : 1);
    }
    assert_true(child > 0);
    reads = closes = 0;
    hio_close(io);
    RUN_UNTIL(loop, closes == 1);
    assert_int_equal(send(inherited[1], "x", 1, 0), 1);
    assert_true(hloop_process_events(loop, (int)INFINITE) >= 0); /* wakes for nobody */
    struct pollfd set = {.fd = hloop_backend_fd(loop), .events = POLLIN};
    assert_int_equal(poll(&set, 1, 0), 0); /* and never again */
    assert_false(loop->must_reset);        /* nor does it start over in every pass */
    assert_int_equal(send(other[1], "yz", 2, 0), 2);
    RUN_UNTIL(loop, reads == 2); /* the others are still there */
    close(hold[0]);
    close(hold[1]);
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(WEXITSTATUS(status), 0);
    close(inherited[1]);
    close(other[1]);
    free_loop(loop, blocks_before);
}

/* The number that a handle shows is the user's; events are told apart by another. */
static void test_poll_changed_event_id_is_no_stale_tag(void **state) {
    (void)state;
    hloop_t *loop = hloop_new(0);
    hio_t *ends[2];
    assert_int_equal(hio_create_pipe(loop, ends), 0);
    reads = 0;
    hio_setcb_read(ends[1], on_read);
    hio_read(ends[1]);
    hevent_set_id(ends[1], 12345);
    hio_write(ends[0], "x", 1);
    RUN_UNTIL(loop, reads == 1);
    hloop_free(&loop);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_poll_backends_are_found_by_name),
        cmocka_unit_test_setup_teardown(test_poll_epoll_is_level_triggered_and_brings_the_tag,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_poll_epoll_tells_hang_up, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_poll_epoll_exclusive_can_come_and_go, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_poll_epoll_refuses_a_regular_file, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_poll_epoll_reset_forgets_all_but_keeps_its_descriptor,
                                        set_up, tear_down),
        cmocka_unit_test(test_poll_fake_gives_batches_and_moves_the_clock),
        cmocka_unit_test(test_poll_stale_events_of_an_inherited_descriptor_end),
        cmocka_unit_test(test_poll_changed_event_id_is_no_stale_tag),
    };
    return cmocka_run_group_tests_name("hpoll", tests, NULL, NULL);
}
