--- examples/http_client in C and in Lua: they print the same.
local hv = require "hv"
local tutorial_app = require "tutorial_app"

local build = os.getenv("HV_BUILD_DIR") or "build"
local programs = {
  C = { build .. "/bin/examples/http_client" },
  Lua = { os.getenv("HVLUA") or "build/bin/hvlua", "examples/http_client.lua" },
}

-- Lanes that leave the C examples out have nothing to compare.
if not hv.fs.exists(programs.C[1]) then programs.C = nil end

for language, words in pairs(programs) do
  describe("examples/http_client in " .. language, function()
    local server, host

    setup(function()
      server = assert(tutorial_app.new("/"):listen { host = "127.0.0.1", port = 0 })
      host = "http://127.0.0.1:" .. server:port()
    end)

    teardown(function() server:close(0) end)

    local function run(...)
      local all = { unpack(words) }
      for _, word in ipairs { ... } do all[#all + 1] = word end
      all.timeout = 20000
      return assert(hv.process.run(all))
    end

    it("asks one URL after the other and prints the answers", function()
      local result = run(host .. "/ping", host .. "/data", host .. "/none")
      assert.are.equal("200 OK (text/plain)\npong\n200 OK (text/plain)\n0123456789\n" ..
        "404 Not Found (text/plain)\n404 Not Found\n\n", result.stdout)
      assert.are.equal(0, result.status)
    end)

    it("posts a body", function()
      assert.matches("\nhello,world!\n$", run("-d", "hello,world!", host .. "/echo").stdout)
    end)

    it("says what failed", function()
      local result = run("http://127.0.0.1:1/", host .. "/ping")
      assert.are.equal(1, result.status)
      assert.matches("http://127.0.0.1:1/: connection refused", result.stderr)
      assert.matches("pong", result.stdout)
      assert.are.equal(2, run().status)
      assert.are.equal(0, run("--help").status)
    end)
  end)
end
