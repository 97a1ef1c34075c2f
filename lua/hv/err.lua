--- hv.err - the constant codes of failures, the third value of `nil, message, code`.
---
---   if code == hv.err.ECONNREFUSED then ... end
---
--- A code is its own name, so comparing with the string is the same; what this table adds is that
--- a misspelt name throws. Errors of the kernel without an entry here keep their errno's name.
local loop = require "_hv.loop"

local names = {
  "E2BIG", "EACCES", "EADDRINUSE", "EADDRNOTAVAIL", "EAGAIN", "EBADF", "EBUSY", "ECANCELED",
  "ECLOSED", "ECONNABORTED", "ECONNREFUSED", "ECONNRESET", "EEXIST", "EFAILED", "EHOSTUNREACH",
  "EINVAL", "EIO", "EISDIR", "ELIMIT", "ELOOP", "EMFILE", "ENAMETOOLONG", "ENETUNREACH", "ENOENT",
  "ENOMEM", "ENOSPC", "ENOTCONN", "ENOTDIR", "ENOTEMPTY", "ENOTFOUND", "EOF", "EOPNOTSUPP", "EPERM",
  "EPIPE", "EPROTO", "EREDIS", "EREMOTEIO", "EROFS", "ESIGNAL", "ESRCH", "ETIMEDOUT", "ETLS",
  "EXDEV",
}

local err = {}
for _, name in ipairs(names) do err[name] = name end

return setmetatable(err, {
  __index = function(_, name)
    return loop.misuse(("hv.err: there is no code %s"):format(tostring(name)))
  end,
})
