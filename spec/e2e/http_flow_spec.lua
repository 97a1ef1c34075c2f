--- Memory of a server while bodies go through it: it does not grow with what a client sends, nor
--- with what a client does not read.
local helper = require "helper"
local hv = require "hv"

local hvlua = os.getenv("HVLUA") or "build/bin/hvlua"
local MIB = 1048576

describe("a server", function()
  local process, base, port

  setup(function()
    -- What a sanitizer keeps of freed memory would look like growth.
    local sanitizer = (os.getenv("ASAN_OPTIONS") or "") ..
      ":quarantine_size_mb=0:thread_local_quarantine_size_kb=0"
    process = assert(hv.process.spawn { "env", "ASAN_OPTIONS=" .. sanitizer, hvlua,
      "spec/support/flow_server.lua", stdout = "pipe" })
    port = tonumber((assert(process.stdout:read_line())))
    base = "http://127.0.0.1:" .. port
  end)

  teardown(function()
    process:kill("kill")
    process:wait()
    process.stdout:close()
  end)

  --- The most memory it ever had, in bytes.
  local function peak()
    local file = assert(io.open(("/proc/%d/status"):format(process.pid)))
    local text = file:read("*a")
    file:close()
    return tonumber(text:match("VmHWM:%s*(%d+)")) * 1024
  end

  local function written()
    return tonumber(assert(hv.http.get(base .. "/written")).body)
  end

  --- The most that the kernel keeps of a connection, on both sides.
  local function kernel_bytes()
    local sum = 0
    for _, name in ipairs { "tcp_rmem", "tcp_wmem" } do
      local file = assert(io.open("/proc/sys/net/ipv4/" .. name))
      sum = sum + tonumber(file:read("*a"):match("(%d+)%s*$"))
      file:close()
    end
    return sum
  end

  it("takes an upload of any length in flat memory", function()
    local piece = ("x"):rep(MIB)
    local function upload(count)
      local left = count
      local reply = assert(hv.http.put(base .. "/up", function()
        left = left - 1
        return left >= 0 and piece or nil
      end, { timeout = 0 }))
      assert.are.equal(("%d"):format(count * MIB), reply.body)
    end
    upload(8)
    local before = peak()
    upload(128)
    assert.is_true(peak() - before < 16 * MIB, ("%d bytes more"):format(peak() - before))
  end)

  it("stops at the high-water mark where a client does not read", function()
    local conn = assert(hv.tcp.connect { host = "127.0.0.1", port = port })
    local before = peak()
    conn:write("GET /down HTTP/1.1\r\nHost: h\r\n\r\n")
    local last = helper.stands_still(written)
    assert.is_true(peak() - before < 8 * MIB, ("%d bytes more"):format(peak() - before))
    -- It goes on as soon as there is room, and by as much as was read.
    for _ = 1, 32 do assert(conn:read(MIB)) end
    helper.eventually(function() return written() > last end, 20)
    -- What the kernel keeps for both sides grows while somebody reads.
    local more = helper.stands_still(written) - last
    assert.is_true(more < 34 * MIB + kernel_bytes(), ("%d bytes more"):format(more))
    conn:close()
  end)
end)
