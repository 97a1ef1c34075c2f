/* conn.c - the stream object: reading, writing, closing, and the functions of the event style.
 *
 * Task style. Nothing is read unless a task waits for it: each read tells the io how much it wants
 * (the next bytes, exactly n, up to a delimiter, a packet), and the io stops by itself after it has
 * delivered that. What came beyond stays with the io.
 *
 * Event style. The io reads all the time and each piece or packet begins a task. Where that task
 * waits, reading rests until it has ended, so the functions of one connection run one after the
 * other and a slow one slows the peer.
 *
 * Timeouts of reads are lazy: a wait only leaves its start behind, and the one timer of a
 * connection looks at it when it fires; a busy connection costs no timer operation a message.
 *
 * An object is anchored while its io lives or a task runs a function for it. */
#include "conn.h"

#define READ_BYTES_MAX (1 << 30)
#define WRITE_BYTES_MAX (1 << 30)

const hvl_class_t hvl_conn_class = {"hv.tcp"};
static const hvl_class_t unpack_class = {"hv.unpack"};

/* ---- Running a function for a connection ---- */

static void close_conn(hvl_conn_t *conn);

static void leave_anchor(hvl_conn_t *conn) {
    if (conn->io == NULL && conn->busy == 0) hvl_unanchor(conn);
}

/* Begins a task for one of the functions, with the connection pushed behind it. */
static hvl_task_t *begin_for(hvl_conn_t *conn, int ref, hvl_finish_cb on_finish) {
    hvl_task_t *task = hvl_task_begin_ref(conn->object.rt, ref);
    if (task == NULL) return NULL;
    hvl_push(task->co, conn);
    task->on_finish = on_finish;
    task->userdata[0] = conn;
    conn->busy++;
    return task;
}

/* After on_message, on_open or a heartbeat: an error closes, a pause is over. */
static void on_event_finished(hvl_task_t *task, int status) {
    hvl_conn_t *conn = task->userdata[0];
    conn->busy--;
    if (status != HVL_FINISHED) {
        close_conn(conn);
    } else if (conn->is_paused && conn->io != NULL && !conn->is_closed_here) {
        conn->is_paused = 0;
        hio_read(conn->io);
    }
    leave_anchor(conn);
}

static void on_side_finished(hvl_task_t *task, int status) {
    hvl_conn_t *conn = task->userdata[0];
    conn->busy--;
    if (status != HVL_FINISHED) close_conn(conn);
    leave_anchor(conn);
}

static void on_task_finished(hvl_task_t *task, int status) {
    (void)status;
    hvl_conn_t *conn = task->userdata[0];
    conn->busy--;
    close_conn(conn);
    leave_anchor(conn);
}

/* Runs a task of the event style; where it waits, reading rests. */
static void run_event(hvl_conn_t *conn, hvl_task_t *task, int nargs) {
    if (hvl_task_run(task, nargs) != HVL_WAITING || conn->pipe != NULL) return;
    conn->is_paused = 1;
    if (conn->io != NULL) hio_read_stop(conn->io);
}

/* ---- Callbacks of the io ---- */

static void on_message(hio_t *io, void *buf, int len) {
    hvl_conn_t *conn = hevent_userdata(io);
    hvl_task_t *task = begin_for(conn, conn->handlers->on_message, on_event_finished);
    if (task == NULL) return;
    lua_pushlstring(task->co, buf, (size_t)len);
    run_event(conn, task, 2);
}

static size_t without_line_end(const char *data, size_t len) {
    if (len > 0 && data[len - 1] == '\n') len--;
    if (len > 0 && data[len - 1] == '\r') len--;
    return len;
}

static void on_bytes(hio_t *io, void *buf, int len) {
    hvl_conn_t *conn = hevent_userdata(io);
    size_t bytes = conn->is_line ? without_line_end(buf, (size_t)len) : (size_t)len;
    hvl_task_t *task = hvl_wake(&conn->reader);
    if (task == NULL) return;
    lua_pushlstring(task->co, buf, bytes);
    hvl_resume_now(task, 1);
}

static void on_eof(hio_t *io) {
    hvl_conn_t *conn = hevent_userdata(io);
    conn->is_eof = 1;
    hvl_task_t *task = hvl_wake(&conn->reader);
    if (task != NULL) hvl_resume_now(task, hvl_push_error(task->co, "read", HV_EOF));
}

static void on_drain(hio_t *io) {
    hvl_conn_t *conn = hevent_userdata(io);
    hvl_task_t *writer = hvl_wake(&conn->writer);
    conn->busy++;
    if (writer != NULL) {
        lua_pushboolean(writer->co, 1);
        hvl_resume_now(writer, 1);
    }
    int ref = conn->handlers != NULL ? conn->handlers->on_drain : LUA_NOREF;
    hvl_task_t *task = conn->is_closed_here ? NULL : begin_for(conn, ref, on_side_finished);
    if (task != NULL) hvl_task_run(task, 1);
    conn->busy--;
    leave_anchor(conn);
}

static void on_heartbeat(hio_t *io) {
    hvl_conn_t *conn = hevent_userdata(io);
    hvl_task_t *task = begin_for(conn, conn->heartbeat_ref, on_side_finished);
    if (task != NULL) hvl_task_run(task, 1);
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
    hvl_task_t *task = begin_for(conn, conn->handlers->on_close, on_side_finished);
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
    leave_anchor(conn);
}

static void close_conn(hvl_conn_t *conn) {
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
    hio_set_max_write_bufsize(io, WRITE_BYTES_MAX);
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
    if (options->on_drain != LUA_NOREF) hio_setcb_drain(conn->io, on_drain);
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
        hio_setcb_read(io, on_bytes);
        hio_setcb_eof(io, on_eof);
        if (handlers == NULL) return;
        hvl_task_t *task = begin_for(conn, handlers->on_task, on_task_finished);
        if (task == NULL) task = begin_for(conn, handlers->on_open, on_side_finished);
        if (task != NULL) hvl_task_run(task, 1);
        return;
    }
    hio_setcb_read(io, on_message);
    conn->is_paused = 1; /* until on_open has ended */
    hvl_task_t *task = begin_for(conn, handlers->on_open, on_event_finished);
    if (task != NULL) {
        hvl_task_run(task, 1);
    } else {
        conn->is_paused = 0;
        hio_read(io);
    }
}

/* ---- Reading ---- */

hvl_conn_t *hvl_conn_check(lua_State *L) { return hvl_check(L, 1, &hvl_conn_class); }

static void on_read_canceled(hvl_task_t *task, void *data) {
    (void)task;
    hvl_conn_t *conn = data;
    conn->reader.task = NULL;
    if (conn->io != NULL) hio_read_stop(conn->io);
}

static void on_read_timer(htimer_t *timer) {
    hvl_conn_t *conn = hevent_userdata(timer);
    conn->read_timer = NULL; /* one-shot, unless it is set anew below */
    if (!hvl_is_waited(&conn->reader) || conn->read_timeout_ms == 0) return;
    uint64_t waited_ms = (hloop_now_hrtime(hevent_loop(timer)) - conn->read_start_us) / 1000;
    if (waited_ms < conn->read_timeout_ms) {
        conn->read_timer = timer;
        htimer_reset(timer, conn->read_timeout_ms - (uint32_t)waited_ms);
        return;
    }
    hvl_task_t *task = hvl_wake(&conn->reader);
    if (conn->io != NULL) hio_read_stop(conn->io);
    hvl_resume_now(task, hvl_push_error(task->co, "read", HV_ETIMEDOUT));
}

static void watch_read_timeout(hvl_conn_t *conn) {
    hloop_t *loop = conn->object.rt->loop;
    conn->read_start_us = hloop_now_hrtime(loop);
    if (conn->read_timer != NULL) return;
    conn->read_timer = htimer_add(loop, on_read_timer, conn->read_timeout_ms, 1);
    if (conn->read_timer == NULL) return;
    hevent_set_userdata(conn->read_timer, conn);
    hevent_unref(conn->read_timer);
}

/* Whether the running function may read now; if not, pushes what it returns. */
static int cannot_read(lua_State *L, const hvl_conn_t *conn) {
    if (conn->io == NULL || conn->is_closed_here) {
        int reason = hvl_conn_reason(conn);
        return hvl_conn_push_error(L, conn, "read", reason ? reason : HV_ECLOSED);
    }
    if (conn->handlers != NULL && conn->handlers->on_message != LUA_NOREF) {
        return hvl_misuse(L, "conn:read: on_message reads this connection");
    }
    if (!hvl_may_wait(L)) return hvl_refuse(L, NULL);
    int is_busy = hvl_is_waited(&conn->reader) || conn->pipe != NULL;
    return is_busy ? hvl_push_error(L, "read", HV_EBUSY) : 0;
}

static int wait_for_bytes(lua_State *L, hvl_conn_t *conn, int is_line) {
    conn->is_line = (uint8_t)is_line;
    if (conn->is_loose) hevent_ref(conn->io);
    conn->is_loose = 0;
    conn->reader = hvl_wait_begin(L, "read", -1, on_read_canceled, conn);
    if (conn->read_timeout_ms > 0) watch_read_timeout(conn);
    return hvl_wait(L);
}

/* read(), read(n) */
static int conn_read(lua_State *L) {
    if (hvl_is_dual(L)) return hvl_dual(L);
    hvl_conn_t *conn = hvl_conn_check(L);
    int64_t len = 0;
    if (!lua_isnoneornil(L, 2)) {
        len = hvl_check_integer(L, 2, "conn:read: n", 1, READ_BYTES_MAX);
    }
    int refused = cannot_read(L, conn);
    if (refused != 0) return refused;
    if (len > 0) {
        uint32_t room = DEFAULT_PACKAGE_MAX_LENGTH;
        if (len > room) room = (uint32_t)len;
        hio_set_max_read_bufsize(conn->io, room);
        hio_read_until_length(conn->io, (unsigned)len);
    } else {
        hio_read_once(conn->io);
    }
    return wait_for_bytes(L, conn, 0);
}

static int64_t check_max(lua_State *L, int index, const char *what) {
    if (lua_isnoneornil(L, index)) return DEFAULT_PACKAGE_MAX_LENGTH;
    return hvl_check_integer(L, index, what, 1, READ_BYTES_MAX);
}

/* read_until(delimiter[, max]) */
static int conn_read_until(lua_State *L) {
    if (hvl_is_dual(L)) return hvl_dual(L);
    hvl_conn_t *conn = hvl_conn_check(L);
    size_t len = 0;
    const char *delimiter = lua_type(L, 2) == LUA_TSTRING ? lua_tolstring(L, 2, &len) : NULL;
    if (len == 0 || len > PACKAGE_MAX_DELIMITER_BYTES) {
        return hvl_misuse(L, "conn:read_until: delimiter must be a string of 1..8 bytes");
    }
    int64_t max = check_max(L, 3, "conn:read_until: max");
    int refused = cannot_read(L, conn);
    if (refused != 0) return refused;
    hio_set_max_read_bufsize(conn->io, (uint32_t)max);
    hio_read_until(conn->io, delimiter, len);
    return wait_for_bytes(L, conn, 0);
}

/* read_line([max]) */
static int conn_read_line(lua_State *L) {
    if (hvl_is_dual(L)) return hvl_dual(L);
    hvl_conn_t *conn = hvl_conn_check(L);
    int64_t max = check_max(L, 2, "conn:read_line: max");
    int refused = cannot_read(L, conn);
    if (refused != 0) return refused;
    hio_set_max_read_bufsize(conn->io, (uint32_t)max);
    hio_read_until_delim(conn->io, '\n');
    return wait_for_bytes(L, conn, 1);
}

/* ---- Writing ---- */

static void on_write_canceled(hvl_task_t *task, void *data) {
    (void)task;
    ((hvl_conn_t *)data)->writer.task = NULL;
}

/* The bytes of a list of strings; misuse where something else is in it. */
static size_t list_bytes(lua_State *L, int count) {
    size_t total = 0;
    for (int i = 1; i <= count; i++) {
        size_t len = 0;
        lua_rawgeti(L, 2, i);
        if (!lua_isstring(L, -1)) {
            hvl_misuse(L, "conn:write: string expected at [%d] of the list, got %s", i,
                       luaL_typename(L, -1));
        }
        lua_tolstring(L, -1, &len);
        lua_pop(L, 1);
        total += len;
    }
    return total;
}

static int write_list(lua_State *L, hio_t *io, int count) {
    for (int i = 1; i <= count; i++) {
        size_t len = 0;
        lua_rawgeti(L, 2, i);
        const char *data = lua_tolstring(L, -1, &len);
        int written = hio_write(io, data, len);
        lua_pop(L, 1);
        if (written < 0) return written;
    }
    return 0;
}

/* write(string | list): true at once, or after the queue has fallen below the mark. */
static int conn_write(lua_State *L) {
    if (hvl_is_dual(L)) return hvl_dual(L);
    hvl_conn_t *conn = hvl_conn_check(L);
    size_t len = 0;
    const char *data = lua_isstring(L, 2) ? lua_tolstring(L, 2, &len) : NULL;
    int count = data == NULL && lua_istable(L, 2) ? (int)lua_objlen(L, 2) : 0;
    if (data == NULL && !lua_istable(L, 2)) {
        return hvl_misuse(L, "conn:write: string or list of strings expected, got %s",
                          luaL_typename(L, 2));
    }
    if (data == NULL) len = list_bytes(L, count);
    if (conn->io == NULL || conn->is_closed_here) {
        return hvl_conn_push_error(L, conn, "write", conn->error ? conn->error : HV_ECLOSED);
    }
    hvl_task_t *current = conn->object.rt->current;
    if (current != NULL && current->is_canceled) return hvl_refuse(L, NULL);
    if (hvl_is_waited(&conn->writer) || conn->pipe != NULL) {
        return hvl_push_error(L, "write", HV_EBUSY);
    }
    if (len + hio_write_bufsize(conn->io) > WRITE_BYTES_MAX) {
        return hvl_push_error(L, "write", HV_ELIMIT);
    }
    int code = data != NULL ? hio_write(conn->io, data, len) : write_list(L, conn->io, count);
    if (code < 0) return hvl_push_error(L, "write", code);
    if (hio_write_is_high(conn->io)) {
        /* What one callback writes is collected first; only the queue behind it reports a drain. */
        hio_flush(conn->io);
        if (hio_is_opened(conn->io) && hio_write_is_high(conn->io) && hvl_may_wait(L)) {
            hio_setcb_drain(conn->io, on_drain);
            conn->writer = hvl_wait_begin(L, "write", -1, on_write_canceled, conn);
            return hvl_wait(L);
        }
    }
    lua_pushboolean(L, 1);
    return 1;
}

static int conn_shutdown(lua_State *L) {
    hvl_conn_t *conn = hvl_conn_check(L);
    int code = conn->io == NULL || conn->is_closed_here ? HV_ECLOSED : hio_shutdown(conn->io);
    if (code < 0) return hvl_push_error(L, "shutdown", code);
    lua_pushboolean(L, 1);
    return 1;
}

static int conn_close(lua_State *L) {
    hvl_conn_t *conn = hvl_conn_check(L);
    if (conn->object.rt->loop != NULL) close_conn(conn);
    lua_pushboolean(L, 1);
    return 1;
}

/* ---- Facts and options ---- */

static const struct sockaddr *peer_of(const hvl_conn_t *conn) {
    return conn->io != NULL ? hio_peeraddr(conn->io) : &conn->peer.sa;
}

static int conn_peer(lua_State *L) {
    hvl_conn_t *conn = hvl_conn_check(L);
    hvl_push_address(L, peer_of(conn));
    return 1;
}

static int conn_local_address(lua_State *L) {
    hvl_conn_t *conn = hvl_conn_check(L);
    if (conn->io == NULL) return hvl_push_error(L, "local_address", HV_ECLOSED);
    hvl_push_address(L, hio_localaddr(conn->io));
    return 1;
}

/* set_unpack(t or nil): the Lua side has checked t. */
static int conn_set_unpack(lua_State *L) {
    hvl_conn_t *conn = hvl_conn_check(L);
    if (lua_isnoneornil(L, 2)) {
        if (conn->io != NULL) hio_unset_unpack(conn->io);
        hvl_unref(conn->object.rt, &conn->unpack_ref);
        return 0;
    }
    unpack_setting_t setting;
    if (hvl_unpack_setting(L, 2, &setting) != 0) {
        return hvl_misuse(L, "conn:set_unpack: the setting is not valid");
    }
    if (conn->io == NULL || conn->is_closed_here) {
        return hvl_push_error(L, "set_unpack", HV_ECLOSED);
    }
    struct boxed_setting {
        hvl_object_t object;
        unpack_setting_t setting;
    } *box = hvl_object_new(L, conn->object.rt, &unpack_class, sizeof *box);
    box->setting = setting;
    hio_set_unpack(conn->io, &box->setting);
    hvl_unref(conn->object.rt, &conn->unpack_ref);
    conn->unpack_ref = hvl_ref(L);
    lua_pushboolean(L, 1);
    return 1;
}

/* set_timeout(read, write, idle): each a number of milliseconds, 0 for none, or nil to keep. */
static int conn_set_timeout(lua_State *L) {
    hvl_conn_t *conn = hvl_conn_check(L);
    if (conn->io == NULL) return hvl_push_error(L, "set_timeout", HV_ECLOSED);
    if (!lua_isnoneornil(L, 2)) {
        conn->read_timeout_ms = (uint32_t)lua_tointeger(L, 2);
        if (conn->read_timer != NULL) htimer_del(conn->read_timer);
        conn->read_timer = NULL;
        if (conn->read_timeout_ms > 0 && hvl_is_waited(&conn->reader)) watch_read_timeout(conn);
    }
    if (!lua_isnoneornil(L, 3)) hio_set_write_timeout(conn->io, (int)lua_tointeger(L, 3));
    if (!lua_isnoneornil(L, 4)) hio_set_keepalive_timeout(conn->io, (int)lua_tointeger(L, 4));
    lua_pushboolean(L, 1);
    return 1;
}

/* heartbeat(ms, fn); 0 ends it. Not a waiting call: its function is no callback form. */
static int conn_heartbeat(lua_State *L) {
    hvl_conn_t *conn = hvl_conn_check(L);
    int ms = (int)hvl_check_integer(L, 2, "conn:heartbeat: ms", 0, INT32_MAX);
    if (ms > 0 && !lua_isfunction(L, 3)) {
        return hvl_misuse(L, "conn:heartbeat: function expected, got %s", luaL_typename(L, 3));
    }
    if (conn->io == NULL || conn->is_closed_here) return hvl_push_error(L, "heartbeat", HV_ECLOSED);
    hvl_unref(conn->object.rt, &conn->heartbeat_ref);
    if (ms > 0) {
        lua_settop(L, 3);
        conn->heartbeat_ref = hvl_ref(L);
    }
    hio_set_heartbeat(conn->io, ms, on_heartbeat);
    lua_pushboolean(L, 1);
    return 1;
}

static int set_reference(lua_State *L, int is_referenced) {
    hvl_conn_t *conn = hvl_conn_check(L);
    if (conn->io != NULL && is_referenced) hevent_ref(conn->io);
    if (conn->io != NULL && !is_referenced) hevent_unref(conn->io);
    lua_settop(L, 1);
    return 1;
}

static int conn_ref(lua_State *L) { return set_reference(L, 1); }
static int conn_unref(lua_State *L) { return set_reference(L, 0); }

/* field(conn, key): what is no method. */
static int conn_field(lua_State *L) {
    hvl_conn_t *conn = hvl_conn_check(L);
    const char *key = lua_type(L, 2) == LUA_TSTRING ? lua_tostring(L, 2) : "";
    if (strcmp(key, "id") == 0 && conn->io != NULL) {
        lua_pushnumber(L, (lua_Number)hio_id(conn->io));
    } else if (strcmp(key, "_is_client") == 0) {
        lua_pushboolean(L, conn->is_client);
    } else if (strcmp(key, "data") == 0 && conn->has_data) {
        lua_getfenv(L, 1);
        lua_rawgeti(L, -1, 1);
    } else {
        lua_pushnil(L);
    }
    return 1;
}

static int conn_newindex(lua_State *L) {
    hvl_conn_t *conn = hvl_conn_check(L);
    const char *key = lua_type(L, 2) == LUA_TSTRING ? lua_tostring(L, 2) : "?";
    if (strcmp(key, "data") != 0) {
        return hvl_misuse(L, "hv.tcp: a connection has no field \"%s\" to set; use conn.data", key);
    }
    lua_settop(L, 3);
    if (conn->has_data) {
        lua_getfenv(L, 1);
    } else {
        lua_createtable(L, 1, 0);
        lua_pushvalue(L, -1);
        lua_setfenv(L, 1);
        conn->has_data = 1;
    }
    lua_insert(L, 3);
    lua_rawseti(L, 3, 1);
    return 0;
}

static const char *state_name(const hvl_conn_t *conn) {
    if (conn->io == NULL) return "closed";
    if (conn->is_closed_here) return "closing";
    return conn->is_connecting ? "connecting" : "open";
}

static int conn_tostring(lua_State *L) {
    hvl_conn_t *conn = hvl_conn_check(L);
    char local[128], peer[128];
    if (conn->io == NULL) {
        lua_pushfstring(L, "%s{closed -> %s}", conn->object.class_->name,
                        hvl_address_text(peer_of(conn), peer, sizeof peer));
        return 1;
    }
    lua_pushfstring(L, "%s{%s %s -> %s}", conn->object.class_->name, state_name(conn),
                    hvl_address_text(hio_localaddr(conn->io), local, sizeof local),
                    hvl_address_text(peer_of(conn), peer, sizeof peer));
    return 1;
}

void hvl_conn_open(lua_State *L, hvl_t *rt) {
    static const luaL_Reg methods[] = {{"read", conn_read},
                                       {"read_until", conn_read_until},
                                       {"read_line", conn_read_line},
                                       {"write", conn_write},
                                       {"shutdown", conn_shutdown},
                                       {"close", conn_close},
                                       {"peer", conn_peer},
                                       {"local_address", conn_local_address},
                                       {"set_unpack", conn_set_unpack},
                                       {"set_timeout", conn_set_timeout},
                                       {"heartbeat", conn_heartbeat},
                                       {"start_tls", hvl_conn_start_tls},
                                       {"tls", hvl_conn_tls},
                                       {"pipe", hvl_conn_pipe},
                                       {"ref", conn_ref},
                                       {"unref", conn_unref},
                                       {NULL, NULL}};
    static const luaL_Reg metamethods[] = {
        {"__newindex", conn_newindex}, {"__tostring", conn_tostring}, {NULL, NULL}};
    static const luaL_Reg functions[] = {{"field", conn_field}, {NULL, NULL}};
    hvl_handlers_open(L, rt);
    hvl_pipe_open(L, rt);
    hvl_class_new(L, rt, &unpack_class, NULL, NULL);
    lua_pop(L, 1);
    lua_newtable(L);
    hvl_setfuncs(L, rt, functions);
    hvl_class_new(L, rt, &hvl_conn_class, methods, metamethods);
    lua_setfield(L, -2, "methods");
    hvl_class_push(L, &hvl_conn_class);
    lua_setfield(L, -2, "meta");
}
