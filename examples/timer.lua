-- timer.lua - one-shot, repeating and calendar timers; reset and stop.
--
--     hvlua timer.lua          # ends after about a second, when no timer is left
local hv = require "hv"

local beats = 0
local beat
beat = hv.every(100, function()
  beats = beats + 1
  print("beat " .. beats)
  if beats == 5 then
    print("stopped in its own callback")
    beat:stop()
  end
end)

hv.after(250, function() print("once, after 250 ms") end)

local late = hv.after(400, function() print("the timer that was put off") end)
hv.after(300, function()
  print("put off to 600 ms from now")
  late:reset(600)
end)

-- Every full minute, but not worth staying for.
hv.cron("* * * * *", function() print("a full minute") end):unref()
