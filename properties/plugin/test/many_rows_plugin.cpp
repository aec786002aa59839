// The example of `normproof new-target`, as it was with version 1 of the interface, with a bug that shows at
// some sizes only, as real kernels have them: NORMPROOF_FAULT names one of kSizeBugs.
#include <algorithm>
#include <array>
#include <cstdlib>
#include <string_view>
#include <vector>

#include "properties/assess/size_bugs.h"

// The example, its one symbol under another name.
#define normproof_plugin example_plugin
#include "faultless_adapter.cpp"  // NOLINT(bugprone-suspicious-include)
#undef normproof_plugin

extern "C" NORMPROOF_PLUGIN_EXPORT const normproof_plugin_info* normproof_plugin(void);

namespace {

using normproof::assess::SizeBug;

const SizeBug* bug() {
  const char* name = std::getenv("NORMPROOF_FAULT");
  const auto* found =
      std::ranges::find(normproof::assess::kSizeBugs, name == nullptr ? "" : name, &SizeBug::name);
  return found == normproof::assess::kSizeBugs.end() ? nullptr : found;
}

void norm_row_with(const SizeBug& bug, const DLTensor* out, std::int64_t out_begin, const DLTensor* input,
                   std::int64_t input_begin, const DLTensor* weight, float epsilon) {
  const std::int64_t columns = input->shape[input->ndim - 1];
  std::int64_t summed = columns, divisor = columns;
  if (bug.effect == SizeBug::Effect::half_summed) summed = columns / 2;
  if (bug.effect == SizeBug::Effect::divisor) divisor = columns - 1;
  float sum = 0;
  for (std::int64_t j = 0; j < summed; ++j)
    sum += load(input, input_begin + j) * load(input, input_begin + j);
  const float r = 1.0f / std::sqrt(sum / static_cast<float>(divisor) + epsilon);
  for (std::int64_t j = 0; j < columns; ++j) {
    const float normalized = load(input, input_begin + j) * r;
    store(out, out_begin + j,
          weight == nullptr ? normalized
                            : rounded(weight->dtype, rounded(weight->dtype, normalized) * load(weight, j)));
  }
}

int32_t many_rows_rms_norm(const DLTensor* out, const DLTensor* input, const DLTensor* weight, float epsilon,
                           const normproof_plugin_call*) {
  const int leading = input->ndim - 1;
  std::int64_t rows = 1;
  for (int dim = 0; dim < leading; ++dim) rows *= input->shape[dim];
  const SizeBug* active = bug();
  if (active != nullptr && !spoils(*active, std::span(input->shape, static_cast<std::size_t>(input->ndim))))
    active = nullptr;
  std::array<std::int64_t, 4> place{};
  for (std::int64_t row = 0; row < rows; ++row) {
    std::int64_t rest = row, in_begin = 0, out_begin = 0;
    for (int dim = leading; dim-- > 0; rest /= input->shape[dim]) {
      place[static_cast<std::size_t>(dim)] = rest % input->shape[dim];
      in_begin += rest % input->shape[dim] * input->strides[dim];
      out_begin += rest % input->shape[dim] * out->strides[dim];
    }
    if (active == nullptr) {
      norm_row(out, out_begin, input, in_begin, weight, epsilon);
    } else if (active->effect != SizeBug::Effect::not_written) {
      norm_row_with(*active, out, out_begin, input, in_begin, weight, epsilon);
    } else if (active->grid > 0 && std::ranges::max(place) < active->grid) {
      norm_row(out, out_begin, input, in_begin, weight, epsilon);
    }
  }
  return NORMPROOF_PLUGIN_OK;
}

}  // namespace

const normproof_plugin_info* normproof_plugin(void) {
  static normproof_plugin_info spoiled = *example_plugin();
  spoiled.name = "many rows";
  spoiled.rms_norm = &many_rows_rms_norm;
  return &spoiled;
}
