/* hio_owner.c - a room above gives an io away: it puts back what it has read and not used, and goes
 * on knowing of the io although the callbacks are somebody else's now. */
#include "hnet_int.h"

int hv__io_unread(hio_t *io, const void *data, size_t len, int has_ended) {
    hnet_t *net = io_net(io);
    if (io->state != HIO_OPEN) return 0;
    if (net->current == io && net->nul_at != NULL) {
        /* It may stand in the block that goes away here. */
        *net->nul_at = net->nul_kept;
        net->nul_at = NULL;
    }
    if (len > 0) {
        hbuf_t whole = {0};
        int code = hbuf_append(&whole, data, len, KEPT_BYTES_MAX);
        if (code == 0 && hbuf_len(&io->kept) > 0) {
            code = hbuf_append(&whole, hbuf_data(&io->kept), hbuf_len(&io->kept), KEPT_BYTES_MAX);
        }
        if (code != 0) {
            hbuf_deinit(&whole);
            hv__io_fail(io, code);
            return code;
        }
        hbuf_deinit(&io->kept);
        io->kept = whole;
        io->scanned = 0;
    }
    if (has_ended) io->flags |= HIO_FLAG_END_OWED;
    if (io->flags & HIO_FLAG_READING) hio_read(io);
    return 0;
}

void hv__io_set_owner(hio_t *io, void *owner, hv__io_let_go_fn let_go) {
    hnet_t *net = io_net(io);
    HV_ASSERT(net->let_go == NULL || net->let_go == let_go);
    net->let_go = let_go;
    io->owner = owner;
}

void *hv__io_owner(const hio_t *io) { return io->owner; }

void hv__io_leave_owner(hio_t *io, int is_moving) {
    void *owner = io->owner;
    io->owner = NULL;
    if (owner != NULL) io_net(io)->let_go(io, owner, is_moving);
}
