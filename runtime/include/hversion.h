/* hversion.h - the version of the headers. */
#ifndef HV_VERSION_H_
#define HV_VERSION_H_

#include "hdef.h"

#define HV_VERSION_MAJOR  0
#define HV_VERSION_MINOR  1
#define HV_VERSION_PATCH  0
#define HV_VERSION_STRING "0.1.0"

HV_BEGIN_DECLS

/* The version the library was built as; compare with HV_VERSION_STRING. */
HV_EXPORT const char *hv_version(void);
HV_EXPORT const char *hv_compile_version(void);

HV_END_DECLS

#endif
