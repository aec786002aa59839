#include "cli/diagnosis.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <optional>
#include <span>
#include <utility>

#include "properties/detective/identify.h"
#include "properties/judging/judge_rows.h"
#include "properties/judging/report_text.h"

namespace normproof {
namespace {

// So much tells policies apart, and takes a second at most.
constexpr std::int64_t kMostRows = 32, kMostElements = 1 << 17;
// Residues that are so few of the modulus are no chance.
constexpr std::int64_t kFewResidues = 4;
constexpr std::size_t kShownResidues = 6;
constexpr std::size_t kMostCauses = 3;

// From the first violating row on, as far as all rows violate.
RowSlice sample_of(const GivenOutputs& given, const std::vector<std::int64_t>& rows) {
  const std::int64_t most = std::clamp<std::int64_t>(
      kMostElements / std::max<std::int64_t>(given.test_case.hidden_size(), 1), 1, kMostRows);
  std::int64_t count = 1;
  while (count < most && count < static_cast<std::int64_t>(rows.size()) &&
         rows[static_cast<std::size_t>(count)] == rows.front() + count)
    ++count;
  return slice_rows(given.test_case, given.tensors, given.outputs, rows.front(), count);
}

std::string named(const oracle::Policy& policy, const Case& test_case) {
  const std::vector<std::string> names = known_as(policy, test_case);
  return fmt::format("policy {}{}", axes_text(policy), names.empty() ? "" : ", " + names.front());
}

}  // namespace

std::string diagnosis_of(const GivenOutputs& given, const std::vector<std::int64_t>& rows,
                         const DifferenceHistogram& histogram) {
  // Another policy would show in many elements.
  if (histogram.few_differ())
    return fmt::format("{}: no other rounding policy does that", to_text(histogram));
  const RowSlice sample = sample_of(given, rows);
  const std::int64_t looked_at = sample.test_case.rows();
  std::vector<std::int64_t> numbers(static_cast<std::size_t>(looked_at));
  for (std::int64_t i = 0; i < looked_at; ++i) numbers[static_cast<std::size_t>(i)] = rows.front() + i;
  const std::string subject =
      looked_at < static_cast<std::int64_t>(rows.size())
          ? fmt::format("of {} violating rows those looked at, {},", rows.size(), rows_text(numbers))
      : looked_at == 1 ? "the violating row"
                       : fmt::format("all {} violating rows", looked_at);
  const Identification found =
      identify(sample.test_case, sample.tensors, sample.outputs, given.policy.inverse_root);
  const bool one = looked_at == 1 && rows.size() == 1;
  if (found.identified()) {
    const auto rivals = found.rivals();
    return fmt::format("{} follow{} {}{}", subject, one ? "s" : "", named(found.best, sample.test_case),
                       rivals.empty() ? ""
                                      : fmt::format("; {} do{} not tell it from {}", one ? "it" : "they",
                                                    one ? "es" : "", axes_text(rivals.front())));
  }
  // Few rows may fit more than one cause: none of them is passed over.
  const std::span<const std::string> hints(found.hints.data(), std::min(found.hints.size(), kMostCauses));
  const std::string looks = hints.empty() ? fmt::format("the nearest, {}, has {} of {} rows",
                                                        axes_text(found.best), found.best_rows, found.rows)
                                          : fmt::format("it looks like {}", fmt::join(hints, ", or "));
  return fmt::format("{} follow{} no known policy; {}", subject, one ? "s" : "", looks);
}

std::string column_pattern(const std::vector<std::int64_t>& by_column) {
  const auto columns = static_cast<std::int64_t>(by_column.size());
  std::vector<std::int64_t> wrong;
  for (std::int64_t column = 0; column < columns; ++column)
    if (by_column[static_cast<std::size_t>(column)] > 0) wrong.push_back(column);
  if (wrong.empty()) return {};
  if (wrong.size() == 1) return columns == 1 ? "" : fmt::format("all in column {}", wrong.front());
  // The shortest vector that they are the tail of.
  for (std::int64_t vector = 4; vector <= 1024; vector *= 2) {
    const std::int64_t tail = columns % vector;
    if (tail > 0 && columns > vector && wrong.front() >= columns - tail)
      return fmt::format("all in the last {} columns, which fill no vector of {}", tail, vector);
  }
  // The modulus of which the fewest residues are enough, in proportion: 3 modulo 8, not 3 modulo 4.
  std::vector<std::int64_t> fewest;
  std::int64_t of = 0;
  for (std::int64_t modulus = 4; modulus <= 1024 && modulus * kFewResidues <= columns; modulus *= 2) {
    std::vector<std::int64_t> residues;
    for (const std::int64_t column : wrong) residues.push_back(column % modulus);
    std::ranges::sort(residues);
    const auto rest = std::ranges::unique(residues);
    residues.erase(rest.begin(), rest.end());
    const auto count = static_cast<std::int64_t>(residues.size());
    const bool few = count * kFewResidues <= modulus && residues.size() <= kShownResidues &&
                     wrong.size() > residues.size();
    if (!few || (of > 0 && count * of >= static_cast<std::int64_t>(fewest.size()) * modulus)) continue;
    fewest = std::move(residues);
    of = modulus;
  }
  if (of > 0) return fmt::format("all in columns {} modulo {}", fmt::join(fewest, ", "), of);
  if ((wrong.back() - wrong.front() + 1) * 2 <= columns)
    return fmt::format("all in columns {} to {}", wrong.front(), wrong.back());
  return {};
}

}  // namespace normproof
