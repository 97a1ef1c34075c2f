/* worker_thread.c - the worker's own side: a thread with a loop and a Lua state, which runs what
 * the first message on control says, and tells there how it ended. */
#include "worker.h"

#define MAIN_MODULE "hv.worker_main"

/* The worker's own side; on the stack of its thread. */
typedef struct inside_s {
    hchannel_t *control;
    hchannel_t *data;
    hvl_t *rt;
    int has_outcome;
    int is_stopping;
} inside_t;

static void send_outcome(inside_t *inside, char kind, const char *data, size_t len) {
    if (inside->has_outcome) return;
    inside->has_outcome = 1;
    luaL_Buffer buffer;
    if (len == 0 || inside->rt == NULL) {
        char text[256];
        int count = snprintf(text, sizeof text, "%c%.*s", kind, (int)len, len > 0 ? data : "");
        if (count > (int)sizeof text - 1) count = (int)sizeof text - 1;
        hchannel_send(inside->control, text, (size_t)count);
        return;
    }
    lua_State *L = inside->rt->L;
    luaL_buffinit(L, &buffer);
    luaL_addchar(&buffer, kind);
    luaL_addlstring(&buffer, data, len);
    luaL_pushresult(&buffer);
    size_t whole;
    const char *bytes = lua_tolstring(L, -1, &whole);
    hchannel_send(inside->control, bytes, whole);
    lua_pop(L, 1);
}

static void send_failure(inside_t *inside, const char *message) {
    send_outcome(inside, HVL_OUTCOME_ERROR, message, strlen(message));
}

/* Any message after the first means stop. */
static void on_control_inside(hchannel_t *end) {
    inside_t *inside = hevent_userdata(end);
    hvl_t *rt = inside->rt;
    void *data;
    size_t len;
    int code = hchannel_recv(end, &data, &len);
    if (code == HV_EAGAIN) return;
    if (code == 0) hchannel_free(data);
    if (inside->is_stopping) return;
    inside->is_stopping = 1;
    if (rt->main_task != NULL) {
        hvl_task_cancel(rt->main_task);
    } else {
        hloop_stop(rt->loop);
    }
}

/* In protected mode: the state, up to the main task. */
static int set_up_inside(lua_State *L) {
    inside_t *inside = lua_touserdata(L, 1);
    void *spec;
    size_t len;
    if (hchannel_recv(inside->control, &spec, &len) != 0) return luaL_error(L, "nothing to run");
    lua_pushlstring(L, spec, len);
    hchannel_free(spec);
    hvl_t *rt = inside->rt = hvl_open_state(L, NULL);
    rt->worker = inside;
    hevent_set_userdata(inside->control, inside);
    int code = hchannel_attach(inside->control, rt->loop, on_control_inside);
    if (code != 0) return luaL_error(L, "%s", herr_text(code));
    hevent_unref(inside->control);
    lua_getglobal(L, "require");
    lua_pushliteral(L, MAIN_MODULE);
    lua_call(L, 1, 1);
    lua_insert(L, -2);
    hvl_start_main(rt, 1);
    hloop_setcb_pass(rt->loop, hvl_flush_output);
    return 0;
}

static void run_inside(inside_t *inside, lua_State *L) {
    if (lua_cpcall(L, set_up_inside, inside) != 0) {
        const char *message = lua_tostring(L, -1);
        send_failure(inside, message ? message : "cannot start");
        return;
    }
    hvl_t *rt = inside->rt;
    luaL_checkstack(L, LUA_MINSTACK, "");
    if (hloop_run(rt->loop) != 0) {
        send_failure(inside, herr_text(hloop_last_error(rt->loop)));
    } else if (rt->main_task != NULL && !rt->is_stopped && !inside->is_stopping) {
        send_failure(inside, "the worker still waits, but nothing is left that could wake it");
    }
    send_outcome(inside, HVL_OUTCOME_CANCELED, NULL, 0); /* where there was no other */
}

void *hvl_worker_run(void *arg) {
    hchannel_t *control = arg;
    inside_t inside = {.control = control, .data = hevent_userdata(control)};
    lua_State *L = luaL_newstate();
    if (L == NULL) {
        send_failure(&inside, "not enough memory");
    } else {
        run_inside(&inside, L);
        if (inside.rt != NULL) hvl_close(inside.rt);
        lua_close(L);
    }
    hchannel_close(inside.data); /* NULL where a port had it */
    hchannel_close(control);
    return NULL;
}

static inside_t *check_inside(lua_State *L) {
    inside_t *inside = hvl_self(L)->worker;
    if (inside == NULL) hvl_misuse(L, "this state is no worker's");
    return inside;
}

/* channel() -> the worker's own port; once */
int hvl_worker_channel(lua_State *L) {
    inside_t *inside = check_inside(L);
    hvl_port_t *port = hvl_object_new(L, hvl_self(L), &hvl_port_class, sizeof *port);
    int code = hvl_port_attach(port, inside->data);
    if (code != 0) return hvl_push_error(L, "worker", code);
    inside->data = NULL;
    return 1;
}

/* finish(kind, bytes): the outcome of the main function. */
int hvl_worker_finish(lua_State *L) {
    inside_t *inside = check_inside(L);
    const char *kind = luaL_checkstring(L, 1);
    size_t len;
    const char *data = luaL_checklstring(L, 2, &len);
    send_outcome(inside, *kind, data, len);
    if (inside->is_stopping) hloop_stop(inside->rt->loop);
    return 0;
}
