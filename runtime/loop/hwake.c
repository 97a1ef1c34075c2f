/* hwake.c - the door for other threads: an eventfd that ends the wait, and a queue of posted
 * events under a mutex. The loop's own thread posts through the same queue without a system call,
 * because the loop looks at posted_count before it sleeps. */
#include <errno.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "hloop_int.h"
#include "hmem.h"

static void on_wake(hevent_t *ev) {
    hv__watcher_t *watcher = (hv__watcher_t *)ev;
    uint64_t count;
    while (read(watcher->fd, &count, sizeof count) < 0 && errno == EINTR) continue;
    pthread_mutex_lock(&ev->loop->post_lock);
    ev->loop->wake_is_sent = 0;
    pthread_mutex_unlock(&ev->loop->post_lock);
}

int hv__wake_open(hloop_t *loop) {
    int fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (fd < 0) return -errno;
    hv__watcher_t *watcher = &loop->wake_watcher;
    hv__event_init(loop, &watcher->node.ev, HEVENT_TYPE_IO, on_wake);
    watcher->node.ev.flags |= HEVENT_FLAG_INTERNAL;
    watcher->node.ev.priority = HEVENT_HIGHEST_PRIORITY;
    watcher->fd = fd;
    int code = hv__watcher_add(loop, watcher);
    if (code == 0) code = hv__watcher_set(watcher, HPOLL_READ);
    if (code != 0) {
        if (hv__watcher_find(loop, fd) == watcher) hv__watcher_remove(watcher, 0);
        close(fd);
        watcher->fd = -1;
    }
    return code;
}

void hv__wake_close(hloop_t *loop) {
    pthread_mutex_lock(&loop->post_lock);
    loop->is_closed = 1;
    hv__node_t *node = loop->posted.first;
    loop->posted.first = loop->posted.last = NULL;
    pthread_mutex_unlock(&loop->post_lock);
    while (node != NULL) {
        hv__node_t *next = node->next;
        hv__posted_t *posted = (hv__posted_t *)node;
        hv__free(posted->owned);
        if (!posted->is_kept) hv__free(posted);
        node = next;
    }
    if (loop->wake_watcher.fd >= 0) {
        hv__watcher_remove(&loop->wake_watcher, 0);
        close(loop->wake_watcher.fd);
        loop->wake_watcher.fd = -1;
    }
}

/* Called with post_lock held. */
static void send_wake(hloop_t *loop) {
    if (loop->wake_is_sent || loop->is_closed) return;
    loop->wake_is_sent = 1;
    uint64_t one = 1;
    while (write(loop->wake_watcher.fd, &one, sizeof one) < 0 && errno == EINTR) continue;
}

int hloop_wakeup(hloop_t *loop) {
    pthread_mutex_lock(&loop->post_lock);
    send_wake(loop);
    pthread_mutex_unlock(&loop->post_lock);
    return 0;
}

int hloop_post_event(hloop_t *loop, hevent_t *ev) { return hv__post_owned(loop, ev, NULL); }

/* Returns 0 or HV_ECLOSED. */
static int enqueue(hloop_t *loop, hv__posted_t *posted) {
    posted->node.ev.loop = loop;
    posted->node.ev.event_type = HEVENT_TYPE_CUSTOM;
    posted->node.ev.flags = HEVENT_FLAG_INTERNAL;
    posted->node.next = NULL;
    pthread_mutex_lock(&loop->post_lock);
    if (loop->is_closed) {
        pthread_mutex_unlock(&loop->post_lock);
        return HV_ECLOSED;
    }
    if (loop->posted.last != NULL) {
        loop->posted.last->next = &posted->node;
    } else {
        loop->posted.first = &posted->node;
    }
    loop->posted.last = &posted->node;
    /* Count first, then look whose the loop is: another thread may be about to run it. */
    atomic_fetch_add(&loop->posted_count, 1);
    if (!hv__loop_is_mine(loop)) send_wake(loop);
    pthread_mutex_unlock(&loop->post_lock);
    return 0;
}

int hv__post_owned(hloop_t *loop, const hevent_t *ev, void *owned) {
    hv__posted_t *posted = hv__malloc(sizeof *posted);
    if (posted == NULL) return HV_ENOMEM;
    posted->node.ev = *ev;
    posted->owned = owned;
    posted->is_kept = 0;
    int code = enqueue(loop, posted);
    if (code != 0) hv__free(posted);
    return code;
}

int hv__post_kept(hloop_t *loop, hv__posted_t *posted, hevent_cb cb, void *userdata) {
    *posted = (hv__posted_t){.node.ev = {.cb = cb, .userdata = userdata}, .is_kept = 1};
    return enqueue(loop, posted);
}

void hv__unpost_kept(hloop_t *loop, hv__posted_t *posted) {
    hv__node_t *before = NULL;
    pthread_mutex_lock(&loop->post_lock);
    hv__node_t *node = loop->posted.first;
    for (; node != NULL && node != &posted->node; node = node->next) before = node;
    if (node != NULL) {
        if (before != NULL) before->next = node->next;
        if (loop->posted.first == node) loop->posted.first = node->next;
        if (loop->posted.last == node) loop->posted.last = before;
    }
    pthread_mutex_unlock(&loop->post_lock);
}

void hv__posted_collect(hloop_t *loop) {
    if (atomic_load_explicit(&loop->posted_count, memory_order_acquire) == 0) return;
    pthread_mutex_lock(&loop->post_lock);
    hv__node_t *node = loop->posted.first;
    loop->posted.first = loop->posted.last = NULL;
    atomic_store_explicit(&loop->posted_count, 0, memory_order_relaxed);
    pthread_mutex_unlock(&loop->post_lock);
    while (node != NULL) {
        hv__node_t *next = node->next;
        if (node->ev.event_id == 0) node->ev.event_id = loop->next_event_id++;
        hv__pend(loop, node);
        node = next;
    }
}
