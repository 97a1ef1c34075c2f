---@meta _hv.process
--- What bindings/process.c gives; lua/hv/process.lua checks arguments before. And the types of
--- hv.process.
local M = {}

---@class hv.SpawnOptions
---@field [integer] string|number the program and its arguments
---@field stdin? "inherit"|"pipe"|"null"
---@field stdout? "inherit"|"pipe"|"null"
---@field stderr? "inherit"|"pipe"|"null"|"stdout"
---@field env? table<string, string|number> the whole environment; without it ours
---@field cwd? string
---@field group? boolean   a process group of its own; kill() is then for all of it
---@field session? boolean a session of its own, without a terminal
---@field kill? boolean    it is killed where it runs longer than we do

---@class hv.RunOptions
---@field [integer] string|number the program and its arguments
---@field input? string
---@field timeout? integer milliseconds; 0: none
---@field max_output? integer|string "16M"
---@field stdout? "inherit"|"pipe"|"null"
---@field stderr? "inherit"|"pipe"|"null"|"stdout"
---@field env? table<string, string|number>
---@field cwd? string

---@class hv.RunResult
---@field status? integer 0..255; nil where a signal ended it
---@field signal? string  "term", "kill" ...
---@field stdout? string  where it was piped
---@field stderr? string

---@class hv.Process
---@field pid integer
---@field stdin? hv.Tcp  to write, where piped; closing it ends the program's input
---@field stdout? hv.Tcp to read
---@field stderr? hv.Tcp to read
---@field status? integer after the end
---@field signal? string  after an end by a signal: "term" ...
local Process = {}

---@async
---@param timeout? integer milliseconds; without it as long as it runs
---@return integer? status
---@return string? message
---@return "ESIGNAL"|hv.ErrCode|nil code ESIGNAL, ETIMEDOUT
function Process:wait(timeout) end

---@param signal? string|integer "term" (default), "kill", "hup" ...; 0 only asks whether it runs
---@return true? ok
---@return string? message
---@return hv.ErrCode? code ESRCH where it has ended, EPERM
function Process:kill(signal) end

---@return hv.Process
function Process:ref() end
--- It no longer keeps this program running.
---@return hv.Process
function Process:unref() end

---@param argv string[]
---@param env? string[] "NAME=value"
---@param cwd? string
---@param stdin integer
---@param stdout integer
---@param stderr integer
---@param flags integer
---@return hv.Process? process
---@return string? message
---@return hv.ErrCode? code
function M.spawn(argv, env, cwd, stdin, stdout, stderr, flags) end

---@return string[] entries "NAME=value"
function M.environ() end

---@param process hv.Process
---@param key string
---@return any
function M.field(process, key) end

return M
