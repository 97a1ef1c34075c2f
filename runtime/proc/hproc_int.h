/* hproc_int.h - what the files of this room share: the program (hmain_*.c), the master (hmaster.c)
 * and its workers (hworker.c).
 *
 * Here belongs what makes a process of a program: options, configuration, pid file, background,
 * master and workers, loops in threads. Not: starting other programs, and anything on the wire. */
#ifndef HV_PROC_INT_H_
#define HV_PROC_INT_H_

#include "hmain.h"
#include "hmaster.h"

/* ---- Program ---- */

/* "-s start" and "-s restart" promise a line that is true only later. */
void hv__main_promise_start(void);
/* The process serves now: keeps that promise, and lets the one that waits for a daemon go. */
void hv__main_is_started(void);
/* In a forked child: pid file, promise and waiting process are the parent's. */
void hv__main_forget_in_child(void);

void hv__main_free_options(void);
void hv__main_free_title(void);
void hv__daemon_forget(void);
/* In a daemon and its first workers: stdout and stderr, which were the caller's until now. Whoever
 * reads them to their end would wait for a worker that keeps them. */
void hv__daemon_let_streams_go(void);
/* Whether this process holds the pid file; and, in a child, that it does not. */
bool hv__pidfile_is_mine(void);
void hv__pidfile_forget(void);

/* ---- Worker ---- */

enum {
    HWORKER_SAYS_READY    = 'R', /* worker to master */
    HWORKER_SAYS_ATTACHED = 'A', /* worker to master: a loop listens to HWORKER_MUST_DRAIN */
    HWORKER_WANTS_RELOAD  = 'L', /* worker to master: for all of them */
    HWORKER_MUST_DRAIN    = 'D', /* master to worker */
};

/* What a worker asks on its second socket, which keeps messages apart: for a socket that the
 * workers share. Both processes are the same program. */
typedef struct hworker_ask_s {
    uint32_t serial;  /* comes back with the answer */
    uint32_t ordinal; /* of port 0: how many of that host the worker has asked for before */
    int32_t port;
    int32_t backlog;
    int32_t flags;
    char host[MAX_PATH];
} hworker_ask_t;

/* The descriptor travels beside it where code is 0. */
typedef struct hworker_answer_s {
    uint32_t serial;
    int32_t code;
} hworker_answer_t;

typedef struct hworker_facts_s {
    int index;
    int generation;
    int control_fd; /* -1: a worker without a process of its own */
    int ask_fd;     /* -1: as above */
    const int *listen_fds;
    int listener_count;
    uint32_t drain_timeout_ms;
} hworker_facts_t;

/* Makes the worker of this process, or returns NULL without memory. */
hworker_t *hv__worker_new(const hworker_facts_t *facts);
/* No loop may be attached any more. */
void hv__worker_free(hworker_t *worker);
/* Has every attached loop drained. Returns how many there are. Any thread. */
int hv__worker_drain(hworker_t *worker);

/* Asks the master for a socket; fills in what tells the question from others. Returns the
 * descriptor or a negative code. Any thread. */
int hv__worker_ask(int ask_fd, hworker_ask_t *ask);
/* Opens what is asked for. Returns the descriptor or a negative code. */
int hv__worker_open_socket(const hworker_ask_t *ask);

/* ---- Master ---- */

/* The signals of a master blocked, the mask before kept; and back. */
void hv__master_block_signals(sigset_t *before);
/* A signal's effect. */
enum { HMASTER_SIGNAL_NONE, HMASTER_SIGNAL_STOP, HMASTER_SIGNAL_STOP_NOW, HMASTER_SIGNAL_RELOAD };
int hv__master_signal_meaning(int signo, bool is_stopping);
/* Descriptor from which the blocked signals are read, or a negative code. */
int hv__master_open_signals(void);

#endif
