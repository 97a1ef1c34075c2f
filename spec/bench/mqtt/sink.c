/* sink.c - the least that an MQTT 3.1.1 broker can do, so that clients are measured and not a
 * broker: it answers CONNECT, PUBLISH of QoS 1, SUBSCRIBE and PINGREQ, and drops what is published.
 *
 *     sink            prints "listening on 127.0.0.1:PORT"
 */
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define IN_BYTES (1 << 18)

static unsigned char in[IN_BYTES], out[IN_BYTES];
static size_t in_len, out_len;

static void answer(const void *bytes, size_t len) {
    memcpy(out + out_len, bytes, len);
    out_len += len;
}

/* The packet at `at`, whose rest begins at `rest`. Returns whether the client goes on. */
static int handle(const unsigned char *at, const unsigned char *rest) {
    unsigned topic_len = (unsigned)rest[0] << 8 | rest[1];
    switch (at[0] >> 4) {
    case 1: answer("\x20\x02\0\0", 4); return 1;
    case 3:
        if ((at[0] & 6) != 2) return 1;
        answer("\x40\x02", 2);
        answer(rest + 2 + topic_len, 2);
        return 1;
    case 8:
        answer("\x90\x03", 2);
        answer(rest, 2);
        answer("\0", 1);
        return 1;
    case 12: answer("\xd0\0", 2); return 1;
    case 14: return 0;
    default: return 1;
    }
}

/* Handles the whole packets of what has come. Returns whether the client goes on. */
static int handle_all(void) {
    size_t at = 0;
    int goes_on = 1;
    out_len = 0;
    while (goes_on && in_len - at >= 2 && out_len < IN_BYTES - 16) {
        size_t len = 0, used = 1;
        do {
            len |= (size_t)(in[at + used] & 127) << (7 * (used - 1));
        } while ((in[at + used++] & 128) && used < 5 && at + used < in_len);
        if ((in[at + used - 1] & 128) || in_len - at - used < len) break;
        goes_on = handle(in + at, in + at + used);
        at += used + len;
    }
    memmove(in, in + at, in_len - at);
    in_len -= at;
    return goes_on;
}

static void serve(int fd) {
    in_len = 0;
    for (;;) {
        ssize_t got = recv(fd, in + in_len, IN_BYTES - in_len, 0);
        if (got <= 0) return;
        in_len += (size_t)got;
        if (!handle_all()) return;
        for (size_t sent = 0; sent < out_len;) {
            ssize_t n = send(fd, out + sent, out_len - sent, MSG_NOSIGNAL);
            if (n <= 0) return;
            sent += (size_t)n;
        }
    }
}

int main(void) {
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof address;
    int one = 1, listener = socket(AF_INET, SOCK_STREAM, 0);
    if (bind(listener, (struct sockaddr *)&address, len) != 0 || listen(listener, 16) != 0 ||
        getsockname(listener, (struct sockaddr *)&address, &len) != 0) {
        perror("sink");
        return 1;
    }
    printf("listening on 127.0.0.1:%d\n", ntohs(address.sin_port));
    fflush(stdout);
    for (;;) {
        int fd = accept(listener, NULL, NULL);
        if (fd < 0) continue;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        serve(fd);
        close(fd);
    }
}
