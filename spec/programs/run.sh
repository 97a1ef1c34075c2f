#!/bin/bash
# run.sh - compiles one program of this folder as a user would, against an installed prefix, runs it,
# and checks what it does:
#
#   run.sh PREFIX LIBDIR PROGRAM [CC [CFLAGS]]
prefix=$1 libdir=$2 program=$3 cc=${4:-cc} flags=${5:-}
here=$(cd "$(dirname "$0")" && pwd)
. "$here/../tools/lib.sh" "$prefix"

export LD_LIBRARY_PATH=$prefix/$libdir${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
export PKG_CONFIG_PATH=$prefix/$libdir/pkgconfig
# shellcheck disable=SC2086,SC2046 # lists of words
case $program in
readme) ;; # by its own command lines, below
cplusplus)
  cxx=$(echo "$cc" | sed -E 's/clang([^/]*)$/clang++\1/; s/gcc([^/]*)$/g++\1/; s/cc$/c++/')
  "$cxx" -std=c++11 -Wall -Wextra -Werror $flags "$here/cplusplus.cpp" -o "$work/$program" \
    $(pkg-config --cflags --libs hv)
  ;;
embed) # what pkg-config says is all that is needed
  "$cc" -std=c99 $flags "$here/$program.c" -o "$work/$program" $(pkg-config --cflags --libs hvlua)
  ;;
*)
  "$cc" -std=c99 $flags "$here/$program.c" -o "$work/$program" -I "$prefix/include" \
    -I "$prefix/include/hv" -L "$prefix/$libdir" -lhv
  ;;
esac
cd "$work"

# The programs take a port and do not tell one: a free one is looked for, and where somebody else was
# faster the next one is tried.
free_port() { python3 -c 'import socket; s = socket.socket(); s.bind(("", 0)); print(s.getsockname()[1])'; }
accepts() { python3 -c "import socket; socket.create_connection(('127.0.0.1', $port), 5)"; }
start_server() {
  for _ in 1 2 3 4 5; do
    port=$(free_port)
    start server "./$program" "$port"
    for _ in $(seq 400); do
      if accepts 2>/dev/null; then return 0; fi
      kill -0 "$pid" 2>/dev/null || break
      sleep 0.025
    done
  done
  fail "$program does not listen"
}

# A broker on a free port; run_broker starts it again on the same one.
run_broker() {
  start broker mosquitto -c broker.conf -v
  broker_pid=$pid
  for _ in $(seq 400); do
    if accepts 2>/dev/null; then return 0; fi
    kill -0 "$broker_pid" 2>/dev/null || return 1
    sleep 0.025
  done
  return 1
}
start_broker() {
  for _ in 1 2 3 4 5; do
    port=$(free_port)
    printf '%s\n' "listener $port 127.0.0.1" 'allow_anonymous true' 'user root' >broker.conf
    if run_broker; then return 0; fi
  done
  fail "mosquitto does not start"
}

echoes() { # CONNECTIONS: each gets back what it says, all open at once
  python3 - "$port" "$1" <<'PY' || fail "no echo"
import socket, sys
port, count = int(sys.argv[1]), int(sys.argv[2])
open_ones = [socket.create_connection(("127.0.0.1", port), 10) for _ in range(count)]
for turn in range(3):
    for i, s in enumerate(open_ones):
        s.sendall(b"%d says %d" % (i, turn))
    for i, s in enumerate(open_ones):
        wanted = b"%d says %d" % (i, turn)
        got = b""
        while len(got) < len(wanted):
            piece = s.recv(100)
            assert piece
            got += piece
        assert got == wanted, got
PY
  pass
}

# kinds ID: how many different processes or threads have served.
kinds() { grep -oE "^$1=[0-9]+" server.log | sort -u | wc -l; }
lines() { [ "$(grep -cE -- "$2" "$1")" -ge "$3" ]; }

# readme_block NUMBER KIND: the n-th block of that kind in README.md.
readme_block() {
  awk -v wanted="$1" -v opening="\`\`\`$2" '
    $0 == opening { count++; inside = count == wanted; next }
    /^```/ { inside = 0 }
    inside' "$here/../../README.md"
}

case $program in
readme)
  # The C programs of README.md and the command lines below them, with this compiler and its flags.
  readme_block 1 c >tick.c
  readme_block 2 c >app.c
  printf '%s\n' 'app.log("hello")' 'function on_frame(ms) return ms > 16 end' >app.lua
  for command in "cc tick.c" "cc app.c"; do
    line=$(grep -F "$command " "$here/../../README.md")
    eval "$cc $flags ${line#cc }"
  done
  start tick ./tick
  until_true lines tick.log '^tick$' 2
  ./app >out
  has_line out '^hello$'
  has_line out '^slow: 1$'
  ;;
cplusplus)
  ./cplusplus >out
  has_line out '^mode=3 head=5 coding=1$'
  has_line out '^packet=abc$'
  ;;
tls_names)
  make_cert
  SSL_CERT_FILE=$work/cert.pem ./tls_names >out
  has_line out '^server alpn=h2,http/1.1$'
  has_line out '^connected ssl=1 alpn=http/1.1 callbacks=1$'
  has_line out '^connected ssl=1 alpn= callbacks=1$'
  equal "texts" 2 "$(grep -c '^hello$' out)"
  equal "ends" 2 "$(grep -c '^closed error=0$' out)"
  SSL_CERT_FILE=/dev/null ./tls_names >out # nobody is trusted: clients see no server
  equal "refusals" 2 "$(grep -cE '^closed error=10004$' out)"
  ! grep -q '^connected' out || fail "connected without trust"
  ;;
short_names)
  ./short_names >out
  has_line out '^busy=1$'
  has_line out '^sums=20000,20000,20000,20000 once=1$'
  set -- names.*.log
  has_line out "^log=$1\$"
  equal "lines of the log" 'VERB1DEBUG2INFO3WARN4ERROR5FATAL6INFO7' \
    "$(sed -E 's/ +//g; s/\[.*//' "$1" | tr -d '\n')"
  has_line out '^priority=3$'
  has_line out '^stream=by the pair$'
  has_line out '^datagram=by datagram$'
  has_line out '^sent=11$'
  has_line out '^errno=0$'
  ;;
version_log)
  ./version_log >out
  has_line out "^path=$work/version_log\$"
  has_line out "^folder=$work\$"
  version=$(sed -n 's/^version=//p' out)
  set -- libhv*.log
  has_line "$1" "^[0-9-]{10} [0-9:]{8}\.[0-9]{3} INFO  linked with $version \[version_log.c:[0-9]+:main\]\$"
  ;;
embed)
  ./embed >out
  has_line out '^sum=7.5$'
  has_line out '^ERROR embed.lua:2: deliberate$'
  has_line out '^late=43$'
  ;;
timer)
  start timer ./timer
  until_true lines timer.log '^time=[0-9]+s$' 3
  first=$(head -1 timer.log | tr -dc 0-9)
  third=$(sed -n 3p timer.log | tr -dc 0-9)
  [ $((third - first)) -ge 1 ] || fail "three seconds at once: $first $third"
  pass
  ;;
tcp_server)
  start_server
  echoes 5
  until_true lines server.log '^closed 0$' 5
  ;;
tcp_client | udp_client)
  python3 -u - "$program" >peer.log 2>&1 <<'PY' &
import socket, sys
if sys.argv[1] == "tcp_client":
    s = socket.socket(); s.bind(("127.0.0.1", 0)); s.listen(1)
    print("listening on 127.0.0.1:%d" % s.getsockname()[1])
    c = s.accept()[0]
    for _ in range(2): c.sendall(c.recv(1000))
    c.close()
else:
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind(("127.0.0.1", 0))
    print("listening on 127.0.0.1:%d" % s.getsockname()[1])
    for _ in range(2): s.sendto(*s.recvfrom(1000))
PY
  pids+=($!)
  start client "./$program" "$(port_of peer)"
  client_pid=$pid
  date='[0-9]{4}-[0-9]{2}-[0-9]{2} [0-9:]{8}'
  until_true lines client.log "^< $date\$" 2
  sed -n 's/^> //p' client.log | head -2 >sent
  sed -n 's/^< //p' client.log | head -2 >got
  same_file sent got
  if [ "$program" = tcp_client ]; then
    status=0
    wait "$client_pid" || status=$?
    equal "status of a client whose server has gone" 0 "$status"
    has_line client.log '^closed 0$'
  fi
  ;;
udp_server)
  port=$(free_port)
  start server ./udp_server "$port"
  python3 - "$port" <<'PY' || fail "no echo"
import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.connect(("127.0.0.1", int(sys.argv[1])))
s.settimeout(0.1)
for _ in range(100):   # until it listens
    try:
        s.send(b"hello")
        assert s.recv(100) == b"hello"
        break
    except (ConnectionRefusedError, socket.timeout):
        pass
else:
    raise SystemExit("nobody answers")
PY
  wait_line server "^fd=[0-9]+ \[0\.0\.0\.0:$port\] <=> \[127\.0\.0\.1:[0-9]+\] 5\$"
  pass
  ;;
jsonrpc_server)
  start_server
  for question in 'add 1 2' 'div 1 0' 'xyz 1 2'; do
    # shellcheck disable=SC2086 # three words
    "$prefix/examples/jsonrpc_client" 127.0.0.1 "$port" $question >"answer" || fail "$question"
    cat answer >>answers
  done
  has_line answers '^< \{"id":1,"result":3\}$'
  has_line answers '^< \{"id":1,"error":\{"code":400,"message":"Bad Request"\}\}$'
  has_line answers '^< \{"id":1,"error":\{"code":404,"message":"Not Found"\}\}$'
  wait_line server '^> \{"id":1,"method":"add","params":\[1,2\]\}$'
  until_true lines server.log '^closed fd=[0-9]+ error=0$' 4
  ;;
acceptor_processes)
  start_server
  until_true test "$(pgrep -c -P "$pid")" = 4
  pids+=($(pgrep -P "$pid"))
  echoes 40
  [ "$(kinds pid)" -ge 1 ] || fail "nobody says who serves"
  until_true lines server.log '^closed fd=[0-9]+ error=0$' 40
  ! grep -q "^pid=$pid " server.log || fail "the parent serves, too"
  pass
  ;;
acceptor_threads)
  start_server
  equal "threads" 5 "$(ls "/proc/$pid/task" | wc -l)"
  echoes 40
  until_true lines server.log '^closed fd=[0-9]+ error=0$' 40
  ;;
acceptor_workers)
  start_server
  echoes 40
  equal "threads that serve in turn" 4 "$(kinds tid)"
  until_true lines server.log '^closed fd=[0-9]+ error=0$' 40
  ;;
mqtt_sub | mqtt_pub)
  start_broker
  start sub mosquitto_sub -h 127.0.0.1 -p "$port" -t '#' -F '%q %t %p'
  sub_pid=$pid
  if [ "$program" = mqtt_pub ]; then
    until_true grep -q 'Sending SUBACK' broker.log
    for qos in 0 1 2; do
      ./mqtt_pub 127.0.0.1 "$port" a/b "hello $qos" "$qos" >"pub$qos" || fail "status of QoS $qos"
      has_line "pub$qos" '^error=0$'
      wait_line sub "^0 a/b hello $qos\$"
    done
    has_line pub1 '^type=4 mid=1$'
    has_line pub2 '^type=5 mid=1$'
    has_line pub2 '^type=7 mid=1$'
    ! grep -q will sub.log || fail "a client that says goodbye has no will"
    pass
  else
    start client ./mqtt_sub 127.0.0.1 "$port" 'x/+'
    client_pid=$pid
    wait_line client '^suback mid=[0-9]+$'
    mosquitto_pub -h 127.0.0.1 -p "$port" -t x/y -m first -q 1
    wait_line client '^payload: first$'
    kill "$broker_pid"
    wait "$broker_pid" || true
    wait_line client '^retry=[0-9]+ delay=(50|100|200)$'
    for _ in 1 2 3 4 5; do run_broker && break; done
    until_true lines client.log '^suback mid=[0-9]+$' 2
    mosquitto_pub -h 127.0.0.1 -p "$port" -t x/z -m stop -q 2
    status=0
    wait "$client_pid" || status=$?
    equal "status after mqtt_client_stop" 0 "$status"
    has_line client.log '^topic: x/z$'
  fi
  kill "$sub_pid"
  ;;
*) fail "no such program: $program" ;;
esac
finish
