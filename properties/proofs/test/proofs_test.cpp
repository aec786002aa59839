// The proofs on the CPU: samples of every one hold, parts add up, and inputs are not mixed up.
#include "properties/proofs/proofs.h"

#include <gtest/gtest.h>

#include <string>

namespace {

normproof_proof_result prove(std::int32_t proof, std::uint64_t first, std::uint64_t blocks,
                             std::uint64_t stride) {
  normproof_proof_result result{};
  char text[256] = {};
  EXPECT_EQ(normproof_prove(proof, first, blocks, stride, 2, &result, {text, sizeof text}),
            NORMPROOF_DEVICE_OK)
      << text;
  return result;
}

TEST(Proofs, SamplesOfAllOfThemHold) {
  ASSERT_EQ(normproof_proof_count(), 21);
  for (std::int32_t proof = 0; proof < normproof_proof_count(); ++proof) {
    const std::uint64_t blocks = normproof_proof_inputs(proof) / 8, stride = 40009;
    const normproof_proof_result result = prove(proof, 0, (blocks + stride - 1) / stride, stride);
    EXPECT_EQ(result.mismatches, 0u) << normproof_proof_name(proof) << ": input 0x" << std::hex
                                     << result.first_mismatch << " gave 0x" << result.got << ", not 0x"
                                     << result.wanted;
    EXPECT_EQ(result.inputs, (blocks + stride - 1) / stride * 8);
  }
}

TEST(Proofs, PartsAddUpToTheWhole) {
  const normproof_proof_result whole = prove(0, 1000, 64, 7), first = prove(0, 1000, 40, 7),
                               rest = prove(0, 1000 + 40 * 7, 24, 7);
  EXPECT_EQ(whole.hash, first.hash + rest.hash);
  EXPECT_EQ(whole.inputs, first.inputs + rest.inputs);
}

TEST(Proofs, TheHashTellsInputsAndProofsApart) {
  EXPECT_NE(prove(0, 0, 8, 1).hash, prove(0, 8, 8, 1).hash);
  EXPECT_NE(prove(0, std::uint64_t{0x3f80} << 13, 64, 1).hash,
            prove(2, std::uint64_t{0x3f80} << 13, 64, 1).hash);
}

TEST(Proofs, AnUnknownNumberIsRefused) {
  normproof_proof_result result{};
  char text[64] = {};
  EXPECT_NE(normproof_prove(99, 0, 1, 1, 1, &result, {text, sizeof text}), NORMPROOF_DEVICE_OK);
  EXPECT_NE(std::string(text).find("99"), std::string::npos) << text;
  EXPECT_EQ(normproof_proof_name(99), nullptr);
}

}  // namespace
