// The contract's formulas in fp64 with one explicit rounding each.
#include "properties/assess/plain_kernel.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <stdexcept>

#include "properties/assess/plain_root.h"
#include "properties/bits.h"
#include "properties/known_steps.h"

namespace normproof::assess {
namespace {

using oracle::ActivationRounding;
using oracle::BeforeQuantization;
using oracle::Fp8NanPolicy;
using oracle::Fp8Rounding;
using oracle::RootPolicy;
using oracle::ScalingPolicy;
using oracle::SumPolicy;
using oracle::VariancePolicy;
using oracle::WeightPolicy;

struct Format {
  int mantissa_bits;
  int min_exponent;  // of the smallest normal number
};
constexpr Format format_of(DType dtype) {
  switch (dtype) {
    case DType::fp32:
      return {23, -126};
    case DType::fp16:
      return {10, -14};
    case DType::bf16:
      return {7, -126};
    case DType::fp8_e4m3fn:
      return {3, -6};
    case DType::fp8_e5m2:
      return {2, -14};
    case DType::fp8_e4m3fnuz:
      return {3, -7};
    case DType::fp8_e5m2fnuz:
      return {2, -15};
    case DType::int8:
      return {7, 7};    // whole numbers
    case DType::uint8:  // no numbers
      break;
  }
  throw std::invalid_argument("dtype: not a dtype");
}

// 2^exponent in fp64's normal range.
double power_of_two(int exponent) {
  return std::bit_cast<double>(static_cast<std::uint64_t>(exponent + 1023) << 52);
}

// In [0, 1), as good as random, and always the same for a number.
double share_of(double number) {
  return std::ldexp(static_cast<double>(Random(std::bit_cast<std::uint64_t>(number)).next() >> 11), -53);
}

double fl(double number) { return round_to(DType::fp32, number); }

// Bits of a number that `dtype` has; of infinities and NaN.
std::uint32_t encode(DType dtype, double number) {
  const auto result = bits::exactly(dtype, number);
  if (!result) throw std::logic_error("assess: a number was to be stored that its dtype does not have");
  return *result;
}

}  // namespace

double round_to(DType dtype, double number, Rounding rounding) {
  if (number == 0 || !std::isfinite(number)) return number;
  const Format format = format_of(dtype);
  const auto field = static_cast<int>(std::bit_cast<std::uint64_t>(number) >> 52 & 0x7ff);
  const int spacing = std::max(field - 1023, format.min_exponent) - format.mantissa_bits;
  // Exact, but for numbers so far below half a spacing that nothing of them is left.
  const double units = number * power_of_two(-spacing);
  // Adding and taking away 1.5 * 2^52 leaves a whole number, ties to even.
  // std::round takes ties away from zero.
  double whole = rounding == Rounding::toward_zero ? std::trunc(units)
                 : rounding == Rounding::ties_away ? std::round(units)
                 : rounding == Rounding::stochastic
                     ? std::trunc(units + std::copysign(share_of(number), units))
                     : (units + 0x1.8p52) - 0x1.8p52;
  if (whole == 0) return std::copysign(0.0, number);
  whole *= power_of_two(spacing);
  const double largest = bits::value(dtype, bits::largest(dtype, false));
  if (std::abs(whole) <= largest) return whole;
  return std::copysign(rounding == Rounding::toward_zero ? largest : HUGE_VAL, number);
}

void draw_int8_and_bound(Random& random, Case& test_case) {
  if (!quantizes_by_row(test_case.operation)) return;
  if (random.chance(1, 3)) test_case.set_codes(DType::int8);
  if (!random.chance(1, 3)) return;
  const bool near = random.chance(3, 4);
  test_case.bits_of(Parameter::scale_ub) =
      static_cast<std::uint32_t>(near ? 0x3f000000 + random.below(0x02000000) : 1 + random.below(0x7f800000));
}

PlainKernel::PlainKernel(const Case& test_case, const CaseTensors& tensors, const oracle::Policy& policy,
                         Fault fault)
    : case_(test_case),
      tensors_(tensors),
      policy_(policy),
      fault_(fault),
      scale_(static_cast<double>(test_case.value_of(Parameter::scale))) {
  if (!has_known_steps(case_.operation))
    throw std::invalid_argument(
        fmt::format("{} has a step that the plain kernel does not know", name_of(case_.operation)));
  if (!case_.weight_dtype) return;
  for (std::int64_t column = 0; column < case_.hidden_size(); ++column) {
    const double w =
        bits::value(*case_.weight_dtype, load_bits(tensors[Role::weight], *case_.weight_dtype, column));
    weight_.push_back(weight_factor(w));
  }
}

// `number`, an fp32 number or one that T rounds alike, as this kernel rounds it to T.
double PlainKernel::to_activation(double number, Fault where) const {
  if (fault_ == Fault::stochastic) return round_to(case_.dtype, number, Rounding::stochastic);
  if (where != Fault::none && where == fault_) return round_to(case_.dtype, number, Rounding::toward_zero);
  if (case_.dtype == DType::fp32 || policy_.rounding == ActivationRounding::nearest_even)
    return round_to(case_.dtype, number);
  return round_to(
      case_.dtype, fl(number),
      policy_.rounding == ActivationRounding::truncate ? Rounding::toward_zero : Rounding::ties_away);
}

double PlainKernel::weight_factor(double w) const {
  switch (policy_.weight) {
    case WeightPolicy::cast:
      return to_activation(w);
    case WeightPolicy::fp32_plus_zero:
      return 0.0 + w;
    case WeightPolicy::fp32_plus_one:
      return fl(1 + w);
    case WeightPolicy::plus_one_activation:
    case WeightPolicy::native_plus_one:
      return to_activation(fl(1 + w));
    default:
      return w;
  }
}

void PlainKernel::load(std::int64_t row) {
  variance_operands_.clear();
  output_operands_.clear();
  sums_.clear();
  for (std::int64_t column = 0; column < case_.hidden_size(); ++column) {
    const std::int64_t index = row * case_.hidden_size() + column;
    const double x = bits::value(case_.dtype, load_bits(tensors_[Role::input], case_.dtype, index));
    double for_variance = x, for_output = x;
    if (case_.has(Role::residual)) {
      const double sum =
          x + bits::value(case_.dtype, load_bits(tensors_[Role::residual], case_.dtype, index));
      const double rounded = to_activation(sum);
      for_variance = policy_.sum == SumPolicy::rounded ? rounded : fl(sum);
      for_output = policy_.sum == SumPolicy::fp32 ? fl(sum) : rounded;
      sums_.push_back(encode(case_.dtype, rounded));
    }
    if (policy_.variance == VariancePolicy::activation) for_variance = round_to(case_.dtype, for_variance);
    variance_operands_.push_back(static_cast<float>(for_variance));
    output_operands_.push_back(for_output);
  }
}

float PlainKernel::root(oracle::SummationOrder order, Random& random) const {
  return honest_unknown({variance_operands_, case_.value_of(Parameter::epsilon), case_.dtype, policy_}, order,
                        random);
}

bool PlainKernel::quantizes_unrounded() const {
  return case_.has_codes() && policy_.before_quantization == BeforeQuantization::unrounded;
}

// y before the quantization, or the output itself.
double PlainKernel::product(double x, double r, std::int64_t column, bool unrounded) const {
  if (policy_.root == RootPolicy::activation) r = to_activation(r);
  const auto applied = [&](double number) {
    return fl(policy_.root == RootPolicy::divide ? number / r : number * r);
  };
  const auto finished = [&](double product) { return unrounded ? fl(product) : to_activation(fl(product)); };
  if (weight_.empty()) return finished(applied(x));
  const double w = weight_[static_cast<std::size_t>(column)];
  if (policy_.weight == WeightPolicy::product_first) return finished(applied(fl(x * w)));
  if (policy_.weight == WeightPolicy::product_first_activation)
    return finished(applied(to_activation(fl(x * w))));
  if (policy_.weight == WeightPolicy::factor_first) return finished(x * applied(w));

  const bool native =
      policy_.weight == WeightPolicy::native || policy_.weight == WeightPolicy::native_plus_one;
  const bool cast = policy_.weight == WeightPolicy::cast;
  const bool weight_is_fp32 = *case_.weight_dtype == DType::fp32;
  const bool rounds_normalized =
      (native && !weight_is_fp32) || cast || policy_.weight == WeightPolicy::activation;
  double n = applied(x);
  if (rounds_normalized) n = to_activation(n, Fault::truncated_normalized);
  const double exact = n * w;
  const bool product_in_activation = rounds_normalized && (cast || !weight_is_fp32);
  if (unrounded) return fl(exact);
  return to_activation(product_in_activation ? to_activation(exact, Fault::truncated_product) : fl(exact));
}

double PlainKernel::least_scale() const {
  return case_.output_dtype() == DType::int8 ? 0x1p-23 : fl(1 / (512 * range()));
}

double PlainKernel::range() const {
  const DType dtype = case_.output_dtype();
  if (dtype == DType::fp8_e4m3fnuz && policy_.range == oracle::RangePolicy::fnuz_224) return 224;
  return bits::value(dtype, bits::largest(dtype, false));
}

// At most the upper bound of the call.
double PlainKernel::row_maximum(float r) const {
  const double maximum = unbounded_maximum(r);
  const auto bound = static_cast<double>(case_.value_of(Parameter::scale_ub));
  return maximum > bound ? bound : maximum;
}

double PlainKernel::unbounded_maximum(float r) const {
  const bool unrounded = quantizes_unrounded() != (policy_.row_maximum == oracle::RowMaximumPolicy::of_other);
  double maximum = 0;
  for (std::int64_t column = 0; column < case_.hidden_size(); ++column) {
    const double y = product(output_operands_[static_cast<std::size_t>(column)], static_cast<double>(r),
                             column, unrounded);
    if (!std::isnan(y)) {
      maximum = std::max(maximum, std::fabs(y));
    } else if (policy_.maximum_nan == oracle::MaximumNanPolicy::propagate) {
      return y;
    }
  }
  return maximum;
}

float PlainKernel::row_scale(float r) const {
  const double maximum = row_maximum(r);
  const double largest = range();
  const auto divided = [&](double a) {
    return policy_.row_scale == oracle::RowScalePolicy::product ? fl(a * fl(1 / largest)) : fl(a / largest);
  };
  const auto at_least = [](double a, double least) { return a < least ? least : a; };
  switch (policy_.scale_floor) {
    case oracle::ScaleFloor::none:
      return static_cast<float>(divided(maximum));
    case oracle::ScaleFloor::maximum_1e_4:
      return static_cast<float>(divided(at_least(maximum, static_cast<double>(1e-4f))));
    case oracle::ScaleFloor::scale_1e_10:
      return maximum > static_cast<double>(1e-10f) ? static_cast<float>(divided(maximum)) : 1e-10f;
    case oracle::ScaleFloor::range_512:
      break;
  }
  return static_cast<float>(at_least(divided(maximum), least_scale()));
}

// Of the scale, as it was chosen.
double PlainKernel::reciprocal(double scale) const {
  const double nearest = fl(1 / scale);
  if (policy_.scaling != ScalingPolicy::approximate_inverse || std::isnan(nearest)) return nearest;
  const double apart = 1 / scale - nearest;
  const bool exact = !(apart < 0) && !(apart > 0);
  const double other =
      exact ? nearest
            : static_cast<double>(std::nextafter(static_cast<float>(nearest),
                                                 static_cast<float>(std::copysign(HUGE_VAL, apart))));
  const auto is_subnormal = [](double number) { return number != 0 && std::fabs(number) < 0x1p-126; };
  const bool flushes = policy_.inverse_root.flush_to_zero;
  switch (reciprocal_) {
    case Reciprocal::nearest:
      break;
    case Reciprocal::other:
      return other;
    case Reciprocal::of_flushed_scale:
      return flushes && is_subnormal(scale) ? std::copysign(HUGE_VAL, scale) : nearest;
    case Reciprocal::flushed:
      return flushes && (is_subnormal(nearest) || is_subnormal(other)) ? std::copysign(0.0, scale) : nearest;
  }
  return nearest;
}

// max_Q / a with the floors of the scale, or the inverse of the scale.
double PlainKernel::factor_of(double maximum, double scale) const {
  if (policy_.scaling != ScalingPolicy::range_over_maximum || !quantizes_by_row(case_.operation))
    return reciprocal(scale);
  const double largest = range();
  switch (policy_.scale_floor) {
    case oracle::ScaleFloor::none:
      return fl(largest / maximum);
    case oracle::ScaleFloor::maximum_1e_4:
      return fl(largest / (maximum < static_cast<double>(1e-4f) ? static_cast<double>(1e-4f) : maximum));
    case oracle::ScaleFloor::scale_1e_10:
      return maximum > static_cast<double>(1e-10f) ? fl(largest / maximum)
                                                   : fl(1 / static_cast<double>(1e-10f));
    case oracle::ScaleFloor::range_512:
      break;
  }
  const double greatest = fl(1 / least_scale());
  const double factor = fl(largest / maximum);
  return factor > greatest ? greatest : factor;
}

double PlainKernel::code_factor(float r, double scale) const {
  const bool follows =
      policy_.scaling == ScalingPolicy::range_over_maximum && quantizes_by_row(case_.operation);
  return factor_of(follows ? row_maximum(r) : 0, scale);
}

// The code of a scaled value.
std::uint32_t PlainKernel::quantized(double scaled) const {
  const DType dtype = case_.output_dtype();
  if (dtype == DType::int8) {
    if (std::isnan(scaled)) return 0;
    const double least = policy_.int8_low == oracle::Int8Low::minus_127 ? -127 : -128;
    return encode(dtype, std::nearbyint(std::clamp(scaled, least, 127.0)));
  }
  if (policy_.fp8_rounding == Fp8Rounding::through_bf16) scaled = round_to(DType::bf16, scaled);
  const double largest = range();
  if (std::isnan(scaled)) {
    return policy_.fp8_nan == Fp8NanPolicy::saturate ? encode(dtype, largest) : bits::nan(dtype);
  }
  return encode(dtype, round_to(dtype, std::clamp(scaled, -largest, largest)));
}

double PlainKernel::normalized(float r, std::int64_t column) const {
  return product(output_operands_[static_cast<std::size_t>(column)], static_cast<double>(r), column,
                 quantizes_unrounded());
}

std::uint32_t PlainKernel::output(float r, std::int64_t column, double scale, double factor) const {
  const double y = normalized(r, column);
  if (!case_.has_codes()) return encode(case_.dtype, y);
  return quantized(policy_.scaling == ScalingPolicy::divide ? fl(y / scale) : fl(y * factor));
}

std::uint32_t PlainKernel::output(float r, std::int64_t column) const {
  return output(r, column, scale_, case_.has_codes() ? code_factor(r, scale_) : 1);
}

std::uint32_t PlainKernel::output_with_factor(float r, std::int64_t column, float factor) const {
  return output(r, column, scale_, static_cast<double>(factor));
}

float PlainKernel::code_factor(float r) const { return static_cast<float>(code_factor(r, scale_)); }

void PlainKernel::append_outputs(float r, Outputs& outputs) const {
  const auto append = [](std::vector<std::byte>& data, DType dtype, auto bits_of, std::int64_t count) {
    const auto first = static_cast<std::int64_t>(data.size() / size_of(dtype));
    data.resize(data.size() + static_cast<std::size_t>(count) * size_of(dtype));
    for (std::int64_t column = 0; column < count; ++column)
      store_bits(data, dtype, first + column, bits_of(column));
  };
  double scale = scale_;
  if (quantizes_by_row(case_.operation)) {
    const float own = row_scale(r);
    scale = static_cast<double>(own);
    append(
        outputs[Role::scales], DType::fp32, [&](std::int64_t) { return std::bit_cast<std::uint32_t>(own); },
        1);
  }
  const double factor = case_.has_codes() ? code_factor(r, scale) : 1;
  append(
      outputs[Role::out], case_.output_dtype(),
      [&](std::int64_t column) { return output(r, column, scale, factor); }, case_.hidden_size());
  if (sums_.empty()) return;
  append(
      outputs[normalized_tensor(case_.operation)], case_.dtype,
      [&](std::int64_t column) { return sums_[static_cast<std::size_t>(column)]; },
      static_cast<std::int64_t>(sums_.size()));
}

}  // namespace normproof::assess
