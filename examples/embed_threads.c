/* embed_threads.c - a runtime a thread: each has its loop, its state and its memory limit, and they
 * share nothing but what C gives them.
 *
 *     embed_threads [THREADS]     1..64, 4 where none is given
 */
#include <pthread.h>
#include <stdatomic.h>

#include "hv/hloop.h"
#include "hv/hvlua.h"

#define THREADS_MAX 64

static const char script[] =
    "local hv = require 'hv'\n"
    "for i = 1, 10 do\n"
    "  hv.sleep(1)\n"
    "  add(number)\n"
    "end\n"
    "if number == 1 then error('only the runtime of thread 1 fails') end\n"
    "return ('thread %d is done'):format(number)\n";

static atomic_int total;

/* add(n): the one thing that the runtimes share, so C makes it safe. */
static int add(lua_State *L) {
    int number = 0;
    if (hvlua_get(hvlua_self(L), "number", "i", &number) == 0) atomic_fetch_add(&total, number);
    return 0;
}

static void on_done(hvlua_t *lua, const hvlua_outcome_t *outcome, void *userdata) {
    const char *text = outcome->message;
    (void)userdata;
    if (outcome->code == 0) hvlua_results(lua, outcome, "s", &text);
    printf("%s\n", text);
}

static void *run_thread(void *arg) {
    hvlua_t *lua = hvlua_new(NULL, 8 << 20);
    if (lua == NULL) return NULL;
    hvlua_set(lua, "number", "i", *(int *)arg);
    hvlua_register(lua, "add", add, NULL);
    hvlua_run_string(lua, script, sizeof script - 1, "=script", on_done, NULL);
    hloop_run(hvlua_loop(lua));
    hvlua_free(&lua);
    return NULL;
}

int main(int argc, char **argv) {
    int count = argc > 1 ? atoi(argv[1]) : 4;
    if (argc > 2 || count < 1 || count > THREADS_MAX) {
        fprintf(stderr, "Usage: embed_threads [THREADS]   (1..%d)\n", THREADS_MAX);
        return 2;
    }
    pthread_t threads[THREADS_MAX];
    int numbers[THREADS_MAX];
    int started = 0;
    for (; started < count; started++) {
        numbers[started] = started + 1;
        if (pthread_create(&threads[started], NULL, run_thread, &numbers[started]) != 0) break;
    }
    for (int i = 0; i < started; i++) pthread_join(threads[i], NULL);
    printf("total %d\n", total);
    return 0;
}
