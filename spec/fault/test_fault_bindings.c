/* Every allocation of conversations that Lua code holds fails in turn, in one state that lives
 * through all of them: a client of Redis with its fake server, a client of MQTT, an HTTP server
 * with hosts and an observer. Each conversation ends, by what is expected or by nil, message, code;
 * no reply reaches somebody else; and nothing leaks. LuaJIT has an allocator of its own, which does
 * not fail here. */
#include "hvlua.h"
#include "loop_test.h"

static const char helpers[] =
    "hv = require 'hv'\n"
    "local function bad(what, ...) error(what .. ': ' .. tostring((...)), 0) end\n"
    /* What was expected, or a failure that says why. */
    "function want(value, ok, message, code)\n"
    "  if ok == value then return true end\n"
    "  if ok ~= nil then bad('another value', ok) end\n"
    "  if type(message) ~= 'string' or type(code) ~= 'string' then bad('no reason', message) end\n"
    "end\n"
    /* Out of memory may be raised where there is no other way to tell. */
    "function round(fn)\n"
    "  local ok, problem = pcall(fn)\n"
    "  if not ok and not tostring(problem):lower():find('memory', 1, true) then bad('raised', "
    "problem) end\n"
    "end\n"
    "hv.on_error(function(message)\n"
    "  if not message:lower():find('memory', 1, true) then told = message end\n"
    "end)\n";

static const char redis[] =
    "local function serve(conn)\n"
    "  while true do\n"
    "    local line = conn:read_line()\n"
    "    if not line then return conn:close() end\n"
    "    local words = {}\n"
    "    for i = 1, tonumber(line:match('%d+')) do\n"
    "      local len = conn:read_line()\n"
    "      words[i] = len and conn:read(tonumber(len:match('%d+')))\n"
    "      if not words[i] then return conn:close() end\n"
    "      conn:read(2)\n"
    "    end\n"
    "    local name = words[1]\n"
    "    if name == 'HELLO' then conn:write '%1\\r\\n+proto\\r\\n:3\\r\\n'\n"
    "    elseif name == 'ECHO' then\n"
    "      conn:write('$' .. #words[2] .. '\\r\\n')\n"
    "      conn:write(words[2] .. '\\r\\n')\n"
    "    elseif name == 'SUBSCRIBE' then\n"
    "      conn:write "
    "'>3\\r\\n+subscribe\\r\\n+c\\r\\n:1\\r\\n>3\\r\\n+message\\r\\n+c\\r\\n+hello\\r\\n'\n"
    "    else conn:write '+OK\\r\\n' end\n"
    "  end\n"
    "end\n"
    "function redis_round()\n"
    "  local server = hv.tcp.listen({ host = '127.0.0.1', port = 0 }, serve)\n"
    "  if not server then return end\n"
    "  round(function()\n"
    "    local port = server:port()\n"
    "    if not port then return end\n"
    "    local r, message, code = hv.redis.connect { port = port, timeout = 300,\n"
    "      connect_timeout = 300, reconnect = false }\n"
    "    if not r then return want('open', nil, message, code) end\n"
    "    round(function()\n"
    "      local tasks = {}\n"
    "      for i = 1, 20 do\n"
    "        local word = ('w'):rep(i * 40) .. i\n"
    "        tasks[i] = hv.go(function() want(word, r:echo(word)) end)\n"
    "      end\n"
    "      for i = 1, 20 do want(nil, tasks[i]:join()) end\n"
    "      local replies, why, why_code = r:pipeline():echo('a'):set('k', ('v'):rep(3000)):exec()\n"
    "      if replies then assert(#replies == 2 and replies[1] == 'a')\n"
    "      else want('replies', nil, why, why_code) end\n"
    "      local heard\n"
    "      local sub, no_sub, sub_code = r:subscribe('c', function(text) heard = text end)\n"
    "      if not sub then want('sub', nil, no_sub, sub_code) end\n"
    "      want('lent', r:borrow(function(c) return c:echo('lent') end))\n"
    "      if sub and heard and heard ~= 'hello' then error('another message', 0) end\n"
    "    end)\n"
    "    r:close()\n"
    "  end)\n"
    "  server:close()\n"
    "end\n";

static const char mqtt[] =
    "local function serve(conn)\n"
    "  while true do\n"
    "    local head = conn:read(2)\n"
    "    if not head or #head < 2 then return conn:close() end\n"
    "    local kind, len = head:byte(1, 2)\n"
    "    if len > 127 then len = len - 128 + 128 * (conn:read(1) or '\\0'):byte() end\n"
    "    local rest = len > 0 and conn:read(len) or ''\n"
    "    if not rest then return conn:close() end\n"
    "    if kind == 0x10 then conn:write '\\32\\3\\0\\0\\0'\n"
    "    elseif kind == 0x32 then conn:write('\\64\\2' .. rest:sub(4, 5))\n"
    "    elseif kind == 0x82 then\n"
    "      conn:write('\\144\\4' .. rest:sub(1, 2) .. '\\0\\1')\n"
    "      for i = 1, 3 do conn:write('\\50\\7\\0\\1t\\0' .. string.char(i) .. '\\0m') end\n"
    "    end\n"
    "  end\n"
    "end\n"
    "function mqtt_round()\n"
    "  local server = hv.tcp.listen({ host = '127.0.0.1', port = 0 }, serve)\n"
    "  if not server then return end\n"
    "  round(function()\n"
    "    local port = server:port()\n"
    "    if not port then return end\n"
    "    local client, message, code = hv.mqtt.connect { host = '127.0.0.1', port = port,\n"
    "      timeout = 300, reconnect = false }\n"
    "    if not client then return want('open', nil, message, code) end\n"
    "    round(function()\n"
    "      want(true, client:publish('t', ('p'):rep(60), { qos = 1, timeout = 300 }))\n"
    "      want(true, client:publish('t', 'zero'))\n"
    "      local sub, why, why_code = client:subscribe('t', function() hv.sleep(1) end)\n"
    "      if not sub then want('sub', nil, why, why_code) end\n"
    "      hv.sleep(5)\n"
    "    end)\n"
    "    client:disconnect()\n"
    "    hv.sleep(1)\n"
    "    client._raw:drop()\n"
    "  end)\n"
    "  server:close()\n"
    "end\n";

static const char http[] =
    "local function get(port, host, target)\n"
    "  local conn, message, code = hv.tcp.connect { host = '127.0.0.1', port = port, timeout = "
    "300,\n"
    "    read_timeout = 300 }\n"
    "  if not conn then return want('open', nil, message, code) end\n"
    "  conn:write('GET ' .. target .. ' HTTP/1.1\\r\\nHost: ' .. host ..\n"
    "    '\\r\\nConnection: close\\r\\n\\r\\n')\n"
    "  local pieces = {}\n"
    "  for piece in conn:chunks() do pieces[#pieces + 1] = piece end\n"
    "  local answer = table.concat(pieces)\n"
    "  conn:close()\n"
    "  local body = answer:match('^HTTP/1.1 200 .-\\r\\n\\r\\n(.*)$')\n"
    "  if body and #body > 0 and body ~= host and not host:find('long', 1, true) then\n"
    "    error('an answer of another host: ' .. body, 0)\n"
    "  end\n"
    "end\n"
    "function http_round()\n"
    "  local seen = 0\n"
    "  round(function()\n"
    "    local app = hv.http.app()\n"
    "    app:get('/', function() return 'main.test' end)\n"
    "    for i = 1, 3 do\n"
    "      app:host('h' .. i .. '.test'):get('/', function() return 'h' .. i .. '.test' end)\n"
    "    end\n"
    "    app:host('*.long.test'):get('/', function(_, res)\n"
    "      for _ = 1, 3 do res:write(('x'):rep(2000)) end\n"
    "    end)\n"
    "    app:on_response(function(_, res)\n"
    "      seen = seen + 1\n"
    "      assert(type(res.status) == 'number' and type(res.bytes) == 'number')\n"
    "    end)\n"
    "    local server, message, code = app:listen { host = '127.0.0.1', port = 0 }\n"
    "    if not server then return want('server', nil, message, code) end\n"
    "    round(function()\n"
    "      local port = server:port()\n"
    "      if not port then return end\n"
    "      for _, host in ipairs { 'main.test', 'h1.test', 'h3.test', 'a.long.test' } do\n"
    "        get(port, host, '/')\n"
    "      end\n"
    "      get(port, 'h2.test', '/none')\n"
    "    end)\n"
    "    server:close(0)\n"
    "    hv.sleep(1)\n"
    "  end)\n"
    "end\n"
    "function take_told() local text = told told = nil return text end\n";

static const char worker[] =
    "function worker_round()\n"
    "  local w, message, code = hv.worker.spawn(function(ch)\n"
    "    for value in ch:iter() do ch:send(value * 2) end\n"
    "    return 'ended'\n"
    "  end)\n"
    "  if not w then return want('worker', nil, message, code) end\n"
    "  round(function()\n"
    "    for i = 1, 3 do\n"
    "      want(true, w:send(i, 1000))\n"
    "      want(2 * i, w:recv(1000))\n"
    "    end\n"
    "    w:close()\n"
    "    want('ended', w:join(1000))\n"
    "  end)\n"
    "  w:stop()\n"
    "  local _, _, how = w:join(10000)\n"
    "  if how == 'ETIMEDOUT' then error('the worker does not end', 0) end\n"
    "end\n";

/* A wait whose timer cannot be made is over before that is tried again: the next wait, which has no
 * limit, must not end by the timer of the one before. */
static const char waits[] =
    "function wait_round()\n"
    "  local ch = hv.channel(4)\n"
    "  round(function()\n"
    "    local task = hv.go(function()\n"
    "      want(1, ch:recv(60000))\n"
    "      want(2, ch:recv())\n"
    "      return 'ended'\n"
    "    end)\n"
    "    hv.sleep(1)\n"
    "    ch:send(1)\n"
    "    hv.sleep(30)\n"
    "    if task:status() ~= 'waiting' then error('the wait has ended early', 0) end\n"
    "    ch:send(2)\n"
    "    want('ended', task:join(10000))\n"
    "  end)\n"
    "end\n";

static hvlua_t *lua;
static int done_count, done_code;
static char done_message[400];

static void on_done(hvlua_t *of, const hvlua_outcome_t *outcome, void *userdata) {
    (void)of;
    (void)userdata;
    done_count++;
    done_code = outcome->code;
    snprintf(done_message, sizeof done_message, "%s",
             outcome->message != NULL ? outcome->message : "");
}

static void do_text(const char *text) {
    if (hvlua_do_string(lua, text, strlen(text), "=round") != 0) fail_msg("%s", hvlua_error(lua));
}

/* One conversation with the nth allocation failing. */
static int run_round(const char *name, uint64_t nth) {
    done_count = 0;
    hv__mem_fail_nth(nth);
    int code = hvlua_start(lua, on_done, NULL, name, "");
    if (code != 0) {
        assert_int_equal(code, HV_ENOMEM);
        done_code = 0;
        done_count = 1;
    }
    for (int pass = 0; pass < 1000 && done_count == 0; pass++) {
        hloop_process_events(hvlua_loop(lua), 10);
    }
    int has_failed = hv__mem_has_failed();
    hv__mem_fail_nth(0);
    if (done_count != 1) fail_msg("%s, allocation %d: it does not end", name, (int)nth);
    if (done_code != 0) fail_msg("%s, allocation %d: %s", name, (int)nth, done_message);
    const char *told = NULL;
    assert_int_equal(hvlua_call(lua, "take_told", ">s", &told), 0);
    if (told != NULL) fail_msg("%s, allocation %d: %s", name, (int)nth, told);
    return has_failed;
}

static void run_all(const char *name, int at_least) {
    run_round(name, 0); /* whatever is made once for all */
    uint64_t nth = 1;
    while (run_round(name, nth)) {
        nth++;
        assert_true(nth < 5000);
    }
    print_message("%s: %d allocations failed in turn\n", name, (int)nth - 1);
    assert_true((int)nth > at_least);
}

static int set_up(void **state) {
    (void)state;
    lua = hvlua_new(NULL, 0);
    if (lua == NULL) return 1;
    do_text(helpers);
    do_text(redis);
    do_text(mqtt);
    do_text(http);
    do_text(worker);
    do_text(waits);
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    hvlua_free(&lua);
    return 0;
}

static void test_redis(void **state) {
    (void)state;
    run_all("redis_round", 20);
}

static void test_mqtt(void **state) {
    (void)state;
    run_all("mqtt_round", 20);
}

static void test_http_hosts_and_observer(void **state) {
    (void)state;
    run_all("http_round", 20);
}

/* Both threads take part: which of them an allocation is of differs from run to run. */
static void test_worker(void **state) {
    (void)state;
    run_all("worker_round", 10);
}

static void test_waits(void **state) {
    (void)state;
    run_all("wait_round", 3);
}

/* Last: the states of the tests before are gone. */
static size_t blocks_before;

static int note_blocks(void **state) {
    (void)state;
    blocks_before = hv__mem_live_blocks();
    return 0;
}

static void test_nothing_is_left(void **state) {
    (void)state;
    assert_int_equal(hv__mem_live_blocks(), blocks_before);
}

#define ROUND_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        ROUND_TEST(test_redis),
        ROUND_TEST(test_mqtt),
        ROUND_TEST(test_http_hosts_and_observer),
        ROUND_TEST(test_worker),
        ROUND_TEST(test_waits),
        cmocka_unit_test(test_nothing_is_left),
    };
    return cmocka_run_group_tests_name("fault_bindings", tests, note_blocks, NULL);
}
