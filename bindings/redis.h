/* redis.h - what the files of `_hv.redis` share: bytes that grow, commands out of Lua values, and
 * replies into Lua values. */
#ifndef HVL_REDIS_H_
#define HVL_REDIS_H_

#include "bind.h"
#include "hbase.h"
#include "hresp.h"

/* ---- Bytes that grow (redis_write.c); a zeroed one is empty ---- */

typedef struct hvl_bytes_s {
    char *base;
    size_t start; /* consumed at the front */
    size_t end;
    size_t cap;
} hvl_bytes_t;

/* Makes room for `extra` bytes at base + end. Returns 0 or HV_ENOMEM. */
int hvl_bytes_reserve(hvl_bytes_t *bytes, size_t extra);
int hvl_bytes_append(hvl_bytes_t *bytes, const void *data, size_t len);
/* Frees them. */
void hvl_bytes_deinit(hvl_bytes_t *bytes);

/* ---- Commands (redis_write.c) ---- */

/* Appends the command whose name and arguments lie at `first` and above: strings, numbers, 64-bit
 * integers, and tables of them (a list gives its items, any other table its keys and values).
 * Raises misuse where something else is among them; then nothing is appended.
 * Returns 0 or HV_ENOMEM. */
int hvl_redis_write(lua_State *L, int first, hvl_bytes_t *out);

/* set_integer_text(fn): `fn` gives the digits of a 64-bit integer, and nil for any other cdata; it
 * runs no code of the user's. */
int hvl_redis_set_integer_text(lua_State *L);

/* Commands that are written together. */
typedef struct hvl_pipe_s {
    hvl_object_t object;
    hvl_bytes_t out;
    size_t whole; /* bytes of `out` that are whole commands: one may have failed half-way */
    uint32_t count;
} hvl_pipe_t;

extern const hvl_class_t hvl_pipe_class;

/* ---- Links (redis_link.h) ---- */

/* link(on_push, on_drain, on_lost, error_meta, to_integer, bulk_bytes, reply_bytes, depth,
 * messages) */
int hvl_redis_link_new(lua_State *L);
/* Registers the class; its methods go into the table on top of the stack. */
void hvl_redis_link_open(lua_State *L, hvl_t *rt);

/* ---- Replies (redis_reply.c) ---- */

typedef struct hvl_reply_s {
    lua_State *stack; /* a thread whose stack holds the tables that are not complete */
    int stack_ref;
    int error_meta_ref; /* the metatable of errors inside of replies */
    int integer_ref;    /* makes a 64-bit integer of two halves */
    uint32_t level_count;
    struct hvl_reply_level_s {
        int next;        /* index of the next item */
        uint8_t type;    /* hresp_type_e */
        uint8_t has_key; /* of a map: a key waits for its value on the stack */
    } levels[HRESP_DEPTH_MAX];
} hvl_reply_t;

void hvl_reply_init(lua_State *L, hvl_reply_t *reply);
void hvl_reply_deinit(hvl_t *rt, hvl_reply_t *reply);
/* Forgets what is not complete. */
void hvl_reply_reset(hvl_reply_t *reply);
/* Puts a token where it belongs. Where it was the last of a reply, the value is left on top of
 * reply->stack, alone; see hresp_is_done. */
void hvl_reply_add(hvl_reply_t *reply, const hresp_token_t *token);
/* Whether the value on top of the stack is an error. */
int hvl_reply_is_error(const hvl_reply_t *reply);

#endif
