# stock.sh LUAJIT - runs stock.lua's parts by a stock luajit; LUA_PATH and LUA_CPATH lead to what is
# tested.
set -eu
luajit=$1
here=$(cd "$(dirname "$0")" && pwd)
for part in first run top errors cleanup; do
  out=$("$luajit" "$here/stock.lua" $part 2>&1) || { echo "$out"; exit 1; }
  [ "$out" = "$part: fine" ] || { echo "$part: $out"; exit 1; }
done
# An error before hv.run is luajit's own affair.
status=0
"$luajit" -e 'require("hv").sleep(1) error("main fails")' >/dev/null 2>&1 || status=$?
[ $status = 1 ] || { echo "status $status"; exit 1; }
echo "a stock luajit works with hv"
