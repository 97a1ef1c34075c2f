--- hv - the event loop for Lua.
---
--- `local hv = require "hv"` gives the core; what lives in a module of its own (`hv.tcp`,
--- `hv.http` ...) is loaded when it is first used. Everything that waits lets other tasks run
--- meanwhile, and also takes a trailing function that gets the results instead.
local channel = require "hv.channel"
local loop = require "_hv.loop"
local scope = require "hv.scope"
local semaphore = require "hv.semaphore"
local shutdown = require "hv.shutdown"
local task = require "hv.task"
local timer = require "hv.timer"

local hv = {
  version = loop.version,

  now = loop.now,
  hrtime = loop.hrtime,
  run = loop.run,
  stop = loop.stop,
  shutdown = shutdown.shutdown,
  on_shutdown = shutdown.on_shutdown,
  on_error = loop.on_error,
  on_signal = loop.on_signal,
  idle = loop.idle,

  go = task.go,
  next = task.next,
  sleep = task.sleep,
  defer = task.defer,
  current = task.current,
  all = task.all,
  race = task.race,
  timeout = task.timeout,
  scope = scope.scope,
  slow_callback = task.slow_callback,

  channel = channel.new,
  semaphore = semaphore.new,

  after = timer.after,
  every = timer.every,
  cron = timer.cron,

  -- Of hvlua's server options: the INI file as a table, { key = value, section = { key = value } };
  -- the port of -p, or of the file; which worker this is, 0 .. worker_count - 1.
  config = shutdown.facts.config,
  read_config = function(rules, path) return require("hv.config_file").read(rules, path) end,
  port = shutdown.facts.port,
  worker_id = shutdown.facts.worker_id,
  worker_count = shutdown.facts.worker_count,
}

--- Modules of their own, loaded on first use.
local modules = {
  crypto = true, dns = true, err = true, fs = true, http = true, json = true, limits = true,
  log = true, metrics = true, mqtt = true, process = true, protobuf = true, redis = true,
  requests = true, shared = true, tcp = true, tls = true, udp = true, unpack = true, url = true,
  worker = true, ws = true,
}

return setmetatable(hv, {
  __names = modules, -- for completion at the prompt
  __index = function(self, name)
    if not modules[name] then return nil end
    local module = require("hv." .. name)
    rawset(self, name, module)
    return module
  end,
})
