#!/bin/sh
# The stage `oracle`: every row and operand form of ISA/, 64 states each, natively and interpreted; rows that this machine
# lacks, and then all rows once more, against the vectors captured on silicon that are in the repository. Before that silicon
# against itself: encodings exist, also those of AVX-512, and states survive. For a soak of a
# million cases and more: `.build/release/oracle --states 300 --seed 7`. New rows: `.build/release/oracle --capture
# Tests/Oracle/vectors.txt` on a machine that has them.
cd "$(dirname "$0")/.." || exit 1
swift build -c release --product oracle 2>&1 | grep -E 'error|Compiling|Build' | tail -n 5
.build/release/oracle --replay Tests/Oracle/vectors.txt || exit 1
.build/release/oracle --engine silicon --states 8 || exit 1
.build/release/oracle --states "${ORACLE_STATES:-64}"
