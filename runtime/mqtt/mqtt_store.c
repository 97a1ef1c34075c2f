/* mqtt_store.c - what a session keeps, see mqtt_store.h. */
#include "mqtt_store.h"

#include "hassert.h"
#include "hmem.h"

#define PAGE_IDS     256
#define IDS_MAX      UINT16_MAX
#define ID_BITS      ((UINT16_MAX + 1) / 8)
#define REWRITE_FROM (1u << 20) /* bytes; a shorter file is left as it is */

void mqtt_store_init(mqtt_store_t *store) { *store = (mqtt_store_t){0}; }

/* ---- Lists ---- */

static void push(mqtt_entries_t *list, mqtt_entry_t *entry) {
    entry->next = NULL;
    entry->before = list->last;
    if (list->last != NULL) {
        list->last->next = entry;
    } else {
        list->first = entry;
    }
    list->last = entry;
    list->count++;
}

static void take_out(mqtt_entries_t *list, mqtt_entry_t *entry) {
    HV_ASSERT(list->count > 0);
    if (entry->before != NULL) {
        entry->before->next = entry->next;
    } else {
        list->first = entry->next;
    }
    if (entry->next != NULL) {
        entry->next->before = entry->before;
    } else {
        list->last = entry->before;
    }
    list->count--;
}

static mqtt_entries_t *list_of(mqtt_store_t *store, const mqtt_entry_t *entry) {
    if (entry->type != HMQTT_PUBLISH) return &store->control;
    return entry->state == MQTT_WAITS ? &store->waiting : &store->flight;
}

static void free_all(mqtt_entries_t *list) {
    for (mqtt_entry_t *entry = list->first, *next; entry != NULL; entry = next) {
        next = entry->next;
        hv__free(entry);
    }
    *list = (mqtt_entries_t){0};
}

void mqtt_store_deinit(mqtt_store_t *store) {
    free_all(&store->flight);
    free_all(&store->waiting);
    free_all(&store->control);
    for (size_t i = 0; i < MQTT_PAGES; i++) hv__free(store->pages[i]);
    hv__free(store->received);
    mqtt_log_close(store->log);
    mqtt_store_init(store);
}

/* ---- Ids ---- */

mqtt_entry_t *mqtt_store_find(const mqtt_store_t *store, uint16_t id) {
    mqtt_entry_t **page = store->pages[id >> 8];
    return page != NULL ? page[id & 0xff] : NULL;
}

/* Gives an entry that id. Returns 0 or HV_ENOMEM. */
static int claim(mqtt_store_t *store, mqtt_entry_t *entry, uint16_t id) {
    HV_ASSERT(id != 0);
    mqtt_entry_t ***page = &store->pages[id >> 8];
    if (*page == NULL && (*page = hv__calloc(PAGE_IDS, sizeof **page)) == NULL) return HV_ENOMEM;
    HV_ASSERT((*page)[id & 0xff] == NULL);
    (*page)[id & 0xff] = entry;
    entry->id = id;
    store->ids_used++;
    return 0;
}

/* The ids in use lie close together behind the last one given, so a free one is next to it. */
static int claim_any(mqtt_store_t *store, mqtt_entry_t *entry) {
    if (store->ids_used == IDS_MAX) return HV_ELIMIT;
    do {
        store->last_id++;
    } while (store->last_id == 0 || mqtt_store_find(store, store->last_id) != NULL);
    return claim(store, entry, store->last_id);
}

static void unclaim(mqtt_store_t *store, const mqtt_entry_t *entry) {
    if (entry->id == 0) return;
    store->pages[entry->id >> 8][entry->id & 0xff] = NULL;
    store->ids_used--;
}

/* ---- Entries ---- */

static size_t entry_bytes(const mqtt_entry_t *entry) {
    return sizeof *entry + entry->topic_len + entry->block_len + entry->payload_len;
}

static mqtt_entry_t *new_entry(const mqtt_packet_t *packet) {
    const hmqtt_bytes_t *topic = packet->type == HMQTT_PUBLISH ? &packet->topic : &packet->list;
    const hmqtt_bytes_t *block = &packet->properties, *payload = &packet->payload;
    mqtt_entry_t *entry = hv__malloc(sizeof *entry + topic->len + block->len + payload->len);
    if (entry == NULL) return NULL;
    *entry = (mqtt_entry_t){.type = packet->type,
                            .qos = packet->qos,
                            .retain = packet->retain,
                            .topic_len = topic->len,
                            .block_len = block->len,
                            .payload_len = payload->len};
    if (topic->len > 0) memcpy(entry->bytes, topic->data, topic->len);
    if (block->len > 0) memcpy(entry->bytes + topic->len, block->data, block->len);
    char *end = entry->bytes + topic->len + block->len;
    if (payload->len > 0) memcpy(end, payload->data, payload->len);
    return entry;
}

mqtt_packet_t mqtt_entry_packet(const mqtt_entry_t *entry) {
    const char *bytes = entry->bytes;
    hmqtt_bytes_t topic = {bytes, entry->topic_len};
    mqtt_packet_t packet = {
        .type = entry->type,
        .qos = entry->qos,
        .retain = entry->retain,
        .id = entry->id,
        .properties = {bytes + entry->topic_len, entry->block_len},
        .payload = {bytes + entry->topic_len + entry->block_len, entry->payload_len},
    };
    *(entry->type == HMQTT_PUBLISH ? &packet.topic : &packet.list) = topic;
    return packet;
}

static mqtt_record_t record_of(const mqtt_entry_t *entry) {
    mqtt_packet_t packet = mqtt_entry_packet(entry);
    return (mqtt_record_t){.kind = MQTT_LOG_PUBLISH,
                           .flags = (uint8_t)(packet.qos << 1 | packet.retain),
                           .id = packet.id,
                           .topic = packet.topic,
                           .block = packet.properties,
                           .payload = packet.payload};
}

static int log_id(mqtt_store_t *store, uint8_t kind, uint16_t id) {
    if (store->log == NULL) return 0;
    return mqtt_log_add(store->log, &(mqtt_record_t){.kind = kind, .id = id});
}

mqtt_entry_t *mqtt_store_add(mqtt_store_t *store, const mqtt_packet_t *packet, int *code) {
    mqtt_entry_t *entry = new_entry(packet);
    *code = entry != NULL ? 0 : HV_ENOMEM;
    if (entry == NULL) return NULL;
    int is_message = packet->type == HMQTT_PUBLISH;
    if (!is_message || packet->qos > 0) *code = claim_any(store, entry);
    if (*code == 0 && is_message && packet->qos > 0 && store->log != NULL) {
        mqtt_record_t record = record_of(entry);
        *code = mqtt_log_add(store->log, &record);
        if (*code != 0) unclaim(store, entry);
    }
    if (*code != 0) {
        hv__free(entry);
        return NULL;
    }
    push(list_of(store, entry), entry);
    store->bytes += entry_bytes(entry);
    return entry;
}

void mqtt_store_launch(mqtt_store_t *store, mqtt_entry_t *entry) {
    HV_ASSERT(entry->state == MQTT_WAITS);
    take_out(&store->waiting, entry);
    entry->state = MQTT_SENT;
    push(&store->flight, entry);
}

int mqtt_store_release(mqtt_store_t *store, mqtt_entry_t *entry) {
    HV_ASSERT(entry->state == MQTT_SENT);
    int code = log_id(store, MQTT_LOG_RELEASED, entry->id);
    if (code == 0) entry->state = MQTT_RELEASED;
    return code;
}

void mqtt_store_remove(mqtt_store_t *store, mqtt_entry_t *entry) {
    /* Without memory for it the file keeps a message too long: it is sent again after a restart. */
    if (entry->type == HMQTT_PUBLISH && entry->id != 0) log_id(store, MQTT_LOG_DONE, entry->id);
    take_out(list_of(store, entry), entry);
    unclaim(store, entry);
    store->bytes -= entry_bytes(entry);
    hv__free(entry);
}

/* ---- Received ---- */

int mqtt_store_has_received(const mqtt_store_t *store, uint16_t id) {
    return store->received != NULL && (store->received[id >> 3] >> (id & 7) & 1);
}

int mqtt_store_has_kept(const mqtt_store_t *store, uint16_t id) {
    return store->received != NULL && (store->received[ID_BITS + (id >> 3)] >> (id & 7) & 1);
}

static void set_kept(mqtt_store_t *store, uint16_t id) {
    store->received[ID_BITS + (id >> 3)] |= (uint8_t)(1 << (id & 7));
}

static int set_received(mqtt_store_t *store, uint16_t id) {
    if (store->received == NULL && (store->received = hv__calloc(2, ID_BITS)) == NULL) {
        return HV_ENOMEM;
    }
    if (mqtt_store_has_received(store, id)) return 0;
    store->received[id >> 3] |= (uint8_t)(1 << (id & 7));
    store->received_count++;
    return 0;
}

static void clear_received(mqtt_store_t *store, uint16_t id) {
    if (!mqtt_store_has_received(store, id)) return;
    store->received[id >> 3] &= (uint8_t)~(1 << (id & 7));
    store->received[ID_BITS + (id >> 3)] &= (uint8_t)~(1 << (id & 7));
    store->received_count--;
}

static void clear_all_received(mqtt_store_t *store) {
    if (store->received != NULL) memset(store->received, 0, 2 * ID_BITS);
    store->received_count = 0;
}

int mqtt_store_receive(mqtt_store_t *store, uint16_t id) { return set_received(store, id); }

int mqtt_store_keep_received(mqtt_store_t *store, uint16_t id) {
    if (!mqtt_store_has_received(store, id) || mqtt_store_has_kept(store, id)) return 0;
    int code = log_id(store, MQTT_LOG_RECEIVED, id);
    if (code == 0) set_kept(store, id);
    return code;
}

void mqtt_store_forget(mqtt_store_t *store, uint16_t id) {
    if (!mqtt_store_has_received(store, id)) return;
    clear_received(store, id);
    log_id(store, MQTT_LOG_FORGOTTEN, id);
}

void mqtt_store_forget_all(mqtt_store_t *store) {
    if (store->received_count > 0) log_id(store, MQTT_LOG_ALL_FORGOTTEN, 0);
    clear_all_received(store);
}

/* ---- The file ---- */

static int take_up_publish(mqtt_store_t *store, const mqtt_record_t *record) {
    mqtt_packet_t packet = {.type = HMQTT_PUBLISH,
                            .qos = record->flags >> 1 & 3,
                            .retain = record->flags & 1,
                            .topic = record->topic,
                            .properties = record->block,
                            .payload = record->payload};
    mqtt_entry_t *old = mqtt_store_find(store, record->id);
    if (old != NULL) mqtt_store_remove(store, old);
    mqtt_entry_t *entry = new_entry(&packet);
    if (entry == NULL) return HV_ENOMEM;
    int code = claim(store, entry, record->id);
    if (code != 0) {
        hv__free(entry);
        return code;
    }
    /* Whether it had been sent is not known: then it has to be said that it may have been. */
    entry->state = MQTT_SENT;
    entry->was_out = 1;
    store->last_id = record->id;
    push(&store->flight, entry);
    store->bytes += entry_bytes(entry);
    return 0;
}

static int take_up_received(mqtt_store_t *store, uint16_t id) {
    int code = set_received(store, id);
    if (code == 0) set_kept(store, id);
    return code;
}

static int take_up(void *userdata, const mqtt_record_t *record) {
    mqtt_store_t *store = userdata;
    mqtt_entry_t *entry = mqtt_store_find(store, record->id);
    switch (record->kind) {
    case MQTT_LOG_PUBLISH: return take_up_publish(store, record);
    case MQTT_LOG_RELEASED:
        if (entry != NULL) entry->state = MQTT_RELEASED;
        return 0;
    case MQTT_LOG_DONE:
        if (entry != NULL) mqtt_store_remove(store, entry);
        return 0;
    case MQTT_LOG_RECEIVED: return take_up_received(store, record->id);
    case MQTT_LOG_FORGOTTEN: clear_received(store, record->id); return 0;
    case MQTT_LOG_ALL_FORGOTTEN: clear_all_received(store); return 0;
    default: return 0; /* of a later version of this file */
    }
}

int mqtt_store_open(mqtt_store_t *store, const char *path, int is_synced) {
    HV_ASSERT(store->log == NULL);
    return mqtt_log_open(path, is_synced, take_up, store, &store->log);
}

static int add_entries(mqtt_log_t *log, const mqtt_entries_t *list) {
    int code = 0;
    for (const mqtt_entry_t *entry = list->first; entry != NULL && code == 0; entry = entry->next) {
        if (entry->id == 0) continue;
        mqtt_record_t record = record_of(entry);
        code = mqtt_log_add(log, &record);
        if (code == 0 && entry->state == MQTT_RELEASED) {
            code = mqtt_log_add(log, &(mqtt_record_t){.kind = MQTT_LOG_RELEASED, .id = entry->id});
        }
    }
    return code;
}

static int add_all(mqtt_log_t *log, void *userdata) {
    mqtt_store_t *store = userdata;
    int code = add_entries(log, &store->flight);
    if (code == 0) code = add_entries(log, &store->waiting);
    for (uint32_t id = 1; id <= UINT16_MAX && code == 0 && store->received_count > 0; id++) {
        if (!mqtt_store_has_kept(store, (uint16_t)id)) continue;
        code = mqtt_log_add(log,
                            &(mqtt_record_t){.kind = MQTT_LOG_RECEIVED, .id = (uint16_t)id});
    }
    return code;
}

int mqtt_store_flush(mqtt_store_t *store) {
    if (store->log == NULL) return 0;
    uint64_t bytes = mqtt_log_bytes(store->log);
    uint64_t alive = (uint64_t)store->bytes + store->received_count * 12;
    if (bytes > REWRITE_FROM && bytes > store->rewrite_from && bytes > 4 * alive) {
        store->rewrite_from = 0;
        if (mqtt_log_rewrite(store->log, add_all, store) == 0) return 0;
        store->rewrite_from = 2 * bytes; /* the old file goes on, say for want of room */
    }
    return mqtt_log_flush(store->log);
}
