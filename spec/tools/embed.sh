# embed.sh - the programs that carry a Lua runtime: embed, embed_poll, embed_threads.
. "$(dirname "$0")/lib.sh"

cd "$work"
"$bin/embed" >out
has_line out '^embed: a script says something at tick 0$'
has_line out '^tick 1, answered from Lua$'
has_line out '^tick 2: EFAILED: script:4: the script fails at tick 2$'
has_line out '^tick 3: ENOMEM: .*not enough memory$'
has_line out '^tick 5, answered from Lua$'
has_line out '^slow_sum: 3.5$'

# A script of the user's that is wrong in every way.
cat >bad.lua <<'LUA'
local hv = require "hv"
hv.go(function() hv.sleep(1) error("in a task") end)
hv.after(2, function() local x = nil; x() end)
function on_tick(count)
  if count == 1 then hv.sleep(1) end
  if count == 2 then error({}) end
  if count == 3 then return {} end
  if count == 4 then local function f() return f() + 1 end return f() end
  return "alive"
end
function slow_sum() error("no sum") end
LUA
"$bin/embed" bad.lua >out
has_line out '^the script failed in the background: bad.lua:2: in a task$'
has_line out 'task started at bad.lua:2$'
has_line out '^the script failed in the background: bad.lua:3: attempt to call local'
has_line out '^tick 1: EFAILED: bad.lua:5: cannot wait here: only a task may wait'
has_line out '^tick 2: EFAILED: error value: [{][}]$'
has_line out '^tick 3: EPROTO: result 1 is a table'
has_line out '^tick 4: EFAILED: .*stack overflow'
has_line out '^alive$'
has_line out '^slow_sum failed: bad.lua:11: no sum$'

echo 'x = = 1' >syntax.lua
"$bin/embed" syntax.lua >out
has_line out "^cannot load the script: .*syntax.lua:1: unexpected symbol near '='"
has_line out '^tick 5: ENOTFOUND: there is no function "on_tick"$'
"$bin/embed" missing.lua >out
has_line out '^cannot load the script: cannot open missing.lua: '

"$bin/embed_poll" >out
for i in 1 2 3; do has_line out "^LINE $i\$"; done
has_line out '^done, by poll$'
status=0
"$bin/embed_poll" missing.lua >out || status=$?
equal "status without a script" 1 "$status"

"$bin/embed_threads" 3 >out
has_line out '^total 60$'
has_line out '^script:6: only the runtime of thread 1 fails$'
has_line out '^thread 2 is done$'
has_line out '^thread 3 is done$'
for program in embed embed_poll embed_threads; do
  status=0
  "$bin/$program" --help >/dev/null 2>out || status=$?
  equal "status of $program --help" 2 "$status"
  has_line out "^Usage: $program"
done
finish
