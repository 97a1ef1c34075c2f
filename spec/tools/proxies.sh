#!/bin/bash
# proxies.sh - the TCP, UDP and SOCKS proxies of examples/ against curl and python.
. "$(dirname "$0")/lib.sh" "$@"
random_file file 5000000
make_cert

# A web server behind everything.
(cd "$work" && exec python3 -u - >"$work/web.log" 2>&1) <<'PY' &
import http.server, socketserver
class Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
    daemon_threads = True
server = Server(("127.0.0.1", 0), http.server.SimpleHTTPRequestHandler)
print("listening on 127.0.0.1:%d" % server.server_port, flush=True)
server.serve_forever()
PY
pids+=($!)
web=$(port_of web)

echo "TCP"
tcp=$bin/tcp_proxy_server
start tcp "$tcp" -v 127.0.0.1:0 "127.0.0.1:$web"
tcp_pid=$pid
port=$(port_of tcp)
fetch() { curl -sS --max-time 20 -o "$work/fetched" "$@"; }
fetch "http://127.0.0.1:$port/file"
same_file "$work/file" "$work/fetched"
for i in 1 2 3 4 5 6; do
  curl -sS --max-time 20 -o "$work/fetched$i" "http://127.0.0.1:$port/file" &
  clients[i]=$!
done
for i in 1 2 3 4 5 6; do
  wait "${clients[i]}" || fail "client $i"
  same_file "$work/file" "$work/fetched$i"
done
wait_line tcp '^[0-9]+: closed, [0-9]+ bytes in: done$'

start front "$tcp" --cert "$work/cert.pem" --key "$work/key.pem" 0 "$web"
port=$(port_of front)
fetch --cacert "$work/cert.pem" "https://localhost:$port/file"
same_file "$work/file" "$work/fetched"

start unix "$tcp" "$work/proxy.sock" "$web"
wait_line unix '^listening on '
fetch --unix-socket "$work/proxy.sock" http://localhost/file
same_file "$work/file" "$work/fetched"
start from_unix "$tcp" 0 "$work/proxy.sock"
fetch "http://127.0.0.1:$(port_of from_unix)/file"
same_file "$work/file" "$work/fetched"

# The certificate behind is verified: ours is nobody's.
start back "$tcp" -s 0 "127.0.0.1:$port"
status=0
fetch "http://127.0.0.1:$(port_of back)/file" 2>"$work/curl.log" || status=$?
[ "$status" != 0 ] || fail "a certificate nobody has signed was believed"
pass
wait_line back 'certificate'
SSL_CERT_FILE="$work/cert.pem" start trusting "$tcp" -s 0 "localhost:$port"
fetch "http://127.0.0.1:$(port_of trusting)/file"
same_file "$work/file" "$work/fetched"

start nowhere "$tcp" 0 127.0.0.1:1
status=0
fetch "http://127.0.0.1:$(port_of nowhere)/file" 2>"$work/curl.log" || status=$?
[ "$status" != 0 ] || fail "a server that is not there has answered"
wait_line nowhere 'connection refused'
ends_by INT "$tcp_pid"
explains "$tcp"
refuses 2 "$tcp" 1234

echo "UDP"
udp=$bin/udp_proxy_server
python3 -u - >"$work/echo.log" 2>&1 <<'PY' &
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(("127.0.0.1", 0))
print("listening on 127.0.0.1:%d" % s.getsockname()[1], flush=True)
while True:
    data, peer = s.recvfrom(65536)
    s.sendto(b"%d %s" % (peer[1], data), peer)
PY
pids+=($!)
start udp "$udp" -w 30 -n 100 0 "$(port_of echo)"
udp_pid=$pid
port_of udp >/dev/null
python3 - "$(port_of udp)" <<'PY' || fail "UDP proxy"
import socket, sys
port = int(sys.argv[1])
def client():
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.settimeout(10)
    s.connect(("127.0.0.1", port))
    return s
def ask(s, text):
    s.send(text)
    seen, _, answer = s.recv(65536).partition(b" ")
    assert answer == text, (answer, text)
    return seen
clients = [client() for _ in range(20)]
seen = [ask(s, b"client %d" % i) for i, s in enumerate(clients)]
assert len(set(seen)) == 20, seen                       # each has a port of its own
assert seen == [ask(s, b"again") for s in clients]      # and keeps it
assert ask(clients[0], b"x" * 8000) == seen[0]
PY
pass
ends_by TERM "$udp_pid"
explains "$udp"
refuses 2 "$udp" 1234

echo "SOCKS"
socks=$bin/socks5_proxy_server
start socks "$socks" -v 0
socks_pid=$pid
port=$(port_of socks)
fetch --socks5 "127.0.0.1:$port" "http://127.0.0.1:$web/file"
same_file "$work/file" "$work/fetched"
fetch --socks5-hostname "127.0.0.1:$port" "http://localhost:$web/file"
same_file "$work/file" "$work/fetched"
has_line "$work/socks.log" "connect localhost:$web\$"
status=0
fetch --socks5 "127.0.0.1:$port" http://127.0.0.1:1/ 2>"$work/curl.log" || status=$?
equal "curl's status for a refused target" 97 "$status"

start closed "$socks" -u me -p secret 0
closed=$(port_of closed)
fetch --socks5 "127.0.0.1:$closed" --proxy-user me:secret "http://127.0.0.1:$web/file"
same_file "$work/file" "$work/fetched"
for wrong in me:wrong other:secret me:secret2 m:s; do
  status=0
  fetch --socks5 "127.0.0.1:$closed" --proxy-user "$wrong" "http://127.0.0.1:$web/file" 2>/dev/null ||
    status=$?
  equal "curl's status for $wrong" 97 "$status"
done
status=0
fetch --socks5 "127.0.0.1:$closed" "http://127.0.0.1:$web/file" 2>/dev/null || status=$?
equal "curl's status without a password" 97 "$status"

python3 - "$port" "$(port_of echo)" "$web" <<'PY' || fail "SOCKS by hand"
import socket, struct, sys, time
port, echo, web = map(int, sys.argv[1:])
def connect():
    s = socket.create_connection(("127.0.0.1", port), timeout=10)
    return s
def get(s, n):
    data = b""
    while len(data) < n:
        piece = s.recv(n - len(data))
        assert piece, (data, n)
        data += piece
    return data
def ends(s):
    try:
        assert s.recv(1) == b""
    except ConnectionResetError:
        pass
# One byte at a time.
s = connect()
for byte in b"\5\1\0" + b"\5\1\0\1\x7f\0\0\1" + struct.pack(">H", web):
    s.send(bytes([byte]))
assert get(s, 2) == b"\5\0"
assert get(s, 4) == b"\5\0\0\1"
get(s, 6)
s.sendall(b"GET /cert.pem HTTP/1.0\r\n\r\n")
s.shutdown(socket.SHUT_WR)
answer = b""
while True:
    piece = s.recv(65536)
    if not piece: break
    answer += piece
assert b"BEGIN CERTIFICATE" in answer
# All at once: what follows the request belongs to the target.
s = connect()
s.sendall(b"\5\1\0\5\1\0\1\x7f\0\0\1" + struct.pack(">H", web) + b"GET /cert.pem HTTP/1.0\r\n\r\n")
assert get(s, 12)[:6] == b"\5\0\5\0\0\1"
assert get(s, 8) == b"HTTP/1.0"
# What is not served.
s = connect(); s.sendall(b"\4\1"); ends(s)                       # version 4
s = connect(); s.sendall(b"\5\1\2"); assert get(s, 2) == b"\5\xff"; ends(s)
s = connect(); s.sendall(b"\5\1\0\5\2\0\1" + b"\0" * 6); assert get(s, 4)[2:] == b"\5\7"; get(s, 8); ends(s)
s = connect(); s.sendall(b"\5\1\0\5\1\0\2" + b"\0" * 6); assert get(s, 4)[2:] == b"\5\10"; get(s, 8); ends(s)
s = connect(); s.sendall(b"\5\1\0\5\1\0\3\4/tmp\0\1"); assert get(s, 4)[2:] == b"\5\4"; get(s, 8); ends(s)
# UDP.
s = connect()
s.sendall(b"\5\1\0\5\3\0\1\0\0\0\0\0\0")
head = get(s, 12)
assert head[:6] == b"\5\0\5\0\0\1", head
relay = (socket.inet_ntoa(head[6:10]), struct.unpack(">H", head[10:])[0])
u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); u.settimeout(10)
u.bind(("127.0.0.1", 0))
prefix = b"\0\0\0\1\x7f\0\0\1" + struct.pack(">H", echo)
u.sendto(b"\0\0\1" + prefix[3:] + b"a piece", relay)             # a fragment: dropped
u.sendto(prefix + b"hello", relay)
answer, peer = u.recvfrom(65536)
assert peer == relay and answer.startswith(prefix) and answer.endswith(b" hello"), answer
s.close()                                                        # the association ends with it
probe = time.time()
while time.time() - probe < 10:
    u2 = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        u2.bind(relay)
        break
    except OSError:
        time.sleep(0.02)
else:
    raise SystemExit("the relay stays open")
PY
pass
ends_by INT "$socks_pid"
explains "$socks"
refuses 2 "$socks"
refuses 2 "$socks" -u me 0
finish
