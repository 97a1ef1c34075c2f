/* hmain.h - what a command-line program needs: options, paths, help text, a pid file that only one
 * living process can hold, running in the background, "-s start|stop|restart|status|reload",
 * process titles, and a master with worker processes. The steps of such a program, in this order:
 *
 *     main_ctx_init(argc, argv);
 *     parse_opt_long(argc, argv, options, ARRAY_SIZE(options));
 *     ... read g_main_ctx.confile (hini.h), set the log's file to g_main_ctx.logfile ...
 *     signal_init(on_reload, NULL);
 *     if (get_arg("s")) signal_handle(get_arg("s"));
 *     if (get_arg("d")) hmain_daemon();
 *     if (create_pidfile() != 0) return 1;
 *     master_workers_run(worker_fn, NULL, g_main_ctx.worker_processes, 0, true);
 *
 * All of it is meant for the main thread before others are started, except where said. These
 * functions print to the terminal what their names promise; nothing else of the library does. */
#ifndef HV_MAIN_H_
#define HV_MAIN_H_

#include "hdef.h"
#include "herr.h"
#include "hproc.h"

HV_BEGIN_DECLS

#ifdef __cplusplus
#define HV_DEFAULT_ARG(value) = value
#else
#define HV_DEFAULT_ARG(value)
#endif

/* Facts about this process. The paths may be changed after main_ctx_init, before they are used. */
typedef struct main_ctx_s {
    char run_dir[MAX_PATH];      /* the working directory at the start */
    char program_name[MAX_PATH]; /* the last part of argv[0] */
    char confile[MAX_PATH];      /* <run_dir>/etc/<program>.conf */
    char pidfile[MAX_PATH];      /* <run_dir>/logs/<program>.pid */
    char logfile[MAX_PATH];      /* <run_dir>/logs/<program>.log */

    pid_t pid;
    pid_t oldpid; /* who holds the pid file already; -1: nobody */

    int argc;
    char **argv; /* borrowed from main */
    int arg_list_size;
    char **arg_list; /* arguments that are no options, set by parse_opt*; NULL at the end */

    procedure_t reload_fn; /* set by signal_init */
    void *reload_userdata;
    int stop_timeout_ms; /* how long "-s stop" and "-s restart" wait; 60000 */

    int worker_processes; /* the program's own, for master_workers_run */
    int worker_threads;
    procedure_t worker_fn; /* set by master_workers_run */
    void *worker_userdata;
} main_ctx_t;

HV_EXPORT extern main_ctx_t g_main_ctx;

/* Fills g_main_ctx and makes the directory logs/ where it can be made.
 *   argv  borrowed until main_ctx_free
 * Returns 0; HV_EINVAL without a program name, HV_ELIMIT where a path is too long. */
HV_EXPORT int main_ctx_init(int argc, char **argv);
/* Gives back what main_ctx_init, parse_opt* and setproctitle took, and deletes the pid file. */
HV_EXPORT void main_ctx_free(void);

/* ---- Options ---- */

#define NO_ARGUMENT       0
#define REQUIRED_ARGUMENT 1
#define OPTIONAL_ARGUMENT 2 /* only as -x5 and --name=5: what stands apart is not its argument */

typedef struct option_s {
    char short_opt;       /* 0: none */
    const char *long_opt; /* NULL: none */
    int arg_type;         /* NO_ARGUMENT ... */
    const char *description; /* for the help text; may have several lines */
} option_t;

/* Reads the command line: "-a", "-ab" (both), "-p 80", "-p80"; with the second function also
 * "--port 80" and "--port=80". "--" ends the options, "-" is none. Where an option is given twice
 * the last one holds. Values are copied.
 *   opt      letters as for getopt(3): ':' after one that takes a value, "::" where it may
 *   options  borrowed until the next parse or main_ctx_free
 * Returns 0; HV_EINVAL, after a line on stderr, for an unknown option, or one with a value missing
 * or too many; HV_ENOMEM. */
HV_EXPORT int parse_opt(int argc, char **argv, const char *opt);
HV_EXPORT int parse_opt_long(int argc, char **argv, const option_t *options, int count);

/* The value of an option by its letter or its long name; "1" where it was given without one.
 * Returns NULL where it was not given; else a string that lives until the next parse. */
HV_EXPORT const char *get_arg(const char *key);
HV_EXPORT const char *get_env(const char *key);

/* Writes the lines of a help text, one or more for each option, descriptions in one column.
 * Returns the bytes of the whole text, the NUL not counted; what does not fit is cut. */
HV_EXPORT int dump_opt_long(const option_t *options, int count, char *out, int out_size);
/* The letters of a table as parse_opt would take them: "hvc:ts:dp:". Returns as above. */
HV_EXPORT int dump_opt_short(const option_t *options, int count, char *out, int out_size);

/* ---- The process ---- */

/* Sets what ps(1) shows, in the place of the arguments and the environment, which are copied away
 * first; argv then points to the copies. Nothing before main_ctx_init. */
HV_EXPORT void setproctitle(const char *format, ...) HV_PRINTF_LIKE(1, 2);

/* Goes on in the background: a session of its own, no terminal, stdin closed; the working directory
 * stays. What started it waits: it ends with status 0 once hmain_daemon_ready was called
 * (hmaster_run and master_workers_run do so when their workers are ready), with 1 where the daemon
 * ended before. Until then stdout and stderr stay those of the caller, so that messages are seen;
 * then /dev/null. Call it before threads and loops are made and before create_pidfile.
 * Returns 0 in the daemon; a negative code where it could not be started (nothing has changed);
 * HV_EBUSY where this process holds the pid file. */
HV_EXPORT int hmain_daemon(void);
/* Lets the waiting process end. Nothing in a process that is no daemon; may be called again. */
HV_EXPORT void hmain_daemon_ready(void);

/* ---- Pid file: g_main_ctx.pidfile, locked by fcntl(2) while its owner lives ----
 * What counts is the lock: a file that is left over is taken over, whatever number is in it. */

/* Writes and locks it; deleted at exit. Of several processes one gets it.
 * Returns 0; HV_EBUSY, after a line on stderr, where another process holds it; a code, after a line
 * on stderr, where it cannot be written. */
HV_EXPORT int create_pidfile(void);
/* Deletes it where this process holds it; otherwise nothing. */
HV_EXPORT void delete_pidfile(void);
/* The pid of the living process that holds it; -1 where none does. */
HV_EXPORT pid_t getpid_from_pidfile(void);

/* ---- Signals ---- */

#define SIGNAL_TERMINATE SIGTERM
#define SIGNAL_RELOAD    SIGUSR1

/* Remembers what a reload means; called in the master, in no signal handler, before new workers are
 * started. SIGTERM and SIGINT stop, SIGUSR1 (and SIGHUP without a terminal) reload, as soon as
 * master_workers_run or hmaster_run runs. Returns 0. */
HV_EXPORT int signal_init(procedure_t reload_fn HV_DEFAULT_ARG(NULL),
                          void *reload_userdata HV_DEFAULT_ARG(NULL));

/* Does what "-s" asks for, with the process that holds the pid file:
 *   start    goes on, if there is none yet; else prints "x start/running, pid=N" and ends
 *   stop     ends it, waits for its end, prints "x stop/waiting" and ends
 *   restart  the same and goes on; "x start/running" is printed once that is true
 *   status   prints "x start/running, pid=N", or "x stop/waiting" with exit status 3, and ends
 *   reload   asks it to reload, prints "x start/running, pid=N" and ends
 * "Ends" is exit(3): status 0, or 1 with a line on stderr where it failed. */
HV_EXPORT void signal_handle(const char *signal);

/* ---- Master and workers, as in hmaster.h, for functions that know nothing of them ---- */

#define DEFAULT_WORKER_PROCESSES 4
#define MAXNUM_WORKER_PROCESSES  256

/* Runs worker_fn in `worker_threads` threads (0 counts as 1; the first is the process's own) of
 * each of `worker_processes` processes, which are started again when they end. With 0 processes: in
 * threads of this one. A worker function that calls hworker_attach(hworker_self(), ...) is drained
 * at stop and reload; one that does not is ended by SIGTERM.
 *   wait  true: returns after a stop; false: the master works in a thread of its own
 * Returns 0, or a negative code where nothing could be started. */
HV_EXPORT int master_workers_run(procedure_t worker_fn, void *worker_userdata HV_DEFAULT_ARG(NULL),
                                 int worker_processes HV_DEFAULT_ARG(DEFAULT_WORKER_PROCESSES),
                                 int worker_threads HV_DEFAULT_ARG(0),
                                 bool wait HV_DEFAULT_ARG(true));
/* Stops them as SIGTERM does; any thread. With wait false it returns when they have ended. */
HV_EXPORT int master_workers_stop(void);

HV_END_DECLS

#endif
