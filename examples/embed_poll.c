/* embed_poll.c - a runtime in a program whose loop is another's: here plain poll, in the same way a
 * GUI's. Three things are all that is needed:
 *
 *   - when hloop_backend_fd(loop) is readable, call hloop_process_events(loop, 0)
 *   - at the latest after hloop_next_timeout(loop) milliseconds (-1: any time), call it as well
 *   - ask hloop_next_timeout again after every such call and after calls of hvlua_*
 *
 * Qt:   a QSocketNotifier(fd, QSocketNotifier::Read) and a single-shot QTimer whose slots both call
 *       hloop_process_events and start the timer anew.
 * GLib: a GSource whose prepare returns hloop_next_timeout through *timeout, with
 *       g_source_add_unix_fd(source, fd, G_IO_IN), and whose dispatch calls hloop_process_events.
 *
 *     embed_poll [SCRIPT.lua]
 */
#include <errno.h>
#include <poll.h>

#include "hv/hloop.h"
#include "hv/hvlua.h"

static const char default_script[] =
    "local hv = require 'hv'\n"
    "local server = assert(hv.tcp.listen({ host = '127.0.0.1', port = 0 }, function(conn)\n"
    "  for line in conn:lines() do conn:write(line:upper() .. '\\n') end\n"
    "end))\n"
    "local conn = assert(hv.tcp.connect { host = '127.0.0.1', port = server:port() })\n"
    "for i = 1, 3 do\n"
    "  conn:write('line ' .. i .. '\\n')\n"
    "  print(conn:read_line())\n"
    "  hv.sleep(10)\n"
    "end\n"
    "server:close()\n";

static int is_done;

static void on_done(hvlua_t *lua, const hvlua_outcome_t *outcome, void *userdata) {
    (void)lua;
    (void)userdata;
    if (outcome->code != 0) printf("%s\n", outcome->traceback);
    is_done = 1;
}

int main(int argc, char **argv) {
    if (argc > 2 || (argc == 2 && argv[1][0] == '-')) {
        fprintf(stderr, "Usage: embed_poll [SCRIPT.lua]\n");
        return 2;
    }
    hvlua_t *lua = hvlua_new(NULL, 0);
    if (lua == NULL) {
        perror("hvlua_new");
        return 1;
    }
    int code = argc == 2 ? hvlua_run_file(lua, argv[1], on_done, NULL)
                         : hvlua_run_string(lua, default_script, sizeof default_script - 1,
                                            "=script", on_done, NULL);
    if (code != 0) {
        printf("%s\n", hvlua_traceback(lua));
        hvlua_free(&lua);
        return 1;
    }
    hloop_t *loop = hvlua_loop(lua);
    /* The program's own descriptors stand beside it. */
    struct pollfd watched[1] = {{.fd = hloop_backend_fd(loop), .events = POLLIN}};
    int rounds = 0;
    while (!is_done) {
        if (poll(watched, 1, hloop_next_timeout(loop)) < 0 && errno != EINTR) break;
        hloop_process_events(loop, 0);
        rounds++;
    }
    printf("done, %s\n", rounds > 3 ? "by poll" : "too fast");
    hvlua_free(&lua);
    return 0;
}
