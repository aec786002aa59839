// What PTX instructions compute from bits, by type: knows neither registers nor memory.
#ifndef NORMPROOF_KERNELS_HOST_PTX_ARITHMETIC_H
#define NORMPROOF_KERNELS_HOST_PTX_ARITHMETIC_H

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/host/ptx_program.h"

namespace normproof::host {

// A type suffix: u32, f16x2, b64, pred, ...
struct PtxType {
  enum class Kind { kBits, kSigned, kUnsigned, kFloat, kHalf, kBfloat, kE4m3, kE5m2, kPredicate };
  Kind kind = Kind::kBits;
  unsigned bits = 32;  // of one element
  unsigned count = 1;  // two where it ends in x2
  unsigned bytes() const { return bits * count / 8; }
  bool is_float() const { return kind >= Kind::kFloat && kind <= Kind::kE5m2; }
  bool is_signed() const { return kind == Kind::kSigned; }
};
// Throws std::runtime_error where the word is no type.
PtxType ptx_type(std::string_view word);

// The number of one element, exactly; and back, rounded as the instruction says, with its ftz, sat and relu.
double ptx_value(std::uint64_t bits, const PtxType& type);
std::uint64_t ptx_bits(double value, const PtxType& type, const PtxInstruction& instruction);

// The result of an instruction that computes a value from values (add, fma, ex2, prmt, ...). Throws
// std::runtime_error for one that is not known.
std::uint64_t ptx_compute(const PtxInstruction& instruction, const std::vector<std::uint64_t>& arguments);
// cvt and its forms with two sources.
std::uint64_t ptx_convert(const PtxInstruction& instruction, const std::vector<std::uint64_t>& arguments);
// Whether setp's comparison holds.
bool ptx_compare(const PtxInstruction& instruction, std::uint64_t a, std::uint64_t b);

}  // namespace normproof::host

#endif
