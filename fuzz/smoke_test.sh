#!/usr/bin/env bash
# smoke_test.sh FUZZER SEEDS RUNS: replays the seeds, then does a fixed number of seeded runs on a copy of them
# (libFuzzer writes into the folder that it is given). Without an engine (standalone build) only the replay.
set -euo pipefail
fuzzer=$1 seeds=$2 runs=$3
run=$(cd -- "$(dirname -- "$0")" && pwd)/run.sh
copy=$(mktemp -d)
trap 'rm -rf "$copy"' EXIT
cp -r "$seeds" "$copy/seeds"
[[ -n $(ls -A "$copy/seeds") ]] || { echo "no seeds in $seeds" >&2; exit 1; }
cd "$copy"
"$run" "$fuzzer" -runs=0 seeds
if (( runs > 0 )); then
  # Every seed stays a parent, also where nothing is instrumented and so no seed shows anything new.
  # A failure's log shows the finding too, which stands above the engine's stack trace.
  "$run" "$fuzzer" -runs="$runs" -keep_seed=1 -reduce_inputs=0 -seed=1 -rss_limit_mb=4096 -timeout=30 -print_final_stats=1 seeds >log 2>&1 || { status=$?; tail -n 120 log; exit "$status"; }
  tail -n 20 log
fi
