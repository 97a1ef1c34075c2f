/* Tests of mqtt_packet*.c: vectors of every packet type in both versions, read and written; each
 * truncation and each wrong flag refused; a stream read at every split point. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "guard_page.h"
#include "mqtt_packet.h"

typedef struct vector_s {
    int version;
    const char *name;
    const char *hex;
} vector_t;

/* Written by hand from the standards; each is in the one form that the writer gives. */
static const vector_t vectors[] = {
    {3, "CONNECT of 3.1", "10 10 0006 4D5149736470 03 02 003C 0002 6162"},
    {4, "CONNECT, least", "10 0C 0004 4D515454 04 02 003C 0000"},
    {4, "CONNECT, all of it",
     "10 22 0004 4D515454 04 EE 000A 0003 636C69 0004 77696C6C 0003 627965 0002 6D65 0002 7077"},
    {4, "CONNECT, no clean session", "10 0E 0004 4D515454 04 00 0000 0002 6162"},
    {4, "CONNACK", "20 02 00 00"},
    {4, "CONNACK, session present", "20 02 01 00"},
    {4, "CONNACK, not authorized", "20 02 00 05"},
    {4, "PUBLISH, QoS 0", "30 07 0003 612F62 6869"},
    {4, "PUBLISH, QoS 1, dup, retain", "3B 09 0003 612F62 000A 6869"},
    {4, "PUBLISH, QoS 2, empty", "34 07 0003 612F62 FFFF"},
    {4, "PUBACK", "40 02 0001"},
    {4, "PUBREC", "50 02 0001"},
    {4, "PUBREL", "62 02 0001"},
    {4, "PUBCOMP", "70 02 FFFF"},
    {4, "SUBSCRIBE", "82 0C 0002 0001 61 01 0003 622F23 02"},
    {4, "SUBACK", "90 05 0002 01 02 80"},
    {4, "UNSUBSCRIBE", "A2 05 0003 0001 61"},
    {4, "UNSUBACK", "B0 02 0003"},
    {4, "PINGREQ", "C0 00"},
    {4, "PINGRESP", "D0 00"},
    {4, "DISCONNECT", "E0 00"},
    {5, "CONNECT, least", "10 0D 0004 4D515454 05 02 003C 00 0000"},
    {5, "CONNECT, properties",
     "10 28 0004 4D515454 05 00 003C 1B 11 00000E10 21 000A 27 00010000 22 0010 19 01 17 00 "
     "26 0001 61 0001 62 0000"},
    {5, "CONNECT, will with properties",
     "10 24 0004 4D515454 05 0E 0000 00 0001 63 10 18 0000000A 01 01 02 0000003C 08 0001 72 "
     "0001 77 0000"},
    {5, "CONNECT, method and password alone",
     "10 19 0004 4D515454 05 42 0000 08 15 0001 6D 16 0001 64 0000 0002 7077"},
    {5, "CONNACK", "20 03 00 00 00"},
    {5, "CONNACK, all properties",
     "20 41 01 00 3E 11 0000000A 21 0014 24 01 25 00 27 00001000 12 0002 6964 22 0005 "
     "1F 0002 6F6B 26 0001 6B 0001 76 28 01 29 01 2A 00 13 001E 1A 0001 72 1C 0001 73 15 0001 6D "
     "16 0001 64"},
    {5, "CONNACK, banned", "20 03 00 8A 00"},
    {5, "PUBLISH, QoS 0", "30 08 0003 612F62 00 6869"},
    {5, "PUBLISH, alias without a topic", "30 07 0000 03 23 0001 78"},
    {5, "PUBLISH, all properties",
     "32 2B 0001 61 0007 24 01 01 02 00000005 23 0002 08 0001 72 09 0002 0001 26 0001 6B 0001 76 "
     "0B 01 0B 8001 03 0002 6374 70"},
    {5, "PUBACK", "40 02 0001"},
    {5, "PUBACK, no subscribers", "40 03 0001 10"},
    {5, "PUBACK, properties", "40 09 0001 80 05 1F 0002 6E6F"},
    {5, "PUBREC, refused", "50 03 0001 97"},
    {5, "PUBREL, not found", "62 03 0001 92"},
    {5, "PUBCOMP, with a property and success", "70 0B 0001 00 07 26 0001 61 0001 62"},
    {5, "SUBSCRIBE, options and identifier", "82 09 0002 02 0B 05 0001 61 2E"},
    {5, "SUBSCRIBE, shared",
     "82 10 0002 00 000A 24736861 72652F67 2F23 00"},
    {5, "SUBACK", "90 06 0002 00 00 02 97"},
    {5, "UNSUBSCRIBE", "A2 06 0003 00 0001 61"},
    {5, "UNSUBACK", "B0 05 0003 00 00 11"},
    {5, "PINGREQ", "C0 00"},
    {5, "PINGRESP", "D0 00"},
    {5, "DISCONNECT", "E0 00"},
    {5, "DISCONNECT, moved", "E0 06 9D 04 1C 0001 73"},
    {5, "DISCONNECT, with will", "E0 01 04"},
    {5, "AUTH", "F0 00"},
    {5, "AUTH, continued", "F0 0A 18 08 15 0001 6D 16 0001 64"},
};

static size_t unhex(const char *text, uint8_t *out) {
    size_t len = 0;
    for (; *text != '\0'; text++) {
        if (*text == ' ') continue;
        char pair[3] = {text[0], text[1], '\0'};
        out[len++] = (uint8_t)strtoul(pair, NULL, 16);
        text++;
    }
    return len;
}

/* Reads `len` bytes that end at a page which must not be touched. Returns the code. */
static int read_guarded(int version, const uint8_t *data, size_t len, mqtt_packet_t *packet) {
    static guard_page_t page;
    if (page.pages == NULL) guard_page_open(&page, 4096);
    const char *at = guard_page_place(&page, data, len);
    long bytes = mqtt_packet_bytes(at, len);
    if (bytes < 0) return (int)bytes;
    if (bytes == 0 || bytes != (long)len) return HV_EAGAIN;
    return mqtt_packet_read(version, at, len, packet);
}

static void test_vectors_are_read_and_written_again(void **state) {
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(vectors); i++) {
        uint8_t data[256];
        size_t len = unhex(vectors[i].hex, data);
        mqtt_packet_t packet;
        hbuf_t out = {0};
        int code = read_guarded(vectors[i].version, data, len, &packet);
        if (code != 0) fail_msg("%d %s: %s", vectors[i].version, vectors[i].name, herr_name(code));
        assert_int_equal(packet.type, data[0] >> 4);
        code = mqtt_packet_write(&out, 4096, 4096, vectors[i].version, &packet);
        assert_int_equal(code, 0);
        if (hbuf_len(&out) != len || memcmp(hbuf_data(&out), data, len) != 0) {
            fail_msg("%d %s: written otherwise", vectors[i].version, vectors[i].name);
        }
        hbuf_deinit(&out);
    }
}

static void test_each_truncation_is_refused(void **state) {
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(vectors); i++) {
        uint8_t data[256];
        size_t len = unhex(vectors[i].hex, data);
        mqtt_packet_t packet;
        /* What is missing is waited for ... */
        for (size_t cut = 0; cut < len; cut++) {
            int code = read_guarded(vectors[i].version, data, cut, &packet);
            assert_int_equal(code, HV_EAGAIN);
        }
        /* ... and a packet whose length says less than is in it is wrong. Its last parts may be
         * left out where a standard says so: payloads, entries of lists, reasons. */
        int type = data[0] >> 4;
        for (size_t cut = 2; cut < len; cut++) {
            uint8_t shorter[256];
            memcpy(shorter, data, cut);
            shorter[1] = (uint8_t)(cut - 2);
            int code = read_guarded(vectors[i].version, shorter, cut, &packet);
            if (code == HV_EPROTO) continue;
            assert_int_equal(code, 0);
            int may = (type == HMQTT_PUBLISH && packet.payload.len < len) ||
                      ((type == HMQTT_SUBSCRIBE || type == HMQTT_UNSUBSCRIBE ||
                        type == HMQTT_SUBACK || type == HMQTT_UNSUBACK) && packet.count > 0) ||
                      (vectors[i].version == 5 && packet.properties.len == 0);
            if (!may) fail_msg("%s cut to %zu is taken", vectors[i].name, cut);
        }
        /* A byte too many is wrong, but where the payload is the rest. */
        uint8_t longer[256];
        memcpy(longer, data, len);
        longer[len] = 0xFE;
        longer[1]++;
        int code = read_guarded(vectors[i].version, longer, len + 1, &packet);
        if (type != HMQTT_PUBLISH) assert_int_equal(code, HV_EPROTO);
    }
}

static void test_each_wrong_flag_is_refused(void **state) {
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(vectors); i++) {
        uint8_t data[256];
        size_t len = unhex(vectors[i].hex, data);
        uint8_t right = data[0] & 15;
        mqtt_packet_t packet;
        for (uint8_t flags = 0; flags < 16; flags++) {
            data[0] = (uint8_t)((data[0] & 0xF0) | flags);
            int is_publish = data[0] >> 4 == HMQTT_PUBLISH;
            if (flags == right) continue;
            if (is_publish && (flags & 6) != 6 && !((flags & 8) && !(flags & 6))) continue;
            assert_int_equal(read_guarded(vectors[i].version, data, len, &packet), HV_EPROTO);
        }
    }
}

/* What the standards forbid, one thing each. */
static void test_what_is_forbidden_is_refused(void **state) {
    (void)state;
    static const vector_t wrong[] = {
        {4, "type 0", "00 00"},
        {4, "AUTH in 3.1.1", "F0 00"},
        {4, "length of five bytes", "30 80808080 01"},
        {4, "length not in the shortest form", "C0 80 00"},
        {4, "CONNECT, other protocol", "10 0C 0004 4D515458 04 02 003C 0000"},
        {4, "CONNECT, version 6", "10 0C 0004 4D515454 06 02 003C 0000"},
        {4, "CONNECT, reserved flag", "10 0C 0004 4D515454 04 03 003C 0000"},
        {4, "CONNECT, QoS of no will", "10 0C 0004 4D515454 04 0A 003C 0000"},
        {4, "CONNECT, retain of no will", "10 0C 0004 4D515454 04 22 003C 0000"},
        {4, "CONNECT, will of QoS 3", "10 11 0004 4D515454 04 1E 003C 0000 0001 77 0000"},
        {4, "CONNECT, password alone", "10 10 0004 4D515454 04 42 003C 0000 0002 7077"},
        {4, "CONNACK, flags", "20 02 02 00"},
        {4, "CONNACK, session of who is refused", "20 02 01 01"},
        {4, "CONNACK, code 6", "20 02 00 06"},
        {4, "PUBLISH, no topic", "30 02 0000"},
        {4, "PUBLISH, wildcard", "30 03 0001 2B"},
        {4, "PUBLISH, NUL in the topic", "30 03 0001 00"},
        {4, "PUBLISH, surrogate", "30 05 0003 EDA080"},
        {4, "PUBLISH, long form of /", "30 04 0002 C0AF"},
        {4, "PUBLISH, beyond Unicode", "30 06 0004 F4908080"},
        {4, "PUBLISH, torn UTF-8", "30 03 0001 C3"},
        {4, "PUBLISH, id 0", "32 05 0001 61 0000"},
        {4, "PUBACK, id 0", "40 02 0000"},
        {4, "PUBACK with a reason", "40 03 0001 00"},
        {4, "SUBSCRIBE, nothing", "82 02 0001"},
        {4, "SUBSCRIBE, QoS 3", "82 06 0001 0001 61 03"},
        {4, "SUBSCRIBE, options of 5", "82 06 0001 0001 61 04"},
        {4, "SUBSCRIBE, bad filter", "82 07 0001 0002 612B 00"},
        {4, "SUBSCRIBE, empty filter", "82 05 0001 0000 00"},
        {4, "SUBACK, nothing", "90 02 0001"},
        {4, "SUBACK, reason 3", "90 03 0001 03"},
        {4, "UNSUBACK, more", "B0 03 0001 00"},
        {4, "PINGREQ, more", "C0 01 00"},
        {4, "DISCONNECT with a reason", "E0 01 00"},
        {5, "CONNACK without properties", "20 02 00 00"},
        {5, "CONNACK, no such reason", "20 03 00 01 00"},
        {5, "CONNACK, receive maximum 0", "20 06 00 00 03 21 0000"},
        {5, "CONNACK, packet size 0", "20 08 00 00 05 27 00000000"},
        {5, "CONNACK, QoS 2 as maximum", "20 05 00 00 02 24 02"},
        {5, "CONNACK, twice", "20 09 00 00 06 21 0001 21 0001"},
        {5, "CONNACK, property of others", "20 08 00 00 05 18 00000000"},
        {5, "CONNACK, no such property", "20 05 00 00 02 04 00"},
        {5, "CONNACK, torn property", "20 05 00 00 02 21 00"},
        {5, "CONNACK, data without method", "20 07 00 00 04 16 0001 64"},
        {5, "PUBLISH, alias 0", "30 07 0001 61 03 23 0000"},
        {5, "PUBLISH, neither topic nor alias", "30 03 0000 00"},
        {5, "PUBLISH, identifier 0", "30 06 0001 61 02 0B 00"},
        {5, "PUBLISH, payload format 2", "30 06 0001 61 02 01 02"},
        {5, "PUBLISH, wildcard to answer to", "30 08 0001 61 04 08 0001 23"},
        {5, "PUBLISH, properties beyond the packet", "30 05 0001 61 05 61"},
        {5, "PUBACK, reason of others", "40 03 0001 11"},
        {5, "PUBREL, reason of others", "62 03 0001 10"},
        {5, "SUBSCRIBE, reserved options", "82 07 0001 00 0001 61 40"},
        {5, "SUBSCRIBE, retain handling 3", "82 07 0001 00 0001 61 30"},
        {5, "SUBSCRIBE, shared and no local", "82 10 0002 00 000A 24736861 72652F67 2F23 04"},
        {5, "SUBSCRIBE, two identifiers", "82 0B 0001 04 0B 01 0B 02 0001 61 00"},
        {5, "SUBSCRIBE, group of nothing", "82 0E 0002 00 0008 24736861 72652F2F 00"},
        {5, "SUBACK, no such reason", "90 04 0001 00 03"},
        {5, "UNSUBACK, nothing", "B0 03 0001 00"},
        {5, "DISCONNECT, reason of others", "E0 01 85"},
        {5, "AUTH, no such reason", "F0 01 01"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
        uint8_t data[256];
        mqtt_packet_t packet;
        size_t len = unhex(wrong[i].hex, data);
        int code = read_guarded(wrong[i].version, data, len, &packet);
        if (code != HV_EPROTO) fail_msg("%s: %s", wrong[i].name, herr_name(code));
    }
}

/* A stream of all packets of a version, cut in two at every point. */
static void test_a_stream_is_cut_the_same_at_every_split(void **state) {
    (void)state;
    for (int version = 4; version <= 5; version++) {
        uint8_t stream[4096];
        size_t len = 0, count = 0;
        for (size_t i = 0; i < ARRAY_SIZE(vectors); i++) {
            if (vectors[i].version != version) continue;
            len += unhex(vectors[i].hex, stream + len);
            count++;
        }
        for (size_t split = 0; split <= len; split++) {
            size_t at = 0, found = 0;
            for (int part = 0; part < 2; part++) {
                size_t end = part == 0 ? split : len;
                for (long bytes; (bytes = mqtt_packet_bytes(stream + at, end - at)) > 0;) {
                    if ((size_t)bytes > end - at) break;
                    mqtt_packet_t packet;
                    assert_int_equal(mqtt_packet_read(version, stream + at, (size_t)bytes, &packet),
                                     0);
                    at += (size_t)bytes;
                    found++;
                }
            }
            assert_int_equal(at, len);
            assert_int_equal(found, count);
        }
    }
}

static void test_lengths_have_one_to_four_bytes(void **state) {
    (void)state;
    static const struct {
        uint32_t value;
        size_t bytes;
    } cases[] = {{0, 1},       {127, 1},     {128, 2},       {16383, 2},
                 {16384, 3},   {2097151, 3}, {2097152, 4},   {268435455, 4}};
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        uint8_t data[4];
        uint32_t value = 0;
        assert_int_equal(mqtt_varint_put(data, cases[i].value), cases[i].bytes);
        assert_int_equal(mqtt_varint_bytes(cases[i].value), cases[i].bytes);
        assert_int_equal(mqtt_varint_get(data, cases[i].bytes, &value), cases[i].bytes);
        assert_int_equal(value, cases[i].value);
        assert_int_equal(mqtt_varint_get(data, cases[i].bytes - 1, &value), 0);
    }
}

static void test_writing_keeps_to_its_limits(void **state) {
    (void)state;
    hbuf_t out = {0};
    mqtt_packet_t packet = {.type = HMQTT_PUBLISH, .topic = HMQTT_TEXT("abc"),
                            .payload = HMQTT_TEXT("0123456789")};
    assert_int_equal(mqtt_packet_write(&out, 4096, 16, 4, &packet), HV_ELIMIT);
    assert_int_equal(mqtt_packet_write(&out, 16, 4096, 4, &packet), HV_ELIMIT);
    assert_int_equal(hbuf_len(&out), 0);
    assert_int_equal(mqtt_packet_write(&out, 17, 17, 4, &packet), 0);
    assert_int_equal(hbuf_len(&out), 17);
    packet.payload.len = MQTT_REST_MAX;
    assert_int_equal(mqtt_packet_write(&out, SIZE_MAX, UINT32_MAX, 4, &packet), HV_ELIMIT);
    hbuf_deinit(&out);
}

static void test_an_alias_stands_before_other_properties(void **state) {
    (void)state;
    hbuf_t out = {0};
    static const char block[] = {HMQTT_PAYLOAD_FORMAT, 1};
    mqtt_packet_t packet = {.type = HMQTT_PUBLISH, .topic = {"", 0}, .payload = HMQTT_TEXT("x"),
                            .properties = {block, 2}};
    assert_int_equal(mqtt_packet_write_publish(&out, 4096, 4096, 5, &packet, 7), 0);
    mqtt_packet_t back;
    assert_int_equal(mqtt_packet_read(5, hbuf_data(&out), hbuf_len(&out), &back), 0);
    hmqtt_property_t property;
    assert_true(hmqtt_property_find(back.properties, HMQTT_TOPIC_ALIAS, &property));
    assert_int_equal(property.number, 7);
    assert_true(hmqtt_property_find(back.properties, HMQTT_PAYLOAD_FORMAT, &property));
    hbuf_deinit(&out);
}

/* Each property: written, read again, and judged for each owner. */
static void test_properties_are_written_and_found(void **state) {
    (void)state;
    int count = 0;
    for (int id = 0; id < 256; id++) {
        hmqtt_kind_e kind = hmqtt_property_kind((uint8_t)id);
        hmqtt_property_t property = {.id = (uint8_t)id, .number = 1, .name = HMQTT_TEXT("key"),
                                     .value = HMQTT_TEXT("value")}, back;
        hbuf_t block = {0};
        int code = mqtt_property_write(&block, 4096, &property);
        assert_int_equal(code, kind == HMQTT_KIND_NONE ? HV_EINVAL : 0);
        hmqtt_block_t view = {hbuf_data(&block), (uint32_t)hbuf_len(&block)};
        assert_int_equal(hmqtt_property_find(view, (uint8_t)id, &back), kind != HMQTT_KIND_NONE);
        if (kind == HMQTT_KIND_NONE) continue;
        count++;
        if (kind <= HMQTT_KIND_VARINT) {
            assert_int_equal(back.number, 1);
        } else {
            assert_int_equal(back.value.len, 5);
            assert_memory_equal(back.value.data, "value", 5);
        }
        int owners = 0;
        for (int owner = 0; owner < 16; owner++) owners += mqtt_block_is_valid(view, owner);
        int needs_method = id == HMQTT_AUTH_DATA;
        assert_true(needs_method ? owners == 0 : owners > 0);
        hbuf_deinit(&block);
    }
    assert_int_equal(count, 27); /* 5 2.2.2.2 */
    hbuf_t block = {0};
    hmqtt_property_t wrong = {.id = HMQTT_RECEIVE_MAX, .number = 65536};
    assert_int_equal(mqtt_property_write(&block, 4096, &wrong), HV_EINVAL);
    wrong = (hmqtt_property_t){.id = HMQTT_CONTENT_TYPE, .value = {"\xff", 1}};
    assert_int_equal(mqtt_property_write(&block, 4096, &wrong), HV_EINVAL);
    assert_int_equal(hbuf_len(&block), 0);
}

static void test_filters_are_walked(void **state) {
    (void)state;
    uint8_t data[64];
    size_t len = unhex("0001 61 01 0003 622F23 02", data);
    hmqtt_bytes_t list = {(char *)data, (uint32_t)len}, filter;
    uint32_t at = 0;
    uint8_t options;
    assert_true(mqtt_packet_filter(list, &at, &filter, &options));
    assert_int_equal(options, 1);
    assert_true(mqtt_packet_filter(list, &at, &filter, &options));
    assert_int_equal(filter.len, 3);
    assert_int_equal(options, 2);
    assert_false(mqtt_packet_filter(list, &at, &filter, &options));
}

static void test_reasons_have_words_and_codes(void **state) {
    (void)state;
    assert_string_equal(hmqtt_reason_text(HMQTT_NOT_AUTHORIZED), "not authorized");
    assert_string_equal(hmqtt_reason_text(0x7f), "granted");
    assert_string_equal(hmqtt_reason_text(0xff), "unknown reason");
    for (int reason = 0; reason < 256; reason++) {
        int code = hmqtt_reason_code((uint8_t)reason);
        assert_true(reason < 0x80 ? code == 0 : code < 0);
    }
    assert_int_equal(hmqtt_reason_code(HMQTT_NOT_AUTHORIZED), -EACCES);
    assert_int_equal(hmqtt_reason_code(HMQTT_QUOTA_EXCEEDED), HV_ELIMIT);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_vectors_are_read_and_written_again),
        cmocka_unit_test(test_each_truncation_is_refused),
        cmocka_unit_test(test_each_wrong_flag_is_refused),
        cmocka_unit_test(test_what_is_forbidden_is_refused),
        cmocka_unit_test(test_a_stream_is_cut_the_same_at_every_split),
        cmocka_unit_test(test_lengths_have_one_to_four_bytes),
        cmocka_unit_test(test_writing_keeps_to_its_limits),
        cmocka_unit_test(test_an_alias_stands_before_other_properties),
        cmocka_unit_test(test_properties_are_written_and_found),
        cmocka_unit_test(test_filters_are_walked),
        cmocka_unit_test(test_reasons_have_words_and_codes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
