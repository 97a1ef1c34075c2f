/* netload.c - closed-loop load client for one CPU: TCP ping-pong, HTTP/1.1 keep-alive (pipelined
 * or not), WebSocket echo, short connections, and idle connections. One JSON line on stdout.
 *
 *   netload --mode tcp|http|ws|conn|idle --port P [--conns N] [--size BYTES] [--depth D]
 *           [--secs S] [--warm S] [--path /x] [--header "Name: value"]... [--pid P1,P2]
 *           [--ops MAX] [--hold S]
 *
 * The cost per operation is kept low on purpose: one read and one write per batch, and HTTP
 * responses are counted by length (the first one is parsed, later ones must be equally long and
 * start with "HTTP/1.1 2"). With --pid, server CPU time is read at the edges of the window.
 */
#include "common.h"
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/socket.h>

enum { M_TCP, M_HTTP, M_WS, M_CONN, M_IDLE };

typedef struct {
    int fd;
    int phase;         /* 0 connecting, 1 ws handshake, 2 running */
    uint32_t want_out; /* EPOLLOUT armed */
    size_t sent;       /* bytes of the current batch written */
    size_t got;        /* bytes of the current batch received */
    uint64_t t0;
} conn_t;

static int mode = M_TCP, port = 0, nconn = 1, depth = 1, size_ = 64, hold = 0;
static double secs = 3, warm = 0.3;
static long max_ops = 0;
static char headers[2048]; /* of HTTP requests, each ended by CRLF */
static const char *path = "/", *pids = NULL, *host = "127.0.0.1";
static char *batch;
static size_t batch_len;            /* what one batch sends */
static size_t unit_len, expect_len; /* one reply, one batch of replies */
static char rbuf[1 << 18];
static int ep;
static hist_t hist;
static uint64_t ops, bytes_in, errors;
static int measuring;

static void die(const char *m) {
    fprintf(stderr, "netload: %s: %s\n", m, strerror(errno));
    exit(1);
}

static int dial(int idx, int nonblock) {
    int fd = socket(AF_INET, SOCK_STREAM | (nonblock ? SOCK_NONBLOCK : 0) | SOCK_CLOEXEC, 0);
    if (fd < 0) die("socket");
    int one = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (idx >= 20000 || mode == M_CONN) { /* spread over source addresses of 127/8 */
        struct sockaddr_in s = {.sin_family = AF_INET};
        s.sin_addr.s_addr = htonl(0x7f000002u + (uint32_t)(idx % 100));
        setsockopt(fd, IPPROTO_IP, 24 /* IP_BIND_ADDRESS_NO_PORT */, &one, sizeof one);
        if (bind(fd, (struct sockaddr *)&s, sizeof s)) die("bind");
    }
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    inet_pton(AF_INET, host, &a.sin_addr);
    if (connect(fd, (struct sockaddr *)&a, sizeof a) && errno != EINPROGRESS) die("connect");
    return fd;
}

static void send_all(int fd, const char *p, size_t n) {
    while (n) {
        ssize_t w = send(fd, p, n, MSG_NOSIGNAL);
        if (w < 0 && errno == EINTR) continue;
        if (w <= 0) die("send");
        p += w;
        n -= (size_t)w;
    }
}

/* Reads one HTTP response on a blocking socket; returns its full length. */
static size_t read_response(int fd, char *out, size_t cap) {
    size_t n = 0, head = 0;
    long clen = -1;
    int chunked = 0;
    for (;;) {
        if (n + 1 >= cap) die("response too large");
        ssize_t r = recv(fd, out + n, cap - n - 1, 0);
        if (r <= 0) die("recv");
        n += (size_t)r;
        out[n] = 0;
        if (!head) {
            char *e = strstr(out, "\r\n\r\n");
            if (!e) continue;
            head = (size_t)(e - out) + 4;
            char *c = strcasestr(out, "\r\ncontent-length:");
            if (c && c < e + 2) clen = atol(c + 17);
            c = strcasestr(out, "\r\ntransfer-encoding:");
            if (c && c < e + 2) chunked = 1;
        }
        if (chunked) {
            if (n >= 5 && !memcmp(out + n - 5, "0\r\n\r\n", 5)) return n;
        } else if (clen >= 0) {
            if (n >= head + (size_t)clen) return n;
        } else if (!strncmp(out, "HTTP/1.1 101", 12))
            return n;
        else
            die("response has neither length nor chunked");
    }
}

static size_t ws_frame(char *p, size_t n) { /* masked binary frame */
    static const unsigned char key[4] = {0x37, 0xfa, 0x21, 0x3d};
    size_t h = 0;
    p[h++] = (char)0x82;
    if (n < 126)
        p[h++] = (char)(0x80 | n);
    else if (n < 65536) {
        p[h++] = (char)(0x80 | 126);
        p[h++] = (char)(n >> 8);
        p[h++] = (char)n;
    } else {
        p[h++] = (char)(0x80 | 127);
        for (int i = 7; i >= 0; i--)
            p[h++] = (char)(n >> (8 * i));
    }
    memcpy(p + h, key, 4);
    h += 4;
    for (size_t i = 0; i < n; i++)
        p[h + i] = (char)(('a' + i % 26) ^ key[i & 3]);
    return h + n;
}

static void arm(conn_t *c, int out) {
    if (c->want_out == (uint32_t)out) return;
    struct epoll_event e = {.events = EPOLLIN | (out ? (uint32_t)EPOLLOUT : 0), .data.ptr = c};
    epoll_ctl(ep, EPOLL_CTL_MOD, c->fd, &e);
    c->want_out = (uint32_t)out;
}

static void push(conn_t *c) {
    while (c->sent < batch_len) {
        ssize_t w = send(c->fd, batch + c->sent, batch_len - c->sent, MSG_NOSIGNAL);
        if (w < 0) {
            if (errno == EAGAIN) {
                arm(c, 1);
                return;
            }
            errors++;
            return;
        }
        c->sent += (size_t)w;
    }
    arm(c, 0);
}

static void start_batch(conn_t *c) {
    c->sent = c->got = 0;
    c->t0 = now_ns();
    push(c);
}

static int reply_ok(const char *p, size_t n) {
    if (mode == M_HTTP || mode == M_CONN) return n < 10 || !memcmp(p, "HTTP/1.1 2", 10);
    if (mode == M_WS) return (p[0] & 0x0f) <= 2 && (p[0] & 0x80);
    return 1;
}

static void add_header(const char *line) {
    size_t len = strlen(headers), room = sizeof headers - len;
    if ((size_t)snprintf(headers + len, room, "%s\r\n", line) >= room) {
        fprintf(stderr, "netload: too many headers\n");
        exit(2);
    }
}

static void usage(void) {
    fprintf(stderr, "usage: netload --mode tcp|http|ws|conn|idle --port P [--conns N] [--size B] "
                    "[--depth D] [--secs S] [--warm S] [--path /x] [--header H]... [--pid LIST] "
                    "[--ops N] [--hold S]\n");
    exit(2);
}

int main(int argc, char **argv) {
    static const struct option L[] = {
        {"mode", 1, 0, 'm'},   {"port", 1, 0, 'p'}, {"conns", 1, 0, 'c'}, {"size", 1, 0, 's'},
        {"depth", 1, 0, 'd'},  {"secs", 1, 0, 't'}, {"warm", 1, 0, 'w'},  {"path", 1, 0, 'u'},
        {"pid", 1, 0, 'P'},    {"ops", 1, 0, 'n'},  {"hold", 1, 0, 'h'},  {"host", 1, 0, 'H'},
        {"header", 1, 0, 'a'}, {0, 0, 0, 0}};
    int o;
    while ((o = getopt_long(argc, argv, "", L, NULL)) != -1)
        switch (o) {
        case 'm':
            mode = !strcmp(optarg, "tcp")    ? M_TCP
                   : !strcmp(optarg, "http") ? M_HTTP
                   : !strcmp(optarg, "ws")   ? M_WS
                   : !strcmp(optarg, "conn") ? M_CONN
                   : !strcmp(optarg, "idle") ? M_IDLE
                                             : (usage(), 0);
            break;
        case 'p': port = atoi(optarg); break;
        case 'c': nconn = atoi(optarg); break;
        case 's': size_ = atoi(optarg); break;
        case 'd': depth = atoi(optarg); break;
        case 't': secs = atof(optarg); break;
        case 'w': warm = atof(optarg); break;
        case 'u': path = optarg; break;
        case 'P': pids = optarg; break;
        case 'n': max_ops = atol(optarg); break;
        case 'h': hold = atoi(optarg); break;
        case 'H': host = optarg; break;
        case 'a': add_header(optarg); break;
        default: usage();
        }
    if (!port) usage();
    if (strncmp(host, "127.", 4)) {
        fprintf(stderr, "netload: loopback only\n");
        return 2;
    }

    /* what one operation sends, and what it must get back */
    char req[4096];
    int reqlen = snprintf(req, sizeof req, "GET %s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n%s\r\n", path,
                          port, headers);
    if (reqlen >= (int)sizeof req) {
        fprintf(stderr, "netload: request too long\n");
        return 2;
    }
    char hs[1024];
    int hslen = snprintf(hs, sizeof hs,
                         "GET %s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nUpgrade: websocket\r\n"
                         "Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
                         "Sec-WebSocket-Version: 13\r\n\r\n",
                         path, port);
    if (mode == M_TCP || mode == M_WS) {
        size_t cap = ((size_t)size_ + 16) * (size_t)depth, n = 0;
        batch = malloc(cap);
        for (int i = 0; i < depth; i++) {
            if (mode == M_WS)
                n += ws_frame(batch + n, (size_t)size_);
            else {
                memset(batch + n, 'x', (size_t)size_);
                n += (size_t)size_;
            }
        }
        batch_len = n;
        unit_len = mode == M_TCP ? (size_t)size_
                                 : (size_t)size_ + (size_ < 126     ? 2
                                                    : size_ < 65536 ? 4
                                                                    : 10);
    } else {
        int fd = dial(0, 0);
        char *tmp = malloc(1 << 20);
        send_all(fd, req, (size_t)reqlen);
        unit_len = read_response(fd, tmp, 1 << 20);
        if (strncmp(tmp, "HTTP/1.1 2", 10)) {
            fprintf(stderr, "netload: bad response: %.200s\n", tmp);
            return 1;
        }
        free(tmp);
        close(fd);
        batch = malloc((size_t)reqlen * (size_t)depth + 1);
        for (int i = 0; i < depth; i++)
            memcpy(batch + (size_t)i * (size_t)reqlen, req, (size_t)reqlen);
        batch_len = (size_t)reqlen * (size_t)depth;
    }
    expect_len = unit_len * (size_t)depth;

    conn_t *cs = calloc((size_t)nconn, sizeof *cs);
    ep = epoll_create1(0);

    if (mode == M_IDLE) { /* connect, one request each, then stay silent */
        procuse_t a = proc_use(pids);
        char *tmp = malloc(1 << 16);
        for (int i = 0; i < nconn; i++) {
            cs[i].fd = dial(i, 0);
            send_all(cs[i].fd, batch, (size_t)reqlen);
            read_response(cs[i].fd, tmp, 1 << 16);
        }
        usleep(300000);
        procuse_t b = proc_use(pids);
        printf("{\"mode\":\"idle\",\"conns\":%d,\"rss0_kb\":%ld,\"rss1_kb\":%ld,\"bytes_per_conn\":"
               "%.0f}\n",
               nconn, a.rss_kb, b.rss_kb, (double)(b.rss_kb - a.rss_kb) * 1024 / nconn);
        fflush(stdout);
        if (hold) sleep((unsigned)hold);
        return 0;
    }

    for (int i = 0; i < nconn; i++) {
        conn_t *c = &cs[i];
        c->fd = dial(i, mode == M_CONN);
        if (mode == M_WS) {
            char tmp[4096];
            send_all(c->fd, hs, (size_t)hslen);
            size_t n = read_response(c->fd, tmp, sizeof tmp);
            if (n < 12 || strncmp(tmp, "HTTP/1.1 101", 12)) {
                fprintf(stderr, "netload: no upgrade: %.100s\n", tmp);
                return 1;
            }
        }
        fcntl(c->fd, F_SETFL, fcntl(c->fd, F_GETFL) | O_NONBLOCK);
        struct epoll_event e = {.events = EPOLLIN | (mode == M_CONN ? (uint32_t)EPOLLOUT : 0),
                                .data.ptr = c};
        c->want_out = mode == M_CONN;
        epoll_ctl(ep, EPOLL_CTL_ADD, c->fd, &e);
        c->phase = 2;
    }
    uint64_t t_start = now_ns(), t_meas = t_start + (uint64_t)(warm * 1e9),
             t_end = t_meas + (uint64_t)(secs * 1e9);
    uint64_t t_m0 = t_start, t_now = t_start, c0 = 0;
    procuse_t p0 = {0, 0, 0, 0};
    int dialed = nconn;
    if (warm <= 0) {
        measuring = 1;
        p0 = proc_use(pids);
        c0 = cpu_ns_self();
        t_m0 = now_ns();
    }
    for (int i = 0; i < nconn && mode != M_CONN; i++)
        start_batch(&cs[i]);
    if (mode == M_CONN)
        for (int i = 0; i < nconn; i++)
            cs[i].t0 = now_ns();

    struct epoll_event ev[1024];
    for (;;) {
        int n = epoll_wait(ep, ev, 1024, 200);
        if (n < 0 && errno != EINTR) die("epoll_wait");
        t_now = now_ns();
        if (!measuring && t_now >= t_meas) {
            measuring = 1;
            p0 = proc_use(pids);
            c0 = cpu_ns_self();
            ops = bytes_in = 0;
            memset(&hist, 0, sizeof hist);
            t_m0 = now_ns();
            t_end = t_m0 + (uint64_t)(secs * 1e9);
        }
        if (t_now >= t_end || (max_ops && ops >= (uint64_t)max_ops) || errors > 100) break;
        for (int i = 0; i < n; i++) {
            conn_t *c = ev[i].data.ptr;
            if (ev[i].events & EPOLLOUT) push(c);
            if (!(ev[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR))) continue;
            ssize_t r = recv(c->fd, rbuf, sizeof rbuf, 0);
            if (r < 0 && errno == EAGAIN) continue;
            if (r <= 0) {
                errors++;
                epoll_ctl(ep, EPOLL_CTL_DEL, c->fd, NULL);
                continue;
            }
            if (c->got % unit_len == 0 && !reply_ok(rbuf, (size_t)r)) {
                errors++;
                if (errors == 1) fprintf(stderr, "netload: unexpected reply: %.60s\n", rbuf);
            }
            c->got += (size_t)r;
            bytes_in += (uint64_t)r;
            if (c->got < expect_len) continue;
            if (c->got > expect_len) {
                fprintf(stderr, "netload: got %zu bytes, expected %zu\n", c->got, expect_len);
                return 1;
            }
            hist_add(&hist, now_ns() - c->t0);
            ops += (uint64_t)depth;
            if (mode == M_CONN) {
                close(c->fd);
                c->fd = dial(dialed++, 1);
                c->sent = c->got = 0;
                c->t0 = now_ns();
                c->want_out = 1;
                struct epoll_event e = {.events = EPOLLIN | EPOLLOUT, .data.ptr = c};
                epoll_ctl(ep, EPOLL_CTL_ADD, c->fd, &e);
            } else
                start_batch(c);
        }
    }
    procuse_t p1 = proc_use(pids);
    uint64_t c1 = cpu_ns_self();
    double el = (double)(now_ns() - t_m0) / 1e9, cpu = (double)(p1.run_ns - p0.run_ns) / 1e9;
    double us = p1.user_s - p0.user_s, sy = p1.sys_s - p0.sys_s, tot = us + sy > 0 ? us + sy : 1;
    size_t ulen = mode == M_TCP || mode == M_WS ? (size_t)size_ : unit_len;
    printf(
        "{\"ops\":%llu,\"secs\":%.3f,\"ops_s\":%.0f,\"mb_s\":%.1f,\"p50_us\":%.1f,\"p90_us\":%.1f,"
        "\"p99_us\":%.1f,\"max_us\":%.1f,\"errors\":%llu,\"srv_cpu_s\":%.4f,\"srv_user_frac\":%.3f,"
        "\"ops_per_cpu_s\":%.0f,\"srv_rss_kb\":%ld,\"cli_cpu_frac\":%.3f,\"unit_len\":%zu}\n",
        (unsigned long long)ops, el, (double)ops / el, (double)ops * (double)ulen / el / 1e6,
        hist_q(&hist, .5) / 1e3, hist_q(&hist, .9) / 1e3, hist_q(&hist, .99) / 1e3,
        (double)hist.max / 1e3, (unsigned long long)errors, cpu, us / tot,
        cpu > 0 ? (double)ops / cpu : 0, p1.rss_kb, (double)(c1 - c0) / 1e9 / el, unit_len);
    return errors ? 3 : 0;
}
