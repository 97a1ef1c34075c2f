/* hdict.h - a dictionary in shared memory: what threads and processes of one program keep in
 * common.
 *
 * Keys are bytes; values are bytes, numbers or booleans, each with a time to live where wanted. The
 * size is fixed at birth: where it is full, what was not used for longest makes room. Every
 * function may be called from any thread of any process that has the memory; each is one step that
 * is seen whole or not at all. A process that is killed in the middle of one is survived: what it
 * was at is undone or, where that cannot be, the dictionary begins anew, empty. */
#ifndef HV_DICT_H_
#define HV_DICT_H_

#include "hdef.h"
#include "herr.h"

HV_BEGIN_DECLS

typedef struct hdict_s hdict_t;

#define HDICT_BYTES_MIN      16384u
#define HDICT_BYTES_MAX      ((size_t)8 << 30)
#define HDICT_KEY_BYTES_MAX  65535u
#define HDICT_NAME_BYTES_MAX 63u
#define HDICT_POOL_BYTES     ((size_t)4 << 30) /* address space, not memory: see hdict_pool */

typedef enum {
    HDICT_BYTES   = 1,
    HDICT_NUMBER  = 2,
    HDICT_BOOLEAN = 3,
    HDICT_ENCODED = 4, /* bytes that stand for something else; what, is the program's affair */
} hdict_type_e;

typedef struct hdict_value_s {
    hdict_type_e type;
    double number;    /* HDICT_NUMBER; 0 or 1 of HDICT_BOOLEAN */
    const void *data; /* of the other two */
    size_t len;
} hdict_value_t;

typedef struct hdict_stats_s {
    uint64_t bytes;      /* as it was made */
    uint64_t bytes_free; /* in one piece or many */
    uint64_t count;      /* entries, with those that have expired and were not found out yet */
    uint64_t evictions;  /* entries that made room before their time, ever */
    uint64_t resets;     /* times it began anew after a process had died in it, or broke it */
} hdict_stats_t;

/* ---- Where it lies ---- */

/* The dictionary of that name in the program's pool; it is made where there is none.
 *   name   1..HDICT_NAME_BYTES_MAX bytes
 *   bytes  HDICT_BYTES_MIN..HDICT_BYTES_MAX, with everything; one that exists keeps its size, and
 *          0 asks for one that exists
 *   dict   gets it; it lives as long as the pool, and is not to be freed
 * All threads share the pool; so do processes that were forked after it was made (hdict_pool).
 * Returns 0; HV_EINVAL; HV_ENOTFOUND (0 bytes); HV_ELIMIT where the pool is full; HV_ENOMEM. */
HV_EXPORT int hdict_open(const char *name, size_t bytes, hdict_t **dict);

/* Makes the program's pool, where there is none yet. A master calls it before it forks its
 * workers, so that dictionaries that these open by name are the same for all of them, also for
 * those forked later. Memory is taken page by page as it is used.
 * Returns 0 or HV_ENOMEM. */
HV_EXPORT int hdict_pool(void);

/* A dictionary for processes that know nothing but its name: an object of shm_open.
 *   name   "/" and up to 200 bytes without "/"
 *   bytes  as of hdict_open
 * Returns 0; HV_EINVAL; HV_EPROTO where the object is something else; -EACCES and kin. */
HV_EXPORT int hdict_open_shm(const char *name, size_t bytes, hdict_t **dict);
/* Lets this process's view of it go; only for hdict_open_shm. NULL is allowed. */
HV_EXPORT void hdict_close_shm(hdict_t *dict);
/* Removes the name. Who has it open keeps it. Returns 0; -ENOENT and kin. */
HV_EXPORT int hdict_unlink_shm(const char *name);

/* Makes an empty dictionary in memory of the caller's, or takes one that lies there.
 *   memory  aligned to 64 bytes; shared where processes are to share it
 * Returns the dictionary, which is `memory`; NULL where the size is out of range, or nothing good
 * lies there. */
HV_EXPORT hdict_t *hdict_format(void *memory, size_t bytes);
HV_EXPORT hdict_t *hdict_attach(void *memory, size_t bytes);

/* ---- Entries ---- */

/* Finds a value and marks it as used.
 *   buffer  gets the bytes of HDICT_BYTES and HDICT_ENCODED; value->data is then `buffer`
 * Returns 0; HV_ENOTFOUND; HV_ELIMIT where the buffer is too small: value->len tells what is
 * needed; HV_EINVAL for a key that is empty or too long. */
HV_EXPORT int hdict_get(hdict_t *dict, const void *key, size_t key_len, hdict_value_t *value,
                        void *buffer, size_t buffer_bytes);

/* What hdict_set is to mind. */
enum {
    HDICT_SET_ALWAYS = 0,
    HDICT_SET_ADD    = 1, /* only where there is none: else -EEXIST */
    HDICT_SET_REPLACE = 2, /* only where there is one: else HV_ENOTFOUND */
};

/* Sets a value.
 *   ttl_ms      it lives that long; 0: until it is deleted or evicted
 *   mode        HDICT_SET_*
 *   is_evicted  set to whether something that had not expired made room; may be NULL
 * Returns 0; as said above; HV_ELIMIT for what is larger than half of the dictionary; HV_EINVAL. */
HV_EXPORT int hdict_set(hdict_t *dict, const void *key, size_t key_len, const hdict_value_t *value,
                        uint64_t ttl_ms, int mode, int *is_evicted);

/* Adds to a number, in one step.
 *   init    what a missing entry counts as, without a time to live; NULL: HV_ENOTFOUND
 *   result  the sum
 * Returns 0; HV_ENOTFOUND; HV_EINVAL where it is no number. */
HV_EXPORT int hdict_incr(hdict_t *dict, const void *key, size_t key_len, double by,
                         const double *init, double *result, int *is_evicted);

/* Returns 0 or HV_ENOTFOUND. */
HV_EXPORT int hdict_delete(hdict_t *dict, const void *key, size_t key_len);

/* Milliseconds that an entry has left, 0 where it lives for ever, to *ttl_ms; and sets that anew.
 * Neither marks it as used. Returns 0 or HV_ENOTFOUND. */
HV_EXPORT int hdict_ttl(hdict_t *dict, const void *key, size_t key_len, uint64_t *ttl_ms);
HV_EXPORT int hdict_expire(hdict_t *dict, const void *key, size_t key_len, uint64_t ttl_ms);

/* Removes everything. Returns 0. */
HV_EXPORT int hdict_flush(hdict_t *dict);

/* Keys, some at a time, each as two bytes of length (of this machine) and its bytes.
 *   cursor  0 at first; moved on; 0 again when there are no more
 *   used    bytes written to `buffer`
 * What is there all the time comes once; what comes or goes meanwhile may come or not.
 * Returns 0; HV_ELIMIT where the buffer is too small for one step. */
HV_EXPORT int hdict_keys(hdict_t *dict, uint64_t *cursor, void *buffer, size_t buffer_bytes,
                         size_t *used);

HV_EXPORT int hdict_stats(hdict_t *dict, hdict_stats_t *stats);

HV_END_DECLS

#endif
