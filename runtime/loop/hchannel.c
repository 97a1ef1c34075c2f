/* hchannel.c - two queues of messages under one mutex, and notices posted between the loops.
 *
 * Both ends lie in one block, whose references are the ends that are open and the notices that are
 * on their way. At most one notice is on its way to an end: further changes before it arrives are
 * told by it too. It is posted under the mutex, and an end forgets its loop under the mutex before
 * the loop is freed, so no notice goes to a loop that is gone. The mutex is taken before the loop's
 * own post_lock, never the other way.
 *
 * A notice that waits in a loop being freed is never delivered. So the loop keeps its ends in a
 * list, also closed ones that a notice is still on its way to, and settles the references at its
 * own end. */
#include "hchannel.h"

#include <pthread.h>

#include "hloop_int.h"
#include "hmem.h"

typedef struct message_s {
    struct message_s *next;
    size_t len;
    char bytes[];
} message_t;

typedef struct guest_s {
    hv__guest_t guest;
    hchannel_t *first;
} guest_t;

typedef struct pair_s pair_t;

struct hchannel_s {
    hevent_t ev; /* loop and the rest are the owner's thread's own */
    pair_t *pair;
    hchannel_cb on_change;
    guest_t *guest; /* whose list it is in, or NULL */
    hchannel_t *next;
    hchannel_t *prev;

    /* Under the pair's lock. */
    hv__posted_t notice; /* so that to tell somebody needs no memory */
    hloop_t *loop; /* where notices go; NULL: nowhere */
    message_t *first;
    message_t *last;
    uint32_t count;
    size_t bytes;
    uint8_t is_closed;
    uint8_t is_shut;    /* sends nothing more */
    uint8_t has_notice; /* one is on its way */
    uint8_t wants_room; /* was told HV_EAGAIN */
};

struct pair_s {
    pthread_mutex_t lock;
    uint32_t references;
    uint32_t count_max;
    size_t bytes_max;
    hchannel_t ends[2];
};

static hchannel_t *peer_of(hchannel_t *end) {
    return &end->pair->ends[end == &end->pair->ends[0]];
}

/* ---- References ---- */

/* Gives back the lock and a reference. */
static void unlock_and_release(pair_t *pair) {
    HV_ASSERT(pair->references > 0);
    int is_last = --pair->references == 0;
    pthread_mutex_unlock(&pair->lock);
    if (!is_last) return;
    HV_ASSERT(pair->ends[0].first == NULL && pair->ends[1].first == NULL);
    pthread_mutex_destroy(&pair->lock);
    hv__free(pair);
}

static void list_remove(hchannel_t *end) {
    if (end->guest == NULL) return;
    if (end->prev != NULL) {
        end->prev->next = end->next;
    } else {
        end->guest->first = end->next;
    }
    if (end->next != NULL) end->next->prev = end->prev;
    end->guest = NULL;
}

/* ---- The loop's side ---- */

/* The loop ends: no notice may be posted to it from here on. */
static void close_guest(hv__guest_t *self) {
    for (hchannel_t *end = ((guest_t *)self)->first; end != NULL; end = end->next) {
        pthread_mutex_lock(&end->pair->lock);
        end->loop = NULL;
        pthread_mutex_unlock(&end->pair->lock);
        if (!end->is_closed) hv__event_deactivate(&end->ev);
    }
}

static void free_guest(hv__guest_t *self) {
    guest_t *guest = (guest_t *)self;
    while (guest->first != NULL) {
        hchannel_t *end = guest->first;
        pair_t *pair = end->pair;
        list_remove(end);
        pthread_mutex_lock(&pair->lock);
        if (end->has_notice) hv__unpost_kept(end->ev.loop, &end->notice);
        end->ev.loop = NULL;
        if (end->has_notice) {
            end->has_notice = 0;
            unlock_and_release(pair);
        } else {
            pthread_mutex_unlock(&pair->lock);
        }
    }
    hv__free(guest);
}

static const hv__guest_kind_t guest_kind = {close_guest, free_guest};

static guest_t *guest_of(hloop_t *loop) {
    guest_t *guest = (guest_t *)hv__guest_find(loop, &guest_kind);
    if (guest != NULL) return guest;
    guest = hv__calloc(1, sizeof *guest);
    if (guest != NULL) hv__guest_add(loop, &guest->guest, &guest_kind);
    return guest;
}

/* ---- Notices ---- */

static void on_notice(hevent_t *ev) {
    hchannel_t *end = ev->userdata;
    hloop_t *loop = ev->loop; /* without the notice, `ev` is for the next one */
    pair_t *pair = end->pair;
    pthread_mutex_lock(&pair->lock);
    end->has_notice = 0; /* its reference is ours until the end of this function */
    int is_closed = end->is_closed;
    pthread_mutex_unlock(&pair->lock);
    if (is_closed) {
        list_remove(end);
    } else {
        HV_DISPATCH(loop, end->on_change(end));
    }
    pthread_mutex_lock(&pair->lock);
    unlock_and_release(pair);
}

/* Under the lock. A loop that is taken down has been forgotten before it refuses events. */
static void notify(hchannel_t *end) {
    if (end->loop == NULL || end->is_closed || end->has_notice) return;
    int code = hv__post_kept(end->loop, &end->notice, on_notice, end);
    HV_ASSERT(code == 0);
    end->has_notice = 1;
    end->pair->references++;
}

/* ---- The API ---- */

int hchannel_pair(hchannel_t *ends[2], uint32_t count_max, size_t bytes_max) {
    if (count_max == 0 || bytes_max == 0) return HV_EINVAL;
    pair_t *pair = hv__calloc(1, sizeof *pair);
    if (pair == NULL) return HV_ENOMEM;
    if (pthread_mutex_init(&pair->lock, NULL) != 0) {
        hv__free(pair);
        return HV_ENOMEM;
    }
    pair->references = 2;
    pair->count_max = count_max;
    pair->bytes_max = bytes_max;
    for (int i = 0; i < 2; i++) {
        pair->ends[i].pair = pair;
        ends[i] = &pair->ends[i];
    }
    return 0;
}

int hchannel_attach(hchannel_t *end, hloop_t *loop, hchannel_cb on_change) {
    HV_ASSERT(end->ev.loop == NULL && on_change != NULL);
    guest_t *guest = guest_of(loop);
    if (guest == NULL) return HV_ENOMEM;
    pair_t *pair = end->pair;
    void *userdata = end->ev.userdata;
    pthread_mutex_lock(&pair->lock);
    end->loop = loop;
    int has_news = end->first != NULL || peer_of(end)->is_closed || peer_of(end)->is_shut;
    if (has_news) notify(end);
    pthread_mutex_unlock(&pair->lock);
    end->on_change = on_change;
    end->guest = guest;
    end->prev = NULL;
    end->next = guest->first;
    if (end->next != NULL) end->next->prev = end;
    guest->first = end;
    hv__event_init(loop, &end->ev, HEVENT_TYPE_CUSTOM, NULL);
    end->ev.userdata = userdata;
    hv__event_activate(&end->ev);
    return 0;
}

int hchannel_send(hchannel_t *end, const void *data, size_t len) {
    pair_t *pair = end->pair;
    hchannel_t *peer = peer_of(end);
    int is_sane = len < SIZE_MAX - sizeof(message_t) - 1;
    message_t *message = is_sane ? hv__malloc(sizeof *message + len + 1) : NULL;
    if (message == NULL) return HV_ENOMEM;
    message->next = NULL;
    message->len = len;
    if (len > 0) memcpy(message->bytes, data, len);
    message->bytes[len] = '\0';
    pthread_mutex_lock(&pair->lock);
    int code = 0;
    if (peer->is_closed || end->is_shut) {
        code = HV_ECLOSED;
    } else if (peer->count >= pair->count_max || peer->bytes >= pair->bytes_max) {
        end->wants_room = 1;
        code = HV_EAGAIN;
    } else {
        notify(peer);
        if (peer->last != NULL) {
            peer->last->next = message;
        } else {
            peer->first = message;
        }
        peer->last = message;
        peer->count++;
        peer->bytes += len;
    }
    pthread_mutex_unlock(&pair->lock);
    if (code != 0) hv__free(message);
    return code;
}

/* Room is told of when half of it is there again: in batches, not for each message. */
static void tell_of_room(hchannel_t *end) {
    pair_t *pair = end->pair;
    hchannel_t *peer = peer_of(end);
    if (!peer->wants_room) return;
    if (end->count > pair->count_max / 2 || end->bytes > pair->bytes_max / 2) return;
    notify(peer);
    peer->wants_room = 0;
}

int hchannel_recv(hchannel_t *end, void **data, size_t *len) {
    pair_t *pair = end->pair;
    pthread_mutex_lock(&pair->lock);
    message_t *message = end->first;
    int code = 0;
    if (message != NULL) {
        HV_ASSERT(end->count > 0 && end->bytes >= message->len);
        end->first = message->next;
        if (end->first == NULL) end->last = NULL;
        end->count--;
        end->bytes -= message->len;
        *data = message->bytes;
        *len = message->len;
        tell_of_room(end);
    } else {
        code = peer_of(end)->is_closed || peer_of(end)->is_shut ? HV_EOF : HV_EAGAIN;
    }
    pthread_mutex_unlock(&pair->lock);
    return code;
}

void hchannel_free(void *data) {
    if (data != NULL) hv__free((char *)data - offsetof(message_t, bytes));
}

void hchannel_shutdown(hchannel_t *end) {
    pthread_mutex_lock(&end->pair->lock);
    if (!end->is_shut) notify(peer_of(end));
    end->is_shut = 1;
    pthread_mutex_unlock(&end->pair->lock);
}

int hchannel_is_closed(hchannel_t *end) {
    pthread_mutex_lock(&end->pair->lock);
    int is_closed = peer_of(end)->is_closed;
    pthread_mutex_unlock(&end->pair->lock);
    return is_closed;
}

void hchannel_close(hchannel_t *end) {
    if (end == NULL) return;
    pair_t *pair = end->pair;
    HV_ASSERT(!end->is_closed);
    if (end->ev.loop != NULL) hv__event_deactivate(&end->ev);
    pthread_mutex_lock(&pair->lock);
    end->is_closed = 1;
    end->loop = NULL;
    message_t *message = end->first;
    end->first = end->last = NULL;
    notify(peer_of(end));
    int stays_listed = end->has_notice;
    if (!stays_listed) list_remove(end);
    unlock_and_release(pair);
    while (message != NULL) {
        message_t *next = message->next;
        hv__free(message);
        message = next;
    }
}
