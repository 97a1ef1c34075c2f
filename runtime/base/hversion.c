/* hversion.c - the version this library was compiled as. */
#include "hversion.h"

const char *hv_version(void) {
    return HV_VERSION_STRING;
}

const char *hv_compile_version(void) {
    return HV_VERSION_STRING;
}
