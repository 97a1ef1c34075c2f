/* tls.h - what other bindings need of TLS: contexts that Lua has made, facts and failures of a
 * connection. */
#ifndef HVL_TLS_H_
#define HVL_TLS_H_

#include "bind.h"
#include "hssl.h"

/* The context at a stack index, borrowed while the value lives; NULL for nil. Raises otherwise. */
hssl_ctx_t hvl_tls_context(lua_State *L, int index);
/* The same of a field of the table at `index`. */
hssl_ctx_t hvl_tls_context_field(lua_State *L, int index, const char *name);

/* Pushes {version=, cipher=, alpn=, ...} of a connection after its handshake. */
void hvl_tls_push_facts(lua_State *L, const hio_t *io);

/* Pushes nil, "<what>: tls failure: <words>", "ETLS". Returns 3.
 *   words  of hio_ssl_error, or NULL */
int hvl_tls_push_error(lua_State *L, const char *what, const char *words);

#endif
