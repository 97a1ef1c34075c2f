/* hdict_map.c - where dictionaries lie.
 *
 * The pool is one anonymous shared mapping of the program: address space only, pages come as they
 * are used, and children inherit it. So what a worker opens by name after the fork is found by its
 * siblings too, and when the last process ends, however it ends, nothing is left. Dictionaries are
 * cut off it one behind the other and never given back. The directory is under a robust mutex; an
 * entry counts once its name's length is written, which is the last thing that is.
 *
 * An object of shm_open is formatted by whoever finds it empty, under flock, which the kernel
 * releases for the dead. */
#include "hdict_int.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define NAMES_MAX      1024
#define PAGE           4096u
#define POOL_BYTES_MIN ((size_t)16 << 20)
#define SHM_NAME_MAX   200

typedef struct directory_entry_s {
    uint64_t place; /* bytes from the pool's start */
    uint64_t bytes;
    char name[HDICT_NAME_BYTES_MAX];
    uint8_t name_len; /* 0: not there (yet) */
} directory_entry_t;

typedef struct pool_s {
    pthread_mutex_t mutex;
    uint64_t bytes;
    uint64_t next; /* where the next dictionary begins */
    uint32_t count;
    directory_entry_t names[NAMES_MAX];
} pool_t;

static pthread_mutex_t pool_lock = PTHREAD_MUTEX_INITIALIZER;
static pool_t *_Atomic the_pool;

/* ---- The pool ---- */

static void *map_shared(size_t bytes) {
    void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
                        MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return memory == MAP_FAILED ? NULL : memory;
}

/* Less where the user's limits, or a kernel that promises nothing it has not, want it so. */
static pool_t *make_pool(void) {
    size_t bytes = HDICT_POOL_BYTES;
    pool_t *pool = NULL;
    while (pool == NULL && bytes >= POOL_BYTES_MIN) {
        pool = map_shared(bytes);
        if (pool == NULL) bytes /= 2;
    }
    if (pool == NULL) return NULL;
    pool->bytes = bytes;
    pool->next = (sizeof *pool + PAGE - 1) / PAGE * PAGE;
    if (hdict__mutex_init(&pool->mutex) != 0) {
        munmap(pool, bytes);
        return NULL;
    }
    madvise(pool, bytes, MADV_DONTDUMP);
    return pool;
}

int hdict_pool(void) {
    if (atomic_load(&the_pool) != NULL) return 0;
    pthread_mutex_lock(&pool_lock);
    if (atomic_load(&the_pool) == NULL) atomic_store(&the_pool, make_pool());
    int is_there = atomic_load(&the_pool) != NULL;
    pthread_mutex_unlock(&pool_lock);
    return is_there ? 0 : HV_ENOMEM;
}

static directory_entry_t *find_name(pool_t *pool, const char *name, size_t len) {
    for (uint32_t i = 0; i < pool->count; i++) {
        directory_entry_t *entry = &pool->names[i];
        if (entry->name_len == len && memcmp(entry->name, name, len) == 0) return entry;
    }
    return NULL;
}

/* With the lock held. A process that dies in here leaves a gap of memory and nothing else. */
static int add_name(pool_t *pool, const char *name, size_t len, size_t bytes, hdict_t **dict) {
    uint64_t whole = (bytes + PAGE - 1) / PAGE * PAGE;
    if (pool->count == NAMES_MAX || whole > pool->bytes - pool->next) return HV_ELIMIT;
    uint64_t place = pool->next;
    pool->next += whole;
    *dict = hdict_format((uint8_t *)pool + place, bytes);
    if (*dict == NULL) return HV_ENOMEM;
    directory_entry_t *entry = &pool->names[pool->count];
    entry->place = place;
    entry->bytes = bytes;
    memcpy(entry->name, name, len);
    atomic_signal_fence(memory_order_seq_cst);
    entry->name_len = (uint8_t)len;
    atomic_signal_fence(memory_order_seq_cst);
    pool->count++;
    return 0;
}

int hdict_open(const char *name, size_t bytes, hdict_t **dict) {
    size_t len = name != NULL ? strlen(name) : 0;
    if (len == 0 || len > HDICT_NAME_BYTES_MAX) return HV_EINVAL;
    if (bytes != 0 && (bytes < HDICT_BYTES_MIN || bytes > HDICT_BYTES_MAX)) return HV_EINVAL;
    int code = hdict_pool();
    if (code != 0) return code;
    pool_t *pool = atomic_load(&the_pool);
    int failed = pthread_mutex_lock(&pool->mutex);
    if (failed == EOWNERDEAD) failed = pthread_mutex_consistent(&pool->mutex);
    if (failed) return -failed;
    directory_entry_t *entry = find_name(pool, name, len);
    if (entry != NULL) {
        *dict = hdict_attach((uint8_t *)pool + entry->place, entry->bytes);
        code = *dict != NULL ? 0 : HV_EPROTO;
    } else {
        code = bytes != 0 ? add_name(pool, name, len, bytes, dict) : HV_ENOTFOUND;
    }
    pthread_mutex_unlock(&pool->mutex);
    return code;
}

/* ---- Objects with a name ---- */

static int shm_name_is_good(const char *name) {
    return name != NULL && name[0] == '/' && name[1] != '\0' && strchr(name + 1, '/') == NULL &&
           strlen(name) <= SHM_NAME_MAX;
}

/* Maps the object of an open and locked descriptor. */
static int map_object(int fd, size_t bytes, hdict_t **dict) {
    struct stat stat;
    if (fstat(fd, &stat) != 0) return -errno;
    int is_new = stat.st_size == 0;
    if (!is_new) bytes = (size_t)stat.st_size;
    if (bytes < HDICT_BYTES_MIN || bytes > HDICT_BYTES_MAX) {
        return is_new ? (bytes == 0 ? HV_ENOTFOUND : HV_EINVAL) : HV_EPROTO;
    }
    /* Memory that is not there now would be a fatal signal later. */
    if (is_new && (errno = posix_fallocate(fd, 0, (off_t)bytes)) != 0) return -errno;
    void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (memory == MAP_FAILED) return -errno;
    /* One that was killed between allocating and formatting has left nothing but zeros. */
    hdict_t *found = is_new || *(const uint64_t *)memory == 0 ? hdict_format(memory, bytes)
                                                             : hdict_attach(memory, bytes);
    if (found == NULL || found->bytes != bytes) {
        munmap(memory, bytes);
        return HV_EPROTO;
    }
    *dict = found;
    return 0;
}

int hdict_open_shm(const char *name, size_t bytes, hdict_t **dict) {
    if (!shm_name_is_good(name)) return HV_EINVAL;
    if (bytes != 0 && (bytes < HDICT_BYTES_MIN || bytes > HDICT_BYTES_MAX)) return HV_EINVAL;
    int fd = shm_open(name, O_RDWR | O_CLOEXEC | (bytes != 0 ? O_CREAT : 0), 0600);
    if (fd < 0) return errno == ENOENT ? HV_ENOTFOUND : -errno;
    int code = 0;
    while (flock(fd, LOCK_EX) != 0 && code == 0) {
        if (errno != EINTR) code = -errno;
    }
    if (code == 0) code = map_object(fd, bytes, dict);
    flock(fd, LOCK_UN); /* closing is not enough: the mapping keeps the open file */
    close(fd);
    return code;
}

void hdict_close_shm(hdict_t *dict) {
    if (dict != NULL) munmap(dict, dict->bytes);
}

int hdict_unlink_shm(const char *name) {
    if (!shm_name_is_good(name)) return HV_EINVAL;
    return shm_unlink(name) == 0 ? 0 : -errno;
}
