/* conn_pipe.c - conn:pipe(): what one connection brings goes to another, in the core, with no Lua
 * per byte. Up to three connections take part: a program has one for its input and one for its
 * output. The pipe is over when all of them are closed; then its task goes on. */
#include "conn.h"

typedef struct hvl_pipe_s {
    hvl_object_t object; /* anchored while one of them is open */
    hvl_waiter_t waiter;
    hvl_conn_t *conn; /* the one whose method was called */
    int open;         /* connections that take part and are not closed */
    uint64_t sent;    /* from conn to the other */
    uint64_t received;
    int error; /* the first, or 0 */
    const char *tls_error;
} hvl_pipe_t;

static const hvl_class_t pipe_class = {"hv.tcp.pipe"};

/* Pushes how it has ended: sent, received; or nil, message, code, sent, received. */
static int push_outcome(lua_State *L, const hvl_pipe_t *pipe) {
    int count = 0;
    if (pipe->error == -HV_ETLS || pipe->error == HV_ETLS) {
        count = hvl_tls_push_error(L, "pipe", pipe->tls_error);
    } else if (pipe->error != 0) {
        count = hvl_push_error(L, "pipe", pipe->error);
    }
    lua_pushnumber(L, (lua_Number)pipe->sent);
    lua_pushnumber(L, (lua_Number)pipe->received);
    return count + 2;
}

void hvl_pipe_lost(hvl_conn_t *conn) {
    hvl_pipe_t *pipe = conn->pipe;
    uint64_t bytes = hio_forwarded_bytes(conn->io);
    conn->pipe = NULL;
    if (conn == pipe->conn) {
        pipe->sent = bytes;
    } else {
        pipe->received += bytes;
    }
    if (pipe->error == 0) {
        pipe->error = conn->error != 0 ? conn->error : conn->is_closed_here ? HV_ECLOSED : 0;
        pipe->tls_error = conn->tls_error;
    }
    if (--pipe->open > 0) return;
    hvl_task_t *task = hvl_wake(&pipe->waiter);
    if (task != NULL) hvl_resume_later(task, push_outcome(task->co, pipe));
    hvl_unanchor(pipe);
}

/* The task that waits is its owner: without it nobody knows of the connections any more. */
static void on_canceled(hvl_task_t *task, void *data) {
    (void)task;
    hvl_pipe_t *pipe = data;
    pipe->waiter.task = NULL;
    if (pipe->conn->pipe == pipe && pipe->conn->io != NULL) hio_close(pipe->conn->io);
}

static int refusal(const hvl_conn_t *conn) {
    if (conn->io == NULL || conn->is_closed_here) return HV_ECLOSED;
    if (conn->pipe != NULL) return HV_EBUSY;
    return hvl_is_waited(&conn->reader) || hvl_is_waited(&conn->writer) ? HV_EBUSY : 0;
}

/* Links them. Returns 0 or a code, and then nothing has changed but what may be tried again. */
static int link_all(hvl_conn_t *conn, hvl_conn_t *sink, hvl_conn_t *source) {
    if (sink == source) return hio_forward(conn->io, sink->io);
    int code = sink != NULL ? hio_forward_to(conn->io, sink->io) : 0;
    if (code == 0 && source != NULL) code = hio_forward_to(source->io, conn->io);
    return code;
}

static void take(hvl_pipe_t *pipe, hvl_conn_t *conn) {
    if (conn == NULL || conn->pipe == pipe) return;
    conn->pipe = pipe;
    pipe->open++;
    conn->is_paused = 0;
    conn->is_kept_paused = 1; /* reading is the pipe's */
    hio_unset_unpack(conn->io);
    if (conn->is_loose) hevent_ref(conn->io);
    conn->is_loose = 0;
}

/* pipe(conn, sink, source): where its bytes go, and whose it gets; the same one, or one is nil. */
int hvl_conn_pipe(lua_State *L) {
    hvl_conn_t *conn = hvl_conn_check(L);
    hvl_conn_t *sink = lua_isnil(L, 2) ? NULL : hvl_check(L, 2, &hvl_conn_class);
    hvl_conn_t *source = lua_isnil(L, 3) ? NULL : hvl_check(L, 3, &hvl_conn_class);
    if (sink == conn || source == conn) {
        return hvl_misuse(L, "conn:pipe: a connection cannot be piped into itself");
    }
    if (!hvl_may_wait(L)) return hvl_refuse(L, NULL);
    int code = refusal(conn);
    if (code == 0 && sink != NULL) code = refusal(sink);
    if (code == 0 && source != NULL) code = refusal(source);
    if (code != 0) return hvl_push_error(L, "pipe", code);
    hvl_pipe_t *pipe = hvl_object_new(L, conn->object.rt, &pipe_class, sizeof *pipe);
    code = link_all(conn, sink, source);
    if (code != 0) return hvl_push_error(L, "pipe", code);
    pipe->conn = conn;
    take(pipe, conn);
    take(pipe, sink);
    take(pipe, source);
    hvl_anchor(L, -1);
    pipe->waiter = hvl_wait_begin(L, "pipe", -1, on_canceled, pipe);
    return hvl_wait(L);
}

void hvl_pipe_open(lua_State *L, hvl_t *rt) {
    hvl_class_new(L, rt, &pipe_class, NULL, NULL);
    lua_pop(L, 1);
}
