/* http_gateway.c - a gateway and its upstreams: which ones are up, and their lives.
 *
 * An upstream that has failed fail_max times in a row rests for rest_ms; then one request may try
 * it while others go on to leave it alone, and a success makes it whole. */
#include "http_gateway_int.h"

#include "hloop_int.h"
#include "htimer.h"

#define CONNECT_TIMEOUT_MS 5000
#define HEAD_TIMEOUT_MS    60000
#define IDLE_TIMEOUT_MS    60000
#define TUNNEL_TIMEOUT_MS  3600000
#define RETRIES            2
#define FAIL_MAX           3
#define REST_MS            10000
#define HEALTH_INTERVAL_MS 5000

/* ---- Who is up ---- */

void hv__gateway_note(hhttp_gateway_t *gateway, http_upstream_t *upstream, int is_failure) {
    if (!is_failure) {
        upstream->fails = 0;
        upstream->rests_until_ms = 0;
        return;
    }
    upstream->failures++;
    if (gateway->options.fail_max == INFINITE || ++upstream->fails < gateway->options.fail_max) {
        return;
    }
    upstream->rests_until_ms = hv__gateway_now_ms(gateway) + gateway->options.rest_ms;
    /* After the rest a single failure is enough for the next one. */
    upstream->fails = gateway->options.fail_max - 1;
}

int hhttp_gateway_upstream(const hhttp_gateway_t *gateway, size_t index,
                           hhttp_upstream_state_t *state) {
    if (index >= gateway->count) return HV_EINVAL;
    const http_upstream_t *upstream = &gateway->upstreams[index];
    *state = (hhttp_upstream_state_t){
        .is_up = !upstream->is_ill && !upstream->is_down &&
                 upstream->rests_until_ms <= hv__gateway_now_ms(gateway),
        .busy = upstream->busy,
        .passed = upstream->passed,
        .failures = upstream->failures,
    };
    return 0;
}

/* ---- Calls ---- */

void hv__gateway_call_options(const hhttp_gateway_t *gateway, const http_upstream_t *upstream,
                              hhttp_call_options_t *options) {
    const hhttp_gateway_options_t *own = &gateway->options;
    options->unix_path = upstream != NULL ? upstream->unix_path : NULL;
    options->tls = gateway->tls;
    options->connect_timeout_ms = own->connect_timeout_ms;
    options->head_timeout_ms = own->head_timeout_ms;
    if (upstream != NULL && upstream->connect_timeout_ms != 0) {
        options->connect_timeout_ms = upstream->connect_timeout_ms;
    }
    if (upstream != NULL && upstream->head_timeout_ms != 0) {
        options->head_timeout_ms = upstream->head_timeout_ms;
    }
    options->idle_timeout_ms = own->idle_timeout_ms;
    options->expect_bytes = -1;
}

static void on_health_done(hhttp_call_t *call, int error) {
    http_upstream_t *upstream = hhttp_call_userdata(call);
    int status = hhttp_call_status(call);
    upstream->health = NULL;
    if (error != HV_ECANCELED) upstream->is_ill = error != 0 || status < 200 || status > 399;
    hv__gateway_leave(upstream->gateway);
}

static void check_health(hhttp_gateway_t *gateway, http_upstream_t *upstream) {
    if (upstream->health != NULL) return;
    hhttp_call_options_t options = {
        .url = upstream->url,
        .on_done = on_health_done,
        .userdata = upstream,
    };
    hv__gateway_call_options(gateway, upstream, &options);
    options.url.target = (hhttp_slice_t){gateway->health_path, strlen(gateway->health_path)};
    options.total_timeout_ms = gateway->options.health_interval_ms;
    options.body_bytes_max = 1 << 20;
    upstream->health = hhttp_call_start(gateway->client, &options);
    if (upstream->health == NULL) {
        upstream->is_ill = 1;
    } else {
        hv__gateway_hold(gateway);
    }
}

static void on_health_timer(htimer_t *timer) {
    hhttp_gateway_t *gateway = hevent_userdata(timer);
    for (size_t i = 0; i < gateway->count; i++)
        check_health(gateway, &gateway->upstreams[i]);
}

/* ---- The gateways of a loop ---- */

typedef struct gateways_s {
    hv__guest_t guest;
    hhttp_gateway_t *first;
} gateways_t;

static void end_gateway(hhttp_gateway_t *gateway);
static void free_gateway(hhttp_gateway_t *gateway);

static void close_gateways(hv__guest_t *guest) {
    gateways_t *gateways = HV_CONTAINER_OF(guest, gateways_t, guest);
    for (hhttp_gateway_t *gateway = gateways->first; gateway != NULL; gateway = gateway->next) {
        gateway->use_count++; /* its passes must not be the last to leave */
        end_gateway(gateway);
        /* The loop runs no more work that was put off. */
        while (gateway->passes != NULL) hv__pass_report(gateway->passes);
    }
}

static void free_gateways(hv__guest_t *guest) {
    gateways_t *gateways = HV_CONTAINER_OF(guest, gateways_t, guest);
    while (gateways->first != NULL) {
        gateways->first->client = NULL; /* the loop has freed it, or will */
        gateways->first->health_timer = NULL;
        free_gateway(gateways->first);
    }
    hv__free(gateways);
}

static const hv__guest_kind_t gateways_kind = {close_gateways, free_gateways};

static gateways_t *gateways_of(hloop_t *loop) {
    hv__guest_t *guest = hv__guest_find(loop, &gateways_kind);
    if (guest != NULL) return HV_CONTAINER_OF(guest, gateways_t, guest);
    gateways_t *gateways = hv__calloc(1, sizeof *gateways);
    if (gateways != NULL) hv__guest_add(loop, &gateways->guest, &gateways_kind);
    return gateways;
}

/* ---- Life ---- */

static char *copy_text(const char *text) {
    size_t bytes = strlen(text) + 1;
    char *copy = hv__malloc(bytes);
    if (copy != NULL) memcpy(copy, text, bytes);
    return copy;
}

static int copy_optional(char **copy, const char *text) {
    if (text == NULL) return 0;
    *copy = copy_text(text);
    return *copy != NULL ? 0 : HV_ENOMEM;
}

static int add_upstream(hhttp_gateway_t *gateway, const hhttp_upstream_t *given) {
    http_upstream_t *upstream = &gateway->upstreams[gateway->count++];
    upstream->gateway = gateway;
    if (given->url == NULL || given->weight > HTTP_WEIGHT_MAX) return HV_EINVAL;
    upstream->weight = given->weight > 0 ? given->weight : 1;
    upstream->is_backup = given->is_backup != 0;
    upstream->is_down = given->is_down != 0;
    upstream->connect_timeout_ms = given->connect_timeout_ms;
    upstream->head_timeout_ms = given->head_timeout_ms;
    upstream->url_text = copy_text(given->url);
    if (upstream->url_text == NULL) return HV_ENOMEM;
    int code = hhttp_url_parse(upstream->url_text, &upstream->url);
    if (code != 0) return code;
    hhttp_slice_t *prefix = &upstream->url.target;
    if (memchr(prefix->data, '?', prefix->len) != NULL) return HV_EINVAL;
    while (prefix->len > 0 && prefix->data[prefix->len - 1] == '/')
        prefix->len--;
    return copy_optional(&upstream->unix_path, given->unix_path);
}

static void set_default(uint32_t *value, uint32_t fallback) {
    if (*value == 0) *value = fallback;
}

static int fill(hhttp_gateway_t *gateway, const hhttp_gateway_options_t *given) {
    hhttp_gateway_options_t *own = &gateway->options;
    *own = *given;
    set_default(&own->connect_timeout_ms, CONNECT_TIMEOUT_MS);
    set_default(&own->head_timeout_ms, HEAD_TIMEOUT_MS);
    set_default(&own->idle_timeout_ms, IDLE_TIMEOUT_MS);
    set_default(&own->tunnel_timeout_ms, TUNNEL_TIMEOUT_MS);
    set_default(&own->fail_max, FAIL_MAX);
    set_default(&own->rest_ms, REST_MS);
    set_default(&own->health_interval_ms, HEALTH_INTERVAL_MS);
    if (own->retries == 0) own->retries = RETRIES;
    if (own->retries < 0) own->retries = 0;
    if (given->upstream_count > HHTTP_UPSTREAMS_MAX) return HV_EINVAL;
    if (given->strip_prefix != NULL && given->strip_prefix[0] != '/') return HV_EINVAL;
    if (given->health_path != NULL && given->health_path[0] != '/') return HV_EINVAL;
    if (given->balance == HHTTP_BALANCE_HASH && !hv__gateway_may_hash(given->hash_by)) {
        return HV_EINVAL;
    }
    int code = copy_optional(&gateway->strip_prefix, given->strip_prefix);
    if (code == 0) code = copy_optional(&gateway->via, given->via != NULL ? given->via : "hvlua");
    if (code == 0) code = copy_optional(&gateway->health_path, given->health_path);
    if (code == 0) code = copy_optional(&gateway->hash_by, given->hash_by);
    if (code != 0) return code;
    gateway->upstreams = hv__calloc(given->upstream_count + 1, sizeof *gateway->upstreams);
    if (gateway->upstreams == NULL) return HV_ENOMEM;
    while (gateway->count < given->upstream_count && code == 0)
        code = add_upstream(gateway, &given->upstreams[gateway->count]);
    if (code != 0) return code;
    gateway->client = hhttp_client_new(gateway->loop, &given->client);
    if (gateway->client == NULL) return HV_ENOMEM;
    if (!given->checks_tls_off) return 0;
    hssl_ctx_opt_t tls = {.verify_peer = HSSL_VERIFY_NONE, .endpoint = HSSL_CLIENT};
    gateway->tls = hssl_ctx_new(&tls);
    return gateway->tls != NULL ? 0 : HV_ETLS;
}

static void free_gateway(hhttp_gateway_t *gateway) {
    HV_ASSERT(gateway->passes == NULL);
    if (gateway->list != NULL) {
        hhttp_gateway_t **at = gateway->list;
        while (*at != gateway) at = &(*at)->next;
        *at = gateway->next;
    }
    if (gateway->health_timer != NULL) htimer_del(gateway->health_timer);
    hhttp_client_close(gateway->client);
    if (gateway->tls != NULL) hssl_ctx_free(gateway->tls);
    for (size_t i = 0; i < gateway->count; i++) {
        hv__free(gateway->upstreams[i].url_text);
        hv__free(gateway->upstreams[i].unix_path);
    }
    hv__free(gateway->upstreams);
    hv__free(gateway->strip_prefix);
    hv__free(gateway->via);
    hv__free(gateway->health_path);
    hv__free(gateway->hash_by);
    hv__free(gateway);
}

void hv__gateway_hold(hhttp_gateway_t *gateway) { gateway->use_count++; }

void hv__gateway_leave(hhttp_gateway_t *gateway) {
    HV_ASSERT(gateway->use_count > 0);
    if (--gateway->use_count == 0) free_gateway(gateway);
}

static int begin_health(hhttp_gateway_t *gateway) {
    if (gateway->health_path == NULL || gateway->count == 0) return 0;
    gateway->health_timer = htimer_add(gateway->loop, on_health_timer,
                                       gateway->options.health_interval_ms, INFINITE);
    if (gateway->health_timer == NULL) return HV_ENOMEM;
    hevent_set_userdata(gateway->health_timer, gateway);
    hevent_unref(gateway->health_timer);
    for (size_t i = 0; i < gateway->count; i++)
        check_health(gateway, &gateway->upstreams[i]);
    return 0;
}

hhttp_gateway_t *hhttp_gateway_new(hloop_t *loop, const hhttp_gateway_options_t *options) {
    gateways_t *gateways = hv__loop_is_ending(loop) ? NULL : gateways_of(loop);
    hhttp_gateway_t *gateway = gateways != NULL ? hv__calloc(1, sizeof *gateway) : NULL;
    if (gateway == NULL) {
        loop->last_error = hv__loop_is_ending(loop) ? HV_ECLOSED : HV_ENOMEM;
        return NULL;
    }
    gateway->loop = loop;
    gateway->use_count = 1;
    int code = fill(gateway, options);
    if (code == 0) code = begin_health(gateway);
    if (code != 0) {
        free_gateway(gateway);
        loop->last_error = code;
        return NULL;
    }
    gateway->list = &gateways->first;
    gateway->next = gateways->first;
    gateways->first = gateway;
    return gateway;
}

static void end_gateway(hhttp_gateway_t *gateway) {
    gateway->is_closing = 1;
    if (gateway->health_timer != NULL) htimer_del(gateway->health_timer);
    gateway->health_timer = NULL;
    for (size_t i = 0; i < gateway->count; i++) {
        if (gateway->upstreams[i].health != NULL) hhttp_call_cancel(gateway->upstreams[i].health);
    }
    for (http_pass_t *pass = gateway->passes; pass != NULL; pass = pass->next) {
        if (pass->state == PASS_DONE) continue;
        hv__pass_fail(pass, HV_ECANCELED, 503, "the gateway is closing");
    }
}

void hhttp_gateway_close(hhttp_gateway_t *gateway) {
    if (gateway == NULL || gateway->is_closing) return;
    end_gateway(gateway);
    hv__gateway_leave(gateway);
}
