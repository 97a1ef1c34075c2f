/* hloop_group.h - N loops in N threads, and a choice among them: for a server with one loop that
 * accepts and several that work.
 *
 *     hloop_group_t *group = hloop_group_new(4);
 *     hloop_group_start(group, NULL, NULL);
 *     ... in on_accept: hloop_group_hand_over(group, HLOOP_PICK_ROUND_ROBIN, io, on_open);
 *     hloop_group_stop(group);
 *     hloop_group_join(group);
 *     hloop_group_free(&group);
 */
#ifndef HV_LOOP_GROUP_H_
#define HV_LOOP_GROUP_H_

#include "hloop.h"

HV_BEGIN_DECLS

typedef struct hloop_group_s hloop_group_t;

#define HLOOP_GROUP_SIZE_MAX 1024

typedef enum {
    HLOOP_PICK_ROUND_ROBIN,
    HLOOP_PICK_RANDOM,
    HLOOP_PICK_LEAST_CONNECTIONS, /* by the load that the functions below count */
    HLOOP_PICK_IP_HASH,           /* one address, whatever its port, always gets the same loop */
} hloop_pick_e;

/* Makes `size` loops (0: one for each processor); no thread yet. Returns NULL with errno set. */
HV_EXPORT hloop_group_t *hloop_group_new(int size);

/* Starts the threads and returns when every loop runs.
 *   on_start  called in each thread before its loop runs; may be NULL
 * Returns 0; HV_EBUSY when started already; a code where a thread could not be started (none is
 * then left). */
HV_EXPORT int hloop_group_start(hloop_group_t *group,
                                void (*on_start)(hloop_t *loop, int index, void *userdata),
                                void *userdata);

/* Stops every loop. Any thread, also one of the loops'. */
HV_EXPORT void hloop_group_stop(hloop_group_t *group);
/* Waits for the threads. Returns 0; HV_EBUSY from one of the loops' own threads. */
HV_EXPORT int hloop_group_join(hloop_group_t *group);
/* Stops, joins, frees the loops with what is in them, sets *group to NULL. Close callbacks run in
 * the calling thread. */
HV_EXPORT void hloop_group_free(hloop_group_t **group);

HV_EXPORT int hloop_group_size(const hloop_group_t *group);
/* The loop of that number, 0 .. size - 1. */
HV_EXPORT hloop_t *hloop_group_loop(const hloop_group_t *group, int index);
/* The number of the group's loop that the calling thread runs; -1 in any other thread. */
HV_EXPORT int hloop_group_index(const hloop_group_t *group);

/* Chooses a loop. Any thread.
 *   peer  only for HLOOP_PICK_IP_HASH; NULL, and unix sockets, count as one address */
HV_EXPORT hloop_t *hloop_group_next(hloop_group_t *group, hloop_pick_e pick,
                                    const struct sockaddr *peer);

/* Moves an io, as an accept callback gets it, into a loop of the group and calls on_open there. The
 * thread of the io's loop; afterwards the io is the other thread's. The loop's load grows by one
 * until the program says hloop_group_release in the close callback.
 * Returns 0; HV_ENOMEM or HV_ECLOSED (the group has stopped): the io is then where it was. */
HV_EXPORT int hloop_group_hand_over(hloop_group_t *group, hloop_pick_e pick, hio_t *io,
                                    void (*on_open)(hio_t *io));
/* One connection less in the loop of the calling thread. */
HV_EXPORT void hloop_group_release(hloop_group_t *group, hloop_t *loop);
/* Connections handed over and not released. */
HV_EXPORT uint32_t hloop_group_load(const hloop_group_t *group, int index);

HV_END_DECLS

#endif
