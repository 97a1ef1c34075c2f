/* common.h - small helpers shared by the load clients: clock, histogram, /proc readers. */
#ifndef BENCH_COMMON_H
#define BENCH_COMMON_H
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static inline uint64_t now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000ull + (uint64_t)t.tv_nsec;
}

static inline uint64_t cpu_ns_self(void) {
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (uint64_t)t.tv_sec * 1000000000ull + (uint64_t)t.tv_nsec;
}

/* Log-linear histogram: 64 sub-buckets per power of two, error < 1.6 %. */
#define HIST_SUB 64
#define HIST_N   (64 * HIST_SUB)
typedef struct {
    uint64_t n, max;
    uint64_t b[HIST_N];
} hist_t;

static inline void hist_add(hist_t *h, uint64_t v) {
    unsigned i;
    if (v < HIST_SUB) {
        i = (unsigned)v;
    } else {
        unsigned e = 63u - (unsigned)__builtin_clzll(v); /* v >= 64 so e >= 6 */
        i = (e - 5) * HIST_SUB + (unsigned)((v >> (e - 6)) & (HIST_SUB - 1));
    }
    h->b[i]++;
    h->n++;
    if (v > h->max) h->max = v;
}

static inline double hist_q(const hist_t *h, double q) {
    uint64_t want = (uint64_t)(q * (double)h->n), seen = 0;
    for (unsigned i = 0; i < HIST_N; i++) {
        seen += h->b[i];
        if (seen > want) {
            if (i < HIST_SUB) return i;
            unsigned e = i / HIST_SUB + 5, s = i % HIST_SUB;
            return (double)((uint64_t)(HIST_SUB + s) << (e - 6));
        }
    }
    return (double)h->max;
}

/* CPU use and memory of a set of processes (all threads). */
typedef struct {
    uint64_t run_ns;
    double user_s, sys_s;
    long rss_kb;
} procuse_t;

static inline void proc_add(procuse_t *u, int pid) {
    char path[320], buf[2048];
    snprintf(path, sizeof path, "/proc/%d/task", pid);
    DIR *d = opendir(path);
    if (d) {
        struct dirent *e;
        while ((e = readdir(d))) {
            if (e->d_name[0] == '.') continue;
            snprintf(path, sizeof path, "/proc/%d/task/%s/schedstat", pid, e->d_name);
            FILE *f = fopen(path, "r");
            unsigned long long ns;
            if (f) {
                if (fscanf(f, "%llu", &ns) == 1) u->run_ns += ns;
                fclose(f);
            }
        }
        closedir(d);
    }
    snprintf(path, sizeof path, "/proc/%d/stat", pid);
    FILE *f = fopen(path, "r");
    if (f) {
        size_t n = fread(buf, 1, sizeof buf - 1, f);
        buf[n] = 0;
        fclose(f);
        char *p = strrchr(buf, ')');
        unsigned long ut, st;
        if (p &&
            sscanf(p + 2, "%*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &ut, &st) == 2) {
            double hz = (double)sysconf(_SC_CLK_TCK);
            u->user_s += (double)ut / hz;
            u->sys_s += (double)st / hz;
        }
    }
    snprintf(path, sizeof path, "/proc/%d/status", pid);
    f = fopen(path, "r");
    if (f) {
        long kb;
        while (fgets(buf, sizeof buf, f))
            if (sscanf(buf, "VmRSS: %ld kB", &kb) == 1) u->rss_kb += kb;
        fclose(f);
    }
}

/* pids: comma separated list */
static inline procuse_t proc_use(const char *pids) {
    procuse_t u = {0, 0, 0, 0};
    while (pids && *pids) {
        proc_add(&u, atoi(pids));
        pids = strchr(pids, ',');
        if (pids) pids++;
    }
    return u;
}
#endif
