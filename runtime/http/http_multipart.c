/* http_multipart.c - the parser of multipart/form-data.
 *
 * A delimiter is CRLF "--" boundary; the first one may lack its CRLF, so the parser begins as if it
 * had seen one. Since CR stands in no boundary, a delimiter can begin only at a CR, and where a
 * match breaks off only the byte at which it does can begin another: no table is needed. What a
 * match has taken from earlier input and turns out to be payload is handed out from the parser's
 * own copy of the delimiter; everything else is a slice of the input.
 *
 *   PREAMBLE -> TAIL -> HEADERS -> DATA -> TAIL ...      TAIL "--" -> EPILOGUE
 *
 * RFC 2046 section 5.1.1, RFC 7578, RFC 9110 section 5.5 (values); how browsers write file names:
 * WHATWG HTML, multipart form data. */
#include "hmultipart.h"

#include "h1_chars.h"
#include "h1_parse.h"
#include "hassert.h"
#include "hbuf.h"
#include "hmem.h"

#define BOUNDARY_BYTES_MAX 70
#define DELIMITER_MAX      (4 + BOUNDARY_BYTES_MAX)
#define TAIL_BLANKS_MAX    128

enum { PREAMBLE, TAIL, TAIL_DASH, TAIL_BLANK, TAIL_LF, HEADERS, DATA, EPILOGUE };

struct hmultipart_s {
    hmultipart_limits_t limits;
    int code; /* the error that ended it */
    uint8_t state;
    uint8_t matched;       /* bytes of the delimiter seen */
    uint8_t delimiter_len;
    uint8_t matched_head;  /* of them, those of a blank line before: no payload in any case */
    uint8_t tail_blanks;
    uint32_t part_count;
    uint64_t part_bytes;
    uint64_t form_bytes; /* of parts that are no files */
    hbuf_t head;         /* header lines of the part */
    hbuf_t names;        /* name and file name without their backslashes, a NUL behind each */
    hhttp_slice_t headers;
    hhttp_slice_t name;
    hhttp_slice_t filename;
    char delimiter[DELIMITER_MAX];
};

/* ---- Content-Type ---- */

static int is_boundary_char(char byte) {
    if (h1_char_is(byte, H1_CHAR_TOKEN)) return 1;
    return byte != '\0' && strchr("()/:=?,@ ", byte) != NULL;
}

static int check_boundary(hhttp_slice_t boundary) {
    if (boundary.len == 0 || boundary.len > BOUNDARY_BYTES_MAX) return HV_EPROTO;
    for (size_t i = 0; i < boundary.len; i++) {
        if (!is_boundary_char(boundary.data[i])) return HV_EPROTO;
    }
    return boundary.data[boundary.len - 1] == ' ' ? HV_EPROTO : 0;
}

static size_t skip_blanks(hhttp_slice_t text, size_t at) {
    while (at < text.len && (text.data[at] == ' ' || text.data[at] == '\t')) at++;
    return at;
}

/* One parameter "; name=value" behind *at. A quoted value is given without its quotes and with its
 * backslashes. Returns 1, 0 at the end, or HV_EPROTO. */
static int next_parameter(hhttp_slice_t text, size_t *at, hhttp_slice_t *name,
                          hhttp_slice_t *value) {
    size_t i = skip_blanks(text, *at);
    if (i == text.len) return 0;
    if (text.data[i] != ';') return HV_EPROTO;
    i = skip_blanks(text, i + 1);
    if (i == text.len) return 0;
    size_t start = i;
    while (i < text.len && h1_char_is(text.data[i], H1_CHAR_TOKEN)) i++;
    *name = (hhttp_slice_t){text.data + start, i - start};
    i = skip_blanks(text, i);
    if (name->len == 0 || i == text.len || text.data[i] != '=') return HV_EPROTO;
    i = skip_blanks(text, i + 1);
    start = i;
    if (i < text.len && text.data[i] == '"') {
        for (i++; i < text.len && text.data[i] != '"'; i++) {
            if (text.data[i] == '\\' && i + 1 < text.len) i++;
        }
        if (i >= text.len) return HV_EPROTO;
        *value = (hhttp_slice_t){text.data + start + 1, i - start - 1};
        i++;
    } else {
        while (i < text.len && text.data[i] != ';') i++;
        size_t end = i;
        while (end > start && (text.data[end - 1] == ' ' || text.data[end - 1] == '\t')) end--;
        *value = (hhttp_slice_t){text.data + start, end - start};
    }
    *at = i;
    return 1;
}

static int is_word(hhttp_slice_t text, const char *word) {
    return h1_equals_folded(text.data, text.len, word, strlen(word));
}

/* The value up to the first parameter. */
static hhttp_slice_t main_value(hhttp_slice_t text) {
    size_t end = 0;
    while (end < text.len && text.data[end] != ';') end++;
    while (end > 0 && (text.data[end - 1] == ' ' || text.data[end - 1] == '\t')) end--;
    return (hhttp_slice_t){text.data, end};
}

int hmultipart_boundary(hhttp_slice_t content_type, hhttp_slice_t *out) {
    static const char form[] = "multipart/form-data";
    hhttp_slice_t type = main_value(content_type);
    hhttp_slice_t name, value;
    size_t at = type.len;
    if (type.len != sizeof form - 1) return HV_ENOTFOUND;
    for (size_t i = 0; i < type.len; i++) {
        char byte = type.data[i];
        if ((byte >= 'A' && byte <= 'Z' ? byte | 0x20 : byte) != form[i]) return HV_ENOTFOUND;
    }
    int found;
    while ((found = next_parameter(content_type, &at, &name, &value)) == 1) {
        if (!is_word(name, "boundary")) continue;
        if (check_boundary(value) != 0) return HV_EPROTO;
        *out = value;
        return 0;
    }
    return HV_EPROTO;
}

/* ---- Life ---- */

static void fill_limits(hmultipart_limits_t *limits) {
    if (limits->part_count_max == 0) limits->part_count_max = 1000;
    if (limits->part_header_bytes_max == 0) limits->part_header_bytes_max = 8 * 1024;
    if (limits->field_bytes_max == 0) limits->field_bytes_max = 1024 * 1024;
    if (limits->form_bytes_max == 0) limits->form_bytes_max = 8 * 1024 * 1024;
    if (limits->file_bytes_max == 0) limits->file_bytes_max = UINT64_MAX;
}

hmultipart_t *hmultipart_new(hhttp_slice_t boundary, const hmultipart_limits_t *limits) {
    if (check_boundary(boundary) != 0) return NULL;
    hmultipart_t *form = hv__calloc(1, sizeof *form);
    if (form == NULL) return NULL;
    if (limits != NULL) form->limits = *limits;
    fill_limits(&form->limits);
    memcpy(form->delimiter, "\r\n--", 4);
    memcpy(form->delimiter + 4, boundary.data, boundary.len);
    form->delimiter_len = (uint8_t)(4 + boundary.len);
    form->matched = form->matched_head = 2; /* the first one may stand at the very beginning */
    return form;
}

void hmultipart_free(hmultipart_t *form) {
    if (form == NULL) return;
    hbuf_deinit(&form->head);
    hbuf_deinit(&form->names);
    hv__free(form);
}

int hmultipart_has_ended(const hmultipart_t *form) { return form->state == EPILOGUE; }

/* ---- Headers of a part ---- */

/* Copies a value without the backslashes that stand before a quote or another backslash; elsewhere
 * they are part of the value, as in "C:\\file". There must be room. */
static void keep_unescaped(hbuf_t *names, hhttp_slice_t *value) {
    char *out = hbuf_tail(names);
    size_t kept = 0;
    for (size_t i = 0; i < value->len; i++) {
        int escapes = value->data[i] == '\\' && i + 1 < value->len &&
                      (value->data[i + 1] == '"' || value->data[i + 1] == '\\');
        if (escapes) i++;
        out[kept++] = value->data[i];
    }
    out[kept] = '\0';
    hbuf_commit(names, kept + 1);
    *value = (hhttp_slice_t){out, kept};
}

/* The header itself stays as it came. Returns 0 or HV_ENOMEM. */
static int keep_names(hmultipart_t *form) {
    size_t bytes = form->name.len + form->filename.len + 2;
    hbuf_deinit(&form->names);
    int code = hbuf_reserve(&form->names, bytes, bytes);
    if (code != 0) return code;
    keep_unescaped(&form->names, &form->name);
    if (form->filename.data != NULL) keep_unescaped(&form->names, &form->filename);
    return 0;
}

static int parse_disposition(hmultipart_t *form) {
    hhttp_slice_t text = h1_find_header(form->headers, "content-disposition", 19);
    if (text.data == NULL) return HV_EPROTO;
    hhttp_slice_t kind = main_value(text), name, value;
    size_t at = kind.len;
    if (!is_word(kind, "form-data")) return HV_EPROTO;
    int found;
    while ((found = next_parameter(text, &at, &name, &value)) == 1) {
        if (is_word(name, "name") && form->name.data == NULL) {
            form->name = value;
        } else if (is_word(name, "filename") && form->filename.data == NULL) {
            form->filename = value;
        }
    }
    if (found != 0 || form->name.data == NULL) return HV_EPROTO;
    return keep_names(form);
}

/* Checks one header line without its line end. */
static int check_line(const char *line, size_t len) {
    size_t at = 0;
    while (at < len && h1_char_is(line[at], H1_CHAR_TOKEN)) at++;
    if (at == 0 || at == len || line[at] != ':') return HV_EPROTO;
    for (at++; at < len; at++) {
        if (!h1_char_is(line[at], H1_CHAR_VALUE)) return HV_EPROTO;
    }
    return 0;
}

static int begin_part(hmultipart_t *form) {
    form->state = DATA;
    form->part_bytes = 0;
    form->name = form->filename = (hhttp_slice_t){NULL, 0};
    form->headers = (hhttp_slice_t){hbuf_data(&form->head), hbuf_len(&form->head) - 2};
    if (++form->part_count > form->limits.part_count_max) return HV_ELIMIT;
    int code = parse_disposition(form);
    /* The CRLF of the blank line may be that of the delimiter: a part without any body. */
    form->matched = form->matched_head = 2;
    return code != 0 ? code : HMULTIPART_PART;
}

/* Takes one line, or what there is of it. */
static int step_headers(hmultipart_t *form, const char *data, size_t len, size_t *used) {
    const char *lf = memchr(data, '\n', len);
    size_t part = lf != NULL ? (size_t)(lf - data) + 1 : len;
    size_t before = hbuf_len(&form->head);
    const char *head = hbuf_data(&form->head);
    /* Where the line begins that these bytes belong to. */
    size_t line = before;
    while (line > 0 && head[line - 1] != '\n') line--;
    int code = hbuf_append(&form->head, data, part, form->limits.part_header_bytes_max);
    if (code != 0) return code;
    *used += part;
    if (lf == NULL) return HMULTIPART_MORE;
    head = hbuf_data(&form->head);
    size_t line_len = before + part - line;
    if (line_len < 2 || head[before + part - 2] != '\r') return HV_EPROTO;
    if (line_len == 2) return begin_part(form);
    return check_line(head + line, line_len - 2);
}

/* ---- Payload ---- */

static int count_payload(hmultipart_t *form, size_t len) {
    const hmultipart_limits_t *limits = &form->limits;
    form->part_bytes += len;
    if (form->filename.data != NULL) {
        return form->part_bytes > limits->file_bytes_max ? HV_ELIMIT : 0;
    }
    form->form_bytes += len;
    if (form->part_bytes > limits->field_bytes_max) return HV_ELIMIT;
    return form->form_bytes > limits->form_bytes_max ? HV_ELIMIT : 0;
}

static int give_payload(hmultipart_t *form, const char *data, size_t len, hhttp_slice_t *piece) {
    int code = count_payload(form, len);
    if (code != 0) return code;
    *piece = (hhttp_slice_t){data, len};
    return HMULTIPART_DATA;
}

/* How many bytes of the delimiter, from the `matched`th on, stand at the start of `data`. */
static size_t match(const hmultipart_t *form, size_t matched, const char *data, size_t len) {
    size_t count = 0;
    while (count < len && matched + count < form->delimiter_len &&
           data[count] == form->delimiter[matched + count]) {
        count++;
    }
    return count;
}

/* The first byte that may begin a delimiter, which either is whole or is cut by the end of the
 * input; `len` where there is none. */
static size_t find_delimiter(const hmultipart_t *form, const char *data, size_t len) {
    size_t at = 0;
    while (at < len) {
        const char *cr = memchr(data + at, '\r', len - at);
        if (cr == NULL) return len;
        at = (size_t)(cr - data);
        size_t matched = match(form, 0, cr, len - at);
        if (matched == form->delimiter_len || matched == len - at) return at;
        at += matched;
    }
    return len;
}

static int delimiter_found(hmultipart_t *form) {
    int was_data = form->state == DATA;
    form->state = TAIL;
    form->matched = form->matched_head = 0;
    form->tail_blanks = 0;
    return was_data ? HMULTIPART_PART_END : HMULTIPART_MORE;
}

/* The match of a delimiter goes on from earlier input. Where it breaks off it was payload. */
static int step_match(hmultipart_t *form, const char *data, size_t len, size_t *used,
                      hhttp_slice_t *piece) {
    size_t count = match(form, form->matched, data, len);
    *used += count;
    form->matched = (uint8_t)(form->matched + count);
    if (form->matched == form->delimiter_len) return delimiter_found(form);
    if (count == len) return HMULTIPART_MORE;
    size_t head = form->matched_head;
    size_t owed = form->matched - head;
    form->matched = form->matched_head = 0;
    if (form->state == PREAMBLE || owed == 0) return HMULTIPART_MORE;
    return give_payload(form, form->delimiter + head, owed, piece);
}

static int step_data(hmultipart_t *form, const char *data, size_t len, size_t *used,
                     hhttp_slice_t *piece) {
    if (form->matched > 0) return step_match(form, data, len, used, piece);
    size_t payload = find_delimiter(form, data, len);
    *used += payload;
    if (payload > 0) {
        if (form->state == PREAMBLE) return HMULTIPART_MORE;
        return give_payload(form, data, payload, piece);
    }
    form->matched = 1;
    *used += 1;
    return HMULTIPART_MORE;
}

/* What stands behind a boundary. */
static int step_tail(hmultipart_t *form, char byte) {
    switch (form->state) {
    case TAIL:
        if (byte == '-') {
            form->state = TAIL_DASH;
            return HMULTIPART_MORE;
        }
        form->state = TAIL_BLANK;
        /* fall through */
    case TAIL_BLANK:
        if (byte == '\r') {
            form->state = TAIL_LF;
            return HMULTIPART_MORE;
        }
        if (byte != ' ' && byte != '\t') return HV_EPROTO;
        return ++form->tail_blanks > TAIL_BLANKS_MAX ? HV_ELIMIT : HMULTIPART_MORE;
    case TAIL_DASH:
        if (byte != '-') return HV_EPROTO;
        form->state = EPILOGUE;
        return HMULTIPART_END;
    default:
        HV_ASSERT(form->state == TAIL_LF);
        if (byte != '\n') return HV_EPROTO;
        form->state = HEADERS;
        hbuf_deinit(&form->head);
        form->headers = form->name = form->filename = (hhttp_slice_t){NULL, 0};
        return HMULTIPART_MORE;
    }
}

static int step(hmultipart_t *form, const char *data, size_t len, size_t *used,
                hhttp_slice_t *piece) {
    switch (form->state) {
    case PREAMBLE:
    case DATA: return step_data(form, data, len, used, piece);
    case HEADERS: return step_headers(form, data, len, used);
    case EPILOGUE: *used += len; return HMULTIPART_END;
    default: *used += 1; return step_tail(form, *data);
    }
}

int hmultipart_next(hmultipart_t *form, const char *data, size_t len, size_t *used,
                    hhttp_slice_t *piece) {
    *used = 0;
    *piece = (hhttp_slice_t){NULL, 0};
    if (form->code != 0) return form->code;
    while (*used < len) {
        int event = step(form, data + *used, len - *used, used, piece);
        if (event < 0) form->code = event;
        if (event != HMULTIPART_MORE) return event;
    }
    return form->state == EPILOGUE ? HMULTIPART_END : HMULTIPART_MORE;
}

hhttp_slice_t hmultipart_name(const hmultipart_t *form) { return form->name; }

hhttp_slice_t hmultipart_filename(const hmultipart_t *form) { return form->filename; }

hhttp_slice_t hmultipart_header(const hmultipart_t *form, const char *name, size_t name_len) {
    return h1_find_header(form->headers, name, name_len);
}

int hmultipart_next_header(const hmultipart_t *form, size_t *cursor, hhttp_header_t *header) {
    return h1_next_header(form->headers, cursor, header);
}

/* ---- File names ---- */

#define SAFE_BYTES_MAX 200

/* Bytes of the valid UTF-8 character at the start, or 0. RFC 3629. */
static size_t utf8_char(const unsigned char *text, size_t len) {
    unsigned char first = text[0];
    size_t need = first < 0x80 ? 1 : first < 0xc2 ? 0 : first < 0xe0 ? 2 : first < 0xf0 ? 3 :
                  first < 0xf5 ? 4 : 0;
    if (need == 0 || need > len) return 0;
    for (size_t i = 1; i < need; i++) {
        if ((text[i] & 0xc0) != 0x80) return 0;
    }
    if (first == 0xe0 && text[1] < 0xa0) return 0;
    if (first == 0xed && text[1] > 0x9f) return 0;
    if (first == 0xf0 && text[1] < 0x90) return 0;
    if (first == 0xf4 && text[1] > 0x8f) return 0;
    return need;
}

size_t hmultipart_safe_name(hhttp_slice_t name, char out[HMULTIPART_SAFE_NAME_MAX]) {
    size_t start = 0, len = 0;
    for (size_t i = 0; i < name.len; i++) {
        if (name.data[i] == '/' || name.data[i] == '\\') start = i + 1;
    }
    for (size_t i = start; i < name.len;) {
        const unsigned char *at = (const unsigned char *)name.data + i;
        size_t bytes = utf8_char(at, name.len - i);
        int is_bad = bytes == 0 || *at < 0x20 || *at == 0x7f || strchr("<>:\"|?*", *at) != NULL;
        if (bytes == 0) bytes = 1;
        i += bytes;
        if (len == 0 && (*at == '.' || *at == ' ')) continue;
        if (len + bytes > SAFE_BYTES_MAX) break;
        if (is_bad) {
            out[len++] = '_';
        } else {
            memcpy(out + len, at, bytes);
            len += bytes;
        }
    }
    while (len > 0 && (out[len - 1] == '.' || out[len - 1] == ' ')) len--;
    if (len == 0) {
        memcpy(out, "file", 4);
        len = 4;
    }
    out[len] = '\0';
    return len;
}
