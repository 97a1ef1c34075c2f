/* hunpack_delim.c - packets that end with a delimiter.
 *
 * The search looks for the delimiter's last byte with memchr, which reads a vector at a time, and
 * compares the bytes before it. So a search goes on exactly where the one before it stopped: a
 * delimiter that arrives in pieces is found when its last byte comes, and no byte is searched
 * twice, however small the reads are. Only the first `max` bytes are looked at: a delimiter that
 * ends later makes a packet that is too long in any case. */
#include "hframe.h"

#include "hassert.h"

/* Position behind the first delimiter that ends in data[from, len); 0 where there is none. */
static size_t find_end(const unpack_setting_t *setting, const char *data, size_t from, size_t len) {
    size_t head_bytes = (size_t)setting->delimiter_bytes - 1;
    unsigned char last = setting->delimiter[head_bytes];
    if (from < head_bytes) from = head_bytes;
    while (from < len) {
        const char *hit = memchr(data + from, last, len - from);
        if (hit == NULL) return 0;
        from = (size_t)(hit - data) + 1;
        HV_DASSERT(from > head_bytes);
        if (memcmp(hit - head_bytes, setting->delimiter, head_bytes) == 0) return from;
    }
    return 0;
}

long hv__frame_delimiter(const unpack_setting_t *setting, const char *data, size_t len,
                         size_t *scanned) {
    size_t max = hv__frame_max(setting);
    size_t visible = len < max ? len : max;
    HV_DASSERT(*scanned <= len);
    size_t end = find_end(setting, data, *scanned, visible);
    *scanned = end == 0 ? visible : 0;
    if (end != 0) return (long)end;
    return len >= max ? HV_ELIMIT : 0;
}
