/* nlog.h - the log over the network: who connects to the port reads the lines as they are logged.
 *
 *     nlog_listen(loop, 10514);
 *     hlog_set_handler(network_logger);
 *
 *     nc 127.0.0.1 10514
 */
#ifndef HV_NLOG_H_
#define HV_NLOG_H_

#include "hloop.h"

HV_BEGIN_DECLS

#define DEFAULT_NLOG_PORT 10514

/* Serves the log on 127.0.0.1; the loop must run. One listener a process: a second call replaces
 * the first. `port` 0 takes a free one.
 * Returns the listening io, or NULL with hloop_last_error set. */
HV_EXPORT hio_t *nlog_listen(hloop_t *loop, int port);

/* A handler for logger_set_handler: sends the line to everybody who is connected. Any thread; it
 * never waits: a reader who is too slow (1 MiB behind) is cut off. Without nlog_listen: nothing. */
HV_EXPORT void network_logger(int level, const char *buf, int len);

HV_END_DECLS

#endif
