// The reader: makes one rounding of the sum visible in one output element.
//
// A row holds a big element B and two units u, zeros elsewhere. One u is less than half an ulp of B, two are
// more: the sum is B + ulp where the units meet each other before they meet B, and B otherwise. An epsilon
// just above -B / H leaves a few ulp of the mean, so that one ulp of the sum becomes a factor, which any
// dtype shows. Where a negative epsilon is refused or clamped, a positive one is sought that puts a rounding
// tie of the output between the two sums. Nothing is taken from a formula: two kinds of control rows, whose
// sum no order can change, are run first, and a probe is compared with their outputs.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "corpus/random.h"
#include "oracle/sum_tree.h"
#include "properties/order/probe.h"

namespace normproof::order {

// Whether the elements `first` and `second` meet before either of them meets `big`.
struct Triple {
  std::int32_t first = 0;
  std::int32_t second = 0;
  std::int32_t big = 0;
};

// What a probe read as: one of the two controls, or neither.
enum class Reading : std::uint8_t { absorbed, survived, other };

// An epsilon and what control rows of two kinds read as under it: rows whose sum is 2^24 where the addition
// that is looked at rounds something away, and 2^24 + 2 where it does not.
struct Controls {
  std::uint32_t epsilon_bits = 0;
  std::uint32_t absorbed = 0, survived = 0;
  // Nothing where the rows of one kind do not all read the same, or the two kinds do.
  static std::optional<Controls> read(BlackBox& box, std::uint32_t epsilon_bits,
                                      std::span<const Probe> absorbed, std::span<const Probe> survived);
  std::vector<Reading> ask(BlackBox& box, std::span<const Probe> rows) const;
  friend bool operator==(const Controls&, const Controls&) = default;
};

class Reader {
 public:
  // Accumulation in fp32; in fp64, with the sum or the mean rounded to fp32 or kept in fp64 until the root.
  enum class Scale : std::uint8_t { fp32, fp64, fp64_kept };

  // A reader for the box, or nothing: then `why` says what was tried. Throws NoAnswer where the box answers
  // nothing at all.
  static std::optional<Reader> calibrate(BlackBox& box, Scale scale, Random& random, std::string& why);

  std::vector<Reading> ask(BlackBox& box, std::span<const Triple> triples, Random& random) const;
  // Runs the control rows at other places. False where they read otherwise than before.
  bool controls_hold(BlackBox& box, Random& random) const;
  bool uses_negative_epsilon() const { return (controls_.epsilon_bits & 0x80000000u) != 0; }
  std::uint32_t epsilon_bits() const { return controls_.epsilon_bits; }
  // Of other rows: those in which unit() is read, and whose sums are as of the controls.
  const Controls& reads() const { return controls_; }
  std::uint32_t unit() const { return alphabet_.unit; }

 private:
  // The elements by their part, as bits of the activation dtype; 0: there is none.
  struct Alphabet {
    std::uint32_t big = 0, unit = 0;
    std::uint32_t companion = 0;  // one that stands in every row
    std::uint32_t nudge = 0;      // makes a control read "survived"
  };
  explicit Reader(const Alphabet& alphabet) : alphabet_(alphabet) {}
  std::vector<Probe> control_rows(std::int32_t hidden, bool survived, std::size_t count,
                                  Random& random) const;
  bool try_epsilon(BlackBox& box, std::uint32_t epsilon_bits, Random& random);
  bool try_negative(BlackBox& box, float big, int most_steps, Random& random);
  bool try_positive(BlackBox& box, Random& random);

  Alphabet alphabet_;
  Controls controls_;
};

}  // namespace normproof::order
