#!/usr/bin/env bash
# afl_test.sh [NAME...]: builds the harnesses (all of them, or those named) for AFL++ by build.sh, and lets afl-fuzz run each
# for AFL_SECONDS (10) on its seeds: it must start, execute, see coverage, and find nothing. Needs the Debian package afl++;
# AFL_TEST_FLAGS replaces the optimization flags.
set -euo pipefail
folder=$(cd -- "$(dirname -- "$0")" && pwd)
fail() { echo "afl_test: $*" >&2; exit 1; }
library=/usr/lib/afl
if ! command -v afl-fuzz >/dev/null || [[ ! -f $library/libAFLDriver.a || ! -f $library/afl-compiler-rt.o ]]; then
  echo "afl_test: AFL++ is not installed (Debian package afl++)" >&2
  exit 3
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# Debian's afl-clang-fast is bound to clang 14, which lacks std::source_location. AFL++'s runtime takes the coverage of any
# clang's own instrumentation, and its driver any libFuzzer harness.
env CXX="${CXX:-clang++-19}" CXXFLAGS="${AFL_TEST_FLAGS:--O2} -fsanitize-coverage=trace-pc-guard" SANITIZER=none \
  LDFLAGS="$library/afl-compiler-rt.o" LIB_FUZZING_ENGINE="$library/libAFLDriver.a" WORK="$work/work" OUT="$work/out" \
  "$folder/build.sh" "$@" >"$work/log" 2>&1 || { tail -n 40 "$work/log" >&2; fail "the build failed"; }
rm -rf "$work/work"
# A virtual machine has no frequency scaling and no core dump handler that AFL++ would like.
export AFL_NO_UI=1 AFL_SKIP_CPUFREQ=1 AFL_I_DONT_CARE_ABOUT_MISSING_CRASHES=1 AFL_NO_AFFINITY=1 AFL_FORKSRV_INIT_TMOUT=30000
cd "$work/out"
checked=0
value() { sed -n "s/^$1 *: *\([0-9]*\).*/\1/p" "$stats"; }
for fuzzer in *_fuzzer; do
  rm -rf "$work/seeds" "$work/run"
  mkdir "$work/seeds"
  (cd "$work/seeds" && cmake -E tar xf "$work/out/${fuzzer}_seed_corpus.zip" && find . -empty -type f -exec sh -c 'echo >"$1"' _ {} \;)
  dictionary=()
  [[ ! -f $fuzzer.dict ]] || dictionary=(-x "$fuzzer.dict")
  # -t: a wide case takes its time.
  afl-fuzz -i "$work/seeds" -o "$work/run" -V "${AFL_SECONDS:-10}" -t 5000 -m none "${dictionary[@]}" -- "./$fuzzer" \
    >"$work/log" 2>&1 || { tail -n 20 "$work/log" >&2; fail "$fuzzer: afl-fuzz failed"; }
  grep -q 'All set and ready to roll' "$work/log" || { tail -n 20 "$work/log" >&2; fail "$fuzzer: did not start"; }
  # AFL++ leaves out seeds that fail, and goes on.
  ! grep -aE 'results in a (crash|timeout)' "$work/log" >&2 || fail "$fuzzer: fails on its seeds"
  stats=$work/run/default/fuzzer_stats
  (( $(value execs_done) > 0 )) || fail "$fuzzer: nothing was executed"
  least_edges=100
  [[ $fuzzer != approximation_fuzzer ]] || least_edges=50  # a few functions of a few lines
  (( $(value edges_found) >= least_edges )) || fail "$fuzzer: only $(value edges_found) edges seen"
  (( $(value saved_crashes) == 0 && $(value saved_hangs) == 0 )) ||
    { tail -n 20 "$work/log" >&2; fail "$fuzzer: $(value saved_crashes) crashes, $(value saved_hangs) hangs"; }
  printf '  %-20s %8s executions %6s edges %5s inputs\n' "$fuzzer" "$(value execs_done)" "$(value edges_found)" \
    "$(value corpus_count)"
  checked=$((checked + 1))
done
echo "$checked fuzzers ran under AFL++"
(( checked > 0 ))
