/* gateway.c - `_hv.gateway`: reverse and forward proxies. Options are checked by
 * lua/hv/http_proxy.lua; a handler waits here until its request has been passed on. */
#include "fields.h"
#include "hbase.h"
#include "hhttp_gateway.h"
#include "http.h"

static const hvl_class_t gateway_class = {"hv.http.gateway"};

typedef struct gateway_s {
    hvl_object_t object;
    hhttp_gateway_t *gateway; /* NULL once closed */
    uint32_t count;           /* of upstreams */
} gateway_t;

/* A request under way. It lives until the gateway is done with it, its task perhaps not so long. */
typedef struct passing_s {
    hvl_t *rt;
    hhttp_request_t *req; /* the gateway retains it as long */
    hvl_waiter_t waiter;
} passing_t;

static gateway_t *check_gateway(lua_State *L) { return hvl_check(L, 1, &gateway_class); }

/* ---- Making one ---- */

/* The list of upstreams at `index`. Returns how many; raises for more than there may be. */
static size_t read_upstreams(lua_State *L, int index, hhttp_upstream_t *upstreams) {
    size_t count = lua_objlen(L, index);
    if (count > HHTTP_UPSTREAMS_MAX) {
        return (size_t)hvl_misuse(L, "app:proxy: %d upstreams at the most, got %d",
                                  HHTTP_UPSTREAMS_MAX, (int)count);
    }
    for (size_t i = 0; i < count; i++) {
        lua_rawgeti(L, index, (int)i + 1);
        int top = lua_gettop(L);
        upstreams[i] = (hhttp_upstream_t){
            .url = hvl_field_text(L, top, "url"),
            .unix_path = hvl_field_text(L, top, "path"),
            .weight = (uint32_t)hvl_field_number(L, top, "weight"),
            .is_backup = hvl_field_flag(L, top, "backup"),
            .is_down = hvl_field_flag(L, top, "down"),
            .connect_timeout_ms = (uint32_t)hvl_field_number(L, top, "connect_timeout"),
            .head_timeout_ms = (uint32_t)hvl_field_number(L, top, "timeout"),
        };
        lua_pop(L, 1);
    }
    return count;
}

/* new(upstreams, options) -> gateway; or nil, message, code */
static int gateway_new(lua_State *L) {
    hvl_t *rt = hvl_self(L);
    luaL_checktype(L, 1, LUA_TTABLE);
    luaL_checktype(L, 2, LUA_TTABLE);
    if (rt->loop == NULL) return hvl_push_error(L, "proxy", HV_ECLOSED);
    hhttp_upstream_t upstreams[HHTTP_UPSTREAMS_MAX];
    size_t count = read_upstreams(L, 1, upstreams);
    lua_Number retries = hvl_field_number(L, 2, "retries");
    hhttp_gateway_options_t options = {
        .upstreams = upstreams,
        .upstream_count = count,
        .balance = (hhttp_balance_e)hvl_field_number(L, 2, "balance"),
        .hash_by = hvl_field_text(L, 2, "hash"),
        .strip_prefix = hvl_field_text(L, 2, "strip_prefix"),
        .keeps_prefix = hvl_field_flag(L, 2, "keeps_prefix"),
        .keeps_host = hvl_field_flag(L, 2, "keep_host"),
        .trusts_forwarded = hvl_field_flag(L, 2, "trust_forwarded"),
        .hides_forwarded = !hvl_field_flag(L, 2, "forwarded"),
        .checks_tls_off = !hvl_field_flag(L, 2, "verify"),
        .via = hvl_field_text(L, 2, "via"),
        .body_bytes_max = (uint64_t)hvl_field_number(L, 2, "max_body"),
        .connect_timeout_ms = hvl_field_limit(L, 2, "connect_timeout"),
        .head_timeout_ms = hvl_field_limit(L, 2, "timeout"),
        .idle_timeout_ms = hvl_field_limit(L, 2, "idle_timeout"),
        .tunnel_timeout_ms = hvl_field_limit(L, 2, "tunnel_timeout"),
        .retries = retries > 0 ? (int32_t)retries : -1,
        .retry_statuses = (uint32_t)hvl_field_number(L, 2, "retry_on"),
        .fail_max = hvl_field_limit(L, 2, "max_fails"),
        .rest_ms = hvl_field_limit(L, 2, "rest"),
        .health_path = hvl_field_text(L, 2, "health_path"),
        .health_interval_ms = (uint32_t)hvl_field_number(L, 2, "health_interval"),
        .client = {.connections_per_host_max = (uint32_t)hvl_field_number(L, 2, "max_connections")},
    };
    gateway_t *self = hvl_object_new(L, rt, &gateway_class, sizeof *self);
    self->gateway = hhttp_gateway_new(rt->loop, &options);
    if (self->gateway == NULL) return hvl_push_error(L, "proxy", hloop_last_error(rt->loop));
    self->count = (uint32_t)count;
    return 1;
}

static int gateway_close(lua_State *L) {
    gateway_t *self = check_gateway(L);
    if (self->gateway != NULL && self->object.rt->loop != NULL) hhttp_gateway_close(self->gateway);
    self->gateway = NULL;
    lua_pushboolean(L, 1);
    return 1;
}

static int gateway_gc(lua_State *L) {
    gateway_t *self = lua_touserdata(L, 1);
    /* Where the loop is gone it has taken the gateway along. */
    if (self->gateway != NULL && self->object.rt->loop != NULL) hhttp_gateway_close(self->gateway);
    self->gateway = NULL;
    return 0;
}

/* gateway:upstream(index from 1) -> is_up, busy, passed, failures; or nothing */
static int gateway_upstream(lua_State *L) {
    gateway_t *self = check_gateway(L);
    lua_Integer index = luaL_checkinteger(L, 2);
    hhttp_upstream_state_t state;
    if (self->gateway == NULL || index < 1) return 0;
    if (hhttp_gateway_upstream(self->gateway, (size_t)index - 1, &state) != 0) return 0;
    lua_pushboolean(L, state.is_up);
    lua_pushinteger(L, (lua_Integer)state.busy);
    lua_pushnumber(L, (lua_Number)state.passed);
    lua_pushnumber(L, (lua_Number)state.failures);
    return 4;
}

/* ---- Passing on ---- */

static void on_done(hhttp_request_t *req, const hhttp_gateway_result_t *result, void *userdata) {
    (void)req;
    passing_t *passing = userdata;
    hvl_task_t *task = passing->rt->loop != NULL ? hvl_wake(&passing->waiter) : NULL;
    hv_free(passing);
    if (task == NULL) return;
    int count = 1;
    if (result->error == 0) {
        lua_pushinteger(task->co, result->upstream + 1);
    } else {
        lua_pushnil(task->co);
        lua_pushfstring(task->co, "proxy: %s", result->text);
        lua_pushstring(task->co, herr_name(result->error));
        count = 3;
    }
    hvl_resume_now(task, count);
}

/* Nobody waits for the answer any more, so the upstream need not go on with it. */
static void on_canceled(hvl_task_t *task, void *data) {
    (void)task;
    passing_t *passing = data;
    if (passing->rt->loop != NULL) hhttp_gateway_cancel(passing->req);
}

/* Reads { name, value or false, ... } at `index` to the array. The strings stay the table's.
 * Returns how many there are then, or a code. */
static int read_changes(lua_State *L, int index, hhttp_header_t *headers, int count) {
    if (!lua_istable(L, index)) return count;
    int len = (int)lua_objlen(L, index);
    if (count + len / 2 > HTTP_HEADERS_MAX) return HV_ELIMIT;
    for (int i = 1; i < len; i += 2) {
        hhttp_header_t *header = &headers[count++];
        lua_rawgeti(L, index, i);
        lua_rawgeti(L, index, i + 1);
        header->name.data = lua_tolstring(L, -2, &header->name.len);
        header->value = (hhttp_slice_t){NULL, 0};
        if (lua_isstring(L, -1)) header->value.data = lua_tolstring(L, -1, &header->value.len);
        lua_pop(L, 2);
        if (header->name.data == NULL) return HV_EINVAL;
    }
    return count;
}

/* Waits until a request that is being passed on is done, or returns why it is not. */
static int await_pass(lua_State *L, passing_t *passing, int code) {
    if (code != 0) {
        hv_free(passing);
        return hvl_push_error(L, "proxy", code);
    }
    passing->waiter = hvl_wait_begin(L, "proxy", -1, on_canceled, passing);
    return hvl_wait(L);
}

/* Begins for gateway and response at 1 and 2. Returns NULL, with *results values of an error
 * pushed. */
static passing_t *passing_new(lua_State *L, http_exchange_t **exchange, int *results) {
    gateway_t *self = check_gateway(L);
    *exchange = hvl_http_check_response(L, 2);
    if (!hvl_may_wait(L)) {
        *results = hvl_refuse(L, NULL);
        return NULL;
    }
    passing_t *passing = NULL;
    int code = *exchange == NULL || self->gateway == NULL ? HV_ECLOSED : 0;
    if (code == 0) {
        passing = hv_zalloc(sizeof *passing);
        if (passing == NULL) code = HV_ENOMEM;
    }
    if (code != 0) {
        *results = hvl_push_error(L, "proxy", code);
        return NULL;
    }
    passing->rt = self->object.rt;
    passing->req = (*exchange)->req;
    return passing;
}

/* gateway:pass(res[, request headers[, response headers]]) -> number of the upstream that has
 * answered; or nil, message, code: it has been answered all the same. Headers that middleware has
 * set for the answer count, too. */
static int gateway_pass(lua_State *L) {
    http_exchange_t *exchange;
    int results;
    lua_settop(L, 4);
    passing_t *passing = passing_new(L, &exchange, &results);
    if (passing == NULL) return results;
    hhttp_header_t request[HTTP_HEADERS_MAX], response[HTTP_HEADERS_MAX];
    int request_count = read_changes(L, 3, request, 0);
    int response_count = hvl_http_collect_headers(L, exchange, response);
    if (response_count >= 0) response_count = read_changes(L, 4, response, response_count);
    int code = request_count < 0 ? request_count : response_count < 0 ? response_count : 0;
    if (code == 0) {
        hhttp_gateway_changes_t changes = {request, (size_t)request_count, response,
                                           (size_t)response_count};
        code = hhttp_gateway_pass_with(check_gateway(L)->gateway, exchange->req, &changes, on_done,
                                       passing);
    }
    lua_settop(L, 4);
    if (code == HV_EINVAL) {
        hv_free(passing);
        return hvl_misuse(L, "proxy: a header cannot be sent");
    }
    return await_pass(L, passing, code);
}

/* gateway:forward(res): the same for a forward proxy, where the number is 0 */
static int gateway_forward(lua_State *L) {
    http_exchange_t *exchange;
    int results;
    passing_t *passing = passing_new(L, &exchange, &results);
    if (passing == NULL) return results;
    int code = hhttp_gateway_forward(check_gateway(L)->gateway, exchange->req, on_done, passing);
    return await_pass(L, passing, code);
}

int hvl_open_gateway(lua_State *L) {
    static const luaL_Reg methods[] = {
        {"pass", gateway_pass},   {"forward", gateway_forward}, {"upstream", gateway_upstream},
        {"close", gateway_close}, {NULL, NULL}};
    static const luaL_Reg metamethods[] = {{"__gc", gateway_gc}, {NULL, NULL}};
    static const luaL_Reg functions[] = {{"new", gateway_new}, {NULL, NULL}};
    hvl_t *rt = hvl_self(L);
    lua_newtable(L);
    hvl_setfuncs(L, rt, functions);
    hvl_class_new(L, rt, &gateway_class, methods, metamethods);
    lua_setfield(L, -2, "methods");
    return 1;
}
