// Blocks of codes beside the unfused computation (oracle/beside.h).
#pragma once

#include <cstddef>
#include <span>

#include "oracle/beside.h"
#include "oracle/judged/operation.h"

namespace normproof::oracle::judged {

// `normalized`: the unfused y in T of all rows, packed, which is quantized as the policy says; or
// `quantized`, a call of the same operation that has codes and scales, judged by `unfused_policy`'s layout.
// The other one is empty or nullptr. The calls must be valid.
BesideVerdict compare_beside(const Call& fused, const Policy& policy, std::span<const std::byte> normalized,
                             const Call* quantized, const Policy& unfused_policy);

// What y is made of, for the same norm without quantization: its weight, sum and inverse root.
oracle::Policy policy_of_norm(const Call& fused, const Policy& policy);

}  // namespace normproof::oracle::judged
