/* hworker_listen.c - a worker asks its master for a socket that all workers share. One question at
 * a time, answered at once: the master does nothing but wait for such things. Answers are told
 * apart by a number, so that one that came too late is not taken for the next. */
#include "hproc_int.h"

#include "hassert.h"
#include "hmem.h"
#include "hsock.h"

#include <poll.h>
#include <pthread.h>

#define ANSWER_WAIT_MS 10000

/* Of port 0, so that the same question is not the same socket twice. */
typedef struct asked_s {
    struct asked_s *next;
    int flags;
    uint32_t count;
    char host[]; /* NUL-terminated */
} asked_t;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static uint32_t last_serial;
static asked_t *asked_hosts;

int hv__worker_open_socket(const hworker_ask_t *ask) {
    hsock_addr_t addr;
    int len = hsock_address(&addr, ask->host, ask->port);
    if (len < 0) return len;
    if (ask->flags & HWORKER_LISTEN_DATAGRAM) return hsock_bind_datagram(&addr, (socklen_t)len, 0);
    return hsock_listen(&addr, (socklen_t)len, ask->backlog, ask->flags & ~HIO_LISTEN_REUSE_PORT);
}

/* How many sockets with port 0 were asked for before. */
static int count_asked(const char *host, int flags, uint32_t *count) {
    asked_t *at = asked_hosts;
    while (at != NULL && (at->flags != flags || strcmp(at->host, host) != 0)) at = at->next;
    if (at == NULL) {
        size_t bytes = strlen(host) + 1;
        at = hv__malloc(sizeof(*at) + bytes);
        if (at == NULL) return HV_ENOMEM;
        *at = (asked_t){.next = asked_hosts, .flags = flags};
        memcpy(at->host, host, bytes);
        asked_hosts = at;
    }
    *count = at->count++;
    return 0;
}

/* The descriptor that came with a message, or -1. */
static int take_descriptor(struct msghdr *message) {
    struct cmsghdr *rights = CMSG_FIRSTHDR(message);
    if (rights == NULL || rights->cmsg_level != SOL_SOCKET || rights->cmsg_type != SCM_RIGHTS ||
        rights->cmsg_len != CMSG_LEN(sizeof(int))) {
        return -1;
    }
    int fd;
    memcpy(&fd, CMSG_DATA(rights), sizeof(int));
    return fd;
}

/* Takes one answer. Returns whether it is the one; then *result is the descriptor or a code. */
static bool receive(int ask_fd, uint32_t serial, int *result) {
    hworker_answer_t answer;
    struct iovec part = {.iov_base = &answer, .iov_len = sizeof(answer)};
    union {
        struct cmsghdr header; /* for its alignment */
        char bytes[CMSG_SPACE(sizeof(int))];
    } control;
    struct msghdr message = {.msg_iov = &part,
                             .msg_iovlen = 1,
                             .msg_control = control.bytes,
                             .msg_controllen = sizeof(control.bytes)};
    ssize_t bytes = recvmsg(ask_fd, &message, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
    if (bytes < 0 && (errno == EAGAIN || errno == EINTR)) return false;
    if (bytes != (ssize_t)sizeof(answer)) {
        *result = HV_ECLOSED;
        return true;
    }
    int fd = take_descriptor(&message);
    if (answer.serial != serial) {
        if (fd >= 0) close(fd);
        return false;
    }
    /* A process that is out of descriptors gets the answer without. */
    *result = answer.code != 0 ? answer.code : fd >= 0 ? fd : -EMFILE;
    return true;
}

static int ask_master(int ask_fd, const hworker_ask_t *ask) {
    ssize_t sent;
    do {
        sent = send(ask_fd, ask, sizeof(*ask), MSG_NOSIGNAL | MSG_DONTWAIT);
    } while (sent < 0 && errno == EINTR);
    if (sent != (ssize_t)sizeof(*ask)) return HV_ECLOSED;
    for (;;) {
        struct pollfd wait = {.fd = ask_fd, .events = POLLIN};
        int ready = poll(&wait, 1, ANSWER_WAIT_MS);
        if (ready < 0 && errno == EINTR) continue;
        if (ready <= 0) return HV_ETIMEDOUT;
        int result = 0;
        if (receive(ask_fd, ask->serial, &result)) return result;
    }
}

int hv__worker_ask(int ask_fd, hworker_ask_t *ask) {
    pthread_mutex_lock(&lock);
    int code = 0;
    if (ask->port == 0 && ask->host[0] != '/') {
        code = count_asked(ask->host, ask->flags & HWORKER_LISTEN_DATAGRAM, &ask->ordinal);
    }
    ask->serial = ++last_serial;
    if (code == 0) code = ask_master(ask_fd, ask);
    pthread_mutex_unlock(&lock);
    return code;
}
