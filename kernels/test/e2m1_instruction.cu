// Compiled for sm_100a alone, which has an instruction for codes of e2m1: a test that assembles it.
#include "kernels/family/e2m1.cuh"

#if defined(__CUDA_ARCH__) && !defined(NORMPROOF_E2M1_INSTRUCTION)
#error "e2m1.cuh does not use the instruction"
#endif

namespace normproof::kernels {

__global__ void convert(const Chunk<Bf16>* y, float factor, std::uint32_t* codes) {
  codes[threadIdx.x] = quick_e2m1_chunk<Bf16>(y[threadIdx.x], factor);
}

}  // namespace normproof::kernels
