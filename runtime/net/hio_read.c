/* hio_read.c - the read side. One recv per event into the loop's shared buffer; the callback gets
 * the bytes from there. Only what cannot be delivered yet is copied to io->kept: the start of a
 * packet whose end is missing, or bytes behind the message after which the user stopped reading.
 *
 * Stopping is lazy: hio_read_stop makes no system call. The place in the backend is given up only
 * when bytes do arrive, so a stop and start around each message costs nothing.
 *
 * After each callback the io may be closed, stopped, set to other cutting rules, or detached to
 * another thread; in the last case the bytes behind the message (net->rest) have gone with it. */
#include "hhostile.h"
#include "hnet_int.h"

int hv__io_deliver(hio_t *io, char *data, size_t len) {
    hloop_t *loop = io_loop(io);
    hnet_t *net = loop->net;
    hread_cb on_read = io->on_read;
    if (on_read == NULL) return 1;
    net->nul_at = data + len;
    net->nul_kept = data[len];
    data[len] = '\0';
    HV_DISPATCH(loop, on_read(io, data, (int)len));
    if (net->nul_at != NULL) *net->nul_at = net->nul_kept;
    net->nul_at = NULL;
    return net->current == io;
}

/* The length of the message at the start of `data`: 0 where its end is missing, or a code. */
static long next_message(hio_t *io, const char *data, size_t len) {
    switch (io->read_mode) {
    case READ_LENGTH:
        if (io->read_len > io->kept_max) return HV_ELIMIT;
        return len >= io->read_len ? (long)io->read_len : 0;
    case READ_DELIMITER: {
        unpack_setting_t line = {.mode = UNPACK_BY_DELIMITER, .package_max_length = io->kept_max};
        line.delimiter_bytes = io->delimiter_len;
        memcpy(line.delimiter, io->delimiter, sizeof line.delimiter);
        return hframe_next(&line, data, len, &io->scanned);
    }
    default:
        if (io->unpack != NULL) return hframe_next(io->unpack, data, len, &io->scanned);
        return (long)len;
    }
}

/* Not before a layer that is due has begun: the bytes are its own. */
static int wants_more(const hio_t *io) {
    uint32_t asked = io->flags & (HIO_FLAG_READING | HIO_FLAG_LAYER_DUE);
    return io->state == HIO_OPEN && asked == HIO_FLAG_READING;
}

/* Delivers the messages of `data`. Returns the bytes delivered, or -1 where the io is gone. */
static long feed(hio_t *io, char *data, size_t len, int from_kept) {
    hnet_t *net = io_net(io);
    size_t used = 0;
    while (used < len && wants_more(io)) {
        long message = next_message(io, data + used, len - used);
        if (message < 0) {
            hv__io_fail(io, (int)message);
            break;
        }
        if (message == 0) break;
        io->scanned = 0;
        if (io->read_mode != READ_STREAM) {
            io->read_mode = READ_STREAM;
            io->flags &= ~(uint32_t)HIO_FLAG_READING;
        }
        char *at = data + used;
        used += (size_t)message;
        if (from_kept) {
            hbuf_consume_keep(&io->kept, (size_t)message);
        } else {
            net->rest = data + used;
            net->rest_len = len - used;
        }
        int is_ours = hv__io_deliver(io, at, (size_t)message);
        net->rest_len = 0;
        if (!is_ours) return -1;
    }
    return (long)used;
}

static int keep(hio_t *io, const char *data, size_t len) {
    int code = hbuf_append(&io->kept, data, len, KEPT_BYTES_MAX);
    if (code != 0) hv__io_fail(io, code);
    return code;
}

/* Delivers what has been kept back. */
static void feed_kept(hio_t *io) {
    if (hbuf_len(&io->kept) == 0) return;
    /* One byte more, for the NUL behind the last message. */
    if (hbuf_room(&io->kept) == 0 && hbuf_reserve(&io->kept, 1, KEPT_BYTES_MAX) != 0) {
        hv__io_fail(io, HV_ENOMEM);
        return;
    }
    if (feed(io, hbuf_data(&io->kept), hbuf_len(&io->kept), 1) >= 0) hbuf_trim(&io->kept);
}

static void report_end(hio_t *io) {
    if (io->on_eof == NULL) {
        hio_close(io);
        return;
    }
    heof_cb on_eof = io->on_eof;
    HV_DISPATCH(io_loop(io), on_eof(io));
}

void hv__io_ended(hio_t *io) {
    if (io->flags & HIO_FLAG_EOF) return;
    io->flags |= HIO_FLAG_EOF;
    hv__io_update_interest(io);
    if (io->state != HIO_OPEN) return;
    /* Where nobody reads, bytes of the layer may be kept back: the next read reports the end. */
    if (!(io->flags & HIO_FLAG_READING)) {
        io->flags |= HIO_FLAG_END_OWED;
    } else {
        report_end(io);
    }
}

void hv__io_received(hio_t *io, char *data, size_t len) {
    if (hbuf_len(&io->kept) > 0) {
        if (keep(io, data, len) == 0) feed_kept(io);
        return;
    }
    long used = feed(io, data, len, 0);
    if (used < 0 || io->state != HIO_OPEN) return;
    if ((size_t)used < len) keep(io, data + used, len - (size_t)used);
}

char *hv__io_read_buffer(hio_t *io, size_t *cap) {
    if (io->flags & HIO_FLAG_USER_BUFFER) {
        *cap = io->ext->read_buffer_bytes;
        return io->ext->read_buffer;
    }
    *cap = READ_BUFFER_BYTES;
    return io_net(io)->read_buffer;
}

static void read_once(hio_t *io) {
    size_t cap;
    char *buf = hv__io_read_buffer(io, &cap);
    cap = hv__hostile_len(cap);
    long len = io->flags & HIO_FLAG_IS_SOCKET ? hsock_recv(io_fd(io), buf, cap)
                                              : hsock_read(io_fd(io), buf, cap);
    if (len > 0) {
        io->last_read_ms = hv__loop_stamp_ms(io_loop(io));
        if (io->flags & HIO_FLAG_LAYERED) {
            io->ext->layer->received(io, buf, (size_t)len);
        } else {
            hv__io_received(io, buf, (size_t)len);
        }
    } else if (len == 0 || len == -EIO) { /* EIO: the other end of a terminal is gone */
        if (io->flags & HIO_FLAG_LAYERED) {
            io->ext->layer->ended(io);
        } else {
            hv__io_ended(io);
        }
    } else if (len != HV_EAGAIN) {
        hv__io_fail(io, (int)len);
    }
}

/* Bytes or a hang-up while nobody reads: the backend would report them again and again. */
static void ready_while_stopped(hio_t *io, unsigned ready) {
    if (!(ready & HPOLL_HANGUP)) {
        hv__watcher_set(&io->watcher, io->watcher.interest & ~(unsigned)HPOLL_READ);
        return;
    }
    if (io->flags & HIO_FLAG_CLOSE_ON_RESET && !(io->flags & HIO_FLAG_IS_SOCKET)) {
        /* Nobody reads from a pipe any more: an end like any other, unless bytes are lost by it. */
        if (hbuf_len(&io->queue) > 0) hv__io_fail(io, HV_EPIPE);
        hio_close(io);
        return;
    }
    if (io->flags & HIO_FLAG_CLOSE_ON_RESET) {
        int code = hsock_take_error(io_fd(io));
        hv__io_fail(io, code != 0 ? code : HV_ECONNRESET);
        return;
    }
    /* What has arrived is still the reader's: look again when it comes. */
    io->flags |= HIO_FLAG_HANGUP;
    hv__watcher_set(&io->watcher, 0);
}

static void go_on(hv__defer_t *work);

/* What was kept back comes before what is ready now, also before its end. Returns whether there is
 * still somebody who reads. */
static int catch_up(hio_t *io) {
    hnet_t *net = io_net(io);
    if (hbuf_len(&io->kept) == 0) return 1;
    feed_kept(io);
    return net->current == io && wants_more(io);
}

void hv__io_read_ready(hio_t *io, unsigned ready) {
    if (io->flags & HIO_FLAG_LAYER_DUE) return; /* it stays ready until the layer has begun */
    int is_owed = io->work.run == go_on;
    if (is_owed && wants_more(io) && !catch_up(io)) return;
    if (io->flags & HIO_FLAG_EOF) {
        /* Both sides have ended, or the peer has reset what we still write. */
        if (ready & HPOLL_HANGUP) hv__io_fail(io, hsock_take_error(io_fd(io)));
    } else if (!(io->flags & (HIO_FLAG_READING | HIO_FLAG_HANDSHAKING))) {
        ready_while_stopped(io, ready);
    } else if (io->kind == HSOCK_KIND_DATAGRAM) {
        hv__udp_read_ready(io);
    } else {
        read_once(io);
    }
}

/* Goes on where reading was stopped: first with what was kept back. */
static void go_on(hv__defer_t *work) {
    hio_t *io = HV_CONTAINER_OF(work, hio_t, work);
    if (io->state == HIO_OPEN && io->flags & HIO_FLAG_LAYER_DUE) {
        hv__io_begin_layer(io);
        return;
    }
    if (!wants_more(io)) return;
    hnet_t *net = io_net(io);
    int was_ended = (io->flags & HIO_FLAG_EOF) != 0;
    hv__io_enter(io);
    feed_kept(io);
    int is_ours = net->current == io;
    if (is_ours && wants_more(io) && io->flags & HIO_FLAG_LAYER_KEPT) {
        io->flags &= ~(uint32_t)HIO_FLAG_LAYER_KEPT;
        io->ext->layer->received(io, NULL, 0);
        is_ours = net->current == io;
    }
    int is_file = is_ours && io->flags & HIO_FLAG_ALWAYS_READY;
    if (is_file && wants_more(io) && !(io->flags & HIO_FLAG_EOF)) read_once(io);
    /* One read begun after the end which the rest does not satisfy: only this answers it. */
    is_ours = is_ours && net->current == io;
    if (is_ours && wants_more(io) && io->flags & HIO_FLAG_END_OWED) {
        io->flags &= ~(uint32_t)HIO_FLAG_END_OWED;
        report_end(io);
    } else if (is_ours && was_ended && wants_more(io) && io->read_mode != READ_STREAM) {
        io->read_mode = READ_STREAM;
        io->flags &= ~(uint32_t)HIO_FLAG_READING;
        report_end(io);
    }
    if (!hv__io_leave(net, io)) return;
    if (wants_more(io) && io->flags & HIO_FLAG_ALWAYS_READY && !(io->flags & HIO_FLAG_EOF)) {
        hv__defer(io_loop(io), &io->work, go_on);
    }
}

void hv__io_begin_layer_later(hio_t *io) {
    io->flags |= HIO_FLAG_LAYER_DUE | HIO_FLAG_HANDSHAKING;
    hv__defer(io_loop(io), &io->work, go_on);
}

int hio_read(hio_t *io) {
    if (io_loop(io) == NULL || io->state >= HIO_CLOSING) return HV_ECLOSED;
    if (io->unpack != NULL && unpack_setting_check(io->unpack) != 0) {
        hv__io_fail(io, HV_EINVAL);
        return HV_EINVAL;
    }
    if (io->ext != NULL && !(io->flags & HIO_FLAG_READING)) {
        io->ext->read_stamp_ms = hv__loop_stamp_ms(io_loop(io));
    }
    io->flags |= HIO_FLAG_READING;
    if (io->state == HIO_CONNECTING) return 0;
    io->flags &= ~(uint32_t)HIO_FLAG_HANGUP;
    if (!(io->watcher.interest & HPOLL_READ)) hv__io_update_interest(io);
    uint32_t owing = HIO_FLAG_ALWAYS_READY | HIO_FLAG_LAYER_KEPT | HIO_FLAG_EOF;
    if (hbuf_len(&io->kept) > 0 || io->flags & owing) hv__defer(io_loop(io), &io->work, go_on);
    return 0;
}

int hio_read_stop(hio_t *io) {
    if (io->state >= HIO_CLOSING) return HV_ECLOSED;
    io->flags &= ~(uint32_t)HIO_FLAG_READING;
    if (io->state == HIO_LISTENING) hv__io_update_interest(io);
    return 0;
}

static int read_as(hio_t *io, int mode) {
    io->read_mode = (uint8_t)mode;
    io->scanned = 0;
    return hio_read(io);
}

int hio_read_once(hio_t *io) { return read_as(io, READ_ONCE); }

int hio_read_until_length(hio_t *io, unsigned int len) {
    if (len == 0) return HV_EINVAL;
    io->read_len = len;
    return read_as(io, READ_LENGTH);
}

int hio_read_until(hio_t *io, const void *delim, size_t delim_len) {
    if (delim_len == 0 || delim_len > sizeof io->delimiter) return HV_EINVAL;
    memcpy(io->delimiter, delim, delim_len);
    io->delimiter_len = (uint8_t)delim_len;
    return read_as(io, READ_DELIMITER);
}

int hio_read_until_delim(hio_t *io, unsigned char delim) { return hio_read_until(io, &delim, 1); }

void hio_set_max_read_bufsize(hio_t *io, uint32_t bytes) { io->kept_max = bytes; }

void hio_set_readbuf(hio_t *io, void *buf, size_t len) {
    hio_ext_t *ext = hv__io_ext(io);
    if (ext == NULL || len < 2) return;
    ext->read_buffer = buf;
    if (len > INT32_MAX) len = INT32_MAX;
    ext->read_buffer_bytes = (uint32_t)(len - 1); /* one for the NUL */
    io->flags |= HIO_FLAG_USER_BUFFER;
}

void hio_set_unpack(hio_t *io, unpack_setting_t *setting) {
    io->unpack = setting;
    io->scanned = 0;
    int is_bad = setting != NULL && unpack_setting_check(setting) != 0;
    if (is_bad && io_loop(io) != NULL) hv__io_fail(io, HV_EINVAL); /* or in hio_read */
}

void hio_set_close_on_reset(hio_t *io, int closes) {
    if (closes) {
        io->flags |= HIO_FLAG_CLOSE_ON_RESET;
    } else {
        io->flags &= ~(uint32_t)HIO_FLAG_CLOSE_ON_RESET;
    }
}
