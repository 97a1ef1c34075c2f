/* hvlua_int.h - the inside of a runtime that a program embeds: for hvlua.c and hvlua_values.c. */
#ifndef HVLUA_INT_H_
#define HVLUA_INT_H_

#include <stdarg.h>

#include "bind.h"
#include "hbase.h"
#include "hvlua.h"

/* A function whose end somebody wants to know. */
typedef struct pending_s {
    hvlua_t *lua;
    hvlua_done_cb on_done;
    void *userdata;
    struct pending_s *next;
    struct pending_s *prev;
} pending_t;

struct hvlua_s {
    hvl_t *rt;
    hvl_memory_t *memory;
    void *userdata;
    hvlua_error_cb on_error;
    void *on_error_userdata;
    char *message; /* of the last failure; NULL: none, or no memory for it */
    char *traceback;
    int has_failed;
    int kept_ref; /* the strings that the last call has given out */
    pending_t *pending;
};

/* Runs body(L) in protected mode with `data` as its argument, on the state that the caller's
 * thread of calls is in, under the memory limit. What it raises is kept for hvlua_error.
 * Returns what the body has left in *code, or HV_EFAILED, HV_ENOMEM. */
int hvl_embed_protect(hvlua_t *lua, lua_CFunction body, void *data, int *code);

/* Keeps words for hvlua_error. Returns `code`. */
int hvl_embed_fail(hvlua_t *lua, int code, const char *format, ...) HV_PRINTF_LIKE(3, 4);

/* Tells the end of a function, and forgets it. */
void hvl_embed_end(pending_t *pending, const hvlua_outcome_t *outcome);

/* Whether every letter is known. Behind '>' stand those of results, where `may_return`. */
int hvl_signature_is_good(const char *signature, int may_return);
/* Pushes the arguments up to '>' or the end. Returns their number. May raise: memory. */
int hvl_push_values(lua_State *L, const char **signature, va_list *args);
/* Stores the results index, index + 1 ... Returns 0, or HV_EPROTO with words kept. */
int hvl_read_values(hvlua_t *lua, lua_State *L, int index, const char *signature, va_list *args);
/* Pushes the value of a path "a.b.c" from the globals, without metamethods; nil where it leads
 * nowhere. Returns whether it leads through tables. */
int hvl_push_path(lua_State *L, const char *path);

#endif
