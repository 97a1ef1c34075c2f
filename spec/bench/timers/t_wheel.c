/* The limit: a hierarchical wheel, 4 levels of 256 slots of 1 ms, intrusive doubly linked lists.
 * Mode "slab" takes nodes from one array, else one malloc each. */
#include "t_common.h"
typedef struct tn {
    struct tn *next, **prev;
    uint64_t at;
    void (*cb)(void *);
    void *u;
} tn;
static tn *slot[4][256];
static uint64_t cur;
static inline void add(tn *t, uint64_t at) {
    uint64_t d = at - cur;
    unsigned l = d < 256 ? 0 : d < 65536 ? 1 : d < 16777216 ? 2 : 3;
    tn **h = &slot[l][(at >> (8 * l)) & 255];
    t->at = at;
    t->next = *h;
    t->prev = h;
    if (*h) (*h)->prev = &t->next;
    *h = t;
}
static inline void del(tn *t) {
    *t->prev = t->next;
    if (t->next) t->next->prev = t->prev;
}
int main(int argc, char **argv) {
    (void)argv;
    int slab = argc > 1;
    cur = 12345;
    tn **t = malloc(sizeof *t * NT), *pool = NULL;
    memset(t, 1, sizeof *t * NT);
    long r0 = rss_kb();
    uint64_t a = now_ns();
    if (slab) pool = malloc(sizeof(tn) * NT);
    for (int i = 0; i < NT; i++) {
        t[i] = slab ? pool + i : malloc(sizeof(tn));
        add(t[i], cur + rnd_ms());
    }
    uint64_t b = now_ns();
    long r1 = rss_kb();
    uint64_t b2 = now_ns();
    for (int i = 0; i < NT; i++) {
        del(t[i]);
        if (!slab) free(t[i]);
    }
    uint64_t c = now_ns();
    report(slab ? "wheel (slab)" : "wheel (malloc)", a, b, c - (b2 - b), r0, r1);
    return 0;
}
