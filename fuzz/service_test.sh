#!/usr/bin/env bash
# service_test.sh [SANITIZER...] [-- NAME...]: what a fuzzing service demands of build.sh, without one. For each of address,
# undefined and coverage (or those named) it stands in for the service's environment, builds all fuzzers (or those named
# after --), moves OUT elsewhere, and looks at it the way the service's check for bad builds does.
# SERVICE_TEST_FLAGS replaces the optimization flags; CXX is clang++-19 without one.
set -euo pipefail
folder=$(cd -- "$(dirname -- "$0")" && pwd)
fail() { echo "service_test: $*" >&2; exit 1; }
sanitizers=()
while (( $# )) && [[ $1 != -- ]]; do sanitizers+=("$1"); shift; done
(( $# )) && shift
(( ${#sanitizers[@]} )) || sanitizers=(address undefined coverage)
for sanitizer in "${sanitizers[@]}"; do
  [[ $sanitizer =~ ^(address|undefined|coverage)$ ]] || { echo "service_test: no sanitizer is called '$sanitizer'" >&2; exit 2; }
done
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export CXX=${CXX:-clang++-19}

# A service builds with libc++, linked statically; without libc++-19-dev and libc++abi-19-dev the stand-in takes g++'s runtime.
runtime_flags="" engine=-fsanitize=fuzzer runtime=libstdc++
libraries=$(cd -- "$("$CXX" -print-resource-dir)/../.." && pwd)
if [[ -f $libraries/libc++.a && -f $libraries/libc++abi.a ]]; then
  mkdir "$work/lib"
  echo "INPUT($libraries/libc++.a $libraries/libc++abi.a)" >"$work/lib/libc++.a"
  runtime_flags="-stdlib=libc++ -L$work/lib -Wno-unused-command-line-argument"
  engine="-fsanitize=fuzzer -l:libstdc++.so.6"  # Debian's libFuzzer, unlike the services', needs g++'s runtime
  runtime=libc++
fi

# Thresholds of the service's own check; but of UndefinedBehaviorSanitizer it wants no more calls than the runtimes have.
least_edges=100 least_asan_calls=1000 least_ubsan_calls=1000 most_ubsan_calls_elsewhere=200
undefined=array-bounds,bool,builtin,enum,function,integer-divide-by-zero,null,object-size,return,returns-nonnull-attribute
undefined+=,shift,signed-integer-overflow,unreachable,vla-bound,vptr
export UBSAN_OPTIONS=silence_unsigned_overflow=1:halt_on_error=1

# sanitizer_calls FILE: how many call instructions go to AddressSanitizer's runtime, and to UndefinedBehaviorSanitizer's.
sanitizer_calls() {
  objdump -d --no-show-raw-insn "$1" |
    awk '/call.*<__asan/ { asan++ } /call.*<__ubsan/ { ubsan++ } END { print asan + 0, ubsan + 0 }'
}

check_fuzzer() {  # SANITIZER NAME, in the folder where OUT was moved to
  local sanitizer=$1 name=$2 missing edges asan ubsan
  [[ $name =~ ^[A-Za-z0-9_-]+$ ]] || fail "$name: not a name that a service takes"
  [[ -s $name.options ]] || fail "$name: no options"
  grep -qE '^\[libfuzzer\]' "$name.options" || fail "$name.options has no section [libfuzzer]"
  [[ ! -f $folder/$name.dict || -s $name.dict ]] || fail "$name: its dictionary is missing"
  mkdir -p "$work/seeds"
  (cd "$work/seeds" && cmake -E tar xf "$PWD/../elsewhere/moved/${name}_seed_corpus.zip") || fail "$name: no seed corpus"
  [[ -n $(find "$work/seeds" -type f) ]] || fail "$name: an empty seed corpus"
  # What every image has; all else must be in the program.
  missing=$(ldd "$name" | awk '{print $1}' |
    grep -vE '^(linux-vdso|libc|libm|libdl|libpthread|librt|libresolv|libgcc_s|libstdc\+\+)\.so|^/lib' || true)
  [[ -z $missing ]] || fail "$name: needs $missing, which a bare image lacks"
  # The service runs a fuzzer from the folder that it lies in, first without seeds, then on the seeds alone; four runs on
  # top of them.
  local arguments log=$work/log
  for arguments in "-seed=1337 -runs=4" "-runs=0 $work/seeds" "-seed=1 -runs=4 $work/seeds"; do
    # shellcheck disable=SC2086  # several arguments
    "$folder/run.sh" "./$name" -rss_limit_mb=2560 -timeout=25 $arguments >"$log" 2>&1 ||
      { tail -n 20 "$log" >&2; fail "$name: does not run with $arguments"; }
    grep -qE '^Done [0-9]+ runs' "$log" || { tail -n 20 "$log" >&2; fail "$name: does not end its runs with $arguments"; }
  done
  edges=$(sed -n 's/^INFO: Loaded 1 modules *(\([0-9]*\) inline 8-bit counters).*/\1/p' "$log")
  read -r asan ubsan < <(sanitizer_calls "$name")
  case $sanitizer in
    address)
      (( asan >= least_asan_calls )) || fail "$name: only $asan calls of AddressSanitizer"
      (( ubsan <= most_ubsan_calls_elsewhere )) || fail "$name: $ubsan calls of UndefinedBehaviorSanitizer" ;;
    undefined)
      (( asan == 0 )) || fail "$name: $asan calls of AddressSanitizer"
      (( ubsan >= least_ubsan_calls )) || fail "$name: only $ubsan calls of UndefinedBehaviorSanitizer" ;;
    coverage)
      (( asan == 0 )) || fail "$name: $asan calls of AddressSanitizer"
      [[ -n $(find . -name 'profile-*.profraw') ]] || fail "$name: wrote no coverage profile" ;;
  esac
  [[ $sanitizer == coverage ]] || (( ${edges:-0} >= least_edges )) || fail "$name: only ${edges:-0} instrumented edges"
  rm -rf "$work/seeds" ./*.profraw
  printf '  %-20s %6s edges %7s calls of ASan %6s of UBSan\n' "$name" "${edges:--}" "$asan" "$ubsan"
}

checked=0
for sanitizer in "${sanitizers[@]}"; do
  flags="${SERVICE_TEST_FLAGS:--O1 -gline-tables-only} -fno-omit-frame-pointer -DFUZZING_BUILD_MODE_UNSAFE_FOR_PRODUCTION"
  case $sanitizer in
    address) flags+=" -fsanitize=address -fsanitize-address-use-after-scope -fsanitize=fuzzer-no-link" ;;
    undefined) flags+=" -fsanitize=$undefined,unsigned-integer-overflow -fno-sanitize-recover=$undefined -fsanitize=fuzzer-no-link" ;;
    coverage) flags+=" -fprofile-instr-generate -fcoverage-mapping -pthread -Wno-unused-command-line-argument" ;;
  esac
  SECONDS=0
  env CXXFLAGS="$flags $runtime_flags" LIB_FUZZING_ENGINE="$engine" SANITIZER="$sanitizer" WORK="$work/work" OUT="$work/out" \
    "$folder/build.sh" "$@" >"$work/log" 2>&1 || { tail -n 40 "$work/log" >&2; fail "$sanitizer: the build failed"; }
  echo "$sanitizer ($runtime): built in $SECONDS s"
  # Where it was built must not matter.
  mkdir "$work/elsewhere"
  mv "$work/out" "$work/elsewhere/moved"
  rm -rf "$work/work"
  cd "$work/elsewhere/moved"
  export LLVM_PROFILE_FILE=profile-%p.profraw
  for fuzzer in *_fuzzer; do
    check_fuzzer "$sanitizer" "$fuzzer"
    checked=$((checked + 1))
  done
  cd /
  rm -rf "$work/elsewhere"
done
echo "$checked fuzzers checked"
(( checked > 0 ))
