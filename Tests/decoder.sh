#!/bin/sh
# The stage `decoder`: lengths and text against objdump over windows of large programs (all of libc), then ten million random
# byte strings in each of the three modes. Everything of these programs, some minutes: `decodecheck objdump FILE…`.
cd "$(dirname "$0")/.." || exit 1
swift build -c release --product decodecheck 2>&1 | grep -E 'error|Compiling|Build' | tail -n 5
passed=0
failed=0
check() {
  if .build/release/decodecheck "$@"; then passed=$((passed + 1)); else failed=$((failed + 1)); fi
}

libc=/lib/x86_64-linux-gnu/libc.so.6
check objdump "$libc"
for file in /lib/x86_64-linux-gnu/libstdc++.so.6 /usr/bin/python3 /usr/lib/gcc/x86_64-linux-gnu/*/cc1 /usr/bin/perl /usr/bin/node; do
  if [ -f "$file" ]; then check objdump --parts 12 "$file"; else echo "skipped $file: not there"; fi
done
check objdump --intel --parts 4 "$libc"
check random 10000000
echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
