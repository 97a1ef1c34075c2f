local hv = require "hv"

describe("hv.metrics under attack", function()
  it("has one series for values that read the same, whatever a peer calls itself", function()
    local hits = hv.metrics.counter("attack_hits_total", { labels = { "who" }, max_series = 3 })
    hits:with(200):inc()
    hits:with("200"):inc()
    assert.equal(hits:with(200), hits:with("200"))
    hits:with(0 / 0):inc()
    hits:with("other"):inc()
    for i = 1, 50 do hits:with("x" .. i):inc() end
    local seen = {}
    for line in hv.metrics.text():gmatch("[^\n]+") do
      local series = line:match("^(attack_hits_total%b{})")
      if series then
        assert.is_nil(seen[series], series)
        seen[series] = tonumber(line:match("(%S+)$"))
      end
    end
    assert.equal(2, seen['attack_hits_total{who="200"}'])
    assert.equal(51, seen['attack_hits_total{who="other"}'])
  end)

  it("escapes what a peer writes into a label", function()
    local hits = hv.metrics.counter("attack_names_total", { labels = { "who" } })
    hits:with('a"} 1\nevil_total{x="\\'):inc()
    local wanted = 'attack_names_total{who="a\\"} 1\\nevil_total{x=\\"\\\\"} 1\n'
    assert.matches(wanted, hv.metrics.text(), 1, true)
  end)
end)
