/* crypto.c - digests and encodings for Lua. Functions of strings to strings; none of them waits. */
#include "hcrypto.h"

#include "bind.h"

#define RANDOM_BYTES_MAX (64 << 20)

/* A string argument, or misuse. Numbers are not taken: their text is seldom what is meant. */
static const char *check_string(lua_State *L, int index, const char *name, size_t *len) {
    if (lua_type(L, index) != LUA_TSTRING) {
        hvl_misuse(L, "hv.crypto.%s: string expected, got %s", name, luaL_typename(L, index));
    }
    return lua_tolstring(L, index, len);
}

static int push_digest(lua_State *L, const char *what, int bytes, const char *out) {
    if (bytes < 0) return hvl_push_error(L, what, bytes);
    lua_pushlstring(L, out, (size_t)bytes);
    return 1;
}

static int digest(lua_State *L, hcrypto_digest_e kind, const char *name) {
    char out[HCRYPTO_DIGEST_MAX];
    size_t len;
    const char *data = check_string(L, 1, name, &len);
    return push_digest(L, name, hcrypto_digest(kind, data, len, out), out);
}

static int md5(lua_State *L) { return digest(L, HCRYPTO_MD5, "md5"); }
static int sha1(lua_State *L) { return digest(L, HCRYPTO_SHA1, "sha1"); }
static int sha224(lua_State *L) { return digest(L, HCRYPTO_SHA224, "sha224"); }
static int sha256(lua_State *L) { return digest(L, HCRYPTO_SHA256, "sha256"); }
static int sha384(lua_State *L) { return digest(L, HCRYPTO_SHA384, "sha384"); }
static int sha512(lua_State *L) { return digest(L, HCRYPTO_SHA512, "sha512"); }

/* hmac(name, key, data) */
static int hmac(lua_State *L) {
    char out[HCRYPTO_DIGEST_MAX];
    size_t key_len, len;
    const char *name = check_string(L, 1, "hmac", &len);
    const char *key = check_string(L, 2, "hmac", &key_len);
    const char *data = check_string(L, 3, "hmac", &len);
    int kind = hcrypto_digest_by_name(name);
    if (kind < 0) {
        return hvl_misuse(L, "hv.crypto.hmac: no digest is called \"%s\" (md5, sha1, sha256 ...)",
                          name);
    }
    return push_digest(L, "hmac",
                       hcrypto_hmac((hcrypto_digest_e)kind, key, key_len, data, len, out), out);
}

/* ---- Digests of pieces ---- */

typedef struct hash_s {
    hvl_object_t object;
    hcrypto_hash_t *hash; /* NULL once the digest was taken */
} hash_t;

static const hvl_class_t hash_class = {"hv.crypto.hash"};

/* hash(name) */
static int new_hash(lua_State *L) {
    size_t len;
    const char *name = check_string(L, 1, "hash", &len);
    int kind = hcrypto_digest_by_name(name);
    if (kind < 0) {
        return hvl_misuse(L, "hv.crypto.hash: no digest is called \"%s\" (md5, sha1, sha256 ...)",
                          name);
    }
    hash_t *hash = hvl_object_new(L, hvl_self(L), &hash_class, sizeof *hash);
    hash->hash = hcrypto_hash_new((hcrypto_digest_e)kind);
    if (hash->hash == NULL) return hvl_push_error(L, "hash", HV_ENOMEM);
    return 1;
}

static int hash_update(lua_State *L) {
    hash_t *hash = hvl_check(L, 1, &hash_class);
    size_t len;
    const char *data = check_string(L, 2, "hash", &len);
    if (hash->hash == NULL) {
        return hvl_misuse(L, "hash:update: the digest has been taken");
    }
    hcrypto_hash_update(hash->hash, data, len);
    lua_settop(L, 1);
    return 1;
}

static int hash_digest(lua_State *L) {
    hash_t *hash = hvl_check(L, 1, &hash_class);
    char out[HCRYPTO_DIGEST_MAX];
    if (hash->hash == NULL) {
        return hvl_misuse(L, "hash:digest: the digest has been taken");
    }
    int bytes = hcrypto_hash_final(hash->hash, out);
    hcrypto_hash_free(hash->hash);
    hash->hash = NULL;
    return push_digest(L, "digest", bytes, out);
}

static int hash_gc(lua_State *L) {
    hash_t *hash = lua_touserdata(L, 1);
    hcrypto_hash_free(hash->hash);
    hash->hash = NULL;
    return 0;
}

/* ---- Text ---- */

/* Room for a result on the Lua heap, so that an error of memory leaks nothing. */
static char *room(lua_State *L, size_t bytes) {
    return lua_newuserdata(L, bytes > 0 ? bytes : 1);
}

static int to_hex(lua_State *L) {
    size_t len;
    const char *data = check_string(L, 1, "hex", &len);
    char *out = room(L, HCRYPTO_HEX_LEN(len));
    hcrypto_hex(data, len, out);
    lua_pushlstring(L, out, HCRYPTO_HEX_LEN(len));
    return 1;
}

static int push_decoded(lua_State *L, const char *what, int64_t bytes, const char *out) {
    if (bytes < 0) return hvl_push_error(L, what, (int)bytes);
    lua_pushlstring(L, out, (size_t)bytes);
    return 1;
}

static int from_hex(lua_State *L) {
    size_t len;
    const char *text = check_string(L, 1, "unhex", &len);
    char *out = room(L, len / 2);
    return push_decoded(L, "unhex", hcrypto_unhex(text, len, out), out);
}

static int encode_base64(lua_State *L, const char *name, int flags) {
    size_t len;
    const char *data = check_string(L, 1, name, &len);
    char *out = room(L, HCRYPTO_BASE64_LEN(len));
    lua_pushlstring(L, out, hcrypto_base64(data, len, flags, out));
    return 1;
}

static int to_base64(lua_State *L) { return encode_base64(L, "base64", 0); }

static int to_base64url(lua_State *L) {
    return encode_base64(L, "base64url", HCRYPTO_BASE64_URL | HCRYPTO_BASE64_NO_PAD);
}

static int from_base64(lua_State *L) {
    size_t len;
    const char *text = check_string(L, 1, "unbase64", &len);
    char *out = room(L, HCRYPTO_BASE64_BYTES_MAX(len));
    return push_decoded(L, "unbase64", hcrypto_unbase64(text, len, out), out);
}

static int random_bytes(lua_State *L) {
    size_t len = (size_t)hvl_check_integer(L, 1, "hv.crypto.random: n", 0, RANDOM_BYTES_MAX);
    char *out = room(L, len);
    int code = hcrypto_random(out, len);
    return push_decoded(L, "random", code < 0 ? code : (int64_t)len, out);
}

static int uuid(lua_State *L) {
    char out[HCRYPTO_UUID_BYTES];
    int code = hcrypto_uuid(out);
    if (code < 0) return hvl_push_error(L, "uuid", code);
    lua_pushstring(L, out);
    return 1;
}

static int equal(lua_State *L) {
    size_t len, other_len;
    const char *a = check_string(L, 1, "equal", &len);
    const char *b = check_string(L, 2, "equal", &other_len);
    lua_pushboolean(L, len == other_len && hcrypto_equal(a, b, len));
    return 1;
}

int hvl_open_crypto(lua_State *L) {
    static const luaL_Reg functions[] = {
        {"md5", md5},           {"sha1", sha1},       {"sha224", sha224},
        {"sha256", sha256},     {"sha384", sha384},   {"sha512", sha512},
        {"hmac", hmac},         {"hex", to_hex},      {"unhex", from_hex},
        {"base64", to_base64},  {"unbase64", from_base64}, {"base64url", to_base64url},
        {"random", random_bytes}, {"uuid", uuid},     {"equal", equal},
        {"hash", new_hash},     {NULL, NULL}};
    static const luaL_Reg methods[] = {
        {"update", hash_update}, {"digest", hash_digest}, {NULL, NULL}};
    static const luaL_Reg metamethods[] = {{"__gc", hash_gc}, {NULL, NULL}};
    hvl_class_new(L, hvl_self(L), &hash_class, methods, metamethods);
    lua_pop(L, 1);
    lua_newtable(L);
    hvl_setfuncs(L, hvl_self(L), functions);
    return 1;
}
