/* httpd_workers.c - an HTTP server of a master and workers: it can be reloaded without a failed
 * request, a crash of one worker concerns nobody else, a stop answers what was asked.
 *
 *     cc httpd_workers.c -o httpd_workers -lhv
 *     ./httpd_workers -c etc/httpd_workers.conf -t
 *     ./httpd_workers -c etc/httpd_workers.conf -s start -d
 *     ./httpd_workers -c etc/httpd_workers.conf -s reload
 *     ./httpd_workers -s stop
 *
 * The configuration, all of it optional:
 *
 *     loglevel = INFO
 *     port = 8080
 *     worker_processes = auto       ; or a number
 *     message = hello               ; what GET / answers
 *
 * GET / answers the message, GET /worker the process and its generation, GET /slow/:ms after that
 * many milliseconds. */
#include "hv/hhttp.h"
#include "hv/hini.h"
#include "hv/hlog.h"
#include "hv/hmain.h"
#include "hv/hmaster.h"
#include "hv/hversion.h"

enum { SLOW_MS_MAX = 60000, GRACE_MS = 20000 };

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

/* Read by the master before it starts workers, so every worker has the newest. */
static struct {
    int64_t port;
    int64_t workers; /* 0: one for each processor */
    char message[256];
} config;

/* ---- The configuration ---- */

/* Returns 0, or -1 with a line on stderr; what was in force then stays. */
static int parse_confile(const char *path) {
    char error[HINI_ERROR_BYTES];
    hini_t *ini = hini_load(path, error, sizeof(error));
    if (ini == NULL) {
        fprintf(stderr, "%s\n", error);
        return -1;
    }
    int64_t port = 8080, workers = 0;
    const char *processes = hini_get(ini, NULL, "worker_processes");
    const char *message = hini_get(ini, NULL, "message");
    const char *level = hini_get(ini, NULL, "loglevel");
    if (processes != NULL && strcmp(processes, "auto") != 0) {
        hini_get_int(ini, NULL, "worker_processes", 1, HMASTER_WORKERS_MAX, &workers);
    }
    hini_get_int(ini, NULL, "port", 0, 65535, &port);
    hini_check_unread(ini);
    int code = hini_error(ini)[0] == '\0' ? 0 : -1;
    if (code != 0) {
        fprintf(stderr, "%s\n", hini_error(ini));
        hloge("%s", hini_error(ini));
    } else {
        config.port = port;
        config.workers = workers;
        snprintf(config.message, sizeof(config.message), "%s\n",
                 message != NULL ? message : "hello");
        if (level != NULL) hlog_set_level_by_str(level);
    }
    hini_free(ini);
    return code;
}

/* ---- A worker ---- */

enum { ROUTE_MESSAGE, ROUTE_WORKER, ROUTE_SLOW };

static hhttp_router_t *router;
static hhttp_server_t *server;

static void answer_late(htimer_t *timer) {
    hhttp_request_t *req = hevent_userdata(timer);
    hhttp_respond(req, 200, "text/plain", "late\n", 5);
    hhttp_request_release(req);
}

static void answer_slowly(hhttp_request_t *req, hhttp_slice_t value) {
    char text[16];
    snprintf(text, sizeof(text), "%.*s", (int)value.len, value.data);
    int ms = atoi(text);
    bool is_good = ms > 0 && ms <= SLOW_MS_MAX;
    hloop_t *loop = hevent_loop(hhttp_request_io(req));
    htimer_t *timer = is_good ? htimer_add(loop, answer_late, (uint32_t)ms, 1) : NULL;
    if (timer == NULL) {
        hhttp_respond(req, 400, "text/plain", "bad time\n", 9);
        return;
    }
    hhttp_request_retain(req);
    hevent_set_userdata(timer, req);
}

static void on_request(hhttp_request_t *req, void *userdata) {
    (void)userdata;
    hhttp_route_match_t match;
    hhttp_slice_t path = hhttp_request_path(req);
    if (hhttp_router_match(router, hhttp_request_method(req), path.data, path.len, &match) != 0) {
        int status = match.allow_mask != 0 ? 405 : 404;
        hhttp_respond(req, status, "text/plain", "no\n", 3);
    } else if (match.route == ROUTE_SLOW) {
        answer_slowly(req, match.params[0].value);
    } else if (match.route == ROUTE_WORKER) {
        char text[64];
        int len = snprintf(text, sizeof(text), "%ld %d\n", (long)getpid(),
                           hworker_generation(hworker_self()));
        hhttp_respond(req, 200, "text/plain", text, (size_t)len);
    } else {
        hhttp_respond(req, 200, "text/plain", config.message, strlen(config.message));
    }
}

static void on_server_closed(hhttp_server_t *closed, void *userdata) {
    (void)closed;
    hloop_stop(userdata);
}

static void on_drain(hworker_t *worker, hloop_t *loop, void *userdata) {
    (void)worker;
    (void)userdata;
    hhttp_server_drain(server, GRACE_MS, on_server_closed, loop);
}

static void add_route(const char *pattern, uint32_t route) {
    if (hhttp_router_add(router, HHTTP_GET, pattern, strlen(pattern), route) != 0) exit(1);
}

static void work(hworker_t *worker, void *userdata) {
    (void)userdata;
    hloop_t *loop = hloop_new(0);
    router = hhttp_router_new();
    server = loop != NULL ? hhttp_server_new(loop, NULL) : NULL;
    if (router == NULL || server == NULL) exit(1);
    add_route("/", ROUTE_MESSAGE);
    add_route("/worker", ROUTE_WORKER);
    add_route("/slow/:ms", ROUTE_SLOW);
    hhttp_server_on_request(server, on_request, NULL);
    if (hhttp_server_listen_fd(server, hworker_listen_fd(worker, 0)) == NULL ||
        hworker_attach(worker, loop, on_drain, NULL) != 0) {
        hloge("worker cannot serve: %s", herr_text(hloop_last_error(loop)));
        exit(1);
    }
    hworker_ready(worker);
    hloop_run(loop);
    hworker_detach(worker, loop);
    hloop_free(&loop);
    hhttp_router_free(router);
}

/* ---- The master ---- */

static int on_reload(hmaster_t *master, void *userdata) {
    (void)master;
    (void)userdata;
    return parse_confile(g_main_ctx.confile);
}

static int run(void) {
    hmaster_options_t master_options = {
        .workers = (int)config.workers,
        .work = work,
        .on_reload = on_reload,
    };
    hmaster_t *master = hmaster_new(&master_options);
    if (master == NULL) return 1;
    int listener = hmaster_listen(master, "", (int)config.port);
    if (listener < 0) {
        fprintf(stderr, "%s: cannot listen on port %d: %s\n", g_main_ctx.program_name,
                (int)config.port, herr_text(listener));
        hmaster_free(&master);
        return 1;
    }
    printf("listening on *:%d\n", hmaster_port(master, listener));
    fflush(stdout);
    int code = hmaster_run(master);
    hmaster_free(&master);
    return code == 0 ? 0 : 1;
}

static void print_help(void) {
    char letters[64], lines[2048];
    dump_opt_short(options, option_count, letters, sizeof(letters));
    dump_opt_long(options, option_count, lines, sizeof(lines));
    printf("Usage: %s [%s]\nOptions:\n\n%s", g_main_ctx.program_name, letters, lines);
}

/* What ends the program before it serves: returns its exit status, or -1 to go on. */
static int do_first(void) {
    if (get_arg("h") != NULL) {
        print_help();
        return 0;
    }
    if (get_arg("v") != NULL) {
        printf("%s version %s\n", g_main_ctx.program_name, hv_compile_version());
        return 0;
    }
    const char *confile = get_arg("c");
    if (confile != NULL) snprintf(g_main_ctx.confile, sizeof(g_main_ctx.confile), "%s", confile);
    hlog_set_file(g_main_ctx.logfile);
    const char *signal = get_arg("s");
    bool starts = signal == NULL || strcmp(signal, "start") == 0 || strcmp(signal, "restart") == 0;
    if (!starts) signal_handle(signal); /* does not return */
    if (parse_confile(g_main_ctx.confile) != 0) return 1;
    if (get_arg("t") != NULL) {
        printf("Test confile [%s] OK!\n", g_main_ctx.confile);
        return 0;
    }
    if (get_arg("p") != NULL) config.port = atoi(get_arg("p"));
    return -1;
}

int main(int argc, char **argv) {
    if (main_ctx_init(argc, argv) != 0) return 1;
    if (parse_opt_long(argc, argv, options, option_count) != 0) {
        print_help();
        return 2;
    }
    int status = do_first();
    if (status >= 0) return status;
    signal_init(NULL, NULL);
    if (get_arg("s") != NULL) signal_handle(get_arg("s"));
    if (get_arg("d") != NULL && hmain_daemon() != 0) return 1;
    if (create_pidfile() != 0) return 1;
    status = run();
    main_ctx_free();
    return status;
}
