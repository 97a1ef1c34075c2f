/* hsignal.c - signals as events by signalfd(2): the watched signals are blocked and read from a
 * descriptor like any other input, so nothing ever runs in signal context. One descriptor a loop.
 * A signal that this loop blocked is unblocked again when its last watcher goes. */
#include <errno.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "hloop_int.h"
#include "hmem.h"

/* Calls every watcher of the signal that existed when it was read. */
static void call_watchers(hloop_t *loop, int signo) {
    hsignal_t *last = NULL;
    for (hsignal_t *sig = loop->signals; sig != NULL; sig = sig->next_signal) last = sig;
    for (hsignal_t *sig = loop->signals; sig != NULL;) {
        int is_last = sig == last;
        if (sig->signo == signo && !(sig->node.ev.flags & HEVENT_FLAG_DEAD)) {
            sig->node.ev.flags |= HEVENT_FLAG_CALLING;
            HV_DISPATCH(loop, sig->node.ev.cb(&sig->node.ev));
            sig->node.ev.flags &= (uint8_t)~HEVENT_FLAG_CALLING;
        }
        sig = sig->next_signal;
        if (is_last) break;
    }
}

/* Frees what was deleted while watchers were being called. */
static void sweep_dead(hloop_t *loop) {
    for (hsignal_t **link = &loop->signals; *link != NULL;) {
        hsignal_t *sig = *link;
        if (sig->node.ev.flags & HEVENT_FLAG_DEAD) {
            *link = sig->next_signal;
            hv__free(sig);
        } else {
            link = &sig->next_signal;
        }
    }
}

static void on_signal_ready(hevent_t *ev) {
    hloop_t *loop = ev->loop;
    struct signalfd_siginfo infos[16];
    ssize_t bytes = read(loop->signal_watcher.fd, infos, sizeof infos);
    loop->signals_are_called = 1;
    for (size_t i = 0; bytes > 0 && i < (size_t)bytes / sizeof infos[0]; i++) {
        call_watchers(loop, (int)infos[i].ssi_signo);
    }
    loop->signals_are_called = 0;
    sweep_dead(loop);
}

static void close_descriptor(hloop_t *loop) {
    hv__watcher_remove(&loop->signal_watcher, 0);
    close(loop->signal_watcher.fd);
    loop->signal_watcher.fd = -1;
}

static int open_descriptor(hloop_t *loop) {
    hv__watcher_t *watcher = &loop->signal_watcher;
    hv__event_init(loop, &watcher->node.ev, HEVENT_TYPE_IO, on_signal_ready);
    watcher->node.ev.flags |= HEVENT_FLAG_INTERNAL;
    watcher->tag = hv__watcher_new_tag();
    watcher->fd = signalfd(-1, &loop->signals_watched, SFD_NONBLOCK | SFD_CLOEXEC);
    if (watcher->fd < 0) return -errno;
    int code = hv__watcher_add(loop, watcher);
    if (code == 0) code = hv__watcher_set(watcher, HPOLL_READ);
    if (code != 0) {
        if (hv__watcher_find(loop, watcher->fd) == watcher) hv__watcher_remove(watcher, 0);
        close(watcher->fd);
        watcher->fd = -1;
    }
    return code;
}

/* Starts to watch a signal that is not watched yet. */
static int watch(hloop_t *loop, int signo) {
    sigset_t one, before;
    sigemptyset(&one);
    sigaddset(&one, signo);
    sigaddset(&loop->signals_watched, signo);
    int code = pthread_sigmask(SIG_BLOCK, &one, &before);
    if (code != 0) {
        sigdelset(&loop->signals_watched, signo);
        return -code;
    }
    if (sigismember(&before, signo)) sigaddset(&loop->signals_blocked_before, signo);
    if (loop->signal_watcher.fd < 0) {
        code = open_descriptor(loop);
    } else if (signalfd(loop->signal_watcher.fd, &loop->signals_watched, 0) < 0) {
        code = -errno;
    }
    if (code != 0) {
        sigdelset(&loop->signals_watched, signo);
        sigdelset(&loop->signals_blocked_before, signo);
        pthread_sigmask(SIG_SETMASK, &before, NULL);
    }
    return code;
}

/* Ends to watch a signal that nobody waits for any more. */
static void unwatch(hloop_t *loop, int signo) {
    sigset_t one;
    sigemptyset(&one);
    sigaddset(&one, signo);
    sigdelset(&loop->signals_watched, signo);
    signalfd(loop->signal_watcher.fd, &loop->signals_watched, 0);
    if (!sigismember(&loop->signals_blocked_before, signo)) {
        pthread_sigmask(SIG_UNBLOCK, &one, NULL);
    }
    sigdelset(&loop->signals_blocked_before, signo);
}

hsignal_t *hsignal_add(hloop_t *loop, hsignal_cb on_signal, int signo) {
    if (signo < 1 || signo >= NSIG || signo == SIGKILL || signo == SIGSTOP) {
        loop->last_error = HV_EINVAL;
        return NULL;
    }
    hsignal_t *sig = hv__calloc(1, sizeof *sig);
    if (sig == NULL) {
        loop->last_error = HV_ENOMEM;
        return NULL;
    }
    int code = sigismember(&loop->signals_watched, signo) ? 0 : watch(loop, signo);
    if (code != 0) {
        loop->last_error = code;
        hv__free(sig);
        return NULL;
    }
    hv__event_init(loop, &sig->node.ev, HEVENT_TYPE_SIGNAL, (hevent_cb)on_signal);
    sig->signo = signo;
    hsignal_t **link = &loop->signals;
    while (*link != NULL) link = &(*link)->next_signal;
    *link = sig;
    hv__event_activate(&sig->node.ev);
    return sig;
}

void hsignal_del(hsignal_t *sig) {
    if (sig == NULL || sig->node.ev.flags & HEVENT_FLAG_DEAD) return;
    hloop_t *loop = sig->node.ev.loop;
    hv__event_deactivate(&sig->node.ev);
    sig->node.ev.flags |= HEVENT_FLAG_DEAD;
    int is_watched = 0;
    for (hsignal_t *other = loop->signals; other != NULL; other = other->next_signal) {
        if (other->signo == sig->signo && !(other->node.ev.flags & HEVENT_FLAG_DEAD)) {
            is_watched = 1;
        }
    }
    if (!is_watched) unwatch(loop, sig->signo);
    /* While watchers are being called the list must stay as it is; it is swept after that. */
    if (!loop->signals_are_called) sweep_dead(loop);
}

int hsignal_signo(const hsignal_t *sig) { return sig->signo; }

void hv__signals_close(hloop_t *loop) {
    while (loop->signals != NULL) hsignal_del(loop->signals);
    if (loop->signal_watcher.fd >= 0) close_descriptor(loop);
}
