/* embedded.h - the Lua modules that the hvlua program carries in itself, made from lua/hv at build
 * time by bindings/embed_lua.cmake. */
#ifndef HV_EMBEDDED_H_
#define HV_EMBEDDED_H_

#include <stddef.h>

struct hv_embedded_module {
    const char *name; /* as `require` names it: "hv", "hv.tcp" */
    const char *data; /* source text; a NUL follows it, not counted */
    size_t len;
};

/* Sorted by name (byte order), ended by an entry whose name is NULL. */
extern const struct hv_embedded_module hv_embedded_modules[];
extern const size_t hv_embedded_module_count; /* without the last entry */

#endif
