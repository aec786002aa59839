// The proof that a row conforms to no r: at most two elements, or one element and the admissible interval.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "oracle/admissible.h"
#include "oracle/canonical.h"

namespace normproof::oracle {

enum class ViolationKind : std::uint8_t {
  rounding,  // no single r explains two elements (or one)
  scale      // an r explains all elements, but no honest evaluation arrives at it
};
std::string_view name_of(ViolationKind kind);

struct CertificateElement {
  // Role::out, or Role::scales: then it is the row's own scale, and the column is one that has the largest
  // |y| at the low end. The column explains; the proof takes the maximum of the whole row.
  Role tensor = Role::out;
  std::int64_t column = 0;
  std::uint32_t operand = 0;   // fp32 bits of x, or of the sum with the residual, as the output reads it
  std::uint32_t weight = 0;    // bits of the weight's dtype; 0 without one
  std::uint32_t residual = 0;  // bits of its dtype, where a step behind the norm reads it
  std::uint32_t got = 0;       // bits of the output dtype
  std::uint32_t factor = 0;    // the one of Certificate::factors that it refutes
  // The r that give these bits. Empty where none does: those up to `high` fall short of them, those from
  // `low` on exceed them, in the order in which the outputs run; {1, ...} below 0 where the outputs do not
  // run past them at all.
  RootInterval needs;
};

struct Certificate {
  ViolationKind kind = ViolationKind::rounding;
  std::int64_t row = 0;
  // rounding: two elements whose intervals are disjoint, the lower one first, or one whose interval is empty.
  // scale: one element whose interval misses `admissible`; where r may be NaN and that element allows it, a
  // second one that does not.
  // Where rows have scales of their own the scale may be one of them. Two intervals of r can give it (a NaN
  // scale, a floor that jumps): then both are listed, and elements that together miss both.
  // Where a scale leaves more than one factor for the codes (code_factor.h), there is such a group of
  // elements for each factor.
  std::vector<CertificateElement> elements;
  std::vector<std::uint32_t> factors;  // fp32 bits; empty where the scale says the factor
  Admissible admissible;
  std::uint32_t correctly_rounded_root = 0;  // fp32 bits
  std::uint32_t row_scale = 0;  // fp32 bits of the scale that came out, where rows have scales of their own
};

// Checks a certificate by exact arithmetic alone: each element's bits come from its whole interval and not
// from the next r on either side, the admissible interval follows from the exact sum of squares, and the
// intervals are disjoint. Throws std::logic_error, naming what does not hold.
void require_valid(const Certificate& certificate, const Formula& formula, const CaseTensors& tensors);

std::string to_text(const Certificate& certificate, const Formula& formula);

// What the correctly rounded r gives for an element of `out` in the certificate: bits of the output dtype.
std::uint32_t bits_at_root(const Certificate& certificate, const CertificateElement& element,
                           const Formula& formula);

}  // namespace normproof::oracle
