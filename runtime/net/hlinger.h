/* hlinger.h - descriptors that are closed for their user already, while the peer still sends. */
#ifndef HV_LINGER_H_
#define HV_LINGER_H_

#include "hio.h"

/* Whether the descriptor of an io that ends has to linger: asks the kernel, and may drop bytes. */
int hv__linger_is_due(const hio_t *io);
/* Takes a descriptor that no watcher has any more. */
void hv__linger_begin(hloop_t *loop, int fd);
/* Closes all of them at once: the loop ends. */
void hv__linger_end_all(hloop_t *loop);

#endif
