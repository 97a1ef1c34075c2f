--- hv.mqtt_topics - which functions a topic's message is for: filters as a tree of their levels, so
--- that finding them takes as long as the topic is deep. Private to lua/hv.
local M = {}

--- What a shared subscription asks for: "$share/group/filter".
local function within(filter)
  return filter:match("^%$share/[^/]+/(.*)$") or filter
end

function M.new()
  return { count = 0 }
end

--- Adds a function under a filter, in place of an earlier one of the same filter.
function M.set(tree, filter, fn)
  local node = tree
  for level in (within(filter) .. "/"):gmatch("([^/]*)/") do
    node.levels = node.levels or {}
    local next_node = node.levels[level]
    if not next_node then
      next_node = {}
      node.levels[level] = next_node
    end
    node = next_node
  end
  node.fns = node.fns or {}
  if not node.fns[filter] then tree.count = tree.count + 1 end
  node.fns[filter] = fn
end

--- Takes it out again. Returns whether the tree had it.
function M.remove(tree, filter)
  local trail, node = {}, tree
  for level in (within(filter) .. "/"):gmatch("([^/]*)/") do
    local next_node = node.levels and node.levels[level]
    if not next_node then return false end
    trail[#trail + 1] = { node, level }
    node = next_node
  end
  if not (node.fns and node.fns[filter]) then return false end
  node.fns[filter] = nil
  tree.count = tree.count - 1
  if not next(node.fns) then node.fns = nil end
  for i = #trail, 1, -1 do
    local parent, level = trail[i][1], trail[i][2]
    local child = parent.levels[level]
    if child.fns or child.levels and next(child.levels) then break end
    parent.levels[level] = nil
  end
  return true
end

local function add(found, node)
  if not (node and node.fns) then return end
  for _, fn in pairs(node.fns) do found[#found + 1] = fn end
end

local function find(node, topic, at, found)
  local levels = node.levels
  if not levels then return end
  local slash = topic:find("/", at, true)
  local level = topic:sub(at, slash and slash - 1)
  -- Wildcards do not reach what begins with '$' (5 4.7.2).
  local is_hidden = at == 1 and topic:byte(1) == 36
  if not is_hidden then add(found, levels["#"]) end
  for i = 1, is_hidden and 1 or 2 do
    local child = levels[i == 1 and level or "+"]
    if child then
      if slash then
        find(child, topic, slash + 1, found)
      else
        add(found, child)
        add(found, child.levels and child.levels["#"]) -- "a/#" also asks for "a"
      end
    end
  end
end

--- The functions that a topic's message is for, in no order.
function M.find(tree, topic)
  local found = {}
  if tree.count > 0 then find(tree, topic, 1, found) end
  return found
end

return M
