// `normproof bench`: speed of kernels beside a copy of the same bytes and what other kernels reach on a GPU.
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <span>
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

inline constexpr float kEpsilon = 1e-6f;  // of every call that is measured

// What is measured: one row of the tables.
struct Row {
  std::string operation;  // of kMeasuredOperations, or of oracle/judged
  std::int64_t hidden = 0;
  std::int64_t tokens = 0;
  bool cold = false;
  normproof_dtype dtype = NORMPROOF_BF16;
  // Of an operation of oracle/judged (family_rows.h).
  bool by_name = false;
  std::string details = {};  // "out=fp8_e4m3fn group=128"
  std::int64_t heads = 1;    // of a token, each a row
  std::optional<double> goal = {}, goal_us = {};

  Operation kind() const;  // throws std::invalid_argument for a name that is none of kMeasuredOperations
  bool scales_rows() const { return quantizes_by_row(kind()); }
  // With H = 128 a token has 32 heads, each a row (q/k norm).
  std::int64_t rows() const { return by_name ? tokens * heads : hidden == 128 ? tokens * 32 : tokens; }
};

// "rms bf16 1 x 4096 hot": operation, dtype, tokens, hidden size; "layer_norm (out=uint8) bf16 ...".
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
// The lines of such a file, each as what stands in its columns: `read` makes a row of it, but for the peer,
// which is the best of the columns that are none of `own`.
using Fields = std::map<std::string, std::string>;
std::vector<PeerRow> read_rows(const std::filesystem::path& file, std::span<const std::string_view> own,
                               const std::function<PeerRow(const Fields&)>& read);
// A number above 0. Throws std::invalid_argument for any other text.
double positive_number(const std::string& text);
std::vector<PeerRow> read_peers(const std::filesystem::path& file);

// The table for people; exceptions to "at least as fast as the best peer" and to the project's goals are
// named at the end.
std::string to_text(const Report& report);
std::string to_json(const Report& report);
std::string to_csv(const Report& report);
// Copy / kernel by row, one panel per operation.
std::string to_svg(const Report& report);

}  // namespace normproof::bench
