/* hrelay.c - datagrams passed on: what a client sends to the front socket leaves by a socket of
 * the client's own, and what comes back there leaves by the front for that client.
 *
 * Clients are found by address in a hash table of fixed size, with a seed of the kernel's since
 * anybody may choose the address he claims to send from. They stand in a list, the one that was
 * served last at its end: where there are too many, the first of it goes. One that is silent in
 * both directions for the idle time goes by itself, by the keep-alive timeout of its socket.
 *
 * A datagram that cannot be passed on is dropped, as a network would. */
#include "hrelay.h"

#include "hbase.h"
#include "hnet_int.h"

#define DEFAULT_IDLE_MS     60000
#define DEFAULT_CLIENTS_MAX 1024
#define BUCKET_COUNT        1024 /* a power of two */

typedef struct client_s {
    struct hrelay_s *relay; /* NULL once the front is gone */
    hio_t *upstream;
    struct client_s *next_in_bucket;
    struct client_s *prev;
    struct client_s *next;
    uint32_t bucket;
    hsock_addr_t addr;
} client_t;

typedef struct hrelay_s {
    hio_t *front;
    char *host;
    int port;
    uint32_t idle_ms;
    uint32_t clients_max;
    uint32_t client_count;
    uint32_t seed;
    client_t *oldest;
    client_t *newest;
    client_t *buckets[BUCKET_COUNT];
} hrelay_t;

/* ---- Addresses ---- */

/* FNV-1a over the bytes, behind a seed. */
static uint32_t hash_bytes(uint32_t hash, const void *data, size_t len) {
    const unsigned char *bytes = data;
    for (size_t i = 0; i < len; i++) hash = (hash ^ bytes[i]) * 16777619u;
    return hash;
}

static uint32_t bucket_of(uint32_t seed, const struct sockaddr *addr) {
    uint32_t hash = seed;
    if (addr->sa_family == AF_INET) {
        const struct sockaddr_in *in = (const struct sockaddr_in *)(const void *)addr;
        hash = hash_bytes(hash, &in->sin_addr, sizeof in->sin_addr);
        hash = hash_bytes(hash, &in->sin_port, sizeof in->sin_port);
    } else {
        const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)(const void *)addr;
        hash = hash_bytes(hash, &in6->sin6_addr, sizeof in6->sin6_addr);
        hash = hash_bytes(hash, &in6->sin6_port, sizeof in6->sin6_port);
    }
    return (hash ^ hash >> 16) & (BUCKET_COUNT - 1);
}

static int is_same_address(const hsock_addr_t *a, const struct sockaddr *b) {
    if (a->sa.sa_family != b->sa_family) return 0;
    if (b->sa_family == AF_INET) {
        const struct sockaddr_in *in = (const struct sockaddr_in *)(const void *)b;
        return a->in.sin_port == in->sin_port && a->in.sin_addr.s_addr == in->sin_addr.s_addr;
    }
    const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)(const void *)b;
    return a->in6.sin6_port == in6->sin6_port && a->in6.sin6_scope_id == in6->sin6_scope_id &&
           memcmp(&a->in6.sin6_addr, &in6->sin6_addr, sizeof in6->sin6_addr) == 0;
}

/* ---- Clients ---- */

static void leave_list(client_t *client) {
    hrelay_t *relay = client->relay;
    *(client->prev != NULL ? &client->prev->next : &relay->oldest) = client->next;
    *(client->next != NULL ? &client->next->prev : &relay->newest) = client->prev;
}

static void join_list(client_t *client) {
    hrelay_t *relay = client->relay;
    client->next = NULL;
    client->prev = relay->newest;
    *(relay->newest != NULL ? &relay->newest->next : &relay->oldest) = client;
    relay->newest = client;
}

/* Takes a client out of its relay; its socket frees it when it has closed. */
static void forget(client_t *client) {
    hrelay_t *relay = client->relay;
    client_t **at = &relay->buckets[client->bucket];
    while (*at != client) at = &(*at)->next_in_bucket;
    *at = client->next_in_bucket;
    leave_list(client);
    HV_ASSERT(relay->client_count > 0);
    relay->client_count--;
    client->relay = NULL;
}

static void on_upstream_close(hio_t *io) {
    client_t *client = hio_context(io);
    if (client->relay != NULL) forget(client);
    hv__free(client);
}

static void on_upstream_read(hio_t *io, void *buf, int readbytes) {
    client_t *client = hio_context(io);
    if (client->relay == NULL) return;
    leave_list(client);
    join_list(client);
    hio_sendto(client->relay->front, buf, (size_t)readbytes, &client->addr.sa);
}

static client_t *find_client(const hrelay_t *relay, uint32_t bucket, const struct sockaddr *addr) {
    client_t *client = relay->buckets[bucket];
    while (client != NULL && !is_same_address(&client->addr, addr)) client = client->next_in_bucket;
    return client;
}

static client_t *add_client(hrelay_t *relay, uint32_t bucket, const struct sockaddr *addr) {
    while (relay->client_count >= relay->clients_max) {
        client_t *oldest = relay->oldest;
        forget(oldest);
        hio_abort(oldest->upstream);
    }
    client_t *client = hv__calloc(1, sizeof *client);
    if (client == NULL) return NULL;
    hio_t *io = hloop_create_udp_client(io_loop(relay->front), relay->host, relay->port);
    if (io == NULL) {
        hv__free(client);
        return NULL;
    }
    client->relay = relay;
    client->upstream = io;
    client->bucket = bucket;
    memcpy(&client->addr, addr, hsock_address_len(addr));
    client->next_in_bucket = relay->buckets[bucket];
    relay->buckets[bucket] = client;
    join_list(client);
    relay->client_count++;
    hio_set_context(io, client);
    hio_setcb_close(io, on_upstream_close);
    hio_setcb_read(io, on_upstream_read);
    hio_set_keepalive_timeout(io, (int)relay->idle_ms);
    hio_read(io);
    return client;
}

static void on_front_read(hio_t *io, void *buf, int readbytes) {
    hrelay_t *relay = io->ext->relay;
    const struct sockaddr *addr = hio_peeraddr(io);
    if (addr->sa_family != AF_INET && addr->sa_family != AF_INET6) return;
    uint32_t bucket = bucket_of(relay->seed, addr);
    client_t *client = find_client(relay, bucket, addr);
    if (client == NULL) {
        client = add_client(relay, bucket, addr);
        if (client == NULL) return;
    } else {
        leave_list(client);
        join_list(client);
    }
    int sent = hio_write(client->upstream, buf, (size_t)readbytes);
    if (sent > 0) io->ext->forwarded_bytes += (uint64_t)sent;
}

/* ---- API ---- */

hio_t *hio_setup_udp_upstream(hio_t *io, const char *host, int port) {
    hloop_t *loop = io_loop(io);
    hsock_addr_t addr;
    if (loop == NULL) return NULL; /* detached */
    int code = hsock_address(&addr, host, port);
    if (io->kind != HSOCK_KIND_DATAGRAM || io->flags & HIO_FLAG_CLIENT) code = HV_EINVAL;
    if (code >= 0 && io->ext != NULL && io->ext->relay != NULL) code = HV_EBUSY;
    if (code >= 0 && io->state >= HIO_CLOSING) code = HV_ECLOSED;
    hrelay_t *relay = code >= 0 && hv__io_ext(io) != NULL ? hv__calloc(1, sizeof *relay) : NULL;
    char *copy = relay != NULL ? hv__strndup(host, strlen(host)) : NULL;
    if (copy == NULL) {
        hv__free(relay);
        loop->last_error = code < 0 ? code : HV_ENOMEM;
        return NULL;
    }
    relay->front = io;
    relay->host = copy;
    relay->port = port;
    relay->idle_ms = DEFAULT_IDLE_MS;
    relay->clients_max = DEFAULT_CLIENTS_MAX;
    relay->seed = (uint32_t)hv_rand(0, INT32_MAX);
    io->ext->relay = relay;
    hio_setcb_read(io, on_front_read);
    hio_read(io);
    return io;
}

int hio_set_udp_upstream_limits(hio_t *io, int idle_ms, uint32_t clients_max) {
    hrelay_t *relay = io->ext != NULL ? io->ext->relay : NULL;
    if (relay == NULL || idle_ms < 0) return HV_EINVAL;
    if (idle_ms > 0) relay->idle_ms = (uint32_t)idle_ms;
    if (clients_max > 0) relay->clients_max = clients_max;
    return 0;
}

uint32_t hio_udp_upstream_count(const hio_t *io) {
    return io->ext != NULL && io->ext->relay != NULL ? io->ext->relay->client_count : 0;
}

void hv__relay_free(hio_t *io) {
    hrelay_t *relay = io->ext->relay;
    while (relay->oldest != NULL) {
        client_t *client = relay->oldest;
        forget(client);
        hio_abort(client->upstream);
    }
    io->ext->relay = NULL;
    hv__free(relay->host);
    hv__free(relay);
}
