/* hsocket.h - socket addresses and blocking socket calls, for programs that set sockets up before
 * they give them to a loop (haccept, hio_get). Descriptors made here are close-on-exec. Names are
 * resolved by blocking calls: never use them inside a loop's callback.
 *
 * Functions that return int return 0, or a descriptor, or a negative code (herr.h). */
#ifndef HV_SOCKET_H_
#define HV_SOCKET_H_

#include "hdef.h"
#include "herr.h"

HV_BEGIN_DECLS

#ifndef ANY_ADDR
#define ANY_ADDR "0.0.0.0"
#endif
#ifndef LOOPBACK
#define LOOPBACK "127.0.0.1"
#endif
#define HV_DEFAULT_CONNECT_TIMEOUT 10000 /* milliseconds */

/* ---- Errors ---- */

#define socket_errno()          errno
#define socket_errno_negative() (-errno)
/* Words of an errno or of a code of herr.h, either sign; a static string. */
HV_EXPORT const char *socket_strerror(int err);

/* ---- Addresses ---- */

typedef union sockaddr_u {
    struct sockaddr sa;
    struct sockaddr_in sin;
    struct sockaddr_in6 sin6;
    struct sockaddr_un sun;
} sockaddr_u;

/* Bytes of the text of any address, the NUL counted. */
#define SOCKADDR_STRLEN 112

HV_EXPORT bool is_ipv4(const char *host);
HV_EXPORT bool is_ipv6(const char *host);
#define is_ipaddr(host) (is_ipv4(host) || is_ipv6(host))

/* Looks a name up; address literals need no look-up. The port is left 0.
 * Returns 0; HV_ENOTFOUND; HV_EAGAIN where the resolver failed for now. */
HV_EXPORT int ResolveAddr(const char *host, sockaddr_u *addr);

/* Sets an address. `host` is a name, a literal, NULL or "" for any IPv4 address, or a path with a
 * '/' at its start; a port below 0 makes any host a path. Returns 0; HV_EINVAL for a port above
 * 65535, HV_ELIMIT for a path that is too long, or as ResolveAddr. */
HV_EXPORT int sockaddr_set_ipport(sockaddr_u *addr, const char *host, int port);
HV_EXPORT int sockaddr_set_ip(sockaddr_u *addr, const char *host);
HV_EXPORT int sockaddr_set_path(sockaddr_u *addr, const char *path);
HV_EXPORT void sockaddr_set_port(sockaddr_u *addr, int port);

/* The address alone as text, in `buf`; "" where there is none. Returns `ip`. */
HV_EXPORT const char *sockaddr_ip(const sockaddr_u *addr, char *ip, int len);
HV_EXPORT uint16_t sockaddr_port(const sockaddr_u *addr);
/* Bytes that belong to the address, as bind and connect want them. */
HV_EXPORT socklen_t sockaddr_len(const sockaddr_u *addr);
/* "127.0.0.1:80", "[::1]:80" or a path; "" for NULL. Cut to `len` bytes. Returns `buf`. */
HV_EXPORT const char *sockaddr_str(const sockaddr_u *addr, char *buf, int len);
#define SOCKADDR_LEN(addr)      sockaddr_len((const sockaddr_u *)(addr))
/* `buf` is an array, not a pointer. */
#define SOCKADDR_STR(addr, buf) sockaddr_str((const sockaddr_u *)(addr), buf, (int)sizeof(buf))

/* ---- Making sockets ---- */

/* A bound socket of SOCK_STREAM or SOCK_DGRAM; a stream one may reuse its address at once. */
HV_EXPORT int Bind(int port, const char *host, int type);
/* A listening stream socket with the largest queue. A host with a '/' at its start is a unix
 * socket; a socket file that nobody listens on any more is replaced. */
HV_EXPORT int Listen(int port, const char *host);

/* Connects a stream socket.
 *   nonblock  not 0: returns at once, connected when the socket becomes writable */
HV_EXPORT int Connect(const char *host, int port, int nonblock);
HV_EXPORT int ConnectNonblock(const char *host, int port);
/* Waits at most `ms` milliseconds, then HV_ETIMEDOUT. The socket returned is blocking. */
HV_EXPORT int ConnectTimeout(const char *host, int port, int ms);

/* A connected pair. `family` is AF_UNIX, or AF_INET for a pair over the loopback. */
HV_EXPORT int Socketpair(int family, int type, int protocol, int sv[2]);

#ifndef closesocket
#define closesocket(fd) close(fd)
#endif
/* Closes a descriptor that is open and marks it closed. */
#define SAFE_CLOSESOCKET(fd)      \
    do {                          \
        if ((fd) >= 0) {          \
            closesocket(fd);      \
            (fd) = INVALID_SOCKET; \
        }                         \
    } while (0)

/* ---- Options: 0, or a negative code ---- */

HV_EXPORT int blocking(int fd);
HV_EXPORT int nonblocking(int fd);
HV_EXPORT int tcp_nodelay(int fd, int on);
HV_EXPORT int tcp_nopush(int fd, int on);
/* `idle_s` seconds of silence before the first probe, and between probes; 0 keeps the kernel's. */
HV_EXPORT int tcp_keepalive(int fd, int on, int idle_s);
HV_EXPORT int udp_broadcast(int fd, int on);
/* Joins or leaves a group of IPv4 or IPv6; the socket gets only what it has joined itself.
 *   group      its address
 *   interface  an address of the interface, IPv6: its name; NULL or "": the kernel chooses */
HV_EXPORT int udp_join_group(int fd, const char *group, const char *interface);
HV_EXPORT int udp_leave_group(int fd, const char *group, const char *interface);
/* Hops that a datagram to a group may take, 0..255, and whether it comes back to this host. */
HV_EXPORT int udp_multicast_ttl(int fd, int hops);
HV_EXPORT int udp_multicast_loop(int fd, int on);
/* The interface that datagrams to groups leave by: as for udp_join_group. */
HV_EXPORT int udp_multicast_interface(int fd, const char *interface);
/* Hops that a packet may take, 1..255, either family. */
HV_EXPORT int ip_ttl(int fd, int hops);
HV_EXPORT int ip_v6only(int fd, int on);
HV_EXPORT int so_sndtimeo(int fd, int timeout_ms);
HV_EXPORT int so_rcvtimeo(int fd, int timeout_ms);
HV_EXPORT int so_sndbuf(int fd, int bytes);
HV_EXPORT int so_rcvbuf(int fd, int bytes);
HV_EXPORT int so_reuseaddr(int fd, int on);
HV_EXPORT int so_reuseport(int fd, int on);
/* Close waits up to `seconds` for queued data to leave; 0 resets the connection; below 0: off. */
HV_EXPORT int so_linger(int fd, int seconds);
/* The error that waits at a socket, taken from it: 0 or a negative code. */
HV_EXPORT int so_error(int fd);

HV_END_DECLS

#endif
