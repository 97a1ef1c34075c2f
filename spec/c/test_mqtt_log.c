/* Tests of mqtt_log.c and mqtt_store.c: what is written comes back; a file cut at any byte, or with
 * any byte changed, gives what was whole before it; ids never collide; a long file becomes
 * short. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <errno.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "mqtt_store.h"

static char folder[64];
static char path[128];

static int make_folder(void **state) {
    (void)state;
    strcpy(folder, "/tmp/hv_mqtt_XXXXXX");
    if (mkdtemp(folder) == NULL) return -1;
    snprintf(path, sizeof path, "%s/store", folder);
    return 0;
}

static int remove_folder(void **state) {
    (void)state;
    char more[160];
    snprintf(more, sizeof more, "%s.new", path);
    unlink(more);
    unlink(path);
    return rmdir(folder);
}

static long file_bytes(void) {
    struct stat facts;
    return stat(path, &facts) == 0 ? (long)facts.st_size : -1;
}

static size_t read_file(char *data, size_t max) {
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    size_t len = fread(data, 1, max, file);
    fclose(file);
    return len;
}

static void write_file(const char *data, size_t len) {
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(data, 1, len, file), len);
    fclose(file);
}

static mqtt_packet_t message(const char *topic, const char *payload, uint8_t qos) {
    static const char block[] = {HMQTT_PAYLOAD_FORMAT, 1};
    return (mqtt_packet_t){.type = HMQTT_PUBLISH,
                           .qos = qos,
                           .topic = {topic, (uint32_t)strlen(topic)},
                           .payload = {payload, (uint32_t)strlen(payload)},
                           .properties = {block, 2}};
}

static mqtt_entry_t *add(mqtt_store_t *store, const char *payload, uint8_t qos) {
    int code;
    mqtt_packet_t packet = message("a/topic", payload, qos);
    mqtt_entry_t *entry = mqtt_store_add(store, &packet, &code);
    assert_non_null(entry);
    assert_int_equal(code, 0);
    return entry;
}

static void open_store(mqtt_store_t *store) {
    mqtt_store_init(store);
    assert_int_equal(mqtt_store_open(store, path, 0), 0);
}

/* "1:one,2:two!": what is under way, with ! for what the broker has. */
static const char *words_of(const mqtt_store_t *store) {
    static char words[512];
    words[0] = '\0';
    for (mqtt_entry_t *entry = store->flight.first; entry != NULL; entry = entry->next) {
        mqtt_packet_t packet = mqtt_entry_packet(entry);
        assert_int_equal(packet.properties.len, 2);
        assert_memory_equal(packet.topic.data, "a/topic", 7);
        sprintf(words + strlen(words), "%u:%.*s%s,", entry->id, (int)packet.payload.len,
                packet.payload.data, entry->state == MQTT_RELEASED ? "!" : "");
    }
    return words;
}

/* ---- What comes back ---- */

static void write_some(void) {
    mqtt_store_t store;
    open_store(&store);
    mqtt_entry_t *one = add(&store, "one", 1), *two = add(&store, "two", 2);
    mqtt_entry_t *three = add(&store, "three", 2);
    add(&store, "zero", 0); /* is not kept in a file */
    mqtt_store_launch(&store, one);
    mqtt_store_launch(&store, two);
    mqtt_store_launch(&store, three);
    assert_int_equal(mqtt_store_release(&store, three), 0);
    mqtt_store_remove(&store, one);
    assert_int_equal(mqtt_store_receive(&store, 7), 0);
    assert_int_equal(mqtt_store_receive(&store, 65535), 0);
    assert_int_equal(mqtt_store_receive(&store, 8), 0); /* not handled before the end */
    assert_int_equal(mqtt_store_keep_received(&store, 7), 0);
    assert_int_equal(mqtt_store_keep_received(&store, 65535), 0);
    assert_int_equal(mqtt_store_keep_received(&store, 100), 0); /* is none */
    mqtt_store_forget(&store, 7);
    add(&store, "four", 1);
    assert_int_equal(mqtt_store_flush(&store), 0);
    mqtt_store_deinit(&store);
}

static void test_what_was_written_comes_back(void **state) {
    (void)state;
    mqtt_store_t store;
    unlink(path);
    write_some();
    open_store(&store);
    assert_string_equal(words_of(&store), "2:two,3:three!,4:four,");
    assert_int_equal(mqtt_log_dropped(store.log), 0);
    assert_true(mqtt_store_has_received(&store, 65535));
    assert_false(mqtt_store_has_received(&store, 7));
    assert_false(mqtt_store_has_received(&store, 8));
    assert_int_equal(store.received_count, 1);
    /* A new message takes no id that is in use. */
    assert_int_equal(add(&store, "five", 1)->id, 5);
    mqtt_store_forget_all(&store);
    mqtt_store_deinit(&store); /* writes the rest */
    open_store(&store);
    assert_string_equal(words_of(&store), "2:two,3:three!,4:four,5:five,");
    assert_int_equal(store.received_count, 0);
    mqtt_store_deinit(&store);
}

/* Cut anywhere, the file gives what it would have given at that time, and can be written again. */
static void test_a_torn_end_is_cut_off(void **state) {
    (void)state;
    char data[4096];
    unlink(path);
    write_some();
    size_t len = read_file(data, sizeof data);
    size_t before = 0;
    for (size_t cut = 0; cut <= len; cut++) {
        mqtt_store_t store;
        write_file(data, cut);
        open_store(&store);
        size_t count = store.flight.count;
        size_t dropped = (size_t)mqtt_log_dropped(store.log);
        assert_true(dropped <= cut);
        if (dropped == 0 && cut > 8) before = cut;
        if (cut > 8) assert_int_equal(cut - dropped, before > 0 ? before : 8);
        add(&store, "more", 1);
        mqtt_store_deinit(&store);
        open_store(&store);
        assert_int_equal(mqtt_log_dropped(store.log), 0);
        assert_int_equal(store.flight.count, count + 1);
        mqtt_store_deinit(&store);
    }
}

static void test_a_changed_byte_ends_what_is_read(void **state) {
    (void)state;
    char data[4096];
    unlink(path);
    write_some();
    size_t len = read_file(data, sizeof data);
    for (size_t at = 8; at < len; at++) {
        mqtt_store_t store;
        data[at] ^= 0x10;
        write_file(data, len);
        open_store(&store);
        assert_true(mqtt_log_dropped(store.log) >= len - at);
        mqtt_store_deinit(&store);
        data[at] ^= 0x10;
    }
    data[0] ^= 1;
    write_file(data, len);
    mqtt_store_t store;
    mqtt_store_init(&store);
    assert_int_equal(mqtt_store_open(&store, path, 0), HV_EPROTO);
    mqtt_store_deinit(&store);
}

static void test_a_file_has_one_user(void **state) {
    (void)state;
    mqtt_store_t store, other;
    unlink(path);
    open_store(&store);
    mqtt_store_init(&other);
    assert_int_equal(mqtt_store_open(&other, path, 0), HV_EBUSY);
    mqtt_store_deinit(&other);
    mqtt_store_deinit(&store);
    mqtt_store_init(&other);
    assert_int_equal(mqtt_store_open(&other, "/no/such/folder/x", 0), -ENOENT);
    mqtt_store_deinit(&other);
}

static void test_a_file_of_what_is_past_becomes_short(void **state) {
    (void)state;
    mqtt_store_t store;
    unlink(path);
    open_store(&store);
    char payload[1001];
    memset(payload, 'x', 1000);
    payload[1000] = '\0';
    mqtt_entry_t *kept = add(&store, "kept", 2);
    mqtt_store_launch(&store, kept);
    assert_int_equal(mqtt_store_release(&store, kept), 0);
    assert_int_equal(mqtt_store_receive(&store, 9), 0);
    assert_int_equal(mqtt_store_keep_received(&store, 9), 0);
    long most = 0;
    for (int i = 0; i < 5000; i++) {
        mqtt_store_remove(&store, add(&store, payload, 1));
        if (i % 10 == 0) assert_int_equal(mqtt_store_flush(&store), 0);
        if (file_bytes() > most) most = file_bytes();
    }
    /* What comes after it was rewritten stands in the file of that name, too. */
    add(&store, "late", 1);
    assert_int_equal(mqtt_store_flush(&store), 0);
    assert_true(most < 2 << 20);
    mqtt_store_deinit(&store);
    char unfinished[160];
    snprintf(unfinished, sizeof unfinished, "%s.new", path);
    assert_int_equal(access(unfinished, F_OK), -1);
    open_store(&store);
    assert_ptr_equal(strstr(words_of(&store), "1:kept!,"), words_of(&store));
    assert_non_null(strstr(words_of(&store), ":late,"));
    assert_true(mqtt_store_has_received(&store, 9));
    mqtt_store_deinit(&store);
}

static void test_a_file_that_cannot_be_written_is_tried_again(void **state) {
    (void)state;
    mqtt_store_t store;
    unlink(path);
    open_store(&store);
    struct rlimit before, little;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    little = before;
    little.rlim_cur = 20; /* in the middle of the first record */
    signal(SIGXFSZ, SIG_IGN);
    add(&store, "one", 1);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &little), 0);
    assert_int_equal(mqtt_store_flush(&store), -EFBIG);
    add(&store, "two", 1);
    assert_int_equal(mqtt_store_flush(&store), -EFBIG);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    assert_int_equal(mqtt_store_flush(&store), 0);
    mqtt_store_deinit(&store);
    open_store(&store);
    assert_string_equal(words_of(&store), "1:one,2:two,");
    assert_int_equal(mqtt_log_dropped(store.log), 0);
    mqtt_store_deinit(&store);
}

static int sync_count, sync_errno;

/* Stands in for the C library's: whether a disk has the bytes cannot be seen from outside. */
int fdatasync(int fd) {
    (void)fd;
    sync_count++;
    errno = sync_errno;
    return sync_errno != 0 ? -1 : 0;
}

static void test_on_the_disk_where_asked(void **state) {
    (void)state;
    mqtt_store_t store;
    unlink(path);
    mqtt_store_init(&store);
    assert_int_equal(mqtt_store_open(&store, path, 1), 0);
    add(&store, "one", 1);
    long before = file_bytes();
    sync_count = 0;
    sync_errno = EIO;
    assert_int_equal(mqtt_store_flush(&store), -EIO);
    assert_int_equal(file_bytes(), before); /* nothing that may not be there */
    sync_errno = 0;
    assert_int_equal(mqtt_store_flush(&store), 0);
    assert_int_equal(sync_count, 2);
    assert_true(file_bytes() > before);
    mqtt_store_deinit(&store);
    sync_count = 0;
    open_store(&store);
    assert_string_equal(words_of(&store), "1:one,");
    add(&store, "two", 1);
    assert_int_equal(mqtt_store_flush(&store), 0);
    assert_int_equal(sync_count, 0);
    mqtt_store_deinit(&store);
}

/* ---- Ids ---- */

static void test_ids_never_collide_and_come_back(void **state) {
    (void)state;
    mqtt_store_t store;
    mqtt_store_init(&store);
    static mqtt_entry_t *entries[65536];
    mqtt_packet_t packet = message("a/topic", "", 1);
    int code;
    for (int i = 1; i <= 65535; i++) {
        mqtt_entry_t *entry = mqtt_store_add(&store, &packet, &code);
        assert_non_null(entry);
        assert_null(entries[entry->id]);
        entries[entry->id] = entry;
    }
    assert_null(entries[0]);
    assert_null(mqtt_store_add(&store, &packet, &code));
    assert_int_equal(code, HV_ELIMIT);
    assert_int_equal(store.waiting.count, 65535);
    /* One is given back: it is the one that the next gets. */
    mqtt_store_remove(&store, entries[40000]);
    assert_null(mqtt_store_find(&store, 40000));
    mqtt_entry_t *next = mqtt_store_add(&store, &packet, &code);
    assert_non_null(next);
    assert_int_equal(next->id, 40000);
    packet.type = HMQTT_SUBSCRIBE;
    assert_null(mqtt_store_add(&store, &packet, &code));
    mqtt_store_deinit(&store);
}

static void test_lists_keep_their_order(void **state) {
    (void)state;
    mqtt_store_t store;
    mqtt_store_init(&store);
    mqtt_entry_t *entries[6];
    for (int i = 0; i < 6; i++) entries[i] = add(&store, "x", 1);
    for (int i = 0; i < 4; i++) mqtt_store_launch(&store, entries[i]);
    mqtt_store_remove(&store, entries[1]);
    mqtt_store_remove(&store, entries[5]);
    mqtt_store_remove(&store, entries[0]);
    assert_int_equal(store.flight.count, 2);
    assert_ptr_equal(store.flight.first, entries[2]);
    assert_ptr_equal(store.flight.last, entries[3]);
    assert_ptr_equal(store.waiting.first, entries[4]);
    assert_ptr_equal(store.waiting.last, entries[4]);
    mqtt_store_remove(&store, entries[2]);
    mqtt_store_remove(&store, entries[3]);
    mqtt_store_remove(&store, entries[4]);
    assert_int_equal(store.bytes, 0);
    assert_int_equal(store.ids_used, 0);
    mqtt_store_deinit(&store);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_was_written_comes_back),
        cmocka_unit_test(test_a_torn_end_is_cut_off),
        cmocka_unit_test(test_a_changed_byte_ends_what_is_read),
        cmocka_unit_test(test_a_file_has_one_user),
        cmocka_unit_test(test_a_file_of_what_is_past_becomes_short),
        cmocka_unit_test(test_a_file_that_cannot_be_written_is_tried_again),
        cmocka_unit_test(test_on_the_disk_where_asked),
        cmocka_unit_test(test_ids_never_collide_and_come_back),
        cmocka_unit_test(test_lists_keep_their_order),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
