/* test_ws_handshake.c - what servers and clients take for an opening handshake: RFC 6455 section 4,
 * RFC 7692 section 7; and URLs of ws and wss. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "ws_handshake.h"

#define KEY "dGhlIHNhbXBsZSBub25jZQ=="

static const ws_deflate_params_t willing = {1, 1, 1, 15, 15};
static const ws_deflate_params_t keeping = {1, 0, 0, 15, 15};
static const ws_deflate_params_t small_windows = {1, 0, 0, 10, 9};

/* Adds the lines of "Name: value\n...". */
static void add_lines(ws_hello_t *hello, const char *lines) {
    while (*lines != '\0') {
        const char *colon = strchr(lines, ':'), *end = strchr(lines, '\n');
        ws_hello_add(hello, (hstr_t){lines, (size_t)(colon - lines)},
                     hstr_trim((hstr_t){colon + 1, (size_t)(end - colon) - 1}));
        lines = end + 1;
    }
}

/* ---- Requests ---- */

#define GOOD     "Upgrade: websocket\nConnection: Upgrade\nSec-WebSocket-Version: 13\n"
#define GOOD_KEY GOOD "Sec-WebSocket-Key: " KEY "\n"

static const struct {
    int status;
    const char *lines;
    const char *protocols; /* the server's */
    const char *origins;
    const char *chosen; /* the subprotocol, or NULL */
} requests[] = {
    {101, GOOD_KEY, NULL, NULL, NULL},
    {101,
     "upgrade: WebSocket\nconnection: keep-alive, UPGRADE\nsec-websocket-version: 13\n"
     "SEC-WEBSOCKET-KEY:   " KEY "  \n",
     NULL, NULL, NULL},
    {101, GOOD_KEY "Upgrade: h2c\n", NULL, NULL, NULL},
    {101,
     "Upgrade: h2c, websocket\nConnection: Upgrade\nConnection: keep-alive\n"
     "Sec-WebSocket-Version: 13\nSec-WebSocket-Key: " KEY "\n",
     NULL, NULL, NULL},
    {426, "Connection: Upgrade\nSec-WebSocket-Version: 13\nSec-WebSocket-Key: " KEY "\n", NULL,
     NULL, NULL},
    {400, "Upgrade: websocket\nSec-WebSocket-Version: 13\nSec-WebSocket-Key: " KEY "\n", NULL, NULL,
     NULL},
    {426,
     "Upgrade: websockets\nConnection: Upgrade\nSec-WebSocket-Version: 13\n"
     "Sec-WebSocket-Key: " KEY "\n",
     NULL, NULL, NULL},
    {400,
     "Upgrade: websocket\nConnection: close\nSec-WebSocket-Version: 13\n"
     "Sec-WebSocket-Key: " KEY "\n",
     NULL, NULL, NULL},
    {400, "Upgrade: websocket\nConnection: Upgrade\nSec-WebSocket-Key: " KEY "\n", NULL, NULL,
     NULL},
    {426,
     "Upgrade: websocket\nConnection: Upgrade\nSec-WebSocket-Version: 8\n"
     "Sec-WebSocket-Key: " KEY "\n",
     NULL, NULL, NULL},
    {426,
     "Upgrade: websocket\nConnection: Upgrade\nSec-WebSocket-Version: 13, 8\n"
     "Sec-WebSocket-Key: " KEY "\n",
     NULL, NULL, NULL},
    {400, GOOD_KEY "Sec-WebSocket-Version: 13\n", NULL, NULL, NULL},
    /* Keys (section 4.1, 4.2.1). */
    {400, GOOD, NULL, NULL, NULL},
    {400, GOOD_KEY "Sec-WebSocket-Key: " KEY "\n", NULL, NULL, NULL},
    {400, GOOD "Sec-WebSocket-Key: \n", NULL, NULL, NULL},
    {400, GOOD "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ\n", NULL, NULL, NULL},
    {400, GOOD "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZ!==\n", NULL, NULL, NULL},
    {400, GOOD "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQAA\n", NULL, NULL, NULL},
    {400, GOOD "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZSE=\n", NULL, NULL, NULL},
    /* Subprotocols (section 4.2.2): the server's order counts. */
    {101, GOOD_KEY "Sec-WebSocket-Protocol: chat\n", "chat", NULL, "chat"},
    {101, GOOD_KEY "Sec-WebSocket-Protocol: superchat, chat\n", "chat, superchat", NULL, "chat"},
    {101, GOOD_KEY "Sec-WebSocket-Protocol: a\nSec-WebSocket-Protocol: b\n", "b", NULL, "b"},
    {101, GOOD_KEY "Sec-WebSocket-Protocol: Chat\n", "chat", NULL, NULL},
    {101, GOOD_KEY "Sec-WebSocket-Protocol: chat\n", NULL, NULL, NULL},
    {101, GOOD_KEY, "chat", NULL, NULL},
    {400, GOOD_KEY "Sec-WebSocket-Protocol: ch at\n", "chat", NULL, NULL},
    {400, GOOD_KEY "Sec-WebSocket-Protocol: chat, chat\n", "chat", NULL, NULL},
    {400, GOOD_KEY "Sec-WebSocket-Protocol: \n", "chat", NULL, NULL},
    {400, GOOD_KEY "Sec-WebSocket-Protocol: a(b)\n", NULL, NULL, NULL},
    /* Origins (section 4.2.2, 10.2). */
    {101, GOOD_KEY "Origin: https://a.example\n", NULL, "https://a.example", NULL},
    {101, GOOD_KEY "Origin: https://b.example\n", NULL, "https://a.example, https://b.example",
     NULL},
    {403, GOOD_KEY "Origin: https://evil.example\n", NULL, "https://a.example", NULL},
    {403, GOOD_KEY "Origin: https://a.example.evil\n", NULL, "https://a.example", NULL},
    {403, GOOD_KEY "Origin: null\n", NULL, "https://a.example", NULL},
    {403, GOOD_KEY, NULL, "https://a.example", NULL},
    {403, GOOD_KEY "Origin: https://a.example\nOrigin: https://a.example\n", NULL,
     "https://a.example", NULL},
    {101, GOOD_KEY "Origin: https://anything.example\n", NULL, NULL, NULL},
    /* Extensions (section 9.1): what is no list fails, what nobody knows does not. */
    {101, GOOD_KEY "Sec-WebSocket-Extensions: foo; bar=\"baz\"; x, other\n", NULL, NULL, NULL},
    {400, GOOD_KEY "Sec-WebSocket-Extensions: foo bar\n", NULL, NULL, NULL},
    {400, GOOD_KEY "Sec-WebSocket-Extensions: foo; =1\n", NULL, NULL, NULL},
    {400, GOOD_KEY "Sec-WebSocket-Extensions: foo; a=b c\n", NULL, NULL, NULL},
    {400, GOOD_KEY "Sec-WebSocket-Extensions: foo; a=\"b c\"\n", NULL, NULL, NULL},
    {400, GOOD_KEY "Sec-WebSocket-Extensions: foo;\n", NULL, NULL, NULL},
};

static hstr_t text_or_none(const char *text) {
    return text != NULL ? hstr_from(text) : (hstr_t){NULL, 0};
}

static void test_requests(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof requests / sizeof *requests; i++) {
        ws_hello_t hello = {0};
        ws_terms_t terms = {
            text_or_none(requests[i].protocols), text_or_none(requests[i].origins), {0}};
        ws_agreement_t agreement;
        add_lines(&hello, requests[i].lines);
        int status = ws_check_request(&hello, &terms, &agreement);
        if (status != requests[i].status) print_error("%s", requests[i].lines);
        assert_int_equal(status, requests[i].status);
        if (status != 101) continue;
        hstr_t chosen =
            requests[i].chosen != NULL ? hstr_from(requests[i].chosen) : (hstr_t){"", 0};
        assert_true(hstr_equals(agreement.protocol, chosen));
        assert_false(agreement.deflate.is_on);
    }
}

static void test_more_lines_than_anybody_needs_are_refused(void **state) {
    (void)state;
    ws_hello_t hello = {0};
    ws_agreement_t agreement;
    ws_terms_t terms = {0};
    add_lines(&hello, GOOD_KEY);
    for (int i = 0; i < WS_LINES_MAX; i++)
        add_lines(&hello, "Sec-WebSocket-Extensions: a\n");
    assert_int_equal(ws_check_request(&hello, &terms, &agreement), 101);
    add_lines(&hello, "Sec-WebSocket-Extensions: a\n");
    assert_int_equal(ws_check_request(&hello, &terms, &agreement), 400);
}

/* The example of section 1.3. */
static void test_accept_value_of_the_example(void **state) {
    (void)state;
    char out[WS_ACCEPT_BYTES];
    assert_int_equal(ws_accept_value(hstr_from(KEY), out), 0);
    assert_memory_equal(out, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=", WS_ACCEPT_BYTES);
    assert_int_equal(ws_accept_value(hstr_from("short"), out), HV_EINVAL);
}

/* ---- permessage-deflate: offers, and what a server answers ---- */

static const struct {
    const ws_deflate_params_t *terms;
    const char *offer;
    const char *answer; /* NULL: none */
} offers[] = {
    {&keeping, "permessage-deflate", "permessage-deflate"},
    {&keeping, "PerMessage-Deflate", "permessage-deflate"},
    {&willing, "permessage-deflate",
     "permessage-deflate; server_no_context_takeover; client_no_context_takeover"},
    {&keeping, "permessage-deflate; client_max_window_bits", "permessage-deflate"},
    {&keeping, "permessage-deflate; client_max_window_bits=15", "permessage-deflate"},
    {&keeping, "permessage-deflate; client_max_window_bits=10",
     "permessage-deflate; client_max_window_bits=10"},
    {&keeping, "permessage-deflate; client_max_window_bits=\"10\"",
     "permessage-deflate; client_max_window_bits=10"},
    {&keeping, "permessage-deflate; server_max_window_bits=10",
     "permessage-deflate; server_max_window_bits=10"},
    {&keeping, "permessage-deflate; server_max_window_bits=8",
     "permessage-deflate; server_max_window_bits=8"},
    {&keeping, "permessage-deflate; server_no_context_takeover",
     "permessage-deflate; server_no_context_takeover"},
    {&keeping, "permessage-deflate; client_no_context_takeover",
     "permessage-deflate; client_no_context_takeover"},
    {&keeping, "permessage-deflate ;server_no_context_takeover  ; client_no_context_takeover",
     "permessage-deflate; server_no_context_takeover; client_no_context_takeover"},
    {&small_windows, "permessage-deflate; client_max_window_bits",
     "permessage-deflate; server_max_window_bits=10; client_max_window_bits=9"},
    {&small_windows, "permessage-deflate; client_max_window_bits=8; server_max_window_bits=9",
     "permessage-deflate; server_max_window_bits=9; client_max_window_bits=8"},
    /* A client that cannot be told to use a small window is declined where one is wanted. */
    {&small_windows, "permessage-deflate", NULL},
    {&small_windows, "permessage-deflate, permessage-deflate; client_max_window_bits",
     "permessage-deflate; server_max_window_bits=10; client_max_window_bits=9"},
    /* Bad parameters decline an offer, and the next is looked at (section 7.1). */
    {&keeping, "permessage-deflate; server_max_window_bits=7", NULL},
    {&keeping, "permessage-deflate; server_max_window_bits=16", NULL},
    {&keeping, "permessage-deflate; server_max_window_bits=08", NULL},
    {&keeping, "permessage-deflate; server_max_window_bits=+9", NULL},
    {&keeping, "permessage-deflate; server_max_window_bits", NULL},
    {&keeping, "permessage-deflate; client_max_window_bits=7", NULL},
    {&keeping, "permessage-deflate; client_max_window_bits=99999999999999999999", NULL},
    {&keeping, "permessage-deflate; server_no_context_takeover=1", NULL},
    {&keeping, "permessage-deflate; client_no_context_takeover=true", NULL},
    {&keeping, "permessage-deflate; unknown", NULL},
    {&keeping, "permessage-deflate; unknown=1", NULL},
    {&keeping, "permessage-deflate; server_no_context_takeover; server_no_context_takeover", NULL},
    {&keeping, "permessage-deflate; server_max_window_bits=9; server_max_window_bits=9", NULL},
    {&keeping, "permessage-deflate; client_max_window_bits; client_max_window_bits=9", NULL},
    {&keeping, "permessage-deflate; unknown, permessage-deflate", "permessage-deflate"},
    {&keeping, "permessage-deflate; server_max_window_bits=9, permessage-deflate",
     "permessage-deflate; server_max_window_bits=9"},
    {&keeping, "x-webkit-deflate-frame, permessage-deflate", "permessage-deflate"},
    {&keeping, "permessage-bzip2", NULL},
    {&keeping, "", NULL},
};

static void test_offers_of_deflate(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof offers / sizeof *offers; i++) {
        ws_hello_t hello = {0};
        ws_terms_t terms = {.deflate = *offers[i].terms};
        ws_agreement_t agreement;
        add_lines(&hello, GOOD_KEY);
        ws_hello_add(&hello, hstr_from("Sec-WebSocket-Extensions"), hstr_from(offers[i].offer));
        assert_int_equal(ws_check_request(&hello, &terms, &agreement), 101);
        char answer[WS_DEFLATE_TEXT_MAX] = "";
        if (agreement.deflate.is_on) {
            ws_write_deflate_answer(&agreement.deflate, agreement.deflate.client_bits < 15, answer);
        }
        if (strcmp(answer, offers[i].answer ? offers[i].answer : "") != 0) {
            print_error("%s\n", offers[i].offer);
        }
        assert_string_equal(answer, offers[i].answer ? offers[i].answer : "");
    }
}

/* ---- Answers ---- */

#define ACCEPT "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
#define HEAD   "HTTP/1.1 101 Switching Protocols\r\n"
#define LINES  "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: " ACCEPT "\r\n"

static const struct {
    const char *head;
    const char *problem; /* part of the words; NULL: good */
} answers[] = {
    {HEAD LINES "\r\n", NULL},
    {"HTTP/1.1 101\r\n" LINES "\r\n", NULL},
    {HEAD "upgrade: WEBSOCKET\r\nconnection: upgrade\r\nsec-websocket-accept:" ACCEPT "\r\n\r\n",
     NULL},
    {HEAD LINES "Server: x\r\nX-Empty:\r\n\r\n", NULL},
    {HEAD "Connection: Upgrade\r\nSec-WebSocket-Accept: " ACCEPT "\r\n\r\n", "no Upgrade"},
    {HEAD "Upgrade: websocket\r\nSec-WebSocket-Accept: " ACCEPT "\r\n\r\n", "no Connection"},
    {HEAD "Upgrade: websocket\r\nConnection: Upgrade\r\n\r\n", "wrong Sec-WebSocket-Accept"},
    {HEAD "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: "
          "S3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n",
     "wrong Sec-WebSocket-Accept"},
    {HEAD LINES "Sec-WebSocket-Accept: " ACCEPT "\r\n\r\n", "wrong Sec-WebSocket-Accept"},
    {HEAD LINES "Sec-WebSocket-Protocol: mqtt\r\n\r\n", NULL},
    {HEAD LINES "Sec-WebSocket-Protocol: chat\r\n\r\n", "subprotocol"},
    {HEAD LINES "Sec-WebSocket-Protocol: mqtt, mqttv3.1\r\n\r\n", "subprotocol"},
    {HEAD LINES "Sec-WebSocket-Protocol: mqtt\r\nSec-WebSocket-Protocol: mqtt\r\n\r\n",
     "more than one"},
    {HEAD LINES "Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n", NULL},
    {HEAD LINES "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits=10\r\n\r\n",
     NULL},
    {HEAD LINES "Sec-WebSocket-Extensions: permessage-deflate; server_max_window_bits=8;"
                " server_no_context_takeover; client_no_context_takeover\r\n\r\n",
     NULL},
    {HEAD LINES "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n\r\n",
     "value"},
    {HEAD LINES "Sec-WebSocket-Extensions: permessage-deflate; server_max_window_bits=16\r\n\r\n",
     "parameters"},
    {HEAD LINES "Sec-WebSocket-Extensions: permessage-deflate; foo\r\n\r\n", "parameters"},
    {HEAD LINES "Sec-WebSocket-Extensions: permessage-deflate, permessage-deflate\r\n\r\n",
     "twice"},
    {HEAD LINES "Sec-WebSocket-Extensions: foo\r\n\r\n", "nobody asked for"},
    {HEAD LINES "Sec-WebSocket-Extensions: foo bar\r\n\r\n", "bad Sec-WebSocket-Extensions"},
};

static void test_answers(void **state) {
    (void)state;
    const ws_request_t request = {hstr_from(KEY), hstr_from("mqtt, mqttv3.1"), keeping};
    for (size_t i = 0; i < sizeof answers / sizeof *answers; i++) {
        const char *head = answers[i].head;
        ws_hello_t hello = {0};
        ws_agreement_t agreement;
        assert_int_equal(ws_parse_answer(head, strlen(head), &hello), 101);
        const char *problem = ws_check_answer(&hello, &request, &agreement);
        if (answers[i].problem == NULL) {
            if (problem != NULL) print_error("%s%s\n", head, problem);
            assert_null(problem);
        } else {
            if (problem == NULL) print_error("%s", head);
            assert_non_null(problem);
            assert_non_null(strstr(problem, answers[i].problem));
        }
    }
}

static void test_answers_to_an_offer_with_demands(void **state) {
    (void)state;
    static const struct {
        const char *lines;
        int is_good;
    } table[] = {
        {"permessage-deflate", 0},
        {"permessage-deflate; server_no_context_takeover", 0},
        {"permessage-deflate; server_max_window_bits=10", 0},
        {"permessage-deflate; server_no_context_takeover; server_max_window_bits=11", 0},
        {"permessage-deflate; server_no_context_takeover; server_max_window_bits=10", 1},
        {"permessage-deflate; server_no_context_takeover; server_max_window_bits=9", 1},
    };
    const ws_request_t request = {hstr_from(KEY), {NULL, 0}, {1, 1, 0, 10, 15}};
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        ws_hello_t hello = {0};
        ws_agreement_t agreement;
        add_lines(&hello,
                  "Upgrade: websocket\nConnection: Upgrade\nSec-WebSocket-Accept: " ACCEPT "\n");
        ws_hello_add(&hello, hstr_from("sec-websocket-extensions"), hstr_from(table[i].lines));
        assert_int_equal(ws_check_answer(&hello, &request, &agreement) == NULL, table[i].is_good);
    }
}

static void test_answers_that_are_no_http(void **state) {
    (void)state;
    static const struct {
        const char *head;
        int status;
    } table[] = {
        {"HTTP/1.1 200 OK\r\n\r\n", 200},
        {"HTTP/1.0 404 Not Found\r\nA: b\r\n\r\n", 404},
        {"HTTP/1.1 302 Found\r\nLocation: /x\r\n\r\n", 302},
        {"HTTP/2 200 OK\r\n\r\n", HV_EPROTO},
        {"HTTP/1.1 20 OK\r\n\r\n", HV_EPROTO},
        {"HTTP/1.1 2000 OK\r\n\r\n", HV_EPROTO},
        {"HTTP/1.1 099 OK\r\n\r\n", HV_EPROTO},
        {"HTTP/1.1  200 OK\r\n\r\n", HV_EPROTO},
        {"SSH-2.0-x\r\n\r\n", HV_EPROTO},
        {"\r\n\r\n", HV_EPROTO},
        {"HTTP/1.1 101 x\r\nno colon\r\n\r\n", HV_EPROTO},
        {"HTTP/1.1 101 x\r\nbad name: x\r\n\r\n", HV_EPROTO},
        {"HTTP/1.1 101 x\r\nname : x\r\n\r\n", HV_EPROTO},
        {"HTTP/1.1 101 x\r\n folded: x\r\n\r\n", HV_EPROTO},
        {"HTTP/1.1 101 x\r\n: x\r\n\r\n", HV_EPROTO},
        {"HTTP/1.1 101 x\r\nA: b\x01\r\n\r\n", HV_EPROTO},
        {"HTTP/1.1 101 x\r\nA: b\nC: d\r\n\r\n", HV_EPROTO},
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        ws_hello_t hello = {0};
        int status = ws_parse_answer(table[i].head, strlen(table[i].head), &hello);
        if (status != table[i].status) print_error("%s", table[i].head);
        assert_int_equal(status, table[i].status);
    }
}

static void test_end_of_head_is_found_at_every_cut(void **state) {
    (void)state;
    static const char head[] = "HTTP/1.1 101 x\r\nA: b\r\n\r\n\x81\x00";
    size_t whole = sizeof head - 3;
    for (size_t cut = 0; cut < whole; cut++) {
        size_t scanned = 0;
        assert_int_equal(ws_find_head_end(head, cut, &scanned), 0);
        assert_int_equal(ws_find_head_end(head, sizeof head - 1, &scanned), whole);
    }
}

/* ---- Offers, URLs, lists ---- */

static void test_offers_written(void **state) {
    (void)state;
    char out[WS_DEFLATE_TEXT_MAX];
    ws_write_deflate_offer(&keeping, out);
    assert_string_equal(out, "permessage-deflate; client_max_window_bits");
    ws_write_deflate_offer(&small_windows, out);
    assert_string_equal(out,
                        "permessage-deflate; server_max_window_bits=10; client_max_window_bits=9");
    const ws_deflate_params_t longest = {1, 1, 1, 10, 15};
    size_t len = ws_write_deflate_offer(&longest, out);
    assert_string_equal(out, "permessage-deflate; server_no_context_takeover; "
                             "client_no_context_takeover; server_max_window_bits=10; "
                             "client_max_window_bits");
    assert_int_equal(len, strlen(out));
}

static void test_urls(void **state) {
    (void)state;
    static const struct {
        const char *url, *host, *authority, *target;
        int port, is_secure, needs_slash;
    } good[] = {
        {"ws://a", "a", "a", "", 80, 0, 1},
        {"wss://a/", "a", "a", "/", 443, 1, 0},
        {"WS://a.example:8080/x/y?z=1", "a.example", "a.example:8080", "/x/y?z=1", 8080, 0, 0},
        {"ws://a?q", "a", "a", "?q", 80, 0, 1},
        {"ws://127.0.0.1:1/", "127.0.0.1", "127.0.0.1:1", "/", 1, 0, 0},
        {"wss://[::1]/x", "::1", "[::1]", "/x", 443, 1, 0},
        {"ws://[::1]:65535", "::1", "[::1]:65535", "", 65535, 0, 1},
    };
    static const char *const bad[] = {
        "",
        "ws:",
        "ws://",
        "ws:///x",
        "http://a",
        "wsss://a",
        "ws://a#f",
        "ws://a b",
        "ws://a\r\n",
        "ws://u@a",
        "ws://u:p@a",
        "ws://a:",
        "ws://a:0",
        "ws://a:65536",
        "ws://a:x",
        "ws://:80",
        "ws://[::1",
        "ws://[]",
        "ws://[::1]x",
        "ws://[::1]:",
        "ws://a/\x7f",
        "ws://\xc3\xa4",
    };
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        ws_url_t parts;
        assert_int_equal(ws_parse_url(hstr_from(good[i].url), &parts), 0);
        assert_true(hstr_equals(parts.host, hstr_from(good[i].host)));
        assert_true(hstr_equals(parts.authority, hstr_from(good[i].authority)));
        assert_true(hstr_equals(parts.target, hstr_from(good[i].target)));
        assert_int_equal(parts.port, good[i].port);
        assert_int_equal(parts.is_secure, good[i].is_secure);
        assert_int_equal(parts.needs_slash, good[i].needs_slash);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        ws_url_t parts;
        if (ws_parse_url(hstr_from(bad[i]), &parts) == 0) print_error("%s\n", bad[i]);
        assert_int_equal(ws_parse_url(hstr_from(bad[i]), &parts), HV_EINVAL);
    }
}

static void test_lists_of_protocols(void **state) {
    (void)state;
    static const char *const good[] = {"a", "a, b", "a,b , c", "mqttv3.1"};
    static const char *const bad[] = {"", ",", "a b", "a, a", "a;b", "a\"b", "\xc3\xa4"};
    for (size_t i = 0; i < 4; i++)
        assert_true(ws_protocols_are_valid(hstr_from(good[i])));
    for (size_t i = 0; i < 7; i++)
        assert_false(ws_protocols_are_valid(hstr_from(bad[i])));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_requests),
        cmocka_unit_test(test_more_lines_than_anybody_needs_are_refused),
        cmocka_unit_test(test_accept_value_of_the_example),
        cmocka_unit_test(test_offers_of_deflate),
        cmocka_unit_test(test_answers),
        cmocka_unit_test(test_answers_to_an_offer_with_demands),
        cmocka_unit_test(test_answers_that_are_no_http),
        cmocka_unit_test(test_end_of_head_is_found_at_every_cut),
        cmocka_unit_test(test_offers_written),
        cmocka_unit_test(test_urls),
        cmocka_unit_test(test_lists_of_protocols),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
