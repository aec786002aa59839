// The tolerance tests that other projects publish for kernels that quantize block by block, from their
// published parameters, as tolerance.h has those of RMSNorm's kernels. The reference is what the contract
// says, in the policy of our own kernels, which is kinder to a test than its own.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "oracle/judged/operation.h"
#include "properties/targets/judged_target.h"

namespace normproof::matrix {

struct BlockToleranceTest {
  enum class Inputs : std::uint8_t {
    small,   // N(0, 1) / H, weights 1 + 0.1 N(0, 1)
    normal,  // N(0, 1), weights too
    spiky    // N(0, 1), one in a thousand ten times as large; no weights
  };
  enum class Scales : std::uint8_t { by_rows, by_columns, by_padded_columns };  // the latter to four rows
  // What is wrong with what came out, or nothing.
  using Comparison = std::optional<std::string> (*)(const oracle::judged::Call& got,
                                                    const oracle::judged::Call& reference,
                                                    const oracle::judged::Policy& policy);
  std::string_view name;
  std::string_view source;
  std::string_view reduction;  // of the published shapes
  std::vector<std::string_view> operations;
  std::vector<std::string_view> policies;
  std::vector<DType> dtypes;
  std::vector<DType> codes;
  std::vector<std::int64_t> rows, hidden_sizes;
  Inputs inputs = Inputs::normal;
  std::vector<Scales> scales = {Scales::by_rows};
  bool strided = false;  // also the first half of rows twice as long
  Comparison comparison = nullptr;
};
std::span<const BlockToleranceTest> block_tolerance_tests();

struct BlockToleranceCall {
  oracle::judged::Call call;  // with what the contract gives
  oracle::judged::Policy policy;
};
std::vector<BlockToleranceCall> calls_of(const BlockToleranceTest& test);

// Whether the target is made for the call.
bool takes(JudgedTarget& target, const BlockToleranceCall& call);
// What is wrong by the test's standards, or nothing.
std::optional<std::string> failure(const BlockToleranceTest& test, const BlockToleranceCall& call,
                                   JudgedTarget& target);

}  // namespace normproof::matrix
