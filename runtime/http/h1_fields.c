/* h1_fields.c - lists, lengths and codings in header values. */
#include "h1_fields.h"

#include "h1_chars.h"

int h1_next_element(hhttp_slice_t *list, hhttp_slice_t *element) {
    while (list->len > 0) {
        const char *start = list->data;
        const char *comma = memchr(start, ',', list->len);
        const char *end = comma != NULL ? comma : start + list->len;
        size_t used = (size_t)(end - start) + (comma != NULL);
        list->data += used;
        list->len -= used;
        while (start < end && (*start == ' ' || *start == '\t'))
            start++;
        while (end > start && (end[-1] == ' ' || end[-1] == '\t'))
            end--;
        *element = (hhttp_slice_t){start, (size_t)(end - start)};
        if (element->len > 0) return 1;
    }
    return 0;
}

void h1_read_connection(hhttp_slice_t list, h1_connection_t *connection) {
    hhttp_slice_t option;
    while (h1_next_element(&list, &option)) {
        if (h1_equals_folded(option.data, option.len, "close", 5)) {
            connection->close = 1;
        } else if (h1_equals_folded(option.data, option.len, "keep-alive", 10)) {
            connection->keep_alive = 1;
        } else if (h1_equals_folded(option.data, option.len, "upgrade", 7)) {
            connection->upgrade = 1;
        }
    }
}

int h1_read_content_length(hhttp_slice_t value, uint64_t *length) {
    if (value.len == 0) return 400;
    uint64_t sum = 0;
    for (size_t i = 0; i < value.len; i++) {
        unsigned digit = (unsigned)(unsigned char)value.data[i] - (unsigned)'0';
        if (digit > 9 || sum > ((uint64_t)INT64_MAX - digit) / 10) return 400;
        sum = sum * 10 + digit;
    }
    *length = sum;
    return 0;
}

int h1_read_transfer_encoding(hhttp_slice_t list) {
    hhttp_slice_t coding;
    unsigned count = 0;
    unsigned chunked_count = 0;
    int chunked_is_last = 0;
    while (h1_next_element(&list, &coding)) {
        count++;
        chunked_is_last = h1_equals_folded(coding.data, coding.len, "chunked", 7);
        chunked_count += (unsigned)chunked_is_last;
    }
    if (!chunked_is_last || chunked_count > 1) return 400;
    return count > 1 ? 501 : 0;
}
