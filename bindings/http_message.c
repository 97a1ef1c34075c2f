/* http_message.c - requests and responses as Lua sees them.
 *
 * Both are small userdata that hold a pooled exchange and its generation; nothing is parsed before
 * it is asked for. Looking a name up goes: methods, then what the user (or a getter) has stored in
 * the object's own table, then getters. A getter that makes a table stores it, so it runs once;
 * strings are made anew, which is cheaper than keeping them.
 *
 * Once the exchange is over, facts are nil and methods return nil, message, "ECLOSED". */
#include "http.h"
#include "tls.h"

#include "hbase.h"

static const hvl_class_t request_class = {"hv.http.request"};
static const hvl_class_t response_class = {"hv.http.response"};

/* ---- Objects ---- */

static void push_message(lua_State *L, http_exchange_t *exchange, const hvl_class_t *class_) {
    hvl_t *rt = exchange->server->object.rt;
    http_message_t *message = hvl_object_new(L, rt, class_, sizeof *message);
    message->exchange = exchange;
    message->generation = exchange->generation;
}

void hvl_http_push_request(lua_State *L, http_exchange_t *exchange) {
    push_message(L, exchange, &request_class);
}

void hvl_http_push_response(lua_State *L, http_exchange_t *exchange) {
    push_message(L, exchange, &response_class);
}

http_exchange_t *hvl_http_check_request(lua_State *L, int index) {
    return hvl_http_exchange_of(hvl_check(L, index, &request_class));
}

http_exchange_t *hvl_http_check_response(lua_State *L, int index) {
    return hvl_http_exchange_of(hvl_check(L, index, &response_class));
}

static void push_slice(lua_State *L, hhttp_slice_t slice) {
    if (slice.data == NULL) {
        lua_pushnil(L);
    } else {
        lua_pushlstring(L, slice.data, slice.len);
    }
}

/* Pushes the message's own table, made where there is none. */
static void push_own_table(lua_State *L, int index) {
    http_message_t *message = lua_touserdata(L, index);
    if (message->has_own_table) {
        lua_getfenv(L, index);
        return;
    }
    lua_createtable(L, 0, 2);
    lua_pushvalue(L, -1);
    lua_setfenv(L, index);
    message->has_own_table = 1;
}

/* ---- Facts ---- */

static const struct {
    const char *name;
    int fact;
} request_facts[] = {
    {"method", FACT_METHOD}, {"path", FACT_PATH},       {"target", FACT_TARGET},
    {"host", FACT_HOST},     {"scheme", FACT_SCHEME},   {"version", FACT_VERSION},
    {"id", FACT_ID},         {"query_string", FACT_QUERY_STRING},
    {"query", FACT_QUERY},   {"params", FACT_PARAMS},   {"headers", FACT_HEADERS},
    {"peer", FACT_PEER},     {"is_over", FACT_OVER},
}, response_facts[] = {
    {"status", FACT_STATUS}, {"headers", FACT_HEADERS}, {"is_over", FACT_OVER},
    {"bytes", FACT_BYTES},   {"duration", FACT_DURATION}, {"is_complete", FACT_COMPLETE},
};

/* Pushes decoded text. */
static void push_decoded(lua_State *L, const char *data, size_t len, int plus_is_space) {
    if (memchr(data, '%', len) == NULL && (!plus_is_space || memchr(data, '+', len) == NULL)) {
        lua_pushlstring(L, data, len);
        return;
    }
    char small[512];
    char *out = len <= sizeof small ? small : lua_newuserdata(L, len);
    size_t decoded = hhttp_percent_decode(data, len, plus_is_space, out);
    lua_pushlstring(L, out, decoded);
    if (out != small) lua_remove(L, -2);
}

/* Pushes a table of the pairs of "a=1&b=2"; of several with one name the first counts. Returns
 * whether there are no more than `max`. */
static int push_pairs(lua_State *L, const char *text, size_t len, size_t max) {
    lua_createtable(L, 0, len > 0);
    const char *end = text + len;
    while (text < end) {
        if (max-- == 0) return 0;
        const char *stop = memchr(text, '&', (size_t)(end - text));
        if (stop == NULL) stop = end;
        const char *equals = memchr(text, '=', (size_t)(stop - text));
        const char *name_end = equals != NULL ? equals : stop;
        const char *value = equals != NULL ? equals + 1 : stop;
        if (stop > text) {
            push_decoded(L, text, (size_t)(name_end - text), 1);
            lua_pushvalue(L, -1);
            lua_rawget(L, -3);
            int is_first = lua_isnil(L, -1);
            lua_pop(L, 1);
            if (is_first) {
                push_decoded(L, value, (size_t)(stop - value), 1);
                lua_rawset(L, -3);
            } else {
                lua_pop(L, 1);
            }
        }
        text = stop + 1;
    }
    return 1;
}

static void push_params(lua_State *L, const http_exchange_t *exchange) {
    hhttp_route_match_t match;
    hhttp_slice_t path = hhttp_request_path(exchange->req);
    int code = hhttp_router_match(exchange->router->routes,
                                  hhttp_request_method(exchange->req), path.data, path.len, &match);
    lua_createtable(L, 0, code == 0 ? match.param_count : 0);
    for (int i = 0; code == 0 && i < match.param_count; i++) {
        push_slice(L, match.params[i].name);
        push_decoded(L, match.params[i].value.data, match.params[i].value.len, 0);
        lua_rawset(L, -3);
    }
}

/* Pushes a new hv.http.headers; its metatable is the first upvalue but one. */
static void push_headers(lua_State *L) {
    lua_newtable(L);
    lua_pushvalue(L, lua_upvalueindex(3));
    lua_rawgeti(L, -1, 0);
    lua_remove(L, -2);
    lua_setmetatable(L, -2);
}

static void push_request_headers(lua_State *L, const http_exchange_t *exchange) {
    push_headers(L);
    size_t cursor = 0;
    hhttp_header_t header;
    for (int i = 1; hhttp_request_next_header(exchange->req, &cursor, &header); i += 2) {
        hvl_http_add_field(L, i, &header);
    }
}

static void push_response_headers(lua_State *L, http_exchange_t *exchange) {
    if (exchange->headers_ref == LUA_NOREF) {
        push_headers(L);
        exchange->headers_ref = hvl_ref(L);
    }
    lua_rawgeti(L, LUA_REGISTRYINDEX, exchange->headers_ref);
}

int hvl_http_text_fact(const hhttp_request_t *req, int fact, hhttp_slice_t *text) {
    switch (fact) {
    case FACT_METHOD: *text = hhttp_request_method_name(req); return 1;
    case FACT_PATH: *text = hhttp_request_path(req); return 1;
    case FACT_TARGET: *text = hhttp_request_target(req); return 1;
    case FACT_HOST: *text = hhttp_request_host(req); return 1;
    case FACT_QUERY_STRING: *text = hhttp_request_query(req); return 1;
    default: return 0;
    }
}

/* The status that was sent; where nothing was, that of the answer to come, or 0 at the end. */
static int status_of(const http_exchange_t *exchange) {
    int sent = hhttp_response_status(exchange->req);
    return sent != 0 || exchange->is_ending ? sent : exchange->status;
}

/* At the end of an exchange the connection may have gone on, or away. */
static int push_peer(lua_State *L, const http_exchange_t *exchange) {
    hio_t *io = hhttp_request_io(exchange->req);
    if (io != NULL) {
        hvl_push_address(L, hio_peeraddr(io));
    } else if (exchange->is_ending && exchange->peer.sa.sa_family != AF_UNSPEC) {
        hvl_push_address(L, &exchange->peer.sa);
    } else {
        lua_pushnil(L);
        return 0;
    }
    return 1;
}

static void push_version(lua_State *L, int version) {
    lua_pushstring(L, version == 20 ? "2" : version == 10 ? "1.0" : "1.1");
}

/* Pushes a fact. Returns whether it is a table, to be kept. */
static int push_fact(lua_State *L, http_exchange_t *exchange, int fact, int is_response) {
    hhttp_request_t *req = exchange->req;
    hhttp_slice_t slice;
    if (hvl_http_text_fact(req, fact, &slice)) {
        push_slice(L, slice);
        return 0;
    }
    switch (fact) {
    case FACT_SCHEME: {
        const hio_t *io = hhttp_request_io(req);
        int is_tls = io != NULL ? hio_is_ssl(io) : exchange->is_ending && exchange->is_tls;
        lua_pushstring(L, is_tls ? "https" : "http");
        return 0;
    }
    case FACT_VERSION: push_version(L, hhttp_request_version(req)); return 0;
    case FACT_ID: lua_pushnumber(L, (lua_Number)exchange->number); return 0;
    case FACT_STATUS: lua_pushinteger(L, status_of(exchange)); return 0;
    case FACT_BYTES: lua_pushnumber(L, (lua_Number)hhttp_response_bytes(req)); return 0;
    case FACT_DURATION:
        if (!exchange->is_ending) return lua_pushnil(L), 0;
        lua_pushnumber(L, exchange->duration_ms);
        return 0;
    case FACT_COMPLETE: lua_pushboolean(L, hhttp_response_is_complete(req)); return 0;
    case FACT_OVER: lua_pushboolean(L, hhttp_request_is_over(req)); return 0;
    case FACT_QUERY:
        slice = hhttp_request_query(req);
        push_pairs(L, slice.data != NULL ? slice.data : "", slice.len, SIZE_MAX);
        return 1;
    case FACT_PARAMS: push_params(L, exchange); return 1;
    case FACT_HEADERS:
        if (is_response) {
            push_response_headers(L, exchange);
            return 0;
        }
        push_request_headers(L, exchange);
        return 1;
    case FACT_PEER: return push_peer(L, exchange);
    default: lua_pushnil(L); return 0;
    }
}

static int index_message(lua_State *L, const hvl_class_t *class_) {
    http_message_t *message = hvl_check(L, 1, class_);
    lua_settop(L, 2);
    lua_pushvalue(L, 2);
    lua_rawget(L, lua_upvalueindex(2)); /* methods */
    if (!lua_isnil(L, -1)) return 1;
    if (message->has_own_table) {
        lua_getfenv(L, 1);
        lua_pushvalue(L, 2);
        lua_rawget(L, -2);
        if (!lua_isnil(L, -1)) return 1;
    }
    lua_settop(L, 2);
    lua_pushvalue(L, 2);
    lua_rawget(L, lua_upvalueindex(3)); /* facts: a number, or a function of the Lua side's */
    http_exchange_t *exchange = hvl_http_exchange_of(message);
    int is_kept = 0;
    if (lua_type(L, 3) == LUA_TNUMBER && exchange != NULL) {
        int fact = (int)lua_tointeger(L, 3);
        is_kept = push_fact(L, exchange, fact, class_ == &response_class);
    } else if (lua_type(L, 3) == LUA_TFUNCTION && exchange != NULL) {
        lua_pushvalue(L, 1);
        lua_call(L, 1, 1);
        is_kept = lua_istable(L, -1);
    } else {
        lua_pushnil(L);
    }
    if (is_kept) {
        push_own_table(L, 1);
        lua_pushvalue(L, 2);
        lua_pushvalue(L, -3);
        lua_rawset(L, -3);
        lua_pop(L, 1);
    }
    return 1;
}

static int request_index(lua_State *L) { return index_message(L, &request_class); }
static int response_index(lua_State *L) { return index_message(L, &response_class); }

static int store(lua_State *L) {
    ((http_message_t *)lua_touserdata(L, 1))->is_overlaid = 1;
    lua_settop(L, 3);
    push_own_table(L, 1);
    lua_insert(L, 2);
    lua_rawset(L, 2);
    return 0;
}

static int request_newindex(lua_State *L) {
    hvl_check(L, 1, &request_class);
    return store(L);
}

static int response_newindex(lua_State *L) {
    http_exchange_t *exchange = hvl_http_check_response(L, 1);
    const char *key = lua_type(L, 2) == LUA_TSTRING ? lua_tostring(L, 2) : "";
    if (strcmp(key, "headers") == 0) {
        return hvl_misuse(L, "res.headers cannot be replaced: use res.headers:set(name, value)");
    }
    if (strcmp(key, "status") != 0) return store(L);
    int status = (int)hvl_check_integer(L, 3, "res.status", 200, 599);
    if (exchange != NULL) exchange->status = status;
    return 0;
}

static int http_message_tostring(lua_State *L) {
    http_message_t *message = lua_touserdata(L, 1);
    http_exchange_t *exchange = hvl_http_exchange_of(message);
    const char *name = message->object.class_->name;
    if (exchange == NULL) {
        lua_pushfstring(L, "%s{over}", name);
    } else if (message->object.class_ == &response_class) {
        const char *state = hhttp_response_has_begun(exchange->req) ? "begun" : "open";
        lua_pushfstring(L, "%s{%s %d}", name, state, exchange->status);
    } else {
        push_slice(L, hhttp_request_method_name(exchange->req));
        push_slice(L, hhttp_request_target(exchange->req));
        lua_pushfstring(L, "%s{%s %s}", name, lua_tostring(L, -2), lua_tostring(L, -1));
    }
    return 1;
}

/* ---- Methods of a request ---- */

/* req:header(name) -> the first value, or nil */
static int request_header(lua_State *L) {
    http_exchange_t *exchange = hvl_http_check_request(L, 1);
    size_t len;
    const char *name = luaL_checklstring(L, 2, &len);
    if (exchange == NULL) return hvl_push_error(L, "req:header", HV_ECLOSED);
    hhttp_slice_t value = hhttp_request_header(exchange->req, name, len);
    push_slice(L, value);
    return 1;
}

/* ---- Methods of a response ---- */

/* Collects the headers set so far; they are borrowed from the table that it leaves on the stack.
 * Returns how many, or a negative code. */
static int collect_headers(lua_State *L, http_exchange_t *exchange, const char *type,
                           hhttp_header_t *headers) {
    int count = 0, has_type = type == NULL;
    lua_rawgeti(L, LUA_REGISTRYINDEX, exchange->headers_ref);
    int len = (int)lua_objlen(L, -1);
    if (len / 2 >= HTTP_HEADERS_MAX) return HV_ELIMIT;
    for (int i = 1; i < len; i += 2) {
        hhttp_header_t *header = &headers[count++];
        lua_rawgeti(L, -1, i);
        lua_rawgeti(L, -2, i + 1);
        /* Strings only: a number converted here would be nobody's. */
        if (lua_type(L, -2) != LUA_TSTRING || lua_type(L, -1) != LUA_TSTRING) return HV_EINVAL;
        header->name.data = lua_tolstring(L, -2, &header->name.len);
        header->value.data = lua_tolstring(L, -1, &header->value.len);
        lua_pop(L, 2);
        if (header->name.len == 12 && strncasecmp(header->name.data, "content-type", 12) == 0) {
            has_type = 1;
        }
    }
    if (!has_type) {
        headers[count].name = (hhttp_slice_t){"Content-Type", 12};
        headers[count++].value = (hhttp_slice_t){type, strlen(type)};
    }
    return count;
}

int hvl_http_collect_headers(lua_State *L, http_exchange_t *exchange, hhttp_header_t *headers) {
    if (exchange->headers_ref == LUA_NOREF) return 0;
    return collect_headers(L, exchange, NULL, headers);
}

int hvl_http_respond(lua_State *L, http_exchange_t *exchange, const char *type, const char *body,
                     size_t len) {
    if (exchange->headers_ref == LUA_NOREF) {
        return hhttp_respond(exchange->req, exchange->status, type, body, len);
    }
    hhttp_header_t headers[HTTP_HEADERS_MAX];
    int top = lua_gettop(L);
    int count = collect_headers(L, exchange, type, headers);
    if (count >= 0 && exchange->has_trailers) {
        count = hvl_http_respond_in_pieces(L, exchange, headers, (size_t)count, body, len);
    } else if (count >= 0) {
        count = hhttp_respond_with(exchange->req, exchange->status, headers, (size_t)count, body,
                                   len);
    }
    lua_settop(L, top);
    return count;
}

/* res:send(body[, content_type]) -> true */
static int response_send(lua_State *L) {
    http_exchange_t *exchange = hvl_http_check_response(L, 1);
    size_t len;
    const char *body = luaL_checklstring(L, 2, &len);
    const char *type = luaL_optstring(L, 3, "text/plain");
    if (exchange == NULL) return hvl_push_error(L, "res:send", HV_ECLOSED);
    int code = hvl_http_respond(L, exchange, type, body, len);
    if (code == HV_EINVAL) return hvl_misuse(L, "res:send: a header or the type cannot be sent");
    if (code != 0) return hvl_push_error(L, "res:send", code);
    lua_pushboolean(L, 1);
    return 1;
}

static int begin(lua_State *L, http_exchange_t *exchange) {
    hhttp_header_t headers[HTTP_HEADERS_MAX];
    int top = lua_gettop(L), count = 0;
    if (exchange->headers_ref != LUA_NOREF) count = collect_headers(L, exchange, NULL, headers);
    if (count >= 0) {
        count = hhttp_response_begin(exchange->req, exchange->status, headers, (size_t)count,
                                     exchange->content_length);
    }
    lua_settop(L, top);
    return count;
}

static void on_abort(hhttp_request_t *req, void *userdata) {
    (void)userdata;
    http_exchange_t *exchange = hhttp_request_userdata(req);
    if (exchange != NULL) hvl_http_wake_waiters(exchange, HV_ECLOSED);
}

static void on_drain(hhttp_request_t *req, void *userdata) {
    (void)userdata;
    http_exchange_t *exchange = hhttp_request_userdata(req);
    hvl_task_t *task = exchange != NULL ? hvl_wake(&exchange->writer) : NULL;
    if (task == NULL) return;
    lua_pushboolean(task->co, 1);
    hvl_resume_now(task, 1);
}

static void wake_one(hvl_waiter_t *waiter, const char *what, int code) {
    hvl_task_t *task = hvl_wake(waiter);
    if (task == NULL) return;
    hvl_resume_later(task, hvl_push_error(task->co, what, code));
}

void hvl_http_wake_waiters(http_exchange_t *exchange, int code) {
    wake_one(&exchange->reader, "req:body", code);
    wake_one(&exchange->writer, "res:write", code);
}

/* res:write(chunk) -> true; waits while the queue is above the high-water mark */
static int response_write(lua_State *L) {
    if (hvl_is_dual(L)) return hvl_dual(L);
    http_exchange_t *exchange = hvl_http_check_response(L, 1);
    size_t len;
    const char *data = luaL_checklstring(L, 2, &len);
    if (exchange == NULL) return hvl_push_error(L, "res:write", HV_ECLOSED);
    if (hvl_is_waited(&exchange->writer)) return hvl_push_error(L, "res:write", HV_EBUSY);
    int code = hhttp_response_has_begun(exchange->req) ? 0 : begin(L, exchange);
    if (code == HV_EINVAL) return hvl_misuse(L, "res:write: a header cannot be sent");
    if (code == 0) code = hhttp_response_write(exchange->req, data, len);
    if (code == HV_EAGAIN && hvl_may_wait(L)) {
        hhttp_request_on_abort(exchange->req, on_abort, NULL);
        hhttp_response_on_drain(exchange->req, on_drain, NULL);
        exchange->writer = hvl_wait_begin(L, "res:write", -1, NULL, NULL);
        return hvl_wait(L);
    }
    if (code != 0 && code != HV_EAGAIN) return hvl_push_error(L, "res:write", code);
    lua_pushboolean(L, 1);
    return 1;
}

/* res:finish() -> true */
static int response_finish(lua_State *L) {
    http_exchange_t *exchange = hvl_http_check_response(L, 1);
    if (exchange == NULL) return hvl_push_error(L, "res:finish", HV_ECLOSED);
    int code = hhttp_response_has_begun(exchange->req) ? 0 : begin(L, exchange);
    if (code == HV_EINVAL) return hvl_misuse(L, "res:finish: a header cannot be sent");
    if (code == 0) code = hvl_http_end(L, exchange);
    if (code != 0) return hvl_push_error(L, "res:finish", code);
    lua_pushboolean(L, 1);
    return 1;
}

/* set_length(res, n): how many bytes res:write will send */
static int set_length(lua_State *L) {
    http_exchange_t *exchange = hvl_http_check_response(L, 1);
    int64_t length = hvl_check_integer(L, 2, "Content-Length", 0, INT64_C(1) << 53);
    if (exchange != NULL) exchange->content_length = length;
    return 0;
}

/* ---- Helpers for the Lua side ---- */

/* last_event_id(res) -> the Last-Event-ID header of its request, or nil */
static int last_event_id(lua_State *L) {
    http_exchange_t *exchange = hvl_http_check_response(L, 1);
    if (exchange == NULL) return 0;
    push_slice(L, hhttp_request_header(exchange->req, "last-event-id", 13));
    return 1;
}

static int is_token_byte(unsigned char byte) {
    return (byte >= '0' && byte <= '9') || (byte >= 'a' && byte <= 'z') ||
           (byte >= 'A' && byte <= 'Z') || (byte != 0 && strchr("!#$%&'*+-.^_`|~", byte) != NULL);
}

/* check_header(name, value) -> nil where both may be sent, else what is wrong */
static int check_header(lua_State *L) {
    size_t name_len, value_len;
    const char *name = luaL_checklstring(L, 1, &name_len);
    const char *value = luaL_checklstring(L, 2, &value_len);
    int is_token = name_len > 0;
    for (size_t i = 0; i < name_len; i++) is_token &= is_token_byte((unsigned char)name[i]);
    if (!is_token) {
        lua_pushliteral(L, "name is no token");
        return 1;
    }
    for (size_t i = 0; i < value_len; i++) {
        unsigned char byte = (unsigned char)value[i];
        if ((byte < 0x20 && byte != '\t') || byte == 0x7f) {
            lua_pushliteral(L, "value has a line end or another control character");
            return 1;
        }
    }
    return 0;
}

/* parse_pairs("a=1&b=2", max) -> table; or nil, message, "ELIMIT" where there are more than max */
static int parse_pairs(lua_State *L) {
    size_t len;
    const char *text = luaL_checklstring(L, 1, &len);
    size_t max = (size_t)hvl_check_integer(L, 2, "max", 0, INT32_MAX);
    return push_pairs(L, text, len, max) ? 1 : hvl_push_error(L, "form", HV_ELIMIT);
}

/* status_text(404) -> "Not Found" */
static int status_text(lua_State *L) {
    lua_pushstring(L, hhttp_status_text((int)luaL_checkinteger(L, 1)));
    return 1;
}

/* Makes a class whose __index has the runtime, the methods and the facts as upvalues; leaves them
 * as <name>_methods, <name>_facts and <name>_meta. facts[0] is to be the metatable of
 * hv.http.headers. */
static void open_class(lua_State *L, hvl_t *rt, const hvl_class_t *class_, const luaL_Reg *methods,
                       const luaL_Reg *metamethods, lua_CFunction index, const char *name) {
    hvl_class_new(L, rt, class_, methods, metamethods); /* methods */
    lua_newtable(L);                                    /* facts */
    if (class_ == &request_class) {
        for (size_t i = 0; i < ARRAY_SIZE(request_facts); i++) {
            lua_pushinteger(L, request_facts[i].fact);
            lua_setfield(L, -2, request_facts[i].name);
        }
    } else {
        for (size_t i = 0; i < ARRAY_SIZE(response_facts); i++) {
            lua_pushinteger(L, response_facts[i].fact);
            lua_setfield(L, -2, response_facts[i].name);
        }
    }
    hvl_class_push(L, class_);
    lua_pushlightuserdata(L, rt);
    lua_pushvalue(L, -4);
    lua_pushvalue(L, -4);
    lua_pushcclosure(L, index, 3);
    lua_setfield(L, -2, "__index");
    lua_pushfstring(L, "%s_meta", name);
    lua_insert(L, -2);
    lua_rawset(L, -5);
    lua_pushfstring(L, "%s_facts", name);
    lua_insert(L, -2);
    lua_rawset(L, -4);
    lua_pushfstring(L, "%s_methods", name);
    lua_insert(L, -2);
    lua_rawset(L, -3);
}

void hvl_http_open_messages(lua_State *L, hvl_t *rt) {
    static const luaL_Reg functions[] = {{"check_header", check_header},
                                         {"parse_pairs", parse_pairs},
                                         {"status_text", status_text},
                                         {"set_length", set_length},
                                         {"last_event_id", last_event_id},
                                         {NULL, NULL}};
    static const luaL_Reg request_methods[] = {
        {"header", request_header}, {NULL, NULL}};
    static const luaL_Reg request_metamethods[] = {
        {"__newindex", request_newindex}, {"__tostring", http_message_tostring}, {NULL, NULL}};
    static const luaL_Reg response_methods[] = {{"send", response_send},
                                                {"write", response_write},
                                                {"finish", response_finish},
                                                {NULL, NULL}};
    static const luaL_Reg response_metamethods[] = {
        {"__newindex", response_newindex}, {"__tostring", http_message_tostring}, {NULL, NULL}};
    hvl_setfuncs(L, rt, functions);
    open_class(L, rt, &request_class, request_methods, request_metamethods, request_index,
               "request");
    open_class(L, rt, &response_class, response_methods, response_metamethods, response_index,
               "response");
}
