/* hpoll.c - chooses a backend by name. */
#include "hpoll.h"

#include <stddef.h>
#include <string.h>

const hpoll_backend_t *hpoll_find(const char *name) {
    static const hpoll_backend_t *const backends[] = {&hpoll_epoll, &hpoll_fake};
    if (name == NULL) return backends[0];
    for (size_t i = 0; i < sizeof backends / sizeof backends[0]; i++) {
        if (strcmp(backends[i]->name, name) == 0) return backends[i];
    }
    return NULL;
}
