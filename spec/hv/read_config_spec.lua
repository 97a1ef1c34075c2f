-- hv.read_config: values by kind, defaults, sections, and what is said of mistakes.
local hv = require "hv"

describe("hv.read_config", function()
  local path

  before_each(function() path = os.tmpname() end)
  after_each(function() os.remove(path) end)

  local function read(rules, text)
    assert(hv.fs.write(path, text))
    local config, message, code = hv.read_config(rules, path)
    return config, message and message:gsub("^.*/", ""):gsub("^[^:]*:", "", 1), code
  end

  it("reads values by their kinds, and fills in defaults", function()
    assert.are.same({
      name = "a b", is_on = true, is_off = false, count = 3, port = 80, bytes = 65536,
      long = 90500, seconds = 30000, year = 31536000000, upper = "ABC", missing = 7,
    }, read({
      name = { "string" }, is_on = { "boolean" }, is_off = { "boolean", true },
      count = { "integer" }, port = { "port" }, bytes = { "size" }, long = { "time" },
      seconds = { "time" }, year = { "time" }, missing = { "integer", 7 }, none = { "string" },
      upper = { function(text) return text:upper() end },
    }, "name = a b\nis_on = yes\nis_off = off\ncount = 3\nport = 80\nbytes = 64K\n" ..
      "long = 1m30s500ms\nseconds = 30\nyear = 365d\nupper = abc\n"))
  end)

  it("reads sections, named ones, and names that are free", function()
    local rules = { sections = {
      https = { port = { "port" } },
      ["host *"] = { root = { "string" } },
      users = { ["*"] = { "string" } },
    } }
    assert.are.same({ https = { port = 443 }, users = { ann = "1", ["sections"] = "2" },
      host = { ["a.example"] = { root = "a" }, ["*.b.example"] = { root = "b" } } },
      read(rules, "[https]\nport = 443\n[users]\nann = 1\nsections = 2\n[host a.example]\n" ..
        "root = a\n[host *.b.example]\nroot = b\n"))
    assert.are.same({}, read(rules, ""))
  end)

  it("names the line of each mistake", function()
    local rules = { port = { "port" }, own = { function(_, name) return nil, name .. "?" end },
      bare = { function() return nil end }, sections = { https = { port = { "port" } } } }
    for text, message in pairs {
      ["port = 1\nprt = 1"] = '2: unknown name "prt", did you mean "port"?',
      ["[https]\nprt = 1"] = '2: unknown name "prt", did you mean "port"?',
      ["port = 70000"] = '1: port must be a port, 0..65535, not "70000"',
      ["[http]\na = 1"] = "2: unknown section [http], did you mean [https]?",
      ["own = 1"] = "1: own: own?", ["bare = 1"] = "1: bare: bad value",
      ["sections = 1"] = '1: unknown name "sections", did you mean "own"?',
      ["port"] = "1: ", ["port = 1\nport = 2"] = "2: 'port' is given already in line 1",
    } do
      local config, said, code = read(rules, text)
      assert.is_nil(config)
      assert.are.equal("EINVAL", code)
      assert.are.equal(message, said:sub(1, #message))
    end
    assert.is_nil((hv.read_config({}, "/none/at/all.conf")))
  end)

  it("has only defaults where hvlua was given no file, and throws for bad rules", function()
    assert.are.same({ port = 1 }, hv.read_config { port = { "port", 1 } })
    assert.has_error(function() hv.read_config { port = "port" } end)
    assert.has_error(function() hv.read_config { port = { "prt" } } end)
    assert.has_error(function() hv.read_config(1) end)
    assert.has_error(function()
      read({ a = { function() error("a bug of the rule", 0) end } }, "a = 1")
    end, "a bug of the rule")
  end)
end)
