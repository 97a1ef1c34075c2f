/* http_client.h - what other bindings need of HTTP calls: the connection behind a 101. */
#ifndef HVL_HTTP_CLIENT_H_
#define HVL_HTTP_CLIENT_H_

#include "bind.h"

/* Takes the connection of the call (hv.http_call) at a stack index, whose response is a 101: see
 * hhttp_call_take_io. NULL where there is none any more. Raises where it is no call. */
hio_t *hvl_http_take_io(lua_State *L, int index);

#endif
