/* timer.c - one-shot, repeating and calendar timers; reset and delete.
 *
 *     cc timer.c -o timer -lhv && ./timer      # ends after about a second
 */
#include "hv/hloop.h"

static int beats;

static void on_beat(htimer_t *timer) {
    beats++;
    printf("beat %d\n", beats);
    if (beats == 5) {
        printf("deleted in its own callback\n");
        htimer_del(timer);
    }
}

static void on_once(htimer_t *timer) {
    (void)timer;
    printf("once, after 250 ms\n");
}

static void on_late(htimer_t *timer) {
    (void)timer;
    printf("the timer that was put off\n");
}

static void on_put_off(htimer_t *timer) {
    htimer_t *late = hevent_userdata(timer);
    printf("put off to 600 ms from now\n");
    htimer_reset(late, 600);
}

static void on_minute(htimer_t *timer) {
    (void)timer;
    printf("a full minute\n");
}

int main(void) {
    setvbuf(stdout, NULL, _IOLBF, 0);
    /* The loop ends by itself when nothing is left to wait for. */
    hloop_t *loop = hloop_new(HLOOP_FLAG_QUIT_WHEN_NO_ACTIVE_EVENTS);
    if (loop == NULL) {
        perror("hloop_new");
        return 1;
    }
    htimer_add(loop, on_beat, 100, INFINITE);
    htimer_add(loop, on_once, 250, 1);
    htimer_t *late = htimer_add(loop, on_late, 400, 1);
    htimer_t *put_off = htimer_add(loop, on_put_off, 300, 1);
    hevent_set_userdata(put_off, late);

    /* Every full minute, but not worth staying for. */
    htimer_t *minute = htimer_add_period(loop, on_minute, -1, -1, -1, -1, -1, INFINITE);
    hevent_unref(minute);

    hloop_run(loop);
    hloop_free(&loop);
    return 0;
}
