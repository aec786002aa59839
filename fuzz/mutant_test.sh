#!/usr/bin/env bash
# mutant_test.sh FUZZER MUTANT RUNS [WRITE_SEEDS CORPUS]: the fuzzer must find MUTANT within RUNS executions, starting
# from the corpus without the seeds of the very same bug, or from nothing where no corpus is named.
set -euo pipefail
fuzzer=$1 mutant=$2 runs=$3
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
run=$(cd -- "$(dirname -- "$0")" && pwd)/run.sh
mkdir "$work/seeds"
if (( $# > 3 )); then
  "$4" "$5" "$work/seeds" "${mutant%%-*}-"
fi
cd "$work"
status=0
NORMPROOF_TARGET=mutant:$mutant NORMPROOF_FINDINGS=$work "$run" "$fuzzer" -runs="$runs" -seed=1 -rss_limit_mb=4096 seeds >log 2>&1 || status=$?
executions=$(sed -n 's/^stat::number_of_executed_units: //p; s/^#\([0-9]*\).*/\1/p' log | tail -n 1)
if grep -q "^VIOLATION on target mutant:$mutant" log && [[ -n $(ls finding-*.json 2>/dev/null) ]]; then
  echo "$mutant: found with exit code $status; the last progress line before it was at ${executions:-0} executions"
  exit 0
fi
tail -n 20 log
echo "$mutant: not found within $runs executions (exit code $status)" >&2
exit 1
