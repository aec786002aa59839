// Shrink stages that make listed elements simple: 1, then 0, then fewer
// mantissa bits, then a smaller exponent.
#include <algorithm>
#include <array>
#include <bit>
#include <cstdlib>

#include "corpus/shrink_stages.h"

namespace normproof {
namespace {

std::vector<ListedElements> tensors_of(const Case& origin) {
  std::vector<ListedElements> tensors;
  for (const Role role : kRoles)
    if (!origin[role].data.bytes.empty()) tensors.emplace_back(origin, role);
  return tensors;
}

// Blocks of all, a half, a quarter, ... one of `size` elements.
std::int64_t block_count(std::int64_t size) {
  std::int64_t count = 0;
  for (std::int64_t length = size; length > 0; length /= 2) count += (size + length - 1) / length;
  return count;
}

// The elements of block `index` set to `bits` wherever that is simpler.
std::optional<Case> with_block(const Case& origin, const ListedElements& tensor, std::int64_t index,
                               std::uint32_t bits) {
  std::int64_t length = tensor.count;
  while (index >= (tensor.count + length - 1) / length) {
    index -= (tensor.count + length - 1) / length;
    length /= 2;
  }
  const std::int64_t end = std::min(tensor.count, (index + 1) * length);
  std::optional<Case> candidate;
  for (std::int64_t i = index * length; i < end; ++i) {
    if (tensor.cost(bits) >= tensor.cost(tensor.get(origin, i))) continue;
    if (!candidate) candidate = origin;
    tensor.set(*candidate, i, bits);
  }
  return candidate;
}

// Simpler bits for one element, the boldest first.
constexpr std::int64_t kWays = 7;
std::uint32_t simpler(const FloatFormat& format, std::uint32_t bits, std::int64_t way) {
  const std::uint32_t sign = bits & format.sign_bit();
  const std::uint32_t magnitude = format.magnitude(bits);
  if (magnitude >= format.infinity()) {
    if (way == 0) return magnitude;
    if (way == 1) return magnitude == format.infinity() ? sign | (magnitude - 1) : format.quiet_nan();
    return bits;
  }
  const std::uint32_t mantissa = magnitude & format.mantissa_mask();
  const std::uint32_t field = magnitude - mantissa;
  const auto exponent = static_cast<int>(field >> format.mantissa_bits) - format.bias();
  switch (way) {
    case 0:  // the nearest power of two below
      return sign | field;
    case 1:  // exponent 0
      return sign | format.one() | mantissa;
    case 2:
      return magnitude;
    case 3: {  // the upper half of the mantissa's length
      const int zeros = mantissa == 0 ? format.mantissa_bits : std::countr_zero(mantissa);
      const int kept = (format.mantissa_bits - zeros) / 2;
      return sign | field | (mantissa >> (format.mantissa_bits - kept) << (format.mantissa_bits - kept));
    }
    case 4:  // without the last set bit
      return sign | field | (mantissa & (mantissa - 1));
    case 5:
      return sign | format.power_of_two(exponent / 2) | mantissa;
    default:
      return sign | format.power_of_two(exponent - (exponent > 0 ? 1 : -1)) | mantissa;
  }
}

}  // namespace

ListedElements::ListedElements(const Case& test_case, Role of)
    : role(of),
      dtype(test_case.dtype_of(of)),
      format(format_of(dtype)),
      count(static_cast<std::int64_t>(test_case[of].data.bytes.size() / size_of(dtype))),
      simplest(of == Role::residual ? 0 : format.one()) {}

std::uint64_t ListedElements::cost(std::uint32_t bits) const {
  const std::uint32_t magnitude = format.magnitude(bits);
  const std::uint64_t sign = (bits & format.sign_bit()) != 0 ? 1 : 0;
  if (bits == simplest) return 0;
  if (bits == 0 || bits == format.one()) return 1;
  if (magnitude == format.infinity()) return (1 << 15) + sign;
  if (magnitude > format.infinity()) return (1 << 16) + 2 * sign + (magnitude == format.quiet_nan() ? 0 : 1);
  const std::uint32_t mantissa = magnitude & format.mantissa_mask();
  const int length = mantissa == 0 ? 0 : format.mantissa_bits - std::countr_zero(mantissa);
  const int exponent = static_cast<int>(magnitude >> format.mantissa_bits) - format.bias();
  // Zero of the wrong sign is next to zero; all others are ordered by length, exponent and sign.
  if (magnitude == 0) return 2;
  return 3 + static_cast<std::uint64_t>(length) * 1024 + static_cast<std::uint64_t>(std::abs(exponent)) * 2 +
         sign;
}

void append_value_stages(const Case& origin, std::vector<ShrinkStage>& stages) {
  for (const bool other : {false, true}) {  // the simplest value, then the other one of 0 and 1
    for (const ListedElements& tensor : tensors_of(origin)) {
      const std::uint32_t bits = other ? tensor.simplest ^ tensor.format.one() : tensor.simplest;
      stages.push_back({block_count(tensor.count), [&origin, tensor, bits](std::int64_t index) {
                          return with_block(origin, tensor, index, bits);
                        }});
    }
  }
  for (const ListedElements& tensor : tensors_of(origin)) {
    stages.push_back({tensor.count * kWays, [&origin, tensor](std::int64_t index) -> std::optional<Case> {
                        const std::uint32_t old = tensor.get(origin, index / kWays);
                        const std::uint32_t bits = simpler(tensor.format, old, index % kWays);
                        if (tensor.cost(bits) >= tensor.cost(old)) return std::nullopt;
                        Case candidate = origin;
                        tensor.set(candidate, index / kWays, bits);
                        return candidate;
                      }});
  }
}

}  // namespace normproof
