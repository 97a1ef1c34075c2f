/* What programs call by other names: locks, logs, reads and writes of plain descriptors. */
#define _GNU_SOURCE
#include "hv/hlog.h"
#include "hv/hloop.h"
#include "hv/hmutex.h"
#include "hv/hsocket.h"
#include "hv/hthread.h"

/* ---- Locks ---- */

enum { THREADS = 4, TURNS = 5000 };

static hmutex_t mutex;
static htimed_mutex_t timed_mutex;
static hspinlock_t spinlock;
static hrwlock_t rwlock;
static hcondvar_t condition;
static honce_t once = HONCE_INIT;
static int sums[4], ended, beginnings;

static void begin(void) { beginnings++; }

static HTHREAD_RETTYPE count(void *userdata) {
    (void)userdata;
    honce(&once, begin);
    for (int i = 0; i < TURNS; i++) {
        hmutex_lock(&mutex), sums[0]++, hmutex_unlock(&mutex);
        htimed_mutex_lock(&timed_mutex), sums[1]++, htimed_mutex_unlock(&timed_mutex);
        hspinlock_lock(&spinlock), sums[2]++, hspinlock_unlock(&spinlock);
        hrwlock_wrlock(&rwlock), sums[3]++, hrwlock_wrunlock(&rwlock);
    }
    hmutex_lock(&mutex);
    if (++ended == THREADS) hcondvar_broadcast(&condition);
    hmutex_unlock(&mutex);
    return 0;
}

static void locks(void) {
    hthread_t threads[THREADS];
    hmutex_init(&mutex);
    htimed_mutex_init(&timed_mutex);
    hspinlock_init(&spinlock);
    hrwlock_init(&rwlock);
    hcondvar_init(&condition);
    for (int i = 0; i < THREADS; i++) threads[i] = hthread_create(count, NULL);
    hmutex_lock(&mutex);
    while (ended < THREADS) hcondvar_wait(&condition, &mutex);
    printf("busy=%d\n", hmutex_trylock(&mutex) == EBUSY);
    hmutex_unlock(&mutex);
    for (int i = 0; i < THREADS; i++) hthread_join(threads[i]);
    hrwlock_rdlock(&rwlock);
    printf("sums=%d,%d,%d,%d once=%d\n", sums[0], sums[1], sums[2], sums[3], beginnings);
    hrwlock_rdunlock(&rwlock);
    hmutex_destroy(&mutex);
    htimed_mutex_destroy(&timed_mutex);
    hspinlock_destroy(&spinlock);
    hrwlock_destroy(&rwlock);
    hcondvar_destroy(&condition);
}

/* ---- Logs ---- */

static void logs(void) {
    char path[256];
    hlog_set_file("names.log");
    hlog_set_format("%L %s");
    hlog_set_max_bufsize(200);
    hlog_set_max_filesize(1 << 20);
    hlog_set_max_filesize_by_str("1M");
    hlog_set_remain_days(1);
    hlog_enable_fsync();
    hlog_set_level_by_str("VERBOSE");
    hlogv("1");
    hlogd("2");
    hlogi("3");
    hlog_disable_fsync();
    hlogw("4");
    hloge("5");
    hlogf("6");
    hlog_set_async(4096);
    LOGI("7");
    hlog_flush();
    hlog_fsync();
    printf("log=%s\n", hlog_get_cur_file(path, sizeof path));
    hlog_destory(); /* as programs spell it */
}

/* ---- Descriptors ---- */

static int missing = 3;
static hloop_t *loop;

static void had(const char *what, const char *data, int len) {
    printf("%s=%.*s\n", what, len, data);
    if (--missing == 0) hloop_stop(loop);
}

static void on_stream(hio_t *io, void *data, int len) {
    (void)io;
    had("stream", data, len);
}

static void on_datagram(hio_t *io, void *data, int len) {
    (void)io;
    had("datagram", data, len);
}

static void on_sent(hio_t *io, const void *data, int len) {
    char bytes[12];
    (void)io;
    (void)data;
    had("sent", bytes, snprintf(bytes, sizeof bytes, "%d", len));
}

static void descriptors(void) {
    static char mine[64];
    int pair[2], senders[2];
    loop = hloop_new(0);
    if (Socketpair(AF_UNIX, SOCK_STREAM, 0, pair) != 0) exit(1);
    if (Socketpair(AF_UNIX, SOCK_DGRAM, 0, senders) != 0) exit(1);
    hrecv(loop, pair[0], mine, sizeof mine, on_stream);
    hrecvfrom(loop, senders[0], NULL, 0, on_datagram);
    hio_t *io = hsend(loop, pair[1], "by the pair", 11, on_sent);
    hsendto(loop, senders[1], "by datagram", 11, NULL);
    hevent_set_priority(io, HEVENT_HIGH_PRIORITY);
    printf("priority=%d\n", hevent_priority(io));
    hloop_run(loop);
    hloop_free(&loop);
    errno = ECONNRESET;
    printf("errno=%d\n", socket_errno() + socket_errno_negative());
}

int main(void) {
    locks();
    logs();
    descriptors();
    return 0;
}
