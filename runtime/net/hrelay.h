/* hrelay.h - a bound datagram socket whose clients are each served by an upstream socket of their
 * own; see hrelay.c. */
#ifndef HV_RELAY_H_
#define HV_RELAY_H_

#include "hio.h"

/* Ends the relay of a socket that is being closed. */
void hv__relay_free(hio_t *io);

#endif
