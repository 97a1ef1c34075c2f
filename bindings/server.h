/* server.h - what a script may know of the server that it is part of (hvlua's server options, or a
 * C program's own): set by the program before it makes states, read by server.c. */
#ifndef HVL_SERVER_H_
#define HVL_SERVER_H_

#include "bind.h"
#include "hini.h"

typedef struct hvl_server_facts_s {
    int is_server;       /* server options were given */
    int is_watching;     /* --watch */
    int worker_count;    /* processes; 0: the script runs in the program's own */
    int port;            /* where listen() goes when the script names none; negative: nowhere */
    uint32_t grace_ms;   /* of the shutdown that a signal or the master asks for */
    const hini_t *config; /* or NULL */
    const char *confile;  /* or NULL */
    const char *taken;    /* argc bytes: 1 for each argument that was a server option's, or NULL */
} hvl_server_facts_t;

extern hvl_server_facts_t hvl_server_facts;

/* ---- serve.c: the server options of the program ---- */

enum {
    HVL_SERVE_NOT,    /* no server option */
    HVL_SERVE_HERE,   /* in this process, which signals end gently */
    HVL_SERVE_MASTER, /* workers: hvl_serve_run */
    HVL_SERVE_DONE,   /* everything is done or has failed: *status tells */
};

/* Reads the options, and does what comes before serving. May end the process (exit). */
int hvl_serve_begin(int argc, char **argv, int *status);
/* Runs master and workers; each worker runs run_script, whose result is its exit status.
 * Returns the exit status of the program. */
int hvl_serve_run(int (*run_script)(int argc, char **argv));
/* The server options for the help text. */
const char *hvl_serve_usage(void);

#endif
