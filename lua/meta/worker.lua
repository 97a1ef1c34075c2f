---@meta _hv.worker
--- What bindings/worker.c gives, and the types of hv.worker, hv.channel and hv.semaphore. Messages
--- cross as bytes (lua/hv/wire.lua).
local M = {}

--- Values that can be sent: nil, booleans, numbers, strings, and tables of them.
---@alias hv.Sendable nil|boolean|number|string|table

--- A thread with a loop and a state of its own.
---@class hv.Worker
local Worker = {}

--- Sends a value to the worker's ch:recv. Waits while too much was not taken there.
---@async
---@param value hv.Sendable
---@param timeout? integer milliseconds; none by default
---@return true? ok
---@return string? message
---@return hv.ErrCode? code ECLOSED (it has ended, or close was called), ETIMEDOUT
function Worker:send(value, timeout) end

--- Takes the next value that it has sent.
---@async
---@param timeout? integer milliseconds; none by default
---@return hv.Sendable value
---@return string? message
---@return hv.ErrCode? code ECLOSED (it has ended and all was taken), ETIMEDOUT
function Worker:recv(timeout) end

--- `for value in w:iter()`: until it has ended; a nil is left out.
---@async
---@return fun(): hv.Sendable
function Worker:iter() end

--- Nothing more is sent to it: its ch:recv gives ECLOSED behind what was, its ch:iter() ends.
--- Receiving goes on. May be called twice.
function Worker:close() end

--- Waits for its end. An error of its function has then also reached hv.on_error.
---@async
---@param timeout? integer milliseconds; none by default
---@return hv.Sendable ... what its function has returned; or nil, message, code
---@return string? message
---@return hv.ErrCode? code EFAILED (it threw), ECANCELED (stop), ETIMEDOUT
function Worker:join(timeout) end

--- Cancels its main task, as task:cancel() does, and ends its loop then. What computes without
--- ever waiting cannot be stopped.
---@return boolean whether it was running
function Worker:stop() end

--- Keeps the program running while it runs (as it does from the start), or not. A program that
--- ends stops its workers first.
---@return hv.Worker self
function Worker:ref() end
---@return hv.Worker self
function Worker:unref() end

--- The worker's own end: the first argument of its function.
---@class hv.WorkerChannel
local WorkerChannel = {}

---@async
---@param value hv.Sendable
---@param timeout? integer
---@return true? ok
---@return string? message
---@return hv.ErrCode? code
function WorkerChannel:send(value, timeout) end

---@async
---@param timeout? integer
---@return hv.Sendable value
---@return string? message
---@return hv.ErrCode? code
function WorkerChannel:recv(timeout) end

---@async
---@return fun(): hv.Sendable
function WorkerChannel:iter() end

function WorkerChannel:close() end

--- Tasks of one state hand each other values through it: see lua/hv/channel.lua.
---@class hv.Channel

--- Slots that tasks take and give back: hv.semaphore makes them.
---@class hv.Semaphore

return M
