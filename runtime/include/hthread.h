/* hthread.h - starting threads, and who we are. */
#ifndef HV_THREAD_H_
#define HV_THREAD_H_

#include "hdef.h"
#include "htime.h" /* programs expect hv_sleep and hv_delay here */

#include <pthread.h>

HV_BEGIN_DECLS

typedef pthread_t hthread_t;

/* What a thread's function returns, and how to write one:
 *     static HTHREAD_RETTYPE work(void *userdata) { ...; return 0; }
 * HTHREAD_ROUTINE(work) is the same head. */
#define HTHREAD_RETTYPE void *
#define HTHREAD_ROUTINE(name) HTHREAD_RETTYPE name(void *userdata)
typedef HTHREAD_RETTYPE (*hthread_routine)(void *userdata);

/* Starts a thread.
 * Returns its handle, to be given to hthread_join or hthread_detach once; 0 where it could not be
 * started, with errno set. */
HV_EXPORT hthread_t hthread_create(hthread_routine fn, void *userdata);

/* Waits for the end of a thread. Returns 0 or a negative code. */
HV_EXPORT int hthread_join(hthread_t thread);

/* Lets a thread end without being waited for. Returns 0 or a negative code. */
HV_EXPORT int hthread_detach(hthread_t thread);

/* The process, and the kernel's number of the calling thread. The latter is asked for once a
 * thread; both are right after a fork. */
HV_EXPORT long hv_getpid(void);
HV_EXPORT long hv_gettid(void);

HV_END_DECLS

#endif
