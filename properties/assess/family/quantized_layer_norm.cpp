// The study of the judge of LayerNorm that ends in codes.
#include <fmt/format.h>

#include <array>

#include "oracle/box_search/layer_norm_window.h"
#include "oracle/judged/layer_norm_call.h"
#include "oracle/judged/operation.h"
#include "properties/assess/family/family_study.h"
#include "properties/assess/family/honest_sums.h"
#include "properties/assess/family/judged_calls.h"
#include "properties/assess/family/rows.h"

namespace normproof::assess::family {
namespace {

using oracle::box_search::LayerNormRule;
using oracle::judged::Call;
using oracle::judged::Policy;
using oracle::judged::Tensor;

// What each code of the 8-bit format stands for.
const std::array<double, 256>& values_of_codes(DType dtype) {
  const auto made = [](DType of) {
    std::array<double, 256> values{};
    for (std::uint32_t code = 0; code < 256; ++code) {
      const oracle::Value value = oracle::decode(of, code);
      values[code] = value.is_nan() ? NAN : oracle::to_double(value);
      if (!value.is_nan()) values[code] = std::copysign(values[code], value.negative() ? -1.0 : 1.0);
    }
    return values;
  };
  static const std::array<double, 256> e4m3 = made(DType::fp8_e4m3fn), e5m2 = made(DType::fp8_e5m2);
  return dtype == DType::fp8_e4m3fn ? e4m3 : e5m2;
}

// The nearest number of the format, ties to the even code, by looking at all of them.
std::uint8_t plain_code(float scaled, DType dtype, float range, bool saturates) {
  if (dtype == DType::int8) {
    if (std::isnan(scaled)) return 0;
    return static_cast<std::uint8_t>(
        static_cast<std::int8_t>(std::min(std::max(std::nearbyint(scaled), -128.0f), 127.0f)));
  }
  if (std::isnan(scaled)) {
    if (!saturates) return static_cast<std::uint8_t>(oracle::format_of(dtype).nan_bits());
    scaled = range;
  }
  const float wanted = std::min(std::max(scaled, -range), range);
  const std::array<double, 256>& values = values_of_codes(dtype);
  int best = -1;
  double distance = INFINITY;
  for (int code = 0; code < 256; ++code) {
    const double value = values[static_cast<std::size_t>(code)];
    if (!std::isfinite(value) || std::signbit(value) != std::signbit(wanted)) continue;
    const double here = std::fabs(value - static_cast<double>(wanted));
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
      return p == q || (a.dtype != DType::int8 && oracle::is_nan(a.dtype, m) && oracle::is_nan(a.dtype, n));
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
    const float shift = -mean * root;
    for (std::size_t j = 0; j < x.size(); ++j) {
      float n = policy.is("form", "centred")   ? (x[j] - mean) * root
                : policy.is("form", "shifted") ? x[j] * root + shift
                                               : std::fma(x[j], root, shift);
      if (policy.is("normalized", "activation")) n = rounded_to(n, call.dtype());
      const float w = policy.is("weight", "fp32_plus_one") && call.has("weight") ? 1 + weight[j] : weight[j];
      result.push_back(!with_bias                   ? n * w
                       : policy.is("affine", "fma") ? std::fma(n, w, bias[j])
                                                    : n * w + bias[j]);
    }
    if (rounded) round_to_format(result, call.dtype());
    return result;
  }

  // Where each row has a scale of its own.
  float row_scale(float mean, float root, float range) const {
    const bool rounds = policy.is("before_quantization", "rounded");
    float a = 0;
    bool has_nan = false;
    for (const float value : y(mean, root, rounds != policy.is("row_maximum", "of_other"))) {
      has_nan = has_nan || std::isnan(value);
      a = std::fmax(a, std::fabs(value));
    }
    if (has_nan && policy.is("maximum_nan", "propagate")) a = NAN;
    const float s = policy.is("row_scale", "product") ? a * (1 / range) : a / range;
    const float least = policy.is("scale_floor", "none")      ? 0
                        : call.at("out").dtype == DType::int8 ? 0x1p-23f
                                                              : 1 / (512 * range);
    return s < least ? least : s;
  }

  Codes plain(float mean, float root) const {
    const DType dtype = call.at("out").dtype;
    const float range = dtype == DType::int8 ? 127.0f : dtype == DType::fp8_e5m2 ? 57344.0f : 448.0f;
    const bool divides = policy.is("scaling", "divide");
    Codes result{dtype, {}, 0};
    float factor = 0;
    if (const Tensor* given = call.find("scale")) {
      const float s = std::bit_cast<float>(load_bits(given->bytes, DType::fp32, 0));
      factor = divides || policy.is("scaling", "product") ? s : 1 / s;
    } else {
      result.scale = row_scale(mean, root, range);
      factor = divides ? result.scale : 1 / result.scale;
    }
    for (const float value : y(mean, root, policy.is("before_quantization", "rounded"))) {
      const float scaled = divides ? value / factor : value * factor;
      result.codes.push_back(std::byte{plain_code(scaled, dtype, range, policy.is("fp8_nan", "saturate"))});
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
  LayerNormRule rule() const { return layer_norm_rule(call, policy); }
  std::string text() const { return fmt::format("{} {}", to_string(policy), subject_of(call)); }
};

Policy random_policy(Random& random, const oracle::judged::JudgedOperation& operation, bool is_static) {
  std::string text = fmt::format("statistics={}", name_of(static_cast<Statistics>(random.below(4))));
  const auto perhaps = [&](std::string_view choice) {
    if (random.chance(1, 3)) text += fmt::format(",{}", choice);
  };
  if (random.chance(1, 4)) text += random.chance(1, 2) ? ",form=shifted" : ",form=shifted_fma";
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
  return parse_policy(operation, text);
}

constexpr auto kOperations =
    std::to_array<std::string_view>({"layer_norm_static_fp8_quant", "fused_add_layer_norm_static_fp8_quant",
                                     "layer_norm_dynamic_quant", "fused_add_layer_norm_dynamic_quant"});

Subject random_subject(Random& random, const StudyOptions& options, std::int64_t count, RowClass row_class) {
  Subject subject;
  const bool is_static =
      draws_first(random, options.asks_for(kOperations[0]) || options.asks_for(kOperations[1]),
                  options.asks_for(kOperations[2]) || options.asks_for(kOperations[3]));
  const auto& operation = *oracle::judged::find_judged_operation(kOperations[is_static ? 0 : 2]);
  Call& call = subject.call;
  call.operation = &operation;
  call.epsilon = std::bit_cast<std::uint32_t>(random.pick(std::array{1e-5f, 1e-6f, 0.0f}));
  const DType activation = random.pick(kActivationDTypes);
  subject.x = random_row(random, activation, count, row_class);
  call.tensors["x"] = {activation, {1, count}, packed(subject.x, activation)};
  const auto n = static_cast<std::size_t>(count);
  subject.weight.assign(n, 1.0f);
  subject.bias.assign(n, 0.0f);
  if (random.chance(1, 2)) {
    subject.weight = random_weight(random, activation, count);
    call.tensors["weight"] = {activation, {count}, packed(subject.weight, activation)};
    if (random.chance(1, 2)) {
      subject.bias = random_weight(random, DType::fp32, count);
      call.tensors["bias"] = {DType::fp32, {count}, packed(subject.bias, DType::fp32)};
    }
  }
  DType codes = random.pick(std::array{DType::fp8_e4m3fn, DType::fp8_e5m2, DType::int8});
  if (is_static && codes == DType::int8) codes = DType::fp8_e4m3fn;
  call.tensors["out"] = {codes, {1, count}, std::vector<std::byte>(n)};
  if (is_static) {
    const float mantissa = 1 + oracle::box_search::bell(random) / 8;
    call.tensors["scale"] =
        tensor_of(DType::fp32, {1}, {std::ldexp(mantissa, static_cast<int>(random.between(-9, -4)))});
  } else {
    call.tensors["scales"] = {DType::fp32, {1, 1}, std::vector<std::byte>(4)};
  }
  subject.policy = random_policy(random, operation, is_static);
  return subject;
}

struct Honest {
  float mean, root;
};
Honest honest_of(const Subject& subject, Random& random, int off) {
  const LayerNormRule rule = subject.rule();
  const auto honest =
      honest_statistics(subject.x, rule.statistics, random.pick(oracle::kSummationOrders), random);
  return {honest.mean, inverse_root_off_by(honest.variance, rule.epsilon, off)};
}

// Whether the call conforms; `certificate`, where given, becomes the number of elements that refute it.
bool conforms(const Call& call, const Subject& subject, const StudyOptions& options,
              std::optional<std::size_t>* certificate = nullptr) {
  const Policy policy = judged_policy(subject.policy, options);
  const auto judge = call.operation->parts(call, policy).front().judge();
  if (judge->conforms(0)) return true;
  if (certificate != nullptr) *certificate = judge->violation(0).elements.size();
  return false;
}

void judge_honest_row(Random& random, const StudyOptions& options, HonestFigures& figures) {
  const std::int64_t count = random.log_between(1, 256);
  const Subject subject = random_subject(random, options, count, any_class(random));
  const Honest honest = honest_of(subject, random, static_cast<int>(random.between(-2, 2)));
  const Call call = subject.with(subject.plain(honest.mean, honest.root));
  const Policy policy = judged_policy(subject.policy, options);
  const auto judge = call.operation->parts(call, policy).front().judge();
  const bool conforming = judge->conforms(0);
  figures.undecided += judge->decided() ? 0 : 1;
  figures.add(count, conforming, 0, [&] { return subject.text(); });
}

constexpr auto kFaults = std::to_array<FaultRow>({
    {"one code off by one", 0.5, 0.5},
    {"the scale off by one number", 0.2},
    {"half the row with another r", 0.5, 0.5},
});
constexpr std::size_t kMovedStatistics = kFaults.size();  // in the search alone

Codes faulty(const Subject& subject, const Honest& honest, std::size_t fault, Random& random) {
  Codes result = subject.plain(honest.mean, honest.root);
  const auto at = static_cast<std::size_t>(random.below(result.codes.size()));
  switch (fault) {
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
    default: {
      const float moved = near(honest.mean, 9, random);
      return subject.plain(moved, near(honest.root, 9, random));
    }
  }
  return result;
}

void judge_faulty_row(Random& random, const StudyOptions& options, FaultyFigures& figures) {
  const std::int64_t count = random.between(1, 8);
  const Subject subject = random_subject(random, options, count, oracle::box_search::mostly_ordinary(random));
  const std::vector<Box> window = layer_norm_window(subject.rule(), subject.x).boxes;
  if (points_of(window) > 600) return figures.add_too_wide(0);
  const Honest honest = honest_of(subject, random, 0);
  const Codes got = faulty(subject, honest, random.below(kMovedStatistics + 1), random);
  const bool explained =
      any_point(window, [&](float mean, float root) { return subject.plain(mean, root) == got; });
  std::optional<std::size_t> certificate;
  conforms(subject.with(got), subject, options, &certificate);
  figures.add(explained, certificate, 0, [&] {
    return fmt::format("{}\n{}", subject.text(), window_text(window, oracle::judged::kMeanAndRstd));
  });
}

void detect(std::size_t fault, Random& random, const StudyOptions& options, FaultFigure& figure) {
  Subject subject;
  do {
    const std::int64_t count = random.log_between(16, 512);
    subject = random_subject(random, options, count, ordinary_class(random));
  } while (subject.call.dtype() != figure.dtype);
  const Honest honest = honest_of(subject, random, 0);
  const Codes right = subject.plain(honest.mean, honest.root);
  const Codes wrong = faulty(subject, honest, fault, random);
  if (wrong == right) return;
  figure.add(!conforms(subject.with(wrong), subject, options),
             !conforms(subject.with(right), subject, options));
}

}  // namespace

const FamilyStudy& quantized_layer_norm_study() {
  static constexpr FamilyStudy kStudy = {"LayerNorm to codes",
                                         "rows",
                                         kOperations,
                                         {40'000, 12'000, 250},
                                         judge_honest_row,
                                         judge_faulty_row,
                                         kFaults,
                                         kActivationDTypes,
                                         detect};
  return kStudy;
}

}  // namespace normproof::assess::family
