/* mqtt_log.c - the file of a session, see mqtt_log.h. It blocks: a write of what one turn of the
 * loop has collected, and with HMQTT_SYNC_ALWAYS one fdatasync. */
#include "mqtt_log.h"

#include <sys/file.h>
#include <sys/stat.h>

#include "hassert.h"
#include "hmem.h"

#define HEADER_BYTES  8
#define RECORD_BYTES  12            /* in front of the body */
#define BODY_MAX      (256u << 20)  /* longer is no record */
#define PENDING_MAX   (512u << 20)
#define READ_BYTES    (256 * 1024)

struct mqtt_log_s {
    int fd;
    int is_synced;
    char *path;
    hbuf_t pending;
    uint64_t bytes; /* of the file: whole records */
    uint64_t dropped;
};

static const char file_header[HEADER_BYTES] = {'H', 'V', 'M', 'Q', 1, 0, 0, 0};

/* CRC-32 as in Ethernet and zip, four bits a step. */
static uint32_t crc32_of(const uint8_t *data, size_t len) {
    static const uint32_t table[16] = {
        0x00000000, 0x1db71064, 0x3b6e20c8, 0x26d930ac, 0x76dc4190, 0x6b6b51f4,
        0x4db26158, 0x5005713c, 0xedb88320, 0xf00f9344, 0xd6d6a3e8, 0xcb61b38c,
        0x9b64c2b0, 0x86d3d2d4, 0xa00ae278, 0xbdbdf21c,
    };
    uint32_t crc = 0xffffffff;
    for (size_t i = 0; i < len; i++) {
        crc ^= data[i];
        crc = crc >> 4 ^ table[crc & 15];
        crc = crc >> 4 ^ table[crc & 15];
    }
    return ~crc;
}

static void put_u32(uint8_t *at, uint32_t value) {
    for (int i = 0; i < 4; i++) at[i] = (uint8_t)(value >> (8 * i));
}

static uint32_t get_u32(const uint8_t *at) {
    return at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
}

/* ---- Reading ---- */

/* Cuts the body of a PUBLISH. Returns whether it is whole. */
static int read_publish(const uint8_t *body, uint32_t len, mqtt_record_t *record) {
    if (len < 8) return 0;
    uint32_t topic_len = get_u32(body), block_len = get_u32(body + 4);
    if (topic_len > len - 8 || block_len > len - 8 - topic_len) return 0;
    const char *bytes = (const char *)body + 8;
    record->topic = (hmqtt_bytes_t){bytes, topic_len};
    record->block = (hmqtt_bytes_t){bytes + topic_len, block_len};
    record->payload = (hmqtt_bytes_t){bytes + topic_len + block_len,
                                      len - 8 - topic_len - block_len};
    return record->id != 0;
}

/* Reads the record at `at`. Returns its bytes; 0 where it is not whole or wrong. */
static size_t read_record(const uint8_t *at, size_t left, mqtt_record_t *record) {
    if (left < RECORD_BYTES) return 0;
    uint32_t len = get_u32(at + 4);
    if (len > BODY_MAX || left - RECORD_BYTES < len) return 0;
    if (crc32_of(at + 4, RECORD_BYTES - 4 + len) != get_u32(at)) return 0;
    *record = (mqtt_record_t){
        .kind = at[8], .flags = at[9], .id = (uint16_t)(at[10] | at[11] << 8)};
    if (record->kind == MQTT_LOG_PUBLISH && !read_publish(at + RECORD_BYTES, len, record)) return 0;
    return RECORD_BYTES + (size_t)len;
}

/* Tells all whole records of what has been read. Returns 0 or a code. */
static int tell_records(mqtt_log_t *log, hbuf_t *read, mqtt_log_cb on_record, void *userdata) {
    mqtt_record_t record;
    size_t used;
    while ((used = read_record((const uint8_t *)hbuf_data(read), hbuf_len(read), &record)) > 0) {
        int code = on_record(userdata, &record);
        if (code != 0) return code;
        hbuf_consume_keep(read, used);
        log->bytes += used;
    }
    return 0;
}

static int read_all(mqtt_log_t *log, hbuf_t *read_buf, mqtt_log_cb on_record, void *userdata) {
    for (;;) {
        int code = hbuf_reserve(read_buf, READ_BYTES, (size_t)BODY_MAX * 2);
        if (code == HV_ELIMIT) return 0; /* a length that cannot be: the torn end */
        if (code != 0) return code;
        ssize_t got = read(log->fd, hbuf_tail(read_buf), READ_BYTES);
        if (got < 0) return -errno;
        if (got == 0) return 0;
        hbuf_commit(read_buf, (size_t)got);
        if (log->bytes == 0) {
            if (hbuf_len(read_buf) < HEADER_BYTES) continue;
            if (memcmp(hbuf_data(read_buf), file_header, HEADER_BYTES) != 0) return HV_EPROTO;
            hbuf_consume_keep(read_buf, HEADER_BYTES);
            log->bytes = HEADER_BYTES;
        }
        code = tell_records(log, read_buf, on_record, userdata);
        if (code != 0) return code;
    }
}

/* ---- Writing ---- */

/* Writes all of it from `offset` on, or says why not. The place is told each time: what a failed
 * attempt has left behind the last whole record is written over by the next. */
static int write_all(int fd, const char *data, size_t len, uint64_t offset) {
    while (len > 0) {
        ssize_t done = pwrite(fd, data, len, (off_t)offset);
        if (done < 0 && errno == EINTR) continue;
        if (done < 0) return -errno;
        data += done, len -= (size_t)done, offset += (size_t)done;
    }
    return 0;
}

int mqtt_log_flush(mqtt_log_t *log) {
    size_t len = hbuf_len(&log->pending);
    if (len == 0) return 0;
    int code = write_all(log->fd, hbuf_data(&log->pending), len, log->bytes);
    if (code == 0 && log->is_synced && fdatasync(log->fd) != 0) code = -errno;
    if (code != 0) {
        /* Whole records only: what was begun is written again from its start. Where even this
         * fails, a reader cuts it off as a torn end. */
        int cut = ftruncate(log->fd, (off_t)log->bytes);
        (void)cut;
        return code;
    }
    log->bytes += len;
    if (len > READ_BYTES) {
        hbuf_consume(&log->pending, len);
    } else {
        hbuf_consume_keep(&log->pending, len);
    }
    return 0;
}

int mqtt_log_add(mqtt_log_t *log, const mqtt_record_t *record) {
    int is_publish = record->kind == MQTT_LOG_PUBLISH;
    size_t len = is_publish ? 8 + (size_t)record->topic.len + record->block.len +
                                  record->payload.len
                            : 0;
    if (len > BODY_MAX) return HV_ELIMIT;
    int code = hbuf_reserve(&log->pending, RECORD_BYTES + len, PENDING_MAX);
    if (code != 0) return code;
    uint8_t *at = (uint8_t *)hbuf_tail(&log->pending);
    put_u32(at + 4, (uint32_t)len);
    at[8] = record->kind, at[9] = record->flags;
    at[10] = (uint8_t)record->id, at[11] = (uint8_t)(record->id >> 8);
    if (is_publish) {
        uint8_t *body = at + RECORD_BYTES;
        put_u32(body, record->topic.len);
        put_u32(body + 4, record->block.len);
        body += 8;
        const hmqtt_bytes_t *parts[] = {&record->topic, &record->block, &record->payload};
        for (size_t i = 0; i < ARRAY_SIZE(parts); i++) {
            if (parts[i]->len > 0) memcpy(body, parts[i]->data, parts[i]->len);
            body += parts[i]->len;
        }
    }
    put_u32(at, crc32_of(at + 4, RECORD_BYTES - 4 + len));
    hbuf_commit(&log->pending, RECORD_BYTES + len);
    return 0;
}

/* ---- Opening and closing ---- */

static int is_still_named(int fd, const char *path) {
    struct stat by_fd, by_path;
    if (fstat(fd, &by_fd) != 0 || stat(path, &by_path) != 0) return 0;
    return by_fd.st_dev == by_path.st_dev && by_fd.st_ino == by_path.st_ino;
}

/* A file that its owner has replaced between our opening and our locking of it is his, not ours. */
static int open_file(const char *path, int flags, int *fd) {
    *fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | flags, 0600);
    if (*fd < 0) return -errno;
    int is_locked = flock(*fd, LOCK_EX | LOCK_NB) == 0;
    if (is_locked && is_still_named(*fd, path)) return 0;
    int code = is_locked || errno == EWOULDBLOCK ? HV_EBUSY : -errno;
    close(*fd);
    *fd = -1;
    return code;
}

/* Cuts the torn end off, or writes the header of a new file. */
static int settle(mqtt_log_t *log) {
    struct stat facts;
    if (fstat(log->fd, &facts) != 0) return -errno;
    if (facts.st_size < HEADER_BYTES) {
        log->dropped = (uint64_t)facts.st_size;
        if (ftruncate(log->fd, 0) != 0) return -errno;
        int code = write_all(log->fd, file_header, HEADER_BYTES, 0);
        log->bytes = HEADER_BYTES;
        return code;
    }
    log->dropped = (uint64_t)facts.st_size - log->bytes;
    return log->dropped > 0 && ftruncate(log->fd, (off_t)log->bytes) != 0 ? -errno : 0;
}

int mqtt_log_open(const char *path, int is_synced, mqtt_log_cb on_record, void *userdata,
                  mqtt_log_t **result) {
    mqtt_log_t *log = hv__calloc(1, sizeof *log);
    if (log == NULL) return HV_ENOMEM;
    hbuf_t read_buf = {0};
    log->fd = -1;
    log->is_synced = is_synced;
    log->path = hv__strndup(path, strlen(path));
    int code = log->path != NULL ? open_file(path, 0, &log->fd) : HV_ENOMEM;
    if (code == 0) code = read_all(log, &read_buf, on_record, userdata);
    if (code == 0) code = settle(log);
    hbuf_deinit(&read_buf);
    if (code == 0) {
        *result = log;
    } else {
        mqtt_log_close(log);
    }
    return code;
}

void mqtt_log_close(mqtt_log_t *log) {
    if (log == NULL) return;
    if (log->fd >= 0) {
        mqtt_log_flush(log);
        close(log->fd);
    }
    hbuf_deinit(&log->pending);
    hv__free(log->path);
    hv__free(log);
}

uint64_t mqtt_log_bytes(const mqtt_log_t *log) { return log->bytes + hbuf_len(&log->pending); }
uint64_t mqtt_log_dropped(const mqtt_log_t *log) { return log->dropped; }

/* ---- Rewriting ---- */

/* Brings the new name of a file to the disk: that of its folder. */
static void sync_folder(const char *path) {
    char folder[PATH_MAX];
    const char *slash = strrchr(path, '/');
    size_t len = slash != NULL ? (size_t)(slash - path) + 1 : 0;
    if (len >= sizeof folder) return;
    memcpy(folder, path, len);
    folder[len] = '\0';
    int fd = open(len > 0 ? folder : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return;
    fsync(fd);
    close(fd);
}

int mqtt_log_rewrite(mqtt_log_t *log, int (*fill)(mqtt_log_t *log, void *userdata),
                     void *userdata) {
    char path[PATH_MAX];
    if ((size_t)snprintf(path, sizeof path, "%s.new", log->path) >= sizeof path) {
        return -ENAMETOOLONG;
    }
    mqtt_log_t fresh = {.path = log->path, .bytes = HEADER_BYTES};
    int code = open_file(path, O_TRUNC, &fresh.fd);
    if (code != 0) return code;
    code = write_all(fresh.fd, file_header, HEADER_BYTES, 0);
    if (code == 0) code = fill(&fresh, userdata);
    if (code == 0) code = mqtt_log_flush(&fresh);
    if (code == 0 && fdatasync(fresh.fd) != 0) code = -errno;
    if (code == 0 && rename(path, log->path) != 0) code = -errno;
    hbuf_deinit(&fresh.pending);
    if (code != 0) {
        close(fresh.fd);
        unlink(path);
        return code;
    }
    sync_folder(log->path);
    close(log->fd);
    log->fd = fresh.fd;
    log->bytes = fresh.bytes;
    hbuf_consume(&log->pending, hbuf_len(&log->pending)); /* `fill` has told it all */
    return 0;
}
