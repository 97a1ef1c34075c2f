/* hio_timeout.c - all timeouts of an io on one timer, set lazily: reading and writing only leave a
 * stamp, and when the timer fires it looks at the stamps and either acts or sleeps on until the
 * nearest deadline. So a busy connection costs no timer operation per message. */
#include "hnet_int.h"

/* The earliest of the deadlines seen so far, as milliseconds from now; UINT32_MAX for none. */
static uint32_t remaining(uint32_t timeout_ms, uint32_t since_ms, uint32_t now_ms) {
    if (timeout_ms == 0) return UINT32_MAX;
    uint32_t passed = now_ms - since_ms;
    return passed >= timeout_ms ? 0 : timeout_ms - passed;
}

static uint32_t least(uint32_t a, uint32_t b) { return a < b ? a : b; }

static uint32_t last_moved(const hio_t *io, uint32_t now_ms) {
    uint32_t read = now_ms - io->last_read_ms, written = now_ms - io->last_write_ms;
    return now_ms - least(read, written);
}

/* Milliseconds until the io is to be closed for a timeout; 0 now, UINT32_MAX never. */
static uint32_t until_timeout(const hio_t *io, uint32_t now_ms) {
    const hio_ext_t *ext = io->ext;
    switch (io->state) {
    case HIO_CONNECTING: return remaining(ext->connect_timeout_ms, ext->state_stamp_ms, now_ms);
    case HIO_CLOSING: return remaining(ext->close_timeout_ms, ext->state_stamp_ms, now_ms);
    case HIO_OPEN: {
        if (io->flags & HIO_FLAG_HANDSHAKING) {
            return remaining(ext->connect_timeout_ms, ext->state_stamp_ms, now_ms);
        }
        uint32_t nearest = UINT32_MAX;
        /* Nobody is late with bytes that we do not read. */
        if (io->flags & HIO_FLAG_READING && !(io->flags & HIO_FLAG_EOF)) {
            uint32_t since_read = now_ms - io->last_read_ms;
            uint32_t since_start = now_ms - ext->read_stamp_ms;
            uint32_t since_ms = now_ms - least(since_read, since_start);
            nearest = remaining(ext->read_timeout_ms, since_ms, now_ms);
        }
        if (hv__io_has_unsent(io)) {
            nearest = least(nearest, remaining(ext->write_timeout_ms, io->last_write_ms, now_ms));
        }
        return least(nearest, remaining(ext->keepalive_timeout_ms, last_moved(io, now_ms), now_ms));
    }
    default: return UINT32_MAX;
    }
}

/* What the timer has to wait for even where it does not apply at the moment. */
static uint32_t longest_sleep(const hio_t *io) {
    const hio_ext_t *ext = io->ext;
    uint32_t sleep = UINT32_MAX;
    if (io->state != HIO_OPEN) return sleep;
    if (ext->read_timeout_ms > 0) sleep = least(sleep, ext->read_timeout_ms);
    if (ext->write_timeout_ms > 0) sleep = least(sleep, ext->write_timeout_ms);
    return sleep;
}

static uint32_t until_heartbeat(const hio_t *io, uint32_t now_ms) {
    if (io->state != HIO_OPEN) return UINT32_MAX;
    return remaining(io->ext->heartbeat_ms, io->ext->heartbeat_stamp_ms, now_ms);
}

static void beat(hio_t *io, uint32_t now_ms) {
    hloop_t *loop = io_loop(io);
    io->ext->heartbeat_stamp_ms = now_ms;
    void (*on_heartbeat)(hio_t *) = io->ext->on_heartbeat;
    if (on_heartbeat == NULL) return;
    hv__io_enter(io);
    HV_DISPATCH(loop, on_heartbeat(io));
    hv__io_leave(loop->net, io);
}

static void on_timer(htimer_t *timer) {
    hio_t *io = hevent_userdata(timer);
    uint32_t now_ms = hv__loop_stamp_ms(hevent_loop(timer));
    if (until_timeout(io, now_ms) == 0) {
        hv__io_fail(io, HV_ETIMEDOUT);
        return;
    }
    if (until_heartbeat(io, now_ms) == 0) {
        uint32_t timer_id = hevent_id(timer);
        beat(io, now_ms);
        /* The callback may have closed, detached or changed the io; the timer went with it then. */
        if (hevent_id(timer) != timer_id) return;
        if (hevent_userdata(timer) == NULL) return;
    }
    hv__io_timeouts_changed(io);
}

void hv__io_timeouts_changed(hio_t *io) {
    hio_ext_t *ext = io->ext;
    if (ext == NULL || io_loop(io) == NULL) return;
    uint32_t now_ms = hv__loop_stamp_ms(io_loop(io));
    /* Never, in the states that have no timeouts. */
    uint32_t sleep = least(until_timeout(io, now_ms), until_heartbeat(io, now_ms));
    sleep = least(sleep, longest_sleep(io));
    if (sleep == UINT32_MAX) {
        hv__io_timeouts_stop(io);
        return;
    }
    if (sleep == 0) sleep = 1;
    if (ext->timer != NULL) {
        htimer_reset(ext->timer, sleep);
        return;
    }
    ext->timer = hv__timer_add_internal(io_loop(io), on_timer, sleep);
    if (ext->timer == NULL) {
        hv__io_fail(io, HV_ENOMEM);
        return;
    }
    hevent_set_userdata(ext->timer, io);
    /* After the descriptors: bytes that arrived while the loop was busy are not late. */
    hevent_set_priority(ext->timer, HEVENT_LOWEST_PRIORITY);
}

void hv__io_timeouts_stop(hio_t *io) {
    if (io->ext == NULL || io->ext->timer == NULL) return;
    hevent_set_userdata(io->ext->timer, NULL);
    htimer_del(io->ext->timer);
    io->ext->timer = NULL;
}

static void set_timeout(hio_t *io, size_t field, int timeout_ms) {
    if (io->state == HIO_DEAD) return;
    if (io->ext == NULL && timeout_ms <= 0 && field != offsetof(hio_ext_t, close_timeout_ms)) {
        return;
    }
    hio_ext_t *ext = hv__io_ext(io);
    if (ext == NULL) return;
    uint32_t value = timeout_ms > 0 ? (uint32_t)timeout_ms : 0;
    memcpy((char *)ext + field, &value, sizeof value);
    hv__io_timeouts_changed(io);
}

void hio_set_connect_timeout(hio_t *io, int timeout_ms) {
    set_timeout(io, offsetof(hio_ext_t, connect_timeout_ms), timeout_ms);
}

void hio_set_close_timeout(hio_t *io, int timeout_ms) {
    set_timeout(io, offsetof(hio_ext_t, close_timeout_ms), timeout_ms);
}

void hio_set_read_timeout(hio_t *io, int timeout_ms) {
    set_timeout(io, offsetof(hio_ext_t, read_timeout_ms), timeout_ms);
}

void hio_set_write_timeout(hio_t *io, int timeout_ms) {
    set_timeout(io, offsetof(hio_ext_t, write_timeout_ms), timeout_ms);
}

void hio_set_keepalive_timeout(hio_t *io, int timeout_ms) {
    set_timeout(io, offsetof(hio_ext_t, keepalive_timeout_ms), timeout_ms);
}

void hio_set_heartbeat(hio_t *io, int interval_ms, void (*on_heartbeat)(hio_t *io)) {
    hio_ext_t *ext = hv__io_ext(io);
    if (ext == NULL) return;
    ext->on_heartbeat = on_heartbeat;
    if (io_loop(io) != NULL) ext->heartbeat_stamp_ms = hv__loop_stamp_ms(io_loop(io));
    set_timeout(io, offsetof(hio_ext_t, heartbeat_ms), interval_ms);
}
