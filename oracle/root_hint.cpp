// Hypotheses about r, tried on every row at once.
#include "oracle/root_hint.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdlib>
#include <functional>
#include <limits>

#include "oracle/column_hints.h"

namespace normproof::oracle {
namespace {

// A row's sums in fp64, and the range in which the kernel's r lies.
struct Row {
  double squares = 0, magnitudes = 0, largest = 0, values = 0;
  double honest = 0;
  double low = 0, high = 0;  // with what an honest kernel's own roundings may add
};

double root_of(std::int64_t bits) {
  return static_cast<double>(std::bit_cast<float>(static_cast<std::uint32_t>(bits)));
}

// How far roundings may move an honest r, relative to it. Not the worst case: a hint may miss one row of a
// kernel that sums badly.
double slack_of(std::size_t columns) { return (16 + std::sqrt(static_cast<double>(columns))) * 0x1p-24; }

class Hints {
 public:
  Hints(const RootQuestion& question, std::size_t most, double chance)
      : question_(question), most_(most), chance_(chance) {
    hidden_ = static_cast<double>(question.rows.empty() ? 0 : question.rows.front().operands.size());
    for (const ShownRow& shown : question.rows) add(shown);
  }

  // Where no cause is found: how far the r are off.
  std::vector<std::string> find_or_describe() {
    find();
    if (hints_.empty() && explained_) describe_the_rest();
    return hints_;
  }

  std::vector<std::string> find() {
    if (rows_.empty() || matches([](const Row& row) { return row.honest; })) return {};
    explained_ = std::ranges::all_of(rows_, [](const Row& row) { return row.low <= row.high; });
    if (!explained_) return {};
    try_root(1, "no square is summed: r = 1 / sqrt(epsilon)",
             [&](const Row&) { return 1 / std::sqrt(question_.epsilon); });
    try_one_root();
    try_epsilons();
    try_divisors();
    try_other_norms();
    try_other_rows();
    try_columns();
    try_factor();
    try_any_divisor();
    return hints_;
  }

 private:
  using Root = std::function<double(const Row&)>;

  void add(const ShownRow& shown) {
    Row row;
    row.honest = static_cast<double>(shown.honest_root);
    if (!(row.honest > 0) || std::isinf(row.honest)) return;  // a special row
    for (const float operand : shown.operands) {
      const auto x = static_cast<double>(operand);
      row.squares += x * x;
      row.values += x;
      row.magnitudes += std::abs(x);
      row.largest = std::max(row.largest, std::abs(x));
    }
    const double slack = slack_of(shown.operands.size());
    row.low = 1;
    if (!shown.roots.empty()) {
      row.low = root_of(shown.roots.low) * (1 - slack);
      row.high = root_of(shown.roots.high) * (1 + slack);
    }
    rows_.push_back(row);
    shown_.push_back(&shown);
  }

  bool matches(const Root& root) const {
    return std::ranges::all_of(rows_, [&](const Row& row) {
      const double r = root(row);
      return row.low <= r && r <= row.high;
    });
  }
  // How likely one of so many causes explains all rows by luck, were its r anywhere within a tenth of the
  // honest one.
  double luck(double causes) const {
    double result = causes;
    for (const Row& row : rows_) result *= std::min(1.0, std::log(row.high / row.low) / 0.1);
    return result;
  }
  bool says_something(double causes) const { return luck(causes) <= chance_; }
  void say(std::string hint) {
    if (hints_.size() < most_) hints_.push_back(std::move(hint));
  }
  void try_root(double causes, const std::string& hint, const Root& root) {
    if (says_something(causes) && matches(root)) say(hint);
  }
  double mean(const Row& row) const { return row.squares / hidden_; }

  // What the rows have in common of a quantity that falls as r rises; nothing where it is low > high.
  struct Range {
    double low = -std::numeric_limits<double>::infinity();
    double high = std::numeric_limits<double>::infinity();
    bool holds(double value) const { return low <= value && value <= high; }
  };
  Range common(const std::function<double(const Row&, double r)>& quantity) const {
    Range range;
    for (const Row& row : rows_) {
      const double a = quantity(row, row.high), b = quantity(row, row.low);
      range.low = std::max(range.low, std::min(a, b));
      range.high = std::min(range.high, std::max(a, b));
    }
    return range;
  }

  void try_one_root() {
    const Range range = common([](const Row&, double r) { return r; });
    const auto [least, largest] = std::ranges::minmax(rows_, {}, &Row::honest);
    if (range.low > range.high || (rows_.size() > 1 && least.honest == largest.honest)) return;
    if (range.holds(1))
      return try_root(1, "r = 1 in every row: nothing is normalized", [](const Row&) { return 1; });
    if (rows_.size() == 1) return;
    for (std::size_t i = 0; i < rows_.size(); ++i) {
      if (range.holds(rows_[i].honest)) return say(fmt::format("the r of row {} in every row", i));
    }
    double all = 0;
    for (const Row& row : rows_) all += mean(row);
    const double together = 1 / std::sqrt(all / static_cast<double>(rows_.size()) + question_.epsilon);
    if (range.holds(together)) return say("one r in every row: that of all rows together");
    say(fmt::format("the same r in every row: {}", simplest_between(range.low, range.high)));
  }

  void try_epsilons() {
    const double epsilon = question_.epsilon;
    constexpr double kCauses = 8;
    try_root(kCauses, "epsilon not added", [&](const Row& row) { return 1 / std::sqrt(mean(row)); });
    try_root(kCauses, "epsilon added to the root, not inside it",
             [&](const Row& row) { return 1 / (std::sqrt(mean(row)) + epsilon); });
    try_root(kCauses, "epsilon added to the sum of squares, not to the mean",
             [&](const Row& row) { return 1 / std::sqrt((row.squares + epsilon) / hidden_); });
    try_root(kCauses, "epsilon as a floor of the mean square, not added",
             [&](const Row& row) { return 1 / std::sqrt(std::max(mean(row), epsilon)); });
    try_root(kCauses, "epsilon added twice",
             [&](const Row& row) { return 1 / std::sqrt(mean(row) + 2 * epsilon); });
    if (!hints_.empty()) return;
    const Range range = common([&](const Row& row, double r) { return 1 / (r * r) - mean(row); });
    if (range.low > range.high || range.high <= 0 || range.low < 0 || !says_something(1000)) return;
    const std::string other = simplest_between(range.low, range.high);
    // A number of many digits is not an epsilon that somebody wrote down.
    if (other.size() <= 6) say(fmt::format("epsilon {} instead of {:.3g}", other, epsilon));
  }

  void try_divisor(double causes, double divisor, const std::string& hint) {
    try_root(causes, hint,
             [&](const Row& row) { return 1 / std::sqrt(row.squares / divisor + question_.epsilon); });
  }
  void try_divisors() {
    try_divisor(8, 1, "the sum of squares is not divided at all");
    const double power = std::exp2(std::ceil(std::log2(hidden_)));
    for (const double divisor : {hidden_ - 1, hidden_ + 1, power}) {
      if (divisor < 1 || divisor == hidden_) continue;
      try_divisor(8, divisor, fmt::format("divided by {:.0f} instead of {:.0f}", divisor, hidden_));
    }
  }

  void try_other_norms() {
    const double epsilon = question_.epsilon;
    constexpr double kCauses = 8;
    const auto centered = [&](const Row& row) { return row.squares - row.values * row.values / hidden_; };
    try_root(kCauses, "the variance about the mean, as LayerNorm has it",
             [&](const Row& row) { return 1 / std::sqrt(centered(row) / hidden_ + epsilon); });
    try_root(kCauses, "the variance about the mean, divided by H - 1",
             [&](const Row& row) { return 1 / std::sqrt(centered(row) / (hidden_ - 1) + epsilon); });
    try_root(kCauses, "the mean of the magnitudes instead of the root of the mean square",
             [&](const Row& row) { return 1 / (row.magnitudes / hidden_ + epsilon); });
    try_root(kCauses, "the sum of the magnitudes instead of the root of the mean square",
             [&](const Row& row) { return 1 / (row.magnitudes + epsilon); });
    try_root(kCauses, "the largest magnitude instead of the root of the mean square",
             [&](const Row& row) { return 1 / (row.largest + epsilon); });
    try_root(kCauses, "1 / m instead of 1 / sqrt(m)",
             [&](const Row& row) { return 1 / (mean(row) + epsilon); });
    try_root(kCauses, "sqrt(m) instead of 1 / sqrt(m)",
             [&](const Row& row) { return std::sqrt(mean(row) + epsilon); });
  }

  void try_other_rows() {
    if (rows_.size() != question_.rows.size() || rows_.size() < 3) return;
    for (const std::ptrdiff_t step : {-1, 1}) {
      bool all = true;
      for (std::size_t i = 1; i + 1 < rows_.size(); ++i) {
        const double r = rows_[static_cast<std::size_t>(static_cast<std::ptrdiff_t>(i) + step)].honest;
        all = all && rows_[i].low <= r && r <= rows_[i].high;
      }
      if (all && says_something(8)) say(fmt::format("the r of the row {}", step < 0 ? "before" : "behind"));
    }
  }

  void try_columns() {
    std::vector<SummedRow> rows;
    for (std::size_t i = 0; i < rows_.size(); ++i) {
      // The sum of squares, divided by H, that gives such an r.
      const auto sum = [&](double r) { return (1 / (r * r) - question_.epsilon) * hidden_; };
      rows.push_back({shown_[i]->operands, sum(rows_[i].high), sum(rows_[i].low)});
    }
    for (const ColumnHint& hint : column_hints(rows)) {
      if (says_something(hint.causes)) say(hint.text);
    }
  }

  void try_factor() {
    const Range range = common([](const Row& row, double r) { return r / row.honest; });
    if (range.low > range.high || !says_something(1) || !hints_.empty()) return;
    const std::string factor = simplest_between(range.low, range.high);
    // In one row any r is some factor away from any other: it must be a round one.
    if (rows_.size() == 1 && !says_something(std::pow(10.0, static_cast<double>(factor.size()) - 1))) return;
    say(fmt::format("r off by a factor {} in every row", factor));
  }

  void try_any_divisor() {
    if (!hints_.empty()) return;
    const Range range =
        common([&](const Row& row, double r) { return row.squares / (1 / (r * r) - question_.epsilon); });
    const double divisor = std::ceil(range.low);
    if (!(range.low > 0) || divisor > range.high || divisor + 1 <= range.high || divisor == hidden_) return;
    if (!says_something(2 * hidden_)) return;
    say(fmt::format("divided by {:.0f} instead of {:.0f}", divisor, hidden_));
  }

  bool rounded_to_activation() const {
    const Format& format = *question_.activation;
    if (format.precision >= 24) return false;
    const double spacing = std::exp2(1 - format.precision);  // relative, at most
    double luck = 1;
    for (std::size_t i = 0; i < rows_.size(); ++i) {
      const RootInterval& roots = shown_[i]->roots;
      const auto exact = decode(DType::fp32, static_cast<std::uint64_t>(roots.high));
      const double below = to_double(round_to(format, exact, Rounding::down));
      if (below < root_of(roots.low)) return false;
      luck *= std::min(1.0, 2 * std::log(root_of(roots.high) / root_of(roots.low) + 0x1p-23) / spacing);
    }
    return luck <= chance_;
  }

  void describe_the_rest() {
    if (rounded_to_activation()) return say(fmt::format("r rounded to {}", question_.activation->name));
    double least = std::numeric_limits<double>::infinity(), largest = 0, off = 0;
    for (const Row& row : rows_) {
      least = std::min(least, row.high / row.honest);
      largest = std::max(largest, row.low / row.honest);
      off = std::max({off, 1 - row.high / row.honest, row.low / row.honest - 1});
    }
    if (off < 0x1p-6) {
      say(fmt::format("an r that is a relative {:.2g} off, or less, in each row: a root of about {:.0f} bits",
                      off, -std::log2(off)));
    } else if (rows_.size() > 1) {
      say(fmt::format("an r of its own in each row, {:.3g} to {:.3g} times the honest one", least, largest));
    } else {
      say(fmt::format("an r {} times the honest one",
                      simplest_between(rows_[0].low / rows_[0].honest, rows_[0].high / rows_[0].honest)));
    }
  }

  const RootQuestion& question_;
  std::size_t most_;
  double chance_;
  double hidden_ = 0;
  bool explained_ = false;  // some r explains each row, but not the honest one in all
  std::vector<Row> rows_;
  std::vector<const ShownRow*> shown_;
  std::vector<std::string> hints_;
};

}  // namespace

std::string simplest_between(double low, double high) {
  const double middle = low + (high - low) / 2;
  for (int digits = 1; digits < 9; ++digits) {
    const std::string text = fmt::format("{:.{}g}", middle, digits);
    const double value = std::strtod(text.c_str(), nullptr);
    if (low <= value && value <= high) return text;
  }
  return fmt::format("{:.9g}", middle);
}

std::vector<std::string> root_hints(const RootQuestion& question, std::size_t most, double chance) {
  return Hints(question, most, chance).find();
}

std::vector<std::string> describe_roots(const RootQuestion& question, std::size_t most) {
  return Hints(question, most, kUsualChance).find_or_describe();
}

}  // namespace normproof::oracle
