#include "kernels/host/ptx_arithmetic.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdlib>
#include <limits>
#include <stdexcept>

#include "kernels/host/approximate_math.h"
#include "kernels/host/integer_functions.h"
#include "kernels/host/rounding.h"
#include "kernels/host/small_floats.h"

namespace normproof::host {
namespace {

using TypeKind = PtxType::Kind;

std::uint64_t mask_of(unsigned bits) {
  return bits >= 64 ? ~std::uint64_t{0} : (std::uint64_t{1} << bits) - 1;
}
std::int64_t as_signed(std::uint64_t bits, unsigned width) {
  const unsigned unused = 64 - width;
  return static_cast<std::int64_t>(bits << unused) >> unused;
}

Rounding rounding_of(const PtxInstruction& instruction) {
  for (const std::string& word : instruction.words) {
    if (word == "rz" || word == "rzi") return Rounding::kZero;
    if (word == "rm" || word == "rmi") return Rounding::kDown;
    if (word == "rp" || word == "rpi") return Rounding::kUp;
  }
  return Rounding::kNearest;
}
bool rounds_to_integer(const PtxInstruction& instruction) {
  return instruction.has("rni") || instruction.has("rzi") || instruction.has("rmi") || instruction.has("rpi");
}

const SmallFloat& small_format(TypeKind kind) {
  return kind == TypeKind::kHalf     ? kFp16
         : kind == TypeKind::kBfloat ? kBf16
         : kind == TypeKind::kE4m3   ? kE4m3
                                     : kE5m2;
}

double argument(std::uint64_t bits, const PtxType& type, const PtxInstruction& instruction) {
  const double value = ptx_value(bits, type);
  if (type.kind == TypeKind::kFloat && type.bits == 32 && instruction.has("ftz"))
    return flushed(static_cast<float>(value));
  return value;
}

// The lesser or greater: the number where the other is NaN, unless NaN is to stay; -0 lies below +0.
double extreme(double a, double b, bool greater, bool keep_nan) {
  if (std::isnan(a) || std::isnan(b))
    return keep_nan || std::isnan(a) == std::isnan(b) ? std::nan("") : std::isnan(a) ? b : a;
  const bool a_below = a < b || (a == b && std::signbit(a) && !std::signbit(b));
  return a_below == greater ? b : a;
}

// What the manual gives a bound for, drawn within it.
double approximation(const std::string& name, const PtxInstruction& instruction, float a, float b) {
  using enum Approximation;
  const std::uint64_t bits = std::bit_cast<std::uint32_t>(a);
  const double x = a;
  if (name == "rsqrt") return rsqrtf(a);
  if (name == "rcp") return internal::approximate(kReciprocal, bits, 1.0 / x, 1);
  if (name == "sqrt") return internal::approximate(kRoot, bits, std::sqrt(x), 1);
  if (name == "ex2") return internal::approximate(kExp2, bits, std::exp2(x), 2);
  if (name == "lg2") return __log2f(a);
  if (name == "sin") return __sinf(a);
  if (name == "cos") return __cosf(a);
  if (name == "tanh") return internal::approximate(kTanh, bits, std::tanh(x), 4096);
  if (name == "div") return __fdividef(a, b);
  throw std::runtime_error("not known: " + instruction.text);
}

std::uint64_t compute_float(const PtxInstruction& instruction, const PtxType& type,
                            const std::vector<std::uint64_t>& bits) {
  const std::string& name = instruction.words[0];
  std::vector<double> a;
  for (const std::uint64_t one : bits) a.push_back(argument(one, type, instruction));
  a.resize(3);
  const auto result = [&](double value) { return ptx_bits(value, type, instruction); };
  const Rounding rounding = rounding_of(instruction);
  const bool approximate = instruction.has("approx") || instruction.has("full");
  if (name == "min" || name == "max") {
    double value = extreme(a[0], a[1], name == "max", instruction.has("NaN"));
    if (bits.size() > 2) value = extreme(value, a[2], name == "max", instruction.has("NaN"));
    return result(value);
  }
  if (name == "neg") return bits[0] ^ std::uint64_t{1} << (type.bits - 1);
  if (name == "abs") return bits[0] & ~(std::uint64_t{1} << (type.bits - 1));
  if (approximate && type.bits == 32) {
    return result(approximation(name, instruction, static_cast<float>(a[0]), static_cast<float>(a[1])));
  }
  if (type.bits == 64) {
    if (name == "add") return result(add(a[0], a[1], rounding));
    if (name == "sub") return result(add(a[0], -a[1], rounding));
    if (name == "mul") return result(multiply(a[0], a[1], rounding));
    if (name == "fma" || name == "mad") return result(fused_multiply_add(a[0], a[1], a[2], rounding));
    if (name == "div") return result(divide(a[0], a[1], rounding));
    if (name == "rcp") return result(divide(1.0, a[0], rounding));
    if (name == "sqrt") return result(square_root(a[0], rounding));
  } else {
    if (name == "add") return result(sum_to_odd(a[0], a[1]));
    if (name == "sub") return result(sum_to_odd(a[0], -a[1]));
    if (name == "mul") return result(a[0] * a[1]);
    if (name == "fma" || name == "mad") return result(fma_to_odd(a[0], a[1], a[2]));
    if (name == "div") return result(a[0] / a[1]);
    if (name == "rcp") return result(1.0 / a[0]);
    if (name == "sqrt" && rounding == Rounding::kNearest) return result(std::sqrt(a[0]));
    if (name == "sqrt") return result(square_root(static_cast<float>(a[0]), rounding));
    if (name == "ex2") return result(std::exp2(a[0]));
    if (name == "tanh") return result(std::tanh(a[0]));
  }
  throw std::runtime_error("not known: " + instruction.text);
}

std::uint64_t compute_product(const PtxInstruction& instruction, const PtxType& type,
                              const std::vector<std::uint64_t>& a) {
  __extension__ typedef __int128 Wide;
  const auto wide = [&](std::uint64_t bits) {
    return type.is_signed() ? static_cast<Wide>(as_signed(bits, type.bits))
                            : static_cast<Wide>(bits & mask_of(type.bits));
  };
  Wide product = wide(a[0]) * wide(a[1]);
  if (instruction.has("hi")) product >>= type.bits;
  const unsigned bits = instruction.has("wide") ? 2 * type.bits : type.bits;
  if (instruction.words[0] == "mad") {
    const PtxType sum{type.kind, bits, 1};
    product +=
        sum.is_signed() ? static_cast<Wide>(as_signed(a[2], bits)) : static_cast<Wide>(a[2] & mask_of(bits));
  }
  return static_cast<std::uint64_t>(product) & mask_of(bits);
}

std::uint64_t compute_integer(const PtxInstruction& instruction, const PtxType& type,
                              const std::vector<std::uint64_t>& a) {
  const std::string& name = instruction.words[0];
  const unsigned width = type.bits;
  const auto value = [&](std::size_t i) { return a[i] & mask_of(width); };
  const auto number = [&](std::size_t i) { return as_signed(a[i], width); };
  const auto word = [&](std::size_t i) { return static_cast<unsigned>(a[i]); };
  const auto of = [&](std::uint64_t result) { return result & mask_of(width); };
  if (name == "add" && instruction.has("sat"))
    return of(static_cast<std::uint64_t>(std::clamp<std::int64_t>(
        number(0) + number(1), std::numeric_limits<int>::min(), std::numeric_limits<int>::max())));
  if (name == "add") return of(a[0] + a[1]);
  if (name == "sub") return of(a[0] - a[1]);
  if (name == "mul" || name == "mad") return compute_product(instruction, type, a);
  if (name == "neg") return of(-a[0]);
  if (name == "abs") return of(number(0) < 0 ? -a[0] : a[0]);
  if (name == "min" || name == "max") {
    const bool below = type.is_signed() ? number(0) < number(1) : value(0) < value(1);
    return of(below == (name == "min") ? a[0] : a[1]);
  }
  if (name == "div" || name == "rem") {
    if (value(1) == 0) throw std::runtime_error("division by zero: " + instruction.text);
    if (type.is_signed())
      return of(static_cast<std::uint64_t>(number(1) == -1 ? (name == "div" ? -a[0] : 0)
                                           : name == "div" ? number(0) / number(1)
                                                           : number(0) % number(1)));
    return name == "div" ? value(0) / value(1) : value(0) % value(1);
  }
  if (name == "and") return of(a[0] & a[1]);
  if (name == "or") return of(a[0] | a[1]);
  if (name == "xor") return of(a[0] ^ a[1]);
  if (name == "not") return of(~a[0]);
  if (name == "shl") return word(1) >= width ? 0 : of(a[0] << word(1));
  if (name == "shr" && type.is_signed())
    return of(static_cast<std::uint64_t>(number(0) >> std::min(word(1), width - 1)));
  if (name == "shr") return word(1) >= width ? 0 : value(0) >> word(1);
  if (name == "prmt" && instruction.words.size() == 2) return __byte_perm(word(0), word(1), word(2));
  if (name == "popc") return static_cast<std::uint64_t>(std::popcount(value(0)));
  if (name == "clz") return static_cast<std::uint64_t>(std::countl_zero(value(0))) - (64 - width);
  if (name == "brev" && width == 32) return __brev(word(0));
  if (name == "dp4a") {
    return instruction.has("s32")
               ? static_cast<unsigned>(
                     __dp4a(static_cast<int>(word(0)), static_cast<int>(word(1)), static_cast<int>(word(2))))
               : __dp4a(word(0), word(1), word(2));
  }
  if (name == "lop3") {
    std::uint64_t result = 0;
    for (unsigned bit = 0; bit < 32; ++bit) {
      const unsigned row = (word(0) >> bit & 1) << 2 | (word(1) >> bit & 1) << 1 | (word(2) >> bit & 1);
      result |= std::uint64_t{word(3) >> row & 1} << bit;
    }
    return result;
  }
  if (name == "shf") {
    const bool clamp = instruction.has("clamp");
    if (instruction.has("l"))
      return clamp ? __funnelshift_lc(word(0), word(1), word(2)) : __funnelshift_l(word(0), word(1), word(2));
    return clamp ? __funnelshift_rc(word(0), word(1), word(2)) : __funnelshift_r(word(0), word(1), word(2));
  }
  if (name == "bfe") {
    const unsigned position = word(1) & 0xff, length = std::min(word(2) & 0xff, width);
    const std::uint64_t field = position >= width ? 0 : value(0) >> position & mask_of(length);
    if (!type.is_signed() || length == 0) return length == 0 ? 0 : field;
    return of(static_cast<std::uint64_t>(as_signed(field, length)));
  }
  throw std::runtime_error("not known: " + instruction.text);
}

}  // namespace

PtxType ptx_type(std::string_view word) {
  PtxType type;
  if (word == "pred") return {TypeKind::kPredicate, 8, 1};
  if (word.ends_with("x2")) {
    type.count = 2;
    word.remove_suffix(2);
  }
  if (word == "e4m3" || word == "e5m2")
    return {word == "e4m3" ? TypeKind::kE4m3 : TypeKind::kE5m2, 8, type.count};
  if (word.starts_with("bf")) {
    type.kind = TypeKind::kBfloat;
    word.remove_prefix(1);
  } else if (word == "f16") {
    type.kind = TypeKind::kHalf;
  } else if (!word.empty()) {
    type.kind = word[0] == 'f'   ? TypeKind::kFloat
                : word[0] == 's' ? TypeKind::kSigned
                : word[0] == 'u' ? TypeKind::kUnsigned
                                 : TypeKind::kBits;
  }
  const std::string digits(word.substr(std::min<std::size_t>(1, word.size())));
  type.bits = static_cast<unsigned>(std::strtoul(digits.c_str(), nullptr, 10));
  const bool known = (type.bits == 8 || type.bits == 16 || type.bits == 32 || type.bits == 64) &&
                     !word.empty() && std::string_view("fsub").find(word[0]) != std::string_view::npos;
  if (!known) throw std::runtime_error("'" + std::string(word) + "' is no type that is known");
  return type;
}

double ptx_value(std::uint64_t bits, const PtxType& type) {
  if (type.kind == TypeKind::kFloat)
    return type.bits == 64 ? std::bit_cast<double>(bits)
                           : std::bit_cast<float>(static_cast<std::uint32_t>(bits));
  return value_of_bits(static_cast<std::uint32_t>(bits & mask_of(type.bits)), small_format(type.kind),
                       static_cast<int>(type.bits) - 1);
}

std::uint64_t ptx_bits(double value, const PtxType& type, const PtxInstruction& instruction) {
  if (instruction.has("sat")) value = value > 0 ? std::min(value, 1.0) : 0.0;
  if (instruction.has("relu") && !std::isnan(value)) value = value > 0 ? value : 0.0;
  const Rounding rounding = rounding_of(instruction);
  if (type.kind == TypeKind::kFloat && type.bits == 64) return std::bit_cast<std::uint64_t>(value);
  if (type.kind == TypeKind::kFloat) {
    if (std::isnan(value)) return 0x7fffffff;
    const float result = rounded<float>(value, rounding);
    return std::bit_cast<std::uint32_t>(instruction.has("ftz") ? flushed(result) : result);
  }
  const SmallFloat& format = small_format(type.kind);
  if (instruction.has("satfinite")) {
    const double largest = value_of_bits(format.infinity - 1, format, static_cast<int>(type.bits) - 1);
    if (std::fabs(value) > largest) value = std::copysign(largest, value);
  }
  return round_to_bits(value, format, static_cast<int>(type.bits) - 1, rounding);
}

std::uint64_t ptx_compute(const PtxInstruction& instruction, const std::vector<std::uint64_t>& arguments) {
  const PtxType type = ptx_type(instruction.type());
  if (!type.is_float()) return compute_integer(instruction, type, arguments);
  std::uint64_t result = 0;
  for (unsigned i = 0; i < type.count; ++i) {
    std::vector<std::uint64_t> elements;
    for (const std::uint64_t bits : arguments)
      elements.push_back(bits >> (i * type.bits) & mask_of(type.bits));
    const PtxType element{type.kind, type.bits, 1};
    result |= compute_float(instruction, element, elements) << (i * type.bits);
  }
  return result;
}

std::uint64_t ptx_convert(const PtxInstruction& instruction, const std::vector<std::uint64_t>& arguments) {
  const std::size_t last = instruction.words.size() - 1;
  if (last < 2) throw std::runtime_error("not known: " + instruction.text);
  const PtxType to = ptx_type(instruction.words[last - 1]), from = ptx_type(instruction.words[last]);
  const auto element = [&](std::size_t i) {
    // Two sources: the first is the high half. One source of two elements: element by element.
    if (arguments.size() == 2) return arguments[1 - i] & mask_of(from.bits);
    return arguments[0] >> (i * from.bits) & mask_of(from.bits);
  };
  std::uint64_t result = 0;
  for (unsigned i = 0; i < to.count; ++i) {
    std::uint64_t one = 0;
    if (to.is_float()) {
      double value = from.is_float()    ? argument(element(i), from, instruction)
                     : from.is_signed() ? integer_to_odd(as_signed(element(i), from.bits))
                                        : integer_to_odd(element(i));
      if (rounds_to_integer(instruction)) value = to_integral(value, rounding_of(instruction));
      if (to.kind == TypeKind::kFloat && to.bits == 64 && !from.is_float()) {
        value = from.is_signed() ? to_double(as_signed(element(i), from.bits), rounding_of(instruction))
                                 : to_double(element(i), rounding_of(instruction));
      }
      one = ptx_bits(value, to, instruction);
    } else if (from.is_float()) {
      const double value = argument(element(i), from, instruction);
      const Rounding rounding = rounding_of(instruction);
      const bool wide = from.bits == 64 || to.bits == 64;
      if (std::isnan(value)) {
        one = wide ? std::uint64_t{1} << (to.bits - 1) : 0;
      } else if (to.is_signed()) {
        const std::int64_t most = static_cast<std::int64_t>(mask_of(to.bits - 1));
        const auto number = to_integer<std::int64_t>(value, rounding);
        one = static_cast<std::uint64_t>(std::clamp(number, -most - 1, most));
      } else {
        one = std::min(to_integer<std::uint64_t>(value, rounding), mask_of(to.bits));
      }
    } else {
      const std::int64_t number =
          from.is_signed() ? as_signed(element(i), from.bits) : static_cast<std::int64_t>(element(i));
      one = static_cast<std::uint64_t>(number);
      if (instruction.has("sat")) {
        const std::int64_t most =
            static_cast<std::int64_t>(mask_of(to.is_signed() ? to.bits - 1 : std::min(to.bits, 63u)));
        one = static_cast<std::uint64_t>(std::clamp(number, to.is_signed() ? -most - 1 : 0, most));
      }
    }
    result |= (one & mask_of(to.bits)) << (i * to.bits);
  }
  return result;
}

bool ptx_compare(const PtxInstruction& instruction, std::uint64_t a, std::uint64_t b) {
  const PtxType type = ptx_type(instruction.type());
  const std::string& relation = instruction.words.at(1);
  int order = 0;  // -1, 0, 1
  if (type.is_float()) {
    const double x = argument(a, type, instruction), y = argument(b, type, instruction);
    const bool unordered = std::isnan(x) || std::isnan(y);
    if (relation == "num") return !unordered;
    if (relation == "nan") return unordered;
    if (unordered) return relation.ends_with('u') && relation.size() == 3;
    order = x < y ? -1 : x > y ? 1 : 0;
  } else if (type.is_signed()) {
    const std::int64_t x = as_signed(a, type.bits), y = as_signed(b, type.bits);
    order = x < y ? -1 : x > y ? 1 : 0;
  } else {
    const std::uint64_t x = a & mask_of(type.bits), y = b & mask_of(type.bits);
    order = x < y ? -1 : x > y ? 1 : 0;
  }
  const std::string_view two = std::string_view(relation).substr(0, 2);
  if (two == "eq") return order == 0;
  if (two == "ne") return order != 0;
  if (two == "lt" || two == "lo") return order < 0;
  if (two == "le" || two == "ls") return order <= 0;
  if (two == "gt" || two == "hi") return order > 0;
  if (two == "ge" || two == "hs") return order >= 0;
  throw std::runtime_error("not known: " + instruction.text);
}

}  // namespace normproof::host
