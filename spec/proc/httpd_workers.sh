#!/bin/bash
# httpd_workers.sh - examples/httpd_workers.c under load: crash, reload, stop, and its pid file.
. "$(dirname "$0")/../tools/lib.sh" "$@"
. "$(dirname "$0")/lib.sh"
here=$(cd "$(dirname "$0")" && pwd)
httpd=$(cd "$bin" && pwd)/httpd_workers
cd "$work"
port=$(free_port)
url=http://127.0.0.1:$port
connections=16
workers=2
server=("$httpd" -c server.conf)
configure() { printf 'port = %s\nworker_processes = %s\nmessage = %s\n' "$port" "$workers" "$1" >server.conf; }
configure first

# Options.
"$httpd" -h >help.out
has_line help.out '^Usage: httpd_workers \[hvc:ts:dp:\]'
equal "-v" "httpd_workers" "$("$httpd" -v | cut -d' ' -f1)"
equal "-t" "Test confile [server.conf] OK!" "$("${server[@]}" -t)"
echo 'port = x' >bad.conf
refuses 1 "$httpd" -c bad.conf -t
has_line refused.out 'bad.conf:1'
refuses 1 "$httpd" -c none.conf -t
equal "status before" 3 "$("${server[@]}" -s status >/dev/null; echo $?)"
refuses 1 "${server[@]}" -s reload

# Start; a stale and a foreign number in the pid file count for nothing.
mkdir -p logs
echo 4194304 >logs/httpd_workers.pid
equal "stale pid file" "httpd_workers stop/waiting" "$("${server[@]}" -s status || true)"
sleep 100 & foreign=$!
pids+=("$foreign")
echo "$foreign" >logs/httpd_workers.pid
equal "foreign pid file" "httpd_workers stop/waiting" "$("${server[@]}" -s stop)"
kill -0 "$foreign" || fail "a process that is not ours was ended"
pass
"${server[@]}" -s start -d >start.out
has_line start.out 'httpd_workers start/running'
master=$(master_pid)
equal "pid file" "$master" "$(cat logs/httpd_workers.pid)"
equal "workers" "$workers" "$(count_workers "$master")"
equal "GET /" first "$(get "$url/")"
refuses 1 "${server[@]}"
has_line refused.out "already running, pid=$master"
equal "-s start again" "httpd_workers start/running, pid=$master" "$("${server[@]}" -s start -d)"

# A reload under load: no request fails, and the new configuration is in force.
load reload 4
python3 "$here/keepalive.py" "$port" 4 8 >keepalive.log 2>&1 & keepalive_pid=$!
for i in 1 2 3; do
  sleep 0.7 # of load
  configure "reload $i"
  "${server[@]}" -s reload >/dev/null
  until_true answers / "reload $i"
done
wait "$load_pid" "$keepalive_pid"
no_failures reload
no_lost_answers keepalive
has_line keepalive.log 'closed [1-9]'
equal "master after reloads" "$master" "$(master_pid)"
until_true has_workers "$master" "$workers"

# A reload with a bad configuration changes nothing.
before=$(workers_of "$master")
echo 'port = x' >server.conf
"${server[@]}" -s reload >/dev/null
until_true grep -q 'reload refused' logs/httpd_workers.*.log
equal "workers after a refused reload" "$before" "$(workers_of "$master")"
equal "answer after a refused reload" "reload 3" "$(get "$url/")"
configure "reload 3"

# A worker is killed under load: only its own connections fail, and there is a new one.
load crash 3
sleep 1
victim=$(workers_of "$master" | head -1)
allowed=$(sockets_of "$victim")
[ "$allowed" -gt 0 ] || fail "worker $victim has no connection"
kill -KILL "$victim"
until_true is_gone "$victim"
until_true has_workers "$master" "$workers"
wait "$load_pid"
at_most_failures crash "$allowed"
equal "answer after a crash" "reload 3" "$(get "$url/")"

# Restart.
"${server[@]}" -s restart -d >restart.out
has_line restart.out '^httpd_workers stop/waiting'
has_line restart.out '^httpd_workers start/running'
until_true is_gone "$master"
master=$(master_pid)
equal "GET / after restart" "reload 3" "$(get "$url/")"

# A stop lets an answer in flight arrive whole.
get "$url/slow/1500" >slow.out & slow_pid=$!
sleep 0.3
equal "-s stop" "httpd_workers stop/waiting" "$("${server[@]}" -s stop)"
wait "$slow_pid" || fail "the slow answer was cut"
equal "slow answer" late "$(cat slow.out)"
is_gone "$master" || fail "the master is still there"
[ ! -e logs/httpd_workers.pid ] || fail "the pid file is still there"
pass

# Two starts at once: one serves, one says why not, or that there is one already.
"${server[@]}" -s start -d >both1.out 2>&1 & one=$!
"${server[@]}" -s start -d >both2.out 2>&1 & two=$!
one_status=0 two_status=0
wait "$one" || one_status=$?
wait "$two" || two_status=$?
[ "$one_status" = 0 ] || [ "$two_status" = 0 ] || fail "none of two starts succeeded"
master=$(master_pid)
[ -n "$master" ] || fail "none of two servers is there"
pass
equal "GET / after two starts" "reload 3" "$(get "$url/")"
equal "masters" 1 "$(cat both1.out both2.out | grep -c '^httpd_workers start/running$')"

# A killed master: the workers go too, and a new start takes over.
old=$(workers_of "$master")
kill -KILL "$master"
for worker in $old; do until_true is_gone "$worker"; done
"${server[@]}" -s start -d >/dev/null
equal "GET / after the master was killed" "reload 3" "$(get "$url/")"
"${server[@]}" -s stop >/dev/null
finish
