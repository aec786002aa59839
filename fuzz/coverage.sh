#!/usr/bin/env bash
# coverage.sh BUILD-FOLDER [SECONDS [MINIMUM]]: line coverage of kernels/ and oracle/ by the seeds of the corpus plus
# SECONDS (default 60) of fuzzing, shared by all harnesses. Fails below MINIMUM percent (default 95).
# Run it as `./normproof coverage`, which builds the folder first.
set -euo pipefail
build=$(cd -- "$1" && pwd) seconds=${2:-60} minimum=${3:-95}
source_folder=$(cd -- "$(dirname -- "$0")/.." && pwd)
work=$build/coverage
rm -rf "$work"
mkdir -p "$work"
harnesses=()
for harness in "$build"/bin/*_fuzzer; do
  harnesses+=("$harness")  # with its options and the name of its seeds beside it
done
each=$(( (seconds + ${#harnesses[@]} - 1) / ${#harnesses[@]} ))
objects=()
for harness in "${harnesses[@]}"; do
  name=$(basename "$harness")
  seeds=$(cat "$harness.seeds")
  cp -r "$seeds" "$work/$name"
  echo "$name: $(ls "$work/$name" | wc -l) seeds, then $each s of fuzzing" >&2
  (cd "$work" && LLVM_PROFILE_FILE="$work/$name.%p.profraw" "$source_folder/fuzz/run.sh" "$harness" -max_total_time="$each" -seed=1 -rss_limit_mb=4096 \
    "$work/$name" >"$work/$name.log" 2>&1) || { tail -n 30 "$work/$name.log" >&2; exit 1; }
  objects+=(-object "$harness")
done
llvm-profdata-19 merge -sparse "$work"/*.profraw -o "$work/all.profdata"
# Tests, benchmarks and examples are not what is measured.
llvm-cov-19 report "${objects[@]:1}" -instr-profile "$work/all.profdata" \
  -ignore-filename-regex='/(test|bench|examples)/' --show-region-summary=false --show-branch-summary=true \
  "$source_folder/kernels" "$source_folder/oracle" | tee "$work/report.txt"
llvm-cov-19 show "${objects[@]:1}" -instr-profile "$work/all.profdata" -format=html -output-dir="$work/html" \
  "$source_folder/kernels" "$source_folder/oracle" >/dev/null
total=$(llvm-cov-19 export "${objects[@]:1}" -instr-profile "$work/all.profdata" -summary-only \
  -ignore-filename-regex='/(test|bench|examples)/' "$source_folder/kernels" "$source_folder/oracle" |
  python3 -c 'import json, sys; print(json.load(sys.stdin)["data"][0]["totals"]["lines"]["percent"])')
printf 'line coverage of kernels/ and oracle/: %.2f %% (at least %s %% wanted); lines: %s\n' "$total" "$minimum" "$work/html/index.html"
python3 -c "import sys; sys.exit(0 if $total >= $minimum else 1)"
