#!/bin/bash
# arguments.sh - the small examples in C: what they say to words that are no port, to a port that is
# taken, to a server that is not there, and to standard streams that are closed.
. "$(dirname "$0")/lib.sh" "$@"

for program in tcp_echo_server tcp_client tcp_chat_server udp_echo_server udp_client ws_server \
  multi_acceptor_processes multi_acceptor_threads one_acceptor_multi_workers; do
  for word in --help 80x ""; do
    refuses 2 "$bin/$program" $word
    has_line "$work/refused.out" "^Usage: .*$program port\$"
  done
  refuses 1 "$bin/$program" 70000
done
for word in -h 8080x; do
  refuses 2 "$bin/http_server" "$word"
  has_line "$work/refused.out" '^Usage: .*http_server \[port \[folder\]\]$'
done
refuses 2 "$bin/https_server" abc cert.pem key.pem
refuses 2 "$bin/ws_client" -h

start taken "$bin/nc" -v -l 127.0.0.1 0
port=$(port_of taken)
for program in tcp_echo_server tcp_chat_server ws_server multi_acceptor_processes \
  multi_acceptor_threads one_acceptor_multi_workers http_server; do
  refuses 1 "$bin/$program" "$port"
  has_line "$work/refused.out" '^listen: address already in use$'
done
ends_by TERM "$pid"
refuses 1 "$bin/tcp_client" "$port"
has_line "$work/refused.out" '^closed: connection refused$'

# Without standard input there is nothing to send, and the first socket does not take its place.
start listener "$bin/nc" -v -l 127.0.0.1 0
port=$(port_of listener)
status=0
timeout 10 "$bin/nc" 127.0.0.1 "$port" <&- >"$work/closed.out" 2>&1 || status=$?
equal "status of nc without standard input" 0 "$status"
finish
