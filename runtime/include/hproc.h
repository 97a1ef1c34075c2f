/* hproc.h - a child process that runs a function of ours. */
#ifndef HV_PROC_H_
#define HV_PROC_H_

#include "hdef.h"

HV_BEGIN_DECLS

typedef void (*procedure_t)(void *userdata);

typedef struct proc_ctx_s {
    pid_t pid;         /* set by hproc_spawn: the child's, also in the child */
    time_t start_time; /* set by hproc_spawn: seconds since the epoch */
    int spawn_cnt;     /* counted by hproc_spawn */
    procedure_t init;  /* called first in the child; may be NULL */
    void *init_userdata;
    procedure_t proc; /* the child's work; may be NULL */
    void *proc_userdata;
    procedure_t exit; /* called last in the child; may be NULL */
    void *exit_userdata;
} proc_ctx_t;

/* Forks. The child calls init, proc and exit, and then ends with status 0; it inherits open
 * descriptors, so it can run a loop of its own on the parent's listening socket. Call it before
 * loops are made and threads are started: only the calling thread lives on in the child.
 *   ctx   borrowed until return; the child has a copy of its own
 * Returns the child's pid, or a negative code. The parent reaps the child (waitpid, SIGCHLD). */
HV_EXPORT int hproc_spawn(proc_ctx_t *ctx);

HV_END_DECLS

#endif
