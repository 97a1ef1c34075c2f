/* hlayer.h - what may stand between an io's user and its stream: a table of functions, so that the
 * read and write sides do not ask which layer it is. There is one, TLS.
 *
 * The layer is given what the user writes and what the wire brings; it hands on by
 * hv__io_write_raw and hv__io_received. */
#ifndef HV_LAYER_H_
#define HV_LAYER_H_

#include "hio.h"

typedef struct hlayer_s {
    /* Begins on a connected stream, inside enter/leave. Failure is by hv__io_fail. */
    void (*begin)(hio_t *io);
    /* Takes what the user writes. Returns 0 or a negative code. */
    int (*write)(hio_t *io, const void *data, size_t len);
    /* Turns what was collected since the last call into bytes for the wire. */
    void (*flush)(hio_t *io);
    /* Takes what the wire brings. */
    void (*received)(hio_t *io, char *data, size_t len);
    /* The wire has ended. */
    void (*ended)(hio_t *io);
    /* Says farewell; called once, before the write side ends. */
    void (*farewell)(hio_t *io);
    /* Keeps what the wire has brought and nobody has read yet: the io moves to another loop. */
    void (*keep)(hio_t *io);
    /* Bytes written by the user that have not been turned yet. */
    size_t (*pending)(const hio_t *io);
    void (*free)(hio_t *io);
} hlayer_t;

#endif
