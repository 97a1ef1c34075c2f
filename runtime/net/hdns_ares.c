/* hdns_ares.c - c-ares on the loop: a channel, its sockets as watches, its nearest deadline as one
 * timer. The only includer of ares.h.
 *
 * c-ares opens and closes its sockets itself and says through a callback what each waits for. Its
 * callbacks come out of ares_process_fd, out of the functions that begin a lookup, and out of
 * ares_cancel and ares_destroy; ours only fill in the lookup and pass it to hv__dns_answered, which
 * calls nobody. So no function of the user's ever stands on a stack with c-ares.
 *
 * Where memory is short for a watch or the timer, c-ares would wait for an event that never comes;
 * all lookups of the channel then end with HV_ENOMEM, as soon as no c-ares call is on the stack.
 * The same work ends what is left when nobody waits any more, so that the sockets are closed. */
#include <ares.h>
#include <netdb.h>

#include "hdns_int.h"
#include "hwatch.h"

#define CLASS_INTERNET 1
#define SERVER_TRIES_MAX 16
#define SEARCH_DOMAINS_MAX 16
#define SEARCH_BYTES_MAX 1024

struct hdns_channel_s {
    hloop_t *loop;
    ares_channel ares;
    hv__watch_t *watches;
    htimer_t *timer;
    hv__defer_t work;
    uint32_t lookups;   /* c-ares still holds */
    uint32_t abandoned; /* of them */
    int failure;        /* what cancelled lookups end with; 0 for HV_ECANCELED */
};

struct hdns_lookup_s {
    hdns_channel_t *channel;
    hdns_query_t *query; /* NULL: abandoned */
    hdns_type_e type;
};

static int code_of(int status) {
    switch (status) {
    case ARES_SUCCESS: return 0;
    case ARES_ENODATA:
    case ARES_ENONAME:
    case ARES_ENOTFOUND: return HV_ENOTFOUND;
    /* c-ares 1.18 says "connection refused" where the servers answered that they failed; and for a
     * caller who connects by name it must not look like a refusal of the peer. */
    case ARES_ECONNREFUSED:
    case ARES_ESERVFAIL:
    case ARES_ENOTIMP:
    case ARES_EREFUSED: return -EREMOTEIO;
    case ARES_EBADNAME:
    case ARES_EBADSTR: return HV_EINVAL;
    case ARES_ETIMEOUT: return HV_ETIMEDOUT;
    case ARES_ENOMEM: return HV_ENOMEM;
    case ARES_ECANCELLED:
    case ARES_EDESTRUCTION: return HV_ECANCELED;
    default: return HV_EPROTO;
    }
}

/* ---- Sockets and time ---- */

static void end_all(hv__defer_t *work);
static void set_timer(hdns_channel_t *channel);

static void fail_all(hdns_channel_t *channel, int code) {
    channel->failure = code;
    hv__defer(channel->loop, &channel->work, end_all);
}

static void on_socket(hv__watch_t *watch, unsigned ready) {
    hdns_channel_t *channel = watch->owner;
    int fd = watch->watcher.fd;
    unsigned failed = ready & HPOLL_HANGUP; /* reading and writing both tell what it is */
    unsigned interest = watch->watcher.interest;
    int is_readable = ready & HPOLL_READ || (failed && interest & HPOLL_READ);
    int is_writable = ready & HPOLL_WRITE || (failed && interest & HPOLL_WRITE);
    ares_process_fd(channel->ares, is_readable ? fd : ARES_SOCKET_BAD,
                    is_writable ? fd : ARES_SOCKET_BAD);
    set_timer(channel);
}

/* c-ares tells what a socket waits for; for nothing, just before it is closed. */
static void on_socket_state(void *data, ares_socket_t fd, int readable, int writable) {
    hdns_channel_t *channel = data;
    hv__watch_t **link = &channel->watches;
    while (*link != NULL && (*link)->watcher.fd != fd) link = &(*link)->next;
    hv__watch_t *watch = *link;
    unsigned interest = (readable ? HPOLL_READ : 0u) | (writable ? HPOLL_WRITE : 0u);
    if (watch == NULL && interest == 0) return;
    if (watch == NULL) {
        watch = hv__watch_open(channel->loop, fd, on_socket, channel);
        if (watch == NULL) {
            fail_all(channel, HV_ENOMEM);
            return;
        }
        watch->next = channel->watches;
        channel->watches = watch;
        link = &channel->watches;
    }
    if (interest == 0) {
        *link = watch->next;
        hv__watch_close(watch, 0);
        return;
    }
    int code = hv__watch_set(watch, interest);
    if (code != 0) fail_all(channel, code);
}

static void on_timer(htimer_t *timer) {
    hdns_channel_t *channel = hevent_userdata(timer);
    ares_process_fd(channel->ares, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
    set_timer(channel);
}

/* Lets the timer wait for the nearest deadline of c-ares. */
static void set_timer(hdns_channel_t *channel) {
    struct timeval left;
    if (ares_timeout(channel->ares, NULL, &left) == NULL) {
        htimer_del(channel->timer);
        channel->timer = NULL;
        return;
    }
    uint32_t ms = (uint32_t)left.tv_sec * 1000u + ((uint32_t)left.tv_usec + 999u) / 1000u;
    if (ms == 0) ms = 1;
    if (channel->timer != NULL) {
        htimer_reset(channel->timer, ms);
        return;
    }
    channel->timer = hv__timer_add_internal(channel->loop, on_timer, ms);
    if (channel->timer == NULL) {
        fail_all(channel, HV_ENOMEM);
    } else {
        hevent_set_userdata(channel->timer, channel);
        /* After the sockets: an answer that came while the loop was busy is not late. */
        hevent_set_priority(channel->timer, HEVENT_LOWEST_PRIORITY);
    }
}

/* ---- Opening and closing ---- */

/* Cuts the search list in place. Returns the number of domains, or HV_ELIMIT. */
static int cut_domains(char *text, char *domains[SEARCH_DOMAINS_MAX]) {
    int count = 0;
    char *rest = text;
    for (char *domain; (domain = strtok_r(rest, " \t,", &rest)) != NULL;) {
        if (count == SEARCH_DOMAINS_MAX) return HV_ELIMIT;
        domains[count++] = domain;
    }
    return count;
}

/* c-ares counts these without a lock, and loops may be made in several threads. */
static void init_library(void) { ares_library_init(ARES_LIB_INIT_ALL); }

static int open_ares(hdns_channel_t *channel, const hdns_config_t *config) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, init_library);
    struct ares_options options = {
        .timeout = (int)config->attempt_timeout_ms,
        .tries = (int)config->rounds,
        .sock_state_cb = on_socket_state,
        .sock_state_cb_data = channel,
    };
    int mask = ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_SOCK_STATE_CB;
    char search[SEARCH_BYTES_MAX];
    char *domains[SEARCH_DOMAINS_MAX];
    if (config->search != NULL) {
        size_t len = strlen(config->search);
        if (len >= sizeof search) return HV_EINVAL;
        memcpy(search, config->search, len + 1);
        options.domains = domains;
        options.ndomains = cut_domains(search, domains);
        if (options.ndomains < 0) return HV_EINVAL;
        mask |= ARES_OPT_DOMAINS;
    }
    int status = ares_init_options(&channel->ares, &options, mask);
    if (status != ARES_SUCCESS) {
        channel->ares = NULL;
        return status == ARES_ENOMEM ? HV_ENOMEM : -EIO;
    }
    if (config->servers == NULL) return 0;
    status = ares_set_servers_ports_csv(channel->ares, config->servers);
    return status == ARES_SUCCESS ? 0 : status == ARES_ENOMEM ? HV_ENOMEM : HV_EINVAL;
}

hdns_channel_t *hdns_channel_open(hloop_t *loop, const hdns_config_t *config, int *code) {
    hdns_config_t full = config != NULL ? *config : (hdns_config_t){0};
    if (full.attempt_timeout_ms == 0) full.attempt_timeout_ms = HDNS_ATTEMPT_TIMEOUT;
    if (full.rounds == 0) full.rounds = HDNS_ROUNDS;
    if (full.attempt_timeout_ms > INT32_MAX || full.rounds > SERVER_TRIES_MAX) {
        *code = HV_EINVAL;
        return NULL;
    }
    hdns_channel_t *channel = hv__calloc(1, sizeof *channel);
    if (channel == NULL) {
        *code = HV_ENOMEM;
        return NULL;
    }
    channel->loop = loop;
    *code = open_ares(channel, &full);
    if (*code == 0) return channel;
    hdns_channel_close(channel);
    return NULL;
}

void hdns_channel_close(hdns_channel_t *channel) {
    if (channel->ares != NULL) ares_destroy(channel->ares);
    HV_ASSERT(channel->lookups == 0);
    HV_ASSERT(channel->watches == NULL);
    htimer_del(channel->timer);
    hv__defer_cancel(channel->loop, &channel->work);
    hv__free(channel);
}

/* Runs when no c-ares call is on the stack. */
static void end_all(hv__defer_t *work) {
    hdns_channel_t *channel = HV_CONTAINER_OF(work, hdns_channel_t, work);
    /* A lookup begun since is spared, unless there was a failure. */
    if (channel->failure == 0 && channel->lookups > channel->abandoned) return;
    ares_cancel(channel->ares);
    channel->failure = 0;
    set_timer(channel);
}

/* ---- Lookups ---- */

/* The last step of every lookup. Takes the answer. */
static void finish(hdns_lookup_t *lookup, int code, hdns_answer_t *answer) {
    hdns_channel_t *channel = lookup->channel;
    HV_ASSERT(channel->lookups > 0);
    channel->lookups--;
    if (code == HV_ECANCELED && channel->failure != 0) code = channel->failure;
    if (lookup->query != NULL) {
        lookup->query->lookup = NULL;
        hv__dns_answered(lookup->query, code, answer);
    } else {
        channel->abandoned--;
        hdns_answer_unref(answer);
    }
    hv__free(lookup);
}

/* Ends a lookup with what was read into `answer`, which may be NULL for want of memory. */
static void finish_read(hdns_lookup_t *lookup, int code, hdns_answer_t *answer) {
    if (answer == NULL) code = HV_ENOMEM;
    if (code == 0 && answer->count == 0) code = HV_ENOTFOUND;
    finish(lookup, code, answer);
}

static void on_addresses(void *arg, int status, int timeouts, struct ares_addrinfo *info) {
    (void)timeouts;
    if (status != ARES_SUCCESS || info == NULL) {
        finish(arg, status == ARES_SUCCESS ? HV_ENOTFOUND : code_of(status), NULL);
        if (info != NULL) ares_freeaddrinfo(info);
        return;
    }
    hdns_answer_t *answer = hdns_answer_new();
    int code = 0;
    for (struct ares_addrinfo_node *node = info->nodes;
         answer != NULL && code == 0 && node != NULL; node = node->ai_next) {
        code = hdns_answer_add_address(answer, node->ai_ttl > 0 ? (uint32_t)node->ai_ttl : 0,
                                       node->ai_addr);
    }
    for (struct ares_addrinfo_cname *alias = info->cnames; answer != NULL && alias != NULL;
         alias = alias->next) {
        uint32_t ttl = alias->ttl > 0 ? (uint32_t)alias->ttl : 0;
        if (ttl < answer->ttl) answer->ttl = ttl;
    }
    ares_freeaddrinfo(info);
    finish_read(arg, code, answer);
}

static void on_message(void *arg, int status, int timeouts, unsigned char *message, int len) {
    (void)timeouts;
    hdns_lookup_t *lookup = arg;
    if (status != ARES_SUCCESS) {
        finish(lookup, code_of(status), NULL);
        return;
    }
    hdns_answer_t *answer = hdns_answer_new();
    int code = 0;
    if (answer != NULL) code = hdns_answer_read(answer, lookup->type, message, (size_t)len);
    finish_read(lookup, code, answer);
}

/* The names of an address, from the hosts file or a server. c-ares keeps the ttl to itself. */
static void on_names(void *arg, int status, int timeouts, struct hostent *host) {
    (void)timeouts;
    if (status != ARES_SUCCESS) {
        finish(arg, code_of(status), NULL);
        return;
    }
    hdns_answer_t *answer = hdns_answer_new();
    hdns_entry_t *entry;
    int code = 0;
    if (answer != NULL && host->h_name != NULL) {
        code = hdns_answer_add(answer, HDNS_PTR, 0, host->h_name, strlen(host->h_name), &entry);
    }
    for (char **alias = host->h_aliases;
         answer != NULL && code == 0 && alias != NULL && *alias != NULL; alias++) {
        if (host->h_name != NULL && strcmp(*alias, host->h_name) == 0) continue;
        code = hdns_answer_add(answer, HDNS_PTR, 0, *alias, strlen(*alias), &entry);
    }
    finish_read(arg, code, answer);
}

static void begin(hdns_channel_t *channel, hdns_lookup_t *lookup, const char *name) {
    hdns_addr_t addr;
    if (lookup->type == HDNS_ADDRESS || lookup->type == HDNS_A || lookup->type == HDNS_AAAA) {
        struct ares_addrinfo_hints hints = {
            .ai_family = lookup->type == HDNS_A      ? AF_INET
                         : lookup->type == HDNS_AAAA ? AF_INET6
                                                     : AF_UNSPEC,
            .ai_socktype = SOCK_STREAM, /* any one: each address comes once */
        };
        ares_getaddrinfo(channel->ares, name, NULL, &hints, on_addresses, lookup);
    } else if (lookup->type == HDNS_PTR && hdns_literal(name, &addr)) {
        int is_v4 = addr.sa.sa_family == AF_INET;
        const void *bytes = is_v4 ? (const void *)&addr.in.sin_addr
                                  : (const void *)&addr.in6.sin6_addr;
        ares_gethostbyaddr(channel->ares, bytes, is_v4 ? 4 : 16, addr.sa.sa_family, on_names,
                           lookup);
    } else {
        ares_query(channel->ares, name, CLASS_INTERNET, (int)lookup->type, on_message, lookup);
    }
}

int hdns_channel_ask(hdns_channel_t *channel, hdns_query_t *query) {
    if (channel->lookups >= HDNS_QUERIES_MAX) return HV_ELIMIT;
    hdns_lookup_t *lookup = hv__calloc(1, sizeof *lookup);
    if (lookup == NULL) return HV_ENOMEM;
    *lookup = (hdns_lookup_t){.channel = channel, .query = query, .type = query->type};
    query->lookup = lookup;
    channel->lookups++;
    begin(channel, lookup, query->name);
    set_timer(channel);
    return 0;
}

void hdns_lookup_abandon(hdns_lookup_t *lookup) {
    hdns_channel_t *channel = lookup->channel;
    HV_ASSERT(lookup->query != NULL);
    lookup->query = NULL;
    channel->abandoned++;
    HV_ASSERT(channel->abandoned <= channel->lookups);
    if (channel->abandoned == channel->lookups) {
        hv__defer(channel->loop, &channel->work, end_all);
    }
}
