/* interrupt.c - Ctrl-C for a task: what runs is stopped by an error, what waits is cancelled.
 *
 * An aim is a task that may be interrupted at any moment by another thread: the line editor's, or
 * one that waits here for SIGINT or for a byte from whoever is attached to this process. While Lua
 * runs, the loop's thread looks at nothing, so it is sent a signal, whose handler sets a hook; and
 * compiled code, which knows no hooks, is made to end (profile.c). The hook raises the error. A
 * task that waits is cancelled by an event that is posted at the same time.
 *
 * The hook looks whether the task that it is meant for is the one that runs. So what else happens
 * in the loop is not hit, but where the aim takes anything (the prompt of this very process): when
 * the loop has not answered after a while, whatever holds it up is interrupted. */
#include "interrupt.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/eventfd.h>

#include "conn.h"

#define POKE      SIGURG /* which is ignored otherwise */
#define ANSWER_MS 300    /* after which the loop counts as held up */
#define INSISTENT 3      /* from so many interrupts of one task on, nobody may catch the error */
#define TEXT      "interrupted"

struct hvl_aim_s {
    hvl_object_t object;
    _Atomic(hvl_task_t *) task; /* NULL: there is nothing to interrupt */
    atomic_int fired;           /* how often, since the task was taken */
    atomic_int is_pending;      /* fired, and nothing has come of it yet */
    int takes_any;
    int is_open;
    int has_watcher;
    pthread_t watcher;
    int source_fd; /* what the watcher reads */
    int stop_fd;
    sem_t answer;    /* the loop has seen it */
    hvl_aim_t *next; /* of those that are open */
};

const hvl_class_t hvl_aim_class = {"hv.aim"};

/* Of the one state that has aims: the first that makes one. */
static struct {
    hvl_t *rt;
    pthread_t thread;
    _Atomic(hvl_task_t *) victim; /* or &anybody */
    atomic_int insists;
    hvl_aim_t *open_aims;
    atomic_int sigint_fd; /* -1: SIGINT is nobody's */
} the = {.sigint_fd = -1};

static hvl_task_t anybody;

/* ---- On the loop's thread ---- */

/* Our own code is not torn apart; the first of the user's is hit. Who insists hits on until the
 * task has ended, so no pcall helps. */
static void on_hook(lua_State *L, lua_Debug *at) {
    hvl_task_t *victim = the.victim;
    hvl_task_t *current = the.rt->current;
    if (victim == NULL || current == NULL || (victim != current && victim != &anybody)) {
        lua_sethook(L, NULL, 0, 0);
        return;
    }
    lua_getinfo(L, "S", at);
    if (victim != &anybody && hvl_is_ours(at)) return;
    if (!the.insists) {
        the.victim = NULL;
        lua_sethook(L, NULL, 0, 0);
    }
    luaL_error(L, TEXT);
}

/* In the middle of anything: lua_sethook is as safe here as in the stand-alone interpreters. */
static void on_poke(int signo) {
    (void)signo;
    int saved = errno;
    hvl_task_t *victim = the.victim;
    hvl_task_t *current = the.rt != NULL ? the.rt->current : NULL;
    if (current != NULL && (victim == current || victim == &anybody)) {
        lua_sethook(the.rt->L, on_hook, LUA_MASKCOUNT, 1);
        hvl_leave_trace();
    }
    errno = saved;
}

/* Posted by each interrupt. Where the task runs, this comes only after it, and means nothing. */
static void on_fired(hevent_t *ev) {
    hvl_aim_t *aim = hevent_userdata(ev);
    hvl_task_t *task = aim->task;
    sem_post(&aim->answer);
    if (task != NULL && atomic_exchange(&aim->is_pending, 0)) hvl_task_cancel(task);
}

/* ---- On other threads ---- */

static void poke(hvl_task_t *victim, int insists) {
    the.victim = victim;
    the.insists = insists;
    pthread_kill(the.thread, POKE);
}

/* Returns whether the loop has answered in time. */
static int is_answered(hvl_aim_t *aim) {
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_nsec += ANSWER_MS * 1000000L;
    until.tv_sec += until.tv_nsec / 1000000000L;
    until.tv_nsec %= 1000000000L;
    int result;
    do {
        result = sem_timedwait(&aim->answer, &until);
    } while (result != 0 && errno == EINTR);
    return result == 0;
}

void hvl_aim_fire(hvl_aim_t *aim) {
    hvl_task_t *task = aim->task;
    while (sem_trywait(&aim->answer) == 0)
        continue;
    aim->is_pending = 1;
    if (task != NULL) {
        int count = atomic_fetch_add(&aim->fired, 1) + 1;
        poke(task, count >= INSISTENT);
    }
    hevent_t ev = {.cb = on_fired, .userdata = aim};
    if (hloop_post_event(the.rt->loop, &ev) != 0 || !aim->takes_any) return;
    if (is_answered(aim)) return;
    poke(&anybody, 0);
    if (is_answered(aim)) return;
    fprintf(stderr, "hvlua: a function of C does not return, and cannot be interrupted; kill %d "
                    "ends it all\n",
            (int)getpid());
}

static void on_sigint(int signo) {
    (void)signo;
    int saved = errno;
    uint64_t one = 1;
    int fd = the.sigint_fd;
    if (fd >= 0 && write(fd, &one, sizeof one) < 0) errno = saved;
    errno = saved;
}

/* Each byte that comes is an interrupt, until the source or the aim is closed. */
static void *watch_source(void *data) {
    hvl_aim_t *aim = data;
    sigset_t interrupt;
    sigemptyset(&interrupt);
    sigaddset(&interrupt, SIGINT); /* a script may have it blocked where it began */
    if (aim->source_fd == the.sigint_fd) pthread_sigmask(SIG_UNBLOCK, &interrupt, NULL);
    struct pollfd fds[2] = {{aim->stop_fd, POLLIN, 0}, {aim->source_fd, POLLIN, 0}};
    char bytes[64];
    for (;;) {
        if (poll(fds, 2, -1) < 0 && errno != EINTR) break;
        if (fds[0].revents != 0) break;
        if (fds[1].revents == 0) continue;
        ssize_t count = read(aim->source_fd, bytes, sizeof bytes);
        if (count > 0) {
            hvl_aim_fire(aim);
        } else if (count == 0 || (errno != EINTR && errno != EAGAIN)) {
            break;
        }
    }
    return NULL;
}

/* ---- For Lua ---- */

/* aim([takes_any]) -> aim, or nil, message, code. */
static int aim_new(lua_State *L) {
    hvl_t *rt = hvl_self(L);
    if (the.rt != NULL && the.rt != rt) return hvl_push_error(L, "interrupt", HV_EBUSY);
    int takes_any = lua_toboolean(L, 1);
    hvl_aim_t *aim = hvl_object_new(L, rt, &hvl_aim_class, sizeof *aim);
    aim->source_fd = -1;
    aim->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (aim->stop_fd < 0) return hvl_push_error(L, "interrupt", -errno);
    sem_init(&aim->answer, 0, 0);
    aim->takes_any = takes_any;
    aim->is_open = 1;
    if (the.rt == NULL) {
        struct sigaction action = {.sa_handler = on_poke, .sa_flags = SA_RESTART};
        the.rt = rt;
        the.thread = pthread_self();
        sigaction(POKE, &action, NULL);
    }
    aim->next = the.open_aims;
    the.open_aims = aim;
    hvl_check_traces(rt);
    hvl_anchor(L, -1);
    return 1;
}

/* aim:take(): the running task is what is interrupted, until aim:release(). */
static int aim_take(lua_State *L) {
    hvl_aim_t *aim = hvl_check(L, 1, &hvl_aim_class);
    hvl_check_traces_again(aim->object.rt);
    aim->fired = 0;
    aim->is_pending = 0;
    aim->task = aim->object.rt->current;
    return 0;
}

/* aim:release() -> whether it was fired meanwhile. A hook that is still to come finds no victim. */
static int aim_release(lua_State *L) {
    hvl_aim_t *aim = hvl_check(L, 1, &hvl_aim_class);
    aim->task = NULL;
    the.victim = NULL;
    lua_pushboolean(L, aim->fired > 0);
    aim->is_pending = 0;
    return 1;
}

static int start_watcher(lua_State *L, hvl_aim_t *aim) {
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &before);
    int code = pthread_create(&aim->watcher, NULL, watch_source, aim);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (code != 0) return hvl_push_error(L, "interrupt", -code);
    aim->has_watcher = 1;
    lua_pushboolean(L, 1);
    return 1;
}

/* aim:watch([conn]): each byte of the connection, which is given up to it, is an interrupt; without
 * one, each SIGINT is. */
static int aim_watch(lua_State *L) {
    hvl_aim_t *aim = hvl_check(L, 1, &hvl_aim_class);
    if (!aim->is_open || aim->has_watcher) return hvl_push_error(L, "interrupt", HV_EBUSY);
    if (lua_isnoneornil(L, 2)) {
        struct sigaction action = {.sa_handler = on_sigint, .sa_flags = SA_RESTART};
        aim->source_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        if (aim->source_fd < 0) return hvl_push_error(L, "interrupt", -errno);
        the.sigint_fd = aim->source_fd;
        sigaction(SIGINT, &action, NULL);
    } else {
        hvl_conn_t *conn = hvl_check(L, 2, &hvl_conn_class);
        if (conn->io == NULL) return hvl_push_error(L, "interrupt", HV_ECLOSED);
        hio_read_stop(conn->io);
        aim->source_fd = fcntl(hio_fd(conn->io), F_DUPFD_CLOEXEC, 3);
        if (aim->source_fd < 0) return hvl_push_error(L, "interrupt", -errno);
    }
    return start_watcher(L, aim);
}

static void close_aim(hvl_aim_t *aim) {
    if (!aim->is_open) return;
    aim->is_open = 0;
    aim->task = NULL;
    for (hvl_aim_t **link = &the.open_aims; *link != NULL; link = &(*link)->next) {
        if (*link != aim) continue;
        *link = aim->next;
        break;
    }
    if (aim->has_watcher) {
        uint64_t one = 1;
        while (write(aim->stop_fd, &one, sizeof one) < 0 && errno == EINTR)
            continue;
        pthread_join(aim->watcher, NULL);
    }
    if (aim->source_fd >= 0 && aim->source_fd == the.sigint_fd) {
        signal(SIGINT, SIG_DFL);
        the.sigint_fd = -1;
    }
    if (aim->source_fd >= 0) close(aim->source_fd);
    close(aim->stop_fd);
    hvl_uncheck_traces(aim->object.rt);
}

void hvl_close_aims(hvl_t *rt) {
    if (the.rt != rt) return;
    while (the.open_aims != NULL)
        close_aim(the.open_aims);
}

/* Behind every event that was posted for it. */
static void on_closed(hevent_t *ev) {
    hvl_unanchor(hevent_userdata(ev));
}

static int aim_close(lua_State *L) {
    hvl_aim_t *aim = hvl_check(L, 1, &hvl_aim_class);
    int was_open = aim->is_open;
    close_aim(aim);
    if (!was_open || aim->object.rt->loop == NULL) return 0;
    hevent_t ev = {.cb = on_closed, .userdata = aim};
    hloop_post_event(aim->object.rt->loop, &ev); /* without memory it stays: no harm */
    return 0;
}

static int aim_gc(lua_State *L) {
    hvl_aim_t *aim = hvl_check(L, 1, &hvl_aim_class);
    close_aim(aim);
    if (the.rt == aim->object.rt && aim->object.rt->loop == NULL) the.rt = NULL;
    return 0;
}

int hvl_open_interrupt(lua_State *L) {
    static const luaL_Reg functions[] = {{"aim", aim_new}, {NULL, NULL}};
    static const luaL_Reg methods[] = {{"take", aim_take},
                                       {"release", aim_release},
                                       {"watch", aim_watch},
                                       {"close", aim_close},
                                       {NULL, NULL}};
    static const luaL_Reg metamethods[] = {{"__gc", aim_gc}, {NULL, NULL}};
    hvl_t *rt = hvl_self(L);
    lua_newtable(L);
    hvl_setfuncs(L, rt, functions);
    hvl_class_new(L, rt, &hvl_aim_class, methods, metamethods);
    lua_pop(L, 1);
    return 1;
}
