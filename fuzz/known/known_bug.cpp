#include "fuzz/known/known_bug.h"

#include <algorithm>
#include <cctype>
#include <exception>
#include <fstream>
#include <stdexcept>
#include <string_view>

#include "corpus/atomic_file.h"
#include "corpus/generate.h"
#include "oracle/canonical_judge.h"
#include "oracle/witness_judge.h"
#include "properties/derived.h"
#include "properties/judging/violation_identity.h"
#include "properties/relations.h"

namespace normproof {
namespace {

using Json = nlohmann::ordered_json;
using Outcome = Evaluation::Outcome;

// The case's operation as the composition of its parts, and the part that may have the bug; nothing where the
// composition does not hold.
std::optional<Case> part_of(const Case& test_case, Target& target) {
  Tally tally;
  PropertyContext context{.target = target, .tally = tally, .operation = {}, .dtype = {}};
  if (!has_parts(test_case.operation)) return std::nullopt;
  if (is_what_its_parts_are(test_case, context).kind != CaseFinding::Kind::holds) return std::nullopt;
  const Call call = call_of(test_case);
  const OperationSpec& spec = spec_of(test_case.operation);
  if (spec.without_last_step) return case_of(through(call, *spec.without_last_step));
  const RunResult result = run(call, target);
  return case_of(norm_of(call, *spec.without_first_step, normalized_rows(call, result.outputs)));
}

// The part whatever the outputs: of a call that gives none.
std::optional<Case> part_without_outputs(const Case& test_case) {
  const Operation part = smallest_part(test_case.operation);
  if (part == test_case.operation) return std::nullopt;
  return case_of(through(call_of(test_case), part));
}

}  // namespace

std::string file_name_of(const std::string& text) {
  std::string name;
  for (const char character : text) {
    const bool allowed = std::isalnum(static_cast<unsigned char>(character)) != 0 ||
                         std::string_view("._+-").find(character) != std::string_view::npos;
    name += allowed ? character : '-';
  }
  while (name.ends_with('-')) name.pop_back();
  return name;
}

std::string kind_of(const std::string& message) {
  constexpr std::size_t kLongest = 60;
  const std::string text = without_numbers(message);
  std::string kind = text.substr(0, std::min(text.find_first_of(",:;(\"'\n"), kLongest));
  std::erase(kind, '#');
  kind = file_name_of(kind);
  constexpr std::string_view kPlace = ") at ";
  const std::size_t place = text.rfind(kPlace);
  if (place != std::string::npos)
    kind += "-" + file_name_of(text.substr(place + 2, text.find(';', place) - place - 2));
  return kind;
}

std::string kind_of(const Evaluation& evaluation) {
  const std::string outcome = file_name_of(std::string(name_of(evaluation.outcome)));
  if (evaluation.outcome != Outcome::failed) return outcome;
  const std::string words = kind_of(evaluation.run.message);
  return words.empty() ? outcome : outcome + "-" + words;
}

Case followed_to_part(const Case& test_case, const std::string& kind, Target& target) {
  Case blamed = test_case;
  for (;;) {
    try {
      const Evaluation evaluation = evaluate(blamed, target);
      const bool has_outputs = evaluation.run.status == RunResult::Status::completed;
      const auto part = has_outputs ? part_of(blamed, target) : part_without_outputs(blamed);
      if (!part || !validate(*part).empty() || kind_of(evaluate(*part, target)) != kind) return blamed;
      blamed = *part;
    } catch (const NotTaken&) {
      return blamed;
    } catch (const std::exception&) {
      return blamed;  // a part that cannot be run shows nothing
    }
  }
}

bool follows(const oracle::Policy& policy, const Case& test_case, const Evaluation& evaluation,
             const Target& target) {
  if (evaluation.run.status != RunResult::Status::completed) return false;
  const CaseTensors tensors = materialize(test_case);
  const Outputs& outputs = evaluation.run.outputs;
  return target.judging().canonical
             ? oracle::judge_canonical(test_case, tensors, outputs, policy).conforms()
             : oracle::judge_witness(test_case, tensors, outputs, policy, {.confirm = false}).conforms();
}

bool is_instance(const KnownBug& bug, const Case& test_case, const Evaluation& evaluation, Target& target) {
  if (bug.kind != kind_of(evaluation)) return false;
  if (bug.policy) return follows(*bug.policy, test_case, evaluation, target);
  if (!bug.operation) return false;
  if (*bug.operation == test_case.operation) return true;
  return followed_to_part(test_case, bug.kind, target).operation == *bug.operation;
}

Json to_json(const KnownBug& bug) {
  Json document = {{"name", bug.name}, {"kind", bug.kind}};
  if (bug.operation) document["operation"] = name_of(*bug.operation);
  if (bug.policy) document["policy"] = oracle::to_string(*bug.policy);
  if (!bug.region.empty()) document["region"] = bug.region.to_json();
  return document;
}

KnownBug known_bug_from_json(const Json& document) {
  KnownBug bug;
  bug.name = document.at("name").get<std::string>();
  bug.kind = document.at("kind").get<std::string>();
  if (document.contains("operation"))
    bug.operation = operation_from_name(document.at("operation").get<std::string>());
  if (document.contains("policy"))
    bug.policy = oracle::parse_policy(document.at("policy").get<std::string>());
  if (document.contains("region")) bug.region = Region::from_json(document.at("region"));
  return bug;
}

void write_known_bugs(const std::filesystem::path& file, const std::vector<KnownBug>& bugs) {
  Json document = Json::array();
  for (const KnownBug& bug : bugs) document.push_back(to_json(bug));
  write_text_atomically(file, document.dump(1) + "\n");
}

std::vector<KnownBug> read_known_bugs(const std::filesystem::path& file) {
  std::ifstream stream(file, std::ios::binary);
  if (!stream) throw std::runtime_error(file.string() + ": cannot be read");
  std::vector<KnownBug> bugs;
  for (const Json& each : Json::parse(stream)) bugs.push_back(known_bug_from_json(each));
  return bugs;
}

}  // namespace normproof
