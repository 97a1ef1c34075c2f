/* hdns_answer.c - what an answer is made of, and the reader of DNS messages (RFC 1035 4.1).
 *
 *     header, 12 bytes: id, flags, counts of questions, answers, authorities, additionals
 *     question: name, type, class
 *     record:   name, type, class, ttl (4 bytes), length, that many bytes of data
 *
 * All numbers are big-endian. A name is a row of labels, each with its length before it, ended by
 * an empty one or by a pointer: two bytes that begin with the bits 11, the rest an offset into the
 * message. A pointer may only go back from where its name began, and the next one only further
 * back, so reading a name ends whatever a peer sends. Nothing is read beyond `len`. */
#include "hdns_answer.h"

#include "hassert.h"
#include "hmem.h"

#define TTL_TOP 0x80000000u /* RFC 2181 8: a ttl with the top bit set counts as 0 */

/* ---- Answers ---- */

hdns_answer_t *hdns_answer_new(void) {
    hdns_answer_t *answer = hv__calloc(1, sizeof *answer);
    if (answer == NULL) return NULL;
    answer->refs = 1;
    answer->ttl = UINT32_MAX;
    return answer;
}

void hdns_answer_ref(hdns_answer_t *answer) {
    HV_ASSERT(answer->refs > 0);
    answer->refs++;
}

void hdns_answer_unref(hdns_answer_t *answer) {
    if (answer == NULL) return;
    HV_ASSERT(answer->refs > 0);
    if (--answer->refs > 0) return;
    for (size_t i = 0; i < answer->count; i++) {
        hv__free((void *)(uintptr_t)answer->entries[i].text);
    }
    hv__free(answer->entries);
    hv__free(answer);
}

int hdns_answer_add(hdns_answer_t *answer, hdns_type_e type, uint32_t ttl, const char *text,
                    size_t text_len, hdns_entry_t **entry) {
    HV_DASSERT(answer->refs == 1);
    if (answer->count >= HDNS_ENTRIES_MAX) return HV_ELIMIT;
    if (answer->count == answer->cap) {
        size_t cap = answer->cap > 0 ? answer->cap * 2 : 4;
        hdns_entry_t *grown = hv__realloc(answer->entries, cap * sizeof *grown);
        if (grown == NULL) return HV_ENOMEM;
        answer->entries = grown;
        answer->cap = cap;
    }
    char *copy = hv__strndup(text, text_len);
    if (copy == NULL) return HV_ENOMEM;
    hdns_entry_t *added = &answer->entries[answer->count++];
    *added = (hdns_entry_t){.type = type, .ttl = ttl, .text = copy, .text_len = text_len};
    if (ttl < answer->ttl) answer->ttl = ttl;
    *entry = added;
    return 0;
}

int hdns_answer_add_address(hdns_answer_t *answer, uint32_t ttl, const struct sockaddr *addr) {
    hdns_addr_t own = {.sa.sa_family = addr->sa_family};
    char text[INET6_ADDRSTRLEN];
    hdns_type_e type;
    if (addr->sa_family == AF_INET) {
        memcpy(&own.in, addr, sizeof own.in);
        own.in.sin_port = 0;
        inet_ntop(AF_INET, &own.in.sin_addr, text, sizeof text);
        type = HDNS_A;
    } else if (addr->sa_family == AF_INET6) {
        memcpy(&own.in6, addr, sizeof own.in6);
        own.in6.sin6_port = 0;
        inet_ntop(AF_INET6, &own.in6.sin6_addr, text, sizeof text);
        type = HDNS_AAAA;
    } else {
        return 0;
    }
    hdns_entry_t *entry;
    int code = hdns_answer_add(answer, type, ttl, text, strlen(text), &entry);
    if (code == 0) entry->addr = own;
    return code;
}

/* Puts the records in order of priority; equal ones stay as they are. */
static void sort_addresses(hdns_answer_t *answer) {
    /* By insertion: answers are short, and equal priorities must keep their order. */
    for (size_t i = 1; i < answer->count; i++) {
        hdns_entry_t entry = answer->entries[i];
        size_t at = i;
        for (; at > 0 && answer->entries[at - 1].priority > entry.priority; at--) {
            answer->entries[at] = answer->entries[at - 1];
        }
        answer->entries[at] = entry;
    }
}

int hdns_literal(const char *text, hdns_addr_t *addr) {
    char bare[INET6_ADDRSTRLEN];
    size_t len = strlen(text);
    if (len > 2 && len - 2 < sizeof bare && text[0] == '[' && text[len - 1] == ']') {
        memcpy(bare, text + 1, len - 2);
        bare[len - 2] = '\0';
        text = bare;
    }
    memset(addr, 0, sizeof *addr);
    if (text != bare && inet_pton(AF_INET, text, &addr->in.sin_addr) == 1) {
        addr->in.sin_family = AF_INET;
        return 1;
    }
    if (inet_pton(AF_INET6, text, &addr->in6.sin6_addr) == 1) {
        addr->in6.sin6_family = AF_INET6;
        return 1;
    }
    return 0;
}

socklen_t hdns_addr_len(const hdns_addr_t *addr) {
    return addr->sa.sa_family == AF_INET6 ? sizeof addr->in6 : sizeof addr->in;
}

/* ---- Messages ---- */

typedef struct reader_s {
    const uint8_t *message;
    size_t len;
    size_t at;
    int is_broken; /* something was missing; what was read then is 0 */
} reader_t;

#define NAME_BYTES_MAX   255
#define NAME_TEXT_MAX    (NAME_BYTES_MAX * 4) /* every byte as \DDD */
#define POINTER_BITS     0xC0
#define CLASS_INTERNET   1

static unsigned take(reader_t *reader, unsigned bytes) {
    if (reader->is_broken || reader->len - reader->at < bytes) {
        reader->is_broken = 1;
        return 0;
    }
    unsigned value = 0;
    for (unsigned i = 0; i < bytes; i++) value = value << 8 | reader->message[reader->at++];
    return value;
}

static void skip(reader_t *reader, size_t bytes) {
    if (reader->is_broken || reader->len - reader->at < bytes) {
        reader->is_broken = 1;
    } else {
        reader->at += bytes;
    }
}

/* One label in the form of master files (RFC 1035 5.1): a dot or backslash of its own is escaped,
 * and so is what does not print. Returns the end of the text. */
static char *write_label(char *out, const uint8_t *label, size_t len) {
    for (size_t i = 0; i < len; i++) {
        uint8_t byte = label[i];
        if (byte <= ' ' || byte > '~') {
            *out++ = '\\';
            *out++ = (char)('0' + byte / 100);
            *out++ = (char)('0' + byte / 10 % 10);
            *out++ = (char)('0' + byte % 10);
            continue;
        }
        if (byte == '.' || byte == '\\') *out++ = '\\';
        *out++ = (char)byte;
    }
    return out;
}

/* Reads a name, written to `text` (NAME_TEXT_MAX + 1 bytes) with its length in *text_len; NULL
 * skips it. */
static void take_name(reader_t *reader, char *text, size_t *text_len) {
    size_t at = reader->at, lowest = reader->at, bytes = 0;
    int has_jumped = 0;
    char *out = text;
    while (!reader->is_broken) {
        if (at >= reader->len) break;
        unsigned length = reader->message[at++];
        if (length == 0) {
            if (!has_jumped) reader->at = at;
            if (text != NULL) {
                *out = '\0';
                *text_len = (size_t)(out - text);
            }
            return;
        }
        if ((length & POINTER_BITS) == POINTER_BITS) {
            if (at >= reader->len) break;
            size_t target = (length & ~(unsigned)POINTER_BITS) << 8 | reader->message[at++];
            if (!has_jumped) reader->at = at;
            has_jumped = 1;
            if (target >= lowest) break;
            at = lowest = target;
            continue;
        }
        bytes += length + 1;
        if (length & POINTER_BITS || length > reader->len - at || bytes >= NAME_BYTES_MAX) break;
        if (text != NULL) {
            if (out != text) *out++ = '.';
            out = write_label(out, reader->message + at, length);
        }
        at += length;
    }
    reader->is_broken = 1;
}

/* The strings of a TXT record one after the other, as RFC 7208 3.3 reads them. */
static int add_text(hdns_answer_t *answer, reader_t *reader, uint32_t ttl, size_t end) {
    size_t capacity = end - reader->at, len = 0;
    char *text = hv__malloc(capacity + 1);
    if (text == NULL) return HV_ENOMEM;
    while (reader->at < end) {
        unsigned length = take(reader, 1);
        if (length > end - reader->at) {
            reader->is_broken = 1;
            break;
        }
        memcpy(text + len, reader->message + reader->at, length);
        len += length;
        skip(reader, length);
    }
    hdns_entry_t *entry;
    int code = reader->is_broken ? HV_EPROTO
                                 : hdns_answer_add(answer, HDNS_TXT, ttl, text, len, &entry);
    hv__free(text);
    return code;
}

static int add_raw_address(hdns_answer_t *answer, reader_t *reader, hdns_type_e type, uint32_t ttl,
                           size_t end) {
    hdns_addr_t addr;
    memset(&addr, 0, sizeof addr);
    addr.sa.sa_family = type == HDNS_A ? AF_INET : AF_INET6;
    size_t bytes = type == HDNS_A ? sizeof addr.in.sin_addr : sizeof addr.in6.sin6_addr;
    if (end - reader->at != bytes) return HV_EPROTO;
    void *to = type == HDNS_A ? (void *)&addr.in.sin_addr : (void *)&addr.in6.sin6_addr;
    memcpy(to, reader->message + reader->at, bytes);
    reader->at = end;
    return hdns_answer_add_address(answer, ttl, &addr.sa);
}

/* Reads the data of one record, which ends at `end`. */
static int add_record(hdns_answer_t *answer, reader_t *reader, hdns_type_e type, uint32_t ttl,
                      size_t end) {
    if (type == HDNS_TXT) return add_text(answer, reader, ttl, end);
    if (type == HDNS_A || type == HDNS_AAAA) {
        return add_raw_address(answer, reader, type, ttl, end);
    }
    unsigned priority = 0, weight = 0, port = 0;
    if (type == HDNS_MX || type == HDNS_SRV) priority = take(reader, 2);
    if (type == HDNS_SRV) {
        weight = take(reader, 2);
        port = take(reader, 2);
    }
    char name[NAME_TEXT_MAX + 1];
    size_t name_len = 0;
    take_name(reader, name, &name_len);
    if (reader->is_broken || reader->at != end) return HV_EPROTO;
    hdns_entry_t *entry;
    int code = hdns_answer_add(answer, type, ttl, name, name_len, &entry);
    if (code != 0) return code;
    entry->priority = (uint16_t)priority;
    entry->weight = (uint16_t)weight;
    entry->port = (uint16_t)port;
    return 0;
}

int hdns_answer_read(hdns_answer_t *answer, hdns_type_e wanted, const uint8_t *message,
                     size_t len) {
    reader_t reader = {.message = message, .len = len};
    skip(&reader, 4);
    unsigned questions = take(&reader, 2), answers = take(&reader, 2);
    skip(&reader, 4);
    for (; questions > 0 && !reader.is_broken; questions--) {
        take_name(&reader, NULL, NULL);
        skip(&reader, 4);
    }
    for (; answers > 0 && !reader.is_broken; answers--) {
        take_name(&reader, NULL, NULL);
        unsigned type = take(&reader, 2), class = take(&reader, 2), ttl = take(&reader, 4);
        size_t length = take(&reader, 2);
        if (reader.is_broken || length > len - reader.at) return HV_EPROTO;
        size_t end = reader.at + length;
        if (ttl & TTL_TOP) ttl = 0;
        if (class == CLASS_INTERNET && type == (unsigned)wanted) {
            int code = add_record(answer, &reader, wanted, ttl, end);
            if (code != 0) return code;
        } else if (type == HDNS_CNAME && ttl < answer->ttl) {
            answer->ttl = ttl;
        }
        reader.at = end;
    }
    if (reader.is_broken) return HV_EPROTO;
    sort_addresses(answer);
    return 0;
}
