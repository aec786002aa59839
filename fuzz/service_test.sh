#!/usr/bin/env bash
# service_test.sh [SANITIZER...]: what a fuzzing service demands of build.sh, without one: stands in for its environment with
# address, undefined, coverage (all three without arguments), moves the result elsewhere, and looks at it the way the
# service's own check of a build does.
set -euo pipefail
folder=$(cd -- "$(dirname -- "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
fail() { echo "service_test: $*" >&2; exit 1; }
(( $# )) || set -- address undefined coverage
checked=0
for sanitizer in "$@"; do
  flags="-O1 -fno-omit-frame-pointer -gline-tables-only"
  case $sanitizer in
    address) flags+=" -fsanitize=address -fsanitize-address-use-after-scope -fsanitize=fuzzer-no-link" ;;
    undefined) flags+=" -fsanitize=array-bounds,bool,builtin,enum,function,integer-divide-by-zero,null,object-size,return,returns-nonnull-attribute,shift,signed-integer-overflow,unsigned-integer-overflow,unreachable,vla-bound -fno-sanitize-recover=array-bounds,bool,builtin,enum,function,integer-divide-by-zero,null,object-size,return,returns-nonnull-attribute,shift,signed-integer-overflow,unreachable,vla-bound -fsanitize=fuzzer-no-link" ;;
    coverage) flags+=" -fprofile-instr-generate -fcoverage-mapping -pthread" ;;
    *) echo "service_test: no sanitizer is called $sanitizer" >&2; exit 2 ;;
  esac
  engine=-fsanitize=fuzzer
  env CXX="${CXX:-clang++-19}" CXXFLAGS="$flags" LIB_FUZZING_ENGINE="$engine" SANITIZER="$sanitizer" WORK="$work/work" \
    OUT="$work/out" "$folder/build.sh" >"$work/log" 2>&1 || { tail -n 40 "$work/log" >&2; fail "$sanitizer: the build failed"; }
  # Where it was built must not matter.
  mkdir "$work/elsewhere"
  mv "$work/out" "$work/elsewhere/moved"
  rm -rf "$work/work"
  cd "$work/elsewhere/moved"
  for fuzzer in *_fuzzer; do
    [[ $fuzzer =~ ^[A-Za-z0-9_]+$ ]] || fail "$fuzzer: not a name that a service takes"
    [[ -s $fuzzer.options ]] || fail "$fuzzer: no options"
    mkdir -p ../seeds
    (cd ../seeds && cmake -E tar xf "$work/elsewhere/moved/${fuzzer}_seed_corpus.zip")
    (( $(find ../seeds -type f | wc -l) > 0 )) || fail "$fuzzer: an empty seed corpus"
    missing=$(ldd "$fuzzer" | awk '{print $1}' | grep -vE '^(linux-vdso|libc|libm|libgcc_s|libstdc\+\+|libpthread|librt|libdl|libresolv)\.so|^/lib' || true)
    [[ -z $missing ]] || fail "$fuzzer: needs $missing, which a bare image lacks"
    "$folder/run.sh" "./$fuzzer" -runs=4 -seed=1 ../seeds >"$work/log" 2>&1 || { tail -n 20 "$work/log" >&2; fail "$fuzzer: does not run"; }
    edges=$(sed -n 's/^INFO: Loaded 1 modules *(\([0-9]*\) inline 8-bit counters).*/\1/p' "$work/log")
    [[ $sanitizer == coverage ]] || (( ${edges:-0} > 500 )) || fail "$fuzzer: only ${edges:-0} instrumented edges"
    rm -rf ../seeds
    checked=$((checked + 1))
  done
  echo "$sanitizer: $(ls -d -- *_fuzzer | wc -l) fuzzers"
  cd /
  rm -rf "$work/elsewhere"
done
echo "$checked fuzzers checked"
(( checked > 0 ))
