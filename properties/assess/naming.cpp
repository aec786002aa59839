#include "properties/assess/naming.h"

#include <fmt/format.h>

#include <array>

#include "properties/assess/wrong_kernels.h"
#include "properties/run/discriminate.h"
#include "properties/run/identify.h"
#include "properties/run/report_text.h"
#include "properties/run/try_policies.h"

namespace normproof::assess {
namespace {

NamingFigures name_one(const WrongKernel& wrong, const DiscriminatingShape& shape, std::uint64_t seed) {
  NamingFigures figures;
  const Case test_case = discriminating_case(shape, seed);
  if (!wrong.takes(test_case)) return figures;
  figures.runs = 1;
  const CaseTensors tensors = materialize(test_case);
  const Identification found = identify(test_case, tensors, outputs_of(wrong, test_case, tensors));
  if (!found.identified()) return figures;
  figures.from_dump = 1;
  const auto target = target_of(wrong);
  const std::vector<Case> cases = trial_cases(test_case, seed);
  const auto refuted = refutations(*target, found.survivors, {}, cases);
  for (std::size_t i = 0; i < refuted.size(); ++i) {
    if (refuted[i]) continue;
    figures.as_target = 1;
    figures.named = {fmt::format("{}, {} {}: {}", wrong.name, name_of(shape.operation), name_of(shape.dtype),
                                 axes_text(found.survivors[i]))};
    break;
  }
  return figures;
}

}  // namespace

NamingFigures& NamingFigures::operator+=(const NamingFigures& other) {
  runs += other.runs;
  from_dump += other.from_dump;
  as_target += other.as_target;
  named.insert(named.end(), other.named.begin(), other.named.end());
  return *this;
}

NamingFigures study_naming(std::size_t shapes, const StudyOptions& options) {
  const std::vector<WrongKernel>& kernels = wrong_kernels();
  const std::array<DiscriminatingShape, kNamingShapes> all_shapes = {{
      {Operation::rms_norm, DType::bf16, DType::bf16, std::nullopt, 16, 512},
      {Operation::rms_norm, DType::fp16, DType::fp32, std::nullopt, 16, 512},
      {Operation::rms_norm, DType::fp32, DType::fp32, std::nullopt, 16, 512},
      {Operation::fused_add_rms_norm, DType::bf16, DType::bf16, std::nullopt, 16, 512},
      {Operation::rms_norm_static_fp8_quant, DType::bf16, DType::bf16, DType::fp8_e4m3fn, 16, 512},
  }};
  const auto parts = static_cast<std::int64_t>(kernels.size() * shapes);
  NamingFigures figures = run_parts<NamingFigures>(parts, options, [&](std::int64_t part) {
    const auto index = static_cast<std::size_t>(part);
    WrongKernel kernel = kernels[index / shapes];
    if (options.wrong_policy) kernel.root = nullptr, kernel.operands = nullptr, kernel.outputs = nullptr;
    return name_one(kernel, all_shapes[index % shapes], options.seed);
  });
  figures.kernels = static_cast<std::int64_t>(kernels.size());
  return figures;
}

}  // namespace normproof::assess
