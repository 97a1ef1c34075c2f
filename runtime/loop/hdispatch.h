/* hdispatch.h - the only way to the user's functions, and the queue of work put off until no API
 * call of the user's is on the stack. What higher rooms see of the loop's inside is this. */
#ifndef HV_DISPATCH_H_
#define HV_DISPATCH_H_

#include "hassert.h"
#include "hevent.h"

/* Calls a function of the user's: HV_DISPATCH(loop, on_request(req, userdata)). Only from code that
 * the dispatcher itself has called. After it, assume anything: re-check every object. */
#define HV_DISPATCH(loop, call)               \
    do {                                      \
        HV_DASSERT(hv__loop_in_api(loop) == 0); \
        call;                                 \
    } while (0)

/* A piece of work put off; part of the object it works on. */
typedef struct hv__defer_s {
    struct hv__defer_s *next;
    void (*run)(struct hv__defer_s *self); /* NULL while it is not queued */
} hv__defer_t;

/* Queues `work` once: the dispatcher calls run(work) after the callback it is in, or in the next
 * pass, which then starts without sleeping. `work->run` is NULL when run is called, so it may be
 * queued again; what is queued meanwhile runs in the next pass. Already queued: nothing. */
void hv__defer(hloop_t *loop, hv__defer_t *work, void (*run)(hv__defer_t *self));

/* Takes work out of the queue; nothing where it is not queued. */
void hv__defer_cancel(hloop_t *loop, hv__defer_t *work);

/* What a higher room keeps for a loop; part of an object of its own. */
typedef struct hv__guest_s {
    struct hv__guest_s *next;
    void (*close)(struct hv__guest_s *self);
} hv__guest_t;

/* Has hloop_free call close(guest), once, before handles are closed; the last guest comes first.
 * It ends the guest's work, calls back what is owed and frees it. `close` is also the key by which
 * the guest is found, so a room has one guest a loop. */
void hv__guest_add(hloop_t *loop, hv__guest_t *guest, void (*close)(hv__guest_t *self));

/* The guest with that function, or NULL. */
hv__guest_t *hv__guest_find(const hloop_t *loop, void (*close)(hv__guest_t *self));

/* Whether hloop_free has begun: a room then takes no more work. */
int hv__loop_is_ending(const hloop_t *loop);

/* How many API calls that must not call back are on the stack (debug builds; else 0). */
int hv__loop_in_api(const hloop_t *loop);

#endif
