/* certs.h - certificates for tests, made anew in a scratch folder: nothing secret or expiring lies
 * in the repository. */
#ifndef SPEC_CERTS_H_
#define SPEC_CERTS_H_

typedef struct certs_s {
    char dir[64];
    char ca[96];         /* the root that signs the others */
    char server[96];     /* localhost, 127.0.0.1 */
    char server_key[96];
    char other[96];      /* other.example */
    char other_key[96];
    char client[96];
    char client_key[96];
    char stranger[96];   /* localhost, but signed by itself */
    char stranger_key[96];
} certs_t;

extern certs_t certs;

/* Fixtures of cmocka, for a group or a test. The first fails the test where OpenSSL does. */
int certs_make(void **state);
int certs_remove(void **state);

#endif
