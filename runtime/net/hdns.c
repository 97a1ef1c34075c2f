/* hdns.c - queries: their beginning, their end, and what a loop keeps for them.
 *
 *     WAITING --answer, timeout, cancel--> ENDED --deferred report--> callback --> freed
 *
 * A query whose result is known at once (a literal, a kept answer, a failure) is ENDED when it is
 * returned; the report is deferred in any case, so it never runs inside the call. ENDED is left
 * only by the report, or without one by hv__dns_drop. A cancel may still change the status of an
 * ended query: what the user hears last is what the user did last. */
#include "hdns_int.h"

enum { QUERY_WAITING, QUERY_ENDED, QUERY_REPORTING };

/* ---- What a loop keeps ---- */

static hv__dns_t *dns_of(hloop_t *loop) {
    hnet_t *net = hv__net_of(loop);
    if (net == NULL) return NULL;
    if (net->dns != NULL) return net->dns;
    hv__dns_t *dns = hv__calloc(1, sizeof *dns);
    if (dns == NULL) return NULL;
    dns->loop = loop;
    dns->cache.cap = HDNS_CACHE_ENTRIES;
    return net->dns = dns;
}

static int open_channel(hv__dns_t *dns) {
    int code = 0;
    if (dns->channel == NULL) dns->channel = hdns_channel_open(dns->loop, NULL, &code);
    return code;
}

int hdns_configure(hloop_t *loop, const hdns_config_t *config) {
    int entries = config != NULL ? config->cache_entries : 0;
    if (entries > HDNS_CACHE_ENTRIES_MAX) return HV_EINVAL;
    hv__dns_t *dns = dns_of(loop);
    if (dns == NULL) return HV_ENOMEM;
    if (dns->queries != NULL) return HV_EBUSY;
    int code;
    hdns_channel_t *channel = hdns_channel_open(loop, config, &code);
    if (channel == NULL) return code;
    if (dns->channel != NULL) hdns_channel_close(dns->channel);
    dns->channel = channel;
    hdns_cache_deinit(&dns->cache);
    dns->cache.cap = entries > 0 ? (size_t)entries : entries == 0 ? HDNS_CACHE_ENTRIES : 0;
    return 0;
}

uint32_t hdns_queries(const hloop_t *loop) {
    const hnet_t *net = loop->net;
    return net != NULL && net->dns != NULL ? net->dns->count : 0;
}

static hv__dns_t *query_dns(const hdns_query_t *query) {
    hnet_t *net = query->ev.loop->net;
    return net->dns;
}

/* ---- The end of a query ---- */

/* It does not count any more: the settings may change inside the callback of the last one. */
static void forget(hdns_query_t *query) {
    hv__dns_t *dns = query_dns(query);
    if (query->prev != NULL) {
        query->prev->next = query->next;
    } else {
        dns->queries = query->next;
    }
    if (query->next != NULL) query->next->prev = query->prev;
    HV_ASSERT(dns->count > 0);
    dns->count--;
    hv__event_deactivate(&query->ev);
}

static void destroy(hdns_query_t *query) {
    HV_ASSERT(query->lookup == NULL);
    HV_ASSERT(query->timer == NULL);
    hdns_answer_unref(query->answer);
    hv__free(query);
}

static void report(hv__defer_t *work) {
    hdns_query_t *query = HV_CONTAINER_OF(work, hdns_query_t, work);
    HV_ASSERT(query->state == QUERY_ENDED);
    query->state = QUERY_REPORTING;
    hdns_result_t result = {
        .status = query->status,
        .type = query->type,
        .name = query->name,
        .count = query->status == 0 ? query->answer->count : 0,
        .entries = query->status == 0 ? query->answer->entries : NULL,
    };
    forget(query);
    if (query->on_result != NULL) HV_DISPATCH(query->ev.loop, query->on_result(query, &result));
    destroy(query);
}

/* Frees what a query waits with. */
static void stop_waiting(hdns_query_t *query) {
    if (query->lookup != NULL) hdns_lookup_abandon(query->lookup);
    query->lookup = NULL;
    htimer_del(query->timer);
    query->timer = NULL;
}

static void end(hdns_query_t *query, int status) {
    HV_ASSERT(query->state != QUERY_REPORTING);
    stop_waiting(query);
    query->state = QUERY_ENDED;
    query->status = status;
    hv__defer(query->ev.loop, &query->work, report);
}

void hv__dns_answered(hdns_query_t *query, int status, hdns_answer_t *answer) {
    HV_ASSERT(query->state == QUERY_WAITING);
    HV_ASSERT(query->answer == NULL);
    HV_ASSERT(status != 0 || (answer != NULL && answer->count > 0));
    query->answer = answer;
    if (status == 0 && query->keeps_answer) {
        hdns_cache_keep(&query_dns(query)->cache, query->name, query->type, answer,
                        query->ev.loop->now_us);
    }
    end(query, status);
}

static void on_timeout(htimer_t *timer) {
    hdns_query_t *query = hevent_userdata(timer);
    end(query, HV_ETIMEDOUT);
}

void hdns_cancel(hdns_query_t *query) {
    if (query != NULL && query->state != QUERY_REPORTING) end(query, HV_ECANCELED);
}

void hv__dns_drop(hdns_query_t *query) {
    if (query == NULL || query->state == QUERY_REPORTING) return;
    stop_waiting(query);
    hv__defer_cancel(query->ev.loop, &query->work);
    forget(query);
    destroy(query);
}

/* ---- The beginning ---- */

static int is_known(hdns_type_e type) {
    switch (type) {
    case HDNS_ADDRESS:
    case HDNS_A:
    case HDNS_NS:
    case HDNS_CNAME:
    case HDNS_PTR:
    case HDNS_MX:
    case HDNS_TXT:
    case HDNS_AAAA:
    case HDNS_SRV: return 1;
    }
    return 0;
}

/* The query, linked in and still waiting, or NULL. */
static hdns_query_t *query_new(hv__dns_t *dns, const char *name, size_t len, hdns_type_e type) {
    hdns_query_t *query = hv__calloc(1, sizeof *query + len + 1);
    if (query == NULL) return NULL;
    hv__event_init(dns->loop, &query->ev, HEVENT_TYPE_NONE, NULL);
    query->type = type;
    memcpy(query->name, name, len + 1);
    query->next = dns->queries;
    if (dns->queries != NULL) dns->queries->prev = query;
    dns->queries = query;
    dns->count++;
    hv__event_activate(&query->ev);
    return query;
}

/* Answers a literal. Returns 0, a code, or 1 where the name is none. */
static int answer_literal(hdns_query_t *query) {
    hdns_addr_t addr;
    if (query->type != HDNS_ADDRESS && query->type != HDNS_A && query->type != HDNS_AAAA) return 1;
    if (!hdns_literal(query->name, &addr)) return 1;
    int family = query->type == HDNS_A      ? AF_INET
                 : query->type == HDNS_AAAA ? AF_INET6
                                            : addr.sa.sa_family;
    if (family != addr.sa.sa_family) {
        hv__dns_answered(query, HV_ENOTFOUND, NULL);
        return 0;
    }
    hdns_answer_t *answer = hdns_answer_new();
    if (answer == NULL) return HV_ENOMEM;
    int code = hdns_answer_add_address(answer, 0, &addr.sa);
    if (code != 0) {
        hdns_answer_unref(answer);
        return code;
    }
    hv__dns_answered(query, 0, answer);
    return 0;
}

/* Answers from what is kept. Returns whether it could. */
static int answer_kept(hv__dns_t *dns, hdns_query_t *query) {
    hdns_answer_t *answer =
        hdns_cache_find(&dns->cache, query->name, query->type, dns->loop->now_us);
    if (answer == NULL) return 0;
    hdns_answer_ref(answer);
    hv__dns_answered(query, 0, answer);
    return 1;
}

static int start(hv__dns_t *dns, hdns_query_t *query, const hdns_options_t *options) {
    int code = answer_literal(query);
    if (code != 1) return code;
    int uses_cache = dns->cache.cap > 0 && !(options->flags & HDNS_NO_CACHE);
    if (uses_cache && answer_kept(dns, query)) return 0;
    query->keeps_answer = (uint8_t)uses_cache;
    code = open_channel(dns);
    if (code != 0) return code;
    uint32_t timeout_ms = options->timeout_ms > 0 ? options->timeout_ms : HDNS_TIMEOUT;
    query->timer = hv__timer_add_internal(dns->loop, on_timeout, timeout_ms);
    if (query->timer == NULL) return HV_ENOMEM;
    hevent_set_userdata(query->timer, query);
    hevent_set_priority(query->timer, HEVENT_LOWEST_PRIORITY); /* an answer that is there counts */
    return hdns_channel_ask(dns->channel, query);
}

hdns_query_t *hdns_resolve(hloop_t *loop, const char *name, hdns_type_e type,
                           const hdns_options_t *options, hdns_cb on_result, void *userdata) {
    static const hdns_options_t defaults;
    HV_DASSERT(hv__loop_is_mine(loop));
    size_t len = name != NULL ? strnlen(name, HDNS_NAME_MAX + 1) : 0;
    if (len == 0 || len > HDNS_NAME_MAX || !is_known(type)) {
        loop->last_error = HV_EINVAL;
        return NULL;
    }
    if (hloop_status(loop) == HLOOP_STATUS_DESTROY) {
        loop->last_error = HV_ECLOSED;
        return NULL;
    }
    if (!loop->is_running) hloop_update_time(loop);
    hv__dns_t *dns = dns_of(loop);
    int code = dns == NULL                      ? HV_ENOMEM
               : dns->count >= HDNS_QUERIES_MAX ? HV_ELIMIT
                                                : 0;
    hdns_query_t *query = code == 0 ? query_new(dns, name, len, type) : NULL;
    if (query == NULL) {
        loop->last_error = code != 0 ? code : HV_ENOMEM;
        return NULL;
    }
    query->on_result = on_result;
    query->ev.userdata = userdata;
    HV_API_ENTER(loop);
    code = start(dns, query, options != NULL ? options : &defaults);
    HV_API_LEAVE(loop);
    if (code == 0) return query;
    loop->last_error = code;
    hv__dns_drop(query);
    return NULL;
}

/* ---- The end of a loop ---- */

int hv__dns_cancel_all(hloop_t *loop) {
    hnet_t *net = loop->net;
    if (net->dns == NULL) return 0;
    int count = 0;
    while (net->dns->queries != NULL) {
        hdns_query_t *query = net->dns->queries;
        end(query, HV_ECANCELED);
        hv__defer_cancel(loop, &query->work);
        report(&query->work);
        count++;
    }
    return count;
}

void hv__dns_close(hloop_t *loop) {
    hnet_t *net = loop->net;
    hv__dns_t *dns = net->dns;
    if (dns == NULL) return;
    HV_ASSERT(dns->queries == NULL);
    if (dns->channel != NULL) hdns_channel_close(dns->channel);
    hdns_cache_deinit(&dns->cache);
    hv__free(dns);
    net->dns = NULL;
}
