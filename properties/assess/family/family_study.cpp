// How the studies are run, in parts, and what their parts make together.
#include "properties/assess/family/family_study.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "oracle/row_kernels.h"

namespace normproof::assess::family {
namespace {

enum class Kind : std::uint8_t { honest, faulty, detection };

// Different rows for each study and kind, whichever other ones are run.
Random seeds_of(const FamilyStudy& study, Kind kind, const StudyOptions& options) {
  const auto all = family_studies();
  const auto number = std::ranges::find(all, study.name, &FamilyStudy::name) - all.begin();
  return Random(options.seed ^ 0x66616d696c79)
      .split(static_cast<std::uint64_t>(number))
      .split(static_cast<std::uint64_t>(kind));
}

template <typename Figures>
Figures judge_rows(std::int64_t rows, const Random& seeds, const StudyOptions& options,
                   void (*judge)(Random&, const StudyOptions&, Figures&)) {
  constexpr std::int64_t kPartRows = 250;
  return run_parts<Figures>((rows + kPartRows - 1) / kPartRows, options, [&](std::int64_t part) {
    const oracle::StandardFloatEnvironment environment;
    Random random = seeds.split(static_cast<std::uint64_t>(part));
    Figures figures;
    while (figures.rows < std::min(kPartRows, rows - part * kPartRows)) judge(random, options, figures);
    return figures;
  });
}

void keep_first(std::string& first, const std::string& other) {
  if (first.empty()) first = other;
}

}  // namespace

void HonestFigures::add(std::int64_t elements_of_row, bool conforms, std::int64_t boxes,
                        const std::function<std::string()>& text) {
  ++rows;
  elements += elements_of_row;
  most_boxes = std::max(most_boxes, boxes);
  if (conforms) return;
  ++refused;
  if (first_refusal.empty()) first_refusal = text();
}

HonestFigures& HonestFigures::operator+=(const HonestFigures& other) {
  rows += other.rows;
  elements += other.elements;
  refused += other.refused;
  most_boxes = std::max(most_boxes, other.most_boxes);
  decided_exactly += other.decided_exactly;
  undecided += other.undecided;
  keep_first(first_refusal, other.first_refusal);
  return *this;
}

void FaultyFigures::add(bool explained, std::optional<std::size_t> certificate, std::int64_t boxes,
                        const std::function<std::string()>& text) {
  ++rows;
  most_boxes = std::max(most_boxes, boxes);
  refuted += certificate ? 1 : 0;
  if (certificate) ++certificates[*certificate];
  if (explained != certificate.has_value()) return;
  ++disagreements;
  if (first_disagreement.empty()) first_disagreement = text();
}

void FaultyFigures::add_too_wide(std::int64_t boxes) {
  ++too_wide;
  most_boxes = std::max(most_boxes, boxes);
}

FaultyFigures& FaultyFigures::operator+=(const FaultyFigures& other) {
  rows += other.rows;
  refuted += other.refuted;
  disagreements += other.disagreements;
  too_wide += other.too_wide;
  most_boxes = std::max(most_boxes, other.most_boxes);
  for (const auto& [elements, count] : other.certificates) certificates[elements] += count;
  keep_first(first_disagreement, other.first_disagreement);
  return *this;
}

void FaultFigure::add(bool sees_fault, bool refuses_right) {
  ++changed;
  seen += sees_fault ? 1 : 0;
  rejected_right += refuses_right ? 1 : 0;
}

FaultFigure& FaultFigure::operator+=(const FaultFigure& other) {
  rows += other.rows;
  changed += other.changed;
  seen += other.seen;
  rejected_right += other.rejected_right;
  return *this;
}

Extent Extent::with_honest(std::int64_t rows) const {
  const auto share = [&](std::int64_t part) {
    return std::max<std::int64_t>(
        1, std::llround(static_cast<double>(part) * static_cast<double>(rows) / static_cast<double>(honest)));
  };
  return {rows, share(faulty), share(trials)};
}

std::span<const FamilyStudy> family_studies() {
  static const std::vector<FamilyStudy> all = {
      layer_norm_study(),          quantized_layer_norm_study(), gated_norm_study(),   norm_gradient_study(),
      recomputed_gradient_study(), weight_gradient_study(),      qk_norm_rope_study(), blocks_study()};
  return all;
}

bool asks_for(const StudyOptions& options, const FamilyStudy& study) {
  return std::ranges::any_of(study.operations,
                             [&](std::string_view operation) { return options.asks_for(operation); });
}

HonestFigures judge_honest(const FamilyStudy& study, std::int64_t rows, const StudyOptions& options) {
  return judge_rows(rows, seeds_of(study, Kind::honest, options), options, study.honest);
}

FaultyFigures judge_faulty(const FamilyStudy& study, std::int64_t rows, const StudyOptions& options) {
  return judge_rows(rows, seeds_of(study, Kind::faulty, options), options, study.faulty);
}

std::vector<FaultFigure> judge_faults(const FamilyStudy& study, std::int64_t trials,
                                      const StudyOptions& options) {
  constexpr std::int64_t kPartTrials = 50;
  struct Figures {
    std::vector<FaultFigure> all;
    Figures& operator+=(const Figures& other) {
      if (all.empty()) all.resize(other.all.size());
      for (std::size_t i = 0; i < other.all.size(); ++i) all[i] += other.all[i];
      return *this;
    }
  };
  const auto dtypes = static_cast<std::int64_t>(study.fault_dtypes.size());
  const std::int64_t count = static_cast<std::int64_t>(study.faults.size()) * dtypes;
  const std::int64_t parts_of_each = (trials + kPartTrials - 1) / kPartTrials;
  const Random seeds = seeds_of(study, Kind::detection, options);
  Figures figures = run_parts<Figures>(count * parts_of_each, options, [&](std::int64_t part) {
    const oracle::StandardFloatEnvironment environment;
    Random random = seeds.split(static_cast<std::uint64_t>(part));
    const std::int64_t number = part % count;
    Figures one{std::vector<FaultFigure>(static_cast<std::size_t>(count))};
    FaultFigure& figure = one.all[static_cast<std::size_t>(number)];
    figure.dtype = study.fault_dtypes[static_cast<std::size_t>(number % dtypes)];
    const std::int64_t wanted = std::min(kPartTrials, trials - part / count * kPartTrials);
    for (; figure.rows < wanted; ++figure.rows)
      study.detect(static_cast<std::size_t>(number / dtypes), random, options, figure);
    return one;
  });
  for (std::int64_t number = 0; number < count; ++number) {
    FaultFigure& figure = figures.all[static_cast<std::size_t>(number)];
    const FaultRow& row = study.faults[static_cast<std::size_t>(number / dtypes)];
    figure.fault = row.name;
    figure.dtype = study.fault_dtypes[static_cast<std::size_t>(number % dtypes)];
    figure.least_share = figure.dtype == DType::fp32 ? row.least_share_fp32 : row.least_share;
  }
  return std::move(figures.all);
}

bool FamilyFigures::passed() const {
  return honest.refused == 0 && faulty.disagreements == 0 &&
         std::ranges::all_of(faults, &FaultFigure::reached);
}

FamilyFigures run_study(const FamilyStudy& study, const Extent& extent, const StudyOptions& options) {
  std::int64_t stage = 0;
  StudyOptions of_stage = options;
  of_stage.progress = [&](std::int64_t done, std::int64_t parts) {
    if (options.progress) options.progress(stage * parts + done, 3 * parts);
  };
  FamilyFigures figures;
  figures.study = &study;
  figures.honest = judge_honest(study, extent.honest, of_stage);
  stage = 1;
  figures.faulty = judge_faulty(study, extent.faulty, of_stage);
  stage = 2;
  figures.faults = judge_faults(study, extent.trials, of_stage);
  return figures;
}

}  // namespace normproof::assess::family
