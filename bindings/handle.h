/* handle.h - what objects over an io have in common, streams and datagram sockets: who waits to
 * read, functions that run for it, and its life. An object is anchored while its io lives or a task
 * runs a function for it. */
#ifndef HVL_HANDLE_H_
#define HVL_HANDLE_H_

#include "bind.h"

/* The fields, under names of their own in each class: see HVL_HANDLE. */
#define HVL_HANDLE_FIELDS                                                                   \
    hvl_object_t object;                                                                    \
    hio_t *io; /* NULL from the close callback on */                                        \
    hvl_waiter_t reader;                                                                    \
    uint32_t busy;          /* tasks that run a function for it */                          \
    uint8_t is_closed_here; /* by its close(), and not yet reported */                      \
    uint8_t is_paused;      /* reading rests while a function waits */                      \
    uint8_t is_kept_paused; /* and goes on resting afterwards: it is somebody else's */

typedef struct hvl_handle_s {
    HVL_HANDLE_FIELDS
} hvl_handle_t;

/* The first member of a class over an io. */
#define HVL_HANDLE           \
    union {                  \
        hvl_handle_t handle; \
        struct {             \
            HVL_HANDLE_FIELDS \
        };                   \
    }

/* Begins a task for a function, with the object pushed behind it and in userdata[0]. on_finish has
 * to end with hvl_handle_leave. NULL where there is no such function, or no state any more. */
hvl_task_t *hvl_handle_begin(hvl_handle_t *self, int ref, hvl_finish_cb on_finish);
/* Runs it; where it waits, reading rests until hvl_handle_resume. */
void hvl_handle_run(hvl_handle_t *self, hvl_task_t *task, int nargs);
/* Reads on where reading rests. */
void hvl_handle_resume(hvl_handle_t *self);
/* A task of hvl_handle_begin is over. */
void hvl_handle_leave(hvl_handle_t *self);
/* The io is gone, or a task is over: lets the collector have an object that nobody needs. */
void hvl_handle_release(hvl_handle_t *self);

/* ---- For every object over an io, `io` may be NULL ---- */

/* ref() and unref(): returns the object itself. */
int hvl_io_set_reference(lua_State *L, hio_t *io, int is_referenced);
/* fd(), port() and address(): nil, message, "ECLOSED" without an io. */
int hvl_io_push_fd(lua_State *L, hio_t *io);
int hvl_io_push_port(lua_State *L, hio_t *io);
int hvl_io_push_local(lua_State *L, hio_t *io, const char *what);

#endif
