// dx of a norm in plain floats, and rows for it.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "oracle/box_search/norm_gradient.h"
#include "properties/assess/family/honest_sums.h"
#include "properties/assess/family/rows.h"
#include "properties/assess/study.h"

namespace normproof::assess::family {

using oracle::box_search::AddedGradient;
using oracle::box_search::GradientContraction;
using oracle::box_search::GradientOperands;
using oracle::box_search::GradientOrder;
using oracle::box_search::NormGradientJudge;
using oracle::box_search::NormGradientRule;

// A row with everything that a kernel is given. The formulas are written here once more, plainly.
struct GradientSubject {
  NormGradientRule rule;
  std::vector<float> dy, x, weight, added;
  float mean = 0, root = 0;

  std::size_t size() const { return x.size(); }
  float factor(std::size_t j) const { return rule.weight_plus_one ? 1 + weight[j] : weight[j]; }
  float normalized(std::size_t j) const { return (rule.centred ? x[j] - mean : x[j]) * root; }
  // z of the judge's header, for one element.
  float difference(std::size_t j, float c1, float c2) const;
  std::vector<float> plain(float c1, float c2) const;
  // c1 and c2 as a kernel has them.
  std::pair<float, float> honest(SummationOrder order, Random& random) const;
  std::vector<std::byte> bytes(const std::vector<float>& values) const {
    return packed(values, rule.activation);
  }
  std::string text() const;
};

GradientSubject random_gradient(Random& random, const StudyOptions& options, std::int64_t count,
                                RowClass row_class);

// The packed operands of a subject, and the judge that reads them.
struct JudgedGradient {
  explicit JudgedGradient(const GradientSubject& subject, bool wrong_weight = false)
      : dy(subject.bytes(subject.dy)),
        x(subject.bytes(subject.x)),
        added(subject.rule.added == AddedGradient::none ? std::vector<std::byte>()
                                                        : subject.bytes(subject.added)),
        judge(rule_of(subject, wrong_weight), static_cast<std::int64_t>(subject.size()),
              packed_if(subject.weight, subject.rule.weight)),
        operands{dy, x, added, subject.mean, subject.root} {}
  std::vector<std::byte> dy, x, added;
  NormGradientJudge judge;
  GradientOperands operands;

 private:
  static NormGradientRule rule_of(const GradientSubject& subject, bool wrong_weight) {
    NormGradientRule rule = subject.rule;
    rule.weight_plus_one = rule.weight_plus_one != wrong_weight;
    return rule;
  }
};

}  // namespace normproof::assess::family
