/* ws_handshake.h - the opening handshake, pure: what a server checks in a request and answers, what
 * a client asks and checks in the answer. RFC 6455 section 4; permessage-deflate by RFC 7692
 * section 7.
 *
 * Headers go in one by one, then the verdict comes out. All slices are borrowed. */
#ifndef HV_WS_HANDSHAKE_H_
#define HV_WS_HANDSHAKE_H_

#include "herr.h"
#include "hstr.h"

#define WS_KEY_BYTES    24 /* of a Sec-WebSocket-Key: 16 bytes in base64 */
#define WS_ACCEPT_BYTES 28 /* of a Sec-WebSocket-Accept */
#define WS_LINES_MAX    8  /* of Sec-WebSocket-Protocol, and of -Extensions, in one message */

/* What permessage-deflate was agreed to be, or what one side is willing to do. */
typedef struct ws_deflate_params_s {
    uint8_t is_on;
    uint8_t server_no_context; /* the server forgets after each message */
    uint8_t client_no_context;
    uint8_t server_bits; /* 8..15: the server's window is no larger than 1 << bits */
    uint8_t client_bits;
} ws_deflate_params_t;

/* Room for the longest permessage-deflate of ours, with a NUL. */
#define WS_DEFLATE_TEXT_MAX 160

/* What the handshake's headers say; zeroed at the start, then ws_hello_add for each header. */
typedef struct ws_hello_s {
    hstr_t key;
    hstr_t version;
    hstr_t origin;
    hstr_t accept;
    hstr_t protocols[WS_LINES_MAX];
    hstr_t extensions[WS_LINES_MAX];
    uint8_t protocol_count;
    uint8_t extension_count;
    uint8_t key_count;
    uint8_t version_count;
    uint8_t origin_count;
    uint8_t accept_count;
    uint8_t has_upgrade;    /* "websocket" among the values of Upgrade */
    uint8_t has_connection; /* "upgrade" among those of Connection */
    uint8_t has_too_many;   /* lines */
} ws_hello_t;

void ws_hello_add(ws_hello_t *hello, hstr_t name, hstr_t value);

/* ---- Servers ---- */

/* What a server wants. */
typedef struct ws_terms_s {
    hstr_t protocols; /* "chat, superchat" in order of preference; data NULL: none is chosen */
    hstr_t origins;   /* "https://a.example, https://b.example"; data NULL: any, and none */
    ws_deflate_params_t deflate; /* the most it will do */
} ws_terms_t;

typedef struct ws_agreement_s {
    hstr_t protocol; /* len 0: none */
    ws_deflate_params_t deflate;
} ws_agreement_t;

/* Decides on a request whose method is GET and whose version is 1.1 or more. Returns 101, or the
 * status to refuse with: 400, 403 (origin), 426 (no upgrade to WebSocket,
 * or another version; answer with Upgrade: websocket and Sec-WebSocket-Version: 13). */
int ws_check_request(const ws_hello_t *hello, const ws_terms_t *terms, ws_agreement_t *agreement);

/* Writes the accept value of a key (section 4.2.2). Returns 0 or a negative code of hcrypto.h. */
int ws_accept_value(hstr_t key, char out[WS_ACCEPT_BYTES]);

/* ---- Clients ---- */

/* What a client asked for. */
typedef struct ws_request_s {
    hstr_t key;
    hstr_t protocols;            /* data NULL: none */
    ws_deflate_params_t deflate; /* the offer; is_on 0: none */
} ws_request_t;

/* Reads the head of an answer (RFC 9112 section 4): the status line and header lines, which go into
 * `hello`.
 *   head, len  complete, with its blank line
 * Returns the status, or HV_EPROTO where it is no HTTP/1 answer. */
int ws_parse_answer(const char *head, size_t len, ws_hello_t *hello);
/* The end of a head in `data`, whose first `*scanned` bytes were looked at before. Returns its
 * bytes with the blank line, or 0. */
size_t ws_find_head_end(const char *data, size_t len, size_t *scanned);

/* Checks an answer of status 101 (section 4.1). Returns NULL, or what is wrong with it in words. */
const char *ws_check_answer(const ws_hello_t *hello, const ws_request_t *request,
                            ws_agreement_t *agreement);

/* ---- permessage-deflate as text ---- */

/* Writes what a server answers, or what a client offers, with a NUL. Returns the bytes without it.
 * */
size_t ws_write_deflate_answer(const ws_deflate_params_t *agreed, int client_bits_were_offered,
                               char out[WS_DEFLATE_TEXT_MAX]);
size_t ws_write_deflate_offer(const ws_deflate_params_t *offer, char out[WS_DEFLATE_TEXT_MAX]);

/* ---- Words ---- */

/* Whether it is "chat, superchat": one or more different tokens (section 4.1, 11.3.4). */
int ws_protocols_are_valid(hstr_t list);

/* A URL of scheme ws or wss, taken apart (RFC 6455 section 3). */
typedef struct ws_url_s {
    hstr_t host;      /* without the brackets of IPv6 */
    hstr_t authority; /* host and port as written: the Host header */
    hstr_t target;    /* path and query; len 0: "/" */
    int port;
    int is_secure;
    int needs_slash;  /* the target is a query alone */
} ws_url_t;

/* Returns 0 or HV_EINVAL: another scheme, a fragment, a user, a bad port, blanks or control bytes.
 * */
int ws_parse_url(hstr_t url, ws_url_t *parts);

#endif
