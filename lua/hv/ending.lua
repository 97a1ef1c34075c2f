--- hv.ending - what is to be done when the program ends, whether its loop has ended or os.exit was
--- called. Private.
local raw = require "_hv.profile"

local M = {}

local functions = {}

--- Calls the functions, the last first; each once.
function M.run()
  while #functions > 0 do
    local ok, message = pcall(table.remove(functions))
    if not ok then io.stderr:write("hvlua: ", require("hv.show").error_text(message), "\n") end
  end
end

--- Adds a function. It must not wait.
function M.add(fn)
  if #functions == 0 then raw.at_end(M.run) end
  functions[#functions + 1] = fn
end

return M
