// Does the judge reject rows of honest kernels? Rows made without it: every order of summation, the root as
// computed and each one within the allowed ulp.
#pragma once

#include <array>
#include <cstdint>
#include <string>

#include "oracle/honest_root.h"
#include "properties/assess/study.h"

namespace normproof::assess {

struct FalseRejections {
  struct Count {
    std::int64_t rows = 0;
    std::int64_t elements = 0;
    std::int64_t rejected = 0;  // rows
    Count& operator+=(const Count& other);
  };
  // By order of summation and activation dtype (in the order of kActivationDTypes).
  std::array<std::array<Count, 3>, oracle::kSummationOrders.size()> counts{};
  std::int64_t special_rows = 0;  // with NaN, infinities, zeros, subnormals, or a mean that is one of these
  std::int64_t policies = 0;      // judged rows that follow another policy than native
  std::string first_rejection;    // for people
  Count total() const;
  FalseRejections& operator+=(const FalseRejections& other);
};

struct HonestAmount {
  std::int64_t elements = 0;
  std::int64_t rows = 0;
};

// Judges rows until there are at least so many of both. All operations that are asked for, dtypes and
// weights, H from 1 to 16384, data of all classes of recipes, a quarter of the rows by another policy than
// native.
FalseRejections study_false_rejections(const HonestAmount& amount, const StudyOptions& options);

}  // namespace normproof::assess
