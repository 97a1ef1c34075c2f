/* hresp.h - the protocol of Redis, RESP2 and RESP3: a parser of replies, a writer of commands, and
 * the hash slots of a cluster. Pure functions over bytes, without a loop or memory of their own.
 *
 *     hresp_t parser;
 *     hresp_init(&parser, NULL);
 *     while ((used = hresp_next(&parser, data, len, &token)) > 0) {
 *         data += used, len -= used;                   // token.data points into what was used
 *         build(&token);                               // a scalar, or the head of an aggregate
 *         if (hresp_is_done(&parser)) take_reply();    // the last token of a reply
 *     }
 *     if (used < 0) close_connection(used);            // HV_EPROTO, HV_ELIMIT; else: wait for more
 *
 * A reply is a run of tokens: one for each scalar, and one for the head of each aggregate, whose
 * items follow it. So a reply of any size needs no memory here, and one that arrives in pieces is
 * never parsed twice: what hresp_next has used is over. */
#ifndef HV_RESP_H_
#define HV_RESP_H_

#include "hdef.h"
#include "herr.h"

HV_BEGIN_DECLS

typedef enum {
    HRESP_STRING = 1, /* "+", "$": data, len */
    HRESP_VERBATIM,   /* "=": data, len; format has its three letters ("txt", "mkd") */
    HRESP_ERROR,      /* "-", "!": data, len */
    HRESP_INTEGER,    /* ":": integer */
    HRESP_DOUBLE,     /* ",": number; inf and nan too */
    HRESP_BIG,        /* "(": data, len: decimal digits, with a sign where it is negative */
    HRESP_BOOLEAN,    /* "#": integer is 0 or 1 */
    HRESP_NULL,       /* "_", "$-1", "*-1" */
    HRESP_ARRAY,      /* "*": count items follow */
    HRESP_SET,        /* "~": count items */
    HRESP_MAP,        /* "%": count items: keys and values by turns, twice the pairs */
    HRESP_ATTRIBUTE,  /* "|": as a map; tells of the value that follows, which takes its place */
    HRESP_PUSH,       /* ">": count items; only outside of any aggregate */
    HRESP_CHUNK,      /* ";": data, len: a piece of a string that is sent in pieces */
    HRESP_CHUNKED,    /* "$?": such a string begins; chunks follow up to HRESP_END */
    HRESP_END,        /* ".", ";0": a streamed aggregate or string is over */
} hresp_type_e;

#define HRESP_STREAMED (-1) /* a count: items follow up to HRESP_END */

#define HRESP_DEPTH_MAX 128 /* the most that a depth limit may allow */

/* Limits of what a peer may send; 0 stands for the default. */
typedef struct hresp_limits_s {
    uint64_t bulk_bytes;  /* of one string; default 512 MiB, what a server keeps at most */
    uint64_t reply_bytes; /* of a whole reply as sent; default 1 GiB */
    uint64_t items;       /* of one aggregate, a pair counts as two; default 2^28 */
    uint32_t line_bytes;  /* of a line: simple strings, errors, numbers; default 64 KiB */
    uint32_t depth;       /* of aggregates in aggregates, 1..HRESP_DEPTH_MAX; default 32 */
} hresp_limits_t;

typedef struct hresp_token_s {
    hresp_type_e type;
    uint32_t depth;   /* aggregates that it is in: 0 is the reply itself */
    uint32_t closes;  /* aggregates that end with it, itself where it is empty */
    int64_t integer;
    double number;
    int64_t count;    /* of an aggregate, or HRESP_STREAMED */
    const char *data; /* borrowed: points into the bytes given */
    size_t len;
    char format[4];   /* of HRESP_VERBATIM, NUL-terminated */
} hresp_token_t;

/* The state of a parser, to be kept as long as the stream; no memory beside it. The fields are its
 * own. */
typedef struct hresp_s {
    hresp_limits_t limits;
    uint64_t reply_bytes; /* of the reply at hand, used so far */
    size_t scanned;       /* bytes of an incomplete line that hold no line end */
    size_t wanted;        /* bytes that the token at hand needs, or 0 */
    int error;            /* once it has failed: for ever */
    uint32_t depth;
    uint8_t is_done;      /* the token before was the last of a reply */
    uint8_t is_told_of;   /* an attribute was the token before: a value must follow */
    struct hresp_level_s {
        int64_t left; /* items to come; HRESP_STREAMED */
        uint8_t type;
        uint8_t at_value; /* of a streamed map: the next item is a value */
    } levels[HRESP_DEPTH_MAX];
} hresp_t;

/* Begins a stream. `limits` is copied; NULL for the defaults. A depth beyond HRESP_DEPTH_MAX counts
 * as that. */
HV_EXPORT void hresp_init(hresp_t *parser, const hresp_limits_t *limits);

/* Cuts the next token off `data`. `token` says something only where bytes were used.
 * Returns the bytes used; 0 where the token is not complete (give these bytes again, with more);
 * HV_EPROTO for what is no reply, HV_ELIMIT beyond a limit: then for ever. */
HV_EXPORT long hresp_next(hresp_t *parser, const void *data, size_t len, hresp_token_t *token);

/* Whether the token before was the last of a reply. */
static inline int hresp_is_done(const hresp_t *parser) { return parser->is_done; }

/* After hresp_next has returned 0: how many bytes the token needs in all, or 0 where that is not
 * known yet. What gathers them may make room at once. */
static inline size_t hresp_wanted(const hresp_t *parser) { return parser->wanted; }

/* ---- Commands: arrays of bulk strings ---- */

#define HRESP_HEAD_BYTES 24 /* room that one head takes at most */

/* Writes the head of a command of `count` arguments ("*3\r\n"), or of an argument of `len` bytes
 * ("$5\r\n"), to `out`, which has room for HRESP_HEAD_BYTES. Behind an argument CR LF is due.
 * Returns the bytes written. */
HV_EXPORT size_t hresp_write_command(char *out, size_t count);
HV_EXPORT size_t hresp_write_argument(char *out, size_t len);

/* ---- Clusters ---- */

#define HRESP_SLOTS 16384

/* The hash slot of a key: CRC16 (XMODEM) of it, or of its hash tag, the part between the first '{'
 * and the first '}' behind it, where that is not empty. Source: Redis Cluster specification,
 * "Hash tags". */
HV_EXPORT int hresp_slot(const void *key, size_t len);

HV_END_DECLS

#endif
