/* The reader of DNS messages: the first byte chooses the type that is wanted, the rest is the
 * message. It must not read beyond it, and what it gives must be whole. */
#include <stdlib.h>

#include "hassert.h"
#include "hdns_answer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const hdns_type_e types[] = {HDNS_A,   HDNS_NS,  HDNS_CNAME, HDNS_PTR,
                                        HDNS_MX,  HDNS_TXT, HDNS_AAAA,  HDNS_SRV};
    if (size == 0) return 0;
    hdns_type_e type = types[data[0] % (sizeof types / sizeof types[0])];
    hdns_answer_t *answer = hdns_answer_new();
    int code = hdns_answer_read(answer, type, data + 1, size - 1);
    HV_ASSERT(code == 0 || code == HV_EPROTO || code == HV_ELIMIT);
    for (size_t i = 0; i < answer->count; i++) {
        const hdns_entry_t *entry = &answer->entries[i];
        HV_ASSERT(entry->type == type);
        HV_ASSERT(entry->text[entry->text_len] == '\0');
        HV_ASSERT(type == HDNS_TXT || strlen(entry->text) == entry->text_len);
        if (i > 0 && code == 0) HV_ASSERT(entry[-1].priority <= entry->priority);
    }
    hdns_answer_unref(answer);
    return 0;
}
