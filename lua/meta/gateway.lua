---@meta hv.http
--- The types of proxies: app:proxy, hv.http.gateway, hv.http.forward_proxy.

---@class hv.Upstream
---@field url string     "http://host:port/prefix", or https
---@field weight? integer 1..1000; 1
---@field path? string   a unix socket to connect to; the URL still gives Host and prefix

---@class hv.UpstreamState
---@field url string
---@field is_up boolean     neither resting after failures nor found ill by the health check
---@field busy integer      requests under way
---@field passed integer    requests it was asked, retries included
---@field failures integer

---@class hv.GatewayOptions
---@field balance? "round_robin"|"least_busy"|"client" "client": the same for an address
---@field strip_prefix? string  cut off the path, and put before the path of a Location of theirs
---@field keep_host? boolean    the client's Host goes on; false
---@field forwarded? boolean    X-Forwarded-For, -Proto and -Host are sent; true
---@field trust_forwarded? boolean those of the client are added to, not replaced; false
---@field verify? boolean       certificates of https upstreams; true
---@field via? string           our name in Via; "hvlua"
---@field max_body? integer|string of a request; 0: as the app's; beyond it 413
---@field connect_timeout? integer 5000
---@field timeout? integer      until the head of the answer; 60000; 504
---@field idle_timeout? integer without a byte either way; 60000
---@field tunnel_timeout? integer without a byte in a tunnel; 3600000
---@field retries? integer      other upstreams that are tried where that is safe; 2
---@field max_fails? integer    failures in a row until an upstream rests; 3; 0: never
---@field rest? integer         ms; 10000
---@field health_path? string   asked for every health_interval; nil: nobody is asked
---@field health_interval? integer 5000
---@field max_connections? integer to each upstream; 0: 64

---@class hv.ProxyOptions: hv.GatewayOptions
---@field strip? boolean false keeps the prefix in the path; what leads out of it gets 400 still

---@class hv.ForwardProxyOptions
---@field allow? fun(host: string, port: integer, req: hv.HttpRequest): boolean may wait
---@field users? table<string, string> name to password; nil: nobody is asked
---@field connect_ports? integer[] that CONNECT may name; { 443 }
---@field via? string
---@field max_body? integer|string
---@field connect_timeout? integer 10000
---@field timeout? integer 60000
---@field idle_timeout? integer 60000
---@field tunnel_timeout? integer 3600000
