/* http_client.c - the pool: which call uses which connection.
 *
 * Connections are grouped by where they lead: scheme, host, port, TLS settings and proxy, written
 * one behind the other as the key. A call takes the connection of its group that was used last (it
 * is the least likely to have been closed by the server), or opens one, or waits in line where the
 * group has as many as it may. A connection that ends serves the line.
 *
 * Connections that rest are in two lists: of their group, and of the client, oldest first, for the
 * limit over all hosts. They do not keep the loop running. */
#include "http_client_int.h"

#include "hclock.h"
#include "hloop_int.h"
#include "hsock.h"

/* A link that has rested for less is used unseen: to look costs as much as a small read. */
#define LOOK_AFTER_US 100

/* ---- The clients of a loop ---- */

typedef struct clients_s {
    hv__guest_t guest;
    hloop_t *loop;
    hhttp_client_t *first;
} clients_t;

static void end_client(hhttp_client_t *client);

static void close_clients(hv__guest_t *guest) {
    clients_t *clients = HV_CONTAINER_OF(guest, clients_t, guest);
    hhttp_client_t *next;
    for (hhttp_client_t *client = clients->first; client != NULL; client = next) {
        next = client->next;
        end_client(client);
        /* The loop runs no more work that was put off. */
        for (hhttp_call_t *call; (call = client->calls) != NULL;) {
            hv__defer_cancel(client->loop, &call->work);
            hv__http_call_report(call);
        }
    }
}

static void destroy(hhttp_client_t *client);

static void free_clients(hv__guest_t *guest) {
    clients_t *clients = HV_CONTAINER_OF(guest, clients_t, guest);
    while (clients->first != NULL)
        destroy(clients->first);
    hv__free(clients);
}

static const hv__guest_kind_t clients_kind = {close_clients, free_clients};

static clients_t *clients_of(hloop_t *loop) {
    hv__guest_t *guest = hv__guest_find(loop, &clients_kind);
    if (guest != NULL) return HV_CONTAINER_OF(guest, clients_t, guest);
    clients_t *clients = hv__calloc(1, sizeof *clients);
    if (clients == NULL) return NULL;
    clients->loop = loop;
    hv__guest_add(loop, &clients->guest, &clients_kind);
    return clients;
}

/* ---- Making and closing ---- */

static void set_default(uint32_t *field, uint32_t value) {
    if (*field == 0) *field = value;
}

hhttp_client_t *hhttp_client_new(hloop_t *loop, const hhttp_client_options_t *options) {
    clients_t *clients = hv__loop_is_ending(loop) ? NULL : clients_of(loop);
    hhttp_client_t *client = clients != NULL ? hv__calloc(1, sizeof *client) : NULL;
    if (client == NULL) {
        loop->last_error = hv__loop_is_ending(loop) ? HV_ECLOSED : HV_ENOMEM;
        return NULL;
    }
    client->loop = loop;
    if (options != NULL) client->options = *options;
    set_default(&client->options.status_line_bytes_max, 8 * 1024);
    set_default(&client->options.header_bytes_max, 64 * 1024);
    set_default(&client->options.header_count_max, 200);
    set_default(&client->options.interim_max, 16);
    set_default(&client->options.connections_per_host_max, 64);
    set_default(&client->options.idle_per_host_max, 64);
    set_default(&client->options.idle_max, 256);
    set_default(&client->options.waiting_max, 10000);
    set_default(&client->options.idle_timeout_ms, 30000);
    set_default(&client->options.streams_per_connection_max, 1000);
    set_default(&client->options.stream_window_bytes, 1024 * 1024);
    set_default(&client->options.ping_interval_ms, INFINITE);
    set_default(&client->options.pong_timeout_ms, 20000);
    if (client->options.stream_window_bytes > INT32_MAX) {
        client->options.stream_window_bytes = INT32_MAX;
    }
    client->limits = (h1_limits_t){
        .request_line_bytes_max = client->options.status_line_bytes_max,
        .header_bytes_max = client->options.header_bytes_max,
        .header_count_max = client->options.header_count_max,
    };
    client->list = &clients->first;
    client->next = clients->first;
    clients->first = client;
    return client;
}

static void destroy(hhttp_client_t *client) {
    HV_ASSERT(client->calls == NULL && client->counts.connections == 0);
    hhttp_client_t **at = client->list;
    while (*at != client)
        at = &(*at)->next;
    *at = client->next;
    hv__defer_cancel(client->loop, &client->free_work);
    hssl_ctx_free(client->default_tls);
    hv__free(client);
}

static void run_free(hv__defer_t *work) {
    hhttp_client_t *client = HV_CONTAINER_OF(work, hhttp_client_t, free_work);
    if (client->calls == NULL && client->counts.connections == 0) destroy(client);
}

void hv__http_client_leave(hhttp_client_t *client) {
    if (!client->is_closing || client->calls != NULL || client->counts.connections > 0) return;
    /* Whoever has called us may still look at it. */
    hv__defer(client->loop, &client->free_work, run_free);
}

static void end_client(hhttp_client_t *client) {
    client->is_closing = 1;
    hhttp_client_close_idle(client);
    for (hhttp_call_t *call = client->calls; call != NULL; call = call->next) {
        hv__http_call_end(call, HV_ECANCELED, NULL);
    }
}

void hhttp_client_close(hhttp_client_t *client) {
    if (client == NULL || client->is_closing) return;
    end_client(client);
    hv__http_client_leave(client);
}

void hhttp_client_close_idle(hhttp_client_t *client) {
    while (client->oldest_idle != NULL)
        hv__http_link_drop(client->oldest_idle);
}

void hhttp_client_counts(const hhttp_client_t *client, hhttp_client_counts_t *counts) {
    *counts = client->counts;
}

hssl_ctx_t hv__http_tls_of(hhttp_client_t *client, const http_place_t *place, int *code) {
    if (place->tls != NULL) return place->tls;
    if (client->default_tls == NULL) {
        hssl_ctx_opt_t options = {.endpoint = HSSL_CLIENT};
        client->default_tls = hssl_ctx_new(&options);
        if (client->default_tls == NULL) *code = HV_ETLS;
    }
    return client->default_tls;
}

/* ---- Groups ---- */

static uint32_t hash_of(const char *key, size_t len) {
    uint32_t hash = 2166136261u; /* FNV-1a */
    for (size_t i = 0; i < len; i++)
        hash = (hash ^ (unsigned char)key[i]) * 16777619u;
    return hash;
}

enum { PLACE_STRINGS = 6 };

static void list_strings(const http_place_t *place, const char *strings[PLACE_STRINGS]) {
    strings[0] = place->host;
    strings[1] = place->unix_path;
    strings[2] = place->server_name;
    strings[3] = place->proxy_host;
    strings[4] = place->proxy_user;
    strings[5] = place->proxy_password;
}

/* What is compared beside the strings; no padding may differ. */
typedef struct key_head_s {
    uint64_t tls;
    uint64_t proxy_tls;
    int32_t port;
    int32_t proxy_port;
    int32_t proxy;
    int32_t flags;
} key_head_t;
_Static_assert(sizeof(key_head_t) == 32, "a key has no holes");

/* Writes the key into `out`, or only measures it. */
static size_t write_key(const http_place_t *place, char *out) {
    const char *strings[PLACE_STRINGS];
    list_strings(place, strings);
    key_head_t head = {
        .tls = (uint64_t)(uintptr_t)place->tls,
        .proxy_tls = (uint64_t)(uintptr_t)place->proxy_tls,
        .port = place->port,
        .proxy_port = place->proxy_port,
        .proxy = (int32_t)place->proxy,
        .flags = place->is_https | place->tunnels << 1 | place->http2 << 2,
    };
    size_t len = sizeof head;
    if (out != NULL) memcpy(out, &head, sizeof head);
    for (int i = 0; i < PLACE_STRINGS; i++) {
        /* A mark tells a string that is empty from one that is not there. */
        size_t bytes = strings[i] != NULL ? strlen(strings[i]) + 1 : 0;
        if (out != NULL) {
            out[len] = strings[i] != NULL ? 's' : '-';
            if (bytes > 0) memcpy(out + len + 1, strings[i], bytes);
        }
        len += bytes + 1;
    }
    return len;
}

/* Lets the strings of a group's place point into its key. */
static void point_into_key(http_group_t *group) {
    const char *strings[PLACE_STRINGS];
    const char *at = group->key + sizeof(key_head_t);
    for (int i = 0; i < PLACE_STRINGS; i++) {
        strings[i] = *at == 's' ? at + 1 : NULL;
        at += *at == 's' ? strlen(at) + 1 : 1;
    }
    http_place_t *place = &group->place;
    place->host = strings[0];
    place->unix_path = strings[1];
    place->server_name = strings[2];
    place->proxy_host = strings[3];
    place->proxy_user = strings[4];
    place->proxy_password = strings[5];
}

http_group_t *hv__http_group_of(hhttp_client_t *client, const http_place_t *place) {
    size_t key_len = write_key(place, NULL);
    http_group_t *made = hv__malloc(sizeof *made + key_len);
    if (made == NULL) return NULL;
    memset(made, 0, sizeof *made);
    write_key(place, made->key);
    made->hash = hash_of(made->key, key_len);
    http_group_t **bucket = &client->groups[made->hash % HTTP_GROUP_BUCKETS];
    for (http_group_t *group = *bucket; group != NULL; group = group->next) {
        if (group->hash != made->hash || group->key_len != key_len) continue;
        if (memcmp(group->key, made->key, key_len) != 0) continue;
        hv__free(made);
        return group;
    }
    made->client = client;
    made->place = *place;
    made->key_len = key_len;
    point_into_key(made);
    if (place->tls != NULL) hssl_ctx_retain(place->tls);
    if (place->proxy_tls != NULL) hssl_ctx_retain(place->proxy_tls);
    made->next = *bucket;
    *bucket = made;
    return made;
}

void hv__http_group_leave(http_group_t *group) {
    if (group->count > 0 || group->waiting_count > 0 || group->holds > 0) return;
    http_group_t **at = &group->client->groups[group->hash % HTTP_GROUP_BUCKETS];
    while (*at != group)
        at = &(*at)->next;
    *at = group->next;
    hssl_ctx_free(group->place.tls);
    hssl_ctx_free(group->place.proxy_tls);
    hv__free(group);
}

/* ---- Connections that rest ---- */

void hv__http_idle_add(http_link_t *link) {
    http_group_t *group = link->group;
    hhttp_client_t *client = group->client;
    link->state = LINK_IDLE;
    link->idle_since_us = hclock_mono_us();
    link->prev_idle = NULL;
    link->next_idle = group->idle;
    if (group->idle != NULL) group->idle->prev_idle = link;
    group->idle = link;
    group->idle_count++;
    link->newer = NULL;
    link->older = client->newest_idle;
    if (link->older != NULL) {
        link->older->newer = link;
    } else {
        client->oldest_idle = link;
    }
    client->newest_idle = link;
    client->counts.idle++;
    hevent_unref(link->io);
    if (client->options.idle_timeout_ms != INFINITE) {
        hio_set_keepalive_timeout(link->io, (int)client->options.idle_timeout_ms);
    }
    if (client->counts.idle > client->options.idle_max) hv__http_link_drop(client->oldest_idle);
}

void hv__http_idle_remove(http_link_t *link) {
    http_group_t *group = link->group;
    hhttp_client_t *client = group->client;
    HV_ASSERT(link->state == LINK_IDLE);
    if (link->prev_idle != NULL) {
        link->prev_idle->next_idle = link->next_idle;
    } else {
        group->idle = link->next_idle;
    }
    if (link->next_idle != NULL) link->next_idle->prev_idle = link->prev_idle;
    group->idle_count--;
    if (link->older != NULL) {
        link->older->newer = link->newer;
    } else {
        client->oldest_idle = link->newer;
    }
    if (link->newer != NULL) {
        link->newer->older = link->older;
    } else {
        client->newest_idle = link->older;
    }
    client->counts.idle--;
    hevent_ref(link->io);
}

/* ---- Connections that are shared ---- */

void hv__http_shared_add(http_link_t *link) {
    http_group_t *group = link->group;
    link->state = LINK_SHARED;
    link->prev_idle = NULL;
    link->next_idle = group->shared;
    if (group->shared != NULL) group->shared->prev_idle = link;
    group->shared = link;
}

void hv__http_shared_remove(http_link_t *link) {
    HV_ASSERT(link->state == LINK_SHARED);
    if (link->prev_idle != NULL) {
        link->prev_idle->next_idle = link->next_idle;
    } else {
        link->group->shared = link->next_idle;
    }
    if (link->next_idle != NULL) link->next_idle->prev_idle = link->prev_idle;
    link->state = LINK_RETIRED;
}

void hv__http_opened(http_link_t *link, int has_failed) {
    if (!link->is_opening) return;
    link->is_opening = 0;
    link->group->opening_count--;
    link->group->has_failed = has_failed != 0;
}

/* ---- Who gets what ---- */

/* A link that serves one call more; NULL where there is none. */
static http_link_t *take_kept(http_group_t *group) {
    for (http_link_t *link = group->shared; link != NULL; link = link->next_idle) {
        if (hv__h2_client.has_room(link)) return link;
    }
    http_link_t *link = group->idle;
    if (link == NULL) return NULL;
    hv__http_idle_remove(link);
    hio_set_keepalive_timeout(link->io, 0);
    if (link->h2 != NULL) hv__http_shared_add(link);
    return link;
}

/* While a link is opening that may take many calls, no other one is opened, unless a link like it
 * has just failed: then each call finds out for itself. */
static int may_open(const http_group_t *group, int is_fresh) {
    if (group->count >= group->client->options.connections_per_host_max) return 0;
    return is_fresh || group->opening_count == 0 || group->has_failed;
}

/* Whether a link that rests is still good. Its end may not have been reported yet, or not even been
 * seen: a program that was busy for long starts a request before the loop has looked again. Bytes
 * that nobody has asked for spoil it as they do where they are read; only HTTP/2 has some to
 * say. */
static int is_good(const http_link_t *link) {
    if (!hio_is_opened(link->io)) return 0;
    if (hclock_mono_us() - link->idle_since_us < LOOK_AFTER_US) return 1;
    int code = hsock_peek(hio_fd(link->io));
    return code == HV_EAGAIN || (code == 1 && link->h2 != NULL);
}

int hv__http_assign(hhttp_call_t *call) {
    http_group_t *group = call->group;
    hhttp_client_t *client = call->client;
    while (group->idle != NULL && !is_good(group->idle)) hv__http_link_drop(group->idle);
    http_link_t *link = call->options.is_fresh ? NULL : take_kept(group);
    if (link != NULL) {
        client->counts.reused++;
        call->flags |= CALL_REUSED;
        hv__http_link_use(link, call);
        return 0;
    }
    call->flags &= ~(uint32_t)CALL_REUSED;
    if (may_open(group, call->options.is_fresh)) return hv__http_link_open(group, call);
    /* A call that wants a new connection takes the place of one that rests. */
    if (group->idle != NULL) hv__http_link_drop(group->idle);
    if (client->counts.waiting >= client->options.waiting_max) return HV_ELIMIT;
    call->state = CALL_WAITING;
    call->connect_start_ms = group->opening_count > 0 ? hv__http_ms(client) : 0;
    hlist_push(&group->waiting, &call->wait_link);
    group->waiting_count++;
    client->counts.waiting++;
    return 0;
}

static int shares_have_room(const http_group_t *group) {
    for (const http_link_t *link = group->shared; link != NULL; link = link->next_idle) {
        if (hv__h2_client.has_room(link)) return 1;
    }
    return 0;
}

int hv__http_hand_over(http_link_t *link) {
    http_group_t *group = link->group;
    if (link->state > LINK_SECURING || group->waiting_count == 0) return 0;
    hhttp_call_t *call = HV_CONTAINER_OF(group->waiting.first, hhttp_call_t, wait_link);
    uint64_t waited_since_ms = call->connect_start_ms;
    hv__http_call_unwait(call);
    link->call->link = NULL;
    link->call = call;
    call->link = link;
    call->state = CALL_CONNECTING;
    call->connect_start_ms = waited_since_ms != 0 ? waited_since_ms : hv__http_ms(call->client);
    hv__http_call_arm(call);
    return 1;
}

void hv__http_serve_waiting(http_group_t *group) {
    hhttp_client_t *client = group->client;
    while (group->waiting_count > 0 && !client->is_closing) {
        hlink_t *first = group->waiting.first;
        hhttp_call_t *call = HV_CONTAINER_OF(first, hhttp_call_t, wait_link);
        int opens = may_open(group, call->options.is_fresh);
        if (call->options.is_fresh && !opens) {
            if (group->idle != NULL) hv__http_link_drop(group->idle);
            return;
        }
        if (group->idle == NULL && !opens && !shares_have_room(group)) return;
        hv__http_call_unwait(call);
        int code = hv__http_assign(call);
        if (code != 0) hv__http_call_end(call, code, NULL);
    }
}
