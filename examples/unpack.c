/* unpack.c - packets cut by a length field in front: five bytes of head (one of flags, four of
 * length, big endian), then the body. The server answers each packet with its body turned round;
 * the client sends three packets in one write and one in pieces, and gets four whole answers.
 *
 *     cc unpack.c -o unpack -lhv && ./unpack
 */
#include "hv/hloop.h"

#define HEAD_BYTES 5
#define BODY_BYTES_MAX 1024

static unpack_setting_t setting = {
    .mode = UNPACK_BY_LENGTH_FIELD,
    .package_max_length = HEAD_BYTES + BODY_BYTES_MAX,
    .body_offset = HEAD_BYTES,
    .length_field_offset = 1,
    .length_field_bytes = 4,
    .length_field_coding = ENCODE_BY_BIG_ENDIAN,
};

static size_t pack(unsigned char *out, const char *body, size_t len) {
    out[0] = 1;
    out[1] = (unsigned char)(len >> 24);
    out[2] = (unsigned char)(len >> 16);
    out[3] = (unsigned char)(len >> 8);
    out[4] = (unsigned char)len;
    memcpy(out + HEAD_BYTES, body, len);
    return HEAD_BYTES + len;
}

static void on_request(hio_t *io, void *buf, int readbytes) {
    const char *body = (const char *)buf + HEAD_BYTES;
    size_t len = (size_t)readbytes - HEAD_BYTES;
    char turned[BODY_BYTES_MAX];
    for (size_t i = 0; i < len; i++) turned[i] = body[len - 1 - i];
    unsigned char packet[HEAD_BYTES + BODY_BYTES_MAX];
    hio_write(io, packet, pack(packet, turned, len));
}

static void on_accept(hio_t *io) {
    hio_setcb_read(io, on_request);
    hio_set_unpack(io, &setting);
    hio_read(io);
}

static void on_answer(hio_t *io, void *buf, int readbytes) {
    static int answers;
    printf("< %.*s\n", readbytes - HEAD_BYTES, (char *)buf + HEAD_BYTES);
    if (++answers == 4) hloop_stop(hevent_loop(io));
}

static void send_second_half(htimer_t *timer) {
    hio_t *io = hevent_userdata(timer);
    hio_write(io, "ces", 3);
}

static void on_connect(hio_t *io) {
    hio_setcb_read(io, on_answer);
    hio_set_unpack(io, &setting);
    hio_read(io);

    unsigned char three[64];
    size_t len = pack(three, "one", 3);
    len += pack(three + len, "two", 3);
    len += pack(three + len, "three", 5);
    hio_write(io, three, len);

    unsigned char fourth[64];
    len = pack(fourth, "in pieces", 9);
    hio_write(io, fourth, len - 3);
    htimer_t *timer = htimer_add(hevent_loop(io), send_second_half, 50, 1);
    hevent_set_userdata(timer, io);
}

int main(void) {
    hloop_t *loop = hloop_new(0);
    hio_t *server = hloop_create_tcp_server(loop, "127.0.0.1", 0, on_accept);
    if (server == NULL) {
        fprintf(stderr, "listen: %s\n", herr_text(hloop_last_error(loop)));
        return 1;
    }
    int port = ntohs(((struct sockaddr_in *)hio_localaddr(server))->sin_port);
    hloop_create_tcp_client(loop, "127.0.0.1", port, on_connect);
    hloop_run(loop);
    hloop_free(&loop);
    return 0;
}
