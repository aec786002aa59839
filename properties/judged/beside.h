// Codes of a fused kernel beside the unfused computation of the same call (oracle/beside.h), both sides
// judged: how many codes may legally differ, and which of those that differ are not legal?
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "oracle/beside.h"
#include "oracle/formats.h"
#include "oracle/judged/operation.h"
#include "properties/judging/judge_rows.h"

namespace normproof::judging {

// One side: a call with its outputs, and the policy to judge them by.
struct CaseSide {
  RowSlice given;
  oracle::Policy policy;
};
struct CallSide {
  oracle::judged::Call call;
  oracle::judged::Policy policy;
};

// The norm whose outputs may stand beside such codes; nothing where there is none.
std::optional<Operation> norm_beside(Operation fused);
std::optional<Operation> norm_beside(const oracle::judged::JudgedOperation& fused);

// Of the unfused norm, where nobody says another one: what the fused policy makes y with.
oracle::Policy policy_beside(oracle::Policy fused);
oracle::Policy policy_beside(const CallSide& fused);

// What a side's judge says of its rows.
struct BesideSide {
  std::string subject, operation, policy;
  std::int64_t rows = 0, conforming = 0;
  bool conforms = false;
};
struct BesideComparison {
  BesideSide fused, unfused;
  bool unfused_is_quantized = false;
  oracle::BesideVerdict verdict;
  const oracle::Format* codes = nullptr;
  std::function<std::string(std::uint32_t)> scale_text;
};

// `unfused`: outputs of norm_beside(fused), or other codes of the operation. Throw std::invalid_argument with
// the reason where the two are not of one input.
BesideComparison compare_beside(const CaseSide& fused, const CaseSide& unfused, int threads);
BesideComparison compare_beside(const CallSide& fused, const CallSide& unfused, int threads);
BesideComparison compare_beside(const CallSide& fused, const CaseSide& unfused, int threads);

// How many codes of one row may differ at once; each is compared alone.
extern const std::string_view kNotLookedAtBeside;

// The codes that an element can have, in order.
std::vector<std::uint32_t> listed(const oracle::CodeSet& codes);
std::string line_of(const BesideComparison& compared, const oracle::CodeBeside& code);
std::string line_of(const BesideComparison& compared, const oracle::ScaleDifference& difference);
// Lines of counts, codes and scales, each indented by two spaces.
std::string counts_text(const BesideComparison& compared);
// What is wrong, in a line; empty where nothing is.
std::string diagnosis_of(const BesideComparison& compared);

}  // namespace normproof::judging
