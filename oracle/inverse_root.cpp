// Correctly rounded inverse roots by integer square roots.
#include "oracle/inverse_root.h"

namespace normproof::oracle {

std::uint32_t inverse_root_bits(const Value& m) { return inverse_root_bits(m, Value::integer(1)); }

std::uint32_t inverse_root_bits(const Value& numerator, const Value& denominator) {
  return static_cast<std::uint32_t>(round_bits(format_of(DType::fp32), inverse_root(numerator, denominator)));
}

std::partial_ordering compare_with_inverse_root(const Value& r, const Value& numerator,
                                                const Value& denominator) {
  if (r.is_nan()) return std::partial_ordering::unordered;
  if (numerator.is_zero()) {  // the root is +infinity
    return r.is_infinite() ? std::partial_ordering::equivalent : std::partial_ordering::less;
  }
  if (r.is_infinite()) return std::partial_ordering::greater;
  return r * r * numerator <=> denominator;
}

}  // namespace normproof::oracle
