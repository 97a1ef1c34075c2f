/* tls.c - TLS contexts as Lua objects, and what Lua learns of a TLS connection. lua/hv/tls.lua
 * checks options and decides which side a context is for. */
#include "tls.h"

#include <sys/stat.h>

typedef struct context_s {
    hvl_object_t object;
    hssl_ctx_t ctx;
} context_t;

static const hvl_class_t context_class = {"hv.tls.context"};

/* ---- For other bindings ---- */

hssl_ctx_t hvl_tls_context(lua_State *L, int index) {
    if (lua_isnoneornil(L, index)) return NULL;
    context_t *self = hvl_check(L, index, &context_class);
    return self->ctx;
}

hssl_ctx_t hvl_tls_context_field(lua_State *L, int index, const char *name) {
    lua_getfield(L, index, name);
    hssl_ctx_t ctx = hvl_tls_context(L, lua_gettop(L));
    lua_pop(L, 1);
    return ctx;
}

int hvl_tls_push_error(lua_State *L, const char *what, const char *words) {
    lua_pushnil(L);
    if (words != NULL) {
        lua_pushfstring(L, "%s: %s: %s", what, herr_text(HV_ETLS), words);
    } else {
        lua_pushfstring(L, "%s: %s", what, herr_text(HV_ETLS));
    }
    lua_pushstring(L, herr_name(HV_ETLS));
    return 3;
}

/* ---- Facts ---- */

static void set_text(lua_State *L, const char *key, const char *value) {
    if (value == NULL || *value == '\0') return;
    lua_pushstring(L, value);
    lua_setfield(L, -2, key);
}

static void set_seconds(lua_State *L, const char *key, int64_t value) {
    lua_pushnumber(L, (lua_Number)value);
    lua_setfield(L, -2, key);
}

static void push_lines(lua_State *L, const char *text) {
    lua_newtable(L);
    for (int i = 1; *text != '\0'; i++) {
        size_t len = strcspn(text, "\n");
        lua_pushlstring(L, text, len);
        lua_rawseti(L, -2, i);
        text += len + (text[len] == '\n');
    }
}

static void push_certificate(lua_State *L, const hssl_certificate_t *known) {
    lua_createtable(L, 0, 8);
    set_text(L, "subject", known->subject);
    set_text(L, "issuer", known->issuer);
    set_text(L, "serial", known->serial);
    set_text(L, "fingerprint", known->fingerprint);
    set_text(L, "pem", known->pem);
    set_seconds(L, "not_before", known->not_before);
    set_seconds(L, "not_after", known->not_after);
    push_lines(L, known->names);
    lua_setfield(L, -2, "names");
}

void hvl_tls_push_facts(lua_State *L, const hio_t *io) {
    char alpn[256];
    lua_createtable(L, 0, 8);
    set_text(L, "version", hio_ssl_version(io));
    set_text(L, "cipher", hio_ssl_cipher(io));
    hio_ssl_alpn(io, alpn, sizeof alpn);
    set_text(L, "alpn", alpn);
    set_text(L, "server_name", hio_ssl_server_name(io));
    lua_pushboolean(L, hio_ssl_is_resumed(io));
    lua_setfield(L, -2, "resumed");
    lua_pushboolean(L, hio_ssl_is_truncated(io));
    lua_setfield(L, -2, "truncated");
    hssl_certificate_t *certificate = hio_ssl_peer_certificate(io);
    if (certificate == NULL) return;
    push_certificate(L, certificate);
    lua_setfield(L, -2, "peer_certificate");
    hssl_certificate_free(certificate);
}

/* ---- Contexts ---- */

static int is_folder(const char *path) {
    struct stat info;
    return path != NULL && stat(path, &info) == 0 && S_ISDIR(info.st_mode);
}

static int push_last_error(lua_State *L) {
    lua_pushnil(L);
    lua_pushstring(L, hssl_last_error());
    lua_pushstring(L, herr_name(HV_ETLS));
    return 3;
}

/* context(is_client, verify, cert, key, ca, alpn, min_version, ciphers): all checked.
 *   verify  HSSL_VERIFY_*
 *   alpn    names parted by commas */
static int context_new(lua_State *L) {
    hssl_ctx_opt_t opt = {
        .endpoint = lua_toboolean(L, 1) ? HSSL_CLIENT : HSSL_SERVER,
        .verify_peer = (short)luaL_checkinteger(L, 2),
        .crt_file = luaL_optstring(L, 3, NULL),
        .key_file = luaL_optstring(L, 4, NULL),
        .ca_file = luaL_optstring(L, 5, NULL),
        .alpn = luaL_optstring(L, 6, NULL),
        .min_version = luaL_optstring(L, 7, NULL),
        .ciphers = luaL_optstring(L, 8, NULL),
    };
    if (is_folder(opt.ca_file)) {
        opt.ca_path = opt.ca_file;
        opt.ca_file = NULL;
    }
    context_t *self = hvl_object_new(L, hvl_self(L), &context_class, sizeof *self);
    self->ctx = hssl_ctx_new(&opt);
    return self->ctx != NULL ? 1 : push_last_error(L);
}

static context_t *check_context(lua_State *L) { return hvl_check(L, 1, &context_class); }

/* reload() -> true, or nil, message, code with the old rules in force */
static int context_reload(lua_State *L) {
    context_t *self = check_context(L);
    if (hssl_ctx_reload(self->ctx) != 0) return push_last_error(L);
    lua_pushboolean(L, 1);
    return 1;
}

/* add_name(name, context): before it serves */
static int context_add_name(lua_State *L) {
    context_t *self = check_context(L);
    const char *name = luaL_checkstring(L, 2);
    context_t *other = hvl_check(L, 3, &context_class);
    int code = hssl_ctx_add_name(self->ctx, name, other->ctx);
    if (code != 0) return hvl_push_error(L, "add_name", code);
    lua_pushboolean(L, 1);
    return 1;
}

/* Connections and listeners have references of their own. */
static int context_gc(lua_State *L) {
    context_t *self = lua_touserdata(L, 1);
    hssl_ctx_free(self->ctx);
    self->ctx = NULL;
    return 0;
}

static int backend(lua_State *L) {
    lua_pushstring(L, hssl_backend());
    return 1;
}

int hvl_open_tls(lua_State *L) {
    static const luaL_Reg functions[] = {
        {"context", context_new}, {"backend", backend}, {NULL, NULL}};
    static const luaL_Reg methods[] = {
        {"reload", context_reload}, {"add_name", context_add_name}, {NULL, NULL}};
    static const luaL_Reg metamethods[] = {{"__gc", context_gc}, {NULL, NULL}};
    hvl_t *rt = hvl_self(L);
    lua_newtable(L);
    hvl_setfuncs(L, rt, functions);
    hvl_class_new(L, rt, &context_class, methods, metamethods);
    lua_pop(L, 1);
    return 1;
}
