/* h2_fixture.h - the fixture of http_test.h with a client that speaks in frames. */
#ifndef SPEC_H2_FIXTURE_H_
#define SPEC_H2_FIXTURE_H_

#include "h2_test.h"
#include "http_test.h"

static h2_text_t text; /* what the client says next */

/* Runs until a frame of that kind has come. Returns its flags. */
static int await_frame(int fd, int kind, long stream, int nth, const unsigned char **payload,
                       size_t *len) {
    const unsigned char *unused;
    size_t unused_len;
    if (payload == NULL) payload = &unused;
    if (len == NULL) len = &unused_len;
    for (int i = 0; i < PASSES_MAX; i++) {
        hloop_process_events(fix->loop, i < 10 ? 0 : 1);
        receive(fd);
        int flags = find_frame(fix->reply, fix->reply_len, kind, stream, nth, payload, len);
        if (flags >= 0) return flags;
        if (fix->reply_eof != 0) break;
    }
    fail_msg("no frame %d of stream %ld (eof %d, %zu bytes)", kind, stream, fix->reply_eof,
             fix->reply_len);
    return -1;
}

static void send_text(int fd) {
    say_bytes(fd, text.data, text.len);
    text.len = 0;
}

/* A client whose first words, preface and acknowledgement, wait in `text`. */
static int greeting_client(void) {
    int fd = client();
    put_preface(&text);
    put_frame(&text, F_SETTINGS, ACK, 0, NULL, 0);
    return fd;
}

#endif
