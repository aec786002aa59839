#!/usr/bin/env bash
# refused_test.sh SOURCE-PASS COMPILER HOST-FOLDER: what cannot run on the CPU is an error of the compiler at its place in the
# source, also in a header; what the preprocessor leaves out is none.
set -euo pipefail
pass=$1 compiler=$2 host=$3
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
fail() { echo "$*" >&2; exit 1; }

# compile NAME: the source pass, then the compiler; prints what the compiler says.
compile() {
  "$pass" --output "$folder/out" --depfile "$folder/out.d" --include "$folder/include" -- "$folder/$1" || fail "the source pass failed"
  "$compiler" -std=c++20 -fsyntax-only -D__CUDA_ARCH__=800 -isystem "$host/cuda_headers" -I "$host/../.." "$folder/out$folder/$1.cpp" 2>&1
}

mkdir "$folder/include"
cat >"$folder/include/launcher.cuh" <<'CUDA'
#pragma once
template <class T>
__global__ void twice(T* x) {
  __shared__ T copy[32];
  copy[threadIdx.x] = x[threadIdx.x];
  x[threadIdx.x] = copy[threadIdx.x] * 2;
}
inline void launch_twice(float* x) { twice<<<1, 32>>>(x); }
CUDA
cat >"$folder/good.cu" <<'CUDA'
#include <launcher.cuh>
#if !defined(NORMPROOF_HOST_EXECUTION)
__device__ void ptx() { asm volatile("griddepcontrol.wait;"); }
#endif
void run(float* x) { launch_twice(x); }
CUDA
said=$(compile good.cu) || fail "does not compile: $said"
grep -q "$folder/include/launcher.cuh" "$folder/out.d" || fail "the header is not in the depfile"

cat >"$folder/bad.cu" <<'CUDA'
#include "launcher.cuh"
__device__ float fast(float x) {
  return x + __shfl_xor(x, 1);
}
__device__ float read(cudaTextureObject_t t) {
  return tex1Dfetch<float>(t, 0);
}
CUDA
said=$(compile bad.cu) && fail "what is not there compiled"
grep -q 'bad.cu:3:.*__shfl_xor: CUDA 13 has it no more; take the one with _sync and a mask, or leave it out with #if .*NORMPROOF_HOST_EXECUTION' <<<"$said" || fail "not named: $said"
grep -q 'bad.cu:6:.*tex1Dfetch: textures cannot be read on the CPU; read global memory by a pointer, __ldg(p), or' <<<"$said" || fail "not named: $said"
