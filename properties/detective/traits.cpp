#include "properties/detective/traits.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <functional>
#include <map>
#include <optional>

#include "oracle/exact.h"
#include "oracle/formats.h"

namespace normproof {
namespace {

constexpr std::int64_t kManyRows = 300;
constexpr std::int64_t kHidden = 512;  // for questions about bits
// For questions about r: short, so that one element or one divisor more or less shows in the coarsest output.
constexpr std::int64_t kShortHidden = 8;
constexpr std::int64_t kLongestTelling = 16;

class Observer {
 public:
  Observer(Target& target, const DiscriminatingShape& shape)
      : target_(target), shape_(shape), limits_(target.limits_of(shape.operation)) {
    DiscriminatingShape sizes = shape;
    sizes.rows = 1;
    sizes.hidden_size = kShortHidden;
    fit_to(limits_, sizes);
    short_rows_ = sizes.rows;
    short_hidden_ = sizes.hidden_size;
  }

  std::vector<Trait> observe() {
    const Case many = random_case(kManyRows);
    ask(fmt::format("the same row alone and among {}", many.rows()), [&] { return number_of_rows(many); });
    ask("pointers shifted by one element", [this] { return alignment(); });
    ask("one NaN in a row", [this] {
      return special_value(static_cast<std::uint32_t>(oracle::format_of(shape_.dtype).nan_bits()));
    });
    ask("one infinity in a row", [this] {
      return special_value(static_cast<std::uint32_t>(oracle::format_of(shape_.dtype).infinity_bits()));
    });
    const std::string usual = limits_.epsilon_is_set ? fmt::format("{:.3g}", limits_.epsilon) : "1e-6";
    ask("a row of zeros, epsilon " + usual, [this] { return zeros(usual_epsilon()); });
    if (!limits_.epsilon_is_set) ask("a row of zeros, epsilon 0", [this] { return zeros(0); });
    ask("no rows", [this] { return no_rows(); });
    ask("where epsilon is added", [this] { return epsilon_place(); });
    ask("by what the sum of squares is divided", [this] { return divisor(); });
    return std::move(traits_);
  }

 private:
  void ask(std::string question, const std::function<std::string()>& answer) {
    traits_.push_back({std::move(question), answer()});
  }

  static std::string why_not(const RunResult& result) {
    const char* what = result.status == RunResult::Status::refused     ? "refused"
                       : result.status == RunResult::Status::not_taken ? "not taken"
                                                                       : "failed";
    return fmt::format("{}: {}", what, result.message);
  }
  float usual_epsilon() const { return limits_.epsilon_is_set ? limits_.epsilon : 1e-6f; }
  static bool completed(const RunResult& result) { return result.status == RunResult::Status::completed; }

  Case random_case(std::int64_t rows) const {
    DiscriminatingShape shape = shape_;
    shape.rows = rows;
    shape.hidden_size = kHidden;
    fit_to(limits_, shape);
    Case test_case = discriminating_case(shape, 1);
    fit_to(limits_, test_case);
    return test_case;
  }
  static Case row_of(const Case& test_case, std::int64_t row) {
    Case single = test_case;
    single.shape[0] = 1;
    for (const Role role : kRoles)
      if (test_case.has_rows(role))
        single[role].data.bytes = cut(test_case[role].data.bytes, test_case.rows(), row);
    return single;
  }
  static std::vector<std::byte> cut(const std::vector<std::byte>& data, std::int64_t rows, std::int64_t row) {
    const auto bytes = static_cast<std::ptrdiff_t>(data.size()) / rows;
    return {data.begin() + row * bytes, data.begin() + (row + 1) * bytes};
  }
  static Outputs output_row(const RunResult& result, const Case& test_case, std::int64_t row) {
    Outputs outputs;
    for (const Role role : kRoles)
      if (test_case.has_output(role)) outputs[role] = cut(result.outputs[role], test_case.rows(), row);
    return outputs;
  }
  RunResult run(const Case& test_case) const { return target_.run(test_case, materialize(test_case)); }

  std::string number_of_rows(const Case& all) const {
    const RunResult together = run(all);
    if (!completed(together)) return why_not(together);
    std::int64_t different = 0;
    for (std::int64_t row = 0; row < all.rows(); ++row) {
      const Case single = row_of(all, row);
      const RunResult alone = run(single);
      if (!completed(alone)) return why_not(alone);
      different += alone.outputs != output_row(together, all, row);
    }
    return different == 0 ? "same bits" : fmt::format("other bits in {} of {} rows", different, all.rows());
  }

  std::string alignment() const {
    const Case aligned = random_case(shape_.rows);
    Case shifted = aligned;
    shift(shifted, 1);
    const RunResult first = run(aligned), second = run(shifted);
    if (!completed(first)) return why_not(first);
    if (!completed(second)) return why_not(second);
    return first.outputs == second.outputs ? "same bits" : "other bits";
  }

  // Every element of x, or of x + residual, is `value`, 0 or 1; weights are 1, the scale is 1.
  Case uniform_case(double value, float epsilon) const {
    Case test_case;
    test_case.name = "uniform";
    test_case.kind() = shape_;
    test_case.shape = {short_rows_, short_hidden_};
    test_case.bits_of(Parameter::epsilon) = std::bit_cast<std::uint32_t>(epsilon);
    const bool adds = has(shape_.operation, NormStep::add_residual);
    const std::uint32_t bits = value == 0 ? 0 : power_of_two(shape_.dtype, adds ? -1 : 0);
    const std::int64_t count = test_case.elements();
    fill(test_case[Role::input].data, count, shape_.dtype, bits);
    if (shape_.has(Role::residual))
      fill(test_case[Role::residual].data, count, shape_.dtype, adds ? bits : 0);
    if (shape_.weight_dtype)
      fill(test_case[Role::weight].data, short_hidden_, *shape_.weight_dtype,
           power_of_two(*shape_.weight_dtype, 0));
    fit_to(limits_, test_case);
    return test_case;
  }
  static std::uint32_t power_of_two(DType dtype, int exponent) {
    const oracle::Format& format = oracle::format_of(dtype);
    return static_cast<std::uint32_t>(exponent + format.bias) << format.mantissa_bits();
  }
  static void fill(TensorData& data, std::int64_t count, DType dtype, std::uint32_t bits) {
    data.bytes.resize(static_cast<std::size_t>(count) * size_of(dtype));
    for (std::int64_t index = 0; index < count; ++index) store_bits(data.bytes, dtype, index, bits);
  }

  // "NaN in 8 of 8 outputs", "448 in 8 of 8 outputs".
  std::string output_values(const RunResult& result) const {
    const DType dtype = shape_.output_dtype();
    std::map<std::string, int> counts;
    for (std::int64_t column = 0; column < short_hidden_; ++column) {
      const std::uint32_t bits = load_bits(result.outputs[Role::out], dtype, column);
      ++counts[oracle::is_nan(dtype, bits) ? "NaN" : oracle::value_text(dtype, bits)];
    }
    std::string text;
    for (const auto& [value, count] : counts) {
      text += fmt::format("{}{} in {} of {} outputs", text.empty() ? "" : ", ", value, count, short_hidden_);
    }
    return text;
  }

  std::string special_value(std::uint32_t bits) const {
    Case test_case = uniform_case(1, usual_epsilon());
    store_bits(test_case[Role::input].data.bytes, shape_.dtype, std::min<std::int64_t>(3, short_hidden_ - 1),
               bits);
    const RunResult result = run(test_case);
    return completed(result) ? output_values(result) : why_not(result);
  }
  std::string zeros(float epsilon) const {
    const RunResult result = run(uniform_case(0, epsilon));
    return completed(result) ? output_values(result) : why_not(result);
  }
  std::string no_rows() const {
    Case test_case = uniform_case(1, usual_epsilon());
    test_case.shape[0] = 0;
    test_case[Role::input].data = {};
    test_case[Role::residual].data = {};
    const RunResult result = run(test_case);
    return completed(result) ? "accepted" : why_not(result);
  }

  // First output of a uniform row, in units of what weights of 1 do to it (2 where the kernel multiplies by 1
  // + w).
  std::optional<double> first_output(double value, float epsilon) const {
    const RunResult result = run(uniform_case(value, epsilon));
    if (!completed(result)) return std::nullopt;
    const DType dtype = shape_.output_dtype();
    const double output =
        oracle::to_double(oracle::decode(dtype, load_bits(result.outputs[Role::out], dtype, 0)));
    return output / weight_factor();
  }
  // 1, or 2 where weights of zero do not give zero.
  double weight_factor() const {
    if (!shape_.weight_dtype) return 1;
    Case test_case = uniform_case(1, limits_.epsilon_is_set ? limits_.epsilon : 0);
    fill(test_case[Role::weight].data, short_hidden_, *shape_.weight_dtype, 0);
    const RunResult result = run(test_case);
    const DType dtype = shape_.output_dtype();
    return completed(result) && load_bits(result.outputs[Role::out], dtype, 0) != 0 ? 2 : 1;
  }

  struct Hypothesis {
    const char* text;
    double output;
  };
  template <std::size_t size>
  static std::string nearest(double output, const std::array<Hypothesis, size>& hypotheses) {
    const auto distance = [&](const Hypothesis& hypothesis) {
      return std::abs(output / hypothesis.output - 1);
    };
    const Hypothesis& best = *std::ranges::min_element(hypotheses, {}, distance);
    // Half the distance between neighbouring numbers of the coarsest output format, and a little.
    if (!(distance(best) < 0.05)) return fmt::format("unknown: x = 1 gives {:.4g}", output);
    return best.text;
  }

  std::string epsilon_place() const {
    if (limits_.epsilon_is_set) return "not asked: it has one epsilon";
    constexpr double kLargeEpsilon = 3;
    const auto output = first_output(1, static_cast<float>(kLargeEpsilon));
    if (!output) return "could not be run";
    return nearest(*output, std::array<Hypothesis, 6>{{
                                {"to the mean square, inside the root", 1 / std::sqrt(1 + kLargeEpsilon)},
                                {"to the root", 1 / (1 + kLargeEpsilon)},
                                {"to the root, as its root", 1 / (1 + std::sqrt(kLargeEpsilon))},
                                {"to the sum of squares, inside the root",
                                 1 / std::sqrt(1 + kLargeEpsilon / static_cast<double>(short_hidden_))},
                                {"not added: a floor of the mean square", 1 / std::sqrt(kLargeEpsilon)},
                                {"nowhere", 1},
                            }});
  }
  std::string divisor() const {
    // A small epsilon beside a mean square of 1 is not seen.
    const auto output = first_output(1, limits_.epsilon_is_set ? limits_.epsilon : 0);
    if (!output) return "could not be run";
    const auto hidden = static_cast<double>(short_hidden_);
    if (short_hidden_ > kLongestTelling)
      return fmt::format("not asked: rows of {}, the shortest that it takes, hardly show it", short_hidden_);
    return nearest(*output, std::array<Hypothesis, 3>{{
                                {"H", 1},
                                {"H - 1", std::sqrt((hidden - 1) / hidden)},
                                {"nothing: it is no mean", 1 / std::sqrt(hidden)},
                            }});
  }

  Target& target_;
  const DiscriminatingShape& shape_;
  CallLimits limits_;
  std::int64_t short_rows_ = 1;
  std::int64_t short_hidden_ = kShortHidden;
  std::vector<Trait> traits_;
};

}  // namespace

std::vector<Trait> observe_traits(Target& target, const DiscriminatingShape& shape) {
  return Observer(target, shape).observe();
}

}  // namespace normproof
