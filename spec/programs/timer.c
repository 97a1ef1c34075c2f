/* Prints the time every second. */
#include "hv/hloop.h"

static void tick(htimer_t* timer) {
    (void)timer;
    printf("time=%lus\n", (unsigned long)time(NULL));
    fflush(stdout);
}

int main(void) {
    hloop_t* loop = hloop_new(0);
    htimer_add(loop, tick, 1000, INFINITE);
    hloop_run(loop);
    hloop_free(&loop);
    return 0;
}
