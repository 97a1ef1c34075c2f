/* hunpack_length.c - packets whose head says how long they are.
 *
 *     | length_field_offset | field | rest of head | body                    |
 *     |<------------- body_offset ---------------->|<- field + adjustment -->|
 *
 * A varint has seven bits a byte, the low group first; the top bit says that more follow; at most
 * ten bytes, the tenth at most 1. Its real size moves the body, see hunpack.h. The limit is
 * compared before anything is added, so that no sum can wrap. */
#include "hframe.h"

#include "hassert.h"

#define VARINT_BYTES_MAX 10

/* Reads a varint. Returns its bytes; 0 where more are needed; HV_EPROTO beyond 64 bits. */
static int read_varint(const unsigned char *data, size_t len, uint64_t *value) {
    uint64_t sum = 0;
    for (size_t i = 0; i < len; i++) {
        unsigned char byte = data[i];
        if (i == VARINT_BYTES_MAX - 1 && byte > 1) return HV_EPROTO;
        sum |= (uint64_t)(byte & 0x7f) << (7 * i);
        if (byte < 0x80) {
            *value = sum;
            return (int)i + 1;
        }
    }
    HV_DASSERT(len < VARINT_BYTES_MAX);
    return 0;
}

/* Reads a field of `bytes` bytes in either order. */
static uint64_t read_number(const unsigned char *data, size_t bytes, bool is_big_endian) {
    uint64_t sum = 0;
    HV_DASSERT(bytes <= sizeof(sum));
    for (size_t i = 0; i < bytes; i++) {
        sum = sum << 8 | data[is_big_endian ? i : bytes - 1 - i];
    }
    return sum;
}

long hv__frame_length(const unpack_setting_t *setting, const char *data, size_t len) {
    size_t max = hv__frame_max(setting);
    size_t offset = setting->length_field_offset;
    size_t head = setting->body_offset;
    uint64_t body = 0;
    if (len <= offset) return 0;

    const unsigned char *field = (const unsigned char *)data + offset;
    if (setting->length_field_coding == ENCODE_BY_VARINT) {
        int bytes = read_varint(field, len - offset, &body);
        if (bytes <= 0) return bytes;
        head = head + (size_t)bytes - setting->length_field_bytes;
    } else {
        if (len - offset < setting->length_field_bytes) return 0;
        body = read_number(field, setting->length_field_bytes,
                           setting->length_field_coding == ENCODE_BY_BIG_ENDIAN);
    }

    int64_t adjustment = setting->length_adjustment;
    if (adjustment < 0 && body < (uint64_t)-adjustment) return HV_EPROTO;
    if (body > max + (uint64_t)INT16_MAX + 1) return HV_ELIMIT;
    body += (uint64_t)adjustment;
    if (head > max || body > max - head) return HV_ELIMIT;
    size_t packet = head + (size_t)body;
    HV_ASSERT(packet > offset && packet <= max);
    return len >= packet ? (long)packet : 0;
}
