--- hv.err - the constant codes of failures, the third value of `nil, message, code`.
---
---   if code == hv.err.ECONNREFUSED then ... end
---
--- A code is its own name, so comparing with the string is the same; what this table adds is that
--- a misspelt name throws. Errors of the kernel without an entry here keep their errno's name.
local loop = require "_hv.loop"

local names = {
  "EADDRINUSE", "EADDRNOTAVAIL", "EACCES", "EAGAIN", "EBUSY", "ECANCELED", "ECLOSED",
  "ECONNABORTED", "ECONNREFUSED", "ECONNRESET", "EFAILED", "EHOSTUNREACH", "EINVAL", "ELIMIT",
  "EMFILE", "ENETUNREACH", "ENOENT", "ENOMEM", "ENOTCONN", "ENOTFOUND", "EOF", "EPIPE", "EPROTO",
  "EREMOTEIO", "ETIMEDOUT", "ETLS",
}

local err = {}
for _, name in ipairs(names) do err[name] = name end

return setmetatable(err, {
  __index = function(_, name)
    return loop.misuse(("hv.err: there is no code %s"):format(tostring(name)))
  end,
})
