#include "cli/merge.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <iterator>

#include "cli/commands.h"
#include "cli/exit_codes.h"
#include "cli/shard.h"
#include "cli/stop_signals.h"
#include "corpus/json_text.h"

namespace normproof {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::int64_t kResultVersion = 1;  // of all kinds
constexpr std::size_t kMissingShardsNamed = 8;

struct Kind {
  const char* key;  // its value is the version of the format
  Merged (*merge)(const std::vector<ResultPart>&);
};
constexpr Kind kKinds[] = {
    {"normproof_verify", merge_verify}, {"normproof_mutants", merge_mutants}, {"normproof_fuzz", merge_fuzz}};

struct Part : ResultPart {
  const Kind* kind = nullptr;
};

Json read_json(const ResultText& result) {
  if (const std::string objection = json_objection(result.text); !objection.empty())
    throw UsageError(fmt::format("{}: not a result in JSON: {}", result.name, objection));
  try {
    return Json::parse(result.text);
  } catch (const Json::exception& error) {
    throw UsageError(fmt::format("{}: not a result in JSON: {}", result.name, error.what()));
  }
}

Part read_part(const ResultText& result) {
  const std::string& file = result.name;
  Part part;
  part.file = file;
  part.document = read_json(result);
  const auto kind =
      std::ranges::find_if(kKinds, [&](const Kind& each) { return part.document.contains(each.key); });
  if (kind == std::ranges::end(kKinds))
    throw UsageError(fmt::format("{}: not a result file of verify, mutants or fuzz", file));
  part.kind = &*kind;
  const ResultFields fields = part.fields();
  static_cast<void>(fields.count(kind->key, kResultVersion, kResultVersion));
  if (!fields.has("shard")) fields.refuse("shard is missing: it does not say which part of a run it is");
  const ResultFields shard = fields.fields("shard");
  if (shard.has("merged_from"))
    throw UsageError(fmt::format("{}: already a merged result, not of a shard", file));
  part.shard.count = shard.count("count", 1, kMostShards);
  part.shard.index = shard.count("index", 1, part.shard.count);
  const ResultFields run = fields.fields("run");
  if (run.text("version") != NORMPROOF_VERSION)
    run.refuse("version", fmt::format("this program is version {}", NORMPROOF_VERSION));
  return part;
}

void require_same(const Part& first, const Part& other, std::string_view what, const std::string& value,
                  const std::string& other_value) {
  if (value == other_value) return;
  throw UsageError(fmt::format("results of different runs: {} is {} in {}, {} in {}", what, value, first.file,
                               other_value, other.file));
}

// Whatever else than parts of one run they are is refused.
void require_one_run(const std::vector<Part>& parts) {
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
}

// Puts them in order.
void require_each_shard_once(std::vector<Part>& parts) {
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
  if (missing.empty()) return;
  const std::size_t more = missing.size() - std::min(missing.size(), kMissingShardsNamed);
  missing.resize(missing.size() - more);
  throw UsageError(fmt::format("missing shards: {}{}", fmt::join(missing, ", "),
                               more > 0 ? fmt::format(" and {} more", more) : ""));
}

}  // namespace

Merged merge_results(const std::vector<ResultText>& results) {
  std::vector<Part> parts;
  for (const ResultText& result : results) parts.push_back(read_part(result));
  if (parts.empty()) throw UsageError("merge: no results");
  require_one_run(parts);
  require_each_shard_once(parts);
  const Kind& kind = *parts.front().kind;
  const std::vector<ResultPart> in_order(std::make_move_iterator(parts.begin()),
                                         std::make_move_iterator(parts.end()));
  try {
    Merged merged = kind.merge(in_order);
    merged.text = fmt::format("{} shards merged\n", in_order.size()) + merged.text;
    return merged;
  } catch (const Json::exception& error) {
    throw UsageError(fmt::format("corrupt result file: {}", error.what()));
  }
}

std::string ResultPart::name() const { return fmt::format("{} ({})", to_string(shard), file); }

int stated_exit_code(const ResultPart& part) {
  const auto code = static_cast<int>(part.fields().count("exit_code", 0, 255));
  for (const int known : {kAllGood, kViolationFound, kCouldNotRun})
    if (code == known) return code;
  if (is_exit_code_of_stop(code)) return code;
  part.fields().refuse("exit_code", "no run that writes a result ends with it");
}

void describe_merged_run(Json& document, const std::vector<ResultPart>& parts) {
  document["run"] = parts.front().document.at("run");
  document["shard"] = {{"index", 1}, {"count", 1}, {"merged_from", parts.size()}};
}

}  // namespace normproof
