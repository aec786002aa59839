// Which violations count as the same one.
#include "properties/judging/violation_identity.h"

#include <gtest/gtest.h>

namespace normproof {
namespace {

using Outcome = Evaluation::Outcome;

ViolationIdentity identity(Outcome outcome, const std::string& text, std::int64_t rows = 2) {
  Case test_case;
  test_case.shape = {rows, 8};
  Evaluation evaluation;
  evaluation.outcome = outcome;
  if (outcome == Outcome::memory) {
    evaluation.run.memory_violations = {text};
  } else {
    evaluation.run.message = text;
  }
  return identity_of(test_case, evaluation);
}

TEST(ViolationIdentity, KeepsSignalAndMessageButNotTheirNumbers) {
  const auto fault = [](const char* text) { return identity(Outcome::failed, text); };
  EXPECT_EQ(fault("hidden size 24 is odd"), fault("hidden size 8 is odd"));
  EXPECT_NE(fault("the worker died of signal 11 (Segmentation fault)"),
            fault("the worker died of signal 8 (Floating point exception)"));
  EXPECT_NE(fault("the worker died of signal 11 (Segmentation fault) at libmine.so+0x12ab"),
            fault("the worker died of signal 11 (Segmentation fault) at libmine.so+0x12af"));
  EXPECT_NE(fault("the worker died of signal 11 (Unknown signal)"),
            fault("the worker died of signal 8 (Unknown signal)"));
  EXPECT_NE(fault("hidden size 24 is odd"), identity(Outcome::refused_valid, "hidden size 24 is odd"));
}

TEST(ViolationIdentity, KeepsTheSideOfAStrayWriteAndTheTensor) {
  const auto write = [](const char* text) { return identity(Outcome::memory, text); };
  EXPECT_EQ(write("out: byte -4 from the first element was overwritten with 0xcd"),
            write("out: byte -128 from the first element was overwritten with 0x00"));
  EXPECT_NE(write("out: byte -4 from the first element was overwritten with 0xcd"),
            write("out: byte 4 from the first element was overwritten with 0xcd"));
  EXPECT_NE(write("out: byte 4 from the first element was overwritten with 0xcd"),
            write("input: byte 4 from the first element was overwritten with 0xcd"));
}

TEST(ViolationIdentity, ACallWithoutRowsIsAnotherOne) {
  EXPECT_NE(identity(Outcome::failed, "x", 0), identity(Outcome::failed, "x", 1));
  EXPECT_EQ(identity(Outcome::failed, "x", 1), identity(Outcome::failed, "x", 100));
}

TEST(ViolationIdentity, TellsARoundingFromAnElementFarOff) {
  const auto off_by = [](std::uint64_t ulp, Role tensor = Role::out) {
    Case test_case;
    test_case.shape = {1, 8};
    Evaluation evaluation;
    evaluation.outcome = Outcome::wrong_bits;
    evaluation.verdict.mismatches = 1;
    evaluation.verdict.first_mismatches = {{tensor, 0, 3, DType::bf16, 0, 0, ulp}};
    return identity_of(test_case, evaluation);
  };
  EXPECT_EQ(off_by(1), off_by(2));
  EXPECT_EQ(off_by(3), off_by(1000));
  EXPECT_NE(off_by(1), off_by(1000));
  EXPECT_NE(off_by(UINT64_MAX), off_by(1000));
  EXPECT_NE(off_by(1), off_by(1, Role::residual_out));
}

}  // namespace
}  // namespace normproof
