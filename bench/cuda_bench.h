// `normproof bench`: speed of kernels beside a copy of the same bytes and what other kernels reach on a GPU.
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "bench/measure.h"
#include "corpus/operation.h"

namespace normproof::bench {

// Of an activation, as on the command line.
std::string_view dtype_name(normproof_dtype dtype);

// The operations that are measured, by their names in the tables.
struct MeasuredOperation {
  std::string_view name;
  Operation operation;
};
inline constexpr std::array<MeasuredOperation, 6> kMeasuredOperations = {{
    {"rms", Operation::rms_norm},
    {"add", Operation::fused_add_rms_norm},
    {"rmsq", Operation::rms_norm_static_fp8_quant},
    {"addq", Operation::fused_add_rms_norm_static_fp8_quant},
    {"rmsdq", Operation::rms_norm_dynamic_quant},
    {"adddq", Operation::fused_add_rms_norm_dynamic_quant},
}};

// What is measured: one row of the tables.
struct Row {
  std::string operation;  // of kMeasuredOperations
  std::int64_t hidden = 0;
  std::int64_t tokens = 0;
  bool cold = false;
  normproof_dtype dtype = NORMPROOF_BF16;

  Operation kind() const;  // throws std::invalid_argument for another name
  bool adds_residual() const { return normproof::adds_residual(kind()); }
  bool quantizes() const { return normproof::quantizes(kind()); }
  bool scales_rows() const { return quantizes_by_row(kind()); }
  // With H = 128 a token has 32 heads, each a row (q/k norm).
  std::int64_t rows() const { return hidden == 128 ? tokens * 32 : tokens; }
};

// "rms bf16 1 x 4096 hot": operation, dtype, tokens, hidden size.
std::string row_name(const Row& row);

// What other kernels reached on the row, on the machine of peers.csv, relative to a copy measured there.
struct Peer {
  std::string name;  // of the fastest
  double ratio = 0;  // copy / kernel
  double kernel_us = 0;
  double prototype_ratio = 0;
  double prototype_us = 0;
};

struct Measured {
  Row row;
  double copy_us = 0;
  double traffic_us = 0;  // the operation's reads and writes alone; 0: not measured
  double kernel_us = 0;
  double least_us = 0, most_us = 0;
  std::string shape;
  int threads = 0;
  bool dependent = false;
  bool is_plugin = false;  // somebody else's kernel, for which the project's goals are none
  std::optional<Peer> peer;
  double ratio() const { return copy_us / kernel_us; }
};

struct Report {
  normproof_device_info device{};
  std::string date;     // UTC
  std::string command;  // as it was typed
  std::vector<Measured> measured;
  std::vector<std::string> left_out;  // what was not measured, and why
};

// The rows of a peers file with the best peer of each. Throws std::runtime_error naming file and line.
struct PeerRow {
  Row row;
  std::optional<Peer> peer;
};
std::vector<PeerRow> read_peers(const std::filesystem::path& file);

// The table for people; exceptions to "at least as fast as the best peer" and to the project's goals are
// named at the end.
std::string to_text(const Report& report);
std::string to_json(const Report& report);
std::string to_csv(const Report& report);
// Copy / kernel by row, one panel per operation.
std::string to_svg(const Report& report);

}  // namespace normproof::bench
