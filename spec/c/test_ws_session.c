/* test_ws_session.c - whole sockets over a pair of connected ends: replays spec/wire/ws as a server
 * and as a client, whole, cut at every point and byte by byte, and looks at what is sent back. */
#include "loop_test.h"

#include <stdio.h>
#include <stdlib.h>

#include "ws_cases.h"
#include "ws_int.h"

#define SENTINEL "@end"

#ifdef HV_HOSTILE
#define CUT_STEP 1000000 /* none: every read is of one byte anyway */
#else
#define CUT_STEP 1
#endif

static ws_case_t cases[WS_CASES_MAX];
static size_t case_count;

typedef struct peer_s {
    hio_t *io;
    hbuf_t got; /* what the socket has sent */
} peer_t;

static hloop_t *loop;
static hws_hub_t *hub;
static ws_log_t events;
static int is_over;      /* on_close was called */
static int is_at_end;    /* the sentinel has come */
static int is_abandoned; /* by the test: on_close is no event */
static int takes_next;   /* on_message takes the messages behind its own too */
static size_t taken;     /* by it */
static peer_t peer;

/* ---- The socket's side ---- */

static void on_message(hws_t *ws, hws_kind_e kind, const void *data, size_t len) {
    do {
        ws_log_payload(&events, kind == HWS_TEXT ? "text" : "binary", data, len);
    } while (takes_next && hws_next(ws, &kind, &data, &len) && ++taken);
}

static void on_ping(hws_t *ws, const void *data, size_t len) {
    (void)ws;
    if (len == 4 && memcmp(data, SENTINEL, 4) == 0) {
        is_at_end = 1;
    } else {
        ws_log_payload(&events, "ping", data, len);
    }
}

static void on_pong(hws_t *ws, const void *data, size_t len) {
    (void)ws;
    ws_log_payload(&events, "pong", data, len);
}

static void on_close(hws_t *ws) {
    const char *reason = hws_close_reason(ws);
    is_over = 1;
    if (is_abandoned) return;
    int has_failed = hws_error(ws) != 0;
    ws_log_code(&events, has_failed ? "fail" : "close", hws_close_code(ws), reason, strlen(reason));
}

static const hws_handlers_t handlers = {
    .on_message = on_message, .on_ping = on_ping, .on_pong = on_pong, .on_close = on_close};

/* ---- The peer's side ---- */

/* What it does when it has got a close frame. */
static void on_peer_read(hio_t *io, void *buf, int len) {
    assert_int_equal(hbuf_append(&peer.got, buf, (size_t)len, 1 << 28), 0);
    (void)io;
}

static void on_peer_close(hio_t *io) {
    (void)io;
    peer.io = NULL;
}

static void log_sent(ws_log_t *log, uint8_t opcode, const char *data, size_t len) {
    const char *reason;
    size_t reason_len;
    if (opcode == WS_CLOSE) {
        ws_log_code(log, "close", ws_parse_close(data, len, &reason, &reason_len), NULL, 0);
    } else {
        assert_int_equal(opcode, WS_PONG);
        if (len != 4 || memcmp(data, SENTINEL, 4) != 0) ws_log_payload(log, "pong", data, len);
    }
}

/* The frames that the socket has sent so far: pongs and a close frame, as text. */
static void read_sent(ws_log_t *log, int is_server) {
    ws_parser_t parser = {0};
    ws_rules_t rules = {UINT64_MAX, UINT64_MAX, UINT32_MAX, (uint8_t)!is_server};
    char data[8192], control[WS_CONTROL_BYTES_MAX]; /* a copy: it is unmasked in place */
    size_t len = hbuf_len(&peer.got), at = 0, control_len = 0;
    assert_true(len <= sizeof data);
    if (len > 0) memcpy(data, hbuf_data(&peer.got), len);
    ws_log_clear(log);
    while (at < len) {
        size_t used;
        ws_piece_t piece;
        int code = ws_parse(&parser, &rules, data + at, len - at, &used, &piece);
        assert_true(code >= 0);
        at += used;
        if (code == 0) break;
        if (piece.is_first) control_len = 0;
        memcpy(control + control_len, piece.data, piece.len);
        control_len += piece.len;
        if (piece.is_last) log_sent(log, piece.opcode, control, control_len);
    }
}

/* What it must have sent: a pong for each ping, and a close frame with the code, at the end. */
static void expect_sent(const ws_case_t *wire, ws_log_t *log) {
    ws_log_clear(log);
    for (const char *line = wire->expected; *line != '\0';) {
        const char *end = strchr(line, '\n');
        char text[1024];
        snprintf(text, sizeof text, "%.*s", (int)(end - line), line);
        if (strncmp(text, "ping", 4) == 0) {
            text[1] = 'o';
            log->text = realloc(log->text, log->len + strlen(text) + 2);
            log->room = log->len + strlen(text) + 2;
            log->len += (size_t)sprintf(log->text + log->len, "%s\n", text);
        } else if (strncmp(text, "fail", 4) == 0 || strncmp(text, "close", 5) == 0) {
            ws_log_code(log, "close", atoi(strchr(text, ' ')), NULL, 0);
        }
        line = end + 1;
    }
}

/* ---- Replaying ---- */

static void begin(hws_endpoint_t *endpoint, const ws_case_t *wire, int is_server, hws_t **ws) {
    hio_t *ends[2];
    ws_agreement_t agreement = {0};
    assert_int_equal(hio_create_pipe(loop, ends), 0);
    agreement.deflate = (ws_deflate_params_t){(uint8_t)wire->has_rsv1, !wire->takes_context,
                                              !wire->takes_context, 15, 15};
    is_over = is_at_end = is_abandoned = 0;
    ws_log_clear(&events);
    hbuf_deinit(&peer.got);
    peer.io = ends[1];
    hio_setcb_read(ends[1], on_peer_read);
    hio_setcb_close(ends[1], on_peer_close);
    hio_read(ends[1]);
    *ws = hv__ws_new(endpoint, NULL);
    if (!is_server) (*ws)->flags |= WSF_CLIENT;
    hv__ws_open(*ws, ends[0], &agreement);
}

static void send_all(const char *data, size_t len) {
    if (peer.io != NULL && len > 0) hio_write(peer.io, data, len);
}

/* Whether the peer has got a close frame: it then ends the connection. */
static int is_closed_to(const ws_case_t *wire) {
    return strstr(wire->expected, "close ") != NULL || strstr(wire->expected, "fail ") != NULL;
}

static void end(const ws_case_t *wire, hws_t *ws, int is_server) {
    static const char sentinel[2][11] = {"\x89\x84\0\0\0\0" SENTINEL, "\x89\x04" SENTINEL};
    if (is_closed_to(wire)) {
        ws_log_t expected = {0}, sent = {0};
        /* Until the close frame is there; then the peer goes. */
        expect_sent(wire, &expected);
        int passes = 0;
        do {
            assert_true(passes++ < 100000);
            assert_true(hloop_process_events(loop, 0) >= 0);
            read_sent(&sent, is_server);
        } while (strcmp(sent.text, expected.text) != 0 && passes < 50000 && peer.io != NULL);
        if (strcmp(sent.text, expected.text) != 0) {
            print_error("%s (line %d)\n--- to be sent\n%s--- sent\n%s", wire->name, wire->line,
                        expected.text, sent.text);
            fail();
        }
        if (peer.io != NULL) hio_close(peer.io);
        RUN_UNTIL(loop, is_over && peer.io == NULL);
        ws_log_free(&expected);
        ws_log_free(&sent);
        return;
    }
    send_all(sentinel[!is_server], is_server ? 10 : 6);
    RUN_UNTIL(loop, is_at_end || is_over);
    if (!is_over) {
        is_abandoned = 1;
        hws_abort(ws);
    }
    RUN_UNTIL(loop, is_over);
    if (peer.io != NULL) hio_close(peer.io);
    RUN_UNTIL(loop, peer.io == NULL);
}

static void compare(const ws_case_t *wire, int is_server, size_t cut) {
    if (strcmp(events.text, wire->expected) == 0) return;
    print_error("%s (line %d), %s, cut at %zu\n--- expected\n%s--- got\n%s", wire->name, wire->line,
                is_server ? "server" : "client", cut, wire->expected, events.text);
    fail();
}

static int passes_for(size_t len) {
#ifdef HV_HOSTILE
    return (int)len + 3;
#else
    (void)len;
    return 3;
#endif
}

static void replay_cut(hws_endpoint_t *endpoint, const ws_case_t *wire, int is_server, size_t cut) {
    int side = is_server ? 0 : 1;
    hws_t *ws;
    begin(endpoint, wire, is_server, &ws);
    send_all(wire->bytes[side], cut);
    if (cut < wire->len[side]) RUN_PASSES(loop, passes_for(cut));
    send_all(wire->bytes[side] + cut, wire->len[side] - cut);
    end(wire, ws, is_server);
    compare(wire, is_server, cut);
}

static void replay_bytewise(hws_endpoint_t *endpoint, const ws_case_t *wire, int is_server) {
    int side = is_server ? 0 : 1;
    hws_t *ws;
    begin(endpoint, wire, is_server, &ws);
    for (size_t at = 0; at < wire->len[side]; at++) {
        send_all(wire->bytes[side] + at, 1);
        RUN_PASSES(loop, 2);
    }
    end(wire, ws, is_server);
    compare(wire, is_server, 1);
}

static void replay_side(const ws_case_t *wire, int is_server) {
    hws_options_t options = {
        .message_bytes_max = wire->message_max,
        .frame_bytes_max = wire->frame_max,
        .fragments_max = wire->fragments_max,
    };
    size_t len = wire->len[is_server ? 0 : 1];
    hub = hws_hub_new(loop);
    hws_endpoint_t *endpoint = hws_endpoint_new(hub, &options, &handlers);
    assert_non_null(endpoint);
    takes_next = 1;
    replay_cut(endpoint, wire, is_server, len);
    takes_next = 0;
    replay_cut(endpoint, wire, is_server, len);
    for (size_t cut = CUT_STEP; cut < len; cut += CUT_STEP) {
        if (len > 400 && cut >= 60 && cut < len - 30) cut = len - 30;
        takes_next = cut & 1;
        replay_cut(endpoint, wire, is_server, cut);
    }
    takes_next = 0;
    if (len < 2000 && CUT_STEP == 1) replay_bytewise(endpoint, wire, is_server);
    assert_int_equal(hws_hub_count(hub), 0);
    hws_hub_free(hub);
}

static void test_cases_replayed_at_every_cut_give_what_they_say(void **state) {
    (void)state;
    size_t before = hv__mem_live_blocks();
    loop = hloop_new(HLOOP_FLAG_RUN_ONCE);
    for (size_t i = 0; i < case_count; i++) {
        if (cases[i].for_server) replay_side(&cases[i], 1);
        if (cases[i].for_client) replay_side(&cases[i], 0);
    }
    hbuf_deinit(&peer.got);
    free_loop(loop, before);
    ws_log_free(&events);
    assert_true(case_count >= 500);
    assert_true(taken > 0 || CUT_STEP != 1);
}

static int load(void **state) {
    (void)state;
    case_count = ws_cases_load(cases);
    return 0;
}

static int unload(void **state) {
    (void)state;
    ws_cases_free(cases, case_count);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cases_replayed_at_every_cut_give_what_they_say),
    };
    return cmocka_run_group_tests(tests, load, unload);
}
