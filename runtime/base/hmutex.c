/* hmutex.c - the locks that need more than one call of pthread's. Every deadline is one of the
 * monotonic clock: a step of the wall clock neither shortens nor stretches a wait. */
#include "hmutex.h"

#include "hassert.h"

static struct timespec deadline_in(unsigned int ms) {
    struct timespec until;
    int failed = clock_gettime(CLOCK_MONOTONIC, &until);
    HV_ASSERT(failed == 0);
    until.tv_sec += ms / 1000;
    until.tv_nsec += (long)(ms % 1000) * 1000000;
    if (until.tv_nsec >= 1000000000) {
        until.tv_nsec -= 1000000000;
        until.tv_sec++;
    }
    return until;
}

int hrecursive_mutex_init(hrecursive_mutex_t *mutex) {
    pthread_mutexattr_t attributes;
    int error = pthread_mutexattr_init(&attributes);
    if (error != 0) return error;
    error = pthread_mutexattr_settype(&attributes, PTHREAD_MUTEX_RECURSIVE);
    if (error == 0) error = pthread_mutex_init(mutex, &attributes);
    pthread_mutexattr_destroy(&attributes);
    return error;
}

int htimed_mutex_lock_for(htimed_mutex_t *mutex, unsigned int ms) {
    struct timespec until = deadline_in(ms);
    return pthread_mutex_clocklock(mutex, CLOCK_MONOTONIC, &until) == 0;
}

int hcondvar_init(hcondvar_t *cond) {
    pthread_condattr_t attributes;
    int error = pthread_condattr_init(&attributes);
    if (error != 0) return error;
    error = pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    if (error == 0) error = pthread_cond_init(cond, &attributes);
    pthread_condattr_destroy(&attributes);
    return error;
}

int hcondvar_wait_for(hcondvar_t *cond, hmutex_t *mutex, unsigned int ms) {
    /* Named here again, so that a condition made by pthread_cond_init works as well. */
    struct timespec until = deadline_in(ms);
    return pthread_cond_clockwait(cond, mutex, CLOCK_MONOTONIC, &until) == 0;
}

int hsem_wait(hsem_t *sem) {
    int failed;
    do {
        failed = sem_wait(sem);
    } while (failed != 0 && errno == EINTR);
    return failed == 0 ? 0 : errno;
}

int hsem_wait_for(hsem_t *sem, unsigned int ms) {
    struct timespec until = deadline_in(ms);
    int failed;
    do {
        failed = sem_clockwait(sem, CLOCK_MONOTONIC, &until);
    } while (failed != 0 && errno == EINTR);
    return failed == 0;
}
