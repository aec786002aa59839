// Two calls of a judged operation, LayerNorm, say: what differs is told by their `identify` and their judges.
#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <utility>

#include "oracle/formats.h"
#include "properties/judged/identify.h"
#include "properties/judged/judge.h"
#include "properties/models/norm_comparison.h"

namespace normproof {
namespace {

using oracle::judged::Call;
using oracle::judged::Extent;
using oracle::judged::Policy;
using oracle::judged::Tensor;
using oracle::judged::TensorSpec;

// Rows that are looked at: all that were recorded.
constexpr std::int64_t kEveryRow = INT64_MAX;

bool has_rows(const TensorSpec& spec) { return spec.extent != Extent::hidden && spec.extent != Extent::one; }

class JudgedComparison : public NormComparison {
 public:
  JudgedComparison(const ModuleCall& one, const ModuleCall& other) : NormComparison(one, other) {
    result_.subject = oracle::judged::subject_of(one.judged()->call);
    result_.unknowns = "statistics";
  }

 private:
  void select(std::size_t side, const std::vector<std::int64_t>& rows) override {
    sides_[side] = slice_of_rows(call(side).judged()->call, rows);
  }

  std::string call_text(std::size_t side) const override {
    const Call& own = sides_[side];
    std::string text =
        fmt::format("{} {}, H {}", own.operation->name, name_of(own.dtype()), own.hidden_size());
    for (const TensorSpec& spec : own.operation->tensors) {
      const Tensor* tensor = own.find(spec.name);
      if (tensor == nullptr) continue;
      text += fmt::format(", {}", spec.name);
      if (has_rows(spec) && tensor->dtype != own.dtype()) text += fmt::format(" {}", name_of(tensor->dtype));
    }
    return text;
  }

  std::optional<OtherParameter> other_parameter() const override {
    for (const TensorSpec& spec : sides_[0].operation->tensors) {
      const Tensor *one = sides_[0].find(spec.name), *other = sides_[1].find(spec.name);
      if (has_rows(spec) || one == nullptr || other == nullptr) continue;
      if (one->dtype != other->dtype)
        return OtherParameter{NormDifference::weight, fmt::format("{} {}", spec.name, name_of(one->dtype)),
                              std::string(name_of(other->dtype))};
      const auto found = differing_column(one->dtype, one->bytes, other->bytes, 0, one->elements());
      if (!found) continue;
      const auto value = [&](std::size_t side) { return oracle::value_text(one->dtype, found->bits[side]); };
      return OtherParameter{NormDifference::weight, fmt::format("{} {}", spec.name, value(0)),
                            fmt::format("{} in column {}", value(1), found->column)};
    }
    if (sides_[0].epsilon == sides_[1].epsilon) return std::nullopt;
    const auto text = [&](std::size_t side) {
      return fmt::format("{}", std::bit_cast<float>(sides_[side].epsilon));
    };
    return OtherParameter{NormDifference::epsilon, text(0), text(1)};
  }

  bool same_row(std::int64_t row, Direction direction) const override {
    return std::ranges::all_of(sides_[0].operation->tensors, [&](const TensorSpec& spec) {
      const Tensor* one = sides_[0].find(spec.name);
      if (one == nullptr || spec.direction != direction || !has_rows(spec)) return true;
      const std::int64_t columns = columns_of(*one);
      return std::ranges::equal(one->row(row, columns), sides_[1].at(spec.name).row(row, columns));
    });
  }

  std::optional<DifferingElement> differing_element(std::int64_t row) const override {
    for (const TensorSpec& spec : sides_[0].operation->tensors) {
      const Tensor* one = sides_[0].find(spec.name);
      if (one == nullptr || spec.direction != Direction::out || !has_rows(spec)) continue;
      const auto found =
          differing_column(one->dtype, one->bytes, sides_[1].at(spec.name).bytes, row, columns_of(*one));
      if (found)
        return DifferingElement{{}, std::string(spec.name), found->dtype, found->column, found->bits};
    }
    return std::nullopt;
  }
  std::int64_t columns_of(const Tensor& tensor) const { return tensor.elements() / result_.rows; }

  // As that of operations of cases: who explains all rows, though not named since it explains much else, too,
  // does not accuse.
  std::optional<Policy> common_policy(const std::array<judging::Identification, 2>& found) const {
    for (std::size_t side : {0, 1}) {
      for (const Policy& policy : found[side].survivors)
        if (judging::judge(sides_[1 - side], policy, {1, 1, false}).conforms()) return policy;
    }
    return std::nullopt;
  }

  void explain() override {
    std::array<judging::Identification, 2> found;
    for (std::size_t side : {0, 1}) {
      const Policy native = parse_policy(*sides_[side].operation, "native");
      found[side] = judging::identify(sides_[side], native, kEveryRow, 1);
      NormSide& said = result_.sides[side];
      said.asked = true;
      if (found[side].identified()) {
        said.policy = to_string(found[side].best);
        said.names = found[side].names;
      } else {
        said.why_none = judging::to_text(found[side]);
      }
    }
    const auto common = common_policy(found);
    if (common) {
      std::vector<std::string> names;
      for (std::size_t side : {0, 1})
        if (found[side].explained() && found[side].best == *common) names = found[side].names;
      for (NormSide& side : result_.sides) side = {true, to_string(*common), names, {}};
    }
    conclude(common.has_value());
  }

  std::array<Call, 2> sides_;
};

}  // namespace

std::unique_ptr<NormComparison> comparison_of_judged(const ModuleCall& one, const ModuleCall& other) {
  return std::make_unique<JudgedComparison>(one, other);
}

}  // namespace normproof
