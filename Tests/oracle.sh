#!/bin/sh
# The stage `oracle`: every row and operand form of ISA/, 64 states each, natively and interpreted. For a soak of a million
# cases and more: `.build/release/oracle --states 1000 --seed 7`.
cd "$(dirname "$0")/.." || exit 1
swift build -c release --product oracle 2>&1 | grep -E 'error|Compiling|Build' | tail -n 5
.build/release/oracle --states "${ORACLE_STATES:-64}"
