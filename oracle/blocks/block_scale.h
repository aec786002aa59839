// The scale of a block, from its largest |y| and backwards: from the stored scale to the maxima and the
// factors that go with it. Every rule rises with the maximum a:
//
//   fp32             s = fl(a / max_Q) with floors and an upper bound: quantization_scale.h
//   ceil             the least power of two >= that quotient
//   ceil_log2        the same by an approximate logarithm: near a power of two one step more or less
//   floor            2^(floor(log2 a) - e), 2^e the largest power of two of the element's format (OCP MX)
//   ceil_exponent    2^(ceil(log2 a) - e)
//   even             2^(floor(log2 a') - e), a' being a rounded half up to the significant bits of the format
//   e4m3             s = e4m3(min(g * a / 6, 448)), g the global scale (NVFP4)
//
// Where an approximate reciprocal or logarithm takes part there are two functions, a least and a greatest
// scale of a maximum, and a stored scale goes with every maximum between them.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "oracle/code_factor.h"
#include "oracle/quantization_scale.h"

namespace normproof::oracle {

enum class BlockScaleKind : std::uint8_t { fp32, ceil, ceil_log2, floor, ceil_exponent, even, e4m3 };
enum class BlockScaleStorage : std::uint8_t {
  fp32,  // powers of two, too
  e8m0,  // a byte b, 2^(b - 127); 255 is NaN. A number below 2^-127 becomes that, infinity becomes 2^127
  e4m3
};
// NVFP4: how the global scale g and the division by 6 come together, and the factor of the codes.
enum class GlobalScaleForm : std::uint8_t {
  global_first,            // fl(fl(g * a) * fl(1/6))
  maximum_first,           // fl(g * fl(a * fl(1/6)))
  global_first_quotient,   // fl(fl(g * a) / 6)
  maximum_first_quotient,  // fl(g * fl(a / 6))
};
enum class GlobalFactorForm : std::uint8_t {
  inverse_times_global,  // fl(y * fl(fl(1/s) * g))
  inverse_of_product,    // fl(y * fl(1 / fl(s * fl(1/g))))
  quotient               // fl(y / fl(s / g))
};

struct BlockScaleSettings {
  BlockScaleKind kind = BlockScaleKind::fp32;
  BlockScaleStorage storage = BlockScaleStorage::fp32;
  // Of the quotient; its policy says what codes are multiplied or divided by where scales are fp32.
  Formula formula;
  ScaleRecipe recipe;
  const Format* element = nullptr;  // of the codes
  std::uint32_t global = 0x3f800000u;
  GlobalScaleForm global_form = GlobalScaleForm::global_first;
  GlobalFactorForm factor_form = GlobalFactorForm::inverse_times_global;
  bool approximate = false;  // reciprocals are one of the two fp32 numbers next to the exact ones (NVFP4)
};

// One thing that codes are made with, and the maxima that give both it and the scale.
struct BlockFactor {
  float factor = 1;
  bool divides = false;
  std::vector<MaximumInterval> maxima;
  bool with_nan = false;
};

class BlockScaleRule {
 public:
  explicit BlockScaleRule(const BlockScaleSettings& settings);

  // The stored scale of a maximum, as bits of the storage; of two the usual one. Within a
  // StandardFloatEnvironment, as the next one.
  std::uint32_t of(float maximum) const;
  // All that go with a stored scale, the usual one first; empty or without maxima where no maximum gives it.
  std::vector<BlockFactor> factors(std::uint32_t stored) const;
  // Throws std::logic_error unless exact arithmetic gives the same factors and the same ends of their maxima.
  void require_exact(std::uint32_t stored, const std::vector<BlockFactor>& factors) const;

  // "0.0117 (0x3c3f...)", "2^-7 (0x78)".
  std::string text_of(std::uint32_t stored) const;
  // Whether they are equal; any NaN equals any NaN.
  bool same_scale(std::uint32_t a, std::uint32_t b) const;

 private:
  struct Pair {
    std::uint32_t least, most;
  };
  Pair bounds(float maximum) const;
  Pair exact_bounds(const Value& maximum) const;
  std::uint32_t power_of(std::uint32_t fp32_bits) const;
  std::uint32_t stored_power(std::int64_t exponent) const;
  Pair e4m3_of(float maximum) const;
  std::vector<MaximumInterval> maxima_of(std::uint32_t stored) const;
  [[noreturn]] void fail(std::string_view what, std::uint32_t stored) const;
  void require_exact_maxima(std::uint32_t stored, const std::vector<BlockFactor>& factors) const;
  void require_exact_factors(std::uint32_t stored, const std::vector<BlockFactor>& factors) const;
  std::vector<BlockFactor> candidates(std::uint32_t stored) const;
  float number(std::uint32_t stored) const;

  BlockScaleSettings settings_;
  ScaleRule rule_;
  int greatest_exponent_;  // of the element's format
};

}  // namespace normproof::oracle
