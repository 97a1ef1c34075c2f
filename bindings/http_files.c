/* http_files.c - files as answers for Lua: directories that are served, single files, and answers
 * that are compressed. */
#include "http.h"

#include "fields.h"

#include "hhttp_files.h"

struct http_files_s {
    hvl_object_t object;
    hhttp_files_t *files;
};

static const hvl_class_t files_class = {"hv.http.files"};

/* files(dir, options) -> files; or nil, message, code. Options are checked. */
static int files_new(lua_State *L) {
    hvl_t *rt = hvl_self(L);
    const char *dir = luaL_checkstring(L, 1);
    luaL_checktype(L, 2, LUA_TTABLE);
    hhttp_files_options_t options = {
        .lists = hvl_field_flag(L, 2, "listing"),
        .shows_hidden = hvl_field_flag(L, 2, "hidden"),
        .follows_no_links = !hvl_field_flag(L, 2, "links"),
        .no_precompressed = !hvl_field_flag(L, 2, "precompressed"),
        .no_compression = !hvl_field_flag(L, 2, "compress"),
        .leaves_misses = 1,
        .index = hvl_field_text(L, 2, "index"),
        .cache_control = hvl_field_text(L, 2, "cache_control"),
        .fallback = hvl_field_text(L, 2, "fallback"),
    };
    if (options.index == NULL) options.index = "";
    if (rt->loop == NULL) return hvl_push_error(L, dir, HV_ECLOSED);
    http_files_t *object = hvl_object_new(L, rt, &files_class, sizeof *object);
    object->files = hhttp_files_new(rt->loop, dir, &options);
    return object->files != NULL ? 1 : hvl_push_error(L, dir, hloop_last_error(rt->loop));
}

static int files_gc(lua_State *L) {
    http_files_t *object = lua_touserdata(L, 1);
    if (object->files != NULL) hhttp_files_free(object->files);
    object->files = NULL;
    return 0;
}

http_files_t *hvl_http_check_files(lua_State *L, int index) {
    return hvl_check(L, index, &files_class);
}

/* The route of the directory itself has no name. */
static hhttp_slice_t rest_of(const hhttp_route_match_t *match) {
    if (match->param_count == 0) return (hhttp_slice_t){"", 0};
    return match->params[match->param_count - 1].value;
}

int hvl_http_serve(http_files_t *object, hhttp_request_t *req, const hhttp_route_match_t *match,
                   hhttp_done_cb on_done) {
    return hhttp_files_serve(object->files, req, rest_of(match), on_done);
}

/* ---- Waiting for the end of an answer ---- */

static void on_done(hhttp_request_t *req, int error) {
    http_exchange_t *exchange = hhttp_request_userdata(req);
    hvl_task_t *task = exchange != NULL ? hvl_wake(&exchange->writer) : NULL;
    if (task == NULL) return;
    if (error != 0) {
        hvl_resume_now(task, hvl_push_error(task->co, "res:file", error));
        return;
    }
    lua_pushboolean(task->co, 1);
    hvl_resume_now(task, 1);
}

/* Waits, or returns, by what the call that began has returned. */
static int await_end(lua_State *L, http_exchange_t *exchange, int code) {
    if (code < 0) return hvl_push_error(L, "res:file", code);
    if (code == 1) {
        lua_pushboolean(L, 1);
        return 1;
    }
    exchange->writer = hvl_wait_begin(L, "res:file", -1, NULL, NULL);
    return hvl_wait(L);
}

/* serve(res, files): answers with what the last name of the route stands for below the directory;
 * or nil, message, code: with ENOTFOUND and EACCES nothing has been answered */
static int serve(lua_State *L) {
    http_exchange_t *exchange = hvl_http_check_response(L, 1);
    http_files_t *object = hvl_http_check_files(L, 2);
    hhttp_route_match_t match;
    if (exchange == NULL) return hvl_push_error(L, "res:file", HV_ECLOSED);
    if (!hvl_may_wait(L)) return hvl_refuse(L, NULL);
    if (hvl_is_waited(&exchange->writer)) return hvl_push_error(L, "res:file", HV_EBUSY);
    hhttp_slice_t path = hhttp_request_path(exchange->req);
    int code = hhttp_router_match(exchange->router->routes, hhttp_request_method(exchange->req),
                                  path.data, path.len, &match);
    if (code != 0) return hvl_push_error(L, "res:file", code);
    int top = lua_gettop(L);
    hhttp_header_t headers[HTTP_HEADERS_MAX]; /* those that middleware has set */
    int count = hvl_http_collect_headers(L, exchange, headers);
    code = count < 0 ? count : hhttp_files_serve_with(object->files, exchange->req, rest_of(&match),
                                                      headers, (size_t)count, on_done);
    lua_settop(L, top);
    if (code == HV_EINVAL) return hvl_misuse(L, "app:static: a header cannot be sent");
    return await_end(L, exchange, code);
}

/* send_file(res, path, content type or nil) */
static int send_file(lua_State *L) {
    http_exchange_t *exchange = hvl_http_check_response(L, 1);
    const char *path = luaL_checkstring(L, 2);
    hhttp_header_t headers[HTTP_HEADERS_MAX];
    if (exchange == NULL) return hvl_push_error(L, "res:file", HV_ECLOSED);
    if (!hvl_may_wait(L)) return hvl_refuse(L, NULL);
    if (hvl_is_waited(&exchange->writer)) return hvl_push_error(L, "res:file", HV_EBUSY);
    int top = lua_gettop(L);
    int count = hvl_http_collect_headers(L, exchange, headers);
    hhttp_file_options_t options = {
        .status = exchange->status,
        .content_type = luaL_optstring(L, 3, NULL),
        .headers = headers,
        .header_count = count > 0 ? (size_t)count : 0,
    };
    int code = count < 0 ? count : hhttp_respond_file(exchange->req, path, &options, on_done);
    lua_settop(L, top);
    if (code == HV_EINVAL) return hvl_misuse(L, "res:file: a header or the type cannot be sent");
    return await_end(L, exchange, code);
}

/* mime_type(name) -> type or nil */
static int mime_type(lua_State *L) {
    size_t len;
    const char *name = luaL_checklstring(L, 1, &len);
    lua_pushstring(L, hhttp_mime_type(name, len));
    return 1;
}

/* compress(res, min bytes, gzip level, brotli level, types or nil): has the answer compressed. The
 * types are borrowed: their string is to be kept as long as there may be requests. */
static int compress(lua_State *L) {
    http_exchange_t *exchange = hvl_http_check_response(L, 1);
    if (exchange == NULL) return 0;
    hhttp_compress_t options = {
        .bytes_min = (size_t)luaL_checknumber(L, 2),
        .gzip_level = (int)luaL_checkinteger(L, 3),
        .brotli_level = (int)luaL_checkinteger(L, 4),
        .types = luaL_optstring(L, 5, NULL),
    };
    hhttp_response_compress(exchange->req, &options); /* where it cannot, the answer is not */
    return 0;
}

/* tag(res): has the answer bear an ETag, and heed conditions */
static int tag(lua_State *L) {
    http_exchange_t *exchange = hvl_http_check_response(L, 1);
    if (exchange != NULL) hhttp_response_tag(exchange->req);
    return 0;
}

void hvl_http_open_files(lua_State *L, hvl_t *rt) {
    static const luaL_Reg functions[] = {{"files", files_new},
                                         {"serve", serve},
                                         {"send_file", send_file},
                                         {"mime_type", mime_type},
                                         {"compress", compress},
                                         {"tag", tag},
                                         {NULL, NULL}};
    static const luaL_Reg metamethods[] = {{"__gc", files_gc}, {NULL, NULL}};
    hvl_setfuncs(L, rt, functions);
    hvl_class_new(L, rt, &files_class, NULL, metamethods);
    lua_pop(L, 1);
}
