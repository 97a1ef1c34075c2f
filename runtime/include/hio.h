/* hio.h - streams and datagrams on a loop: connect, accept, read, write, close, with limits,
 * timeouts and packet framing.
 *
 * Life of an io: open (connecting, listening or connected), closing once hio_close was called or
 * the peer failed, then exactly one close callback, the last call for this io; the memory is the
 * loop's again when it has returned. What is written before hio_close is still sent, within the
 * close timeout. */
#ifndef HV_IO_H_
#define HV_IO_H_

#include "hevent.h"
#include "hunpack.h"

HV_BEGIN_DECLS

typedef void (*haccept_cb)(hio_t *io);
typedef void (*hconnect_cb)(hio_t *io);
typedef void (*hread_cb)(hio_t *io, void *buf, int readbytes);
typedef void (*hwrite_cb)(hio_t *io, const void *buf, int writebytes);
typedef void (*hclose_cb)(hio_t *io);
typedef void (*hdrain_cb)(hio_t *io);
typedef void (*heof_cb)(hio_t *io);

typedef enum {
    HIO_TYPE_UNKNOWN = 0,
    HIO_TYPE_STDIO   = 0x0000000F,
    HIO_TYPE_FILE    = 0x00000010,
    HIO_TYPE_IP      = 0x00000100,
    HIO_TYPE_UDP     = 0x00001000,
    HIO_TYPE_TCP     = 0x00100000,
    HIO_TYPE_SSL     = 0x01000000, /* TCP under TLS */
    HIO_TYPE_PIPE    = 0x10000000, /* pipes and unix stream sockets */
} hio_type_e;

typedef enum { HIO_SERVER_SIDE = 0, HIO_CLIENT_SIDE = 1 } hio_side_e;

/* Milliseconds. */
#define HIO_DEFAULT_CONNECT_TIMEOUT   10000
#define HIO_DEFAULT_CLOSE_TIMEOUT     60000
#define HIO_DEFAULT_KEEPALIVE_TIMEOUT 75000

/* Bytes. */
#define HIO_DEFAULT_WRITE_HIGH (1 << 20)  /* hio_write_is_high above this many queued bytes */
#define HIO_DEFAULT_WRITE_MAX  (16 << 20) /* hio_write refuses to queue more than this */

#define HIO_LISTEN_REUSE_PORT 0x01 /* SO_REUSEPORT: the kernel spreads connections over listeners */
#define HIO_LISTEN_IPV6_ONLY  0x02 /* "::" takes no IPv4 */
/* Permissions of a unix socket's file, in force before anybody can connect:
 * HIO_LISTEN_MODE(0660). */
#define HIO_LISTEN_MODE(mode) (0x20000 | (((mode) & 0777) << 20))

/* ---- Making one ----
 * Each returns the io, or NULL with hloop_last_error set. Nothing completes inside these calls, so
 * options may be set on the io that they return. Addresses are literals, "localhost", "" for the
 * wildcard, or a path beginning with '/' for a unix socket (port is then ignored). Clients also
 * take names (hdns.h); a client of a name has no descriptor (hio_fd is -1) until it is
 * connected. */

/* Listens for TCP (or unix stream) connections; the new io has the listener's userdata. */
HV_EXPORT hio_t *hloop_create_tcp_server(hloop_t *loop, const char *host, int port,
                                         haccept_cb on_accept);
/* The same with the length of the kernel's queue (0: SOMAXCONN) and HIO_LISTEN_* flags. */
HV_EXPORT hio_t *hloop_create_tcp_listener(hloop_t *loop, const char *host, int port,
                                           haccept_cb on_accept, int backlog, int flags);

/* Connects. A refused or timed-out connect calls only the close callback; hio_error is the cause.
 * Of a name, IPv6 and IPv4 addresses are tried by turns, a quarter of a second apart, and the first
 * that connects wins (RFC 8305); the connect timeout covers all of it, and the cause is what the
 * last address said, or why the name has none: -HV_ENOTFOUND, EREMOTEIO ... as in hdns.h.
 * May be called with a close callback as a fifth argument. */
HV_EXPORT hio_t *hio_tcp_client(hloop_t *loop, const char *host, int port, hconnect_cb on_connect,
                                hclose_cb on_close);
#define HV_TCP_CLIENT_4(loop, host, port, on_connect) \
    hio_tcp_client(loop, host, port, on_connect, NULL)
#define HV_TCP_CLIENT_5(loop, host, port, on_connect, on_close) \
    hio_tcp_client(loop, host, port, on_connect, on_close)
#define HV_TCP_CLIENT_PICK(a, b, c, d, e, name, ...) name
#define hloop_create_tcp_client(...) \
    HV_TCP_CLIENT_PICK(__VA_ARGS__, HV_TCP_CLIENT_5, HV_TCP_CLIENT_4, 0)(__VA_ARGS__)

/* Binds a datagram socket; the peer of hio_write is the sender of the last datagram read. */
HV_EXPORT hio_t *hloop_create_udp_server(hloop_t *loop, const char *host, int port);
/* The same with HIO_LISTEN_REUSE_PORT: several sockets have one port. A datagram to one host goes
 * to one of them, one to a group to all who have joined. */
HV_EXPORT hio_t *hloop_create_udp_listener(hloop_t *loop, const char *host, int port, int flags);
/* A datagram socket whose peer is host:port. Of a name, the first address that there is a route to;
 * until it is known, writes return HV_EAGAIN and take nothing, and the connect callback, where one
 * is set, tells the end of it; a failure calls the close callback. */
HV_EXPORT hio_t *hloop_create_udp_client(hloop_t *loop, const char *host, int port);

/* Any of these by kind and side: TCP, SSL, UDP, or PIPE with a path.
 *   server  a listener that accepts from hio_accept on, after hio_setcb_accept; one for SSL takes
 *           its certificate by hio_new_ssl_ctx or hio_set_ssl_ctx
 *   client  connects as hloop_create_tcp_client does; set hio_setcb_connect */
HV_EXPORT hio_t *hio_create_socket(hloop_t *loop, const char *host, int port, hio_type_e type,
                                   hio_side_e side);
/* Begins to accept (again). Returns 0; HV_EINVAL where the io does not listen. */
HV_EXPORT int hio_accept(hio_t *io);
/* Nothing but a check: a client of hio_create_socket connects by itself in the next pass. */
HV_EXPORT int hio_connect(hio_t *io);

/* A pair of connected ends in this loop: what is written to one is read at the other. Returns 0,
 * or a negative code. */
HV_EXPORT int hio_create_pipe(hloop_t *loop, hio_t *ends[2]);

/* ---- Any descriptor ---- */

/* The io of a descriptor; one is made where there is none. The descriptor is set non-blocking
 * (0, 1 and 2 keep their mode when they are not sockets or pipes). It is closed with the io, but
 * for 0, 1 and 2. */
HV_EXPORT hio_t *hio_get(hloop_t *loop, int fd);
HV_EXPORT hio_t *haccept(hloop_t *loop, int listenfd, haccept_cb on_accept);
/* Closes a listener so that no connection is lost: those that wait already are taken in first, by
 * the accept callback, in the next pass; its close callback follows. Where other processes share
 * the listening socket they go on. The loop's thread. Returns 0, or HV_ECLOSED. */
HV_EXPORT int hio_stop_accepting(hio_t *listener);
HV_EXPORT hio_t *hconnect(hloop_t *loop, int connfd, hconnect_cb on_connect);
/* `buf` and `len` are the caller's own read buffer, or NULL and 0 for the loop's. */
HV_EXPORT hio_t *hread(hloop_t *loop, int fd, void *buf, size_t len, hread_cb on_read);
HV_EXPORT hio_t *hwrite(hloop_t *loop, int fd, const void *buf, size_t len, hwrite_cb on_write);
HV_EXPORT void hclose(hloop_t *loop, int fd);
#define hrecv(loop, connfd, buf, len, on_recv)       hread(loop, connfd, buf, len, on_recv)
#define hsend(loop, connfd, buf, len, on_send)       hwrite(loop, connfd, buf, len, on_send)
#define hrecvfrom(loop, sockfd, buf, len, on_recv)   hread(loop, sockfd, buf, len, on_recv)
#define hsendto(loop, sockfd, buf, len, on_send)     hwrite(loop, sockfd, buf, len, on_send)

/* Sets the address that a TCP client connects from, a literal, or "" for any; port 0 for any. For a
 * name, addresses of the other family are then left out.
 * Returns 0; HV_EBUSY where connecting has begun, or this is no such client; HV_EINVAL,
 * HV_ENOTFOUND for what is no address; HV_ENOMEM. An address that is not ours fails the connection
 * later. */
HV_EXPORT int hio_set_bind(hio_t *io, const char *host, int port);

/* Takes an io that has a descriptor out of its loop, still open, and puts it into another: the
 * thread of the old loop detaches, the thread of the new one attaches. Callbacks and queued data go
 * along. Between the two what is known of it can be asked, and callbacks, timeouts and limits be
 * set; whatever would read, write or link it is HV_ECLOSED, or NULL; hio_close and hio_abort free
 * it without a callback. */
HV_EXPORT void hio_detach(hio_t *io);
HV_EXPORT void hio_attach(hloop_t *loop, hio_t *io);

/* ---- Facts ---- */

HV_EXPORT int hio_fd(const hio_t *io); /* stays known in the close callback */
HV_EXPORT uint32_t hio_id(const hio_t *io); /* unique in the process until it wraps at 2^32 */
HV_EXPORT int hio_error(const hio_t *io);   /* 0, or a positive code: an errno or -HV_E... */
HV_EXPORT hio_type_e hio_type(const hio_t *io);
HV_EXPORT struct sockaddr *hio_localaddr(hio_t *io);
HV_EXPORT struct sockaddr *hio_peeraddr(hio_t *io);
HV_EXPORT int hio_is_opened(const hio_t *io); /* neither closing nor closed */
HV_EXPORT int hio_is_connected(const hio_t *io);
HV_EXPORT int hio_is_closed(const hio_t *io);
#define hio_is_alive(io) hio_is_opened(io)
/* Whether the loop has an io with this descriptor; unlike hio_get, none is made. */
HV_EXPORT int hio_exists(hloop_t *loop, int fd);
HV_EXPORT void hio_set_context(hio_t *io, void *context);
HV_EXPORT void *hio_context(const hio_t *io);
/* Milliseconds since bytes last came in or went out. */
HV_EXPORT uint32_t hio_idle_ms(const hio_t *io);

/* ---- Callbacks; NULL takes one off ---- */

HV_EXPORT void hio_setcb_accept(hio_t *io, haccept_cb on_accept);
/* On a listener with TLS: called for each connection before its handshake, so that it can be
 * counted and given a close callback; on_accept follows where the handshake succeeds. Nothing may
 * be written or read yet; hio_close is allowed. */
HV_EXPORT void hio_setcb_accept_raw(hio_t *io, haccept_cb on_accept_raw);
HV_EXPORT void hio_setcb_connect(hio_t *io, hconnect_cb on_connect);
/* `buf` is borrowed until the callback returns; a NUL follows it, not counted. */
HV_EXPORT void hio_setcb_read(hio_t *io, hread_cb on_read);
/* Called after bytes went to the kernel; `buf` is borrowed and may be NULL where they came from
 * several places. */
HV_EXPORT void hio_setcb_write(hio_t *io, hwrite_cb on_write);
HV_EXPORT void hio_setcb_close(hio_t *io, hclose_cb on_close);
/* Called once when the queue, after it was above the high-water mark, has fallen to half of it. */
HV_EXPORT void hio_setcb_drain(hio_t *io, hdrain_cb on_drain);
/* With this callback the end of the peer's stream does not close the io: it is reported here once,
 * after the last bytes, and writing goes on until hio_close (half-close). A
 * hio_read_once or hio_read_until that is begun after the end, and that the bytes kept back do not
 * satisfy, is answered here as well. */
HV_EXPORT void hio_setcb_eof(hio_t *io, heof_cb on_eof);

HV_EXPORT haccept_cb hio_getcb_accept(const hio_t *io);
HV_EXPORT hconnect_cb hio_getcb_connect(const hio_t *io);
HV_EXPORT hread_cb hio_getcb_read(const hio_t *io);
HV_EXPORT hwrite_cb hio_getcb_write(const hio_t *io);
HV_EXPORT hclose_cb hio_getcb_close(const hio_t *io);

/* ---- Times in milliseconds; 0 switches one off ---- */

HV_EXPORT void hio_set_connect_timeout(hio_t *io, int timeout_ms);
HV_EXPORT void hio_set_close_timeout(hio_t *io, int timeout_ms);     /* to drain after hio_close */
HV_EXPORT void hio_set_read_timeout(hio_t *io, int timeout_ms);      /* no byte came in */
HV_EXPORT void hio_set_write_timeout(hio_t *io, int timeout_ms); /* bytes queued, none went out */
HV_EXPORT void hio_set_keepalive_timeout(hio_t *io, int timeout_ms); /* neither in nor out */
/* Calls on_heartbeat every interval while the io is connected, to send what keeps it alive. */
HV_EXPORT void hio_set_heartbeat(hio_t *io, int interval_ms, void (*on_heartbeat)(hio_t *io));

/* ---- Reading ---- */

/* Begins to read (again). Bytes kept back meanwhile come first. Returns 0 or HV_ECLOSED. */
HV_EXPORT int hio_read(hio_t *io);
#define hio_read_start(io) hio_read(io)
/* Stops the read callback; the kernel's buffer then fills and the peer is slowed. */
HV_EXPORT int hio_read_stop(hio_t *io);
/* While reading is stopped, a peer that resets the connection closes it at once, and unread bytes
 * are dropped. Without it they wait for the next read. Off by default. */
HV_EXPORT void hio_set_close_on_reset(hio_t *io, int closes);
/* One read callback, then stop: the next bytes, exactly `len` bytes, or up to and including a
 * delimiter. What arrived beyond stays for the next read. `len` and lines are limited by
 * hio_set_max_read_bufsize; beyond it the io closes with HV_ELIMIT. */
HV_EXPORT int hio_read_once(hio_t *io);
HV_EXPORT int hio_read_until_length(hio_t *io, unsigned int len);
HV_EXPORT int hio_read_until_delim(hio_t *io, unsigned char delim);
HV_EXPORT int hio_read_until(hio_t *io, const void *delim, size_t delim_len);
#define hio_readline(io)        hio_read_until_delim(io, '\n')
#define hio_readstring(io)      hio_read_until_delim(io, '\0')
#define hio_readbytes(io, len)  hio_read_until_length(io, len)
/* The most bytes one io keeps back; default 2 MiB. */
HV_EXPORT void hio_set_max_read_bufsize(hio_t *io, uint32_t bytes);
/* Reads into the caller's buffer instead of the loop's; borrowed until close. */
HV_EXPORT void hio_set_readbuf(hio_t *io, void *buf, size_t len);

/* Cuts what is read into packets: one read callback each. Only the pointer is kept, so the setting
 * must outlive the io; NULL ends it. A packet over its limit closes the io with HV_ELIMIT. A
 * setting that is not valid closes it with HV_EINVAL. */
HV_EXPORT void hio_set_unpack(hio_t *io, unpack_setting_t *setting);
#define hio_unset_unpack(io) hio_set_unpack(io, NULL)

/* ---- Writing ---- */

/* Sends `len` bytes; the order of calls is the order on the wire. What is written during one
 * callback leaves in one system call when it has returned.
 *   buf    copied or sent before return
 * Returns `len`; HV_ECLOSED, HV_ELIMIT (the queue would pass its maximum; nothing is taken),
 * HV_ENOMEM. From another thread the bytes are copied and posted. */
HV_EXPORT int hio_write(hio_t *io, const void *buf, size_t len);
#define HIO_FILE_CLOSE 0x01 /* the io closes the descriptor when it is done with it */

/* Sends `len` bytes of a file from `offset` on, behind what was written before: by the kernel,
 * without a copy. It counts in hio_write_bufsize and for the high-water mark, not against the
 * maximum, since it takes no memory. Where the file ends before, the io closes with EIO. Reading a
 * file that is not in the kernel's cache blocks: have a thread read it first (hfs_prefetch).
 *   fd     a regular file; borrowed until it is sent or the io is closed, taken with HIO_FILE_CLOSE
 *   flags  HIO_FILE_CLOSE or 0
 * Only TCP and unix streams without TLS, and the loop's thread.
 * Returns 0; HV_EINVAL for another kind of io, HV_ECLOSED, HV_EPIPE after hio_shutdown, HV_ENOMEM:
 * the descriptor is then still the caller's. */
HV_EXPORT int hio_write_file(hio_t *io, int fd, uint64_t offset, uint64_t len, int flags);
/* One datagram to `addr`. Returns as hio_write; HV_EAGAIN where the kernel takes no more now. */
HV_EXPORT int hio_sendto(hio_t *io, const void *buf, size_t len, const struct sockaddr *addr);
/* Sends what is queued now, without waiting for the end of the callback. */
HV_EXPORT int hio_flush(hio_t *io);
/* Ends our side of a stream once the queue has drained; reading goes on. An end of a pipe that can
 * only be written closes then. */
HV_EXPORT int hio_shutdown(hio_t *io);
/* Bytes that wait to be sent. */
HV_EXPORT size_t hio_write_bufsize(const hio_t *io);
HV_EXPORT int hio_write_is_complete(const hio_t *io);
/* Tells whether the queue is above the high-water mark: a fair writer then waits for on_drain. */
HV_EXPORT int hio_write_is_high(const hio_t *io);
HV_EXPORT void hio_set_write_high(hio_t *io, uint32_t bytes);
HV_EXPORT void hio_set_max_write_bufsize(hio_t *io, uint32_t bytes);
/* The peer of a datagram socket. */
HV_EXPORT void hio_set_peeraddr(hio_t *io, const struct sockaddr *addr, socklen_t addr_len);

/* ---- Upstreams: what one io reads is written to another of the same loop ---- */

/* Passes on what either side sends, both ways, from when both are connected: TCP, TLS, unix streams
 * and pipes, in any pairing. A side is read only as fast as the other one takes it (its high-water
 * mark). The end of one side ends the other's write side; when both have ended, or one is closed or
 * fails, both are closed, behind what is queued.
 *   io1, io2  their read, eof and drain callbacks are replaced; the close callbacks stay yours. An
 *             on_connect that is set before is to call hio_read_upstream.
 * Returns 0; HV_EINVAL for what is no stream of the same loop, HV_EBUSY where one has an upstream
 * already, HV_ECLOSED, HV_ENOMEM. */
HV_EXPORT int hio_forward(hio_t *io1, hio_t *io2);
/* The same for one direction: `from` is read, `to` is written. hio_forward does so by itself where
 * an end of a pipe has only one. `to` may then be forwarded to a third io, as a connection is to
 * the input of the program whose output it gets.
 *   when `from` ends, `to` closes behind what is queued; where `to` is forwarded itself, only its
 *   write side ends
 * Returns as hio_forward. */
HV_EXPORT int hio_forward_to(hio_t *from, hio_t *to);
/* Bytes read from this io and passed on so far; known in its close callback, too. */
HV_EXPORT uint64_t hio_forwarded_bytes(const hio_t *io);

/* Makes a client for host:port and forwards between `io` and it.
 *   ssl  not 0: the upstream speaks TLS and is verified; before it connects, hio_set_hostname sets
 *        the name to verify where it is not `host`, and hio_set_ssl_ctx a context of your own
 * Returns the upstream, or NULL with hloop_last_error set; `io` is then as it was. */
HV_EXPORT hio_t *hio_setup_tcp_upstream(hio_t *io, const char *host, int port, int ssl);
HV_EXPORT hio_t *hio_setup_ssl_upstream(hio_t *io, const char *host, int port);

/* Passes the datagrams that come to a bound socket on to host:port, and the answers back: every
 * client has an upstream socket of its own, made by its first datagram. What cannot be passed on is
 * dropped. `host` is a literal.
 * Returns `io`, or NULL with hloop_last_error set: HV_EINVAL where `io` is no bound datagram
 * socket, HV_EBUSY where it has an upstream already. */
HV_EXPORT hio_t *hio_setup_udp_upstream(hio_t *io, const char *host, int port);
/* Its limits, for clients that come from now on.
 *   idle_ms      a client without datagrams either way for so long is forgotten; default 60000
 *   clients_max  one more, and the one that was silent longest is forgotten; default 1024
 *   0 leaves one as it is
 * Returns 0; HV_EINVAL where there is no UDP upstream. */
HV_EXPORT int hio_set_udp_upstream_limits(hio_t *io, int idle_ms, uint32_t clients_max);
/* Clients that are known at the moment. */
HV_EXPORT uint32_t hio_udp_upstream_count(const hio_t *io);

/* The parts of it. Linking alone installs no callback and has no policy; the link ends when one of
 * the two has been closed. Returns as hio_forward. */
HV_EXPORT int hio_setup_upstream(hio_t *io1, hio_t *io2);
/* The other side, or NULL. */
HV_EXPORT hio_t *hio_get_upstream(const hio_t *io);
/* These may be set as callbacks, or called in one. They do nothing without an upstream. */
/* Reads both, where both are connected. */
HV_EXPORT void hio_read_upstream(hio_t *io);
/* Writes to the upstream; where it takes no more, `io` is closed. */
HV_EXPORT void hio_write_upstream(hio_t *io, void *buf, int readbytes);
HV_EXPORT void hio_close_upstream(hio_t *io);

/* ---- From other threads, without knowing whether the io still is ----
 *
 * hio_write and hio_close may be called from another thread while something keeps the io from being
 * closed and freed meanwhile. Where nothing does, take a handle: it names one connection for ever
 * and never reaches another one, also when memory and descriptor are used again. */

typedef struct hio_handle_s {
    hloop_t *loop;
    int fd;
    uint32_t id;
} hio_handle_t;

/* The handle of an io. On the io's own thread. A moved io (hio_attach) needs a new one. */
HV_EXPORT hio_handle_t hio_handle(const hio_t *io);
/* The io, or NULL where it is closed. On the loop's own thread. */
HV_EXPORT hio_t *hio_of_handle(hio_handle_t handle);
/* Posts a copy of `len` bytes, or a close behind the writes posted before by this thread. Where the
 * connection is gone by then nothing happens; one that cannot take the bytes is closed. Any thread,
 * as long as the loop is not freed.
 * Returns `len` or 0 for posted; HV_ENOMEM, HV_ELIMIT, HV_ECLOSED where the loop has ended. */
HV_EXPORT int hio_handle_write(hio_handle_t handle, const void *buf, size_t len);
HV_EXPORT int hio_handle_close(hio_handle_t handle);

/* ---- Closing ---- */

/* Closes after the queue has drained, within the close timeout; then the close callback. May be
 * called again and again, inside any callback, and from another thread. An io that is not connected
 * yet, or whose TLS handshake is not over, is closed at once, and what was written to it is lost:
 * it has no queue that could drain.
 * A TCP peer that has sent more than was read gets what was sent to it all the same: behind the
 * close callback its bytes are still taken and dropped, for two seconds or a MiB at most.
 * Returns 0. */
HV_EXPORT int hio_close(hio_t *io);
#define hio_close_async(io) hio_close(io)
/* Closes without draining; the peer of a TCP connection sees a reset where data was queued. */
HV_EXPORT int hio_abort(hio_t *io);

HV_END_DECLS

#endif
