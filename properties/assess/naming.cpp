#include "properties/assess/naming.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "properties/assess/wrong_kernels.h"
#include "properties/detective/discriminate.h"
#include "properties/detective/identify.h"
#include "properties/detective/policy_class.h"
#include "properties/detective/try_policies.h"
#include "properties/judging/report_text.h"

namespace normproof::assess {
namespace {

// The policies that `identify` names of a kernel as a target, and whether it named any from the dump alone.
struct Named {
  std::vector<oracle::Policy> policies;
  bool from_dump = false;
};
Named names_of(const WrongKernel& wrong, const Case& test_case, std::uint64_t seed) {
  const CaseTensors tensors = materialize(test_case);
  const Identification found = identify(test_case, tensors, outputs_of(wrong, test_case, tensors));
  Named named{{}, found.identified()};
  if (!named.from_dump) return named;
  const auto target = target_of(wrong);
  const auto refuted = refutations(*target, found.survivors, {}, trial_cases(test_case, seed));
  for (std::size_t i = 0; i < refuted.size(); ++i)
    if (!refuted[i]) named.policies.push_back(found.survivors[i]);
  return named;
}

NamingFigures name_one(const WrongKernel& wrong, const DiscriminatingShape& shape, std::uint64_t seed) {
  NamingFigures figures;
  const Case test_case = discriminating_case(shape, seed);
  if (!wrong.takes(test_case)) return figures;
  const Named named = names_of(wrong, test_case, seed);
  const std::string run =
      fmt::format("{}, {} {}", wrong.name, name_of(shape.operation), name_of(shape.dtype));
  if (!wrong.policy.empty()) {
    const oracle::Policy truth = representative(oracle::parse_policy(wrong.policy), test_case);
    figures.described_runs = 1;
    if (std::ranges::find(named.policies, truth) != named.policies.end()) {
      figures.rightly_named = 1;
    } else {
      figures.missed = {run};
    }
    return figures;
  }
  figures.runs = 1;
  figures.from_dump = named.from_dump ? 1 : 0;
  if (named.policies.empty()) return figures;
  figures.as_target = 1;
  figures.named = {fmt::format("{}: {}", run, axes_text(named.policies.front()))};
  return figures;
}

}  // namespace

NamingFigures& NamingFigures::operator+=(const NamingFigures& other) {
  runs += other.runs;
  from_dump += other.from_dump;
  as_target += other.as_target;
  named.insert(named.end(), other.named.begin(), other.named.end());
  described_runs += other.described_runs;
  rightly_named += other.rightly_named;
  missed.insert(missed.end(), other.missed.begin(), other.missed.end());
  return *this;
}

NamingFigures study_naming(std::size_t shapes, const StudyOptions& options, std::size_t step) {
  const std::vector<WrongKernel>& kernels = wrong_kernels();
  const std::array<DiscriminatingShape, kNamingShapes> all_shapes = {{
      {{Operation::rms_norm, DType::bf16, DType::bf16, std::nullopt}, 16, 512},
      {{Operation::rms_norm, DType::fp16, DType::fp32, std::nullopt}, 16, 512},
      {{Operation::rms_norm, DType::fp32, DType::fp32, std::nullopt}, 16, 512},
      {{Operation::fused_add_rms_norm, DType::bf16, DType::bf16, std::nullopt}, 16, 512},
      {{Operation::rms_norm_static_fp8_quant, DType::bf16, DType::bf16, DType::fp8_e4m3fn}, 16, 512},
      {{Operation::rms_norm_static_fp8_quant, DType::fp32, DType::fp32, DType::fp8_e4m3fn}, 16, 512},
  }};
  const auto parts = static_cast<std::int64_t>(kernels.size() * shapes);
  NamingFigures figures = run_parts<NamingFigures>(parts, options, [&](std::int64_t part) {
    const auto index = static_cast<std::size_t>(part);
    if ((index / shapes + index % shapes) % step != 0) return NamingFigures();
    WrongKernel kernel = kernels[index / shapes];
    // A right kernel, which is named: by that of a kernel with another policy, or of one with none.
    if (options.wrong_policy) kernel.make_right();
    return name_one(kernel, all_shapes[index % shapes], options.seed);
  });
  figures.described =
      std::ranges::count_if(kernels, [](const WrongKernel& kernel) { return !kernel.policy.empty(); });
  figures.kernels = static_cast<std::int64_t>(kernels.size()) - figures.described;
  return figures;
}

}  // namespace normproof::assess
