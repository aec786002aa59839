// A kernel with a bug of sizes meets the sweep over all sizes, until the judge sees it.
#include "properties/assess/many_rows.h"

#include <cmath>

#include "corpus/shrink.h"
#include "oracle/witness_judge.h"
#include "properties/assess/plain_kernel.h"
#include "properties/assess/size_bugs.h"
#include "properties/judging/size_sweep.h"

namespace normproof::assess {
namespace {

constexpr std::int64_t kQuickRows = std::int64_t{1} << 17;
// What the memory of rows that are not written holds.
constexpr std::byte kUnwritten{0xa5};

// r of the row that is loaded, with the bug where there is one.
float root_of(const PlainKernel& kernel, const SizeBug* bug, float epsilon) {
  const std::span<const float> operands = kernel.variance_operands();
  std::size_t summed = operands.size(), divisor = operands.size();
  if (bug != nullptr && bug->effect == SizeBug::Effect::half_summed) summed /= 2;
  if (bug != nullptr && bug->effect == SizeBug::Effect::divisor) divisor -= 1;
  float sum = 0;
  for (const float x : operands.first(summed)) sum += x * x;
  return 1.0f / std::sqrt(sum / static_cast<float>(divisor) + epsilon);
}

// Of a kernel that is right but for the bug, if there is one.
Outputs outputs_of(const Case& test_case, const CaseTensors& tensors, const SizeBug* bug) {
  PlainKernel kernel(test_case, tensors, oracle::native());
  Outputs outputs;
  const std::size_t row_bytes = static_cast<std::size_t>(test_case.hidden_size()) * size_of(test_case.dtype);
  const bool leaves_out = bug != nullptr && bug->effect == SizeBug::Effect::not_written;
  // The sweep gives many rows in one dimension: what is beyond the grid comes last.
  const std::int64_t written = leaves_out ? bug->grid : test_case.rows();
  for (std::int64_t row = 0; row < written; ++row) {
    kernel.load(row);
    kernel.append_outputs(root_of(kernel, bug, test_case.value_of(Parameter::epsilon)), outputs);
  }
  outputs[Role::out].resize(static_cast<std::size_t>(test_case.rows()) * row_bytes, kUnwritten);
  return outputs;
}

bool is_rejected(const Case& test_case, const SizeBug* bug, const StudyOptions& options) {
  const CaseTensors tensors = materialize(test_case);
  oracle::WitnessOptions judging;
  judging.listed = 0;
  judging.stop_after = 1;
  judging.confirm = false;
  return !oracle::judge_witness(test_case, tensors, outputs_of(test_case, tensors, bug),
                                judged_policy(oracle::native(), options), judging)
              .conforms();
}

// The fewest rows, of the shortest hidden size, that the bug spoils.
bool is_smallest(const Case& test_case, const SizeBug& bug) {
  return test_case.rows() == bug.rows && test_case.hidden_size() == bug.least_hidden;
}

// A weight, so that a judge of the wrong policy for weights is a wrong judge here.
std::vector<Combination> weighted_norms() {
  std::vector<Combination> combinations = all_combinations();
  std::erase_if(combinations, [](const Combination& each) {
    return !each.weight_dtype || smallest_part(each.operation) != each.operation;
  });
  return combinations;
}

ManyRowsFigure meet(const SizeBug& bug, std::uint64_t seed, const StudyOptions& options) {
  ManyRowsFigure figure;
  figure.seeds = 1;
  const auto fails = [&](const Case& test_case) {
    // Other calls are those of a right kernel.
    return spoils(bug, test_case.shape) && is_rejected(test_case, &bug, options);
  };
  for (const Case& test_case : size_sweep(seed, weighted_norms())) {
    ++figure.cases;
    if (!fails(test_case)) continue;
    figure.found = 1;
    figure.rejected_right = is_rejected(test_case, nullptr, options) ? 1 : 0;
    Case smallest = test_case;
    shrink_sizes(smallest, fails);
    figure.fewest_rows = is_smallest(smallest, bug) ? 1 : 0;
    break;
  }
  return figure;
}

}  // namespace

std::vector<ManyRowsFigure> study_many_rows(std::int64_t seeds, bool quick, const StudyOptions& options) {
  std::vector<const SizeBug*> bugs;
  for (const SizeBug& bug : kSizeBugs)
    if (!quick || bug.rows < kQuickRows) bugs.push_back(&bug);
  const auto count = static_cast<std::int64_t>(bugs.size());
  struct Figures {
    std::vector<ManyRowsFigure> all;
    Figures& operator+=(const Figures& other) {
      all.insert(all.end(), other.all.begin(), other.all.end());
      return *this;
    }
  };
  const Figures parts = run_parts<Figures>(count * seeds, options, [&](std::int64_t part) {
    const auto seed = options.seed + static_cast<std::uint64_t>(part / count);
    return Figures{{meet(*bugs[static_cast<std::size_t>(part % count)], seed, options)}};
  });
  std::vector<ManyRowsFigure> figures(bugs.size());
  for (std::size_t i = 0; i < parts.all.size(); ++i) {
    ManyRowsFigure& figure = figures[i % bugs.size()];
    figure.bug = bugs[i % bugs.size()]->name;
    figure.seeds += parts.all[i].seeds;
    figure.found += parts.all[i].found;
    figure.fewest_rows += parts.all[i].fewest_rows;
    figure.rejected_right += parts.all[i].rejected_right;
    figure.cases = std::max(figure.cases, parts.all[i].cases);
  }
  return figures;
}

}  // namespace normproof::assess
