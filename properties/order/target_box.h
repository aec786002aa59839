// A target as a black box: one operation, dtypes, row length, number of rows, alignment and path.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "corpus/case.h"
#include "properties/order/probe.h"
#include "properties/targets/target.h"

namespace normproof::order {

struct CallShape : CallKind {  // weights are all ones
  std::int32_t hidden_size = 4096;
  std::int64_t rows = 64;
  std::int64_t offset = 0;  // of the tensors from a 256-byte boundary, in elements
  KernelPath path = KernelPath::automatic;
  std::uint32_t scale_ub_bits = 0x7f800000;  // the upper bound of scales; infinity: none
};

// The case that a call is, without data. What is not in the shape is as a plain case has it.
Case case_of(const CallShape& shape, std::uint32_t epsilon_bits);

// The shape with a weight that the target takes: none, one of the activations' dtype, or fp32. Throws
// TargetError naming what it does not take.
CallShape with_weight_it_takes(const Target& target, CallShape shape);

// The box; the target must outlive it. `threads` call the target.
std::unique_ptr<BlackBox> make_target_box(Target& target, const CallShape& shape, int threads);

}  // namespace normproof::order
