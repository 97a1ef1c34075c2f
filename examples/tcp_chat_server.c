/* tcp_chat_server.c - what one says, all the others read, line by line.
 *
 *     cc tcp_chat_server.c -o tcp_chat_server -lhv && ./tcp_chat_server 1234
 *     nc 127.0.0.1 1234      # in several terminals
 */
#include "hv/hloop.h"
#include "hv/hsocket.h"

#define NAME_BYTES_MAX SOCKADDR_STRLEN
#define LINE_BYTES_MAX 1024

/* One member of the room; a doubly linked list. */
typedef struct member_s {
    hio_t *io;
    struct member_s *next;
    struct member_s *prev;
    char name[NAME_BYTES_MAX];
} member_t;

static member_t *room;

/* A packet is a line. It must outlive every connection that uses it. */
static unpack_setting_t line_setting = {
    .mode = UNPACK_BY_DELIMITER,
    .package_max_length = LINE_BYTES_MAX,
    .delimiter = {'\n'},
    .delimiter_bytes = 1,
};

static void tell_others(const member_t *from, const char *text, size_t len) {
    for (member_t *member = room; member != NULL; member = member->next) {
        if (member != from) hio_write(member->io, text, len);
    }
}

static void join(hio_t *io) {
    member_t *member = calloc(1, sizeof *member);
    if (member == NULL) {
        hio_close(io);
        return;
    }
    member->io = io;
    SOCKADDR_STR(hio_peeraddr(io), member->name);
    member->next = room;
    if (room != NULL) room->prev = member;
    room = member;
    hio_set_context(io, member);

    char text[NAME_BYTES_MAX + 32];
    int len = snprintf(text, sizeof text, "* %s joined\n", member->name);
    tell_others(member, text, (size_t)len);
}

static void on_close(hio_t *io) {
    member_t *member = hio_context(io);
    if (member == NULL) return;
    if (member->prev != NULL) {
        member->prev->next = member->next;
    } else {
        room = member->next;
    }
    if (member->next != NULL) member->next->prev = member->prev;

    char text[NAME_BYTES_MAX + 32];
    int len = snprintf(text, sizeof text, "* %s left\n", member->name);
    tell_others(member, text, (size_t)len);
    free(member);
}

static void on_line(hio_t *io, void *buf, int readbytes) {
    member_t *member = hio_context(io);
    char text[NAME_BYTES_MAX + LINE_BYTES_MAX + 8];
    int len = snprintf(text, sizeof text, "%s: %.*s", member->name, readbytes, (char *)buf);
    tell_others(member, text, (size_t)len);
}

static void on_accept(hio_t *io) {
    hio_setcb_close(io, on_close);
    hio_setcb_read(io, on_line);
    hio_set_unpack(io, &line_setting);
    join(io);
    hio_read(io);
}

int main(int argc, char **argv) {
    setvbuf(stdout, NULL, _IOLBF, 0);
    int port;
    char rest;
    if (argc != 2 || sscanf(argv[1], "%d%c", &port, &rest) != 1) {
        fprintf(stderr, "Usage: %s port\n", argv[0]);
        return 2;
    }
    hloop_t *loop = hloop_new(0);
    if (hloop_create_tcp_server(loop, "0.0.0.0", port, on_accept) == NULL) {
        fprintf(stderr, "listen: %s\n", herr_text(hloop_last_error(loop)));
        return 1;
    }
    printf("listening on %d\n", port);
    hloop_run(loop);
    hloop_free(&loop);
    return 0;
}
