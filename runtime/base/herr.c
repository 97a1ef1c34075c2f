/* herr.c - names and words of error codes.
 *
 * One table for the kernel's codes, indexed by errno, and one for our own, counted from
 * HV_OWN_FIRST. The words are ours: strerror is neither thread-safe nor lower-case, and depends on
 * the locale. A code without an entry is "EUNKNOWN". */
#include "herr.h"

#include "hassert.h"

typedef struct entry_s {
    const char *name;
    const char *text;
} entry_t;

#define HV_OWN_FIRST 10001

#define ENTRY(code, words) [code] = {#code, words}

static const entry_t of_kernel[] = {
    [0] = {"OK", "success"},
    ENTRY(EPERM, "operation not permitted"),
    ENTRY(ENOENT, "no such file or directory"),
    ENTRY(ESRCH, "no such process"),
    ENTRY(EINTR, "interrupted by a signal"),
    ENTRY(EIO, "input or output error"),
    ENTRY(ENXIO, "no such device or address"),
    ENTRY(E2BIG, "argument list too long"),
    ENTRY(ENOEXEC, "not an executable format"),
    ENTRY(EBADF, "bad file descriptor"),
    ENTRY(ECHILD, "no child processes"),
    ENTRY(EAGAIN, "not ready, try again"),
    ENTRY(ENOMEM, "out of memory"),
    ENTRY(EACCES, "permission denied"),
    ENTRY(EFAULT, "bad address"),
    ENTRY(ENOTBLK, "not a block device"),
    ENTRY(EBUSY, "busy"),
    ENTRY(EEXIST, "already exists"),
    ENTRY(EXDEV, "link across devices"),
    ENTRY(ENODEV, "no such device"),
    ENTRY(ENOTDIR, "not a directory"),
    ENTRY(EISDIR, "is a directory"),
    ENTRY(EINVAL, "invalid argument"),
    ENTRY(ENFILE, "too many open files in the system"),
    ENTRY(EMFILE, "too many open files"),
    ENTRY(ENOTTY, "not a terminal"),
    ENTRY(ETXTBSY, "program file is busy"),
    ENTRY(EFBIG, "file too large"),
    ENTRY(ENOSPC, "no space left on device"),
    ENTRY(ESPIPE, "cannot seek"),
    ENTRY(EROFS, "read-only file system"),
    ENTRY(EMLINK, "too many links"),
    ENTRY(EPIPE, "broken pipe"),
    ENTRY(EDOM, "argument out of domain"),
    ENTRY(ERANGE, "result out of range"),
    ENTRY(EDEADLK, "deadlock avoided"),
    ENTRY(ENAMETOOLONG, "file name too long"),
    ENTRY(ENOLCK, "no locks available"),
    ENTRY(ENOSYS, "not implemented"),
    ENTRY(ENOTEMPTY, "directory not empty"),
    ENTRY(ELOOP, "too many symbolic links"),
    ENTRY(ENOMSG, "no message of that type"),
    ENTRY(EIDRM, "identifier removed"),
    ENTRY(ECHRNG, "channel number out of range"),
    ENTRY(EL2NSYNC, "level 2 not synchronized"),
    ENTRY(EL3HLT, "level 3 halted"),
    ENTRY(EL3RST, "level 3 reset"),
    ENTRY(ELNRNG, "link number out of range"),
    ENTRY(EUNATCH, "protocol driver not attached"),
    ENTRY(ENOCSI, "no such structure"),
    ENTRY(EL2HLT, "level 2 halted"),
    ENTRY(EBADE, "invalid exchange"),
    ENTRY(EBADR, "invalid request descriptor"),
    ENTRY(EXFULL, "exchange full"),
    ENTRY(ENOANO, "no anode"),
    ENTRY(EBADRQC, "invalid request code"),
    ENTRY(EBADSLT, "invalid slot"),
    ENTRY(EBFONT, "bad font file"),
    ENTRY(ENOSTR, "not a stream"),
    ENTRY(ENODATA, "no data available"),
    ENTRY(ETIME, "timer expired"),
    ENTRY(ENOSR, "out of stream resources"),
    ENTRY(ENONET, "not on a network"),
    ENTRY(ENOPKG, "package not installed"),
    ENTRY(EREMOTE, "object is remote"),
    ENTRY(ENOLINK, "link severed"),
    ENTRY(EADV, "advertise error"),
    ENTRY(ESRMNT, "mount error"),
    ENTRY(ECOMM, "communication error on send"),
    ENTRY(EPROTO, "protocol error"),
    ENTRY(EMULTIHOP, "multiple hops attempted"),
    ENTRY(EDOTDOT, "remote mount error"),
    ENTRY(EBADMSG, "bad message"),
    ENTRY(EOVERFLOW, "value too large for its type"),
    ENTRY(ENOTUNIQ, "name not unique on the network"),
    ENTRY(EBADFD, "descriptor in a bad state"),
    ENTRY(EREMCHG, "remote address changed"),
    ENTRY(ELIBACC, "cannot reach a shared library"),
    ENTRY(ELIBBAD, "damaged shared library"),
    ENTRY(ELIBSCN, "damaged section of a shared library"),
    ENTRY(ELIBMAX, "too many shared libraries"),
    ENTRY(ELIBEXEC, "cannot execute a shared library"),
    ENTRY(EILSEQ, "invalid byte sequence"),
    ENTRY(ERESTART, "interrupted call must be restarted"),
    ENTRY(ESTRPIPE, "stream pipe error"),
    ENTRY(EUSERS, "too many users"),
    ENTRY(ENOTSOCK, "not a socket"),
    ENTRY(EDESTADDRREQ, "destination address required"),
    ENTRY(EMSGSIZE, "message too long"),
    ENTRY(EPROTOTYPE, "wrong protocol for the socket"),
    ENTRY(ENOPROTOOPT, "no such socket option"),
    ENTRY(EPROTONOSUPPORT, "protocol not supported"),
    ENTRY(ESOCKTNOSUPPORT, "socket type not supported"),
    ENTRY(EOPNOTSUPP, "operation not supported"),
    ENTRY(EPFNOSUPPORT, "protocol family not supported"),
    ENTRY(EAFNOSUPPORT, "address family not supported"),
    ENTRY(EADDRINUSE, "address already in use"),
    ENTRY(EADDRNOTAVAIL, "address not available"),
    ENTRY(ENETDOWN, "network is down"),
    ENTRY(ENETUNREACH, "network is unreachable"),
    ENTRY(ENETRESET, "connection dropped by the network"),
    ENTRY(ECONNABORTED, "connection aborted"),
    ENTRY(ECONNRESET, "connection reset by peer"),
    ENTRY(ENOBUFS, "no buffer space left"),
    ENTRY(EISCONN, "already connected"),
    ENTRY(ENOTCONN, "not connected"),
    ENTRY(ESHUTDOWN, "sending side was shut down"),
    ENTRY(ETOOMANYREFS, "too many references"),
    ENTRY(ETIMEDOUT, "timed out"),
    ENTRY(ECONNREFUSED, "connection refused"),
    ENTRY(EHOSTDOWN, "host is down"),
    ENTRY(EHOSTUNREACH, "no route to host"),
    ENTRY(EALREADY, "already in progress"),
    ENTRY(EINPROGRESS, "in progress"),
    ENTRY(ESTALE, "stale file handle"),
    ENTRY(EUCLEAN, "structure needs cleaning"),
    ENTRY(ENOTNAM, "not a named type file"),
    ENTRY(ENAVAIL, "no semaphores available"),
    ENTRY(EISNAM, "is a named type file"),
    ENTRY(EREMOTEIO, "remote input or output error"),
    ENTRY(EDQUOT, "disk quota exceeded"),
    ENTRY(ENOMEDIUM, "no medium found"),
    ENTRY(EMEDIUMTYPE, "wrong medium type"),
    ENTRY(ECANCELED, "canceled"),
    ENTRY(ENOKEY, "key not available"),
    ENTRY(EKEYEXPIRED, "key has expired"),
    ENTRY(EKEYREVOKED, "key has been revoked"),
    ENTRY(EKEYREJECTED, "key was rejected"),
    ENTRY(EOWNERDEAD, "owner of the lock died"),
    ENTRY(ENOTRECOVERABLE, "state not recoverable"),
    ENTRY(ERFKILL, "radio is switched off"),
    ENTRY(EHWPOISON, "damaged memory page"),
};

#define OWN_ENTRY(code, words) [-HV_##code - HV_OWN_FIRST] = {#code, words}

static const entry_t of_our_own[] = {
    OWN_ENTRY(EOF, "end of stream"),
    OWN_ENTRY(ECLOSED, "closed"),
    OWN_ENTRY(ELIMIT, "limit exceeded"),
    OWN_ENTRY(ETLS, "tls failure"),
    OWN_ENTRY(ENOTFOUND, "not found"),
    OWN_ENTRY(EFAILED, "failed"),
};

_Static_assert(HV_OWN_FIRST == -HV_EOF, "our own codes are counted from HV_EOF");

static const entry_t *find(int code) {
    static const entry_t unknown = {"EUNKNOWN", "unknown error"};
    unsigned int number = code < 0 ? 0u - (unsigned int)code : (unsigned int)code;
    const entry_t *entry = &unknown;
    if (number < ARRAY_SIZE(of_kernel)) {
        entry = &of_kernel[number];
    } else if (number - HV_OWN_FIRST < ARRAY_SIZE(of_our_own)) {
        entry = &of_our_own[number - HV_OWN_FIRST];
    }
    return entry->name != NULL ? entry : &unknown;
}

const char *herr_name(int code) {
    return find(code)->name;
}

const char *herr_text(int code) {
    return find(code)->text;
}
