/* hdispatch.c - calls what is due. No other file of this room calls a function of the user's, and
 * no API function calls into this file; that is how a callback never runs inside an API call. */
#include "hloop_int.h"
#include "hmem.h"

int hv__loop_in_api(const hloop_t *loop) { return loop->in_api; }

void hv__pend(hloop_t *loop, hv__node_t *node) {
    HV_DASSERT(!(node->ev.flags & HEVENT_FLAG_PENDING));
    int priority = node->ev.priority;
    if (priority < HEVENT_LOWEST_PRIORITY) priority = HEVENT_LOWEST_PRIORITY;
    if (priority > HEVENT_HIGHEST_PRIORITY) priority = HEVENT_HIGHEST_PRIORITY;
    unsigned index = (unsigned)(priority - HEVENT_LOWEST_PRIORITY);
    hv__list_t *list = &loop->pending[index];
    node->ev.flags |= HEVENT_FLAG_PENDING;
    node->next = NULL;
    if (list->last != NULL) {
        list->last->next = node;
    } else {
        list->first = node;
        loop->pending_mask |= 1u << index;
    }
    list->last = node;
}

/* The first of the highest priority, or NULL. */
static hv__node_t *take_pending(hloop_t *loop) {
    if (loop->pending_mask == 0) return NULL;
    unsigned index = 31u - (unsigned)__builtin_clz(loop->pending_mask);
    hv__list_t *list = &loop->pending[index];
    hv__node_t *node = list->first;
    list->first = node->next;
    if (list->first == NULL) {
        list->last = NULL;
        loop->pending_mask &= ~(1u << index);
    }
    node->ev.flags &= (uint8_t)~HEVENT_FLAG_PENDING;
    node->next = NULL;
    return node;
}

static int call_timer(htimer_t *timer) {
    if (timer->node.ev.flags & HEVENT_FLAG_DEAD) {
        hv__timer_release(timer);
        return 0;
    }
    int is_called = hv__timer_before_call(timer);
    if (is_called) {
        hloop_t *loop = timer->node.ev.loop;
        timer->node.ev.flags |= HEVENT_FLAG_CALLING;
        HV_DISPATCH(loop, timer->node.ev.cb(&timer->node.ev));
        timer->node.ev.flags &= (uint8_t)~HEVENT_FLAG_CALLING;
        hv__timer_called(timer);
    }
    return is_called;
}

static int call_posted(hv__node_t *node) {
    hevent_t *ev = &node->ev;
    if (ev->cb != NULL) HV_DISPATCH(ev->loop, ev->cb(ev));
    hv__free(node);
    return 1;
}

static int call_node(hv__node_t *node) {
    switch (node->ev.event_type) {
    case HEVENT_TYPE_IO:
        HV_DISPATCH(node->ev.loop, node->ev.cb(&node->ev));
        return 1;
    case HEVENT_TYPE_TIMER:
    case HEVENT_TYPE_PERIOD: return call_timer((htimer_t *)node);
    case HEVENT_TYPE_CUSTOM: return call_posted(node);
    default: HV_UNREACHABLE();
    }
}

int hv__dispatch_pending(hloop_t *loop) {
    int count = 0;
    for (hv__node_t *node; (node = take_pending(loop)) != NULL;) count += call_node(node);
    return count;
}

void hv__defer(hloop_t *loop, hv__defer_t *work, void (*run)(hv__defer_t *self)) {
    if (work->run != NULL) return;
    work->run = run;
    work->next = NULL;
    if (loop->defer_last != NULL) {
        loop->defer_last->next = work;
    } else {
        loop->defer_first = work;
    }
    loop->defer_last = work;
}

void hv__defer_cancel(hloop_t *loop, hv__defer_t *work) {
    if (work->run == NULL) return;
    hv__defer_t *before = NULL;
    for (hv__defer_t *at = loop->defer_first; at != NULL; before = at, at = at->next) {
        if (at != work) continue;
        if (before != NULL) {
            before->next = work->next;
        } else {
            loop->defer_first = work->next;
        }
        if (loop->defer_last == work) loop->defer_last = before;
        break;
    }
    work->run = NULL;
    work->next = NULL;
}

int hv__dispatch_deferred(hloop_t *loop) {
    int count = 0;
    /* A mark at the end: what is put off from now on belongs to the next pass. */
    hv__defer_t *last = loop->defer_last;
    while (loop->defer_first != NULL) {
        hv__defer_t *work = loop->defer_first;
        int is_last = work == last;
        loop->defer_first = work->next;
        if (loop->defer_first == NULL) loop->defer_last = NULL;
        void (*run)(hv__defer_t *) = work->run;
        work->run = NULL;
        work->next = NULL;
        run(work);
        count++;
        if (is_last) break;
    }
    return count;
}

int hv__dispatch_idles(hloop_t *loop) {
    int count = 0;
    hidle_t *last = loop->idles_last;
    for (hidle_t *idle = loop->idles; idle != NULL; idle = loop->idle_cursor) {
        int is_last = idle == last;
        loop->idle_cursor = idle->next_idle;
        idle->node.ev.flags |= HEVENT_FLAG_CALLING;
        HV_DISPATCH(loop, idle->node.ev.cb(&idle->node.ev));
        idle->node.ev.flags &= (uint8_t)~HEVENT_FLAG_CALLING;
        count++;
        hv__idle_called(idle);
        if (is_last) break;
    }
    loop->idle_cursor = NULL;
    return count;
}
