// A bug that a campaign has found already, and how a violation is recognized as the same bug: then the
// fuzzers go on past it.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "corpus/case.h"
#include "fuzz/known/region.h"
#include "oracle/policy.h"
#include "properties/judging/evaluate.h"
#include "properties/targets/target.h"

namespace normproof {

struct KnownBug {
  std::string name;                      // of the finding
  std::string kind;                      // as kind_of says
  std::optional<Operation> operation;    // nothing: of no case, a parser's for instance
  std::optional<oracle::Policy> policy;  // by which every violating bit is right
  Region region;                         // cases that are not run at all; mostly empty
};

// `text` with everything but letters, digits and . _ + - replaced by '-'.
std::string file_name_of(const std::string& text);

// What went wrong, in words fit for a file name and the same whenever the same goes wrong: "wrong-bits",
// "memory-violation", "the-target-failed-the-worker-died-of-signal-4".
std::string kind_of(const Evaluation& evaluation);
// The words of a message up to the first punctuation, without_numbers() and their '#'; and where it happened,
// if the message ends with a place in a module.
std::string kind_of(const std::string& message);

// A violating case of a fused operation, followed to where the bug is: as long as the operation is exactly
// the composition of its parts on this target and a part violates in the same way by itself, the part takes
// its place.
Case followed_to_part(const Case& test_case, const std::string& kind, Target& target);

// Whether the outputs of a completed run are what the policy demands.
bool follows(const oracle::Policy& policy, const Case& test_case, const Evaluation& evaluation,
             const Target& target);

// Whether this violation is an instance of `bug`: of the same kind, and either with the bits of the bug's
// policy, or, where none explains it, in the bug's operation or because of it.
bool is_instance(const KnownBug& bug, const Case& test_case, const Evaluation& evaluation, Target& target);

// Throw std::system_error, and CaseError or nlohmann::json::exception where the file is damaged.
void write_known_bugs(const std::filesystem::path& file, const std::vector<KnownBug>& bugs);
std::vector<KnownBug> read_known_bugs(const std::filesystem::path& file);
nlohmann::ordered_json to_json(const KnownBug& bug);
KnownBug known_bug_from_json(const nlohmann::ordered_json& document);

}  // namespace normproof
