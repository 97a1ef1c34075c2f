# lib.sh - for the tests of the command line examples: processes that are ended again, waiting with a
# limit and without fixed sleeps, and claims that name what they saw. Sourced by the scripts beside
# it, which are given the folder of the programs.

set -eu
bin=$1
work=$(mktemp -d)
pids=()
checks=0

clean_up() {
  local status=$?
  if [ "$status" != 0 ]; then
    for log in "$work"/*.log; do [ ! -f "$log" ] || sed "s|^|${log##*/}: |" "$log"; done
  fi
  exec 2>/dev/null # the shell would tell of every process that is killed
  for pid in "${pids[@]:-}"; do
    [ -z "$pid" ] || kill -KILL "$pid" || true
  done
  wait || true
  rm -rf "$work"
  exit "$status"
}
trap clean_up EXIT

fail() { echo "FAILED: $*" >&2; exit 1; }
pass() { checks=$((checks + 1)); }
finish() { echo "$checks claims hold"; exit 0; }

# start NAME COMMAND...: runs in the background, its output in NAME.log; sets $pid.
start() {
  local name=$1
  shift
  "$@" >"$work/$name.log" 2>&1 </dev/null &
  pid=$!
  pids+=("$pid")
}

# until_true COMMAND...: waits until it succeeds, at most ten seconds.
until_true() {
  for _ in $(seq 400); do
    if "$@" 2>/dev/null; then return 0; fi
    sleep 0.025
  done
  fail "in vain: $*"
}

# wait_line NAME PATTERN: until NAME.log has such a line.
wait_line() { until_true grep -qE -- "$2" "$work/$1.log"; }

# port_of NAME: the port that NAME printed; waits for it.
port_of() {
  wait_line "$1" '^listening on '
  sed -nE 's/^listening on .*:([0-9]+)$/\1/p' "$work/$1.log" | head -1
}

# equal WHAT WANTED GOT
equal() { [ "$2" = "$3" ] || fail "$1: wanted '$2', got '$3'"; pass; }
same_file() { cmp "$1" "$2" >&2 || fail "$1 and $2 differ"; pass; }
has_line() { grep -qE -- "$2" "$1" || fail "$1 has no line like $2: $(cat "$1")"; pass; }

# ends_by SIGNAL PID: ends by it, and with status 0.
ends_by() {
  kill "-$1" "$2"
  local status=0
  wait "$2" || status=$?
  equal "exit status after SIG$1" 0 "$status"
}

# refuses STATUS COMMAND...: fails with it, and says why.
refuses() {
  local wanted=$1 status=0
  shift
  "$@" >"$work/refused.out" 2>&1 </dev/null || status=$?
  equal "exit status of $*" "$wanted" "$status"
  [ -s "$work/refused.out" ] || fail "$* says nothing"
}

# explains COMMAND: --help goes to standard output and succeeds.
explains() {
  "$@" --help >"$work/help.out" || fail "$* --help fails"
  has_line "$work/help.out" '^Usage: '
}

# make_cert: a certificate for localhost in $work/cert.pem and key.pem.
make_cert() {
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 \
    -subj /CN=localhost -addext subjectAltName=DNS:localhost,IP:127.0.0.1 \
    -keyout "$work/key.pem" -out "$work/cert.pem" 2>"$work/openssl.log"
}

random_file() { head -c "$2" /dev/urandom >"$work/$1"; }
