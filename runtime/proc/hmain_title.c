/* hmain_title.c - what ps(1) shows. The kernel reads it from the memory where it once put the
 * arguments, and the environment right behind them. The first title copies both away and points
 * argv and environ to the copies; hv__main_free_title puts everything back.
 *
 *     argv[0]\0 argv[1]\0 ... environ[0]\0 environ[1]\0 ...
 *     title, then NULs up to the end */
#include "hproc_int.h"

#include "hmem.h"

#include <stdarg.h>

extern char **environ;

static struct {
    char *area; /* NULL: nothing was moved */
    size_t size;
    char *saved; /* the area as it was */
    char **environment; /* ours, pointing into `saved`, or to what lies elsewhere */
    char **environment_before;
    int argc;
} title;

/* The end of the run of strings that starts at `area`: whatever else has been put into argv or
 * environ does not count. */
static char *end_of_area(char *area) {
    char *end = area;
    for (int i = 0; i < g_main_ctx.argc && g_main_ctx.argv[i] != NULL; i++) {
        if (g_main_ctx.argv[i] == end) end += strlen(end) + 1;
    }
    for (char **entry = environ; entry != NULL && *entry != NULL; entry++) {
        if (*entry == end) end += strlen(end) + 1;
    }
    return end;
}

static bool is_in(const char *text, const char *area, size_t size) {
    return text >= area && text < area + size;
}

static int move_away(void) {
    char *area = g_main_ctx.argv[0];
    size_t size = (size_t)(end_of_area(area) - area);
    size_t count = 0;
    while (environ != NULL && environ[count] != NULL) count++;
    char **environment = hv__calloc(count + 1, sizeof(*environment));
    char *saved = hv__malloc(size);
    if (environment == NULL || saved == NULL) {
        hv__free(environment);
        hv__free(saved);
        return HV_ENOMEM;
    }
    memcpy(saved, area, size);
    for (size_t i = 0; i < count; i++) {
        char *entry = environ[i];
        environment[i] = is_in(entry, area, size) ? saved + (entry - area) : entry;
    }
    for (int i = 0; i < g_main_ctx.argc; i++) {
        char *text = g_main_ctx.argv[i];
        if (is_in(text, area, size)) g_main_ctx.argv[i] = saved + (text - area);
    }
    title.environment_before = environ;
    environ = title.environment = environment;
    title.area = area;
    title.size = size;
    title.saved = saved;
    title.argc = g_main_ctx.argc;
    return 0;
}

void setproctitle(const char *format, ...) {
    if (g_main_ctx.argc < 1) return;
    if (title.area == NULL && move_away() != 0) return;
    va_list arguments;
    va_start(arguments, format);
    int len = vsnprintf(title.area, title.size, format, arguments);
    va_end(arguments);
    size_t used = len < 0 ? 0 : (size_t)len;
    if (used >= title.size) used = title.size - 1;
    memset(title.area + used, 0, title.size - used);
}

void hv__main_free_title(void) {
    if (title.area == NULL) return;
    memcpy(title.area, title.saved, title.size);
    for (int i = 0; i < title.argc; i++) {
        char *text = g_main_ctx.argv[i];
        if (!is_in(text, title.saved, title.size)) continue;
        g_main_ctx.argv[i] = title.area + (text - title.saved);
    }
    title.area = NULL;
    /* setenv(3) may have made a table of its own since, with pointers to our copies in it: then
     * they must stay. */
    if (environ != title.environment) return;
    environ = title.environment_before;
    hv__free(title.environment);
    hv__free(title.saved);
}
