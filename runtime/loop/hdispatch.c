/* hdispatch.c - calls what is due. No other file of this room calls a function of the user's, and
 * no API function calls into this file; that is how a callback never runs inside an API call. */
#include "hhostile.h"
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

void hv__unpend(hloop_t *loop, hv__node_t *node) {
    if (!(node->ev.flags & HEVENT_FLAG_PENDING)) return;
    /* The priority may have been changed since it was collected: look through all of them. */
    for (unsigned index = 0; index < PRIORITY_COUNT; index++) {
        hv__list_t *list = &loop->pending[index];
        hv__node_t *before = NULL;
        for (hv__node_t *at = list->first; at != NULL; before = at, at = at->next) {
            if (at != node) continue;
            if (before != NULL) {
                before->next = node->next;
            } else {
                list->first = node->next;
            }
            if (list->last == node) list->last = before;
            if (list->first == NULL) loop->pending_mask &= ~(1u << index);
            node->ev.flags &= (uint8_t)~HEVENT_FLAG_PENDING;
            node->next = NULL;
            return;
        }
    }
    HV_UNREACHABLE();
}

#ifdef HV_HOSTILE
/* Hostile builds call equals in any order, but for posted events, whose order is promised. */
static void shuffle(hv__list_t *list) {
    hv__node_t *first = list->first, *second = first->next;
    if (second == NULL || hv__hostile_random(2) == 0) return;
    if (first->ev.event_type != HEVENT_TYPE_IO || second->ev.event_type != HEVENT_TYPE_IO) return;
    first->next = second->next;
    second->next = first;
    list->first = second;
    if (list->last == second) list->last = first;
}
#endif

/* The first of the highest priority, or NULL. */
static hv__node_t *take_pending(hloop_t *loop) {
    if (loop->pending_mask == 0) return NULL;
    unsigned index = 31u - (unsigned)__builtin_clz(loop->pending_mask);
    hv__list_t *list = &loop->pending[index];
#ifdef HV_HOSTILE
    shuffle(list);
#endif
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
    hv__posted_t *posted = (hv__posted_t *)node;
    int is_kept = posted->is_kept; /* such a one is not ours any more once it has been called */
    if (ev->cb != NULL) HV_DISPATCH(ev->loop, ev->cb(ev));
    if (is_kept) return 1;
    hv__free(posted->owned);
    hv__free(posted);
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
    hlist_push(&loop->deferred, &work->link);
}

void hv__defer_cancel(hloop_t *loop, hv__defer_t *work) {
    if (work->run == NULL) return;
    int is_found = hlist_remove(&loop->deferred, &work->link) ||
                   hlist_remove(&loop->running, &work->link);
    HV_ASSERT(is_found);
    work->run = NULL;
}

int hv__dispatch_deferred(hloop_t *loop) {
    int count = 0;
    HV_DASSERT(loop->running.first == NULL);
    /* What is put off from now on belongs to the next pass. */
    loop->running = hlist_take(&loop->deferred);
    for (hlink_t *link; (link = hlist_shift(&loop->running)) != NULL; count++) {
        hv__defer_t *work = HV_CONTAINER_OF(link, hv__defer_t, link);
        void (*run)(hv__defer_t *) = work->run;
        work->run = NULL;
        run(work);
    }
    return count;
}

int hv__dispatch_idles(hloop_t *loop) {
    int count = 0;
    for (hidle_t *idle = loop->idles; idle != NULL; idle = loop->idle_cursor) {
        /* From here on they were all added by those called before. */
        if (idle->added_in_pass == loop->pass_count) break;
        loop->idle_cursor = idle->next_idle;
        idle->node.ev.flags |= HEVENT_FLAG_CALLING;
        HV_DISPATCH(loop, idle->node.ev.cb(&idle->node.ev));
        idle->node.ev.flags &= (uint8_t)~HEVENT_FLAG_CALLING;
        count++;
        hv__idle_called(idle);
    }
    loop->idle_cursor = NULL;
    return count;
}

void hv__dispatch_pass_end(hloop_t *loop) { HV_DISPATCH(loop, loop->on_pass(loop)); }
