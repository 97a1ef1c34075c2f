/* hwatch.c - see hwatch.h. */
#include "hwatch.h"

#include "hnet_int.h"

static void on_event(hevent_t *ev) {
    hv__watch_t *watch = (hv__watch_t *)ev;
    unsigned events = watch->watcher.ready;
    watch->watcher.ready = 0;
    watch->ready(watch, events);
}

hv__watch_t *hv__watch_open(hloop_t *loop, int fd, hv__watch_cb ready, void *owner) {
    HV_ASSERT(fd >= 0);
    HV_ASSERT(ready != NULL);
    hv__watch_t *watch = hv__calloc(1, sizeof *watch);
    if (watch == NULL) return NULL;
    hv__event_init(loop, &watch->watcher.node.ev, HEVENT_TYPE_IO, on_event);
    watch->watcher.node.ev.flags = HEVENT_FLAG_INTERNAL;
    watch->watcher.fd = fd;
    watch->watcher.tag = hv__watcher_new_tag();
    watch->ready = ready;
    watch->owner = owner;
    if (hv__watcher_add(loop, &watch->watcher) != 0) {
        hv__free(watch);
        return NULL;
    }
    return watch;
}

int hv__watch_set(hv__watch_t *watch, unsigned interest) {
    return hv__watcher_set(&watch->watcher, interest);
}

void hv__watch_close(hv__watch_t *watch, int stays_open) {
    hv__unpend(watch->watcher.node.ev.loop, &watch->watcher.node);
    hv__watcher_remove(&watch->watcher, stays_open);
    hv__free(watch);
}
