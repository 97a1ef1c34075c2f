/* jsonrpc.h - what jsonrpc_server.c and jsonrpc_client.c share: the framing and as much JSON as a
 * request needs.
 *
 * A packet is a head of five bytes and a body of JSON text:
 *
 *     0       1       2       3       4       5
 *     +-------+-------+-------+-------+-------+------
 *     | flags | length of the body, big end   | body
 *     +-------+-------+-------+-------+-------+------
 *
 * or, with -d, the text alone, ended by CR LF, which JSON never contains unescaped. */
#ifndef EXAMPLES_JSONRPC_H_
#define EXAMPLES_JSONRPC_H_

#include "tool.h"

#define JSONRPC_HEAD_BYTES 5
#define JSONRPC_BODY_MAX   (1 << 20)

/* A run of bytes in a message; data is NULL where there is none. */
typedef struct json_s {
    const char *data;
    int len;
} json_t;

static unpack_setting_t head_setting = {
    .mode = UNPACK_BY_LENGTH_FIELD,
    .package_max_length = JSONRPC_HEAD_BYTES + JSONRPC_BODY_MAX,
    .body_offset = JSONRPC_HEAD_BYTES,
    .length_field_offset = 1,
    .length_field_bytes = 4,
    .length_field_coding = ENCODE_BY_BIG_ENDIAN,
};

static unpack_setting_t line_setting = {
    .mode = UNPACK_BY_DELIMITER,
    .package_max_length = JSONRPC_BODY_MAX,
    .delimiter = {'\r', '\n'},
    .delimiter_bytes = 2,
};

/* ---- Framing ---- */

/* The body of a whole packet, as the loop has cut it. */
static inline json_t jsonrpc_body(const void *packet, int len, int is_delimited) {
    const char *bytes = packet;
    if (is_delimited) return (json_t){bytes, len - 2};
    return (json_t){bytes + JSONRPC_HEAD_BYTES, len - JSONRPC_HEAD_BYTES};
}

static inline void jsonrpc_send(hio_t *io, const char *body, int len, int is_delimited) {
    uint32_t length = (uint32_t)len;
    unsigned char head[JSONRPC_HEAD_BYTES] = {
        0, (unsigned char)(length >> 24), (unsigned char)(length >> 16),
        (unsigned char)(length >> 8), (unsigned char)length};
    /* What a callback writes leaves in one system call. */
    if (!is_delimited) hio_write(io, head, sizeof head);
    hio_write(io, body, (size_t)len);
    if (is_delimited) hio_write(io, "\r\n", 2);
}

/* ---- JSON: finding the pieces of a text, not building a tree of it ---- */

static inline const char *json_blanks(const char *at, const char *end) {
    while (at < end && strchr(" \t\r\n", *at) != NULL && *at != '\0') at++;
    return at;
}

/* The end of the string that begins at `at`, or NULL. */
static inline const char *json_string_end(const char *at, const char *end) {
    for (at++; at < end && *at != '"'; at++) {
        if (*at == '\\') at++;
    }
    return at < end ? at + 1 : NULL;
}

/* The end of the value that begins at `at`, or NULL where the text breaks off. Brackets are
 * counted, so depth costs no stack. */
static inline const char *json_value_end(const char *at, const char *end) {
    int depth = 0;
    while (at < end) {
        if (*at == '"') {
            at = json_string_end(at, end);
            if (at == NULL) return NULL;
        } else if (*at == '{' || *at == '[') {
            depth++;
            at++;
        } else if (*at == '}' || *at == ']') {
            if (depth-- == 0) return NULL;
            at++;
        } else if (depth > 0) {
            at++;
        } else {
            const char *begin = at;
            while (at < end && strchr(",]} \t\r\n:", *at) == NULL) at++;
            return at > begin ? at : NULL;
        }
        if (depth == 0) return at;
    }
    return NULL;
}

/* Cuts the next value off `*rest`, and what may follow it. Returns it, or no value. */
static inline json_t json_next(json_t *rest) {
    const char *end = rest->data + rest->len;
    const char *at = json_blanks(rest->data, end);
    const char *stop = at < end ? json_value_end(at, end) : NULL;
    if (stop == NULL) return (json_t){NULL, 0};
    json_t value = {at, (int)(stop - at)};
    at = json_blanks(stop, end);
    if (at < end && (*at == ',' || *at == ':')) at++;
    *rest = (json_t){at, (int)(end - at)};
    return value;
}

/* What stands between the brackets of an object or an array, or nothing. */
static inline json_t json_inside(json_t value, char open, char close) {
    const char *end = value.data + value.len;
    const char *at = value.data != NULL ? json_blanks(value.data, end) : NULL;
    while (at != NULL && end > at && strchr(" \t\r\n", end[-1]) != NULL) end--;
    if (at == NULL || end - at < 2 || *at != open || end[-1] != close) return (json_t){NULL, 0};
    return (json_t){at + 1, (int)(end - at - 2)};
}

/* The value of a member, or no value. `key` is plain ASCII. */
static inline json_t json_member(json_t object, const char *key) {
    json_t rest = json_inside(object, '{', '}');
    int key_len = (int)strlen(key);
    while (rest.data != NULL) {
        json_t name = json_next(&rest);
        json_t value = name.data != NULL ? json_next(&rest) : name;
        if (value.data == NULL) break;
        if (name.len == key_len + 2 && memcmp(name.data + 1, key, (size_t)key_len) == 0) {
            return value;
        }
    }
    return (json_t){NULL, 0};
}

/* A number. Returns 1, or 0 for anything else. */
static inline int json_number(json_t value, double *number) {
    char text[64];
    if (value.data == NULL || value.len >= (int)sizeof text) return 0;
    if (strchr("-0123456789", value.data[0]) == NULL) return 0;
    memcpy(text, value.data, (size_t)value.len);
    text[value.len] = '\0';
    if (text[strspn(text, "+-.0123456789eE")] != '\0') return 0; /* strtod takes more than JSON */
    char *end;
    *number = strtod(text, &end);
    return *end == '\0';
}

#endif
