/* hpoll_epoll.c - readiness by epoll(7), level-triggered.
 *
 * The descriptor and its tag travel in the 64 bits of user data. epoll_pwait2 takes the timeout in
 * nanoseconds, so that the loop sleeps until its next deadline and not to the next millisecond;
 * kernels before 5.11 get epoll_wait with the time rounded up. */
#include "hpoll.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#include "herr.h"
#include "hmem.h"

#define EVENTS_PER_WAIT 512

struct hpoll_s {
    int epoll_fd;
    int lacks_pwait2;
    struct epoll_event events[EVENTS_PER_WAIT];
};

static int epoll_backend_open(hpoll_t **poll) {
    hpoll_t *opened = hv__malloc(sizeof *opened);
    if (opened == NULL) return HV_ENOMEM;
    opened->lacks_pwait2 = 0;
    opened->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (opened->epoll_fd < 0) {
        int code = -errno;
        hv__free(opened);
        return code;
    }
    *poll = opened;
    return 0;
}

static void epoll_backend_close(hpoll_t *poll) {
    close(poll->epoll_fd);
    hv__free(poll);
}

static uint32_t epoll_bits(uint32_t interest) {
    uint32_t bits = 0;
    if (interest & HPOLL_READ) bits |= EPOLLIN;
    if (interest & HPOLL_WRITE) bits |= EPOLLOUT;
    if (interest & HPOLL_EXCLUSIVE) bits |= EPOLLEXCLUSIVE;
    return bits;
}

static int epoll_backend_set(hpoll_t *poll, int fd, uint32_t tag, uint32_t before,
                             uint32_t after) {
    struct epoll_event event = {.events = epoll_bits(after)};
    event.data.u64 = (uint64_t)tag << 32 | (uint32_t)fd;
    int operation = after == 0 ? EPOLL_CTL_DEL : before == 0 ? EPOLL_CTL_ADD : EPOLL_CTL_MOD;
    /* EPOLLEXCLUSIVE can only be given when a descriptor is added. */
    if (operation == EPOLL_CTL_MOD && (before | after) & HPOLL_EXCLUSIVE) {
        epoll_ctl(poll->epoll_fd, EPOLL_CTL_DEL, fd, &event);
        operation = EPOLL_CTL_ADD;
    }
    if (epoll_ctl(poll->epoll_fd, operation, fd, &event) == 0) return 0;
    /* A descriptor number that was closed and opened again behind our back has lost its place. */
    if (errno == ENOENT && operation == EPOLL_CTL_MOD &&
        epoll_ctl(poll->epoll_fd, EPOLL_CTL_ADD, fd, &event) == 0) {
        return 0;
    }
    if (errno == EEXIST && operation == EPOLL_CTL_ADD &&
        epoll_ctl(poll->epoll_fd, EPOLL_CTL_MOD, fd, &event) == 0) {
        return 0;
    }
    return -errno;
}

static int wait_once(hpoll_t *poll, int max, int64_t timeout_us) {
    if (timeout_us > 0 && !poll->lacks_pwait2) {
        struct timespec timeout = {.tv_sec = timeout_us / 1000000,
                                   .tv_nsec = timeout_us % 1000000 * 1000};
        int count = epoll_pwait2(poll->epoll_fd, poll->events, max, &timeout, NULL);
        if (count >= 0 || errno != ENOSYS) return count;
        poll->lacks_pwait2 = 1;
    }
    int64_t timeout_ms = timeout_us < 0 ? -1 : (timeout_us + 999) / 1000;
    if (timeout_ms > INT32_MAX) timeout_ms = INT32_MAX;
    return epoll_wait(poll->epoll_fd, poll->events, max, (int)timeout_ms);
}

static int epoll_backend_wait(hpoll_t *poll, hpoll_event_t *events, int max, int64_t timeout_us) {
    if (max > EVENTS_PER_WAIT) max = EVENTS_PER_WAIT;
    int count = wait_once(poll, max, timeout_us);
    if (count < 0) return errno == EINTR ? 0 : -errno;
    for (int i = 0; i < count; i++) {
        uint32_t bits = poll->events[i].events;
        uint64_t data = poll->events[i].data.u64;
        events[i].fd = (int)(uint32_t)data;
        events[i].tag = (uint32_t)(data >> 32);
        events[i].events = (bits & EPOLLIN ? (uint32_t)HPOLL_READ : 0) |
                           (bits & EPOLLOUT ? (uint32_t)HPOLL_WRITE : 0) |
                           (bits & (EPOLLERR | EPOLLHUP) ? (uint32_t)HPOLL_HANGUP : 0);
    }
    return count;
}

static int epoll_backend_reset(hpoll_t *poll) {
    int fresh = epoll_create1(EPOLL_CLOEXEC);
    if (fresh < 0) return -errno;
    /* The number stays the same: a foreign loop may be waiting for it. */
    int code = dup3(fresh, poll->epoll_fd, O_CLOEXEC) < 0 ? -errno : 0;
    close(fresh);
    return code;
}

static int epoll_backend_fd(const hpoll_t *poll) { return poll->epoll_fd; }

const hpoll_backend_t hpoll_epoll = {
    .name = "epoll",
    .open = epoll_backend_open,
    .close = epoll_backend_close,
    .set = epoll_backend_set,
    .wait = epoll_backend_wait,
    .reset = epoll_backend_reset,
    .backend_fd = epoll_backend_fd,
};
