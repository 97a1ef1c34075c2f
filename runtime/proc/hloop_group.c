/* hloop_group.c - loops in threads. Each loop is made by the caller and run by its thread; a
 * barrier of posted events tells that all of them run.
 *
 * An io on its way from one loop to another belongs to neither. It is kept in the list of the
 * member it goes to until that one has attached it, so that what never arrived is closed with the
 * group. */
#include "hloop_group.h"

#include "hassert.h"
#include "hbase.h"
#include "hdispatch.h"
#include "hmem.h"
#include "hthread.h"

#include <semaphore.h>
#include <stdatomic.h>

typedef struct parcel_s {
    struct parcel_s *next;
    struct member_s *member;
    hio_t *io;
    void (*on_open)(hio_t *io);
} parcel_t;

typedef struct member_s {
    hloop_group_t *group;
    hloop_t *loop;
    hthread_t thread;
    int index;
    _Atomic uint32_t load;
    pthread_mutex_t lock; /* of the list */
    parcel_t *parcels;
} member_t;

struct hloop_group_s {
    int size;
    int started; /* threads that are to be joined */
    atomic_uint turn;
    uint64_t seed; /* of HLOOP_PICK_RANDOM */
    sem_t is_running;
    void (*on_start)(hloop_t *loop, int index, void *userdata);
    void *userdata;
    member_t members[];
};

/* The member that the calling thread runs. */
static _Thread_local member_t *own;

static int processors(void) {
    long count = sysconf(_SC_NPROCESSORS_ONLN);
    if (count < 1) return 1;
    return count < HLOOP_GROUP_SIZE_MAX ? (int)count : HLOOP_GROUP_SIZE_MAX;
}

hloop_group_t *hloop_group_new(int size) {
    if (size == 0) size = processors();
    if (size < 0 || size > HLOOP_GROUP_SIZE_MAX) {
        errno = EINVAL;
        return NULL;
    }
    hloop_group_t *group = hv__calloc(1, sizeof(*group) + (size_t)size * sizeof(group->members[0]));
    if (group == NULL) {
        errno = ENOMEM;
        return NULL;
    }
    sem_init(&group->is_running, 0, 0);
    group->seed = (uint64_t)hv_rand(0, INT_MAX) << 32;
    for (; group->size < size; group->size++) {
        member_t *member = &group->members[group->size];
        member->loop = hloop_new(0);
        if (member->loop == NULL) {
            int reason = errno;
            hloop_group_free(&group);
            errno = reason;
            return NULL;
        }
        member->group = group;
        member->index = group->size;
        pthread_mutex_init(&member->lock, NULL);
    }
    return group;
}

/* ---- Threads ---- */

static void on_running(hevent_t *ev) {
    hloop_group_t *group = ev->userdata;
    sem_post(&group->is_running);
}

static HTHREAD_ROUTINE(run_member) {
    member_t *member = userdata;
    hloop_group_t *group = member->group;
    own = member;
    if (group->on_start != NULL) {
        HV_DISPATCH(member->loop, group->on_start(member->loop, member->index, group->userdata));
    }
    hloop_run(member->loop);
    own = NULL;
    return 0;
}

/* The event is posted before the thread starts: a stop that follows then finds the loop running. */
static int start_member(member_t *member) {
    hevent_t ev;
    memset(&ev, 0, sizeof(ev));
    ev.loop = member->loop;
    ev.cb = on_running;
    ev.userdata = member->group;
    int code = hloop_post_event(member->loop, &ev);
    if (code != 0) return code;
    member->thread = hthread_create(run_member, member);
    return member->thread != 0 ? 0 : -errno;
}

int hloop_group_start(hloop_group_t *group,
                      void (*on_start)(hloop_t *loop, int index, void *userdata), void *userdata) {
    if (group->started > 0) return HV_EBUSY;
    group->on_start = on_start;
    group->userdata = userdata;
    int code = 0;
    while (code == 0 && group->started < group->size) {
        code = start_member(&group->members[group->started]);
        if (code == 0) group->started++;
    }
    for (int i = 0; i < group->started; i++) {
        while (sem_wait(&group->is_running) != 0) continue; /* EINTR */
    }
    if (code != 0) {
        hloop_group_stop(group);
        hloop_group_join(group);
    }
    return code;
}

void hloop_group_stop(hloop_group_t *group) {
    for (int i = 0; i < group->started; i++) hloop_stop(group->members[i].loop);
}

int hloop_group_join(hloop_group_t *group) {
    if (own != NULL && own->group == group) return HV_EBUSY;
    for (int i = 0; i < group->started; i++) {
        int code = hthread_join(group->members[i].thread);
        HV_ASSERT(code == 0);
    }
    group->started = 0;
    return 0;
}

/* What was on its way is put into the loop, which closes it when it is freed. */
static void take_in_parcels(member_t *member) {
    while (member->parcels != NULL) {
        parcel_t *parcel = member->parcels;
        member->parcels = parcel->next;
        hio_attach(member->loop, parcel->io);
        hv__free(parcel);
    }
}

void hloop_group_free(hloop_group_t **group_ptr) {
    if (group_ptr == NULL || *group_ptr == NULL) return;
    hloop_group_t *group = *group_ptr;
    *group_ptr = NULL;
    hloop_group_stop(group);
    int code = hloop_group_join(group);
    HV_ASSERT(code == 0);
    for (int i = 0; i < group->size; i++) {
        member_t *member = &group->members[i];
        take_in_parcels(member);
        own = member; /* close callbacks may ask where they are */
        hloop_free(&member->loop);
        own = NULL;
        pthread_mutex_destroy(&member->lock);
    }
    sem_destroy(&group->is_running);
    hv__free(group);
}

/* ---- Choosing ---- */

int hloop_group_size(const hloop_group_t *group) { return group->size; }

hloop_t *hloop_group_loop(const hloop_group_t *group, int index) {
    HV_ASSERT(index >= 0 && index < group->size);
    return group->members[index].loop;
}

int hloop_group_index(const hloop_group_t *group) {
    return own != NULL && own->group == group ? own->index : -1;
}

uint32_t hloop_group_load(const hloop_group_t *group, int index) {
    HV_ASSERT(index >= 0 && index < group->size);
    return atomic_load_explicit(&group->members[index].load, memory_order_relaxed);
}

/* Multiplicative hashing with 2^64 divided by the golden ratio: the upper half depends on all bits
 * of the value. Twice, since a factor alone maps neighbours to neighbours. */
static uint64_t mix(uint64_t value) {
    static const uint64_t golden = UINT64_C(0x9e3779b97f4a7c15);
    value = (value + 1) * golden;
    value = (value ^ value >> 32) * golden;
    return value >> 32;
}

static uint64_t hash_address(const struct sockaddr *peer) {
    if (peer != NULL && peer->sa_family == AF_INET) {
        const struct sockaddr_in *in = (const struct sockaddr_in *)(const void *)peer;
        return mix(in->sin_addr.s_addr);
    }
    if (peer != NULL && peer->sa_family == AF_INET6) {
        const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)(const void *)peer;
        uint64_t halves[2];
        memcpy(halves, &in6->sin6_addr, sizeof(halves));
        return mix((mix(halves[0]) << 32 | mix(halves[1])) ^ halves[0]);
    }
    return 0;
}

/* Begins where round robin would, so that equal loads take turns. */
static unsigned least_loaded(const hloop_group_t *group, unsigned first) {
    unsigned best = first;
    for (unsigned i = 1; i < (unsigned)group->size; i++) {
        unsigned other = (first + i) % (unsigned)group->size;
        if (hloop_group_load(group, (int)other) < hloop_group_load(group, (int)best)) best = other;
    }
    return best;
}

static member_t *pick_member(hloop_group_t *group, hloop_pick_e pick, const struct sockaddr *peer) {
    unsigned size = (unsigned)group->size;
    if (pick == HLOOP_PICK_IP_HASH) return &group->members[hash_address(peer) % size];
    unsigned turn = atomic_fetch_add_explicit(&group->turn, 1, memory_order_relaxed);
    if (pick == HLOOP_PICK_RANDOM) return &group->members[mix(group->seed + turn) % size];
    if (pick == HLOOP_PICK_LEAST_CONNECTIONS) {
        return &group->members[least_loaded(group, turn % size)];
    }
    return &group->members[turn % size];
}

hloop_t *hloop_group_next(hloop_group_t *group, hloop_pick_e pick, const struct sockaddr *peer) {
    return pick_member(group, pick, peer)->loop;
}

/* ---- Handing over ---- */

static void remove_parcel(parcel_t *parcel) {
    member_t *member = parcel->member;
    pthread_mutex_lock(&member->lock);
    parcel_t **link = &member->parcels;
    while (*link != parcel) link = &(*link)->next;
    *link = parcel->next;
    pthread_mutex_unlock(&member->lock);
}

static void on_parcel(hevent_t *ev) {
    parcel_t *parcel = ev->userdata;
    hio_t *io = parcel->io;
    void (*on_open)(hio_t *) = parcel->on_open;
    remove_parcel(parcel);
    hv__free(parcel);
    hio_attach(ev->loop, io);
    if (on_open != NULL) HV_DISPATCH(ev->loop, on_open(io));
}

int hloop_group_hand_over(hloop_group_t *group, hloop_pick_e pick, hio_t *io,
                          void (*on_open)(hio_t *io)) {
    parcel_t *parcel = hv__malloc(sizeof(*parcel));
    if (parcel == NULL) return HV_ENOMEM;
    member_t *member = pick_member(group, pick, hio_peeraddr(io));
    hloop_t *old_loop = hevent_loop(io);
    hio_detach(io);
    *parcel = (parcel_t){.member = member, .io = io, .on_open = on_open};
    pthread_mutex_lock(&member->lock);
    parcel->next = member->parcels;
    member->parcels = parcel;
    pthread_mutex_unlock(&member->lock);
    atomic_fetch_add_explicit(&member->load, 1, memory_order_relaxed);

    hevent_t ev;
    memset(&ev, 0, sizeof(ev));
    ev.loop = member->loop;
    ev.cb = on_parcel;
    ev.userdata = parcel;
    int code = hloop_post_event(member->loop, &ev);
    if (code == 0) return 0;
    atomic_fetch_sub_explicit(&member->load, 1, memory_order_relaxed);
    remove_parcel(parcel);
    hv__free(parcel);
    hio_attach(old_loop, io);
    return code;
}

void hloop_group_release(hloop_group_t *group, hloop_t *loop) {
    member_t *member = own;
    if (member == NULL || member->loop != loop) {
        for (int i = 0; i < group->size; i++) {
            if (group->members[i].loop == loop) member = &group->members[i];
        }
    }
    HV_ASSERT(member != NULL);
    uint32_t before = atomic_fetch_sub_explicit(&member->load, 1, memory_order_relaxed);
    HV_ASSERT(before > 0);
}
