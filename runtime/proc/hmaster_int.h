/* hmaster_int.h - the master's own structs, shared by hmaster.c (states, reload, stop) and
 * hmaster_child.c (one worker process: fork, messages, death). */
#ifndef HV_MASTER_INT_H_
#define HV_MASTER_INT_H_

#include "hproc_int.h"

#include <signal.h>
#include <stdatomic.h>

typedef enum {
    CHILD_STARTING, /* forked, not ready yet */
    CHILD_READY,
    CHILD_LEAVING, /* told to drain; its end is no failure */
} child_phase_e;

typedef struct hv__child_s {
    pid_t pid;
    int slot;
    int generation;
    int control_fd; /* -1 once it has closed its side */
    int ask_fd;     /* the same; what it asks for is hworker_ask_t */
    uint64_t sockets; /* 1 << number of each shared socket it has asked for */
    child_phase_e phase;
    bool is_attached;     /* drains by message; else by SIGTERM */
    uint64_t started_us;
    uint64_t deadline_us; /* to be ready, or gone, then killed; 0: none */
} hv__child_t;

typedef struct hv__slot_s {
    int failures;           /* in a row */
    uint64_t restart_at_us; /* 0: nothing to start */
} hv__slot_t;

#define HMASTER_SOCKETS_MAX 64

/* Which file a unix socket was bound to; the inode is 0 where there is none. */
typedef struct hv__file_id_s {
    dev_t device;
    ino_t inode;
} hv__file_id_t;

/* A socket that a worker has asked for. It stays open while a worker wants it, through crashes and
 * reloads, so that nobody who connects is turned away. */
typedef struct hv__socket_s {
    int fd; /* -1: free */
    hv__file_id_t file;
    hworker_ask_t key;
} hv__socket_t;

typedef enum {
    MASTER_IDLE,
    MASTER_STARTING, /* until every first worker is ready */
    MASTER_RUNNING,
    MASTER_RELOADING, /* two generations; ends when the new one is ready, or has failed */
    MASTER_STOPPING,
} master_state_e;

struct hmaster_s {
    hmaster_options_t options;
    int listen_fds[HMASTER_LISTENERS_MAX];
    hv__file_id_t listen_files[HMASTER_LISTENERS_MAX];
    int listener_count;
    hv__socket_t *sockets; /* HMASTER_SOCKETS_MAX */
    hv__child_t *children;
    int child_count;
    int child_max;
    hv__slot_t *slots;
    struct pollfd *polls; /* 2 for each child, and 2 */
    master_state_e state;
    int generation; /* the one that serves */
    bool is_reload_wanted;
    int exit_code;
    int signal_fd;
    int command_fd; /* eventfd: the two flags below have been set */
    atomic_bool stop_asked;
    atomic_bool reload_asked;
    sigset_t mask_before;
    pid_t pid;
};

/* Forks a worker. Returns 0 or a negative code. */
int hv__child_start(hmaster_t *master, int slot, int generation);
/* Answers what it asks for. */
void hv__child_answer(hmaster_t *master, hv__child_t *child);
/* Closes the sockets that nobody wants any more; or all of them. */
void hv__master_sweep_sockets(hmaster_t *master, bool all);
/* The file that a socket has just been bound to. */
hv__file_id_t hv__master_file_of(int fd);
/* Closes a socket and removes its file, unless another file has taken that one's name. */
void hv__master_close_socket(int fd, hv__file_id_t file);
/* Tells it to finish, within the drain timeout. */
void hv__child_leave(hmaster_t *master, hv__child_t *child);
/* Reads what it has to say. */
void hv__child_listen(hmaster_t *master, hv__child_t *child);
/* Takes the next child that has ended out of the table. Returns whether there was one. */
bool hv__child_reap(hmaster_t *master, hv__child_t *ended, int *wait_status);
/* "exit status 1", "signal 9 (Killed)". */
void hv__child_describe(int wait_status, char *text, size_t size);

#endif
