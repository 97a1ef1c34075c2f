/* h2_session.h - what the two sides of HTTP/2 share around nghttp2: its memory, its error codes,
 * and the way of its frames to the io. Private to this room.
 *
 * nghttp2 is the codec: frames, HPACK, the states of streams, flow control. Its callbacks only fill
 * structs; whoever drives a session (h2_server.c, h2_client.c) calls the program when nghttp2 has
 * returned. */
#ifndef HV_H2_SESSION_H_
#define HV_H2_SESSION_H_

#include <nghttp2/nghttp2.h>

#include "hbuf.h"
#include "hhttp.h"

/* nghttp2's allocations, which are ours: counted, and failed where a test wants it. */
nghttp2_mem *hv__h2_mem(void);

/* The code for an error of nghttp2's own (NGHTTP2_ERR_*); 0 for what is none. */
int hv__h2_code(int lib_error);

/* The code that a program gets where a peer has reset a stream, or ended the connection, for a
 * reason of RFC 9113 section 7. */
int hv__h2_code_of_reason(uint32_t reason);

/* Adds a field to a head as a line of HTTP/1, "name: value", CR and LF. Returns as hbuf_append. */
int hv__h2_add_line(hbuf_t *out, const char *name, size_t name_len, const char *value, size_t len,
                    size_t max);

/* Ends a stream with trailers, which are lines as of HTTP/1: for the callback that nghttp2 asks for
 * the body. Returns 0 or an error of nghttp2's. */
int hv__h2_submit_trailers(nghttp2_session *session, int32_t id, hhttp_slice_t lines);

/* Sends the frames that the session has ready, until there are none or the io is above its
 * high-water mark; the rest goes once it has drained. Inside a callback of the io they are corked,
 * so that a wake-up costs one write. DATA frames go by send_data_callback where the session has
 * one. Not from inside a callback of nghttp2's.
 * Returns 0, or a negative code: the session cannot go on. */
int hv__h2_flush(nghttp2_session *session, hio_t *io);

#endif
