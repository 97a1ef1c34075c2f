/* hlanes.h - loops over long runs of bytes, 32 at a time, where the processor has the registers
 * for it.
 *
 * Such a loop stands in a function of its own, marked HV_LANES, beside the portable one, and is
 * taken where hlanes_are_here. Asking costs a load and a branch: short runs should not. */
#ifndef HV_LANES_H_
#define HV_LANES_H_

#include <stdint.h>

/* 32 bytes as four words, at any address. */
typedef uint64_t hlanes_t __attribute__((vector_size(32), aligned(1), may_alias));

#define HLANES_BYTES sizeof(hlanes_t)

#if defined(__x86_64__)
#define HV_LANES __attribute__((target("avx2")))
static inline int hlanes_are_here(void) { return __builtin_cpu_supports("avx2") != 0; }
#else
#define HV_LANES
static inline int hlanes_are_here(void) { return 0; }
#endif

#endif
