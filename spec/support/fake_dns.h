/* fake_dns.h - a name server for tests, on the test's own loop and on a free port of 127.0.0.1, by
 * UDP and TCP. It answers by rules, one for each name and type; a name without any is NXDOMAIN, a
 * name with rules for other types only has no such record. */
#ifndef FAKE_DNS_H_
#define FAKE_DNS_H_

#include "hdns.h"
#include "hloop.h"

typedef enum {
    FAKE_DNS_ANSWER,
    FAKE_DNS_NXDOMAIN,
    FAKE_DNS_SERVFAIL,
    FAKE_DNS_SILENT,    /* never answers */
    FAKE_DNS_TRUNCATED, /* by UDP nothing but the flag; the answer by TCP */
    FAKE_DNS_GARBAGE,   /* bytes that are no answer, with the right id */
    FAKE_DNS_CUT,       /* the answer without its last byte */
    FAKE_DNS_WRONG_ID,  /* another id first, with an answer that is not true, then the right one */
} fake_dns_mode_e;

typedef struct fake_dns_s fake_dns_t;

fake_dns_t *fake_dns_open(hloop_t *loop);
/* After the loop is gone: frees what the server itself holds. */
void fake_dns_free(fake_dns_t *dns);
/* Points the resolver of the loop to the server: no search list, one round. */
void fake_dns_use(fake_dns_t *dns, hloop_t *loop, uint32_t attempt_timeout_ms);
int fake_dns_port(const fake_dns_t *dns);

/* How questions for that name and type are answered, and how late (by UDP); -1: a pass later. */
void fake_dns_rule(fake_dns_t *dns, const char *name, hdns_type_e type, fake_dns_mode_e mode,
                   int delay_ms);
/* Adds a record to an answer; makes the rule where there is none. After a CNAME the records are
 * those of its target.
 *   value  A, AAAA: a literal; CNAME, NS, PTR: a name; MX "10 name"; SRV "1 2 80 name"; TXT:
 *          bytes */
void fake_dns_record(fake_dns_t *dns, const char *name, hdns_type_e type, hdns_type_e record_type,
                     unsigned ttl, const char *value);

/* Questions that have come, in all and by TCP. */
int fake_dns_questions(const fake_dns_t *dns);
int fake_dns_tcp_questions(const fake_dns_t *dns);

#endif
