#include "properties/comparison.h"

#include <algorithm>
#include <cstring>

#include "properties/bits.h"

namespace normproof {

void Comparison::add_row(Role tensor, DType dtype, std::int64_t columns, const std::vector<std::byte>& got,
                         std::int64_t row, const std::vector<std::byte>& wanted, std::int64_t wanted_row,
                         bool count) {
  if (count) count_row();
  const auto bytes = static_cast<std::size_t>(columns) * size_of(dtype);
  const std::byte* got_row = got.data() + static_cast<std::size_t>(row) * bytes;
  const std::byte* expected_row = wanted.data() + static_cast<std::size_t>(wanted_row) * bytes;
  if (bytes == 0 || std::memcmp(got_row, expected_row, bytes) == 0) {
    verdict_.elements += columns;
    return;
  }
  for (std::int64_t column = 0; column < columns; ++column) {
    add_element(tensor, dtype, row, column, load_bits(got, dtype, row * columns + column),
                load_bits(wanted, dtype, wanted_row * columns + column));
  }
}

void Comparison::add_outputs(const Case& test_case, const Outputs& got, std::int64_t row,
                             const Outputs& wanted, std::int64_t wanted_row) {
  count_row();
  for (const Role role : kRoles) {
    if (test_case.has_output(role))
      add_row(role, test_case.dtype_of(role), test_case.columns_of(role), got[role], row, wanted[role],
              wanted_row, false);
  }
}

void Comparison::add_element(Role tensor, DType dtype, std::int64_t row, std::int64_t column,
                             std::uint32_t got, std::uint32_t wanted) {
  verdict_.elements += 1;
  if (bits::equal(dtype, got, wanted)) return;
  verdict_.mismatches += 1;
  if (verdict_.first_mismatches.size() < oracle::kMaximumListed) {
    verdict_.first_mismatches.push_back(
        {tensor, row, column, dtype, got, wanted, bits::ulp_distance(dtype, got, wanted)});
  }
}

Evaluation Comparison::evaluation(const RunResult& run) const {
  Evaluation evaluation;
  evaluation.outcome = agrees() ? Evaluation::Outcome::conforms : Evaluation::Outcome::wrong_bits;
  evaluation.verdict = verdict_;
  evaluation.run.path = run.path;
  evaluation.run.threads_per_block = run.threads_per_block;
  return evaluation;
}

std::string Comparison::describe(const Case& test_case, const RunResult& run) const {
  return normproof::describe(test_case, evaluation(run), authority_);
}

void Comparison::add_to(Tally& tally, const Case& test_case, const RunResult& run) const {
  tally.add(test_case, evaluation(run));
}

}  // namespace normproof
