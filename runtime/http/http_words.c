/* http_words.c - methods, status phrases, percent-encoding.
 *
 * Phrases are those of the IANA registry of HTTP status codes (RFC 9110 section 15, with 102, 207,
 * 208, 226, 421..431, 451, 506..511 of the RFCs named there). A method is recognised by its length
 * and one comparison. */
#include "http_words.h"

#include "h1_chars.h"
#include "hassert.h"

static const char *const method_names[] = {
    [HHTTP_GET] = "GET",
    [HHTTP_HEAD] = "HEAD",
    [HHTTP_POST] = "POST",
    [HHTTP_PUT] = "PUT",
    [HHTTP_PATCH] = "PATCH",
    [HHTTP_DELETE] = "DELETE",
    [HHTTP_OPTIONS] = "OPTIONS",
    [HHTTP_CONNECT] = "CONNECT",
    [HHTTP_TRACE] = "TRACE",
    [HHTTP_OTHER] = "",
    [HHTTP_ANY] = "",
};

const char *hhttp_method_name(hhttp_method_e method) {
    HV_ASSERT((unsigned)method < ARRAY_SIZE(method_names));
    return method_names[method];
}

hhttp_method_e hhttp_method_of(const char *name, size_t len) {
    switch (len) {
    case 3:
        if (memcmp(name, "GET", 3) == 0) return HHTTP_GET;
        return memcmp(name, "PUT", 3) == 0 ? HHTTP_PUT : HHTTP_OTHER;
    case 4:
        if (memcmp(name, "POST", 4) == 0) return HHTTP_POST;
        return memcmp(name, "HEAD", 4) == 0 ? HHTTP_HEAD : HHTTP_OTHER;
    case 5:
        if (memcmp(name, "PATCH", 5) == 0) return HHTTP_PATCH;
        return memcmp(name, "TRACE", 5) == 0 ? HHTTP_TRACE : HHTTP_OTHER;
    case 6: return memcmp(name, "DELETE", 6) == 0 ? HHTTP_DELETE : HHTTP_OTHER;
    case 7:
        if (memcmp(name, "OPTIONS", 7) == 0) return HHTTP_OPTIONS;
        return memcmp(name, "CONNECT", 7) == 0 ? HHTTP_CONNECT : HHTTP_OTHER;
    default: return HHTTP_OTHER;
    }
}

#define PHRASE(text)                                                                               \
    { text, sizeof(text) - 1 }

static const hhttp_slice_t unknown_phrase = PHRASE("Unknown");

static const hhttp_slice_t phrases_1xx[] = {
    PHRASE("Continue"),
    PHRASE("Switching Protocols"),
    PHRASE("Processing"),
    PHRASE("Early Hints"),
};

static const hhttp_slice_t phrases_2xx[] = {
    [0] = PHRASE("OK"),
    [1] = PHRASE("Created"),
    [2] = PHRASE("Accepted"),
    [3] = PHRASE("Non-Authoritative Information"),
    [4] = PHRASE("No Content"),
    [5] = PHRASE("Reset Content"),
    [6] = PHRASE("Partial Content"),
    [7] = PHRASE("Multi-Status"),
    [8] = PHRASE("Already Reported"),
    [26] = PHRASE("IM Used"),
};

static const hhttp_slice_t phrases_3xx[] = {
    [0] = PHRASE("Multiple Choices"),
    [1] = PHRASE("Moved Permanently"),
    [2] = PHRASE("Found"),
    [3] = PHRASE("See Other"),
    [4] = PHRASE("Not Modified"),
    [5] = PHRASE("Use Proxy"),
    [7] = PHRASE("Temporary Redirect"),
    [8] = PHRASE("Permanent Redirect"),
};

static const hhttp_slice_t phrases_4xx[] = {
    [0] = PHRASE("Bad Request"),
    [1] = PHRASE("Unauthorized"),
    [2] = PHRASE("Payment Required"),
    [3] = PHRASE("Forbidden"),
    [4] = PHRASE("Not Found"),
    [5] = PHRASE("Method Not Allowed"),
    [6] = PHRASE("Not Acceptable"),
    [7] = PHRASE("Proxy Authentication Required"),
    [8] = PHRASE("Request Timeout"),
    [9] = PHRASE("Conflict"),
    [10] = PHRASE("Gone"),
    [11] = PHRASE("Length Required"),
    [12] = PHRASE("Precondition Failed"),
    [13] = PHRASE("Content Too Large"),
    [14] = PHRASE("URI Too Long"),
    [15] = PHRASE("Unsupported Media Type"),
    [16] = PHRASE("Range Not Satisfiable"),
    [17] = PHRASE("Expectation Failed"),
    [21] = PHRASE("Misdirected Request"),
    [22] = PHRASE("Unprocessable Content"),
    [23] = PHRASE("Locked"),
    [24] = PHRASE("Failed Dependency"),
    [25] = PHRASE("Too Early"),
    [26] = PHRASE("Upgrade Required"),
    [28] = PHRASE("Precondition Required"),
    [29] = PHRASE("Too Many Requests"),
    [31] = PHRASE("Request Header Fields Too Large"),
    [51] = PHRASE("Unavailable For Legal Reasons"),
};

static const hhttp_slice_t phrases_5xx[] = {
    [0] = PHRASE("Internal Server Error"),
    [1] = PHRASE("Not Implemented"),
    [2] = PHRASE("Bad Gateway"),
    [3] = PHRASE("Service Unavailable"),
    [4] = PHRASE("Gateway Timeout"),
    [5] = PHRASE("HTTP Version Not Supported"),
    [6] = PHRASE("Variant Also Negotiates"),
    [7] = PHRASE("Insufficient Storage"),
    [8] = PHRASE("Loop Detected"),
    [10] = PHRASE("Not Extended"),
    [11] = PHRASE("Network Authentication Required"),
};

hhttp_slice_t hv__http_status_phrase(int status) {
    static const struct {
        const hhttp_slice_t *phrases;
        unsigned count;
    } classes[] = {
        {phrases_1xx, ARRAY_SIZE(phrases_1xx)}, {phrases_2xx, ARRAY_SIZE(phrases_2xx)},
        {phrases_3xx, ARRAY_SIZE(phrases_3xx)}, {phrases_4xx, ARRAY_SIZE(phrases_4xx)},
        {phrases_5xx, ARRAY_SIZE(phrases_5xx)},
    };
    if (status < 100 || status > 599) return unknown_phrase;
    unsigned class_index = (unsigned)status / 100 - 1;
    unsigned within = (unsigned)status % 100;
    if (within >= classes[class_index].count) return unknown_phrase;
    hhttp_slice_t phrase = classes[class_index].phrases[within];
    return phrase.data != NULL ? phrase : unknown_phrase;
}

const char *hhttp_status_text(int status) {
    return hv__http_status_phrase(status).data;
}

size_t hhttp_percent_decode(const char *text, size_t len, int plus_is_space, char *out) {
    size_t written = 0;
    size_t i = 0;
    while (i < len) {
        char byte = text[i++];
        if (byte == '%' && len - i >= 2) {
            int high = h1_hex_value(text[i]);
            int low = h1_hex_value(text[i + 1]);
            if (high >= 0 && low >= 0) {
                byte = (char)(high << 4 | low);
                i += 2;
            }
        } else if (byte == '+' && plus_is_space) {
            byte = ' ';
        }
        /* Never ahead of what was read, so decoding in place is safe. */
        out[written++] = byte;
    }
    return written;
}
