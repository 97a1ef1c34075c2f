/* hwatch.h - a descriptor of the library's own that is watched beside the ios: a socket of the
 * resolver, or a connection that is being tried. */
#ifndef HV_WATCH_H_
#define HV_WATCH_H_

#include "hloop_int.h"

typedef struct hv__watch_s hv__watch_t;

/* Called by the dispatcher with HPOLL_* bits; may close the watch. */
typedef void (*hv__watch_cb)(hv__watch_t *watch, unsigned events);

struct hv__watch_s {
    hv__watcher_t watcher;
    hv__watch_cb ready;
    void *owner;
    hv__watch_t *next; /* the owner's */
};

/* Begins to know a descriptor, not yet waiting for anything; it keeps no loop running. Returns
 * NULL without memory. */
hv__watch_t *hv__watch_open(hloop_t *loop, int fd, hv__watch_cb ready, void *owner);

/* Waits for HPOLL_READ, HPOLL_WRITE, both or nothing. Returns 0 or a negative code. */
int hv__watch_set(hv__watch_t *watch, unsigned interest);

/* Forgets the descriptor, which stays the owner's; `stays_open` tells that it is not closed right
 * after. No call comes any more, even where one was due in this pass. */
void hv__watch_close(hv__watch_t *watch, int stays_open);

#endif
