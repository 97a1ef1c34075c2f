# rock.sh ROOT LUAJIT - makes the rock of a copy of the tree in a scratch tree, without any network,
# and has a stock luajit use what luarocks has installed there.
set -eu
root=$1 luajit=$2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/clone"
cd "$root"
cp -r CMakeLists.txt LICENSE README.md CHANGELOG.md bindings lua runtime vendor "$work/clone"
cd "$work/clone"
export CMAKE_BUILD_PARALLEL_LEVEL=2 HV_LTO=OFF # only for the time it takes
if command -v ccache >/dev/null; then export CMAKE_C_COMPILER_LAUNCHER=ccache; fi
luarocks make --tree "$work/tree" vendor/hvlua-scm-1.rockspec >"$work/log" 2>&1 ||
  { cat "$work/log"; exit 1; }

LUA_PATH="$work/tree/share/lua/5.1/?.lua;$work/tree/share/lua/5.1/?/init.lua;;"
LUA_CPATH="$work/tree/lib/lua/5.1/?.so;;"
export LUA_PATH LUA_CPATH
cd "$work"
# What was just installed is what is found, not what the machine may have besides.
found=$("$luajit" -e 'print(package.searchpath("hv", package.path), package.searchpath("_hv", package.cpath))')
[ "$found" = "$work/tree/share/lua/5.1/hv/init.lua	$work/tree/lib/lua/5.1/_hv.so" ] ||
  { echo "found $found"; exit 1; }
bash "$root/spec/rock/stock.sh" "$luajit"

unset LUA_PATH LUA_CPATH
out=$("$work/tree/bin/hvlua" -e 'require("hv").sleep(1) print(require("hv").version)')
[ "$out" = "$(sed -nE 's/^#define HV_VERSION_STRING +"(.*)"/\1/p' "$root/runtime/include/hversion.h")" ] ||
  { echo "hvlua says $out"; exit 1; }
luarocks remove --tree "$work/tree" hvlua >/dev/null 2>&1
[ ! -e "$work/tree/lib/lua/5.1/_hv.so" ] || { echo "the rock leaves files behind"; exit 1; }
echo "the rock builds, installs and works"
