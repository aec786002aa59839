#include "properties/judging/judge_rows.h"

#include <fmt/format.h>

#include <algorithm>
#include <mutex>
#include <vector>

#include "oracle/formats.h"
#include "properties/judging/in_parallel.h"

namespace normproof {
namespace {

// Elements of a block of rows: enough that a block's own cost vanishes, few
// enough that its copy stays in cache.
constexpr std::int64_t kElementsAtOnce = 1 << 16;

// What a block's verdict says of rows counts from the block's first row.
void shift_rows(oracle::WitnessVerdict& verdict, std::int64_t first) {
  for (auto& certificate : verdict.first_violations) certificate.row += first;
  for (auto& mismatch : verdict.first_residual_mismatches) mismatch.row += first;
  for (auto& witness : verdict.row_witnesses) witness.row += first;
}
void shift_rows(oracle::Verdict& verdict, std::int64_t first) {
  for (auto& mismatch : verdict.first_mismatches) mismatch.row += first;
}

template <class Value>
void append(std::vector<Value>& to, const std::vector<Value>& from, std::size_t at_most = SIZE_MAX) {
  const std::size_t count = std::min(from.size(), at_most - std::min(at_most, to.size()));
  to.insert(to.end(), from.begin(), from.begin() + static_cast<std::ptrdiff_t>(count));
}

void add(oracle::WitnessVerdict& total, const oracle::WitnessVerdict& block) {
  total.rows += block.rows;
  total.elements += block.elements;
  total.special_rows += block.special_rows;
  total.rounding_violations += block.rounding_violations;
  total.scale_violations += block.scale_violations;
  total.residual_mismatches += block.residual_mismatches;
  total.worst_ulp_distance = std::max(total.worst_ulp_distance, block.worst_ulp_distance);
  append(total.row_witnesses, block.row_witnesses);
}
void add(oracle::Verdict& total, const oracle::Verdict& block) {
  total.rows += block.rows;
  total.elements += block.elements;
  total.special_rows += block.special_rows;
  total.mismatches += block.mismatches;
}

// Whether the block has a violation that is to be listed in the total.
bool fills_list(const oracle::WitnessVerdict& total, const oracle::WitnessVerdict& block) {
  const auto is_short = [](const auto& list) { return list.size() < oracle::kMaximumListed; };
  return (block.conforming_rows() < block.rows && is_short(total.first_violations)) ||
         (block.residual_mismatches > 0 && is_short(total.first_residual_mismatches));
}
bool fills_list(const oracle::Verdict& total, const oracle::Verdict& block) {
  return block.mismatches > 0 && total.first_mismatches.size() < oracle::kMaximumListed;
}

void add_list(oracle::WitnessVerdict& total, const oracle::WitnessVerdict& block) {
  append(total.first_violations, block.first_violations, oracle::kMaximumListed);
  append(total.first_residual_mismatches, block.first_residual_mismatches, oracle::kMaximumListed);
}
void add_list(oracle::Verdict& total, const oracle::Verdict& block) {
  append(total.first_mismatches, block.first_mismatches, oracle::kMaximumListed);
}

// Hands blocks of rows to the threads and adds their verdicts up in the order of the rows. A proof costs far
// more than a verdict: only the few blocks whose violations are listed are judged again with proofs.
template <class AnyVerdict, class Judge>
AnyVerdict judge_in_blocks(const Case& test_case, const CaseTensors& tensors, const Outputs& outputs,
                           const JudgeRowsOptions& options, Judge judge) {
  const std::int64_t rows = test_case.rows();
  const std::int64_t block_rows = std::max<std::int64_t>(1, kElementsAtOnce / test_case.hidden_size());
  const std::int64_t blocks = (rows + block_rows - 1) / block_rows;
  std::vector<AnyVerdict> verdicts(static_cast<std::size_t>(blocks));
  std::mutex mutex;  // guards what follows
  std::int64_t rows_done = 0;
  const auto judge_block = [&](std::int64_t block, std::size_t listed) {
    const std::int64_t first = block * block_rows, count = std::min(block_rows, rows - first);
    AnyVerdict verdict = judge(slice_rows(test_case, tensors, outputs, first, count), listed);
    shift_rows(verdict, first);
    return verdict;
  };
  in_parallel(blocks, options.threads, [&](std::int64_t block) {
    AnyVerdict& verdict = verdicts[static_cast<std::size_t>(block)];
    verdict = judge_block(block, 0);
    const std::lock_guard lock(mutex);
    rows_done += verdict.rows;
    if (options.progress) options.progress(rows_done);
  });
  AnyVerdict total;
  for (std::int64_t block = 0; block < blocks; ++block) {
    const AnyVerdict& verdict = verdicts[static_cast<std::size_t>(block)];
    add(total, verdict);
    if (fills_list(total, verdict)) add_list(total, judge_block(block, oracle::kMaximumListed));
  }
  return total;
}

// `take(data, bytes of a row)` gives the bytes of the `count` rows.
template <class Take>
RowSlice slice_of(const Case& test_case, const CaseTensors& tensors, const Outputs& outputs,
                  std::int64_t count, const Take& take) {
  RowSlice slice;
  slice.test_case.kind() = test_case;
  slice.test_case.fp32_output = test_case.fp32_output;
  slice.test_case.fp32_residual = test_case.fp32_residual;
  slice.test_case.parameter_bits = test_case.parameter_bits;
  slice.test_case.shape = {count, test_case.hidden_size()};
  const auto rows_of = [&](Role role, const std::vector<std::byte>& data) {
    if (!test_case.has_rows(role)) return data;
    const auto row_bytes =
        test_case.columns_of(role) * static_cast<std::int64_t>(size_of(test_case.dtype_of(role)));
    return take(data, row_bytes);
  };
  for (const Role role : kRoles) {
    if (test_case.has_data(role)) slice.tensors[role] = rows_of(role, tensors[role]);
    if (test_case.has_output(role)) slice.outputs[role] = rows_of(role, outputs[role]);
  }
  return slice;
}

}  // namespace

RowSlice slice_rows(const Case& test_case, const CaseTensors& tensors, const Outputs& outputs,
                    std::int64_t first, std::int64_t count) {
  return slice_of(test_case, tensors, outputs, count,
                  [&](const std::vector<std::byte>& data, std::int64_t row_bytes) {
                    return std::vector<std::byte>(data.begin() + first * row_bytes,
                                                  data.begin() + (first + count) * row_bytes);
                  });
}

RowSlice select_rows(const Case& test_case, const CaseTensors& tensors, const Outputs& outputs,
                     std::span<const std::int64_t> rows) {
  return slice_of(test_case, tensors, outputs, static_cast<std::int64_t>(rows.size()),
                  [&](const std::vector<std::byte>& data, std::int64_t row_bytes) {
                    std::vector<std::byte> selected;
                    selected.reserve(rows.size() * static_cast<std::size_t>(row_bytes));
                    for (const std::int64_t row : rows)
                      selected.insert(selected.end(), data.begin() + row * row_bytes,
                                      data.begin() + (row + 1) * row_bytes);
                    return selected;
                  });
}

oracle::WitnessVerdict judge_witness_rows(const Case& test_case, const CaseTensors& tensors,
                                          const Outputs& outputs, const oracle::Policy& policy,
                                          const JudgeRowsOptions& options) {
  return judge_in_blocks<oracle::WitnessVerdict>(
      test_case, tensors, outputs, options, [&](const RowSlice& slice, std::size_t listed) {
        oracle::WitnessOptions witness_options;
        witness_options.keep_rows = true;
        witness_options.listed = listed;
        return oracle::judge_witness(slice.test_case, slice.tensors, slice.outputs, policy, witness_options);
      });
}

oracle::Verdict judge_canonical_rows(const Case& test_case, const CaseTensors& tensors,
                                     const Outputs& outputs, const oracle::Policy& policy,
                                     const JudgeRowsOptions& options) {
  return judge_in_blocks<oracle::Verdict>(
      test_case, tensors, outputs, options, [&](const RowSlice& slice, std::size_t listed) {
        return oracle::judge_canonical(slice.test_case, slice.tensors, slice.outputs, policy, listed);
      });
}

std::string mismatch_line(const oracle::Mismatch& mismatch, std::string_view authority) {
  const auto number = [&](std::uint32_t bits) {
    return fmt::format("{} ({})", oracle::hex_bits(oracle::format_of(mismatch.dtype), bits),
                       oracle::value_text(mismatch.dtype, bits));
  };
  const std::string line =
      fmt::format("{}[row {}, column {}]: got {}, {} says {}", name_of(mismatch.tensor), mismatch.row,
                  mismatch.column, number(mismatch.got), authority, number(mismatch.wanted));
  return mismatch.ulp_distance == UINT64_MAX ? line
                                             : fmt::format("{}, {} ulp apart", line, mismatch.ulp_distance);
}

}  // namespace normproof
