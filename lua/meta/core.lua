---@meta hv
--- The core of hv: what bindings/task*.c, loop.c and timer.c give. Functions of modules that are
--- written in Lua are documented where they stand (lua/hv); spec/hv/meta_spec.lua compares.

---@alias hv.ErrCode string a constant of hv.err: "ECONNREFUSED", "ETIMEDOUT", "EOF", "ECLOSED" ...

---@class hv.Task
local Task = {}

--- Waits for the end of the task and returns what its function has returned. A task that threw
--- gives nil, the message and EFAILED, and its error is then not reported to hv.on_error.
---@async
---@param timeout? integer milliseconds; none by default
---@return any ... results, or nil, message, code: EFAILED, ECANCELED, ETIMEDOUT
function Task:join(timeout) end

--- Throws in the task where it waits, now and at each further wait. A task that has not started
--- does not start.
---@return boolean whether it had not ended yet
function Task:cancel() end

---@return "ready"|"running"|"waiting"|"finished"|"failed"|"canceled"
function Task:status() end

--- Where the task waits, line by line, and the lines of hv.go that have started it and its parents.
---@return string
function Task:traceback() end

---@class hv.Timer
local Timer = {}

--- Its function is not called again. May be called twice.
function Timer:stop() end

--- Starts the wait anew, also after it has fired or was stopped. Not for cron.
---@param ms? number the new wait
---@return hv.Timer self
function Timer:reset(ms) end

--- Keeps the program running (as it does from the start), or not.
---@return hv.Timer self
function Timer:ref() end
---@return hv.Timer self
function Timer:unref() end

--- Of hv.idle and hv.on_signal.
---@class hv.Watcher
local Watcher = {}

function Watcher:stop() end
---@return hv.Watcher self
function Watcher:ref() end
---@return hv.Watcher self
function Watcher:unref() end

---@class hv
---@field version string
---@field crypto hv.crypto
---@field dns hv.dns
---@field err table<string, hv.ErrCode>
---@field fs hv.fs
---@field http hv.http
---@field json hv.json lua-cjson: encode, decode, null ...
---@field limits table<string, integer>
---@field config table the INI file of hvlua -c: { key = value, section = { key = value } }
---@field port? integer of hvlua -p, or of the INI file
---@field worker_id integer 0 .. worker_count - 1
---@field worker_count integer
---@field log hv.log
---@field metrics hv.metrics
---@field mqtt hv.mqtt
---@field process hv.process
---@field protobuf hv.protobuf
---@field redis hv.redis
---@field requests hv.requests
---@field shared hv.shared
---@field tcp hv.tcp
---@field tls hv.tls
---@field udp hv.udp
---@field unpack hv.unpack
---@field url hv.url
---@field worker hv.worker
---@field ws hv.ws
local hv = {}

--- Starts fn(...) as a task, in the next pass of the loop, in the order of the calls.
---@param fn function
---@return hv.Task
function hv.go(fn, ...) end

--- The same without a task to hold: calls fn(...) in the next pass.
---@param fn function
function hv.next(fn, ...) end

--- Waits, never less than `ms`. 0 lets everything that is ready run first.
---@async
---@param ms number
---@return true
function hv.sleep(ms) end

--- Runs fn when the current task has ended, the last given first; each as a task of its own.
---@param fn function
function hv.defer(fn) end

--- Hands values from task to task: lua/hv/channel.lua.
---@param capacity? integer values that may wait in it; 0: a send waits for its receiver
---@return hv.Channel
function hv.channel(capacity) end

--- Lets `count` tasks at something at the same time; who comes when all are taken waits.
---
---   local slots = hv.semaphore(4)
---   slots:acquire()
---   hv.defer(function() slots:release() end) -- at the end of this task, however it ends
---@param count integer
---@return hv.Semaphore
function hv.semaphore(count) end

---@return hv.Task? the running task
function hv.current() end

--- Calls fn(...) once, not before `ms` have passed.
---@param ms number 0: in the next pass
---@param fn function
---@return hv.Timer
function hv.after(ms, fn, ...) end

--- Calls fn(...) every `ms`, without drift. A beat is skipped while the last run still waits.
---@param ms number above 0
---@param fn function
---@return hv.Timer
function hv.every(ms, fn, ...) end

--- Calls fn(...) at the times of a crontab line: minute hour day month weekday, local time.
---@param line string "30 1 * * *"; *, numbers, ranges 1-5, steps */5, lists 0,30, English names
---@param fn function
---@return hv.Timer
function hv.cron(line, fn, ...) end

--- Runs all functions at once and waits for all of them; the first that fails cancels the others.
---@async
---@param ... { timeout?: integer }|fun(): any
---@return any ... the first result of each, or nil, message, code
function hv.all(...) end

--- Runs all functions at once and returns what the first to end has returned; the others are
--- cancelled.
---@async
---@param ... { timeout?: integer }|fun(): any
---@return any ... its results, or nil, message, code
function hv.race(...) end

--- Runs fn(...) as a task that is cancelled after `ms`.
---@async
---@param ms integer
---@param fn function
---@return any ... its results, or nil, message, ETIMEDOUT
function hv.timeout(ms, fn, ...) end

--- Calls fn(s) and returns its results once every task of s:go has ended as well. The first error
--- of any of them cancels the others and is thrown here. A cancelled caller cancels all of them.
---@async
---@param fn fun(s: hv.Scope): any
---@param on_end? function gets the results instead
---@return any ... results of fn
function hv.scope(fn, on_end) end

---@class hv.Scope
local Scope = {}

--- Starts fn(...) as a task of the scope.
---@param fn function
---@return hv.Task
function Scope:go(fn, ...) end

--- A task (but not the main script) that runs for longer without waiting is warned of in the log,
--- with its file and line, once a place. Measured in steps of a few milliseconds.
---@param ms? integer|false 200 by default, option --slow of hvlua; 0 or false: never
---@return integer ms what was set before
function hv.slow_callback(ms) end

--- Calls fn in every pass in which nothing else was due; the loop does not sleep meanwhile.
---@param fn function
---@return hv.Watcher
function hv.idle(fn) end

--- Calls fn(name) for each delivery. It does not keep the program running, unless :ref() says so.
---@param name "term"|"int"|"hup"|"quit"|"usr1"|"usr2"|"chld"|"cont"|"alrm"|"winch"|"tstp"|"pipe"
---@param fn fun(name: string)
---@return hv.Watcher? watcher
---@return string? message
---@return hv.ErrCode? code
function hv.on_signal(name, fn) end

--- Ends the program gently, and returns at once: listeners close, requests in flight are answered
--- with `Connection: close`, handlers and hv.on_shutdown's functions may finish; after `grace`, or
--- when all that is done, every task is cancelled and the loop stops. Called again it can only
--- shorten the grace.
---@param opts? { grace?: integer, status?: integer } milliseconds, 10000; the exit status, 0
function hv.shutdown(opts) end

--- Reads a configuration file by rules, { name = { kind, default }, sections = { name = rules } },
--- and says what is wrong with it: an unknown name or section with the nearest one that is known,
--- and a bad value, each with file and line. A section "host *" takes [host example.org] and the
--- like, a name "*" takes any.
---
---   local config = assert(hv.read_config {
---     port = { "port", 8080 }, timeout = { "time", 30000 },
---     sections = { ["host *"] = { root = { "string" } }, users = { ["*"] = { "string" } } },
---   }) -- config.port, config.host["example.org"].root, config.users.ann
---
--- Kinds are "string", "boolean" (on, off, yes, no ...), "integer", "port", "size" ("64K"), "time"
--- ("30s", "500ms"; a bare number is seconds; the value is milliseconds) and functions of text and
--- name, which return a value, or nil and what is wrong. A section that the file has not is nil.
---@param rules table
---@param path? string the file; without it that of `hvlua -c`, and only defaults without that
---@return table? config
---@return string? message 'etc/httpd.conf:7: unknown name "prot", did you mean "port"?'
---@return hv.ErrCode? code EINVAL
function hv.read_config(rules, path) end

--- Calls `fn` when a shutdown begins, as a task that is waited for.
---@param fn fun()
function hv.on_shutdown(fn) end

--- Gets every error that nobody else does; nil: stderr, and hvlua exits with 1 where it then ends
--- by itself. Runs as a task; its own error goes to stderr.
---@param fn? fun(message: string, traceback: string, task: hv.Task?)
function hv.on_error(fn) end

--- Milliseconds of a monotonic clock, read once a pass of the loop.
---@return number
function hv.now() end

--- Nanoseconds of the same clock, now.
---@return number
function hv.hrtime() end

--- Ends the program after this pass.
---@param status? integer 0..255
function hv.stop(status) end

--- Runs the loop until nothing is left to wait for. hvlua does it itself: there it returns at once.
---@return integer status
function hv.run() end

return hv
