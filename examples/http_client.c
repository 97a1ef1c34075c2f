/* http_client.c - asks several URLs at once over one pool of connections, and prints what they say.
 *
 *     cc http_client.c -o http_client $(pkg-config --cflags --libs hv)
 *     ./http_client http://127.0.0.1:8080/ping http://127.0.0.1:8080/data
 *     ./http_client -d 'hello,world!' http://127.0.0.1:8080/echo
 *
 * Every call tells of itself by callbacks; the loop ends when the last call is done, since
 * connections that are merely kept do not keep it running. */
#include <stdio.h>
#include <string.h>

#include "hv/hhttp_client.h"

static int failures;

static void on_head(hhttp_call_t *call) {
    hhttp_slice_t reason = hhttp_call_reason(call);
    hhttp_slice_t type = hhttp_call_header(call, "content-type", 12);
    printf("%d %.*s (%.*s)\n", hhttp_call_status(call), (int)reason.len, reason.data, (int)type.len,
           type.data != NULL ? type.data : "");
}

static void on_data(hhttp_call_t *call, const void *data, size_t len) {
    (void)call;
    fwrite(data, 1, len, stdout);
}

static void on_done(hhttp_call_t *call, int error) {
    if (error == 0) {
        printf("\n");
        return;
    }
    fprintf(stderr, "%s: %s\n", (const char *)hhttp_call_userdata(call),
            hhttp_call_error_text(call));
    failures++;
}

int main(int argc, char **argv) {
    int first = 1;
    const char *body = NULL;
    if (argc > 3 && strcmp(argv[1], "-d") == 0) {
        body = argv[2];
        first = 3;
    }
    if (first >= argc || argv[first][0] == '-') {
        fprintf(stderr, "Usage: http_client [-d BODY] URL...\n");
        return argc > 1 && strcmp(argv[1], "--help") == 0 ? 0 : 2;
    }
    hloop_t *loop = hloop_new(HLOOP_FLAG_QUIT_WHEN_NO_ACTIVE_EVENTS);
    /* One connection at a time to a host, so that the answers come in order. */
    hhttp_client_options_t limits = {.connections_per_host_max = 1};
    hhttp_client_t *client = hhttp_client_new(loop, &limits);
    for (int i = first; i < argc; i++) {
        hhttp_call_options_t call = {
            .method = body != NULL ? "POST" : "GET",
            .body = body,
            .body_len = body != NULL ? (int64_t)strlen(body) : 0,
            .redirects_max = 10,
            .decodes = 1,
            .total_timeout_ms = 30000,
            .on_head = on_head,
            .on_data = on_data,
            .on_done = on_done,
            .userdata = argv[i],
        };
        if (hhttp_url_parse(argv[i], &call.url) != 0) {
            fprintf(stderr, "%s: not an http or https URL\n", argv[i]);
            failures++;
        } else if (hhttp_call_start(client, &call) == NULL) {
            fprintf(stderr, "%s: %s\n", argv[i], herr_text(hloop_last_error(loop)));
            failures++;
        }
    }
    hloop_run(loop);
    hloop_free(&loop);
    return failures > 0 ? 1 : 0;
}
