/* hworker.c - the worker's side of the life under a master. One byte each way on a socket pair: the
 * worker says that it is attached and ready, the master that it must drain. The end of that socket
 * means that the master has died, which is answered by draining too: otherwise orphans would hold
 * the port for ever.
 *
 * One of the attached loops reads the socket and posts to all of them. When that loop is detached
 * and others remain, the next one reads on from a duplicate of the descriptor. */
#include "hproc_int.h"

#include "hassert.h"
#include "hdispatch.h"
#include "hlog.h"
#include "hmem.h"
#include "hsocket.h"

#include <pthread.h>
#include <stdatomic.h>
#include <sys/prctl.h>

/* Connections taken in from the queue of a listener that is being closed; the queue itself is not
 * longer than what the kernel allows, but others fill it meanwhile. */
#define LAST_ACCEPTS_MAX 65536

typedef struct attachment_s {
    struct attachment_s *next;
    hworker_t *worker;
    hloop_t *loop;
    hworker_drain_cb on_drain;
    void *userdata;
    htimer_t *limit; /* set while draining */
} attachment_t;

struct hworker_s {
    hworker_facts_t facts;
    int listen_fds[HMASTER_LISTENERS_MAX];
    atomic_bool is_ready;
    atomic_bool is_draining;
    pthread_mutex_t lock; /* of the three below */
    attachment_t *attachments;
    hio_t *control; /* in the loop of `reader` */
    attachment_t *reader;
};

static hworker_t *self;

static void on_drain_posted(hevent_t *ev);
static void on_read_control_posted(hevent_t *ev);

hworker_t *hv__worker_new(const hworker_facts_t *facts) {
    hworker_t *worker = hv__calloc(1, sizeof(*worker));
    if (worker == NULL) return NULL;
    HV_ASSERT(self == NULL);
    HV_ASSERT(facts->listener_count <= HMASTER_LISTENERS_MAX);
    worker->facts = *facts;
    for (int i = 0; i < facts->listener_count; i++) worker->listen_fds[i] = facts->listen_fds[i];
    pthread_mutex_init(&worker->lock, NULL);
    self = worker;
    return worker;
}

void hv__worker_free(hworker_t *worker) {
    HV_ASSERT(worker->attachments == NULL);
    pthread_mutex_destroy(&worker->lock);
    self = NULL;
    hv__free(worker);
}

hworker_t *hworker_self(void) { return self; }
int hworker_index(const hworker_t *worker) { return worker->facts.index; }
int hworker_generation(const hworker_t *worker) { return worker->facts.generation; }
int hworker_is_draining(const hworker_t *worker) { return atomic_load(&worker->is_draining); }

static void say(hworker_t *worker, char byte) {
    if (worker->facts.control_fd < 0) return;
    /* Where the master is gone there is nobody to tell; where its buffer is full after two bytes,
     * something is wrong that a retry does not mend. */
    ssize_t sent = send(worker->facts.control_fd, &byte, 1, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent != 1) hlogw("worker[%d] cannot tell its master '%c'", worker->facts.index, byte);
}

void hworker_reload(hworker_t *worker) { say(worker, HWORKER_WANTS_RELOAD); }

void hworker_ready(hworker_t *worker) {
    if (atomic_exchange(&worker->is_ready, true)) return;
    hv__daemon_let_streams_go();
    say(worker, HWORKER_SAYS_READY);
}

/* ---- Draining ---- */

/* With the lock held. */
static int post(hloop_t *loop, hevent_cb cb, void *userdata) {
    hevent_t ev;
    memset(&ev, 0, sizeof(ev));
    ev.loop = loop;
    ev.cb = cb;
    ev.userdata = userdata;
    return hloop_post_event(loop, &ev);
}

int hv__worker_drain(hworker_t *worker) {
    pthread_mutex_lock(&worker->lock);
    bool is_first = !atomic_exchange(&worker->is_draining, true);
    int count = 0;
    for (attachment_t *at = worker->attachments; at != NULL; at = at->next) {
        count++;
        /* A loop that has ended needs no telling. */
        if (is_first) post(at->loop, on_drain_posted, worker);
    }
    if (is_first) {
        /* The loops have duplicates; without this the queue would live on until the process ends.
         * */
        for (int i = 0; i < worker->facts.listener_count; i++) {
            close(worker->listen_fds[i]);
            worker->listen_fds[i] = -1;
        }
    }
    pthread_mutex_unlock(&worker->lock);
    return count;
}

static void on_limit(htimer_t *timer) {
    attachment_t *at = hevent_userdata(timer);
    at->limit = NULL; /* one-shot: the loop frees it */
    hlogw("worker[%d] did not finish in %u ms", at->worker->facts.index,
          (unsigned)at->worker->facts.drain_timeout_ms);
    hloop_stop(at->loop);
}

static attachment_t *attachment_of(hworker_t *worker, hloop_t *loop) {
    pthread_mutex_lock(&worker->lock);
    attachment_t *at = worker->attachments;
    while (at != NULL && at->loop != loop) at = at->next;
    pthread_mutex_unlock(&worker->lock);
    return at;
}

static void on_drain_posted(hevent_t *ev) {
    hworker_t *worker = ev->userdata;
    attachment_t *at = attachment_of(worker, ev->loop); /* it may be detached by now */
    if (at == NULL || at->limit != NULL) return;
    at->limit = htimer_add(at->loop, on_limit, worker->facts.drain_timeout_ms, 1);
    if (at->limit != NULL) {
        hevent_set_userdata(at->limit, at);
        hevent_unref(at->limit);
    }
    if (at->on_drain == NULL || at->limit == NULL) {
        hloop_stop(at->loop);
    } else {
        HV_DISPATCH(at->loop, at->on_drain(worker, at->loop, at->userdata));
    }
}

/* ---- The socket to the master ---- */

static void on_control(hio_t *io, void *buf, int readbytes) {
    (void)io;
    const char *bytes = buf;
    for (int i = 0; i < readbytes; i++) {
        if (bytes[i] == HWORKER_MUST_DRAIN) hv__worker_drain(self);
    }
}

static void on_control_closed(hio_t *io) {
    hworker_t *worker = self;
    if (worker == NULL) return;
    pthread_mutex_lock(&worker->lock);
    bool is_ours = worker->control == io;
    if (is_ours) worker->control = NULL;
    pthread_mutex_unlock(&worker->lock);
    if (is_ours) hv__worker_drain(worker); /* the master has died */
}

/* Has the loop of `at` read the socket. Loop thread of `at`; returns 0 or a code. */
static int read_control(hworker_t *worker, attachment_t *at) {
    int fd = fcntl(worker->facts.control_fd, F_DUPFD_CLOEXEC, 3);
    if (fd < 0) return -errno;
    hio_t *io = hread(at->loop, fd, NULL, 0, on_control);
    if (io == NULL) {
        close(fd);
        return hloop_last_error(at->loop);
    }
    hio_setcb_close(io, on_control_closed);
    hevent_unref(io);
    pthread_mutex_lock(&worker->lock);
    worker->control = io;
    worker->reader = at;
    pthread_mutex_unlock(&worker->lock);
    return 0;
}

static void on_read_control_posted(hevent_t *ev) {
    hworker_t *worker = ev->userdata;
    attachment_t *at = attachment_of(worker, ev->loop);
    if (at != NULL && worker->reader == NULL && read_control(worker, at) != 0) {
        hv__worker_drain(worker); /* a worker that its master cannot reach must not go on */
    }
}

int hworker_attach(hworker_t *worker, hloop_t *loop, hworker_drain_cb on_drain, void *userdata) {
    attachment_t *at = hv__calloc(1, sizeof(*at));
    if (at == NULL) return HV_ENOMEM;
    *at = (attachment_t){
        .worker = worker, .loop = loop, .on_drain = on_drain, .userdata = userdata};
    pthread_mutex_lock(&worker->lock);
    bool is_first = worker->attachments == NULL;
    at->next = worker->attachments;
    worker->attachments = at;
    pthread_mutex_unlock(&worker->lock);
    if (is_first && worker->facts.control_fd >= 0) {
        int code = read_control(worker, at);
        if (code != 0) {
            hworker_detach(worker, loop);
            return code;
        }
        say(worker, HWORKER_SAYS_ATTACHED);
    }
    /* From now on the socket tells of the master's end; the signal would end us half-way. */
    prctl(PR_SET_PDEATHSIG, 0);
    if (hworker_is_draining(worker)) post(loop, on_drain_posted, worker);
    return 0;
}

void hworker_detach(hworker_t *worker, hloop_t *loop) {
    pthread_mutex_lock(&worker->lock);
    attachment_t **link = &worker->attachments;
    while (*link != NULL && (*link)->loop != loop) link = &(*link)->next;
    attachment_t *at = *link;
    hio_t *control = NULL;
    if (at != NULL) {
        *link = at->next;
        if (worker->reader == at) {
            control = worker->control;
            worker->control = NULL;
            worker->reader = NULL;
            attachment_t *heir = worker->attachments;
            if (heir != NULL) post(heir->loop, on_read_control_posted, worker);
        }
    }
    pthread_mutex_unlock(&worker->lock);
    if (at == NULL) return;
    htimer_del(at->limit);
    if (control != NULL) hio_close(control);
    hv__free(at);
}

/* ---- Listeners ---- */

int hworker_listen_fd(hworker_t *worker, int listener) {
    pthread_mutex_lock(&worker->lock);
    bool is_known = listener >= 0 && listener < worker->facts.listener_count;
    int fd = is_known ? fcntl(worker->listen_fds[listener], F_DUPFD_CLOEXEC, 3) : HV_ENOTFOUND;
    if (is_known && fd < 0) fd = -errno;
    pthread_mutex_unlock(&worker->lock);
    return fd;
}

hio_t *hworker_accept(hworker_t *worker, hloop_t *loop, int listener, haccept_cb on_accept) {
    int fd = hworker_listen_fd(worker, listener);
    /* Where there is none, what is asked of the loop fails with a reason of its own. */
    hio_t *io = haccept(loop, fd, on_accept);
    if (io == NULL && fd >= 0) close(fd);
    return io;
}

int hworker_listen(hworker_t *worker, const char *host, int port, int backlog, int flags) {
    hworker_ask_t ask;
    memset(&ask, 0, sizeof(ask));
    if (strlen(host) >= sizeof(ask.host)) return HV_EINVAL;
    memcpy(ask.host, host, strlen(host));
    ask.port = port;
    ask.backlog = backlog;
    ask.flags = flags;
    int ask_fd = worker->facts.ask_fd;
    return ask_fd >= 0 ? hv__worker_ask(ask_fd, &ask) : hv__worker_open_socket(&ask);
}

/* The listener leaves the loop's set first. A wake-up may then already have been spent on this
 * process alone (EPOLLEXCLUSIVE), for a connection that nobody else would be woken for: whoever is
 * in the queue now is taken in here. */
void hworker_stop_accepting(hio_t *listener) {
    if (!hio_is_opened(listener)) return;
    hloop_t *loop = hevent_loop(listener);
    haccept_cb on_accept = hio_getcb_accept(listener);
    hio_read_stop(listener);
    for (int i = 0; on_accept != NULL && i < LAST_ACCEPTS_MAX; i++) {
        int fd = accept4(hio_fd(listener), NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0 && (errno == EINTR || errno == ECONNABORTED)) continue;
        if (fd < 0) break;
        hio_t *io = hio_get(loop, fd);
        if (io == NULL) {
            close(fd);
            break;
        }
        tcp_nodelay(fd, 1); /* a unix socket refuses, and needs none */
        hevent_set_userdata(io, hevent_userdata(listener));
        HV_DISPATCH(loop, on_accept(io));
    }
    hio_close(listener);
}
