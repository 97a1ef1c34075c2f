/* ws_cases.c - the reader of spec/wire/ws. */
#include "ws_cases.h"

#include <dirent.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PAYLOAD_MAX (1 << 20)

static const char *file_name;
static int line_number;

static void die(const char *why) {
    fprintf(stderr, "spec/wire/ws/%s:%d: %s\n", file_name, line_number, why);
    exit(2);
}

static void *grow(void *block, size_t size) {
    void *grown = realloc(block, size);
    if (grown == NULL) die("no memory");
    return grown;
}

/* ---- The log ---- */

static void append(ws_log_t *log, const void *data, size_t len) {
    if (log->len + len + 1 > log->room) {
        log->room = (log->len + len + 1) * 2;
        log->text = grow(log->text, log->room);
    }
    memcpy(log->text + log->len, data, len);
    log->len += len;
    log->text[log->len] = '\0';
}

static void append_text(ws_log_t *log, const char *format, ...) {
    char text[256];
    va_list args;
    va_start(args, format);
    int len = vsnprintf(text, sizeof text, format, args);
    va_end(args);
    append(log, text, (size_t)len);
}

void ws_log_clear(ws_log_t *log) {
    log->len = 0;
    append(log, "", 0);
}

void ws_log_free(ws_log_t *log) {
    free(log->text);
    *log = (ws_log_t){0};
}

static void append_bytes(ws_log_t *log, const unsigned char *data, size_t len) {
    if (len > 200) {
        uint64_t sum = 14695981039346656037u; /* FNV-1a */
        for (size_t i = 0; i < len; i++) sum = (sum ^ data[i]) * 1099511628211u;
        append_text(log, " %zu bytes %016" PRIx64, len, sum);
        return;
    }
    append_text(log, " ");
    for (size_t i = 0; i < len; i++) append_text(log, "%02x", (unsigned)data[i]);
}

void ws_log_payload(ws_log_t *log, const char *what, const void *data, size_t len) {
    append_text(log, "%s", what);
    append_bytes(log, data, len);
    append_text(log, "\n");
}

void ws_log_code(ws_log_t *log, const char *what, int code, const void *reason, size_t len) {
    append_text(log, "%s %d", what, code);
    if (reason != NULL && len > 0) append_bytes(log, reason, len);
    append_text(log, "\n");
}

/* ---- Words: "text" 00ff "a"*1000 ---- */

static unsigned char *payload;
static size_t payload_len;

static void add_byte(unsigned byte) {
    if (payload_len == PAYLOAD_MAX) die("payload too long");
    payload[payload_len++] = (unsigned char)byte;
}

static int hex_digit(int c) {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    return -1;
}

/* One word of payload. Returns what follows it. */
static const char *read_word(const char *at) {
    size_t before = payload_len;
    if (*at == '"') {
        for (at++; *at != '"'; at++) {
            if (*at == '\0') die("no closing quote");
            add_byte((unsigned char)*at);
        }
        at++;
    } else {
        while (hex_digit(at[0]) >= 0) {
            if (hex_digit(at[1]) < 0) die("hex digits come in pairs");
            add_byte((unsigned)(hex_digit(at[0]) * 16 + hex_digit(at[1])));
            at += 2;
        }
    }
    if (payload_len == before && *at != '*' && at[-1] != '"') die("text in quotes or hex expected");
    if (*at == '*') {
        char *end;
        size_t piece = payload_len - before;
        unsigned long times = strtoul(at + 1, &end, 10);
        at = end;
        if (times == 0) payload_len = before;
        for (unsigned long i = 1; i < times; i++) {
            for (size_t k = 0; k < piece; k++) add_byte(payload[before + k]);
        }
    }
    return at;
}

static void read_payload(const char *at) {
    payload_len = 0;
    while (*at != '\0') {
        while (*at == ' ') at++;
        if (*at != '\0') at = read_word(at);
    }
}

/* ---- Frames ---- */

static void add_bytes(ws_case_t *wire, int side, const void *data, size_t len) {
    wire->bytes[side] = grow(wire->bytes[side], wire->len[side] + len + 1);
    memcpy(wire->bytes[side] + wire->len[side], data, len);
    wire->len[side] += len;
}

/* A frame of the payload read. `form` is how the length is written: 0 the shortest, 16, or 64. */
static void add_frame(ws_case_t *wire, unsigned first, int form) {
    static const unsigned char mask[4] = {0x37, 0xfa, 0x21, 0x3d};
    if (form == 0) form = payload_len < 126 ? 7 : payload_len < 65536 ? 16 : 64;
    for (int side = 0; side < 2; side++) {
        unsigned char head[14];
        size_t len = 2;
        unsigned mask_bit = side == 0 ? 0x80 : 0;
        head[0] = (unsigned char)first;
        head[1] = (unsigned char)(mask_bit | (form == 7 ? payload_len : form == 16 ? 126u : 127u));
        int bytes = form == 7 ? 0 : form / 8;
        for (int i = bytes - 1; i >= 0; i--) {
            head[len++] = (unsigned char)((uint64_t)payload_len >> (8 * i));
        }
        if (side == 0) {
            memcpy(head + len, mask, 4);
            len += 4;
        }
        add_bytes(wire, side, head, len);
        for (size_t i = 0; i < payload_len; i++) {
            unsigned char byte = payload[i] ^ (side == 0 ? mask[i & 3] : 0);
            add_bytes(wire, side, &byte, 1);
        }
    }
}

/* "> 81 text" or "> 81/16 text" (the length in 16 bits). */
static void read_frame(ws_case_t *wire, const char *at) {
    char *end;
    unsigned first = (unsigned)strtoul(at, &end, 16);
    int form = 0;
    if (end == at || first > 255) die("first byte expected");
    if (*end == '/') form = (int)strtol(end + 1, &end, 10);
    read_payload(end);
    add_frame(wire, first, form);
}

/* "raw 81 85 ..." for both sides, "raw-server", "raw-client": bytes as they are. */
static void read_raw(ws_case_t *wire, const char *at, int for_server, int for_client) {
    read_payload(at);
    if (for_server) add_bytes(wire, 0, payload, payload_len);
    if (for_client) add_bytes(wire, 1, payload, payload_len);
}

static void read_expected(ws_log_t *log, const char *at) {
    char word[16];
    size_t len = strcspn(at, " ");
    if (len == 0 || len >= sizeof word) die("event expected");
    memcpy(word, at, len);
    word[len] = '\0';
    at += len;
    if (strcmp(word, "fail") == 0 || strcmp(word, "close") == 0) {
        char *end;
        int code = (int)strtol(at, &end, 10);
        read_payload(end);
        ws_log_code(log, word, code, payload, payload_len);
        return;
    }
    read_payload(at);
    ws_log_payload(log, word, payload, payload_len);
}

static const char *after(const char *line, const char *prefix) {
    size_t len = strlen(prefix);
    return strncmp(line, prefix, len) == 0 ? line + len : NULL;
}

static void read_line(ws_case_t *wire, ws_log_t *log, const char *line) {
    const char *at;
    if ((at = after(line, "> ")) != NULL) {
        read_frame(wire, at);
    } else if ((at = after(line, "< ")) != NULL) {
        read_expected(log, at);
    } else if ((at = after(line, "raw-server ")) != NULL) {
        read_raw(wire, at, 1, 0);
    } else if ((at = after(line, "raw-client ")) != NULL) {
        read_raw(wire, at, 0, 1);
    } else if ((at = after(line, "raw ")) != NULL) {
        read_raw(wire, at, 1, 1);
    } else if ((at = after(line, "message_max ")) != NULL) {
        wire->message_max = strtoul(at, NULL, 10);
    } else if ((at = after(line, "frame_max ")) != NULL) {
        wire->frame_max = strtoul(at, NULL, 10);
    } else if ((at = after(line, "fragments_max ")) != NULL) {
        wire->fragments_max = (uint32_t)strtoul(at, NULL, 10);
    } else if (strcmp(line, "deflate") == 0) {
        wire->has_rsv1 = 1;
    } else if (strcmp(line, "deflate context") == 0) {
        wire->has_rsv1 = wire->takes_context = 1;
    } else if (strcmp(line, "server") == 0) {
        wire->for_client = 0;
    } else if (strcmp(line, "client") == 0) {
        wire->for_server = 0;
    } else {
        die("unknown line");
    }
}

static size_t read_file(const char *path, ws_case_t *cases, size_t count) {
    FILE *file = fopen(path, "r");
    if (file == NULL) die("cannot be read");
    static char line[65536];
    ws_log_t log = {0};
    ws_case_t *wire = NULL;
    line_number = 0;
    while (fgets(line, sizeof line, file) != NULL) {
        line_number++;
        line[strcspn(line, "\n")] = '\0';
        if (line[0] == '#' || line[0] == '\0') continue;
        if (line[0] == '=') {
            if (wire != NULL) wire->expected = log.text;
            if (count == WS_CASES_MAX) die("too many cases");
            wire = &cases[count++];
            *wire = (ws_case_t){.line = line_number, .for_server = 1, .for_client = 1};
            snprintf(wire->name, sizeof wire->name, "%s: %.100s", file_name, line + 2);
            log = (ws_log_t){0};
            ws_log_clear(&log);
            continue;
        }
        if (wire == NULL) die("no case has begun");
        read_line(wire, &log, line);
    }
    if (wire != NULL) wire->expected = log.text;
    fclose(file);
    return count;
}

static int is_text_file(const struct dirent *entry) {
    size_t len = strlen(entry->d_name);
    return len > 4 && strcmp(entry->d_name + len - 4, ".txt") == 0;
}

size_t ws_cases_load(ws_case_t cases[WS_CASES_MAX]) {
    struct dirent **files;
    size_t count = 0;
    int found = scandir("spec/wire/ws", &files, is_text_file, alphasort);
    file_name = "";
    if (found <= 0) die("no files; run in the top folder");
    payload = grow(NULL, PAYLOAD_MAX);
    for (int i = 0; i < found; i++) {
        char path[300];
        file_name = files[i]->d_name;
        snprintf(path, sizeof path, "spec/wire/ws/%s", file_name);
        count = read_file(path, cases, count);
        free(files[i]);
    }
    free(files);
    free(payload);
    payload = NULL;
    return count;
}

void ws_cases_free(ws_case_t *cases, size_t count) {
    for (size_t i = 0; i < count; i++) {
        free(cases[i].bytes[0]);
        free(cases[i].bytes[1]);
        free(cases[i].expected);
    }
}
