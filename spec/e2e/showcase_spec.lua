-- What `make run` shows, in headless Chromium: chat between two pages, the clock, an upload,
-- charts, and with a broker the panel for MQTT.
local hv = require "hv"
local mosquitto = require "mosquitto"

local hvlua = os.getenv("HVLUA") or "build/bin/hvlua"
local build = os.getenv("HV_BUILD_DIR") or "build"

describe("the showcase", function()
  local server, url, file, broker

  setup(function()
    broker = mosquitto.start()
    server = assert(hv.process.spawn { hvlua, "examples/http_server.lua", "0",
      ("mqtt://127.0.0.1:%d"):format(broker.port), stdout = "pipe" })
    assert(server.stdout:read_line())
    url = assert(server.stdout:read_line()):match("(http://127%.0%.0%.1:%d+/)ping")
    local made = assert(hv.fs.tmpfile())
    file = made.path
    made:close()
  end)

  teardown(function()
    server:kill("kill")
    server:wait()
    server.stdout:close()
    hv.fs.remove(file)
    broker:stop()
  end)

  it("is alive in a browser", function()
    local data = hv.crypto.random(3 * 1024 * 1024)
    assert(hv.fs.write(file, data))
    local result = assert(hv.process.run { "node", "spec/e2e/showcase.mjs", url, file,
      hv.crypto.hex(hv.crypto.sha256(data)), build .. "/showcase.png" })
    assert.equal(0, result.status, result.stderr)
    assert.equal("\137PNG", assert(hv.fs.read(build .. "/showcase.png")):sub(1, 4))
  end)
end)
