/* hpoll_fake.c - a scripted backend: tests say which descriptors are ready, and time passes only
 * by the timeouts that the loop asks for. */
#include "hpoll.h"

#include <stddef.h>
#include <string.h>

#include "hclock.h"
#include "herr.h"
#include "hmem.h"

typedef struct interest_s {
    uint32_t tag;
    uint32_t bits;
} interest_t;

struct hpoll_s {
    interest_t *interests; /* by descriptor */
    int interest_count;
    hpoll_event_t *script; /* the next batch; tags are filled in at the wait */
    int script_len;
    int script_cap;
    uint64_t set_calls;
};

static int fake_open(hpoll_t **poll) {
    hpoll_t *opened = hv__calloc(1, sizeof *opened);
    if (opened == NULL) return HV_ENOMEM;
    *poll = opened;
    return 0;
}

static void fake_close(hpoll_t *poll) {
    hv__free(poll->interests);
    hv__free(poll->script);
    hv__free(poll);
}

static int fake_set(hpoll_t *poll, int fd, uint32_t tag, uint32_t before, uint32_t after) {
    (void)before;
    poll->set_calls++;
    if (fd >= poll->interest_count) {
        int count = fd + 16;
        interest_t *grown = hv__realloc(poll->interests, (size_t)count * sizeof *grown);
        if (grown == NULL) return HV_ENOMEM;
        memset(grown + poll->interest_count, 0,
               (size_t)(count - poll->interest_count) * sizeof *grown);
        poll->interests = grown;
        poll->interest_count = count;
    }
    poll->interests[fd] = (interest_t){.tag = tag, .bits = after};
    return 0;
}

static int fake_wait(hpoll_t *poll, hpoll_event_t *events, int max, int64_t timeout_us) {
    if (poll->script_len == 0) {
        if (timeout_us < 0) return HV_ECANCELED;
        hclock_advance((uint64_t)timeout_us);
        return 0;
    }
    int count = poll->script_len < max ? poll->script_len : max;
    for (int i = 0; i < count; i++) {
        events[i] = poll->script[i];
        if (events[i].fd < poll->interest_count) {
            events[i].tag = poll->interests[events[i].fd].tag;
        }
    }
    poll->script_len -= count;
    memmove(poll->script, poll->script + count, (size_t)poll->script_len * sizeof *poll->script);
    return count;
}

static int fake_reset(hpoll_t *poll) {
    if (poll->interests != NULL) {
        memset(poll->interests, 0, (size_t)poll->interest_count * sizeof *poll->interests);
    }
    return 0;
}

static int fake_fd(const hpoll_t *poll) {
    (void)poll;
    return -1;
}

int hpoll_fake_push(hpoll_t *poll, int fd, uint32_t events) {
    if (poll->script_len == poll->script_cap) {
        int cap = poll->script_cap ? poll->script_cap * 2 : 16;
        hpoll_event_t *grown = hv__realloc(poll->script, (size_t)cap * sizeof *grown);
        if (grown == NULL) return HV_ENOMEM;
        poll->script = grown;
        poll->script_cap = cap;
    }
    poll->script[poll->script_len++] = (hpoll_event_t){.fd = fd, .events = events};
    return 0;
}

uint32_t hpoll_fake_interest(const hpoll_t *poll, int fd) {
    return fd >= 0 && fd < poll->interest_count ? poll->interests[fd].bits : 0;
}

uint64_t hpoll_fake_set_calls(const hpoll_t *poll) { return poll->set_calls; }

const hpoll_backend_t hpoll_fake = {
    .name = "fake",
    .open = fake_open,
    .close = fake_close,
    .set = fake_set,
    .wait = fake_wait,
    .reset = fake_reset,
    .backend_fd = fake_fd,
};
