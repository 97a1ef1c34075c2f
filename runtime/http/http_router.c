/* http_router.c - routes as a tree with one node per segment of a pattern.
 *
 * A path is cut at every '/': "/" is one empty segment, "/a/" is "a" and "", "/a//b" is "a", "",
 * "b"; so empty segments and a trailing slash are significant. A node has literal children, sorted
 * by length and bytes, at most one child for ":name", and at most one leaf for "*rest". Names of
 * parameters belong to the route, not to the node: "/:a" and "/:b/x" share one.
 *
 * Matching walks the tree depth first, literal before name before rest, and steps back; the first
 * leaf that takes the method wins. The walk goes on after that, only to complete allow_mask.
 *
 * Work is bounded: a node at depth d is only ever tried with segment d of the path, and it has one
 * parent, so a walk enters each node at most once, whatever the path looks like. A path is read
 * no further than the deepest pattern. Nothing is allocated. */
#include "hassert.h"
#include "hhttp.h"
#include "hmem.h"

#define SEGMENTS_MAX       64
#define LITERAL_BYTES_MAX  255
#define METHOD_COUNT       (HHTTP_ANY + 1)
#define METHOD_BIT(method) (1u << (method))
#define ALL_METHODS        ((1u << METHOD_COUNT) - 1)

/* One route: its number and the names of its parameters, which stand behind it in one block. */
typedef struct route_s {
    uint32_t number;
    uint32_t param_count;
    hhttp_slice_t names[];
} route_t;

/* Where patterns of one shape end. */
typedef struct leaf_s {
    uint32_t allow_mask;
    route_t *by_method[METHOD_COUNT];
} leaf_t;

typedef struct node_s node_t;

typedef struct literal_s {
    char *text; /* decoded */
    size_t len;
    node_t *node;
} literal_t;

struct node_s {
    literal_t *literals; /* sorted by compare_literal */
    size_t literal_count;
    node_t *param;
    leaf_t *leaf; /* patterns that end with this segment */
    leaf_t *rest; /* patterns that end with "*rest" after this segment */
};

struct hhttp_router_s {
    node_t root; /* stands before the first slash */
};

/* ---- Literals ---- */

static int compare_literal(const literal_t *literal, const char *text, size_t len) {
    if (literal->len != len) return literal->len < len ? -1 : 1;
    return len == 0 ? 0 : memcmp(literal->text, text, len);
}

/* Index of the literal, or of the place where it belongs; tells which by *is_there. */
static inline size_t search_literal(const node_t *node, const char *text, size_t len,
                                    int *is_there) {
    size_t low = 0;
    size_t high = node->literal_count;
    *is_there = 0;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = compare_literal(&node->literals[middle], text, len);
        if (order == 0) {
            *is_there = 1;
            return middle;
        }
        if (order < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

/* ---- Building ---- */

static node_t *add_literal_child(node_t *node, const char *text, size_t len) {
    int is_there;
    size_t at = search_literal(node, text, len, &is_there);
    if (is_there) return node->literals[at].node;
    literal_t *literals = hv__realloc(node->literals, (node->literal_count + 1) * sizeof *literals);
    if (literals == NULL) return NULL;
    node->literals = literals;
    literal_t fresh = {.text = hv__strndup(text, len), .len = len};
    if (fresh.text == NULL) return NULL;
    fresh.node = hv__calloc(1, sizeof *fresh.node);
    if (fresh.node == NULL) {
        hv__free(fresh.text);
        return NULL;
    }
    memmove(literals + at + 1, literals + at, (node->literal_count - at) * sizeof *literals);
    literals[at] = fresh;
    node->literal_count++;
    return fresh.node;
}

static node_t *add_param_child(node_t *node) {
    if (node->param == NULL) node->param = hv__calloc(1, sizeof *node->param);
    return node->param;
}

/* A pattern cut up and checked. Names point into it. */
typedef struct pattern_s {
    hhttp_slice_t segments[SEGMENTS_MAX];
    hhttp_slice_t names[HHTTP_ROUTE_PARAMS_MAX];
    size_t segment_count;
    size_t name_count;
} pattern_t;

static int add_name(pattern_t *pattern, hhttp_slice_t name) {
    if (name.len == 0) return HV_EINVAL;
    for (size_t i = 0; i < name.len; i++) {
        char byte = name.data[i];
        int is_word = byte == '_' || (byte >= '0' && byte <= '9') || (byte >= 'a' && byte <= 'z') ||
                      (byte >= 'A' && byte <= 'Z');
        if (!is_word) return HV_EINVAL;
    }
    for (size_t i = 0; i < pattern->name_count; i++) {
        hhttp_slice_t other = pattern->names[i];
        if (other.len == name.len && memcmp(other.data, name.data, name.len) == 0) return HV_EINVAL;
    }
    if (pattern->name_count == HHTTP_ROUTE_PARAMS_MAX) return HV_ELIMIT;
    pattern->names[pattern->name_count++] = name;
    return 0;
}

static int add_segment(pattern_t *pattern, const char *start, size_t len, int is_last) {
    if (pattern->segment_count == SEGMENTS_MAX) return HV_ELIMIT;
    pattern->segments[pattern->segment_count++] = (hhttp_slice_t){start, len};
    if (len > 0 && (*start == ':' || *start == '*')) {
        if (*start == '*' && !is_last) return HV_EINVAL;
        return add_name(pattern, (hhttp_slice_t){start + 1, len - 1});
    }
    return len > LITERAL_BYTES_MAX ? HV_ELIMIT : 0;
}

static int cut_pattern(pattern_t *pattern, const char *text, size_t len) {
    if (len == 0 || text[0] != '/') return HV_EINVAL;
    pattern->segment_count = 0;
    pattern->name_count = 0;
    const char *end = text + len;
    for (const char *at = text; at < end;) {
        const char *start = at + 1;
        const char *slash = start < end ? memchr(start, '/', (size_t)(end - start)) : NULL;
        at = slash != NULL ? slash : end;
        int status = add_segment(pattern, start, (size_t)(at - start), slash == NULL);
        if (status != 0) return status;
    }
    return 0;
}

/* The route and the names' bytes in one block, so that a match's names live as long as it. */
static route_t *new_route(const pattern_t *pattern, uint32_t number) {
    size_t bytes = sizeof(route_t) + pattern->name_count * sizeof(hhttp_slice_t);
    size_t text_at = bytes;
    for (size_t i = 0; i < pattern->name_count; i++)
        bytes += pattern->names[i].len;
    route_t *route = hv__malloc(bytes);
    if (route == NULL) return NULL;
    route->number = number;
    route->param_count = (uint32_t)pattern->name_count;
    char *text = (char *)route + text_at;
    for (size_t i = 0; i < pattern->name_count; i++) {
        hhttp_slice_t name = pattern->names[i];
        memcpy(text, name.data, name.len);
        route->names[i] = (hhttp_slice_t){text, name.len};
        text += name.len;
    }
    return route;
}

/* The place of the leaf a pattern ends in; nodes on the way are made. NULL: no memory (nodes made
 * so far stay, they lead nowhere and are found again). */
static leaf_t **leaf_place(hhttp_router_t *router, const pattern_t *pattern) {
    node_t *node = &router->root;
    for (size_t i = 0; i < pattern->segment_count; i++) {
        hhttp_slice_t segment = pattern->segments[i];
        char kind = segment.len > 0 ? segment.data[0] : '\0';
        if (kind == '*') return &node->rest;
        node = kind == ':' ? add_param_child(node)
                           : add_literal_child(node, segment.data, segment.len);
        if (node == NULL) return NULL;
    }
    return &node->leaf;
}

int hhttp_router_add(hhttp_router_t *router, hhttp_method_e method, const char *pattern_text,
                     size_t pattern_len, uint32_t route_number) {
    if ((unsigned)method >= METHOD_COUNT) return HV_EINVAL;
    pattern_t pattern;
    int status = cut_pattern(&pattern, pattern_text, pattern_len);
    if (status != 0) return status;
    leaf_t **place = leaf_place(router, &pattern);
    if (place == NULL) return HV_ENOMEM;
    if (*place == NULL) *place = hv__calloc(1, sizeof **place);
    if (*place == NULL) return HV_ENOMEM;
    leaf_t *leaf = *place;
    if (leaf->by_method[method] != NULL) return HV_EBUSY;
    leaf->by_method[method] = new_route(&pattern, route_number);
    if (leaf->by_method[method] == NULL) return HV_ENOMEM;
    leaf->allow_mask |= method == HHTTP_ANY ? ALL_METHODS : METHOD_BIT(method);
    if (method == HHTTP_GET) leaf->allow_mask |= METHOD_BIT(HHTTP_HEAD);
    return 0;
}

hhttp_router_t *hhttp_router_new(void) {
    return hv__calloc(1, sizeof(hhttp_router_t));
}

static void free_leaf(leaf_t *leaf) {
    if (leaf == NULL) return;
    for (size_t i = 0; i < METHOD_COUNT; i++)
        hv__free(leaf->by_method[i]);
    hv__free(leaf);
}

/* Frees what hangs on a node. Recursion is as deep as SEGMENTS_MAX at most. */
static void clear_node(node_t *node) {
    for (size_t i = 0; i < node->literal_count; i++) {
        clear_node(node->literals[i].node);
        hv__free(node->literals[i].node);
        hv__free(node->literals[i].text);
    }
    hv__free(node->literals);
    if (node->param != NULL) {
        clear_node(node->param);
        hv__free(node->param);
    }
    free_leaf(node->leaf);
    free_leaf(node->rest);
}

void hhttp_router_free(hhttp_router_t *router) {
    if (router == NULL) return;
    clear_node(&router->root);
    hv__free(router);
}

/* ---- Matching ---- */

typedef struct walk_s {
    const char *end; /* of the path */
    hhttp_route_match_t *match;
    const route_t *found;
    hhttp_method_e method;
    int has_escapes; /* there is a '%' in the path */
    unsigned value_count;
    hhttp_slice_t values[HHTTP_ROUTE_PARAMS_MAX]; /* of the names on the way down */
} walk_t;

static const route_t *route_of(const leaf_t *leaf, hhttp_method_e method) {
    const route_t *route = leaf->by_method[method];
    if (route == NULL && method == HHTTP_HEAD) route = leaf->by_method[HHTTP_GET];
    return route != NULL ? route : leaf->by_method[HHTTP_ANY];
}

static void visit_leaf(walk_t *walk, const leaf_t *leaf) {
    walk->match->allow_mask |= leaf->allow_mask;
    if (walk->found != NULL) return;
    const route_t *route = route_of(leaf, walk->method);
    if (route == NULL) return;
    HV_DASSERT(route->param_count == walk->value_count);
    walk->found = route;
    for (unsigned i = 0; i < route->param_count; i++) {
        walk->match->params[i].name = route->names[i];
        walk->match->params[i].value = walk->values[i];
    }
}

/* The literal child of a segment that holds an escape. One that could not decode to the longest
 * literal has none. Not inlined, so that the buffer is no part of the walk's stack frames. */
__attribute__((noinline)) static const node_t *decoded_child(const node_t *node, const char *text,
                                                             size_t len) {
    char decoded[3 * LITERAL_BYTES_MAX];
    if (len > sizeof decoded) return NULL;
    len = hhttp_percent_decode(text, len, 0, decoded);
    int is_there;
    size_t at = search_literal(node, decoded, len, &is_there);
    return is_there ? node->literals[at].node : NULL;
}

static const node_t *literal_child(const walk_t *walk, const node_t *node, const char *text,
                                   size_t len) {
    if (HV_UNLIKELY(walk->has_escapes && memchr(text, '%', len) != NULL)) {
        return decoded_child(node, text, len);
    }
    int is_there;
    size_t at = search_literal(node, text, len, &is_there);
    return is_there ? node->literals[at].node : NULL;
}

/* Walks on from a node whose segments are used up to `slash`, which is the path's end or the '/'
 * before the next segment. Recursion is as deep as the tree, SEGMENTS_MAX at most. */
static void walk_from(walk_t *walk, const node_t *node, const char *slash) {
    if (slash == walk->end) {
        if (node->leaf != NULL) visit_leaf(walk, node->leaf);
        return;
    }
    const char *text = slash + 1;
    size_t left = (size_t)(walk->end - text);
    const char *next = memchr(text, '/', left);
    if (next == NULL) next = walk->end;
    size_t len = (size_t)(next - text);
    if (node->literal_count > 0) {
        const node_t *child = literal_child(walk, node, text, len);
        if (child != NULL) walk_from(walk, child, next);
    }
    if (node->param != NULL && len > 0) {
        HV_DASSERT(walk->value_count < HHTTP_ROUTE_PARAMS_MAX);
        walk->values[walk->value_count++] = (hhttp_slice_t){text, len};
        walk_from(walk, node->param, next);
        walk->value_count--;
    }
    if (node->rest != NULL) {
        HV_DASSERT(walk->value_count < HHTTP_ROUTE_PARAMS_MAX);
        walk->values[walk->value_count++] = (hhttp_slice_t){text, left};
        visit_leaf(walk, node->rest);
        walk->value_count--;
    }
}

int hhttp_router_match(const hhttp_router_t *router, hhttp_method_e method, const char *path,
                       size_t path_len, hhttp_route_match_t *match) {
    HV_ASSERT((unsigned)method < METHOD_COUNT);
    match->allow_mask = 0;
    match->param_count = 0;
    /* "*" and a CONNECT's authority are no paths. */
    if (path_len == 0 || path[0] != '/') return HV_ENOTFOUND;
    walk_t walk;
    walk.end = path + path_len;
    walk.match = match;
    walk.found = NULL;
    walk.method = method;
    walk.has_escapes = memchr(path, '%', path_len) != NULL;
    walk.value_count = 0;
    walk_from(&walk, &router->root, path);
    if (walk.found == NULL) return HV_ENOTFOUND;
    match->route = walk.found->number;
    match->param_count = (int)walk.found->param_count;
    return 0;
}
