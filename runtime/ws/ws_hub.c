/* ws_hub.c - hubs and endpoints: what sockets share, who is there, and the look every so often at
 * those that are silent.
 *
 * One timer an endpoint looks at all of its sockets a few times within the shortest of its times,
 * so that a busy socket costs no timer operation; when the last byte of a peer came, the io knows.
 * */
#include "ws_int.h"

#define SOCKETS_PER_CHUNK 32
#define LOOKS_PER_TIME    4

/* ---- Options ---- */

static uint32_t or_default(uint32_t value, uint32_t standard) {
    return value != 0 ? value : standard;
}

static int bits_or_default(int *bits) {
    if (*bits == 0) *bits = 15;
    return *bits >= 8 && *bits <= 15 ? 0 : HV_EINVAL;
}

static int fill_options(hws_options_t *options) {
    hws_deflate_t *deflate = &options->deflate;
    if (options->message_bytes_max == 0) options->message_bytes_max = 16 << 20;
    if (options->message_bytes_max > INT32_MAX) options->message_bytes_max = INT32_MAX;
    if (options->frame_bytes_max == 0) options->frame_bytes_max = UINT64_MAX;
    options->fragments_max = or_default(options->fragments_max, 131072);
    options->ping_interval_ms = or_default(options->ping_interval_ms, 30000);
    options->pong_timeout_ms = or_default(options->pong_timeout_ms, 20000);
    options->close_timeout_ms = or_default(options->close_timeout_ms, 5000);
    options->write_high = or_default(options->write_high, HIO_DEFAULT_WRITE_HIGH);
    options->write_max = or_default(options->write_max, HIO_DEFAULT_WRITE_MAX);
    options->inbox_bytes_max = or_default(options->inbox_bytes_max, 64 * 1024);
    deflate->bytes_min = or_default(deflate->bytes_min, 1024);
    if (deflate->level == 0) deflate->level = 6;
    if (deflate->level < 1 || deflate->level > 9) return HV_EINVAL;
    int code = bits_or_default(&deflate->server_window_bits);
    return code != 0 ? code : bits_or_default(&deflate->client_window_bits);
}

static void fill_rules(hws_endpoint_t *endpoint) {
    for (int i = 0; i < 2; i++) {
        endpoint->rules[i] = (ws_rules_t){
            .message_bytes_max = endpoint->options.message_bytes_max,
            .frame_bytes_max = endpoint->options.frame_bytes_max,
            .fragments_max = endpoint->options.fragments_max,
            .is_masked = i == 0,
        };
    }
}

static void fill_tick(hws_endpoint_t *endpoint) {
    const hws_options_t *options = &endpoint->options;
    uint32_t shortest = options->close_timeout_ms;
    if (options->ping_interval_ms != INFINITE) {
        if (options->ping_interval_ms < shortest) shortest = options->ping_interval_ms;
        if (options->pong_timeout_ms < shortest) shortest = options->pong_timeout_ms;
    }
    endpoint->tick_ms = shortest;
    if (shortest == INFINITE) return;
    endpoint->tick_ms = shortest / LOOKS_PER_TIME;
    if (endpoint->tick_ms == 0) endpoint->tick_ms = 1;
}

/* ---- Looking after the silent ---- */

static void look_at_open(hws_t *ws, uint32_t now_ms) {
    const hws_options_t *options = &ws->endpoint->options;
    if (options->ping_interval_ms == INFINITE) return;
    uint32_t silent_ms = now_ms - ws->io->last_read_ms;
    if (ws->flags & WSF_STUFFED) return; /* it is us who do not listen */
    if (ws->flags & WSF_PINGED && silent_ms <= now_ms - ws->stamp_ms) {
        ws->flags &= (uint16_t)~WSF_PINGED;
    }
    if (!(ws->flags & WSF_PINGED)) {
        if (silent_ms < options->ping_interval_ms) return;
        ws->flags |= WSF_PINGED;
        ws->stamp_ms = now_ms;
        hv__ws_write_frame(ws, WS_HEAD_FIN | WS_PING, NULL, 0);
    } else if (now_ms - ws->stamp_ms >= options->pong_timeout_ms) {
        hv__ws_cut(ws, HV_ETIMEDOUT);
    }
}

static void on_tick(htimer_t *timer) {
    hws_endpoint_t *endpoint = hevent_userdata(timer);
    uint32_t now_ms = hv__loop_stamp_ms(endpoint->hub->loop);
    for (hws_t *ws = endpoint->first; ws != NULL; ws = ws->next) {
        if (ws->io == NULL) continue;
        if (ws->state == WS_OPEN) {
            look_at_open(ws, now_ms);
        } else if (ws->state == WS_CLOSING || ws->state == WS_ENDING) {
            if (now_ms - ws->stamp_ms < endpoint->options.close_timeout_ms) continue;
            /* A close that was answered, or a fault that was told, needs no more words. */
            hv__ws_cut(ws, ws->state == WS_CLOSING ? HV_ETIMEDOUT : 0);
        }
    }
}

/* Without memory for the timer the next socket tries again. */
static void watch(hws_endpoint_t *endpoint) {
    if (endpoint->timer != NULL || endpoint->tick_ms == INFINITE) return;
    endpoint->timer = htimer_add(endpoint->hub->loop, on_tick, endpoint->tick_ms, INFINITE);
    if (endpoint->timer == NULL) return;
    hevent_set_userdata(endpoint->timer, endpoint);
    hevent_unref(endpoint->timer);
}

/* ---- Sockets ---- */

hws_t *hv__ws_new(hws_endpoint_t *endpoint, void *userdata) {
    hws_t *ws = hslab_alloc(&endpoint->hub->sockets);
    if (ws == NULL) return NULL;
    memset(ws, 0, sizeof *ws);
    ws->endpoint = endpoint;
    ws->userdata = userdata;
    ws->prev = endpoint->last;
    if (endpoint->last != NULL) {
        endpoint->last->next = ws;
    } else {
        endpoint->first = ws;
    }
    endpoint->last = ws;
    watch(endpoint);
    return ws;
}

/* ---- The hubs of a loop: they learn of its end ---- */

typedef struct ws_guest_s {
    hv__guest_t guest;
    hws_hub_t *hubs;
} ws_guest_t;

static void free_hub(hws_hub_t *hub);

/* Sockets whose connections are gone wait for a program that will not come any more. */
static void guest_close(hv__guest_t *guest) {
    hws_hub_t *next_hub;
    for (hws_hub_t *hub = ((ws_guest_t *)guest)->hubs; hub != NULL; hub = next_hub) {
        next_hub = hub->next; /* its last socket may take the hub along */
        hws_t *ws = hws_hub_next(hub, NULL);
        while (ws != NULL) {
            hws_t *next = hws_hub_next(hub, ws);
            if (ws->state == WS_DEAD) hv__ws_finish(ws);
            ws = next;
        }
    }
}

static void guest_free(hv__guest_t *guest) {
    ws_guest_t *self = (ws_guest_t *)guest;
    while (self->hubs != NULL) {
        hws_hub_t *hub = self->hubs;
        self->hubs = hub->next;
        hub->next = NULL;
        hub->loop = NULL;
        for (hws_endpoint_t *at = hub->endpoints; at != NULL; at = at->next) at->timer = NULL;
        if (hub->is_freed) free_hub(hub);
    }
    hv__free(self);
}

static const hv__guest_kind_t guest_kind = {guest_close, guest_free};

/* Returns 0 or HV_ENOMEM. */
static int enter_loop(hws_hub_t *hub) {
    ws_guest_t *self = (ws_guest_t *)hv__guest_find(hub->loop, &guest_kind);
    if (self == NULL) {
        self = hv__calloc(1, sizeof *self);
        if (self == NULL) return HV_ENOMEM;
        hv__guest_add(hub->loop, &self->guest, &guest_kind);
    }
    hub->next = self->hubs;
    if (self->hubs != NULL) self->hubs->prev = hub;
    self->hubs = hub;
    return 0;
}

static void leave_loop(hws_hub_t *hub) {
    ws_guest_t *self = (ws_guest_t *)hv__guest_find(hub->loop, &guest_kind);
    hv__defer_cancel(hub->loop, &hub->free_work);
    if (hub->prev != NULL) {
        hub->prev->next = hub->next;
    } else {
        self->hubs = hub->next;
    }
    if (hub->next != NULL) hub->next->prev = hub->prev;
}

static void free_hub(hws_hub_t *hub) {
    HV_ASSERT(hub->sockets.live == 0);
    if (hub->loop != NULL) leave_loop(hub);
    while (hub->endpoints != NULL) {
        hws_endpoint_t *endpoint = hub->endpoints;
        hub->endpoints = endpoint->next;
        htimer_del(endpoint->timer);
        hv__free(endpoint->protocols);
        hv__free(endpoint->origins);
        hv__free(endpoint);
    }
    for (size_t i = 0; i < hub->inflater_count; i++) hcodec_free(hub->inflaters[i]);
    for (int i = 0; i < 16; i++) hcodec_free(hub->deflaters[i]);
    hv__ws_free_topics(hub);
    hbuf_deinit(&hub->scratch);
    hslab_deinit(&hub->sockets);
    hv__free(hub);
}

void hv__ws_free(hws_t *ws) {
    hws_endpoint_t *endpoint = ws->endpoint;
    hws_hub_t *hub = endpoint->hub;
    if (ws->prev != NULL) {
        ws->prev->next = ws->next;
    } else {
        endpoint->first = ws->next;
    }
    if (ws->next != NULL) {
        ws->next->prev = ws->prev;
    } else {
        endpoint->last = ws->prev;
    }
    hslab_free(&hub->sockets, ws);
    if (endpoint->first == NULL) {
        htimer_del(endpoint->timer);
        endpoint->timer = NULL;
    }
    if (hub->is_freed && hub->sockets.live == 0) free_hub(hub);
}

/* ---- API ---- */

hws_hub_t *hws_hub_new(hloop_t *loop) {
    hws_hub_t *hub = hv__calloc(1, sizeof *hub);
    if (hub == NULL) {
        loop->last_error = HV_ENOMEM;
        return NULL;
    }
    hub->loop = loop;
    if (enter_loop(hub) != 0) {
        hv__free(hub);
        loop->last_error = HV_ENOMEM;
        return NULL;
    }
    hslab_init(&hub->sockets, sizeof(hws_t), SOCKETS_PER_CHUNK);
    return hub;
}

/* Copies a list of the options. Returns 0 or HV_ENOMEM. */
static int copy_list(const char *list, char **copy) {
    if (list == NULL) return 0;
    *copy = hv__strndup(list, strlen(list));
    return *copy != NULL ? 0 : HV_ENOMEM;
}

static int fill_endpoint(hws_endpoint_t *endpoint, const hws_options_t *options) {
    if (options != NULL) endpoint->options = *options;
    const char *protocols = endpoint->options.protocols, *origins = endpoint->options.origins;
    endpoint->options.protocols = endpoint->options.origins = NULL;
    int code = fill_options(&endpoint->options);
    if (code == 0 && protocols != NULL &&
        (strlen(protocols) > UINT16_MAX || !ws_protocols_are_valid(hstr_from(protocols)))) {
        code = HV_EINVAL;
    }
    if (code == 0) code = copy_list(protocols, &endpoint->protocols);
    if (code == 0) code = copy_list(origins, &endpoint->origins);
    return code;
}

hws_endpoint_t *hws_endpoint_new(hws_hub_t *hub, const hws_options_t *options,
                                 const hws_handlers_t *handlers) {
    hws_endpoint_t *endpoint = hv__calloc(1, sizeof *endpoint);
    int code = endpoint != NULL ? fill_endpoint(endpoint, options) : HV_ENOMEM;
    if (code != 0) {
        if (endpoint != NULL) {
            hv__free(endpoint->protocols);
            hv__free(endpoint->origins);
        }
        hv__free(endpoint);
        hub->loop->last_error = code;
        return NULL;
    }
    endpoint->hub = hub;
    if (handlers != NULL) endpoint->handlers = *handlers;
    fill_rules(endpoint);
    fill_tick(endpoint);
    endpoint->next = hub->endpoints;
    hub->endpoints = endpoint;
    return endpoint;
}

void hws_endpoint_set_userdata(hws_endpoint_t *endpoint, void *userdata) {
    endpoint->userdata = userdata;
}
void *hws_endpoint_userdata(const hws_endpoint_t *endpoint) { return endpoint->userdata; }

void hws_hub_close(hws_hub_t *hub, int code, const char *reason) {
    hub->is_closing = 1;
    for (hws_t *ws = NULL; (ws = hws_hub_next(hub, ws)) != NULL;) hws_close(ws, code, reason);
}

static void free_later(hv__defer_t *work) { free_hub(HV_CONTAINER_OF(work, hws_hub_t, free_work)); }

void hws_hub_free(hws_hub_t *hub) {
    if (hub == NULL || hub->is_freed) return;
    hub->is_closing = hub->is_freed = 1;
    for (hws_t *ws = NULL; (ws = hws_hub_next(hub, ws)) != NULL;) hws_abort(ws);
    if (hub->loop == NULL) {
        free_hub(hub);
    } else if (hub->sockets.live == 0) {
        /* One of its own functions may be on the stack. */
        hv__defer(hub->loop, &hub->free_work, free_later);
    }
}

size_t hws_hub_count(const hws_hub_t *hub) { return hub->sockets.live; }

hws_t *hws_hub_next(const hws_hub_t *hub, const hws_t *ws) {
    if (ws != NULL && ws->next != NULL) return ws->next;
    const hws_endpoint_t *endpoint = ws != NULL ? ws->endpoint->next : hub->endpoints;
    while (endpoint != NULL && endpoint->first == NULL) endpoint = endpoint->next;
    return endpoint != NULL ? endpoint->first : NULL;
}
