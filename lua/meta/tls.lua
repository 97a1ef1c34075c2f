---@meta hv.tls
--- The types of hv.tls: the option `tls` of everything that connects or listens, and what
--- conn:tls() tells.

---@class hv.TlsOptions
---@field cert? string        a path or PEM text: the certificate, then its chain; a server needs one
---@field key? string         a path or PEM text, not under a password; none: it stands in cert
---@field ca? string          a path, a folder or PEM text: whom to trust; none: the system's roots
---@field verify? boolean     clients verify the chain and the host name; true
---@field server_name? string clients: the name to ask for and to verify; the host
---@field alpn? string[]      protocols in order of preference; a server refuses who has none of them
---@field min_version? "1.2"|"1.3" "1.2"
---@field ciphers? string     OpenSSL's list for TLS 1.2; only forward secrecy and AEAD
---@field client_auth? "none"|"request"|"require" servers: of client certificates; "none"
---@field names? table<string, hv.TlsOptions|hv.TlsContext> servers: other certificates by the name that the client asks for, "www.example.org" or "*.example.org"

---@class hv.TlsCertificate
---@field subject string      "CN=www.example.org,O=..." (RFC 2253)
---@field issuer string
---@field names string[]      DNS names and addresses
---@field serial string       hexadecimal
---@field fingerprint string  SHA-256, hexadecimal
---@field not_before integer  seconds since 1970
---@field not_after integer
---@field pem string

---@class hv.TlsFacts
---@field version string        "TLSv1.3"
---@field cipher string         "TLS_AES_256_GCM_SHA384"
---@field alpn? string          the protocol agreed on
---@field server_name? string   what the client has asked for
---@field resumed boolean       an earlier session was taken up
---@field truncated boolean     the peer's stream ended without its farewell
---@field peer_certificate? hv.TlsCertificate

---@class hv.TlsContext
local Context = {}

--- Reads the files again for the handshakes that follow; connections go on as they are.
---@return true? ok
---@return string? message the file, and why it cannot be taken; the old one stays in force
---@return hv.ErrCode? code ETLS
function Context:reload() end

return {}
