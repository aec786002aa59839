// What two calls of one norm say of each other: the steps that are the same for every operation. Operations
// of cases and judged ones say what their rows, parameters and policies are.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "corpus/operation.h"
#include "properties/models/compare_models.h"

namespace normproof {

class NormComparison {
 public:
  NormComparison(const ModuleCall& one, const ModuleCall& other) : calls_{&one, &other} {
    result_.module = one.module;
  }
  virtual ~NormComparison() = default;

  // Nothing where no row is in both.
  std::optional<ComparedNorm> run();

 protected:
  // What differs in the parameters, as "A and B" says it.
  struct OtherParameter {
    NormDifference difference;
    std::string one, other;
  };

  // Keeps these rows of a side.
  virtual void select(std::size_t side, const std::vector<std::int64_t>& rows) = 0;
  // Makes one operation of two that compute the same.
  virtual void adapt() {}
  // What two calls must have in common to be compared row by row.
  virtual std::string call_text(std::size_t side) const = 0;
  virtual std::optional<OtherParameter> other_parameter() const = 0;
  // Whether the bytes of the row are the same in all tensors of that direction.
  virtual bool same_row(std::int64_t row, Direction direction) const = 0;
  // The row's first element that differs, for which two NaNs are one value; its place is not said.
  virtual std::optional<DifferingElement> differing_element(std::int64_t row) const = 0;
  // Whether the digests of whole calls are of the same tensors.
  virtual bool digests_agree() const { return true; }
  // Sets the sides and the difference of norms whose bits differ, or whose inputs do.
  virtual void explain() = 0;
  // The last step of it. `common`: a policy that explains all rows of both.
  void conclude(bool common);

  const ModuleCall& call(std::size_t side) const { return *calls_[side]; }
  ComparedNorm result_;

 private:
  void match_rows();
  void compare_bits();
  void compare_digests();
  ComparedNorm differs_by(const OtherParameter& what);

  std::array<const ModuleCall*, 2> calls_;
  std::vector<RowPlace> places_;
  // The first call whose inputs have the same digest, and its outputs have not.
  std::optional<std::size_t> unseen_;
};

// The first column of a row in which the bits differ, and not because they are two NaNs.
struct DifferingColumn {
  DType dtype;
  std::int64_t column;
  std::array<std::uint32_t, 2> bits;
};
std::optional<DifferingColumn> differing_column(DType dtype, std::span<const std::byte> one,
                                                std::span<const std::byte> other, std::int64_t row,
                                                std::int64_t columns);

// Of calls that are both of operations of cases, and of calls that are both judged ones.
std::unique_ptr<NormComparison> comparison_of_cases(const ModuleCall& one, const ModuleCall& other);
std::unique_ptr<NormComparison> comparison_of_judged(const ModuleCall& one, const ModuleCall& other);

}  // namespace normproof
