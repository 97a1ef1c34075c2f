--- wire.lua - the cases of spec/wire/http1 as byte strings; its README tells the format.
local M = {}

local escapes = { r = "\r", n = "\n", t = "\t", ["0"] = "\0", ["\\"] = "\\" }

local function unescape(text)
  text = text:gsub("\\%*(%d+){(.-)}", function(count, piece) return piece:rep(tonumber(count)) end)
  return (text:gsub("\\(x?)(.)(%x?)", function(is_hex, first, second)
    if is_hex == "x" then return string.char(tonumber(first .. second, 16)) end
    return assert(escapes[first], first) .. second
  end))
end

--- Every case of a folder of such files: a list of { name =, input = }.
function M.cases(folder)
  local list = {}
  local pipe = assert(io.popen(("ls '%s'/*.txt"):format(folder)))
  for path in pipe:lines() do
    for line in io.lines(path) do
      local name = line:match("^=== (.*)")
      local piece = line:match("^> ?(.*)")
      if name then
        list[#list + 1] = { name = name, input = "" }
      elseif piece then
        local case = list[#list]
        case.input = case.input .. unescape(piece)
      end
    end
  end
  pipe:close()
  return list
end

return M
