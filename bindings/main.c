/* main.c - the hvlua program: a Lua state with the runtime, the embedded modules and lua-cjson;
 * what the command line asks for is done by lua/hv/host.lua in the main task, and the loop runs
 * until nothing is left to wait for.
 *
 * Exit status: hv.stop's; 1 where the main script failed or can never go on, and where the program
 * ends by itself after the error of a task that nobody but stderr was told of, or after a listen
 * that was refused and with nothing else to do; else 0. */
#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "hmaster.h"
#include "server.h"

/* The loop is known from here too, so that memory it owns counts as reachable when os.exit ends
 * the process in the middle of everything. */
static hloop_t *the_loop;

typedef struct program_s {
    int argc;
    char **argv;
    hvl_t *rt;
} program_t;

/* A worker whose script has come to its end is ready, but for one that was refused. */
static void on_main_finished(hvl_task_t *task, int status) {
    if (status != HVL_FINISHED || task->rt->exit_status != 0 || hvl_is_refused(task->rt)) return;
    if (hworker_self() != NULL) hworker_ready(hworker_self());
}

static void on_pass(hloop_t *loop) {
    hvl_flush_output(loop);
    hvl_forget_refusal(hloop_userdata(loop));
}

/* In protected mode: everything up to the main task. */
static int set_up(lua_State *L) {
    program_t *program = lua_touserdata(L, 1);
    program->rt = hvl_open_state(L, NULL);
    the_loop = program->rt->loop;
    lua_getglobal(L, "require");
    lua_pushliteral(L, "hv.host");
    lua_call(L, 1, 1);
    lua_createtable(L, program->argc, 1);
    for (int i = 0; i < program->argc; i++) {
        lua_pushstring(L, program->argv[i]);
        lua_rawseti(L, -2, i);
    }
    hvl_start_main(program->rt, 1);
    program->rt->main_task->on_finish = on_main_finished;
    hloop_setcb_pass(the_loop, on_pass);
    return 0;
}

static int run(program_t *program) {
    hvl_t *rt = program->rt;
    if (hloop_run(rt->loop) != 0) {
        fprintf(stderr, "hvlua: the loop failed: %s\n", herr_text(hloop_last_error(rt->loop)));
        return 1;
    }
    if (!rt->is_stopped && rt->main_task != NULL) {
        fprintf(stderr,
                "hvlua: the main script still waits, but nothing is left that could wake it\n");
        return 1;
    }
    if (!rt->is_stopped && (rt->has_failed || hvl_tell_refusal(rt))) return 1;
    return rt->exit_status;
}

static void on_drain(hworker_t *worker, hloop_t *loop, void *userdata) {
    (void)worker;
    (void)loop;
    hvl_drain(userdata);
}

/* Runs the loop; a worker is told there to finish. */
static int run_attached(program_t *program) {
    hworker_t *worker = hworker_self();
    hvl_t *rt = program->rt;
    if (worker == NULL) return run(program);
    int code = hworker_attach(worker, rt->loop, on_drain, rt);
    if (code != 0) {
        hvl_complain("a worker cannot listen to its master: %s", herr_text(code));
        return 1;
    }
    int status = run(program);
    hworker_detach(worker, rt->loop);
    return status;
}

/* The life of a Lua state. Returns the exit status. */
static int run_script(int argc, char **argv) {
    program_t program = {.argc = argc, .argv = argv};
    lua_State *L = luaL_newstate();
    if (L == NULL) {
        fprintf(stderr, "hvlua: not enough memory\n");
        return 1;
    }
    int status = 1;
    if (lua_cpcall(L, set_up, &program) != 0) {
        const char *message = lua_tostring(L, -1);
        fprintf(stderr, "hvlua: %s\n", message ? message : "cannot start");
    } else {
        luaL_checkstack(L, LUA_MINSTACK, "");
        status = run_attached(&program);
    }
    fflush(stdout);
    if (program.rt != NULL) hvl_end(program.rt);
    if (program.rt != NULL) hvl_close(program.rt);
    the_loop = NULL;
    lua_close(L);
    return status;
}

/* A server runs out of descriptors first. The soft limit is low for the sake of programs that use
 * select(2), which nothing here does; the hard limit is what the administrator allows. */
static void raise_descriptor_limit(void) {
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
}

/* Where the caller has closed standard input, output or error (`<&-`), the first sockets would get
 * their numbers, and what is printed would go to a peer. */
static void fill_standard_streams(void) {
    int fd;
    do {
        fd = open("/dev/null", O_RDWR);
    } while (fd >= 0 && fd <= STDERR_FILENO);
    if (fd >= 0) close(fd);
}

int main(int argc, char **argv) {
    int status;
    fill_standard_streams();
    raise_descriptor_limit();
    switch (hvl_serve_begin(argc, argv, &status)) {
    case HVL_SERVE_MASTER: return hvl_serve_run(run_script);
    case HVL_SERVE_DONE: return status;
    default: return run_script(argc, argv);
    }
}
