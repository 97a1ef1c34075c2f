/* bench_ws_publish.c [SUBSCRIBERS] [ROUNDS] - one message of 64 bytes to many subscribers, against
 * as many bare sends of the same frame on the same sockets, by turns. Prints microseconds of CPU a
 * message and subscriber, and their ratio; the medians over the rounds. The subscribers' ends are a
 * child process's, which has as many descriptors again. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include "ws_int.h"

static double cpu_us(void) {
    struct timespec at;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &at);
    return (double)at.tv_sec * 1e6 + (double)at.tv_nsec / 1e3;
}

static int compare(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* The child: connects, and at each byte of `orders` reads what has come, and answers with a byte.
 * What was sent must not stay in the kernel, and reading it is not part of the cost. */
static void be_peers(const struct sockaddr_in *addr, int count, int orders, int answers) {
    int *peers = calloc((size_t)count, sizeof *peers);
    char sink[4096], order;
    for (int i = 0; i < count; i++) {
        peers[i] = socket(AF_INET, SOCK_STREAM, 0);
        if (peers[i] < 0 || connect(peers[i], (const struct sockaddr *)addr, sizeof *addr) != 0) {
            perror("bench_ws_publish: connect (raise ulimit -n)");
            _exit(1);
        }
    }
    while (read(orders, &order, 1) == 1) {
        for (int i = 0; i < count; i++) {
            while (recv(peers[i], sink, sizeof sink, MSG_DONTWAIT) == (ssize_t)sizeof sink) {
            }
        }
        if (write(answers, "", 1) != 1) break;
    }
    _exit(0);
}

static int orders[2], answers[2];

static void empty_peers(void) {
    char answer;
    if (write(orders[1], "", 1) != 1 || read(answers[0], &answer, 1) != 1) exit(1);
}

int main(int argc, char **argv) {
    int count = argc > 1 ? atoi(argv[1]) : 10000, rounds = argc > 2 ? atoi(argv[2]) : 15;
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    if ((rlim_t)count + 50 > limit.rlim_cur) count = (int)limit.rlim_cur - 50;

    struct sockaddr_in addr = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t addr_len = sizeof addr;
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    if (bind(listener, (struct sockaddr *)&addr, sizeof addr) != 0 || listen(listener, 1024) != 0)
        return 1;
    getsockname(listener, (struct sockaddr *)&addr, &addr_len);

    if (pipe(orders) != 0 || pipe(answers) != 0) return 1;
    pid_t child = fork();
    if (child < 0) return 1;
    if (child == 0) {
        close(orders[1]);
        be_peers(&addr, count, orders[0], answers[1]);
    }
    close(answers[1]);

    hloop_t *loop = hloop_new(0);
    hws_hub_t *hub = hws_hub_new(loop);
    hws_endpoint_t *endpoint = hws_endpoint_new(hub, NULL, NULL);
    int *ours = calloc((size_t)count, sizeof *ours);
    const ws_agreement_t agreement = {.deflate = {.is_on = 0}};
    for (int i = 0; i < count; i++) {
        ours[i] = accept4(listener, NULL, NULL, SOCK_NONBLOCK);
        hws_t *ws = hv__ws_new(endpoint, NULL);
        hv__ws_open(ws, hio_get(loop, ours[i]), &agreement);
        if (i % 100 == 99) hloop_process_events(loop, 0);
        hws_subscribe(ws, "news", 4);
    }
    hloop_process_events(loop, 0);

    char frame[66] = {(char)0x81, 64};
    memset(frame + 2, 'x', 64);
    double *sends = calloc((size_t)rounds, sizeof *sends),
           *publishes = calloc((size_t)rounds, sizeof *sends);
    double *ratios = calloc((size_t)rounds, sizeof *ratios);
    for (int round = -2; round < rounds; round++) {
        double start = cpu_us();
        for (int i = 0; i < count; i++)
            send(ours[i], frame, sizeof frame, MSG_NOSIGNAL);
        double bare = cpu_us() - start;
        empty_peers();
        start = cpu_us();
        int got = hws_publish(hub, "news", 4, HWS_TEXT, frame + 2, 64, NULL);
        hloop_process_events(loop, 0);
        double published = cpu_us() - start;
        empty_peers();
        if (got != count) return 1;
        if (round < 0) continue;
        sends[round] = bare / count;
        publishes[round] = published / count;
        ratios[round] = published / bare;
    }
    qsort(sends, (size_t)rounds, sizeof *sends, compare);
    qsort(publishes, (size_t)rounds, sizeof *publishes, compare);
    qsort(ratios, (size_t)rounds, sizeof *ratios, compare);
    printf("{\"subscribers\":%d,\"send_us\":%.3f,\"publish_us\":%.3f,\"ratio\":%.3f}\n", count,
           sends[rounds / 2], publishes[rounds / 2], ratios[rounds / 2]);
    return 0;
}
