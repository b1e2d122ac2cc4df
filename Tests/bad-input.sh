#!/bin/sh
# The stage `badinput`: the command line from outside, then broken files, guests that run wild, a bounded number of
# mutations, and formats besides ELF, on both engines; guests with a root of their own that try to leave it. Prints
# `N passed, M failed` for all together. For a long run: make fuzz.
cd "$(dirname "$0")" || exit 1
log=$(mktemp) || exit 1
trap 'rm -f "$log"' EXIT
status=0
for engine in translator interpreter; do
  echo "engine: $engine"
  CommandLine/check --engine "$engine" || status=1
  BadInput/check --options "--engine $engine" || status=1
  # What the kernel says of paths does not depend on the engine; and when it starts Vitrine itself, nobody names an engine.
  if [ "$engine" = translator ]; then words="" parts=""; else words="programs outside" parts="portable flat foreign"; fi
  # shellcheck disable=SC2086
  Root/check --engine "$engine" $words || status=1
  # shellcheck disable=SC2086
  Formats/check --options "--engine $engine" $parts || status=1
done >"$log"
cat "$log"
awk '/^[0-9]+ passed, [0-9]+ failed/ { passed += $1; failed += $3 }
  END { printf "%d passed, %d failed\n", passed, failed }' "$log"
exit $status
