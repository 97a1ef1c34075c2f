/* hspawn.h - starting other programs and learning how they ended, without blocking the loop.
 *
 * The program gets default signal dispositions, an empty signal mask, and no descriptor but its
 * standard ones, whatever this process has changed or opened. Its end is noticed and reaped by the
 * library even if nobody asks, so do not wait for it (waitpid) yourself. */
#ifndef HV_SPAWN_H_
#define HV_SPAWN_H_

#include "hio.h"

HV_BEGIN_DECLS

/* What a standard descriptor of the program is; or one of ours, 0 or more, which it gets a copy
 * of. */
enum {
    HSPAWN_INHERIT   = -1, /* the one of this process */
    HSPAWN_NULL      = -2, /* /dev/null */
    HSPAWN_PIPE      = -3, /* a pipe, whose other end is hspawn_stdio */
    HSPAWN_TO_STDOUT = -4, /* the third one only: where the second one goes */
};

#define HSPAWN_NEW_GROUP   0x01 /* its own process group: the terminal's Ctrl-C is not for it */
#define HSPAWN_NEW_SESSION 0x02 /* its own session, without a terminal */
#define HSPAWN_KILL        0x04 /* hloop_free kills it where it still runs; else it goes on */

typedef struct hspawn_options_s {
    const char *const *argv; /* ends with NULL; argv[0] is looked up in PATH unless it has a '/' */
    const char *program;     /* to run instead of argv[0]; or NULL */
    const char *const *env;  /* "NAME=value", ends with NULL; NULL for ours */
    const char *cwd;         /* or NULL for ours; a program with a '/' is looked for from there */
    int stdio[3];            /* HSPAWN_* or a descriptor; all zero would be our stdin three times */
    int flags;               /* HSPAWN_NEW_GROUP ... */
} hspawn_options_t;

typedef struct hspawn_s hspawn_t;
typedef void (*hspawn_exit_cb)(hspawn_t *child);

/* All of it inherited, for argv. */
#define HSPAWN_OPTIONS(args) \
    ((hspawn_options_t){.argv = (args), .stdio = {HSPAWN_INHERIT, HSPAWN_INHERIT, HSPAWN_INHERIT}})

/* Starts a program. It runs when this returns: a program that cannot be executed is an error here.
 *   options  borrowed until return; descriptors in it stay the caller's
 *   on_exit  called once when it has ended, never inside this call; or NULL
 * Returns the child, a handle (hevent_userdata, hevent_unref ...) that keeps the loop running and
 * is gone when on_exit has returned. NULL with hloop_last_error set to the errno of what failed:
 * -ENOENT (program or cwd), -EACCES, -ENOTDIR, -E2BIG, -EMFILE, -EAGAIN, HV_EINVAL ... */
HV_EXPORT hspawn_t *hspawn_start(hloop_t *loop, const hspawn_options_t *options,
                                 hspawn_exit_cb on_exit);

/* Our end of a pipe, 0..2: to write for 0, to read for 1 and 2; NULL where there is none. It is an
 * io like any other, yours to close, and may live longer than the child or shorter: ask for it and
 * set its callbacks right after hspawn_start. Closing number 0 is what ends the program's input;
 * what the program has written may still be on its way when its end is told. */
HV_EXPORT hio_t *hspawn_stdio(const hspawn_t *child, int number);

HV_EXPORT pid_t hspawn_pid(const hspawn_t *child);

/* Sends a signal; it never reaches a process that is not the child.
 *   signo  or 0, to ask whether it runs
 * Returns 0; -ESRCH where it has ended, -EPERM, HV_EINVAL. */
HV_EXPORT int hspawn_kill(hspawn_t *child, int signo);
/* The same for every process of its group, with HSPAWN_NEW_GROUP or HSPAWN_NEW_SESSION. */
HV_EXPORT int hspawn_kill_group(hspawn_t *child, int signo);

/* ---- In on_exit ---- */

/* 0, or HV_ECANCELED where the loop is freed before the program has ended. */
HV_EXPORT int hspawn_error(const hspawn_t *child);
/* The status it exited with, 0..255; -1 where a signal ended it, or it runs. */
HV_EXPORT int hspawn_exit_status(const hspawn_t *child);
/* The signal that ended it, or 0. */
HV_EXPORT int hspawn_term_signal(const hspawn_t *child);

HV_END_DECLS

#endif
