#!/bin/bash
# mk_nginx.sh NAME PORT TLSPORT [lua]: writes a config below /tmp/hvlua-bench/run/NAME and runs nginx
# on it. "lua" loads the modules that fetch_nginx_lua.sh has laid out.
set -eu
dir=/tmp/hvlua-bench/run/$1
here=$(cd "$(dirname "$0")" && pwd)
key=/tmp/hvlua-bench/run/ec
mkdir -p "$dir"
if [ ! -f $key.crt ]; then
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 3650 \
        -subj /CN=localhost -keyout $key.key.new -out $key.crt.new 2>/dev/null
    mv $key.key.new $key.key && mv $key.crt.new $key.crt
fi

load=/dev/null path=/dev/null lua=/dev/null
if [ "${4:-}" = lua ]; then
    root=/tmp/hvlua-bench/nglua/root
    modules=$root/usr/lib/nginx/modules
    [ -f $modules/ngx_http_lua_module.so ] || { echo "run servers/fetch_nginx_lua.sh" >&2; exit 1; }
    load=$dir/load.conf path=$dir/path.conf lua=$here/nginx_lua.conf
    echo "load_module $modules/ndk_http_module.so; load_module $modules/ngx_http_lua_module.so;" >$load
    echo "lua_package_path '$root/usr/share/lua/5.1/?.lua;;';" >$path
    export LD_LIBRARY_PATH=$root/usr/lib/x86_64-linux-gnu
fi
sed -e "s|@PORT@|$2|; s|@H2PORT@|$(($2 + 700))|; s|@TLSPORT@|$3|; s|@DIR@|$dir|g; s|@KEY@|$key|g; s|@LOAD@|$load|" \
    -e "s|@LUAPATH@|$path|; s|@LUA@|$lua|" "$here/nginx.conf.in" >"$dir/nginx.conf"
exec nginx -p "$dir" -c "$dir/nginx.conf"
