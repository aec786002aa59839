#!/usr/bin/env bash
# compare.sh COMPILER HOST-FOLDER TOOLKIT: values.cpp against the stand-in headers and against the toolkit's
# own must print the same. Skipped (77) without a toolkit.
set -euo pipefail
compiler=$1 host=$2 toolkit=$3
[ -f "$toolkit/include/cuda_fp4.h" ] || { echo "skipped: no CUDA toolkit 13 in $toolkit"; exit 77; }
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
options=(-std=c++20 -O1 -w -ffp-contract=off)
# Nothing here runs a kernel, so the executor is left out.
"$compiler" "${options[@]}" -D__CUDA_ARCH__=800 -isystem "$host/cuda_headers" -I "$host/../.." \
  "$host/test/surface/values.cpp" -ffunction-sections -Wl,--gc-sections,--unresolved-symbols=ignore-all -o "$folder/ours"
"$compiler" "${options[@]}" -isystem "$toolkit/include" "$host/test/surface/values.cpp" -o "$folder/theirs"
"$folder/ours" >"$folder/ours.txt"
"$folder/theirs" >"$folder/theirs.txt"
[ "$(wc -l <"$folder/ours.txt")" -ge 200 ] || { echo "only $(wc -l <"$folder/ours.txt") functions compared"; exit 1; }
diff "$folder/ours.txt" "$folder/theirs.txt" || { echo "the stand-in headers (<) and the toolkit (>) differ"; exit 1; }
echo "$(wc -l <"$folder/ours.txt") functions and layouts agree"
