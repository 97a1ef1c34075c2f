/* hio_virtual.h - an io without a descriptor, for rooms above: its bytes travel by something else
 * that is no socket, such as a stream of HTTP/2. To its user it is an io as any other, but that it
 * cannot move to another loop, send files, or be written to from another thread. Private to the
 * runtime. */
#ifndef HV_IO_VIRTUAL_H_
#define HV_IO_VIRTUAL_H_

#include "hio.h"

/* What stands in place of the kernel. None of these may call the io's user. */
typedef struct hv__wire_s {
    /* Takes bytes. Returns how many; HV_EAGAIN where there is no room, of which hv__io_virtual_room
     * tells later; or a code: the io fails with it. */
    long (*send)(hio_t *io, const void *data, size_t len);
    /* The write side ends, behind all that was taken. */
    void (*shutdown)(hio_t *io);
    /* The user may have begun to read. */
    void (*interest)(hio_t *io);
} hv__wire_t;

/* Makes one that is open. Its addresses are those of `like`; `end` is the wire's own.
 * Returns it, or NULL with hloop_last_error set. */
hio_t *hv__io_virtual(hloop_t *loop, const hv__wire_t *wire, void *end, hio_t *like);
void *hv__io_virtual_end(const hio_t *io);
/* Whether its user reads. */
int hv__io_virtual_reads(const hio_t *io);
/* Whether it was closed in order, not aborted or failed; for the owner, at its end. */
int hv__io_virtual_is_gentle(const hio_t *io);

/* What the wire brings; `data` has room for a byte more. These three only from the dispatcher,
 * outside of all callbacks of other ios. */
void hv__io_virtual_received(hio_t *io, char *data, size_t len);
/* Its end: as of a peer that has ended its side. */
void hv__io_virtual_ended(hio_t *io);
/* There is room again. */
void hv__io_virtual_room(hio_t *io);
/* The wire is gone. Calls nobody; the close callback follows. */
void hv__io_virtual_fail(hio_t *io, int code);

#endif
