#include "cli/execution_certificate.h"

#include <fmt/format.h>

#include <span>
#include <string_view>

#include "cli/kind_json.h"
#include "corpus/case_json.h"
#include "corpus/json.h"
#include "corpus/json_text.h"
#include "corpus/random.h"

namespace normproof {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::string_view kClasses[] = {"near_ties", "model_rows", "spike"};
constexpr std::int64_t kShortRows[] = {1, 2, 3, 4, 5, 8, 16};
constexpr std::int64_t kRowsOfShort = 8;

Case input_case(const CallKind& kind, std::int64_t rows, std::int64_t hidden, std::int64_t offset,
                std::string_view values, Random& random) {
  Case test_case;
  test_case.kind() = kind;
  test_case.shape = {rows, hidden};
  test_case.name = fmt::format("{}x{}-{}-{}", rows, hidden, values, offset == 0 ? "aligned" : "shifted");
  const auto fill = [&](Role role, std::string_view name) {
    if (!test_case.has_data(role)) return;
    test_case[role].data.recipe = Recipe{std::string(name), random.below(std::uint64_t{1} << 32)};
  };
  for (const Role role : kind.inputs_with_rows()) fill(role, values);
  fill(Role::weight, values == "near_ties" ? "near_ties" : "model_weights");
  shift(test_case, offset);
  return test_case;
}

}  // namespace

std::string call_text(const CallKind& kind, std::int64_t offset) {
  return fmt::format("{}, {}", kind_text(kind), offset == 0 ? "aligned" : "shifted");
}

void set_scale_ub(Case& test_case, std::uint32_t bits) {
  if (has(test_case.operation, Parameter::scale_ub)) test_case.bits_of(Parameter::scale_ub) = bits;
}

std::vector<Case> fixed_inputs(const CallKind& kind, const std::vector<std::int64_t>& hidden_sizes,
                               const std::vector<std::int64_t>& rows, std::uint64_t seed,
                               std::uint32_t scale_ub_bits) {
  std::vector<Case> cases;
  Random random(seed);
  for (const std::int64_t hidden : kShortRows)
    for (const std::string_view values : {"near_ties", "model_rows"})
      cases.push_back(input_case(kind, kRowsOfShort, hidden, 0, values, random));
  cases.push_back(input_case(kind, kRowsOfShort, 8, 0, "special", random));
  for (const std::int64_t hidden : hidden_sizes) {
    for (const std::int64_t count : rows)
      for (const std::string_view values : kClasses)
        cases.push_back(input_case(kind, count, hidden, 0, values, random));
    cases.push_back(input_case(kind, rows.front(), hidden, 1, "model_rows", random));
  }
  for (Case& test_case : cases) set_scale_ub(test_case, scale_ub_bits);
  return cases;
}

std::string to_json(const ExecutionCertificate& certificate) {
  Json policies = Json::array(), inputs = Json::array();
  for (const PolicyStatement& statement : certificate.policies) {
    Json entry = json_of(statement.kind);
    entry["hidden_size"] = statement.hidden_size;
    entry["offset"] = statement.offset;
    entry["policies"] = statement.policies;
    if (!statement.reason.empty()) entry["reason"] = statement.reason;
    policies.push_back(std::move(entry));
  }
  for (const InputStatement& statement : certificate.inputs) {
    Json entry = {{"status", statement.status}};
    if (!statement.message.empty()) entry["message"] = statement.message;
    if (!statement.explained.empty()) entry["explained"] = statement.explained;
    for (const auto& [role, digests] : statement.digests) entry[name_of(role)] = digests;
    entry["case"] = Json::parse(case_to_json(statement.test_case));
    inputs.push_back(std::move(entry));
  }
  Json document = {{"normproof_certificate", 1},
                   {"normproof_order", 1},
                   {"target", certificate.target},
                   {"target_digest", certificate.target_digest},
                   {"version", certificate.version},
                   {"compiler", certificate.compiler},
                   {"seed", certificate.seed},
                   {"policies", std::move(policies)},
                   {"orders", list_of(certificate.orders)},
                   {"inputs", std::move(inputs)},
                   {"not_established", certificate.not_established}};
  add_scale_ub(certificate.scale_ub_bits, document);
  if (!certificate.judged.policies.empty()) add_judged(certificate.judged, document);
  return with_trees(json_text(document, 1) + "\n", certificate.orders);
}

}  // namespace normproof
