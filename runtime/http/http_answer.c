/* http_answer.c - what a response means to its call: interim heads, the final one, the body, the
 * end.
 *
 * Whoever reads a connection (http_link.c for HTTP/1.1, the room http2) fills call->reply and comes
 * here. Each of these calls the program, so the call may have ended when it returns. */
#include "http_client_int.h"

#define REDIRECT_BODY_MAX (64 * 1024)

int hv__http_answer_interim(hhttp_call_t *call) {
    hhttp_client_t *client = call->client;
    if (++call->interim_count > client->options.interim_max) {
        hv__http_call_end(call, HV_ELIMIT, "too many interim responses");
        return 0;
    }
    if (call->reply.status == 100 && call->flags & CALL_HOLDS_BODY) {
        call->flags &= ~(uint32_t)CALL_HOLDS_BODY;
        hv__http_call_send_body(call);
        if (call->state != CALL_HEAD) return 0;
    }
    if (call->options.on_interim != NULL) {
        HV_DISPATCH(client->loop, call->options.on_interim(call));
        if (call->state != CALL_HEAD) return 0;
    }
    call->reply.status = 0;
    return 1;
}

int hv__http_answer_final(hhttp_call_t *call) {
    const hhttp_call_options_t *options = &call->options;
    if (call->reply.status == 417 && call->flags & CALL_EXPECTS &&
        !(call->flags & CALL_BODY_BEGUN)) {
        hv__http_call_part(call);
        hv__http_call_repeat(call, REPEAT_FRESH | REPEAT_WITHOUT_EXPECT);
        return 0;
    }
    call->flags &= ~(uint32_t)CALL_HOLDS_BODY;
    if (options->body_bytes_max > 0 && call->reply.body == H1_REPLY_COUNTED &&
        call->reply.length > 0 && (uint64_t)call->reply.length > options->body_bytes_max) {
        hv__http_call_end(call, HV_ELIMIT, "the response is longer than allowed");
        return 0;
    }
    int follows = call->follow != NULL ? hv__http_follow_check(call) : 0;
    if (follows < 0) return 0;
    call->state = CALL_BODY;
    if (follows) {
        call->flags |= CALL_FOLLOWS;
        return 1;
    }
    if (options->decodes && hv__http_decoder_begin(call) != 0) {
        hv__http_call_end(call, HV_ENOMEM, NULL);
        return 0;
    }
    if (options->on_head != NULL) HV_DISPATCH(call->client->loop, options->on_head(call));
    return call->state == CALL_BODY;
}

void hv__http_answer_piece(hhttp_call_t *call, const char *data, size_t len) {
    call->received += len;
    if (call->flags & CALL_FOLLOWS) {
        /* Nobody wants it; a long one costs more than a new connection. */
        if (call->received > REDIRECT_BODY_MAX) {
            hv__http_call_part(call);
            hv__http_follow_go(call);
        }
        return;
    }
    if (call->options.body_bytes_max > 0 && call->received > call->options.body_bytes_max) {
        hv__http_call_end(call, HV_ELIMIT, "the response is longer than allowed");
    } else if (call->decoder != NULL) {
        hv__http_decoder_give(call->decoder, data, len);
    } else if (call->options.on_data != NULL) {
        HV_DISPATCH(call->client->loop, call->options.on_data(call, data, len));
    }
}

void hv__http_answer_over(hhttp_call_t *call) {
    if (call->flags & CALL_FOLLOWS) {
        hv__http_follow_go(call);
        return;
    }
    call->state = CALL_DONE;
    hv__http_call_report(call);
}
