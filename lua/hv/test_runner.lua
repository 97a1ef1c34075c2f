--- hv.test_runner - `hvlua --test [options of busted] [files]`: runs busted's specs inside the
--- loop, so `it`, `before_each` and all others may wait. Private.
---
--- Exit status: 0 where all has passed, 1 where anything has failed, 2 without busted.
local hv = require "hv"

--- Busted reports failure by throwing nil out of the main script. A main script that has waited is
--- a task like any other here, so the process ends by os.exit.
local function end_by_exit(compatibility)
  compatibility.exit = function(code)
    io.stdout:flush()
    os.exit(code == 0 and 0 or 1, true)
  end
end

return function(arguments)
  local ok, compatibility = pcall(require, "busted.compatibility")
  if not ok then
    io.stderr:write("hvlua: --test needs busted, which is not installed for Lua 5.1 ",
      "(Debian: lua-busted; luarocks: luarocks --lua-version 5.1 install busted)\n")
    return hv.stop(2)
  end
  end_by_exit(compatibility)
  local globals = getfenv(0)
  globals.arg = arguments
  arguments[0] = "hvlua"
  select(2, pcall(require, "busted.runner")) { standalone = false }
  -- What a spec has left open, a cron timer say, must not keep the process waiting.
  return hv.stop(0)
end
