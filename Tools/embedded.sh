#!/bin/bash
# Compiles the portable core (X86, GuestMemory, Engine) as Embedded Swift, for each target of the toolchain named below, so
# that portability never rots. Nothing is linked or run. Prints a line per module and target; the closing line counts them.
#
#     Tools/embedded.sh [TARGET…]
set -uo pipefail
root=$(cd "$(dirname "$(readlink -f "$0")")/.." && pwd)
out=$root/.build/embedded
targets=("$@")
[ $# -gt 0 ] || targets=(x86_64-unknown-linux-gnu aarch64-none-none-elf)
passed=0 failed=0

# The C seam is imported by a module map of its own: SwiftPM makes its one only for the host.
mkdir -p "$out/CHost"
printf 'module CHost { umbrella header "%s" export * }\n' "$root/Sources/CHost/include/CHost.h" > "$out/CHost/module.modulemap"

for target in "${targets[@]}"; do
  mkdir -p "$out/$target"
  for module in X86 GuestMemory Engine; do
    begin=$SECONDS
    mapfile -d '' sources < <(find "$root/Sources/$module" -name '*.swift' -print0 | sort -z)
    if swiftc -target "$target" -module-name "$module" -swift-version 6 -parse-as-library -wmo -Osize \
      -enforce-exclusivity=unchecked -suppress-warnings \
      -enable-experimental-feature Embedded -Xcc -fmodule-map-file="$out/CHost/module.modulemap" -Xcc -ffreestanding \
      -module-cache-path "$out/cache" -I "$out/$target" \
      -emit-module -emit-module-path "$out/$target/$module.swiftmodule" -c -o "$out/$target/$module.o" \
      "${sources[@]}" > "$out/log" 2>&1; then
      passed=$((passed + 1))
      echo "embedded $target $module: $(stat -c %s "$out/$target/$module.o") bytes of object, $((SECONDS - begin)) s"
    else
      failed=$((failed + 1))
      echo "FAILED embedded $target $module"
      grep -E 'error:|fatal|Stack dump' -A 3 "$out/log" | head -n 40
      [ "$module" = Engine ] || break
    fi
  done
done
echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
