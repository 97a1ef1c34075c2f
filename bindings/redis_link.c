/* redis_link.c - a link: the two ways of a connection to a Redis server.
 *
 * Out: a call writes its command and waits; a pipeline writes many and waits once. What one pass of
 * the loop writes leaves in one system call, so tasks that call at the same time share packets
 * without knowing of each other.
 *
 * In: replies come in the order of the commands. `queue` is a ring of who expects them. An entry
 * whose task has given up stays where it is, and its reply is read and dropped: so no reply ever
 * reaches another caller.
 *
 * Messages that nobody asked for (the push type of RESP3; under RESP2 what a connection that has
 * subscribed receives) go to one function, one after the other, as the event style of hv.tcp does:
 * while it waits, further ones are kept. Reading rests while many are kept and no call waits for
 * its reply; beyond max_messages, which only replies of calls can lead to, the connection ends.
 *
 * The stream is an hv.tcp connection of the task style, whose io is read here instead. Its end is
 * told to the Lua side (on_lost), which fails what waits by link:fail. */
#include "redis_link.h"

#define QUEUE_MAX (1 << 20) /* entries that may wait for replies */
#define OUT_KEPT  65536     /* bytes of `out` that stay for the next command */

static const hvl_class_t link_class = {"hv.redis_link"};

/* A link lives while it is connected, while a task runs for it, and while we work on it. */
void hvl_link_leave(hvl_link_t *link) {
    int is_used = link->is_busy || link->is_reading || link->is_delivering;
    if (link->conn == NULL && !is_used) hvl_unanchor(link);
}

/* ---- The queue ---- */

/* Room for one more. Returns 0, HV_ELIMIT or HV_ENOMEM. */
static int queue_reserve(hvl_link_t *link) {
    if (link->queue_count < link->queue_cap) return 0;
    if (link->queue_count >= QUEUE_MAX) return HV_ELIMIT;
    uint32_t cap = link->queue_cap > 0 ? link->queue_cap * 2 : 16;
    hvl_link_entry_t *queue = hv_malloc(cap * sizeof *queue);
    if (queue == NULL) return HV_ENOMEM;
    for (uint32_t i = 0; i < link->queue_count; i++) {
        queue[i] = link->queue[(link->queue_first + i) & (link->queue_cap - 1)];
    }
    hv_free(link->queue);
    link->queue = queue;
    link->queue_first = 0;
    link->queue_cap = cap;
    return 0;
}

static void queue_push(hvl_link_t *link, const hvl_link_entry_t *entry) {
    link->queue[(link->queue_first + link->queue_count++) & (link->queue_cap - 1)] = *entry;
}

hvl_link_entry_t hvl_link_pop(hvl_link_t *link) {
    hvl_link_entry_t entry = link->queue[link->queue_first];
    link->queue_first = (link->queue_first + 1) & (link->queue_cap - 1);
    link->queue_count--;
    return entry;
}

/* ---- The connection ---- */

static void on_drain(hio_t *io) {
    hvl_link_t *link = hio_context(io);
    if (link->object.rt->loop == NULL) return;
    hvl_task_t *task = hvl_task_begin_ref(link->object.rt, link->on_drain_ref);
    if (task != NULL) hvl_task_run(task, 0);
}

/* The end of the connection, after hv.tcp has been told. */
static void on_close(hio_t *io) {
    hvl_link_t *link = hio_context(io);
    int code = hio_error(io);
    link->on_conn_close(io);
    hvl_t *rt = link->object.rt;
    if (rt->loop == NULL || link->conn == NULL || link->conn->io != NULL) return;
    if (code == 0) code = link->error != 0 ? link->error : HV_EOF;
    hvl_task_t *task = hvl_task_begin_ref(rt, link->on_lost_ref);
    if (task == NULL) return;
    lua_pushstring(task->co, herr_text(code));
    lua_pushstring(task->co, herr_name(code));
    hvl_task_run(task, 2);
}

/* ---- Making and ending ---- */

static hvl_link_t *check_link(lua_State *L) { return hvl_check(L, 1, &link_class); }

static uint64_t limit_argument(lua_State *L, int index) {
    return (uint64_t)luaL_optnumber(L, index, 0);
}

static int ref_argument(lua_State *L, int index) {
    lua_pushvalue(L, index);
    return hvl_ref(L);
}

/* link(on_push, on_drain, on_lost, error_meta, to_integer, bulk_bytes, reply_bytes, depth,
 * messages) */
int hvl_redis_link_new(lua_State *L) {
    hvl_t *rt = hvl_self(L);
    luaL_checktype(L, 1, LUA_TFUNCTION);
    luaL_checktype(L, 2, LUA_TFUNCTION);
    luaL_checktype(L, 3, LUA_TFUNCTION);
    luaL_checktype(L, 4, LUA_TTABLE);
    luaL_checktype(L, 5, LUA_TFUNCTION);
    uint32_t messages_max = (uint32_t)hvl_check_integer(L, 9, "hv.redis: max_messages", 1,
                                                        HVL_LINK_MESSAGES_MAX);
    hvl_link_t *link = hvl_object_new(L, rt, &link_class, sizeof *link);
    link->conn_ref = link->on_push_ref = link->on_drain_ref = LUA_NOREF;
    link->on_lost_ref = link->messages_ref = link->reply.stack_ref = LUA_NOREF;
    link->reply.error_meta_ref = link->reply.integer_ref = LUA_NOREF;
    link->limits.bulk_bytes = limit_argument(L, 6);
    link->limits.reply_bytes = limit_argument(L, 7);
    link->limits.depth = (uint32_t)limit_argument(L, 8);
    link->messages_max = messages_max;
    hvl_reply_init(L, &link->reply);
    link->on_push_ref = ref_argument(L, 1);
    link->on_drain_ref = ref_argument(L, 2);
    link->on_lost_ref = ref_argument(L, 3);
    link->reply.error_meta_ref = ref_argument(L, 4);
    link->reply.integer_ref = ref_argument(L, 5);
    lua_newtable(L);
    link->messages_ref = hvl_ref(L);
    return 1;
}

static int link_gc(lua_State *L) {
    hvl_link_t *link = check_link(L);
    hvl_t *rt = link->object.rt;
    hvl_bytes_deinit(&link->in);
    hvl_bytes_deinit(&link->out);
    hv_free(link->queue);
    link->queue = NULL;
    hvl_unref(rt, &link->conn_ref);
    hvl_unref(rt, &link->on_push_ref);
    hvl_unref(rt, &link->on_drain_ref);
    hvl_unref(rt, &link->on_lost_ref);
    hvl_unref(rt, &link->messages_ref);
    hvl_reply_deinit(rt, &link->reply);
    return 0;
}

/* attach(conn): reads a connected stream from now on. */
static int link_attach(lua_State *L) {
    hvl_link_t *link = check_link(L);
    hvl_conn_t *conn = hvl_check(L, 2, &hvl_conn_class);
    if (link->conn != NULL) return hvl_misuse(L, "hv.redis: the link is connected already");
    if (conn->io == NULL || conn->is_closed_here) return hvl_push_error(L, "attach", HV_ECLOSED);
    link->is_subscriber = 0;
    link->error = 0;
    link->is_flooded = 0;
    link->is_resting = 0;
    hresp_init(&link->parser, &link->limits);
    hvl_reply_reset(&link->reply);
    lua_pushvalue(L, 2);
    link->conn_ref = hvl_ref(L);
    link->conn = conn;
    link->heard_us = hloop_now_hrtime(link->object.rt->loop);
    hvl_anchor(L, 1);
    hio_set_context(conn->io, link);
    hio_setcb_read(conn->io, hvl_link_on_bytes);
    hio_setcb_eof(conn->io, NULL);
    hio_setcb_drain(conn->io, on_drain);
    link->on_conn_close = hio_getcb_close(conn->io);
    hio_setcb_close(conn->io, on_close);
    hio_read(conn->io);
    lua_pushboolean(L, 1);
    return 1;
}

/* Gives the connection its own callbacks back: it may live longer than we do. */
static void let_go(hvl_link_t *link) {
    hio_t *io = link->conn != NULL ? link->conn->io : NULL;
    if (io != NULL) {
        hio_setcb_read(io, NULL);
        hio_setcb_drain(io, NULL);
        hio_setcb_close(io, link->on_conn_close);
        hio_set_context(io, NULL);
    }
    link->conn = NULL;
    hvl_unref(link->object.rt, &link->conn_ref);
}

/* fail(message, code): the connection has gone. Ends every call that waits with that; kept messages
 * are still delivered. Returns how many calls there were. */
static int link_fail(lua_State *L) {
    hvl_link_t *link = check_link(L);
    hvl_t *rt = link->object.rt;
    luaL_checkstring(L, 2);
    luaL_checkstring(L, 3);
    lua_Integer count = 0;
    let_go(link);
    while (link->queue_count > 0) {
        hvl_link_entry_t entry = hvl_link_pop(link);
        hvl_unref(rt, &entry.results_ref);
        hvl_task_t *task = hvl_wake(&entry.waiter);
        if (task == NULL) continue;
        count++;
        lua_pushnil(task->co);
        lua_pushvalue(L, 2);
        lua_pushvalue(L, 3);
        lua_xmove(L, task->co, 2);
        hvl_resume_later(task, 3);
    }
    if (!link->is_reading) {
        hvl_bytes_deinit(&link->in);
        hvl_reply_reset(&link->reply);
    }
    hvl_link_leave(link);
    lua_pushinteger(L, count);
    return 1;
}

/* ---- Calls ---- */

/* Whether something can be written now. Returns 0 or a code: HV_EAGAIN where it has to wait until
 * the queue of bytes has gone down. */
static int may_write(hvl_link_t *link) {
    const hvl_conn_t *conn = link->conn;
    if (conn == NULL || conn->io == NULL || conn->is_closed_here || link->error != 0) {
        return HV_ENOTCONN;
    }
    if (hio_write_is_high(conn->io)) return HV_EAGAIN;
    return queue_reserve(link);
}

/* Writes what lies in `out`, and waits for what answers it. */
static int write_and_wait(lua_State *L, hvl_link_t *link, hvl_bytes_t *out, hvl_link_entry_t *entry,
                          int64_t timeout_ms) {
    int code = hio_write(link->conn->io, out->base + out->start, out->end - out->start);
    if (code < 0) {
        hvl_unref(link->object.rt, &entry->results_ref);
        return hvl_push_error(L, "write", code);
    }
    if (timeout_ms <= 0) timeout_ms = -1;
    entry->waiter = hvl_wait_begin(L, "call", timeout_ms, NULL, NULL);
    queue_push(link, entry);
    if (link->out.cap > OUT_KEPT) hvl_bytes_deinit(&link->out);
    if (link->is_resting) hvl_link_balance(link);
    return hvl_wait(L);
}

/* call(timeout, name, ...) -> the reply; nil, message, code[, kind]. 0: no timeout. */
static int link_call(lua_State *L) {
    hvl_link_t *link = check_link(L);
    lua_Number timeout_ms = luaL_checknumber(L, 2);
    link->out.start = link->out.end = 0;
    int code = hvl_redis_write(L, 3, &link->out);
    if (code == 0) code = may_write(link);
    if (code != 0) return hvl_push_error(L, "call", code);
    if (!hvl_may_wait(L)) return hvl_refuse(L, NULL);
    hvl_link_entry_t entry = {.left = 1, .results_ref = LUA_NOREF, .kind = HVL_LINK_CALL};
    return write_and_wait(L, link, &link->out, &entry, (int64_t)timeout_ms);
}

/* subscribe(timeout, name, channels...) -> true; as call. A message confirms each channel. */
static int link_subscribe(lua_State *L) {
    hvl_link_t *link = check_link(L);
    lua_Number timeout_ms = luaL_checknumber(L, 2);
    const char *name = luaL_checkstring(L, 3);
    hvl_link_entry_t entry = {.results_ref = LUA_NOREF,
                              .kind = HVL_LINK_SUBSCRIBE,
                              .expects = hvl_link_confirmation(name)};
    entry.left = (uint32_t)(lua_gettop(L) - 3);
    if (lua_istable(L, 4)) entry.left = (uint32_t)lua_objlen(L, 4);
    if (entry.left == 0) return hvl_misuse(L, "hv.redis: a channel is missing");
    link->out.start = link->out.end = 0;
    int code = hvl_redis_write(L, 3, &link->out);
    if (code == 0) code = may_write(link);
    if (code != 0) return hvl_push_error(L, "call", code);
    if (!hvl_may_wait(L)) return hvl_refuse(L, NULL);
    return write_and_wait(L, link, &link->out, &entry, (int64_t)timeout_ms);
}

/* exec(timeout, pipe) -> list of replies, errors among them; nil, message, code */
static int link_exec(lua_State *L) {
    hvl_link_t *link = check_link(L);
    lua_Number timeout_ms = luaL_checknumber(L, 2);
    hvl_pipe_t *pipe = hvl_check(L, 3, &hvl_pipe_class);
    pipe->out.end = pipe->out.start + pipe->whole;
    int code = may_write(link);
    if (code != 0) return hvl_push_error(L, "pipeline", code);
    if (pipe->count == 0) {
        lua_newtable(L);
        return 1;
    }
    if (!hvl_may_wait(L)) return hvl_refuse(L, NULL);
    hvl_link_entry_t entry = {.left = pipe->count, .kind = HVL_LINK_PIPELINE};
    lua_createtable(L, (int)pipe->count, 0);
    entry.results_ref = hvl_ref(L);
    return write_and_wait(L, link, &pipe->out, &entry, (int64_t)timeout_ms);
}

/* ---- Facts ---- */

/* set_subscriber(yes): whether arrays may be messages (RESP2) */
static int link_set_subscriber(lua_State *L) {
    check_link(L)->is_subscriber = (uint8_t)lua_toboolean(L, 2);
    return 0;
}

static int link_pending(lua_State *L) {
    lua_pushinteger(L, (lua_Integer)check_link(L)->queue_count);
    return 1;
}

/* silence() -> milliseconds since bytes came in last */
static int link_silence(lua_State *L) {
    const hvl_link_t *link = check_link(L);
    uint64_t us = hloop_now_hrtime(link->object.rt->loop) - link->heard_us;
    lua_pushnumber(L, (lua_Number)us / 1000);
    return 1;
}

/* error() -> message, code of why this side has ended the connection; nothing where it has not */
static int link_error(lua_State *L) {
    const hvl_link_t *link = check_link(L);
    if (link->error == 0) return 0;
    lua_pushstring(L, link->is_flooded            ? "more than max_messages messages wait"
                      : link->error == HV_EPROTO ? "the server sends what is no reply"
                                                  : "a reply is beyond the limits");
    lua_pushstring(L, herr_name(link->error));
    return 2;
}

/* is_high() -> whether calls have to wait until bytes have gone out */
static int link_is_high(lua_State *L) {
    const hvl_link_t *link = check_link(L);
    int is_high = link->conn != NULL && link->conn->io != NULL && hio_write_is_high(link->conn->io);
    if (is_high) {
        hio_flush(link->conn->io);
        is_high = hio_write_is_high(link->conn->io);
    }
    lua_pushboolean(L, is_high);
    return 1;
}

static int link_tostring(lua_State *L) {
    const hvl_link_t *link = check_link(L);
    lua_pushfstring(L, "hv.redis_link{%s, %d waiting}", link->conn != NULL ? "open" : "closed",
                    (int)link->queue_count);
    return 1;
}

void hvl_redis_link_open(lua_State *L, hvl_t *rt) {
    static const luaL_Reg methods[] = {
        {"attach", link_attach}, {"fail", link_fail},       {"call", link_call},
        {"exec", link_exec},     {"pending", link_pending}, {"silence", link_silence},
        {"error", link_error},   {"is_high", link_is_high}, {"subscribe", link_subscribe},
        {"set_subscriber", link_set_subscriber}, {NULL, NULL}};
    static const luaL_Reg metamethods[] = {
        {"__gc", link_gc}, {"__tostring", link_tostring}, {NULL, NULL}};
    hvl_class_new(L, rt, &link_class, methods, metamethods);
    lua_setfield(L, -2, "link_methods");
}
