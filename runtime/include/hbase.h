/* hbase.h - memory, strings, files, random numbers and small parsers, for programs and examples.
 * Any thread. Strings are NUL-terminated unless a length is given. */
#ifndef HV_BASE_H_
#define HV_BASE_H_

#include "hdef.h"
#include "herr.h"

HV_BEGIN_DECLS

/* ---- Memory: NULL where there is none left; free with hv_free ---- */

HV_EXPORT void *hv_malloc(size_t size);
HV_EXPORT void *hv_calloc(size_t count, size_t size);
HV_EXPORT void *hv_zalloc(size_t size); /* cleared */
/* Moves a block; where it grows from `old_size` the new bytes are cleared. */
HV_EXPORT void *hv_realloc(void *block, size_t new_size, size_t old_size);
HV_EXPORT void hv_free(void *block);
HV_EXPORT char *hv_strdup(const char *text);
/* At most `len` bytes of `text`. */
HV_EXPORT char *hv_strndup(const char *text, size_t len);
/* Blocks of the library and of these functions that are live in the process. */
HV_EXPORT long hv_alloc_live(void);

/* Sets `ptr` to `size` cleared bytes, or to NULL. */
#define HV_ALLOC(ptr, size) (*(void **)&(ptr) = hv_zalloc(size))
#define HV_ALLOC_SIZEOF(ptr) HV_ALLOC(ptr, sizeof(*(ptr)))
/* Frees and sets NULL; NULL is allowed. */
#define HV_FREE(ptr)     \
    do {                 \
        hv_free(ptr);    \
        (ptr) = NULL;    \
    } while (0)

/* ---- Strings, ASCII ---- */

/* In place; each returns `text`. */
HV_EXPORT char *hv_strupper(char *text);
HV_EXPORT char *hv_strlower(char *text);
HV_EXPORT char *hv_strreverse(char *text);
HV_EXPORT bool hv_strstartswith(const char *text, const char *start);
HV_EXPORT bool hv_strendswith(const char *text, const char *end);
HV_EXPORT bool hv_strcontains(const char *text, const char *part);
/* Copies, or appends, as much as fits into `size` bytes, always with a NUL. Each returns `dest`. */
HV_EXPORT char *hv_strncpy(char *dest, const char *text, size_t size);
HV_EXPORT char *hv_strncat(char *dest, const char *text, size_t size);
/* The last '.' or '/' of a path, or NULL. */
HV_EXPORT char *hv_strrchr_dot(const char *path);
HV_EXPORT char *hv_strrchr_dir(const char *path);
/* What follows the last '/', and the last '.': pointers into `path`; suffix "" where none is. */
HV_EXPORT const char *hv_basename(const char *path);
HV_EXPORT const char *hv_suffixname(const char *path);

/* ---- Files ---- */

/* Makes a directory and those above it, mode 0777 less the umask. Returns 0, also where it is there
 * already, or a negative code. */
HV_EXPORT int hv_mkdir_p(const char *dir);
/* Removes a directory that is empty, then those above it as long as they are. Returns 0 where at
 * least the first was removed, or a negative code. */
HV_EXPORT int hv_rmdir_p(const char *dir);
HV_EXPORT bool hv_exists(const char *path);
HV_EXPORT bool hv_isdir(const char *path);
HV_EXPORT bool hv_isfile(const char *path);
HV_EXPORT bool hv_islink(const char *path);
/* Bytes of a file, or 0. */
HV_EXPORT size_t hv_filesize(const char *path);

/* Each writes a path with a NUL into `buf` of `size` bytes (MAX_PATH will do).
 *   path  of the running program   dir  the directory it is in
 *   file  its name alone           run  the working directory
 * Returns `buf`; NULL where it does not fit or cannot be found, and `buf` is then empty. */
HV_EXPORT char *get_executable_path(char *buf, int size);
HV_EXPORT char *get_executable_dir(char *buf, int size);
HV_EXPORT char *get_executable_file(char *buf, int size);
HV_EXPORT char *get_run_dir(char *buf, int size);

/* ---- Random: from the kernel's generator, fit for secrets ---- */

/* An even choice of min..max, both included; min where max is below it. */
HV_EXPORT int hv_rand(int min, int max);
/* Writes `len` letters and digits and a NUL into `buf` of len + 1 bytes. Returns `buf`. */
HV_EXPORT char *hv_random_string(char *buf, int len);

/* ---- Parsing ---- */

/* True for "1", "y", "yes", "on", "true" and "enable" in either case. */
HV_EXPORT bool hv_getboolean(const char *text);
/* Bytes of "64", "64K", "1M512K" or "2GB" (K is 1024; B, K, M, G, T; either case).
 * Returns 0 for what is no size or does not fit. */
HV_EXPORT size_t hv_parse_size(const char *text);
/* Seconds of "30", "1m30s" or "1w2d3h" (s, m, h, d, w; either case).
 * Returns 0 for what is no time or does not fit. */
HV_EXPORT time_t hv_parse_time(const char *text);

HV_END_DECLS

#endif
