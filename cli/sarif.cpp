#include "cli/sarif.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <string_view>

#include "cli/commands.h"
#include "cli/exit_codes.h"
#include "corpus/atomic_file.h"
#include "corpus/json.h"
#include "corpus/json_text.h"

namespace normproof {
namespace {

using Json = nlohmann::ordered_json;

// A path as a URI reference: relative where the path is.
std::string uri_of(const std::string& file) {
  constexpr std::string_view kPlain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~/";
  const std::string path = std::filesystem::path(file).lexically_normal().string();
  std::string uri = path.starts_with('/') ? "file://" : "";
  for (const char character : path) {
    if (kPlain.find(character) != std::string_view::npos) {
      uri += character;
    } else {
      uri += fmt::format("%{:02X}", static_cast<unsigned>(static_cast<unsigned char>(character)));
    }
  }
  return uri;
}

// With a line, since GitHub's code scanning takes none without.
Json place_of(const std::string& file) {
  return {
      {"physicalLocation", {{"artifactLocation", {{"uri", uri_of(file)}}}, {"region", {{"startLine", 1}}}}}};
}

Json result_of(const SarifResult& result, const std::string& source) {
  const bool is_known = !result.baseline_state.empty() && result.baseline_state != "new";
  Json json = {{"ruleId", result.rule},
               {"level", is_known ? "note" : "error"},
               {"message", {{"text", result.message}}},
               {"locations", Json::array({place_of(source.empty() ? result.file : source)})},
               {"partialFingerprints", {{"normproofSignature/v1", result.rule}}}};
  if (!source.empty()) json["relatedLocations"] = Json::array({place_of(result.file)});
  if (!result.baseline_state.empty()) json["baselineState"] = result.baseline_state;
  return json;
}

}  // namespace

void write_sarif(const std::string& path, const SarifLog& log) {
  Json rules = Json::array(), results = Json::array(), notifications = Json::array();
  std::vector<std::string> named;
  for (const SarifResult& result : log.results) {
    results.push_back(result_of(result, log.source));
    if (std::ranges::count(named, result.rule) > 0) continue;
    named.push_back(result.rule);
    rules.push_back(
        {{"id", result.rule},
         {"shortDescription", {{"text", fmt::format("Violates the contract: {}", result.rule)}}}});
  }
  for (const std::string& reason : log.not_done)
    notifications.push_back({{"level", "error"}, {"message", {{"text", reason}}}});
  const Json driver = {{"name", "normproof"}, {"version", NORMPROOF_VERSION}, {"rules", rules}};
  const Json invocation = {
      {"commandLine", command_line()},
      {"exitCode", log.exit_code},
      {"executionSuccessful", log.exit_code == kAllGood || log.exit_code == kViolationFound},
      {"toolExecutionNotifications", notifications}};
  const Json run = {
      {"tool", {{"driver", driver}}}, {"invocations", Json::array({invocation})}, {"results", results}};
  const Json document = {{"$schema", "https://json.schemastore.org/sarif-2.1.0.json"},
                         {"version", "2.1.0"},
                         {"runs", Json::array({run})}};
  // Messages of foreign code may hold any bytes.
  write_text_atomically(path, json_text(document, 2) + "\n");
}

}  // namespace normproof
