// Changes of numbers that numerics cares about, whatever they are the values of: a case's tensors or those of
// a call by name. Deterministic: everything comes from the Random.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "corpus/case.h"
#include "corpus/random.h"

namespace normproof::fuzz {

// Numbers of one of the activation dtypes, in rows.
struct Values {
  std::vector<std::byte>* bytes;
  DType dtype;
  std::int64_t columns;

  std::uint32_t get(std::int64_t index) const { return load_bits(*bytes, dtype, index); }
  void set(std::int64_t index, std::uint32_t bits) const { store_bits(*bytes, dtype, index, bits); }
  std::int64_t elements() const { return static_cast<std::int64_t>(bytes->size() / size_of(dtype)); }
};

// An element of one of those that have any; nothing (false) where none has.
struct PickedElement {
  const Values* values = nullptr;
  std::int64_t index = 0;
  explicit operator bool() const { return values != nullptr; }
};
PickedElement pick_element(std::span<const Values> all, Random& random);

void step_one_ulp(const PickedElement& element, Random& random);
void set_special(const PickedElement& element, Random& random);
void set_near_power_of_two(const PickedElement& element, Random& random);
// Multiplies the element's row by a power of two, as far as its exponents allow.
int draw_shift(Random& random);
void shift_exponents(const PickedElement& element, int shift);
// Gives some elements after this one its magnitude: sums cancel, and a maximum is no single element.
void repeat_magnitude(const PickedElement& element, Random& random);
// Sets the addend of the element at the same index so that their exact sum is no representable number: on a
// midpoint, or beside one.
void aim_sum_at_tie(const PickedElement& element, const Values& addend, Random& random);

// Bits of fp32: numbers where kernels go wrong, and any.
std::uint32_t draw_epsilon(Random& random);
std::uint32_t draw_scale(Random& random);
// Elements between rows that do not follow each other.
std::int64_t draw_gap(Random& random);
// A size around warps, vectors and blocks; at least 1.
std::int64_t draw_size(std::int64_t most, Random& random);

// With so many rows and columns: what is there stays in its place, what is new is drawn.
std::vector<std::byte> resized(const Values& values, std::int64_t rows, std::int64_t columns, Random& random);
std::vector<std::byte> draw_values_near_one(DType dtype, std::int64_t elements, Random& random);
// The values in the other dtype, rounded.
void convert(std::vector<std::byte>& bytes, DType from, DType to);

// Applies one to four changes of a table to a copy of `parent`, until that is_good(); else the parent as it
// is. `apply(change, child)` is false where the child has nothing of the kind to change.
template <class Input, class Changes, class Apply, class IsGood>
Input changed(const Input& parent, const Changes& changes, Random& random, Apply apply, IsGood is_good) {
  constexpr int kAttempts = 4;
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    Input child = parent;
    const std::uint64_t wanted = 1 + random.below(4);
    // Some changes do not fit some inputs. Several always do, so few draws are in vain, unless those are left
    // out.
    constexpr int kDraws = 100;
    std::uint64_t applied = 0;
    for (int draw = 0; draw < kDraws && applied < wanted; ++draw)
      applied += apply(random.pick(changes), child) ? 1 : 0;
    if (is_good(child)) return child;
  }
  return parent;
}

}  // namespace normproof::fuzz
