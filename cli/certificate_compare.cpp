#include "cli/certificate_compare.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <memory>

#include "cli/certified_parts.h"
#include "cli/commands.h"
#include "cli/telling_rows.h"
#include "corpus/json.h"
#include "corpus/json_text.h"
#include "corpus/recipe.h"
#include "oracle/formats.h"
#include "oracle/order_file.h"
#include "properties/bound/intervals.h"
#include "properties/judging/judge_rows.h"

namespace normproof {
namespace {

using Json = nlohmann::ordered_json;

// One row of a case, with its data listed.
Case one_row(const Case& test_case, std::int64_t row) {
  const CaseTensors tensors = materialize(test_case);
  Outputs outputs = test_case.outputs.value_or(Outputs());
  for (const Role role : kRoles)
    if (test_case.has_output(role)) outputs[role].resize(test_case.bytes_of(role));
  RowSlice slice = slice_rows(test_case, tensors, outputs, row, 1);
  set_data(slice.test_case, slice.tensors);
  slice.test_case.outputs.reset();
  return slice.test_case;
}

std::shared_ptr<const oracle::SumTree> tree_of(const CertifiedOrder& order) {
  const Json document = {{"normproof_order", 1},
                         {"orders",
                          {{{"operation", "rms_norm"},
                            {"dtype", "bf16"},
                            {"hidden_size", order.hidden_size},
                            {"tree", order.tree}}}}};
  return oracle::orders_from_json(json_text(document)).all().front().tree;
}

class Comparison {
 public:
  Comparison(const CertificateRecord& first, const CertificateRecord& second)
      : first_(first), second_(second) {}

  CertificateComparison run() {
    if (first_.seed != second_.seed)
      throw UsageError(fmt::format("{} was made with --seed {}, {} with {}: their inputs are others",
                                   first_.name, first_.seed, second_.name, second_.seed));
    if (first_.scale_ub_bits != second_.scale_ub_bits)
      throw UsageError(fmt::format("{} was made with {}, {} with {}: their inputs are others", first_.name,
                                   bound_text(first_), second_.name, bound_text(second_)));
    compare_policies();
    compare_orders();
    compare_inputs();
    find_elements();
    compare_judged_calls();
    if (result_.inputs == 0)
      throw UsageError(fmt::format("{} and {} have no input in common", first_.name, second_.name));
    return std::move(result_);
  }

 private:
  static std::string bound_text(const CertificateRecord& record) {
    const auto upper = std::bit_cast<float>(record.scale_ub_bits);
    return std::isfinite(upper) ? fmt::format("--scale-ub {}", upper) : "no --scale-ub";
  }

  static const PolicyStatement* find(const CertificateRecord& record, const CallKind& kind,
                                     std::int64_t offset) {
    for (const PolicyStatement& statement : record.policies)
      if (statement.kind == kind && statement.offset == offset) return &statement;
    return nullptr;
  }

  // A policy that both may have; nothing where there is none.
  std::optional<std::string> common_policy(const CallKind& kind, std::int64_t offset) const {
    const PolicyStatement* one = find(first_, kind, offset);
    const PolicyStatement* other = find(second_, kind, offset);
    if (one == nullptr || other == nullptr) return std::nullopt;
    return normproof::common_policy(one->policies, other->policies);
  }

  void compare_policies() {
    for (const PolicyStatement& one : first_.policies) {
      const std::string call = call_text(one.kind, one.offset);
      const PolicyStatement* other = find(second_, one.kind, one.offset);
      if (other == nullptr) {
        result_.not_compared.push_back(fmt::format("{}: {} says nothing of it", call, second_.name));
        continue;
      }
      if (one.policies.empty() || other->policies.empty()) {
        if (one.policies.empty() != other->policies.empty()) {
          const bool first_known = !one.policies.empty();
          result_.differences.push_back(
              {"policy",
               fmt::format("{}: {} follows {}, {} none that is known", call,
                           first_known ? first_.name : second_.name,
                           first_known ? one.policies.front() : other->policies.front(),
                           first_known ? second_.name : first_.name),
               std::nullopt});
        }
        continue;
      }
      if (common_policy(one.kind, one.offset)) continue;
      result_.differences.push_back(
          {"policy",
           fmt::format("{}: {} has policy {}, {} has {}", call, first_.name, fmt::join(one.policies, " or "),
                       second_.name, fmt::join(other->policies, " or ")),
           row_that_tells_policies(one.kind, oracle::parse_policy(one.policies.front()),
                                   oracle::parse_policy(other->policies.front()))});
    }
    for (const PolicyStatement& other : second_.policies)
      if (find(first_, other.kind, other.offset) == nullptr)
        result_.not_compared.push_back(
            fmt::format("{}: {} says nothing of it", call_text(other.kind, other.offset), first_.name));
  }

  void compare_orders() {
    for (const CertifiedOrder& one : first_.orders) {
      const auto other = std::ranges::find_if(second_.orders, [&](const CertifiedOrder& order) {
        return order.kind.operation == one.kind.operation && order.kind.dtype == one.kind.dtype &&
               order.hidden_size == one.hidden_size && order.rows == one.rows && order.offset == one.offset;
      });
      if (other == second_.orders.end()) continue;
      const std::string call = fmt::format("{} {} H {}, {} row{}, {}", name_of(one.kind.operation),
                                           name_of(one.kind.dtype), one.hidden_size, one.rows,
                                           one.rows == 1 ? "" : "s", one.offset == 0 ? "aligned" : "shifted");
      if (one.tree.is_null() || other->tree.is_null()) {
        compare_kinds(call, one, *other);
        continue;
      }
      ++result_.orders;
      if (one.tree != other->tree) {
        const auto policy = common_policy(one.kind, one.offset);
        result_.differences.push_back(
            {"order",
             fmt::format("{}: {} sums as {}, {} as {}", call, first_.name, one.what, second_.name,
                         other->what),
             row_that_tells_orders(one.kind, *tree_of(one), *tree_of(*other),
                                   oracle::parse_policy(policy.value_or("native")))});
      } else if (one.root != other->root) {
        result_.differences.push_back({"root",
                                       fmt::format("{}: the root of {} is {}, of {} {}", call, first_.name,
                                                   one.root, second_.name, other->root),
                                       root_row(one, *other)});
      }
    }
  }

  // One that is made for it, else one of the fixed inputs that differs.
  std::optional<Case> root_row(const CertifiedOrder& one, const CertifiedOrder& other) const {
    auto row = row_that_tells_roots(one.kind, one.root, other.root);
    return row ? row : differing_row(one.kind);
  }

  void compare_kinds(const std::string& call, const CertifiedOrder& one, const CertifiedOrder& other) {
    if (one.tree.is_null() != other.tree.is_null() || one.what != other.what)
      result_.differences.push_back(
          {"order",
           fmt::format("{}: {} is {}, {} is {}", call, first_.name, one.what, second_.name, other.what),
           std::nullopt});
    else
      result_.not_compared.push_back(fmt::format("{}: neither order is certified", call));
  }

  const InputStatement* same_input(const InputStatement& one) const {
    for (const InputStatement& other : second_.inputs) {
      if (other.test_case.kind() != one.test_case.kind() || other.test_case.name != one.test_case.name)
        continue;
      Case a = one.test_case, b = other.test_case;
      a.outputs.reset();
      b.outputs.reset();
      if (a == b) return &other;
    }
    return nullptr;
  }

  static std::vector<std::int64_t> differing_rows(const InputStatement& one, const InputStatement& other) {
    std::vector<std::int64_t> rows;
    for (std::int64_t row = 0; row < one.test_case.rows(); ++row) {
      const auto at = static_cast<std::size_t>(row);
      for (std::size_t k = 0; k < one.digests.size(); ++k) {
        if (one.digests[k].second[at] == other.digests[k].second[at]) continue;
        rows.push_back(row);
        break;
      }
    }
    return rows;
  }

  // Of the inputs of this operation and dtype the shortest row in which the two differ.
  std::optional<Case> differing_row(const CallKind& kind) const {
    std::optional<Case> smallest;
    for (const InputStatement& one : first_.inputs) {
      const CallKind own = one.test_case.kind();
      if (own.operation != kind.operation || own.dtype != kind.dtype || one.status != "completed") continue;
      const InputStatement* other = same_input(one);
      if (other == nullptr || other->status != "completed") continue;
      const auto rows = differing_rows(one, *other);
      if (rows.empty() || (smallest && smallest->hidden_size() <= one.test_case.hidden_size())) continue;
      smallest = one_row(one.test_case, rows.front());
    }
    return smallest;
  }

  void compare_inputs() {
    for (const InputStatement& one : first_.inputs) {
      const InputStatement* other = same_input(one);
      if (other == nullptr) continue;
      const std::string input = fmt::format("{}, input {}", kind_text(one.test_case), one.test_case.name);
      if (one.status != "completed" || other->status != "completed") {
        if (one.status != other->status)
          result_.differences.push_back(
              {"bug",
               fmt::format("{}: {} {}, {} {}", input, first_.name, one.status, second_.name, other->status),
               one_row(one.test_case, 0)});
        continue;
      }
      const auto rows = differing_rows(one, *other);
      count(one, rows);
      if (rows.empty()) continue;
      explain(one, *other, rows.front(), input);
    }
  }

  void compare_judged_calls() {
    const JudgedComparison judged = compare_judged(first_.judged, first_.name, second_.judged, second_.name);
    result_.judged_inputs = judged.inputs;
    result_.judged_rows = judged.rows;
    result_.judged_different_rows = judged.different_rows;
    result_.inputs += judged.inputs;
    result_.rows += judged.rows;
    result_.different_inputs += judged.different_inputs;
    result_.different_rows += judged.different_rows;
    for (const JudgedDifference& difference : judged.differences)
      result_.differences.push_back({difference.cause, difference.text, std::nullopt});
    result_.not_compared.insert(result_.not_compared.end(), judged.not_compared.begin(),
                                judged.not_compared.end());
  }

  void count(const InputStatement& input, const std::vector<std::int64_t>& different) {
    const CallKind kind = input.test_case.kind();
    auto of_kind = std::ranges::find(result_.kinds, kind, &ComparedKind::kind);
    if (of_kind == result_.kinds.end())
      of_kind = result_.kinds.insert(of_kind, ComparedKind{kind, 0, 0, 0, {}});
    const auto rows = static_cast<std::int64_t>(different.size());
    ++of_kind->inputs;
    of_kind->rows += input.test_case.rows();
    of_kind->different_rows += rows;
    ++result_.inputs;
    result_.rows += input.test_case.rows();
    result_.different_inputs += rows > 0 ? 1 : 0;
    result_.different_rows += rows;
  }

  // The first element that differs, of the inputs whose outputs both hold: short rows come first.
  void find_elements() {
    for (ComparedKind& compared : result_.kinds) {
      if (compared.different_rows == 0) continue;
      for (const InputStatement& one : first_.inputs) {
        if (compared.element || one.test_case.kind() != compared.kind || !one.test_case.outputs) continue;
        const InputStatement* other = same_input(one);
        if (other == nullptr || !other->test_case.outputs) continue;
        compared.element = differing_element(one.test_case, *other->test_case.outputs);
      }
    }
  }

  std::optional<ComparedElement> differing_element(const Case& test_case, const Outputs& second) const {
    for (const Role role : kRoles) {
      if (!test_case.has_output(role)) continue;
      const DType dtype = test_case.dtype_of(role);
      const std::int64_t columns = test_case.columns_of(role);
      for (std::int64_t index = 0; index < test_case.rows() * columns; ++index) {
        const std::array bits = {load_bits((*test_case.outputs)[role], dtype, index),
                                 load_bits(second[role], dtype, index)};
        if (bits[0] == bits[1] || (oracle::is_nan(dtype, bits[0]) && oracle::is_nan(dtype, bits[1])))
          continue;
        return described({one_row(test_case, index / columns),
                          test_case.name,
                          role,
                          index / columns,
                          index % columns,
                          bits,
                          {}});
      }
    }
    return std::nullopt;
  }

  // With what each side's own policy allows there.
  ComparedElement described(ComparedElement element) const {
    // A code and its row's scale lie in no interval.
    if (element.role != Role::out || quantizes_by_row(element.row_of.operation)) return element;
    for (const std::size_t side : {0, 1}) {
      const CertificateRecord& record = side == 0 ? first_ : second_;
      const PolicyStatement* known = find(record, element.row_of.kind(), 0);
      if (known == nullptr || known->policies.empty()) continue;
      const std::array policies = {oracle::parse_policy(known->policies.front())};
      const bound::Intervals found =
          bound::output_intervals(element.row_of, materialize(element.row_of), policies);
      const DType dtype = element.row_of.dtype_of(Role::out);
      element.allowed[side] = {load_bits(found.low[Role::out], dtype, element.column),
                               load_bits(found.high[Role::out], dtype, element.column)};
    }
    return element;
  }

  // What differs is named once; bits that no such difference explains are a bug of the one whose own policy
  // and order do not explain them.
  void explain(const InputStatement& one, const InputStatement& other, std::int64_t row,
               const std::string& input) {
    const CallKind kind = one.test_case.kind();
    const std::string call = fmt::format("{} {}", name_of(kind.operation), name_of(kind.dtype));
    const auto is_about = [&](const Difference& difference) { return difference.text.starts_with(call); };
    const bool first_wrong = one.explained == "no", second_wrong = other.explained == "no";
    const bool known = std::ranges::any_of(result_.differences, is_about);
    if (known && !(first_wrong || second_wrong)) return;
    const std::string key = fmt::format("{}, ", kind_text(kind));
    const std::string cause = first_wrong || second_wrong ? "bug" : "unknown";
    for (const Difference& difference : result_.differences)
      if (difference.cause == cause && difference.text.starts_with(key))
        return;  // the shortest row came first
    std::string why;
    if (first_wrong)
      why += fmt::format("; {} does not do what its policy and order say: {}", first_.name, one.message);
    if (second_wrong)
      why += fmt::format("; {} does not do what its policy and order say: {}", second_.name, other.message);
    if (why.empty())
      why = "; both do what their policies say, in orders or with roots that were not told apart";
    result_.differences.push_back(
        {cause, fmt::format("{}, row {}: other bits{}", input, row, why), one_row(one.test_case, row)});
  }

  const CertificateRecord& first_;
  const CertificateRecord& second_;
  CertificateComparison result_;
};

}  // namespace

CertificateComparison compare_certificates(const CertificateRecord& first, const CertificateRecord& second) {
  return Comparison(first, second).run();
}

}  // namespace normproof
