/* hudp.c - datagrams. A datagram is delivered whole, one read callback each, with its sender as the
 * peer; it is sent at once or not at all, so there is no queue. */
#include "hnet_int.h"

#define DATAGRAMS_PER_EVENT 16

void hv__udp_read_ready(hio_t *io) {
    for (int i = 0; i < DATAGRAMS_PER_EVENT; i++) {
        hsock_addr_t peer;
        socklen_t peer_len;
        size_t cap;
        char *buf = hv__io_read_buffer(io, &cap);
        long len = hsock_recvfrom(io_fd(io), buf, cap, &peer, &peer_len);
        if (len == HV_EAGAIN) return;
        if (len < 0) {
            /* An ICMP report about an earlier datagram: this socket is still good. */
            if (len == HV_ECONNREFUSED || len == -EHOSTUNREACH || len == -ENETUNREACH) {
                io->error = (int)-len;
                continue;
            }
            hv__io_fail(io, (int)len);
            return;
        }
        io->last_read_ms = hv__loop_stamp_ms(io_loop(io));
        if (peer_len > 0) hv__io_set_peer(io, &peer.sa, peer_len);
        if (io->read_mode != READ_STREAM) {
            io->read_mode = READ_STREAM;
            io->flags &= ~(uint32_t)HIO_FLAG_READING;
        }
        if (io->state != HIO_OPEN) return;
        if (!hv__io_deliver(io, buf, (size_t)len)) return;
        if (io->state != HIO_OPEN || !(io->flags & HIO_FLAG_READING)) return;
    }
}

int hv__udp_send(hio_t *io, const void *buf, size_t len, const struct sockaddr *addr) {
    if (io->state == HIO_CONNECTING) return HV_EAGAIN; /* its name is being resolved */
    socklen_t addr_len = addr == hio_peeraddr(io) ? hv__io_peer_len(io) : hsock_address_len(addr);
    /* A client's socket is connected; naming the peer again is an error for some families. */
    long sent = io->flags & HIO_FLAG_CLIENT && addr == hio_peeraddr(io)
                    ? hsock_send(io_fd(io), buf, len)
                : addr_len == 0 ? HV_ENOTCONN
                                : hsock_sendto(io_fd(io), buf, len, addr, addr_len);
    if (sent < 0) return (int)sent;
    io->last_write_ms = hv__loop_stamp_ms(io_loop(io));
    if (io->ext != NULL && io->ext->on_write != NULL) {
        io->ext->unreported_bytes += (uint32_t)sent;
        hv__io_mark_dirty(io);
    }
    return (int)sent;
}

static hio_t *datagram_io(hloop_t *loop, int fd) {
    if (fd < 0) {
        loop->last_error = fd;
        return NULL;
    }
    hio_t *io = hv__io_new(loop, fd, HSOCK_KIND_DATAGRAM, HIO_OPEN);
    if (io == NULL) hsock_close(fd);
    return io;
}

hio_t *hloop_create_udp_listener(hloop_t *loop, const char *host, int port, int flags) {
    hsock_addr_t addr;
    int len = hsock_address(&addr, host, port);
    return datagram_io(loop, len < 0 ? len : hsock_bind_datagram(&addr, (socklen_t)len, flags));
}

hio_t *hloop_create_udp_server(hloop_t *loop, const char *host, int port) {
    return hloop_create_udp_listener(loop, host, port, 0);
}

hio_t *hloop_create_udp_client(hloop_t *loop, const char *host, int port) {
    hsock_addr_t addr;
    int len = hsock_address(&addr, host, port);
    if (len == HV_ENOTFOUND) return hv__connect_by_name(loop, host, port, HSOCK_KIND_DATAGRAM);
    int fd = len < 0 ? len : hsock_open(addr.sa.sa_family, SOCK_DGRAM);
    if (fd >= 0) {
        int code = hsock_connect(fd, &addr.sa, (socklen_t)len);
        if (code != 0) {
            hsock_close(fd);
            fd = code;
        }
    }
    hio_t *io = datagram_io(loop, fd);
    if (io == NULL) return NULL;
    io->flags |= HIO_FLAG_CLIENT;
    hv__io_set_peer(io, &addr.sa, (socklen_t)len);
    return io;
}
