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
 * its reply.
 *
 * The stream is an hv.tcp connection of the task style, whose io is read here instead. Its end is
 * told to the Lua side (on_lost), which fails what waits by link:fail. */
#include <strings.h>

#include "conn.h"
#include "redis.h"

#define QUEUE_MAX     (1 << 20) /* entries that may wait for replies */
#define OUT_KEPT      65536     /* bytes of `out` that stay for the next command */
#define MESSAGES_HIGH 1024      /* kept messages, from which on reading rests */
#define MESSAGES_MAX  (1 << 20) /* kept while calls keep it reading; beyond it ELIMIT */

enum { CALL, PIPELINE, SUBSCRIBE };

/* What a subscription is confirmed with, by the names of the commands in lower case. */
static const char *const confirmations[] = {"",           "subscribe",    "psubscribe",
                                            "ssubscribe", "unsubscribe",  "punsubscribe",
                                            "sunsubscribe"};

typedef struct entry_s {
    hvl_waiter_t waiter;
    uint32_t left;   /* replies to come */
    int results_ref; /* of a pipeline: its list */
    int filled;      /* items in it */
    uint8_t kind;
    uint8_t expects; /* of a subscription: index in `confirmations` */
} entry_t;

typedef struct link_s {
    hvl_object_t object;
    hvl_conn_t *conn; /* held by conn_ref; NULL: not connected */
    int conn_ref;
    int on_push_ref;
    int on_drain_ref;
    int on_lost_ref;
    hclose_cb on_conn_close; /* the connection's own close callback, which comes first */
    int messages_ref; /* the list of kept messages */
    int first_message, last_message;
    hresp_t parser;
    hresp_limits_t limits;
    hvl_reply_t reply;
    hvl_bytes_t in;  /* bytes of a token that is not complete */
    hvl_bytes_t out; /* the command at hand */
    entry_t *queue;
    uint32_t queue_first, queue_count, queue_cap;
    uint64_t heard_us;     /* when bytes came last */
    int error;             /* why this side has ended the connection, or 0 */
    uint8_t is_reading;    /* on_bytes is on the C stack */
    uint8_t is_resting;    /* reading is stopped */
    uint8_t is_subscriber; /* RESP2: arrays may be messages */
    uint8_t is_delivering; /* deliver_kept is on the C stack */
    uint8_t is_busy;       /* a task runs on_push */
} link_t;

static const hvl_class_t link_class = {"hv.redis_link"};

/* A link lives while it is connected, while a task runs for it, and while we work on it. */
static void leave_anchor(link_t *link) {
    int is_used = link->is_busy || link->is_reading || link->is_delivering;
    if (link->conn == NULL && !is_used) hvl_unanchor(link);
}

/* ---- The queue ---- */

static entry_t *queue_head(link_t *link) {
    return link->queue_count > 0 ? &link->queue[link->queue_first] : NULL;
}

/* Room for one more. Returns 0, HV_ELIMIT or HV_ENOMEM. */
static int queue_reserve(link_t *link) {
    if (link->queue_count < link->queue_cap) return 0;
    if (link->queue_count >= QUEUE_MAX) return HV_ELIMIT;
    uint32_t cap = link->queue_cap > 0 ? link->queue_cap * 2 : 16;
    entry_t *queue = hv_malloc(cap * sizeof *queue);
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

static void queue_push(link_t *link, const entry_t *entry) {
    link->queue[(link->queue_first + link->queue_count++) & (link->queue_cap - 1)] = *entry;
}

static entry_t queue_pop(link_t *link) {
    entry_t entry = link->queue[link->queue_first];
    link->queue_first = (link->queue_first + 1) & (link->queue_cap - 1);
    link->queue_count--;
    return entry;
}

/* ---- Messages ---- */

static void rest_or_read(link_t *link) {
    if (link->conn == NULL || link->conn->io == NULL) return;
    int kept = link->last_message - link->first_message;
    int must_rest = kept >= MESSAGES_HIGH && link->queue_count == 0;
    if (must_rest == link->is_resting) return;
    link->is_resting = (uint8_t)must_rest;
    if (must_rest) {
        hio_read_stop(link->conn->io);
    } else {
        hio_read(link->conn->io);
    }
}

static void deliver_kept(link_t *link);

static void on_push_finished(hvl_task_t *task, int status) {
    (void)status;
    link_t *link = task->userdata[0];
    link->is_busy = 0;
    if (link->object.rt->loop == NULL) return;
    deliver_kept(link);
    leave_anchor(link);
}

/* Hands the kept messages over, one task each, until one waits. */
static void deliver_kept(link_t *link) {
    if (link->is_delivering) return;
    hvl_t *rt = link->object.rt;
    link->is_delivering = 1;
    while (!link->is_busy && link->first_message < link->last_message) {
        hvl_task_t *task = hvl_task_begin_ref(rt, link->on_push_ref);
        if (task == NULL) break;
        lua_rawgeti(task->co, LUA_REGISTRYINDEX, link->messages_ref);
        lua_rawgeti(task->co, -1, ++link->first_message);
        lua_pushnil(task->co);
        lua_rawseti(task->co, -3, link->first_message);
        lua_remove(task->co, -2);
        task->on_finish = on_push_finished;
        task->userdata[0] = link;
        link->is_busy = 1;
        hvl_task_run(task, 1);
    }
    link->is_delivering = 0;
    if (link->first_message == link->last_message) link->first_message = link->last_message = 0;
    rest_or_read(link);
}

/* The message on top of the reply's stack, popped. */
static void keep_message(link_t *link) {
    lua_State *S = link->reply.stack;
    lua_rawgeti(S, LUA_REGISTRYINDEX, link->messages_ref);
    lua_insert(S, -2);
    lua_rawseti(S, -2, ++link->last_message);
    lua_pop(S, 1);
    if (link->last_message - link->first_message > MESSAGES_MAX) link->error = HV_ELIMIT;
}

/* The index in `confirmations` of the first item of the list on top: 0 where it is none of them,
 * -1 where it is no message at all. */
static int message_kind(lua_State *S) {
    static const char *const others[] = {"message", "pmessage", "smessage"};
    int kind = -1;
    lua_rawgeti(S, -1, 1);
    const char *name = lua_type(S, -1) == LUA_TSTRING ? lua_tostring(S, -1) : "";
    for (size_t i = 0; i < ARRAY_SIZE(others); i++) {
        if (strcmp(name, others[i]) == 0) kind = 0;
    }
    for (size_t i = 1; i < ARRAY_SIZE(confirmations); i++) {
        if (strcmp(name, confirmations[i]) == 0) kind = (int)i;
    }
    lua_pop(S, 1);
    return kind;
}

/* ---- Replies ---- */

/* The value on top of the reply's stack as the results of a call, moved to the task. */
static int push_results(link_t *link, lua_State *co) {
    lua_State *S = link->reply.stack;
    if (!hvl_reply_is_error(&link->reply)) {
        lua_xmove(S, co, 1);
        return 1;
    }
    lua_pushnil(co);
    lua_getfield(S, -1, "message");
    lua_getfield(S, -2, "code");
    lua_getfield(S, -3, "kind");
    lua_xmove(S, co, 3);
    lua_pop(S, 1);
    return 4;
}

static void finish_entry(link_t *link) {
    entry_t entry = queue_pop(link);
    hvl_task_t *task = hvl_wake(&entry.waiter);
    if (task == NULL) {
        lua_settop(link->reply.stack, 0);
        return;
    }
    hvl_resume_now(task, push_results(link, task->co));
}

static void add_to_pipeline(link_t *link, entry_t *entry) {
    lua_State *S = link->reply.stack;
    lua_rawgeti(S, LUA_REGISTRYINDEX, entry->results_ref);
    lua_insert(S, -2);
    lua_rawseti(S, -2, ++entry->filled);
    if (--entry->left > 0) {
        lua_pop(S, 1);
        return;
    }
    hvl_unref(link->object.rt, &entry->results_ref);
    finish_entry(link);
}

/* A message, or the confirmation of a subscription that somebody waits for. */
static void take_message(link_t *link, int kind) {
    entry_t *head = queue_head(link);
    if (kind > 0 && head != NULL && head->kind == SUBSCRIBE && head->expects == kind) {
        lua_pop(link->reply.stack, 1);
        if (--head->left > 0) return;
        lua_pushboolean(link->reply.stack, 1);
        finish_entry(link);
        return;
    }
    keep_message(link);
    deliver_kept(link);
}

/* A whole reply lies on top of the reply's stack, which is empty afterwards. */
static void take_reply(link_t *link, int is_push) {
    lua_State *S = link->reply.stack;
    int kind = -1;
    int may_be_message = link->is_subscriber && lua_istable(S, -1);
    if (is_push || (may_be_message && !hvl_reply_is_error(&link->reply))) kind = message_kind(S);
    if (is_push || kind >= 0) {
        take_message(link, kind);
        return;
    }
    entry_t *head = queue_head(link);
    if (head == NULL || (head->kind == SUBSCRIBE && !hvl_reply_is_error(&link->reply))) {
        link->error = HV_EPROTO; /* nobody has asked */
        lua_settop(S, 0);
    } else if (head->kind == PIPELINE) {
        add_to_pipeline(link, head);
    } else {
        finish_entry(link);
    }
}

/* Takes the tokens of `data`. Returns the bytes used. Tasks that go on here may do anything with
 * the link, so it is looked at anew after each reply. */
static size_t take_tokens(link_t *link, const char *data, size_t len) {
    const hvl_conn_t *conn = link->conn;
    size_t used = 0;
    while (link->error == 0 && link->conn == conn) {
        hresp_token_t token;
        long step = hresp_next(&link->parser, data + used, len - used, &token);
        if (step <= 0) {
            link->error = (int)step;
            break;
        }
        used += (size_t)step;
        hvl_reply_add(&link->reply, &token);
        if (!hresp_is_done(&link->parser)) continue;
        /* What it is stands in its first level, which has just been closed; a push has items. */
        take_reply(link, token.depth > 0 && link->reply.levels[0].type == HRESP_PUSH);
    }
    return used;
}

static void on_bytes(hio_t *io, void *buf, int len) {
    link_t *link = hio_context(io);
    if (link->object.rt->loop == NULL || link->conn == NULL || link->error != 0) return;
    const hvl_conn_t *conn = link->conn;
    int code = 0;
    link->is_reading = 1;
    link->heard_us = hloop_now_hrtime(link->object.rt->loop);
    if (link->in.end == link->in.start) {
        size_t used = take_tokens(link, buf, (size_t)len);
        if (link->conn == conn && link->error == 0) {
            size_t wanted = hresp_wanted(&link->parser);
            if (wanted > 0) code = hvl_bytes_reserve(&link->in, wanted);
            if (code == 0) {
                code = hvl_bytes_append(&link->in, (char *)buf + used, (size_t)len - used);
            }
        }
    } else {
        code = hvl_bytes_append(&link->in, buf, (size_t)len);
        if (code == 0) {
            size_t used = take_tokens(link, link->in.base + link->in.start,
                                      link->in.end - link->in.start);
            if (link->conn == conn) link->in.start += used;
        }
        if (link->in.start == link->in.end) hvl_bytes_deinit(&link->in);
    }
    link->is_reading = 0;
    if (link->conn != conn) {
        hvl_bytes_deinit(&link->in);
        hvl_reply_reset(&link->reply);
        leave_anchor(link);
        return;
    }
    if (code != 0) link->error = code;
    if (link->error != 0) {
        hio_abort(io);
    } else {
        rest_or_read(link);
    }
}

static void on_drain(hio_t *io) {
    link_t *link = hio_context(io);
    if (link->object.rt->loop == NULL) return;
    hvl_task_t *task = hvl_task_begin_ref(link->object.rt, link->on_drain_ref);
    if (task != NULL) hvl_task_run(task, 0);
}

/* The end of the connection, after hv.tcp has been told. */
static void on_close(hio_t *io) {
    link_t *link = hio_context(io);
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

static link_t *check_link(lua_State *L) { return hvl_check(L, 1, &link_class); }

static uint64_t limit_argument(lua_State *L, int index) {
    return (uint64_t)luaL_optnumber(L, index, 0);
}

static int ref_argument(lua_State *L, int index) {
    lua_pushvalue(L, index);
    return hvl_ref(L);
}

/* link(on_push, on_drain, on_lost, error_meta, to_integer, bulk_bytes, reply_bytes, depth) */
int hvl_redis_link_new(lua_State *L) {
    hvl_t *rt = hvl_self(L);
    luaL_checktype(L, 1, LUA_TFUNCTION);
    luaL_checktype(L, 2, LUA_TFUNCTION);
    luaL_checktype(L, 3, LUA_TFUNCTION);
    luaL_checktype(L, 4, LUA_TTABLE);
    luaL_checktype(L, 5, LUA_TFUNCTION);
    link_t *link = hvl_object_new(L, rt, &link_class, sizeof *link);
    link->conn_ref = link->on_push_ref = link->on_drain_ref = LUA_NOREF;
    link->on_lost_ref = link->messages_ref = LUA_NOREF;
    link->limits.bulk_bytes = limit_argument(L, 6);
    link->limits.reply_bytes = limit_argument(L, 7);
    link->limits.depth = (uint32_t)limit_argument(L, 8);
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
    link_t *link = check_link(L);
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
    link_t *link = check_link(L);
    hvl_conn_t *conn = hvl_check(L, 2, &hvl_conn_class);
    if (link->conn != NULL) return hvl_misuse(L, "hv.redis: the link is connected already");
    if (conn->io == NULL || conn->is_closed_here) return hvl_push_error(L, "attach", HV_ECLOSED);
    link->is_subscriber = 0;
    link->error = 0;
    link->is_resting = 0;
    hresp_init(&link->parser, &link->limits);
    hvl_reply_reset(&link->reply);
    lua_pushvalue(L, 2);
    link->conn_ref = hvl_ref(L);
    link->conn = conn;
    link->heard_us = hloop_now_hrtime(link->object.rt->loop);
    hvl_anchor(L, 1);
    hio_set_context(conn->io, link);
    hio_setcb_read(conn->io, on_bytes);
    hio_setcb_eof(conn->io, NULL);
    hio_setcb_drain(conn->io, on_drain);
    link->on_conn_close = hio_getcb_close(conn->io);
    hio_setcb_close(conn->io, on_close);
    hio_read(conn->io);
    lua_pushboolean(L, 1);
    return 1;
}

/* Gives the connection its own callbacks back: it may live longer than we do. */
static void let_go(link_t *link) {
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
    link_t *link = check_link(L);
    hvl_t *rt = link->object.rt;
    luaL_checkstring(L, 2);
    luaL_checkstring(L, 3);
    lua_Integer count = 0;
    let_go(link);
    while (link->queue_count > 0) {
        entry_t entry = queue_pop(link);
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
    leave_anchor(link);
    lua_pushinteger(L, count);
    return 1;
}

/* ---- Calls ---- */

/* Whether something can be written now. Returns 0 or a code: HV_EAGAIN where it has to wait until
 * the queue of bytes has gone down. */
static int may_write(link_t *link) {
    const hvl_conn_t *conn = link->conn;
    if (conn == NULL || conn->io == NULL || conn->is_closed_here || link->error != 0) {
        return HV_ENOTCONN;
    }
    if (hio_write_is_high(conn->io)) return HV_EAGAIN;
    return queue_reserve(link);
}

/* Writes what lies in `out`, and waits for what answers it. */
static int write_and_wait(lua_State *L, link_t *link, hvl_bytes_t *out, entry_t *entry,
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
    if (link->is_resting) rest_or_read(link);
    return hvl_wait(L);
}

/* call(timeout, name, ...) -> the reply; nil, message, code[, kind]. 0: no timeout. */
static int link_call(lua_State *L) {
    link_t *link = check_link(L);
    lua_Number timeout_ms = luaL_checknumber(L, 2);
    link->out.start = link->out.end = 0;
    int code = hvl_redis_write(L, 3, &link->out);
    if (code == 0) code = may_write(link);
    if (code != 0) return hvl_push_error(L, "call", code);
    if (!hvl_may_wait(L)) return hvl_refuse(L, NULL);
    entry_t entry = {.left = 1, .results_ref = LUA_NOREF, .kind = CALL};
    return write_and_wait(L, link, &link->out, &entry, (int64_t)timeout_ms);
}

/* subscribe(timeout, name, channels...) -> true; as call. Each channel is confirmed by a message. */
static int link_subscribe(lua_State *L) {
    link_t *link = check_link(L);
    lua_Number timeout_ms = luaL_checknumber(L, 2);
    const char *name = luaL_checkstring(L, 3);
    entry_t entry = {.results_ref = LUA_NOREF, .kind = SUBSCRIBE};
    for (size_t i = 1; i < ARRAY_SIZE(confirmations); i++) {
        if (strcasecmp(name, confirmations[i]) == 0) entry.expects = (uint8_t)i;
    }
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
    link_t *link = check_link(L);
    lua_Number timeout_ms = luaL_checknumber(L, 2);
    hvl_pipe_t *pipe = hvl_check(L, 3, &hvl_pipe_class);
    int code = may_write(link);
    if (code != 0) return hvl_push_error(L, "pipeline", code);
    if (pipe->count == 0) {
        lua_newtable(L);
        return 1;
    }
    if (!hvl_may_wait(L)) return hvl_refuse(L, NULL);
    entry_t entry = {.left = pipe->count, .kind = PIPELINE};
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
    const link_t *link = check_link(L);
    uint64_t us = hloop_now_hrtime(link->object.rt->loop) - link->heard_us;
    lua_pushnumber(L, (lua_Number)us / 1000);
    return 1;
}

/* error() -> message, code of why this side has ended the connection; nothing where it has not */
static int link_error(lua_State *L) {
    const link_t *link = check_link(L);
    if (link->error == 0) return 0;
    lua_pushstring(L, link->error == HV_EPROTO ? "the server sends what is no reply"
                                               : "a reply is beyond the limits");
    lua_pushstring(L, herr_name(link->error));
    return 2;
}

/* is_high() -> whether calls have to wait until bytes have gone out */
static int link_is_high(lua_State *L) {
    const link_t *link = check_link(L);
    int is_high = link->conn != NULL && link->conn->io != NULL && hio_write_is_high(link->conn->io);
    if (is_high) {
        hio_flush(link->conn->io);
        is_high = hio_write_is_high(link->conn->io);
    }
    lua_pushboolean(L, is_high);
    return 1;
}

static int link_tostring(lua_State *L) {
    const link_t *link = check_link(L);
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
