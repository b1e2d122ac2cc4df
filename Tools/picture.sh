#!/bin/bash
# Makes the picture of the terminal debugger in the README from a program of the tests: Docs/terminal-debugger.svg, always the same.
set -euo pipefail
cd "$(dirname "$0")/.."
Tests/Guests/build.py panels >/dev/null
vitrine=${VITRINE:-.build/release/vitrine}
cp Tests/Guests/.out/panels /tmp/panels
trap 'rm -f /tmp/panels' EXIT
exec "$vitrine" debug --clear-env --cpu v2 --no-vdso \
  --command 'break square if rdi == 7' --command continue --command 'goto table' --command 'view hex' \
  --command finish --command 'step 3' --command 'focus code' \
  --command "picture Docs/terminal-debugger.svg 120x40" -- /tmp/panels
