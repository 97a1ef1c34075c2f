/* fuzz_multipart.c - forms. The first byte is how the body is cut. Whole and cut, the same parts
 * and bytes come out and the same error, no name is unsafe, and payload is never more than
 * input. */
#include "hmultipart.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

typedef struct seen_s {
    uint64_t hash;
    size_t parts;
    size_t bytes;
    int code;
    int has_ended;
} seen_t;

static void check_name(hhttp_slice_t name) {
    char safe[HMULTIPART_SAFE_NAME_MAX];
    size_t len = hmultipart_safe_name(name, safe);
    if (len == 0 || len != strlen(safe) || safe[0] == '.') __builtin_trap();
    if (memchr(safe, '/', len) != NULL) __builtin_trap();
}

static seen_t parse(const char *data, size_t size, size_t step) {
    seen_t seen = {.hash = 5381};
    hmultipart_limits_t limits = {.part_count_max = 50, .file_bytes_max = 3000};
    hmultipart_t *form = hmultipart_new((hhttp_slice_t){"b", 1}, &limits);
    if (form == NULL) return seen;
    for (size_t at = 0; at < size && seen.code == 0;) {
        size_t left = size - at < step ? size - at : step;
        while (left > 0) {
            size_t used;
            hhttp_slice_t piece;
            int event = hmultipart_next(form, data + at, left, &used, &piece);
            if (event < 0) {
                seen.code = event;
                break;
            }
            if (used == 0 && event == HMULTIPART_MORE) __builtin_trap();
            if (event == HMULTIPART_PART) {
                seen.parts++;
                seen.hash = seen.hash * 33 + hmultipart_name(form).len;
                check_name(hmultipart_filename(form));
                size_t cursor = 0;
                hhttp_header_t header;
                while (hmultipart_next_header(form, &cursor, &header)) seen.hash += header.name.len;
            }
            seen.bytes += piece.len;
            for (size_t i = 0; i < piece.len; i++) {
                seen.hash = seen.hash * 33 + (unsigned char)piece.data[i];
            }
            at += used;
            left -= used;
        }
    }
    seen.has_ended = hmultipart_has_ended(form);
    hmultipart_free(form);
    return seen;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size < 2) return 0;
    seen_t whole = parse((const char *)data + 1, size - 1, size);
    seen_t cut = parse((const char *)data + 1, size - 1, 1 + (size_t)data[0] % 40);
    if (whole.code != cut.code || whole.parts != cut.parts) __builtin_trap();
    if (whole.has_ended != cut.has_ended || whole.bytes > size) __builtin_trap();
    if (whole.code == 0 && (whole.hash != cut.hash || whole.bytes != cut.bytes)) __builtin_trap();
    return 0;
}
