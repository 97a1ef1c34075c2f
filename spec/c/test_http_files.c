/* Tests of runtime/http/http_static.c, http_send.c and http_listing.c: files as answers, over a
 * real socket. What conditions and ranges mean is in test_http_conditions.c. */
#include "http_test.h"

#include "hcodec.h"
#include "hhttp_files.h"

#include <stdio.h>
#include <sys/stat.h>

#ifdef HV_HOSTILE
#define BIG_BYTES 70000
#else
#define BIG_BYTES (3 << 20)
#endif

static char root[64];
static hhttp_files_t *files;
static int done_calls, done_error;
static hhttp_file_options_t file_options;
static const char *file_path;

static void put_bytes(const char *name, const void *data, size_t len) {
    char path[200];
    snprintf(path, sizeof path, "%s/%s", root, name);
    FILE *file = fopen(path, "w");
    assert_int_equal(fwrite(data, 1, len, file), len);
    fclose(file);
}

static void put(const char *name, const char *text) { put_bytes(name, text, strlen(text)); }

static char big(size_t at) { return (char)(at * 31 + at / 257); }

static void put_dir(const char *name) {
    char path[200];
    snprintf(path, sizeof path, "%s/%s", root, name);
    assert_int_equal(mkdir(path, 0755), 0);
}

static int begin_files(void **state) {
    setup(state);
    snprintf(root, sizeof root, "/tmp/hv-test-XXXXXX");
    assert_non_null(mkdtemp(root));
    put("a.txt", "0123456789");
    put("page.html", "<p>plain</p>");
    put("page.html.gz", "(gz)");
    put("page.html.br", "(br)");
    put("empty.bin", "");
    put(".hidden", "no");
    put_dir("dir");
    put_dir("dir/list");
    put_dir(".well-known");
    put(".well-known/x", "known");
    put("dir/index.html", "<h1>index</h1>");
    put("dir/list/a<b>&\"'", "x");
    put("dir/list/javascript:x", "x");
    put("dir/list/.h", "x");
    put_dir("dir/list/zdir");
    char *block = malloc(BIG_BYTES);
    for (size_t i = 0; i < BIG_BYTES; i++) block[i] = big(i);
    put_bytes("big.bin", block, BIG_BYTES);
    for (size_t i = 0; i < 100000 && i < BIG_BYTES; i++) block[i] = "line of text\n"[i % 13];
    put_bytes("long.txt", block, BIG_BYTES < 100000 ? BIG_BYTES : 100000);
    free(block);
    done_calls = done_error = 0;
    files = NULL;
    file_options = (hhttp_file_options_t){0};
    return 0;
}

static int end_files(void **state) {
    if (files != NULL) hhttp_files_free(files);
    char command[100];
    snprintf(command, sizeof command, "rm -r %s", root);
    assert_int_equal(system(command), 0);
    return teardown(state);
}

static void on_done(hhttp_request_t *req, int error) {
    done_calls++;
    done_error = error;
    if (error < 0 && error != HV_ECLOSED && !hhttp_response_has_begun(req)) {
        hhttp_respond(req, 404, NULL, "none", 4);
    }
}

static void serve(hhttp_request_t *req, void *userdata) {
    (void)userdata;
    int code = hhttp_files_serve(files, req, hhttp_request_path(req), on_done);
    if (code == 1) done_calls++;
    assert_true(code >= 0);
    assert_int_equal(hhttp_files_serve(files, req, hhttp_request_path(req), on_done), HV_EBUSY);
}

static void send_one(hhttp_request_t *req, void *userdata) {
    (void)userdata;
    assert_int_equal(hhttp_respond_file(req, file_path, &file_options, on_done), 0);
}

static int begin_serving(const hhttp_files_options_t *options) {
    begin_with(NULL, serve);
    files = hhttp_files_new(fix->loop, root, options);
    assert_non_null(files);
    return client();
}

static void ask_with(int fd, const char *method, const char *target, const char *lines) {
    char text[500];
    forget_reply();
    snprintf(text, sizeof text, "%s %s HTTP/1.1\r\nHost: x\r\n%s\r\n", method, target, lines);
    say(fd, text);
    await(fd, "\r\n\r\n");
}

static void ask(int fd, const char *target) { ask_with(fd, "GET", target, ""); }

static const char *body(void) { return strstr(fix->reply, "\r\n\r\n") + 4; }

static void await_body(int fd, size_t len) {
    for (int i = 0; i < PASSES_MAX; i++) {
        if (fix->reply_len - (size_t)(body() - fix->reply) >= len) return;
        hloop_process_events(fix->loop, i < 10 ? 0 : 1);
        receive(fd);
    }
    fail_msg("%zu bytes of body", fix->reply_len - (size_t)(body() - fix->reply));
}

static void finish(int fd) {
    close(fd);
    await_connections(0);
}

static void test_file_has_type_date_tag_and_length(void **state) {
    (void)state;
    int fd = begin_serving(NULL);
    ask(fd, "/a.txt");
    await(fd, "0123456789");
    HAS("HTTP/1.1 200 OK\r\n");
    HAS("Content-Length: 10\r\n");
    HAS("Content-Type: text/plain; charset=utf-8\r\n");
    HAS("Last-Modified: ");
    HAS("ETag: \"");
    HAS("Accept-Ranges: bytes\r\n");
    ask_with(fd, "HEAD", "/a.txt", "");
    HAS("Content-Length: 10\r\n");
    HAS("Accept-Ranges: bytes\r\n");
    ask(fd, "/%61.txt?x=1");
    await(fd, "0123456789");
    ask(fd, "/empty.bin");
    HAS("Content-Length: 0\r\n");
    HAS("application/octet-stream");
    ask(fd, "/.well-known/x");
    await(fd, "known");
    ask_with(fd, "POST", "/a.txt", "");
    HAS("HTTP/1.1 405 ");
    HAS("Allow: GET, HEAD, OPTIONS\r\n");
    finish(fd);
    assert_int_equal(done_calls, 6);
}

static void test_what_is_not_to_be_seen_is_404(void **state) {
    (void)state;
    int fd = begin_serving(NULL);
    static const char *const targets[] = {
        "/missing", "/.hidden", "/%2ehidden", "/a.txt/", "/a.txt/x", "/..", "/%2e%2e/etc/passwd",
        "/dir/..%2fa.txt", "/dir%2findex.html", "/dir/../../etc/passwd", "/a.txt%00", "/./a.txt",
        "/dir/list/.h", "/dir/list/",
    };
    for (size_t i = 0; i < sizeof targets / sizeof *targets; i++) {
        ask(fd, targets[i]);
        if (strstr(fix->reply, "HTTP/1.1 404 ") == NULL) fail_msg("%s: %s", targets[i], fix->reply);
        await(fd, "404 Not Found\n");
    }
    finish(fd);
}

static void serve_what_is_there(hhttp_request_t *req, void *userdata) {
    (void)userdata;
    int code = hhttp_files_serve(files, req, hhttp_request_path(req), on_done);
    assert_true(code >= 0 || code == HV_ENOTFOUND);
    if (code < 0) on_done(req, code);
}

static void test_misses_may_be_left_to_the_program(void **state) {
    (void)state;
    hhttp_files_options_t options = {.leaves_misses = 1};
    begin_with(NULL, serve_what_is_there);
    files = hhttp_files_new(fix->loop, root, &options);
    assert_non_null(files);
    int fd = client();
    static const char *const targets[] = {"/missing", "/.hidden", "/a.txt/", "/..", "/dir%2fx",
                                          "/dir/list/"};
    for (size_t i = 0; i < sizeof targets / sizeof *targets; i++) {
        ask(fd, targets[i]);
        HAS("HTTP/1.1 404 ");
        await(fd, "none");
        assert_int_equal(done_calls, i + 1);
        assert_int_equal(done_error, HV_ENOTFOUND);
    }
    ask(fd, "/a.txt");
    await(fd, "0123456789");
    ask_with(fd, "POST", "/missing", "");
    HAS("HTTP/1.1 405 ");
    finish(fd);
}

static void serve_with_headers(hhttp_request_t *req, void *userdata) {
    (void)userdata;
    char value[] = "yes"; /* borrowed until the call returns */
    hhttp_header_t bad = {{"X\r\n", 3}, {value, 3}}, header = {{"X-Own", 5}, {value, 3}};
    hhttp_slice_t path = hhttp_request_path(req);
    assert_int_equal(hhttp_files_serve_with(files, req, path, &bad, 1, on_done), HV_EINVAL);
    assert_true(hhttp_files_serve_with(files, req, path, &header, 1, on_done) >= 0);
    memset(value, 'x', sizeof value);
}

static void test_headers_of_the_program_stand_beside_those_of_a_file(void **state) {
    (void)state;
    begin_with(NULL, serve_with_headers);
    files = hhttp_files_new(fix->loop, root, NULL);
    assert_non_null(files);
    int fd = client();
    ask(fd, "/a.txt");
    HAS("X-Own: yes\r\n");
    HAS("Accept-Ranges: bytes\r\n");
    await(fd, "0123456789");
    finish(fd);
}

static void test_directories_have_an_index_and_a_slash(void **state) {
    (void)state;
    int fd = begin_serving(NULL);
    ask(fd, "/dir/");
    await(fd, "<h1>index</h1>");
    HAS("text/html; charset=utf-8");
    ask(fd, "/dir?x=1");
    HAS("HTTP/1.1 301 ");
    HAS("Location: /dir/?x=1\r\n");
    ask(fd, "//dir"); /* not to a host of that name */
    HAS("Location: /dir/\r\n");
    finish(fd);
}

static void test_listing_escapes_names(void **state) {
    (void)state;
    hhttp_files_options_t options = {.lists = 1};
    int fd = begin_serving(&options);
    ask(fd, "/dir/list/");
    await(fd, "</html>");
    HAS("<a href=\"./zdir/\">zdir/</a></li>\n<li><a href=\"./a%3Cb%3E%26%22%27\">"
        "a&lt;b&gt;&amp;&quot;&#39;</a>");
    HAS("<a href=\"./javascript%3Ax\">javascript:x</a>");
    HAS("<a href=\"../\">");
    HAS("<title>/dir/list/</title>");
    HAS("default-src 'none'");
    HAS_NOT(".h<");
    ask_with(fd, "HEAD", "/dir/list/", "");
    HAS("HTTP/1.1 200 ");
    finish(fd);
}

static void etag(char out[100]) {
    const char *at = strstr(fix->reply, "ETag: ") + 6;
    size_t len = strcspn(at, "\r");
    memcpy(out, at, len);
    out[len] = '\0';
}

static void test_conditions_and_ranges(void **state) {
    (void)state;
    char tag[100], line[200];
    int fd = begin_serving(NULL);
    ask(fd, "/a.txt");
    await(fd, "0123456789");
    etag(tag);
    snprintf(line, sizeof line, "If-None-Match: %s\r\n", tag);
    ask_with(fd, "GET", "/a.txt", line);
    HAS("HTTP/1.1 304 ");
    HAS(tag);
    HAS_NOT("Content-Type");
    ask_with(fd, "GET", "/a.txt", "If-Match: \"x\"\r\n");
    await(fd, "412 Precondition Failed\n");
    snprintf(line, sizeof line, "Range: bytes=2-4\r\nIf-Range: %s\r\n", tag);
    ask_with(fd, "GET", "/a.txt", line);
    HAS("HTTP/1.1 206 ");
    HAS("Content-Range: bytes 2-4/10\r\n");
    HAS("Content-Length: 3\r\n");
    await(fd, "\r\n\r\n234");
    ask_with(fd, "GET", "/a.txt", "Range: bytes=2-4\r\nIf-Range: \"x\"\r\n");
    HAS("HTTP/1.1 200 ");
    await(fd, "0123456789");
    ask_with(fd, "GET", "/a.txt", "Range: bytes=10-\r\n");
    HAS("HTTP/1.1 416 ");
    HAS("Content-Range: bytes */10\r\n");
    ask_with(fd, "HEAD", "/a.txt", "Range: bytes=2-4\r\n"); /* section 14.2: only for GET */
    HAS("HTTP/1.1 200 ");
    finish(fd);
}

static void test_several_ranges_are_parts(void **state) {
    (void)state;
    int fd = begin_serving(NULL);
    ask_with(fd, "GET", "/a.txt", "Range: bytes=0-1,-2\r\n");
    HAS("HTTP/1.1 206 ");
    const char *boundary = strstr(fix->reply, "multipart/byteranges; boundary=") + 31;
    char expected[400];
    int len = snprintf(expected, sizeof expected,
                       "--%.16s\r\nContent-Type: text/plain\r\nContent-Range: bytes 0-1/10\r\n\r\n"
                       "01\r\n--%.16s\r\nContent-Type: text/plain\r\nContent-Range: bytes 8-9/10"
                       "\r\n\r\n89\r\n--%.16s--\r\n", boundary, boundary, boundary);
    await_body(fd, (size_t)len);
    assert_string_equal(body(), expected);
    char length[40];
    snprintf(length, sizeof length, "Content-Length: %d\r\n", len);
    HAS(length);
    finish(fd);
}

static void assert_big(size_t offset, size_t len) {
    for (size_t i = 0; i < len; i++) {
        if (body()[i] != big(offset + i)) fail_msg("byte %zu differs", i);
    }
}

static void test_long_files_come_whole_and_in_ranges(void **state) {
    (void)state;
    int fd = begin_serving(NULL);
    char line[100];
    snprintf(line, sizeof line, "Range: bytes=1000-%d\r\n", 1000 + 69000 - 1 - 1000);
    ask_with(fd, "GET", "/big.bin", line);
    await_body(fd, 68000);
    HAS("Content-Length: 68000\r\n");
    assert_big(1000, 68000);
    /* Two requests behind each other: the file and what follows it keep their order. */
    forget_reply();
    snprintf(line, sizeof line, "GET /big.bin HTTP/1.1\r\nHost: x\r\nRange: bytes=-66000\r\n\r\n"
             "GET /a.txt HTTP/1.1\r\nHost: x\r\n\r\n");
    say(fd, line);
    await(fd, "\r\n\r\n");
    await_body(fd, 66000 + 200);
    assert_big(BIG_BYTES - 66000, 66000);
    assert_memory_equal(body() + 66000, "HTTP/1.1 200 ", 13);
    finish(fd);
}

static void test_slow_reader_holds_a_piece_and_may_go(void **state) {
    (void)state;
    NEEDS_WHOLE_READS();
    int fd = begin_serving(NULL);
    int small = 4096;
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
    say(fd, "GET /big.bin HTTP/1.1\r\nHost: x\r\n\r\n");
    pass(50);
    const http_conn_t *conn = fix->server->first[HTTP_LIST_BUSY];
    if (conn != NULL) assert_true(hio_write_bufsize(conn->io) <= HIO_DEFAULT_WRITE_HIGH + 262144);
    finish(fd);
    assert_int_equal(done_calls, 1);
}

static void test_compressed_neighbours_are_sent_where_accepted(void **state) {
    (void)state;
    int fd = begin_serving(NULL);
    ask_with(fd, "GET", "/page.html", "Accept-Encoding: gzip, br\r\n");
    await(fd, "(br)");
    HAS("Content-Encoding: br\r\n");
    HAS("Vary: Accept-Encoding\r\n");
    HAS("Content-Type: text/html; charset=utf-8\r\n");
    ask_with(fd, "GET", "/page.html", "Accept-Encoding: identity\r\nAccept-Encoding: br\r\n");
    await_body(fd, 4);
    assert_string_equal(body(), "(br)");
    ask_with(fd, "GET", "/page.html", "Accept-Encoding: gzip\r\n");
    await(fd, "(gz)");
    HAS("Content-Encoding: gzip\r\n");
    ask(fd, "/page.html");
    await(fd, "plain");
    HAS("Vary: Accept-Encoding\r\n");
    HAS_NOT("Content-Encoding");
    finish(fd);
}

static void test_text_is_compressed_on_its_way(void **state) {
    (void)state;
    int fd = begin_serving(NULL);
    ask_with(fd, "GET", "/long.txt", "Accept-Encoding: gzip\r\n");
    HAS("Content-Encoding: gzip\r\n");
    HAS("Transfer-Encoding: chunked\r\n");
    HAS("-gzip\"\r\n");
    for (int i = 0; i < PASSES_MAX; i++) {
        if (memcmp(fix->reply + fix->reply_len - 7, "\r\n0\r\n\r\n", 7) == 0) break;
        hloop_process_events(fix->loop, i < 10 ? 0 : 1);
        receive(fd);
    }
    /* Unchunk and decompress. */
    hcodec_t *codec = hcodec_decompressor_new(HCODEC_GZIP, NULL);
    size_t seen = 0;
    const char *at = body();
    for (;;) {
        size_t len = strtoul(at, NULL, 16);
        if (len == 0) break;
        at = strstr(at, "\r\n") + 2;
        hcodec_input(codec, at, len, HCODEC_MORE);
        char out[4096];
        int64_t got;
        while ((got = hcodec_output(codec, out, sizeof out)) > 0) {
            for (int64_t i = 0; i < got; i++, seen++) {
                assert_int_equal(out[i], "line of text\n"[seen % 13]);
            }
        }
        at += len + 2;
    }
    assert_true(hcodec_has_ended(codec));
    hcodec_free(codec);
    assert_true(seen >= 70000);
    ask_with(fd, "GET", "/long.txt", "Accept-Encoding: gzip\r\nRange: bytes=0-0\r\n");
    HAS("HTTP/1.1 206 ");
    HAS_NOT("Content-Encoding");
    finish(fd);
}

static void test_one_file_of_the_programs_choice(void **state) {
    (void)state;
    char path[100];
    begin_with(NULL, send_one);
    int fd = client();
    snprintf(path, sizeof path, "%s/a.txt", root);
    file_path = path;
    hhttp_header_t header = {{"X-Own", 5}, {"yes", 3}};
    file_options = (hhttp_file_options_t){
        .content_type = "text/x-own", .headers = &header, .header_count = 1};
    ask_with(fd, "GET", "/", "Range: bytes=0-1\r\n");
    HAS("HTTP/1.1 206 ");
    HAS("Content-Type: text/x-own; charset=utf-8\r\n");
    HAS("X-Own: yes\r\n");
    await(fd, "\r\n\r\n01");
    assert_int_equal(done_calls, 1);
    file_options.status = 404;
    ask_with(fd, "GET", "/", "Range: bytes=0-1\r\n");
    HAS("HTTP/1.1 404 ");
    await(fd, "0123456789");
    file_options = (hhttp_file_options_t){0};
    file_path = "/nowhere/at/all";
    ask(fd, "/");
    await(fd, "none");
    assert_int_equal(done_error, -ENOENT);
    file_path = root;
    ask(fd, "/");
    await(fd, "none");
    assert_int_equal(done_error, -EISDIR);
    finish(fd);
}

static void test_server_may_close_while_a_file_is_sent(void **state) {
    (void)state;
    NEEDS_WHOLE_READS();
    int fd = begin_serving(NULL);
    say(fd, "GET /big.bin HTTP/1.1\r\nHost: x\r\n\r\n");
    pass(3);
    hhttp_server_close(fix->server, 0, on_server_close, fix);
    hhttp_files_free(files); /* what is being served keeps what it needs */
    files = NULL;
    fix->server = NULL;
    for (int i = 0; i < 10 && fix->close_calls == 0; i++) pass_ms(1);
    assert_int_equal(fix->close_calls, 1);
    close(fd);
}

static void test_loop_may_be_freed_while_a_file_is_opened(void **state) {
    (void)state;
    char path[100];
    begin_with(NULL, send_one);
    int fd = client();
    snprintf(path, sizeof path, "%s/a.txt", root);
    file_path = path;
    say(fd, GET);
    AWAIT(fix->server->jobs.live > 0 || done_calls > 0);
    hhttp_server_close(fix->server, 10000, on_server_close, fix);
    fix->server = NULL;
    hloop_free(&fix->loop);
    assert_int_equal(done_calls, 1);
    close(fd);
}

static void test_bad_directories_and_options_are_told(void **state) {
    (void)state;
    begin_with(NULL, serve);
    assert_null(hhttp_files_new(fix->loop, "/nowhere", NULL));
    assert_int_equal(hloop_last_error(fix->loop), -ENOENT);
    hhttp_files_options_t options = {.index = "a/b"};
    assert_null(hhttp_files_new(fix->loop, root, &options));
    options = (hhttp_files_options_t){.cache_control = "a\r\nb"};
    assert_null(hhttp_files_new(fix->loop, root, &options));
    assert_int_equal(hloop_last_error(fix->loop), HV_EINVAL);
}

static void test_types_are_known_by_their_ending(void **state) {
    (void)state;
    assert_string_equal(hhttp_mime_type("x/y.HTML", 8), "text/html");
    assert_string_equal(hhttp_mime_type("a.b.json", 8), "application/json");
    assert_string_equal(hhttp_mime_type(".png", 4), "image/png");
    assert_null(hhttp_mime_type("png", 3));
    assert_null(hhttp_mime_type("a.", 2));
    assert_null(hhttp_mime_type("a.png/b", 7));
    assert_null(hhttp_mime_type("a.nobodyknowsthisending", 23));
    assert_null(hhttp_mime_type("", 0));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin_files, end_files)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_file_has_type_date_tag_and_length),
        TEST(test_what_is_not_to_be_seen_is_404),
        TEST(test_misses_may_be_left_to_the_program),
        TEST(test_headers_of_the_program_stand_beside_those_of_a_file),
        TEST(test_directories_have_an_index_and_a_slash),
        TEST(test_listing_escapes_names),
        TEST(test_conditions_and_ranges),
        TEST(test_several_ranges_are_parts),
        TEST(test_long_files_come_whole_and_in_ranges),
        TEST(test_slow_reader_holds_a_piece_and_may_go),
        TEST(test_compressed_neighbours_are_sent_where_accepted),
        TEST(test_text_is_compressed_on_its_way),
        TEST(test_one_file_of_the_programs_choice),
        TEST(test_server_may_close_while_a_file_is_sent),
        TEST(test_loop_may_be_freed_while_a_file_is_opened),
        TEST(test_bad_directories_and_options_are_told),
        TEST(test_types_are_known_by_their_ending),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
