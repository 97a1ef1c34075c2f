--- uncaught.lua - loaded by busted before each spec (.busted): an error that nobody catches, in a
--- task, a handler or a callback, fails the test in which it comes. Without it, an assertion in the
--- handler of a server would be a line on stderr, and the test would pass.
---
--- A spec that expects such errors sets hv.on_error as programs do (helper.expect_errors); the end
--- of the test and hv.on_error(nil) lead back here.
local hv = require "hv"

local errors = {}
local function note(message) errors[#errors + 1] = tostring(message) end

local set_handler = hv.on_error
function hv.on_error(handler) return set_handler(handler or note) end
set_handler(note)

require("busted").after_each(function()
  set_handler(note)
  if #errors == 0 then return end
  local text = table.concat(errors, "\n")
  errors = {}
  error("nobody caught:\n" .. text, 0)
end)
