# lib.sh - for the tests of servers under load: a server that is run by its own -s words, wrk's
# findings, and what is left behind. Sourced after ../tools/lib.sh by the scripts beside it, which
# set `server`, the command with its fixed arguments.

# An unused port: the server is asked for it again after a restart.
free_port() {
  python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}

get() { curl -sS --max-time 20 "$@"; }
answers() { [ "$(get "$url$1")" = "$2" ]; }
# Ended; whether its parent has noticed is not the server's affair.
is_gone() { ! grep -q '^State:[[:space:]]*[A-Y]' "/proc/$1/status" 2>/dev/null; }

# Whose pid file it is.
master_pid() { "${server[@]}" -s status | sed -n 's/.*pid=//p'; }
workers_of() { ps -o pid= --ppid "$1" | sort -n | tr -d ' '; }
count_workers() { workers_of "$1" | wc -l; }
has_workers() { [ "$(count_workers "$1")" = "$2" ]; }

# load NAME SECONDS: wrk with connections that stay, in the background; then wait for $load_pid.
load() {
  wrk -t1 -c"$connections" -d"$2" "$url/" >"$work/$1.log" 2>&1 &
  load_pid=$!
}

wrk_ran() { has_line "$work/$1.log" '^ *[1-9][0-9]{2,} requests in'; }
# no_failures NAME: wrk saw neither a socket error nor another status than 200.
no_failures() {
  wrk_ran "$1"
  ! grep -E 'Socket errors|Non-2xx' "$work/$1.log" >&2 || fail "wrk $1: requests failed"
  pass
}
# at_most_failures NAME COUNT: socket errors of all kinds.
at_most_failures() {
  wrk_ran "$1"
  local sum
  sum=$(sed -nE 's/.*Socket errors: connect ([0-9]+), read ([0-9]+), write ([0-9]+), timeout ([0-9]+).*/\1+\2+\3+\4/p' \
    "$work/$1.log")
  [ "$((${sum:-0}))" -le "$2" ] || fail "wrk $1: ${sum} errors, allowed $2"
  ! grep 'Non-2xx' "$work/$1.log" >&2 || fail "wrk $1: answers that are no success"
  pass
}
# no_lost_answers NAME: keepalive.py, as it was started in the background with its output there.
no_lost_answers() {
  has_line "$work/$1.log" '^answered [1-9][0-9]* closed [0-9]+ failed 0'
}
# Sockets of a process: its connections, and a few of its own.
sockets_of() { find "/proc/$1/fd" -lname 'socket:*' 2>/dev/null | wc -l; }

stop_left_over() { [ -z "${url:-}" ] || "${server[@]}" -s stop >/dev/null 2>&1 || true; }
trap 'status=$?; stop_left_over; set +e; (exit $status); clean_up' EXIT
