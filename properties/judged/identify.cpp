#include "properties/judged/identify.h"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>

#include "oracle/row_kernels.h"
#include "properties/detective/policy_power.h"
#include "properties/judging/in_parallel.h"
#include "properties/judging/report_text.h"

namespace normproof::judging {
namespace {

using oracle::judged::Axis;
using oracle::judged::Part;

// A policy that explains none of the first units is not tried on the others.
constexpr std::int64_t kFirstUnits = 16;

bool is_sum_over_rows(const Part& part) { return part.units_per_row == 0; }

// Units that conform, of all parts but sums over rows; of each part at most `limit` are looked at.
std::int64_t conforming_units(const Call& call, const Policy& policy, std::int64_t limit) {
  const oracle::StandardFloatEnvironment environment;
  std::int64_t conforming = 0;
  for (const Part& part : call.operation->parts(call, policy)) {
    if (is_sum_over_rows(part)) continue;
    const auto judge = part.judge();
    std::int64_t here = 0;
    for (std::int64_t unit = 0; unit < std::min(part.units, limit); ++unit) {
      if (unit == kFirstUnits && here == 0) break;
      here += judge->conforms(unit) ? 1 : 0;
    }
    conforming += here;
  }
  return conforming;
}

// How far a policy is from native: first how loose its statistics are, then how many axes differ.
std::pair<std::size_t, std::size_t> distance(const Policy& policy) {
  std::size_t loose = 0, other = 0;
  for (std::size_t i = 0; i < policy.values.size(); ++i) {
    if (policy.operation->axes[i].of_statistics) {
      loose += policy.values[i];
    } else {
      other += policy.values[i] != 0 ? 1 : 0;
    }
  }
  return {loose, other};
}

std::string first_line(const std::string& text) { return text.substr(0, text.find('\n')); }

// The rows that are looked at, where the policy says how they lie.
Call looked_at(const Call& call, const Policy& policy, std::int64_t rows) {
  return call.operation->slice_blocks == nullptr ? call : first_rows(call, rows, policy);
}

// The first violation of a policy.
std::string certificate_of(const Call& call, const Policy& policy, std::int64_t rows) {
  JudgeOptions options;
  options.listed = 1;
  const Judgement judgement = judge(looked_at(call, policy, rows), policy, options);
  return judgement.first_violations.empty() ? std::string() : judgement.first_violations.front().text();
}

AxisFinding finding_of(std::size_t index, const Call& call, const Identification& found) {
  const Axis& axis = call.operation->axes[index];
  AxisFinding result{axis.name, {}};
  for (std::size_t value = 0; value < axis.values.size(); ++value) {
    ValueFinding finding{axis.values[value].name, false, {}};
    finding.survives = std::ranges::any_of(
        found.survivors, [&](const Policy& policy) { return policy.values[index] == value; });
    const bool is_best = found.best.values[index] == value;
    if (finding.survives && !is_best) {
      finding.reason =
          axis.of_statistics ? "admits these statistics as well" : "these outputs do not tell it apart";
    } else if (!finding.survives) {
      Policy other = found.best;
      other.values[index] = value;
      finding.reason = call.operation->policy_objection(other);
      if (finding.reason.empty()) finding.reason = call.operation->misfit(call, other);
      if (finding.reason.empty()) finding.reason = first_line(certificate_of(call, other, found.rows));
    }
    result.values.push_back(std::move(finding));
  }
  return result;
}

void conclude(const Call& call, const Policy& model, Identification& found) {
  if (!found.explained()) {
    found.certificate = certificate_of(call, found.best, found.rows);
    return;
  }
  found.wrong_explained = wrong_accepted(call, found.best);
  for (const auto& named : call.operation->policies) {
    Policy policy = as_seen_by(call, parse_policy(*call.operation, named.name));
    policy.bounds = model.bounds;
    if (std::ranges::find(found.survivors, policy) != found.survivors.end())
      found.names.push_back(fmt::format("{} ({})", named.name, named.source));
  }
  for (std::size_t i = 0; i < call.operation->axes.size(); ++i) {
    if (has_axis(call, call.operation->axes[i])) found.axes.push_back(finding_of(i, call, found));
  }
}

}  // namespace

bool Identification::identified() const { return explained() && wrong_explained <= kMostWrongExplained; }

bool Identification::unique() const {
  return identified() && std::ranges::all_of(survivors, [&](const Policy& policy) {
           return with_statistics_of(best, policy) == best;
         });
}

Identification identify(const Call& whole, const Policy& model, std::int64_t rows, std::int64_t threads) {
  const oracle::StandardFloatEnvironment environment;
  const std::vector<Part> of_whole = whole.operation->parts(whole, model);
  const std::int64_t per_row =
      of_whole.empty() || is_sum_over_rows(of_whole.front()) ? 1 : of_whole.front().units_per_row;
  const std::int64_t all = whole.rows() / std::max<std::int64_t>(per_row, 1);
  const bool has_sums = std::ranges::any_of(of_whole, is_sum_over_rows);
  // Where the layout of scales is a policy's, each policy cuts for itself.
  const bool has_layout = whole.operation->slice_blocks != nullptr;
  const bool is_cut = rows < all && !has_sums && !has_layout;
  std::vector<std::int64_t> chosen(static_cast<std::size_t>(std::min(rows, all)));
  std::iota(chosen.begin(), chosen.end(), 0);
  const Call call = is_cut ? slice_of_rows(whole, chosen) : whole;

  Identification found;
  found.rows = has_sums ? all : std::min(rows, all);
  const std::vector<Policy> policies = all_policies(call, model);
  found.policies = static_cast<std::int64_t>(policies.size());
  std::int64_t of_sums = 0, sums = 0;
  if (policies.empty()) throw std::invalid_argument(call.operation->misfit(call, model));
  const bool fits = call.operation->misfit(call, model).empty();
  const Policy& first = fits ? model : policies.front();
  for (const PartVerdict& part : judge(looked_at(call, first, found.rows), first, {threads, 0}).parts) {
    const bool is_sum = part.unit == "column";
    (is_sum ? sums : found.units) += part.units;
    of_sums += is_sum ? part.conforming : 0;
  }
  found.units += sums;
  std::vector<std::int64_t> conforming(policies.size());
  in_parallel(found.policies, threads, [&](std::int64_t index) {
    const auto at = static_cast<std::size_t>(index);
    conforming[at] = of_sums + conforming_units(call, policies[at], has_layout ? found.rows : INT64_MAX);
  });
  found.best = policies.front();
  found.best_units = -1;
  for (std::size_t i = 0; i < policies.size(); ++i) {
    if (conforming[i] == found.units) found.survivors.push_back(policies[i]);
    const bool nearer = distance(policies[i]) < distance(found.best);
    if (conforming[i] > found.best_units || (conforming[i] == found.best_units && nearer)) {
      found.best = policies[i];
      found.best_units = conforming[i];
    }
  }
  std::ranges::sort(found.survivors, {},
                    [](const Policy& policy) { return std::pair(distance(policy), policy.values); });
  conclude(call, model, found);
  return found;
}

std::string to_text(const Identification& found) {
  std::string text;
  if (!found.explained()) {
    text =
        fmt::format("none of the {} known policies; closest: {}, to which {} of {} units conform\n{}",
                    found.policies, to_string(found.best), found.best_units, found.units, found.certificate);
    return indented(text, "  ");
  }
  if (!found.identified()) {
    text = fmt::format(
        "no policy is named: {} of {} explain every unit, {} for instance, but {:.0f} % of outputs with "
        "random "
        "statistics or sums, too, so this says nothing\n",
        found.survivors.size(), found.policies, to_string(found.best), 100 * found.wrong_explained);
    return indented(text, "  ");
  }
  text = fmt::format("policy {}{}\n", to_string(found.best),
                     found.unique() ? ""
                                    : fmt::format(", and {} more that these outputs do not tell apart",
                                                  found.survivors.size() - 1));
  for (const std::string& name : found.names) text += fmt::format("as {}\n", name);
  for (const AxisFinding& axis : found.axes) {
    for (const ValueFinding& value : axis.values) {
      text += fmt::format("{}={}: {}{}{}\n", axis.name, value.name, value.survives ? "yes" : "no",
                          value.reason.empty() ? "" : ", ", value.reason);
    }
  }
  return indented(text, "  ");
}

}  // namespace normproof::judging
