/* ws_cases.h - reads spec/wire/ws (its README tells the format): what a peer sends, and what is to
 * come of it, the same for a server and a client. */
#ifndef HV_SPEC_WS_CASES_H_
#define HV_SPEC_WS_CASES_H_

#include <stddef.h>
#include <stdint.h>

#define WS_CASES_MAX 1000

typedef struct ws_case_s {
    char name[160];      /* "file.txt: words" */
    int line;
    int for_server;      /* the tested side may be a server */
    int for_client;
    int has_rsv1;        /* permessage-deflate was agreed on; see bits */
    int takes_context;   /* the sender keeps its window between messages */
    uint64_t message_max; /* bytes; 0: the default */
    uint64_t frame_max;
    uint32_t fragments_max;
    char *bytes[2];      /* as a client masks them (for a tested server), and as a server sends */
    size_t len[2];
    char *expected;      /* the log: a line an event */
} ws_case_t;

/* Reads every case, sorted by file. Returns their number; ends the process where one is malformed.
 * */
size_t ws_cases_load(ws_case_t cases[WS_CASES_MAX]);
void ws_cases_free(ws_case_t *cases, size_t count);

/* A growing text: what a replay has seen. */
typedef struct ws_log_s {
    char *text;
    size_t len;
    size_t room;
} ws_log_t;

void ws_log_clear(ws_log_t *log);
void ws_log_free(ws_log_t *log);
/* Notes an event: "text", "binary", "ping" or "pong" with its payload; a long one by its length and
 * a checksum, as expectations are. */
void ws_log_payload(ws_log_t *log, const char *what, const void *data, size_t len);
/* Notes "close CODE REASON" or "fail CODE". */
void ws_log_code(ws_log_t *log, const char *what, int code, const void *reason, size_t len);

#endif
