// Does the judge say what a search over every admissible r says? Short rows, all dtypes, all policies.
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "properties/assess/study.h"

namespace normproof::assess {

struct BruteForceAgreement {
  std::int64_t pairs = 0;  // of row and policy
  std::int64_t altered = 0;
  std::int64_t conforming = 0;  // as the search says
  std::int64_t tried_roots = 0;
  std::int64_t certificates = 0;  // of the violations, checked by the plain kernel
  std::int64_t disagreements = 0;
  std::int64_t too_wide = 0;  // drawn pairs left out because they admit too many r to try
  std::map<std::string, std::int64_t> pairs_of_policy;
  std::string first_disagreement;  // for people
  BruteForceAgreement& operator+=(const BruteForceAgreement& other);
};

// Judges at least `pairs` pairs, half of them altered, and compares with the search: the verdict, the number
// of r that explain the row, and the reported one. A certificate must hold and must be minimal: two elements
// only where either of them alone has an r, or one.
BruteForceAgreement study_brute_force(std::int64_t pairs, const StudyOptions& options);

}  // namespace normproof::assess
