--- hv.start - what every state of hvlua begins with, the main script's and each worker's:
--- coroutines and `require` that may wait, finalizers whose errors are told, and more room for
--- compiled code than LuaJIT's default, which a program of handlers outgrows. Private to lua/hv.
return function()
  require("hv.finalizers").install()
  require("hv.coroutines").install()
  require("hv.loading").install()
  local ok, opt = pcall(require, "jit.opt")
  if ok then opt.start("maxtrace=4000", "maxmcode=8192", "sizemcode=64", "maxrecord=8000") end
end
