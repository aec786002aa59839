// Stands in for the matrix operations of a warp (nvcuda::wmma): declarations; the launch of a kernel that
// calls one fails by its name.
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include "kernels/host/unavailable_library.h"

namespace nvcuda::wmma {

struct matrix_a;
struct matrix_b;
struct accumulator;
struct row_major;
struct col_major;
enum layout_t { mem_row_major, mem_col_major };
namespace precision {
struct tf32;
}

template <class Use, int M, int N, int K, class T, class Layout = void>
struct fragment {
  static constexpr int num_elements = 8;
  T x[num_elements];
};

NORMPROOF_UNAVAILABLE_IN_KERNELS(void, fill_fragment)
NORMPROOF_UNAVAILABLE_IN_KERNELS(void, load_matrix_sync)
NORMPROOF_UNAVAILABLE_IN_KERNELS(void, store_matrix_sync)
NORMPROOF_UNAVAILABLE_IN_KERNELS(void, mma_sync)

}  // namespace nvcuda::wmma
