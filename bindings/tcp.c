/* tcp.c - listening and connecting. What can be done with a connection is in conn.c. */
#include "conn.h"
#include "fields.h"

typedef struct server_s {
    hvl_object_t object;
    hio_t *io;
    hvl_handlers_t *handlers;
    uint32_t count;
    uint32_t max; /* connections; 0: no limit */
    int is_full;  /* accepting rests */
} server_t;

static const hvl_class_t server_class = {"hv.tcp_server"};

/* ---- Servers ---- */

static void count_in(server_t *server) {
    server->count++;
    if (server->max > 0 && server->count >= server->max && server->io != NULL) {
        server->is_full = 1;
        hio_read_stop(server->io);
    }
}

static void on_handshake_close(hio_t *io) {
    server_t *server = hevent_userdata(io);
    if (server->object.rt->loop != NULL) hvl_server_lost(server);
}

/* Over TLS a connection counts from before its handshake. */
static void on_accept_raw(hio_t *io) {
    hio_setcb_close(io, on_handshake_close);
    count_in(hevent_userdata(io));
}

static void on_accept(hio_t *io) {
    server_t *server = hevent_userdata(io);
    hvl_t *rt = server->object.rt;
    /* A handshake may outlast its server, whose handlers are gone then. */
    if (rt->loop == NULL || server->io == NULL) {
        hio_close(io);
        return;
    }
    luaL_checkstack(rt->L, LUA_MINSTACK, "too many values");
    hvl_conn_t *conn = hvl_conn_new(rt->L, rt, io, server->handlers, server);
    lua_pop(rt->L, 1);
    if (!hio_is_ssl(io)) count_in(server);
    hvl_conn_begin(conn);
}

static void server_leave(server_t *server) {
    if (server->io == NULL && server->count == 0) hvl_unanchor(server);
}

void hvl_server_lost(void *owner) {
    server_t *server = owner;
    server->count--;
    if (server->is_full && server->io != NULL) {
        server->is_full = 0;
        hio_read(server->io);
    }
    server_leave(server);
}

static void on_server_close(hio_t *io) {
    server_t *server = hevent_userdata(io);
    server->io = NULL;
    if (server->object.rt->loop == NULL) return;
    hvl_handlers_release(server->handlers);
    server->handlers = NULL;
    server_leave(server);
}

/* Makes the listener: a worker's is the one that all workers share, unless it is to be one of many
 * on the same port. Returns NULL with *code set where it fails. */
static hio_t *open_listener(hloop_t *loop, const char *host, int port, int backlog, int flags,
                            int *code) {
    if (flags & HIO_LISTEN_REUSE_PORT || !hvl_is_worker()) {
        hio_t *io = hloop_create_tcp_listener(loop, host, port, on_accept, backlog, flags);
        *code = hloop_last_error(loop);
        return io;
    }
    int fd = hvl_shared_socket(host, port, backlog, flags);
    hio_t *io = fd >= 0 ? haccept(loop, fd, on_accept) : NULL;
    *code = fd >= 0 ? hloop_last_error(loop) : fd;
    if (io == NULL && fd >= 0) close(fd);
    return io;
}

/* listen(host, port, backlog, reuse_port, max_connections, options): all checked. */
static int listen_on(lua_State *L) {
    hvl_t *rt = hvl_self(L);
    const char *host = luaL_checkstring(L, 1);
    int port = (int)luaL_checkinteger(L, 2);
    int backlog = (int)luaL_checkinteger(L, 3);
    int flags = lua_toboolean(L, 4) ? HIO_LISTEN_REUSE_PORT : 0;
    uint32_t max = (uint32_t)luaL_checkinteger(L, 5);
    luaL_checktype(L, 6, LUA_TTABLE);
    lua_getfield(L, 6, "mode");
    if (lua_isnumber(L, -1)) flags |= HIO_LISTEN_MODE((int)lua_tointeger(L, -1));
    lua_pop(L, 1);
    hssl_ctx_t ctx = hvl_tls_context_field(L, 6, "tls");
    if (rt->loop == NULL) return hvl_push_error(L, "listen", HV_ECLOSED);
    server_t *server = hvl_object_new(L, rt, &server_class, sizeof *server);
    hvl_handlers_t *handlers = hvl_handlers_new(L, rt, 6);
    hvl_handlers_hold(L, -1);
    lua_pop(L, 1);
    int code;
    hio_t *io = open_listener(rt->loop, host, port, backlog, flags, &code);
    if (io != NULL && ctx != NULL) {
        code = hio_set_ssl_ctx(io, ctx);
        hio_setcb_accept_raw(io, on_accept_raw);
        /* 0: none; to the core it means the default. */
        int timeout_ms = (int)hvl_field_number(L, 6, "handshake_timeout");
        if (code == 0) hio_set_handshake_timeout(io, timeout_ms > 0 ? timeout_ms : INT32_MAX);
        if (code != 0) hio_close(io);
        if (code != 0) io = NULL;
    }
    if (io == NULL) {
        hvl_handlers_release(handlers);
        lua_pushfstring(L, *host == '/' ? "listen %s" : "listen %s:%d", host, port);
        return hvl_push_error(L, lua_tostring(L, -1), code);
    }
    server->io = io;
    server->handlers = handlers;
    server->max = max;
    hevent_set_userdata(io, server);
    hio_setcb_close(io, on_server_close);
    hvl_anchor(L, -1);
    return 1;
}

static server_t *check_server(lua_State *L) { return hvl_check(L, 1, &server_class); }

static int server_port(lua_State *L) { return hvl_io_push_port(L, check_server(L)->io); }

static int server_fd(lua_State *L) { return hvl_io_push_fd(L, check_server(L)->io); }

static int server_count(lua_State *L) {
    lua_pushinteger(L, (lua_Integer)check_server(L)->count);
    return 1;
}

static int server_close(lua_State *L) {
    server_t *server = check_server(L);
    if (server->io != NULL && server->object.rt->loop != NULL) hio_close(server->io);
    lua_pushboolean(L, 1);
    return 1;
}

/* drain(): takes in who waits, then closes the listener; connections go on. */
static int server_drain(lua_State *L) {
    server_t *server = check_server(L);
    if (server->io != NULL && server->object.rt->loop != NULL) hio_stop_accepting(server->io);
    return 0;
}

static int server_address(lua_State *L) {
    return hvl_io_push_local(L, check_server(L)->io, "address");
}

static int server_ref(lua_State *L) { return hvl_io_set_reference(L, check_server(L)->io, 1); }
static int server_unref(lua_State *L) { return hvl_io_set_reference(L, check_server(L)->io, 0); }

static int server_tostring(lua_State *L) {
    server_t *server = check_server(L);
    char address[128];
    if (server->io == NULL || !hio_is_opened(server->io)) {
        lua_pushfstring(L, "hv.tcp_server{closed, %d connections}", (int)server->count);
    } else {
        lua_pushfstring(L, "hv.tcp_server{listening %s, %d connections}",
                        hvl_address_text(hio_localaddr(server->io), address, sizeof address),
                        (int)server->count);
    }
    return 1;
}

/* ---- Connecting ---- */

static void on_connect(hio_t *io) {
    hvl_conn_t *conn = hevent_userdata(io);
    conn->is_connecting = 0;
    hvl_unref(conn->object.rt, &conn->connect_text_ref);
    hvl_task_t *task = hvl_wake(&conn->reader);
    if (task == NULL) {
        hio_abort(io);
        return;
    }
    hvl_push(task->co, conn);
    hvl_conn_begin(conn);
    hvl_resume_now(task, 1);
}

/* What a client of checked options is told before it connects. Returns 0 or a code. */
static int set_up_client(lua_State *L, int index, hio_t *io, const char *host) {
    hssl_ctx_t ctx = hvl_tls_context_field(L, index, "tls");
    int bind_port = (int)hvl_field_number(L, index, "bind_port");
    const char *bind_host = hvl_field_text(L, index, "bind");
    int code = bind_host != NULL ? hio_set_bind(io, bind_host, bind_port) : 0;
    if (code == 0 && ctx != NULL) code = hio_set_ssl_ctx(io, ctx);
    if (code == 0 && ctx != NULL) {
        const char *tls_name = hvl_field_text(L, index, "tls_name");
        const char *name = tls_name != NULL ? tls_name : host;
        if (*name != '/') code = hio_set_hostname(io, name);
    }
    return code;
}

static void on_connect_canceled(hvl_task_t *task, void *data) {
    (void)task;
    hvl_conn_t *conn = data;
    conn->reader.task = NULL;
    if (conn->io != NULL) hio_abort(conn->io);
}

/* connect(host, port, timeout, options): all checked. */
static int connect_to(lua_State *L) {
    hvl_t *rt = hvl_self(L);
    const char *host = luaL_checkstring(L, 1);
    int port = (int)luaL_checkinteger(L, 2);
    int timeout_ms = (int)luaL_checkinteger(L, 3);
    luaL_checktype(L, 4, LUA_TTABLE);
    if (!hvl_may_wait(L)) return hvl_refuse(L, NULL);
    lua_pushfstring(L, *host == '/' ? "connect %s" : "connect %s:%d", host, port);
    const char *what = lua_tostring(L, -1);
    hvl_handlers_t *handlers = hvl_handlers_new(L, rt, 4);
    hvl_handlers_hold(L, -1);
    hio_t *io = hloop_create_tcp_client(rt->loop, host, port, on_connect);
    int code = io == NULL ? hloop_last_error(rt->loop) : set_up_client(L, 4, io, host);
    if (code != 0) {
        if (io != NULL) hio_abort(io);
        hvl_handlers_release(handlers);
        return hvl_push_error(L, what, code);
    }
    hvl_conn_t *conn = hvl_conn_new(L, rt, io, handlers, NULL);
    hvl_handlers_release(handlers); /* the connection holds it now */
    conn->is_connecting = conn->is_client = 1;
    lua_pushstring(L, host);
    conn->host_ref = hvl_ref(L);
    lua_pushstring(L, what);
    conn->connect_text_ref = hvl_ref(L);
    hio_set_connect_timeout(io, timeout_ms);
    conn->reader = hvl_wait_begin(L, "connect", -1, on_connect_canceled, conn);
    return hvl_wait(L);
}

/* from_fd(fd): the stream of a descriptor that is open already, such as stdin. */
static int from_fd(lua_State *L) {
    hvl_t *rt = hvl_self(L);
    int fd = (int)hvl_check_integer(L, 1, "fd", 0, INT32_MAX);
    if (rt->loop == NULL) return hvl_push_error(L, "from_fd", HV_ECLOSED);
    hio_t *io = hio_get(rt->loop, fd);
    if (io == NULL) return hvl_push_error(L, "from_fd", hloop_last_error(rt->loop));
    hvl_conn_begin(hvl_conn_new(L, rt, io, NULL, NULL));
    return 1;
}

int hvl_open_tcp(lua_State *L) {
    static const luaL_Reg functions[] = {
        {"listen", listen_on}, {"connect", connect_to}, {"from_fd", from_fd}, {NULL, NULL}};
    static const luaL_Reg methods[] = {{"port", server_port},       {"count", server_count},
                                       {"close", server_close},     {"ref", server_ref},
                                       {"unref", server_unref},     {"address", server_address},
                                       {"drain", server_drain},     {"fd", server_fd},
                                       {NULL, NULL}};
    static const luaL_Reg metamethods[] = {{"__tostring", server_tostring}, {NULL, NULL}};
    hvl_t *rt = hvl_self(L);
    hvl_conn_open(L, rt);
    hvl_setfuncs(L, rt, functions);
    hvl_class_new(L, rt, &server_class, methods, metamethods);
    lua_setfield(L, -2, "server_methods");
    return 1;
}
