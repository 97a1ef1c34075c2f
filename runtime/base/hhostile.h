/* hhostile.h - what hostile builds (HV_HOSTILE) do on purpose: every surprise that the contract
 * allows. In other builds nothing of it is there.
 *
 *   reads and writes move at most HV_HOSTILE_BYTES bytes at a time (environment; unset or 0: no
 *     limit): tests of what cuts and parses take 1, those that move megabytes none
 *   descriptors that are ready at once are served in any order (hloop.c, hdispatch.c)
 *   memory that is given back is poisoned (hslab.c)
 *   every run of Lua code is followed by the collector (bindings/task_run.c) */
#ifndef HV_HOSTILE_H_
#define HV_HOSTILE_H_

#include <stddef.h>
#include <stdint.h>

#ifdef HV_HOSTILE

/* The most of `len` bytes that a read or write may move: at least 1, where len is. */
size_t hv__hostile_len(size_t len);
/* A number below `below`, the same ones in each run of the same thread. */
uint32_t hv__hostile_random(uint32_t below);

#else

static inline size_t hv__hostile_len(size_t len) { return len; }

#endif

#endif
