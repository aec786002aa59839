// RMSNorm with a gate: which inverse RMS r, if any, explains a row of a kernel's outputs bit for bit, where
// every element's gate is one of a few numbers.
//
//   g = silu(z) or sigmoid(z), any of the fp32 numbers within `gate_ulp` of the exact one, or that rounded to
//   T norm first:  out = rnd_T(fl(n * g)),  n = fl(fl(x * r) * w), or rnd_T of it gate first:  out =
//   rnd_T(fl(fl(v * r) * w)),  v = fl(x * g), or rnd_T of it; r is that of v
//
// w may be 1 + w, and n may be w * rnd_T(fl(x * r)). exp and reciprocals of kernels are approximate, so the
// gate is an unknown of each element: for each gate the outputs rise or fall with r, and an element is
// explained where one of its gates explains it. At a single r each gate gives one output, so the search ends
// as SEARCH.md says. All that comes after the gate is judged bit for bit.
//
// Where exp(-z) overflows in fp32 a kernel's gate is 0, whatever the exact one is.
//
// The exact gate is enclosed in fp64, by the library's exp with a margin of
// 2^-47: beyond what any libm is off.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "corpus/dtype.h"
#include "oracle/box_search/row_search.h"

namespace normproof::oracle::box_search {

struct GatedNormRule {
  DType activation = DType::bf16;
  std::optional<DType> weight;
  bool sigmoid = false;            // else silu
  bool gate_first = false;         // x * gate is normalized
  bool rounds_gate = false;        // to T
  bool rounds_between = false;     // what is between the norm and the gate
  bool rounds_normalized = false;  // w * rnd_T(fl(x * r))
  bool weight_plus_one = false;
  std::uint32_t epsilon = 0;  // fp32 bits
  int inverse_root_ulp = 2;
  int gate_ulp = 4;
  std::optional<std::int64_t> sum_depth;
};

// The numbers that a gate may be: in the order of line.h, NaN last.
std::vector<float> gates_of(float z, const GatedNormRule& rule);
// The canonical one (canonical_gate.h), rounded to T where the rule says so.
float canonical_gate(float z, const GatedNormRule& rule);

class GatedNormJudge {
 public:
  // `weight` is packed, empty where the rule has none.
  GatedNormJudge(const GatedNormRule& rule, std::int64_t hidden_size, std::span<const std::byte> weight);

  // Another, for the rows from now on.
  void set_weight(std::span<const std::byte> weight);

  // One packed row. The first unknown of the verdict is r, the second is not used.
  // Within a StandardFloatEnvironment.
  RowVerdict judge(std::span<const std::byte> x, std::span<const std::byte> gate,
                   std::span<const std::byte> out, bool with_refutation);
  // Of the row that was judged last and does not conform. Throws std::logic_error.
  void require_exact(const RowVerdict& verdict) const;
  std::optional<Point> witness_in(const Box& box) const;

  // With canonical gates.
  std::vector<std::byte> outputs(std::span<const std::byte> x, std::span<const std::byte> gate, float root);
  float canonical_root(std::span<const std::byte> x, std::span<const std::byte> gate);

  // How many elements of the row have more than one gate that their output may have been made with.
  std::int64_t open_gates() const;

 private:
  template <typename Ranges>
  class Problem;
  void load(std::span<const std::byte> x, std::span<const std::byte> gate);
  template <typename Bound>
  std::vector<Box> window() const;
  float operand(std::int64_t j, float gate) const;

  GatedNormRule rule_;
  std::int64_t count_;
  std::vector<float> weight_, x_, gate_, got_;
  std::vector<std::vector<float>> gates_;  // of each element
};

}  // namespace normproof::oracle::box_search
