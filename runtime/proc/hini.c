/* hini.c - configuration files, read by inih. inih is fed line by line from here, so that this file
 * knows the line of every value, and may refuse what inih would cut in silence: lines that are
 * longer than its buffer, and section names longer than its 49 bytes. Entries stay in the file's
 * order and are looked up one by one: a configuration is read once. */
#include "hini.h"

#include "hassert.h"
#include "hbase.h"
#include "hmem.h"
#include "hstr.h"

#include <ini.h>
#include <stdarg.h>

#define LINE_BYTES_MAX    196 /* INI_MAX_LINE less CR, LF, NUL and one to tell a cut line */
#define SECTION_BYTES_MAX 48

typedef struct entry_s {
    char *section;
    char *key;
    char *value;
    int line;
    bool was_read;
} entry_t;

struct hini_s {
    char *name;
    entry_t *entries;
    size_t count;
    char error[HINI_ERROR_BYTES];
};

/* Where the reading has got to. */
typedef struct source_s {
    hini_t *ini;
    const char *rest;
    int line;
    bool is_indented;
    bool has_failed;
} source_t;

/* Keeps the first error. */
static void __attribute__((format(printf, 3, 4))) fail(hini_t *ini, int line, const char *format,
                                                       ...) {
    if (ini->error[0] != '\0') return;
    int len = line > 0 ? snprintf(ini->error, sizeof(ini->error), "%s:%d: ", ini->name, line)
                       : snprintf(ini->error, sizeof(ini->error), "%s: ", ini->name);
    if (len < 0 || (size_t)len >= sizeof(ini->error)) return;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(ini->error + len, sizeof(ini->error) - (size_t)len, format, arguments);
    va_end(arguments);
}

static entry_t *find(const hini_t *ini, const char *section, const char *key) {
    if (section == NULL) section = "";
    for (size_t i = 0; i < ini->count; i++) {
        entry_t *entry = &ini->entries[i];
        if (strcmp(entry->key, key) == 0 && strcmp(entry->section, section) == 0) return entry;
    }
    return NULL;
}

/* ---- Reading ---- */

static int append_line(entry_t *entry, const char *value) {
    size_t old_len = strlen(entry->value);
    size_t len = strlen(value);
    char *grown = hv__realloc(entry->value, old_len + len + 2);
    if (grown == NULL) return HV_ENOMEM;
    grown[old_len] = '\n';
    memcpy(grown + old_len + 1, value, len + 1);
    entry->value = grown;
    return 0;
}

static int add_entry(hini_t *ini, const char *section, const char *key, const char *value,
                     int line) {
    /* Grows at powers of two. */
    if ((ini->count & (ini->count - 1)) == 0) {
        size_t room = ini->count == 0 ? 1 : ini->count * 2;
        entry_t *grown = hv__realloc(ini->entries, room * sizeof(*grown));
        if (grown == NULL) return HV_ENOMEM;
        ini->entries = grown;
    }
    entry_t *entry = &ini->entries[ini->count];
    *entry = (entry_t){
        .section = hv__strndup(section, strlen(section)),
        .key = hv__strndup(key, strlen(key)),
        .value = hv__strndup(value, strlen(value)),
        .line = line,
    };
    ini->count++; /* counted in any case: freed with the rest */
    return entry->section && entry->key && entry->value ? 0 : HV_ENOMEM;
}

/* Called by inih for every value; 0 would mean an error, but we keep our own. */
static int on_value(void *user, const char *section, const char *key, const char *value) {
    source_t *source = user;
    hini_t *ini = source->ini;
    if (source->has_failed) return 1;
    int code = 0;
    entry_t *before = find(ini, section, key);
    if (source->is_indented && before != NULL && before == &ini->entries[ini->count - 1]) {
        code = append_line(before, value);
    } else if (before != NULL) {
        fail(ini, source->line, "'%s' is given already in line %d", key, before->line);
        source->has_failed = true;
    } else if (strlen(section) > SECTION_BYTES_MAX) {
        fail(ini, source->line, "the section's name is longer than %d bytes", SECTION_BYTES_MAX);
        source->has_failed = true;
    } else if (key[0] == '\0') {
        fail(ini, source->line, "a value without a name");
        source->has_failed = true;
    } else {
        code = add_entry(ini, section, key, value, source->line);
    }
    if (code != 0) {
        fail(ini, source->line, "%s", herr_text(code));
        source->has_failed = true;
    }
    return 1;
}

/* Called by inih for every line, as fgets(3). */
static char *read_line(char *line, int size, void *stream) {
    source_t *source = stream;
    if (source->has_failed || *source->rest == '\0') return NULL;
    const char *end = strchr(source->rest, '\n');
    size_t len = end != NULL ? (size_t)(end - source->rest) : strlen(source->rest);
    source->line++;
    source->is_indented = *source->rest == ' ' || *source->rest == '\t';
    if (len > LINE_BYTES_MAX || len + 2 > (size_t)size) {
        fail(source->ini, source->line, "the line is longer than %d bytes", LINE_BYTES_MAX);
        source->has_failed = true;
        return NULL;
    }
    memcpy(line, source->rest, len);
    line[len] = '\n';
    line[len + 1] = '\0';
    source->rest += len + (end != NULL ? 1 : 0);
    return line;
}

hini_t *hini_parse(const char *text, const char *name, char *error, size_t error_size) {
    char ignored[1];
    if (error == NULL) error = ignored;
    if (error_size == 0 || error == ignored) error_size = sizeof(ignored);
    hini_t *ini = hv__calloc(1, sizeof(*ini));
    if (ini != NULL) ini->name = hv__strndup(name, strlen(name));
    if (ini == NULL || ini->name == NULL) {
        snprintf(error, error_size, "%s: %s", name, herr_text(HV_ENOMEM));
        hv__free(ini);
        return NULL;
    }
    source_t source = {.ini = ini, .rest = text};
    /* inih's handler and reader get the same pointer: both need to know the line. */
    int bad_line = ini_parse_stream(read_line, &source, on_value, &source);
    if (bad_line > 0) fail(ini, bad_line, "neither [section] nor name = value");
    HV_ASSERT(bad_line >= 0); /* a line stands on inih's stack: there is no memory to lack */
    if (ini->error[0] == '\0') return ini;
    snprintf(error, error_size, "%s", ini->error);
    hini_free(ini);
    return NULL;
}

/* The whole file with a NUL, or NULL and *reason. */
static char *read_file(const char *path, int *reason) {
    FILE *file = fopen(path, "re");
    if (file == NULL) {
        *reason = -errno;
        return NULL;
    }
    char *text = hv__malloc(HINI_FILE_BYTES_MAX + 2);
    size_t len = text != NULL ? fread(text, 1, HINI_FILE_BYTES_MAX + 1, file) : 0;
    *reason = text == NULL ? HV_ENOMEM : ferror(file) ? -EIO : 0;
    if (*reason == 0 && len > HINI_FILE_BYTES_MAX) *reason = HV_ELIMIT;
    fclose(file);
    if (*reason == 0 && memchr(text, '\0', len) != NULL) *reason = HV_EINVAL;
    if (*reason != 0) {
        hv__free(text);
        return NULL;
    }
    text[len] = '\0';
    return text;
}

hini_t *hini_load(const char *path, char *error, size_t error_size) {
    int reason;
    char *text = read_file(path, &reason);
    if (text == NULL) {
        if (error != NULL && error_size > 0) {
            snprintf(error, error_size, "%s: %s", path, herr_text(reason));
        }
        return NULL;
    }
    hini_t *ini = hini_parse(text, path, error, error_size);
    hv__free(text);
    return ini;
}

void hini_free(hini_t *ini) {
    if (ini == NULL) return;
    for (size_t i = 0; i < ini->count; i++) {
        hv__free(ini->entries[i].section);
        hv__free(ini->entries[i].key);
        hv__free(ini->entries[i].value);
    }
    hv__free(ini->entries);
    hv__free(ini->name);
    hv__free(ini);
}

/* ---- Asking ---- */

const char *hini_get(const hini_t *ini, const char *section, const char *key) {
    entry_t *entry = find(ini, section, key);
    if (entry == NULL) return NULL;
    entry->was_read = true;
    return entry->value;
}

int hini_line(const hini_t *ini, const char *section, const char *key) {
    const entry_t *entry = find(ini, section, key);
    return entry != NULL ? entry->line : 0;
}

const char *hini_error(const hini_t *ini) { return ini->error; }

static entry_t *ask(hini_t *ini, const char *section, const char *key) {
    entry_t *entry = find(ini, section, key);
    if (entry != NULL) entry->was_read = true;
    return entry;
}

static int refuse(hini_t *ini, const entry_t *entry, const char *wanted, int code) {
    fail(ini, entry->line, "%s = %s: %s", entry->key, entry->value, wanted);
    return code;
}

int hini_get_string(hini_t *ini, const char *section, const char *key, const char **value) {
    const entry_t *entry = ask(ini, section, key);
    if (entry == NULL) return HV_ENOTFOUND;
    if (entry->value[0] == '\0') return refuse(ini, entry, "a value is missing", HV_EINVAL);
    *value = entry->value;
    return 0;
}

int hini_get_int(hini_t *ini, const char *section, const char *key, int64_t min, int64_t max,
                 int64_t *value) {
    const entry_t *entry = ask(ini, section, key);
    if (entry == NULL) return HV_ENOTFOUND;
    int code = hstr_parse_i64(hstr_from(entry->value), min, max, value);
    if (code == 0) return 0;
    char wanted[96];
    snprintf(wanted, sizeof(wanted), "must be a number from %lld to %lld", (long long)min,
             (long long)max);
    return refuse(ini, entry, wanted, code);
}

int hini_get_bool(hini_t *ini, const char *section, const char *key, bool *value) {
    static const char *const words[][2] = {{"1", "0"},        {"on", "off"},
                                           {"yes", "no"},     {"true", "false"},
                                           {"enable", "disable"}};
    const entry_t *entry = ask(ini, section, key);
    if (entry == NULL) return HV_ENOTFOUND;
    for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
        for (int no = 0; no < 2; no++) {
            if (!hstr_equals_nocase(hstr_from(words[i][no]), hstr_from(entry->value))) continue;
            *value = no == 0;
            return 0;
        }
    }
    return refuse(ini, entry, "must be yes or no", HV_EINVAL);
}

/* "0" and "0s" too: hv_parse_size and hv_parse_time give 0 for what is no number as well. */
static bool is_zero(const char *text, const char *units) {
    const char *unit = text + strspn(text, "0");
    if (unit == text) return false;
    if (unit[0] == '\0') return true;
    return unit[1] == '\0' && strchr(units, hstr_lower((unsigned char)unit[0])) != NULL;
}

int hini_get_size(hini_t *ini, const char *section, const char *key, size_t *value) {
    const entry_t *entry = ask(ini, section, key);
    if (entry == NULL) return HV_ENOTFOUND;
    size_t size = hv_parse_size(entry->value);
    if (size == 0 && !is_zero(entry->value, "bkmgt")) {
        return refuse(ini, entry, "must be a size as 512, 64K or 10M", HV_EINVAL);
    }
    *value = size;
    return 0;
}

int hini_get_time(hini_t *ini, const char *section, const char *key, uint64_t *value_ms) {
    const entry_t *entry = ask(ini, section, key);
    if (entry == NULL) return HV_ENOTFOUND;
    hstr_t text = hstr_from(entry->value);
    uint64_t ms;
    if (hstr_ends_with(text, HSTR_LITERAL("ms"))) {
        text.len -= 2;
        if (hstr_parse_u64(text, INT64_MAX, &ms) == 0) {
            *value_ms = ms;
            return 0;
        }
    } else {
        time_t seconds = hv_parse_time(entry->value);
        if (seconds > INT64_MAX / 1000) return refuse(ini, entry, "is too long", HV_ELIMIT);
        if (seconds > 0 || is_zero(entry->value, "smhdw")) {
            *value_ms = (uint64_t)seconds * 1000;
            return 0;
        }
    }
    return refuse(ini, entry, "must be a time as 500ms, 30s or 1m30s", HV_EINVAL);
}

int hini_check_unread(hini_t *ini) {
    for (size_t i = 0; i < ini->count; i++) {
        const entry_t *entry = &ini->entries[i];
        if (entry->was_read) continue;
        if (entry->section[0] != '\0') {
            fail(ini, entry->line, "unknown name '%s' in [%s]", entry->key, entry->section);
        } else {
            fail(ini, entry->line, "unknown name '%s'", entry->key);
        }
        return HV_EINVAL;
    }
    return 0;
}

int hini_next(const hini_t *ini, size_t *cursor, const char **section, const char **key,
              const char **value) {
    if (*cursor >= ini->count) return 0;
    entry_t *entry = &ini->entries[(*cursor)++];
    entry->was_read = true;
    if (section != NULL) *section = entry->section;
    if (key != NULL) *key = entry->key;
    if (value != NULL) *value = entry->value;
    return 1;
}
