/* private.c - what only the user who runs the program may see: the history of the prompt, the
 * folder of the admin socket, and who is at the other end of that socket. Small and local, so it
 * blocks. */
#include <errno.h>
#include <poll.h>
#include <sys/stat.h>

#include "conn.h"

/* Writes all of it, with mode 0600 from the beginning. Links are not followed. */
static int write_private(const char *path, int flags, const char *data, size_t len) {
    int fd = open(path, O_WRONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC | flags, 0600);
    if (fd < 0) return -errno;
    struct stat info;
    int code = 0;
    if (fstat(fd, &info) == 0 && S_ISREG(info.st_mode) && (info.st_mode & 077) != 0) {
        fchmod(fd, 0600); /* made by somebody who was less careful */
    }
    while (len > 0 && code == 0) {
        ssize_t count = write(fd, data, len);
        if (count >= 0) {
            data += count;
            len -= (size_t)count;
        } else if (errno != EINTR) {
            code = -errno;
        }
    }
    if (close(fd) != 0 && code == 0) code = -errno;
    return code;
}

static int finish(lua_State *L, const char *path, int code) {
    if (code != 0) return hvl_push_error(L, path, code);
    lua_pushboolean(L, 1);
    return 1;
}

/* append(path, data) -> true, or nil, message, code */
static int append(lua_State *L) {
    size_t len;
    const char *path = luaL_checkstring(L, 1);
    const char *data = luaL_checklstring(L, 2, &len);
    return finish(L, path, write_private(path, O_APPEND, data, len));
}

/* replace(path, data): whole or not at all. */
static int replace(lua_State *L) {
    size_t len;
    const char *path = luaL_checkstring(L, 1);
    const char *data = luaL_checklstring(L, 2, &len);
    lua_pushfstring(L, "%s.%d~", path, (int)getpid());
    const char *new_path = lua_tostring(L, -1);
    int code = write_private(new_path, O_EXCL, data, len);
    if (code == 0 && rename(new_path, path) != 0) code = -errno;
    if (code != 0) unlink(new_path);
    return finish(L, path, code);
}

/* directory(path): makes it where it is missing. Returns true where it is a folder of our own that
 * nobody else may enter. */
static int directory(lua_State *L) {
    const char *path = luaL_checkstring(L, 1);
    struct stat info;
    if (mkdir(path, 0700) != 0 && errno != EEXIST) return finish(L, path, -errno);
    if (lstat(path, &info) != 0) return finish(L, path, -errno);
    int is_ours = S_ISDIR(info.st_mode) && info.st_uid == geteuid() && (info.st_mode & 077) == 0;
    return finish(L, path, is_ours ? 0 : -EACCES);
}

/* umask(bits) -> what it was before */
static int set_umask(lua_State *L) {
    lua_pushinteger(L, (lua_Integer)umask((mode_t)hvl_check_integer(L, 1, "umask", 0, 0777)));
    return 1;
}

/* peer_uid(conn) -> the user whose process is at the other end of a unix socket, and our own */
static int peer_uid(lua_State *L) {
    hvl_conn_t *conn = hvl_check(L, 1, &hvl_conn_class);
    struct ucred peer;
    socklen_t len = sizeof peer;
    if (conn->io == NULL) return hvl_push_error(L, "peer", HV_ECLOSED);
    if (getsockopt(hio_fd(conn->io), SOL_SOCKET, SO_PEERCRED, &peer, &len) != 0) {
        return hvl_push_error(L, "peer", -errno);
    }
    lua_pushnumber(L, peer.uid);
    lua_pushnumber(L, geteuid());
    return 2;
}

/* is_gone(conn) -> whether nobody is at the other end any more, neither to write nor to read */
static int is_gone(lua_State *L) {
    hvl_conn_t *conn = hvl_check(L, 1, &hvl_conn_class);
    struct pollfd look = {.fd = conn->io != NULL ? hio_fd(conn->io) : -1};
    lua_pushboolean(L, look.fd < 0 || (poll(&look, 1, 0) > 0 && (look.revents & POLLHUP) != 0));
    return 1;
}

/* identity() -> the process's number, and the user's */
static int identity(lua_State *L) {
    lua_pushinteger(L, getpid());
    lua_pushnumber(L, geteuid());
    return 2;
}

/* absolute(path) -> the path from the root, or nil, message, code */
static int absolute(lua_State *L) {
    const char *path = luaL_checkstring(L, 1);
    char folder[MAX_PATH];
    if (*path == '/') {
        lua_pushstring(L, path);
    } else {
        if (getcwd(folder, sizeof folder) == NULL) return hvl_push_error(L, path, -errno);
        lua_pushfstring(L, "%s/%s", folder, path);
    }
    return 1;
}

int hvl_open_private(lua_State *L) {
    static const luaL_Reg functions[] = {
        {"append", append},     {"replace", replace},   {"directory", directory},
        {"umask", set_umask},   {"peer_uid", peer_uid}, {"identity", identity},
        {"absolute", absolute}, {"is_gone", is_gone},   {NULL, NULL}};
    lua_newtable(L);
    hvl_setfuncs(L, hvl_self(L), functions);
    return 1;
}
