// LayerNorm in plain floats, and rows for it.
#pragma once

#include <string>
#include <vector>

#include "oracle/box_search/layer_norm.h"
#include "properties/assess/family/honest_sums.h"
#include "properties/assess/family/rows.h"

namespace normproof::assess::family {

using oracle::box_search::LayerNormJudge;
using oracle::box_search::LayerNormRule;

// A row with everything that a kernel is given. The formula is written here once more, plainly.
struct LayerNormSubject {
  LayerNormRule rule;
  std::vector<float> x, weight, bias;

  std::int64_t count() const { return static_cast<std::int64_t>(x.size()); }
  std::vector<float> plain(float mean, float root) const;
  // `wrong_weight`: by a rule for weights that the row does not follow.
  LayerNormJudge judge(bool wrong_weight = false) const {
    LayerNormRule judged = rule;
    judged.weight_plus_one = rule.weight_plus_one != wrong_weight;
    return {judged, count(), packed_if(weight, rule.weight), packed_if(bias, rule.bias)};
  }
  std::vector<std::byte> input() const { return packed(x, rule.operand.value_or(rule.activation)); }
  std::vector<std::byte> output(const std::vector<float>& y) const { return packed(y, rule.activation); }
  std::string text() const;
};

LayerNormSubject random_layer_norm(Random& random, std::int64_t count, RowClass row_class);

struct MeanAndRoot {
  float mean, root;
};
// As an honest kernel arrives at them, with a root that is off by so many numbers.
MeanAndRoot honest_statistics(const LayerNormSubject& subject, SummationOrder order, int off, Random& random);

}  // namespace normproof::assess::family
