/* hdispatch.h - the only way to the user's functions, and the queue of work put off until no API
 * call of the user's is on the stack. What higher rooms see of the loop's inside is this. */
#ifndef HV_DISPATCH_H_
#define HV_DISPATCH_H_

#include "hassert.h"
#include "hevent.h"
#include "hlist.h"

/* Calls a function of the user's: HV_DISPATCH(loop, on_request(req, userdata)). Only from code that
 * the dispatcher itself has called. After it, assume anything: re-check every object. */
#define HV_DISPATCH(loop, call)               \
    do {                                      \
        HV_DASSERT(hv__loop_in_api(loop) == 0); \
        call;                                 \
    } while (0)

/* A piece of work put off; part of the object it works on. */
typedef struct hv__defer_s {
    hlink_t link;
    void (*run)(struct hv__defer_s *self); /* NULL while it is not queued */
} hv__defer_t;

/* Queues `work` once: the dispatcher calls run(work) after the callback it is in, or in the next
 * pass, which then starts without sleeping. `work->run` is NULL when run is called, so it may be
 * queued again; what is queued meanwhile runs in the next pass. Already queued: nothing. */
void hv__defer(hloop_t *loop, hv__defer_t *work, void (*run)(hv__defer_t *self));

/* Takes work out of the queue; nothing where it is not queued. */
void hv__defer_cancel(hloop_t *loop, hv__defer_t *work);

/* What a higher room keeps for a loop; part of an object of its own. */
typedef struct hv__guest_s hv__guest_t;
typedef struct hv__guest_kind_s {
    /* First in hloop_free: ends the guest's work and calls back what is owed. May be NULL. */
    void (*close)(hv__guest_t *self);
    /* Last, when no callback is called any more: frees the guest. */
    void (*free)(hv__guest_t *self);
} hv__guest_kind_t;

struct hv__guest_s {
    hv__guest_t *next;
    const hv__guest_kind_t *kind;
};

/* A room has one guest of a kind in a loop; the address of the kind is its identity. */
void hv__guest_add(hloop_t *loop, hv__guest_t *guest, const hv__guest_kind_t *kind);
/* The guest of that kind, or NULL. */
hv__guest_t *hv__guest_find(const hloop_t *loop, const hv__guest_kind_t *kind);

/* Whether hloop_free has begun: a room then takes no more work. */
int hv__loop_is_ending(const hloop_t *loop);

/* How many API calls that must not call back are on the stack (debug builds; else 0). */
int hv__loop_in_api(const hloop_t *loop);

#endif
