/* hunpack.h - how a byte stream is cut into packets: fixed length, delimiter, or length field. */
#ifndef HV_UNPACK_H_
#define HV_UNPACK_H_

#include "hdef.h"
#include "herr.h"

HV_BEGIN_DECLS

typedef enum {
    UNPACK_MODE_NONE       = 0,
    UNPACK_BY_FIXED_LENGTH = 1, /* every packet has fixed_length bytes */
    UNPACK_BY_DELIMITER    = 2, /* a packet ends with the delimiter, which belongs to it */
    UNPACK_BY_LENGTH_FIELD = 3, /* a head with a length field says how long the body is */
} unpack_mode_e;

#define DEFAULT_PACKAGE_MAX_LENGTH  (1 << 21) /* 2 MiB */
#define PACKAGE_MAX_DELIMITER_BYTES 8

typedef enum {
    ENCODE_BY_VARINT        = 1, /* seven bits a byte, least significant group first */
    ENCODE_BY_LITTEL_ENDIAN = __ORDER_LITTLE_ENDIAN__,
    ENCODE_BY_LITTLE_ENDIAN = __ORDER_LITTLE_ENDIAN__,
    ENCODE_BY_BIG_ENDIAN    = __ORDER_BIG_ENDIAN__,
} unpack_coding_e;

/* A packet by length field is `body_offset` bytes of head, then as many bytes as the field says
 * plus length_adjustment. With a varint, length_field_bytes is the number of bytes that
 * body_offset counts for it; a longer one moves the body:
 * body starts at body_offset + varint_bytes - length_field_bytes. */
typedef struct unpack_setting_s {
    unpack_mode_e mode;
    unsigned int package_max_length; /* bytes of a whole packet; 0: DEFAULT_PACKAGE_MAX_LENGTH */
    /* UNPACK_BY_FIXED_LENGTH */
    unsigned int fixed_length;
    /* UNPACK_BY_DELIMITER */
    unsigned char delimiter[PACKAGE_MAX_DELIMITER_BYTES];
    unsigned short delimiter_bytes; /* 1..PACKAGE_MAX_DELIMITER_BYTES */
    /* UNPACK_BY_LENGTH_FIELD */
    unsigned short body_offset;
    unsigned short length_field_offset;
    unsigned short length_field_bytes; /* 1..8 */
    short length_adjustment;           /* added to the field's value */
    unpack_coding_e length_field_coding;
#ifdef __cplusplus
    /* A head of five bytes: flags in one, the length in four. In C memset does for a start. */
    unpack_setting_s()
        : mode(UNPACK_BY_LENGTH_FIELD), package_max_length(DEFAULT_PACKAGE_MAX_LENGTH),
          fixed_length(0), delimiter(), delimiter_bytes(0), body_offset(5), length_field_offset(1),
          length_field_bytes(4), length_adjustment(0), length_field_coding(ENCODE_BY_BIG_ENDIAN) {}
#endif
} unpack_setting_t;

/* Checks a setting. Returns 0, or HV_EINVAL where a field is missing or out of range. */
HV_EXPORT int unpack_setting_check(const unpack_setting_t *setting);

HV_END_DECLS

#endif
