/* pub_raw.c - the limit for publishers: PUBLISH packets made before, so many a send.
 *
 *     pub_raw PORT QOS SECONDS WINDOW BATCH
 */
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include "../common.h"

#define BATCH_MAX 256

static unsigned char packets[BATCH_MAX * 96], input[65536];

int main(int argc, char **argv) {
    if (argc < 6) return 2;
    int qos = atoi(argv[2]), batch = atoi(argv[5]), one = 1;
    uint64_t window = (uint64_t)atoi(argv[4]), sent = 0, acked = 0;
    double seconds = atof(argv[3]);
    if (batch < 1 || batch > BATCH_MAX) return 2;
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons((uint16_t)atoi(argv[1])),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    if (connect(fd, (struct sockaddr *)&address, sizeof address) != 0) return 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (send(fd, "\x10\x0d\0\4MQTT\4\2\0\x3c\0\1r", 15, 0) != 15) return 1;
    if (recv(fd, input, sizeof input, 0) != 4) return 1;
    size_t id_bytes = qos > 0 ? 2 : 0, bytes = 2 + 12 + id_bytes + 64;
    for (int i = 0; i < batch; i++) {
        unsigned char *at = packets + (size_t)i * bytes;
        at[0] = (unsigned char)(0x30 | qos << 1);
        at[1] = (unsigned char)(bytes - 2);
        memcpy(at + 2, "\0\x0a" "bench/topi", 12);
        memset(at + 14 + id_bytes, 'x', 64);
        if (qos > 0) at[14] = 0, at[15] = (unsigned char)(i + 1 > 255 ? 255 : i + 1);
    }
    uint64_t begin = now_ns(), cpu = cpu_ns_self();
    size_t part = 0, all = bytes * (size_t)batch;
    while ((double)(now_ns() - begin) < seconds * 1e9) {
        while (qos == 0 || sent - acked + (uint64_t)batch <= window) {
            if (send(fd, packets, all, MSG_NOSIGNAL) != (ssize_t)all) return 1;
            sent += (uint64_t)batch;
            if (qos == 0) break;
        }
        if (qos == 0) continue;
        ssize_t got = recv(fd, input, sizeof input, 0);
        if (got <= 0) return 1;
        part += (size_t)got;
        acked += part / 4;
        part %= 4;
    }
    double elapsed = (double)(now_ns() - begin) / 1e9, used = (double)(cpu_ns_self() - cpu);
    uint64_t count = qos > 0 ? acked : sent;
    printf("%.0f msg/s, %.0f ns CPU\n", (double)count / elapsed, used / (double)count);
    return 0;
}
