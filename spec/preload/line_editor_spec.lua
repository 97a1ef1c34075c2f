-- The prompt in a terminal where there is no memory for a while.
local tmux = require "tmux"

describe("the prompt without memory for its events", function()
  it("loses no line that was typed", function()
    local log = os.tmpname()
    local terminal = tmux.open {
      NO_MEMORY = os.getenv "HV_NO_MEMORY", NO_MEMORY_TIMES = "5", NO_MEMORY_LOG = log,
    }
    terminal:shell("clear; LD_PRELOAD=$NO_MEMORY $HVLUA")
    terminal:expect("%.help helps\n> $")
    terminal:say("40 + 2")
    terminal:expect("\n42\n> $")
    terminal:say("100 + 11")
    terminal:expect("\n111\n> $")
    terminal:close()
    local file = assert(io.open(log))
    local count = #file:read("*a")
    file:close()
    os.remove(log)
    assert.equal(5, count)
  end)
end)
