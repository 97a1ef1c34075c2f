# valgrind.sh PROGRAM ARGUMENTS... - runs a test under memcheck, which alone sees the use of bytes that
# were never written. Its report is shown where it has found something; the program's own status counts
# as well.
#
# Compiled Lua changes its code as it goes, hence --smc-check. The heap of LuaJIT is mapped memory to
# memcheck: what lies there is not judged, but what C keeps alive from there is not taken for lost.
# Valgrind 3.19 does not know epoll_pwait2 and says so; the loop does without.
set -u
log=$(mktemp)
trap 'rm -f "$log"' EXIT
valgrind -q --error-exitcode=99 --smc-check=all-non-file --leak-check=full \
  --errors-for-leak-kinds=definite --log-file="$log" "$@"
status=$?
if [ $status != 0 ]; then
  grep -vE '^--[0-9]+-- ' "$log" | head -100
  echo "valgrind.sh: status $status"
fi
exit $status
