-- nmap.lua - which hosts of a network are there, and which of their TCP ports are open.
--
--     hvlua nmap.lua 127.0.0.1
--     hvlua nmap.lua -p 22,80,8000-8100 192.168.1.0/24
--     hvlua nmap.lua -sn 192.168.1.1-50
--
-- Hosts are looked for by ICMP echo where we may send it (as root, or with a ping socket),
-- otherwise by connecting: who refuses is there as well. Scan only what is yours.
local bit = require "bit"
local ffi = require "ffi"
local hv = require "hv"

local usage = [[
Usage: nmap.lua [options] target...

  target        an address, a name, a range 192.168.1.1-50, a network 192.168.1.0/24
  -p PORTS      such as 22,80,8000-8100; without it the usual ones
  -sn           hosts only, no ports
  -Pn           all hosts are taken to be there
  -n            no ICMP: hosts are looked for by connecting
  -c COUNT      connections at a time; 200
  -r COUNT      new connections a second; 0: as fast as it goes
  -t MS         how long to wait for an answer; 1000
  -b            the progress bar also where stderr is no terminal
  -h, --help    this text
]]

local TARGETS_MAX = 65536

local services = {
  [21] = "ftp", [22] = "ssh", [23] = "telnet", [25] = "smtp", [53] = "domain", [80] = "http",
  [110] = "pop3", [111] = "rpcbind", [143] = "imap", [389] = "ldap", [443] = "https",
  [445] = "smb", [465] = "smtps", [587] = "submission", [631] = "ipp", [993] = "imaps",
  [995] = "pop3s", [1433] = "ms-sql", [1883] = "mqtt", [2049] = "nfs", [2181] = "zookeeper",
  [3306] = "mysql", [3389] = "rdp", [5432] = "postgresql", [5672] = "amqp", [5900] = "vnc",
  [6379] = "redis", [8080] = "http-alt", [8443] = "https-alt", [8500] = "consul",
  [8883] = "mqtts", [9092] = "kafka", [9200] = "elasticsearch", [11211] = "memcached",
  [27017] = "mongodb",
}

-- ---- Targets and ports ----

local function number_of(address)
  local a, b, c, d = address:match("^(%d+)%.(%d+)%.(%d+)%.(%d+)$")
  a, b, c, d = tonumber(a), tonumber(b), tonumber(c), tonumber(d)
  if not d or a > 255 or b > 255 or c > 255 or d > 255 then return nil end
  return ((a * 256 + b) * 256 + c) * 256 + d
end

local function address_of(number)
  return ("%d.%d.%d.%d"):format(number / 2 ^ 24 % 256, number / 65536 % 256, number / 256 % 256,
    number % 256)
end

-- Adds first..last to a list of addresses.
local function add_range(list, first, last)
  if last < first then return nil, "the end is before the beginning" end
  if #list + last - first >= TARGETS_MAX then return nil, "more than 65536 hosts" end
  for number = first, last do list[#list + 1] = address_of(number) end
  return true
end

-- Adds the addresses of one target. Returns nil and why where it is none.
local function add_target(list, text)
  local base, prefix = text:match("^([%d.]+)/(%d+)$")
  if base then
    local number, bits = number_of(base), tonumber(prefix)
    if not number or bits < 16 or bits > 32 then return nil, "a network is a.b.c.d/16..32" end
    local size = 2 ^ (32 - bits)
    local first = number - number % size
    -- The first and last address of a network are no hosts; of /31 and /32 they are.
    if bits < 31 then return add_range(list, first + 1, first + size - 2) end
    return add_range(list, first, first + size - 1)
  end
  local from, to = text:match("^([%d.]+)%-([%d.]+)$")
  if from then
    local first = number_of(from)
    local last = number_of(to) or first and tonumber(to)
      and first - first % 256 + tonumber(to)
    if not first or not last or last - last % 1 ~= last or not to:find("%.") and tonumber(to) > 255
    then
      return nil, "a range is a.b.c.d-e"
    end
    return add_range(list, first, last)
  end
  if number_of(text) then
    list[#list + 1] = text
    return true
  end
  local addresses, message = hv.dns.resolve(text, "a")
  if not addresses then return nil, message end
  list[#list + 1] = addresses[1]
  return true
end

-- "22,80,8000-8100" as a sorted list; nil where it is none.
local function read_ports(text)
  local set, list = {}, {}
  for part in (text .. ","):gmatch("([^,]*),") do
    local first, last = part:match("^(%d+)%-(%d+)$")
    first, last = tonumber(first or part), tonumber(last or part)
    if not first or not last or first < 1 or last > 65535 or first > last or first % 1 ~= 0 then
      return nil
    end
    for port = first, last do set[port] = true end
  end
  for port in pairs(set) do list[#list + 1] = port end
  table.sort(list)
  return list
end

-- ---- The command line ----

local function read_arguments()
  local t = { targets = {}, count = 200, rate = 0, timeout = 1000 }
  local numbers = { ["-c"] = "count", ["-r"] = "rate", ["-t"] = "timeout" }
  local flags = { ["-sn"] = "hosts_only", ["-Pn"] = "all_up", ["-n"] = "no_icmp", ["-b"] = "bar",
    ["-h"] = "is_help", ["--help"] = "is_help" }
  local at = 1
  while arg[at] do
    local word = arg[at]
    if flags[word] then
      t[flags[word]] = true
    elseif numbers[word] then
      at = at + 1
      local number = tonumber(arg[at])
      if not number or number < 0 or number % 1 ~= 0 then
        return nil, word .. ": a number expected"
      end
      t[numbers[word]] = number
    elseif word == "-p" then
      at = at + 1
      t.ports = read_ports(arg[at] or "")
      if not t.ports then return nil, "-p: such as 22,80,8000-8100" end
    elseif word:sub(1, 1) == "-" then
      return nil, "no such option: " .. word
    else
      local ok, message = add_target(t.targets, word)
      if not ok then return nil, word .. ": " .. message end
    end
    at = at + 1
  end
  if t.count < 1 then return nil, "-c: at least 1" end
  if #t.targets == 0 and not t.is_help then return nil, "a target is missing" end
  if not t.ports then
    t.ports = {}
    for port in pairs(services) do t.ports[#t.ports + 1] = port end
    table.sort(t.ports)
  end
  return t
end

-- ---- The progress bar: one line of stderr, written anew ----

ffi.cdef "int isatty(int fd);"

local Bar = {}
Bar.__index = Bar

local function new_bar(what, total, is_wanted)
  return setmetatable({ what = what, total = total, done = 0, found = 0, shown = -1,
    is_wanted = is_wanted or ffi.C.isatty(2) == 1 }, Bar)
end

-- One more is done; redraws for each new percent.
function Bar:step(is_found)
  self.done = self.done + 1
  if is_found then self.found = self.found + 1 end
  local percent = math.floor(self.done * 100 / self.total)
  if not self.is_wanted or percent == self.shown then return end
  self.shown = percent
  local filled = math.floor(percent * 40 / 100)
  io.stderr:write(("\r%s [%s%s] %3d%% %d/%d, %d found"):format(self.what, ("#"):rep(filled),
    ("."):rep(40 - filled), percent, self.done, self.total, self.found))
  if self.done == self.total then io.stderr:write("\n") end
end

-- ---- Connecting, many at a time ----

local next_slot = 0 -- when the next connection may begin: -r

local function wait_for_slot(rate)
  if rate == 0 then return end
  local now = hv.now()
  local slot = math.max(now, next_slot)
  next_slot = slot + 1000 / rate
  if slot > now then hv.sleep(slot - now) end
end

-- "open", "closed" (somebody refuses) or "filtered" (nobody answers).
local function probe(t, host, port)
  wait_for_slot(t.rate)
  local conn, _, code = hv.tcp.connect { host = host, port = port, timeout = t.timeout }
  if conn then
    conn:close()
    return "open"
  end
  return (code == "ECONNREFUSED" or code == "ECONNRESET") and "closed" or "filtered"
end

-- Calls visit(job) for jobs 1..total, `count` at a time.
local function run_jobs(total, count, visit)
  local next_job = 0
  hv.scope(function(s)
    for _ = 1, math.min(count, total) do
      s:go(function()
        while next_job < total do
          next_job = next_job + 1
          visit(next_job)
        end
      end)
    end
  end)
end

-- ---- Who is there: ICMP echo ----

ffi.cdef [[
  typedef struct { uint16_t family; uint16_t port; uint8_t address[4]; uint8_t zero[8]; } nmap_to;
  int socket(int domain, int type, int protocol);
  int close(int fd);
  ssize_t sendto(int fd, const void *data, size_t len, int flags, const nmap_to *to,
                 uint32_t bytes);
  ssize_t recvfrom(int fd, void *data, size_t len, int flags, nmap_to *from, uint32_t *bytes);
]]

local AF_INET, SOCK_DGRAM, SOCK_RAW, IPPROTO_ICMP, MSG_DONTWAIT = 2, 2, 3, 1, 0x40
local NONBLOCK_CLOEXEC = bit.bor(0x800, 0x80000)
local IDENT = 0x6876

-- A socket for ICMP: one for pings that needs no rights, or a raw one. nil where we may have none.
local function open_icmp()
  local fd = ffi.C.socket(AF_INET, bit.bor(SOCK_DGRAM, NONBLOCK_CLOEXEC), IPPROTO_ICMP)
  if fd >= 0 then return fd, false end
  fd = ffi.C.socket(AF_INET, bit.bor(SOCK_RAW, NONBLOCK_CLOEXEC), IPPROTO_ICMP)
  if fd >= 0 then return fd, true end
end

-- The sum of RFC 1071 over 16-bit words.
local function checksum(text)
  local sum = 0
  for i = 1, #text, 2 do sum = sum + text:byte(i) * 256 + (text:byte(i + 1) or 0) end
  while sum > 0xffff do sum = sum % 0x10000 + math.floor(sum / 0x10000) end
  return 0xffff - sum
end

local function two_bytes(number)
  return string.char(math.floor(number / 256) % 256, number % 256)
end

-- RFC 792: type 8, code 0, checksum, identifier, sequence number.
local function echo_request(sequence)
  local rest = two_bytes(IDENT) .. two_bytes(sequence) .. "hvlua nmap"
  return "\8\0" .. two_bytes(checksum("\8\0\0\0" .. rest)) .. rest
end

local function to_of(address)
  local to = ffi.new("nmap_to", { family = AF_INET })
  local i = 0
  for part in address:gmatch("%d+") do
    to.address[i] = tonumber(part)
    i = i + 1
  end
  return to
end

-- The address of a host that has answered, or nil where there is no answer now.
local function next_answer(fd, is_raw)
  local buffer, from = ffi.new("uint8_t[?]", 1500), ffi.new("nmap_to")
  local bytes = ffi.new("uint32_t[1]")
  while true do
    bytes[0] = ffi.sizeof(from)
    local len = tonumber(ffi.C.recvfrom(fd, buffer, 1500, MSG_DONTWAIT, from, bytes))
    if len < 0 then return nil end
    -- A raw socket shows the head of IP, too, and everybody's packets.
    local at = is_raw and bit.band(buffer[0], 15) * 4 or 0
    local is_ours = not is_raw or len >= at + 6 and buffer[at + 4] * 256 + buffer[at + 5] == IDENT
    if len >= at + 8 and buffer[at] == 0 and is_ours then
      local a = from.address
      return ("%d.%d.%d.%d"):format(a[0], a[1], a[2], a[3])
    end
  end
end

-- Sends an echo request to each and gathers who answers. nil where we may not.
local function ping(t)
  local fd, is_raw = open_icmp()
  if not fd then return nil end
  hv.defer(function() ffi.C.close(fd) end)
  local is_wanted, up, missing = {}, {}, 0
  for _, address in ipairs(t.targets) do
    if not is_wanted[address] then missing = missing + 1 end
    is_wanted[address] = true
  end
  local bar = new_bar("hosts", missing, t.bar)
  local function gather()
    for address in function() return next_answer(fd, is_raw) end do
      if is_wanted[address] and not up[address] then
        up[address] = true
        missing = missing - 1
        bar:step(true)
      end
    end
  end
  for i, address in ipairs(t.targets) do
    local request = echo_request(i % 65536)
    wait_for_slot(t.rate)
    ffi.C.sendto(fd, request, #request, 0, to_of(address), ffi.sizeof("nmap_to"))
    if i % 64 == 0 then
      hv.sleep(1) -- the kernel's buffer is small
      gather()
    end
  end
  -- The loop does not know this socket, so it is looked at now and then.
  local deadline = hv.now() + t.timeout
  repeat
    hv.sleep(5)
    gather()
  until missing == 0 or hv.now() >= deadline
  for _ = 1, missing do bar:step(false) end
  return up
end

-- ---- Who is there: by connecting ----

local function knock(t)
  local up, bar = {}, new_bar("hosts", #t.targets, t.bar)
  run_jobs(#t.targets, t.count, function(i)
    local host = t.targets[i]
    for _, port in ipairs { 443, 80, 22 } do
      if probe(t, host, port) ~= "filtered" then
        up[host] = true
        break
      end
    end
    bar:step(up[host])
  end)
  return up
end

local function find_hosts(t)
  if t.all_up then return t.targets, "taken to be there" end
  local up, how = not t.no_icmp and ping(t) or nil, "by ICMP"
  if not up then up, how = knock(t), "by connecting" end
  local hosts = {}
  for _, host in ipairs(t.targets) do
    if up[host] then hosts[#hosts + 1] = host end
  end
  return hosts, how
end

-- ---- Which ports are open ----

local function scan_ports(t, hosts)
  local found = {}
  for _, host in ipairs(hosts) do found[host] = { open = {}, closed = 0, filtered = 0 } end
  local total = #hosts * #t.ports
  local bar = new_bar("ports", total, t.bar)
  run_jobs(total, t.count, function(i)
    -- Host by host within a port: no single one is flooded.
    local host = hosts[(i - 1) % #hosts + 1]
    local port = t.ports[math.floor((i - 1) / #hosts) + 1]
    local state = probe(t, host, port)
    if state == "open" then
      table.insert(found[host].open, port)
    else
      found[host][state] = found[host][state] + 1
    end
    bar:step(state == "open")
  end)
  return found
end

local function print_host(host, result)
  print(host .. " is up" .. (result and (", %d closed, %d filtered"):format(result.closed,
    result.filtered) or ""))
  if not result then return end
  table.sort(result.open)
  for _, port in ipairs(result.open) do
    print(("  %d/tcp open%s"):format(port, services[port] and " " .. services[port] or ""))
  end
end

local function main(t)
  local began = hv.now()
  local hosts, how = find_hosts(t)
  local found = not t.hosts_only and #hosts > 0 and scan_ports(t, hosts) or {}
  for _, host in ipairs(hosts) do print_host(host, found[host]) end
  print(("%d of %d hosts up (%s), %.1f s"):format(#hosts, #t.targets, how,
    (hv.now() - began) / 1000))
end

local arguments, message = read_arguments()
if not arguments then
  io.stderr:write(message, "\n", usage)
  hv.stop(2)
elseif arguments.is_help then
  io.write(usage)
else
  main(arguments)
end
