/* log.c - hv.log: lines to the library's default logger. The Lua side formats; a line that the
 * level drops is not formatted at all, which is why the level is asked for first. */
#include "bind.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdio_ext.h>

#include "hlog.h"

static int current_level = LOG_LEVEL_INFO;
static atomic_int is_set_up; /* by the program or a script; nothing is then done by default */
static int has_file;  /* that the program has named */

static const char *const level_names[] = {"verbose", "debug", "info",  "warn",
                                          "error",   "fatal", "silent", NULL};

/* ---- For the program ---- */

static int level_of(const char *name) {
    for (int i = 0; level_names[i] != NULL; i++) {
        if (strcasecmp(level_names[i], name) == 0) return i;
    }
    return -1;
}

void hvl_log_set_up(const char *path, const char *level) {
    logger_t *logger = hv_default_logger();
    int found = level != NULL ? level_of(level) : -1;
    is_set_up = 1;
    if (found >= 0) current_level = found;
    logger_set_level(logger, current_level);
    has_file = path != NULL && logger_set_file(logger, path) == 0;
    logger_set_handler(logger, has_file ? file_logger : stderr_logger);
}

void hvl_flush_output(hloop_t *loop) {
    (void)loop;
    /* What could not leave is tried again after the next pass. */
    if (__fpending(stdout) > 0 && fflush(stdout) != 0) clearerr(stdout);
}

void hvl_complain(const char *format, ...) {
    va_list args;
    char text[8192];
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    fflush(stdout);
    if (has_file) {
        logger_print(hv_default_logger(), LOG_LEVEL_ERROR, "hvlua: %s", text);
    }
    /* Also where there is a file: a daemon's first words are for who starts it, later ones go
     * nowhere. */
    fprintf(stderr, "hvlua: %s\n", text);
}

/* Until somebody says where lines go, they go to stderr. */
static void set_default(void) {
    if (atomic_exchange(&is_set_up, 1)) return; /* also where workers come at once */
    logger_set_handler(hv_default_logger(), stderr_logger);
    logger_set_level(hv_default_logger(), current_level);
}

void hvl_warn(const char *format, ...) {
    va_list args;
    char text[512];
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    set_default();
    logger_print(hv_default_logger(), LOG_LEVEL_WARN, "%s", text);
}

/* ---- For scripts ---- */

/* write(level, text) */
static int write_line(lua_State *L) {
    int level = (int)luaL_checkinteger(L, 1);
    logger_print(hv_default_logger(), level, "%s", luaL_checkstring(L, 2));
    return 0;
}

/* is_on(level) */
static int is_on(lua_State *L) {
    lua_pushboolean(L, luaL_checkinteger(L, 1) >= current_level);
    return 1;
}

/* level([name]) -> name of the level that was set before */
static int level(lua_State *L) {
    int before = current_level;
    if (!lua_isnoneornil(L, 1)) {
        int found = lua_type(L, 1) == LUA_TSTRING ? level_of(lua_tostring(L, 1)) : -1;
        if (found < 0) {
            return hvl_misuse(L, "hv.log.level: \"debug\", \"info\", \"warn\", \"error\" or "
                                 "\"silent\" expected, got %s",
                              lua_isstring(L, 1) ? lua_tostring(L, 1) : luaL_typename(L, 1));
        }
        current_level = found;
        logger_set_level(hv_default_logger(), found);
    }
    lua_pushstring(L, level_names[before]);
    return 1;
}

/* file([path]): lines go to a rotated file, or to stderr again. */
static int file(lua_State *L) {
    if (lua_isnoneornil(L, 1)) {
        logger_set_handler(hv_default_logger(), stderr_logger);
        lua_pushboolean(L, 1);
        return 1;
    }
    if (lua_type(L, 1) != LUA_TSTRING) {
        return hvl_misuse(L, "hv.log.file: path expected, got %s", luaL_typename(L, 1));
    }
    int code = logger_set_file(hv_default_logger(), lua_tostring(L, 1));
    if (code != 0) return hvl_push_error(L, "hv.log.file", code);
    logger_set_handler(hv_default_logger(), file_logger);
    lua_pushboolean(L, 1);
    return 1;
}

int hvl_open_log(lua_State *L) {
    static const luaL_Reg functions[] = {
        {"write", write_line}, {"is_on", is_on}, {"level", level}, {"file", file}, {NULL, NULL}};
    set_default();
    lua_newtable(L);
    hvl_setfuncs(L, hvl_self(L), functions);
    return 1;
}
