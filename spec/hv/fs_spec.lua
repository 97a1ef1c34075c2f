local helper = require "helper"
local hv = require "hv"

local fs = hv.fs

describe("hv.fs", function()
  local dir

  before_each(function() dir = assert(fs.tmpdir("hv-fs-spec-")) end)
  after_each(function() assert(fs.remove(dir, { recursive = true })) end)

  local function path(name) return dir .. "/" .. name end

  local function names()
    local list = {}
    for name, kind in assert(fs.scan(dir)) do list[#list + 1] = name .. ":" .. kind end
    return table.concat(list, " ")
  end

  it("writes, reads and appends whole files", function()
    assert.is_true(fs.write(path "a", "one\0two"))
    assert.equal("one\0two", fs.read(path "a"))
    assert.is_true(fs.append(path "a", { "-", "three" }))
    assert.equal("one\0two-three", fs.read(path "a"))
    assert.is_true(fs.write(path "a", ""))
    assert.equal("", fs.read(path "a"))
    assert.is_true(fs.write(path "a", "new", { atomic = true, sync = true }))
    assert.equal("new", fs.read(path "a"))
    assert.equal("a:file", names())
  end)

  it("returns nil, message and errno's name", function()
    local data, message, code = fs.read(path "none")
    assert.is_nil(data)
    assert.equal("read " .. path "none" .. ": no such file or directory", message)
    assert.equal("ENOENT", code)
    assert.equal("EISDIR", select(3, fs.read(dir)))
    assert.equal("ENOENT", select(3, fs.write(path "no/file", "x")))
    assert(fs.write(path "a", "12345"))
    assert.equal("EEXIST", select(3, fs.write(path "a", "x", { exclusive = true })))
    assert.equal("ELIMIT", select(3, fs.read(path "a", { max = 4 })))
    assert.equal("12345", fs.read(path "a", { max = 5 }))
    assert.equal("ENOTDIR", select(3, fs.scan(path "a")))
  end)

  it("takes a function instead of waiting", function()
    local note, calls = helper.recorder()
    fs.write(path "a", "text", note)
    fs.read(path "none", note)
    assert.equal(0, #calls)
    helper.eventually(function() return #calls == 2 end)
    table.sort(calls, function(a, b) return a.n < b.n end)
    assert.same({ n = 1, true }, calls[1])
    assert.equal(3, calls[2].n)
    assert.equal("ENOENT", calls[2][3])
  end)

  it("lets other tasks run meanwhile", function()
    local order = {}
    local task = hv.go(function()
      fs.read("/proc/self/status")
      order[#order + 1] = "read"
    end)
    hv.go(function() order[#order + 1] = "other" end)
    task:join()
    assert.same({ "other", "read" }, order)
  end)

  it("tells facts", function()
    assert(fs.write(path "a", "12345"))
    local stat = assert(fs.stat(path "a"))
    assert.equal("file", stat.type)
    assert.equal(5, stat.size)
    assert.equal(0, stat.mode % 1)
    assert.is_true(math.abs(stat.mtime - os.time()) < 100)
    assert.equal("directory", fs.stat(dir).type)
    assert.is_true(fs.exists(path "a"))
    assert.is_false(fs.exists(path "none"))
    assert.is_false(fs.exists(path "a/b"))
    assert.equal("link", fs.stat("/proc/self/exe", { link = true }).type)
    assert.equal("file", fs.stat("/proc/self/exe").type)
  end)

  it("makes, lists, renames and removes", function()
    assert.is_true(fs.mkdir(path "x/y", { recursive = true, mode = "700" }))
    assert.is_true(fs.mkdir(path "x/y", { recursive = true }))
    assert.equal("EEXIST", select(3, fs.mkdir(path "x")))
    assert.equal(448, fs.stat(path "x/y").mode)
    assert(fs.write(path "b", ""))
    assert.equal("b:file x:directory", names())
    assert.is_true(fs.rename(path "b", path "x/y/c"))
    assert.equal("ENOTEMPTY", select(3, fs.remove(path "x")))
    assert.is_true(fs.remove(path "x", { recursive = true }))
    assert.equal("", names())
    assert.equal("ENOENT", select(3, fs.remove(path "x")))
    assert.equal("EINVAL", select(3, fs.remove("/", { recursive = true })))
  end)

  it("opens files and reads and writes in them", function()
    local file = assert(fs.open(path "a", "w+"))
    assert.equal(path "a", file.path)
    assert.equal("hv.file{open " .. path "a" .. "}", tostring(file))
    assert.is_true(file:write("0123456789"))
    assert.is_true(file:write("AB", 4))
    assert.equal("3AB6", file:read(4, 3))
    assert.equal("EOF", select(3, file:read()))
    assert.equal(10, file:stat().size)
    assert.is_true(file:truncate(6))
    assert.is_true(file:sync())
    assert.is_true(file:close())
    assert.is_true(file:close())
    assert.equal("ECLOSED", select(3, file:read()))
    assert.equal("hv.file{closed " .. path "a" .. "}", tostring(file))
    assert.equal("0123AB", fs.read(path "a"))
    assert.equal("EEXIST", select(3, fs.open(path "a", "x")))
    assert.equal("ENOENT", select(3, fs.open(path "none")))
    file = assert(fs.open(path "new", "x", "600"))
    file:close()
    assert.equal(384, fs.stat(path "new").mode)
  end)

  it("reads lines and chunks", function()
    local long = ("x"):rep(70000)
    assert(fs.write(path "a", "one\r\ntwo\n\n" .. long .. "\nlast"))
    local file, lines = assert(fs.open(path "a")), {}
    for line in file:lines() do lines[#lines + 1] = line end
    assert.same({ "one", "two", "", long, "last" }, lines)
    file:close()
    file = assert(fs.open(path "a"))
    local bytes, count = 0, 0
    for chunk in file:chunks() do bytes, count = bytes + #chunk, count + 1 end
    file:close()
    assert.equal(70015, bytes)
    assert.equal(2, count)
  end)

  it("lets one task at a time move a file's position", function()
    local file = assert(fs.open("/dev/zero"))
    local first = hv.go(function() return file:read(10) end)
    local second = hv.go(function() return file:read(10) end)
    local a, b = { first:join() }, { second:join() }
    assert.equal(10, #a[1])
    assert.equal("EBUSY", b[3])
    file:close()
  end)

  it("closes a file only when nobody works on it any more", function()
    local file = assert(fs.open("/dev/zero"))
    local reader = hv.go(function() return file:read(1000) end)
    hv.next(function() file:close() end)
    assert.equal(1000, #assert((reader:join())))
    assert.equal("ECLOSED", select(3, file:read()))
  end)

  it("closes a file that was dropped, and one that nobody waits for any more", function()
    local function open_count()
      local count = 0
      for name in assert(fs.scan("/proc/self/fd")) do count = count + (name and 1 or 0) end
      return count
    end
    local before = open_count()
    local kept = {}
    for i = 1, 5 do kept[i] = assert(fs.open("/dev/null")) end
    for _ = 1, 5 do
      local task = hv.go(fs.open, "/dev/null")
      hv.next(function() task:cancel() end)
      task:join()
    end
    assert.is_true(open_count() >= before + 5)
    assert.equal(5, #kept)
    kept = nil -- luacheck: ignore 311
    helper.eventually(function()
      collectgarbage()
      return open_count() == before
    end)
  end)

  it("makes temporary files that are this user's own", function()
    local file = assert(fs.tmpfile(path "mine-"))
    assert.equal(path "mine-", file.path:sub(1, -7))
    assert.equal(384, fs.stat(file.path).mode)
    file:write("x")
    file:close()
    assert.equal("x", fs.read(file.path))
  end)

  it("gives up an operation whose task is cancelled", function()
    assert(os.execute("mkfifo " .. path "fifo") == 0)
    local task = hv.go(function() return fs.read(path "fifo") end)
    hv.sleep(0)
    task:cancel()
    assert.equal("ECANCELED", select(3, task:join()))
    assert.equal("ETIMEDOUT", select(3, hv.timeout(5, fs.read, path "fifo")))
    -- The threads still wait for a writer; the end of the program ends that.
    assert(fs.remove(path "fifo"))
  end)

  it("throws for wrong arguments", function()
    assert.has_error(function() fs.read() end)
    assert.has_error(function() fs.read("a\0b") end)
    assert.has_error(function() fs.write(path "a", 5) end)
    assert.has_error(function() fs.write(path "a", { "x", 5 }) end)
    assert.has_error(function() fs.write(path "a", "x", { atomic = true, append = true }) end)
    assert.has_error(function() fs.open(path "a", "rw") end)
    assert.has_error(function() fs.mkdir(path "a", { mode = "9" }) end)
    assert.has_error(function() fs.watch(dir) end)
    local ok, message = pcall(function() fs.remove(path "a", { recursiv = true }) end)
    assert.is_false(ok)
    assert.matches("fs_spec.lua:%d+: hv.fs.remove: unknown option", message)
    assert.matches("did you mean \"recursive\"", message)
  end)

  it("tells changes in a directory, in order", function()
    local seen = {}
    local watch = assert(fs.watch(dir, function(event)
      hv.sleep(0) -- a function that waits sees them in order all the same
      seen[#seen + 1] = event.kind .. " " .. event.name .. (event.is_directory and "/" or "") ..
        (event.rename and "*" or "")
    end))
    assert.equal("hv.fs.watch{" .. dir .. "}", tostring(watch))
    assert(fs.write(path "a", "x"))
    assert(fs.mkdir(path "d"))
    assert(fs.rename(path "a", path "b"))
    assert(fs.remove(path "b"))
    helper.eventually(function() return seen[#seen] == "deleted b" end)
    assert.same({ "created a", "changed a", "written a", "created d/", "deleted a*", "created b*",
      "deleted b" }, seen)
    watch:close()
    watch:close()
    assert.equal("hv.fs.watch{closed}", tostring(watch))
    assert(fs.write(path "c", "x"))
    hv.sleep(5)
    assert.equal("deleted b", seen[#seen])
  end)

  it("tells the end of what is watched, and errors in the function end nothing", function()
    local note, calls = helper.recorder()
    hv.on_error(note)
    assert(fs.write(path "a", "x"))
    local kinds = {}
    local watch = assert(fs.watch(path "a", function(event)
      kinds[#kinds + 1] = event.kind
      if event.kind == "attrib" then error("oops") end
    end))
    assert(fs.remove(path "a"))
    helper.eventually(function() return kinds[#kinds] == "gone" and #calls > 0 end)
    hv.on_error(nil)
    assert.same({ "attrib", "gone" }, kinds)
    assert.matches("oops", calls[1][1])
    assert.equal("hv.fs.watch{gone}", tostring(watch))
    assert.equal("ENOENT", select(3, fs.watch(path "a", print)))
  end)

  it("keeps the program running for an operation, and closes what is left", function()
    local output, status = helper.run([[
      local hv = require "hv"
      hv.fs.read("/proc/self/status", function(data) print(data:match("^Name:")) end)
      hv.fs.open("/dev/null")]])
    assert.equal("Name:\n", output)
    assert.equal(0, status)
  end)

  it("ends with the program while a thread waits", function()
    local _, status = helper.run([[
      local hv = require "hv"
      os.execute("mkfifo ]] .. path "fifo" .. [[")
      hv.fs.read("]] .. path "fifo" .. [[", print)
      hv.fs.stat("/", function() hv.stop(3) end)]])
    assert.equal(3, status)
  end)

  it("is shown by examples/files.lua", function()
    local output, status = helper.hvlua { "examples/files.lua" }
    assert.equal(0, status)
    assert.matches("2 files, 14 bytes\n", output)
    assert.matches("written: one.txt\n", output)
    assert.matches("written: two.txt\n", output)
    assert.matches("ENOENT\tmissing: no such file or directory\n", output)
  end)
end)
