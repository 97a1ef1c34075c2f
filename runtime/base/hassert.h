/* hassert.h - assertions: HV_ASSERT always on, HV_DASSERT in debug and hostile builds only.
 * For misuse and impossible states; input of a peer is never asserted. */
#ifndef HV_ASSERT_H_
#define HV_ASSERT_H_

/* Prints the failed claim with its place and aborts. */
_Noreturn void hv__assert_failed(const char *claim, const char *file, int line);

#define HV_ASSERT(claim) \
    ((claim) ? (void)0 : hv__assert_failed(#claim, __FILE__, __LINE__))

#if defined(HV_DEBUG) || defined(HV_HOSTILE)
#define HV_DASSERT(claim) HV_ASSERT(claim)
#else
#define HV_DASSERT(claim) ((void)sizeof(claim))
#endif

#define HV_UNREACHABLE() hv__assert_failed("unreachable", __FILE__, __LINE__)

#define HV_LIKELY(claim)   __builtin_expect(!!(claim), 1)
#define HV_UNLIKELY(claim) __builtin_expect(!!(claim), 0)

#endif
