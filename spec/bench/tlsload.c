/* tlsload.c - full TLS handshakes, one after another: connect, handshake (no resumption), one GET,
 * close. tlsload --port P [--path /x] [--secs S] [--pid LIST] [--tls12] Server CPU is read at the
 * edges of the window; the client checks no certificate chain. */
#include "common.h"
#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/ssl.h>
#include <sys/socket.h>

int main(int argc, char **argv) {
    static const struct option L[] = {{"port", 1, 0, 'p'},  {"path", 1, 0, 'u'},
                                      {"secs", 1, 0, 't'},  {"pid", 1, 0, 'P'},
                                      {"tls12", 0, 0, '2'}, {0, 0, 0, 0}};
    int port = 0, tls12 = 0, o;
    double secs = 2;
    const char *path = "/", *pids = NULL;
    while ((o = getopt_long(argc, argv, "", L, NULL)) != -1)
        switch (o) {
        case 'p': port = atoi(optarg); break;
        case 'u': path = optarg; break;
        case 't': secs = atof(optarg); break;
        case 'P': pids = optarg; break;
        case '2': tls12 = 1; break;
        default: return 2;
        }
    SSL_CTX *cx = SSL_CTX_new(TLS_client_method());
    SSL_CTX_set_session_cache_mode(cx, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_max_proto_version(cx, tls12 ? TLS1_2_VERSION : TLS1_3_VERSION);
    SSL_CTX_set_min_proto_version(cx, tls12 ? TLS1_2_VERSION : TLS1_3_VERSION);
    SSL_CTX_set1_groups_list(cx, tls12 ? "X25519:P-256" : "X25519");
    char req[512], buf[65536];
    int rl = snprintf(req, sizeof req,
                      "GET %s HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n", path),
        one = 1;
    static hist_t h;
    uint64_t ops = 0, errors = 0;
    procuse_t p0 = proc_use(pids);
    uint64_t c0 = cpu_ns_self(), t0 = now_ns();
    while ((double)(now_ns() - t0) < secs * 1e9 && errors < 20) {
        uint64_t s = now_ns();
        int fd = socket(AF_INET, SOCK_STREAM, 0);
        struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
        a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        if (connect(fd, (struct sockaddr *)&a, sizeof a)) {
            errors++;
            close(fd);
            continue;
        }
        SSL *ss = SSL_new(cx);
        SSL_set_fd(ss, fd);
        if (SSL_connect(ss) != 1) {
            errors++;
            SSL_free(ss);
            close(fd);
            continue;
        }
        SSL_write(ss, req, rl);
        int r = SSL_read(ss, buf, sizeof buf);
        if (r < 12 || memcmp(buf, "HTTP/1.1 2", 10))
            errors++;
        else {
            ops++;
            hist_add(&h, now_ns() - s);
        }
        SSL_free(ss);
        close(fd);
    }
    procuse_t p1 = proc_use(pids);
    double el = (double)(now_ns() - t0) / 1e9, cpu = (double)(p1.run_ns - p0.run_ns) / 1e9,
           us = p1.user_s - p0.user_s, sy = p1.sys_s - p0.sys_s;
    printf("{\"ops\":%llu,\"secs\":%.3f,\"ops_s\":%.0f,\"p50_us\":%.1f,\"p99_us\":%.1f,\"errors\":%"
           "llu,\"srv_cpu_s\":%.4f,\"srv_user_frac\":%.3f,\"ops_per_cpu_s\":%.0f,\"srv_rss_kb\":%"
           "ld,\"cli_cpu_frac\":%.3f}\n",
           (unsigned long long)ops, el, (double)ops / el, hist_q(&h, .5) / 1e3,
           hist_q(&h, .99) / 1e3, (unsigned long long)errors, cpu, us + sy > 0 ? us / (us + sy) : 0,
           cpu > 0 ? (double)ops / cpu : 0, p1.rss_kb, (double)(cpu_ns_self() - c0) / 1e9 / el);
    return errors ? 3 : 0;
}
