---@meta hv.udp
--- The types of hv.udp: what bindings/udp.c gives.

---@class hv.UdpOptions
---@field host? string
---@field port integer
---@field broadcast? boolean
---@field on_message? fun(sock: hv.Udp, data: string, peer: { ip: string, port: integer })
---@field on_close? fun(sock: hv.Udp, message?: string, code?: hv.ErrCode)

---@class hv.UdpBindOptions: hv.UdpOptions
---@field reuse_port? boolean several sockets have the port: one gets a datagram to this host, all get one to their group

---@class hv.Udp
local Udp = {}

--- Sends one datagram, at once or not at all.
---@param data string
---@param host? string an address; the peer of hv.udp.connect by default
---@param port? integer
---@return true? ok
---@return string? message
---@return hv.ErrCode? code EAGAIN, ECLOSED, ENOTCONN ...
function Udp:send(data, host, port) end

--- The next datagram and its sender.
---@async
---@param timeout? integer none by default
---@return string? data
---@return { ip: string, port: integer }|string peer or message
---@return hv.ErrCode? code ETIMEDOUT, ECLOSED, EBUSY
function Udp:recv(timeout) end

---@return integer? port
function Udp:port() end
---@return { ip: string, port: integer }?
function Udp:local_address() end
---@param on boolean
function Udp:set_broadcast(on) end
---@param group string an IPv4 or IPv6 multicast address
---@param interface? string an address of the interface, for IPv6 its name; none: the kernel chooses
---@return true? ok
---@return string? message
---@return hv.ErrCode? code ENODEV, EADDRNOTAVAIL (not joined) ...
function Udp:join_group(group, interface) end
---@param group string
---@param interface? string
---@return true? ok
---@return string? message
---@return hv.ErrCode? code
function Udp:leave_group(group, interface) end
--- How datagrams to groups are sent: hops (1), whether they come back to this host (true), and the
--- interface that they leave by.
---@param opts { ttl?: integer, loop?: boolean, interface?: string }
---@return true? ok
---@return string? message
---@return hv.ErrCode? code
function Udp:set_multicast(opts) end
--- May be called twice; whoever waits gets ECLOSED.
---@return true
function Udp:close() end
--- Reads no more; what is being answered still can be. hv.shutdown calls it.
function Udp:drain() end
---@return hv.Udp self
function Udp:ref() end
---@return hv.Udp self
function Udp:unref() end

return {}
