/* hnet_int.h - the inside of the net room: the io, what a loop keeps for all of its ios, and what
 * the files of this room call of each other.
 *
 * States of an io:
 *
 *     CONNECTING --connected--> OPEN --hio_close, queue not empty--> CLOSING
 *          |                     |                                     |
 *          +------failure--------+----hio_close, end, failure----------+--> DEAD --on_close-->
 *          freed
 *     LISTENING ------------------------------------------------------------^
 *
 * A dead io stands in net->closing until the end of the pass; nothing of it is reported any more
 * but the close callback. Memory is freed only there, so no function of this room ever holds a
 * freed io, whatever a callback did. The one exception is hio_detach, which gives the io to another
 * thread: net->current then is no longer the io, and nobody touches it again. */
#ifndef HV_NET_INT_H_
#define HV_NET_INT_H_

#include "hbuf.h"
#include "hframe.h"
#include "hlayer.h"
#include "hloop_int.h"
#include "hmem.h"
#include "hsock.h"

#define READ_BUFFER_BYTES (64 * 1024) /* shared by all ios of a loop */
#define CORK_BYTES        (64 * 1024) /* collects what one callback writes to its own io */
/* Between the two: some processors copy thirty times slower to a place that lies, modulo a page,
 * up to 15 bytes behind the place copied from, which is what an echo with a head in front does. */
#define BUFFERS_APART_BYTES 2048
#define DIRECT_SEND_BYTES (16 * 1024) /* from here on sending beats copying */
#define KEPT_BYTES_MAX    ((size_t)INT32_MAX) /* callbacks get lengths as int */

enum { HIO_CONNECTING, HIO_LISTENING, HIO_OPEN, HIO_CLOSING, HIO_DEAD };

/* How the next read callback is cut. */
enum { READ_STREAM, READ_ONCE, READ_LENGTH, READ_DELIMITER };

enum {
    /* Reading. */
    HIO_FLAG_READING        = 1 << 0, /* the user wants read callbacks */
    HIO_FLAG_EOF            = 1 << 1, /* the peer has ended its side */
    HIO_FLAG_END_OWED       = 1 << 2, /* it came while nobody read */
    HIO_FLAG_HANGUP         = 1 << 3, /* out of the backend until reading goes on */
    HIO_FLAG_CLOSE_ON_RESET = 1 << 4,
    HIO_FLAG_USER_BUFFER    = 1 << 5, /* ext->read_buffer, not the loop's */
    HIO_FLAG_PAUSED         = 1 << 6, /* not read until ext->sink has drained */
    /* Writing. */
    HIO_FLAG_DIRTY          = 1 << 7, /* in net->dirty or flushing */
    HIO_FLAG_WAS_HIGH       = 1 << 8, /* on_drain is owed */
    HIO_FLAG_SHUT_WANTED    = 1 << 9, /* the write side ends when the queue is empty */
    HIO_FLAG_SHUT           = 1 << 10,
    HIO_FLAG_DRAINING       = 1 << 11, /* closing, and the close timeout runs */
    HIO_FLAG_GENTLE         = 1 << 23, /* closed by hio_close: the peer is to get what was sent */
    HIO_FLAG_WROTE          = 1 << 24, /* something was */
    /* What it is. */
    HIO_FLAG_IS_SOCKET      = 1 << 12,
    HIO_FLAG_CLIENT         = 1 << 13,
    HIO_FLAG_STAYS_OPEN     = 1 << 14, /* descriptors 0, 1 and 2 */
    HIO_FLAG_ALWAYS_READY   = 1 << 15, /* a regular file: the backend refuses it */
    HIO_FLAG_EXCLUSIVE      = 1 << 16, /* a listener that others wait on as well */
    HIO_FLAG_FORWARDS       = 1 << 17, /* what is read goes to ext->sink, as its end does */
    /* The layer between user and stream. */
    HIO_FLAG_WANTS_LAYER    = 1 << 18, /* a listener that must not accept in the clear */
    HIO_FLAG_LAYERED        = 1 << 19, /* ext->layer is there */
    HIO_FLAG_LAYER_DUE      = 1 << 20, /* a connected stream begins its layer in the next pass */
    HIO_FLAG_HANDSHAKING    = 1 << 21, /* the layer is not open yet */
    HIO_FLAG_LAYER_KEPT     = 1 << 22, /* the layer may have more to tell than the wire */
    HIO_FLAG_HAS_FILES      = 1 << 25, /* ext->files is not empty */
    HIO_FLAG_VIRTUAL        = 1 << 26, /* no descriptor: ext->wire; see hio_virtual.h */
};

/* A room above is told that an io it has given away is closed, after its close callback, or moves
 * to another loop (then from inside an API call). */
typedef void (*hv__io_let_go_fn)(hio_t *io, void *owner, int is_moving);

struct hio_file_s;

/* What few ios need. */
typedef struct hio_ext_s {
    haccept_cb on_accept;
    haccept_cb on_accept_raw; /* of a listener, before a handshake */
    hconnect_cb on_connect;
    hwrite_cb on_write;
    hdrain_cb on_drain;
    void (*on_heartbeat)(hio_t *io);
    htimer_t *timer; /* the nearest of all deadlines below */
    uint32_t connect_timeout_ms; /* of a listener: for the handshakes of what it accepts */
    uint32_t close_timeout_ms;
    uint32_t read_timeout_ms;
    uint32_t write_timeout_ms;
    uint32_t keepalive_timeout_ms;
    uint32_t heartbeat_ms;
    uint32_t state_stamp_ms; /* when connecting or closing began */
    uint32_t heartbeat_stamp_ms;
    uint32_t read_stamp_ms; /* when reading began again after a stop */
    uint32_t unreported_bytes; /* went out inside an API call, on_write is owed */
    uint32_t read_buffer_bytes;
    char *read_buffer; /* the user's */
    const hlayer_t *layer;
    void *layer_state; /* of a listener: the rules for what it accepts */
    hsock_addr_t *local; /* NULL until asked for */
    hsock_addr_t *peer;  /* where it does not fit io->peer, and every unix path */
    socklen_t peer_len;
    hio_t *sink;         /* of an upstream: where goes what is read here */
    hio_t *source;       /* and whose bytes are written here; each is the other's sink */
    struct hrelay_s *relay; /* of a bound datagram socket: its clients' upstreams */
    uint64_t forwarded_bytes;
    hsock_addr_t *bind; /* of a client: where it connects from; NULL for anywhere */
    struct hio_file_s *files; /* ranges of files that wait to be sent: see hio_file.c */
    struct hio_file_s *last_file;
    uint64_t file_bytes;       /* of all of them */
    size_t bytes_before_files; /* of the queue, before the last of them */
    const struct hv__wire_s *wire; /* of a virtual io, and who brings its bytes */
    void *wire_end;
    struct hv__connect_s *connect; /* while a name is connected to; there is no descriptor yet */
} hio_ext_t;

struct hio_s {
    hv__watcher_t watcher;
    uint8_t state;
    uint8_t kind; /* hsock_kind_e */
    uint8_t read_mode;
    uint8_t delimiter_len;
    uint32_t flags;
    int error; /* positive */
    uint32_t read_len;
    uint32_t last_read_ms;
    uint32_t last_write_ms;
    hread_cb on_read;
    hclose_cb on_close;
    heof_cb on_eof;
    void *context;
    unpack_setting_t *unpack;
    hbuf_t kept;  /* read, not delivered yet */
    hbuf_t queue; /* written, not sent yet */
    size_t scanned; /* bytes of `kept` searched for the delimiter */
    uint32_t write_high;
    uint32_t write_max;
    uint32_t kept_max;
    uint8_t delimiter[PACKAGE_MAX_DELIMITER_BYTES];
    hv__defer_t work; /* to go on reading from `kept`, or to begin connecting */
    hlink_t dirty_link;   /* in net->dirty or flushing, with HIO_FLAG_DIRTY */
    hlink_t closing_link; /* in net->closing or reporting, when it is dead */
    hio_ext_t *ext;
    void *owner; /* who has given it away, and wants to know of its end: see hio_owner.c */
    union {
        struct sockaddr sa;
        struct sockaddr_in in;
        struct sockaddr_in6 in6;
    } peer;
};

/* What a loop keeps for its ios. */
typedef struct hnet_s {
    hio_t *current;  /* the io whose callbacks are being called; NULL where there is none */
    size_t cork_len; /* bytes written to `current`, not sent yet */
    size_t plain_len; /* bytes written to `current`, not given to the wire by its layer yet */
    hv__io_let_go_fn let_go; /* see hio_owner.c */
    void *tls_room;  /* the TLS layer's own; plain memory */
    char *nul_at;    /* where a NUL stands in place of nul_kept while a read callback runs */
    char nul_kept;
    const char *rest; /* bytes of the shared buffer behind what is being delivered */
    size_t rest_len;
    hlist_t dirty;     /* ios with something to flush or to report at the end of the pass */
    hlist_t flushing;  /* what is left of the dirty ones at the end of this pass */
    hlist_t closing;   /* dead ios, whose close callback is owed */
    hlist_t reporting; /* what is left of the closing ones at the end of this pass */
    hlist_t lingering; /* hlinger.c */
    uint32_t lingering_count;
    int is_reporting; /* on_write reads the cork: what it writes goes to the queue */
    struct hv__dns_s *dns;          /* NULL until the first query */
    struct hv__connect_s *connects; /* of all ios that connect to a name */
    char read_buffer[READ_BUFFER_BYTES + BUFFERS_APART_BYTES]; /* one more is for the NUL */
    char cork[CORK_BYTES];
} hnet_t;

_Static_assert((offsetof(hnet_t, cork) - offsetof(hnet_t, read_buffer)) % 4096 ==
                   BUFFERS_APART_BYTES,
               "see BUFFERS_APART_BYTES");

static inline hloop_t *io_loop(const hio_t *io) { return io->watcher.node.ev.loop; }
static inline hnet_t *io_net(const hio_t *io) { return io_loop(io)->net; }
static inline int io_fd(const hio_t *io) { return io->watcher.fd; }

/* Whether something waits for the kernel to take it, the cork not counted. */
static inline int hv__io_has_unsent(const hio_t *io) {
    return hbuf_len(&io->queue) > 0 || io->flags & HIO_FLAG_HAS_FILES;
}

/* ---- hio.c ---- */

/* What a loop keeps for its ios, made on first use. Returns NULL with loop->last_error set. */
hnet_t *hv__net_of(hloop_t *loop);
/* Makes an io for a descriptor and takes it; -1 for one that is found later. Returns NULL with
 * loop->last_error set; the descriptor is then still the caller's. */
hio_t *hv__io_new(hloop_t *loop, int fd, hsock_kind_e kind, int state);
/* The rarely used part, made on first use. Without memory the io fails with HV_ENOMEM, and NULL. */
hio_ext_t *hv__io_ext(hio_t *io);
/* The io that a watcher belongs to; NULL for NULL and for watchers of other rooms. */
hio_t *hv__io_of_watcher(hv__watcher_t *watcher);
/* Cancels deferred work, timers and the search for a name. */
void hv__io_stop_work(hio_t *io);
/* Takes the io out of the lists of this pass and the next: it is about to leave the loop. */
void hv__io_leave_lists(hio_t *io);
/* Asks the backend for what the state of the io calls for. */
void hv__io_update_interest(hio_t *io);
/* Closes at once with a reason: queued data is dropped. `code` may be 0. */
void hv__io_fail(hio_t *io, int code);
/* After the queue has drained: ends the write side or closes, where that was asked for. */
void hv__io_drained(hio_t *io);
/* Around every call of the io's callbacks: what they write to the io is collected and sent once.
 * Leaving takes the net beside the io, since a callback may have given the io to another thread;
 * then it is not touched. Returns whether the io is still this loop's. */
void hv__io_enter(hio_t *io);
int hv__io_leave(hnet_t *net, hio_t *io);

/* ---- hio_facts.c ---- */

/* Sets the peer's address. */
void hv__io_set_peer(hio_t *io, const struct sockaddr *addr, socklen_t addr_len);
/* Bytes of the peer's address; 0 where there is none. */
socklen_t hv__io_peer_len(const hio_t *io);

/* ---- htcp.c, hudp.c ---- */

void hv__tcp_accept_ready(hio_t *io);
void hv__tcp_connect_ready(hio_t *io);
/* A client has its descriptor connected: opens it and calls on_connect. */
void hv__tcp_connected(hio_t *io);
/* Puts off the call of connect(2), or the look at one that is under way. */
void hv__tcp_connect_later(hio_t *io);
void hv__udp_read_ready(hio_t *io);
int hv__udp_send(hio_t *io, const void *buf, size_t len, const struct sockaddr *addr);

/* ---- htcp_names.c ---- */

typedef struct hv__connect_s hv__connect_t;

/* Makes an io of kind HSOCK_KIND_STREAM or HSOCK_KIND_DATAGRAM that begins to connect to a name.
 * Returns NULL with loop->last_error set. */
hio_t *hv__connect_by_name(hloop_t *loop, const char *host, int port, hsock_kind_e kind);
/* Ends the search of an io with `ext`; nothing where there is none. */
void hv__connect_stop(hio_t *io);
/* Whether the first address is being tried, or was. */
int hv__connect_has_begun(const hio_t *io);
/* Any io that searches, or the one of that tag; NULL where there is none. */
hio_t *hv__connect_first(const hnet_t *net);
hio_t *hv__connect_find(const hnet_t *net, uint32_t tag);

/* ---- hdns.c ---- */

/* Ends and reports every query with HV_ECANCELED. Returns their number. */
int hv__dns_cancel_all(hloop_t *loop);
/* Frees net->dns; there are no queries any more. */
void hv__dns_close(hloop_t *loop);

/* ---- hio_read.c ---- */

/* Where the next bytes are read to: the user's buffer or the loop's. Gives its bytes in *cap, one
 * less than there are, for the NUL. */
char *hv__io_read_buffer(hio_t *io, size_t *cap);
void hv__io_read_ready(hio_t *io, unsigned ready);
/* Calls the read callback. Returns whether the io is still this loop's. */
int hv__io_deliver(hio_t *io, char *data, size_t len);

/* ---- hio_write.c ---- */

/* Sends what stands in the queue, as far as the kernel takes it, and reports it. */
void hv__io_flush_queue(hio_t *io);
/* Sends what stands in the cork of `io`, which is net->current; the rest goes to the queue. */
void hv__io_flush_cork(hio_t *io, int reports);
void hv__io_mark_dirty(hio_t *io);
/* For a room above that makes its bytes where they leave from: where the next hio_write of `len`
 * bytes would only copy them, returns that place, whose bytes count as written; else NULL. */
char *hv__io_place(hio_t *io, size_t len);
/* Reports direct sends and a drained queue that could not be reported inside an API call. */
void hv__io_report_owed(hio_t *io);

/* What a layer hands on to the wire; limits were checked before. Returns 0 or a negative code. */
int hv__io_write_raw(hio_t *io, const void *data, size_t len);
/* Sends now what a layer has handed on, before the io fails. */
void hv__io_flush_raw(hio_t *io);

/* Sends what stands in the cork of `io`, whose queue is empty; more follows at once. What the
 * kernel does not take goes to the queue. Returns 0 or a code: the io has failed. */
int hv__io_send_cork_more(hio_t *io);
/* Notes what the kernel has taken. */
void hv__io_note_sent(hio_t *io, size_t len);

/* ---- hio_threads.c ---- */

/* Posts a write, or a close after the writes posted before, to the io's own thread. Returns 0 or a
 * negative code. */
int hv__io_post(hio_t *io, const void *data, size_t len, int closes);

/* ---- hio_file.c ---- */

/* Sends the ranges that are queued and what goes before them, as far as the kernel takes them.
 * Returns 0, HV_EAGAIN or another code; *sent_bytes in any case. */
int hv__io_flush_files(hio_t *io, size_t *sent_bytes);
/* Drops every range, and closes the files that are the io's. */
void hv__io_drop_files(hio_t *io);

/* ---- Layers: hio.c, hio_read.c, htls_layer.c ---- */

/* Lets a connected stream begin with its layer: now, or in the next pass. */
void hv__io_begin_layer(hio_t *io);
void hv__io_begin_layer_later(hio_t *io);
/* The layer is open: calls on_accept or on_connect. */
void hv__io_layer_open(hio_t *io);
/* What the user is to read, and its end. */
void hv__io_received(hio_t *io, char *data, size_t len);
void hv__io_ended(hio_t *io);
/* htls_layer.c: gives an accepted io the rules of its listener. Returns 0 or HV_ENOMEM. */
int hv__tls_accept(hio_t *listener, hio_t *io);
void hv__tls_set_default_host(hio_t *io, const char *host);
void hv__tls_flush_early(hio_t *io);

/* ---- hforward.c: an io with `ext` is closed, after its close callback, or leaves its loop ---- */

void hv__forward_closed(hio_t *io);
void hv__forward_cut(hio_t *io);

/* ---- hio_owner.c ---- */

/* Puts bytes back, before any that are kept already: the next read delivers them, and then reports
 * the end where `has_ended` says that it was delivered before. `data` may lie in the io's own
 * buffers, also while they are being delivered. Returns 0 or a negative code: the io has failed. */
int hv__io_unread(hio_t *io, const void *data, size_t len, int has_ended);
/* Has let_go called once when the io is gone; NULL for `owner` takes that back. The function is one
 * for all ios of a loop: idle connections have room for one pointer only. */
void hv__io_set_owner(hio_t *io, void *owner, hv__io_let_go_fn let_go);
/* The owner, or NULL. */
void *hv__io_owner(const hio_t *io);
/* The io is closed, or leaves its loop. */
void hv__io_leave_owner(hio_t *io, int is_moving);

/* ---- hio_timeout.c ---- */

/* Lets the timer look at the deadlines again after one of them has changed. */
void hv__io_timeouts_changed(hio_t *io);
void hv__io_timeouts_stop(hio_t *io);

#endif
