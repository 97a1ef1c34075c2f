/* hmain.c - the facts about a program, and its start as told to others: the line that "-s start"
 * promises is printed when the program serves, not before. */
#include "hproc_int.h"

#include "hbase.h"

main_ctx_t g_main_ctx = {.pid = -1, .oldpid = -1};

/* "-s start" or "-s restart" was given and nothing has been printed yet. */
static bool has_promised_start;

static int set_path(char *path, const char *dir, const char *suffix) {
    int len = snprintf(path, MAX_PATH, "%s/%s/%s.%s", g_main_ctx.run_dir, dir,
                       g_main_ctx.program_name, suffix);
    return len < MAX_PATH ? 0 : HV_ELIMIT;
}

int main_ctx_init(int argc, char **argv) {
    if (argc < 1 || argv == NULL || argv[0] == NULL) return HV_EINVAL;
    const char *name = hv_basename(argv[0]);
    if (name[0] == '\0') return HV_EINVAL;
    if (strlen(name) >= sizeof(g_main_ctx.program_name)) return HV_ELIMIT;

    main_ctx_free();
    g_main_ctx.argc = argc;
    g_main_ctx.argv = argv;
    g_main_ctx.pid = getpid();
    g_main_ctx.oldpid = -1;
    g_main_ctx.stop_timeout_ms = 60000;
    g_main_ctx.worker_processes = DEFAULT_WORKER_PROCESSES;
    hv_strncpy(g_main_ctx.program_name, name, sizeof(g_main_ctx.program_name));
    if (get_run_dir(g_main_ctx.run_dir, sizeof(g_main_ctx.run_dir)) == NULL) return HV_ELIMIT;
    if (set_path(g_main_ctx.confile, "etc", "conf") != 0 ||
        set_path(g_main_ctx.pidfile, "logs", "pid") != 0 ||
        set_path(g_main_ctx.logfile, "logs", "log") != 0) {
        return HV_ELIMIT;
    }

    /* Where it cannot be made, create_pidfile or the log says so. */
    char logs[MAX_PATH + 8];
    snprintf(logs, sizeof(logs), "%s/logs", g_main_ctx.run_dir);
    hv_mkdir_p(logs);
    g_main_ctx.oldpid = getpid_from_pidfile();
    return 0;
}

void main_ctx_free(void) {
    delete_pidfile();
    hv__main_free_title();
    hv__main_free_options();
    memset(&g_main_ctx, 0, sizeof(g_main_ctx));
    g_main_ctx.pid = g_main_ctx.oldpid = -1;
}

const char *get_env(const char *key) { return getenv(key); }

/* ---- Having started ---- */

void hv__main_promise_start(void) { has_promised_start = true; }

void hv__main_is_started(void) {
    if (has_promised_start) {
        has_promised_start = false;
        printf("%s start/running\n", g_main_ctx.program_name);
        fflush(stdout);
    }
    hmain_daemon_ready();
}

void hv__main_forget_in_child(void) {
    has_promised_start = false;
    g_main_ctx.pid = getpid();
    hv__pidfile_forget();
    hv__daemon_forget();
}
