/* conn_tls.c - TLS on a connection: begun in the middle of it, and what it has agreed on. */
#include "conn.h"

/* ---- start_tls ---- */

static void on_open(hio_t *io) {
    hvl_conn_t *conn = hevent_userdata(io);
    conn->is_starting_tls = 0;
    hvl_task_t *task = hvl_wake(&conn->reader);
    if (task == NULL) return;
    lua_pushboolean(task->co, 1);
    hvl_resume_now(task, 1);
}

/* Half a handshake is of no use to anybody. */
static void on_canceled(hvl_task_t *task, void *data) {
    (void)task;
    hvl_conn_t *conn = data;
    conn->reader.task = NULL;
    conn->is_starting_tls = 0;
    if (conn->io != NULL) hio_abort(conn->io);
}

/* The name to verify: the option's, or the host that the connection was made to. */
static void set_host(lua_State *L, const hvl_conn_t *conn, int index) {
    if (lua_isstring(L, index)) {
        hio_set_hostname(conn->io, lua_tostring(L, index));
    } else if (conn->host_ref != LUA_NOREF) {
        lua_rawgeti(L, LUA_REGISTRYINDEX, conn->host_ref);
        hio_set_hostname(conn->io, lua_tostring(L, -1));
        lua_pop(L, 1);
    }
}

/* start_tls(ctx, name or nil, timeout): all checked. */
int hvl_conn_start_tls(lua_State *L) {
    hvl_conn_t *conn = hvl_conn_check(L);
    hssl_ctx_t ctx = hvl_tls_context(L, 2);
    int timeout_ms = (int)luaL_checkinteger(L, 4);
    if (conn->io == NULL || conn->is_closed_here) {
        return hvl_conn_push_error(L, conn, "start_tls", HV_ECLOSED);
    }
    if (!hvl_may_wait(L)) return hvl_refuse(L, NULL);
    if (hvl_is_waited(&conn->reader) || conn->pipe != NULL) {
        return hvl_push_error(L, "start_tls", HV_EBUSY);
    }
    int code = hio_set_ssl_ctx(conn->io, ctx);
    if (code != 0) return hvl_push_error(L, "start_tls", code);
    if (conn->is_client) set_host(L, conn, 3);
    hio_set_handshake_timeout(conn->io, timeout_ms);
    hio_setcb_accept(conn->io, NULL);
    hio_setcb_connect(conn->io, on_open);
    conn->is_starting_tls = 1;
    conn->reader = hvl_wait_begin(L, "start_tls", -1, on_canceled, conn);
    return hvl_wait(L);
}

/* tls() -> facts; nil where it does not speak TLS */
int hvl_conn_tls(lua_State *L) {
    hvl_conn_t *conn = hvl_conn_check(L);
    if (conn->io == NULL) return hvl_push_error(L, "tls", HV_ECLOSED);
    if (hio_ssl_version(conn->io) == NULL) return 0;
    hvl_tls_push_facts(L, conn->io);
    return 1;
}
