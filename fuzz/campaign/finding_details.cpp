#include "fuzz/campaign/finding_details.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <fstream>
#include <iterator>

#include "corpus/atomic_file.h"
#include "corpus/case_json.h"
#include "corpus/dump.h"
#include "corpus/generate.h"
#include "corpus/json.h"
#include "fuzz/campaign/repro_script.h"
#include "fuzz/campaign/reproducer.h"
#include "oracle/canonical_judge.h"
#include "oracle/explain.h"
#include "oracle/witness_judge.h"
#include "properties/judging/verification_case.h"

namespace normproof::campaign {
namespace {

using std::filesystem::path;

// Other cases of its sort that confirm a policy: so many violating ones, of so many in so much time at most.
// With fewer than the least nothing is confirmed: a single case follows many policies by chance.
constexpr std::int64_t kWitnesses = 24, kLeastWitnesses = 4, kMostTried = 600;
constexpr std::chrono::seconds kConfirming{4};
constexpr std::uint64_t kSeed = 1;

std::int64_t changes(const oracle::Policy& policy) {
  const std::string text = oracle::to_string(policy);
  return std::ranges::count(text, ',');
}

// The policy, by the fewest changes from native, with whose bits the target answers this case and every other
// of the same operation and dtypes on which it violates.
std::optional<oracle::Policy> confirmed_policy(const Case& test_case, Target& target) {
  const Evaluation evaluation = evaluate(test_case, target);
  if (evaluation.run.status != RunResult::Status::completed) return std::nullopt;
  std::vector<oracle::Policy> candidates;
  for (const oracle::Policy& policy : oracle::all_policies(test_case)) {
    if (policy != target.judging().policy && follows(policy, test_case, evaluation, target))
      candidates.push_back(policy);
  }
  std::vector<Combination> sort = combinations_of(target, test_case.operation, test_case.dtype);
  std::erase_if(sort, [&](const Combination& each) { return each.kind() != test_case.kind(); });
  const auto deadline = std::chrono::steady_clock::now() + kConfirming;
  std::int64_t witnesses = 0;
  for (std::int64_t index = 0; index < kMostTried && witnesses < kWitnesses; ++index) {
    if (candidates.empty() || sort.empty() || std::chrono::steady_clock::now() > deadline) break;
    const Case other = verification_case(kSeed, index, sort);
    const Evaluation of_other = evaluate(other, target);
    if (of_other.outcome != Evaluation::Outcome::wrong_bits) continue;
    ++witnesses;
    std::erase_if(candidates,
                  [&](const oracle::Policy& policy) { return !follows(policy, other, of_other, target); });
  }
  if (candidates.empty() || witnesses < kLeastWitnesses) return std::nullopt;
  return *std::ranges::min_element(candidates, {}, changes);
}

}  // namespace

Examination examine(const Case& test_case, const std::string& kind, const std::vector<KnownBug>& known,
                    const std::string& target_name, const path& scratch) {
  const path file = scratch / "examination.json", blamed = scratch / "blamed.json";
  std::filesystem::remove(file);
  std::filesystem::remove(blamed);
  in_child(60, [&] {
    const auto target = make_target(target_name);
    const Evaluation evaluation = evaluate(test_case, *target);
    if (!evaluation.violates() || kind_of(evaluation) != kind) return;
    nlohmann::ordered_json document = nlohmann::ordered_json::object();
    const auto bug = std::ranges::find_if(
        known, [&](const KnownBug& each) { return is_instance(each, test_case, evaluation, *target); });
    if (bug != known.end()) {
      document["known"] = bug->name;
    } else {
      const Case part = followed_to_part(test_case, kind, *target);
      write_case(blamed, part);
      if (const auto policy = confirmed_policy(part, *target))
        document["policy"] = oracle::to_string(*policy);
    }
    write_text_atomically(file, document.dump());
  });
  Examination examination{.known = {}, .policy = {}, .blamed = test_case};
  if (!std::filesystem::exists(file)) {
    // A plain run does not show it, or does not come back.
    const auto bug = std::ranges::find_if(known, [&](const KnownBug& each) {
      return each.kind == kind && each.operation == test_case.operation;
    });
    if (bug != known.end()) examination.known = bug->name;
    return examination;
  }
  std::ifstream stream(file);
  const auto document = nlohmann::ordered_json::parse(stream);
  if (document.contains("known")) examination.known = document.at("known").get<std::string>();
  if (document.contains("policy"))
    examination.policy = oracle::parse_policy(document.at("policy").get<std::string>());
  if (std::filesystem::exists(blamed)) examination.blamed = read_case(blamed);
  return examination;
}

bool violates_plainly(const Case& test_case, const std::string& kind, const std::string& target_name,
                      const path& scratch) {
  const path file = scratch / "it-violates";
  std::filesystem::remove(file);
  in_child(60, [&] {
    const auto target = make_target(target_name);
    const Evaluation evaluation = evaluate(test_case, *target);
    if (evaluation.violates() && kind_of(evaluation) == kind) write_text_atomically(file, "");
  });
  return std::filesystem::exists(file);
}

namespace {

void write_details_here(const Case& test_case, const std::optional<oracle::Policy>& policy,
                        const std::string& target_name, const path& folder) {
  const auto target = make_target(target_name);
  const CaseTensors tensors = materialize(test_case);
  const Evaluation evaluation = evaluate(test_case, tensors, *target);
  std::string text = describe(test_case, evaluation);
  if (evaluation.run.status == RunResult::Status::completed) {
    const Outputs& outputs = evaluation.run.outputs;
    const bool canonical = target->judging().canonical;
    if (policy && follows(*policy, test_case, evaluation, *target))
      text += fmt::format("\nEvery bit is what policy {} gives.\n", oracle::to_string(*policy));
    if (canonical) {  // else the description has them already
      const auto witness = oracle::judge_witness(test_case, tensors, outputs);
      const oracle::Formula formula = oracle::formula_of(test_case, oracle::native());
      for (const auto& certificate : witness.first_violations)
        text += "\n" + oracle::to_text(certificate, formula);
    }
    if (const auto wrong = evaluation.first_wrong_element())
      text +=
          "\n" + oracle::to_text(oracle::explain(test_case, tensors, outputs, wrong->first, wrong->second));
    Case with_outputs = test_case;
    with_outputs.outputs = outputs;
    write_dump(folder / "outputs.safetensors", with_outputs);
    // The script computes every bit in the canonical order, which is not demanded of a foreign kernel.
    if (canonical && !evaluation.verdict.conforms()) {
      const Outputs wanted = oracle::expected_outputs(test_case, tensors);
      write_text_atomically(folder / "repro.py", repro_script(test_case, outputs, wanted, target_name));
    }
  }
  write_text_atomically(folder / "violation.txt", text);
}

}  // namespace

std::string write_details(const Case& test_case, const std::optional<oracle::Policy>& policy,
                          const std::string& target, const path& folder) {
  const path file = folder / "violation.txt";
  std::string text;
  if (in_child(60, [&] { write_details_here(test_case, policy, target, folder); })) {
    std::ifstream stream(file, std::ios::binary);
    text.assign(std::istreambuf_iterator<char>(stream), {});
  }
  std::filesystem::remove(file);
  return text;
}

}  // namespace normproof::campaign
