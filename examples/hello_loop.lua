-- hello_loop.lua - a loop with every kind of event: idle work, timers, a function put off to the
-- next pass, and a signal that ends it.
--
--     hvlua hello_loop.lua          # ends after three seconds or Ctrl-C
local hv = require "hv"

hv.idle(function() print("idle: nothing else was due") end)
hv.every(1000, function() print("timer: time=" .. os.time() .. "s") end)
hv.next(function() print("custom: hello, loop") end)

hv.on_signal("int", function()
  print("signal int")
  hv.stop()
end)

hv.sleep(3500)
print("end")
hv.stop()
