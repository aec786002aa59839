// `normproof merge`: one result from the results of all shards of a run.
#include "cli/merge.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <fstream>
#include <memory>
#include <sstream>

#include "cli/commands.h"
#include "cli/shard.h"

namespace normproof {
namespace {

using Json = nlohmann::ordered_json;

struct Kind {
  const char* key;  // its value is the version of the format
  int (*merge)(const std::vector<Json>&, const MergeOutput&);
};
constexpr Kind kKinds[] = {
    {"normproof_verify", merge_verify}, {"normproof_mutants", merge_mutants}, {"normproof_fuzz", merge_fuzz}};

struct Part {
  std::string file;
  Json document;
  const Kind* kind = nullptr;
  Shard shard;
};

Part read_part(const std::string& file) {
  std::ifstream stream(file, std::ios::binary);
  std::ostringstream text;
  text << stream.rdbuf();
  if (!stream) throw UsageError(fmt::format("{}: cannot be read", file));
  Part part;
  part.file = file;
  try {
    part.document = Json::parse(text.str());
    const auto kind =
        std::ranges::find_if(kKinds, [&](const Kind& each) { return part.document.contains(each.key); });
    if (kind == std::ranges::end(kKinds)) {
      throw UsageError(fmt::format("{}: no result of verify, mutants or fuzz", file));
    }
    part.kind = &*kind;
    if (!part.document.contains("shard"))
      throw UsageError(fmt::format("{}: already a merged result, not of a shard", file));
    part.shard = {part.document.at("shard").at("index").get<std::int64_t>(),
                  part.document.at("shard").at("count").get<std::int64_t>()};
    if (part.shard.index < 1 || part.shard.index > part.shard.count || !part.document.contains("run"))
      throw UsageError(fmt::format("{}: a damaged result: {}", file, to_string(part.shard)));
  } catch (const Json::exception& error) {
    throw UsageError(fmt::format("{}: not a result in JSON: {}", file, error.what()));
  }
  return part;
}

void require_same(const Part& first, const Part& other, std::string_view what, const std::string& value,
                  const std::string& other_value) {
  if (value == other_value) return;
  throw UsageError(fmt::format("results of different runs: {} is {} in {}, {} in {}", what, value, first.file,
                               other_value, other.file));
}

// The parts of one run, each once, in order; whatever else they are is refused.
void require_one_run(std::vector<Part>& parts) {
  const Part& first = parts.front();
  for (const Part& part : parts) {
    require_same(first, part, "the command", first.kind->key, part.kind->key);
    require_same(first, part, "the number of shards", std::to_string(first.shard.count),
                 std::to_string(part.shard.count));
    Json all = first.document.at("run");
    all.update(part.document.at("run"));
    for (const auto& item : all.items()) {
      const std::string& name = item.key();
      const auto text = [&name](const Part& each) {
        const Json& run = each.document.at("run");
        return run.contains(name) ? run.at(name).dump() : std::string("absent");
      };
      require_same(first, part, name, text(first), text(part));
    }
  }
  std::ranges::sort(parts, {}, [](const Part& part) { return part.shard.index; });
  std::vector<std::string> missing;
  auto part = parts.begin();
  for (std::int64_t index = 1; index <= parts.front().shard.count; ++index) {
    if (part == parts.end() || part->shard.index != index) {
      missing.push_back(fmt::format("{}/{}", index, parts.front().shard.count));
      continue;
    }
    const auto second = part + 1;
    if (second != parts.end() && second->shard.index == index) {
      throw UsageError(fmt::format("{} twice: {} and {}", to_string(part->shard), part->file, second->file));
    }
    ++part;
  }
  if (!missing.empty()) throw UsageError(fmt::format("missing shards: {}", fmt::join(missing, ", ")));
}

struct MergeOptions {
  std::vector<std::string> files;
  MergeOutput output;
};

int run(const MergeOptions& options) {
  std::vector<Part> parts;
  for (const std::string& file : options.files) parts.push_back(read_part(file));
  require_one_run(parts);
  std::vector<Json> documents;
  for (Part& part : parts) documents.push_back(std::move(part.document));
  fmt::print("{} shards merged\n", documents.size());
  try {
    return parts.front().kind->merge(documents, options.output);
  } catch (const Json::exception& error) {
    throw UsageError(fmt::format("a damaged result: {}", error.what()));
  }
}

}  // namespace

Action add_merge(CLI::App& command) {
  const auto options = std::make_shared<MergeOptions>();
  command.add_option("results", options->files, "The --json results of all shards of one run")->required();
  command.add_option("--json", options->output.json, "Write the merged result to this file");
  command.add_option("--html", options->output.html,
                     "Write the page of the merged run to this file: verify and mutants");
  return [options] { return run(*options); };
}

}  // namespace normproof
