// Recovery of an unknown tree from triples alone.
//
// Solving a set of leaves: choose one, i, and sort the others by when they meet i, by quicksort with three
// classes: k meets j before i, k comes earlier, k comes later. The classes are the subtrees that hang off the
// path from i to the root; each is solved in the same way. Most kernels are regular, so first it is guessed:
// a subtree has the shape of one of the same size that is solved already, or takes its elements in turn,
// forward or backward. A guess is looked at by a sample of its certificate; what the whole tree is worth its
// own certificate says, and if that fails everything is solved again with guesses looked at in full.
//
// An unknown tree has log2((2H - 3)!!), about H log2 H, bits, and a row gives one.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>

#include "properties/order/certify.h"

namespace normproof::order {

struct RecoverOptions {
  // Rows of a guess that are asked; INT64_MAX: all of them.
  std::int64_t sample = 20;
  // Additions may be wide or compensated: of three of their parts all questions survive. Then neighbours
  // alone do not tell whether a guess is right, so it is looked at by any leaves; and it is guessed that sums
  // of blocks are added one after the other, without which a row is asked for each two blocks of such a sum.
  bool may_be_wide = false;
  // Told which share of the leaves is solved, 0 to 1.
  std::function<void(double share)> progress;
};

// The tree, if the box is one; nothing where answers contradict each other in a way that no tree does. It is
// not certified. The box has at least 3 elements. Throws NoAnswer.
std::optional<SumTree> recover(BlackBox& box, const Reader& reader, Random& random,
                               const RecoverOptions& options = {});

// The index into families() of the one whose certificate a growing sample of rows does not refute, if any:
// asks few rows of each. It is not certified either.
std::optional<std::size_t> recognize(BlackBox& box, const Reader& reader, Random& random);

}  // namespace normproof::order
