#include "cli/certificate_record.h"

#include <fmt/format.h>

#include "cli/commands.h"
#include "cli/kind_json.h"
#include "corpus/case_json.h"
#include "corpus/json_text.h"

namespace normproof {
namespace {

using Json = nlohmann::ordered_json;

InputStatement read_input(const ResultFields& fields) {
  InputStatement input;
  input.status = fields.text("status");
  if (fields.has("message")) input.message = fields.text("message");
  if (fields.has("explained")) input.explained = fields.text("explained");
  try {
    input.test_case = case_from_json(json_text(fields.at("case")));
  } catch (const CaseError& error) {
    fields.refuse("case", error.what());
  }
  const auto rows = static_cast<std::size_t>(input.test_case.rows());
  for (const Role role : kRoles) {
    if (!input.test_case.has_output(role) || input.status != "completed") continue;
    const std::string key(name_of(role));
    input.digests.emplace_back(role, fields.texts(key.c_str()));
    if (input.digests.back().second.size() != rows)
      fields.refuse(key.c_str(), fmt::format("must have a digest of each of {} rows", rows));
  }
  return input;
}

CertifiedOrder read_order(const ResultFields& fields) {
  CertifiedOrder order;
  order.kind = kind_from(fields);
  order.hidden_size = fields.count("hidden_size");
  order.rows = fields.count("rows");
  order.offset = fields.count("offset");
  const std::string family = fields.has("family") ? fields.text("family") : "";
  order.what = family.empty() ? fields.text("kind") : family;
  if (fields.text("kind") == "compensated_tree" && fields.flag("certified"))
    order.what += fmt::format(" ({} sums)", fields.fields("tree").text("accumulator"));
  if (fields.has("root")) order.root = fields.fields("root").text("code");
  if (fields.flag("certified")) order.tree = fields.at("tree");
  return order;
}

}  // namespace

CertificateRecord read_certificate(std::string_view text, const std::string& name) {
  if (const std::string objection = json_objection(text); !objection.empty())
    throw UsageError(fmt::format("{}: not JSON: {}", name, objection));
  Json document;
  try {
    document = Json::parse(text);
  } catch (const Json::exception& error) {
    throw UsageError(fmt::format("{}: not JSON: {}", name, error.what()));
  }
  const ResultFields fields(document, name);
  if (!fields.has("normproof_certificate"))
    fields.refuse("is no certificate of `normproof certify`: normproof_certificate is missing");
  fields.count("normproof_certificate", 1, 1);
  CertificateRecord record;
  record.name = name;
  record.seed = fields.seed("seed");
  record.scale_ub_bits = scale_ub_from(fields);
  record.target = fields.text("target");
  record.target_digest = fields.text("target_digest");
  record.version = fields.text("version");
  record.compiler = fields.text("compiler");
  record.not_established = fields.texts("not_established");
  for (const ResultFields& row : fields.rows("policies")) {
    PolicyStatement statement;
    statement.kind = kind_from(row);
    statement.hidden_size = row.count("hidden_size");
    statement.offset = row.count("offset");
    statement.policies = row.texts("policies");
    if (row.has("reason")) statement.reason = row.text("reason");
    record.policies.push_back(std::move(statement));
  }
  for (const ResultFields& row : fields.rows("orders")) record.orders.push_back(read_order(row));
  for (const ResultFields& row : fields.rows("inputs")) record.inputs.push_back(read_input(row));
  record.judged = judged_certificate_of(fields);
  return record;
}

}  // namespace normproof
