/* hfs_tree.c - the operations on directories, run in a thread of the pool.
 *
 * Removing a tree goes down by descriptors (openat, unlinkat) and opens every directory without
 * following links, so that nobody who swaps a directory for a link while we are at it can lead us
 * out of the tree. It holds one descriptor a level, hence HFS_DEPTH_MAX. */
#include "hfs_int.h"

#include <dirent.h>
#include <errno.h>
#include <sys/stat.h>

static int is_dot_name(const char *name) {
    return name[0] == '.' && (name[1] == '\0' || (name[1] == '.' && name[2] == '\0'));
}

/* The next entry; NULL at the end, or with *code set. */
static struct dirent *next_entry(DIR *dir, int *code) {
    struct dirent *entry;
    do {
        errno = 0;
        entry = readdir(dir);
    } while (entry != NULL && is_dot_name(entry->d_name));
    if (entry == NULL && errno != 0) *code = -errno;
    return entry;
}

/* Opens a directory below another one, without following a link. */
static DIR *open_dir(int parent_fd, const char *name, int *code) {
    int fd = openat(parent_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0) {
        *code = -errno;
        return NULL;
    }
    DIR *dir = fdopendir(fd);
    if (dir == NULL) {
        *code = -errno;
        close(fd);
    }
    return dir;
}

/* ---- Listing ---- */

/* Names stand one after the other in `names`, each with its NUL; entries hold offsets into it until
 * the last one is in, because the block moves while it grows. */
typedef struct listing_s {
    char *names;
    size_t names_len;
    size_t names_cap;
    hfs_entry_t *entries;
    size_t count;
    size_t cap;
} listing_t;

static int make_room(listing_t *list, size_t name_bytes) {
    if (list->count == list->cap) {
        size_t cap = list->cap ? list->cap * 2 : 32;
        hfs_entry_t *grown = hv__realloc(list->entries, cap * sizeof *grown);
        if (grown == NULL) return HV_ENOMEM;
        list->entries = grown;
        list->cap = cap;
    }
    if (list->names_len + name_bytes > list->names_cap) {
        size_t cap = list->names_cap ? list->names_cap * 2 : 1024;
        char *grown = hv__realloc(list->names, cap);
        if (grown == NULL) return HV_ENOMEM;
        list->names = grown;
        list->names_cap = cap;
    }
    HV_DASSERT(list->names_len + name_bytes <= list->names_cap);
    return 0;
}

static hfs_type_e type_of(DIR *dir, const struct dirent *entry) {
    if (entry->d_type != DT_UNKNOWN) return hfs_type_of_mode((mode_t)DTTOIF(entry->d_type));
    struct stat facts;
    if (fstatat(dirfd(dir), entry->d_name, &facts, AT_SYMLINK_NOFOLLOW) < 0) {
        return HFS_TYPE_UNKNOWN;
    }
    return hfs_type_of_mode(facts.st_mode);
}

static int list_all(DIR *dir, listing_t *list) {
    int code = 0;
    struct dirent *entry;
    while ((entry = next_entry(dir, &code)) != NULL) {
        size_t bytes = strlen(entry->d_name) + 1;
        if (list->count >= HFS_ENTRIES_MAX) return HV_ELIMIT;
        code = make_room(list, bytes);
        if (code != 0) return code;
        memcpy(list->names + list->names_len, entry->d_name, bytes);
        list->entries[list->count++] = (hfs_entry_t){
            .name = (const char *)(uintptr_t)list->names_len, .type = type_of(dir, entry)};
        list->names_len += bytes;
    }
    return code;
}

static int compare_entries(const void *a, const void *b) {
    return strcmp(((const hfs_entry_t *)a)->name, ((const hfs_entry_t *)b)->name);
}

/* Lists an open directory and closes it. */
static int scan(hfs_req_t *req, DIR *dir) {
    listing_t list = {0};
    if (dir == NULL) return -errno;
    int code = list_all(dir, &list);
    closedir(dir);
    for (size_t i = 0; i < list.count; i++) {
        list.entries[i].name = list.names + (uintptr_t)list.entries[i].name;
    }
    if (list.count > 0) qsort(list.entries, list.count, sizeof *list.entries, compare_entries);
    req->data = list.names;
    req->entries = list.entries;
    req->result = (int64_t)list.count;
    return code;
}

int hfs_do_scan(hfs_req_t *req) { return scan(req, opendir(req->path)); }

int hfs_do_scan_fd(hfs_req_t *req) {
    int copy = openat(req->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = copy >= 0 ? fdopendir(copy) : NULL;
    int code = scan(req, dir);
    if (dir == NULL && copy >= 0) close(copy);
    return code;
}

/* ---- Making ---- */

/* Makes one directory; an existing one is no error. */
static int make_one(const char *path, int mode) {
    struct stat facts;
    if (mkdir(path, (mode_t)mode) == 0) return 0;
    int code = -errno;
    if (code != -EEXIST && code != -EISDIR && code != -EROFS) return code;
    return stat(path, &facts) == 0 && S_ISDIR(facts.st_mode) ? 0 : code;
}

int hfs_do_mkdir(hfs_req_t *req) {
    if (!(req->flags & HFS_RECURSIVE)) {
        return mkdir(req->path, (mode_t)req->mode) < 0 ? -errno : 0;
    }
    size_t len = strlen(req->path);
    if (len == 0) return -ENOENT;
    while (len > 1 && req->path[len - 1] == '/') req->path[--len] = '\0';
    /* Each prefix in turn, cut off in place; what is on the way must let us in. */
    for (char *at = req->path + 1; *at != '\0'; at++) {
        if (*at != '/' || at[-1] == '/') continue;
        *at = '\0';
        int code = make_one(req->path, req->mode | S_IWUSR | S_IXUSR);
        *at = '/';
        if (code != 0) return code;
    }
    return make_one(req->path, req->mode);
}

/* ---- Removing ---- */

static int remove_at(int parent_fd, const char *name, int depth);

static int empty_dir(int parent_fd, const char *name, int depth) {
    int code = 0;
    DIR *dir = open_dir(parent_fd, name, &code);
    if (dir == NULL) return code;
    struct dirent *entry;
    while (code == 0 && (entry = next_entry(dir, &code)) != NULL) {
        code = remove_at(dirfd(dir), entry->d_name, depth + 1);
        if (code == -ENOENT) code = 0; /* somebody else was faster */
    }
    closedir(dir);
    return code;
}

/* Recursive: the depth is limited, and a frame holds no buffer. */
static int remove_at(int parent_fd, const char *name, int depth) {
    if (depth > HFS_DEPTH_MAX) return HV_ELIMIT;
    if (unlinkat(parent_fd, name, 0) == 0) return 0;
    /* A directory: Linux says EISDIR, POSIX EPERM. */
    if (errno != EISDIR && errno != EPERM) return -errno;
    int cause = -errno;
    int code = empty_dir(parent_fd, name, depth);
    if (code == -ENOTDIR) return cause; /* a file that we may not remove */
    if (code != 0) return code;
    return unlinkat(parent_fd, name, AT_REMOVEDIR) < 0 ? -errno : 0;
}

/* The root, and what ends in "." or "..", slashes behind it aside. */
static int is_refused(char *path) {
    size_t len = strlen(path);
    while (len > 1 && path[len - 1] == '/') len--;
    path[len] = '\0'; /* "link/" must mean the link, too */
    const char *slash = strrchr(path, '/');
    const char *name = slash != NULL ? slash + 1 : path;
    return strcmp(path, "/") == 0 || is_dot_name(name);
}

int hfs_do_remove(hfs_req_t *req) {
    if (!(req->flags & HFS_RECURSIVE)) return remove(req->path) < 0 ? -errno : 0;
    if (is_refused(req->path)) return HV_EINVAL;
    return remove_at(AT_FDCWD, req->path, 0);
}
