/* http.h - what the files of the HTTP binding share: routers, servers and exchanges.
 *
 * An exchange is one request with its answer, from on_request to the end of the handler's task. The
 * structs are pooled and live as long as the state, so an object that Lua keeps longer finds out by
 * the generation that its exchange is over. */
#ifndef HVL_HTTP_H_
#define HVL_HTTP_H_

#include "bind.h"
#include "hhttp.h"
#include "hhttp_client.h"
#include "hsocket.h"

extern const hvl_class_t hvl_http_router_class;

#define HTTP_HEADERS_MAX 128 /* of one answer */

/* Keys of the table of handlers; routes have the numbers from 1. */
enum {
    HANDLER_FALLBACK = 0,
    HANDLER_ERROR = -1,
    HANDLER_DELIVER = -2,
    HANDLER_PAGE = -3,
    HANDLER_OBSERVER = -4,
    HANDLER_HOSTS = -16, /* and down from it: the routers of hosts */
};

typedef struct http_files_s http_files_t;

/* How a handler is called; its function lies in the router's environment table. */
typedef struct http_entry_s {
    uint8_t arg_count; /* 0 none, 1 the request, 2 the request and the response */
    uint8_t is_chain;  /* middleware may ask for the exchange of the running task */
    http_files_t *files; /* answered in C from there, without a task; or NULL */
} http_entry_t;

typedef struct http_router_s http_router_t;

typedef struct http_host_s {
    char *name; /* in lower case; "*.example.com": every name below it */
    size_t len;
    http_router_t *router; /* which the environment table keeps */
} http_host_t;

struct http_router_s {
    hvl_object_t object;
    hhttp_router_t *routes;
    http_entry_t *entries; /* by number; the first is the fallback */
    uint32_t entry_count;
    int has_fallback;
    int has_error_handler;
    int has_page;
    int has_observer; /* app:on_response's function */
    http_host_t *hosts;
    uint32_t host_count;
    uint32_t holders; /* open servers that answer by it */
    int handlers_ref; /* its environment table, while there are any */
};

typedef struct http_exchange_s http_exchange_t;

typedef struct http_server_s {
    hvl_object_t object;
    hhttp_server_t *http;
    hio_t *listener; /* NULL once closing */
    http_router_t *router; /* held until it is closed */
    struct http_pool_s *pool;
    http_exchange_t *active;
    uint32_t last_number;
} http_server_t;

struct http_exchange_s {
    http_exchange_t *next; /* free, or active */
    http_exchange_t *prev;
    hhttp_request_t *req; /* retained; NULL while free */
    http_server_t *server;
    const http_router_t *router; /* of the host that was asked */
    hvl_waiter_t reader; /* of the body */
    hvl_waiter_t writer; /* for room in the queue */
    int64_t content_length; /* of an answer in pieces; -1: not known */
    uint32_t generation;
    uint32_t index;  /* in the pool: its place in the table of anchors */
    uint32_t number; /* req.id */
    int status;      /* of the answer to come */
    int miss;        /* 0, or what files have not given: 404, 403 */
    int headers_ref; /* its hv.http.headers, or LUA_NOREF */
    int piece_ref;   /* a piece of the body that nobody waited for any more, or LUA_NOREF */
    uint8_t awaits_piece; /* hhttp_request_read_body will call back */
    uint8_t is_anchored;
    uint8_t has_failed; /* app:on_error's function runs */
    uint8_t has_page;   /* app:error_page's does */
    uint8_t has_trailers; /* the table of headers has some */
    uint8_t is_ending;  /* app:on_response's function runs, or has run */
    uint64_t began_us;  /* 0: there is no such function, and the next three are not set */
    double duration_ms; /* once is_ending */
    uint8_t is_tls;
    union {
        struct sockaddr sa;
        struct sockaddr_in6 sin6;
    } peer; /* AF_UNSPEC: not known, or a unix socket's */
};

typedef struct http_pool_s {
    http_exchange_t *free;
    uint32_t count;
    int anchors_ref; /* index * 3 + 1: request, 2: response, 3: the handler's result */
    int json_ref;    /* the module hv.json, or LUA_NOREF */
    hvl_leaf_text_t text;
} http_pool_t;

/* A request or a response as Lua holds it. */
typedef struct http_message_s {
    hvl_object_t object;
    http_exchange_t *exchange;
    uint32_t generation;   /* of the exchange that it is of */
    uint8_t has_own_table; /* its environment is a table of its own */
    uint8_t is_overlaid;   /* and the user has stored something there */
} http_message_t;

/* The exchange of a message, or NULL where it is over. */
static inline http_exchange_t *hvl_http_exchange_of(const http_message_t *message) {
    http_exchange_t *exchange = message->exchange;
    return exchange->generation == message->generation ? exchange : NULL;
}

/* What is known of a message without asking. */
enum {
    FACT_METHOD = 1, FACT_PATH, FACT_TARGET, FACT_HOST, FACT_QUERY_STRING, /* texts of a request */
    FACT_VERSION, FACT_SCHEME, FACT_ID, FACT_QUERY, FACT_PARAMS, FACT_HEADERS, FACT_PEER,
    FACT_STATUS, FACT_OVER, FACT_BYTES, FACT_DURATION, FACT_COMPLETE,
};

/* ---- http.c ---- */

/* Gets every request of a server, which is `userdata`. */
void hvl_http_on_request(hhttp_request_t *req, void *userdata);
/* Lets the request go. What Lua still holds of the exchange is over from now on. */
void hvl_http_exchange_free(http_exchange_t *exchange);
/* The pool of the state. */
http_pool_t *hvl_http_pool(lua_State *L);
/* Begins a task for the same exchange: a handler of the router's, its arguments the `nargs` values
 * on top of L, the request and the response. Returns 0 where there is none. */
int hvl_http_continue_with(lua_State *L, http_exchange_t *exchange, int handler, int nargs);
/* Pushes what is kept for an exchange that is_anchored: see http_pool_s. */
void hvl_http_push_anchor(lua_State *L, const http_exchange_t *exchange, int which);

/* The number at an index as a status; 0 where it is none of 200..599. */
static inline int hvl_http_status_at(lua_State *L, int index) {
    lua_Number status = lua_type(L, index) == LUA_TNUMBER ? lua_tonumber(L, index) : 0;
    return status >= 200 && status < 600 ? (int)status : 0;
}

/* Adds a field to the flat list on top, { name, value, ... }, as its items `i` and `i` + 1. */
static inline void hvl_http_add_field(lua_State *L, int i, const hhttp_header_t *field) {
    lua_pushlstring(L, field->name.data, field->name.len);
    lua_rawseti(L, -2, i);
    lua_pushlstring(L, field->value.len > 0 ? field->value.data : "", field->value.len);
    lua_rawseti(L, -2, i + 1);
}

/* ---- http_result.c ---- */

/* The handler has ended: its results are all of L, or its error, with nothing to be pushed there,
 * on top of `co`. Returns whether the exchange goes on in another task. */
int hvl_http_returned(lua_State *L, http_exchange_t *exchange);
int hvl_http_failed(lua_State *co, http_exchange_t *exchange);
/* Answers with 500; an answer that has begun is cut off. */
void hvl_http_fail(lua_State *L, http_exchange_t *exchange);

/* ---- http_router.c ---- */

/* Adds what concerns routers to the table on top of the stack. */
void hvl_http_open_routers(lua_State *L, hvl_t *rt);
/* Keeps the handlers of the router at a stack index, and of its hosts, for one server more. */
void hvl_http_router_hold(lua_State *L, int index);
void hvl_http_router_release(http_router_t *router);
/* The router for the host of a request: an exact name before the longest "*.name", else
 * `router`. */
const http_router_t *hvl_http_router_of_host(const http_router_t *router,
                                             const hhttp_request_t *req);

/* ---- http_server.c ---- */

/* Adds what concerns servers to the table on top of the stack. */
void hvl_http_open_servers(lua_State *L, hvl_t *rt);
/* Forgets a server that is closed and has no exchange any more. */
void hvl_http_let_go_if_done(http_server_t *server);

/* ---- http_message.c ---- */

/* Adds what concerns requests and responses to the table on top of the stack. */
void hvl_http_open_messages(lua_State *L, hvl_t *rt);
/* Pushes a new object for the exchange's request or response. */
void hvl_http_push_request(lua_State *L, http_exchange_t *exchange);
void hvl_http_push_response(lua_State *L, http_exchange_t *exchange);
/* The exchange of a request at a stack index, or NULL where it is over; raises for other types. */
http_exchange_t *hvl_http_check_request(lua_State *L, int index);
/* The exchange of a response at a stack index, or NULL where it is over; raises for other types. */
http_exchange_t *hvl_http_check_response(lua_State *L, int index);
/* Wakes whoever waits for the body or for room, with an error. */
void hvl_http_wake_waiters(http_exchange_t *exchange, int code);
/* Collects the headers set so far, which are borrowed from what it leaves on the stack; room for
 * HTTP_HEADERS_MAX. Returns how many, or a negative code. */
int hvl_http_collect_headers(lua_State *L, http_exchange_t *exchange, hhttp_header_t *headers);
/* Answers in one piece with the status and headers set so far.
 *   type  Content-Type where the headers have none; or NULL
 * Returns as hhttp_respond_with. */
int hvl_http_respond(lua_State *L, http_exchange_t *exchange, const char *type, const char *body,
                     size_t len);

/* ---- http_trailers.c ---- */

/* Adds what concerns trailers to the table on top of the stack. */
void hvl_http_open_trailers(lua_State *L, hvl_t *rt);
/* Reads the flat list { name, value, ... } at `index`, which the trailers borrow; room for
 * HTTP_HEADERS_MAX. Returns how many, or a negative code. */
int hvl_http_read_trailers(lua_State *L, int index, hhttp_header_t *trailers);
/* Ends an answer in pieces, with its trailers. Returns as hhttp_response_end_with. */
int hvl_http_end(lua_State *L, http_exchange_t *exchange);
/* Answers as a whole, but so that trailers have a place. Returns as hhttp_response_begin. */
int hvl_http_respond_in_pieces(lua_State *L, http_exchange_t *exchange,
                               const hhttp_header_t *headers, size_t count, const void *body,
                               size_t len);

/* Gives a fact that is a text of the request's, borrowed; its data NULL: it has none. Returns 0 for
 * other facts. */
int hvl_http_text_fact(const hhttp_request_t *req, int fact, hhttp_slice_t *text);

/* ---- http_leaf.c ---- */

/* Adds what compiled Lua calls by itself to the table on top of the stack. */
void hvl_http_open_leaves(lua_State *L);

/* ---- http_body.c ---- */

/* Adds what concerns bodies to the table on top of the stack, which has request_methods. */
void hvl_http_open_body(lua_State *L, hvl_t *rt);

/* ---- http_files.c ---- */

/* Adds what concerns files to the table on top of the stack. */
void hvl_http_open_files(lua_State *L, hvl_t *rt);
http_files_t *hvl_http_check_files(lua_State *L, int index);
/* As hhttp_files_serve of the last name of the route; what is not there is left to the caller. */
int hvl_http_serve(http_files_t *files, hhttp_request_t *req, const hhttp_route_match_t *match,
                   void (*on_done)(hhttp_request_t *req, int error));

#endif
