#include "properties/detective/policy_power.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

#include "corpus/random.h"
#include "oracle/canonical_judge.h"
#include "oracle/fast_row.h"
#include "oracle/formats.h"
#include "oracle/row_kernels.h"
#include "oracle/witness_judge.h"
#include "properties/judging/judge_rows.h"

namespace normproof {
namespace {

// The policy's outputs of some rows, with each row's r times a factor.
class SpoiledRows {
 public:
  // `rows` must outlive this.
  SpoiledRows(const oracle::Policy& policy, const RowSlice& rows)
      : rows_(rows), fast_(oracle::formula_of(rows.test_case, policy), rows.tensors[Role::weight]) {
    const oracle::StandardFloatEnvironment environment;
    for (std::int64_t row = 0; row < rows.test_case.rows(); ++row) {
      load(row);
      roots_.push_back(fast_.canonical_scale().inverse_root);
    }
  }
  Outputs outputs(float factor) {
    const oracle::StandardFloatEnvironment environment;
    Outputs outputs = rows_.outputs;
    for (std::size_t row = 0; row < roots_.size(); ++row) {
      if (roots_.size() > 1) load(static_cast<std::int64_t>(row));
      const float scale = fast_.set_own_scale(factor * roots_[row]);
      if (!outputs[Role::scales].empty())
        std::memcpy(outputs[Role::scales].data() + row * sizeof scale, &scale, sizeof scale);
      const auto packed = fast_.outputs(factor * roots_[row]);
      std::memcpy(outputs[Role::out].data() + row * packed.size(), packed.data(), packed.size());
    }
    return outputs;
  }

 private:
  void load(std::int64_t row) { fast_.load_row(rows_.tensors, row); }

  const RowSlice& rows_;
  oracle::FastRow fast_;
  std::vector<float> roots_;
};

// 2^e with 1/16 <= |e| <= 2.
float wrong_factor(Random& random) {
  const double size = 0.0625 + (2 - 0.0625) * std::ldexp(static_cast<double>(random.next() >> 11), -53);
  return static_cast<float>(std::exp2(random.chance(1, 2) ? size : -size));
}

}  // namespace

PolicyPower power_of(const oracle::Policy& policy, const Case& test_case, const CaseTensors& tensors,
                     std::uint64_t seed) {
  const RowSlice rows{test_case, tensors, oracle::expected_outputs(test_case, tensors, policy)};
  // The first row mostly decides.
  const RowSlice first =
      slice_rows(test_case, tensors, rows.outputs, 0, std::min<std::int64_t>(1, test_case.rows()));
  SpoiledRows spoiled_first(policy, first), spoiled(policy, rows);
  Random random(seed);
  oracle::WitnessOptions options;
  options.stop_after = 1;
  options.listed = 0;
  PolicyPower power;
  for (int trial = 0; trial < kWrongOutputs; ++trial) {
    const float factor = wrong_factor(random);
    const auto admitted = [&](const RowSlice& some, const Outputs& wrong) {
      return oracle::judge_witness(some.test_case, some.tensors, wrong, policy, options).conforms();
    };
    if (!admitted(first, spoiled_first.outputs(factor))) continue;
    const Outputs wrong = spoiled.outputs(factor);
    if (!admitted(rows, wrong)) continue;
    power.within_bounds += 1.0 / kWrongOutputs;
    if (follows_variance(policy, test_case, tensors, wrong)) power.explained += 1.0 / kWrongOutputs;
  }
  return power;
}

double wrong_outputs_accepted(const oracle::Policy& policy, const Case& test_case, const CaseTensors& tensors,
                              const Outputs& outputs, std::uint64_t seed) {
  if (test_case.rows() == 0) return 1;
  const RowSlice rows = slice_rows(test_case, tensors, outputs, 0, std::min(kPowerRows, test_case.rows()));
  return power_of(policy, rows.test_case, rows.tensors, seed).within_bounds;
}

bool follows_variance(const oracle::Policy& policy, const Case& test_case, const CaseTensors& tensors,
                      const Outputs& outputs) {
  if (!oracle::row_of(policy.variance).in_activation_dtype()) return true;
  // Row by row: the first one mostly decides.
  for (std::int64_t row = 0; row < test_case.rows(); ++row) {
    const RowSlice slice = slice_rows(test_case, tensors, outputs, row, 1);
    const auto shown = oracle::shown_rows(slice.test_case, slice.tensors, slice.outputs, policy);
    if (!follows_variance(policy, test_case, shown.front())) return false;
  }
  return true;
}

bool follows_variance(const oracle::Policy& policy, const Case& test_case, const oracle::ShownRow& row) {
  if (!oracle::row_of(policy.variance).in_activation_dtype()) return true;
  const bool special = !(row.honest_root > 0) || std::isinf(row.honest_root);
  return special || oracle::holds_root_of_number(row.roots, oracle::format_of(test_case.dtype),
                                                 policy.inverse_root.ulp_bound);
}

}  // namespace normproof
