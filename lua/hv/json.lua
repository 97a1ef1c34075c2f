--- hv.json - JSON, by lua-cjson; what is not said here stands in its manual.
---
---   local text = hv.json.encode { id = 1, tags = { "a", "b" }, parent = hv.json.null }
---   print(hv.json.decode(text).tags[2]) --> b
return require "cjson"
