#include "properties/judged/judge.h"

#include <fmt/format.h>

#include <algorithm>
#include <mutex>
#include <numeric>
#include <utility>

#include "oracle/judged/block_quant.h"
#include "oracle/row_kernels.h"
#include "properties/detective/policy_power.h"
#include "properties/judged/canonical.h"
#include "properties/judging/in_parallel.h"
#include "properties/judging/report_text.h"

namespace normproof::judging {
namespace {

using oracle::judged::Part;
using oracle::judged::UnitJudge;

// Elements of a block of units: enough that making a judge costs little beside them.
constexpr std::int64_t kBlockElements = 1 << 16;

struct JudgedUnits {
  std::vector<std::int64_t> violating;  // ascending
  std::int64_t undecided = 0;
};
JudgedUnits judge_units(const Call& call, const Part& part, std::int64_t threads) {
  const std::int64_t cost =
      part.units_per_row == 0 ? std::max<std::int64_t>(call.rows(), 1) : part.elements_per_unit;
  const std::int64_t per_block = std::max<std::int64_t>(1, kBlockElements / cost);
  JudgedUnits result;
  std::mutex mutex;  // guards it
  in_parallel((part.units + per_block - 1) / per_block, threads, [&](std::int64_t block) {
    const oracle::StandardFloatEnvironment environment;
    const std::unique_ptr<UnitJudge> judge = part.judge();
    for (std::int64_t unit = block * per_block; unit < std::min(part.units, (block + 1) * per_block);
         ++unit) {
      const bool conforms = judge->conforms(unit);
      if (conforms && judge->decided()) continue;
      const std::lock_guard lock(mutex);
      if (conforms)
        ++result.undecided;
      else
        result.violating.push_back(unit);
    }
  });
  std::ranges::sort(result.violating);
  return result;
}

}  // namespace

bool Judgement::conforms() const { return conforming() == units(); }
std::int64_t Judgement::units() const {
  std::int64_t total = 0;
  for (const PartVerdict& part : parts) total += part.units;
  return total;
}
std::int64_t Judgement::conforming() const {
  std::int64_t total = 0;
  for (const PartVerdict& part : parts) total += part.conforming;
  return total;
}
std::int64_t Judgement::elements() const {
  std::int64_t total = 0;
  for (const PartVerdict& part : parts) total += part.elements;
  return total;
}

Judgement judge(const Call& call, const Policy& policy, const JudgeOptions& options) {
  const oracle::StandardFloatEnvironment environment;
  if (const std::string misfit = call.operation->misfit(call, policy); !misfit.empty())
    throw std::invalid_argument(misfit);
  Judgement by_bits;
  if (options.canonical) by_bits = compare_with_canonical(call, policy, options.listed);
  if (options.canonical && by_bits.conforms()) return by_bits;
  Judgement judgement;
  judgement.not_looked_at = call.operation->not_looked_at(call);
  add_what_is_absent(call, policy, judgement.not_looked_at);
  if (!options.of_target)
    judgement.not_looked_at.emplace_back(
        "memory beside the outputs, and other calls: shapes, strides, streams");
  for (const Part& part : call.operation->parts(call, policy)) {
    const auto [violating, undecided] = judge_units(call, part, options.threads);
    judgement.undecided += undecided;
    if (undecided > 0)
      judgement.not_looked_at.push_back(fmt::format(
          "{} of {} {}s of {} as a whole: the search for what explains them was given up, and only that each "
          "element can be explained is known",
          undecided, part.units, part.unit, part.tensor));
    const auto wrong = static_cast<std::int64_t>(violating.size());
    judgement.parts.push_back(
        {part.tensor, part.unit, part.units, part.units - wrong, part.units * part.elements_per_unit});
    const std::unique_ptr<UnitJudge> judge = part.judge();
    for (const std::int64_t unit : violating) {
      if (judgement.first_violations.size() == options.listed) break;
      judgement.first_violations.push_back(judge->violation(unit));
    }
  }
  if (options.canonical && judgement.conforms()) return by_bits;
  judgement.canonical = options.canonical;
  if (options.doubts && judgement.conforms()) judgement.wrong_accepted = wrong_accepted(call, policy);
  return judgement;
}

Call with_canonical_outputs(Call call, const Policy& policy, std::span<const std::string> outputs) {
  if (call.operation->fill != nullptr) return as_canonical(std::move(call), policy, outputs);
  const oracle::judged::Tensor* weight = call.find("weight");
  for (const std::string& name : outputs) {
    const oracle::judged::TensorSpec& spec = *find_tensor(*call.operation, name);
    const bool like_weight = spec.extent == oracle::judged::Extent::hidden && weight != nullptr;
    oracle::judged::Tensor& tensor = call.tensors[name];
    tensor.dtype = like_weight ? weight->dtype : call.dtype();
    tensor.shape = shape_of(call, spec);
  }
  return as_canonical(std::move(call), policy, outputs);
}

Call first_rows(const Call& call, std::int64_t rows, const Policy& policy) {
  if (rows >= sliceable_rows(call)) return call;
  std::vector<std::int64_t> chosen(static_cast<std::size_t>(rows));
  std::iota(chosen.begin(), chosen.end(), 0);
  Call result = slice_of_rows(call, chosen, &policy);
  for (const oracle::judged::TensorSpec& spec : call.operation->tensors) {
    if (spec.direction == Direction::out && spec.extent == oracle::judged::Extent::hidden)
      result.tensors.erase(std::string(spec.name));
  }
  return result;
}

double wrong_accepted(const Call& call, const Policy& policy) {
  const oracle::StandardFloatEnvironment environment;
  const std::vector<Part> parts = call.operation->parts(call, policy);
  int accepted = 0;
  for (int trial = 0; trial < kWrongOutputs; ++trial) {
    accepted += std::ranges::all_of(parts, [&](const Part& part) {
      const std::unique_ptr<UnitJudge> judge = part.judge();
      for (std::int64_t unit = 0; unit < std::min(part.units, kPowerRows); ++unit) {
        Random random =
            Random(1).split(static_cast<std::uint64_t>(trial));  // wrong in the same way everywhere
        if (!judge->accepts_wrong(unit, random)) return false;
      }
      return true;
    });
  }
  return static_cast<double>(accepted) / kWrongOutputs;
}

std::string parts_text(const Judgement& judgement) {
  std::string text;
  for (const PartVerdict& part : judgement.parts) {
    text += fmt::format("{}{} of {} {}s of {} conform", text.empty() ? "" : ", ", part.conforming, part.units,
                        part.unit, part.tensor);
  }
  return text;
}

namespace {

bool has_usual_blocks(const Call& call, const Policy& policy) {
  if (!oracle::judged::shape_says_block(*call.operation, policy)) return false;
  const std::int64_t block = oracle::judged::block_shape_of(call, &policy).block;
  return block == 64 || block == 128;
}

}  // namespace

void add_what_is_absent(const Call& call, const Policy& policy, std::vector<std::string>& not_looked_at) {
  for (const oracle::judged::TensorSpec& spec : call.operation->tensors)
    if (spec.direction == Direction::in && spec.extent == oracle::judged::Extent::one && !call.has(spec.name))
      not_looked_at.push_back(fmt::format("{}, which was not given", spec.name));
  if (call.operation->block_layouts == nullptr) return;
  const oracle::judged::BlockLayouts layouts = call.operation->block_layouts(call, policy);
  for (const auto& layout : layouts.all) {
    std::string text = fmt::format("scales {}", layout.name);
    if (layout.name != layouts.present && std::ranges::count(not_looked_at, text) == 0)
      not_looked_at.push_back(std::move(text));
  }
  if (has_usual_blocks(call, policy)) not_looked_at.emplace_back("blocks of other sizes than 64 and 128");
}

std::string_view judge_name(bool canonical) { return canonical ? "canonical judge" : "search judge"; }

std::string doubt_of(const Judgement& judgement) {
  if (!judgement.conforms() || judgement.units() == 0 || judgement.wrong_accepted <= kMostWrongExplained)
    return {};
  return fmt::format("this says little: {:.0f} % of outputs with random statistics or sums conform as well",
                     100 * judgement.wrong_accepted);
}

std::string to_text(const Judgement& judgement, const Policy& policy) {
  std::string text = fmt::format("policy {}; {}\n{}\n", to_string(policy), judge_name(judgement.canonical),
                                 parts_text(judgement));
  if (const std::string doubt = doubt_of(judgement); !doubt.empty()) text += doubt + "\n";
  for (const Violation& violation : judgement.first_violations) text += violation.text();
  const std::int64_t more = judgement.units() - judgement.conforming() -
                            static_cast<std::int64_t>(judgement.first_violations.size());
  if (more > 0 && !judgement.first_violations.empty()) text += fmt::format("more violations: {}\n", more);
  text += "not looked at:\n";
  for (const std::string& blind : judgement.not_looked_at) text += fmt::format("  {}\n", blind);
  return indented(text, "  ");
}

}  // namespace normproof::judging
