/* handle.c - see handle.h. */
#include "handle.h"

hvl_task_t *hvl_handle_begin(hvl_handle_t *self, int ref, hvl_finish_cb on_finish) {
    hvl_task_t *task = hvl_task_begin_ref(self->object.rt, ref);
    if (task == NULL) return NULL;
    hvl_push(task->co, self);
    task->on_finish = on_finish;
    task->userdata[0] = self;
    self->busy++;
    return task;
}

void hvl_handle_run(hvl_handle_t *self, hvl_task_t *task, int nargs) {
    if (hvl_task_run(task, nargs) != HVL_WAITING || self->is_kept_paused) return;
    self->is_paused = 1;
    if (self->io != NULL) hio_read_stop(self->io);
}

void hvl_handle_resume(hvl_handle_t *self) {
    if (!self->is_paused || self->is_kept_paused) return;
    if (self->io == NULL || self->is_closed_here) return;
    self->is_paused = 0;
    hio_read(self->io);
}

void hvl_handle_release(hvl_handle_t *self) {
    if (self->io == NULL && self->busy == 0) hvl_unanchor(self);
}

void hvl_handle_leave(hvl_handle_t *self) {
    self->busy--;
    hvl_handle_release(self);
}

int hvl_io_set_reference(lua_State *L, hio_t *io, int is_referenced) {
    if (io != NULL && is_referenced) hevent_ref(io);
    if (io != NULL && !is_referenced) hevent_unref(io);
    lua_settop(L, 1);
    return 1;
}

int hvl_io_push_local(lua_State *L, hio_t *io, const char *what) {
    if (io == NULL) return hvl_push_error(L, what, HV_ECLOSED);
    hvl_push_address(L, hio_localaddr(io));
    return 1;
}

int hvl_io_push_fd(lua_State *L, hio_t *io) {
    if (io == NULL) return hvl_push_error(L, "fd", HV_ECLOSED);
    lua_pushinteger(L, hio_fd(io));
    return 1;
}

int hvl_io_push_port(lua_State *L, hio_t *io) {
    int count = hvl_io_push_local(L, io, "port");
    if (count == 1) lua_getfield(L, -1, "port");
    return count;
}
