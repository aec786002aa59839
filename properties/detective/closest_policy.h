// What to say of outputs that follow no known policy: the closest one, which rows follow which, and where the
// inverse roots that they show may come from.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "oracle/policy.h"
#include "properties/detective/identify.h"
#include "properties/judging/judge_rows.h"

namespace normproof {

std::int64_t axes_off_native(const oracle::Policy& policy);

// Finds best, best_rows, best_differing, best_compared, best_columns, split and hints of `result`.
class Closest {
 public:
  Closest(const RowSlice& rows, const oracle::InverseRootModel& inverse_root, Identification& result)
      : rows_(rows), inverse_root_(inverse_root), result_(result) {}
  void find();

 private:
  struct Judged {
    oracle::Policy policy;
    std::vector<bool> conforms;  // by row
    std::int64_t count = 0;
    std::int64_t differing = 0;  // elements of the rows that rank
    std::int64_t off_native = 0;
  };
  void judge_all();
  void rank();
  void look_at_columns();
  void split();

  const RowSlice& rows_;
  oracle::InverseRootModel inverse_root_;
  Identification& result_;
  std::vector<Judged> judged_;
};

// "native with r off by a factor 2.5 in every row": of the policies by which some r explains each row, the
// nearest to native for whose r a cause is known.
std::vector<std::string> causes_of_roots(const RowSlice& rows, const oracle::InverseRootModel& inverse_root);

}  // namespace normproof
