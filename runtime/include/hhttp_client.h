/* hhttp_client.h - HTTP requests over a pool of kept connections, usable from C without Lua.
 *
 * A client keeps connections to servers and the rules for making them. A call is one request with
 * its response. What is told of it comes through callbacks, in this order: on_ready where the body
 * is streamed, on_head once, on_data for each piece, on_done exactly once and last.
 *
 *     static void on_data(hhttp_call_t *call, const void *data, size_t len) {
 *         fwrite(data, 1, len, stdout);
 *     }
 *     static void on_done(hhttp_call_t *call, int error) {
 *         if (error != 0) fprintf(stderr, "%s\n", hhttp_call_error_text(call));
 *     }
 *     hhttp_url_t url;
 *     hhttp_url_parse("http://127.0.0.1:8080/", &url);
 *     hhttp_call_options_t options = {.url = url, .on_data = on_data, .on_done = on_done};
 *     hhttp_call_t *call = hhttp_call_start(client, &options);
 *
 * Requests and responses are neutral to the protocol version: what they are does not depend on how
 * their bytes travel (RFC 9110). HTTP/2 (RFC 9113) is spoken where an https server chooses it by
 * ALPN, or where a call says that it is known; else HTTP/1.1 (RFC 9112). All calls to one server
 * then share a connection of HTTP/2, as many as the server takes at once; one that ends early
 * resets its stream and leaves the connection to the others. */
#ifndef HV_HTTP_CLIENT_H_
#define HV_HTTP_CLIENT_H_

#include "hhttp.h"
#include "hssl.h"

HV_BEGIN_DECLS

typedef struct hhttp_client_s hhttp_client_t;
typedef struct hhttp_call_s hhttp_call_t;

/* ---- URLs: pure ---- */

/* The parts of an absolute http or https URL; slices borrow the text. */
typedef struct hhttp_url_s {
    int is_https;
    int port;             /* 1..65535; the scheme's usual one where none is given */
    hhttp_slice_t host;   /* without the brackets of an IPv6 literal */
    hhttp_slice_t target; /* path and query without the fragment; "/" where there is none; where
                             only the path is missing it begins with '?' */
} hhttp_url_t;

/* Takes a URL apart (RFC 3986). User and password are refused: they go into a header.
 * Returns 0, or HV_EINVAL where it is no such URL or has bytes that may not stand in one. */
HV_EXPORT int hhttp_url_parse(const char *url, hhttp_url_t *parts);

/* Whether strangers register names below a domain (publicsuffix.org): no cookie may be set for it.
 *   domain  in lower case, "xn--" where it is not ASCII; no address */
HV_EXPORT int hhttp_is_public_suffix(const char *domain);

/* ---- The client ---- */

/* Limits and times. A field left 0 takes the default beside it; INFINITE switches a time off. */
typedef struct hhttp_client_options_s {
    uint32_t status_line_bytes_max;    /* 8 KiB; beyond: HV_ELIMIT */
    uint32_t header_bytes_max;         /* 64 KiB of one head, or of trailers and chunk extensions */
    uint32_t header_count_max;         /* 200 */
    uint32_t interim_max;              /* 16 responses of 1xx before the final one */
    uint32_t connections_per_host_max; /* 64; further calls wait for one of them */
    uint32_t idle_per_host_max;        /* 64 connections kept for calls to come */
    uint32_t idle_max;                 /* 256 of all hosts; beyond: the oldest is closed */
    uint32_t waiting_max;              /* 10000 calls that wait; beyond: HV_ELIMIT */
    uint32_t idle_timeout_ms;          /* 30000 before an unused connection is closed */
    uint32_t streams_per_connection_max; /* 1000 calls at once on one of HTTP/2, if the server takes
                                            as many; beyond: one more connection, or they wait */
    uint32_t stream_window_bytes;      /* 1 MiB that the server may send of a response while the
                                          program does not take it; HTTP/2 only */
    uint32_t ping_interval_ms; /* none; a connection of HTTP/2 on which calls wait, and from which
                                  nothing has come for so long, is asked by a PING */
    uint32_t pong_timeout_ms;  /* 20000; one from which nothing comes for so much longer is gone:
                                  its calls are sent again over another one where that is safe,
                                  else they end with HV_ETIMEDOUT */
} hhttp_client_options_t;

/* Makes a client on a loop. `options` is copied; NULL for the defaults.
 * Returns it, or NULL without memory. Close it with hhttp_client_close; hloop_free does, too. */
HV_EXPORT hhttp_client_t *hhttp_client_new(hloop_t *loop, const hhttp_client_options_t *options);
/* Ends every call with HV_ECANCELED, later, and closes every connection. The client is freed when
 * the last of them is gone; do not use it any more. NULL is allowed. */
HV_EXPORT void hhttp_client_close(hhttp_client_t *client);
/* Closes the connections that no call uses. */
HV_EXPORT void hhttp_client_close_idle(hhttp_client_t *client);

/* What a client holds at the moment. */
typedef struct hhttp_client_counts_s {
    uint32_t connections; /* connecting, in use and idle */
    uint32_t idle;
    uint32_t waiting;  /* calls without a connection */
    uint64_t opened;   /* connections since the start */
    uint64_t reused;   /* calls that took a connection which was there */
    uint64_t repeated; /* calls sent again because a kept connection had ended, or the server had
                          not acted on them */
} hhttp_client_counts_t;

HV_EXPORT void hhttp_client_counts(const hhttp_client_t *client, hhttp_client_counts_t *counts);

/* ---- A call ---- */

typedef enum {
    HHTTP_PROXY_NONE,
    HHTTP_PROXY_HTTP,   /* absolute-form for http, CONNECT for https (RFC 9110 section 9.3.6) */
    HHTTP_PROXY_SOCKS5, /* RFC 1928 and 1929; the proxy resolves the name */
    HHTTP_PROXY_HTTPS,  /* as HHTTP_PROXY_HTTP, by TLS: a tunnel for https is TLS inside of TLS */
} hhttp_proxy_e;

typedef struct hhttp_proxy_s {
    hhttp_proxy_e kind;
    const char *host;
    int port;
    const char *user; /* NULL: none; up to 255 bytes; no ':' but for SOCKS 5 (RFC 7617) */
    const char *password;
} hhttp_proxy_t;

typedef void (*hhttp_call_cb)(hhttp_call_t *call);

/* Whether a call may travel by HTTP/2. One with `upgrade` never does. */
enum {
    HHTTP_CALL_HTTP2_OFFERED = 0, /* https: where the server chooses it; http: no */
    HHTTP_CALL_HTTP2_OFF     = 1,
    HHTTP_CALL_HTTP2_PRIOR   = 2, /* it is known that the server speaks it, also in the clear */
};

/* A request. Everything but `body` is copied. Zero is a GET with good defaults. */
typedef struct hhttp_call_options_s {
    hhttp_url_t url;
    const char *unix_path;  /* connects there instead of to the URL's host; NULL: no */
    const char *method;     /* a token other than CONNECT; NULL: GET */
    const hhttp_header_t *headers; /* Host and Date may be among them. Content-Length,
                                      Transfer-Encoding, Connection, Expect, Upgrade and TE are the
                                      client's own: HV_EINVAL */
    size_t header_count;

    const void *body; /* borrowed until on_done; sent again where the call is repeated */
    int64_t body_len; /* bytes of body, or, with body NULL and is_streamed, bytes that will be
                         written; -1: not known, chunked */
    int is_streamed;  /* the body comes by hhttp_call_write, from on_ready on */
    int64_t expect_bytes; /* bodies of so many bytes, or of unknown length, are announced by
                             Expect: 100-continue and held back for a second; 0: 1 MiB, -1: never */

    hssl_ctx_t tls;          /* retained; NULL: verifies by the system's roots */
    const char *server_name; /* to ask for and verify; NULL: the URL's host */
    const hhttp_proxy_t *proxy; /* NULL: none */
    hssl_ctx_t proxy_tls;       /* for HHTTP_PROXY_HTTPS; retained; NULL: the system's roots */
    const char *upgrade;     /* "websocket": asks for it; see hhttp_call_take_io. NULL: no */
    int closes;              /* says Connection: close; the connection is not kept */
    int is_fresh;            /* takes no kept connection */
    int wants_trailers;      /* says TE: trailers, which gRPC for one asks for; they are read in any
                                case */
    int http2;               /* HHTTP_CALL_HTTP2_*. A context `tls` with an ALPN list of its own
                                offers that where this is OFFERED */
    uint32_t redirects_max;  /* how many are followed; beyond: HV_ELIMIT. 0: none, the 3xx is the
                                response. POST becomes GET after 301 and 302, everything but HEAD
                                after 303 (RFC 9110 section 15.4); Authorization and Cookie stay
                                with their origin. One that asks for a body again that was streamed
                                is not followed */

    /* Asks for gzip, deflate and br, unless Accept-Encoding or Range are among the headers, and
     * decodes what has one of them; hhttp_call_length is of the coded body. */
    int decodes;
    /* Of the response, coded and decoded; 0: no limit; beyond: HV_ELIMIT. */
    uint64_t body_bytes_max;
    uint32_t connect_timeout_ms; /* 10000 for name, connect, proxy and TLS */
    uint32_t head_timeout_ms;    /* from the start to the head of the response; 0: none */
    uint32_t total_timeout_ms;   /* from the start to the end; 0: none */
    uint32_t idle_timeout_ms;    /* without a byte in or out, once sent; 0: none */

    hhttp_call_cb on_ready;   /* the connection takes the body now */
    hhttp_call_cb on_drain;   /* after hhttp_call_write said HV_EAGAIN: there is room again */
    hhttp_call_cb on_interim; /* a 1xx: hhttp_call_status and headers are those of it */
    hhttp_call_cb on_head;    /* the final head, or 101 */
    void (*on_data)(hhttp_call_t *call, const void *data, size_t len);
    void (*on_done)(hhttp_call_t *call, int error); /* required */
    void *userdata;
} hhttp_call_options_t;

/* Starts a call. No callback comes before this returns.
 * Returns it, valid until on_done has returned, or NULL with hloop_last_error set: HV_EINVAL for
 * what cannot be sent, HV_ELIMIT where too many calls wait, HV_ECLOSED, HV_ENOMEM, or why no socket
 * could be made. Then on_done is not called. */
HV_EXPORT hhttp_call_t *hhttp_call_start(hhttp_client_t *client,
                                         const hhttp_call_options_t *options);

/* Keeps a call readable beyond on_done, until as many releases. */
HV_EXPORT void hhttp_call_retain(hhttp_call_t *call);
HV_EXPORT void hhttp_call_release(hhttp_call_t *call);
HV_EXPORT void *hhttp_call_userdata(const hhttp_call_t *call);
HV_EXPORT void hhttp_call_set_userdata(hhttp_call_t *call, void *userdata);

/* Gives a call up: on_done follows, later, with HV_ECANCELED. Again, or after it: nothing. */
HV_EXPORT void hhttp_call_cancel(hhttp_call_t *call);

/* ---- Its request body, between on_ready and on_done ---- */

/* Sends a piece; bytes are copied or sent before return.
 * Returns 0; HV_EAGAIN where it was taken and the queue is above its high-water mark: wait for
 * on_drain before the next; HV_ENOTCONN before on_ready; HV_ELIMIT where more than body_len is
 * written (nothing is taken); HV_ECLOSED after the end of either. */
HV_EXPORT int hhttp_call_write(hhttp_call_t *call, const void *data, size_t len);
/* Ends the body. Returns 0; HV_EPROTO where fewer bytes than body_len were written: the call then
 * fails; HV_ENOTCONN, HV_ECLOSED as above. */
HV_EXPORT int hhttp_call_finish(hhttp_call_t *call);
/* The same with trailers behind the body: over HTTP/2, and over HTTP/1.1 where body_len is -1; else
 * there is no place for them and they are left out.
 *   trailers  copied; as of hhttp_response_end_with
 * Returns as hhttp_call_finish; HV_EINVAL; HV_ENOMEM, or HV_ELIMIT where what waits to be sent is
 * at its limit: the body is not ended. */
HV_EXPORT int hhttp_call_finish_with(hhttp_call_t *call, const hhttp_header_t *trailers,
                                     size_t count);

/* ---- Its response, from on_head on ---- */

/* 0 before there is one. */
HV_EXPORT int hhttp_call_status(const hhttp_call_t *call);
/* As sent; the usual words for the status where the version has none. */
HV_EXPORT hhttp_slice_t hhttp_call_reason(const hhttp_call_t *call);
/* 10 for HTTP/1.0, 11 for HTTP/1.1, 20 for HTTP/2. */
HV_EXPORT int hhttp_call_version(const hhttp_call_t *call);
/* The first header of that name, case-insensitive; data NULL where there is none. */
HV_EXPORT hhttp_slice_t hhttp_call_header(const hhttp_call_t *call, const char *name,
                                          size_t name_len);
/* The header after `*cursor` (start with 0). Returns 1, or 0 at the end. */
HV_EXPORT int hhttp_call_next_header(const hhttp_call_t *call, size_t *cursor,
                                     hhttp_header_t *header);
/* A trailer: a field that came behind the body, in chunks or over HTTP/2 (RFC 9110 section 6.5);
 * known from on_done on where there was no error, data NULL before and where there is none. Limits
 * are those of headers. Fields that may not stand there, such as Content-Length or Set-Cookie, are
 * passed over. */
HV_EXPORT hhttp_slice_t hhttp_call_trailer(const hhttp_call_t *call, const char *name,
                                           size_t name_len);
/* The trailer after `*cursor` (start with 0). Returns 1, or 0 at the end; HV_EAGAIN before on_done,
 * and where the call has failed. */
HV_EXPORT int hhttp_call_next_trailer(const hhttp_call_t *call, size_t *cursor,
                                      hhttp_header_t *trailer);
/* Bytes of body to come as the head says; -1 where it does not. */
HV_EXPORT int64_t hhttp_call_length(const hhttp_call_t *call);

/* Stops on_data after the callback that runs, and lets it go on. While a call is paused the server
 * is slowed, and no timeout but the total one runs. */
HV_EXPORT void hhttp_call_pause(hhttp_call_t *call);
HV_EXPORT void hhttp_call_resume(hhttp_call_t *call);

/* After a 101: takes the connection out of the client. Bytes that came behind the head are read
 * first. The call ends then, without an error. While nobody takes it the connection stays open and
 * is not read.
 * Returns the io, which is the caller's: its callbacks are off, its reading is stopped; or NULL
 * where there is no 101 or it is gone. */
HV_EXPORT hio_t *hhttp_call_take_io(hhttp_call_t *call);

/* ---- Facts ---- */

/* Words for the error of on_done, of the peer, the proxy or TLS where there are such; never
 * NULL. */
HV_EXPORT const char *hhttp_call_error_text(const hhttp_call_t *call);
/* The request line and headers as they are sent; the line names the version once it is known. */
HV_EXPORT hhttp_slice_t hhttp_call_request_head(const hhttp_call_t *call);
/* The URL that is asked now, after redirects; NULL where redirects_max is 0. */
HV_EXPORT const char *hhttp_call_url(const hhttp_call_t *call);
/* How many redirects were followed. */
HV_EXPORT uint32_t hhttp_call_redirects(const hhttp_call_t *call);
/* The connection, for its addresses and TLS; NULL while there is none. Never read or write it. */
HV_EXPORT hio_t *hhttp_call_io(const hhttp_call_t *call);
/* Whether it took a connection that had served before. */
HV_EXPORT int hhttp_call_is_reused(const hhttp_call_t *call);
/* Whether its request went out to a connection at least once, also after the call has ended: a
 * server may then have acted on it, and only an idempotent one may be sent again (RFC 9110
 * 9.2.2). */
HV_EXPORT int hhttp_call_was_sent(const hhttp_call_t *call);
/* Bytes of the body handed to the connection so far. */
HV_EXPORT uint64_t hhttp_call_sent(const hhttp_call_t *call);

HV_END_DECLS

#endif
