/* hlog_queue.c - two buffers and a thread. `filling` is what callers append to, under the lock;
 * `writing` is the thread's alone while is_writing is set. They are swapped when the thread has
 * nothing left to write and `filling` has something. */
#include "hlog_queue.h"

#include <pthread.h>
#include <signal.h>
#include <stdalign.h>
#include <string.h>

#include "hmem.h"

typedef struct record_s {
    time_t second;
    size_t len;
    int level;
} record_t;

typedef struct half_s {
    char *data;
    size_t len;
} half_t;

struct hlog_queue_s {
    pthread_mutex_t lock;
    pthread_cond_t has_lines;
    pthread_cond_t has_room; /* a buffer was swapped, or all is written */
    pthread_t thread;
    half_t filling, writing;
    size_t cap;
    int is_writing;
    int is_stopping;
    hlog_queue_sink sink;
    void *userdata;
};

/* A record and its line, rounded up so that the next record is aligned. */
static size_t record_bytes(size_t len) {
    size_t align = alignof(record_t);
    return (sizeof(record_t) + len + align - 1) / align * align;
}

static void write_half(hlog_queue_t *queue, const half_t *half) {
    for (size_t at = 0; at < half->len;) {
        record_t record;
        memcpy(&record, half->data + at, sizeof record);
        queue->sink(queue->userdata, record.level, record.second, half->data + at + sizeof record,
                    record.len);
        at += record_bytes(record.len);
    }
}

static void *run(void *argument) {
    hlog_queue_t *queue = argument;
    pthread_mutex_lock(&queue->lock);
    for (;;) {
        while (queue->filling.len == 0 && !queue->is_stopping) {
            pthread_cond_wait(&queue->has_lines, &queue->lock);
        }
        if (queue->filling.len == 0) break;
        half_t full = queue->filling;
        queue->filling = queue->writing;
        queue->writing = full;
        queue->is_writing = 1;
        pthread_cond_broadcast(&queue->has_room);
        pthread_mutex_unlock(&queue->lock);
        write_half(queue, &full);
        pthread_mutex_lock(&queue->lock);
        queue->writing.len = 0;
        queue->is_writing = 0;
        pthread_cond_broadcast(&queue->has_room);
    }
    pthread_mutex_unlock(&queue->lock);
    return NULL;
}

/* Signals are for the program's own threads. */
static int start_thread(hlog_queue_t *queue) {
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int code = pthread_create(&queue->thread, NULL, run, queue);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return code;
}

static void free_queue(hlog_queue_t *queue) {
    hv__free(queue->filling.data);
    hv__free(queue->writing.data);
    hv__free(queue);
}

hlog_queue_t *hv__log_queue_start(size_t bytes, hlog_queue_sink sink, void *userdata) {
    hlog_queue_t *queue = hv__calloc(1, sizeof *queue);
    if (queue == NULL) return NULL;
    queue->cap = bytes;
    queue->sink = sink;
    queue->userdata = userdata;
    queue->filling.data = hv__malloc(bytes);
    queue->writing.data = hv__malloc(bytes);
    pthread_mutex_init(&queue->lock, NULL);
    pthread_cond_init(&queue->has_lines, NULL);
    pthread_cond_init(&queue->has_room, NULL);
    if (queue->filling.data == NULL || queue->writing.data == NULL || start_thread(queue) != 0) {
        free_queue(queue);
        return NULL;
    }
    return queue;
}

void hv__log_queue_put(hlog_queue_t *queue, int level, time_t second, const char *line,
                       size_t len) {
    size_t bytes = record_bytes(len);
    if (bytes > queue->cap) {
        hv__log_queue_drain(queue);
        queue->sink(queue->userdata, level, second, line, len);
        return;
    }
    pthread_mutex_lock(&queue->lock);
    while (queue->filling.len + bytes > queue->cap) {
        pthread_cond_wait(&queue->has_room, &queue->lock);
    }
    record_t record = {.second = second, .len = len, .level = level};
    char *at = queue->filling.data + queue->filling.len;
    memcpy(at, &record, sizeof record);
    memcpy(at + sizeof record, line, len);
    int was_empty = queue->filling.len == 0;
    queue->filling.len += bytes;
    if (was_empty) pthread_cond_signal(&queue->has_lines);
    pthread_mutex_unlock(&queue->lock);
}

void hv__log_queue_drain(hlog_queue_t *queue) {
    pthread_mutex_lock(&queue->lock);
    while (queue->filling.len > 0 || queue->is_writing) {
        pthread_cond_wait(&queue->has_room, &queue->lock);
    }
    pthread_mutex_unlock(&queue->lock);
}

void hv__log_queue_stop(hlog_queue_t *queue) {
    pthread_mutex_lock(&queue->lock);
    queue->is_stopping = 1;
    pthread_cond_signal(&queue->has_lines);
    pthread_mutex_unlock(&queue->lock);
    pthread_join(queue->thread, NULL);
    pthread_cond_destroy(&queue->has_lines);
    pthread_cond_destroy(&queue->has_room);
    pthread_mutex_destroy(&queue->lock);
    free_queue(queue);
}
