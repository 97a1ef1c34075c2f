/* hhttp.h - HTTP server sessions and routes over the loop, usable from C without Lua.
 *
 * A server owns listeners and connections. For each request whose head has arrived and is valid it
 * calls on_request; the program answers now or later, and the next request of that connection is
 * read only then, so pipelined answers leave in order and a slow program slows its peer. Requests
 * that are malformed, too large or too slow are answered by the server itself and never seen here.
 *
 *     static void on_request(hhttp_request_t *req, void *userdata) {
 *         hhttp_respond(req, 200, "text/plain", "hello\n", 6);
 *     }
 *     hhttp_server_t *server = hhttp_server_new(loop, NULL);
 *     hhttp_server_on_request(server, on_request, NULL);
 *     hhttp_server_listen(server, "0.0.0.0", 8080, 0);
 *     hloop_run(loop);
 *
 * The message types are neutral to the protocol version: what a request or a response is does not
 * depend on how its bytes travel. */
#ifndef HV_HTTP_H_
#define HV_HTTP_H_

#include "hloop.h"

HV_BEGIN_DECLS

typedef struct hhttp_server_s hhttp_server_t;
typedef struct hhttp_request_s hhttp_request_t;
typedef struct hhttp_router_s hhttp_router_t;

/* Methods that routes know (RFC 9110 section 9, RFC 5789). HHTTP_OTHER is any other token. */
typedef enum {
    HHTTP_GET,
    HHTTP_HEAD,
    HHTTP_POST,
    HHTTP_PUT,
    HHTTP_PATCH,
    HHTTP_DELETE,
    HHTTP_OPTIONS,
    HHTTP_CONNECT,
    HHTTP_TRACE,
    HHTTP_OTHER,
    HHTTP_ANY, /* in routes only: every method */
} hhttp_method_e;

/* A borrowed run of bytes; not NUL-terminated. `data` is NULL where the thing is absent. */
typedef struct hhttp_slice_s {
    const char *data;
    size_t len;
} hhttp_slice_t;

typedef struct hhttp_header_s {
    hhttp_slice_t name;
    hhttp_slice_t value;
} hhttp_header_t;

/* Where a server speaks HTTP/2: RFC 9113. Over TLS the context of the listener has to offer it, by
 * alpn = "h2,http/1.1". In the clear the client begins with it (prior knowledge); it looks the same
 * as HTTP/1 to the program in either case. */
enum {
    HHTTP_HTTP2_DEFAULT = 0, /* over TLS and in the clear */
    HHTTP_HTTP2_TLS     = 1, /* over TLS only */
    HHTTP_HTTP2_OFF     = 2,
};

/* Limits and times of a server. A field left 0 takes the default named beside it; for the times
 * and for requests_per_connection_max INFINITE switches the check off. */
typedef struct hhttp_server_options_s {
    uint32_t request_line_bytes_max;      /* 8 KiB; beyond: 414 */
    uint32_t header_bytes_max;            /* 64 KiB for all header lines; beyond: 431 */
    uint32_t header_count_max;            /* 100; beyond: 431 */
    uint64_t body_bytes_max;              /* 8 MiB; beyond: 413 */
    uint32_t header_timeout_ms;           /* 15000 from the first byte to the end of the head: 408;
                                             and until the first byte of a connection, which
                                             closes silently */
    uint32_t body_timeout_ms;             /* 30000 between two pieces of a body; 408 */
    uint32_t body_rate_min;               /* none; bytes a second, on the whole, of a body that is
                                             waited for, after 5 seconds; slower: 408 */
    uint32_t idle_timeout_ms;             /* 75000 between two requests; closes silently */
    uint32_t write_timeout_ms;            /* 60000 without a byte taken by the peer; closes */
    uint32_t requests_per_connection_max; /* none */
    uint32_t connections_max;             /* none; beyond it the listeners rest. Over TLS counted
                                             before the handshake */
    uint32_t handshakes_max;              /* 1024 TLS handshakes under way; beyond it the listeners
                                             that have TLS rest */
    uint32_t handshake_timeout_ms;        /* 10000 for one of them; closes */
    uint32_t http2;                       /* HHTTP_HTTP2_*; where it is spoken */
    uint32_t streams_max;                 /* 128 requests at once on a connection of HTTP/2 */
    uint32_t glitches_max;                /* 1000; frames of HTTP/2 that bring nothing (PING,
                                             SETTINGS, cancelled requests ...) beyond what 50 a
                                             second and useful ones pay for; more: the connection
                                             ends with ENHANCE_YOUR_CALM */
    const char *server_name;              /* the Server header, copied; NULL: none is sent */
} hhttp_server_options_t;

typedef void (*hhttp_request_cb)(hhttp_request_t *req, void *userdata);
/* A piece of a body, borrowed until the callback returns; len 0 with error 0 is its end. */
typedef void (*hhttp_piece_cb)(hhttp_request_t *req, hhttp_slice_t piece, int error);

/* ---- Server ---- */

/* Creates a server on a loop.
 *   options  copied; NULL for the defaults
 * Returns the server, or NULL with hloop_last_error set. Free it with hhttp_server_close. */
HV_EXPORT hhttp_server_t *hhttp_server_new(hloop_t *loop, const hhttp_server_options_t *options);

/* Sets the function that gets every request. Called by the dispatcher, never inside another API
 * call. A request not answered before it returns stays valid until it is answered. */
HV_EXPORT void hhttp_server_on_request(hhttp_server_t *server, hhttp_request_cb on_request,
                                       void *userdata);

/* Adds a listener; a server may have several.
 *   host   name or address literal, or a path with a '/' for a unix socket (port is ignored)
 *   port   0..65535; 0 takes a free one
 *   flags  HIO_LISTEN_REUSE_PORT or 0
 * Returns the listening io, or NULL with hloop_last_error set. The server owns the io. */
HV_EXPORT hio_t *hhttp_server_listen(hhttp_server_t *server, const char *host, int port, int flags);

/* The same for a descriptor that listens already, such as one that other processes share
 * (hworker_listen_fd). The server closes it; on failure it stays the caller's. */
HV_EXPORT hio_t *hhttp_server_listen_fd(hhttp_server_t *server, int listen_fd);

/* Closes the listeners; idle connections close at once, busy ones after the answer in flight
 * (which carries Connection: close) or after `grace_ms`. Those of HTTP/2 get a GOAWAY and end with
 * their last answer. `on_close` (may be NULL) is then called
 * and the server is freed. Calling it again shortens the grace. */
HV_EXPORT void hhttp_server_close(hhttp_server_t *server, uint32_t grace_ms,
                                  void (*on_close)(hhttp_server_t *server, void *userdata),
                                  void *userdata);

/* Ends as hhttp_server_close does, but loses no request: connections that wait to be accepted are
 * taken in first, and idle ones are kept for a moment (a second, or the grace where that is less),
 * because a request may be on its way; what they ask is answered with Connection: close. */
HV_EXPORT void hhttp_server_drain(hhttp_server_t *server, uint32_t grace_ms,
                                  void (*on_close)(hhttp_server_t *server, void *userdata),
                                  void *userdata);

/* Counts: open connections, and requests answered since the start. */
HV_EXPORT size_t hhttp_server_connections(const hhttp_server_t *server);
HV_EXPORT uint64_t hhttp_server_requests(const hhttp_server_t *server);

/* ---- Request: valid until it is answered, and then as long as it is retained ---- */

HV_EXPORT void hhttp_request_retain(hhttp_request_t *req);
HV_EXPORT void hhttp_request_release(hhttp_request_t *req);

/* The user's own slot. */
HV_EXPORT void hhttp_request_set_userdata(hhttp_request_t *req, void *userdata);
HV_EXPORT void *hhttp_request_userdata(const hhttp_request_t *req);

HV_EXPORT hhttp_method_e hhttp_request_method(const hhttp_request_t *req);
HV_EXPORT hhttp_slice_t hhttp_request_method_name(const hhttp_request_t *req);
/* The target as sent, its path (never empty, still percent-encoded) and its query without '?'. */
HV_EXPORT hhttp_slice_t hhttp_request_target(const hhttp_request_t *req);
HV_EXPORT hhttp_slice_t hhttp_request_path(const hhttp_request_t *req);
HV_EXPORT hhttp_slice_t hhttp_request_query(const hhttp_request_t *req);
/* The authority the request is for: of an absolute target, else the Host header; data NULL where
 * there is neither (HTTP/1.0). */
HV_EXPORT hhttp_slice_t hhttp_request_host(const hhttp_request_t *req);
/* 10 for HTTP/1.0, 11 for HTTP/1.1, 20 for HTTP/2. */
HV_EXPORT int hhttp_request_version(const hhttp_request_t *req);
/* The first header of that name, case-insensitive; surrounding blanks are cut. */
HV_EXPORT hhttp_slice_t hhttp_request_header(const hhttp_request_t *req, const char *name,
                                             size_t name_len);
/* The header after `*cursor` (start with 0). Returns 1, or 0 at the end. */
HV_EXPORT int hhttp_request_next_header(const hhttp_request_t *req, size_t *cursor,
                                        hhttp_header_t *header);
/* The connection, for its addresses; NULL once it is gone. Never read or write on it. */
HV_EXPORT hio_t *hhttp_request_io(const hhttp_request_t *req);
/* Tells whether the peer is gone or the answer has been completed. */
HV_EXPORT int hhttp_request_is_over(const hhttp_request_t *req);

/* Asks for the whole body, up to body_bytes_max.
 *   on_body  called once later if 0 is returned: error 0 and the body complete, or an error
 * Returns 1 where the body is there already (or there is none): see hhttp_request_body;
 * 0 where it is on its way; HV_ECLOSED, HV_EBUSY (asked twice); HV_ELIMIT, HV_EPROTO, HV_ENOMEM:
 * too long, malformed or no memory, and the request has been refused. */
HV_EXPORT int hhttp_request_collect_body(hhttp_request_t *req,
                                         void (*on_body)(hhttp_request_t *req, int error));

/* Asks for the next piece of the body: what has arrived, of any length. Nothing is read from the
 * peer while nobody asks, so a slow program slows its peer and a body of any length needs the
 * memory of one piece.
 *   piece     filled where 1 is returned; borrowed until the next call for this request, or until
 *             the callback that the program is in returns; len 0: the end of the body
 *   on_piece  called once later if 0 is returned
 * Returns 1 where a piece is there already, else as hhttp_request_collect_body, which may be asked
 * for the rest; HV_EOF: the peer has ended in the middle of it. */
HV_EXPORT int hhttp_request_read_body(hhttp_request_t *req, hhttp_slice_t *piece,
                                      hhttp_piece_cb on_piece);

/* The length that the request announces for its body; -1 where it comes in chunks. */
HV_EXPORT int64_t hhttp_request_body_length(const hhttp_request_t *req);
/* Sets body_bytes_max for this request alone; before its body is asked for. */
HV_EXPORT void hhttp_request_set_body_max(hhttp_request_t *req, uint64_t bytes);

/* The body collected so far; complete once hhttp_request_collect_body said so. Borrowed until the
 * request is answered or released; hhttp_request_retain keeps it. */
HV_EXPORT hhttp_slice_t hhttp_request_body(const hhttp_request_t *req);

/* A trailer: a field that came behind the body, in chunks or over HTTP/2 (RFC 9110 section 6.5);
 * known once the end of the body was told, data NULL before and where there is none. The limits are
 * those of headers (431). Fields that may not stand there, such as Content-Length, Host,
 * Authorization or Cookie, are passed over. Borrowed as long as the request is valid. */
HV_EXPORT hhttp_slice_t hhttp_request_trailer(const hhttp_request_t *req, const char *name,
                                              size_t name_len);
/* The trailer after `*cursor` (start with 0). Returns 1, or 0 at the end; HV_EAGAIN before the end
 * of the body was told. */
HV_EXPORT int hhttp_request_next_trailer(const hhttp_request_t *req, size_t *cursor,
                                         hhttp_header_t *header);

/* Whether a field of that name may stand behind a body: not one of framing, routing, conditions,
 * authentication or the content's form, which come too late there (RFC 9110 section 6.5.1). */
HV_EXPORT int hhttp_may_trail(const char *name, size_t name_len);

/* Asks to be told once when the peer goes away before the answer is complete. */
HV_EXPORT void hhttp_request_on_abort(hhttp_request_t *req, hhttp_request_cb on_abort,
                                      void *userdata);

/* ---- Response ---- */

/* Answers in one piece. Sends Date, Content-Length, and Connection where it is needed; a HEAD
 * request gets the head only.
 *   status        200..599
 *   content_type  borrowed until return; NULL sends none
 *   body          copied or sent before return
 * Returns 0; HV_ECLOSED where the peer is gone, HV_EBUSY where an answer has begun,
 * HV_EINVAL for a status out of range or a type with control characters. */
HV_EXPORT int hhttp_respond(hhttp_request_t *req, int status, const char *content_type,
                            const void *body, size_t len);

/* The same with headers of the caller's. Content-Length, Transfer-Encoding, Connection and Date
 * are the server's own and refused here.
 * Returns as hhttp_respond; HV_EINVAL where a name is no token or a value has CR, LF or NUL. */
HV_EXPORT int hhttp_respond_with(hhttp_request_t *req, int status, const hhttp_header_t *headers,
                                 size_t header_count, const void *body, size_t len);

/* Begins an answer in pieces.
 *   length  bytes that will follow, or -1: chunked for HTTP/1.1, until close for HTTP/1.0
 * Returns as hhttp_respond_with. */
HV_EXPORT int hhttp_response_begin(hhttp_request_t *req, int status, const hhttp_header_t *headers,
                                   size_t header_count, int64_t length);
/* Sends a piece. Returns 0; HV_ECLOSED; HV_EINVAL before hhttp_response_begin; HV_ELIMIT where more
 * than the promised length is written or the queue is full (nothing of the piece is taken);
 * HV_EAGAIN where it was queued and the queue is now above the high-water mark: wait for
 * on_drain of hhttp_response_on_drain before the next. */
HV_EXPORT int hhttp_response_write(hhttp_request_t *req, const void *data, size_t len);
HV_EXPORT void hhttp_response_on_drain(hhttp_request_t *req, hhttp_request_cb on_drain,
                                       void *userdata);
/* Ends the answer. Returns 0; HV_ECLOSED; HV_EPROTO where fewer bytes than promised were written
 * (the connection is then closed so that the peer sees it). */
HV_EXPORT int hhttp_response_end(hhttp_request_t *req);
/* The same with trailers behind the body (RFC 9110 section 6.5). They go out over HTTP/2, and in
 * chunks over HTTP/1.1; a body with a length over HTTP/1.1, HTTP/1.0 and answers without a body
 * have no place for them, and they are left out.
 *   trailers  copied; none of framing, routing, conditions, authentication or the content's form
 * Returns as hhttp_response_end; HV_EINVAL for such a one, or as hhttp_respond_with; HV_ENOMEM: the
 * answer is not ended, and that may be tried again. */
HV_EXPORT int hhttp_response_end_with(hhttp_request_t *req, const hhttp_header_t *trailers,
                                      size_t count);
/* Tells whether an answer has begun. */
HV_EXPORT int hhttp_response_has_begun(const hhttp_request_t *req);
/* The status that was sent, also by the server itself (413, 408 ...); 0 where none was. */
HV_EXPORT int hhttp_response_status(const hhttp_request_t *req);
/* Bytes of the answer's body that were handed to the connection so far, without the framing. */
HV_EXPORT uint64_t hhttp_response_bytes(const hhttp_request_t *req);
/* Tells whether all of an answer was handed to the connection: else it was cut off or never
 * came. */
HV_EXPORT int hhttp_response_is_complete(const hhttp_request_t *req);
/* Has the server answer, as it does where a request is malformed: with the status and its words;
 * then the connection closes (HTTP/2: the stream ends).
 *   status  400..599
 * Returns 0; HV_ECLOSED, HV_EBUSY where an answer has begun, HV_EINVAL. */
HV_EXPORT int hhttp_request_refuse(hhttp_request_t *req, int status);
/* Gives the request up: the connection is closed without (the rest of) an answer (HTTP/2: the
 * stream is reset). */
HV_EXPORT void hhttp_request_abort(hhttp_request_t *req);

/* ---- Compression ---- */

/* Which answers are compressed. Zero is a good default. */
typedef struct hhttp_compress_s {
    size_t bytes_min;  /* 1024; what is known to be shorter goes out as it is */
    int gzip_level;    /* 5; 1 fast .. 9 small; -1: no gzip */
    int brotli_level;  /* 4; 1 .. 11; -1: no brotli */
    const char *types; /* media types with blanks between, "text/ image/svg+xml", where a final '/'
                          covers all of a kind; NULL: text, and what is text by another name.
                          Borrowed until the request is released */
} hhttp_compress_t;

/* Has the answer to a request compressed, whoever gives it (hhttp_respond, pieces, a gateway, a
 * file), by what its client accepts: br or gzip, br where it has no preference. It then has
 * Content-Encoding, Vary and a weak ETag. Left alone: what is short, of another type, has a coding
 * or a range, says Cache-Control: no-transform, or has no content. Each hhttp_response_write is
 * flushed, so that the client can read what has been written; bodies in one piece beyond 64 KiB are
 * copied, compressed in threads and go out later. Call it before the answer begins; what is secret
 * should not be compressed with what a stranger has sent (the attack called BREACH).
 *   options  copied; NULL for the defaults
 * Returns 0; HV_EBUSY where an answer has begun, HV_ECLOSED, HV_ENOMEM. */
HV_EXPORT int hhttp_response_compress(hhttp_request_t *req, const hhttp_compress_t *options);

/* Has an answer of 200 in one piece to GET or HEAD bear an ETag, made of its bytes where the
 * program has set none, and conditions of the request heeded: 304 or 412 where they say so (RFC
 * 9110 section 13). Last-Modified counts, too, where the program has set it. Call it before the
 * answer begins. Returns as hhttp_response_compress, which may be called as well. */
HV_EXPORT int hhttp_response_tag(hhttp_request_t *req);

/* Asks to be told when an answer that was given in one piece, and goes out in several, is out.
 *   on_done  called once, later, if 1 is returned: 0 or HV_ECLOSED and the like
 * Returns 1; 0 where nothing of the kind is under way. */
HV_EXPORT int hhttp_response_when_done(hhttp_request_t *req,
                                       void (*on_done)(hhttp_request_t *req, int error));

/* ---- Taking a connection over: WebSocket, CONNECT, any protocol that begins as HTTP ---- */

/* Answers with 101 (Switching Protocols; RFC 9110 section 7.8), or with 200..299 to CONNECT
 * (section 9.3.6), and gives the connection away: from then on it is the caller's as an io that it
 * has accepted would be. The server's timeouts, limits and callbacks are off it, reading is
 * stopped, its context is NULL; bytes that have arrived behind the head are delivered first once
 * the caller reads, and the peer's end, where it has come, after them. The caller closes it
 * (hio_close). Not before on_request has returned may it be detached to another loop.
 *
 * Over HTTP/2 it is a stream that is given away, as an io of its own: by an extended CONNECT (RFC
 * 8441), which looks like a GET that asks for an upgrade and is answered with 200 where 101 is said
 * here, or by a plain one. Such an io cannot be detached, nor written to from other threads.
 *   headers  as of hhttp_respond_with; the server adds Connection: Upgrade to a 101, the caller
 *            Upgrade and what the protocol wants; Content-Length is never sent
 *   io       gives the connection; untouched where the call fails
 * Until it is closed the connection counts in hhttp_server_connections, and a server that closes
 * waits for it: see hhttp_upgraded_on_shutdown. The request is over.
 * Returns 0; HV_EPROTO where the request has a body, or asks neither for an upgrade (101: HTTP/1.1
 * with Connection: Upgrade and an Upgrade header) nor by CONNECT for a tunnel (2xx); HV_EBUSY where
 * an answer has begun; HV_ECLOSED; HV_EINVAL for another status or a bad header; HV_ENOMEM. */
HV_EXPORT int hhttp_request_upgrade(hhttp_request_t *req, int status, const hhttp_header_t *headers,
                                    size_t header_count, hio_t **io);

/* Asks to be told once when the server begins to close or drain, so that the protocol can say
 * good-bye and close its io within the grace; who has not closed by then is cut off. Without a
 * function the connection just goes on until then. On a server that closes already it is called in
 * the next pass. Returns 0; HV_EINVAL for an io that no server has given away, HV_ECLOSED. */
HV_EXPORT int hhttp_upgraded_on_shutdown(hio_t *io, void (*on_shutdown)(hio_t *io));

/* ---- Routes: pure, no loop ---- */

#define HHTTP_ROUTE_PARAMS_MAX 16

typedef struct hhttp_route_match_s {
    uint32_t route;      /* the number given to hhttp_router_add */
    uint32_t allow_mask; /* 1 << method for every method the path has; set in every case */
    int param_count;
    struct {
        hhttp_slice_t name;  /* lives as long as the router */
        hhttp_slice_t value; /* part of the path given, still percent-encoded */
    } params[HHTTP_ROUTE_PARAMS_MAX];
} hhttp_route_match_t;

HV_EXPORT hhttp_router_t *hhttp_router_new(void);
HV_EXPORT void hhttp_router_free(hhttp_router_t *router);

/* Adds a route.
 *   pattern  begins with '/'; a segment is literal, ":name" (one segment, not empty) or, last,
 *            "*name" (the rest, may be empty). Literal beats name beats rest, segment by segment,
 *            with a step back where the better one leads nowhere.
 *   route    the caller's number, given back by a match
 * Returns 0; HV_EINVAL for a bad pattern; HV_EBUSY where the same method and shape exist already;
 * HV_ELIMIT beyond HHTTP_ROUTE_PARAMS_MAX; HV_ENOMEM. */
HV_EXPORT int hhttp_router_add(hhttp_router_t *router, hhttp_method_e method, const char *pattern,
                               size_t pattern_len, uint32_t route);

/* Finds the route of a path (percent-encoded, without query). Literals are compared with the
 * decoded segment. A HEAD finds a GET route where there is no HEAD route.
 * Returns 0; HV_ENOTFOUND where no route has that path (allow_mask is 0) or none has that method
 * (allow_mask tells which: 405). */
HV_EXPORT int hhttp_router_match(const hhttp_router_t *router, hhttp_method_e method,
                                 const char *path, size_t path_len, hhttp_route_match_t *match);

/* ---- Words ---- */

/* "GET" for HHTTP_GET ... ; "" for HHTTP_OTHER and HHTTP_ANY. */
HV_EXPORT const char *hhttp_method_name(hhttp_method_e method);
/* The method of a token, exact case (RFC 9110 section 9.1); HHTTP_OTHER if none. */
HV_EXPORT hhttp_method_e hhttp_method_of(const char *name, size_t len);
/* "OK" for 200 ...; "Unknown" where the registry has no phrase. */
HV_EXPORT const char *hhttp_status_text(int status);

/* Decodes percent-encoding; plus_is_space also turns '+' into a blank (query and form values).
 * An invalid escape stays as it is.
 *   out  room for len bytes; may be `text` itself
 * Returns the bytes written. */
HV_EXPORT size_t hhttp_percent_decode(const char *text, size_t len, int plus_is_space, char *out);

/* ---- Pairs of a query string, or of an application/x-www-form-urlencoded body ---- */

/* One of them; URL Standard, section "application/x-www-form-urlencoded parsing". */
typedef struct hhttp_query_pair_s {
    hhttp_slice_t name;  /* as sent */
    hhttp_slice_t value; /* as sent; data NULL where the pair has no '=' */
    int name_is_encoded; /* holds '%' or '+': decode it with hhttp_query_decode before use */
    int value_is_encoded;
} hhttp_query_pair_t;

/* The pair after `*cursor` (start with 0); empty pairs ("a=1&&b=2") are passed over.
 *   text  borrowed; the pair's slices point into it
 * Returns 1, or 0 at the end. */
HV_EXPORT int hhttp_query_next(hhttp_slice_t text, size_t *cursor, hhttp_query_pair_t *pair);

/* Decodes a name or a value: '+' is a blank, an invalid escape stays as it is.
 *   out      the caller's buffer; may be the text itself
 *   out_max  its bytes; the decoded text is never longer than the text
 * Returns the bytes written, or HV_ELIMIT where the text is longer than the buffer. */
HV_EXPORT long hhttp_query_decode(hhttp_slice_t text, char *out, size_t out_max);

/* The value of the first pair whose decoded name is `name`; data NULL where there is none, and data
 * not NULL with len 0 where the pair has no '='. Still encoded. */
HV_EXPORT hhttp_slice_t hhttp_query_find(hhttp_slice_t text, const char *name, size_t name_len);

HV_END_DECLS

#endif
