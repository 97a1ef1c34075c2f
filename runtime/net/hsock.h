/* hsock.h - one thin wrapper per system call on sockets: non-blocking, close-on-exec, restarted on
 * EINTR, errno turned into a code. The only place of the net room where errno is read. */
#ifndef HV_SOCK_H_
#define HV_SOCK_H_

#include "hdef.h"
#include "herr.h"

#include <sys/uio.h>

/* An address of any family that we speak. */
typedef union hsock_addr_s {
    struct sockaddr sa;
    struct sockaddr_in in;
    struct sockaddr_in6 in6;
    struct sockaddr_un un;
    struct sockaddr_storage storage;
} hsock_addr_t;

/* Makes an address of a literal, "localhost", "" or "*" (wildcard), or a path beginning with '/' or
 * '@' (abstract) for a unix socket.
 * Returns its length, HV_EINVAL for a port or path out of range, HV_ENOTFOUND for any other
 * name. */
int hsock_address(hsock_addr_t *addr, const char *host, int port);
/* Bytes of an address by its family; 0 for an unknown one. */
socklen_t hsock_address_len(const struct sockaddr *addr);

/* Each returns a descriptor or a negative code. `type` is SOCK_STREAM or SOCK_DGRAM. */
int hsock_open(int family, int type);
/* `flags` are HIO_LISTEN_* of hio.h. */
int hsock_listen(const hsock_addr_t *addr, socklen_t addr_len, int backlog, int flags);
int hsock_bind_datagram(const hsock_addr_t *addr, socklen_t addr_len, int flags);
/* A stream accepted from a listener; HV_EAGAIN where none waits. */
int hsock_accept(int listen_fd, hsock_addr_t *peer, socklen_t *peer_len);
int hsock_pair(int fds[2]);

/* Gives a socket its own address before it connects; port 0 for any. Returns 0 or a code. */
int hsock_bind(int fd, const hsock_addr_t *addr, socklen_t addr_len);
/* 0 when connected, -EINPROGRESS when on its way, or another negative code. */
int hsock_connect(int fd, const struct sockaddr *addr, socklen_t addr_len);
/* The pending error of a socket as a code, 0 where there is none. */
int hsock_take_error(int fd);
/* What could be read now, without reading it. Returns 1 where there are bytes, 0 at the end of the
 * stream, HV_EAGAIN where there is nothing, another code where it has failed. */
int hsock_peek(int fd);
/* A port that nobody listens on may be the one that the kernel has just given to our own end: then
 * the connection leads from the socket to itself (RFC 9293 section 3.5, simultaneous open). Nobody
 * wants that: it counts as refused, and is set to leave no trace of itself when it is closed.
 *   peer  whom it has connected to
 * Returns 0 or -ECONNREFUSED. */
int hsock_refuse_self(int fd, const struct sockaddr *peer);

/* Bytes moved, 0 at the end (reading), HV_EAGAIN where it would block, or another code. */
long hsock_recv(int fd, void *buf, size_t len);
long hsock_read(int fd, void *buf, size_t len);
long hsock_recvfrom(int fd, void *buf, size_t len, hsock_addr_t *peer, socklen_t *peer_len);
long hsock_send(int fd, const void *buf, size_t len);
/* More follows at once: the kernel may wait for it to fill a packet. */
long hsock_send_more(int fd, const void *buf, size_t len);
/* From a file, without moving its position; 0 at its end. */
long hsock_sendfile(int fd, int file_fd, uint64_t offset, size_t len);
long hsock_sendv(int fd, const struct iovec *parts, int count);
long hsock_sendto(int fd, const void *buf, size_t len, const struct sockaddr *addr,
                  socklen_t addr_len);
long hsock_write(int fd, const void *buf, size_t len);
long hsock_writev(int fd, const struct iovec *parts, int count);

void hsock_close(int fd);
void hsock_shutdown_write(int fd);
/* Makes the close of a connection send a reset. */
void hsock_set_reset_on_close(int fd);
void hsock_set_no_delay(int fd);
/* Sets O_NONBLOCK. Returns 0 or a code. */
int hsock_set_nonblocking(int fd);

/* What a descriptor is. */
typedef enum {
    HSOCK_KIND_BAD,
    HSOCK_KIND_STREAM,   /* TCP */
    HSOCK_KIND_DATAGRAM, /* UDP */
    HSOCK_KIND_UNIX,     /* unix stream */
    HSOCK_KIND_PIPE,     /* pipe or fifo */
    HSOCK_KIND_TTY,
    HSOCK_KIND_FILE, /* regular file, device: always ready, epoll refuses it */
} hsock_kind_e;

hsock_kind_e hsock_kind(int fd);
/* Whether a descriptor was opened for it; an end of a pipe has one direction only. */
int hsock_can_read(int fd);
int hsock_can_write(int fd);
/* Whether a socket listens. */
int hsock_is_listening(int fd);
/* Fill `addr`; return its length, 0 where unknown. */
socklen_t hsock_local_address(int fd, hsock_addr_t *addr);
socklen_t hsock_peer_address(int fd, hsock_addr_t *addr);

#endif
