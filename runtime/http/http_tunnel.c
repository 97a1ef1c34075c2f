/* http_tunnel.c - connections that a gateway joins and then forgets: what CONNECT asks for, and
 * upgrades that an upstream has agreed to. From there on the net room forwards the bytes. */
#include "http_gateway_int.h"

/* A tunnel to an upstream has ended, so it is less busy. */
static void on_tunnel_close(hio_t *io) {
    http_upstream_t *upstream = hevent_userdata(io);
    HV_ASSERT(upstream->busy > 0);
    upstream->busy--;
    hv__gateway_leave(upstream->gateway);
}

/* A tunnel outlives its pass, and keeps its upstream busy as long. */
static void count_tunnel(http_upstream_t *upstream, hio_t *far) {
    upstream->busy++;
    hv__gateway_hold(upstream->gateway);
    hevent_set_userdata(far, upstream);
    hio_setcb_close(far, on_tunnel_close);
}

/* Joins the client's connection and `far`. Returns 0, or a code where `far` is still the
 * caller's. */
static int join(http_pass_t *pass, hio_t *far, int status, const http_passed_head_t *head) {
    hio_t *near;
    int code = hhttp_request_upgrade(pass->req, status, head->headers, head->count, &near);
    if (code != 0) return code;
    uint32_t given_ms = pass->gateway->options.tunnel_timeout_ms;
    int timeout_ms = given_ms < INT32_MAX ? (int)given_ms : 0; /* 0: none */
    hio_set_keepalive_timeout(near, timeout_ms);
    hio_set_keepalive_timeout(far, timeout_ms);
    hio_setcb_close(far, NULL);
    if (pass->upstream != NULL) count_tunnel(pass->upstream, far);
    code = hio_forward(near, far);
    if (code != 0) {
        hio_close(near);
        hio_close(far);
    }
    return 0;
}

void hv__tunnel_upgrade(http_pass_t *pass) {
    http_passed_head_t head;
    head.count = 0;
    int code = hv__gateway_response_head(pass, pass->call, &head);
    hio_t *far = code == 0 ? hhttp_call_take_io(pass->call) : NULL;
    if (far == NULL) {
        hv__pass_fail(pass, code != 0 ? code : HV_ECLOSED, 502, "the upstream has not upgraded");
        return;
    }
    code = join(pass, far, 101, &head);
    if (code == 0) {
        hv__pass_end(pass, 0);
        return;
    }
    hio_close(far);
    hv__pass_fail(pass, code, 502, "the connection cannot be upgraded");
}

/* ---- CONNECT ---- */

static void on_connect(hio_t *io) {
    http_pass_t *pass = hevent_userdata(io);
    http_passed_head_t head;
    head.count = 0;
    pass->tunnel = NULL;
    hevent_set_userdata(io, NULL);
    hio_setcb_close(io, NULL);
    int code = join(pass, io, 200, &head);
    if (code == 0) {
        hv__pass_end(pass, 0);
        return;
    }
    hio_close(io);
    hv__pass_fail(pass, code, 502, "the tunnel cannot begin");
}

static void on_close(hio_t *io) {
    http_pass_t *pass = hevent_userdata(io);
    if (pass == NULL) return;
    int error = hio_error(io);
    pass->tunnel = NULL;
    hv__pass_fail(pass, error > 0 ? -error : HV_ECLOSED, error == -HV_ETIMEDOUT ? 504 : 502,
                  herr_text(error));
}

/* "host:port", "[::1]:port": the parser has checked the form. */
static int split_authority(hhttp_slice_t target, char *host, size_t room, int *port) {
    const char *colon = memrchr(target.data, ':', target.len);
    if (colon == NULL) return HV_EINVAL;
    hhttp_slice_t name = {target.data, (size_t)(colon - target.data)};
    if (name.len > 2 && name.data[0] == '[') {
        name.data++;
        name.len -= 2;
    }
    *port = 0;
    for (const char *at = colon + 1; at < target.data + target.len; at++) {
        if (*at < '0' || *at > '9' || *port > 65535) return HV_EINVAL;
        *port = *port * 10 + (*at - '0');
    }
    if (name.len == 0 || name.len >= room || *port < 1 || *port > 65535) return HV_EINVAL;
    memcpy(host, name.data, name.len);
    host[name.len] = '\0';
    return 0;
}

int hv__tunnel_begin(http_pass_t *pass) {
    hhttp_gateway_t *gateway = pass->gateway;
    char host[256];
    int port;
    int code = split_authority(hhttp_request_target(pass->req), host, sizeof host, &port);
    if (code != 0) return code;
    hio_t *io = hloop_create_tcp_client(gateway->loop, host, port, on_connect, on_close);
    if (io == NULL) return hloop_last_error(gateway->loop);
    hevent_set_userdata(io, pass);
    uint32_t connect_ms = gateway->options.connect_timeout_ms;
    hio_set_connect_timeout(io, connect_ms < INT32_MAX ? (int)connect_ms : 0);
    pass->tunnel = io;
    pass->state = PASS_CONNECTING;
    return 0;
}

void hv__tunnel_drop(http_pass_t *pass) {
    hio_t *io = pass->tunnel;
    if (io == NULL) return;
    pass->tunnel = NULL;
    hevent_set_userdata(io, NULL);
    hio_close(io);
}
