#!/bin/bash
# Installs what the tests and the benchmarks need beside Swift: the compilers and libraries for guest programs, the real
# programs that are run, and qemu-user as a peer to measure against. Quiet, needs no answers, does nothing when everything
# is there. Nothing of this is part of the product.
set -euo pipefail

packages=(
  gcc g++ binutils musl-tools libasan8 libtsan2 libubsan1 # guests in C, C++ and assembly; objdump for the decoder check
  libc6-dev liblua5.4-dev libsqlite3-dev zlib1g-dev # Lua and SQLite, linked statically
  liblzma-dev libzstd-dev libjpeg62-turbo-dev libx264-dev libtcc-dev # compression, encoders and a C compiler, likewise
  busybox-static bash-static                   # real programs, static
  coreutils findutils grep sed mawk diffutils tar gzip perl sqlite3 openssl xz-utils git vim less tmux # and dynamically linked
  libpython3.11-testsuite nodejs openjdk-17-jdk-headless ffmpeg gdb lldb strace htop # large programs and a regression suite
  redis-server nginx-light postgresql-15 apache2-utils wrk # servers and what puts load on them
  util-linux iproute2                          # unshare, setpriv; loopback interfaces
  qemu-user                                    # peer in Benchmarks/
  valgrind lcov                                # callgrind_annotate and genhtml, for profiles and coverage
  ncurses-base python3 make                    # terminal descriptions; the harnesses
)

missing=()
for package in "${packages[@]}"; do
  if [ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" != installed ]; then
    missing+=("$package")
  fi
done
if [ ${#missing[@]} -eq 0 ]; then
  echo "packages: all ${#packages[@]} are installed"
  exit 0
fi

as_root=()
if [ "$(id -u)" != 0 ]; then as_root=(sudo -n); fi
log=$(mktemp)
trap 'rm -f "$log"' EXIT

root() { "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive "$@" </dev/null >>"$log" 2>&1; }
install() { root apt-get -o DPkg::Lock::Timeout=120 install -y -qq --no-install-recommends "${missing[@]}"; }

# The package manager may have been cut off before our turn (a machine stopped in the middle of an installation), and its
# lists may be old: mend both before the second attempt.
mend() {
  root dpkg --configure -a || true
  root apt-get -o DPkg::Lock::Timeout=120 install -f -y -qq || true
  root apt-get update -qq || true
}

echo "packages: installing ${missing[*]}"
install || { mend; install; } || { cat "$log" >&2; exit 1; }
