/* hbase.c - the small helpers that programs use beside the loop. */
#include "hbase.h"

#include "hassert.h"
#include "hmem.h"
#include "hstr.h"

#include <sys/random.h>
#include <sys/stat.h>

/* ---- Memory ---- */

void *hv_malloc(size_t size) {
    return hv__malloc(size);
}

void *hv_calloc(size_t count, size_t size) {
    return hv__calloc(count, size);
}

void *hv_zalloc(size_t size) {
    return hv__calloc(1, size);
}

void *hv_realloc(void *block, size_t new_size, size_t old_size) {
    char *moved = hv__realloc(block, new_size);
    if (moved != NULL && new_size > old_size) memset(moved + old_size, 0, new_size - old_size);
    return moved;
}

void hv_free(void *block) {
    hv__free(block);
}

char *hv_strdup(const char *text) {
    return hv__strndup(text, strlen(text));
}

char *hv_strndup(const char *text, size_t len) {
    return hv__strndup(text, strnlen(text, len));
}

long hv_alloc_live(void) {
    return (long)hv__mem_live_blocks();
}

/* ---- Strings ---- */

char *hv_strupper(char *text) {
    for (char *at = text; *at != '\0'; at++) {
        if (*at >= 'a' && *at <= 'z') *at = (char)(*at - 'a' + 'A');
    }
    return text;
}

char *hv_strlower(char *text) {
    for (char *at = text; *at != '\0'; at++) *at = (char)hstr_lower((unsigned char)*at);
    return text;
}

char *hv_strreverse(char *text) {
    size_t len = strlen(text);
    for (size_t i = 0; i < len / 2; i++) {
        char byte = text[i];
        text[i] = text[len - 1 - i];
        text[len - 1 - i] = byte;
    }
    return text;
}

bool hv_strstartswith(const char *text, const char *start) {
    return hstr_starts_with(hstr_from(text), hstr_from(start));
}

bool hv_strendswith(const char *text, const char *end) {
    return hstr_ends_with(hstr_from(text), hstr_from(end));
}

bool hv_strcontains(const char *text, const char *part) {
    return strstr(text, part) != NULL;
}

char *hv_strncpy(char *dest, const char *text, size_t size) {
    if (size == 0) return dest;
    size_t len = strnlen(text, size - 1);
    memcpy(dest, text, len);
    dest[len] = '\0';
    return dest;
}

char *hv_strncat(char *dest, const char *text, size_t size) {
    size_t used = strnlen(dest, size);
    hv_strncpy(dest + used, text, size - used);
    return dest;
}

char *hv_strrchr_dot(const char *path) {
    return strrchr(path, '.');
}

char *hv_strrchr_dir(const char *path) {
    return strrchr(path, '/');
}

const char *hv_basename(const char *path) {
    const char *slash = strrchr(path, '/');
    return slash != NULL ? slash + 1 : path;
}

const char *hv_suffixname(const char *path) {
    const char *name = hv_basename(path);
    const char *dot = strrchr(name, '.');
    return dot != NULL ? dot + 1 : name + strlen(name);
}

/* ---- Files ---- */

/* Copies a path without the slashes at its end. Returns its length or a negative code. */
static int copy_path(char *copy, size_t size, const char *path) {
    size_t len = strlen(path);
    if (len == 0) return -ENOENT;
    if (len >= size) return -ENAMETOOLONG;
    memcpy(copy, path, len + 1);
    while (len > 1 && copy[len - 1] == '/') copy[--len] = '\0';
    return (int)len;
}

int hv_mkdir_p(const char *dir) {
    char path[PATH_MAX];
    int len = copy_path(path, sizeof(path), dir);
    if (len < 0) return len;
    for (int i = 1; i <= len; i++) {
        if (path[i] != '/' && path[i] != '\0') continue;
        char end = path[i];
        path[i] = '\0';
        if (mkdir(path, 0777) != 0 && !hv_isdir(path)) return errno == 0 ? -EIO : -errno;
        path[i] = end;
    }
    return 0;
}

int hv_rmdir_p(const char *dir) {
    char path[PATH_MAX];
    int len = copy_path(path, sizeof(path), dir);
    if (len < 0) return len;
    if (rmdir(path) != 0) return -errno;
    for (char *slash = strrchr(path, '/'); slash != NULL && slash != path;
         slash = strrchr(path, '/')) {
        while (slash != path && *slash == '/') *slash-- = '\0';
        if (rmdir(path) != 0) break;
    }
    return 0;
}

bool hv_exists(const char *path) {
    struct stat facts;
    return lstat(path, &facts) == 0;
}

bool hv_isdir(const char *path) {
    struct stat facts;
    int saved = errno;
    bool is_dir = stat(path, &facts) == 0 && S_ISDIR(facts.st_mode);
    errno = saved;
    return is_dir;
}

bool hv_isfile(const char *path) {
    struct stat facts;
    return stat(path, &facts) == 0 && S_ISREG(facts.st_mode);
}

bool hv_islink(const char *path) {
    struct stat facts;
    return lstat(path, &facts) == 0 && S_ISLNK(facts.st_mode);
}

size_t hv_filesize(const char *path) {
    struct stat facts;
    return stat(path, &facts) == 0 ? (size_t)facts.st_size : 0;
}

char *get_executable_path(char *buf, int size) {
    if (size <= 0) return NULL;
    buf[0] = '\0';
    ssize_t len = readlink("/proc/self/exe", buf, (size_t)size);
    if (len < 0 || len >= size) {
        buf[0] = '\0';
        return NULL;
    }
    buf[len] = '\0';
    return buf;
}

char *get_executable_dir(char *buf, int size) {
    if (get_executable_path(buf, size) == NULL) return NULL;
    char *slash = strrchr(buf, '/');
    HV_ASSERT(slash != NULL);
    /* The root keeps its slash. */
    slash[slash == buf ? 1 : 0] = '\0';
    return buf;
}

char *get_executable_file(char *buf, int size) {
    char path[PATH_MAX];
    if (size <= 0) return NULL;
    buf[0] = '\0';
    if (get_executable_path(path, sizeof(path)) == NULL) return NULL;
    const char *name = hv_basename(path);
    if (strlen(name) >= (size_t)size) return NULL;
    return hv_strncpy(buf, name, (size_t)size);
}

char *get_run_dir(char *buf, int size) {
    if (size <= 0) return NULL;
    buf[0] = '\0';
    if (getcwd(buf, (size_t)size) == NULL) {
        buf[0] = '\0';
        return NULL;
    }
    return buf;
}

/* ---- Random ---- */

static void random_bytes(void *bytes, size_t len) {
    char *at = bytes;
    while (len > 0) {
        ssize_t count = getrandom(at, len, 0);
        if (count < 0) {
            HV_ASSERT(errno == EINTR);
            continue;
        }
        at += count;
        len -= (size_t)count;
    }
}

/* An even choice of 0..bound-1. Numbers of the last, incomplete round are drawn again. */
static uint32_t random_below(uint32_t bound) {
    uint32_t number;
    uint32_t uneven = (uint32_t)(-bound) % bound;
    do {
        random_bytes(&number, sizeof(number));
    } while (number < uneven);
    return number % bound;
}

int hv_rand(int min, int max) {
    if (max <= min) return min;
    uint32_t last = (uint32_t)max - (uint32_t)min;
    uint32_t number;
    if (last == UINT32_MAX) random_bytes(&number, sizeof(number));
    else number = random_below(last + 1);
    return (int)((int64_t)min + number);
}

char *hv_random_string(char *buf, int len) {
    static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    for (int i = 0; i < len; i++) buf[i] = letters[random_below(sizeof(letters) - 1)];
    if (len >= 0) buf[len] = '\0';
    return buf;
}

/* ---- Parsing ---- */

bool hv_getboolean(const char *text) {
    static const char *const words[] = {"1", "y", "yes", "on", "true", "enable"};
    hstr_t given = hstr_from(text);
    for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
        if (hstr_equals_nocase(given, hstr_from(words[i]))) return true;
    }
    return false;
}

/* Sums numbers with units: "1M512K". A number without a unit counts once, at the end.
 * Returns HV_EINVAL for anything else and HV_ELIMIT above `max`. */
static int parse_units(const char *text, const char *units, const uint64_t *factors, uint64_t max,
                       uint64_t *sum) {
    *sum = 0;
    if (*text == '\0') return HV_EINVAL;
    while (*text != '\0') {
        size_t digits = strspn(text, "0123456789");
        uint64_t number;
        int error = hstr_parse_u64((hstr_t){text, digits}, max, &number);
        if (error != 0) return error;
        text += digits;
        uint64_t factor = 1;
        if (*text != '\0') {
            const char *unit = strchr(units, hstr_lower((unsigned char)*text));
            if (unit == NULL) return HV_EINVAL;
            factor = factors[unit - units];
            text++;
            /* "KB" is "K", wherever bytes are counted. */
            if (units[0] == 'b' && factor > 1 && hstr_lower((unsigned char)*text) == 'b') text++;
        }
        if (number > (max - *sum) / factor) return HV_ELIMIT;
        *sum += number * factor;
    }
    return 0;
}

size_t hv_parse_size(const char *text) {
    static const uint64_t factors[] = {1, UINT64_C(1) << 10, UINT64_C(1) << 20, UINT64_C(1) << 30,
                                       UINT64_C(1) << 40};
    uint64_t bytes;
    return parse_units(text, "bkmgt", factors, SIZE_MAX, &bytes) == 0 ? (size_t)bytes : 0;
}

time_t hv_parse_time(const char *text) {
    static const uint64_t factors[] = {1, 60, 3600, 86400, 604800};
    uint64_t seconds;
    return parse_units(text, "smhdw", factors, INT64_MAX, &seconds) == 0 ? (time_t)seconds : 0;
}
