#!/usr/bin/env bash
# race_test.sh FUZZER SEEDS MUTANT RUNS: the fuzzer, built with ThreadSanitizer, must report a data race of MUTANT within RUNS
# executions from the seeds.
set -euo pipefail
fuzzer=$1 seeds=$2 mutant=$3 runs=$4
run=$(cd -- "$(dirname -- "$0")" && pwd)/run.sh
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cp -r "$seeds" "$work/seeds"
cd "$work"
status=0
NORMPROOF_TARGET=mutant:$mutant NORMPROOF_FINDINGS=$work "$run" "$fuzzer" -runs="$runs" -seed=1 -rss_limit_mb=4096 seeds >log 2>&1 || status=$?
if (( status != 0 )) && grep -q '^WARNING: ThreadSanitizer: data race' log; then
  grep -m 1 '^SUMMARY: ThreadSanitizer: data race' log
  exit 0
fi
tail -n 20 log
echo "$mutant: no data race reported within $runs executions (exit code $status)" >&2
exit 1
