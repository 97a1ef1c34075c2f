/* hiredis_get.c - the measure of redis.sh: GETs in pipelines, with hiredis' blocking C client.
 *
 *     hiredis_get PORT ROUNDS
 *
 * A round is a pipeline of 10,000 GETs of 100 keys whose values have 16 bytes. Prints operations a
 * second of wall time and nanoseconds of the client's CPU an operation. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>

#include <hiredis/hiredis.h>

#define BATCH 10000
#define KEYS  100

static double cpu_s(void) {
    struct rusage use;
    getrusage(RUSAGE_SELF, &use);
    return (double)(use.ru_utime.tv_sec + use.ru_stime.tv_sec) +
           (double)(use.ru_utime.tv_usec + use.ru_stime.tv_usec) / 1e6;
}

static double now_s(void) {
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    return (double)at.tv_sec + (double)at.tv_nsec / 1e9;
}

int main(int argc, char **argv) {
    if (argc != 3) return 2;
    int rounds = atoi(argv[2]);
    redisContext *c = redisConnect("127.0.0.1", atoi(argv[1]));
    if (c == NULL || c->err) return 1;
    for (int i = 0; i < KEYS; i++) {
        freeReplyObject(redisCommand(c, "SET bench:%d value-of-16-byte", i));
    }
    double wall = now_s(), cpu = cpu_s();
    long bytes = 0;
    for (int round = 0; round < rounds; round++) {
        for (int i = 0; i < BATCH; i++) redisAppendCommand(c, "GET bench:%d", i % KEYS);
        for (int i = 0; i < BATCH; i++) {
            redisReply *reply;
            if (redisGetReply(c, (void **)&reply) != REDIS_OK) return 1;
            bytes += (long)reply->len;
            freeReplyObject(reply);
        }
    }
    double n = (double)rounds * BATCH;
    if (bytes != (long)(n * 16)) return 1;
    printf("hiredis %.0f op/s, %.0f ns CPU\n", n / (now_s() - wall), (cpu_s() - cpu) / n * 1e9);
    redisFree(c);
    return 0;
}
