// The example of `normproof new-target` with a bug that shows at some sizes only, as real kernels have them:
// NORMPROOF_FAULT names one of kBugs.
#include <algorithm>
#include <array>
#include <cstdlib>
#include <string_view>
#include <vector>

// The example, its one symbol under another name.
#define normproof_plugin example_plugin
#include "faultless_adapter.cpp"  // NOLINT(bugprone-suspicious-include)
#undef normproof_plugin

extern "C" NORMPROOF_PLUGIN_EXPORT const normproof_plugin_info* normproof_plugin(void);

namespace {

enum class Effect { half_summed, not_written, divisor };
struct Bug {
  std::string_view name;
  Effect effect;
  std::int64_t rows;  // from so many on
  std::int64_t least_hidden;
  std::int64_t most_hidden;
  std::int64_t grid = 0;  // rank 3 and above, a leading dimension beyond this: its rest is not written
};
constexpr std::int64_t kAny = std::int64_t{1} << 40;
constexpr auto kBugs = std::to_array<Bug>({
    {"half-256x512", Effect::half_summed, 256, 512, kAny},
    {"half-256x2048", Effect::half_summed, 256, 2048, kAny},
    {"half-65x6144", Effect::half_summed, 65, 6144, 6144},
    {"half-1024", Effect::half_summed, 1024, 1, kAny},
    {"grid-65535", Effect::not_written, 65536, 1, kAny, 65535},
    {"unwritten-2^23", Effect::not_written, std::int64_t{1} << 23, 1, kAny},
    {"divisor-5120", Effect::divisor, 1, 5120, 5120},
    {"half-17x16384", Effect::half_summed, 17, 16384, 16384},
});

const Bug* bug() {
  const char* name = std::getenv("NORMPROOF_FAULT");
  const auto* found = std::ranges::find(kBugs, name == nullptr ? "" : name, &Bug::name);
  return found == kBugs.end() ? nullptr : found;
}

void norm_row_with(const Bug& bug, const DLTensor* out, std::int64_t out_begin, const DLTensor* input,
                   std::int64_t input_begin, const DLTensor* weight, float epsilon) {
  const std::int64_t columns = input->shape[input->ndim - 1];
  std::int64_t summed = columns, divisor = columns;
  if (bug.effect == Effect::half_summed) summed = columns / 2;
  if (bug.effect == Effect::divisor) divisor = columns - 1;
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
  std::int64_t rows = 1, largest = 0;
  for (int dim = 0; dim < leading; ++dim) {
    rows *= input->shape[dim];
    largest = std::max(largest, input->shape[dim]);
  }
  const Bug* active = bug();
  const std::int64_t hidden = input->shape[leading];
  if (active != nullptr &&
      (rows < active->rows || hidden < active->least_hidden || hidden > active->most_hidden ||
       (active->grid > 0 && leading < 2) || largest <= active->grid))
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
    } else if (active->effect != Effect::not_written) {
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
