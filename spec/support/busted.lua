-- busted.lua - runs busted inside hvlua, so that specs may wait:
--
--   build/bin/hvlua spec/support/busted.lua [options of busted] FILE...
--
-- Busted reports failure by throwing nil out of the main script. A main script that has waited is a
-- task like any other here, whose error would be logged and the status lost; so the process ends
-- by os.exit in both cases.

require("busted.compatibility").exit = function(code)
  io.stdout:flush()
  os.exit(code == 0 and 0 or 1, true)
end

require("busted.runner")({ standalone = false })

-- What a spec has left open, a cron timer say, must not keep the process waiting.
require("hv").stop(0)
