/* worker.h - what the files of `_hv.worker` share: a port is one end of the data channel
 * (worker_port.c), the inside is the worker's own thread (worker_thread.c), and worker.c is the
 * side that spawns and joins. */
#ifndef HVL_WORKER_H_
#define HVL_WORKER_H_

#include "bind.h"
#include "hchannel.h"

#define HVL_PORT_WAITERS_MAX 64

/* The first byte of an outcome. */
enum {
    HVL_OUTCOME_RESULTS = 'r',  /* encoded results */
    HVL_OUTCOME_ERROR = 'e',    /* message, NUL, traceback */
    HVL_OUTCOME_CANCELED = 'c', /* nothing */
};

/* ---- Ports (worker_port.c) ---- */

/* One end of the data channel, as Lua has it: hv.worker.channel, and the first part of a worker. */
typedef struct hvl_port_s {
    hvl_object_t object;
    hchannel_t *end; /* NULL once it is closed */
    int is_kept;     /* anchored though nobody waits: its worker runs */
    int receiver_count;
    int sender_count;
    hvl_waiter_t receivers[HVL_PORT_WAITERS_MAX]; /* the first has waited longest */
    struct {
        hvl_waiter_t waiter;
        int ref; /* its message */
    } senders[HVL_PORT_WAITERS_MAX];
} hvl_port_t;

extern const hvl_class_t hvl_port_class;
extern const hvl_class_t hvl_worker_class;

/* Gives a port its end of the channel. Returns 0 or a code; then the end is still the caller's. */
int hvl_port_attach(hvl_port_t *port, hchannel_t *end);
/* Anchors it, and keeps its loop running, or not, by who waits there and is_kept. */
void hvl_port_settle(hvl_port_t *port);
/* Methods of a port, and of a worker. */
int hvl_port_send(lua_State *L);
int hvl_port_recv(lua_State *L);
int hvl_port_close(lua_State *L);
int hvl_port_gc(lua_State *L);
/* Registers the class, and adds its methods to the module's table on top of the stack. */
void hvl_port_open(lua_State *L, hvl_t *rt);

/* A timeout argument: milliseconds, or -1 where there is none. */
int64_t hvl_worker_check_timeout(lua_State *L, int index, const char *what);

/* ---- The worker's thread (worker_thread.c) ---- */

/* What a thread is started with: its end of control, whose userdata is its end of data and whose
 * first message is what is to be run. It takes both. Returns NULL. */
void *hvl_worker_run(void *control);
/* Functions of the module, for the worker's own state: channel() and finish(kind, bytes). */
int hvl_worker_channel(lua_State *L);
int hvl_worker_finish(lua_State *L);

#endif
