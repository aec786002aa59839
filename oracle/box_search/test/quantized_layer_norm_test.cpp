// The judge of LayerNorm that ends in codes: honest kernels conform, whatever their order; on small rows its
// verdict is that of trying every pair of the window, with formulas that are written here once more.
// NORMPROOF_TEST_SCALE=N makes N times as many rows, NORMPROOF_TEST_SEED=N others.
#include "oracle/box_search/quantized_layer_norm.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <array>
#include <cmath>

#include "oracle/box_search/layer_norm_window.h"
#include "oracle/box_search/test/enumeration_tally.h"
#include "oracle/box_search/test/honest_sums.h"
#include "oracle/box_search/test/random_rows.h"
#include "oracle/judged/call_files.h"
#include "oracle/judged/layer_norm_call.h"
#include "oracle/judged/operation.h"

namespace normproof::oracle::box_search {
namespace {

using judged::Call;
using judged::Policy;
using judged::Tensor;

// The nearest number of the format, ties to the even code, by looking at all of them.
std::uint8_t plain_code(float scaled, DType dtype, float range, bool saturates) {
  if (dtype == DType::int8) {
    if (std::isnan(scaled)) return 0;
    return static_cast<std::uint8_t>(
        static_cast<std::int8_t>(std::min(std::max(std::nearbyint(scaled), -128.0f), 127.0f)));
  }
  const Format& format = format_of(dtype);
  if (std::isnan(scaled)) {
    if (!saturates) return static_cast<std::uint8_t>(format.nan_bits());
    scaled = range;
  }
  const float wanted = std::min(std::max(scaled, -range), range);
  int best = -1;
  double distance = INFINITY;
  for (int code = 0; code < 256; ++code) {
    const Value value = decode(dtype, static_cast<std::uint32_t>(code));
    if (value.is_nan() || value.is_infinite() || value.negative() != std::signbit(wanted)) continue;
    const double here = std::fabs(to_double(value) - static_cast<double>(wanted));
    if (here < distance || (here == distance && code % 2 == 0)) {
      best = code;
      distance = here;
    }
  }
  return static_cast<std::uint8_t>(best);
}

struct Codes {
  DType dtype = DType::int8;
  std::vector<std::byte> codes;
  float scale = 0;
  // Any NaN is like any other.
  friend bool operator==(const Codes& a, const Codes& b) {
    const auto same_code = [&](std::byte p, std::byte q) {
      const auto m = std::to_integer<std::uint32_t>(p), n = std::to_integer<std::uint32_t>(q);
      return p == q || (a.dtype != DType::int8 && is_nan(a.dtype, m) && is_nan(a.dtype, n));
    };
    return std::ranges::equal(a.codes, b.codes, same_code) && position_of(a.scale) == position_of(b.scale);
  }
};

struct Subject {
  Call call;  // of one row
  Policy policy;
  std::vector<float> x, weight, bias;

  std::vector<float> y(float mean, float root, bool rounded) const {
    std::vector<float> result;
    const bool with_bias = call.has("bias");
    for (std::size_t j = 0; j < x.size(); ++j) {
      std::vector<float> n = {(x[j] - mean) * root};
      if (policy.is("normalized", "activation")) test::round_to_format(n, call.dtype());
      const float w = policy.is("weight", "fp32_plus_one") && call.has("weight") ? 1 + weight[j] : weight[j];
      result.push_back(!with_bias                   ? n[0] * w
                       : policy.is("affine", "fma") ? std::fma(n[0], w, bias[j])
                                                    : n[0] * w + bias[j]);
    }
    if (rounded) test::round_to_format(result, call.dtype());
    return result;
  }

  Codes plain(float mean, float root) const {
    const DType dtype = call.at("out").dtype;
    const bool rounds = policy.is("before_quantization", "rounded");
    const std::vector<float> of_codes = y(mean, root, rounds);
    const float range = dtype == DType::int8 ? 127.0f : dtype == DType::fp8_e5m2 ? 57344.0f : 448.0f;
    const bool saturates = policy.is("fp8_nan", "saturate");
    Codes result{dtype, {}, 0};
    float factor = 0;
    bool divides = policy.is("scaling", "divide");
    if (const Tensor* given = call.find("scale")) {
      const float s = std::bit_cast<float>(load_bits(given->bytes, DType::fp32, 0));
      factor = divides || policy.is("scaling", "product") ? s : 1 / s;
    } else {
      float a = 0;
      bool has_nan = false;
      for (const float value : y(mean, root, rounds != policy.is("row_maximum", "of_other"))) {
        has_nan = has_nan || std::isnan(value);
        a = std::fmax(a, std::fabs(value));
      }
      if (has_nan && policy.is("maximum_nan", "propagate")) a = NAN;
      float s = policy.is("row_scale", "product") ? a * (1 / range) : a / range;
      const float least = policy.is("scale_floor", "none") ? 0
                          : dtype == DType::int8           ? 0x1p-23f
                                                           : 1 / (512 * range);
      if (s < least) s = least;
      result.scale = s;
      factor = divides ? s : 1 / s;
    }
    for (const float value : of_codes) {
      const float scaled = divides ? value / factor : value * factor;
      result.codes.push_back(std::byte{plain_code(scaled, dtype, range, saturates)});
    }
    return result;
  }

  // The call with these outputs.
  Call with(const Codes& outputs) const {
    Call result = call;
    result.tensors["out"].bytes = outputs.codes;
    if (const auto scales = result.tensors.find("scales"); scales != result.tensors.end())
      store_bits(scales->second.bytes, DType::fp32, 0, std::bit_cast<std::uint32_t>(outputs.scale));
    return result;
  }
};

Subject random_subject(Random& random, std::int64_t count, test::RowClass row_class) {
  Subject subject;
  const bool is_static = random.chance(1, 3);
  const auto& operation =
      *judged::find_judged_operation(is_static ? "layer_norm_static_fp8_quant" : "layer_norm_dynamic_quant");
  Call& call = subject.call;
  call.operation = &operation;
  call.epsilon = std::bit_cast<std::uint32_t>(random.pick(std::array{1e-5f, 1e-6f, 0.0f}));
  const DType activation = random.pick(std::array{DType::bf16, DType::fp16, DType::fp32});
  subject.x = test::random_row(random, activation, count, row_class);
  call.tensors["x"] = {activation, {1, count}, test::packed(subject.x, activation)};
  const auto n = static_cast<std::size_t>(count);
  subject.weight.assign(n, 1.0f);
  subject.bias.assign(n, 0.0f);
  if (random.chance(1, 2)) {
    subject.weight = test::random_weight(random, activation, count);
    call.tensors["weight"] = {activation, {count}, test::packed(subject.weight, activation)};
    if (random.chance(1, 2)) {
      subject.bias = test::random_weight(random, DType::fp32, count);
      call.tensors["bias"] = {DType::fp32, {count}, test::packed(subject.bias, DType::fp32)};
    }
  }
  DType codes = random.pick(std::array{DType::fp8_e4m3fn, DType::fp8_e5m2, DType::int8});
  if (is_static && codes == DType::int8) codes = DType::fp8_e4m3fn;
  call.tensors["out"] = {codes, {1, count}, std::vector<std::byte>(n)};
  if (is_static) {
    Tensor scale{DType::fp32, {1}, std::vector<std::byte>(4)};
    store_bits(scale.bytes, DType::fp32, 0,
               std::bit_cast<std::uint32_t>(
                   std::ldexp(1 + test::bell(random) / 8, static_cast<int>(random.between(-9, -4)))));
    call.tensors["scale"] = std::move(scale);
  } else {
    call.tensors["scales"] = {DType::fp32, {1, 1}, std::vector<std::byte>(4)};
  }
  std::string text = fmt::format("statistics={}", name_of(static_cast<Statistics>(random.below(4))));
  const auto perhaps = [&](std::string_view choice) {
    if (random.chance(1, 3)) text += fmt::format(",{}", choice);
  };
  perhaps("normalized=activation");
  perhaps("affine=fp32");
  perhaps("before_quantization=unrounded");
  perhaps("scaling=divide");
  perhaps("fp8_nan=saturate");
  if (!is_static) {
    perhaps("row_scale=product");
    perhaps("row_maximum=of_other");
    perhaps("maximum_nan=drop");
    perhaps("scale_floor=none");
  }
  subject.policy = parse_policy(operation, text);
  return subject;
}

struct Honest {
  float mean, root;
};
Honest honest_of(const Subject& subject, Random& random, int off) {
  const LayerNormRule rule = layer_norm_rule(subject.call, subject.policy);
  const auto honest =
      test::honest_statistics(subject.x, rule.statistics, random.pick(kSummationOrders), random);
  return {honest.mean, test::inverse_root_off_by(honest.variance, rule.epsilon, off)};
}

TEST(QuantizedLayerNormSearch, HonestRowsConform) {
  const std::uint64_t seed = test::seed(11);
  Random random(seed);
  const StandardFloatEnvironment environment;
  const std::int64_t rows = 1200 * test::scale();
  for (std::int64_t i = 0; i < rows; ++i) {
    const std::int64_t count = random.log_between(1, 256);
    const Subject subject =
        random_subject(random, count, static_cast<test::RowClass>(random.below(test::kRowClasses)));
    const Honest honest = honest_of(subject, random, static_cast<int>(random.between(-2, 2)));
    const Call call = subject.with(subject.plain(honest.mean, honest.root));
    const auto judge = call.operation->parts(call, subject.policy).front().judge();
    ASSERT_TRUE(judge->conforms(0)) << "seed " << seed << " row " << i << ": " << to_string(subject.policy)
                                    << " " << subject_of(call) << "\n"
                                    << judge->violation(0).text();
  }
  fmt::print("LayerNorm to codes, honest: {} rows, 0 refused (seed {})\n", rows, seed);
}

bool explained(const Subject& subject, const std::vector<Box>& window, const Codes& got) {
  for (const Box& box : window)
    for (Position m = box.first.low; m <= box.first.high; ++m)
      for (Position r = box.second.low; r <= box.second.high; ++r)
        if (subject.plain(number_at(m), number_at(r)) == got) return true;
  return false;
}

// A code or the scale off by one, half a row by other statistics, or all of it by others.
Codes faulty(const Subject& subject, const Honest& honest, Random& random) {
  Codes result = subject.plain(honest.mean, honest.root);
  const auto at = static_cast<std::size_t>(random.below(result.codes.size()));
  switch (random.below(4)) {
    case 0:
      result.codes[at] = std::byte(std::to_integer<int>(result.codes[at]) ^ 1);
      break;
    case 1:
      if (!subject.call.has("scales")) break;
      result.scale = std::nextafter(result.scale, random.chance(1, 2) ? INFINITY : 0.0f);
      break;
    case 2: {
      const Codes other = subject.plain(honest.mean, honest.root * 1.001f);
      std::copy(other.codes.begin() + static_cast<std::ptrdiff_t>(at), other.codes.end(),
                result.codes.begin() + static_cast<std::ptrdiff_t>(at));
      break;
    }
    default:
      return subject.plain(
          number_at(position_of(honest.mean) + static_cast<Position>(random.between(-9, 9))),
          number_at(position_of(honest.root) + static_cast<Position>(random.between(-9, 9))));
  }
  return result;
}

TEST(QuantizedLayerNormSearch, AgreesWithEnumeration) {
  const std::uint64_t seed = test::seed(12);
  Random random(seed);
  const StandardFloatEnvironment environment;
  const std::int64_t rows = 300 * test::scale();
  std::int64_t decided = 0, refuted = 0, tried = 0;
  while (decided < rows && ++tried < 100 * rows) {
    const std::int64_t count = 1 + static_cast<std::int64_t>(random.below(8));
    Subject subject = random_subject(random, count, test::mostly_ordinary(random));
    const LayerNormRule rule = layer_norm_rule(subject.call, subject.policy);
    const std::vector<Box> window = layer_norm_window(rule, subject.x).boxes;
    if (test::points_of(window) > 600) continue;
    const Codes got = faulty(subject, honest_of(subject, random, 0), random);
    const Call call = subject.with(got);
    const auto judge = call.operation->parts(call, subject.policy).front().judge();
    const bool conforms = judge->conforms(0);
    ASSERT_EQ(conforms, explained(subject, window, got))
        << "seed " << seed << ": " << to_string(subject.policy) << " " << subject_of(call) << "\n"
        << call_to_json(call, to_string(subject.policy)) << window_text(window, judged::kMeanAndRstd)
        << (conforms ? "" : judge->violation(0).text());
    ++decided;
    if (conforms) continue;
    ++refuted;
    if (random.chance(1, 4)) {
      EXPECT_FALSE(judge->violation(0).elements.empty());
    }
  }
  EXPECT_GT(refuted, rows / 5);
  fmt::print("LayerNorm to codes, faulty: {} rows, {} refuted, 0 differ from enumeration (seed {})\n",
             decided, refuted, seed);
}

}  // namespace
}  // namespace normproof::oracle::box_search
