/* socks5_proxy_server.c - SOCKS version 5 (RFC 1928) with CONNECT and UDP ASSOCIATE, by IPv4, IPv6
 * and names, and with user and password (RFC 1929) where they are asked for.
 *
 *     cc socks5_proxy_server.c -o socks5_proxy_server -lhv
 *     ./socks5_proxy_server 1080
 *     curl --socks5-hostname 127.0.0.1:1080 http://example.org/
 *
 * Each step of the conversation asks for exactly the bytes it needs (hio_readbytes), so no step has
 * to deal with half a message. When the target is connected, hio_forward takes over. */
#include <getopt.h>

#include "tool.h"

#define HANDSHAKE_TIMEOUT_MS 10000
#define ASSOCIATION_IDLE_MS  60000

static const char usage[] =
    "Usage: socks5_proxy_server [options] [host:]port\n"
    "\n"
    "  -u USER -p PASSWORD   serve only who knows them\n"
    "  -v                    print a line for every request\n"
    "  -h, --help            this text\n";

static const char *user, *password;
static int is_verbose;

enum { VERSION = 5, AUTH_VERSION = 1 };
enum { AUTH_NONE = 0, AUTH_PASSWORD = 2, AUTH_REFUSED = 0xFF };
enum { COMMAND_CONNECT = 1, COMMAND_UDP = 3 };
enum { ADDRESS_IPV4 = 1, ADDRESS_NAME = 3, ADDRESS_IPV6 = 4 };
enum {
    REPLY_OK = 0, REPLY_FAILED = 1, REPLY_NETWORK = 3, REPLY_HOST = 4, REPLY_REFUSED = 5,
    REPLY_COMMAND = 7, REPLY_ADDRESS_TYPE = 8,
};

/* What is to be read next. */
typedef enum {
    GREETING, METHODS, USER_LEN, USER_NAME, PASSWORD, REQUEST, NAME_LEN, ADDRESS, BUSY
} step_t;

typedef struct session_s {
    hio_t *io;
    hio_t *upstream;
    hio_t *client_udp; /* towards the client, bound to the address it came to */
    hio_t *target_udp; /* towards targets, IPv4 */
    sockaddr_u udp_client; /* family 0 until the first datagram */
    step_t step;
    int command;
    int address_type;
    int is_user_right;
    int is_answered;
    char host[256];
    int port;
} session_t;

static void read_next(session_t *session, step_t step, unsigned len) {
    session->step = step;
    hio_readbytes(session->io, len);
}

/* ---- Replies ---- */

/* VER REP RSV ATYP BND.ADDR BND.PORT (RFC 1928 section 6). */
static void reply(session_t *session, int code, hio_t *bound) {
    unsigned char out[22] = {VERSION, (unsigned char)code, 0, ADDRESS_IPV4};
    size_t len = 10;
    const sockaddr_u *addr = bound != NULL ? (sockaddr_u *)(void *)hio_localaddr(bound) : NULL;
    if (addr != NULL && addr->sa.sa_family == AF_INET6) {
        out[3] = ADDRESS_IPV6;
        memcpy(out + 4, &addr->sin6.sin6_addr, 16);
        memcpy(out + 20, &addr->sin6.sin6_port, 2);
        len = 22;
    } else if (addr != NULL && addr->sa.sa_family == AF_INET) {
        memcpy(out + 4, &addr->sin.sin_addr, 4);
        memcpy(out + 8, &addr->sin.sin_port, 2);
    }
    session->is_answered = 1;
    hio_write(session->io, out, len);
    if (code != REPLY_OK) hio_close(session->io);
}

static int reply_of(int error) {
    switch (error) {
    case ECONNREFUSED: return REPLY_REFUSED;
    case ENETUNREACH: return REPLY_NETWORK;
    case EHOSTUNREACH:
    case ETIMEDOUT:
    case -HV_ENOTFOUND: return REPLY_HOST;
    default: return REPLY_FAILED;
    }
}

/* ---- CONNECT ---- */

static void on_upstream_close(hio_t *io) {
    session_t *session = hio_context(io);
    if (session == NULL) return; /* the client was first */
    session->upstream = NULL;
    if (!session->is_answered) reply(session, reply_of(hio_error(io)), NULL);
}

static void on_upstream_connect(hio_t *io) {
    session_t *session = hio_context(io);
    hio_set_close_on_reset(session->io, 0);
    reply(session, REPLY_OK, io);
    if (hio_forward(session->io, io) != 0) hio_close(session->io);
}

static void do_connect(session_t *session) {
    hloop_t *loop = hevent_loop(session->io);
    hio_t *io = hloop_create_tcp_client(loop, session->host, session->port, on_upstream_connect,
                                        on_upstream_close);
    if (io == NULL) {
        reply(session, reply_of(-hloop_last_error(loop)), NULL);
        return;
    }
    session->upstream = io;
    session->step = BUSY;
    hio_set_context(io, session);
    /* From here on the client waits for us; that it goes away is seen all the same. */
    hio_set_read_timeout(session->io, 0);
    hio_set_close_on_reset(session->io, 1);
}

/* ---- UDP ASSOCIATE (RFC 1928 section 7) ---- */

/* What a target sends goes to the client behind RSV RSV FRAG ATYP ADDR PORT. */
static void on_target_datagram(hio_t *io, void *buf, int len) {
    session_t *session = hio_context(io);
    const sockaddr_u *from = (sockaddr_u *)(void *)hio_peeraddr(io);
    static unsigned char out[10 + 65536];
    if (session->udp_client.sa.sa_family == 0 || from->sa.sa_family != AF_INET) return;
    memcpy(out, "\0\0\0\1", 4);
    memcpy(out + 4, &from->sin.sin_addr, 4);
    memcpy(out + 8, &from->sin.sin_port, 2);
    memcpy(out + 10, buf, (size_t)len);
    hio_sendto(session->client_udp, out, (size_t)len + 10, &session->udp_client.sa);
}

/* Only the host that has asked for the association may use it. */
static int is_from_client(const session_t *session, const sockaddr_u *from) {
    const sockaddr_u *client = (sockaddr_u *)(void *)hio_peeraddr(session->io);
    char here[SOCKADDR_STRLEN], there[SOCKADDR_STRLEN];
    return strcmp(sockaddr_ip(client, here, sizeof here), sockaddr_ip(from, there, sizeof there)) ==
           0;
}

static void on_client_datagram(hio_t *io, void *buf, int len) {
    session_t *session = hio_context(io);
    const unsigned char *bytes = buf;
    const sockaddr_u *from = (sockaddr_u *)(void *)hio_peeraddr(io);
    if (!is_from_client(session, from)) return;
    /* Pieces of datagrams are not put together, and targets are IPv4 addresses: the rest is
     * dropped, as the RFC allows. */
    if (len < 10 || bytes[2] != 0 || bytes[3] != ADDRESS_IPV4) return;
    session->udp_client = (sockaddr_u){.sa = {0}};
    memcpy(&session->udp_client, from, sockaddr_len(from));
    sockaddr_u to = {.sin = {.sin_family = AF_INET}};
    memcpy(&to.sin.sin_addr, bytes + 4, 4);
    memcpy(&to.sin.sin_port, bytes + 8, 2);
    hio_sendto(session->target_udp, bytes + 10, (size_t)len - 10, &to.sa);
}

static void on_udp_close(hio_t *io) {
    session_t *session = hio_context(io);
    if (session == NULL) return;
    if (session->client_udp == io) session->client_udp = NULL;
    if (session->target_udp == io) session->target_udp = NULL;
    hio_close(session->io);
}

static hio_t *open_udp(session_t *session, const char *host, hread_cb on_read) {
    hio_t *io = hloop_create_udp_server(hevent_loop(session->io), host, 0);
    if (io == NULL) return NULL;
    hio_set_context(io, session);
    hio_setcb_read(io, on_read);
    hio_setcb_close(io, on_udp_close);
    hio_read(io);
    return io;
}

static void on_more_from_client(hio_t *io, void *buf, int len) {
    (void)io; /* the stream only lives as long as the association: its bytes mean nothing */
    (void)buf;
    (void)len;
}

static void do_associate(session_t *session) {
    char ip[SOCKADDR_STRLEN];
    sockaddr_ip((sockaddr_u *)(void *)hio_localaddr(session->io), ip, sizeof ip);
    session->client_udp = open_udp(session, ip, on_client_datagram);
    session->target_udp = open_udp(session, "0.0.0.0", on_target_datagram);
    if (session->client_udp == NULL || session->target_udp == NULL) {
        reply(session, REPLY_FAILED, NULL);
        return;
    }
    hio_set_keepalive_timeout(session->client_udp, ASSOCIATION_IDLE_MS);
    hio_set_read_timeout(session->io, 0);
    reply(session, REPLY_OK, session->client_udp);
    hio_setcb_read(session->io, on_more_from_client);
    hio_read(session->io);
}

/* ---- The steps of the conversation ---- */

static void do_request(session_t *session) {
    if (is_verbose) {
        printf("%u: %s %s:%d\n", hio_id(session->io),
               session->command == COMMAND_CONNECT ? "connect" : "udp", session->host,
               session->port);
    }
    if (session->command == COMMAND_CONNECT) {
        do_connect(session);
    } else {
        do_associate(session);
    }
}

static void on_methods(session_t *session, const unsigned char *bytes, int len) {
    int wanted = user != NULL ? AUTH_PASSWORD : AUTH_NONE;
    int chosen = memchr(bytes, wanted, (size_t)len) != NULL ? wanted : AUTH_REFUSED;
    unsigned char out[2] = {VERSION, (unsigned char)chosen};
    hio_write(session->io, out, 2);
    if (chosen == AUTH_REFUSED) {
        hio_close(session->io);
    } else if (chosen == AUTH_PASSWORD) {
        read_next(session, USER_LEN, 2);
    } else {
        read_next(session, REQUEST, 4);
    }
}

/* Takes the same time wherever the first wrong byte stands. */
static int is_same(const char *wanted, const unsigned char *given, int len) {
    size_t wanted_len = strlen(wanted);
    unsigned difference = wanted_len != (size_t)len;
    for (int i = 0; i < len; i++) {
        difference |=
            (unsigned)given[i] ^ (unsigned char)wanted[wanted_len ? (size_t)i % wanted_len : 0];
    }
    return difference == 0;
}

static void on_password(session_t *session, const unsigned char *bytes, int len) {
    int is_right = is_same(password, bytes, len) & session->is_user_right;
    unsigned char out[2] = {AUTH_VERSION, (unsigned char)!is_right};
    hio_write(session->io, out, 2);
    if (is_right) {
        read_next(session, REQUEST, 4);
    } else {
        hio_close(session->io);
    }
}

static void on_request(session_t *session, const unsigned char *bytes) {
    session->command = bytes[1];
    session->address_type = bytes[3];
    if (bytes[0] != VERSION) {
        hio_close(session->io);
    } else if (session->command != COMMAND_CONNECT && session->command != COMMAND_UDP) {
        reply(session, REPLY_COMMAND, NULL);
    } else if (session->address_type == ADDRESS_IPV4) {
        read_next(session, ADDRESS, 4 + 2);
    } else if (session->address_type == ADDRESS_IPV6) {
        read_next(session, ADDRESS, 16 + 2);
    } else if (session->address_type == ADDRESS_NAME) {
        read_next(session, NAME_LEN, 1);
    } else {
        reply(session, REPLY_ADDRESS_TYPE, NULL);
    }
}

static void on_address(session_t *session, const unsigned char *bytes, int len) {
    int host_len = len - 2;
    if (session->address_type == ADDRESS_NAME) {
        /* A NUL inside would make it another name, and a '/' a unix socket of this host. */
        if (memchr(bytes, '\0', (size_t)host_len) != NULL || bytes[0] == '/' || bytes[0] == '@') {
            reply(session, REPLY_HOST, NULL);
            return;
        }
        memcpy(session->host, bytes, (size_t)host_len);
        session->host[host_len] = '\0';
    } else {
        int family = session->address_type == ADDRESS_IPV4 ? AF_INET : AF_INET6;
        inet_ntop(family, bytes, session->host, sizeof session->host);
    }
    session->port = bytes[host_len] << 8 | bytes[host_len + 1];
    do_request(session);
}

/* A length of zero where something must follow ends the conversation. */
static void read_counted(session_t *session, step_t step, unsigned len, unsigned extra) {
    if (len == 0) {
        hio_close(session->io);
    } else {
        read_next(session, step, len + extra);
    }
}

static void on_read(hio_t *io, void *buf, int len) {
    session_t *session = hio_context(io);
    const unsigned char *bytes = buf;
    switch (session->step) {
    case GREETING: read_counted(session, METHODS, bytes[0] == VERSION ? bytes[1] : 0, 0); break;
    case METHODS: on_methods(session, bytes, len); break;
    case USER_LEN:
        read_counted(session, USER_NAME, bytes[0] == AUTH_VERSION ? bytes[1] : 0, 1);
        break;
    case USER_NAME: /* and the length of the password behind it */
        session->is_user_right = is_same(user, bytes, len - 1);
        read_counted(session, PASSWORD, bytes[len - 1], 0);
        break;
    case PASSWORD: on_password(session, bytes, len); break;
    case REQUEST: on_request(session, bytes); break;
    case NAME_LEN: read_counted(session, ADDRESS, bytes[0], 2); break;
    case ADDRESS: on_address(session, bytes, len); break;
    case BUSY: break;
    }
}

/* ---- Life ---- */

static void drop(hio_t *io) {
    if (io == NULL) return;
    hio_set_context(io, NULL);
    hio_close(io);
}

static void on_close(hio_t *io) {
    session_t *session = hio_context(io);
    drop(session->upstream);
    drop(session->client_udp);
    drop(session->target_udp);
    free(session);
}

static void on_accept(hio_t *io) {
    session_t *session = calloc(1, sizeof *session);
    if (session == NULL) {
        hio_close(io);
        return;
    }
    session->io = io;
    hio_set_context(io, session);
    hio_setcb_close(io, on_close);
    hio_setcb_read(io, on_read);
    hio_set_read_timeout(io, HANDSHAKE_TIMEOUT_MS);
    read_next(session, GREETING, 2);
}

int main(int argc, char **argv) {
    static const struct option names[] = {{"help", no_argument, NULL, 'h'}, {NULL, 0, NULL, 0}};
    for (int option; (option = getopt_long(argc, argv, "u:p:vh", names, NULL)) != -1;) {
        switch (option) {
        case 'u': user = optarg; break;
        case 'p': password = optarg; break;
        case 'v': is_verbose = 1; break;
        case 'h': fputs(usage, stdout); return 0;
        default: fputs(usage, stderr); return 2;
        }
    }
    if (argc - optind != 1) {
        fputs(usage, stderr);
        return 2;
    }
    if ((user == NULL) != (password == NULL)) die(2, "-u and -p go together");
    setvbuf(stdout, NULL, _IOLBF, 0);
    const char *host;
    int port = parse_target(argv[optind], "127.0.0.1", &host);
    hloop_t *loop = new_tool_loop();
    hio_t *listener = hloop_create_tcp_server(loop, host, port, on_accept);
    if (listener == NULL) die(1, "%s:%d: %s", host, port, herr_text(hloop_last_error(loop)));
    print_listening(stdout, listener);
    hloop_run(loop);
    hloop_free(&loop);
    return 0;
}
