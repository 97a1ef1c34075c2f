#!/bin/bash
# jsonrpc.sh - the JSON-RPC pair of examples/: the dialogue as documented, and requests by hand.
. "$(dirname "$0")/lib.sh" "$@"
server=$bin/jsonrpc_server
client=$bin/jsonrpc_client
start rpc "$server" 0
rpc_pid=$pid
port=$(port_of rpc)

# ask WANTED METHOD A B: the four lines of the client's dialogue.
ask() {
  local wanted=$1
  shift
  "$client" $options 127.0.0.1 "$port" "$@" >"$work/answer"
  has_line "$work/answer" '^on_connect fd=[0-9]+$'
  equal "request" "> {\"id\":1,\"method\":\"$1\",\"params\":[$2,$3]}" "$(sed -n 2p "$work/answer")"
  equal "answer to $*" "< {\"id\":1,$wanted}" "$(sed -n 3p "$work/answer")"
  has_line "$work/answer" '^on_close fd=[0-9]+ error=0$'
}
options=
ask '"result":3' add 1 2
ask '"result":-1' sub 1 2
ask '"result":6' mul 2 3
ask '"result":2.5' div 5 2
ask '"error":{"code":400,"message":"Bad Request"}' div 1 0
ask '"error":{"code":404,"message":"Not Found"}' xyz 1 2
wait_line rpc '^on_close fd=[0-9]+ error=0$'
has_line "$work/rpc.log" '^listenfd=[0-9]+$'
has_line "$work/rpc.log" '^on_accept connfd=[0-9]+$'
has_line "$work/rpc.log" '^> \{"id":1,"method":"add","params":\[1,2\]\}$'
has_line "$work/rpc.log" '^< \{"id":1,"result":3\}$'

python3 - "$port" <<'PY' || fail "by hand"
import json, socket, struct, sys
s = socket.create_connection(("127.0.0.1", int(sys.argv[1])), timeout=10)
f = s.makefile("rb")
def pack(text): return struct.pack(">BI", 0, len(text)) + text
def answer():
    flags, length = struct.unpack(">BI", f.read(5))
    return json.loads(f.read(length))
def ask(text):
    s.sendall(pack(text))
    return answer()
assert ask(b' { "params" : [ 1.5 , -2e1 ] , "id" : "x" , "method" : "add" } ') == {"id": "x", "result": -18.5}
assert ask(b'{"method":"mul","params":[4,5],"more":{"id":[7,{"a":"]}"}]}}') == {"result": 20}
bad = {"code": 400, "message": "Bad Request"}
for text in (b"", b"{", b"[]", b"null", b'{"id":1}', b'{"method":1}', b'{"method":"add"}', b'"',
             b'{"method":"add","params":[1]}', b'{"method":"add","params":[1,2,3]}',
             b'{"method":"add","params":["1",2]}', b'{"method":"add","params":[nan,2]}',
             b'{"method":"add","params":[0x1,2]}', b'{"method":"mul","params":[1e300,1e300]}',
             b"[" * 100000, b'{"method"', b'{"method":"a\\', b"}{", b"\0\0\0"):
    assert ask(text)["error"] == bad, text
# Many in one piece, and one in many.
s.sendall(b"".join(pack(b'{"id":%d,"method":"add","params":[%d,1]}' % (i, i)) for i in range(100)))
for i in range(100): assert answer() == {"id": i, "result": i + 1}
for byte in pack(b'{"id":9,"method":"sub","params":[9,1]}'): s.send(bytes([byte]))
assert answer() == {"id": 9, "result": 8}
# A length beyond the limit ends the connection.
s.sendall(struct.pack(">BI", 0, 0x7fffffff))
assert f.read(1) == b""
PY
pass
wait_line rpc '^on_close fd=[0-9]+ error=10003$'
ends_by INT "$rpc_pid"

start lines "$server" -d 0
port=$(port_of lines)
options=-d
ask '"result":3' add 1 2
ask '"error":{"code":400,"message":"Bad Request"}' div 1 0

refuses 1 "$client" 127.0.0.1 1 add 1 2
refuses 2 "$client" 127.0.0.1 "$port" add 1 '2]}'
refuses 2 "$client" 127.0.0.1 "$port" 'a"b' 1 2
refuses 2 "$client" 127.0.0.1 "$port" add 1
refuses 2 "$server"
explains "$server"
explains "$client"
finish
