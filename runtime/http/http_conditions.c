/* http_conditions.c - preconditions, ranges and content codings of requests for something that
 * exists. */
#include "http_conditions.h"

#include "h1_chars.h"
#include "h1_write.h"
#include "hstr.h"

#include <time.h>

/* ---- Dates ---- */

void hv__http_date_write(int64_t seconds, char out[HTTP_DATE_BYTES + 1]) {
    h1_date_t date = {0};
    h1_date_update(&date, (time_t)seconds);
    memcpy(out, date.text, HTTP_DATE_BYTES + 1);
}

/* A reader of fixed pieces; `at` is NULL once something was not there. */
typedef struct reader_s {
    const char *at;
    const char *end;
} reader_t;

static void expect(reader_t *reader, const char *text) {
    size_t len = strlen(text);
    if (reader->at == NULL || (size_t)(reader->end - reader->at) < len ||
        memcmp(reader->at, text, len) != 0) {
        reader->at = NULL;
        return;
    }
    reader->at += len;
}

/* `digits` digits; the first may be a blank where `padded`. */
static int number(reader_t *reader, int digits, int padded) {
    int value = 0;
    if (reader->at == NULL || reader->end - reader->at < digits) {
        reader->at = NULL;
        return 0;
    }
    for (int i = 0; i < digits; i++) {
        char byte = *reader->at++;
        if (i == 0 && padded && byte == ' ') continue;
        if (byte < '0' || byte > '9') {
            reader->at = NULL;
            return 0;
        }
        value = value * 10 + (byte - '0');
    }
    return value;
}

static int month(reader_t *reader) {
    static const char names[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    if (reader->at == NULL || reader->end - reader->at < 3) {
        reader->at = NULL;
        return 0;
    }
    for (int i = 0; i < 12; i++) {
        if (memcmp(reader->at, names + (ptrdiff_t)i * 3, 3) != 0) continue;
        reader->at += 3;
        return i;
    }
    reader->at = NULL;
    return 0;
}

/* Skips the name of a day, which is not checked against the date. */
static void day_name(reader_t *reader) {
    const char *start = reader->at;
    while (reader->at < reader->end && h1_char_is(*reader->at, H1_CHAR_TOKEN)) reader->at++;
    if (reader->at - start < 3) reader->at = NULL;
}

static void clock_time(reader_t *reader, struct tm *when) {
    when->tm_hour = number(reader, 2, 0);
    expect(reader, ":");
    when->tm_min = number(reader, 2, 0);
    expect(reader, ":");
    when->tm_sec = number(reader, 2, 0);
}

/* "06 Nov 1994 08:49:37 GMT" or "06-Nov-94 08:49:37 GMT" */
static void date_of_two_forms(reader_t *reader, struct tm *when) {
    when->tm_mday = number(reader, 2, 0);
    int has_dashes = reader->at != NULL && reader->at < reader->end && *reader->at == '-';
    expect(reader, has_dashes ? "-" : " ");
    when->tm_mon = month(reader);
    expect(reader, has_dashes ? "-" : " ");
    if (has_dashes) {
        int year = number(reader, 2, 0);
        when->tm_year = year < 70 ? year + 100 : year;
    } else {
        when->tm_year = number(reader, 4, 0) - 1900;
    }
    expect(reader, " ");
    clock_time(reader, when);
    expect(reader, " GMT");
}

int64_t hv__http_date_parse(hhttp_slice_t text) {
    if (text.data == NULL) return -1;
    struct tm when = {0};
    reader_t reader = {text.data, text.data + text.len};
    day_name(&reader);
    if (reader.at != NULL && reader.at < reader.end && *reader.at == ',') {
        expect(&reader, ", ");
        date_of_two_forms(&reader, &when);
    } else { /* asctime: "Sun Nov  6 08:49:37 1994" */
        expect(&reader, " ");
        when.tm_mon = month(&reader);
        expect(&reader, " ");
        when.tm_mday = number(&reader, 2, 1);
        expect(&reader, " ");
        clock_time(&reader, &when);
        expect(&reader, " ");
        when.tm_year = number(&reader, 4, 0) - 1900;
    }
    if (reader.at != reader.end) return -1;
    if (when.tm_mday < 1 || when.tm_mday > 31 || when.tm_hour > 23 || when.tm_min > 59) return -1;
    if (when.tm_sec > 60) return -1;
    time_t seconds = timegm(&when);
    return seconds < 0 ? -1 : (int64_t)seconds;
}

/* ---- Entity tags ---- */

/* The tag at the start of `text`. Returns its bytes, or 0 where there is none. */
static size_t tag_len(const char *text, size_t len) {
    size_t at = len >= 2 && text[0] == 'W' && text[1] == '/' ? 2 : 0;
    if (at >= len || text[at] != '"') return 0;
    for (at++; at < len; at++) {
        if (text[at] == '"') return at + 1;
    }
    return 0;
}

static int is_weak(const char *tag, size_t len) { return len > 2 && tag[0] == 'W'; }

static int tags_equal(const char *tag, size_t len, hhttp_slice_t other, int strong) {
    if (strong && (is_weak(tag, len) || is_weak(other.data, other.len))) return 0;
    size_t skip = is_weak(tag, len) ? 2 : 0, skip_other = is_weak(other.data, other.len) ? 2 : 0;
    return len - skip == other.len - skip_other &&
           memcmp(tag + skip, other.data + skip_other, len - skip) == 0;
}

/* Whether the list has the tag; "*" has every one. A list that is malformed ends there. */
static int list_has(hhttp_slice_t list, hhttp_slice_t etag, int strong) {
    if (list.len == 1 && list.data[0] == '*') return 1;
    if (etag.data == NULL) return 0;
    for (size_t at = 0; at < list.len;) {
        char byte = list.data[at];
        if (byte == ' ' || byte == '\t' || byte == ',') {
            at++;
            continue;
        }
        size_t len = tag_len(list.data + at, list.len - at);
        if (len == 0) return 0;
        if (tags_equal(list.data + at, len, etag, strong)) return 1;
        at += len;
    }
    return 0;
}

/* ---- Preconditions ---- */

void hv__http_asks_read(const hhttp_request_t *req, http_asks_t *asks) {
    size_t cursor = 0;
    hhttp_header_t header;
    memset(asks, 0, sizeof *asks);
    while (hhttp_request_next_header(req, &cursor, &header)) {
        hhttp_slice_t name = header.name, *place = NULL;
        unsigned char first = (unsigned char)(name.data[0] | 0x20);
        if (first == 'r' && name.len == 5) {
            if (h1_equals_folded(name.data, name.len, "range", 5)) place = &asks->range;
        } else if (first == 'i' && name.len > 7 && name.data[2] == '-') {
            if (h1_equals_folded(name.data, name.len, "if-match", 8)) {
                place = &asks->if_match;
            } else if (h1_equals_folded(name.data, name.len, "if-range", 8)) {
                place = &asks->if_range;
            } else if (h1_equals_folded(name.data, name.len, "if-none-match", 13)) {
                place = &asks->if_none_match;
            } else if (h1_equals_folded(name.data, name.len, "if-modified-since", 17)) {
                place = &asks->if_modified_since;
            } else if (h1_equals_folded(name.data, name.len, "if-unmodified-since", 19)) {
                place = &asks->if_unmodified_since;
            }
        }
        if (place != NULL && place->data == NULL) {
            *place = (hhttp_slice_t){header.value.len > 0 ? header.value.data : "",
                                     header.value.len};
        }
    }
}

int hv__http_precondition(const http_asks_t *asks, const http_validators_t *there, int is_get) {
    if (asks->if_match.data != NULL) {
        if (!list_has(asks->if_match, there->etag, 1)) return 412;
    } else if (asks->if_unmodified_since.data != NULL && there->modified >= 0) {
        int64_t date = hv__http_date_parse(asks->if_unmodified_since);
        if (date >= 0 && there->modified > date) return 412;
    }
    if (asks->if_none_match.data != NULL) {
        if (list_has(asks->if_none_match, there->etag, 0)) return is_get ? 304 : 412;
    } else if (is_get && asks->if_modified_since.data != NULL && there->modified >= 0) {
        int64_t date = hv__http_date_parse(asks->if_modified_since);
        if (date >= 0 && there->modified <= date) return 304;
    }
    return 0;
}

/* ---- Ranges ---- */

/* If-Range: the very same representation, or none of the range (section 13.1.5). */
static int range_applies(const http_asks_t *asks, const http_validators_t *there) {
    hhttp_slice_t text = asks->if_range;
    if (text.data == NULL) return 1;
    size_t len = tag_len(text.data, text.len);
    if (len == text.len && len > 0) {
        return there->etag.data != NULL && tags_equal(text.data, len, there->etag, 1);
    }
    int64_t date = hv__http_date_parse(text);
    return date >= 0 && date == there->modified;
}

/* One range of the list. Returns 1 where it can be satisfied, 0 where not, -1 where malformed. */
static int read_range(hstr_t text, uint64_t size, http_range_t *range) {
    const char *dash = memchr(text.data, '-', text.len);
    uint64_t first = 0, last = UINT64_MAX;
    if (dash == NULL) return -1;
    hstr_t before = {text.data, (size_t)(dash - text.data)};
    hstr_t after = {dash + 1, text.len - before.len - 1};
    if (after.len > 0 && hstr_parse_u64(after, INT64_MAX, &last) != 0) return -1;
    if (before.len == 0) { /* the last bytes */
        if (after.len == 0) return -1;
        if (last == 0 || size == 0) return 0;
        range->len = last < size ? last : size;
        range->offset = size - range->len;
        return 1;
    }
    if (hstr_parse_u64(before, INT64_MAX, &first) != 0 || last < first) return -1;
    if (first >= size) return 0;
    range->offset = first;
    range->len = (last < size ? last + 1 : size) - first;
    return 1;
}

int hv__http_ranges(const http_asks_t *asks, const http_validators_t *there, uint64_t size,
                    http_range_t *ranges) {
    hstr_t rest = {asks->range.data, asks->range.len}, piece;
    if (rest.data == NULL || rest.len < 6) return 0;
    if (!h1_equals_folded(rest.data, 5, "bytes", 5) || rest.data[5] != '=') return 0;
    if (!range_applies(asks, there)) return 0;
    rest.data += 6;
    rest.len -= 6;
    int count = 0, seen = 0;
    uint64_t total = 0;
    while (hstr_next(&rest, ',', &piece)) {
        piece = hstr_trim(piece);
        if (piece.len == 0) continue;
        if (++seen > HTTP_RANGES_MAX) return 0;
        int result = read_range(piece, size, &ranges[count]);
        if (result < 0) return 0;
        if (result == 0) continue;
        total += ranges[count++].len;
        if (total > size) return 0;
    }
    if (seen == 0) return 0;
    return count > 0 ? count : 416;
}

/* ---- Content codings ---- */

/* The weight in the parameters behind a coding (section 12.4.2): 1000 where there is none. */
static int weight_of(hstr_t parameters) {
    hstr_t piece;
    while (hstr_next(&parameters, ';', &piece)) {
        piece = hstr_trim(piece);
        if (piece.len < 3 || (piece.data[0] | 0x20) != 'q' || piece.data[1] != '=') continue;
        int weight = piece.data[2] == '1' ? 1000 : 0, unit = 100;
        for (size_t i = 4; i < piece.len && unit > 0 && weight < 1000; i++, unit /= 10) {
            if (!hstr_is_digit((unsigned char)piece.data[i])) break;
            weight += (piece.data[i] - '0') * unit;
        }
        return weight;
    }
    return 1000;
}

int hv__http_coding_named(hhttp_slice_t accept_encoding, const char *coding, int *others) {
    hstr_t rest = {accept_encoding.data, accept_encoding.len}, piece;
    if (rest.data == NULL) return -1;
    while (hstr_next(&rest, ',', &piece)) {
        hstr_t name;
        if (!hstr_next(&piece, ';', &name)) continue;
        name = hstr_trim(name);
        if (hstr_equals_nocase(name, hstr_from(coding))) return weight_of(piece);
        if (name.len == 1 && name.data[0] == '*') *others = weight_of(piece);
    }
    return -1;
}
