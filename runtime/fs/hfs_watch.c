/* hfs_watch.c - watching by inotify(7): one descriptor a loop, made by the first watch.
 *
 * The kernel gives one number (wd) an inode, however often it is watched, so several watches may
 * share one; all ask for the same events, and only the last one takes the wd back. Numbers are not
 * used again soon, so what still stands in the queue for a removed wd finds nobody.
 *
 * While events are being told watches may come and go: one that ends is marked and swept
 * afterwards, one that is new waits for the next read. */
#include "hfs_int.h"

#include <errno.h>
#include <sys/inotify.h>

#define READ_BYTES 16384

struct hfs_watch_s {
    hevent_t ev; /* cb is on_change */
    hfs_watch_t *next;
    int wd;
    int is_dead; /* deleted: to be swept */
    int is_gone; /* its wd is not the kernel's any more */
    char path[];
};

typedef struct watching_s {
    hv__guest_t guest;
    hv__watcher_t watcher;
    hfs_watch_t *watches; /* in order of creation */
    int is_telling;       /* the list must stay as it is */
} watching_t;

#define ASKED_FOR                                                                                  \
    (IN_CREATE | IN_DELETE | IN_MODIFY | IN_CLOSE_WRITE | IN_ATTRIB | IN_MOVED_FROM |              \
     IN_MOVED_TO | IN_DELETE_SELF | IN_MOVE_SELF)

/* ---- Telling ---- */

static int what_of(uint32_t mask) {
    static const struct {
        uint32_t mask;
        int what;
    } words[] = {
        {IN_CREATE, HFS_WATCH_CREATED},
        {IN_DELETE, HFS_WATCH_DELETED},
        {IN_MOVED_TO, HFS_WATCH_CREATED | HFS_WATCH_MOVED},
        {IN_MOVED_FROM, HFS_WATCH_DELETED | HFS_WATCH_MOVED},
        {IN_MODIFY, HFS_WATCH_CHANGED},
        {IN_CLOSE_WRITE, HFS_WATCH_WRITTEN},
        {IN_ATTRIB, HFS_WATCH_ATTRIB},
        {IN_DELETE_SELF | IN_MOVE_SELF | IN_UNMOUNT | IN_IGNORED, HFS_WATCH_GONE},
        {IN_Q_OVERFLOW, HFS_WATCH_OVERFLOW},
    };
    int what = 0;
    for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
        if (mask & words[i].mask) what |= words[i].what;
    }
    return what;
}

static int is_for(const hfs_watch_t *watch, int wd) {
    return !watch->is_dead && !watch->is_gone && (wd < 0 || watch->wd == wd);
}

static void tell(hfs_watch_t *watch, const hfs_watch_event_t *event) {
    hfs_watch_cb on_change = (hfs_watch_cb)(void (*)(void))watch->ev.cb;
    HV_DISPATCH(watch->ev.loop, on_change(watch, event));
}

/* Tells one event to every watch of its wd that was there when the events were read. */
static void tell_all(watching_t *self, const struct inotify_event *from, const hfs_watch_t *last) {
    hfs_watch_event_t event = {
        .what = what_of(from->mask),
        .name = from->len > 0 ? from->name : "",
        .is_directory = (from->mask & IN_ISDIR) != 0,
        .cookie = from->cookie,
    };
    if (event.what == 0) return;
    int is_gone = event.what & HFS_WATCH_GONE;
    for (hfs_watch_t *watch = self->watches; watch != NULL; watch = watch->next) {
        if (is_for(watch, from->wd)) {
            /* A moved inode would go on to be watched under a path that is not its own. */
            if (from->mask & IN_MOVE_SELF) inotify_rm_watch(self->watcher.fd, watch->wd);
            if (is_gone) {
                watch->is_gone = 1;
                hv__event_deactivate(&watch->ev);
            }
            tell(watch, &event);
        }
        if (watch == last) break;
    }
}

static void sweep(watching_t *self) {
    for (hfs_watch_t **link = &self->watches; *link != NULL;) {
        hfs_watch_t *watch = *link;
        if (watch->is_dead) {
            *link = watch->next;
            hv__free(watch);
        } else {
            link = &watch->next;
        }
    }
}

static void on_ready(hevent_t *ev) {
    watching_t *self = HV_CONTAINER_OF(ev, watching_t, watcher);
    _Alignas(struct inotify_event) char buf[READ_BYTES];
    ssize_t len;
    do {
        len = read(self->watcher.fd, buf, sizeof buf);
    } while (len < 0 && errno == EINTR);
    const hfs_watch_t *last = self->watches;
    while (last != NULL && last->next != NULL) last = last->next;
    self->is_telling = 1;
    for (ssize_t at = 0; at < len;) {
        const struct inotify_event *event = (const struct inotify_event *)(const void *)(buf + at);
        if (last != NULL) tell_all(self, event, last);
        at += (ssize_t)sizeof *event + (ssize_t)event->len;
    }
    self->is_telling = 0;
    sweep(self);
}

/* ---- What a loop keeps ---- */

static void free_watching(hv__guest_t *guest) {
    watching_t *self = (watching_t *)guest;
    HV_ASSERT(!self->is_telling);
    while (self->watches != NULL) {
        hfs_watch_t *watch = self->watches;
        self->watches = watch->next;
        hv__event_deactivate(&watch->ev);
        hv__free(watch);
    }
    hv__unpend(self->watcher.node.ev.loop, &self->watcher.node);
    hv__watcher_remove(&self->watcher, 0);
    close(self->watcher.fd);
    hv__free(self);
}

static const hv__guest_kind_t guest_kind = {NULL, free_watching};

static int open_watcher(watching_t *self, hloop_t *loop) {
    hv__watcher_t *watcher = &self->watcher;
    hv__event_init(loop, &watcher->node.ev, HEVENT_TYPE_IO, on_ready);
    watcher->node.ev.flags |= HEVENT_FLAG_INTERNAL;
    watcher->fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    if (watcher->fd < 0) return -errno;
    int code = hv__watcher_add(loop, watcher);
    if (code == 0) {
        code = hv__watcher_set(watcher, HPOLL_READ);
        if (code != 0) hv__watcher_remove(watcher, 0);
    }
    if (code != 0) close(watcher->fd);
    return code;
}

static watching_t *watching_of(hloop_t *loop) {
    hv__guest_t *guest = hv__guest_find(loop, &guest_kind);
    if (guest != NULL) return (watching_t *)guest;
    int code = HV_ECLOSED;
    watching_t *self = NULL;
    if (!hv__loop_is_ending(loop)) {
        self = hv__calloc(1, sizeof *self);
        code = self != NULL ? open_watcher(self, loop) : HV_ENOMEM;
    }
    if (code != 0) {
        loop->last_error = code;
        hv__free(self);
        return NULL;
    }
    hv__guest_add(loop, &self->guest, &guest_kind);
    return self;
}

/* ---- Watches ---- */

hfs_watch_t *hfs_watch_add(hloop_t *loop, const char *path, hfs_watch_cb on_change) {
    HV_ASSERT(on_change != NULL);
    watching_t *self = watching_of(loop);
    if (self == NULL) return NULL;
    size_t bytes = strlen(path) + 1;
    hfs_watch_t *watch = hv__calloc(1, sizeof *watch + bytes);
    if (watch == NULL) {
        loop->last_error = HV_ENOMEM;
        return NULL;
    }
    watch->wd = inotify_add_watch(self->watcher.fd, path, ASKED_FOR);
    if (watch->wd < 0) {
        loop->last_error = -errno;
        hv__free(watch);
        return NULL;
    }
    memcpy(watch->path, path, bytes);
    hv__event_init(loop, &watch->ev, HEVENT_TYPE_CUSTOM, (hevent_cb)(void (*)(void))on_change);
    hfs_watch_t **link = &self->watches;
    while (*link != NULL) link = &(*link)->next;
    *link = watch;
    hv__event_activate(&watch->ev);
    return watch;
}

void hfs_watch_del(hfs_watch_t *watch) {
    if (watch == NULL || watch->is_dead) return;
    watching_t *self = (watching_t *)hv__guest_find(watch->ev.loop, &guest_kind);
    HV_ASSERT(self != NULL);
    hv__event_deactivate(&watch->ev);
    watch->is_dead = 1;
    int is_shared = watch->is_gone;
    for (const hfs_watch_t *other = self->watches; other != NULL; other = other->next) {
        if (is_for(other, watch->wd)) is_shared = 1;
    }
    if (!is_shared) inotify_rm_watch(self->watcher.fd, watch->wd);
    if (!self->is_telling) sweep(self);
}

const char *hfs_watch_path(const hfs_watch_t *watch) { return watch->path; }
