// Does the judge see real faults? Kernels with one fault each, on inputs made to tell arithmetic apart.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "corpus/case.h"
#include "properties/assess/study.h"

namespace normproof::assess {

struct DetectionFigure {
  std::string fault;
  DType dtype = DType::bf16;
  std::int64_t hidden_size = 0;
  std::int64_t trials = 0;  // calls of kRowsOfTrial rows
  std::int64_t rows = 0;    // of the trials that are at random scales, and so serve any fault
  std::int64_t seen_rows = 0;
  std::int64_t seen_trials = 0;     // with at least one row rejected
  std::int64_t rejected_right = 0;  // rows of the same kernel without the fault that were rejected
  // The least share that must be seen, where one is demanded.
  std::optional<double> row_floor;
  std::optional<double> trial_floor;
  double row_share() const;
  double trial_share() const;
  bool reached() const;
  DetectionFigure& operator+=(const DetectionFigure& other);
};

inline constexpr std::int64_t kRowsOfTrial = 8;

// One figure for each fault and dtype. `scale` 1 makes 10,000 trials of every fault in short rows.
std::vector<DetectionFigure> study_detection(double scale, const StudyOptions& options);

}  // namespace normproof::assess
