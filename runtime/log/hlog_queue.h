/* hlog_queue.h - finished lines on their way to a slow sink: a thread of its own writes them, so
 * that who logs does not wait for the disk. Two buffers of a fixed size take turns; when one is
 * full and the other still being written, who logs does wait: no line is ever dropped. */
#ifndef HV_LOG_QUEUE_H_
#define HV_LOG_QUEUE_H_

#include <stddef.h>
#include <time.h>

typedef struct hlog_queue_s hlog_queue_t;

/* Writes one line; only ever called by one thread at a time. */
typedef void (*hlog_queue_sink)(void *userdata, int level, time_t second, const char *line,
                                size_t len);

/* Starts the thread with two buffers of `bytes`. Returns NULL without memory or threads. */
hlog_queue_t *hv__log_queue_start(size_t bytes, hlog_queue_sink sink, void *userdata);

/* Takes a copy of a line; waits where there is no room. A line longer than a buffer is written by
 * the caller itself, after all that came before it. One caller at a time. */
void hv__log_queue_put(hlog_queue_t *queue, int level, time_t second, const char *line,
                       size_t len);

/* Waits until everything put so far is written and the thread rests. */
void hv__log_queue_drain(hlog_queue_t *queue);

/* Drains, ends the thread and frees the queue. */
void hv__log_queue_stop(hlog_queue_t *queue);

#endif
