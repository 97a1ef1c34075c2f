/* http_server.c - a server: its options, listeners, the time limits of its connections, its end.
 *
 * Every connection stands in one list, by what it waits for. The members of a list have the same
 * timeout and join at its end, so the first is always the next to be late: joining is O(1), and one
 * timer a server, set for the earliest of the lists' first members, is enough. It is touched only
 * when a deadline comes before the one it is set for, which under load is almost never.
 *
 * A closing server ends when its last connection and listener have been reported closed; its
 * memory stays while requests are retained. */
#include "hloop_int.h"
#include "hssl.h"
#include "http_transport.h"

#define CONNS_PER_CHUNK     64
#define REQUESTS_PER_CHUNK  8
#define SETTLE_MS_MAX       1000
#define BUSY_LOOK_MS_MAX    15000
#define LINGER_MS           2000
#define DRAIN_IDLE_MS       1000
#define SERVER_NAME_MAX     256

/* ---- Lists and their timer ---- */

static void on_timer(htimer_t *timer);

/* Has the timer fire no later than `due_ms`. Without memory for it the next call tries again. */
static void arm(hhttp_server_t *server, uint64_t due_ms, uint32_t wait_ms) {
    if (HV_LIKELY(due_ms >= server->timer_due_ms)) return;
    if (server->timer == NULL) {
        server->timer = htimer_add(server->loop, on_timer, wait_ms, 1);
        if (server->timer == NULL) return;
        hevent_set_userdata(server->timer, server);
        hevent_unref(server->timer);
    } else {
        htimer_reset(server->timer, wait_ms);
    }
    server->timer_due_ms = due_ms;
}

void hv__http_list_remove(http_conn_t *conn) {
    hhttp_server_t *server = conn->server;
    unsigned list = conn->list;
    if (list == HTTP_LIST_COUNT) return;
    if (list == HTTP_LIST_HANDSHAKE) server->handshakes--;
    if (conn->prev != NULL) {
        conn->prev->next = conn->next;
    } else {
        server->first[list] = conn->next;
    }
    if (conn->next != NULL) {
        conn->next->prev = conn->prev;
    } else {
        server->last[list] = conn->prev;
    }
    conn->list = HTTP_LIST_COUNT;
}

void hv__http_list_move(http_conn_t *conn, http_list_e list) {
    hhttp_server_t *server = conn->server;
    hv__http_list_remove(conn);
    uint64_t now_ms = hv__http_now_ms(server);
    conn->list = (uint8_t)list;
    if (list == HTTP_LIST_HANDSHAKE) server->handshakes++;
    conn->since_ms = (uint32_t)now_ms;
    conn->next = NULL;
    conn->prev = server->last[list];
    if (conn->prev != NULL) {
        conn->prev->next = conn;
    } else {
        server->first[list] = conn;
    }
    server->last[list] = conn;
    uint32_t wait_ms = server->timeout_ms[list];
    if (wait_ms != INFINITE) arm(server, now_ms + wait_ms, wait_ms);
}

/* Tells whether a list's first member is late; if not, when it will be. */
static int is_late(const hhttp_server_t *server, unsigned list, uint64_t now_ms, uint64_t *due_ms) {
    const http_conn_t *first = server->first[list];
    uint32_t timeout_ms = server->timeout_ms[list];
    if (first == NULL || timeout_ms == INFINITE) return 0;
    uint32_t waited_ms = (uint32_t)now_ms - first->since_ms;
    if (waited_ms >= timeout_ms) return 1;
    uint64_t first_due_ms = now_ms + (timeout_ms - waited_ms);
    if (first_due_ms < *due_ms) *due_ms = first_due_ms;
    return 0;
}

static void on_timer(htimer_t *timer) {
    hhttp_server_t *server = hevent_userdata(timer);
    uint64_t now_ms = hv__http_now_ms(server);
    uint64_t due_ms = UINT64_MAX;
    /* A late one joins another list, or the end of its own with a fresh time: this ends. */
    for (unsigned list = 0; list < HTTP_LIST_COUNT; list++) {
        while (is_late(server, list, now_ms, &due_ms)) hv__http_conn_late(server->first[list]);
    }
    due_ms = UINT64_MAX;
    for (unsigned list = 0; list < HTTP_LIST_COUNT; list++) {
        (void)is_late(server, list, now_ms, &due_ms);
    }
    server->timer_due_ms = UINT64_MAX;
    if (due_ms != UINT64_MAX) {
        arm(server, due_ms, (uint32_t)(due_ms - now_ms));
    } else {
        server->timer = NULL; /* a one-shot that has fired is freed by the loop */
    }
}

static void stop_timer(hhttp_server_t *server) {
    htimer_del(server->timer);
    server->timer = NULL;
    server->timer_due_ms = UINT64_MAX;
}

/* ---- Date ---- */

const h1_date_t *hv__http_date(hhttp_server_t *server) {
    uint64_t now_us = hloop_now_hrtime(server->loop);
    if (HV_UNLIKELY(now_us >= server->date_until_us)) {
        uint64_t wall_us = hloop_now_us(server->loop);
        h1_date_update(&server->date, (time_t)(wall_us / 1000000));
        server->date_until_us = now_us + (1000000 - wall_us % 1000000);
    }
    return &server->date;
}

/* ---- Life ---- */

static uint32_t option_or(uint32_t value, uint32_t standard) {
    return value != 0 ? value : standard;
}

static void fill_options(hhttp_server_options_t *options) {
    options->request_line_bytes_max = option_or(options->request_line_bytes_max, 8 * 1024);
    options->header_bytes_max = option_or(options->header_bytes_max, 64 * 1024);
    options->header_count_max = option_or(options->header_count_max, 100);
    if (options->body_bytes_max == 0) options->body_bytes_max = 8 * 1024 * 1024;
    options->header_timeout_ms = option_or(options->header_timeout_ms, 15000);
    options->body_timeout_ms = option_or(options->body_timeout_ms, 30000);
    options->idle_timeout_ms = option_or(options->idle_timeout_ms, 75000);
    options->write_timeout_ms = option_or(options->write_timeout_ms, 60000);
    options->requests_per_connection_max =
        option_or(options->requests_per_connection_max, INFINITE);
    options->connections_max = option_or(options->connections_max, INFINITE);
    options->handshakes_max = option_or(options->handshakes_max, 1024);
    options->handshake_timeout_ms = option_or(options->handshake_timeout_ms, 10000);
    options->streams_max = option_or(options->streams_max, 128);
    options->glitches_max = option_or(options->glitches_max, 1000);
}

/* A fourth of a time, so that a look every so often is not much later than the time itself. */
static uint32_t look_every(uint32_t timeout_ms, uint32_t most_ms) {
    uint32_t every_ms = timeout_ms / 4;
    if (every_ms > most_ms) every_ms = most_ms;
    return every_ms > 0 ? every_ms : 1;
}

static void fill_timeouts(hhttp_server_t *server) {
    const hhttp_server_options_t *options = &server->options;
    uint32_t *timeout_ms = server->timeout_ms;
    uint32_t settle_ms = look_every(options->idle_timeout_ms, SETTLE_MS_MAX);
    /* Who connects and says nothing is no client yet, so it is not kept as long as one. */
    timeout_ms[HTTP_LIST_FIRST] = options->header_timeout_ms != INFINITE
                                      ? options->header_timeout_ms
                                      : options->idle_timeout_ms;
    timeout_ms[HTTP_LIST_SETTLING] = look_every(options->write_timeout_ms, settle_ms);
    timeout_ms[HTTP_LIST_IDLE] = options->idle_timeout_ms;
    timeout_ms[HTTP_LIST_HEAD] = options->header_timeout_ms;
    timeout_ms[HTTP_LIST_BODY] = options->body_timeout_ms;
    timeout_ms[HTTP_LIST_BUSY] = look_every(options->write_timeout_ms, BUSY_LOOK_MS_MAX);
    timeout_ms[HTTP_LIST_LINGER] = LINGER_MS;
    timeout_ms[HTTP_LIST_UPGRADED] = INFINITE;
    timeout_ms[HTTP_LIST_CLOSING] = INFINITE; /* the io has a time limit of its own */
    timeout_ms[HTTP_LIST_HANDSHAKE] = INFINITE;
}

/* Copies the name for the Server header. Returns 0 or a negative code. */
static int copy_server_name(hhttp_server_t *server) {
    const char *name = server->options.server_name;
    server->options.server_name = NULL;
    if (name == NULL) return 0;
    hhttp_header_t header = {.name = {"Server", 6}, .value = {name, strlen(name)}};
    if (header.value.len > SERVER_NAME_MAX || h1_check_headers(&header, 1) != 0) return HV_EINVAL;
    char *copy = hv__strndup(name, header.value.len);
    if (copy == NULL) return HV_ENOMEM;
    server->options.server_name = copy;
    server->server_name = (hhttp_slice_t){copy, header.value.len};
    return 0;
}

hhttp_server_t *hhttp_server_new(hloop_t *loop, const hhttp_server_options_t *options) {
    hhttp_server_t *server = hv__calloc(1, sizeof *server);
    if (server == NULL) {
        loop->last_error = HV_ENOMEM;
        return NULL;
    }
    server->loop = loop;
    if (options != NULL) server->options = *options;
    int code = copy_server_name(server);
    if (code != 0) {
        hv__free(server);
        loop->last_error = code;
        return NULL;
    }
    fill_options(&server->options);
    fill_timeouts(server);
    server->limits = (h1_limits_t){
        .request_line_bytes_max = server->options.request_line_bytes_max,
        .header_bytes_max = server->options.header_bytes_max,
        .header_count_max = server->options.header_count_max,
    };
    server->timer_due_ms = UINT64_MAX;
    hslab_init(&server->conns, sizeof(http_conn_t), CONNS_PER_CHUNK);
    hslab_init(&server->requests, sizeof(hhttp_request_t), REQUESTS_PER_CHUNK);
    hv__http_jobs_init(server);
    return server;
}

void hhttp_server_on_request(hhttp_server_t *server, hhttp_request_cb on_request, void *userdata) {
    server->on_request = on_request;
    server->userdata = userdata;
}

size_t hhttp_server_connections(const hhttp_server_t *server) { return server->conns.live; }

uint64_t hhttp_server_requests(const hhttp_server_t *server) { return server->answered; }

/* ---- Listeners ---- */

static void on_listener_close(hio_t *io) {
    hhttp_server_t *server = hevent_userdata(io);
    for (size_t i = 0; i < server->listener_count; i++) {
        if (server->listeners[i] != io) continue;
        server->listeners[i] = server->listeners[--server->listener_count];
        break;
    }
    hv__http_server_end_if_closed(server);
}

static void rest_listener(const hhttp_server_t *server, hio_t *listener) {
    http_rest_e own = hio_is_ssl(listener) ? HTTP_REST_TLS : HTTP_REST_ALL;
    if (server->rest >= own) {
        hio_read_stop(listener);
    } else {
        hio_read(listener);
    }
}

/* Has listeners rest, or go on, as many as there are connections and handshakes now. */
static void update_rest(hhttp_server_t *server) {
    const hhttp_server_options_t *options = &server->options;
    http_rest_e rest = HTTP_REST_NONE;
    if (server->handshakes >= options->handshakes_max) rest = HTTP_REST_TLS;
    if (server->conns.live >= options->connections_max) rest = HTTP_REST_ALL;
    if (HV_LIKELY(rest == server->rest)) return;
    server->rest = rest;
    for (size_t i = 0; i < server->listener_count; i++)
        rest_listener(server, server->listeners[i]);
}

static void on_accept(hio_t *io) {
    hhttp_server_t *server = hevent_userdata(io);
    hv__http_accept(io);
    if (!server->is_closing) update_rest(server);
}

/* Who begins a TLS handshake counts as a connection from here on. */
static void on_accept_raw(hio_t *io) {
    hhttp_server_t *server = hevent_userdata(io);
    hv__http_accept_raw(io);
    if (!server->is_closing) update_rest(server);
}

/* Makes room for one more listener. Returns 0 or a code, which the loop keeps. */
static int prepare_listen(hhttp_server_t *server) {
    int code = server->is_closing ? HV_ECLOSED : 0;
    if (code == 0) {
        size_t bytes = (server->listener_count + 1) * sizeof(hio_t *);
        hio_t **grown = hv__realloc(server->listeners, bytes);
        if (grown != NULL) server->listeners = grown;
        if (grown == NULL) code = HV_ENOMEM;
    }
    if (code != 0) server->loop->last_error = code;
    return code;
}

static hio_t *add_listener(hhttp_server_t *server, hio_t *io) {
    if (io == NULL) return NULL;
    hevent_set_userdata(io, server);
    hio_setcb_close(io, on_listener_close);
    uint32_t handshake_ms = server->options.handshake_timeout_ms;
    hio_set_handshake_timeout(io, handshake_ms < INT32_MAX ? (int)handshake_ms : INT32_MAX);
    hio_setcb_accept_raw(io, on_accept_raw);
    server->listeners[server->listener_count++] = io;
    if (server->rest == HTTP_REST_ALL) hio_read_stop(io);
    return io;
}

hio_t *hhttp_server_listen(hhttp_server_t *server, const char *host, int port, int flags) {
    if (prepare_listen(server) != 0) return NULL;
    return add_listener(server, hloop_create_tcp_listener(server->loop, host, port, on_accept, 0,
                                                          flags));
}

hio_t *hhttp_server_listen_fd(hhttp_server_t *server, int listen_fd) {
    if (prepare_listen(server) != 0) return NULL;
    return add_listener(server, haccept(server->loop, listen_fd, on_accept));
}

/* ---- The end ---- */

void hv__http_server_free_unused(hhttp_server_t *server) {
    if (!server->is_reported || server->requests.live > 0) return;
    HV_ASSERT(server->conns.live == 0 && server->listener_count == 0);
    stop_timer(server);
    htimer_del(server->grace_timer);
    htimer_del(server->idle_timer);
    hslab_deinit(&server->conns);
    hslab_deinit(&server->requests);
    hslab_deinit(&server->jobs);
    if (server->v2 != NULL) hv__http2_protocol.server_free(server);
    hv__free(server->file_buffer);
    hv__free(server->listeners);
    hv__free((void *)(uintptr_t)server->options.server_name);
    hv__free(server);
}

static void report_closed(hv__defer_t *work) {
    hhttp_server_t *server = HV_CONTAINER_OF(work, hhttp_server_t, close_work);
    if (server->on_close != NULL) {
        HV_DISPATCH(server->loop, server->on_close(server, server->close_userdata));
    }
    server->is_reported = 1;
    hv__http_server_free_unused(server);
}

void hv__http_server_end_if_closed(hhttp_server_t *server) {
    if (!server->is_closing || server->is_reported) return;
    if (server->conns.live > 0 || server->listener_count > 0) return;
    if (server->upgraded_streams > 0) return;
    hv__defer_cancel(server->loop, &server->close_work);
    htimer_del(server->grace_timer);
    htimer_del(server->idle_timer);
    server->grace_timer = server->idle_timer = NULL;
    report_closed(&server->close_work);
}

void hv__http_conn_free(http_conn_t *conn) {
    hhttp_server_t *server = conn->server;
    HV_DASSERT(conn->req == NULL && conn->kept == NULL && conn->list == HTTP_LIST_COUNT);
    hslab_free(&server->conns, conn);
    if (server->conns.live == 0) stop_timer(server);
    if (!server->is_closing) update_rest(server);
    hv__http_server_end_if_closed(server);
}

static void close_list(hhttp_server_t *server, http_list_e list, int idle_only) {
    http_conn_t *conn = server->first[list];
    while (conn != NULL) {
        http_conn_t *next = conn->next;
        int is_idle = conn->state == HTTP_HEAD && conn->kept == NULL && conn != server->processing;
        if (conn->flags & CONN_IS_STREAM) {
            /* It ends with its connection, which stands in another list. */
        } else if (!idle_only) {
            hv__http_conn_abort(conn);
        } else if (is_idle) {
            hv__http_conn_close(conn);
        }
        conn = next;
    }
}

static void on_grace_over(htimer_t *timer) {
    hhttp_server_t *server = hevent_userdata(timer);
    server->grace_timer = NULL;
    for (unsigned list = 0; list < HTTP_LIST_COUNT; list++) {
        close_list(server, (http_list_e)list, 0);
    }
}

static void set_grace(hhttp_server_t *server, uint32_t grace_ms) {
    uint64_t due_ms = hv__http_now_ms(server) + grace_ms;
    if (grace_ms == INFINITE) return;
    if (server->grace_timer != NULL) {
        if (due_ms >= server->grace_due_ms) return;
        htimer_del(server->grace_timer);
    }
    server->grace_due_ms = due_ms;
    server->grace_timer = htimer_add(server->loop, on_grace_over, grace_ms, 1);
    if (server->grace_timer != NULL) hevent_set_userdata(server->grace_timer, server);
}

/* Reports the end when it comes, after `grace_ms` at the latest. */
static void end_later(hhttp_server_t *server, uint32_t grace_ms,
                      void (*on_close)(hhttp_server_t *server, void *userdata), void *userdata) {
    if (on_close != NULL) {
        server->on_close = on_close;
        server->close_userdata = userdata;
    }
    hv__http_upgraded_tell(server);
    if (server->conns.live > 0 || server->listener_count > 0 || server->upgraded_streams > 0) {
        set_grace(server, grace_ms);
    } else if (server->on_close != NULL) {
        hv__defer(server->loop, &server->close_work, report_closed);
    } else {
        report_closed(&server->close_work);
    }
}

/* Connections of HTTP/2 say themselves that they end. */
static void tell_v2(hhttp_server_t *server, int is_first) {
    for (unsigned list = 0; list < HTTP_LIST_COUNT; list++) {
        http_conn_t *conn = server->first[list];
        while (conn != NULL) {
            http_conn_t *next = conn->next;
            if (conn->state == HTTP_V2) hv__http2_protocol.go_away(conn, is_first);
            conn = next;
        }
    }
}

static void close_idle(hhttp_server_t *server) {
    server->is_draining = 0;
    tell_v2(server, 0);
    close_list(server, HTTP_LIST_FIRST, 1);
    close_list(server, HTTP_LIST_SETTLING, 1);
    close_list(server, HTTP_LIST_IDLE, 1);
}

static void on_idle_over(htimer_t *timer) {
    hhttp_server_t *server = hevent_userdata(timer);
    server->idle_timer = NULL;
    close_idle(server);
}

void hhttp_server_drain(hhttp_server_t *server, uint32_t grace_ms,
                        void (*on_close)(hhttp_server_t *server, void *userdata), void *userdata) {
    if (!server->is_closing) {
        uint32_t idle_ms = grace_ms < DRAIN_IDLE_MS ? grace_ms : DRAIN_IDLE_MS;
        server->is_closing = 1;
        for (size_t i = 0; i < server->listener_count; i++) {
            hio_stop_accepting(server->listeners[i]);
        }
        server->idle_timer = htimer_add(server->loop, on_idle_over, idle_ms, 1);
        if (server->idle_timer != NULL) hevent_set_userdata(server->idle_timer, server);
        server->is_draining = server->idle_timer != NULL;
        if (server->is_draining) {
            tell_v2(server, 1);
        } else {
            close_idle(server);
        }
    }
    end_later(server, grace_ms, on_close, userdata);
}

void hhttp_server_close(hhttp_server_t *server, uint32_t grace_ms,
                        void (*on_close)(hhttp_server_t *server, void *userdata), void *userdata) {
    if (!server->is_closing || server->is_draining) {
        server->is_closing = 1;
        for (size_t i = 0; i < server->listener_count; i++) hio_close(server->listeners[i]);
        close_list(server, HTTP_LIST_HANDSHAKE, 0);
        close_idle(server);
    }
    end_later(server, grace_ms, on_close, userdata);
}
