// Rows of operations by name (bench/family_rows.csv), and how a call of such a row looks: the tensors of
// oracle/judged, with what the row's details say of them.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "bench/cuda_bench.h"

namespace normproof::bench {

// The rows of a file. Throws std::runtime_error naming file and line.
std::vector<PeerRow> read_family_rows(const std::filesystem::path& file);

// A call as normproof_measure_named takes it; must outlive the measurement.
class FamilyCall {
 public:
  // Throws std::invalid_argument for details that the operation cannot have.
  explicit FamilyCall(const Row& row);
  FamilyCall(const FamilyCall&) = delete;
  FamilyCall& operator=(const FamilyCall&) = delete;
  const normproof_measured_call& description() const { return description_; }

 private:
  std::vector<normproof_measured_tensor> tensors_;
  std::vector<normproof_named_number> numbers_;
  normproof_measured_call description_{};
};

}  // namespace normproof::bench
