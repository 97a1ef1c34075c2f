/* tool.h - what the command line examples share: ports, targets, and an end by Ctrl-C. */
#ifndef EXAMPLES_TOOL_H_
#define EXAMPLES_TOOL_H_

#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <unistd.h>

#include "hv/hloop.h"
#include "hv/hsocket.h"

/* Prints what is wrong and ends: 2 for a bad command line, 1 for what failed. */
static inline void die(int status, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
    exit(status);
}

/* A number of `what` from min to max, or the end. */
static inline int parse_number(const char *text, const char *what, int min, int max) {
    char *end;
    long number = strtol(text, &end, 10);
    if (*text == '\0' || *end != '\0' || number < min || number > max) {
        die(2, "%s must be %d..%d, got \"%s\"", what, min, max, text);
    }
    return (int)number;
}

/* Cuts "port", "host:port" or "[v6]:port" in place. The host is `fallback` where none is given. */
static inline int parse_target(char *text, const char *fallback, const char **host) {
    char *colon = strrchr(text, ':');
    *host = fallback;
    if (colon == NULL) return parse_number(text, "port", 0, 65535);
    *colon = '\0';
    if (text[0] == '[' && colon[-1] == ']') {
        colon[-1] = '\0';
        text++;
    }
    if (*text != '\0') *host = text;
    return parse_number(colon + 1, "port", 0, 65535);
}

static inline void on_stop_signal(hsignal_t *sig) { hloop_stop(hevent_loop(sig)); }

/* Where the caller has closed standard input or output (`<&-`), a socket would get its number. */
static inline void fill_standard_streams(void) {
    int fd;
    do {
        fd = open("/dev/null", O_RDWR);
    } while (fd >= 0 && fd <= STDERR_FILENO);
    if (fd >= 0) close(fd);
}

/* A loop that ends cleanly by Ctrl-C and by kill. */
static inline hloop_t *new_tool_loop(void) {
    fill_standard_streams();
    hloop_t *loop = hloop_new(0);
    if (loop == NULL) die(1, "no loop: %s", strerror(errno));
    hsignal_add(loop, on_stop_signal, SIGINT);
    hsignal_add(loop, on_stop_signal, SIGTERM);
    return loop;
}

/* "listening on 127.0.0.1:8080", also where port 0 let the system choose. */
static inline void print_listening(FILE *out, hio_t *io) {
    char text[SOCKADDR_STRLEN];
    fprintf(out, "listening on %s\n", SOCKADDR_STR(hio_localaddr(io), text));
    fflush(out);
}

#endif
