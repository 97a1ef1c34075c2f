/* redis_read.c - what a link reads: each reply goes to the entry of the queue that expects it, each
 * message to on_push. */
#include <strings.h>

#include "redis_link.h"

#define MESSAGES_HIGH 1024 /* kept messages, from which on reading rests */
#define MESSAGE_SLOTS (2 * HVL_LINK_MESSAGES_MAX) /* a power of two: the counters may wrap */

uint8_t hvl_link_confirmation(const char *name) {
    static const char *const names[] = {"subscribe",   "psubscribe",   "ssubscribe",
                                        "unsubscribe", "punsubscribe", "sunsubscribe"};
    for (uint8_t i = 0; i < ARRAY_SIZE(names); i++) {
        if (strcasecmp(name, names[i]) == 0) return (uint8_t)(i + 1);
    }
    return 0;
}

static hvl_link_entry_t *queue_head(hvl_link_t *link) {
    return link->queue_count > 0 ? &link->queue[link->queue_first] : NULL;
}

/* ---- Messages ---- */

void hvl_link_balance(hvl_link_t *link) {
    if (link->conn == NULL || link->conn->io == NULL) return;
    uint32_t kept = link->last_message - link->first_message;
    int must_rest = (kept >= MESSAGES_HIGH || kept >= link->messages_max) && link->queue_count == 0;
    if (must_rest == link->is_resting) return;
    link->is_resting = (uint8_t)must_rest;
    if (must_rest) {
        hio_read_stop(link->conn->io);
    } else {
        hio_read(link->conn->io);
    }
}

/* Where the list of kept messages has the nth. */
static int slot_of(uint32_t nth) { return (int)(nth % MESSAGE_SLOTS) + 1; }

static void deliver_kept(hvl_link_t *link);

static void on_push_finished(hvl_task_t *task, int status) {
    (void)status;
    hvl_link_t *link = task->userdata[0];
    link->is_busy = 0;
    if (link->object.rt->loop == NULL) return;
    deliver_kept(link);
    hvl_link_leave(link);
}

/* Hands the kept messages over, one task each, until one waits. */
static void deliver_kept(hvl_link_t *link) {
    if (link->is_delivering) return;
    hvl_t *rt = link->object.rt;
    link->is_delivering = 1;
    while (!link->is_busy && link->first_message != link->last_message) {
        hvl_task_t *task = hvl_task_begin_ref(rt, link->on_push_ref);
        if (task == NULL) break;
        lua_rawgeti(task->co, LUA_REGISTRYINDEX, link->messages_ref);
        int slot = slot_of(link->first_message++);
        lua_rawgeti(task->co, -1, slot);
        lua_pushnil(task->co);
        lua_rawseti(task->co, -3, slot);
        lua_remove(task->co, -2);
        task->on_finish = on_push_finished;
        task->userdata[0] = link;
        link->is_busy = 1;
        hvl_task_run(task, 1);
    }
    link->is_delivering = 0;
    if (link->first_message == link->last_message) link->first_message = link->last_message = 0;
    hvl_link_balance(link);
}

/* The message on top of the reply's stack, popped. */
static void keep_message(hvl_link_t *link) {
    lua_State *S = link->reply.stack;
    lua_rawgeti(S, LUA_REGISTRYINDEX, link->messages_ref);
    lua_insert(S, -2);
    lua_rawseti(S, -2, slot_of(link->last_message++));
    lua_pop(S, 1);
    if (link->last_message - link->first_message <= link->messages_max) return;
    link->error = HV_ELIMIT;
    link->is_flooded = 1;
}

/* What the list on top of the stack is: the number of a confirmation, 0 for another message, -1 for
 * no message at all. */
static int message_kind(lua_State *S) {
    static const char *const others[] = {"message", "pmessage", "smessage"};
    lua_rawgeti(S, -1, 1);
    const char *name = lua_type(S, -1) == LUA_TSTRING ? lua_tostring(S, -1) : "";
    int confirmation = hvl_link_confirmation(name);
    int kind = confirmation > 0 ? confirmation : -1;
    for (size_t i = 0; i < ARRAY_SIZE(others); i++) {
        if (strcmp(name, others[i]) == 0) kind = 0;
    }
    lua_pop(S, 1);
    return kind;
}

/* ---- Replies ---- */

/* The value on top of the reply's stack as the results of a call, moved to the task. */
static int push_results(hvl_link_t *link, lua_State *co) {
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

static void finish_entry(hvl_link_t *link) {
    hvl_link_entry_t entry = hvl_link_pop(link);
    hvl_task_t *task = hvl_wake(&entry.waiter);
    if (task == NULL) {
        lua_settop(link->reply.stack, 0);
        return;
    }
    hvl_resume_now(task, push_results(link, task->co));
}

static void add_to_pipeline(hvl_link_t *link, hvl_link_entry_t *entry) {
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
static void take_message(hvl_link_t *link, int kind) {
    hvl_link_entry_t *head = queue_head(link);
    if (kind > 0 && head != NULL && head->kind == HVL_LINK_SUBSCRIBE && head->expects == kind) {
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
static void take_reply(hvl_link_t *link, int is_push) {
    lua_State *S = link->reply.stack;
    int kind = -1;
    int may_be_message = link->is_subscriber && lua_istable(S, -1);
    if (is_push || (may_be_message && !hvl_reply_is_error(&link->reply))) kind = message_kind(S);
    if (is_push || kind >= 0) {
        take_message(link, kind);
        return;
    }
    hvl_link_entry_t *head = queue_head(link);
    if (head == NULL || (head->kind == HVL_LINK_SUBSCRIBE && !hvl_reply_is_error(&link->reply))) {
        link->error = HV_EPROTO; /* nobody has asked */
        lua_settop(S, 0);
    } else if (head->kind == HVL_LINK_PIPELINE) {
        add_to_pipeline(link, head);
    } else {
        finish_entry(link);
    }
}

/* Takes the tokens of `data`. Returns the bytes used. Tasks that go on here may do anything with
 * the link, so it is looked at anew after each reply. */
static size_t take_tokens(hvl_link_t *link, const char *data, size_t len) {
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

void hvl_link_on_bytes(hio_t *io, void *buf, int len) {
    hvl_link_t *link = hio_context(io);
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
            size_t used =
                take_tokens(link, link->in.base + link->in.start, link->in.end - link->in.start);
            if (link->conn == conn) link->in.start += used;
        }
        if (link->in.start == link->in.end) hvl_bytes_deinit(&link->in);
    }
    link->is_reading = 0;
    if (link->conn != conn) {
        hvl_bytes_deinit(&link->in);
        hvl_reply_reset(&link->reply);
        hvl_link_leave(link);
        return;
    }
    if (code != 0) link->error = code;
    if (link->error != 0) {
        hio_abort(io);
    } else {
        hvl_link_balance(link);
    }
}
