/* Tests of runtime/base/hsocket.c, over the loopback and unix sockets. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "hsocket.h"

static int port_of(int fd) {
    sockaddr_u addr;
    socklen_t len = sizeof(addr);
    assert_int_equal(getsockname(fd, &addr.sa, &len), 0);
    return sockaddr_port(&addr);
}

static void test_socket_addresses_as_text(void **state) {
    (void)state;
    sockaddr_u addr;
    char text[SOCKADDR_STRLEN] = {0};
    assert_int_equal(sockaddr_set_ipport(&addr, "127.0.0.1", 80), 0);
    assert_string_equal(SOCKADDR_STR(&addr.sa, text), "127.0.0.1:80");
    assert_int_equal(SOCKADDR_LEN(&addr), sizeof(struct sockaddr_in));
    assert_int_equal(sockaddr_set_ipport(&addr, "fe80::1", 65535), 0);
    assert_string_equal(SOCKADDR_STR(&addr, text), "[fe80::1]:65535");
    assert_int_equal(sockaddr_set_ipport(&addr, NULL, 0), 0);
    assert_string_equal(SOCKADDR_STR(&addr, text), "0.0.0.0:0");
    assert_int_equal(sockaddr_set_ipport(&addr, "/tmp/x.sock", 0), 0);
    assert_string_equal(SOCKADDR_STR(&addr, text), "/tmp/x.sock");
    memset(addr.sun.sun_path, 'p', sizeof(addr.sun.sun_path));
    assert_int_equal(strlen(SOCKADDR_STR(&addr, text)), sizeof(addr.sun.sun_path));
    assert_string_equal(SOCKADDR_STR(NULL, text), "");
    char tiny[5];
    sockaddr_set_ipport(&addr, "127.0.0.1", 80);
    assert_string_equal(SOCKADDR_STR(&addr, tiny), "127.");
}

static void test_socket_addresses_are_set_by_parts(void **state) {
    (void)state;
    sockaddr_u addr;
    char text[SOCKADDR_STRLEN] = {0};
    assert_int_equal(ResolveAddr("::1", &addr), 0);
    sockaddr_set_port(&addr, 443);
    assert_string_equal(SOCKADDR_STR(&addr, text), "[::1]:443");
    assert_int_equal(sockaddr_set_ip(&addr, ""), 0);
    sockaddr_set_port(&addr, 8080);
    assert_string_equal(SOCKADDR_STR(&addr, text), "0.0.0.0:8080");
    assert_int_equal(sockaddr_set_path(&addr, "here.sock"), 0);
    sockaddr_set_port(&addr, 80); /* which a path has none of */
    assert_string_equal(SOCKADDR_STR(&addr, text), "here.sock");
    assert_int_equal(sockaddr_set_path(&addr, ""), HV_EINVAL);
    assert_string_equal(SOCKADDR_STR(&addr, text), "here.sock");
    assert_int_equal(ResolveAddr("no such name", &addr), HV_ENOTFOUND);
}

static void test_socket_addresses_refused(void **state) {
    (void)state;
    sockaddr_u addr;
    char path[200];
    memset(path, 'x', sizeof(path) - 1);
    path[sizeof(path) - 1] = '\0';
    path[0] = '/';
    assert_int_equal(sockaddr_set_ipport(&addr, "127.0.0.1", 65536), HV_EINVAL);
    assert_int_equal(sockaddr_set_ipport(&addr, NULL, -1), HV_EINVAL);
    assert_int_equal(sockaddr_set_ipport(&addr, path, 0), HV_ELIMIT);
    assert_true(is_ipv4("1.2.3.4") && !is_ipv4("1.2.3") && !is_ipv4("::1") && !is_ipv4(NULL));
    assert_true(is_ipv6("::1") && !is_ipv6("1.2.3.4") && !is_ipaddr("localhost"));
}

static void exchange(int one, int two) {
    char text[8] = "";
    assert_int_equal(write(one, "ping", 4), 4);
    assert_int_equal(read(two, text, sizeof(text)), 4);
    assert_memory_equal(text, "ping", 4);
}

static void test_socket_listen_and_connect(void **state) {
    (void)state;
    int listener = Listen(0, "127.0.0.1");
    assert_true(listener >= 0);
    int client = ConnectTimeout("127.0.0.1", port_of(listener), 5000);
    assert_true(client >= 0);
    assert_false(fcntl(client, F_GETFL) & O_NONBLOCK);
    assert_true(fcntl(client, F_GETFD) & FD_CLOEXEC);
    int server = accept(listener, NULL, NULL);
    exchange(client, server);
    assert_int_equal(tcp_nodelay(client, 1), 0);
    assert_int_equal(tcp_keepalive(client, 1, 60), 0);
    assert_int_equal(so_rcvtimeo(client, 1500), 0);
    assert_int_equal(so_linger(client, 0), 0);
    assert_int_equal(nonblocking(client), 0);
    assert_true(fcntl(client, F_GETFL) & O_NONBLOCK);
    assert_int_equal(Listen(port_of(listener), "127.0.0.1"), HV_EADDRINUSE);
    int port = port_of(listener);
    SAFE_CLOSESOCKET(client);
    assert_int_equal(client, INVALID_SOCKET);
    close(server);
    close(listener);
    assert_int_equal(Connect("127.0.0.1", port, 0), HV_ECONNREFUSED);
    assert_int_equal(tcp_nodelay(-1, 1), -EBADF);
    assert_string_equal(socket_strerror(HV_ECONNREFUSED), "connection refused");
}

static void test_socket_connect_without_waiting(void **state) {
    (void)state;
    int listener = Listen(0, "127.0.0.1");
    assert_true(listener >= 0);
    int client = ConnectNonblock("127.0.0.1", port_of(listener));
    assert_true(client >= 0);
    assert_true(fcntl(client, F_GETFL) & O_NONBLOCK);
    int server = accept(listener, NULL, NULL);
    assert_true(server >= 0);
    assert_int_equal(blocking(client), 0); /* the write waits for the connection then */
    exchange(client, server);
    close(client);
    close(server);
    close(listener);
}

static void test_socket_unix_listener_replaces_a_dead_one_only(void **state) {
    (void)state;
    char path[64];
    snprintf(path, sizeof(path), "/tmp/test_hsocket_%ld.sock", (long)getpid());
    int listener = Listen(0, path);
    assert_true(listener >= 0);
    assert_int_equal(Listen(0, path), HV_EADDRINUSE);
    int client = Connect(path, -1, 0);
    assert_true(client >= 0);
    close(client);
    close(listener);
    listener = Listen(0, path);
    assert_true(listener >= 0);
    close(listener);
    unlink(path);
}

static void test_socket_pairs_are_connected(void **state) {
    (void)state;
    int pair[2];
    assert_int_equal(Socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    exchange(pair[0], pair[1]);
    close(pair[0]);
    close(pair[1]);
    assert_int_equal(Socketpair(AF_INET, SOCK_STREAM, 0, pair), 0);
    exchange(pair[1], pair[0]);
    close(pair[0]);
    close(pair[1]);
    assert_int_equal(Socketpair(AF_INET6, SOCK_STREAM, 0, pair), -EOPNOTSUPP);
}

static int int_option(int fd, int level, int option) {
    int value = -1;
    socklen_t len = sizeof(value);
    assert_int_equal(getsockopt(fd, level, option, &value, &len), 0);
    return value;
}

static void test_socket_options_of_datagrams_are_set(void **state) {
    (void)state;
    int fd = Bind(0, "127.0.0.1", SOCK_DGRAM);
    assert_true(fd >= 0);
    assert_int_equal(udp_broadcast(fd, 1), 0);
    assert_int_equal(int_option(fd, SOL_SOCKET, SO_BROADCAST), 1);
    assert_int_equal(ip_ttl(fd, 9), 0);
    assert_int_equal(int_option(fd, IPPROTO_IP, IP_TTL), 9);
    assert_int_equal(ip_ttl(fd, 256), HV_EINVAL);
    assert_int_equal(udp_multicast_ttl(fd, 3), 0);
    assert_int_equal(int_option(fd, IPPROTO_IP, IP_MULTICAST_TTL), 3);
    assert_int_equal(udp_multicast_loop(fd, 0), 0);
    assert_int_equal(int_option(fd, IPPROTO_IP, IP_MULTICAST_LOOP), 0);
    assert_int_equal(so_error(fd), 0);
    close(fd);
    assert_int_equal(ip_ttl(-1, 9), -EBADF);
    assert_int_equal(so_error(-1), -EBADF);
}

static void test_socket_options_of_streams_are_set(void **state) {
    (void)state;
    int fd = Bind(0, "127.0.0.1", SOCK_STREAM);
    assert_true(fd >= 0);
    assert_int_equal(nonblocking(fd), 0);
    assert_int_equal(blocking(fd), 0);
    assert_false(fcntl(fd, F_GETFL) & O_NONBLOCK);
    assert_int_equal(tcp_nopush(fd, 1), 0);
    assert_int_equal(int_option(fd, IPPROTO_TCP, TCP_CORK), 1);
    assert_int_equal(so_reuseaddr(fd, 0), 0);
    assert_int_equal(int_option(fd, SOL_SOCKET, SO_REUSEADDR), 0);
    assert_int_equal(so_reuseport(fd, 1), 0);
    assert_int_equal(int_option(fd, SOL_SOCKET, SO_REUSEPORT), 1);
    assert_int_equal(so_sndbuf(fd, 20000), 0);
    assert_int_equal(int_option(fd, SOL_SOCKET, SO_SNDBUF), 40000); /* Linux doubles it */
    assert_int_equal(so_rcvbuf(fd, 30000), 0);
    assert_int_equal(int_option(fd, SOL_SOCKET, SO_RCVBUF), 60000);
    struct timeval wait;
    socklen_t len = sizeof(wait);
    assert_int_equal(so_sndtimeo(fd, 1500), 0);
    assert_int_equal(getsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &wait, &len), 0);
    assert_int_equal(wait.tv_sec, 1);
    close(fd);
    fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd >= 0) { /* a machine without IPv6 has no such socket */
        assert_int_equal(ip_v6only(fd, 1), 0);
        assert_int_equal(int_option(fd, IPPROTO_IPV6, IPV6_V6ONLY), 1);
        close(fd);
    }
    assert_int_equal(blocking(-1), -EBADF);
}

static void test_socket_groups_are_joined_and_left(void **state) {
    (void)state;
    int fd = Bind(0, "0.0.0.0", SOCK_DGRAM);
    assert_true(fd >= 0);
    assert_int_equal(udp_join_group(fd, "239.1.2.3", "127.0.0.1"), 0);
    assert_int_equal(udp_join_group(fd, "239.1.2.3", "127.0.0.1"), HV_EADDRINUSE);
    assert_int_equal(udp_leave_group(fd, "239.1.2.3", "127.0.0.1"), 0);
    assert_int_equal(udp_leave_group(fd, "239.1.2.3", "127.0.0.1"), -EADDRNOTAVAIL);
    assert_int_equal(udp_join_group(fd, "not a group", NULL), HV_EINVAL);
    assert_int_equal(udp_join_group(fd, "239.1.2.3", "not an address"), HV_EINVAL);
    close(fd);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_socket_addresses_as_text),
        cmocka_unit_test(test_socket_addresses_are_set_by_parts),
        cmocka_unit_test(test_socket_addresses_refused),
        cmocka_unit_test(test_socket_listen_and_connect),
        cmocka_unit_test(test_socket_connect_without_waiting),
        cmocka_unit_test(test_socket_unix_listener_replaces_a_dead_one_only),
        cmocka_unit_test(test_socket_pairs_are_connected),
        cmocka_unit_test(test_socket_options_of_datagrams_are_set),
        cmocka_unit_test(test_socket_options_of_streams_are_set),
        cmocka_unit_test(test_socket_groups_are_joined_and_left),
    };
    return cmocka_run_group_tests_name("hsocket", tests, NULL, NULL);
}
