/* hproc.c - fork with a function to run. What stdio has buffered is written before the fork:
 * otherwise the parent and the child would both write it. */
#include "hproc.h"

static _Noreturn void run_child(proc_ctx_t *ctx) {
    ctx->pid = getpid();
    if (ctx->init != NULL) ctx->init(ctx->init_userdata);
    if (ctx->proc != NULL) ctx->proc(ctx->proc_userdata);
    if (ctx->exit != NULL) ctx->exit(ctx->exit_userdata);
    exit(0);
}

int hproc_spawn(proc_ctx_t *ctx) {
    fflush(NULL);
    ctx->start_time = time(NULL);
    ctx->spawn_cnt++;
    pid_t pid = fork();
    if (pid == 0) run_child(ctx);
    if (pid < 0) return -errno;
    ctx->pid = pid;
    return pid;
}
