/* Tests of runtime/http/http_decode.c: responses whose bodies are coded. */
#include "http_client_test.h"

#include "hbase.h"
#include "hcodec.h"

static char coded_answer[70000];

/* An answer whose body is `text_len` bytes of text, packed and cut by `cut` bytes. */
static void answer_coded(const char *name, hcodec_format_e format, size_t text_len, size_t cut,
                         int until_close) {
    char *text = malloc(text_len), *packed;
    for (size_t i = 0; i < text_len; i++) text[i] = (char)('a' + i % 7);
    size_t packed_len;
    assert_int_equal(hcodec_compress(format, 6, text, text_len, &packed, &packed_len), 0);
    assert_true(packed_len < 65536);
    packed_len -= cut;
    int len = snprintf(coded_answer, 200, "HTTP/1.1 200 OK\r\nContent-Encoding: %s\r\n", name);
    if (!until_close) {
        len += snprintf(coded_answer + len, 100, "Content-Length: %zu\r\n", packed_len);
    }
    len += snprintf(coded_answer + len, 100, "\r\n");
    memcpy(coded_answer + len, packed, packed_len);
    script[script_len++] = (answer_t){coded_answer, until_close, len + (int)packed_len};
    hv_free(packed);
    free(text);
}

static int pauses_seen;

static void pause_each(hhttp_call_t *call, const void *data, size_t len) {
    on_data(call, data, len);
    pauses_seen++;
    hhttp_call_pause(call);
}

static void test_coded_bodies_are_decoded(void **state) {
    (void)state;
    static const struct {
        const char *name;
        hcodec_format_e format;
    } formats[] = {{"gzip", HCODEC_GZIP}, {"deflate", HCODEC_DEFLATE}, {"br", HCODEC_BROTLI}};
    for (size_t i = 0; i < 2 * ARRAY_SIZE(formats); i++) {
        int until_close = i >= ARRAY_SIZE(formats);
        const char *name = formats[i % ARRAY_SIZE(formats)].name;
        hcodec_format_e format = formats[i % ARRAY_SIZE(formats)].format;
        hhttp_call_options_t options = options_of("/");
        options.decodes = 1;
        script_len = script_at = 0;
        requests_len = 0;
        answer_coded(name, format, 1000000, 0, until_close);
        perform(&options);
        assert_int_equal(seen->error, 0);
        assert_int_equal(seen->body_len, 1000000);
        assert_memory_equal(seen->body + 999993, &"abcdefg"[999993 % 7], 7 - 999993 % 7);
        assert_non_null(strstr(requests, "Accept-Encoding: gzip, deflate, br\r\n"));
        /* Cut short, too long, and as it is. */
        answer_coded(name, format, 1000, 5, until_close);
        perform(&options);
        assert_int_equal(seen->error, HV_EPROTO);
        answer_coded(name, format, 1000000, 0, until_close);
        options.body_bytes_max = 999999;
        perform(&options);
        assert_int_equal(seen->error, HV_ELIMIT);
        assert_true(seen->body_len < 1000000);
        answer_coded(name, format, 1000, 0, until_close);
        options.decodes = 0;
        perform(&options);
        assert_int_equal(seen->error, 0);
        assert_true(seen->body_len < 200);
    }
}

static void test_decoding_rests_while_paused(void **state) {
    (void)state;
    hhttp_call_options_t options = options_of("/");
    options.decodes = 1;
    options.on_data = pause_each;
    answer_coded("gzip", HCODEC_GZIP, 1500000, 0, 0);
    pauses_seen = 0;
    hhttp_call_t *call = begin(&options);
    RUN_UNTIL(loop, pauses_seen == 1);
    RUN_PASSES(loop, 10);
    assert_int_equal(pauses_seen, 1);
    for (int count = 1; !seen->done; count++) {
        hhttp_call_resume(call);
        RUN_UNTIL(loop, pauses_seen == count + 1 || seen->done);
        RUN_PASSES(loop, 3);
        assert_true(pauses_seen <= count + 1);
    }
    assert_int_equal(seen->error, 0);
    assert_int_equal(seen->body_len, 1500000);
    assert_true(pauses_seen > 10);
    assert_int_equal(counts().idle, 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_coded_bodies_are_decoded),
        TEST(test_decoding_rests_while_paused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
