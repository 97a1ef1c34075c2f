/* limit_epoll.c - reference server: the least work a single-threaded, level-triggered epoll loop
 * can do. Nothing is parsed.
 *   limit_epoll http PORT   counts CRLFCRLF per read, writes one canned response each, one send
 *   limit_epoll echo PORT   read -> write
 *   limit_epoll ws   PORT   handshake, then unmask and echo whole frames (partial ones kept)
 * Words after PORT add work, to price it (http and echo):
 *   drain  read until EAGAIN      arm   arm and disarm EPOLLOUT around each write (2 epoll_ctl)
 *   two    header and body in two sends (http)      writev  header and body in one writev (http)
 *   each   one send per response instead of one per read      clock  one clock_gettime system call
 * per event et     edge-triggered
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/evp.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#define MAXFD 65536
#define RBUF  (1 << 18)
static char rbuf[RBUF];
static char *canned;
static size_t canned_len;            /* 256 responses back to back */
static unsigned char match[MAXFD];   /* bytes of CRLFCRLF already seen, per fd */
static unsigned char open_ws[MAXFD]; /* handshake done */
static struct {
    char *p;
    size_t n;
} rest[MAXFD];

static int o_drain, o_arm, o_two, o_writev, o_each, o_clock, o_et;

static void build_canned(void) {
    char date[64], one[512];
    time_t t = time(NULL);
    struct tm g;
    strftime(date, sizeof date, "%a, %d %b %Y %H:%M:%S GMT", gmtime_r(&t, &g));
    canned_len = (size_t)snprintf(one, sizeof one,
                                  "HTTP/1.1 200 OK\r\nServer: limit\r\nDate: %s\r\n"
                                  "Content-Type: text/plain\r\nContent-Length: 13\r\nConnection: "
                                  "keep-alive\r\n\r\nHello, World!",
                                  date);
    canned = malloc(canned_len * 256);
    for (int i = 0; i < 256; i++)
        memcpy(canned + (size_t)i * canned_len, one, canned_len);
}

static void put(int fd, const char *p, size_t n) {
    while (n) {
        ssize_t w = send(fd, p, n, MSG_NOSIGNAL);
        if (w < 0) {
            if (errno == EAGAIN) {
                struct pollfd q = {fd, POLLOUT, 0};
                poll(&q, 1, 1000);
                continue;
            }
            return;
        }
        p += w;
        n -= (size_t)w;
    }
}

static unsigned count_ends(int fd, const char *p, size_t n) {
    unsigned m = match[fd], c = 0;
    if (m == 0 && n >= 4 && !memcmp(p + n - 4, "\r\n\r\n", 4)) { /* usual case: whole requests */
        const char *q = p, *e = p + n;
        while ((q = memmem(q, (size_t)(e - q), "\r\n\r\n", 4))) {
            c++;
            q += 4;
        }
        return c;
    }
    for (size_t i = 0; i < n; i++) {
        char want = (m & 1) ? '\n' : '\r';
        if (p[i] == want) {
            if (++m == 4) {
                c++;
                m = 0;
            }
        } else
            m = p[i] == '\r';
    }
    match[fd] = (unsigned char)m;
    return c;
}

static void ws_in(int fd, char *p, size_t n) {
    if (rest[fd].p) {
        rest[fd].p = realloc(rest[fd].p, rest[fd].n + n);
        memcpy(rest[fd].p + rest[fd].n, p, n);
        p = rest[fd].p;
        n += rest[fd].n;
    }
    char *base = p, *out = p; /* replies are shorter than requests: build them in place */
    if (!open_ws[fd]) {
        char *e = memmem(p, n, "\r\n\r\n", 4),
             *k = e ? memmem(p, n, "Sec-WebSocket-Key: ", 19) : NULL;
        if (k) {
            char cat[128], acc[64], hd[256];
            unsigned char dg[20];
            k += 19;
            size_t kl = (size_t)(strchr(k, '\r') - k);
            memcpy(cat, k, kl);
            memcpy(cat + kl, "258EAFA5-E914-47DA-95CA-C5AB0DC85B11", 36);
            EVP_Digest(cat, kl + 36, dg, NULL, EVP_sha1(), NULL);
            EVP_EncodeBlock((unsigned char *)acc, dg, 20);
            int hl = snprintf(hd, sizeof hd,
                              "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
                              "Connection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n\r\n",
                              acc);
            open_ws[fd] = 1;
            put(fd, hd, (size_t)hl);
            size_t used = (size_t)(e + 4 - p);
            p += used;
            n -= used;
            base = out = p;
        }
    }
    while (open_ws[fd] && n >= 6) {
        size_t h = 2, len = (unsigned char)p[1] & 0x7f;
        if (len == 126) {
            if (n < 8) break;
            len = (size_t)((unsigned char)p[2] << 8 | (unsigned char)p[3]);
            h = 4;
        } else if (len == 127) {
            close(fd);
            return;
        }
        if (n < h + 4 + len) break;
        uint32_t key;
        memcpy(&key, p + h, 4);
        char *src = p + h + 4;
        out[0] = p[0];
        if (h == 2)
            out[1] = (char)len;
        else {
            out[1] = 126;
            out[2] = p[2];
            out[3] = p[3];
        }
        char *dst = out + h;
        size_t i = 0;
        uint64_t k8 = (uint64_t)key << 32 | key;
        for (; i + 8 <= len; i += 8) {
            uint64_t v;
            memcpy(&v, src + i, 8);
            v ^= k8;
            memcpy(dst + i, &v, 8);
        }
        for (; i < len; i++)
            dst[i] = (char)(src[i] ^ (char)(key >> (8 * (i & 3))));
        out += h + len;
        p += h + 4 + len;
        n -= h + 4 + len;
    }
    if (out > base) put(fd, base, (size_t)(out - base));
    if (n) {
        char *keep = malloc(n);
        memcpy(keep, p, n);
        free(rest[fd].p);
        rest[fd].p = keep;
        rest[fd].n = n;
    } else {
        free(rest[fd].p);
        rest[fd].p = NULL;
        rest[fd].n = 0;
    }
}

int main(int argc, char **argv) {
    if (argc < 3) {
        fprintf(stderr, "usage: limit_epoll http|echo|ws PORT\n");
        return 2;
    }
    char m = argv[1][0];
    signal(SIGPIPE, SIG_IGN);
    for (int i = 3; i < argc; i++) {
#define OPT(x)                                                                                     \
    if (!strcmp(argv[i], #x)) o_##x = 1
        OPT(drain);
        OPT(arm);
        OPT(two);
        OPT(writev);
        OPT(each);
        OPT(clock);
        OPT(et);
    }
    build_canned();
    int one = 1, ls = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    setsockopt(ls, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(argv[2]))};
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (bind(ls, (struct sockaddr *)&a, sizeof a) || listen(ls, 4096)) {
        perror("listen");
        return 1;
    }
    int ep = epoll_create1(0);
    struct epoll_event e = {.events = EPOLLIN, .data.fd = ls}, ev[512];
    epoll_ctl(ep, EPOLL_CTL_ADD, ls, &e);
    for (;;) {
        int n = epoll_wait(ep, ev, 512, -1);
        for (int i = 0; i < n; i++) {
            int fd = ev[i].data.fd;
            if (fd == ls) {
                int c;
                while ((c = accept4(ls, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
                    if (c >= MAXFD) {
                        close(c);
                        continue;
                    }
                    setsockopt(c, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
                    match[c] = open_ws[c] = 0;
                    e.events = EPOLLIN | (o_et ? EPOLLET : 0);
                    e.data.fd = c;
                    epoll_ctl(ep, EPOLL_CTL_ADD, c, &e);
                }
                continue;
            }
            if (o_clock) {
                struct timespec t;
                syscall(SYS_clock_gettime, CLOCK_MONOTONIC, &t);
            }
            ssize_t r = recv(fd, rbuf, RBUF, 0);
            if (r > 0 && o_drain) {
                char x[64];
                (void)!recv(fd, x, sizeof x, 0);
            }
            if (r > 0 && o_arm) {
                e.events = EPOLLIN | EPOLLOUT;
                e.data.fd = fd;
                epoll_ctl(ep, EPOLL_CTL_MOD, fd, &e);
                e.events = EPOLLIN;
                epoll_ctl(ep, EPOLL_CTL_MOD, fd, &e);
            }
            if (r <= 0) {
                if (r == 0 || errno != EAGAIN) {
                    close(fd);
                }
                continue;
            }
            if (m == 'e')
                put(fd, rbuf, (size_t)r);
            else if (m == 'w')
                ws_in(fd, rbuf, (size_t)r);
            else {
                unsigned k = count_ends(fd, rbuf, (size_t)r);
                if (o_two || o_writev || o_each) {
                    for (; k; k--) {
                        if (o_each)
                            put(fd, canned, canned_len);
                        else if (o_two) {
                            put(fd, canned, canned_len - 13);
                            put(fd, canned + canned_len - 13, 13);
                        } else {
                            struct iovec v[2] = {{canned, canned_len - 13},
                                                 {canned + canned_len - 13, 13}};
                            (void)!writev(fd, v, 2);
                        }
                    }
                    continue;
                }
                for (; k > 256; k -= 256)
                    put(fd, canned, canned_len * 256);
                if (k) put(fd, canned, canned_len * k);
            }
        }
    }
}
