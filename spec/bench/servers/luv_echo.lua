local uv = require "luv"
local s = uv.new_tcp()
s:bind("127.0.0.1", tonumber(arg[1]))
s:listen(4096, function()
  local c = uv.new_tcp()
  s:accept(c)
  c:nodelay(true)
  c:read_start(function(_, chunk)
    if chunk then c:write(chunk) else c:close() end
  end)
end)
uv.run()
