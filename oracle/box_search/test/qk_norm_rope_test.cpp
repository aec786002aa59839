// What the judge of q/k norm with rotary embedding refuses. What it says of many heads is studied in
// properties/assess/family/.
#include "oracle/box_search/qk_norm_rope.h"

#include <gtest/gtest.h>

#include <stdexcept>

#include "oracle/row_kernels.h"

namespace normproof::oracle::box_search {
namespace {

TEST(QkNormRopeSearch, RefusesImpossibleSizes) {
  const StandardFloatEnvironment environment;
  EXPECT_THROW(QkNormRopeJudge({}, 0, 0, {}), std::invalid_argument);
  EXPECT_THROW(QkNormRopeJudge({}, 8, 3, {}), std::invalid_argument);
  EXPECT_THROW(QkNormRopeJudge({}, 8, 10, {}), std::invalid_argument);
  QkNormRopeRule rounded;
  rounded.rounds_steps = true;
  rounded.first = RopeContraction::cosine;
  EXPECT_THROW(QkNormRopeJudge(rounded, 8, 8, {}), std::invalid_argument);
  QkNormRopeJudge judge({}, 8, 8, {});
  EXPECT_THROW(judge.set_rotation({}, {}), std::invalid_argument);
}

}  // namespace
}  // namespace normproof::oracle::box_search
