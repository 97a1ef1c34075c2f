#!/bin/bash
# nc.sh - examples/nc.c against python, openssl and itself: both directions, half-close, every kind of
# socket, timeouts and errors.
. "$(dirname "$0")/lib.sh" "$@"
nc=$bin/nc
random_file there 3000000
random_file here 2000000

echo "TCP"
python3 - "$work" >"$work/peer.log" 2>&1 <<'PY' &
import socket, sys
work = sys.argv[1]
s = socket.socket(); s.bind(("127.0.0.1", 0)); s.listen(1)
print("listening on 127.0.0.1:%d" % s.getsockname()[1], flush=True)
c = s.accept()[0]
got = b""
while True:
    piece = c.recv(65536)
    if not piece: break
    got += piece
open(work + "/got_there", "wb").write(got)
c.sendall(open(work + "/here", "rb").read())   # only after the client's end: half-close
c.close()
PY
pids+=($!)
port=$(port_of peer)
"$nc" 127.0.0.1 "$port" <"$work/there" >"$work/got_here"
same_file "$work/there" "$work/got_there"
same_file "$work/here" "$work/got_here"

exchange() { # NAME SERVER-OPTIONS CLIENT-OPTIONS...: two of ours, both sending
  local name=$1 server=$2 target
  shift 2
  "$nc" -v -l $server <"$work/here" >"$work/$name.got_there" 2>"$work/$name.log" &
  local server_pid=$!
  pids+=("$server_pid")
  wait_line "$name" '^listening on '
  target=$(sed -nE 's/^listening on .*:([0-9]+)$/\1/p' "$work/$name.log")
  "$nc" "$@" $target <"$work/there" >"$work/$name.got_here"
  wait "$server_pid" || fail "server of $name"
  same_file "$work/there" "$work/$name.got_there"
  same_file "$work/here" "$work/$name.got_here"
}
exchange plain "127.0.0.1 0" localhost
exchange v6 "::1 0" ::1

echo "unix socket"
"$nc" -v -U -l "$work/socket" <"$work/here" >"$work/unix_there" 2>"$work/unix.log" &
server_pid=$!
pids+=("$server_pid")
wait_line unix '^listening on '
cat "$work/there" | "$nc" -U "$work/socket" | cat >"$work/unix_here"
wait "$server_pid"
same_file "$work/there" "$work/unix_there"
same_file "$work/here" "$work/unix_here"

echo "TLS"
make_cert
exchange tls "--tls --cert $work/cert.pem --key $work/key.pem 127.0.0.1 0" \
  --tls --ca "$work/cert.pem" localhost
exchange blind "--tls --cert $work/cert.pem --key $work/key.pem 127.0.0.1 0" \
  --tls --insecure 127.0.0.1

start s_server openssl s_server -accept 127.0.0.1:0 -cert "$work/cert.pem" -key "$work/key.pem" -rev
wait_line s_server '^ACCEPT '
port=$(sed -nE 's/^ACCEPT .*:([0-9]+)$/\1/p' "$work/s_server.log")
equal "openssl turns a line" "olleh" "$(echo hello | "$nc" -S --ca "$work/cert.pem" localhost "$port")"
refuses 1 "$nc" -S localhost "$port"
has_line "$work/refused.out" 'nc: .*certificate'
refuses 1 "$nc" -S --ca "$work/cert.pem" --name other.example localhost "$port"

echo "UDP"
python3 -u - >"$work/echo.log" 2>&1 <<'PY' &
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(("127.0.0.1", 0))
print("listening on 127.0.0.1:%d" % s.getsockname()[1], flush=True)
while True:
    s.sendto(*s.recvfrom(65536))
PY
pids+=($!)
equal "datagram comes back" "hello" "$(echo hello | "$nc" -u -w 1 127.0.0.1 "$(port_of echo)")"

"$nc" -v -u -l -w 2 127.0.0.1 0 <<<"answer" >"$work/udp_got" 2>"$work/udp_server.log" &
server_pid=$!
pids+=("$server_pid")
wait_line udp_server '^listening on '
port=$(sed -nE 's/^listening on .*:([0-9]+)$/\1/p' "$work/udp_server.log")
equal "UDP server answers" "answer" "$(echo question | "$nc" -u -w 1 127.0.0.1 "$port")"
wait "$server_pid"
equal "UDP server hears" "question" "$(cat "$work/udp_got")"

echo "errors and ends"
explains "$nc"
refuses 2 "$nc"
refuses 2 "$nc" 127.0.0.1 70000
refuses 2 "$nc" -U not/absolute
refuses 2 "$nc" --tls -l 127.0.0.1 0
start taken "$nc" -v -l 127.0.0.1 0
taken_pid=$pid
port=$(port_of taken)
refuses 1 "$nc" -l 127.0.0.1 "$port"
has_line "$work/refused.out" 'address already in use'
ends_by INT "$taken_pid"
refuses 1 "$nc" 127.0.0.1 "$port"
has_line "$work/refused.out" 'nc: connection refused'
start silent "$nc" -v -l 127.0.0.1 0
port=$(port_of silent)
status=0
tail -f /dev/null --pid=$$ | "$nc" -w 1 127.0.0.1 "$port" 2>"$work/timed.out" || status=$?
equal "status after -w" 1 "$status"
has_line "$work/timed.out" 'nc: timed out'
finish
