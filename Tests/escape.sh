#!/bin/sh
# The stage `escape`: no guest gets out of its window (Docs/translator-guard.md). First the proof over emitted code: every row
# and addressing form, chains, whole programs; then guests that try, with Vitrine's own memory watched from outside.
cd "$(dirname "$0")/.." || exit 1
swift build -c release --product escapecheck 2>&1 | grep -E 'error|Build' | tail -n 5
log=$(mktemp)
trap 'rm -f "$log"' EXIT
check() {
  "$@" >"$log" 2>&1 || broken=1
  cut -c 1-180 "$log"
  line=$(tail -n 1 "$log")
  passed=$((passed + ${line%% passed*}))
  line=${line#*, }
  failed=$((failed + ${line%% failed*}))
}
passed=0 failed=0 broken=0
check .build/release/escapecheck
programs=$(ls /bin/busybox /bin/bash-static 2>/dev/null)
[ -z "$programs" ] || check .build/release/escapecheck --programs $programs
[ ! -x Tests/Escape/check ] || check Tests/Escape/check
echo "$passed passed, $failed failed"
[ "$broken" = 0 ] && [ "$failed" = 0 ]
