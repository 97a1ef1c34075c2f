/* tinyhttpd.c - serves the files of a folder over HTTP/1.1, on nothing but the loop and its
 * streams: what a web server is at its smallest. Programs use hhttp.h instead.
 *
 *     cc tinyhttpd.c -o tinyhttpd -lhv && ./tinyhttpd 8080 public
 *     curl -v http://127.0.0.1:8080/
 *
 * A request head is read in one piece (hio_read_until an empty line). A file goes out in blocks,
 * the next ones when on_drain tells that the client has taken the ones before; so neither many slow
 * clients nor large files cost memory. Requests with a body are refused and end the connection. */
#define _GNU_SOURCE
#include <dirent.h>
#include <getopt.h>
#include <sys/stat.h>

#include "tool.h"

#define HEAD_BYTES_MAX   8192
#define BLOCK_BYTES      (64 * 1024)
#define LISTING_MAX      (1 << 20)
#define IDLE_TIMEOUT_MS  30000
#define QUEUE_HIGH_BYTES (256 * 1024)

static const char usage[] = "Usage: tinyhttpd [options] [host:]port [folder]\n"
                            "\n"
                            "Serves the files of a folder; default: the one it is started in.\n"
                            "\n"
                            "  -v           print a line for every request\n"
                            "  -h, --help   this text\n";

static char root[PATH_MAX];
static int is_verbose;

typedef struct conn_s {
    FILE *file; /* being sent */
    long long left;
    int keeps_alive;
    int is_head;
} conn_t;

/* ---- Answers ---- */

static const char *reason_of(int status) {
    switch (status) {
    case 200: return "OK";
    case 301: return "Moved Permanently";
    case 400: return "Bad Request";
    case 403: return "Forbidden";
    case 404: return "Not Found";
    case 405: return "Method Not Allowed";
    case 413: return "Content Too Large";
    case 505: return "HTTP Version Not Supported";
    default: return "Internal Server Error";
    }
}

static const char *type_of(const char *path) {
    static const struct {
        const char *suffix, *type;
    } types[] = {
        {".html", "text/html; charset=utf-8"}, {".htm", "text/html; charset=utf-8"},
        {".css", "text/css"},                  {".js", "text/javascript"},
        {".json", "application/json"},         {".txt", "text/plain; charset=utf-8"},
        {".md", "text/plain; charset=utf-8"},  {".xml", "application/xml"},
        {".svg", "image/svg+xml"},             {".png", "image/png"},
        {".jpg", "image/jpeg"},                {".jpeg", "image/jpeg"},
        {".gif", "image/gif"},                 {".ico", "image/x-icon"},
        {".pdf", "application/pdf"},           {".wasm", "application/wasm"},
        {".gz", "application/gzip"},           {".zip", "application/zip"},
    };
    const char *dot = strrchr(path, '.');
    for (size_t i = 0; dot != NULL && i < sizeof types / sizeof types[0]; i++) {
        if (strcasecmp(dot, types[i].suffix) == 0) return types[i].type;
    }
    return "application/octet-stream";
}

/* `extra` is whole lines, or "". */
static void send_head(hio_t *io, int status, const char *type, long long len, const char *extra) {
    conn_t *conn = hio_context(io);
    char date[64], head[4096];
    time_t now = (time_t)hloop_now(hevent_loop(io));
    struct tm utc;
    strftime(date, sizeof date, "%a, %d %b %Y %H:%M:%S GMT", gmtime_r(&now, &utc));
    int head_len = snprintf(head, sizeof head,
                            "HTTP/1.1 %d %s\r\nDate: %s\r\nContent-Type: %s\r\n"
                            "Content-Length: %lld\r\n%sConnection: %s\r\n\r\n",
                            status, reason_of(status), date, type, len, extra,
                            conn->keeps_alive ? "keep-alive" : "close");
    hio_write(io, head, (size_t)head_len);
}

static void finish(hio_t *io);

static void send_text(hio_t *io, int status, const char *type, const char *text,
                      const char *extra) {
    conn_t *conn = hio_context(io);
    send_head(io, status, type, (long long)strlen(text), extra);
    if (!conn->is_head) hio_write(io, text, strlen(text));
    finish(io);
}

static void send_status(hio_t *io, int status, const char *extra) {
    char text[64];
    snprintf(text, sizeof text, "%d %s\n", status, reason_of(status));
    send_text(io, status, "text/plain; charset=utf-8", text, extra);
}

/* The answer is written: the next request, or the end. */
static void finish(hio_t *io) {
    conn_t *conn = hio_context(io);
    if (conn->keeps_alive) {
        hio_read_until(io, "\r\n\r\n", 4);
    } else {
        hio_close(io);
    }
}

/* ---- Files ---- */

static void close_file(conn_t *conn) {
    if (conn->file != NULL) fclose(conn->file);
    conn->file = NULL;
}

static void send_blocks(hio_t *io) {
    static char block[BLOCK_BYTES];
    conn_t *conn = hio_context(io);
    if (conn->file == NULL) return;
    while (conn->left > 0 && !hio_write_is_high(io)) {
        size_t want = conn->left < BLOCK_BYTES ? (size_t)conn->left : BLOCK_BYTES;
        size_t len = fread(block, 1, want, conn->file);
        if (len == 0) { /* it has become shorter: the promised length cannot be kept */
            hio_abort(io);
            return;
        }
        hio_write(io, block, len);
        conn->left -= (long long)len;
    }
    if (conn->left > 0) return; /* on_drain goes on */
    close_file(conn);
    finish(io);
}

static void send_file(hio_t *io, const char *path, const struct stat *info) {
    conn_t *conn = hio_context(io);
    char modified[64], extra[128];
    struct tm utc;
    FILE *file = fopen(path, "rb");
    if (file == NULL) {
        send_status(io, errno == EACCES ? 403 : 404, "");
        return;
    }
    strftime(modified, sizeof modified, "%a, %d %b %Y %H:%M:%S GMT",
             gmtime_r(&info->st_mtime, &utc));
    snprintf(extra, sizeof extra, "Last-Modified: %s\r\n", modified);
    send_head(io, 200, type_of(path), (long long)info->st_size, extra);
    if (conn->is_head) {
        fclose(file);
        finish(io);
        return;
    }
    setvbuf(file, NULL, _IONBF, 0); /* blocks are large enough */
    conn->file = file;
    conn->left = (long long)info->st_size;
    send_blocks(io);
}

/* ---- Listings ---- */

/* Writes a name as HTML text, or for an address, so that nothing of it is taken for more. */
static void put_escaped(FILE *out, const char *name, int is_address) {
    for (const unsigned char *at = (const unsigned char *)name; *at != '\0'; at++) {
        if (is_address && !isalnum(*at) && strchr("-._~/", *at) == NULL) {
            fprintf(out, "%%%02X", *at);
        } else if (strchr("&<>\"'", *at) != NULL) {
            fprintf(out, "&#%d;", *at);
        } else {
            fputc(*at, out);
        }
    }
}

static int is_shown(const struct dirent *entry) { return entry->d_name[0] != '.'; }

static void send_listing(hio_t *io, const char *path, const char *target) {
    struct dirent **entries;
    int count = scandir(path, &entries, is_shown, alphasort);
    if (count < 0) {
        send_status(io, errno == EACCES ? 403 : 404, "");
        return;
    }
    char *text = NULL;
    size_t len = 0;
    FILE *out = open_memstream(&text, &len);
    if (out != NULL) {
        fprintf(out, "<!DOCTYPE html>\n<title>");
        put_escaped(out, target, 0);
        fprintf(out, "</title>\n<ul>\n<li><a href=\"../\">../</a>\n");
    }
    for (int i = 0; i < count; i++) {
        const char *slash = entries[i]->d_type == DT_DIR ? "/" : "";
        if (out != NULL && ftell(out) < LISTING_MAX) {
            fprintf(out, "<li><a href=\"./");
            put_escaped(out, entries[i]->d_name, 1);
            fprintf(out, "%s\">", slash);
            put_escaped(out, entries[i]->d_name, 0);
            fprintf(out, "%s</a>\n", slash);
        }
        free(entries[i]);
    }
    free(entries);
    if (out == NULL || fprintf(out, "</ul>\n") < 0 || fclose(out) != 0) {
        send_status(io, 500, "");
    } else {
        send_text(io, 200, "text/html; charset=utf-8", text, "");
    }
    free(text);
}

/* ---- From a target to a path ---- */

/* Decodes %XX in place up to the query. Returns 0, or -1 for what is no path. */
static int decode_path(char *text) {
    char *to = text;
    if (*text != '/') return -1;
    for (const char *at = text; *at != '\0' && *at != '?' && *at != '#'; at++) {
        unsigned byte = (unsigned char)*at;
        if (byte == '%') {
            if (!isxdigit((unsigned char)at[1]) || !isxdigit((unsigned char)at[2])) return -1;
            char digits[3] = {at[1], at[2], '\0'};
            byte = (unsigned)strtoul(digits, NULL, 16);
            at += 2;
        }
        if (byte < ' ' || byte == 127) return -1; /* a NUL would hide what follows */
        *to++ = (char)byte;
    }
    *to = '\0';
    return 0;
}

/* The real path behind the target: neither ".." nor a symbolic link leads out of the folder. */
static int find_path(const char *target, char path[PATH_MAX]) {
    char wanted[PATH_MAX];
    size_t root_len = strlen(root);
    if ((size_t)snprintf(wanted, sizeof wanted, "%s%s", root, target) >= sizeof wanted) return 404;
    if (realpath(wanted, path) == NULL) return errno == EACCES ? 403 : 404;
    if (strncmp(path, root, root_len) != 0) return 403;
    if (path[root_len] != '\0' && path[root_len] != '/' && root_len > 1) return 403;
    return 0;
}

static void redirect_to_folder(hio_t *io, const char *target) {
    char *text = NULL;
    size_t len = 0;
    FILE *out = open_memstream(&text, &len);
    if (out == NULL) {
        send_status(io, 500, "");
        return;
    }
    /* "//host" would be another server. */
    while (target[0] == '/' && target[1] == '/') target++;
    fprintf(out, "Location: ");
    put_escaped(out, target, 1);
    fprintf(out, "/\r\n");
    fclose(out);
    send_status(io, len < 2048 ? 301 : 404, len < 2048 ? text : "");
    free(text);
}

static void serve(hio_t *io, char *target) {
    char path[PATH_MAX];
    struct stat info;
    if (decode_path(target) != 0) {
        send_status(io, 400, "");
        return;
    }
    int status = find_path(target, path);
    if (status == 0 && stat(path, &info) != 0) status = 404;
    if (status != 0) {
        send_status(io, status, "");
        return;
    }
    if (S_ISDIR(info.st_mode)) {
        if (target[strlen(target) - 1] != '/') {
            redirect_to_folder(io, target);
            return;
        }
        size_t len = strlen(path);
        snprintf(path + len, sizeof path - len, "/index.html");
        if (stat(path, &info) != 0 || !S_ISREG(info.st_mode)) {
            path[len] = '\0';
            send_listing(io, path, target);
            return;
        }
    }
    if (S_ISREG(info.st_mode)) {
        send_file(io, path, &info);
    } else {
        send_status(io, 403, ""); /* a pipe or a device would block us */
    }
}

/* ---- Requests ---- */

/* The value of a field, cut out of the head by the caller's lines; NULL where there is none. */
static const char *field_value(const char *line, const char *name) {
    size_t len = strlen(name);
    if (strncasecmp(line, name, len) != 0 || line[len] != ':') return NULL;
    return line + len + 1 + strspn(line + len + 1, " \t");
}

/* Reads what matters of the fields. Returns 1 where the request has a body. */
static int read_fields(conn_t *conn, char *lines) {
    int has_body = 0;
    for (char *save, *line = strtok_r(lines, "\r\n", &save); line != NULL;
         line = strtok_r(NULL, "\r\n", &save)) {
        const char *value = field_value(line, "Connection");
        if (value != NULL && strcasestr(value, "close") != NULL) conn->keeps_alive = 0;
        if (value != NULL && strcasestr(value, "keep-alive") != NULL) conn->keeps_alive = 1;
        if (field_value(line, "Transfer-Encoding") != NULL) has_body = 1;
        value = field_value(line, "Content-Length");
        if (value != NULL && strcmp(value, "0") != 0) has_body = 1;
    }
    return has_body;
}

static void on_head(hio_t *io, void *buf, int len) {
    conn_t *conn = hio_context(io);
    char *text = buf; /* a NUL follows the bytes */
    char *line_end = memmem(text, (size_t)len, "\r\n", 2);
    char *method = text, *target = NULL, *version = NULL;
    conn->keeps_alive = conn->is_head = 0;
    *line_end = '\0';
    if (is_verbose) printf("%u: %s\n", hio_id(io), text);
    if (strlen(text) == (size_t)(line_end - text) && (target = strchr(text, ' ')) != NULL) {
        *target++ = '\0';
        version = strchr(target, ' ');
    }
    if (version == NULL ||
        memchr(line_end + 1, '\0', (size_t)(text + len - line_end) - 1) != NULL) {
        send_status(io, 400, "");
        return;
    }
    *version++ = '\0';
    if (strncmp(version, "HTTP/1.", 7) != 0) {
        send_status(io, strncmp(version, "HTTP/", 5) == 0 ? 505 : 400, "");
        return;
    }
    conn->keeps_alive = strcmp(version, "HTTP/1.0") != 0;
    if (read_fields(conn, line_end + 2)) {
        conn->keeps_alive = 0; /* the body is not read, so nothing behind it can be */
        send_status(io, 413, "");
        return;
    }
    conn->is_head = strcmp(method, "HEAD") == 0;
    if (!conn->is_head && strcmp(method, "GET") != 0) {
        send_status(io, 405, "Allow: GET, HEAD\r\n");
        return;
    }
    serve(io, target);
}

static void on_close(hio_t *io) {
    conn_t *conn = hio_context(io);
    close_file(conn);
    free(conn);
}

static void on_accept(hio_t *io) {
    conn_t *conn = calloc(1, sizeof *conn);
    if (conn == NULL) {
        hio_close(io);
        return;
    }
    hio_set_context(io, conn);
    hio_setcb_close(io, on_close);
    hio_setcb_read(io, on_head);
    hio_setcb_drain(io, send_blocks);
    hio_set_max_read_bufsize(io, HEAD_BYTES_MAX);
    hio_set_write_high(io, QUEUE_HIGH_BYTES);
    hio_set_keepalive_timeout(io, IDLE_TIMEOUT_MS);
    hio_read_until(io, "\r\n\r\n", 4);
}

int main(int argc, char **argv) {
    static const struct option names[] = {{"help", no_argument, NULL, 'h'}, {NULL, 0, NULL, 0}};
    for (int option; (option = getopt_long(argc, argv, "vh", names, NULL)) != -1;) {
        switch (option) {
        case 'v': is_verbose = 1; break;
        case 'h': fputs(usage, stdout); return 0;
        default: fputs(usage, stderr); return 2;
        }
    }
    int count = argc - optind;
    if (count < 1 || count > 2) {
        fputs(usage, stderr);
        return 2;
    }
    setvbuf(stdout, NULL, _IOLBF, 0);
    const char *folder = count == 2 ? argv[optind + 1] : ".";
    if (realpath(folder, root) == NULL) die(1, "%s: %s", folder, strerror(errno));
    const char *host;
    int port = parse_target(argv[optind], "127.0.0.1", &host);
    hloop_t *loop = new_tool_loop();
    hio_t *listener = hloop_create_tcp_server(loop, host, port, on_accept);
    if (listener == NULL) die(1, "%s:%d: %s", host, port, herr_text(hloop_last_error(loop)));
    print_listening(stdout, listener);
    hloop_run(loop);
    hloop_free(&loop);
    return 0;
}
