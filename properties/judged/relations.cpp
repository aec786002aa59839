#include "properties/judged/relations.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <limits>

#include "oracle/exact.h"
#include "properties/judged/call_evaluation.h"
#include "properties/judged/cases.h"
#include "properties/judged/relation_calls.h"

namespace normproof::judging {
namespace {

using oracle::judged::Extent;
using oracle::judged::JudgedOperation;
using oracle::judged::Tensor;
using Spec = oracle::judged::TensorSpec;

bool has(const JudgedOperation& operation, std::string_view tensor) {
  return find_tensor(operation, tensor) != nullptr;
}
bool quantizes(const JudgedOperation& operation) {
  return std::ranges::any_of(operation.tensors,
                             [](const Spec& spec) { return spec.extent == Extent::codes; });
}
bool is_gradient(const JudgedOperation& operation) { return has(operation, "dy"); }
bool has_no_heads(const JudgedOperation& operation) { return !has_heads(operation); }
bool is_any(const JudgedOperation&) { return true; }
bool is_forward(const JudgedOperation& operation) { return !is_gradient(operation); }

// A running mean rounds also where sums are exact; a gate makes no whole numbers.
bool sums_are_exact(const Combination& combination) {
  return !combination.policy.follows("statistics", "welford") &&
         !combination.policy.follows("order", "gate_first");
}

std::optional<double> the_same(const Spec&, const std::vector<double>& first, std::int64_t index) {
  return first[static_cast<std::size_t>(index)];
}

// Scaling is exact but near the least and the greatest numbers.
std::optional<double> scaled(double value, double factor) {
  constexpr double kLeast = 0x1p-8, kGreatest = 0x1p15;
  const double smaller = std::fabs(value) * std::min(factor, 1.0),
               larger = std::fabs(value) * std::max(factor, 1.0);
  if (!(smaller >= kLeast && larger <= kGreatest)) return std::nullopt;
  return value * factor;
}

// Blocks of a call whose scales lie row by row; 0 where they do not. One scale for all is of one block.
std::int64_t blocks_by_rows(const Combination& combination, const Call& call) {
  const Spec* spec = find_tensor(*call.operation, "scales");
  if (spec == nullptr || spec->extent != Extent::blocks) return 1;
  const Tensor& scales = call.at("scales");
  const bool by_rows = scales.shape.size() == 2 && scales.shape.front() == call.rows() &&
                       combination.policy.follows("scale_layout", "as_shaped");
  return by_rows && call.hidden_size() % scales.shape.back() == 0 ? scales.shape.back() : 0;
}

double drawn_power(Random& random) {
  const auto exponent = static_cast<int>(random.between(1, 3));
  return std::ldexp(1, random.chance(1, 2) ? exponent : -exponent);
}

void erase_sums_over_rows(Call& call) {
  for (const Spec& spec : call.operation->tensors)
    if (spec.direction == Direction::out && spec.extent == Extent::hidden)
      call.tensors.erase(std::string(spec.name));
}

// Garbage beside what stays: NaN, infinities, huge numbers.
double garbage(std::int64_t index) {
  constexpr std::array<double, 4> kGarbage = {std::numeric_limits<double>::quiet_NaN(), 32768,
                                              std::numeric_limits<double>::infinity(), -32768};
  return kGarbage[static_cast<std::size_t>(index) % kGarbage.size()];
}

std::optional<RelatedCalls> other_rows(const Combination& combination, Random& random) {
  std::optional<Call> call = moderate_call(combination, random);
  if (!call) return std::nullopt;
  erase_sums_over_rows(*call);
  const std::int64_t rows = sliceable_rows(*call);
  if (!call->has_outputs() || rows < 2) return std::nullopt;
  const auto kept = static_cast<std::int64_t>(random.below(static_cast<std::uint64_t>(rows)));
  Call other = *call;
  for (const Spec& spec : call->operation->tensors) {
    const auto found = other.tensors.find(spec.name);
    if (spec.direction == Direction::out || found == other.tensors.end() || spec.extent != Extent::elements)
      continue;
    const std::int64_t width = found->second.elements() / rows;
    overwrite(found->second, [&](std::int64_t i) { return i / width != kept; }, garbage);
  }
  const Policy policy = combination.policy;
  return RelatedCalls{*call, other, [kept, policy](const Call& first, const Call& second) {
                        const std::array<std::int64_t, 1> rows_kept = {kept};
                        const std::string text =
                            first_difference(slice_of_rows(first, rows_kept, &policy),
                                             slice_of_rows(second, rows_kept, &policy), the_same);
                        return text.empty() ? text : fmt::format("row {}, {}", kept, text);
                      }};
}

std::optional<RelatedCalls> other_heads(const Combination& combination, Random& random) {
  std::optional<Call> call = moderate_call(combination, random);
  if (!call || call->at("x").shape.size() != 3 || call->at("x").shape[1] < 2) return std::nullopt;
  const std::int64_t heads = call->at("x").shape[1], size = call->hidden_size();
  const auto kept = static_cast<std::int64_t>(random.below(static_cast<std::uint64_t>(heads)));
  const auto is_kept = [=](std::int64_t i) { return i / size % heads == kept; };
  Call other = *call;
  overwrite(other.tensors.at("x"), [&](std::int64_t i) { return !is_kept(i); }, garbage);
  return RelatedCalls{*call, other, [=](const Call& first, const Call& second) {
                        return first_difference(first, second,
                                                [&](const Spec& spec, const std::vector<double>& values,
                                                    std::int64_t i) -> std::optional<double> {
                                                  if (!is_kept(i)) return std::nullopt;
                                                  return the_same(spec, values, i);
                                                });
                      }};
}

std::optional<RelatedCalls> columns_moved(const Combination& combination, Random& random) {
  if (!sums_are_exact(combination)) return std::nullopt;
  std::optional<Call> call = call_with_exact_sums(combination, random);
  if (!call) return std::nullopt;
  const std::int64_t columns = call->hidden_size();
  std::int64_t blocks = columns;
  if (quantizes(*call->operation)) {
    blocks = blocks_by_rows(combination, *call);
    if (blocks == 0) return std::nullopt;
    const Spec* scales = find_tensor(*call->operation, "scales");
    if (scales == nullptr || scales->extent == Extent::row) blocks = columns;
  }
  if (blocks < 2) return std::nullopt;
  const std::int64_t moved =
      1 + static_cast<std::int64_t>(random.below(static_cast<std::uint64_t>(blocks - 1)));
  Call other = with_columns_rotated(*call, moved * (columns / blocks));
  return RelatedCalls{*call, other, [=](const Call& first, const Call& second) {
                        return first_difference(
                            first, second,
                            [&](const Spec& spec, const std::vector<double>& values,
                                std::int64_t i) -> std::optional<double> {
                              if (spec.extent == Extent::row) return the_same(spec, values, i);
                              const std::int64_t width = spec.extent == Extent::blocks ? blocks : columns;
                              const std::int64_t distance =
                                  spec.extent == Extent::blocks ? moved : moved * (columns / blocks);
                              const std::int64_t row = i / width,
                                                 from = (i % width + width - distance) % width;
                              return values[static_cast<std::size_t>(row * width + from)];
                            });
                      }};
}

std::optional<RelatedCalls> scaled_by_a_power_of_two(const Combination& combination, Random& random) {
  std::optional<Call> call = moderate_call(combination, random);
  if (!call) return std::nullopt;
  const double factor = drawn_power(random);
  const auto epsilon = std::bit_cast<float>(call->epsilon);
  if (combination.limits.epsilon_is_set && epsilon != 0) return std::nullopt;
  Call other = *call;
  scale(other, {"x", "residual"}, factor);
  other.epsilon = std::bit_cast<std::uint32_t>(static_cast<float>(epsilon * factor * factor));
  return RelatedCalls{*call, other, [=](const Call& first, const Call& second) {
                        return first_difference(
                            first, second,
                            [&](const Spec& spec, const std::vector<double>& values, std::int64_t i) {
                              const double value = values[static_cast<std::size_t>(i)];
                              if (spec.name == "residual_out" || spec.name == "mean")
                                return scaled(value, factor);
                              if (spec.name == "rstd") return scaled(value, 1 / factor);
                              return std::optional(value);
                            });
                      }};
}

std::optional<RelatedCalls> negated(const Combination& combination, Random& random) {
  std::optional<Call> call = moderate_call(combination, random);
  if (!call) return std::nullopt;
  Call other = *call;
  if (is_gradient(*call->operation)) {
    scale(other, {"dy", "dresidual"}, -1);
  } else {
    scale(other, {"x", "residual", "bias"}, -1);
  }
  return RelatedCalls{*call, other, [](const Call& first, const Call& second) {
                        return first_difference(
                            first, second,
                            [&](const Spec& spec, const std::vector<double>& values,
                                std::int64_t i) -> std::optional<double> {
                              const double value = values[static_cast<std::size_t>(i)];
                              if (spec.name == "rstd" || spec.name == "scales") return value;
                              // int8 has one number more below than above.
                              if (first.at(spec.name).dtype == DType::int8 && std::fabs(value) >= 127)
                                return std::nullopt;
                              return -value;
                            });
                      }};
}

std::optional<RelatedCalls> weight_scaled(const Combination& combination, Random& random) {
  std::optional<Call> call = moderate_call(combination, random);
  if (!call || !call->has("weight") || combination.policy.follows("weight", "fp32_plus_one") ||
      combination.policy.follows("weight", "plus_one_activation"))
    return std::nullopt;
  const double factor = drawn_power(random);
  Call other = *call;
  scale(other, {"weight", "bias"}, factor);
  return RelatedCalls{*call, other, [=](const Call& first, const Call& second) {
                        return first_difference(
                            first, second,
                            [&](const Spec& spec, const std::vector<double>& values, std::int64_t i) {
                              const double value = values[static_cast<std::size_t>(i)];
                              return spec.name == "out" ? scaled(value, factor) : std::optional(value);
                            });
                      }};
}
bool has_linear_weight(const JudgedOperation& operation) {
  return is_forward(operation) && !quantizes(operation);
}

std::optional<RelatedCalls> shifted(const Combination& combination, Random& random) {
  // x * rstd is rounded before the mean is taken off, but where n is centred.
  if (!sums_are_exact(combination) || !combination.policy.follows("form", "centred")) return std::nullopt;
  std::optional<Call> call = call_with_exact_sums(combination, random);
  if (!call) return std::nullopt;
  const auto by = static_cast<double>(random.between(1, 32));
  Call other = *call;
  Tensor& x = other.tensors.at("x");
  const Tensor before = x;
  const Spec& spec = *find_tensor(*call->operation, "x");
  const std::vector<double> values = values_of(spec, before);
  overwrite(
      x, [](std::int64_t) { return true; },
      [&](std::int64_t i) { return values[static_cast<std::size_t>(i)] + by; });
  return RelatedCalls{*call, other, [=](const Call& first, const Call& second) {
                        return first_difference(
                            first, second,
                            [&](const Spec& output, const std::vector<double>& outputs, std::int64_t i) {
                              const double value = outputs[static_cast<std::size_t>(i)];
                              const bool moves = output.name == "mean" || output.name == "residual_out";
                              return std::optional(moves ? value + by : value);
                            });
                      }};
}
bool centres(const JudgedOperation& operation) { return is_forward(operation) && has(operation, "mean"); }

std::optional<RelatedCalls> gradient_scaled(const Combination& combination, Random& random) {
  std::optional<Call> call = moderate_call(combination, random);
  if (!call) return std::nullopt;
  const double factor = drawn_power(random);
  Call other = *call;
  scale(other, {"dy", "dresidual"}, factor);
  return RelatedCalls{*call, other, [=](const Call& first, const Call& second) {
                        return first_difference(
                            first, second,
                            [&](const Spec&, const std::vector<double>& values, std::int64_t i) {
                              return scaled(values[static_cast<std::size_t>(i)], factor);
                            });
                      }};
}

std::optional<RelatedCalls> other_x(const Combination& combination, Random& random) {
  std::optional<Call> call = moderate_call(combination, random);
  if (!call || !call->has("dbias")) return std::nullopt;
  Call other = *call;
  scale(other, {"x", "mean"}, -2);
  return RelatedCalls{*call, other, [](const Call& first, const Call& second) {
                        return first_difference(first, second,
                                                [](const Spec& spec, const std::vector<double>& values,
                                                   std::int64_t i) -> std::optional<double> {
                                                  if (spec.name != "dbias") return std::nullopt;
                                                  return the_same(spec, values, i);
                                                });
                      }};
}
bool has_dbias(const JudgedOperation& operation) { return has(operation, "dbias"); }

// cos = 1 and sin = 0, and the same with another sign of 0 and garbage in what is not rotated with.
std::optional<RelatedCalls> position_zero(const Combination& combination, Random& random) {
  std::optional<Call> call = moderate_call(combination, random);
  if (!call || call->at("cos").elements() == 0) return std::nullopt;
  const auto all = [](std::int64_t) { return true; };
  overwrite(call->tensors.at("cos"), all, [](std::int64_t) { return 1.0; });
  overwrite(call->tensors.at("sin"), all, [](std::int64_t) { return 0.0; });
  // Turned by half a circle: each rotated element has the other sign, and no rounding is another.
  Call other = *call;
  overwrite(other.tensors.at("cos"), all, [](std::int64_t) { return -1.0; });
  const std::int64_t size = call->hidden_size(), rotated = 2 * call->at("cos").shape.back();
  return RelatedCalls{*call, other, [=](const Call& first, const Call& second) {
                        return first_difference(
                            first, second,
                            [&](const Spec&, const std::vector<double>& values, std::int64_t i) {
                              const double value = values[static_cast<std::size_t>(i)];
                              return std::optional(i % size < rotated ? -value : value);
                            });
                      }};
}

std::optional<RelatedCalls> other_rotation(const Combination& combination, Random& random) {
  std::optional<Call> call = moderate_call(combination, random);
  for (int tries = 0; call && 2 * call->at("cos").shape.back() >= call->hidden_size() && tries < 16; ++tries)
    call = moderate_call(combination, random);
  if (!call) return std::nullopt;
  const std::int64_t size = call->hidden_size(), rotated = 2 * call->at("cos").shape.back();
  if (rotated == 0 || rotated >= size) return std::nullopt;
  Call other = *call;
  std::swap(other.tensors.at("cos").bytes, other.tensors.at("sin").bytes);
  return RelatedCalls{*call, other, [=](const Call& first, const Call& second) {
                        return first_difference(first, second,
                                                [&](const Spec& spec, const std::vector<double>& values,
                                                    std::int64_t i) -> std::optional<double> {
                                                  if (i % size < rotated) return std::nullopt;
                                                  return the_same(spec, values, i);
                                                });
                      }};
}

// Of one call: in a block, a larger x has no smaller code.
std::optional<RelatedCalls> ordered_codes(const Combination& combination, Random& random) {
  std::optional<Call> call = call_with_exact_sums(combination, random);
  if (!call || call->has("weight")) return std::nullopt;
  const std::int64_t columns = call->hidden_size(), blocks = blocks_by_rows(combination, *call);
  if (blocks == 0) return std::nullopt;
  return RelatedCalls{
      *call, std::nullopt, [=](const Call& seen, const Call&) -> std::string {
        const bool adds = seen.has("residual");
        const Spec& of_x = *find_tensor(*seen.operation, "x");
        std::vector<double> x = values_of(of_x, seen.at("x"));
        const std::vector<double> added = adds ? values_of(of_x, seen.at("residual")) : std::vector<double>();
        for (std::size_t i = 0; i < added.size(); ++i) x[i] += added[i];
        const std::vector<double> codes = values_of(*find_tensor(*seen.operation, "out"), seen.at("out"));
        const auto width = static_cast<std::size_t>(columns / blocks);
        for (std::size_t i = 0; i < x.size(); ++i) {
          for (std::size_t j = i / width * width; j < (i / width + 1) * width; ++j)
            if (x[i] < x[j] && codes[i] > codes[j])
              return fmt::format("elements {} and {} of a block are {} and {}, their codes {} and {}", i, j,
                                 x[i], x[j], codes[i], codes[j]);
        }
        return {};
      }};
}

bool adds_residual(const JudgedOperation& operation) { return operation.of_sum != nullptr; }

Policy policy_of_part(const Policy& whole, const JudgedOperation& part) {
  Policy policy = parse_policy(part, "native");
  const JudgedOperation& operation = *whole.operation;
  for (std::size_t i = 0; i < whole.values.size(); ++i)
    for (std::size_t k = 0; k < part.axes.size(); ++k)
      if (part.axes[k].name == operation.axes[i].name) policy.values[k] = whole.values[i];
  for (std::size_t i = 0; i < whole.bounds.size(); ++i)
    for (std::size_t k = 0; k < part.bounds.size(); ++k)
      if (part.bounds[k].name == operation.bounds[i].name) policy.bounds[k] = whole.bounds[i];
  return policy;
}

std::optional<RelatedCalls> composed(const Combination& combination, Random& random) {
  if (combination.policy.follows("sum", "fp32")) return std::nullopt;
  std::optional<Call> call = moderate_call(combination, random);
  if (!call) return std::nullopt;
  const Policy policy = policy_of_part(combination.policy, call->operation->of_sum());
  return RelatedCalls{*call, std::nullopt, [policy](const Call& seen, const Call&) -> std::string {
                        Call part;
                        part.operation = policy.operation;
                        part.epsilon = seen.epsilon;
                        for (const Spec& spec : policy.operation->tensors)
                          if (const Tensor* tensor = seen.find(spec.name))
                            part.tensors[std::string(spec.name)] = *tensor;
                        part.tensors["x"] = seen.at("residual_out");
                        const Judgement judgement = judge(part, policy, {1, 1, false});
                        if (judgement.conforms()) return {};
                        const std::string text = judgement.first_violations.front().text();
                        return fmt::format("as {} of residual_out: {}", policy.operation->name,
                                           text.substr(0, text.find('\n')));
                      }};
}

constexpr auto kRelations = std::to_array<Relation>({
    {"rows-are-independent", "a row has the same bits whatever the other rows hold", is_any, other_rows},
    {"heads-are-independent", "a head has the same bits whatever the other heads hold",
     oracle::judged::has_heads, other_heads},
    {"columns-are-interchangeable",
     "where sums are exact, moving columns, or whole blocks, moves what comes out and changes nothing",
     has_no_heads, columns_moved},
    {"power-of-two-scaling",
     "x scaled by 2^k and epsilon by 4^k: out has the same bits, mean and rstd are scaled", is_forward,
     scaled_by_a_power_of_two},
    {"negation", "the negated input gives the negated output, and the same rstd and scales", is_any, negated},
    {"weight-scaling", "weight and bias scaled by 2^k: out is scaled", has_linear_weight, weight_scaled},
    {"shift", "where sums are exact, a constant added to x changes the mean alone", centres, shifted},
    {"gradient-scaling", "dy and dresidual scaled by 2^k: all gradients are scaled", is_gradient,
     gradient_scaled},
    {"dbias-is-of-dy", "dbias has the same bits whatever x is", has_dbias, other_x},
    {"half-a-turn", "cos = -1 negates what cos = 1 gives, and no rounding is another",
     oracle::judged::has_heads, position_zero},
    {"tail-is-not-rotated", "elements beyond the rotated ones have the same bits whatever cos and sin are",
     oracle::judged::has_heads, other_rotation},
    {"codes-are-ordered", "in a block a larger x has no smaller code", quantizes, ordered_codes},
    {"fused-add-is-add-then-norm", "out is what the norm without a residual may give of residual_out",
     adds_residual, composed},
});

bool same_outputs(const Call& first, const Call& second) {
  return first_difference(first, second, the_same).empty();
}

}  // namespace

std::span<const Relation> relations() { return kRelations; }

RelationOutcome check_relation(JudgedTarget& target, const Relation& relation, const Combination& combination,
                               Random random) {
  RelationOutcome outcome;
  constexpr int kDraws = 4;
  for (int draw = 0; draw < kDraws && !outcome.calls; ++draw)
    outcome.calls = relation.draw(combination, random);
  if (!outcome.calls) return outcome;
  const auto outputs_of = [&](const Call& call) -> std::optional<Call> {
    if (!what_is_outside(combination.limits, call).empty()) return std::nullopt;
    JudgedRun run = target.run_judged(call, kCanary);
    if (run.status != RunResult::Status::completed) return std::nullopt;
    return std::move(run.call);
  };
  const RelatedCalls& calls = *outcome.calls;
  const std::optional<Call> first = outputs_of(calls.first);
  const std::optional<Call> second = calls.second && first ? outputs_of(*calls.second) : first;
  if (!first || !second) return outcome;
  outcome.kind = RelationOutcome::Kind::holds;
  outcome.message = calls.difference(*first, *second);
  if (outcome.message.empty()) return outcome;
  // Bits that change from run to run say nothing of the relation.
  const std::optional<Call> again = outputs_of(calls.first);
  const bool is_deterministic = again && same_outputs(*first, *again);
  outcome.kind = is_deterministic ? RelationOutcome::Kind::broken : RelationOutcome::Kind::not_compared;
  return outcome;
}

}  // namespace normproof::judging
