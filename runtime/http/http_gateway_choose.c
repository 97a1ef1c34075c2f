/* http_gateway_choose.c - which upstream a request goes to.
 *
 * First who may be asked at all, as bits: not tried by this request yet, neither down nor ill nor
 * resting nor just being tried by somebody else after a rest; backups only where nobody else is
 * left. Then one of them, by the rule of the gateway. Where nobody may, the one that rests shortest
 * is asked: an answer that is unlikely is better than none.
 *
 * Turns by weight are "smooth": each choice adds every upstream's weight to its credit, takes the
 * one with the most and charges it the sum of all, so that a heavy one's turns are spread and not
 * in a row. */
#include "h1_chars.h"
#include "h1_fields.h"
#include "hstr.h"
#include "http_gateway_int.h"

#define BIT(i) (UINT64_C(1) << (i))

/* ---- Who may be asked ---- */

static int may_try(const hhttp_gateway_t *gateway, const http_pass_t *pass, size_t i) {
    const http_upstream_t *upstream = &gateway->upstreams[i];
    if (pass->tried & BIT(i) || upstream->is_down || upstream->is_ill) return 0;
    if (upstream->rests_until_ms == 0) return 1;
    return upstream->rests_until_ms <= hv__gateway_now_ms(gateway) && !upstream->is_probed;
}

static uint64_t candidates(const hhttp_gateway_t *gateway, const http_pass_t *pass) {
    uint64_t first = 0, backups = 0;
    for (size_t i = 0; i < gateway->count; i++) {
        if (!may_try(gateway, pass, i)) continue;
        if (gateway->upstreams[i].is_backup) {
            backups |= BIT(i);
        } else {
            first |= BIT(i);
        }
    }
    return first != 0 ? first : backups;
}

/* ---- Rules ---- */

static http_upstream_t *choose_in_turn(hhttp_gateway_t *gateway, uint64_t among) {
    http_upstream_t *best = NULL;
    int32_t sum = 0;
    for (size_t i = 0; i < gateway->count; i++) {
        http_upstream_t *upstream = &gateway->upstreams[i];
        if (!(among & BIT(i))) continue;
        upstream->credit += (int32_t)upstream->weight;
        sum += (int32_t)upstream->weight;
        if (best == NULL || upstream->credit > best->credit) best = upstream;
    }
    if (best != NULL) best->credit -= sum;
    return best;
}

/* Equally busy ones take turns. */
static http_upstream_t *choose_least_busy(hhttp_gateway_t *gateway, uint64_t among) {
    uint64_t least = UINT64_MAX, equals = 0;
    for (size_t i = 0; i < gateway->count; i++) {
        const http_upstream_t *upstream = &gateway->upstreams[i];
        uint64_t load = (uint64_t)upstream->busy * HTTP_WEIGHT_MAX / upstream->weight;
        if (!(among & BIT(i)) || load > least) continue;
        equals = load < least ? BIT(i) : equals | BIT(i);
        least = load;
    }
    return choose_in_turn(gateway, equals);
}

/* ---- Hashes ---- */

#define HASH_START 2166136261u /* FNV-1a */

static uint32_t hash_bytes(const void *data, size_t len) {
    const unsigned char *bytes = data;
    uint32_t hash = HASH_START;
    for (size_t i = 0; i < len; i++) hash = (hash ^ bytes[i]) * 16777619u;
    return hash;
}

static uint32_t hash_of_client(const http_pass_t *pass) {
    hio_t *io = hhttp_request_io(pass->req);
    const struct sockaddr *addr = io != NULL ? hio_peeraddr(io) : NULL;
    if (addr != NULL && addr->sa_family == AF_INET) {
        return hash_bytes(&((const struct sockaddr_in *)(const void *)addr)->sin_addr, 4);
    }
    if (addr != NULL && addr->sa_family == AF_INET6) {
        return hash_bytes(&((const struct sockaddr_in6 *)(const void *)addr)->sin6_addr, 16);
    }
    return HASH_START;
}

/* The value of a cookie of that name; data NULL where there is none. HTTP/2 may send each cookie in
 * a line of its own (RFC 9113 section 8.2.3). */
static hhttp_slice_t cookie_of(const hhttp_request_t *req, hstr_t name) {
    hhttp_header_t header;
    size_t cursor = 0;
    while (hhttp_request_next_header(req, &cursor, &header)) {
        if (!h1_equals_folded(header.name.data, header.name.len, "cookie", 6)) continue;
        hstr_t rest = {header.value.data, header.value.len}, piece, key;
        while (hstr_next(&rest, ';', &piece)) {
            if (!hstr_next(&piece, '=', &key)) continue;
            if (hstr_equals(hstr_trim(key), name)) return (hhttp_slice_t){piece.data, piece.len};
        }
    }
    return (hhttp_slice_t){NULL, 0};
}

static int begins(const char *text, const char *word) {
    return strncmp(text, word, strlen(word)) == 0;
}

int hv__gateway_may_hash(const char *by) {
    if (by == NULL) return 0;
    if (begins(by, "header:")) return by[7] != '\0';
    if (begins(by, "cookie:")) return by[7] != '\0';
    return strcmp(by, "path") == 0;
}

/* Who has not what is asked for is known by his address: else all of them would go to one place. */
static uint32_t hash_of(const hhttp_gateway_t *gateway, const http_pass_t *pass) {
    const char *by = gateway->hash_by;
    hhttp_slice_t value = {NULL, 0};
    if (gateway->options.balance != HHTTP_BALANCE_HASH) return hash_of_client(pass);
    if (begins(by, "header:")) {
        value = hhttp_request_header(pass->req, by + 7, strlen(by + 7));
    } else if (begins(by, "cookie:")) {
        value = cookie_of(pass->req, hstr_from(by + 7));
    } else {
        value = hhttp_request_path(pass->req);
    }
    return value.len > 0 ? hash_bytes(value.data, value.len) : hash_of_client(pass);
}

/* Rendezvous hashing: when one upstream goes, only what went there moves. */
static http_upstream_t *choose_by_hash(hhttp_gateway_t *gateway, uint32_t hash, uint64_t among) {
    http_upstream_t *best = NULL;
    uint64_t best_score = 0;
    for (size_t i = 0; i < gateway->count; i++) {
        if (!(among & BIT(i))) continue;
        uint32_t mixed = (hash ^ (uint32_t)(i * 0x9e3779b9u)) * 0x85ebca6bu;
        mixed = (mixed ^ mixed >> 13) * 0xc2b2ae35u;
        uint64_t score = (uint64_t)(mixed ^ mixed >> 16) * gateway->upstreams[i].weight + 1;
        if (score > best_score) {
            best_score = score;
            best = &gateway->upstreams[i];
        }
    }
    return best;
}

/* ---- Choosing ---- */

int hv__gateway_has_other(const hhttp_gateway_t *gateway, const http_pass_t *pass) {
    return candidates(gateway, pass) != 0;
}

static http_upstream_t *choose_soonest(hhttp_gateway_t *gateway, const http_pass_t *pass) {
    http_upstream_t *best = NULL;
    for (size_t i = 0; i < gateway->count; i++) {
        http_upstream_t *upstream = &gateway->upstreams[i];
        if (pass->tried & BIT(i) || upstream->is_down) continue;
        int is_better = best == NULL || upstream->is_ill < best->is_ill ||
                        (upstream->is_ill == best->is_ill &&
                         upstream->rests_until_ms < best->rests_until_ms);
        if (is_better) best = upstream;
    }
    return best;
}

http_upstream_t *hv__gateway_choose(hhttp_gateway_t *gateway, const http_pass_t *pass) {
    uint64_t among = candidates(gateway, pass);
    if (among == 0) return choose_soonest(gateway, pass);
    switch (gateway->options.balance) {
    case HHTTP_BALANCE_LEAST_BUSY: return choose_least_busy(gateway, among);
    case HHTTP_BALANCE_CLIENT:
    case HHTTP_BALANCE_HASH: return choose_by_hash(gateway, hash_of(gateway, pass), among);
    default: return choose_in_turn(gateway, among);
    }
}
