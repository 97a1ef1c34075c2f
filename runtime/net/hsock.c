/* hsock.c - see hsock.h. EINTR never leaves this file. */
#include "hsock.h"

#include "hio.h"

#include <sys/sendfile.h>
#include <sys/stat.h>

#define RESTART(result, call)                       \
    do {                                            \
        (result) = (call);                          \
    } while ((result) < 0 && errno == EINTR)

static int unix_address(hsock_addr_t *addr, const char *path) {
    size_t len = strlen(path);
    if (len >= sizeof addr->un.sun_path) return HV_EINVAL;
    memset(&addr->un, 0, sizeof addr->un);
    addr->un.sun_family = AF_UNIX;
    memcpy(addr->un.sun_path, path, len);
    if (path[0] == '@') addr->un.sun_path[0] = '\0';
    size_t used = path[0] == '@' ? len : len + 1;
    return (int)(offsetof(struct sockaddr_un, sun_path) + used);
}

int hsock_address(hsock_addr_t *addr, const char *host, int port) {
    if (host == NULL || host[0] == '\0' || strcmp(host, "*") == 0) host = "0.0.0.0";
    if (host[0] == '/' || host[0] == '@') return unix_address(addr, host);
    if (port < 0 || port > 65535) return HV_EINVAL;
    if (strcmp(host, "localhost") == 0) host = "127.0.0.1";
    memset(addr, 0, sizeof *addr);
    if (inet_pton(AF_INET, host, &addr->in.sin_addr) == 1) {
        addr->in.sin_family = AF_INET;
        addr->in.sin_port = htons((uint16_t)port);
        return (int)sizeof addr->in;
    }
    char literal[INET6_ADDRSTRLEN + 2];
    size_t len = strlen(host);
    if (len > 2 && len < sizeof literal && host[0] == '[' && host[len - 1] == ']') {
        memcpy(literal, host + 1, len - 2);
        literal[len - 2] = '\0';
        host = literal;
    }
    if (inet_pton(AF_INET6, host, &addr->in6.sin6_addr) == 1) {
        addr->in6.sin6_family = AF_INET6;
        addr->in6.sin6_port = htons((uint16_t)port);
        return (int)sizeof addr->in6;
    }
    return HV_ENOTFOUND;
}

socklen_t hsock_address_len(const struct sockaddr *addr) {
    switch (addr->sa_family) {
    case AF_INET: return sizeof(struct sockaddr_in);
    case AF_INET6: return sizeof(struct sockaddr_in6);
    case AF_UNIX: return sizeof(struct sockaddr_un);
    default: return 0;
    }
}

int hsock_open(int family, int type) {
    int fd = socket(family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    return fd < 0 ? -errno : fd;
}

static void set_flag(int fd, int level, int option, int value) {
    setsockopt(fd, level, option, &value, sizeof value);
}

/* A unix socket file that nobody listens on any more is in the way of a bind. */
static void remove_stale_socket(const hsock_addr_t *addr, socklen_t addr_len) {
    struct stat info;
    if (addr->un.sun_path[0] == '\0') return;
    if (stat(addr->un.sun_path, &info) != 0 || !S_ISSOCK(info.st_mode)) return;
    int probe = hsock_open(AF_UNIX, SOCK_STREAM);
    if (probe < 0) return;
    if (connect(probe, &addr->sa, addr_len) != 0 && errno == ECONNREFUSED) {
        unlink(addr->un.sun_path);
    }
    close(probe);
}

/* Between bind and listen nobody can connect yet. */
static int set_mode(const hsock_addr_t *addr, int flags) {
    if (!(flags & HIO_LISTEN_MODE(0)) || addr->sa.sa_family != AF_UNIX) return 0;
    if (addr->un.sun_path[0] == '\0') return 0;
    return chmod(addr->un.sun_path, (mode_t)(flags >> 20 & 0777));
}

int hsock_listen(const hsock_addr_t *addr, socklen_t addr_len, int backlog, int flags) {
    int family = addr->sa.sa_family;
    int fd = hsock_open(family, SOCK_STREAM);
    if (fd < 0) return fd;
    if (family == AF_UNIX) {
        remove_stale_socket(addr, addr_len);
    } else {
        set_flag(fd, SOL_SOCKET, SO_REUSEADDR, 1);
        if (flags & HIO_LISTEN_REUSE_PORT) set_flag(fd, SOL_SOCKET, SO_REUSEPORT, 1);
        int ipv6_only = (flags & HIO_LISTEN_IPV6_ONLY) != 0;
        if (family == AF_INET6) set_flag(fd, IPPROTO_IPV6, IPV6_V6ONLY, ipv6_only);
        hsock_set_no_delay(fd); /* accepted sockets inherit it */
    }
    if (bind(fd, &addr->sa, addr_len) != 0 || set_mode(addr, flags) != 0 ||
        listen(fd, backlog > 0 ? backlog : SOMAXCONN) != 0) {
        int code = -errno;
        close(fd);
        return code;
    }
    return fd;
}

int hsock_bind_datagram(const hsock_addr_t *addr, socklen_t addr_len, int flags) {
    int fd = hsock_open(addr->sa.sa_family, SOCK_DGRAM);
    if (fd < 0) return fd;
    /* Unasked, no two sockets take the same port: one of them would hear nothing. */
    if (flags & HIO_LISTEN_REUSE_PORT) set_flag(fd, SOL_SOCKET, SO_REUSEPORT, 1);
    if (bind(fd, &addr->sa, addr_len) != 0) {
        int code = -errno;
        close(fd);
        return code;
    }
    return fd;
}

int hsock_bind(int fd, const hsock_addr_t *addr, socklen_t addr_len) {
    if (addr->in.sin_port != 0) { /* in the same place for both families */
        set_flag(fd, SOL_SOCKET, SO_REUSEADDR, 1);
    } else {
        /* The port is chosen when the peer is known: then many connections may share one. */
        set_flag(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1);
    }
    return bind(fd, &addr->sa, addr_len) < 0 ? -errno : 0;
}

int hsock_accept(int listen_fd, hsock_addr_t *peer, socklen_t *peer_len) {
    int fd;
    *peer_len = sizeof *peer;
    RESTART(fd, accept4(listen_fd, &peer->sa, peer_len, SOCK_NONBLOCK | SOCK_CLOEXEC));
    return fd < 0 ? -errno : fd;
}

int hsock_pair(int fds[2]) {
    return socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds) < 0 ? -errno : 0;
}

int hsock_connect(int fd, const struct sockaddr *addr, socklen_t addr_len) {
    int result;
    RESTART(result, connect(fd, addr, addr_len));
    if (result == 0) return 0;
    /* A unix socket whose queue is full says EAGAIN; it must be called again, which nobody
     * tells. */
    return -errno;
}

int hsock_take_error(int fd) {
    int error = 0;
    socklen_t len = sizeof error;
    if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) != 0) return -errno;
    return -error;
}

static int is_same_end(const hsock_addr_t *own, const struct sockaddr *peer) {
    if (own->sa.sa_family != peer->sa_family) return 0;
    if (peer->sa_family == AF_INET) {
        const struct sockaddr_in *in = (const struct sockaddr_in *)(const void *)peer;
        return own->in.sin_port == in->sin_port && own->in.sin_addr.s_addr == in->sin_addr.s_addr;
    }
    const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)(const void *)peer;
    return own->in6.sin6_port == in6->sin6_port &&
           memcmp(&own->in6.sin6_addr, &in6->sin6_addr, sizeof in6->sin6_addr) == 0;
}

int hsock_refuse_self(int fd, const struct sockaddr *peer) {
    hsock_addr_t own;
    if (peer->sa_family != AF_INET && peer->sa_family != AF_INET6) return 0;
    if (hsock_local_address(fd, &own) == 0 || !is_same_end(&own, peer)) return 0;
    /* Else the port would be taken for a minute by a connection that has ended (TIME-WAIT). */
    hsock_set_reset_on_close(fd);
    return -ECONNREFUSED;
}

#define MOVE(call)                      \
    do {                                \
        ssize_t moved;                  \
        RESTART(moved, call);           \
        return moved < 0 ? -errno : (long)moved; \
    } while (0)

int hsock_peek(int fd) {
    char byte;
    ssize_t count;
    RESTART(count, recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT));
    if (count >= 0) return (int)count;
    return errno == EAGAIN || errno == EWOULDBLOCK ? HV_EAGAIN : -errno;
}

long hsock_recv(int fd, void *buf, size_t len) { MOVE(recv(fd, buf, len, 0)); }

long hsock_read(int fd, void *buf, size_t len) { MOVE(read(fd, buf, len)); }

long hsock_recvfrom(int fd, void *buf, size_t len, hsock_addr_t *peer, socklen_t *peer_len) {
    *peer_len = sizeof *peer;
    MOVE(recvfrom(fd, buf, len, 0, &peer->sa, peer_len));
}

long hsock_send(int fd, const void *buf, size_t len) { MOVE(send(fd, buf, len, MSG_NOSIGNAL)); }

long hsock_send_more(int fd, const void *buf, size_t len) {
    MOVE(send(fd, buf, len, MSG_NOSIGNAL | MSG_MORE));
}

long hsock_sendfile(int fd, int file_fd, uint64_t offset, size_t len) {
    off_t at = (off_t)offset;
    MOVE(sendfile(fd, file_fd, &at, len));
}

long hsock_sendv(int fd, const struct iovec *parts, int count) {
    struct msghdr message = {.msg_iov = (struct iovec *)(uintptr_t)parts,
                             .msg_iovlen = (size_t)count};
    MOVE(sendmsg(fd, &message, MSG_NOSIGNAL));
}

long hsock_sendto(int fd, const void *buf, size_t len, const struct sockaddr *addr,
                  socklen_t addr_len) {
    MOVE(sendto(fd, buf, len, MSG_NOSIGNAL, addr, addr_len));
}

long hsock_write(int fd, const void *buf, size_t len) { MOVE(write(fd, buf, len)); }

long hsock_writev(int fd, const struct iovec *parts, int count) { MOVE(writev(fd, parts, count)); }

void hsock_close(int fd) { close(fd); }

void hsock_shutdown_write(int fd) { shutdown(fd, SHUT_WR); }

void hsock_set_reset_on_close(int fd) {
    struct linger linger = {.l_onoff = 1, .l_linger = 0};
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger);
}

void hsock_set_no_delay(int fd) { set_flag(fd, IPPROTO_TCP, TCP_NODELAY, 1); }

int hsock_set_nonblocking(int fd) {
    int flags = fcntl(fd, F_GETFL);
    if (flags < 0) return -errno;
    if (flags & O_NONBLOCK) return 0;
    return fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0 ? -errno : 0;
}

/* A descriptor that is not there yet will be a socket. */
static int can(int fd, int never) {
    int flags = fd >= 0 ? fcntl(fd, F_GETFL) : O_RDWR;
    return flags >= 0 && (flags & O_ACCMODE) != never;
}

int hsock_can_read(int fd) { return can(fd, O_WRONLY); }
int hsock_can_write(int fd) { return can(fd, O_RDONLY); }

hsock_kind_e hsock_kind(int fd) {
    struct stat info;
    if (fstat(fd, &info) != 0) return HSOCK_KIND_BAD;
    if (S_ISFIFO(info.st_mode)) return HSOCK_KIND_PIPE;
    if (!S_ISSOCK(info.st_mode)) return isatty(fd) ? HSOCK_KIND_TTY : HSOCK_KIND_FILE;
    int type = 0, domain = 0;
    socklen_t len = sizeof type;
    getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len);
    len = sizeof domain;
    getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &len);
    if (type == SOCK_DGRAM) return HSOCK_KIND_DATAGRAM;
    return domain == AF_UNIX ? HSOCK_KIND_UNIX : HSOCK_KIND_STREAM;
}

int hsock_is_listening(int fd) {
    int listens = 0;
    socklen_t len = sizeof listens;
    return getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &len) == 0 && listens;
}

socklen_t hsock_local_address(int fd, hsock_addr_t *addr) {
    socklen_t len = sizeof *addr;
    memset(addr, 0, sizeof *addr);
    return getsockname(fd, &addr->sa, &len) == 0 ? len : 0;
}

socklen_t hsock_peer_address(int fd, hsock_addr_t *addr) {
    socklen_t len = sizeof *addr;
    memset(addr, 0, sizeof *addr);
    return getpeername(fd, &addr->sa, &len) == 0 ? len : 0;
}
