/* h1_write.c - the head of a response as bytes (RFC 9112 section 4, RFC 9110 section 6.6.1).
 *
 * h1_head_bytes_max reserves once, so the writer never checks for room: everything is a copy of a
 * whole piece. Order on the wire: status line, Server, Date, Content-Type, framing, Connection, the
 * caller's headers. */
#include "h1_write.h"

#include "h1_chars.h"
#include "hassert.h"
#include "http_words.h"

#define DATE_BYTES     29
#define DECIMAL_DIGITS 20 /* of UINT64_MAX */

/* Copies a string literal; its length is known to the compiler, which makes it a few stores. */
#define PUT(out, literal)                                                                          \
    (memcpy((out), (literal), sizeof(literal) - 1), (out) + sizeof(literal) - 1)

/* ---- Date ---- */

static void put_two_digits(char *out, unsigned number) {
    out[0] = (char)('0' + number / 10 % 10);
    out[1] = (char)('0' + number % 10);
}

/* By hand, because strftime asks the locale for the names of days. */
static void write_date(char *out, const struct tm *when) {
    static const char day_names[] = "SunMonTueWedThuFriSat";
    static const char month_names[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    memcpy(out, "Day, 00 Mon 0000 00:00:00 GMT", DATE_BYTES + 1);
    memcpy(out, day_names + (ptrdiff_t)when->tm_wday * 3, 3);
    put_two_digits(out + 5, (unsigned)when->tm_mday);
    memcpy(out + 8, month_names + (ptrdiff_t)when->tm_mon * 3, 3);
    unsigned year = (unsigned)when->tm_year + 1900;
    put_two_digits(out + 12, year / 100);
    put_two_digits(out + 14, year % 100);
    put_two_digits(out + 17, (unsigned)when->tm_hour);
    put_two_digits(out + 20, (unsigned)when->tm_min);
    put_two_digits(out + 23, (unsigned)when->tm_sec);
}

void h1_date_update(h1_date_t *date, time_t now) {
    if (HV_LIKELY(date->second == now && date->text[0] != '\0')) return;
    struct tm when;
    /* Only years beyond the format, or beyond an int, can fail; such a clock gets the epoch. */
    if (gmtime_r(&now, &when) == NULL || when.tm_year < -1900 || when.tm_year > 8099) {
        time_t epoch = 0;
        gmtime_r(&epoch, &when);
    }
    write_date(date->text, &when);
    date->second = now;
}

/* ---- Pieces ---- */

static char *put_slice(char *out, const char *data, size_t len) {
    memcpy(out, data, len);
    return out + len;
}

static char *put_decimal(char *out, uint64_t number) {
    char digits[DECIMAL_DIGITS];
    size_t at = DECIMAL_DIGITS;
    do {
        digits[--at] = (char)('0' + number % 10);
        number /= 10;
    } while (number > 0);
    return put_slice(out, digits + at, DECIMAL_DIGITS - at);
}

size_t h1_write_decimal(uint64_t number, char *out) {
    return (size_t)(put_decimal(out, number) - out);
}

static char *put_status_line(char *out, int status) {
    if (HV_LIKELY(status == 200)) return PUT(out, "HTTP/1.1 200 OK\r\n");
    HV_ASSERT(status >= 100 && status <= 999);
    hhttp_slice_t phrase = hv__http_status_phrase(status);
    out = PUT(out, "HTTP/1.1 ");
    *out++ = (char)('0' + status / 100);
    put_two_digits(out, (unsigned)status % 100);
    out += 2;
    *out++ = ' ';
    out = put_slice(out, phrase.data, phrase.len);
    return PUT(out, "\r\n");
}

static char *put_framing(char *out, const h1_response_t *response) {
    switch (response->framing) {
    case H1_FRAME_LENGTH:
        out = PUT(out, "Content-Length: ");
        out = put_decimal(out, response->content_length);
        return PUT(out, "\r\n");
    case H1_FRAME_CHUNKED: return PUT(out, "Transfer-Encoding: chunked\r\n");
    case H1_FRAME_CLOSE:
    case H1_FRAME_NONE: return out;
    }
    HV_UNREACHABLE();
}

static char *put_header(char *out, hhttp_slice_t name, hhttp_slice_t value) {
    out = put_slice(out, name.data, name.len);
    out = PUT(out, ": ");
    if (value.len > 0) out = put_slice(out, value.data, value.len);
    return PUT(out, "\r\n");
}

/* ---- Heads ---- */

size_t h1_head_bytes_max(const h1_response_t *response) {
    /* The longest of each line the server writes, and the longest phrase (31 bytes). */
    static const size_t fixed =
        sizeof("HTTP/1.1 000 \r\n") + 31 + sizeof("Server: \r\n") + sizeof("Content-Type: \r\n") +
        sizeof("Date: \r\n") + DATE_BYTES + sizeof("Transfer-Encoding: chunked\r\n") +
        sizeof("Content-Length: \r\n") + DECIMAL_DIGITS + sizeof("Connection: keep-alive\r\n") +
        sizeof("Connection: close\r\n") + sizeof("\r\n");
    size_t bytes = fixed + response->server_name.len + response->content_type.len;
    for (size_t i = 0; i < response->header_count; i++) {
        bytes += response->headers[i].name.len + response->headers[i].value.len + 4;
    }
    return bytes;
}

size_t h1_write_head(const h1_response_t *response, char *out) {
    char *at = put_status_line(out, response->status);
    if (response->server_name.data != NULL) {
        at = PUT(at, "Server: ");
        at = put_slice(at, response->server_name.data, response->server_name.len);
        at = PUT(at, "\r\n");
    }
    if (response->date != NULL) {
        at = PUT(at, "Date: ");
        memcpy(at, response->date->text, DATE_BYTES);
        at = PUT(at + DATE_BYTES, "\r\n");
    }
    if (response->content_type.data != NULL) {
        at = PUT(at, "Content-Type: ");
        at = put_slice(at, response->content_type.data, response->content_type.len);
        at = PUT(at, "\r\n");
    }
    at = put_framing(at, response);
    /* To close is the stronger word where both are asked for. */
    if (response->send_connection_close) {
        at = PUT(at, "Connection: close\r\n");
    } else if (response->send_keep_alive) {
        at = PUT(at, "Connection: keep-alive\r\n");
    } else if (response->send_upgrade) {
        at = PUT(at, "Connection: Upgrade\r\n");
    }
    for (size_t i = 0; i < response->header_count; i++) {
        at = put_header(at, response->headers[i].name, response->headers[i].value);
    }
    at = PUT(at, "\r\n");
    size_t written = (size_t)(at - out);
    HV_DASSERT(written <= h1_head_bytes_max(response));
    return written;
}

size_t h1_write_chunk_head(size_t len, char *out) {
    static const char hex_digits[] = "0123456789abcdef";
    char digits[sizeof(size_t) * 2];
    size_t at = sizeof digits;
    do {
        digits[--at] = hex_digits[len & 15];
        len >>= 4;
    } while (len > 0);
    char *end = put_slice(out, digits + at, sizeof digits - at);
    end = PUT(end, "\r\n");
    return (size_t)(end - out);
}

/* ---- Checks ---- */

static int is_servers_own(hhttp_slice_t name) {
    switch (name.len) {
    case 4: return h1_equals_folded(name.data, name.len, "date", 4);
    case 10: return h1_equals_folded(name.data, name.len, "connection", 10);
    case 14: return h1_equals_folded(name.data, name.len, "content-length", 14);
    case 17: return h1_equals_folded(name.data, name.len, "transfer-encoding", 17);
    default: return 0;
    }
}

static int all_in_class(hhttp_slice_t text, unsigned char_class) {
    for (size_t i = 0; i < text.len; i++) {
        if (!h1_char_is(text.data[i], char_class)) return 0;
    }
    return 1;
}

int h1_check_headers(const hhttp_header_t *headers, size_t count) {
    for (size_t i = 0; i < count; i++) {
        const hhttp_header_t *header = &headers[i];
        if (header->name.len == 0 || !all_in_class(header->name, H1_CHAR_TOKEN)) return HV_EINVAL;
        if (!all_in_class(header->value, H1_CHAR_VALUE)) return HV_EINVAL;
        if (is_servers_own(header->name)) return HV_EINVAL;
    }
    return 0;
}
