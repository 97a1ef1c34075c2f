/* hclient.c - a client over many ios, one at a time.
 *
 *     stopped --start--> trying --connected--> connected --+
 *        ^                 |  ^                            |
 *        |                 |  +--timer-- waiting <---------+ closed, and a retry is left
 *        +--stop, no retry-+---------------^
 *
 * At most one of client->io and client->timer is set. The io knows the client by its context; a
 * client that has been freed waits for its last io, which it cannot take the callback off: the
 * close callback of that io gives the memory back. */
#include "hclient.h"

#include "hnet_int.h"

struct hclient_s {
    hloop_t *loop;
    hio_t *io;
    htimer_t *timer;
    hclient_cb on_connect;
    hclient_cb on_close;
    void *userdata;
    char *host;
    int port;
    int connect_timeout_ms;
    int error;
    uint32_t attempts;
    int64_t retry_delay_ms; /* -1: none */
    reconn_setting_t reconnect;
    hssl_ctx_t ssl_ctx;
    char *hostname;
    hv__defer_t failure; /* an attempt that failed before there was an io */
    uint8_t reconnects;
    uint8_t uses_ssl;
    uint8_t is_started;
    uint8_t restarts; /* started again while the old io still closes */
    uint8_t is_freed;
    uint8_t calling; /* callbacks on the stack */
};

static void try_now(hclient_t *client);

static void destroy(hclient_t *client) {
    HV_ASSERT(client->io == NULL);
    HV_ASSERT(client->timer == NULL);
    hv__defer_cancel(client->loop, &client->failure);
    hssl_ctx_free(client->ssl_ctx);
    hv__free(client->hostname);
    hv__free(client->host);
    hv__free(client);
}

/* Calls one of the user's functions, which may free the client. Returns whether it still lives;
 * where it does not and nothing is open, it is destroyed. */
static int call(hclient_t *client, hclient_cb callback) {
    if (callback != NULL && !client->is_freed) {
        client->calling++;
        HV_DISPATCH(client->loop, callback(client));
        client->calling--;
    }
    return !client->is_freed;
}

/* ---- Attempts ---- */

static void on_retry(htimer_t *timer) {
    hclient_t *client = hevent_userdata(timer);
    client->timer = NULL;
    try_now(client);
}

/* Decides what follows the end of an io. */
static void plan_retry(hclient_t *client) {
    client->retry_delay_ms = client->restarts ? 0 : -1;
    if (client->restarts) return;
    int is_ending = hloop_status(client->loop) == HLOOP_STATUS_DESTROY;
    if (!client->is_started || !client->reconnects || is_ending ||
        !reconn_setting_can_retry(&client->reconnect)) {
        client->is_started = 0;
        return;
    }
    uint32_t delay_ms = reconn_setting_calc_delay(&client->reconnect);
    client->timer = htimer_add(client->loop, on_retry, delay_ms, 1);
    if (client->timer == NULL) {
        client->is_started = 0;
        client->error = -HV_ENOMEM;
        return;
    }
    hevent_set_userdata(client->timer, client);
    client->retry_delay_ms = delay_ms;
}

/* An attempt or a connection is over. */
static void ended(hclient_t *client, int error) {
    client->error = error;
    plan_retry(client);
    hio_t *io = client->io;
    int is_alive = call(client, client->on_close);
    /* Where hclient_start found the old io in its place, the new attempt was left to us. */
    if (client->io == io) client->io = NULL;
    client->restarts = 0;
    if (!is_alive) {
        destroy(client);
    } else if (client->is_started && client->io == NULL && client->timer == NULL &&
               client->failure.run == NULL) {
        try_now(client);
    }
}

static void on_io_close(hio_t *io) {
    hclient_t *client = hio_context(io);
    HV_ASSERT(client->io == io);
    ended(client, hio_error(io));
}

static void on_io_connect(hio_t *io) {
    hclient_t *client = hio_context(io);
    HV_ASSERT(!client->is_freed); /* which has closed the io: only its close is told then */
    reconn_setting_reset(&client->reconnect);
    client->error = 0;
    call(client, client->on_connect);
}

static void on_failure(hv__defer_t *work) {
    hclient_t *client = HV_CONTAINER_OF(work, hclient_t, failure);
    if (client->is_started) ended(client, client->error);
}

static int enable_ssl(const hclient_t *client, hio_t *io) {
    int code = client->ssl_ctx != NULL ? hio_set_ssl_ctx(io, client->ssl_ctx) : hio_enable_ssl(io);
    const char *name = client->hostname != NULL ? client->hostname : client->host;
    int is_path = name[0] == '/' || name[0] == '@';
    return code == 0 && !is_path ? hio_set_hostname(io, name) : code;
}

static void try_now(hclient_t *client) {
    client->attempts++;
    client->retry_delay_ms = -1;
    hio_t *io = hio_tcp_client(client->loop, client->host, client->port, on_io_connect, NULL);
    int code = io == NULL ? hloop_last_error(client->loop) : 0;
    if (io != NULL && client->uses_ssl) code = enable_ssl(client, io);
    if (code != 0) {
        if (io != NULL) hio_abort(io);
        client->error = code < 0 ? -code : code;
        hv__defer(client->loop, &client->failure, on_failure);
        return;
    }
    client->io = io;
    hio_set_context(io, client);
    hio_setcb_close(io, on_io_close);
    hio_set_connect_timeout(io, client->connect_timeout_ms);
}

/* ---- API ---- */

hclient_t *hclient_new(hloop_t *loop, const char *host, int port) {
    hclient_t *client = hv__calloc(1, sizeof *client);
    if (client == NULL) return NULL;
    client->host = hv__strndup(host, strlen(host));
    if (client->host == NULL) {
        hv__free(client);
        return NULL;
    }
    client->loop = loop;
    client->port = port;
    client->connect_timeout_ms = HIO_DEFAULT_CONNECT_TIMEOUT;
    client->retry_delay_ms = -1;
    return client;
}

static void stop_timer(hclient_t *client) {
    if (client->timer != NULL) htimer_del(client->timer);
    client->timer = NULL;
    client->retry_delay_ms = -1;
}

void hclient_free(hclient_t *client) {
    if (client == NULL || client->is_freed) return;
    client->is_freed = 1;
    client->is_started = 0;
    stop_timer(client);
    if (client->io != NULL) {
        hio_close(client->io);
    } else if (client->calling == 0) {
        destroy(client);
    }
}

void hclient_set_reconnect(hclient_t *client, const reconn_setting_t *setting) {
    client->reconnects = setting != NULL;
    if (setting != NULL) client->reconnect = *setting;
}

void hclient_set_connect_timeout(hclient_t *client, int timeout_ms) {
    client->connect_timeout_ms = timeout_ms;
}

int hclient_set_ssl(hclient_t *client, hssl_ctx_t ctx, const char *hostname) {
    char *copy = NULL;
    if (hostname != NULL && (copy = hv__strndup(hostname, strlen(hostname))) == NULL) {
        return HV_ENOMEM;
    }
    if (ctx != NULL) hssl_ctx_retain(ctx);
    hssl_ctx_free(client->ssl_ctx);
    hv__free(client->hostname);
    client->ssl_ctx = ctx;
    client->hostname = copy;
    client->uses_ssl = 1;
    return 0;
}

void hclient_setcb_connect(hclient_t *client, hclient_cb on_connect) {
    client->on_connect = on_connect;
}

void hclient_setcb_close(hclient_t *client, hclient_cb on_close) { client->on_close = on_close; }

int hclient_start(hclient_t *client) {
    if (client->is_freed) return HV_ECLOSED;
    if (client->is_started) return 0;
    client->is_started = 1;
    reconn_setting_reset(&client->reconnect);
    if (client->io != NULL) {
        client->restarts = 1;
    } else {
        try_now(client);
    }
    return 0;
}

void hclient_stop(hclient_t *client) {
    client->is_started = 0;
    client->restarts = 0;
    stop_timer(client);
    hv__defer_cancel(client->loop, &client->failure);
    if (client->io != NULL) hio_close(client->io);
}

int hclient_write(hclient_t *client, const void *buf, size_t len) {
    return hclient_is_connected(client) ? hio_write(client->io, buf, len) : HV_ENOTCONN;
}

hio_t *hclient_io(const hclient_t *client) { return client->io; }

int hclient_is_connected(const hclient_t *client) {
    return client->io != NULL && hio_is_connected(client->io);
}

int hclient_error(const hclient_t *client) { return client->error; }
int64_t hclient_retry_delay(const hclient_t *client) { return client->retry_delay_ms; }
uint32_t hclient_attempts(const hclient_t *client) { return client->attempts; }
void hclient_set_userdata(hclient_t *client, void *userdata) { client->userdata = userdata; }
void *hclient_userdata(const hclient_t *client) { return client->userdata; }
