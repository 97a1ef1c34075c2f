#!/bin/bash
# tinyhttpd.sh - examples/tinyhttpd.c against curl, and against requests nobody should send.
. "$(dirname "$0")/lib.sh" "$@"
httpd=$bin/tinyhttpd
site=$work/site
mkdir -p "$site/sub/inner" "$site/listed" "$work/site2"
echo "<h1>home</h1>" >"$site/index.html"
echo "text" >"$site/sub/a b&<c>.txt"
echo "secret" >"$work/secret"
echo "neighbour" >"$work/site2/file"
ln -s "$work/secret" "$site/link_out"
ln -s sub "$site/link_in"
: >"$site/empty"
touch "$site/listed/<script>" "$site/listed/.hidden" "$site/listed/x.png"
mkfifo "$site/pipe"
random_file site/large.bin 20000000
start httpd "$httpd" -v 127.0.0.1:0 "$site"
httpd_pid=$pid
port=$(port_of httpd)
url=http://127.0.0.1:$port

get() { curl -sS --max-time 20 --path-as-is "$@"; }
status_of() { get -o /dev/null -w '%{http_code}' "$@"; }
type_of() { get -o /dev/null -w '%{content_type}' "$@"; }

equal "index" "<h1>home</h1>" "$(get "$url/")"
equal "type" "text/html; charset=utf-8" "$(type_of "$url/")"
equal "encoded name" "text" "$(get "$url/sub/a%20b&%3Cc%3E.txt?query=1")"
equal "type of text" "text/plain; charset=utf-8" "$(type_of "$url/sub/a%20b&%3Cc%3E.txt")"
equal "type of others" "application/octet-stream" "$(type_of "$url/large.bin")"
equal "link inside" "text" "$(get "$url/link_in/a%20b&%3Cc%3E.txt")"
equal "empty file" "" "$(get "$url/empty")"
get -o "$work/got" "$url/large.bin"
same_file "$site/large.bin" "$work/got"
get --limit-rate 60M -o "$work/got" "$url/large.bin"
same_file "$site/large.bin" "$work/got"

get -I "$url/large.bin" >"$work/head"
has_line "$work/head" '^HTTP/1.1 200 OK'
has_line "$work/head" '^Content-Length: 20000000'
has_line "$work/head" '^Last-Modified: .* GMT'

get "$url/listed/" >"$work/listing"
has_line "$work/listing" 'href="./%3Cscript%3E">&#60;script&#62;</a>'
has_line "$work/listing" 'x.png'
! grep -q -e hidden -e '<script>' "$work/listing" || fail "the listing shows what it must not"
pass
equal "redirect" "301 $url/sub/" "$(get -o /dev/null -w '%{http_code} %{redirect_url}' "$url/sub")"

equal "missing" 404 "$(status_of "$url/missing")"
for escape in /../secret /%2e%2e/secret /sub/../../secret /..%2fsecret /link_out /../site2/file \
  /sub/%2e%2e/%2e%2e/secret //../secret; do
  code=$(status_of "$url$escape")
  case $code in 403 | 404) pass ;; *) fail "$escape: $code" ;; esac
done
equal "pipe" 403 "$(status_of "$url/pipe")"
equal "NUL" 400 "$(status_of "$url/index.html%00.txt")"
equal "broken escape" 400 "$(status_of "$url/%zz")"
equal "method" 405 "$(status_of -X DELETE "$url/")"
equal "body" 413 "$(status_of -d body "$url/")"

# Three requests, one connection.
equal "connections made" "1,0,0," "$(get -o /dev/null -o /dev/null -o /dev/null \
  -w '%{num_connects},' "$url/" "$url/empty" "$url/missing")"

raw() { python3 - "$port" "$1" <<'PY'
import socket, sys
s = socket.create_connection(("127.0.0.1", int(sys.argv[1])), timeout=10)
s.sendall(sys.argv[2].encode().decode("unicode_escape").encode("latin1"))
s.shutdown(socket.SHUT_WR)
answer = b""
try:
    while True:
        piece = s.recv(65536)
        if not piece: break
        answer += piece
except ConnectionResetError:
    pass
sys.stdout.write(" ".join(l.split(" ", 2)[1] for l in answer.decode("latin1").split("\n") if l.startswith("HTTP/")))
PY
}
equal "two pipelined" "200 404" "$(raw 'GET /empty HTTP/1.1\r\n\r\nGET /none HTTP/1.1\r\nConnection: close\r\n\r\n')"
equal "HTTP/1.0 ends" "200" "$(raw 'GET /empty HTTP/1.0\r\n\r\nGET /none HTTP/1.0\r\n\r\n')"
equal "no version" "400" "$(raw 'GET /\r\n\r\n')"
equal "other version" "505" "$(raw 'GET / HTTP/2.0\r\n\r\n')"
equal "no words" "400" "$(raw '\r\n\r\n')"
equal "NUL in a head" "400" "$(raw 'GET / HTTP/1.1\r\nA: \0\r\n\r\n')"
equal "endless head" "" "$(raw "GET / HTTP/1.1\r\nA: $(head -c 9000 /dev/zero | tr '\0' a)")"
equal "still there" "<h1>home</h1>" "$(get "$url/")"

ends_by INT "$httpd_pid"
explains "$httpd"
refuses 2 "$httpd"
refuses 1 "$httpd" 0 "$work/none"
finish
