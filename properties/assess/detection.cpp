// Kernels with one fault each before the judge.
#include "properties/assess/detection.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <memory>

#include "oracle/witness_judge.h"
#include "properties/assess/plain_kernel.h"
#include "properties/detective/discriminate.h"

namespace normproof::assess {
namespace {

using oracle::Policy;

// What a faulty kernel does otherwise than the contract.
struct FaultRow {
  const char* name;
  Operation operation;
  std::int64_t hidden_size;
  std::int64_t trials;
  const char* policy;    // that the kernel follows
  const char* judge_by;  // the model of r that the judge is told
  Fault fault;
  enum class Kind : std::uint8_t { arithmetic, element, epsilon, bf16_root } kind;
  std::optional<double> row_floor;
  std::optional<double> trial_floor;
};

using Kind = FaultRow::Kind;

// Threads of the block that sums a row of the last fault, and so the depth of its sum: 16384 / 1024 + 10.
constexpr std::size_t kThreads = 1024;
constexpr const char* kBlockDepth = "sum_depth=26";

constexpr Operation kNorm = Operation::rms_norm;
constexpr FaultRow kFaults[] = {
    {"fp32 multiply", kNorm, 32, 10'000, "weight=fp32", "native", Fault::none, Kind::arithmetic, 0.99, 1.0},
    {"normalized value truncated", kNorm, 32, 10'000, "native", "native", Fault::truncated_normalized,
     Kind::arithmetic, 0.99, 1.0},
    {"product truncated", kNorm, 32, 10'000, "native", "native", Fault::truncated_product, Kind::arithmetic,
     0.99, 1.0},
    {"one element of each row off by one ulp", kNorm, 32, 10'000, "native", "native", Fault::none,
     Kind::element, 0.99, 1.0},
    {"unrounded sum", Operation::fused_add_rms_norm, 32, 10'000, "sum=fp32", "native", Fault::none,
     Kind::arithmetic, 0.99, 1.0},
    {"unrounded quantization",
     Operation::rms_norm_static_fp8_quant,
     512,
     1'000,
     "before_quantization=unrounded",
     "native",
     Fault::none,
     Kind::arithmetic,
     {},
     0.99},
    {"epsilon wrong by a factor of 10",
     kNorm,
     32,
     10'000,
     "native",
     "native",
     Fault::none,
     Kind::epsilon,
     {},
     0.99},
    {"inverse RMS rounded to bf16, sum_depth=26",
     kNorm,
     16384,
     250,
     "native",
     kBlockDepth,
     Fault::none,
     Kind::bf16_root,
     0.95,
     {}},
};

constexpr std::array kDTypes = {DType::bf16, DType::fp16};
// So that a share just above its floor does not miss it by chance: of trials, and of rows where these alone
// have a floor.
constexpr long long kFewestTrials = 50;
constexpr long long kFewestTrialsOfRows = 8;

Case inputs(const FaultRow& fault, DType dtype, std::uint64_t seed) {
  DiscriminatingShape shape;
  shape.dtype = dtype;
  shape.weight_dtype = dtype;
  shape.rows = kRowsOfTrial;
  shape.hidden_size = fault.hidden_size;
  if (!quantizes(fault.operation)) {
    shape.operation = fault.operation;
    return discriminating_case(shape, seed);
  }
  // A scale as calibration gives it instead of one that is searched for.
  Case test_case = discriminating_case(shape, seed);
  test_case.operation = fault.operation;
  test_case.quantized_dtype = DType::fp8_e4m3fn;
  Random random(seed);
  test_case.bits_of(Parameter::scale) =
      std::bit_cast<std::uint32_t>(0.01f + 1e-6f * static_cast<float>(random.below(30'000)));
  return test_case;
}

class Trial {
 public:
  Trial(const FaultRow& fault, DType dtype, std::uint64_t seed, const StudyOptions& options)
      : fault_(fault), options_(options), random_(seed), case_(inputs(fault, dtype, random_.next())) {
    tensors_ = materialize(case_);
  }

  DetectionFigure run() {
    DetectionFigure figure;
    const Outputs right = right_outputs();
    const Outputs wrong = wrong_outputs(right);
    const Policy policy = judged_policy(oracle::parse_policy(fault_.judge_by), options_);
    const auto of_wrong = oracle::judge_witness(case_, tensors_, wrong, policy, {.keep_rows = true});
    const auto of_right = oracle::judge_witness(case_, tensors_, right, policy);
    figure.trials = 1;
    figure.seen_trials = of_wrong.conforms() ? 0 : 1;
    figure.rejected_right = of_right.rows - of_right.conforming_rows();
    for (const oracle::RowWitness& witness : of_wrong.row_witnesses) {
      if (witness.row < kFirstRandomRow) continue;  // made for other faults
      ++figure.rows;
      figure.seen_rows += witness.violation ? 1 : 0;
    }
    return figure;
  }

 private:
  float computed_root(const PlainKernel& kernel, float epsilon) {
    const auto operands = kernel.variance_operands();
    const bool multiplies = random_.chance(1, 2);
    return oracle::inverse_root_of(
        oracle::blocked_sum_of_squares(operands, kThreads, random_.chance(1, 2), oracle::Fp32Steps()),
        operands.size(), epsilon, multiplies);
  }

  Outputs right_outputs() {
    Outputs outputs;
    PlainKernel kernel(case_, tensors_, Policy());
    for (std::int64_t row = 0; row < kRowsOfTrial; ++row) {
      kernel.load(row);
      kernel.append_outputs(computed_root(kernel, case_.value_of(Parameter::epsilon)), outputs);
    }
    return outputs;
  }

  Outputs wrong_outputs(const Outputs& right) {
    if (fault_.kind == Kind::element) return with_wrong_elements(right);
    Outputs outputs;
    const float epsilon = fault_.kind != Kind::epsilon ? case_.value_of(Parameter::epsilon)
                          : random_.chance(1, 2)       ? case_.value_of(Parameter::epsilon) * 10
                                                       : case_.value_of(Parameter::epsilon) / 10;
    PlainKernel kernel(case_, tensors_, oracle::parse_policy(fault_.policy), fault_.fault);
    for (std::int64_t row = 0; row < kRowsOfTrial; ++row) {
      kernel.load(row);
      float r = computed_root(kernel, epsilon);
      if (fault_.kind == Kind::bf16_root)
        r = static_cast<float>(round_to(DType::bf16, static_cast<double>(r)));
      kernel.append_outputs(r, outputs);
    }
    return outputs;
  }

  // In each row one element, up or down.
  Outputs with_wrong_elements(Outputs outputs) {
    const oracle::Format& format = oracle::format_of(case_.output_dtype());
    for (std::int64_t row = 0; row < kRowsOfTrial; ++row) {
      const auto column =
          static_cast<std::int64_t>(random_.below(static_cast<std::uint64_t>(case_.hidden_size())));
      const std::int64_t index = row * case_.hidden_size() + column;
      const std::uint32_t bits = load_bits(outputs[Role::out], case_.output_dtype(), index);
      const std::uint64_t wrong =
          random_.chance(1, 2) ? oracle::next_up(format, bits) : oracle::next_down(format, bits);
      store_bits(outputs[Role::out], case_.output_dtype(), index, static_cast<std::uint32_t>(wrong));
    }
    return outputs;
  }

  const FaultRow& fault_;
  const StudyOptions& options_;
  Random random_;
  Case case_;
  CaseTensors tensors_;
};

}  // namespace

double DetectionFigure::row_share() const {
  return rows == 0 ? 0 : static_cast<double>(seen_rows) / static_cast<double>(rows);
}
double DetectionFigure::trial_share() const {
  return trials == 0 ? 0 : static_cast<double>(seen_trials) / static_cast<double>(trials);
}
bool DetectionFigure::reached() const {
  return rejected_right == 0 && (!row_floor || row_share() >= *row_floor) &&
         (!trial_floor || trial_share() >= *trial_floor);
}

DetectionFigure& DetectionFigure::operator+=(const DetectionFigure& other) {
  trials += other.trials;
  rows += other.rows;
  seen_rows += other.seen_rows;
  seen_trials += other.seen_trials;
  rejected_right += other.rejected_right;
  return *this;
}

std::vector<DetectionFigure> study_detection(double scale, const StudyOptions& options) {
  std::vector<DetectionFigure> figures;
  constexpr std::int64_t kFigures = std::size(kFaults) * kDTypes.size();
  const Random seeds(options.seed ^ 0x6661756c7473);  // other draws than the other studies
  for (const FaultRow& fault : kFaults) {
    for (const DType dtype : kDTypes) {
      const auto number = static_cast<std::int64_t>(figures.size());
      StudyOptions of_figure = options;
      of_figure.progress = [&](std::int64_t done, std::int64_t parts) {
        if (options.progress) options.progress(number * parts + done, kFigures * parts);
      };
      const auto trials = std::max(fault.trial_floor ? kFewestTrials : kFewestTrialsOfRows,
                                   std::llround(scale * static_cast<double>(fault.trials)));
      const Random trial_seeds = seeds.split(static_cast<std::uint64_t>(number));
      DetectionFigure figure = run_parts<DetectionFigure>(trials, of_figure, [&](std::int64_t trial) {
        Random seed = trial_seeds.split(static_cast<std::uint64_t>(trial));
        return Trial(fault, dtype, seed.next(), of_figure).run();
      });
      figure.fault = fault.name;
      figure.dtype = dtype;
      figure.hidden_size = fault.hidden_size;
      figure.row_floor = fault.row_floor;
      figure.trial_floor = fault.trial_floor;
      figures.push_back(std::move(figure));
    }
  }
  return figures;
}

}  // namespace normproof::assess
