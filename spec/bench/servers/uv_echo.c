/* libuv echo. Default: uv_try_write first, uv_write for what is left. "alloc": always uv_write. */
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>
typedef struct {
    uv_write_t w;
    uv_buf_t b;
} wr_t;
static char slab[65536];
static int always_alloc;
static void on_alloc(uv_handle_t *h, size_t n, uv_buf_t *b) {
    (void)h;
    (void)n;
    if (always_alloc)
        *b = uv_buf_init(malloc(65536), 65536);
    else
        *b = uv_buf_init(slab, sizeof slab);
}
static void on_closed(uv_handle_t *h) {
    free(h);
}
static void on_written(uv_write_t *w, int st) {
    (void)st;
    wr_t *r = (wr_t *)w;
    free(r->b.base);
    free(r);
}
static void on_data(uv_stream_t *s, ssize_t n, const uv_buf_t *b) {
    if (n < 0) {
        if (always_alloc) free(b->base);
        uv_close((uv_handle_t *)s, on_closed);
        return;
    }
    uv_buf_t o = uv_buf_init(b->base, (unsigned)n);
    int done = 0;
    if (!always_alloc) {
        done = uv_try_write(s, &o, 1);
        if (done < 0) done = 0;
        if (done == (int)n) return;
    }
    wr_t *r = malloc(sizeof *r);
    if (always_alloc)
        r->b = o;
    else {
        r->b = uv_buf_init(malloc((size_t)n - (size_t)done), (unsigned)(n - done));
        memcpy(r->b.base, b->base + done, r->b.len);
    }
    uv_write(&r->w, s, &r->b, 1, on_written);
}
static void on_conn(uv_stream_t *srv, int st) {
    (void)st;
    uv_tcp_t *c = malloc(sizeof *c);
    uv_tcp_init(srv->loop, c);
    if (uv_accept(srv, (uv_stream_t *)c)) {
        uv_close((uv_handle_t *)c, on_closed);
        return;
    }
    uv_tcp_nodelay(c, 1);
    uv_read_start((uv_stream_t *)c, on_alloc, on_data);
}
int main(int argc, char **argv) {
    if (argc < 2) return 2;
    signal(SIGPIPE, SIG_IGN);
    always_alloc = argc > 2;
    struct sockaddr_in a;
    uv_tcp_t s;
    uv_ip4_addr("127.0.0.1", atoi(argv[1]), &a);
    uv_tcp_init(uv_default_loop(), &s);
    if (uv_tcp_bind(&s, (struct sockaddr *)&a, 0) || uv_listen((uv_stream_t *)&s, 4096, on_conn))
        return 1;
    return uv_run(uv_default_loop(), UV_RUN_DEFAULT);
}
