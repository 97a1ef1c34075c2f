/* http_mime.c - media types by the ending of a name: those of the system (/etc/mime.types), and
 * where there are none a table of what a browser loads.
 *
 * The system's file is read once a process, into memory that stays; entries are offsets into its
 * text, sorted by ending. */
#include "http_mime.h"

#include "hhttp_files.h"
#include "hstr.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#define SYSTEM_FILE       "/etc/mime.types"
#define TEXT_BYTES_MAX    (128 * 1024)
#define ENTRIES_MAX       4096
#define ENDING_BYTES_MAX  16

typedef struct entry_s {
    const char *ending; /* lower case */
    const char *type;
} entry_t;

/* Sorted by ending. */
static const entry_t builtin[] = {
    {"7z", "application/x-7z-compressed"}, {"avif", "image/avif"},
    {"bin", "application/octet-stream"}, {"bmp", "image/bmp"}, {"bz2", "application/x-bzip2"},
    {"css", "text/css"}, {"csv", "text/csv"},
    {"gif", "image/gif"}, {"gz", "application/gzip"}, {"htm", "text/html"}, {"html", "text/html"},
    {"ico", "image/vnd.microsoft.icon"}, {"jpeg", "image/jpeg"}, {"jpg", "image/jpeg"},
    {"js", "text/javascript"}, {"json", "application/json"}, {"m4a", "audio/mp4"},
    {"map", "application/json"}, {"md", "text/markdown"}, {"mjs", "text/javascript"},
    {"mp3", "audio/mpeg"}, {"mp4", "video/mp4"}, {"oga", "audio/ogg"}, {"ogg", "audio/ogg"},
    {"ogv", "video/ogg"}, {"otf", "font/otf"}, {"pdf", "application/pdf"}, {"png", "image/png"},
    {"svg", "image/svg+xml"}, {"tar", "application/x-tar"}, {"tgz", "application/gzip"},
    {"ttf", "font/ttf"}, {"txt", "text/plain"}, {"wasm", "application/wasm"},
    {"wav", "audio/x-wav"}, {"weba", "audio/webm"}, {"webm", "video/webm"},
    {"webmanifest", "application/manifest+json"},
    {"webp", "image/webp"}, {"woff", "font/woff"}, {"woff2", "font/woff2"},
    {"xhtml", "application/xhtml+xml"}, {"xml", "application/xml"}, {"xz", "application/x-xz"},
    {"zip", "application/zip"},
};

static char text[TEXT_BYTES_MAX];
static entry_t entries[ENTRIES_MAX];
static size_t entry_count;
static pthread_once_t is_read = PTHREAD_ONCE_INIT;

static int compare(const void *a, const void *b) {
    return strcmp(((const entry_t *)a)->ending, ((const entry_t *)b)->ending);
}

/* The next word of a line, ended by a NUL; NULL at its end. */
static char *next_word(char **at) {
    while (**at == ' ' || **at == '\t') (*at)++;
    if (**at == '\0' || **at == '#') return NULL;
    char *word = *at;
    while (**at != '\0' && **at != ' ' && **at != '\t') {
        **at = (char)hstr_lower((unsigned char)**at);
        (*at)++;
    }
    if (**at != '\0') *(*at)++ = '\0';
    return word;
}

/* "type ending ending ..." on each line. */
static void read_system_file(void) {
    FILE *file = fopen(SYSTEM_FILE, "re");
    if (file == NULL) return;
    size_t len = fread(text, 1, sizeof text - 1, file);
    fclose(file);
    text[len] = '\0';
    for (char *line = text; line != NULL;) {
        char *end = strchr(line, '\n');
        if (end != NULL) *end = '\0';
        char *at = line, *type = next_word(&at), *ending;
        while (type != NULL && (ending = next_word(&at)) != NULL && entry_count < ENTRIES_MAX) {
            entries[entry_count++] = (entry_t){ending, type};
        }
        line = end != NULL ? end + 1 : NULL;
    }
    qsort(entries, entry_count, sizeof *entries, compare);
}

const char *hhttp_mime_type(const char *name, size_t len) {
    char ending[ENDING_BYTES_MAX];
    size_t start = len;
    while (start > 0 && name[start - 1] != '.' && name[start - 1] != '/') start--;
    size_t count = len - start;
    if (start == 0 || name[start - 1] == '/' || count == 0 || count >= sizeof ending) return NULL;
    for (size_t i = 0; i < count; i++) ending[i] = (char)hstr_lower((unsigned char)name[start + i]);
    ending[count] = '\0';
    entry_t wanted = {ending, NULL};
    pthread_once(&is_read, read_system_file);
    const entry_t *found = bsearch(&wanted, entries, entry_count, sizeof wanted, compare);
    if (found == NULL) {
        found = bsearch(&wanted, builtin, sizeof builtin / sizeof *builtin, sizeof wanted, compare);
    }
    return found != NULL ? found->type : NULL;
}

int hv__http_is_compressible(const char *type) {
    static const char *const types[] = {"application/javascript", "application/json",
                                        "application/xml", "application/wasm",
                                        "application/x-ndjson", "image/x-icon",
                                        "image/vnd.microsoft.icon", "font/ttf", "font/otf"};
    hstr_t whole = {type, strcspn(type, "; ")};
    if (hstr_starts_with(whole, HSTR_LITERAL("text/"))) return 1;
    if (hstr_ends_with(whole, HSTR_LITERAL("+xml"))) return 1;
    if (hstr_ends_with(whole, HSTR_LITERAL("+json"))) return 1;
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        if (hstr_equals(whole, hstr_from(types[i]))) return 1;
    }
    return 0;
}
