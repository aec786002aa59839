#!/usr/bin/env bash
# build.sh [NAME...]: the build for a fuzzing service (OSS-Fuzz, ClusterFuzzLite). Takes CXX, CXXFLAGS and LIB_FUZZING_ENGINE as
# they are given and fills OUT with every fuzzer (or only conformance, wide, ... as named), its seed corpus, dictionary and
# options. WORK is where it builds; the sources are not touched.
set -euo pipefail
: "${CXX:?is the C++ compiler}" "${OUT:?is the folder to fill}" "${LIB_FUZZING_ENGINE:?is what fuzzers are linked with}"
source_folder=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd)
build=${WORK:-$(mktemp -d)}/normproof
# The service's flags say how to optimize and what to instrument: build type None adds nothing to them.
cmake -S "$source_folder" -B "$build" -G Ninja -DCMAKE_CXX_COMPILER="$CXX" -DCMAKE_CXX_FLAGS="${CXXFLAGS:-}" \
  -DCMAKE_BUILD_TYPE=None -DNORMPROOF_FUZZERS=ON -DNORMPROOF_STATIC=ON -DNORMPROOF_PROGRAM=OFF -DNORMPROOF_TESTS=OFF \
  -DNORMPROOF_MUTANTS=OFF -DNORMPROOF_BENCHMARKS=OFF -DNORMPROOF_CUDA=OFF -DNORMPROOF_WARNINGS_AS_ERRORS=OFF
targets=("${@/%/_fuzzer}")
(( $# )) || targets=(all_fuzzers)
cmake --build "$build" --parallel "$(nproc)" --target "${targets[@]}"
mkdir -p "$OUT"
for fuzzer in "$build"/bin/*_fuzzer; do
  name=$(basename "$fuzzer")
  cp "$fuzzer" "$fuzzer.options" "$OUT/"
  [[ ! -f $fuzzer.dict ]] || cp "$fuzzer.dict" "$OUT/"
  # The zip anew: cmake would add to one that is there.
  rm -f "$OUT/${name}_seed_corpus.zip"
  (cd -- "$(cat "$fuzzer.seeds")" && cmake -E tar cf "$OUT/${name}_seed_corpus.zip" --format=zip .)
done
