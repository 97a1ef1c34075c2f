--- hv.json - lua-cjson: `encode(value)`, `decode(text)`, `null`. Both throw where there is no way.
return require "cjson"
