// Does `identify` give wrong kernels a policy's name? From dumps, and as targets that can be asked more. And
// those that the table describes: does it give them theirs?
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "properties/assess/study.h"

namespace normproof::assess {

struct NamingFigures {
  // Kinds of wrong kernels that no policy of the table describes:
  std::int64_t kernels = 0;
  std::int64_t runs = 0;           // one per kind, operation and dtype that it can have
  std::int64_t from_dump = 0;      // runs that were given a name from one dump of 16 x 512
  std::int64_t as_target = 0;      // runs whose name outlived the further cases
  std::vector<std::string> named;  // "kind, operation dtype: policy", of the latter
  // Kinds that the table describes:
  std::int64_t described = 0;
  std::int64_t described_runs = 0;
  std::int64_t rightly_named = 0;   // runs whose own policy is among those that are named after further cases
  std::vector<std::string> missed;  // "kind, operation dtype", of the others
  NamingFigures& operator+=(const NamingFigures& other);
};

// Of the first `shapes` operations and dtypes, each kernel in every `step`-th of them, beginning at another
// one than the kernel before; with StudyOptions::wrong_policy the kernels are right, and so all of them get a
// name.
inline constexpr std::size_t kNamingShapes = 6;
NamingFigures study_naming(std::size_t shapes, const StudyOptions& options, std::size_t step = 1);

}  // namespace normproof::assess
