/* hmutex.h - locks, condition variables and semaphores under the names programs know. Each init
 * and destroy works in place; lock functions return 0 or a positive errno, as pthread's do.
 * Read-write and spin locks need _GNU_SOURCE or _DEFAULT_SOURCE where C is compiled strictly. */
#ifndef HV_MUTEX_H_
#define HV_MUTEX_H_

#include "hdef.h"

#include <pthread.h>
#include <semaphore.h>

HV_BEGIN_DECLS

typedef pthread_mutex_t hmutex_t;
#define HMUTEX_INIT                 PTHREAD_MUTEX_INITIALIZER
#define hmutex_init(mutex)          pthread_mutex_init(mutex, NULL)
#define hmutex_destroy(mutex)       pthread_mutex_destroy(mutex)
#define hmutex_lock(mutex)          pthread_mutex_lock(mutex)
#define hmutex_trylock(mutex)       pthread_mutex_trylock(mutex)
#define hmutex_unlock(mutex)        pthread_mutex_unlock(mutex)

/* May be locked again by the thread that holds it. */
typedef pthread_mutex_t hrecursive_mutex_t;
HV_EXPORT int hrecursive_mutex_init(hrecursive_mutex_t *mutex);
#define hrecursive_mutex_destroy(mutex) pthread_mutex_destroy(mutex)
#define hrecursive_mutex_lock(mutex)    pthread_mutex_lock(mutex)
#define hrecursive_mutex_unlock(mutex)  pthread_mutex_unlock(mutex)

typedef pthread_mutex_t htimed_mutex_t;
#define htimed_mutex_init(mutex)    pthread_mutex_init(mutex, NULL)
#define htimed_mutex_destroy(mutex) pthread_mutex_destroy(mutex)
#define htimed_mutex_lock(mutex)    pthread_mutex_lock(mutex)
#define htimed_mutex_unlock(mutex)  pthread_mutex_unlock(mutex)
/* Waits at most `ms` milliseconds. Returns 1 where it is locked now, 0 where time ran out. */
HV_EXPORT int htimed_mutex_lock_for(htimed_mutex_t *mutex, unsigned int ms);

#ifdef PTHREAD_RWLOCK_INITIALIZER
typedef pthread_rwlock_t hrwlock_t;
#define hrwlock_init(lock)     pthread_rwlock_init(lock, NULL)
#define hrwlock_destroy(lock)  pthread_rwlock_destroy(lock)
#define hrwlock_rdlock(lock)   pthread_rwlock_rdlock(lock)
#define hrwlock_rdunlock(lock) pthread_rwlock_unlock(lock)
#define hrwlock_wrlock(lock)   pthread_rwlock_wrlock(lock)
#define hrwlock_wrunlock(lock) pthread_rwlock_unlock(lock)

typedef pthread_spinlock_t hspinlock_t;
#define hspinlock_init(lock)    pthread_spin_init(lock, PTHREAD_PROCESS_PRIVATE)
#define hspinlock_destroy(lock) pthread_spin_destroy(lock)
#define hspinlock_lock(lock)    pthread_spin_lock(lock)
#define hspinlock_unlock(lock)  pthread_spin_unlock(lock)
#endif

typedef pthread_cond_t hcondvar_t;
/* The timed wait counts on the monotonic clock, so init is not pthread's own. */
HV_EXPORT int hcondvar_init(hcondvar_t *cond);
#define hcondvar_destroy(cond)     pthread_cond_destroy(cond)
#define hcondvar_wait(cond, mutex) pthread_cond_wait(cond, mutex)
#define hcondvar_signal(cond)      pthread_cond_signal(cond)
#define hcondvar_broadcast(cond)   pthread_cond_broadcast(cond)
/* Waits at most `ms` milliseconds. Returns 1 where it was woken (perhaps for nothing: check the
 * condition), 0 where time ran out. The mutex is held again in either case. */
HV_EXPORT int hcondvar_wait_for(hcondvar_t *cond, hmutex_t *mutex, unsigned int ms);

/* Calls a function once in the life of the process. */
typedef pthread_once_t honce_t;
#define HONCE_INIT      PTHREAD_ONCE_INIT
#define honce(once, fn) pthread_once(once, fn)

typedef sem_t hsem_t;
#define hsem_init(sem, value) sem_init(sem, 0, value)
#define hsem_destroy(sem)     sem_destroy(sem)
#define hsem_post(sem)        sem_post(sem)
/* Waits, also across signals. Returns 0. */
HV_EXPORT int hsem_wait(hsem_t *sem);
/* Waits at most `ms` milliseconds. Returns 1 where it was posted, 0 where time ran out. */
HV_EXPORT int hsem_wait_for(hsem_t *sem, unsigned int ms);

HV_END_DECLS

#endif
