/* hini.h - configuration files: [section], name = value, comments after ';' (and '#' at the start
 * of a line), values that go on in indented lines. Every failure names the file and the line.
 *
 *     char error[HINI_ERROR_BYTES];
 *     hini_t *ini = hini_load("etc/server.conf", error, sizeof(error));
 *     if (ini == NULL) { fprintf(stderr, "%s\n", error); return 1; }
 *     int64_t port = 8080;                                  // stays where the file says nothing
 *     if (hini_get_int(ini, "", "port", 1, 65535, &port) < 0 && hini_error(ini)[0] != '\0') ...
 *
 * One thread. Names are compared exactly; names before the first section are in section "". */
#ifndef HV_INI_H_
#define HV_INI_H_

#include "hdef.h"
#include "herr.h"

HV_BEGIN_DECLS

typedef struct hini_s hini_t;

#define HINI_ERROR_BYTES 512
#define HINI_FILE_BYTES_MAX (1 << 20)

/* Reads a file, or a text of which `name` stands in the messages.
 *   error  gets "etc/x.conf:3: ..." where NULL is returned; may be NULL
 * Returns what was read, to be given to hini_free; NULL where it cannot be read, a line is no
 * section, name or comment or is longer than 196 bytes, or a name is given twice. */
HV_EXPORT hini_t *hini_load(const char *path, char *error, size_t error_size);
HV_EXPORT hini_t *hini_parse(const char *text, const char *name, char *error, size_t error_size);
HV_EXPORT void hini_free(hini_t *ini);

/* The value as it stands in the file, lines joined by '\n'; NULL where there is none. Lives as long
 * as `ini`. A section may be NULL for "". */
HV_EXPORT const char *hini_get(const hini_t *ini, const char *section, const char *key);
/* The line of a value; 0 where there is none. */
HV_EXPORT int hini_line(const hini_t *ini, const char *section, const char *key);

/* Each sets *value and returns 0; HV_ENOTFOUND where the name is not there, HV_EINVAL or HV_ELIMIT
 * where its value is no such thing or out of range: *value is then untouched, and hini_error has
 * the words for the last two.
 *   string  any text that is not empty          bool  1 0 on off yes no true false enable disable
 *   int     decimal                             size  bytes: "64", "64K", "1M512K"
 *   time    to milliseconds: "500ms", "30" and "30s" (seconds), "1m30s", "1d" */
HV_EXPORT int hini_get_string(hini_t *ini, const char *section, const char *key,
                              const char **value);
HV_EXPORT int hini_get_int(hini_t *ini, const char *section, const char *key, int64_t min,
                           int64_t max, int64_t *value);
HV_EXPORT int hini_get_bool(hini_t *ini, const char *section, const char *key, bool *value);
HV_EXPORT int hini_get_size(hini_t *ini, const char *section, const char *key, size_t *value);
HV_EXPORT int hini_get_time(hini_t *ini, const char *section, const char *key, uint64_t *value_ms);

/* The first error of the hini_get_* functions, with file and line; "" while there is none. So a
 * program may read everything and look once. */
HV_EXPORT const char *hini_error(const hini_t *ini);

/* Looks for a name that no function above has asked for: a mistyped one, most likely.
 * Returns 0 where there is none; HV_EINVAL, with hini_error set. */
HV_EXPORT int hini_check_unread(hini_t *ini);

/* What the file has, in its order: the entry after `*cursor` (start with 0). Each of the last three
 * may be NULL. Returns 1, or 0 at the end. */
HV_EXPORT int hini_next(const hini_t *ini, size_t *cursor, const char **section, const char **key,
                        const char **value);

HV_END_DECLS

#endif
