/* hunpack_fixed.c - packets of one size. The setting's check has compared it with the limit. */
#include "hframe.h"

#include "hassert.h"

long hv__frame_fixed(const unpack_setting_t *setting, size_t len) {
    HV_DASSERT(setting->fixed_length > 0);
    return len >= setting->fixed_length ? (long)setting->fixed_length : 0;
}
