--- hv.protobuf against protoc of Debian (both ways, by its text format), and by itself where bytes
--- are wrong.
local hv = require "hv"

local pb = hv.protobuf

local KINDS = [[
syntax = "proto3";
package kinds; // a comment
import "other.proto";
option java_package = "x.y";
/* another
   comment */
message All {
  double f_double = 1; float f_float = 2; int32 f_int32 = 3; int64 f_int64 = 4;
  uint32 f_uint32 = 5; uint64 f_uint64 = 6; sint32 f_sint32 = 7; sint64 f_sint64 = 8;
  fixed32 f_fixed32 = 9; fixed64 f_fixed64 = 10; sfixed32 f_sfixed32 = 11;
  sfixed64 f_sfixed64 = 12; bool f_bool = 13; string f_string = 14; bytes f_bytes = 15;
  Color color = 16; Inner inner = 17; other.Thing thing = 18;
  repeated int32 packed = 20; repeated sint64 unpacked = 21 [packed = false];
  repeated string words = 22; repeated Inner inners = 23; repeated Color colors = 24;
  repeated double doubles = 25; repeated bool bools = 26;
  map<string, int32> counts = 30; map<int32, Inner> by_number = 31; map<bool, string> flags = 32;
  map<sint64, Color> by_long = 33;
  oneof choice { string text = 40; int32 number = 41; Inner message = 42; }
  optional int32 maybe = 50;
  reserved 60 to 70, 99; reserved "gone";
  enum Color { option allow_alias = true; RED = 0; GREEN = 1; LIME = 1; DARK = -5; }
  message Inner { int32 a = 1; Inner deeper = 2 [deprecated = true]; }
}
service Calc { rpc Add(All) returns (All.Inner); rpc Watch(stream All) returns (stream All) {} }
]]

local OTHER = [[syntax = "proto3"; package other; message Thing { string name = 1; }]]

local OLD = [[
syntax = "proto2";
package old;
message M {
  required int32 id = 1;
  optional string name = 2 [default = "no\x62ody\n\101"];
  repeated int32 list = 3;
  repeated int32 packed = 4 [packed = true];
  optional E e = 5 [default = TWO];
  optional bool flag = 6 [default = true];
  extensions 100 to max;
}
enum E { ONE = 1; TWO = 2; }
extend M { optional int32 more = 100; }
]]

local folder

local function write(name, text)
  local file = assert(io.open(folder .. "/" .. name, "wb"))
  file:write(text)
  file:close()
end

--- Runs protoc over `input`.
local function protoc(option, name, file, input)
  local result = assert(hv.process.run { "protoc", "--proto_path=" .. folder,
    ("--%s=%s"):format(option, name), file, input = input })
  assert.are.equal(0, result.status, result.stderr)
  return result.stdout
end

describe("hv.protobuf", function()
  local schema

  setup(function()
    folder = os.tmpname()
    os.remove(folder)
    assert(hv.fs.mkdir(folder))
    write("kinds.proto", KINDS)
    write("other.proto", OTHER)
    write("old.proto", OLD)
    schema = assert(pb.load(folder .. "/kinds.proto"))
  end)

  teardown(function() os.execute("rm -rf '" .. folder .. "'") end)

  describe("and protoc", function()
    local texts = {
      [[]],
      [[f_double: 1.5 f_float: -0.25 f_int32: -1 f_int64: -9007199254740993 f_uint32: 4294967295
        f_uint64: 18446744073709551615 f_sint32: -2147483648 f_sint64: -9223372036854775808
        f_fixed32: 4294967295 f_fixed64: 18446744073709551615 f_sfixed32: -2147483648
        f_sfixed64: -9223372036854775808 f_bool: true f_string: "h\303\251llo"
        f_bytes: "\000\377"]],
      [[f_int32: 2147483647 f_int64: 9223372036854775807 f_sint32: 2147483647 f_double: -0
        f_sint64: 9223372036854775807 f_sfixed64: 1 f_fixed64: 9007199254740992 f_uint64: 128]],
      [[f_int64: 562949953421312 f_uint64: 562949953421311 f_sint64: -562949953421313]],
      [[f_double: inf f_float: -inf]],
      [[color: GREEN inner { a: 1 deeper { a: 2 deeper { } } } thing { name: "x" }]],
      [[color: DARK colors: RED colors: GREEN colors: DARK]],
      [[packed: 1 packed: -1 packed: 300 unpacked: -1 unpacked: 70000 words: "" words: "b"
        inners { } inners { a: 3 } doubles: 1 doubles: 2.5 bools: true bools: false]],
      [[counts { key: "a" value: 1 } counts { key: "b" value: 0 }
        by_number { key: -1 value { a: 5 } }
        by_number { key: 2 value { } } flags { key: false value: "no" }
        flags { key: true value: "yes" }]],
      [[by_long { key: -9007199254740993 value: GREEN }]],
      [[text: ""]], [[number: 0]], [[message { }]], [[maybe: 0]], [[maybe: 7 number: 1]],
    }

    it("read and write the same", function()
      for _, text in ipairs(texts) do
        local bytes = protoc("encode", "kinds.All", "kinds.proto", text)
        local canonical = protoc("decode", "kinds.All", "kinds.proto", bytes)
        local message = assert(schema:decode("kinds.All", bytes))
        local again = schema:encode("kinds.All", message)
        assert.are.equal(canonical, protoc("decode", "kinds.All", "kinds.proto", again))
        assert.are.equal(canonical, schema:text("kinds.All", message))
      end
    end)

    it("agree about proto2", function()
      local old = assert(pb.load(folder .. "/old.proto"))
      local bytes = protoc("encode", "old.M", "old.proto",
        [[id: 0 list: 1 list: 2 packed: 3 packed: 4 e: ONE flag: false]])
      local message = assert(old:decode("old.M", bytes))
      assert.are.same({ 1, 2 }, message.list)
      assert.are.equal("ONE", message.e)
      assert.is_false(message.flag)
      assert.are.equal(bytes, old:encode("old.M", message))
      assert.has_error(function() old:encode("old.M", {}) end)
      assert.are.equal("EPROTO", (select(3, old:decode("old.M", ""))))
    end)
  end)

  describe("values", function()
    local function round(values) return assert(schema:decode("kinds.All",
      schema:encode("kinds.All", values))) end

    it("that are not there have defaults, or are nil", function()
      local message = round {}
      assert.are.equal(0, message.f_int32)
      assert.are.equal("", message.f_string)
      assert.are.equal(false, message.f_bool)
      assert.are.equal("RED", message.color)
      assert.is_nil(message.inner)
      assert.is_nil(message.maybe)
      assert.is_nil(message.text)
      assert.are.same({}, message.packed)
      assert.are.same({}, message.counts)
    end)

    it("of 64 bits are numbers while those are exact", function()
      assert.are.equal(9007199254740992, round { f_int64 = 9007199254740992 }.f_int64)
      assert.are.equal(-9007199254740991, round { f_int64 = -9007199254740991 }.f_int64)
      assert.are.equal(9007199254740993LL, round { f_int64 = 9007199254740993LL }.f_int64)
      assert.are.equal("number", type(round { f_int64 = 5LL }.f_int64))
      assert.are.equal(18446744073709551615ULL,
        round { f_uint64 = 18446744073709551615ULL }.f_uint64)
      assert.are.equal("GREEN", round { by_long = { ["9007199254740993"] = "GREEN" } }
        .by_long["9007199254740993"])
    end)

    it("of enums are names, or numbers without one", function()
      assert.are.equal("GREEN", round { color = 1 }.color)
      assert.are.equal("GREEN", round { color = "LIME" }.color)
      assert.are.equal(77, round { color = 77 }.color)
    end)

    it("of a oneof: the last one counts", function()
      local bytes = schema:encode("kinds.All", { text = "a" })
        .. schema:encode("kinds.All", { number = 5 })
      local message = assert(schema:decode("kinds.All", bytes))
      assert.is_nil(message.text)
      assert.are.equal(5, message.number)
      assert.has_error(function() schema:encode("kinds.All", { text = "a", number = 1 }) end)
    end)

    it("of a message that occurs twice are merged", function()
      local bytes = schema:encode("kinds.All", { inner = { a = 1 } })
        .. schema:encode("kinds.All", { inner = { deeper = { a = 2 } } })
      local message = assert(schema:decode("kinds.All", bytes))
      assert.are.equal(1, message.inner.a)
      assert.are.equal(2, message.inner.deeper.a)
    end)

    it("come packed or not, whatever the schema says", function()
      assert.are.same({ 1, 2 }, schema:decode("kinds.All", "\160\1\1\160\1\2").packed)
      assert.are.same({ -1, 1 }, schema:decode("kinds.All", "\170\1\2\1\2").unpacked)
    end)

    it("that nobody knows are kept", function()
      local thing = assert(pb.parse(OTHER))
      local bytes = schema:encode("kinds.All", { f_int32 = 1, inner = { a = 2 }, f_double = 1.5,
        f_fixed32 = 7 })
      local message = assert(thing:decode("other.Thing", bytes))
      assert.are.equal("", message.name)
      assert.are.equal(#bytes, #message[pb.unknown])
      message.name = "x"
      local again = thing:encode("other.Thing", message)
      assert.are.equal(7, #again - #bytes + 4)
      assert.are.equal(2, schema:decode("kinds.All", again:sub(4)).inner.a)
    end)

    it("that do not fit throw, and say where", function()
      local function refuse(expected, values)
        local ok, message = pcall(schema.encode, schema, "kinds.All", values)
        assert.is_false(ok)
        assert.is_truthy(message:find(expected, 1, true), message)
      end
      refuse("kinds.All.f_int32 must be a 32-bit integer, got 1.5", { f_int32 = 1.5 })
      refuse("kinds.All.f_int32 must be a 32-bit integer, got 2147483648", { f_int32 = 2 ^ 31 })
      refuse("kinds.All.f_uint32 must be 0..4294967295, got -1", { f_uint32 = -1 })
      refuse("kinds.All.f_uint64 must be an integer from 0", { f_uint64 = -1 })
      refuse("kinds.All.f_string must be a string, got 1", { f_string = 1 })
      refuse("kinds.All.f_bytes must be a string, got table", { f_bytes = {} })
      refuse("kinds.All.f_bool must be a boolean, got string", { f_bool = "yes" })
    end)

    it("are checked by name", function()
      assert.has_error(function() schema:encode("kinds.All", { nope = 1 }) end,
        "schema:encode: kinds.All has no field nope")
      assert.has_error(function() schema:encode("kinds.Nope", {}) end,
        "schema:encode: there is no message kinds.Nope")
      assert.has_error(function() schema:encode("kinds.All", { words = { "a", 5 } }) end)
      assert.has_error(function() schema:encode("kinds.All", { color = "PINK" }) end)
      assert.has_error(function() schema:encode("kinds.All", { f_string = "\255" }) end)
      assert.has_error(function() schema:encode("kinds.All", { inner = 5 }) end)
      assert.has_error(function() schema:encode("kinds.All", 5) end)
    end)
  end)

  describe("bytes", function()
    it("cut off anywhere are no message, or a shorter one", function()
      local bytes = schema:encode("kinds.All", { f_double = 1, f_int64 = -1, f_string = "text",
        inner = { a = 1, deeper = { a = 300 } }, packed = { 1, 2, 300 }, counts = { a = 1 },
        f_fixed32 = 1 })
      local good = 0
      for i = 0, #bytes do
        local message, why, code = schema:decode("kinds.All", bytes:sub(1, i))
        if message then
          good = good + 1
        else
          assert.are.equal("EPROTO", code)
          assert.is_truthy(why:find("^decode kinds.All: "))
        end
      end
      assert.are.equal(8, good) -- before the first field, and after each of seven
    end)

    it("that are nonsense are refused", function()
      for name, bytes in pairs {
        ["a varint of eleven bytes"] = "\32" .. ("\255"):rep(10) .. "\1",
        ["a tag of field 0"] = "\0\1", ["wire type 6"] = "\14\1", ["wire type 7"] = "\15\1",
        ["a group that does not end"] = "\227\63\8\1", ["an end without a group"] = "\228\63",
        ["a length beyond the end"] = "\114\5abc", ["a length beyond all bounds"] =
          "\114\255\255\255\255\255\255\255\255\255\1",
        ["a string that is not UTF-8"] = "\114\1\255",
        ["an overlong form"] = "\114\2\192\128", ["a surrogate"] = "\114\3\237\160\128",
        ["a packed varint that is cut off"] = "\162\1\1\255",
      } do
        local message, _, code = schema:decode("kinds.All", bytes)
        assert.is_nil(message, name)
        assert.are.equal("EPROTO", code, name)
      end
    end)

    it("of groups are read over", function()
      local message = assert(schema:decode("kinds.All", "\227\63\8\1\227\71\228\71\228\63\24\5"))
      assert.are.equal(5, message.f_int32)
    end)

    it("nested too deep are refused, both ways", function()
      local deep = ""
      for _ = 1, 200 do
        local len = #deep
        deep = "\18" .. (len < 128 and string.char(len)
          or string.char(len % 128 + 128, math.floor(len / 128))) .. deep
      end
      assert.are.equal("EPROTO", (select(3, schema:decode("kinds.All.Inner", deep))))
      local values = {}
      for _ = 1, 200 do values = { deeper = values } end
      assert.has_error(function() schema:encode("kinds.All.Inner", values) end)
      local groups = ("\227\63"):rep(200)
      assert.are.equal("EPROTO", (select(3, schema:decode("kinds.All", groups))))
    end)

    it("made at random never do harm", function()
      math.randomseed(1)
      for _ = 1, 3000 do
        local bytes = {}
        for i = 1, math.random(0, 40) do bytes[i] = string.char(math.random(0, 255)) end
        local message, _, code = schema:decode("kinds.All", table.concat(bytes))
        if message then
          -- What was read can be written, and reads the same.
          local again = schema:encode("kinds.All", message)
          assert.are.equal(schema:text("kinds.All", message),
            schema:text("kinds.All", assert(schema:decode("kinds.All", again))))
        else
          assert.are.equal("EPROTO", code)
        end
      end
    end)
  end)

  describe("schemas", function()
    it("tell of enums and services", function()
      assert.are.equal(-5, schema:enum("kinds.All.Color").DARK)
      local calc = schema:service "kinds.Calc"
      assert.are.same({ input = "kinds.All", output = "kinds.All.Inner", client_streaming = false,
        server_streaming = false }, calc.Add)
      assert.is_true(calc.Watch.server_streaming)
      assert.is_true(schema:has "other.Thing")
      assert.is_false(schema:has "kinds.Calc")
      assert.is_truthy(tostring(schema):find("kinds.proto", 1, true))
    end)

    it("read escapes in strings", function()
      assert.are.equal("nobody\nA", assert(pb.parse(OLD)):decode("old.M", "\8\1").name)
    end)

    it("say where they are wrong", function()
      for text, expected in pairs {
        ['syntax = "proto3"; message A { int32 x = 0; }'] = "proto:1: a field's number must be 1..",
        ['syntax = "proto3";\nmessage A { int32 x = 1;\nint32 y = 1; }'] = "proto:3: A: number 1",
        ['syntax = "proto3"; message A { Nope x = 1; }'] = "Nope is not defined",
        ['syntax = "proto3"; message A { int32 x = 1 }'] = "\";\" expected, got \"}\"",
        ['syntax = "proto3"; message A {'] = "a field expected, got the end",
        ['syntax = "proto3"; message A { int32 x = 1; int32 x = 2; }'] = "field x is defined twice",
        ['syntax = "proto3"; enum E { A = 1; }'] = "the first value of an enum must be 0",
        ['syntax = "proto3"; enum E { A = 0; B = 0; }'] = "0 is given twice",
        ['syntax = "proto3"; message A {} message A {}'] = "A is defined twice",
        ['syntax = "proto3"; message A { required int32 x = 1; }'] = "\"required\" is of proto2",
        ['message A { int32 x = 1; }'] = "optional, required or repeated expected",
        ['syntax = "proto4";'] = "syntax \"proto4\" is not known",
        ['syntax = "proto3"; import "x.proto";'] = "import \"x.proto\": no imports are given",
        ['syntax = "proto3"; /* '] = "a comment does not end",
        ['syntax = "proto3'] = "a string does not end",
        ['syntax = "proto3"; message A { map<float, int32> m = 1; }'] = "key cannot be float",
        ['syntax = "proto3"; message A { int32 x = 19000; }'] = "19000..19999",
        ['syntax = "proto3"; service S { rpc F(Nope) returns (Nope); }'] = "Nope is not defined",
        ['message A { optional group X = 1 {} }'] = "groups are not supported",
        ['syntax = "proto3"; nonsense'] = "a definition expected, got \"nonsense\"",
      } do
        local none, message, code = pb.parse(text)
        assert.is_nil(none, text)
        assert.is_truthy(message:find(expected, 1, true), message)
        assert.are.equal("EINVAL", code)
      end
      assert.are.equal("ENOENT", (select(3, pb.load("/nowhere.proto"))))
      assert.has_error(function() pb.parse(1) end)
    end)
  end)
end)
