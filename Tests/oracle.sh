#!/bin/sh
# The stage `oracle`. First the oracle checks itself: all forms, those of AVX-512 too where the machine has it, and random
# blocks with the machine in the engine's place. Rows: every row and operand form of ISA/, 64 states each, natively and by
# each engine; rows that this machine lacks, and then all rows once more, against the vectors captured on silicon that are in
# the repository. Blocks: 100,000 random blocks natively and by each engine, and as many with faults injected. A soak of a
# million cases: `.build/release/oracle --states 300 --seed 7`; of ten million blocks: `ORACLE_BLOCKS=10000000
# Tests/oracle.sh`. New rows: `.build/release/oracle --capture Tests/Oracle/vectors.txt` on a machine that has them.
cd "$(dirname "$0")/.." || exit 1
swift build -c release --product oracle 2>&1 | grep -E 'error|Compiling|Build' | tail -n 5
oracle=.build/release/oracle
blocks=${ORACLE_BLOCKS:-100000}
seed=${ORACLE_SEED:-1}
$oracle --engine silicon --states 8 || exit 1
$oracle --engine silicon --blocks 2000 || exit 1
$oracle --replay Tests/Oracle/vectors.txt || exit 1
status=0
# One block, with `$engine`.
known() { $oracle --engine "$engine" --only "$@" >/dev/null || { echo "$* differs on $engine"; status=1; }; }
for engine in $($oracle --list-engines); do
  $oracle --engine "$engine" --states "${ORACLE_STATES:-64}" || status=1
  $oracle --engine "$engine" --blocks "$blocks" --seed "$seed" || status=1
  $oracle --engine "$engine" --blocks "$blocks" --seed "$seed" --faults || status=1
  # Found by soaks: a masked load whose first selected element is not its operand's first, and one that reads all of it;
  # ENTER across the last address; a chain of XADD that leaves the block's own memory; a loop with locked operands across
  # lines that takes a third of a second on some hosts; a shift by CL of memory with an index that a scratch register holds.
  for case in 4337916989284 38676180504047 2164663584802 386581416476599 386594301343780; do known $case --faults; done
  known 386585711413577
done
exit $status
