/* http_body.c - the body of a request for Lua: whole, piece by piece, and the parser of multipart
 * forms.
 *
 * Whoever waits for a piece may give up (a timeout, a cancelled task) while it is on its way. It is
 * kept then for the next req:read: nothing that has arrived is lost. */
#include "http.h"

#include "fields.h"
#include "hmultipart.h"

/* ---- Whole ---- */

/* The body, or the rest of it, with a piece in front that a req:read has given up waiting for. */
static void push_body(lua_State *L, http_exchange_t *exchange) {
    hhttp_slice_t body = hhttp_request_body(exchange->req);
    int has_piece = exchange->piece_ref != LUA_NOREF;
    if (has_piece) {
        lua_rawgeti(L, LUA_REGISTRYINDEX, exchange->piece_ref);
        hvl_unref(exchange->server->object.rt, &exchange->piece_ref);
    }
    lua_pushlstring(L, body.len > 0 ? body.data : "", body.len);
    if (has_piece) lua_concat(L, 2);
}

static void on_body(hhttp_request_t *req, int error) {
    http_exchange_t *exchange = hhttp_request_userdata(req);
    hvl_task_t *task = exchange != NULL ? hvl_wake(&exchange->reader) : NULL;
    if (task == NULL) return;
    if (error != 0) {
        hvl_resume_now(task, hvl_push_error(task->co, "req:body", error));
        return;
    }
    push_body(task->co, exchange);
    hvl_resume_now(task, 1);
}

/* req:body() -> the whole body, or the rest of it, once it has arrived */
static int request_body(lua_State *L) {
    if (hvl_is_dual(L)) return hvl_dual(L);
    http_exchange_t *exchange = hvl_http_check_request(L, 1);
    if (exchange == NULL) return hvl_push_error(L, "req:body", HV_ECLOSED);
    if (!hvl_may_wait(L)) return hvl_refuse(L, NULL);
    if (hvl_is_waited(&exchange->reader)) return hvl_push_error(L, "req:body", HV_EBUSY);
    int code = hhttp_request_collect_body(exchange->req, on_body);
    if (code == 1) {
        push_body(L, exchange);
        return 1;
    }
    if (code == HV_EBUSY && exchange->awaits_piece) return hvl_push_error(L, "req:body", HV_EBUSY);
    if (code < 0 && code != HV_EBUSY) return hvl_push_error(L, "req:body", code);
    /* HV_EBUSY: asked for by a task that has given up waiting; the callback is still to come. */
    exchange->reader = hvl_wait_begin(L, "req:body", -1, NULL, NULL);
    return hvl_wait(L);
}

/* ---- Piece by piece ---- */

/* Pushes what req:read returns; `code` 0 and an empty piece is the end. */
static int push_piece(lua_State *L, hhttp_slice_t piece, int code) {
    if (code == HV_EOF) code = HV_ECLOSED; /* in the middle: not the end */
    if (code != 0) return hvl_push_error(L, "req:read", code);
    if (piece.len == 0) return hvl_push_error(L, "req:read", HV_EOF);
    lua_pushlstring(L, piece.data, piece.len);
    return 1;
}

static void on_piece(hhttp_request_t *req, hhttp_slice_t piece, int error) {
    http_exchange_t *exchange = hhttp_request_userdata(req);
    if (exchange == NULL) return;
    exchange->awaits_piece = 0;
    hvl_task_t *task = hvl_wake(&exchange->reader);
    if (task != NULL) {
        hvl_resume_now(task, push_piece(task->co, piece, error));
    } else if (piece.len > 0) {
        lua_State *L = exchange->server->object.rt->L;
        lua_pushlstring(L, piece.data, piece.len);
        exchange->piece_ref = hvl_ref(L);
    }
}

/* req:read() -> the next piece; nil, message, "EOF" at the end */
static int request_read(lua_State *L) {
    if (hvl_is_dual(L)) return hvl_dual(L);
    http_exchange_t *exchange = hvl_http_check_request(L, 1);
    if (exchange == NULL) return hvl_push_error(L, "req:read", HV_ECLOSED);
    if (!hvl_may_wait(L)) return hvl_refuse(L, NULL);
    if (hvl_is_waited(&exchange->reader)) return hvl_push_error(L, "req:read", HV_EBUSY);
    if (exchange->piece_ref != LUA_NOREF) {
        lua_rawgeti(L, LUA_REGISTRYINDEX, exchange->piece_ref);
        hvl_unref(exchange->server->object.rt, &exchange->piece_ref);
        return 1;
    }
    hhttp_slice_t piece = {NULL, 0};
    int code = hhttp_request_read_body(exchange->req, &piece, on_piece);
    if (code == 1) return push_piece(L, piece, 0);
    if (code == HV_EBUSY && !exchange->awaits_piece) return push_piece(L, piece, code);
    if (code < 0 && code != HV_EBUSY) return push_piece(L, piece, code);
    exchange->awaits_piece = 1;
    exchange->reader = hvl_wait_begin(L, "req:read", -1, NULL, NULL);
    return hvl_wait(L);
}

/* set_max_body(req, bytes or nil for no limit): all checked */
static int set_max_body(lua_State *L) {
    http_exchange_t *exchange = hvl_http_check_request(L, 1);
    if (exchange == NULL) return 0;
    uint64_t max = lua_isnoneornil(L, 2) ? UINT64_MAX : (uint64_t)luaL_checknumber(L, 2);
    hhttp_request_set_body_max(exchange->req, max);
    return 0;
}

/* refuse(req, status): the server answers, and closes the connection */
static int refuse(lua_State *L) {
    http_exchange_t *exchange = hvl_http_check_request(L, 1);
    int status = (int)hvl_check_integer(L, 2, "status", 400, 599);
    if (exchange != NULL) hhttp_request_refuse(exchange->req, status);
    return 0;
}

/* ---- Multipart forms ---- */

typedef struct parser_s {
    hvl_object_t object;
    hmultipart_t *form;
} parser_t;

static const hvl_class_t parser_class = {"hv.http.multipart_parser"};

static hhttp_slice_t check_slice(lua_State *L, int index) {
    hhttp_slice_t slice;
    slice.data = luaL_optlstring(L, index, "", &slice.len);
    return slice;
}

/* multipart_parser(content type or nil, limits) -> parser; or nil, message, code: EPROTO, ENOTFOUND
 * where the type is another one */
static int parser_new(lua_State *L) {
    hvl_t *rt = hvl_self(L);
    hhttp_slice_t boundary;
    luaL_checktype(L, 2, LUA_TTABLE);
    int code = hmultipart_boundary(check_slice(L, 1), &boundary);
    if (code != 0) return hvl_push_error(L, "multipart", code);
    hmultipart_limits_t limits = {
        .part_count_max = hvl_field_count(L, 2, "max_parts"),
        .part_header_bytes_max = hvl_field_count(L, 2, "max_part_header"),
        .field_bytes_max = hvl_field_bytes(L, 2, "max_field"),
        .form_bytes_max = hvl_field_bytes(L, 2, "max_form"),
        .file_bytes_max = hvl_field_bytes(L, 2, "max_file"),
    };
    parser_t *parser = hvl_object_new(L, rt, &parser_class, sizeof *parser);
    parser->form = hmultipart_new(boundary, &limits);
    return parser->form != NULL ? 1 : hvl_push_error(L, "multipart", HV_ENOMEM);
}

static parser_t *check_parser(lua_State *L) {
    parser_t *parser = hvl_check(L, 1, &parser_class);
    if (parser->form == NULL) hvl_misuse(L, "the parser has been collected"); /* by a finalizer */
    return parser;
}

static int parser_gc(lua_State *L) {
    parser_t *parser = lua_touserdata(L, 1);
    hmultipart_free(parser->form);
    parser->form = NULL;
    return 0;
}

/* parser:next(data, at) -> event, where to go on, piece; or nil, message, code */
static int parser_next(lua_State *L) {
    static const char *const events[] = {"more", "part", "data", "part_end", "end"};
    parser_t *parser = check_parser(L);
    size_t len, used;
    const char *data = luaL_checklstring(L, 2, &len);
    size_t at = (size_t)hvl_check_integer(L, 3, "at", 1, (int64_t)len + 1) - 1;
    hhttp_slice_t piece;
    int event = hmultipart_next(parser->form, data + at, len - at, &used, &piece);
    if (event < 0) return hvl_push_error(L, "multipart", event);
    lua_pushstring(L, events[event]);
    lua_pushinteger(L, (lua_Integer)(at + used + 1));
    if (event != HMULTIPART_DATA) return 2;
    lua_pushlstring(L, piece.data, piece.len);
    return 3;
}

static int parser_has_ended(lua_State *L) {
    lua_pushboolean(L, hmultipart_has_ended(check_parser(L)->form));
    return 1;
}

/* parser:part() -> name, safe file name or nil, header lines as name, value, ... */
static int parser_part(lua_State *L) {
    const hmultipart_t *form = check_parser(L)->form;
    hhttp_slice_t name = hmultipart_name(form), filename = hmultipart_filename(form);
    lua_pushlstring(L, name.len > 0 ? name.data : "", name.len);
    if (filename.data != NULL) {
        char safe[HMULTIPART_SAFE_NAME_MAX];
        lua_pushlstring(L, safe, hmultipart_safe_name(filename, safe));
    } else {
        lua_pushnil(L);
    }
    lua_newtable(L);
    size_t cursor = 0;
    hhttp_header_t header;
    for (int i = 1; hmultipart_next_header(form, &cursor, &header); i += 2) {
        hvl_http_add_field(L, i, &header);
    }
    return 3;
}

void hvl_http_open_body(lua_State *L, hvl_t *rt) {
    static const luaL_Reg functions[] = {{"set_max_body", set_max_body},
                                         {"refuse", refuse},
                                         {"multipart_parser", parser_new},
                                         {NULL, NULL}};
    static const luaL_Reg request_methods[] = {
        {"body", request_body}, {"read", request_read}, {NULL, NULL}};
    static const luaL_Reg parser_methods[] = {{"next", parser_next},
                                              {"has_ended", parser_has_ended},
                                              {"part", parser_part},
                                              {NULL, NULL}};
    static const luaL_Reg parser_metamethods[] = {{"__gc", parser_gc}, {NULL, NULL}};
    hvl_setfuncs(L, rt, functions);
    hvl_class_new(L, rt, &parser_class, parser_methods, parser_metamethods);
    lua_pop(L, 1);
    lua_getfield(L, -1, "request_methods");
    hvl_setfuncs(L, rt, request_methods);
    lua_pop(L, 1);
}
