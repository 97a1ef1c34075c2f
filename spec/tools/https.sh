#!/bin/bash
# https.sh - examples/https_server.c judged by curl, openssl and testssl.
. "$(dirname "$0")/lib.sh" "$@"
make_cert
start https "$bin/https_server" 0 "$work/cert.pem" "$work/key.pem"
https_pid=$pid
port=$(port_of https)
url=https://localhost:$port/

get() { curl -sS --max-time 20 --cacert "$work/cert.pem" "$@"; }
equal "TLS 1.3" "hello over TLSv1.3" "$(get --tlsv1.3 "$url" | cut -d, -f1)"
equal "TLS 1.2" "hello over TLSv1.2" "$(get --tls-max 1.2 "$url" | cut -d, -f1)"
refuses 35 get --tls-max 1.1 --ciphers DEFAULT@SECLEVEL=0 "$url"
refuses 60 curl -sS --max-time 20 "$url" # nobody has signed it
refuses 60 get --resolve "other:$port:127.0.0.1" "https://other:$port/"

# ask OPTIONS...: what s_client says of one request.
ask() {
  printf 'GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n' |
    timeout 20 openssl s_client -connect "127.0.0.1:$port" -CAfile "$work/cert.pem" -ign_eof "$@" \
      >"$work/s_client" 2>&1 || true
}
has_line <(get --http2 "$url") ', HTTP/2$'
ask -alpn http/1.1
has_line "$work/s_client" '^ALPN protocol: http/1.1$'
has_line "$work/s_client" '^Verify return code: 0 \(ok\)|Verification: OK'
has_line "$work/s_client" '^hello over '
ask -tls1_2 -sess_out "$work/session"
has_line "$work/s_client" '^hello over TLSv1.2'
ask -tls1_2 -sess_in "$work/session"
has_line "$work/s_client" ', resumed$'

# A client that asks for renegotiation is refused.
(printf 'R\n'; sleep 1) | timeout 20 openssl s_client -connect "127.0.0.1:$port" -tls1_2 \
  >"$work/renegotiation" 2>&1 || true
has_line "$work/renegotiation" 'no renegotiation|no_renegotiation|error'

# Reload: a bad certificate changes nothing, a new one is served.
before=$(openssl x509 -in "$work/cert.pem" -noout -fingerprint)
served() {
  openssl s_client -connect "127.0.0.1:$port" </dev/null 2>/dev/null | openssl x509 -noout -fingerprint
}
equal "certificate" "$before" "$(served)"
mv "$work/cert.pem" "$work/old.pem"
kill -HUP "$https_pid"
wait_line https '^certificate not reloaded: '
equal "certificate after a failed reload" "$before" "$(served)"
make_cert
kill -HUP "$https_pid"
wait_line https '^certificate reloaded$'
equal "certificate after a reload" "$(openssl x509 -in "$work/cert.pem" -noout -fingerprint)" "$(served)"

# Protocols and vulnerabilities: nothing above LOW. It cannot judge what it cannot reach, so it must
# also have seen TLS 1.3.
testssl --quiet --color 0 --warnings off -p -U --sneaky --jsonfile "$work/testssl.json" \
  "localhost:$port" >"$work/testssl.out" 2>&1 || true
has_line "$work/testssl.out" 'TLS 1.3 +offered'
has_line "$work/testssl.out" 'ROBOT'
python3 - "$work/testssl.json" <<'PY' || fail "testssl found something"
import json, sys
bad = [f for f in json.load(open(sys.argv[1])) if f["severity"] in ("MEDIUM", "HIGH", "CRITICAL", "FATAL")]
for finding in bad: print(finding["id"], finding["severity"], finding["finding"], file=sys.stderr)
sys.exit(1 if bad else 0)
PY
pass
ends_by TERM "$https_pid"
finish
