/* hws.h - WebSocket, both sides: servers that take over HTTP requests, clients that connect, and
 * messages to many. RFC 6455; permessage-deflate, RFC 7692.
 *
 * A hub holds what belongs together: its sockets, their topics, what they share. An endpoint of a
 * hub is one set of rules and functions, for as many sockets as there are.
 *
 *     static void on_message(hws_t *ws, hws_kind_e kind, const void *data, size_t len) {
 *         hws_send(ws, kind, data, len);
 *     }
 *     hws_hub_t *hub = hws_hub_new(loop);
 *     hws_endpoint_t *echo = hws_endpoint_new(hub, NULL, &(hws_handlers_t){.on_message =
 *     on_message});
 *
 *     static void on_request(hhttp_request_t *req, void *userdata) { hws_accept(userdata, req,
 *     NULL); } hhttp_server_on_request(server, on_request, echo);
 *
 * Life of a socket: connecting (clients), open from on_open on, closing once either side has begun
 * to close, then exactly one on_close, the last call for it; the memory goes when that has
 * returned. Everything here belongs to the loop's own thread. No function calls back: what it
 * causes is reported by the loop. */
#ifndef HV_WS_H_
#define HV_WS_H_

#include "hhttp.h"
#include "hhttp_client.h"
#include "hssl.h"

HV_BEGIN_DECLS

typedef struct hws_s hws_t;
typedef struct hws_hub_s hws_hub_t;
typedef struct hws_endpoint_s hws_endpoint_t;

typedef enum { HWS_TEXT = 1, HWS_BINARY = 2 } hws_kind_e;

/* Close codes (RFC 6455 section 7.4.1); 3000..4999 are a program's own. */
enum {
    HWS_NORMAL      = 1000,
    HWS_GOING_AWAY  = 1001, /* the server ends, the page is left */
    HWS_PROTOCOL    = 1002,
    HWS_UNSUPPORTED = 1003, /* a kind of message that is not taken */
    HWS_NO_CODE     = 1005, /* the close frame had none; cannot be sent */
    HWS_ABNORMAL    = 1006, /* there was no close frame; cannot be sent */
    HWS_BAD_DATA    = 1007, /* text that is no UTF-8, data that does not inflate */
    HWS_POLICY      = 1008,
    HWS_TOO_BIG     = 1009,
    HWS_INTERNAL    = 1011, /* an error of the program */
};

/* ---- Rules ---- */

/* permessage-deflate. Without context takeover a message is compressed for itself, and a socket
 * holds no memory for it between two messages; with it, up to 300 KiB for what it sends and 44 KiB
 * for what it receives. */
typedef struct hws_deflate_s {
    int is_on;            /* servers: agree to it; clients: offer it */
    int server_takeover;  /* the server may keep its window from message to message */
    int client_takeover;  /* the client may */
    int server_window_bits; /* 8..15; 0: 15. With 8 nothing is compressed by us: zlib cannot */
    int client_window_bits;
    int level;            /* 1 fast .. 9 small; 0: 6 */
    uint32_t bytes_min;   /* shorter messages are not compressed; 0: 1024 */
} hws_deflate_t;

/* A field left 0 takes the default named beside it; INFINITE switches a time or a limit off. */
typedef struct hws_options_s {
    uint64_t message_bytes_max; /* 16 MiB of one message, inflated; beyond: closed with 1009 */
    uint64_t frame_bytes_max;   /* of one frame; the same as message_bytes_max */
    uint32_t fragments_max;     /* 131072 frames of one message; beyond: closed with 1009 */
    uint32_t ping_interval_ms;  /* 30000 without a byte of the peer's: a ping is sent */
    uint32_t pong_timeout_ms;   /* 20000 more without one: it is gone, HV_ETIMEDOUT */
    uint32_t close_timeout_ms;  /* 5000 for the peer to answer a close frame */
    uint32_t write_high;        /* 1 MiB queued: hws_send returns HV_EAGAIN */
    uint32_t write_max;         /* 16 MiB queued: hws_send refuses, hws_publish closes the socket */
    uint32_t inbox_bytes_max;   /* 64 KiB of messages kept while paused; then the peer waits */
    hws_deflate_t deflate;
    const char *protocols; /* "chat, superchat", the best first: chosen from or asked for; copied */
    const char *origins;   /* servers: who may come, "https://a.example, ..."; NULL: any; copied */
} hws_options_t;

typedef void (*hws_cb)(hws_t *ws);
typedef void (*hws_data_cb)(hws_t *ws, const void *data, size_t len);

/* Any of them may be NULL. All are called by the loop; `data` is borrowed until the callback
 * returns and is not NUL-terminated. */
typedef struct hws_handlers_s {
    hws_cb on_open;
    void (*on_message)(hws_t *ws, hws_kind_e kind, const void *data, size_t len);
    hws_data_cb on_ping; /* its pong is sent already */
    hws_data_cb on_pong;
    hws_cb on_drain; /* after HV_EAGAIN: there is room again */
    hws_cb on_close; /* see hws_close_code, hws_close_reason, hws_error */
} hws_handlers_t;

/* ---- Hubs and endpoints ---- */

/* Returns NULL with hloop_last_error set. Free it with hws_hub_free. */
HV_EXPORT hws_hub_t *hws_hub_new(hloop_t *loop);
/* Adds an endpoint, which lives as long as its hub.
 *   options, handlers  copied; options may be NULL
 * Returns NULL with hloop_last_error set: HV_EINVAL where an option is out of range. */
HV_EXPORT hws_endpoint_t *hws_endpoint_new(hws_hub_t *hub, const hws_options_t *options,
                                           const hws_handlers_t *handlers);
HV_EXPORT void hws_endpoint_set_userdata(hws_endpoint_t *endpoint, void *userdata);
HV_EXPORT void *hws_endpoint_userdata(const hws_endpoint_t *endpoint);

/* Closes every socket of the hub with a code, as hws_close does; new ones are refused from now on.
 * */
HV_EXPORT void hws_hub_close(hws_hub_t *hub, int code, const char *reason);
/* Cuts off what is still open and frees the hub after the last on_close. NULL is allowed. */
HV_EXPORT void hws_hub_free(hws_hub_t *hub);
/* Sockets that are not closed yet. */
HV_EXPORT size_t hws_hub_count(const hws_hub_t *hub);
/* Walks over them: the one after `ws`, NULL for the first; NULL at the end. */
HV_EXPORT hws_t *hws_hub_next(const hws_hub_t *hub, const hws_t *ws);

/* ---- Servers ---- */

/* Answers a request: with 101, and the connection becomes a socket, on_open following; or with the
 * status that it deserves: 400, 403 (origin), 426 (version). When the HTTP server closes or drains,
 * the socket is closed with 1001.
 * Returns the socket, or NULL: the request is answered, or its peer is gone. */
HV_EXPORT hws_t *hws_accept(hws_endpoint_t *endpoint, hhttp_request_t *req, void *userdata);

/* ---- Clients ---- */

typedef struct hws_connect_s {
    const char *url;               /* "ws[s]://host[:port][/path][?query]" */
    const hhttp_header_t *headers; /* of the request, beside those of the handshake */
    size_t header_count;
    uint32_t timeout_ms;     /* 10000 until it is open, names, TLS and handshake included */
    hssl_ctx_t ssl;          /* for wss; retained; NULL: verify by the system's roots */
    const char *server_name; /* to ask for and verify, where it is not the URL's host */
    const hhttp_proxy_t *proxy; /* to go through, by CONNECT or SOCKS; NULL: none */
    hssl_ctx_t proxy_ssl;    /* for HHTTP_PROXY_HTTPS; retained; NULL: the system's roots */
} hws_connect_t;

/* Connects. `options` is borrowed until return. What fails later is told by on_close alone, without
 * an on_open before it: hws_error, and hws_problem for words.
 * Returns the socket, or NULL with hloop_last_error set: HV_EINVAL for a bad URL, header or list of
 * protocols; HV_ENOMEM; what hloop_create_tcp_client says. */
HV_EXPORT hws_t *hws_connect(hws_endpoint_t *endpoint, const hws_connect_t *options,
                             void *userdata);

/* ---- Sending ---- */

/* Sends a message.
 *   data  copied or sent before return
 * Returns 0; HV_EAGAIN where it was taken and the queue is above write_high: a fair writer waits
 * for on_drain; else nothing was taken: HV_ECLOSED, HV_ENOTCONN before on_open, HV_EINVAL for text
 * that is no UTF-8, HV_ELIMIT beyond write_max, HV_ENOMEM. */
HV_EXPORT int hws_send(hws_t *ws, hws_kind_e kind, const void *data, size_t len);
/* Up to 125 bytes. Returns as hws_send; HV_EINVAL where they are more. A ping of one's own is
 * needed for measuring only: see ping_interval_ms. */
HV_EXPORT int hws_ping(hws_t *ws, const void *data, size_t len);
HV_EXPORT int hws_pong(hws_t *ws, const void *data, size_t len);

/* Begins to close: a close frame is sent behind what is queued, on_close follows when the peer has
 * answered it or close_timeout_ms is over. Messages that come meanwhile are dropped. Again:
 * nothing.
 *   code    1000..1003, 1007..1014, 3000..4999; 0 or HWS_NO_CODE: none is sent
 *   reason  UTF-8, cut to 123 bytes; NULL: none
 * Returns 0, or HV_EINVAL. A client that is not open yet gives up. */
HV_EXPORT int hws_close(hws_t *ws, int code, const char *reason);
/* Closes without a word. */
HV_EXPORT void hws_abort(hws_t *ws);

/* Keeps messages back from now on (pings are answered, and a close is noticed, all the same);
 * beyond inbox_bytes_max the peer is slowed down. hws_resume goes on, in the loop's next pass.
 * on_close waits until the messages that came before it have been delivered, or hws_close drops
 * them. */
HV_EXPORT void hws_pause(hws_t *ws);
HV_EXPORT void hws_resume(hws_t *ws);

/* In on_message: takes the message that follows, where it came whole and uncompressed in the same
 * read, and on_message is not called for it. So a program that has a price for each entry pays it
 * once for many messages. Order is kept; there is none after hws_pause and hws_close.
 *   data  valid until on_message returns
 * Returns 1, or 0: there is none, which says nothing of later ones. */
HV_EXPORT int hws_next(hws_t *ws, hws_kind_e *kind, const void **data, size_t *len);
/* Whether hws_next has something to look at: a message, or one that turns out to be faulty. */
HV_EXPORT int hws_has_next(const hws_t *ws);

/* Bytes that wait to be sent. */
HV_EXPORT size_t hws_write_bufsize(const hws_t *ws);

/* ---- Topics ---- */

/* Adds the socket to those that get what is published on a topic; again: nothing.
 *   topic  1..1024 bytes, copied
 * Returns 0; HV_EINVAL; HV_ELIMIT beyond 4096 topics of one socket; HV_ECLOSED; HV_ENOMEM. */
HV_EXPORT int hws_subscribe(hws_t *ws, const char *topic, size_t topic_len);
/* Returns 0, or HV_ENOTFOUND. A socket that closes leaves its topics by itself. */
HV_EXPORT int hws_unsubscribe(hws_t *ws, const char *topic, size_t topic_len);
/* Sends a message to every subscriber of the hub: the frame is built once, and compressed at most
 * once (for sockets whose server keeps no context). A socket whose queue would pass write_max is
 * cut off, with hws_error HV_ELIMIT, so that one slow reader costs neither memory nor time.
 *   except  who does not get it; or NULL
 * Returns how many got it, or HV_EINVAL (text that is no UTF-8), HV_ENOMEM. */
HV_EXPORT int hws_publish(hws_hub_t *hub, const char *topic, size_t topic_len, hws_kind_e kind,
                          const void *data, size_t len, const hws_t *except);
/* Subscribers of a topic. */
HV_EXPORT size_t hws_subscribers(const hws_hub_t *hub, const char *topic, size_t topic_len);

/* ---- Facts ---- */

HV_EXPORT void hws_set_userdata(hws_t *ws, void *userdata);
HV_EXPORT void *hws_userdata(const hws_t *ws);
HV_EXPORT hws_hub_t *hws_hub(const hws_t *ws);
HV_EXPORT hws_endpoint_t *hws_endpoint(const hws_t *ws);
HV_EXPORT int hws_is_open(const hws_t *ws);
/* The subprotocol that was agreed on; len 0: none. Lives as long as the endpoint. */
HV_EXPORT hhttp_slice_t hws_protocol(const hws_t *ws);
/* Whether permessage-deflate was agreed on. */
HV_EXPORT int hws_is_deflated(const hws_t *ws);
/* The connection, for its addresses; NULL once it is gone, or where the socket has no connection of
 * its own. Never read or write on it. */
HV_EXPORT hio_t *hws_io(const hws_t *ws);

/* In on_close: the code of the peer's close frame, HWS_NO_CODE where it had none; HWS_ABNORMAL
 * where none came; or the code that we have failed the connection with (1002, 1007, 1009). */
HV_EXPORT int hws_close_code(const hws_t *ws);
/* Its words; "" where there are none. Valid as long as the socket. */
HV_EXPORT const char *hws_close_reason(const hws_t *ws);
/* Why it was closed, negative: 0 in good order; HV_EPROTO (1002, 1007, or no WebSocket at the other
 * end), HV_ELIMIT (1009, or a queue), HV_ETIMEDOUT, HV_EOF (without a close frame), HV_ECONNREFUSED
 * and other codes of the io. */
HV_EXPORT int hws_error(const hws_t *ws);
/* The same in words where there are more than herr_text has ("the server answered 403"); or NULL.
 * */
HV_EXPORT const char *hws_problem(const hws_t *ws);
/* The status a server refused a client with; 0: it did not. */
HV_EXPORT int hws_status(const hws_t *ws);

HV_END_DECLS

#endif
