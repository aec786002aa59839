// grouped_rms_norm: rms_norm of a weight with several rows, by a launch for each of them.
#include <array>

#include "kernels/family/rows.h"
#include "kernels/family/weight_rows.h"

namespace normproof::kernels {
namespace {

constexpr std::array kRules = {
    TensorRule{"x", false, TensorShape::elements, kAnyActivation, false, {}, true},
    TensorRule{"weight", false, TensorShape::hidden, kLikeXOrFp32, false, {}, true, true},
    TensorRule{"out", true, TensorShape::elements, kLikeX, false, "x", true},
};
constexpr std::array<std::string_view, 1> kNumbers = {"epsilon"};

// With a leading dimension, which rms_norm wants.
Tensor in_rows(Tensor tensor) {
  if (tensor.rank > 1) return tensor;
  return {tensor.data, tensor.dtype, 2, {1, tensor.sizes[0]}, {tensor.sizes[0], 1}};
}

}  // namespace

Status run_grouped_norm(const NamedCall& call, Stream stream, LaunchReport* report) {
  CheckedCall checked;
  if (Status status = check(call, kRules, kNumbers, checked); !status.ok()) return status;
  if (checked.rows.count == 0) return {};
  const auto run = [&](const NamedCall& part) {
    return rms_norm(in_rows(*part.find("out")), in_rows(*part.find("x")), part.find("weight"),
                    part.number("epsilon"), part.launch, stream, report);
  };
  return checked.has_rows_of_weights ? run_by_weight_rows(call, kRules, run) : run(call);
}

}  // namespace normproof::kernels
