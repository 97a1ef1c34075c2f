/* hpool.c - a queue, threads that take from it, and a list of what they have done.
 *
 *     IDLE -> QUEUED -> RUNNING -> DONE -> IDLE (done(work, 0) is being called)
 *                 \---- cancel ----^             (done(work, HV_ECANCELED))
 *
 * Both lists stand under one mutex. The way back to the loop is an eventfd of the pool's own and
 * not a posted event, because posting allocates: a result must not get lost for lack of memory. It
 * is written once a batch: only by the one who finds the list of results empty.
 *
 * A thread is started when work is queued and no thread is free for it. Threads block every signal,
 * so that signals go on to arrive where the program waits for them, and stay until the pool is
 * freed: an idle one costs a little address space. */
#include "hpool.h"

#include <errno.h>
#include <poll.h>
#include <sys/eventfd.h>

#include "hloop_int.h"
#include "hmem.h"

#define STACK_BYTES (512 * 1024)

enum { IDLE, QUEUED, RUNNING, DONE };
enum { WAS_RUN, WAS_CANCELED };

typedef struct work_list_s {
    hpool_work_t *first;
    hpool_work_t *last;
    uint32_t count;
} work_list_t;

struct hpool_s {
    hv__watcher_t watcher; /* of the eventfd; its event keeps no loop running */
    int closing_fd;        /* readable once the pool is being freed */
    uint32_t queue_max;
    int threads_max;
    int thread_count;
    int is_closing; /* also read under `lock` by the threads */

    pthread_mutex_t lock;
    pthread_cond_t has_work;
    work_list_t queue;    /* under lock */
    work_list_t results;  /* under lock */
    work_list_t canceled; /* under lock: results of those that were never run */
    int idle_count;       /* under lock: threads that wait for work */
    int is_told;          /* under lock: the eventfd is written and not read yet */
    pthread_t threads[];
};

/* ---- Lists ---- */

static void append(work_list_t *list, hpool_work_t *work) {
    work->next = NULL;
    work->prev = list->last;
    if (list->last != NULL) {
        list->last->next = work;
    } else {
        list->first = work;
    }
    list->last = work;
    list->count++;
}

static void take(work_list_t *list, hpool_work_t *work) {
    HV_ASSERT(list->count > 0);
    if (work->prev != NULL) {
        work->prev->next = work->next;
    } else {
        list->first = work->next;
    }
    if (work->next != NULL) {
        work->next->prev = work->prev;
    } else {
        list->last = work->prev;
    }
    work->next = work->prev = NULL;
    list->count--;
}

/* ---- Threads ---- */

static void write_one(int fd) {
    uint64_t one = 1;
    while (write(fd, &one, sizeof one) < 0 && errno == EINTR) continue;
}

/* Called with the lock held. */
static void tell_loop(hpool_t *pool) {
    if (pool->is_told) return;
    pool->is_told = 1;
    write_one(pool->watcher.fd);
}

static void *thread_main(void *arg) {
    hpool_t *pool = arg;
    pthread_mutex_lock(&pool->lock);
    for (;;) {
        while (pool->queue.first == NULL && !pool->is_closing) {
            pool->idle_count++;
            pthread_cond_wait(&pool->has_work, &pool->lock);
            pool->idle_count--;
        }
        hpool_work_t *work = pool->queue.first;
        if (work == NULL) break;
        take(&pool->queue, work);
        HV_ASSERT(work->state == QUEUED);
        work->state = RUNNING;
        pthread_mutex_unlock(&pool->lock);
        work->run(work);
        pthread_mutex_lock(&pool->lock);
        work->state = DONE;
        append(&pool->results, work);
        tell_loop(pool);
    }
    pthread_mutex_unlock(&pool->lock);
    return NULL;
}

static int start_thread(hpool_t *pool) {
    pthread_attr_t attr;
    sigset_t all, before;
    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, STACK_BYTES);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int code = -pthread_create(&pool->threads[pool->thread_count], &attr, thread_main, pool);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attr);
    if (code == 0) pool->thread_count++;
    return code;
}

/* ---- Results ---- */

static int call_done(work_list_t *list, int status) {
    int count = 0;
    while (list->first != NULL) {
        hpool_work_t *work = list->first;
        take(list, work);
        HV_ASSERT(work->state == DONE);
        work->state = IDLE;
        work->done(work, status);
        count++;
    }
    return count;
}

/* Takes both lists whole: what is done while they are told waits for the next pass. */
static int tell_results(hpool_t *pool) {
    work_list_t lists[2];
    pthread_mutex_lock(&pool->lock);
    lists[WAS_RUN] = pool->results;
    lists[WAS_CANCELED] = pool->canceled;
    memset(&pool->results, 0, sizeof pool->results);
    memset(&pool->canceled, 0, sizeof pool->canceled);
    pool->is_told = 0;
    pthread_mutex_unlock(&pool->lock);
    return call_done(&lists[WAS_CANCELED], HV_ECANCELED) + call_done(&lists[WAS_RUN], 0);
}

static void on_results(hevent_t *ev) {
    hpool_t *pool = (hpool_t *)ev;
    uint64_t count;
    while (read(pool->watcher.fd, &count, sizeof count) < 0 && errno == EINTR) continue;
    tell_results(pool);
}

/* ---- Making and freeing ---- */

static int open_watcher(hpool_t *pool, hloop_t *loop) {
    hv__watcher_t *watcher = &pool->watcher;
    hv__event_init(loop, &watcher->node.ev, HEVENT_TYPE_IO, on_results);
    watcher->node.ev.flags |= HEVENT_FLAG_INTERNAL;
    watcher->fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (watcher->fd < 0) return -errno;
    int code = hv__watcher_add(loop, watcher);
    if (code != 0) {
        close(watcher->fd);
        watcher->fd = -1;
        return code;
    }
    return hv__watcher_set(watcher, HPOLL_READ);
}

static void free_pool(hpool_t *pool) {
    if (pool->watcher.fd >= 0) {
        hv__unpend(pool->watcher.node.ev.loop, &pool->watcher.node);
        hv__watcher_remove(&pool->watcher, 0);
        close(pool->watcher.fd);
    }
    if (pool->closing_fd >= 0) close(pool->closing_fd);
    pthread_cond_destroy(&pool->has_work);
    pthread_mutex_destroy(&pool->lock);
    hv__free(pool);
}

hpool_t *hpool_new(hloop_t *loop, int threads_max, uint32_t queue_max, int *code) {
    HV_ASSERT(threads_max >= 1 && threads_max <= 64);
    size_t bytes = sizeof(hpool_t) + (size_t)threads_max * sizeof(pthread_t);
    hpool_t *pool = hv__calloc(1, bytes);
    if (pool == NULL) {
        *code = HV_ENOMEM;
        return NULL;
    }
    pool->threads_max = threads_max;
    pool->queue_max = queue_max;
    pool->watcher.fd = -1;
    pthread_mutex_init(&pool->lock, NULL);
    pthread_cond_init(&pool->has_work, NULL);
    pool->closing_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    *code = pool->closing_fd < 0 ? -errno : open_watcher(pool, loop);
    if (*code != 0) {
        free_pool(pool);
        return NULL;
    }
    return pool;
}

/* Called with the lock held. */
static void cancel_locked(hpool_t *pool, hpool_work_t *work) {
    take(&pool->queue, work);
    work->state = DONE;
    append(&pool->canceled, work);
    tell_loop(pool);
}

void hpool_free(hpool_t *pool) {
    pthread_mutex_lock(&pool->lock);
    HV_ASSERT(!pool->is_closing);
    pool->is_closing = 1;
    write_one(pool->closing_fd);
    while (pool->queue.first != NULL) cancel_locked(pool, pool->queue.first);
    pthread_cond_broadcast(&pool->has_work);
    pthread_mutex_unlock(&pool->lock);
    for (int i = 0; i < pool->thread_count; i++) pthread_join(pool->threads[i], NULL);
    tell_results(pool);
    HV_ASSERT(pool->queue.first == NULL && pool->results.first == NULL);
    free_pool(pool);
}

/* ---- Work ---- */

int hpool_submit(hpool_t *pool, hpool_work_t *work, void (*run)(hpool_work_t *work),
                 void (*done)(hpool_work_t *work, int status)) {
    HV_DASSERT(hv__loop_is_mine(pool->watcher.node.ev.loop));
    HV_ASSERT(work->state == IDLE);
    int code = 0;
    pthread_mutex_lock(&pool->lock);
    if (pool->is_closing) code = HV_ECLOSED;
    if (pool->queue.count >= pool->queue_max) code = HV_ELIMIT;
    int is_thread_wanted = (uint32_t)pool->idle_count < pool->queue.count + 1;
    pthread_mutex_unlock(&pool->lock);
    if (code == 0 && is_thread_wanted && pool->thread_count < pool->threads_max) {
        code = start_thread(pool);
        if (pool->thread_count > 0) code = 0; /* the others will get to it */
    }
    if (code != 0) return code;
    work->run = run;
    work->done = done;
    work->state = QUEUED;
    pthread_mutex_lock(&pool->lock);
    append(&pool->queue, work);
    pthread_cond_signal(&pool->has_work);
    pthread_mutex_unlock(&pool->lock);
    return 0;
}

int hpool_cancel(hpool_t *pool, hpool_work_t *work) {
    int code = HV_EBUSY;
    pthread_mutex_lock(&pool->lock);
    if (work->state == QUEUED) {
        cancel_locked(pool, work);
        code = 0;
    }
    pthread_mutex_unlock(&pool->lock);
    return code;
}

int hpool_wait_ready(hpool_t *pool, int fd, bool to_write) {
    struct pollfd fds[] = {{.fd = fd, .events = to_write ? POLLOUT : POLLIN},
                           {.fd = pool->closing_fd, .events = POLLIN}};
    int count;
    do {
        count = poll(fds, ARRAY_SIZE(fds), -1);
    } while (count < 0 && errno == EINTR);
    if (count < 0) return -errno;
    return fds[0].revents == 0 ? HV_ECANCELED : 0;
}

int hpool_thread_count(const hpool_t *pool) { return pool->thread_count; }
