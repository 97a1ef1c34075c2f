/* hpoll.h - what a backend of the loop must do: tell which descriptors are ready. One table of
 * functions per backend, chosen at hloop_new. Belongs here: readiness and nothing else; reading,
 * writing and timers are the business of other rooms.
 *
 * Rules each backend keeps:
 *  - readiness is level-triggered: what was not read is reported again;
 *  - `tag` comes back with every event of the descriptor, so that an event of a descriptor closed
 *    meanwhile is recognised by its old tag;
 *  - a closed descriptor need not be taken out first, unless another process holds a copy of it:
 *    the loop then sees stale tags and has the backend start over (`reset`). */
#ifndef HV_POLL_H_
#define HV_POLL_H_

#include <stdint.h>

enum {
    HPOLL_READ      = 1,
    HPOLL_WRITE     = 2,
    HPOLL_HANGUP    = 4, /* events only: error or both directions closed */
    HPOLL_EXCLUSIVE = 8, /* interest only: wake one of the loops that share a listener */
};

typedef struct hpoll_event_s {
    int fd;
    uint32_t tag;
    uint32_t events; /* HPOLL_READ | HPOLL_WRITE | HPOLL_HANGUP */
} hpoll_event_t;

typedef struct hpoll_s hpoll_t;

typedef struct hpoll_backend_s {
    const char *name;
    /* Gives a new backend in *poll. Returns 0 or a negative code. */
    int (*open)(hpoll_t **poll);
    void (*close)(hpoll_t *poll);
    /* Changes the interest in `fd` from `before` to `after` (HPOLL_* bits, 0: none).
     * Returns 0 or a negative code. */
    int (*set)(hpoll_t *poll, int fd, uint32_t tag, uint32_t before, uint32_t after);
    /* Waits at most `timeout_us` microseconds (negative: for ever; 0: not at all) and fills at most
     * `max` events. Returns their number, 0 where none came, or a negative code; an interrupted
     * wait is 0. */
    int (*wait)(hpoll_t *poll, hpoll_event_t *events, int max, int64_t timeout_us);
    /* Forgets every descriptor; the loop then sets them anew. Returns 0 or a negative code. */
    int (*reset)(hpoll_t *poll);
    /* A descriptor that is readable when wait would return events, or -1. */
    int (*backend_fd)(const hpoll_t *poll);
} hpoll_backend_t;

extern const hpoll_backend_t hpoll_epoll;
extern const hpoll_backend_t hpoll_fake;

/* The backend of that name, or NULL; NULL asks for the default. */
const hpoll_backend_t *hpoll_find(const char *name);

/* ---- The scripted backend, for tests ----
 * A wait returns the next scripted batch; where there is none it moves the fake clock
 * (hclock_set_fake) to the end of the timeout, and a wait for ever fails with HV_ECANCELED, so a
 * test that would hang ends. Real descriptors are never looked at. */

/* Adds one event to the batch that the next wait returns. Returns 0 or HV_ENOMEM. */
int hpoll_fake_push(hpoll_t *poll, int fd, uint32_t events);
/* The interest registered for a descriptor: HPOLL_* bits, 0 where there is none. */
uint32_t hpoll_fake_interest(const hpoll_t *poll, int fd);
/* How often the set function was called: a test can tell that a hot path makes no such call. */
uint64_t hpoll_fake_set_calls(const hpoll_t *poll);

#endif
