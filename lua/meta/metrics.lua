---@meta hv.metrics
--- The types of hv.metrics.

---@class hv.Counter
local Counter = {}

---@param by? number 1; not negative
function Counter:inc(by) end

--- The series of some label values; only where the metric has labels. Keep it on hot paths.
---@param ... string|number|boolean
---@return hv.Counter
function Counter:with(...) end

---@class hv.Gauge
local Gauge = {}

---@param value number
function Gauge:set(value) end
---@param by? number 1
function Gauge:inc(by) end
---@param by? number 1
function Gauge:dec(by) end
---@param ... string|number|boolean
---@return hv.Gauge
function Gauge:with(...) end

---@class hv.Histogram
local Histogram = {}

---@param value number such as seconds
function Histogram:observe(value) end

--- Calls fn(...) and observes the seconds it took.
---@async
---@param fn function
---@return any ... what it returned
function Histogram:time(fn, ...) end
---@param ... string|number|boolean
---@return hv.Histogram
function Histogram:with(...) end

---@class hv.DashboardOptions
---@field title? string     of the page; "hvlua"
---@field panels? hv.DashboardPanel[] the app's own, before the charts
---@field interval? integer ms between two updates; 1000

---@class hv.DashboardPanel
---@field title string
---@field html string       the content, trusted as it is
---@field script? string    JavaScript, run as a module with `panel`, the panel's element
---@field wide? boolean     goes over all columns
