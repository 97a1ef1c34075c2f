/* hmain_test.c - a complete command-line program: options, configuration, log, pid file, signals,
 * background, and worker processes that are started again when they crash.
 *
 *     cc hmain_test.c -o hmain_test -lhv
 *     ./hmain_test -h
 *     ./hmain_test -c etc/hmain_test.conf -t
 *     ./hmain_test -s restart -d        ./hmain_test -s status        ./hmain_test -s stop
 *
 * The configuration, all of it optional:
 *
 *     loglevel = DEBUG
 *     worker_processes = auto       ; or a number
 *     worker_threads = 2
 *     port = 1234
 */
#include "hv/hini.h"
#include "hv/hlog.h"
#include "hv/hmain.h"
#include "hv/hthread.h"
#include "hv/htime.h"
#include "hv/hversion.h"

static const option_t options[] = {
    {'h', "help", NO_ARGUMENT, "Print this information"},
    {'v', "version", NO_ARGUMENT, "Print version"},
    {'c', "confile", REQUIRED_ARGUMENT, "Set configure file, default etc/{program}.conf"},
    {'t', "test", NO_ARGUMENT, "Test configure file and exit"},
    {'s', "signal", REQUIRED_ARGUMENT,
     "Send <signal> to process,\n<signal>=[start,stop,restart,status,reload]"},
    {'d', "daemon", NO_ARGUMENT, "Daemonize"},
    {'p', "port", REQUIRED_ARGUMENT, "Set listen port"},
};
static const int option_count = sizeof(options) / sizeof(options[0]);

static int64_t port;

static void print_help(void) {
    char letters[64], lines[2048];
    dump_opt_short(options, option_count, letters, sizeof(letters));
    dump_opt_long(options, option_count, lines, sizeof(lines));
    printf("Usage: %s [%s]\nOptions:\n\n%s", g_main_ctx.program_name, letters, lines);
}

static void print_version(void) {
    printf("%s version %s\n", g_main_ctx.program_name, hv_compile_version());
}

/* Returns 0, or -1 with a line on stderr. */
static int read_workers(hini_t *ini) {
    const char *processes = hini_get(ini, NULL, "worker_processes");
    int64_t threads = 1, count = DEFAULT_WORKER_PROCESSES;
    if (processes != NULL && strcmp(processes, "auto") == 0) {
        count = sysconf(_SC_NPROCESSORS_ONLN);
        hlogd("worker_processes=ncpu=%d", (int)count);
    } else {
        hini_get_int(ini, NULL, "worker_processes", 0, MAXNUM_WORKER_PROCESSES, &count);
    }
    hini_get_int(ini, NULL, "worker_threads", 0, 64, &threads);
    hini_get_int(ini, NULL, "port", 1, 65535, &port);
    hini_check_unread(ini);
    if (hini_error(ini)[0] != '\0') {
        fprintf(stderr, "%s\n", hini_error(ini));
        return -1;
    }
    g_main_ctx.worker_processes = (int)count;
    g_main_ctx.worker_threads = (int)threads;
    return 0;
}

static int parse_confile(const char *path) {
    char error[HINI_ERROR_BYTES];
    hini_t *ini = hini_load(path, error, sizeof(error));
    if (ini == NULL) {
        fprintf(stderr, "%s\n", error);
        return -1;
    }
    hlog_set_file(g_main_ctx.logfile);
    const char *level = hini_get(ini, NULL, "loglevel");
    if (level != NULL) hlog_set_level_by_str(level);
    hlogi("%s version: %s", g_main_ctx.program_name, hv_compile_version());
    int code = read_workers(ini);
    if (code == 0) hlogi("parse_confile('%s') OK", path);
    hini_free(ini);
    return code;
}

static void on_reload(void *userdata) {
    (void)userdata;
    hlogi("reload confile [%s]", g_main_ctx.confile);
    parse_confile(g_main_ctx.confile);
}

static void worker_fn(void *userdata) {
    (void)userdata;
    while (1) {
        printf("port=%ld pid=%ld tid=%ld\n", (long)port, hv_getpid(), hv_gettid());
        hv_delay(60000);
    }
}

int main(int argc, char **argv) {
    if (main_ctx_init(argc, argv) != 0) return 1;
    if (parse_opt_long(argc, argv, options, option_count) != 0) {
        print_help();
        return 2;
    }
    if (get_arg("h") != NULL) {
        print_help();
        return 0;
    }
    if (get_arg("v") != NULL) {
        print_version();
        return 0;
    }

    const char *confile = get_arg("c");
    if (confile != NULL) snprintf(g_main_ctx.confile, sizeof(g_main_ctx.confile), "%s", confile);
    if (parse_confile(g_main_ctx.confile) != 0) return 1;
    if (get_arg("t") != NULL) {
        printf("Test confile [%s] OK!\n", g_main_ctx.confile);
        return 0;
    }
    if (get_arg("p") != NULL) port = atoi(get_arg("p"));

    signal_init(on_reload, NULL);
    if (get_arg("s") != NULL) signal_handle(get_arg("s"));
    if (get_arg("d") != NULL && hmain_daemon() != 0) return 1;
    if (create_pidfile() != 0) return 1;

    int code = master_workers_run(worker_fn, NULL, g_main_ctx.worker_processes,
                                  g_main_ctx.worker_threads, true);
    main_ctx_free();
    return code == 0 ? 0 : 1;
}
