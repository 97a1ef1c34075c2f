--- hv.json - lua-cjson: `encode(value)`, `decode(text)`, `null`. Both throw where it cannot be done.
return require "cjson"
