/* test_hio_threads.c - four threads write to, close and post to connections that are closed and
 * made again all the time, by handles that may be long out of date. What arrives must be for the
 * connection it arrives at. Meant for ThreadSanitizer; the other builds run it too. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <stdatomic.h>

#include "hloop.h"

#define PAIRS            32
#define WRITERS          4
#define CALLS_PER_WRITER 250000
#define CALLS_PER_ROUND  500 /* then a writer waits until the loop has caught up */

typedef struct message_s {
    uint32_t serial; /* of the pair it is meant for */
    uint32_t check;  /* its complement */
} message_t;

/* A connection: `near` is written to by the writers, `far` reads. */
typedef struct pair_s {
    hio_t *near, *far;
    int place;
    uint32_t serial;
    int open_ends;
} pair_t;

static hloop_t *loop;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct {
    hio_handle_t handle;
    uint32_t serial;
} places[PAIRS]; /* under lock */
static uint32_t last_serial;
static atomic_uint wrong_messages, right_messages, pairs_made;
static int is_ending;
static int writers_running;

static unpack_setting_t by_message = {
    .mode = UNPACK_BY_FIXED_LENGTH,
    .fixed_length = sizeof(message_t),
};

static void make_pair(int place);

static void on_end_closed(hio_t *io) {
    pair_t *pair = hio_context(io);
    if (io == pair->near) hio_close(pair->far);
    if (--pair->open_ends > 0) return;
    int place = pair->place;
    free(pair);
    if (!is_ending) make_pair(place);
}

static void on_message(hio_t *io, void *buf, int len) {
    const pair_t *pair = hio_context(io);
    message_t message;
    memcpy(&message, buf, sizeof message);
    int is_right = len == (int)sizeof message && message.serial == pair->serial &&
                   message.check == ~message.serial;
    atomic_fetch_add(is_right ? &right_messages : &wrong_messages, 1);
}

static void make_pair(int place) {
    hio_t *ends[2];
    pair_t *pair = calloc(1, sizeof *pair);
    assert_int_equal(hio_create_pipe(loop, ends), 0);
    *pair = (pair_t){.near = ends[0], .far = ends[1], .place = place, .open_ends = 2};
    pair->serial = ++last_serial;
    atomic_fetch_add(&pairs_made, 1);
    for (int i = 0; i < 2; i++) {
        hio_set_context(ends[i], pair);
        hio_setcb_close(ends[i], on_end_closed);
    }
    hio_setcb_read(pair->far, on_message);
    hio_set_unpack(pair->far, &by_message);
    hio_read(pair->far);
    pthread_mutex_lock(&lock);
    places[place].handle = hio_handle(pair->near);
    places[place].serial = pair->serial;
    pthread_mutex_unlock(&lock);
}

/* ---- Writers ---- */

typedef struct writer_s {
    pthread_t thread;
    uint32_t seed;
    pthread_mutex_t lock;
    pthread_cond_t has_caught_up;
    unsigned rounds_seen; /* by the loop, under lock */
} writer_t;

static uint32_t next_random(uint32_t *seed) {
    *seed ^= *seed << 13;
    *seed ^= *seed >> 17;
    *seed ^= *seed << 5;
    return *seed;
}

static void on_round(hevent_t *ev) {
    writer_t *writer = hevent_userdata(ev);
    pthread_mutex_lock(&writer->lock);
    writer->rounds_seen++;
    pthread_cond_signal(&writer->has_caught_up);
    pthread_mutex_unlock(&writer->lock);
}

static void wait_for_loop(writer_t *writer, unsigned round) {
    hevent_t ev = {.cb = on_round, .userdata = writer};
    hloop_post_event(loop, &ev);
    pthread_mutex_lock(&writer->lock);
    while (writer->rounds_seen < round) {
        pthread_cond_wait(&writer->has_caught_up, &writer->lock);
    }
    pthread_mutex_unlock(&writer->lock);
}

static void on_nothing(hevent_t *ev) { (void)ev; }

static void on_writer_done(hevent_t *ev) {
    if (--writers_running > 0) return;
    is_ending = 1;
    hloop_stop(ev->loop);
}

static void *write_at_random(void *argument) {
    writer_t *writer = argument;
    hio_handle_t handle = {0};
    uint32_t serial = 0;
    for (unsigned call = 1; call <= CALLS_PER_WRITER; call++) {
        uint32_t dice = next_random(&writer->seed);
        /* Now and then a fresh handle; most of the time one that may be out of date. */
        if (serial == 0 || dice % 8 == 0) {
            pthread_mutex_lock(&lock);
            handle = places[dice / 8 % PAIRS].handle;
            serial = places[dice / 8 % PAIRS].serial;
            pthread_mutex_unlock(&lock);
        }
        uint32_t kind = next_random(&writer->seed) % 100;
        if (kind < 95) {
            message_t message = {.serial = serial, .check = ~serial};
            hio_handle_write(handle, &message, sizeof message);
        } else if (kind < 97) {
            hio_handle_close(handle);
        } else {
            hevent_t ev = {.cb = on_nothing};
            hloop_post_event(loop, &ev);
        }
        if (call % CALLS_PER_ROUND == 0) wait_for_loop(writer, call / CALLS_PER_ROUND);
    }
    hevent_t ev = {.cb = on_writer_done};
    hloop_post_event(loop, &ev);
    return NULL;
}

static void test_handles_out_of_date_reach_nobody_else(void **state) {
    (void)state;
    static writer_t writers[WRITERS];
    loop = hloop_new(0);
    assert_non_null(loop);
    for (int place = 0; place < PAIRS; place++) make_pair(place);
    writers_running = WRITERS;
    for (int i = 0; i < WRITERS; i++) {
        writers[i].seed = 2463534242u + (uint32_t)i * 7919u;
        pthread_mutex_init(&writers[i].lock, NULL);
        pthread_cond_init(&writers[i].has_caught_up, NULL);
        assert_int_equal(pthread_create(&writers[i].thread, NULL, write_at_random, &writers[i]), 0);
    }
    hloop_run(loop);
    for (int i = 0; i < WRITERS; i++) pthread_join(writers[i].thread, NULL);
    hloop_free(&loop);
    assert_int_equal(atomic_load(&wrong_messages), 0);
    /* The test is worth something only if both happened many times. */
    assert_true(atomic_load(&right_messages) > 10000);
    assert_true(atomic_load(&pairs_made) > 1000);
    print_message("%u messages over %u connections\n", atomic_load(&right_messages),
                  atomic_load(&pairs_made));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_handles_out_of_date_reach_nobody_else),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
