/* bench_h1.c - what the pure half of a request costs: find the end of the head, parse it, find its
 * route, write the answer's head. Prints nanoseconds a request, the best of several rounds.
 *
 *   bench_h1 [rounds]      under callgrind: bench_h1 1 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "h1_parse.h"
#include "h1_write.h"

static const h1_limits_t limits = {
    .request_line_bytes_max = 8192, .header_bytes_max = 65536, .header_count_max = 100};

static const struct {
    const char *name;
    const char *request;
} cases[] = {
    {"wrk, 45 bytes", "GET / HTTP/1.1\r\nHost: 127.0.0.1:8080\r\n\r\n"},
    {"curl, 88 bytes", "GET /users/42 HTTP/1.1\r\nHost: localhost:8080\r\n"
                       "User-Agent: curl/7.88.1\r\nAccept: */*\r\n\r\n"},
    {"client, 150 bytes", "GET /static/style.css?v=3 HTTP/1.1\r\nHost: www.example.com\r\n"
                          "User-Agent: bench/1.0\r\nAccept: */*\r\n"
                          "Accept-Encoding: gzip, deflate\r\nConnection: keep-alive\r\n\r\n"},
    {"browser, 620 bytes",
     "GET /api/v1/items?page=2&sort=name HTTP/1.1\r\nHost: www.example.com\r\n"
     "User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:109.0) Gecko/20100101 Firefox/115.0\r\n"
     "Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8\r\n"
     "Accept-Language: en-US,en;q=0.5\r\nAccept-Encoding: gzip, deflate, br\r\n"
     "Referer: https://www.example.com/api/v1/items?page=1&sort=name\r\n"
     "Connection: keep-alive\r\nCookie: session=0123456789abcdef0123456789abcdef; theme=dark\r\n"
     "Upgrade-Insecure-Requests: 1\r\nSec-Fetch-Dest: document\r\nSec-Fetch-Mode: navigate\r\n"
     "Sec-Fetch-Site: same-origin\r\n\r\n"},
};

typedef struct bench_s {
    hhttp_router_t *router;
    h1_date_t date;
    const char *request;
    size_t len;
} bench_t;

static double now_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

/* One request, up to and including step `steps`. Returns something that depends on the work. */
static size_t serve(const bench_t *bench, int steps) {
    static char out[1024];
    h1_parser_t parser;
    hhttp_route_match_t match;
    size_t scanned = 0;
    long block_len = h1_find_head_end(bench->request, bench->len, &scanned, &limits);
    if (block_len != (long)bench->len) abort();
    if (steps == 1) return (size_t)block_len;
    if (h1_parse_head(&parser, bench->request, (size_t)block_len, &limits) != 0) abort();
    if (steps == 2) return parser.head.path.len;
    hhttp_slice_t path = parser.head.path;
    if (hhttp_router_match(bench->router, parser.head.method, path.data, path.len, &match) != 0) {
        abort();
    }
    if (steps == 3) return match.route;
    h1_response_t response = {
        .status = 200,
        .content_type = {"text/plain", 10},
        .date = &bench->date,
        .framing = H1_FRAME_LENGTH,
        .content_length = 12,
        .send_connection_close = !parser.head.keep_alive,
    };
    if (h1_head_bytes_max(&response) > sizeof out) abort();
    return h1_write_head(&response, out);
}

static double measure(const bench_t *bench, int steps, int rounds) {
    enum { REQUESTS = 200000 };
    double best = 0;
    volatile size_t sink = 0;
    for (int round = 0; round < rounds; round++) {
        double start = now_ns();
        for (int i = 0; i < REQUESTS; i++)
            sink = sink + serve(bench, steps);
        double each = (now_ns() - start) / REQUESTS;
        if (round == 0 || each < best) best = each;
    }
    return best;
}

int main(int argc, char **argv) {
    int rounds = argc > 1 ? atoi(argv[1]) : 10;
    static const char *const patterns[] = {
        "/", "/users/:id", "/users/me", "/static/*path", "/api/v1/items", "/api/v1/items/:id",
    };
    bench_t bench = {.router = hhttp_router_new()};
    for (unsigned i = 0; i < sizeof patterns / sizeof patterns[0]; i++) {
        hhttp_router_add(bench.router, HHTTP_GET, patterns[i], strlen(patterns[i]), i);
    }
    h1_date_update(&bench.date, 784111777);
    printf("%-20s %8s %8s %8s %8s   ns, cumulative\n", "request", "end", "parse", "route", "write");
    for (unsigned i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        bench.request = cases[i].request;
        bench.len = strlen(cases[i].request);
        printf("%-20s", cases[i].name);
        for (int steps = 1; steps <= 4; steps++)
            printf(" %8.1f", measure(&bench, steps, rounds));
        printf("\n");
    }
    hhttp_router_free(bench.router);
    return 0;
}
