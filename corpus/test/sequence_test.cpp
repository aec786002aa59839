// Sequences of calls as files: what is written is read again, what makes no sense is refused with its place.
#include "corpus/sequence.h"

#include <gtest/gtest.h>

#include <stdexcept>

#include "corpus/case_json.h"
#include "corpus/test/example_documents.h"

namespace normproof {
namespace {

Case call_of(std::int64_t rows, std::int64_t hidden = 2, DType dtype = DType::fp16) {
  Case call;
  call.dtype = dtype;
  call.shape = {rows, hidden};
  call[Role::input].data.recipe = {"normal", 3};
  return call;
}

std::string refusal(std::string_view text) {
  try {
    (void)sequence_from_json(text);
  } catch (const CaseError& error) {
    return error.what();
  }
  return "accepted";
}

std::string text_of(const Sequence& sequence) { return sequence_to_json(sequence); }

TEST(Sequence, IsReadAsItWasWritten) {
  for (const bool same_bits : {false, true}) {
    const Sequence sequence{{call_of(1), call_of(3)}, 7, same_bits};
    EXPECT_EQ(sequence_from_json(text_of(sequence)), sequence);
  }
  Sequence longest{{}, kMostRepetitions, false};
  longest.calls.assign(kMostSequenceCalls, call_of(1));
  EXPECT_EQ(sequence_from_json(text_of(longest)), longest);
}

TEST(Sequence, KeepsOutputsThatWereSeen) {
  Sequence sequence{{call_of(1)}, 1, false};
  sequence.calls[0].outputs = Outputs{{Role::out, {std::byte{1}, std::byte{2}, std::byte{3}, std::byte{4}}}};
  EXPECT_EQ(sequence_from_json(text_of(sequence)), sequence);
}

TEST(Sequence, ACallThatIsNoCaseIsRefusedWithItsPlace) {
  std::string text = text_of({{call_of(1), call_of(2)}, 1, false});
  text = replaced(text, "\"shape\": [2, 2]", "\"shape\": [2, 0]");
  EXPECT_TRUE(refusal(text).starts_with("$.calls[1].shape")) << refusal(text);
}

TEST(Sequence, CountsThatMakeNoSenseAreRefused) {
  EXPECT_THROW(text_of({{}, 1, false}), std::invalid_argument);
  EXPECT_THROW(text_of({{call_of(1)}, 0, false}), std::invalid_argument);
  EXPECT_THROW(text_of({{call_of(1)}, kMostRepetitions + 1, false}), std::invalid_argument);
  Sequence too_long{{}, 1, false};
  too_long.calls.assign(kMostSequenceCalls + 1, call_of(1));
  EXPECT_THROW(text_of(too_long), std::invalid_argument);
  const std::string text = text_of({{call_of(1)}, 1, false});
  const auto with = [&](std::string_view repeat) { return refusal(replaced(text, "\"repeat\": 1", repeat)); };
  EXPECT_EQ(with("\"repeat\": 0"), "$.repeat: 1 to 1024, got 0");
  EXPECT_EQ(with("\"repeat\": 1025"), "$.repeat: 1 to 1024, got 1025");
  EXPECT_EQ(with("\"repeat\": -1"), "$.repeat: 1 to 1024, got -1");
  EXPECT_EQ(with("\"repeat\": \"often\""), R"($.repeat: 1 to 1024, got \"often\")");
}

TEST(Sequence, DocumentsOfAnotherKindAreRefused) {
  const std::string text = text_of({{call_of(1)}, 1, false});
  EXPECT_EQ(refusal("[]"), "$: expected a JSON object");
  EXPECT_EQ(refusal("{"), "$: expected a JSON object");
  EXPECT_EQ(refusal("{}"), "$.normproof_sequence: missing");
  EXPECT_EQ(refusal(replaced(text, "\"normproof_sequence\": 1", "\"normproof_sequence\": 2")),
            "$.normproof_sequence: expected 1, got 2");
  EXPECT_EQ(refusal(replaced(text, "\"same_bits\": false", "\"same_bits\": 0")),
            "$.same_bits: expected true or false, got 0");
  EXPECT_NE(refusal(replaced(text, "\"repeat\"", "\"repeats\"")).find("unknown key"), std::string::npos);
  EXPECT_EQ(refusal(R"({"normproof_sequence": 1, "same_bits": false, "repeat": 1, "calls": {}})"),
            "$.calls: expected a list of cases, got {}");
}

// Else there would be nothing to compare.
TEST(Sequence, TheSameBitsAreAskedOfCallsThatHaveThem) {
  for (const Case& other : {call_of(1, 3), call_of(1, 2, DType::bf16)}) {
    const Sequence sequence{{call_of(1), other}, 1, true};
    EXPECT_THROW(text_of(sequence), std::invalid_argument);
    const std::string text = text_of({sequence.calls, 1, false});
    EXPECT_EQ(refusal(text), "accepted");
    EXPECT_TRUE(refusal(replaced(text, "\"same_bits\": false", "\"same_bits\": true"))
                    .starts_with("$.calls[1]: same_bits compares its rows"));
  }
}

TEST(Sequence, IsKnownByItsExtension) {
  EXPECT_TRUE(is_sequence_file("findings/a.sequence"));
  EXPECT_FALSE(is_sequence_file("findings/a.json"));
  EXPECT_FALSE(is_sequence_file("findings/sequence"));
}

}  // namespace
}  // namespace normproof
