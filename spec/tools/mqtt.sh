#!/bin/bash
# mqtt.sh - examples/mqtt_sub and mqtt_pub, in C and in Lua, through mosquitto: with each other, and
# with mosquitto's own tools.
. "$(dirname "$0")/lib.sh" "$@"
examples=$(cd "$(dirname "$0")/../../examples" && pwd)
hvlua=${HVLUA:-$bin/../hvlua}
sub_c=("$bin/mqtt_sub") pub_c=("$bin/mqtt_pub")
sub_lua=("$hvlua" "$examples/mqtt_sub.lua") pub_lua=("$hvlua" "$examples/mqtt_pub.lua")
# Into a file they would write a block at a time.
sub_theirs=(stdbuf -oL mosquitto_sub) pub_theirs=(mosquitto_pub)

# A broker on a free port; where somebody else was faster another one is tried.
accepts() { python3 -c "import socket; socket.create_connection(('127.0.0.1', $1), 5)"; }
start_broker() {
  for _ in 1 2 3 4 5; do
    port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("", 0)); print(s.getsockname()[1])')
    tls=$(python3 -c 'import socket; s = socket.socket(); s.bind(("", 0)); print(s.getsockname()[1])')
    printf '%s\n' 'per_listener_settings true' "listener $port 127.0.0.1" 'allow_anonymous true' \
      "listener $tls 127.0.0.1" 'allow_anonymous false' "password_file $work/pw" \
      "cafile $work/cert.pem" "certfile $work/cert.pem" "keyfile $work/key.pem" \
      'user root' >"$work/conf"
    start broker mosquitto -c "$work/conf"
    for _ in $(seq 400); do
      if accepts "$port" 2>/dev/null && accepts "$tls" 2>/dev/null; then return 0; fi
      kill -0 "$pid" 2>/dev/null || break
      sleep 0.025
    done
  done
  fail "mosquitto does not start"
}
make_cert
mosquitto_passwd -c -b "$work/pw" me secret
start_broker

count=0
exchange() { # SUB PUB QOS VERSION
  local -n sub=sub_$1 pub=pub_$2
  count=$((count + 1))
  local name=$1_$2_$3_$4
  if [ "$1" = theirs ]; then
    start "$name" "${sub[@]}" -p "$port" -t "t/$count" -q "$3" -V "$4" -v -C 3 -d
    wait_line "$name" 'Subscribed'
  else
    start "$name" "${sub[@]}" -p "$port" -t "t/$count" -q "$3" -V "$4" -v -C 3
    wait_line "$name" '^subscribed$'
  fi
  local sub_pid=$pid status=0
  "${pub[@]}" -p "$port" -t "t/$count" -q "$3" -V "$4" -m one || fail "publish $name"
  printf 'two\nthree\n' | "${pub[@]}" -p "$port" -t "t/$count" -q "$3" -V "$4" -l ||
    fail "publish lines $name"
  wait "$sub_pid" || status=$?
  equal "status of $name" 0 "$status"
  for word in one two three; do has_line "$work/$name.log" "^t/$count $word\$"; done
}
for version in 4 5; do
  for pair in 'c c' 'lua lua' 'c lua' 'lua c'; do
    # shellcheck disable=SC2086 # two words
    exchange $pair 2 $version
  done
done
for qos in 0 1; do exchange c lua $qos 5; done
exchange theirs c 1 5
exchange theirs lua 2 5
exchange c theirs 2 5
exchange lua theirs 1 5

echo "retained messages"
"${pub_c[@]}" -p "$port" -t kept -m here -r -q 1
equal "kept" here "$("${sub_lua[@]}" -p "$port" -t kept -C 1 2>/dev/null)"
"${pub_lua[@]}" -p "$port" -t kept -n -r -q 1

echo "TLS and passwords"
login=(-h localhost -p "$tls" -u me -P secret)
start tls_sub "${sub_c[@]}" "${login[@]}" -A "$work/cert.pem" -t s -C 1
sub_pid=$pid
wait_line tls_sub '^subscribed$'
"${pub_lua[@]}" "${login[@]}" --cafile "$work/cert.pem" -t s -m secret -q 1
wait "$sub_pid"
has_line "$work/tls_sub.log" '^secret$'
refuses 1 "${pub_c[@]}" -h localhost -p "$tls" -u me -P wrong -A "$work/cert.pem" -t s -m x
has_line "$work/refused.out" 'not authorized'
refuses 1 "${pub_lua[@]}" -h localhost -p "$tls" -u me -P wrong --cafile "$work/cert.pem" -t s -m x
has_line "$work/refused.out" 'not authorized'

echo "command lines"
for tool in pub_c sub_c pub_lua sub_lua; do
  declare -n command=$tool
  explains "${command[@]}"
  refuses 2 "${command[@]}"
  refuses 2 "${command[@]}" -t x -Z y
  case $tool in pub*) what=(-m y) ;; *) what=() ;; esac
  refuses 1 "${command[@]}" -p 1 -t x "${what[@]}"
done
start last "${sub_c[@]}" -p "$port" -t x
wait_line last '^subscribed$'
ends_by TERM "$pid"
finish
