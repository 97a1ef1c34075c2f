/* hello_loop.c - a loop with every kind of event: idle work, timers, an event posted to itself, and
 * a signal that ends it.
 *
 *     cc hello_loop.c -o hello_loop -lhv && ./hello_loop      # ends after three seconds or Ctrl-C
 */
#include "hv/hloop.h"

#include <signal.h>

static void on_idle(hidle_t *idle) { printf("idle: nothing else was due (%u)\n", hevent_id(idle)); }

static void on_timer(htimer_t *timer) {
    (void)timer;
    printf("timer: time=%lus\n", (unsigned long)time(NULL));
}

static void on_custom(hevent_t *ev) { printf("custom: %s\n", (char *)hevent_userdata(ev)); }

static void on_end(htimer_t *timer) {
    printf("end\n");
    hloop_stop(hevent_loop(timer));
}

static void on_interrupt(hsignal_t *sig) {
    printf("signal %d\n", hsignal_signo(sig));
    hloop_stop(hevent_loop(sig));
}

int main(void) {
    setvbuf(stdout, NULL, _IOLBF, 0);
    hloop_t *loop = hloop_new(0);
    if (loop == NULL) {
        perror("hloop_new");
        return 1;
    }
    hidle_add(loop, on_idle, 1);
    htimer_add(loop, on_timer, 1000, INFINITE);
    htimer_add(loop, on_end, 3500, 1);
    hsignal_add(loop, on_interrupt, SIGINT);

    hevent_t ev = {.cb = on_custom, .userdata = "hello, loop"};
    hloop_post_event(loop, &ev);

    hloop_run(loop);
    hloop_free(&loop);
    return 0;
}
