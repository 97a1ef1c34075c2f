/* hthread.c - threads. The thread's number is kept in a thread-local variable, which a fork would
 * leave with the number of the parent's thread: a handler run in the child clears it there. */
#include "hthread.h"

#include <sys/syscall.h>

static _Thread_local long cached_tid;
static pthread_once_t at_fork_once = PTHREAD_ONCE_INIT;

hthread_t hthread_create(hthread_routine fn, void *userdata) {
    pthread_t thread;
    int error = pthread_create(&thread, NULL, fn, userdata);
    if (error != 0) {
        errno = error;
        return 0;
    }
    return thread;
}

int hthread_join(hthread_t thread) {
    return -pthread_join(thread, NULL);
}

int hthread_detach(hthread_t thread) {
    return -pthread_detach(thread);
}

long hv_getpid(void) {
    return getpid();
}

static void forget_tid(void) {
    cached_tid = 0;
}

static void watch_forks(void) {
    pthread_atfork(NULL, NULL, forget_tid);
}

long hv_gettid(void) {
    if (cached_tid == 0) {
        pthread_once(&at_fork_once, watch_forks);
        cached_tid = syscall(SYS_gettid);
    }
    return cached_tid;
}
