/* http_call.c - one HTTP call as Lua sees it (hv.http_call): waiting for its response, or for room
 * to write its body.
 *
 * A call either collects its whole response and wakes its task once (perform), or hands it over
 * piece by piece (head, read). Piece by piece means that it is paused whenever a piece lies here
 * and nobody has taken it, so at most one piece waits in memory.
 *
 * A call that nobody holds any more is given up by the collector. */
#include "http_client.h"

#include "conn.h"
#include "hbase.h"
#include "http.h"
#include "tls.h"

/* What the reader waits for. */
enum { WANTS_HEAD, WANTS_PIECE, WANTS_END };

static const hvl_class_t call_class = {"hv.http_call"};

/* ---- Bytes ---- */

static int append(http_bytes_t *bytes, const void *data, size_t len) {
    if (len > bytes->cap - bytes->len) {
        size_t cap = bytes->cap > 0 ? bytes->cap : 4096;
        while (cap - bytes->len < len) {
            if (cap > SIZE_MAX / 4) return HV_ENOMEM;
            cap *= 2;
        }
        char *grown = hv_realloc(bytes->data, cap, cap); /* nothing of it is to be cleared */
        if (grown == NULL) return HV_ENOMEM;
        bytes->data = grown;
        bytes->cap = cap;
    }
    memcpy(bytes->data + bytes->len, data, len);
    bytes->len += len;
    return 0;
}

static void drop_bytes(http_bytes_t *bytes) {
    hv_free(bytes->data);
    *bytes = (http_bytes_t){NULL, 0, 0};
}

/* ---- Results ---- */

static void push_slice(lua_State *L, hhttp_slice_t slice) {
    lua_pushlstring(L, slice.data != NULL ? slice.data : "", slice.len);
}

/* Pushes nil, words, code. */
static int push_failure(lua_State *L, const http_call_t *self) {
    lua_pushnil(L);
    const char *words = self->words != NULL ? self->words : hhttp_call_error_text(self->call);
    if (self->error == HV_ETLS && strcmp(words, herr_text(HV_ETLS)) != 0) {
        lua_pushfstring(L, "%s: %s", herr_text(HV_ETLS), words);
    } else {
        lua_pushstring(L, words);
    }
    lua_pushstring(L, herr_name(self->error));
    return 3;
}

/* Pushes status, reason, version, a flat list of header lines, and the length or nil. */
static int push_head(lua_State *L, const hhttp_call_t *call) {
    lua_pushinteger(L, hhttp_call_status(call));
    push_slice(L, hhttp_call_reason(call));
    int version = hhttp_call_version(call);
    lua_pushstring(L, version == 20 ? "2" : version == 10 ? "1.0" : "1.1");
    lua_createtable(L, 32, 0);
    size_t cursor = 0;
    hhttp_header_t header;
    for (int i = 1; hhttp_call_next_header(call, &cursor, &header); i += 2) {
        hvl_http_add_field(L, i, &header);
    }
    int64_t length = hhttp_call_length(call);
    if (length >= 0) {
        lua_pushnumber(L, (lua_Number)length);
    } else {
        lua_pushnil(L);
    }
    return 5;
}

/* ---- Pieces ---- */

static void fail(http_call_t *self, int error, const char *words) {
    if (self->error == 0) {
        self->error = error;
        self->words = words;
    }
    hhttp_call_cancel(self->call);
}

/* Pushes the piece that lies here. Returns 0 where there is none. */
static int push_piece(lua_State *L, http_call_t *self) {
    if (self->taken == self->body.len) return 0;
    lua_pushlstring(L, self->body.data + self->taken, self->body.len - self->taken);
    self->taken = self->body.len;
    return 1;
}

/* ---- Callbacks of the call ---- */

static http_call_t *self_of(hhttp_call_t *call) {
    return hhttp_call_userdata(call);
}

static void on_head(hhttp_call_t *call) {
    http_call_t *self = self_of(call);
    if (self == NULL) return;
    self->has_head = 1;
    if (self->collects && hhttp_call_status(call) != 101) return;
    if (hhttp_call_status(call) != 101) hhttp_call_pause(call);
    hvl_task_t *task = self->object.rt->loop != NULL ? hvl_wake(&self->reader) : NULL;
    if (task != NULL) hvl_resume_now(task, push_head(task->co, call));
}

static void on_data(hhttp_call_t *call, const void *data, size_t len) {
    http_call_t *self = self_of(call);
    if (self == NULL || self->object.rt->loop == NULL) return;
    if (!self->collects) {
        hhttp_call_pause(call);
        self->body.len = self->taken = 0;
    }
    if (append(&self->body, data, len) != 0) {
        fail(self, HV_ENOMEM, NULL);
        return;
    }
    if (self->collects || self->wants != WANTS_PIECE) return;
    hvl_task_t *task = hvl_wake(&self->reader);
    if (task == NULL) return;
    push_piece(task->co, self);
    hvl_resume_now(task, 1);
}

static void on_ready(hhttp_call_t *call) {
    http_call_t *self = self_of(call);
    if (self == NULL || self->object.rt->loop == NULL) return;
    self->is_ready = 1;
    hvl_task_t *task = hvl_wake(&self->writer);
    if (task == NULL) return;
    lua_pushboolean(task->co, 1);
    hvl_resume_now(task, 1);
}

static void on_drain(hhttp_call_t *call) {
    http_call_t *self = self_of(call);
    hvl_task_t *task =
        self != NULL && self->object.rt->loop != NULL ? hvl_wake(&self->writer) : NULL;
    if (task == NULL) return;
    lua_pushboolean(task->co, 1);
    hvl_resume_now(task, 1);
}

/* Pushes what the reader gets at the end. */
static int push_end(lua_State *L, http_call_t *self) {
    if (self->error != 0) return push_failure(L, self);
    if (self->wants == WANTS_HEAD) return push_head(L, self->call);
    if (self->wants == WANTS_END) {
        int count = push_head(L, self->call);
        lua_pushlstring(L, self->body.data != NULL ? self->body.data : "", self->body.len);
        drop_bytes(&self->body);
        return count + 1;
    }
    lua_pushnil(L);
    return 1;
}

static void on_done(hhttp_call_t *call, int error) {
    http_call_t *self = self_of(call);
    if (self == NULL) return;
    self->is_done = 1;
    /* Only the end of the pool cancels a call that nobody here has given up. */
    if (self->error == 0 && error == HV_ECANCELED) {
        self->error = HV_ECLOSED;
        self->words = herr_text(HV_ECLOSED);
    }
    if (self->error == 0) self->error = error;
    if (self->object.rt->loop == NULL) return; /* the state is being taken down */
    hvl_unref(self->object.rt, &self->body_ref);
    hvl_task_t *writer = hvl_wake(&self->writer);
    if (writer != NULL) {
        hvl_resume_later(writer, hvl_push_error(writer->co, "write", HV_ECLOSED));
    }
    hvl_task_t *reader = hvl_wake(&self->reader);
    if (reader != NULL) hvl_resume_now(reader, push_end(reader->co, self));
}

/* ---- Waiting ---- */

static http_call_t *check_call(lua_State *L) {
    return hvl_check(L, 1, &call_class);
}

static void on_read_canceled(hvl_task_t *task, void *data) {
    (void)task;
    http_call_t *self = data;
    self->reader.task = NULL;
    hhttp_call_cancel(self->call);
}

static void on_write_canceled(hvl_task_t *task, void *data) {
    (void)task;
    http_call_t *self = data;
    self->writer.task = NULL;
    hhttp_call_cancel(self->call);
}

static int wait_as_reader(lua_State *L, http_call_t *self, const char *what) {
    if (!hvl_may_wait(L)) return hvl_refuse(L, NULL);
    if (hvl_is_waited(&self->reader)) return hvl_push_error(L, what, HV_EBUSY);
    self->reader = hvl_wait_begin(L, what, -1, on_read_canceled, self);
    return hvl_wait(L);
}

static int wait_as_writer(lua_State *L, http_call_t *self, const char *what) {
    if (!hvl_may_wait(L)) return hvl_refuse(L, NULL);
    if (hvl_is_waited(&self->writer)) return hvl_push_error(L, what, HV_EBUSY);
    self->writer = hvl_wait_begin(L, what, -1, on_write_canceled, self);
    return hvl_wait(L);
}

/* perform() -> status, reason, version, headers, length, body; for a call that collects. */
static int call_perform(lua_State *L) {
    http_call_t *self = check_call(L);
    self->wants = WANTS_END;
    return self->is_done ? push_end(L, self) : wait_as_reader(L, self, "request");
}

/* head() -> status, reason, version, headers, length */
static int call_head(lua_State *L) {
    http_call_t *self = check_call(L);
    self->wants = WANTS_HEAD;
    if (self->is_done) return push_end(L, self);
    return self->has_head ? push_head(L, self->call) : wait_as_reader(L, self, "request");
}

/* read() -> the next piece; nil at the end; nil, words, code */
static int call_read(lua_State *L) {
    http_call_t *self = check_call(L);
    self->wants = WANTS_PIECE;
    if (self->error == 0 && push_piece(L, self)) return 1;
    if (self->error != 0) return push_failure(L, self);
    if (self->is_done) return push_end(L, self);
    hhttp_call_resume(self->call);
    return wait_as_reader(L, self, "read");
}

/* ready() -> true once the body may be written */
static int call_ready(lua_State *L) {
    http_call_t *self = check_call(L);
    if (self->is_done) return hvl_push_error(L, "write", HV_ECLOSED);
    if (!self->is_ready) return wait_as_writer(L, self, "write");
    lua_pushboolean(L, 1);
    return 1;
}

/* write(data) -> true; waits where much is queued */
static int call_write(lua_State *L) {
    http_call_t *self = check_call(L);
    size_t len;
    const char *data = luaL_checklstring(L, 2, &len);
    int code = hhttp_call_write(self->call, data, len);
    if (code == HV_EAGAIN) return wait_as_writer(L, self, "write");
    if (code != 0) return hvl_push_error(L, "write", code);
    lua_pushboolean(L, 1);
    return 1;
}

/* finish([trailers, a flat list]) -> true */
static int call_finish(lua_State *L) {
    http_call_t *self = check_call(L);
    hhttp_header_t trailers[HTTP_HEADERS_MAX];
    int code = lua_istable(L, 2) ? hvl_http_read_trailers(L, 2, trailers) : 0;
    if (code >= 0) code = hhttp_call_finish_with(self->call, trailers, (size_t)code);
    if (code != 0) return hvl_push_error(L, "write", code);
    lua_pushboolean(L, 1);
    return 1;
}

/* ---- Without waiting ---- */

static int call_cancel(lua_State *L) {
    http_call_t *self = check_call(L);
    if (self->object.rt->loop != NULL && !self->is_done) {
        fail(self, HV_ECLOSED, herr_text(HV_ECLOSED));
    }
    return 0;
}

/* sent() -> bytes of the body that have left for the network */
static int call_sent(lua_State *L) {
    http_call_t *self = check_call(L);
    uint64_t sent = hhttp_call_sent(self->call);
    const hio_t *io = hhttp_call_io(self->call);
    uint64_t queued = io != NULL ? hio_write_bufsize(io) : 0;
    lua_pushnumber(L, (lua_Number)(sent > queued ? sent - queued : 0));
    return 1;
}

/* request_head() -> request line and headers as sent */
static int call_request_head(lua_State *L) {
    push_slice(L, hhttp_call_request_head(check_call(L)->call));
    return 1;
}

/* trailers() -> { name, value, ... }; or nil, message, code: EBUSY before the end */
static int call_trailers(lua_State *L) {
    const hhttp_call_t *call = check_call(L)->call;
    lua_newtable(L);
    size_t cursor = 0;
    hhttp_header_t trailer;
    int code;
    for (int i = 1; (code = hhttp_call_next_trailer(call, &cursor, &trailer)) == 1; i += 2) {
        hvl_http_add_field(L, i, &trailer);
    }
    return code == HV_EAGAIN ? hvl_push_error(L, "reply:trailers", HV_EBUSY) : 1;
}

static int call_is_reused(lua_State *L) {
    lua_pushboolean(L, hhttp_call_is_reused(check_call(L)->call));
    return 1;
}

/* connection() -> { peer=, local_address=, tls= }, or nil where there is none any more */
static int call_connection(lua_State *L) {
    hio_t *io = hhttp_call_io(check_call(L)->call);
    if (io == NULL || !hio_is_connected(io)) return 0;
    lua_createtable(L, 0, 3);
    hvl_push_address(L, hio_peeraddr(io));
    lua_setfield(L, -2, "peer");
    hvl_push_address(L, hio_localaddr(io));
    lua_setfield(L, -2, "local_address");
    if (hio_is_ssl(io)) {
        hvl_tls_push_facts(L, io);
        lua_setfield(L, -2, "tls");
    }
    return 1;
}

static int call_gc(lua_State *L) {
    http_call_t *self = lua_touserdata(L, 1);
    if (self->call == NULL) return 0;
    hhttp_call_set_userdata(self->call, NULL);
    if (self->object.rt->loop != NULL) {
        hhttp_call_cancel(self->call);
        hvl_unref(self->object.rt, &self->body_ref);
    }
    hhttp_call_release(self->call);
    self->call = NULL;
    drop_bytes(&self->body);
    return 0;
}

/* take() -> the connection of a 101, as hv.tcp knows them */
static int call_take(lua_State *L) {
    http_call_t *self = check_call(L);
    hvl_t *rt = self->object.rt;
    hio_t *io = rt->loop != NULL ? hhttp_call_take_io(self->call) : NULL;
    if (io == NULL) return hvl_push_error(L, "take", HV_ECLOSED);
    hvl_conn_begin(hvl_conn_new(L, rt, io, NULL, NULL));
    return 1;
}

/* ---- For http_client.c ---- */

http_call_t *hvl_http_call_new(lua_State *L, hvl_t *rt) {
    http_call_t *self = hvl_object_new(L, rt, &call_class, sizeof *self);
    self->body_ref = LUA_NOREF;
    return self;
}

void hvl_http_call_listen(http_call_t *self, hhttp_call_options_t *options) {
    options->on_head = on_head;
    options->on_data = on_data;
    options->on_ready = on_ready;
    options->on_drain = on_drain;
    options->on_done = on_done;
    options->userdata = self;
}

void hvl_http_call_open(lua_State *L, hvl_t *rt) {
    static const luaL_Reg call_methods[] = {{"perform", call_perform},
                                            {"head", call_head},
                                            {"read", call_read},
                                            {"ready", call_ready},
                                            {"write", call_write},
                                            {"finish", call_finish},
                                            {"trailers", call_trailers},
                                            {"cancel", call_cancel},
                                            {"sent", call_sent},
                                            {"request_head", call_request_head},
                                            {"is_reused", call_is_reused},
                                            {"connection", call_connection},
                                            {"take", call_take},
                                            {NULL, NULL}};
    static const luaL_Reg call_metamethods[] = {{"__gc", call_gc}, {NULL, NULL}};
    hvl_class_new(L, rt, &call_class, call_methods, call_metamethods);
    lua_pop(L, 1);
}
