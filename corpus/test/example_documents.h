// Documents that the tests of the JSON form start from, and what they do with them.
#pragma once

#include <gtest/gtest.h>

#include <string>
#include <string_view>

#include "corpus/case_json.h"

namespace normproof {

// `text` with its one occurrence of `from` replaced.
inline std::string replaced(std::string text, std::string_view from, std::string_view to) {
  const std::size_t position = text.find(from);
  EXPECT_NE(position, std::string::npos) << from;
  EXPECT_EQ(text.find(from, position + 1), std::string::npos) << from;
  return text.replace(position, from.size(), to);
}

// The message with which the reader refuses `text`.
inline std::string error_of(std::string_view text) {
  try {
    case_from_json(text);
  } catch (const CaseError& error) {
    EXPECT_EQ(error.what(), error.path() + ": " + error.reason());
    return error.what();
  }
  return "accepted";
}

inline constexpr std::string_view kExample = R"({
  "normproof_case": 1,
  "name": "example",
  "description": "All keys \"of\" the format, äöü",
  "operation": "fused_add_rms_norm_static_fp8_quant",
  "dtype": "bf16",
  "weight_dtype": "fp32",
  "quantized_dtype": "fp8_e5m2",
  "shape": [2, 3],
  "layout": {
    "input": {"strides": [8], "offset": 1},
    "residual": {"offset": 2},
    "output": {"strides": [2147483648]},
    "weight": {"offset": 3}
  },
  "epsilon": 1e-06,
  "scale": "0x7fc00000",
  "input": {"bits": [
    "3f80 3f84 0001",
    "7fc0 ff80 8000"
  ]},
  "residual": {"recipe": {"class": "normal", "seed": 18446744073709551615}},
  "weight": {"bits": [
    "3f800000 3fa10000 deadbeef"
  ]},
  "schedule": {"order": "random", "seed": 3},
  "launch": {"path": "vectorized", "threads_per_block": 64},
  "outputs": {
    "out": {"bits": [
      "3c 3d 3e",
      "7f ff 80"
    ]},
    "residual_out": {"bits": [
      "0000 0001 0002",
      "0003 0004 0005"
    ]}
  }
}
)";

inline constexpr std::string_view kMinimal = R"({
  "normproof_case": 1,
  "operation": "rms_norm",
  "dtype": "fp16",
  "shape": [1, 2],
  "epsilon": 0,
  "input": {"bits": [
    "3c00 4000"
  ]}
}
)";

}  // namespace normproof
