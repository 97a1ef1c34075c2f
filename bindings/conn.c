/* conn.c - the life of the stream object: made, connected, closed; and the functions of the event
 * style. What tasks do with it is in conn_io.c.
 *
 * Event style. The io reads all the time and each piece or packet begins a task. Where that task
 * waits, reading rests until it has ended, so the functions of one connection run one after the
 * other and a slow one slows the peer. */
#include "conn.h"

const hvl_class_t hvl_conn_class = {"hv.tcp"};
const hvl_class_t hvl_unpack_class = {"hv.unpack"};

/* ---- Running a function for a connection ---- */

/* After on_message or on_open: an error closes, a pause is over. */
static void on_event_finished(hvl_task_t *task, int status) {
    hvl_conn_t *conn = task->userdata[0];
    if (status != HVL_FINISHED) {
        hvl_conn_close(conn);
    } else {
        hvl_handle_resume(&conn->handle);
    }
    hvl_handle_leave(&conn->handle);
}

static void on_side_finished(hvl_task_t *task, int status) {
    hvl_conn_t *conn = task->userdata[0];
    if (status != HVL_FINISHED) hvl_conn_close(conn);
    hvl_handle_leave(&conn->handle);
}

static void on_task_finished(hvl_task_t *task, int status) {
    (void)status;
    hvl_conn_t *conn = task->userdata[0];
    hvl_conn_close(conn);
    hvl_handle_leave(&conn->handle);
}

/* ---- Callbacks of the io ---- */

static void on_message(hio_t *io, void *buf, int len) {
    hvl_conn_t *conn = hevent_userdata(io);
    int ref = conn->handlers->on_message;
    hvl_task_t *task = hvl_handle_begin(&conn->handle, ref, on_event_finished);
    if (task == NULL) return;
    lua_pushlstring(task->co, buf, (size_t)len);
    hvl_handle_run(&conn->handle, task, 2);
}

static void on_eof(hio_t *io) {
    hvl_conn_t *conn = hevent_userdata(io);
    conn->is_eof = 1;
    hvl_task_t *task = hvl_wake(&conn->reader);
    if (task != NULL) hvl_resume_now(task, hvl_push_error(task->co, "read", HV_EOF));
}

void hvl_conn_on_drain(hio_t *io) {
    hvl_conn_t *conn = hevent_userdata(io);
    hvl_task_t *writer = hvl_wake(&conn->writer);
    conn->busy++;
    if (writer != NULL) {
        lua_pushboolean(writer->co, 1);
        hvl_resume_now(writer, 1);
    }
    int ref = conn->handlers != NULL ? conn->handlers->on_drain : LUA_NOREF;
    hvl_task_t *task = NULL;
    if (!conn->is_closed_here) task = hvl_handle_begin(&conn->handle, ref, on_side_finished);
    if (task != NULL) hvl_task_run(task, 1);
    hvl_handle_leave(&conn->handle);
}

int hvl_conn_push_error(lua_State *L, const hvl_conn_t *conn, const char *what, int code) {
    if (code == -HV_ETLS || code == HV_ETLS) return hvl_tls_push_error(L, what, conn->tls_error);
    return hvl_push_error(L, what, code);
}

int hvl_conn_reason(const hvl_conn_t *conn) {
    if (conn->error != 0) return conn->error;
    return conn->is_closed_here ? 0 : HV_EOF;
}

static void run_on_close(hvl_conn_t *conn) {
    if (conn->handlers == NULL) return;
    hvl_task_t *task = hvl_handle_begin(&conn->handle, conn->handlers->on_close, on_side_finished);
    if (task == NULL) return;
    int reason = hvl_conn_reason(conn);
    int nargs = 1;
    if (reason != 0) {
        if (conn->tls_error != NULL) {
            lua_pushfstring(task->co, "%s: %s", herr_text(reason), conn->tls_error);
        } else {
            lua_pushstring(task->co, herr_text(reason));
        }
        lua_pushstring(task->co, herr_name(reason));
        nargs = 3;
    }
    hvl_task_run(task, nargs);
}

static void wake_with(hvl_conn_t *conn, hvl_waiter_t *waiter, const char *what, int code) {
    hvl_task_t *task = hvl_wake(waiter);
    if (task == NULL) return;
    if (code == 0) code = HV_ECLOSED;
    hvl_resume_later(task, hvl_conn_push_error(task->co, conn, what, code));
}

static void wake_reader(hvl_conn_t *conn, int code) {
    wake_with(conn, &conn->reader, conn->is_starting_tls ? "start_tls" : "read", code);
}

/* Connecting has failed: says to whom. */
static void end_connecting(hvl_conn_t *conn) {
    lua_State *L = conn->object.rt->L;
    lua_rawgeti(L, LUA_REGISTRYINDEX, conn->connect_text_ref);
    wake_with(conn, &conn->reader, lua_tostring(L, -1), hvl_conn_reason(conn));
    lua_pop(L, 1);
}

static void on_close(hio_t *io) {
    hvl_conn_t *conn = hevent_userdata(io);
    const struct sockaddr *peer = hio_peeraddr(io);
    conn->error = hio_error(io);
    if (conn->error == -HV_ETLS) conn->tls_error = hio_ssl_error(io);
    if (conn->pipe != NULL) hvl_pipe_lost(conn);
    if (peer->sa_family == AF_INET) memcpy(&conn->peer, peer, sizeof conn->peer.in);
    if (peer->sa_family == AF_INET6) memcpy(&conn->peer, peer, sizeof conn->peer.in6);
    conn->io = NULL;
    if (conn->read_timer != NULL) htimer_del(conn->read_timer);
    conn->read_timer = NULL;
    if (conn->object.rt->loop == NULL) return; /* the state is being taken down */
    conn->busy++;
    if (conn->is_connecting) {
        end_connecting(conn);
    } else {
        wake_reader(conn, hvl_conn_reason(conn));
    }
    wake_with(conn, &conn->writer, "write", hvl_conn_reason(conn));
    if (!conn->is_connecting) run_on_close(conn);
    conn->busy--;
    if (conn->owner != NULL) hvl_server_lost(conn->owner);
    conn->owner = NULL;
    hvl_unref(conn->object.rt, &conn->connect_text_ref);
    hvl_unref(conn->object.rt, &conn->unpack_ref);
    hvl_unref(conn->object.rt, &conn->heartbeat_ref);
    hvl_unref(conn->object.rt, &conn->host_ref);
    hvl_handlers_release(conn->handlers);
    conn->handlers = NULL;
    hvl_handle_release(&conn->handle);
}

void hvl_conn_close(hvl_conn_t *conn) {
    if (conn->io == NULL || conn->is_closed_here) return;
    conn->is_closed_here = 1;
    hio_close(conn->io);
    wake_reader(conn, HV_ECLOSED);
    wake_with(conn, &conn->writer, "write", HV_ECLOSED);
}

/* ---- Making ---- */

hvl_conn_t *hvl_conn_new(lua_State *L, hvl_t *rt, hio_t *io, hvl_handlers_t *handlers,
                         void *owner) {
    hvl_conn_t *conn = hvl_object_new(L, rt, &hvl_conn_class, sizeof *conn);
    conn->io = io;
    conn->handlers = handlers;
    conn->owner = owner;
    conn->connect_text_ref = conn->unpack_ref = conn->heartbeat_ref = conn->host_ref = LUA_NOREF;
    if (handlers != NULL) handlers->holders++;
    hvl_anchor(L, -1);
    hevent_set_userdata(io, conn);
    hio_setcb_close(io, on_close);
    hio_set_max_write_bufsize(io, HVL_WRITE_BYTES_MAX);
    return conn;
}

static void set_options(hvl_conn_t *conn) {
    const hvl_handlers_t *options = conn->handlers;
    if (options == NULL) return;
    conn->read_timeout_ms = options->read_timeout_ms;
    if (options->write_high > 0) hio_set_write_high(conn->io, options->write_high);
    if (options->write_timeout_ms > 0) {
        hio_set_write_timeout(conn->io, (int)options->write_timeout_ms);
    }
    if (options->idle_timeout_ms > 0) {
        hio_set_keepalive_timeout(conn->io, (int)options->idle_timeout_ms);
    }
    if (options->has_unpack) hio_set_unpack(conn->io, &conn->handlers->unpack);
    if (options->on_drain != LUA_NOREF) hio_setcb_drain(conn->io, hvl_conn_on_drain);
    if (options->is_delayed && hio_type(conn->io) == HIO_TYPE_TCP) {
        int off = 0;
        setsockopt(hio_fd(conn->io), IPPROTO_TCP, TCP_NODELAY, &off, sizeof off);
    }
}

void hvl_conn_begin(hvl_conn_t *conn) {
    hio_t *io = conn->io;
    hvl_handlers_t *handlers = conn->handlers;
    set_options(conn);
    if (handlers == NULL || handlers->on_message == LUA_NOREF) {
        hio_setcb_read(io, hvl_conn_on_bytes);
        hio_setcb_eof(io, on_eof);
        if (handlers == NULL) return;
        hvl_task_t *task = hvl_handle_begin(&conn->handle, handlers->on_task, on_task_finished);
        if (task == NULL) {
            task = hvl_handle_begin(&conn->handle, handlers->on_open, on_side_finished);
        }
        if (task != NULL) hvl_task_run(task, 1);
        return;
    }
    hio_setcb_read(io, on_message);
    conn->is_paused = 1; /* until on_open has ended */
    hvl_task_t *task = hvl_handle_begin(&conn->handle, handlers->on_open, on_event_finished);
    if (task != NULL) {
        hvl_task_run(task, 1);
    } else {
        conn->is_paused = 0;
        hio_read(io);
    }
}

/* ---- The class ---- */

void hvl_conn_open(lua_State *L, hvl_t *rt) {
    static const luaL_Reg more[] = {{"start_tls", hvl_conn_start_tls}, {"tls", hvl_conn_tls},
                                    {"pipe", hvl_conn_pipe}, {NULL, NULL}};
    static const luaL_Reg functions[] = {{"field", hvl_conn_field}, {NULL, NULL}};
    hvl_handlers_open(L, rt);
    hvl_pipe_open(L, rt);
    hvl_class_new(L, rt, &hvl_unpack_class, NULL, NULL);
    lua_pop(L, 1);
    lua_newtable(L);
    hvl_setfuncs(L, rt, functions);
    hvl_class_new(L, rt, &hvl_conn_class, hvl_conn_io_methods, hvl_conn_metamethods);
    hvl_setfuncs(L, rt, hvl_conn_facts_methods);
    hvl_setfuncs(L, rt, more);
    lua_setfield(L, -2, "methods");
    hvl_class_push(L, &hvl_conn_class);
    lua_setfield(L, -2, "meta");
}
