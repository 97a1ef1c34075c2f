/* Tests of runtime/http/http_proxy.c: the way through proxies of HTTP and SOCKS 5. */
#include "http_client_test.h"

static void test_tunnel_through_connect(void **state) {
    (void)state;
    answer("HTTP/1.1 200 Connection established\r\n\r\n", 0);
    answer("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n", 0);
    hhttp_proxy_t proxy = {HHTTP_PROXY_HTTP, "127.0.0.1", port_of(listener), "a", NULL};
    hhttp_call_options_t options = options_of("/");
    hhttp_url_parse("http://example.org/ws", &options.url);
    options.proxy = &proxy;
    options.upgrade = "x";
    options.on_head = take_now;
    perform(&options);
    assert_int_equal(seen->error, 0);
    assert_non_null(seen->taken);
    assert_non_null(strstr(requests,
                           "CONNECT example.org:80 HTTP/1.1\r\n"
                           "Host: example.org:80\r\nProxy-Authorization: Basic YTo=\r\n"));
    assert_non_null(strstr(requests, "GET /ws HTTP/1.1\r\nHost: example.org\r\n"));
    hio_close(seen->taken);
    answer("HTTP/1.1 407 Sign In\r\nContent-Length: 0\r\n\r\n", 0);
    options.on_head = on_head;
    perform(&options);
    assert_int_equal(seen->error, -EACCES);
    assert_string_equal(seen->words, "the proxy answered 407 Sign In");
}

static void on_socks_read(hio_t *io, void *buf, int len) {
    /* Greeting, password, command, then HTTP: told apart by what has come before. */
    served_t *served = hio_context(io);
    memcpy(served->text + served->len, buf, (size_t)len);
    served->len += (size_t)len;
    if (served->seen == 0 && served->len >= 4) {
        assert_memory_equal(served->text, "\5\2\0\2", 4);
        hio_write(io, "\5\2", 2);
        served->seen = 4;
    } else if (served->seen == 4 && served->len >= 4 + 9) {
        assert_memory_equal(served->text + 4, "\1\2me\4word", 9);
        hio_write(io, "\1\0", 2);
        served->seen = 13;
    } else if (served->seen == 13 && served->len >= 13 + 18) {
        assert_memory_equal(served->text + 13, "\5\1\0\3\013example.org\0\120", 18);
        hio_write(io, "\5\0\0\1\177\0\0\1\0\120", 10);
        served->seen = 31;
    } else if (served->seen == 31 &&
               memmem(served->text + 31, served->len - 31, "\r\n\r\n", 4) != NULL) {
        hio_write(io, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nsocks", 43);
    }
}

static void on_socks_accept(hio_t *io) {
    on_accept(io);
    hio_setcb_read(io, on_socks_read);
}

static void test_socks_with_password_and_remote_name(void **state) {
    (void)state;
    hio_t *socks = hloop_create_tcp_server(loop, "127.0.0.1", 0, on_socks_accept);
    hhttp_proxy_t proxy = {HHTTP_PROXY_SOCKS5, "127.0.0.1", port_of(socks), "me", "word"};
    hhttp_call_options_t options = options_of("/");
    hhttp_url_parse("http://example.org/", &options.url);
    options.proxy = &proxy;
    perform(&options);
    expect_ok(200, "socks");
    assert_int_equal(counts().idle, 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_tunnel_through_connect),
        TEST(test_socks_with_password_and_remote_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
