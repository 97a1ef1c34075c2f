/* The reader of MQTT packets: the first byte chooses the version, the rest is a stream. What is
 * read must lie in the packet, and be written again so that it is read as the same. */
#include "hassert.h"
#include "mqtt_packet.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_inside(const uint8_t *data, size_t len, hmqtt_bytes_t part) {
    if (part.len == 0) return;
    const uint8_t *at = (const uint8_t *)part.data;
    HV_ASSERT(at >= data && at + part.len <= data + len);
}

static void check_block(hmqtt_block_t block) {
    hmqtt_property_t property;
    uint32_t at = 0;
    while (hmqtt_property_next(block, &at, &property)) {
        check_inside((const uint8_t *)block.data, block.len, property.value);
        check_inside((const uint8_t *)block.data, block.len, property.name);
    }
    HV_ASSERT(at == block.len);
}

static void check_packet(int version, const uint8_t *data, size_t len,
                         const mqtt_packet_t *packet) {
    const hmqtt_bytes_t *parts[] = {&packet->topic, &packet->payload, &packet->client_id,
                                    &packet->username, &packet->password, &packet->list,
                                    &packet->properties, &packet->will_properties};
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) check_inside(data, len, *parts[i]);
    check_block(packet->properties);
    check_block(packet->will_properties);
    hbuf_t out = {0};
    mqtt_packet_t back;
    HV_ASSERT(mqtt_packet_write(&out, UINT32_MAX, UINT32_MAX, version, packet) == 0);
    HV_ASSERT(hbuf_len(&out) <= len);
    HV_ASSERT(mqtt_packet_read(version, hbuf_data(&out), hbuf_len(&out), &back) == 0);
    HV_ASSERT(back.type == packet->type && back.id == packet->id && back.reason == packet->reason);
    HV_ASSERT(back.topic.len == packet->topic.len && back.payload.len == packet->payload.len);
    HV_ASSERT(back.properties.len == packet->properties.len && back.count == packet->count);
    hbuf_deinit(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size == 0) return 0;
    int version = 3 + data[0] % 3;
    data++, size--;
    for (long bytes; (bytes = mqtt_packet_bytes(data, size)) > 0 && (size_t)bytes <= size;) {
        mqtt_packet_t packet;
        if (mqtt_packet_read(version, data, (size_t)bytes, &packet) == 0) {
            check_packet(version, data, (size_t)bytes, &packet);
        }
        data += bytes, size -= (size_t)bytes;
    }
    return 0;
}
