/* hnest.c - loops within loops. The outer loop watches the inner one's descriptor and asks before
 * each wait how long the inner may sleep, so whatever is begun in the inner loop, by whomever, is
 * seen without anybody telling. The inner loop gets a pass at the end of the outer one's, where its
 * descriptor was ready or something in it is due; it never sleeps itself. */
#include "hloop_int.h"

/* The descriptor of a loop that is nested is ready; its pass comes later in this one. */
static void on_inner_ready(hevent_t *ev) {
    hloop_t *inner = ev->userdata;
    inner->nest_is_ready = 1;
}

int hloop_nest(hloop_t *outer, hloop_t *inner) {
    if (inner == outer || inner->outer != NULL || inner->is_running) return HV_EINVAL;
    for (const hloop_t *at = outer; at != NULL; at = at->outer) {
        if (at == inner) return HV_EINVAL;
    }
    int fd = hloop_backend_fd(inner);
    if (fd < 0 || hv__loop_is_ending(outer)) return HV_EINVAL;
    hv__watcher_t *watcher = &inner->nest_watcher;
    *watcher = (hv__watcher_t){.fd = fd};
    hv__event_init(outer, &watcher->node.ev, HEVENT_TYPE_IO, on_inner_ready);
    watcher->node.ev.flags |= HEVENT_FLAG_INTERNAL;
    watcher->node.ev.userdata = inner;
    int code = hv__watcher_add(outer, watcher);
    if (code != 0) return code;
    code = hv__watcher_set(watcher, HPOLL_READ);
    if (code != 0) {
        hv__watcher_remove(watcher, 0);
        return code;
    }
    inner->outer = outer;
    inner->nest_is_ready = 1; /* it may hold events already */
    inner->next_nested = NULL;
    hloop_t **last = &outer->nested;
    while (*last != NULL) last = &(*last)->next_nested;
    *last = inner;
    return 0;
}

void hloop_unnest(hloop_t *inner) {
    hloop_t *outer = inner->outer;
    if (outer == NULL) return;
    hloop_t **link = &outer->nested;
    while (*link != inner) link = &(*link)->next_nested;
    *link = inner->next_nested;
    if (outer->nested_cursor == inner) outer->nested_cursor = inner->next_nested;
    hv__unpend(outer, &inner->nest_watcher.node);
    hv__watcher_remove(&inner->nest_watcher, 1);
    inner->outer = NULL;
    inner->next_nested = NULL;
}

void hv__nested_close(hloop_t *loop) {
    hloop_unnest(loop);
    while (loop->nested != NULL) hloop_unnest(loop->nested);
}

int hv__nested_run(hloop_t *loop) {
    int called = 0;
    for (hloop_t *inner = loop->nested; inner != NULL; inner = loop->nested_cursor) {
        loop->nested_cursor = inner->next_nested;
        int is_due = inner->nest_is_ready || hv__loop_wait_us(inner) == 0;
        inner->nest_is_ready = 0;
        if (is_due && !atomic_load(&inner->stop_is_wanted)) {
            int count = hloop_process_events(inner, 0);
            if (count > 0) called += count;
        }
        if (atomic_exchange(&inner->stop_is_wanted, 0)) hloop_unnest(inner);
    }
    loop->nested_cursor = NULL;
    return called;
}
