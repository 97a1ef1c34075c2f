/* ws_frame.h - WebSocket frames, pure: bytes become pieces of messages and control frames, and
 * back. No allocation, no I/O, no callback. RFC 6455 section 5; RSV1 by RFC 7692 section 6. */
#ifndef HV_WS_FRAME_H_
#define HV_WS_FRAME_H_

#include "herr.h"
#include "ws_utf8.h"

#define WS_HEAD_BYTES_MAX    14  /* 2, up to 8 of length, 4 of mask */
#define WS_CONTROL_BYTES_MAX 125 /* of a control frame's payload */
#define WS_REASON_BYTES_MAX  123 /* of a close frame, behind the code */

enum {
    WS_CONTINUATION = 0x0,
    WS_TEXT         = 0x1,
    WS_BINARY       = 0x2,
    WS_CLOSE        = 0x8,
    WS_PING         = 0x9,
    WS_PONG         = 0xa,
};

/* Close codes (section 7.4.1). What ws_parse returns for a fault is one of these, negative. */
enum {
    WS_CODE_NORMAL      = 1000,
    WS_CODE_GOING_AWAY  = 1001,
    WS_CODE_PROTOCOL    = 1002,
    WS_CODE_UNSUPPORTED = 1003,
    WS_CODE_NONE        = 1005, /* never sent: the close frame had no code */
    WS_CODE_ABNORMAL    = 1006, /* never sent: there was no close frame */
    WS_CODE_BAD_DATA    = 1007,
    WS_CODE_POLICY      = 1008,
    WS_CODE_TOO_BIG     = 1009,
    WS_CODE_EXTENSION   = 1010,
    WS_CODE_INTERNAL    = 1011,
};

/* What a side takes from its peer; shared by many parsers. */
typedef struct ws_rules_s {
    uint64_t message_bytes_max; /* of all frames of a message; beyond: 1009 */
    uint64_t frame_bytes_max;   /* of one; beyond: 1009 */
    uint32_t fragments_max;     /* frames of one message; beyond: 1009 */
    uint8_t is_masked;          /* 1: a server, whose peer must mask; 0: a client */
} ws_rules_t;

/* Where a connection stands between two reads. All zero: at its start. */
typedef struct ws_parser_s {
    uint64_t left;          /* payload bytes to come of the frame */
    uint64_t message_bytes; /* of the frames of this message, as announced */
    uint32_t fragments;     /* frames of this message */
    uint32_t mask;          /* turned, so that its lowest byte is for the next one */
    uint8_t head[WS_HEAD_BYTES_MAX];
    uint8_t head_len;       /* bytes of a head that is not whole */
    uint8_t opcode;         /* of the frame */
    uint8_t flags;          /* WS_FLAG_* of ws_frame.c */
    uint8_t message;        /* WS_TEXT or WS_BINARY inside a message, else 0 */
    uint8_t allows_rsv1;    /* set by the user: permessage-deflate was agreed on */
    ws_utf8_t utf8;         /* of an uncompressed text */
} ws_parser_t;

typedef struct ws_piece_s {
    uint8_t opcode;        /* WS_TEXT or WS_BINARY, also for continuations; or a control frame's */
    uint8_t is_first;      /* the first piece of its message, or of its control frame */
    uint8_t is_last;       /* the last one */
    uint8_t is_compressed; /* the message is; its UTF-8 is then the user's to check */
    uint64_t left;         /* bytes of its frame that are still to come */
    char *data;            /* inside the bytes given, unmasked in place */
    size_t len;
} ws_piece_t;

/* Takes bytes of the peer until there is a piece of payload, a frame without payload that matters
 * (a control frame, the end of a message), or nothing more.
 *   data  is unmasked in place
 *   used  out: bytes taken; call again with the rest while it is less than `len`
 * A frame's fault is found at the first byte that shows it; an uncompressed text's fault at the
 * byte of it. Returns 1 with a piece, 0 where more is needed (all is used then), or a close code,
 * negative: 1002, 1007 (no UTF-8) or 1009. The parser is then worthless. */
int ws_parse(ws_parser_t *parser, const ws_rules_t *rules, char *data, size_t len, size_t *used,
             ws_piece_t *piece);

/* The same for a whole message in one frame that is not compressed: the piece is first and last.
 * Returns 1; 0: the bytes begin with anything else, and nothing is used; or a close code,
 * negative. */
int ws_parse_whole(ws_parser_t *parser, const ws_rules_t *rules, char *data, size_t len,
                   size_t *used, ws_piece_t *piece);

/* Whether a message has begun and not ended. */
static inline int ws_parser_in_message(const ws_parser_t *parser) { return parser->message != 0; }

#define WS_HEAD_FIN  0x80
#define WS_HEAD_RSV1 0x40

/* Writes a frame's head to `out` (WS_HEAD_BYTES_MAX bytes).
 *   first  WS_HEAD_FIN and WS_HEAD_RSV1 or 0, and the opcode
 *   mask   4 bytes, written behind the length; NULL: not masked
 * Returns its bytes. */
size_t ws_write_head(uint8_t *out, uint8_t first, uint64_t len, const uint8_t *mask);
/* The bytes it will write. */
static inline size_t ws_head_len(uint64_t len, int is_masked) {
    return (len < 126 ? 2u : len < 65536 ? 4u : 10u) + (is_masked ? 4u : 0u);
}

/* Masks or unmasks (the same thing, section 5.3): dst[i] = src[i] ^ mask[i % 4]; dst may be src. */
void ws_mask(char *dst, const char *src, size_t len, const uint8_t mask[4]);

/* Whether a close code may stand on the wire: 1000..1003, 1007..1014 and 3000..4999. */
int ws_close_code_is_valid(int code);

/* Checks a close frame's payload (section 5.5.1). Returns its code (1005 where it is empty), with
 * the reason in *reason and *reason_len; or, negative, 1002 for a bad code or length, 1007 for a
 * reason that is no UTF-8. */
int ws_parse_close(const char *data, size_t len, const char **reason, size_t *reason_len);

/* Writes a close frame's payload to `out` (WS_CONTROL_BYTES_MAX bytes). A reason that is too long
 * is cut between two characters. 1005: nothing is written. Returns its bytes. */
size_t ws_write_close(char *out, int code, const char *reason, size_t reason_len);

#endif
