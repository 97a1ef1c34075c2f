/* ws.h - what the files of the WebSocket binding share: endpoints with the functions of the user's,
 * and the objects of sockets.
 *
 * The functions of an endpoint lie in its environment table, so the collector sees cycles through
 * it; while sockets of it are open, a reference holds that table, and the table the endpoint. */
#ifndef HVL_WS_H_
#define HVL_WS_H_

#include "bind.h"
#include "hws.h"

/* Keys of an endpoint's environment table. */
enum {
    WS_FN_TASK = 1, WS_FN_OPEN, WS_FN_MESSAGE, WS_FN_CLOSE, WS_FN_DRAIN, WS_FN_PONG, WS_FN_COUNT,
    WS_SELF = WS_FN_COUNT, WS_HUB,
};

/* What all endpoints of a state share. */
typedef struct ws_shared_s {
    int kind_refs[3]; /* "text" and "binary", by hws_kind_e */
    int driver_ref;   /* the function of lua/hv/ws.lua that runs on_message for several messages */
    hvl_leaf_text_t message;
} ws_shared_t;

typedef struct ws_endpoint_s {
    hvl_object_t object;
    hws_endpoint_t *endpoint;
    int env_ref;     /* the environment table while sockets are open, else LUA_NOREF */
    int message_ref; /* and on_message, which is called most */
    uint32_t open;   /* sockets */
    ws_shared_t *shared;
    uint8_t has[WS_FN_COUNT];
} ws_endpoint_t;

typedef struct ws_socket_s {
    hvl_object_t object;
    hws_t *ws; /* NULL from on_close on */
    ws_endpoint_t *endpoint;
    hvl_waiter_t reader; /* of receive(), or of connect() */
    hvl_waiter_t writer;
    int error;
    uint16_t close_code;
    uint16_t busy;     /* tasks that run a function for it; it stays anchored for them */
    uint8_t has_data;  /* its environment table is its own: 1 data, 2 the request, 3 the reason */
    uint8_t is_opened;
    uint8_t is_closed_here;
    uint8_t is_eventful; /* on_message reads it */
} ws_socket_t;

extern const hvl_class_t hvl_ws_class;
/* The functions of every endpoint. */
extern const hws_handlers_t hvl_ws_handlers;

/* Makes the object of a socket, anchored, on the stack. `env_index`: the endpoint's. */
ws_socket_t *hvl_ws_new(lua_State *L, ws_endpoint_t *endpoint, int endpoint_index, hws_t *ws);
/* Keeps a value for the socket's own table. Pops it. */
void hvl_ws_keep(lua_State *L, ws_socket_t *socket, int key);
/* Registers the class and leaves its methods, metatable and field function in the table on top. */
void hvl_ws_open_objects(lua_State *L, hvl_t *rt);
/* After on_message or on_open: the next message may come. */
void hvl_ws_on_event_finished(hvl_task_t *task, int status);
/* Pushes nil, why the socket at `index` has ended, and a code: ECLOSED in good order. Returns 3. */
int hvl_ws_push_end(lua_State *L, int index);

/* ---- ws_message.c ---- */

ws_shared_t *hvl_ws_new_shared(lua_State *L);
/* Leaves what lua/hv/ws.lua needs for messages in the table on top. */
void hvl_ws_open_messages(lua_State *L, hvl_t *rt, ws_shared_t *shared);
void hvl_ws_on_message(hws_t *ws, hws_kind_e kind, const void *data, size_t len);
/* send(data[, kind]): true at once, or after the queue has fallen below the mark. */
int hvl_ws_send(lua_State *L);
/* receive([timeout]) -> data, kind; or nil, reason, code */
int hvl_ws_receive(lua_State *L);
/* "text" or "binary" at an index, text for nil; raises for anything else. */
hws_kind_e hvl_ws_check_kind(lua_State *L, int index, const char *where);
/* A string, or a number, at index 2; raises for anything else. */
const char *hvl_ws_check_data(lua_State *L, const char *where, size_t *len);

#endif
