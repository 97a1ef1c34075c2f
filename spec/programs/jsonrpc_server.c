/* Answers requests that are framed by a flag byte and a length of four bytes. */
#include "hloop.h"
#include "hbase.h"
#include "hsocket.h"

#define HEAD 5

static unpack_setting_t setting;

static void closed(hio_t* io) {
    printf("closed fd=%d error=%d\n", hio_fd(io), hio_error(io));
    fflush(stdout);
}

static void received(hio_t* io, void* buf, int readbytes) {
    unsigned char* packet = (unsigned char*)buf;
    unsigned length = packet[1] << 24 | packet[2] << 16 | packet[3] << 8 | packet[4];
    assert(HEAD + length == (unsigned)readbytes);
    printf("> %.*s\n", (int)length, (char*)packet + HEAD);
    char method[16] = "";
    int id = 0, a = 0, b = 0;
    /* A NUL stands behind the packet, so that it may be scanned as a string. */
    sscanf((char *)packet + HEAD, "{\"id\":%d,\"method\":\"%15[a-z]\",\"params\":[%d,%d]}", &id,
           method, &a, &b);
    char text[128];
    if (strcmp(method, "add") == 0) {
        snprintf(text, sizeof(text), "{\"id\":%d,\"result\":%d}", id, a + b);
    } else if (strcmp(method, "div") == 0 && b != 0) {
        snprintf(text, sizeof(text), "{\"id\":%d,\"result\":%d}", id, a / b);
    } else if (strcmp(method, "div") == 0) {
        snprintf(text, sizeof(text),
                 "{\"id\":%d,\"error\":{\"code\":400,\"message\":\"Bad Request\"}}", id);
    } else {
        snprintf(text, sizeof(text),
                 "{\"id\":%d,\"error\":{\"code\":404,\"message\":\"Not Found\"}}", id);
    }
    int len = (int)strlen(text);
    unsigned char* out = NULL;
    HV_ALLOC(out, HEAD + len);
    out[4] = (unsigned char)len;
    memcpy(out + HEAD, text, len);
    printf("< %s\n", text);
    hio_write(io, out, HEAD + len);
    HV_FREE(out);
}

static void accepted(hio_t* io) {
    printf("accepted connfd=%d\n", hio_fd(io));
    hio_setcb_close(io, closed);
    hio_setcb_read(io, received);
    hio_set_unpack(io, &setting);
    hio_read(io);
}

int main(int argc, char** argv) {
    if (argc < 2) return 1;
    memset(&setting, 0, sizeof(unpack_setting_t));
    setting.mode = UNPACK_BY_LENGTH_FIELD;
    setting.package_max_length = DEFAULT_PACKAGE_MAX_LENGTH;
    setting.body_offset = HEAD;
    setting.length_field_offset = 1;
    setting.length_field_bytes = 4;
    setting.length_field_coding = ENCODE_BY_BIG_ENDIAN;
    hloop_t* loop = hloop_new(0);
    hio_t* listener = hloop_create_tcp_server(loop, "0.0.0.0", atoi(argv[1]), accepted);
    if (listener == NULL) return 1;
    hloop_run(loop);
    hloop_free(&loop);
    return 0;
}
