/* ws_topic.c - topics: a table of names, each with an array of its subscribers, so that publishing
 * walks over memory in order; each subscriber knows its place there, so that leaving costs the same
 * however many there are.
 *
 * A publication is built once as bytes of the wire, and written as it is to every socket that wants
 * it so. Compressed bytes are the same for all sockets whose server forgets after each message. */
#include "ws_int.h"

#define TOPIC_BYTES_MAX  1024
#define TOPICS_MAX       4096 /* of one socket */
#define FIRST_TABLE_ROOM 16

typedef struct ws_place_s {
    hws_t *ws;
    struct ws_sub_s *sub;
} ws_place_t;

struct ws_topic_s {
    ws_topic_t *next; /* of its chain */
    uint32_t hash;
    uint32_t count;
    uint32_t room;
    uint32_t name_len;
    ws_place_t *places;
    char name[];
};

typedef struct ws_sub_s {
    struct ws_sub_s *next; /* of the socket */
    ws_topic_t *topic;
    uint32_t at; /* in topic->places */
} ws_sub_t;

/* ---- The table ---- */

static uint32_t hash_of(const char *name, size_t len) {
    uint32_t hash = 2166136261u;
    for (size_t i = 0; i < len; i++) hash = (hash ^ (uint8_t)name[i]) * 16777619u;
    return hash;
}

static ws_topic_t *find_topic(const hws_hub_t *hub, const char *name, size_t len) {
    if (hub->topic_room == 0) return NULL;
    uint32_t hash = hash_of(name, len);
    ws_topic_t *topic = hub->topics[hash & (hub->topic_room - 1)];
    while (topic != NULL) {
        int is_alike = topic->hash == hash && topic->name_len == len;
        if (is_alike && memcmp(topic->name, name, len) == 0) break;
        topic = topic->next;
    }
    return topic;
}

static void put_in_chain(hws_hub_t *hub, ws_topic_t *topic) {
    ws_topic_t **chain = &hub->topics[topic->hash & (hub->topic_room - 1)];
    topic->next = *chain;
    *chain = topic;
}

/* Without memory the table stays as it is, only slower; but there must be one. */
static int grow_table(hws_hub_t *hub) {
    size_t room = hub->topic_room > 0 ? hub->topic_room * 2 : FIRST_TABLE_ROOM;
    ws_topic_t **before = hub->topics;
    size_t room_before = hub->topic_room;
    ws_topic_t **table = hv__calloc(room, sizeof *table);
    if (table == NULL) return before != NULL ? 0 : HV_ENOMEM;
    hub->topics = table;
    hub->topic_room = room;
    for (size_t i = 0; i < room_before; i++) {
        for (ws_topic_t *topic = before[i], *next; topic != NULL; topic = next) {
            next = topic->next;
            put_in_chain(hub, topic);
        }
    }
    hv__free(before);
    return 0;
}

static ws_topic_t *make_topic(hws_hub_t *hub, const char *name, size_t len) {
    if (hub->topic_count >= hub->topic_room && grow_table(hub) != 0) return NULL;
    ws_topic_t *topic = hv__malloc(sizeof *topic + len);
    if (topic == NULL) return NULL;
    *topic = (ws_topic_t){.hash = hash_of(name, len), .name_len = (uint32_t)len};
    memcpy(topic->name, name, len);
    put_in_chain(hub, topic);
    hub->topic_count++;
    return topic;
}

static void free_if_empty(hws_hub_t *hub, ws_topic_t *topic) {
    if (topic->count > 0) return;
    ws_topic_t **at = &hub->topics[topic->hash & (hub->topic_room - 1)];
    while (*at != topic) at = &(*at)->next;
    *at = topic->next;
    hub->topic_count--;
    hv__free(topic->places);
    hv__free(topic);
}

void hv__ws_free_topics(hws_hub_t *hub) {
    HV_ASSERT(hub->topic_count == 0); /* they go with their sockets */
    hv__free(hub->topics);
}

/* ---- Subscribers ---- */

static int make_room(ws_topic_t *topic) {
    if (topic->count < topic->room) return 0;
    uint32_t room = topic->room > 0 ? topic->room * 2 : 4;
    ws_place_t *grown = hv__realloc(topic->places, room * sizeof *grown);
    if (grown == NULL) return HV_ENOMEM;
    topic->places = grown;
    topic->room = room;
    return 0;
}

/* Takes a subscription off its topic and frees it; the last place moves to where it was. */
static void remove_sub(hws_hub_t *hub, ws_sub_t *sub) {
    ws_topic_t *topic = sub->topic;
    HV_ASSERT(sub->at < topic->count && topic->places[sub->at].sub == sub);
    ws_place_t last = topic->places[--topic->count];
    topic->places[sub->at] = last;
    last.sub->at = sub->at;
    hv__free(sub);
    free_if_empty(hub, topic);
}

void hv__ws_leave_topics(hws_t *ws) {
    while (ws->subs != NULL) {
        ws_sub_t *sub = ws->subs;
        ws->subs = sub->next;
        remove_sub(ws->endpoint->hub, sub);
    }
}

int hws_subscribe(hws_t *ws, const char *topic_name, size_t topic_len) {
    hws_hub_t *hub = ws->endpoint->hub;
    if (topic_len == 0 || topic_len > TOPIC_BYTES_MAX) return HV_EINVAL;
    if (ws->state > WS_OPEN) return HV_ECLOSED;
    ws_topic_t *topic = find_topic(hub, topic_name, topic_len);
    int count = 0;
    for (const ws_sub_t *at = ws->subs; at != NULL; at = at->next, count++) {
        if (at->topic == topic) return 0;
    }
    if (count >= TOPICS_MAX) return HV_ELIMIT;
    ws_sub_t *sub = hv__malloc(sizeof *sub);
    if (sub == NULL) return HV_ENOMEM;
    if (topic == NULL) topic = make_topic(hub, topic_name, topic_len);
    if (topic == NULL || make_room(topic) != 0) {
        hv__free(sub);
        if (topic != NULL) free_if_empty(hub, topic);
        return HV_ENOMEM;
    }
    *sub = (ws_sub_t){ws->subs, topic, topic->count};
    topic->places[topic->count++] = (ws_place_t){ws, sub};
    ws->subs = sub;
    return 0;
}

int hws_unsubscribe(hws_t *ws, const char *topic_name, size_t topic_len) {
    hws_hub_t *hub = ws->endpoint->hub;
    const ws_topic_t *topic = find_topic(hub, topic_name, topic_len);
    if (topic == NULL) return HV_ENOTFOUND;
    for (ws_sub_t **at = &ws->subs; *at != NULL; at = &(*at)->next) {
        ws_sub_t *sub = *at;
        if (sub->topic != topic) continue;
        *at = sub->next;
        remove_sub(hub, sub);
        return 0;
    }
    return HV_ENOTFOUND;
}

size_t hws_subscribers(const hws_hub_t *hub, const char *topic_name, size_t topic_len) {
    const ws_topic_t *topic = find_topic(hub, topic_name, topic_len);
    return topic != NULL ? topic->count : 0;
}

/* ---- Publishing ---- */

typedef struct ws_publication_s {
    hws_kind_e kind;
    const void *data;
    size_t len;
    hbuf_t plain;    /* the frame as servers send it */
    hbuf_t deflated; /* the same, compressed, where somebody wants it */
    int is_tried;    /* to compress */
} ws_publication_t;

/* Makes a frame. Returns 0 or HV_ENOMEM. */
static int make_frame(hbuf_t *frame, uint8_t first, const void *data, size_t len) {
    uint8_t head[WS_HEAD_BYTES_MAX];
    size_t head_len = ws_write_head(head, first, len, NULL);
    int code = hbuf_reserve(frame, head_len + len, INT32_MAX);
    if (code == 0) code = hbuf_append(frame, head, head_len, INT32_MAX);
    if (code == 0 && len > 0) code = hbuf_append(frame, data, len, INT32_MAX);
    return code;
}

/* The frame for a socket: compressed where it may share it, made by the first that does. */
static const hbuf_t *frame_for(ws_publication_t *publication, const hws_t *ws) {
    int shares = !(ws->flags & WSF_OUT_CONTEXT) && ws->out_bits == 15 &&
                 hv__ws_wants_deflate(ws, publication->len);
    if (HV_LIKELY(!shares)) return &publication->plain;
    if (!publication->is_tried) {
        hws_hub_t *hub = ws->endpoint->hub;
        publication->is_tried = 1;
        size_t bytes = hv__ws_deflate_once(hub, &ws->endpoint->options.deflate, 15,
                                           publication->data, publication->len);
        if (bytes > 0) {
            make_frame(&publication->deflated,
                       (uint8_t)(WS_HEAD_FIN | WS_HEAD_RSV1 | publication->kind),
                       hbuf_data(&hub->scratch), bytes);
        }
    }
    return hbuf_len(&publication->deflated) > 0 ? &publication->deflated : &publication->plain;
}

/* Returns whether it was taken. Calls nobody: a socket that fails here is reported by the loop. */
static int publish_to(ws_publication_t *publication, hws_t *ws) {
    int code;
    if (ws->state != WS_OPEN) return 0;
    if (ws_is_client(ws)) {
        code = hv__ws_write_frame(ws, (uint8_t)(WS_HEAD_FIN | publication->kind), publication->data,
                                  publication->len);
    } else {
        const hbuf_t *frame = frame_for(publication, ws);
        int written = hio_write(ws->io, hbuf_data(frame), hbuf_len(frame));
        code = written < 0 ? written : 0;
    }
    if (code != 0) hv__ws_cut(ws, code);
    return code == 0;
}

int hws_publish(hws_hub_t *hub, const char *topic_name, size_t topic_len, hws_kind_e kind,
                const void *data, size_t len, const hws_t *except) {
    ws_publication_t publication = {.kind = kind, .data = data, .len = len};
    if (kind == HWS_TEXT) {
        ws_utf8_t utf8 = {0};
        if (ws_utf8_feed(&utf8, data, len) != 0 || !ws_utf8_is_whole(&utf8)) return HV_EINVAL;
    }
    ws_topic_t *topic = find_topic(hub, topic_name, topic_len);
    if (topic == NULL) return 0;
    int code = make_frame(&publication.plain, (uint8_t)(WS_HEAD_FIN | kind), data, len);
    int count = 0;
    for (uint32_t i = 0; code == 0 && i < topic->count; i++) {
        hws_t *ws = topic->places[i].ws;
        if (ws != except) count += publish_to(&publication, ws);
    }
    hbuf_deinit(&publication.plain);
    hbuf_deinit(&publication.deflated);
    return code != 0 ? code : count;
}
