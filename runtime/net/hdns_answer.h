/* hdns_answer.h - answers of the name system: built once, then shared by the queries and the
 * cache that hold them; and the reader of DNS messages. Pure: no loop, no socket. */
#ifndef HV_DNS_ANSWER_H_
#define HV_DNS_ANSWER_H_

#include "hdns.h"

typedef struct hdns_answer_s {
    uint32_t refs;
    uint32_t ttl; /* the least of all records, aliases included; 0 for a local answer */
    size_t count;
    size_t cap;
    hdns_entry_t *entries; /* every text is a block of its own */
} hdns_answer_t;

/* An empty answer with one reference, or NULL. */
hdns_answer_t *hdns_answer_new(void);
void hdns_answer_ref(hdns_answer_t *answer);
/* Drops a reference, the memory with the last one; NULL is allowed. */
void hdns_answer_unref(hdns_answer_t *answer);

/* Adds a record with a copy of its text. The entry stays the caller's to fill in further until the
 * next call. Returns it in *entry and 0; HV_ENOMEM, HV_ELIMIT. */
int hdns_answer_add(hdns_answer_t *answer, hdns_type_e type, uint32_t ttl, const char *text,
                    size_t text_len, hdns_entry_t **entry);
/* Adds an address: a sockaddr_in or sockaddr_in6, its port ignored. Other families are left out.
 * Returns 0 or a code. */
int hdns_answer_add_address(hdns_answer_t *answer, uint32_t ttl, const struct sockaddr *addr);

/* Reads a literal address, an IPv6 one with or without brackets. Returns whether it is one. */
int hdns_literal(const char *text, hdns_addr_t *addr);
/* Bytes of an address. */
socklen_t hdns_addr_len(const hdns_addr_t *addr);

/* Adds the records of type `wanted` in the answer section of a DNS message, whoever owns them, and
 * counts the ttl of the aliases before them. Sorted by priority.
 * Returns 0, also where there are none; HV_EPROTO for a message that breaks RFC 1035 4.1,
 * HV_ENOMEM, HV_ELIMIT; what was added by then stays. */
int hdns_answer_read(hdns_answer_t *answer, hdns_type_e wanted, const uint8_t *message, size_t len);

#endif
