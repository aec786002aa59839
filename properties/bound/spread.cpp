#include "properties/bound/spread.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>

namespace normproof::bound {
namespace {

using oracle::Format;
using oracle::Rounding;

constexpr std::size_t kPlaces = 24;  // kept of each kind

// A pair of fp16 kernels asks this millions of times, all of normal numbers: their bits say it faster than
// frexp and ldexp.
double power_of_two(int exponent) {
  return std::bit_cast<double>(static_cast<std::uint64_t>(1023 + exponent) << 52);
}

// A positive number as significand in [2^(p - 1), 2^p) and what makes it whole again.
struct Scaled {
  double significand;
  int exponent;
};
Scaled scaled(double value, int precision) {
  const int exponent = static_cast<int>(std::bit_cast<std::uint64_t>(value) >> 52) - 1022 - precision;
  return {value * power_of_two(-exponent), exponent};
}

// Where a bound is rounded, and not a number, a tie goes outward.
enum class Tie : std::uint8_t { as_it_goes, down, up };

double rounded(double value, int precision, Rounding rounding, Tie tie) {
  const Scaled part = scaled(value, precision);
  const double floor = std::floor(part.significand), rest = part.significand - floor;
  double result = floor;
  if (rounding == Rounding::toward_zero) {
    result = floor;
  } else if (rest == 0.5) {
    const bool is_odd = std::fmod(floor, 2) != 0;
    const bool up =
        tie == Tie::up || (tie == Tie::as_it_goes && (rounding == Rounding::nearest_away || is_odd));
    result = up ? floor + 1 : floor;
  } else {
    result = rest > 0.5 ? floor + 1 : floor;
  }
  return result * power_of_two(part.exponent);
}

// The ends of the numbers that are rounded to the significand v.
double upper_end(double v, Rounding rounding) { return rounding == Rounding::toward_zero ? v + 1 : v + 0.5; }
double lower_end(double v, int precision, Rounding rounding) {
  if (rounding == Rounding::toward_zero) return v;
  return v == std::ldexp(1.0, precision - 1) ? v - 0.25 : v - 0.5;
}

// How many numbers of so many bits lie between two positive ones.
std::int64_t numbers_between(double low, double high, int precision) {
  const auto position = [&](double value) {
    const Scaled part = scaled(value, precision);
    const auto binade = std::int64_t{1} << (precision - 1);
    return part.exponent * binade + static_cast<std::int64_t>(part.significand);
  };
  return position(high) - position(low);
}

// One kernel has the lower root and the lower errors, the other the higher ones.
struct Sides {
  Chain low, high;
  int precision = 8;
  bool enumerates_weight = false;
  bool low_first = true;
};

// What both multiply by the weight, at the same t.
struct Edge {
  double t, low, high;
};

std::vector<Edge> edges(const Sides& sides) {
  if (!sides.low.rounds_first && !sides.high.rounds_first)
    return {{1, sides.low.before.low, sides.high.before.high}};
  const int p = sides.precision;
  std::vector<Edge> result;
  const double first = std::ldexp(1.0, p - 1);
  for (double v = first; v < 2 * first; ++v) {
    if (sides.low.rounds_first) {
      const double end = upper_end(v, sides.low.rounding);
      const double z = product_up(quotient_up(end, sides.low.before.low), sides.high.before.high);
      const double n = sides.high.rounds_first ? rounded(z, p, sides.high.rounding, Tie::up) : z;
      result.push_back({end, v, n});
    } else {
      const double end = lower_end(v, p, sides.high.rounding);
      const double z = product_down(quotient_down(end, sides.high.before.high), sides.low.before.low);
      result.push_back({end, z, v});
    }
  }
  return result;
}

// Keeps the worst places of both kinds.
class Worst {
 public:
  explicit Worst(Spread& spread) : spread_(spread) {}

  void see(const Place& place) {
    spread_.apart = std::max(spread_.apart, place.apart);
    spread_.ratio = std::max(spread_.ratio, place.ratio);
    keep(by_apart_, place, [](const Place& a, const Place& b) {
      return a.apart != b.apart ? a.apart > b.apart : a.ratio > b.ratio;
    });
    keep(by_ratio_, place, [](const Place& a, const Place& b) { return a.ratio > b.ratio; });
  }
  void finish() {
    spread_.places = by_apart_;
    spread_.places.insert(spread_.places.end(), by_ratio_.begin(), by_ratio_.end());
  }

 private:
  template <class Before>
  static void keep(std::vector<Place>& list, const Place& place, const Before& before) {
    if (list.size() == kPlaces && !before(place, list.back())) return;
    list.insert(std::ranges::upper_bound(list, place, before), place);
    if (list.size() > kPlaces) list.pop_back();
  }

  Spread& spread_;
  std::vector<Place> by_apart_, by_ratio_;
};

double output_of(double p, int precision, const Chain& chain, Tie tie) {
  return chain.rounds_output ? rounded(p, precision, chain.rounding, tie) : p;
}

void compare_outputs(const Sides& sides, double low, double high, Place place, Worst& worst) {
  place.low_first = sides.low_first;
  place.ratio = quotient_up(high, low);
  if (sides.low.rounds_output && sides.high.rounds_output)
    place.apart = numbers_between(low, high, sides.precision);
  worst.see(place);
}

// Weights that are numbers of T, one by one.
void enumerate_weights(const Sides& sides, const Edge& edge, Worst& worst) {
  const double first = std::ldexp(1.0, sides.precision - 1);
  const Chain& low = sides.low;
  const Chain& high = sides.high;
  for (double w = first; w < 2 * first; ++w) {
    const double low_p = product_down(product_down(edge.low, w), low.after.low);
    const double high_p = product_up(product_up(edge.high, w), high.after.high);
    const bool low_exact = low.rounds_first && low.after.is_one();
    const bool high_exact = high.rounds_first && high.after.is_one();
    compare_outputs(sides, output_of(low_p, sides.precision, low, low_exact ? Tie::as_it_goes : Tie::down),
                    output_of(high_p, sides.precision, high, high_exact ? Tie::as_it_goes : Tie::up),
                    {edge.t, w / first}, worst);
  }
}

// Weights that may be any number, or none: only the ratio of the two products counts.
void enumerate_outputs(const Sides& sides, const std::vector<Edge>& all, Worst& worst) {
  double ratio = 1;
  Edge steepest{1, 1, 1};
  for (const Edge& edge : all) {
    const double here = quotient_up(product_up(edge.high, sides.high.after.high),
                                    product_down(edge.low, sides.low.after.low));
    if (here > ratio) {
      ratio = here;
      steepest = edge;
    }
  }
  const bool rounds = sides.low.rounds_first || sides.high.rounds_first;
  const double first = std::ldexp(1.0, sides.precision - 1);
  if (!sides.low.rounds_output && !sides.high.rounds_output) {
    compare_outputs(sides, 1, ratio, {steepest.t, 1}, worst);
    return;
  }
  for (double v = first; v < 2 * first; ++v) {
    // Either may be the one that is rounded: it then lies at one end of an interval, the other beyond it.
    const double end = sides.low.rounds_output ? upper_end(v, sides.low.rounding)
                                               : lower_end(v, sides.precision, sides.high.rounding);
    const double low = sides.low.rounds_output ? v : quotient_down(end, ratio);
    const double high =
        sides.low.rounds_output ? output_of(product_up(end, ratio), sides.precision, sides.high, Tie::up) : v;
    // Where n is rounded the weight brings it to the end of an interval of y, otherwise t itself does.
    const Place place = rounds ? Place{steepest.t, end / steepest.low * (1 - 0x1p-22)} : Place{end, 1};
    compare_outputs(sides, low, high, place, worst);
  }
}

// In fp32 there are too many significands.
void compare_by_ratio(const Sides& sides, Worst& worst) {
  const double ratio = quotient_up(product_up(sides.high.before.high, sides.high.after.high),
                                   product_down(sides.low.before.low, sides.low.after.low));
  Place place{2, 1, sides.low_first, 0, ratio};
  place.apart = numbers_of_ratio(ratio, sides.precision);
  worst.see(place);
}

void compare(const Sides& sides, Spread& spread, Worst& worst) {
  const double ratio = quotient_up(product_up(sides.high.before.high, sides.high.after.high),
                                   product_down(sides.low.before.low, sides.low.after.low));
  // Two roundings of one kind move their numbers apart by at most one, of different kinds by less than two.
  const int roundings = sides.low.rounding == sides.high.rounding ? 1 : 2;
  const double numbers = std::ldexp(ratio - 1, sides.precision - 1) + roundings + 0x1p-10;
  spread.apart_subnormal =
      std::max(spread.apart_subnormal, static_cast<std::int64_t>(std::floor(numbers)) + roundings);
  if (sides.precision >= 24) {
    compare_by_ratio(sides, worst);
    return;
  }
  const std::vector<Edge> all = edges(sides);
  const bool both_rounded_or_not = sides.low.rounds_output == sides.high.rounds_output;
  if (sides.enumerates_weight && all.size() > 1 && both_rounded_or_not)
    for (const Edge& edge : all) enumerate_weights(sides, edge, worst);
  else
    enumerate_outputs(sides, all, worst);
}

}  // namespace

Spread exact_spread(const oracle::Formula& first, const oracle::Formula& second,
                    const std::optional<Factor>& root) {
  Spread spread;
  Worst worst(spread);
  Sides sides;
  sides.precision = oracle::format_of(first.formats.activation).precision;
  sides.enumerates_weight = weight_is_in_activation(first, second);
  const Chain a = chain_of(first, second, root ? *root : error_of_root(first, second)),
              b = chain_of(second, first, root ? *root : error_of_root(second, first));
  sides.low = a;
  sides.high = b;
  compare(sides, spread, worst);
  sides.low = b;
  sides.high = a;
  sides.low_first = false;
  compare(sides, spread, worst);
  worst.finish();
  return spread;
}

std::int64_t numbers_of_ratio(double ratio, int precision) {
  std::int64_t binades = 0;
  for (; ratio > 2; ratio /= 2) ++binades;
  const double rest = std::floor(product_up(quotient_up(ratio - 1, ratio), std::ldexp(1.0, precision)));
  return binades * (std::int64_t{1} << (precision - 1)) + static_cast<std::int64_t>(rest);
}

CodeSpread code_spread(const Format& format, double ratio, std::uint64_t last) {
  CodeSpread spread;
  const auto number = [&](std::uint64_t bits) {
    return format.is_integer ? static_cast<double>(bits) : to_double(decode(format, bits));
  };
  for (std::uint64_t code = 0; code < last; ++code) {
    const double low = number(code), next = number(code + 1);
    const double end = product_up((low + next) / 2, ratio);
    std::uint64_t high = code + 1;
    // As far as the bound reaches, a tie included.
    while (high < last && (number(high) + number(high + 1)) / 2 <= end) ++high;
    spread.apart = std::max(spread.apart, static_cast<std::int64_t>(high - code));
    if (!format.is_integer && low >= std::ldexp(1.0, format.min_exponent()))
      spread.ratio = std::max(spread.ratio, quotient_up(number(high), low));
  }
  return spread;
}

}  // namespace normproof::bound
