// Rows of honest kernels, and whether the judge accepts them.
#include "properties/assess/false_rejections.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "corpus/random.h"
#include "corpus/tensor_values.h"
#include "oracle/witness_judge.h"
#include "properties/assess/plain_kernel.h"

namespace normproof::assess {
namespace {

using oracle::kSummationOrders;
using oracle::Policy;

constexpr std::array<std::int64_t, 20> kHiddenSizes = {
    1, 2, 3, 4, 7, 8, 16, 31, 64, 100, 257, 512, 768, 1024, 2048, 3000, 4096, 5120, 8192, 16384};
constexpr int kUlp = 2;  // that the policies allow the root to be off
constexpr int kSpecialPercent = 15;

// A case with one row for each order of summation.
Case draw_case(Random& random, const std::vector<Operation>& operations) {
  Case test_case;
  test_case.operation = random.pick(operations);
  test_case.dtype = random.pick(kActivationDTypes);
  if (!random.chance(1, 4)) test_case.weight_dtype = random.chance(2, 3) ? test_case.dtype : DType::fp32;
  if (has(test_case.operation, DTypeRule::codes)) test_case.set_codes(random.pick(kQuantizedDTypes));
  test_case.shape = {static_cast<std::int64_t>(kSummationOrders.size()), random.pick(kHiddenSizes)};
  draw_values(random, kSpecialPercent, test_case);
  return test_case;
}

void append_row(const std::vector<std::byte>& from, std::int64_t row, std::vector<std::byte>& to) {
  const auto bytes = static_cast<std::ptrdiff_t>(from.size() / kSummationOrders.size());
  const auto first = from.begin() + static_cast<std::ptrdiff_t>(row) * bytes;
  to.insert(to.end(), first, first + bytes);
}

class HonestStudy {
 public:
  HonestStudy(std::uint64_t seed, const StudyOptions& options)
      : random_(seed), options_(options), operations_(operations_asked_for(options)) {}

  FalseRejections run(const HonestAmount& amount) {
    HonestAmount judged;
    while (judged.elements < amount.elements || judged.rows < amount.rows) {
      const Case done = judge_one_case();
      judged.elements += done.elements();
      judged.rows += done.rows();
    }
    return std::move(result_);
  }

 private:
  // What was judged.
  Case judge_one_case() {
    Case drawn = draw_case(random_, operations_);
    const CaseTensors tensors = materialize(drawn);
    draw_int8_and_bound(random_, drawn);
    Policy policy;
    if (random_.chance(1, 4)) policy = random_.pick(oracle::all_policies(drawn));
    if (random_.chance(1, 8)) policy = random_.pick(oracle::neighbours(policy, drawn));

    // Each row once for every r that its kernel may arrive at.
    PlainKernel kernel(drawn, tensors, policy);
    Case judged = drawn;
    CaseTensors judged_tensors;
    judged_tensors[Role::weight] = tensors[Role::weight];
    Outputs outputs;
    std::vector<std::size_t> order_of_row;
    for (std::size_t order = 0; order < kSummationOrders.size(); ++order) {
      const auto row = static_cast<std::int64_t>(order);
      kernel.load(row);
      const float computed = kernel.root(kSummationOrders[order], random_);
      for (int step = -kUlp; step <= kUlp; ++step) {
        const float r = oracle::root_off_by(computed, step);
        if (step != 0 && !(r > 0 && std::isfinite(r))) continue;  // zero, infinity and NaN are exact
        append_row(tensors[Role::input], row, judged_tensors[Role::input]);
        append_row(tensors[Role::residual], row, judged_tensors[Role::residual]);
        kernel.choose(random_.pick(kReciprocals));
        kernel.append_outputs(r, outputs);
        order_of_row.push_back(order);
      }
    }
    judged.shape.front() = static_cast<std::int64_t>(order_of_row.size());
    const Policy judged_by = judged_policy(policy, options_);
    const auto verdict =
        oracle::judge_witness(judged, judged_tensors, outputs, judged_by, {.keep_rows = true});
    count(judged, policy, verdict, order_of_row);
    return judged;
  }

  void count(const Case& judged, const Policy& policy, const oracle::WitnessVerdict& verdict,
             const std::vector<std::size_t>& order_of_row) {
    std::size_t dtype = 0;
    while (kActivationDTypes[dtype] != judged.dtype) ++dtype;
    // A residual output is the same for every r; a wrong one is counted with the first row.
    for (std::size_t row = 0; row < order_of_row.size(); ++row) {
      FalseRejections::Count& count = result_.counts[order_of_row[row]][dtype];
      ++count.rows;
      count.elements += judged.hidden_size();
      const bool residual_is_wrong = row == 0 && verdict.residual_mismatches > 0;
      count.rejected += verdict.row_witnesses[row].violation || residual_is_wrong ? 1 : 0;
    }
    result_.special_rows += verdict.special_rows;
    if (policy != Policy()) result_.policies += verdict.rows;
    if (verdict.conforms() || !result_.first_rejection.empty()) return;
    result_.first_rejection =
        fmt::format("{} {}, H {}, policy {}", name_of(judged.operation), name_of(judged.dtype),
                    judged.hidden_size(), oracle::to_string(policy));
    if (verdict.first_violations.empty()) {
      result_.first_rejection +=
          fmt::format(": {} differs\n", name_of(verdict.first_residual_mismatches.front().tensor));
      return;
    }
    const oracle::Certificate& certificate = verdict.first_violations.front();
    result_.first_rejection += fmt::format(
        ", order {}\n{}", name_of(kSummationOrders[order_of_row[static_cast<std::size_t>(certificate.row)]]),
        oracle::to_text(certificate, oracle::formula_of(judged, policy)));
  }

  Random random_;
  const StudyOptions& options_;
  std::vector<Operation> operations_;
  FalseRejections result_;
};

}  // namespace

FalseRejections::Count& FalseRejections::Count::operator+=(const Count& other) {
  rows += other.rows;
  elements += other.elements;
  rejected += other.rejected;
  return *this;
}

FalseRejections::Count FalseRejections::total() const {
  Count sum;
  for (const auto& of_order : counts) {
    for (const Count& count : of_order) sum += count;
  }
  return sum;
}

FalseRejections& FalseRejections::operator+=(const FalseRejections& other) {
  for (std::size_t order = 0; order < counts.size(); ++order) {
    for (std::size_t dtype = 0; dtype < counts[order].size(); ++dtype)
      counts[order][dtype] += other.counts[order][dtype];
  }
  special_rows += other.special_rows;
  policies += other.policies;
  if (first_rejection.empty()) first_rejection = other.first_rejection;
  return *this;
}

FalseRejections study_false_rejections(const HonestAmount& amount, const StudyOptions& options) {
  constexpr HonestAmount kPart = {1'000'000, 500};
  const auto parts_of = [](std::int64_t all, std::int64_t part) { return (all + part - 1) / part; };
  const std::int64_t parts =
      std::max(parts_of(amount.elements, kPart.elements), parts_of(amount.rows, kPart.rows));
  const HonestAmount of_part = {std::min(amount.elements, kPart.elements), std::min(amount.rows, kPart.rows)};
  const Random seeds(options.seed);
  return run_parts<FalseRejections>(parts, options, [&](std::int64_t part) {
    Random seed = seeds.split(static_cast<std::uint64_t>(part));
    return HonestStudy(seed.next(), options).run(of_part);
  });
}

}  // namespace normproof::assess
