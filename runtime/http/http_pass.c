/* http_pass.c - one request on its way through a gateway, and its answer on the way back.
 *
 * Pieces of both bodies are handed from one side's callback to the other side's write call and are
 * never kept here: where a side takes no more, the other one is paused. A request may be sent again
 * to another upstream as long as nothing of its body was asked for and nothing of an answer was
 * passed on; where a first upstream may have acted on it, only if it is idempotent (RFC 9110
 * section 9.2.2). */
#include "h1_fields.h"
#include "h1_write.h"
#include "http_gateway_int.h"

/* ---- Ends ---- */

static void let_go_of_call(http_pass_t *pass) {
    hhttp_call_t *call = pass->call;
    if (call == NULL) return;
    pass->call = NULL;
    hhttp_call_set_userdata(call, NULL);
    hhttp_call_cancel(call);
}

static void leave_upstream(http_pass_t *pass) {
    if (pass->upstream == NULL) return;
    HV_ASSERT(pass->upstream->busy > 0);
    pass->upstream->busy--;
    if (pass->is_probe) pass->upstream->is_probed = 0;
    pass->is_probe = 0;
}

void hv__pass_report(http_pass_t *pass) {
    hhttp_gateway_t *gateway = pass->gateway;
    HV_ASSERT(pass->state == PASS_DONE);
    hv__defer_cancel(gateway->loop, &pass->work);
    if (pass->prev != NULL) {
        pass->prev->next = pass->next;
    } else {
        gateway->passes = pass->next;
    }
    if (pass->next != NULL) pass->next->prev = pass->prev;
    hhttp_gateway_result_t result = {
        .error = pass->error,
        .text = pass->text[0] != '\0' ? pass->text : herr_text(pass->error),
        .upstream = pass->upstream != NULL ? (int)(pass->upstream - gateway->upstreams) : -1,
    };
    if (pass->on_done != NULL) {
        HV_DISPATCH(gateway->loop, pass->on_done(pass->req, &result, pass->userdata));
    }
    hhttp_request_release(pass->req);
    hv__free(pass->changes);
    hv__free(pass);
    hv__gateway_leave(gateway);
}

static void run_report(hv__defer_t *work) {
    hv__pass_report(HV_CONTAINER_OF(work, http_pass_t, work));
}

void hv__pass_end(http_pass_t *pass, int error) {
    if (pass->state == PASS_DONE) return;
    if (pass->state == PASS_CALLING || pass->state == PASS_ANSWERING) leave_upstream(pass);
    pass->state = PASS_DONE;
    pass->error = error;
    pass->req->pass = NULL;
    hhttp_request_on_abort(pass->req, NULL, NULL);
    hhttp_response_on_drain(pass->req, NULL, NULL);
    let_go_of_call(pass);
    hv__tunnel_drop(pass);
    hv__defer(pass->gateway->loop, &pass->work, run_report);
}

void hv__pass_fail(http_pass_t *pass, int error, int status, const char *text) {
    if (pass->state == PASS_DONE) return;
    snprintf(pass->text, sizeof pass->text, "%s", text);
    if (hhttp_response_has_begun(pass->req)) {
        hhttp_request_abort(pass->req); /* the client is to see that the answer is not whole */
    } else if (!hhttp_request_is_over(pass->req)) {
        char body[64];
        int len = snprintf(body, sizeof body, "%d %s\n", status, hhttp_status_text(status));
        hhttp_respond(pass->req, status, "text/plain", body, (size_t)len);
    }
    hv__pass_end(pass, error);
}

static void on_abort(hhttp_request_t *req, void *userdata) {
    (void)req;
    hv__pass_end(userdata, HV_ECLOSED);
}

/* ---- The request's body ---- */

static void pump(http_pass_t *pass);

/* The end of the body, with its trailers. */
static void hand_on_end(http_pass_t *pass) {
    http_passed_head_t trailers;
    trailers.count = 0;
    int code = hv__gateway_request_trailers(pass, &trailers);
    if (code != 0) {
        hv__pass_fail(pass, code, code == HV_ELIMIT ? 431 : 400, "the trailers cannot go on");
        return;
    }
    code = hhttp_call_finish_with(pass->call, trailers.headers, trailers.count);
    /* Any other failure is the end of the call, which on_done tells. */
    if (code == HV_ENOMEM || code == HV_ELIMIT) {
        hv__pass_fail(pass, code, 503, "the end of the body cannot be sent");
    }
}

/* Hands a piece on. Returns whether the next one may be asked for now. */
static int hand_on(http_pass_t *pass, hhttp_slice_t piece) {
    if (pass->call == NULL) return 0;
    if (piece.len == 0) {
        pass->body_over = 1;
        hand_on_end(pass);
        return 0;
    }
    int code = hhttp_call_write(pass->call, piece.data, piece.len);
    /* After HV_EAGAIN on_drain goes on; after any other error on_done tells it. */
    return code == 0;
}

static void on_piece(hhttp_request_t *req, hhttp_slice_t piece, int error) {
    http_pass_t *pass = req->pass;
    if (pass == NULL) return;
    if (error != 0) {
        hv__pass_end(pass, error); /* the server has refused the body, or the client is gone */
    } else if (hand_on(pass, piece)) {
        pump(pass);
    }
}

static void pump(http_pass_t *pass) {
    int may_go_on = 1;
    while (may_go_on && pass->call != NULL && !pass->body_over) {
        hhttp_slice_t piece;
        int code = hhttp_request_read_body(pass->req, &piece, on_piece);
        if (code == 0) return;
        if (code < 0) {
            /* Where the server has refused the body it has answered, too. */
            hv__pass_fail(pass, code, 500, "the body of the request cannot be read");
            return;
        }
        may_go_on = hand_on(pass, piece);
    }
}

static void on_ready(hhttp_call_t *call) {
    http_pass_t *pass = hhttp_call_userdata(call);
    if (pass == NULL) return;
    pass->body_begun = 1;
    pump(pass);
}

static void on_call_drain(hhttp_call_t *call) {
    http_pass_t *pass = hhttp_call_userdata(call);
    if (pass != NULL) pump(pass);
}

/* ---- The answer ---- */

static void on_response_drain(hhttp_request_t *req, void *userdata) {
    (void)req;
    http_pass_t *pass = userdata;
    if (pass->call == NULL || !pass->is_paused) return;
    pass->is_paused = 0;
    hhttp_call_resume(pass->call);
}

/* The length to announce. Without a body to come, the head's own word counts: of a HEAD it says
 * what a GET would bring. */
static int64_t length_to_pass(const http_pass_t *pass, const hhttp_call_t *call) {
    if (hhttp_request_method(pass->req) != HHTTP_HEAD) return hhttp_call_length(call);
    hhttp_slice_t text = hhttp_call_header(call, "content-length", 14);
    uint64_t length;
    if (text.data == NULL || h1_read_content_length(text, &length) != 0) return -1;
    return (int64_t)length;
}

static uint32_t bit_of_status(int status) {
    switch (status) {
    case 429: return HHTTP_GATEWAY_RETRY_429;
    case 500: return HHTTP_GATEWAY_RETRY_500;
    case 502: return HHTTP_GATEWAY_RETRY_502;
    case 503: return HHTTP_GATEWAY_RETRY_503;
    case 504: return HHTTP_GATEWAY_RETRY_504;
    default: return 0;
    }
}

static int attempt(http_pass_t *pass);
static int may_retry(const http_pass_t *pass, const hhttp_call_t *call);

/* Lets an answer go for that of another upstream. Returns whether there is one to ask. */
static int ask_another(http_pass_t *pass, hhttp_call_t *call) {
    if (!may_retry(pass, call) || !hv__gateway_has_other(pass->gateway, pass)) return 0;
    let_go_of_call(pass);
    leave_upstream(pass);
    pass->state = PASS_START;
    pass->retries_left--;
    int code = attempt(pass);
    if (code != 0) hv__pass_fail(pass, code, 502, herr_text(code));
    return 1;
}

static void on_head(hhttp_call_t *call) {
    http_pass_t *pass = hhttp_call_userdata(call);
    if (pass == NULL) return;
    if (pass->upstream != NULL) {
        uint32_t bits = pass->gateway->options.retry_statuses;
        int is_failure = (bits & bit_of_status(hhttp_call_status(call))) != 0;
        hv__gateway_note(pass->gateway, pass->upstream, is_failure);
        if (is_failure && ask_another(pass, call)) return;
    }
    if (hhttp_call_status(call) == 101) {
        hv__tunnel_upgrade(pass);
        return;
    }
    http_passed_head_t head;
    head.count = 0;
    int code = hv__gateway_response_head(pass, call, &head);
    if (code == 0) {
        code = hhttp_response_begin(pass->req, hhttp_call_status(call), head.headers, head.count,
                                    length_to_pass(pass, call));
    }
    if (code == HV_ECLOSED) {
        hv__pass_end(pass, code);
    } else if (code != 0) {
        hv__pass_fail(pass, code, 502, "the upstream's answer has a head that cannot be passed on");
    } else {
        pass->state = PASS_ANSWERING;
        hhttp_response_on_drain(pass->req, on_response_drain, pass);
    }
}

static void on_data(hhttp_call_t *call, const void *data, size_t len) {
    http_pass_t *pass = hhttp_call_userdata(call);
    if (pass == NULL) return;
    int code = hhttp_response_write(pass->req, data, len);
    if (code == HV_EAGAIN) {
        pass->is_paused = 1;
        hhttp_call_pause(call);
    } else if (code == HV_ECLOSED) {
        hv__pass_end(pass, code);
    } else if (code != 0) {
        hv__pass_fail(pass, code, 502, "the answer cannot be passed on");
    }
}

/* ---- Attempts ---- */

static int status_of(int error) {
    switch (error) {
    case HV_ETIMEDOUT: return 504;
    case HV_ELIMIT: return 503; /* too many calls wait */
    case HV_EPROTO: return 400; /* the request is one that goes to no upstream */
    default: return 502;
    }
}

static int is_idempotent(hhttp_method_e method) {
    switch (method) {
    case HHTTP_GET:
    case HHTTP_HEAD:
    case HHTTP_OPTIONS:
    case HHTTP_PUT:
    case HHTTP_DELETE:
    case HHTTP_TRACE: return 1;
    default: return 0;
    }
}

/* Whether another upstream may be asked after this failure. An upstream that has never been reached
 * cannot have acted on the request. */
static int may_retry(const http_pass_t *pass, const hhttp_call_t *call) {
    if (pass->state != PASS_CALLING || pass->retries_left == 0 || pass->body_begun) return 0;
    if (pass->upstream == NULL || pass->gateway->is_closing) return 0;
    return !hhttp_call_was_sent(call) || is_idempotent(hhttp_request_method(pass->req));
}

/* The answer is whole: ends it as it has ended, with its trailers. */
static void end_answer(http_pass_t *pass, const hhttp_call_t *call) {
    http_passed_head_t trailers;
    trailers.count = 0;
    int code = hv__gateway_response_trailers(call, &trailers);
    if (code == 0) code = hhttp_response_end_with(pass->req, trailers.headers, trailers.count);
    if (code == HV_ECLOSED) code = 0; /* the client has gone by itself */
    if (code != 0) hhttp_request_abort(pass->req); /* it is to see that the answer is not whole */
    hv__pass_end(pass, code);
}

static void on_done(hhttp_call_t *call, int error) {
    http_pass_t *pass = hhttp_call_userdata(call);
    if (pass == NULL) return;
    pass->call = NULL;
    if (error == 0) {
        end_answer(pass, call);
        return;
    }
    if (pass->upstream != NULL && error != HV_ELIMIT) {
        hv__gateway_note(pass->gateway, pass->upstream, 1);
    }
    int retries = may_retry(pass, call);
    snprintf(pass->text, sizeof pass->text, "%s", hhttp_call_error_text(call));
    if (retries) {
        leave_upstream(pass);
        pass->state = PASS_START;
        pass->retries_left--;
        if (attempt(pass) == 0) return;
    }
    char text[sizeof pass->text];
    memcpy(text, pass->text, sizeof text);
    hv__pass_fail(pass, error, error == HV_ETIMEDOUT ? 504 : 502, text);
}

/* The body comes in pieces as the client sends it, or is in memory where the program has collected
 * it. Returns 0 or HV_ENOMEM. */
static int set_body(http_pass_t *pass, hhttp_call_options_t *options) {
    if (!pass->has_body) return 0;
    hhttp_slice_t whole = hhttp_request_body(pass->req);
    if (pass->req->flags & REQ_BODY_DONE && whole.len > 0) {
        /* What lies in the bytes being processed must outlive them. */
        if (hv__http_request_own(pass->req) != 0) return HV_ENOMEM;
        whole = hhttp_request_body(pass->req);
        options->body = whole.data;
        options->body_len = (int64_t)whole.len;
        return 0;
    }
    options->is_streamed = 1;
    options->body_len = hhttp_request_body_length(pass->req);
    options->on_ready = on_ready;
    options->on_drain = on_call_drain;
    /* An upload may take long, and only then the answer is owed: the idle timeout watches both. */
    if (options->idle_timeout_ms != INFINITE) options->head_timeout_ms = 0;
    return 0;
}

/* Asks the next upstream. Returns 0, or why there is none to ask. */
static int attempt(http_pass_t *pass) {
    hhttp_gateway_t *gateway = pass->gateway;
    http_upstream_t *upstream = NULL;
    if (!pass->is_forward) {
        upstream = hv__gateway_choose(gateway, pass);
        if (upstream == NULL) return HV_ENOTFOUND;
        pass->tried |= UINT64_C(1) << (upstream - gateway->upstreams);
    }
    pass->upstream = upstream;
    hhttp_call_options_t options = {
        .on_head = on_head,
        .on_data = on_data,
        .on_done = on_done,
        .userdata = pass,
    };
    hv__gateway_call_options(gateway, upstream, &options);
    if (upstream != NULL) options.url = upstream->url;
    char method[H1_METHOD_BYTES_MAX + 1];
    hhttp_slice_t name = hhttp_request_method_name(pass->req);
    memcpy(method, name.data, name.len);
    method[name.len] = '\0';
    options.method = method;
    http_passed_head_t head;
    head.count = 0;
    head.target = NULL;
    int code = set_body(pass, &options);
    if (code == 0) code = hv__gateway_request_head(pass, &options, &head);
    if (code == 0) {
        pass->call = hhttp_call_start(gateway->client, &options);
        if (pass->call == NULL) code = hloop_last_error(gateway->loop);
    }
    hv__free(head.target);
    if (code != 0) return code;
    pass->state = PASS_CALLING;
    if (upstream != NULL) {
        upstream->busy++;
        upstream->passed++;
        pass->is_probe = upstream->rests_until_ms != 0 && !upstream->is_probed;
        if (pass->is_probe) upstream->is_probed = 1;
    }
    return 0;
}

/* ---- The API ---- */

/* Copies headers behind each other into one block. Returns the end of the text. */
static char *copy_changes(hhttp_header_t *to, const hhttp_header_t *from, size_t count,
                          char *text) {
    for (size_t i = 0; i < count; i++) {
        const hhttp_slice_t *parts[2] = {&from[i].name, &from[i].value};
        hhttp_slice_t *copies[2] = {&to[i].name, &to[i].value};
        for (int part = 0; part < 2; part++) {
            *copies[part] = (hhttp_slice_t){NULL, 0};
            if (parts[part]->data == NULL) continue;
            if (parts[part]->len > 0) memcpy(text, parts[part]->data, parts[part]->len);
            *copies[part] = (hhttp_slice_t){text, parts[part]->len};
            text += parts[part]->len;
        }
    }
    return text;
}

/* Returns the bytes of text, or a code. */
static int64_t check_changes(const hhttp_header_t *headers, size_t count) {
    int64_t bytes = 0;
    for (size_t i = 0; i < count; i++) {
        hhttp_header_t header = headers[i];
        if (header.value.data == NULL) header.value = (hhttp_slice_t){"", 0};
        if (h1_check_headers(&header, 1) != 0 || hv__gateway_is_local(header.name)) {
            return HV_EINVAL;
        }
        bytes += (int64_t)(header.name.len + header.value.len);
    }
    return bytes;
}

static int take_changes(http_pass_t *pass, const hhttp_gateway_changes_t *changes) {
    if (changes == NULL || changes->request_count + changes->response_count == 0) return 0;
    size_t count = changes->request_count + changes->response_count;
    int64_t request = check_changes(changes->request, changes->request_count);
    int64_t response = check_changes(changes->response, changes->response_count);
    if (request < 0 || response < 0) return HV_EINVAL;
    pass->changes = hv__malloc(count * sizeof *pass->changes + (size_t)(request + response));
    if (pass->changes == NULL) return HV_ENOMEM;
    pass->request_changes = changes->request_count;
    pass->response_changes = changes->response_count;
    char *text = (char *)(pass->changes + count);
    text = copy_changes(pass->changes, changes->request, changes->request_count, text);
    copy_changes(pass->changes + changes->request_count, changes->response, changes->response_count,
                 text);
    return 0;
}

static int begin(hhttp_gateway_t *gateway, hhttp_request_t *req,
                 const hhttp_gateway_changes_t *changes, hhttp_gateway_cb done, void *userdata,
                 int is_forward) {
    if (gateway->is_closing || hhttp_request_is_over(req)) return HV_ECLOSED;
    if (hhttp_response_has_begun(req) || req->pass != NULL) return HV_EBUSY;
    http_pass_t *pass = hv__calloc(1, sizeof *pass);
    if (pass == NULL) return HV_ENOMEM;
    int taken = take_changes(pass, changes);
    if (taken != 0) {
        hv__free(pass);
        return taken;
    }
    pass->gateway = gateway;
    pass->req = req;
    pass->on_done = done;
    pass->userdata = userdata;
    pass->is_forward = (uint8_t)is_forward;
    pass->retries_left = is_forward ? 0 : (uint32_t)gateway->options.retries;
    pass->has_body = hhttp_request_body_length(req) != 0;
    if (gateway->options.body_bytes_max != 0) {
        hhttp_request_set_body_max(req, gateway->options.body_bytes_max);
    }
    hhttp_request_retain(req);
    hv__gateway_hold(gateway);
    pass->next = gateway->passes;
    if (pass->next != NULL) pass->next->prev = pass;
    gateway->passes = pass;
    req->pass = pass;
    hhttp_request_on_abort(req, on_abort, pass);
    int is_connect = is_forward && hhttp_request_method(req) == HHTTP_CONNECT;
    int code = is_connect ? hv__tunnel_begin(pass) : attempt(pass);
    if (code != 0) hv__pass_fail(pass, code, status_of(code), herr_text(code));
    return 0;
}

int hhttp_gateway_pass(hhttp_gateway_t *gateway, hhttp_request_t *req, hhttp_gateway_cb on_done_cb,
                       void *userdata) {
    return hhttp_gateway_pass_with(gateway, req, NULL, on_done_cb, userdata);
}

int hhttp_gateway_pass_with(hhttp_gateway_t *gateway, hhttp_request_t *req,
                            const hhttp_gateway_changes_t *changes, hhttp_gateway_cb on_done_cb,
                            void *userdata) {
    if (gateway->count == 0) return HV_EINVAL;
    return begin(gateway, req, changes, on_done_cb, userdata, 0);
}

void hhttp_gateway_cancel(hhttp_request_t *req) {
    if (req->pass == NULL) return;
    hv__pass_end(req->pass, HV_ECANCELED);
    if (hhttp_response_has_begun(req)) hhttp_request_abort(req);
}

int hhttp_gateway_forward(hhttp_gateway_t *gateway, hhttp_request_t *req,
                          hhttp_gateway_cb on_done_cb, void *userdata) {
    hhttp_slice_t target = hhttp_request_target(req);
    int is_connect = hhttp_request_method(req) == HHTTP_CONNECT;
    if (!is_connect && (target.len == 0 || target.data[0] == '/' || target.data[0] == '*')) {
        return HV_EINVAL;
    }
    return begin(gateway, req, NULL, on_done_cb, userdata, 1);
}
