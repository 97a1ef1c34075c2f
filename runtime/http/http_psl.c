/* http_psl.c - the Public Suffix List, by libpsl: domains under which strangers are neighbours
 * ("com", "co.uk", "github.io"). The list is the one that libpsl was built with. */
#include <libpsl.h>

#include "hhttp_client.h"

int hhttp_is_public_suffix(const char *domain) {
    const psl_ctx_t *list = psl_builtin();
    /* Without a list only single labels are known to be shared. */
    if (list == NULL) return strchr(domain, '.') == NULL;
    return psl_is_public_suffix(list, domain);
}
