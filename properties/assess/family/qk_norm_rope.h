// q/k norm with rotary embedding in plain floats, and heads for it.
#pragma once

#include <string>
#include <vector>

#include "oracle/box_search/qk_norm_rope.h"
#include "oracle/honest_root.h"
#include "properties/assess/family/rows.h"

namespace normproof::assess::family {

using oracle::box_search::NormOrder;
using oracle::box_search::QkNormRopeJudge;
using oracle::box_search::QkNormRopeRule;
using oracle::box_search::RopeContraction;

// A head with everything that a kernel is given. The formula is written here once more, plainly.
struct HeadSubject {
  QkNormRopeRule rule;
  std::vector<float> x, weight, cosine, sine;

  std::size_t size() const { return x.size(); }
  std::size_t pairs() const { return cosine.size(); }
  std::vector<float> normalized(float root) const;
  std::vector<float> plain(float root) const;
  // `wrong_weight`: by a rule for weights that the head does not follow.
  QkNormRopeJudge judge(bool wrong_weight = false) const;
  std::vector<std::byte> bytes(const std::vector<float>& values) const {
    return packed(values, rule.activation);
  }
  float honest_root(oracle::SummationOrder order, int off, Random& random) const {
    const float root = oracle::honest_root(x, std::bit_cast<float>(rule.epsilon), order, random);
    return oracle::root_off_by(root, off);
  }
  std::string text() const;
};

HeadSubject random_head(Random& random, std::int64_t count, RowClass row_class);

}  // namespace normproof::assess::family
