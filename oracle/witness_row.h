// The witness judge's work on one row: find the r that explain it, or the elements that no r can.
#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "oracle/admissible.h"
#include "oracle/beside.h"
#include "oracle/certificate.h"
#include "oracle/fast_row.h"
#include "oracle/feasible.h"
#include "oracle/scale_roots.h"

namespace normproof::oracle {

struct RowFinding {
  // Conforming: the admissible r that explain the row, or NaN alone.
  RootInterval feasible;
  bool nan_explains = false;
  std::uint32_t correctly_rounded_root = 0;
  // Violating:
  std::optional<ViolationKind> violation;
  std::optional<Certificate> certificate;  // where it was asked for
  bool zero_or_special_mean = false;       // the exact mean, rounded to fp32, is zero, infinite or NaN
};

class WitnessRow {
 public:
  explicit WitnessRow(const Formula& formula);

  // Judges the row that `fast` has loaded against its packed outputs and, where the row has a scale of its
  // own, that scale. The certificate's row and weights are left to the caller. A certificate costs a look at
  // every element; without one a violation costs no more than a row that conforms.
  RowFinding judge(FastRow& fast, std::span<const std::byte> got, std::uint32_t scale, bool with_certificate);

  // Every r, admissible or not, that explains the row; empty: none does. (Of two intervals the lower one:
  // special rows have two. Of several factors the first that does.)
  RootInterval explaining_roots(FastRow& fast, std::span<const std::byte> got, std::uint32_t scale);

  // The r that are admissible for the row that `fast` has loaded, exactly.
  Admissible admissible(FastRow& fast);
  // For each element, the codes that admissible r give it with this scale (beside.h); empty where no
  // admissible r gives the scale. Of a formula that quantizes.
  std::vector<CodeSet> reachable(FastRow& fast, std::uint32_t scale);

 private:
  // A range of r under examination, and which of its ends are known to explain the row.
  struct Window {
    RootInterval roots;
    bool low_is_proven = false;
    bool high_is_proven = false;
  };

  std::optional<RowFinding> judge_quickly(FastRow& fast, bool with_certificate);
  RowFinding judge_fully(FastRow& fast, bool with_certificate);
  std::span<const float> summed_operands(FastRow& fast);
  std::optional<Value> exact_known_sum(std::span<const float> operands) const;
  void aim_at(FastRow& fast, std::span<const std::byte> got, std::uint32_t scale);
  // How many factors the scale leaves; from use() on codes are made with one of them.
  std::size_t factors() const { return std::max<std::size_t>(1, factors_.size()); }
  void use(FastRow& fast, std::size_t factor);
  RowFinding judge_with_one_factor(FastRow& fast, bool with_certificate);
  RowFinding judge_with_each_factor(FastRow& fast, bool with_certificate);
  Certificate joined(FastRow& fast, std::vector<Certificate> parts);
  bool is_scale_at(FastRow& fast, float r) const;
  ViolationKind violation_kind(FastRow& fast);
  bool narrow(FastRow& fast, Window& window);
  bool narrow_to_elements(FastRow& fast, Window& window);
  bool collect_differing(FastRow& fast, const Window& window, std::size_t limit);
  void widen(FastRow& fast, RootInterval& feasible, const RootInterval& limit);
  // `common`: the r that the elements have in common, of all there are.
  Certificate violation(FastRow& fast, const Admissible& admissible, const CommonRoots& common) const;
  Certificate violation_with_scale(FastRow& fast, const Admissible& admissible, const CommonRoots& common);
  void add_refutation_of_nan(FastRow& fast, Certificate& certificate) const;
  CertificateElement element_at(FastRow& fast, std::int64_t column) const;
  bool refutes_nan(FastRow& fast, std::int64_t column) const;
  bool element_refutes_nan(FastRow& fast, const CertificateElement& element) const;
  bool explains(FastRow& fast, float r);
  std::uint32_t got_bits(std::int64_t column) const;

  Formula formula_;
  const Format& output_format_;
  std::int64_t output_bytes_;
  AdmissibleModel model_;
  bool factor_is_open_;        // a scale leaves more than one
  std::int64_t first_window_;  // numbers on each side of the correctly rounded r to try first
  std::span<const std::byte> got_;
  std::optional<ScaleRoots> scale_;  // where rows have scales of their own
  std::vector<CodeFactor> factors_;  // of the scale at hand
  std::vector<std::byte> at_low_;
  std::vector<std::byte> at_high_;
  std::vector<std::int64_t> columns_;
  std::vector<float> rounded_operands_;
  std::vector<double> scratch_;
};

}  // namespace normproof::oracle
