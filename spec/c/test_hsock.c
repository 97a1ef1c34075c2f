/* Tests of runtime/net/hsock.c: addresses and what the wrappers return. */
#include "loop_test.h"

static void test_sock_addresses_by_text(void **state) {
    (void)state;
    hsock_addr_t addr;
    assert_int_equal(hsock_address(&addr, "1.2.3.4", 80), sizeof addr.in);
    assert_int_equal(ntohl(addr.in.sin_addr.s_addr), 0x01020304);
    assert_int_equal(ntohs(addr.in.sin_port), 80);
    assert_int_equal(hsock_address(&addr, "::1", 65535), sizeof addr.in6);
    assert_int_equal(hsock_address(&addr, "[::1]", 1), sizeof addr.in6);
    assert_true(IN6_IS_ADDR_LOOPBACK(&addr.in6.sin6_addr));
    const char *wildcards[] = {"", "*", "0.0.0.0", NULL};
    for (size_t i = 0; i < ARRAY_SIZE(wildcards); i++) {
        assert_int_equal(hsock_address(&addr, wildcards[i], 0), sizeof addr.in);
        assert_int_equal(addr.in.sin_addr.s_addr, 0);
    }
    assert_int_equal(hsock_address(&addr, "localhost", 0), sizeof addr.in);
    assert_int_equal(ntohl(addr.in.sin_addr.s_addr), 0x7f000001);
}

static void test_sock_wrong_addresses_are_refused(void **state) {
    (void)state;
    hsock_addr_t addr;
    assert_int_equal(hsock_address(&addr, "1.2.3.4", -1), HV_EINVAL);
    assert_int_equal(hsock_address(&addr, "1.2.3.4", 65536), HV_EINVAL);
    const char *names[] = {"1.2.3", "1.2.3.256", "example.org", "[::1", "::g", "[]"};
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        assert_int_equal(hsock_address(&addr, names[i], 1), HV_ENOTFOUND);
    }
    char path[200] = "/";
    memset(path + 1, 'p', sizeof path - 2);
    path[sizeof path - 1] = '\0';
    assert_int_equal(hsock_address(&addr, path, 0), HV_EINVAL);
    path[sizeof addr.un.sun_path - 1] = '\0';
    assert_true(hsock_address(&addr, path, 0) > 0); /* the longest that fits */
    assert_string_equal(addr.un.sun_path, path);
}

static void test_sock_abstract_unix_names_connect(void **state) {
    (void)state;
    char name[64];
    snprintf(name, sizeof name, "@hv_test_%d", (int)getpid());
    hsock_addr_t addr;
    socklen_t len = (socklen_t)hsock_address(&addr, name, 0);
    int listen_fd = hsock_listen(&addr, len, 1, 0);
    assert_true(listen_fd >= 0);
    assert_true(hsock_is_listening(listen_fd));
    int fd = hsock_open(AF_UNIX, SOCK_STREAM);
    assert_int_equal(hsock_connect(fd, &addr.sa, len), 0);
    hsock_addr_t peer;
    socklen_t peer_len;
    int accepted = hsock_accept(listen_fd, &peer, &peer_len);
    assert_true(accepted >= 0);
    assert_int_equal(hsock_accept(listen_fd, &peer, &peer_len), HV_EAGAIN);
    assert_false(hsock_is_listening(fd));
    close(accepted);
    close(fd);
    close(listen_fd);
}

static void test_sock_results_are_codes(void **state) {
    (void)state;
    int fds[2];
    char byte;
    assert_int_equal(hsock_pair(fds), 0);
    assert_int_equal(hsock_recv(fds[0], &byte, 1), HV_EAGAIN);
    assert_int_equal(hsock_send(fds[1], "x", 1), 1);
    assert_int_equal(hsock_recv(fds[0], &byte, 1), 1);
    hsock_shutdown_write(fds[1]);
    assert_int_equal(hsock_recv(fds[0], &byte, 1), 0);
    assert_int_equal(hsock_send(fds[1], "x", 1), HV_EPIPE); /* and no signal */
    close(fds[1]);
    struct iovec part = {.iov_base = &byte, .iov_len = 1};
    assert_int_equal(hsock_sendv(fds[0], &part, 1), HV_EPIPE);
    close(fds[0]);
    assert_int_equal(hsock_recv(-1, &byte, 1), -EBADF);
    assert_int_equal(hsock_set_nonblocking(-1), -EBADF);
    assert_int_equal(hsock_take_error(-1), -EBADF);
}

static void test_sock_kinds_of_descriptors(void **state) {
    (void)state;
    int fds[2];
    assert_int_equal(hsock_kind(-1), HSOCK_KIND_BAD);
    assert_int_equal(pipe(fds), 0);
    assert_int_equal(hsock_kind(fds[0]), HSOCK_KIND_PIPE);
    assert_int_equal(hsock_set_nonblocking(fds[0]), 0);
    assert_true(fcntl(fds[0], F_GETFL) & O_NONBLOCK);
    close(fds[0]);
    close(fds[1]);
    assert_int_equal(hsock_pair(fds), 0);
    assert_int_equal(hsock_kind(fds[0]), HSOCK_KIND_UNIX);
    close(fds[0]);
    close(fds[1]);
    int fd = hsock_open(AF_INET, SOCK_STREAM);
    assert_int_equal(hsock_kind(fd), HSOCK_KIND_STREAM);
    assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
    close(fd);
    fd = hsock_open(AF_INET, SOCK_DGRAM);
    assert_int_equal(hsock_kind(fd), HSOCK_KIND_DATAGRAM);
    close(fd);
    fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    assert_int_equal(hsock_kind(fd), HSOCK_KIND_FILE);
    close(fd);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sock_addresses_by_text),
        cmocka_unit_test(test_sock_wrong_addresses_are_refused),
        cmocka_unit_test(test_sock_abstract_unix_names_connect),
        cmocka_unit_test(test_sock_results_are_codes),
        cmocka_unit_test(test_sock_kinds_of_descriptors),
    };
    return cmocka_run_group_tests_name("hsock", tests, NULL, NULL);
}
