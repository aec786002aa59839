#!/usr/bin/env bash
# coverage.sh BUILD-FOLDER [SECONDS [LINES [BRANCHES]]]: coverage of kernels/ and oracle/ by the seeds of the corpus plus
# SECONDS (default 60) of fuzzing, shared by all harnesses. Fails below LINES (default 97.5) or BRANCHES (default 91) percent.
# Run it as `./normproof coverage`, which builds the folder first.
set -euo pipefail
build=$(cd -- "$1" && pwd) seconds=${2:-60} least_lines=${3:-97.5} least_branches=${4:-91}
source_folder=$(cd -- "$(dirname -- "$0")/.." && pwd)
work=$build/coverage
rm -rf "$work"
mkdir -p "$work"
# Each has its options and the name of its seeds beside it. The first has nearly all functions: llvm-cov believes the first
# program that has one, be it unused there.
harnesses=("$build/bin/conformance_fuzzer")
for harness in "$build"/bin/*_fuzzer; do
  [[ $harness == */conformance_fuzzer ]] || harnesses+=("$harness")
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
llvm-cov-19 export "${objects[@]:1}" -instr-profile "$work/all.profdata" -summary-only \
  -ignore-filename-regex='/(test|bench|examples)/' "$source_folder/kernels" "$source_folder/oracle" >"$work/summary.json"
python3 - "$work" "$least_lines" "$least_branches" <<'PYTHON'
import json, sys
work, least = sys.argv[1], {"lines": float(sys.argv[2]), "branches": float(sys.argv[3])}
totals = json.load(open(f"{work}/summary.json"))["data"][0]["totals"]
for what, wanted in least.items():
    print(f"{what} of kernels/ and oracle/: {totals[what]['percent']:.2f} % of {totals[what]['count']} covered (at least {wanted} % wanted)")
print(f"which: {work}/html/index.html")
sys.exit(any(totals[what]["percent"] < wanted for what, wanted in least.items()))
PYTHON
