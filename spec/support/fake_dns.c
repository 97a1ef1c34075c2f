/* fake_dns.c - see fake_dns.h. A record belongs to the name that was asked for, by a pointer to the
 * question (0xC00C), or, behind an alias, to what that stands for. */
#include "fake_dns.h"

#include <stdio.h>
#include <stdlib.h>

#define RULES_MAX   64
#define MESSAGE_MAX 8192

typedef struct rule_s {
    char name[256];
    hdns_type_e type;
    fake_dns_mode_e mode;
    int delay_ms;
    int record_count;
    char owner[256]; /* of the next record; "" for the question's name */
    size_t record_bytes;
    unsigned char records[6000]; /* as they stand in the message */
} rule_t;

typedef struct late_s late_t;

struct fake_dns_s {
    hloop_t *loop;
    late_t *lates;
    hio_t *udp;
    int port;
    int questions;
    int tcp_questions;
    int rule_count;
    rule_t rules[RULES_MAX];
};

/* An answer that is sent later. */
struct late_s {
    late_t *next;
    fake_dns_t *dns;
    struct sockaddr_in peer;
    size_t len;
    unsigned char message[MESSAGE_MAX];
};

/* ---- Rules ---- */

static rule_t *find_rule(fake_dns_t *dns, const char *name, int type, int any_type) {
    for (int i = 0; i < dns->rule_count; i++) {
        rule_t *rule = &dns->rules[i];
        if (strcasecmp(rule->name, name) == 0 && (any_type || (int)rule->type == type)) return rule;
    }
    return NULL;
}

static rule_t *rule_of(fake_dns_t *dns, const char *name, hdns_type_e type) {
    rule_t *rule = find_rule(dns, name, (int)type, 0);
    if (rule != NULL) return rule;
    if (dns->rule_count == RULES_MAX) abort();
    rule = &dns->rules[dns->rule_count++];
    snprintf(rule->name, sizeof rule->name, "%s", name);
    rule->type = type;
    return rule;
}

void fake_dns_rule(fake_dns_t *dns, const char *name, hdns_type_e type, fake_dns_mode_e mode,
                   int delay_ms) {
    rule_t *rule = rule_of(dns, name, type);
    rule->mode = mode;
    rule->delay_ms = delay_ms;
}

static unsigned char *put16(unsigned char *at, unsigned value) {
    *at++ = (unsigned char)(value >> 8);
    *at++ = (unsigned char)value;
    return at;
}

static unsigned char *put_name(unsigned char *at, const char *name) {
    while (*name != '\0') {
        size_t len = strcspn(name, ".");
        *at++ = (unsigned char)len;
        memcpy(at, name, len);
        at += len;
        name += len + (name[len] == '.');
    }
    *at++ = 0;
    return at;
}

static unsigned char *put_value(unsigned char *at, hdns_type_e type, const char *value) {
    unsigned a = 0, b = 0, c = 0;
    int skipped = 0;
    size_t len = strlen(value);
    switch (type) {
    case HDNS_A: inet_pton(AF_INET, value, at); return at + 4;
    case HDNS_AAAA: inet_pton(AF_INET6, value, at); return at + 16;
    case HDNS_MX:
        sscanf(value, "%u %n", &a, &skipped);
        return put_name(put16(at, a), value + skipped);
    case HDNS_SRV:
        sscanf(value, "%u %u %u %n", &a, &b, &c, &skipped);
        return put_name(put16(put16(put16(at, a), b), c), value + skipped);
    case HDNS_TXT:
        do {
            size_t part = len < 255 ? len : 255;
            *at++ = (unsigned char)part;
            memcpy(at, value, part);
            at += part;
            value += part;
            len -= part;
        } while (len > 0);
        return at;
    default: return put_name(at, value);
    }
}

void fake_dns_record(fake_dns_t *dns, const char *name, hdns_type_e type, hdns_type_e record_type,
                     unsigned ttl, const char *value) {
    rule_t *rule = rule_of(dns, name, type);
    unsigned char *at = rule->records + rule->record_bytes;
    at = rule->owner[0] != '\0' ? put_name(at, rule->owner) : put16(at, 0xC00C);
    at = put16(at, (unsigned)record_type);
    at = put16(at, 1);
    at = put16(put16(at, ttl >> 16), ttl);
    unsigned char *length = at;
    at = put_value(at + 2, record_type, value);
    if (record_type == HDNS_CNAME) snprintf(rule->owner, sizeof rule->owner, "%s", value);
    put16(length, (unsigned)(at - length - 2));
    rule->record_bytes = (size_t)(at - rule->records);
    if (rule->record_bytes > sizeof rule->records - 600) abort();
    rule->record_count++;
}

/* ---- Answers ---- */

/* Reads the question. Returns the bytes of header and question, or 0. */
static size_t read_question(const unsigned char *message, size_t len, char name[256], int *type) {
    size_t at = 12, out = 0;
    while (at < len && message[at] != 0) {
        size_t part = message[at++];
        if (part > 63 || at + part > len || out + part + 1 > 255) return 0;
        if (out > 0) name[out++] = '.';
        memcpy(name + out, message + at, part);
        out += part;
        at += part;
    }
    name[out] = '\0';
    if (at + 5 > len) return 0;
    *type = message[at + 1] << 8 | message[at + 2];
    return at + 5;
}

/* Writes the answer. Returns its length; 0 for none. */
static size_t write_answer(const rule_t *rule, int is_known, int is_tcp, const unsigned char *asked,
                           size_t question_end, unsigned char *out) {
    fake_dns_mode_e mode = rule != NULL ? rule->mode : is_known ? FAKE_DNS_ANSWER
                                                                : FAKE_DNS_NXDOMAIN;
    if (mode == FAKE_DNS_SILENT) return 0;
    memcpy(out, asked, question_end);
    unsigned code = mode == FAKE_DNS_NXDOMAIN ? 3u : mode == FAKE_DNS_SERVFAIL ? 2u : 0u;
    int is_short = mode == FAKE_DNS_TRUNCATED && !is_tcp;
    int has_records = rule != NULL && code == 0 && !is_short;
    put16(out + 2, 0x8180u | code | (is_short ? 0x0200u : 0u));
    put16(out + 4, 1);
    put16(out + 6, has_records ? (unsigned)rule->record_count : 0);
    put16(put16(out + 8, 0), 0);
    size_t len = question_end;
    if (has_records) {
        memcpy(out + len, rule->records, rule->record_bytes);
        len += rule->record_bytes;
    }
    if (mode == FAKE_DNS_GARBAGE) {
        memset(out + 12, 0xA5, len - 12);
    } else if (mode == FAKE_DNS_CUT) {
        len--;
    }
    return len;
}

static void send_late(htimer_t *timer) {
    late_t *late = hevent_userdata(timer);
    late_t **link = &late->dns->lates;
    while (*link != late) link = &(*link)->next;
    *link = late->next;
    hio_sendto(late->dns->udp, late->message, late->len, (struct sockaddr *)&late->peer);
    free(late);
}

static void send_udp(fake_dns_t *dns, const rule_t *rule, const unsigned char *message,
                     size_t len) {
    const struct sockaddr *peer = hio_peeraddr(dns->udp);
    if (rule != NULL && rule->mode == FAKE_DNS_WRONG_ID) {
        unsigned char wrong[MESSAGE_MAX];
        memcpy(wrong, message, len);
        wrong[0] ^= 0x55;
        wrong[len - 1] ^= 0x55;
        hio_sendto(dns->udp, wrong, len, peer);
    }
    if (rule == NULL || rule->delay_ms == 0) {
        hio_sendto(dns->udp, message, len, peer);
        return;
    }
    uint32_t delay_ms = rule->delay_ms > 0 ? (uint32_t)rule->delay_ms : 0;
    late_t *late = calloc(1, sizeof *late);
    if (late == NULL) abort();
    late->dns = dns;
    memcpy(&late->peer, peer, sizeof late->peer);
    late->len = len;
    memcpy(late->message, message, len);
    htimer_t *timer = htimer_add(dns->loop, send_late, delay_ms, 1);
    if (timer == NULL) {
        free(late);
        return;
    }
    late->next = dns->lates;
    dns->lates = late;
    hevent_set_userdata(timer, late);
    hevent_unref(timer);
}

static void on_datagram(hio_t *io, void *buf, int bytes) {
    fake_dns_t *dns = hevent_userdata(io);
    char name[256];
    int type = 0;
    size_t end = read_question(buf, (size_t)bytes, name, &type);
    if (end == 0) return;
    dns->questions++;
    rule_t *rule = find_rule(dns, name, type, 0);
    unsigned char out[MESSAGE_MAX];
    size_t len = write_answer(rule, find_rule(dns, name, 0, 1) != NULL, 0, buf, end, out);
    if (len > 0) send_udp(dns, rule, out, len);
}

static void on_stream(hio_t *io, void *buf, int bytes) {
    fake_dns_t *dns = hevent_userdata(io);
    char name[256];
    int type = 0;
    if (bytes < 2) return;
    const unsigned char *asked = (const unsigned char *)buf + 2;
    size_t end = read_question(asked, (size_t)bytes - 2, name, &type);
    if (end == 0) return;
    dns->questions++;
    dns->tcp_questions++;
    unsigned char out[MESSAGE_MAX + 2];
    size_t len = write_answer(find_rule(dns, name, type, 0), find_rule(dns, name, 0, 1) != NULL, 1,
                              asked, end, out + 2);
    put16(out, (unsigned)len);
    if (len > 0) hio_write(io, out, len + 2);
}

/* RFC 1035 4.2.2: two bytes of length before each message. */
static unpack_setting_t by_length = {
    .mode = UNPACK_BY_LENGTH_FIELD,
    .package_max_length = MESSAGE_MAX,
    .body_offset = 2,
    .length_field_bytes = 2,
    .length_field_coding = ENCODE_BY_BIG_ENDIAN,
};

static void on_accept(hio_t *io) {
    hevent_unref(io);
    hio_set_unpack(io, &by_length);
    hio_setcb_read(io, on_stream);
    hio_read(io);
}

/* ---- Life ---- */

fake_dns_t *fake_dns_open(hloop_t *loop) {
    fake_dns_t *dns = calloc(1, sizeof *dns);
    if (dns == NULL) abort();
    dns->loop = loop;
    hio_t *tcp = hloop_create_tcp_server(loop, "127.0.0.1", 0, on_accept);
    if (tcp == NULL) abort();
    dns->port = ntohs(((struct sockaddr_in *)(void *)hio_localaddr(tcp))->sin_port);
    dns->udp = hloop_create_udp_server(loop, "127.0.0.1", dns->port);
    if (dns->udp == NULL) abort();
    hevent_set_userdata(tcp, dns);
    hevent_set_userdata(dns->udp, dns);
    hevent_unref(tcp);
    hevent_unref(dns->udp);
    hio_setcb_read(dns->udp, on_datagram);
    hio_read(dns->udp);
    return dns;
}

void fake_dns_free(fake_dns_t *dns) {
    while (dns->lates != NULL) {
        late_t *next = dns->lates->next;
        free(dns->lates);
        dns->lates = next;
    }
    free(dns);
}

void fake_dns_use(fake_dns_t *dns, hloop_t *loop, uint32_t attempt_timeout_ms) {
    char servers[32];
    snprintf(servers, sizeof servers, "127.0.0.1:%d", dns->port);
    hdns_config_t config = {
        .servers = servers, .search = "", .attempt_timeout_ms = attempt_timeout_ms, .rounds = 1};
    if (hdns_configure(loop, &config) != 0) abort();
}

int fake_dns_port(const fake_dns_t *dns) { return dns->port; }
int fake_dns_questions(const fake_dns_t *dns) { return dns->questions; }
int fake_dns_tcp_questions(const fake_dns_t *dns) { return dns->tcp_questions; }
