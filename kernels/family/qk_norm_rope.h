// Which kernels of q/k norm and rotary embedding there are.
#pragma once

#include "kernels/family/qk_norm_rope_arguments.h"
#include "kernels/rms_norm.h"

namespace normproof::kernels {

using QkNormRopeKernel = void (*)(QkNormRopeArguments);

// Where a thread finds the other element of a pair.
enum class Pairing {
  own_chunks,  // pairs (i, i + size / 2), and a power of two of chunks: a thread has two chunks that are half
               // a head apart, and all pairs of theirs
  other_chunk,  // pairs (i, i + pairs): in the chunk of another thread
  same_chunk,   // pairs (2i, 2i + 1)
};

struct QkNormRopeSelection {
  DType dtype = DType::bf16;
  bool in_registers = false;
  bool block_per_row = false;             // of the general kernel
  Pairing pairing = Pairing::own_chunks;  // in registers, as is what follows
  int heads = 1;                          // of a unit: 1 or kHeadsOfUnit
  bool weight_like_x = false;             // present, and of the dtype of x
};
inline constexpr int kHeadsOfUnit = 2;
QkNormRopeKernel find_qk_norm_rope(const QkNormRopeSelection& selection);

}  // namespace normproof::kernels
