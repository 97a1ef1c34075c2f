/* hchannel.h - messages both ways between two loops, which may run in two threads: a bounded queue
 * each way, and a callback in the receiver's loop. */
#ifndef HV_CHANNEL_H_
#define HV_CHANNEL_H_

#include "hevent.h"

HV_BEGIN_DECLS

/* One of the two ends. It is a handle as hevent.h says once it is attached: hevent_set_userdata,
 * hevent_ref and hevent_unref work on it. */
typedef struct hchannel_s hchannel_t;

typedef void (*hchannel_cb)(hchannel_t *end);

/* Makes both ends.
 *   count_max  messages that may wait on one side, above 0
 *   bytes_max  and their bytes; a message is taken while fewer wait, so one of any size passes
 * Returns 0; HV_EINVAL; HV_ENOMEM. */
HV_EXPORT int hchannel_pair(hchannel_t *ends[2], uint32_t count_max, size_t bytes_max);

/* Gives an end to a loop; on the loop's thread, once. Until then any one thread may use it.
 *   on_change  called in the loop, never before this returns, when there is something to receive,
 *              when there is room again after HV_EAGAIN, and when the other end was closed; several
 *              changes may be one call
 * The loop runs on for it until it is closed, or unreferenced (hevent_unref). hloop_free lets it
 * go; it is then as before, and on_change is not called any more.
 * Returns 0 or HV_ENOMEM. */
HV_EXPORT int hchannel_attach(hchannel_t *end, hloop_t *loop, hchannel_cb on_change);

/* Queues a message for the other end; copies.
 * Returns 0; HV_EAGAIN where the queue is full: on_change tells when there is room; HV_ECLOSED
 * where the other end is closed; HV_ENOMEM. */
HV_EXPORT int hchannel_send(hchannel_t *end, const void *data, size_t len);

/* Takes the oldest message that has come.
 *   data  gets its bytes, with a NUL behind them; give them back with hchannel_free
 * Returns 0; HV_EAGAIN where there is none; HV_EOF where none can come: the other end is closed. */
HV_EXPORT int hchannel_recv(hchannel_t *end, void **data, size_t *len);
HV_EXPORT void hchannel_free(void *data);

/* Says that nothing more will be sent: the other end gets HV_EOF behind what was. Receiving goes
 * on; sending gives HV_ECLOSED from now on. Again: nothing. */
HV_EXPORT void hchannel_shutdown(hchannel_t *end);

/* Whether the other end is closed; there may still be messages of it. */
HV_EXPORT int hchannel_is_closed(hchannel_t *end);

/* Ends it: what has come and was not received is dropped, what was sent still arrives. on_change is
 * not called any more. The end is gone when this returns. NULL is allowed. */
HV_EXPORT void hchannel_close(hchannel_t *end);

HV_END_DECLS

#endif
