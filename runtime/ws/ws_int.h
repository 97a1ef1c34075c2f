/* ws_int.h - the inside of the ws room: hubs, endpoints and sockets. Private to its files.
 *
 * States of a socket:
 *
 *   CONNECTING --101--> OPEN --hws_close--> CLOSING --close frame--> ENDING
 *        |               |                     |                       |
 *        |               +---close frame, or a fault of the peer------>+
 *        |                                     |                       |
 *        +-----failure------> the io's close callback (from anywhere) -+--> DEAD --on_close-->
 *        freed
 *
 * ENDING drops what still comes until the peer ends its side, so that no reset overtakes our close
 * frame. A DEAD socket may wait for hws_resume with messages in its inbox. A socket is freed by the
 * dispatcher only (hv__ws_finish), so none of these files ever holds one that is gone. */
#ifndef HV_WS_INT_H_
#define HV_WS_INT_H_

#include "hassert.h"
#include "hbuf.h"
#include "hcodec.h"
#include "hdispatch.h"
#include "hmem.h"
#include "hnet_int.h"
#include "hslab.h"
#include "hws.h"
#include "ws_frame.h"
#include "ws_handshake.h"

enum { WS_CONNECTING, WS_OPEN, WS_CLOSING, WS_ENDING, WS_DEAD };

enum {
    WSF_CLIENT      = 0x0001,
    WSF_DEFLATE     = 0x0002, /* agreed on */
    WSF_OUT_CONTEXT = 0x0004, /* what we compress refers to earlier messages */
    WSF_IN_CONTEXT  = 0x0008, /* what the peer compresses does */
    WSF_PAUSED      = 0x0010, /* messages go to the inbox */
    WSF_STUFFED     = 0x0020, /* and it is full: reading rests */
    WSF_PINGED      = 0x0040, /* at stamp_ms; no byte has come since */
    WSF_OPEN_OWED   = 0x0080, /* on_open */
    WSF_GOT_CLOSE   = 0x0200, /* the peer's close frame */
    WSF_SENT_CLOSE  = 0x0400,
    WSF_LOCAL_CLOSE = 0x0800, /* hws_close was called: what is in the inbox is nobody's */
    WSF_FAILED      = 0x1000, /* by us: close_code is what we sent */
    WSF_RESUME_OWED = 0x2000, /* hws_resume was called; it stays paused until the loop's turn */
};

/* What few sockets hold, and those for a moment: messages in parts, what is kept while it is
 * paused, codecs. Freed when nothing is in it. */
typedef struct ws_work_s {
    hbuf_t message; /* the beginning of a message */
    hbuf_t inbox;   /* whole messages: ws_inbox_head_t, then the bytes */
    hbuf_t rest;    /* bytes of the wire that are not looked at while it is stuffed */
    hcodec_t *inflater;
    hcodec_t *deflater; /* with WSF_OUT_CONTEXT */
    char *reason;       /* of the peer's close frame */
    ws_utf8_t utf8;     /* of an inflated text */
    uint8_t control_len;
    char control[WS_CONTROL_BYTES_MAX];
} ws_work_t;

typedef struct ws_inbox_head_s {
    uint32_t len;
    uint32_t kind;
} ws_inbox_head_t;

struct ws_sub_s;
struct ws_dial_s;

struct hws_s {
    hws_t *next; /* of the endpoint */
    hws_t *prev;
    hws_endpoint_t *endpoint;
    hio_t *io; /* NULL once it is closed */
    void *userdata;
    ws_work_t *work;        /* NULL: nothing is in it */
    struct ws_sub_s *subs;  /* its topics */
    struct ws_dial_s *dial; /* of a client; see ws_client.c */
    hv__defer_t defer;
    ws_parser_t parser;
    int error;         /* negative */
    uint32_t stamp_ms; /* when it was pinged, or began to close */
    uint16_t flags;
    uint16_t close_code; /* 0: none yet */
    uint16_t protocol_at; /* in endpoint->protocols */
    uint8_t protocol_len;
    uint8_t state;
    uint8_t out_bits; /* window of what we compress */
};

struct hws_endpoint_s {
    hws_endpoint_t *next; /* of the hub */
    hws_hub_t *hub;
    void *userdata;
    hws_options_t options; /* filled in; its strings are not used */
    hws_handlers_t handlers;
    ws_rules_t rules[2];   /* [WSF_CLIENT] of a socket: what its peer may do */
    char *protocols;       /* or NULL */
    char *origins;
    hws_t *first;
    hws_t *last;
    htimer_t *timer; /* runs while there are sockets */
    uint32_t tick_ms; /* INFINITE: nothing is to be watched */
};

/* The bytes that a socket works on at the moment. They lie on the stack of who does. */
typedef struct ws_reading_s {
    hws_t *ws;
    char *data;
    size_t len;
    size_t at; /* the first byte that is not used */
    int code;  /* the fault that hws_next has met: a close code, negative */
} ws_reading_t;

#define WS_MASK_POOL_BYTES 512
#define WS_SPARE_CODECS    4

typedef struct ws_topic_s ws_topic_t;

struct hws_hub_s {
    hws_hub_t *next; /* of its loop */
    hws_hub_t *prev;
    hloop_t *loop; /* NULL once it is freed */
    hws_endpoint_t *endpoints;
    hslab_t sockets;
    ws_reading_t *reading; /* NULL: no socket works on bytes */
    ws_topic_t **topics; /* a table of topic_room chains */
    size_t topic_room;
    size_t topic_count;
    hcodec_t *inflaters[WS_SPARE_CODECS]; /* of sockets without context, between two messages */
    size_t inflater_count;
    hcodec_t *deflaters[16]; /* by window bits */
    int deflater_levels[16];
    hbuf_t scratch;     /* what is being compressed */
    size_t mask_left;   /* bytes of the pool not used yet */
    uint8_t mask_pool[WS_MASK_POOL_BYTES];
    int is_closing;
    int is_freed; /* hws_hub_free was called */
    hv__defer_t free_work;
};

static inline const ws_rules_t *ws_rules_of(const hws_t *ws) {
    return &ws->endpoint->rules[ws->flags & WSF_CLIENT];
}
static inline int ws_is_client(const hws_t *ws) { return (ws->flags & WSF_CLIENT) != 0; }

/* ---- ws_hub.c ---- */

/* A socket in its endpoint's list, in state CONNECTING, without an io. Returns NULL without memory.
 * */
hws_t *hv__ws_new(hws_endpoint_t *endpoint, void *userdata);
/* Takes it out of its lists and frees it; the hub too, where that was the last one's. */
void hv__ws_free(hws_t *ws);

/* ---- ws_session.c ---- */

/* An io speaks WebSocket from now on; on_open and reading follow. */
void hv__ws_open(hws_t *ws, hio_t *io, const ws_agreement_t *agreement);
/* The work of a socket, made where there is none; NULL: no memory, the socket has failed. */
ws_work_t *hv__ws_work(hws_t *ws);
/* The connection is of no use any more, for a reason of ours: closes it at once. */
void hv__ws_cut(hws_t *ws, int error);
/* on_close, and the memory. */
void hv__ws_finish(hws_t *ws);
/* The close callback of every socket's io. */
void hv__ws_on_close(hio_t *io);
/* Its drain callback, set once it is needed: idle sockets have no room for it. */
void hv__ws_on_drain(hio_t *io);

/* ---- ws_send.c ---- */

/* Writes a frame. Returns as hio_write, but 0 for what was taken. */
int hv__ws_write_frame(hws_t *ws, uint8_t first, const void *data, size_t len);
/* Sends a close frame, once. */
void hv__ws_send_close(hws_t *ws, int code, const char *reason, size_t reason_len);
/* Compresses a message into hub->scratch by a codec that keeps no context. Returns its bytes; 0
 * where it is not worth it, or there is no memory for it. */
size_t hv__ws_deflate_once(hws_hub_t *hub, const hws_deflate_t *options, int bits, const void *data,
                           size_t len);
/* Whether a message of that length is to be compressed. */
int hv__ws_wants_deflate(const hws_t *ws, size_t len);

/* ---- ws_inflate.c ---- */

/* Inflates a piece of a compressed message into work->message, checking limits and UTF-8. Returns
 * 0, or a close code, negative. */
int hv__ws_inflate(hws_t *ws, const ws_piece_t *piece);
/* Gives the codecs of a socket back. */
void hv__ws_free_codecs(hws_t *ws);

/* ---- ws_topic.c ---- */

void hv__ws_leave_topics(hws_t *ws);
void hv__ws_free_topics(hws_hub_t *hub);

/* ---- ws_client.c ---- */

/* The dial's part of a socket that goes. */
void hv__ws_dial_free(hws_t *ws);

#endif
