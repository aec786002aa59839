// Studies of the judges of the norm family: LayerNorm, gates, gradients, rotary embedding, blocks. Rows are
// drawn, computed by a plain kernel in the machine's floats, which shares no code with the judge, and judged.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "corpus/dtype.h"
#include "corpus/random.h"
#include "properties/assess/study.h"

namespace normproof::assess::family {

// Rows of kernels that are right.
struct HonestFigures {
  std::int64_t rows = 0;
  std::int64_t elements = 0;
  std::int64_t refused = 0;
  std::int64_t most_boxes = 0;       // that a search looked at; 0 where the judge does not say
  std::int64_t decided_exactly = 0;  // since bounds in hardware floats did not tell
  std::int64_t undecided = 0;        // rows that conform because a search was given up
  std::string first_refusal;         // for people

  void add(std::int64_t elements_of_row, bool conforms, std::int64_t boxes,
           const std::function<std::string()>& text);
  HonestFigures& operator+=(const HonestFigures& other);
};

// Rows that a wrong kernel may have written, against a search of all that an honest one may arrive at.
struct FaultyFigures {
  std::int64_t rows = 0;
  std::int64_t refuted = 0;
  std::int64_t disagreements = 0;
  std::int64_t too_wide = 0;  // drawn and judged, but too many unknowns are admissible to try them
  std::int64_t most_boxes = 0;
  std::map<std::size_t, std::int64_t> certificates;  // by their number of elements
  std::string first_disagreement;                    // for people

  // `certificate`: its number of elements; nothing where the row conforms.
  void add(bool explained, std::optional<std::size_t> certificate, std::int64_t boxes,
           const std::function<std::string()>& text);
  void add_too_wide(std::int64_t boxes);
  FaultyFigures& operator+=(const FaultyFigures& other);
};

// Rows of one faulty kernel, of which those count that it got wrong.
struct FaultFigure {
  std::string_view fault;
  DType dtype = DType::bf16;
  double least_share = 0;  // that must be seen
  std::int64_t rows = 0;
  std::int64_t changed = 0;
  std::int64_t seen = 0;
  std::int64_t rejected_right = 0;  // rows of the same kernel without the fault that were refused

  void add(bool sees_fault, bool refuses_right);
  // Of a few rows a share says nothing.
  bool reached() const {
    constexpr std::int64_t kFewest = 20;
    return rejected_right == 0 &&
           (changed < kFewest || static_cast<double>(seen) >= least_share * static_cast<double>(changed));
  }
  FaultFigure& operator+=(const FaultFigure& other);
};

struct FaultRow {
  std::string_view name;
  double least_share = 0;       // in 16 bits
  double least_share_fp32 = 0;  // differences of a few numbers show in fp32 alone
};

struct Extent {
  std::int64_t honest;  // rows
  std::int64_t faulty;  // rows
  std::int64_t trials;  // of each fault and dtype
  // The same in proportion to so many honest rows.
  Extent with_honest(std::int64_t rows) const;
};

struct FamilyStudy {
  std::string_view name;
  std::string_view unit;  // "rows"
  std::span<const std::string_view> operations;
  Extent extent;
  // Draws one call and judges it.
  void (*honest)(Random& random, const StudyOptions& options, HonestFigures& figures);
  void (*faulty)(Random& random, const StudyOptions& options, FaultyFigures& figures);
  std::span<const FaultRow> faults;
  std::span<const DType> fault_dtypes;
  // Of the fault with this number.
  void (*detect)(std::size_t fault, Random& random, const StudyOptions& options, FaultFigure& figure);
};

std::span<const FamilyStudy> family_studies();
bool asks_for(const StudyOptions& options, const FamilyStudy& study);

struct FamilyFigures {
  const FamilyStudy* study = nullptr;
  HonestFigures honest;
  FaultyFigures faulty;
  std::vector<FaultFigure> faults;
  bool passed() const;
};
FamilyFigures run_study(const FamilyStudy& study, const Extent& extent, const StudyOptions& options);

HonestFigures judge_honest(const FamilyStudy& study, std::int64_t rows, const StudyOptions& options);
FaultyFigures judge_faulty(const FamilyStudy& study, std::int64_t rows, const StudyOptions& options);
std::vector<FaultFigure> judge_faults(const FamilyStudy& study, std::int64_t trials,
                                      const StudyOptions& options);

// The rows of the table, each in the file of its study.
const FamilyStudy& layer_norm_study();
const FamilyStudy& quantized_layer_norm_study();
const FamilyStudy& gated_norm_study();
const FamilyStudy& norm_gradient_study();
const FamilyStudy& recomputed_gradient_study();
const FamilyStudy& weight_gradient_study();
const FamilyStudy& qk_norm_rope_study();
const FamilyStudy& blocks_study();

}  // namespace normproof::assess::family
