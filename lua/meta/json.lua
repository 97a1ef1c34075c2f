---@meta

---@class hv.json
---@field null userdata stands for JSON's null, which decode gives and encode takes
local M = {}

--- Makes JSON of a value: nil, booleans, numbers, strings, tables of them. A table whose keys are
--- 1, 2, 3 ... becomes an array, any other an object. The empty table becomes `{}`: a handler whose
--- list may be empty answers with { headers = { ["Content-Type"] = "application/json" },
--- body = "[]" } then.
---@param value any throws for functions, coroutines, and tables more than 1000 deep
---@return string text
function M.encode(value) end

--- Reads JSON; throws where it is none, and for further arguments: decode((conn:read())). What a
--- peer says is read by pcall(hv.json.decode, text), or by req:json() and reply:json(): they return
--- nil, message, code then.
---@param text string
---@return any value
function M.decode(text) end

return M
