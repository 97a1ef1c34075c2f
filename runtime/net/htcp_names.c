/* htcp_names.c - connecting by name: both families are asked for, and the addresses are tried in
 * turn until one takes the connection (Happy Eyeballs, RFC 8305).
 *
 * The io exists from the start, in CONNECTING and without a descriptor. Its connector holds two
 * queries, the addresses known so far and the attempts, each a socket of its own under a watch.
 *
 *     answers    IPv6 addresses are tried as they come; IPv4 ones wait RESOLUTION_DELAY_MS for the
 *                IPv6 answer, unless it has come (RFC 8305 3)
 *     order      within a family as the resolver sorted them; the families by turns, IPv6 first (4)
 *     attempts   the next begins ATTEMPT_DELAY_MS after the last one, or at once when that fails
 *                (5)
 *     the end    the first that connects gives its descriptor to the io; the others are closed
 *
 * One timer serves both delays: the first ends before the first attempt begins. The connect timeout
 * of the io covers everything. Whatever ends the io ends the connector (hv__connect_stop), and no
 * function here touches the connector after hv__io_fail or hv__tcp_connected.
 *
 * A datagram socket "connects" at once, so for a datagram io the first address with a route
 * wins. */
#include "hdns_int.h"
#include "hwatch.h"

#define RESOLUTION_DELAY_MS  50
#define ATTEMPT_DELAY_MS     250
#define FAMILY_ADDRESSES_MAX 32

enum { IPV6, IPV4, FAMILY_COUNT };

/* What is known of one family. */
typedef struct family_s {
    hdns_query_t *query; /* NULL once it has been answered */
    hdns_addr_t *addresses;
    size_t count;
    size_t next; /* the first that has not been tried */
} family_t;

struct hv__connect_s {
    hio_t *io;
    hv__connect_t *next;
    hv__connect_t *prev;
    family_t families[FAMILY_COUNT];
    hv__watch_t *attempts; /* the latest first */
    htimer_t *timer;
    int last_family; /* of the latest attempt */
    int has_begun;   /* an attempt was made */
    int error;       /* of the latest failed attempt, or of the queries before there was one */
    uint16_t port;
    char host[]; /* that TLS asks for, where the user names no other */
};

/* ---- Life ---- */

static void stop_timer(hv__connect_t *connect) {
    htimer_del(connect->timer);
    connect->timer = NULL;
}

static void forget_attempt(hv__connect_t *connect, hv__watch_t *attempt, int keeps_descriptor) {
    hv__watch_t **link = &connect->attempts;
    while (*link != attempt) link = &(*link)->next;
    *link = attempt->next;
    int fd = attempt->watcher.fd;
    hv__watch_close(attempt, keeps_descriptor);
    if (!keeps_descriptor) hsock_close(fd);
}

void hv__connect_stop(hio_t *io) {
    hv__connect_t *connect = io->ext->connect;
    if (connect == NULL) return;
    HV_ASSERT(connect->io == io);
    io->ext->connect = NULL;
    for (int i = 0; i < FAMILY_COUNT; i++) {
        hv__dns_drop(connect->families[i].query);
        hv__free(connect->families[i].addresses);
    }
    while (connect->attempts != NULL) forget_attempt(connect, connect->attempts, 0);
    stop_timer(connect);
    if (connect->next != NULL) connect->next->prev = connect->prev;
    if (connect->prev != NULL) {
        connect->prev->next = connect->next;
    } else {
        io_net(io)->connects = connect->next;
    }
    hv__free(connect);
}

hio_t *hv__connect_first(const hnet_t *net) {
    return net->connects != NULL ? net->connects->io : NULL;
}

hio_t *hv__connect_find(const hnet_t *net, uint32_t tag) {
    for (hv__connect_t *at = net->connects; at != NULL; at = at->next) {
        if (at->io->watcher.tag == tag) return at->io;
    }
    return NULL;
}

int hv__connect_has_begun(const hio_t *io) { return io->ext->connect->has_begun; }

/* ---- Attempts ---- */

static void go_on(hv__connect_t *connect);

/* The io takes the descriptor that has connected; the rest goes. */
static void win(hv__connect_t *connect, int fd, const hdns_addr_t *addr) {
    hio_t *io = connect->io;
    if (io->flags & HIO_FLAG_LAYERED) hv__tls_set_default_host(io, connect->host);
    hv__connect_stop(io);
    HV_ASSERT(io->state == HIO_CONNECTING);
    HV_ASSERT(io_fd(io) < 0);
    io->watcher.fd = fd;
    if (hv__watcher_add(io_loop(io), &io->watcher) != 0) {
        io->watcher.fd = -1;
        hsock_close(fd);
        hv__io_fail(io, HV_ENOMEM);
        return;
    }
    hv__io_set_peer(io, &addr->sa, hdns_addr_len(addr));
    hv__tcp_connected(io);
}

static void on_attempt_ready(hv__watch_t *attempt, unsigned ready) {
    (void)ready;
    hv__connect_t *connect = attempt->owner;
    int fd = attempt->watcher.fd;
    int code = hsock_take_error(fd);
    hsock_addr_t peer;
    /* Woken without an error and without a peer, it is still on its way. */
    if (code == 0 && hsock_peer_address(fd, &peer) == 0) return;
    if (code == 0) code = hsock_refuse_self(fd, &peer.sa);
    if (code == 0) {
        hdns_addr_t addr;
        memcpy(&addr, &peer, sizeof addr);
        forget_attempt(connect, attempt, 1);
        win(connect, fd, &addr);
        return;
    }
    connect->error = code;
    forget_attempt(connect, attempt, 0);
    stop_timer(connect);
    go_on(connect);
}

/* Opens a socket and begins to connect it. Returns 0 with the descriptor connected, -EINPROGRESS,
 * or another code and no descriptor. */
static int open_attempt(const hio_t *io, const hdns_addr_t *addr, int *fd) {
    int is_stream = io->kind == HSOCK_KIND_STREAM;
    const hsock_addr_t *own = io->ext->bind;
    if (own != NULL && own->sa.sa_family != addr->sa.sa_family) return -EAFNOSUPPORT;
    int opened = hsock_open(addr->sa.sa_family, is_stream ? SOCK_STREAM : SOCK_DGRAM);
    if (opened < 0) return opened;
    if (is_stream) hsock_set_no_delay(opened);
    int code = own != NULL ? hsock_bind(opened, own, hsock_address_len(&own->sa)) : 0;
    if (code == 0) code = hsock_connect(opened, &addr->sa, hdns_addr_len(addr));
    if (code == 0 && is_stream) code = hsock_refuse_self(opened, &addr->sa);
    if (code == 0 || code == -EINPROGRESS) {
        *fd = opened;
    } else {
        hsock_close(opened);
    }
    return code;
}

/* The next address: of the family whose turn it is, or else of the other one. NULL where all that
 * are known have been tried. */
static const hdns_addr_t *next_address(hv__connect_t *connect) {
    int turn = connect->has_begun ? !connect->last_family : IPV6;
    for (int i = 0; i < FAMILY_COUNT; i++, turn = !turn) {
        family_t *family = &connect->families[turn];
        if (family->next == family->count) continue;
        connect->last_family = turn;
        return &family->addresses[family->next++];
    }
    return NULL;
}

static int has_more_addresses(const hv__connect_t *connect) {
    for (int i = 0; i < FAMILY_COUNT; i++) {
        if (connect->families[i].next < connect->families[i].count) return 1;
    }
    return 0;
}

static int is_resolving(const hv__connect_t *connect) {
    return connect->families[IPV6].query != NULL || connect->families[IPV4].query != NULL;
}

static void on_delay_over(htimer_t *timer) {
    hv__connect_t *connect = hevent_userdata(timer);
    stop_timer(connect);
    go_on(connect);
}

static int start_timer(hv__connect_t *connect, uint32_t delay_ms) {
    HV_ASSERT(connect->timer == NULL);
    connect->timer = hv__timer_add_internal(io_loop(connect->io), on_delay_over, delay_ms);
    if (connect->timer == NULL) return HV_ENOMEM;
    hevent_set_userdata(connect->timer, connect);
    /* What has connected comes first. */
    hevent_set_priority(connect->timer, HEVENT_LOWEST_PRIORITY);
    return 0;
}

/* Waits for an attempt, and for the moment of the next one. Takes the descriptor. */
static int watch_attempt(hv__connect_t *connect, int fd) {
    hv__watch_t *attempt = hv__watch_open(io_loop(connect->io), fd, on_attempt_ready, connect);
    if (attempt == NULL) {
        hsock_close(fd);
        return HV_ENOMEM;
    }
    attempt->next = connect->attempts;
    connect->attempts = attempt;
    int code = hv__watch_set(attempt, HPOLL_WRITE);
    if (code == 0 && (has_more_addresses(connect) || is_resolving(connect))) {
        code = start_timer(connect, ATTEMPT_DELAY_MS);
    }
    return code;
}

/* Begins the next attempt, and further ones while they fail at once. Only where no delay runs. */
static void go_on(hv__connect_t *connect) {
    HV_ASSERT(connect->timer == NULL);
    for (const hdns_addr_t *addr; (addr = next_address(connect)) != NULL;) {
        int fd = -1;
        connect->has_begun = 1;
        int code = open_attempt(connect->io, addr, &fd);
        if (code == 0) {
            hdns_addr_t winner = *addr; /* goes with the connector */
            win(connect, fd, &winner);
            return;
        }
        if (code == -EINPROGRESS) {
            code = watch_attempt(connect, fd);
            if (code != 0) hv__io_fail(connect->io, code);
            return;
        }
        /* An address that the bound one cannot reach tells nothing of the peer. */
        if (code != -EAFNOSUPPORT || connect->error == 0) connect->error = code;
    }
    if (connect->attempts == NULL && !is_resolving(connect)) {
        HV_ASSERT(connect->error != 0);
        hv__io_fail(connect->io, connect->error);
    }
}

/* ---- Answers ---- */

static int take_addresses(hv__connect_t *connect, family_t *family, const hdns_result_t *result) {
    size_t count = result->count < FAMILY_ADDRESSES_MAX ? result->count : FAMILY_ADDRESSES_MAX;
    family->addresses = hv__calloc(count, sizeof *family->addresses);
    if (family->addresses == NULL) return HV_ENOMEM;
    for (size_t i = 0; i < count; i++) {
        hdns_addr_t *addr = &family->addresses[i];
        *addr = result->entries[i].addr;
        if (addr->sa.sa_family == AF_INET6) {
            addr->in6.sin6_port = htons(connect->port);
        } else {
            addr->in.sin_port = htons(connect->port);
        }
    }
    family->count = count;
    return 0;
}

/* That a name has no address of one family says less than any other reason. */
static void note_failed_query(hv__connect_t *connect, int code) {
    if (connect->has_begun) return;
    if (connect->error == 0 || connect->error == HV_ENOTFOUND) connect->error = code;
}

static void on_answer(hdns_query_t *query, const hdns_result_t *result) {
    hv__connect_t *connect = hevent_userdata(query);
    int which = query == connect->families[IPV6].query ? IPV6 : IPV4;
    family_t *family = &connect->families[which];
    HV_ASSERT(family->query == query);
    family->query = NULL;
    if (result->status != 0) {
        note_failed_query(connect, result->status);
    } else if (take_addresses(connect, family, result) != 0) {
        hv__io_fail(connect->io, HV_ENOMEM);
        return;
    }
    if (!connect->has_begun) {
        int waits = which == IPV4 && family->count > 0 && connect->families[IPV6].query != NULL;
        stop_timer(connect);
        if (!waits) {
            go_on(connect);
        } else if (start_timer(connect, RESOLUTION_DELAY_MS) != 0) {
            hv__io_fail(connect->io, HV_ENOMEM);
        }
    } else if (connect->timer == NULL) {
        /* All the addresses known before have been tried; the latest had its time, or failed. */
        go_on(connect);
    }
}

/* ---- The beginning ---- */

static int ask(hv__connect_t *connect, const char *host) {
    static const hdns_type_e types[FAMILY_COUNT] = {[IPV6] = HDNS_AAAA, [IPV4] = HDNS_A};
    hloop_t *loop = io_loop(connect->io);
    for (int i = 0; i < FAMILY_COUNT; i++) {
        hdns_query_t *query = hdns_resolve(loop, host, types[i], NULL, on_answer, connect);
        if (query == NULL) return hloop_last_error(loop);
        hevent_unref(query); /* the io keeps the loop running, where it is to */
        connect->families[i].query = query;
    }
    return 0;
}

/* The connector of a new io, or NULL. */
static hv__connect_t *connect_new(hio_t *io, const char *host, int port) {
    if (io->ext == NULL) return NULL;
    size_t len = strlen(host);
    hv__connect_t *connect = hv__calloc(1, sizeof *connect + len + 1);
    if (connect == NULL) return NULL;
    hnet_t *net = io_net(io);
    memcpy(connect->host, host, len);
    connect->io = io;
    connect->port = (uint16_t)port;
    connect->next = net->connects;
    if (net->connects != NULL) net->connects->prev = connect;
    net->connects = connect;
    return io->ext->connect = connect;
}

hio_t *hv__connect_by_name(hloop_t *loop, const char *host, int port, hsock_kind_e kind) {
    if (port <= 0 || port > 65535) {
        loop->last_error = HV_EINVAL;
        return NULL;
    }
    hio_t *io = hv__io_new(loop, -1, kind, HIO_CONNECTING);
    if (io == NULL) return NULL;
    io->flags |= HIO_FLAG_CLIENT;
    hv__io_ext(io);
    hv__connect_t *connect = connect_new(io, host, port);
    int code = HV_ENOMEM;
    if (connect != NULL) {
        io->ext->connect_timeout_ms = HIO_DEFAULT_CONNECT_TIMEOUT;
        io->ext->state_stamp_ms = hv__loop_stamp_ms(loop);
        code = ask(connect, host);
        if (code == 0) hv__io_timeouts_changed(io);
        if (code == 0 && io->state == HIO_CONNECTING) return io;
        if (code == 0) code = -io->error;
    }
    /* Nobody knows it: it goes at the end of the pass without a call. */
    hv__io_fail(io, code);
    loop->last_error = code;
    return NULL;
}
