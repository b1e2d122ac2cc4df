#!/bin/bash
# The decoder against objdump and against noise (Docs/decoder.md). `--full` compares all of every file (some minutes);
# without it windows spread over each. The last line is `N passed, M failed`.
set -uo pipefail
cd "$(dirname "$(readlink -f "$0")")/.."
parts=12
[ "${1-}" = --full ] && parts=0

swift build -c release --product decodecheck 2>&1 | grep -E 'error|Compiling|complete' | tail -n 3
check=.build/release/decodecheck
passed=0 failed=0

# Runs one check; its exit status tells.
run() {
  if timeout 1800 "$@"; then passed=$((passed + 1)); else
    failed=$((failed + 1))
    echo "FAILED: $*"
  fi
}

files=(/lib/x86_64-linux-gnu/libc.so.6 /usr/lib/x86_64-linux-gnu/libstdc++.so.6 "$(readlink -f /usr/bin/python3)"
  /usr/bin/perl /usr/lib/gcc/x86_64-linux-gnu/12/cc1 "$(command -v node || true)")
for file in "${files[@]}"; do
  if [ -f "$file" ]; then run "$check" objdump --parts "$parts" "$file"; else echo "not installed: $file"; fi
done
run "$check" objdump --intel --parts 4 /lib/x86_64-linux-gnu/libc.so.6
for mode in 16 32 64; do run "$check" noise "$mode" 30000; done
run "$check" random 10000000
run "$check" speed /lib/x86_64-linux-gnu/libc.so.6
echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
