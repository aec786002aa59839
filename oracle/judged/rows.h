// The rows of the table of judged operations, each in the file of its operation.
#pragma once

#include "oracle/judged/operation.h"

namespace normproof::oracle::judged {

// Of rows that ask for nothing more.
inline std::string no_objection(const Call&) { return {}; }
inline std::string no_policy_objection(const Policy&) { return {}; }
inline void nothing_to_complete(Call&, std::uint32_t) {}

const JudgedOperation& layer_norm();
const JudgedOperation& fused_add_layer_norm();
const JudgedOperation& layer_norm_static_fp8_quant();
const JudgedOperation& fused_add_layer_norm_static_fp8_quant();
const JudgedOperation& layer_norm_dynamic_quant();
const JudgedOperation& fused_add_layer_norm_dynamic_quant();
const JudgedOperation& gated_rms_norm();
const JudgedOperation& grouped_rms_norm();
const JudgedOperation& rms_norm_backward();
const JudgedOperation& layer_norm_backward();
const JudgedOperation& qk_norm_rope();
const JudgedOperation& rms_norm_block_quant();
const JudgedOperation& fused_add_rms_norm_block_quant();
const JudgedOperation& rms_norm_mx_quant();
const JudgedOperation& fused_add_rms_norm_mx_quant();
const JudgedOperation& rms_norm_nvfp4_quant();
const JudgedOperation& fused_add_rms_norm_nvfp4_quant();

}  // namespace normproof::oracle::judged
