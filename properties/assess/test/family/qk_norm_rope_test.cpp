// The judge of q/k norm with rotary embedding against the plain kernel in the canonical order.
#include "properties/assess/family/qk_norm_rope.h"

#include <gtest/gtest.h>

namespace normproof::assess::family {
namespace {

using oracle::StandardFloatEnvironment;

TEST(QkNormRopeSearch, CanonicalRootIsAdmissible) {
  const std::uint64_t seed = 34;
  Random random(seed);
  const StandardFloatEnvironment environment;
  for (int i = 0; i < 300; ++i) {
    const HeadSubject subject = random_head(random, random.log_between(1, 300), RowClass::centred);
    QkNormRopeJudge judge = subject.judge();
    const auto x = subject.bytes(subject.x);
    const float root = judge.canonical_root(x);
    const auto out = judge.outputs(x, root);
    ASSERT_EQ(out, subject.bytes(subject.plain(root))) << "seed " << seed << " trial " << i;
    ASSERT_TRUE(judge.judge(x, out).conforms) << "seed " << seed << " trial " << i;
  }
}

}  // namespace
}  // namespace normproof::assess::family
