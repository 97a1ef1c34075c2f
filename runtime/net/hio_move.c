/* hio_move.c - an io leaves its loop (hio_detach) and joins another (hio_attach), with what it has
 * read and not delivered, and written and not sent.
 *
 * Between the two it belongs to no loop: io_loop is NULL, the backend does not know it, none of its
 * timers runs. A callback of the io may detach it; from then on net->current is not the io any
 * more, which is how everything on the stack learns not to touch it again. */
#include "hnet_int.h"

/* Ends the callback that the io is in, as far as the loop is concerned. */
static void leave_for_good(hnet_t *net, hio_t *io) {
    if (io->flags & HIO_FLAG_LAYERED && io->state != HIO_DEAD) {
        io->ext->layer->flush(io);
        io->ext->layer->keep(io);
    }
    if (net->cork_len > 0) hv__io_flush_cork(io, 0);
    if (net->nul_at != NULL) *net->nul_at = net->nul_kept;
    net->nul_at = NULL;
    if (net->rest_len > 0) {
        int code = hbuf_append(&io->kept, net->rest, net->rest_len, KEPT_BYTES_MAX);
        if (code != 0) hv__io_fail(io, code);
    }
    net->rest_len = 0;
    net->current = NULL;
}

/* An io that has failed already goes along as well: its new loop then calls the close callback. */
void hio_detach(hio_t *io) {
    hloop_t *loop = io_loop(io);
    HV_ASSERT(loop != NULL);
    hnet_t *net = loop->net;
    HV_ASSERT(!(io->flags & HIO_FLAG_VIRTUAL));
    HV_ASSERT(hv__watcher_find(loop, io_fd(io)) == &io->watcher); /* not in its close callback */
    if (io->ext != NULL) hv__forward_cut(io);
    hv__io_leave_owner(io, 1);
    if (net->current == io) leave_for_good(net, io);
    hv__io_stop_work(io);
    hv__io_leave_lists(io);
    hv__unpend(loop, &io->watcher.node);
    hv__watcher_remove(&io->watcher, 1);
    hv__event_deactivate(&io->watcher.node.ev);
    loop->io_count--;
    io->watcher.node.ev.loop = NULL;
}

/* Stamps of one loop mean nothing in another. */
static void stamp_all(hio_t *io) {
    uint32_t now_ms = hv__loop_stamp_ms(io_loop(io));
    io->last_read_ms = io->last_write_ms = now_ms;
    if (io->ext == NULL) return;
    io->ext->state_stamp_ms = io->ext->heartbeat_stamp_ms = io->ext->read_stamp_ms = now_ms;
}

void hio_attach(hloop_t *loop, hio_t *io) {
    HV_ASSERT(io_loop(io) == NULL);
    if (hv__net_of(loop) == NULL) {
        hio_close(io); /* last_error tells; there is nothing that could call back */
        return;
    }
    if (!loop->is_running) hloop_update_time(loop);
    io->watcher.node.ev.loop = loop;
    io->watcher.node.ev.event_id = loop->next_event_id++;
    io->watcher.ready = 0;
    loop->io_count++;
    hv__event_activate(&io->watcher.node.ev);
    int code = hv__watcher_add(loop, &io->watcher);
    if (code != 0 && io->error == 0) io->error = -code;
    if (code != 0) io->state = HIO_DEAD;
    if (io->state == HIO_DEAD) {
        hlist_push(&io_net(io)->closing, &io->closing_link);
        return;
    }
    stamp_all(io);
    io->flags &= ~(uint32_t)(HIO_FLAG_HANGUP | HIO_FLAG_DRAINING);
    int is_owed = io->flags & HIO_FLAG_WAS_HIGH || (io->ext && io->ext->unreported_bytes > 0);
    if (hv__io_has_unsent(io) || is_owed) hv__io_mark_dirty(io);
    hv__io_timeouts_changed(io);
    if (io->state == HIO_CONNECTING) {
        hv__tcp_connect_later(io);
    } else if (io->flags & HIO_FLAG_READING) {
        hio_read(io);
    } else {
        hv__io_update_interest(io);
    }
}
