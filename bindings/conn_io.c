/* conn_io.c - reading from a connection and writing to it, for tasks.
 *
 * Nothing is read unless a task waits for it: each read tells the io how much it wants (the next
 * bytes, exactly n, up to a delimiter, a packet), and the io stops by itself after it has delivered
 * that. What came beyond stays with the io.
 *
 * Timeouts of reads are lazy: a wait only leaves its start behind, and the one timer of a
 * connection looks at it when it fires; a busy connection costs no timer operation a message. */
#include "conn.h"

#define READ_BYTES_MAX (1 << 30)

/* ---- Reading ---- */

static size_t without_line_end(const char *data, size_t len) {
    if (len > 0 && data[len - 1] == '\n') len--;
    if (len > 0 && data[len - 1] == '\r') len--;
    return len;
}

void hvl_conn_on_bytes(hio_t *io, void *buf, int len) {
    hvl_conn_t *conn = hevent_userdata(io);
    size_t bytes = conn->is_line ? without_line_end(buf, (size_t)len) : (size_t)len;
    hvl_task_t *task = hvl_wake(&conn->reader);
    if (task == NULL) return;
    lua_pushlstring(task->co, buf, bytes);
    hvl_resume_now(task, 1);
}

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

void hvl_conn_watch_reader(hvl_conn_t *conn) {
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
    if (conn->read_timeout_ms > 0) hvl_conn_watch_reader(conn);
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
    if (len + hio_write_bufsize(conn->io) > HVL_WRITE_BYTES_MAX) {
        return hvl_push_error(L, "write", HV_ELIMIT);
    }
    int code = data != NULL ? hio_write(conn->io, data, len) : write_list(L, conn->io, count);
    if (code < 0) return hvl_push_error(L, "write", code);
    if (hio_write_is_high(conn->io)) {
        /* What one callback writes is collected first; only the queue behind it reports a drain. */
        hio_flush(conn->io);
        if (hio_is_opened(conn->io) && hio_write_is_high(conn->io) && hvl_may_wait(L)) {
            hio_setcb_drain(conn->io, hvl_conn_on_drain);
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
    if (conn->object.rt->loop != NULL) hvl_conn_close(conn);
    lua_pushboolean(L, 1);
    return 1;
}

const luaL_Reg hvl_conn_io_methods[] = {{"read", conn_read},
                                        {"read_until", conn_read_until},
                                        {"read_line", conn_read_line},
                                        {"write", conn_write},
                                        {"shutdown", conn_shutdown},
                                        {"close", conn_close},
                                        {NULL, NULL}};
