/* hsocket.c - addresses and blocking sockets for programs; the loop's own sockets are made in the
 * net room. Each function that makes a descriptor has one way out that closes it on failure. */
#include "hsocket.h"

#include "hassert.h"
#include "hclock.h"

#include <net/if.h>
#include <netdb.h>
#include <poll.h>

const char *socket_strerror(int err) {
    return herr_text(err);
}

/* ---- Addresses ---- */

bool is_ipv4(const char *host) {
    struct in_addr address;
    return host != NULL && inet_pton(AF_INET, host, &address) == 1;
}

bool is_ipv6(const char *host) {
    struct in6_addr address;
    return host != NULL && inet_pton(AF_INET6, host, &address) == 1;
}

int ResolveAddr(const char *host, sockaddr_u *addr) {
    sockaddr_u found;
    memset(&found, 0, sizeof(found));
    if (inet_pton(AF_INET, host, &found.sin.sin_addr) == 1) {
        found.sa.sa_family = AF_INET;
    } else if (inet_pton(AF_INET6, host, &found.sin6.sin6_addr) == 1) {
        found.sa.sa_family = AF_INET6;
    } else {
        struct addrinfo *list = NULL;
        struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_family = AF_UNSPEC};
        int failed = getaddrinfo(host, NULL, &hints, &list);
        if (failed == EAI_AGAIN) return HV_EAGAIN;
        if (failed == EAI_MEMORY) return HV_ENOMEM;
        if (failed != 0 || list == NULL) return HV_ENOTFOUND;
        HV_ASSERT(list->ai_addrlen <= sizeof(found));
        memcpy(&found, list->ai_addr, list->ai_addrlen);
        freeaddrinfo(list);
    }
    *addr = found;
    return 0;
}

int sockaddr_set_path(sockaddr_u *addr, const char *path) {
    size_t len = strlen(path);
    if (len == 0) return HV_EINVAL;
    if (len >= sizeof(addr->sun.sun_path)) return HV_ELIMIT;
    memset(addr, 0, sizeof(*addr));
    addr->sa.sa_family = AF_UNIX;
    memcpy(addr->sun.sun_path, path, len);
    return 0;
}

int sockaddr_set_ip(sockaddr_u *addr, const char *host) {
    if (host == NULL || host[0] == '\0') host = ANY_ADDR;
    return ResolveAddr(host, addr);
}

void sockaddr_set_port(sockaddr_u *addr, int port) {
    if (addr->sa.sa_family == AF_INET) addr->sin.sin_port = htons((uint16_t)port);
    if (addr->sa.sa_family == AF_INET6) addr->sin6.sin6_port = htons((uint16_t)port);
}

int sockaddr_set_ipport(sockaddr_u *addr, const char *host, int port) {
    if (host != NULL && (host[0] == '/' || port < 0)) return sockaddr_set_path(addr, host);
    if (port < 0 || port > 65535) return HV_EINVAL;
    int error = sockaddr_set_ip(addr, host);
    if (error == 0) sockaddr_set_port(addr, port);
    return error;
}

const char *sockaddr_ip(const sockaddr_u *addr, char *ip, int len) {
    const char *text = NULL;
    if (len <= 0) return ip;
    if (addr->sa.sa_family == AF_INET) {
        text = inet_ntop(AF_INET, &addr->sin.sin_addr, ip, (socklen_t)len);
    } else if (addr->sa.sa_family == AF_INET6) {
        text = inet_ntop(AF_INET6, &addr->sin6.sin6_addr, ip, (socklen_t)len);
    }
    if (text == NULL) ip[0] = '\0';
    return ip;
}

uint16_t sockaddr_port(const sockaddr_u *addr) {
    if (addr->sa.sa_family == AF_INET) return ntohs(addr->sin.sin_port);
    if (addr->sa.sa_family == AF_INET6) return ntohs(addr->sin6.sin6_port);
    return 0;
}

socklen_t sockaddr_len(const sockaddr_u *addr) {
    switch (addr->sa.sa_family) {
    case AF_INET: return sizeof(addr->sin);
    case AF_INET6: return sizeof(addr->sin6);
    case AF_UNIX: return sizeof(addr->sun);
    default: return sizeof(*addr);
    }
}

const char *sockaddr_str(const sockaddr_u *addr, char *buf, int len) {
    char ip[INET6_ADDRSTRLEN];
    if (len <= 0) return buf;
    buf[0] = '\0';
    if (addr == NULL) return buf;
    size_t size = (size_t)len;
    if (addr->sa.sa_family == AF_INET) {
        snprintf(buf, size, "%s:%d", sockaddr_ip(addr, ip, sizeof(ip)), sockaddr_port(addr));
    } else if (addr->sa.sa_family == AF_INET6) {
        snprintf(buf, size, "[%s]:%d", sockaddr_ip(addr, ip, sizeof(ip)), sockaddr_port(addr));
    } else if (addr->sa.sa_family == AF_UNIX) {
        /* The kernel's paths need no NUL. */
        snprintf(buf, size, "%.*s", (int)sizeof(addr->sun.sun_path), addr->sun.sun_path);
    }
    return buf;
}

/* ---- Options ---- */

static int result_of(int failed) {
    return failed == 0 ? 0 : -errno;
}

static int set_option(int fd, int level, int option, int value) {
    return result_of(setsockopt(fd, level, option, &value, sizeof(value)));
}

static int set_nonblocking(int fd, bool is_on) {
    int flags = fcntl(fd, F_GETFL);
    if (flags < 0) return -errno;
    int wanted = is_on ? flags | O_NONBLOCK : flags & ~O_NONBLOCK;
    return wanted == flags ? 0 : result_of(fcntl(fd, F_SETFL, wanted));
}

int blocking(int fd) {
    return set_nonblocking(fd, false);
}

int nonblocking(int fd) {
    return set_nonblocking(fd, true);
}

int tcp_nodelay(int fd, int on) {
    return set_option(fd, IPPROTO_TCP, TCP_NODELAY, on);
}

int tcp_nopush(int fd, int on) {
    return set_option(fd, IPPROTO_TCP, TCP_CORK, on);
}

int tcp_keepalive(int fd, int on, int idle_s) {
    int error = set_option(fd, SOL_SOCKET, SO_KEEPALIVE, on);
    if (error != 0 || !on || idle_s <= 0) return error;
    error = set_option(fd, IPPROTO_TCP, TCP_KEEPIDLE, idle_s);
    if (error != 0) return error;
    return set_option(fd, IPPROTO_TCP, TCP_KEEPINTVL, idle_s);
}

int udp_broadcast(int fd, int on) {
    return set_option(fd, SOL_SOCKET, SO_BROADCAST, on);
}

static int family_of(int fd) {
    int family = 0;
    socklen_t len = sizeof(family);
    return getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &family, &len) == 0 ? family : -errno;
}

/* Sets the option that goes by two names, for IPv4 and for IPv6. */
static int set_ip_option(int fd, int option, int option6, int value) {
    int family = family_of(fd);
    if (family < 0) return family;
    if (family == AF_INET) return set_option(fd, IPPROTO_IP, option, value);
    if (family == AF_INET6) return set_option(fd, IPPROTO_IPV6, option6, value);
    return HV_EINVAL;
}

static int change_group(int fd, const char *group, const char *interface, bool joins) {
    bool is_any = interface == NULL || interface[0] == '\0';
    struct ip_mreq request;
    memset(&request, 0, sizeof(request));
    if (inet_pton(AF_INET, group, &request.imr_multiaddr) == 1) {
        if (!is_any && inet_pton(AF_INET, interface, &request.imr_interface) != 1) return HV_EINVAL;
        return result_of(setsockopt(fd, IPPROTO_IP, joins ? IP_ADD_MEMBERSHIP : IP_DROP_MEMBERSHIP,
                                    &request, sizeof(request)));
    }
    struct ipv6_mreq request6;
    memset(&request6, 0, sizeof(request6));
    if (inet_pton(AF_INET6, group, &request6.ipv6mr_multiaddr) != 1) return HV_EINVAL;
    if (!is_any && (request6.ipv6mr_interface = if_nametoindex(interface)) == 0) return -errno;
    return result_of(setsockopt(fd, IPPROTO_IPV6,
                                joins ? IPV6_ADD_MEMBERSHIP : IPV6_DROP_MEMBERSHIP, &request6,
                                sizeof(request6)));
}

int udp_join_group(int fd, const char *group, const char *interface) {
    /* By default a socket gets what others on this host have joined for. */
    set_ip_option(fd, IP_MULTICAST_ALL, IPV6_MULTICAST_ALL, 0);
    return change_group(fd, group, interface, true);
}

int udp_leave_group(int fd, const char *group, const char *interface) {
    return change_group(fd, group, interface, false);
}

int udp_multicast_ttl(int fd, int hops) {
    return set_ip_option(fd, IP_MULTICAST_TTL, IPV6_MULTICAST_HOPS, hops);
}

int udp_multicast_loop(int fd, int on) {
    return set_ip_option(fd, IP_MULTICAST_LOOP, IPV6_MULTICAST_LOOP, on);
}

int udp_multicast_interface(int fd, const char *interface) {
    bool is_any = interface == NULL || interface[0] == '\0';
    int family = family_of(fd);
    if (family < 0) return family;
    if (family == AF_INET) {
        struct in_addr address = {.s_addr = htonl(INADDR_ANY)};
        if (!is_any && inet_pton(AF_INET, interface, &address) != 1) return HV_EINVAL;
        return result_of(
            setsockopt(fd, IPPROTO_IP, IP_MULTICAST_IF, &address, sizeof(address)));
    }
    unsigned index = is_any ? 0 : if_nametoindex(interface);
    if (!is_any && index == 0) return -errno;
    return set_option(fd, IPPROTO_IPV6, IPV6_MULTICAST_IF, (int)index);
}

int ip_ttl(int fd, int hops) {
    return set_ip_option(fd, IP_TTL, IPV6_UNICAST_HOPS, hops);
}

int ip_v6only(int fd, int on) {
    return set_option(fd, IPPROTO_IPV6, IPV6_V6ONLY, on);
}

static int set_timeout(int fd, int option, int timeout_ms) {
    struct timeval wait = {.tv_sec = timeout_ms / 1000, .tv_usec = timeout_ms % 1000 * 1000};
    return result_of(setsockopt(fd, SOL_SOCKET, option, &wait, sizeof(wait)));
}

int so_sndtimeo(int fd, int timeout_ms) {
    return set_timeout(fd, SO_SNDTIMEO, timeout_ms);
}

int so_rcvtimeo(int fd, int timeout_ms) {
    return set_timeout(fd, SO_RCVTIMEO, timeout_ms);
}

int so_sndbuf(int fd, int bytes) {
    return set_option(fd, SOL_SOCKET, SO_SNDBUF, bytes);
}

int so_rcvbuf(int fd, int bytes) {
    return set_option(fd, SOL_SOCKET, SO_RCVBUF, bytes);
}

int so_reuseaddr(int fd, int on) {
    return set_option(fd, SOL_SOCKET, SO_REUSEADDR, on);
}

int so_reuseport(int fd, int on) {
    return set_option(fd, SOL_SOCKET, SO_REUSEPORT, on);
}

int so_linger(int fd, int seconds) {
    struct linger wait = {.l_onoff = seconds >= 0, .l_linger = seconds >= 0 ? seconds : 0};
    return result_of(setsockopt(fd, SOL_SOCKET, SO_LINGER, &wait, sizeof(wait)));
}

int so_error(int fd) {
    int error = 0;
    socklen_t len = sizeof(error);
    if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) != 0) return -errno;
    return -error;
}

/* ---- Making sockets ---- */

/* Removes a socket file whose listener is gone: it refuses connections. Anything else stays. */
static void remove_stale(const sockaddr_u *addr) {
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) return;
    if (connect(fd, &addr->sa, sockaddr_len(addr)) != 0 && errno == ECONNREFUSED) {
        unlink(addr->sun.sun_path);
    }
    close(fd);
}

static int bind_to(int fd, const sockaddr_u *addr, int type) {
    if (addr->sa.sa_family == AF_UNIX && type == SOCK_STREAM) remove_stale(addr);
    if (addr->sa.sa_family != AF_UNIX && type == SOCK_STREAM) {
        int error = so_reuseaddr(fd, 1);
        if (error != 0) return error;
    }
    return result_of(bind(fd, &addr->sa, sockaddr_len(addr)));
}

int Bind(int port, const char *host, int type) {
    sockaddr_u addr;
    int error = sockaddr_set_ipport(&addr, host, port);
    if (error != 0) return error;
    int fd = socket(addr.sa.sa_family, type | SOCK_CLOEXEC, 0);
    if (fd < 0) return -errno;
    error = bind_to(fd, &addr, type);
    if (error != 0) {
        close(fd);
        return error;
    }
    return fd;
}

int Listen(int port, const char *host) {
    int fd = Bind(port, host, SOCK_STREAM);
    if (fd < 0) return fd;
    if (listen(fd, SOMAXCONN) != 0) {
        int error = -errno;
        close(fd);
        return error;
    }
    return fd;
}

/* Waits until a connect is over. A `ms` below 0 waits for ever. */
static int wait_connected(int fd, int ms) {
    struct pollfd ready = {.fd = fd, .events = POLLOUT};
    uint64_t begin_us = hclock_mono_us();
    int left_ms = ms;
    int count;
    while ((count = poll(&ready, 1, left_ms)) < 0 && errno == EINTR) {
        if (ms < 0) continue;
        uint64_t passed_ms = (hclock_mono_us() - begin_us) / 1000;
        left_ms = passed_ms < (uint64_t)ms ? ms - (int)passed_ms : 0;
    }
    if (count < 0) return -errno;
    if (count == 0) return HV_ETIMEDOUT;
    return so_error(fd);
}

/* `is_waiting` false leaves the socket non-blocking and on its way. */
static int connect_to(const char *host, int port, bool is_waiting, int ms) {
    sockaddr_u addr;
    int error = sockaddr_set_ipport(&addr, host != NULL ? host : LOOPBACK, port);
    if (error != 0) return error;
    int fd = socket(addr.sa.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) return -errno;
    error = result_of(connect(fd, &addr.sa, sockaddr_len(&addr)));
    if (error == -EINPROGRESS) error = is_waiting ? wait_connected(fd, ms) : 0;
    if (error == 0 && is_waiting) error = blocking(fd);
    if (error != 0) {
        close(fd);
        return error;
    }
    return fd;
}

int Connect(const char *host, int port, int nonblock) {
    return connect_to(host, port, !nonblock, -1);
}

int ConnectNonblock(const char *host, int port) {
    return connect_to(host, port, false, 0);
}

int ConnectTimeout(const char *host, int port, int ms) {
    return connect_to(host, port, true, ms >= 0 ? ms : 0);
}

/* Accepts connections until the one from `client` comes: anybody may connect to the loopback. */
static int accept_from(int listener, int client) {
    sockaddr_u wanted = {.sa = {0}};
    socklen_t wanted_len = sizeof(wanted);
    if (getsockname(client, &wanted.sa, &wanted_len) != 0) return -errno;
    for (;;) {
        sockaddr_u peer = {.sa = {0}};
        socklen_t peer_len = sizeof(peer);
        int fd = accept4(listener, &peer.sa, &peer_len, SOCK_CLOEXEC);
        if (fd < 0 && (errno == EINTR || errno == ECONNABORTED)) continue;
        if (fd < 0) return -errno;
        if (peer.sin.sin_port == wanted.sin.sin_port &&
            peer.sin.sin_addr.s_addr == wanted.sin.sin_addr.s_addr) {
            return fd;
        }
        close(fd);
    }
}

int Socketpair(int family, int type, int protocol, int sv[2]) {
    if (family == AF_UNIX) {
        return result_of(socketpair(family, type | SOCK_CLOEXEC, protocol, sv));
    }
    if (family != AF_INET || type != SOCK_STREAM) return -EOPNOTSUPP;
    sockaddr_u addr = {.sa = {0}};
    socklen_t len = sizeof(addr);
    int server = -1;
    int client = -1;
    int listener = Listen(0, LOOPBACK);
    if (listener < 0) return listener;
    int error = result_of(getsockname(listener, &addr.sa, &len));
    if (error == 0) client = Connect(LOOPBACK, sockaddr_port(&addr), 0);
    if (error == 0 && client < 0) error = client;
    if (error == 0) server = accept_from(listener, client);
    if (error == 0 && server < 0) error = server;
    close(listener);
    if (error != 0) {
        if (client >= 0) close(client);
        return error;
    }
    sv[0] = server;
    sv[1] = client;
    return 0;
}
