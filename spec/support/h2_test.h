/* h2_test.h - frames of HTTP/2 for tests: written one behind the other into a buffer, header blocks
 * as literals; and counted in what a server has sent. RFC 9113 section 4, RFC 7541 section
 * 6.2.2. */
#ifndef SPEC_H2_TEST_H_
#define SPEC_H2_TEST_H_

#include <stddef.h>
#include <stdint.h>
#include <string.h>

enum {
    F_DATA, F_HEADERS, F_PRIORITY, F_RST_STREAM, F_SETTINGS, F_PUSH_PROMISE, F_PING, F_GOAWAY,
    F_WINDOW_UPDATE, F_CONTINUATION,
};
enum { END_STREAM = 1, ACK = 1, END_HEADERS = 4, IS_PADDED = 8 };

#define H2_PREFACE "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

typedef struct h2_text_s {
    char data[65536];
    size_t len;
} h2_text_t;

static inline void put_bytes(h2_text_t *text, const void *data, size_t len) {
    if (len == 0) return;
    memcpy(text->data + text->len, data, len);
    text->len += len;
}

static inline void put_u32(h2_text_t *text, uint32_t number) {
    unsigned char bytes[4] = {(unsigned char)(number >> 24), (unsigned char)(number >> 16),
                              (unsigned char)(number >> 8), (unsigned char)number};
    put_bytes(text, bytes, 4);
}

static inline void put_frame(h2_text_t *text, int kind, int flags, uint32_t stream,
                             const void *payload, size_t len) {
    unsigned char head[5] = {(unsigned char)(len >> 16), (unsigned char)(len >> 8),
                             (unsigned char)len, (unsigned char)kind, (unsigned char)flags};
    put_bytes(text, head, 5);
    put_u32(text, stream);
    put_bytes(text, payload, len);
}

/* A frame whose payload is one number: WINDOW_UPDATE, RST_STREAM. */
static inline void put_number_frame(h2_text_t *text, int kind, uint32_t stream, uint32_t number) {
    put_frame(text, kind, 0, stream, NULL, 0);
    text->data[text->len - 7] = 4; /* its length */
    put_u32(text, number);
}

static inline void put_field(h2_text_t *block, const char *name, const char *value) {
    unsigned char head[2] = {0, (unsigned char)strlen(name)};
    put_bytes(block, head, 2);
    put_bytes(block, name, strlen(name));
    head[0] = (unsigned char)strlen(value);
    put_bytes(block, head, 1);
    put_bytes(block, value, strlen(value));
}

/* A request; `more` is NULL or names and values, up to a NULL. */
static inline void put_request(h2_text_t *text, int flags, uint32_t stream, const char *method,
                               const char *path, const char *const *more) {
    static h2_text_t block;
    block.len = 0;
    put_field(&block, ":method", method);
    put_field(&block, ":scheme", "http");
    put_field(&block, ":path", path);
    put_field(&block, ":authority", "x");
    for (; more != NULL && more[0] != NULL; more += 2) put_field(&block, more[0], more[1]);
    put_frame(text, F_HEADERS, flags | END_HEADERS, stream, block.data, block.len);
}

static inline void put_preface(h2_text_t *text) {
    text->len = 0;
    put_bytes(text, H2_PREFACE, sizeof H2_PREFACE - 1);
    put_frame(text, F_SETTINGS, 0, 0, NULL, 0);
}

/* SETTINGS with one value. */
static inline void put_setting(h2_text_t *text, int id, uint32_t value) {
    put_frame(text, F_SETTINGS, 0, 0, NULL, 0);
    text->data[text->len - 7] = 6;
    unsigned char head[2] = {(unsigned char)(id >> 8), (unsigned char)id};
    put_bytes(text, head, 2);
    put_u32(text, value);
}

/* The `nth` (from 0) whole frame of that kind and stream (-1: any) in what has come; its payload in
 * *payload. Returns its flags, or -1. */
static inline int find_frame(const char *data, size_t len, int kind, long stream, int nth,
                             const unsigned char **payload, size_t *payload_len) {
    const unsigned char *at = (const unsigned char *)data, *end = at + len;
    while (end - at >= 9) {
        size_t size = (size_t)at[0] << 16 | (size_t)at[1] << 8 | at[2];
        long id = (long)(at[5] & 127) << 24 | (long)at[6] << 16 | (long)at[7] << 8 | at[8];
        if ((size_t)(end - at) < 9 + size) break;
        if (at[3] == kind && (stream < 0 || id == stream) && nth-- == 0) {
            *payload = at + 9;
            *payload_len = size;
            return at[4];
        }
        at += 9 + size;
    }
    return -1;
}

static inline uint32_t read_u32(const unsigned char *at) {
    return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

#endif
