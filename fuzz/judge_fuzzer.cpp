// The judges agree with exact arithmetic, with brute force and with each other, under every policy.
// 1. Decode the bytes to a case; the input's hash chooses a policy and what else is random.
// 2. The fast path's outputs are, in one row, bit for bit those of the exact path, and both judges accept
// them.
// 3. Alter some elements: the canonical judge names exactly these, and `explain` gives the same two bit
// patterns.
// 4. The witness judge says of every row what trying all admissible r says, and
// its certificates cannot be altered.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <stdexcept>
#include <vector>

#include "corpus/random.h"
#include "fuzz/harness.h"
#include "oracle/canonical.h"
#include "oracle/canonical_judge.h"
#include "oracle/code_factor.h"
#include "oracle/explain.h"
#include "oracle/fast_row.h"
#include "oracle/witness_judge.h"

namespace normproof::fuzz {

const CaseLimits& case_limits() {
  static const CaseLimits limits = small_valid_cases();
  return limits;
}

namespace {

using oracle::Policy;

constexpr std::int64_t kMostRootsTried = 4096;

Policy random_policy(const Case& test_case, Random& random) {
  Policy policy = random.pick(oracle::all_policies(test_case));
  policy.inverse_root.ulp_bound = static_cast<int>(random.below(4));
  policy.inverse_root.flush_to_zero = random.chance(1, 4);
  // Every bound holds the canonical order's depth: H / 32 additions in a lane, then the tree.
  if (random.chance(1, 4)) policy.inverse_root.sum_depth = 20 + static_cast<std::int64_t>(random.below(80));
  return policy;
}

class Examination {
 public:
  Examination(const Case& test_case, Random& random)
      : case_(test_case),
        random_(random),
        tensors_(materialize(test_case)),
        policy_(random_policy(test_case, random)),
        formula_(oracle::formula_of(test_case, policy_)),
        wanted_(oracle::expected_outputs(test_case, tensors_, policy_)) {}

  void run() {
    require(oracle::parse_policy(oracle::to_string(policy_)) == policy_,
            "the policy changed on its way through text");
    compare_with_exact_path();
    const auto canonical = oracle::judge_canonical(case_, tensors_, wanted_, policy_);
    require(canonical.conforms(), "the canonical judge refuses its own outputs");
    const auto witness = oracle::judge_witness(case_, tensors_, wanted_, policy_, {.keep_rows = true});
    require(witness.conforms(), "canonical outputs have no witness");
    if (case_.elements() == 0) return;
    const Outputs altered = alter();
    judge_witness(altered);
    refuse_misfits();
  }

 private:
  void require(bool holds, const char* what) {
    if (!holds) report_finding(case_, fmt::format("judge, policy {}: {}", oracle::to_string(policy_), what));
  }

  void compare_with_exact_path() {
    if (case_.rows() == 0) return;
    const auto row = static_cast<std::int64_t>(random_.below(static_cast<std::uint64_t>(case_.rows())));
    oracle::Arithmetic arithmetic;
    const oracle::ExactRow exact = oracle::decode_row(formula_, tensors_, row);
    const oracle::Value root =
        oracle::exact_row_scale(arithmetic, formula_, exact.variance_operands()).inverse_root;
    oracle::Formula of_row = formula_;
    if (formula_.has(NormStep::quantize_by_row)) {
      const auto own = oracle::exact_row_quantization(arithmetic, formula_, exact, tensors_, root);
      require(oracle::same(DType::fp32, own.scale, oracle::row_scale_bits(formula_, wanted_, row)),
              "exact and fast path disagree on scales");
      of_row = formula_.with_scale(own.scale, own.factor);
    }
    for (std::int64_t column = 0; column < case_.hidden_size(); ++column) {
      const oracle::SumParts& sums = exact.sums[static_cast<std::size_t>(column)];
      const std::uint64_t out = oracle::exact_output(
          arithmetic, of_row, oracle::operands_at(formula_, tensors_, exact, column), root);
      const std::int64_t index = row * case_.hidden_size() + column;
      require(
          oracle::same(case_.output_dtype(), out, load_bits(wanted_[Role::out], case_.output_dtype(), index)),
          "exact and fast path disagree on out");
      const Role sum = normalized_tensor(case_.operation);
      if (!case_.has_output(sum)) continue;
      const std::uint64_t stored = oracle::round_bits(oracle::format_of(case_.dtype), sums.residual_out);
      require(oracle::same(case_.dtype, stored, load_bits(wanted_[sum], case_.dtype, index)),
              "exact and fast path disagree on the stored sum");
    }
  }

  // Up to four elements with other bits; the canonical judge must find exactly them.
  Outputs alter() {
    Outputs altered = wanted_;
    std::int64_t column = 0, row = 0;
    for (std::uint64_t count = 1 + random_.below(4); count > 0; --count) {
      const Role sum = normalized_tensor(case_.operation);
      const Role role = case_.has_output(sum) && random_.chance(1, 8) ? sum : Role::out;
      const DType dtype = case_.dtype_of(role);
      std::vector<std::byte>& bytes = altered[role];
      const auto index =
          static_cast<std::int64_t>(random_.below(static_cast<std::uint64_t>(case_.elements())));
      const auto mask = static_cast<std::uint32_t>((std::uint64_t{1} << 8 * size_of(dtype)) - 1);
      const std::uint32_t bits = load_bits(bytes, dtype, index);
      const std::uint32_t step = random_.chance(1, 2) ? 1u : ~0u;
      const auto any = static_cast<std::uint32_t>(random_.next());
      store_bits(bytes, dtype, index, (random_.chance(2, 3) ? bits + step : any) & mask);
      row = index / case_.hidden_size();
      column = index % case_.hidden_size();
    }
    if (formula_.has(NormStep::quantize_by_row) && random_.chance(1, 3)) {
      const std::uint32_t scale = load_bits(altered[Role::scales], DType::fp32, row);
      store_bits(altered[Role::scales], DType::fp32, row, random_.chance(1, 2) ? scale + 1 : scale - 1);
    }
    const auto verdict = oracle::judge_canonical(case_, tensors_, altered, policy_);
    // Of two reciprocals the one that fits better is taken.
    const std::int64_t differences = count_differences(altered);
    const bool counted =
        leaves_two_factors() ? verdict.mismatches <= differences : verdict.mismatches == differences;
    require(counted, "the canonical judge counts other mismatches");
    explain(altered, row, column);
    return altered;
  }

  bool leaves_two_factors() const {
    return oracle::leaves_factor_open(formula_) && !oracle::follows_from_maximum(formula_);
  }

  std::int64_t count_differences(const Outputs& altered) const {
    std::int64_t count = 0;
    const auto add = [&](const std::vector<std::byte>& a, const std::vector<std::byte>& b, DType dtype) {
      for (std::int64_t i = 0; i < static_cast<std::int64_t>(a.size() / size_of(dtype)); ++i) {
        count += oracle::same(dtype, load_bits(a, dtype, i), load_bits(b, dtype, i)) ? 0 : 1;
      }
    };
    for (const Role role : kRoles)
      if (case_.has_output(role)) add(wanted_[role], altered[role], case_.dtype_of(role));
    return count;
  }

  void explain(const Outputs& altered, std::int64_t row, std::int64_t column) {
    const auto explanation = oracle::explain(case_, tensors_, altered, row, column, policy_);
    require(!oracle::to_text(explanation).empty(), "an explanation without text");
    const std::int64_t index = row * case_.hidden_size() + column;
    for (const oracle::ExplainedOutput& output : explanation.outputs) {
      const Role role = *std::ranges::find(kRoles, output.name, [](Role each) { return name_of(each); });
      const std::int64_t place = role == Role::scales ? row : index;
      const std::uint32_t wanted = load_bits(wanted_[role], output.dtype, place);
      const std::uint32_t got = load_bits(altered[role], output.dtype, place);
      require(oracle::same(output.dtype, output.wanted, wanted), "explain wants other bits than the judge");
      require(output.got == got, "explain was given other bits");
    }
    const auto without = oracle::explain(case_, tensors_, {}, row, column, policy_);
    require(!oracle::to_text(without).empty() && !without.outputs[0].got, "an explanation of no outputs");
    refuse_elements_that_are_none(row, column);
  }

  void refuse_elements_that_are_none(std::int64_t row, std::int64_t column) {
    for (const auto& [bad_row, bad_column] :
         {std::pair{case_.rows(), column}, std::pair{std::int64_t{-1}, column},
          std::pair{row, case_.hidden_size()}, std::pair{row, std::int64_t{-1}}}) {
      try {
        oracle::explain(case_, tensors_, {}, bad_row, bad_column, policy_);
      } catch (const std::invalid_argument&) {
        continue;
      }
      require(false, "an element that does not exist was explained");
    }
  }

  void judge_witness(const Outputs& altered) {
    const auto verdict = oracle::judge_witness(case_, tensors_, altered, policy_, {.keep_rows = true});
    std::int64_t conforming = 0;
    for (const oracle::RowWitness& row : verdict.row_witnesses) conforming += row.violation ? 0 : 1;
    require(verdict.conforming_rows() == conforming, "rows that conform were counted wrongly");
    const auto quickly = oracle::judge_witness(case_, tensors_, altered, policy_, {.stop_after = 1});
    require(quickly.conforms() == verdict.conforms(), "the verdict depends on where the judge stops");
    const std::size_t row_bytes = altered[Role::out].size() / static_cast<std::size_t>(case_.rows());
    for (const oracle::RowWitness& row : verdict.row_witnesses) {
      const std::span got =
          std::span(altered[Role::out]).subspan(static_cast<std::size_t>(row.row) * row_bytes, row_bytes);
      const std::optional<bool> explained =
          explained_by_some_root(row.row, got, oracle::row_scale_bits(formula_, altered, row.row));
      if (explained) require(*explained == !row.violation, "the witness judge and brute force disagree");
    }
    for (const oracle::Certificate& certificate : verdict.first_violations) {
      require(!oracle::to_text(certificate, formula_).empty(), "a certificate without text");
      refuse_tampered(certificate);
    }
  }

  // Whether an admissible r gives these outputs; nothing where there are too many to try.
  std::optional<bool> explained_by_some_root(std::int64_t row, std::span<const std::byte> got,
                                             std::uint32_t scale) {
    std::vector<oracle::Value> operands = oracle::decode_row(formula_, tensors_, row).variance_operands();
    if (oracle::row_of(policy_.variance).in_activation_dtype()) {
      for (oracle::Value& operand : operands) operand = oracle::round_to(case_.dtype, operand);
    }
    const oracle::Admissible admissible =
        oracle::AdmissibleModel(formula_).admissible(oracle::exact_square_sum(operands));
    if (admissible.interval.high - admissible.interval.low >= kMostRootsTried) return std::nullopt;

    const oracle::StandardFloatEnvironment environment;
    oracle::FastRow fast(formula_, tensors_[Role::weight]);
    fast.load_row(tensors_, row);
    const auto has_outputs = [&](float r) {
      const std::span<const std::byte> outputs = fast.outputs(r);
      for (std::int64_t column = 0; column < case_.hidden_size(); ++column) {
        const DType dtype = case_.output_dtype();
        if (!oracle::same(dtype, load_bits(outputs, dtype, column), load_bits(got, dtype, column)))
          return false;
      }
      return true;
    };
    const std::uint32_t own =
        formula_.has(NormStep::quantize_by_row) ? scale : formula_.bits_of(Parameter::scale);
    const auto explains = [&](float r) {
      if (formula_.has(NormStep::quantize_by_row) &&
          !oracle::same(DType::fp32, std::bit_cast<std::uint32_t>(fast.set_own_scale(r)), scale))
        return false;
      if (!leaves_two_factors()) return has_outputs(r);
      const auto factors = oracle::exact_code_factors(formula_, own);
      return std::ranges::any_of(factors, [&](std::uint32_t factor) {
        fast.set_code_factor(std::bit_cast<float>(factor));
        return has_outputs(r);
      });
    };
    if (admissible.nan && explains(std::numeric_limits<float>::quiet_NaN())) return true;
    for (std::int64_t r = admissible.interval.low; r <= admissible.interval.high; ++r) {
      if (explains(std::bit_cast<float>(static_cast<std::uint32_t>(r)))) return true;
    }
    return false;
  }

  void refuse_tampered(oracle::Certificate certificate) {
    oracle::CertificateElement& element =
        certificate.elements[static_cast<std::size_t>(random_.below(certificate.elements.size()))];
    switch (random_.below(6)) {
      case 0:
        ++element.needs.low;
        break;
      case 1:
        --element.needs.high;
        break;
      case 2:
        element.operand ^= 1;
        break;
      case 3:
        ++certificate.admissible.interval.high;
        break;
      case 4:
        certificate.correctly_rounded_root ^= 1;
        break;
      default:
        certificate.elements.clear();
    }
    bool refused = false;
    try {
      oracle::require_valid(certificate, formula_, tensors_);
    } catch (const std::logic_error&) {
      refused = true;
    }
    // Where no r comes near the bits, the empty interval has no place and may lie anywhere.
    const bool placeless = !certificate.elements.empty() && element.needs.empty();
    // Any NaN operand stands for any other.
    const bool nan_operand = !certificate.elements.empty() && oracle::is_nan(DType::fp32, element.operand);
    const bool nan_root = oracle::is_nan(DType::fp32, certificate.correctly_rounded_root);
    require(refused || placeless || nan_operand || nan_root, "a certificate was altered and still passed");
  }

  // What is no case of the contract is refused by name, not judged.
  void refuse_misfits() {
    Case misfit = case_;
    Outputs outputs = wanted_;
    switch (random_.below(6)) {
      case 0:
        outputs[Role::out].pop_back();
        break;
      case 1:
        misfit.dtype = DType::fp8_e5m2;
        break;
      case 2:
        misfit.weight_dtype = DType::fp8_e4m3fn;
        break;
      case 3:
        misfit.set_codes(misfit.has_codes() ? DType::fp32 : DType::fp8_e4m3fn);
        break;
      case 4:
        misfit.shape.back() = 0;
        break;
      default:
        misfit.shape.front() = -1;
    }
    try {
      oracle::judge_canonical(misfit, tensors_, outputs, policy_);
    } catch (const std::invalid_argument&) {
      return;
    }
    require(false, "what is no case of the contract was judged");
  }

  const Case& case_;
  Random& random_;
  CaseTensors tensors_;
  Policy policy_;
  oracle::Formula formula_;
  Outputs wanted_;
};

}  // namespace
}  // namespace normproof::fuzz

int normproof::fuzz::check_case(const Case& test_case, std::uint64_t seed) {
  Random random(seed);
  Examination(test_case, random).run();
  return 0;
}
