/* http_transport.h - what another version of HTTP does in place of HTTP/1, so that a request is the
 * same to everybody above: programs, files, gateways.
 *
 * A connection of another version keeps its http_conn_t (state V2), with which the server counts it
 * and watches its time. Each of its streams has an http_conn_t of its own (CONN_IS_STREAM), whose
 * request goes through the same states as on a connection of HTTP/1 and stands in the same lists;
 * its io is that of the connection. A request of HTTP/1 has no table: what it does stands right
 * behind the test for one.
 *
 * The tables stand in the room of that version, which may look into this one, not the other way
 * round. */
#ifndef HV_HTTP_TRANSPORT_H_
#define HV_HTTP_TRANSPORT_H_

#include "http_int.h"

/* What is done for a request, and for its stream. */
typedef struct http_transport_s {
    /* Writes the head of an answer; `ends`: there is no body. Returns 0, HV_ENOMEM (nothing is
     * written), HV_ECLOSED. */
    int (*begin)(hhttp_request_t *req, const h1_response_t *response, int ends);
    /* Writes a piece of the body; `ends`: the last one. Returns 0; HV_EAGAIN: taken, but wait for
     * hv__http_drained; HV_ELIMIT, HV_ENOMEM: not taken; HV_ECLOSED. */
    int (*write)(hhttp_request_t *req, const void *data, size_t len, int ends);
    /* Ends the body with trailers, which were checked. Returns as `write`. */
    int (*trail)(hhttp_request_t *req, const hhttp_header_t *trailers, size_t count);
    /* Whether the program should write no more for now. */
    int (*must_wait)(hhttp_request_t *req);
    /* The next bytes of the body that have arrived; len 0 where there are none, which is its end
     * where h1_body_pending says so. Valid until the next call, or until the callback returns.
     * Returns 0, or the status to refuse with, for the trailers. */
    int (*next_piece)(hhttp_request_t *req, hhttp_slice_t *piece);
    /* The program waits for the body. */
    void (*want_body)(hhttp_request_t *req);
    /* As hhttp_request_upgrade, whose checks are done; the stream's io becomes the one to give. */
    int (*upgrade)(hhttp_request_t *req, int status, const hhttp_header_t *headers,
                   size_t header_count);
    /* That io is closed. */
    void (*let_go)(http_conn_t *stream, hio_t *io);
    /* As their namesakes hv__http_conn_refuse, _abort, _wake and _late. */
    void (*refuse)(http_conn_t *stream, int status);
    void (*abort)(http_conn_t *stream);
    void (*wake)(http_conn_t *stream);
    void (*late)(http_conn_t *stream);
} http_transport_t;

/* What is done for a connection in the state V2. */
typedef struct http_protocol_s {
    /* Whether these first bytes of a connection are the protocol's. */
    int (*is_preface)(const http_conn_t *conn, const char *data, size_t len);
    /* Takes the connection over, with the bytes that have arrived. */
    void (*begin)(http_conn_t *conn, const char *data, size_t len);
    /* It did not do in time what its list waits for. */
    void (*late)(http_conn_t *conn);
    /* The server ends: `is_first` lets the peer know, without it no new request is taken. */
    void (*go_away)(http_conn_t *conn, int is_first);
    /* Frees server->v2. */
    void (*server_free)(hhttp_server_t *server);
} http_protocol_t;

extern const http_transport_t hv__http2_transport; /* runtime/http2/h2_stream.c */
extern const http_protocol_t hv__http2_protocol;   /* runtime/http2/h2_server.c */

#endif
