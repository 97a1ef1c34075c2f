-- unpack.lua - packets cut by a length field in front: five bytes of head (one of flags, four of
-- length, big endian), then the body. The server answers each packet with its body turned round;
-- the client sends three packets in one write and one in pieces, and gets four whole answers.
--
--     hvlua unpack.lua
local hv = require "hv"
local bit = require "bit"

local framing = {
  mode = "length_field",
  body_offset = 5,
  length_field_offset = 1,
  length_field_bytes = 4,
  length_field_coding = "big",
  max_length = "1K",
}

local function pack(body)
  local n = #body
  return string.char(1, bit.rshift(n, 24), bit.band(bit.rshift(n, 16), 255),
    bit.band(bit.rshift(n, 8), 255), bit.band(n, 255)) .. body
end

local server = assert(hv.tcp.listen({ host = "127.0.0.1", port = 0, unpack = framing },
  function(conn)
    for packet in conn:packets() do
      conn:write(pack(packet:sub(6):reverse()))
    end
  end))

local conn = assert(hv.tcp.connect { host = "127.0.0.1", port = server:port(), unpack = framing })
conn:write(pack("one") .. pack("two") .. pack("three"))
local fourth = pack("in pieces")
conn:write(fourth:sub(1, -4))
hv.sleep(50)
conn:write(fourth:sub(-3))

for _ = 1, 4 do
  local packet = assert(conn:read())
  print("< " .. packet:sub(6))
end
conn:close()
server:close()
