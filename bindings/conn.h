/* conn.h - the stream object of hv.tcp (and of everything else that reads and writes a stream:
 * stdin, pipes), and its handlers. Its life is in conn.c, reading and writing in conn_io.c, what
 * can be asked and set in conn_facts.c; TLS and pipes have files of their own. */
#ifndef HVL_CONN_H_
#define HVL_CONN_H_

#include "handle.h"
#include "tls.h"

#define HVL_WRITE_BYTES_MAX (1 << 30) /* queued on one connection */

/* Options and functions of an event-style connection or of all connections of a server. Counted:
 * the server and each open connection hold it. */
typedef struct hvl_handlers_s {
    hvl_object_t object;
    int holders;
    int on_task; /* task style: the function that a connection's task runs */
    int on_open;
    int on_message;
    int on_drain;
    int on_close;
    int has_unpack;
    unpack_setting_t unpack;
    uint32_t read_timeout_ms; /* of one waiting read; 0: none */
    uint32_t write_timeout_ms;
    uint32_t idle_timeout_ms;
    uint32_t write_high;
    int is_delayed; /* no_delay = false */
} hvl_handlers_t;

typedef struct hvl_conn_s {
    HVL_HANDLE;
    hvl_handlers_t *handlers; /* held */
    void *owner;              /* a server, which counts its connections; or NULL */
    hvl_waiter_t writer;
    htimer_t *read_timer;
    uint64_t read_start_us; /* when the reader began to wait */
    uint32_t read_timeout_ms;
    int connect_text_ref; /* "connect host:port", for messages while it does; or LUA_NOREF */
    int unpack_ref;       /* its own setting, or LUA_NOREF */
    int heartbeat_ref;    /* or LUA_NOREF */
    int host_ref;         /* of a client: the name that start_tls verifies, or LUA_NOREF */
    struct hvl_pipe_s *pipe; /* conn:pipe() has it: nobody else reads or writes; or NULL */
    int error;            /* of hio_error, once it is closed */
    const char *tls_error; /* of hio_ssl_error, once it is closed; or NULL */
    uint8_t is_connecting;
    uint8_t is_client;
    uint8_t is_starting_tls; /* the reader waits for the handshake */
    uint8_t is_eof;
    uint8_t is_line;  /* the reader wants its line without the line end */
    uint8_t has_data; /* its environment table is its own */
    uint8_t is_loose; /* a pipe of a program that has ended: keeps the loop only while it is read */
    union {
        struct sockaddr sa;
        struct sockaddr_in in;
        struct sockaddr_in6 in6;
    } peer; /* a copy for after the close */
} hvl_conn_t;

extern const hvl_class_t hvl_conn_class;

/* Called when a connection of a server has closed. */
void hvl_server_lost(void *owner);

/* Makes the object of an io, anchored, on the stack. NULL is never returned; `handlers` is held. */
hvl_conn_t *hvl_conn_new(lua_State *L, hvl_t *rt, hio_t *io, hvl_handlers_t *handlers, void *owner);
/* Sets callbacks and options of a connected io, then runs on_task, or on_open and starts to
 * read. */
void hvl_conn_begin(hvl_conn_t *conn);

/* Closes behind what is queued; whoever waits gets ECLOSED. */
void hvl_conn_close(hvl_conn_t *conn);
/* hio's callback: the queue has drained. */
void hvl_conn_on_drain(hio_t *io);
/* hio's callback: somebody may read now. */
void hvl_conn_on_bytes(hio_t *io, void *buf, int len);
/* Goes on to watch a reader, whose timeout has changed. */
void hvl_conn_watch_reader(hvl_conn_t *conn);

/* The connection at index 1. */
static inline hvl_conn_t *hvl_conn_check(lua_State *L) { return hvl_check(L, 1, &hvl_conn_class); }
/* Why the connection has ended: 0 where we closed it ourselves. */
int hvl_conn_reason(const hvl_conn_t *conn);
/* Pushes nil, "<what>: <text>", "<name>", with the words of TLS where it is its failure; 3. */
int hvl_conn_push_error(lua_State *L, const hvl_conn_t *conn, const char *what, int code);

/* Methods of conn_io.c and conn_facts.c. */
extern const luaL_Reg hvl_conn_io_methods[];
extern const luaL_Reg hvl_conn_facts_methods[];
extern const luaL_Reg hvl_conn_metamethods[];
/* field(conn, key): what is no method. */
int hvl_conn_field(lua_State *L);
extern const hvl_class_t hvl_unpack_class;

/* conn_pipe.c: the io of a piped connection is closing */
int hvl_conn_pipe(lua_State *L);
void hvl_pipe_lost(hvl_conn_t *conn);
void hvl_pipe_open(lua_State *L, hvl_t *rt);

/* conn_tls.c */
int hvl_conn_start_tls(lua_State *L);
int hvl_conn_tls(lua_State *L);

/* Registers the classes and leaves {methods=, meta=, field=} on the stack. */
void hvl_conn_open(lua_State *L, hvl_t *rt);

/* ---- handlers.c ---- */

/* Reads the (already checked) options at a stack index and leaves the object on the stack, held by
 * nobody: hold it before anything else can fail. */
hvl_handlers_t *hvl_handlers_new(lua_State *L, hvl_t *rt, int index);
void hvl_handlers_hold(lua_State *L, int index);
void hvl_handlers_release(hvl_handlers_t *handlers);

/* Fills a setting from the (already checked) table at a stack index. Returns 0 or HV_EINVAL. */
int hvl_unpack_setting(lua_State *L, int index, unpack_setting_t *setting);
/* Registers the class. */
void hvl_handlers_open(lua_State *L, hvl_t *rt);

#endif
