#!/bin/bash
# fetch_nginx_lua.sh: lays nginx's Lua module and what it needs out below /tmp/hvlua-bench/nglua.
# They are unpacked, not installed: their LuaJIT and the one this project is built with exclude each
# other as packages.
set -eu
root=/tmp/hvlua-bench/nglua/root
[ -f $root/usr/lib/nginx/modules/ngx_http_lua_module.so ] && exit 0
mkdir -p $root/packages
cd $root/packages
apt-get download -q libnginx-mod-http-lua libnginx-mod-http-ndk libluajit2-5.1-2 lua-resty-core \
    lua-resty-lrucache 2>/dev/null
for package in *.deb; do dpkg -x "$package" $root; done
