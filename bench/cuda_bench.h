// `normproof bench`: speed of kernels beside a copy of the same bytes and what other kernels reach on a GPU.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "bench/measure.h"

namespace normproof::bench {

// Of an activation, as on the command line.
std::string_view dtype_name(normproof_dtype dtype);

// What is measured: one row of the tables.
struct Row {
  std::string operation;  // "rms", "add", "rmsq", "addq", as in peers.csv
  std::int64_t hidden = 0;
  std::int64_t tokens = 0;
  bool cold = false;
  normproof_dtype dtype = NORMPROOF_BF16;

  bool adds_residual() const { return operation.starts_with("add"); }
  bool quantizes() const { return operation.ends_with("q"); }
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
