// The seed decides what the studies draw.
#include "properties/assess/study.h"

#include <gtest/gtest.h>

#include "properties/assess/brute_force.h"
#include "properties/assess/false_rejections.h"

namespace normproof::assess {
namespace {

TEST(Studies, DrawFromTheirSeed) {
  StudyOptions other;
  other.seed = 2;
  EXPECT_NE(study_brute_force(500, {}).pairs_of_policy, study_brute_force(500, other).pairs_of_policy);
  const auto elements = [](const StudyOptions& options) {
    return study_false_rejections({0, 100}, options).total().elements;
  };
  EXPECT_NE(elements({}), elements(other));
}

}  // namespace
}  // namespace normproof::assess
