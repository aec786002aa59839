// The canonical judge: silent comparison on the fast path, exact confirmation of what differs.
#include "oracle/canonical_judge.h"

#include <fmt/format.h>

#include <bit>
#include <cmath>
#include <cstring>
#include <optional>
#include <stdexcept>

#include "oracle/canonical.h"
#include "oracle/fast_row.h"

namespace normproof::oracle {
namespace {

std::uint32_t packed_bits(std::span<const std::byte> packed, DType dtype, std::int64_t index) {
  const auto size = static_cast<std::size_t>(format_of(dtype).bits / 8);
  std::uint32_t bits = 0;
  std::memcpy(&bits, packed.data() + static_cast<std::size_t>(index) * size, size);
  return bits;
}

class Judge {
 public:
  Judge(const Case& test_case, const CaseTensors& tensors, const Policy& policy)
      : formula_(formula_of(test_case, policy)), tensors_(tensors), fast_(formula_, tensors[Role::weight]) {
    rows_ = static_cast<std::int64_t>(tensors[Role::input].size() / row_bytes(formula_.formats.activation));
  }

  Verdict compare(const Outputs& outputs, std::size_t listed) {
    listed_ = listed;
    Verdict verdict;
    verdict.rows = rows_;
    for (std::int64_t row = 0; row < rows_; ++row) {
      load(row);
      exact_row_.reset();
      const FastRow::Scale scale = fast_.canonical_scale();
      const bool special_mean = scale.mean == 0 || !std::isfinite(scale.mean);
      verdict.special_rows += fast_.has_special_operand() || special_mean ? 1 : 0;
      compare_row(Role::out, row, fast_.outputs(scale.inverse_root), outputs[Role::out], verdict);
      compare_row(Role::residual_out, row, fast_.residual_out(), outputs[Role::residual_out], verdict);
    }
    return verdict;
  }

  Outputs expected() {
    Outputs outputs;
    outputs[Role::out].reserve(static_cast<std::size_t>(rows_) * row_bytes(formula_.output_dtype()));
    for (std::int64_t row = 0; row < rows_; ++row) {
      load(row);
      const auto out = fast_.outputs(fast_.canonical_scale().inverse_root);
      outputs[Role::out].insert(outputs[Role::out].end(), out.begin(), out.end());
      outputs[Role::residual_out].insert(outputs[Role::residual_out].end(), fast_.residual_out().begin(),
                                         fast_.residual_out().end());
    }
    return outputs;
  }

 private:
  std::size_t row_bytes(DType dtype) const {
    return static_cast<std::size_t>(formula_.hidden_size) *
           static_cast<std::size_t>(format_of(dtype).bits / 8);
  }

  void load(std::int64_t row) {
    const std::size_t offset = static_cast<std::size_t>(row) * row_bytes(formula_.formats.activation);
    fast_.load(tensors_[Role::input].data() + offset,
               formula_.adds_residual ? tensors_[Role::residual].data() + offset : nullptr);
  }

  void compare_row(Role tensor, std::int64_t row, std::span<const std::byte> wanted,
                   const std::vector<std::byte>& outputs, Verdict& verdict) {
    if (wanted.empty()) return;
    verdict.elements += formula_.hidden_size;
    const std::span got =
        std::span(outputs).subspan(static_cast<std::size_t>(row) * wanted.size(), wanted.size());
    if (std::memcmp(got.data(), wanted.data(), wanted.size()) == 0) return;
    const DType dtype = tensor == Role::out ? formula_.output_dtype() : formula_.formats.activation;
    for (std::int64_t column = 0; column < formula_.hidden_size; ++column) {
      const std::uint32_t a = packed_bits(got, dtype, column), b = packed_bits(wanted, dtype, column);
      if (same(dtype, a, b)) continue;
      ++verdict.mismatches;
      if (verdict.first_mismatches.size() >= listed_) continue;
      const Mismatch mismatch{tensor, row, column, dtype, a, b, ulp_distance(dtype, a, b)};
      confirm(mismatch);
      verdict.first_mismatches.push_back(mismatch);
    }
  }

  // Throws std::logic_error unless exact arithmetic wants the same bits.
  void confirm(const Mismatch& mismatch) {
    Arithmetic arithmetic;
    if (!exact_row_) {
      exact_row_ = decode_row(formula_, tensors_, mismatch.row);
      exact_inverse_root_ =
          exact_row_scale(arithmetic, formula_, exact_row_->variance_operands()).inverse_root;
    }
    const SumParts& sums = exact_row_->sums[static_cast<std::size_t>(mismatch.column)];
    const std::uint64_t exact =
        mismatch.tensor == Role::out
            ? exact_output(arithmetic, formula_, sums.output_operand,
                           decode_weight(formula_, tensors_, mismatch.column), exact_inverse_root_)
            : round_bits(format_of(mismatch.dtype), sums.residual_out);
    if (same(mismatch.dtype, exact, mismatch.wanted)) return;
    const Format& format = format_of(mismatch.dtype);
    throw std::logic_error(
        fmt::format("oracle: exact and fast path disagree at row {}, column {} ({}): exact {}, fast {}",
                    mismatch.row, mismatch.column, name_of(mismatch.tensor), hex_bits(format, exact),
                    hex_bits(format, mismatch.wanted)));
  }

  Formula formula_;
  const CaseTensors& tensors_;
  FastRow fast_;
  std::int64_t rows_ = 0;
  std::size_t listed_ = kMaximumListed;
  std::optional<ExactRow> exact_row_;  // of the row at hand, once it is needed
  Value exact_inverse_root_;
};

}  // namespace

Outputs expected_outputs(const Case& test_case, const CaseTensors& tensors, const Policy& policy) {
  require_input_sizes(test_case, tensors);
  const StandardFloatEnvironment environment;
  return Judge(test_case, tensors, policy).expected();
}

Verdict judge_canonical(const Case& test_case, const CaseTensors& tensors, const Outputs& outputs,
                        const Policy& policy, std::size_t listed) {
  require_input_sizes(test_case, tensors);
  require_output_sizes(test_case, outputs);
  const StandardFloatEnvironment environment;
  return Judge(test_case, tensors, policy).compare(outputs, listed);
}

}  // namespace normproof::oracle
