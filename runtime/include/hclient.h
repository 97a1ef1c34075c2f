/* hclient.h - a client that comes back: a name for "the connection to host:port", which makes a new
 * io for every attempt and waits between them as a reconnect setting says.
 *
 *     hclient_t *client = hclient_new(loop, "127.0.0.1", 1883);
 *     reconn_setting_t setting;
 *     reconn_setting_init(&setting);
 *     hclient_set_reconnect(client, &setting);
 *     hclient_setcb_connect(client, on_connect);   // sets on_read of hclient_io(client), reads
 *     hclient_start(client);
 *
 * An io ends with its connection: what was queued on it is not sent by the next one. The client
 * lives from hclient_new to hclient_free, is free of connections in between, and belongs to the
 * thread of its loop. */
#ifndef HV_CLIENT_H_
#define HV_CLIENT_H_

#include "hio.h"
#include "hssl.h"

HV_BEGIN_DECLS

/* ---- How long to wait, and how often: no clock and no loop in here ---- */

enum {
    RECONN_DELAY_FIXED       = 0, /* min_delay every time */
    RECONN_DELAY_LINEAR      = 1, /* min_delay more every time */
    RECONN_DELAY_EXPONENTIAL = 2, /* twice as long every time; 3: three times, and so on */
};

#define DEFAULT_RECONNECT_MIN_DELAY 1000  /* milliseconds */
#define DEFAULT_RECONNECT_MAX_DELAY 60000 /* milliseconds */

/* May be filled by hand; a zeroed one tries again at once and never more than 0 times. */
typedef struct reconn_setting_s {
    uint32_t min_delay;     /* milliseconds */
    uint32_t max_delay;     /* milliseconds; below min_delay it counts as min_delay */
    uint32_t cur_delay;     /* the last one given */
    uint32_t cur_retry_cnt; /* delays given since the last reset */
    uint32_t max_retry_cnt; /* INFINITE: for ever */
    uint32_t delay_policy;  /* RECONN_DELAY_* */
} reconn_setting_t;

/* 1 to 60 seconds, doubled every time, for ever. */
HV_EXPORT void reconn_setting_init(reconn_setting_t *setting);
/* Begins anew, after a connection that was made. */
HV_EXPORT void reconn_setting_reset(reconn_setting_t *setting);
/* Whether one more attempt is left. */
HV_EXPORT bool reconn_setting_can_retry(const reconn_setting_t *setting);
/* Counts one attempt. Returns the milliseconds to wait before it. */
HV_EXPORT uint32_t reconn_setting_calc_delay(reconn_setting_t *setting);

/* ---- The client ---- */

typedef struct hclient_s hclient_t;
typedef void (*hclient_cb)(hclient_t *client);

/* Makes a client, not started yet.
 *   host  copied; as for hloop_create_tcp_client
 * Returns it, to be freed by hclient_free before its loop is; or NULL without memory. */
HV_EXPORT hclient_t *hclient_new(hloop_t *loop, const char *host, int port);
/* Closes the connection, without a callback, and frees the client; also inside its callbacks. NULL
 * is allowed. */
HV_EXPORT void hclient_free(hclient_t *client);

/* ---- Rules, for the attempts that follow ---- */

/* `setting` is copied; NULL, as in the beginning: no reconnecting. Its count begins anew whenever a
 * connection has been made. */
HV_EXPORT void hclient_set_reconnect(hclient_t *client, const reconn_setting_t *setting);
/* Milliseconds for connect and TLS handshake. */
HV_EXPORT void hclient_set_connect_timeout(hclient_t *client, int timeout_ms);
/* TLS.
 *   ctx       retained; NULL: a client that verifies, by the system's roots
 *   hostname  copied; to ask for and verify; NULL: the host
 * Returns 0 or HV_ENOMEM. */
HV_EXPORT int hclient_set_ssl(hclient_t *client, hssl_ctx_t ctx, const char *hostname);

/* ---- Callbacks; NULL takes one off ---- */

/* A connection has been made, TLS included: hclient_io is it. Its callbacks are yours to set, but
 * for the close callback, and so is its reading to begin. */
HV_EXPORT void hclient_setcb_connect(hclient_t *client, hclient_cb on_connect);
/* A connection, or an attempt to make one, has ended: hclient_error tells why, hclient_retry_delay
 * what comes. hclient_io is the io that ends, or NULL where none could be made. May call
 * hclient_stop, hclient_start and hclient_free. */
HV_EXPORT void hclient_setcb_close(hclient_t *client, hclient_cb on_close);

/* ---- Running ---- */

/* Begins to connect; the first attempt is not delayed. Nothing where it has been started.
 * Returns 0; a failure that is known at once is reported by the close callback, too. */
HV_EXPORT int hclient_start(hclient_t *client);
/* Closes the connection behind what is queued, and ends reconnecting; the close callback follows
 * where there was an io. The client may be started again. */
HV_EXPORT void hclient_stop(hclient_t *client);
/* Writes to the connection. Returns as hio_write; HV_ENOTCONN where there is none at the moment. */
HV_EXPORT int hclient_write(hclient_t *client, const void *buf, size_t len);

/* ---- Facts ---- */

/* The io of the moment, also while it connects; NULL while there is none. hio_context of it is the
 * client. */
HV_EXPORT hio_t *hclient_io(const hclient_t *client);
HV_EXPORT int hclient_is_connected(const hclient_t *client);
/* Why the last io ended: 0, or a positive code as of hio_error. */
HV_EXPORT int hclient_error(const hclient_t *client);
/* In the close callback and until the next attempt: milliseconds it was put off by; -1 where none
 * will follow. */
HV_EXPORT int64_t hclient_retry_delay(const hclient_t *client);
/* Attempts that have been made since hclient_new. */
HV_EXPORT uint32_t hclient_attempts(const hclient_t *client);
HV_EXPORT void hclient_set_userdata(hclient_t *client, void *userdata);
HV_EXPORT void *hclient_userdata(const hclient_t *client);

HV_END_DECLS

#endif
