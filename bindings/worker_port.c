/* worker_port.c - one end of the data channel between a worker and who has spawned it: bytes are
 * sent and received in order, and who cannot yet waits in line. */
#include "worker.h"

const hvl_class_t hvl_port_class = {"hv.worker.channel"};

static hvl_port_t *check_port(lua_State *L) {
    void *port = hvl_test(L, 1, &hvl_worker_class);
    return port != NULL ? port : hvl_check(L, 1, &hvl_port_class);
}

void hvl_port_settle(hvl_port_t *port) {
    int is_waited = port->receiver_count > 0 || port->sender_count > 0;
    if (port->end != NULL && port->object.rt->loop != NULL) {
        if (is_waited) {
            hevent_ref(port->end);
        } else {
            hevent_unref(port->end);
        }
    }
    if (!is_waited && !port->is_kept) hvl_unanchor(port);
}

static void remove_receiver(hvl_port_t *port, int i) {
    port->receiver_count--;
    memmove(&port->receivers[i], &port->receivers[i + 1],
            (size_t)(port->receiver_count - i) * sizeof port->receivers[0]);
}

static void remove_sender(hvl_port_t *port, int i) {
    hvl_unref(port->object.rt, &port->senders[i].ref);
    port->sender_count--;
    memmove(&port->senders[i], &port->senders[i + 1],
            (size_t)(port->sender_count - i) * sizeof port->senders[0]);
}

static void on_recv_canceled(hvl_task_t *task, void *data) {
    hvl_port_t *port = data;
    for (int i = 0; i < port->receiver_count; i++) {
        if (port->receivers[i].task == task) remove_receiver(port, i--);
    }
    hvl_port_settle(port);
}

static void on_send_canceled(hvl_task_t *task, void *data) {
    hvl_port_t *port = data;
    for (int i = 0; i < port->sender_count; i++) {
        if (port->senders[i].waiter.task == task) remove_sender(port, i--);
    }
    hvl_port_settle(port);
}

/* Takes a message or why there is none. Returns the number of values pushed; 0: nothing yet. */
static int push_received(lua_State *L, hvl_port_t *port) {
    void *data;
    size_t len;
    int code = port->end != NULL ? hchannel_recv(port->end, &data, &len) : HV_ECLOSED;
    if (code == HV_EAGAIN) return 0;
    if (code != 0) return hvl_push_error(L, "recv", HV_ECLOSED);
    lua_pushlstring(L, data, len);
    hchannel_free(data);
    return 1;
}

static void wake_receivers(hvl_port_t *port) {
    while (port->receiver_count > 0) {
        lua_State *co = port->receivers[0].task->co;
        int count = push_received(co, port);
        if (count == 0) return;
        hvl_task_t *task = hvl_wake(&port->receivers[0]);
        remove_receiver(port, 0);
        hvl_resume_later(task, count);
    }
}

/* Pushes the result of a send, but for HV_EAGAIN. */
static int push_sent(lua_State *L, int code) {
    if (code != 0) return hvl_push_error(L, "send", code);
    lua_pushboolean(L, 1);
    return 1;
}

static int send_string(hvl_port_t *port, lua_State *L, int index) {
    size_t len;
    const char *data = lua_tolstring(L, index, &len);
    return port->end != NULL ? hchannel_send(port->end, data, len) : HV_ECLOSED;
}

static void wake_senders(hvl_port_t *port) {
    while (port->sender_count > 0) {
        lua_State *co = port->senders[0].waiter.task->co;
        lua_rawgeti(co, LUA_REGISTRYINDEX, port->senders[0].ref);
        int code = send_string(port, co, -1);
        lua_pop(co, 1);
        if (code == HV_EAGAIN) return;
        hvl_task_t *task = hvl_wake(&port->senders[0].waiter);
        remove_sender(port, 0);
        hvl_resume_later(task, push_sent(task->co, code));
    }
}

static void on_data(hchannel_t *end) {
    hvl_port_t *port = hevent_userdata(end);
    if (port->object.rt->loop == NULL) return;
    wake_receivers(port);
    wake_senders(port);
    hvl_port_settle(port);
}

int hvl_port_attach(hvl_port_t *port, hchannel_t *end) {
    int code = hchannel_attach(end, port->object.rt->loop, on_data);
    if (code != 0) return code;
    hevent_set_userdata(end, port);
    hevent_unref(end);
    port->end = end;
    return 0;
}

int64_t hvl_worker_check_timeout(lua_State *L, int index, const char *what) {
    if (lua_isnoneornil(L, index)) return -1;
    return hvl_check_integer(L, index, what, 0, UINT32_MAX - 1);
}

/* send(bytes[, timeout]) */
int hvl_port_send(lua_State *L) {
    hvl_port_t *port = check_port(L);
    luaL_checktype(L, 2, LUA_TSTRING);
    int64_t timeout_ms = hvl_worker_check_timeout(L, 3, "send: timeout");
    int code = HV_EAGAIN;
    if (port->sender_count == 0) code = send_string(port, L, 2); /* nobody is overtaken */
    if (code != HV_EAGAIN) return push_sent(L, code);
    if (!hvl_may_wait(L)) return hvl_refuse(L, NULL);
    if (port->sender_count == HVL_PORT_WAITERS_MAX) return hvl_push_error(L, "send", HV_EBUSY);
    lua_pushvalue(L, 2);
    int ref = hvl_ref(L);
    hvl_anchor(L, 1);
    int i = port->sender_count++;
    port->senders[i].ref = ref;
    port->senders[i].waiter = hvl_wait_begin(L, "send", timeout_ms, on_send_canceled, port);
    hvl_port_settle(port);
    return hvl_wait(L);
}

/* recv([timeout]) -> bytes */
int hvl_port_recv(lua_State *L) {
    hvl_port_t *port = check_port(L);
    int64_t timeout_ms = hvl_worker_check_timeout(L, 2, "recv: timeout");
    int count = port->receiver_count == 0 ? push_received(L, port) : 0;
    if (count != 0) return count;
    if (!hvl_may_wait(L)) return hvl_refuse(L, NULL);
    if (port->receiver_count == HVL_PORT_WAITERS_MAX) return hvl_push_error(L, "recv", HV_EBUSY);
    hvl_anchor(L, 1);
    int i = port->receiver_count++;
    port->receivers[i] = hvl_wait_begin(L, "recv", timeout_ms, on_recv_canceled, port);
    hvl_port_settle(port);
    return hvl_wait(L);
}

/* close(): nothing more will be sent from here. */
int hvl_port_close(lua_State *L) {
    hvl_port_t *port = check_port(L);
    if (port->end != NULL) hchannel_shutdown(port->end);
    wake_senders(port);
    hvl_port_settle(port);
    return 0;
}

int hvl_port_gc(lua_State *L) {
    hvl_port_t *port = lua_touserdata(L, 1);
    hchannel_close(port->end);
    port->end = NULL;
    return 0;
}

static int port_tostring(lua_State *L) {
    hvl_port_t *port = hvl_check(L, 1, &hvl_port_class);
    int is_open = port->end != NULL && !hchannel_is_closed(port->end);
    lua_pushfstring(L, "hv.worker.channel{%s}", is_open ? "open" : "closed");
    return 1;
}

void hvl_port_open(lua_State *L, hvl_t *rt) {
    static const luaL_Reg methods[] = {
        {"send", hvl_port_send}, {"recv", hvl_port_recv}, {"close", hvl_port_close}, {NULL, NULL}};
    static const luaL_Reg metamethods[] = {
        {"__gc", hvl_port_gc}, {"__tostring", port_tostring}, {NULL, NULL}};
    hvl_class_new(L, rt, &hvl_port_class, methods, metamethods);
    lua_setfield(L, -2, "channel_methods");
}
