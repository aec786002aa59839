// Random cases: valid, reproducible, and aimed at what breaks norm kernels.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <vector>

#include "corpus/call_limits.h"
#include "corpus/case.h"
#include "corpus/random.h"

namespace normproof {

enum class WeightKind : std::uint8_t { none, activation, fp32 };  // of the activation's dtype, or fp32
inline constexpr std::array kWeightKinds = {WeightKind::none, WeightKind::activation, WeightKind::fp32};

std::optional<DType> weight_dtype(WeightKind kind, DType activation);
WeightKind weight_kind(std::optional<DType> weight, DType activation);
inline WeightKind weight_kind(const Case& test_case) {
  return weight_kind(test_case.weight_dtype, test_case.dtype);
}

// What a case may be. A field without a value is drawn.
struct CaseLimits {
  std::int64_t max_rows = 8;
  std::int64_t max_hidden = 4096;
  std::int64_t max_elements = 1 << 16;  // of one tensor
  std::optional<Operation> operation;
  std::optional<DType> dtype;
  // With fp32 activations `activation` and `fp32` are the same weight.
  std::optional<WeightKind> weight;
  // Without an `operation` it restricts the draw to those that quantize; with
  // one that does not it is ignored.
  std::optional<DType> quantized_dtype;
  // automatic: any layout, and any path that it allows. vectorized: only layouts for which vectorizable()
  // holds, never the scalar path (a max_hidden below one chunk is taken for one chunk). scalar: the scalar
  // path, by demand or because the layout leaves no other.
  KernelPath path = KernelPath::automatic;
  // Row strides around 2^31 and 2^32 elements. Buffers are then huge: only for
  // targets that reserve address space.
  bool giant_strides = false;
  // Also demand the vectorized path where the layout forbids it.
  bool allow_refused = false;
  int max_threads_per_block = 1024;
  std::int64_t max_padding = 1024;  // elements between rows, or between blocks of rows, without giant_strides
  int special_percent = 20;  // of the rows get NaN, infinity, zeros or subnormals on top of their values
  CallLimits calls = {};     // what the target declares; where it says otherwise, it wins
  // Where rows get scales of their own: also codes of int8 where `quantized_dtype` is drawn, and also upper
  // bounds of scales.
  bool int8 = false, scale_ub = false;
  friend bool operator==(const CaseLimits&, const CaseLimits&) = default;

  // From here on only calls of the kind.
  void hold_to(const CallKind& kind);
  bool admits(const CallKind& kind) const;
  std::span<const Operation> operations() const;
  // That an operation may make, where `quantized_dtype` leaves it open.
  std::vector<DType> codes_of(Operation quantizing) const;
};

// What has to be chosen of a kind, and one of so many.
enum class KindChoice : std::uint8_t { dtype, weight, codes };
using ChooseKind = std::function<std::size_t(KindChoice, std::size_t)>;
// A kind of call of the operation, within the limits.
CallKind kind_within(const CaseLimits& limits, Operation operation, const ChooseKind& choose);

// Where a tensor has no rows or max_rows is small, leading sizes may still be as large as this.
inline constexpr std::int64_t kSizesWithoutRows = 3;

// Elements of one 16-byte chunk of the activation dtype: the unit of the canonical order and of the
// vectorized path.
std::int64_t chunk_elements(DType activation);

// Whether the kernels' vectorized path can run the case: the hidden size is a whole number of chunks, and
// every first element and every leading stride (of a dimension larger than 1) of each tensor it uses falls on
// the alignment that one chunk's access needs (16 bytes of T and of W, chunk_elements bytes of fp8).
bool vectorizable(const Case& test_case);

// The strides moved to where no rows overlap and no gap exceeds the limits, for the shape of `test_case`;
// unchanged where that holds, and empty where the tensor would not fit in 63 bits. Requires a valid shape.
std::vector<std::int64_t> fit_strides(std::vector<std::int64_t> strides, const Case& test_case,
                                      const CaseLimits& limits);

// Whether the case stays within the limits, apart from what is only a matter of frequency (special_percent).
bool within(const Case& test_case, const CaseLimits& limits);

// A valid case within the limits; the same for the same state of `random`. Cases of at most 2^16 elements
// list their values, most of the time; larger ones have recipes.
Case random_case(Random& random, const CaseLimits& limits = {});

}  // namespace normproof
