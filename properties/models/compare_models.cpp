// Comparing two dumps of a model: which norms are in both, what each says, and which is the first to differ.
#include "properties/models/compare_models.h"

#include <algorithm>
#include <utility>

#include "properties/judging/in_parallel.h"
#include "properties/judging/report_text.h"
#include "properties/models/norm_comparison.h"

namespace normproof {
namespace {

bool is_quantized_by_blocks(const ModuleCall& call) {
  return call.judged() != nullptr && call.judged()->call.operation->slice_blocks != nullptr;
}

// Of calls of which one is judged by other rules than the other: they are no one call.
ComparedNorm another_call(const ModuleCall& one, const ModuleCall& other) {
  ComparedNorm norm;
  norm.module = one.module;
  norm.subject = subject_of(one);
  norm.difference = NormDifference::call;
  norm.text = subject_of(one) + " and " + subject_of(other);
  return norm;
}

std::optional<ComparedNorm> compare_norms(const ModuleCall& one, const ModuleCall& other) {
  if ((one.dump() == nullptr) != (other.dump() == nullptr)) return another_call(one, other);
  return (one.dump() != nullptr ? comparison_of_cases(one, other) : comparison_of_judged(one, other))->run();
}

const ModuleCall* find(const ModelDump& dump, const std::string& module) {
  const auto found = std::ranges::find(dump, module, &ModuleCall::module);
  return found == dump.end() ? nullptr : &*found;
}

void conclude(ModelComparison& comparison) {
  std::optional<std::size_t> any;
  for (std::size_t i = 0; i < comparison.norms.size(); ++i) {
    const ComparedNorm& norm = comparison.norms[i];
    comparison.rows += norm.rows;
    comparison.same_inputs += norm.same_inputs;
    if (!comparison.first_other_inputs && norm.other_inputs) comparison.first_other_inputs = i;
    if (!is_arithmetic(norm.difference)) continue;
    if (!any) any = i;
    if (!comparison.first && norm.same_inputs > 0) comparison.first = i;
  }
  if (!comparison.first) comparison.first = any;
}

}  // namespace

std::string subject_of(const ModuleCall& call) {
  return call.dump() != nullptr ? subject_of(call.dump()->test_case)
                                : oracle::judged::subject_of(call.judged()->call);
}

std::string_view name_of(NormDifference difference) {
  constexpr std::array<std::string_view, 11> kNames = {"same bits", "passes on", "not told", "call",
                                                       "weight",    "epsilon",   "policy",   "order",
                                                       "bug",       "unknown",   "unseen"};
  return kNames[static_cast<std::size_t>(difference)];
}

bool is_arithmetic(NormDifference difference) { return difference > NormDifference::undecided; }

ModelComparison compare_models(const ModelDump& one, const ModelDump& other, int threads) {
  ModelComparison comparison;
  std::vector<std::pair<const ModuleCall*, const ModuleCall*>> pairs;
  for (const ModuleCall& call : one) {
    if (const ModuleCall* partner = find(other, call.module)) {
      if (is_quantized_by_blocks(call) || is_quantized_by_blocks(*partner)) {
        comparison.not_compared.push_back(call.module + ": norms that quantize by blocks are not compared");
      } else {
        pairs.emplace_back(&call, partner);
      }
    } else {
      comparison.not_compared.push_back(call.module + ": in the first dump only");
    }
  }
  for (const ModuleCall& call : other)
    if (find(one, call.module) == nullptr)
      comparison.not_compared.push_back(call.module + ": in the second dump only");
  std::vector<std::optional<ComparedNorm>> norms(pairs.size());
  in_parallel(static_cast<std::int64_t>(pairs.size()), threads, [&](std::int64_t index) {
    const auto& [first, second] = pairs[static_cast<std::size_t>(index)];
    norms[static_cast<std::size_t>(index)] = compare_norms(*first, *second);
  });
  for (std::size_t i = 0; i < norms.size(); ++i) {
    if (norms[i]) {
      comparison.norms.push_back(std::move(*norms[i]));
    } else {
      comparison.not_compared.push_back(pairs[i].first->module + ": no row is in both dumps");
    }
  }
  conclude(comparison);
  return comparison;
}

}  // namespace normproof
