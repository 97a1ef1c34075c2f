---@meta hv.requests
--- What lua/hv/requests.lua adds to a reply; its functions are documented where they stand.

---@class hv.requests
local M = {}

---@async
---@param url string
---@param body? string
---@param headers_or_options? table
---@return hv.HttpReply? reply with status_code, status_message() and content
---@return string? message
---@return hv.ErrCode? code
function M.get(url, body, headers_or_options) end

---@async
---@param url string
---@param body? string
---@param headers_or_options? table
---@return hv.HttpReply? reply with status_code, status_message() and content
---@return string? message
---@return hv.ErrCode? code
function M.head(url, body, headers_or_options) end

---@async
---@param url string
---@param body? string
---@param headers_or_options? table
---@return hv.HttpReply? reply with status_code, status_message() and content
---@return string? message
---@return hv.ErrCode? code
function M.post(url, body, headers_or_options) end

---@async
---@param url string
---@param body? string
---@param headers_or_options? table
---@return hv.HttpReply? reply with status_code, status_message() and content
---@return string? message
---@return hv.ErrCode? code
function M.put(url, body, headers_or_options) end

---@async
---@param url string
---@param body? string
---@param headers_or_options? table
---@return hv.HttpReply? reply with status_code, status_message() and content
---@return string? message
---@return hv.ErrCode? code
function M.patch(url, body, headers_or_options) end

---@async
---@param url string
---@param body? string
---@param headers_or_options? table
---@return hv.HttpReply? reply with status_code, status_message() and content
---@return string? message
---@return hv.ErrCode? code
function M.delete(url, body, headers_or_options) end

---@async
---@param url string
---@param body? string
---@param headers_or_options? table
---@return hv.HttpReply? reply with status_code, status_message() and content
---@return string? message
---@return hv.ErrCode? code
function M.options(url, body, headers_or_options) end

---@async
---@param method string|hv.HttpRequestOptions
---@param url? string
---@param body? string
---@param headers_or_options? table
---@return hv.HttpReply? reply
---@return string? message
---@return hv.ErrCode? code
function M.request(method, url, body, headers_or_options) end

return M
