/* hidle.c - idle watchers: a doubly linked list in order of creation. An idle watcher deleted in
 * its own callback is freed when that has returned. */
#include "hloop_int.h"
#include "hmem.h"

hidle_t *hidle_add(hloop_t *loop, hidle_cb on_idle, uint32_t repeat) {
    hidle_t *idle = hv__calloc(1, sizeof *idle);
    if (idle == NULL) {
        loop->last_error = HV_ENOMEM;
        return NULL;
    }
    hv__event_init(loop, &idle->node.ev, HEVENT_TYPE_IDLE, (hevent_cb)on_idle);
    idle->repeat = repeat ? repeat : 1;
    idle->added_in_pass = loop->pass_count;
    idle->prev_idle = loop->idles_last;
    if (loop->idles_last != NULL) {
        loop->idles_last->next_idle = idle;
    } else {
        loop->idles = idle;
    }
    loop->idles_last = idle;
    loop->idle_count++;
    hv__event_activate(&idle->node.ev);
    return idle;
}

static void unlink_idle(hidle_t *idle) {
    hloop_t *loop = idle->node.ev.loop;
    if (idle->prev_idle != NULL) {
        idle->prev_idle->next_idle = idle->next_idle;
    } else {
        loop->idles = idle->next_idle;
    }
    if (idle->next_idle != NULL) {
        idle->next_idle->prev_idle = idle->prev_idle;
    } else {
        loop->idles_last = idle->prev_idle;
    }
    if (loop->idle_cursor == idle) loop->idle_cursor = idle->next_idle;
    loop->idle_count--;
}

void hidle_del(hidle_t *idle) {
    if (idle == NULL || idle->node.ev.flags & HEVENT_FLAG_DEAD) return;
    hv__event_deactivate(&idle->node.ev);
    if (idle->node.ev.flags & HEVENT_FLAG_CALLING) {
        idle->node.ev.flags |= HEVENT_FLAG_DEAD;
        return;
    }
    unlink_idle(idle);
    hv__free(idle);
}

void hv__idle_called(hidle_t *idle) {
    int is_over = idle->repeat != INFINITE && --idle->repeat == 0;
    if (idle->node.ev.flags & HEVENT_FLAG_DEAD) {
        unlink_idle(idle);
        hv__free(idle);
    } else if (is_over) {
        hidle_del(idle);
    }
}

void hv__idles_close(hloop_t *loop) {
    while (loop->idles != NULL) hidle_del(loop->idles);
}
