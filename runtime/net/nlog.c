/* nlog.c - lines travel to the listener's loop as posted events, so the handler may be called from
 * every thread; there they are written to each reader. A reader that does not read is closed when
 * its queue is full, rather than let it hold memory or the program up. */
#include "nlog.h"

#include <pthread.h>

#include "hmem.h"

#define READER_BYTES_MAX (1 << 20)

typedef struct reader_s {
    struct reader_s *next;
    hio_t *io;
} reader_t;

/* Guards `listener` against threads that log while it closes. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static hio_t *listener;
static reader_t *readers; /* the loop's own */

typedef struct line_s {
    size_t len;
    char text[];
} line_t;

static void on_reader_close(hio_t *io) {
    for (reader_t **link = &readers; *link != NULL; link = &(*link)->next) {
        reader_t *reader = *link;
        if (reader->io != io) continue;
        *link = reader->next;
        hv__free(reader);
        return;
    }
}

static void on_accept(hio_t *io) {
    reader_t *reader = hv__malloc(sizeof *reader);
    if (reader == NULL) {
        hio_close(io);
        return;
    }
    reader->io = io;
    reader->next = readers;
    readers = reader;
    hio_set_max_write_bufsize(io, READER_BYTES_MAX);
    hio_setcb_close(io, on_reader_close);
    hio_read(io); /* to notice that it goes away; what it says is dropped */
}

static void on_line(hevent_t *ev) {
    line_t *line = hevent_userdata(ev);
    for (reader_t *reader = readers; reader != NULL; reader = reader->next) {
        if (hio_write(reader->io, line->text, line->len) == HV_ELIMIT) hio_abort(reader->io);
    }
    hv__free(line);
}

static void on_listener_close(hio_t *io) {
    pthread_mutex_lock(&lock);
    if (listener == io) listener = NULL;
    pthread_mutex_unlock(&lock);
}

hio_t *nlog_listen(hloop_t *loop, int port) {
    hio_t *io = hloop_create_tcp_server(loop, "127.0.0.1", port, on_accept);
    if (io == NULL) return NULL;
    hio_setcb_close(io, on_listener_close);
    hevent_unref(io); /* a log alone keeps no program running */
    pthread_mutex_lock(&lock);
    hio_t *before = listener;
    listener = io;
    pthread_mutex_unlock(&lock);
    if (before != NULL) hio_close(before);
    return io;
}

void network_logger(int level, const char *buf, int len) {
    (void)level;
    line_t *line = hv__malloc(sizeof *line + (size_t)len);
    if (line == NULL) return;
    line->len = (size_t)len;
    memcpy(line->text, buf, (size_t)len);
    hevent_t ev = {.cb = on_line, .userdata = line};
    pthread_mutex_lock(&lock);
    int code = listener != NULL ? hloop_post_event(hevent_loop(listener), &ev) : HV_ENOTCONN;
    pthread_mutex_unlock(&lock);
    if (code != 0) hv__free(line);
}
