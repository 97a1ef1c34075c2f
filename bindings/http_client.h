/* http_client.h - what the files of the binding of HTTP clients share: calls as Lua objects,
 * and what a proxy is. */
#ifndef HVL_HTTP_CLIENT_H_
#define HVL_HTTP_CLIENT_H_

#include "bind.h"
#include "hhttp_client.h"

/* Bytes that grow; plain memory of the runtime. */
typedef struct http_bytes_s {
    char *data;
    size_t len;
    size_t cap;
} http_bytes_t;

typedef struct http_call_s {
    hvl_object_t object;
    hhttp_call_t *call; /* retained */
    hvl_waiter_t reader;
    hvl_waiter_t writer;
    http_bytes_t body; /* collected; or the piece that lies here, as it came */
    size_t taken;      /* of `body`, where it is a piece */
    const char *words; /* of an error of ours; NULL: those of the call */
    int error;
    int body_ref;  /* the request's body, or LUA_NOREF */
    uint8_t wants; /* WANTS_* of http_call.c */
    uint8_t collects;
    uint8_t has_head;
    uint8_t is_ready;
    uint8_t is_done;
} http_call_t;

/* Makes the object of a call, without the call, on the stack. */
http_call_t *hvl_http_call_new(lua_State *L, hvl_t *rt);
/* Has the callbacks of a call that is about to start tell its object. */
void hvl_http_call_listen(http_call_t *self, hhttp_call_options_t *options);
/* Reads the field `proxy` of the table at `index`: { kind, host, port, user, password }, all
 * checked. Its strings are the table's. Returns whether there is one. */
int hvl_http_read_proxy(lua_State *L, int index, hhttp_proxy_t *proxy);
/* Registers the class. */
void hvl_http_call_open(lua_State *L, hvl_t *rt);

#endif
