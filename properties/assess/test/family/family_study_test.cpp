// The studies of the norm family with few rows: nobody refuses honest rows, verdicts are those of trying
// every unknown, faults are seen, and a wrong judge is noticed. `normproof assess` runs them with more.
#include "properties/assess/family/family_study.h"

#include <gtest/gtest.h>

#include <cctype>
#include <mutex>

namespace normproof::assess::family {
namespace {

class FamilyStudy : public testing::TestWithParam<const family::FamilyStudy*> {
 protected:
  const family::FamilyStudy& study() const { return *GetParam(); }
  Extent few() const { return study().extent.with_honest(study().extent.honest / 25); }
};

TEST_P(FamilyStudy, HonestRowsConform) {
  const HonestFigures figures = judge_honest(study(), few().honest, {});
  EXPECT_EQ(figures.refused, 0) << figures.first_refusal;
  EXPECT_GE(figures.rows, few().honest);
  EXPECT_GT(figures.elements, figures.rows);
}

TEST_P(FamilyStudy, AgreesWithEnumeration) {
  const FaultyFigures figures = judge_faulty(study(), few().faulty, {});
  EXPECT_EQ(figures.disagreements, 0) << figures.first_disagreement;
  EXPECT_GE(figures.rows, few().faulty);
  EXPECT_GT(figures.refuted, figures.rows / 8);
  EXPECT_LT(figures.refuted, figures.rows * 9 / 10);
  EXPECT_GT(figures.certificates.at(1), 0);
}

TEST_P(FamilyStudy, FaultsAreSeen) {
  for (const FaultFigure& figure : judge_faults(study(), study().extent.trials / 10, {})) {
    EXPECT_TRUE(figure.reached()) << figure.fault << " " << name_of(figure.dtype) << ": " << figure.seen
                                  << " of " << figure.changed << ", refused without it "
                                  << figure.rejected_right;
  }
}

TEST_P(FamilyStudy, AWrongPolicyFails) {
  StudyOptions options;
  options.wrong_policy = true;
  const Extent extent = study().extent.with_honest(300);
  EXPECT_GT(judge_honest(study(), extent.honest, options).refused, extent.honest / 10);
  EXPECT_GT(judge_faulty(study(), 100, options).disagreements, 2);
  std::int64_t reached = 0;
  const std::vector<FaultFigure> figures = judge_faults(study(), 4, options);
  for (const FaultFigure& figure : figures) reached += figure.reached() ? 1 : 0;
  EXPECT_LT(reached, static_cast<std::int64_t>(figures.size()) * 2 / 3);
}

TEST_P(FamilyStudy, DoesNotDependOnThreads) {
  const auto text = [&](int threads) {
    StudyOptions options;
    options.threads = threads;
    options.seed = 7;
    const FamilyFigures figures = run_study(study(), {600, 260, 2}, options);
    std::string all = std::to_string(figures.honest.elements) + " " + std::to_string(figures.faulty.refuted);
    for (const FaultFigure& figure : figures.faults) all += " " + std::to_string(figure.seen);
    return all;
  };
  EXPECT_EQ(text(1), text(3));
}

std::string name_of_test(const testing::TestParamInfo<const family::FamilyStudy*>& info) {
  std::string name;
  for (const char c : info.param->name) name += std::isalnum(static_cast<unsigned char>(c)) ? c : '_';
  return name;
}
std::vector<const family::FamilyStudy*> all() {
  std::vector<const family::FamilyStudy*> result;
  for (const family::FamilyStudy& study : family_studies()) result.push_back(&study);
  return result;
}
INSTANTIATE_TEST_SUITE_P(Of, FamilyStudy, testing::ValuesIn(all()), name_of_test);

TEST(FamilyStudies, EveryFaultOfBlocksIsRefused) {
  for (const FaultFigure& figure : judge_faults(blocks_study(), 4, {}))
    EXPECT_GT(figure.seen, 0) << figure.fault << ", of " << figure.changed;
}

TEST(FamilyStudies, DrawWhatIsAskedFor) {
  StudyOptions options;
  options.operations = {"rms_norm_mx_quant"};
  for (const family::FamilyStudy& study : family_studies())
    EXPECT_EQ(asks_for(options, study), &study.name == &family_studies().back().name) << study.name;
  options.wrong_policy = true;  // a refusal says what it was
  const HonestFigures figures = judge_honest(family_studies().back(), 100, options);
  EXPECT_GT(figures.refused, 0);
  EXPECT_NE(figures.first_refusal.find("rms_norm_mx_quant"), std::string::npos) << figures.first_refusal;
  EXPECT_EQ(figures.first_refusal.find("fused_add"), std::string::npos) << figures.first_refusal;
}

}  // namespace
}  // namespace normproof::assess::family
