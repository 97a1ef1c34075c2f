/* hdef.h - the few macros every public header needs: export marks, forever, path sizes, and the
 * system headers that programs expect to have after including hloop.h. */
#ifndef HV_DEF_H_
#define HV_DEF_H_

#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/un.h>
#include <unistd.h>

#ifdef __cplusplus
#define HV_BEGIN_DECLS extern "C" {
#define HV_END_DECLS   }
#else
#define HV_BEGIN_DECLS
#define HV_END_DECLS
#endif

#define HV_EXPORT __attribute__((visibility("default")))

/* Checks the arguments of a printf-like function. */
#define HV_PRINTF_LIKE(format_arg, first_arg) \
    __attribute__((format(printf, format_arg, first_arg)))

/* Forever, where a repeat count or a time in milliseconds is asked for. */
#ifndef INFINITE
#define INFINITE ((uint32_t)-1)
#endif

#ifndef MAX_PATH
#define MAX_PATH 260
#endif

#ifndef INVALID_SOCKET
#define INVALID_SOCKET (-1)
#endif

#ifndef ARRAY_SIZE
#define ARRAY_SIZE(array) (sizeof(array) / sizeof((array)[0]))
#endif

#endif
