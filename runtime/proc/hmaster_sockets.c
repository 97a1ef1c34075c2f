/* hmaster_sockets.c - sockets that workers ask for while they run (hworker_listen): the master
 * opens each once and hands copies of the descriptor to whoever asks for the same address
 * (SCM_RIGHTS, unix(7)). It is the master that keeps the socket, so a queue of connections outlives
 * the workers that crash or are replaced.
 *
 * A request names the address as the program wrote it; two that are written differently are two
 * sockets, of which the second fails as it would without a master. Port 0 is a free port: the n-th
 * that a worker asks for is the n-th of all workers. */
#include "hmaster_int.h"

#include "hassert.h"
#include "hlog.h"
#include "hsocket.h"

#include <sys/stat.h>

/* The path of a unix socket's file, or NULL. */
static const char *path_of(int fd, sockaddr_u *addr) {
    socklen_t len = sizeof(*addr);
    memset(addr, 0, sizeof(*addr));
    if (getsockname(fd, &addr->sa, &len) != 0 || addr->sa.sa_family != AF_UNIX) return NULL;
    return addr->sun.sun_path[0] == '/' ? addr->sun.sun_path : NULL;
}

hv__file_id_t hv__master_file_of(int fd) {
    sockaddr_u addr;
    struct stat facts;
    const char *path = path_of(fd, &addr);
    if (path == NULL || lstat(path, &facts) != 0) return (hv__file_id_t){0, 0};
    return (hv__file_id_t){facts.st_dev, facts.st_ino};
}

/* The number of a file is nobody else's while a socket is bound to it, also without its name. */
void hv__master_close_socket(int fd, hv__file_id_t file) {
    sockaddr_u addr;
    const char *path = path_of(fd, &addr);
    hv__file_id_t now = hv__master_file_of(fd);
    bool is_ours = file.inode != 0 && now.inode == file.inode && now.device == file.device;
    if (path != NULL && is_ours) unlink(path);
    close(fd);
}

void hv__master_sweep_sockets(hmaster_t *master, bool all) {
    uint64_t wanted = 0;
    for (int i = 0; !all && i < master->child_count; i++) wanted |= master->children[i].sockets;
    for (int i = 0; i < HMASTER_SOCKETS_MAX; i++) {
        hv__socket_t *shared = &master->sockets[i];
        if (shared->fd < 0 || wanted & (uint64_t)1 << i) continue;
        hv__master_close_socket(shared->fd, shared->file);
        shared->fd = -1;
    }
}

static bool is_same(const hworker_ask_t *a, const hworker_ask_t *b) {
    int kind = HWORKER_LISTEN_DATAGRAM;
    return a->port == b->port && a->ordinal == b->ordinal &&
           (a->flags & kind) == (b->flags & kind) && strcmp(a->host, b->host) == 0;
}

/* The number of the socket, opened if need be, or a negative code. */
static int find_or_open(hmaster_t *master, const hworker_ask_t *ask) {
    int free_number = HV_ELIMIT;
    for (int i = HMASTER_SOCKETS_MAX - 1; i >= 0; i--) {
        hv__socket_t *shared = &master->sockets[i];
        if (shared->fd >= 0 && is_same(&shared->key, ask)) return i;
        if (shared->fd < 0) free_number = i;
    }
    if (master->state == MASTER_STOPPING) return HV_ECANCELED;
    if (free_number < 0) return free_number;
    int fd = hv__worker_open_socket(ask);
    if (fd < 0) return fd;
    master->sockets[free_number] =
        (hv__socket_t){.fd = fd, .file = hv__master_file_of(fd), .key = *ask};
    return free_number;
}

static void answer(const hv__child_t *child, uint32_t serial, int code, int fd) {
    hworker_answer_t text = {.serial = serial, .code = code};
    struct iovec part = {.iov_base = &text, .iov_len = sizeof(text)};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
    union {
        struct cmsghdr header; /* for its alignment */
        char bytes[CMSG_SPACE(sizeof(int))];
    } control;
    memset(&control, 0, sizeof(control));
    if (fd >= 0) {
        message.msg_control = control.bytes;
        message.msg_controllen = sizeof(control.bytes);
        struct cmsghdr *rights = CMSG_FIRSTHDR(&message);
        rights->cmsg_level = SOL_SOCKET;
        rights->cmsg_type = SCM_RIGHTS;
        rights->cmsg_len = CMSG_LEN(sizeof(int));
        memcpy(CMSG_DATA(rights), &fd, sizeof(int));
    }
    if (sendmsg(child->ask_fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT) < 0) {
        hlogw("workers[%d] cannot be answered: %s", child->slot, herr_text(errno));
    }
}

void hv__child_answer(hmaster_t *master, hv__child_t *child) {
    if (child->ask_fd < 0) return;
    hworker_ask_t ask;
    ssize_t bytes = recv(child->ask_fd, &ask, sizeof(ask), 0);
    if (bytes < 0 && (errno == EAGAIN || errno == EINTR)) return;
    bool is_whole = bytes == (ssize_t)sizeof(ask) && memchr(ask.host, 0, sizeof(ask.host)) != NULL;
    if (!is_whole) {
        close(child->ask_fd);
        child->ask_fd = -1;
        return;
    }
    int number = find_or_open(master, &ask);
    if (number < 0) {
        answer(child, ask.serial, number, -1);
        return;
    }
    child->sockets |= (uint64_t)1 << number;
    answer(child, ask.serial, 0, master->sockets[number].fd);
}
