/* hloop.c - the loop: its life, its pass, its clock, and the table of watchers by descriptor. */
#include "hloop_int.h"

#include <errno.h>
#include <poll.h>
#include <sys/syscall.h>

#include "hclock.h"
#include "hhostile.h"
#include "hmem.h"

#define TIMERS_PER_CHUNK 1024

/* Its address is the identity of a thread. */
static _Thread_local char thread_mark;

/* ---- Life ---- */

static void ignore_sigpipe(void) {
    struct sigaction action;
    if (sigaction(SIGPIPE, NULL, &action) == 0 && action.sa_handler == SIG_DFL) {
        action.sa_handler = SIG_IGN;
        sigaction(SIGPIPE, &action, NULL);
    }
}

/* In the order of all stores and loads of `thread`, `stop_is_wanted` and `posted_count`: whoever
 * stops or posts and still sees himself as the owner is seen by the new owner before it sleeps. */
static void adopt_thread(hloop_t *loop) {
    atomic_store(&loop->thread, &thread_mark);
    atomic_store_explicit(&loop->tid, (long)syscall(SYS_gettid), memory_order_relaxed);
    for (hloop_t *inner = loop->nested; inner != NULL; inner = inner->next_nested) {
        adopt_thread(inner);
    }
}

hloop_t *hloop_new(int flags) { return hloop_new_with_backend(flags, NULL); }

hloop_t *hloop_new_with_backend(int flags, const char *backend_name) {
    const hpoll_backend_t *backend = hpoll_find(backend_name);
    if (backend == NULL) {
        errno = ENOSYS;
        return NULL;
    }
    hloop_t *loop = hv__calloc(1, sizeof *loop);
    if (loop == NULL) {
        errno = ENOMEM;
        return NULL;
    }
    ignore_sigpipe();
    loop->flags = flags;
    loop->backend = backend;
    loop->pid = (long)getpid();
    loop->start_us = loop->now_us = hclock_mono_us();
    loop->signal_watcher.fd = loop->wake_watcher.fd = -1;
    sigemptyset(&loop->signals_watched);
    sigemptyset(&loop->signals_blocked_before);
    loop->next_event_id = 1;
    adopt_thread(loop);
    hwheel_init(&loop->wheel, loop->now_us / 1000);
    hslab_init(&loop->timer_slab, sizeof(htimer_t), TIMERS_PER_CHUNK);
    pthread_mutex_init(&loop->post_lock, NULL);
    int code = backend->open(&loop->poll);
    if (code == 0) code = hv__wake_open(loop);
    if (code != 0) {
        hloop_free(&loop);
        errno = -code;
        return NULL;
    }
    return loop;
}

/* None is added meanwhile, see hv__guest_add. */
static void close_guests(hloop_t *loop) {
    for (hv__guest_t *guest = loop->guests; guest != NULL; guest = guest->next) {
        if (guest->kind->close != NULL) guest->kind->close(guest);
    }
}

static void free_guests(hloop_t *loop) {
    while (loop->guests != NULL) {
        hv__guest_t *guest = loop->guests;
        loop->guests = guest->next;
        guest->kind->free(guest);
    }
}

void hloop_free(hloop_t **loop_ptr) {
    if (loop_ptr == NULL || *loop_ptr == NULL) return;
    hloop_t *loop = *loop_ptr;
    HV_ASSERT(!loop->is_running);
    HV_ASSERT(atomic_load(&loop->status) != HLOOP_STATUS_DESTROY); /* not in its own callbacks */
    atomic_store(&loop->status, HLOOP_STATUS_DESTROY);
    hv__nested_close(loop);
    adopt_thread(loop);
    close_guests(loop);
    if (loop->net_hooks != NULL) loop->net_hooks->close_all(loop);
    hv__idles_close(loop);
    hv__signals_close(loop);
    hv__timers_close(loop);
    free_guests(loop);
    hv__wake_close(loop);
    if (loop->poll != NULL) loop->backend->close(loop->poll);
    pthread_mutex_destroy(&loop->post_lock);
    hv__free(loop->watchers);
    hv__free(loop);
    *loop_ptr = NULL; /* close callbacks may still have used it */
}

/* ---- Guests ---- */

void hv__guest_add(hloop_t *loop, hv__guest_t *guest, const hv__guest_kind_t *kind) {
    HV_ASSERT(!hv__loop_is_ending(loop));
    guest->kind = kind;
    guest->next = loop->guests;
    loop->guests = guest;
}

hv__guest_t *hv__guest_find(const hloop_t *loop, const hv__guest_kind_t *kind) {
    hv__guest_t *guest = loop->guests;
    while (guest != NULL && guest->kind != kind) guest = guest->next;
    return guest;
}

int hv__loop_is_ending(const hloop_t *loop) {
    return atomic_load(&loop->status) == HLOOP_STATUS_DESTROY;
}

/* ---- Watchers ---- */

uint32_t hv__watcher_new_tag(void) {
    static _Atomic uint32_t last_tag;
    uint32_t tag;
    do {
        tag = atomic_fetch_add_explicit(&last_tag, 1, memory_order_relaxed) + 1;
    } while (tag == 0);
    return tag;
}

int hv__watcher_add(hloop_t *loop, hv__watcher_t *watcher) {
    int fd = watcher->fd;
    if (fd >= loop->watcher_cap) {
        int cap = loop->watcher_cap ? loop->watcher_cap : 64;
        while (cap <= fd) cap *= 2;
        hv__watcher_t **grown = hv__realloc(loop->watchers, (size_t)cap * sizeof *grown);
        if (grown == NULL) return HV_ENOMEM;
        memset(grown + loop->watcher_cap, 0, (size_t)(cap - loop->watcher_cap) * sizeof *grown);
        loop->watchers = grown;
        loop->watcher_cap = cap;
    }
    HV_ASSERT(loop->watchers[fd] == NULL);
    if (watcher->tag == 0) watcher->tag = hv__watcher_new_tag();
    loop->watchers[fd] = watcher;
    watcher->interest = watcher->ready = 0;
    return 0;
}

int hv__watcher_set(hv__watcher_t *watcher, unsigned interest) {
    if (watcher->interest == interest) return 0;
    hloop_t *loop = watcher->node.ev.loop;
    int code = loop->backend->set(loop->poll, watcher->fd, watcher->tag,
                                  watcher->interest, interest);
    if (code == 0) watcher->interest = (uint8_t)interest;
    return code;
}

void hv__watcher_remove(hv__watcher_t *watcher, int descriptor_stays_open) {
    hloop_t *loop = watcher->node.ev.loop;
    HV_DASSERT(hv__watcher_find(loop, watcher->fd) == watcher);
    if (descriptor_stays_open) hv__watcher_set(watcher, 0);
    watcher->interest = 0;
    loop->watchers[watcher->fd] = NULL;
}

hv__watcher_t *hv__watcher_find(const hloop_t *loop, int fd) {
    return fd >= 0 && fd < loop->watcher_cap ? loop->watchers[fd] : NULL;
}

/* Another process still holds a descriptor that we have closed, so its events go on under a tag
 * that is nobody's. Only a new set is rid of them. */
static void start_over(hloop_t *loop) {
    loop->must_reset = 0;
    int code = loop->backend->reset(loop->poll);
    if (code != 0) {
        loop->last_error = code;
        return;
    }
    for (int fd = 0; fd < loop->watcher_cap; fd++) {
        hv__watcher_t *watcher = loop->watchers[fd];
        if (watcher == NULL || watcher->interest == 0) continue;
        unsigned interest = watcher->interest;
        watcher->interest = 0;
        code = hv__watcher_set(watcher, interest);
        if (code == 0) continue;
        /* No memory in the kernel: it is tried again after the next pass. */
        watcher->interest = (uint8_t)interest;
        loop->last_error = code;
        loop->must_reset = 1;
    }
}

/* ---- The pass ---- */

int hv__loop_is_mine(const hloop_t *loop) {
    return atomic_load(&loop->thread) == &thread_mark;
}

int64_t hv__loop_wait_us(hloop_t *loop) {
    if (loop->deferred.first != NULL || loop->idles != NULL) return 0;
    if (atomic_load(&loop->posted_count) > 0) return 0;
    if (loop->net_hooks != NULL && loop->net_hooks->has_work(loop)) return 0;
    int64_t us = hv__timers_wait_us(loop);
    for (hloop_t *inner = loop->nested; inner != NULL; inner = inner->next_nested) {
        int64_t inner_us = inner->nest_is_ready ? 0 : hv__loop_wait_us(inner);
        if (inner_us >= 0 && (us < 0 || inner_us < us)) us = inner_us;
    }
    return us;
}

#ifdef HV_HOSTILE
/* The kernel promises no order among descriptors. */
static void shuffle_events(hpoll_event_t *events, int count) {
    for (int i = count - 1; i > 0; i--) {
        uint32_t j = hv__hostile_random((uint32_t)i + 1);
        hpoll_event_t kept = events[i];
        events[i] = events[j];
        events[j] = kept;
    }
}
#endif

static void collect_ready(hloop_t *loop, int count) {
#ifdef HV_HOSTILE
    shuffle_events(loop->events, count);
#endif
    for (int i = 0; i < count; i++) {
        const hpoll_event_t *event = &loop->events[i];
        hv__watcher_t *watcher = hv__watcher_find(loop, event->fd);
        if (watcher == NULL || watcher->tag != event->tag) {
            loop->must_reset = 1;
            continue;
        }
        watcher->ready |= (uint8_t)event->events;
        if (!(watcher->node.ev.flags & HEVENT_FLAG_PENDING)) hv__pend(loop, &watcher->node);
    }
}

/* One pass that waits at most `timeout_us`. Returns the number of callbacks, or a negative code. */
static int run_pass(hloop_t *loop, int64_t timeout_us) {
    int64_t own_us = hv__loop_wait_us(loop);
    if (own_us >= 0 && (timeout_us < 0 || own_us < timeout_us)) timeout_us = own_us;
    int count = loop->backend->wait(loop->poll, loop->events, EVENTS_PER_PASS, timeout_us);
    hloop_update_time(loop);
    loop->pass_count++;
    if (count < 0) return loop->last_error = count;
    /* Paused while it slept: what is due stays with the kernel and the wheel. */
    if (atomic_load(&loop->status) == HLOOP_STATUS_PAUSE) return 0;
    hv__timers_collect(loop);
    collect_ready(loop, count);
    hv__posted_collect(loop);
    int called = hv__dispatch_pending(loop);
    called += hv__dispatch_deferred(loop);
    if (loop->nested != NULL) called += hv__nested_run(loop);
    if (called == 0 && loop->idles != NULL) called = hv__dispatch_idles(loop);
    if (loop->net_hooks != NULL) called += loop->net_hooks->end_of_pass(loop);
    if (called > 0 && loop->on_pass != NULL) hv__dispatch_pass_end(loop);
    if (loop->must_reset) start_over(loop);
    return called;
}

int hloop_process_events(hloop_t *loop, int timeout_ms) {
    if (loop->is_running) return HV_EBUSY;
    if (!hv__loop_is_mine(loop)) adopt_thread(loop);
    loop->is_running = 1;
    int called = run_pass(loop, timeout_ms == (int)INFINITE ? -1 : (int64_t)timeout_ms * 1000);
    loop->is_running = 0;
    return called;
}

/* Sleeps on the wake-up descriptor alone until the pause is over. */
static void sleep_while_paused(hloop_t *loop) {
    while (atomic_load(&loop->status) == HLOOP_STATUS_PAUSE) {
        struct pollfd wake = {.fd = loop->wake_watcher.fd, .events = POLLIN};
        poll(&wake, 1, -1);
        if (atomic_load(&loop->status) == HLOOP_STATUS_PAUSE) {
            loop->wake_watcher.node.ev.cb(&loop->wake_watcher.node.ev);
        }
    }
}

static int has_nothing_to_do(const hloop_t *loop) {
    for (const hloop_t *inner = loop->nested; inner != NULL; inner = inner->next_nested) {
        if (!has_nothing_to_do(inner)) return 0;
    }
    return loop->active_count == 0 && loop->deferred.first == NULL &&
           atomic_load(&loop->posted_count) == 0 &&
           (loop->net_hooks == NULL || !loop->net_hooks->has_work(loop));
}

int hloop_run(hloop_t *loop) {
    if (loop == NULL || loop->is_running) return -1;
    adopt_thread(loop);
    loop->is_running = 1;
    atomic_store(&loop->status, HLOOP_STATUS_RUNNING);
    int code = 0;
    while (!atomic_load(&loop->stop_is_wanted)) {
        if (atomic_load(&loop->status) == HLOOP_STATUS_PAUSE) {
            sleep_while_paused(loop);
            continue;
        }
        if (loop->flags & HLOOP_FLAG_QUIT_WHEN_NO_ACTIVE_EVENTS && has_nothing_to_do(loop)) break;
        if (run_pass(loop, -1) < 0) {
            code = -1;
            break;
        }
        if (loop->flags & HLOOP_FLAG_RUN_ONCE) break;
    }
    loop->is_running = 0;
    atomic_store(&loop->stop_is_wanted, 0);
    atomic_store(&loop->status, HLOOP_STATUS_STOP);
    if (loop->flags & HLOOP_FLAG_AUTO_FREE) hloop_free(&loop);
    return code;
}

int hloop_stop(hloop_t *loop) {
    atomic_store(&loop->stop_is_wanted, 1);
    atomic_store(&loop->status, HLOOP_STATUS_STOP);
    if (!hv__loop_is_mine(loop)) hloop_wakeup(loop);
    return 0;
}

int hloop_pause(hloop_t *loop) {
    int running = HLOOP_STATUS_RUNNING;
    atomic_compare_exchange_strong(&loop->status, &running, HLOOP_STATUS_PAUSE);
    return 0;
}

int hloop_resume(hloop_t *loop) {
    int paused = HLOOP_STATUS_PAUSE;
    if (atomic_compare_exchange_strong(&loop->status, &paused, HLOOP_STATUS_RUNNING)) {
        hloop_wakeup(loop);
    }
    return 0;
}

hloop_status_e hloop_status(hloop_t *loop) {
    return (hloop_status_e)atomic_load(&loop->status);
}

int hloop_last_error(const hloop_t *loop) { return loop->last_error; }

/* ---- Foreign loops ---- */

int hloop_backend_fd(const hloop_t *loop) { return loop->backend->backend_fd(loop->poll); }

int hloop_next_timeout(hloop_t *loop) {
    int64_t us = hv__loop_wait_us(loop);
    if (us < 0) return -1;
    int64_t ms = (us + 999) / 1000;
    return ms > INT32_MAX ? INT32_MAX : (int)ms;
}

/* ---- Time ---- */

void hloop_update_time(hloop_t *loop) {
    loop->now_us = hclock_mono_us();
    loop->wall_us = 0;
}

uint64_t hloop_now_us(hloop_t *loop) {
    if (loop->wall_us == 0) loop->wall_us = hclock_wall_us();
    return loop->wall_us;
}

uint64_t hloop_now_ms(hloop_t *loop) { return hloop_now_us(loop) / 1000; }

uint64_t hloop_now(hloop_t *loop) { return hloop_now_us(loop) / 1000000; }

uint64_t hloop_now_hrtime(hloop_t *loop) { return loop->now_us; }

uint32_t hv__loop_stamp_ms(const hloop_t *loop) {
    return (uint32_t)((loop->now_us - loop->start_us) / 1000);
}

/* ---- Facts ---- */

long hloop_pid(hloop_t *loop) { return loop->pid; }
long hloop_tid(hloop_t *loop) { return atomic_load(&loop->tid); }
uint64_t hloop_count(hloop_t *loop) { return loop->pass_count; }
uint32_t hloop_nios(hloop_t *loop) { return loop->io_count; }
uint32_t hloop_ntimers(hloop_t *loop) { return loop->timer_count; }
uint32_t hloop_nidles(hloop_t *loop) { return loop->idle_count; }
uint32_t hloop_nactives(hloop_t *loop) { return loop->active_count; }
const char *hloop_backend_name(const hloop_t *loop) { return loop->backend->name; }
void hloop_set_userdata(hloop_t *loop, void *userdata) { loop->userdata = userdata; }
void *hloop_userdata(hloop_t *loop) { return loop->userdata; }
void hloop_setcb_pass(hloop_t *loop, hpass_cb on_pass) { loop->on_pass = on_pass; }

/* ---- Handles ---- */

void hv__event_init(hloop_t *loop, hevent_t *ev, hevent_type_e type, hevent_cb cb) {
    *ev = (hevent_t){.loop = loop, .cb = cb, .event_type = (uint16_t)type};
    ev->event_id = loop->next_event_id++;
    if (loop->next_event_id == 0) loop->next_event_id = 1; /* 0 is none */
}

#define DOES_NOT_COUNT (HEVENT_FLAG_UNREF | HEVENT_FLAG_INTERNAL)

void hv__event_activate(hevent_t *ev) {
    if (ev->flags & HEVENT_FLAG_ACTIVE) return;
    ev->flags |= HEVENT_FLAG_ACTIVE;
    if (!(ev->flags & DOES_NOT_COUNT)) ev->loop->active_count++;
}

void hv__event_deactivate(hevent_t *ev) {
    if (!(ev->flags & HEVENT_FLAG_ACTIVE)) return;
    ev->flags &= (uint8_t)~HEVENT_FLAG_ACTIVE;
    if (!(ev->flags & DOES_NOT_COUNT)) ev->loop->active_count--;
}

void hevent_ref_handle(hevent_t *ev) {
    if (!(ev->flags & HEVENT_FLAG_UNREF)) return;
    int was_active = ev->flags & HEVENT_FLAG_ACTIVE;
    if (was_active) hv__event_deactivate(ev);
    ev->flags &= (uint8_t)~HEVENT_FLAG_UNREF;
    if (was_active) hv__event_activate(ev);
}

void hevent_unref_handle(hevent_t *ev) {
    if (ev->flags & HEVENT_FLAG_UNREF) return;
    int was_active = ev->flags & HEVENT_FLAG_ACTIVE;
    if (was_active) hv__event_deactivate(ev);
    ev->flags |= HEVENT_FLAG_UNREF;
    if (was_active) hv__event_activate(ev);
}
