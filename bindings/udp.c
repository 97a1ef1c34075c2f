/* udp.c - datagram sockets. A datagram is read only while somebody waits for one, or all the time
 * with on_message; what the kernel's buffer cannot hold is lost, as datagrams are. */
#include "handle.h"

#include "hmaster.h"
#include "hsocket.h"

typedef struct udp_s {
    HVL_HANDLE; /* kept paused: it drains, and nothing more is read */
    int message_ref;
    int close_ref;
} udp_t;

static const hvl_class_t udp_class = {"hv.udp"};

static udp_t *check_udp(lua_State *L) { return hvl_check(L, 1, &udp_class); }

static void on_message_finished(hvl_task_t *task, int status) {
    udp_t *self = task->userdata[0];
    (void)status; /* one bad datagram is no reason to stop serving the others */
    hvl_handle_resume(&self->handle);
    hvl_handle_leave(&self->handle);
}

static void on_close_finished(hvl_task_t *task, int status) {
    (void)status;
    hvl_handle_leave(task->userdata[0]);
}

static void on_datagram(hio_t *io, void *buf, int len) {
    udp_t *self = hevent_userdata(io);
    if (self->message_ref != LUA_NOREF) {
        hvl_task_t *task = hvl_handle_begin(&self->handle, self->message_ref, on_message_finished);
        if (task == NULL) return;
        lua_pushlstring(task->co, buf, (size_t)len);
        hvl_push_address(task->co, hio_peeraddr(io));
        hvl_handle_run(&self->handle, task, 3);
        return;
    }
    hvl_task_t *task = hvl_wake(&self->reader);
    if (task == NULL) return;
    lua_pushlstring(task->co, buf, (size_t)len);
    hvl_push_address(task->co, hio_peeraddr(io));
    hvl_resume_now(task, 2);
}

static void wake_reader(udp_t *self, int code) {
    hvl_task_t *task = hvl_wake(&self->reader);
    if (task != NULL) hvl_resume_later(task, hvl_push_error(task->co, "recv", code));
}

static void on_close(hio_t *io) {
    udp_t *self = hevent_userdata(io);
    int error = hio_error(io);
    hvl_t *rt = self->object.rt;
    self->io = NULL;
    if (rt->loop == NULL) return;
    wake_reader(self, error ? error : HV_ECLOSED);
    hvl_task_t *task = hvl_handle_begin(&self->handle, self->close_ref, on_close_finished);
    if (task != NULL) {
        if (error != 0) lua_pushstring(task->co, herr_text(error));
        if (error != 0) lua_pushstring(task->co, herr_name(error));
        hvl_task_run(task, error != 0 ? 3 : 1);
    }
    hvl_unref(rt, &self->message_ref);
    hvl_unref(rt, &self->close_ref);
    hvl_handle_release(&self->handle);
}

/* Returns NULL with *code set where it fails. Workers share the socket of a server, unless each is
 * to have one of its own on the port. */
static hio_t *open_server(hloop_t *loop, const char *host, int port, int flags, int *code) {
    if (flags != 0 || !hvl_is_worker()) {
        hio_t *io = hloop_create_udp_listener(loop, host, port, flags);
        *code = hloop_last_error(loop);
        return io;
    }
    int fd = hvl_shared_socket(host, port, 0, HWORKER_LISTEN_DATAGRAM);
    hio_t *io = fd >= 0 ? hio_get(loop, fd) : NULL;
    *code = fd >= 0 ? hloop_last_error(loop) : fd;
    if (io == NULL && fd >= 0) close(fd);
    return io;
}

static hio_t *open_client(hloop_t *loop, const char *host, int port, int *code) {
    hio_t *io = hloop_create_udp_client(loop, host, port);
    *code = hloop_last_error(loop);
    return io;
}

/* open(is_client, host, port, options): all checked. */
static int open_socket(lua_State *L) {
    hvl_t *rt = hvl_self(L);
    int is_client = lua_toboolean(L, 1);
    const char *host = luaL_checkstring(L, 2);
    int port = (int)luaL_checkinteger(L, 3);
    luaL_checktype(L, 4, LUA_TTABLE);
    lua_getfield(L, 4, "reuse_port");
    int flags = lua_toboolean(L, -1) ? HIO_LISTEN_REUSE_PORT : 0;
    if (rt->loop == NULL) return hvl_push_error(L, "udp", HV_ECLOSED);
    udp_t *self = hvl_object_new(L, rt, &udp_class, sizeof *self);
    self->message_ref = self->close_ref = LUA_NOREF;
    int code;
    self->io = is_client ? open_client(rt->loop, host, port, &code)
                         : open_server(rt->loop, host, port, flags, &code);
    if (self->io == NULL) {
        lua_pushfstring(L, is_client ? "connect %s:%d" : "bind %s:%d", host, port);
        return hvl_push_error(L, lua_tostring(L, -1), code);
    }
    hevent_set_userdata(self->io, self);
    hio_setcb_read(self->io, on_datagram);
    hio_setcb_close(self->io, on_close);
    hvl_anchor(L, -1);
    self->message_ref = hvl_ref_field(L, 4, "on_message");
    self->close_ref = hvl_ref_field(L, 4, "on_close");
    if (self->message_ref != LUA_NOREF) hio_read(self->io);
    return 1;
}

static int parse_address(const char *ip, int port, struct sockaddr_storage *addr) {
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_port = htons((uint16_t)port)};
    memset(addr, 0, sizeof *addr);
    if (strcmp(ip, "localhost") == 0) ip = "127.0.0.1";
    if (inet_pton(AF_INET, ip, &in.sin_addr) == 1) {
        memcpy(addr, &in, sizeof in);
        return 0;
    }
    if (inet_pton(AF_INET6, ip, &in6.sin6_addr) == 1) {
        memcpy(addr, &in6, sizeof in6);
        return 0;
    }
    return HV_ENOTFOUND;
}

/* send(data[, host, port]) */
static int udp_send(lua_State *L) {
    udp_t *self = check_udp(L);
    size_t len = 0;
    if (!lua_isstring(L, 2)) {
        return hvl_misuse(L, "sock:send: string expected, got %s", luaL_typename(L, 2));
    }
    const char *data = lua_tolstring(L, 2, &len);
    struct sockaddr_storage addr;
    int has_address = !lua_isnoneornil(L, 3);
    int code = 0;
    if (has_address) {
        if (lua_type(L, 3) != LUA_TSTRING) {
            return hvl_misuse(L, "sock:send: host must be a string, got %s", luaL_typename(L, 3));
        }
        int port = (int)hvl_check_integer(L, 4, "sock:send: port", 1, 65535);
        code = parse_address(lua_tostring(L, 3), port, &addr);
    }
    if (self->io == NULL || self->is_closed_here) code = HV_ECLOSED;
    if (code == 0) {
        code = has_address ? hio_sendto(self->io, data, len, (struct sockaddr *)&addr)
                           : hio_write(self->io, data, len);
    }
    if (code < 0) return hvl_push_error(L, "send", code);
    lua_pushboolean(L, 1);
    return 1;
}

static void on_recv_canceled(hvl_task_t *task, void *data) {
    (void)task;
    udp_t *self = data;
    self->reader.task = NULL;
    if (self->io != NULL) hio_read_stop(self->io);
}

/* recv([timeout]) -> data, {ip=, port=} */
static int udp_recv(lua_State *L) {
    if (hvl_is_dual(L)) return hvl_dual(L);
    udp_t *self = check_udp(L);
    int64_t timeout_ms = -1;
    if (!lua_isnoneornil(L, 2)) {
        timeout_ms = hvl_check_integer(L, 2, "sock:recv: timeout", 0, INT32_MAX);
    }
    if (self->io == NULL || self->is_closed_here || self->is_kept_paused) {
        return hvl_push_error(L, "recv", HV_ECLOSED);
    }
    if (self->message_ref != LUA_NOREF) {
        return hvl_misuse(L, "sock:recv: on_message reads this socket");
    }
    if (!hvl_may_wait(L)) return hvl_refuse(L, NULL);
    if (hvl_is_waited(&self->reader)) return hvl_push_error(L, "recv", HV_EBUSY);
    hio_read_once(self->io);
    self->reader = hvl_wait_begin(L, "recv", timeout_ms, on_recv_canceled, self);
    return hvl_wait(L);
}

static int udp_close(lua_State *L) {
    udp_t *self = check_udp(L);
    if (self->io != NULL && !self->is_closed_here && self->object.rt->loop != NULL) {
        self->is_closed_here = 1;
        hio_close(self->io);
        wake_reader(self, HV_ECLOSED);
    }
    lua_pushboolean(L, 1);
    return 1;
}

/* drain(): reads no more; what is being answered still can be. */
static int udp_drain(lua_State *L) {
    udp_t *self = check_udp(L);
    if (self->io == NULL || self->is_closed_here || self->object.rt->loop == NULL) return 0;
    self->is_kept_paused = 1;
    hio_read_stop(self->io);
    wake_reader(self, HV_ECLOSED);
    return 0;
}

/* count() -> datagrams that are being handled */
static int udp_count(lua_State *L) {
    lua_pushinteger(L, (lua_Integer)check_udp(L)->busy);
    return 1;
}

static int udp_local_address(lua_State *L) {
    return hvl_io_push_local(L, check_udp(L)->io, "local_address");
}

static int udp_port(lua_State *L) { return hvl_io_push_port(L, check_udp(L)->io); }

static int udp_ref(lua_State *L) { return hvl_io_set_reference(L, check_udp(L)->io, 1); }
static int udp_unref(lua_State *L) { return hvl_io_set_reference(L, check_udp(L)->io, 0); }

/* ---- Options of the kernel ---- */

static int push_done(lua_State *L, const char *what, int code) {
    if (code != 0) return hvl_push_error(L, what, code);
    lua_pushboolean(L, 1);
    return 1;
}

/* The descriptor, or HV_ECLOSED. */
static int fd_of(const udp_t *self) {
    return self->io != NULL && !self->is_closed_here ? hio_fd(self->io) : HV_ECLOSED;
}

static int udp_set_broadcast(lua_State *L) {
    int fd = fd_of(check_udp(L));
    int code = fd < 0 ? fd : udp_broadcast(fd, lua_toboolean(L, 2));
    return push_done(L, "set_broadcast", code);
}

/* join_group(group[, interface]) and leave_group: what is no address is misuse. */
static int change_group(lua_State *L, int (*change)(int, const char *, const char *),
                        const char *what) {
    const udp_t *self = check_udp(L);
    const char *group = lua_type(L, 2) == LUA_TSTRING ? lua_tostring(L, 2) : NULL;
    if (group == NULL || !(is_ipv4(group) || is_ipv6(group))) {
        return hvl_misuse(L, "sock:%s: address of a group expected, got %s", what,
                          group ? group : luaL_typename(L, 2));
    }
    const char *interface = luaL_optstring(L, 3, NULL);
    int fd = fd_of(self);
    return push_done(L, what, fd < 0 ? fd : change(fd, group, interface));
}

static int udp_join(lua_State *L) { return change_group(L, udp_join_group, "join_group"); }
static int udp_leave(lua_State *L) { return change_group(L, udp_leave_group, "leave_group"); }

/* set_multicast(ttl, loop, interface): each checked, or nil to keep it. */
static int udp_set_multicast(lua_State *L) {
    int fd = fd_of(check_udp(L));
    if (fd < 0) return hvl_push_error(L, "set_multicast", fd);
    int code = lua_isnil(L, 2) ? 0 : udp_multicast_ttl(fd, (int)lua_tointeger(L, 2));
    if (code == 0 && !lua_isnil(L, 3)) code = udp_multicast_loop(fd, lua_toboolean(L, 3));
    if (code == 0 && !lua_isnil(L, 4)) code = udp_multicast_interface(fd, lua_tostring(L, 4));
    return push_done(L, "set_multicast", code);
}

static int udp_tostring(lua_State *L) {
    udp_t *self = check_udp(L);
    char address[128];
    if (self->io == NULL || self->is_closed_here) {
        lua_pushliteral(L, "hv.udp{closed}");
    } else {
        lua_pushfstring(L, "hv.udp{open %s}",
                        hvl_address_text(hio_localaddr(self->io), address, sizeof address));
    }
    return 1;
}

int hvl_open_udp(lua_State *L) {
    static const luaL_Reg functions[] = {{"open", open_socket}, {NULL, NULL}};
    static const luaL_Reg methods[] = {{"send", udp_send},
                                       {"recv", udp_recv},
                                       {"close", udp_close},
                                       {"drain", udp_drain},
                                       {"count", udp_count},
                                       {"port", udp_port},
                                       {"local_address", udp_local_address},
                                       {"set_broadcast", udp_set_broadcast},
                                       {"join_group", udp_join},
                                       {"leave_group", udp_leave},
                                       {"set_multicast", udp_set_multicast},
                                       {"ref", udp_ref},
                                       {"unref", udp_unref},
                                       {NULL, NULL}};
    static const luaL_Reg metamethods[] = {{"__tostring", udp_tostring}, {NULL, NULL}};
    hvl_t *rt = hvl_self(L);
    lua_newtable(L);
    hvl_setfuncs(L, rt, functions);
    hvl_class_new(L, rt, &udp_class, methods, metamethods);
    lua_setfield(L, -2, "methods");
    return 1;
}
