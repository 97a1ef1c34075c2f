/* hunpack.c - checks a setting and hands the search to its mode. Everything behind hframe_next
 * relies on a checked setting: sizes within their arrays, a head within the limit. */
#include "hframe.h"

#include "hassert.h"

size_t hv__frame_max(const unpack_setting_t *setting) {
    unsigned int max = setting->package_max_length;
    return max != 0 ? max : DEFAULT_PACKAGE_MAX_LENGTH;
}

static bool is_length_field_valid(const unpack_setting_t *setting) {
    unsigned int field_end = setting->length_field_offset;
    field_end += setting->length_field_bytes;
    switch ((int)setting->length_field_coding) {
    case ENCODE_BY_VARINT:
    case ENCODE_BY_LITTLE_ENDIAN:
    case ENCODE_BY_BIG_ENDIAN:
        break;
    default:
        return false;
    }
    return setting->length_field_bytes >= 1 && setting->length_field_bytes <= 8 &&
           field_end <= setting->body_offset && setting->body_offset <= hv__frame_max(setting);
}

int unpack_setting_check(const unpack_setting_t *setting) {
    bool is_valid = false;
    if (setting == NULL) return HV_EINVAL;
    switch ((int)setting->mode) {
    case UNPACK_BY_FIXED_LENGTH:
        is_valid = setting->fixed_length >= 1 && setting->fixed_length <= hv__frame_max(setting);
        break;
    case UNPACK_BY_DELIMITER:
        is_valid = setting->delimiter_bytes >= 1 &&
                   setting->delimiter_bytes <= PACKAGE_MAX_DELIMITER_BYTES &&
                   setting->delimiter_bytes <= hv__frame_max(setting);
        break;
    case UNPACK_BY_LENGTH_FIELD:
        is_valid = is_length_field_valid(setting);
        break;
    default:
        break;
    }
    return is_valid ? 0 : HV_EINVAL;
}

long hframe_next(const unpack_setting_t *setting, const char *data, size_t len, size_t *scanned) {
    HV_DASSERT(unpack_setting_check(setting) == 0);
    switch (setting->mode) {
    case UNPACK_BY_FIXED_LENGTH:
        return hv__frame_fixed(setting, len);
    case UNPACK_BY_DELIMITER:
        return hv__frame_delimiter(setting, data, len, scanned);
    case UNPACK_BY_LENGTH_FIELD:
        return hv__frame_length(setting, data, len);
    case UNPACK_MODE_NONE:
        break;
    }
    HV_UNREACHABLE();
}
