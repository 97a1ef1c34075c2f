/* serve.c - the server options of the hvlua program: configuration, pid file, background, a master
 * whose workers each run the script.
 *
 * Nothing here knows a Lua state, but for the check of -t: the master forks before there is one, so
 * every worker, also after a reload, begins with the files as they are then. */
#include "server.h"

#include <sys/stat.h>

#include "hbase.h"
#include "hdict.h"
#include "hlog.h"
#include "hmain.h"
#include "hmaster.h"

#define GRACE_MS_MAX    (24 * 3600 * 1000)
#define DRAIN_MARGIN_MS 5000 /* how much longer than the script's own grace the master waits */

static const option_t options[] = {
    {'c', "confile", REQUIRED_ARGUMENT, "Set configure file, default etc/{script}.conf"},
    {'t', "test-config", NO_ARGUMENT, "Test configure file and script, and exit"},
    {'s', "signal", REQUIRED_ARGUMENT,
     "Send <signal> to process,\n<signal>=[start,stop,restart,status,reload]"},
    {'d', "daemon", NO_ARGUMENT, "Daemonize"},
    {'p', "port", REQUIRED_ARGUMENT, "Set the port of listen() without one"},
    {'w', "workers", REQUIRED_ARGUMENT, "Set the number of worker processes, or auto"},
    {0, "watch", NO_ARGUMENT, "Reload when the script or a file it requires changes"},
    {0, "pidfile", REQUIRED_ARGUMENT, "Set pid file, default logs/{script}.pid"},
    {0, "log", REQUIRED_ARGUMENT, "Set log file, default stderr, with -d logs/{script}.log"},
};

enum { CONFILE, TEST, SIGNAL, DAEMON, PORT, WORKERS, WATCH, PIDFILE, LOG, OPTION_COUNT };
_Static_assert(ARRAY_SIZE(options) == OPTION_COUNT, "one name for each option");

static struct {
    int argc;
    char **argv;
    const char *values[OPTION_COUNT]; /* NULL: not given */
    const char *script;
    char name[MAX_PATH]; /* the script's, without folder and suffix */
    char confile[MAX_PATH];
    char pidfile[MAX_PATH];
    char logfile[MAX_PATH];
    hini_t *config;
    int workers; /* -1: nobody has said */
} server;

const char *hvl_serve_usage(void) {
    static char text[2048];
    dump_opt_long(options, OPTION_COUNT, text, sizeof text);
    return text;
}

static int complain(const char *format, ...) HV_PRINTF_LIKE(1, 2);
static int complain(const char *format, ...) {
    va_list args;
    va_start(args, format);
    fputs("hvlua: ", stderr);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);
    return -1;
}

/* ---- The command line ---- */

/* The option that an argument begins, -1 for none. *value is what stands in the same argument. */
static int find_option(const char *argument, const char **value) {
    *value = NULL;
    for (int i = 0; i < OPTION_COUNT; i++) {
        const option_t *option = &options[i];
        if (option->short_opt != 0 && argument[1] == option->short_opt) {
            if (argument[2] != '\0') *value = argument + 2;
            return i;
        }
        size_t len = strlen(option->long_opt);
        if (argument[1] != '-' || strncmp(argument + 2, option->long_opt, len) != 0) continue;
        const char *rest = argument + 2 + len;
        if (*rest == '=') *value = rest + 1;
        if (*rest == '=' || *rest == '\0') return i;
    }
    return -1;
}

/* Takes the option at argv[*i]. Returns 1, 0 where it is none of ours, -1 after a line on
 * stderr. */
static int take_option(int *i, char *taken) {
    const char *value;
    int found = find_option(server.argv[*i], &value);
    if (found < 0) return 0;
    taken[*i] = 1;
    int takes_value = options[found].arg_type == REQUIRED_ARGUMENT;
    if (takes_value && value == NULL) {
        if (*i + 1 >= server.argc) return complain("option %s needs a value", server.argv[*i]);
        *i += 1;
        taken[*i] = 1;
        value = server.argv[*i];
    }
    if (!takes_value && value != NULL) return complain("unknown option %s", server.argv[*i]);
    server.values[found] = takes_value ? value : "1";
    return 1;
}

/* Returns how many options are ours, or -1. The script is the first argument that is no option. */
static int read_options(char *taken) {
    int count = 0;
    for (int i = 1; i < server.argc; i++) {
        const char *argument = server.argv[i];
        if (argument[0] != '-' || argument[1] == '\0') {
            server.script = argument;
            break;
        }
        if (strcmp(argument, "--test") == 0) break; /* the rest is busted's */
        if (strcmp(argument, "--") == 0) {
            if (i + 1 < server.argc) server.script = server.argv[i + 1];
            break;
        }
        int result = take_option(&i, taken);
        if (result < 0) return -1;
        count += result;
        int takes_next = result == 0 && argument[2] == '\0' &&
                         (argument[1] == 'e' || argument[1] == 'l');
        if (takes_next) i++;
    }
    return count;
}

static int parse_number(const char *what, const char *text, int min, int max, int *number) {
    char *end;
    errno = 0;
    long value = strtol(text, &end, 10);
    if (errno != 0 || end == text || *end != '\0' || value < min || value > max) {
        return complain("%s must be %d..%d, got %s", what, min, max, text);
    }
    *number = (int)value;
    return 0;
}

static int parse_workers(const char *text) {
    if (strcmp(text, "auto") == 0) {
        long count = sysconf(_SC_NPROCESSORS_ONLN);
        server.workers = count < 1 ? 1 : count < HMASTER_WORKERS_MAX ? (int)count
                                                                     : HMASTER_WORKERS_MAX;
        return 0;
    }
    return parse_number("workers", text, 1, HMASTER_WORKERS_MAX, &server.workers);
}

/* ---- Paths and configuration ---- */

static void name_after_script(void) {
    const char *base = server.script != NULL ? hv_basename(server.script) : "hvlua";
    snprintf(server.name, sizeof server.name, "%s", *base != '\0' && *base != '-' ? base : "hvlua");
    size_t len = strlen(server.name);
    if (len > 4 && strcmp(server.name + len - 4, ".lua") == 0) server.name[len - 4] = '\0';
}

/* Writes the path that an option or the configuration gives; otherwise logs/{name}.{suffix}. */
static void choose_path(char *path, int option, const char *key, const char *suffix) {
    const char *chosen = server.values[option];
    if (chosen == NULL && server.config != NULL) chosen = hini_get(server.config, NULL, key);
    if (chosen != NULL) {
        snprintf(path, MAX_PATH, "%s", chosen);
    } else {
        snprintf(path, MAX_PATH, "logs/%.200s.%s", server.name, suffix);
    }
}

/* What the configuration says, where the command line says nothing. Returns 0 or -1. */
static int read_config(hini_t *config) {
    int64_t port = -1;
    uint64_t grace_ms = 10000;
    hini_get_int(config, NULL, "port", 0, 65535, &port);
    hini_get_time(config, NULL, "grace", &grace_ms);
    if (hini_error(config)[0] != '\0') return complain("%s", hini_error(config));
    if (grace_ms > GRACE_MS_MAX) grace_ms = GRACE_MS_MAX;
    if (server.values[PORT] == NULL) hvl_server_facts.port = (int)port;
    hvl_server_facts.grace_ms = (uint32_t)grace_ms;
    hvl_server_facts.config = config;
    return 0;
}

/* Puts the file's newest content in force; where it is bad what was in force stays. */
static int load_config(void) {
    if (server.confile[0] == '\0') return 0;
    char error[HINI_ERROR_BYTES];
    hini_t *config = hini_load(server.confile, error, sizeof error);
    if (config == NULL) return complain("%s", error);
    if (read_config(config) != 0) {
        hini_free(config);
        return -1;
    }
    hini_free(server.config);
    server.config = config;
    return 0;
}

static int choose_confile(void) {
    char standard[MAX_PATH + 16];
    snprintf(standard, sizeof standard, "etc/%s.conf", server.name);
    const char *chosen = server.values[CONFILE];
    if (chosen == NULL && access(standard, R_OK) == 0) chosen = standard;
    if (chosen != NULL && strlen(chosen) >= sizeof server.confile) {
        return complain("the path of the configuration is too long");
    }
    if (chosen != NULL) memcpy(server.confile, chosen, strlen(chosen) + 1);
    hvl_server_facts.confile = server.confile[0] != '\0' ? server.confile : NULL;
    return 0;
}

/* ---- Steps ---- */

static int test_script(void) {
    if (server.script == NULL) return 0;
    lua_State *L = luaL_newstate();
    if (L == NULL) return complain("not enough memory");
    int code = luaL_loadfile(L, strcmp(server.script, "-") != 0 ? server.script : NULL);
    if (code != 0) complain("%s", lua_tostring(L, -1));
    lua_close(L);
    return code == 0 ? 0 : -1;
}

static int test(void) {
    if (test_script() != 0) return 1;
    if (server.confile[0] != '\0') printf("Test confile [%s] OK!\n", server.confile);
    if (server.script != NULL) printf("Test script [%s] OK!\n", server.script);
    return 0;
}

static void set_up_log(void) {
    const char *level = server.config != NULL ? hini_get(server.config, NULL, "loglevel") : NULL;
    const char *path = server.logfile;
    int is_asked = server.values[LOG] != NULL || server.values[DAEMON] != NULL ||
                   (server.config != NULL && hini_get(server.config, NULL, "logfile") != NULL);
    hvl_log_set_up(is_asked ? path : NULL, level);
}

/* Makes the paths absolute where they are not: the pid file is looked for again at the end. */
static int enter_program(void) {
    if (main_ctx_init(server.argc, server.argv) != 0) return complain("the paths are too long");
    memcpy(g_main_ctx.program_name, server.name, sizeof g_main_ctx.program_name);
    memcpy(g_main_ctx.confile, server.confile, sizeof g_main_ctx.confile);
    memcpy(g_main_ctx.pidfile, server.pidfile, sizeof g_main_ctx.pidfile);
    memcpy(g_main_ctx.logfile, server.logfile, sizeof g_main_ctx.logfile);
    return 0;
}

static int needs_master(void) {
    static const int askers[] = {SIGNAL, DAEMON, WORKERS, WATCH, PIDFILE};
    for (size_t i = 0; i < ARRAY_SIZE(askers); i++) {
        if (server.values[askers[i]] != NULL) return 1;
    }
    return server.workers > 0;
}

/* Reads all options and files. Returns 0, or -1 after a line on stderr. */
static int prepare(void) {
    name_after_script();
    const char *processes = server.values[WORKERS];
    if (server.values[PORT] != NULL &&
        parse_number("port", server.values[PORT], 0, 65535, &hvl_server_facts.port) != 0) {
        return -1;
    }
    if (choose_confile() != 0 || load_config() != 0) return -1;
    if (processes == NULL && server.config != NULL) {
        processes = hini_get(server.config, NULL, "worker_processes");
    }
    if (processes != NULL && parse_workers(processes) != 0) return -1;
    choose_path(server.pidfile, PIDFILE, "pidfile", "pid");
    choose_path(server.logfile, LOG, "logfile", "log");
    return 0;
}

static int begin_master(void) {
    const char *signal = server.values[SIGNAL];
    if (enter_program() != 0) return 1;
    signal_init(NULL, NULL);
    if (signal != NULL) signal_handle(signal); /* comes back for start and restart */
    if (server.script == NULL) {
        complain("a server needs a script");
        return 1;
    }
    if (server.values[DAEMON] != NULL && hmain_daemon() != 0) return 1;
    set_up_log(); /* create_pidfile logs */
    if (create_pidfile() != 0) return 1;
    return 0;
}

int hvl_serve_begin(int argc, char **argv, int *status) {
    server.argc = argc;
    server.argv = argv;
    server.workers = -1;
    *status = 1;
    char *taken = hv_zalloc((size_t)argc + 1); /* lives as long as the program */
    if (taken == NULL) return HVL_SERVE_DONE;
    hvl_server_facts.taken = taken;
    int count = read_options(taken);
    if (count == 0) return HVL_SERVE_NOT;
    if (count < 0 || prepare() != 0) return HVL_SERVE_DONE;
    hvl_server_facts.is_server = 1;
    hvl_server_facts.is_watching = server.values[WATCH] != NULL;
    if (server.values[TEST] != NULL) {
        *status = test();
        return HVL_SERVE_DONE;
    }
    int with_master = needs_master();
    if (with_master) return begin_master() != 0 ? HVL_SERVE_DONE : HVL_SERVE_MASTER;
    set_up_log();
    return HVL_SERVE_HERE;
}

/* ---- The master ---- */

static void work(hworker_t *worker, void *userdata) {
    (void)worker;
    int (*const *run_script)(int argc, char **argv) = userdata;
    exit((*run_script)(server.argc, server.argv));
}

static int on_reload(hmaster_t *master, void *userdata) {
    (void)master;
    (void)userdata;
    return load_config();
}

int hvl_serve_run(int (*run_script)(int argc, char **argv)) {
    hvl_server_facts.worker_count = server.workers > 0 ? server.workers : 1;
    hmaster_options_t master_options = {
        .workers = hvl_server_facts.worker_count,
        .work = work,
        .userdata = &run_script,
        .on_reload = on_reload,
        .drain_timeout_ms = hvl_server_facts.grace_ms + DRAIN_MARGIN_MS,
    };
    hmaster_t *master = hmaster_new(&master_options);
    if (master == NULL) {
        complain("cannot make a master: %s", herr_text(errno));
        return 1;
    }
    hdict_pool(); /* before the first fork, so that all workers find the same dictionaries in it */
    int code = hmaster_run(master);
    hmaster_free(&master);
    hini_free(server.config);
    main_ctx_free();
    return code == 0 ? 0 : 1;
}
