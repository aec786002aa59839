#include "properties/detective/closest_policy.h"

#include <algorithm>
#include <set>
#include <tuple>
#include <utility>

#include "oracle/formats.h"
#include "oracle/policy_rows.h"
#include "oracle/root_hint.h"
#include "oracle/row_roots.h"
#include "oracle/witness_judge.h"
#include "properties/detective/policy_class.h"
#include "properties/detective/policy_power.h"
#include "properties/judging/report_text.h"

namespace normproof {
namespace {

using oracle::Policy;

constexpr std::int64_t kRankedRows = 8;
constexpr std::int64_t kRankedElements = std::int64_t{1} << 22;  // of all policies together
constexpr std::int64_t kHintRows = 16;
constexpr std::size_t kMostGroups = 4;
constexpr std::size_t kMostHints = 3;

RowSlice first_rows(const RowSlice& rows, std::int64_t count) {
  return slice_rows(rows.test_case, rows.tensors, rows.outputs, 0, std::min(count, rows.test_case.rows()));
}

// The policies of the table, each arithmetic once.
std::vector<Policy> different_policies(const Case& test_case, const oracle::InverseRootModel& inverse_root) {
  std::vector<Policy> result;
  for (Policy policy : oracle::all_policies(test_case)) {
    policy.inverse_root = inverse_root;
    if (representative(policy, test_case) == policy) result.push_back(policy);
  }
  return result;
}

std::string joined(const Policy& policy, const std::string& hint) {
  const bool of_root = hint.starts_with("r ") || hint.starts_with("an r ") || hint.starts_with("one r ") ||
                       hint.starts_with("the r ") || hint.starts_with("the same r ");
  return axes_text(policy) + (hint.starts_with("as if") ? " " : of_root ? " with " : ", ") + hint;
}

// Of the policies by which some r explains each row, the nearest to native of
// which `ask` has something to say.
template <typename Ask>
std::vector<std::string> hints_at_roots(const RowSlice& rows, const oracle::InverseRootModel& inverse_root,
                                        Ask ask) {
  const RowSlice sample = first_rows(rows, kHintRows);
  std::vector<Policy> policies = different_policies(sample.test_case, inverse_root);
  std::erase_if(policies, [](const Policy& policy) {
    // The same outputs for a given r; and of an rms no cause is known.
    return policy.variance != oracle::VariancePolicy::fp32 || oracle::row_of(policy.root).divides;
  });
  std::ranges::sort(policies, {}, [](const Policy& policy) {
    return std::pair(axes_off_native(policy), oracle::to_string(policy));
  });
  for (const Policy& policy : policies) {
    const std::vector<oracle::ShownRow> shown =
        oracle::shown_rows(sample.test_case, sample.tensors, sample.outputs, policy, true);
    if (shown.empty()) continue;
    std::vector<std::string> hints =
        ask(oracle::RootQuestion{shown, static_cast<double>(sample.test_case.value_of(Parameter::epsilon)),
                                 &oracle::format_of(sample.test_case.dtype)});
    if (hints.empty()) continue;
    for (std::string& hint : hints) hint = joined(policy, hint);
    return hints;
  }
  return {};
}

}  // namespace

std::int64_t axes_off_native(const Policy& policy) {
  std::int64_t count = 0;
  for (std::size_t axis = 0; axis < oracle::policy_axes().size(); ++axis)
    count += oracle::axis_value(policy, axis) != 0;
  return count;
}

void Closest::find() {
  judge_all();
  rank();
  look_at_columns();
  split();
  result_.hints = hints_at_roots(rows_, inverse_root_, [](const oracle::RootQuestion& question) {
    return oracle::describe_roots(question, kMostHints);
  });
}

void Closest::judge_all() {
  oracle::WitnessOptions options;
  options.keep_rows = true;
  options.confirm = false;
  for (const Policy& policy : different_policies(rows_.test_case, inverse_root_)) {
    const auto verdict =
        oracle::judge_witness(rows_.test_case, rows_.tensors, rows_.outputs, policy, options);
    Judged judged{policy, {}, verdict.conforming_rows(), 0, axes_off_native(policy)};
    for (const oracle::RowWitness& row : verdict.row_witnesses) judged.conforms.push_back(!row.violation);
    if (judged.count > 0 && oracle::row_of(policy.variance).in_activation_dtype()) {
      const auto shown = oracle::shown_rows(rows_.test_case, rows_.tensors, rows_.outputs, policy);
      for (std::size_t row = 0; row < shown.size(); ++row)
        judged.conforms[row] = judged.conforms[row] && follows_variance(policy, rows_.test_case, shown[row]);
      judged.count = std::ranges::count(judged.conforms, true);
    }
    judged_.push_back(std::move(judged));
  }
}

// By rows that conform; of equals, by elements that do at the r that fits best.
void Closest::rank() {
  const auto is_loose = [&](const Judged& judged) {
    return std::ranges::find(result_.loose, judged.policy, &LoosePolicy::policy) != result_.loose.end();
  };
  const bool all_loose = std::ranges::all_of(judged_, is_loose);
  std::int64_t most = 0;
  for (const Judged& judged : judged_) {
    if (all_loose || !is_loose(judged)) most = std::max(most, judged.count);
  }
  std::vector<Judged*> first;
  for (Judged& judged : judged_) {
    if (judged.count == most && (all_loose || !is_loose(judged))) first.push_back(&judged);
  }
  const std::int64_t rows = std::clamp<std::int64_t>(
      kRankedElements / (rows_.test_case.hidden_size() * static_cast<std::int64_t>(first.size())), 1,
      kRankedRows);
  const RowSlice ranked = first_rows(rows_, rows);
  for (Judged* judged : first) {
    for (const oracle::RowFit& fit :
         oracle::best_fits(ranked.test_case, ranked.tensors, ranked.outputs, judged->policy)) {
      judged->differing += static_cast<std::int64_t>(fit.differing_columns.size());
    }
  }
  const Judged* best = *std::ranges::min_element(
      first, {}, [](const Judged* judged) { return std::pair(judged->differing, judged->off_native); });
  result_.best = best->policy;
  result_.best_rows = best->count;
}

void Closest::look_at_columns() {
  const RowSlice looked_at = first_rows(rows_, kHintRows);
  std::set<std::int64_t> columns;
  for (const oracle::RowFit& fit :
       oracle::best_fits(looked_at.test_case, looked_at.tensors, looked_at.outputs, result_.best)) {
    result_.best_differing += static_cast<std::int64_t>(fit.differing_columns.size());
    columns.insert(fit.differing_columns.begin(), fit.differing_columns.end());
  }
  result_.best_compared = looked_at.test_case.elements();
  result_.best_columns.assign(columns.begin(), columns.end());
}

// The fewest policies, greedily, that explain the rows between them.
void Closest::split() {
  std::vector<const Judged*> chosen;
  const auto rows = static_cast<std::size_t>(rows_.test_case.rows());
  std::vector<bool> open(rows, true);
  for (std::size_t round = 0; round < kMostGroups; ++round) {
    const auto explained = [&](const Judged& judged) {
      std::int64_t count = 0;
      for (std::size_t row = 0; row < rows; ++row) count += open[row] && judged.conforms[row];
      return count;
    };
    const Judged* best = nullptr;
    std::int64_t most = 0;
    for (const Judged& judged : judged_) {
      const std::int64_t count = explained(judged);
      if (count < most || count == 0 || (count == most && judged.off_native >= best->off_native)) continue;
      best = &judged;
      most = count;
    }
    if (best == nullptr) break;
    for (std::size_t row = 0; row < rows; ++row) open[row] = open[row] && !best->conforms[row];
    chosen.push_back(best);
  }
  // A row that several of them explain goes with the row before it, or behind it.
  std::vector<const Judged*> policy_of(rows);
  for (std::size_t row = 0; row < rows; ++row) {
    const auto explains = [row](const Judged* judged) { return bool(judged->conforms[row]); };
    if (std::ranges::count_if(chosen, explains) == 1)
      policy_of[row] = *std::ranges::find_if(chosen, explains);
  }
  const auto follow = [&](std::size_t row, std::size_t neighbour) {
    const Judged* other = policy_of[neighbour];
    if (policy_of[row] == nullptr && other != nullptr && other->conforms[row]) policy_of[row] = other;
  };
  for (std::size_t row = 1; row < rows; ++row) follow(row, row - 1);
  for (std::size_t row = rows - 1; row > 0; --row) follow(row - 1, row);
  std::vector<RowGroup> groups;
  for (const Judged* judged : chosen) {
    RowGroup group{judged->policy, {}};
    for (std::size_t row = 0; row < rows; ++row) {
      if (policy_of[row] == judged) group.rows.push_back(static_cast<std::int64_t>(row));
    }
    if (!group.rows.empty()) groups.push_back(std::move(group));
  }
  RowGroup none;
  for (std::size_t row = 0; row < rows; ++row) {
    if (policy_of[row] == nullptr) none.rows.push_back(static_cast<std::int64_t>(row));
  }
  // A policy that explains hardly a row beside many that none explains is no mixture.
  if (groups.size() < 2 && (groups.empty() || none.rows.size() > rows / 2)) return;
  if (!none.rows.empty()) groups.push_back(std::move(none));
  if (groups.size() < 2) return;
  std::ranges::sort(groups, {}, [](const RowGroup& group) { return group.rows.front(); });
  result_.split = std::move(groups);
}

std::vector<std::string> causes_of_roots(const RowSlice& rows, const oracle::InverseRootModel& inverse_root) {
  return hints_at_roots(rows, inverse_root, [](const oracle::RootQuestion& question) {
    return oracle::root_hints(question, kMostHints);
  });
}

}  // namespace normproof
