-- What `.help NAME` tells at the prompt, and the names that Tab offers behind it.
local help = require "hv.help"
local hv = require "hv"

--- Every public function of hv and its modules, by its whole name.
local function each_function(visit)
  local function look(name, module)
    for key, value in pairs(module) do
      if type(value) == "function" and type(key) == "string" and not key:find("^_") then
        visit(name .. "." .. key)
      end
    end
  end
  look("hv", hv)
  for noun in pairs(getmetatable(hv).__names) do
    if noun ~= "json" then look("hv." .. noun, hv[noun]) end -- lua-cjson's own
  end
  look("hv.http.middleware", hv.http.middleware)
end

describe("hv.help", function()
  it("tells a function with its parameters, its results and the fields of its options", function()
    local text = help.text("hv.tcp.listen")
    assert.matches("^hv%.tcp%.listen%(opts, handler%)\n  Listens for connections%.\n", text)
    assert.matches("\nParameters:\n  opts .-\n  handler%? .-\nReturns:\n  hv%.TcpServer%? ", text)
    assert.matches("\nhv%.TcpListenOptions:\n", text)
    assert.matches("\n  reuse_port%?  ", text)
    assert.matches("\n  read_timeout%?  ", text) -- inherited of hv.TcpStreamOptions
    assert.matches("\nSee also:\n  hv%.Tcp, hv%.TcpServer$", text)
    assert.equal(text, help.text("hv.tcp.listen()"))
    assert.equal(text, help.text("HV.TCP.Listen"))
  end)

  it("knows every public function", function()
    each_function(function(name)
      assert.equal(name .. "(", help.text(name):sub(1, #name + 1))
    end)
  end)

  it("tells methods and fields by the noun, and by the class", function()
    assert.matches("^ws:send%(data, kind%)  %(waits%)\n  Sends a message", help.text("ws:send"))
    assert.equal(help.text("ws:send"), help.text("ws.send"))
    assert.equal(help.text("ws:send"), help.text("hv.Ws:send"))
    assert.matches("^req%.path, a field of hv%.HttpRequest\n  path  string  as sent",
      help.text("req.path"))
    -- Several classes share a noun: all of them are told.
    local text = help.text("client:close")
    assert.truthy(select(2, text:gsub("client:close%(", "")) >= 2)
  end)

  it("tells modules and classes with what is in them", function()
    local text = help.text("hv.http")
    assert.matches("^  hv%.http %- HTTP servers and clients%.\n", text)
    assert.matches("\nFunctions:\n  hv%.http%.app, hv%.http%.client,", text)
    assert.matches("\nClasses:\n.*hv%.HttpApp", text)
    for line in text:match("\nFunctions:\n(.*)$"):gmatch("[^\n]+") do
      assert.is_true(#line <= 80, line)
    end
    assert.matches("^  hv%.json %- ", help.text("hv.json"))
    -- A module and a class of nearly the same name.
    assert.matches("^  hv%.tcp %- ", help.text("hv.tcp"))
    assert.matches("^hv%.Tcp %(conn%)\nFields:\n.*\nMethods:\n  conn:chunks, ",
      help.text("hv.Tcp"))
    assert.equal(help.text("hv.Tcp"), help.text("conn"))
    assert.equal(help.text("hv.HTTPAPP"), help.text("hv.HttpApp"))
  end)

  it("finds the one that ends so, and else names those that may have been meant", function()
    assert.equal(help.text("hv.http.middleware.cors"), help.text("cors"))
    assert.equal(help.text("hv.http.middleware.cors"), help.text("mw.cors"))
    assert.equal("there is no help on hv.tcp.lisen\nDid you mean:\n  hv.tcp.listen",
      help.text("hv.tcp.lisen"))
    assert.matches("^there is no help on read\nDid you mean:\n  .*conn:read", help.text("read"))
    assert.equal("there is no help on xyzzy", help.text("xyzzy"))
    assert.matches("^there is no help on %(\n?", help.text("("))
    assert.equal("there is no help on " .. ("x"):rep(1000), help.text(("x"):rep(1000)))
  end)

  it("goes on from a name that has begun, part by part", function()
    assert.same({ "conn:read", "conn:read_line", "conn:read_until", "conn:ref" },
      help.names("conn:r"))
    assert.same({ "hv.tcp", "hv.tcp.client", "hv.tcp.connect", "hv.tcp.listen" },
      help.names("hv.tcp"))
    assert.same({ "hv.tcp.client", "hv.tcp.connect", "hv.tcp.listen" }, help.names("hv.tcp."))
    assert.same({}, help.names("hv.none."))
    local first = {}
    for _, name in ipairs(help.names("")) do
      first[name] = true
      assert.is_nil(name:find("[.:]"))
    end
    assert.is_true(first.hv and first.conn and first.ws and first.req)
  end)
end)
