/* hevent.h - the prefix that every handle of a loop begins with, and what works on any handle. */
#ifndef HV_EVENT_H_
#define HV_EVENT_H_

#include "hdef.h"
#include "herr.h"

HV_BEGIN_DECLS

typedef struct hloop_s hloop_t;
typedef struct hevent_s hevent_t;
typedef struct htimer_s htimer_t;
typedef struct hidle_s hidle_t;
typedef struct hsignal_s hsignal_t;
typedef struct hio_s hio_t;

typedef void (*hevent_cb)(hevent_t *ev);
typedef void (*htimer_cb)(htimer_t *timer);
typedef void (*hidle_cb)(hidle_t *idle);
typedef void (*hsignal_cb)(hsignal_t *sig);

typedef enum {
    HEVENT_TYPE_NONE   = 0,
    HEVENT_TYPE_IO     = 0x01,
    HEVENT_TYPE_TIMER  = 0x10,
    HEVENT_TYPE_PERIOD = 0x20,
    HEVENT_TYPE_IDLE   = 0x40,
    HEVENT_TYPE_SIGNAL = 0x80,
    HEVENT_TYPE_CUSTOM = 0x400,
} hevent_type_e;

#define HEVENT_LOWEST_PRIORITY  (-5)
#define HEVENT_LOW_PRIORITY     (-3)
#define HEVENT_NORMAL_PRIORITY  0
#define HEVENT_HIGH_PRIORITY    3
#define HEVENT_HIGHEST_PRIORITY 5

/* The first bytes of every handle; a program may make one on its stack for hloop_post_event.
 * `loop`, `cb`, `userdata` and `event_type` may be read directly. */
struct hevent_s {
    hloop_t *loop;
    hevent_cb cb;
    void *userdata;
    uint32_t event_id;   /* unique among the live handles of a loop; 0 on a stack event */
    uint16_t event_type; /* a hevent_type_e */
    int8_t priority;     /* HEVENT_LOWEST_PRIORITY..HEVENT_HIGHEST_PRIORITY */
    uint8_t flags;       /* the library's own */
};

/* These take any handle: hio_t, htimer_t, hidle_t, hsignal_t, hevent_t. */
#define hevent_loop(ev)               (((hevent_t *)(ev))->loop)
#define hevent_type(ev)               ((hevent_type_e)((hevent_t *)(ev))->event_type)
#define hevent_id(ev)                 (((hevent_t *)(ev))->event_id)
#define hevent_cb(ev)                 (((hevent_t *)(ev))->cb)
#define hevent_userdata(ev)           (((hevent_t *)(ev))->userdata)
#define hevent_priority(ev)           ((int)((hevent_t *)(ev))->priority)
#define hevent_set_id(ev, id)         (((hevent_t *)(ev))->event_id = (uint32_t)(id))
#define hevent_set_cb(ev, fn)         (((hevent_t *)(ev))->cb = (hevent_cb)(fn))
#define hevent_set_userdata(ev, data) (((hevent_t *)(ev))->userdata = (void *)(data))
/* Among what is due in one pass, higher priorities are called first, equal ones in order. */
#define hevent_set_priority(ev, prio) (((hevent_t *)(ev))->priority = (int8_t)(prio))

/* A handle that is unreferenced does not keep a loop with HLOOP_FLAG_QUIT_WHEN_NO_ACTIVE_EVENTS
 * running. Handles begin referenced. Both may be called again and again. */
HV_EXPORT void hevent_ref_handle(hevent_t *ev);
HV_EXPORT void hevent_unref_handle(hevent_t *ev);
#define hevent_ref(ev)   hevent_ref_handle((hevent_t *)(ev))
#define hevent_unref(ev) hevent_unref_handle((hevent_t *)(ev))

HV_END_DECLS

#endif
