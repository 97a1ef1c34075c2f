--- hv.semaphore - lets a number of tasks at something at the same time.
---
---   local slots = hv.semaphore(4)
---   slots:acquire()
---   hv.defer(function() slots:release() end)
local misuse = require("_hv.loop").misuse
local wait = require "hv.wait"
local waiters = require "hv.waiters"

local M = {}

local Semaphore = {}
local meta = { __index = Semaphore, __name = "hv.semaphore" }

function meta:__tostring()
  return ("hv.semaphore{%d free, %d waiting}"):format(self._count, self._waiters.count)
end

--- Makes a semaphore.
---@param count integer how many may have it at once; 0: none before a release
---@return hv.Semaphore
function M.new(count)
  if type(count) ~= "number" or count < 0 or count % 1 ~= 0 then
    return misuse("hv.semaphore: count must be an integer from 0, got " .. tostring(count))
  end
  return setmetatable({ _count = count, _waiters = waiters.new() }, meta)
end

--- Takes one; waits until there is one, the first come the first served.
---@async
---@param timeout? integer milliseconds; none by default
---@return true? ok
---@return string? message
---@return hv.ErrCode? code ETIMEDOUT
Semaphore.acquire = wait.both_forms(function(self, timeout)
  if self._count > 0 then
    self._count = self._count - 1
    return true
  end
  local ok, _, code = waiters.wait(self._waiters, nil, timeout)
  if ok then return true end
  return nil, "semaphore:acquire: timed out", code
end)

--- Gives one back.
---@param count? integer how many; 1
function Semaphore:release(count)
  if count == nil then count = 1 end
  if type(count) ~= "number" or count < 1 or count % 1 ~= 0 then
    return misuse("semaphore:release: count must be an integer from 1, got " .. tostring(count))
  end
  for _ = 1, count do
    if not waiters.serve(self._waiters, true) then self._count = self._count + 1 end
  end
end

--- How many are free.
---@return integer
function Semaphore:count() return self._count end

return M
