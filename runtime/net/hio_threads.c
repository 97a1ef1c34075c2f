/* hio_threads.c - the doors for other threads: a write or a close is copied, posted to the io's
 * loop, and there the io is looked up again by its descriptor and id, since it may be gone by then.
 *
 * A posted write was accepted when it was posted. Where it then fails the io fails: a stream with
 * a hole is worse than none. Nothing here but hio_handle looks into the io before its own thread
 * does. */
#include "hnet_int.h"

typedef struct posted_write_s {
    int fd;
    uint32_t id;
    int closes;
    size_t len;
    char data[];
} posted_write_t;

/* The io of that id, or NULL. What was named while its own name was sought has no descriptor in the
 * handle; by now it may have one. */
static hio_t *find_io(hloop_t *loop, int fd, uint32_t id) {
    if (fd >= 0) {
        hio_t *io = hv__io_of_watcher(hv__watcher_find(loop, fd));
        return io != NULL && io->watcher.tag == id ? io : NULL;
    }
    hio_t *seeking = loop->net != NULL ? hv__connect_find(loop->net, id) : NULL;
    if (seeking != NULL) return seeking;
    for (int at = 0; at < loop->watcher_cap; at++) {
        hio_t *io = hv__io_of_watcher(loop->watchers[at]);
        if (io != NULL && io->watcher.tag == id) return io;
    }
    return NULL;
}

static void on_posted_write(hevent_t *ev) {
    posted_write_t *posted = hevent_userdata(ev);
    hio_t *io = find_io(ev->loop, posted->fd, posted->id);
    if (io == NULL) return;
    if (posted->closes) {
        hio_close(io);
        return;
    }
    int code = hio_write(io, posted->data, posted->len);
    if (code < 0 && io->kind != HSOCK_KIND_DATAGRAM) hv__io_fail(io, code);
}

static int post(hio_handle_t handle, const void *data, size_t len, int closes) {
    if (handle.loop == NULL) return HV_ECLOSED;
    posted_write_t *posted = hv__malloc(sizeof *posted + len);
    if (posted == NULL) return HV_ENOMEM;
    posted->fd = handle.fd;
    posted->id = handle.id;
    posted->closes = closes;
    posted->len = len;
    if (len > 0) memcpy(posted->data, data, len);
    hevent_t ev = {.cb = on_posted_write, .userdata = posted, .event_id = posted->id};
    int code = hv__post_owned(handle.loop, &ev, posted);
    if (code != 0) hv__free(posted);
    return code;
}

int hv__io_post(hio_t *io, const void *data, size_t len, int closes) {
    return post(hio_handle(io), data, len, closes);
}

/* ---- Handles: the same for who does not know whether the io still is ---- */

hio_handle_t hio_handle(const hio_t *io) {
    return (hio_handle_t){.loop = io_loop(io), .fd = io_fd(io), .id = io->watcher.tag};
}

hio_t *hio_of_handle(hio_handle_t handle) {
    if (handle.loop == NULL) return NULL;
    HV_DASSERT(hv__loop_is_mine(handle.loop));
    hio_t *io = find_io(handle.loop, handle.fd, handle.id);
    return io != NULL && io->state != HIO_DEAD ? io : NULL;
}

int hio_handle_write(hio_handle_t handle, const void *buf, size_t len) {
    if (len > INT32_MAX) return HV_ELIMIT;
    int code = post(handle, buf, len, 0);
    return code != 0 ? code : (int)len;
}

int hio_handle_close(hio_handle_t handle) { return post(handle, NULL, 0, 1); }
