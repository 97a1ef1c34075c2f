/* hio_file.c - ranges of files in the write queue, sent by the kernel (sendfile) without a copy.
 *
 * A range stands between bytes of io->queue: `before` says how many of them go first, counted from
 * the range in front of it. So the order of calls stays the order on the wire, and an io that sends
 * no files pays one flag for it. What goes before a range is sent with MSG_MORE, so that a head and
 * the first bytes of its file share a packet.
 *
 * Where a file has become shorter than its range the io fails: the peer must not take what follows
 * for the rest of it. */
#include "hnet_int.h"

#define BYTES_PER_PASS (1 << 20) /* of one io, before the others have their turn */

typedef struct hio_file_s {
    struct hio_file_s *next;
    int fd;
    int closes;
    uint64_t offset;
    uint64_t left;
    size_t before;
} hio_file_t;

static void pop_file(hio_t *io) {
    hio_ext_t *ext = io->ext;
    hio_file_t *file = ext->files;
    ext->files = file->next;
    ext->file_bytes -= file->left;
    if (ext->files == NULL) {
        ext->last_file = NULL;
        io->flags &= ~(uint32_t)HIO_FLAG_HAS_FILES;
    }
    if (file->closes) hsock_close(file->fd);
    hv__free(file);
}

void hv__io_drop_files(hio_t *io) {
    while (io->flags & HIO_FLAG_HAS_FILES) pop_file(io);
}

/* Sends of the first range up to `max` bytes. Returns the bytes or a code. */
static long send_file(hio_t *io, hio_file_t *file, size_t max) {
    size_t len = file->left < max ? (size_t)file->left : max;
#ifdef HV_HOSTILE
    len = 1;
#endif
    long sent = hsock_sendfile(io_fd(io), file->fd, file->offset, len);
    if (sent == 0) return -EIO;
    if (sent < 0) return sent;
    file->offset += (uint64_t)sent;
    file->left -= (uint64_t)sent;
    io->ext->file_bytes -= (uint64_t)sent;
    return sent;
}

static long send_before(hio_t *io, hio_file_t *file) {
    size_t len = file->before;
#ifdef HV_HOSTILE
    len = 1;
#endif
    long sent = hsock_send_more(io_fd(io), hbuf_data(&io->queue), len);
    if (sent <= 0) return sent;
    hbuf_consume(&io->queue, (size_t)sent);
    file->before -= (size_t)sent;
    io->ext->bytes_before_files -= (size_t)sent;
    return sent;
}

int hv__io_flush_files(hio_t *io, size_t *sent_bytes) {
    *sent_bytes = 0;
    while (io->flags & HIO_FLAG_HAS_FILES && *sent_bytes < BYTES_PER_PASS) {
        hio_file_t *file = io->ext->files;
        long sent = file->before > 0 ? send_before(io, file)
                                     : send_file(io, file, BYTES_PER_PASS - *sent_bytes);
        if (sent < 0) return (int)sent;
        *sent_bytes += (size_t)sent;
        if (file->before == 0 && file->left == 0) pop_file(io);
    }
    return 0;
}

static int check(const hio_t *io) {
    if (io_loop(io) == NULL || io->state >= HIO_CLOSING) return HV_ECLOSED;
    if (io->flags & (HIO_FLAG_SHUT_WANTED | HIO_FLAG_SHUT)) return HV_EPIPE;
    int is_stream = io->kind == HSOCK_KIND_STREAM || io->kind == HSOCK_KIND_UNIX;
    return is_stream && io->state != HIO_LISTENING && !(io->flags & HIO_FLAG_LAYERED) ? 0
                                                                                     : HV_EINVAL;
}

/* Puts a range behind everything that is queued. */
static int append(hio_t *io, int fd, uint64_t offset, uint64_t len, int flags) {
    hio_ext_t *ext = hv__io_ext(io);
    hio_file_t *file = ext != NULL ? hv__malloc(sizeof *file) : NULL;
    if (file == NULL) return HV_ENOMEM;
    size_t before = hbuf_len(&io->queue) - ext->bytes_before_files;
    *file = (hio_file_t){
        .fd = fd,
        .closes = flags & HIO_FILE_CLOSE,
        .offset = offset,
        .left = len,
        .before = before,
    };
    if (ext->last_file != NULL) {
        ext->last_file->next = file;
    } else {
        ext->files = file;
    }
    ext->last_file = file;
    ext->file_bytes += len;
    ext->bytes_before_files += before;
    io->flags |= HIO_FLAG_HAS_FILES;
    return 0;
}

/* Sends now what it can, with nothing queued before it. Gives what is left in *offset and *len.
 * Returns 0 or a code: the io has failed. */
static int send_now(hio_t *io, int fd, uint64_t *offset, uint64_t *len) {
    int code = hv__io_send_cork_more(io);
    if (code != 0 || hv__io_has_unsent(io)) return code;
    size_t part = *len < BYTES_PER_PASS ? (size_t)*len : BYTES_PER_PASS;
#ifdef HV_HOSTILE
    part = 1;
#endif
    long sent = hsock_sendfile(io_fd(io), fd, *offset, part);
    if (sent == HV_EAGAIN) return 0;
    if (sent <= 0) {
        code = sent == 0 ? -EIO : (int)sent;
        hv__io_fail(io, code);
        return code;
    }
    hv__io_note_sent(io, (size_t)sent);
    *offset += (uint64_t)sent;
    *len -= (uint64_t)sent;
    return 0;
}

static int write_file(hio_t *io, int fd, uint64_t offset, uint64_t len, int flags) {
    int code = 0;
    if (!hv__io_has_unsent(io) && io->state == HIO_OPEN && !io_net(io)->is_reporting) {
        code = send_now(io, fd, &offset, &len);
    }
    if (code != 0) return code;
    if (len > 0) {
        code = append(io, fd, offset, len, flags);
        if (code != 0) return code;
        if (hio_write_is_high(io)) io->flags |= HIO_FLAG_WAS_HIGH;
    } else if (flags & HIO_FILE_CLOSE) {
        hsock_close(fd);
    }
    hv__io_update_interest(io);
    return 0;
}

int hio_write_file(hio_t *io, int fd, uint64_t offset, uint64_t len, int flags) {
    int code = check(io);
    if (code != 0) return code;
    HV_API_ENTER(io_loop(io));
    code = write_file(io, fd, offset, len, flags);
    HV_API_LEAVE(io_loop(io));
    return code;
}
