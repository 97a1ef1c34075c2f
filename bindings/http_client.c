/* http_client.c - HTTP calls as Lua sees them: a pool (hv.http_pool) and its calls (hv.http_call).
 * What a program meets is built on them by lua/hv/http_client.lua.
 *
 * A call either collects its whole response and wakes its task once (perform), or hands it over
 * piece by piece (head, read). Piece by piece means that it is paused whenever a piece lies here
 * and nobody has taken it, so at most one read of the network waits in memory; a compressed one is
 * unpacked as it is taken, so that few bytes never become many at once.
 *
 * A call that nobody holds any more is given up by the collector. */
#include "http_client.h"

#include "hbase.h"
#include "hcodec.h"
#include "hhttp_client.h"
#include "tls.h"

#define HEADERS_MAX 256 /* of one request */
#define PIECE_BYTES (64 * 1024)

typedef struct pool_s {
    hvl_object_t object;
    hhttp_client_t *client; /* NULL once closed */
} pool_t;

/* Bytes that grow; plain memory of the runtime. */
typedef struct bytes_s {
    char *data;
    size_t len;
    size_t cap;
} bytes_t;

/* What the reader waits for. */
enum { WANTS_HEAD, WANTS_PIECE, WANTS_END };

typedef struct call_s {
    hvl_object_t object;
    hhttp_call_t *call; /* retained */
    hvl_waiter_t reader;
    hvl_waiter_t writer;
    hcodec_t *codec;   /* NULL: the body is not coded, or nobody wants it decoded */
    bytes_t body;      /* collected; or the piece that lies here, as it came */
    uint64_t max_body; /* decoded; 0: no limit */
    uint64_t decoded;
    size_t taken; /* of `body`, where it is a piece */
    int body_ref; /* the request's body, or LUA_NOREF */
    int error;
    const char *words; /* of an error of ours; NULL: those of the call */
    uint8_t wants;
    uint8_t collects;
    uint8_t decodes;
    uint8_t has_head;
    uint8_t is_ready;
    uint8_t is_done;
    uint8_t has_input; /* the codec has a piece that is not used up */
    uint8_t was_fed;   /* the codec has seen a byte */
} call_t;

static const hvl_class_t pool_class = {"hv.http_pool"};
static const hvl_class_t call_class = {"hv.http_call"};

/* ---- Bytes ---- */

static int append(bytes_t *bytes, const void *data, size_t len) {
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

static void drop_bytes(bytes_t *bytes) {
    hv_free(bytes->data);
    *bytes = (bytes_t){NULL, 0, 0};
}

/* ---- Results ---- */

static void push_slice(lua_State *L, hhttp_slice_t slice) {
    lua_pushlstring(L, slice.data != NULL ? slice.data : "", slice.len);
}

/* Pushes nil, words, code. */
static int push_failure(lua_State *L, const call_t *self) {
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
    lua_pushstring(L, hhttp_call_version(call) == 10 ? "1.0" : "1.1");
    lua_createtable(L, 32, 0);
    size_t cursor = 0;
    hhttp_header_t header;
    for (int i = 1; hhttp_call_next_header(call, &cursor, &header); i += 2) {
        push_slice(L, header.name);
        lua_rawseti(L, -2, i);
        push_slice(L, header.value);
        lua_rawseti(L, -2, i + 1);
    }
    int64_t length = hhttp_call_length(call);
    if (length >= 0) {
        lua_pushnumber(L, (lua_Number)length);
    } else {
        lua_pushnil(L);
    }
    return 5;
}

/* ---- Decoding ---- */

static void fail(call_t *self, int error, const char *words) {
    if (self->error == 0) {
        self->error = error;
        self->words = words;
    }
    hhttp_call_cancel(self->call);
}

static void fail_codec(call_t *self, int error) {
    fail(self, error, error == HV_ELIMIT  ? "the decoded body is longer than allowed"
                      : error == HV_ENOMEM ? herr_text(HV_ENOMEM)
                                           : "the coded body is malformed");
}

/* Begins to decode where the response has one coding that we know. */
static void begin_codec(call_t *self) {
    hhttp_slice_t coding = hhttp_call_header(self->call, "content-encoding", 16);
    if (!self->decodes || coding.data == NULL || coding.len == 0) return;
    int format = hcodec_by_name(coding.data, coding.len);
    if (format < 0) return;
    hcodec_options_t options = {.output_bytes_max = self->max_body};
    self->codec = hcodec_decompressor_new((hcodec_format_e)format, &options);
    if (self->codec == NULL) fail(self, HV_ENOMEM, NULL);
}

/* Unpacks what was given to the codec, all of it, behind what is collected. Returns 0 or an error. */
static int collect_decoded(call_t *self) {
    char out[16 * 1024];
    for (;;) {
        int64_t len = hcodec_output(self->codec, out, sizeof out);
        if (len <= 0) return (int)len;
        if (append(&self->body, out, (size_t)len) != 0) return HV_ENOMEM;
    }
}

/* The coded body has ended: it must have been whole. */
static int finish_codec(call_t *self) {
    if (self->codec == NULL || !self->was_fed || hcodec_has_ended(self->codec)) return 0;
    hcodec_input(self->codec, "", 0, HCODEC_FINISH);
    if (self->collects) return collect_decoded(self);
    self->has_input = 1;
    return 0;
}

/* Pushes the next piece. Returns 1, 0 where there is none yet, or an error. */
static int push_piece(lua_State *L, call_t *self) {
    if (self->codec != NULL) {
        if (!self->has_input) return 0;
        char *out = hv_malloc(PIECE_BYTES);
        if (out == NULL) return HV_ENOMEM;
        int64_t len = hcodec_output(self->codec, out, PIECE_BYTES);
        if (len > 0) lua_pushlstring(L, out, (size_t)len);
        hv_free(out);
        if (len <= 0) self->has_input = 0;
        return len > 0 ? 1 : (int)len;
    }
    if (self->taken == self->body.len) return 0;
    lua_pushlstring(L, self->body.data + self->taken, self->body.len - self->taken);
    self->taken = self->body.len;
    return 1;
}

/* ---- Callbacks of the call ---- */

static call_t *self_of(hhttp_call_t *call) { return hhttp_call_userdata(call); }

static void on_head(hhttp_call_t *call) {
    call_t *self = self_of(call);
    if (self == NULL) return;
    self->has_head = 1;
    if (hhttp_call_status(call) != 101) begin_codec(self);
    if (self->collects && hhttp_call_status(call) != 101) return;
    if (hhttp_call_status(call) != 101) hhttp_call_pause(call);
    hvl_task_t *task = self->object.rt->loop != NULL ? hvl_wake(&self->reader) : NULL;
    if (task != NULL) hvl_resume_now(task, push_head(task->co, call));
}

static void collect(call_t *self, const void *data, size_t len) {
    int code;
    if (self->codec != NULL) {
        self->was_fed = 1;
        hcodec_input(self->codec, data, len, HCODEC_MORE);
        code = collect_decoded(self);
    } else {
        code = append(&self->body, data, len);
    }
    if (code != 0) fail_codec(self, code);
}

/* Gives the waiting reader a piece, if there is one. */
static void serve_reader(call_t *self) {
    if (self->wants != WANTS_PIECE || !hvl_is_waited(&self->reader)) return;
    lua_State *L = self->object.rt->L;
    int result = push_piece(L, self);
    if (result < 0) fail_codec(self, result);
    if (result == 0) hhttp_call_resume(self->call);
    if (result <= 0) return;
    hvl_task_t *task = hvl_wake(&self->reader);
    lua_xmove(L, task->co, 1);
    hvl_resume_now(task, 1);
}

static void on_data(hhttp_call_t *call, const void *data, size_t len) {
    call_t *self = self_of(call);
    if (self == NULL || self->object.rt->loop == NULL) return;
    if (self->collects) {
        collect(self, data, len);
        return;
    }
    hhttp_call_pause(call);
    self->body.len = self->taken = 0;
    int code = append(&self->body, data, len);
    if (code != 0) {
        fail(self, code, NULL);
        return;
    }
    if (self->codec != NULL) {
        self->was_fed = self->has_input = 1;
        hcodec_input(self->codec, self->body.data, len, HCODEC_MORE);
    }
    serve_reader(self);
}

static void on_ready(hhttp_call_t *call) {
    call_t *self = self_of(call);
    if (self == NULL || self->object.rt->loop == NULL) return;
    self->is_ready = 1;
    hvl_task_t *task = hvl_wake(&self->writer);
    if (task == NULL) return;
    lua_pushboolean(task->co, 1);
    hvl_resume_now(task, 1);
}

static void on_drain(hhttp_call_t *call) {
    call_t *self = self_of(call);
    hvl_task_t *task = self != NULL && self->object.rt->loop != NULL ? hvl_wake(&self->writer)
                                                                     : NULL;
    if (task == NULL) return;
    lua_pushboolean(task->co, 1);
    hvl_resume_now(task, 1);
}

/* Pushes what the reader gets at the end. */
static int push_end(lua_State *L, call_t *self) {
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
    call_t *self = self_of(call);
    if (self == NULL) return;
    self->is_done = 1;
    if (self->error == 0) self->error = error;
    if (self->object.rt->loop == NULL) return; /* the state is being taken down */
    hvl_unref(self->object.rt, &self->body_ref);
    if (self->error == 0) {
        int code = finish_codec(self);
        if (code != 0) fail_codec(self, code);
    }
    hvl_task_t *writer = hvl_wake(&self->writer);
    if (writer != NULL) {
        hvl_resume_later(writer, hvl_push_error(writer->co, "write", HV_ECLOSED));
    }
    if (self->error == 0) serve_reader(self); /* the end of a coded body may give a piece more */
    hvl_task_t *reader = hvl_wake(&self->reader);
    if (reader != NULL) hvl_resume_now(reader, push_end(reader->co, self));
}

/* ---- Starting ---- */

static lua_Number number_field(lua_State *L, const char *name) {
    lua_getfield(L, 2, name);
    lua_Number value = lua_tonumber(L, -1);
    lua_pop(L, 1);
    return value;
}

static uint32_t ms_field(lua_State *L, const char *name) {
    lua_Number value = number_field(L, name);
    return value > 0 && value < (lua_Number)INFINITE ? (uint32_t)value : 0;
}

static int flag_field(lua_State *L, const char *name) {
    lua_getfield(L, 2, name);
    int value = lua_toboolean(L, -1);
    lua_pop(L, 1);
    return value;
}

/* Leaves the string on the stack, so that it lives until the function returns. */
static const char *text_field(lua_State *L, int index, const char *name) {
    lua_getfield(L, index, name);
    return lua_tostring(L, -1);
}

/* The header lines of the flat list in field "headers". Returns their number. */
static size_t read_headers(lua_State *L, hhttp_header_t *headers) {
    lua_getfield(L, 2, "headers");
    size_t count = 0;
    int list = lua_gettop(L);
    if (!lua_istable(L, list)) return 0;
    for (int i = 1; count < HEADERS_MAX; i += 2) {
        lua_rawgeti(L, list, i);
        lua_rawgeti(L, list, i + 1);
        size_t name_len, value_len;
        const char *name = lua_tolstring(L, -2, &name_len);
        const char *value = lua_tolstring(L, -1, &value_len);
        lua_pop(L, 2); /* the list keeps them */
        if (name == NULL || value == NULL) break;
        headers[count].name = (hhttp_slice_t){name, name_len};
        headers[count++].value = (hhttp_slice_t){value, value_len};
    }
    return count;
}

static int read_proxy(lua_State *L, hhttp_proxy_t *proxy) {
    lua_getfield(L, 2, "proxy");
    int index = lua_gettop(L);
    if (!lua_istable(L, index)) return 0;
    const char *kind = text_field(L, index, "kind");
    proxy->kind = kind != NULL && strcmp(kind, "socks5") == 0 ? HHTTP_PROXY_SOCKS5
                                                              : HHTTP_PROXY_HTTP;
    proxy->host = text_field(L, index, "host");
    lua_getfield(L, index, "port");
    proxy->port = (int)lua_tointeger(L, -1);
    proxy->user = text_field(L, index, "user");
    proxy->password = text_field(L, index, "password");
    return 1;
}

static void read_body(lua_State *L, hhttp_call_options_t *options, int *body_ref) {
    lua_getfield(L, 2, "body");
    size_t len;
    options->is_streamed = flag_field(L, "streamed");
    if (lua_type(L, -1) == LUA_TSTRING) {
        options->body = lua_tolstring(L, -1, &len);
        options->body_len = (int64_t)len;
        lua_pushvalue(L, -1);
        *body_ref = hvl_ref(L);
    } else if (options->is_streamed) {
        options->body_len = (int64_t)number_field(L, "length");
    }
    options->expect_bytes = (int64_t)number_field(L, "expect");
}

static void read_times(lua_State *L, hhttp_call_options_t *options) {
    options->connect_timeout_ms = ms_field(L, "connect_timeout");
    options->head_timeout_ms = ms_field(L, "head_timeout");
    options->total_timeout_ms = ms_field(L, "total_timeout");
    options->idle_timeout_ms = ms_field(L, "idle_timeout");
}

/* start(pool, spec) -> call; or nil, words, code. The Lua side has checked the fields of spec:
 * method is_https host port target unix_path headers body|streamed,length expect tls server_name
 * proxy upgrade closes fresh max_body *_timeout collect decode. */
static int start_call(lua_State *L) {
    pool_t *pool = hvl_check(L, 1, &pool_class);
    luaL_checktype(L, 2, LUA_TTABLE);
    hvl_t *rt = pool->object.rt;
    if (pool->client == NULL || rt->loop == NULL) return hvl_push_error(L, "request", HV_ECLOSED);
    luaL_checkstack(L, 64, "too many values");
    call_t *self = hvl_object_new(L, rt, &call_class, sizeof *self);
    int at = lua_gettop(L);
    self->body_ref = LUA_NOREF;
    hhttp_header_t headers[HEADERS_MAX];
    hhttp_proxy_t proxy = {HHTTP_PROXY_NONE, NULL, 0, NULL, NULL};
    hhttp_call_options_t options = {
        .method = text_field(L, 2, "method"),
        .unix_path = text_field(L, 2, "unix_path"),
        .server_name = text_field(L, 2, "server_name"),
        .upgrade = text_field(L, 2, "upgrade"),
        .tls = hvl_tls_context_field(L, 2, "tls"),
        .headers = headers,
        .closes = flag_field(L, "closes"),
        .is_fresh = flag_field(L, "fresh"),
        .on_head = on_head,
        .on_data = on_data,
        .on_ready = on_ready,
        .on_drain = on_drain,
        .on_done = on_done,
        .userdata = self,
    };
    options.url.is_https = flag_field(L, "is_https");
    options.url.port = (int)number_field(L, "port");
    const char *host = text_field(L, 2, "host");
    const char *target = text_field(L, 2, "target");
    options.url.host = (hhttp_slice_t){host, host != NULL ? strlen(host) : 0};
    options.url.target = (hhttp_slice_t){target, target != NULL ? strlen(target) : 0};
    options.header_count = read_headers(L, headers);
    if (read_proxy(L, &proxy)) options.proxy = &proxy;
    read_times(L, &options);
    lua_Number max_body = number_field(L, "max_body");
    self->max_body = max_body > 0 ? (uint64_t)max_body : 0;
    options.body_bytes_max = self->max_body;
    self->collects = (uint8_t)flag_field(L, "collect");
    self->decodes = (uint8_t)flag_field(L, "decode");
    read_body(L, &options, &self->body_ref);
    self->call = hhttp_call_start(pool->client, &options);
    if (self->call == NULL) {
        int code = hloop_last_error(rt->loop);
        hvl_unref(rt, &self->body_ref);
        self->is_done = 1;
        lua_pushnil(L);
        lua_pushstring(L, herr_text(code));
        lua_pushstring(L, herr_name(code));
        return 3;
    }
    hhttp_call_retain(self->call);
    lua_settop(L, at);
    return 1;
}

/* ---- Waiting ---- */

static call_t *check_call(lua_State *L) { return hvl_check(L, 1, &call_class); }

static void on_read_canceled(hvl_task_t *task, void *data) {
    (void)task;
    call_t *self = data;
    self->reader.task = NULL;
    hhttp_call_cancel(self->call);
}

static void on_write_canceled(hvl_task_t *task, void *data) {
    (void)task;
    call_t *self = data;
    self->writer.task = NULL;
    hhttp_call_cancel(self->call);
}

static int wait_as_reader(lua_State *L, call_t *self, const char *what) {
    if (!hvl_may_wait(L)) return hvl_refuse(L, NULL);
    if (hvl_is_waited(&self->reader)) return hvl_push_error(L, what, HV_EBUSY);
    self->reader = hvl_wait_begin(L, what, -1, on_read_canceled, self);
    return hvl_wait(L);
}

static int wait_as_writer(lua_State *L, call_t *self, const char *what) {
    if (!hvl_may_wait(L)) return hvl_refuse(L, NULL);
    if (hvl_is_waited(&self->writer)) return hvl_push_error(L, what, HV_EBUSY);
    self->writer = hvl_wait_begin(L, what, -1, on_write_canceled, self);
    return hvl_wait(L);
}

/* perform() -> status, reason, version, headers, length, body; for a call that collects. */
static int call_perform(lua_State *L) {
    call_t *self = check_call(L);
    self->wants = WANTS_END;
    return self->is_done ? push_end(L, self) : wait_as_reader(L, self, "request");
}

/* head() -> status, reason, version, headers, length */
static int call_head(lua_State *L) {
    call_t *self = check_call(L);
    self->wants = WANTS_HEAD;
    if (self->is_done) return push_end(L, self);
    return self->has_head ? push_head(L, self->call) : wait_as_reader(L, self, "request");
}

/* read() -> the next piece; nil at the end; nil, words, code */
static int call_read(lua_State *L) {
    call_t *self = check_call(L);
    self->wants = WANTS_PIECE;
    if (self->error == 0) {
        int result = push_piece(L, self);
        if (result < 0) fail_codec(self, result);
        if (result > 0) return 1;
    }
    if (self->error != 0) return push_failure(L, self);
    if (self->is_done) return push_end(L, self);
    hhttp_call_resume(self->call);
    return wait_as_reader(L, self, "read");
}

/* ready() -> true once the body may be written */
static int call_ready(lua_State *L) {
    call_t *self = check_call(L);
    if (self->is_done) return hvl_push_error(L, "write", HV_ECLOSED);
    if (!self->is_ready) return wait_as_writer(L, self, "write");
    lua_pushboolean(L, 1);
    return 1;
}

/* write(data) -> true; waits where much is queued */
static int call_write(lua_State *L) {
    call_t *self = check_call(L);
    size_t len;
    const char *data = luaL_checklstring(L, 2, &len);
    int code = hhttp_call_write(self->call, data, len);
    if (code == HV_EAGAIN) return wait_as_writer(L, self, "write");
    if (code != 0) return hvl_push_error(L, "write", code);
    lua_pushboolean(L, 1);
    return 1;
}

static int call_finish(lua_State *L) {
    call_t *self = check_call(L);
    int code = hhttp_call_finish(self->call);
    if (code != 0) return hvl_push_error(L, "write", code);
    lua_pushboolean(L, 1);
    return 1;
}

/* ---- Without waiting ---- */

static int call_cancel(lua_State *L) {
    call_t *self = check_call(L);
    if (self->object.rt->loop != NULL && !self->is_done) hhttp_call_cancel(self->call);
    return 0;
}

/* sent() -> bytes of the body that have left for the network */
static int call_sent(lua_State *L) {
    call_t *self = check_call(L);
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
    call_t *self = lua_touserdata(L, 1);
    if (self->call == NULL) return 0;
    hhttp_call_set_userdata(self->call, NULL);
    if (self->object.rt->loop != NULL) {
        hhttp_call_cancel(self->call);
        hvl_unref(self->object.rt, &self->body_ref);
    }
    hhttp_call_release(self->call);
    self->call = NULL;
    hcodec_free(self->codec);
    drop_bytes(&self->body);
    return 0;
}

hio_t *hvl_http_take_io(lua_State *L, int index) {
    call_t *self = hvl_check(L, index, &call_class);
    return hhttp_call_take_io(self->call);
}

/* is_public_suffix(domain) */
static int is_public_suffix(lua_State *L) {
    lua_pushboolean(L, hhttp_is_public_suffix(luaL_checkstring(L, 1)));
    return 1;
}

/* ---- Pools ---- */

static uint32_t limit_field(lua_State *L, const char *name) {
    lua_getfield(L, 1, name);
    lua_Number value = lua_tonumber(L, -1);
    lua_pop(L, 1);
    return value > 0 && value < (lua_Number)INFINITE ? (uint32_t)value : 0;
}

/* pool(options) -> pool; or nil, message, code */
static int pool_new(lua_State *L) {
    hvl_t *rt = hvl_self(L);
    luaL_checktype(L, 1, LUA_TTABLE);
    if (rt->loop == NULL) return hvl_push_error(L, "hv.http.client", HV_ECLOSED);
    hhttp_client_options_t options = {
        .header_bytes_max = limit_field(L, "max_header"),
        .header_count_max = limit_field(L, "max_headers"),
        .connections_per_host_max = limit_field(L, "max_connections"),
        .idle_per_host_max = limit_field(L, "max_idle_per_host"),
        .idle_max = limit_field(L, "max_idle"),
        .waiting_max = limit_field(L, "max_waiting"),
        .idle_timeout_ms = limit_field(L, "keep_alive"),
    };
    pool_t *pool = hvl_object_new(L, rt, &pool_class, sizeof *pool);
    pool->client = hhttp_client_new(rt->loop, &options);
    if (pool->client == NULL) {
        return hvl_push_error(L, "hv.http.client", hloop_last_error(rt->loop));
    }
    return 1;
}

static int pool_close(lua_State *L) {
    pool_t *pool = hvl_check(L, 1, &pool_class);
    if (pool->object.rt->loop != NULL) hhttp_client_close(pool->client);
    pool->client = NULL;
    return 0;
}

/* A loop that has ended has closed its clients. */
static int pool_gc(lua_State *L) {
    pool_t *pool = lua_touserdata(L, 1);
    if (pool->object.rt->loop != NULL) hhttp_client_close(pool->client);
    pool->client = NULL;
    return 0;
}

static int pool_counts(lua_State *L) {
    pool_t *pool = hvl_check(L, 1, &pool_class);
    hhttp_client_counts_t counts = {0};
    if (pool->client != NULL && pool->object.rt->loop != NULL) {
        hhttp_client_counts(pool->client, &counts);
    }
    const struct {
        const char *name;
        uint64_t value;
    } fields[] = {{"connections", counts.connections}, {"idle", counts.idle},
                  {"waiting", counts.waiting},         {"opened", counts.opened},
                  {"reused", counts.reused},           {"repeated", counts.repeated}};
    lua_createtable(L, 0, ARRAY_SIZE(fields));
    for (size_t i = 0; i < ARRAY_SIZE(fields); i++) {
        lua_pushnumber(L, (lua_Number)fields[i].value);
        lua_setfield(L, -2, fields[i].name);
    }
    return 1;
}

int hvl_open_http_client(lua_State *L) {
    static const luaL_Reg functions[] = {{"pool", pool_new},
                                         {"start", start_call},
                                         {"is_public_suffix", is_public_suffix},
                                         {NULL, NULL}};
    static const luaL_Reg pool_methods[] = {
        {"close", pool_close}, {"counts", pool_counts}, {NULL, NULL}};
    static const luaL_Reg pool_metamethods[] = {{"__gc", pool_gc}, {NULL, NULL}};
    static const luaL_Reg call_methods[] = {{"perform", call_perform},
                                            {"head", call_head},
                                            {"read", call_read},
                                            {"ready", call_ready},
                                            {"write", call_write},
                                            {"finish", call_finish},
                                            {"cancel", call_cancel},
                                            {"sent", call_sent},
                                            {"request_head", call_request_head},
                                            {"is_reused", call_is_reused},
                                            {"connection", call_connection},
                                            {NULL, NULL}};
    static const luaL_Reg call_metamethods[] = {{"__gc", call_gc}, {NULL, NULL}};
    hvl_t *rt = hvl_self(L);
    hvl_class_new(L, rt, &pool_class, pool_methods, pool_metamethods);
    lua_pop(L, 1);
    hvl_class_new(L, rt, &call_class, call_methods, call_metamethods);
    lua_pop(L, 1);
    lua_newtable(L);
    hvl_setfuncs(L, rt, functions);
    return 1;
}
