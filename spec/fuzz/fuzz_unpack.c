/* fuzz_unpack.c - cutting a stream into packets. The first 16 bytes make the setting, the rest is
 * the stream. It is cut as a whole and byte by byte; both must give the same packets and the same
 * error, no packet may pass the limit, and no byte beyond what has arrived may be read. */
#include "hframe.h"

#define SETTING_BYTES 16
#define PACKETS_MAX   4096

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static unsigned int number_at(const uint8_t *data) {
    return (unsigned int)data[0] | (unsigned int)data[1] << 8;
}

static unpack_setting_t setting_from(const uint8_t *data) {
    static const unpack_coding_e codings[] = {ENCODE_BY_VARINT, ENCODE_BY_LITTLE_ENDIAN,
                                              ENCODE_BY_BIG_ENDIAN};
    unpack_setting_t setting;
    memset(&setting, 0, sizeof(setting));
    setting.mode = (unpack_mode_e)(1 + data[0] % 3);
    setting.length_field_coding = codings[data[1] % 3];
    setting.package_max_length = number_at(data + 2);
    setting.fixed_length = data[4];
    setting.delimiter_bytes = data[5] % (PACKAGE_MAX_DELIMITER_BYTES + 1);
    setting.body_offset = data[6];
    setting.length_field_offset = data[7];
    setting.length_field_bytes = data[4] % 10;
    if (setting.mode == UNPACK_BY_DELIMITER) memcpy(setting.delimiter, data + 8, 8);
    else setting.length_adjustment = (short)number_at(data + 8);
    return setting;
}

/* Cuts the stream as it arrives in steps. Returns the number of packets. */
static size_t cut(const unpack_setting_t *setting, const char *data, size_t size, size_t step,
                  long *results) {
    size_t count = 0;
    size_t begin = 0;
    size_t scanned = 0;
    size_t arrived = 0;
    while (arrived < size) {
        arrived = size - arrived < step ? size : arrived + step;
        for (;;) {
            size_t len = arrived - begin;
            /* A block of its own, so that the sanitizer sees a read beyond what has arrived. */
            char *block = malloc(len > 0 ? len : 1);
            if (block == NULL) abort();
            memcpy(block, data + begin, len);
            long packet = hframe_next(setting, block, len, &scanned);
            free(block);
            if (packet > (long)len || packet > (long)hv__frame_max(setting)) abort();
            if (scanned > len) abort();
            if (packet == 0) break;
            results[count++] = packet;
            if (packet < 0 || count == PACKETS_MAX) return count;
            begin += (size_t)packet;
            scanned = 0;
        }
    }
    return count;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static long whole[PACKETS_MAX];
    static long bytewise[PACKETS_MAX];
    if (size < SETTING_BYTES || size > 4096) return 0;
    unpack_setting_t setting = setting_from(data);
    if (unpack_setting_check(&setting) != 0) return 0;
    const char *stream = (const char *)data + SETTING_BYTES;
    size -= SETTING_BYTES;
    size_t count = cut(&setting, stream, size, size > 0 ? size : 1, whole);
    if (cut(&setting, stream, size, 1, bytewise) != count) abort();
    if (memcmp(whole, bytewise, count * sizeof(whole[0])) != 0) abort();
    return 0;
}
