/* hlist.h - a list that is first in, first out, of links that are part of what is listed: no
 * allocation, no failure. A link is in one list at a time, and whoever owns it knows whether it is
 * in any; only a removal from the middle searches. */
#ifndef HV_LIST_H_
#define HV_LIST_H_

#include <stddef.h>

/* What holds the member that `pointer` points to. */
#define HV_CONTAINER_OF(pointer, type, member) \
    ((type *)(void *)((char *)(pointer)-offsetof(type, member)))

typedef struct hlink_s {
    struct hlink_s *next;
} hlink_t;

/* All zero: empty. */
typedef struct hlist_s {
    hlink_t *first;
    hlink_t *last;
} hlist_t;

static inline void hlist_push(hlist_t *list, hlink_t *link) {
    link->next = NULL;
    if (list->last != NULL) {
        list->last->next = link;
    } else {
        list->first = link;
    }
    list->last = link;
}

/* Takes the first one out. Returns NULL where there is none. */
static inline hlink_t *hlist_shift(hlist_t *list) {
    hlink_t *link = list->first;
    if (link == NULL) return NULL;
    list->first = link->next;
    if (list->first == NULL) list->last = NULL;
    link->next = NULL;
    return link;
}

/* Takes all of them out. Returns them as a list. */
static inline hlist_t hlist_take(hlist_t *list) {
    hlist_t taken = *list;
    list->first = list->last = NULL;
    return taken;
}

/* Returns whether it was in that list. */
static inline int hlist_remove(hlist_t *list, hlink_t *link) {
    hlink_t *before = NULL;
    for (hlink_t *at = list->first; at != NULL; before = at, at = at->next) {
        if (at != link) continue;
        if (before != NULL) {
            before->next = link->next;
        } else {
            list->first = link->next;
        }
        if (list->last == link) list->last = before;
        link->next = NULL;
        return 1;
    }
    return 0;
}

#endif
