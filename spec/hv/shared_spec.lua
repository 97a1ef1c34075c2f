local helper = require "helper"
local hv = require "hv"

local count = 0

--- A dictionary that no other test has.
local function fresh(size)
  count = count + 1
  return assert(hv.shared.dict("spec " .. count, size or "64K"))
end

describe("hv.shared", function()
  it("gives every kind of value back", function()
    local d = fresh()
    for _, value in ipairs { "", "a\0b", ("x"):rep(20000), 0, -1.5, true, false, {},
      { 1, { a = "b" } } } do
      assert.same({ true, false }, { d:set("k", value) })
      assert.same(value, d:get("k"))
    end
    assert.is_nil(d:get("other"))
    assert.matches("hv.shared.dict{1 entries}", tostring(d))
  end)

  it("is the same by its name, also in a worker", function()
    local d = fresh()
    local again = assert(hv.shared.dict("spec " .. count))
    again:set("k", { "v" })
    assert.same({ "v" }, d:get("k"))
    local workers = {}
    for i = 1, 4 do
      workers[i] = assert(hv.worker.spawn(function(_, name)
        local mine = require("hv").shared.dict(name)
        for _ = 1, 1000 do mine:incr("sum", 1, 0) end
      end, "spec " .. count))
    end
    for i = 1, 4 do workers[i]:join() end
    assert.equal(4000, d:get("sum"))
    assert.same({ "hv.shared.dict none: not found", "ENOTFOUND" },
      { select(2, hv.shared.dict "none") })
  end)

  it("is the same for all worker processes", function()
    local script = os.tmpname()
    assert(hv.fs.write(script, [[
      local hv = require "hv"
      print("this is " .. hv.shared.dict("starts", "64K"):incr("n", 1, 0))
      io.stdout:flush()
      hv.sleep(100000)]]))
    local p = assert(hv.process.spawn { os.getenv("HVLUA") or "hvlua", "-w", 3, script,
      stdout = "pipe", stderr = "null" })
    local seen = {}
    for i = 1, 3 do seen[i] = p.stdout:read_line() end
    table.sort(seen)
    assert.same({ "this is 1", "this is 2", "this is 3" }, seen)
    p:kill("term")
    p:wait(10000)
    p.stdout:close()
    os.remove(script)
  end)

  it("adds, replaces, deletes and increments", function()
    local d = fresh()
    assert.equal("ENOTFOUND", select(3, d:replace("k", 1)))
    assert.is_true((d:add("k", 1)))
    assert.same({ "dict:add: already exists", "EEXIST" }, { select(2, d:add("k", 2)) })
    assert.is_true((d:replace("k", 3)))
    assert.equal(4, (d:incr("k")))
    assert.equal(1.5, (d:incr("k", -2.5)))
    assert.equal(15, (d:incr("new", 5, 10)))
    assert.equal("ENOTFOUND", select(3, d:incr("none", 1, false)))
    assert.equal(1, (d:incr("none")))
    d:set("text", "1")
    assert.equal("EINVAL", select(3, d:incr("text", 1)))
    assert.is_true(d:delete("none"))
    assert.is_true(d:delete("k"))
    assert.is_false(d:delete("k"))
    local keys = d:keys()
    table.sort(keys)
    assert.same({ "new", "text" }, keys)
    assert.equal(1, #d:keys(1))
    assert.is_true(d:flush())
    assert.same({}, d:keys())
    assert.equal(0, d:stats().count)
  end)

  it("counts from 0, or from init, where there is none, and keeps a time to live", function()
    local d = fresh()
    assert.same({ 3, false }, { d:incr("a", 3) })
    assert.equal(-1, (d:incr("b", -1, nil)))
    assert.equal(9, (d:incr("c", nil, 8)))
    assert.equal(10, (d:incr("c", 1, 50))) -- it is there
    assert.equal(0, d:ttl("a"))
    local _, message, code = d:incr("none", nil, false)
    assert.same({ "dict:incr: not found", "ENOTFOUND" }, { message, code })
    assert.is_nil(d:get("none"))
    for expected = 1, 3 do
      d:add("within", 0, 100000)
      assert.equal(expected, (d:incr("within")))
    end
    assert.is_true(d:ttl("within") > 90000)
    d:set("short", 7, 1)
    helper.eventually(function() return d:get("short") == nil end)
    assert.equal(1, (d:incr("short")))
    assert.equal(0, d:ttl("short"))
  end)

  it("forgets an entry when its time has come", function()
    local d = fresh()
    d:set("short", 1, 5)
    d:set("long", 1, 100000)
    d:set("ever", 1)
    assert.is_true(d:ttl("long") > 90000 and d:ttl("long") <= 100000)
    assert.equal(0, d:ttl("ever"))
    helper.eventually(function() return d:get("short") == nil end)
    assert.equal("ENOTFOUND", select(3, d:ttl("short")))
    assert.is_true(d:expire("long"))
    assert.equal(0, d:ttl("long"))
    assert.is_true(d:expire("ever", 1))
    helper.eventually(function() return d:get("ever") == nil end)
    assert.equal("ENOTFOUND", select(3, d:expire("ever", 1)))
  end)

  it("evicts what was not used for longest, and says so", function()
    local d = fresh("16K")
    local evicted, last = false, 0
    while not evicted do
      last = last + 1
      local ok
      ok, evicted = d:set("k" .. last, ("x"):rep(1000))
      assert.is_true(ok)
      d:get("k1")
    end
    assert.is_nil(d:get("k2"))
    assert.is_string(d:get("k1"))
    assert.equal(1, d:stats().evictions)
    assert.same({ "dict:set: limit reached", "ELIMIT" }, {
      (select(2, d:set("large", ("x"):rep(20000)))):gsub(": .*", ": limit reached"), "ELIMIT" })
  end)

  it("is misused loudly", function()
    local d = fresh()
    for text, fn in pairs {
      ["dict:set: value must be a string, number, boolean or table, got nil (see dict:delete)"] =
        function() d:set("k") end,
      ["dict:set: value.f: a function cannot be sent"] = function() d:set("k", { f = print }) end,
      ["dict:get: key must be a string, got number"] = function() d:get(1) end,
      ["dict:add: key must have 1..65535 bytes, got 0"] = function() d:add("", 1) end,
      ["dict:set: ttl must be milliseconds (0: for ever), got -1"] =
        function() d:set("k", 1, -1) end,
      ["dict:incr: by must be a number, got table"] = function() d:incr("k", {}) end,
      ["dict:incr: init must be a number or false, got boolean"] = function()
        d:incr("k", 1, true)
      end,
      ["hv.shared.dict: size must be \"16K\" to \"8G\", got 100"] =
        function() hv.shared.dict("k", 100) end,
      ["hv.shared.dict: name must be a string of 1..63 bytes"] =
        function() hv.shared.dict("", "64K") end,
    } do
      local ok, message = pcall(fn)
      assert.is_false(ok)
      assert.matches(text, message, 1, true)
      assert.matches("shared_spec.lua:%d+: ", message)
    end
  end)

  it("lies in an object of the system where its name begins with a slash", function()
    local name = "/hv_spec_" .. hv.hrtime()
    local d = assert(hv.shared.dict(name, "64K"))
    d:set("k", { 1 })
    local text, status = helper.run(([[
      local d = assert(require("hv").shared.dict(%q))
      io.write(d:get("k")[1])
      d:set("k", 2)]]):format(name))
    assert.same({ "1", 0 }, { text, status })
    assert.equal(2, d:get("k"))
    d:close()
    d:close()
    assert.has_error(function() d:get("k") end)
    assert.is_true(hv.shared.unlink(name))
    assert.equal("ENOENT", select(3, hv.shared.unlink(name)))
  end)
end)
