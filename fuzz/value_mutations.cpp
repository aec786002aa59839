#include "fuzz/value_mutations.h"

#include <algorithm>
#include <array>

#include "corpus/aimed_values.h"
#include "corpus/bit_classes.h"
#include "corpus/float_format.h"

namespace normproof::fuzz {

PickedElement pick_element(std::span<const Values> all, Random& random) {
  std::vector<const Values*> present;
  for (const Values& each : all)
    if (each.elements() > 0) present.push_back(&each);
  if (present.empty()) return {};
  const Values* values = present[random.below(present.size())];
  return {values, static_cast<std::int64_t>(random.below(static_cast<std::uint64_t>(values->elements())))};
}

void step_one_ulp(const PickedElement& element, Random& random) {
  const std::uint32_t bits = element.values->get(element.index);
  element.values->set(element.index, bits + (random.chance(1, 2) ? 1u : ~0u));
}

void set_special(const PickedElement& element, Random& random) {
  element.values->set(element.index, draw_special(random, format_of(element.values->dtype)));
}

void set_near_power_of_two(const PickedElement& element, Random& random) {
  const int exponent = static_cast<int>(random.below(7)) - 3;
  const std::uint32_t power = format_of(element.values->dtype).power_of_two(exponent, random.chance(1, 2));
  element.values->set(element.index, power + static_cast<std::uint32_t>(random.below(5)) - 2);
}

int draw_shift(Random& random) {
  const int shift = static_cast<int>(random.below(25)) - 12;
  return shift == 0 ? 1 : shift;
}

void shift_exponents(const PickedElement& element, int shift) {
  const Values& values = *element.values;
  const FloatFormat format = format_of(values.dtype);
  const std::int64_t first = element.index / values.columns * values.columns;
  for (std::int64_t index = first; index < first + values.columns; ++index) {
    const std::uint32_t bits = values.get(index);
    const auto exponent = static_cast<int>(format.magnitude(bits) >> format.mantissa_bits) + shift;
    if (format.magnitude(bits) >= format.infinity() || exponent <= 0 || exponent > 2 * format.bias())
      continue;
    values.set(index, (bits & (format.sign_bit() | format.mantissa_mask())) |
                          static_cast<std::uint32_t>(exponent) << format.mantissa_bits);
  }
}

void repeat_magnitude(const PickedElement& element, Random& random) {
  const Values& values = *element.values;
  const std::uint32_t bits = values.get(element.index);
  const std::uint32_t sign = format_of(values.dtype).sign_bit();
  const std::int64_t last = std::min(values.elements(), element.index + random.between(2, 40));
  for (std::int64_t index = element.index + 1; index < last; ++index)
    values.set(index, random.chance(1, 2) ? bits : bits ^ sign);
}

void aim_sum_at_tie(const PickedElement& element, const Values& addend, Random& random) {
  const FloatFormat format = format_of(element.values->dtype);
  if (const std::uint32_t bits = element.values->get(element.index);
      format.magnitude(bits) < format.infinity())
    addend.set(element.index, tie_addend(random, format, bits));
}

std::uint32_t draw_epsilon(Random& random) {
  static constexpr std::array<std::uint32_t, 10> kClasses = {
      0x358637bd, 0x3727c5ac, 0, 0x80000000, 1, 0x7f800000, 0x7fc00000, 0xb58637bd, 0x3f800000, 0x7f7fffff};
  return random.chance(3, 4) ? random.pick(kClasses) : draw_bits(random, kFp32);
}

std::uint32_t draw_scale(Random& random) {
  static constexpr std::array<std::uint32_t, 10> kClasses = {
      0x3f800000, 0x3cf5c28f, 0, 0x80000000, 1, 0x7f800000, 0x7fc00000, 0xbf800000, 0x3b124925, 0x00800000};
  return random.chance(1, 2) ? random.pick(kClasses) : draw_near(random, kFp32, -8, 8);
}

std::int64_t draw_gap(Random& random) {
  return static_cast<std::int64_t>(random.pick(std::array{0, 1, 3, 4, 8, 16, 64}));
}

std::int64_t draw_size(std::int64_t most, Random& random) {
  static constexpr std::array<std::int64_t, 8> kUnits = {1, 4, 8, 16, 32, 64, 128, 256};
  const std::int64_t unit = random.pick(kUnits);
  // One draw a statement: in one expression their order would be the compiler's choice.
  const auto units = static_cast<std::int64_t>(1 + random.below(4));
  const std::int64_t near = unit * units + static_cast<std::int64_t>(random.below(3)) - 1;
  return std::clamp<std::int64_t>(near, 1, most);
}

std::vector<std::byte> resized(const Values& values, std::int64_t rows, std::int64_t columns,
                               Random& random) {
  const std::int64_t old_rows = values.elements() / values.columns;
  std::vector<std::byte> bytes(static_cast<std::size_t>(rows * columns) * size_of(values.dtype));
  for (std::int64_t row = 0; row < rows; ++row) {
    for (std::int64_t column = 0; column < columns; ++column) {
      const bool kept = row < old_rows && column < values.columns;
      store_bits(bytes, values.dtype, row * columns + column,
                 kept ? values.get(row * values.columns + column)
                      : draw_near(random, format_of(values.dtype), -3, 3));
    }
  }
  return bytes;
}

std::vector<std::byte> draw_values_near_one(DType dtype, std::int64_t elements, Random& random) {
  std::vector<std::byte> none;
  return resized({&none, dtype, 1}, elements, 1, random);
}

void convert(std::vector<std::byte>& bytes, DType from, DType to) {
  if (from == to) return;
  const auto elements = static_cast<std::int64_t>(bytes.size() / size_of(from));
  std::vector<std::byte> converted(static_cast<std::size_t>(elements) * size_of(to));
  for (std::int64_t index = 0; index < elements; ++index) {
    const double value = value_of(format_of(from), load_bits(bytes, from, index));
    store_bits(converted, to, index, rounded(format_of(to), value));
  }
  bytes = std::move(converted);
}

}  // namespace normproof::fuzz
