--- Uploads by HTTP/2 that a handler does not read, or not to their end: its answer arrives whole,
--- and the rest of the body may still come, within a limit. RFC 9113 section 8.1.
local frames = require "h2_frames"
local helper = require "helper"
local hv = require "hv"

local keep, close_kept = helper.keeper()

after_each(close_kept)

--- Serves POST / by fn(req); returns a client of frames that has begun such a request.
local function begin(fn)
  local app = hv.http.app { max_body = "8M" }
  app:post("/", fn)
  local client = frames.connect(keep(assert(app:listen { host = "127.0.0.1", port = 0 })))
  client:request(1, "POST", "/", {}, true)
  return client
end

local function u32(text)
  local a, b, c, d = text:byte(1, 4)
  return ((a * 256 + b) * 256 + c) * 256 + d
end

--- Reads beside the one that sends. Has the windows of the stream and of the connection, how many
--- bytes of the answer have come, whether it is whole, and the code of a reset.
local function watch(client, window)
  local seen = { stream = window, connection = 65535, answered = 0, sent = 0 }
  seen.reader = hv.go(function()
    for frame in function() return (client:receive()) end do
      local flags = frame.flags
      if frame.kind == frames.WINDOW_UPDATE then
        local which = frame.stream == 0 and "connection" or "stream"
        seen[which] = seen[which] + u32(frame.payload)
      elseif frame.kind == frames.DATA then
        seen.answered = seen.answered + #frame.payload
        seen.is_whole = flags == frames.END_STREAM
      elseif frame.kind == frames.RST_STREAM then
        seen.reset = frame.code
      end
    end
  end)
  return seen
end

--- Sends a body of that size as the windows allow, until it is all out or the stream is reset.
local function upload(client, seen, size)
  while seen.sent < size and not seen.reset do
    local count = math.min(size - seen.sent, seen.stream, seen.connection, 16000)
    if count > 0 then
      seen.sent = seen.sent + count
      seen.stream, seen.connection = seen.stream - count, seen.connection - count
      client:frame(frames.DATA, seen.sent == size and frames.END_STREAM or 0, 1, ("x"):rep(count))
    else
      hv.sleep(1)
    end
  end
end

describe("an upload by HTTP/2", function()
  it("comes to its end where the handler has read a part of it", function()
    local seen
    local client = begin(function(req)
      req:read()
      helper.eventually(function() return seen.sent > 200000 and seen.stream == 0 end)
      for _ = 1, 50 do hv.sleep(0) end -- passes of the loop, in which all of that comes and waits
      return "early"
    end)
    seen = watch(client, 32768)
    upload(client, seen, 600000)
    assert.equal(600000, seen.sent)
    helper.eventually(function() return seen.is_whole end)
    assert.equal(5, seen.answered)
    assert.is_nil(seen.reset)
    client:close()
  end)

  it("that is too long to be dropped does not cut the answer off", function()
    local client = begin(function() return ("y"):rep(300000) end)
    local seen = watch(client, 32768)
    local sender = hv.go(upload, client, seen, 3000000)
    -- The windows of the answer are opened only once the server takes no more.
    helper.eventually(function() return seen.answered >= 65535 end)
    helper.stands_still(function() return seen.stream + seen.connection end)
    client:frame(frames.WINDOW_UPDATE, 0, 0, frames.u32(1000000))
    client:frame(frames.WINDOW_UPDATE, 0, 1, frames.u32(1000000))
    helper.eventually(function() return seen.reset end)
    assert.equal(300000, seen.answered)
    assert.is_true(seen.is_whole)
    assert.equal(frames.codes.NO_ERROR, seen.reset)
    sender:join()
    assert.is_true(seen.sent < 3000000)
    client:close()
  end)
end)
